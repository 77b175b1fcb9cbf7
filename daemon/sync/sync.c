/*
 * sync.c - the life of everything that exchanges feeds: peers and own feeds as the configuration names them, their status, and the way in for
 * the rest of the node.
 *
 *   sync_start ---> heads read ---> peers, guards, heartbeats ---> sync_stop ---> requests and timers gone, jobs drained ---> stopped
 *                                        ^        |
 *                                        +--------+ sync_reload
 */
#include "daemon/sync/sync_internal.h"

#include "daemon/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- small helpers ---- */

int64_t sync_clock(const struct sync *sync)
{
    return alarms_now(sync->alarms);
}

struct sync_peer *sync_peer_find(const struct sync *sync, const char *name)
{
    for (struct sync_peer *peer = sync->peers; peer; peer = peer->next)
        if (strcmp(peer->name, name) == 0)
            return peer;
    return NULL;
}

bool sync_peer_active(const struct config_peer *peer)
{
    return peer->url && !peer->suspended;
}

bool sync_feed_of(const char *feed, const char *origin)
{
    size_t size = strlen(origin);

    return strncmp(feed, origin, size) == 0 && feed[size] == '/';
}

const char *sync_audience(const char *feed)
{
    const char *slash = strchr(feed, '/');

    return slash ? slash + 1 : "";
}

void sync_add_time(const struct sync *sync, cJSON *object, const char *name, int64_t at_ms)
{
    char text[INSTANT_TEXT_SIZE + 1];

    if (!at_ms) {
        cJSON_AddNullToObject(object, name);
        return;
    }
    syntax_instant_format(alarms_wall(sync->alarms, at_ms, node_now_ms()), text);
    cJSON_AddStringToObject(object, name, text);
}

void peer_note_error(struct sync *sync, struct sync_peer *peer, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(peer->last_error, sizeof(peer->last_error), format, arguments);
    va_end(arguments);
    peer->last_error_ms = sync_clock(sync);
}

/* ---- peers as configured ---- */

static struct puller *find_puller(const struct sync_peer *peer, const char *feed)
{
    for (struct puller *puller = peer->pullers; puller; puller = *puller_link(puller))
        if (strcmp(puller_feed(puller), feed) == 0)
            return puller;
    return NULL;
}

static struct pusher *find_pusher(const struct sync_peer *peer, const char *feed)
{
    for (struct pusher *pusher = peer->pushers; pusher; pusher = *pusher_link(pusher))
        if (strcmp(pusher_feed(pusher), feed) == 0)
            return pusher;
    return NULL;
}

/* Whether this peer is asked for `feed`: its own feeds, and with relay every other that some key is configured for. Restricted feeds are
 * never relayed [HTTP-9]. */
static bool pulls(const struct config *config, const struct config_peer *peer, const char *feed)
{
    if (!sync_peer_active(peer) || peer->pull_every_ms <= 0 || sync_feed_of(feed, config->node.name))
        return false;
    if (sync_feed_of(feed, peer->name))
        return true;
    return peer->relay && strcmp(sync_audience(feed), "public") == 0;
}

/* Whether `feed` is told to this peer: own feeds that it may read, and public ones that are relayed, but not its own. */
static bool pushes(const struct config *config, const struct config_peer *peer, const char *feed)
{
    if (!sync_peer_active(peer) || !peer->push || sync_feed_of(feed, peer->name))
        return false;
    if (!sync_feed_of(feed, config->node.name))
        return strcmp(sync_audience(feed), "public") == 0;
    const struct config_feed *own = config_feed(config, sync_audience(feed));
    if (!own)
        return false;
    if (strcmp(own->audience, "public") == 0)
        return true;
    for (size_t i = 0; own->readers[i]; i++)
        if (strcmp(own->readers[i], peer->name) == 0)
            return true;
    return false;
}

static void drop_unwanted(struct sync *sync, struct sync_peer *peer, const struct config_peer *configured)
{
    const struct config *config = sync->node->config;
    struct verifier_key keys[FEED_KEYS_MAX];

    for (struct puller **link = &peer->pullers; *link;) {
        struct puller *puller = *link;
        if (configured && pulls(config, configured, puller_feed(puller)) &&
            config_feed_keys(config, puller_feed(puller), keys)) {
            puller_reload(puller);
            link = puller_link(puller);
        } else {
            *link = *puller_link(puller);
            puller_free(puller);
        }
    }
    for (struct pusher **link = &peer->pushers; *link;) {
        struct pusher *pusher = *link;
        if (configured && pushes(config, configured, pusher_feed(pusher))) {
            link = pusher_link(pusher);
        } else {
            *link = *pusher_link(pusher);
            pusher_free(pusher);
        }
    }
    if (!configured || !sync_peer_active(configured)) {
        listing_free(peer->listing);
        peer->listing = NULL;
    }
}

static void add_feed(struct sync *sync, struct sync_peer *peer, const struct config_peer *configured,
                     const char *feed)
{
    const struct config *config = sync->node->config;

    if (pulls(config, configured, feed) && !find_puller(peer, feed)) {
        struct puller **end = &peer->pullers;
        while (*end)
            end = puller_link(*end);
        *end = puller_new(sync, peer, feed);
    }
    if (pushes(config, configured, feed) && !find_pusher(peer, feed)) {
        struct pusher **end = &peer->pushers;
        while (*end)
            end = pusher_link(*end);
        *end = pusher_new(sync, peer, feed);
    }
}

static struct sync_peer *add_peer(struct sync *sync, const char *name)
{
    struct sync_peer *peer = calloc(1, sizeof(*peer));
    struct sync_peer **end = &sync->peers;

    if (!peer)
        return NULL;
    snprintf(peer->name, sizeof(peer->name), "%s", name);
    peer->waiting_end = &peer->waiting;
    while (*end)
        end = &(*end)->next;
    *end = peer;
    return peer;
}

static void free_peers(struct sync *sync, bool all)
{
    for (struct sync_peer **link = &sync->peers; *link;) {
        struct sync_peer *peer = *link;
        if (!all && config_peer(sync->node->config, peer->name)) {
            link = &peer->next;
            continue;
        }
        drop_unwanted(sync, peer, NULL);
        shown_free(peer);
        *link = peer->next;
        free(peer);
    }
}

void sync_reload(struct sync *sync)
{
    const struct config *config = sync->node->config;

    if (!sync->ready || sync->stopping)
        return;
    guards_reload(sync); /* first: they may hold pulls of own feeds at peers that go away */
    free_peers(sync, false);
    for (size_t i = 0; i < config->peer_count; i++) {
        const struct config_peer *configured = &config->peers[i];
        struct sync_peer *peer = sync_peer_find(sync, configured->name);
        if (!peer)
            peer = add_peer(sync, configured->name);
        if (!peer)
            continue;
        drop_unwanted(sync, peer, configured);
        for (size_t k = 0; k < configured->feed_key_count;
             k++) /* its own first: that is how they are shown */
            add_feed(sync, peer, configured, configured->feed_keys[k].name);
        for (size_t j = 0; j < config->feed_count; j++)
            add_feed(sync, peer, configured, config->feeds[j].name);
        for (size_t j = 0; j < config->peer_count; j++)
            for (size_t k = 0; k < config->peers[j].feed_key_count; k++)
                add_feed(sync, peer, configured, config->peers[j].feed_keys[k].name);
        if (!peer->listing && sync_peer_active(configured))
            peer->listing = listing_new(sync, peer);
    }
    heartbeats_look(sync);
}

/* ---- life ---- */

struct clean_job {
    struct job job;
    bool clean;
    int code;
    struct fault fault;
};

static void run_clean(struct feeds *feeds, struct job *base)
{
    struct clean_job *job = (struct clean_job *)base;

    job->code = feeds_take_clean(feeds, &job->clean, &job->fault);
}

static void on_heads(struct sync *sync)
{
    sync->ready = true;
    sync_reload(sync);
    if (heartbeats_start(sync))
        log_error("sync", "no memory for heartbeats");
}

static void done_clean(struct job *base)
{
    struct clean_job *job = (struct clean_job *)base;
    struct sync *sync = base->sync;

    if (job->code)
        log_warning("guard", "whether the last shutdown was clean could not be read: %s", job->fault.text);
    sync->clean = job->code == KAART_OK && job->clean;
    if (!sync->stopping && heads_load(sync, on_heads))
        log_error("sync", "no memory to read the feeds");
    free(job);
}

int sync_start(struct node *node, struct sync **out)
{
    struct sync *sync = calloc(1, sizeof(*sync));
    struct clean_job *job = calloc(1, sizeof(*job));

    if (!sync || !job)
        goto no_memory;
    sync->node = node;
    for (size_t i = 0; i < 2; i++)
        sync->backlog_end[i] = &sync->backlog[i];
    sync->alarms = alarms_new(node->loop, node_now_ms());
    if (!sync->alarms)
        goto no_memory;
    *out = sync; /* before the first job: the store's callbacks look here */
    job->job.run = run_clean;
    job->job.done = done_clean;
    job_post(sync, JOB_WRITER, &job->job);
    return KAART_OK;

no_memory:
    free(sync);
    free(job);
    return KAART_NOMEM;
}

struct stopping {
    struct sync *sync;
    void (*stopped)(void *context);
    void *context;
};

static void on_drained(void *context)
{
    struct stopping *stopping = context;
    struct sync *sync = stopping->sync;
    void (*stopped)(void *) = stopping->stopped;
    void *stopped_context = stopping->context;

    heads_free(sync);
    alarms_close(sync->alarms);
    free(sync);
    free(stopping);
    stopped(stopped_context);
}

static void run_nothing(struct feeds *feeds, struct job *base)
{
    (void)feeds, (void)base;
}

static void done_nothing(struct job *base)
{
    free(base);
}

void sync_stop(struct sync *sync, void (*stopped)(void *context), void *context)
{
    struct stopping *stopping = calloc(1, sizeof(*stopping));
    struct job *job = calloc(1, sizeof(*job));

    sync->stopping = true;
    heartbeats_stop(sync);
    guards_free(sync);
    free_peers(sync, true);
    if (!stopping || !job) { /* without memory there is no orderly end; the process exits anyway */
        free(stopping);
        free(job);
        stopped(context);
        return;
    }
    *stopping = (struct stopping){.sync = sync, .stopped = stopped, .context = context};
    sync->stopped = on_drained;
    sync->stopped_context = stopping;
    /* The last job in the queue: `stopped` follows it, also if nothing else is under way. */
    job->run = run_nothing;
    job->done = done_nothing;
    job_post(sync, JOB_WRITER, job);
}

/* ---- from the rest of the node ---- */

int sync_now(struct sync *sync, const char *name)
{
    bool found = false;

    for (struct sync_peer *peer = sync->peers; peer; peer = peer->next) {
        if (name && strcmp(peer->name, name) != 0)
            continue;
        found = true;
        for (struct puller *puller = peer->pullers; puller; puller = *puller_link(puller))
            puller_now(puller);
        for (struct pusher *pusher = peer->pushers; pusher; pusher = *pusher_link(pusher))
            pusher_now(pusher);
        if (peer->listing)
            listing_now(peer->listing);
    }
    return found || !name ? KAART_OK : KAART_UNKNOWN;
}

void sync_feed_changed(struct sync *sync, const char *feed)
{
    if (sync->ready && !sync->stopping)
        heads_refresh(sync, feed);
}

void sync_head_moved(struct sync *sync, const char *feed)
{
    sync_feed_changed(sync, feed);
}

/* Pulls of `feed` that are told of a hint: at its origin, or at everybody else. True if one is there that was not failing. */
static bool hint(struct sync *sync, const char *feed, bool at_origin)
{
    bool healthy = false;

    for (struct sync_peer *peer = sync->peers; peer; peer = peer->next) {
        struct puller *puller = sync_feed_of(feed, peer->name) == at_origin ? find_puller(peer, feed) : NULL;
        struct pull_status status;
        if (!puller)
            continue;
        puller_get_status(puller, &status);
        healthy = healthy || !status.failures;
        puller_hint(puller);
    }
    return healthy;
}

void sync_hint(struct sync *sync, const char *feed)
{
    /* The origin has it for certain; relays are asked where it cannot be. */
    if (!hint(sync, feed, true))
        hint(sync, feed, false);
}

void sync_own_seen(struct sync *sync, const char *feed, const struct checkpoint *head)
{
    if (!sync->stopping)
        guards_seen(sync, feed, head);
}

bool sync_may_sign(const struct sync *sync, const char *feed, const char **reason)
{
    return guards_may_sign(sync, feed, reason);
}

int sync_decide(struct sync *sync, const char *feed)
{
    return guards_decide(sync, feed);
}

/* ---- status ---- */

/* The worst of its feeds, in one word, for a table. That it does not relay some feed is worth a word only if it has none at all. */
static const char *peer_state(const struct sync_peer *peer, const struct config_peer *configured)
{
    static const enum pull_condition worst_first[] = {PULL_CONDITION_FROZEN,   PULL_CONDITION_REFUSED,
                                                      PULL_CONDITION_LOCAL,    PULL_CONDITION_UNREACHABLE,
                                                      PULL_CONDITION_FULL_DUE, PULL_CONDITION_CATCHING_UP,
                                                      PULL_CONDITION_BEHIND,   PULL_CONDITION_IN_STEP,
                                                      PULL_CONDITION_NEW,      PULL_CONDITION_ABSENT};

    if (configured && configured->suspended)
        return "suspended";
    if (configured && !configured->url)
        return "pushes to us";
    if (!peer->pullers)
        return peer->pushers ? "push only" : "nothing to exchange";
    for (size_t i = 0; i < sizeof(worst_first) / sizeof(worst_first[0]); i++)
        for (struct puller *puller = peer->pullers; puller; puller = *puller_link(puller)) {
            struct pull_status status;
            puller_get_status(puller, &status);
            if (status.condition == worst_first[i])
                return pull_condition_name(status.condition);
        }
    return "";
}

static void add_refusals(cJSON *object, const struct sync_peer *peer)
{
    cJSON *refusals = cJSON_AddObjectToObject(object, "refusals");

    for (size_t code = 1; code < PULL_CODES; code++) {
        double count = peer->refusals[code];
        for (struct puller *puller = peer->pullers; puller; puller = *puller_link(puller)) {
            struct pull_status status;
            puller_get_status(puller, &status);
            count += status.refusals[code];
        }
        if (count > 0)
            cJSON_AddNumberToObject(refusals, kaart_strerror(-(int)code), count);
    }
}

static cJSON *peer_status(const struct sync *sync, const struct sync_peer *peer)
{
    const struct config_peer *configured = config_peer(sync->node->config, peer->name);
    cJSON *object = cJSON_CreateObject();
    cJSON *feeds, *pushes_array;

    cJSON_AddStringToObject(object, "peer", peer->name);
    if (configured && configured->url)
        cJSON_AddStringToObject(object, "url", configured->url);
    else
        cJSON_AddNullToObject(object, "url");
    cJSON_AddStringToObject(object, "state", peer_state(peer, configured));
    sync_add_time(sync, object, "lastSuccess", peer->last_success_ms);
    sync_add_time(sync, object, "lastErrorAt", peer->last_error_ms);
    if (peer->last_error[0])
        cJSON_AddStringToObject(object, "lastError", peer->last_error);
    else
        cJSON_AddNullToObject(object, "lastError");
    feeds = cJSON_AddArrayToObject(object, "feeds");
    for (struct puller *puller = peer->pullers; puller; puller = *puller_link(puller))
        cJSON_AddItemToArray(feeds, puller_status(puller));
    pushes_array = cJSON_AddArrayToObject(object, "pushes");
    for (struct pusher *pusher = peer->pushers; pusher; pusher = *pusher_link(pusher))
        cJSON_AddItemToArray(pushes_array, pusher_status(pusher));
    add_refusals(object, peer);
    cJSON_AddNumberToObject(object, "requests", (double)peer->requests);
    cJSON_AddNumberToObject(object, "bytesIn", (double)peer->bytes_in);
    return object;
}

cJSON *sync_status(const struct sync *sync)
{
    cJSON *array = cJSON_CreateArray();

    for (const struct sync_peer *peer = sync->peers; peer; peer = peer->next)
        cJSON_AddItemToArray(array, peer_status(sync, peer));
    return array;
}

cJSON *sync_own_status(const struct sync *sync)
{
    return guards_status(sync);
}
