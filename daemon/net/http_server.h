/*
 * http_server.h - HTTP/1.1 over TLS, plain TCP (loopback, or behind a proxy) or a Unix socket, on the event
 * loop.
 *
 * The packaged parser reads the grammar; our rules on top: one Content-Length or none, no bare LF, no
 * obs-fold, no duplicate Host or Content-Length, head <= 8 KiB,
 * <= 64 fields, deadlines for handshake, head, body, idle and write. Any framing error ends the connection.
 * TLS 1.2+, client certificates are asked for but not demanded: a caller is known by the SPKI pin of what it
 * shows.
 *
 *   accept -> handshake -> HEAD -> handler(exchange) -> [BODY] -> RESPONSE -> HEAD (keep-alive) | close
 *
 * An exchange stays valid while the handler holds it, even when the caller has gone: answering then is a
 * harmless no-op. Loop thread only.
 */
#ifndef KAARTD_NET_HTTP_SERVER_H
#define KAARTD_NET_HTTP_SERVER_H

#include "protocol/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct http_server;
struct http_exchange;

/* The head is complete. The handler answers now, or asks for the body, or holds the exchange and answers
 * later. */
typedef void http_handler(void *context, struct http_exchange *exchange);

struct http_listen_options {
    const char *host;      /* numeric address; "::" and "0.0.0.0" allowed */
    uint16_t port;         /* 0: the system chooses; see http_server_port */
    const char *unix_path; /* instead of host and port; created 0660, an old socket is removed */
    const char *tls_certificate, *tls_key; /* PEM files; both NULL: plain */
    bool local;                            /* what exchange_local answers: true for the control socket */
    /* Numeric addresses of TLS-ending proxies, NULL-terminated; NULL: none. A plain TCP listener takes
     * connections from these and from loopback only; only their Client-Cert field (RFC 9440) is believed, by
     * any listener. Copied. */
    const char *const *behind_proxy;
};

struct http_server_limits { /* 0: the default, named in http_server.c with its reason */
    unsigned connections_max;
    unsigned connections_per_address_max;
    uint64_t head_timeout_ms, idle_timeout_ms, write_timeout_ms, body_timeout_ms;
};

/* Starts to listen; everything in `options` is copied. 0, KAART_IO, KAART_KEY (certificate or key unusable),
 * KAART_NOMEM. */
int http_server_start(uv_loop_t *loop, const struct http_listen_options *options,
                      const struct http_server_limits *limits, http_handler *handler, void *context,
                      struct http_server **out, struct fault *fault);
uint16_t http_server_port(const struct http_server *server);
unsigned http_server_connections(const struct http_server *server);
/* Reads the certificate anew (SIGHUP); on error the old one stays. */
int http_server_reload_tls(struct http_server *server, struct fault *fault);
/* Stops listening, lets running responses end for `grace_ms`, closes the rest, then calls closed(context) and
 * frees. */
void http_server_stop(struct http_server *server, uint64_t grace_ms, void (*closed)(void *context),
                      void *context);

/* ---- the request; strings live as long as the exchange ---- */
const char *exchange_method(const struct http_exchange *exchange);
const char *exchange_path(const struct http_exchange *exchange); /* percent-decoded once, starts with '/', no
                                                                    "..", no NUL, valid UTF-8 */
/* A query member, percent-decoded; NULL if absent. A repeated member makes the request a 400 before any
 * handler sees it. */
const char *exchange_query(struct http_exchange *exchange, const char *name);
const char *exchange_header(const struct http_exchange *exchange,
                            const char *name); /* name in any case; NULL if absent */
/* "sha256/BASE64" of the SPKI of the client certificate: of the TLS connection, or as reported by a trusted
 * proxy; "" if none was shown. */
const char *exchange_peer_pin(const struct http_exchange *exchange);
const char *
exchange_address(const struct http_exchange *exchange); /* numeric; "unix" for the control socket */
bool exchange_local(const struct http_exchange *exchange);
bool exchange_accepts_gzip(const struct http_exchange *exchange);

/* ---- the body ---- */
/* Collects at most `size_max` bytes, then calls `complete` (bytes borrowed until it returns, and ended by a
 * NUL that is not counted). Larger: 413 is answered and `complete` is not called; nor is it when the caller
 * goes away. Content-Encoding: gzip is inflated under the same bound. */
typedef void exchange_body(void *context, struct http_exchange *exchange, const char *bytes, size_t size);
void exchange_collect(struct http_exchange *exchange, size_t size_max, exchange_body *complete,
                      void *context);
/* Hands out the body piece by piece (inflated if gzip, under size_max after inflation), each at most 64 KiB.
 * `end` is called once, last: complete true at the end, false if the caller went away or broke a bound (which
 * then has been answered). After the handler has responded there is neither `data` nor `end` any more. */
typedef void exchange_data(void *context, struct http_exchange *exchange, const char *bytes, size_t size);
typedef void exchange_end(void *context, struct http_exchange *exchange, bool complete);
void exchange_stream(struct http_exchange *exchange, uint64_t size_max, exchange_data *data,
                     exchange_end *end, void *context);
/* Stops and restarts reading from the caller: backpressure. While paused neither `data` nor `end` is called.
 * Resume may call them before it returns. */
void exchange_pause(struct http_exchange *exchange);
void exchange_resume(struct http_exchange *exchange);

/* ---- the response ---- */
/* Held exchanges must be released; the last release after a response frees it. A handler that neither
 * answers, nor holds, nor asks for the body, gets a 500 for it. */
void exchange_hold(struct http_exchange *exchange);
void exchange_release(struct http_exchange *exchange);
bool exchange_gone(const struct http_exchange *exchange);
/* Called once if the caller goes away before the response has been handed over whole; not after. For handlers
 * that hold an exchange and keep something running for it. */
void exchange_on_gone(struct http_exchange *exchange,
                      void (*gone)(void *context, struct http_exchange *exchange), void *context);
/* Before the response. Value without CR and LF (checked). */
void exchange_set_header(struct http_exchange *exchange, const char *name, const char *value);
/* The whole response. `body` is malloc'ed and becomes the server's (NULL with size 0). HEAD sends no body;
 * 304 and 204 neither. */
void exchange_respond(struct http_exchange *exchange, int status, const char *content_type, char *body,
                      size_t size);
/* RFC 9457 problem+json with status, title, detail (detail: printf). */
void exchange_problem(struct http_exchange *exchange, int status, const char *title,
                      const char *detail_format, ...) __attribute__((format(printf, 4, 5)));
/* In pieces (chunked): begin, write*, end. `drained` is called, from the loop, whenever less than 64 KiB wait
 * after a write: produce the next piece only then (the first may be written at once). Hold the exchange until
 * respond_end. `drained` may be NULL; it is not called once the caller has gone: see exchange_on_gone. */
void exchange_respond_begin(struct http_exchange *exchange, int status, const char *content_type,
                            void (*drained)(void *context, struct http_exchange *exchange), void *context);
void exchange_respond_write(struct http_exchange *exchange, const char *bytes, size_t size);
void exchange_respond_end(struct http_exchange *exchange);

#endif
