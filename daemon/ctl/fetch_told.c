/*
 * fetch_told.c - what fetch wrote before, so that the next run writes only what changed, also across a full copy or a new epoch.
 *
 * told.db holds for each key the leaf that was told. A run walks what is new (or, in another generation, everything), compares, writes, and
 * commits when the output has taken it; after a crash the same changes are written again, never lost.
 */
#include "daemon/ctl/fetch.h"
#include "protocol/entry.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

/* Entries read in one transaction of feeds.db. */
#define WALK_BATCH 2000

enum { SEEN_GET, SEEN_PUT, SEEN_DELETE, SEEN_OTHERS, MARK_GET, MARK_PUT, STATEMENTS };

static const char *const statements[STATEMENTS] = {
    [SEEN_GET] = "SELECT leaf FROM told WHERE key = ?1",
    [SEEN_PUT] = "INSERT OR REPLACE INTO told(key, leaf, generation, kind, id, source) VALUES (?1, ?2, ?3, "
                 "?4, ?5, ?6)",
    [SEEN_DELETE] = "DELETE FROM told WHERE key = ?1",
    [SEEN_OTHERS] = "SELECT kind, id, source, key FROM told WHERE generation <> ?1",
    [MARK_GET] = "SELECT generation, size FROM mark",
    [MARK_PUT] = "UPDATE mark SET generation = ?1, size = ?2",
};

struct told {
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENTS];
};

static int db_fault(struct told *told, struct fault *fault)
{
    return fault_set(fault, KAART_IO, "told.db: %s", told->db ? sqlite3_errmsg(told->db) : "out of memory");
}

int told_open(const char *path, struct told **out, struct fault *fault)
{
    static const char schema[] =
        "PRAGMA trusted_schema=OFF; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
        "CREATE TABLE IF NOT EXISTS told(key BLOB PRIMARY KEY, leaf BLOB NOT NULL, generation INTEGER NOT "
        "NULL,"
        " kind TEXT NOT NULL, id TEXT NOT NULL, source TEXT NOT NULL) STRICT, WITHOUT ROWID;"
        "CREATE TABLE IF NOT EXISTS mark(generation INTEGER NOT NULL, size INTEGER NOT NULL) STRICT;"
        "INSERT INTO mark SELECT -1, 0 WHERE NOT EXISTS (SELECT 1 FROM mark);";
    struct told *told = calloc(1, sizeof(*told));
    if (!told)
        return fault_set(fault, KAART_NOMEM, "out of memory");
    int code =
        sqlite3_open_v2(path, &told->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) == SQLITE_OK &&
                sqlite3_exec(told->db, schema, NULL, NULL, NULL) == SQLITE_OK
            ? 0
            : db_fault(told, fault);
    for (size_t i = 0; code == 0 && i < STATEMENTS; i++)
        if (sqlite3_prepare_v2(told->db, statements[i], -1, &told->statements[i], NULL) != SQLITE_OK)
            code = db_fault(told, fault);
    if (code < 0)
        told_close(told);
    else
        *out = told;
    return code;
}

void told_close(struct told *told)
{
    if (!told)
        return;
    for (size_t i = 0; i < STATEMENTS; i++)
        sqlite3_finalize(told->statements[i]);
    sqlite3_close(told->db);
    free(told);
}

/* ---- one walk ---- */

struct walk {
    struct told *told;
    FILE *out;
    struct hasher *hasher;
    struct fault *fault;
    uint32_t generation;
    uint64_t next;
    size_t lines, batch;
};

/* Finishes a statement that gives no rows (or one, into leaf). 1: a row, 0: none. */
static int run_key(struct walk *walk, int which, const struct entry_key *key, struct hash *leaf)
{
    sqlite3_stmt *statement = walk->told->statements[which];
    sqlite3_bind_blob(statement, 1, key->bytes, sizeof(key->bytes), SQLITE_STATIC);
    int step = sqlite3_step(statement), code = step == SQLITE_ROW;
    if (step == SQLITE_ROW && leaf && sqlite3_column_bytes(statement, 0) == HASH_SIZE)
        memcpy(leaf->bytes, sqlite3_column_blob(statement, 0), HASH_SIZE);
    sqlite3_reset(statement);
    return step == SQLITE_ROW || step == SQLITE_DONE ? code : db_fault(walk->told, walk->fault);
}

static int put_key(struct walk *walk, const struct entry_key *key, const struct hash *leaf,
                   const struct entry *entry)
{
    sqlite3_stmt *statement = walk->told->statements[SEEN_PUT];
    sqlite3_bind_blob(statement, 1, key->bytes, sizeof(key->bytes), SQLITE_STATIC);
    sqlite3_bind_blob(statement, 2, leaf->bytes, HASH_SIZE, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 3, walk->generation);
    sqlite3_bind_text(statement, 4, entry->kind, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 5, entry->id, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 6, entry->source, -1, SQLITE_STATIC);
    int step = sqlite3_step(statement);
    sqlite3_reset(statement);
    return step == SQLITE_DONE ? 0 : db_fault(walk->told, walk->fault);
}

static int check_out(struct walk *walk, int printed)
{
    walk->lines++;
    return printed >= 0
               ? 0
               : fault_set(walk->fault, KAART_IO, "the output cannot be written: %s", strerror(errno));
}

/* Names are [a-z0-9_-] and ids hexadecimal: nothing to escape. The body goes out byte for byte. */
static int write_deleted(struct walk *walk, const char *kind, const char *id, const char *source)
{
    return check_out(walk,
                     fprintf(walk->out, "{\"deleted\":{\"kind\":\"%s\",\"id\":\"%s\",\"source\":\"%s\"}}\n",
                             kind, id, source));
}

static int write_record(struct walk *walk, const struct entry *entry)
{
    char at[INSTANT_TEXT_SIZE + 1], verified[DAY_TEXT_SIZE + 1];
    syntax_instant_format(entry->at_ms, at);
    fprintf(walk->out, "{\"kind\":\"%s\",\"id\":\"%s\",\"source\":\"%s\",\"role\":\"%s\",\"at\":\"%s\"",
            entry->kind, entry->id, entry->source, entry->role, at);
    if (entry->verified != DAY_NONE) {
        syntax_day_format(entry->verified, verified);
        fprintf(walk->out, ",\"verified\":\"%s\"", verified);
    }
    if (entry->on_behalf_of.data)
        fprintf(walk->out, ",\"onBehalfOf\":\"%.*s\"", (int)entry->on_behalf_of.size,
                entry->on_behalf_of.data);
    if (entry->areas.data)
        fprintf(walk->out, ",\"areas\":%.*s", (int)entry->areas.size, entry->areas.data);
    return check_out(walk, fprintf(walk->out, ",\"body\":%.*s}\n", (int)entry->body.size, entry->body.data));
}

static int tell_entry(void *context, uint64_t seq, const struct hash *leaf, const char *line, size_t size)
{
    struct walk *walk = context;
    struct entry entry;
    struct entry_key key;
    struct hash told = {{0}};
    int code = entry_parse(line, size, &entry, walk->fault);
    walk->next = seq + 1;
    walk->batch++;
    if (code < 0)
        return code;
    if (!walk->told)
        return entry.op == ENTRY_ASSERT ? write_record(walk, &entry) : 0;
    if (entry_key(walk->hasher, entry.kind, entry.id, entry.source, &key) < 0)
        return KAART_NOMEM;
    int known = run_key(walk, SEEN_GET, &key, &told);
    if (known < 0)
        return known;
    if (entry.op != ENTRY_ASSERT) {
        if (!known)
            return 0;
        code = write_deleted(walk, entry.kind, entry.id, entry.source);
        return code < 0 ? code : run_key(walk, SEEN_DELETE, &key, NULL);
    }
    if (!known || !hash_equal(&told, leaf))
        code = write_record(walk, &entry);
    return code < 0 ? code : put_key(walk, &key, leaf, &entry);
}

/* What was told and is in the feed no more, after everything in it was walked. */
static int tell_vanished(struct walk *walk)
{
    sqlite3_stmt *statement = walk->told->statements[SEEN_OTHERS];
    int code = 0, step;
    sqlite3_bind_int64(statement, 1, walk->generation);
    while (code == 0 && (step = sqlite3_step(statement)) == SQLITE_ROW)
        code = write_deleted(walk, (const char *)sqlite3_column_text(statement, 0),
                             (const char *)sqlite3_column_text(statement, 1),
                             (const char *)sqlite3_column_text(statement, 2));
    sqlite3_reset(statement);
    if (code == 0) {
        char text[96];
        snprintf(text, sizeof(text), "DELETE FROM told WHERE generation <> %u", walk->generation);
        code = sqlite3_exec(walk->told->db, text, NULL, NULL, NULL) == SQLITE_OK
                   ? 0
                   : db_fault(walk->told, walk->fault);
    }
    return code;
}

static int64_t read_mark(struct told *told, uint64_t *size)
{
    sqlite3_stmt *statement = told->statements[MARK_GET];
    int64_t generation = -1;
    if (sqlite3_step(statement) == SQLITE_ROW) {
        generation = sqlite3_column_int64(statement, 0);
        *size = (uint64_t)sqlite3_column_int64(statement, 1);
    }
    sqlite3_reset(statement);
    return generation;
}

static int write_mark(struct walk *walk, uint64_t size)
{
    sqlite3_stmt *statement = walk->told->statements[MARK_PUT];
    sqlite3_bind_int64(statement, 1, walk->generation);
    sqlite3_bind_int64(statement, 2, (int64_t)size);
    int step = sqlite3_step(statement);
    sqlite3_reset(statement);
    return step == SQLITE_DONE ? 0 : db_fault(walk->told, walk->fault);
}

static int walk_feed(struct feeds *feeds, const struct feed_head *head, struct walk *walk)
{
    uint64_t size = 0;
    bool same = walk->told && read_mark(walk->told, &size) == head->generation;
    int code = 0;
    walk->next = same ? size : 0;
    do {
        walk->batch = 0;
        code = feeds_entries(feeds, head->id, head->generation, walk->next, WALK_BATCH, tell_entry, walk,
                             walk->fault);
    } while (code == 0 && walk->batch == WALK_BATCH);
    if (code == 0 && walk->told && !same)
        code = tell_vanished(walk);
    if (code == 0 && walk->told)
        code = write_mark(walk, head->checkpoint.size);
    if (code == 0 && fflush(walk->out) != 0)
        code = fault_set(walk->fault, KAART_IO, "the output cannot be written: %s", strerror(errno));
    return code;
}

int fetch_tell(struct feeds *feeds, const char *feed, struct told *told, FILE *out, size_t *count,
               struct fault *fault)
{
    struct walk walk = {.told = told, .out = out, .hasher = hasher_new(), .fault = fault};
    struct feed_head *head = calloc(1, sizeof(*head));
    int code = walk.hasher && head ? feeds_head(feeds, feed, head, fault)
                                   : fault_set(fault, KAART_NOMEM, "out of memory");
    if (code == 0 && told && sqlite3_exec(told->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK)
        code = db_fault(told, fault);
    if (code < 0)
        goto out;
    walk.generation = head->generation;
    code = walk_feed(feeds, head, &walk);
    if (told && sqlite3_exec(told->db, code == 0 ? "COMMIT" : "ROLLBACK", NULL, NULL, NULL) != SQLITE_OK &&
        code == 0)
        code = db_fault(told, fault);
    *count = walk.lines;
out:
    hasher_free(walk.hasher);
    free(head);
    return code;
}
