/*
 * test_vectors.c - spec/vectors/feed.json, made by an independent implementation, against protocol/.
 *
 * The file is looked for under $KAARTD_ROOT, or else the current directory (tests run from the source tree).
 */
#include "protocol/checkpoint.h"
#include "protocol/json.h"
#include "protocol/stream.h"
#include "protocol/tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static cJSON *vectors;
static struct hasher *hasher;
static struct verifier_key key;

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

static int setup(void **state)
{
    const char *root = getenv("KAARTD_ROOT");
    struct fault fault;
    const char *key_text;
    char path[4096];
    size_t size;
    char *text;

    (void)state;
    snprintf(path, sizeof path, "%s/spec/vectors/feed.json", root ? root : ".");
    text = read_file(path, &size);
    vectors = json_parse(text, size, &fault);
    if (!vectors)
        fail_msg("%s", fault.text);
    free(text);
    hasher = hasher_new();
    assert_non_null(hasher);
    key_text = cJSON_GetArrayItem(json_get(vectors, "keys"), 0)->valuestring;
    assert_int_equal(verifier_key_parse(key_text, strlen(key_text), &key, &fault), KAART_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cJSON_Delete(vectors);
    hasher_free(hasher);
    return 0;
}

static struct hash hash_of_hex(const char *text)
{
    struct hash hash;

    assert_int_equal(hex_decode(text, strlen(text), hash.bytes, HASH_SIZE), KAART_OK);
    return hash;
}

static void test_keys(void **state)
{
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
}

static void test_trees(void **state)
{
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
}

static void test_proofs(void **state)
{
    const char *feed = json_get_string(vectors, "feed");
    const cJSON *proof;

    (void)state;
    cJSON_ArrayForEach(proof, json_get(vectors, "proofs"))
    {
        const char *line = json_get_string(proof, "line"), *note = json_get_string(proof, "checkpoint");
        uint64_t position = (uint64_t)json_get(proof, "position")->valuedouble;
        struct hash siblings[TREE_HEIGHT], leaf, root;
        struct checkpoint checkpoint;
        struct entry entry;
        struct fault fault;

        for (int i = 0; i < TREE_HEIGHT; i++)
            siblings[i] = hash_of_hex(cJSON_GetArrayItem(json_get(proof, "siblings"), i)->valuestring);
        assert_int_equal(entry_parse(line, strlen(line), &entry, &fault), KAART_OK);
        assert_int_equal(entry.seq, position);
        assert_int_equal(checkpoint_open(note, strlen(note), feed, &key, 1, &checkpoint, &fault), KAART_OK);
        assert_int_equal(hasher_leaf(hasher, line, strlen(line), &leaf), KAART_OK);
        assert_int_equal(tree_root_of_path(hasher, position, &leaf, siblings, &root), KAART_OK);
        assert_memory_equal(root.bytes, checkpoint.root.bytes, HASH_SIZE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_trees),
        cmocka_unit_test(test_proofs),
    };

    return cmocka_run_group_tests_name("vectors", tests, setup, teardown);
}
