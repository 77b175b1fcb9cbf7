/* test_proof.c - proofs of a claim and of equivocation, made from replicas: good ones, altered ones, and ones
 * that prove nothing. */
#include "protocol/proof.h"
#include "protocol/replica.h"
#include "tests/unit/unit.h"

#define FEED "houten.example/public"
#define EPOCH 1763751600
#define TIME 1795287846

static struct fault fault;
static struct signing_key key, stranger;

static int setup(void **state)
{
    uint8_t seed[ED25519_SIZE] = {1};

    (void)state;
    if (signing_key_from_seed(FEED, seed, &key, &fault) != KAART_OK)
        return -1;
    seed[0] = 2;
    return signing_key_from_seed(FEED, seed, &stranger, &fault);
}

/* An entry about record `id`; `name` makes it differ. */
static void append(struct replica *origin, uint64_t seq, unsigned id, const char *name)
{
    char line[400];
    int size = snprintf(
        line, sizeof line,
        "{\"seq\":%llu,\"op\":\"assert\",\"kind\":\"service\",\"id\":\"00000000-0000-0000-0000-%012x\","
        "\"source\":\"desk\",\"role\":\"editor\",\"at\":\"2026-11-21T19:04:05.123Z\",\"body\":{\"name\":\"%"
        "s\"}}",
        (unsigned long long)seq, id, name);

    assert_ok(replica_append(origin, line, (size_t)size, &fault));
}

/* An origin of `count` entries, the one at `differing` with another name. */
static struct replica *new_origin(unsigned count, unsigned differing)
{
    struct replica *origin = replica_new(FEED, &key.verifier, 1);

    assert_non_null(origin);
    for (unsigned i = 0; i < count; i++)
        append(origin, i, i, i == differing ? "other" : "same");
    return origin;
}

static void sign_at(struct replica *origin, int64_t time_s)
{
    assert_ok(replica_sign(origin, &key, 1, EPOCH, 0, time_s, &fault));
}

/* The proof of a position in what a replica holds. */
static char *claim_of(const struct replica *origin, uint64_t position, size_t *size)
{
    struct claim_proof proof = {.position = position};
    size_t index = replica_find(origin, position);
    struct hash leaf;
    char *text;

    if (index < replica_live(origin))
        proof.line.data = replica_line(origin, index, NULL, &proof.line.size);
    assert_ok(replica_path(origin, position, proof.siblings, &leaf, &fault));
    proof.note.data = replica_note(origin, &proof.note.size);
    assert_int_equal(claim_proof_format(&proof, &text, size), KAART_OK);
    return text;
}

static int verify_claim(const char *text, size_t size, struct claim_proof *proof)
{
    return claim_proof_verify(text, size, &key.verifier, 1, proof, &fault);
}

static void test_claims(void **state)
{
    struct replica *origin = new_origin(20, 99);

    (void)state;
    append(origin, 300, 3, "newer"); /* position 3 dies */
    sign_at(origin, TIME);
    for (uint64_t position = 0; position < 302; position += position < 25 ? 1 : 92) {
        struct claim_proof proof;
        size_t size;
        char *text = claim_of(origin, position, &size);

        assert_ok(verify_claim(text, size, &proof));
        assert_int_equal(proof.position, position);
        assert_int_equal(proof.line.data != NULL, position < 20 ? position != 3 : position == 301 - 1);
        assert_string_equal(proof.checkpoint.feed, FEED);
        if (proof.line.data)
            assert_int_equal(proof.entry.seq, position);
        assert_fault(claim_proof_verify(text, size, &stranger.verifier, 1, &proof, &fault), KAART_SIGNATURE,
                     "NOTE-7");
        assert_fault(claim_proof_verify(text, size, NULL, 0, &proof, &fault), KAART_KEY, "no key");
        free(text);
    }
    replica_free(origin);
}

/* No bit of a proof can be changed, and no end cut off. */
static void test_every_bit(void **state)
{
    struct replica *origin = new_origin(6, 99);
    struct claim_proof proof;
    size_t size;
    char *text;

    (void)state;
    sign_at(origin, TIME);
    text = claim_of(origin, 2, &size);
    for (size_t i = 0; i < size; i++)
        for (int bit = 0; bit < 8; bit += 3) {
            text[i] = (char)(text[i] ^ 1 << bit);
            if (verify_claim(text, size, &proof) == KAART_OK)
                fail_msg("bit %d of byte %zu does not matter", bit, i);
            text[i] = (char)(text[i] ^ 1 << bit);
        }
    for (size_t cut = 0; cut < size; cut++)
        assert_int_not_equal(verify_claim(text, cut, &proof), KAART_OK);
    assert_ok(verify_claim(text, size, &proof));
    free(text);
    replica_free(origin);
}

/* Replaces the first `from` in a copy of the text. */
static char *replaced(const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);
    char *made = malloc(strlen(text) + strlen(to) + 1);

    assert_non_null(at);
    assert_non_null(made);
    sprintf(made, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    return made;
}

static void refuses_claim(const char *text, const char *from, const char *to, int code, const char *words)
{
    struct claim_proof proof;
    char *made = replaced(text, from, to);

    assert_fault(verify_claim(made, strlen(made), &proof), code, words);
    free(made);
}

/* [PROOF-1] to [PROOF-3], [PROOF-6] */
static void test_bad_claims(void **state)
{
    struct replica *origin = new_origin(6, 99);
    struct claim_proof proof;
    size_t size;
    char *text, *huge;

    (void)state;
    sign_at(origin, TIME);
    text = claim_of(origin, 2, &size);
    refuses_claim(text, "kaartd-proof/v1", "kaartd-proof/v2", KAART_SYNTAX, "does not begin with");
    refuses_claim(text, "position 2", "position 3", KAART_SYNTAX, "entry 2 at position 3");
    refuses_claim(text, "position 2", "position 02", KAART_SYNTAX, "\"position \"");
    refuses_claim(text, "entry {", "entry  {", KAART_SYNTAX, "JSON-9");
    refuses_claim(text, "same", "some", KAART_ROOT, "TREE-5");
    refuses_claim(text, "sibling 1 ", "sibling 5 ", KAART_SYNTAX, "sibling");
    refuses_claim(text, "sibling 2 ", "sibling 3 ", KAART_ROOT, "TREE-5");
    refuses_claim(text, "sibling 2 ", "sibling 40 ", KAART_SYNTAX, "sibling");
    refuses_claim(text, "sibling 2 ", "sibling 3 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\nsibling 2 ",
                  KAART_SYNTAX, "sibling");
    refuses_claim(text, "\n\nkaartd-feed", "\nkaartd-feed", KAART_SYNTAX, "sibling");
    refuses_claim(text, "live 6", "live 5", KAART_SIGNATURE, "NOTE-5");
    free(text);
    text = claim_of(origin, 2000, &size);
    refuses_claim(text, "dead", "deaf", KAART_SYNTAX, "entry");
    refuses_claim(text, "position 2000", "position 5", KAART_ROOT, "TREE-5"); /* a live one said to be dead */
    free(text);
    huge = calloc(1, PROOF_SIZE_MAX + 1);
    assert_non_null(huge);
    assert_fault(verify_claim(huge, PROOF_SIZE_MAX + 1, &proof), KAART_LIMIT, "more than");
    free(huge);
    replica_free(origin);
}

/* The proof from two replicas' heads, with a position or without. */
static char *fork_of(const struct replica *a, const struct replica *b, const uint64_t *position, size_t *size)
{
    struct fork_proof proof = {.with_position = position != NULL};
    char *text;

    proof.shorter.note.data = replica_note(a, &proof.shorter.note.size);
    proof.longer.note.data = replica_note(b, &proof.longer.note.size);
    if (position) {
        proof.position = *position;
        assert_ok(replica_path(a, *position, proof.shorter.siblings, &proof.shorter.leaf, &fault));
        assert_ok(replica_path(b, *position, proof.longer.siblings, &proof.longer.leaf, &fault));
    }
    assert_int_equal(fork_proof_format(&proof, &text, size), KAART_OK);
    return text;
}

/* Verifies and frees. */
static void assert_fork(char *text, size_t size, int code, const char *words)
{
    struct fork_proof proof;

    if (code == KAART_OK)
        assert_ok(fork_proof_verify(text, size, &key.verifier, 1, &proof, &fault));
    else
        assert_fault(fork_proof_verify(text, size, &key.verifier, 1, &proof, &fault), code, words);
    free(text);
}

/* [DEATH-2] (a) and (b): the notes alone [PROOF-4]. */
static void test_forked_heads(void **state)
{
    struct replica *a = new_origin(6, 99), *b = new_origin(6, 2), *c = new_origin(5, 99);
    size_t size;
    char *text;

    (void)state;
    sign_at(a, TIME);
    sign_at(b, TIME + 5);
    sign_at(c, TIME + 9);
    text = fork_of(a, b, NULL, &size);
    assert_fork(text, size, KAART_OK, "");
    text = fork_of(c, a, NULL, &size);
    assert_fork(text, size, KAART_OK, "");
    text = fork_of(a, c, NULL, &size);
    assert_fork(text, size, KAART_SYNTAX, "the shorter one is longer");
    text = fork_of(a, a, NULL, &size);
    assert_fork(text, size, KAART_INVALID, "can be of one history");
    sign_at(c, TIME - 1);
    text = fork_of(c, a, NULL, &size);
    assert_fork(text, size, KAART_INVALID, "can be of one history");
    replica_free(a);
    replica_free(b);
    replica_free(c);
}

/* [DEATH-2] (d): a position that changed; and what is no fork [PROOF-5]. */
static void test_forked_positions(void **state)
{
    static const uint64_t same = 1, changed = 2, beyond = 6, dead = 4;
    struct replica *shorter = new_origin(6, 99), *longer = new_origin(6, 2);
    struct fork_proof proof;
    size_t size;
    char *text;

    (void)state;
    append(longer, 6, 4, "newer"); /* position 4 dies */
    sign_at(shorter, TIME);
    sign_at(longer, TIME + 5);
    text = fork_of(shorter, longer, &changed, &size);
    assert_ok(fork_proof_verify(text, size, &key.verifier, 1, &proof, &fault));
    assert_true(proof.with_position);
    assert_int_equal(proof.position, 2);
    assert_null(strstr(text, "\"seq\"")); /* never an entry's bytes [DEATH-3] */
    assert_fault(fork_proof_verify(text, size, &stranger.verifier, 1, &proof, &fault), KAART_SIGNATURE,
                 "NOTE-7");
    for (size_t i = 0; i < size; i++) {
        text[i] = (char)(text[i] ^ 1);
        if (fork_proof_verify(text, size, &key.verifier, 1, &proof, &fault) == KAART_OK)
            fail_msg("byte %zu does not matter", i);
        text[i] = (char)(text[i] ^ 1);
    }
    for (size_t cut = 0; cut < size; cut++)
        assert_int_not_equal(fork_proof_verify(text, cut, &key.verifier, 1, &proof, &fault), KAART_OK);
    free(text);
    text = fork_of(shorter, longer, &same, &size);
    assert_fork(text, size, KAART_INVALID, "DEATH-1");
    text = fork_of(shorter, longer, &beyond, &size);
    assert_fork(text, size, KAART_INVALID, "DEATH-1");
    text = fork_of(shorter, longer, &dead, &size);
    assert_fork(text, size, KAART_INVALID, "DEATH-1");
    text = fork_of(shorter, longer, NULL, &size);
    assert_fork(text, size, KAART_INVALID, "can be of one history");
    replica_free(shorter);
    replica_free(longer);
}

static void test_other_epoch(void **state)
{
    struct replica *a = new_origin(6, 99), *b = new_origin(6, 2);
    size_t size;
    char *text;

    (void)state;
    sign_at(a, TIME);
    assert_ok(replica_sign(b, &key, 1, EPOCH + 1, 0, TIME, &fault));
    text = fork_of(a, b, NULL, &size);
    assert_fork(text, size, KAART_INVALID, "different epochs");
    replica_free(a);
    replica_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_claims),           cmocka_unit_test(test_every_bit),
        cmocka_unit_test(test_bad_claims),       cmocka_unit_test(test_forked_heads),
        cmocka_unit_test(test_forked_positions), cmocka_unit_test(test_other_epoch),
    };

    return cmocka_run_group_tests_name("proof", tests, setup, NULL);
}
