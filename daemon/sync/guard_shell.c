/*
 * guard_shell.c - the own-head guard of each own feed: the shell around protocol/guard.h.
 *
 *   start:   writer reads own-head copy and head ---> machine
 *   ask:     GET checkpoint at each peer ---> note opened with the own keys ---> head read anew ---> machine
 *   effects: writer is told whether it may sign; a take-back is a pull of the own feed from one peer
 *
 * The head is read after the peer's answer came, so that what was signed in between is not held against us.
 */
#include "daemon/sync/sync_internal.h"

#include "daemon/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct guard_shell;

/* A peer that may be asked. */
struct guard_peer {
    struct guard_shell *shell;
    size_t index;
    char name[ORIGIN_MAX_SIZE + 1];
    struct request *request;
};

struct guard_shell {
    struct guard_shell *next;
    struct sync *sync;
    char feed[FEED_NAME_MAX_SIZE + 1];
    struct guard *machine;
    struct alarm alarm;
    bool started;
    int told; /* state last logged; -1: none */
    struct guard_peer peers[GUARD_PEERS_MAX];
    size_t peer_count;
    struct puller *taking;
    bool taken; /* `taking` has finished and is to be freed */
    int take_code;
    char take_text[512];
    struct alarm taken_alarm;
};

static void hand(struct guard_shell *shell, struct guard_event *event);

static struct guard_shell *find(const struct sync *sync, const char *feed)
{
    for (struct guard_shell *shell = sync->guards; shell; shell = shell->next)
        if (strcmp(shell->feed, feed) == 0)
            return shell;
    return NULL;
}

/* ---- what the store knows: head, and for some events the own-head copy ---- */

struct look_job {
    struct job job;
    char feed[FEED_NAME_MAX_SIZE + 1];
    struct guard_event event; /* handed in with what was found */
    struct checkpoint seen;   /* event.head */
    bool with_copy;
    bool held;
    struct feed_head head;
    char *copy;
    size_t copy_size;
    int copy_code;
    int code;
    struct fault fault;
};

static void run_look(struct feeds *feeds, struct job *base)
{
    struct look_job *job = (struct look_job *)base;
    struct fault ignored;

    job->code = feeds_head(feeds, job->feed, &job->head, &job->fault);
    job->held = job->code == KAART_OK && job->head.held;
    if (job->code == KAART_UNKNOWN)
        job->code = KAART_OK;
    if (job->with_copy)
        job->copy_code = feeds_own_head_copy(feeds, job->feed, &job->copy, &job->copy_size, &ignored);
}

static void done_look(struct job *base)
{
    struct look_job *job = (struct look_job *)base;
    struct sync *sync = base->sync;
    struct guard_shell *shell = sync->stopping ? NULL : find(sync, job->feed);
    struct checkpoint copy;
    struct fault fault;

    if (shell && job->code) {
        log_error("guard", "%s: its head cannot be read, so it is not signed: %s", job->feed,
                  job->fault.text);
        alarm_set(sync->alarms, &shell->alarm, sync_clock(sync) + GUARD_ROUND_MAX_MS);
    } else if (shell) {
        job->event.own = job->held ? &job->head.checkpoint : NULL;
        job->event.copy = GUARD_COPY_NONE;
        if (job->with_copy && job->copy_code == KAART_OK) {
            if (sync_open_note(sync, job->feed, job->copy, job->copy_size, &copy, &fault) == KAART_OK) {
                job->event.copy = GUARD_COPY_HELD;
                job->event.copy_head = &copy;
            } else {
                log_warning("guard", "%s: the own-head copy does not verify under the own key: %s", job->feed,
                            fault.text);
                job->event.copy = GUARD_COPY_UNREADABLE;
            }
        } else if (job->with_copy && job->copy_code != KAART_UNKNOWN) {
            job->event.copy = GUARD_COPY_UNREADABLE;
        }
        if (job->event.head)
            job->event.head = &job->seen;
        hand(shell, &job->event);
    }
    free(job->copy);
    free(job);
}

/* Reads what the store knows and then hands in `event`. The copy is read on the writer, which writes it. */
static void look_then_hand(struct guard_shell *shell, const struct guard_event *event, bool with_copy)
{
    struct look_job *job = calloc(1, sizeof(*job));

    if (!job)
        return;
    snprintf(job->feed, sizeof(job->feed), "%s", shell->feed);
    job->event = *event;
    if (event->head)
        job->seen = *event->head;
    job->with_copy = with_copy;
    job->job.run = run_look;
    job->job.done = done_look;
    job_post(shell->sync, with_copy ? JOB_WRITER : JOB_READER, &job->job);
}

/* ---- the writer's permission ---- */

struct allow_job {
    struct job job;
    char feed[FEED_NAME_MAX_SIZE + 1];
    bool allowed;
    char reason[GUARD_REASON_SIZE];
};

static void run_allow(struct feeds *feeds, struct job *base)
{
    struct allow_job *job = (struct allow_job *)base;

    feeds_allow_signing(feeds, job->feed, job->allowed, job->reason);
}

static void done_allow(struct job *base)
{
    struct allow_job *job = (struct allow_job *)base;

    if (!base->sync->stopping)
        heartbeats_look(base->sync);
    free(job);
}

static void tell_writer(struct guard_shell *shell)
{
    struct allow_job *job = calloc(1, sizeof(*job));
    enum guard_state state = guard_get_state(shell->machine);

    if ((int)state != shell->told && state == GUARD_STOPPED)
        log_error("guard", "%s: %s", shell->feed, guard_reason(shell->machine));
    else if ((int)state != shell->told)
        log_info("guard", "%s: %s", shell->feed, guard_reason(shell->machine));
    shell->told = (int)state;
    if (!job)
        return; /* not allowed, or not any more at the next change; the store asks anew for each signature */
    snprintf(job->feed, sizeof(job->feed), "%s", shell->feed);
    job->allowed = guard_may_sign(shell->machine);
    snprintf(job->reason, sizeof(job->reason), "%s", guard_reason(shell->machine));
    job->job.run = run_allow;
    job->job.done = done_allow;
    job_post(shell->sync, JOB_WRITER, &job->job);
}

/* ---- asking ---- */

static void on_asked(void *context, const struct request_result *result)
{
    struct guard_peer *peer = context;
    struct guard_shell *shell = peer->shell;
    struct guard_event event = {.type = GUARD_PEER_FAILED, .peer = peer->index};
    struct checkpoint head;
    struct fault fault;

    peer->request = NULL;
    if (result->code == KAART_OK && result->status == 404) {
        event.type = GUARD_PEER_ABSENT;
        hand(shell, &event);
        return;
    }
    if (result->code || result->status != 200) {
        log_debug("guard", "%s: %s could not be asked: %s", shell->feed, peer->name, result->text);
        hand(shell, &event);
        return;
    }
    if (sync_open_note(shell->sync, shell->feed, result->body, result->size, &head, &fault)) {
        log_warning("guard", "%s: %s answered with a head that does not verify under the own key: %s",
                    shell->feed, peer->name, fault.text);
        hand(shell, &event);
        return;
    }
    struct sync_peer *shows = sync_peer_find(shell->sync, peer->name);
    if (shows)
        shown_take(shell->sync, shows, shell->feed, head.epoch, head.size);
    event.type = GUARD_PEER_HEAD;
    event.head = &head;
    look_then_hand(shell, &event, false);
}

static void ask(struct guard_peer *peer)
{
    const struct request_options options = {.peer = peer->name,
                                            .method = "GET",
                                            .feed = peer->shell->feed,
                                            .what = "checkpoint",
                                            .size_max = NOTE_SIZE_MAX + 1,
                                            .small_max = NOTE_SIZE_MAX + 1,
                                            .done = on_asked,
                                            .context = peer};
    struct guard_event event = {.type = GUARD_PEER_FAILED, .peer = peer->index};
    struct fault fault;

    if (peer->request)
        return;
    if (request_start(peer->shell->sync, &options, &peer->request, &fault))
        hand(peer->shell, &event);
}

/* ---- taking back ---- */

static void on_taken_alarm(void *context)
{
    struct guard_shell *shell = context;
    struct guard_event event = {.type = GUARD_TAKEN_BACK};

    puller_free(shell->taking);
    shell->taking = NULL;
    if (shell->take_code == KAART_OK) {
        look_then_hand(shell, &event, true);
        return;
    }
    event.type = GUARD_TAKE_FAILED;
    event.code = shell->take_code;
    event.text = shell->take_text;
    hand(shell, &event);
}

/* The pull calls from within itself; what follows waits for the next turn of the loop. */
static void on_taken(void *context, int code, const char *text)
{
    struct guard_shell *shell = context;

    shell->take_code = code;
    snprintf(shell->take_text, sizeof(shell->take_text), "%s", text);
    alarm_set(shell->sync->alarms, &shell->taken_alarm, sync_clock(shell->sync));
}

static void take_back(struct guard_shell *shell, size_t index)
{
    struct sync_peer *peer = sync_peer_find(shell->sync, shell->peers[index].name);

    if (peer && !shell->taking)
        shell->taking = puller_new_once(shell->sync, peer, shell->feed, on_taken, shell);
    if (!shell->taking)
        on_taken(shell, KAART_UNKNOWN, "the peer is not configured any more");
}

/* ---- the machine ---- */

static void carry_out(struct guard_shell *shell, const struct guard_effect *effect)
{
    struct sync *sync = shell->sync;

    if (effect->at_ms)
        alarm_set(sync->alarms, &shell->alarm, effect->at_ms);
    else
        alarm_clear(sync->alarms, &shell->alarm);
    if (effect->changed)
        tell_writer(shell);
    if (effect->take_back)
        take_back(shell, effect->peer);
    if (effect->ask)
        for (size_t i = 0; i < shell->peer_count; i++)
            if (guard_must_ask(shell->machine, i))
                ask(&shell->peers[i]);
}

static void hand(struct guard_shell *shell, struct guard_event *event)
{
    struct guard_effect effect;

    if (event->type == GUARD_START)
        shell->started = true;
    else if (!shell->started)
        return;
    event->now_ms = sync_clock(shell->sync);
    event->random = node_random32();
    guard_handle(shell->machine, event, &effect);
    carry_out(shell, &effect);
}

static void on_alarm(void *context)
{
    struct guard_shell *shell = context;
    struct guard_event event = {.type = shell->started ? GUARD_TICK : GUARD_START};

    if (shell->started)
        hand(shell, &event);
    else /* the head could not be read before */
        look_then_hand(shell, &event, true);
}

/* ---- life ---- */

static bool in_list(char *const *list, const char *name)
{
    for (size_t i = 0; list[i]; i++)
        if (strcmp(list[i], name) == 0)
            return true;
    return false;
}

/* Whether a peer can hold this own feed, and is one of those that the operator wants asked. */
static bool may_be_asked(const struct config *config, const struct config_peer *peer, const char *feed)
{
    const struct config_feed *own = config_feed(config, sync_audience(feed));

    if (!own || !sync_peer_active(peer))
        return false;
    if (config->node.guard_peers[0] && !in_list(config->node.guard_peers, peer->name))
        return false;
    return strcmp(own->audience, "public") == 0 || in_list(own->readers, peer->name);
}

static void free_shell(struct guard_shell *shell)
{
    for (size_t i = 0; i < shell->peer_count; i++)
        request_abandon(shell->peers[i].request);
    alarm_clear(shell->sync->alarms, &shell->alarm);
    alarm_clear(shell->sync->alarms, &shell->taken_alarm);
    puller_free(shell->taking);
    guard_free(shell->machine);
    free(shell);
}

static struct guard_shell *make(struct sync *sync, const char *feed)
{
    const struct config *config = sync->node->config;
    struct guard_shell *shell = calloc(1, sizeof(*shell));

    if (!shell)
        return NULL;
    shell->sync = sync;
    shell->told = -1;
    snprintf(shell->feed, sizeof(shell->feed), "%s", feed);
    for (size_t i = 0; i < config->peer_count && shell->peer_count < GUARD_PEERS_MAX; i++) {
        struct guard_peer *peer = &shell->peers[shell->peer_count];
        if (!may_be_asked(config, &config->peers[i], feed))
            continue;
        peer->shell = shell;
        peer->index = shell->peer_count++;
        snprintf(peer->name, sizeof(peer->name), "%s", config->peers[i].name);
    }
    const struct guard_options options = {.feed = feed,
                                          .peer_count = shell->peer_count,
                                          .quorum = config->node.guard_quorum,
                                          .wait_ms = config->node.guard_wait_ms,
                                          .clean = sync->clean};
    shell->machine = guard_new(&options);
    if (!shell->machine) {
        free(shell);
        return NULL;
    }
    shell->alarm.ring = on_alarm;
    shell->alarm.context = shell;
    shell->taken_alarm.ring = on_taken_alarm;
    shell->taken_alarm.context = shell;
    return shell;
}

static void start(struct guard_shell *shell)
{
    const struct guard_event event = {.type = GUARD_START};

    look_then_hand(shell, &event, true);
}

/* Whether the peers to ask are still those that the configuration names. */
static bool same_peers(const struct guard_shell *shell)
{
    const struct config *config = shell->sync->node->config;
    size_t count = 0;

    for (size_t i = 0; i < config->peer_count && count < GUARD_PEERS_MAX; i++) {
        if (!may_be_asked(config, &config->peers[i], shell->feed))
            continue;
        if (count >= shell->peer_count || strcmp(shell->peers[count].name, config->peers[i].name) != 0)
            return false;
        count++;
    }
    return count == shell->peer_count;
}

void guards_reload(struct sync *sync)
{
    const struct config *config = sync->node->config;

    for (struct guard_shell **link = &sync->guards; *link;) {
        struct guard_shell *shell = *link;
        enum guard_state state = guard_get_state(shell->machine);
        const struct config_feed *own = config_feed(config, sync_audience(shell->feed));
        bool wanted = own && strcmp(own->name, shell->feed) == 0;
        /* One that has decided keeps its decision, also when peers come and go; one that waits begins anew with the new ones. */
        if (wanted && (state == GUARD_SIGNING || state == GUARD_STOPPED || same_peers(shell))) {
            link = &shell->next;
            continue;
        }
        *link = shell->next;
        free_shell(shell);
    }
    for (size_t i = 0; i < config->feed_count; i++) {
        struct guard_shell *shell;
        if (find(sync, config->feeds[i].name))
            continue;
        shell = make(sync, config->feeds[i].name);
        if (!shell)
            continue;
        shell->next = sync->guards;
        sync->guards = shell;
        start(shell);
    }
}

void guards_free(struct sync *sync)
{
    while (sync->guards) {
        struct guard_shell *shell = sync->guards;
        sync->guards = shell->next;
        free_shell(shell);
    }
}

/* ---- from the rest of sync ---- */

void guards_seen(struct sync *sync, const char *feed, const struct checkpoint *head)
{
    struct guard_shell *shell = find(sync, feed);
    const struct guard_event event = {.type = GUARD_SEEN, .head = head};

    if (shell)
        look_then_hand(shell, &event, false);
}

void guards_suspect(struct sync *sync, const char *feed, const char *peer)
{
    struct guard_shell *shell = find(sync, feed);

    for (size_t i = 0; shell && i < shell->peer_count; i++)
        if (strcmp(shell->peers[i].name, peer) == 0)
            ask(&shell->peers[i]);
}

bool guards_may_sign(const struct sync *sync, const char *feed, const char **reason)
{
    const struct guard_shell *shell = find(sync, feed);

    *reason = shell ? guard_reason(shell->machine) : "not an own feed, or this node is still starting";
    return shell && guard_may_sign(shell->machine);
}

int guards_decide(struct sync *sync, const char *feed)
{
    struct guard_shell *shell = find(sync, feed);
    struct guard_event event = {.type = GUARD_OPERATOR};

    if (!shell)
        return KAART_UNKNOWN;
    log_warning("guard", "%s: the operator decided that the database is right", feed);
    hand(shell, &event);
    return KAART_OK;
}

cJSON *guards_status(const struct sync *sync)
{
    cJSON *array = cJSON_CreateArray();

    for (const struct guard_shell *shell = sync->guards; shell; shell = shell->next) {
        cJSON *object = cJSON_CreateObject();
        cJSON_AddStringToObject(object, "feed", shell->feed);
        cJSON_AddStringToObject(object, "state", guard_state_name(guard_get_state(shell->machine)));
        cJSON_AddBoolToObject(object, "maySign", guard_may_sign(shell->machine));
        cJSON_AddStringToObject(object, "reason", guard_reason(shell->machine));
        cJSON_AddItemToArray(array, object);
    }
    return array;
}
