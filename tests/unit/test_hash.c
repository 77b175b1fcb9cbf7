/* test_hash.c - hashes of leaves and nodes, base64, hexadecimal. */
#include "protocol/hash.h"
#include "tests/unit/unit.h"

static struct hasher *hasher;

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
    hasher_free(NULL);
    return 0;
}

static void assert_hex(const struct hash *hash, const char *wanted)
{
    char text[2 * HASH_SIZE + 1];

    hex_encode(hash->bytes, HASH_SIZE, text);
    assert_string_equal(text, wanted);
}

/* FIPS 180-2 examples; the context is used again and again. */
static void test_digest(void **state)
{
    struct hash hash;

    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(hasher_digest(hasher, "", 0, &hash), KAART_OK);
        assert_hex(&hash, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_int_equal(hasher_digest(hasher, "abc", 3, &hash), KAART_OK);
        assert_hex(&hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}

/* [TREE-1], and the two leaves of the worked example in spec/feed.md */
static void test_leaf(void **state)
{
    struct hash leaf, wanted;

    (void)state;
    assert_int_equal(hasher_leaf(hasher, "leaf 0", 6, &leaf), KAART_OK);
    assert_hex(&leaf, "1bb97dcc21635d47e2663efdfd0a174686d98dd701352dd2cd06e8b43fd3d305");
    assert_int_equal(hasher_digest(hasher, "\0leaf 0", 7, &wanted), KAART_OK);
    assert_true(hash_equal(&leaf, &wanted));
    assert_int_equal(hasher_leaf(hasher, "", 0, &leaf), KAART_OK);
    assert_hex(&leaf, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
}

/* [TREE-2] */
static void test_node(void **state)
{
    struct hash left, right, node, zero = {{0}};

    (void)state;
    assert_int_equal(hasher_leaf(hasher, "leaf 0", 6, &left), KAART_OK);
    assert_int_equal(hasher_leaf(hasher, "leaf 1", 6, &right), KAART_OK);
    assert_int_equal(hasher_node(hasher, &left, &right, &node), KAART_OK);
    assert_hex(&node, "fc5f6b88ff8554f75bb2f9e6f39c31b1936d44b69276edf7b1205a955b9761e3");
    assert_int_equal(hasher_node(hasher, &left, &right, &left), KAART_OK); /* in place */
    assert_true(hash_equal(&left, &node));
    assert_int_equal(hasher_node(hasher, &zero, &zero, &node), KAART_OK);
    assert_true(hash_is_zero(&node));
    assert_int_equal(hasher_node(hasher, &left, &zero, &node), KAART_OK);
    assert_false(hash_is_zero(&node));
    assert_int_equal(hasher_node(hasher, &zero, &left, &right), KAART_OK);
    assert_false(hash_equal(&node, &right));
}

static void test_zero(void **state)
{
    (void)state;
    for (size_t i = 0; i < HASH_SIZE; i++) {
        struct hash hash = {{0}};

        assert_true(hash_is_zero(&hash));
        hash.bytes[i] = 0x80;
        assert_false(hash_is_zero(&hash));
    }
}

/* RFC 4648 section 10 */
static void test_base64(void **state)
{
    static const char *const texts[] = {"", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
    char text[16], data[16];

    (void)state;
    for (size_t i = 0; i <= 6; i++) {
        size_t size = sizeof data;

        assert_int_equal(base64_encode("foobar", i, text), base64_size(i));
        assert_string_equal(text, texts[i]);
        assert_int_equal(base64_decode(text, strlen(text), data, &size), KAART_OK);
        assert_int_equal(size, i);
        assert_memory_equal(data, "foobar", i);
    }
}

static void test_base64_round_trip(void **state)
{
    struct random random = random_start("base64");
    uint8_t data[100], back[100];
    char text[140];

    (void)state;
    for (int round = 0; round < 1000; round++) {
        size_t size = random_below(&random, sizeof data + 1), back_size = size, length;

        for (size_t i = 0; i < size; i++)
            data[i] = (uint8_t)random_next(&random);
        length = base64_encode(data, size, text);
        assert_int_equal(base64_decode(text, length, back, &back_size), KAART_OK);
        assert_int_equal(back_size, size);
        assert_memory_equal(back, data, size);
        if (size > 0) { /* no room for the last byte */
            back_size = size - 1;
            assert_int_equal(base64_decode(text, length, back, &back_size), KAART_SYNTAX);
        }
    }
}

static void test_base64_strict(void **state)
{
    static const char *const bad[] = {
        "Z",    "Zg",     "Zg=",   "Zg===", "=",    "====",       "Z===", "Zh==",     "Zm9=",    "Zm8=Zm8=",
        "Zg= ", "Zg==\n", " Zg==", "Zm9\n", "Zm-_", "Zm\xc3\xa9", "Z=g=", "Zg==Zg==", "Zm9vZg=A"};
    char data[16];

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        size_t size = sizeof data;

        if (base64_decode(bad[i], strlen(bad[i]), data, &size) != KAART_SYNTAX)
            fail_msg("accepted \"%s\"", bad[i]);
    }
}

static void test_hex(void **state)
{
    uint8_t data[2];
    char text[5];

    (void)state;
    hex_encode("\x0a\xff", 2, text);
    assert_string_equal(text, "0aff");
    assert_int_equal(hex_decode("0aff", 4, data, 2), KAART_OK);
    assert_memory_equal(data, "\x0a\xff", 2);
    assert_int_equal(hex_decode("0aFF", 4, data, 2), KAART_SYNTAX);
    assert_int_equal(hex_decode("0af", 3, data, 2), KAART_SYNTAX);
    assert_int_equal(hex_decode("0affff", 6, data, 2), KAART_SYNTAX);
    assert_int_equal(hex_decode("0afg", 4, data, 2), KAART_SYNTAX);
    assert_int_equal(hex_decode("", 0, data, 0), KAART_OK);
}

/* What strangers sent must not reach a terminal or a log as control characters or broken UTF-8. */
static void test_fault_text(void **state)
{
    struct fault fault;
    char wide[2000];

    (void)state;
    assert_int_equal(fault_set(&fault, KAART_SYNTAX, "a\n\x1b[1m\x7f\xc2\x9b \xc3\xa9 \xff."), KAART_SYNTAX);
    assert_string_equal(fault.text, "a??[1m?? \xc3\xa9 ?.");
    fault_prefix(&fault, "feed %d", 3);
    assert_string_equal(fault.text, "feed 3: a??[1m?? \xc3\xa9 ?.");
    memset(wide, 'x', sizeof wide - 1);
    wide[sizeof wide - 1] = '\0';
    memcpy(wide + sizeof fault.text - 2, "\xe2\x82\xac", 3); /* cut by the end of the buffer */
    fault_set(&fault, KAART_IO, "%s", wide);
    assert_int_equal(strlen(fault.text), sizeof fault.text - 1);
    assert_int_equal(fault.text[sizeof fault.text - 2], '?');
    fault_prefix(&fault, "%s", wide);
    assert_int_equal(strlen(fault.text), sizeof fault.text - 1);
    fault_set(&fault, KAART_IO, "short");
    fault_set(&fault, KAART_IO, "disk: %s", fault.text); /* quoting itself */
    assert_string_equal(fault.text, "disk: short");
    assert_int_equal(fault_set(NULL, KAART_IO, "x"), KAART_IO);
    fault_prefix(NULL, "x");
    for (int code = 0; code >= -17; code--)
        assert_non_null(kaart_strerror(code));
    assert_string_equal(kaart_strerror(-99), "unknown error");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_digest),        cmocka_unit_test(test_leaf),
        cmocka_unit_test(test_node),          cmocka_unit_test(test_zero),
        cmocka_unit_test(test_base64),        cmocka_unit_test(test_base64_round_trip),
        cmocka_unit_test(test_base64_strict), cmocka_unit_test(test_hex),
        cmocka_unit_test(test_fault_text),
    };

    return cmocka_run_group_tests_name("hash", tests, setup, teardown);
}
