/*
 * guard.h - the own-head guard: may this node sign its own feed now? spec/feed.md, "Restore, and the own
 * head" [GUARD].
 *
 * A node restored from last night's backup would sign a second history, which freezes its feed everywhere. So
 * after every start the own head in the database is compared with the own-head copy and with the peers that
 * hold the feed; local changes wait meanwhile.
 *
 *                            copy forked from the database, or a peer forked from it
 *             +-------------------------------------------------------------------------------+
 *             |                                                                               v
 *   start  +---------+  enough peers compared, none ahead (or nobody to ask), copy not ahead  +---------+
 *  ------> | WAITING | ----------------------------------------------+                        | STOPPED |
 *          +---------+  too few answered within the wait, copy agrees, |                      +---------+
 *            |  ^       clean shutdown or a peer compared; or          v                         ^  ^
 *            |  |       the operator decided                      +---------+  an own note that  |  |
 *   a peer   |  |                                                 | SIGNING | -------------------+  |
 *   is ahead |  | taken back (ask anew), or failed (ask again)    +---------+  this node does not know
 *            v  |                                                                                   |
 *        +-------------+  two histories                                                             |
 *        | TAKING BACK | ---------------------------------------------------------------------------+
 *        +-------------+
 *
 * STOPPED is left by a restart only, after the operator restored a newer backup or began a new epoch: what
 * the guard knows then decides anew.
 *
 * Who is compared with whom: every event with a head of somebody else carries the own head as well, read
 * *after* that answer came. A peer that already has what this node signed a moment ago is then not mistaken
 * for one that knows more.
 */
#ifndef KAARTD_PROTOCOL_GUARD_H
#define KAARTD_PROTOCOL_GUARD_H

#include "protocol/checkpoint.h"
#include "protocol/error.h"
#include "protocol/retry.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Peers that are asked at most; more than that add nothing to a quorum of two. */
#define GUARD_PEERS_MAX 64

/* Rounds of asking follow each other from this distance, doubled, up to this. */
#define GUARD_ROUND_MS (2LL * 1000)
#define GUARD_ROUND_MAX_MS (60LL * 1000)

#define GUARD_REASON_SIZE 512

struct guard_options {
    const char *feed;
    size_t peer_count; /* peers that could be asked, 0 to GUARD_PEERS_MAX; events name them by index */
    unsigned
        quorum; /* how many of those that hold the feed must have been compared; all if there are fewer */
    int64_t wait_ms; /* -1: never sign without them */
    bool clean;      /* the last shutdown was clean */
};

/* The own-head copy. */
enum guard_copy { GUARD_COPY_NONE, GUARD_COPY_HELD, GUARD_COPY_UNREADABLE };

enum guard_event_type {
    GUARD_START,       /* first: `own`, `copy`, `copy_head` */
    GUARD_TICK,        /* the time of `at_ms` came */
    GUARD_PEER_HEAD,   /* `peer`, its `head` (opened with the own keys), `own` */
    GUARD_PEER_ABSENT, /* `peer` does not hold the feed (404) */
    GUARD_PEER_FAILED, /* `peer` could not be asked */
    GUARD_SEEN,        /* an own-signed `head` turned up elsewhere (a list, a push, a relay), `own` */
    GUARD_TAKEN_BACK,  /* the take-back ended well: `own`, `copy`, `copy_head` */
    GUARD_TAKE_FAILED, /* `code`, `text`; KAART_FORK, or another */
    GUARD_OPERATOR,    /* the operator decides that the database is right, although nobody could be asked */
};

struct guard_event {
    enum guard_event_type type;
    int64_t now_ms;
    uint32_t random;
    const struct checkpoint *own; /* head in the database; NULL: it holds none */
    enum guard_copy copy;
    const struct checkpoint *copy_head; /* with GUARD_COPY_HELD */
    size_t peer;
    const struct checkpoint *head;
    int code;
    const char *text;
};

enum guard_state { GUARD_WAITING, GUARD_TAKING_BACK, GUARD_SIGNING, GUARD_STOPPED };
const char *guard_state_name(enum guard_state state);

struct guard_effect {
    bool ask;       /* ask the peers for which guard_must_ask says so, now */
    bool take_back; /* fetch the own feed from `peer`, verified as any other; then GUARD_TAKEN_BACK or
                       GUARD_TAKE_FAILED */
    size_t peer;
    int64_t at_ms; /* GUARD_TICK then; 0: no timer */
    bool changed;  /* guard_may_sign or the reason changed: hand both to the store */
};

struct guard;

/* NULL: no memory. `options->feed` is copied. */
struct guard *guard_new(const struct guard_options *options);
void guard_free(struct guard *guard); /* accepts NULL */

void guard_handle(struct guard *guard, const struct guard_event *event, struct guard_effect *effect);

enum guard_state guard_get_state(const struct guard *guard);
bool guard_may_sign(const struct guard *guard);
/* Why, or why not, in words; valid until the next event. */
const char *guard_reason(const struct guard *guard);
/* Whether `peer` has not been compared since the last change of the own head. */
bool guard_must_ask(const struct guard *guard, size_t peer);

#endif
