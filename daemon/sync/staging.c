/*
 * staging.c - one stage on the writer's thread, fed from the loop in chunks.
 *
 *   loop:    open ---> write* ---> end ---> (write* ---> end)* ---> commit
 *              \         \           \                               /
 *               +---------+-----------+----> keep | drop <----------+ (after a failure)
 *   writer:  jobs in that order; after the first failure the rest do nothing
 *
 * `stage`, `code` and `fault` belong to the writer's thread; everything else to the loop's.
 */
#include "daemon/sync/sync_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum step { STEP_OPEN, STEP_WRITE, STEP_END, STEP_COMMIT, STEP_KEEP, STEP_DROP };

struct staging {
    struct sync *sync;
    struct staging_events events;
    char feed[FEED_NAME_MAX_SIZE + 1];
    char source[ORIGIN_MAX_SIZE + 1];

    struct stage *stage; /* the writer's */
    int code;            /* the writer's: first failure */

    char *chunk; /* being filled */
    size_t chunk_size;
    size_t queued; /* bytes in jobs */
    unsigned jobs;
    bool full;   /* somebody was told to wait */
    bool failed; /* told */
    bool gone;   /* kept, dropped: nobody is told any more */
};

struct staging_job {
    struct job job;
    struct staging *staging;
    enum step step;
    struct stage_plan plan;
    uint64_t since;
    char *bytes; /* or the note */
    size_t size;
    struct checkpoint checkpoint;
    struct stage_progress progress;
    char *note; /* copy of progress.note */
    struct feed_head *head;
    int code;
    struct fault fault;
};

/* ---- on the writer's thread ---- */

static void run_end(struct staging_job *job)
{
    job->code = stage_end_response(job->staging->stage, &job->progress, &job->fault);
    if (job->code || !job->progress.complete)
        return;
    job->note = malloc(job->progress.note_size + 1);
    if (!job->note) {
        job->code = fault_set(&job->fault, KAART_NOMEM, "no memory for a note");
        return;
    }
    memcpy(job->note, job->progress.note, job->progress.note_size);
    job->note[job->progress.note_size] = '\0';
    job->progress.note = job->note;
}

static void run_commit(struct feeds *feeds, struct staging_job *job)
{
    struct staging *staging = job->staging;

    job->head = calloc(1, sizeof(*job->head));
    if (!job->head) {
        job->code = fault_set(&job->fault, KAART_NOMEM, "no memory for a head");
        return;
    }
    job->code = stage_commit(staging->stage, &job->checkpoint, job->bytes, job->size, &job->fault);
    staging->stage = NULL;
    if (!job->code)
        job->code = feeds_head(feeds, staging->feed, job->head, &job->fault);
}

static void run_step(struct feeds *feeds, struct job *base)
{
    struct staging_job *job = (struct staging_job *)base;
    struct staging *staging = job->staging;

    switch (job->step) {
    case STEP_KEEP:
        if (staging->code)
            stage_drop(staging->stage);
        else
            stage_keep(staging->stage);
        staging->stage = NULL;
        return;
    case STEP_DROP:
        stage_drop(staging->stage);
        staging->stage = NULL;
        return;
    default:
        break;
    }
    if (staging->code) /* told already */
        return;
    switch (job->step) {
    case STEP_OPEN:
        job->plan.feed = staging->feed;
        job->plan.source = staging->source;
        job->code = stage_open(feeds, &job->plan, &staging->stage, &job->since, &job->fault);
        break;
    case STEP_WRITE:
        job->code = stage_write(staging->stage, job->bytes, job->size, &job->fault);
        break;
    case STEP_END:
        run_end(job);
        break;
    default:
        run_commit(feeds, job);
        break;
    }
    staging->code = job->code;
}

/* ---- on the loop's thread ---- */

/* Whether a failure of this step is this node's own trouble. */
static bool is_local(enum step step, int code)
{
    if (code == KAART_OVERTAKEN)
        return false;
    return step == STEP_OPEN || code == KAART_IO || code == KAART_NOMEM || code == KAART_BUSY ||
           code == KAART_CORRUPT;
}

static void tell(struct staging *staging, const struct staging_job *job)
{
    const struct staging_events *events = &staging->events;

    if (job->code) {
        staging->failed = true;
        events->failed(events->context, job->code, is_local(job->step, job->code), job->fault.text);
        return;
    }
    switch (job->step) {
    case STEP_OPEN:
        events->opened(events->context, job->since);
        break;
    case STEP_WRITE:
        if (staging->full && staging->queued <= STAGING_QUEUE_MAX / 2) {
            staging->full = false;
            events->drained(events->context);
        }
        break;
    case STEP_END:
        events->ended(events->context, &job->progress);
        break;
    case STEP_COMMIT:
        events->committed(events->context, job->head);
        break;
    default:
        break;
    }
}

static void done_step(struct job *base)
{
    struct staging_job *job = (struct staging_job *)base;
    struct staging *staging = job->staging;

    staging->jobs--;
    if (job->step == STEP_WRITE)
        staging->queued -= job->size;
    /* `jobs` keeps staging alive while it is told: the callback may let go of it. */
    staging->jobs++;
    if (!staging->gone && !staging->failed)
        tell(staging, job);
    staging->jobs--;
    if (staging->gone && !staging->jobs) {
        free(staging->chunk);
        free(staging);
    }
    free(job->bytes);
    free(job->note);
    free(job->head);
    free(job);
}

static struct staging_job *post(struct staging *staging, enum step step, char *bytes, size_t size)
{
    struct staging_job *job = calloc(1, sizeof(*job));

    if (!job) {
        free(bytes);
        return NULL;
    }
    job->staging = staging;
    job->step = step;
    job->bytes = bytes;
    job->size = size;
    job->job.run = run_step;
    job->job.done = done_step;
    return job;
}

static void hand_in(struct staging_job *job)
{
    job->staging->jobs++;
    job_post(job->staging->sync, JOB_WRITER, &job->job);
}

/* Memory ran out on the loop's side: as if the stage had failed. */
static void fail_here(struct staging *staging)
{
    if (staging->gone || staging->failed)
        return;
    staging->failed = true;
    staging->events.failed(staging->events.context, KAART_NOMEM, true, "no memory");
}

struct staging *staging_open(struct sync *sync, const struct stage_plan *plan,
                             const struct staging_events *events)
{
    struct staging *staging = calloc(1, sizeof(*staging));
    struct staging_job *job;

    if (!staging)
        return NULL;
    staging->sync = sync;
    staging->events = *events;
    snprintf(staging->feed, sizeof(staging->feed), "%s", plan->feed);
    snprintf(staging->source, sizeof(staging->source), "%s", plan->source);
    staging->chunk = malloc(STAGING_CHUNK);
    job = post(staging, STEP_OPEN, NULL, 0);
    if (!staging->chunk || !job) {
        free(job);
        free(staging->chunk);
        free(staging);
        return NULL;
    }
    job->plan = *plan;
    hand_in(job);
    return staging;
}

static void send_chunk(struct staging *staging)
{
    struct staging_job *job;
    char *fresh;

    if (!staging->chunk_size)
        return;
    fresh = malloc(STAGING_CHUNK);
    if (!fresh) {
        fail_here(staging);
        return;
    }
    job = post(staging, STEP_WRITE, staging->chunk, staging->chunk_size);
    staging->chunk = fresh;
    staging->queued += staging->chunk_size;
    staging->chunk_size = 0;
    if (job)
        hand_in(job);
    else
        fail_here(staging);
}

bool staging_write(struct staging *staging, const char *bytes, size_t size)
{
    if (staging->failed)
        return true; /* nobody needs them */
    if (staging->queued >= STAGING_QUEUE_MAX) {
        staging->full = true;
        return false;
    }
    while (size && !staging->failed) {
        size_t part = STAGING_CHUNK - staging->chunk_size;
        if (part > size)
            part = size;
        memcpy(staging->chunk + staging->chunk_size, bytes, part);
        staging->chunk_size += part;
        bytes += part;
        size -= part;
        if (staging->chunk_size == STAGING_CHUNK)
            send_chunk(staging);
    }
    return true;
}

void staging_end_response(struct staging *staging)
{
    struct staging_job *job;

    send_chunk(staging);
    job = post(staging, STEP_END, NULL, 0);
    if (job)
        hand_in(job);
    else
        fail_here(staging);
}

void staging_commit(struct staging *staging, const struct checkpoint *checkpoint, const char *note,
                    size_t note_size)
{
    char *copy = malloc(note_size + 1);
    struct staging_job *job;

    if (copy) {
        memcpy(copy, note, note_size);
        copy[note_size] = '\0';
    }
    job = copy ? post(staging, STEP_COMMIT, copy, note_size) : NULL;
    if (!job) {
        fail_here(staging);
        return;
    }
    job->checkpoint = *checkpoint;
    hand_in(job);
}

static void let_go(struct staging *staging, enum step step)
{
    struct staging_job *job;

    if (!staging || staging->gone)
        return;
    if (step == STEP_KEEP)
        send_chunk(staging); /* whole lines in it are worth keeping */
    staging->gone = true;
    job = post(staging, step, NULL, 0);
    if (job) {
        hand_in(job);
    } else if (
        !staging
             ->jobs) { /* the stage stays open on the writer until the process ends; the store finds it then */
        free(staging->chunk);
        free(staging);
    }
}

void staging_keep(struct staging *staging)
{
    let_go(staging, STEP_KEEP);
}

void staging_drop(struct staging *staging)
{
    let_go(staging, STEP_DROP);
}
