/*
 * tree.h - the state tree: a complete binary tree of height 40 over the positions of a feed, whose root
 * commits to exactly the live set. spec/feed.md, section "State tree".
 *
 *     height 40   root                    folded from 256 nodes of height 32
 *     height 32   stored                  folded from 256 nodes of height 24
 *     height 24   stored
 *     height 16   stored
 *     height  8   stored                  folded from 256 leaves
 *     height  0   leaf of a live entry, or 32 zero bytes
 *
 * Only non-zero nodes at heights 8, 16, 24, 32 are stored, so a change costs 5 x 255 hashes at worst and a
 * sparse feed stays small. The tree reaches its storage through `struct tree_storage`; it knows no database.
 */
#ifndef KAARTD_PROTOCOL_TREE_H
#define KAARTD_PROTOCOL_TREE_H

#include "protocol/error.h"
#include "protocol/hash.h"
#include "protocol/limits.h"

#include <stdint.h>

#define TREE_STEP 8
#define TREE_FANOUT 256u

/* Where leaves and stored nodes are. Each returns 0 or a negative code, which ends the operation with that
 * code. */
struct tree_storage {
    void *context;
    /* The 256 children of node (`height`, `index`), height in 8, 16, 24, 32, 40; absent ones zero. For height
     * 8 these are the leaves of positions index * 256 ... + 255, else the stored nodes of height - 8 with
     * indices index * 256 ... */
    int (*children)(void *context, unsigned height, uint64_t index, struct hash out[TREE_FANOUT],
                    struct fault *fault);
    /* Stores node (`height` 8, 16, 24, 32; `index`); a zero hash means: there is none, delete it. */
    int (*store)(void *context, unsigned height, uint64_t index, const struct hash *hash,
                 struct fault *fault);
};

/* A position's new leaf; zero for one that died. */
struct tree_change {
    uint64_t position;
    struct hash leaf;
};

/* Folds 256 children into their node (8 levels). 0 or KAART_NOMEM. */
int tree_fold(struct hasher *hasher, const struct hash children[TREE_FANOUT], struct hash *out);

/*
 * Applies `count` changes, sorted by position without repetition, and gives the new root. `storage->children`
 * for height 8 may show the leaves before or after the changes: the changes win. Calls `store` for every
 * stored node that changed, if `store` is not NULL (NULL: a dry computation of the root). With count 0 it
 * computes the root from the stored nodes. Memory: O(count).
 */
int tree_update(struct hasher *hasher, const struct tree_storage *storage, const struct tree_change *changes,
                size_t count, struct hash *root, struct fault *fault);

/*
 * Builds a tree from leaves that come in increasing position, in bounded memory (5 x 256 hashes).
 * `storage->children` is not used; `store` may be NULL. tree_builder_add: KAART_ORDER if the position does
 * not increase. tree_builder_finish may be called once.
 */
struct tree_builder;
struct tree_builder *tree_builder_new(struct hasher *hasher, const struct tree_storage *storage);
int tree_builder_add(struct tree_builder *builder, uint64_t position, const struct hash *leaf,
                     struct fault *fault);
int tree_builder_finish(struct tree_builder *builder, struct hash *root, struct fault *fault);
void tree_builder_free(struct tree_builder *builder);

/* The 40 siblings on the way from a position to the root, lowest first. With it, a line and a checkpoint are
 * a self-contained proof of one claim (or, with a zero leaf, of its absence). */
int tree_path(struct hasher *hasher, const struct tree_storage *storage, uint64_t position,
              struct hash siblings[TREE_HEIGHT], struct fault *fault);
/* The root that a leaf at `position` and its siblings lead to. 0 or KAART_NOMEM. */
int tree_root_of_path(struct hasher *hasher, uint64_t position, const struct hash *leaf,
                      const struct hash siblings[TREE_HEIGHT], struct hash *root);

#endif
