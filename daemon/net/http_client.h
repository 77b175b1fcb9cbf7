/*
 * http_client.h - outbound HTTP with libcurl's multi interface on the event loop. Loop thread only.
 *
 * No redirects, https only unless allowed, every size, time and rate bounded, counted after decompression.
 */
#ifndef KAARTD_NET_HTTP_CLIENT_H
#define KAARTD_NET_HTTP_CLIENT_H

#include "protocol/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct http_client;
struct http_call;

/* One per loop. 0 or KAART_NOMEM. */
int http_client_new(uv_loop_t *loop, struct http_client **out);
/* Cancels every call (their `done` is called with KAART_IO), then frees once the loop has run. */
void http_client_close(struct http_client *client); /* accepts NULL */

struct http_call_options { /* everything is copied */
    const char *method;    /* "GET", "POST", ... */
    const char *url;
    const char *const *headers; /* "Name: value", NULL-terminated; NULL: none */
    const char *body;           /* for POST */
    size_t body_size;
    const char *user_agent; /* NULL: kaartd/VERSION */
    const char *bearer;     /* token: sent as Authorization; never logged */
    const char *const
        *tls_pins;           /* "sha256/BASE64", NULL-terminated; given: the pin decides instead of the CAs */
    const char *tls_ca_file; /* given: these CAs instead of the system's (beside pins: both must hold) */
    const char *client_certificate, *client_key;
    const char *proxy;
    bool allow_plain_http; /* http:// to loopback addresses */
    bool accept_gzip;
    uint64_t size_max; /* of the body after decompression; larger ends the call with KAART_LIMIT; 0: 64 KiB */
    uint64_t head_size_max;      /* 0: 32 KiB */
    uint64_t connect_timeout_ms; /* 0: 15 s */
    uint64_t idle_timeout_ms;    /* 0: 30 s below 1 byte a second */
    uint64_t total_timeout_ms;   /* 0: 10 min */
};

struct http_result {
    int code; /* KAART_OK: a whole response came, whatever its status; KAART_LIMIT: too large; KAART_KEY: not
               * the server that was expected (pin, certificate); KAART_SYNTAX: a coding that was not asked
               * for; else KAART_IO */
    int status;              /* HTTP status, 0 if none */
    int64_t retry_after_ms;  /* from Retry-After, seconds or date; -1 if absent */
    uint64_t received_bytes; /* on the wire, head and body, below TLS */
    struct fault fault;      /* why it failed, for people */
};

struct http_call_events {
    void *context;
    /* Once, when the final status line and head are in; may be NULL. http_call_header works from here on. */
    void (*head)(void *context, struct http_call *call, int status);
    /* Body bytes, decompressed. Return false to pause (the same bytes come again after http_call_resume). May
     * be NULL: body is dropped. */
    bool (*data)(void *context, struct http_call *call, const char *bytes, size_t size);
    /* Exactly once, last; the call is freed after it returns. */
    void (*done)(void *context, struct http_call *call, const struct http_result *result);
};

/* Starts a call; `done` is never called from inside. May be called from any callback. 0 with *out, or
 * KAART_INVALID (URL or options), KAART_IO (the client is closing), KAART_NOMEM. */
int http_client_start(struct http_client *client, const struct http_call_options *options,
                      const struct http_call_events *events, struct http_call **out, struct fault *fault);
/* A response header's value (last one of that name), borrowed until done returns; NULL if absent. */
const char *http_call_header(const struct http_call *call, const char *name);
int http_call_status(const struct http_call *call);
void http_call_resume(struct http_call *call);
/* Ends it; `done` comes later with KAART_IO "cancelled". */
void http_call_cancel(struct http_call *call);

#endif
