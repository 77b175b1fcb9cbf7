/*
 * statements.c - every statement on feeds.db, prepared once per connection, and transactions.
 */
#include "daemon/store/feeds_internal.h"

#include <assert.h>
#include <string.h>

/* clang-format off */
#define FEED_COLUMNS "SELECT id, name, own, generation, note, frozen FROM feed "
#define REVIEW_COLUMNS "SELECT number, state, feed, kind, id, line, submitter, submitted, coalesce(decided, -2147483648), editor, reason FROM review "

static const char *const queries[QUERY_COUNT_] = {
    [QUERY_BEGIN_READ] = "BEGIN",
    [QUERY_BEGIN_WRITE] = "BEGIN IMMEDIATE",
    [QUERY_COMMIT] = "COMMIT",
    [QUERY_ROLLBACK] = "ROLLBACK",
    [QUERY_SNAPSHOT] = "SELECT 1 FROM feed LIMIT 1",

    [QUERY_FEED_BY_NAME] = FEED_COLUMNS "WHERE name = ?1",
    [QUERY_FEED_BY_ID] = FEED_COLUMNS "WHERE id = ?1",
    [QUERY_FEED_AFTER] = FEED_COLUMNS "WHERE name > ?1 ORDER BY name LIMIT 1",
    [QUERY_FEED_ADD] = "INSERT INTO feed(name, own) VALUES(?1, ?2)",
    [QUERY_FEED_SWITCH] = "UPDATE feed SET own = own OR ?2, generation = ?3, note = ?4, last_at = ?5, "
                          "frozen = iif(?6, '', frozen) WHERE id = ?1",
    [QUERY_FEED_LAST_AT] = "SELECT last_at FROM feed WHERE id = ?1",
    [QUERY_FEED_FREEZE] = "UPDATE feed SET frozen = ?2, proof = coalesce(?3, proof) WHERE id = ?1",
    [QUERY_FEED_PROOF] = "SELECT proof FROM feed WHERE name = ?1",

    [QUERY_GENERATION_ADD] = "INSERT INTO generation(feed) VALUES(?1)",
    [QUERY_GENERATION_DOOM] = "UPDATE generation SET doomed = 1 WHERE id = ?1 "
                              "AND NOT EXISTS(SELECT 1 FROM feed WHERE feed.generation = ?1)",
    [QUERY_GENERATION_SHARE] = "UPDATE generation SET shared = 1 WHERE id IN (?1, ?2)",
    [QUERY_GENERATION_DOOMED] = "SELECT id, feed, shared FROM generation WHERE doomed = 1 ORDER BY id LIMIT 1",
    [QUERY_GENERATION_ENTRIES] = "UPDATE entry SET generation = ?2 WHERE generation = ?1",
    [QUERY_GENERATION_NODES] = "UPDATE node SET generation = ?2 WHERE generation = ?1",
    [QUERY_GENERATION_DELETE] = "DELETE FROM generation WHERE id = ?1",

    [QUERY_ENTRY_ADD] = "INSERT INTO entry(generation, seq, key, op, leaf, line) VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
    [QUERY_ENTRY_DELETE] = "DELETE FROM entry WHERE generation = ?1 AND seq = ?2",
    [QUERY_ENTRY_BY_KEY] = "SELECT seq, op, key, leaf, line FROM entry WHERE generation = ?1 AND key = ?2",
    [QUERY_ENTRY_AT] = "SELECT seq, op, key, leaf, line FROM entry WHERE generation = ?1 AND seq = ?2",
    [QUERY_ENTRY_ROWS] = "SELECT seq, op, key, leaf, line FROM entry WHERE generation = ?1 AND seq >= ?2 ORDER BY seq LIMIT ?3",
    [QUERY_ENTRY_LEAVES] = "SELECT seq, leaf FROM entry WHERE generation = ?1 AND seq >= ?2 AND seq < ?3 ORDER BY seq",
    [QUERY_ENTRY_LINES] = "SELECT e.seq, e.leaf, e.line, l.bytes FROM entry e LEFT JOIN line l ON l.id = e.line "
                          "WHERE e.generation = ?1 AND e.seq >= ?2 AND e.seq < ?3 ORDER BY e.seq LIMIT ?4",
    [QUERY_ENTRY_TOMBSTONES] = "SELECT seq, op, key, leaf, line FROM entry WHERE generation = ?1 AND seq < ?2 AND op <> 0 ORDER BY seq LIMIT ?3",
    [QUERY_ENTRY_LAST] = "SELECT max(seq) FROM entry WHERE generation = ?1",
    [QUERY_ENTRY_ALL] = "SELECT e.seq, e.key, e.leaf, e.op, e.line, l.bytes FROM entry e LEFT JOIN line l ON l.id = e.line "
                        "WHERE e.generation = ?1 ORDER BY e.seq",
    /* Elsewhere in the feed of generation ?1. */
    [QUERY_ENTRY_FORGET] = "UPDATE entry SET line = 0 WHERE generation IN (SELECT id FROM generation WHERE id <> ?1 AND shared = 1 "
                           "AND feed = (SELECT feed FROM generation WHERE id = ?1)) AND seq = ?2 AND line = ?3",
    /* What is replaced in ?1 (its key has an entry there) or dropped by the floor ?5 is not copied. */
    [QUERY_ENTRY_COPY] = "INSERT OR IGNORE INTO entry(generation, seq, key, op, leaf, line) "
                         "SELECT ?1, seq, key, op, leaf, line FROM entry "
                         "WHERE generation = ?2 AND seq >= ?3 AND seq < ?4 AND (op = 0 OR seq >= ?5)",
    [QUERY_ENTRY_BATCH_END] = "SELECT seq FROM entry WHERE generation = ?1 AND seq >= ?2 ORDER BY seq LIMIT 1 OFFSET ?3",
    /* Positions below ?3 that are live in ?1, but not in ?2 or with another leaf: they break "only death". */
    [QUERY_ENTRY_RISEN] = "SELECT n.seq FROM entry n LEFT JOIN entry h ON h.generation = ?2 AND h.seq = n.seq "
                          "WHERE n.generation = ?1 AND n.seq < ?3 AND h.leaf IS NOT n.leaf ORDER BY n.seq LIMIT 1",
    /* Rows of ?2 whose key has an entry in ?1, and that entry's line. */
    [QUERY_ENTRY_REPLACED] = "SELECT h.line, n.line FROM entry h JOIN entry n ON n.generation = ?1 AND n.key = h.key "
                             "WHERE h.generation = ?2 AND h.seq >= ?3 AND h.seq < ?4",
    /* Claims of ?2 that ?1 erases. */
    [QUERY_ENTRY_ERASED] = "SELECT h.seq, h.op, h.key, h.leaf, h.line FROM entry n JOIN entry h ON h.generation = ?2 AND h.key = n.key "
                           "WHERE n.generation = ?1 AND n.op <> 0 AND n.op = 2 AND h.op <> 2 LIMIT ?3",
    [QUERY_ENTRY_ERASURES] = "SELECT e.seq, l.bytes FROM entry e JOIN line l ON l.id = e.line "
                             "WHERE e.generation = ?1 AND e.op <> 0 AND e.op = 2 ORDER BY e.seq DESC",
    /* The same, but only claims of which more than the leaf is left. */
    [QUERY_ENTRY_ERASED_CLAIMS] = "SELECT h.seq, h.op, h.key, h.leaf, h.line FROM entry n JOIN entry h ON h.generation = ?2 AND h.key = n.key "
                                  "WHERE n.generation = ?1 AND n.op <> 0 AND n.op = 2 AND h.op = 0 AND h.line <> 0 LIMIT ?3",
    [QUERY_ENTRY_BLANK] = "UPDATE entry SET line = 0 WHERE generation = ?1 AND seq = ?2",
    [QUERY_ENTRY_MOVE] = "UPDATE entry SET generation = ?3 WHERE generation = ?1 AND seq = ?2",
    [QUERY_ENTRY_LINE_SHARED] = "SELECT 1 FROM generation g JOIN entry e ON e.generation = g.id AND e.seq = ?3 "
                                "WHERE g.feed = ?1 AND g.id <> ?2 AND e.line = ?4 LIMIT 1",

    [QUERY_LINE_ADD] = "INSERT INTO line(bytes) VALUES(?1)",
    [QUERY_LINE_GET] = "SELECT bytes FROM line WHERE id = ?1",
    [QUERY_LINE_OVERWRITE] = "UPDATE line SET bytes = ?1 WHERE id = ?2",
    [QUERY_LINE_ZERO] = "UPDATE line SET bytes = zeroblob(?2) WHERE id = ?1",
    [QUERY_SLOT_FIND] = "SELECT size, line FROM free WHERE size >= ?1 AND size <= ?2 ORDER BY size LIMIT 1",
    [QUERY_SLOT_TAKE] = "DELETE FROM free WHERE size = ?1 AND line = ?2",
    [QUERY_SLOT_FREE] = "INSERT INTO free(size, line) VALUES(?1, ?2)",
    [QUERY_SLOT_LENGTH] = "SELECT length(bytes) FROM line WHERE id = ?1",
    [QUERY_DEAD_ADD] = "INSERT OR IGNORE INTO dead(line) VALUES(?1)",
    [QUERY_DEAD_FIND] = "SELECT line FROM dead ORDER BY line LIMIT ?1",
    [QUERY_DEAD_DELETE] = "DELETE FROM dead WHERE line = ?1",

    [QUERY_NODE_CHILDREN] = "SELECT id, hash FROM node WHERE generation = ?1 AND id >= ?2 AND id < ?3",
    [QUERY_NODE_PUT] = "INSERT INTO node(generation, id, hash) VALUES(?1, ?2, ?3) "
                       "ON CONFLICT(generation, id) DO UPDATE SET hash = excluded.hash",
    [QUERY_NODE_DELETE] = "DELETE FROM node WHERE generation = ?1 AND id = ?2",
    [QUERY_NODES_DELETE] = "DELETE FROM node WHERE generation = ?1 AND id IN (SELECT id FROM node WHERE generation = ?1 LIMIT ?2)",
    [QUERY_NODE_COUNT] = "SELECT count(*) FROM node WHERE generation = ?1",

    [QUERY_STAGE_FIND] = "SELECT id, generation, full, epoch, since, next_seq, entries, last_at, adopting FROM stage "
                         "WHERE feed = ?1 AND source = ?2",
    [QUERY_STAGE_ADD] = "INSERT INTO stage(feed, source, generation, full, epoch, since, next_seq, last_at, touched) "
                        "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, unixepoch())",
    [QUERY_STAGE_PROGRESS] = "UPDATE stage SET next_seq = ?2, entries = ?3, last_at = ?4, touched = unixepoch() WHERE id = ?1",
    [QUERY_STAGE_ADOPTING] = "UPDATE stage SET adopting = 1 WHERE id = ?1",
    [QUERY_STAGE_DELETE] = "DELETE FROM stage WHERE id = ?1",
    [QUERY_STAGE_AFTER] = "SELECT s.id, s.feed, s.generation, s.full, s.epoch, s.since, s.adopting, unixepoch() - s.touched "
                          "FROM stage s WHERE s.id > ?1 ORDER BY s.id LIMIT 1",

    [QUERY_BLOCKED_ANY] = "SELECT 1 FROM blocked LIMIT 1",
    [QUERY_BLOCKED_GET] = "SELECT 1 FROM blocked WHERE hash = ?1",
    [QUERY_BLOCKED_DELETE] = "DELETE FROM blocked WHERE hash = ?1",
    [QUERY_BLOCKED_PUT] = "INSERT OR IGNORE INTO blocked(hash) VALUES(?1)",

    [QUERY_VALUE_GET] = "SELECT value FROM value WHERE key = ?1",
    [QUERY_VALUE_PUT] = "INSERT INTO value(key, value) VALUES(?1, ?2) ON CONFLICT(key) DO UPDATE SET value = excluded.value",
    [QUERY_VALUE_DELETE] = "DELETE FROM value WHERE key = ?1",

    [QUERY_REVIEW_ADD] = "INSERT INTO review(state, feed, kind, id, line, submitter, submitted) VALUES(0, ?1, ?2, ?3, ?4, ?5, ?6)",
    [QUERY_REVIEW_GET] = REVIEW_COLUMNS "WHERE number = ?1",
    /* From behind ?1; ?2: decided ones too. */
    [QUERY_REVIEW_LIST] = REVIEW_COLUMNS "WHERE number > ?1 AND (?2 OR state < 2) ORDER BY number LIMIT ?3",
    [QUERY_REVIEW_TAKING] = REVIEW_COLUMNS "WHERE state < 2 AND state = 1 ORDER BY number LIMIT 1",
    [QUERY_REVIEW_OPEN_COUNT] = "SELECT count(*) FROM review WHERE state < 2",
    [QUERY_REVIEW_SUBMITTER_COUNT] = "SELECT count(*) FROM review WHERE submitter = ?1",
    [QUERY_REVIEW_SET] = "UPDATE review SET state = ?2, decided = ?3, editor = ?4, reason = ?5, line = iif(?2 < 2, line, 0), "
                         "submitter = iif(?2 < 2, submitter, NULL) WHERE number = ?1",
    [QUERY_REVIEW_RATE_TIDY] = "DELETE FROM review_rate WHERE day <> ?1",
    [QUERY_REVIEW_RATE_GET] = "SELECT count FROM review_rate WHERE submitter = ?1",
    [QUERY_REVIEW_RATE_ADD] = "INSERT INTO review_rate(submitter, day, count) VALUES(?1, ?2, 1) "
                              "ON CONFLICT(submitter) DO UPDATE SET count = count + 1",
};
/* clang-format on */

int store_code(int sqlite_code)
{
    switch (sqlite_code & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return KAART_OK;
    case SQLITE_NOMEM:
        return KAART_NOMEM;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return KAART_BUSY;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_MISMATCH:
        return KAART_CORRUPT;
    case SQLITE_TOOBIG:
        return KAART_LIMIT;
    default:
        return KAART_IO;
    }
}

int store_fault(struct feeds *feeds, int sqlite_code, struct fault *fault)
{
    return fault_set(fault, store_code(sqlite_code), "feeds.db: %s",
                     feeds->db != NULL ? sqlite3_errmsg(feeds->db) : sqlite3_errstr(sqlite_code));
}

int statement_get(struct feeds *feeds, enum query query, sqlite3_stmt **out, struct fault *fault)
{
    sqlite3_stmt **slot = &feeds->statements[query];
    *out = NULL;
    if (*slot == NULL) {
        int code = sqlite3_prepare_v3(feeds->db, queries[query], -1, SQLITE_PREPARE_PERSISTENT, slot, NULL);
        if (code != SQLITE_OK)
            return store_fault(feeds, code, fault);
    } else {
        sqlite3_reset(*slot);
        sqlite3_clear_bindings(*slot);
    }
    *out = *slot;
    return KAART_OK;
}

int statement_step(struct feeds *feeds, sqlite3_stmt *statement, struct fault *fault)
{
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        return 1;
    int result = code == SQLITE_DONE ? KAART_OK : store_fault(feeds, code, fault);
    sqlite3_reset(statement);
    return result;
}

int statement_run(struct feeds *feeds, sqlite3_stmt *statement, struct fault *fault)
{
    int code = statement_step(feeds, statement, fault);
    if (code > 0) {
        assert(!"a statement without result gave a row");
        sqlite3_reset(statement);
        code = KAART_OK;
    }
    return code;
}

void statements_finalize(struct feeds *feeds)
{
    for (size_t i = 0; i < QUERY_COUNT_; i++) {
        sqlite3_finalize(feeds->statements[i]);
        feeds->statements[i] = NULL;
    }
}

void bind_number(sqlite3_stmt *statement, int index, uint64_t value)
{
    sqlite3_bind_int64(statement, index, (sqlite3_int64)value);
}

uint64_t column_number(sqlite3_stmt *statement, int column)
{
    return (uint64_t)sqlite3_column_int64(statement, column);
}

void bind_bytes(sqlite3_stmt *statement, int index, const void *bytes, size_t size)
{
    sqlite3_bind_blob64(statement, index, bytes, size, SQLITE_STATIC);
}

void bind_text(sqlite3_stmt *statement, int index, const char *text)
{
    if (text == NULL)
        sqlite3_bind_null(statement, index);
    else
        sqlite3_bind_text64(statement, index, text, strlen(text), SQLITE_STATIC, SQLITE_UTF8);
}

int column_hash(sqlite3_stmt *statement, int column, struct hash *out, struct fault *fault)
{
    if (sqlite3_column_bytes(statement, column) != HASH_SIZE)
        return fault_set(fault, KAART_CORRUPT, "feeds.db: a hash has not its size");
    memcpy(out->bytes, sqlite3_column_blob(statement, column), HASH_SIZE);
    return KAART_OK;
}

static int begin(struct feeds *feeds, enum query query, struct fault *fault)
{
    sqlite3_stmt *statement;
    assert(!feeds->in_transaction);
    int code = statement_get(feeds, query, &statement, fault);
    if (code == KAART_OK)
        code = statement_run(feeds, statement, fault);
    if (code == KAART_OK)
        feeds->in_transaction = true;
    return code;
}

int transaction_begin_read(struct feeds *feeds, struct fault *fault)
{
    sqlite3_stmt *statement;
    if (feeds->in_transaction) { /* a caller's callback reads on: in the same state */
        feeds->nested++;
        return KAART_OK;
    }
    /* SQLite fixes what a transaction sees at its first read: that read must not fall between a commit and
     * its own-head copy. */
    publication_read_lock(feeds->publication);
    int code = begin(feeds, QUERY_BEGIN_READ, fault);
    if (code == KAART_OK)
        code = statement_get(feeds, QUERY_SNAPSHOT, &statement, fault);
    if (code == KAART_OK) {
        code = statement_step(feeds, statement, fault);
        if (code > 0) {
            sqlite3_reset(statement);
            code = KAART_OK;
        }
    }
    publication_read_unlock(feeds->publication);
    if (code != KAART_OK)
        transaction_end(feeds);
    return code;
}

int transaction_begin(struct feeds *feeds, struct fault *fault)
{
    if (!feeds->write)
        return fault_set(fault, KAART_INVALID, "feeds.db: this connection only reads");
    if (feeds->in_transaction)
        return fault_set(fault, KAART_BUSY, "feeds.db: a callback of a reading function cannot write");
    return begin(feeds, QUERY_BEGIN_WRITE, fault);
}

int transaction_commit(struct feeds *feeds, struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = statement_get(feeds, QUERY_COMMIT, &statement, fault);
    if (code == KAART_OK)
        code = statement_run(feeds, statement, fault);
    if (code == KAART_OK)
        feeds->in_transaction = false;
    else
        transaction_end(feeds);
    return code;
}

void transaction_end(struct feeds *feeds)
{
    sqlite3_stmt *statement;
    if (!feeds->in_transaction)
        return;
    if (feeds->nested > 0) {
        feeds->nested--;
        return;
    }
    for (size_t i = 0; i < QUERY_COUNT_; i++) /* a statement in mid-course would keep the transaction open */
        if (feeds->statements[i] != NULL)
            sqlite3_reset(feeds->statements[i]);
    feeds->in_transaction = false;
    /* Some errors (disk full, I/O) end the transaction by themselves. */
    if (sqlite3_get_autocommit(feeds->db) == 0 &&
        statement_get(feeds, QUERY_ROLLBACK, &statement, NULL) == KAART_OK)
        statement_run(feeds, statement, NULL);
}
