/* What others sent: staged without effect, committed as a whole, or refused with nothing changed. */
#include "protocol/json.h"
#include "protocol/proof.h"
#include "store_fixture.h"

#include <inttypes.h>
#include <sqlite3.h>

/* An origin and a subscriber, and a second origin with the same key: the material of forks. */
struct world {
    struct fixture *origin, *other, *subscriber;
};

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    assert_non_null(world);
    world->origin = fixture_new();
    world->other = fixture_new();
    world->subscriber = fixture_new();
    feeds_allow_signing(world->origin->feeds, FEED, true, NULL);
    feeds_allow_signing(world->other->feeds, FEED, true, NULL);
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    fixture_free(world->origin);
    fixture_free(world->other);
    fixture_free(world->subscriber);
    free(world);
    return 0;
}

static struct feed_head head_of(struct fixture *fixture)
{
    struct feed_head head;
    int code = feeds_head(fixture->feeds, FEED, &head, &fault);
    if (code == KAART_UNKNOWN)
        memset(&head, 0, sizeof(head));
    else
        assert_int_equal(code, KAART_OK);
    return head;
}

static struct stage_plan plan_of(const struct feed_head *held, const struct feed_head *offered,
                                 const char *source, bool full)
{
    return (struct stage_plan){.feed = FEED,
                               .source = source,
                               .full = full,
                               .epoch = offered->checkpoint.epoch,
                               .since = full ? 0 : held->checkpoint.size};
}

/* Writes in odd pieces. */
static int write_pieces(struct stage *stage, const char *bytes, size_t size)
{
    for (size_t at = 0, piece = 1; at < size; at += piece, piece = piece * 2 % 4099 + 1) {
        if (piece > size - at)
            piece = size - at;
        int code = stage_write(stage, bytes + at, piece, &fault);
        if (code != KAART_OK)
            return code;
    }
    return KAART_OK;
}

/* Takes pages until the head is reached; `between` may change the origin after each page. The stage stays open. */
static int pull(struct world *world, struct fixture *from, const struct stage_plan *plan, size_t page_size,
                void (*between)(struct world *, unsigned page), struct stage **out,
                struct stage_progress *progress)
{
    uint64_t since;
    unsigned number = 0;
    int code = stage_open(world->subscriber->feeds, plan, out, &since, &fault);
    if (code != KAART_OK)
        return code;
    do {
        struct feeds_page page;
        assert_ok(feeds_page(from->feeds, FEED, plan->epoch, since, page_size, &page, &fault));
        code = write_pieces(*out, page.bytes, page.size);
        free(page.bytes);
        if (code == KAART_OK)
            code = stage_end_response(*out, progress, &fault);
        since = progress->next;
        if (code == KAART_OK && between != NULL)
            between(world, number++);
    } while (code == KAART_OK && !progress->complete);
    return code;
}

static int commit(struct world *world, struct stage *stage, const char *note, size_t size)
{
    struct checkpoint checkpoint;
    assert_ok(checkpoint_open(note, size, FEED, &world->origin->verifier, 1, &checkpoint, &fault));
    return stage_commit(stage, &checkpoint, note, size, &fault);
}

/* All of it. */
static int sync_from(struct world *world, struct fixture *from, bool full)
{
    struct feed_head held = head_of(world->subscriber), offered = head_of(from);
    struct stage_plan plan = plan_of(&held, &offered, "houten", full);
    struct stage *stage;
    struct stage_progress progress;
    int code = pull(world, from, &plan, 3000, NULL, &stage, &progress);
    if (code != KAART_OK)
        return code;
    char note[NOTE_SIZE_MAX];
    memcpy(note, progress.note, progress.note_size);
    return commit(world, stage, note, progress.note_size);
}

static void assert_same_state(struct world *world)
{
    struct feed_head a = head_of(world->origin), b = head_of(world->subscriber);
    assert_int_equal(a.note_size, b.note_size);
    assert_memory_equal(a.note, b.note, a.note_size);
    struct feeds_page x, y;
    assert_ok(feeds_page(world->origin->feeds, FEED, a.checkpoint.epoch, 0, 1 << 28, &x, &fault));
    assert_ok(feeds_page(world->subscriber->feeds, FEED, a.checkpoint.epoch, 0, 1 << 28, &y, &fault));
    assert_int_equal(x.size, y.size);
    assert_memory_equal(x.bytes, y.bytes, x.size); /* relayed byte for byte [HTTP-10] */
    assert_string_equal(x.etag, y.etag);
    free(x.bytes);
    free(y.bytes);
    assert_ok(feeds_verify(world->subscriber->feeds, FEED, &fault));
}

static void tidy(struct fixture *fixture)
{
    bool more;
    do
        assert_ok(feeds_tidy(fixture->feeds, &more, &fault));
    while (more);
}

static int64_t ask(struct fixture *fixture, const char *sql)
{
    sqlite3 *db;
    sqlite3_stmt *statement;
    assert_int_equal(sqlite3_open_v2(fixture->path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int64_t number = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return number;
}

/* Nothing is left but what is visible. */
static void assert_tidy(struct fixture *fixture)
{
    struct feed_head head = head_of(fixture);
    tidy(fixture);
    assert_int_equal(ask(fixture, "SELECT count(*) FROM stage"), 0);
    assert_int_equal(ask(fixture, "SELECT count(*) FROM generation"), head.held ? 1 : 0);
    assert_int_equal(ask(fixture, "SELECT count(*) FROM entry"), head.checkpoint.live);
    assert_int_equal(ask(fixture, "SELECT (SELECT count(*) FROM line) - (SELECT count(*) FROM free)"),
                     head.checkpoint.live);
    assert_int_equal(ask(fixture, "SELECT count(*) FROM dead"), 0);
    if (head.held)
        assert_ok(feeds_verify(fixture->feeds, FEED, &fault));
}

static void fill(struct fixture *fixture, unsigned from, unsigned to, const char *body)
{
    static struct own_claim claims[BATCH_ENTRIES_MAX];
    static struct own_result results[BATCH_ENTRIES_MAX];
    static char ids[BATCH_ENTRIES_MAX][UUID_TEXT_SIZE + 1];
    while (from < to) {
        size_t count = 0;
        for (; from < to && count < BATCH_ENTRIES_MAX; from++, count++)
            claims[count] = claim_of(id_of(from, ids[count]), body);
        assert_ok(feeds_append(fixture->feeds, FEED, &fixture->key, 1, NOW_MS, claims, count, false, results,
                               &fault));
    }
}

/* ---- what works ---- */

static void a_full_sync_and_deltas(void **state)
{
    struct world *world = *state;
    fill(world->origin, 0, 100, "{\"a\":1}");
    assert_int_equal(sync_from(world, world->origin, true), KAART_OK);
    assert_same_state(world);
    fill(world->origin, 20, 30, "{\"a\":2}"); /* replaced */
    fill(world->origin, 30, 40, NULL);        /* retracted */
    fill(world->origin, 100, 110, "{\"a\":3}");
    assert_int_equal(sync_from(world, world->origin, false), KAART_OK);
    assert_same_state(world);
    assert_int_equal(sync_from(world, world->origin, false), KAART_OK); /* the same */
    assert_ok(feeds_heartbeat(world->origin->feeds, FEED, &world->origin->key, 1, NOW_MS + 60000, &fault));
    assert_int_equal(sync_from(world, world->origin, false), KAART_OK);
    assert_same_state(world);
    fill(world->origin, 0, 110, "{\"a\":4}");
    assert_int_equal(sync_from(world, world->origin, true), KAART_OK); /* full, within the epoch */
    assert_same_state(world);
    assert_tidy(world->subscriber);
}

static void an_empty_feed(void **state)
{
    struct world *world = *state;
    assert_ok(feeds_heartbeat(world->origin->feeds, FEED, &world->origin->key, 1, NOW_MS, &fault));
    assert_int_equal(sync_from(world, world->origin, true), KAART_OK);
    assert_same_state(world);
    fill(world->origin, 0, 10, "{}");
    assert_int_equal(sync_from(world, world->origin, false), KAART_OK);
    assert_same_state(world);
}

static void replace_between(struct world *world, unsigned page)
{
    if (page == 1) { /* one that was sent, one that was not */
        say(world->origin, 0, "{\"n\":\"nieuw\"}", NOW_MS);
        say(world->origin, 99, "{\"n\":\"nieuw\"}", NOW_MS);
        say(world->origin, 1, NULL, NOW_MS);
    }
}

static void entries_die_between_pages(void **state)
{
    struct world *world = *state;
    struct stage *stage;
    struct stage_progress progress;
    fill(world->origin, 0, 100, "{\"a\":1}");
    struct feed_head held = head_of(world->subscriber), offered = head_of(world->origin);
    struct stage_plan plan = plan_of(&held, &offered, "houten", true);
    assert_ok(pull(world, world->origin, &plan, 3000, replace_between, &stage, &progress));
    char note[NOTE_SIZE_MAX];
    memcpy(note, progress.note, progress.note_size);
    assert_ok(commit(world, stage, note, progress.note_size));
    assert_same_state(world);
    assert_tidy(world->subscriber);
}

static void a_transfer_goes_on_after_a_restart(void **state)
{
    struct world *world = *state;
    struct stage *stage, *second;
    struct stage_progress progress;
    struct feeds_page page;
    uint64_t since;
    fill(world->origin, 0, 100, "{\"a\":1}");
    struct feed_head held = head_of(world->subscriber), offered = head_of(world->origin);
    struct stage_plan plan = plan_of(&held, &offered, "houten", true);
    assert_ok(stage_open(world->subscriber->feeds, &plan, &stage, &since, &fault));
    assert_int_equal(stage_open(world->subscriber->feeds, &plan, &second, &since, &fault), KAART_BUSY);
    assert_ok(feeds_page(world->origin->feeds, FEED, offered.checkpoint.epoch, 0, 1 << 20, &page, &fault));
    assert_ok(stage_write(stage, page.bytes, page.size / 2, &fault)); /* the connection breaks in mid-line */
    free(page.bytes);
    stage_keep(stage);
    fixture_reopen(world->subscriber);
    assert_int_equal(head_of(world->subscriber).held, false);
    assert_ok(stage_open(world->subscriber->feeds, &plan, &stage, &since, &fault));
    assert_true(since > 30 && since < 70);
    stage_keep(stage);
    assert_ok(pull(world, world->origin, &plan, 3000, NULL, &stage, &progress));
    assert_int_equal(progress.entries, 100);
    char note[NOTE_SIZE_MAX];
    memcpy(note, progress.note, progress.note_size);
    assert_ok(commit(world, stage, note, progress.note_size));
    assert_same_state(world);
    assert_tidy(world->subscriber);
}

static void two_sources_do_not_meet(void **state)
{
    struct world *world = *state;
    struct stage *good, *late;
    struct stage_progress progress, late_progress;
    fill(world->origin, 0, 50, "{\"a\":1}");
    assert_int_equal(sync_from(world, world->origin, true), KAART_OK);
    fill(world->origin, 0, 20, "{\"a\":2}");
    struct feed_head held = head_of(world->subscriber), offered = head_of(world->origin);
    struct stage_plan plan = plan_of(&held, &offered, "houten", false);
    assert_ok(pull(world, world->origin, &plan, 3000, NULL, &good, &progress));
    plan.source = "relay";
    assert_ok(pull(world, world->origin, &plan, 3000, NULL, &late, &late_progress));
    char note[NOTE_SIZE_MAX];
    memcpy(note, progress.note, progress.note_size);
    assert_int_equal(head_of(world->subscriber).checkpoint.size, 50); /* staged is not visible */
    assert_ok(commit(world, good, note, progress.note_size));
    assert_same_state(world);
    /* The held state moved from under the other one. [SYNC-10] */
    fill(world->origin, 0, 1, "{\"a\":3}");
    struct feed_head newer = head_of(world->origin);
    assert_int_equal(commit(world, late, newer.note, newer.note_size), KAART_OVERTAKEN);
    plan.since = 50;
    assert_int_equal(stage_open(world->subscriber->feeds, &plan, &late, &plan.since, &fault),
                     KAART_OVERTAKEN);
    assert_int_equal(sync_from(world, world->origin, false), KAART_OK);
    assert_same_state(world);
    assert_tidy(world->subscriber);
}

static void a_large_delta_becomes_a_generation(void **state)
{
    struct world *world = *state;
    fill(world->origin, 0, 3000, "{\"a\":1}");
    fill(world->origin, 5, 8, NULL);
    assert_int_equal(sync_from(world, world->origin, true), KAART_OK);
    uint32_t generation = head_of(world->subscriber).generation;
    fill(world->origin, 1000, 1010, "{\"geheim\":\"oud-en-dood\"}");
    assert_int_equal(sync_from(world, world->origin, false), KAART_OK);
    assert_int_equal(head_of(world->subscriber).generation, generation);
    fill(world->origin, 1000, 22000, "{\"a\":2}");
    assert_int_equal(sync_from(world, world->origin, false), KAART_OK);
    assert_int_not_equal(head_of(world->subscriber).generation, generation);
    assert_same_state(world);
    fill(world->origin, 0, 10, "{\"a\":3}"); /* on top of shared lines */
    assert_int_equal(sync_from(world, world->origin, false), KAART_OK);
    assert_tidy(world->subscriber);
    assert_same_state(world);
    assert_false(on_disk(world->subscriber, "oud-en-dood"));
}

static void dead_means_gone_here_too(void **state)
{
    struct world *world = *state;
    char id[UUID_TEXT_SIZE + 1];
    struct own_result result;
    struct own_claim erase = claim_of(id_of(3, id), NULL);
    erase.op = ENTRY_ERASE;
    fill(world->origin, 0, 10, "{\"geheim\":\"persoonlijk\"}");
    assert_int_equal(sync_from(world, world->origin, true), KAART_OK);
    fill(world->origin, 0, 3, "{}");
    fill(world->origin, 4, 10, "{}");
    assert_int_equal(sync_from(world, world->origin, false), KAART_OK);
    assert_ok(feeds_append(world->origin->feeds, FEED, &world->origin->key, 1, NOW_MS, &erase, 1, false,
                           &result, &fault));
    assert_true(on_disk(world->subscriber, "persoonlijk"));
    assert_int_equal(sync_from(world, world->origin, false), KAART_OK);
    assert_false(on_disk(world->subscriber, "persoonlijk")); /* at once [ENTRY-14] */

    /* By a full sync as well. */
    fill(world->origin, 11, 12, "{\"geheim\":\"ander-geheim\"}");
    assert_int_equal(sync_from(world, world->origin, false), KAART_OK);
    erase.id = id_of(11, id);
    assert_ok(feeds_append(world->origin->feeds, FEED, &world->origin->key, 1, NOW_MS, &erase, 1, false,
                           &result, &fault));
    assert_int_equal(sync_from(world, world->origin, true), KAART_OK);
    assert_false(on_disk(world->subscriber, "ander-geheim"));
    assert_same_state(world);
    assert_tidy(world->subscriber);
}

/* ---- what is refused ---- */

/* Offers the origin's lines with one change; the subscriber must stay as it is. */
static int offer(struct world *world, const char *bytes, size_t size, bool full, uint64_t entries_max)
{
    struct feed_head held = head_of(world->subscriber), offered = head_of(world->origin), after;
    struct stage_plan plan = plan_of(&held, &offered, "houten", full);
    struct stage *stage;
    struct stage_progress progress;
    uint64_t since;
    plan.entries_max = entries_max;
    assert_ok(stage_open(world->subscriber->feeds, &plan, &stage, &since, &fault));
    int code = write_pieces(stage, bytes, size);
    if (code == KAART_OK)
        code = stage_end_response(stage, &progress, &fault);
    if (code == KAART_OK) {
        char note[NOTE_SIZE_MAX];
        memcpy(note, progress.note, progress.note_size);
        code = commit(world, stage, note, progress.note_size);
    } else {
        stage_keep(stage); /* of what failed nothing is kept */
    }
    after = head_of(world->subscriber);
    if (code != KAART_OK) {
        assert_int_equal(held.held, after.held);
        assert_int_equal(held.generation, after.generation);
        assert_int_equal(held.note_size, after.note_size);
        assert_memory_equal(held.note, after.note, held.note_size);
        assert_int_equal(ask(world->subscriber, "SELECT count(*) FROM stage"), 0);
    }
    return code;
}

/* One line of the page replaced by another text (NULL: left out). */
static char *with_line(const struct feeds_page *page, unsigned number, const char *text, size_t *size)
{
    char *out = malloc(page->size + (text != NULL ? strlen(text) : 0) + 1), *to = out;
    const char *line = page->bytes, *end = page->bytes + page->size;
    assert_non_null(out);
    for (unsigned i = 0; line < end; i++) {
        const char *next = memchr(line, '\n', (size_t)(end - line));
        next = next != NULL ? next + 1 : end;
        if (i != number) {
            memcpy(to, line, (size_t)(next - line));
            to += next - line;
        } else if (text != NULL) {
            to = stpcpy(to, text);
        }
        line = next;
    }
    *size = (size_t)(to - out);
    return out;
}

static void what_was_not_signed_is_refused(void **state)
{
    struct world *world = *state;
    struct feeds_page page;
    size_t size;
    char *bytes;
    fill(world->origin, 0, 10, "{\"a\":1}");
    for (int round = 0; round < 2; round++) { /* on nothing, and on a held state */
        struct feed_head offered = head_of(world->origin);
        assert_ok(feeds_page(world->origin->feeds, FEED, offered.checkpoint.epoch, round == 0 ? 0 : 10,
                             1 << 20, &page, &fault));
        bytes = with_line(&page, 4, NULL, &size);
        assert_int_equal(offer(world, bytes, size, round == 0, 0), KAART_ROOT);
        free(bytes);
        bytes = malloc(page.size);
        memcpy(bytes, page.bytes, page.size);
        char *letter = memmem(bytes, page.size, "editor", 6);
        letter[0] = 'a';
        assert_int_equal(offer(world, bytes, page.size, round == 0, 0), KAART_ROOT);
        free(bytes);
        bytes = with_line(&page, 4, "{\"seq\":14}\n", &size);
        assert_int_equal(offer(world, bytes, size, round == 0, 0), KAART_SYNTAX);
        free(bytes);
        assert_int_not_equal(offer(world, page.bytes, page.size - 1, round == 0, 0), KAART_OK);
        assert_int_equal(offer(world, page.bytes, page.size, round == 0, 5), KAART_LIMIT);
        assert_ok(offer(world, page.bytes, page.size, round == 0, 0));
        free(page.bytes);
        assert_same_state(world);
        fill(world->origin, 5, 15, "{\"a\":2}");
    }
    assert_tidy(world->subscriber);
}

static void one_key_twice_in_one_page(void **state)
{
    struct world *world = *state;
    struct feeds_page before, after;
    size_t size;
    fill(world->origin, 0, 5, "{\"a\":1}");
    uint64_t epoch = head_of(world->origin).checkpoint.epoch;
    assert_ok(feeds_page(world->origin->feeds, FEED, epoch, 0, 1 << 20, &before, &fault));
    fill(world->origin, 0, 1, "{\"a\":2}");
    assert_ok(feeds_page(world->origin->feeds, FEED, epoch, 0, 1 << 20, &after, &fault));
    char *first = strndup(before.bytes, (size_t)(strchr(before.bytes, '\n') + 1 - before.bytes));
    char *bytes = malloc(after.size + strlen(first));
    memcpy(bytes, first, strlen(first));
    memcpy(bytes + strlen(first), after.bytes, after.size);
    size = strlen(first) + after.size;
    assert_int_equal(offer(world, bytes, size, true, 0), KAART_ORDER);
    assert_non_null(strstr(fault.text, "[ENTRY-10]"));
    free(bytes);
    free(first);
    free(before.bytes);
    free(after.bytes);
}

static void time_does_not_go_back_between_pages(void **state)
{
    struct world *world = *state;
    struct stage *stage;
    struct stage_progress progress;
    uint64_t since;
    struct stage_plan plan = {.feed = FEED, .source = "houten", .full = true, .epoch = 5};
    static const char page[] =
        "{\"seq\":%d,\"op\":\"retract\",\"kind\":\"service\",\"id\":\"00000000-0000-4000-8000-00000000000%"
        "d\","
        "\"source\":\"desk\",\"role\":\"editor\",\"at\":\"2026-11-21T19:04:0%d.000Z\"}\n{\"next\":%d}\n";
    char text[500];
    assert_ok(stage_open(world->subscriber->feeds, &plan, &stage, &since, &fault));
    snprintf(text, sizeof(text), page, 0, 1, 5, 1);
    assert_ok(stage_write(stage, text, strlen(text), &fault));
    assert_ok(stage_end_response(stage, &progress, &fault));
    snprintf(text, sizeof(text), page, 1, 2, 4, 2);
    int code = stage_write(stage, text, strlen(text), &fault);
    assert_int_equal(code, KAART_ORDER);
    assert_int_not_equal(stage_write(stage, "{", 1, &fault), KAART_OK);
    stage_drop(stage);
    assert_tidy(world->subscriber);
}

static void behind_and_foreign_are_refused(void **state)
{
    struct world *world = *state;
    struct stage *stage;
    struct stage_progress progress;
    fill(world->origin, 0, 5, "{\"a\":1}");
    struct feed_head old = head_of(world->origin), held;
    struct feeds_page page;
    assert_ok(feeds_page(world->origin->feeds, FEED, old.checkpoint.epoch, 0, 1 << 20, &page, &fault));
    fill(world->origin, 0, 5, "{\"a\":2}");
    assert_int_equal(sync_from(world, world->origin, true), KAART_OK);
    /* A relay that is a day behind, offering everything. */
    assert_int_equal(offer(world, page.bytes, page.size, true, 0), KAART_OVERTAKEN);
    free(page.bytes);
    /* A note whose checkpoint is another than the one given. */
    held = head_of(world->subscriber);
    struct stage_plan plan = plan_of(&held, &held, "houten", false);
    assert_ok(pull(world, world->origin, &plan, 3000, NULL, &stage, &progress));
    assert_int_equal(stage_commit(stage, &old.checkpoint, held.note, held.note_size, &fault), KAART_INVALID);
    assert_same_state(world);
    /* Entries beside the head that is held. [SYNC-12] */
    assert_ok(stage_open(world->subscriber->feeds, &plan, &stage, &plan.since, &fault));
    assert_ok(feeds_page(world->origin->feeds, FEED, held.checkpoint.epoch, 9, 1 << 20, &page, &fault));
    char *seq = memmem(page.bytes, page.size, "\"seq\":9", 7), *bytes = malloc(page.size + 1);
    size_t at = (size_t)(seq - page.bytes);
    memcpy(bytes, page.bytes, at);
    memcpy(bytes + at, "\"seq\":10", 8);
    memcpy(bytes + at + 8, page.bytes + at + 7, page.size - at - 7);
    assert_ok(stage_write(stage, bytes, page.size + 1, &fault));
    assert_ok(stage_end_response(stage, &progress, &fault));
    assert_int_equal(stage_commit(stage, &held.checkpoint, held.note, held.note_size, &fault), KAART_ORDER);
    free(bytes);
    free(page.bytes);
    assert_same_state(world);
}

/* ---- forks ---- */

static void assert_frozen(struct world *world, bool with_position)
{
    struct feed_head head = head_of(world->subscriber);
    struct fork_proof proof;
    char *text;
    assert_true(strlen(head.frozen) > 0);
    assert_ok(feeds_proof(world->subscriber->feeds, FEED, &text, &fault));
    assert_ok(fork_proof_verify(text, strlen(text), &world->origin->verifier, 1, &proof, &fault));
    assert_int_equal(proof.with_position, with_position);
    free(text);
    assert_ok(feeds_verify(world->subscriber->feeds, FEED, &fault));
    /* Nothing more of this epoch is taken, from anybody. [DEATH-6] */
    fill(world->origin, 200, 205, "{\"a\":9}");
    assert_int_equal(sync_from(world, world->origin, false), KAART_FORK);
    /* Until the next epoch, by a full sync. */
    struct fixture *next = fixture_new();
    struct own_result result;
    char id[UUID_TEXT_SIZE + 1];
    struct own_claim claim = claim_of(id_of(1, id), "{}");
    feeds_allow_signing(next->feeds, FEED, true, NULL);
    assert_ok(
        feeds_append(next->feeds, FEED, &next->key, 1, NOW_MS + 60000, &claim, 1, false, &result, &fault));
    assert_int_equal(sync_from(world, next, true), KAART_OK);
    head = head_of(world->subscriber);
    assert_string_equal(head.frozen, "");
    assert_int_equal(head.checkpoint.epoch, NOW_MS / 1000 + 60);
    /* The old epoch is never followed again. [SYNC-2] */
    assert_int_equal(sync_from(world, world->origin, true), KAART_OVERTAKEN);
    fixture_free(next);
    assert_tidy(world->subscriber);
}

static void two_roots_at_one_size(void **state)
{
    struct world *world = *state;
    fill(world->origin, 0, 5, "{\"a\":1}");
    fill(world->other, 0, 5, "{\"a\":2}");
    assert_int_equal(sync_from(world, world->origin, true), KAART_OK);
    assert_int_equal(sync_from(world, world->other, true), KAART_FORK);
    assert_frozen(world, false);
}

static void a_shorter_history_with_a_later_time(void **state)
{
    struct world *world = *state;
    fill(world->origin, 0, 5, "{\"a\":1}");
    fill(world->other, 0, 4, "{\"a\":1}");
    assert_ok(feeds_heartbeat(world->other->feeds, FEED, &world->other->key, 1, NOW_MS + 5000, &fault));
    assert_int_equal(sync_from(world, world->origin, true), KAART_OK);
    assert_int_equal(sync_from(world, world->other, true), KAART_FORK);
    assert_frozen(world, false);
}

static void a_position_that_changed(void **state)
{
    struct world *world = *state;
    fill(world->origin, 0, 5, "{\"a\":1}");
    fill(world->other, 0, 7, "{\"a\":2}");
    assert_int_equal(sync_from(world, world->origin, true), KAART_OK);
    assert_int_equal(sync_from(world, world->other, false),
                     KAART_ROOT); /* as a delta it only looks like a lie */
    assert_string_equal(head_of(world->subscriber).frozen, "");
    assert_int_equal(sync_from(world, world->other, true), KAART_FORK);
    assert_frozen(world, true);
}

static void a_position_that_rose_from_the_dead(void **state)
{
    struct world *world = *state;
    fill(world->origin, 0, 5, "{\"a\":1}");
    fill(world->other, 0, 5, "{\"a\":1}");
    fill(world->origin, 2, 3, "{\"a\":2}");
    fill(world->other, 10, 17, "{\"a\":1}"); /* position 2 is live there */
    assert_int_equal(sync_from(world, world->origin, true), KAART_OK);
    assert_int_equal(sync_from(world, world->other, true), KAART_FORK);
    assert_frozen(world, true);
}

static void erase_at(struct fixture *fixture, unsigned number)
{
    char id[UUID_TEXT_SIZE + 1];
    struct own_result result;
    struct own_claim erase = claim_of(id_of(number, id), NULL);
    erase.op = ENTRY_ERASE;
    assert_ok(
        feeds_append(fixture->feeds, FEED, &fixture->key, 1, NOW_MS, &erase, 1, false, &result, &fault));
}

/* Whether the subscriber serves, or still has in its file, what claim `number` of the fork's tests says. */
static bool has_claim(struct world *world, const char *text)
{
    struct feed_head head = head_of(world->subscriber);
    struct feeds_page page;
    char sql[200];
    assert_ok(feeds_page(world->subscriber->feeds, FEED, head.checkpoint.epoch, 0, 1 << 20, &page, &fault));
    bool served = memmem(page.bytes, page.size, text, strlen(text)) != NULL;
    free(page.bytes);
    snprintf(sql, sizeof(sql), "SELECT count(*) FROM line WHERE instr(bytes, CAST('%s' AS BLOB))", text);
    assert_int_equal(served, ask(world->subscriber, sql) > 0);
    return served;
}

static void a_frozen_feed_honours_erasure(void **state)
{
    struct world *world = *state;
    fill(world->origin, 0, 4, "{\"a\":1}");
    fill(world->origin, 4, 5, "{\"a\":\"wie gewist wil worden\"}");
    fill(world->origin, 5, 6, "{\"a\":\"wie daarna komt\"}");
    fill(world->other, 0, 6, "{\"a\":2}");
    erase_at(world->other, 4);
    assert_int_equal(sync_from(world, world->origin, true), KAART_OK);
    struct feed_head before = head_of(world->subscriber);
    assert_true(has_claim(world, "wie gewist"));
    /* The stream that proves the fork erases it... */
    assert_int_equal(sync_from(world, world->other, true), KAART_FORK);
    assert_true(strlen(head_of(world->subscriber).frozen) > 0);
    assert_false(has_claim(world, "wie gewist"));
    assert_true(has_claim(world, "wie daarna"));
    assert_int_equal(head_of(world->subscriber).note_size, before.note_size);
    assert_memory_equal(head_of(world->subscriber).note, before.note, before.note_size);
    assert_int_not_equal(head_of(world->subscriber).generation,
                         before.generation); /* the map reads it anew */
    assert_ok(feeds_verify(world->subscriber->feeds, FEED, &fault));
    tidy(world->subscriber);
    assert_ok(feeds_verify(world->subscriber->feeds, FEED, &fault));
    /* ... and so does a later one, but not what only looks like it. */
    erase_at(world->other, 5);
    struct feed_head held = head_of(world->subscriber), offered = head_of(world->other);
    struct stage_plan plan = plan_of(&held, &offered, "houten", true);
    struct stage *stage;
    struct stage_progress progress;
    assert_ok(pull(world, world->other, &plan, 3000, NULL, &stage, &progress));
    assert_int_equal(commit(world, stage, before.note, before.note_size),
                     KAART_FORK); /* another's signature */
    assert_true(has_claim(world, "wie daarna"));
    assert_int_equal(sync_from(world, world->other, true), KAART_FORK);
    assert_false(has_claim(world, "wie daarna"));
    assert_int_equal(sync_from(world, world->other, true), KAART_FORK); /* once more */
    tidy(world->subscriber);
    assert_frozen(world, true);
}

/* ---- the floor ---- */

/* Signs the state that has exactly these lines. */
static char *sign_state(struct world *world, const struct feeds_page *page, bool keep_tombstones,
                        uint64_t size, uint64_t floor, size_t *note_size)
{
    struct checkpoint checkpoint = page->checkpoint;
    struct hasher *hasher = hasher_new();
    struct tree_builder *builder = tree_builder_new(hasher, NULL);
    char text[CHECKPOINT_TEXT_MAX], *note;
    struct entry entry;
    checkpoint.live = 0;
    for (const char *line = page->bytes; memcmp(line, "{\"checkpoint\"", 13) != 0;
         line = strchr(line, '\n') + 1) {
        struct hash leaf;
        size_t length = (size_t)(strchr(line, '\n') - line);
        assert_ok(entry_parse(line, length, &entry, &fault));
        if (entry.op != ENTRY_ASSERT && entry.seq < floor && !keep_tombstones)
            continue;
        assert_ok(hasher_leaf(hasher, line, length, &leaf));
        assert_ok(tree_builder_add(builder, entry.seq, &leaf, &fault));
        checkpoint.live++;
    }
    assert_ok(tree_builder_finish(builder, &checkpoint.root, &fault));
    tree_builder_free(builder);
    hasher_free(hasher);
    checkpoint.size = size;
    checkpoint.floor = floor;
    checkpoint.time_s++;
    assert_ok(note_sign(text, checkpoint_format(&checkpoint, text), &world->origin->key, 1, &note, note_size,
                        &fault));
    return note;
}

static int offer_note(struct world *world, const char *lines, size_t lines_size, const char *note,
                      size_t note_size, bool full)
{
    char *control;
    size_t size;
    assert_ok(stream_format_checkpoint(note, note_size, &control, &size));
    char *bytes = malloc(lines_size + size);
    memcpy(bytes, lines, lines_size);
    memcpy(bytes + lines_size, control, size);
    int code = offer(world, bytes, lines_size + size, full, 0);
    free(bytes);
    free(control);
    return code;
}

static void the_floor_drops_tombstones(void **state)
{
    struct world *world = *state;
    struct feeds_page page;
    size_t note_size;
    fill(world->origin, 0, 10, "{\"a\":1}");
    fill(world->origin, 3, 6, NULL); /* tombstones at 10, 11, 12 */
    assert_int_equal(sync_from(world, world->origin, true), KAART_OK);
    uint64_t epoch = head_of(world->origin).checkpoint.epoch;
    assert_ok(feeds_page(world->origin->feeds, FEED, epoch, 0, 1 << 20, &page, &fault));
    size_t lines_size = (size_t)((char *)memmem(page.bytes, page.size, "{\"checkpoint\"", 13) - page.bytes);

    /* One that signs the tombstones as if they lived on. */
    char *note = sign_state(world, &page, true, 14, 12, &note_size);
    assert_int_equal(offer_note(world, "", 0, note, note_size, false), KAART_ROOT);
    free(note);
    note = sign_state(world, &page, false, 14, 12, &note_size);
    assert_ok(offer_note(world, "", 0, note, note_size, false));
    struct feed_head head = head_of(world->subscriber);
    assert_int_equal(head.checkpoint.floor, 12);
    assert_int_equal(head.checkpoint.live, 8);
    assert_tidy(world->subscriber);

    /* A new subscriber that still got the tombstones from an earlier page. */
    fixture_free(world->subscriber);
    world->subscriber = fixture_new();
    assert_ok(offer_note(world, page.bytes, lines_size, note, note_size, true));
    assert_int_equal(head_of(world->subscriber).checkpoint.live, 8);
    assert_tidy(world->subscriber);
    free(note);
    free(page.bytes);
}

/* ---- the own feed back from peers ---- */

static void peers_are_the_backup(void **state)
{
    struct world *world = *state;
    fill(world->origin, 0, 30, "{\"a\":1}");
    assert_int_equal(sync_from(world, world->origin, true), KAART_OK);
    /* The origin loses everything, and takes its feed back from the subscriber. */
    fixture_free(world->origin);
    world->origin = world->subscriber;
    world->subscriber = fixture_new();
    assert_int_equal(sync_from(world, world->origin, true), KAART_OK);
    assert_same_state(world);
    feeds_allow_signing(world->subscriber->feeds, FEED, true, NULL);
    assert_int_equal(say(world->subscriber, 3, "{\"a\":2}", NOW_MS), OWN_CHANGED);
    struct feed_head head = head_of(world->subscriber);
    assert_true(head.own);
    assert_int_equal(head.checkpoint.size, 31);
    assert_int_equal(head.checkpoint.epoch, NOW_MS / 1000);
    assert_ok(feeds_verify(world->subscriber->feeds, FEED, &fault));
}

/* ---- the vectors of the specification ---- */

static char *read_vectors(void)
{
    static const char *const places[] = {"spec/vectors/feed.json", "../spec/vectors/feed.json"};
    FILE *file = NULL;
    for (size_t i = 0; file == NULL && i < 2; i++)
        file = fopen(places[i], "rb");
    if (file == NULL)
        return NULL;
    fseek(file, 0, SEEK_END);
    size_t size = (size_t)ftell(file);
    rewind(file);
    char *text = malloc(size + 1);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, size, file), size);
    text[size] = '\0';
    fclose(file);
    return text;
}

/* What a shell does with a stream: the outcome in the vectors' words. */
static const char *take_stream(struct fixture *fixture, const struct verifier_key *keys, size_t key_count,
                               const char *feed, const char *bytes, size_t size, bool full)
{
    struct feed_head head;
    struct stage_plan plan = {.feed = feed, .source = "vectors"};
    struct stage *stage;
    struct stage_progress progress;
    struct checkpoint checkpoint;
    uint64_t since;
    bool held = feeds_head(fixture->feeds, feed, &head, &fault) == KAART_OK && head.held;
    /* The note at the end says the epoch, as a checkpoint fetched before would. */
    const char *control = size > 1 ? memrchr(bytes, '\n', size - 1) : NULL;
    control = control != NULL ? control + 1 : bytes;
    cJSON *object = json_parse(control, (size_t)(bytes + size - control), NULL);
    const char *note = json_get_string(object, "checkpoint");
    char text[NOTE_SIZE_MAX + 1] = "";
    size_t note_size = note != NULL ? strlen(note) : 0;
    if (note_size > 0 && note_size <= NOTE_SIZE_MAX)
        memcpy(text, note, note_size + 1);
    cJSON_Delete(object);
    if (checkpoint_open(text, note_size, feed, keys, key_count, &checkpoint, &fault) != KAART_OK)
        return "refused";
    plan.full = full || !held;
    if (held && head.frozen[0] != '\0' && checkpoint.epoch <= head.checkpoint.epoch)
        return "refused";
    if (held) {
        switch (checkpoint_compare(&head.checkpoint, &checkpoint)) {
        case CHECKPOINT_SAME:
            return "same";
        case CHECKPOINT_BEHIND:
            return "behind";
        case CHECKPOINT_FULL:
            if (!full)
                return "full-needed";
            break;
        default:
            break;
        }
    }
    plan.epoch = checkpoint.epoch;
    plan.since = plan.full ? 0 : head.checkpoint.size;
    assert_ok(stage_open(fixture->feeds, &plan, &stage, &since, &fault));
    if (stage_write(stage, bytes, size, &fault) != KAART_OK ||
        stage_end_response(stage, &progress, &fault) != KAART_OK) {
        stage_drop(stage);
        return "refused";
    }
    return stage_commit(stage, &checkpoint, text, note_size, &fault) == KAART_OK ? "applied" : "refused";
}

static char *stream_of(const cJSON *step, size_t *size)
{
    const char *text = json_get_string(step, "stream_base64");
    *size = strlen(text);
    char *bytes = malloc(*size);
    assert_ok(base64_decode(text, strlen(text), bytes, size));
    return bytes;
}

static void the_vectors_come_out_as_expected(void **state)
{
    struct world *world = *state;
    char *text = read_vectors();
    struct verifier_key keys[FEED_KEYS_MAX];
    size_t key_count = 0, size;
    const cJSON *step;
    if (text == NULL)
        skip();
    cJSON *vectors = json_parse(text, strlen(text), &fault);
    free(text);
    assert_non_null(vectors);
    const char *feed = json_get_string(vectors, "feed");
    cJSON_ArrayForEach(step, json_get(vectors, "keys")) assert_ok(
        verifier_key_parse(step->valuestring, strlen(step->valuestring), &keys[key_count++], &fault));
    cJSON_ArrayForEach(step, json_get(vectors, "bad"))
    {
        char *bytes = stream_of(step, &size);
        const char *outcome = take_stream(world->origin, keys, key_count, feed, bytes, size, true);
        if (strcmp(outcome, "refused") != 0)
            print_error("%s: %s\n", json_get_string(step, "what"), outcome);
        assert_string_equal(outcome, "refused");
        free(bytes);
    }
    cJSON_ArrayForEach(step, json_get(vectors, "steps"))
    {
        char *bytes = stream_of(step, &size);
        const char *outcome = take_stream(world->subscriber, keys, key_count, feed, bytes, size,
                                          cJSON_IsTrue(json_get(step, "full")));
        if (strcmp(outcome, json_get_string(step, "expect")) != 0)
            print_error("%s: %s: %s\n", json_get_string(step, "what"), outcome, fault.text);
        assert_string_equal(outcome, json_get_string(step, "expect"));
        free(bytes);
        /* The fork in the middle is of this store's keeping; the vectors go on without it. */
        if (strcmp(outcome, "refused") == 0)
            assert_ok(feeds_freeze(world->subscriber->feeds, feed, "", NULL, &fault));
        assert_ok(feeds_verify(world->subscriber->feeds, feed, &fault));
    }
    cJSON_Delete(vectors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(a_full_sync_and_deltas),
        TEST(an_empty_feed),
        TEST(entries_die_between_pages),
        TEST(a_transfer_goes_on_after_a_restart),
        TEST(two_sources_do_not_meet),
        TEST(a_large_delta_becomes_a_generation),
        TEST(dead_means_gone_here_too),
        TEST(what_was_not_signed_is_refused),
        TEST(one_key_twice_in_one_page),
        TEST(time_does_not_go_back_between_pages),
        TEST(behind_and_foreign_are_refused),
        TEST(two_roots_at_one_size),
        TEST(a_shorter_history_with_a_later_time),
        TEST(a_position_that_changed),
        TEST(a_position_that_rose_from_the_dead),
        TEST(a_frozen_feed_honours_erasure),
        TEST(the_floor_drops_tombstones),
        TEST(peers_are_the_backup),
        TEST(the_vectors_come_out_as_expected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
