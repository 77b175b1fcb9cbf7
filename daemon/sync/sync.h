/*
 * sync.h - the shells around the pull, push and guard machines of protocol/: they own timers and calls, the machines decide.
 * Loop thread only.
 */
#ifndef KAARTD_SYNC_SYNC_H
#define KAARTD_SYNC_SYNC_H

#include "daemon/node.h"
#include "protocol/checkpoint.h"

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
/* Somebody showed an own feed's head, opened with the own keys: the guard compares it. [GUARD-6] */
void sync_own_seen(struct sync *sync, const char *feed, const struct checkpoint *head);
/* A transfer pushed to us was made visible: the pulls of that feed start from the new head. */
void sync_head_moved(struct sync *sync, const char *feed);

/*
 * For kaartctl peers and status; new objects, the caller deletes them. Times are instants or null; `detail` is the situation in a sentence.
 * [{"peer","url","state","lastSuccess","lastErrorAt","lastError",
 *   "feeds":[{"feed","state","detail","busy","held":{"epoch","size","live","time"},"offered":{same},"lag","failures","lastSuccess","nextPoll",
 *             "fullSyncAllowed","error","errorText"}],
 *   "pushes":[{"feed","state","detail","failures","lastSuccess","nextAttempt","position"}],
 *   "refusals":{reason:count},"requests","bytesIn"}]
 * `held`, `offered`, `lag`, `error`, `errorText`, `position` are absent where there is none. States of a feed: pull_condition_name; of a push: push_condition_name.
 */
cJSON *sync_status(const struct sync *sync);
/* The own-head guards: [{"feed","state","maySign","reason"}]. */
cJSON *sync_own_status(const struct sync *sync);

/*
 * Who is known to hold the own `feed` beyond position `seq` of `epoch`, by the last note or answer to a push seen since the start: adds "confirmed" and "notYet",
 * [{"peer","epoch","size","shownAt"}], of all peers that may read it. The last three are absent where nothing was seen. Of third parties nothing is known.
 */
void sync_add_confirmations(const struct sync *sync, const char *feed, uint64_t epoch, uint64_t seq,
                            cJSON *object);

/* Whether `feed` may be signed now; otherwise the reason (static or owned by sync). */
bool sync_may_sign(const struct sync *sync, const char *feed, const char **reason);
/* The operator decides that the own `feed` may be signed although too few peers could be asked. Has no effect where something speaks against it (see sync_own_status
 * afterwards). KAART_UNKNOWN: not an own feed. */
int sync_decide(struct sync *sync, const char *feed);

#endif
