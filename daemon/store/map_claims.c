/*
 * map_claims.c - the claims about a record, out of their lines in feeds.db.
 */
#include "daemon/store/map_internal.h"

#include "protocol/syntax.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A resolver never looks at more of one feed; see CLAIMS_PER_FEED_MAX. One more, so that it can say "too many". */
#define CLAIMS_LOADED_PER_FEED (CLAIMS_PER_FEED_MAX + 1)
/* And of all feeds together: every municipality may know a national organisation. */
#define CLAIMS_LOADED_MAX 4096

void loaded_clear(struct loaded *loaded)
{
    if (!loaded)
        return;
    cJSON_Delete(loaded->areas);
    cJSON_Delete(loaded->body);
    loaded->areas = loaded->body = NULL;
}

int loaded_read(struct loaded *loaded, const char *feed, int64_t feed_id, const struct hash *leaf,
                const char *line, size_t size, struct fault *fault)
{
    memset(loaded, 0, sizeof *loaded);
    int code = entry_parse(line, size, &loaded->entry, fault);
    if (code)
        return code;
    const struct entry *entry = &loaded->entry;
    if (entry->areas.data)
        loaded->areas = cJSON_ParseWithLength(entry->areas.data, entry->areas.size);
    if (entry->body.data)
        loaded->body = cJSON_ParseWithLength(entry->body.data, entry->body.size);
    if ((entry->areas.data && !loaded->areas) || (entry->body.data && !loaded->body)) {
        loaded_clear(loaded);
        return fault_set(fault, KAART_NOMEM, "out of memory");
    }
    snprintf(loaded->feed, sizeof loaded->feed, "%s", feed);
    loaded->feed_id = feed_id;
    if (entry->on_behalf_of.data)
        snprintf(loaded->on_behalf_of, sizeof loaded->on_behalf_of, "%.*s", (int)entry->on_behalf_of.size,
                 entry->on_behalf_of.data);
    loaded->claim = (struct claim){
        .feed = loaded->feed,
        .seq = entry->seq,
        .leaf = *leaf,
        .kind = entry->kind,
        .id = entry->id,
        .source = entry->source,
        .role = entry->role,
        .at_ms = entry->at_ms,
        .verified = entry->verified,
        .missing_since = entry->missing_since,
        .confirmed = DAY_NONE,
        .on_behalf_of = entry->on_behalf_of.data ? loaded->on_behalf_of : NULL,
        .areas = loaded->areas,
        .body = loaded->body,
    };
    /* The line is the caller's; nothing may point into it from here on. */
    memset(&loaded->entry.areas, 0, sizeof loaded->entry.areas);
    memset(&loaded->entry.body, 0, sizeof loaded->entry.body);
    memset(&loaded->entry.salt, 0, sizeof loaded->entry.salt);
    memset(&loaded->entry.on_behalf_of, 0, sizeof loaded->entry.on_behalf_of);
    return KAART_OK;
}

/* A row of Q_CLAIM_OF_RECORD. */
struct claim_row {
    int64_t feed_id;
    char feed[FEED_NAME_MAX_SIZE + 1];
    uint32_t generation;
    uint64_t seq;
    struct hash leaf;
    bool invalid;
};

static void read_row(sqlite3_stmt *statement, struct claim_row *row)
{
    row->feed_id = sqlite3_column_int64(statement, 0);
    snprintf(row->feed, sizeof row->feed, "%s", (const char *)sqlite3_column_text(statement, 1));
    row->generation = (uint32_t)sqlite3_column_int64(statement, 2);
    row->seq = (uint64_t)sqlite3_column_int64(statement, 3);
    memset(&row->leaf, 0, sizeof row->leaf);
    if (sqlite3_column_bytes(statement, 4) == HASH_SIZE)
        memcpy(row->leaf.bytes, sqlite3_column_blob(statement, 4), HASH_SIZE);
    row->invalid = sqlite3_column_int(statement, 5) != 0;
}

static struct loaded *among(struct loaded *parsed, const struct claim_row *row)
{
    while (parsed && (parsed->feed_id != row->feed_id || parsed->claim.seq != row->seq))
        parsed = parsed->next;
    return parsed;
}

/* KAART_UNKNOWN: the line is gone, or another one stands there by now. */
static int read_line(struct map *map, const struct claim_row *row, struct loaded **out, struct fault *fault)
{
    char *line = NULL;
    size_t size;
    struct hash leaf;
    int code =
        feeds_entry_at(map->feeds, row->feed_id, row->generation, row->seq, &leaf, &line, &size, fault);
    if (code)
        return code;
    if (!hash_equal(&leaf, &row->leaf)) {
        free(line);
        return KAART_UNKNOWN;
    }
    struct loaded *loaded = malloc(sizeof *loaded);
    code = loaded ? loaded_read(loaded, row->feed, row->feed_id, &leaf, line, size, fault)
                  : fault_set(fault, KAART_NOMEM, "out of memory");
    free(line);
    if (code)
        free(loaded);
    else
        *out = loaded;
    return code;
}

/* Whether a confirmation's list, " kind/id kind/id ", names the claim. */
static bool lists_claim(const char *list, const struct claim *claim)
{
    char word[NAME_MAX_SIZE + UUID_TEXT_SIZE + 4];
    if (list == NULL || *list == '\0' || claim->kind == NULL || claim->id == NULL)
        return false;
    snprintf(word, sizeof word, " %s/%s ", claim->kind, claim->id);
    return strstr(list, word) != NULL;
}

/* The newest live confirmation of the claim's source in its feed [RES-9]. */
int map_add_confirmation(struct map *map, struct claim *claim, int64_t feed_id, struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = map_statement(map, Q_CONFIRMATION_OF_SOURCE, &statement, fault);
    if (code)
        return code;
    sqlite3_bind_int64(statement, 1, feed_id);
    map_bind_text(statement, 2, claim->source);
    code = map_step(map, statement, fault);
    claim->confirmed = DAY_NONE;
    if (code <= 0)
        return code;
    claim->confirmed_at_ms = sqlite3_column_int64(statement, 0);
    claim->confirmed = (int32_t)sqlite3_column_int64(statement, 1);
    claim->excepted = claim->excepted || lists_claim((const char *)sqlite3_column_text(statement, 2), claim);
    sqlite3_reset(statement);
    return KAART_OK;
}

static int add_row(struct claim_row **rows, size_t *count, size_t *room, sqlite3_stmt *statement,
                   struct fault *fault)
{
    if (*count == *room) {
        *room = *room ? *room * 2 : 4;
        struct claim_row *grown = realloc(*rows, *room * sizeof *grown);
        if (!grown)
            return fault_set(fault, KAART_NOMEM, "out of memory");
        *rows = grown;
    }
    read_row(statement, &(*rows)[(*count)++]);
    return KAART_OK;
}

/* The rows first, all of them, so that no statement is open while others run. */
static int list_rows(struct map *map, int64_t record, struct claim_row **rows, size_t *count, size_t *room,
                     struct fault *fault)
{
    size_t of_feed = 0;
    int64_t feed = -1;
    sqlite3_stmt *statement;
    int code = map_statement(map, Q_CLAIM_OF_RECORD, &statement, fault);
    if (code)
        return code;
    sqlite3_bind_int64(statement, 1, record);
    while ((code = map_step(map, statement, fault)) > 0 && *count < CLAIMS_LOADED_MAX) {
        of_feed = sqlite3_column_int64(statement, 0) == feed ? of_feed + 1 : 1;
        feed = sqlite3_column_int64(statement, 0);
        if (of_feed > CLAIMS_LOADED_PER_FEED)
            continue;
        code = add_row(rows, count, room, statement, fault);
        if (code)
            break;
    }
    sqlite3_reset(statement);
    return code > 0 ? KAART_OK : code;
}

/* By feed, then by seq: what of several parts of one record counts does not depend on which part is read first. */
static int compare_rows(const void *a, const void *b)
{
    const struct claim_row *x = a, *y = b;
    if (x->feed_id != y->feed_id)
        return x->feed_id < y->feed_id ? -1 : 1;
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

/* A claim that can be read goes to the end of `out`. */
static int load_row(struct map *map, const struct claim_row *row, struct loaded *parsed,
                    struct record_claims *out, struct fault *fault)
{
    struct loaded *loaded = among(parsed, row);
    bool owned = loaded == NULL;
    int code = owned ? read_line(map, row, &loaded, fault) : KAART_OK;
    if (code == KAART_UNKNOWN) {
        out->incomplete = true;
        return KAART_OK;
    }
    if (code)
        return code;
    out->items[out->count] = loaded;
    out->owned[out->count] = owned;
    out->claims[out->count] = loaded->claim;
    out->claims[out->count].invalid = row->invalid;
    return map_add_confirmation(map, &out->claims[out->count++], row->feed_id, fault);
}

int record_claims_load(struct map *map, const int64_t *records, size_t record_count, struct loaded *parsed,
                       struct record_claims *out, struct fault *fault)
{
    struct claim_row *rows = NULL;
    size_t count = 0, room = 0, of_feed = 0;
    int code = KAART_OK;
    memset(out, 0, sizeof *out);
    for (size_t i = 0; i < record_count && !code; i++)
        code = list_rows(map, records[i], &rows, &count, &room, fault);
    if (record_count > 1 && count > 1)
        qsort(rows, count, sizeof *rows, compare_rows);
    out->items = calloc(count + 1, sizeof *out->items);
    out->owned = calloc(count + 1, sizeof *out->owned);
    out->claims = calloc(count + 1, sizeof *out->claims);
    if (!code && (!out->items || !out->owned || !out->claims))
        code = fault_set(fault, KAART_NOMEM, "out of memory");
    for (size_t i = 0; i < count && !code; i++) {
        of_feed = i && rows[i].feed_id == rows[i - 1].feed_id ? of_feed + 1 : 1;
        if (of_feed <= CLAIMS_LOADED_PER_FEED)
            code = load_row(map, &rows[i], parsed, out, fault);
    }
    free(rows);
    if (code)
        record_claims_clear(out);
    return code;
}

void record_claims_clear(struct record_claims *claims)
{
    for (size_t i = 0; i < claims->count; i++) {
        if (claims->owned[i]) {
            loaded_clear(claims->items[i]);
            free(claims->items[i]);
        }
    }
    free(claims->items);
    free(claims->owned);
    free(claims->claims);
    memset(claims, 0, sizeof *claims);
}
