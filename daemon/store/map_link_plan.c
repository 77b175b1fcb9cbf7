/*
 * map_link_plan.c - what this node has to say so that two records are one, or two again. spec/resolution.md, section "Links".
 *
 *     refuse what cannot be in force --> as wanted already? nothing
 *                                    --> does taking an own opposite word back suffice? retract it
 *                                    --> does an own word suffice? assert it
 *                                    --> else refuse: somebody else's word goes before ours
 *
 * Nothing is written here. Each of both steps is tried on the claims as they are, so that what is proposed takes effect. The words
 * "same" and "not the same" have a source each: whoever takes one back finds everything as it was before [LINK-6].
 */
#include "daemon/store/map_internal.h"

#include "protocol/identity.h"
#include "protocol/json.h"
#include "protocol/syntax.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAME "same-as"
#define NOT_SAME "not-same-as"
#define ALL_OWN SIZE_MAX
/* No record has it: a UUID has a version. */
#define NOBODY "00000000-0000-0000-0000-000000000000"

struct end {
    char id[UUID_TEXT_SIZE + 1], kind[NAME_MAX_SIZE + 1];
    char name[256];
};

struct plan {
    struct map *map;
    const struct map_link_question *question;
    struct end alias, main;
    struct record_place relation; /* .record 0: nobody said anything about the pair */
    struct record_claims claims;
    /* What is told. */
    const char *action, *type;
    const char *source, *role;
    char now[NAME_MAX_SIZE + 1];
    struct fault *fault;
};

/* ---- the ends ---- */

static int find_end(struct plan *plan, const char *id, struct end *end)
{
    struct found_record found;
    snprintf(end->id, sizeof end->id, "%.36s", id);
    int code = map_find(plan->map, plan->question->kind, id, &found, plan->fault);
    /* What was said about a record that is gone can still be taken back. */
    if (code == KAART_UNKNOWN && !plan->question->link && plan->relation.record)
        return KAART_OK;
    if (code == KAART_UNKNOWN)
        return fault_set(plan->fault, code, "There is no record %s; kaartctl search finds ids.", id);
    if (code)
        return code;
    cJSON *record = cJSON_Parse(found.json);
    const char *name = record ? record_name(found.place.kind, record) : NULL;
    snprintf(end->name, sizeof end->name, "%.255s", name ? name : "");
    snprintf(end->kind, sizeof end->kind, "%s", found.place.kind);
    cJSON_Delete(record);
    found_record_clear(&found);
    return KAART_OK;
}

static int find_ends(struct plan *plan)
{
    const struct map_link_question *asked = plan->question;
    int code = find_end(plan, asked->alias, &plan->alias);
    if (!code)
        code = find_end(plan, asked->main, &plan->main);
    if (code)
        return code;
    if (plan->alias.kind[0] && plan->main.kind[0] && strcmp(plan->alias.kind, plan->main.kind) != 0)
        return fault_set(
            plan->fault, KAART_INVALID,
            "%s is a record of kind %s, %s one of kind %s; only records of one kind can be the same.",
            asked->alias, plan->alias.kind, asked->main, plan->main.kind);
    if (strcmp(plan->alias.kind, "relation") == 0)
        return fault_set(plan->fault, KAART_INVALID, "Relations are not linked to each other [LINK-3].");
    return KAART_OK;
}

/* Whoever a link leads to or from, in force or not, but `except`; empty where there is none. */
static int other_end(struct plan *plan, enum map_query query, const char *id, const char *except,
                     char out[UUID_TEXT_SIZE + 1])
{
    sqlite3_stmt *statement;
    out[0] = '\0';
    int code = map_statement(plan->map, query, &statement, plan->fault);
    if (code)
        return code;
    map_bind_uuid(statement, 1, id);
    map_bind_uuid(statement, 2, except);
    code = map_step(plan->map, statement, plan->fault);
    if (code <= 0)
        return code;
    map_uuid_text(sqlite3_column_blob(statement, 0), out);
    sqlite3_reset(statement);
    return KAART_OK;
}

/* [LINK-5]: a link that could not come into force, or would put another one out of force, is refused with what to do instead. */
static int check_chain(struct plan *plan)
{
    const char *alias = plan->alias.id, *main = plan->main.id;
    char other[UUID_TEXT_SIZE + 1];
    int code = other_end(plan, Q_LINK_FROM, main, NOBODY, other);
    if (!code && other[0] && strcmp(other, alias) == 0)
        return fault_set(
            plan->fault, KAART_INVALID,
            "%s is an alias of %s already, the other way round; to turn the link: kaartctl unlink %s %s",
            main, alias, main, alias);
    if (!code && other[0])
        return fault_set(plan->fault, KAART_INVALID,
                         "%s is itself an alias of %s; link to that one: kaartctl link %s %s", main, other,
                         alias, other);
    if (!code)
        code = other_end(plan, Q_LINK_FROM, alias, main, other);
    if (!code && other[0])
        return fault_set(
            plan->fault, KAART_INVALID,
            "%s is an alias of %s already, and has one main record only; first: kaartctl unlink %s %s", alias,
            other, alias, other);
    if (!code)
        code = other_end(plan, Q_LINK_TO, alias, NOBODY, other);
    if (!code && other[0])
        return fault_set(
            plan->fault, KAART_INVALID,
            "%s is the main record of %s, and a main record is no alias; link the other way round: "
            "kaartctl link %s %s",
            alias, other, main, alias);
    return code;
}

/* ---- what is said about the pair ---- */

static int load_relation(struct plan *plan)
{
    struct found_record found;
    char id[UUID_TEXT_SIZE + 1];
    if (strcmp(plan->question->alias, plan->question->main) == 0)
        return fault_set(plan->fault, KAART_INVALID, "Both are the record %s; a link needs two.",
                         plan->question->main);
    int code = identity_of_pair(plan->question->alias, plan->question->main, id);
    snprintf(plan->relation.id, sizeof plan->relation.id, "%s", id);
    snprintf(plan->relation.kind, sizeof plan->relation.kind, "relation");
    if (!code)
        code = map_find(plan->map, "relation", id, &found, plan->fault);
    if (code == KAART_UNKNOWN)
        return KAART_OK;
    if (code)
        return code;
    plan->relation = found.place;
    found_record_clear(&found);
    return record_claims_load(plan->map, &plan->relation.record, 1, NULL, &plan->claims, plan->fault);
}

static const char *type_of(const struct claim *claim)
{
    const char *type = json_get_string(claim->body, "type");
    return type ? type : "";
}

static bool is_own(const struct plan *plan, const struct claim *claim)
{
    return strcmp(claim->feed, plan->question->feed) == 0;
}

struct outcome {
    char type[NAME_MAX_SIZE + 1];
    bool directed; /* from the alias to the main record */
};

static int resolve_pair(struct plan *plan, const struct claim *claims, size_t count, struct outcome *out)
{
    struct resolution *resolution = NULL;
    const char *from = "", *to = "";
    memset(out, 0, sizeof *out);
    int code = resolve_record(plan->question->policy, claims, count, plan->question->day, &resolution);
    for (size_t i = 0; !code && i < resolution->field_count; i++) {
        const struct resolved_field *field = &resolution->fields[i];
        const char *text = cJSON_IsString(field->value) ? field->value->valuestring : "";
        if (strcmp(field->name, "type") == 0)
            snprintf(out->type, sizeof out->type, "%.32s", text);
        else if (strcmp(field->name, "from_id") == 0)
            from = text;
        else if (strcmp(field->name, "to_id") == 0)
            to = text;
    }
    out->directed = strcmp(from, plan->alias.id) == 0 && strcmp(to, plan->main.id) == 0;
    resolution_free(resolution);
    return code ? fault_set(plan->fault, code, "out of memory") : KAART_OK;
}

/* Whether that is what was asked for. `said`: the pair was not linked before, so that it has to be said in as many words. */
static bool reached(const struct plan *plan, const struct outcome *outcome, bool said)
{
    if (plan->question->link)
        return strcmp(outcome->type, SAME) == 0 && outcome->directed;
    return said ? strcmp(outcome->type, NOT_SAME) == 0 : strcmp(outcome->type, SAME) != 0;
}

/* ---- what to say ---- */

/* The pair as it is without one claim, or without all of this node's (`without` its index, or ALL_OWN). */
static int resolve_without(struct plan *plan, size_t without, struct outcome *out)
{
    struct claim *rest = calloc(plan->claims.count + 1, sizeof *rest);
    size_t count = 0;
    if (!rest)
        return fault_set(plan->fault, KAART_NOMEM, "out of memory");
    for (size_t i = 0; i < plan->claims.count; i++)
        if (without == ALL_OWN ? !is_own(plan, &plan->claims.claims[i]) : i != without)
            rest[count++] = plan->claims.claims[i];
    int code = resolve_pair(plan, rest, count, out);
    free(rest);
    return code;
}

/* Whether our word stands already, so that to say it again would be no newer claim. */
static bool is_said(const struct plan *plan)
{
    const char *wanted = plan->question->link ? SAME : NOT_SAME,
               *source = plan->question->link ? LINK_SOURCE : UNLINK_SOURCE;
    for (size_t i = 0; i < plan->claims.count; i++)
        if (is_own(plan, &plan->claims.claims[i]) && strcmp(plan->claims.claims[i].source, source) == 0 &&
            strcmp(type_of(&plan->claims.claims[i]), wanted) == 0)
            return true;
    return false;
}

/*
 * An own word to the contrary that decides: without it, it is as wanted. That has to follow from what others say: if it were an own
 * older word that comes to hold again, taking back this one could not be undone by taking back that one.
 */
static int try_retract(struct plan *plan, bool said, bool *good)
{
    const char *contrary = plan->question->link ? NOT_SAME : SAME;
    struct outcome outcome;
    *good = false;
    int code = resolve_without(plan, ALL_OWN, &outcome);
    if (code || (!reached(plan, &outcome, said) && !is_said(plan)))
        return code;
    for (size_t i = 0; !code && !*good && i < plan->claims.count; i++) {
        const struct claim *claim = &plan->claims.claims[i];
        if (!is_own(plan, claim) || strcmp(type_of(claim), contrary) != 0)
            continue;
        code = resolve_without(plan, i, &outcome);
        if (!code && reached(plan, &outcome, said)) {
            *good = true;
            plan->action = "retract";
            plan->type = contrary;
            plan->source = claim->source;
            plan->role = claim->role;
        }
    }
    return code;
}

static cJSON *own_areas(const struct policy_origin *origin)
{
    cJSON *areas = cJSON_CreateArray();
    for (char **area = origin->areas; areas && area && *area; area++)
        cJSON_AddItemToArray(areas, cJSON_CreateString(*area));
    return areas;
}

/* What is not the same has no direction: the lesser id stands first. */
static cJSON *make_body(const struct plan *plan, const char *type)
{
    bool turned = strcmp(type, NOT_SAME) == 0 && strcmp(plan->alias.id, plan->main.id) > 0;
    const struct end *from = turned ? &plan->main : &plan->alias, *to = turned ? &plan->alias : &plan->main;
    cJSON *body = cJSON_CreateObject();
    if (body && cJSON_AddStringToObject(body, "type", type) &&
        cJSON_AddStringToObject(body, "from_id", from->id) &&
        cJSON_AddStringToObject(body, "to_id", to->id) &&
        (!from->kind[0] || cJSON_AddStringToObject(body, "from_kind", from->kind)) &&
        (!to->kind[0] || cJSON_AddStringToObject(body, "to_kind", to->kind)))
        return body;
    cJSON_Delete(body);
    return NULL;
}

/* Our word beside (or in the place of) what is said already. */
static int try_assert(struct plan *plan, const struct policy_origin *origin, bool said, bool *good)
{
    const char *type = plan->question->link ? SAME : NOT_SAME,
               *source = plan->question->link ? LINK_SOURCE : UNLINK_SOURCE;
    struct claim *with = calloc(plan->claims.count + 1, sizeof *with);
    cJSON *areas = own_areas(origin), *body = make_body(plan, type);
    struct outcome outcome;
    size_t count = 0;
    int code = with && areas && body ? KAART_OK : fault_set(plan->fault, KAART_NOMEM, "out of memory");
    for (size_t i = 0; !code && i < plan->claims.count; i++)
        if (!is_own(plan, &plan->claims.claims[i]) || strcmp(plan->claims.claims[i].source, source) != 0)
            with[count++] = plan->claims.claims[i];
    if (!code) {
        with[count++] = (struct claim){.feed = plan->question->feed,
                                       .seq = SEQ_MAX,
                                       .kind = "relation",
                                       .id = plan->relation.id,
                                       .source = source,
                                       .role = "editor",
                                       .at_ms = plan->question->now_ms,
                                       .verified = DAY_NONE,
                                       .missing_since = DAY_NONE,
                                       .confirmed = DAY_NONE,
                                       .areas = cJSON_GetArraySize(areas) ? areas : NULL,
                                       .body = body};
        code = resolve_pair(plan, with, count, &outcome);
    }
    *good = !code && reached(plan, &outcome, said);
    plan->action = "assert";
    plan->type = type;
    plan->source = source;
    plan->role = "editor";
    cJSON_Delete(areas);
    cJSON_Delete(body);
    free(with);
    return code;
}

/* Whose word goes before ours. */
static int refuse(struct plan *plan)
{
    const char *contrary = plan->question->link ? NOT_SAME : SAME, *feed = "somebody else";
    for (size_t i = 0; i < plan->claims.count; i++)
        if (!is_own(plan, &plan->claims.claims[i]) && strcmp(type_of(&plan->claims.claims[i]), contrary) == 0)
            feed = plan->claims.claims[i].feed;
    return fault_set(
        plan->fault, KAART_INVALID,
        "It would change nothing: what %s says about this pair (%s) goes before this node's word; "
        "kaartctl why %s shows by which rule. Ask them, or take steward from them in the configuration.",
        feed, contrary, plan->relation.id);
}

static int decide(struct plan *plan)
{
    const struct map_link_question *asked = plan->question;
    const struct policy_origin *origin = policy_origin(asked->policy, asked->feed, strcspn(asked->feed, "/"));
    struct outcome outcome;
    bool good = false;
    if (!origin || !origin->steward || origin->suspended)
        return fault_set(plan->fault, KAART_INVALID,
                         "This node is not a steward in its own policy, so its links do not count [RES-4].");
    int code = resolve_pair(plan, plan->claims.claims, plan->claims.count, &outcome);
    if (code)
        return code;
    bool said = strcmp(outcome.type, SAME) != 0;
    snprintf(plan->now, sizeof plan->now, "%s", outcome.type);
    if (reached(plan, &outcome, said)) {
        plan->action = "none";
        plan->type = asked->link ? SAME : NOT_SAME;
        return KAART_OK;
    }
    if (asked->link && (code = check_chain(plan)))
        return code;
    code = try_retract(plan, said, &good);
    if (!code && !good)
        code = try_assert(plan, origin, said, &good);
    return code || good ? code : refuse(plan);
}

/* ---- what is told ---- */

static bool add_end(cJSON *to, const char *name, const struct end *end)
{
    cJSON *object = cJSON_AddObjectToObject(to, name);
    return object && cJSON_AddStringToObject(object, "kind", end->kind) &&
           cJSON_AddStringToObject(object, "id", end->id) &&
           cJSON_AddStringToObject(object, "name", end->name);
}

static bool add_claims(cJSON *to, const struct plan *plan)
{
    char at[INSTANT_TEXT_SIZE + 1];
    cJSON *list = cJSON_AddArrayToObject(to, "said");
    for (size_t i = 0; list && i < plan->claims.count; i++) {
        const struct claim *claim = &plan->claims.claims[i];
        cJSON *item = cJSON_CreateObject();
        if (!item || !cJSON_AddItemToArray(list, item)) {
            cJSON_Delete(item);
            return false;
        }
        syntax_instant_format(claim->at_ms, at);
        if (!cJSON_AddStringToObject(item, "type", type_of(claim)) ||
            !cJSON_AddStringToObject(item, "feed", claim->feed) ||
            !cJSON_AddStringToObject(item, "source", claim->source) ||
            !cJSON_AddStringToObject(item, "role", claim->role) || !cJSON_AddStringToObject(item, "at", at))
            return false;
    }
    return list != NULL;
}

static int tell(const struct plan *plan, cJSON **out)
{
    cJSON *result = *out = cJSON_CreateObject();
    bool good = result && add_end(result, plan->question->link ? "alias" : "one", &plan->alias) &&
                add_end(result, plan->question->link ? "main" : "other", &plan->main) &&
                cJSON_AddStringToObject(result, "relation", plan->relation.id) &&
                cJSON_AddStringToObject(result, "now", plan->now[0] ? plan->now : "nothing") &&
                cJSON_AddStringToObject(result, "action", plan->action) &&
                cJSON_AddStringToObject(result, "type", plan->type) &&
                (!plan->source || (cJSON_AddStringToObject(result, "source", plan->source) &&
                                   cJSON_AddStringToObject(result, "role", plan->role))) &&
                add_claims(result, plan);
    if (good && strcmp(plan->action, "assert") == 0) {
        cJSON *body = make_body(plan, plan->type);
        good = body && cJSON_AddItemToObject(result, "body", body);
        if (!good)
            cJSON_Delete(body);
    }
    return good ? KAART_OK : fault_set(plan->fault, KAART_NOMEM, "out of memory");
}

/* What was said a moment ago has to be in the map: otherwise an unlink right after a link would not see it. */
static int check_followed(struct plan *plan)
{
    struct feed_head head;
    sqlite3_stmt *row;
    int64_t caught_up = 0;
    bool same = false;
    int code = feeds_head(plan->map->feeds, plan->question->feed, &head, plan->fault);
    if (code == KAART_UNKNOWN)
        return KAART_OK;
    if (!code)
        code = map_state_number(plan->map, "caught-up", &caught_up, plan->fault);
    if (!code)
        code = map_statement(plan->map, Q_FEED_LIST, &row, plan->fault);
    while (!code && (code = map_step(plan->map, row, plan->fault)) > 0) {
        code = KAART_OK;
        if (strcmp((const char *)sqlite3_column_text(row, 1), head.checkpoint.feed) == 0)
            same = (uint64_t)sqlite3_column_int64(row, 2) == head.checkpoint.epoch &&
                   (uint64_t)sqlite3_column_int64(row, 3) == head.checkpoint.size;
    }
    if (!code && head.held && (!same || !caught_up))
        code = fault_set(plan->fault, KAART_BUSY, "The map has not taken in this node's last word yet.");
    return code;
}

int map_link_plan(struct map *map, const struct map_link_question *question, cJSON **out, struct fault *fault)
{
    struct plan plan = {.map = map, .question = question, .fault = fault};
    *out = NULL;
    int code = map_read_begin(map, fault);
    if (code)
        return code;
    code = check_followed(&plan);
    if (!code)
        code = load_relation(&plan);
    if (!code)
        code = find_ends(&plan);
    if (!code)
        code = decide(&plan);
    if (!code)
        code = tell(&plan, out);
    record_claims_clear(&plan.claims);
    map_read_end(map);
    if (code) {
        cJSON_Delete(*out);
        *out = NULL;
    }
    return code;
}
