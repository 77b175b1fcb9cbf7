/*
 * node.h - the running node: what main builds once and every part is handed.
 *
 *      net -> sync | source -> [writer thread: feeds.db] -> [mapper thread: maps] -> [reader thread] -> api
 *
 * Loop thread only, but for node_now_ms and node_random32.
 */
#ifndef KAARTD_DAEMON_NODE_H
#define KAARTD_DAEMON_NODE_H

#include "daemon/config/config.h"
#include "daemon/net/http_client.h"
#include "daemon/store/worker.h"

#include <stdint.h>
#include <uv.h>

struct sync;
struct sources;
struct push_desk;
struct policy;
struct feeds;
struct map;
struct maps;

/* State of the reader thread: read-only connections. */
struct node_readers {
    struct feeds *feeds;
    struct map *map;   /* the public one; in a control_job, that of the audience it asks about */
    struct maps *maps; /* of all audiences */
};

struct node {
    uv_loop_t *loop;
    const struct config
        *config; /* replaced on reload: never keep it, or what it points to, across a return to the loop */
    const struct policy *policy; /* of that configuration; the same rule. Jobs get their own reference:
                                    policy_hold / policy_release */
    struct http_client *client;
    struct worker *writer; /* state: struct feeds *, the writing connection */
    struct worker *mapper; /* state: struct maps *, the writing connections */
    struct worker *reader; /* state: struct node_readers * */
    struct sync *sync;
    struct sources *sources;
    struct push_desk *push; /* of api/push_api.c, made on first use; push_api_close frees it */
    int64_t started_ms;
};

/* ---- life, for main ---- */

/* Opens the store (creating STATE), starts the three threads, the listeners, sync and sources. Takes `config`
 * over on success. 0, or the first error with its text; nothing is left running then. */
int node_start(uv_loop_t *loop, struct config *config, struct node **out, struct fault *fault);
/* Takes over a configuration that loaded without errors. What cannot change while running (name, state) is
 * refused with KAART_INVALID and the old one stays; `config` is freed then. */
int node_reload(struct node *node, struct config *config, struct fault *fault);
/* Ends everything in order, marks the shutdown as clean, calls stopped(context); `node` is freed then. */
void node_stop(struct node *node, void (*stopped)(void *context), void *context);

/* ---- for every part ---- */

int64_t node_now_ms(void);    /* wall clock, UTC */
uint32_t node_random32(void); /* for jitter; not for keys */

/* Something became visible in a feed (own append, heartbeat, or a switch): the map follows, and peers get
 * their hints. Called by whoever saw its writer job succeed. */
void node_feed_changed(struct node *node, const char *feed);

/* The maps have to be looked at again, though no feed changed. */
void node_maps_due(struct node *node);

#endif
