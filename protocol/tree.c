/*
 * tree.c - the state tree in steps of eight levels: 256 children are folded into their node, five times over.
 *
 *     tree_update   level by level: the changed leaves, grouped under their nodes of height 8, give changed
 * nodes of height 8; those, grouped, changed nodes of height 16; ... up to the root tree_builder  one open
 * node a height; a leaf beyond it closes the nodes that it leaves behind
 */
#include "protocol/tree.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define TREE_STEPS (TREE_HEIGHT / TREE_STEP)

static const struct hash zero;

/* ---- folding ---- */

/* Children on their way to become one node. Only low ... high are other than zero, so that a sparse node
 * costs little; what stands outside is left over from the level below and counts as zero. */
struct fold {
    struct hash nodes[TREE_FANOUT];
    size_t low, high; /* low > high: all zero */
};

static const struct hash *fold_node(const struct fold *fold, size_t index)
{
    return index < fold->low || index > fold->high ? &zero : &fold->nodes[index];
}

static void fold_start(struct fold *fold, const struct hash children[TREE_FANOUT])
{
    size_t low = 0, high = TREE_FANOUT;

    while (low < TREE_FANOUT && hash_is_zero(&children[low]))
        low++;
    while (high > low && hash_is_zero(&children[high - 1]))
        high--;
    if (low == high) {
        fold->low = 1;
        fold->high = 0;
        return;
    }
    memcpy(fold->nodes + low, children + low, (high - low) * sizeof *children);
    fold->low = low;
    fold->high = high - 1;
}

/* One level up: half as many nodes, in the lower half of the same places. */
static int fold_level(struct hasher *hasher, struct fold *fold)
{
    if (fold->low > fold->high)
        return KAART_OK;
    for (size_t i = fold->low / 2; i <= fold->high / 2; i++) {
        int code = hasher_node(hasher, fold_node(fold, 2 * i), fold_node(fold, 2 * i + 1), &fold->nodes[i]);

        if (code != KAART_OK)
            return code;
    }
    fold->low /= 2;
    fold->high /= 2;
    return KAART_OK;
}

int tree_fold(struct hasher *hasher, const struct hash children[TREE_FANOUT], struct hash *out)
{
    struct fold fold;

    fold_start(&fold, children);
    for (int level = 0; level < TREE_STEP; level++) {
        int code = fold_level(hasher, &fold);

        if (code != KAART_OK)
            return code;
    }
    *out = *fold_node(&fold, 0);
    return KAART_OK;
}

static int no_memory(struct fault *fault)
{
    return fault_set(fault, KAART_NOMEM, "state tree: out of memory");
}

/* ---- update ---- */

/* What tree_update carries from level to level. */
struct update {
    struct hasher *hasher;
    const struct tree_storage *storage;
    struct fault *fault;
};

/* Gives the children of one node their new values. `stored`: they are nodes of `height` - 8, to be stored if
 * changed. */
static int apply_children(const struct update *u, unsigned height, const struct tree_change *changes,
                          size_t count, struct hash children[TREE_FANOUT])
{
    bool stored = height > TREE_STEP && u->storage->store;

    for (size_t i = 0; i < count; i++) {
        struct hash *child = &children[changes[i].position % TREE_FANOUT];
        int code = KAART_OK;

        if (hash_equal(child, &changes[i].leaf))
            continue;
        *child = changes[i].leaf;
        if (stored)
            code = u->storage->store(u->storage->context, height - TREE_STEP, changes[i].position, child,
                                     u->fault);
        if (code != KAART_OK)
            return code;
    }
    return KAART_OK;
}

/* One node of `height` over the first of `changes` and all that fall under the same node. *used: how many. */
static int update_node(const struct update *u, unsigned height, const struct tree_change *changes,
                       size_t count, size_t *used, struct tree_change *out)
{
    struct hash children[TREE_FANOUT];
    uint64_t index = changes[0].position / TREE_FANOUT;
    size_t group = 1;
    int code;

    while (group < count && changes[group].position / TREE_FANOUT == index)
        group++;
    code = u->storage->children(u->storage->context, height, index, children, u->fault);
    if (code == KAART_OK)
        code = apply_children(u, height, changes, group, children);
    if (code != KAART_OK)
        return code;
    *used = group;
    out->position = index;
    code = tree_fold(u->hasher, children, &out->leaf);
    return code == KAART_OK ? KAART_OK : no_memory(u->fault);
}

static int compute_root(const struct update *u, const struct tree_change *changes, size_t count,
                        struct hash *root)
{
    struct hash children[TREE_FANOUT];
    int code = u->storage->children(u->storage->context, TREE_HEIGHT, 0, children, u->fault);

    if (code == KAART_OK)
        code = apply_children(u, TREE_HEIGHT, changes, count, children);
    if (code != KAART_OK)
        return code;
    code = tree_fold(u->hasher, children, root);
    return code == KAART_OK ? KAART_OK : no_memory(u->fault);
}

static int check_changes(const struct tree_change *changes, size_t count, struct fault *fault)
{
    for (size_t i = 0; i < count; i++)
        if (changes[i].position > SEQ_MAX || (i > 0 && changes[i].position <= changes[i - 1].position))
            return fault_set(fault, KAART_ORDER, "state tree: change at %llu is out of order or range",
                             (unsigned long long)changes[i].position);
    return KAART_OK;
}

int tree_update(struct hasher *hasher, const struct tree_storage *storage, const struct tree_change *changes,
                size_t count, struct hash *root, struct fault *fault)
{
    struct update u = {.hasher = hasher, .storage = storage, .fault = fault};
    struct tree_change *nodes = NULL;
    int code = check_changes(changes, count, fault);

    if (code != KAART_OK)
        return code;
    if (count > 0) {
        nodes = malloc(count * sizeof *nodes);
        if (!nodes)
            return no_memory(fault);
        memcpy(nodes, changes, count * sizeof *nodes);
    }
    for (unsigned height = TREE_STEP; height < TREE_HEIGHT; height += TREE_STEP) {
        size_t made = 0;

        for (size_t i = 0, used = 0; i < count; i += used) {
            code = update_node(&u, height, nodes + i, count - i, &used, &nodes[made]);
            if (code != KAART_OK)
                goto out;
            made++;
        }
        count = made;
    }
    code = compute_root(&u, nodes, count, root);
out:
    free(nodes);
    return code;
}

/* ---- builder ---- */

/* The node of a height whose children are coming in. */
struct open_node {
    uint64_t index;
    bool open;
    struct hash children[TREE_FANOUT];
};

struct tree_builder {
    struct hasher *hasher;
    const struct tree_storage *storage;
    uint64_t next; /* the least position that may come */
    struct open_node nodes[TREE_STEPS];
};

struct tree_builder *tree_builder_new(struct hasher *hasher, const struct tree_storage *storage)
{
    struct tree_builder *builder = calloc(1, sizeof *builder);

    if (builder) {
        builder->hasher = hasher;
        builder->storage = storage;
    }
    return builder;
}

void tree_builder_free(struct tree_builder *builder)
{
    free(builder);
}

static int builder_close(struct tree_builder *builder, unsigned step, struct hash *hash, struct fault *fault);

/* Puts a child under the open node of a step, after closing the one that it leaves behind. */
static int builder_put(struct tree_builder *builder, unsigned step, uint64_t index, const struct hash *child,
                       struct fault *fault)
{
    struct open_node *node = &builder->nodes[step];
    int code;

    if (node->open && node->index != index / TREE_FANOUT) {
        struct hash hash;
        uint64_t closed = node->index;

        code = builder_close(builder, step, &hash, fault);
        if (code == KAART_OK)
            code = builder_put(builder, step + 1, closed, &hash, fault);
        if (code != KAART_OK)
            return code;
    }
    if (!node->open) {
        memset(node->children, 0, sizeof node->children);
        node->open = true;
        node->index = index / TREE_FANOUT;
    }
    node->children[index % TREE_FANOUT] = *child;
    return KAART_OK;
}

/* Folds the open node of a step and stores it, unless it is the root. */
static int builder_close(struct tree_builder *builder, unsigned step, struct hash *hash, struct fault *fault)
{
    const struct tree_storage *storage = builder->storage;
    struct open_node *node = &builder->nodes[step];
    unsigned height = (step + 1) * TREE_STEP;

    node->open = false;
    if (tree_fold(builder->hasher, node->children, hash) != KAART_OK)
        return no_memory(fault);
    if (height == TREE_HEIGHT || !storage || !storage->store)
        return KAART_OK;
    return storage->store(storage->context, height, node->index, hash, fault);
}

int tree_builder_add(struct tree_builder *builder, uint64_t position, const struct hash *leaf,
                     struct fault *fault)
{
    if (position < builder->next || position > SEQ_MAX)
        return fault_set(fault, KAART_ORDER, "state tree: leaf at %llu is out of order or range",
                         (unsigned long long)position);
    builder->next = position + 1;
    if (hash_is_zero(leaf))
        return KAART_OK;
    return builder_put(builder, 0, position, leaf, fault);
}

int tree_builder_finish(struct tree_builder *builder, struct hash *root, struct fault *fault)
{
    *root = zero;
    for (unsigned step = 0; step < TREE_STEPS; step++) {
        struct hash hash;
        int code;

        if (!builder->nodes[step].open)
            continue;
        code = builder_close(builder, step, &hash, fault);
        if (code == KAART_OK && step + 1 < TREE_STEPS)
            code = builder_put(builder, step + 1, builder->nodes[step].index, &hash, fault);
        if (code != KAART_OK)
            return code;
        if (step + 1 == TREE_STEPS)
            *root = hash;
    }
    return KAART_OK;
}

/* ---- paths ---- */

int tree_path(struct hasher *hasher, const struct tree_storage *storage, uint64_t position,
              struct hash siblings[TREE_HEIGHT], struct fault *fault)
{
    struct hash children[TREE_FANOUT];
    struct fold fold;

    if (position > SEQ_MAX)
        return fault_set(fault, KAART_ORDER, "state tree: position %llu is out of range",
                         (unsigned long long)position);
    for (unsigned level = 0; level < TREE_HEIGHT; level++) {
        uint64_t index = position >> level;
        int code = KAART_OK;

        if (level % TREE_STEP == 0) {
            code =
                storage->children(storage->context, level + TREE_STEP, index / TREE_FANOUT, children, fault);
            if (code != KAART_OK)
                return code;
            fold_start(&fold, children);
        }
        siblings[level] = *fold_node(&fold, (index ^ 1) % (TREE_FANOUT >> level % TREE_STEP));
        if (fold_level(hasher, &fold) != KAART_OK)
            return no_memory(fault);
    }
    return KAART_OK;
}

int tree_root_of_path(struct hasher *hasher, uint64_t position, const struct hash *leaf,
                      const struct hash siblings[TREE_HEIGHT], struct hash *root)
{
    struct hash node = *leaf;

    for (unsigned level = 0; level < TREE_HEIGHT; level++) {
        bool right = position >> level & 1;
        int code =
            hasher_node(hasher, right ? &siblings[level] : &node, right ? &node : &siblings[level], &node);

        if (code != KAART_OK)
            return code;
    }
    *root = node;
    return KAART_OK;
}
