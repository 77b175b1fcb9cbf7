/*
 * api.h - what is served: the routes of DESIGN 6, each in its own file. Loop thread only.
 *
 *   /healthz, /v1/feeds...         feeds_api.c    feeds, for peers
 *   POST /v1/feeds/.../...         push_api.c     pushes and hints from peers
 *   /v1/map/sums                   map_api.c      the sums that two operators compare
 *   /control/v1/...                control_api.c  only on the Unix socket: what kaartctl asks
 */
#ifndef KAARTD_API_API_H
#define KAARTD_API_API_H

#include "daemon/net/http_server.h"
#include "daemon/node.h"

/* The version of /v1, in the field API-Version of each of its answers (NLgov API Design Rules). */
#define API_VERSION "1.0.0"

/* The handler of every listener; context is the struct node. */
void api_handle(void *node, struct http_exchange *exchange);

/* Each returns true when the path was its own (and answered, now or later). */
bool feeds_api_handle(struct node *node, struct http_exchange *exchange);
bool push_api_handle(struct node *node, struct http_exchange *exchange);
bool map_api_handle(struct node *node, struct http_exchange *exchange);
bool control_api_handle(struct node *node, struct http_exchange *exchange);

/* Frees what push_api.c remembers of offers (node->push). Once the listeners have closed and the writer has
 * stopped. */
void push_api_close(struct node *node);

#endif
