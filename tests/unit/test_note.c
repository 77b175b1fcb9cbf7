/* test_note.c - keys and signed notes. spec/vectors/notes.json covers the grammar; here are the keys' texts,
 * signing, and every way of touching a note. */
#include "protocol/hash.h"
#include "protocol/note.h"
#include "tests/unit/unit.h"

#define FEED "houten.example/public"

static struct fault fault;
static struct signing_key keys[3]; /* two of FEED, one of another */

static int setup(void **state)
{
    uint8_t seed[ED25519_SIZE];

    (void)state;
    for (uint8_t i = 0; i < 3; i++) {
        memset(seed, i + 1, sizeof seed);
        if (signing_key_from_seed(i < 2 ? FEED : "zeist.example/public", seed, &keys[i], &fault) != KAART_OK)
            return -1;
    }
    return 0;
}

/* RFC 8032 section 7.1, test 1; the key hash from its definition [NOTE-8] */
static void test_public_half(void **state)
{
    static const uint8_t seed[ED25519_SIZE] = {
        0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4,
        0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60};
    uint8_t text[sizeof FEED + 1 + ED25519_SIZE] = FEED "\n\x01";
    struct hasher *hasher = hasher_new();
    struct signing_key key;
    struct hash hash;

    (void)state;
    assert_non_null(hasher);
    assert_ok(signing_key_from_seed(FEED, seed, &key, &fault));
    memcpy(text + sizeof FEED + 1, key.verifier.public_key, ED25519_SIZE);
    assert_int_equal(hasher_digest(hasher, text, sizeof text, &hash), KAART_OK);
    hasher_free(hasher);
    assert_true(key.verifier.key_hash == ((uint32_t)hash.bytes[0] << 24 | (uint32_t)hash.bytes[1] << 16 |
                                          (uint32_t)hash.bytes[2] << 8 | hash.bytes[3]));
    assert_memory_equal(key.verifier.public_key,
                        "\xd7\x5a\x98\x01\x82\xb1\x0a\xb7\xd5\x4b\xfe\xd3\xc9\x64\x07\x3a", 16);
    assert_fault(signing_key_from_seed("Houten/public", seed, &key, &fault), KAART_KEY, "no feed name");
    assert_fault(signing_key_from_seed("", seed, &key, &fault), KAART_KEY, "no feed name");
}

static void test_key_texts(void **state)
{
    char text[SIGNING_KEY_TEXT_SIZE + 2];
    struct verifier_key verifier;
    struct signing_key signing;

    (void)state;
    verifier_key_format(&keys[0].verifier, text);
    assert_ok(verifier_key_parse(text, strlen(text), &verifier, &fault));
    assert_string_equal(verifier.name, FEED);
    assert_int_equal(verifier.key_hash, keys[0].verifier.key_hash);
    assert_memory_equal(verifier.public_key, keys[0].verifier.public_key, ED25519_SIZE);
    strcat(text, "\n");
    assert_ok(verifier_key_parse(text, strlen(text), &verifier, &fault));
    strcat(text, "\n");
    assert_fault(verifier_key_parse(text, strlen(text), &verifier, &fault), KAART_KEY, "NOTE-9");
    signing_key_format(&keys[0], text);
    assert_ok(signing_key_parse(text, strlen(text), &signing, &fault));
    assert_memory_equal(&signing, &keys[0], sizeof signing);
    assert_fault(verifier_key_parse(text, strlen(text), &verifier, &fault), KAART_KEY, "NOTE-9");
    verifier_key_format(&keys[0].verifier, text);
    assert_fault(signing_key_parse(text, strlen(text), &signing, &fault), KAART_KEY, "NOTE-10");
    assert_fault(signing_key_parse("", 0, &signing, &fault), KAART_KEY, "NOTE-10");
    signing_key_wipe(&signing);
    for (int i = 0; i < ED25519_SIZE; i++)
        assert_int_equal(signing.seed[i], 0);
}

/* No key text survives the change of a character: typing errors are found. */
static void test_typing_errors(void **state)
{
    char text[SIGNING_KEY_TEXT_SIZE];

    (void)state;
    for (int form = 0; form < 2; form++) {
        if (form == 0)
            verifier_key_format(&keys[0].verifier, text);
        else
            signing_key_format(&keys[0], text);
        for (size_t i = 0; text[i]; i++) {
            struct verifier_key verifier;
            struct signing_key signing;
            char was = text[i];

            text[i] = was == 'a' ? 'b' : 'a';
            if (form == 0)
                assert_int_equal(verifier_key_parse(text, strlen(text), &verifier, &fault), KAART_KEY);
            else
                assert_int_equal(signing_key_parse(text, strlen(text), &signing, &fault), KAART_KEY);
            if (form == 1 && i > 12 + strlen(FEED) + 10)
                text[i] = '\0'; /* a fault must not quote the key */
            text[i] = was;
        }
    }
}

static void test_longest_name(void **state)
{
    char name[FEED_NAME_MAX_SIZE + 1], text[SIGNING_KEY_TEXT_SIZE], *note;
    struct signing_key key, back;
    uint8_t seed[ED25519_SIZE] = {7};
    size_t size, text_size;

    (void)state;
    for (size_t i = 0; i < ORIGIN_MAX_SIZE; i++)
        name[i] = i % 2 ? '.' : 'a';
    name[ORIGIN_MAX_SIZE] = '/';
    memset(name + ORIGIN_MAX_SIZE + 1, 'b', NAME_MAX_SIZE);
    name[FEED_NAME_MAX_SIZE] = '\0';
    assert_ok(signing_key_from_seed(name, seed, &key, &fault));
    signing_key_format(&key, text);
    assert_int_equal(strlen(text), SIGNING_KEY_TEXT_SIZE - 1);
    assert_ok(signing_key_parse(text, strlen(text), &back, &fault));
    verifier_key_format(&key.verifier, text);
    assert_int_equal(strlen(text), VERIFIER_KEY_TEXT_SIZE - 1);
    assert_ok(verifier_key_parse(text, strlen(text), &back.verifier, &fault));
    assert_ok(note_sign("x\n", 2, &key, 1, &note, &size, &fault));
    assert_ok(note_open(note, size, &key.verifier, 1, &text_size, &fault));
    free(note);
}

/* Two signatures, for a rotation [CP-11]: either key opens it. */
static void test_sign_and_open(void **state)
{
    static const char text[] = "one line\n\nafter an empty one, \xe2\x82\xac\n";
    struct verifier_key verifiers[2] = {keys[0].verifier, keys[1].verifier};
    char *note;
    size_t size, text_size;

    (void)state;
    assert_ok(note_sign(text, strlen(text), keys, 2, &note, &size, &fault));
    assert_int_equal(strlen(note), size);
    for (size_t first = 0; first < 2; first++)
        for (size_t count = 1; first + count <= 2; count++) {
            assert_ok(note_open(note, size, verifiers + first, count, &text_size, &fault));
            assert_int_equal(text_size, strlen(text));
        }
    assert_fault(note_open(note, size, &keys[2].verifier, 1, &text_size, &fault), KAART_SIGNATURE, "NOTE-7");
    assert_fault(note_open(note, size, NULL, 0, &text_size, &fault), KAART_SIGNATURE, "NOTE-7");
    free(note);
}

static void test_sign_refuses(void **state)
{
    struct signing_key many[FEED_KEYS_MAX + 1];
    char *note = NULL, *large = malloc(NOTE_SIZE_MAX + 1);
    size_t size, overhead = 1 + 4 + strlen(FEED) + 1 + 92 + 1;

    (void)state;
    assert_non_null(large);
    for (size_t i = 0; i <= FEED_KEYS_MAX; i++)
        many[i] = keys[0];
    assert_fault(note_sign("x\n", 2, keys, 0, &note, &size, &fault), KAART_KEY, "keys");
    assert_fault(note_sign("x\n", 2, many, FEED_KEYS_MAX + 1, &note, &size, &fault), KAART_KEY, "keys");
    assert_fault(note_sign("x\n", 2, many, 2, &note, &size, &fault), KAART_SIGNATURE, "twice");
    assert_fault(note_sign("x", 1, keys, 1, &note, &size, &fault), KAART_SYNTAX, "NOTE-1");
    assert_fault(note_sign("", 0, keys, 1, &note, &size, &fault), KAART_SYNTAX, "NOTE-1");
    assert_fault(note_sign("a\tb\n", 4, keys, 1, &note, &size, &fault), KAART_SYNTAX, "NOTE-1");
    assert_fault(note_sign("\xff\n", 2, keys, 1, &note, &size, &fault), KAART_SYNTAX, "NOTE-1");
    memset(large, 'x', NOTE_SIZE_MAX + 1);
    large[NOTE_SIZE_MAX - overhead - 1] = '\n';
    assert_ok(note_sign(large, NOTE_SIZE_MAX - overhead, keys, 1, &note, &size, &fault));
    assert_int_equal(size, NOTE_SIZE_MAX);
    free(note);
    note = NULL;
    large[NOTE_SIZE_MAX - overhead - 1] = 'x';
    large[NOTE_SIZE_MAX - overhead] = '\n';
    assert_fault(note_sign(large, NOTE_SIZE_MAX - overhead + 1, keys, 1, &note, &size, &fault), KAART_LIMIT,
                 "NOTE-1");
    assert_null(note);
    free(large);
}

/* A key whose public half does not belong to its seed signs nothing: the note is opened before it leaves. */
static void test_flipped_bit(void **state)
{
    struct signing_key key = keys[0];
    char *note = NULL;
    size_t size;

    (void)state;
    key.seed[3] ^= 1;
    assert_fault(note_sign("x\n", 2, &key, 1, &note, &size, &fault), KAART_SIGNATURE, "NOTE-5");
    assert_null(note);
}

/* Every single bit of a note matters, and so does where it ends. */
static void test_every_bit(void **state)
{
    static const char text[] = "kaartd-feed/v1\nsize 3\n";
    char *note;
    size_t size, text_size;

    (void)state;
    assert_ok(note_sign(text, strlen(text), keys, 1, &note, &size, &fault));
    for (size_t i = 0; i < size; i++)
        for (int bit = 0; bit < 8; bit++) {
            note[i] = (char)(note[i] ^ 1 << bit);
            if (note_open(note, size, &keys[0].verifier, 1, &text_size, &fault) == KAART_OK)
                fail_msg("bit %d of byte %zu does not matter", bit, i);
            note[i] = (char)(note[i] ^ 1 << bit);
        }
    for (size_t cut = 0; cut < size; cut++)
        assert_int_not_equal(note_open(note, cut, &keys[0].verifier, 1, &text_size, &fault), KAART_OK);
    assert_ok(note_open(note, size, &keys[0].verifier, 1, &text_size, &fault));
    free(note);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_public_half),   cmocka_unit_test(test_key_texts),
        cmocka_unit_test(test_typing_errors), cmocka_unit_test(test_longest_name),
        cmocka_unit_test(test_sign_and_open), cmocka_unit_test(test_sign_refuses),
        cmocka_unit_test(test_flipped_bit),   cmocka_unit_test(test_every_bit),
    };

    return cmocka_run_group_tests_name("note", tests, setup, NULL);
}
