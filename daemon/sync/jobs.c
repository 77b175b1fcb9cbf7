/*
 * jobs.c - jobs for the store's threads. Their queues are bounded and may be full; what does not fit waits here, in order, and is handed in a moment
 * later. What waits is bounded by those who post: a staging holds back at STAGING_QUEUE_MAX, the others post one job at a time.
 */
#include "daemon/sync/sync_internal.h"

#include "daemon/log.h"

#include <stdlib.h>
#include <string.h>

/* How long to wait for a full queue. */
#define BACKLOG_RETRY_MS 5

static void run_job(void *state, void *context)
{
    struct job *job = context;
    struct feeds *feeds =
        job->worker == JOB_WRITER ? (struct feeds *)state : ((struct node_readers *)state)->feeds;

    job->run(feeds, job);
}

static void check_stopped(struct sync *sync)
{
    if (!sync->stopping || sync->jobs || !sync->stopped)
        return;
    void (*stopped)(void *) = sync->stopped;
    sync->stopped = NULL;
    stopped(sync->stopped_context);
}

static void on_done(void *context)
{
    struct job *job = context;
    struct sync *sync = job->sync;

    sync->jobs--;
    job->done(job);
    check_stopped(sync);
}

static struct worker *worker_of(const struct sync *sync, enum job_worker worker)
{
    return worker == JOB_WRITER ? sync->node->writer : sync->node->reader;
}

static void flush(struct sync *sync, enum job_worker worker)
{
    while (sync->backlog[worker]) {
        struct job *job = sync->backlog[worker];
        if (worker_post(worker_of(sync, worker), run_job, on_done, job) != KAART_OK)
            return;
        sync->backlog[worker] = job->next;
        if (!job->next)
            sync->backlog_end[worker] = &sync->backlog[worker];
    }
}

static void on_backlog(void *context)
{
    struct sync *sync = context;

    flush(sync, JOB_WRITER);
    flush(sync, JOB_READER);
    if (sync->backlog[JOB_WRITER] || sync->backlog[JOB_READER])
        alarm_set(sync->alarms, &sync->backlog_alarm, sync_clock(sync) + BACKLOG_RETRY_MS);
}

void job_post(struct sync *sync, enum job_worker worker, struct job *job)
{
    job->next = NULL;
    job->sync = sync;
    job->worker = worker;
    sync->jobs++;
    *sync->backlog_end[worker] = job;
    sync->backlog_end[worker] = &job->next;
    flush(sync, worker);
    if (sync->backlog[worker] && !sync->backlog_alarm.set) {
        sync->backlog_alarm.ring = on_backlog;
        sync->backlog_alarm.context = sync;
        alarm_set(sync->alarms, &sync->backlog_alarm, sync_clock(sync) + BACKLOG_RETRY_MS);
    }
}

/* ---- values ---- */

struct value_job {
    struct job job;
    char *key, *value;
    int code;
    struct fault fault;
};

static void run_value(struct feeds *feeds, struct job *base)
{
    struct value_job *job = (struct value_job *)base;

    job->code = feeds_set_value(feeds, job->key, job->value, &job->fault);
}

static void done_value(struct job *base)
{
    struct value_job *job = (struct value_job *)base;

    if (job->code)
        log_warning("sync", "could not remember %s: %s", job->key, job->fault.text);
    free(job->key);
    free(job->value);
    free(job);
}

void job_set_value(struct sync *sync, const char *key, const char *value)
{
    struct value_job *job = calloc(1, sizeof(*job));

    if (!job)
        return;
    job->key = strdup(key);
    job->value = value ? strdup(value) : NULL;
    job->job.run = run_value;
    job->job.done = done_value;
    if (!job->key || (value && !job->value)) {
        free(job->key);
        free(job->value);
        free(job);
        return;
    }
    job_post(sync, JOB_WRITER, &job->job);
}
