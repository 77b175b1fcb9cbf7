/*
 * listing.c - GET /v1/feeds of a peer, now and then: every note in it is compared with the one held here, so that a fork is noticed by whoever sees both
 * sides [DEATH-4], and so that an own signature that this node does not know is found wherever it turns up [GUARD-6].
 *
 *   alarm ---> request ---> each note that is not the held one: opened, compared ---> freeze | guard | nothing ---> alarm
 *
 * Nothing is fetched because of a listing; pulls have their own pace.
 */
#include "daemon/sync/sync_internal.h"

#include "daemon/log.h"
#include "protocol/json.h"
#include "protocol/proof.h"
#include "protocol/retry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A hub with 400 feeds answers some 250 kB. */
#define LISTING_SIZE_MAX (4u * 1024 * 1024)
#define LISTING_FEEDS_MAX 4096

/* As often as the peer is pulled, within these bounds. */
#define LISTING_EVERY_MIN_MS (30LL * 1000)
#define LISTING_EVERY_MAX_MS (60LL * 60 * 1000)
/* The first one, after the pulls have begun. */
#define LISTING_FIRST_MS (5LL * 1000)

struct listing {
    struct sync *sync;
    struct sync_peer *peer;
    struct alarm alarm;
    struct request *request;
    unsigned failures;
};

/* ---- freezing, on the writer ---- */

struct freeze_job {
    struct job job;
    char feed[FEED_NAME_MAX_SIZE + 1];
    char reason[256];
    char *proof;
    int code;
    struct fault fault;
};

static void run_freeze(struct feeds *feeds, struct job *base)
{
    struct freeze_job *job = (struct freeze_job *)base;

    job->code = feeds_freeze(feeds, job->feed, job->reason, job->proof, &job->fault);
}

static void done_freeze(struct job *base)
{
    struct freeze_job *job = (struct freeze_job *)base;

    if (job->code)
        log_error("sync", "%s could not be frozen: %s", job->feed, job->fault.text);
    else
        log_error("sync", "%s is frozen at the state held: %s", job->feed, job->reason);
    heads_refresh(base->sync, job->feed);
    free(job->proof);
    free(job);
}

/* [DEATH-3]: the two notes are the proof. NULL if they do not open any more, or without memory: the feed is frozen all the same. */
static char *prove(struct sync *sync, const char *feed, const char *note_a, const char *note_b)
{
    struct fork_proof *proof = calloc(1, sizeof(*proof));
    struct fork_side *a, *b;
    char *text = NULL;
    size_t size;

    if (!proof)
        return NULL;
    a = &proof->shorter;
    b = &proof->longer;
    a->note = (struct span){note_a, strlen(note_a)};
    b->note = (struct span){note_b, strlen(note_b)};
    if (sync_open_note(sync, feed, note_a, a->note.size, &a->checkpoint, NULL) == KAART_OK &&
        sync_open_note(sync, feed, note_b, b->note.size, &b->checkpoint, NULL) == KAART_OK) {
        if (a->checkpoint.size > b->checkpoint.size) {
            struct fork_side swap = *a;
            *a = *b;
            *b = swap;
        }
        if (fork_proof_format(proof, &text, &size))
            text = NULL;
    }
    free(proof);
    return text;
}

void sync_freeze(struct sync *sync, const char *feed, const char *reason, const char *note_a,
                 const char *note_b)
{
    struct freeze_job *job = calloc(1, sizeof(*job));

    if (!job)
        return;
    snprintf(job->feed, sizeof(job->feed), "%s", feed);
    snprintf(job->reason, sizeof(job->reason), "%s", reason);
    if (note_a && note_b)
        job->proof = prove(sync, feed, note_a, note_b);
    job->job.run = run_freeze;
    job->job.done = done_freeze;
    job_post(sync, JOB_WRITER, &job->job);
}

/* ---- comparing ---- */

static void compare_note(struct listing *listing, const char *feed, const char *note)
{
    struct sync *sync = listing->sync;
    const struct head *head = heads_find(sync, feed);
    bool own = sync_feed_of(feed, sync->node->config->node.name);
    struct verifier_key keys[FEED_KEYS_MAX];
    struct checkpoint offered;
    struct fault fault;
    char reason[200];

    if (head && head->note && strcmp(head->note, note) == 0) {
        shown_take(sync, listing->peer, feed, head->held.checkpoint.epoch, head->held.checkpoint.size);
        return;
    }
    if (!config_feed_keys(sync->node->config, feed, keys)) /* nothing to verify it with */
        return;
    if (sync_open_note(sync, feed, note, strlen(note), &offered, &fault)) {
        log_warning("sync", "%s shows a head of %s that does not verify: %s", listing->peer->name, feed,
                    fault.text);
        peer_note_error(sync, listing->peer, "%s: the head it shows does not verify: %s", feed, fault.text);
        return;
    }
    if (own) {
        shown_take(sync, listing->peer, feed, offered.epoch, offered.size);
        guards_seen(sync, feed, &offered);
        return;
    }
    if (!head || !head->held.held || head->held.frozen ||
        checkpoint_compare(&head->held.checkpoint, &offered) != CHECKPOINT_FORK)
        return;
    snprintf(reason, sizeof(reason), "two histories: a head shown by %.100s contradicts the one held",
             listing->peer->name);
    sync_freeze(sync, feed, reason, head->note, note);
}

static int compare_all(struct listing *listing, const char *text, size_t size, struct fault *fault)
{
    cJSON *document = json_parse(text, size, fault);
    const cJSON *feeds, *item;
    size_t count = 0;

    if (!document)
        return KAART_SYNTAX;
    feeds = json_get(document, "feeds");
    if (!cJSON_IsArray(feeds)) {
        cJSON_Delete(document);
        return fault_set(fault, KAART_SYNTAX, "GET /v1/feeds has no array `feeds` (spec/feed.md [HTTP-3])");
    }
    cJSON_ArrayForEach(item, feeds)
    {
        const char *feed = json_get_string(item, "feed");
        const char *note = json_get_string(item, "checkpoint");
        if (++count > LISTING_FEEDS_MAX)
            break;
        if (feed && note && syntax_is_feed(feed, strlen(feed)))
            compare_note(listing, feed, note);
    }
    cJSON_Delete(document);
    return KAART_OK;
}

/* ---- life ---- */

static int64_t every(const struct listing *listing)
{
    const struct config_peer *peer = config_peer(listing->sync->node->config, listing->peer->name);
    int64_t wait = peer && peer->pull_every_ms > 0 ? peer->pull_every_ms : LISTING_EVERY_MAX_MS;

    if (wait < LISTING_EVERY_MIN_MS)
        return LISTING_EVERY_MIN_MS;
    return wait > LISTING_EVERY_MAX_MS ? LISTING_EVERY_MAX_MS : wait;
}

static void again(struct listing *listing, bool failed, int64_t retry_after_ms)
{
    int64_t wait = retry_interval(every(listing), node_random32());

    listing->failures = failed ? listing->failures + 1 : 0;
    if (failed)
        wait = retry_backoff(listing->failures, wait, LISTING_EVERY_MAX_MS, node_random32());
    if (retry_after_ms > wait)
        wait = retry_after_ms < RETRY_AFTER_MAX_MS ? retry_after_ms : RETRY_AFTER_MAX_MS;
    alarm_set(listing->sync->alarms, &listing->alarm, sync_clock(listing->sync) + wait);
}

static void on_done(void *context, const struct request_result *result)
{
    struct listing *listing = context;
    struct fault fault;

    listing->request = NULL;
    listing->peer->bytes_in += result->received_bytes;
    if (result->code || result->status != 200) { /* the pulls report what is wrong with a peer */
        again(listing, true, result->retry_after_ms);
        return;
    }
    if (compare_all(listing, result->body, result->size, &fault)) {
        log_warning("sync", "the list of feeds of %s: %s", listing->peer->name, fault.text);
        again(listing, true, 0);
        return;
    }
    again(listing, false, 0);
}

static void on_alarm(void *context)
{
    struct listing *listing = context;
    const struct request_options options = {.peer = listing->peer->name,
                                            .method = "GET",
                                            .size_max = LISTING_SIZE_MAX,
                                            .small_max = LISTING_SIZE_MAX,
                                            .done = on_done,
                                            .context = listing};
    struct fault fault;

    if (request_start(listing->sync, &options, &listing->request, &fault))
        again(listing, true, 0);
}

struct listing *listing_new(struct sync *sync, struct sync_peer *peer)
{
    struct listing *listing = calloc(1, sizeof(*listing));

    if (!listing)
        return NULL;
    listing->sync = sync;
    listing->peer = peer;
    listing->alarm.ring = on_alarm;
    listing->alarm.context = listing;
    alarm_set(sync->alarms, &listing->alarm,
              sync_clock(sync) + retry_interval(LISTING_FIRST_MS, node_random32()));
    return listing;
}

void listing_free(struct listing *listing)
{
    if (!listing)
        return;
    alarm_clear(listing->sync->alarms, &listing->alarm);
    request_abandon(listing->request);
    free(listing);
}

void listing_now(struct listing *listing)
{
    if (!listing->request)
        alarm_set(listing->sync->alarms, &listing->alarm, sync_clock(listing->sync));
}
