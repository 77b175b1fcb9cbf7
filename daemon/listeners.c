/*
 * listeners.c - starts, renews and stops the servers of net/http_server.h as the configuration says.
 */
#include "daemon/listeners.h"

#include "daemon/api/api.h"
#include "daemon/log.h"

#include <stdlib.h>
#include <string.h>

/* Running answers get this long at the end; a peer that is cut off simply asks again. */
#define STOP_GRACE_MS 2000

struct listener {
    struct listener *next;
    char *title; /* NULL: the control socket */
    char *host;
    uint16_t port;
    char *tls_certificate, *tls_key;
    char **behind_proxy; /* NULL-terminated */
    struct http_server *server;
};

struct listeners {
    struct node *node;
    struct listener *first;
    unsigned open; /* servers that were started and have not closed */
    void (*stopped)(void *context);
    void *context;
};

static bool same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static int copy_text(char **to, const char *from)
{
    if (from == NULL)
        return KAART_OK;
    *to = strdup(from);
    return *to != NULL ? KAART_OK : KAART_NOMEM;
}

static int copy_list(char ***to, char *const *from)
{
    size_t count = 0;
    while (from[count] != NULL)
        count++;
    *to = calloc(count + 1, sizeof(**to));
    if (*to == NULL)
        return KAART_NOMEM;
    for (size_t i = 0; i < count; i++)
        if (copy_text(&(*to)[i], from[i]) != KAART_OK)
            return KAART_NOMEM;
    return KAART_OK;
}

static bool same_list(char *const *a, char *const *b)
{
    while (*a != NULL && *b != NULL && strcmp(*a, *b) == 0) {
        a++;
        b++;
    }
    return *a == NULL && *b == NULL;
}

static void listener_free(struct listener *listener)
{
    for (size_t i = 0; listener->behind_proxy != NULL && listener->behind_proxy[i] != NULL; i++)
        free(listener->behind_proxy[i]);
    free(listener->behind_proxy);
    free(listener->title);
    free(listener->host);
    free(listener->tls_certificate);
    free(listener->tls_key);
    free(listener);
}

static bool same_listener(const struct listener *listener, const struct config_listen *wanted)
{
    return listener->title != NULL && strcmp(listener->title, wanted->title) == 0 &&
           strcmp(listener->host, wanted->host) == 0 && listener->port == wanted->port &&
           same_text(listener->tls_certificate, wanted->tls_certificate) &&
           same_text(listener->tls_key, wanted->tls_key) &&
           same_list(listener->behind_proxy, wanted->behind_proxy);
}

static int start_one(struct listeners *listeners, const struct config_listen *wanted, struct fault *fault)
{
    struct listener *listener = calloc(1, sizeof(*listener));
    if (listener == NULL)
        return KAART_NOMEM;
    int code = KAART_NOMEM;
    struct http_listen_options options = {.local = false};
    if (wanted != NULL) {
        if (copy_text(&listener->title, wanted->title) != KAART_OK ||
            copy_text(&listener->host, wanted->host) != KAART_OK ||
            copy_text(&listener->tls_certificate, wanted->tls_certificate) != KAART_OK ||
            copy_text(&listener->tls_key, wanted->tls_key) != KAART_OK ||
            copy_list(&listener->behind_proxy, wanted->behind_proxy) != KAART_OK)
            goto failed;
        listener->port = wanted->port;
        options.host = listener->host;
        options.port = listener->port;
        options.tls_certificate = listener->tls_certificate;
        options.tls_key = listener->tls_key;
        options.behind_proxy = (const char *const *)listener->behind_proxy;
    } else {
        options.unix_path = listeners->node->config->node.socket;
        options.local = true;
    }
    code = http_server_start(listeners->node->loop, &options, NULL, api_handle, listeners->node,
                             &listener->server, fault);
    if (code != KAART_OK)
        goto failed;
    listener->next = listeners->first;
    listeners->first = listener;
    listeners->open++;
    if (wanted != NULL)
        log_info("net", "listening on %s port %u (%s)", listener->host, http_server_port(listener->server),
                 listener->tls_certificate != NULL ? "https" : "http");
    return KAART_OK;
failed:
    listener_free(listener);
    return code;
}

static void one_closed(void *context)
{
    struct listeners *listeners = context;
    listeners->open--;
    if (listeners->open == 0 && listeners->stopped != NULL) {
        listeners->stopped(listeners->context);
        free(listeners);
    }
}

static void stop_first(struct listeners *listeners, struct listener **link)
{
    struct listener *listener = *link;
    *link = listener->next;
    struct http_server *server = listener->server;
    listener_free(listener);
    http_server_stop(server, STOP_GRACE_MS, one_closed, listeners);
}

int listeners_start(struct node *node, struct listeners **out, struct fault *fault)
{
    struct listeners *listeners = calloc(1, sizeof(*listeners));
    if (listeners == NULL)
        return fault_set(fault, KAART_NOMEM, "out of memory");
    listeners->node = node;
    *out = listeners;
    int code = start_one(listeners, NULL, fault);
    for (size_t i = 0; code == KAART_OK && i < node->config->listen_count; i++)
        code = start_one(listeners, &node->config->listens[i], fault);
    return code;
}

static bool still_wanted(const struct config *config, const struct listener *listener)
{
    if (listener->title == NULL)
        return true;
    for (size_t i = 0; i < config->listen_count; i++)
        if (same_listener(listener, &config->listens[i]))
            return true;
    return false;
}

static bool running(const struct listeners *listeners, const struct config_listen *wanted)
{
    for (const struct listener *listener = listeners->first; listener != NULL; listener = listener->next)
        if (same_listener(listener, wanted))
            return true;
    return false;
}

void listeners_reload(struct listeners *listeners)
{
    const struct config *config = listeners->node->config;
    struct fault fault = {{0}};
    for (struct listener **link = &listeners->first; *link != NULL;) {
        if (!still_wanted(config, *link)) {
            log_info("net", "no longer listening on %s port %u", (*link)->host, (*link)->port);
            stop_first(listeners, link);
            continue;
        }
        if ((*link)->tls_certificate != NULL && http_server_reload_tls((*link)->server, &fault) != KAART_OK)
            log_error("net", "%s; the former certificate stays in use", fault.text);
        link = &(*link)->next;
    }
    for (size_t i = 0; i < config->listen_count; i++)
        if (!running(listeners, &config->listens[i]) &&
            start_one(listeners, &config->listens[i], &fault) != KAART_OK)
            log_error("net", "%s", fault.text);
}

void listeners_stop(struct listeners *listeners, void (*stopped)(void *context), void *context)
{
    listeners->stopped = stopped;
    listeners->context = context;
    listeners->open++; /* until all have been told */
    while (listeners->first != NULL)
        stop_first(listeners, &listeners->first);
    one_closed(listeners);
}
