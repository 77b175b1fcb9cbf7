/*
 * feeds.h - feeds.db: what was said, by whom, as exact bytes. The authoritative half of the store.
 *
 * A `struct feeds` is one SQLite connection and belongs to one thread. There is one writing connection in a process; any number of reading ones.
 *
 * Generations. The live entries of a feed stand under a generation, a number that is never used twice. A feed's
 * row names the generation that is visible and its head. A transfer is staged under a generation of its own, so that it
 * has no effect before its root matched, whatever source it comes from:
 *
 *     stage_open ---> stage_write* ---> stage_commit ---+--> (delta)  rows move behind the visible size, replaced ones die
 *         |               |                             +--> (full)   the feed's row changes generation; the old one is deleted in batches
 *         +---------------+------> stage_drop           +--> refused: nothing changed, the stage is gone
 *
 * Dead means gone: a dead entry's line is overwritten in place (lines.c says why deleting is not enough). Own entries, tree nodes and the signed checkpoint are
 * one transaction; then the own-head copy is synced; only then readers see it (feeds_read_begin waits for that).
 */
#ifndef KAARTD_STORE_FEEDS_H
#define KAARTD_STORE_FEEDS_H

#include "protocol/checkpoint.h"
#include "protocol/entry.h"
#include "protocol/error.h"
#include "protocol/tree.h"

#include <stdbool.h>
#include <stdint.h>

struct feeds;

/* Opens (and for writing creates or migrates) STATE/feeds.db. A file of a newer schema or of another application is refused (KAART_INVALID), and so is
 * one that fails its quick check (KAART_CORRUPT) or that another process has open for writing (KAART_BUSY). `own_head`: path of the own-head
 * copy, writing connection only; NULL for a store without own feeds (kaartctl fetch). A copy that lags behind (a crash between commit and copy) is
 * completed here; if it cannot be, that is logged and own feeds are neither signed nor shown until it can.
 * 0, or one of these, KAART_IO, KAART_NOMEM. */
int feeds_open(const char *path, bool write, const char *own_head, struct feeds **out, struct fault *fault);
void feeds_close(struct feeds *feeds);

/* A feed as held now. */
struct feed_head {
    int64_t id; /* row id, stable for the database's life */
    bool own;
    bool held; /* a first state is visible; otherwise only `checkpoint.feed` is set */
    uint32_t generation;
    struct checkpoint checkpoint;
    char note[NOTE_SIZE_MAX + 1]; /* the exact bytes, NUL added */
    size_t note_size;
    char frozen[256]; /* reason in words; empty: not frozen */
};

/* KAART_UNKNOWN where the feed has no row. */
int feeds_head(struct feeds *feeds, const char *name, struct feed_head *out, struct fault *fault);
/* All feeds in order of name; a non-zero return of `each` ends the walk with that code. `each` may use this connection. */
typedef int feeds_each(void *context, const struct feed_head *head);
int feeds_list(struct feeds *feeds, feeds_each *each, void *context, struct fault *fault);

/* ---- reading (any connection) ---- */

/* One page of a feed's stream: whole lines with LF, then the control line; see stream.h. *bytes is malloc'ed. */
struct feeds_page {
    char *bytes;
    size_t size;
    size_t entries;
    bool last;                    /* ends with the checkpoint, not with next */
    struct checkpoint checkpoint; /* the head at the moment of the read */
    char etag[HASH_SIZE * 2 + 5]; /* W/"hex of SHA-256 of the note" */
};
/* The live entries with seq >= since, at most `size_max` bytes of them but at least one; if `epoch` is not the held one or since > size, the checkpoint line alone.
 * The last page and its checkpoint come from one read of the database. KAART_UNKNOWN, KAART_IO, ... */
int feeds_page(struct feeds *feeds, const char *name, uint64_t epoch, uint64_t since, size_t size_max,
               struct feeds_page *out, struct fault *fault);

/* Entries of the visible generation with seq >= since, in order, up to `limit`; for the map, for export, for proofs. KAART_OVERTAKEN if that
 * generation is not the visible one any more. `line` is valid during the call; `each` may call other reading functions on this connection, but not
 * feeds_entries or feeds_page, and may not write. */
typedef int feeds_entry(void *context, uint64_t seq, const struct hash *leaf, const char *line, size_t size);
int feeds_entries(struct feeds *feeds, int64_t feed_id, uint32_t generation, uint64_t since, size_t limit,
                  feeds_entry *each, void *context, struct fault *fault);
/* One live entry; KAART_UNKNOWN if it is not (any more). *line is malloc'ed. */
int feeds_entry_at(struct feeds *feeds, int64_t feed_id, uint32_t generation, uint64_t seq, struct hash *leaf,
                   char **line, size_t *size, struct fault *fault);
/* The live entry under a key of a feed; KAART_UNKNOWN if none. *line is malloc'ed. */
int feeds_entry_by_key(struct feeds *feeds, const char *name, const struct entry_key *key, uint64_t *seq,
                       char **line, size_t *size, struct fault *fault);
/* A position's siblings in the visible tree, with the head from the same read. */
int feeds_path(struct feeds *feeds, const char *name, uint64_t seq, struct hash siblings[TREE_HEIGHT],
               struct feed_head *head, struct fault *fault);

/* ---- writing own feeds (writing connection) ---- */

/* What this node wants to say. Strings are borrowed. */
struct own_claim {
    enum entry_op op;
    const char *kind, *id, *source, *role;
    const char *areas;        /* JSON array, or NULL */
    const char *on_behalf_of; /* UUID, or NULL */
    const char *body;         /* JSON object without needless white space; NULL unless assert */
    int32_t verified;         /* DAY_NONE: none */
    int32_t missing_since;    /* DAY_NONE: none */
    bool salted;              /* personal data: add 128 random bits */
    bool renew; /* write even if nothing but `verified` changed; otherwise such a claim is unchanged */
};
enum own_outcome {
    OWN_ADDED,
    OWN_CHANGED,
    OWN_UNCHANGED,
    OWN_RETRACTED,
    OWN_ABSENT /* nothing to retract */,
    OWN_REFUSED
};
struct own_result {
    enum own_outcome outcome;
    uint64_t seq;
    struct fault fault; /* for OWN_REFUSED */
};

/*
 * Appends claims to an own feed: one transaction with entries, tree and the signed checkpoint, then the own-head copy, then visible.
 * Creates the feed (epoch = now) on first use. Claims that say what the live entry already says are unchanged and cost nothing. A
 * refused claim does not hold up the others. `dry_run` gives the outcomes and writes nothing. At most BATCH_ENTRIES_MAX claims.
 * Signing asks the guard flag first (feeds_allow_signing): KAART_GUARD while it is not set. KAART_CLOCK if the last own `at` is more than
 * CLOCK_AHEAD_MAX_MS ahead of now_ms. Before it signs, the changed paths are recomputed from rows read back; a difference is KAART_CORRUPT.
 */
int feeds_append(struct feeds *feeds, const char *name, const struct signing_key *keys, size_t key_count,
                 int64_t now_ms, const struct own_claim *claims, size_t count, bool dry_run,
                 struct own_result *results, struct fault *fault);

/* Signs the same state with a new time; creates an empty feed if there is none. Same errors. */
int feeds_heartbeat(struct feeds *feeds, const char *name, const struct signing_key *keys, size_t key_count,
                    int64_t now_ms, struct fault *fault);

/* ---- the own-head guard's hands ---- */

/* The newest note in the own-head copy for an own feed. KAART_UNKNOWN: no copy has it; KAART_IO: unreadable. */
int feeds_own_head_copy(struct feeds *feeds, const char *name, char **note, size_t *size,
                        struct fault *fault);
/* Signing own feeds is refused until this says yes (per feed); `reason` is shown meanwhile. */
void feeds_allow_signing(struct feeds *feeds, const char *name, bool allowed, const char *reason);
/* The mark of a clean shutdown: set at the end, read and cleared by the first call after opening. */
int feeds_mark_clean(struct feeds *feeds, struct fault *fault);
int feeds_take_clean(struct feeds *feeds, bool *clean, struct fault *fault);
/* Freezes a feed at the state held ("" thaws). `proof` (may be NULL) is kept: text for kaartctl verify. */
int feeds_freeze(struct feeds *feeds, const char *name, const char *reason, const char *proof,
                 struct fault *fault);

/* The proof that was kept when the feed froze (also after it thawed). *proof malloc'ed; KAART_UNKNOWN: none. */
int feeds_proof(struct feeds *feeds, const char *name, char **proof, struct fault *fault);

/* ---- staging what others sent (writing connection) ---- */

struct stage;

/* What a transfer is to become. */
struct stage_plan {
    const char *feed;   /* "origin/audience" */
    const char *source; /* the peer it comes from */
    bool full;          /* a new generation, or a delta on the held one */
    uint64_t epoch;
    uint64_t since;       /* 0 for full; held size for a delta */
    uint64_t entries_max; /* bound on what is taken, 0: none */
};
/* Opens the stage of (feed, source), or goes on with the one left there (also after a restart) if it fits the plan and is still based on
 * the held state. *since is where to ask from. A stage with another plan is dropped first. */
int stage_open(struct feeds *feeds, const struct stage_plan *plan, struct stage **out, uint64_t *since,
               struct fault *fault);

/* Takes bytes of a stream response as they come: checks, hashes, stores, in bounded transactions. After a fault the stage can only be dropped. */
int stage_write(struct stage *stage, const char *bytes, size_t size, struct fault *fault);
/* The end of one response. *next: ask again with this since; or *note (borrowed until the stage is written or freed) when it reached the head. */
struct stage_progress {
    bool complete; /* a checkpoint line came */
    uint64_t next; /* since of the next request, if not complete */
    const char *note;
    size_t note_size;
    uint64_t entries; /* staged so far */
};
int stage_end_response(struct stage *stage, struct stage_progress *progress, struct fault *fault);

/*
 * The switch: computes root and count of what would be live, compares with `checkpoint` (opened by the caller from `note`), checks "only death" on a full sync within the held epoch, and makes
 * it visible, or refuses with nothing changed: KAART_ROOT, KAART_FORK (the feed is frozen and the proof kept), KAART_OVERTAKEN (the held state moved).
 * A full sync that is refused as a fork, but has the root that was signed, takes away the lines of held claims that it erases [DEATH-7].
 * An empty delta is a heartbeat. Consumes the stage in every case.
 */
int stage_commit(struct stage *stage, const struct checkpoint *checkpoint, const char *note, size_t note_size,
                 struct fault *fault);
/* Puts it away for a later stage_open (connection lost), or deletes it (its content is not to be trusted). Accept NULL. */
void stage_keep(struct stage *stage);
void stage_drop(struct stage *stage);

/* A bounded piece of clean-up: old generations, abandoned stages, WAL. *more: call again. For idle time. */
int feeds_tidy(struct feeds *feeds, bool *more, struct fault *fault);

/* Recomputes every leaf and node of a visible generation from its lines and compares with the head: for doctor, backup and tests. */
int feeds_verify(struct feeds *feeds, const char *name, struct fault *fault);

/* Asks whoever derives from this store (the map) to clear away what it no longer shows, deleted index entries and logs too: a number under
 * PURGE_KEY that grows. */
#define PURGE_KEY "purge"
int feeds_ask_purge(struct feeds *feeds, struct fault *fault);

/* Key-value of this store, for shells that must remember (pull state, sources). *value malloc'ed; KAART_UNKNOWN if absent. NULL value deletes. */
int feeds_get_value(struct feeds *feeds, const char *key, char **value, struct fault *fault);
int feeds_set_value(struct feeds *feeds, const char *key, const char *value, struct fault *fault);

#endif
