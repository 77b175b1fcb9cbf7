/*
 * request.c - one HTTP request to a peer: URL, pins, certificates and proxy from the peer's section of the configuration as it is at that moment, answers collected
 * in bounded memory or handed on as they come.
 *
 *   request_start ---> head ---> data* ---> done (callback, freed)
 *        |                         |
 *        +-------------------------+-- request_abandon: cancelled, no callback, freed when the call ends
 */
#include "daemon/sync/sync_internal.h"

#include "daemon/log.h"
#include "protocol/json.h"
#include "protocol/stream.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of an error's body: a problem document is some hundred bytes; what is larger is not read. */
#define PROBLEM_MAX 8192

struct request {
    struct http_call *call;
    struct request_options options; /* only callbacks, context and sizes are used after the start */
    bool abandoned;
    bool paused;
    int status;
    char *body;
    size_t size, room;
    bool too_large;
};

static void on_head(void *context, struct http_call *call, int status)
{
    struct request *request = context;

    (void)call;
    request->status = status;
}

static bool collect(struct request *request, const char *bytes, size_t size)
{
    size_t most = request->status == 200 || request->status == 409 ? request->options.small_max : PROBLEM_MAX;

    if (size > most - request->size) {
        request->too_large = true;
        return false;
    }
    if (request->size + size + 1 > request->room) {
        size_t room = 2 * (request->size + size) + 1;
        char *body = realloc(request->body, room);
        if (!body)
            return false;
        request->body = body;
        request->room = room;
    }
    memcpy(request->body + request->size, bytes, size);
    request->size += size;
    request->body[request->size] = '\0';
    return true;
}

static bool on_data(void *context, struct http_call *call, const char *bytes, size_t size)
{
    struct request *request = context;

    if (request->abandoned || request->too_large)
        return true;
    if (request->status == 200 && request->options.data) {
        if (request->options.data(request->options.context, bytes, size))
            return true;
        request->paused = true;
        return request->abandoned; /* the callback may have let go of it */
    }
    if (!collect(request, bytes, size)) {
        request->too_large = true;
        if (request->status == 200)
            http_call_cancel(call);
    }
    return true;
}

/* "HTTP 503: the queue is full" from a problem document, or what there is. */
static void describe(const struct request *request, const struct http_result *result, struct fault *fault)
{
    struct fault ignored;
    cJSON *problem = NULL;
    const char *detail = NULL;

    if (request->size && !request->too_large)
        problem = json_parse(request->body, request->size, &ignored);
    if (problem) {
        detail = json_get_string(problem, "detail");
        if (!detail)
            detail = json_get_string(problem, "title");
    }
    if (result->status >= 300 && result->status < 400 && result->status != 304)
        fault_set(fault, KAART_IO, "HTTP %d: redirects are not followed (spec/feed.md [HTTP-2])",
                  result->status);
    else if (detail)
        fault_set(fault, KAART_IO, "HTTP %d: %.300s", result->status, detail);
    else
        fault_set(fault, KAART_IO, "HTTP %d", result->status);
    cJSON_Delete(problem);
}

static void on_done(void *context, struct http_call *call, const struct http_result *result)
{
    struct request *request = context;
    struct fault fault = {.text = ""};

    (void)call;
    if (!request->abandoned) {
        struct request_result out = {.code = result->code,
                                     .status = result->status,
                                     .retry_after_ms = result->retry_after_ms,
                                     .received_bytes = result->received_bytes,
                                     .body = request->body ? request->body : "",
                                     .size = request->size,
                                     .text = fault.text};
        if (request->too_large && request->status == 200) {
            out.code = fault_set(&fault, KAART_LIMIT, "the answer is larger than %zu bytes",
                                 request->options.small_max);
        } else if (result->code) {
            fault = result->fault;
        } else if (result->status != 200) {
            describe(request, result, &fault);
        }
        request->options.done(request->options.context, &out);
    }
    free(request->body);
    free(request);
}

static int make_url(const struct config_peer *peer, const struct request_options *options, char *url,
                    size_t size)
{
    int length;

    if (!options->feed)
        length = snprintf(url, size, "%s/v1/feeds", peer->url);
    else if (options->ranged)
        length = snprintf(url, size, "%s/v1/feeds/%s/%s?epoch=%" PRIu64 "&since=%" PRIu64, peer->url,
                          options->feed, options->what, options->epoch, options->since);
    else
        length = snprintf(url, size, "%s/v1/feeds/%s/%s", peer->url, options->feed, options->what);
    return length > 0 && (size_t)length < size ? KAART_OK : KAART_INVALID;
}

int request_start(struct sync *sync, const struct request_options *options, struct request **out,
                  struct fault *fault)
{
    const struct config_node *node = &sync->node->config->node;
    const struct config_peer *peer = config_peer(sync->node->config, options->peer);
    struct sync_peer *counted = sync_peer_find(sync, options->peer);
    char url[2048], condition[HASH_SIZE * 2 + 32], type[96];
    const char *headers[3] = {NULL, NULL, NULL};
    size_t header_count = 0;
    struct request *request;
    int code;

    if (!peer || !peer->url)
        return fault_set(fault, KAART_UNKNOWN, "the peer has no url in the configuration");
    if (make_url(peer, options, url, sizeof(url)))
        return fault_set(fault, KAART_INVALID, "the peer's url is too long");
    if (options->if_none_match && options->if_none_match[0]) {
        snprintf(condition, sizeof(condition), "If-None-Match: %s", options->if_none_match);
        headers[header_count++] = condition;
    }
    if (options->content_type) {
        snprintf(type, sizeof(type), "Content-Type: %s", options->content_type);
        headers[header_count++] = type;
    }
    request = calloc(1, sizeof(*request));
    if (!request)
        return fault_set(fault, KAART_NOMEM, "no memory for a request");
    request->options = *options;

    const struct http_call_options call = {
        .method = options->method,
        .url = url,
        .headers = headers,
        .body = options->body,
        .body_size = options->body_size,
        .tls_pins = peer->tls_pins && peer->tls_pins[0] ? (const char *const *)peer->tls_pins : NULL,
        .tls_ca_file = peer->tls_ca_file,
        .client_certificate = node->client_certificate,
        .client_key = node->client_key,
        .proxy = node->proxy,
        .allow_plain_http = node->allow_plain_http,
        .accept_gzip = true,
        .size_max = options->size_max};
    const struct http_call_events events = {
        .context = request, .head = on_head, .data = on_data, .done = on_done};
    code = http_client_start(sync->node->client, &call, &events, &request->call, fault);
    if (code) {
        free(request);
        return code;
    }
    if (counted)
        counted->requests++;
    *out = request;
    return KAART_OK;
}

void request_resume(struct request *request)
{
    if (!request->paused)
        return;
    request->paused = false;
    http_call_resume(request->call);
}

void request_abandon(struct request *request)
{
    if (!request || request->abandoned)
        return;
    request->abandoned = true;
    http_call_cancel(request->call);
}

/* ---- notes ---- */

int sync_open_note(const struct sync *sync, const char *feed, const char *note, size_t size,
                   struct checkpoint *out, struct fault *fault)
{
    struct verifier_key keys[FEED_KEYS_MAX];
    size_t count = config_feed_keys(sync->node->config, feed, keys);

    if (!count)
        return fault_set(fault, KAART_KEY, "no key is configured for %s", feed);
    return checkpoint_open(note, size, feed, keys, count, out, fault);
}

struct head_line {
    char *note;
    size_t size;
};

static int take_entry(void *context, const struct entry *entry, const char *line, size_t size,
                      struct fault *fault)
{
    (void)context, (void)entry, (void)line, (void)size;
    return fault_set(fault, KAART_SYNTAX,
                     "an entry where the checkpoint line alone was expected (spec/feed.md [STREAM-7])");
}

static int take_next(void *context, uint64_t since, struct fault *fault)
{
    (void)context, (void)since;
    return fault_set(fault, KAART_SYNTAX, "a page without entries (spec/feed.md [STREAM-5])");
}

static int take_checkpoint(void *context, const char *note, size_t size, struct fault *fault)
{
    struct head_line *line = context;

    line->note = malloc(size + 1);
    if (!line->note)
        return fault_set(fault, KAART_NOMEM, "no memory for a note");
    memcpy(line->note, note, size);
    line->note[size] = '\0';
    line->size = size;
    return KAART_OK;
}

int sync_parse_head_line(const char *text, size_t size, uint64_t since, char **note, size_t *note_size,
                         struct fault *fault)
{
    struct head_line line = {NULL, 0};
    const struct stream_events events = {
        .context = &line, .entry = take_entry, .checkpoint = take_checkpoint, .next = take_next};
    struct stream_reader *reader = stream_reader_new(since, 0, &events);
    int code;

    if (!reader)
        return fault_set(fault, KAART_NOMEM, "no memory for a stream");
    code = stream_reader_write(reader, text, size, fault);
    if (!code)
        code = stream_reader_finish(reader, fault);
    stream_reader_free(reader);
    if (!code && !line.note)
        code =
            fault_set(fault, KAART_SYNTAX, "an answer without its checkpoint line (spec/feed.md [STREAM-2])");
    if (code) {
        free(line.note);
        return code;
    }
    *note = line.note;
    *note_size = line.size;
    return KAART_OK;
}
