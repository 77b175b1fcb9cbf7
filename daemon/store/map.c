/*
 * map.c - map.db itself: opening it, its tables, its statements, its small state.
 *
 *     feed          how far each feed was followed             state       policy, day, cursor, change count
 *     claim         which record a live claim is about         record      resolved row: JSON, provenance, search text
 *     link          which record is another's alias
 *     confirmation  when a source last found all unchanged     search      FTS5 over record's text
 *
 * Claims hold no text: the line stays in feeds.db, so that nothing of an erased claim is kept twice. All of it can be
 * made again, so a file that is damaged or of another schema is deleted, not repaired.
 */
#include "daemon/store/map_internal.h"

#include "protocol/syntax.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define APPLICATION_ID 0x6b616d70 /* "kamp" */
#define SCHEMA_VERSION 2
#define BUSY_TIMEOUT_MS 10000
/* Random UUID keys overrun SQLite's default 2 MB (ENGINEERING); with 32 MB the index pages of 100,000 records stay. */
#define CACHE_KIB 32768
#define READER_CACHE_KIB 8192

static const char schema[] =
    "CREATE TABLE state(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE feed("
    "  id INTEGER PRIMARY KEY," /* as in feeds.db */
    "  name TEXT NOT NULL UNIQUE,"
    "  epoch INTEGER NOT NULL,"
    "  generation INTEGER NOT NULL,"
    "  next_seq INTEGER NOT NULL," /* follow from here */
    "  sweep INTEGER NOT NULL,"    /* claims of an older one go when the end is reached */
    "  sweeping INTEGER NOT NULL,"
    "  size INTEGER NOT NULL," /* the head that was reached last */
    "  root BLOB NOT NULL"
    ") STRICT;"
    "CREATE TABLE claim("
    "  feed INTEGER NOT NULL,"
    "  key BLOB NOT NULL,"
    "  record INTEGER NOT NULL,"
    "  seq INTEGER NOT NULL,"
    "  leaf BLOB NOT NULL,"
    "  source TEXT NOT NULL,"
    "  invalid INTEGER NOT NULL,"
    "  sweep INTEGER NOT NULL,"
    "  PRIMARY KEY(feed, key)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX claim_record ON claim(record, feed, seq);"
    "CREATE TABLE confirmation("
    "  feed INTEGER NOT NULL,"
    "  key BLOB NOT NULL,"
    "  source TEXT NOT NULL,"
    "  seq INTEGER NOT NULL,"
    "  at INTEGER NOT NULL,"       /* ms */
    "  verified INTEGER NOT NULL," /* day */
    "  sweep INTEGER NOT NULL,"
    "  excepted TEXT NOT NULL," /* " kind/id kind/id ": claims for which it does not speak; mostly empty */
    "  PRIMARY KEY(feed, key)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX confirmation_source ON confirmation(feed, source, seq);"
    "CREATE TABLE record("
    "  id INTEGER PRIMARY KEY,"
    "  kind TEXT NOT NULL,"
    "  uuid BLOB NOT NULL,"
    "  shown INTEGER NOT NULL," /* it has a field */
    "  next_day INTEGER,"       /* on which it can change by itself */
    "  stale INTEGER NOT NULL," /* some claim is, so that a confirmation can change it */
    "  name TEXT NOT NULL,"
    "  alternate TEXT NOT NULL,"
    "  place TEXT NOT NULL,"
    "  summary TEXT NOT NULL,"
    "  json TEXT NOT NULL,"
    "  provenance TEXT NOT NULL"
    ") STRICT;"
    "CREATE TABLE link(relation INTEGER PRIMARY KEY, alias BLOB NOT NULL, main BLOB NOT NULL) STRICT;"
    "CREATE INDEX link_alias ON link(alias, main);"
    "CREATE INDEX link_main ON link(main, alias);"
    "CREATE INDEX record_key ON record(kind, uuid, shown);"
    "CREATE INDEX record_next_day ON record(next_day) WHERE next_day IS NOT NULL;"
    "CREATE VIRTUAL TABLE search USING fts5(name, alternate, place, summary, content='record', "
    "content_rowid='id',"
    "  tokenize='unicode61 remove_diacritics 2', prefix='2 3');"
    "INSERT INTO search(search, rank) VALUES('rank', 'bm25(10.0, 5.0, 2.0, 1.0)');";

/* All kinds that can be merged, so that the index on (kind, uuid) serves for a uuid alone. */
#define ANY_KIND                                                                                             \
    "kind IN ('organization', 'service', 'location', 'service_at_location', 'program', 'taxonomy_term', "    \
    "'contract',"                                                                                            \
    " 'activity', 'request', 'professional')"

static const char *const queries[QUERY_COUNT] = {
    [Q_BEGIN] = "BEGIN IMMEDIATE",
    [Q_BEGIN_READ] = "BEGIN",
    [Q_COMMIT] = "COMMIT",
    [Q_ROLLBACK] = "ROLLBACK",
    [Q_STATE_GET] = "SELECT value FROM state WHERE key = ?1",
    [Q_STATE_PUT] = "INSERT INTO state VALUES(?1, ?2) ON CONFLICT(key) DO UPDATE SET value = excluded.value",
    [Q_FEED_GET] = "SELECT epoch, generation, next_seq, sweep, sweeping, size, root FROM feed WHERE id = ?1",
    [Q_FEED_PUT] =
        "INSERT INTO feed VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT(id) DO UPDATE SET name = "
        "excluded.name,"
        " epoch = excluded.epoch, generation = excluded.generation, next_seq = excluded.next_seq,"
        " sweep = excluded.sweep, sweeping = excluded.sweeping, size = excluded.size, root = excluded.root",
    [Q_FEED_LIST] = "SELECT id, name, epoch, size, root, next_seq, sweeping FROM feed ORDER BY name",
    [Q_FEED_BY_NAME] = "SELECT id FROM feed WHERE name = ?1",
    [Q_FEED_DELETE] = "DELETE FROM feed WHERE id = ?1",
    [Q_CLAIM_GET] = "SELECT record, seq, leaf, sweep FROM claim WHERE feed = ?1 AND key = ?2",
    [Q_CLAIM_PUT] =
        "INSERT INTO claim VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT(feed, key) DO UPDATE SET"
        " record = excluded.record, seq = excluded.seq, leaf = excluded.leaf, source = excluded.source,"
        " invalid = excluded.invalid, sweep = excluded.sweep",
    [Q_CLAIM_SWEEP] = "UPDATE claim SET sweep = ?3 WHERE feed = ?1 AND key = ?2",
    [Q_CLAIM_DELETE] = "DELETE FROM claim WHERE feed = ?1 AND key = ?2",
    [Q_CLAIM_OLD] = "SELECT key, record FROM claim WHERE feed = ?1 AND sweep <> ?2 LIMIT ?3",
    [Q_CLAIM_OF_RECORD] = "SELECT c.feed, f.name, f.generation, c.seq, c.leaf, c.invalid, c.source FROM "
                          "claim c JOIN feed f ON f.id = c.feed"
                          " WHERE c.record = ?1 ORDER BY c.feed, c.seq",
    [Q_CLAIM_OF_SOURCE] = "UPDATE record SET next_day = 0 WHERE id IN (SELECT record FROM claim WHERE feed = "
                          "?1 AND source = ?2)"
                          " AND (stale OR ?3)",
    [Q_CLAIM_COUNT] = "SELECT count(*) FROM claim",
    [Q_CONFIRMATION_GET] = "SELECT source, at, verified, seq FROM confirmation WHERE feed = ?1 AND key = ?2",
    [Q_CONFIRMATION_PUT] =
        "INSERT INTO confirmation VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT(feed, key) DO UPDATE SET"
        " source = excluded.source, seq = excluded.seq, at = excluded.at, verified = excluded.verified,"
        " sweep = excluded.sweep, excepted = excluded.excepted",
    [Q_CONFIRMATION_DELETE] = "DELETE FROM confirmation WHERE feed = ?1 AND key = ?2",
    [Q_CONFIRMATION_OLD] = "SELECT key, source FROM confirmation WHERE feed = ?1 AND sweep <> ?2 LIMIT ?3",
    [Q_CONFIRMATION_OF_SOURCE] = "SELECT at, verified, excepted FROM confirmation WHERE feed = ?1 AND source "
                                 "= ?2 ORDER BY seq DESC LIMIT 1",
    [Q_CONFIRMATION_ANY] = "SELECT 1 FROM confirmation LIMIT 1",
    [Q_RECORD_FIND] = "SELECT id FROM record WHERE kind = ?1 AND uuid = ?2",
    [Q_RECORD_NAME] = "SELECT kind, uuid FROM record WHERE id = ?1",
    [Q_RECORD_TEXT] = "SELECT shown, name, alternate, place, summary, json, provenance, next_day, stale FROM "
                      "record WHERE id = ?1",
    [Q_RECORD_INSERT] = "INSERT INTO record(kind, uuid, shown, next_day, stale, name, alternate, place, "
                        "summary, json, provenance)"
                        " VALUES(?1, ?2, 0, NULL, 0, '', '', '', '', '', '')",
    [Q_RECORD_UPDATE] =
        "UPDATE record SET shown = ?2, next_day = ?3, stale = ?4, name = ?5, alternate = ?6, place = ?7,"
        " summary = ?8, json = ?9, provenance = ?10 WHERE id = ?1",
    [Q_RECORD_DELETE] = "DELETE FROM record WHERE id = ?1",
    [Q_RECORD_MARK] = "UPDATE record SET next_day = 0 WHERE id = ?1",
    [Q_RECORD_MARK_ID] = "UPDATE record SET next_day = 0 WHERE " ANY_KIND " AND uuid = ?1",
    [Q_RECORD_MARK_MAINS] = "UPDATE record SET next_day = 0 WHERE " ANY_KIND
                            " AND uuid IN (SELECT main FROM link WHERE alias = ?1)",
    [Q_RECORD_MARK_ALIASES] = "UPDATE record SET next_day = 0 WHERE " ANY_KIND
                              " AND uuid IN (SELECT alias FROM link WHERE main = ?1)",
    [Q_LINK_GET] = "SELECT alias, main FROM link WHERE relation = ?1",
    [Q_LINK_PUT] =
        "INSERT INTO link VALUES(?1, ?2, ?3) ON CONFLICT(relation) DO UPDATE SET alias = excluded.alias,"
        " main = excluded.main",
    [Q_LINK_DELETE] = "DELETE FROM link WHERE relation = ?1",
    [Q_LINK_MAIN] = "SELECT l.main FROM link l WHERE l.alias = ?1"
                    " AND NOT EXISTS (SELECT 1 FROM link o WHERE o.alias = ?1 AND o.main <> l.main)"
                    " AND NOT EXISTS (SELECT 1 FROM link o WHERE o.alias = l.main) LIMIT 1",
    [Q_LINK_PARTS] =
        "SELECT DISTINCT l.alias FROM link l WHERE l.main = ?1"
        " AND NOT EXISTS (SELECT 1 FROM link o WHERE o.alias = ?1)"
        " AND NOT EXISTS (SELECT 1 FROM link o WHERE o.alias = l.alias AND o.main <> ?1) ORDER BY l.alias",
    [Q_LINK_FROM] = "SELECT main FROM link WHERE alias = ?1 AND main <> ?2 ORDER BY main LIMIT 1",
    [Q_LINK_TO] = "SELECT alias FROM link WHERE main = ?1 AND alias <> ?2 ORDER BY alias LIMIT 1",
    [Q_RECORD_ANY] = "SELECT 1 FROM record LIMIT 1",
    [Q_RECORD_DUE] = "SELECT id FROM record WHERE next_day <= ?1 AND +id > ?2 ORDER BY +id LIMIT ?3",
    [Q_RECORD_AFTER] = "SELECT id FROM record WHERE id > ?1 ORDER BY id LIMIT ?2",
    [Q_RECORD_ROWS] =
        "SELECT id, kind, uuid FROM record WHERE (kind, uuid) > (?1, ?2) ORDER BY kind, uuid LIMIT ?3",
    [Q_RECORD_GET] =
        "SELECT kind, uuid, json, provenance, shown, id FROM record WHERE kind = ?1 AND uuid = ?2",
    [Q_RECORD_EACH] =
        "SELECT kind, uuid, json, provenance FROM record WHERE (kind, uuid) > (?1, ?2) AND shown = 1"
        " ORDER BY kind, uuid LIMIT ?3",
    [Q_RECORD_EACH_KIND] =
        "SELECT kind, uuid, json, provenance FROM record WHERE kind = ?1 AND uuid > ?2 AND shown = 1"
        " ORDER BY uuid LIMIT ?3",
    [Q_RECORD_COUNTS] = "SELECT kind, count(*) FROM record WHERE shown = 1 GROUP BY kind ORDER BY kind",
    /* "differs" is the last number of a field in the provenance; what else ends so is looked at in vain */
    [Q_RECORD_DIFFERS] = "SELECT id, kind, uuid, name FROM record WHERE shown = 1 AND instr(provenance, "
                         "',1]') > 0 ORDER BY id",
    [Q_RECORD_ALL] = "SELECT kind, uuid, name, provenance FROM record WHERE shown = 1 ORDER BY id",
    [Q_SEARCH_INSERT] =
        "INSERT INTO search(rowid, name, alternate, place, summary) VALUES(?1, ?2, ?3, ?4, ?5)",
    [Q_SEARCH_DELETE] = "INSERT INTO search(search, rowid, name, alternate, place, summary) VALUES('delete', "
                        "?1, ?2, ?3, ?4, ?5)",
    [Q_SEARCH_OPTIMIZE] = "INSERT INTO search(search) VALUES('optimize')",
    /* First the best places by FTS5's own sorter, then names and snippets for those alone. */
    [Q_SEARCH] = "SELECT rowid, rank FROM search WHERE search MATCH ?1 ORDER BY rank LIMIT ?2 OFFSET ?3",
    [Q_SEARCH_KIND] = "SELECT s.rowid, s.rank FROM search s JOIN record r ON r.id = s.rowid WHERE s.search "
                      "MATCH ?1 AND r.kind = ?4"
                      " ORDER BY s.rank LIMIT ?2 OFFSET ?3",
    [Q_SEARCH_ONE] =
        "SELECT r.kind, r.uuid, r.name, r.place, snippet(search, -1, '[', ']', '…', 16), r.json FROM search"
        " JOIN record r ON r.id = search.rowid WHERE search MATCH ?1 AND search.rowid = ?2",
};

/* ---- statements ---- */

int map_fault(struct map *map, int code, struct fault *fault)
{
    int result = KAART_IO;
    if ((code & 0xff) == SQLITE_NOMEM)
        result = KAART_NOMEM;
    else if ((code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB)
        result = KAART_CORRUPT;
    map->damaged = map->damaged || result == KAART_CORRUPT;
    return fault_set(fault, result, "map.db: %s", map->db ? sqlite3_errmsg(map->db) : sqlite3_errstr(code));
}

int map_statement(struct map *map, enum map_query query, sqlite3_stmt **out, struct fault *fault)
{
    sqlite3_stmt **kept = &map->statements[query];
    if (!*kept) {
        int code = sqlite3_prepare_v3(map->db, queries[query], -1, SQLITE_PREPARE_PERSISTENT, kept, NULL);
        if (code != SQLITE_OK)
            return map_fault(map, code, fault);
    }
    sqlite3_reset(*kept);
    sqlite3_clear_bindings(*kept);
    *out = *kept;
    return KAART_OK;
}

int map_step(struct map *map, sqlite3_stmt *statement, struct fault *fault)
{
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        return 1;
    int result = code == SQLITE_DONE ? KAART_OK : map_fault(map, code, fault);
    sqlite3_reset(statement);
    return result;
}

int map_run(struct map *map, sqlite3_stmt *statement, struct fault *fault)
{
    int code = map_step(map, statement, fault);
    if (code > 0) {
        sqlite3_reset(statement);
        code = KAART_OK;
    }
    return code;
}

int map_simple(struct map *map, enum map_query query, struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = map_statement(map, query, &statement, fault);
    return code ? code : map_run(map, statement, fault);
}

void map_bind_text(sqlite3_stmt *statement, int place, const char *text)
{
    sqlite3_bind_text(statement, place, text, -1, SQLITE_TRANSIENT);
}

void map_uuid_bytes(const char *text, uint8_t bytes[16])
{
    char digits[33];
    size_t used = 0;
    for (; *text && used < 32; text++)
        if (*text != '-')
            digits[used++] = *text;
    memset(bytes, 0, 16);
    if (used == 32)
        (void)hex_decode(digits, 32, bytes, 16);
}

void map_uuid_text(const uint8_t bytes[16], char text[UUID_TEXT_SIZE + 1])
{
    char hex[33];
    hex_encode(bytes, 16, hex);
    snprintf(text, UUID_TEXT_SIZE + 1, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16,
             hex + 20);
}

void map_bind_uuid(sqlite3_stmt *statement, int place, const char *text)
{
    uint8_t bytes[16];
    map_uuid_bytes(text, bytes);
    sqlite3_bind_blob(statement, place, bytes, sizeof bytes, SQLITE_TRANSIENT);
}

/* ---- state ---- */

int map_state_get(struct map *map, const char *key, char **value, struct fault *fault)
{
    sqlite3_stmt *statement;
    *value = NULL;
    int code = map_statement(map, Q_STATE_GET, &statement, fault);
    if (code)
        return code;
    map_bind_text(statement, 1, key);
    code = map_step(map, statement, fault);
    if (code <= 0)
        return code;
    *value = strdup((const char *)sqlite3_column_text(statement, 0));
    sqlite3_reset(statement);
    return *value ? KAART_OK : fault_set(fault, KAART_NOMEM, "out of memory");
}

int map_state_put(struct map *map, const char *key, const char *value, struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = map_statement(map, Q_STATE_PUT, &statement, fault);
    if (code)
        return code;
    map_bind_text(statement, 1, key);
    map_bind_text(statement, 2, value);
    return map_run(map, statement, fault);
}

int map_state_number(struct map *map, const char *key, int64_t *value, struct fault *fault)
{
    char *text;
    int code = map_state_get(map, key, &text, fault);
    if (!code && text)
        *value = strtoll(text, NULL, 10);
    free(text);
    return code;
}

int map_state_put_number(struct map *map, const char *key, int64_t value, struct fault *fault)
{
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)value);
    return map_state_put(map, key, text, fault);
}

int map_stored_policy(struct map *map, const struct policy **out, struct fault *fault)
{
    char *text = NULL;
    size_t size;
    int code = map_state_get(map, "policy", &text, fault);
    if (!code && text && (!map->policy || strcmp(policy_text(map->policy, &size), text) != 0)) {
        policy_release(map->policy);
        map->policy = NULL;
        code = policy_parse(text, strlen(text), &map->policy, fault);
    }
    *out = text ? map->policy : NULL;
    free(text);
    return code;
}

/* ---- opening ---- */

static int execute(struct map *map, const char *sql, struct fault *fault)
{
    int code = sqlite3_exec(map->db, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? KAART_OK : map_fault(map, code, fault);
}

static int pragma_number(struct map *map, const char *sql, int64_t *out, struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = sqlite3_prepare_v2(map->db, sql, -1, &statement, NULL);
    if (code != SQLITE_OK)
        return map_fault(map, code, fault);
    code = map_step(map, statement, fault);
    *out = code > 0 ? sqlite3_column_int64(statement, 0) : 0;
    sqlite3_finalize(statement);
    return code > 0 ? KAART_OK : code;
}

static void close_database(struct map *map)
{
    for (size_t i = 0; i < QUERY_COUNT; i++) {
        sqlite3_finalize(map->statements[i]);
        map->statements[i] = NULL;
    }
    sqlite3_close(map->db);
    map->db = NULL;
    map->sum_known = false;
    map->damaged = false;
    map->published.known = false;
}

static int remember_file(struct map *map, struct fault *fault)
{
    struct stat status;
    if (stat(map->path, &status))
        return fault_set(fault, KAART_IO, "%s: %s", map->path, strerror(errno));
    map->device = status.st_dev;
    map->inode = status.st_ino;
    return KAART_OK;
}

static int settle(struct map *map, struct fault *fault)
{
    char sql[256];
    sqlite3_busy_timeout(map->db, BUSY_TIMEOUT_MS);
    sqlite3_db_config(map->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(map->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(map->db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, NULL);
    sqlite3_limit(map->db, SQLITE_LIMIT_ATTACHED, 0);
    snprintf(sql, sizeof sql, "PRAGMA cache_size=-%d; PRAGMA temp_store=MEMORY;",
             map->write ? CACHE_KIB : READER_CACHE_KIB);
    int code = execute(map, sql, fault);
    if (!code && map->write)
        code = execute(map,
                       "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA secure_delete=ON;"
                       "PRAGMA wal_autocheckpoint=4096;",
                       fault);
    return code;
}

/* 0 with *fits, whether the file is an empty one or one of ours. */
static int look(struct map *map, bool *empty, bool *fits, struct fault *fault)
{
    int64_t application = 0, version = 0, tables = 0;
    int code = pragma_number(map, "PRAGMA application_id", &application, fault);
    if (!code)
        code = pragma_number(map, "PRAGMA user_version", &version, fault);
    if (!code)
        code = pragma_number(map, "SELECT count(*) FROM sqlite_schema", &tables, fault);
    *empty = tables == 0;
    *fits = application == APPLICATION_ID && version == SCHEMA_VERSION;
    return code;
}

static int create_schema(struct map *map, struct fault *fault)
{
    char sql[128];
    snprintf(sql, sizeof sql, "PRAGMA application_id=%d; PRAGMA user_version=%d;", APPLICATION_ID,
             SCHEMA_VERSION);
    int code = execute(map, "BEGIN IMMEDIATE", fault);
    if (!code)
        code = execute(map, schema, fault);
    if (!code)
        code = execute(map, sql, fault);
    if (!code)
        code = execute(map, "COMMIT", fault);
    return code;
}

static int open_database(struct map *map, bool *fits, struct fault *fault)
{
    bool empty = false;
    int flags = SQLITE_OPEN_NOMUTEX |
                (map->write ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY);
    *fits = false;
    int code = sqlite3_open_v2(map->path, &map->db, flags, NULL);
    if (code != SQLITE_OK)
        return map_fault(map, code, fault);
    code = settle(map, fault);
    if (!code)
        code = look(map, &empty, fits, fault);
    if (!code && empty && map->write) {
        code = create_schema(map, fault);
        *fits = true;
    }
    if (!code)
        code = remember_file(map, fault);
    return code;
}

static int delete_file(const char *path, const char *suffix, struct fault *fault)
{
    char name[4096];
    snprintf(name, sizeof name, "%s%s", path, suffix);
    if (unlink(name) && errno != ENOENT)
        return fault_set(fault, KAART_IO, "%s: %s", name, strerror(errno));
    return KAART_OK;
}

int map_begin_anew(struct map *map, struct fault *fault)
{
    bool fits;
    close_database(map);
    int code = delete_file(map->path, "-wal", fault);
    if (!code)
        code = delete_file(map->path, "-shm", fault);
    if (!code)
        code = delete_file(map->path, "", fault);
    return code ? code : open_database(map, &fits, fault);
}

int map_rebuild(struct map *map, struct fault *fault)
{
    return map_begin_anew(map, fault);
}

int map_refresh(struct map *map, struct fault *fault)
{
    struct stat status;
    bool fits = true;
    if (map->write)
        return KAART_OK;
    if (stat(map->path, &status))
        return fault_set(fault, KAART_IO, "%s: %s", map->path, strerror(errno));
    if (map->db && status.st_dev == map->device && status.st_ino == map->inode)
        return KAART_OK;
    close_database(map);
    int code = open_database(map, &fits, fault);
    if (!code && !fits) {
        close_database(map);
        code = fault_set(fault, KAART_IO, "%s is not a map of this version", map->path);
    }
    return code;
}

int map_read_begin(struct map *map, struct fault *fault)
{
    int code = map_refresh(map, fault);
    return code ? code : map_simple(map, Q_BEGIN_READ, fault);
}

void map_read_end(struct map *map)
{
    if (!sqlite3_get_autocommit(map->db))
        (void)map_simple(map, Q_ROLLBACK, NULL);
}

int map_open(const char *path, const char *feeds_path, bool write, struct map **out, struct fault *fault)
{
    return map_open_audience(path, feeds_path, AUDIENCE_PUBLIC, write, out, fault);
}

int map_open_audience(const char *path, const char *feeds_path, const char *audience, bool write,
                      struct map **out, struct fault *fault)
{
    bool fits = false;
    struct map *map = calloc(1, sizeof *map);
    int code = KAART_NOMEM;
    if (!map)
        return fault_set(fault, KAART_NOMEM, "out of memory");
    map->write = write;
    snprintf(map->audience, sizeof map->audience, "%s", audience);
    map->links_changed = true; /* perhaps, before we were here */
    map->path = strdup(path);
    map->feeds_path = strdup(feeds_path);
    map->hasher = hasher_new();
    if (!map->path || !map->feeds_path || !map->hasher) {
        fault_set(fault, KAART_NOMEM, "out of memory");
        goto out;
    }
    code = feeds_open(feeds_path, false, NULL, &map->feeds, fault);
    if (code)
        goto out;
    code = open_database(map, &fits, fault);
    if (write && (code == KAART_CORRUPT || (!code && !fits)))
        code = map_begin_anew(map, fault);
    else if (!code && !fits)
        code = fault_set(fault, KAART_IO, "%s is not a map of this version", path);
out:
    if (code)
        map_close(map);
    else
        *out = map;
    return code;
}

void map_close(struct map *map)
{
    if (!map)
        return;
    close_database(map);
    feeds_close(map->feeds);
    hasher_free(map->hasher);
    policy_release(map->policy);
    free(map->path);
    free(map->feeds_path);
    free(map);
}
