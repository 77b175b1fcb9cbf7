/*
 * http_internal_client.h - what http_client.c takes from http_client_trust.c: where a call may go, and whom
 * it finds there.
 */
#ifndef KAARTD_NET_HTTP_INTERNAL_CLIENT_H
#define KAARTD_NET_HTTP_INTERNAL_CLIENT_H

#include "daemon/net/http_client.h"

#include <curl/curl.h>

/* https, or plain http where allowed and only to loopback; no credentials, no fragment. `site` becomes
 * "scheme://host:port". KAART_INVALID, KAART_NOMEM. */
int client_check_url(const struct http_call_options *options, char *site, size_t site_size,
                     struct fault *fault);
/* TLS version, ciphers, authorities, pins, client certificate. KAART_INVALID (a malformed pin), KAART_NOMEM.
 */
int client_set_tls(CURL *easy, const struct http_call_options *options, struct fault *fault);

#endif
