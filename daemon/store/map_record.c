/*
 * map_record.c - from the claims about one record to its row: resolved JSON, provenance, search text.
 *
 * The row's provenance is what `get` needs without reading a line again; confirmations and staleness are added when it is read,
 * so that a source's run that found everything unchanged costs one row and not all of them.
 *
 *     {"home":"nieuwegein.example",
 *      "claims":[{"feed","seq","leaf","source","role","as","at","verified","missing","excepted","home"}],   the winners only
 *      "fields":{"name":[0,"rank",2,1]}}   index in claims, rule, number of others, whether any differs;
 *                                          absent: all fields are the first claim's and nobody else has any
 */
#include "daemon/store/map_internal.h"

#include "protocol/json.h"
#include "protocol/syntax.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of a description, what goes into the index and under a search result. */
#define SUMMARY_MAX 240
/* Of all alternate names, themes and numbers together, and of all addresses. */
#define TERMS_MAX 1024

/* ---- search text ---- */

/* Adds a text and a space; cuts at a character's border. */
static void add_term(char *out, size_t room, const char *text)
{
    size_t used = strlen(out), size = strlen(text);
    if (used + 2 >= room)
        return;
    if (size > room - used - 2) {
        size = room - used - 2;
        while (size && ((unsigned char)text[size] & 0xc0) == 0x80)
            size--;
    }
    if (used)
        out[used++] = ' ';
    memcpy(out + used, text, size);
    out[used + size] = '\0';
}

/* A string, or each string of a list. */
static void add_terms(char *out, size_t room, const cJSON *value)
{
    const cJSON *item;
    if (cJSON_IsString(value))
        add_term(out, room, value->valuestring);
    if (cJSON_IsArray(value))
        cJSON_ArrayForEach(item, value)
        {
            if (cJSON_IsString(item))
                add_term(out, room, item->valuestring);
        }
}

static void add_members(char *out, size_t room, const cJSON *list, const char *const *members)
{
    const cJSON *item;
    if (!cJSON_IsArray(list))
        return;
    cJSON_ArrayForEach(item, list) for (size_t i = 0; members[i]; i++)
        add_terms(out, room, json_get(item, members[i]));
}

struct search_text {
    char name[TERMS_MAX], alternate[TERMS_MAX], place[TERMS_MAX], summary[SUMMARY_MAX];
};

static void search_text(const char *kind, const cJSON *record, struct search_text *text)
{
    static const char *const alternates[] = {"alternate_name", "alternate_names",  "legal_name",
                                             "themes",         "specialism",       "target_groups",
                                             "wmo_products",   "jeugdwet_products"};
    static const char *const address[] = {"address_1", "postal_code", "city", NULL};
    static const char *const ours[] = {"value", NULL}, *const hsds[] = {"identifier", NULL};
    const char *name = record_name(kind, record);
    memset(text, 0, sizeof *text);
    add_term(text->name, sizeof text->name, name ? name : "");
    for (size_t i = 0; i < sizeof alternates / sizeof *alternates; i++)
        add_terms(text->alternate, sizeof text->alternate, json_get(record, alternates[i]));
    add_members(text->alternate, sizeof text->alternate, json_get(record, "identifiers"), ours);
    add_members(text->alternate, sizeof text->alternate, json_get(record, "organization_identifiers"), hsds);
    add_members(text->place, sizeof text->place, json_get(record, "addresses"), address);
    const cJSON *summary = json_get(record, "summary");
    add_terms(text->summary, sizeof text->summary,
              cJSON_IsString(summary) ? summary : json_get(record, "description"));
}

/* ---- provenance ---- */

static cJSON *add_object(cJSON *to, const char *name)
{
    return cJSON_AddObjectToObject(to, name);
}

static bool plain(const struct resolution *resolution)
{
    for (size_t i = 0; i < resolution->field_count; i++)
        if (resolution->fields[i].rule != RULE_ONLY ||
            resolution->fields[i].winner != resolution->fields[0].winner)
            return false;
    return true;
}

static bool add_claim(cJSON *list, const struct claim *claim, const struct claim_judgement *judgement)
{
    char leaf[HASH_SIZE * 2 + 1];
    cJSON *object = cJSON_CreateObject();
    if (!object || !cJSON_AddItemToArray(list, object)) {
        cJSON_Delete(object);
        return false;
    }
    hex_encode(claim->leaf.bytes, HASH_SIZE, leaf);
    bool good = cJSON_AddStringToObject(object, "feed", claim->feed) &&
                cJSON_AddNumberToObject(object, "seq", (double)claim->seq) &&
                cJSON_AddStringToObject(object, "leaf", leaf) &&
                cJSON_AddStringToObject(object, "source", claim->source) &&
                cJSON_AddStringToObject(object, "role", claim->role) &&
                cJSON_AddNumberToObject(object, "at", (double)claim->at_ms);
    if (good && strcmp(judgement->role, claim->role) != 0)
        good = cJSON_AddStringToObject(object, "as", judgement->role) != NULL;
    if (good && claim->verified != DAY_NONE)
        good = cJSON_AddNumberToObject(object, "verified", claim->verified) != NULL;
    if (good && claim->missing_since != DAY_NONE)
        good = cJSON_AddNumberToObject(object, "missing", claim->missing_since) != NULL;
    if (good && claim->excepted)
        good = cJSON_AddTrueToObject(object, "excepted") != NULL;
    if (good && judgement->home)
        good = cJSON_AddTrueToObject(object, "home") != NULL;
    return good;
}

/* Gives each winner a place in the list of claims; *places is indexed by claim. */
static bool add_winners(cJSON *list, const struct resolution *resolution, const struct claim *claims,
                        size_t count, int *places)
{
    int next = 0;
    for (size_t i = 0; i < count; i++)
        places[i] = -1;
    for (size_t i = 0; i < resolution->field_count; i++) {
        size_t winner = resolution->fields[i].winner;
        if (places[winner] >= 0)
            continue;
        places[winner] = next++;
        if (!add_claim(list, &claims[winner], &resolution->judgements[winner]))
            return false;
    }
    return true;
}

static bool add_fields(cJSON *object, const struct resolution *resolution, const int *places)
{
    for (size_t i = 0; i < resolution->field_count; i++) {
        const struct resolved_field *field = &resolution->fields[i];
        cJSON *list = cJSON_AddArrayToObject(object, field->name);
        if (!list || !cJSON_AddItemToArray(list, cJSON_CreateNumber(places[field->winner])) ||
            !cJSON_AddItemToArray(list, cJSON_CreateString(resolve_rule_name(field->rule))) ||
            !cJSON_AddItemToArray(list, cJSON_CreateNumber((double)field->other_count)) ||
            !cJSON_AddItemToArray(list, cJSON_CreateNumber(field->differs)))
            return false;
    }
    return true;
}

/* malloc'ed by cJSON; NULL: no memory. */
static char *provenance_text(const struct resolution *resolution, const struct claim *claims, size_t count)
{
    char *text = NULL;
    int *places = calloc(count + 1, sizeof *places);
    cJSON *object = cJSON_CreateObject();
    if (!object || !places)
        goto out;
    if (resolution->home && !cJSON_AddStringToObject(object, "home", resolution->home))
        goto out;
    cJSON *list = cJSON_AddArrayToObject(object, "claims");
    if (!list || !add_winners(list, resolution, claims, count, places))
        goto out;
    if (!plain(resolution)) {
        cJSON *fields = add_object(object, "fields");
        if (!fields || !add_fields(fields, resolution, places))
            goto out;
    }
    text = cJSON_PrintUnformatted(object);
out:
    cJSON_Delete(object);
    free(places);
    return text;
}

/* The resolved members by reference; the caller deletes the object before the claims. NULL: no memory. */
static cJSON *resolved_object(const struct resolution *resolution, const char *id)
{
    cJSON *object = cJSON_CreateObject();
    if (!object || !cJSON_AddStringToObject(object, "id", id))
        goto failed;
    for (size_t i = 0; i < resolution->field_count; i++) {
        const struct resolved_field *field = &resolution->fields[i];
        if (!cJSON_AddItemReferenceToObject(object, field->name, (cJSON *)(uintptr_t)field->value))
            goto failed;
    }
    return object;
failed:
    cJSON_Delete(object);
    return NULL;
}

/* ---- the row ---- */

/* What a row says now and is to say. */
struct record_row {
    bool shown, stale;
    int32_t next_day;
    struct search_text text;
    char *json, *provenance;
};

/* Takes the old search text out of the index: FTS5 must be told what it indexed. */
static int search_forget(struct map *map, int64_t record, sqlite3_stmt *old, struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = map_statement(map, Q_SEARCH_DELETE, &statement, fault);
    if (code)
        return code;
    sqlite3_bind_int64(statement, 1, record);
    for (int i = 0; i < 4; i++)
        sqlite3_bind_text(statement, i + 2, (const char *)sqlite3_column_text(old, i + 1), -1,
                          SQLITE_TRANSIENT);
    return map_run(map, statement, fault);
}

static int search_add(struct map *map, int64_t record, const struct search_text *text, struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = map_statement(map, Q_SEARCH_INSERT, &statement, fault);
    if (code)
        return code;
    sqlite3_bind_int64(statement, 1, record);
    map_bind_text(statement, 2, text->name);
    map_bind_text(statement, 3, text->alternate);
    map_bind_text(statement, 4, text->place);
    map_bind_text(statement, 5, text->summary);
    return map_run(map, statement, fault);
}

static bool column_is(sqlite3_stmt *old, int column, const char *text)
{
    return strcmp((const char *)sqlite3_column_text(old, column), text) == 0;
}

static bool same_text(sqlite3_stmt *old, const struct search_text *text)
{
    return column_is(old, 1, text->name) && column_is(old, 2, text->alternate) &&
           column_is(old, 3, text->place) && column_is(old, 4, text->summary);
}

static bool same_row(sqlite3_stmt *old, const struct record_row *row)
{
    int32_t next_day = sqlite3_column_type(old, 7) == SQLITE_NULL ? DAY_NONE : sqlite3_column_int(old, 7);
    return sqlite3_column_int(old, 0) == row->shown && same_text(old, &row->text) &&
           column_is(old, 5, row->json) && column_is(old, 6, row->provenance) && next_day == row->next_day &&
           sqlite3_column_int(old, 8) == row->stale;
}

static int update_row(struct map *map, int64_t record, const struct record_row *row, struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = map_statement(map, Q_RECORD_UPDATE, &statement, fault);
    if (code)
        return code;
    sqlite3_bind_int64(statement, 1, record);
    sqlite3_bind_int(statement, 2, row->shown);
    if (row->next_day == DAY_NONE)
        sqlite3_bind_null(statement, 3);
    else
        sqlite3_bind_int(statement, 3, row->next_day);
    sqlite3_bind_int(statement, 4, row->stale);
    map_bind_text(statement, 5, row->text.name);
    map_bind_text(statement, 6, row->text.alternate);
    map_bind_text(statement, 7, row->text.place);
    map_bind_text(statement, 8, row->text.summary);
    map_bind_text(statement, 9, row->json);
    map_bind_text(statement, 10, row->provenance);
    return map_run(map, statement, fault);
}

/* Brings row and index to what is to be said; nothing is written where they say it already. */
static int write_row(struct map *map, int64_t record, const struct record_row *row, struct fault *fault)
{
    sqlite3_stmt *old;
    int code = map_statement(map, Q_RECORD_TEXT, &old, fault);
    if (code)
        return code;
    sqlite3_bind_int64(old, 1, record);
    code = map_step(map, old, fault);
    if (code < 0)
        return code;
    if (code == 0) {
        map->damaged = true;
        return fault_set(fault, KAART_CORRUPT, "map.db: record %lld has no row", (long long)record);
    }
    bool was_shown = sqlite3_column_int(old, 0) != 0,
         again = row->shown != was_shown || !same_text(old, &row->text);
    code = KAART_OK;
    if (same_row(old, row)) {
        sqlite3_reset(old);
        return KAART_OK;
    }
    if (was_shown && again)
        code = search_forget(map, record, old, fault);
    sqlite3_reset(old);
    if (!code)
        code = update_row(map, record, row, fault);
    if (!code && row->shown && again)
        code = search_add(map, record, &row->text, fault);
    return code;
}

static int delete_row(struct map *map, int64_t record, struct fault *fault)
{
    struct record_row empty = {.next_day = DAY_NONE, .json = "", .provenance = ""};
    sqlite3_stmt *statement;
    int code = write_row(map, record, &empty, fault); /* takes it out of the index */
    if (!code)
        code = map_statement(map, Q_RECORD_DELETE, &statement, fault);
    if (code)
        return code;
    sqlite3_bind_int64(statement, 1, record);
    return map_run(map, statement, fault);
}

static int fill_row(const struct resolution *resolution, const struct record_claims *claims, const char *id,
                    struct record_row *row)
{
    row->shown = resolution->field_count > 0;
    row->next_day = claims->incomplete ? DUE_NOW : resolution->next_day;
    for (size_t i = 0; i < claims->count; i++)
        row->stale =
            row->stale || (resolution->standings[i] == CLAIM_COUNTS && resolution->judgements[i].stale);
    cJSON *object = resolved_object(resolution, id);
    if (!object)
        return KAART_NOMEM;
    if (row->shown)
        search_text(claims->claims[0].kind, object, &row->text);
    row->json = cJSON_PrintUnformatted(object);
    row->provenance = provenance_text(resolution, claims->claims, claims->count);
    cJSON_Delete(object);
    return row->json && row->provenance ? KAART_OK : KAART_NOMEM;
}

static int mark_due(struct map *map, int64_t record, struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = map_statement(map, Q_RECORD_MARK, &statement, fault);
    if (code)
        return code;
    sqlite3_bind_int64(statement, 1, record);
    return map_run(map, statement, fault);
}

/* ---- resolving ---- */

struct resolving {
    struct map *map;
    const struct policy *policy;
    int32_t day;
    struct loaded *parsed;
    bool incomplete;
};

/* A record that is no alias, with the claims about its aliases. */
static int resolve_whole(struct resolving *now, const struct record_place *place, struct fault *fault)
{
    struct record_members members;
    struct record_claims claims = {0};
    struct resolution *resolution = NULL;
    struct record_row row = {.next_day = DAY_NONE};
    int code = map_record_members(now->map, place, &members, fault);
    if (!code)
        code = record_claims_load(now->map, members.records, members.count, now->parsed, &claims, fault);
    if (code)
        goto out;
    now->incomplete = now->incomplete || claims.incomplete;
    if (claims.count == 0) {
        /* Claims whose lines are gone for the moment keep the row as it is; they are due again. */
        code = claims.incomplete ? mark_due(now->map, place->record, fault)
                                 : delete_row(now->map, place->record, fault);
        if (!code && !claims.incomplete)
            code = map_link_update(now->map, place, NULL, fault);
        goto out;
    }
    code = resolve_record(now->policy, claims.claims, claims.count, now->day, &resolution);
    if (!code)
        code = fill_row(resolution, &claims, place->id, &row);
    if (code)
        fault_set(fault, code, "out of memory");
    else
        code = write_row(now->map, place->record, &row, fault);
    if (!code)
        code = map_link_update(now->map, place, resolution, fault);
out:
    cJSON_free(row.json);
    cJSON_free(row.provenance);
    resolution_free(resolution);
    record_claims_clear(&claims);
    free(members.records);
    return code;
}

static int has_claims(struct map *map, int64_t record, bool *has, struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = map_statement(map, Q_CLAIM_OF_RECORD, &statement, fault);
    if (code)
        return code;
    sqlite3_bind_int64(statement, 1, record);
    code = map_step(map, statement, fault);
    *has = code > 0;
    sqlite3_reset(statement);
    return code < 0 ? code : KAART_OK;
}

/* An alias shows nothing of its own; its main record shows it [LINK-3]. */
static int resolve_alias(struct resolving *now, const struct record_place *place, const char *main,
                         struct fault *fault)
{
    struct record_row row = {.next_day = DAY_NONE, .json = "", .provenance = ""};
    struct record_place main_place = {.record = 0};
    bool has;
    int code = has_claims(now->map, place->record, &has, fault);
    if (!code)
        code = has ? write_row(now->map, place->record, &row, fault)
                   : delete_row(now->map, place->record, fault);
    if (!code)
        code = map_record_of(now->map, place->kind, main, &main_place.record, fault);
    snprintf(main_place.kind, sizeof main_place.kind, "%s", place->kind);
    snprintf(main_place.id, sizeof main_place.id, "%s", main);
    return code ? code : resolve_whole(now, &main_place, fault);
}

int map_resolve_record(struct map *map, int64_t record, const struct policy *policy, int32_t day,
                       struct loaded *parsed, bool *incomplete, struct fault *fault)
{
    struct resolving now = {.map = map, .policy = policy, .day = day, .parsed = parsed};
    struct record_place place;
    char main[UUID_TEXT_SIZE + 1];
    int code = map_record_place(map, record, &place, fault);
    if (code == KAART_UNKNOWN)
        return KAART_OK; /* gone since it was listed */
    if (!code)
        code = map_link_main(map, &place, main, fault);
    if (!code)
        code = main[0] ? resolve_alias(&now, &place, main, fault) : resolve_whole(&now, &place, fault);
    *incomplete = now.incomplete;
    return code;
}
