/*
 * bench_store.c - what feeds.db costs: `bench_store [ENTRIES] [LINE_BYTES]` prints one line of JSON.
 *
 * The origin appends in full batches; a subscriber stages and commits all of it, then deltas of 1 and of 100. Each side is a process of its own,
 * so that its peak memory can be told.
 */
#include "daemon/store/feeds.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FEED "nieuwegein.example/public"
#define NOW_MS 1795287600000LL

static char directory[64], origin_path[96], subscriber_path[96], copy_path[96];
static struct signing_key key;
static struct fault fault;

static void must(int code, const char *what)
{
    if (code == KAART_OK)
        return;
    fprintf(stderr, "bench_store: %s: %s: %s\n", what, kaart_strerror(code), fault.text);
    exit(1);
}

static double now_s(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static long peak_kb(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

/* Claims `from` to `to`, each of the wanted size, in batches. */
static void append(struct feeds *feeds, unsigned from, unsigned to, size_t line_bytes, unsigned round)
{
    static struct own_claim claims[BATCH_ENTRIES_MAX];
    static struct own_result results[BATCH_ENTRIES_MAX];
    static char ids[BATCH_ENTRIES_MAX][UUID_TEXT_SIZE + 1];
    size_t body_size = line_bytes > 300 ? line_bytes - 220 : 80;
    char *bodies = malloc(BATCH_ENTRIES_MAX * (body_size + 1));
    if (bodies == NULL)
        exit(1);
    while (from < to) {
        size_t count = 0;
        for (; from < to && count < BATCH_ENTRIES_MAX; from++, count++) {
            char *body = bodies + count * (body_size + 1);
            /* Ids in no order, as UUIDs are. */
            snprintf(ids[count], sizeof(ids[count]), "%08x-0000-4000-8000-%012x", from * 2654435761u, from);
            int used = snprintf(body, body_size, "{\"name\":\"Dienst %u\",\"round\":%u,\"description\":\"",
                                from, round);
            memset(body + used, 'a' + (int)(from % 26), body_size - (size_t)used - 2);
            memcpy(body + body_size - 2, "\"}", 3);
            claims[count] = (struct own_claim){.op = ENTRY_ASSERT,
                                               .kind = "service",
                                               .id = ids[count],
                                               .source = "bench",
                                               .role = "editor",
                                               .areas = "[\"GM0356\"]",
                                               .body = body,
                                               .verified = DAY_NONE,
                                               .missing_since = DAY_NONE};
        }
        must(feeds_append(feeds, FEED, &key, 1, NOW_MS, claims, count, false, results, &fault), "append");
        if (results[0].outcome == OWN_REFUSED) {
            fprintf(stderr, "bench_store: %s\n", results[0].fault.text);
            exit(1);
        }
    }
    free(bodies);
}

static struct feeds *open_origin(void)
{
    struct feeds *feeds;
    must(feeds_open(origin_path, true, copy_path, &feeds, &fault), "open");
    feeds_allow_signing(feeds, FEED, true, NULL);
    return feeds;
}

/* Takes everything the origin has; the seconds of staging and of the commit. */
static void take(struct feeds *reader, struct feeds *feeds, bool full, double *stage_s, double *commit_s)
{
    struct feed_head head, held = {0};
    struct stage *stage;
    struct stage_progress progress = {0};
    struct checkpoint checkpoint;
    uint64_t since;
    double reading = 0;
    must(feeds_head(reader, FEED, &head, &fault), "head");
    if (!full)
        must(feeds_head(feeds, FEED, &held, &fault), "held");
    struct stage_plan plan = {.feed = FEED,
                              .source = "origin",
                              .full = full,
                              .epoch = head.checkpoint.epoch,
                              .since = full ? 0 : held.checkpoint.size};
    double begin = now_s();
    must(stage_open(feeds, &plan, &stage, &since, &fault), "stage_open");
    while (!progress.complete) {
        struct feeds_page page;
        double before = now_s();
        must(feeds_page(reader, FEED, plan.epoch, since, PAGE_SIZE_MAX, &page, &fault), "page");
        reading += now_s() - before;
        for (size_t at = 0; at < page.size; at += 16384)
            must(stage_write(stage, page.bytes + at, page.size - at < 16384 ? page.size - at : 16384, &fault),
                 "write");
        free(page.bytes);
        must(stage_end_response(stage, &progress, &fault), "end");
        since = progress.next;
    }
    *stage_s = now_s() - begin - reading;
    begin = now_s();
    char note[NOTE_SIZE_MAX];
    memcpy(note, progress.note, progress.note_size);
    must(checkpoint_open(note, progress.note_size, FEED, &key.verifier, 1, &checkpoint, &fault), "note");
    must(stage_commit(stage, &checkpoint, note, progress.note_size, &fault), "commit");
    *commit_s = now_s() - begin;
}

struct outcome {
    double append_s, append_one_s, page_s, stage_s, commit_s, delta_1_s, delta_100_s, verify_s;
    long origin_peak_kb, subscriber_peak_kb;
};

static void run_origin(unsigned entries, size_t line_bytes, struct outcome *outcome)
{
    struct feeds *feeds = open_origin();
    double begin = now_s();
    append(feeds, 0, entries, line_bytes, 0);
    outcome->append_s = now_s() - begin;
    begin = now_s();
    for (unsigned i = 0; i < 50; i++)
        append(feeds, i * 31, i * 31 + 1, line_bytes, 1);
    outcome->append_one_s = (now_s() - begin) / 50;
    begin = now_s();
    must(feeds_verify(feeds, FEED, &fault), "verify");
    outcome->verify_s = now_s() - begin;
    feeds_close(feeds);
    outcome->origin_peak_kb = peak_kb();
}

static void run_subscriber(unsigned step, size_t line_bytes, struct outcome *outcome)
{
    struct feeds *feeds, *reader;
    double stage_s, commit_s;
    if (step > 0) {
        feeds = open_origin();
        append(feeds, 5000, 5000 + (step == 1 ? 1 : 100), line_bytes, 2 + step);
        feeds_close(feeds);
    }
    must(feeds_open(origin_path, false, NULL, &reader, &fault), "open");
    must(feeds_open(subscriber_path, true, NULL, &feeds, &fault), "open");
    take(reader, feeds, step == 0, &stage_s, &commit_s);
    outcome->subscriber_peak_kb =
        peak_kb() > outcome->subscriber_peak_kb ? peak_kb() : outcome->subscriber_peak_kb;
    if (step == 0) {
        outcome->stage_s = stage_s;
        outcome->commit_s = commit_s;
    } else if (step == 1) {
        outcome->delta_1_s = stage_s + commit_s;
    } else {
        outcome->delta_100_s = stage_s + commit_s;
        must(feeds_verify(feeds, FEED, &fault), "verify");
    }
    feeds_close(feeds);
    feeds_close(reader);
}

/* In a process of its own; the outcome comes back through a pipe. */
static void apart(int step, unsigned entries, size_t line_bytes, struct outcome *outcome)
{
    int ends[2], status;
    if (pipe(ends) != 0)
        exit(1);
    pid_t child = fork();
    if (child == 0) {
        if (step < 0)
            run_origin(entries, line_bytes, outcome);
        else
            run_subscriber((unsigned)step, line_bytes, outcome);
        _exit(write(ends[1], outcome, sizeof(*outcome)) == sizeof(*outcome) ? 0 : 1);
    }
    close(ends[1]);
    bool got = read(ends[0], outcome, sizeof(*outcome)) == sizeof(*outcome);
    close(ends[0]);
    if (waitpid(child, &status, 0) != child || status != 0 || !got)
        exit(1);
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status;
    (void)type;
    (void)place;
    return remove(path);
}

int main(int argc, char **argv)
{
    unsigned entries = argc > 1 ? (unsigned)atoi(argv[1]) : 100000;
    size_t line_bytes = argc > 2 ? (size_t)atoi(argv[2]) : 1200;
    struct outcome outcome = {0};
    struct stat status;
    uint8_t seed[ED25519_SIZE] = {1};
    if (entries < 6000 || line_bytes < 300) {
        fprintf(stderr, "usage: bench_store [ENTRIES >= 6000] [LINE_BYTES >= 300]\n");
        return 2;
    }
    const char *base = getenv("TMPDIR");
    snprintf(directory, sizeof(directory), "%s/kaartd-bench-XXXXXX", base != NULL ? base : "/tmp");
    if (mkdtemp(directory) == NULL)
        return 1;
    snprintf(origin_path, sizeof(origin_path), "%s/origin.db", directory);
    snprintf(subscriber_path, sizeof(subscriber_path), "%s/subscriber.db", directory);
    snprintf(copy_path, sizeof(copy_path), "%s/own-head", directory);
    must(signing_key_from_seed(FEED, seed, &key, &fault), "key");
    for (int step = -1; step <= 2; step++)
        apart(step, entries, line_bytes, &outcome);
    stat(subscriber_path, &status);
    printf("{\"bench\":\"store\",\"entries\":%u,\"lineBytes\":%zu,\"appendPerS\":%.0f,\"appendOneMs\":%.2f,"
           "\"originPeakKb\":%ld,\"verifyPerS\":%.0f,\"stagePerS\":%.0f,\"commitMs\":%.0f,"
           "\"stageAndCommitPerS\":%.0f,"
           "\"subscriberPeakKb\":%ld,\"delta1Ms\":%.2f,\"delta100Ms\":%.2f,\"fileBytes\":%lld}\n",
           entries, line_bytes, entries / outcome.append_s, outcome.append_one_s * 1e3,
           outcome.origin_peak_kb, entries / outcome.verify_s, entries / outcome.stage_s,
           outcome.commit_s * 1e3, entries / (outcome.stage_s + outcome.commit_s), outcome.subscriber_peak_kb,
           outcome.delta_1_s * 1e3, outcome.delta_100_s * 1e3, (long long)status.st_size);
    nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    return 0;
}
