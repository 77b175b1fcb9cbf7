/*
 * feeds_internal.h - what the files that implement feeds.h share. Nobody else includes it.
 *
 * Tables (schema.c):
 *
 *   feed        a feed's name, its visible generation and its head
 *   generation  numbers, never used twice; `doomed` ones are deleted piece by piece (tidy.c)
 *   entry       generation, seq -> key, op, leaf, and the slot that holds the line. Small rows: a commit, a tree and the check for "only
 *               death" read these alone, and to copy one is cheap
 *   line        the exact bytes, in slots that never move (lines.c); `free` and `dead` list slots
 *   node        generation, (height, index) -> hash: the stored nodes of the state tree
 *   stage       a transfer that waits for its end or its resumption
 *   review      what residents submitted (review.c)
 *   blocked     keyed hashes of what was erased at somebody's request (subject.c)
 *   value       the shells' memory
 */
#ifndef KAARTD_STORE_FEEDS_INTERNAL_H
#define KAARTD_STORE_FEEDS_INTERNAL_H

#include "daemon/store/feeds.h"
#include "protocol/hash.h"

#include <sqlite3.h>

/* ---- statements (statements.c): prepared once, on first use ---- */

enum query {
    QUERY_BEGIN_READ,
    QUERY_BEGIN_WRITE,
    QUERY_COMMIT,
    QUERY_ROLLBACK,
    QUERY_SNAPSHOT, /* the first read of a transaction: from here on it sees one state */

    QUERY_FEED_BY_NAME,
    QUERY_FEED_BY_ID,
    QUERY_FEED_AFTER,
    QUERY_FEED_ADD,
    QUERY_FEED_SWITCH,
    QUERY_FEED_LAST_AT,
    QUERY_FEED_FREEZE,
    QUERY_FEED_PROOF,

    QUERY_GENERATION_ADD,
    QUERY_GENERATION_DOOM,
    QUERY_GENERATION_SHARE,
    QUERY_GENERATION_DOOMED,
    QUERY_GENERATION_ENTRIES,
    QUERY_GENERATION_NODES,
    QUERY_GENERATION_DELETE,

    QUERY_ENTRY_ADD,
    QUERY_ENTRY_DELETE,
    QUERY_ENTRY_BY_KEY,
    QUERY_ENTRY_AT,
    QUERY_ENTRY_ROWS,
    QUERY_ENTRY_LEAVES,
    QUERY_ENTRY_LINES,
    QUERY_ENTRY_TOMBSTONES,
    QUERY_ENTRY_LAST,
    QUERY_ENTRY_ALL,
    QUERY_ENTRY_FORGET,
    QUERY_ENTRY_COPY,
    QUERY_ENTRY_BATCH_END,
    QUERY_ENTRY_RISEN,
    QUERY_ENTRY_REPLACED,
    QUERY_ENTRY_ERASED,
    QUERY_ENTRY_ERASURES,
    QUERY_ENTRY_ERASED_CLAIMS,
    QUERY_ENTRY_BLANK,
    QUERY_ENTRY_MOVE,
    QUERY_ENTRY_LINE_SHARED,

    QUERY_LINE_ADD,
    QUERY_LINE_GET,
    QUERY_LINE_OVERWRITE,
    QUERY_LINE_ZERO,
    QUERY_SLOT_FIND,
    QUERY_SLOT_TAKE,
    QUERY_SLOT_FREE,
    QUERY_SLOT_LENGTH,
    QUERY_DEAD_ADD,
    QUERY_DEAD_FIND,
    QUERY_DEAD_DELETE,

    QUERY_NODE_CHILDREN,
    QUERY_NODE_PUT,
    QUERY_NODE_DELETE,
    QUERY_NODES_DELETE,
    QUERY_NODE_COUNT,

    QUERY_STAGE_FIND,
    QUERY_STAGE_ADD,
    QUERY_STAGE_PROGRESS,
    QUERY_STAGE_ADOPTING,
    QUERY_STAGE_DELETE,
    QUERY_STAGE_AFTER,

    QUERY_BLOCKED_ANY,
    QUERY_BLOCKED_GET,
    QUERY_BLOCKED_DELETE,
    QUERY_BLOCKED_PUT,

    QUERY_VALUE_GET,
    QUERY_VALUE_PUT,
    QUERY_VALUE_DELETE,

    QUERY_REVIEW_ADD,
    QUERY_REVIEW_GET,
    QUERY_REVIEW_LIST,
    QUERY_REVIEW_TAKING,
    QUERY_REVIEW_OPEN_COUNT,
    QUERY_REVIEW_SUBMITTER_COUNT,
    QUERY_REVIEW_SET,
    QUERY_REVIEW_RATE_TIDY,
    QUERY_REVIEW_RATE_GET,
    QUERY_REVIEW_RATE_ADD,

    QUERY_COUNT_
};

/* The largest slot that line_add writes: ENTRY_SIZE_MAX, or a free one that is a quarter larger. */
#define SLOT_SIZE_MAX (ENTRY_SIZE_MAX + ENTRY_SIZE_MAX / 4)

struct permission;
struct publication;

struct feeds {
    sqlite3 *db;
    bool write;
    bool in_transaction;
    unsigned nested; /* reading functions called from callbacks of reading functions */
    int lock;        /* descriptor of the file that says who writes; -1 on a reading connection */
    char *own_head;  /* path of the own-head copy, or NULL */
    struct hasher *hasher;
    struct publication *publication;
    struct permission *permissions; /* which own feeds may be signed */
    struct stage *stages;           /* those in somebody's hands */
    char *slot;                     /* room for one line and its padding */
    bool bytes_linger;              /* the write-ahead log may still hold lines that are dead */
    sqlite3_stmt *statements[QUERY_COUNT_];
};

/* The statement, reset and without bindings; NULL with `fault` set and *code the error. */
int statement_get(struct feeds *feeds, enum query query, sqlite3_stmt **out, struct fault *fault);
/* 1: a row; 0: done, and the statement is reset; else a negative code, and the statement is reset. */
int statement_step(struct feeds *feeds, sqlite3_stmt *statement, struct fault *fault);
/* Steps a statement that gives no rows. 0 or a negative code. */
int statement_run(struct feeds *feeds, sqlite3_stmt *statement, struct fault *fault);
void statements_finalize(struct feeds *feeds);

/* SQLite's code as ours. */
int store_code(int sqlite_code);
/* Sets `fault` from the connection's last error and returns the code. */
int store_fault(struct feeds *feeds, int sqlite_code, struct fault *fault);

void bind_number(sqlite3_stmt *statement, int index, uint64_t value);
uint64_t column_number(sqlite3_stmt *statement, int column);
/* Bytes that outlive the step: not copied. */
void bind_bytes(sqlite3_stmt *statement, int index, const void *bytes, size_t size);
void bind_text(sqlite3_stmt *statement, int index, const char *text);
/* A hash column; KAART_CORRUPT if it has another size. */
int column_hash(sqlite3_stmt *statement, int column, struct hash *out, struct fault *fault);

/* Begins; a reading transaction sees one state from here on, and only what the own-head copy holds already
 * (publication.c). */
int transaction_begin_read(struct feeds *feeds, struct fault *fault);
int transaction_begin(struct feeds *feeds, struct fault *fault);
int transaction_commit(struct feeds *feeds, struct fault *fault);
/* Ends whatever is open; no-op if nothing is. Never fails for the caller. */
void transaction_end(struct feeds *feeds);

/* ---- rows (rows.c); all inside the caller's transaction ---- */

/* The feed's row. KAART_UNKNOWN. */
int head_load(struct feeds *feeds, const char *name, struct feed_head *out, struct fault *fault);
int head_load_id(struct feeds *feeds, int64_t id, struct feed_head *out, struct fault *fault);
/* The first feed whose name is greater. */
int head_load_after(struct feeds *feeds, const char *name, struct feed_head *out, struct fault *fault);
/* The checkpoint in a note that was opened before: no signature is checked. KAART_CORRUPT, KAART_SYNTAX. */
int note_checkpoint(const char *note, size_t size, struct checkpoint *out, struct fault *fault);
/* The feed's row id; adds the row if there is none. KAART_INVALID for what is no feed's name. */
int feed_id_of(struct feeds *feeds, const char *name, bool own, int64_t *id, struct fault *fault);
/* Makes (generation, note) the feed's visible state. `own` is only ever added. */
int feed_switch(struct feeds *feeds, int64_t id, bool own, uint32_t generation, const char *note,
                size_t note_size, int64_t last_at_ms, bool thaw, struct fault *fault);
/* What `at` cannot be before: the first instant that syntax.h knows. Also the default in the table. */
#define AT_FIRST_MS (-62135596800000LL)
/* `at` of the last entry that was taken or written. */
int feed_last_at(struct feeds *feeds, int64_t id, int64_t *last_at_ms, struct fault *fault);

int generation_add(struct feeds *feeds, int64_t feed_id, uint32_t *out, struct fault *fault);
/* From here on lines of the one may be the other's as well. */
int generation_share(struct feeds *feeds, uint32_t one, uint32_t other, struct fault *fault);
/* Gives a feed's visible state another number, so that whoever follows it takes all of it anew. In the caller's transaction. */
int generation_renew(struct feeds *feeds, const char *feed, struct fault *fault);
/* To be deleted by feeds_tidy. */
int generation_doom(struct feeds *feeds, uint32_t generation, struct fault *fault);

/* An entry's row without its line. */
struct row {
    uint64_t seq;
    enum entry_op op;
    struct entry_key key;
    struct hash leaf;
    uint64_t line; /* 0: forgotten (a frozen feed's erased claim) */
};
/* From a statement whose columns are seq, op, key, leaf, line. */
int row_read(sqlite3_stmt *statement, struct row *out, struct fault *fault);
/* KAART_BUSY if the key has a live entry in that generation (nothing is changed then). */
int row_put(struct feeds *feeds, uint32_t generation, const struct row *row, struct fault *fault);
/* The live entry under a key. KAART_UNKNOWN. */
int row_by_key(struct feeds *feeds, uint32_t generation, const struct entry_key *key, struct row *out,
               struct fault *fault);
int row_at(struct feeds *feeds, uint32_t generation, uint64_t seq, struct row *out, struct fault *fault);
/* Retract and erase entries below a position, `max` at most. */
int tombstones_below(struct feeds *feeds, uint32_t generation, uint64_t below, struct row *out, size_t max,
                     size_t *count, struct fault *fault);
/* Takes the entry's line away, with the next lines_bury; its leaf stays. [DEATH-7] */
int row_blank(struct feeds *feeds, uint32_t generation, const struct row *row, struct fault *fault);
/* Deletes the entry, and its line now or (`later`) with the next lines_bury. */
int row_kill(struct feeds *feeds, uint32_t generation, const struct row *row, bool later,
             struct fault *fault);

/* Every live entry as it was signed, blocked ones too (feeds_read.c); as feeds_entries otherwise. */
int feeds_raw_entries(struct feeds *feeds, int64_t feed_id, uint32_t generation, feeds_entry *each,
                      void *context, struct fault *fault);

/* ---- lines (lines.c); inside the caller's transaction ---- */

/* The line in a slot's bytes: up to its padding. */
size_t line_size(const char *slot, size_t size);
int line_add(struct feeds *feeds, const char *line, size_t size, uint64_t *id, struct fault *fault);
/* Overwrites the line, now or (`later`) with the next lines_bury. 0 is no line. */
int line_delete(struct feeds *feeds, uint64_t line, bool later, struct fault *fault);
/* Overwrites lines that were left for later, BATCH_ENTRIES_MAX at most. */
int lines_bury(struct feeds *feeds, size_t *count, struct fault *fault);
/* A line's bytes, malloc'ed, NUL added. KAART_UNKNOWN: forgotten; KAART_CORRUPT: the row names a line that is
 * not there. */
int line_load(struct feeds *feeds, uint64_t line, char **bytes, size_t *size, struct fault *fault);
/* Whether the stored line has the kind, id and source of `entry`: key hashes are cut, so a hit is checked. */
int same_key(struct feeds *feeds, const struct entry *entry, uint64_t line, bool *same, struct fault *fault);
/* Outside a transaction: all of the log goes to the database, and the log is cut to nothing. KAART_BUSY while
 * somebody reads. */
int log_truncate(struct feeds *feeds, struct fault *fault);

/* ---- the state tree of a generation (tree_rows.c) ---- */

struct tree_rows {
    struct feeds *feeds;
    uint32_t generation;
};
struct tree_storage tree_rows_storage(struct tree_rows *rows);

/* ---- publication (publication.c): what readers may see ---- */

/* One per database file and process. */
int publication_attach(const char *path, struct publication **out, struct fault *fault);
void publication_detach(struct publication *publication); /* accepts NULL */
void publication_read_lock(struct publication *publication);
void publication_read_unlock(struct publication *publication);
/* Own feeds are withheld from readers while a committed state is not in the own-head copy. */
bool publication_withheld(struct publication *publication);

/* Commits the open transaction, which made `note` the head of own feed `name`, so that nobody reads it before the
 * own-head copy has it. `taken_back`: this node did not sign it just now, but took it from a peer; a copy that is ahead
 * of it then stays. The transaction is over in every case. */
int publish(struct feeds *feeds, const char *name, const char *note, size_t note_size, bool taken_back,
            struct fault *fault);
/* After a start, and when a copy could not be completed: brings the copy to the database's heads where it lags behind them, and adds feeds that
 * it does not have once they may be signed. Where the copy is ahead, it stays as it is. Trouble with the copy is logged and withholds own
 * feeds; only the database's own trouble is an error. */
int publication_catch_up(struct feeds *feeds, struct fault *fault);

/* ---- the own-head copy as a file (own_head.c) ---- */

struct own_heads;
/* Reads the file; one that is absent is empty. KAART_IO, KAART_CORRUPT. */
int own_heads_read(const char *path, struct own_heads **out, struct fault *fault);
void own_heads_free(struct own_heads *heads);
/* Borrowed; false if there is none. */
bool own_heads_get(const struct own_heads *heads, const char *name, const char **note, size_t *size,
                   struct checkpoint *checkpoint);
int own_heads_set(struct own_heads *heads, const char *name, const char *note, size_t size,
                  struct fault *fault);
/* Writes and syncs PATH.new; own_heads_install then makes it the file: rename, and sync of the directory. */
int own_heads_prepare(const struct own_heads *heads, const char *path, struct fault *fault);
int own_heads_install(const char *path, struct fault *fault);

/* ---- own feeds and marks (own_feed.c, marks.c) ---- */

/* In the caller's transaction. `reason` "" thaws; `proof` may be NULL. */
int freeze(struct feeds *feeds, int64_t id, const char *reason, const char *proof, struct fault *fault);

void permissions_free(struct feeds *feeds);
bool signing_allowed(const struct feeds *feeds, const char *name);

/* ---- stages (stage.c) ---- */

/* One that was opened. Its generation's rows and its own row are what survives. */
struct stage {
    struct stage *next; /* of feeds->stages */
    struct feeds *feeds;
    int64_t id, feed_id;
    char feed[FEED_NAME_MAX_SIZE + 1];
    uint32_t generation;
    bool full;
    uint64_t epoch, since;
    uint64_t entries_max, entries;
    uint64_t next_seq;   /* where the next request begins */
    uint64_t page_since; /* where this response began: two entries of one key behind it are a fault */
    int64_t last_at_ms;
    bool failed;

    struct stream_reader *reader;
    struct pending *pending; /* read, not yet stored */
    char *bytes;             /* their lines, one behind the other */
    size_t pending_count, bytes_size;

    bool complete;
    char *note;
    size_t note_size;
    uint64_t asked_next;
};

/* Whether the row with that id belongs to a stage that is open. */
bool stage_in_hands(const struct feeds *feeds, int64_t id);
/* Stores what is pending. */
int stage_flush(struct stage *stage, struct fault *fault);
/* Dooms the generation and deletes the row, in the caller's transaction. */
int stage_forget(struct stage *stage, struct fault *fault);
int stage_delete_row(struct stage *stage, struct fault *fault);
/* Takes it out of feeds->stages and frees it. */
void stage_free(struct stage *stage);

/* ---- commits (stage_commit.c, commit_delta.c, commit_full.c, fork.c) ---- */

/* One commit under way: the stage, what is held, and what was offered. */
struct commit {
    struct feeds *feeds;
    struct stage *stage;
    struct feed_head head;
    const struct checkpoint *checkpoint;
    const char *note;
    size_t note_size;
    bool erases; /* dead bytes must go at once, not in idle time */
    bool done;   /* visible; the stage's row is gone */
};

/* Moves the staged rows behind the held ones, in one transaction. */
int commit_delta(struct commit *commit, struct fault *fault);
/* Copies the held rows that live on to the stage's generation, which then can be committed as a whole. */
int commit_adopt(struct commit *commit, struct fault *fault);
/* Makes the stage's generation the feed's. `check_death`: against the held one [DEATH-5]. */
int commit_full(struct commit *commit, bool check_death, struct fault *fault);

/* A frozen feed honours erasures [DEATH-7]: claims held that this full sync of the held epoch erases lose their lines, if its root is what was signed; their leaves stay. Sets
 * commit->erases if there were any. Outside a transaction. */
int commit_honour_erasures(struct commit *commit, struct fault *fault);

/* Ends a commit's transaction: feed row, stage row, publication. */
int commit_switch(struct commit *commit, uint32_t generation, struct fault *fault);
/* KAART_ORDER if an entry of the generation lies at or beyond the offered size [STREAM-4]. */
int commit_check_size(struct commit *commit, struct fault *fault);
/* KAART_ROOT unless the offered head has this live count and root. */
int commit_check_state(const struct commit *commit, uint64_t live, const struct hash *root,
                       struct fault *fault);

/* Freezes the feed with the proof of two heads that cannot both be; outside a transaction. KAART_FORK, or why not even that went. */
int fork_by_heads(struct commit *commit, struct fault *fault);
/* The same, by a position that is live in the staged generation against "only death". Ends the open transaction. */
int fork_by_position(struct commit *commit, uint64_t position, struct fault *fault);

#endif
