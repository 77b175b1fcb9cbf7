/* An own feed: what is appended, what is served, what is gone, and when nothing is signed. */
#include "store_fixture.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <uv.h>

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

static struct feed_head head_now(struct fixture *fixture)
{
    struct feed_head head;
    assert_ok(feeds_head(fixture->feeds, FEED, &head, &fault));
    return head;
}

static void the_first_claim_makes_the_feed(void **state)
{
    struct fixture *fixture = *state;
    struct feed_head head;
    assert_int_equal(feeds_head(fixture->feeds, FEED, &head, &fault), KAART_UNKNOWN);
    assert_int_equal(say(fixture, 1, "{\"name\":\"A\"}", NOW_MS), OWN_ADDED);
    head = head_now(fixture);
    assert_true(head.own && head.held);
    assert_int_equal(head.checkpoint.epoch, NOW_MS / 1000);
    assert_int_equal(head.checkpoint.size, 1);
    assert_int_equal(head.checkpoint.live, 1);
    struct checkpoint opened;
    assert_ok(checkpoint_open(head.note, head.note_size, FEED, &fixture->verifier, 1, &opened, &fault));
    assert_true(hash_equal(&opened.root, &head.checkpoint.root));
    assert_ok(feeds_verify(fixture->feeds, FEED, &fault));
}

static void claims_replace_and_are_compared(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(say(fixture, 1, "{\"name\":\"A\",\"url\":1}", NOW_MS), OWN_ADDED);
    assert_int_equal(say(fixture, 1, "{\"name\":\"A\",\"url\":1}", NOW_MS + 1), OWN_UNCHANGED);
    assert_int_equal(say(fixture, 1, "{\"url\":1,\"name\":\"A\"}", NOW_MS + 1), OWN_UNCHANGED);
    assert_int_equal(head_now(fixture).checkpoint.size, 1);
    assert_int_equal(say(fixture, 1, "{\"name\":\"B\"}", NOW_MS + 2), OWN_CHANGED);
    assert_int_equal(head_now(fixture).checkpoint.size, 2);
    assert_int_equal(head_now(fixture).checkpoint.live, 1);
    assert_int_equal(say(fixture, 1, NULL, NOW_MS + 3), OWN_RETRACTED);
    assert_int_equal(head_now(fixture).checkpoint.live, 1);
    assert_int_equal(say(fixture, 1, NULL, NOW_MS + 4), OWN_ABSENT);
    assert_int_equal(say(fixture, 2, NULL, NOW_MS + 4), OWN_ABSENT);
    assert_int_equal(say(fixture, 1, "{\"name\":\"B\"}", NOW_MS + 5), OWN_ADDED);
    assert_ok(feeds_verify(fixture->feeds, FEED, &fault));
}

static void verified_alone_counts_only_when_renewed(void **state)
{
    struct fixture *fixture = *state;
    char id[UUID_TEXT_SIZE + 1];
    struct own_result result;
    struct own_claim claim = claim_of(id_of(1, id), "{}");
    claim.verified = 20000;
#define APPEND()                                                                                             \
    feeds_append(fixture->feeds, FEED, &fixture->key, 1, NOW_MS, &claim, 1, false, &result, &fault)
    assert_ok(APPEND());
    claim.verified = 20001;
    assert_ok(APPEND());
    assert_int_equal(result.outcome, OWN_UNCHANGED);
    claim.renew = true;
    assert_ok(APPEND());
    assert_int_equal(result.outcome, OWN_CHANGED);
    assert_ok(APPEND());
    assert_int_equal(result.outcome, OWN_UNCHANGED);
    claim.missing_since = 20002;
    assert_ok(APPEND());
    assert_int_equal(result.outcome, OWN_CHANGED);
    claim.salted = true;
    assert_ok(APPEND());
    assert_int_equal(result.outcome, OWN_CHANGED);
    assert_ok(APPEND());
    assert_int_equal(result.outcome, OWN_UNCHANGED);
    assert_int_equal(result.seq, 3);
#undef APPEND
}

static void a_refused_claim_holds_up_nobody(void **state)
{
    struct fixture *fixture = *state;
    char ids[3][UUID_TEXT_SIZE + 1];
    struct own_claim claims[3] = {claim_of(id_of(1, ids[0]), "{}"), claim_of("NO-UUID", "{}"),
                                  claim_of(id_of(3, ids[2]), "{}")};
    struct own_result results[3];
    assert_ok(feeds_append(fixture->feeds, FEED, &fixture->key, 1, NOW_MS, claims, 3, true, results, &fault));
    assert_int_equal(results[0].outcome, OWN_ADDED);
    struct feed_head head;
    assert_int_equal(feeds_head(fixture->feeds, FEED, &head, &fault), KAART_UNKNOWN); /* it was a dry run */
    assert_ok(
        feeds_append(fixture->feeds, FEED, &fixture->key, 1, NOW_MS, claims, 3, false, results, &fault));
    assert_int_equal(results[0].outcome, OWN_ADDED);
    assert_int_equal(results[1].outcome, OWN_REFUSED);
    assert_true(strlen(results[1].fault.text) > 0);
    assert_int_equal(results[2].outcome, OWN_ADDED);
    assert_int_equal(results[2].seq, 1);
    claims[0].body = "{\"a\":1,\"a\":2}";
    assert_ok(
        feeds_append(fixture->feeds, FEED, &fixture->key, 1, NOW_MS, claims, 1, false, results, &fault));
    assert_int_equal(results[0].outcome, OWN_REFUSED);
    assert_int_equal(head_now(fixture).checkpoint.size, 2);
}

static void one_key_twice_in_one_append(void **state)
{
    struct fixture *fixture = *state;
    char id[UUID_TEXT_SIZE + 1];
    id_of(1, id);
    struct own_claim claims[3] = {claim_of(id, "{\"n\":1}"), claim_of(id, "{\"n\":2}"),
                                  claim_of(id, "{\"n\":3}")};
    struct own_result results[3];
    assert_ok(
        feeds_append(fixture->feeds, FEED, &fixture->key, 1, NOW_MS, claims, 3, false, results, &fault));
    assert_int_equal(results[2].seq, 2);
    assert_int_equal(head_now(fixture).checkpoint.size, 3);
    assert_int_equal(head_now(fixture).checkpoint.live, 1);
    assert_ok(feeds_verify(fixture->feeds, FEED, &fault));
}

static void pages_hold_whole_lines_and_end_in_a_control_line(void **state)
{
    struct fixture *fixture = *state;
    struct feeds_page page;
    uint64_t since = 0, entries = 0, pages = 0, seen = 0;
    for (unsigned i = 0; i < 50; i++)
        say(fixture, i, "{\"name\":\"een dienst\"}", NOW_MS + i);
    struct feed_head head = head_now(fixture);
    do {
        assert_ok(feeds_page(fixture->feeds, FEED, head.checkpoint.epoch, since, 2000, &page, &fault));
        pages++;
        entries += page.entries;
        assert_int_equal(page.bytes[page.size - 1], '\n');
        char *control = memrchr(page.bytes, '\n', page.size - 1);
        control = control != NULL ? control + 1 : page.bytes;
        if (!page.last)
            assert_int_equal(sscanf(control, "{\"next\":%lu}", &since), 1);
        else
            assert_memory_equal(control, "{\"checkpoint\":", 14);
        if (pages == 2) { /* entries die between pages: the rest is still right */
            for (unsigned i = 45; i < 50; i++)
                say(fixture, i, "{\"name\":\"anders\"}", NOW_MS + 100);
            seen = entries;
        }
        if (page.last)
            assert_int_equal(page.checkpoint.size, 55);
        free(page.bytes);
    } while (!page.last);
    assert_true(pages > 3 && seen > 0);
    assert_int_equal(entries, 50);

    /* A line larger than the page still goes out. */
    assert_ok(feeds_page(fixture->feeds, FEED, head.checkpoint.epoch, 0, 1, &page, &fault));
    assert_int_equal(page.entries, 1);
    assert_false(page.last);
    free(page.bytes);
    /* Another epoch, or a position beyond the head: the checkpoint alone. [STREAM-7] */
    assert_ok(feeds_page(fixture->feeds, FEED, head.checkpoint.epoch + 1, 0, 2000, &page, &fault));
    assert_true(page.last && page.entries == 0);
    free(page.bytes);
    assert_ok(feeds_page(fixture->feeds, FEED, head.checkpoint.epoch, 56, 2000, &page, &fault));
    assert_true(page.last && page.entries == 0);
    free(page.bytes);
    assert_ok(feeds_page(fixture->feeds, FEED, head.checkpoint.epoch, 55, 2000, &page, &fault));
    assert_true(page.last && page.entries == 0);
    free(page.bytes);
    assert_int_equal(feeds_page(fixture->feeds, "houten.example/public", 1, 0, 2000, &page, &fault),
                     KAART_UNKNOWN);
    assert_null(page.bytes);
}

static void the_etag_is_the_hash_of_the_note(void **state)
{
    struct fixture *fixture = *state;
    struct feeds_page page;
    struct hash digest;
    char hex[HASH_SIZE * 2 + 1], wanted[80], before[80];
    say(fixture, 1, "{}", NOW_MS);
    struct feed_head head = head_now(fixture);
    struct hasher *hasher = hasher_new();
    assert_ok(hasher_digest(hasher, head.note, head.note_size, &digest));
    hasher_free(hasher);
    hex_encode(digest.bytes, HASH_SIZE, hex);
    snprintf(wanted, sizeof(wanted), "W/\"%s\"", hex);
    assert_ok(feeds_page(fixture->feeds, FEED, head.checkpoint.epoch, 0, 2000, &page, &fault));
    assert_string_equal(page.etag, wanted);
    strcpy(before, page.etag);
    free(page.bytes);
    assert_ok(feeds_heartbeat(fixture->feeds, FEED, &fixture->key, 1, NOW_MS + 5000, &fault));
    assert_ok(feeds_page(fixture->feeds, FEED, head.checkpoint.epoch, 1, 2000, &page, &fault));
    assert_string_not_equal(page.etag, before);
    assert_int_equal(page.checkpoint.size, 1);
    assert_int_equal(page.checkpoint.time_s, NOW_MS / 1000 + 5);
    free(page.bytes);
}

static void a_heartbeat_makes_an_empty_feed(void **state)
{
    struct fixture *fixture = *state;
    assert_ok(feeds_heartbeat(fixture->feeds, FEED, &fixture->key, 1, NOW_MS, &fault));
    struct feed_head head = head_now(fixture);
    assert_int_equal(head.checkpoint.size, 0);
    assert_true(hash_is_zero(&head.checkpoint.root));
    assert_int_equal(say(fixture, 1, "{}", NOW_MS + 1), OWN_ADDED);
    assert_int_equal(head_now(fixture).checkpoint.epoch, head.checkpoint.epoch);
}

static void dead_means_gone(void **state)
{
    struct fixture *fixture = *state;
    char id[UUID_TEXT_SIZE + 1];
    bool more;
    for (unsigned i = 0; i < 20; i++)
        say(fixture, i, "{\"name\":\"blijft\"}", NOW_MS);
    say(fixture, 5, "{\"name\":\"geheim-een\"}", NOW_MS);
    assert_true(on_disk(fixture, "geheim-een"));
    say(fixture, 5, "{\"name\":\"nieuw\"}", NOW_MS);
    do
        assert_ok(feeds_tidy(fixture->feeds, &more, &fault));
    while (more);
    assert_false(on_disk(fixture, "geheim-een"));

    /* Erasure does not wait for idle time. [ENTRY-14] */
    say(fixture, 6, "{\"name\":\"geheim-twee\"}", NOW_MS);
    struct own_claim claim = claim_of(id_of(6, id), NULL);
    struct own_result result;
    claim.op = ENTRY_ERASE;
    assert_ok(
        feeds_append(fixture->feeds, FEED, &fixture->key, 1, NOW_MS, &claim, 1, false, &result, &fault));
    assert_int_equal(result.outcome, OWN_RETRACTED);
    assert_false(on_disk(fixture, "geheim-twee"));
    assert_true(on_disk(fixture, "blijft"));
    assert_ok(feeds_verify(fixture->feeds, FEED, &fault));
}

/* Lines of many sizes live and die in random order: whoever deletes rows finds copies of them in the gaps of pages. */
static void dead_means_gone_whatever_the_order(void **state)
{
    struct fixture *fixture = *state;
    static char live[300][16], died[3000][16], body[3000];
    size_t died_count = 0;
    bool more;
    srand(5);
    for (unsigned round = 0; round < 1500; round++) {
        unsigned number = (unsigned)rand() % 300;
        char mark[16];
        snprintf(mark, sizeof(mark), "M%06uX", round);
        int filler = rand() % 3 == 0 ? rand() % 2500 : rand() % 200;
        snprintf(body, sizeof(body), "{\"name\":\"%s%0*d\"}", mark, filler + 1, 0);
        if (live[number][0] != '\0')
            strcpy(died[died_count++], live[number]);
        bool retract = live[number][0] != '\0' && rand() % 4 == 0;
        say(fixture, number, retract ? NULL : body, NOW_MS);
        strcpy(live[number], retract ? "" : mark);
    }
    do
        assert_ok(feeds_tidy(fixture->feeds, &more, &fault));
    while (more);
    assert_ok(feeds_verify(fixture->feeds, FEED, &fault));
    for (size_t i = 0; i < died_count; i++)
        assert_false(on_disk(fixture, died[i]));
    for (size_t i = 0; i < 300; i += 17)
        assert_true(live[i][0] == '\0' || on_disk(fixture, live[i]));
}

static void nothing_is_signed_unless_the_guard_allows(void **state)
{
    struct fixture *fixture = *state;
    char id[UUID_TEXT_SIZE + 1];
    struct own_claim claim = claim_of(id_of(1, id), "{}");
    struct own_result result;
#define APPEND(dry)                                                                                          \
    feeds_append(fixture->feeds, FEED, &fixture->key, 1, NOW_MS, &claim, 1, dry, &result, &fault)
    feeds_allow_signing(fixture->feeds, FEED, false, "two peers have to answer first");
    assert_int_equal(APPEND(false), KAART_GUARD);
    assert_non_null(strstr(fault.text, "two peers have to answer first"));
    assert_ok(APPEND(true));
    fixture_reopen(fixture); /* a start takes the permission away */
    assert_int_equal(APPEND(false), KAART_GUARD);
    assert_int_equal(feeds_heartbeat(fixture->feeds, FEED, &fixture->key, 1, NOW_MS, &fault), KAART_GUARD);
    feeds_allow_signing(fixture->feeds, FEED, true, "");
    assert_ok(APPEND(false));
    assert_ok(feeds_freeze(fixture->feeds, FEED, "two histories", "the proof", &fault));
    assert_int_equal(APPEND(false), KAART_FORK);
    char *proof;
    assert_ok(feeds_proof(fixture->feeds, FEED, &proof, &fault));
    assert_string_equal(proof, "the proof");
    free(proof);
    assert_ok(feeds_freeze(fixture->feeds, FEED, "", NULL, &fault));
    assert_ok(APPEND(false));
#undef APPEND
}

static void keys_of_other_feeds_do_not_sign(void **state)
{
    struct fixture *fixture = *state;
    struct own_result result;
    char id[UUID_TEXT_SIZE + 1];
    struct own_claim claim = claim_of(id_of(1, id), "{}");
    feeds_allow_signing(fixture->feeds, "houten.example/public", true, NULL);
    assert_int_equal(feeds_append(fixture->feeds, "houten.example/public", &fixture->key, 1, NOW_MS, &claim,
                                  1, false, &result, &fault),
                     KAART_KEY);
}

static void the_clock_may_not_go_back(void **state)
{
    struct fixture *fixture = *state;
    say(fixture, 1, "{\"n\":1}", NOW_MS);
    say(fixture, 2, "{\"n\":1}", NOW_MS - CLOCK_AHEAD_MAX_MS); /* a little is borne: `at` stands still */
    struct feed_head head = head_now(fixture);
    assert_int_equal(head.checkpoint.time_s, NOW_MS / 1000);
    struct hash leaf;
    char *line;
    size_t size;
    struct entry entry;
    assert_ok(feeds_entry_at(fixture->feeds, head.id, head.generation, 1, &leaf, &line, &size, &fault));
    assert_ok(entry_parse(line, size, &entry, &fault));
    assert_int_equal(entry.at_ms, NOW_MS);
    free(line);
    assert_int_equal(
        feeds_heartbeat(fixture->feeds, FEED, &fixture->key, 1, NOW_MS - CLOCK_AHEAD_MAX_MS - 1001, &fault),
        KAART_CLOCK);
    assert_non_null(strstr(fault.text, "clock"));
    assert_int_equal(head_now(fixture).checkpoint.size, 2);
}

static char *own_head_text(struct fixture *fixture)
{
    static char text[20000];
    FILE *file = fopen(fixture->own_head, "rb");
    assert_non_null(file);
    size_t size = fread(text, 1, sizeof(text) - 1, file);
    text[size] = '\0';
    fclose(file);
    return text;
}

static void the_own_head_copy_follows_and_guards(void **state)
{
    struct fixture *fixture = *state;
    char *note, old[20000];
    size_t size;
    assert_int_equal(feeds_own_head_copy(fixture->feeds, FEED, &note, &size, &fault), KAART_UNKNOWN);
    say(fixture, 1, "{}", NOW_MS);
    strcpy(old, own_head_text(fixture));
    say(fixture, 2, "{}", NOW_MS);
    struct feed_head head = head_now(fixture);
    assert_ok(feeds_own_head_copy(fixture->feeds, FEED, &note, &size, &fault));
    assert_int_equal(size, head.note_size);
    assert_memory_equal(note, head.note, size);
    free(note);

    /* A crash between commit and copy: the copy lags, and is completed at the next start. */
    FILE *file = fopen(fixture->own_head, "wb");
    fputs(old, file);
    fclose(file);
    fixture_reopen(fixture);
    assert_non_null(strstr(own_head_text(fixture), "\\nsize 2\\n"));

    /* A copy that was lost is not made up before the guard allows signing. */
    unlink(fixture->own_head);
    fixture_reopen(fixture);
    assert_int_equal(access(fixture->own_head, F_OK), -1);
    feeds_allow_signing(fixture->feeds, FEED, true, NULL);
    assert_non_null(strstr(own_head_text(fixture), "\\nsize 2\\n"));
    assert_ok(feeds_verify(fixture->feeds, FEED, &fault));
}

static void a_copy_that_is_ahead_stops_signing(void **state)
{
    struct fixture *fixture = *state;
    char copy[256], id[UUID_TEXT_SIZE + 1], ahead[20000];
    struct own_claim claim = claim_of(id_of(9, id), "{}");
    struct own_result result;
    say(fixture, 1, "{}", NOW_MS);
    feeds_close(fixture->feeds);
    snprintf(copy, sizeof(copy), "cp %s %s.backup", fixture->path, fixture->path);
    assert_int_equal(system(copy), 0);
    fixture_open(fixture);
    feeds_allow_signing(fixture->feeds, FEED, true, NULL);
    say(fixture, 2, "{}", NOW_MS);
    strcpy(ahead, own_head_text(fixture));
    feeds_close(fixture->feeds);
    snprintf(copy, sizeof(copy), "mv %s.backup %s", fixture->path, fixture->path);
    assert_int_equal(system(copy), 0);
    fixture_open(fixture); /* last night's backup */
    assert_string_equal(own_head_text(fixture), ahead);
    feeds_allow_signing(fixture->feeds, FEED, true, NULL); /* even if somebody errs */
    assert_int_equal(
        feeds_append(fixture->feeds, FEED, &fixture->key, 1, NOW_MS, &claim, 1, false, &result, &fault),
        KAART_GUARD);
    assert_string_equal(own_head_text(fixture), ahead);
    assert_int_equal(head_now(fixture).checkpoint.size, 1);
}

static void a_copy_that_cannot_be_written_stops_the_append(void **state)
{
    struct fixture *fixture = *state;
    char id[UUID_TEXT_SIZE + 1], directory[128];
    struct own_claim claim = claim_of(id_of(2, id), "{}");
    struct own_result result;
    say(fixture, 1, "{}", NOW_MS);
    snprintf(directory, sizeof(directory), "%s.new", fixture->own_head);
    assert_int_equal(mkdir(directory, 0755), 0);
    assert_int_equal(
        feeds_append(fixture->feeds, FEED, &fixture->key, 1, NOW_MS, &claim, 1, false, &result, &fault),
        KAART_IO);
    assert_non_null(strstr(fault.text, "own-head"));
    assert_int_equal(head_now(fixture).checkpoint.size, 1);
    rmdir(directory);
    assert_int_equal(say(fixture, 2, "{}", NOW_MS), OWN_ADDED);
}

static void marks_and_values_are_kept(void **state)
{
    struct fixture *fixture = *state;
    bool clean;
    char *value;
    assert_ok(feeds_take_clean(fixture->feeds, &clean, &fault));
    assert_false(clean);
    assert_ok(feeds_mark_clean(fixture->feeds, &fault));
    assert_ok(feeds_set_value(fixture->feeds, "sync/houten", "een", &fault));
    assert_ok(feeds_set_value(fixture->feeds, "sync/houten", "twee", &fault));
    fixture_reopen(fixture);
    assert_ok(feeds_take_clean(fixture->feeds, &clean, &fault));
    assert_true(clean);
    assert_ok(feeds_take_clean(fixture->feeds, &clean, &fault));
    assert_false(clean);
    assert_ok(feeds_get_value(fixture->feeds, "sync/houten", &value, &fault));
    assert_string_equal(value, "twee");
    free(value);
    assert_ok(feeds_set_value(fixture->feeds, "sync/houten", NULL, &fault));
    assert_int_equal(feeds_get_value(fixture->feeds, "sync/houten", &value, &fault), KAART_UNKNOWN);
}

static int count_entry(void *context, uint64_t seq, const struct hash *leaf, const char *line, size_t size)
{
    struct entry entry;
    (void)leaf;
    assert_int_equal(entry_parse(line, size, &entry, NULL), KAART_OK);
    assert_int_equal(entry.seq, seq);
    ++*(int *)context;
    return 0;
}

static void entries_and_paths_are_read(void **state)
{
    struct fixture *fixture = *state;
    int count = 0;
    for (unsigned i = 0; i < 300; i++)
        say(fixture, i % 280, i < 280 ? "{\"a\":1}" : "{\"a\":2}", NOW_MS);
    struct feed_head head = head_now(fixture);
    assert_ok(feeds_entries(fixture->feeds, head.id, head.generation, 0, 1000, count_entry, &count, &fault));
    assert_int_equal(count, 280);
    count = 0;
    assert_ok(feeds_entries(fixture->feeds, head.id, head.generation, 290, 5, count_entry, &count, &fault));
    assert_int_equal(count, 5);
    assert_int_equal(
        feeds_entries(fixture->feeds, head.id, head.generation + 1, 0, 5, count_entry, &count, &fault),
        KAART_OVERTAKEN);
    struct hasher *hasher = hasher_new();
    for (uint64_t seq = 0; seq < 300; seq += 37) {
        struct hash siblings[TREE_HEIGHT], leaf = {{0}}, root;
        char *line;
        size_t size;
        int code = feeds_entry_at(fixture->feeds, head.id, head.generation, seq, &leaf, &line, &size, &fault);
        assert_int_equal(code, seq < 20 ? KAART_UNKNOWN : KAART_OK);
        if (code == KAART_OK)
            free(line);
        assert_ok(feeds_path(fixture->feeds, FEED, seq, siblings, &head, &fault));
        assert_ok(tree_root_of_path(hasher, seq, &leaf, siblings, &root));
        assert_true(hash_equal(&root, &head.checkpoint.root));
    }
    hasher_free(hasher);
    struct entry_key key;
    char id[UUID_TEXT_SIZE + 1], *line;
    size_t size;
    uint64_t seq;
    hasher = hasher_new();
    assert_ok(entry_key(hasher, "service", id_of(3, id), "desk", &key));
    hasher_free(hasher);
    assert_ok(feeds_entry_by_key(fixture->feeds, FEED, &key, &seq, &line, &size, &fault));
    assert_int_equal(seq, 283);
    free(line);
}

static void a_reading_connection_sees_what_was_published(void **state)
{
    struct fixture *fixture = *state;
    struct feeds *reader;
    struct feed_head head;
    struct feeds_page page;
    say(fixture, 1, "{}", NOW_MS);
    assert_ok(feeds_open(fixture->path, false, NULL, &reader, &fault));
    assert_ok(feeds_head(reader, FEED, &head, &fault));
    assert_int_equal(head.checkpoint.size, 1);
    say(fixture, 2, "{}", NOW_MS);
    assert_ok(feeds_head(reader, FEED, &head, &fault));
    assert_int_equal(head.checkpoint.size, 2);
    assert_ok(feeds_page(reader, FEED, head.checkpoint.epoch, 0, 100000, &page, &fault));
    assert_int_equal(page.entries, 2);
    free(page.bytes);
    assert_int_equal(feeds_set_value(reader, "a", "b", &fault), KAART_INVALID);
    feeds_close(reader);
}

/* Looks at the head, and then at the copy, which must not be behind what was seen. */
struct watch {
    struct fixture *fixture;
    uv_sem_t ready;
    atomic_bool end;
    unsigned looks, changes, behind;
};

static void watch_heads(void *argument)
{
    struct watch *watch = argument;
    struct feeds *reader;
    struct feed_head head;
    struct fault why;
    uint64_t seen = 0;
    if (feeds_open(watch->fixture->path, false, NULL, &reader, &why) != KAART_OK)
        abort();
    uv_sem_post(&watch->ready);
    while (!atomic_load(&watch->end)) {
        char text[4096], *size;
        if (feeds_head(reader, FEED, &head, &why) != KAART_OK)
            abort();
        FILE *file = fopen(watch->fixture->own_head, "rb");
        if (file == NULL)
            abort();
        text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
        fclose(file);
        size = strstr(text, "\\nsize ");
        if (size == NULL || strtoull(size + 7, NULL, 10) < head.checkpoint.size)
            watch->behind++;
        watch->changes += head.checkpoint.size != seen;
        seen = head.checkpoint.size;
        watch->looks++;
    }
    feeds_close(reader);
}

static void nobody_reads_what_the_copy_does_not_have(void **state)
{
    struct fixture *fixture = *state;
    struct watch watch = {.fixture = fixture};
    uv_thread_t thread;
    say(fixture, 0, "{}", NOW_MS);
    assert_int_equal(uv_sem_init(&watch.ready, 0), 0);
    assert_int_equal(uv_thread_create(&thread, watch_heads, &watch), 0);
    uv_sem_wait(&watch.ready);
    for (unsigned i = 1; i < 200; i++)
        say(fixture, i, "{}", NOW_MS);
    atomic_store(&watch.end, true);
    uv_thread_join(&thread);
    uv_sem_destroy(&watch.ready);
    assert_true(watch.looks > 20 && watch.changes > 5);
    assert_int_equal(watch.behind, 0);
}

/* Between commit and copy the disk goes: the claims are kept, but nobody sees them before the copy could be made. */
static void a_copy_that_fails_late_withholds_the_feed(void **state)
{
    struct fixture *fixture = *state;
    struct feeds *reader;
    struct feed_head head;
    struct feeds_page page;
    bool more;
    say(fixture, 1, "{}", NOW_MS);
    assert_ok(feeds_open(fixture->path, false, NULL, &reader, &fault));
    /* COPY.new can be written, but not renamed over a directory. */
    unlink(fixture->own_head);
    assert_int_equal(mkdir(fixture->own_head, 0755), 0);
    char id[UUID_TEXT_SIZE + 1];
    struct own_claim claim = claim_of(id_of(2, id), "{}");
    struct own_result result;
    assert_int_equal(
        feeds_append(fixture->feeds, FEED, &fixture->key, 1, NOW_MS, &claim, 1, false, &result, &fault),
        KAART_IO);
    assert_ok(feeds_head(reader, FEED, &head, &fault));
    assert_int_equal(head.checkpoint.size, 1);
    assert_ok(feeds_tidy(fixture->feeds, &more, &fault));
    feeds_allow_signing(fixture->feeds, FEED, true, NULL); /* tries to complete the copy, in vain */
    assert_int_equal(feeds_head(reader, FEED, &head, &fault), KAART_IO);
    assert_int_equal(feeds_page(reader, FEED, NOW_MS / 1000, 0, 1000, &page, &fault), KAART_IO);
    rmdir(fixture->own_head);
    assert_ok(feeds_tidy(fixture->feeds, &more, &fault));
    assert_ok(feeds_head(reader, FEED, &head, &fault));
    assert_non_null(strstr(own_head_text(fixture), "\\nsize 1\\n"));
    feeds_close(reader);
}

static void run_sql(struct fixture *fixture, const char *sql)
{
    sqlite3 *db;
    feeds_close(fixture->feeds);
    fixture->feeds = NULL;
    assert_int_equal(sqlite3_open(fixture->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void foreign_and_newer_files_are_refused(void **state)
{
    struct fixture *fixture = *state;
    struct feeds *second;
    assert_int_equal(feeds_open(fixture->path, true, fixture->own_head, &second, &fault), KAART_BUSY);
    run_sql(fixture, "PRAGMA user_version=99");
    assert_int_equal(feeds_open(fixture->path, true, fixture->own_head, &fixture->feeds, &fault),
                     KAART_INVALID);
    assert_non_null(strstr(fault.text, "newer"));
    fixture->feeds = NULL;
    run_sql(fixture, "PRAGMA user_version=1; PRAGMA application_id=77");
    assert_int_equal(feeds_open(fixture->path, true, fixture->own_head, &fixture->feeds, &fault),
                     KAART_INVALID);
    assert_non_null(strstr(fault.text, "another application"));
    fixture->feeds = NULL;
    FILE *file = fopen(fixture->path, "wb");
    fputs("this is no database, but a text that is long enough to be looked at as one, is it not?", file);
    fclose(file);
    assert_int_equal(feeds_open(fixture->path, true, fixture->own_head, &fixture->feeds, &fault),
                     KAART_CORRUPT);
    fixture->feeds = NULL;
    assert_int_equal(feeds_open("/nowhere/feeds.db", true, NULL, &fixture->feeds, &fault), KAART_IO);
    fixture->feeds = NULL;
    assert_int_equal(feeds_open("/nowhere/feeds.db", false, NULL, &fixture->feeds, &fault), KAART_IO);
    fixture->feeds = NULL;
}

static void damage_is_noticed(void **state)
{
    struct fixture *fixture = *state;
    for (unsigned i = 0; i < 400; i++)
        say(fixture, i, "{\"name\":\"iets dat bewaard moet blijven\"}", NOW_MS);
    /* One letter of a stored line: only verification can see it. */
    run_sql(
        fixture,
        "UPDATE line SET bytes=cast(replace(cast(bytes AS TEXT),'bewaard','bewaart') AS BLOB) WHERE id=100");
    fixture_open(fixture);
    assert_int_equal(feeds_verify(fixture->feeds, FEED, &fault), KAART_CORRUPT);
    /* A line that is gone: a page would be short. */
    run_sql(fixture, "DELETE FROM line WHERE id=100");
    fixture_open(fixture);
    struct feeds_page page;
    assert_int_equal(feeds_page(fixture->feeds, FEED, NOW_MS / 1000, 0, 1000000, &page, &fault),
                     KAART_CORRUPT);
    /* A node of the tree: the next signature does not come. */
    run_sql(fixture, "UPDATE node SET hash=zeroblob(32) WHERE id=(SELECT max(id) FROM node)");
    fixture_open(fixture);
    feeds_allow_signing(fixture->feeds, FEED, true, NULL);
    assert_int_equal(feeds_heartbeat(fixture->feeds, FEED, &fixture->key, 1, NOW_MS, &fault), KAART_CORRUPT);
    /* A page of the file: the quick check sees it. */
    feeds_close(fixture->feeds);
    fixture->feeds = NULL;
    int file = open(fixture->path, O_WRONLY);
    char noise[4096];
    memset(noise, 0xa5, sizeof(noise));
    for (off_t at = 4096 * 2; at < 4096 * 12; at += 4096)
        assert_int_equal(pwrite(file, noise, sizeof(noise), at), sizeof(noise));
    close(file);
    assert_int_equal(feeds_open(fixture->path, true, fixture->own_head, &fixture->feeds, &fault),
                     KAART_CORRUPT);
    fixture->feeds = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(the_first_claim_makes_the_feed),
        TEST(claims_replace_and_are_compared),
        TEST(verified_alone_counts_only_when_renewed),
        TEST(a_refused_claim_holds_up_nobody),
        TEST(one_key_twice_in_one_append),
        TEST(pages_hold_whole_lines_and_end_in_a_control_line),
        TEST(the_etag_is_the_hash_of_the_note),
        TEST(a_heartbeat_makes_an_empty_feed),
        TEST(dead_means_gone),
        TEST(dead_means_gone_whatever_the_order),
        TEST(nothing_is_signed_unless_the_guard_allows),
        TEST(keys_of_other_feeds_do_not_sign),
        TEST(the_clock_may_not_go_back),
        TEST(the_own_head_copy_follows_and_guards),
        TEST(a_copy_that_is_ahead_stops_signing),
        TEST(a_copy_that_cannot_be_written_stops_the_append),
        TEST(marks_and_values_are_kept),
        TEST(entries_and_paths_are_read),
        TEST(a_reading_connection_sees_what_was_published),
        TEST(nobody_reads_what_the_copy_does_not_have),
        TEST(a_copy_that_fails_late_withholds_the_feed),
        TEST(foreign_and_newer_files_are_refused),
        TEST(damage_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
