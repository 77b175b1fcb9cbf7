/*
 * commit_delta.c - a delta on the held state. A small one moves behind it, row by row, in one transaction; a large one takes the held
 * rows over into its own generation, in many.
 */
#include "daemon/store/feeds_internal.h"

#include <stdlib.h>
#include <string.h>

/* Tombstones read at a time, when the floor rose. */
#define TOMBSTONES_MAX 500

/* Positions that change, in any order until sort_changes. */
struct changes {
    struct tree_change *items;
    size_t count, capacity;
};

static int push_change(struct changes *changes, uint64_t position, const struct hash *leaf,
                       struct fault *fault)
{
    if (changes->count == changes->capacity) {
        size_t capacity = changes->capacity * 2 + 64;
        struct tree_change *moved = realloc(changes->items, capacity * sizeof(*moved));
        if (moved == NULL)
            return fault_set(fault, KAART_NOMEM, "no memory");
        changes->items = moved;
        changes->capacity = capacity;
    }
    struct tree_change *change = &changes->items[changes->count++];
    memset(change, 0, sizeof(*change));
    change->position = position;
    if (leaf != NULL)
        change->leaf = *leaf;
    return KAART_OK;
}

static int by_position(const void *a, const void *b)
{
    uint64_t x = ((const struct tree_change *)a)->position, y = ((const struct tree_change *)b)->position;
    return (x > y) - (x < y);
}

/* ---- a small delta ---- */

static int load_staged(struct commit *commit, struct row **rows, size_t *count, struct fault *fault)
{
    sqlite3_stmt *statement;
    size_t capacity = (size_t)commit->stage->entries;
    int code = statement_get(commit->feeds, QUERY_ENTRY_ROWS, &statement, fault);
    if (code != KAART_OK)
        return code;
    *count = 0;
    *rows = malloc((capacity + 1) * sizeof(**rows));
    if (*rows == NULL)
        return fault_set(fault, KAART_NOMEM, "no memory");
    bind_number(statement, 1, commit->stage->generation);
    bind_number(statement, 2, 0);
    bind_number(statement, 3, capacity);
    while ((code = statement_step(commit->feeds, statement, fault)) > 0) {
        code = row_read(statement, &(*rows)[*count], fault);
        if (code != KAART_OK || ++*count == capacity)
            break;
    }
    sqlite3_reset(statement);
    return code < 0 ? code : KAART_OK;
}

/* Whether two stored lines have the same key, which their hashes say already. */
static int check_same_key(struct feeds *feeds, uint64_t new_line, uint64_t old_line, struct fault *fault)
{
    char *line = NULL;
    size_t size;
    struct entry entry;
    bool same = true;
    int code = line_load(feeds, new_line, &line, &size, fault);
    if (code == KAART_OK)
        code = entry_parse(line, size, &entry, fault);
    if (code == KAART_OK)
        code = same_key(feeds, &entry, old_line, &same, fault);
    if (code == KAART_OK && !same)
        code = fault_set(fault, KAART_INVALID, "entry %llu: its key has the hash of another",
                         (unsigned long long)entry.seq);
    free(line);
    return code;
}

/* The held entry under the key of a new one dies. [ENTRY-10] */
static int kill_replaced(struct commit *commit, const struct row *new, struct changes *changes,
                         struct fault *fault)
{
    struct row old;
    int code = row_by_key(commit->feeds, commit->head.generation, &new->key, &old, fault);
    if (code != KAART_OK)
        return code == KAART_UNKNOWN ? KAART_OK : code;
    code = check_same_key(commit->feeds, new->line, old.line, fault);
    if (code == KAART_OK)
        code = row_kill(commit->feeds, commit->head.generation, &old, true, fault);
    return code == KAART_OK ? push_change(changes, old.seq, NULL, fault) : code;
}

static int move_row(struct commit *commit, const struct row *row, struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = statement_get(commit->feeds, QUERY_ENTRY_MOVE, &statement, fault);
    if (code != KAART_OK)
        return code;
    bind_number(statement, 1, commit->stage->generation);
    bind_number(statement, 2, row->seq);
    bind_number(statement, 3, commit->head.generation);
    return statement_run(commit->feeds, statement, fault);
}

/* One staged row takes its place, unless the floor drops it at once. */
static int take_row(struct commit *commit, const struct row *row, struct changes *changes, uint64_t *live,
                    struct fault *fault)
{
    size_t before = changes->count;
    int code = kill_replaced(commit, row, changes, fault);
    if (code != KAART_OK)
        return code;
    *live -= changes->count - before;
    commit->erases = commit->erases || row->op == ENTRY_ERASE;
    if (row->op != ENTRY_ASSERT && row->seq < commit->checkpoint->floor) /* [CP-9] */
        return row_kill(commit->feeds, commit->stage->generation, row, true, fault);
    ++*live;
    code = move_row(commit, row, fault);
    return code == KAART_OK ? push_change(changes, row->seq, &row->leaf, fault) : code;
}

/* What the risen floor drops of the held state. [CP-9] */
static int drop_below_floor(struct commit *commit, struct changes *changes, uint64_t *live,
                            struct fault *fault)
{
    for (;;) {
        struct row rows[TOMBSTONES_MAX];
        size_t count;
        int code = tombstones_below(commit->feeds, commit->head.generation, commit->checkpoint->floor, rows,
                                    TOMBSTONES_MAX, &count, fault);
        if (code != KAART_OK || count == 0)
            return code;
        for (size_t i = 0; i < count; i++) {
            code = row_kill(commit->feeds, commit->head.generation, &rows[i], true, fault);
            if (code == KAART_OK)
                code = push_change(changes, rows[i].seq, NULL, fault);
            if (code != KAART_OK)
                return code;
        }
        *live -= count;
    }
}

static int apply(struct commit *commit, const struct row *rows, size_t count, struct changes *changes,
                 struct fault *fault)
{
    struct tree_rows tree = {.feeds = commit->feeds, .generation = commit->head.generation};
    struct tree_storage storage = tree_rows_storage(&tree);
    uint64_t live = commit->head.checkpoint.live;
    struct hash root;
    int code = KAART_OK;
    for (size_t i = 0; code == KAART_OK && i < count; i++)
        code = take_row(commit, &rows[i], changes, &live, fault);
    if (code == KAART_OK && commit->checkpoint->floor > commit->head.checkpoint.floor)
        code = drop_below_floor(commit, changes, &live, fault);
    if (code != KAART_OK)
        return code;
    if (changes->count > 0)
        qsort(changes->items, changes->count, sizeof(*changes->items), by_position);
    code = tree_update(commit->feeds->hasher, &storage, changes->items, changes->count, &root, fault);
    if (code == KAART_OK)
        code = commit_check_state(commit, live, &root, fault);
    return code == KAART_OK ? commit_switch(commit, commit->head.generation, fault) : code;
}

int commit_delta(struct commit *commit, struct fault *fault)
{
    struct changes changes = {0};
    struct row *rows = NULL;
    size_t count;
    int code = transaction_begin(commit->feeds, fault);
    if (code == KAART_OK)
        code = load_staged(commit, &rows, &count, fault);
    if (code == KAART_OK)
        code = apply(commit, rows, count, &changes, fault);
    transaction_end(commit->feeds);
    free(rows);
    free(changes.items);
    return code;
}

/* ---- a large delta ---- */

/* From here on the two generations name lines together, and the stage cannot be gone on with. */
static int mark_adopting(struct commit *commit, struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = transaction_begin(commit->feeds, fault);
    if (code != KAART_OK)
        return code;
    code = statement_get(commit->feeds, QUERY_STAGE_ADOPTING, &statement, fault);
    if (code == KAART_OK) {
        sqlite3_bind_int64(statement, 1, commit->stage->id);
        code = statement_run(commit->feeds, statement, fault);
    }
    if (code == KAART_OK)
        code = generation_share(commit->feeds, commit->head.generation, commit->stage->generation, fault);
    if (code == KAART_OK)
        code = transaction_commit(commit->feeds, fault);
    transaction_end(commit->feeds);
    return code;
}

/* The position before which BATCH_ENTRIES_MAX held rows from `from` on lie; the held size at the end. */
static int batch_end(struct commit *commit, uint64_t from, uint64_t *end, struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = statement_get(commit->feeds, QUERY_ENTRY_BATCH_END, &statement, fault);
    if (code != KAART_OK)
        return code;
    bind_number(statement, 1, commit->head.generation);
    bind_number(statement, 2, from);
    bind_number(statement, 3, BATCH_ENTRIES_MAX);
    code = statement_step(commit->feeds, statement, fault);
    *end = code > 0 ? column_number(statement, 0) : commit->head.checkpoint.size;
    if (code > 0)
        sqlite3_reset(statement);
    return code < 0 ? code : KAART_OK;
}

/* Whether keys that collide in these positions are the same: before the copy, which takes a collision for a replacement. */
static int check_replaced(struct commit *commit, uint64_t from, uint64_t end, struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = statement_get(commit->feeds, QUERY_ENTRY_REPLACED, &statement, fault);
    if (code != KAART_OK)
        return code;
    bind_number(statement, 1, commit->stage->generation);
    bind_number(statement, 2, commit->head.generation);
    bind_number(statement, 3, from);
    bind_number(statement, 4, end);
    while ((code = statement_step(commit->feeds, statement, fault)) > 0) {
        code = check_same_key(commit->feeds, column_number(statement, 1), column_number(statement, 0), fault);
        if (code != KAART_OK)
            break;
    }
    sqlite3_reset(statement);
    return code;
}

static int copy_rows(struct commit *commit, uint64_t from, uint64_t end, struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = statement_get(commit->feeds, QUERY_ENTRY_COPY, &statement, fault);
    if (code != KAART_OK)
        return code;
    bind_number(statement, 1, commit->stage->generation);
    bind_number(statement, 2, commit->head.generation);
    bind_number(statement, 3, from);
    bind_number(statement, 4, end);
    bind_number(statement, 5, commit->checkpoint->floor);
    return statement_run(commit->feeds, statement, fault);
}

int commit_adopt(struct commit *commit, struct fault *fault)
{
    int code = mark_adopting(commit, fault);
    for (uint64_t from = 0, end; code == KAART_OK && from < commit->head.checkpoint.size; from = end) {
        code = transaction_begin(commit->feeds, fault);
        if (code == KAART_OK)
            code = batch_end(commit, from, &end, fault);
        if (code == KAART_OK)
            code = check_replaced(commit, from, end, fault);
        if (code == KAART_OK)
            code = copy_rows(commit, from, end, fault);
        if (code == KAART_OK)
            code = transaction_commit(commit->feeds, fault);
        transaction_end(commit->feeds);
    }
    return code;
}
