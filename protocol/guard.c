/* guard.c - the own-head guard; states in guard.h. */
#include "protocol/guard.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum peer_answer {
    ANSWER_NONE,     /* not yet, or failed */
    ANSWER_ABSENT,   /* does not hold the feed */
    ANSWER_COMPARED, /* holds it, and nothing that this node does not know */
};

struct guard {
    char feed[FEED_NAME_MAX_SIZE + 1];
    size_t peer_count;
    unsigned quorum;
    int64_t wait_ms;
    bool clean;

    enum guard_state state;
    enum peer_answer answers[GUARD_PEERS_MAX];
    bool own_held;
    struct checkpoint own;
    enum guard_copy copy;
    struct checkpoint copy_head;
    size_t taking_from;

    int64_t started_ms;
    int64_t round_ms; /* next round of asking */
    unsigned rounds;
    char reason[GUARD_REASON_SIZE];
};

const char *guard_state_name(enum guard_state state)
{
    switch (state) {
    case GUARD_WAITING:
        return "waiting";
    case GUARD_TAKING_BACK:
        return "taking back";
    case GUARD_SIGNING:
        return "signing";
    case GUARD_STOPPED:
        return "stopped";
    }
    return "";
}

struct guard *guard_new(const struct guard_options *options)
{
    struct guard *guard = calloc(1, sizeof(*guard));

    if (!guard)
        return NULL;
    snprintf(guard->feed, sizeof(guard->feed), "%s", options->feed);
    guard->peer_count = options->peer_count < GUARD_PEERS_MAX ? options->peer_count : GUARD_PEERS_MAX;
    guard->quorum = options->quorum;
    guard->wait_ms = options->wait_ms;
    guard->clean = options->clean;
    snprintf(guard->reason, sizeof(guard->reason), "the own head has not been compared yet");
    return guard;
}

void guard_free(struct guard *guard)
{
    free(guard);
}

enum guard_state guard_get_state(const struct guard *guard)
{
    return guard->state;
}

bool guard_may_sign(const struct guard *guard)
{
    return guard->state == GUARD_SIGNING;
}

const char *guard_reason(const struct guard *guard)
{
    return guard->reason;
}

bool guard_must_ask(const struct guard *guard, size_t peer)
{
    /* One that did not hold the feed may have got it meanwhile, from another peer. */
    return guard->state == GUARD_WAITING && peer < guard->peer_count &&
           guard->answers[peer] != ANSWER_COMPARED;
}

static void enter(struct guard *guard, enum guard_state state, struct guard_effect *effect,
                  const char *format, ...) __attribute__((format(printf, 4, 5)));

static void enter(struct guard *guard, enum guard_state state, struct guard_effect *effect,
                  const char *format, ...)
{
    char reason[GUARD_REASON_SIZE];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(reason, sizeof(reason), format, arguments);
    va_end(arguments);
    if (guard->state != state || strcmp(reason, guard->reason) != 0)
        effect->changed = true;
    guard->state = state;
    memcpy(guard->reason, reason, sizeof(reason));
}

/* ---- what is known ---- */

static void take_own(struct guard *guard, const struct checkpoint *own)
{
    guard->own_held = own != NULL;
    if (own)
        guard->own = *own;
}

static void take_copy(struct guard *guard, const struct guard_event *event)
{
    guard->copy = event->copy;
    if (event->copy == GUARD_COPY_HELD)
        guard->copy_head = *event->copy_head;
}

/* What somebody's head under the own keys means for the own database. */
enum knowledge {
    KNOWN,   /* the same or older: nothing that this node does not know */
    UNKNOWN, /* later: this node signed it once and has forgotten it, or somebody else signs with its key */
    FORKED,
};

static enum knowledge compare(const struct guard *guard, const struct checkpoint *head)
{
    if (!guard->own_held)
        return UNKNOWN;
    switch (checkpoint_compare(&guard->own, head)) {
    case CHECKPOINT_SAME:
    case CHECKPOINT_BEHIND:
        return KNOWN;
    case CHECKPOINT_HEARTBEAT:
    case CHECKPOINT_NEWER:
    case CHECKPOINT_FULL:
        return UNKNOWN;
    case CHECKPOINT_FORK:
        break;
    }
    return FORKED;
}

static unsigned count(const struct guard *guard, enum peer_answer answer)
{
    unsigned found = 0;

    for (size_t i = 0; i < guard->peer_count; i++)
        found += guard->answers[i] == answer;
    return found;
}

/* Of the peers that hold the feed, or may do so, as many as configured, or all. [GUARD-2] */
static unsigned required(const struct guard *guard)
{
    unsigned may_hold = (unsigned)guard->peer_count - count(guard, ANSWER_ABSENT);

    return guard->quorum < may_hold ? guard->quorum : may_hold;
}

static bool copy_ahead(const struct guard *guard)
{
    return guard->copy == GUARD_COPY_HELD && compare(guard, &guard->copy_head) == UNKNOWN;
}

/* Nothing contradicts the database: the copy has what it has, or less, or neither has anything. */
static bool copy_agrees(const struct guard *guard)
{
    if (guard->copy == GUARD_COPY_NONE)
        return !guard->own_held;
    return guard->copy == GUARD_COPY_HELD && compare(guard, &guard->copy_head) == KNOWN;
}

/* ---- decisions ---- */

static void stop_forked(struct guard *guard, const struct checkpoint *head, const char *where,
                        struct guard_effect *effect)
{
    enter(guard, GUARD_STOPPED, effect,
          "stopped: %s has epoch %" PRIu64 " size %" PRIu64
          " signed with the own key, which contradicts epoch %" PRIu64 " size %" PRIu64
          " in the database (spec/feed.md [GUARD-5]); restore the newer database, or begin a new epoch",
          where, head->epoch, head->size, guard->own.epoch, guard->own.size);
}

static void sign(struct guard *guard, struct guard_effect *effect)
{
    unsigned compared = count(guard, ANSWER_COMPARED);

    if (guard->peer_count == 0 && guard->copy == GUARD_COPY_NONE && guard->own_held)
        enter(guard, GUARD_SIGNING, effect,
              "signing: no peers to ask and no own-head copy to compare with; the database alone decided");
    else if (guard->peer_count == 0)
        enter(guard, GUARD_SIGNING, effect, "signing: the own-head copy agrees; there are no peers to ask");
    else
        enter(guard, GUARD_SIGNING, effect, "signing: compared with %u peer%s that hold%s the feed%s",
              compared, compared == 1 ? "" : "s", compared == 1 ? "s" : "",
              guard->copy == GUARD_COPY_UNREADABLE ? "; the own-head copy cannot be read" : "");
}

/* The wait is over: what is known must do, or the operator must decide. [GUARD-3] */
static bool overdue(const struct guard *guard, int64_t now_ms)
{
    return guard->wait_ms >= 0 && now_ms - guard->started_ms >= guard->wait_ms;
}

static void keep_waiting(struct guard *guard, const struct guard_event *event, struct guard_effect *effect)
{
    unsigned compared = count(guard, ANSWER_COMPARED), needed = required(guard);
    char words[RETRY_WORDS_SIZE];

    if (copy_ahead(guard))
        enter(guard, GUARD_WAITING, effect,
              "waiting: the own-head copy has epoch %" PRIu64 " size %" PRIu64
              ", newer than the database; a peer that holds it is needed to take it back from",
              guard->copy_head.epoch, guard->copy_head.size);
    else if (guard->copy == GUARD_COPY_UNREADABLE && compared >= needed)
        enter(guard, GUARD_WAITING, effect,
              "waiting: the own-head copy cannot be read, and no peer holds the feed; mend it or let the "
              "operator decide");
    else if (guard->wait_ms < 0 || overdue(guard, event->now_ms))
        enter(guard, GUARD_WAITING, effect,
              "waiting: compared with %u of %u peers that may hold the feed; %s; the operator can decide",
              compared, needed,
              guard->wait_ms < 0 ? "guard-wait is never"
              : !copy_agrees(guard)
                  ? "guard-wait is over, but the own-head copy does not agree with the database"
                  : "guard-wait is over, but the last shutdown was not clean");
    else {
        retry_words(guard->started_ms + guard->wait_ms - event->now_ms, words);
        enter(guard, GUARD_WAITING, effect,
              "waiting: compared with %u of %u peers that may hold the feed; guard-wait ends in %s; the "
              "operator can decide sooner",
              compared, needed, words);
    }
}

static void next_round(struct guard *guard, const struct guard_event *event, struct guard_effect *effect)
{
    if (event->now_ms >= guard->round_ms) {
        effect->ask = true;
        guard->rounds++;
        guard->round_ms =
            event->now_ms + retry_backoff(guard->rounds, GUARD_ROUND_MS, GUARD_ROUND_MAX_MS, event->random);
    }
    effect->at_ms = guard->round_ms;
    if (guard->wait_ms >= 0 && guard->started_ms + guard->wait_ms > event->now_ms &&
        guard->started_ms + guard->wait_ms < effect->at_ms)
        effect->at_ms = guard->started_ms + guard->wait_ms;
}

/* WAITING: is it enough? */
static void decide(struct guard *guard, const struct guard_event *event, struct guard_effect *effect)
{
    unsigned compared = count(guard, ANSWER_COMPARED);
    bool enough = compared >= required(guard);

    if (guard->copy == GUARD_COPY_HELD && guard->own_held && compare(guard, &guard->copy_head) == FORKED) {
        stop_forked(guard, &guard->copy_head, "the own-head copy", effect);
        return;
    }
    if (copy_ahead(guard)) {
        if (guard->peer_count == 0) { /* nobody to take it back from [GUARD-4] */
            enter(guard, GUARD_STOPPED, effect,
                  "stopped: the own-head copy has epoch %" PRIu64 " size %" PRIu64
                  ", newer than the database, and there is no peer to take it back from; restore a newer "
                  "backup, or begin a new epoch",
                  guard->copy_head.epoch, guard->copy_head.size);
            return;
        }
    } else if (guard->copy == GUARD_COPY_UNREADABLE) {
        /* Peers that hold the feed stand in for the copy; without any the operator decides. */
        if (enough && compared > 0) {
            sign(guard, effect);
            return;
        }
    } else if (enough) {
        sign(guard, effect);
        return;
    } else if (overdue(guard, event->now_ms) && copy_agrees(guard) &&
               (guard->clean || compared > 0 || !guard->own_held)) {
        enter(guard, GUARD_SIGNING, effect,
              "signing: only %u of %u peers answered within guard-wait, but database and own-head copy "
              "agree%s (spec/feed.md [GUARD-3])",
              compared, required(guard), guard->clean ? " and the last shutdown was clean" : "");
        return;
    }
    keep_waiting(guard, event, effect);
    next_round(guard, event, effect);
}

/* Everybody is compared anew with the head that was just taken back. This database was a backup, however clean its last shutdown: the wait
 * begins again, and its end alone is not enough. */
static void ask_anew(struct guard *guard, const struct guard_event *event)
{
    guard->clean = false;
    guard->started_ms = event->now_ms;
    memset(guard->answers, 0, sizeof(guard->answers));
    guard->round_ms = event->now_ms;
    guard->rounds = 0;
}

static void on_peer_head(struct guard *guard, const struct guard_event *event, struct guard_effect *effect)
{
    if (event->peer >= guard->peer_count)
        return;
    take_own(guard, event->own);
    switch (compare(guard, event->head)) {
    case KNOWN:
        guard->answers[event->peer] = ANSWER_COMPARED;
        decide(guard, event, effect);
        break;
    case UNKNOWN: /* [GUARD-4] */
        guard->taking_from = event->peer;
        enter(guard, GUARD_TAKING_BACK, effect,
              "taking back: a peer holds epoch %" PRIu64 " size %" PRIu64
              " of the own feed, the database epoch %" PRIu64 " size %" PRIu64 "; peers are the backup",
              event->head->epoch, event->head->size, guard->own_held ? guard->own.epoch : 0,
              guard->own_held ? guard->own.size : 0);
        effect->take_back = true;
        effect->peer = event->peer;
        break;
    case FORKED:
        stop_forked(guard, event->head, "a peer", effect);
        break;
    }
}

/* After signing began, an own note that this node does not know means that somebody else signs, or that it
 * forgot after all. [GUARD-6] */
static void on_seen(struct guard *guard, const struct guard_event *event, struct guard_effect *effect)
{
    take_own(guard, event->own);
    switch (compare(guard, event->head)) {
    case KNOWN:
        break;
    case UNKNOWN:
        if (guard->state == GUARD_SIGNING)
            enter(guard, GUARD_STOPPED, effect,
                  "stopped: elsewhere there is epoch %" PRIu64 " size %" PRIu64
                  " signed with the own key, newer than anything this node signed (spec/feed.md [GUARD-6]); "
                  "if no other node uses this key, a restart takes "
                  "it back from the peers",
                  event->head->epoch, event->head->size);
        break; /* while waiting, the rounds of asking find it and take it back */
    case FORKED:
        stop_forked(guard, event->head, "somebody", effect);
        break;
    }
}

static void on_take_failed(struct guard *guard, const struct guard_event *event, struct guard_effect *effect)
{
    if (event->code == KAART_FORK) {
        enter(guard, GUARD_STOPPED, effect,
              "stopped: a peer holds a head signed with the own key that the database is no ancestor of: %s; "
              "restore the newer database, or begin a new epoch",
              event->text ? event->text : kaart_strerror(event->code));
        return;
    }
    guard->answers[guard->taking_from] = ANSWER_NONE;
    enter(guard, GUARD_WAITING, effect,
          "waiting: taking the own feed back from a peer failed: %s; trying again",
          event->text ? event->text : kaart_strerror(event->code));
    if (guard->round_ms <= event->now_ms)
        guard->round_ms =
            event->now_ms + retry_backoff(++guard->rounds, GUARD_ROUND_MS, GUARD_ROUND_MAX_MS, event->random);
    effect->at_ms = guard->round_ms;
}

static void on_operator(struct guard *guard, struct guard_effect *effect)
{
    /* Known evidence against the database is not the operator's to overrule: that takes a new epoch.
     * [GUARD-5] */
    if (guard->state != GUARD_WAITING || copy_ahead(guard))
        return;
    enter(guard, GUARD_SIGNING, effect, "signing: the operator decided, after %u of %u peers were compared",
          count(guard, ANSWER_COMPARED), required(guard));
}

void guard_handle(struct guard *guard, const struct guard_event *event, struct guard_effect *effect)
{
    memset(effect, 0, sizeof(*effect));
    switch (event->type) {
    case GUARD_START:
        guard->started_ms = event->now_ms;
        guard->round_ms = event->now_ms;
        take_own(guard, event->own);
        take_copy(guard, event);
        guard->state = GUARD_WAITING;
        decide(guard, event, effect);
        effect->changed = true;
        break;
    case GUARD_TICK:
        if (guard->state == GUARD_WAITING)
            decide(guard, event, effect);
        break;
    case GUARD_PEER_HEAD:
        if (guard->state == GUARD_WAITING)
            on_peer_head(guard, event, effect);
        else if (guard->state == GUARD_SIGNING)
            on_seen(guard, event, effect);
        break;
    case GUARD_PEER_ABSENT:
        if (guard->state == GUARD_WAITING && event->peer < guard->peer_count) {
            guard->answers[event->peer] = ANSWER_ABSENT;
            decide(guard, event, effect);
        }
        break;
    case GUARD_PEER_FAILED:
        if (guard->state == GUARD_WAITING)
            decide(guard, event, effect);
        break;
    case GUARD_SEEN:
        if (guard->state == GUARD_WAITING || guard->state == GUARD_SIGNING)
            on_seen(guard, event, effect);
        break;
    case GUARD_TAKEN_BACK:
        if (guard->state == GUARD_TAKING_BACK) {
            take_own(guard, event->own);
            take_copy(guard, event);
            ask_anew(guard, event);
            guard->state = GUARD_WAITING;
            decide(guard, event, effect);
            effect->changed = true;
        }
        break;
    case GUARD_TAKE_FAILED:
        if (guard->state == GUARD_TAKING_BACK)
            on_take_failed(guard, event, effect);
        break;
    case GUARD_OPERATOR:
        on_operator(guard, effect);
        break;
    }
    if (guard->state == GUARD_WAITING && !effect->at_ms) /* whatever it was about: the rounds go on */
        effect->at_ms = guard->round_ms;
}
