/*
 * map_sums.c - the two hashes by which operators see whether they hold the same claims and see the same map.
 * spec/resolution.md [SUM-1] to [SUM-3]. Streaming: no more than one record's lines are in memory.
 */
#include "daemon/store/map_internal.h"

#include "protocol/json.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Records read in one go, so that no read of the database stays open. */
#define PAGE 500

static int sum_begin(EVP_MD_CTX **out, struct fault *fault)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (!context || EVP_DigestInit_ex(context, EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(context);
        return fault_set(fault, KAART_NOMEM, "out of memory");
    }
    *out = context;
    return KAART_OK;
}

static int sum_add(EVP_MD_CTX *context, const char *text, size_t size, struct fault *fault)
{
    return EVP_DigestUpdate(context, text, size) == 1 ? KAART_OK
                                                      : fault_set(fault, KAART_NOMEM, "out of memory");
}

static int sum_end(EVP_MD_CTX *context, int code, struct hash *out, struct fault *fault)
{
    if (!code && EVP_DigestFinal_ex(context, out->bytes, NULL) != 1)
        code = fault_set(fault, KAART_NOMEM, "out of memory");
    EVP_MD_CTX_free(context);
    return code;
}

/* [SUM-1] "feed epoch size root" LF, sorted. */
int map_sum_claims(struct map *map, struct hash *out, struct fault *fault)
{
    EVP_MD_CTX *context;
    sqlite3_stmt *statement;
    int code = sum_begin(&context, fault);
    if (code)
        return code;
    code = map_statement(map, Q_FEED_LIST, &statement, fault);
    while (!code && (code = map_step(map, statement, fault)) > 0) {
        char line[FEED_NAME_MAX_SIZE + 128], root[HASH_SIZE * 2];
        struct hash hash = {{0}};
        if (sqlite3_column_bytes(statement, 4) == HASH_SIZE)
            memcpy(hash.bytes, sqlite3_column_blob(statement, 4), HASH_SIZE);
        base64_encode(hash.bytes, HASH_SIZE, root);
        int size =
            snprintf(line, sizeof line, "%s %lld %lld %s\n", (const char *)sqlite3_column_text(statement, 1),
                     (long long)sqlite3_column_int64(statement, 2),
                     (long long)sqlite3_column_int64(statement, 3), root);
        code = sum_add(context, line, (size_t)size, fault);
    }
    return sum_end(context, code, out, fault);
}

/* ---- winners ---- */

/* [SUM-3]: a name can hold anything; in a line, bytes up to the space, DEL and % are written %XX. malloc'ed. */
static char *encode_name(const char *name)
{
    static const char digits[] = "0123456789ABCDEF";
    char *out = malloc(strlen(name) * 3 + 1), *to = out;
    for (; out && *name; name++) {
        unsigned char byte = (unsigned char)*name;
        if (byte > 0x20 && byte != 0x7f && byte != '%') {
            *to++ = *name;
        } else {
            *to++ = '%';
            *to++ = digits[byte >> 4];
            *to++ = digits[byte & 15];
        }
    }
    if (out)
        *to = '\0';
    return out;
}

static int compare_lines(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

struct record_lines {
    char **lines;
    size_t count;
};

static void lines_clear(struct record_lines *lines)
{
    for (size_t i = 0; i < lines->count; i++)
        free(lines->lines[i]);
    free(lines->lines);
    memset(lines, 0, sizeof *lines);
}

/* "kind id field feed seq leaf" LF for one field. */
static char *winner_line(const char *kind, const char *id, const char *field, const cJSON *claim)
{
    char *name = encode_name(field), *line = NULL;
    const char *feed = json_get_string(claim, "feed"), *leaf = json_get_string(claim, "leaf");
    const cJSON *seq = json_get(claim, "seq");
    if (name && feed && leaf && seq &&
        asprintf(&line, "%s %s %s %s %.0f %s\n", kind, id, name, feed, seq->valuedouble, leaf) < 0)
        line = NULL;
    free(name);
    return line;
}

static int record_lines(const char *kind, const char *id, const cJSON *record, const cJSON *provenance,
                        struct record_lines *out)
{
    const cJSON *claims = json_get(provenance, "claims"), *fields = json_get(provenance, "fields"), *field;
    memset(out, 0, sizeof *out);
    out->lines = calloc((size_t)cJSON_GetArraySize(record) + 1, sizeof *out->lines);
    if (!out->lines)
        return KAART_NOMEM;
    cJSON_ArrayForEach(field, record)
    {
        const cJSON *place = fields ? cJSON_GetArrayItem(json_get(fields, field->string), 0) : NULL;
        if (record_member_reserved(field->string))
            continue;
        char *line =
            winner_line(kind, id, field->string, cJSON_GetArrayItem(claims, place ? place->valueint : 0));
        if (!line) {
            lines_clear(out);
            return KAART_NOMEM;
        }
        out->lines[out->count++] = line;
    }
    if (out->count > 1)
        qsort(out->lines, out->count, sizeof *out->lines, compare_lines);
    return KAART_OK;
}

static int sum_record(EVP_MD_CTX *context, const char *kind, const char *id, const char *json,
                      const char *provenance_text, struct fault *fault)
{
    struct record_lines lines = {0};
    cJSON *record = cJSON_Parse(json), *provenance = cJSON_Parse(provenance_text);
    int code = record && provenance ? record_lines(kind, id, record, provenance, &lines) : KAART_NOMEM;
    if (code)
        fault_set(fault, code, "out of memory");
    for (size_t i = 0; i < lines.count && !code; i++)
        code = sum_add(context, lines.lines[i], strlen(lines.lines[i]), fault);
    lines_clear(&lines);
    cJSON_Delete(record);
    cJSON_Delete(provenance);
    return code;
}

/* [SUM-2] Records come in order of (kind, id), so that the lines of all of them are sorted where each one's are. */
int map_sum_winners(struct map *map, struct hash *out, struct fault *fault)
{
    EVP_MD_CTX *context;
    char kind[NAME_MAX_SIZE + 1] = "";
    uint8_t uuid[16] = {0};
    size_t count = PAGE;
    int code = sum_begin(&context, fault);
    if (code)
        return code;
    while (!code && count == PAGE) {
        sqlite3_stmt *statement;
        count = 0;
        code = map_statement(map, Q_RECORD_EACH, &statement, fault);
        if (code)
            break;
        sqlite3_bind_text(statement, 1, kind, -1, SQLITE_TRANSIENT);
        sqlite3_bind_blob(statement, 2, uuid, sizeof uuid, SQLITE_TRANSIENT);
        sqlite3_bind_int(statement, 3, PAGE);
        while (!code && (code = map_step(map, statement, fault)) > 0) {
            char id[UUID_TEXT_SIZE + 1];
            snprintf(kind, sizeof kind, "%s", (const char *)sqlite3_column_text(statement, 0));
            memcpy(uuid, sqlite3_column_blob(statement, 1), sizeof uuid);
            map_uuid_text(uuid, id);
            code = sum_record(context, kind, id, (const char *)sqlite3_column_text(statement, 2),
                              (const char *)sqlite3_column_text(statement, 3), fault);
            count++;
        }
        sqlite3_reset(statement);
    }
    return sum_end(context, code, out, fault);
}

int map_sum_winners_kept(struct map *map, struct hash *out, struct fault *fault)
{
    int64_t changes = 0;
    int code = map_state_number(map, "changes", &changes, fault);
    if (!code && (!map->sum_known || map->sum_changes != changes)) {
        code = map_sum_winners(map, &map->sum, fault);
        map->sum_changes = changes;
        map->sum_known = !code;
    }
    if (!code)
        *out = map->sum;
    return code;
}
