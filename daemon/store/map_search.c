/*
 * map_search.c - what a person typed, as a query that FTS5 cannot misread, and its results in order.
 *
 * Words are cut at everything that is no letter or digit, quoted, and all must occur; the last one counts as a beginning, since
 * people type while they look. Whatever FTS5 gives a meaning (AND, NEAR, *, column:) is so only a word.
 */
#include "daemon/store/map_internal.h"

#include "protocol/json.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Nobody types more; each word costs a look-up. */
#define QUERY_SIZE_MAX 256
#define WORDS_MAX 12
#define RESULTS_MAX 200

/* ASCII that is no letter or digit separates; other characters are left to the tokenizer. */
static bool separates(unsigned char byte)
{
    return byte < 0x80 && !isalnum(byte);
}

/* Writes the FTS5 expression; empty where there is no word. */
static void build_query(const char *typed, char *out, size_t room)
{
    size_t used = 0, words = 0;
    out[0] = '\0';
    for (const char *p = typed; *p && (size_t)(p - typed) < QUERY_SIZE_MAX && words < WORDS_MAX;) {
        while (*p && separates((unsigned char)*p))
            p++;
        const char *start = p;
        while (*p && !separates((unsigned char)*p))
            p++;
        if (p == start)
            break;
        bool last = *p == '\0';
        int size = snprintf(out + used, room - used, "%s\"%.*s\"%s", words ? " " : "", (int)(p - start),
                            start, last ? "*" : "");
        if (size < 0 || used + (size_t)size >= room) {
            out[used] = '\0';
            break;
        }
        used += (size_t)size;
        words++;
    }
}

static int add_result(cJSON *list, sqlite3_stmt *row, struct fault *fault)
{
    char id[UUID_TEXT_SIZE + 1];
    cJSON *object = cJSON_CreateObject(), *record = cJSON_Parse((const char *)sqlite3_column_text(row, 5));
    const char *status = record ? json_get_string(record, "status") : NULL;
    map_uuid_text(sqlite3_column_blob(row, 1), id);
    bool good = object && cJSON_AddItemToArray(list, object);
    if (!good)
        cJSON_Delete(object);
    good = good && cJSON_AddStringToObject(object, "kind", (const char *)sqlite3_column_text(row, 0)) &&
           cJSON_AddStringToObject(object, "id", id) &&
           cJSON_AddStringToObject(object, "name", (const char *)sqlite3_column_text(row, 2)) &&
           cJSON_AddStringToObject(object, "place", (const char *)sqlite3_column_text(row, 3)) &&
           cJSON_AddStringToObject(object, "snippet", (const char *)sqlite3_column_text(row, 4)) &&
           (!status || cJSON_AddStringToObject(object, "status", status));
    cJSON_Delete(record);
    return good ? KAART_OK : fault_set(fault, KAART_NOMEM, "out of memory");
}

static int describe(struct map *map, const char *query, int64_t record, cJSON *list, struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = map_statement(map, Q_SEARCH_ONE, &statement, fault);
    if (code)
        return code;
    map_bind_text(statement, 1, query);
    sqlite3_bind_int64(statement, 2, record);
    code = map_step(map, statement, fault);
    if (code > 0) {
        code = add_result(list, statement, fault);
        sqlite3_reset(statement);
    }
    return code;
}

static int search(struct map *map, const char *query, const char *kind, size_t limit, size_t offset,
                  cJSON *list, struct fault *fault)
{
    int64_t records[RESULTS_MAX];
    size_t count = 0;
    sqlite3_stmt *statement;
    int code = map_statement(map, kind ? Q_SEARCH_KIND : Q_SEARCH, &statement, fault);
    if (code)
        return code;
    map_bind_text(statement, 1, query);
    sqlite3_bind_int64(statement, 2, (int64_t)(limit < RESULTS_MAX ? limit : RESULTS_MAX));
    sqlite3_bind_int64(statement, 3, offset < INT32_MAX ? (int64_t)offset : INT32_MAX);
    if (kind)
        map_bind_text(statement, 4, kind);
    while ((code = map_step(map, statement, fault)) > 0 && count < RESULTS_MAX)
        records[count++] = sqlite3_column_int64(statement, 0);
    sqlite3_reset(statement);
    code = code > 0 ? KAART_OK : code;
    for (size_t i = 0; i < count && !code; i++)
        code = describe(map, query, records[i], list, fault);
    return code;
}

int map_search(struct map *map, const char *query, const char *kind, size_t limit, size_t offset, cJSON **out,
               struct fault *fault)
{
    char expression[QUERY_SIZE_MAX * 2 + WORDS_MAX * 4];
    *out = cJSON_CreateArray();
    if (!*out)
        return fault_set(fault, KAART_NOMEM, "out of memory");
    build_query(query, expression, sizeof expression);
    if (!expression[0])
        return KAART_OK;
    int code = map_read_begin(map, fault);
    if (!code) {
        code = search(map, expression, kind, limit, offset, *out, fault);
        map_read_end(map);
    }
    if (code) {
        cJSON_Delete(*out);
        *out = NULL;
    }
    return code;
}
