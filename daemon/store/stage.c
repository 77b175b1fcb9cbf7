/*
 * stage.c - transfers on their way in: what a source sends of a feed is checked and stored under a generation
 * of its own.
 *
 *               stage_write, stage_end_response
 *                          +---+
 *                          v   |
 *   stage_open ---------> OPEN ---- stage_commit ---> visible, or doomed
 *       ^                  | |
 *       | fits the plan    | +----- stage_drop, or any fault before ---> doomed: tidy.c deletes it
 *       |                  v
 *       +--------------- KEPT  (a row in `stage`; survives a restart)
 *
 * Lines gather in a buffer and go to disk in transactions of at most BATCH_ENTRIES_MAX entries; no
 * transaction stays open between two calls, since other work of the same thread comes in between. Nothing
 * here has an effect on what is visible. [SYNC-8]
 */
#include "daemon/store/feeds_internal.h"
#include "protocol/stream.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Lines that wait for their transaction: some 800 of 1.2 KB. Each transfer under way costs this much memory,
 * and each filling one sync of the disk. */
#define BUFFER_SIZE (1024 * 1024)

struct pending {
    struct row row;
    size_t offset, size;
};

/* ---- opening ---- */

static int find_row(struct stage *stage, const char *source, bool *found, bool *adopting, struct stage *old,
                    struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = statement_get(stage->feeds, QUERY_STAGE_FIND, &statement, fault);
    if (code != KAART_OK)
        return code;
    sqlite3_bind_int64(statement, 1, stage->feed_id);
    bind_text(statement, 2, source);
    code = statement_step(stage->feeds, statement, fault);
    *found = code > 0;
    if (code <= 0)
        return code;
    old->id = sqlite3_column_int64(statement, 0);
    old->generation = (uint32_t)sqlite3_column_int64(statement, 1);
    old->full = sqlite3_column_int(statement, 2) != 0;
    old->epoch = column_number(statement, 3);
    old->since = column_number(statement, 4);
    old->next_seq = column_number(statement, 5);
    old->entries = column_number(statement, 6);
    old->last_at_ms = sqlite3_column_int64(statement, 7);
    *adopting = sqlite3_column_int(statement, 8) != 0;
    sqlite3_reset(statement);
    return KAART_OK;
}

static int add_row(struct stage *stage, const char *source, struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = generation_add(stage->feeds, stage->feed_id, &stage->generation, fault);
    if (code == KAART_OK)
        code = statement_get(stage->feeds, QUERY_STAGE_ADD, &statement, fault);
    if (code != KAART_OK)
        return code;
    sqlite3_bind_int64(statement, 1, stage->feed_id);
    bind_text(statement, 2, source);
    bind_number(statement, 3, stage->generation);
    bind_number(statement, 4, stage->full);
    bind_number(statement, 5, stage->epoch);
    bind_number(statement, 6, stage->since);
    sqlite3_bind_int64(statement, 7, stage->last_at_ms);
    code = statement_run(stage->feeds, statement, fault);
    stage->id = sqlite3_last_insert_rowid(stage->feeds->db);
    stage->next_seq = stage->since;
    return code;
}

bool stage_in_hands(const struct feeds *feeds, int64_t id)
{
    for (const struct stage *stage = feeds->stages; stage != NULL; stage = stage->next)
        if (stage->id == id)
            return true;
    return false;
}

/* The transfer's base must be the held state. [SYNC-10] */
static int check_base(struct stage *stage, const struct stage_plan *plan, const struct feed_head *head,
                      struct fault *fault)
{
    /* On nothing, everything is a full sync. */
    stage->full = plan->full || !head->held;
    stage->epoch = plan->epoch;
    stage->since = plan->since;
    stage->entries_max = plan->entries_max;
    stage->last_at_ms = INT64_MIN;
    if (stage->full)
        return plan->since == 0
                   ? KAART_OK
                   : fault_set(fault, KAART_OVERTAKEN, "%s: a full sync begins at 0, not at %llu", plan->feed,
                               (unsigned long long)plan->since);
    if (plan->epoch != head->checkpoint.epoch || plan->since != head->checkpoint.size)
        return fault_set(
            fault, KAART_OVERTAKEN, "%s is held to position %llu of epoch %llu, not %llu of %llu [SYNC-10]",
            plan->feed, (unsigned long long)head->checkpoint.size, (unsigned long long)head->checkpoint.epoch,
            (unsigned long long)plan->since, (unsigned long long)plan->epoch);
    return feed_last_at(stage->feeds, head->id, &stage->last_at_ms, fault);
}

/* Finds the row to go on with, or makes one. In a transaction. */
static int open_row(struct stage *stage, const struct stage_plan *plan, struct fault *fault)
{
    struct feed_head head;
    struct stage old = {.feeds = stage->feeds};
    bool found, adopting;
    int code = feed_id_of(stage->feeds, plan->feed, false, &stage->feed_id, fault);
    if (code == KAART_OK)
        code = head_load_id(stage->feeds, stage->feed_id, &head, fault);
    if (code == KAART_OK)
        code = check_base(stage, plan, &head, fault);
    if (code == KAART_OK)
        code = find_row(stage, plan->source, &found, &adopting, &old, fault);
    if (code != KAART_OK)
        return code;
    if (!found)
        return add_row(stage, plan->source, fault);
    if (stage_in_hands(stage->feeds, old.id))
        return fault_set(fault, KAART_BUSY, "%s: a transfer from %s is under way", plan->feed, plan->source);
    if (adopting || old.full != stage->full || old.epoch != stage->epoch || old.since != stage->since) {
        code = stage_forget(&old, fault);
        return code == KAART_OK ? add_row(stage, plan->source, fault) : code;
    }
    stage->id = old.id;
    stage->generation = old.generation;
    stage->next_seq = old.next_seq;
    stage->entries = old.entries;
    stage->last_at_ms = old.last_at_ms;
    return KAART_OK;
}

int stage_open(struct feeds *feeds, const struct stage_plan *plan, struct stage **out, uint64_t *since,
               struct fault *fault)
{
    struct stage *stage = calloc(1, sizeof(*stage));
    int code = KAART_NOMEM;
    if (stage == NULL)
        return fault_set(fault, KAART_NOMEM, "no memory");
    stage->feeds = feeds;
    stage->pending = malloc(BATCH_ENTRIES_MAX * sizeof(*stage->pending));
    stage->bytes = malloc(BUFFER_SIZE);
    if (stage->pending == NULL || stage->bytes == NULL) {
        fault_set(fault, KAART_NOMEM, "no memory");
        goto failed;
    }
    snprintf(stage->feed, sizeof(stage->feed), "%s", plan->feed);
    code = transaction_begin(feeds, fault);
    if (code != KAART_OK)
        goto failed;
    code = open_row(stage, plan, fault);
    if (code == KAART_OK)
        code = transaction_commit(feeds, fault);
    transaction_end(feeds);
    if (code != KAART_OK)
        goto failed;
    stage->page_since = stage->next_seq;
    stage->next = feeds->stages;
    feeds->stages = stage;
    *since = stage->next_seq;
    *out = stage;
    return KAART_OK;

failed:
    free(stage->pending);
    free(stage->bytes);
    free(stage);
    return code;
}

/* ---- storing ---- */

/* The key has an entry already: one of an earlier response dies; one of this response is a fault. */
static int replace(struct stage *stage, const struct pending *pending, const char *line, struct fault *fault)
{
    struct row old;
    struct entry entry;
    bool same;
    int code = row_by_key(stage->feeds, stage->generation, &pending->row.key, &old, fault);
    if (code == KAART_OK)
        code = entry_parse(line, pending->size, &entry, fault);
    if (code == KAART_OK)
        code = same_key(stage->feeds, &entry, old.line, &same, fault);
    if (code != KAART_OK)
        return code;
    if (!same)
        return fault_set(fault, KAART_INVALID, "entries %llu and %llu: two keys with one hash",
                         (unsigned long long)old.seq, (unsigned long long)entry.seq);
    if (old.seq >= stage->page_since)
        return fault_set(fault, KAART_ORDER,
                         "entries %llu and %llu of one response have the same key [ENTRY-10]",
                         (unsigned long long)old.seq, (unsigned long long)entry.seq);
    code = row_kill(stage->feeds, stage->generation, &old, false, fault);
    return code == KAART_OK ? row_put(stage->feeds, stage->generation, &pending->row, fault) : code;
}

static int store_pending(struct stage *stage, struct fault *fault)
{
    for (size_t i = 0; i < stage->pending_count; i++) {
        struct pending *pending = &stage->pending[i];
        const char *line = stage->bytes + pending->offset;
        int code = line_add(stage->feeds, line, pending->size, &pending->row.line, fault);
        if (code == KAART_OK)
            code = row_put(stage->feeds, stage->generation, &pending->row, fault);
        if (code == KAART_BUSY)
            code = replace(stage, pending, line, fault);
        if (code != KAART_OK)
            return code;
    }
    return KAART_OK;
}

static int store_progress(struct stage *stage, struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = statement_get(stage->feeds, QUERY_STAGE_PROGRESS, &statement, fault);
    if (code != KAART_OK)
        return code;
    sqlite3_bind_int64(statement, 1, stage->id);
    bind_number(statement, 2, stage->next_seq);
    bind_number(statement, 3, stage->entries);
    sqlite3_bind_int64(statement, 4, stage->last_at_ms);
    return statement_run(stage->feeds, statement, fault);
}

int stage_flush(struct stage *stage, struct fault *fault)
{
    if (stage->pending_count == 0)
        return KAART_OK;
    int code = transaction_begin(stage->feeds, fault);
    if (code != KAART_OK)
        return code;
    code = store_pending(stage, fault);
    if (code == KAART_OK)
        code = store_progress(stage, fault);
    if (code == KAART_OK)
        code = transaction_commit(stage->feeds, fault);
    transaction_end(stage->feeds);
    stage->pending_count = 0;
    stage->bytes_size = 0;
    return code;
}

/* ---- reading ---- */

static int on_entry(void *context, const struct entry *entry, const char *line, size_t size,
                    struct fault *fault)
{
    struct stage *stage = context;
    if (stage->entries_max != 0 && stage->entries >= stage->entries_max)
        return fault_set(fault, KAART_LIMIT, "more than %llu entries [SYNC-5]",
                         (unsigned long long)stage->entries_max);
    if (entry->at_ms < stage->last_at_ms)
        return fault_set(fault, KAART_ORDER,
                         "entry %llu: \"at\" is before that of the entry before it [ENTRY-12]",
                         (unsigned long long)entry->seq);
    if (stage->pending_count == BATCH_ENTRIES_MAX || stage->bytes_size + size > BUFFER_SIZE) {
        int code = stage_flush(stage, fault);
        if (code != KAART_OK)
            return code;
    }
    assert(size <= BUFFER_SIZE);
    struct pending *pending = &stage->pending[stage->pending_count];
    *pending = (struct pending){
        .row = {.seq = entry->seq, .op = entry->op}, .offset = stage->bytes_size, .size = size};
    int code = entry_key(stage->feeds->hasher, entry->kind, entry->id, entry->source, &pending->row.key);
    if (code == KAART_OK)
        code = hasher_leaf(stage->feeds->hasher, line, size, &pending->row.leaf);
    if (code != KAART_OK)
        return fault_set(fault, code, "no memory");
    memcpy(stage->bytes + stage->bytes_size, line, size);
    stage->bytes_size += size;
    stage->pending_count++;
    stage->entries++;
    stage->next_seq = entry->seq + 1;
    stage->last_at_ms = entry->at_ms;
    return KAART_OK;
}

static int on_checkpoint(void *context, const char *note, size_t size, struct fault *fault)
{
    struct stage *stage = context;
    free(stage->note);
    stage->note = malloc(size + 1);
    if (stage->note == NULL)
        return fault_set(fault, KAART_NOMEM, "no memory");
    memcpy(stage->note, note, size);
    stage->note[size] = '\0';
    stage->note_size = size;
    stage->complete = true;
    return KAART_OK;
}

static int on_next(void *context, uint64_t since, struct fault *fault)
{
    /* The reader has checked that it is the last seq + 1 [STREAM-5], which is where we go on anyway. */
    (void)context;
    (void)since;
    (void)fault;
    return KAART_OK;
}

/* The reader of the response that begins. */
static int reader_begin(struct stage *stage, struct fault *fault)
{
    struct stream_events events = {
        .context = stage, .entry = on_entry, .checkpoint = on_checkpoint, .next = on_next};
    stage->complete = false;
    stage->page_since = stage->next_seq;
    stage->reader = stream_reader_new(stage->next_seq, 0, &events);
    return stage->reader != NULL ? KAART_OK : fault_set(fault, KAART_NOMEM, "no memory");
}

int stage_write(struct stage *stage, const char *bytes, size_t size, struct fault *fault)
{
    int code = KAART_OK;
    if (stage->failed)
        return fault_set(fault, KAART_INVALID, "%s: this transfer has failed before", stage->feed);
    if (stage->reader == NULL)
        code = reader_begin(stage, fault);
    if (code == KAART_OK)
        code = stream_reader_write(stage->reader, bytes, size, fault);
    stage->failed = code != KAART_OK;
    return code;
}

int stage_end_response(struct stage *stage, struct stage_progress *progress, struct fault *fault)
{
    int code = KAART_OK;
    if (stage->failed)
        return fault_set(fault, KAART_INVALID, "%s: this transfer has failed before", stage->feed);
    if (stage->reader == NULL)
        code = reader_begin(stage, fault);
    if (code == KAART_OK)
        code = stream_reader_finish(stage->reader, fault);
    if (code == KAART_OK)
        code = stage_flush(stage, fault);
    stream_reader_free(stage->reader);
    stage->reader = NULL;
    stage->failed = code != KAART_OK;
    if (code != KAART_OK)
        return code;
    *progress = (struct stage_progress){
        .complete = stage->complete,
        .next = stage->next_seq,
        .note = stage->complete ? stage->note : NULL,
        .note_size = stage->complete ? stage->note_size : 0,
        .entries = stage->entries,
    };
    return KAART_OK;
}

/* ---- the end ---- */

int stage_forget(struct stage *stage, struct fault *fault)
{
    int code = generation_doom(stage->feeds, stage->generation, fault);
    return code == KAART_OK ? stage_delete_row(stage, fault) : code;
}

int stage_delete_row(struct stage *stage, struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = statement_get(stage->feeds, QUERY_STAGE_DELETE, &statement, fault);
    if (code != KAART_OK)
        return code;
    sqlite3_bind_int64(statement, 1, stage->id);
    return statement_run(stage->feeds, statement, fault);
}

void stage_free(struct stage *stage)
{
    struct stage **link = &stage->feeds->stages;
    while (*link != NULL && *link != stage)
        link = &(*link)->next;
    if (*link == stage)
        *link = stage->next;
    stream_reader_free(stage->reader);
    free(stage->pending);
    free(stage->bytes);
    free(stage->note);
    free(stage);
}

void stage_keep(struct stage *stage)
{
    if (stage == NULL)
        return;
    /* What cannot be stored now is asked for again. A fault in the content shows itself here at the latest.
     */
    if (stage->failed || (stage_flush(stage, NULL) != KAART_OK))
        stage_drop(stage);
    else
        stage_free(stage);
}

void stage_drop(struct stage *stage)
{
    if (stage == NULL)
        return;
    /* If even this cannot be written, the row stays, and is found unfit or too old later. */
    if (transaction_begin(stage->feeds, NULL) == KAART_OK) {
        if (stage_forget(stage, NULL) == KAART_OK)
            transaction_commit(stage->feeds, NULL);
        transaction_end(stage->feeds);
    }
    stage_free(stage);
}
