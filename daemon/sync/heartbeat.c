/*
 * heartbeat.c - signs every own feed anew at least hourly [CP-8], and tidies the store in idle time.
 *
 *   alarm (the earliest of all own feeds) ---> due, and the guard allows it ---> writer: feeds_heartbeat ---> node_feed_changed ---> alarm
 *
 * A feed that was never signed gets its first, empty state as soon as the guard allows it: peers then see a feed without entries, not none.
 */
#include "daemon/sync/sync_internal.h"

#include "daemon/log.h"
#include "protocol/retry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A heartbeat comes this long after the last signature, with a tenth of jitter: so that it is never late, and a fleet that was started at one moment drifts apart. */
#define HEARTBEAT_AFTER_MS (HEARTBEAT_MS * 5 / 6)

/* The wall clock can be set while we wait by the steady one; it is looked at again this often. */
#define HEARTBEAT_LOOK_MS (60LL * 1000)

/* After a failure (the disk is full, the clock is wrong): again after this. */
#define HEARTBEAT_RETRY_MS (60LL * 1000)

/* How often idle time is looked for, how soon after something became visible, and how long between the pieces of one clean-up. */
#define TIDY_EVERY_MS (30LL * 1000)
#define TIDY_AFTER_MS 500
#define TIDY_PIECE_MS 50

struct beat {
    struct beat *next;
    char feed[FEED_NAME_MAX_SIZE + 1];
    bool running;
    int64_t not_before_ms; /* steady clock */
    int64_t after_ms;      /* jittered interval, chosen anew for each signature */
    int64_t of_time_s;     /* the signature it was chosen for */
};

struct heartbeats {
    struct sync *sync;
    struct beat *beats;
    struct alarm alarm;
    struct alarm tidy;
    bool tidying;
};

/* ---- signing, on the writer ---- */

struct beat_job {
    struct job job;
    char feed[FEED_NAME_MAX_SIZE + 1];
    struct signing_key keys[2];
    size_t key_count;
    int code;
    struct fault fault;
};

static void run_beat(struct feeds *feeds, struct job *base)
{
    struct beat_job *job = (struct beat_job *)base;

    job->code = feeds_heartbeat(feeds, job->feed, job->keys, job->key_count, node_now_ms(), &job->fault);
}

static struct beat *find(const struct heartbeats *heartbeats, const char *feed)
{
    for (struct beat *beat = heartbeats->beats; beat; beat = beat->next)
        if (strcmp(beat->feed, feed) == 0)
            return beat;
    return NULL;
}

static void done_beat(struct job *base)
{
    struct beat_job *job = (struct beat_job *)base;
    struct sync *sync = base->sync;
    struct beat *beat = sync->heartbeats ? find(sync->heartbeats, job->feed) : NULL;

    for (size_t i = 0; i < job->key_count; i++)
        signing_key_wipe(&job->keys[i]);
    if (beat) {
        beat->running = false;
        beat->not_before_ms = sync_clock(sync) + HEARTBEAT_RETRY_MS;
    }
    if (job->code && job->code != KAART_GUARD)
        log_error("sync", "%s could not be signed anew: %s", job->feed, job->fault.text);
    if (job->code == KAART_OK && !sync->stopping)
        node_feed_changed(sync->node, job->feed);
    if (!sync->stopping)
        heartbeats_look(sync);
    free(job);
}

static void beat_now(struct sync *sync, struct beat *beat, const struct config_feed *own)
{
    struct beat_job *job = calloc(1, sizeof(*job));

    if (!job)
        return;
    snprintf(job->feed, sizeof(job->feed), "%s", beat->feed);
    job->keys[job->key_count++] = own->key;
    if (own->next_key_path)
        job->keys[job->key_count++] = own->next_key;
    job->job.run = run_beat;
    job->job.done = done_beat;
    beat->running = true;
    job_post(sync, JOB_WRITER, &job->job);
}

/* When the next heartbeat of a feed is due, by the steady clock. */
static int64_t due_at(struct sync *sync, struct beat *beat)
{
    const struct head *head = heads_find(sync, beat->feed);
    int64_t now = sync_clock(sync);
    int64_t age;

    if (!head || !head->held.held)
        return beat->not_before_ms > now ? beat->not_before_ms : now;
    if (!beat->after_ms || beat->of_time_s != head->held.checkpoint.time_s) {
        beat->after_ms = retry_interval(HEARTBEAT_AFTER_MS, node_random32());
        beat->of_time_s = head->held.checkpoint.time_s;
    }
    age = node_now_ms() - head->held.checkpoint.time_s * 1000;
    if (age < 0) /* signed in the future: the clock went back; the store says so if it is too much */
        age = 0;
    int64_t due = now + (beat->after_ms - age);
    return due > beat->not_before_ms ? due : beat->not_before_ms;
}

void heartbeats_look(struct sync *sync)
{
    struct heartbeats *heartbeats = sync->heartbeats;
    const struct config *config = sync->node->config;
    int64_t now = sync_clock(sync), earliest = now + HEARTBEAT_LOOK_MS;

    if (!heartbeats || sync->stopping)
        return;
    for (size_t i = 0; i < config->feed_count; i++) {
        const struct config_feed *own = &config->feeds[i];
        struct beat *beat = find(heartbeats, own->name);
        const char *reason;
        if (!beat && (beat = calloc(1, sizeof(*beat)))) {
            snprintf(beat->feed, sizeof(beat->feed), "%s", own->name);
            beat->next = heartbeats->beats;
            heartbeats->beats = beat;
        }
        if (!beat || beat->running || !guards_may_sign(sync, own->name, &reason))
            continue;
        int64_t due = due_at(sync, beat);
        if (due <= now)
            beat_now(sync, beat, own);
        else if (due < earliest)
            earliest = due;
    }
    if (config->feed_count)
        alarm_set(sync->alarms, &heartbeats->alarm, earliest);
}

static void on_alarm(void *context)
{
    struct heartbeats *heartbeats = context;

    heartbeats_look(heartbeats->sync);
}

/* ---- tidying ---- */

struct tidy_job {
    struct job job;
    bool more;
    int code;
    struct fault fault;
};

static void run_tidy(struct feeds *feeds, struct job *base)
{
    struct tidy_job *job = (struct tidy_job *)base;

    job->code = feeds_tidy(feeds, &job->more, &job->fault);
}

static void done_tidy(struct job *base)
{
    struct tidy_job *job = (struct tidy_job *)base;
    struct sync *sync = base->sync;
    struct heartbeats *heartbeats = sync->heartbeats;

    if (job->code && job->code != KAART_BUSY)
        log_warning("store", "tidying: %s", job->fault.text);
    if (heartbeats && !sync->stopping) {
        heartbeats->tidying = false;
        alarm_set(sync->alarms, &heartbeats->tidy,
                  sync_clock(sync) + (job->code == KAART_OK && job->more ? TIDY_PIECE_MS : TIDY_EVERY_MS));
    }
    free(job);
}

static void on_tidy(void *context)
{
    struct heartbeats *heartbeats = context;
    struct sync *sync = heartbeats->sync;
    struct tidy_job *job;

    if (heartbeats->tidying)
        return;
    if (worker_load(sync->node->writer) > 0 || !(job = calloc(1, sizeof(*job)))) {
        alarm_set(sync->alarms, &heartbeats->tidy, sync_clock(sync) + 10 * TIDY_PIECE_MS);
        return;
    }
    heartbeats->tidying = true;
    job->job.run = run_tidy;
    job->job.done = done_tidy;
    job_post(sync, JOB_WRITER, &job->job);
}

void heartbeats_tidy_soon(struct sync *sync)
{
    struct heartbeats *heartbeats = sync->heartbeats;
    int64_t soon = sync_clock(sync) + TIDY_AFTER_MS;

    if (heartbeats && !heartbeats->tidying && heartbeats->tidy.at_ms > soon)
        alarm_set(sync->alarms, &heartbeats->tidy, soon);
}

/* ---- life ---- */

int heartbeats_start(struct sync *sync)
{
    struct heartbeats *heartbeats = calloc(1, sizeof(*heartbeats));

    if (!heartbeats)
        return KAART_NOMEM;
    heartbeats->sync = sync;
    heartbeats->alarm.ring = on_alarm;
    heartbeats->alarm.context = heartbeats;
    heartbeats->tidy.ring = on_tidy;
    heartbeats->tidy.context = heartbeats;
    sync->heartbeats = heartbeats;
    alarm_set(sync->alarms, &heartbeats->tidy, sync_clock(sync) + TIDY_AFTER_MS);
    heartbeats_look(sync);
    return KAART_OK;
}

void heartbeats_stop(struct sync *sync)
{
    struct heartbeats *heartbeats = sync->heartbeats;

    if (!heartbeats)
        return;
    alarm_clear(sync->alarms, &heartbeats->alarm);
    alarm_clear(sync->alarms, &heartbeats->tidy);
    while (heartbeats->beats) {
        struct beat *beat = heartbeats->beats;
        heartbeats->beats = beat->next;
        free(beat);
    }
    free(heartbeats);
    sync->heartbeats = NULL;
}
