/*
 * follower.h - keeps the maps of all audiences behind the feeds: posts bounded map_follow jobs to the mapper until nothing is
 * left, again when something changed, and once more when the UTC day turns. Loop thread only.
 */
#ifndef KAARTD_DAEMON_FOLLOWER_H
#define KAARTD_DAEMON_FOLLOWER_H

#include "daemon/node.h"

struct follower;

/* Starts with a first pass. 0 or KAART_NOMEM. */
int follower_start(struct node *node, struct follower **out);
/* Something changed: a feed, or the policy. Cheap; any number of calls lead to one pass. */
void follower_kick(struct follower *follower);
/* No pass starts any more; call before the mapper is stopped. Freed by follower_free once the mapper has
 * stopped. */
void follower_stop(struct follower *follower);
/* Accepts NULL. The loop must run once more afterwards. */
void follower_free(struct follower *follower);

#endif
