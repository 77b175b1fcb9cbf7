/*
 * node.c - the running node: what is opened in which order, and closed in the reverse.
 *
 *   node_start:  state directory -> writer -> mapper -> reader -> client -> follower -> sync ->
 * sources -> listeners node_stop:   listeners -> sources -> sync -> client -> "clean" mark -> reader, mapper,
 * writer -> databases
 *
 * A configuration that was replaced lives until every job that was posted under it has run: a fence job
 * through each worker says when.
 */
#include "daemon/node.h"

#include "daemon/api/api.h"

#include "daemon/config/audience_config.h"
#include "daemon/config/policy_config.h"
#include "daemon/follower.h"
#include "daemon/listeners.h"
#include "daemon/log.h"
#include "daemon/source/sources.h"
#include "daemon/store/feeds.h"
#include "daemon/store/maps.h"
#include "daemon/sync/sync.h"
#include "protocol/record.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

/* Jobs that may wait for a thread. Each holds at most some hundred kB (a chunk of a transfer), so the
 * writer's queue stays below some 64 MB. */
#define QUEUE_MAX 256

#define WORKERS 3

struct running_node {
    struct node node; /* first: the parts see only this */
    struct config *config;
    struct policy *policy;
    struct feeds *feeds;
    struct maps *maps;
    struct node_readers readers;
    struct follower *follower;
    struct listeners *listeners;
    void (*stopped)(void *context);
    void *stopped_context;
};

static struct running_node *whole(struct node *node)
{
    return (struct running_node *)node;
}

int64_t node_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

uint32_t node_random32(void)
{
    uint32_t value = 0;
    while (getrandom(&value, sizeof(value), 0) != (ssize_t)sizeof(value))
        ;
    return value;
}

void node_maps_due(struct node *node)
{
    struct running_node *running = whole(node);
    if (running->follower != NULL)
        follower_kick(running->follower);
}

void node_feed_changed(struct node *node, const char *feed)
{
    node_maps_due(node);
    if (node->sync != NULL)
        sync_feed_changed(node->sync, feed);
}

/* ---- opening ---- */

/* All of them at once, so that a file that cannot be used is told at the start. */
static int open_maps(const char *state, bool write, const struct audiences *audiences, struct maps **out,
                     struct fault *fault)
{
    struct map *map;
    int code = maps_new(state, write, out, fault);
    for (size_t i = 0; i < audiences->count && code == KAART_OK; i++)
        code = maps_get(*out, audiences->names[i], &map, fault);
    return code == KAART_OK ? maps_keep(*out, audiences, fault) : code;
}

static int open_store(struct running_node *running, struct fault *fault)
{
    struct node *node = &running->node;
    char feeds_path[PATH_MAX];
    struct audiences audiences;
    const char *state = running->config->node.state;
    snprintf(feeds_path, sizeof(feeds_path), "%s/feeds.db", state);
    if (mkdir(state, 0750) != 0 && errno != EEXIST)
        return fault_set(fault, KAART_IO, "cannot create the state directory %s: %s", state, strerror(errno));
    int code = feeds_open(feeds_path, true, running->config->node.own_head, &running->feeds, fault);
    if (code == KAART_OK)
        code = audiences_from_config(running->config, &audiences);
    if (code == KAART_OK)
        code = open_maps(state, true, &audiences, &running->maps, fault);
    if (code == KAART_OK)
        code = feeds_open(feeds_path, false, NULL, &running->readers.feeds, fault);
    if (code == KAART_OK)
        code = open_maps(state, false, &audiences, &running->readers.maps, fault);
    if (code == KAART_OK)
        code = maps_get(running->readers.maps, AUDIENCE_PUBLIC, &running->readers.map, fault);
    if (code != KAART_OK)
        return code;
    if ((code = worker_start(node->loop, "writer", QUEUE_MAX, running->feeds, &node->writer)) != KAART_OK ||
        (code = worker_start(node->loop, "mapper", QUEUE_MAX, running->maps, &node->mapper)) != KAART_OK ||
        (code = worker_start(node->loop, "reader", QUEUE_MAX, &running->readers, &node->reader)) != KAART_OK)
        return fault_set(fault, code, "cannot start the store's threads: %s", kaart_strerror(code));
    return KAART_OK;
}

static int start_parts(struct running_node *running, struct fault *fault)
{
    struct node *node = &running->node;
    int code;
    if ((code = http_client_new(node->loop, &node->client)) != KAART_OK ||
        (code = follower_start(node, &running->follower)) != KAART_OK ||
        (code = sync_start(node, &node->sync)) != KAART_OK ||
        (code = sources_start(node, &node->sources)) != KAART_OK)
        return fault_set(fault, code, "cannot start: %s", kaart_strerror(code));
    return listeners_start(node, &running->listeners, fault);
}

/* ---- closing, in steps that each wait for the one before ---- */

static void finish_stop(struct running_node *running)
{
    struct node *node = &running->node;
    if (running->follower != NULL)
        follower_stop(running->follower);
    worker_stop(node->reader);
    worker_stop(node->mapper);
    worker_stop(node->writer);
    push_api_close(node);
    maps_free(running->readers.maps);
    feeds_close(running->readers.feeds);
    maps_free(running->maps);
    feeds_close(running->feeds);
    follower_free(running->follower);
    policy_release(running->policy);
    config_free(running->config);
    void (*stopped)(void *) = running->stopped;
    void *context = running->stopped_context;
    free(running);
    if (stopped != NULL)
        stopped(context);
}

static void mark_clean(void *state, void *job)
{
    (void)job;
    struct fault fault = {{0}};
    if (feeds_mark_clean(state, &fault) != KAART_OK)
        log_warning("store", "the shutdown could not be marked as clean: %s", fault.text);
}

static void client_gone(struct running_node *running)
{
    if (running->node.client != NULL)
        http_client_close(running->node.client);
    running->node.client = NULL;
    if (running->node.writer != NULL)
        worker_post(running->node.writer, mark_clean, NULL, running);
    finish_stop(running);
}

static void sync_stopped(void *context)
{
    struct running_node *running = context;
    running->node.sync = NULL;
    client_gone(running);
}

static void sources_stopped(void *context)
{
    struct running_node *running = context;
    running->node.sources = NULL;
    if (running->node.sync != NULL)
        sync_stop(running->node.sync, sync_stopped, running);
    else
        client_gone(running);
}

static void listeners_stopped(void *context)
{
    struct running_node *running = context;
    running->listeners = NULL;
    if (running->node.sources != NULL)
        sources_stop(running->node.sources, sources_stopped, running);
    else
        sources_stopped(running);
}

void node_stop(struct node *node, void (*stopped)(void *context), void *context)
{
    struct running_node *running = whole(node);
    running->stopped = stopped;
    running->stopped_context = context;
    if (running->listeners != NULL)
        listeners_stop(running->listeners, listeners_stopped, running);
    else
        listeners_stopped(running);
}

int node_start(uv_loop_t *loop, struct config *config, struct node **out, struct fault *fault)
{
    struct running_node *running = calloc(1, sizeof(*running));
    if (running == NULL)
        return fault_set(fault, KAART_NOMEM, "out of memory");
    running->config = config;
    running->node.loop = loop;
    running->node.config = config;
    running->node.started_ms = node_now_ms();
    int code = policy_from_config(config, &running->policy, stderr);
    if (code != KAART_OK) {
        fault_set(fault, code, "the policy section has errors");
        goto failed;
    }
    running->node.policy = running->policy;
    if ((code = open_store(running, fault)) != KAART_OK || (code = start_parts(running, fault)) != KAART_OK)
        goto failed;
    log_info("node", "kaartd " KAARTD_VERSION " runs as %s: %zu feeds, %zu peers, %zu sources",
             config->node.name, config->feed_count, config->peer_count, config->source_count);
    *out = &running->node;
    return KAART_OK;
failed:
    running->config = NULL; /* stays the caller's */
    node_stop(&running->node, NULL, NULL);
    return code;
}

/* ---- reload ---- */

struct retired {
    struct config *config;
    struct policy *policy;
    unsigned fences; /* workers that have not passed it */
};

static void fence_run(void *state, void *job)
{
    (void)state;
    (void)job;
}

static void fence_done(void *job)
{
    struct retired *retired = job;
    if (--retired->fences > 0)
        return;
    policy_release(retired->policy);
    config_free(retired->config);
    free(retired);
}

static void retire(struct node *node, struct config *config, struct policy *policy)
{
    struct retired *retired = calloc(1, sizeof(*retired));
    if (retired == NULL)
        return; /* a few kB stay until the end: better than a pointer into nothing */
    retired->config = config;
    retired->policy = policy;
    struct worker *workers[WORKERS] = {node->writer, node->mapper, node->reader};
    retired->fences = 1;
    for (size_t i = 0; i < WORKERS; i++) {
        retired->fences++;
        if (worker_post(workers[i], fence_run, fence_done, retired) != KAART_OK) {
            log_debug("config", "a full queue keeps the former configuration in memory");
            return; /* the count never reaches 0 */
        }
    }
    fence_done(retired);
}

/* The reader lets go of maps whose audience has left the configuration; new ones it opens when it is asked. */
struct keep_job {
    struct audiences audiences;
};

static void keep_run(void *state, void *data)
{
    struct node_readers *readers = state;
    const struct keep_job *job = data;
    (void)maps_keep(readers->maps, &job->audiences, NULL); /* it only closes */
}

static void keep_maps(struct node *node)
{
    struct keep_job *job = calloc(1, sizeof(*job));
    if (job == NULL)
        return;
    audiences_from_config(node->config, &job->audiences);
    if (worker_post(node->reader, keep_run, free, job) == KAART_OK)
        return;
    log_debug("config", "a full queue keeps maps that nobody asks for open for reading");
    free(job);
}

int node_reload(struct node *node, struct config *config, struct fault *fault)
{
    struct running_node *running = whole(node);
    const struct config_node *old = &running->config->node;
    struct policy *policy = NULL;
    int code = KAART_OK;
    if (strcmp(old->name, config->node.name) != 0 || strcmp(old->state, config->node.state) != 0 ||
        strcmp(old->own_head, config->node.own_head) != 0 || strcmp(old->socket, config->node.socket) != 0)
        code = fault_set(fault, KAART_INVALID,
                         "node name, state, own-head and socket change only with a restart");
    else if (policy_from_config(config, &policy, stderr) != KAART_OK)
        code = fault_set(fault, KAART_INVALID, "the policy section has errors");
    if (code != KAART_OK) {
        config_free(config);
        return code;
    }
    struct config *former_config = running->config;
    struct policy *former_policy = running->policy;
    running->config = config;
    running->policy = policy;
    node->config = config;
    node->policy = policy;
    listeners_reload(running->listeners);
    sync_reload(node->sync);
    sources_reload(node->sources);
    follower_kick(running->follower);
    keep_maps(node);
    retire(node, former_config, former_policy);
    return KAART_OK;
}
