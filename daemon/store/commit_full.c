/*
 * commit_full.c - the stage's generation holds all that is live, and becomes the feed's if it is what was signed.
 */
#include "daemon/store/feeds_internal.h"

/* Rows that go in one transaction before the switch. */
#define DROP_MAX 500

/* Tombstones that were sent while the floor was lower. [CP-9] */
static int drop_below_floor(struct commit *commit, struct fault *fault)
{
    for (;;) {
        struct row rows[DROP_MAX];
        size_t count = 0;
        int code = transaction_begin(commit->feeds, fault);
        if (code == KAART_OK)
            code = tombstones_below(commit->feeds, commit->stage->generation, commit->checkpoint->floor, rows,
                                    DROP_MAX, &count, fault);
        for (size_t i = 0; code == KAART_OK && i < count; i++)
            code = row_kill(commit->feeds, commit->stage->generation, &rows[i], true, fault);
        if (code == KAART_OK && count > 0)
            code = transaction_commit(commit->feeds, fault);
        transaction_end(commit->feeds);
        if (code != KAART_OK || count == 0)
            return code;
    }
}

/* Builds the tree over the staged rows, storing its nodes. */
static int build_tree(struct commit *commit, uint64_t *live, struct hash *root, struct fault *fault)
{
    struct tree_rows rows = {.feeds = commit->feeds, .generation = commit->stage->generation};
    struct tree_storage storage = tree_rows_storage(&rows);
    struct tree_builder *builder = tree_builder_new(commit->feeds->hasher, &storage);
    sqlite3_stmt *statement;
    *live = 0;
    int code = builder == NULL ? fault_set(fault, KAART_NOMEM, "no memory")
                               : statement_get(commit->feeds, QUERY_ENTRY_LEAVES, &statement, fault);
    if (code != KAART_OK)
        goto done;
    bind_number(statement, 1, commit->stage->generation);
    bind_number(statement, 2, 0);
    bind_number(statement, 3, commit->checkpoint->size);
    while ((code = statement_step(commit->feeds, statement, fault)) > 0) {
        struct hash leaf;
        code = column_hash(statement, 1, &leaf, fault);
        if (code == KAART_OK)
            code = tree_builder_add(builder, column_number(statement, 0), &leaf, fault);
        if (code != KAART_OK)
            break;
        ++*live;
    }
    sqlite3_reset(statement);
    if (code == KAART_OK)
        code = tree_builder_finish(builder, root, fault);
done:
    tree_builder_free(builder);
    return code;
}

/* A position below the held size that is live now, but was not then, or was another: *found. [DEATH-1] */
static int find_risen(struct commit *commit, bool *found, uint64_t *position, struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = statement_get(commit->feeds, QUERY_ENTRY_RISEN, &statement, fault);
    if (code != KAART_OK)
        return code;
    bind_number(statement, 1, commit->stage->generation);
    bind_number(statement, 2, commit->head.generation);
    bind_number(statement, 3, commit->head.checkpoint.size);
    code = statement_step(commit->feeds, statement, fault);
    *found = code > 0;
    if (code <= 0)
        return code;
    *position = column_number(statement, 0);
    sqlite3_reset(statement);
    return KAART_OK;
}

/* The next rows of the held generation that the staged one erases, by `query`. */
static int next_erased(struct commit *commit, enum query query, struct row rows[DROP_MAX], size_t *count,
                       struct fault *fault)
{
    sqlite3_stmt *statement;
    *count = 0;
    int code = statement_get(commit->feeds, query, &statement, fault);
    if (code != KAART_OK)
        return code;
    bind_number(statement, 1, commit->stage->generation);
    bind_number(statement, 2, commit->head.generation);
    bind_number(statement, 3, DROP_MAX);
    while (*count < DROP_MAX && (code = statement_step(commit->feeds, statement, fault)) > 0) {
        code = row_read(statement, &rows[(*count)++], fault);
        if (code != KAART_OK)
            break;
    }
    sqlite3_reset(statement);
    return code < 0 ? code : KAART_OK;
}

/* The old generation goes in idle time, but claims that the new one erases go at once. [ENTRY-14] */
static int kill_erased(struct commit *commit, struct fault *fault)
{
    size_t count = commit->head.held ? DROP_MAX : 0;
    while (count == DROP_MAX) {
        struct row rows[DROP_MAX];
        int code = next_erased(commit, QUERY_ENTRY_ERASED, rows, &count, fault);
        for (size_t i = 0; code == KAART_OK && i < count; i++)
            code = row_kill(commit->feeds, commit->head.generation, &rows[i], true, fault);
        if (code != KAART_OK)
            return code;
        commit->erases = commit->erases || count > 0;
    }
    return KAART_OK;
}

static int blank_erased(struct commit *commit, bool *any, struct fault *fault)
{
    size_t count = DROP_MAX;
    *any = false;
    while (count == DROP_MAX) {
        struct row rows[DROP_MAX];
        int code = next_erased(commit, QUERY_ENTRY_ERASED_CLAIMS, rows, &count, fault);
        for (size_t i = 0; code == KAART_OK && i < count; i++)
            code = row_blank(commit->feeds, commit->head.generation, &rows[i], fault);
        if (code != KAART_OK)
            return code;
        *any = *any || count > 0;
    }
    return KAART_OK;
}

int commit_honour_erasures(struct commit *commit, struct fault *fault)
{
    struct hash root;
    uint64_t live;
    bool any = false;
    int code = commit_check_size(commit, fault);
    if (code == KAART_OK)
        code = drop_below_floor(commit, fault);
    if (code == KAART_OK)
        code = transaction_begin(commit->feeds, fault);
    if (code != KAART_OK)
        return code;
    /* Anybody could send an erasure beside somebody else's signature: only what was signed counts. */
    code = build_tree(commit, &live, &root, fault);
    if (code == KAART_OK)
        code = commit_check_state(commit, live, &root, fault);
    if (code == KAART_OK)
        code = blank_erased(commit, &any, fault);
    if (code == KAART_OK && any)
        code = generation_renew(commit->feeds, commit->stage->feed, fault); /* the map reads it anew */
    if (code == KAART_OK && any)
        code = transaction_commit(commit->feeds, fault);
    transaction_end(commit->feeds);
    commit->erases = commit->erases || (code == KAART_OK && any);
    return code;
}

int commit_full(struct commit *commit, bool check_death, struct fault *fault)
{
    struct hash root;
    uint64_t live, position;
    bool risen = false;
    int code = drop_below_floor(commit, fault);
    if (code == KAART_OK)
        code = transaction_begin(commit->feeds, fault);
    if (code != KAART_OK)
        return code;
    code = build_tree(commit, &live, &root, fault);
    if (code == KAART_OK)
        code = commit_check_state(commit, live, &root, fault);
    /* Only what was signed can be held against its origin: the root comes first. */
    if (code == KAART_OK && check_death)
        code = find_risen(commit, &risen, &position, fault);
    if (code == KAART_OK && risen)
        return fork_by_position(commit, position, fault);
    if (code == KAART_OK)
        code = kill_erased(commit, fault);
    if (code == KAART_OK)
        code = commit_switch(commit, commit->stage->generation, fault);
    transaction_end(commit->feeds);
    return code;
}
