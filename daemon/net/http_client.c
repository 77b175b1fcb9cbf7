/*
 * http_client.c - outbound HTTP: libcurl's multi interface driven by libuv. See http_client.h.
 *
 *   start -> WAITING --deferred--> RUNNING --libcurl says done--> done() -> freed
 *               |                    | data() refuses: PAUSED --resume, deferred--> RUNNING
 *               +------ cancel, deferred ------> done("cancelled") -> freed
 *
 * libcurl must not be called from its own callbacks. So starting, resuming and cancelling only raise a flag;
 * a timer of 0 ms carries them out from the loop, and callers may do them anywhere.
 */
#include "daemon/net/http_client.h"
#include "daemon/net/http_internal_client.h"
#include "protocol/syntax.h"

#include <curl/curl.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* Idle connections kept for the next exchange with the same peer; more peers than this are asked less often
 * than idle ones live. */
#define CACHED_CONNECTIONS 32
/* At one time; a node has dozens of peers, each with one or two calls. */
#define CONNECTIONS_MAX 128
/* What a gzip body may grow by, and from which size on that is looked at (see http_exchange.c). */
#define INFLATE_RATIO_MAX 200
#define INFLATE_RATIO_FROM (1024 * 1024)
/* Fields of a response that are kept. */
#define RESPONSE_FIELDS_MAX 96
/* A Retry-After beyond this is a fault of the server, not a wish. */
#define RETRY_AFTER_MAX_MS (7LL * 24 * 3600 * 1000)

#define DEFAULT_SIZE_MAX (64 * 1024)
#define DEFAULT_HEAD_SIZE_MAX (32 * 1024)
#define DEFAULT_CONNECT_TIMEOUT_MS 15000
#define DEFAULT_IDLE_TIMEOUT_MS 30000
#define DEFAULT_TOTAL_TIMEOUT_MS (10 * 60 * 1000)

struct http_client {
    uv_loop_t *loop;
    CURLM *multi;
    uv_timer_t timer;    /* libcurl's */
    uv_timer_t deferred; /* ours */
    struct http_call *calls;
    struct poll *polls;
    unsigned open_handles;
    bool closing, closed;
};

/* One socket that libcurl wants to be told about. */
struct poll {
    uv_poll_t handle;
    struct http_client *client;
    curl_socket_t socket;
    struct poll *next, *previous;
};

struct field {
    char *name, *value;
};

struct http_call {
    struct http_client *client;
    struct http_call *next, *previous;
    CURL *easy;
    struct curl_slist *headers;
    struct http_call_events events;
    bool running, start_due, resume_due, cancel_due;
    bool head_done, gzip_allowed;
    char site[300]; /* scheme, host and port: for messages */
    char error[CURL_ERROR_SIZE];
    uint64_t size_max, head_size_max, received, head_received;
    struct field fields[RESPONSE_FIELDS_MAX];
    size_t field_count;
    int status;
    int code; /* why we ended it ourselves; 0: we did not */
    struct fault fault;
};

static void on_deferred(uv_timer_t *timer);

static void defer(struct http_client *client)
{
    if (!uv_is_closing((uv_handle_t *)&client->deferred))
        uv_timer_start(&client->deferred, on_deferred, 0, 0);
}

/* ---- the end of a call ---- */

static void forget_fields(struct http_call *call)
{
    while (call->field_count) {
        call->field_count--;
        free(call->fields[call->field_count].name);
        free(call->fields[call->field_count].value);
    }
}

static void call_free(struct http_call *call)
{
    struct curl_slist *item;

    if (call->easy)
        curl_easy_cleanup(call->easy);
    for (item = call->headers; item; item = item->next)
        OPENSSL_cleanse(item->data, strlen(item->data)); /* one of them may be a token */
    curl_slist_free_all(call->headers);
    forget_fields(call);
    free(call);
}

/* Seconds or a date (RFC 9110 section 10.2.3), as time from now; -1 if absent or neither. */
static int64_t retry_after(const struct http_call *call)
{
    const char *value = http_call_header(call, "Retry-After");
    uint64_t seconds;
    int64_t ms;
    time_t date;

    if (!value)
        return -1;
    if (syntax_decimal_parse(value, strlen(value), UINT32_MAX, &seconds) == KAART_OK) {
        ms = (int64_t)seconds * 1000;
    } else {
        date = curl_getdate(value, NULL);
        if (date == (time_t)-1)
            return -1;
        ms = ((int64_t)date - (int64_t)time(NULL)) * 1000;
    }
    return ms < 0 ? 0 : ms > RETRY_AFTER_MAX_MS ? RETRY_AFTER_MAX_MS : ms;
}

static int code_of(CURLcode code)
{
    switch (code) {
    case CURLE_OK:
        return KAART_OK;
    case CURLE_OUT_OF_MEMORY:
        return KAART_NOMEM;
    case CURLE_FILESIZE_EXCEEDED:
        return KAART_LIMIT;
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
        return KAART_KEY;
    case CURLE_BAD_CONTENT_ENCODING:
        return KAART_SYNTAX;
    default:
        return KAART_IO;
    }
}

static void describe(struct http_call *call, CURLcode code, struct http_result *result)
{
    if (call->code) {
        result->code = call->code;
        result->fault = call->fault;
        fault_prefix(&result->fault, "%s", call->site);
        return;
    }
    result->code = code_of(code);
    if (code == CURLE_SSL_PINNEDPUBKEYNOTMATCH)
        fault_set(&result->fault, result->code, "%s: the server's key is not one of the pinned ones",
                  call->site);
    else if (code != CURLE_OK)
        fault_set(&result->fault, result->code, "%s: %s", call->site,
                  call->error[0] ? call->error : curl_easy_strerror(code));
}

/* Takes the call out of libcurl and hands the result over. Only from the loop, never from a callback of
 * libcurl. */
static void finish(struct http_call *call, CURLcode code)
{
    struct http_client *client = call->client;
    struct http_result result = {.retry_after_ms = -1};
    curl_off_t body = 0;
    long head = 0;

    if (call->running) {
        curl_easy_getinfo(call->easy, CURLINFO_SIZE_DOWNLOAD_T, &body);
        curl_easy_getinfo(call->easy, CURLINFO_HEADER_SIZE, &head);
        curl_multi_remove_handle(client->multi, call->easy);
    }
    describe(call, code, &result);
    result.status = call->head_done ? call->status : 0;
    result.retry_after_ms = call->head_done ? retry_after(call) : -1;
    result.received_bytes = (uint64_t)body + (uint64_t)head;
    if (call->previous)
        call->previous->next = call->next;
    else
        client->calls = call->next;
    if (call->next)
        call->next->previous = call->previous;
    call->events.done(call->events.context, call, &result);
    call_free(call);
    if (client->closing)
        defer(client);
}

static void collect_finished(struct http_client *client)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(client->multi, &left)) != NULL) {
        struct http_call *call = NULL;
        CURLcode code = message->data.result; /* the message does not outlive the handle */

        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&call);
        if (call->cancel_due)
            call->code = fault_set(&call->fault, KAART_IO, "cancelled");
        finish(call, code);
    }
}

/* ---- libcurl on the loop ---- */

static void on_poll(uv_poll_t *handle, int status, int events)
{
    struct poll *poll = handle->data;
    struct http_client *client = poll->client;
    int flags = 0, running;

    if (status < 0)
        flags = CURL_CSELECT_ERR;
    if (events & UV_READABLE)
        flags |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE)
        flags |= CURL_CSELECT_OUT;
    curl_multi_socket_action(client->multi, poll->socket, flags, &running);
    collect_finished(client);
}

static void free_when_all_closed(struct http_client *client)
{
    if (client->open_handles)
        return;
    free(client);
}

static void on_poll_closed(uv_handle_t *handle)
{
    struct poll *poll = handle->data;
    struct http_client *client = poll->client;

    free(poll);
    client->open_handles--;
    free_when_all_closed(client);
}

static void poll_close(struct poll *poll)
{
    struct http_client *client = poll->client;

    uv_poll_stop(&poll->handle);
    if (poll->previous)
        poll->previous->next = poll->next;
    else
        client->polls = poll->next;
    if (poll->next)
        poll->next->previous = poll->previous;
    uv_close((uv_handle_t *)&poll->handle, on_poll_closed);
}

static struct poll *poll_open(struct http_client *client, curl_socket_t socket)
{
    struct poll *poll = calloc(1, sizeof(*poll));

    if (!poll)
        return NULL;
    if (uv_poll_init_socket(client->loop, &poll->handle, socket)) {
        free(poll);
        return NULL;
    }
    poll->handle.data = poll;
    poll->client = client;
    poll->socket = socket;
    poll->next = client->polls;
    if (client->polls)
        client->polls->previous = poll;
    client->polls = poll;
    client->open_handles++;
    return poll;
}

static int on_socket(CURL *easy, curl_socket_t socket, int action, void *context, void *socket_context)
{
    struct http_client *client = context;
    struct poll *poll = socket_context;
    int events = 0;

    (void)easy;
    if (action == CURL_POLL_REMOVE) {
        if (poll)
            poll_close(poll); /* the descriptor may come back: then with a new handle */
        if (!client->closed)
            curl_multi_assign(client->multi, socket, NULL);
        return 0;
    }
    if (client->closed)
        return 0;
    if (!poll) {
        poll = poll_open(client, socket);
        if (!poll)
            return -1;
        curl_multi_assign(client->multi, socket, poll);
    }
    if (action == CURL_POLL_IN || action == CURL_POLL_INOUT)
        events |= UV_READABLE;
    if (action == CURL_POLL_OUT || action == CURL_POLL_INOUT)
        events |= UV_WRITABLE;
    return uv_poll_start(&poll->handle, events, on_poll) ? -1 : 0;
}

static void on_timer(uv_timer_t *timer)
{
    struct http_client *client = timer->data;
    int running;

    curl_multi_socket_action(client->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    collect_finished(client);
}

static int on_timer_wanted(CURLM *multi, long timeout_ms, void *context)
{
    struct http_client *client = context;

    (void)multi;
    if (client->closed || uv_is_closing((uv_handle_t *)&client->timer))
        return 0;
    if (timeout_ms < 0)
        uv_timer_stop(&client->timer);
    else
        uv_timer_start(&client->timer, on_timer, timeout_ms ? (uint64_t)timeout_ms : 1, 0);
    return 0;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct http_client *client = handle->data;

    client->open_handles--;
    free_when_all_closed(client);
}

/* Once no call is left. */
static void shut(struct http_client *client)
{
    client->closed = true;
    curl_multi_cleanup(client->multi);
    while (client->polls)
        poll_close(client->polls);
    uv_close((uv_handle_t *)&client->timer, on_timer_closed);
    uv_close((uv_handle_t *)&client->deferred, on_timer_closed);
}

/* What callers asked for since the last time. `done` may start and cancel calls, but only this frees them. */
static void on_deferred(uv_timer_t *timer)
{
    struct http_client *client = timer->data;
    struct http_call *call, *next;

    for (call = client->calls; call; call = next) {
        bool resume = call->resume_due, start = call->start_due;

        next = call->next;
        call->resume_due = call->start_due = false;
        if (call->cancel_due) {
            call->code = fault_set(&call->fault, KAART_IO, "cancelled");
            finish(call, CURLE_OK);
        } else if (start) {
            call->running = curl_multi_add_handle(client->multi, call->easy) == CURLM_OK;
            if (!call->running) {
                call->code = fault_set(&call->fault, KAART_NOMEM, "libcurl does not take the call");
                finish(call, CURLE_OK);
            }
        } else if (resume && call->running) {
            curl_easy_pause(call->easy, CURLPAUSE_CONT);
        }
    }
    if (client->closing && !client->calls && !client->closed)
        shut(client);
}

int http_client_new(uv_loop_t *loop, struct http_client **out)
{
    struct http_client *client = calloc(1, sizeof(*client));

    if (!client)
        return KAART_NOMEM;
    if (curl_global_init(CURL_GLOBAL_DEFAULT)) {
        free(client);
        return KAART_NOMEM;
    }
    signal(SIGPIPE, SIG_IGN); /* CURLOPT_NOSIGNAL leaves that to us */
    client->loop = loop;
    client->multi = curl_multi_init();
    if (!client->multi) {
        free(client);
        return KAART_NOMEM;
    }
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, on_timer_wanted);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
    curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, (long)CACHED_CONNECTIONS);
    curl_multi_setopt(client->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)CONNECTIONS_MAX);
    uv_timer_init(loop, &client->timer);
    uv_timer_init(loop, &client->deferred);
    client->timer.data = client->deferred.data = client;
    client->open_handles = 2;
    *out = client;
    return KAART_OK;
}

void http_client_close(struct http_client *client)
{
    struct http_call *call;

    if (!client || client->closing)
        return;
    client->closing = true;
    for (call = client->calls; call; call = call->next)
        call->cancel_due = true;
    defer(client);
}

/* ---- what comes in ---- */

static bool stop_call(struct http_call *call, int code, const char *text)
{
    if (!call->code)
        call->code = fault_set(&call->fault, code, "%s", text);
    return false;
}

static bool add_field(struct http_call *call, const char *line, size_t size)
{
    const char *colon = memchr(line, ':', size);
    struct field *field = &call->fields[call->field_count];

    if (!colon || colon == line)
        return true; /* libcurl judges the grammar */
    if (call->field_count == RESPONSE_FIELDS_MAX)
        return stop_call(call, KAART_LIMIT, "the response has too many fields");
    field->name = strndup(line, (size_t)(colon - line));
    for (size -= (size_t)(colon - line) + 1, colon++; size && (*colon == ' ' || *colon == '\t'); size--)
        colon++;
    while (size && strchr("\r\n \t", colon[size - 1]))
        size--;
    field->value = strndup(colon, size);
    call->field_count++;
    return field->name && field->value ? true : stop_call(call, KAART_NOMEM, "no memory");
}

static bool head_complete(struct http_call *call)
{
    const char *coding = http_call_header(call, "Content-Encoding");
    long status = 0;

    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status < 200)
        return true; /* an interim response; the real one follows */
    call->status = (int)status;
    call->head_done = true;
    if (coding && strcasecmp(coding, "identity") != 0 &&
        !(call->gzip_allowed && strcasecmp(coding, "gzip") == 0))
        return stop_call(call, KAART_SYNTAX, "the response has a content coding that was not asked for");
    if (call->events.head && !call->cancel_due)
        call->events.head(call->events.context, call, call->status);
    return true;
}

static size_t on_header(char *line, size_t one, size_t size, void *context)
{
    struct http_call *call = context;
    bool taken;

    size *= one;
    call->head_received += size;
    if (call->cancel_due)
        return 0;
    if (call->head_received > call->head_size_max) {
        stop_call(call, KAART_LIMIT, "the response's head is too large");
        return 0;
    }
    if (call->head_done) /* trailers: of no interest */
        return size;
    if (size >= 5 && memcmp(line, "HTTP/", 5) == 0) {
        forget_fields(call);
        return size;
    }
    taken = size && (line[0] == '\r' || line[0] == '\n') ? head_complete(call) : add_field(call, line, size);
    return taken ? size : 0;
}

static size_t on_data(char *bytes, size_t one, size_t size, void *context)
{
    struct http_call *call = context;
    curl_off_t on_the_wire = 0;

    size *= one;
    if (call->cancel_due)
        return 0;
    if (call->received + size > call->size_max) {
        stop_call(call, KAART_LIMIT, "the response is too large");
        return 0;
    }
    curl_easy_getinfo(call->easy, CURLINFO_SIZE_DOWNLOAD_T, &on_the_wire);
    if (call->gzip_allowed && call->received + size > INFLATE_RATIO_FROM &&
        (call->received + size) / INFLATE_RATIO_MAX > (uint64_t)on_the_wire) {
        stop_call(call, KAART_LIMIT, "the compressed response grows beyond measure");
        return 0;
    }
    if (call->events.data && !call->events.data(call->events.context, call, bytes, size))
        return CURL_WRITEFUNC_PAUSE;
    call->received += size;
    return size;
}

/* ---- starting ---- */

static int set_options(struct http_call *call, const struct http_call_options *options)
{
    CURL *easy = call->easy;
    uint64_t idle_ms = options->idle_timeout_ms ? options->idle_timeout_ms : DEFAULT_IDLE_TIMEOUT_MS;
    CURLcode code = CURLE_OK;

#define SET(option, value) code = code ? code : curl_easy_setopt(easy, option, value)
    SET(CURLOPT_PRIVATE, call);
    SET(CURLOPT_ERRORBUFFER, call->error);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_URL, options->url);
    SET(CURLOPT_PROTOCOLS_STR, options->allow_plain_http ? "http,https" : "https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_PROXY, options->proxy ? options->proxy : ""); /* "": not from the environment either */
    SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    SET(CURLOPT_HEADEROPT,
        (long)CURLHEADER_SEPARATE); /* our fields, the token among them, are not for the proxy */
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, call);
    SET(CURLOPT_WRITEFUNCTION, on_data);
    SET(CURLOPT_WRITEDATA, call);
    SET(CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)call->size_max);
    SET(CURLOPT_CONNECTTIMEOUT_MS,
        (long)(options->connect_timeout_ms ? options->connect_timeout_ms : DEFAULT_CONNECT_TIMEOUT_MS));
    SET(CURLOPT_TIMEOUT_MS,
        (long)(options->total_timeout_ms ? options->total_timeout_ms : DEFAULT_TOTAL_TIMEOUT_MS));
    SET(CURLOPT_LOW_SPEED_LIMIT, 1L);
    SET(CURLOPT_LOW_SPEED_TIME, (long)((idle_ms + 999) / 1000));
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_USERAGENT, options->user_agent ? options->user_agent : "kaartd/" KAARTD_VERSION);
    if (options->accept_gzip)
        SET(CURLOPT_ACCEPT_ENCODING, "gzip");
#undef SET
    return code == CURLE_OK ? KAART_OK : KAART_NOMEM;
}

static int set_body(struct http_call *call, const struct http_call_options *options)
{
    const char *method = options->method ? options->method : "GET";
    CURLcode code;

    if (strcmp(method, "GET") == 0 && !options->body_size)
        return KAART_OK;
    if (strcmp(method, "HEAD") == 0)
        return curl_easy_setopt(call->easy, CURLOPT_NOBODY, 1L) ? KAART_NOMEM : KAART_OK;
    code = curl_easy_setopt(call->easy, CURLOPT_POST, 1L);
    if (!code)
        code = curl_easy_setopt(call->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)options->body_size);
    if (!code)
        code = curl_easy_setopt(call->easy, CURLOPT_COPYPOSTFIELDS, options->body ? options->body : "");
    if (!code && strcmp(method, "POST") != 0)
        code = curl_easy_setopt(call->easy, CURLOPT_CUSTOMREQUEST, method);
    return code ? KAART_NOMEM : KAART_OK;
}

static int add_header(struct http_call *call, const char *line, struct fault *fault)
{
    struct curl_slist *grown;

    if (strpbrk(line, "\r\n"))
        return fault_set(fault, KAART_INVALID, "a request field with a line break");
    grown = curl_slist_append(call->headers, line);
    if (!grown)
        return fault_set(fault, KAART_NOMEM, "no memory for a call");
    call->headers = grown;
    return KAART_OK;
}

static int set_headers(struct http_call *call, const struct http_call_options *options, struct fault *fault)
{
    char authorization[4160];
    size_t i;
    int code = KAART_OK, size;

    for (i = 0; !code && options->headers && options->headers[i]; i++)
        code = add_header(call, options->headers[i], fault);
    if (!code && options->bearer) {
        size = snprintf(authorization, sizeof(authorization), "Authorization: Bearer %s", options->bearer);
        code = size < (int)sizeof(authorization) ? add_header(call, authorization, fault)
                                                 : fault_set(fault, KAART_INVALID, "the token is too long");
        OPENSSL_cleanse(authorization, sizeof(authorization));
    }
    if (!code && curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers))
        code = fault_set(fault, KAART_NOMEM, "no memory for a call");
    return code;
}

int http_client_start(struct http_client *client, const struct http_call_options *options,
                      const struct http_call_events *events, struct http_call **out, struct fault *fault)
{
    struct http_call *call;
    int code;

    if (client->closing)
        return fault_set(fault, KAART_IO, "no new calls: the client is closing");
    call = calloc(1, sizeof(*call));
    if (!call)
        return fault_set(fault, KAART_NOMEM, "no memory for a call");
    call->client = client;
    call->events = *events;
    call->gzip_allowed = options->accept_gzip;
    call->size_max = options->size_max ? options->size_max : DEFAULT_SIZE_MAX;
    call->head_size_max = options->head_size_max ? options->head_size_max : DEFAULT_HEAD_SIZE_MAX;
    call->easy = curl_easy_init();
    code = call->easy ? client_check_url(options, call->site, sizeof(call->site), fault)
                      : fault_set(fault, KAART_NOMEM, "no memory for a call");
    if (!code && (set_options(call, options) || set_body(call, options)))
        code = fault_set(fault, KAART_NOMEM, "no memory for a call");
    if (!code)
        code = client_set_tls(call->easy, options, fault);
    if (!code)
        code = set_headers(call, options, fault);
    if (code) {
        call_free(call);
        return code;
    }
    call->next = client->calls;
    if (client->calls)
        client->calls->previous = call;
    client->calls = call;
    call->start_due = true;
    defer(client);
    *out = call;
    return KAART_OK;
}

const char *http_call_header(const struct http_call *call, const char *name)
{
    size_t i;

    for (i = call->field_count; i > 0; i--)
        if (strcasecmp(call->fields[i - 1].name, name) == 0)
            return call->fields[i - 1].value;
    return NULL;
}

int http_call_status(const struct http_call *call)
{
    return call->head_done ? call->status : 0;
}

void http_call_resume(struct http_call *call)
{
    call->resume_due = true;
    defer(call->client);
}

void http_call_cancel(struct http_call *call)
{
    call->cancel_due = true;
    defer(call->client);
}
