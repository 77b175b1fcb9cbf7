/* test_replica.c - random histories of an origin, followed by honest subscribers at random moments: whoever
 * applied holds exactly the origin's live set. And what liars get. The vectors' steps are in test_vectors.c.
 */
#include "protocol/replica.h"
#include "tests/unit/unit.h"

#define FEED "houten.example/public"
#define EPOCH 1763751600
#define TIME 1795287846

static struct fault fault;
static struct signing_key key;

static int setup(void **state)
{
    uint8_t seed[ED25519_SIZE] = {1};

    (void)state;
    return signing_key_from_seed(FEED, seed, &key, &fault);
}

static struct replica *new_replica(void)
{
    struct replica *replica = replica_new(FEED, &key.verifier, 1);

    assert_non_null(replica);
    return replica;
}

static void append(struct replica *origin, uint64_t seq, const char *op, unsigned id, unsigned version)
{
    char line[400], body[60] = "";
    int size;

    if (strcmp(op, "assert") == 0)
        snprintf(body, sizeof body, ",\"body\":{\"name\":\"version %u\"}", version);
    size =
        snprintf(line, sizeof line,
                 "{\"seq\":%llu,\"op\":\"%s\",\"kind\":\"service\",\"id\":\"00000000-0000-0000-0000-%012x\","
                 "\"source\":\"desk\",\"role\":\"editor\",\"at\":\"2026-11-21T19:04:05.123Z\"%s}",
                 (unsigned long long)seq, op, id, body);
    assert_ok(replica_append(origin, line, (size_t)size, &fault));
}

/* Offers what `from` would answer to `to`. */
static enum replica_outcome sync_from(struct replica *to, const struct replica *from, bool full)
{
    uint64_t since = full || !replica_head(to) ? 0 : replica_head(to)->size;
    enum replica_outcome outcome;
    char *stream;
    size_t size;

    assert_int_equal(replica_stream(from, since, &stream, &size), KAART_OK);
    outcome = replica_offer(to, stream, size, full, NULL, &fault);
    free(stream);
    return outcome;
}

/* Changes at the origin: asserts, withdrawals, gaps, heartbeats, the floor. */
static void live_on(struct replica *origin, struct random *random, uint64_t *seq, unsigned *version,
                    int64_t *time_s)
{
    static const char *const ops[] = {"assert", "assert", "assert", "retract", "erase"};
    uint64_t floor = replica_head(origin) ? replica_head(origin)->floor : 0;

    if (replica_head(origin) && *seq < replica_head(origin)->size)
        *seq = replica_head(origin)->size; /* the floor burnt a position */
    for (uint64_t count = random_below(random, 12); count > 0; count--) {
        *seq += random_below(random, 3) == 0 ? random_below(random, 400) : 0;
        append(origin, (*seq)++, ops[random_below(random, 5)], (unsigned)random_below(random, 30),
               ++*version);
    }
    if (random_below(random, 6) == 0 && *seq > 0)
        floor = floor + random_below(random, *seq - floor + 1);
    *time_s += (int64_t)random_below(random, 100);
    assert_ok(replica_sign(origin, &key, 1, EPOCH, floor, *time_s, &fault));
}

static void test_random_histories(void **state)
{
    struct random random = random_start("replica histories");
    int outcomes[6] = {0};

    (void)state;
    for (int history = 0; history < 30; history++) {
        struct replica *origin = new_replica(), *nodes[3] = {new_replica(), new_replica(), new_replica()};
        int64_t time_s = TIME;
        uint64_t seq = 0;
        unsigned version = 0;

        for (int step = 0; step < 25; step++) {
            live_on(origin, &random, &seq, &version, &time_s);
            for (int i = 0; i < 3; i++) {
                const struct replica *source =
                    random_below(&random, 2) ? origin : nodes[random_below(&random, 3)];
                enum replica_outcome outcome;

                if (random_below(&random, 3) || !replica_head(source))
                    continue;
                outcome = sync_from(nodes[i], source, random_below(&random, 5) == 0);
                if (outcome == REPLICA_FULL_NEEDED)
                    outcome = sync_from(nodes[i], source, true);
                outcomes[outcome]++;
                if (outcome == REPLICA_APPLIED || outcome == REPLICA_SAME)
                    assert_true(replica_equal(nodes[i], source));
                else if (outcome != REPLICA_BEHIND)
                    fail_msg("%s: %s", replica_outcome_name(outcome), fault.text);
            }
        }
        for (int i = 0; i < 3; i++) {
            enum replica_outcome outcome = sync_from(nodes[i], origin, false);

            if (outcome == REPLICA_FULL_NEEDED)
                outcome = sync_from(nodes[i], origin, true);
            assert_true(outcome == REPLICA_APPLIED || outcome == REPLICA_SAME);
            assert_true(replica_equal(nodes[i], origin));
            replica_free(nodes[i]);
        }
        replica_free(origin);
    }
    assert_true(outcomes[REPLICA_APPLIED] > 0 && outcomes[REPLICA_BEHIND] > 0);
}

/* A relay that changes, drops, doubles or swaps a line is refused, and nothing is changed by it [SYNC-7]. */
static void test_lying_relays(void **state)
{
    struct random random = random_start("lying relays");
    struct replica *origin = new_replica(), *node = new_replica();
    char *stream, *lie;
    size_t size;

    (void)state;
    for (unsigned i = 0; i < 12; i++)
        append(origin, i, "assert", i, i);
    assert_ok(replica_sign(origin, &key, 1, EPOCH, 0, TIME, &fault));
    assert_int_equal(replica_stream(origin, 0, &stream, &size), KAART_OK);
    lie = malloc(2 * size);
    assert_non_null(lie);
    for (int round = 0; round < 3000; round++) {
        size_t lie_size = size, at = random_below(&random, size);
        const char *line = stream + at, *end;

        while (line > stream && line[-1] != '\n')
            line--;
        end = memchr(line, '\n', size - (size_t)(line - stream));
        memcpy(lie, stream, size);
        switch (random_below(&random, 3)) {
        case 0: /* a bit */
            lie[at] = (char)(lie[at] ^ 1 << random_below(&random, 8));
            break;
        case 1: /* a line left out */
            lie_size = size - (size_t)(end + 1 - line);
            memmove(lie + (line - stream), end + 1, size - (size_t)(end + 1 - stream));
            break;
        default: /* a line twice */
            lie_size = size + (size_t)(end + 1 - line);
            memcpy(lie + (end + 1 - stream), line, size - (size_t)(line - stream));
            break;
        }
        if (replica_offer(node, lie, lie_size, true, NULL, &fault) != REPLICA_REFUSED)
            fail_msg("round %d: not refused", round);
        assert_null(replica_head(node));
        assert_int_equal(replica_live(node), 0);
    }
    assert_int_equal(replica_offer(node, stream, size, true, NULL, &fault), REPLICA_APPLIED);
    free(lie);
    free(stream);
    replica_free(node);
    replica_free(origin);
}

/* An origin restored from a backup signs a second history: seen from the heads where they show it, else by a
 * full sync. */
static void test_restored_origin(void **state)
{
    struct replica *origin = new_replica(), *restored = new_replica(), *node = new_replica(),
                   *other = new_replica();

    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        append(origin, i, "assert", i, 0);
        append(restored, i, "assert", i, 0);
    }
    append(origin, 5, "assert", 5, 1);
    append(restored, 5, "assert", 5, 2);
    append(restored, 6, "assert", 6, 2);
    assert_ok(replica_sign(origin, &key, 1, EPOCH, 0, TIME, &fault));
    assert_ok(replica_sign(restored, &key, 1, EPOCH, 0, TIME + 60, &fault));
    assert_int_equal(sync_from(node, origin, false), REPLICA_APPLIED);
    assert_int_equal(sync_from(other, restored, false), REPLICA_APPLIED);
    /* a delta on the wrong base only mismatches; the full sync shows position 5 */
    assert_int_equal(sync_from(node, restored, false), REPLICA_REFUSED);
    assert_false(replica_frozen(node));
    assert_int_equal(sync_from(node, restored, true), REPLICA_FORK);
    assert_true(replica_frozen(node));
    assert_true(replica_equal(node, origin));
    assert_int_equal(sync_from(node, origin, true), REPLICA_REFUSED);
    /* who holds the longer one sees the shorter one only as late */
    assert_int_equal(sync_from(other, origin, true), REPLICA_BEHIND);
    replica_free(origin);
    replica_free(restored);
    replica_free(node);
    replica_free(other);
}

/* The position that test_origin_rules has used. */
static int append_again(struct replica *origin)
{
    static const char line[] =
        "{\"seq\":4,\"op\":\"erase\",\"kind\":\"a\",\"id\":\"00000000-0000-0000-0000-000000000001\","
        "\"source\":\"a\",\"role\":\"a\",\"at\":\"2026-11-21T19:04:05.123Z\"}";

    return replica_append(origin, line, sizeof line - 1, &fault);
}

/* [ENTRY-9] [CP-9] [CP-10] [GUARD-7] */
static void test_origin_rules(void **state)
{
    struct replica *origin = new_replica();
    char *stream;
    size_t size;

    (void)state;
    assert_null(replica_new("no feed", NULL, 0));
    assert_null(replica_head(origin));
    assert_int_equal(replica_stream(origin, 0, &stream, &size), KAART_UNKNOWN);
    append(origin, 4, "assert", 1, 1);
    assert_int_equal(replica_live(origin), 0); /* not before it is signed */
    assert_fault(replica_append(origin, "{}", 2, &fault), KAART_SYNTAX, "missing");
    assert_fault(append_again(origin), KAART_ORDER, "ENTRY-9");
    assert_ok(replica_sign(origin, &key, 1, EPOCH, 0, TIME, &fault));
    assert_int_equal(replica_live(origin), 1);
    assert_int_equal(replica_head(origin)->size, 5);
    assert_fault(replica_sign(origin, &key, 1, EPOCH + 1, 0, TIME, &fault), KAART_INVALID, "new epoch");
    append(origin, 5, "retract", 1, 1);
    assert_ok(replica_sign(origin, &key, 1, EPOCH, 0, TIME, &fault));
    assert_int_equal(replica_live(origin), 1);
    assert_ok(replica_sign(origin, &key, 1, EPOCH, 6, TIME, &fault));
    assert_int_equal(replica_live(origin), 0);
    assert_int_equal(replica_head(origin)->size, 7); /* burnt [CP-10] */
    assert_true(hash_is_zero(&replica_head(origin)->root));
    replica_free(origin);
    replica_free(NULL);
}

/* Enough entries that tables grow; dead ones are forgotten. */
static void test_many(void **state)
{
    struct replica *origin = new_replica(), *node = new_replica();

    (void)state;
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 3000; i++)
            append(origin, round * 3000 + i, "assert", i, round);
        assert_ok(replica_sign(origin, &key, 1, EPOCH, 0, TIME + round, &fault));
        assert_int_equal(replica_live(origin), 3000);
        assert_int_equal(sync_from(node, origin, false), REPLICA_APPLIED);
        assert_true(replica_equal(node, origin));
    }
    assert_int_equal(replica_find(node, 5999), 3000);
    assert_int_equal(replica_find(node, 6000), 0);
    replica_free(node);
    replica_free(origin);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_histories),
        cmocka_unit_test(test_lying_relays),
        cmocka_unit_test(test_restored_origin),
        cmocka_unit_test(test_origin_rules),
        cmocka_unit_test(test_many),
    };

    return cmocka_run_group_tests_name("replica", tests, setup, NULL);
}
