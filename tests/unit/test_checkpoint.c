/* test_checkpoint.c - the eight lines and the relations of heads. spec/vectors/checkpoints.json has more of
 * both. */
#include "protocol/checkpoint.h"
#include "protocol/syntax.h"
#include "tests/unit/unit.h"

#define FEED "houten.example/public"

static struct fault fault;

static struct checkpoint sample(void)
{
    struct checkpoint head = {
        .feed = FEED, .epoch = 1763751600, .size = 100, .live = 50, .floor = 10, .time_s = 1795287846};

    memset(head.root.bytes, 0xab, HASH_SIZE);
    return head;
}

static void test_text(void **state)
{
    struct checkpoint head = sample(), back;
    char text[CHECKPOINT_TEXT_MAX];
    size_t size = checkpoint_format(&head, text);

    (void)state;
    assert_string_equal(text,
                        "kaartd-feed/v1\nfeed " FEED "\nepoch 1763751600\nsize 100\nlive 50\nfloor 10\n"
                        "root q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=\ntime 2026-11-21T19:04:06Z\n");
    assert_int_equal(size, strlen(text));
    assert_ok(checkpoint_parse(text, size, &back, &fault));
    assert_memory_equal(&back, &head, sizeof back);
    for (size_t cut = 0; cut < size; cut++)
        assert_int_equal(checkpoint_parse(text, cut, &back, &fault), KAART_SYNTAX);
}

/* The longest text there can be fits, and comes back. */
static void test_longest(void **state)
{
    struct checkpoint head = sample(), back;
    char text[CHECKPOINT_TEXT_MAX];

    (void)state;
    for (size_t i = 0; i < ORIGIN_MAX_SIZE; i++)
        head.feed[i] = i % 2 ? '.' : 'a';
    head.feed[ORIGIN_MAX_SIZE] = '/';
    memset(head.feed + ORIGIN_MAX_SIZE + 1, 'b', NAME_MAX_SIZE);
    head.feed[FEED_NAME_MAX_SIZE] = '\0';
    head.epoch = JSON_INTEGER_MAX;
    head.size = head.live = head.floor = SEQ_MAX + 1;
    assert_int_equal(syntax_seconds_parse("9999-12-31T23:59:59Z", 20, &head.time_s), KAART_OK);
    assert_true(checkpoint_format(&head, text) < CHECKPOINT_TEXT_MAX);
    assert_ok(checkpoint_parse(text, strlen(text), &back, &fault));
    assert_memory_equal(&back, &head, sizeof back);
}

/* [CP-2] */
static void test_consistency(void **state)
{
    char text[CHECKPOINT_TEXT_MAX];
    struct checkpoint head, back;

#define parsed(change)                                                                                       \
    (head = sample(), change, checkpoint_format(&head, text),                                                \
     checkpoint_parse(text, strlen(text), &back, &fault))

    (void)state;
    assert_ok(parsed((head.live = 100, head.floor = 100)));
    assert_fault(parsed(head.live = 101), KAART_SYNTAX, "CP-2");
    assert_fault(parsed(head.floor = 101), KAART_SYNTAX, "CP-2");
    assert_fault(parsed(head.live = 0), KAART_SYNTAX, "CP-2");
    assert_fault(parsed(memset(head.root.bytes, 0, HASH_SIZE)), KAART_SYNTAX, "CP-2");
    assert_ok(parsed((memset(head.root.bytes, 0, HASH_SIZE), head.live = 0)));
    assert_ok(parsed((memset(head.root.bytes, 0, HASH_SIZE), head.live = 0, head.size = 0, head.floor = 0)));
    assert_fault(parsed(head.epoch = (uint64_t)JSON_INTEGER_MAX + 1), KAART_SYNTAX, "\"epoch\"");
    assert_fault(parsed(head.size = SEQ_MAX + 2), KAART_SYNTAX, "\"size\"");
    assert_fault(parsed(strcpy(head.feed, "Houten/public")), KAART_SYNTAX, "\"feed\"");
}

/* [CP-3]: only the keys of exactly this feed open it, and it must speak of this feed. */
static void test_open(void **state)
{
    uint8_t seed[ED25519_SIZE] = {1};
    struct signing_key key, other;
    struct verifier_key both[2];
    struct checkpoint head = sample(), back;
    char text[CHECKPOINT_TEXT_MAX], *note;
    size_t size;

    (void)state;
    assert_ok(signing_key_from_seed(FEED, seed, &key, &fault));
    assert_ok(signing_key_from_seed("houten.example/professionals", seed, &other, &fault));
    both[0] = key.verifier;
    both[1] = other.verifier;
    assert_ok(note_sign(text, checkpoint_format(&head, text), &key, 1, &note, &size, &fault));
    assert_ok(checkpoint_open(note, size, FEED, &key.verifier, 1, &back, &fault));
    assert_memory_equal(&back, &head, sizeof back);
    assert_fault(checkpoint_open(note, size, FEED, both, 2, &back, &fault), KAART_KEY, "CP-3");
    assert_fault(checkpoint_open(note, size, "houten.example/professionals", &key.verifier, 1, &back, &fault),
                 KAART_KEY, "CP-3");
    assert_fault(checkpoint_open(note, size, FEED, NULL, 0, &back, &fault), KAART_SIGNATURE, "NOTE-7");
    free(note);
    /* an origin signs one of its feeds with the key of the other */
    strcpy(head.feed, "houten.example/professionals");
    assert_ok(note_sign(text, checkpoint_format(&head, text), &key, 1, &note, &size, &fault));
    assert_fault(checkpoint_open(note, size, FEED, &key.verifier, 1, &back, &fault), KAART_SIGNATURE, "CP-3");
    free(note);
}

/* The table of spec/feed.md, section 10, over all combinations of small differences: [CP-6] [CP-7] [SYNC-1] [SYNC-2]
 * [DEATH-2]. */
static void test_relations(void **state)
{
    (void)state;
    for (int epoch = -1; epoch <= 1; epoch++)
        for (int size = -1; size <= 1; size++)
            for (int time = -1; time <= 1; time++)
                for (int floor = -1; floor <= 1; floor++)
                    for (int root = 0; root <= 1; root++) {
                        struct checkpoint held = sample(), offered = sample();
                        enum checkpoint_relation wanted;

                        offered.epoch += (uint64_t)epoch;
                        offered.size += (uint64_t)size;
                        offered.time_s += time;
                        offered.floor += (uint64_t)floor;
                        offered.root.bytes[0] ^= (uint8_t)root;
                        if (epoch)
                            wanted = epoch > 0 ? CHECKPOINT_FULL : CHECKPOINT_BEHIND;
                        else if (size == 0)
                            wanted = root || floor ? CHECKPOINT_FORK
                                     : time == 0   ? CHECKPOINT_SAME
                                     : time > 0    ? CHECKPOINT_HEARTBEAT
                                                   : CHECKPOINT_BEHIND;
                        else if (size < 0)
                            wanted = time > 0 || floor > 0 ? CHECKPOINT_FORK : CHECKPOINT_BEHIND;
                        else
                            wanted = time < 0 || floor < 0 ? CHECKPOINT_FORK : CHECKPOINT_NEWER;
                        assert_int_equal(checkpoint_compare(&held, &offered), wanted);
                        /* who holds which does not change whether it is a fork */
                        assert_int_equal(checkpoint_compare(&offered, &held) == CHECKPOINT_FORK,
                                         wanted == CHECKPOINT_FORK);
                    }
}

static void test_floor(void **state)
{
    struct checkpoint held = sample(), offered = sample();

    (void)state;
    offered.size = 200;
    offered.floor = 100; /* at the floor: by rule */
    assert_int_equal(checkpoint_compare(&held, &offered), CHECKPOINT_NEWER);
    offered.floor = 101; /* below it */
    assert_int_equal(checkpoint_compare(&held, &offered), CHECKPOINT_FULL);
    offered = sample();
    offered.live++;
    assert_int_equal(checkpoint_compare(&held, &offered), CHECKPOINT_FORK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text), cmocka_unit_test(test_longest),   cmocka_unit_test(test_consistency),
        cmocka_unit_test(test_open), cmocka_unit_test(test_relations), cmocka_unit_test(test_floor),
    };

    return cmocka_run_group_tests_name("checkpoint", tests, NULL, NULL);
}
