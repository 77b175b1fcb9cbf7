/*
 * pull.h - the state machine that follows one feed at one source. spec/feed.md, section "Exchange".
 *
 * One machine per (feed, source): staging, backoff and the allowance for full syncs are its own, so that a lying or broken source spoils only
 * itself. The machine decides; a shell owns timers, calls and the store. It hands in one event at a time, with the time and
 * 32 random bits, and carries out the one effect that comes back.
 *
 *                  +------------------------------- wait (interval, backoff, allowance) <--------------------+
 *                  v                                                                                          |
 *      +--------------------+  due: held, no doubt      +------------------+  304, same, behind, absent,      |
 *      |                    | ------------------------> |      ASKING      |  fork (freeze), failed ------> --+
 *      |                    |                           | GET changes      |                                  |
 *      |                    |                           +------------------+                                  |
 *      |                    |                             | entries come, or a newer head alone               |
 *      |                    |                             v                                                   |
 *      |      WAITING       |  due: a kept delta stage  +------------------+                                  |
 *      |                    | ------------------------> |     OPENING      |  store in trouble -------------> +
 *      |                    |                           | a stage          |                                  |
 *      |                    |                           +------------------+                                  |
 *      |                    |            head verified    ^     | opened                                      |
 *      |                    |            and wanted ------+     v                                             |
 *      |                    |  due: not held,  |        +------------------+  cut off (stage kept), broken,   |
 *      |                    |  frozen, or a    |   +--> |      TAKING      |  absent ... (stage dropped) ---> +
 *      |                    |  full sync is    |   |    | GET changes      |                                  |
 *      |                    |  due       +-----------+  | into the stage   |                                  |
 *      |                    | ---------> |  LOOKING  |  +------------------+                                  |
 *      |                    |            | GET       |      |    ^ |  page ended with next                    |
 *      |                    |            | checkpoint|      |    +-+                                          |
 *      |                    |            +-----------+      | head reached                                    |
 *      |                    |                |              v                                                 |
 *      |                    |                v          +------------------+  committed, overtaken,           |
 *      |                    |              (wait)       |    COMMITTING    |  refused, forked --------------> +
 *      +--------------------+                           +------------------+
 *
 * What follows on what (each is tested in tests/unit/test_pull.c):
 *   304, the held head, a heartbeat    in step; ask again after the interval
 *   a smaller or earlier head          the source is behind: no fault, the ordinary interval        [SYNC-1]
 *   a lower epoch                      never followed; behind                                       [SYNC-2]
 *   higher epoch, below the floor      one full sync, rate-limited                                  [SYNC-6]
 *   wrong root, order, syntax, ...     stage dropped, nothing changed; one full sync, rate-limited; backoff [SYNC-6] [SYNC-7]
 *   connection lost, 5xx, 429          stage kept, backoff, Retry-After honoured, go on where it was [STREAM-8]; a delta that is cut off again and again
 *                                      without progress gives way to a full sync
 *   404                                the feed is not there: reported, asked again at a slow pace
 *   overtaken by another source        not this source's fault: ask again soon                      [SYNC-10]
 *   two histories                      the feed is frozen at the state held; only a higher epoch leads on [DEATH-6]
 * Failure counters are reset by a success of this exchange only, never by hints. [SYNC-11]
 */
#ifndef KAARTD_PROTOCOL_PULL_H
#define KAARTD_PROTOCOL_PULL_H

#include "protocol/checkpoint.h"
#include "protocol/error.h"
#include "protocol/limits.h"
#include "protocol/retry.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Failures in a row wait from this on, doubled each time; a peer that is polled more often than this starts
 * at its interval. */
#define PULL_BACKOFF_MS (10LL * 1000)
/* ... up to this, or four intervals if that is less, but never less than half a minute. */
#define PULL_BACKOFF_MAX_MS (60LL * 60 * 1000)
#define PULL_BACKOFF_CAP_MIN_MS (30LL * 1000)

/* A delta that was cut off this many times in a row without a further entry gives way to a full sync; a full
 * transfer begins anew. */
#define PULL_BREAKS_MAX 5

/* A feed that is absent is asked for after this many intervals. */
#define PULL_ABSENT_FACTOR 4

/* Overtaken this often in a row: no longer at once, but after the interval. */
#define PULL_OVERTAKEN_MAX 3

/* A source in backoff is tried at most this often because of hints; one in good health after the smaller gap.
 */
#define PULL_HINT_BACKOFF_GAP_MS (10LL * 1000)
#define PULL_HINT_GAP_MS 500

/* A full sync that became due starts within this time, at random: all subscribers of a feed learn of a new
 * epoch at one moment. */
#define PULL_FULL_SPREAD_MS (60LL * 1000)

#define PULL_MEMORY_SIZE 48
#define PULL_EXPLAIN_SIZE 1024

struct pull_options {
    int64_t every_ms;      /* interval of polls, > 0 */
    int64_t full_every_ms; /* at most one full sync in this time; 0: FULL_SYNC_EVERY_MS */
};

/* The state that is visible in the own store, whichever source it came from. */
struct pull_held {
    bool held;   /* otherwise the checkpoint says nothing */
    bool frozen; /* a fork was proven */
    struct checkpoint checkpoint;
};

enum pull_event_type {
    /* At any time. */
    PULL_TICK,   /* the time of PULL_WAIT has come (earlier ticks are harmless) */
    PULL_HINTED, /* a peer said that the feed has a newer head */
    PULL_WANTED, /* the operator wants it now: backoff and Retry-After are passed over, the allowance for full
                    syncs is not */
    PULL_HELD_MOVED, /* `held`: the visible state changed, by whatever way */

    /* Answers to PULL_ASK_CHECKPOINT, and to PULL_ASK_CHANGES while no stage is open. */
    PULL_NOT_MODIFIED, /* 304 */
    PULL_OFFERED, /* `checkpoint`, opened with the feed's keys: it came alone, as a note or as the only line
                   */
    PULL_ENTRIES, /* entries begin to arrive; the shell holds the transfer until the effect says what to do
                     with it */

    /* Answers to PULL_ASK_CHANGES while a stage is open, and after PULL_TAKE. */
    PULL_PAGE_ENDED,   /* the stage took a page that ends with `next` */
    PULL_HEAD_REACHED, /* the stage took a page that ends with `checkpoint`, opened with the feed's keys */

    /* Answers to any request. */
    PULL_ABSENT, /* 404 */
    PULL_FAILED, /* `code`, `text`, `local`; `retry_after_ms`. KAART_IO and KAART_BUSY: the transfer broke
                    off, what was staged is good. Anything else, unless local: what came was wrong, or not
                    signed by whom it should be */

    /* From the store. */
    PULL_STAGE_OPENED,   /* `next`: where the stage wants to go on */
    PULL_STAGE_FAILED,   /* `code`, `text` */
    PULL_COMMITTED,      /* `held`: visible now */
    PULL_COMMIT_REFUSED, /* `code`, `text`: nothing changed; the stage is gone */
};

struct pull_event {
    enum pull_event_type type;
    int64_t now_ms;  /* wall clock, UTC */
    uint32_t random; /* fresh random bits */
    const struct checkpoint *checkpoint;
    const struct pull_held *held;
    uint64_t next;
    uint64_t entries; /* PULL_HEAD_REACHED: staged in all */
    int code;
    bool local;             /* the trouble is this node's own (disk, memory): the source is not to blame */
    int64_t retry_after_ms; /* from the source; <= 0: none */
    const char *text;       /* for people; NULL: the code's name */
};

enum pull_action {
    PULL_GO_ON,          /* nothing new to do */
    PULL_WAIT,           /* hand in PULL_TICK at `at_ms` (replaces an earlier time) */
    PULL_ASK_CHECKPOINT, /* GET checkpoint */
    PULL_ASK_CHANGES, /* GET changes?epoch&since, after cancelling a transfer that is held; If-None-Match with
                         the held note if `conditional` */
    PULL_OPEN_STAGE, /* open the stage: `full`, `epoch`, `since`, `entries_max`; a held transfer stays held */
    PULL_TAKE,       /* hand the held transfer (or the answer that came whole) to the open stage */
    PULL_COMMIT,     /* commit the open stage with the head that was reached */
};

/* What becomes of the open stage, before `action`. */
enum pull_stage { PULL_STAGE_LEAVE, PULL_STAGE_KEEP, PULL_STAGE_DROP };

struct pull_effect {
    enum pull_action action;
    enum pull_stage stage;
    bool freeze; /* the head that was just offered and the held one (or, if `by_first`, the one that began
                    this full sync) prove a fork: freeze the feed, keep both notes as the proof */
    bool by_first;
    bool remember; /* pull_memory has changed: store it before going on */
    int64_t at_ms;
    bool full;
    bool conditional;
    uint64_t epoch;
    uint64_t since;
    uint64_t entries_max;
};

/* What an operator wants to know about (feed, source). */
enum pull_condition {
    PULL_CONDITION_NEW,         /* not asked yet */
    PULL_CONDITION_IN_STEP,     /* the source's head is the held one */
    PULL_CONDITION_BEHIND,      /* the source offers an older head */
    PULL_CONDITION_CATCHING_UP, /* a transfer is running, or was cut off and goes on */
    PULL_CONDITION_FULL_DUE,    /* only a full sync leads on; it waits for its allowance */
    PULL_CONDITION_ABSENT,      /* the source does not serve this feed (to us) */
    PULL_CONDITION_UNREACHABLE, /* no connection, or no proper answer */
    PULL_CONDITION_REFUSED,     /* what came was wrong */
    PULL_CONDITION_LOCAL,       /* the own store is in trouble */
    PULL_CONDITION_FROZEN,      /* two histories were signed */
};
/* "in step", "behind", ...; static. */
const char *pull_condition_name(enum pull_condition condition);

struct pull_status {
    enum pull_condition condition;
    bool busy; /* an exchange is running */
    bool full; /* ... and it is a full sync */
    struct pull_held held;
    bool offered_any;
    struct checkpoint offered; /* the newest thing the source said */
    unsigned failures;         /* in a row */
    int64_t last_success_ms;   /* 0: never */
    int64_t next_ms;           /* of the next request; 0 while busy */
    int64_t full_allowed_ms;   /* when the next full sync may begin; 0: at once */
    int64_t full_due_ms;       /* of the next full sync, if one was decided on and waits; 0: none */
    int code;                  /* of the last trouble; 0: none since the last success */
    const char *text;          /* of it; "" for none. Borrowed until the next event */
    const uint32_t *refusals;  /* counts since the start by -code; PULL_CODES of them */
};
#define PULL_CODES 17

struct pull;

/* `memory`: what pull_memory gave before a restart, or NULL; a text that makes no sense counts as NULL. The
 * machine waits until the first event, which should be PULL_TICK: it answers with a time soon, at random.
 * NULL: no memory. */
struct pull *pull_new(const struct pull_options *options, const struct pull_held *held, const char *memory,
                      int64_t now_ms);
void pull_free(struct pull *pull); /* accepts NULL */

/* After a reload. Takes effect from the next wait on. */
void pull_set_options(struct pull *pull, const struct pull_options *options);

/* Takes an event and says what to do. An event that does not belong to the state (an answer nobody waits for)
 * is ignored: PULL_GO_ON. */
void pull_handle(struct pull *pull, const struct pull_event *event, struct pull_effect *effect);

/* What must outlive a restart: the allowance of full syncs. One line of text. */
void pull_memory(const struct pull *pull, char text[PULL_MEMORY_SIZE]);

void pull_get_status(const struct pull *pull, struct pull_status *status);

/* The situation in a sentence for people: what happened, what it means for the data, what comes next. E.g.
 * "refused: the live set does not have the signed root (spec/feed.md [TREE-4]); nothing was changed; next
 * full sync in 42 min". */
void pull_explain(const struct pull *pull, int64_t now_ms, char text[PULL_EXPLAIN_SIZE]);

#endif
