/* A person in the claims: found however they are written, taken out or erased, blocked, and kept out. */
#include "store_fixture.h"

#include "daemon/store/review.h"
#include "daemon/store/subject.h"
#include "protocol/json.h"

#include <sqlite3.h>

#define OTHER "houten.example/public"

static struct fixture *others; /* a node whose feed the first one holds */
static struct subject_keys keys;

static int setup(void **state)
{
    struct fixture *fixture = fixture_new();
    feeds_allow_signing(fixture->feeds, FEED, true, NULL);
    keys = (struct subject_keys){.feed = FEED, .keys = {fixture->key}, .key_count = 1};
    others = fixture_new();
    fixture_key(others, OTHER, 9);
    feeds_allow_signing(others->feeds, OTHER, true, NULL);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    fixture_free(*state);
    fixture_free(others);
    return 0;
}

static void sync_others(struct fixture *fixture)
{
    struct feed_head head;
    struct feeds_page page;
    struct stage *stage;
    struct stage_progress progress;
    struct checkpoint checkpoint;
    uint64_t since;
    assert_ok(feeds_head(others->feeds, OTHER, &head, &fault));
    struct stage_plan plan = {
        .feed = OTHER, .source = "houten", .full = true, .epoch = head.checkpoint.epoch};
    assert_ok(stage_open(fixture->feeds, &plan, &stage, &since, &fault));
    assert_ok(feeds_page(others->feeds, OTHER, plan.epoch, 0, 1 << 20, &page, &fault));
    assert_ok(stage_write(stage, page.bytes, page.size, &fault));
    assert_ok(stage_end_response(stage, &progress, &fault));
    free(page.bytes);
    assert_ok(checkpoint_open(head.note, head.note_size, OTHER, &others->verifier, 1, &checkpoint, &fault));
    assert_ok(stage_commit(stage, &checkpoint, head.note, head.note_size, &fault));
}

static cJSON *find(struct fixture *fixture, const char *text)
{
    struct subject_question question = {.text = text};
    cJSON *report;
    assert_ok(subject_find(fixture->feeds, &question, &report, &fault));
    return report;
}

static int found(struct fixture *fixture, const char *text)
{
    cJSON *report = find(fixture, text);
    int count = cJSON_GetArraySize(json_get(report, "matches"));
    cJSON_Delete(report);
    return count;
}

static cJSON *erase(struct fixture *fixture, const char *text)
{
    struct subject_question question = {.text = text};
    cJSON *report;
    assert_ok(subject_erase(fixture->feeds, &question, &keys, 1, NOW_MS, &report, &fault));
    return report;
}

static const char *text_at(const cJSON *report, int match, const char *name)
{
    return json_get_string(cJSON_GetArrayItem(json_get(report, "matches"), match), name);
}

/* What a follower (the map) is shown of a feed, in one text. */
static int append_line(void *context, uint64_t seq, const struct hash *leaf, const char *line, size_t size)
{
    char *text = context;
    (void)seq;
    (void)leaf;
    strncat(text, line, size);
    return strlen(text) < 60000 ? 0 : KAART_LIMIT;
}

static char *shown(struct fixture *fixture, const char *feed)
{
    static char text[70000];
    struct feed_head head;
    text[0] = '\0';
    assert_ok(feeds_head(fixture->feeds, feed, &head, &fault));
    assert_ok(feeds_entries(fixture->feeds, head.id, head.generation, 0, 1000, append_line, text, &fault));
    return text;
}

static const char contacts[] = "{\"name\":\"Stichting\",\"contacts\":[{\"department\":\"Balie\"},{\"name\":"
                               "\"Jan  de Proef\",\"phones\":[{\"number\":"
                               "\"+31 (0)30 555 0198\"}]}]}";

static void a_person_is_found_however_written(void **state)
{
    struct fixture *fixture = *state;
    struct subject_question question = {.text = "ab"};
    cJSON *report;
    say(fixture, 1, contacts, NOW_MS);
    assert_int_equal(found(fixture, "jan DE proef"), 1);
    assert_int_equal(found(fixture, " Jan de  Proef "), 1);
    assert_int_equal(found(fixture, "Piet de Proef"), 0);
    assert_int_equal(subject_find(fixture->feeds, &question, &report, &fault), KAART_INVALID);
    say(fixture, 2, "{\"description\":\"Bel 030-5550198 of mail.\"}", NOW_MS);
    assert_int_equal(found(fixture, "0305550198"), 2);
    assert_int_equal(found(fixture, "0031 30 555 01 98"), 2);
    say(fixture, 1, NULL, NOW_MS); /* a retraction says nothing of anybody */
    assert_int_equal(found(fixture, "jan de proef"), 0);
}

static void own_contacts_go_and_the_rest_stays(void **state)
{
    struct fixture *fixture = *state;
    bool more;
    say(fixture, 1, contacts, NOW_MS);
    say(fixture, 2, "{\"name\":\"Jan de Proef\"}", NOW_MS);
    cJSON *report = erase(fixture, "Jan de Proef");
    assert_string_equal(text_at(report, 0, "action"), "remove");
    assert_string_equal(text_at(report, 0, "outcome"), "changed");
    assert_string_equal(text_at(report, 1, "action"), "erase");
    assert_string_equal(text_at(report, 1, "outcome"), "erased");
    cJSON_Delete(report);
    assert_int_equal(found(fixture, "Jan de Proef"), 0);
    assert_non_null(strstr(shown(fixture, FEED), "Balie"));
    assert_non_null(strstr(shown(fixture, FEED), "\"op\":\"erase\""));
    do
        assert_ok(feeds_tidy(fixture->feeds, &more, &fault));
    while (more);
    assert_false(on_disk(fixture, "de Proef"));
    assert_ok(feeds_verify(fixture->feeds, FEED, &fault));

    /* It does not come back: not after a restart, not in other writing. */
    fixture_reopen(fixture);
    feeds_allow_signing(fixture->feeds, FEED, true, NULL);
    assert_int_equal(say(fixture, 1, contacts, NOW_MS),
                     OWN_UNCHANGED); /* without the contact it is what stands there */
    assert_int_equal(say(fixture, 3, "{\"name\":\"JAN DE PROEF\"}", NOW_MS), OWN_REFUSED);
    assert_int_equal(say(fixture, 3, "{\"name\":\"Jan de Proefmens\"}", NOW_MS),
                     OWN_ADDED); /* somebody else */
    char *value;
    assert_ok(feeds_get_value(fixture->feeds, PURGE_KEY, &value, &fault));
    free(value);
}

static void who_named_one_person_does_not_say_that_there_is_nobody(void **state)
{
    struct fixture *fixture = *state;
    say(fixture, 1,
        "{\"name\":\"Stichting\",\"contacts\":[{\"name\":\"Jan de Proef\"}],\"languages\":[],"
        "\"services\":[{\"name\":\"Inloop\",\"contacts\":[{\"name\":\"Jan de Proef\"}]}]}",
        NOW_MS);
    cJSON *report = erase(fixture, "Jan de Proef");
    assert_string_equal(text_at(report, 0, "action"), "remove");
    cJSON_Delete(report);
    assert_null(strstr(shown(fixture, FEED), "contacts"));
    assert_non_null(strstr(shown(fixture, FEED), "\"services\":[{\"name\":\"Inloop\"}]"));
    assert_non_null(strstr(shown(fixture, FEED), "\"languages\":[]")); /* was empty, and said so */
}

static void claims_of_others_are_blocked(void **state)
{
    struct fixture *fixture = *state;
    struct entry_key key;
    struct hasher *hasher = hasher_new();
    char id[UUID_TEXT_SIZE + 1], *line;
    uint64_t seq;
    size_t size;
    struct feed_head before, after;
    say(others, 1, contacts, NOW_MS);
    say(others, 2, "{\"name\":\"Jan de Proef\"}", NOW_MS);
    say(others, 3, "{\"name\":\"Iemand anders\"}", NOW_MS);
    sync_others(fixture);
    assert_ok(feeds_head(fixture->feeds, OTHER, &before, &fault));
    cJSON *report = erase(fixture, "jan de proef");
    assert_string_equal(text_at(report, 0, "action"), "block-part");
    assert_string_equal(text_at(report, 1, "action"), "block");
    assert_string_equal(cJSON_GetArrayItem(json_get(report, "ask"), 0)->valuestring, "houten.example");
    cJSON_Delete(report);
    assert_ok(feeds_head(fixture->feeds, OTHER, &after, &fault));
    assert_int_not_equal(before.generation, after.generation); /* so that followers take it anew */
    const char *text = shown(fixture, OTHER);
    assert_null(strstr(text, "de Proef"));
    assert_non_null(strstr(text, "Balie"));
    assert_non_null(strstr(text, "Iemand anders"));
    assert_non_null(strstr(text, "\"op\":\"retract\"")); /* in place of the one that is blocked whole */

    /* As evidence it is not given either; but it is held and relayed as it was signed. */
    assert_ok(entry_key(hasher, "service", id_of(2, id), "desk", &key));
    assert_int_equal(feeds_entry_by_key(fixture->feeds, OTHER, &key, &seq, &line, &size, &fault),
                     KAART_UNKNOWN);
    assert_ok(entry_key(hasher, "service", id_of(3, id), "desk", &key));
    assert_ok(feeds_entry_by_key(fixture->feeds, OTHER, &key, &seq, &line, &size, &fault));
    free(line);
    hasher_free(hasher);
    assert_ok(feeds_verify(fixture->feeds, OTHER, &fault));
    struct feeds_page page;
    assert_ok(feeds_page(fixture->feeds, OTHER, after.checkpoint.epoch, 0, 1 << 20, &page, &fault));
    assert_int_equal(page.entries, 3);
    assert_non_null(memmem(page.bytes, page.size, "de Proef", 8));
    free(page.bytes);

    /* Said anew by its origin, it is blocked still. */
    say(others, 2, "{\"name\":\"Jan de Proef\",\"status\":\"active\"}", NOW_MS);
    sync_others(fixture);
    assert_null(strstr(shown(fixture, OTHER), "de Proef"));
    bool more;
    do
        assert_ok(feeds_tidy(fixture->feeds, &more, &fault));
    while (more);
    assert_ok(feeds_verify(fixture->feeds, OTHER, &fault));

    /* Taken back. */
    assert_int_equal(subject_allow(fixture->feeds, "Piet de Proef", &fault), KAART_UNKNOWN);
    assert_ok(subject_allow(fixture->feeds, "JAN de Proef", &fault));
    assert_int_equal(subject_allow(fixture->feeds, "Jan de Proef", &fault), KAART_UNKNOWN);
    assert_non_null(strstr(shown(fixture, OTHER), "\"Jan de Proef\",\"status\""));
    assert_ok(feeds_verify(fixture->feeds, OTHER, &fault));
}

static void a_record_and_its_copies_are_erased(void **state)
{
    struct fixture *fixture = *state;
    char ids[3][UUID_TEXT_SIZE + 1], body[300];
    struct own_claim claims[3];
    struct own_result results[3];
    struct subject_question question = {.kind = "service", .id = id_of(1, ids[0])};
    cJSON *report;
    snprintf(body, sizeof(body),
             "{\"name\":\"kopie\",\"derived_from\":{\"feed\":\"%s\",\"kind\":\"service\",\"id\":\"%s\","
             "\"source\":\"desk\"}}",
             FEED, ids[0]);
    claims[0] = claim_of(ids[0], "{\"name\":\"een\"}");
    claims[1] = claim_of(ids[0], "{\"name\":\"twee\"}");
    claims[1].source = "other";
    claims[2] = claim_of(id_of(2, ids[2]), body);
    assert_ok(
        feeds_append(fixture->feeds, FEED, &fixture->key, 1, NOW_MS, claims, 3, false, results, &fault));
    question.source = "other";
    assert_ok(subject_find(fixture->feeds, &question, &report, &fault));
    assert_int_equal(cJSON_GetArraySize(json_get(report, "matches")), 1);
    cJSON_Delete(report);
    question.source = NULL;
    assert_ok(subject_erase(fixture->feeds, &question, &keys, 1, NOW_MS, &report, &fault));
    assert_int_equal(cJSON_GetArraySize(json_get(report, "matches")), 3);
    cJSON_Delete(report);
    /* The feed carries one erasure for each, the newest first; two are of that record. */
    assert_ok(subject_erasures(fixture->feeds, NULL, NULL, &report, &fault));
    const cJSON *erasures = json_get(report, "erasures");
    assert_int_equal(cJSON_GetArraySize(erasures), 3);
    assert_int_equal((int)json_get(cJSON_GetArrayItem(erasures, 0), "seq")->valuedouble, 5);
    assert_int_equal((int)json_get(cJSON_GetArrayItem(erasures, 2), "seq")->valuedouble, 3);
    assert_string_equal(json_get_string(cJSON_GetArrayItem(erasures, 0), "feed"), FEED);
    assert_false(cJSON_IsTrue(json_get(report, "more")));
    cJSON_Delete(report);
    assert_ok(subject_erasures(fixture->feeds, "service", ids[0], &report, &fault));
    assert_int_equal(cJSON_GetArraySize(json_get(report, "erasures")), 2);
    cJSON_Delete(report);
    assert_null(strstr(shown(fixture, FEED), "\"op\":\"assert\""));
    /* That was about a record, not a person: the same may be said again. */
    assert_int_equal(say(fixture, 1, "{\"name\":\"een\"}", NOW_MS), OWN_ADDED);
    /* Without a key nothing is done. */
    assert_int_equal(subject_erase(fixture->feeds, &question, NULL, 0, NOW_MS, &report, &fault), KAART_KEY);
}

static void a_submission_is_rejected(void **state)
{
    struct fixture *fixture = *state;
    char id[UUID_TEXT_SIZE + 1];
    struct review_claim claim = {.feed = FEED,
                                 .kind = "service",
                                 .id = id_of(1, id),
                                 .body = "{\"name\":\"Jan de Proef\"}",
                                 .verified = DAY_NONE};
    uint64_t number;
    struct submission submission;
    bool more;
    assert_ok(review_submit(fixture->feeds, &claim, "iemand", NOW_MS, &number, &fault));
    claim.body = "{\"name\":\"Iemand anders\"}";
    uint64_t other;
    assert_ok(review_submit(fixture->feeds, &claim, "iemand", NOW_MS, &other, &fault));
    assert_true(on_disk(fixture, "Jan de Proef"));
    cJSON *report = erase(fixture, "jan de proef");
    assert_int_equal(cJSON_GetArraySize(json_get(report, "matches")), 1);
    assert_string_equal(text_at(report, 0, "action"), "reject");
    assert_string_equal(text_at(report, 0, "outcome"), "rejected");
    cJSON_Delete(report);
    assert_ok(review_get(fixture->feeds, number, &submission, &fault));
    assert_int_equal(submission.state, REVIEW_REJECTED);
    submission_clear(&submission);
    assert_ok(review_get(fixture->feeds, other, &submission, &fault));
    assert_int_equal(submission.state, REVIEW_WAITING);
    submission_clear(&submission);
    do
        assert_ok(feeds_tidy(fixture->feeds, &more, &fault));
    while (more);
    assert_false(on_disk(fixture, "Jan de Proef"));
    assert_int_equal(found(fixture, "jan de proef"), 0);
}

static void an_older_file_is_migrated(void **state)
{
    struct fixture *fixture = *state;
    sqlite3 *db;
    say(fixture, 1, contacts, NOW_MS);
    feeds_close(fixture->feeds);
    assert_int_equal(sqlite3_open(fixture->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "DROP TABLE blocked; PRAGMA user_version=2", NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(db);
    struct feeds *reader;
    assert_int_equal(feeds_open(fixture->path, false, NULL, &reader, &fault), KAART_INVALID);
    fixture_open(fixture);
    assert_int_equal(found(fixture, "jan de proef"), 1);
    assert_ok(feeds_verify(fixture->feeds, FEED, &fault));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(a_person_is_found_however_written),
        TEST(own_contacts_go_and_the_rest_stays),
        TEST(who_named_one_person_does_not_say_that_there_is_nobody),
        TEST(claims_of_others_are_blocked),
        TEST(a_record_and_its_copies_are_erased),
        TEST(a_submission_is_rejected),
        TEST(an_older_file_is_migrated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
