/* test_tree.c - the state tree: builder, updates and paths against a recursion straight from the definition.
 */
#include "protocol/tree.h"
#include "tests/unit/unit.h"

/* Random sets of leaves and changes are of this size at most. */
#define LEAVES_MAX 600

static struct hasher *hasher;
static struct fault fault;

static int setup(void **state)
{
    (void)state;
    hasher = hasher_new();
    return hasher ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    hasher_free(hasher);
    return 0;
}

/* ---- a store in memory ---- */

struct node {
    unsigned height;
    uint64_t index;
    struct hash hash;
};

/* Leaves are nodes of height 0; zero ones are not kept. */
struct store {
    struct node *nodes;
    size_t count, capacity;
    size_t stored;  /* calls of store */
    int fail_after; /* the n-th call fails; 0: none */
};

static size_t find(const struct store *store, unsigned height, uint64_t index)
{
    size_t i = 0;

    while (i < store->count && (store->nodes[i].height != height || store->nodes[i].index != index))
        i++;
    return i;
}

static void set(struct store *store, unsigned height, uint64_t index, const struct hash *hash)
{
    size_t i = find(store, height, index);

    if (hash_is_zero(hash)) {
        if (i < store->count)
            store->nodes[i] = store->nodes[--store->count];
        return;
    }
    if (i == store->count) {
        if (store->count == store->capacity) {
            store->capacity = store->capacity ? 2 * store->capacity : 256;
            store->nodes = realloc(store->nodes, store->capacity * sizeof *store->nodes);
            assert_non_null(store->nodes);
        }
        store->count++;
    }
    store->nodes[i] = (struct node){height, index, *hash};
}

static int count_down(struct store *store, struct fault *out)
{
    if (store->fail_after && --store->fail_after == 0)
        return fault_set(out, KAART_IO, "disk gone");
    return KAART_OK;
}

static int store_children(void *context, unsigned height, uint64_t index, struct hash out[TREE_FANOUT],
                          struct fault *out_fault)
{
    struct store *store = context;

    assert_true(height >= 8 && height <= 40 && height % 8 == 0);
    memset(out, 0, TREE_FANOUT * sizeof *out);
    for (size_t i = 0; i < store->count; i++)
        if (store->nodes[i].height == height - 8 && store->nodes[i].index >> 8 == index)
            out[store->nodes[i].index & 255] = store->nodes[i].hash;
    return count_down(store, out_fault);
}

static int store_store(void *context, unsigned height, uint64_t index, const struct hash *hash,
                       struct fault *out_fault)
{
    struct store *store = context;
    size_t i = find(store, height, index);

    assert_true(height >= 8 && height <= 32 && height % 8 == 0);
    /* only what changed is stored */
    if (i < store->count)
        assert_false(hash_equal(&store->nodes[i].hash, hash));
    else
        assert_false(hash_is_zero(hash));
    set(store, height, index, hash);
    store->stored++;
    return count_down(store, out_fault);
}

static struct tree_storage storage_of(struct store *store)
{
    return (struct tree_storage){.context = store, .children = store_children, .store = store_store};
}

/* ---- the definition [TREE-1] to [TREE-4] ---- */

/* The node of a height over the leaves (sorted by index) that lie under it. */
static struct hash defined_node(const struct node *leaves, size_t count, unsigned height, uint64_t index)
{
    struct hash left, right, node = {{0}};
    size_t middle = 0;

    if (count == 0)
        return node;
    if (height == 0)
        return leaves[0].hash;
    while (middle < count && leaves[middle].index < (2 * index + 1) << (height - 1))
        middle++;
    left = defined_node(leaves, middle, height - 1, 2 * index);
    right = defined_node(leaves + middle, count - middle, height - 1, 2 * index + 1);
    assert_int_equal(hasher_node(hasher, &left, &right, &node), KAART_OK);
    return node;
}

static int by_index(const void *a, const void *b)
{
    const struct node *x = a, *y = b;

    return (x->index > y->index) - (x->index < y->index);
}

/* The leaves of a store, sorted. */
static size_t sorted_leaves(const struct store *store, struct node out[LEAVES_MAX])
{
    size_t count = 0;

    for (size_t i = 0; i < store->count; i++)
        if (store->nodes[i].height == 0) {
            assert_true(count < LEAVES_MAX);
            out[count++] = store->nodes[i];
        }
    qsort(out, count, sizeof *out, by_index);
    return count;
}

/* A position, now in a crowd, now anywhere, now at the edges. */
static uint64_t random_position(struct random *random)
{
    switch (random_below(random, 5)) {
    case 0:
        return random_below(random, 40);
    case 1:
        return random_below(random, 5000);
    case 2:
        return (random_below(random, 4) << 24) + random_below(random, 700);
    case 3:
        return SEQ_MAX - random_below(random, 300);
    default:
        return random_next(random) & SEQ_MAX;
    }
}

static struct hash random_leaf(struct random *random)
{
    uint64_t number = random_next(random);
    struct hash leaf;

    assert_int_equal(hasher_leaf(hasher, &number, sizeof number, &leaf), KAART_OK);
    return leaf;
}

static int by_position(const void *a, const void *b)
{
    const struct tree_change *x = a, *y = b;

    return (x->position > y->position) - (x->position < y->position);
}

/* Some changes, sorted, without repetition: new leaves, changed ones, deaths, deaths of what never lived. */
static size_t random_changes(struct random *random, const struct store *store, struct tree_change *changes,
                             size_t max)
{
    struct node leaves[LEAVES_MAX];
    size_t live = sorted_leaves(store, leaves), count = random_below(random, max + 1), kept = 0;

    for (size_t i = 0; i < count; i++) {
        bool known = live > 0 && random_below(random, 2);

        changes[i].position = known ? leaves[random_below(random, live)].index : random_position(random);
        changes[i].leaf = random_leaf(random);
        if (random_below(random, known ? 2 : 8) == 0)
            memset(&changes[i].leaf, 0, sizeof changes[i].leaf);
    }
    qsort(changes, count, sizeof *changes, by_position);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || changes[i].position != changes[kept - 1].position)
            changes[kept++] = changes[i];
    return kept;
}

/* What a builder makes of these leaves, with what it stores. */
static struct hash built(const struct node *leaves, size_t count, struct store *store)
{
    struct tree_storage storage = storage_of(store);
    struct tree_builder *builder = tree_builder_new(hasher, &storage);
    struct hash root;

    assert_non_null(builder);
    for (size_t i = 0; i < count; i++)
        assert_ok(tree_builder_add(builder, leaves[i].index, &leaves[i].hash, &fault));
    assert_ok(tree_builder_finish(builder, &root, &fault));
    tree_builder_free(builder);
    return root;
}

/* Both stores hold the same nodes above the leaves. */
static void assert_same_nodes(const struct store *a, const struct store *b)
{
    for (size_t i = 0; i < a->count; i++) {
        size_t other;

        if (a->nodes[i].height == 0)
            continue;
        other = find(b, a->nodes[i].height, a->nodes[i].index);
        assert_true(other < b->count);
        assert_true(hash_equal(&a->nodes[i].hash, &b->nodes[other].hash));
    }
}

/* ---- tests ---- */

/* [TREE-3] */
static void test_empty(void **state)
{
    struct store store = {.count = 0};
    struct tree_storage storage = storage_of(&store);
    struct hash root, siblings[TREE_HEIGHT], zero = {{0}};

    (void)state;
    assert_ok(tree_update(hasher, &storage, NULL, 0, &root, &fault));
    assert_true(hash_is_zero(&root));
    root = built(NULL, 0, &store);
    assert_true(hash_is_zero(&root));
    assert_ok(tree_path(hasher, &storage, 12345, siblings, &fault));
    for (int i = 0; i < TREE_HEIGHT; i++)
        assert_true(hash_is_zero(&siblings[i]));
    assert_int_equal(tree_root_of_path(hasher, 12345, &zero, siblings, &root), KAART_OK);
    assert_true(hash_is_zero(&root));
    assert_int_equal(store.stored, 0);
}

/* One step of 256: every single child, and random ones, against the definition. */
static void test_fold(void **state)
{
    struct random random = random_start("fold");

    (void)state;
    for (int round = 0; round < 400; round++) {
        struct hash children[TREE_FANOUT] = {{{0}}}, got, wanted;
        struct node leaves[TREE_FANOUT];
        size_t count = 0, density = round < 256 ? 0 : 1 + random_below(&random, 255);

        for (size_t i = 0; i < TREE_FANOUT; i++)
            if (round < 256 ? i == (size_t)round : random_below(&random, density) == 0) {
                children[i] = random_leaf(&random);
                leaves[count++] = (struct node){0, i, children[i]};
            }
        assert_int_equal(tree_fold(hasher, children, &got), KAART_OK);
        wanted = defined_node(leaves, count, 8, 0);
        assert_true(hash_equal(&got, &wanted));
    }
}

/* Random histories: updates, the builder and the definition agree on root and stored nodes after each step.
 */
static void test_histories(void **state)
{
    struct random random = random_start("histories");

    (void)state;
    for (int history = 0; history < 12; history++) {
        struct store store = {.count = 0};

        for (int step = 0; step < 8; step++) {
            struct tree_storage storage = storage_of(&store), dry = storage;
            struct tree_change changes[60];
            struct store fresh = {.count = 0};
            struct node leaves[LEAVES_MAX];
            struct hash root, dry_root, wanted;
            size_t count = random_changes(&random, &store, changes, 60), live;
            bool after = random_below(&random, 2);

            /* the leaves may show the state before or after the changes */
            for (size_t i = 0; after && i < count; i++)
                set(&store, 0, changes[i].position, &changes[i].leaf);
            dry.store = NULL;
            assert_ok(tree_update(hasher, &dry, changes, count, &dry_root, &fault));
            assert_ok(tree_update(hasher, &storage, changes, count, &root, &fault));
            for (size_t i = 0; i < count; i++)
                set(&store, 0, changes[i].position, &changes[i].leaf);
            live = sorted_leaves(&store, leaves);
            wanted = defined_node(leaves, live, TREE_HEIGHT, 0);
            assert_true(hash_equal(&root, &wanted));
            assert_true(hash_equal(&dry_root, &wanted));
            root = built(leaves, live, &fresh);
            assert_true(hash_equal(&root, &wanted));
            assert_same_nodes(&store, &fresh);
            assert_same_nodes(&fresh, &store);
            /* nothing to do: the root from the stored nodes, and nothing is stored */
            store.stored = 0;
            assert_ok(tree_update(hasher, &storage, NULL, 0, &root, &fault));
            assert_true(hash_equal(&root, &wanted));
            assert_ok(tree_update(hasher, &storage, changes, count, &root, &fault));
            assert_true(hash_equal(&root, &wanted));
            assert_int_equal(store.stored, 0);
            free(fresh.nodes);
        }
        free(store.nodes);
    }
}

/* [TREE-4]: the path of live and of dead positions leads to the root, and to no other with another leaf. */
static void test_paths(void **state)
{
    struct random random = random_start("paths");
    struct store store = {.count = 0};
    struct tree_storage storage = storage_of(&store);
    struct tree_change changes[200];
    size_t count = random_changes(&random, &store, changes, 200);
    struct hash root;

    (void)state;
    assert_ok(tree_update(hasher, &storage, changes, count, &root, &fault));
    for (size_t i = 0; i < count; i++)
        set(&store, 0, changes[i].position, &changes[i].leaf);
    for (size_t i = 0; i < count + 50; i++) {
        uint64_t position = i < count ? changes[i].position : random_position(&random);
        size_t at = find(&store, 0, position);
        struct hash siblings[TREE_HEIGHT], leaf = {{0}}, got;

        if (at < store.count)
            leaf = store.nodes[at].hash;
        assert_ok(tree_path(hasher, &storage, position, siblings, &fault));
        assert_int_equal(tree_root_of_path(hasher, position, &leaf, siblings, &got), KAART_OK);
        assert_true(hash_equal(&got, &root));
        leaf = random_leaf(&random);
        assert_int_equal(tree_root_of_path(hasher, position, &leaf, siblings, &got), KAART_OK);
        assert_false(hash_equal(&got, &root));
    }
    assert_fault(tree_path(hasher, &storage, SEQ_MAX + 1, (struct hash[TREE_HEIGHT]){{{0}}}, &fault),
                 KAART_ORDER, "out of range");
    free(store.nodes);
}

static void test_order(void **state)
{
    struct random random = random_start("order");
    struct store store = {.count = 0};
    struct tree_storage storage = storage_of(&store);
    struct hash leaf = random_leaf(&random), root, zero = {{0}};
    struct tree_change changes[2] = {{5, leaf}, {5, leaf}};
    struct tree_builder *builder = tree_builder_new(hasher, NULL);

    (void)state;
    assert_fault(tree_update(hasher, &storage, changes, 2, &root, &fault), KAART_ORDER, "out of order");
    changes[1].position = 4;
    assert_fault(tree_update(hasher, &storage, changes, 2, &root, &fault), KAART_ORDER, "out of order");
    changes[0].position = SEQ_MAX + 1;
    assert_fault(tree_update(hasher, &storage, changes, 1, &root, &fault), KAART_ORDER, "range");
    assert_int_equal(store.stored, 0);
    assert_non_null(builder);
    assert_ok(tree_builder_add(builder, 0, &zero, &fault));
    assert_fault(tree_builder_add(builder, 0, &leaf, &fault), KAART_ORDER, "out of order");
    assert_ok(tree_builder_add(builder, SEQ_MAX, &leaf, &fault));
    assert_fault(tree_builder_add(builder, SEQ_MAX + 1, &leaf, &fault), KAART_ORDER, "range");
    assert_ok(tree_builder_finish(builder, &root, &fault));
    tree_builder_free(builder);
    tree_builder_free(NULL);
}

/* A store that fails at its n-th call fails the whole, with its own words. */
static void test_failing_store(void **state)
{
    struct random random = random_start("failing store");
    struct tree_change changes[3] = {
        {1, random_leaf(&random)}, {300, random_leaf(&random)}, {SEQ_MAX, random_leaf(&random)}};
    int n = 1;

    (void)state;
    for (;; n++) {
        struct store store = {.fail_after = n};
        struct tree_storage storage = storage_of(&store);
        struct hash root;
        int code = tree_update(hasher, &storage, changes, 3, &root, &fault);

        free(store.nodes);
        if (code == KAART_OK)
            break;
        assert_int_equal(code, KAART_IO);
        assert_string_equal(fault.text, "disk gone");
    }
    assert_in_range(n, 10, 40);
    for (int m = 1; m <= 4; m++) {
        struct store store = {.fail_after = m};
        struct tree_storage storage = storage_of(&store);
        struct tree_builder *builder = tree_builder_new(hasher, &storage);
        struct hash root;
        int code;

        code = tree_builder_add(builder, 1, &changes[0].leaf, &fault);
        if (code == KAART_OK)
            code = tree_builder_add(builder, SEQ_MAX, &changes[1].leaf, &fault);
        if (code == KAART_OK)
            code = tree_builder_finish(builder, &root, &fault);
        assert_int_equal(code, KAART_IO);
        tree_builder_free(builder);
        free(store.nodes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty), cmocka_unit_test(test_fold),  cmocka_unit_test(test_histories),
        cmocka_unit_test(test_paths), cmocka_unit_test(test_order), cmocka_unit_test(test_failing_store),
    };

    return cmocka_run_group_tests_name("tree", tests, setup, teardown);
}
