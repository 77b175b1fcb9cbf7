/*
 * tidy.c - clean-up in idle time, in pieces that hold the writer for some milliseconds.
 *
 *     lines left for later -> doomed generations -> stages that lead nowhere -> an own-head copy that lags -> the log
 *
 * Lines are overwritten (lines.c), small rows deleted under secure_delete; the log, that may still hold them, is cut at the end.
 */
#include "daemon/store/feeds_internal.h"

/* A stage that nobody went on with for so long is given up. Its source may well be gone. */
#define STAGE_IDLE_S (7LL * 24 * 60 * 60)

/* Rows deleted in one transaction: those of random place in the file dirty a page each. */
#define TIDY_ROWS_MAX 1000

/* ---- doomed generations ---- */

struct doomed {
    uint32_t generation;
    int64_t feed_id;
    bool shared;
};

static int doomed_first(struct feeds *feeds, bool *found, struct doomed *out, struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = statement_get(feeds, QUERY_GENERATION_DOOMED, &statement, fault);
    if (code != KAART_OK)
        return code;
    code = statement_step(feeds, statement, fault);
    *found = code > 0;
    if (code <= 0)
        return code;
    out->generation = (uint32_t)sqlite3_column_int64(statement, 0);
    out->feed_id = sqlite3_column_int64(statement, 1);
    out->shared = sqlite3_column_int(statement, 2) != 0;
    sqlite3_reset(statement);
    return KAART_OK;
}

/* A line that another generation of the feed names as well stays. */
static int line_is_shared(struct feeds *feeds, const struct doomed *doomed, const struct row *row,
                          bool *shared, struct fault *fault)
{
    sqlite3_stmt *statement;
    *shared = false;
    if (!doomed->shared)
        return KAART_OK;
    int code = statement_get(feeds, QUERY_ENTRY_LINE_SHARED, &statement, fault);
    if (code != KAART_OK)
        return code;
    sqlite3_bind_int64(statement, 1, doomed->feed_id);
    bind_number(statement, 2, doomed->generation);
    bind_number(statement, 3, row->seq);
    bind_number(statement, 4, row->line);
    code = statement_step(feeds, statement, fault);
    *shared = code > 0;
    if (code > 0)
        sqlite3_reset(statement);
    return code < 0 ? code : KAART_OK;
}

static int delete_rows(struct feeds *feeds, const struct doomed *doomed, size_t *deleted, struct fault *fault)
{
    struct row rows[TIDY_ROWS_MAX];
    size_t count = 0;
    sqlite3_stmt *statement;
    *deleted = 0;
    int code = statement_get(feeds, QUERY_ENTRY_ROWS, &statement, fault);
    if (code != KAART_OK)
        return code;
    bind_number(statement, 1, doomed->generation);
    bind_number(statement, 2, 0);
    bind_number(statement, 3, TIDY_ROWS_MAX);
    while ((code = statement_step(feeds, statement, fault)) > 0 && count < TIDY_ROWS_MAX) {
        code = row_read(statement, &rows[count++], fault);
        if (code != KAART_OK)
            break;
    }
    sqlite3_reset(statement);
    for (size_t i = 0; code == KAART_OK && i < count; i++) {
        bool shared;
        code = line_is_shared(feeds, doomed, &rows[i], &shared, fault);
        if (shared)
            rows[i].line = 0;
        if (code == KAART_OK)
            code = row_kill(feeds, doomed->generation, &rows[i], false, fault);
    }
    *deleted = count;
    return code;
}

static int delete_numbered(struct feeds *feeds, enum query query, uint32_t generation, size_t *deleted,
                           struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = statement_get(feeds, query, &statement, fault);
    if (code != KAART_OK)
        return code;
    bind_number(statement, 1, generation);
    if (query == QUERY_NODES_DELETE)
        bind_number(statement, 2, TIDY_ROWS_MAX);
    code = statement_run(feeds, statement, fault);
    *deleted = (size_t)sqlite3_changes(feeds->db);
    return code;
}

/* Rows, then nodes, then the number. */
static int tidy_generation(struct feeds *feeds, bool *worked, struct fault *fault)
{
    struct doomed doomed;
    size_t deleted;
    int code = doomed_first(feeds, worked, &doomed, fault);
    if (code != KAART_OK || !*worked)
        return code;
    code = delete_rows(feeds, &doomed, &deleted, fault);
    if (code == KAART_OK && deleted == 0)
        code = delete_numbered(feeds, QUERY_NODES_DELETE, doomed.generation, &deleted, fault);
    if (code == KAART_OK && deleted == 0)
        code = delete_numbered(feeds, QUERY_GENERATION_DELETE, doomed.generation, &deleted, fault);
    return code;
}

/* ---- stages ---- */

static bool leads_nowhere(const struct stage *stage, bool adopting, int64_t idle_s,
                          const struct feed_head *head)
{
    if (adopting || idle_s > STAGE_IDLE_S)
        return true;
    if (!head->held)
        return false;
    if (stage->full)
        return stage->epoch < head->checkpoint.epoch;
    return stage->epoch != head->checkpoint.epoch || stage->since != head->checkpoint.size;
}

/* Gives up the first stage that leads nowhere. */
static int tidy_stages(struct feeds *feeds, bool *worked, struct fault *fault)
{
    struct stage stage = {.feeds = feeds, .id = 0};
    for (;;) {
        struct feed_head head;
        sqlite3_stmt *statement;
        int code = statement_get(feeds, QUERY_STAGE_AFTER, &statement, fault);
        if (code != KAART_OK)
            return code;
        sqlite3_bind_int64(statement, 1, stage.id);
        code = statement_step(feeds, statement, fault);
        if (code <= 0)
            return code;
        stage.id = sqlite3_column_int64(statement, 0);
        stage.feed_id = sqlite3_column_int64(statement, 1);
        stage.generation = (uint32_t)sqlite3_column_int64(statement, 2);
        stage.full = sqlite3_column_int(statement, 3) != 0;
        stage.epoch = column_number(statement, 4);
        stage.since = column_number(statement, 5);
        bool adopting = sqlite3_column_int(statement, 6) != 0;
        int64_t idle_s = sqlite3_column_int64(statement, 7);
        sqlite3_reset(statement);
        code = head_load_id(feeds, stage.feed_id, &head, fault);
        if (code != KAART_OK)
            return code;
        if (!stage_in_hands(feeds, stage.id) && leads_nowhere(&stage, adopting, idle_s, &head)) {
            *worked = true;
            return stage_forget(&stage, fault);
        }
    }
}

/* ---- all of it ---- */

static int tidy_lines(struct feeds *feeds, bool *worked, struct fault *fault)
{
    size_t count;
    int code = lines_bury(feeds, &count, fault);
    *worked = count > 0;
    feeds->bytes_linger = feeds->bytes_linger || count > 0;
    return code;
}

int feeds_tidy(struct feeds *feeds, bool *more, struct fault *fault)
{
    static int (*const pieces[])(struct feeds *, bool *, struct fault *) = {tidy_lines, tidy_generation,
                                                                            tidy_stages};
    *more = false;
    for (size_t i = 0; !*more && i < sizeof(pieces) / sizeof(*pieces); i++) {
        int code = transaction_begin(feeds, fault);
        if (code != KAART_OK)
            return code;
        code = pieces[i](feeds, more, fault);
        if (code == KAART_OK && *more)
            code = transaction_commit(feeds, fault);
        transaction_end(feeds);
        if (code != KAART_OK)
            return code;
    }
    if (*more)
        return KAART_OK;
    if (publication_withheld(feeds->publication)) {
        int code = publication_catch_up(feeds, fault);
        if (code != KAART_OK)
            return code;
    }
    if (!feeds->bytes_linger)
        return KAART_OK;
    /* A reader in the way is no fault: the next idle time comes. */
    int code = log_truncate(feeds, fault);
    return code == KAART_BUSY ? KAART_OK : code;
}
