/*
 * push.h - the state machine that tells one peer of one feed's new heads, and sends what it cannot fetch.
 * spec/feed.md [PUSH].
 *
 * Pull is the truth; a push that is lost costs only time. The offer (POST checkpoint) is at once the hint: a
 * receiver that can pull the feed by itself answers that it does not want the transfer, and that is all. The
 * receiver decides.
 *
 *               changed (gathered)        +----------+  not wanted, in step, or ahead of us
 *      +------> ------------------------> | OFFERING | -------------------------------------> RESTING
 *      |        due                       +----------+
 *   RESTING                                 | wanted, from (epoch, position)
 *   WAITING                                 v
 *      ^                                  +----------+ --- page taken, go on from position ---+
 *      |                                  | SENDING  | <--------------------------------------+
 *      |                                  +----------+
 *      |                                    |  |  head taken: RESTING
 *      +--- failed, conflict, refused, -----+  +-------------------------> RESTING (or offer again, if it
 * changed meanwhile) absent: WAITING (backoff)
 *
 * Failure counters are reset by a success of this exchange only.
 */
#ifndef KAARTD_PROTOCOL_PUSH_H
#define KAARTD_PROTOCOL_PUSH_H

#include "protocol/checkpoint.h"
#include "protocol/error.h"
#include "protocol/retry.h"

#include <stdbool.h>
#include <stdint.h>

/* Changes within this time of each other are told as one; an import commits several times a second. */
#define PUSH_GATHER_MS 1000

/* Failures in a row: from, doubled, up to. */
#define PUSH_BACKOFF_MS (5LL * 1000)
#define PUSH_BACKOFF_MAX_MS (60LL * 60 * 1000)

/* A peer that does not know the feed (or us) is told again after this time, or when there is news, but with
 * this gap at least. */
#define PUSH_ABSENT_MS (60LL * 60 * 1000)
#define PUSH_ABSENT_GAP_MS (60LL * 1000)

/* A receiver whose position does not move is not sent to for ever. */
#define PUSH_STUCK_MAX 3

#define PUSH_EXPLAIN_SIZE 768

enum push_event_type {
    PUSH_TICK,     /* the time of PUSH_WAIT_UNTIL has come; also the first event */
    PUSH_CHANGED,  /* `checkpoint`: the head that is visible now */
    PUSH_NOW,      /* the operator wants it now */
    PUSH_ANSWERED, /* 200 to an offer or a page: `epoch`, `position`, `wanted` */
    PUSH_CONFLICT, /* 409: `epoch`, `position`; not newer, or another transfer runs */
    PUSH_UNKNOWN,  /* 404 */
    PUSH_FAILED,   /* `code`, `text`, `retry_after_ms`; KAART_IO and KAART_BUSY: the transfer broke off; else:
                      the peer refused what was sent */
};

struct push_event {
    enum push_event_type type;
    int64_t now_ms;
    uint32_t random;
    const struct checkpoint *checkpoint;
    uint64_t epoch;
    uint64_t position;
    bool wanted;
    int code;
    int64_t retry_after_ms; /* <= 0: none */
    const char *text;
};

enum push_action {
    PUSH_GO_ON,      /* nothing new to do */
    PUSH_REST,       /* nothing until the next change; drop the timer */
    PUSH_WAIT_UNTIL, /* PUSH_TICK at `at_ms` */
    PUSH_OFFER,      /* POST checkpoint with the newest note */
    PUSH_SEND,       /* POST changes?epoch&since with one page of the stream from `since` on */
};

struct push_effect {
    enum push_action action;
    bool ahead; /* the receiver holds more than we do: for an own feed, the guard must know */
    int64_t at_ms;
    uint64_t epoch;
    uint64_t since;
};

enum push_condition {
    PUSH_CONDITION_NEW,
    PUSH_CONDITION_HINTED,  /* told; it pulls by itself */
    PUSH_CONDITION_IN_STEP, /* it holds what we hold */
    PUSH_CONDITION_SENDING,
    PUSH_CONDITION_AHEAD,   /* it holds more than we do */
    PUSH_CONDITION_UNKNOWN, /* it does not know the feed, or us */
    PUSH_CONDITION_UNREACHABLE,
    PUSH_CONDITION_REFUSED, /* it refused what we sent */
};
const char *push_condition_name(enum push_condition condition);

struct push_status {
    enum push_condition condition;
    bool busy;
    uint64_t peer_epoch, peer_position; /* as it last answered */
    unsigned failures;
    int64_t last_success_ms;
    int64_t next_ms; /* 0: none */
    int code;
    const char *text; /* borrowed until the next event */
};

struct push;

/* Rests until the first event: PUSH_CHANGED with the head that is there, if there is one. NULL: no memory. */
struct push *push_new(void);
void push_free(struct push *push); /* accepts NULL */

/* Takes an event and says what to do; events that do not belong to the state are ignored. */
void push_handle(struct push *push, const struct push_event *event, struct push_effect *effect);

void push_get_status(const struct push *push, struct push_status *status);
/* In a sentence for people. */
void push_explain(const struct push *push, int64_t now_ms, char text[PUSH_EXPLAIN_SIZE]);

#endif
