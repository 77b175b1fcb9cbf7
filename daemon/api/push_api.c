/*
 * push_api.c - pushes and hints from peers that we cannot reach. spec/feed.md [PUSH-1] to [PUSH-6].
 *
 *   POST checkpoint: note --opened, compared with the held head--> 200 {epoch, position, wanted}
 *                                                                    |  not wanted, newer: a hint, sync pulls
 *                                                                    v  wanted: an OFFER is remembered
 *   POST changes:    an open offer of this peer? --no--> 409 with the position
 *                    another transfer of the feed? --yes--> 409
 *                    else the body goes into a stage (push_transfer.c):
 *                       page   -> 200 {epoch, position, wanted: true};  the offer stays
 *                       head   -> 200 {epoch, position, wanted: false}; the offer is gone, the map and the
 * pulls are told refused-> 400 with the reason;                  the offer is gone
 *
 * Who pushed it counts for nothing: everything is verified as if it had been pulled, by the keys of the feed.
 */
#include "daemon/api/access.h"
#include "daemon/api/api.h"
#include "daemon/api/push_transfer.h"
#include "daemon/log.h"
#include "daemon/sync/sync.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* What is remembered of (feed, peer): a region has some hundred feeds, each pushed by one or two peers. */
#define OFFERS_MAX 512
/* An offer that is not followed up: transfers begin within seconds, and a page a minute is slow. */
#define OFFER_LIFE_MS (60ull * 60 * 1000)
#define BUSY_RETRY "2"

/* What is known of one peer's pushes of one feed. */
struct offer {
    struct push_desk *desk;
    char feed[FEED_NAME_MAX_SIZE + 1];
    char peer[ORIGIN_MAX_SIZE + 1];
    uint64_t used_ms; /* loop time, for expiry; 0: the slot is free */
    bool open;        /* `changes` are taken */
    bool running;     /* ... just now */
    bool full;
    bool doubt;       /* a delta had the wrong root: only a full sync leads on [SYNC-6] */
    uint64_t base;    /* the held size that a delta is built on */
    uint64_t full_ms; /* loop time at which the last full sync ended; 0: none yet */
    struct checkpoint checkpoint;
};

struct push_desk {
    struct node *node;
    struct offer offers[OFFERS_MAX];
};

static struct push_desk *desk_of(struct node *node)
{
    if (!node->push) {
        node->push = calloc(1, sizeof(*node->push));
        if (node->push)
            node->push->node = node;
    }
    return node->push;
}

void push_api_close(struct node *node)
{
    free(node->push);
    node->push = NULL;
}

/* ---- offers ---- */

static struct offer *offer_find(struct push_desk *desk, const char *feed, const char *peer)
{
    uint64_t now = uv_now(desk->node->loop);

    for (size_t i = 0; i < OFFERS_MAX; i++) {
        struct offer *offer = &desk->offers[i];

        if (!offer->used_ms || strcmp(offer->feed, feed) != 0 || strcmp(offer->peer, peer) != 0)
            continue;
        if (!offer->running && now - offer->used_ms > OFFER_LIFE_MS)
            offer->open = false;
        return offer;
    }
    return NULL;
}

/* Finds or makes; in a full table the one that was not used for longest gives way. NULL: every one is in use.
 */
static struct offer *offer_get(struct push_desk *desk, const char *feed, const char *peer)
{
    struct offer *offer = offer_find(desk, feed, peer), *oldest = NULL;

    if (offer)
        return offer;
    for (size_t i = 0; i < OFFERS_MAX; i++) {
        offer = &desk->offers[i];
        if (!offer->running && (!oldest || offer->used_ms < oldest->used_ms))
            oldest = offer;
    }
    if (!oldest)
        return NULL;
    memset(oldest, 0, sizeof(*oldest));
    oldest->desk = desk;
    snprintf(oldest->feed, sizeof(oldest->feed), "%s", feed);
    snprintf(oldest->peer, sizeof(oldest->peer), "%s", peer);
    return oldest;
}

static void offer_touch(struct push_desk *desk, struct offer *offer)
{
    uint64_t now = uv_now(desk->node->loop);

    offer->used_ms = now ? now : 1;
}

static bool feed_is_busy(const struct push_desk *desk, const char *feed)
{
    for (size_t i = 0; i < OFFERS_MAX; i++)
        if (desk->offers[i].running && strcmp(desk->offers[i].feed, feed) == 0)
            return true;
    return false;
}

/* Milliseconds until (feed, peer) may send everything again [SYNC-6]; 0: now. */
static uint64_t full_wait_ms(const struct push_desk *desk, const struct offer *offer)
{
    const struct config_peer *peer = config_peer(desk->node->config, offer->peer);
    uint64_t every =
        peer && peer->full_sync_every_ms > 0 ? (uint64_t)peer->full_sync_every_ms : FULL_SYNC_EVERY_MS;
    uint64_t passed = uv_now(desk->node->loop) - offer->full_ms;

    return !offer->full_ms || passed >= every ? 0 : every - passed;
}

/* How many entries this transfer may bring in all. */
static uint64_t entries_max(const struct offer *offer)
{
    const struct checkpoint *checkpoint = &offer->checkpoint;

    if (offer->full) /* [SYNC-5] */
        return FULL_SYNC_FACTOR * checkpoint->live + FULL_SYNC_SLACK;
    return checkpoint->size - offer->base + FULL_SYNC_SLACK; /* the origin may have gone on meanwhile */
}

/* ---- answers ---- */

static void answer_position(struct http_exchange *exchange, uint64_t epoch, uint64_t position, bool wanted)
{
    char *text = malloc(128);
    int size = 0;

    if (text)
        size = snprintf(text, 128, "{\"epoch\":%llu,\"position\":%llu,\"wanted\":%s}",
                        (unsigned long long)epoch, (unsigned long long)position, wanted ? "true" : "false");
    exchange_set_header(exchange, "Cache-Control", "no-store");
    exchange_respond(exchange, text ? 200 : 503, "application/json", text, (size_t)size);
}

/* 409 with the further members epoch and position [PUSH-5]. */
static void answer_conflict(struct http_exchange *exchange, uint64_t epoch, uint64_t position,
                            const char *detail)
{
    cJSON *problem = cJSON_CreateObject();
    char *text = NULL;

    if (cJSON_AddNumberToObject(problem, "status", 409) &&
        cJSON_AddStringToObject(problem, "title", "Conflict") &&
        cJSON_AddStringToObject(problem, "detail", detail) &&
        cJSON_AddNumberToObject(problem, "epoch", (double)epoch) &&
        cJSON_AddNumberToObject(problem, "position", (double)position))
        text = cJSON_PrintUnformatted(problem);
    cJSON_Delete(problem);
    exchange_respond(exchange, 409, "application/problem+json", text, text ? strlen(text) : 0);
}

static void answer_busy(struct http_exchange *exchange, const char *detail)
{
    exchange_set_header(exchange, "Retry-After", BUSY_RETRY);
    exchange_problem(exchange, 503, "Service Unavailable", "%s", detail);
}

/* ---- reading the held head ---- */

struct head_job {
    struct node *node;
    struct http_exchange *exchange;
    char feed[FEED_NAME_MAX_SIZE + 1];
    char peer[ORIGIN_MAX_SIZE + 1];
    struct checkpoint offered;
    char *note; /* that was offered; NULL: only the position is wanted */
    const char *conflict;
    int code;
    struct fault fault;
    struct feed_head head;
};

static void job_free(struct head_job *job)
{
    exchange_release(job->exchange);
    free(job->note);
    free(job);
}

static void run_head(void *state, void *context)
{
    struct node_readers *readers = state;
    struct head_job *job = context;

    job->code = feeds_head(readers->feeds, job->feed, &job->head, &job->fault);
    if (job->code == KAART_UNKNOWN) { /* nothing of it is held: that is a position, too */
        memset(&job->head, 0, sizeof(job->head));
        job->code = KAART_OK;
    }
    if (!job->head.held)
        memset(&job->head.checkpoint, 0, sizeof(job->head.checkpoint));
}

static struct head_job *head_job_new(struct node *node, struct http_exchange *exchange, const char *feed,
                                     const char *peer)
{
    struct head_job *job = calloc(1, sizeof(*job));

    if (!job)
        return NULL;
    job->node = node;
    job->exchange = exchange;
    snprintf(job->feed, sizeof(job->feed), "%s", feed);
    snprintf(job->peer, sizeof(job->peer), "%s", peer);
    exchange_hold(exchange);
    return job;
}

static void head_job_post(struct head_job *job, worker_done *done)
{
    if (worker_post(job->node->reader, run_head, done, job) == KAART_OK)
        return;
    answer_busy(job->exchange, "too many requests wait for the store");
    job_free(job);
}

static bool head_failed(struct head_job *job)
{
    if (!job->code)
        return false;
    log_error("net", "cannot read the head of feed=%s: %s", job->feed, job->fault.text);
    answer_busy(job->exchange, "the store cannot be read at the moment");
    return true;
}

static void done_conflict(void *context)
{
    struct head_job *job = context;

    if (!head_failed(job))
        answer_conflict(job->exchange, job->head.checkpoint.epoch, job->head.checkpoint.size, job->conflict);
    job_free(job);
}

static void conflict(struct node *node, struct http_exchange *exchange, const char *feed, const char *detail)
{
    struct head_job *job = head_job_new(node, exchange, feed, "");

    if (!job) {
        answer_busy(exchange, "no memory");
        return;
    }
    job->conflict = detail; /* static text */
    head_job_post(job, done_conflict);
}

/* ---- a fork, seen by an offer ---- */

struct freeze_job {
    struct node *node;
    char feed[FEED_NAME_MAX_SIZE + 1];
    char reason[256];
    char *proof;
    int code;
    struct fault fault;
};

static void run_freeze(void *state, void *context)
{
    struct freeze_job *job = context;

    job->code = feeds_freeze(state, job->feed, job->reason, job->proof, &job->fault);
}

static void done_freeze(void *context)
{
    struct freeze_job *job = context;

    if (job->code)
        log_error("sync", "%s could not be frozen: %s", job->feed, job->fault.text);
    else
        log_error("sync", "%s is frozen at the state held: %s", job->feed, job->reason);
    if (job->node->sync) /* else the node is stopping */
        sync_head_moved(job->node->sync, job->feed);
    free(job->proof);
    free(job);
}

/* [DEATH-4] [DEATH-6]: whoever offers it, two histories are two histories. The proof is both notes [DEATH-3].
 */
static void freeze(struct head_job *from)
{
    struct freeze_job *job = calloc(1, sizeof(*job));
    size_t size = from->head.note_size + strlen(from->note) + 2;

    if (!job)
        return; /* the next exchange sees it again */
    job->node = from->node;
    snprintf(job->feed, sizeof(job->feed), "%s", from->feed);
    snprintf(job->reason, sizeof(job->reason),
             "two histories: a head offered by %.100s contradicts the one held", from->peer);
    job->proof = malloc(size);
    if (job->proof)
        snprintf(job->proof, size, "%s\n%s", from->head.note, from->note);
    if (worker_post(from->node->writer, run_freeze, done_freeze, job) == KAART_OK)
        return;
    free(job->proof);
    free(job);
}

/* ---- POST checkpoint ---- */

/* Whether this node can fetch the feed from its origin: then a push is a hint only [PUSH-3]. */
static bool can_pull(const struct node *node, const char *feed)
{
    char origin[ORIGIN_MAX_SIZE + 1];
    const struct config_peer *peer;

    snprintf(origin, sizeof(origin), "%.*s", (int)strcspn(feed, "/"), feed);
    peer = config_peer(node->config, origin);
    return peer && !peer->suspended && peer->url && peer->pull_every_ms > 0;
}

/* Remembers the offer. NULL: it cannot be taken now, and that has been answered. */
static struct offer *open_offer(struct head_job *job, bool full)
{
    struct push_desk *desk = desk_of(job->node);
    struct offer *offer = desk ? offer_get(desk, job->feed, job->peer) : NULL;
    uint64_t wait_ms;
    char seconds[24];

    if (!offer) {
        answer_busy(job->exchange, "too many offers are under way");
        return NULL;
    }
    full = full || offer->doubt;
    wait_ms = full && job->head.held ? full_wait_ms(desk, offer) : 0;
    if (wait_ms) {
        snprintf(seconds, sizeof(seconds), "%llu", (unsigned long long)(wait_ms / 1000 + 1));
        exchange_set_header(job->exchange, "Retry-After", seconds);
        exchange_problem(job->exchange, 429, "Too Many Requests",
                         "one full transfer an hour is taken of a feed [SYNC-6]");
        return NULL;
    }
    if (!offer->running) {
        offer->open = true;
        offer->full = full;
        offer->base = full ? 0 : job->head.checkpoint.size;
        offer->checkpoint = job->offered;
    }
    offer_touch(desk, offer);
    return offer;
}

/* ---- where a transfer would go on: what an earlier one left in its stage counts ---- */

struct probe_job {
    struct node *node;
    struct http_exchange *exchange;
    char feed[FEED_NAME_MAX_SIZE + 1];
    char peer[ORIGIN_MAX_SIZE + 1];
    bool full;
    uint64_t epoch, base, entries_max, position;
    int code;
    struct fault fault;
};

static void run_probe(void *state, void *context)
{
    struct probe_job *job = context;
    struct stage_plan plan = {.feed = job->feed,
                              .source = job->peer,
                              .full = job->full,
                              .epoch = job->epoch,
                              .since = job->base,
                              .entries_max = job->entries_max};
    struct stage *stage = NULL;

    job->code = stage_open(state, &plan, &stage, &job->position, &job->fault);
    if (!job->code)
        stage_keep(stage);
}

static void done_probe(void *context)
{
    struct probe_job *job = context;

    if (job->code ==
        KAART_BUSY) /* its stage is being filled: where it began will do, the transfer is refused with 409 */
        job->position = job->base;
    if (!job->code || job->code == KAART_BUSY) {
        answer_position(job->exchange, job->epoch, job->position, true);
    } else {
        log_debug("sync", "no stage for feed=%s peer=%s: %s", job->feed, job->peer, job->fault.text);
        answer_busy(job->exchange, "the held state is moving");
    }
    exchange_release(job->exchange);
    free(job);
}

static void probe(struct head_job *from, const struct offer *offer)
{
    struct probe_job *job = calloc(1, sizeof(*job));

    if (!job) {
        answer_busy(from->exchange, "no memory");
        return;
    }
    job->node = from->node;
    job->exchange = from->exchange;
    memcpy(job->feed, offer->feed, sizeof(job->feed));
    memcpy(job->peer, offer->peer, sizeof(job->peer));
    job->full = offer->full;
    job->epoch = offer->checkpoint.epoch;
    job->base = offer->base;
    job->entries_max = entries_max(offer);
    exchange_hold(job->exchange);
    if (worker_post(from->node->writer, run_probe, done_probe, job) == KAART_OK)
        return;
    answer_busy(job->exchange, "too many transfers wait for the store");
    exchange_release(job->exchange);
    free(job);
}

static enum checkpoint_relation relation_of(const struct head_job *job)
{
    return job->head.held ? checkpoint_compare(&job->head.checkpoint, &job->offered) : CHECKPOINT_FULL;
}

/* What an offer means, and the answer to it. */
static void decide(struct head_job *job)
{
    struct node *node = job->node;
    const struct checkpoint *held = &job->head.checkpoint;
    enum checkpoint_relation relation = relation_of(job);
    bool own = access_is_own(node, job->feed), full = relation == CHECKPOINT_FULL;
    bool newer = full || relation == CHECKPOINT_NEWER || relation == CHECKPOINT_HEARTBEAT;
    struct offer *offer;

    if (relation == CHECKPOINT_FORK && !own && !job->head.frozen[0])
        freeze(job);
    if (job->head.frozen[0] && job->offered.epoch <= held->epoch) /* [DEATH-6] */
        newer = false;
    if (newer && !own && !can_pull(node, job->feed)) {
        offer = open_offer(job, full);
        if (offer)
            probe(job, offer);
        return;
    }
    if (own && relation != CHECKPOINT_SAME) /* an own head we do not know is the guard's business */
        sync_own_seen(node->sync, job->feed, &job->offered);
    else if (newer)
        sync_hint(node->sync, job->feed);
    if (full && job->head.held)
        answer_position(job->exchange, job->offered.epoch, 0, false); /* [PUSH-2] */
    else
        answer_position(job->exchange, held->epoch, held->size, false);
}

static void done_offer(void *context)
{
    struct head_job *job = context;

    if (!head_failed(job) && !exchange_gone(job->exchange))
        decide(job);
    job_free(job);
}

/* The caller and the keys, if this caller may push this feed; NULL: 404 was answered [PUSH-1]. */
static const struct config_peer *admit(struct node *node, struct http_exchange *exchange, const char *feed,
                                       struct verifier_key keys[FEED_KEYS_MAX], size_t *key_count)
{
    const struct config_peer *caller = access_caller(node, exchange);
    size_t origin = strcspn(feed, "/");

    *key_count = caller ? config_feed_keys(node->config, feed, keys) : 0;
    /* A restricted feed comes from its origin and from nobody else [HTTP-9]. */
    if (*key_count && (access_is_public(feed) ||
                       (strlen(caller->name) == origin && strncmp(caller->name, feed, origin) == 0)))
        return caller;
    access_not_found(exchange);
    return NULL;
}

static void on_note(void *context, struct http_exchange *exchange, const char *bytes, size_t size)
{
    struct node *node = context;
    struct verifier_key keys[FEED_KEYS_MAX];
    char feed[FEED_NAME_MAX_SIZE + 1];
    const char *what;
    const struct config_peer *caller;
    struct checkpoint offered;
    struct head_job *job;
    struct fault fault;
    size_t key_count;

    if (!access_feed_path(exchange_path(exchange), feed, &what)) {
        access_not_found(exchange);
        return;
    }
    caller = admit(node, exchange, feed, keys,
                   &key_count); /* once more: the configuration may be another by now */
    if (!caller)
        return;
    if (checkpoint_open(bytes, size, feed, keys, key_count, &offered, &fault) != KAART_OK) {
        log_warning("sync", "%s pushes a head of %s that does not verify: %s", caller->name, feed,
                    fault.text);
        exchange_problem(exchange, 400, "Bad Request", "the note does not open: %s", fault.text);
        return;
    }
    job = head_job_new(node, exchange, feed, caller->name);
    if (job)
        job->note = strndup(bytes, size);
    if (!job || !job->note) {
        answer_busy(exchange, "no memory");
        if (job)
            job_free(job);
        return;
    }
    job->offered = offered;
    head_job_post(job, done_offer);
}

/* ---- POST changes ---- */

static void log_result(const struct offer *offer, const struct push_result *result)
{
    switch (result->outcome) {
    case PUSH_OUTCOME_TAKEN:
        log_info("sync", "taken push feed=%s peer=%s epoch=%llu size=%llu entries=%llu", offer->feed,
                 offer->peer, (unsigned long long)result->head->epoch, (unsigned long long)result->head->size,
                 (unsigned long long)result->entries);
        break;
    case PUSH_OUTCOME_REFUSED:
        log_warning("sync", "refused push feed=%s peer=%s: %s", offer->feed, offer->peer, result->fault.text);
        break;
    case PUSH_OUTCOME_LOCAL:
        log_error("sync", "cannot take push feed=%s peer=%s: %s", offer->feed, offer->peer,
                  result->fault.text);
        break;
    default:
        log_debug("sync", "push feed=%s peer=%s outcome=%d position=%llu", offer->feed, offer->peer,
                  (int)result->outcome, (unsigned long long)result->position);
        break;
    }
}

/* The offer after a transfer: closed, unless it goes on. */
static void settle(struct push_desk *desk, struct offer *offer, const struct push_result *result)
{
    bool refused = result->outcome == PUSH_OUTCOME_REFUSED, taken = result->outcome == PUSH_OUTCOME_TAKEN;

    offer->running = false;
    offer_touch(desk, offer);
    if (refused || taken || result->outcome == PUSH_OUTCOME_STALE)
        offer->open = false;
    if ((refused || taken) && offer->full)
        offer->full_ms = offer->used_ms;
    if (refused && result->code == KAART_ROOT && !offer->full)
        offer->doubt = true;
    if (taken)
        offer->doubt = false;
}

static void answer_result(struct push_desk *desk, struct offer *offer, struct http_exchange *exchange,
                          const struct push_result *result)
{
    switch (result->outcome) {
    case PUSH_OUTCOME_PAGE:
        answer_position(exchange, offer->checkpoint.epoch, result->position, true);
        break;
    case PUSH_OUTCOME_TAKEN:
        answer_position(exchange, result->head->epoch, result->position, false);
        break;
    case PUSH_OUTCOME_POSITION:
        answer_conflict(exchange, offer->checkpoint.epoch, result->position,
                        "the transfer goes on at another position");
        break;
    case PUSH_OUTCOME_STALE:
        conflict(desk->node, exchange, offer->feed, "the held state has moved; offer the checkpoint again");
        break;
    case PUSH_OUTCOME_BUSY:
        conflict(desk->node, exchange, offer->feed, "another transfer of this feed is under way");
        break;
    case PUSH_OUTCOME_REFUSED:
        exchange_problem(exchange, 400, "Bad Request", "%s", result->fault.text);
        break;
    case PUSH_OUTCOME_LOCAL:
        answer_busy(exchange, "the store cannot take this at the moment");
        break;
    case PUSH_OUTCOME_BROKEN:
        break;
    }
}

static void on_transfer_done(void *context, struct http_exchange *exchange, const struct push_result *result)
{
    struct offer *offer = context;
    struct node *node = offer->desk->node;

    log_result(offer, result);
    settle(offer->desk, offer, result);
    answer_result(offer->desk, offer, exchange, result);
    if (!node->sync) /* the node is stopping: after the next start everybody reads the heads anyway */
        return;
    if (result->outcome == PUSH_OUTCOME_TAKEN || result->code == KAART_FORK) /* a fork may erase [DEATH-7] */
        node_feed_changed(node, offer->feed);
    if (result->outcome == PUSH_OUTCOME_TAKEN || result->code == KAART_FORK) /* a fork has frozen it */
        sync_head_moved(node->sync, offer->feed);
}

static void begin_transfer(struct node *node, struct http_exchange *exchange, struct offer *offer,
                           uint64_t since, const struct verifier_key *keys, size_t key_count)
{
    struct push_transfer_plan plan = {.full = offer->full,
                                      .epoch = offer->checkpoint.epoch,
                                      .base = offer->base,
                                      .since = since,
                                      .entries_max = entries_max(offer),
                                      .offered = offer->checkpoint,
                                      .key_count = key_count};
    struct push_transfer *transfer;

    memcpy(plan.feed, offer->feed, sizeof(plan.feed));
    memcpy(plan.source, offer->peer, sizeof(plan.source));
    memcpy(plan.keys, keys, key_count * sizeof(*keys));
    if (push_transfer_start(node, exchange, &plan, on_transfer_done, offer, &transfer) != KAART_OK) {
        answer_busy(exchange, "too many transfers wait for the store");
        return;
    }
    offer->running = true;
    offer_touch(offer->desk, offer);
}

static void take_changes(struct node *node, struct http_exchange *exchange, const char *feed)
{
    struct verifier_key keys[FEED_KEYS_MAX];
    size_t key_count;
    const struct config_peer *caller = admit(node, exchange, feed, keys, &key_count);
    struct push_desk *desk = desk_of(node);
    struct offer *offer;
    uint64_t epoch, since;

    if (!caller || !access_range(exchange, &epoch, &since))
        return;
    if (!desk) {
        answer_busy(exchange, "no memory");
        return;
    }
    offer = offer_find(desk, feed, caller->name);
    if (!offer || !offer->open || offer->checkpoint.epoch != epoch)
        conflict(node, exchange, feed, "offer a newer checkpoint of this epoch first [PUSH-5]");
    else if (feed_is_busy(desk, feed))
        conflict(node, exchange, feed, "another transfer of this feed is under way [PUSH-5]");
    else
        begin_transfer(node, exchange, offer, since, keys, key_count);
}

/* ---- the way in ---- */

static bool has_type(struct http_exchange *exchange, const char *type)
{
    const char *value = exchange_header(exchange, "Content-Type");
    size_t size = value ? strcspn(value, "; \t") : 0;

    if (size == strlen(type) && strncasecmp(value, type, size) == 0)
        return true;
    exchange_problem(exchange, 415, "Unsupported Media Type", "this resource takes %s", type);
    return false;
}

bool push_api_handle(struct node *node, struct http_exchange *exchange)
{
    struct verifier_key keys[FEED_KEYS_MAX];
    char feed[FEED_NAME_MAX_SIZE + 1];
    const char *what;
    size_t key_count;

    if (strcmp(exchange_method(exchange), "POST") != 0 ||
        !access_feed_path(exchange_path(exchange), feed, &what))
        return false;
    if (strcmp(what, "checkpoint") == 0) {
        if (admit(node, exchange, feed, keys, &key_count) && has_type(exchange, "text/plain"))
            exchange_collect(exchange, NOTE_SIZE_MAX, on_note, node);
        return true;
    }
    if (strcmp(what, "changes") != 0)
        return false;
    if (admit(node, exchange, feed, keys, &key_count) && has_type(exchange, "application/x-ndjson"))
        take_changes(node, exchange, feed);
    return true;
}
