/*
 * tree_rows.c - the state tree's storage: leaves from entry, nodes from node.
 */
#include "daemon/store/feeds_internal.h"

#include <string.h>

/* A stored node's row: its height in steps of 8 above its index, which is below 2^32. */
static uint64_t node_id(unsigned height, uint64_t index)
{
    return (uint64_t)(height / TREE_STEP) << TREE_HEIGHT | index;
}

static int children(void *context, unsigned height, uint64_t index, struct hash out[TREE_FANOUT],
                    struct fault *fault)
{
    const struct tree_rows *rows = context;
    bool leaves = height == TREE_STEP;
    uint64_t first = leaves ? index * TREE_FANOUT : node_id(height - TREE_STEP, index * TREE_FANOUT);
    sqlite3_stmt *statement;
    int code =
        statement_get(rows->feeds, leaves ? QUERY_ENTRY_LEAVES : QUERY_NODE_CHILDREN, &statement, fault);
    if (code != KAART_OK)
        return code;
    memset(out, 0, TREE_FANOUT * sizeof(*out));
    bind_number(statement, 1, rows->generation);
    bind_number(statement, 2, first);
    bind_number(statement, 3, first + TREE_FANOUT);
    while ((code = statement_step(rows->feeds, statement, fault)) > 0) {
        code = column_hash(statement, 1, &out[column_number(statement, 0) - first], fault);
        if (code != KAART_OK) {
            sqlite3_reset(statement);
            return code;
        }
    }
    return code;
}

static int store(void *context, unsigned height, uint64_t index, const struct hash *hash, struct fault *fault)
{
    const struct tree_rows *rows = context;
    bool absent = hash_is_zero(hash);
    sqlite3_stmt *statement;
    int code = statement_get(rows->feeds, absent ? QUERY_NODE_DELETE : QUERY_NODE_PUT, &statement, fault);
    if (code != KAART_OK)
        return code;
    bind_number(statement, 1, rows->generation);
    bind_number(statement, 2, node_id(height, index));
    if (!absent)
        bind_bytes(statement, 3, hash->bytes, HASH_SIZE);
    return statement_run(rows->feeds, statement, fault);
}

struct tree_storage tree_rows_storage(struct tree_rows *rows)
{
    return (struct tree_storage){.context = rows, .children = children, .store = store};
}
