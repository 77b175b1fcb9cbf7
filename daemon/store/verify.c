/*
 * verify.c - does the store still say what was signed? Every leaf from its line, every node from its leaves,
 * the root from the nodes.
 */
#include "daemon/store/feeds_internal.h"

#include <stdlib.h>
#include <string.h>

/* Nodes as computed must be the nodes as stored; `nodes` walks the latter in order of their ids. */
struct comparison {
    struct feeds *feeds;
    uint32_t generation;
    struct tree_storage stored;
    uint64_t compared;
};

static int compare_node(void *context, unsigned height, uint64_t index, const struct hash *hash,
                        struct fault *fault)
{
    struct comparison *comparison = context;
    struct hash siblings[TREE_FANOUT];
    /* The stored node is a child of the node above it. */
    int code = comparison->stored.children(comparison->stored.context, height + TREE_STEP,
                                           index / TREE_FANOUT, siblings, fault);
    if (code == KAART_OK && !hash_equal(&siblings[index % TREE_FANOUT], hash))
        code = fault_set(fault, KAART_CORRUPT,
                         "the tree's node %llu at height %u is not what its leaves make it",
                         (unsigned long long)index, height);
    if (!hash_is_zero(hash))
        comparison->compared++;
    return code;
}

static int count_of(struct feeds *feeds, enum query query, uint32_t generation, uint64_t *count,
                    struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = statement_get(feeds, query, &statement, fault);
    if (code != KAART_OK)
        return code;
    bind_number(statement, 1, generation);
    code = statement_step(feeds, statement, fault);
    if (code < 0)
        return code;
    *count = column_number(statement, 0);
    sqlite3_reset(statement);
    return KAART_OK;
}

/* One entry: its line is there, parses as what its row says, and has the leaf and key of the row. */
static int verify_entry(struct feeds *feeds, sqlite3_stmt *row, uint64_t *last_seq, int64_t *last_at_ms,
                        struct hash *leaf, struct fault *fault)
{
    struct entry entry;
    struct entry_key key;
    struct hash stored;
    uint64_t seq = column_number(row, 0);
    int code = column_hash(row, 2, leaf, fault);
    if (code != KAART_OK || column_number(row, 4) == 0) /* forgotten: only the leaf is left [DEATH-7] */
        return code;
    const char *line = sqlite3_column_blob(row, 5);
    size_t size = line_size(line, (size_t)sqlite3_column_bytes(row, 5));
    if (line == NULL)
        return fault_set(fault, KAART_CORRUPT, "entry %llu has lost its line", (unsigned long long)seq);
    code = entry_parse(line, size, &entry, fault);
    if (code == KAART_OK)
        code = hasher_leaf(feeds->hasher, line, size, &stored);
    if (code == KAART_OK)
        code = entry_key(feeds->hasher, entry.kind, entry.id, entry.source, &key);
    if (code != KAART_OK)
        return fault_set(fault, code == KAART_NOMEM ? KAART_NOMEM : KAART_CORRUPT,
                         "entry %llu is no entry any more", (unsigned long long)seq);
    if (entry.seq != seq || (int)entry.op != sqlite3_column_int(row, 3) || !hash_equal(&stored, leaf) ||
        sqlite3_column_bytes(row, 1) != sizeof(key.bytes) ||
        memcmp(sqlite3_column_blob(row, 1), key.bytes, sizeof(key.bytes)) != 0)
        return fault_set(fault, KAART_CORRUPT, "entry %llu is not what its row says",
                         (unsigned long long)seq);
    if (entry.at_ms < *last_at_ms)
        return fault_set(fault, KAART_CORRUPT, "entry %llu is older than the one before it [ENTRY-12]",
                         (unsigned long long)seq);
    *last_seq = seq;
    *last_at_ms = entry.at_ms;
    return KAART_OK;
}

static int verify_head(struct feeds *feeds, const struct feed_head *head, struct fault *fault)
{
    struct tree_rows rows = {.feeds = feeds, .generation = head->generation};
    struct comparison comparison = {
        .feeds = feeds, .generation = head->generation, .stored = tree_rows_storage(&rows)};
    struct tree_storage storage = {.context = &comparison, .store = compare_node};
    struct tree_builder *builder = tree_builder_new(feeds->hasher, &storage);
    struct hash root;
    sqlite3_stmt *statement;
    uint64_t live = 0, nodes, last_seq = 0;
    int64_t last_at_ms = INT64_MIN;
    int code = builder == NULL ? fault_set(fault, KAART_NOMEM, "no memory")
                               : statement_get(feeds, QUERY_ENTRY_ALL, &statement, fault);
    if (code != KAART_OK)
        goto done;
    bind_number(statement, 1, head->generation);
    while ((code = statement_step(feeds, statement, fault)) > 0) {
        struct hash leaf;
        code = verify_entry(feeds, statement, &last_seq, &last_at_ms, &leaf, fault);
        if (code == KAART_OK)
            code = tree_builder_add(builder, column_number(statement, 0), &leaf, fault);
        if (code != KAART_OK)
            break;
        live++;
    }
    sqlite3_reset(statement);
    if (code == KAART_OK)
        code = tree_builder_finish(builder, &root, fault);
    if (code == KAART_OK)
        code = count_of(feeds, QUERY_NODE_COUNT, head->generation, &nodes, fault);
    if (code != KAART_OK)
        goto done;
    const struct checkpoint *checkpoint = &head->checkpoint;
    if (live > 0 && last_seq >= checkpoint->size)
        code =
            fault_set(fault, KAART_CORRUPT, "entry %llu lies beyond the head", (unsigned long long)last_seq);
    else if (live != checkpoint->live)
        code = fault_set(fault, KAART_CORRUPT, "%llu entries are live, %llu are signed for",
                         (unsigned long long)live, (unsigned long long)checkpoint->live);
    else if (!hash_equal(&root, &checkpoint->root))
        code = fault_set(fault, KAART_CORRUPT, "the entries have another root than the one signed");
    else if (nodes != comparison.compared)
        code = fault_set(fault, KAART_CORRUPT, "the tree has nodes over nothing");
done:
    tree_builder_free(builder);
    return code;
}

int feeds_verify(struct feeds *feeds, const char *name, struct fault *fault)
{
    struct feed_head *head = malloc(sizeof(*head));
    if (head == NULL)
        return fault_set(fault, KAART_NOMEM, "no memory");
    int code = transaction_begin_read(feeds, fault);
    if (code != KAART_OK)
        goto done;
    code = head_load(feeds, name, head, fault);
    if (code == KAART_OK && head->held)
        code = verify_head(feeds, head, fault);
    if (code != KAART_OK)
        fault_prefix(fault, "%s", name);
    transaction_end(feeds);
done:
    free(head);
    return code;
}
