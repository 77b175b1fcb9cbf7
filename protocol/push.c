/* push.c - tells one peer of one feed's new heads; states in push.h. */
#include "protocol/push.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum push_state { RESTING, WAITING, OFFERING, SENDING };

struct push {
    enum push_state state;
    enum push_condition condition;
    bool head_known;
    struct checkpoint head; /* newest visible one */
    bool changed;           /* the head is news to the peer, or may be */
    bool wants;             /* the peer takes content by push */
    uint64_t sent_from;
    unsigned stuck;
    unsigned failures;
    int64_t due_ms;
    int64_t offered_ms; /* start of the last offer */
    int64_t not_before_ms;
    int64_t last_success_ms;
    uint64_t peer_epoch, peer_position;
    bool answered; /* peer_epoch and peer_position mean something */
    int code;
    struct fault fault;
};

const char *push_condition_name(enum push_condition condition)
{
    switch (condition) {
    case PUSH_CONDITION_NEW:
        return "not told yet";
    case PUSH_CONDITION_HINTED:
        return "hinted";
    case PUSH_CONDITION_IN_STEP:
        return "in step";
    case PUSH_CONDITION_SENDING:
        return "sending";
    case PUSH_CONDITION_AHEAD:
        return "ahead of us";
    case PUSH_CONDITION_UNKNOWN:
        return "unknown there";
    case PUSH_CONDITION_UNREACHABLE:
        return "unreachable";
    case PUSH_CONDITION_REFUSED:
        return "refused";
    }
    return "";
}

struct push *push_new(void)
{
    return calloc(1, sizeof(struct push));
}

void push_free(struct push *push)
{
    free(push);
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static void wait_until(struct push *push, const struct push_event *event, int64_t due_ms,
                       struct push_effect *effect)
{
    push->state = WAITING;
    push->due_ms = later(later(due_ms, push->not_before_ms), event->now_ms + 1);
    effect->action = PUSH_WAIT_UNTIL;
    effect->at_ms = push->due_ms;
}

static void rest(struct push *push, const struct push_event *event, struct push_effect *effect)
{
    if (push->changed) { /* it changed again while this exchange ran */
        wait_until(push, event, push->offered_ms + PUSH_GATHER_MS, effect);
        return;
    }
    push->state = RESTING;
    push->due_ms = 0;
    effect->action = PUSH_REST;
}

static void note_trouble(struct push *push, int code, const char *text)
{
    push->code = code;
    fault_set(&push->fault, code, "%s", text ? text : kaart_strerror(code));
}

static void fail(struct push *push, const struct push_event *event, enum push_condition condition, int code,
                 const char *text, struct push_effect *effect)
{
    push->failures++;
    push->changed = true;
    push->condition = condition;
    note_trouble(push, code, text);
    if (event->retry_after_ms > 0)
        push->not_before_ms =
            event->now_ms +
            (event->retry_after_ms < RETRY_AFTER_MAX_MS ? event->retry_after_ms : RETRY_AFTER_MAX_MS);
    wait_until(push, event,
               event->now_ms +
                   retry_backoff(push->failures, PUSH_BACKOFF_MS, PUSH_BACKOFF_MAX_MS, event->random),
               effect);
}

static void succeed(struct push *push, const struct push_event *event, enum push_condition condition,
                    struct push_effect *effect)
{
    push->failures = 0;
    push->stuck = 0;
    push->not_before_ms = 0;
    push->code = KAART_OK;
    push->fault.text[0] = '\0';
    push->last_success_ms = event->now_ms;
    push->condition = condition;
    rest(push, event, effect);
}

static void offer(struct push *push, const struct push_event *event, struct push_effect *effect)
{
    push->state = OFFERING;
    push->changed = false;
    push->offered_ms = event->now_ms;
    effect->action = PUSH_OFFER;
}

static void send_page(struct push *push, uint64_t since, struct push_effect *effect)
{
    push->state = SENDING;
    push->condition = PUSH_CONDITION_SENDING;
    push->sent_from = since;
    effect->action = PUSH_SEND;
    effect->epoch = push->head.epoch;
    effect->since = since;
}

/* Whether a receiver at (epoch, position) holds more than this node. */
static bool is_ahead(const struct push *push, uint64_t epoch, uint64_t position)
{
    return epoch > push->head.epoch || (epoch == push->head.epoch && position > push->head.size);
}

static void take_position(struct push *push, const struct push_event *event)
{
    push->answered = true;
    push->peer_epoch = event->epoch;
    push->peer_position = event->position;
}

static void on_answer(struct push *push, const struct push_event *event, struct push_effect *effect)
{
    take_position(push, event);
    if (is_ahead(push, event->epoch, event->position)) {
        effect->ahead = true;
        push->wants = false;
        succeed(push, event, PUSH_CONDITION_AHEAD, effect);
        return;
    }
    if (!event->wanted) {
        bool in_step = event->epoch == push->head.epoch && event->position == push->head.size;

        if (push->state == OFFERING)
            push->wants = false;
        succeed(push, event, in_step ? PUSH_CONDITION_IN_STEP : PUSH_CONDITION_HINTED, effect);
        return;
    }
    push->wants = true;
    if (event->epoch != push->head.epoch) {
        fail(push, event, PUSH_CONDITION_REFUSED, KAART_ORDER,
             "the peer asks for an epoch that is not the held one (spec/feed.md [PUSH-2])", effect);
        return;
    }
    if (push->state == SENDING && event->position <= push->sent_from && ++push->stuck >= PUSH_STUCK_MAX) {
        push->stuck = 0;
        fail(push, event, PUSH_CONDITION_REFUSED, KAART_ORDER,
             "the peer's position does not move (spec/feed.md [PUSH-6])", effect);
        return;
    }
    send_page(push, event->position, effect);
}

static void on_conflict(struct push *push, const struct push_event *event, struct push_effect *effect)
{
    take_position(push, event);
    if (is_ahead(push, event->epoch, event->position)) {
        effect->ahead = true;
        succeed(push, event, PUSH_CONDITION_AHEAD, effect);
    } else if (event->epoch == push->head.epoch && event->position == push->head.size) {
        succeed(push, event, PUSH_CONDITION_IN_STEP, effect);
    } else { /* another transfer of the feed runs there; it may bring the same */
        fail(push, event, PUSH_CONDITION_HINTED, KAART_BUSY,
             event->text ? event->text : "the peer is taking another transfer of this feed", effect);
    }
}

static void on_unknown(struct push *push, const struct push_event *event, struct push_effect *effect)
{
    push->failures = 0;
    push->answered = false;
    push->changed = true; /* whenever it does know us, it needs the head */
    push->condition = PUSH_CONDITION_UNKNOWN;
    note_trouble(push, KAART_UNKNOWN, "the peer does not take this feed from this node");
    wait_until(push, event, event->now_ms + retry_interval(PUSH_ABSENT_MS, event->random), effect);
}

/* A new time on the state that the peer has already is no news to one that pulls by itself. [PUSH-7] */
static bool is_news(const struct push *push, const struct checkpoint *head)
{
    if (!push->head_known || !push->answered || push->wants || push->changed)
        return true;
    return head->epoch != push->peer_epoch || head->size != push->peer_position ||
           checkpoint_compare(&push->head, head) != CHECKPOINT_HEARTBEAT;
}

static void on_changed(struct push *push, const struct push_event *event, struct push_effect *effect)
{
    int64_t due;

    if (push->head_known && checkpoint_compare(&push->head, event->checkpoint) == CHECKPOINT_SAME &&
        !push->changed)
        return;
    bool news = is_news(push, event->checkpoint);
    push->head = *event->checkpoint;
    push->head_known = true;
    if (!news)
        return;
    push->changed = true;
    if (push->state == OFFERING || push->state == SENDING)
        return; /* told when this exchange ended */
    if (push->condition == PUSH_CONDITION_UNKNOWN)
        due = push->offered_ms + PUSH_ABSENT_GAP_MS;
    else if (push->failures)
        due = push->due_ms; /* news does not shorten the backoff */
    else
        due = later(event->now_ms + retry_spread(PUSH_GATHER_MS / 10, event->random),
                    push->offered_ms + PUSH_GATHER_MS);
    if (push->state == WAITING && push->due_ms < due)
        due = push->due_ms;
    wait_until(push, event, due, effect);
}

void push_handle(struct push *push, const struct push_event *event, struct push_effect *effect)
{
    memset(effect, 0, sizeof(*effect));
    bool asking = push->state == OFFERING || push->state == SENDING;

    switch (event->type) {
    case PUSH_TICK:
        if (push->state != WAITING)
            break;
        if (event->now_ms >= push->due_ms)
            offer(push, event, effect);
        else
            wait_until(push, event, push->due_ms, effect);
        break;
    case PUSH_CHANGED:
        on_changed(push, event, effect);
        break;
    case PUSH_NOW:
        if (!asking && push->head_known) {
            push->not_before_ms = 0;
            offer(push, event, effect);
        }
        break;
    case PUSH_ANSWERED:
        if (asking)
            on_answer(push, event, effect);
        break;
    case PUSH_CONFLICT:
        if (asking)
            on_conflict(push, event, effect);
        break;
    case PUSH_UNKNOWN:
        if (asking)
            on_unknown(push, event, effect);
        break;
    case PUSH_FAILED:
        if (asking)
            fail(push, event,
                 event->code == KAART_IO || event->code == KAART_BUSY || event->code == KAART_NOMEM
                     ? PUSH_CONDITION_UNREACHABLE
                     : PUSH_CONDITION_REFUSED,
                 event->code, event->text, effect);
        break;
    }
}

void push_get_status(const struct push *push, struct push_status *status)
{
    memset(status, 0, sizeof(*status));
    status->condition = push->condition;
    status->busy = push->state == OFFERING || push->state == SENDING;
    status->peer_epoch = push->peer_epoch;
    status->peer_position = push->peer_position;
    status->failures = push->failures;
    status->last_success_ms = push->last_success_ms;
    status->next_ms = push->state == WAITING ? push->due_ms : 0;
    status->code = push->code;
    status->text = push->fault.text;
}

void push_explain(const struct push *push, int64_t now_ms, char text[PUSH_EXPLAIN_SIZE])
{
    char words[RETRY_WORDS_SIZE];

    retry_words(push->due_ms - now_ms, words);
    switch (push->condition) {
    case PUSH_CONDITION_NEW:
        snprintf(text, PUSH_EXPLAIN_SIZE, "%s", push->head_known ? "not told yet" : "nothing to tell");
        break;
    case PUSH_CONDITION_HINTED:
        snprintf(text, PUSH_EXPLAIN_SIZE, "told of size %" PRIu64 "; the peer takes it by itself",
                 push->head.size);
        break;
    case PUSH_CONDITION_IN_STEP:
        snprintf(text, PUSH_EXPLAIN_SIZE, "the peer holds size %" PRIu64 " as well", push->head.size);
        break;
    case PUSH_CONDITION_SENDING:
        snprintf(text, PUSH_EXPLAIN_SIZE, "sending from position %" PRIu64 " of %" PRIu64, push->sent_from,
                 push->head.size);
        break;
    case PUSH_CONDITION_AHEAD:
        snprintf(text, PUSH_EXPLAIN_SIZE,
                 "the peer holds epoch %" PRIu64 " size %" PRIu64 ", more than this node", push->peer_epoch,
                 push->peer_position);
        break;
    case PUSH_CONDITION_UNKNOWN:
        snprintf(text, PUSH_EXPLAIN_SIZE, "%s; next attempt in %s, or when there is news", push->fault.text,
                 words);
        break;
    case PUSH_CONDITION_UNREACHABLE:
    case PUSH_CONDITION_REFUSED:
        snprintf(text, PUSH_EXPLAIN_SIZE, "%s (failure %u in a row); next attempt in %s", push->fault.text,
                 push->failures, words);
        break;
    }
}
