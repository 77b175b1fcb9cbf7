/*
 * source_json.h - fetches one page of a JSON register over HTTP, with the patience that registers need. Loop
 * thread only.
 */
#ifndef KAARTD_SOURCE_SOURCE_JSON_H
#define KAARTD_SOURCE_SOURCE_JSON_H

#include "daemon/net/http_client.h"

#include <cjson/cJSON.h>
#include <stdint.h>

struct page_fetch;

struct page_request { /* everything is copied, but `pins` and `headers` need to last only for page_fetch_start
                         as well */
    const char *url;
    const char *token;         /* NULL: none */
    const char *token_header;  /* carries the token; NULL: Authorization: Bearer */
    const cJSON *headers;      /* object of strings, or NULL */
    const char *etag;          /* of what is known: If-None-Match; NULL: ask unconditionally */
    const char *last_modified; /* If-Modified-Since; NULL */
    const char *const *tls_pins;
    const char *tls_ca_file, *client_certificate, *client_key, *proxy;
    bool allow_plain_http;
    uint64_t size_max;    /* of the page, after decompression */
    uint64_t time_max_ms; /* for all attempts together */
};

enum page_outcome {
    PAGE_CAME,         /* status 200; whether it is a listing is for page_open to say */
    PAGE_NOT_MODIFIED, /* status 304 */
    PAGE_FAILED,       /* anything else; `fault` says what */
};

struct page_answer {
    enum page_outcome outcome;
    int status; /* HTTP status, 0 if none */
    char *text; /* PAGE_CAME: the body; the callback may take it (and set it to NULL) */
    size_t size;
    const char *content_type, *link, *etag, *last_modified; /* NULL: absent; borrowed */
    int64_t retry_after_ms;                                 /* what the register asks for; -1: nothing */
    struct fault fault;
};

/* Called once, never from inside page_fetch_start; the fetch is gone afterwards. */
typedef void page_fetched(void *context, struct page_answer *answer);

/* 0 with *out, or an error of http_client_start. */
int page_fetch_start(uv_loop_t *loop, struct http_client *client, const struct page_request *request,
                     page_fetched *done, void *context, struct page_fetch **out, struct fault *fault);
/* Ends it without calling `done`. */
void page_fetch_cancel(struct page_fetch *fetch);

#endif
