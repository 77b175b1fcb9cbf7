/* test_guard.c - every transition of the own-head guard. */
#include "protocol/guard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define T0 1800000000000LL
#define WAIT 3600000LL

static struct checkpoint head(uint64_t epoch, uint64_t size, uint8_t root, int64_t time_s)
{
    struct checkpoint c = {
        .feed = "houten.example/public", .epoch = epoch, .size = size, .live = size, .time_s = time_s};
    c.root.bytes[0] = root;
    return c;
}

struct world {
    struct guard *guard;
    bool held;
    struct checkpoint own;
    int64_t now;
    struct guard_effect effect;
};

static enum guard_state hand(struct world *w, struct guard_event event)
{
    event.now_ms = w->now;
    event.own = w->held ? &w->own : NULL;
    guard_handle(w->guard, &event, &w->effect);
    assert_int_equal(guard_may_sign(w->guard), guard_get_state(w->guard) == GUARD_SIGNING);
    return guard_get_state(w->guard);
}

static void says(struct world *w, const char *part)
{
    if (!strstr(guard_reason(w->guard), part))
        fail_msg("\"%s\" does not say \"%s\"", guard_reason(w->guard), part);
}

struct start {
    size_t peers;
    unsigned quorum;
    int64_t wait;
    bool clean;
    bool held;
    enum guard_copy copy;
    struct checkpoint copy_head;
};

static enum guard_state begin(struct world *w, struct start s)
{
    const struct guard_options options = {.feed = "houten.example/public",
                                          .peer_count = s.peers,
                                          .quorum = s.quorum,
                                          .wait_ms = s.wait,
                                          .clean = s.clean};
    memset(w, 0, sizeof(*w));
    w->now = T0;
    w->held = s.held;
    w->own = head(100, 40, 1, 1000);
    w->guard = guard_new(&options);
    assert_non_null(w->guard);
    assert_false(guard_may_sign(w->guard));
    return hand(w, (struct guard_event){.type = GUARD_START, .copy = s.copy, .copy_head = &s.copy_head});
}

static enum guard_state peer(struct world *w, size_t index, struct checkpoint c)
{
    return hand(w, (struct guard_event){.type = GUARD_PEER_HEAD, .peer = index, .head = &c});
}

static enum guard_state simple(struct world *w, enum guard_event_type type, size_t index)
{
    return hand(w, (struct guard_event){.type = type, .peer = index});
}

/* The ordinary start: two of three peers, copy and database agree. */
static void ordinary(struct world *w, bool clean)
{
    assert_int_equal(begin(w, (struct start){.peers = 3,
                                             .quorum = 2,
                                             .wait = WAIT,
                                             .clean = clean,
                                             .held = true,
                                             .copy = GUARD_COPY_HELD,
                                             .copy_head = head(100, 40, 1, 1000)}),
                     GUARD_WAITING);
    assert_true(w->effect.ask);
    assert_true(w->effect.changed);
    assert_true(guard_must_ask(w->guard, 0) && guard_must_ask(w->guard, 2) && !guard_must_ask(w->guard, 3));
}

static void without_peers_the_copy_decides(void **state)
{
    (void)state;
    const struct {
        const char *what;
        bool held;
        enum guard_copy copy;
        struct checkpoint copy_head;
        enum guard_state state;
    } cases[] = {
        {"the same", true, GUARD_COPY_HELD, head(100, 40, 1, 1000), GUARD_SIGNING},
        {"copy older: a crash before it was written", true, GUARD_COPY_HELD, head(100, 38, 3, 990),
         GUARD_SIGNING},
        {"copy ahead: restored from a backup", true, GUARD_COPY_HELD, head(100, 44, 3, 1100), GUARD_STOPPED},
        {"copy has a heartbeat more", true, GUARD_COPY_HELD, head(100, 40, 1, 1100), GUARD_STOPPED},
        {"copy of a later epoch", true, GUARD_COPY_HELD, head(101, 4, 3, 1100), GUARD_STOPPED},
        {"copy forked", true, GUARD_COPY_HELD, head(100, 40, 9, 1000), GUARD_STOPPED},
        {"no copy", true, GUARD_COPY_NONE, head(0, 0, 0, 0), GUARD_SIGNING},
        {"nothing at all: a new feed", false, GUARD_COPY_NONE, head(0, 0, 0, 0), GUARD_SIGNING},
        {"database lost, copy there", false, GUARD_COPY_HELD, head(100, 40, 1, 1000), GUARD_STOPPED},
        {"copy unreadable", true, GUARD_COPY_UNREADABLE, head(0, 0, 0, 0), GUARD_WAITING},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world w;
        print_message("  %s\n", cases[i].what);
        assert_int_equal(begin(&w, (struct start){.quorum = 2,
                                                  .wait = WAIT,
                                                  .held = cases[i].held,
                                                  .copy = cases[i].copy,
                                                  .copy_head = cases[i].copy_head}),
                         cases[i].state);
        guard_free(w.guard);
    }
}

static void a_quorum_of_those_that_hold_it(void **state)
{
    (void)state;
    struct world w;
    ordinary(&w, false);
    assert_int_equal(peer(&w, 0, head(100, 40, 1, 1000)), GUARD_WAITING);
    assert_false(guard_must_ask(w.guard, 0));
    assert_int_equal(peer(&w, 2, head(100, 35, 3, 900)), GUARD_SIGNING);
    says(&w, "compared with 2 peers");
    guard_free(w.guard);

    /* absent ones do not count: one that holds it is all there are */
    ordinary(&w, false);
    assert_int_equal(simple(&w, GUARD_PEER_ABSENT, 0), GUARD_WAITING);
    assert_int_equal(simple(&w, GUARD_PEER_ABSENT, 1), GUARD_WAITING);
    assert_int_equal(peer(&w, 2, head(100, 40, 1, 1000)), GUARD_SIGNING);
    guard_free(w.guard);

    ordinary(&w, false);
    simple(&w, GUARD_PEER_ABSENT, 0);
    simple(&w, GUARD_PEER_ABSENT, 1);
    assert_int_equal(simple(&w, GUARD_PEER_ABSENT, 2), GUARD_SIGNING);
    guard_free(w.guard);
}

static void rounds_go_on(void **state)
{
    (void)state;
    struct world w;
    ordinary(&w, false);
    int64_t last = 0;
    for (int i = 0; i < 20; i++) {
        int64_t wait = w.effect.at_ms - w.now;
        assert_true(wait > 0 && wait <= GUARD_ROUND_MAX_MS && wait >= last / 2);
        last = wait;
        w.now = w.effect.at_ms;
        assert_int_equal(simple(&w, GUARD_TICK, 0), GUARD_WAITING);
        assert_true(w.effect.ask);
        for (size_t p = 0; p < 3; p++) {
            simple(&w, GUARD_PEER_FAILED, p);
            assert_false(w.effect.ask);
            assert_true(w.effect.at_ms > w.now);
        }
    }
    guard_free(w.guard);
}

static void the_wait_ends(void **state)
{
    (void)state;
    struct world w;
    /* clean shutdown: signs and says so [GUARD-3] */
    ordinary(&w, true);
    w.now += WAIT - 1;
    assert_int_equal(simple(&w, GUARD_TICK, 0), GUARD_WAITING);
    w.now += 1;
    assert_int_equal(simple(&w, GUARD_TICK, 0), GUARD_SIGNING);
    says(&w, "only 0 of 2 peers answered within guard-wait");
    guard_free(w.guard);

    /* not clean: the operator */
    ordinary(&w, false);
    w.now += WAIT;
    assert_int_equal(simple(&w, GUARD_TICK, 0), GUARD_WAITING);
    says(&w, "the last shutdown was not clean");
    assert_int_equal(simple(&w, GUARD_OPERATOR, 0), GUARD_SIGNING);
    says(&w, "the operator decided");
    guard_free(w.guard);

    /* not clean, but one peer was compared */
    ordinary(&w, false);
    peer(&w, 1, head(100, 40, 1, 1000));
    w.now += WAIT;
    assert_int_equal(simple(&w, GUARD_TICK, 0), GUARD_SIGNING);
    guard_free(w.guard);

    /* never */
    begin(&w, (struct start){.peers = 1,
                             .quorum = 2,
                             .wait = -1,
                             .clean = true,
                             .held = true,
                             .copy = GUARD_COPY_HELD,
                             .copy_head = head(100, 40, 1, 1000)});
    w.now += 1000 * WAIT;
    assert_int_equal(simple(&w, GUARD_TICK, 0), GUARD_WAITING);
    says(&w, "guard-wait is never");
    guard_free(w.guard);

    /* no copy of what is held: the database does not agree with it */
    begin(&w,
          (struct start){
              .peers = 1, .quorum = 2, .wait = WAIT, .clean = true, .held = true, .copy = GUARD_COPY_NONE});
    w.now += WAIT;
    assert_int_equal(simple(&w, GUARD_TICK, 0), GUARD_WAITING);
    says(&w, "does not agree");
    guard_free(w.guard);
}

static void peers_are_the_backup(void **state)
{
    (void)state;
    const struct {
        const char *what;
        struct checkpoint theirs;
    } cases[] = {{"newer", head(100, 50, 5, 1500)},
                 {"heartbeat", head(100, 40, 1, 1500)},
                 {"later epoch", head(101, 5, 5, 1500)}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world w;
        print_message("  %s\n", cases[i].what);
        ordinary(&w, true);
        assert_int_equal(peer(&w, 1, cases[i].theirs), GUARD_TAKING_BACK);
        assert_true(w.effect.take_back);
        assert_int_equal(w.effect.peer, 1);
        says(&w, "peers are the backup");
        /* what others say meanwhile waits */
        assert_int_equal(peer(&w, 0, head(100, 40, 1, 1000)), GUARD_TAKING_BACK);
        w.own = cases[i].theirs;
        assert_int_equal(hand(&w, (struct guard_event){.type = GUARD_TAKEN_BACK,
                                                       .copy = GUARD_COPY_HELD,
                                                       .copy_head = &w.own}),
                         GUARD_WAITING);
        assert_true(w.effect.ask);
        assert_true(guard_must_ask(w.guard, 0) && guard_must_ask(w.guard, 1));
        peer(&w, 0, cases[i].theirs);
        assert_int_equal(peer(&w, 1, cases[i].theirs), GUARD_SIGNING);
        guard_free(w.guard);
    }
}

static void a_copy_that_is_ahead_needs_a_peer_that_has_it(void **state)
{
    (void)state;
    struct world w;
    begin(&w, (struct start){.peers = 2,
                             .quorum = 2,
                             .wait = WAIT,
                             .clean = true,
                             .held = true,
                             .copy = GUARD_COPY_HELD,
                             .copy_head = head(100, 50, 5, 1500)});
    says(&w, "a peer that holds it is needed");
    peer(&w, 0, head(100, 40, 1, 1000));
    assert_int_equal(peer(&w, 1, head(100, 40, 1, 1000)), GUARD_WAITING);
    w.now += 2 * WAIT;
    assert_int_equal(simple(&w, GUARD_TICK, 0), GUARD_WAITING);
    assert_int_equal(simple(&w, GUARD_OPERATOR, 0), GUARD_WAITING); /* not the operator's to overrule */
    assert_int_equal(peer(&w, 1, head(100, 50, 5, 1500)), GUARD_TAKING_BACK);
    w.own = head(100, 50, 5, 1500);
    assert_int_equal(
        hand(&w,
             (struct guard_event){.type = GUARD_TAKEN_BACK, .copy = GUARD_COPY_HELD, .copy_head = &w.own}),
        GUARD_WAITING);
    peer(&w, 0, head(100, 40, 1, 1000));
    assert_int_equal(peer(&w, 1, head(100, 50, 5, 1500)), GUARD_SIGNING);
    guard_free(w.guard);
}

static void a_lost_database_comes_back(void **state)
{
    (void)state;
    struct world w;
    assert_int_equal(
        begin(&w, (struct start){.peers = 1, .quorum = 2, .wait = WAIT, .copy = GUARD_COPY_NONE}),
        GUARD_WAITING);
    assert_int_equal(peer(&w, 0, head(100, 50, 5, 1500)), GUARD_TAKING_BACK);
    w.held = true;
    w.own = head(100, 50, 5, 1500);
    hand(&w, (struct guard_event){.type = GUARD_TAKEN_BACK, .copy = GUARD_COPY_HELD, .copy_head = &w.own});
    assert_int_equal(peer(&w, 0, head(100, 50, 5, 1500)), GUARD_SIGNING);
    guard_free(w.guard);
}

static void forks_stop(void **state)
{
    (void)state;
    struct world w;
    ordinary(&w, true);
    assert_int_equal(peer(&w, 1, head(100, 40, 9, 1000)), GUARD_STOPPED);
    says(&w, "[GUARD-5]");
    assert_int_equal(simple(&w, GUARD_OPERATOR, 0), GUARD_STOPPED);
    assert_int_equal(simple(&w, GUARD_TICK, 0), GUARD_STOPPED);
    guard_free(w.guard);

    /* found by the store while taking back */
    ordinary(&w, true);
    peer(&w, 1, head(100, 50, 9, 1500));
    assert_int_equal(hand(&w, (struct guard_event){.type = GUARD_TAKE_FAILED,
                                                   .code = KAART_FORK,
                                                   .text = "position 3 came alive"}),
                     GUARD_STOPPED);
    says(&w, "position 3 came alive");
    guard_free(w.guard);
}

static void a_take_back_that_fails_is_tried_again(void **state)
{
    (void)state;
    struct world w;
    ordinary(&w, true);
    peer(&w, 1, head(100, 50, 9, 1500));
    assert_int_equal(
        hand(&w, (struct guard_event){.type = GUARD_TAKE_FAILED, .code = KAART_IO, .text = "no route"}),
        GUARD_WAITING);
    assert_true(w.effect.at_ms > w.now);
    says(&w, "no route");
    w.now = w.effect.at_ms;
    simple(&w, GUARD_TICK, 0);
    assert_true(w.effect.ask);
    assert_true(guard_must_ask(w.guard, 1));
    guard_free(w.guard);
}

static void an_unknown_signature_stops_a_running_node(void **state)
{
    (void)state;
    const struct {
        const char *what;
        struct checkpoint seen;
        enum guard_state state;
    } cases[] = {
        {"the own head", head(100, 40, 1, 1000), GUARD_SIGNING},
        {"older", head(100, 20, 4, 500), GUARD_SIGNING},
        {"newer", head(100, 41, 4, 1001), GUARD_STOPPED},
        {"heartbeat", head(100, 40, 1, 2000), GUARD_STOPPED},
        {"later epoch", head(101, 1, 4, 2000), GUARD_STOPPED},
        {"fork", head(100, 40, 7, 1000), GUARD_STOPPED},
        {"fork below", head(100, 30, 7, 1001), GUARD_STOPPED},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (int way = 0; way < 2; way++) {
            struct world w;
            print_message("  %s\n", cases[i].what);
            ordinary(&w, true);
            peer(&w, 0, w.own);
            assert_int_equal(peer(&w, 1, w.own), GUARD_SIGNING);
            assert_int_equal(hand(&w, (struct guard_event){.type = way ? GUARD_SEEN : GUARD_PEER_HEAD,
                                                           .peer = 2,
                                                           .head = &cases[i].seen}),
                             cases[i].state);
            guard_free(w.guard);
        }
}

static void what_was_signed_a_moment_ago_is_known(void **state)
{
    (void)state;
    struct world w;
    ordinary(&w, true);
    peer(&w, 0, w.own);
    peer(&w, 1, w.own);
    struct checkpoint newer = head(100, 41, 4, 1001);
    w.own = newer; /* read after the peer's answer came */
    assert_int_equal(hand(&w, (struct guard_event){.type = GUARD_SEEN, .head = &newer}), GUARD_SIGNING);
    guard_free(w.guard);
}

static void seen_while_waiting_keeps_the_rounds(void **state)
{
    (void)state;
    struct world w;
    struct checkpoint newer = head(100, 41, 4, 1001);
    ordinary(&w, true);
    assert_int_equal(hand(&w, (struct guard_event){.type = GUARD_SEEN, .head = &newer}), GUARD_WAITING);
    assert_true(w.effect.at_ms > w.now);
    guard_free(w.guard);
}

static void an_unreadable_copy(void **state)
{
    (void)state;
    struct world w;
    begin(&w, (struct start){.peers = 1,
                             .quorum = 2,
                             .wait = WAIT,
                             .clean = true,
                             .held = true,
                             .copy = GUARD_COPY_UNREADABLE});
    w.now += WAIT;
    assert_int_equal(simple(&w, GUARD_TICK, 0), GUARD_WAITING);
    assert_int_equal(peer(&w, 0, w.own), GUARD_SIGNING);
    says(&w, "the own-head copy cannot be read");
    guard_free(w.guard);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_peers_the_copy_decides),
        cmocka_unit_test(a_quorum_of_those_that_hold_it),
        cmocka_unit_test(rounds_go_on),
        cmocka_unit_test(the_wait_ends),
        cmocka_unit_test(peers_are_the_backup),
        cmocka_unit_test(a_copy_that_is_ahead_needs_a_peer_that_has_it),
        cmocka_unit_test(a_lost_database_comes_back),
        cmocka_unit_test(forks_stop),
        cmocka_unit_test(a_take_back_that_fails_is_tried_again),
        cmocka_unit_test(an_unknown_signature_stops_a_running_node),
        cmocka_unit_test(what_was_signed_a_moment_ago_is_known),
        cmocka_unit_test(seen_while_waiting_keeps_the_rounds),
        cmocka_unit_test(an_unreadable_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
