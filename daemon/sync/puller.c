/*
 * puller.c - one feed at one peer, pulled: the shell around protocol/pull.h. The machine decides; here are the timer, the request and the stage.
 *
 *   alarm ------------> machine ------------> request (after its turn for one of the peer's slots)
 *      ^                  ^  |                   |
 *      |                  |  v                   v answer
 *      +--- wait <--- effects <--- events <------+-----> staging ---> writer
 *
 * How an answer to GET changes is read:
 *   a stage is open           every byte goes to the stage
 *   none is                   the first bytes tell: a checkpoint line alone is collected and read here, at no cost to the writer;
 *                             entries are held (the connection pauses) until the machine has had a stage opened
 */
#include "daemon/sync/sync_internal.h"

#include "daemon/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A line that begins so is a control line: entries have no member of that name [ENTRY-6]. */
#define CHECKPOINT_START "{\"checkpoint\":"
#define CHECKPOINT_START_SIZE (sizeof(CHECKPOINT_START) - 1)

/* Taking an own feed back: polls of the machine follow each other quickly, and end after so many. */
#define ONCE_EVERY_MS 1000
#define ONCE_ROUNDS 4

enum answer {
    ANSWER_UNDECIDED, /* not enough bytes yet to tell */
    ANSWER_SMALL,     /* collected in `small` */
    ANSWER_HELD,      /* entries, of which the first stand in `small`; the rest waits in the connection */
    ANSWER_STAGED,    /* goes to the stage */
};

struct puller {
    struct puller *next; /* in its peer's list */
    struct puller *next_in_queue;
    struct sync *sync;
    struct sync_peer *peer;
    char feed[FEED_NAME_MAX_SIZE + 1];
    struct pull *machine;
    struct alarm alarm;
    bool gone;
    unsigned entered; /* depth of calls into the machine's effects, so that it is not freed under them */

    /* the effect that waits for a slot */
    bool has_slot, queued;
    struct pull_effect asked;

    /* the running request */
    struct request *request;
    enum answer answer;
    char *small;
    size_t small_size;
    bool answered; /* the response is complete while its bytes wait for a stage */
    int broken;    /* ... or it broke off meanwhile, with this code */
    struct fault broken_fault;

    struct staging *staging;
    struct checkpoint head; /* reached, to be committed */

    char *note, *first_note; /* last offered; the one that began a full sync */
    size_t note_size;
    char key[64 + ORIGIN_MAX_SIZE + FEED_NAME_MAX_SIZE]; /* of what is remembered across restarts */

    /* once */
    bool own;
    void (*finished)(void *context, int code, const char *text);
    void *finished_context;
    unsigned rounds;

    enum pull_condition told; /* last logged */
    unsigned told_failures;
};

static void hand(struct puller *puller, struct pull_event *event);
static void leave(struct puller *puller);

/* ---- events ---- */

static void hand_type(struct puller *puller, enum pull_event_type type)
{
    struct pull_event event = {.type = type};

    hand(puller, &event);
}

/* The store's texts begin with the feed, which is said already wherever they are shown. */
static const char *without_feed(const struct puller *puller, const char *text)
{
    size_t size = strlen(puller->feed);

    return text && strncmp(text, puller->feed, size) == 0 && strncmp(text + size, ": ", 2) == 0
               ? text + size + 2
               : text;
}

static void hand_failure(struct puller *puller, enum pull_event_type type, int code, bool local,
                         int64_t retry_after_ms, const char *text)
{
    struct pull_event event = {.type = type,
                               .code = code,
                               .local = local,
                               .retry_after_ms = retry_after_ms,
                               .text = without_feed(puller, text)};

    hand(puller, &event);
}

/* ---- answers ---- */

/* Opens the note that came and keeps its bytes: it may become the proof of a fork. False: failed, and the machine knows. */
static bool take_note(struct puller *puller, const char *note, size_t size, struct checkpoint *out)
{
    struct fault fault;
    int code = sync_open_note(puller->sync, puller->feed, note, size, out, &fault);
    char *copy;

    if (code) {
        hand_failure(puller, PULL_FAILED, code, code == KAART_NOMEM, 0, fault.text);
        return false;
    }
    copy = malloc(size + 1);
    if (!copy) {
        hand_failure(puller, PULL_FAILED, KAART_NOMEM, true, 0, "no memory");
        return false;
    }
    memcpy(copy, note, size);
    copy[size] = '\0';
    free(puller->note);
    puller->note = copy;
    puller->note_size = size;
    return true;
}

static void hand_note(struct puller *puller, enum pull_event_type type, const char *note, size_t size,
                      uint64_t entries)
{
    struct pull_event event = {.type = type, .entries = entries};
    struct checkpoint checkpoint;

    if (!take_note(puller, note, size, &checkpoint))
        return;
    puller->head = checkpoint;
    event.checkpoint = &puller->head;
    hand(puller, &event);
}

static void drop_small(struct puller *puller)
{
    free(puller->small);
    puller->small = NULL;
    puller->small_size = 0;
}

/* An answer that was a checkpoint line alone. */
static void on_small(struct puller *puller)
{
    struct fault fault;
    char *note = NULL;
    size_t size = 0;
    int code;

    code =
        sync_parse_head_line(puller->small ? puller->small : "", puller->small_size, 0, &note, &size, &fault);
    if (code)
        hand_failure(puller, PULL_FAILED, code, code == KAART_NOMEM, 0, fault.text);
    else
        hand_note(puller, PULL_OFFERED, note, size, 0);
    free(note);
}

static bool keep_small(struct puller *puller, const char *bytes, size_t size, size_t most)
{
    char *small;

    if (size > most - puller->small_size)
        return false;
    small = realloc(puller->small, puller->small_size + size + 1);
    if (!small)
        return false;
    memcpy(small + puller->small_size, bytes, size);
    puller->small = small;
    puller->small_size += size;
    small[puller->small_size] = '\0';
    return true;
}

static void too_large(struct puller *puller)
{
    request_abandon(puller->request);
    puller->request = NULL;
    hand_failure(puller, PULL_FAILED, KAART_LIMIT, false, 0,
                 "a checkpoint line larger than a note can be (spec/feed.md [NOTE-1])");
}

/* Bytes of an answer to GET changes. False: come again. */
static bool on_data(void *context, const char *bytes, size_t size)
{
    struct puller *puller = context;

    switch (puller->answer) {
    case ANSWER_STAGED:
        return staging_write(puller->staging, bytes, size);
    case ANSWER_HELD:
        return false;
    case ANSWER_SMALL:
        if (!keep_small(puller, bytes, size, SMALL_ANSWER_MAX))
            too_large(puller);
        return true;
    case ANSWER_UNDECIDED:
        break;
    }
    /* One piece from the connection always fits: it is 16 KiB or so. */
    if (!keep_small(puller, bytes, size, (size_t)RESPONSE_SIZE_MAX)) {
        too_large(puller);
        return true;
    }
    if (puller->small_size < CHECKPOINT_START_SIZE)
        return true;
    if (memcmp(puller->small, CHECKPOINT_START, CHECKPOINT_START_SIZE) == 0) {
        puller->answer = ANSWER_SMALL;
        if (puller->small_size > SMALL_ANSWER_MAX)
            too_large(puller);
        return true;
    }
    puller->answer = ANSWER_HELD;
    hand_type(puller, PULL_ENTRIES);
    return true;
}

/* The response is whole, status 200. */
static void on_whole(struct puller *puller)
{
    puller->answered = true; /* if the machine has a stage opened for it, bytes and end go there */
    switch (puller->answer) {
    case ANSWER_STAGED:
        staging_end_response(puller->staging);
        break;
    case ANSWER_HELD:
        break;
    default:
        on_small(puller);
        break;
    }
}

static void fail_status(struct puller *puller, const struct request_result *result)
{
    int code = result->status == 429 || result->status == 503 ? KAART_BUSY : KAART_IO;

    hand_failure(puller, PULL_FAILED, code, false, result->retry_after_ms, result->text);
}

static void on_done(void *context, const struct request_result *result)
{
    struct puller *puller = context;
    bool checkpoint = puller->asked.action == PULL_ASK_CHECKPOINT;

    puller->request = NULL;
    puller->peer->bytes_in += result->received_bytes;
    if (result->code && puller->answer == ANSWER_HELD) {
        puller->broken = result->code; /* told when the stage is open and has what came before */
        fault_set(&puller->broken_fault, result->code, "%s", result->text);
    } else if (result->code) {
        hand_failure(puller, PULL_FAILED, result->code, result->code == KAART_NOMEM, 0, result->text);
    } else if (result->status == 404) {
        hand_type(puller, PULL_ABSENT);
    } else if (result->status == 304) {
        hand_type(puller, PULL_NOT_MODIFIED);
    } else if (result->status != 200) {
        fail_status(puller, result);
    } else if (checkpoint) {
        hand_note(puller, PULL_OFFERED, result->body, result->size, 0);
    } else {
        on_whole(puller);
    }
}

/* ---- requests, and the turn for a slot ---- */

static void ask(struct puller *puller)
{
    const struct head *head = heads_find(puller->sync, puller->feed);
    bool changes = puller->asked.action == PULL_ASK_CHANGES;
    struct request_options options = {.peer = puller->peer->name,
                                      .method = "GET",
                                      .feed = puller->feed,
                                      .what = changes ? "changes" : "checkpoint",
                                      .ranged = changes,
                                      .epoch = puller->asked.epoch,
                                      .since = puller->asked.since,
                                      .if_none_match = puller->asked.conditional && head ? head->etag : NULL,
                                      .size_max = changes ? RESPONSE_SIZE_MAX : NOTE_SIZE_MAX + 1,
                                      .small_max = NOTE_SIZE_MAX + 1,
                                      .data = changes ? on_data : NULL,
                                      .done = on_done,
                                      .context = puller};
    struct fault fault;
    int code;

    drop_small(puller);
    puller->answered = false;
    puller->broken = KAART_OK;
    puller->answer = changes && puller->staging ? ANSWER_STAGED : ANSWER_UNDECIDED;
    code = request_start(puller->sync, &options, &puller->request, &fault);
    if (code)
        hand_failure(puller, PULL_FAILED, KAART_IO, code == KAART_NOMEM, 0, fault.text);
}

static void ask_in_turn(struct puller *puller, const struct pull_effect *effect)
{
    struct sync_peer *peer = puller->peer;

    request_abandon(puller->request);
    puller->request = NULL;
    puller->asked = *effect;
    if (puller->has_slot) {
        ask(puller);
    } else if (peer->slots_used < PEER_SLOTS) {
        peer->slots_used++;
        puller->has_slot = true;
        ask(puller);
    } else if (!puller->queued) {
        puller->queued = true;
        puller->next_in_queue = NULL;
        *peer->waiting_end = puller;
        peer->waiting_end = &puller->next_in_queue;
    }
}

void puller_slot_free(struct puller *puller)
{
    puller->queued = false;
    puller->has_slot = true;
    puller->peer->slots_used++;
    ask(puller);
}

static void leave_queue(struct puller *puller)
{
    struct sync_peer *peer = puller->peer;

    if (!puller->queued)
        return;
    puller->queued = false;
    for (struct puller **link = &peer->waiting; *link; link = &(*link)->next_in_queue)
        if (*link == puller) {
            *link = puller->next_in_queue;
            break;
        }
    peer->waiting_end = &peer->waiting;
    while (*peer->waiting_end)
        peer->waiting_end = &(*peer->waiting_end)->next_in_queue;
}

static void give_slot(struct puller *puller)
{
    struct sync_peer *peer = puller->peer;

    leave_queue(puller);
    if (!puller->has_slot)
        return;
    puller->has_slot = false;
    peer->slots_used--;
    if (peer->waiting && peer->slots_used < PEER_SLOTS) {
        struct puller *next = peer->waiting;
        peer->waiting = next->next_in_queue;
        if (!peer->waiting)
            peer->waiting_end = &peer->waiting;
        puller_slot_free(next);
    }
}

/* ---- the stage ---- */

static void on_opened(void *context, uint64_t since)
{
    struct pull_event event = {.type = PULL_STAGE_OPENED, .next = since};

    hand(context, &event);
}

static void on_staging_failed(void *context, int code, bool local, const char *text)
{
    struct puller *puller = context;

    request_abandon(puller->request);
    puller->request = NULL;
    if (code == KAART_FORK) /* the store froze the feed: that concerns whoever pulls it from elsewhere, too */
        node_feed_changed(puller->sync->node, puller->feed); /* and the map, for what it erased [DEATH-7] */
    puller->entered++;
    /* Which of the three waits for it is the machine's state; it ignores the two others. */
    hand_failure(puller, PULL_STAGE_FAILED, code, local, 0, text);
    hand_failure(puller, PULL_FAILED, code, local, 0, text);
    hand_failure(puller, PULL_COMMIT_REFUSED, code, local, 0, text);
    leave(puller);
}

static void on_ended(void *context, const struct stage_progress *progress)
{
    struct puller *puller = context;

    if (progress->complete) {
        hand_note(puller, PULL_HEAD_REACHED, progress->note, progress->note_size, progress->entries);
    } else {
        struct pull_event event = {.type = PULL_PAGE_ENDED, .next = progress->next};
        hand(puller, &event);
    }
}

static void on_committed(void *context, const struct feed_head *head)
{
    struct puller *puller = context;
    struct sync *sync = puller->sync;
    char feed[FEED_NAME_MAX_SIZE + 1];

    /* It is handed over before the others are told, so that the machine does not take the news for somebody else's. */
    heads_take(sync, head);
    const struct head *taken = heads_find(sync, puller->feed);
    struct pull_event event = {.type = PULL_COMMITTED, .held = taken ? &taken->held : NULL};
    memcpy(feed, puller->feed, sizeof(feed));
    log_info("sync", "%s: now at epoch %" PRIu64 " size %" PRIu64 " live %" PRIu64 ", from %s", feed,
             head->checkpoint.epoch, head->checkpoint.size, head->checkpoint.live, puller->peer->name);
    if (taken)
        hand(puller, &event);
    else
        hand_failure(puller, PULL_COMMIT_REFUSED, KAART_NOMEM, true, 0, "no memory");
    node_feed_changed(sync->node, feed);
}

static void on_drained(void *context)
{
    struct puller *puller = context;

    if (puller->request && puller->answer == ANSWER_STAGED)
        request_resume(puller->request);
}

static void open_stage(struct puller *puller, const struct pull_effect *effect)
{
    const struct stage_plan plan = {.feed = puller->feed,
                                    .source = puller->peer->name,
                                    .full = effect->full,
                                    .epoch = effect->epoch,
                                    .since = effect->since,
                                    .entries_max = effect->entries_max};
    const struct staging_events events = {.context = puller,
                                          .opened = on_opened,
                                          .failed = on_staging_failed,
                                          .ended = on_ended,
                                          .committed = on_committed,
                                          .drained = on_drained};

    if (effect->full) {
        free(puller->first_note);
        puller->first_note = puller->note ? strdup(puller->note) : NULL;
    }
    staging_drop(puller->staging);
    puller->staging = staging_open(puller->sync, &plan, &events);
    if (!puller->staging)
        hand_failure(puller, PULL_STAGE_FAILED, KAART_NOMEM, true, 0, "no memory");
}

/* What was held goes to the stage that is open now. */
static void take_held(struct puller *puller)
{
    puller->answer = ANSWER_STAGED;
    if (puller->small_size)
        staging_write(puller->staging, puller->small, puller->small_size);
    drop_small(puller);
    if (puller->request)
        request_resume(puller->request);
    else if (puller->answered)
        staging_end_response(puller->staging);
    else
        hand_failure(puller, PULL_FAILED, puller->broken ? puller->broken : KAART_IO,
                     puller->broken == KAART_NOMEM, 0, puller->broken_fault.text);
}

/* ---- effects ---- */

static void freeze(struct puller *puller, bool by_first)
{
    const struct head *head = heads_find(puller->sync, puller->feed);
    char reason[200];

    if (puller->own) /* the guard stops signing; nobody else's verdict is needed */
        return;
    snprintf(reason, sizeof(reason), "two histories: a head offered by %.100s contradicts %s",
             puller->peer->name, by_first ? "another one that it offered before" : "the one held");
    sync_freeze(puller->sync, puller->feed, reason,
                by_first ? puller->first_note : (head ? head->note : NULL), puller->note);
}

/* Says what changed for the operator, once: not every poll of a peer that is down. */
static void tell_log(struct puller *puller)
{
    struct pull_status status;
    char text[PULL_EXPLAIN_SIZE];
    int64_t now = sync_clock(puller->sync);

    pull_get_status(puller->machine, &status);
    if (status.last_success_ms > puller->peer->last_success_ms)
        puller->peer->last_success_ms = status.last_success_ms;
    if (status.condition == puller->told &&
        (status.condition != PULL_CONDITION_REFUSED || status.failures == puller->told_failures))
        return;
    puller->told = status.condition;
    puller->told_failures = status.failures;
    pull_explain(puller->machine, now, text);
    switch (status.condition) {
    case PULL_CONDITION_REFUSED:
    case PULL_CONDITION_FROZEN:
    case PULL_CONDITION_UNREACHABLE:
    case PULL_CONDITION_LOCAL:
        log_warning("sync", "%s from %s: %s", puller->feed, puller->peer->name, text);
        peer_note_error(puller->sync, puller->peer, "%s: %s", puller->feed, text);
        break;
    default:
        log_info("sync", "%s from %s: %s", puller->feed, puller->peer->name, text);
        break;
    }
}

/* Pulled once: is it over? */
static void check_finished(struct puller *puller)
{
    struct pull_status status;
    int code;

    pull_get_status(puller->machine, &status);
    if (status.condition == PULL_CONDITION_NEW)
        return;
    puller->rounds++;
    if (status.condition == PULL_CONDITION_IN_STEP || status.condition == PULL_CONDITION_BEHIND)
        code = KAART_OK;
    else if (status.condition == PULL_CONDITION_FROZEN)
        code = KAART_FORK;
    else if (puller->rounds < ONCE_ROUNDS && status.condition != PULL_CONDITION_UNREACHABLE &&
             status.condition != PULL_CONDITION_ABSENT)
        return; /* a delta that did not lead there gives way to a full sync */
    else
        code = status.code ? status.code : KAART_IO;
    void (*finished)(void *, int, const char *) = puller->finished;
    puller->finished = NULL;
    finished(puller->finished_context, code, status.text);
}

static void wait_for(struct puller *puller, int64_t at_ms)
{
    request_abandon(puller->request);
    puller->request = NULL;
    puller->answered = false;
    drop_small(puller);
    staging_drop(puller->staging); /* after keep, drop and commit there is none */
    puller->staging = NULL;
    alarm_set(puller->sync->alarms, &puller->alarm, at_ms);
    tell_log(puller);
    give_slot(puller);
    if (puller->finished)
        check_finished(puller);
}

static void remember(struct puller *puller)
{
    char text[PULL_MEMORY_SIZE];

    pull_memory(puller->machine, text);
    job_set_value(puller->sync, puller->key, text);
}

static void carry_out(struct puller *puller, const struct pull_effect *effect)
{
    if (effect->stage == PULL_STAGE_KEEP)
        staging_keep(puller->staging);
    else if (effect->stage == PULL_STAGE_DROP)
        staging_drop(puller->staging);
    if (effect->stage != PULL_STAGE_LEAVE)
        puller->staging = NULL;
    if (effect->freeze)
        freeze(puller, effect->by_first);
    if (effect->remember)
        remember(puller);
    switch (effect->action) {
    case PULL_GO_ON:
        break;
    case PULL_WAIT:
        wait_for(puller, effect->at_ms);
        break;
    case PULL_ASK_CHECKPOINT:
    case PULL_ASK_CHANGES:
        alarm_clear(puller->sync->alarms, &puller->alarm);
        ask_in_turn(puller, effect);
        break;
    case PULL_OPEN_STAGE:
        open_stage(puller, effect);
        break;
    case PULL_TAKE:
        take_held(puller);
        break;
    case PULL_COMMIT:
        staging_commit(puller->staging, &puller->head, puller->note, puller->note_size);
        break;
    }
}

static void destroy(struct puller *puller)
{
    pull_free(puller->machine);
    free(puller->note);
    free(puller->first_note);
    drop_small(puller);
    free(puller);
}

/* The last one out of a puller that was let go of frees it. */
static void leave(struct puller *puller)
{
    if (--puller->entered == 0 && puller->gone)
        destroy(puller);
}

static void hand(struct puller *puller, struct pull_event *event)
{
    struct pull_effect effect;

    if (puller->gone)
        return;
    event->now_ms = sync_clock(puller->sync);
    event->random = node_random32();
    puller->entered++;
    pull_handle(puller->machine, event, &effect);
    carry_out(puller, &effect);
    leave(puller);
}

/* ---- life ---- */

static void on_alarm(void *context)
{
    hand_type(context, PULL_TICK);
}

struct memory_job {
    struct job job;
    char peer[ORIGIN_MAX_SIZE + 1];
    char feed[FEED_NAME_MAX_SIZE + 1];
    char key[64 + ORIGIN_MAX_SIZE + FEED_NAME_MAX_SIZE];
    char *memory;
};

static void run_memory(struct feeds *feeds, struct job *base)
{
    struct memory_job *job = (struct memory_job *)base;
    struct fault ignored;

    if (feeds_get_value(feeds, job->key, &job->memory, &ignored))
        job->memory = NULL;
}

static struct pull_options options_of(const struct puller *puller)
{
    const struct config_peer *peer = config_peer(puller->sync->node->config, puller->peer->name);
    struct pull_options options = {.every_ms = peer && peer->pull_every_ms > 0 ? peer->pull_every_ms : 1,
                                   .full_every_ms = peer ? peer->full_sync_every_ms : 0};

    if (puller->own)
        options = (struct pull_options){.every_ms = ONCE_EVERY_MS, .full_every_ms = ONCE_EVERY_MS};
    return options;
}

/* The memory of before the restart is here: begin. */
static void start(struct puller *puller, const char *memory)
{
    const struct head *head = heads_find(puller->sync, puller->feed);
    const struct pull_held nothing = {.held = false};
    const struct pull_options options = options_of(puller);
    struct pull *machine =
        pull_new(&options, head ? &head->held : &nothing, memory, sync_clock(puller->sync));

    if (!machine)
        return; /* the one that waits without memory stays */
    pull_free(puller->machine);
    puller->machine = machine;
    hand_type(puller, PULL_TICK);
}

static void done_memory(struct job *base)
{
    struct memory_job *job = (struct memory_job *)base;
    struct sync_peer *peer = sync_peer_find(base->sync, job->peer);

    if (peer && !base->sync->stopping)
        for (struct puller *puller = peer->pullers; puller; puller = puller->next)
            if (strcmp(puller->feed, job->feed) == 0 && !puller->alarm.set && !puller->request &&
                !puller->queued)
                start(puller, job->memory);
    free(job->memory);
    free(job);
}

static struct puller *make(struct sync *sync, struct sync_peer *peer, const char *feed, bool own)
{
    struct puller *puller = calloc(1, sizeof(*puller));
    const struct pull_held nothing = {.held = false};

    if (!puller)
        return NULL;
    puller->sync = sync;
    puller->peer = peer;
    puller->own = own;
    puller->told = PULL_CONDITION_NEW;
    snprintf(puller->feed, sizeof(puller->feed), "%s", feed);
    snprintf(puller->key, sizeof(puller->key), "pull %s %s", peer->name, feed);
    puller->alarm.ring = on_alarm;
    puller->alarm.context = puller;
    const struct pull_options options = options_of(puller);
    puller->machine = pull_new(&options, &nothing, NULL, sync_clock(sync));
    if (!puller->machine) {
        free(puller);
        return NULL;
    }
    return puller;
}

struct puller *puller_new(struct sync *sync, struct sync_peer *peer, const char *feed)
{
    struct puller *puller = make(sync, peer, feed, false);
    struct memory_job *job = calloc(1, sizeof(*job));

    if (!puller || !job) {
        if (puller)
            destroy(puller);
        free(job);
        return NULL;
    }
    snprintf(job->peer, sizeof(job->peer), "%s", peer->name);
    snprintf(job->feed, sizeof(job->feed), "%s", feed);
    memcpy(job->key, puller->key, sizeof(job->key));
    job->job.run = run_memory;
    job->job.done = done_memory;
    job_post(sync, JOB_READER, &job->job);
    return puller;
}

struct puller *puller_new_once(struct sync *sync, struct sync_peer *peer, const char *feed,
                               void (*finished)(void *context, int code, const char *text), void *context)
{
    struct puller *puller = make(sync, peer, feed, true);

    if (!puller)
        return NULL;
    puller->finished = finished;
    puller->finished_context = context;
    start(puller, NULL);
    return puller;
}

void puller_free(struct puller *puller)
{
    struct pull_status status;

    if (!puller || puller->gone)
        return;
    puller->gone = true;
    pull_get_status(puller->machine, &status);
    for (size_t i = 0; i < PULL_CODES; i++)
        puller->peer->refusals[i] += status.refusals[i];
    alarm_clear(puller->sync->alarms, &puller->alarm);
    request_abandon(puller->request);
    puller->request = NULL;
    staging_keep(puller->staging);
    puller->staging = NULL;
    give_slot(puller);
    if (puller->entered == 0)
        destroy(puller);
}

void puller_reload(struct puller *puller)
{
    const struct pull_options options = options_of(puller);

    pull_set_options(puller->machine, &options);
    if (puller->alarm.set)
        hand_type(puller, PULL_HINTED); /* the new interval, keys or address take effect soon */
}

void puller_hint(struct puller *puller)
{
    if (puller->alarm.set || puller->request)
        hand_type(puller, PULL_HINTED);
}

void puller_now(struct puller *puller)
{
    if (puller->alarm.set || puller->request)
        hand_type(puller, PULL_WANTED);
}

void puller_head_moved(struct puller *puller, const struct head *head)
{
    struct pull_event event = {.type = PULL_HELD_MOVED, .held = &head->held};

    if (puller->alarm.set || puller->request || puller->staging || puller->queued)
        hand(puller, &event);
}

const char *puller_feed(const struct puller *puller)
{
    return puller->feed;
}

struct puller **puller_link(struct puller *puller)
{
    return &puller->next;
}

void puller_get_status(const struct puller *puller, struct pull_status *status)
{
    pull_get_status(puller->machine, status);
}

static void add_checkpoint(const struct sync *sync, cJSON *object, const char *name,
                           const struct checkpoint *checkpoint)
{
    cJSON *item = cJSON_AddObjectToObject(object, name);
    char time[SECONDS_TEXT_SIZE + 1];

    (void)sync;
    syntax_seconds_format(checkpoint->time_s, time);
    cJSON_AddNumberToObject(item, "epoch", (double)checkpoint->epoch);
    cJSON_AddNumberToObject(item, "size", (double)checkpoint->size);
    cJSON_AddNumberToObject(item, "live", (double)checkpoint->live);
    cJSON_AddStringToObject(item, "time", time);
}

cJSON *puller_status(const struct puller *puller)
{
    struct sync *sync = puller->sync;
    const struct head *head = heads_find(sync, puller->feed);
    struct pull_status status;
    char text[PULL_EXPLAIN_SIZE];
    cJSON *object = cJSON_CreateObject();

    pull_get_status(puller->machine, &status);
    pull_explain(puller->machine, sync_clock(sync), text);
    if (status.condition == PULL_CONDITION_FROZEN && head &&
        head->frozen[0]) /* as it was when it froze, also before a restart */
        snprintf(text, sizeof(text),
                 "frozen at epoch %" PRIu64 " size %" PRIu64
                 ": %s; only a higher epoch under a configured key leads on",
                 head->held.checkpoint.epoch, head->held.checkpoint.size, head->frozen);
    cJSON_AddStringToObject(object, "feed", puller->feed);
    cJSON_AddStringToObject(object, "state", pull_condition_name(status.condition));
    cJSON_AddStringToObject(object, "detail", text);
    cJSON_AddBoolToObject(object, "busy", status.busy);
    if (status.held.held)
        add_checkpoint(sync, object, "held", &status.held.checkpoint);
    if (status.offered_any)
        add_checkpoint(sync, object, "offered", &status.offered);
    if (status.held.held && status.offered_any && status.held.checkpoint.epoch == status.offered.epoch)
        cJSON_AddNumberToObject(object, "lag",
                                (double)status.offered.size - (double)status.held.checkpoint.size);
    cJSON_AddNumberToObject(object, "failures", status.failures);
    sync_add_time(sync, object, "lastSuccess", status.last_success_ms);
    sync_add_time(sync, object, "nextPoll", status.next_ms);
    sync_add_time(sync, object, "fullSyncAllowed",
                  status.full_allowed_ms > sync_clock(sync) ? status.full_allowed_ms : 0);
    if (status.code) {
        cJSON_AddStringToObject(object, "error", kaart_strerror(status.code));
        cJSON_AddStringToObject(object, "errorText", status.text);
    }
    return object;
}
