/* test_push.c - every transition of the push machine. */
#include "protocol/push.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define T0 1800000000000LL

static struct checkpoint head(uint64_t epoch, uint64_t size, int64_t time_s)
{
    struct checkpoint c = {
        .feed = "houten.example/public", .epoch = epoch, .size = size, .live = size, .time_s = time_s};
    c.root.bytes[0] = (uint8_t)size;
    return c;
}

struct world {
    struct push *push;
    int64_t now;
    struct push_effect effect;
};

static enum push_action hand(struct world *w, struct push_event event)
{
    event.now_ms = w->now;
    push_handle(w->push, &event, &w->effect);
    return w->effect.action;
}

static enum push_action changed(struct world *w, struct checkpoint c)
{
    return hand(w, (struct push_event){.type = PUSH_CHANGED, .checkpoint = &c});
}

static enum push_action answer(struct world *w, uint64_t epoch, uint64_t position, bool wanted)
{
    return hand(w, (struct push_event){
                       .type = PUSH_ANSWERED, .epoch = epoch, .position = position, .wanted = wanted});
}

static enum push_action failed(struct world *w, int code)
{
    return hand(w, (struct push_event){.type = PUSH_FAILED, .code = code, .text = "the reason"});
}

static enum push_action due(struct world *w)
{
    enum push_action action = hand(w, (struct push_event){.type = PUSH_TICK});
    if (action != PUSH_WAIT_UNTIL)
        return action;
    w->now = w->effect.at_ms;
    return hand(w, (struct push_event){.type = PUSH_TICK});
}

static enum push_condition condition(struct world *w)
{
    struct push_status status;
    push_get_status(w->push, &status);
    return status.condition;
}

static void begin(struct world *w)
{
    memset(w, 0, sizeof(*w));
    w->now = T0;
    w->push = push_new();
    assert_non_null(w->push);
}

/* To OFFERING size 40 of epoch 100. */
static void offering(struct world *w)
{
    begin(w);
    assert_int_equal(changed(w, head(100, 40, 1000)), PUSH_WAIT_UNTIL);
    assert_in_range(w->effect.at_ms - w->now, 1, PUSH_GATHER_MS);
    assert_int_equal(due(w), PUSH_OFFER);
}

static void nothing_to_tell(void **state)
{
    (void)state;
    struct world w;
    begin(&w);
    assert_int_equal(hand(&w, (struct push_event){.type = PUSH_TICK}), PUSH_GO_ON);
    assert_int_equal(hand(&w, (struct push_event){.type = PUSH_NOW}), PUSH_GO_ON);
    assert_int_equal(answer(&w, 1, 1, true), PUSH_GO_ON);
    push_free(w.push);
}

static void a_hint_is_enough_for_who_pulls(void **state)
{
    (void)state;
    struct world w;
    offering(&w);
    assert_int_equal(answer(&w, 100, 30, false), PUSH_REST);
    assert_int_equal(condition(&w), PUSH_CONDITION_HINTED);
    /* the same head again is no news */
    assert_int_equal(changed(&w, head(100, 40, 1000)), PUSH_GO_ON);
    /* a heartbeat is, while the peer is not known to hold this state */
    assert_int_equal(changed(&w, head(100, 40, 4600)), PUSH_WAIT_UNTIL);
    assert_int_equal(due(&w), PUSH_OFFER);
    assert_int_equal(answer(&w, 100, 40, false), PUSH_REST);
    assert_int_equal(condition(&w), PUSH_CONDITION_IN_STEP);
    assert_int_equal(changed(&w, head(100, 40, 8200)), PUSH_GO_ON);
    assert_int_equal(changed(&w, head(100, 41, 8201)), PUSH_WAIT_UNTIL);
    push_free(w.push);
}

static void changes_are_gathered(void **state)
{
    (void)state;
    struct world w;
    offering(&w);
    assert_int_equal(changed(&w, head(100, 41, 1001)), PUSH_GO_ON);
    assert_int_equal(changed(&w, head(100, 42, 1001)), PUSH_GO_ON);
    int64_t offered = w.now;
    w.now += 10;
    assert_int_equal(answer(&w, 100, 40, false), PUSH_WAIT_UNTIL);
    assert_int_equal(w.effect.at_ms, offered + PUSH_GATHER_MS);
    assert_int_equal(changed(&w, head(100, 43, 1001)), PUSH_WAIT_UNTIL);
    assert_int_equal(w.effect.at_ms, offered + PUSH_GATHER_MS);
    assert_int_equal(due(&w), PUSH_OFFER);
    push_free(w.push);
}

static void content_goes_where_it_is_wanted(void **state)
{
    (void)state;
    struct world w;
    offering(&w);
    assert_int_equal(answer(&w, 100, 10, true), PUSH_SEND);
    assert_int_equal(w.effect.epoch, 100);
    assert_int_equal(w.effect.since, 10);
    assert_int_equal(answer(&w, 100, 25, true), PUSH_SEND);
    assert_int_equal(w.effect.since, 25);
    assert_int_equal(answer(&w, 100, 40, false), PUSH_REST);
    assert_int_equal(condition(&w), PUSH_CONDITION_IN_STEP);
    /* who takes content needs heartbeats as well */
    assert_int_equal(changed(&w, head(100, 40, 4600)), PUSH_WAIT_UNTIL);
    assert_int_equal(due(&w), PUSH_OFFER);
    assert_int_equal(answer(&w, 100, 40, true), PUSH_SEND);
    assert_int_equal(w.effect.since, 40);
    assert_int_equal(answer(&w, 100, 40, false), PUSH_REST);
    push_free(w.push);
}

static void a_receiver_that_does_not_move_is_left_alone(void **state)
{
    (void)state;
    struct world w;
    offering(&w);
    assert_int_equal(answer(&w, 100, 10, true), PUSH_SEND);
    for (int i = 1; i < PUSH_STUCK_MAX; i++)
        assert_int_equal(answer(&w, 100, 10, true), PUSH_SEND);
    assert_int_equal(answer(&w, 100, 10, true), PUSH_WAIT_UNTIL);
    assert_int_equal(condition(&w), PUSH_CONDITION_REFUSED);
    assert_int_equal(due(&w), PUSH_OFFER);
    push_free(w.push);
}

static void conflicts(void **state)
{
    (void)state;
    struct world w;
    offering(&w);
    answer(&w, 100, 10, true);
    assert_int_equal(hand(&w, (struct push_event){.type = PUSH_CONFLICT, .epoch = 100, .position = 20}),
                     PUSH_WAIT_UNTIL);
    assert_in_range(w.effect.at_ms - w.now, PUSH_BACKOFF_MS / 2, PUSH_BACKOFF_MS);
    assert_int_equal(due(&w), PUSH_OFFER);
    assert_int_equal(hand(&w, (struct push_event){.type = PUSH_CONFLICT, .epoch = 100, .position = 40}),
                     PUSH_REST);
    assert_int_equal(condition(&w), PUSH_CONDITION_IN_STEP);
    push_free(w.push);
}

static void a_receiver_ahead_concerns_the_guard(void **state)
{
    (void)state;
    const struct {
        uint64_t epoch, position;
        bool wanted;
    } cases[] = {{100, 41, false}, {101, 3, false}, {100, 41, true}, {101, 3, true}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world w;
        offering(&w);
        assert_int_equal(answer(&w, cases[i].epoch, cases[i].position, cases[i].wanted), PUSH_REST);
        assert_true(w.effect.ahead);
        assert_int_equal(condition(&w), PUSH_CONDITION_AHEAD);
        push_free(w.push);
    }
    struct world w;
    offering(&w);
    hand(&w, (struct push_event){.type = PUSH_CONFLICT, .epoch = 100, .position = 44});
    assert_true(w.effect.ahead);
    push_free(w.push);
}

static void another_epoch_is_not_served(void **state)
{
    (void)state;
    struct world w;
    offering(&w);
    assert_int_equal(answer(&w, 99, 10, true), PUSH_WAIT_UNTIL);
    assert_int_equal(condition(&w), PUSH_CONDITION_REFUSED);
    push_free(w.push);
}

static void failures_back_off_and_news_does_not_shorten_it(void **state)
{
    (void)state;
    struct world w;
    int64_t last = 0;
    offering(&w);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(failed(&w, KAART_IO), PUSH_WAIT_UNTIL);
        assert_int_equal(condition(&w), PUSH_CONDITION_UNREACHABLE);
        int64_t wait = w.effect.at_ms - w.now, at = w.effect.at_ms;
        assert_true(wait >= last && wait <= PUSH_BACKOFF_MAX_MS);
        last = wait;
        assert_int_equal(changed(&w, head(100, 41 + (uint64_t)i, 2000 + i)), PUSH_WAIT_UNTIL);
        assert_int_equal(w.effect.at_ms, at);
        assert_int_equal(due(&w), PUSH_OFFER);
    }
    assert_int_equal(last, PUSH_BACKOFF_MAX_MS);
    assert_int_equal(
        hand(&w, (struct push_event){.type = PUSH_FAILED, .code = KAART_BUSY, .retry_after_ms = 9000000}),
        PUSH_WAIT_UNTIL);
    assert_int_equal(w.effect.at_ms, w.now + 9000000);
    assert_int_equal(hand(&w, (struct push_event){.type = PUSH_NOW}), PUSH_OFFER);
    assert_int_equal(failed(&w, KAART_INVALID), PUSH_WAIT_UNTIL);
    assert_int_equal(condition(&w), PUSH_CONDITION_REFUSED);
    assert_int_equal(hand(&w, (struct push_event){.type = PUSH_NOW}), PUSH_OFFER);
    assert_int_equal(answer(&w, 100, 60, false), PUSH_REST);
    struct push_status status;
    push_get_status(w.push, &status);
    assert_int_equal(status.failures, 0);
    push_free(w.push);
}

static void a_peer_that_does_not_know_us(void **state)
{
    (void)state;
    struct world w;
    offering(&w);
    assert_int_equal(hand(&w, (struct push_event){.type = PUSH_UNKNOWN}), PUSH_WAIT_UNTIL);
    assert_int_equal(condition(&w), PUSH_CONDITION_UNKNOWN);
    assert_true(w.effect.at_ms - w.now >= PUSH_ABSENT_MS * 9 / 10);
    assert_int_equal(changed(&w, head(100, 41, 2000)), PUSH_WAIT_UNTIL);
    assert_int_equal(w.effect.at_ms, w.now + PUSH_ABSENT_GAP_MS);
    assert_int_equal(due(&w), PUSH_OFFER);
    push_free(w.push);
}

static void explanations(void **state)
{
    (void)state;
    struct world w;
    char text[PUSH_EXPLAIN_SIZE];
    offering(&w);
    answer(&w, 100, 10, true);
    push_explain(w.push, w.now, text);
    assert_string_equal(text, "sending from position 10 of 40");
    failed(&w, KAART_IO);
    push_explain(w.push, w.now, text);
    assert_string_equal(text, "the reason (failure 1 in a row); next attempt in 5 s");
    push_free(w.push);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_to_tell),
        cmocka_unit_test(a_hint_is_enough_for_who_pulls),
        cmocka_unit_test(changes_are_gathered),
        cmocka_unit_test(content_goes_where_it_is_wanted),
        cmocka_unit_test(a_receiver_that_does_not_move_is_left_alone),
        cmocka_unit_test(conflicts),
        cmocka_unit_test(a_receiver_ahead_concerns_the_guard),
        cmocka_unit_test(another_epoch_is_not_served),
        cmocka_unit_test(failures_back_off_and_news_does_not_shorten_it),
        cmocka_unit_test(a_peer_that_does_not_know_us),
        cmocka_unit_test(explanations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
