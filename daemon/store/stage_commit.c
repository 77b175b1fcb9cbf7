/*
 * stage_commit.c - the switch: what was staged becomes visible as a whole, or nothing changes. spec/feed.md, section 10.
 *
 *     offered head against held ---- fork --------------------------------------> frozen, proof kept; its erasures are honoured
 *               |                --- behind, or held moved -----------------------> KAART_OVERTAKEN
 *               |                --- same, heartbeat (no entries) ----------------> at most the note is taken
 *               v
 *     a delta that is small: commit_delta.c   rows move behind the held ones; one transaction, O(delta)
 *     a delta that is large: commit_delta.c   held rows that live on are copied to the stage, in bounded transactions; then
 *     a full sync:           commit_full.c    the stage's generation becomes the feed's, in one transaction
 *               |
 *               v
 *     root and count as signed? else KAART_ROOT, nothing changed
 *
 * Lines are never copied. A crash leaves either the old state or the new one; a stage that was in the middle of its commit is
 * given up (its mark `adopting`).
 */
#include "daemon/store/feeds_internal.h"

#include <stdlib.h>
#include <string.h>

/* A delta of more entries is committed as a generation of its own: in one transaction it would hold the writer for more than some 200 ms and let the
 * log grow. */
#define DELTA_MAX (10 * BATCH_ENTRIES_MAX)

int commit_switch(struct commit *commit, uint32_t generation, struct fault *fault)
{
    struct stage *stage = commit->stage;
    int64_t last_at_ms = stage->last_at_ms;
    bool thaw = commit->head.held && commit->checkpoint->epoch > commit->head.checkpoint.epoch;
    if (last_at_ms == INT64_MIN) /* an empty state says nothing of time */
        last_at_ms = AT_FIRST_MS;
    int code = feed_switch(commit->feeds, stage->feed_id, false, generation, commit->note, commit->note_size,
                           last_at_ms, thaw, fault);
    uint32_t left = generation == stage->generation ? commit->head.generation : stage->generation;
    if (code == KAART_OK && left != 0)
        code = generation_doom(commit->feeds, left, fault);
    if (code == KAART_OK)
        code = stage_delete_row(stage, fault);
    if (code != KAART_OK)
        return code;
    code = commit->head.own
               ? publish(commit->feeds, stage->feed, commit->note, commit->note_size, true, fault)
               : transaction_commit(commit->feeds, fault);
    commit->done = code == KAART_OK;
    return code;
}

int commit_check_size(struct commit *commit, struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = statement_get(commit->feeds, QUERY_ENTRY_LAST, &statement, fault);
    if (code != KAART_OK)
        return code;
    bind_number(statement, 1, commit->stage->generation);
    code = statement_step(commit->feeds, statement, fault);
    if (code <= 0)
        return code;
    bool any = sqlite3_column_type(statement, 0) != SQLITE_NULL;
    uint64_t last = column_number(statement, 0);
    sqlite3_reset(statement);
    if (any && last >= commit->checkpoint->size)
        return fault_set(
            fault, KAART_ORDER, "%s: entry %llu lies beyond the checkpoint's size %llu [STREAM-4]",
            commit->stage->feed, (unsigned long long)last, (unsigned long long)commit->checkpoint->size);
    return KAART_OK;
}

int commit_check_state(const struct commit *commit, uint64_t live, const struct hash *root,
                       struct fault *fault)
{
    const struct checkpoint *checkpoint = commit->checkpoint;
    if (live != checkpoint->live)
        return fault_set(fault, KAART_ROOT, "%s: %llu entries would be live, %llu are signed for [CP-4]",
                         commit->stage->feed, (unsigned long long)live, (unsigned long long)checkpoint->live);
    if (!hash_equal(root, &checkpoint->root))
        return fault_set(fault, KAART_ROOT, "%s: the entries do not lead to the signed root [TREE-3]",
                         commit->stage->feed);
    return KAART_OK;
}

/* A later signature under the same state. */
static int take_note(struct commit *commit, struct fault *fault)
{
    int code = transaction_begin(commit->feeds, fault);
    if (code == KAART_OK)
        code = commit_switch(commit, commit->head.generation, fault);
    transaction_end(commit->feeds);
    return code;
}

static int commit_as_delta(struct commit *commit, enum checkpoint_relation relation, struct fault *fault)
{
    const struct stage *stage = commit->stage;
    const struct checkpoint *held = &commit->head.checkpoint;
    if (!commit->head.held || held->epoch != stage->epoch || held->size != stage->since)
        return fault_set(fault, KAART_OVERTAKEN, "%s: the held state has moved [SYNC-10]", stage->feed);
    if (relation == CHECKPOINT_FULL)
        return fault_set(fault, KAART_OVERTAKEN, "%s: only a full sync leads to the offered head [SYNC-6]",
                         stage->feed);
    if (relation != CHECKPOINT_NEWER && stage->entries > 0)
        return fault_set(fault, KAART_ORDER, "%s: entries beside a checkpoint of the held size [SYNC-12]",
                         stage->feed);
    if (relation == CHECKPOINT_SAME)
        return KAART_OK;
    if (relation == CHECKPOINT_HEARTBEAT)
        return take_note(commit, fault);
    int code = commit_check_size(commit, fault);
    if (code != KAART_OK)
        return code;
    if (stage->entries <= DELTA_MAX)
        return commit_delta(commit, fault);
    code = commit_adopt(commit, fault);
    return code == KAART_OK ? commit_full(commit, false, fault) : code;
}

static int commit_as_full(struct commit *commit, struct fault *fault)
{
    const struct checkpoint *held = &commit->head.checkpoint;
    if (commit->checkpoint->epoch != commit->stage->epoch)
        return fault_set(fault, KAART_OVERTAKEN, "%s: the epoch changed during the transfer [SYNC-4]",
                         commit->stage->feed);
    int code = commit_check_size(commit, fault);
    if (code != KAART_OK)
        return code;
    return commit_full(commit, commit->head.held && held->epoch == commit->checkpoint->epoch, fault);
}

/* The checkpoint must be the one in the note: the note is what will be served. */
static int check_offer(const struct commit *commit, struct fault *fault)
{
    char text[CHECKPOINT_TEXT_MAX];
    size_t size = checkpoint_format(commit->checkpoint, text);
    if (strcmp(commit->checkpoint->feed, commit->stage->feed) != 0)
        return fault_set(fault, KAART_INVALID, "a checkpoint of %s does not end a transfer of %s",
                         commit->checkpoint->feed, commit->stage->feed);
    if (commit->note_size > NOTE_SIZE_MAX || commit->note_size <= size ||
        memcmp(commit->note, text, size) != 0)
        return fault_set(fault, KAART_INVALID, "%s: the note does not hold its checkpoint",
                         commit->stage->feed);
    return KAART_OK;
}

static int commit_stage(struct commit *commit, struct fault *fault)
{
    struct stage *stage = commit->stage;
    if (stage->failed)
        return fault_set(fault, KAART_INVALID, "%s: this transfer has failed before", stage->feed);
    int code = check_offer(commit, fault);
    if (code == KAART_OK)
        code = stage_flush(stage, fault);
    if (code == KAART_OK)
        code = feeds_head(commit->feeds, stage->feed, &commit->head, fault);
    if (code != KAART_OK)
        return code;
    const struct feed_head *head = &commit->head;
    if (head->held && head->frozen[0] != '\0' &&
        commit->checkpoint->epoch <= head->checkpoint.epoch) /* [DEATH-6] */
        return fault_set(fault, KAART_FORK, "%s is frozen: %s", stage->feed, head->frozen);
    enum checkpoint_relation relation =
        head->held ? checkpoint_compare(&head->checkpoint, commit->checkpoint) : CHECKPOINT_FULL;
    if (relation == CHECKPOINT_FORK)
        return fork_by_heads(commit, fault);
    if (relation == CHECKPOINT_BEHIND)
        return fault_set(fault, KAART_OVERTAKEN, "%s: a newer state is held [SYNC-1]", stage->feed);
    return stage->full ? commit_as_full(commit, fault) : commit_as_delta(commit, relation, fault);
}

/* Lines of the dead go now, as far as the commit left them for later; for an erasure so does what the log holds. */
static void bury_the_dead(struct feeds *feeds, bool erases)
{
    size_t count = 1;
    while (count > 0) {
        if (transaction_begin(feeds, NULL) != KAART_OK)
            return; /* feeds_tidy tries again */
        if (lines_bury(feeds, &count, NULL) != KAART_OK || count == 0)
            count = 0;
        else if (transaction_commit(feeds, NULL) != KAART_OK)
            count = 0;
        transaction_end(feeds);
    }
    if (erases && log_truncate(feeds, NULL) != KAART_OK)
        feeds->bytes_linger = true;
}

/* [DEATH-7] of what was refused as a fork. A delta cannot be proven without the state it leads on from; the full sync of that history is heard. */
static void honour_erasures(struct commit *commit)
{
    const struct stage *stage = commit->stage;
    uint64_t held = commit->head.checkpoint.epoch;
    commit->erases = false;
    if (stage->full && !stage->failed && stage->epoch == held && commit->checkpoint->epoch == held)
        commit_honour_erasures(commit, NULL); /* what cannot be honoured leaves the feed as frozen as it is */
}

int stage_commit(struct stage *stage, const struct checkpoint *checkpoint, const char *note, size_t note_size,
                 struct fault *fault)
{
    struct feeds *feeds = stage->feeds;
    struct commit *commit = calloc(1, sizeof(*commit));
    if (commit == NULL) {
        stage_drop(stage);
        return fault_set(fault, KAART_NOMEM, "no memory");
    }
    commit->feeds = feeds;
    commit->stage = stage;
    commit->checkpoint = checkpoint;
    commit->note = note;
    commit->note_size = note_size;
    int code = commit_stage(commit, fault);
    transaction_end(feeds);
    if (code == KAART_FORK)
        honour_erasures(commit);
    bool done = commit->done, erases = commit->erases;
    free(commit);
    if (!done) {
        stage_drop(stage);
        if (code == KAART_FORK && erases)
            bury_the_dead(feeds, true);
        return code;
    }
    stage_free(stage);
    bury_the_dead(feeds, erases);
    return code;
}
