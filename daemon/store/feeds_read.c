/*
 * feeds_read.c - what is held, for those who serve it, follow it and prove it. Every function is one read of
 * one state.
 */
#include "daemon/store/feeds_internal.h"
#include "daemon/store/subject_internal.h"
#include "protocol/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An own feed whose copy is not complete is not shown (publication.c). */
static int may_show(struct feeds *feeds, const struct feed_head *head, struct fault *fault)
{
    if (!feeds->write && head->own && publication_withheld(feeds->publication))
        return fault_set(fault, KAART_IO, "%s is withheld until its own-head copy can be written",
                         head->checkpoint.feed);
    return KAART_OK;
}

/* Begins a read of `name`; the caller ends it with transaction_end where this succeeded. */
static int read_begin(struct feeds *feeds, const char *name, struct feed_head *head, struct fault *fault)
{
    int code = transaction_begin_read(feeds, fault);
    if (code != KAART_OK)
        return code;
    code = head_load(feeds, name, head, fault);
    if (code == KAART_OK)
        code = may_show(feeds, head, fault);
    if (code != KAART_OK)
        transaction_end(feeds);
    return code;
}

static int read_begin_held(struct feeds *feeds, const char *name, struct feed_head *head, struct fault *fault)
{
    int code = read_begin(feeds, name, head, fault);
    if (code == KAART_OK && !head->held) {
        transaction_end(feeds);
        code = fault_set(fault, KAART_UNKNOWN, "nothing of %s is held yet", name);
    }
    return code;
}

int feeds_head(struct feeds *feeds, const char *name, struct feed_head *out, struct fault *fault)
{
    int code = read_begin(feeds, name, out, fault);
    if (code == KAART_OK)
        transaction_end(feeds);
    return code;
}

int feeds_list(struct feeds *feeds, feeds_each *each, void *context, struct fault *fault)
{
    struct feed_head *head = calloc(1, sizeof(*head));
    if (head == NULL)
        return fault_set(fault, KAART_NOMEM, "no memory");
    int code;
    /* One read for each feed, so that `each` may use this connection as it likes. */
    for (;;) {
        char after[FEED_NAME_MAX_SIZE + 1];
        memcpy(after, head->checkpoint.feed, sizeof(after));
        code = transaction_begin_read(feeds, fault);
        if (code != KAART_OK)
            break;
        code = head_load_after(feeds, after, head, fault);
        transaction_end(feeds);
        if (code == KAART_UNKNOWN) {
            code = KAART_OK;
            break;
        }
        if (code != KAART_OK)
            break;
        if (may_show(feeds, head, NULL) != KAART_OK)
            continue;
        code = each(context, head);
        if (code != 0)
            break;
    }
    free(head);
    return code;
}

/* ---- pages ---- */

static int page_add(struct feeds_page *page, size_t *capacity, const void *bytes, size_t size, bool line_feed,
                    struct fault *fault)
{
    size_t wanted = page->size + size + 1;
    if (wanted > *capacity) {
        size_t grown = *capacity * 2 > wanted ? *capacity * 2 : wanted + 4096;
        char *moved = realloc(page->bytes, grown);
        if (moved == NULL)
            return fault_set(fault, KAART_NOMEM, "no memory");
        page->bytes = moved;
        *capacity = grown;
    }
    memcpy(page->bytes + page->size, bytes, size);
    page->size += size;
    if (line_feed)
        page->bytes[page->size++] = '\n';
    return KAART_OK;
}

/* Lines from `since` on, while they fit. *next is where the following page would begin; `last` says that
 * there is none. */
static int page_fill(struct feeds *feeds, const struct feed_head *head, uint64_t since, size_t size_max,
                     struct feeds_page *page, size_t *capacity, uint64_t *next, struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = statement_get(feeds, QUERY_ENTRY_LINES, &statement, fault);
    if (code != KAART_OK)
        return code;
    bind_number(statement, 1, head->generation);
    bind_number(statement, 2, since);
    bind_number(statement, 3, head->checkpoint.size);
    sqlite3_bind_int64(statement, 4, -1);
    page->last = true;
    while ((code = statement_step(feeds, statement, fault)) > 0) {
        if (column_number(statement, 2) == 0)
            continue; /* a frozen feed's erased claim [DEATH-7] */
        if (sqlite3_column_type(statement, 3) == SQLITE_NULL) {
            code = fault_set(fault, KAART_CORRUPT, "feeds.db: %s: entry %llu has lost its line",
                             head->checkpoint.feed, (unsigned long long)column_number(statement, 0));
            break;
        }
        const char *line = sqlite3_column_blob(statement, 3);
        size_t size = line_size(line, (size_t)sqlite3_column_bytes(statement, 3));
        if (page->entries > 0 && page->size + size + 1 > size_max) {
            page->last = false;
            code = KAART_OK;
            break;
        }
        code = page_add(page, capacity, line, size, true, fault);
        if (code != KAART_OK)
            break;
        page->entries++;
        *next = column_number(statement, 0) + 1;
    }
    sqlite3_reset(statement);
    return code;
}

static int page_end(struct feeds *feeds, const struct feed_head *head, uint64_t next, struct feeds_page *page,
                    size_t *capacity, struct fault *fault)
{
    char *line = NULL, hex[HASH_SIZE * 2 + 1];
    size_t size = 0;
    struct hash digest;
    int code = page->last ? stream_format_checkpoint(head->note, head->note_size, &line, &size)
                          : stream_format_next(next, &line, &size);
    if (code == KAART_OK)
        code = hasher_digest(feeds->hasher, head->note, head->note_size, &digest);
    if (code != KAART_OK)
        fault_set(fault, code, "no memory");
    if (code == KAART_OK)
        code = page_add(page, capacity, line, size, false, fault);
    free(line);
    if (code != KAART_OK)
        return code;
    hex_encode(digest.bytes, HASH_SIZE, hex);
    snprintf(page->etag, sizeof(page->etag), "W/\"%s\"", hex); /* [HTTP-5] */
    page->checkpoint = head->checkpoint;
    return KAART_OK;
}

int feeds_page(struct feeds *feeds, const char *name, uint64_t epoch, uint64_t since, size_t size_max,
               struct feeds_page *out, struct fault *fault)
{
    struct feed_head *head = malloc(sizeof(*head));
    size_t capacity = 0;
    uint64_t next = since;
    memset(out, 0, sizeof(*out));
    if (head == NULL)
        return fault_set(fault, KAART_NOMEM, "no memory");
    int code = read_begin_held(feeds, name, head, fault);
    if (code != KAART_OK)
        goto done;
    out->last = true;
    if (epoch == head->checkpoint.epoch && since <= head->checkpoint.size) /* [STREAM-7] */
        code = page_fill(feeds, head, since, size_max, out, &capacity, &next, fault);
    if (code == KAART_OK)
        code = page_end(feeds, head, next, out, &capacity, fault);
    transaction_end(feeds);
done:
    free(head);
    if (code != KAART_OK) {
        free(out->bytes);
        out->bytes = NULL;
    }
    return code;
}

/* ---- entries ---- */

/* Begins a read of a generation that must still be the visible one. */
static int read_begin_generation(struct feeds *feeds, int64_t feed_id, uint32_t generation,
                                 struct feed_head *head, struct fault *fault)
{
    int code = transaction_begin_read(feeds, fault);
    if (code != KAART_OK)
        return code;
    code = head_load_id(feeds, feed_id, head, fault);
    if (code == KAART_OK && (!head->held || head->generation != generation))
        code = fault_set(fault, KAART_OVERTAKEN, "%s has another generation now", head->checkpoint.feed);
    if (code == KAART_OK)
        code = may_show(feeds, head, fault);
    if (code != KAART_OK)
        transaction_end(feeds);
    return code;
}

/* One row to the caller, without what is blocked here unless `raw`. What was changed has a leaf of its own: for those who compare, it is another
 * claim. */
static int give(struct feeds *feeds, sqlite3_stmt *row, const struct hash *leaf, bool raw, feeds_entry *each,
                void *context, struct fault *fault)
{
    char *shown = NULL;
    struct hash shown_leaf = *leaf;
    const char *line = sqlite3_column_blob(row, 3);
    size_t size = line_size(line, (size_t)sqlite3_column_bytes(row, 3));
    int code = raw ? KAART_OK : subject_show(feeds, line, size, &shown, fault);
    if (code == KAART_OK && shown != NULL) {
        line = shown;
        size = strlen(shown);
        code = hasher_leaf(feeds->hasher, line, size, &shown_leaf);
    }
    if (code == KAART_OK)
        code = each(context, column_number(row, 0), &shown_leaf, line, size);
    free(shown);
    return code;
}

static int walk_entries(struct feeds *feeds, const struct feed_head *head, uint64_t since, size_t limit,
                        bool raw, feeds_entry *each, void *context, struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = statement_get(feeds, QUERY_ENTRY_LINES, &statement, fault);
    if (code != KAART_OK)
        return code;
    bind_number(statement, 1, head->generation);
    bind_number(statement, 2, since);
    bind_number(statement, 3, head->checkpoint.size);
    sqlite3_bind_int64(statement, 4, limit > INT64_MAX ? -1 : (sqlite3_int64)limit);
    while ((code = statement_step(feeds, statement, fault)) > 0) {
        struct hash leaf;
        if (column_number(statement, 2) == 0)
            continue;
        if (sqlite3_column_type(statement, 3) == SQLITE_NULL)
            code = fault_set(fault, KAART_CORRUPT, "feeds.db: %s: entry %llu has lost its line",
                             head->checkpoint.feed, (unsigned long long)column_number(statement, 0));
        else if ((code = column_hash(statement, 1, &leaf, fault)) == KAART_OK)
            code = give(feeds, statement, &leaf, raw, each, context, fault);
        if (code != 0)
            break;
    }
    sqlite3_reset(statement);
    return code;
}

static int entries(struct feeds *feeds, int64_t feed_id, uint32_t generation, uint64_t since, size_t limit,
                   bool raw, feeds_entry *each, void *context, struct fault *fault)
{
    struct feed_head *head = malloc(sizeof(*head));
    if (head == NULL)
        return fault_set(fault, KAART_NOMEM, "no memory");
    int code = read_begin_generation(feeds, feed_id, generation, head, fault);
    if (code == KAART_OK) {
        code = walk_entries(feeds, head, since, limit, raw, each, context, fault);
        transaction_end(feeds);
    }
    free(head);
    return code;
}

int feeds_entries(struct feeds *feeds, int64_t feed_id, uint32_t generation, uint64_t since, size_t limit,
                  feeds_entry *each, void *context, struct fault *fault)
{
    return entries(feeds, feed_id, generation, since, limit, false, each, context, fault);
}

int feeds_raw_entries(struct feeds *feeds, int64_t feed_id, uint32_t generation, feeds_entry *each,
                      void *context, struct fault *fault)
{
    return entries(feeds, feed_id, generation, 0, SIZE_MAX, true, each, context, fault);
}

/* Replaces a malloc'ed line and its leaf by what of it may be shown here; frees it on error. */
static int show_line(struct feeds *feeds, char **line, size_t *size, struct hash *leaf, struct fault *fault)
{
    char *shown;
    int code = subject_show(feeds, *line, *size, &shown, fault);
    if (code == KAART_OK && shown == NULL)
        return KAART_OK;
    free(*line);
    *line = shown;
    *size = shown != NULL ? strlen(shown) : 0;
    return code == KAART_OK ? hasher_leaf(feeds->hasher, *line, *size, leaf) : code;
}

/* For those who want the very bytes (a proof): blocked ones are not given. Frees the line on error. */
static int check_unblocked(struct feeds *feeds, char **line, size_t size, struct fault *fault)
{
    char *shown;
    int code = subject_show(feeds, *line, size, &shown, fault);
    if (code == KAART_OK && shown == NULL)
        return KAART_OK;
    free(shown);
    free(*line);
    *line = NULL;
    return code != KAART_OK ? code : fault_set(fault, KAART_UNKNOWN, "the claim is blocked on this node");
}

int feeds_entry_at(struct feeds *feeds, int64_t feed_id, uint32_t generation, uint64_t seq, struct hash *leaf,
                   char **line, size_t *size, struct fault *fault)
{
    struct feed_head *head = malloc(sizeof(*head));
    struct row row = {0};
    if (head == NULL)
        return fault_set(fault, KAART_NOMEM, "no memory");
    int code = read_begin_generation(feeds, feed_id, generation, head, fault);
    if (code == KAART_OVERTAKEN)
        code = fault_set(fault, KAART_UNKNOWN, "no such live entry");
    if (code != KAART_OK)
        goto done;
    code = row_at(feeds, generation, seq, &row, fault);
    if (code == KAART_OK)
        code = line_load(feeds, row.line, line, size, fault);
    *leaf = row.leaf;
    if (code == KAART_OK)
        code = show_line(feeds, line, size, leaf, fault);
    transaction_end(feeds);
done:
    free(head);
    return code;
}

int feeds_entry_by_key(struct feeds *feeds, const char *name, const struct entry_key *key, uint64_t *seq,
                       char **line, size_t *size, struct fault *fault)
{
    struct feed_head *head = malloc(sizeof(*head));
    struct row row;
    if (head == NULL)
        return fault_set(fault, KAART_NOMEM, "no memory");
    int code = read_begin_held(feeds, name, head, fault);
    if (code != KAART_OK)
        goto done;
    code = row_by_key(feeds, head->generation, key, &row, fault);
    if (code == KAART_OK)
        code = line_load(feeds, row.line, line, size, fault);
    if (code == KAART_OK)
        code = check_unblocked(feeds, line, *size, fault);
    if (code == KAART_OK)
        *seq = row.seq;
    transaction_end(feeds);
done:
    free(head);
    return code;
}

int feeds_path(struct feeds *feeds, const char *name, uint64_t seq, struct hash siblings[TREE_HEIGHT],
               struct feed_head *head, struct fault *fault)
{
    if (seq > SEQ_MAX)
        return fault_set(fault, KAART_LIMIT, "position %llu is beyond the tree", (unsigned long long)seq);
    int code = read_begin_held(feeds, name, head, fault);
    if (code != KAART_OK)
        return code;
    struct tree_rows rows = {.feeds = feeds, .generation = head->generation};
    struct tree_storage storage = tree_rows_storage(&rows);
    code = tree_path(feeds->hasher, &storage, seq, siblings, fault);
    transaction_end(feeds);
    return code;
}

/* ---- proofs and values ---- */

/* A statement's one text, malloc'ed. */
static int text_of(struct feeds *feeds, enum query query, const char *key, char **out, struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = statement_get(feeds, query, &statement, fault);
    if (code != KAART_OK)
        return code;
    bind_text(statement, 1, key);
    code = statement_step(feeds, statement, fault);
    if (code < 0)
        return code;
    const char *text = code > 0 ? (const char *)sqlite3_column_text(statement, 0) : NULL;
    if (text == NULL)
        code = fault_set(fault, KAART_UNKNOWN, "nothing is kept under %s", key);
    else if ((*out = strdup(text)) == NULL)
        code = fault_set(fault, KAART_NOMEM, "no memory");
    else
        code = KAART_OK;
    sqlite3_reset(statement);
    return code;
}

int feeds_proof(struct feeds *feeds, const char *name, char **proof, struct fault *fault)
{
    return text_of(feeds, QUERY_FEED_PROOF, name, proof, fault);
}

int feeds_get_value(struct feeds *feeds, const char *key, char **value, struct fault *fault)
{
    return text_of(feeds, QUERY_VALUE_GET, key, value, fault);
}

int feeds_set_value(struct feeds *feeds, const char *key, const char *value, struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = transaction_begin(feeds, fault);
    if (code != KAART_OK)
        return code;
    code = statement_get(feeds, value != NULL ? QUERY_VALUE_PUT : QUERY_VALUE_DELETE, &statement, fault);
    if (code == KAART_OK) {
        bind_text(statement, 1, key);
        if (value != NULL)
            bind_text(statement, 2, value);
        code = statement_run(feeds, statement, fault);
    }
    if (code == KAART_OK)
        return transaction_commit(feeds, fault);
    transaction_end(feeds);
    return code;
}
