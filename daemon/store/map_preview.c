/*
 * map_preview.c - what one more claim would change about a record: resolved without it, resolved with it, compared.
 */
#include "daemon/store/map_internal.h"

#include "protocol/json.h"

#include <stdlib.h>
#include <string.h>

static const struct resolved_field *find_field(const struct resolution *resolution, const char *name)
{
    for (size_t i = 0; i < resolution->field_count; i++)
        if (strcmp(resolution->fields[i].name, name) == 0)
            return &resolution->fields[i];
    return NULL;
}

/* "adds", "changes", "same" (it says what is shown already), "stays" (another claim goes before it). */
static const char *effect_of(const struct resolved_field *before, const struct resolved_field *after,
                             const cJSON *said)
{
    if (before == NULL)
        return "adds";
    if (!json_equal(before->value, after->value))
        return "changes";
    return said != NULL && json_equal(said, after->value) ? "same" : "stays";
}

static int add_value(cJSON *object, const char *name, const cJSON *value)
{
    cJSON *copy = cJSON_Duplicate(value, true);
    if (copy != NULL && cJSON_AddItemToObject(object, name, copy))
        return KAART_OK;
    cJSON_Delete(copy);
    return KAART_NOMEM;
}

/* A field that the claim speaks about, or that is another one by it. */
static int add_field(cJSON *list, const struct resolution *without, const struct resolved_field *after,
                     const struct claim *claim)
{
    const cJSON *said = json_get(claim->body, after->name);
    const struct resolved_field *before = find_field(without, after->name);
    if (said == NULL && before != NULL && json_equal(before->value, after->value))
        return KAART_OK;
    cJSON *object = cJSON_CreateObject();
    if (object == NULL || !cJSON_AddItemToArray(list, object)) {
        cJSON_Delete(object);
        return KAART_NOMEM;
    }
    cJSON_AddStringToObject(object, "field", after->name);
    cJSON_AddStringToObject(object, "group", field_group_name(after->group));
    cJSON_AddStringToObject(object, "effect", effect_of(before, after, said));
    cJSON_AddStringToObject(object, "rule", resolve_rule_name(after->rule));
    int code = said != NULL ? add_value(object, "said", said) : KAART_OK;
    if (code == KAART_OK && before != NULL)
        code = add_value(object, "now", before->value);
    return code == KAART_OK ? add_value(object, "then", after->value) : code;
}

static int compare(const struct resolution *without, const struct resolution *with,
                   enum claim_standing standing, const struct claim *claim, cJSON *out)
{
    int code = KAART_OK;
    cJSON *now =
        without->field_count > 0 ? cJSON_AddObjectToObject(out, "now") : cJSON_AddNullToObject(out, "now");
    cJSON *fields = cJSON_AddArrayToObject(out, "fields");
    cJSON_AddStringToObject(out, "standing", claim_standing_name(standing));
    if (now == NULL || fields == NULL)
        return KAART_NOMEM;
    for (size_t i = 0; code == KAART_OK && i < without->field_count; i++)
        code = add_value(now, without->fields[i].name, without->fields[i].value);
    for (size_t i = 0; code == KAART_OK && i < with->field_count; i++)
        code = add_field(fields, without, &with->fields[i], claim);
    return code;
}

/* `claims` has room for one more. */
static int resolve_both(const struct policy *policy, int32_t day, struct claim *claims, size_t count,
                        const struct claim *claim, cJSON *out)
{
    struct resolution *without = NULL, *with = NULL;
    int code = resolve_record(policy, claims, count, day, &without);
    claims[count] = *claim;
    if (code == KAART_OK)
        code = resolve_record(policy, claims, count + 1, day, &with);
    if (code == KAART_OK)
        code = compare(without, with, with->standings[count], claim, out);
    resolution_free(without);
    resolution_free(with);
    return code;
}

static int preview(struct map *map, const struct policy *policy, int32_t day, const struct claim *claim,
                   cJSON *out, struct fault *fault)
{
    struct found_record found;
    struct record_members members = {0};
    struct record_claims claims = {0};
    struct claim *more = NULL;
    int code = map_find_main(map, claim->kind, claim->id, &found, fault);
    if (code != KAART_OK && code != KAART_UNKNOWN)
        return code;
    bool known = code == KAART_OK;
    code = known ? map_record_members(map, &found.place, &members, fault) : KAART_OK;
    if (code == KAART_OK && known)
        code = record_claims_load(map, members.records, members.count, NULL, &claims, fault);
    if (code == KAART_OK) {
        more = calloc(claims.count + 1, sizeof(*more));
        if (more != NULL && claims.count > 0)
            memcpy(more, claims.claims, claims.count * sizeof(*more));
        code = more != NULL ? resolve_both(policy, day, more, claims.count, claim, out) : KAART_NOMEM;
        if (code == KAART_NOMEM)
            fault_set(fault, code, "out of memory");
    }
    if (code == KAART_OK && known && strcmp(found.place.id, claim->id) != 0)
        cJSON_AddStringToObject(out, "main", found.place.id);
    free(more);
    record_claims_clear(&claims);
    free(members.records);
    if (known)
        found_record_clear(&found);
    return code;
}

int map_preview(struct map *map, const struct policy *policy, int32_t day, const struct claim *claim,
                cJSON **out, struct fault *fault)
{
    *out = cJSON_CreateObject();
    if (*out == NULL)
        return fault_set(fault, KAART_NOMEM, "out of memory");
    int code = map_read_begin(map, fault);
    if (code == KAART_OK) {
        code = preview(map, policy, day, claim, *out, fault);
        map_read_end(map);
    }
    if (code != KAART_OK) {
        cJSON_Delete(*out);
        *out = NULL;
    }
    return code;
}
