/*
 * checkpoint.h - the signed head of a feed, and how two heads of one feed compare. spec/feed.md, section
 * "Checkpoint".
 *
 *     kaartd-feed/v1
 *     feed nieuwegein.example/public
 *     epoch 1763751600
 *     size 48211
 *     live 19874
 *     floor 0
 *     root <base64 of 32 bytes>
 *     time 2026-11-21T19:04:06Z
 */
#ifndef KAARTD_PROTOCOL_CHECKPOINT_H
#define KAARTD_PROTOCOL_CHECKPOINT_H

#include "protocol/error.h"
#include "protocol/hash.h"
#include "protocol/note.h"

#include <stdint.h>

#define CHECKPOINT_TEXT_MAX 640

struct checkpoint {
    char feed[FEED_NAME_MAX_SIZE + 1];
    uint64_t epoch; /* Unix second of the epoch's creation */
    uint64_t size;  /* the next unused position */
    uint64_t live;  /* live entries, tombstones included */
    uint64_t floor; /* retract and erase entries below this are dead */
    struct hash root;
    int64_t time_s;
};

/* Exactly the eight lines in their order; live <= size, floor <= size, and (size 0 or live 0) <=> consistent
 * with a zero root. 0 or KAART_SYNTAX. */
int checkpoint_parse(const char *text, size_t size, struct checkpoint *out, struct fault *fault);
/* Returns the length; `text` gets a NUL. */
size_t checkpoint_format(const struct checkpoint *checkpoint, char text[CHECKPOINT_TEXT_MAX]);

/* Opens a note with the keys configured for exactly `feed`: every key's name and the feed line must be
 * `feed`. 0, or an error of note_open / checkpoint_parse; KAART_KEY for keys of another feed; KAART_SIGNATURE
 * for another feed's note. */
int checkpoint_open(const char *note, size_t size, const char *feed, const struct verifier_key *keys,
                    size_t key_count, struct checkpoint *out, struct fault *fault);

/* What an offered head means to somebody who holds `held`. Both have been opened under keys of the same feed.
 */
enum checkpoint_relation {
    CHECKPOINT_SAME,      /* the same state and time: nothing to do */
    CHECKPOINT_HEARTBEAT, /* the same state, later time */
    CHECKPOINT_NEWER,     /* same epoch, larger size: a delta from held->size leads there */
    CHECKPOINT_FULL,   /* higher epoch, or held->size < offered->floor: a full sync leads there, no fault */
    CHECKPOINT_BEHIND, /* older than what is held: this source lags; no fault */
    CHECKPOINT_FORK,   /* equivocation: two roots (or live counts, or floors) at one size of one epoch, or a
                          smaller size with a later   time, or a larger size with an earlier time, or a floor that
                          fell */
};
enum checkpoint_relation checkpoint_compare(const struct checkpoint *held, const struct checkpoint *offered);

#endif
