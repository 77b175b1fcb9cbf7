/*
 * test_store_vectors.c - what spec/vectors offers a subscriber (feed.json, streams.json "lies", forks.json), through the
 * real store: staged in pieces, committed or refused, and each time recomputed from what is on disk.
 */
#include "store_fixture.h"

#include "protocol/json.h"

/* Bytes handed over at a time: more than one line, less than a stream. */
#define PIECE 777

struct subscriber {
    struct fixture *fixture;
    const char *feed;
    struct verifier_key keys[FEED_KEYS_MAX];
    size_t key_count;
};

static cJSON *load(const char *name)
{
    const char *root = getenv("KAARTD_ROOT");
    char path[4096];
    FILE *file;
    char *text;
    long size;

    snprintf(path, sizeof(path), "%s/spec/vectors/%s", root ? root : ".", name);
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
    cJSON *tree = json_parse(text, (size_t)size, &fault);
    free(text);
    assert_non_null(tree);
    return tree;
}

static char *stream_of(const cJSON *vector, size_t *size)
{
    const char *text = json_get_string(vector, "stream_base64");
    char *bytes;

    assert_non_null(text);
    *size = strlen(text);
    bytes = malloc(*size + 1);
    assert_non_null(bytes);
    assert_int_equal(base64_decode(text, strlen(text), bytes, size), KAART_OK);
    bytes[*size] = '\0';
    return bytes;
}

static struct subscriber subscriber_new(const cJSON *vectors)
{
    struct subscriber subscriber = {.fixture = fixture_new(), .feed = json_get_string(vectors, "feed")};
    const cJSON *key;

    cJSON_ArrayForEach(key, json_get(vectors, "keys")) assert_ok(verifier_key_parse(
        key->valuestring, strlen(key->valuestring), &subscriber.keys[subscriber.key_count++], &fault));
    return subscriber;
}

/* Feeds the stream in and ends it: the opened checkpoint, or an error. */
static int take(const struct subscriber *subscriber, struct stage *stage, const char *bytes, size_t size,
                struct stage_progress *progress, struct checkpoint *offered)
{
    int code = KAART_OK;

    for (size_t at = 0; at < size && code == KAART_OK; at += PIECE)
        code = stage_write(stage, bytes + at, PIECE < size - at ? PIECE : size - at, &fault);
    if (code == KAART_OK)
        code = stage_end_response(stage, progress, &fault);
    if (code == KAART_OK && !progress->complete)
        code = fault_set(&fault, KAART_SYNTAX, "the stream goes on");
    if (code == KAART_OK)
        code = checkpoint_open(progress->note, progress->note_size, subscriber->feed, subscriber->keys,
                               subscriber->key_count, offered, &fault);
    return code;
}

static const char *decide(const struct subscriber *subscriber, struct stage *stage,
                          const struct feed_head *head, const struct stage_progress *progress,
                          const struct checkpoint *offered, bool full)
{
    enum checkpoint_relation relation =
        head->held ? checkpoint_compare(&head->checkpoint, offered) : CHECKPOINT_FULL;
    char note[NOTE_SIZE_MAX];
    int code;

    if (head->held && head->frozen[0] != '\0' && offered->epoch <= head->checkpoint.epoch) {
        stage_drop(stage);
        return "refused"; /* [DEATH-6] */
    }
    if (relation == CHECKPOINT_FORK) {
        stage_drop(stage);
        assert_ok(feeds_freeze(subscriber->fixture->feeds, subscriber->feed, "two heads that cannot both be",
                               NULL, &fault));
        return "fork";
    }
    if (relation == CHECKPOINT_SAME || relation == CHECKPOINT_BEHIND ||
        (relation == CHECKPOINT_FULL && !full)) {
        stage_drop(stage);
        return relation == CHECKPOINT_SAME     ? "same"
               : relation == CHECKPOINT_BEHIND ? "behind"
                                               : "full-needed";
    }
    memcpy(note, progress->note, progress->note_size);
    code = stage_commit(stage, offered, note, progress->note_size, &fault);
    return code == KAART_OK ? "applied" : code == KAART_FORK ? "fork" : "refused";
}

/* What a subscriber makes of one stream. */
static const char *offer(const struct subscriber *subscriber, const cJSON *vector, bool full)
{
    struct feeds *feeds = subscriber->fixture->feeds;
    struct feed_head *head = calloc(1, sizeof(*head));
    struct checkpoint offered;
    struct stage_progress progress;
    struct stage *stage;
    const char *outcome = "refused";
    uint64_t since;
    size_t size;
    char *bytes = stream_of(vector, &size);

    assert_non_null(head);
    int code = feeds_head(feeds, subscriber->feed, head, &fault);
    assert_true(code == KAART_OK || code == KAART_UNKNOWN);
    if (code == KAART_UNKNOWN)
        head->held = false;
    full = full || !head->held;
    struct stage_plan plan = {.feed = subscriber->feed,
                              .source = "peer.example",
                              .full = full,
                              .epoch = head->held ? head->checkpoint.epoch : 1763751600,
                              .since = full ? 0 : head->checkpoint.size};
    const char *epoch =
        full ? strstr(bytes, "epoch ") : NULL; /* of the checkpoint, which a full sync asks for first */
    if (epoch)
        plan.epoch = strtoull(epoch + 6, NULL, 10);
    assert_ok(stage_open(feeds, &plan, &stage, &since, &fault));
    assert_int_equal(since, plan.since);
    if (take(subscriber, stage, bytes, size, &progress, &offered) == KAART_OK)
        outcome = decide(subscriber, stage, head, &progress, &offered, full);
    else
        stage_drop(stage);
    free(bytes);
    free(head);
    return outcome;
}

/* The visible state, recomputed; its head must have changed if and only if something was applied. */
static void check_state(const struct subscriber *subscriber, const char *outcome, struct checkpoint *held,
                        const char *what)
{
    struct feed_head *head = calloc(1, sizeof(*head));

    assert_non_null(head);
    int code = feeds_head(subscriber->fixture->feeds, subscriber->feed, head, &fault);
    if (code == KAART_OK && head->held) {
        bool changed = memcmp(&head->checkpoint.root, &held->root, sizeof(held->root)) != 0 ||
                       head->checkpoint.time_s != held->time_s || head->checkpoint.epoch != held->epoch;
        if (changed != (strcmp(outcome, "applied") == 0))
            fail_msg("%s: %s, but the held state %s", what, outcome, changed ? "changed" : "did not change");
        assert_ok(feeds_verify(subscriber->fixture->feeds, subscriber->feed, &fault));
        *held = head->checkpoint;
    }
    free(head);
}

static void run_steps(const struct subscriber *subscriber, const cJSON *steps, const char *history, bool thaw)
{
    struct checkpoint held = {.epoch = 0};
    const cJSON *step;

    cJSON_ArrayForEach(step, steps)
    {
        const char *what = json_get_string(step, "what"), *expected = json_get_string(step, "expect");
        const char *outcome = offer(subscriber, step, cJSON_IsTrue(json_get(step, "full")));
        bool fork = strcmp(outcome, "fork") == 0;

        if (fork && thaw) /* feed.json counts a fork as refused, and goes on in that epoch */
            assert_ok(feeds_freeze(subscriber->fixture->feeds, subscriber->feed, "", NULL, &fault));
        if (strcmp(fork && thaw ? "refused" : outcome, expected) != 0)
            fail_msg("%s: %s: %s instead of %s: %s", history, what ? what : "a step", outcome, expected,
                     fault.text);
        check_state(subscriber, outcome, &held, history);
    }
}

static void test_steps(void **state)
{
    cJSON *vectors = load("feed.json");
    struct subscriber subscriber = subscriber_new(vectors);

    (void)state;
    run_steps(&subscriber, json_get(vectors, "steps"), "feed.json", true);
    fixture_free(subscriber.fixture);
    cJSON_Delete(vectors);
}

static void test_histories(void **state)
{
    cJSON *vectors = load("forks.json");
    const cJSON *history;

    (void)state;
    cJSON_ArrayForEach(history, json_get(vectors, "histories"))
    {
        struct subscriber subscriber = subscriber_new(vectors);

        run_steps(&subscriber, json_get(history, "steps"), json_get_string(history, "what"), false);
        fixture_free(subscriber.fixture);
    }
    cJSON_Delete(vectors);
}

/* [STREAM-6]: a first copy in several responses. */
static void test_pages(void **state)
{
    cJSON *vectors = load("forks.json");
    const cJSON *vector, *page;

    (void)state;
    cJSON_ArrayForEach(vector, json_get(vectors, "pages"))
    {
        struct subscriber subscriber = subscriber_new(vectors);
        struct stage_plan plan = {.feed = subscriber.feed,
                                  .source = "peer.example",
                                  .full = true,
                                  .epoch = (uint64_t)json_get(vector, "epoch")->valuedouble};
        struct stage_progress progress = {0};
        struct checkpoint offered;
        struct stage *stage;
        uint64_t since;
        char note[NOTE_SIZE_MAX];

        assert_ok(stage_open(subscriber.fixture->feeds, &plan, &stage, &since, &fault));
        cJSON_ArrayForEach(page, json_get(vector, "pages_base64"))
        {
            size_t size = strlen(page->valuestring);
            char *bytes = malloc(size);

            assert_non_null(bytes);
            assert_int_equal(base64_decode(page->valuestring, size, bytes, &size), KAART_OK);
            assert_false(progress.complete);
            assert_ok(stage_write(stage, bytes, size, &fault));
            assert_ok(stage_end_response(stage, &progress, &fault));
            free(bytes);
        }
        assert_true(progress.complete);
        assert_ok(checkpoint_open(progress.note, progress.note_size, subscriber.feed, subscriber.keys,
                                  subscriber.key_count, &offered, &fault));
        assert_int_equal(offered.live, (uint64_t)json_get(vector, "live")->valuedouble);
        memcpy(note, progress.note, progress.note_size);
        assert_ok(stage_commit(stage, &offered, note, progress.note_size, &fault));
        assert_ok(feeds_verify(subscriber.fixture->feeds, subscriber.feed, &fault));
        fixture_free(subscriber.fixture);
    }
    cJSON_Delete(vectors);
}

/* Streams that a subscriber who holds nothing must refuse, and hold nothing afterwards. */
static void refuse_all(const char *file, const char *list)
{
    cJSON *vectors = load(file);
    const cJSON *vector;

    cJSON_ArrayForEach(vector, json_get(vectors, list))
    {
        struct subscriber subscriber = subscriber_new(vectors);
        struct feed_head *head = calloc(1, sizeof(*head));
        const char *outcome;

        assert_non_null(head);
        outcome = offer(&subscriber, vector, true);
        if (strcmp(outcome, "refused") != 0)
            fail_msg("%s: %s", json_get_string(vector, "what"), outcome);
        assert_true(fault.text[0] != '\0');
        if (feeds_head(subscriber.fixture->feeds, subscriber.feed, head, NULL) == KAART_OK)
            assert_false(head->held);
        fixture_free(subscriber.fixture);
        free(head);
    }
    cJSON_Delete(vectors);
}

static void test_bad(void **state)
{
    (void)state;
    refuse_all("feed.json", "bad");
}

static void test_lies(void **state)
{
    (void)state;
    refuse_all("streams.json", "lies");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps), cmocka_unit_test(test_histories), cmocka_unit_test(test_pages),
        cmocka_unit_test(test_bad),   cmocka_unit_test(test_lies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
