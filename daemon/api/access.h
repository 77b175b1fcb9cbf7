/*
 * access.h - who calls, and which feeds that caller may see. spec/feed.md [HTTP-8] [HTTP-9] [PUSH-1]. Loop
 * thread only.
 *
 *   audience "public", own or relayed           anyone
 *   any other audience, own                     peers in the feed's `readers`, known by the pin of their
 * client certificate any other audience, of another origin       nobody: never relayed
 */
#ifndef KAARTD_API_ACCESS_H
#define KAARTD_API_ACCESS_H

#include "daemon/net/http_server.h"
#include "daemon/node.h"
#include "protocol/limits.h"

/* The configured peer with a client pin that the caller showed, unless it is suspended; NULL: nobody we know.
 * Borrowed from the configuration. */
const struct config_peer *access_caller(const struct node *node, const struct http_exchange *exchange);

bool access_is_public(const char *feed);
/* "origin/audience" of this node itself. */
bool access_is_own(const struct node *node, const char *feed);
bool access_may_read(const struct node *node, const struct http_exchange *exchange, const char *feed);

/* Takes "/v1/feeds/ORIGIN/AUDIENCE/WHAT" apart; false: another path, or no name of a feed. *what points into
 * `path`. */
bool access_feed_path(const char *path, char feed[FEED_NAME_MAX_SIZE + 1], const char **what);

/* The one answer for unknown feeds and for those that the caller may not see. */
void access_not_found(struct http_exchange *exchange);

/* The required members epoch and since; answers 400 and returns false if one is absent or no number. [HTTP-4]
 */
bool access_range(struct http_exchange *exchange, uint64_t *epoch, uint64_t *since);

/* If-None-Match (a list, or "*", or NULL) against an entity tag, by weak comparison. */
bool access_etag_matches(const char *if_none_match, const char *etag);

#endif
