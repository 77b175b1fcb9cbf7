/*
 * hsds.c - see hsds.h.
 *
 *     document --unwrap--> record --ids--> references --take out embedded records--> record(kind, id, body), each embedded one the same way
 */
#include "daemon/ctl/hsds.h"
#include "protocol/error.h"
#include "protocol/identity.h"
#include "protocol/json.h"
#include "protocol/record.h"
#include "protocol/syntax.h"

#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct hsds {
    const char *origin, *source, *kind;
    void *learned; /* tsearch tree of struct known: own ids whose UUID comes from an identifier */
};

struct known {
    char *key; /* kind NUL-free: "kind id" */
    char id[UUID_TEXT_SIZE + 1];
};

/* Which members of which kind hold records, and how the two refer to each other. */
struct embedding {
    const char *parent; /* kind */
    const char *member;
    const char *kind;
    const char *child_ref;  /* member of the embedded record that names the parent, or NULL */
    const char *parent_ref; /* member of the parent that names the embedded record, or NULL */
    bool linked;            /* a service_at_location is made for the two */
};

static const struct embedding embeddings[] = {
    {"organization", "services", "service", "organization_id", NULL, false},
    {"organization", "programs", "program", "organization_id", NULL, false},
    {"organization", "locations", "location", "organization_id", NULL, false},
    {"organization", "activities", "activity", "organization_id", NULL, false},
    {"organization", "contracts", "contract", "organization_id", NULL, false},
    {"service", "organization", "organization", NULL, "organization_id", false},
    {"service", "program", "program", NULL, "program_id", false},
    {"service", "service_at_locations", "service_at_location", "service_id", NULL, false},
    {"service", "locations", "location", NULL, NULL, true},
    {"service_at_location", "location", "location", NULL, "location_id", false},
    {"service_at_location", "service", "service", NULL, "service_id", false},
    {"program", "organization", "organization", NULL, "organization_id", false},
    {"program", "services", "service", "program_id", NULL, false},
    {"location", "organization", "organization", NULL, "organization_id", false},
    {"activity", "organization", "organization", NULL, "organization_id", false},
    {"activity", "location", "location", NULL, "location_id", false},
    {"contract", "organization", "organization", NULL, "organization_id", false},
};

/* What a member that refers to a record refers to; NULL: to none that is known. */
static const char *kind_referred(const char *member, const char *own_kind, const cJSON *object)
{
    static const char *const kinds[][2] = {{"organization_id", "organization"},
                                           {"parent_organization_id", "organization"},
                                           {"service_id", "service"},
                                           {"location_id", "location"},
                                           {"program_id", "program"},
                                           {"service_at_location_id", "service_at_location"},
                                           {"taxonomy_term_id", "taxonomy_term"}};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strcmp(member, kinds[i][0]) == 0)
            return kinds[i][1];
    if (strcmp(member, "parent_id") == 0)
        return own_kind;
    if (strcmp(member, "from_id") == 0)
        return json_get_string(object, "from_kind");
    if (strcmp(member, "to_id") == 0)
        return json_get_string(object, "to_kind");
    return NULL;
}

/* ---- own ids ---- */

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct known *)a)->key, ((const struct known *)b)->key);
}

static char *make_key(const char *kind, const char *id)
{
    size_t size = strlen(kind) + strlen(id) + 2;
    char *key = malloc(size);
    if (key)
        snprintf(key, size, "%s %s", kind, id);
    return key;
}

static const struct known *find_known(const struct hsds *hsds, const char *kind, const char *id)
{
    struct known wanted = {.key = make_key(kind, id)};
    void *found = wanted.key ? tfind(&wanted, &hsds->learned, by_key) : NULL;
    free(wanted.key);
    return found ? *(struct known *const *)found : NULL;
}

static int remember(struct hsds *hsds, const char *kind, const char *id, const char *uuid)
{
    struct known *known = calloc(1, sizeof(*known));
    if (!known || !(known->key = make_key(kind, id))) {
        free(known);
        return KAART_NOMEM;
    }
    snprintf(known->id, sizeof(known->id), "%s", uuid);
    struct known **place = tsearch(known, &hsds->learned, by_key);
    if (place && *place == known)
        return 0;
    free(known->key);
    free(known);
    return place ? 0 : KAART_NOMEM;
}

static bool is_uuid(const char *text)
{
    return syntax_is_uuid(text, strlen(text));
}

/* The id of a record that has one of the file's own, as text or number. */
static const char *own_id(const cJSON *body, char text[32])
{
    const cJSON *id = json_get(body, "id");
    if (cJSON_IsNumber(id)) {
        snprintf(text, 32, "%.0f", id->valuedouble);
        return text;
    }
    return cJSON_IsString(id) && id->valuestring[0] ? id->valuestring : NULL;
}

/* A UUID for what the file calls `id`. */
static int resolve_id(const struct hsds *hsds, const char *kind, const char *id, char out[UUID_TEXT_SIZE + 1])
{
    const struct known *known = find_known(hsds, kind, id);
    if (is_uuid(id))
        snprintf(out, UUID_TEXT_SIZE + 1, "%s", id);
    else if (known)
        snprintf(out, UUID_TEXT_SIZE + 1, "%s", known->id);
    else
        return identity_of_external(hsds->origin, hsds->source, kind, NULL, id, out);
    return 0;
}

/* The UUID of a record: its own, by its identifiers, by the file's own id, or (embedded or not) by its name. */
static int find_id(const struct hsds *hsds, const char *kind, const cJSON *body, const char *parent,
                   char out[UUID_TEXT_SIZE + 1], struct fault *fault)
{
    char number[32];
    const char *own = own_id(body, number), *name = record_name(kind, body);
    if (own && is_uuid(own))
        return resolve_id(hsds, kind, own, out);
    int code = identity_of_record(kind, body, hsds->origin, hsds->source, own ? NULL : parent,
                                  own ? own : name, out);
    if (code == KAART_UNKNOWN && identity_is_person(kind, body))
        return fault_set(fault, KAART_INVALID,
                         "a record about one person needs a random UUID as id, since a number or name can be "
                         "guessed back: give it one (uuidgen) and keep it [ID-5]");
    if (code == KAART_UNKNOWN || code == KAART_INVALID)
        return fault_set(fault, KAART_INVALID,
                         "has no id, no identifier and no name by which it could get one [ID-4]");
    return code;
}

/* ---- kinds ---- */

const char *hsds_guess_kind(const cJSON *body)
{
    /* A record is of a kind if it has all of a row's members; the first row counts, so what is most telling comes first. */
    static const char *const signs[][4] = {
        {"service_at_location", "service_id", "location_id", NULL},
        {"relation", "from_id", "to_id", NULL},
        {"contract", "buyer", "organization_id", NULL},
        {"contract", "product_codes", NULL, NULL},
        {"location", "location_type", NULL, NULL},
        {"location", "latitude", "longitude", NULL},
        {"location", "addresses", NULL, NULL},
        {"service", "service_at_locations", NULL, NULL},
        {"service", "eligibility_description", NULL, NULL},
        {"service", "application_process", NULL, NULL},
        {"service", "fees_description", NULL, NULL},
        {"service", "interpretation_services", NULL, NULL},
        {"service", "organization", "status", NULL},
        {"service", "organization_id", "status", NULL},
        {"taxonomy_term", "taxonomy", "code", NULL},
        {"taxonomy_term", "taxonomy_id", NULL, NULL},
        {"organization", "organization_identifiers", NULL, NULL},
        {"organization", "services", NULL, NULL},
        {"organization", "programs", NULL, NULL},
        {"organization", "legal_status", NULL, NULL},
        {"organization", "tax_status", NULL, NULL},
        {"organization", "year_incorporated", NULL, NULL},
        {"organization", "parent_organization_id", NULL, NULL},
    };
    /* in HSDS's full form, where the location stands inside; an activity has a name */
    if (cJSON_IsObject(json_get(body, "location")) && !json_get(body, "name"))
        return "service_at_location";
    for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++) {
        bool all = true;
        for (size_t m = 1; m < 4 && signs[i][m]; m++)
            all = all && json_get(body, signs[i][m]);
        if (all)
            return signs[i][0];
    }
    if (record_identifier(body, "kvk") || record_identifier(body, "agb") || record_identifier(body, "oin") ||
        record_identifier(body, "rsin"))
        return "organization";
    return record_identifier(body, "vestigingsnummer") ? "location" : NULL;
}

/* What export and fetch print: {"kind","id","record"|"body"}. The body then, with the id in it; the kind in *kind. */
static cJSON *unwrap(cJSON *document, const char **kind, const char **inside)
{
    const char *said = json_get_string(document, "kind"), *id = json_get_string(document, "id");
    static const char *const names[] = {"record", "body"};
    for (size_t i = 0; said && record_kind_known(said) && i < 2; i++) {
        cJSON *body = cJSON_GetObjectItemCaseSensitive(document, names[i]);
        if (!cJSON_IsObject(body))
            continue;
        *kind = said;
        *inside = i == 0 ? "/record" : "/body";
        const char *verified = json_get_string(document, "verified");
        if (id && !json_get(body, "id"))
            cJSON_AddStringToObject(body, "id", id);
        if (verified && !json_get(body, "verified"))
            cJSON_AddStringToObject(body, "verified", verified);
        return body;
    }
    return document;
}

static const char *kind_of(const struct hsds *hsds, const cJSON *body, const char *said)
{
    return said ? said : hsds->kind ? hsds->kind : hsds_guess_kind(body);
}

/* ---- learning ---- */

static int learn(struct hsds *hsds, const char *kind, const cJSON *body, int depth)
{
    char number[32], uuid[UUID_TEXT_SIZE + 1];
    const char *own = own_id(body, number);
    struct fault fault;
    int code = 0;
    if (own && !is_uuid(own) && find_id(hsds, kind, body, NULL, uuid, &fault) == 0)
        code = remember(hsds, kind, own, uuid);
    for (size_t i = 0; code == 0 && depth < HSDS_DEPTH_MAX && i < sizeof(embeddings) / sizeof(embeddings[0]);
         i++) {
        const cJSON *member =
            strcmp(embeddings[i].parent, kind) == 0 ? json_get(body, embeddings[i].member) : NULL;
        if (cJSON_IsObject(member))
            code = learn(hsds, embeddings[i].kind, member, depth + 1);
        for (const cJSON *item = cJSON_IsArray(member) ? member->child : NULL; item && code == 0;
             item = item->next)
            code = cJSON_IsObject(item) ? learn(hsds, embeddings[i].kind, item, depth + 1) : 0;
    }
    return code;
}

int hsds_learn(struct hsds *hsds, const cJSON *document)
{
    const char *said = NULL, *inside = "";
    const cJSON *body = unwrap((cJSON *)(uintptr_t)document, &said, &inside);
    const char *kind = kind_of(hsds, body, said);
    return kind ? learn(hsds, kind, body, 0) : 0;
}

/* ---- splitting ---- */

struct split {
    struct hsds *hsds;
    const cJSON *areas; /* of the line around the document, for all that is in it */
    const struct hsds_events *events;
};

static int set_text(cJSON *member, const char *text)
{
    char *copy = strdup(text);
    if (!copy)
        return KAART_NOMEM;
    free(member->valuestring);
    member->valuestring = copy;
    member->type = cJSON_String;
    return 0;
}

/* One member: an own id of a part, or a reference to a record, becomes a UUID. */
static int put_reference(const struct hsds *hsds, const char *kind, const char *record_id,
                         const cJSON *object, bool part, cJSON *member)
{
    char uuid[UUID_TEXT_SIZE + 1], number[32];
    bool is_id = part && strcmp(member->string, "id") == 0;
    const char *referred = is_id ? NULL : kind_referred(member->string, kind, object);
    const char *text = cJSON_IsString(member) ? member->valuestring : number;
    snprintf(number, sizeof(number), "%.0f", member->valuedouble);
    if ((!is_id && !referred) || !*text || is_uuid(text))
        return 0;
    int code = is_id ? identity_of_external(hsds->origin, hsds->source, "part", record_id, text, uuid)
                     : resolve_id(hsds, referred, text, uuid);
    return code == 0 ? set_text(member, uuid) : code;
}

static int put_references(const struct hsds *hsds, const char *kind, const char *record_id, cJSON *object,
                          int depth)
{
    int code = 0;
    for (cJSON *member = object->child; member && code == 0; member = member->next) {
        if (cJSON_IsObject(member) && depth < JSON_DEPTH_MAX)
            code = put_references(hsds, kind, record_id, member, depth + 1);
        for (cJSON *item = cJSON_IsArray(member) ? member->child : NULL; item && code == 0; item = item->next)
            if (cJSON_IsObject(item) && depth < JSON_DEPTH_MAX)
                code = put_references(hsds, kind, record_id, item, depth + 1);
        if (code == 0 && (cJSON_IsString(member) || cJSON_IsNumber(member)))
            code = put_reference(hsds, kind, record_id, object, depth > 0, member);
    }
    return code;
}

static int split_record(struct split *split, const char *kind, cJSON *body, const char *pointer,
                        const char *parent, int depth, char id[UUID_TEXT_SIZE + 1]);

/* A service that is offered at a location, of which HSDS's compact forms only say "locations". */
static int give_link(struct split *split, const char *service, const char *location, const char *pointer)
{
    struct hsds_record record = {
        .kind = "service_at_location", .areas = split->areas, .pointer = pointer, .embedded = true};
    int code = identity_of_external(split->hsds->origin, split->hsds->source, record.kind, service, location,
                                    record.id);
    if (code < 0)
        return code;
    record.body = cJSON_CreateObject();
    if (!cJSON_AddStringToObject(record.body, "service_id", service) ||
        !cJSON_AddStringToObject(record.body, "location_id", location))
        code = KAART_NOMEM;
    if (code == 0)
        code = split->events->record(split->events->context, &record);
    cJSON_Delete(record.body);
    return code;
}

static int split_embedded(struct split *split, const struct embedding *embedding, cJSON *item,
                          cJSON *parent_body, const char *parent, const char *pointer, int depth)
{
    char id[UUID_TEXT_SIZE + 1] = "";
    if (!cJSON_IsObject(item)) {
        split->events->problem(split->events->context, pointer, "is no object");
        return 0;
    }
    if (embedding->child_ref && !json_get(item, embedding->child_ref) &&
        !cJSON_AddStringToObject(item, embedding->child_ref, parent))
        return KAART_NOMEM;
    int code = split_record(split, embedding->kind, item, pointer, parent, depth + 1, id);
    if (code == 0 && id[0] && embedding->parent_ref) {
        cJSON_DeleteItemFromObjectCaseSensitive(parent_body, embedding->parent_ref);
        if (!cJSON_AddStringToObject(parent_body, embedding->parent_ref, id))
            code = KAART_NOMEM;
    }
    if (code == 0 && id[0] && embedding->linked)
        code = give_link(split, parent, id, pointer);
    return code;
}

static int split_member(struct split *split, const struct embedding *embedding, cJSON *body, const char *id,
                        const char *pointer, int depth)
{
    char at[HSDS_POINTER_SIZE];
    int code = 0;
    size_t index = 0;
    cJSON *member = cJSON_DetachItemFromObjectCaseSensitive(body, embedding->member);
    if (!member)
        return 0;
    if (cJSON_IsArray(member)) {
        for (cJSON *item = member->child; item && code == 0; item = item->next, index++) {
            snprintf(at, sizeof(at), "%s/%s/%zu", pointer, embedding->member, index);
            code = split_embedded(split, embedding, item, body, id, at, depth);
        }
    } else if (!cJSON_IsNull(member)) {
        snprintf(at, sizeof(at), "%s/%s", pointer, embedding->member);
        code = split_embedded(split, embedding, member, body, id, at, depth);
    }
    cJSON_Delete(member);
    return code;
}

/* Sets `id` to "" where the record could not be taken (and says why). */
static int split_record(struct split *split, const char *kind, cJSON *body, const char *pointer,
                        const char *parent, int depth, char id[UUID_TEXT_SIZE + 1])
{
    struct hsds_record record = {
        .kind = kind, .body = body, .areas = split->areas, .pointer = pointer, .embedded = depth > 0};
    struct fault fault = {""};
    id[0] = '\0';
    if (depth > HSDS_DEPTH_MAX) {
        split->events->problem(split->events->context, pointer, "records stand too deep in each other");
        return 0;
    }
    int code = find_id(split->hsds, kind, body, parent, record.id, &fault);
    if (code == KAART_INVALID) {
        split->events->problem(split->events->context, pointer, fault.text);
        return 0;
    }
    cJSON_DeleteItemFromObjectCaseSensitive(body, "id");
    for (size_t i = 0; code == 0 && i < sizeof(embeddings) / sizeof(embeddings[0]); i++)
        if (strcmp(embeddings[i].parent, kind) == 0)
            code = split_member(split, &embeddings[i], body, record.id, pointer, depth);
    if (code == 0)
        code = put_references(split->hsds, kind, record.id, body, 0);
    const char *verified = json_get_string(body, "verified");
    int32_t day;
    if (verified && syntax_day_parse(verified, strlen(verified), &day) == 0) {
        snprintf(record.verified, sizeof(record.verified), "%.10s", verified);
        cJSON_DeleteItemFromObjectCaseSensitive(body, "verified");
    }
    if (code == 0)
        code = split->events->record(split->events->context, &record);
    snprintf(id, UUID_TEXT_SIZE + 1, "%s", record.id);
    return code;
}

int hsds_split(struct hsds *hsds, cJSON *document, const char *pointer, const struct hsds_events *events)
{
    struct split split = {.hsds = hsds, .events = events};
    char id[UUID_TEXT_SIZE + 1], at[HSDS_POINTER_SIZE];
    const char *said = NULL, *inside = "";
    if (!cJSON_IsObject(document)) {
        events->problem(events->context, pointer, "is no object");
        return 0;
    }
    cJSON *body = unwrap(document, &said, &inside);
    const char *kind = kind_of(hsds, body, said);
    if (!kind) {
        events->problem(events->context, pointer,
                        "which kind of record this is cannot be told from its members; say so with --kind");
        return 0;
    }
    split.areas =
        body != document && cJSON_IsArray(json_get(document, "areas")) ? json_get(document, "areas") : NULL;
    snprintf(at, sizeof(at), "%s%s", pointer, inside);
    return split_record(&split, kind, body, at, NULL, 0, id);
}

struct hsds *hsds_new(const char *origin, const char *source, const char *kind)
{
    struct hsds *hsds = calloc(1, sizeof(*hsds));
    if (hsds)
        *hsds = (struct hsds){origin, source, kind, NULL};
    return hsds;
}

static void free_known(void *node)
{
    struct known *known = node;
    free(known->key);
    free(known);
}

void hsds_free(struct hsds *hsds)
{
    if (!hsds)
        return;
    tdestroy(hsds->learned, free_known);
    free(hsds);
}
