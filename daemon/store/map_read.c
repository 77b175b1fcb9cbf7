/*
 * map_read.c - what is read of the map without reading a claim: one record, all records, how it stands.
 */
#include "daemon/store/map_internal.h"

#include "protocol/json.h"
#include "protocol/syntax.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Records in one read for an export: no read stays open while the caller writes to a slow reader. */
#define EXPORT_PAGE 200

static int no_memory(struct fault *fault)
{
    return fault_set(fault, KAART_NOMEM, "out of memory");
}

/* ---- one record ---- */

static bool add_day(cJSON *object, const char *name, int32_t day)
{
    char text[DAY_TEXT_SIZE + 1];
    if (day == DAY_NONE)
        return cJSON_AddNullToObject(object, name) != NULL;
    syntax_day_format(day, text);
    return cJSON_AddStringToObject(object, name, text) != NULL;
}

/* A winner of a record's provenance, with what changes without the row being written: confirmation and age. */
struct winner {
    struct claim claim;
    const char *as;
    int32_t verified;
    bool home;
};

static int feed_id_of(struct map *map, const char *name, int64_t *id, struct fault *fault)
{
    sqlite3_stmt *statement;
    *id = 0;
    int code = map_statement(map, Q_FEED_BY_NAME, &statement, fault);
    if (code)
        return code;
    map_bind_text(statement, 1, name);
    code = map_step(map, statement, fault);
    if (code > 0)
        *id = sqlite3_column_int64(statement, 0);
    sqlite3_reset(statement);
    return code < 0 ? code : KAART_OK;
}

static int read_winner(struct map *map, const cJSON *item, int32_t day, struct winner *out,
                       struct fault *fault)
{
    int64_t feed_id;
    const cJSON *verified = json_get(item, "verified"), *missing = json_get(item, "missing"),
                *at = json_get(item, "at"), *seq = json_get(item, "seq");
    memset(out, 0, sizeof *out);
    out->claim.feed = json_get_string(item, "feed");
    out->claim.source = json_get_string(item, "source");
    out->claim.role = json_get_string(item, "role");
    if (!out->claim.feed || !out->claim.source || !out->claim.role || !at || !seq)
        return fault_set(fault, KAART_CORRUPT, "map.db: provenance cannot be read");
    out->claim.seq = (uint64_t)seq->valuedouble;
    out->claim.at_ms = (int64_t)at->valuedouble;
    out->claim.verified = verified ? verified->valueint : DAY_NONE;
    out->claim.missing_since = missing ? missing->valueint : DAY_NONE;
    out->claim.confirmed = DAY_NONE;
    out->claim.excepted = json_get(item, "excepted") != NULL;
    out->as = json_get_string(item, "as");
    out->home = json_get(item, "home") != NULL;
    int code = feed_id_of(map, out->claim.feed, &feed_id, fault);
    if (!code)
        code = map_add_confirmation(map, &out->claim, feed_id, fault);
    out->verified = claim_verified(&out->claim, day, NULL);
    return code;
}

int map_winner_day(struct map *map, const cJSON *item, int32_t day, int32_t *verified, struct fault *fault)
{
    struct winner winner;
    int code = read_winner(map, item, day, &winner, fault);
    *verified = winner.verified;
    return code;
}

static bool add_field(cJSON *to, const char *kind, const char *name, const struct winner *winner,
                      const cJSON *decision, const struct policy *policy, int32_t day)
{
    char at[INSTANT_TEXT_SIZE + 1];
    enum field_group group = field_group_of(kind, name);
    int32_t stale_from = policy ? policy_stale_from(policy, group, winner->verified) : DAY_NONE;
    const cJSON *rule = cJSON_GetArrayItem(decision, 1), *others = cJSON_GetArrayItem(decision, 2),
                *differs = cJSON_GetArrayItem(decision, 3);
    cJSON *field = cJSON_AddObjectToObject(to, name);
    if (!field)
        return false;
    syntax_instant_format(winner->claim.at_ms, at);
    bool good = cJSON_AddStringToObject(field, "feed", winner->claim.feed) &&
                cJSON_AddStringToObject(field, "source", winner->claim.source) &&
                cJSON_AddStringToObject(field, "role", winner->claim.role) &&
                cJSON_AddBoolToObject(field, "home", winner->home) &&
                cJSON_AddStringToObject(field, "at", at) && add_day(field, "verified", winner->verified) &&
                cJSON_AddBoolToObject(field, "stale", stale_from != DAY_NONE && stale_from <= day) &&
                cJSON_AddStringToObject(field, "group", field_group_name(group)) &&
                cJSON_AddStringToObject(field, "rule", cJSON_IsString(rule) ? rule->valuestring : "only") &&
                cJSON_AddNumberToObject(field, "others", others ? others->valuedouble : 0) &&
                cJSON_AddBoolToObject(field, "differs", differs && differs->valueint);
    if (good && winner->as)
        good = cJSON_AddStringToObject(field, "countsAs", winner->as) != NULL;
    if (good && winner->claim.missing_since != DAY_NONE)
        good = add_day(field, "missingSince", winner->claim.missing_since);
    return good;
}

/* provenance: {field: {...}}, and for the whole record the latest confirmation and, if every winner is missing, since when. */
static int add_provenance(struct map *map, cJSON *out, const char *kind, const cJSON *record,
                          const cJSON *stored, const struct policy *policy, int32_t day, struct fault *fault)
{
    const cJSON *claims = json_get(stored, "claims"), *fields = json_get(stored, "fields"), *item;
    size_t count = (size_t)cJSON_GetArraySize(claims), i = 0;
    int32_t verified = DAY_NONE, missing = DAY_NONE;
    bool all_missing = count > 0;
    struct winner *winners = calloc(count + 1, sizeof *winners);
    cJSON *object = cJSON_AddObjectToObject(out, "provenance");
    int code = winners && object ? KAART_OK : no_memory(fault);
    cJSON_ArrayForEach(item, claims)
    {
        if (code)
            break;
        code = read_winner(map, item, day, &winners[i], fault);
        verified = winners[i].verified > verified ? winners[i].verified : verified;
        missing = winners[i].claim.missing_since > missing ? winners[i].claim.missing_since : missing;
        all_missing = all_missing && winners[i].claim.missing_since != DAY_NONE;
        i++;
    }
    cJSON_ArrayForEach(item, record)
    {
        if (code)
            break;
        const cJSON *decision = fields ? json_get(fields, item->string) : NULL;
        size_t place = decision ? (size_t)cJSON_GetArrayItem(decision, 0)->valueint : 0;
        if (record_member_reserved(item->string) || place >= count)
            continue;
        if (!add_field(object, kind, item->string, &winners[place], decision, policy, day))
            code = no_memory(fault);
    }
    if (!code &&
        (!add_day(out, "verified", verified) || (all_missing && !add_day(out, "missingSince", missing))))
        code = no_memory(fault);
    free(winners);
    return code;
}

static int build_record(struct map *map, const char *kind, const char *id, const char *json,
                        const char *provenance, cJSON **out, struct fault *fault)
{
    const struct policy *policy = NULL;
    int64_t day = 0;
    cJSON *result = cJSON_CreateObject(), *record = cJSON_Parse(json), *stored = cJSON_Parse(provenance);
    const char *name = record ? record_name(kind, record) : NULL,
               *home = stored ? json_get_string(stored, "home") : NULL;
    int code = map_stored_policy(map, &policy, fault);
    if (!code)
        code = map_state_number(map, "day", &day, fault);
    if (!code &&
        (!result || !record || !stored || !cJSON_AddStringToObject(result, "kind", kind) ||
         !cJSON_AddStringToObject(result, "id", id) ||
         !cJSON_AddStringToObject(result, "name", name ? name : "") ||
         !(home ? cJSON_AddStringToObject(result, "home", home) : cJSON_AddNullToObject(result, "home"))))
        code = no_memory(fault);
    if (!code) {
        cJSON *kept = cJSON_Duplicate(record, true);
        if (!kept || !cJSON_AddItemToObject(result, "record", kept)) {
            cJSON_Delete(kept);
            code = no_memory(fault);
        }
    }
    if (!code)
        code = add_provenance(map, result, kind, record, stored, policy, (int32_t)day, fault);
    cJSON_Delete(record);
    cJSON_Delete(stored);
    if (code)
        cJSON_Delete(result);
    else
        *out = result;
    return code;
}

int map_find(struct map *map, const char *kind, const char *id, struct found_record *out, struct fault *fault)
{
    const char *const *kinds = record_kinds(), *const only[] = {kind, NULL};
    memset(out, 0, sizeof *out);
    if (!syntax_is_uuid(id, strlen(id)))
        return fault_set(fault, KAART_INVALID, "\"%s\" is not a record's id (a UUID in lower case)", id);
    for (const char *const *try = kind ? only : kinds; *try; try++) {
        sqlite3_stmt *statement;
        int code = map_statement(map, Q_RECORD_GET, &statement, fault);
        if (code)
            return code;
        map_bind_text(statement, 1, *try);
        map_bind_uuid(statement, 2, id);
        code = map_step(map, statement, fault);
        if (code < 0)
            return code;
        if (code == 0)
            continue;
        snprintf(out->place.kind, sizeof out->place.kind, "%s", *try);
        snprintf(out->place.id, sizeof out->place.id, "%s", id);
        out->place.record = sqlite3_column_int64(statement, 5);
        out->shown = sqlite3_column_int(statement, 4) != 0;
        out->json = strdup((const char *)sqlite3_column_text(statement, 2));
        out->provenance = strdup((const char *)sqlite3_column_text(statement, 3));
        sqlite3_reset(statement);
        if (out->json && out->provenance)
            return KAART_OK;
        found_record_clear(out);
        return no_memory(fault);
    }
    return fault_set(fault, KAART_UNKNOWN, "no such record: %s", id);
}

void found_record_clear(struct found_record *found)
{
    free(found->json);
    free(found->provenance);
    found->json = found->provenance = NULL;
}

int map_find_main(struct map *map, const char *kind, const char *id, struct found_record *out,
                  struct fault *fault)
{
    char main[UUID_TEXT_SIZE + 1];
    int code = map_find(map, kind, id, out, fault);
    if (code)
        return code;
    code = map_link_main(map, &out->place, main, fault);
    if (!code && main[0]) {
        char of_kind[NAME_MAX_SIZE + 1];
        memcpy(of_kind, out->place.kind, sizeof of_kind);
        found_record_clear(out);
        return map_find(map, of_kind, main, out, fault);
    }
    if (code)
        found_record_clear(out);
    return code;
}

/* [LINK-3]: "parts" of a merged record, and "mergedFrom" where an alias was asked for. */
int map_add_parts(struct map *map, cJSON *result, const struct record_place *place, const char *asked,
                  struct fault *fault)
{
    char(*parts)[UUID_TEXT_SIZE + 1] = NULL;
    size_t count = 0;
    bool good = true;
    int code = strcmp(place->kind, "relation") == 0 ? KAART_OK
                                                    : map_link_parts(map, place->id, &parts, &count, fault);
    cJSON *list = !code && count ? cJSON_AddArrayToObject(result, "parts") : NULL;
    for (size_t i = 0; list && i < count; i++)
        good = good && cJSON_AddItemToArray(list, cJSON_CreateString(parts[i]));
    if (!code && strcmp(asked, place->id) != 0)
        good = good && cJSON_AddStringToObject(result, "mergedFrom", asked);
    free(parts);
    return code || (good && (list || !count)) ? code : no_memory(fault);
}

static int get(struct map *map, const char *kind, const char *id, cJSON **out, struct fault *fault)
{
    struct found_record found;
    int code = map_find_main(map, kind, id, &found, fault);
    if (code)
        return code;
    if (found.shown)
        code = build_record(map, found.place.kind, found.place.id, found.json, found.provenance, out, fault);
    else
        code = fault_set(fault, KAART_UNKNOWN,
                         "no such record: %s (there are claims about it, but none counts: see why)", id);
    if (!code)
        code = map_add_parts(map, *out, &found.place, id, fault);
    found_record_clear(&found);
    return code;
}

int map_get(struct map *map, const char *kind, const char *id, cJSON **out, struct fault *fault)
{
    *out = NULL;
    int code = map_read_begin(map, fault);
    if (code)
        return code;
    code = get(map, kind, id, out, fault);
    map_read_end(map);
    if (code) {
        cJSON_Delete(*out);
        *out = NULL;
    }
    return code;
}

/* ---- all records ---- */

struct export_row {
    char kind[NAME_MAX_SIZE + 1], id[UUID_TEXT_SIZE + 1];
    uint8_t uuid[16];
    char *json;
};

static int export_statement(struct map *map, const char *kind, const struct export_row *after,
                            sqlite3_stmt **out, struct fault *fault)
{
    int code = map_statement(map, kind ? Q_RECORD_EACH_KIND : Q_RECORD_EACH, out, fault);
    if (code)
        return code;
    map_bind_text(*out, 1, kind ? kind : after->kind);
    sqlite3_bind_blob(*out, 2, after->uuid, sizeof after->uuid, SQLITE_TRANSIENT);
    sqlite3_bind_int(*out, 3, EXPORT_PAGE);
    return KAART_OK;
}

/* Reads a page behind rows[0], which holds where the last one ended. */
static int export_page(struct map *map, const char *kind, struct export_row *rows,
                       const struct export_row *after, size_t *count, struct fault *fault)
{
    sqlite3_stmt *statement;
    *count = 0;
    int code = map_read_begin(map, fault);
    if (code)
        return code;
    code = export_statement(map, kind, after, &statement, fault);
    while (!code && (code = map_step(map, statement, fault)) > 0) {
        struct export_row *row = &rows[*count];
        snprintf(row->kind, sizeof row->kind, "%s", (const char *)sqlite3_column_text(statement, 0));
        memcpy(row->uuid, sqlite3_column_blob(statement, 1), sizeof row->uuid);
        map_uuid_text(row->uuid, row->id);
        row->json = strdup((const char *)sqlite3_column_text(statement, 2));
        code = row->json ? KAART_OK : no_memory(fault);
        *count += !code;
    }
    if (code)
        sqlite3_reset(statement);
    map_read_end(map);
    return code;
}

int map_export(struct map *map, const char *kind, map_each *each, void *context, struct fault *fault)
{
    struct export_row *rows = calloc(EXPORT_PAGE, sizeof *rows), after = {.kind = ""};
    size_t count = EXPORT_PAGE;
    int code = rows ? KAART_OK : no_memory(fault);
    while (!code && count == EXPORT_PAGE) {
        code = export_page(map, kind, rows, &after, &count, fault);
        for (size_t i = 0; i < count && !code; i++)
            code = each(context, rows[i].kind, rows[i].id, rows[i].json);
        if (count)
            after = rows[count - 1];
        for (size_t i = 0; i < count; i++)
            free(rows[i].json);
    }
    free(rows);
    return code;
}

/* ---- how it stands ---- */

static int add_counts(struct map *map, cJSON *out, struct fault *fault)
{
    sqlite3_stmt *statement;
    cJSON *records = cJSON_AddObjectToObject(out, "records");
    int code = records ? map_statement(map, Q_RECORD_COUNTS, &statement, fault) : no_memory(fault);
    if (code)
        return code;
    while ((code = map_step(map, statement, fault)) > 0)
        cJSON_AddNumberToObject(records, (const char *)sqlite3_column_text(statement, 0),
                                (double)sqlite3_column_int64(statement, 1));
    if (!code)
        code = map_statement(map, Q_CLAIM_COUNT, &statement, fault);
    if (!code)
        code = map_step(map, statement, fault);
    if (code <= 0)
        return code;
    cJSON_AddNumberToObject(out, "claims", (double)sqlite3_column_int64(statement, 0));
    sqlite3_reset(statement);
    return KAART_OK;
}

static int add_sums(struct map *map, cJSON *out, struct fault *fault)
{
    char hex[HASH_SIZE * 2 + 1];
    struct hash claims, winners;
    int code = map_sum_winners_kept(map, &winners, fault);
    if (!code)
        code = map_sum_claims(map, &claims, fault);
    if (code)
        return code;
    hex_encode(claims.bytes, HASH_SIZE, hex);
    cJSON_AddStringToObject(out, "claimSet", hex);
    hex_encode(winners.bytes, HASH_SIZE, hex);
    return cJSON_AddStringToObject(out, "map", hex) ? KAART_OK : no_memory(fault);
}

static int status(struct map *map, cJSON *out, struct fault *fault)
{
    const struct policy *policy = NULL;
    char hex[HASH_SIZE * 2 + 1];
    int64_t caught_up = 0, day = DAY_NONE;
    int code = add_counts(map, out, fault);
    if (!code)
        code = map_state_number(map, "caught-up", &caught_up, fault);
    if (!code)
        code = map_state_number(map, "day", &day, fault);
    if (!code)
        code = map_stored_policy(map, &policy, fault);
    if (code)
        return code;
    if (policy)
        hex_encode(policy_hash(policy)->bytes, HASH_SIZE, hex);
    if (!add_day(out, "day", (int32_t)day) ||
        !(policy ? cJSON_AddStringToObject(out, "policy", hex) : cJSON_AddNullToObject(out, "policy")) ||
        !cJSON_AddBoolToObject(out, "caughtUp", caught_up != 0))
        return no_memory(fault);
    /* While it is on its way the sums would be nobody's. */
    return caught_up ? add_sums(map, out, fault) : KAART_OK;
}

int map_status(struct map *map, cJSON **out, struct fault *fault)
{
    *out = cJSON_CreateObject();
    if (!*out)
        return no_memory(fault);
    int code = map_read_begin(map, fault);
    if (!code) {
        code = status(map, *out, fault);
        map_read_end(map);
    }
    if (code) {
        cJSON_Delete(*out);
        *out = NULL;
    }
    return code;
}
