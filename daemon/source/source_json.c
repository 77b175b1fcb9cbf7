/*
 * source_json.c - one page over HTTP.
 *
 *                +------------- 429, 5xx, connection lost (ATTEMPTS_MAX) --------+
 *                v                                                               |
 *     start -> calling --+-- 200 --> came                                     waiting (Retry-After, or
 * backoff with jitter)
 *                        +-- 304 --> not modified                                ^
 *                        +-- 429, 5xx, lost: again ------------------------------+
 *                        +-- 401, 403, 404, redirect, too large, ... --> failed
 *
 * A register that asks for more patience than WAIT_MAX_MS gets it between runs instead.
 */
#include "daemon/source/source_json.h"
#include "daemon/node.h"
#include "protocol/retry.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Attempts for one page: two hiccups are common, more is an outage and waits for the next run. */
#define ATTEMPTS_MAX 3
/* The first wait, doubled for the next. */
#define WAIT_BASE_MS 1000
/* Longest wait within a run. */
#define WAIT_MAX_MS 60000
/* Request headers, ours included. */
#define HEADERS_MAX 24

struct page_fetch {
    uv_loop_t *loop;
    struct http_client *client;
    struct http_call *call;
    uv_timer_t timer;
    page_fetched *done;
    void *context;
    unsigned attempts;
    uint64_t deadline; /* uv_now */
    uint64_t size_max;
    bool cancelled;
    bool over; /* done was called, or never will be */

    char *url, *bearer, *tls_ca_file, *client_certificate, *client_key, *proxy;
    bool allow_plain_http;
    char *headers[HEADERS_MAX + 1];
    size_t header_count;
    char **pins;

    char *text;
    size_t size, room;
    bool out_of_memory;
};

static void wipe_free(char *secret)
{
    if (secret != NULL)
        OPENSSL_cleanse(secret, strlen(secret));
    free(secret);
}

static void free_fetch(struct page_fetch *fetch)
{
    for (size_t i = 0; i < fetch->header_count; i++)
        wipe_free(fetch->headers[i]); /* one may hold the token */
    for (size_t i = 0; fetch->pins != NULL && fetch->pins[i] != NULL; i++)
        free(fetch->pins[i]);
    free(fetch->pins);
    free(fetch->url);
    wipe_free(fetch->bearer);
    free(fetch->tls_ca_file);
    free(fetch->client_certificate);
    free(fetch->client_key);
    free(fetch->proxy);
    free(fetch->text);
    free(fetch);
}

static void on_timer_closed(uv_handle_t *handle)
{
    free_fetch(handle->data);
}

static void close_fetch(struct page_fetch *fetch)
{
    fetch->over = true;
    uv_close((uv_handle_t *)&fetch->timer, on_timer_closed);
}

static int start_call(struct page_fetch *fetch, struct fault *fault);

static void finish(struct page_fetch *fetch, struct page_answer *answer)
{
    page_fetched *done = fetch->done;
    fetch->over = true;
    done(fetch->context, answer);
    if (answer->text == NULL)
        fetch->text = NULL;
    close_fetch(fetch);
}

static void finish_failed(struct page_fetch *fetch, int status, int64_t retry_after_ms, const char *reason)
{
    struct page_answer answer = {.outcome = PAGE_FAILED, .status = status, .retry_after_ms = retry_after_ms};
    fault_set(&answer.fault, KAART_IO, "%s", reason);
    answer.text = fetch->text;
    finish(fetch, &answer);
}

/* ---- what the register answers ---- */

static const char *meaning(int status)
{
    switch (status) {
    case 401:
        return "the token is missing or refused (401)";
    case 403:
        return "the token has no right to this list (403)";
    case 404:
    case 410:
        return "there is no list at this url (404 or 410)";
    case 429:
        return "too many requests (429)";
    default:
        return status >= 300 && status < 400
                   ? "a redirect, which is not followed: configure the url it leads to"
               : status >= 500 ? "an error of its own"
                               : "a refusal";
    }
}

/* Worth another attempt within this run. */
static bool is_hiccup(const struct http_result *result)
{
    if (result->code != KAART_OK)
        return result->code == KAART_IO; /* not: too large, or another server than expected */
    return result->status == 429 || result->status == 408 || result->status >= 500;
}

static void on_timer(uv_timer_t *timer)
{
    struct page_fetch *fetch = timer->data;
    struct fault fault = {""};
    if (start_call(fetch, &fault) != KAART_OK)
        finish_failed(fetch, 0, -1, fault.text);
}

/* True when another attempt was set up. */
static bool try_again(struct page_fetch *fetch, const struct http_result *result)
{
    int64_t wait = retry_backoff(fetch->attempts, WAIT_BASE_MS, WAIT_MAX_MS, node_random32());
    if (result->code == KAART_OK && result->retry_after_ms >= 0)
        wait = result->retry_after_ms + retry_spread(WAIT_BASE_MS / 4, node_random32());
    if (fetch->attempts >= ATTEMPTS_MAX || wait > WAIT_MAX_MS + WAIT_BASE_MS ||
        uv_now(fetch->loop) + (uint64_t)wait >= fetch->deadline)
        return false;
    uv_timer_start(&fetch->timer, on_timer, (uint64_t)wait, 0);
    return true;
}

static void on_answer(struct page_fetch *fetch, struct http_call *call, const struct http_result *result)
{
    struct page_answer answer = {
        .outcome = result->status == 304 ? PAGE_NOT_MODIFIED : PAGE_CAME,
        .status = result->status,
        .retry_after_ms = result->retry_after_ms,
        .text = fetch->text,
        .size = fetch->size,
        .content_type = http_call_header(call, "Content-Type"),
        .link = http_call_header(call, "Link"),
        .etag = http_call_header(call, "ETag"),
        .last_modified = http_call_header(call, "Last-Modified"),
    };
    finish(fetch, &answer);
}

static bool on_data(void *context, struct http_call *call, const char *bytes, size_t size)
{
    struct page_fetch *fetch = context;
    (void)call;
    if (fetch->size + size + 1 > fetch->room) {
        size_t room = fetch->room > 0 ? fetch->room : 65536;
        while (room < fetch->size + size + 1)
            room *= 2;
        char *grown = realloc(fetch->text, room);
        if (grown == NULL) {
            fetch->out_of_memory = true; /* told at the end */
            return true;
        }
        fetch->text = grown;
        fetch->room = room;
    }
    memcpy(fetch->text + fetch->size, bytes, size);
    fetch->size += size;
    fetch->text[fetch->size] = '\0';
    return true;
}

static void on_done(void *context, struct http_call *call, const struct http_result *result)
{
    struct page_fetch *fetch = context;
    char reason[560];
    fetch->call = NULL;
    if (fetch->cancelled) {
        close_fetch(fetch);
        return;
    }
    if (fetch->out_of_memory) {
        finish_failed(fetch, result->status, -1, "out of memory");
        return;
    }
    if (result->code == KAART_OK && (result->status == 200 || result->status == 304)) {
        on_answer(fetch, call, result);
        return;
    }
    if (is_hiccup(result) && try_again(fetch, result))
        return;
    if (result->code != KAART_OK)
        snprintf(reason, sizeof(reason), "%.500s", result->fault.text);
    else
        snprintf(reason, sizeof(reason), "the register answers with status %d: %s", result->status,
                 meaning(result->status));
    finish_failed(fetch, result->status, result->code == KAART_OK ? result->retry_after_ms : -1, reason);
}

/* ---- asking ---- */

static int start_call(struct page_fetch *fetch, struct fault *fault)
{
    uint64_t now = uv_now(fetch->loop);
    struct http_call_options options = {
        .method = "GET",
        .url = fetch->url,
        .headers = (const char *const *)fetch->headers,
        .bearer = fetch->bearer,
        .tls_pins = (const char *const *)fetch->pins,
        .tls_ca_file = fetch->tls_ca_file,
        .client_certificate = fetch->client_certificate,
        .client_key = fetch->client_key,
        .proxy = fetch->proxy,
        .allow_plain_http = fetch->allow_plain_http,
        .accept_gzip = true,
        .size_max = fetch->size_max,
        .total_timeout_ms = fetch->deadline > now ? fetch->deadline - now : 1,
    };
    struct http_call_events events = {.context = fetch, .data = on_data, .done = on_done};
    free(fetch->text);
    fetch->text = NULL;
    fetch->size = fetch->room = 0;
    fetch->attempts++;
    return http_client_start(fetch->client, &options, &events, &fetch->call, fault);
}

static bool copy(char **to, const char *from)
{
    *to = from != NULL && from[0] != '\0' ? strdup(from) : NULL;
    return *to != NULL || from == NULL || from[0] == '\0';
}

static bool add_header(struct page_fetch *fetch, const char *name, const char *value)
{
    if (value == NULL || value[0] == '\0')
        return true;
    if (fetch->header_count == HEADERS_MAX ||
        asprintf(&fetch->headers[fetch->header_count], "%s: %s", name, value) < 0)
        return false;
    fetch->header_count++;
    return true;
}

static bool copy_headers(struct page_fetch *fetch, const struct page_request *request)
{
    if (request->token_header != NULL && !add_header(fetch, request->token_header, request->token))
        return false;
    const cJSON *header = NULL;
    bool accepts = false;
    cJSON_ArrayForEach(header, request->headers)
    {
        if (!cJSON_IsString(header))
            continue;
        accepts = accepts || strcasecmp(header->string, "Accept") == 0;
        if (!add_header(fetch, header->string, header->valuestring))
            return false;
    }
    return (accepts || add_header(fetch, "Accept", "application/json")) &&
           add_header(fetch, "If-None-Match", request->etag) &&
           add_header(fetch, "If-Modified-Since", request->last_modified);
}

static bool copy_pins(struct page_fetch *fetch, const char *const *pins)
{
    size_t count = 0;
    while (pins != NULL && pins[count] != NULL)
        count++;
    if (count == 0)
        return true;
    fetch->pins = calloc(count + 1, sizeof(*fetch->pins));
    for (size_t i = 0; fetch->pins != NULL && i < count; i++) {
        if (!copy(&fetch->pins[i], pins[i]))
            return false;
    }
    return fetch->pins != NULL;
}

int page_fetch_start(uv_loop_t *loop, struct http_client *client, const struct page_request *request,
                     page_fetched *done, void *context, struct page_fetch **out, struct fault *fault)
{
    struct page_fetch *fetch = calloc(1, sizeof(*fetch));
    *out = NULL;
    if (fetch == NULL)
        return fault_set(fault, KAART_NOMEM, "out of memory");
    fetch->loop = loop;
    fetch->client = client;
    fetch->done = done;
    fetch->context = context;
    fetch->allow_plain_http = request->allow_plain_http;
    fetch->size_max = request->size_max;
    fetch->deadline = uv_now(loop) + request->time_max_ms;
    if (!copy(&fetch->url, request->url) ||
        !copy(&fetch->bearer, request->token_header == NULL ? request->token : NULL) ||
        !copy(&fetch->tls_ca_file, request->tls_ca_file) ||
        !copy(&fetch->client_certificate, request->client_certificate) ||
        !copy(&fetch->client_key, request->client_key) || !copy(&fetch->proxy, request->proxy) ||
        !copy_pins(fetch, request->tls_pins) || !copy_headers(fetch, request)) {
        free_fetch(fetch);
        return fault_set(fault, KAART_NOMEM, "out of memory, or more than %d headers", HEADERS_MAX);
    }
    uv_timer_init(loop, &fetch->timer);
    fetch->timer.data = fetch;
    int code = start_call(fetch, fault);
    if (code != KAART_OK) {
        close_fetch(fetch);
        return code;
    }
    *out = fetch;
    return KAART_OK;
}

void page_fetch_cancel(struct page_fetch *fetch)
{
    if (fetch->over || fetch->cancelled)
        return;
    fetch->cancelled = true;
    if (fetch->call != NULL)
        http_call_cancel(fetch->call); /* on_done closes */
    else
        close_fetch(fetch);
}
