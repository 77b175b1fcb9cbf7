/*
 * proof.h - what can be shown to somebody who has nothing but a feed's verifier key, as text that fits a
 * mail. spec/feed.md, section 15.
 *
 * Proof of one claim, or that a position is dead [TREE-5]. Siblings from the leaf up; those of zero bytes are
 * left out.
 *
 *     kaartd-proof/v1
 *     position 41
 *     entry {"seq":41,...}            (or the one word `dead`)
 *     sibling 0 <base64 of 32 bytes>
 *     sibling 3 <base64 of 32 bytes>
 *
 *     <the note, to the end>
 *
 * Proof of equivocation [DEATH-3]: two notes, each after its size in bytes. Only where the notes alone do not
 * show it, a position with its leaf and path in both. It never holds an entry.
 *
 *     kaartd-fork/v1
 *     shorter 287
 *     <that many bytes of note>
 *     longer 287
 *     <that many bytes of note>
 *     position 2
 *     shorter-leaf <base64 of 32 bytes>
 *     shorter-sibling 0 <base64 of 32 bytes>
 *     longer-leaf <base64 of 32 bytes>
 *     longer-sibling 0 <base64 of 32 bytes>
 */
#ifndef KAARTD_PROTOCOL_PROOF_H
#define KAARTD_PROTOCOL_PROOF_H

#include "protocol/checkpoint.h"
#include "protocol/entry.h"
#include "protocol/error.h"
#include "protocol/tree.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A proof holds an entry or two notes, and at most 2 x 40 siblings of some 70 bytes [PROOF-6]. */
#define PROOF_SIZE_MAX (ENTRY_SIZE_MAX + 2 * NOTE_SIZE_MAX + 8192)

/* A proof of one claim. The spans point into the text that was verified. */
struct claim_proof {
    uint64_t position;
    struct span line;   /* NULL data: the position is dead */
    struct entry entry; /* of `line` */
    struct hash siblings[TREE_HEIGHT];
    struct span note;
    struct checkpoint checkpoint;
};

/* Writes the text from `position`, `line`, `siblings` and `note`; the rest is not looked at. *text is
 * malloc'ed and has a NUL behind it. Verifies nothing. 0 or KAART_NOMEM. */
int claim_proof_format(const struct claim_proof *proof, char **text, size_t *size);

/*
 * Verifies a text under the keys of one feed: the note opens, the line is an entry of that position without
 * envelope fault, and leaf and siblings lead to the signed root. Says nothing of whether the checkpoint is
 * the newest. 0, KAART_SYNTAX, KAART_LIMIT, KAART_KEY, KAART_SIGNATURE, KAART_ROOT or KAART_NOMEM.
 */
int claim_proof_verify(const char *text, size_t size, const struct verifier_key *keys, size_t key_count,
                       struct claim_proof *out, struct fault *fault);

/* One of two heads of an epoch. */
struct fork_side {
    struct span note;
    struct checkpoint checkpoint;
    struct hash leaf; /* this and `siblings` only with a position */
    struct hash siblings[TREE_HEIGHT];
};

struct fork_proof {
    struct fork_side shorter, longer; /* by size; which is which does not matter where they are equal */
    bool with_position;
    uint64_t position;
};

/* Writes the text from the notes and, if `with_position`, position, leaves and siblings. *text is malloc'ed
 * and has a NUL behind it. Verifies nothing. 0 or KAART_NOMEM. */
int fork_proof_format(const struct fork_proof *proof, char **text, size_t *size);

/*
 * Verifies that the text proves equivocation under the keys of one feed. 0 if it does; KAART_INVALID if
 * everything in it is genuine, but shows no fork; else as claim_proof_verify.
 */
int fork_proof_verify(const char *text, size_t size, const struct verifier_key *keys, size_t key_count,
                      struct fork_proof *out, struct fault *fault);

#endif
