/*
 * pusher.c - one feed and one peer that is told of its heads: the shell around protocol/push.h.
 *
 *   head moved, alarm ---> machine ---> offer: POST checkpoint ---------------------------> answer ---> machine
 *                                  ---> send: a page from the reader ---> POST changes ---> answer ---> machine
 */
#include "daemon/sync/sync_internal.h"

#include "daemon/log.h"
#include "protocol/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One page that is pushed: smaller than one that is pulled, since the receiver's side has it in memory and slow uplinks should see progress. */
#define PUSH_PAGE_SIZE (1024u * 1024)

/* {"epoch":E,"position":N,"wanted":B} and a problem document are some hundred bytes. */
#define PUSH_ANSWER_MAX 8192

struct pusher {
    struct pusher *next;
    struct sync *sync;
    struct sync_peer *peer;
    char feed[FEED_NAME_MAX_SIZE + 1];
    struct push *machine;
    struct alarm alarm;
    struct request *request;
    uint64_t page; /* number of the page read that is waited for; 0: none */
    enum push_condition told;
};

/* Numbers page reads, so that one which comes back after its pusher was let go of finds nobody home. Loop thread only. */
static uint64_t pages_asked;

static void hand(struct pusher *pusher, struct push_event *event);

static void hand_failure(struct pusher *pusher, int code, int64_t retry_after_ms, const char *text)
{
    struct push_event event = {
        .type = PUSH_FAILED, .code = code, .retry_after_ms = retry_after_ms, .text = text};

    hand(pusher, &event);
}

/* ---- answers ---- */

static bool take_number(const cJSON *object, const char *name, uint64_t *out)
{
    const cJSON *item = json_get(object, name);

    if (!cJSON_IsNumber(item) || item->valuedouble < 0 || item->valuedouble > (double)JSON_INTEGER_MAX)
        return false;
    *out = (uint64_t)item->valuedouble;
    return true;
}

/* `epoch` and `position` of an answer [PUSH-2] or a conflict [PUSH-5]. */
static bool parse_position(const struct request_result *result, struct push_event *event)
{
    struct fault ignored;
    cJSON *answer = json_parse(result->body, result->size, &ignored);
    bool good = answer && take_number(answer, "epoch", &event->epoch) &&
                take_number(answer, "position", &event->position);

    event->wanted = good && cJSON_IsTrue(json_get(answer, "wanted"));
    cJSON_Delete(answer);
    return good;
}

static void on_done(void *context, const struct request_result *result)
{
    struct pusher *pusher = context;
    struct push_event event = {
        .type = PUSH_ANSWERED, .text = result->text, .retry_after_ms = result->retry_after_ms};

    pusher->request = NULL;
    pusher->peer->bytes_in += result->received_bytes;
    if (result->code) {
        hand_failure(pusher, result->code, 0, result->text);
    } else if (result->status == 200 && parse_position(result, &event)) {
        if (!event
                 .wanted) /* [PUSH-2], [PUSH-6]: else it may be the position of a transfer, which shows nothing yet */
            shown_take(pusher->sync, pusher->peer, pusher->feed, event.epoch, event.position);
        hand(pusher, &event);
    } else if (result->status == 200) {
        hand_failure(pusher, KAART_SYNTAX, 0, "the answer has no epoch and position (spec/feed.md [PUSH-2])");
    } else if (result->status == 409 && parse_position(result, &event)) {
        event.type = PUSH_CONFLICT;
        hand(pusher, &event);
    } else if (result->status == 404) {
        event.type = PUSH_UNKNOWN;
        hand(pusher, &event);
    } else if (result->status == 429 || result->status >= 500) {
        hand_failure(pusher, KAART_BUSY, result->retry_after_ms, result->text);
    } else {
        hand_failure(pusher, KAART_INVALID, result->retry_after_ms, result->text);
    }
}

/* ---- requests ---- */

static void offer(struct pusher *pusher)
{
    const struct head *head = heads_find(pusher->sync, pusher->feed);
    struct fault fault;

    if (!head || !head->note) {
        hand_failure(pusher, KAART_IO, 0, "there is no head to offer");
        return;
    }
    const struct request_options options = {.peer = pusher->peer->name,
                                            .method = "POST",
                                            .feed = pusher->feed,
                                            .what = "checkpoint",
                                            .content_type = "text/plain; charset=utf-8",
                                            .body = head->note,
                                            .body_size = head->note_size,
                                            .size_max = PUSH_ANSWER_MAX,
                                            .small_max = PUSH_ANSWER_MAX,
                                            .done = on_done,
                                            .context = pusher};
    if (request_start(pusher->sync, &options, &pusher->request, &fault))
        hand_failure(pusher, KAART_IO, 0, fault.text);
}

struct page_job {
    struct job job;
    uint64_t number;
    char peer[ORIGIN_MAX_SIZE + 1];
    char feed[FEED_NAME_MAX_SIZE + 1];
    uint64_t epoch, since;
    struct feeds_page page;
    int code;
    struct fault fault;
};

static void run_page(struct feeds *feeds, struct job *base)
{
    struct page_job *job = (struct page_job *)base;

    job->code = feeds_page(feeds, job->feed, job->epoch, job->since, PUSH_PAGE_SIZE, &job->page, &job->fault);
}

static void send_page(struct pusher *pusher, const struct page_job *job)
{
    const struct request_options options = {.peer = pusher->peer->name,
                                            .method = "POST",
                                            .feed = pusher->feed,
                                            .what = "changes",
                                            .ranged = true,
                                            .epoch = job->epoch,
                                            .since = job->since,
                                            .content_type = "application/x-ndjson",
                                            .body = job->page.bytes,
                                            .body_size = job->page.size,
                                            .size_max = PUSH_ANSWER_MAX,
                                            .small_max = PUSH_ANSWER_MAX,
                                            .done = on_done,
                                            .context = pusher};
    struct fault fault;

    if (request_start(pusher->sync, &options, &pusher->request, &fault))
        hand_failure(pusher, KAART_IO, 0, fault.text);
}

static void done_page(struct job *base)
{
    struct page_job *job = (struct page_job *)base;
    struct sync_peer *peer = sync_peer_find(base->sync, job->peer);
    struct pusher *pusher = peer ? peer->pushers : NULL;

    while (pusher && pusher->page != job->number)
        pusher = pusher->next;
    if (pusher) {
        pusher->page = 0;
        if (job->code)
            hand_failure(pusher, KAART_IO, 0, job->fault.text);
        else
            send_page(pusher, job);
    }
    if (job->code == KAART_OK)
        free(job->page.bytes);
    free(job);
}

static void read_page(struct pusher *pusher, const struct push_effect *effect)
{
    struct page_job *job = calloc(1, sizeof(*job));

    if (!job) {
        hand_failure(pusher, KAART_NOMEM, 0, "no memory for a page");
        return;
    }
    job->number = pusher->page = ++pages_asked;
    snprintf(job->peer, sizeof(job->peer), "%s", pusher->peer->name);
    snprintf(job->feed, sizeof(job->feed), "%s", pusher->feed);
    job->epoch = effect->epoch;
    job->since = effect->since;
    job->job.run = run_page;
    job->job.done = done_page;
    job_post(pusher->sync, JOB_READER, &job->job);
}

/* ---- effects ---- */

static void tell_log(struct pusher *pusher)
{
    struct push_status status;
    char text[PUSH_EXPLAIN_SIZE];

    push_get_status(pusher->machine, &status);
    if (status.condition == pusher->told)
        return;
    pusher->told = status.condition;
    push_explain(pusher->machine, sync_clock(pusher->sync), text);
    if (status.condition == PUSH_CONDITION_UNREACHABLE || status.condition == PUSH_CONDITION_REFUSED) {
        log_warning("sync", "%s to %s: %s", pusher->feed, pusher->peer->name, text);
        peer_note_error(pusher->sync, pusher->peer, "push of %s: %s", pusher->feed, text);
    } else {
        log_debug("sync", "%s to %s: %s", pusher->feed, pusher->peer->name, text);
    }
}

static void carry_out(struct pusher *pusher, const struct push_effect *effect)
{
    struct sync *sync = pusher->sync;

    if (effect->ahead && sync_feed_of(pusher->feed, sync->node->config->node.name))
        guards_suspect(sync, pusher->feed, pusher->peer->name);
    switch (effect->action) {
    case PUSH_GO_ON:
        break;
    case PUSH_REST:
        alarm_clear(sync->alarms, &pusher->alarm);
        tell_log(pusher);
        break;
    case PUSH_WAIT_UNTIL:
        alarm_set(sync->alarms, &pusher->alarm, effect->at_ms);
        tell_log(pusher);
        break;
    case PUSH_OFFER:
        alarm_clear(sync->alarms, &pusher->alarm);
        offer(pusher);
        break;
    case PUSH_SEND:
        read_page(pusher, effect);
        break;
    }
}

static void hand(struct pusher *pusher, struct push_event *event)
{
    struct push_effect effect;

    event->now_ms = sync_clock(pusher->sync);
    event->random = node_random32();
    push_handle(pusher->machine, event, &effect);
    carry_out(pusher, &effect);
}

static void on_alarm(void *context)
{
    struct push_event event = {.type = PUSH_TICK};

    hand(context, &event);
}

/* ---- life ---- */

struct pusher *pusher_new(struct sync *sync, struct sync_peer *peer, const char *feed)
{
    struct pusher *pusher = calloc(1, sizeof(*pusher));
    const struct head *head = heads_find(sync, feed);

    if (!pusher)
        return NULL;
    pusher->machine = push_new();
    if (!pusher->machine) {
        free(pusher);
        return NULL;
    }
    pusher->sync = sync;
    pusher->peer = peer;
    snprintf(pusher->feed, sizeof(pusher->feed), "%s", feed);
    pusher->alarm.ring = on_alarm;
    pusher->alarm.context = pusher;
    if (head)
        pusher_head_moved(pusher, head);
    return pusher;
}

void pusher_free(struct pusher *pusher)
{
    if (!pusher)
        return;
    alarm_clear(pusher->sync->alarms, &pusher->alarm);
    request_abandon(pusher->request);
    push_free(pusher->machine);
    free(pusher);
}

void pusher_head_moved(struct pusher *pusher, const struct head *head)
{
    struct push_event event = {.type = PUSH_CHANGED, .checkpoint = &head->held.checkpoint};

    if (head->held.held && !head->held.frozen)
        hand(pusher, &event);
}

void pusher_now(struct pusher *pusher)
{
    struct push_event event = {.type = PUSH_NOW};

    hand(pusher, &event);
}

const char *pusher_feed(const struct pusher *pusher)
{
    return pusher->feed;
}

struct pusher **pusher_link(struct pusher *pusher)
{
    return &pusher->next;
}

cJSON *pusher_status(const struct pusher *pusher)
{
    struct sync *sync = pusher->sync;
    struct push_status status;
    char text[PUSH_EXPLAIN_SIZE];
    cJSON *object = cJSON_CreateObject();

    push_get_status(pusher->machine, &status);
    push_explain(pusher->machine, sync_clock(sync), text);
    cJSON_AddStringToObject(object, "feed", pusher->feed);
    cJSON_AddStringToObject(object, "state", push_condition_name(status.condition));
    cJSON_AddStringToObject(object, "detail", text);
    cJSON_AddNumberToObject(object, "failures", status.failures);
    sync_add_time(sync, object, "lastSuccess", status.last_success_ms);
    sync_add_time(sync, object, "nextAttempt", status.next_ms);
    if (status.peer_epoch) {
        cJSON *position = cJSON_AddObjectToObject(object, "position");
        cJSON_AddNumberToObject(position, "epoch", (double)status.peer_epoch);
        cJSON_AddNumberToObject(position, "size", (double)status.peer_position);
    }
    return object;
}
