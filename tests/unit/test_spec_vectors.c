/*
 * test_spec_vectors.c - spec/vectors/{entries,trees,notes,checkpoints,streams,forks,proofs}.json against protocol/.
 *
 * They are made by tests/python/make_vectors.py from the second implementation, so that each side proves the
 * other. A file is looked for under $KAARTD_ROOT, or else the current directory (tests run from the source
 * tree).
 */
#include "protocol/checkpoint.h"
#include "protocol/json.h"
#include "protocol/proof.h"
#include "protocol/stream.h"
#include "protocol/tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* More keys than any vector file lists. */
#define KEYS_MAX 4

/* Stored nodes of the trees in the vectors: at most some 60 leaves x 4 heights, and as many leaves. */
#define NODES_MAX 1024

static struct hasher *hasher;

static int setup(void **state)
{
    (void)state;
    hasher = hasher_new();
    assert_non_null(hasher);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    hasher_free(hasher);
    return 0;
}

/* ---- reading the files ---- */

static cJSON *load(const char *name)
{
    const char *root = getenv("KAARTD_ROOT");
    struct fault fault;
    char path[4096];
    FILE *file;
    char *text;
    long size;
    cJSON *tree;

    snprintf(path, sizeof path, "%s/spec/vectors/%s", root ? root : ".", name);
    file = fopen(path, "rb");
    if (!file)
        fail_msg("cannot open %s: run from the source tree, or set KAARTD_ROOT", path);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    size = ftell(file);
    rewind(file);
    text = malloc((size_t)size + 1);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, (size_t)size, file), size);
    fclose(file);
    tree = json_parse(text, (size_t)size, &fault);
    free(text);
    if (!tree)
        fail_msg("%s: %s", path, fault.text);
    return tree;
}

static uint64_t number_of(const cJSON *object, const char *name)
{
    const cJSON *value = json_get(object, name);

    assert_true(cJSON_IsNumber(value));
    return (uint64_t)value->valuedouble;
}

/* A base64 member as bytes, with a NUL behind them; the caller frees it. */
static char *bytes_of(const cJSON *object, const char *name, size_t *size)
{
    const char *text = json_get_string(object, name);
    char *bytes;

    assert_non_null(text);
    *size = strlen(text);
    bytes = malloc(*size + 1);
    assert_non_null(bytes);
    assert_int_equal(base64_decode(text, strlen(text), bytes, size), KAART_OK);
    bytes[*size] = '\0';
    return bytes;
}

static struct hash hash_of(const char *hex)
{
    struct hash hash;

    assert_non_null(hex);
    assert_int_equal(hex_decode(hex, strlen(hex), hash.bytes, HASH_SIZE), KAART_OK);
    return hash;
}

static void path_of(const cJSON *array, struct hash siblings[TREE_HEIGHT])
{
    assert_int_equal(cJSON_GetArraySize(array), TREE_HEIGHT);
    for (int i = 0; i < TREE_HEIGHT; i++)
        siblings[i] = hash_of(cJSON_GetArrayItem(array, i)->valuestring);
}

static size_t keys_of(const cJSON *vectors, struct verifier_key keys[KEYS_MAX])
{
    const cJSON *text;
    size_t count = 0;

    cJSON_ArrayForEach(text, json_get(vectors, "keys"))
    {
        assert_true(count < KEYS_MAX);
        assert_int_equal(
            verifier_key_parse(text->valuestring, strlen(text->valuestring), &keys[count++], NULL), KAART_OK);
    }
    return count;
}

static const char *what(const cJSON *vector)
{
    return json_get_string(vector, "what");
}

/* A refusal names the clause that the vector says, or the plain grammar of JSON, which has no clause of ours.
 */
static void assert_clause(const cJSON *vector, const struct fault *fault)
{
    char clause[40];

    snprintf(clause, sizeof clause, "[%s]", json_get_string(vector, "clause"));
    if (!strstr(fault->text, clause) && !strstr(fault->text, "[RFC 8259]"))
        fail_msg("%s: \"%s\" does not name %s", what(vector), fault->text, clause);
}

/* ---- entries ---- */

static void check_good_entry(const cJSON *vector)
{
    size_t size;
    char *line = bytes_of(vector, "line_base64", &size), at[INSTANT_TEXT_SIZE + 1];
    struct hash leaf, wanted = hash_of(json_get_string(vector, "leaf"));
    struct fault fault;
    struct entry entry;

    if (entry_parse(line, size, &entry, &fault) != KAART_OK)
        fail_msg("%s: %s", what(vector), fault.text);
    assert_int_equal(entry.seq, number_of(vector, "seq"));
    assert_string_equal(entry_op_name(entry.op), json_get_string(vector, "op"));
    assert_string_equal(entry.kind, json_get_string(vector, "kind"));
    assert_string_equal(entry.id, json_get_string(vector, "id"));
    assert_string_equal(entry.source, json_get_string(vector, "source"));
    assert_string_equal(entry.role, json_get_string(vector, "role"));
    syntax_instant_format(entry.at_ms, at);
    assert_string_equal(at, json_get_string(vector, "at"));
    assert_int_equal(hasher_leaf(hasher, line, size, &leaf), KAART_OK);
    assert_true(hash_equal(&leaf, &wanted));
    free(line);
}

static void test_entries(void **state)
{
    cJSON *vectors = load("entries.json");
    const cJSON *vector;

    (void)state;
    cJSON_ArrayForEach(vector, json_get(vectors, "good")) check_good_entry(vector);
    cJSON_ArrayForEach(vector, json_get(vectors, "bad"))
    {
        struct fault fault = {""};
        struct entry entry;
        size_t size;
        char *line = bytes_of(vector, "line_base64", &size);

        if (entry_parse(line, size, &entry, &fault) == KAART_OK)
            fail_msg("accepted: %s [%s]", what(vector), json_get_string(vector, "clause"));
        assert_clause(vector, &fault);
        free(line);
    }
    cJSON_Delete(vectors);
}

/* ---- trees ---- */

struct node {
    unsigned height;
    uint64_t index;
    struct hash hash;
};

/* Leaves (height 0) and stored nodes, in no order. */
struct memory {
    struct node nodes[NODES_MAX];
    size_t count;
};

static void memory_put(struct memory *memory, unsigned height, uint64_t index, const struct hash *hash)
{
    struct node *node = memory->nodes, *end = node + memory->count;

    while (node < end && (node->height != height || node->index != index))
        node++;
    if (node == end) {
        if (hash_is_zero(hash))
            return;
        assert_true(memory->count < NODES_MAX);
        memory->count++;
    } else if (hash_is_zero(hash)) {
        *node = memory->nodes[--memory->count];
        return;
    }
    *node = (struct node){.height = height, .index = index, .hash = *hash};
}

static int memory_children(void *context, unsigned height, uint64_t index, struct hash out[TREE_FANOUT],
                           struct fault *fault)
{
    const struct memory *memory = context;

    (void)fault;
    memset(out, 0, TREE_FANOUT * sizeof *out);
    for (size_t i = 0; i < memory->count; i++) {
        const struct node *node = &memory->nodes[i];

        if (node->height == height - TREE_STEP && node->index / TREE_FANOUT == index)
            out[node->index % TREE_FANOUT] = node->hash;
    }
    return KAART_OK;
}

static int memory_store(void *context, unsigned height, uint64_t index, const struct hash *hash,
                        struct fault *fault)
{
    (void)fault;
    memory_put(context, height, index, hash);
    return KAART_OK;
}

static struct hash leaf_of(uint64_t position, uint64_t version)
{
    struct hash leaf;
    char line[64];
    int size = snprintf(line, sizeof line, "leaf %llu version %llu", (unsigned long long)position,
                        (unsigned long long)version);

    assert_int_equal(hasher_leaf(hasher, line, (size_t)size, &leaf), KAART_OK);
    return leaf;
}

/* Applies changes to leaves and stored nodes; the new root. */
static struct hash apply(struct memory *memory, const struct tree_change *changes, size_t count)
{
    struct tree_storage storage = {.context = memory, .children = memory_children, .store = memory_store};
    struct hash root;

    assert_int_equal(tree_update(hasher, &storage, changes, count, &root, NULL), KAART_OK);
    for (size_t i = 0; i < count; i++)
        memory_put(memory, 0, changes[i].position, &changes[i].leaf);
    return root;
}

static void check_paths(const cJSON *tree, struct memory *memory, const struct hash *root)
{
    struct tree_storage storage = {.context = memory, .children = memory_children, .store = NULL};
    const cJSON *path;

    cJSON_ArrayForEach(path, json_get(tree, "paths"))
    {
        struct hash wanted[TREE_HEIGHT], found[TREE_HEIGHT], leaf = {{0}}, led_to;
        uint64_t position = number_of(path, "position");

        for (size_t i = 0; i < memory->count; i++)
            if (memory->nodes[i].height == 0 && memory->nodes[i].index == position)
                leaf = memory->nodes[i].hash;
        path_of(json_get(path, "siblings"), wanted);
        assert_int_equal(tree_path(hasher, &storage, position, found, NULL), KAART_OK);
        assert_memory_equal(found, wanted, sizeof wanted);
        assert_int_equal(tree_root_of_path(hasher, position, &leaf, wanted, &led_to), KAART_OK);
        assert_true(hash_equal(&led_to, root));
    }
}

static void check_tree(const cJSON *tree)
{
    struct tree_builder *builder = tree_builder_new(hasher, NULL);
    const cJSON *positions = json_get(tree, "positions"), *position;
    size_t count = (size_t)cJSON_GetArraySize(positions), i = 0;
    struct tree_change *changes = calloc(count + 1, sizeof *changes);
    struct memory *memory = calloc(1, sizeof *memory);
    struct hash wanted = hash_of(json_get_string(tree, "root")), built, updated;

    assert_non_null(builder);
    assert_non_null(changes);
    assert_non_null(memory);
    cJSON_ArrayForEach(position, positions)
    {
        uint64_t number = (uint64_t)position->valuedouble;

        changes[i] =
            (struct tree_change){.position = number, .leaf = leaf_of(number, number_of(tree, "version"))};
        assert_int_equal(tree_builder_add(builder, number, &changes[i++].leaf, NULL), KAART_OK);
    }
    assert_int_equal(tree_builder_finish(builder, &built, NULL), KAART_OK);
    updated = apply(memory, changes, count);
    if (!hash_equal(&built, &wanted) || !hash_equal(&updated, &wanted))
        fail_msg("%s: another root", what(tree));
    check_paths(tree, memory, &wanted);
    tree_builder_free(builder);
    free(changes);
    free(memory);
}

static int by_position(const void *a, const void *b)
{
    uint64_t left = ((const struct tree_change *)a)->position,
             right = ((const struct tree_change *)b)->position;

    return (left > right) - (left < right);
}

static void test_trees(void **state)
{
    struct memory *memory = calloc(1, sizeof *memory);
    cJSON *vectors = load("trees.json");
    const cJSON *tree, *step, *change;

    (void)state;
    assert_non_null(memory);
    cJSON_ArrayForEach(tree, json_get(vectors, "trees")) check_tree(tree);
    cJSON_ArrayForEach(step, json_get(vectors, "changes"))
    {
        struct tree_change changes[32];
        struct hash wanted = hash_of(json_get_string(step, "root")), root;
        size_t count = 0;

        cJSON_ArrayForEach(change, json_get(step, "changes"))
        {
            uint64_t position = number_of(change, "position");

            assert_true(count < sizeof changes / sizeof *changes);
            changes[count] = (struct tree_change){.position = position};
            if (cJSON_IsNumber(json_get(change, "version")))
                changes[count].leaf = leaf_of(position, number_of(change, "version"));
            count++;
        }
        qsort(changes, count, sizeof *changes, by_position);
        root = apply(memory, changes, count);
        if (!hash_equal(&root, &wanted))
            fail_msg("%s: another root", what(step));
    }
    for (size_t i = 0; i < memory->count; i++) /* what died left no nodes behind */
        assert_int_equal(memory->nodes[i].height, 0);
    free(memory);
    cJSON_Delete(vectors);
}

/* ---- notes and keys ---- */

static int open_vector(const cJSON *vector, const struct verifier_key *keys, char **note, size_t *text_size,
                       struct fault *fault)
{
    struct verifier_key chosen[KEYS_MAX];
    const cJSON *index;
    size_t count = 0, size;

    cJSON_ArrayForEach(index, json_get(vector, "keys")) chosen[count++] = keys[index->valueint];
    *note = bytes_of(vector, "note_base64", &size);
    return note_open(*note, size, chosen, count, text_size, fault);
}

static void check_signing(const cJSON *vector)
{
    const char *private = json_get_string(vector, "private");
    char text[SIGNING_KEY_TEXT_SIZE], *note, *wanted, *to_sign;
    size_t note_size, wanted_size, text_size;
    struct signing_key key;
    struct fault fault;

    assert_int_equal(signing_key_parse(private, strlen(private), &key, &fault), KAART_OK);
    signing_key_format(&key, text);
    assert_string_equal(text, private);
    verifier_key_format(&key.verifier, text);
    assert_string_equal(text, json_get_string(vector, "public"));
    to_sign = bytes_of(vector, "text_base64", &text_size);
    wanted = bytes_of(vector, "note_base64", &wanted_size);
    assert_int_equal(note_sign(to_sign, text_size, &key, 1, &note, &note_size, &fault), KAART_OK);
    assert_int_equal(note_size, wanted_size);
    assert_memory_equal(note, wanted, wanted_size);
    free(to_sign);
    free(wanted);
    free(note);
}

static void test_notes(void **state)
{
    cJSON *vectors = load("notes.json");
    struct verifier_key keys[KEYS_MAX];
    const cJSON *vector;

    (void)state;
    keys_of(vectors, keys);
    cJSON_ArrayForEach(vector, json_get(vectors, "good"))
    {
        size_t text_size, wanted_size;
        struct fault fault;
        char *note, *wanted = bytes_of(vector, "text_base64", &wanted_size);

        if (open_vector(vector, keys, &note, &text_size, &fault) != KAART_OK)
            fail_msg("%s: %s", what(vector), fault.text);
        assert_int_equal(text_size, wanted_size);
        assert_memory_equal(note, wanted, wanted_size);
        free(note);
        free(wanted);
    }
    cJSON_ArrayForEach(vector, json_get(vectors, "bad"))
    {
        struct fault fault = {""};
        size_t text_size;
        char *note;

        if (open_vector(vector, keys, &note, &text_size, &fault) == KAART_OK)
            fail_msg("accepted: %s [%s]", what(vector), json_get_string(vector, "clause"));
        assert_clause(vector, &fault);
        free(note);
    }
    cJSON_ArrayForEach(vector, json_get(vectors, "bad_keys"))
    {
        const char *text = json_get_string(vector, "text");
        struct verifier_key key;

        if (verifier_key_parse(text, strlen(text), &key, NULL) != KAART_KEY)
            fail_msg("accepted as a key: %s", what(vector));
    }
    cJSON_ArrayForEach(vector, json_get(vectors, "signing")) check_signing(vector);
    cJSON_Delete(vectors);
}

/* ---- checkpoints ---- */

static int open_checkpoint(const cJSON *vectors, const cJSON *vector, const char *member,
                           struct checkpoint *out, struct fault *fault)
{
    struct verifier_key keys[KEYS_MAX];
    size_t count = keys_of(vectors, keys), size;
    char *note = bytes_of(vector, member, &size);
    int code = checkpoint_open(note, size, json_get_string(vectors, "feed"), keys, count, out, fault);

    free(note);
    return code;
}

static void check_checkpoint(const cJSON *vectors, const cJSON *vector)
{
    struct hash root = hash_of(json_get_string(vector, "root"));
    char time[SECONDS_TEXT_SIZE + 1];
    struct checkpoint found;
    struct fault fault;

    if (open_checkpoint(vectors, vector, "note_base64", &found, &fault) != KAART_OK)
        fail_msg("%s: %s", what(vector), fault.text);
    assert_int_equal(found.epoch, number_of(vector, "epoch"));
    assert_int_equal(found.size, number_of(vector, "size"));
    assert_int_equal(found.live, number_of(vector, "live"));
    assert_int_equal(found.floor, number_of(vector, "floor"));
    assert_true(hash_equal(&found.root, &root));
    syntax_seconds_format(found.time_s, time);
    assert_string_equal(time, json_get_string(vector, "time"));
}

static const char *relation_name(enum checkpoint_relation relation)
{
    static const char *const names[] = {
        [CHECKPOINT_SAME] = "same", [CHECKPOINT_HEARTBEAT] = "heartbeat", [CHECKPOINT_NEWER] = "newer",
        [CHECKPOINT_FULL] = "full", [CHECKPOINT_BEHIND] = "behind",       [CHECKPOINT_FORK] = "fork",
    };

    return names[relation];
}

static void test_checkpoints(void **state)
{
    cJSON *vectors = load("checkpoints.json");
    struct checkpoint held, offered;
    struct fault fault = {""};
    const cJSON *vector;

    (void)state;
    cJSON_ArrayForEach(vector, json_get(vectors, "good")) check_checkpoint(vectors, vector);
    cJSON_ArrayForEach(vector, json_get(vectors, "bad"))
    {
        if (open_checkpoint(vectors, vector, "note_base64", &held, &fault) == KAART_OK)
            fail_msg("accepted: %s [%s]", what(vector), json_get_string(vector, "clause"));
        assert_clause(vector, &fault);
    }
    cJSON_ArrayForEach(vector, json_get(vectors, "relations"))
    {
        const char *found;

        assert_int_equal(open_checkpoint(vectors, vector, "held_base64", &held, &fault), KAART_OK);
        assert_int_equal(open_checkpoint(vectors, vector, "offered_base64", &offered, &fault), KAART_OK);
        found = relation_name(checkpoint_compare(&held, &offered));
        if (strcmp(found, json_get_string(vector, "expect")) != 0)
            fail_msg("%s: %s", what(vector), found);
    }
    cJSON_Delete(vectors);
}

/* ---- streams ---- */

struct seen {
    uint64_t entries, next;
    bool checkpoint, continues;
};

static int saw_entry(void *context, const struct entry *entry, const char *line, size_t size,
                     struct fault *fault)
{
    (void)entry;
    (void)line;
    (void)size;
    (void)fault;
    ((struct seen *)context)->entries++;
    return KAART_OK;
}

static int saw_checkpoint(void *context, const char *note, size_t size, struct fault *fault)
{
    (void)note;
    (void)size;
    (void)fault;
    ((struct seen *)context)->checkpoint = true;
    return KAART_OK;
}

static int saw_next(void *context, uint64_t since, struct fault *fault)
{
    (void)fault;
    ((struct seen *)context)->next = since;
    ((struct seen *)context)->continues = true;
    return KAART_OK;
}

/* Hands a stream over in pieces of `piece` bytes. */
static int read_vector(const cJSON *vector, size_t piece, struct seen *seen, struct fault *fault)
{
    struct stream_events events = {
        .context = seen, .entry = saw_entry, .checkpoint = saw_checkpoint, .next = saw_next};
    struct stream_reader *reader = stream_reader_new(number_of(vector, "since"), 0, &events);
    size_t size, at = 0;
    char *bytes = bytes_of(vector, "stream_base64", &size);
    int code = KAART_OK;

    assert_non_null(reader);
    *seen = (struct seen){0};
    for (; at < size && code == KAART_OK; at += piece)
        code = stream_reader_write(reader, bytes + at, piece < size - at ? piece : size - at, fault);
    if (code == KAART_OK)
        code = stream_reader_finish(reader, fault);
    stream_reader_free(reader);
    free(bytes);
    return code;
}

static void test_streams(void **state)
{
    static const size_t pieces[] = {1, 7, 4096, SIZE_MAX / 2};
    cJSON *vectors = load("streams.json");
    const cJSON *vector;

    (void)state;
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        struct fault fault = {""};
        struct seen seen;

        cJSON_ArrayForEach(vector, json_get(vectors, "good"))
        {
            bool continues = cJSON_IsNumber(json_get(vector, "next"));

            if (read_vector(vector, pieces[i], &seen, &fault) != KAART_OK)
                fail_msg("%s: %s", what(vector), fault.text);
            assert_int_equal(seen.entries, number_of(vector, "entries"));
            assert_int_equal(seen.checkpoint, !continues);
            assert_int_equal(seen.continues, continues);
            if (continues)
                assert_int_equal(seen.next, number_of(vector, "next"));
        }
        cJSON_ArrayForEach(vector, json_get(vectors, "bad"))
        {
            if (read_vector(vector, pieces[i], &seen, &fault) == KAART_OK)
                fail_msg("accepted: %s [%s]", what(vector), json_get_string(vector, "clause"));
            assert_true(fault.text[0] != '\0');
        }
    }
    cJSON_Delete(vectors);
}

/* ---- proofs of a fork ---- */

/* [DEATH-3] (d): whether the two notes and the position's leaves and paths prove that a dead position rose
 * again. */
static bool proves(const cJSON *vectors, const cJSON *proof)
{
    static const char *const sides[] = {"shorter", "longer"};
    struct hash leaves[2];

    for (size_t i = 0; i < 2; i++) {
        const cJSON *side = json_get(proof, sides[i]);
        struct hash siblings[TREE_HEIGHT], root;
        struct checkpoint checkpoint;

        assert_int_equal(open_checkpoint(vectors, side, "note_base64", &checkpoint, NULL), KAART_OK);
        leaves[i] = hash_of(json_get_string(side, "leaf"));
        path_of(json_get(side, "siblings"), siblings);
        assert_int_equal(tree_root_of_path(hasher, number_of(proof, "position"), &leaves[i], siblings, &root),
                         KAART_OK);
        assert_true(hash_equal(&root, &checkpoint.root));
    }
    return !hash_is_zero(&leaves[1]) && !hash_equal(&leaves[0], &leaves[1]);
}

static void test_fork_proofs(void **state)
{
    cJSON *vectors = load("forks.json");
    const cJSON *proof;

    (void)state;
    cJSON_ArrayForEach(proof, json_get(vectors, "proofs"))
        assert_int_equal(proves(vectors, proof), cJSON_IsTrue(json_get(proof, "proves")));
    cJSON_Delete(vectors);
}

/* ---- proofs as text ---- */

static int verify_claim(const cJSON *vectors, const cJSON *vector, struct claim_proof *out, char **text,
                        struct fault *fault)
{
    struct verifier_key keys[KEYS_MAX];
    size_t count = keys_of(vectors, keys), size;

    *text = bytes_of(vector, "text_base64", &size);
    return claim_proof_verify(*text, size, keys, count, out, fault);
}

static int verify_fork(const cJSON *vectors, const cJSON *vector, struct fork_proof *out, struct fault *fault)
{
    struct verifier_key keys[KEYS_MAX];
    size_t count = keys_of(vectors, keys), size;
    char *text = bytes_of(vector, "text_base64", &size);
    int code = fork_proof_verify(text, size, keys, count, out, fault);

    free(text);
    return code;
}

static void test_claim_proofs(void **state)
{
    cJSON *vectors = load("proofs.json");
    struct claim_proof *proof = calloc(1, sizeof *proof);
    const cJSON *vector;
    char *text;

    (void)state;
    assert_non_null(proof);
    cJSON_ArrayForEach(vector, json_get(vectors, "claims"))
    {
        struct fault fault;

        if (verify_claim(vectors, vector, proof, &text, &fault) != KAART_OK)
            fail_msg("%s: %s", what(vector), fault.text);
        assert_int_equal(proof->position, number_of(vector, "position"));
        assert_int_equal(proof->line.data == NULL, cJSON_IsTrue(json_get(vector, "dead")));
        free(text);
    }
    cJSON_ArrayForEach(vector, json_get(vectors, "bad"))
    {
        struct fault fault = {""};

        if (verify_claim(vectors, vector, proof, &text, &fault) == KAART_OK)
            fail_msg("accepted: %s [%s]", what(vector), json_get_string(vector, "clause"));
        assert_true(fault.text[0] != '\0');
        free(text);
    }
    free(proof);
    cJSON_Delete(vectors);
}

static void test_fork_texts(void **state)
{
    cJSON *vectors = load("proofs.json");
    struct fork_proof *proof = calloc(1, sizeof *proof);
    const cJSON *vector;

    (void)state;
    assert_non_null(proof);
    cJSON_ArrayForEach(vector, json_get(vectors, "forks"))
    {
        bool positioned = cJSON_IsNumber(json_get(vector, "position"));
        struct fault fault;

        if (verify_fork(vectors, vector, proof, &fault) != KAART_OK)
            fail_msg("%s: %s", what(vector), fault.text);
        assert_int_equal(proof->with_position, positioned);
        if (positioned)
            assert_int_equal(proof->position, number_of(vector, "position"));
    }
    cJSON_ArrayForEach(vector, json_get(vectors, "bad_forks"))
    {
        struct fault fault = {""};

        if (verify_fork(vectors, vector, proof, &fault) == KAART_OK)
            fail_msg("accepted: %s [%s]", what(vector), json_get_string(vector, "clause"));
        assert_true(fault.text[0] != '\0');
    }
    free(proof);
    cJSON_Delete(vectors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_entries),      cmocka_unit_test(test_trees),
        cmocka_unit_test(test_notes),        cmocka_unit_test(test_checkpoints),
        cmocka_unit_test(test_streams),      cmocka_unit_test(test_fork_proofs),
        cmocka_unit_test(test_claim_proofs), cmocka_unit_test(test_fork_texts),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
