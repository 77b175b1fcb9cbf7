/*
 * map_feed.c - a feed's entries become claims of the map.
 *
 *                    new generation, new epoch, or the floor passed our marker
 *        FOLLOWING ----------------------------------------------------------> SWEEPING
 *            ^   entries from the marker on replace claims by key                  |  all live entries again, from 0
 *            |                                                                     v
 *            +------------------- end reached; claims that were not seen again go -+
 */
#include "daemon/store/map_batch.h"

#include "daemon/log.h"
#include "protocol/syntax.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Lines parsed in one call: bounds the memory of a batch (a parsed line is some five times its text). */
#define BATCH_BYTES_MAX (2u * 1024 * 1024)
/* Feeds that a node can follow; every municipality has one or two. */
#define FEEDS_MAX 4096

struct feed_row {
    int64_t id;
    char name[FEED_NAME_MAX_SIZE + 1];
    int64_t epoch, generation, next_seq, sweep, size;
    bool sweeping, found;
    struct hash root;
};

/* ---- claims ---- */

static void bind_key(sqlite3_stmt *statement, int64_t feed, const struct entry_key *key)
{
    sqlite3_bind_int64(statement, 1, feed);
    sqlite3_bind_blob(statement, 2, key->bytes, sizeof key->bytes, SQLITE_TRANSIENT);
}

static int run_key(struct batch *batch, enum map_query query, const struct entry_key *key,
                   struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = map_statement(batch->map, query, &statement, fault);
    if (code)
        return code;
    bind_key(statement, batch->feed->id, key);
    return map_run(batch->map, statement, fault);
}

struct held_claim {
    int64_t record, seq, sweep;
    struct hash leaf;
};

/* 1: it is there, 0: not. */
static int claim_held(struct batch *batch, const struct entry_key *key, struct held_claim *out,
                      struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = map_statement(batch->map, Q_CLAIM_GET, &statement, fault);
    if (code)
        return code;
    bind_key(statement, batch->feed->id, key);
    code = map_step(batch->map, statement, fault);
    if (code <= 0)
        return code;
    out->record = sqlite3_column_int64(statement, 0);
    out->seq = sqlite3_column_int64(statement, 1);
    out->sweep = sqlite3_column_int64(statement, 3);
    memset(&out->leaf, 0, sizeof out->leaf);
    if (sqlite3_column_bytes(statement, 2) == HASH_SIZE)
        memcpy(out->leaf.bytes, sqlite3_column_blob(statement, 2), HASH_SIZE);
    sqlite3_reset(statement);
    return 1;
}

static int sweep_claim(struct batch *batch, const struct entry_key *key, struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = map_statement(batch->map, Q_CLAIM_SWEEP, &statement, fault);
    if (code)
        return code;
    bind_key(statement, batch->feed->id, key);
    sqlite3_bind_int64(statement, 3, batch->feed->sweep);
    return map_run(batch->map, statement, fault);
}

static int put_claim(struct batch *batch, const struct entry_key *key, int64_t record,
                     const struct claim *claim, bool invalid, struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = map_statement(batch->map, Q_CLAIM_PUT, &statement, fault);
    if (code)
        return code;
    bind_key(statement, batch->feed->id, key);
    sqlite3_bind_int64(statement, 3, record);
    sqlite3_bind_int64(statement, 4, (int64_t)claim->seq);
    sqlite3_bind_blob(statement, 5, claim->leaf.bytes, HASH_SIZE, SQLITE_TRANSIENT);
    map_bind_text(statement, 6, claim->source);
    sqlite3_bind_int(statement, 7, invalid);
    sqlite3_bind_int64(statement, 8, batch->feed->sweep);
    return map_run(batch->map, statement, fault);
}

/* Takes `loaded` when it returns 0 and sets *taken. */
static int take_claim(struct batch *batch, const struct entry_key *key, struct loaded *loaded, bool *taken,
                      struct fault *fault)
{
    struct held_claim held;
    const struct claim *claim = &loaded->claim;
    int code = claim_held(batch, key, &held, fault);
    if (code < 0)
        return code;
    if (code > 0 && held.seq == (int64_t)claim->seq && hash_equal(&held.leaf, &claim->leaf))
        return held.sweep == batch->feed->sweep ? KAART_OK : sweep_claim(batch, key, fault);
    int64_t record = held.record;
    code = code > 0 ? KAART_OK : map_record_of(batch->map, claim->kind, claim->id, &record, fault);
    if (code)
        return code;
    int checked = record_check(claim->kind, claim->id, claim->body, batch->map->audience, NULL, NULL);
    if (checked == KAART_NOMEM)
        return fault_set(fault, KAART_NOMEM, "out of memory");
    code = put_claim(batch, key, record, claim, checked == KAART_INVALID, fault);
    if (!code)
        code = batch_touch(batch, record, loaded, fault);
    *taken = code == KAART_OK;
    return code;
}

static int forget_claim(struct batch *batch, const struct entry_key *key, struct fault *fault)
{
    struct held_claim held;
    int code = claim_held(batch, key, &held, fault);
    if (code <= 0)
        return code;
    code = run_key(batch, Q_CLAIM_DELETE, key, fault);
    return code ? code : batch_touch(batch, held.record, NULL, fault);
}

/* ---- confirmations ---- */

struct confirmation {
    int64_t at, verified;
    struct hash excepted; /* of the list of claims for which it does not speak */
    bool found;
};

static int newest_confirmation(struct batch *batch, const char *source, struct confirmation *out,
                               struct fault *fault)
{
    sqlite3_stmt *statement;
    memset(out, 0, sizeof *out);
    int code = map_statement(batch->map, Q_CONFIRMATION_OF_SOURCE, &statement, fault);
    if (code)
        return code;
    sqlite3_bind_int64(statement, 1, batch->feed->id);
    map_bind_text(statement, 2, source);
    code = map_step(batch->map, statement, fault);
    if (code <= 0)
        return code;
    out->at = sqlite3_column_int64(statement, 0);
    out->verified = sqlite3_column_int64(statement, 1);
    out->found = true;
    const void *excepted = sqlite3_column_text(statement, 2);
    code = hasher_digest(batch->map->hasher, excepted, (size_t)sqlite3_column_bytes(statement, 2),
                         &out->excepted);
    sqlite3_reset(statement);
    return code ? fault_set(fault, code, "out of memory") : KAART_OK;
}

/* What a changed confirmation can change: where it only grew younger, records with a stale claim; else all of the source's. */
static int due_by_confirmation(struct batch *batch, const char *source, const struct confirmation *before,
                               struct fault *fault)
{
    struct confirmation now;
    sqlite3_stmt *statement;
    int code = newest_confirmation(batch, source, &now, fault);
    if (code)
        return code;
    bool younger = now.found && syntax_day_of(now.at) <= batch->day &&
                   (!before->found || (now.at >= before->at && now.verified >= before->verified &&
                                       hash_equal(&now.excepted, &before->excepted)));
    code = map_statement(batch->map, Q_CLAIM_OF_SOURCE, &statement, fault);
    if (code)
        return code;
    sqlite3_bind_int64(statement, 1, batch->feed->id);
    map_bind_text(statement, 2, source);
    sqlite3_bind_int(statement, 3, !younger);
    return map_run(batch->map, statement, fault);
}

/* " kind/id kind/id " of a confirmation's `except` [REC-22]; "" where there is none. malloc'ed. */
static char *excepted_of(const cJSON *body)
{
    const cJSON *list = json_get(body, "except"), *item;
    size_t size = 2;
    cJSON_ArrayForEach(item, list)
    {
        size += cJSON_IsString(item) ? strlen(item->valuestring) + 1 : 0;
    }
    char *text = calloc(1, size), *end = text;
    if (text == NULL || !cJSON_IsArray(list))
        return text;
    *end++ = ' ';
    cJSON_ArrayForEach(item, list)
    {
        if (!cJSON_IsString(item))
            continue;
        end = stpcpy(end, item->valuestring);
        *end++ = ' ';
    }
    return text;
}

static int put_confirmation(struct batch *batch, const struct entry_key *key, const struct claim *claim,
                            struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = map_statement(batch->map, Q_CONFIRMATION_PUT, &statement, fault);
    if (code)
        return code;
    char *excepted = excepted_of(claim->body);
    if (excepted == NULL)
        return fault_set(fault, KAART_NOMEM, "out of memory");
    bind_key(statement, batch->feed->id, key);
    map_bind_text(statement, 3, claim->source);
    sqlite3_bind_int64(statement, 4, (int64_t)claim->seq);
    sqlite3_bind_int64(statement, 5, claim->at_ms);
    sqlite3_bind_int64(statement, 6,
                       claim->verified != DAY_NONE ? claim->verified : syntax_day_of(claim->at_ms));
    sqlite3_bind_int64(statement, 7, batch->feed->sweep);
    sqlite3_bind_text(statement, 8, excepted, -1, free);
    return map_run(batch->map, statement, fault);
}

static int take_confirmation(struct batch *batch, const struct entry_key *key, const struct claim *claim,
                             struct fault *fault)
{
    struct confirmation before;
    int code = newest_confirmation(batch, claim->source, &before, fault);
    if (!code)
        code = put_confirmation(batch, key, claim, fault);
    return code ? code : due_by_confirmation(batch, claim->source, &before, fault);
}

static int forget_confirmation(struct batch *batch, const struct entry_key *key, struct fault *fault)
{
    struct confirmation before;
    char source[NAME_MAX_SIZE + 1];
    sqlite3_stmt *statement;
    int code = map_statement(batch->map, Q_CONFIRMATION_GET, &statement, fault);
    if (code)
        return code;
    bind_key(statement, batch->feed->id, key);
    code = map_step(batch->map, statement, fault);
    if (code <= 0)
        return code;
    snprintf(source, sizeof source, "%s", (const char *)sqlite3_column_text(statement, 0));
    sqlite3_reset(statement);
    code = newest_confirmation(batch, source, &before, fault);
    if (!code)
        code = run_key(batch, Q_CONFIRMATION_DELETE, key, fault);
    return code ? code : due_by_confirmation(batch, source, &before, fault);
}

/* ---- entries ---- */

static int take_parsed(struct batch *batch, struct loaded *loaded, bool *taken, struct fault *fault)
{
    struct entry_key key;
    const struct entry *entry = &loaded->entry;
    if (entry_key(batch->map->hasher, entry->kind, entry->id, entry->source, &key))
        return fault_set(fault, KAART_NOMEM, "out of memory");
    if (entry->op != ENTRY_ASSERT) {
        batch->erased = batch->erased || entry->op == ENTRY_ERASE;
        int code = forget_claim(batch, &key, fault);
        return code ? code : forget_confirmation(batch, &key, fault);
    }
    if (strcmp(entry->kind, "confirmation") == 0)
        return take_confirmation(batch, &key, &loaded->claim, fault);
    return take_claim(batch, &key, loaded, taken, fault);
}

struct reading {
    struct batch *batch;
    struct fault *fault;
};

/* Returned by take_entry to end a read that is large enough. */
#define ENOUGH 1

static int take_entry(void *context, uint64_t seq, const struct hash *leaf, const char *line, size_t size)
{
    struct reading *reading = context;
    struct batch *batch = reading->batch;
    struct fault reason = {""};
    bool taken = false;
    struct loaded *loaded = malloc(sizeof *loaded);
    if (!loaded)
        return fault_set(reading->fault, KAART_NOMEM, "out of memory");
    int code = loaded_read(loaded, batch->feed->name, batch->feed->id, leaf, line, size, &reason);
    if (code && code != KAART_NOMEM) {
        /* The store checked it when it came. One bad line must not hold up the others. */
        log_warning("map", "%s entry %llu is passed over: %s", batch->feed->name, (unsigned long long)seq,
                    reason.text);
        free(loaded);
        code = KAART_OK;
    } else if (!code) {
        code = take_parsed(batch, loaded, &taken, reading->fault);
        if (!taken) {
            loaded_clear(loaded);
            free(loaded);
        }
    } else {
        fault_set(reading->fault, code, "%s", reason.text);
        free(loaded);
    }
    if (code)
        return code;
    batch->last_seq = seq;
    batch->taken++;
    batch->used++;
    batch->bytes += size;
    batch->stopped = batch->bytes >= BATCH_BYTES_MAX || batch->used >= batch->limit;
    return batch->stopped ? ENOUGH : KAART_OK;
}

/* ---- one feed ---- */

static int feed_load(struct map *map, const struct noted_head *head, struct feed_row *row,
                     struct fault *fault)
{
    sqlite3_stmt *statement;
    memset(row, 0, sizeof *row);
    row->id = head->id;
    snprintf(row->name, sizeof row->name, "%s", head->name);
    int code = map_statement(map, Q_FEED_GET, &statement, fault);
    if (code)
        return code;
    sqlite3_bind_int64(statement, 1, head->id);
    code = map_step(map, statement, fault);
    if (code <= 0)
        return code;
    row->found = true;
    row->epoch = sqlite3_column_int64(statement, 0);
    row->generation = sqlite3_column_int64(statement, 1);
    row->next_seq = sqlite3_column_int64(statement, 2);
    row->sweep = sqlite3_column_int64(statement, 3);
    row->sweeping = sqlite3_column_int(statement, 4) != 0;
    row->size = sqlite3_column_int64(statement, 5);
    if (sqlite3_column_bytes(statement, 6) == HASH_SIZE)
        memcpy(row->root.bytes, sqlite3_column_blob(statement, 6), HASH_SIZE);
    sqlite3_reset(statement);
    return KAART_OK;
}

static int feed_save(struct map *map, const struct feed_row *row, struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = map_statement(map, Q_FEED_PUT, &statement, fault);
    if (code)
        return code;
    sqlite3_bind_int64(statement, 1, row->id);
    map_bind_text(statement, 2, row->name);
    sqlite3_bind_int64(statement, 3, row->epoch);
    sqlite3_bind_int64(statement, 4, row->generation);
    sqlite3_bind_int64(statement, 5, row->next_seq);
    sqlite3_bind_int64(statement, 6, row->sweep);
    sqlite3_bind_int(statement, 7, row->sweeping);
    sqlite3_bind_int64(statement, 8, row->size);
    sqlite3_bind_blob(statement, 9, row->root.bytes, HASH_SIZE, SQLITE_TRANSIENT);
    return map_run(map, statement, fault);
}

static void begin_sweep(struct feed_row *row)
{
    row->sweep++;
    row->next_seq = 0;
    row->sweeping = true;
}

/* Whether tombstones that we have not seen may be gone already: then only comparing everything shows what died. */
static bool passed_by_floor(const struct feed_row *row, uint64_t floor)
{
    return row->next_seq > 0 && (uint64_t)row->next_seq < floor;
}

/* Whether feeds.db was replaced by an older one (a restored backup): it then holds less than we have seen, or at the same
 * size something else. */
static bool went_back(const struct feed_row *row, const struct noted_head *head)
{
    if (row->sweeping)
        return false;
    return (uint64_t)row->next_seq > head->size ||
           ((uint64_t)row->size == head->size && (uint64_t)row->next_seq == head->size &&
            !hash_equal(&row->root, &head->root));
}

struct old_key {
    struct entry_key key;
    int64_t record;
    char source[NAME_MAX_SIZE + 1];
};

/* The keys of claims or confirmations of another sweep. */
static int list_old(struct batch *batch, enum map_query query, int64_t sweep, struct old_key *keys,
                    size_t room, size_t *count, struct fault *fault)
{
    sqlite3_stmt *statement;
    *count = 0;
    int code = map_statement(batch->map, query, &statement, fault);
    if (code)
        return code;
    sqlite3_bind_int64(statement, 1, batch->feed->id);
    sqlite3_bind_int64(statement, 2, sweep);
    sqlite3_bind_int64(statement, 3, (int64_t)room);
    while ((code = map_step(batch->map, statement, fault)) > 0) {
        struct old_key *key = &keys[(*count)++];
        memset(key, 0, sizeof *key);
        if (sqlite3_column_bytes(statement, 0) == (int)sizeof key->key.bytes)
            memcpy(key->key.bytes, sqlite3_column_blob(statement, 0), sizeof key->key.bytes);
    }
    return code;
}

/* Drops what was not seen in `sweep`, as far as the limit allows; *clean: nothing is left. */
static int drop_old(struct batch *batch, int64_t sweep, bool *clean, struct fault *fault)
{
    static const enum map_query queries[2] = {Q_CONFIRMATION_OLD, Q_CLAIM_OLD};
    size_t room = batch->limit > batch->used ? batch->limit - batch->used : 1, count = 0;
    struct old_key *keys = calloc(room, sizeof *keys);
    int code = keys ? KAART_OK : fault_set(fault, KAART_NOMEM, "out of memory");
    *clean = false;
    for (int i = 0; i < 2 && !code; i++) {
        code = list_old(batch, queries[i], sweep, keys, room, &count, fault);
        for (size_t j = 0; j < count && !code; j++)
            code = i == 0 ? forget_confirmation(batch, &keys[j].key, fault)
                          : forget_claim(batch, &keys[j].key, fault);
        batch->used += count;
        batch->erased = batch->erased || count > 0; /* perhaps by an erasure whose tombstone is gone */
        if (count == room)
            break;
        *clean = i == 1;
    }
    free(keys);
    return code;
}

/* The end of a feed was reached: note the head, if it is the one that was read. */
static int reach_end(struct batch *batch, struct feed_row *row, const struct feed_head *head,
                     struct fault *fault)
{
    if (row->sweeping) {
        bool clean;
        int code = drop_old(batch, row->sweep, &clean, fault);
        if (code)
            return code;
        row->sweeping = !clean;
        batch->more = batch->more || !clean;
    }
    if ((uint64_t)row->next_seq < head->checkpoint.size || row->sweeping) {
        batch->more = true;
        return KAART_OK;
    }
    row->size = (int64_t)head->checkpoint.size;
    row->root = head->checkpoint.root;
    return KAART_OK;
}

/* Reads one piece of a feed. *end: there was nothing more. */
static int read_piece(struct batch *batch, struct feed_row *row, bool *end, struct fault *fault)
{
    struct reading reading = {batch, fault};
    batch->bytes = batch->taken = 0;
    batch->stopped = false;
    /* We stop by ourselves: only then does an end without a stop mean that there is no more. */
    int code = feeds_entries(batch->map->feeds, row->id, (uint32_t)row->generation, (uint64_t)row->next_seq,
                             INT64_MAX, take_entry, &reading, fault);
    *end = code == KAART_OK;
    return code == ENOUGH ? KAART_OK : code;
}

static int read_feed(struct batch *batch, const struct noted_head *head, struct feed_row *row,
                     struct fault *fault)
{
    bool end = false;
    struct feed_head *now = malloc(sizeof *now);
    int code = now ? read_piece(batch, row, &end, fault) : fault_set(fault, KAART_NOMEM, "out of memory");
    if (!code)
        code = feeds_head(batch->map->feeds, row->name, now, fault);
    if (code)
        goto out;
    if (!now->held || (int64_t)now->generation != row->generation ||
        passed_by_floor(row, now->checkpoint.floor)) {
        /* It moved while it was read. What was taken is right, but something may be missing. */
        if (passed_by_floor(row, now->checkpoint.floor))
            begin_sweep(row);
        batch->more = true;
        goto out;
    }
    if (batch->taken)
        row->next_seq = (int64_t)batch->last_seq + 1;
    if (!end) {
        batch->more = true;
        goto out;
    }
    if ((uint64_t)row->next_seq < head->size)
        row->next_seq = (int64_t)head->size;
    code = reach_end(batch, row, now, fault);
out:
    free(now);
    return code;
}

static int follow_feed(struct batch *batch, const struct noted_head *head, struct fault *fault)
{
    struct feed_row row, before;
    int code = feed_load(batch->map, head, &row, fault);
    if (code)
        return code;
    /* cppcheck-suppress autoVariables ; read only by what is called from here */
    batch->feed = &row;
    before = row;
    if (row.found && (row.epoch != (int64_t)head->epoch || row.generation != (int64_t)head->generation ||
                      passed_by_floor(&row, head->floor) || went_back(&row, head)))
        begin_sweep(&row);
    row.epoch = (int64_t)head->epoch;
    row.generation = (int64_t)head->generation;
    if (row.found && !row.sweeping && (uint64_t)row.next_seq >= head->size &&
        hash_equal(&row.root, &head->root))
        return KAART_OK;
    /* Claims are read through the feed's row: it must be there, with its new generation, before records are resolved. */
    code = feed_save(batch->map, &row, fault);
    if (!code)
        code = read_feed(batch, head, &row, fault);
    if (code == KAART_OVERTAKEN) {
        batch->more = true;
        code = KAART_OK;
        row = before.found ? before : row;
    }
    return code ? code : feed_save(batch->map, &row, fault);
}

/* ---- all feeds ---- */

/* [RES-2] A map is made of the feeds of one audience. */
static bool is_of_audience(const struct map *map, const char *feed)
{
    const char *slash = strchr(feed, '/');
    return slash && strcmp(slash + 1, map->audience) == 0;
}

static int note_head(void *context, const struct feed_head *head)
{
    struct batch *batch = context;
    if (!head->held || !is_of_audience(batch->map, head->checkpoint.feed) || batch->head_count >= FEEDS_MAX)
        return KAART_OK;
    struct noted_head *grown = realloc(batch->heads, (batch->head_count + 1) * sizeof *grown);
    if (!grown)
        return KAART_NOMEM;
    batch->heads = grown;
    struct noted_head *noted = &batch->heads[batch->head_count++];
    memset(noted, 0, sizeof *noted);
    noted->id = head->id;
    snprintf(noted->name, sizeof noted->name, "%s", head->checkpoint.feed);
    noted->generation = head->generation;
    noted->epoch = head->checkpoint.epoch;
    noted->size = head->checkpoint.size;
    noted->floor = head->checkpoint.floor;
    noted->root = head->checkpoint.root;
    return KAART_OK;
}

static bool among_heads(const struct batch *batch, int64_t id)
{
    for (size_t i = 0; i < batch->head_count; i++)
        if (batch->heads[i].id == id)
            return true;
    return false;
}

/* A feed of the map that the store does not list (or that is of another audience: a file that was moved here by hand): *found if it really has none (and does not only withhold it). */
static int find_unlisted(struct batch *batch, struct feed_row *row, bool *found, struct fault *fault)
{
    sqlite3_stmt *statement;
    *found = false;
    memset(row, 0, sizeof *row);
    int code = map_statement(batch->map, Q_FEED_LIST, &statement, fault);
    if (code)
        return code;
    while (!*found && (code = map_step(batch->map, statement, fault)) > 0) {
        row->id = sqlite3_column_int64(statement, 0);
        snprintf(row->name, sizeof row->name, "%s", (const char *)sqlite3_column_text(statement, 1));
        struct feed_head *head = among_heads(batch, row->id) ? NULL : malloc(sizeof *head);
        if (!head)
            continue;
        *found = !is_of_audience(batch->map, row->name) ||
                 feeds_head(batch->map->feeds, row->name, head, NULL) == KAART_UNKNOWN;
        free(head);
    }
    sqlite3_reset(statement);
    return code < 0 ? code : KAART_OK;
}

static int drop_feeds(struct batch *batch, struct fault *fault)
{
    struct feed_row row;
    bool found, clean = true;
    int code = find_unlisted(batch, &row, &found, fault);
    while (!code && found && clean) {
        sqlite3_stmt *statement;
        /* cppcheck-suppress autoVariables ; read only by what is called from here */
        batch->feed = &row;
        code = drop_old(batch, -1, &clean, fault);
        if (!code && clean)
            code = map_statement(batch->map, Q_FEED_DELETE, &statement, fault);
        if (!code && clean) {
            sqlite3_bind_int64(statement, 1, row.id);
            code = map_run(batch->map, statement, fault);
        }
        if (!code && clean)
            code = find_unlisted(batch, &row, &found, fault);
    }
    batch->more = batch->more || !clean;
    return code;
}

int batch_follow_feeds(struct batch *batch, struct fault *fault)
{
    int code = feeds_list(batch->map->feeds, note_head, batch, fault);
    if (code == KAART_NOMEM)
        fault_set(fault, code, "out of memory");
    if (!code)
        code = drop_feeds(batch, fault);
    for (size_t i = 0; i < batch->head_count && !code; i++) {
        if (batch->used >= batch->limit) {
            batch->more = true;
            break;
        }
        code = follow_feed(batch, &batch->heads[i], fault);
        if (!code)
            code = batch_resolve_touched(batch, fault);
    }
    if (!code)
        code = batch_resolve_touched(batch, fault);
    return code;
}
