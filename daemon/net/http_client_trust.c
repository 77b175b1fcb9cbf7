/*
 * http_client_trust.c - where a call may go, and by what it knows the server: the system's authorities, a
 * file of authorities, or pins.
 *
 *   neither pins nor CA file    the system's authorities and the host's name
 *   CA file                     those authorities and the host's name
 *   pins                        one of the keys, whatever the certificate says (self-signed, expired, other
 * name) pins and CA file            both
 */
#include "daemon/net/http_internal_client.h"
#include "daemon/net/tls.h"

#include "protocol/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A pin of today, one for the next key, and room for a peer behind several front ends. */
#define PINS_MAX 16
/* "sha256//" and 44 characters, ";" */
#define PIN_ROOM 56

static bool is_loopback(const char *host)
{
    return strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0 ||
           (strncmp(host, "127.", 4) == 0 && strspn(host, "0123456789.") == strlen(host));
}

struct url_parts {
    char *scheme, *host, *port, *fragment;
};

static int split(const char *text, struct url_parts *parts)
{
    CURLU *url = curl_url();
    int code = KAART_INVALID;

    if (!url)
        return KAART_NOMEM;
    if (curl_url_set(url, CURLUPART_URL, text, CURLU_DISALLOW_USER) == CURLUE_OK &&
        curl_url_get(url, CURLUPART_SCHEME, &parts->scheme, 0) == CURLUE_OK &&
        curl_url_get(url, CURLUPART_HOST, &parts->host, 0) == CURLUE_OK &&
        curl_url_get(url, CURLUPART_PORT, &parts->port, CURLU_DEFAULT_PORT) == CURLUE_OK) {
        curl_url_get(url, CURLUPART_FRAGMENT, &parts->fragment, 0);
        code = KAART_OK;
    }
    curl_url_cleanup(url);
    return code;
}

static int judge(const struct url_parts *parts, const struct http_call_options *options, struct fault *fault)
{
    bool plain = strcmp(parts->scheme, "http") == 0;

    if (!plain && strcmp(parts->scheme, "https") != 0)
        return fault_set(fault, KAART_INVALID, "%s: only https is allowed", parts->scheme);
    if (plain && !options->allow_plain_http)
        return fault_set(fault, KAART_INVALID, "http://%s: plain http is not allowed", parts->host);
    if (plain && !is_loopback(parts->host))
        return fault_set(fault, KAART_INVALID, "http://%s: plain http is allowed to loopback only",
                         parts->host);
    if (parts->fragment)
        return fault_set(fault, KAART_INVALID, "%s: a URL with a fragment", parts->host);
    return KAART_OK;
}

int client_check_url(const struct http_call_options *options, char *site, size_t site_size,
                     struct fault *fault)
{
    struct url_parts parts = {0};
    int code = options->url ? split(options->url, &parts) : KAART_INVALID;

    if (code == KAART_NOMEM)
        fault_set(fault, code, "no memory for a call");
    else if (code)
        fault_set(fault, code, "not a usable URL (credentials in it are not allowed)");
    else
        code = judge(&parts, options, fault);
    if (!code)
        snprintf(site, site_size, "%s://%s:%s", parts.scheme, parts.host, parts.port);
    curl_free(parts.scheme);
    curl_free(parts.host);
    curl_free(parts.port);
    curl_free(parts.fragment);
    return code;
}

/* Our pins have one slash, libcurl's two. */
static int set_pins(CURL *easy, const char *const *pins, struct fault *fault)
{
    char text[PINS_MAX * PIN_ROOM] = "";
    uint8_t digest[HASH_SIZE];
    size_t i, used = 0;

    for (i = 0; pins[i]; i++) {
        size_t size = sizeof(digest);

        if (i == PINS_MAX)
            return fault_set(fault, KAART_INVALID, "more than %d pins", PINS_MAX);
        if (strncmp(pins[i], "sha256/", 7) != 0 || strlen(pins[i]) != 7 + 44 ||
            base64_decode(pins[i] + 7, 44, digest, &size) || size != HASH_SIZE)
            return fault_set(fault, KAART_INVALID, "\"%s\" is no pin (sha256/BASE64)", pins[i]);
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%ssha256//%s", i ? ";" : "", pins[i] + 7);
    }
    return curl_easy_setopt(easy, CURLOPT_PINNEDPUBLICKEY, text)
               ? fault_set(fault, KAART_NOMEM, "no memory for a call")
               : KAART_OK;
}

int client_set_tls(CURL *easy, const struct http_call_options *options, struct fault *fault)
{
    bool pinned = options->tls_pins && options->tls_pins[0];
    bool by_authority = !pinned || options->tls_ca_file;
    int code = pinned ? set_pins(easy, options->tls_pins, fault) : KAART_OK;
    CURLcode set = CURLE_OK;

    if (code)
        return code;
#define SET(option, value) set = set ? set : curl_easy_setopt(easy, option, value)
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_SSL_CIPHER_LIST, TLS12_CIPHERS);
    SET(CURLOPT_SSL_EC_CURVES, TLS_GROUPS);
    SET(CURLOPT_SSL_SESSIONID_CACHE, 0L); /* every connection shows its certificate anew */
    SET(CURLOPT_SSL_VERIFYPEER, by_authority ? 1L : 0L);
    SET(CURLOPT_SSL_VERIFYHOST, by_authority ? 2L : 0L);
    if (options->tls_ca_file) {
        SET(CURLOPT_CAINFO, options->tls_ca_file);
        SET(CURLOPT_CAPATH, NULL);
    }
    if (options->client_certificate) {
        SET(CURLOPT_SSLCERT, options->client_certificate);
        SET(CURLOPT_SSLKEY, options->client_key ? options->client_key : options->client_certificate);
        SET(CURLOPT_KEYPASSWD, ""); /* or OpenSSL would ask on the terminal for an encrypted one */
    }
#undef SET
    return set ? fault_set(fault, KAART_NOMEM, "no memory for a call") : KAART_OK;
}
