/*
 * The disk fails at the n-th write or sync, for every n: whatever a function of the store answers, the state is afterwards the old one or the
 * new one, sound, and the work can be done again.
 */
#include "store_fixture.h"

#include <sqlite3.h>
#include <sys/stat.h>

/* ---- a file system whose n-th write fails ---- */

struct faulty_file {
    sqlite3_file base;
    sqlite3_file *real; /* lies behind this struct */
};

static sqlite3_vfs *real_vfs, faulty_vfs;
static int countdown; /* 0: never; 1: this one fails, and so do all after it */
static int failures;

static bool fails(void)
{
    if (countdown == 0)
        return false;
    if (countdown > 1) {
        countdown--;
        return false;
    }
    failures++;
    return true;
}

#define REAL(file) ((struct faulty_file *)(file))->real
#define PASS(file, method, ...) REAL(file)->pMethods->method(REAL(file), ##__VA_ARGS__)

static int f_close(sqlite3_file *file)
{
    return PASS(file, xClose);
}
static int f_read(sqlite3_file *file, void *to, int size, sqlite3_int64 at)
{
    return PASS(file, xRead, to, size, at);
}
static int f_write(sqlite3_file *file, const void *from, int size, sqlite3_int64 at)
{
    return fails() ? SQLITE_FULL : PASS(file, xWrite, from, size, at);
}
static int f_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    return fails() ? SQLITE_IOERR_TRUNCATE : PASS(file, xTruncate, size);
}
static int f_sync(sqlite3_file *file, int flags)
{
    (void)file; /* nothing here is about power cuts: a real sync only costs time */
    (void)flags;
    return fails() ? SQLITE_IOERR_FSYNC : SQLITE_OK;
}
static int f_size(sqlite3_file *file, sqlite3_int64 *size)
{
    return PASS(file, xFileSize, size);
}
static int f_lock(sqlite3_file *file, int level)
{
    return PASS(file, xLock, level);
}
static int f_unlock(sqlite3_file *file, int level)
{
    return PASS(file, xUnlock, level);
}
static int f_check(sqlite3_file *file, int *result)
{
    return PASS(file, xCheckReservedLock, result);
}
static int f_control(sqlite3_file *file, int op, void *argument)
{
    return PASS(file, xFileControl, op, argument);
}
static int f_sector(sqlite3_file *file)
{
    return PASS(file, xSectorSize);
}
static int f_device(sqlite3_file *file)
{
    return PASS(file, xDeviceCharacteristics);
}
static int f_map(sqlite3_file *file, int page, int size, int extend, void volatile **out)
{
    return PASS(file, xShmMap, page, size, extend, out);
}
static int f_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
    return PASS(file, xShmLock, offset, n, flags);
}
static void f_barrier(sqlite3_file *file)
{
    PASS(file, xShmBarrier);
}
static int f_unmap(sqlite3_file *file, int delete)
{
    return PASS(file, xShmUnmap, delete);
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = f_close,
    .xRead = f_read,
    .xWrite = f_write,
    .xTruncate = f_truncate,
    .xSync = f_sync,
    .xFileSize = f_size,
    .xLock = f_lock,
    .xUnlock = f_unlock,
    .xCheckReservedLock = f_check,
    .xFileControl = f_control,
    .xSectorSize = f_sector,
    .xDeviceCharacteristics = f_device,
    .xShmMap = f_map,
    .xShmLock = f_shm_lock,
    .xShmBarrier = f_barrier,
    .xShmUnmap = f_unmap,
};

static int f_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out)
{
    struct faulty_file *faulty = (struct faulty_file *)file;
    (void)vfs;
    faulty->real = (sqlite3_file *)(faulty + 1);
    int code = real_vfs->xOpen(real_vfs, name, faulty->real, flags, out);
    faulty->base.pMethods = faulty->real->pMethods != NULL ? &methods : NULL;
    return code;
}

static int group_setup(void **state)
{
    (void)state;
    real_vfs = sqlite3_vfs_find(NULL);
    faulty_vfs = *real_vfs;
    faulty_vfs.zName = "faulty";
    faulty_vfs.szOsFile += (int)sizeof(struct faulty_file);
    faulty_vfs.xOpen = f_open;
    return sqlite3_vfs_register(&faulty_vfs, 1) == SQLITE_OK ? 0 : -1;
}

/* ---- the work ---- */

static struct fixture *origin; /* never fails: what is pulled from */

static int setup(void **state)
{
    countdown = 0;
    origin = fixture_new();
    feeds_allow_signing(origin->feeds, FEED, true, NULL);
    *state = origin;
    return 0;
}

static int teardown(void **state)
{
    countdown = 0;
    fixture_free(*state);
    return 0;
}

static int append(struct fixture *fixture, unsigned from, unsigned to, const char *body)
{
    struct own_claim claims[64];
    struct own_result results[64];
    char ids[64][UUID_TEXT_SIZE + 1];
    size_t count = 0;
    for (; from < to; from++, count++)
        claims[count] = claim_of(id_of(from, ids[count]), body);
    return feeds_append(fixture->feeds, FEED, &fixture->key, 1, NOW_MS, claims, count, false, results,
                        &fault);
}

static int pull(struct fixture *fixture, bool full)
{
    struct feed_head head, held = {0};
    struct stage *stage;
    struct stage_progress progress;
    struct checkpoint checkpoint;
    struct feeds_page page;
    char note[NOTE_SIZE_MAX];
    uint64_t since;
    int before = countdown;
    countdown = 0; /* the origin's disk is sound */
    assert_ok(feeds_head(origin->feeds, FEED, &head, &fault));
    countdown = before;
    if (!full && feeds_head(fixture->feeds, FEED, &held, &fault) != KAART_OK)
        return KAART_IO;
    struct stage_plan plan = {.feed = FEED,
                              .source = "peer",
                              .full = full,
                              .epoch = head.checkpoint.epoch,
                              .since = full ? 0 : held.checkpoint.size};
    int code = stage_open(fixture->feeds, &plan, &stage, &since, &fault);
    if (code != KAART_OK)
        return code;
    do {
        assert_ok(feeds_page(origin->feeds, FEED, plan.epoch, since, 4000, &page, &fault));
        code = stage_write(stage, page.bytes, page.size, &fault);
        free(page.bytes);
        if (code == KAART_OK)
            code = stage_end_response(stage, &progress, &fault);
        since = progress.next;
    } while (code == KAART_OK && !progress.complete);
    if (code != KAART_OK) {
        stage_keep(stage);
        return code;
    }
    memcpy(note, progress.note, progress.note_size);
    assert_ok(checkpoint_open(note, progress.note_size, FEED, &origin->verifier, 1, &checkpoint, &fault));
    return stage_commit(stage, &checkpoint, note, progress.note_size, &fault);
}

/* Runs `work` on fresh stores with a later failure each time, until none came any more. */
static void with_every_failure(int (*prepare)(struct fixture *), int (*work)(struct fixture *))
{
    unsigned round = 0, refused = 0;
    for (bool failed = true; failed; round++) {
        struct fixture *fixture = fixture_new();
        struct feed_head before = {0}, after = {0};
        bool more;
        feeds_allow_signing(fixture->feeds, FEED, true, NULL);
        assert_ok(prepare(fixture));
        int had = feeds_head(fixture->feeds, FEED, &before, &fault);
        failures = 0;
        countdown = (int)round + 1;
        int code = work(fixture);
        failed = failures > 0;
        refused += code != KAART_OK;
        feeds_close(fixture->feeds); /* with the disk still full */
        countdown = 0;
        fixture_open(fixture);
        int has = feeds_head(fixture->feeds, FEED, &after, &fault);
        if (has == KAART_OK)
            assert_ok(feeds_verify(fixture->feeds, FEED, &fault));
        if (code == KAART_OK) /* it said so, so it is */
            assert_int_equal(has, KAART_OK);
        if (had == KAART_OK)
            assert_true(after.checkpoint.size >= before.checkpoint.size);
        feeds_allow_signing(fixture->feeds, FEED, true, NULL);
        assert_ok(work(fixture));
        assert_ok(feeds_verify(fixture->feeds, FEED, &fault));
        do
            assert_ok(feeds_tidy(fixture->feeds, &more, &fault));
        while (more);
        assert_ok(feeds_verify(fixture->feeds, FEED, &fault));
        fixture_free(fixture);
    }
    assert_true(round > 3 && refused > 1);
}

static int nothing(struct fixture *fixture)
{
    (void)fixture;
    return KAART_OK;
}

static int append_40(struct fixture *fixture)
{
    return append(fixture, 0, 40, "{\"a\":1}");
}

static int replace_20(struct fixture *fixture)
{
    return append(fixture, 10, 30, "{\"a\":2}");
}

static void the_first_append(void **state)
{
    (void)state;
    with_every_failure(nothing, append_40);
}

static void an_append_that_replaces(void **state)
{
    (void)state;
    with_every_failure(append_40, replace_20);
}

static int pull_full(struct fixture *fixture)
{
    return pull(fixture, true);
}

static void a_full_sync(void **state)
{
    (void)state;
    assert_ok(append(origin, 0, 60, "{\"a\":1}"));
    with_every_failure(nothing, pull_full);
}

/* A subscriber that held the first 60, and then the origin replaced some. */
static int hold_the_first(struct fixture *fixture)
{
    struct fixture *later = origin;
    origin = fixture_new();
    feeds_allow_signing(origin->feeds, FEED, true, NULL);
    assert_ok(append(origin, 0, 60, "{\"a\":1}"));
    int code = pull(fixture, true);
    fixture_free(origin);
    origin = later;
    return code;
}

static int pull_delta(struct fixture *fixture)
{
    return pull(fixture, false);
}

static void a_delta(void **state)
{
    (void)state;
    assert_ok(append(origin, 0, 60, "{\"a\":1}"));
    assert_ok(append(origin, 20, 50, "{\"a\":2}"));
    with_every_failure(hold_the_first, pull_delta);
}

static void a_full_sync_over_a_held_state(void **state)
{
    (void)state;
    assert_ok(append(origin, 0, 60, "{\"a\":1}"));
    assert_ok(append(origin, 20, 50, "{\"a\":2}"));
    with_every_failure(hold_the_first, pull_full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(the_first_append), TEST(an_append_that_replaces),       TEST(a_full_sync),
        TEST(a_delta),          TEST(a_full_sync_over_a_held_state),
    };
    return cmocka_run_group_tests(tests, group_setup, NULL);
}
