/* test_pull.c - every transition of the pull machine; the tables follow the drawing in protocol/pull.h. */
#include "protocol/pull.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define EVERY 900000LL
#define FULL 3600000LL
#define T0 1800000000000LL

/* A head of epoch `e`, size `s`, floor `f`, time `t`; the root's first byte is `r`. */
static struct checkpoint head(uint64_t e, uint64_t s, uint64_t f, uint8_t r, int64_t t)
{
    struct checkpoint c = {.feed = "houten.example/public",
                           .epoch = e,
                           .size = s,
                           .live = s ? s - s / 4 : 0,
                           .floor = f,
                           .time_s = t};
    c.root.bytes[0] = r;
    return c;
}

struct world {
    struct pull *pull;
    struct pull_held held;
    int64_t now;
    uint32_t random;
    struct pull_effect effect;
};

static void begin_with(struct world *w, bool held, struct checkpoint c, const char *memory)
{
    memset(w, 0, sizeof(*w));
    w->now = T0;
    w->held.held = held;
    w->held.checkpoint = c;
    const struct pull_options options = {.every_ms = EVERY, .full_every_ms = FULL};
    w->pull = pull_new(&options, &w->held, memory, w->now);
    assert_non_null(w->pull);
}

static enum pull_action hand(struct world *w, struct pull_event event)
{
    event.now_ms = w->now;
    event.random = w->random;
    pull_handle(w->pull, &event, &w->effect);
    return w->effect.action;
}

static enum pull_action tell(struct world *w, enum pull_event_type type)
{
    return hand(w, (struct pull_event){.type = type});
}

static enum pull_action offer(struct world *w, enum pull_event_type type, struct checkpoint c)
{
    return hand(w, (struct pull_event){.type = type, .checkpoint = &c});
}

static enum pull_action at(struct world *w, enum pull_event_type type, uint64_t next)
{
    return hand(w, (struct pull_event){.type = type, .next = next});
}

static enum pull_action failed(struct world *w, int code, const char *text)
{
    return hand(w, (struct pull_event){.type = PULL_FAILED, .code = code, .text = text});
}

static enum pull_action commit(struct world *w, struct checkpoint c)
{
    struct pull_held held = {.held = true, .checkpoint = c};
    w->held = held;
    return hand(w, (struct pull_event){.type = PULL_COMMITTED, .held = &held});
}

static enum pull_action refuse(struct world *w, int code)
{
    return hand(
        w, (struct pull_event){.type = PULL_COMMIT_REFUSED, .code = code, .text = "the text of the store"});
}

/* Lets time pass until the machine's own next step. */
static enum pull_action due(struct world *w)
{
    assert_int_equal(tell(w, PULL_TICK), PULL_WAIT);
    assert_true(w->effect.at_ms > w->now);
    w->now = w->effect.at_ms;
    return tell(w, PULL_TICK);
}

static struct pull_status status(struct world *w)
{
    struct pull_status s;
    pull_get_status(w->pull, &s);
    return s;
}

static void explains(struct world *w, const char *part)
{
    char text[PULL_EXPLAIN_SIZE];
    pull_explain(w->pull, w->now, text);
    if (!strstr(text, part))
        fail_msg("\"%s\" does not say \"%s\"", text, part);
}

/* To ASKING, with size 40 of epoch 100 held. */
static void asking(struct world *w)
{
    begin_with(w, true, head(100, 40, 5, 1, 1000), NULL);
    assert_int_equal(due(w), PULL_ASK_CHANGES);
    assert_true(w->effect.conditional);
    assert_int_equal(w->effect.epoch, 100);
    assert_int_equal(w->effect.since, 40);
}

/* To TAKING a delta. */
static void taking(struct world *w)
{
    asking(w);
    assert_int_equal(tell(w, PULL_ENTRIES), PULL_OPEN_STAGE);
    assert_false(w->effect.full);
    assert_int_equal(w->effect.since, 40);
    assert_int_equal(w->effect.epoch, 100);
    assert_int_equal(w->effect.entries_max, 2 * 30 + 10000);
    assert_int_equal(at(w, PULL_STAGE_OPENED, 40), PULL_TAKE);
}

/* To TAKING a full sync, with nothing held. */
static void taking_first(struct world *w)
{
    begin_with(w, false, head(0, 0, 0, 0, 0), NULL);
    assert_int_equal(due(w), PULL_ASK_CHECKPOINT);
    assert_int_equal(offer(w, PULL_OFFERED, head(100, 40, 0, 1, 1000)), PULL_OPEN_STAGE);
    assert_true(w->effect.full);
    assert_int_equal(w->effect.entries_max, 2 * 30 + 10000);
    assert_int_equal(at(w, PULL_STAGE_OPENED, 0), PULL_ASK_CHANGES);
    assert_false(w->effect.conditional);
    assert_int_equal(w->effect.since, 0);
}

static void first_sync_is_full_and_free(void **state)
{
    (void)state;
    struct world w;
    taking_first(&w);
    assert_int_equal(at(&w, PULL_PAGE_ENDED, 17), PULL_ASK_CHANGES);
    assert_int_equal(w.effect.since, 17);
    assert_int_equal(offer(&w, PULL_HEAD_REACHED, head(100, 41, 0, 2, 1001)), PULL_COMMIT);
    assert_int_equal(commit(&w, head(100, 41, 0, 2, 1001)), PULL_WAIT);
    assert_int_equal(w.effect.stage, PULL_STAGE_LEAVE);
    assert_int_equal(status(&w).condition, PULL_CONDITION_IN_STEP);
    assert_int_equal(status(&w).full_allowed_ms, 0);
    assert_in_range(w.effect.at_ms - w.now, EVERY * 9 / 10, EVERY * 11 / 10);
    explains(&w, "in step at size 41");
    pull_free(w.pull);
}

/* What a head that comes alone, while asking for a delta, leads to. */
static void heads_alone(void **state)
{
    (void)state;
    const struct {
        const char *what;
        struct checkpoint offered;
        enum pull_action action;
        enum pull_condition condition;
        bool freeze;
    } cases[] = {
        {"the same", head(100, 40, 5, 1, 1000), PULL_WAIT, PULL_CONDITION_IN_STEP, false},
        {"heartbeat", head(100, 40, 5, 1, 4600), PULL_OPEN_STAGE, PULL_CONDITION_CATCHING_UP, false},
        {"newer, all dead again", head(100, 44, 5, 2, 4600), PULL_OPEN_STAGE, PULL_CONDITION_CATCHING_UP,
         false},
        {"same state, earlier", head(100, 40, 5, 1, 900), PULL_WAIT, PULL_CONDITION_BEHIND, false},
        {"smaller, earlier", head(100, 39, 5, 3, 999), PULL_WAIT, PULL_CONDITION_BEHIND, false},
        {"lower epoch", head(99, 400, 0, 3, 9999), PULL_WAIT, PULL_CONDITION_BEHIND, false},
        {"higher epoch", head(101, 3, 0, 3, 2000), PULL_WAIT, PULL_CONDITION_FULL_DUE, false},
        {"below the floor", head(100, 90, 60, 3, 2000), PULL_WAIT, PULL_CONDITION_FULL_DUE, false},
        {"two roots at one size", head(100, 40, 5, 9, 1000), PULL_WAIT, PULL_CONDITION_FROZEN, true},
        {"smaller and later", head(100, 39, 5, 3, 1001), PULL_WAIT, PULL_CONDITION_FROZEN, true},
        {"larger and earlier", head(100, 41, 5, 3, 999), PULL_WAIT, PULL_CONDITION_FROZEN, true},
        {"a floor that fell", head(100, 41, 4, 3, 1001), PULL_WAIT, PULL_CONDITION_FROZEN, true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world w;
        asking(&w);
        print_message("  %s\n", cases[i].what);
        assert_int_equal(offer(&w, PULL_OFFERED, cases[i].offered), cases[i].action);
        assert_int_equal(status(&w).condition, cases[i].condition);
        assert_int_equal(w.effect.freeze, cases[i].freeze);
        assert_int_equal(w.effect.stage, PULL_STAGE_LEAVE);
        assert_int_equal(status(&w).failures, 0);
        assert_true(status(&w).offered_any);
        pull_free(w.pull);
    }
}

static void not_modified_is_in_step(void **state)
{
    (void)state;
    struct world w;
    asking(&w);
    assert_int_equal(tell(&w, PULL_NOT_MODIFIED), PULL_WAIT);
    assert_int_equal(status(&w).condition, PULL_CONDITION_IN_STEP);
    assert_int_equal(status(&w).last_success_ms, w.now);
    assert_int_equal(status(&w).next_ms, w.effect.at_ms);
    pull_free(w.pull);
}

static void heartbeat_is_an_empty_delta(void **state)
{
    (void)state;
    struct world w;
    asking(&w);
    struct checkpoint beat = head(100, 40, 5, 1, 4600);
    assert_int_equal(offer(&w, PULL_OFFERED, beat), PULL_OPEN_STAGE);
    assert_int_equal(at(&w, PULL_STAGE_OPENED, 40), PULL_TAKE);
    assert_int_equal(offer(&w, PULL_HEAD_REACHED, beat), PULL_COMMIT);
    assert_int_equal(commit(&w, beat), PULL_WAIT);
    assert_int_equal(status(&w).condition, PULL_CONDITION_IN_STEP);
    pull_free(w.pull);
}

static void delta_with_pages(void **state)
{
    (void)state;
    struct world w;
    taking(&w);
    assert_int_equal(at(&w, PULL_PAGE_ENDED, 60), PULL_ASK_CHANGES);
    assert_int_equal(w.effect.since, 60);
    assert_false(w.effect.conditional);
    assert_int_equal(offer(&w, PULL_HEAD_REACHED, head(100, 80, 5, 2, 1500)), PULL_COMMIT);
    assert_true(status(&w).busy);
    assert_int_equal(commit(&w, head(100, 80, 5, 2, 1500)), PULL_WAIT);
    assert_int_equal(due(&w), PULL_ASK_CHANGES);
    assert_int_equal(w.effect.since, 80);
    pull_free(w.pull);
}

/* A delta whose stream ended in this head. */
static void ends_of_a_delta(void **state)
{
    (void)state;
    const struct {
        const char *what;
        struct checkpoint reached;
        enum pull_action action;
        enum pull_stage stage;
        enum pull_condition condition;
        bool freeze;
    } cases[] = {
        {"newer", head(100, 50, 5, 2, 1001), PULL_COMMIT, PULL_STAGE_LEAVE, PULL_CONDITION_CATCHING_UP,
         false},
        {"behind", head(100, 30, 5, 2, 999), PULL_WAIT, PULL_STAGE_DROP, PULL_CONDITION_BEHIND, false},
        {"floor rose on the way", head(100, 50, 45, 2, 1001), PULL_WAIT, PULL_STAGE_DROP,
         PULL_CONDITION_FULL_DUE, false},
        {"fork", head(100, 40, 5, 2, 1001), PULL_WAIT, PULL_STAGE_DROP, PULL_CONDITION_FROZEN, true},
        {"new epoch on the way", head(101, 50, 0, 2, 1001), PULL_WAIT, PULL_STAGE_DROP,
         PULL_CONDITION_FULL_DUE, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world w;
        taking(&w);
        print_message("  %s\n", cases[i].what);
        assert_int_equal(offer(&w, PULL_HEAD_REACHED, cases[i].reached), cases[i].action);
        assert_int_equal(w.effect.stage, cases[i].stage);
        assert_int_equal(w.effect.freeze, cases[i].freeze);
        assert_int_equal(status(&w).condition, cases[i].condition);
        pull_free(w.pull);
    }
}

static void entries_beside_the_held_head_are_a_fault(void **state)
{
    (void)state;
    struct world w;
    taking(&w);
    struct checkpoint same = head(100, 40, 5, 1, 1000);
    assert_int_equal(
        hand(&w, (struct pull_event){.type = PULL_HEAD_REACHED, .checkpoint = &same, .entries = 1}),
        PULL_WAIT);
    assert_int_equal(w.effect.stage, PULL_STAGE_DROP);
    assert_int_equal(status(&w).condition, PULL_CONDITION_REFUSED);
    explains(&w, "[SYNC-12]");
    pull_free(w.pull);
}

static void wrong_content_leads_to_one_full_sync_an_hour(void **state)
{
    (void)state;
    const int codes[] = {KAART_SYNTAX, KAART_LIMIT, KAART_ORDER, KAART_INVALID};
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        struct world w;
        taking(&w);
        assert_int_equal(failed(&w, codes[i], "seq 12 after 13"), PULL_WAIT);
        assert_int_equal(w.effect.stage, PULL_STAGE_DROP);
        assert_int_equal(status(&w).condition, PULL_CONDITION_REFUSED);
        assert_int_equal(status(&w).refusals[-codes[i]], 1);
        explains(&w, "refused: seq 12 after 13; nothing was changed; next full sync");

        /* soon, and with its allowance used and remembered */
        assert_int_equal(due(&w), PULL_ASK_CHECKPOINT);
        assert_int_equal(offer(&w, PULL_OFFERED, head(100, 50, 5, 2, 1001)), PULL_OPEN_STAGE);
        assert_true(w.effect.full);
        assert_true(w.effect.remember);
        int64_t allowed = w.now + FULL;
        assert_int_equal(status(&w).full_allowed_ms, allowed);
        char memory[PULL_MEMORY_SIZE];
        pull_memory(w.pull, memory);
        assert_int_equal(at(&w, PULL_STAGE_OPENED, 0), PULL_ASK_CHANGES);
        assert_int_equal(offer(&w, PULL_HEAD_REACHED, head(100, 50, 5, 2, 1001)), PULL_COMMIT);
        assert_int_equal(refuse(&w, KAART_ROOT), PULL_WAIT);
        assert_int_equal(status(&w).refusals[-KAART_ROOT], 1);
        explains(&w, "next full sync in 60 min");

        /* deltas are tried meanwhile, full syncs are not */
        while (w.now < allowed) {
            enum pull_action action = due(&w);
            if (w.now >= allowed) {
                assert_int_equal(action, PULL_ASK_CHECKPOINT);
                break;
            }
            assert_int_equal(action, PULL_ASK_CHANGES);
            assert_int_equal(tell(&w, PULL_ENTRIES), PULL_OPEN_STAGE);
            assert_false(w.effect.full);
            assert_int_equal(at(&w, PULL_STAGE_OPENED, 40), PULL_TAKE);
            assert_int_equal(failed(&w, codes[i], "again"), PULL_WAIT);
        }
        pull_free(w.pull);

        /* also not after a restart */
        begin_with(&w, true, head(100, 40, 5, 1, 1000), memory);
        assert_true(status(&w).full_allowed_ms > w.now);
        pull_free(w.pull);
    }
}

static void a_delta_that_works_again_ends_the_doubt(void **state)
{
    (void)state;
    struct world w;
    taking(&w);
    failed(&w, KAART_ORDER, "x");
    /* the full sync fails as well */
    due(&w);
    offer(&w, PULL_OFFERED, head(100, 50, 5, 2, 1001));
    at(&w, PULL_STAGE_OPENED, 0);
    failed(&w, KAART_ORDER, "x");
    assert_int_equal(status(&w).failures, 2);
    assert_int_equal(due(&w), PULL_ASK_CHANGES);
    tell(&w, PULL_ENTRIES);
    at(&w, PULL_STAGE_OPENED, 40);
    assert_int_equal(offer(&w, PULL_HEAD_REACHED, head(100, 50, 5, 2, 1001)), PULL_COMMIT);
    commit(&w, head(100, 50, 5, 2, 1001));
    assert_int_equal(status(&w).failures, 0);
    assert_int_equal(due(&w), PULL_ASK_CHANGES);
    pull_free(w.pull);
}

static void an_unsigned_head_is_not_mended_by_a_full_sync(void **state)
{
    (void)state;
    struct world w;
    asking(&w);
    assert_int_equal(failed(&w, KAART_SIGNATURE, "no configured key signed the note (spec/feed.md [NOTE-7])"),
                     PULL_WAIT);
    assert_int_equal(status(&w).condition, PULL_CONDITION_REFUSED);
    explains(&w, "next attempt in");
    assert_int_equal(due(&w), PULL_ASK_CHANGES);
    pull_free(w.pull);
}

static void lost_connections_back_off_and_go_on(void **state)
{
    (void)state;
    struct world w;
    taking(&w);
    at(&w, PULL_PAGE_ENDED, 60);
    assert_int_equal(failed(&w, KAART_IO, "connection reset"), PULL_WAIT);
    assert_int_equal(w.effect.stage, PULL_STAGE_KEEP);
    assert_int_equal(w.effect.at_ms - w.now, PULL_BACKOFF_MS);
    explains(&w, "connection reset (failure 1 in a row)");
    assert_int_equal(due(&w), PULL_OPEN_STAGE);
    assert_false(w.effect.full);
    assert_int_equal(w.effect.since, 40);
    assert_int_equal(at(&w, PULL_STAGE_OPENED, 66), PULL_ASK_CHANGES);
    assert_int_equal(w.effect.since, 66);
    assert_int_equal(offer(&w, PULL_HEAD_REACHED, head(100, 80, 5, 2, 1500)), PULL_COMMIT);
    commit(&w, head(100, 80, 5, 2, 1500));
    assert_int_equal(due(&w), PULL_ASK_CHANGES);
    pull_free(w.pull);
}

static void backoff_grows_to_its_cap_and_success_resets_it(void **state)
{
    (void)state;
    struct world w;
    int64_t last = 0;
    asking(&w);
    for (int i = 0; i < 30; i++) {
        assert_int_equal(failed(&w, KAART_IO, "no route"), PULL_WAIT);
        int64_t wait = w.effect.at_ms - w.now;
        assert_true(wait >= last && wait <= PULL_BACKOFF_MAX_MS);
        last = wait;
        assert_int_equal(due(&w), PULL_ASK_CHANGES);
    }
    assert_int_equal(last, PULL_BACKOFF_MAX_MS);
    tell(&w, PULL_NOT_MODIFIED);
    assert_int_equal(status(&w).failures, 0);
    due(&w);
    failed(&w, KAART_IO, "no route");
    assert_int_equal(w.effect.at_ms - w.now, PULL_BACKOFF_MS);
    pull_free(w.pull);
}

static void retry_after_is_honoured_and_bounded(void **state)
{
    (void)state;
    struct world w;
    asking(&w);
    hand(&w, (struct pull_event){
                 .type = PULL_FAILED, .code = KAART_BUSY, .text = "HTTP 429", .retry_after_ms = 5000000});
    assert_int_equal(w.effect.at_ms, w.now + 5000000);
    /* a hint does not shorten it, the operator may */
    tell(&w, PULL_HINTED);
    assert_int_equal(w.effect.at_ms, w.now + 5000000);
    assert_int_equal(tell(&w, PULL_WANTED), PULL_ASK_CHANGES);
    hand(&w, (struct pull_event){.type = PULL_FAILED, .code = KAART_BUSY, .retry_after_ms = INT64_MAX});
    assert_int_equal(w.effect.at_ms, w.now + RETRY_AFTER_MAX_MS);
    pull_free(w.pull);
}

static void a_delta_that_always_breaks_gives_way_to_a_full_sync(void **state)
{
    (void)state;
    struct world w;
    taking(&w);
    for (int i = 1; i < PULL_BREAKS_MAX; i++) {
        failed(&w, KAART_IO, "cut off");
        assert_int_equal(w.effect.stage, PULL_STAGE_KEEP);
        assert_int_equal(due(&w), PULL_OPEN_STAGE);
        assert_int_equal(at(&w, PULL_STAGE_OPENED, 40), PULL_ASK_CHANGES);
    }
    failed(&w, KAART_IO, "cut off");
    assert_int_equal(w.effect.stage, PULL_STAGE_DROP);
    assert_int_equal(due(&w), PULL_ASK_CHECKPOINT);
    pull_free(w.pull);
}

static void progress_keeps_a_delta_going(void **state)
{
    (void)state;
    struct world w;
    taking(&w);
    for (unsigned i = 1; i < 4 * PULL_BREAKS_MAX; i++) {
        failed(&w, KAART_IO, "cut off");
        assert_int_equal(status(&w).failures, 1); /* each piece is a success of this exchange */
        assert_int_equal(w.effect.stage, PULL_STAGE_KEEP);
        assert_int_equal(due(&w), PULL_OPEN_STAGE);
        assert_int_equal(at(&w, PULL_STAGE_OPENED, 40 + i), PULL_ASK_CHANGES);
    }
    pull_free(w.pull);
}

static void a_full_sync_goes_on_without_a_new_allowance(void **state)
{
    (void)state;
    struct world w;
    char memory[PULL_MEMORY_SIZE];
    asking(&w);
    offer(&w, PULL_OFFERED, head(101, 30, 0, 3, 2000));
    assert_int_equal(due(&w), PULL_ASK_CHECKPOINT);
    assert_int_equal(offer(&w, PULL_OFFERED, head(101, 30, 0, 3, 2000)), PULL_OPEN_STAGE);
    int64_t allowed = status(&w).full_allowed_ms;
    at(&w, PULL_STAGE_OPENED, 0);
    failed(&w, KAART_IO, "cut off");
    assert_int_equal(w.effect.stage, PULL_STAGE_KEEP);
    pull_memory(w.pull, memory);
    assert_int_equal(due(&w), PULL_ASK_CHECKPOINT);
    assert_true(w.now < allowed);
    assert_int_equal(offer(&w, PULL_OFFERED, head(101, 30, 0, 3, 2000)), PULL_OPEN_STAGE);
    assert_true(w.effect.full);
    assert_int_equal(status(&w).full_allowed_ms, allowed);
    assert_int_equal(at(&w, PULL_STAGE_OPENED, 20), PULL_ASK_CHANGES);
    assert_int_equal(w.effect.since, 20);
    assert_int_equal(offer(&w, PULL_HEAD_REACHED, head(101, 30, 0, 3, 2000)), PULL_COMMIT);
    commit(&w, head(101, 30, 0, 3, 2000));
    assert_true(w.effect.remember);
    pull_free(w.pull);

    /* after a restart in the middle: the same */
    begin_with(&w, true, head(100, 40, 5, 1, 1000), memory);
    assert_int_equal(due(&w), PULL_ASK_CHECKPOINT);
    assert_int_equal(offer(&w, PULL_OFFERED, head(101, 30, 0, 3, 2000)), PULL_OPEN_STAGE);
    assert_true(w.effect.full);
    pull_free(w.pull);
}

static void the_first_sync_is_not_free_for_ever(void **state)
{
    (void)state;
    struct world w;
    taking_first(&w);
    failed(&w, KAART_ORDER, "lies");
    assert_true(w.effect.remember);
    assert_int_equal(status(&w).full_allowed_ms, w.now + FULL);
    assert_true(w.effect.at_ms >= w.now + PULL_BACKOFF_MS);
    while (due(&w) == PULL_WAIT)
        ;
    assert_true(w.now >= T0 + FULL);
    pull_free(w.pull);

    /* broken connections are no lies */
    taking_first(&w);
    failed(&w, KAART_IO, "cut off");
    assert_int_equal(status(&w).full_allowed_ms, 0);
    assert_int_equal(w.effect.stage, PULL_STAGE_KEEP);
    assert_int_equal(due(&w), PULL_ASK_CHECKPOINT);
    pull_free(w.pull);
}

/* A full sync that began with epoch 101 size 30 at 2000 and ended in this head. */
static void ends_of_a_full_sync(void **state)
{
    (void)state;
    const struct {
        const char *what;
        struct checkpoint reached;
        enum pull_action action;
        enum pull_condition condition;
        bool by_first;
    } cases[] = {
        {"the same", head(101, 30, 0, 3, 2000), PULL_COMMIT, PULL_CONDITION_CATCHING_UP, false},
        {"it grew", head(101, 35, 0, 4, 2002), PULL_COMMIT, PULL_CONDITION_CATCHING_UP, false},
        {"grew beyond a floor", head(101, 95, 60, 4, 2002), PULL_COMMIT, PULL_CONDITION_CATCHING_UP, false},
        {"a newer epoch", head(102, 35, 0, 4, 2002), PULL_WAIT, PULL_CONDITION_CATCHING_UP, false},
        {"older than it began", head(101, 29, 0, 4, 1999), PULL_WAIT, PULL_CONDITION_REFUSED, false},
        {"forked on the way", head(101, 30, 0, 9, 2000), PULL_WAIT, PULL_CONDITION_FROZEN, true},
        {"back to the held epoch", head(100, 41, 5, 9, 2000), PULL_WAIT, PULL_CONDITION_REFUSED, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world w;
        asking(&w);
        offer(&w, PULL_OFFERED, head(101, 30, 0, 3, 2000));
        due(&w);
        offer(&w, PULL_OFFERED, head(101, 30, 0, 3, 2000));
        at(&w, PULL_STAGE_OPENED, 0);
        print_message("  %s\n", cases[i].what);
        assert_int_equal(offer(&w, PULL_HEAD_REACHED, cases[i].reached), cases[i].action);
        assert_int_equal(status(&w).condition, cases[i].condition);
        assert_int_equal(w.effect.by_first, cases[i].by_first);
        assert_int_equal(w.effect.stage, cases[i].action == PULL_COMMIT ? PULL_STAGE_LEAVE : PULL_STAGE_DROP);
        pull_free(w.pull);
    }
}

static void looking_again_can_end_it(void **state)
{
    (void)state;
    const struct {
        const char *what;
        struct checkpoint offered;
        enum pull_action action;
        enum pull_condition condition;
    } cases[] = {
        {"it became the same", head(100, 40, 5, 1, 1000), PULL_WAIT, PULL_CONDITION_IN_STEP},
        {"it fell behind", head(100, 30, 5, 1, 900), PULL_WAIT, PULL_CONDITION_BEHIND},
        {"only a heartbeat", head(100, 40, 5, 1, 4000), PULL_ASK_CHANGES, PULL_CONDITION_REFUSED},
        {"newer", head(100, 44, 5, 1, 4000), PULL_OPEN_STAGE, PULL_CONDITION_CATCHING_UP},
        {"fork", head(100, 40, 5, 4, 4000), PULL_WAIT, PULL_CONDITION_FROZEN},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world w;
        taking(&w);
        failed(&w, KAART_ORDER, "lies");
        assert_int_equal(due(&w), PULL_ASK_CHECKPOINT);
        print_message("  %s\n", cases[i].what);
        assert_int_equal(offer(&w, PULL_OFFERED, cases[i].offered), cases[i].action);
        assert_int_equal(status(&w).condition, cases[i].condition);
        pull_free(w.pull);
    }
}

static void absent_feeds_are_asked_for_slowly(void **state)
{
    (void)state;
    struct world w;
    begin_with(&w, false, head(0, 0, 0, 0, 0), NULL);
    due(&w);
    assert_int_equal(tell(&w, PULL_ABSENT), PULL_WAIT);
    assert_in_range(w.effect.at_ms - w.now, 3 * EVERY, 5 * EVERY);
    assert_int_equal(status(&w).condition, PULL_CONDITION_ABSENT);
    assert_int_equal(status(&w).failures, 0);
    /* a hint is worth a look */
    w.now += 2 * PULL_HINT_BACKOFF_GAP_MS;
    assert_int_equal(tell(&w, PULL_HINTED), PULL_WAIT);
    assert_true(w.effect.at_ms <= w.now + 1);
    pull_free(w.pull);

    taking(&w);
    assert_int_equal(tell(&w, PULL_ABSENT), PULL_WAIT);
    assert_int_equal(w.effect.stage, PULL_STAGE_DROP);
    pull_free(w.pull);
}

static void overtaken_is_nobodys_fault(void **state)
{
    (void)state;
    struct world w;
    asking(&w);
    for (int i = 0; i <= PULL_OVERTAKEN_MAX; i++) {
        tell(&w, PULL_ENTRIES);
        at(&w, PULL_STAGE_OPENED, 40);
        offer(&w, PULL_HEAD_REACHED, head(100, 50, 5, 2, 1001));
        assert_int_equal(refuse(&w, KAART_OVERTAKEN), PULL_WAIT);
        assert_int_equal(status(&w).failures, 0);
        if (i < PULL_OVERTAKEN_MAX)
            assert_true(w.effect.at_ms - w.now <= 1001);
        else
            assert_true(w.effect.at_ms - w.now >= EVERY * 9 / 10);
        assert_int_equal(due(&w), PULL_ASK_CHANGES);
    }
    pull_free(w.pull);
}

static void overtaken_while_a_transfer_runs(void **state)
{
    (void)state;
    struct world w;
    taking(&w);
    assert_int_equal(failed(&w, KAART_OVERTAKEN, "the held state has moved"), PULL_WAIT);
    assert_int_equal(w.effect.stage, PULL_STAGE_DROP);
    assert_int_equal(status(&w).failures, 0);
    assert_int_equal(due(&w), PULL_ASK_CHANGES);
    tell(&w, PULL_ENTRIES);
    assert_int_equal(hand(&w, (struct pull_event){.type = PULL_STAGE_FAILED, .code = KAART_OVERTAKEN}),
                     PULL_WAIT);
    assert_int_equal(status(&w).failures, 0);
    pull_free(w.pull);
}

static void a_stage_of_before_goes_on_further_along(void **state)
{
    (void)state;
    struct world w;
    asking(&w);
    tell(&w, PULL_ENTRIES);
    assert_int_equal(at(&w, PULL_STAGE_OPENED, 55), PULL_ASK_CHANGES);
    assert_int_equal(w.effect.since, 55);
    assert_false(w.effect.conditional);
    pull_free(w.pull);
}

static void the_held_state_can_move_meanwhile(void **state)
{
    (void)state;
    struct world w;
    struct pull_held moved = {.held = true, .checkpoint = head(100, 48, 5, 2, 1001)};
    asking(&w);
    assert_int_equal(hand(&w, (struct pull_event){.type = PULL_HELD_MOVED, .held = &moved}), PULL_GO_ON);
    assert_int_equal(tell(&w, PULL_ENTRIES), PULL_OPEN_STAGE);
    assert_int_equal(w.effect.since, 48);
    assert_int_equal(at(&w, PULL_STAGE_OPENED, 48), PULL_ASK_CHANGES); /* what is held back began at 40 */
    assert_int_equal(w.effect.since, 48);
    pull_free(w.pull);

    begin_with(&w, true, head(100, 40, 5, 1, 1000), NULL);
    tell(&w, PULL_TICK);
    assert_int_equal(hand(&w, (struct pull_event){.type = PULL_HELD_MOVED, .held = &moved}), PULL_WAIT);
    assert_int_equal(due(&w), PULL_ASK_CHANGES);
    assert_int_equal(w.effect.since, 48);
    pull_free(w.pull);
}

static void a_fork_freezes_until_a_higher_epoch(void **state)
{
    (void)state;
    struct world w;
    taking(&w);
    offer(&w, PULL_HEAD_REACHED, head(100, 50, 5, 2, 1001));
    assert_int_equal(refuse(&w, KAART_FORK), PULL_WAIT); /* the store found it and froze the feed itself */
    assert_false(w.effect.freeze);
    assert_int_equal(status(&w).condition, PULL_CONDITION_FROZEN);
    assert_true(status(&w).held.frozen);
    explains(&w, "only a higher epoch under a configured key leads on");
    assert_int_equal(due(&w), PULL_ASK_CHECKPOINT);
    assert_int_equal(offer(&w, PULL_OFFERED, head(100, 60, 5, 2, 1001)), PULL_WAIT);
    assert_int_equal(status(&w).condition, PULL_CONDITION_FROZEN);
    explains(&w, "the text of the store");
    assert_int_equal(due(&w), PULL_ASK_CHECKPOINT);
    assert_int_equal(offer(&w, PULL_OFFERED, head(99, 60, 5, 2, 1001)), PULL_WAIT);
    assert_int_equal(due(&w), PULL_ASK_CHECKPOINT);
    assert_int_equal(offer(&w, PULL_OFFERED, head(101, 6, 0, 2, 1001)), PULL_OPEN_STAGE);
    assert_true(w.effect.full);
    at(&w, PULL_STAGE_OPENED, 0);
    assert_int_equal(offer(&w, PULL_HEAD_REACHED, head(101, 6, 0, 2, 1001)), PULL_COMMIT);
    commit(&w, head(101, 6, 0, 2, 1001));
    assert_int_equal(status(&w).condition, PULL_CONDITION_IN_STEP);
    assert_false(status(&w).held.frozen);
    assert_int_equal(due(&w), PULL_ASK_CHANGES);
    pull_free(w.pull);
}

static void a_freeze_from_elsewhere_is_known_here(void **state)
{
    (void)state;
    struct world w;
    struct pull_held frozen = {.held = true, .frozen = true, .checkpoint = head(100, 40, 5, 1, 1000)};
    taking(&w);
    assert_int_equal(hand(&w, (struct pull_event){.type = PULL_HELD_MOVED, .held = &frozen}), PULL_GO_ON);
    assert_int_equal(offer(&w, PULL_HEAD_REACHED, head(100, 50, 5, 2, 1001)), PULL_WAIT);
    assert_int_equal(w.effect.stage, PULL_STAGE_DROP);
    assert_int_equal(status(&w).condition, PULL_CONDITION_FROZEN);
    frozen.frozen = false;
    hand(&w, (struct pull_event){.type = PULL_HELD_MOVED, .held = &frozen});
    assert_int_equal(status(&w).condition, PULL_CONDITION_NEW);
    assert_int_equal(due(&w), PULL_ASK_CHANGES);
    pull_free(w.pull);
}

static void the_own_store_is_not_the_sources_fault(void **state)
{
    (void)state;
    struct world w;
    taking(&w);
    hand(&w, (struct pull_event){.type = PULL_FAILED, .code = KAART_IO, .local = true, .text = "disk full"});
    assert_int_equal(status(&w).condition, PULL_CONDITION_LOCAL);
    assert_int_equal(w.effect.stage, PULL_STAGE_DROP);
    for (size_t i = 0; i < PULL_CODES; i++)
        assert_int_equal(status(&w).refusals[i], 0);
    explains(&w, "the own store could not take it: disk full");
    pull_free(w.pull);

    asking(&w);
    tell(&w, PULL_ENTRIES);
    assert_int_equal(
        hand(&w, (struct pull_event){.type = PULL_STAGE_FAILED, .code = KAART_IO, .text = "disk full"}),
        PULL_WAIT);
    assert_int_equal(status(&w).condition, PULL_CONDITION_LOCAL);
    pull_free(w.pull);

    taking(&w);
    offer(&w, PULL_HEAD_REACHED, head(100, 50, 5, 2, 1001));
    refuse(&w, KAART_IO);
    assert_int_equal(status(&w).condition, PULL_CONDITION_LOCAL);
    pull_free(w.pull);
}

static void hints_come_at_once_but_not_in_floods(void **state)
{
    (void)state;
    struct world w;
    asking(&w);
    assert_int_equal(tell(&w, PULL_HINTED), PULL_GO_ON); /* remembered */
    tell(&w, PULL_NOT_MODIFIED);
    assert_true(w.effect.at_ms - w.now <= PULL_HINT_GAP_MS);
    due(&w);
    tell(&w, PULL_NOT_MODIFIED);
    assert_true(w.effect.at_ms - w.now >= EVERY * 9 / 10);
    w.now += 5000;
    assert_int_equal(tell(&w, PULL_HINTED), PULL_WAIT);
    assert_true(w.effect.at_ms <= w.now);
    tell(&w, PULL_TICK);
    tell(&w, PULL_NOT_MODIFIED);
    for (int i = 0; i < 100; i++) {
        tell(&w, PULL_HINTED);
        assert_int_equal(w.effect.at_ms, w.now + PULL_HINT_GAP_MS);
    }

    /* in backoff: one look in a while, and the count of failures stays */
    due(&w);
    for (int i = 0; i < 8; i++) {
        failed(&w, KAART_IO, "down");
        tell(&w, PULL_WANTED);
    }
    failed(&w, KAART_IO, "down");
    unsigned failures = status(&w).failures;
    assert_int_equal(tell(&w, PULL_HINTED), PULL_WAIT);
    assert_int_equal(w.effect.at_ms, w.now + PULL_HINT_BACKOFF_GAP_MS);
    assert_int_equal(status(&w).failures, failures);
    pull_free(w.pull);
}

static void nobody_waits_for_these(void **state)
{
    (void)state;
    const enum pull_event_type strays[] = {PULL_NOT_MODIFIED, PULL_OFFERED,       PULL_ENTRIES,
                                           PULL_PAGE_ENDED,   PULL_HEAD_REACHED,  PULL_ABSENT,
                                           PULL_FAILED,       PULL_STAGE_OPENED,  PULL_STAGE_FAILED,
                                           PULL_COMMITTED,    PULL_COMMIT_REFUSED};
    struct world w;
    begin_with(&w, true, head(100, 40, 5, 1, 1000), NULL);
    tell(&w, PULL_TICK);
    for (size_t i = 0; i < sizeof(strays) / sizeof(strays[0]); i++)
        assert_int_equal(tell(&w, strays[i]), PULL_GO_ON);
    assert_int_equal(status(&w).condition, PULL_CONDITION_NEW);
    pull_free(w.pull);
}

static void wrong_answers_of_the_protocol(void **state)
{
    (void)state;
    struct world w;
    taking(&w);
    assert_int_equal(at(&w, PULL_PAGE_ENDED, 40), PULL_WAIT); /* leads nowhere */
    assert_int_equal(status(&w).code, KAART_ORDER);
    pull_free(w.pull);
    taking(&w);
    at(&w, PULL_PAGE_ENDED, 50);
    assert_int_equal(tell(&w, PULL_NOT_MODIFIED), PULL_WAIT);
    assert_int_equal(status(&w).code, KAART_SYNTAX);
    pull_free(w.pull);
}

static void memory_survives_nonsense(void **state)
{
    (void)state;
    const char *texts[] = {
        "", "full", "full x y", "full -5 0", "full 99999999999999999999999 1", "full 12 1 garbage"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct world w;
        begin_with(&w, true, head(100, 40, 5, 1, 1000), texts[i]);
        assert_true(status(&w).full_allowed_ms <= w.now + FULL);
        pull_free(w.pull);
    }
}

static void the_first_tick_is_soon_but_not_for_all_at_once(void **state)
{
    (void)state;
    struct world w;
    begin_with(&w, true, head(100, 40, 5, 1, 1000), NULL);
    w.random = UINT32_MAX;
    assert_int_equal(tell(&w, PULL_TICK), PULL_WAIT);
    assert_in_range(w.effect.at_ms - w.now, 2000, 3001);
    pull_free(w.pull);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_sync_is_full_and_free),
        cmocka_unit_test(heads_alone),
        cmocka_unit_test(not_modified_is_in_step),
        cmocka_unit_test(heartbeat_is_an_empty_delta),
        cmocka_unit_test(delta_with_pages),
        cmocka_unit_test(ends_of_a_delta),
        cmocka_unit_test(entries_beside_the_held_head_are_a_fault),
        cmocka_unit_test(wrong_content_leads_to_one_full_sync_an_hour),
        cmocka_unit_test(a_delta_that_works_again_ends_the_doubt),
        cmocka_unit_test(an_unsigned_head_is_not_mended_by_a_full_sync),
        cmocka_unit_test(lost_connections_back_off_and_go_on),
        cmocka_unit_test(backoff_grows_to_its_cap_and_success_resets_it),
        cmocka_unit_test(retry_after_is_honoured_and_bounded),
        cmocka_unit_test(a_delta_that_always_breaks_gives_way_to_a_full_sync),
        cmocka_unit_test(progress_keeps_a_delta_going),
        cmocka_unit_test(a_full_sync_goes_on_without_a_new_allowance),
        cmocka_unit_test(the_first_sync_is_not_free_for_ever),
        cmocka_unit_test(ends_of_a_full_sync),
        cmocka_unit_test(looking_again_can_end_it),
        cmocka_unit_test(absent_feeds_are_asked_for_slowly),
        cmocka_unit_test(overtaken_is_nobodys_fault),
        cmocka_unit_test(overtaken_while_a_transfer_runs),
        cmocka_unit_test(a_stage_of_before_goes_on_further_along),
        cmocka_unit_test(the_held_state_can_move_meanwhile),
        cmocka_unit_test(a_fork_freezes_until_a_higher_epoch),
        cmocka_unit_test(a_freeze_from_elsewhere_is_known_here),
        cmocka_unit_test(the_own_store_is_not_the_sources_fault),
        cmocka_unit_test(hints_come_at_once_but_not_in_floods),
        cmocka_unit_test(nobody_waits_for_these),
        cmocka_unit_test(wrong_answers_of_the_protocol),
        cmocka_unit_test(memory_survives_nonsense),
        cmocka_unit_test(the_first_tick_is_soon_but_not_for_all_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
