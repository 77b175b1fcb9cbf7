/*
 * map_link.c - records that stewards say are the same. spec/resolution.md, section "Links".
 *
 *     link(relation, alias, main)   one row for each relation record that resolved to `same-as`
 *
 * A link is in force if its alias has one main only and that main is no alias itself [LINK-2]. Then the claims about the alias are
 * claims about the main record. Nothing is moved or rewritten, so taking a link away restores both records exactly.
 */
#include "daemon/store/map_internal.h"

#include "protocol/json.h"
#include "protocol/syntax.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void column_uuid(sqlite3_stmt *statement, int column, char out[UUID_TEXT_SIZE + 1])
{
    out[0] = '\0';
    if (sqlite3_column_bytes(statement, column) == 16)
        map_uuid_text(sqlite3_column_blob(statement, column), out);
}

int map_record_place(struct map *map, int64_t record, struct record_place *out, struct fault *fault)
{
    sqlite3_stmt *statement;
    memset(out, 0, sizeof *out);
    int code = map_statement(map, Q_RECORD_NAME, &statement, fault);
    if (code)
        return code;
    sqlite3_bind_int64(statement, 1, record);
    code = map_step(map, statement, fault);
    if (code <= 0)
        return code ? code : KAART_UNKNOWN;
    out->record = record;
    snprintf(out->kind, sizeof out->kind, "%s", (const char *)sqlite3_column_text(statement, 0));
    column_uuid(statement, 1, out->id);
    sqlite3_reset(statement);
    return KAART_OK;
}

int map_record_of(struct map *map, const char *kind, const char *id, int64_t *record, struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = map_statement(map, Q_RECORD_FIND, &statement, fault);
    if (code)
        return code;
    map_bind_text(statement, 1, kind);
    map_bind_uuid(statement, 2, id);
    code = map_step(map, statement, fault);
    if (code > 0) {
        *record = sqlite3_column_int64(statement, 0);
        sqlite3_reset(statement);
        return KAART_OK;
    }
    if (!code)
        code = map_statement(map, Q_RECORD_INSERT, &statement, fault);
    if (code)
        return code;
    map_bind_text(statement, 1, kind);
    map_bind_uuid(statement, 2, id);
    code = map_run(map, statement, fault);
    *record = sqlite3_last_insert_rowid(map->db);
    return code;
}

/* ---- what is in force ---- */

/* Relations are not merged themselves: that would be a link that changes links. */
static bool can_merge(const struct record_place *place)
{
    return strcmp(place->kind, "relation") != 0;
}

int map_link_main(struct map *map, const struct record_place *place, char main[UUID_TEXT_SIZE + 1],
                  struct fault *fault)
{
    sqlite3_stmt *statement;
    main[0] = '\0';
    if (!can_merge(place))
        return KAART_OK;
    int code = map_statement(map, Q_LINK_MAIN, &statement, fault);
    if (code)
        return code;
    map_bind_uuid(statement, 1, place->id);
    code = map_step(map, statement, fault);
    if (code <= 0)
        return code;
    column_uuid(statement, 0, main);
    sqlite3_reset(statement);
    return KAART_OK;
}

int map_link_parts(struct map *map, const char *id, char (**out)[UUID_TEXT_SIZE + 1], size_t *count,
                   struct fault *fault)
{
    char(*parts)[UUID_TEXT_SIZE + 1] = NULL;
    sqlite3_stmt *statement;
    *count = 0;
    *out = NULL;
    int code = map_statement(map, Q_LINK_PARTS, &statement, fault);
    if (code)
        return code;
    map_bind_uuid(statement, 1, id);
    while ((code = map_step(map, statement, fault)) > 0 && *count < LINK_PARTS_MAX) {
        void *grown = realloc(parts, (*count + 1) * sizeof *parts);
        if (!grown) {
            code = fault_set(fault, KAART_NOMEM, "out of memory");
            break;
        }
        parts = grown;
        column_uuid(statement, 0, parts[(*count)++]);
    }
    sqlite3_reset(statement);
    if (code < 0) {
        free(parts);
        *count = 0;
        return code;
    }
    *out = parts;
    return KAART_OK;
}

static int find_record(struct map *map, const char *kind, const char *id, int64_t *record,
                       struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = map_statement(map, Q_RECORD_FIND, &statement, fault);
    if (code)
        return code;
    map_bind_text(statement, 1, kind);
    map_bind_uuid(statement, 2, id);
    code = map_step(map, statement, fault);
    if (code > 0)
        *record = sqlite3_column_int64(statement, 0);
    sqlite3_reset(statement);
    return code;
}

int map_record_members(struct map *map, const struct record_place *place, struct record_members *out,
                       struct fault *fault)
{
    char(*parts)[UUID_TEXT_SIZE + 1] = NULL;
    size_t count = 0;
    int code = can_merge(place) ? map_link_parts(map, place->id, &parts, &count, fault) : KAART_OK;
    out->count = 0;
    out->records = code ? NULL : calloc(count + 1, sizeof *out->records);
    if (!code && !out->records)
        code = fault_set(fault, KAART_NOMEM, "out of memory");
    if (!code)
        out->records[out->count++] = place->record;
    for (size_t i = 0; i < count && !code; i++) {
        code = find_record(map, place->kind, parts[i], &out->records[out->count], fault);
        if (code > 0) {
            out->count++;
            code = KAART_OK;
        }
    }
    free(parts);
    if (code) {
        free(out->records);
        out->records = NULL;
    }
    return code;
}

/* ---- when a relation changes ---- */

static int mark(struct map *map, const char *id, struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = map_statement(map, Q_RECORD_MARK_ID, &statement, fault);
    if (code)
        return code;
    map_bind_uuid(statement, 1, id);
    return map_run(map, statement, fault);
}

/* Whoever is on the other end of a link: mains of an alias, or aliases of a main. */
static int mark_linked(struct map *map, enum map_query query, const char *id, struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = map_statement(map, query, &statement, fault);
    if (code)
        return code;
    map_bind_uuid(statement, 1, id);
    return map_run(map, statement, fault);
}

/* All records whose result a link can change: its ends, other mains of its alias, and whatever is an alias of its alias. */
static int mark_around(struct map *map, const struct link *link, struct fault *fault)
{
    if (!link->alias[0])
        return KAART_OK;
    map->links_changed = true;
    int code = mark(map, link->alias, fault);
    if (!code)
        code = mark(map, link->main, fault);
    if (!code)
        code = mark_linked(map, Q_RECORD_MARK_MAINS, link->alias, fault);
    return code ? code : mark_linked(map, Q_RECORD_MARK_ALIASES, link->alias, fault);
}

static const char *resolved_text(const struct resolution *resolution, const char *name)
{
    for (size_t i = 0; i < resolution->field_count; i++)
        if (strcmp(resolution->fields[i].name, name) == 0)
            return cJSON_IsString(resolution->fields[i].value) ? resolution->fields[i].value->valuestring
                                                               : NULL;
    return NULL;
}

/* [LINK-1] */
void map_link_of(const struct resolution *resolution, struct link *out)
{
    memset(out, 0, sizeof *out);
    const char *type = resolution ? resolved_text(resolution, "type") : NULL;
    if (!type || strcmp(type, "same-as") != 0)
        return;
    const char *from = resolved_text(resolution, "from_id"), *to = resolved_text(resolution, "to_id");
    if (!from || !to || strcmp(from, to) == 0 || !syntax_is_uuid(from, strlen(from)) ||
        !syntax_is_uuid(to, strlen(to)))
        return;
    memcpy(out->alias, from, sizeof out->alias);
    memcpy(out->main, to, sizeof out->main);
}

static int link_held(struct map *map, int64_t relation, struct link *out, struct fault *fault)
{
    sqlite3_stmt *statement;
    memset(out, 0, sizeof *out);
    int code = map_statement(map, Q_LINK_GET, &statement, fault);
    if (code)
        return code;
    sqlite3_bind_int64(statement, 1, relation);
    code = map_step(map, statement, fault);
    if (code <= 0)
        return code;
    column_uuid(statement, 0, out->alias);
    column_uuid(statement, 1, out->main);
    sqlite3_reset(statement);
    return KAART_OK;
}

static int link_write(struct map *map, int64_t relation, const struct link *link, struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = map_statement(map, link->alias[0] ? Q_LINK_PUT : Q_LINK_DELETE, &statement, fault);
    if (code)
        return code;
    sqlite3_bind_int64(statement, 1, relation);
    if (link->alias[0]) {
        map_bind_uuid(statement, 2, link->alias);
        map_bind_uuid(statement, 3, link->main);
    }
    return map_run(map, statement, fault);
}

int map_link_update(struct map *map, const struct record_place *place, const struct resolution *resolution,
                    struct fault *fault)
{
    struct link held, wanted;
    if (strcmp(place->kind, "relation") != 0)
        return KAART_OK;
    map_link_of(resolution, &wanted);
    int code = link_held(map, place->record, &held, fault);
    if (code || (strcmp(held.alias, wanted.alias) == 0 && strcmp(held.main, wanted.main) == 0))
        return code;
    code = mark_around(map, &held, fault);
    if (!code)
        code = link_write(map, place->record, &wanted, fault);
    return code ? code : mark_around(map, &wanted, fault);
}
