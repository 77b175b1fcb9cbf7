/*
 * shown.c - how far each peer is known to hold each own feed, so that the operator sees to whom an erasure has travelled.
 *
 *   a note of GET /v1/feeds or of GET checkpoint, verified ----+
 *   the answer to a push or hint: "this is what I hold" -------+---> the latest for (peer, feed)
 *
 * The latest counts, not the largest: a peer that went back to an old backup holds again what was erased. In memory only: after a restart peers are
 * asked anew.
 */
#include "daemon/sync/sync_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct shown {
    struct shown *next;
    char feed[FEED_NAME_MAX_SIZE + 1];
    uint64_t epoch, size;
    int64_t at_ms; /* steady clock */
};

static struct shown *find(const struct sync_peer *peer, const char *feed)
{
    for (struct shown *shown = peer->shown; shown; shown = shown->next)
        if (strcmp(shown->feed, feed) == 0)
            return shown;
    return NULL;
}

void shown_take(struct sync *sync, struct sync_peer *peer, const char *feed, uint64_t epoch, uint64_t size)
{
    struct shown *shown;

    /* Own feeds only, so that a peer cannot make the list long. */
    if (!sync_feed_of(feed, sync->node->config->node.name) ||
        !config_feed(sync->node->config, sync_audience(feed)))
        return;
    shown = find(peer, feed);
    if (!shown) {
        shown = calloc(1, sizeof(*shown));
        if (!shown)
            return; /* it is shown again */
        snprintf(shown->feed, sizeof(shown->feed), "%s", feed);
        shown->next = peer->shown;
        peer->shown = shown;
    }
    shown->epoch = epoch;
    shown->size = size;
    shown->at_ms = sync_clock(sync);
}

void shown_free(struct sync_peer *peer)
{
    while (peer->shown) {
        struct shown *shown = peer->shown;
        peer->shown = shown->next;
        free(shown);
    }
}

/* Whether a peer may hold this own feed at all. A suspended one may hold it from before. */
static bool may_hold(const struct config *config, const char *peer, const char *feed)
{
    const struct config_feed *own = config_feed(config, sync_audience(feed));

    if (!own)
        return false;
    if (strcmp(own->audience, "public") == 0)
        return true;
    for (size_t i = 0; own->readers[i]; i++)
        if (strcmp(own->readers[i], peer) == 0)
            return true;
    return false;
}

void sync_add_confirmations(const struct sync *sync, const char *feed, uint64_t epoch, uint64_t seq,
                            cJSON *object)
{
    cJSON *confirmed = cJSON_AddArrayToObject(object, "confirmed");
    cJSON *waiting = cJSON_AddArrayToObject(object, "notYet");

    for (const struct sync_peer *peer = sync->peers; peer; peer = peer->next) {
        const struct shown *shown = find(peer, feed);
        cJSON *item;
        if (!may_hold(sync->node->config, peer->name, feed))
            continue;
        item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "peer", peer->name);
        if (shown) {
            cJSON_AddNumberToObject(item, "epoch", (double)shown->epoch);
            cJSON_AddNumberToObject(item, "size", (double)shown->size);
            sync_add_time(sync, item, "shownAt", shown->at_ms);
        }
        cJSON_AddItemToArray(shown && shown->epoch == epoch && shown->size > seq ? confirmed : waiting, item);
    }
}
