/*
 * test_nomem.c - every allocation of protocol/ fails once: each call says KAART_NOMEM, leaks nothing (the sanitized build sees to
 * that), leaves what was held unchanged, and succeeds when there is memory again.
 *
 * The Makefile links this test with malloc, calloc and realloc wrapped; OpenSSL's own allocations are not.
 */
#include "protocol/proof.h"
#include "protocol/replica.h"
#include "protocol/stream.h"
#include "tests/unit/unit.h"

#define FEED "houten.example/public"
#define EPOCH 1763751600
#define TIME 1795287846

/* More allocations than any scenario makes. */
#define ALLOCATIONS_MAX 2000

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

static struct fault fault;
static struct signing_key key;
static int countdown; /* the allocation that fails; 0: none */

static bool fails(void)
{
    return countdown > 0 && --countdown == 0;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return fails() ? NULL : __real_realloc(old, size);
}

static int setup(void **state)
{
    uint8_t seed[ED25519_SIZE] = {1};

    (void)state;
    return signing_key_from_seed(FEED, seed, &key, &fault);
}

/* Runs a scenario with its first allocation failing, its second, ... until it passes untouched. */
static void fail_each(int (*scenario)(void *context), void *context, int least)
{
    for (int n = 1; n < ALLOCATIONS_MAX; n++) {
        int code;

        fault.text[0] = '\0';
        countdown = n;
        code = scenario(context);
        if (countdown > 0) { /* there were fewer */
            countdown = 0;
            assert_ok(code);
            assert_in_range(n, least + 1, ALLOCATIONS_MAX);
            return;
        }
        if (code != KAART_NOMEM)
            fail_msg("allocation %d: %s (%s)", n, kaart_strerror(code), fault.text);
    }
    fail_msg("too many allocations");
}

/* An object with more names than fit the stack. */
static int many_names(void *context)
{
    char text[8000];
    size_t used = 1;

    (void)context;
    text[0] = '{';
    for (int i = 0; i < 600; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s\"m%d\":0", i ? "," : "", i);
    text[used++] = '}';
    return json_check_object(text, used, NULL, NULL, &fault);
}

static int write_entry(void *context)
{
    struct entry entry = {.kind = "service",
                          .id = "0b6e7a52-6d8a-5c3e-9f55-1f0a2b3c4d5e",
                          .source = "desk",
                          .role = "editor",
                          .verified = DAY_NONE,
                          .missing_since = DAY_NONE,
                          .body = {"{}", 2}};
    char *line = NULL;
    size_t size;
    int code = entry_format(&entry, &line, &size, &fault);

    (void)context;
    free(line);
    return code;
}

static int sign_and_open(void *context)
{
    char *note = NULL;
    size_t size, text_size;
    int code = note_sign("a\n", 2, &key, 1, &note, &size, &fault);

    (void)context;
    if (code == KAART_OK)
        code = note_open(note, size, &key.verifier, 1, &text_size, &fault);
    free(note);
    return code;
}

static int parse_keys(void *context)
{
    char text[SIGNING_KEY_TEXT_SIZE];
    struct signing_key signing;
    struct verifier_key verifier;
    int code;

    (void)context;
    signing_key_format(&key, text);
    code = signing_key_parse(text, strlen(text), &signing, &fault);
    verifier_key_format(&key.verifier, text);
    if (code == KAART_OK)
        code = verifier_key_parse(text, strlen(text), &verifier, &fault);
    return code;
}

static int no_children(void *context, unsigned height, uint64_t index, struct hash out[TREE_FANOUT],
                       struct fault *f)
{
    (void)context, (void)height, (void)index, (void)f;
    memset(out, 0, TREE_FANOUT * sizeof *out);
    return KAART_OK;
}

static int update_tree(void *context)
{
    struct tree_storage storage = {.children = no_children};
    struct tree_change change = {.position = 5, .leaf = {{1}}};
    struct tree_builder *builder = NULL;
    struct hasher *hasher = hasher_new();
    struct hash root;
    int code = KAART_NOMEM;

    (void)context;
    if (hasher)
        code = tree_update(hasher, &storage, &change, 1, &root, &fault);
    if (code == KAART_OK) {
        builder = tree_builder_new(hasher, NULL);
        code = builder ? KAART_OK : KAART_NOMEM;
    }
    tree_builder_free(builder);
    hasher_free(hasher);
    return code;
}

static void append(struct replica *origin, unsigned seq, unsigned id)
{
    char line[400];
    int size = snprintf(
        line, sizeof line,
        "{\"seq\":%u,\"op\":\"assert\",\"kind\":\"service\",\"id\":\"00000000-0000-0000-0000-%012x\","
        "\"source\":\"desk\",\"role\":\"editor\",\"at\":\"2026-11-21T19:04:05.123Z\",\"body\":{}}",
        seq, id);

    assert_ok(replica_append(origin, line, (size_t)size, &fault));
}

/* A subscriber, and what it is offered. */
struct offer {
    struct replica *node;
    char *stream;
    size_t size;
    bool full;
};

static int take_offer(void *context)
{
    struct offer *offer = context;
    size_t before = replica_live(offer->node);
    int code = KAART_OK;
    enum replica_outcome outcome =
        replica_offer(offer->node, offer->stream, offer->size, offer->full, &code, &fault);

    if (code != KAART_OK) {
        assert_int_equal(outcome, REPLICA_REFUSED);
        assert_int_equal(replica_live(offer->node), before);
    }
    return code;
}

/* A full sync, then a delta; enough that the tables grow. */
static void test_replica(void **state)
{
    struct replica *origin = replica_new(FEED, &key.verifier, 1);
    struct offer offer = {.node = replica_new(FEED, &key.verifier, 1), .full = true};

    (void)state;
    assert_non_null(origin);
    assert_non_null(offer.node);
    for (unsigned i = 0; i < 200; i++)
        append(origin, i, i);
    assert_ok(replica_sign(origin, &key, 1, EPOCH, 0, TIME, &fault));
    assert_int_equal(replica_stream(origin, 0, &offer.stream, &offer.size), KAART_OK);
    fail_each(take_offer, &offer, 200);
    assert_true(replica_equal(origin, offer.node));
    free(offer.stream);
    append(origin, 200, 7);
    assert_ok(replica_sign(origin, &key, 1, EPOCH, 0, TIME + 1, &fault));
    assert_int_equal(replica_stream(origin, 200, &offer.stream, &offer.size), KAART_OK);
    offer.full = false;
    fail_each(take_offer, &offer, 5);
    assert_true(replica_equal(origin, offer.node));
    free(offer.stream);
    replica_free(origin);
    replica_free(offer.node);
}

/* An origin writes, serves and proves. */
static int write_and_prove(void *context)
{
    static const char line[] =
        "{\"seq\":3,\"op\":\"erase\",\"kind\":\"a\",\"id\":\"00000000-0000-0000-0000-000000000001\","
        "\"source\":\"a\",\"role\":\"a\",\"at\":\"2026-11-21T19:04:05.123Z\"}";
    struct replica *origin = replica_new(FEED, &key.verifier, 1);
    struct claim_proof proof = {.position = 3}, back;
    struct hash leaf;
    char *text = NULL, *stream = NULL;
    size_t size;
    int code = KAART_NOMEM;

    (void)context;
    if (!origin)
        return code;
    code = replica_append(origin, line, sizeof line - 1, &fault);
    if (code == KAART_OK)
        code = replica_sign(origin, &key, 1, EPOCH, 0, TIME, &fault);
    if (code == KAART_OK)
        code = replica_stream(origin, 0, &stream, &size);
    if (code == KAART_OK)
        code = replica_path(origin, 3, proof.siblings, &leaf, &fault);
    if (code == KAART_OK) {
        proof.line.data = replica_line(origin, 0, NULL, &proof.line.size);
        proof.note.data = replica_note(origin, &proof.note.size);
        code = claim_proof_format(&proof, &text, &size);
    }
    if (code == KAART_OK)
        code = claim_proof_verify(text, size, &key.verifier, 1, &back, &fault);
    free(text);
    free(stream);
    replica_free(origin);
    return code;
}

static void test_library(void **state)
{
    (void)state;
    fail_each(many_names, NULL, 3);
    fail_each(write_entry, NULL, 1);
    fail_each(sign_and_open, NULL, 1);
    fail_each(parse_keys, NULL, 2);
    fail_each(update_tree, NULL, 3);
    fail_each(write_and_prove, NULL, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_library),
        cmocka_unit_test(test_replica),
    };

    return cmocka_run_group_tests_name("nomem", tests, setup, NULL);
}
