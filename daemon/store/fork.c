/*
 * fork.c - an origin that signed two histories: the feed is frozen at the state held, and the proof is kept. spec/feed.md [DEATH-6].
 */
#include "daemon/store/feeds_internal.h"
#include "protocol/proof.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void set_side(struct fork_side *side, const char *note, size_t note_size,
                     const struct checkpoint *checkpoint)
{
    side->note = (struct span){.data = note, .size = note_size};
    side->checkpoint = *checkpoint;
}

/* The held side, and the offered one: by size. */
static void set_sides(const struct commit *commit, struct fork_proof *proof, struct fork_side **held,
                      struct fork_side **offered)
{
    bool held_is_shorter = commit->head.checkpoint.size <= commit->checkpoint->size;
    *held = held_is_shorter ? &proof->shorter : &proof->longer;
    *offered = held_is_shorter ? &proof->longer : &proof->shorter;
    set_side(*held, commit->head.note, commit->head.note_size, &commit->head.checkpoint);
    set_side(*offered, commit->note, commit->note_size, commit->checkpoint);
}

/* Outside a transaction. KAART_FORK, or what prevented the freezing. */
static int freeze_with(struct commit *commit, const struct fork_proof *proof, const char *reason,
                       struct fault *fault)
{
    char *text = NULL;
    size_t size;
    int code = fork_proof_format(proof, &text, &size);
    if (code != KAART_OK)
        return fault_set(fault, code, "no memory");
    code = transaction_begin(commit->feeds, fault);
    if (code == KAART_OK)
        code = freeze(commit->feeds, commit->stage->feed_id, reason, text, fault);
    if (code == KAART_OK)
        code = transaction_commit(commit->feeds, fault);
    transaction_end(commit->feeds);
    free(text);
    return code == KAART_OK ? fault_set(fault, KAART_FORK, "%s: %s", commit->stage->feed, reason) : code;
}

int fork_by_heads(struct commit *commit, struct fault *fault)
{
    struct fork_proof *proof = calloc(1, sizeof(*proof));
    struct fork_side *held, *offered;
    char reason[160];
    if (proof == NULL)
        return fault_set(fault, KAART_NOMEM, "no memory");
    set_sides(commit, proof, &held, &offered);
    snprintf(reason, sizeof(reason),
             "two histories of epoch %llu are signed, of sizes %llu and %llu [DEATH-2]",
             (unsigned long long)commit->checkpoint->epoch, (unsigned long long)held->checkpoint.size,
             (unsigned long long)offered->checkpoint.size);
    int code = freeze_with(commit, proof, reason, fault);
    free(proof);
    return code;
}

/* A position's leaf and path in one generation. */
static int show_position(struct feeds *feeds, uint32_t generation, uint64_t position, struct fork_side *side,
                         struct fault *fault)
{
    struct tree_rows rows = {.feeds = feeds, .generation = generation};
    struct tree_storage storage = tree_rows_storage(&rows);
    struct row row;
    memset(&side->leaf, 0, sizeof(side->leaf));
    int code = row_at(feeds, generation, position, &row, fault);
    if (code == KAART_OK)
        side->leaf = row.leaf;
    else if (code != KAART_UNKNOWN)
        return code;
    return tree_path(feeds->hasher, &storage, position, side->siblings, fault);
}

int fork_by_position(struct commit *commit, uint64_t position, struct fault *fault)
{
    struct fork_proof *proof = calloc(1, sizeof(*proof));
    struct fork_side *held, *offered;
    char reason[160];
    int code = KAART_NOMEM;
    if (proof == NULL) {
        fault_set(fault, KAART_NOMEM, "no memory");
        goto done;
    }
    set_sides(commit, proof, &held, &offered);
    proof->with_position = true;
    proof->position = position;
    /* The staged tree's nodes are part of the open transaction. */
    code = show_position(commit->feeds, commit->head.generation, position, held, fault);
    if (code == KAART_OK)
        code = show_position(commit->feeds, commit->stage->generation, position, offered, fault);
done:
    transaction_end(commit->feeds);
    if (code == KAART_OK) {
        snprintf(reason, sizeof(reason),
                 "two histories of epoch %llu are signed: position %llu has risen or changed [DEATH-1]",
                 (unsigned long long)commit->checkpoint->epoch, (unsigned long long)position);
        code = freeze_with(commit, proof, reason, fault);
    }
    free(proof);
    return code;
}
