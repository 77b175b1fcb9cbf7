/*
 * rows.c - the rows of feeds.db one by one: feeds, generations, entries, lines. All work inside the caller's
 * transaction.
 */
#include "daemon/store/feeds_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int note_checkpoint(const char *note, size_t size, struct checkpoint *out, struct fault *fault)
{
    /* The note was opened when it came; here only its text is wanted: all before the last empty line
     * [NOTE-2]. */
    for (size_t end = size; end >= 2; end--)
        if (note[end - 1] == '\n' && note[end - 2] == '\n')
            return checkpoint_parse(note, end - 1, out, fault);
    return fault_set(fault, KAART_CORRUPT, "a stored note has no signatures");
}

static int head_from(sqlite3_stmt *row, struct feed_head *out, struct fault *fault)
{
    memset(out, 0, sizeof(*out));
    out->id = sqlite3_column_int64(row, 0);
    const char *name = (const char *)sqlite3_column_text(row, 1);
    out->own = sqlite3_column_int(row, 2) != 0;
    out->held = sqlite3_column_type(row, 3) != SQLITE_NULL;
    out->generation = (uint32_t)sqlite3_column_int64(row, 3);
    const char *frozen = (const char *)sqlite3_column_text(row, 5);
    snprintf(out->frozen, sizeof(out->frozen), "%s", frozen != NULL ? frozen : "");
    if (name == NULL || !syntax_is_feed(name, strlen(name)))
        return fault_set(fault, KAART_CORRUPT, "feeds.db: a feed has no valid name");
    if (!out->held) {
        snprintf(out->checkpoint.feed, sizeof(out->checkpoint.feed), "%s", name);
        return KAART_OK;
    }
    size_t size = (size_t)sqlite3_column_bytes(row, 4);
    if (size == 0 || size > NOTE_SIZE_MAX)
        return fault_set(fault, KAART_CORRUPT, "feeds.db: %s has no valid note", name);
    memcpy(out->note, sqlite3_column_blob(row, 4), size);
    out->note_size = size;
    if (note_checkpoint(out->note, size, &out->checkpoint, fault) != KAART_OK ||
        strcmp(out->checkpoint.feed, name) != 0)
        return fault_set(fault, KAART_CORRUPT, "feeds.db: %s has no valid note", name);
    return KAART_OK;
}

static int head_of(struct feeds *feeds, sqlite3_stmt *statement, struct feed_head *out, struct fault *fault)
{
    int code = statement_step(feeds, statement, fault);
    if (code == 0)
        return fault_set(fault, KAART_UNKNOWN, "no such feed");
    if (code < 0)
        return code;
    code = head_from(statement, out, fault);
    sqlite3_reset(statement);
    return code;
}

int head_load(struct feeds *feeds, const char *name, struct feed_head *out, struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = statement_get(feeds, QUERY_FEED_BY_NAME, &statement, fault);
    if (code != KAART_OK)
        return code;
    bind_text(statement, 1, name);
    return head_of(feeds, statement, out, fault);
}

int head_load_id(struct feeds *feeds, int64_t id, struct feed_head *out, struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = statement_get(feeds, QUERY_FEED_BY_ID, &statement, fault);
    if (code != KAART_OK)
        return code;
    sqlite3_bind_int64(statement, 1, id);
    return head_of(feeds, statement, out, fault);
}

int head_load_after(struct feeds *feeds, const char *name, struct feed_head *out, struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = statement_get(feeds, QUERY_FEED_AFTER, &statement, fault);
    if (code != KAART_OK)
        return code;
    bind_text(statement, 1, name);
    return head_of(feeds, statement, out, fault);
}

int feed_id_of(struct feeds *feeds, const char *name, bool own, int64_t *id, struct fault *fault)
{
    struct feed_head head;
    if (!syntax_is_feed(name, strlen(name)))
        return fault_set(fault, KAART_INVALID,
                         "\"%s\" is no feed: it should look like nieuwegein.example/public", name);
    int code = head_load(feeds, name, &head, fault);
    if (code == KAART_OK)
        *id = head.id;
    if (code != KAART_UNKNOWN)
        return code;
    sqlite3_stmt *statement;
    code = statement_get(feeds, QUERY_FEED_ADD, &statement, fault);
    if (code != KAART_OK)
        return code;
    bind_text(statement, 1, name);
    bind_number(statement, 2, own);
    code = statement_run(feeds, statement, fault);
    *id = sqlite3_last_insert_rowid(feeds->db);
    return code;
}

int feed_switch(struct feeds *feeds, int64_t id, bool own, uint32_t generation, const char *note,
                size_t note_size, int64_t last_at_ms, bool thaw, struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = statement_get(feeds, QUERY_FEED_SWITCH, &statement, fault);
    if (code != KAART_OK)
        return code;
    sqlite3_bind_int64(statement, 1, id);
    bind_number(statement, 2, own);
    bind_number(statement, 3, generation);
    bind_bytes(statement, 4, note, note_size);
    sqlite3_bind_int64(statement, 5, last_at_ms);
    bind_number(statement, 6, thaw);
    return statement_run(feeds, statement, fault);
}

int feed_last_at(struct feeds *feeds, int64_t id, int64_t *last_at_ms, struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = statement_get(feeds, QUERY_FEED_LAST_AT, &statement, fault);
    if (code != KAART_OK)
        return code;
    sqlite3_bind_int64(statement, 1, id);
    code = statement_step(feeds, statement, fault);
    if (code <= 0)
        return code < 0 ? code : fault_set(fault, KAART_UNKNOWN, "no such feed");
    *last_at_ms = sqlite3_column_int64(statement, 0);
    sqlite3_reset(statement);
    return KAART_OK;
}

int generation_add(struct feeds *feeds, int64_t feed_id, uint32_t *out, struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = statement_get(feeds, QUERY_GENERATION_ADD, &statement, fault);
    if (code != KAART_OK)
        return code;
    sqlite3_bind_int64(statement, 1, feed_id);
    code = statement_run(feeds, statement, fault);
    sqlite3_int64 id = sqlite3_last_insert_rowid(feeds->db);
    if (code == KAART_OK && id > UINT32_MAX)
        return fault_set(fault, KAART_LIMIT, "feeds.db: its generations are used up");
    *out = (uint32_t)id;
    return code;
}

int generation_doom(struct feeds *feeds, uint32_t generation, struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = statement_get(feeds, QUERY_GENERATION_DOOM, &statement, fault);
    if (code != KAART_OK)
        return code;
    bind_number(statement, 1, generation);
    return statement_run(feeds, statement, fault);
}

int generation_renew(struct feeds *feeds, const char *feed, struct fault *fault)
{
    static const enum query moves[] = {QUERY_GENERATION_ENTRIES, QUERY_GENERATION_NODES};
    struct feed_head head;
    uint32_t generation;
    int64_t last_at_ms;
    int code = head_load(feeds, feed, &head, fault);
    if (code == KAART_OK)
        code = feed_last_at(feeds, head.id, &last_at_ms, fault);
    if (code == KAART_OK)
        code = generation_add(feeds, head.id, &generation, fault);
    for (size_t i = 0; code == KAART_OK && i < 2; i++) {
        sqlite3_stmt *statement;
        code = statement_get(feeds, moves[i], &statement, fault);
        if (code != KAART_OK)
            return code;
        bind_number(statement, 1, head.generation);
        bind_number(statement, 2, generation);
        code = statement_run(feeds, statement, fault);
    }
    if (code == KAART_OK) /* its lines may be those of a doomed one as well: row_kill looks for that */
        code = generation_share(feeds, head.generation, generation, fault);
    if (code == KAART_OK)
        code = feed_switch(feeds, head.id, false, generation, head.note, head.note_size, last_at_ms, false,
                           fault);
    return code == KAART_OK ? generation_doom(feeds, head.generation, fault) : code;
}

int generation_share(struct feeds *feeds, uint32_t one, uint32_t other, struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = statement_get(feeds, QUERY_GENERATION_SHARE, &statement, fault);
    if (code != KAART_OK)
        return code;
    bind_number(statement, 1, one);
    bind_number(statement, 2, other);
    return statement_run(feeds, statement, fault);
}

int row_read(sqlite3_stmt *statement, struct row *out, struct fault *fault)
{
    out->seq = column_number(statement, 0);
    int op = sqlite3_column_int(statement, 1);
    if (op < ENTRY_ASSERT || op > ENTRY_ERASE || sqlite3_column_bytes(statement, 2) != sizeof(out->key.bytes))
        return fault_set(fault, KAART_CORRUPT, "feeds.db: entry %llu is malformed",
                         (unsigned long long)out->seq);
    out->op = (enum entry_op)op;
    memcpy(out->key.bytes, sqlite3_column_blob(statement, 2), sizeof(out->key.bytes));
    out->line = column_number(statement, 4);
    return column_hash(statement, 3, &out->leaf, fault);
}

static int row_of(struct feeds *feeds, sqlite3_stmt *statement, struct row *out, struct fault *fault)
{
    int code = statement_step(feeds, statement, fault);
    if (code == 0)
        return fault_set(fault, KAART_UNKNOWN, "no such live entry");
    if (code < 0)
        return code;
    code = row_read(statement, out, fault);
    sqlite3_reset(statement);
    return code;
}

int row_by_key(struct feeds *feeds, uint32_t generation, const struct entry_key *key, struct row *out,
               struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = statement_get(feeds, QUERY_ENTRY_BY_KEY, &statement, fault);
    if (code != KAART_OK)
        return code;
    bind_number(statement, 1, generation);
    bind_bytes(statement, 2, key->bytes, sizeof(key->bytes));
    return row_of(feeds, statement, out, fault);
}

int row_at(struct feeds *feeds, uint32_t generation, uint64_t seq, struct row *out, struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = statement_get(feeds, QUERY_ENTRY_AT, &statement, fault);
    if (code != KAART_OK)
        return code;
    bind_number(statement, 1, generation);
    bind_number(statement, 2, seq);
    return row_of(feeds, statement, out, fault);
}

int tombstones_below(struct feeds *feeds, uint32_t generation, uint64_t below, struct row *out, size_t max,
                     size_t *count, struct fault *fault)
{
    sqlite3_stmt *statement;
    *count = 0;
    int code = statement_get(feeds, QUERY_ENTRY_TOMBSTONES, &statement, fault);
    if (code != KAART_OK)
        return code;
    bind_number(statement, 1, generation);
    bind_number(statement, 2, below);
    bind_number(statement, 3, max);
    while (*count < max && (code = statement_step(feeds, statement, fault)) > 0) {
        code = row_read(statement, &out[*count], fault);
        if (code != KAART_OK)
            break;
        ++*count;
    }
    sqlite3_reset(statement);
    return code < 0 ? code : KAART_OK;
}

int row_put(struct feeds *feeds, uint32_t generation, const struct row *row, struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = statement_get(feeds, QUERY_ENTRY_ADD, &statement, fault);
    if (code != KAART_OK)
        return code;
    bind_number(statement, 1, generation);
    bind_number(statement, 2, row->seq);
    bind_bytes(statement, 3, row->key.bytes, sizeof(row->key.bytes));
    bind_number(statement, 4, row->op);
    bind_bytes(statement, 5, row->leaf.bytes, HASH_SIZE);
    bind_number(statement, 6, row->line);
    int result = sqlite3_step(statement);
    code = result == SQLITE_DONE ? KAART_OK : store_fault(feeds, result, fault);
    sqlite3_reset(statement);
    if (result == SQLITE_CONSTRAINT_UNIQUE)
        return fault_set(fault, KAART_BUSY, "the key has a live entry");
    return code;
}

/* A doomed generation may still name the line of an entry, whose slot is going to be used again. */
static int forget_elsewhere(struct feeds *feeds, uint32_t generation, const struct row *row,
                            struct fault *fault)
{
    sqlite3_stmt *statement;
    if (row->line == 0)
        return KAART_OK;
    int code = statement_get(feeds, QUERY_ENTRY_FORGET, &statement, fault);
    if (code != KAART_OK)
        return code;
    bind_number(statement, 1, generation);
    bind_number(statement, 2, row->seq);
    bind_number(statement, 3, row->line);
    return statement_run(feeds, statement, fault);
}

/* Runs what deletes or blanks the row, and lets its line go. */
static int let_line_go(struct feeds *feeds, enum query query, uint32_t generation, const struct row *row,
                       bool later, struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = statement_get(feeds, query, &statement, fault);
    if (code != KAART_OK)
        return code;
    bind_number(statement, 1, generation);
    bind_number(statement, 2, row->seq);
    code = statement_run(feeds, statement, fault);
    if (code == KAART_OK)
        code = forget_elsewhere(feeds, generation, row, fault);
    return code == KAART_OK ? line_delete(feeds, row->line, later, fault) : code;
}

int row_kill(struct feeds *feeds, uint32_t generation, const struct row *row, bool later, struct fault *fault)
{
    return let_line_go(feeds, QUERY_ENTRY_DELETE, generation, row, later, fault);
}

int row_blank(struct feeds *feeds, uint32_t generation, const struct row *row, struct fault *fault)
{
    return let_line_go(feeds, QUERY_ENTRY_BLANK, generation, row, true, fault);
}
