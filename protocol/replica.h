/*
 * replica.h - a feed's live set in memory: what a subscriber does with a stream (spec/feed.md, section 10),
 * and what an origin signs, without a store. For tests, simulations and `fetch`-like tools; a node keeps its
 * feeds in feeds.db.
 *
 *                     full sync that verifies
 *     EMPTY ------------------------------------> HELD
 *     HELD ---- delta or full sync that verifies, heartbeat ----> HELD    (swapped as a whole)
 *     HELD ---- anything that does not verify ----> HELD                  (unchanged)
 *     HELD ---- proven fork ----> FROZEN                                  (unchanged, and deaf to this epoch)
 *     FROZEN -- full sync of a higher epoch ----> HELD
 *
 * Pure. Whoever owns a replica uses it from one thread at a time.
 */
#ifndef KAARTD_PROTOCOL_REPLICA_H
#define KAARTD_PROTOCOL_REPLICA_H

#include "protocol/checkpoint.h"
#include "protocol/entry.h"
#include "protocol/error.h"
#include "protocol/tree.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct replica;

enum replica_outcome {
    REPLICA_APPLIED,     /* verified and now held; a heartbeat as well */
    REPLICA_SAME,        /* nothing new */
    REPLICA_BEHIND,      /* older than what is held: no fault */
    REPLICA_FULL_NEEDED, /* a delta that cannot lead there: higher epoch, or below the floor */
    REPLICA_REFUSED,     /* did not verify, or the feed is frozen */
    REPLICA_FORK,        /* equivocation: frozen from here on */
};

/* The outcome in one word ("applied", "full-needed"). Static storage. */
const char *replica_outcome_name(enum replica_outcome outcome);

/* An empty replica of `feed`, opened with these keys (at most FEED_KEYS_MAX; copied). NULL: no memory, or not
 * a feed. */
struct replica *replica_new(const char *feed, const struct verifier_key *keys, size_t key_count);
void replica_free(struct replica *replica);

/*
 * Offers one response that reaches the head: a delta from what is held, or (`full`, and whenever nothing is
 * held) all of the feed. Unless it answers REPLICA_APPLIED, what is held stays as it was. `fault` is set for
 * REFUSED, with the code of its cause in *code (may be NULL), and for FORK.
 */
enum replica_outcome replica_offer(struct replica *replica, const char *stream, size_t size, bool full,
                                   int *code, struct fault *fault);

/* The head that is held; NULL if none is. Borrowed until the next change. */
const struct checkpoint *replica_head(const struct replica *replica);
const char *replica_note(const struct replica *replica, size_t *size);
bool replica_frozen(const struct replica *replica);

/* Live entries, in order of seq. `index` < replica_live. Borrowed until the next change. */
size_t replica_live(const struct replica *replica);
const char *replica_line(const struct replica *replica, size_t index, uint64_t *seq, size_t *size);
/* The live entry at a position: its index, or replica_live if that position is dead. */
size_t replica_find(const struct replica *replica, uint64_t seq);

/* Whether both hold the same live entries, byte for byte, at the same epoch and size. */
bool replica_equal(const struct replica *a, const struct replica *b);

/* The stream that this replica would answer a request for `since` with, up to the head; malloc'ed. 0,
 * KAART_NOMEM, or KAART_UNKNOWN if nothing is held. */
int replica_stream(const struct replica *replica, uint64_t since, char **stream, size_t *size);

/* The siblings of a position, and its leaf (zero if dead). 0 or KAART_NOMEM. */
int replica_path(const struct replica *replica, uint64_t position, struct hash siblings[TREE_HEIGHT],
                 struct hash *leaf, struct fault *fault);

/* ---- for the origin ---- */

/* Takes an entry as the next of the own feed; its seq must lie beyond all before it (KAART_ORDER). It has no
 * effect before replica_sign. 0 or an error of entry_parse. */
int replica_append(struct replica *replica, const char *line, size_t size, struct fault *fault);
/*
 * Signs what was appended as the new head. `floor` drops tombstones below it; raising it burns a position if
 * nothing was appended. An `epoch` other than the held one keeps the live set but not the positions, so it is
 * only taken for a replica without entries. Makes no check that an honest origin makes (time, floor): tests
 * need liars as well. 0, KAART_INVALID (epoch), or an error of note_sign.
 */
int replica_sign(struct replica *replica, const struct signing_key *keys, size_t key_count, uint64_t epoch,
                 uint64_t floor, int64_t time_s, struct fault *fault);

#endif
