/*
 * heads.c - what is held of each feed, as last read from the store.
 *
 * Pullers compare with it, pushers tell it, guards watch it. It is read again after everything that can have changed it; a read that
 * is asked for while one runs follows it, so that the last change is never missed.
 */
#include "daemon/sync/sync_internal.h"

#include "daemon/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct head *find(const struct sync *sync, const char *feed)
{
    for (struct head *head = sync->heads; head; head = head->next)
        if (strcmp(head->feed, feed) == 0)
            return head;
    return NULL;
}

const struct head *heads_find(const struct sync *sync, const char *feed)
{
    return find(sync, feed);
}

static struct head *find_or_add(struct sync *sync, const char *feed)
{
    struct head *head = find(sync, feed);

    if (head)
        return head;
    head = calloc(1, sizeof(*head));
    if (!head)
        return NULL;
    snprintf(head->feed, sizeof(head->feed), "%s", feed);
    head->next = sync->heads;
    sync->heads = head;
    return head;
}

void heads_free(struct sync *sync)
{
    while (sync->heads) {
        struct head *head = sync->heads;
        sync->heads = head->next;
        free(head->note);
        free(head);
    }
}

/* The entity tag under which peers know this note. [HTTP-5] */
static void make_etag(const char *note, size_t size, char etag[HASH_SIZE * 2 + 5])
{
    struct hasher *hasher = hasher_new();
    struct hash digest;

    etag[0] = '\0';
    if (hasher && hasher_digest(hasher, note, size, &digest) == KAART_OK) {
        memcpy(etag, "W/\"", 3);
        hex_encode(digest.bytes, HASH_SIZE, etag + 3);
        memcpy(etag + 3 + 2 * HASH_SIZE, "\"", 2);
    }
    hasher_free(hasher);
}

void heads_take(struct sync *sync, const struct feed_head *from)
{
    struct head *head = find_or_add(sync, from->checkpoint.feed);

    if (!head)
        return;
    head->own = from->own;
    head->held.held = from->held;
    head->held.frozen = from->frozen[0] != '\0';
    head->held.checkpoint = from->checkpoint;
    snprintf(head->frozen, sizeof(head->frozen), "%s", from->frozen);
    if (head->note && head->note_size == from->note_size &&
        memcmp(head->note, from->note, from->note_size) == 0)
        return;
    free(head->note);
    head->note = NULL;
    head->note_size = 0;
    head->etag[0] = '\0';
    if (from->held && (head->note = malloc(from->note_size + 1))) {
        memcpy(head->note, from->note, from->note_size);
        head->note[from->note_size] = '\0';
        head->note_size = from->note_size;
        make_etag(head->note, head->note_size, head->etag);
    }
}

static void tell(struct sync *sync, const struct head *head)
{
    for (struct sync_peer *peer = sync->peers; peer; peer = peer->next) {
        for (struct puller *puller = peer->pullers; puller; puller = *puller_link(puller))
            if (strcmp(puller_feed(puller), head->feed) == 0)
                puller_head_moved(puller, head);
        for (struct pusher *pusher = peer->pushers; pusher; pusher = *pusher_link(pusher))
            if (strcmp(pusher_feed(pusher), head->feed) == 0)
                pusher_head_moved(pusher, head);
    }
    if (head->own)
        heartbeats_look(sync);
}

/* ---- one ---- */

struct head_job {
    struct job job;
    char feed[FEED_NAME_MAX_SIZE + 1];
    struct feed_head head;
    int code;
    struct fault fault;
};

static void run_read(struct feeds *feeds, struct job *base)
{
    struct head_job *job = (struct head_job *)base;

    job->code = feeds_head(feeds, job->feed, &job->head, &job->fault);
}

static void post_read(struct sync *sync, struct head *head);

static void done_read(struct job *base)
{
    struct head_job *job = (struct head_job *)base;
    struct sync *sync = base->sync;
    struct head *head = find(sync, job->feed);

    if (head)
        head->reading = false;
    if (head && !sync->stopping) {
        if (job->code == KAART_OK) {
            heads_take(sync, &job->head);
            tell(sync, head);
            heartbeats_tidy_soon(sync);
        } else if (job->code != KAART_UNKNOWN) {
            log_warning("sync", "the head of %s could not be read: %s", job->feed, job->fault.text);
        }
        if (head->again)
            post_read(sync, head);
    }
    free(job);
}

static void post_read(struct sync *sync, struct head *head)
{
    struct head_job *job = calloc(1, sizeof(*job));

    head->again = false;
    if (!job)
        return;
    snprintf(job->feed, sizeof(job->feed), "%s", head->feed);
    job->job.run = run_read;
    job->job.done = done_read;
    head->reading = true;
    job_post(sync, JOB_READER, &job->job);
}

void heads_refresh(struct sync *sync, const char *feed)
{
    struct head *head = find_or_add(sync, feed);

    if (!head || sync->stopping)
        return;
    if (head->reading)
        head->again = true;
    else
        post_read(sync, head);
}

/* ---- all, at the start ---- */

struct heads_job {
    struct job job;
    struct feed_head *heads;
    size_t count, room;
    int code;
    struct fault fault;
    void (*ready)(struct sync *sync);
};

static int add_head(void *context, const struct feed_head *head)
{
    struct heads_job *job = context;

    if (job->count == job->room) {
        size_t room = job->room ? 2 * job->room : 16;
        struct feed_head *heads = realloc(job->heads, room * sizeof(*heads));
        if (!heads)
            return KAART_NOMEM;
        job->heads = heads;
        job->room = room;
    }
    job->heads[job->count++] = *head;
    return KAART_OK;
}

static void run_load(struct feeds *feeds, struct job *base)
{
    struct heads_job *job = (struct heads_job *)base;

    job->code = feeds_list(feeds, add_head, job, &job->fault);
}

static void done_load(struct job *base)
{
    struct heads_job *job = (struct heads_job *)base;
    struct sync *sync = base->sync;

    if (job->code)
        log_error("sync", "the feeds could not be listed: %s", job->fault.text);
    for (size_t i = 0; i < job->count; i++)
        heads_take(sync, &job->heads[i]);
    if (!sync->stopping)
        job->ready(sync);
    free(job->heads);
    free(job);
}

int heads_load(struct sync *sync, void (*ready)(struct sync *sync))
{
    struct heads_job *job = calloc(1, sizeof(*job));

    if (!job)
        return KAART_NOMEM;
    job->ready = ready;
    job->job.run = run_load;
    job->job.done = done_load;
    job_post(sync, JOB_READER, &job->job);
    return KAART_OK;
}
