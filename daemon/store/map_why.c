/*
 * map_why.c - the whole story of one record: for each field who says so, in which capacity, when, last confirmed when, which
 * rule decided, and what the others say; and the claims that do not count, with the reason.
 */
#include "daemon/store/map_internal.h"

#include "protocol/json.h"
#include "protocol/syntax.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *rule_in_words(enum resolve_rule rule)
{
    switch (rule) {
    case RULE_ONLY:
        return "nobody else says anything about it";
    case RULE_PIN:
        return "a steward pinned it";
    case RULE_FRESH:
        return "the others were confirmed too long ago";
    case RULE_RANK:
        return "this role stands before the others' for such fields";
    case RULE_LATER:
        return "equal in role and freshness; said later";
    case RULE_LEAF:
        return "equal in role, freshness and time; greater hash";
    case RULE_FEED:
        return "equal in everything; first feed name";
    }
    return "?";
}

static const char *standing_in_words(enum claim_standing standing)
{
    switch (standing) {
    case CLAIM_COUNTS:
        return "counts";
    case CLAIM_UNKNOWN_ORIGIN:
        return "the policy has no line for this origin";
    case CLAIM_SUSPENDED:
        return "its origin is suspended here";
    case CLAIM_ROLE_NOT_GRANTED:
        return "its origin may not speak in this role";
    case CLAIM_KIND_NOT_GRANTED:
        return "its origin may not speak about this kind of record";
    case CLAIM_AREA_NOT_GRANTED:
        return "it speaks for areas that its origin was not granted";
    case CLAIM_INVALID_BODY:
        return "its content is not valid";
    case CLAIM_UNKNOWN_KIND:
        return "a kind of record that this version does not know";
    case CLAIM_FROM_THE_FUTURE:
        return "it is dated after today";
    case CLAIM_PIN_EXPIRED:
        return "this pin has expired";
    case CLAIM_NO_STEWARD:
        return "only a steward may pin or link";
    case CLAIM_UNKNOWN_ROLE:
        return "a role that this version does not know";
    case CLAIM_TOO_MANY:
        return "its feed has too many claims about this record";
    case CLAIM_REPEATED:
        return "the same claim once more";
    }
    return "?";
}

static void add_day(cJSON *object, const char *name, int32_t day)
{
    char text[DAY_TEXT_SIZE + 1];
    if (day == DAY_NONE)
        return;
    syntax_day_format(day, text);
    cJSON_AddStringToObject(object, name, text);
}

/* Who says it, in which capacity, when. `judgement` NULL: it does not count. */
static void add_claim(cJSON *object, const struct claim *claim, const struct claim_judgement *judgement)
{
    char at[INSTANT_TEXT_SIZE + 1];
    syntax_instant_format(claim->at_ms, at);
    cJSON_AddStringToObject(object, "feed", claim->feed);
    cJSON_AddNumberToObject(object, "seq", (double)claim->seq);
    cJSON_AddStringToObject(object, "source", claim->source);
    cJSON_AddStringToObject(object, "role", claim->role);
    if (judgement && strcmp(judgement->role, claim->role) != 0)
        cJSON_AddStringToObject(object, "countsAs", judgement->role);
    if (judgement)
        cJSON_AddBoolToObject(object, "home", judgement->home);
    cJSON_AddStringToObject(object, "about", claim->id);
    cJSON_AddStringToObject(object, "at", at);
    add_day(object, "verified", judgement ? judgement->verified : claim->verified);
    add_day(object, "missingSince", claim->missing_since);
    if (claim->on_behalf_of)
        cJSON_AddStringToObject(object, "onBehalfOf", claim->on_behalf_of);
}

static void add_value(cJSON *object, const cJSON *value)
{
    cJSON_AddItemToObject(object, "value", cJSON_Duplicate(value, true));
}

/* A pin over something else that was said after it: the operator should look again. */
static bool hides_newer(const struct resolved_field *field, const struct claim *claims)
{
    const struct claim *pin = &claims[field->winner];
    for (size_t i = 0; i < field->other_count; i++) {
        const struct claim *other = &claims[field->others[i]];
        if (other->at_ms > pin->at_ms && !json_equal(json_get(other->body, field->name), field->value))
            return true;
    }
    return false;
}

cJSON *map_add_field(cJSON *list, const struct resolution *resolution, const struct resolved_field *field,
                     const struct claim *claims)
{
    cJSON *object = cJSON_CreateObject(), *others;
    const struct claim_judgement *winner = &resolution->judgements[field->winner];
    if (!object || !cJSON_AddItemToArray(list, object)) {
        cJSON_Delete(object);
        return NULL;
    }
    cJSON_AddStringToObject(object, "field", field->name);
    cJSON_AddStringToObject(object, "group", field_group_name(field->group));
    add_value(object, field->value);
    add_claim(object, &claims[field->winner], winner);
    cJSON_AddBoolToObject(object, "stale", winner->stale >> field->group & 1);
    cJSON_AddStringToObject(object, "rule", resolve_rule_name(field->rule));
    cJSON_AddStringToObject(object, "because", rule_in_words(field->rule));
    cJSON_AddBoolToObject(object, "differs", field->differs);
    if (winner->pin) {
        cJSON_AddStringToObject(object, "pinReason",
                                json_get_string(claims[field->winner].body, "pin_reason"));
        cJSON_AddStringToObject(object, "pinExpires",
                                json_get_string(claims[field->winner].body, "pin_expires"));
        cJSON_AddBoolToObject(object, "hidesNewer", hides_newer(field, claims));
    }
    others = cJSON_AddArrayToObject(object, "others");
    for (size_t i = 0; others && i < field->other_count; i++) {
        size_t index = field->others[i];
        cJSON *other = cJSON_CreateObject();
        if (!other || !cJSON_AddItemToArray(others, other)) {
            cJSON_Delete(other);
            return NULL;
        }
        add_claim(other, &claims[index], &resolution->judgements[index]);
        cJSON_AddBoolToObject(other, "stale", resolution->judgements[index].stale >> field->group & 1);
        add_value(other, json_get(claims[index].body, field->name));
    }
    return object;
}

static void add_finding(void *context, enum record_severity severity, const char *pointer,
                        const char *message)
{
    cJSON *object = cJSON_CreateObject();
    if (severity != RECORD_ERROR || !object || !cJSON_AddItemToArray(context, object)) {
        cJSON_Delete(object);
        return;
    }
    cJSON_AddStringToObject(object, "pointer", pointer);
    cJSON_AddStringToObject(object, "message", message);
}

static void add_uncounted(cJSON *list, const struct claim *claim, enum claim_standing standing)
{
    cJSON *object = cJSON_CreateObject();
    if (!object || !cJSON_AddItemToArray(list, object)) {
        cJSON_Delete(object);
        return;
    }
    add_claim(object, claim, NULL);
    cJSON_AddStringToObject(object, "standing", claim_standing_name(standing));
    cJSON_AddStringToObject(object, "because", standing_in_words(standing));
    if (standing == CLAIM_INVALID_BODY) {
        const char *slash = strchr(claim->feed, '/');
        cJSON *errors = cJSON_AddArrayToObject(object, "errors");
        if (errors && slash)
            (void)record_check(claim->kind, claim->id, claim->body, slash + 1, add_finding, errors);
    }
}

static int tell(const struct found_record *found, const struct record_claims *claims,
                const struct resolution *resolution, int32_t day, cJSON **out)
{
    cJSON *result = cJSON_CreateObject();
    cJSON *record = cJSON_Parse(found->json);
    const char *name = record ? record_name(found->place.kind, record) : NULL;
    if (!result)
        goto failed;
    cJSON_AddStringToObject(result, "kind", found->place.kind);
    cJSON_AddStringToObject(result, "id", found->place.id);
    cJSON_AddStringToObject(result, "name", name ? name : "");
    add_day(result, "day", day);
    if (resolution->home)
        cJSON_AddStringToObject(result, "home", resolution->home);
    else
        cJSON_AddNullToObject(result, "home");
    add_day(result, "nextDay", resolution->next_day);
    cJSON *fields = cJSON_AddArrayToObject(result, "fields"),
          *uncounted = cJSON_AddArrayToObject(result, "notCounting");
    if (!fields || !uncounted)
        goto failed;
    for (size_t i = 0; i < resolution->field_count; i++)
        map_add_field(fields, resolution, &resolution->fields[i], claims->claims);
    for (size_t i = 0; i < claims->count; i++)
        if (resolution->standings[i] != CLAIM_COUNTS)
            add_uncounted(uncounted, &claims->claims[i], resolution->standings[i]);
    cJSON_AddBoolToObject(result, "complete", !claims->incomplete);
    cJSON_Delete(record);
    *out = result;
    return KAART_OK;
failed:
    cJSON_Delete(record);
    cJSON_Delete(result);
    return KAART_NOMEM;
}

static int why(struct map *map, const struct policy *policy, int32_t day, const char *kind, const char *id,
               cJSON **out, struct fault *fault)
{
    struct found_record found;
    struct record_members members = {0};
    struct record_claims claims = {0};
    struct resolution *resolution = NULL;
    int code = map_find_main(map, kind, id, &found, fault);
    if (code)
        return code;
    code = map_record_members(map, &found.place, &members, fault);
    if (!code)
        code = record_claims_load(map, members.records, members.count, NULL, &claims, fault);
    if (!code) {
        code = resolve_record(policy, claims.claims, claims.count, day, &resolution);
        if (!code)
            code = tell(&found, &claims, resolution, day, out);
        if (code)
            fault_set(fault, code, "out of memory");
    }
    if (!code)
        code = map_add_parts(map, *out, &found.place, id, fault);
    resolution_free(resolution);
    record_claims_clear(&claims);
    free(members.records);
    found_record_clear(&found);
    return code;
}

int map_why(struct map *map, const struct policy *policy, int32_t day, const char *kind, const char *id,
            cJSON **out, struct fault *fault)
{
    *out = NULL;
    int code = map_read_begin(map, fault);
    if (code)
        return code;
    code = why(map, policy, day, kind, id, out, fault);
    map_read_end(map);
    if (code) {
        cJSON_Delete(*out);
        *out = NULL;
    }
    return code;
}
