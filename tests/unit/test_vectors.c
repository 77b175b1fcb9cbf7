/*
 * test_vectors.c - spec/vectors/feed.json, made by an independent implementation, against protocol/; and the
 * parts of the other files that take a whole subscriber. test_spec_vectors.c does the rest of those.
 *
 * The file is looked for under $KAARTD_ROOT, or else the current directory (tests run from the source tree).
 */
#include "protocol/checkpoint.h"
#include "protocol/json.h"
#include "protocol/proof.h"
#include "protocol/replica.h"
#include "protocol/stream.h"
#include "protocol/tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct hasher *hasher;

static char *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    char *text = NULL;

    if (!file)
        fail_msg("cannot open %s: run from the source tree, or set KAARTD_ROOT", path);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    *size = (size_t)ftell(file);
    rewind(file);
    text = malloc(*size + 1);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, *size, file), *size);
    text[*size] = '\0';
    fclose(file);
    return text;
}

static cJSON *load(const char *name)
{
    const char *root = getenv("KAARTD_ROOT");
    struct fault fault;
    char path[4096];
    size_t size;
    char *text;
    cJSON *vectors;

    snprintf(path, sizeof path, "%s/spec/vectors/%s", root ? root : ".", name);
    text = read_file(path, &size);
    vectors = json_parse(text, size, &fault);
    if (!vectors)
        fail_msg("%s: %s", path, fault.text);
    free(text);
    return vectors;
}

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

/* The configured keys of a file. */
static size_t load_keys(const cJSON *vectors, struct verifier_key keys[FEED_KEYS_MAX])
{
    const cJSON *item;
    size_t count = 0;

    cJSON_ArrayForEach(item, json_get(vectors, "keys"))
    {
        struct fault fault;

        assert_in_range(count, 0, FEED_KEYS_MAX - 1);
        assert_int_equal(
            verifier_key_parse(item->valuestring, strlen(item->valuestring), &keys[count++], &fault),
            KAART_OK);
    }
    return count;
}

/* Bytes in base64; malloc'ed. */
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

static uint64_t number_of(const cJSON *object, const char *name)
{
    assert_true(cJSON_IsNumber(json_get(object, name)));
    return (uint64_t)json_get(object, name)->valuedouble;
}

static struct hash hash_of_hex(const char *text)
{
    struct hash hash;

    assert_int_equal(hex_decode(text, strlen(text), hash.bytes, HASH_SIZE), KAART_OK);
    return hash;
}

/* ---- feed.json ---- */

static void test_keys(void **state)
{
    cJSON *vectors = load("feed.json");
    const char *seed_text = json_get_string(vectors, "seed");
    struct signing_key signing;
    uint8_t seed[ED25519_SIZE];
    char text[VERIFIER_KEY_TEXT_SIZE];
    struct fault fault;

    (void)state;
    assert_int_equal(hex_decode(seed_text, strlen(seed_text), seed, sizeof seed), KAART_OK);
    assert_int_equal(signing_key_from_seed(json_get_string(vectors, "feed"), seed, &signing, &fault),
                     KAART_OK);
    verifier_key_format(&signing.verifier, text);
    assert_string_equal(text, cJSON_GetArrayItem(json_get(vectors, "keys"), 0)->valuestring);
    cJSON_Delete(vectors);
}

static void test_trees(void **state)
{
    cJSON *vectors = load("feed.json");
    const cJSON *tree, *position;

    (void)state;
    cJSON_ArrayForEach(tree, json_get(vectors, "trees"))
    {
        struct tree_builder *builder = tree_builder_new(hasher, NULL);
        struct hash wanted = hash_of_hex(json_get_string(tree, "root")), root;
        struct fault fault;

        assert_non_null(builder);
        cJSON_ArrayForEach(position, json_get(tree, "positions"))
        {
            uint64_t number = (uint64_t)position->valuedouble;
            struct hash leaf;
            char line[64];
            int size = snprintf(line, sizeof line, "leaf %llu", (unsigned long long)number);

            assert_int_equal(hasher_leaf(hasher, line, (size_t)size, &leaf), KAART_OK);
            assert_int_equal(tree_builder_add(builder, number, &leaf, &fault), KAART_OK);
        }
        assert_int_equal(tree_builder_finish(builder, &root, &fault), KAART_OK);
        assert_memory_equal(root.bytes, wanted.bytes, HASH_SIZE);
        tree_builder_free(builder);
    }
    cJSON_Delete(vectors);
}

/* The same proof as text [PROOF-1] to [PROOF-3]. */
static void check_claim_text(const char *line, const char *note, const struct hash siblings[TREE_HEIGHT],
                             const struct verifier_key *keys, size_t key_count)
{
    struct claim_proof proof = {.line = {line, strlen(line)}, .note = {note, strlen(note)}}, back;
    struct fault fault;
    char *text;
    size_t size;

    assert_int_equal(entry_parse(line, strlen(line), &proof.entry, &fault), KAART_OK);
    proof.position = proof.entry.seq;
    memcpy(proof.siblings, siblings, sizeof proof.siblings);
    assert_int_equal(claim_proof_format(&proof, &text, &size), KAART_OK);
    assert_int_equal(claim_proof_verify(text, size, keys, key_count, &back, &fault), KAART_OK);
    assert_int_equal(back.position, proof.position);
    free(text);
}

static void test_proofs(void **state)
{
    cJSON *vectors = load("feed.json");
    const char *feed = json_get_string(vectors, "feed");
    struct verifier_key keys[FEED_KEYS_MAX];
    size_t key_count = load_keys(vectors, keys);
    const cJSON *proof;

    (void)state;
    cJSON_ArrayForEach(proof, json_get(vectors, "proofs"))
    {
        const char *line = json_get_string(proof, "line"), *note = json_get_string(proof, "checkpoint");
        uint64_t position = number_of(proof, "position");
        struct hash siblings[TREE_HEIGHT], leaf, root;
        struct checkpoint checkpoint;
        struct entry entry;
        struct fault fault;

        for (int i = 0; i < TREE_HEIGHT; i++)
            siblings[i] = hash_of_hex(cJSON_GetArrayItem(json_get(proof, "siblings"), i)->valuestring);
        assert_int_equal(entry_parse(line, strlen(line), &entry, &fault), KAART_OK);
        assert_int_equal(entry.seq, position);
        assert_int_equal(checkpoint_open(note, strlen(note), feed, keys, key_count, &checkpoint, &fault),
                         KAART_OK);
        assert_int_equal(hasher_leaf(hasher, line, strlen(line), &leaf), KAART_OK);
        assert_int_equal(tree_root_of_path(hasher, position, &leaf, siblings, &root), KAART_OK);
        assert_memory_equal(root.bytes, checkpoint.root.bytes, HASH_SIZE);
        check_claim_text(line, note, siblings, keys, key_count);
    }
    cJSON_Delete(vectors);
}

static struct replica *new_subscriber(const cJSON *vectors)
{
    struct verifier_key keys[FEED_KEYS_MAX];
    size_t key_count = load_keys(vectors, keys);
    struct replica *replica = replica_new(json_get_string(vectors, "feed"), keys, key_count);

    assert_non_null(replica);
    return replica;
}

/* Offers each step, and compares what comes of it. Whatever is not applied leaves the head as it was. */
static void follow(struct replica *replica, const cJSON *steps)
{
    const cJSON *step;

    cJSON_ArrayForEach(step, steps)
    {
        struct checkpoint before = {.size = 0};
        const char *expect = json_get_string(step, "expect"), *got;
        struct fault fault = {""};
        size_t size;
        char *stream = bytes_of(step, "stream_base64", &size);
        enum replica_outcome outcome;

        if (replica_head(replica))
            before = *replica_head(replica);
        outcome = replica_offer(replica, stream, size, cJSON_IsTrue(json_get(step, "full")), NULL, &fault);
        got = replica_outcome_name(outcome);
        /* feed.json says "refused" for a fork as well */
        if (strcmp(got, expect) != 0 && !(outcome == REPLICA_FORK && strcmp(expect, "refused") == 0))
            fail_msg("%s: %s, not %s: %s", json_get_string(step, "what"), got, expect, fault.text);
        if (outcome != REPLICA_APPLIED && replica_head(replica))
            assert_memory_equal(&before.root, &replica_head(replica)->root, sizeof before.root);
        free(stream);
    }
}

/* The steps of feed.json go on after a fork as if it had only been refused, so each run leaves it out or ends
 * there. */
static void test_steps(void **state)
{
    cJSON *vectors = load("feed.json"), *steps = cJSON_GetObjectItemCaseSensitive(vectors, "steps"), *step,
          *next;
    struct replica *replica = new_subscriber(vectors);
    cJSON *until_fork = cJSON_CreateArray();
    bool forked = false;

    (void)state;
    for (step = steps->child; step; step = next) {
        next = step->next;
        if (!forked)
            cJSON_AddItemToArray(until_fork, cJSON_Duplicate(step, true));
        if (strncmp(json_get_string(step, "what"), "fork", 4) == 0) {
            cJSON_Delete(cJSON_DetachItemViaPointer(steps, step));
            forked = true;
        }
    }
    assert_true(forked);
    follow(replica, until_fork);
    assert_true(replica_frozen(replica));
    replica_free(replica);

    replica = new_subscriber(vectors);
    follow(replica, steps);
    assert_false(replica_frozen(replica));
    replica_free(replica);
    cJSON_Delete(until_fork);
    cJSON_Delete(vectors);
}

static void test_bad(void **state)
{
    cJSON *vectors = load("feed.json");
    const cJSON *bad;

    (void)state;
    cJSON_ArrayForEach(bad, json_get(vectors, "bad"))
    {
        struct replica *replica = new_subscriber(vectors);
        struct fault fault = {""};
        int code = KAART_OK;
        size_t size;
        char *stream = bytes_of(bad, "stream_base64", &size);

        if (replica_offer(replica, stream, size, true, &code, &fault) != REPLICA_REFUSED)
            fail_msg("%s: not refused", json_get_string(bad, "what"));
        assert_int_not_equal(code, KAART_OK);
        assert_string_not_equal(fault.text, "");
        assert_null(replica_head(replica));
        free(stream);
        replica_free(replica);
    }
    cJSON_Delete(vectors);
}

/* ---- whole feeds, from the other files ---- */

/* What a new subscriber must refuse though its grammar is right, each for its clause. */
static void test_lies(void **state)
{
    cJSON *vectors = load("streams.json");
    const cJSON *vector;

    (void)state;
    cJSON_ArrayForEach(vector, json_get(vectors, "lies"))
    {
        struct replica *replica = new_subscriber(vectors);
        struct fault fault = {""};
        char wanted[40];
        size_t size;
        char *stream = bytes_of(vector, "stream_base64", &size);

        if (replica_offer(replica, stream, size, true, NULL, &fault) != REPLICA_REFUSED)
            fail_msg("%s: not refused", json_get_string(vector, "what"));
        snprintf(wanted, sizeof wanted, "[%s]", json_get_string(vector, "clause"));
        assert_non_null(strstr(fault.text, wanted));
        assert_null(replica_head(replica));
        free(stream);
        replica_free(replica);
    }
    cJSON_Delete(vectors);
}

static void test_forks(void **state)
{
    cJSON *vectors = load("forks.json");
    const cJSON *vector;

    (void)state;
    cJSON_ArrayForEach(vector, json_get(vectors, "histories"))
    {
        struct replica *replica = new_subscriber(vectors);

        follow(replica, json_get(vector, "steps"));
        replica_free(replica);
    }
    cJSON_Delete(vectors);
}

/* One side of a fork's proof. The note is malloc'ed. */
static void read_side(const cJSON *vector, struct fork_side *side)
{
    side->note.data = bytes_of(vector, "note_base64", &side->note.size);
    side->leaf = hash_of_hex(json_get_string(vector, "leaf"));
    for (int i = 0; i < TREE_HEIGHT; i++)
        side->siblings[i] = hash_of_hex(cJSON_GetArrayItem(json_get(vector, "siblings"), i)->valuestring);
}

/* [DEATH-3] (d), as text [PROOF-5] */
static void test_fork_proofs(void **state)
{
    cJSON *vectors = load("forks.json");
    struct verifier_key keys[FEED_KEYS_MAX];
    size_t key_count = load_keys(vectors, keys);
    const cJSON *vector;

    (void)state;
    cJSON_ArrayForEach(vector, json_get(vectors, "proofs"))
    {
        struct fork_proof proof = {.with_position = true, .position = number_of(vector, "position")}, back;
        bool proves = cJSON_IsTrue(json_get(vector, "proves"));
        struct fault fault;
        char *text;
        size_t size;

        read_side(json_get(vector, "shorter"), &proof.shorter);
        read_side(json_get(vector, "longer"), &proof.longer);
        assert_int_equal(fork_proof_format(&proof, &text, &size), KAART_OK);
        assert_int_equal(fork_proof_verify(text, size, keys, key_count, &back, &fault),
                         proves ? KAART_OK : KAART_INVALID);
        free(text);
        free((void *)proof.shorter.note.data);
        free((void *)proof.longer.note.data);
    }
    cJSON_Delete(vectors);
}

/* A copy in several responses: the entries of all, then the checkpoint of the last [STREAM-6]. */
static void test_pages(void **state)
{
    cJSON *vectors = load("forks.json");
    const cJSON *vector, *page;

    (void)state;
    cJSON_ArrayForEach(vector, json_get(vectors, "pages"))
    {
        struct replica *replica = new_subscriber(vectors);
        struct fault fault;
        char *stream = calloc(1, 1 << 20), *next;
        size_t used = 0;

        assert_non_null(stream);
        cJSON_ArrayForEach(page, json_get(vector, "pages_base64"))
        {
            size_t size = (1 << 20) - used;

            assert_int_equal(
                base64_decode(page->valuestring, strlen(page->valuestring), stream + used, &size), KAART_OK);
            used += size;
            next = page->next ? strstr(stream, "{\"next\"") : NULL;
            if (next) /* a page ends with it; there is only one in what was read so far */
                used = (size_t)(next - stream);
        }
        if (replica_offer(replica, stream, used, true, NULL, &fault) != REPLICA_APPLIED)
            fail_msg("%s: %s", json_get_string(vector, "what"), fault.text);
        assert_int_equal(replica_live(replica), number_of(vector, "live"));
        replica_free(replica);
        free(stream);
    }
    cJSON_Delete(vectors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),  cmocka_unit_test(test_trees), cmocka_unit_test(test_proofs),
        cmocka_unit_test(test_steps), cmocka_unit_test(test_bad),   cmocka_unit_test(test_lies),
        cmocka_unit_test(test_forks), cmocka_unit_test(test_pages), cmocka_unit_test(test_fork_proofs),
    };

    return cmocka_run_group_tests_name("vectors", tests, setup, teardown);
}
