/*
 * access.c - see access.h.
 */
#include "daemon/api/access.h"

#include "protocol/syntax.h"

#include <stdio.h>
#include <string.h>

#define FEEDS_PATH "/v1/feeds/"

/* Epochs are Unix seconds; JSON carries whole numbers up to here. */
#define EPOCH_MAX (UINT64_C(1) << 53)

const struct config_peer *access_caller(const struct node *node, const struct http_exchange *exchange)
{
    const char *pin = exchange_peer_pin(exchange);
    const struct config *config = node->config;

    if (!*pin)
        return NULL;
    for (size_t i = 0; i < config->peer_count; i++) {
        const struct config_peer *peer = &config->peers[i];

        for (size_t j = 0; peer->client_pins[j]; j++)
            if (strcmp(peer->client_pins[j], pin) == 0)
                return peer->suspended ? NULL : peer;
    }
    return NULL;
}

bool access_is_public(const char *feed)
{
    const char *slash = strchr(feed, '/');

    return slash && strcmp(slash, "/public") == 0;
}

bool access_is_own(const struct node *node, const char *feed)
{
    size_t size = strlen(node->config->node.name);

    return strncmp(feed, node->config->node.name, size) == 0 && feed[size] == '/';
}

bool access_may_read(const struct node *node, const struct http_exchange *exchange, const char *feed)
{
    const struct config_feed *own;
    const struct config_peer *caller;

    if (access_is_public(feed))
        return true;
    if (!access_is_own(node, feed)) /* [HTTP-9]: never relayed */
        return false;
    if (exchange_local(exchange)) /* whoever may use the control socket is this node's operator */
        return true;
    own = config_feed(node->config, strchr(feed, '/') + 1);
    caller = access_caller(node, exchange);
    if (!own || !caller)
        return false;
    for (size_t i = 0; own->readers[i]; i++)
        if (strcmp(own->readers[i], caller->name) == 0)
            return true;
    return false;
}

bool access_feed_path(const char *path, char feed[FEED_NAME_MAX_SIZE + 1], const char **what)
{
    const char *name = path + strlen(FEEDS_PATH), *slash;
    size_t size;

    if (strncmp(path, FEEDS_PATH, strlen(FEEDS_PATH)) != 0)
        return false;
    slash = strchr(name, '/');
    slash = slash ? strchr(slash + 1, '/') : NULL;
    if (!slash || strchr(slash + 1, '/'))
        return false;
    size = (size_t)(slash - name);
    if (size > FEED_NAME_MAX_SIZE || !syntax_is_feed(name, size))
        return false;
    memcpy(feed, name, size);
    feed[size] = '\0';
    *what = slash + 1;
    return true;
}

void access_not_found(struct http_exchange *exchange)
{
    exchange_problem(exchange, 404, "Not Found", "no such feed is served to this caller");
}

static bool number(struct http_exchange *exchange, const char *name, uint64_t max, uint64_t *value)
{
    const char *text = exchange_query(exchange, name);

    if (text && syntax_decimal_parse(text, strlen(text), max, value) == KAART_OK)
        return true;
    exchange_problem(exchange, 400, "Bad Request",
                     "the query member \"%s\" must be there, as a plain decimal number [HTTP-4]", name);
    return false;
}

bool access_range(struct http_exchange *exchange, uint64_t *epoch, uint64_t *since)
{
    return number(exchange, "epoch", EPOCH_MAX, epoch) && number(exchange, "since", SEQ_MAX + 1, since);
}

static const char *strong_part(const char *tag, size_t size, size_t *strong_size)
{
    bool weak = size >= 2 && tag[0] == 'W' && tag[1] == '/';

    *strong_size = weak ? size - 2 : size;
    return weak ? tag + 2 : tag;
}

bool access_etag_matches(const char *list, const char *etag)
{
    size_t wanted_size, size, strong_size;
    const char *wanted = strong_part(etag, strlen(etag), &wanted_size), *strong;

    while (list && *list) {
        list += strspn(list, " \t,");
        size = strcspn(list, ","); /* our own tags hold no commas */
        while (size && (list[size - 1] == ' ' || list[size - 1] == '\t'))
            size--;
        if (size == 1 && *list == '*')
            return true;
        strong = strong_part(list, size, &strong_size);
        if (strong_size == wanted_size && memcmp(strong, wanted, wanted_size) == 0)
            return true;
        list += strcspn(list, ",");
    }
    return false;
}
