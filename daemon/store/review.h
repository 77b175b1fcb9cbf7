/*
 * review.h - editorial review: what residents say is held until an editor decides. spec/records.md, section 10 [REV].
 *
 *     review_submit --> WAITING --review_approve--> TAKING --in the feed--> APPROVED
 *                         |  ^                        |
 *                         |  +---- it was not taken --+
 *                         +--review_reject--> REJECTED
 *
 * An approved claim enters the own feed it was meant for, in role `resident`, under source `resident-NUMBER`: two residents can say
 * different things about one record, and whoever asks what became of a number finds it in the feed. TAKING is what a crash can leave
 * between the decision and the feed; feeds_open settles it by looking whether the claim is there.
 *
 * The submitter is kept as a keyed hash only, and not beyond the decision; what was said is overwritten then too (an approved claim
 * stands in the feed). Number, kind, record, decision, reason, day and editor stay.
 */
#ifndef KAARTD_STORE_REVIEW_H
#define KAARTD_STORE_REVIEW_H

#include "daemon/store/feeds.h"
#include "protocol/json.h"

#define REVIEW_ROLE "resident"
#define REVIEW_SOURCE_PREFIX "resident-"

/* A resident's words, as JSON. The largest records of a municipality's map are some 25 kB with everything in them; an addition or a new
 * initiative is a tenth of that. */
#define REVIEW_SIZE_MAX 16384
/* Submissions of one submitter in a UTC day: who walks around the neighbourhood and notes every initiative has a dozen; an editor reads
 * so many in an hour. [REV-5] */
#define REVIEW_PER_DAY_MAX 20
/* Of one submitter that wait: so nobody fills the queue alone while editors are on leave. [REV-5] */
#define REVIEW_WAITING_PER_SUBMITTER_MAX 60
/* That wait in all: more than a hundred hours of reading, and at most 32 MB. [REV-5] */
#define REVIEW_QUEUE_MAX 2000
/* Texts of people, in bytes. */
#define REVIEW_SUBMITTER_MAX 256
#define REVIEW_EDITOR_MAX 100
#define REVIEW_REASON_MAX 1000

enum review_state {
    REVIEW_WAITING,
    REVIEW_TAKING, /* only seen where another process looks while it is being approved */
    REVIEW_APPROVED,
    REVIEW_REJECTED,
};
const char *review_state_name(enum review_state state);

/* What is submitted; checked with record_check by the caller. Strings are borrowed. */
struct review_claim {
    const char *feed; /* own feed it is meant for, "origin/audience" */
    const char *kind, *id;
    const char *areas; /* JSON array, or NULL */
    const char *body;  /* JSON object without needless white space */
    int32_t verified;  /* DAY_NONE: none */
};

/*
 * Queues a claim. `submitter`: who it is to the program that submits (an account, an address); only its keyed hash is kept. NULL or "":
 * not known; all of those count as one. *number is what to ask by. Writing connection.
 * KAART_BUSY: a bound of today or of the queue is reached, the text says which and until when; KAART_LIMIT: too large;
 * KAART_INVALID: a text that is none.
 */
int review_submit(struct feeds *feeds, const struct review_claim *claim, const char *submitter,
                  int64_t now_ms, uint64_t *number, struct fault *fault);

struct submission {
    uint64_t number;
    enum review_state state;
    char feed[FEED_NAME_MAX_SIZE + 1];
    char kind[NAME_MAX_SIZE + 1], id[UUID_TEXT_SIZE + 1];
    char source[NAME_MAX_SIZE + 1]; /* under which it is, or would be, in the feed */
    int32_t submitted, decided;     /* days; DAY_NONE: not decided */
    char editor[REVIEW_EDITOR_MAX + 1], reason[REVIEW_REASON_MAX + 1];
    /* While it waits; else empty and DAY_NONE. The spans point into `text`. */
    char *text;
    struct span areas, body;
    int32_t verified;
    uint64_t same_submitter; /* how many wait from whoever submitted this, itself included */
};
/* Frees what it points to, not itself. */
void submission_clear(struct submission *submission);

/* Any connection. KAART_UNKNOWN. The caller clears *out. */
int review_get(struct feeds *feeds, uint64_t number, struct submission *out, struct fault *fault);

/* Those with a greater number than `after`, in order, `limit` at most; `all`: decided ones too. A non-zero return of `each` ends the walk
 * with that code; the submission is valid during the call. `each` may use reading functions of this connection. */
typedef int review_each(void *context, const struct submission *submission);
int review_list(struct feeds *feeds, bool all, uint64_t after, size_t limit, review_each *each, void *context,
                struct fault *fault);
/* How many wait. */
int review_waiting(struct feeds *feeds, uint64_t *count, struct fault *fault);

/*
 * Approves: the claim enters its feed (feeds_append, with its errors), and then the decision is on record. What was approved before is so
 * again without effect (*changed false). KAART_INVALID: it was rejected, or the feed refuses it; then it waits on. `editor` may be "".
 * Writing connection.
 */
int review_approve(struct feeds *feeds, uint64_t number, const char *editor, const struct signing_key *keys,
                   size_t key_count, int64_t now_ms, bool *changed, struct fault *fault);
/* Rejects, with a reason that the submitter may read; what was said is overwritten. The same again is without effect. KAART_INVALID: it
 * was approved, or there is no reason. Writing connection. */
int review_reject(struct feeds *feeds, uint64_t number, const char *editor, const char *reason,
                  int64_t now_ms, struct fault *fault);
/* For feeds_open: what a crash left in TAKING is approved if the feed has it, and waits otherwise. */
int review_settle(struct feeds *feeds, struct fault *fault);

#endif
