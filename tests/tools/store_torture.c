/*
 * store_torture.c - for tests/integration/test_store_crash.py: keeps a store busy until it is killed, and says afterwards whether it is sound.
 *
 *     store_torture DIRECTORY SEED     an origin appends, a subscriber stages, commits and tidies, in random order, for ever.
 *                                      Whatever a reading connection shows is written to DIRECTORY/served first thing.
 *     store_torture DIRECTORY check    opens both stores, verifies them, and prints their heads and the own-head copy as JSON
 */
#include "daemon/store/feeds.h"
#include "protocol/json.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FEED "nieuwegein.example/public"
#define KEYS 400
#define BATCH_MAX 60

static char origin_path[512], subscriber_path[512], copy_path[512], served_path[512];
static struct signing_key key;
static struct fault fault;
static struct feeds *origin, *reader, *subscriber;
static struct stage *stage;
static uint64_t stage_since;
static uint64_t logged_epoch, logged_size;
static int served;

static void must(int code, const char *what)
{
    if (code == KAART_OK)
        return;
    fprintf(stderr, "%s: %s: %s\n", what, kaart_strerror(code), fault.text);
    exit(1);
}

static int64_t now_ms(void)
{
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static void open_stores(void)
{
    must(feeds_open(origin_path, true, copy_path, &origin, &fault), "origin");
    must(feeds_open(subscriber_path, true, NULL, &subscriber, &fault), "subscriber");
    must(feeds_open(origin_path, false, NULL, &reader, &fault), "reader");
    feeds_allow_signing(origin, FEED, true, NULL);
}

/* What the reading connection shows goes to a file: from then on it counts as served. */
static void record_served(void)
{
    struct feed_head head;
    struct feeds_page page;
    uint64_t since = 0;
    if (feeds_head(reader, FEED, &head, &fault) != KAART_OK || !head.held)
        return;
    if (head.checkpoint.epoch == logged_epoch)
        since = logged_size;
    do {
        must(feeds_page(reader, FEED, head.checkpoint.epoch, since, 100000, &page, &fault), "page");
        if (write(served, page.bytes, page.size) != (ssize_t)page.size)
            exit(1);
        if (!page.last) { /* the control line says where to go on */
            const char *control = memrchr(page.bytes, '\n', page.size - 1);
            since = strtoull(strchr(control + 1, ':') + 1, NULL, 10);
        }
        logged_epoch = page.checkpoint.epoch;
        logged_size = page.checkpoint.size;
        free(page.bytes);
    } while (!page.last);
}

static void append_some(bool large)
{
    static struct own_claim claims[BATCH_ENTRIES_MAX];
    static struct own_result results[BATCH_ENTRIES_MAX];
    static char ids[BATCH_ENTRIES_MAX][UUID_TEXT_SIZE + 1], bodies[BATCH_ENTRIES_MAX][200];
    size_t count = large ? BATCH_ENTRIES_MAX : 1 + (size_t)rand() % BATCH_MAX;
    for (size_t i = 0; i < count; i++) {
        unsigned number = (unsigned)rand() % (large ? 100 * KEYS : KEYS);
        int what = rand() % 10;
        snprintf(ids[i], sizeof(ids[i]), "%08x-0000-4000-8000-%012x", number * 2654435761u, number);
        snprintf(bodies[i], sizeof(bodies[i]), "{\"name\":\"%u\",\"value\":%d}", number, rand());
        claims[i] = (struct own_claim){.op = what == 0   ? ENTRY_ERASE
                                             : what <= 2 ? ENTRY_RETRACT
                                                         : ENTRY_ASSERT,
                                       .kind = "service",
                                       .id = ids[i],
                                       .source = "torture",
                                       .role = "editor",
                                       .body = what <= 2 ? NULL : bodies[i],
                                       .verified = DAY_NONE,
                                       .missing_since = DAY_NONE};
    }
    must(feeds_append(origin, FEED, &key, 1, now_ms(), claims, count, false, results, &fault), "append");
}

/* One page of a transfer; its beginning, its end, and now and then an interruption. */
static void transfer_some(void)
{
    struct feed_head head, held;
    struct stage_progress progress;
    struct feeds_page page;
    struct checkpoint checkpoint;
    if (feeds_head(reader, FEED, &head, &fault) != KAART_OK || !head.held)
        return;
    if (stage == NULL) {
        bool full = feeds_head(subscriber, FEED, &held, &fault) != KAART_OK || !held.held || rand() % 8 == 0;
        struct stage_plan plan = {.feed = FEED,
                                  .source = rand() % 4 == 0 ? "relay" : "peer",
                                  .full = full,
                                  .epoch = head.checkpoint.epoch,
                                  .since = full ? 0 : held.checkpoint.size};
        must(stage_open(subscriber, &plan, &stage, &stage_since, &fault), "stage_open");
    }
    must(feeds_page(reader, FEED, head.checkpoint.epoch, stage_since, 3000 + (size_t)rand() % 60000, &page,
                    &fault),
         "page");
    if (rand() % 12 == 0) { /* the connection breaks */
        must(stage_write(stage, page.bytes, page.size / 2, &fault), "stage_write");
        stage_keep(stage);
        stage = NULL;
        free(page.bytes);
        return;
    }
    must(stage_write(stage, page.bytes, page.size, &fault), "stage_write");
    free(page.bytes);
    must(stage_end_response(stage, &progress, &fault), "stage_end_response");
    stage_since = progress.next;
    if (!progress.complete)
        return;
    char note[NOTE_SIZE_MAX];
    memcpy(note, progress.note, progress.note_size);
    must(checkpoint_open(note, progress.note_size, FEED, &key.verifier, 1, &checkpoint, &fault), "note");
    int code = stage_commit(stage, &checkpoint, note, progress.note_size, &fault);
    stage = NULL;
    if (code != KAART_OVERTAKEN) /* two sources, one was faster */
        must(code, "stage_commit");
}

static void torture(unsigned seed)
{
    bool more;
    srand(seed);
    served = open(served_path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (served < 0)
        exit(1);
    open_stores();
    puts("ready");
    fflush(stdout);
    for (;;) {
        int what = rand() % 20;
        if (what < 6)
            append_some(false);
        else if (what == 6 && rand() % 4 == 0)
            append_some(true);
        else if (what == 7)
            must(feeds_heartbeat(origin, FEED, &key, 1, now_ms(), &fault), "heartbeat");
        else if (what < 17)
            transfer_some();
        else
            must(feeds_tidy(rand() % 2 == 0 ? origin : subscriber, &more, &fault), "tidy");
        record_served();
    }
}

static void add_head(cJSON *out, const char *name, struct feeds *feeds)
{
    struct feed_head head;
    int code = feeds_head(feeds, FEED, &head, &fault);
    if (code == KAART_OK && head.held)
        cJSON_AddStringToObject(out, name, head.note);
    else if (code != KAART_UNKNOWN)
        must(code, name);
}

/* Everything of the visible state, as it would be served, to DIRECTORY/NAME. */
static void dump(struct feeds *feeds, const char *path)
{
    struct feed_head head;
    struct feeds_page page;
    if (feeds_head(feeds, FEED, &head, &fault) != KAART_OK || !head.held)
        return;
    must(feeds_page(feeds, FEED, head.checkpoint.epoch, 0, 1 << 30, &page, &fault), "page");
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(page.bytes, 1, page.size, file) != page.size || fclose(file) != 0)
        exit(1);
    free(page.bytes);
}

static void check(void)
{
    char path[600], *note;
    size_t size;
    cJSON *out = cJSON_CreateObject();
    open_stores();
    for (int i = 0; i < 2; i++) {
        struct feeds *feeds = i == 0 ? origin : subscriber;
        struct feed_head head;
        if (feeds_head(feeds, FEED, &head, &fault) == KAART_OK)
            must(feeds_verify(feeds, FEED, &fault), i == 0 ? "origin" : "subscriber");
        snprintf(path, sizeof(path), "%s.dump", i == 0 ? origin_path : subscriber_path);
        dump(feeds, path);
    }
    add_head(out, "origin", origin);
    add_head(out, "subscriber", subscriber);
    if (feeds_own_head_copy(origin, FEED, &note, &size, &fault) == KAART_OK) {
        cJSON_AddStringToObject(out, "copy", note);
        free(note);
    }
    char *text = cJSON_PrintUnformatted(out);
    puts(text);
    free(text);
    cJSON_Delete(out);
    feeds_close(reader);
    feeds_close(subscriber);
    feeds_close(origin);
}

int main(int argc, char **argv)
{
    uint8_t seed[ED25519_SIZE] = {3};
    if (argc != 3) {
        fprintf(stderr, "usage: store_torture DIRECTORY SEED|check\n");
        return 2;
    }
    snprintf(origin_path, sizeof(origin_path), "%s/origin.db", argv[1]);
    snprintf(subscriber_path, sizeof(subscriber_path), "%s/subscriber.db", argv[1]);
    snprintf(copy_path, sizeof(copy_path), "%s/own-head", argv[1]);
    snprintf(served_path, sizeof(served_path), "%s/served", argv[1]);
    must(signing_key_from_seed(FEED, seed, &key, &fault), "key");
    if (strcmp(argv[2], "check") == 0)
        check();
    else
        torture((unsigned)strtoul(argv[2], NULL, 10));
    return 0;
}
