/* What residents say: held, bounded, decided once, and gone where it must be gone. spec/records.md [REV]. */
#include "store_fixture.h"

#include "daemon/store/review.h"
#include "daemon/store/subject.h"
#include "protocol/json.h"

#include <sqlite3.h>

#define DAY_MS (24 * 60 * 60 * 1000LL)

static int setup(void **state)
{
    struct fixture *fixture = fixture_new();
    feeds_allow_signing(fixture->feeds, FEED, true, NULL);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    fixture_free(*state);
    return 0;
}

static int submit_at(struct fixture *fixture, unsigned record, const char *body, const char *submitter,
                     int64_t now_ms, uint64_t *number)
{
    char id[UUID_TEXT_SIZE + 1];
    struct review_claim claim = {.feed = FEED,
                                 .kind = "service",
                                 .id = id_of(record, id),
                                 .areas = "[\"GM0356\"]",
                                 .body = body,
                                 .verified = 20000};
    fault.text[0] = '\0';
    return review_submit(fixture->feeds, &claim, submitter, now_ms, number, &fault);
}

static uint64_t submit(struct fixture *fixture, unsigned record, const char *body, const char *submitter)
{
    uint64_t number = 0;
    assert_ok(submit_at(fixture, record, body, submitter, NOW_MS, &number));
    return number;
}

static int approve(struct fixture *fixture, uint64_t number, bool *changed)
{
    return review_approve(fixture->feeds, number, "M. de Vries", &fixture->key, 1, NOW_MS, changed, &fault);
}

static enum review_state state_of(struct fixture *fixture, uint64_t number)
{
    struct submission submission;
    assert_ok(review_get(fixture->feeds, number, &submission, &fault));
    enum review_state found = submission.state;
    submission_clear(&submission);
    return found;
}

/* The live entry that a number led to; NULL if there is none. malloc'ed. */
static char *entry_of(struct fixture *fixture, unsigned record, uint64_t number)
{
    char id[UUID_TEXT_SIZE + 1], source[NAME_MAX_SIZE + 1], *line = NULL;
    struct entry_key key;
    uint64_t seq;
    size_t size;
    struct hasher *hasher = hasher_new();
    snprintf(source, sizeof(source), "resident-%llu", (unsigned long long)number);
    assert_ok(entry_key(hasher, "service", id_of(record, id), source, &key));
    hasher_free(hasher);
    int code = feeds_entry_by_key(fixture->feeds, FEED, &key, &seq, &line, &size, &fault);
    assert_true(code == KAART_OK || code == KAART_UNKNOWN);
    return line;
}

static uint64_t feed_size(struct fixture *fixture)
{
    struct feed_head head;
    int code = feeds_head(fixture->feeds, FEED, &head, &fault);
    return code == KAART_OK && head.held ? head.checkpoint.size : 0;
}

static void sql(struct fixture *fixture, const char *text)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(fixture->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void waits_with_its_words(void **state)
{
    struct fixture *fixture = *state;
    struct submission submission;
    assert_int_equal(submit(fixture, 1, "{\"name\":\"Buurttuin\",\"x\":1.50}", "user-17"), 1);
    assert_int_equal(submit(fixture, 2, "{\"name\":\"Soepclub\"}", "user-17"), 2);
    assert_ok(review_get(fixture->feeds, 1, &submission, &fault));
    assert_int_equal(submission.state, REVIEW_WAITING);
    assert_string_equal(submission.feed, FEED);
    assert_string_equal(submission.source, "resident-1");
    assert_int_equal(submission.submitted, NOW_MS / DAY_MS);
    assert_int_equal(submission.decided, DAY_NONE);
    assert_int_equal(submission.verified, 20000);
    assert_int_equal(submission.same_submitter, 2);
    assert_memory_equal(submission.body.data, "{\"name\":\"Buurttuin\",\"x\":1.50}", submission.body.size);
    assert_memory_equal(submission.areas.data, "[\"GM0356\"]", submission.areas.size);
    submission_clear(&submission);
    assert_int_equal(feed_size(fixture), 0);
    assert_false(on_disk(fixture, "user-17"));
    assert_int_equal(review_get(fixture->feeds, 3, &submission, &fault), KAART_UNKNOWN);
}

static void approval_puts_it_into_the_feed_once(void **state)
{
    struct fixture *fixture = *state;
    struct submission submission;
    struct entry entry;
    bool changed;
    uint64_t number = submit(fixture, 1, "{\"name\":\"Buurttuin\"}", "user-17");
    assert_ok(approve(fixture, number, &changed));
    assert_true(changed);
    char *line = entry_of(fixture, 1, number);
    assert_non_null(line);
    assert_ok(entry_parse(line, strlen(line), &entry, &fault));
    assert_string_equal(entry.role, "resident");
    assert_int_equal(entry.verified, 20000);
    assert_memory_equal(entry.body.data, "{\"name\":\"Buurttuin\"}", entry.body.size);
    free(line);
    assert_int_equal(feed_size(fixture), 1);
    assert_ok(approve(fixture, number, &changed));
    assert_false(changed);
    assert_int_equal(feed_size(fixture), 1);
    assert_ok(review_get(fixture->feeds, number, &submission, &fault));
    assert_int_equal(submission.state, REVIEW_APPROVED);
    assert_string_equal(submission.editor, "M. de Vries");
    assert_int_equal(submission.decided, NOW_MS / DAY_MS);
    assert_null(submission.text);
    assert_int_equal(submission.same_submitter, 0);
    submission_clear(&submission);
    assert_int_equal(review_reject(fixture->feeds, number, "", "too late", NOW_MS, &fault), KAART_INVALID);
    assert_non_null(strstr(fault.text, "kaartctl retract service"));
}

static void two_residents_say_different_things(void **state)
{
    struct fixture *fixture = *state;
    bool changed;
    uint64_t a = submit(fixture, 1, "{\"name\":\"A\"}", "a"), b = submit(fixture, 1, "{\"name\":\"B\"}", "b");
    assert_ok(approve(fixture, b, &changed));
    assert_ok(approve(fixture, a, &changed));
    char *first = entry_of(fixture, 1, a), *second = entry_of(fixture, 1, b);
    assert_non_null(strstr(first, "\"A\""));
    assert_non_null(strstr(second, "\"B\""));
    free(first);
    free(second);
}

static void rejection_leaves_no_words(void **state)
{
    struct fixture *fixture = *state;
    struct submission submission;
    bool changed;
    uint64_t number = submit(fixture, 1, "{\"name\":\"Geheimzinnig\"}", "user-17");
    assert_true(on_disk(fixture, "Geheimzinnig"));
    assert_int_equal(review_reject(fixture->feeds, number, "Vries", "", NOW_MS, &fault), KAART_INVALID);
    assert_int_equal(review_reject(fixture->feeds, number, "Vries", "a\nb", NOW_MS, &fault), KAART_INVALID);
    assert_int_equal(state_of(fixture, number), REVIEW_WAITING);
    assert_ok(review_reject(fixture->feeds, number, "Vries", "bestaat niet meer", NOW_MS + DAY_MS, &fault));
    assert_ok(review_reject(fixture->feeds, number, "Other", "anders", NOW_MS, &fault));
    assert_false(on_disk(fixture, "Geheimzinnig"));
    assert_ok(review_get(fixture->feeds, number, &submission, &fault));
    assert_int_equal(submission.state, REVIEW_REJECTED);
    assert_string_equal(submission.reason, "bestaat niet meer");
    assert_string_equal(submission.editor, "Vries");
    assert_int_equal(submission.decided, NOW_MS / DAY_MS + 1);
    assert_string_equal(submission.kind, "service");
    assert_null(submission.text);
    assert_int_equal(submission.same_submitter, 0);
    assert_int_equal(approve(fixture, number, &changed), KAART_INVALID);
    assert_int_equal(feed_size(fixture), 0);
    submission_clear(&submission);
}

static void a_submitter_has_bounds(void **state)
{
    struct fixture *fixture = *state;
    uint64_t number;
    int64_t now_ms = NOW_MS;
    unsigned waiting = 0;
    for (; waiting < REVIEW_PER_DAY_MAX; waiting++)
        submit(fixture, waiting, "{}", "busy");
    assert_int_equal(submit_at(fixture, 99, "{}", "busy", now_ms, &number), KAART_BUSY);
    assert_non_null(strstr(fault.text, "tomorrow"));
    assert_ok(submit_at(fixture, 99, "{}", "other", now_ms, &number));
    /* A decision gives no more of today. */
    assert_ok(review_reject(fixture->feeds, 1, "", "no", now_ms, &fault));
    assert_int_equal(submit_at(fixture, 99, "{}", "busy", now_ms, &number), KAART_BUSY);
    for (waiting--; waiting < REVIEW_WAITING_PER_SUBMITTER_MAX; waiting++) {
        if (submit_at(fixture, waiting, "{}", "busy", now_ms, &number) == KAART_BUSY) {
            now_ms += DAY_MS;
            assert_ok(submit_at(fixture, waiting, "{}", "busy", now_ms, &number));
        }
    }
    assert_int_equal(submit_at(fixture, 99, "{}", "busy", now_ms + DAY_MS, &number), KAART_BUSY);
    assert_non_null(strstr(fault.text, "of this submitter wait"));
    /* After a restart the key is the same. */
    fixture_reopen(fixture);
    assert_int_equal(submit_at(fixture, 99, "{}", "busy", now_ms + DAY_MS, &number), KAART_BUSY);
}

static void those_who_are_not_named_count_as_one(void **state)
{
    struct fixture *fixture = *state;
    uint64_t number;
    for (unsigned i = 0; i < REVIEW_PER_DAY_MAX; i++)
        submit(fixture, i, "{}", i % 2 ? NULL : "");
    assert_int_equal(submit_at(fixture, 99, "{}", NULL, NOW_MS, &number), KAART_BUSY);
}

static void the_queue_has_a_bound(void **state)
{
    struct fixture *fixture = *state;
    uint64_t number, count;
    char text[512];
    submit(fixture, 1, "{}", "a");
    snprintf(text, sizeof(text),
             "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) "
             "INSERT INTO review(state, feed, kind, id, line, submitter, submitted) "
             "SELECT 0, feed, kind, id, 0, randomblob(32), 0 FROM n JOIN review r ON r.number = 1",
             REVIEW_QUEUE_MAX - 1);
    sql(fixture, text);
    assert_ok(review_waiting(fixture->feeds, &count, &fault));
    assert_int_equal(count, REVIEW_QUEUE_MAX);
    assert_int_equal(submit_at(fixture, 1, "{}", "b", NOW_MS, &number), KAART_BUSY);
    assert_non_null(strstr(fault.text, "2000 submissions wait"));
}

static void wrong_input_is_refused(void **state)
{
    struct fixture *fixture = *state;
    uint64_t number;
    char *large = malloc(REVIEW_SIZE_MAX + 32), name[REVIEW_SUBMITTER_MAX + 2];
    bool changed;
    snprintf(large, REVIEW_SIZE_MAX + 32, "{\"name\":\"%0*d\"}", REVIEW_SIZE_MAX, 0);
    assert_int_equal(submit_at(fixture, 1, large, "a", NOW_MS, &number), KAART_LIMIT);
    free(large);
    memset(name, 'a', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    assert_int_equal(submit_at(fixture, 1, "{}", name, NOW_MS, &number), KAART_INVALID);
    assert_int_equal(submit_at(fixture, 1, "{}", "a\001", NOW_MS, &number), KAART_INVALID);
    assert_int_equal(submit_at(fixture, 1, "{}", "\xff", NOW_MS, &number), KAART_INVALID);
    assert_int_equal(approve(fixture, 7, &changed), KAART_UNKNOWN);
    assert_int_equal(review_reject(fixture->feeds, 7, "", "no", NOW_MS, &fault), KAART_UNKNOWN);
    uint64_t count;
    assert_ok(review_waiting(fixture->feeds, &count, &fault));
    assert_int_equal(count, 0);
}

static void what_may_not_be_signed_waits_on(void **state)
{
    struct fixture *fixture = *state;
    struct submission submission;
    bool changed;
    uint64_t number = submit(fixture, 1, "{}", "a");
    feeds_allow_signing(fixture->feeds, FEED, false, "the guard waits");
    assert_int_equal(approve(fixture, number, &changed), KAART_GUARD);
    assert_ok(review_get(fixture->feeds, number, &submission, &fault));
    assert_int_equal(submission.state, REVIEW_WAITING);
    assert_int_equal(submission.decided, DAY_NONE);
    assert_int_equal(submission.same_submitter, 1);
    assert_non_null(submission.text);
    submission_clear(&submission);
    feeds_allow_signing(fixture->feeds, FEED, true, NULL);
    assert_ok(approve(fixture, number, &changed));
    assert_int_equal(state_of(fixture, number), REVIEW_APPROVED);
}

/* What a kill leaves: the decision without the claim, or both without the last word. */
static void a_crash_is_settled(void **state)
{
    struct fixture *fixture = *state;
    bool changed;
    uint64_t lost = submit(fixture, 1, "{\"name\":\"A\"}", "a"),
             taken = submit(fixture, 2, "{\"name\":\"B\"}", "b");
    assert_ok(approve(fixture, taken, &changed));
    sql(fixture, "UPDATE review SET state = 1, decided = 5, editor = 'V' WHERE number = 1;"
                 "UPDATE review SET state = 1 WHERE number = 2");
    fixture_reopen(fixture);
    feeds_allow_signing(fixture->feeds, FEED, true, NULL);
    assert_int_equal(state_of(fixture, lost), REVIEW_WAITING);
    assert_int_equal(state_of(fixture, taken), REVIEW_APPROVED);
    struct submission submission;
    assert_ok(review_get(fixture->feeds, taken, &submission, &fault));
    assert_string_equal(submission.editor, "M. de Vries");
    submission_clear(&submission);
    assert_ok(approve(fixture, lost, &changed));
    assert_true(changed);
    assert_int_equal(feed_size(fixture), 2);
}

/* The queue came back from a backup and counts numbers again that the feed has. */
static void a_number_of_a_restored_queue_replaces_nothing(void **state)
{
    struct fixture *fixture = *state;
    bool changed;
    uint64_t number = submit(fixture, 1, "{\"name\":\"A\"}", "a");
    assert_ok(approve(fixture, number, &changed));
    sql(fixture, "DELETE FROM review; DELETE FROM sqlite_sequence WHERE name = 'review'");
    assert_int_equal(submit(fixture, 1, "{\"name\":\"B\"}", "b"), number);
    assert_int_equal(approve(fixture, number, &changed), KAART_INVALID);
    assert_int_equal(state_of(fixture, number), REVIEW_WAITING);
    assert_int_equal(feed_size(fixture), 1);
    assert_ok(review_reject(fixture->feeds, number, "", "submit anew", NOW_MS, &fault));
    char *line = entry_of(fixture, 1, number);
    assert_non_null(strstr(line, "\"A\""));
    free(line);
}

/* A person in the queue is found there and erased, and does not come in again. */
static void a_person_is_erased_from_the_queue(void **state)
{
    struct fixture *fixture = *state;
    const struct subject_question question = {.text = "Anna Verzonnen"};
    struct subject_keys keys = {.feed = FEED, .keys = {fixture->key}, .key_count = 1};
    cJSON *report = NULL;
    uint64_t number =
                 submit(fixture, 1, "{\"contacts\":[{\"name\":\"Anna Verzonnen\"}],\"name\":\"A\"}", "a"),
             other = submit(fixture, 2, "{\"name\":\"B\"}", "a");
    assert_ok(subject_find(fixture->feeds, &question, &report, &fault));
    const cJSON *match = json_get(report, "matches")->child;
    assert_non_null(match);
    assert_null(match->next);
    assert_int_equal(json_get(match, "submission")->valueint, number);
    assert_string_equal(json_get_string(match, "action"), "reject");
    assert_string_equal(json_get(match, "fields")->child->valuestring, "/contacts/0/name");
    cJSON_Delete(report);
    assert_int_equal(state_of(fixture, number), REVIEW_WAITING);
    assert_ok(subject_erase(fixture->feeds, &question, &keys, 1, NOW_MS, &report, &fault));
    cJSON_Delete(report);
    assert_int_equal(state_of(fixture, number), REVIEW_REJECTED);
    assert_int_equal(state_of(fixture, other), REVIEW_WAITING);
    assert_false(on_disk(fixture, "Verzonnen"));
    assert_int_equal(submit_at(fixture, 1, "{\"name\":\"anna verzonnen\"}", "a", NOW_MS, &number),
                     KAART_INVALID);
    number =
        submit(fixture, 1,
               "{\"name\":\"A\",\"contacts\":[{\"name\":\"Anna Verzonnen\"},{\"title\":\"Balie\"}]}", "a");
    struct submission submission;
    assert_ok(review_get(fixture->feeds, number, &submission, &fault));
    assert_memory_equal(submission.body.data, "{\"name\":\"A\",\"contacts\":[{\"title\":\"Balie\"}]}",
                        submission.body.size);
    submission_clear(&submission);
}

static int collect(void *context, const struct submission *submission)
{
    uint64_t *sum = context;
    *sum = *sum * 10 + submission->number;
    return 0;
}

static void lists_go_on_where_they_ended(void **state)
{
    struct fixture *fixture = *state;
    uint64_t found = 0;
    for (unsigned i = 1; i <= 5; i++)
        submit(fixture, i, "{}", "a");
    assert_ok(review_reject(fixture->feeds, 2, "", "no", NOW_MS, &fault));
    assert_ok(review_list(fixture->feeds, false, 0, 3, collect, &found, &fault));
    assert_int_equal(found, 134);
    assert_ok(review_list(fixture->feeds, false, 4, 3, collect, &found, &fault));
    assert_int_equal(found, 1345);
    found = 0;
    assert_ok(review_list(fixture->feeds, true, 0, 10, collect, &found, &fault));
    assert_int_equal(found, 12345);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(waits_with_its_words),
        TEST(approval_puts_it_into_the_feed_once),
        TEST(two_residents_say_different_things),
        TEST(rejection_leaves_no_words),
        TEST(a_submitter_has_bounds),
        TEST(those_who_are_not_named_count_as_one),
        TEST(the_queue_has_a_bound),
        TEST(wrong_input_is_refused),
        TEST(what_may_not_be_signed_waits_on),
        TEST(a_crash_is_settled),
        TEST(a_number_of_a_restored_queue_replaces_nothing),
        TEST(a_person_is_erased_from_the_queue),
        TEST(lists_go_on_where_they_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
