/*
 * map_diff.c - a dry run: what another policy would change, record by record, without changing anything.
 *
 *     LINKS --every relation--> RECORDS --every record--> DONE
 *
 * Which records are the same depends on the policy too (only a steward's links count), so the links that there would be come first.
 * Then every record is resolved twice, from the same claims: by the policy in force, and by the other one. A page of records is one read.
 */
#include "daemon/store/map_internal.h"

#include "protocol/json.h"
#include "protocol/syntax.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Changes that are listed hold whole values; beyond this they are only counted, like those beyond shown_max. */
#define SHOWN_SIZE_MAX (8u * 1024 * 1024)

enum phase { PHASE_LINKS, PHASE_RECORDS, PHASE_DONE };

struct map_diff {
    struct policy *from, *to;
    int32_t day;
    size_t shown_max, shown, shown_size;
    enum phase phase;
    char kind[NAME_MAX_SIZE + 1]; /* where the last page ended */
    uint8_t uuid[16];
    struct link_set *links;
    size_t records, incomplete, changed_records, changed_fields, changed_values, appear, disappear;
    cJSON *changes; /* array */
    cJSON *feeds;   /* {feed:{"gains","loses"}} */
};

static int no_memory(struct fault *fault)
{
    return fault_set(fault, KAART_NOMEM, "out of memory");
}

int map_diff_new(const struct policy *from, const struct policy *to, int32_t day, size_t shown_max,
                 struct map_diff **out, struct fault *fault)
{
    struct map_diff *diff = calloc(1, sizeof *diff);
    if (!diff)
        return no_memory(fault);
    diff->from = policy_hold(from);
    diff->to = policy_hold(to);
    diff->day = day;
    diff->shown_max = shown_max;
    diff->links = link_set_new();
    diff->changes = cJSON_CreateArray();
    diff->feeds = cJSON_CreateObject();
    snprintf(diff->kind, sizeof diff->kind, "relation");
    if (!diff->links || !diff->changes || !diff->feeds) {
        map_diff_free(diff);
        return no_memory(fault);
    }
    *out = diff;
    return KAART_OK;
}

void map_diff_free(struct map_diff *diff)
{
    if (!diff)
        return;
    policy_release(diff->from);
    policy_release(diff->to);
    link_set_free(diff->links);
    cJSON_Delete(diff->changes);
    cJSON_Delete(diff->feeds);
    free(diff);
}

/* ---- one change ---- */

/* A record's resolution under one of the policies. */
struct outcome {
    struct record_claims *claims;
    struct resolution *resolution; /* NULL: the record would not be there */
};

static cJSON *side_json(const struct outcome *outcome, const struct resolved_field *field)
{
    if (!field)
        return cJSON_CreateNull();
    const struct claim *claim = &outcome->claims->claims[field->winner];
    const char *role = outcome->resolution->judgements[field->winner].role;
    cJSON *side = cJSON_CreateObject(), *value = cJSON_Duplicate(field->value, true);
    bool good = side && value && cJSON_AddStringToObject(side, "feed", claim->feed) &&
                cJSON_AddNumberToObject(side, "seq", (double)claim->seq) &&
                cJSON_AddStringToObject(side, "source", claim->source) &&
                cJSON_AddStringToObject(side, "role", claim->role) &&
                (strcmp(role, claim->role) == 0 || cJSON_AddStringToObject(side, "countsAs", role)) &&
                cJSON_AddStringToObject(side, "rule", resolve_rule_name(field->rule)) &&
                cJSON_AddItemToObject(side, "value", value);
    if (good)
        return side;
    if (value && !json_get(side, "value"))
        cJSON_Delete(value);
    cJSON_Delete(side);
    return NULL;
}

/* What the record is called, by the first of the outcomes that has it. malloc'ed or NULL. */
static char *name_of(const char *kind, const struct outcome *outcome)
{
    cJSON *object = outcome->resolution ? cJSON_CreateObject() : NULL;
    for (size_t i = 0; object && i < outcome->resolution->field_count; i++) {
        const struct resolved_field *field = &outcome->resolution->fields[i];
        cJSON_AddItemReferenceToObject(object, field->name, (cJSON *)(uintptr_t)field->value);
    }
    const char *name = object ? record_name(kind, object) : NULL;
    char *copy = name ? strdup(name) : NULL;
    cJSON_Delete(object);
    return copy;
}

struct change {
    const struct record_place *place;
    const struct outcome *old, *new;
    const struct resolved_field *from, *to; /* one may be NULL */
    bool same_value;
};

static cJSON *change_json(const struct change *change)
{
    const struct resolved_field *field = change->from ? change->from : change->to;
    cJSON *object = cJSON_CreateObject(), *from = side_json(change->old, change->from),
          *to = side_json(change->new, change->to);
    char *name = name_of(change->place->kind, change->old->resolution ? change->old : change->new);
    bool good = object && from && to && cJSON_AddStringToObject(object, "kind", change->place->kind) &&
                cJSON_AddStringToObject(object, "id", change->place->id) &&
                cJSON_AddStringToObject(object, "name", name ? name : "") &&
                cJSON_AddStringToObject(object, "field", field->name) &&
                cJSON_AddStringToObject(object, "group", field_group_name(field->group)) &&
                cJSON_AddBoolToObject(object, "sameValue", change->same_value);
    free(name);
    if (good && cJSON_AddItemToObject(object, "from", from)) {
        from = NULL;
        if (cJSON_AddItemToObject(object, "to", to))
            return object;
    }
    cJSON_Delete(from);
    cJSON_Delete(to);
    cJSON_Delete(object);
    return NULL;
}

static int list_change(struct map_diff *diff, const struct change *change, struct fault *fault)
{
    cJSON *object = change_json(change);
    char *text = object ? cJSON_PrintUnformatted(object) : NULL;
    size_t size = text ? strlen(text) : 0;
    bool fits = diff->shown_size + size <= SHOWN_SIZE_MAX;
    cJSON_free(text);
    if (!object || !text)
        goto failed;
    if (!fits) {
        diff->shown_max = diff->shown; /* the rest is counted only */
        cJSON_Delete(object);
        return KAART_OK;
    }
    if (!cJSON_AddItemToArray(diff->changes, object))
        goto failed;
    diff->shown++;
    diff->shown_size += size;
    return KAART_OK;
failed:
    cJSON_Delete(object);
    return no_memory(fault);
}

static int count_for_feed(struct map_diff *diff, const struct outcome *outcome,
                          const struct resolved_field *field, const char *what, struct fault *fault)
{
    if (!field)
        return KAART_OK;
    const char *feed = outcome->claims->claims[field->winner].feed;
    cJSON *counts = cJSON_GetObjectItemCaseSensitive(diff->feeds, feed);
    if (!counts &&
        (!(counts = cJSON_AddObjectToObject(diff->feeds, feed)) ||
         !cJSON_AddNumberToObject(counts, "gains", 0) || !cJSON_AddNumberToObject(counts, "loses", 0)))
        return no_memory(fault);
    cJSON *count = cJSON_GetObjectItemCaseSensitive(counts, what);
    cJSON_SetNumberValue(count, count->valuedouble + 1);
    return KAART_OK;
}

static int note_change(struct map_diff *diff, const struct change *change, struct fault *fault)
{
    diff->changed_fields++;
    diff->changed_values += !change->same_value;
    int code = count_for_feed(diff, change->old, change->from, "loses", fault);
    if (!code)
        code = count_for_feed(diff, change->new, change->to, "gains", fault);
    if (!code && diff->shown < diff->shown_max)
        code = list_change(diff, change, fault);
    return code;
}

/* ---- one record ---- */

static size_t field_count(const struct outcome *outcome)
{
    return outcome->resolution ? outcome->resolution->field_count : 0;
}

static bool same_winner(const struct change *change)
{
    const struct claim *from = &change->old->claims->claims[change->from->winner],
                       *to = &change->new->claims->claims[change->to->winner];
    return from->seq == to->seq && strcmp(from->feed, to->feed) == 0;
}

/* Both lists of fields are sorted by name: one pass over the two. */
static int compare(struct map_diff *diff, const struct record_place *place, const struct outcome *old,
                   const struct outcome *new, struct fault *fault)
{
    size_t i = 0, j = 0, before = diff->changed_fields;
    int code = KAART_OK;
    while ((i < field_count(old) || j < field_count(new)) && !code) {
        struct change change = {.place = place, .old = old, .new = new};
        int order = i == field_count(old) ? 1
                    : j == field_count(new)
                        ? -1
                        : strcmp(old->resolution->fields[i].name, new->resolution->fields[j].name);
        if (order <= 0)
            change.from = &old->resolution->fields[i++];
        if (order >= 0)
            change.to = &new->resolution->fields[j++];
        if (order == 0 && same_winner(&change))
            continue;
        change.same_value = order == 0 && json_equal(change.from->value, change.to->value);
        code = note_change(diff, &change, fault);
    }
    diff->changed_records += diff->changed_fields > before;
    diff->appear += field_count(old) == 0 && field_count(new) > 0;
    diff->disappear += field_count(old) > 0 && field_count(new) == 0;
    return code;
}

static int resolve(const struct policy *policy, int32_t day, struct outcome *outcome, struct fault *fault)
{
    int code =
        resolve_record(policy, outcome->claims->claims, outcome->claims->count, day, &outcome->resolution);
    return code ? no_memory(fault) : KAART_OK;
}

/* Resolves the rows of both sides and compares; the claims are read once where the rows are the same. */
static int compare_members(struct map *map, struct map_diff *diff, const struct record_place *place,
                           const struct record_members *from, const struct record_members *to,
                           struct fault *fault)
{
    struct record_claims claims = {0}, others = {0};
    struct outcome old = {.claims = &claims}, new = {.claims = &claims};
    bool same = from->count == to->count &&
                memcmp(from->records, to->records, from->count * sizeof *from->records) == 0;
    int code = KAART_OK;
    if (!same)
        new.claims = &others;
    if (from->count)
        code = record_claims_load(map, from->records, from->count, NULL, &claims, fault);
    if (!code && !same && to->count)
        code = record_claims_load(map, to->records, to->count, NULL, &others, fault);
    if (!code && from->count)
        code = resolve(diff->from, diff->day, &old, fault);
    if (!code && to->count)
        code = resolve(diff->to, diff->day, &new, fault);
    if (!code)
        code = compare(diff, place, &old, &new, fault);
    diff->incomplete += claims.incomplete || others.incomplete;
    resolution_free(old.resolution);
    resolution_free(new.resolution);
    record_claims_clear(&claims);
    record_claims_clear(&others);
    return code;
}

/* ---- whose claims count for it ---- */

static int add_member(struct record_members *members, int64_t record, struct fault *fault)
{
    int64_t *grown = realloc(members->records, (members->count + 1) * sizeof *grown);
    if (!grown)
        return no_memory(fault);
    members->records = grown;
    members->records[members->count++] = record;
    return KAART_OK;
}

/* The row of (kind, id), 0 where there is none. */
static int row_of(struct map *map, const char *kind, const char *id, int64_t *record, struct fault *fault)
{
    sqlite3_stmt *statement;
    *record = 0;
    int code = map_statement(map, Q_RECORD_FIND, &statement, fault);
    if (code)
        return code;
    map_bind_text(statement, 1, kind);
    map_bind_uuid(statement, 2, id);
    code = map_step(map, statement, fault);
    if (code > 0)
        *record = sqlite3_column_int64(statement, 0);
    sqlite3_reset(statement);
    return code < 0 ? code : KAART_OK;
}

struct gathering {
    struct map *map;
    const struct record_place *place;
    struct record_members *members;
    struct fault *fault;
};

static int gather_part(void *context, const char *alias)
{
    struct gathering *gathering = context;
    int64_t record;
    int code = row_of(gathering->map, gathering->place->kind, alias, &record, gathering->fault);
    return !code && record ? add_member(gathering->members, record, gathering->fault) : code;
}

/* As map_record_members, by the links that there would be; none of an alias. */
static int members_then(struct map *map, const struct map_diff *diff, const struct record_place *place,
                        struct record_members *out, struct fault *fault)
{
    struct gathering gathering = {map, place, out, fault};
    if (link_set_main(diff->links, place))
        return KAART_OK;
    int code = place->record ? add_member(out, place->record, fault) : KAART_OK;
    return code ? code : link_set_parts(diff->links, place, gather_part, &gathering);
}

static int members_now(struct map *map, const struct record_place *place, struct record_members *out,
                       struct fault *fault)
{
    char main[UUID_TEXT_SIZE + 1] = "";
    int code = place->record ? map_link_main(map, place, main, fault) : KAART_OK;
    return code || main[0] || !place->record ? code : map_record_members(map, place, out, fault);
}

static int look_at(struct map *map, struct map_diff *diff, const struct record_place *place,
                   struct fault *fault)
{
    struct record_members from = {0}, to = {0};
    int code = members_now(map, place, &from, fault);
    if (!code)
        code = members_then(map, diff, place, &to, fault);
    if (!code && (from.count || to.count))
        code = compare_members(map, diff, place, &from, &to, fault);
    free(from.records);
    free(to.records);
    return code;
}

/* A main record that nobody speaks about but under its aliases' ids has no row yet: it is looked at with the first of them. */
static int look_at_main(struct map *map, struct map_diff *diff, const struct record_place *alias,
                        struct fault *fault)
{
    const char *main = link_set_main(diff->links, alias);
    struct record_place place = *alias;
    struct record_members parts = {0};
    if (!main)
        return KAART_OK;
    snprintf(place.id, sizeof place.id, "%s", main);
    int code = row_of(map, place.kind, place.id, &place.record, fault);
    if (code || place.record)
        return code;
    code = members_then(map, diff, &place, &parts, fault);
    if (!code && parts.count && parts.records[0] == alias->record)
        code = look_at(map, diff, &place, fault);
    free(parts.records);
    return code;
}

/* ---- pages ---- */

/* At most `limit` rows behind the last ones; *out malloc'ed. */
static int read_page(struct map *map, struct map_diff *diff, size_t limit, struct record_place **out,
                     size_t *count, struct fault *fault)
{
    sqlite3_stmt *statement;
    struct record_place *places = calloc(limit, sizeof *places);
    *count = 0;
    int code = places ? map_statement(map, Q_RECORD_ROWS, &statement, fault) : no_memory(fault);
    if (code) {
        free(places);
        return code;
    }
    map_bind_text(statement, 1, diff->kind);
    sqlite3_bind_blob(statement, 2, diff->uuid, sizeof diff->uuid, SQLITE_TRANSIENT);
    sqlite3_bind_int64(statement, 3, (sqlite3_int64)limit);
    while ((code = map_step(map, statement, fault)) > 0) {
        struct record_place *place = &places[*count];
        place->record = sqlite3_column_int64(statement, 0);
        snprintf(diff->kind, sizeof diff->kind, "%s", (const char *)sqlite3_column_text(statement, 1));
        if (sqlite3_column_bytes(statement, 2) == sizeof diff->uuid)
            memcpy(diff->uuid, sqlite3_column_blob(statement, 2), sizeof diff->uuid);
        memcpy(place->kind, diff->kind, sizeof place->kind);
        map_uuid_text(diff->uuid, place->id);
        ++*count;
    }
    if (code)
        free(places);
    else
        *out = places;
    return code;
}

/* Which link a relation would be. */
static int look_at_relation(struct map *map, struct map_diff *diff, const struct record_place *place,
                            struct fault *fault)
{
    struct record_claims claims = {0};
    struct outcome then = {.claims = &claims};
    struct link link;
    int code = record_claims_load(map, &place->record, 1, NULL, &claims, fault);
    if (!code)
        code = resolve(diff->to, diff->day, &then, fault);
    if (!code) {
        map_link_of(then.resolution, &link);
        if (link.alias[0])
            code = link_set_add(diff->links, &link, fault);
    }
    resolution_free(then.resolution);
    record_claims_clear(&claims);
    return code;
}

static int begin_records(struct map_diff *diff, struct fault *fault)
{
    diff->phase = PHASE_RECORDS;
    diff->kind[0] = '\0';
    memset(diff->uuid, 0, sizeof diff->uuid);
    return link_set_close(diff->links, fault);
}

static int step(struct map *map, struct map_diff *diff, size_t limit, struct fault *fault)
{
    struct record_place *places = NULL;
    size_t count = 0;
    bool at_end;
    int code = read_page(map, diff, limit, &places, &count, fault);
    at_end = count < limit;
    for (size_t i = 0; i < count && !code; i++) {
        if (diff->phase == PHASE_RECORDS) {
            diff->records++;
            code = look_at(map, diff, &places[i], fault);
            if (!code)
                code = look_at_main(map, diff, &places[i], fault);
        } else if (strcmp(places[i].kind, "relation") == 0) {
            code = look_at_relation(map, diff, &places[i], fault);
        } else {
            at_end = true; /* of the relations */
            break;
        }
    }
    free(places);
    if (code || !at_end)
        return code;
    if (diff->phase == PHASE_LINKS)
        return begin_records(diff, fault);
    diff->phase = PHASE_DONE;
    return KAART_OK;
}

int map_diff_step(struct map *map, struct map_diff *diff, size_t limit, bool *more, struct fault *fault)
{
    *more = false;
    if (diff->phase == PHASE_DONE)
        return KAART_OK;
    int code = map_read_begin(map, fault);
    if (code)
        return code;
    code = step(map, diff, limit ? limit : 1, fault);
    map_read_end(map);
    *more = !code && diff->phase != PHASE_DONE;
    return code;
}

/* ---- what came of it ---- */

/* Whether some public feed of this origin is in the map. */
static int origin_held(struct map *map, const char *origin, bool *held, struct fault *fault)
{
    char feed[FEED_NAME_MAX_SIZE + 16];
    sqlite3_stmt *statement;
    *held = false;
    snprintf(feed, sizeof feed, "%s/public", origin);
    int code = map_statement(map, Q_FEED_BY_NAME, &statement, fault);
    if (code)
        return code;
    map_bind_text(statement, 1, feed);
    code = map_step(map, statement, fault);
    *held = code > 0;
    sqlite3_reset(statement);
    return code < 0 ? code : KAART_OK;
}

/* Origins stand in lines of the canonical text [POL-1]. */
static int add_not_held(struct map *map, const struct policy *policy, cJSON *list, struct fault *fault)
{
    static const char begins[] = "\norigin ";
    int code = KAART_OK;
    for (const char *at = strstr(policy_text(policy, NULL), begins); at && !code;
         at = strstr(at + 1, begins)) {
        char origin[FEED_NAME_MAX_SIZE + 1];
        const char *name = at + strlen(begins);
        bool held = false;
        snprintf(origin, sizeof origin, "%.*s", (int)strcspn(name, " "), name);
        code = origin_held(map, origin, &held, fault);
        if (!code && !held && !cJSON_AddItemToArray(list, cJSON_CreateString(origin)))
            code = no_memory(fault);
    }
    return code;
}

static bool add_counts(cJSON *object, const struct map_diff *diff)
{
    cJSON *changed;
    return cJSON_AddNumberToObject(object, "records", (double)diff->records) &&
           cJSON_AddNumberToObject(object, "incomplete", (double)diff->incomplete) &&
           (changed = cJSON_AddObjectToObject(object, "changed")) &&
           cJSON_AddNumberToObject(changed, "records", (double)diff->changed_records) &&
           cJSON_AddNumberToObject(changed, "fields", (double)diff->changed_fields) &&
           cJSON_AddNumberToObject(changed, "values", (double)diff->changed_values) &&
           cJSON_AddNumberToObject(changed, "appear", (double)diff->appear) &&
           cJSON_AddNumberToObject(changed, "disappear", (double)diff->disappear);
}

/* Moves a value into the result. */
static bool hand_over(cJSON *object, const char *name, cJSON **value)
{
    if (!cJSON_AddItemToObject(object, name, *value))
        return false;
    *value = NULL;
    return true;
}

int map_diff_result(struct map *map, struct map_diff *diff, cJSON **out, struct fault *fault)
{
    char day[DAY_TEXT_SIZE + 1];
    int64_t caught_up = 0;
    cJSON *object = cJSON_CreateObject(), *not_held;
    syntax_day_format(diff->day, day);
    int code = map_read_begin(map, fault);
    if (!code) {
        code = map_state_number(map, "caught-up", &caught_up, fault);
        if (!code && (!object || !cJSON_AddStringToObject(object, "day", day) ||
                      !cJSON_AddBoolToObject(object, "caughtUp", caught_up != 0) ||
                      !add_counts(object, diff) || !(not_held = cJSON_AddArrayToObject(object, "notHeld"))))
            code = no_memory(fault);
        if (!code)
            code = add_not_held(map, diff->to, not_held, fault);
        map_read_end(map);
    }
    if (!code && (!cJSON_AddNumberToObject(object, "more", (double)(diff->changed_fields - diff->shown)) ||
                  !hand_over(object, "feeds", &diff->feeds) || !hand_over(object, "changes", &diff->changes)))
        code = no_memory(fault);
    if (code)
        cJSON_Delete(object);
    else
        *out = object;
    return code;
}
