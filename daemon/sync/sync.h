/*
 * sync.h - the shells around the pull, push and guard machines of protocol/: they own timers and calls, the machines decide.
 * Loop thread only.
 */
#ifndef KAARTD_SYNC_SYNC_H
#define KAARTD_SYNC_SYNC_H

#include "daemon/node.h"

#include <cjson/cJSON.h>

/* Reads heads from the store, starts the guard for own feeds, the pulls and the pushes. 0 or KAART_NOMEM. */
int sync_start(struct node *node, struct sync **out);
/* After node->config was replaced: peers come, go and change; unchanged ones keep their state. */
void sync_reload(struct sync *sync);
/* Ends calls and timers, then stopped(context). */
void sync_stop(struct sync *sync, void (*stopped)(void *context), void *context);

/* Pull now (peer NULL: all). KAART_UNKNOWN for no such peer. */
int sync_now(struct sync *sync, const char *peer);
/* From node_feed_changed: push or hint to peers. */
void sync_feed_changed(struct sync *sync, const char *feed);
/* A peer told us, by a hint, that `feed` has a newer head: pull it from where the configuration says. */
void sync_hint(struct sync *sync, const char *feed);
/* A transfer pushed to us was made visible: the pulls of that feed start from the new head. */
void sync_head_moved(struct sync *sync, const char *feed);

/* For kaartctl peers and status: [{"peer","url","state","lastSuccess","lastError","feeds":[{"feed","state","held":{...},"offered":{...},"lag",...}],
 * "refusals":{reason:count}, "bytesIn", "requests"}]. New object, the caller deletes it. */
cJSON *sync_status(const struct sync *sync);

/* Whether `feed` may be signed now; otherwise the reason (static or owned by sync). */
bool sync_may_sign(const struct sync *sync, const char *feed, const char **reason);

#endif
