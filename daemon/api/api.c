/*
 * api.c - routing, and the fields that every answer has.
 */
#include "daemon/api/api.h"

#include "daemon/api/access.h"

#include <stdlib.h>
#include <string.h>

/* How long browsers keep to https for this host; the guidelines ask for a year. */
#define HSTS "max-age=31536000"

static bool begins(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static void answer_health(struct http_exchange *exchange)
{
    const char *method = exchange_method(exchange);

    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
        exchange_set_header(exchange, "Allow", "GET, HEAD");
        exchange_problem(exchange, 405, "Method Not Allowed", "this path answers GET");
        return;
    }
    exchange_set_header(exchange, "Cache-Control", "no-store");
    exchange_respond(exchange, 200, "text/plain; charset=utf-8", strdup("ok\n"), 3);
}

void api_handle(void *context, struct http_exchange *exchange)
{
    struct node *node = context;
    const char *path = exchange_path(exchange);

    exchange_set_header(exchange, "X-Content-Type-Options", "nosniff");
    if (!exchange_local(exchange))
        exchange_set_header(exchange, "Strict-Transport-Security", HSTS);
    if (begins(path, "/v1/"))
        exchange_set_header(exchange, "API-Version", API_VERSION);
    if (strcmp(path, "/healthz") == 0) {
        answer_health(exchange);
        return;
    }
    if (exchange_local(exchange) && begins(path, "/control/") && control_api_handle(node, exchange))
        return;
    if (begins(path, "/v1/feeds") && (push_api_handle(node, exchange) || feeds_api_handle(node, exchange)))
        return;
    if (begins(path, "/v1/map/") && map_api_handle(node, exchange))
        return;
    exchange_problem(exchange, 404, "Not Found", "nothing is served at this path");
}
