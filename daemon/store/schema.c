/*
 * schema.c - opening feeds.db: what SQLite may do with it, its tables, and how old files become new ones.
 *
 * The file is ours if its application_id says so. Its user_version counts the migrations it has seen; they
 * run in order, in one transaction, and never back. A file that has seen more than we know is refused.
 */
#include "daemon/store/feeds_internal.h"
#include "daemon/store/review.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* "KaFe", so that file(1) and a mistaken path can be told apart. */
#define APPLICATION_ID 0x4b614665

/* How long a connection waits for another's lock: a checkpoint of the log takes some 100 ms. */
#define BUSY_TIMEOUT_MS 10000

/* A file beyond this that was closed cleanly is not checked page by page at every start: at 500 MB/s it would
 * take seconds. */
#define QUICK_CHECK_SIZE_MAX (1024LL * 1024 * 1024)

/* What SQLite itself may take, far above what the statements here need. */
static const struct {
    int id, value;
} limits[] = {
    {SQLITE_LIMIT_LENGTH, 64 * 1024 * 1024}, /* a source's memory is the largest value */
    {SQLITE_LIMIT_SQL_LENGTH, 16 * 1024},
    {SQLITE_LIMIT_COLUMN, 32},
    {SQLITE_LIMIT_EXPR_DEPTH, 32},
    {SQLITE_LIMIT_COMPOUND_SELECT, 4},
    {SQLITE_LIMIT_VDBE_OP, 10000},
    {SQLITE_LIMIT_FUNCTION_ARG, 8},
    {SQLITE_LIMIT_ATTACHED, 0},
    {SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 64},
    {SQLITE_LIMIT_VARIABLE_NUMBER, 16},
    {SQLITE_LIMIT_TRIGGER_DEPTH, 1},
    {SQLITE_LIMIT_WORKER_THREADS, 0},
};

/* Migration n leads from user_version n to n + 1. Never edit one that has been released: add the next. */
static const char *const migrations[] = {
    "CREATE TABLE feed("
    "  id INTEGER PRIMARY KEY,"
    "  name TEXT NOT NULL UNIQUE,"
    "  own INTEGER NOT NULL DEFAULT 0,"
    "  generation INTEGER," /* visible; NULL: nothing is held yet */
    "  note BLOB,"
    "  last_at INTEGER NOT NULL DEFAULT -62135596800000," /* ms; `at` of the last entry taken or written */
    "  frozen TEXT NOT NULL DEFAULT '',"
    "  proof TEXT"
    ") STRICT;"
    "CREATE TABLE generation("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  feed INTEGER NOT NULL,"
    "  doomed INTEGER NOT NULL DEFAULT 0,"
    "  shared INTEGER NOT NULL DEFAULT 0" /* some of its lines may belong to another generation as well */
    ") STRICT;"
    "CREATE INDEX generation_feed ON generation(feed);"
    "CREATE TABLE entry("
    "  generation INTEGER NOT NULL,"
    "  seq INTEGER NOT NULL,"
    "  key BLOB NOT NULL,"
    "  op INTEGER NOT NULL,"
    "  leaf BLOB NOT NULL,"
    "  line INTEGER NOT NULL,"
    "  PRIMARY KEY(generation, seq)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE UNIQUE INDEX entry_key ON entry(generation, key);"
    "CREATE INDEX entry_tombstone ON entry(generation, seq) WHERE op <> 0;"
    /* Rows are appended and overwritten in place, never deleted: lines.c says why. */
    "CREATE TABLE line(id INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;"
    "CREATE TABLE free(size INTEGER NOT NULL, line INTEGER NOT NULL, PRIMARY KEY(size, line)) STRICT, "
    "WITHOUT ROWID;"
    "CREATE TABLE dead(line INTEGER PRIMARY KEY) STRICT;"
    "CREATE TABLE node("
    "  generation INTEGER NOT NULL,"
    "  id INTEGER NOT NULL,"
    "  hash BLOB NOT NULL,"
    "  PRIMARY KEY(generation, id)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TABLE stage("
    "  id INTEGER PRIMARY KEY,"
    "  feed INTEGER NOT NULL,"
    "  source TEXT NOT NULL,"
    "  generation INTEGER NOT NULL,"
    "  full INTEGER NOT NULL,"
    "  epoch INTEGER NOT NULL,"
    "  since INTEGER NOT NULL,"
    "  next_seq INTEGER NOT NULL,"
    "  entries INTEGER NOT NULL DEFAULT 0,"
    "  last_at INTEGER NOT NULL,"
    "  adopting INTEGER NOT NULL DEFAULT 0," /* its commit began to copy rows; it cannot be gone on with */
    "  touched INTEGER NOT NULL,"            /* Unix second */
    "  UNIQUE(feed, source)"
    ") STRICT;"
    "CREATE TABLE value(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;",
    /* Editorial review (review.c). What was said stands in `line`, and is overwritten once it is decided. */
    "CREATE TABLE review("
    "  number INTEGER PRIMARY KEY AUTOINCREMENT," /* never used twice: a submitter asks by it */
    "  state INTEGER NOT NULL,"
    "  feed TEXT NOT NULL,"
    "  kind TEXT NOT NULL,"
    "  id TEXT NOT NULL,"
    "  line INTEGER NOT NULL,"      /* 0: no longer kept */
    "  submitter BLOB,"             /* keyed hash; NULL once decided */
    "  submitted INTEGER NOT NULL," /* day */
    "  decided INTEGER,"
    "  editor TEXT NOT NULL DEFAULT '',"
    "  reason TEXT NOT NULL DEFAULT ''"
    ") STRICT;"
    "CREATE INDEX review_open ON review(number) WHERE state < 2;"
    "CREATE INDEX review_submitter ON review(submitter) WHERE submitter IS NOT NULL;"
    "CREATE TABLE review_rate("
    "  submitter BLOB PRIMARY KEY,"
    "  day INTEGER NOT NULL,"
    "  count INTEGER NOT NULL"
    ") STRICT, WITHOUT ROWID;",
    /* Keyed hashes of values that were erased at somebody's request (subject.c). */
    "CREATE TABLE blocked(hash BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;",
};
#define SCHEMA_VERSION ((int)(sizeof(migrations) / sizeof(*migrations)))

static int execute(struct feeds *feeds, const char *sql, struct fault *fault)
{
    int code = sqlite3_exec(feeds->db, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? KAART_OK : store_fault(feeds, code, fault);
}

/* A statement's first column as a number, or as text (malloc'ed by nobody: copied to `text`). */
static int ask(struct feeds *feeds, const char *sql, int64_t *number, char *text, size_t text_size,
               struct fault *fault)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(feeds->db, sql, -1, &statement, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    if (code == SQLITE_ROW && number != NULL)
        *number = sqlite3_column_int64(statement, 0);
    if (code == SQLITE_ROW && text != NULL)
        snprintf(text, text_size, "%s", (const char *)sqlite3_column_text(statement, 0));
    int result = code == SQLITE_ROW ? KAART_OK : store_fault(feeds, code, fault);
    sqlite3_finalize(statement);
    return result;
}

/* Two daemons on one state directory would sign two histories. */
static int lock_for_writing(struct feeds *feeds, const char *path, struct fault *fault)
{
    char name[4096];
    if (snprintf(name, sizeof(name), "%s.lock", path) >= (int)sizeof(name))
        return fault_set(fault, KAART_IO, "%s: path too long", path);
    feeds->lock = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (feeds->lock < 0)
        return fault_set(fault, KAART_IO, "%s: %s", name, strerror(errno));
    if (flock(feeds->lock, LOCK_EX | LOCK_NB) != 0)
        return fault_set(fault, errno == EWOULDBLOCK ? KAART_BUSY : KAART_IO, "%s: %s", name,
                         errno == EWOULDBLOCK ? "another process has this store open for writing"
                                              : strerror(errno));
    /* The file may hold what only some may read (restricted feeds), so it never is world-readable. */
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (file < 0)
        return fault_set(fault, KAART_IO, "%s: %s", path, strerror(errno));
    close(file);
    return KAART_OK;
}

static int connect_to(struct feeds *feeds, const char *path, struct fault *fault)
{
    /* Readers open for writing too, since a log cannot be read without its shared index; query_only keeps
     * them from it. */
    int code = sqlite3_open_v2(path, &feeds->db,
                               SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    if (feeds->db == NULL)
        return fault_set(fault, KAART_NOMEM, "%s: no memory", path);
    if (code != SQLITE_OK)
        return store_fault(feeds, code, fault);
    for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++)
        sqlite3_limit(feeds->db, limits[i].id, limits[i].value);
    sqlite3_db_config(feeds->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(feeds->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(feeds->db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, NULL);
    sqlite3_db_config(feeds->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    sqlite3_db_config(feeds->db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
    sqlite3_db_config(feeds->db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    sqlite3_db_config(feeds->db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
    sqlite3_busy_timeout(feeds->db, BUSY_TIMEOUT_MS);
    return KAART_OK;
}

/* Whose file is it? A file without tables is new. */
static int identify(struct feeds *feeds, const char *path, int64_t *version, struct fault *fault)
{
    int64_t application, tables;
    int code = ask(feeds, "PRAGMA application_id", &application, NULL, 0, fault);
    if (code == KAART_OK)
        code = ask(feeds, "PRAGMA user_version", version, NULL, 0, fault);
    if (code == KAART_OK)
        code = ask(feeds, "SELECT count(*) FROM sqlite_schema", &tables, NULL, 0, fault);
    if (code != KAART_OK) {
        fault_prefix(fault, "%s", path);
        return code;
    }
    if (application != APPLICATION_ID && (application != 0 || tables != 0))
        return fault_set(fault, KAART_INVALID, "%s: is the database of another application", path);
    if (*version > SCHEMA_VERSION)
        return fault_set(fault, KAART_INVALID,
                         "%s: was written by a newer kaartd (schema %lld, this one knows %d)", path,
                         (long long)*version, SCHEMA_VERSION);
    if (!feeds->write && *version < SCHEMA_VERSION)
        return fault_set(fault, KAART_INVALID, "%s: is of an older schema; start kaartd once to migrate it",
                         path);
    return KAART_OK;
}

static int migrate(struct feeds *feeds, int64_t version, struct fault *fault)
{
    if (version == SCHEMA_VERSION)
        return KAART_OK;
    char mark[96];
    snprintf(mark, sizeof(mark), "PRAGMA application_id=%d; PRAGMA user_version=%d", APPLICATION_ID,
             SCHEMA_VERSION);
    int code = execute(feeds, "BEGIN IMMEDIATE", fault);
    for (int64_t i = version; code == KAART_OK && i < SCHEMA_VERSION; i++)
        code = execute(feeds, migrations[i], fault);
    if (code == KAART_OK)
        code = execute(feeds, mark, fault);
    if (code == KAART_OK)
        code = execute(feeds, "COMMIT", fault);
    else
        execute(feeds, "ROLLBACK", NULL);
    return code;
}

/* Bit rot shows at the start, not in the middle of a commit. */
static int quick_check(struct feeds *feeds, const char *path, struct fault *fault)
{
    struct stat status;
    char clean[8] = "";
    if (stat(path, &status) == 0 && status.st_size > QUICK_CHECK_SIZE_MAX &&
        ask(feeds, "SELECT coalesce(max(value),'') FROM value WHERE key='clean'", NULL, clean, sizeof(clean),
            NULL) == KAART_OK &&
        strcmp(clean, "yes") == 0)
        return KAART_OK;
    char answer[256];
    int code = ask(feeds, "PRAGMA quick_check(1)", NULL, answer, sizeof(answer), fault);
    if (code == KAART_OK && strcmp(answer, "ok") != 0)
        code = fault_set(fault, KAART_CORRUPT, "%s", answer);
    if (code != KAART_OK)
        fault_prefix(fault, "%s", path);
    return code;
}

static int prepare_writer(struct feeds *feeds, const char *path, struct fault *fault)
{
    int64_t version;
    /* Only the pages of entry_key come in random order, and they are 5 MB for 100,000 entries: a larger cache, or a log of more than 16 MB between
     * two checkpoints, measured no faster (tests/bench/bench_store.c). */
    int code = identify(feeds, path, &version, fault);
    if (code == KAART_OK)
        code = execute(feeds,
                       "PRAGMA secure_delete=ON; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                       "PRAGMA cache_size=-16384; PRAGMA wal_autocheckpoint=4096; PRAGMA temp_store=MEMORY;",
                       fault);
    if (code == KAART_OK)
        code = migrate(feeds, version, fault);
    if (code == KAART_OK)
        code = quick_check(feeds, path, fault);
    return code;
}

static int prepare_reader(struct feeds *feeds, const char *path, struct fault *fault)
{
    int64_t version;
    int code = identify(feeds, path, &version, fault);
    if (code == KAART_OK)
        code =
            execute(feeds, "PRAGMA query_only=ON; PRAGMA cache_size=-8192; PRAGMA temp_store=MEMORY;", fault);
    return code;
}

int feeds_open(const char *path, bool write, const char *own_head, struct feeds **out, struct fault *fault)
{
    struct feeds *feeds = calloc(1, sizeof(*feeds));
    if (feeds == NULL)
        return fault_set(fault, KAART_NOMEM, "no memory");
    feeds->write = write;
    feeds->lock = -1;
    int code = KAART_OK;
    if ((feeds->hasher = hasher_new()) == NULL || (write && (feeds->slot = malloc(SLOT_SIZE_MAX)) == NULL) ||
        (write && own_head != NULL && (feeds->own_head = strdup(own_head)) == NULL))
        code = fault_set(fault, KAART_NOMEM, "no memory");
    if (code == KAART_OK && write)
        code = lock_for_writing(feeds, path, fault);
    if (code == KAART_OK)
        code = connect_to(feeds, path, fault);
    if (code == KAART_OK)
        code = write ? prepare_writer(feeds, path, fault) : prepare_reader(feeds, path, fault);
    if (code == KAART_OK)
        code = publication_attach(path, &feeds->publication, fault);
    if (code == KAART_OK && write) {
        /* A crash may have left dead bytes in the log. A reader elsewhere is no reason not to start: tidy
         * tries again. */
        feeds->bytes_linger = true;
        log_truncate(feeds, NULL);
        code = publication_catch_up(feeds, fault);
    }
    if (code == KAART_OK && write)
        code = review_settle(feeds, fault);
    if (code != KAART_OK) {
        feeds_close(feeds);
        return code;
    }
    *out = feeds;
    return KAART_OK;
}

void feeds_close(struct feeds *feeds)
{
    if (feeds == NULL)
        return;
    while (feeds->stages != NULL)
        stage_keep(feeds->stages);
    transaction_end(feeds);
    statements_finalize(feeds);
    permissions_free(feeds);
    if (feeds->db != NULL)
        sqlite3_close(feeds->db);
    publication_detach(feeds->publication);
    if (feeds->lock >= 0)
        close(feeds->lock);
    hasher_free(feeds->hasher);
    free(feeds->own_head);
    free(feeds->slot);
    free(feeds);
}
