/*
 * map_follow.c - a pass: the map comes nearer to (claims, policy, day).
 *
 *     feeds (map_feed.c) -> all records, after a change of policy -> records that are due
 *
 * One transaction. A record is due when a day comes, when a confirmation or link changes, or when a line could not be read
 * because its feed moved. Whatever the limit cuts off goes on with the next call.
 */
#include "daemon/store/map_batch.h"

#include "daemon/log.h"

#include <stdlib.h>
#include <string.h>

/* ---- records that are due ---- */

/* Resolves the records that a statement lists; *last is the last one's row id, *incomplete how many could not be read whole. */
static int resolve_listed(struct batch *batch, sqlite3_stmt *statement, size_t room, int64_t *last,
                          size_t *count, struct fault *fault)
{
    int code;
    int64_t *records = calloc(room + 1, sizeof *records);
    *count = 0;
    if (!records) {
        sqlite3_reset(statement);
        return fault_set(fault, KAART_NOMEM, "out of memory");
    }
    while ((code = map_step(batch->map, statement, fault)) > 0 && *count < room)
        records[(*count)++] = sqlite3_column_int64(statement, 0);
    sqlite3_reset(statement);
    code = code > 0 ? KAART_OK : code;
    for (size_t i = 0; i < *count && !code; i++) {
        bool incomplete;
        code =
            map_resolve_record(batch->map, records[i], batch->policy, batch->day, NULL, &incomplete, fault);
        *last = records[i];
    }
    batch->used += *count;
    free(records);
    return code;
}

/* [RES-12] Once through those that are due, and again where a link made others due behind us: what then stays due (its feed
 * is moving) waits for the next pass. */
static int resolve_due(struct batch *batch, struct fault *fault)
{
    int64_t last = 0;
    size_t count = 1;
    int code = map_state_number(batch->map, "due", &last, fault);
    while (!code && (count || batch->map->links_changed) && batch->used < batch->limit) {
        sqlite3_stmt *statement;
        size_t room = batch->limit - batch->used;
        if (!count) {
            batch->map->links_changed = false;
            last = 0;
        }
        code = map_statement(batch->map, Q_RECORD_DUE, &statement, fault);
        if (code)
            break;
        sqlite3_bind_int(statement, 1, batch->day);
        sqlite3_bind_int64(statement, 2, last);
        sqlite3_bind_int64(statement, 3, (int64_t)room);
        code = resolve_listed(batch, statement, room, &last, &count, fault);
    }
    if (!code && (count || batch->map->links_changed)) {
        batch->more = true;
        return map_state_put_number(batch->map, "due", last, fault);
    }
    return code || last == 0 ? code : map_state_put_number(batch->map, "due", 0, fault);
}

static int resolve_all(struct batch *batch, struct fault *fault)
{
    int64_t cursor = -1;
    size_t count = 0, room = batch->limit > batch->used ? batch->limit - batch->used : 0;
    sqlite3_stmt *statement;
    int code = map_state_number(batch->map, "cursor", &cursor, fault);
    if (code || cursor < 0)
        return code;
    if (room) {
        code = map_statement(batch->map, Q_RECORD_AFTER, &statement, fault);
        if (code)
            return code;
        sqlite3_bind_int64(statement, 1, cursor);
        sqlite3_bind_int64(statement, 2, (int64_t)room);
        code = resolve_listed(batch, statement, room, &cursor, &count, fault);
    }
    if (code)
        return code;
    bool done = room && count < room;
    batch->more = batch->more || !done;
    return map_state_put_number(batch->map, "cursor", done ? -1 : cursor, fault);
}

/* ---- policy and day ---- */

static int any_record(struct map *map, bool *any, struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = map_statement(map, Q_RECORD_ANY, &statement, fault);
    if (code)
        return code;
    code = map_step(map, statement, fault);
    *any = code > 0;
    sqlite3_reset(statement);
    return code < 0 ? code : KAART_OK;
}

/* Another policy, or a day that went back, makes every record due; a later day only those whose day came. */
static int note_policy_and_day(struct batch *batch, struct fault *fault)
{
    char *text = NULL;
    int64_t day = DAY_NONE;
    bool any = false;
    const char *wanted = policy_text(batch->policy, NULL);
    int code = map_state_get(batch->map, "policy", &text, fault);
    if (!code)
        code = map_state_number(batch->map, "day", &day, fault);
    if (!code)
        code = any_record(batch->map, &any, fault);
    bool other = !code && (!text || strcmp(text, wanted) != 0), back = day != DAY_NONE && day > batch->day;
    if (!code && other)
        code = map_state_put(batch->map, "policy", wanted, fault);
    if (!code && day != batch->day)
        code = map_state_put_number(batch->map, "day", batch->day, fault);
    if (!code && any && (other || back))
        code = map_state_put_number(batch->map, "cursor", 0, fault);
    free(text);
    return code;
}

/* ---- the pass ---- */

/* An erasure that left the claim in place (a contact within it went) asks for a purge by a number in feeds.db. */
static int note_purge(struct batch *batch, struct fault *fault)
{
    char *asked = NULL, *done = NULL;
    int code = feeds_get_value(batch->map->feeds, PURGE_KEY, &asked, fault);
    if (code == KAART_UNKNOWN)
        return KAART_OK;
    if (!code)
        code = map_state_get(batch->map, "purge-asked", &done, fault);
    if (!code && (!done || strcmp(asked, done) != 0)) {
        batch->erased = true;
        code = map_state_put(batch->map, "purge-asked", asked, fault);
    }
    free(asked);
    free(done);
    return code;
}

static int note_state(struct batch *batch, int64_t changes_before, struct fault *fault)
{
    int64_t caught_up = 0, changes = 0, purge = 0;
    int code = map_state_number(batch->map, "caught-up", &caught_up, fault);
    if (!code)
        code = map_state_number(batch->map, "purge", &purge, fault);
    if (!code && caught_up != !batch->more)
        code = map_state_put_number(batch->map, "caught-up", !batch->more, fault);
    if (!code && batch->erased && !purge)
        code = map_state_put_number(batch->map, "purge", 1, fault);
    if (code || sqlite3_total_changes64(batch->map->db) == changes_before)
        return code;
    code = map_state_number(batch->map, "changes", &changes, fault);
    return code ? code : map_state_put_number(batch->map, "changes", changes + 1, fault);
}

/* Where SQLite balances a tree, copies of moved cells stay in the gaps of pages, whatever secure_delete says (lines.c). */
static int vacuum(struct map *map, struct fault *fault)
{
    int before = sqlite3_limit(map->db, SQLITE_LIMIT_ATTACHED, 1); /* it attaches its temporary file */
    int code = sqlite3_exec(map->db, "VACUUM", NULL, NULL, NULL);
    sqlite3_limit(map->db, SQLITE_LIMIT_ATTACHED, before);
    return code == SQLITE_OK ? KAART_OK : map_fault(map, code, fault);
}

/* After an erasure: FTS5 keeps deleted words until segments are merged, the file keeps copies, and the log old pages. */
static int purge(struct map *map, struct fault *fault)
{
    int64_t wanted = 0;
    int code = map_state_number(map, "purge", &wanted, fault);
    if (code || !wanted)
        return code;
    code = map_simple(map, Q_BEGIN, fault);
    if (code)
        return code;
    code = map_simple(map, Q_SEARCH_OPTIMIZE, fault);
    if (!code)
        code = map_state_put_number(map, "purge", 0, fault);
    if (code) {
        map_simple(map, Q_ROLLBACK, NULL);
        return code;
    }
    code = map_simple(map, Q_COMMIT, fault);
    if (!code)
        code = vacuum(map, fault);
    /* A reader that is busy makes it incomplete; the next checkpoint overwrites the log from its start. */
    if (!code)
        (void)sqlite3_wal_checkpoint_v2(map->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    return code;
}

static int follow(struct batch *batch, struct fault *fault)
{
    struct map *map = batch->map;
    int64_t changes = sqlite3_total_changes64(map->db);
    int code = map_simple(map, Q_BEGIN, fault);
    if (code)
        return code;
    code = note_purge(batch, fault); /* first: what was asked for before this pass, this pass takes out */
    if (!code)
        code = note_policy_and_day(batch, fault);
    if (!code)
        code = batch_follow_feeds(batch, fault);
    if (!code)
        code = resolve_all(batch, fault);
    if (!code && !batch->more)
        code = resolve_due(batch, fault);
    if (!code)
        code = note_state(batch, changes, fault);
    if (!code)
        code = map_simple(map, Q_COMMIT, fault);
    if (code && !sqlite3_get_autocommit(map->db))
        map_simple(map, Q_ROLLBACK, NULL);
    return code;
}

int map_follow(struct map *map, const struct policy *policy, int32_t day, size_t limit, bool *more,
               struct fault *fault)
{
    struct batch batch = {.map = map, .policy = policy, .day = day, .limit = limit ? limit : 1};
    int code = follow(&batch, fault);
    batch_forget_touched(&batch);
    free(batch.heads);
    if (code && map->damaged) {
        log_warning("map", "map.db is damaged and made anew from feeds.db: %s", fault ? fault->text : "");
        batch.more = true;
        code = map_begin_anew(map, fault);
    }
    if (!code && !batch.more)
        code = purge(map, fault);
    *more = !code && batch.more;
    return code;
}
