/*
 * test_http_client.c - the client against our own server, over plain TCP and real TLS, and against raw
 * sockets that misbehave.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/log.h"
#include "daemon/net/http_client.h"
#include "daemon/net/http_server.h"
#include "tests/unit/loopback.h"

#include <time.h>
#include <zlib.h>

static struct http_server *server;
static struct http_client *client;
static bool server_closed;
static char directory[] = "/tmp/kaartd-test-XXXXXX";
static char server_path[64], other_path[64];
static char server_pin[TLS_PIN_SIZE], other_pin[TLS_PIN_SIZE];

/* One call and what came of it. */
struct outcome {
    bool done;
    struct http_result result;
    int head_status;
    char type[100];
    char *body;
    size_t size;
    unsigned pauses, pause_every, pieces;
    struct http_call *call;
    bool cancel_in_data, cancel_in_head;
};

/* ---- the server's side ---- */

static char *gzipped(size_t zeros, size_t *size)
{
    char *plain = calloc(1, zeros ? zeros : 1), *packed = malloc(zeros + 1000);
    z_stream stream = {0};

    deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
    stream.next_in = (Bytef *)plain;
    stream.avail_in = (uInt)zeros;
    stream.next_out = (Bytef *)packed;
    stream.avail_out = (uInt)(zeros + 1000);
    deflate(&stream, Z_FINISH);
    deflateEnd(&stream);
    *size = stream.total_out;
    free(plain);
    return packed;
}

static void respond_pattern(struct http_exchange *exchange, size_t size)
{
    char *bytes = malloc(size + 1);
    size_t i;

    for (i = 0; i < size; i++)
        bytes[i] = (char)('a' + i % 23);
    exchange_respond(exchange, 200, "text/plain", bytes, size);
}

static void respond_text(struct http_exchange *exchange, int status, const char *text)
{
    exchange_respond(exchange, status, "text/plain", strdup(text), strlen(text));
}

static void on_collected(void *context, struct http_exchange *exchange, const char *bytes, size_t size)
{
    char *copy = malloc(size + 1);

    (void)context;
    memcpy(copy, bytes, size + 1);
    exchange_respond(exchange, 201, "application/octet-stream", copy, size);
}

static void on_gone(void *context, struct http_exchange *exchange)
{
    (void)context;
    exchange_release(exchange);
}

static void handle(void *context, struct http_exchange *exchange)
{
    const char *path = exchange_path(exchange);
    char text[600], *packed;
    size_t size;

    (void)context;
    if (strcmp(path, "/echo") == 0) {
        exchange_collect(exchange, 8 * 1024 * 1024, on_collected, NULL);
    } else if (strcmp(path, "/pattern") == 0) {
        respond_pattern(exchange, (size_t)strtoul(exchange_query(exchange, "size"), NULL, 10));
    } else if (strcmp(path, "/zeros") == 0) {
        packed = gzipped((size_t)strtoul(exchange_query(exchange, "size"), NULL, 10), &size);
        exchange_set_header(exchange, "Content-Encoding", exchange_query(exchange, "coding"));
        exchange_respond(exchange, 200, "text/plain", packed, size);
    } else if (strcmp(path, "/moved") == 0) {
        exchange_set_header(exchange, "Location", "/pattern?size=10");
        exchange_respond(exchange, 302, NULL, NULL, 0);
    } else if (strcmp(path, "/later") == 0) {
        exchange_set_header(exchange, "Retry-After", exchange_query(exchange, "after"));
        exchange_problem(exchange, 503, "Service Unavailable", "later");
    } else if (strcmp(path, "/fields") == 0) {
        snprintf(text, sizeof(text), "agent=%s accept=%s authorization=%s x=%s",
                 exchange_header(exchange, "User-Agent"), exchange_header(exchange, "Accept-Encoding"),
                 exchange_header(exchange, "Authorization"), exchange_header(exchange, "X-Test"));
        respond_text(exchange, 200, text);
    } else if (strcmp(path, "/who") == 0) {
        respond_text(exchange, 200, exchange_peer_pin(exchange));
    } else if (strcmp(path, "/silence") == 0) {
        exchange_hold(exchange);
        exchange_on_gone(exchange, on_gone, NULL);
    } else {
        exchange_problem(exchange, 404, "Not Found", "no such path");
    }
}

/* ---- the client's side ---- */

static void on_head(void *context, struct http_call *call, int status)
{
    struct outcome *outcome = context;
    const char *type = http_call_header(call, "content-type");

    assert_int_equal(outcome->head_status, 0);
    assert_int_equal(http_call_status(call), status);
    outcome->head_status = status;
    snprintf(outcome->type, sizeof(outcome->type), "%s", type ? type : "");
    if (outcome->cancel_in_head)
        http_call_cancel(call);
}

static void on_resume(uv_timer_t *timer)
{
    struct outcome *outcome = timer->data;

    if (!outcome->done)
        http_call_resume(outcome->call);
    uv_close((uv_handle_t *)timer, (uv_close_cb)free);
}

static bool on_data(void *context, struct http_call *call, const char *bytes, size_t size)
{
    struct outcome *outcome = context;

    assert_true(outcome->head_status > 0);
    if (outcome->cancel_in_data)
        http_call_cancel(call);
    outcome->pieces++;
    if (outcome->pause_every && outcome->pieces % outcome->pause_every == 1) {
        uv_timer_t *timer = malloc(sizeof(*timer));

        uv_timer_init(&test_loop, timer);
        timer->data = outcome;
        uv_timer_start(timer, on_resume, 2, 0);
        outcome->pauses++;
        return false;
    }
    outcome->body = realloc(outcome->body, outcome->size + size + 1);
    memcpy(outcome->body + outcome->size, bytes, size);
    outcome->size += size;
    outcome->body[outcome->size] = '\0';
    return true;
}

static void on_done(void *context, struct http_call *call, const struct http_result *result)
{
    struct outcome *outcome = context;

    assert_ptr_equal(call, outcome->call);
    assert_false(outcome->done);
    outcome->done = true;
    outcome->result = *result;
}

static void begin(struct http_call_options *options, const char *path, struct outcome *outcome)
{
    struct http_call_events events = {outcome, on_head, on_data, on_done};
    struct fault fault;
    char url[400];

    snprintf(url, sizeof(url), "%s://127.0.0.1:%u%s", options->allow_plain_http ? "http" : "https",
             http_server_port(server), path);
    options->url = url;
    if (http_client_start(client, options, &events, &outcome->call, &fault) != KAART_OK)
        fail_msg("%s: %s", url, fault.text);
    assert_false(outcome->done);
}

static struct outcome fetch(struct http_call_options *options, const char *path)
{
    struct outcome *outcome = calloc(1, sizeof(*outcome)), copy;

    begin(options, path, outcome);
    run_until(&outcome->done);
    copy = *outcome;
    free(outcome);
    return copy;
}

static void expect_failure(struct http_call_options *options, const char *path, int code, const char *wanted)
{
    struct outcome outcome = fetch(options, path);

    if (outcome.result.code != code || !strstr(outcome.result.fault.text, wanted))
        fail_msg("%s: wanted %d \"%s\", got %d \"%s\"", path, code, wanted, outcome.result.code,
                 outcome.result.fault.text);
    free(outcome.body);
}

static void expect_text(struct http_call_options *options, const char *path, int status, const char *wanted)
{
    struct outcome outcome = fetch(options, path);

    if (outcome.result.code != KAART_OK || outcome.result.status != status ||
        !strstr(outcome.body ? outcome.body : "", wanted))
        fail_msg("%s: wanted %d \"%s\", got %d %d \"%s\" \"%s\"", path, status, wanted, outcome.result.code,
                 outcome.result.status, outcome.result.fault.text, outcome.body ? outcome.body : "");
    free(outcome.body);
}

static void on_closed(void *context)
{
    *(bool *)context = true;
}

static void start(bool tls)
{
    struct http_listen_options options = {.host = "127.0.0.1"};
    char certificate[80], key[80];
    struct fault fault;

    snprintf(certificate, sizeof(certificate), "%s.pem", server_path);
    snprintf(key, sizeof(key), "%s.key", server_path);
    if (tls) {
        options.tls_certificate = certificate;
        options.tls_key = key;
    }
    loop_open();
    assert_int_equal(http_server_start(&test_loop, &options, NULL, handle, NULL, &server, &fault), 0);
    assert_int_equal(http_client_new(&test_loop, &client), 0);
}

static void stop(void)
{
    http_client_close(client);
    server_closed = false;
    http_server_stop(server, 0, on_closed, &server_closed);
    run_until(&server_closed);
    loop_close();
}

/* ---- plain ---- */

static void test_get(void **state)
{
    struct http_call_options options = {.allow_plain_http = true, .size_max = 3000000};
    static const char *const HEADERS[] = {"X-Test: yes", NULL};
    struct outcome outcome;
    size_t i;

    (void)state;
    start(false);
    outcome = fetch(&options, "/pattern?size=2500000");
    assert_int_equal(outcome.result.code, KAART_OK);
    assert_int_equal(outcome.result.status, 200);
    assert_int_equal(outcome.head_status, 200);
    assert_string_equal(outcome.type, "text/plain");
    assert_int_equal(outcome.size, 2500000);
    assert_true(outcome.result.received_bytes > 2500000 && outcome.result.received_bytes < 2501000);
    assert_int_equal(outcome.result.retry_after_ms, -1);
    for (i = 0; i < outcome.size; i++)
        assert_true(outcome.body[i] == (char)('a' + i % 23));
    free(outcome.body);
    expect_text(&options, "/nowhere", 404, "no such path");
    options.headers = HEADERS;
    options.bearer = "s3cret";
    options.accept_gzip = true;
    expect_text(&options, "/fields", 200, "accept=gzip authorization=Bearer s3cret x=yes");
    expect_text(&options, "/fields", 200, "agent=kaartd/");
    expect_text(&options, "/moved", 302, ""); /* not followed */
    options.method = "HEAD";
    outcome = fetch(&options, "/pattern?size=100");
    assert_int_equal(outcome.result.code, KAART_OK);
    assert_int_equal(outcome.size, 0);
    stop();
}

static void test_post(void **state)
{
    struct http_call_options options = {.allow_plain_http = true, .method = "POST", .size_max = 6000000};
    char *body = malloc(5000000);
    struct outcome outcome;

    (void)state;
    memset(body, 'p', 5000000);
    start(false);
    options.body = body;
    options.body_size = 5000000; /* large enough for Expect: 100-continue */
    outcome = fetch(&options, "/echo");
    assert_int_equal(outcome.result.status, 201);
    assert_int_equal(outcome.size, 5000000);
    assert_memory_equal(outcome.body, body, 5000000);
    free(outcome.body);
    options.body_size = 0;
    expect_text(&options, "/echo", 201, "");
    options.body_size = 3;
    options.method = "PUT";
    expect_text(&options, "/echo", 201, "ppp");
    free(body);
    stop();
}

static void test_limits(void **state)
{
    struct http_call_options options = {.allow_plain_http = true};

    (void)state;
    start(false);
    expect_failure(&options, "/pattern?size=65537", KAART_LIMIT, "");
    expect_text(&options, "/pattern?size=65536", 200, "abcdef");
    options.accept_gzip = true;
    options.size_max = 1000000;
    expect_failure(&options, "/zeros?coding=gzip&size=1000001", KAART_LIMIT, "too large");
    expect_text(&options, "/zeros?coding=gzip&size=1000000", 200, "");
    options.size_max = 1000000000;
    expect_failure(&options, "/zeros?coding=gzip&size=60000000", KAART_LIMIT, "beyond measure");
    expect_failure(&options, "/zeros?coding=br&size=1000", KAART_SYNTAX, "not asked for");
    expect_failure(&options, "/zeros?coding=gzip,%20gzip&size=1000", KAART_SYNTAX, "not asked for");
    expect_failure(&options, "/zeros?coding=deflate&size=1000", KAART_SYNTAX, "not asked for");
    options.accept_gzip = false;
    expect_failure(&options, "/zeros?coding=gzip&size=1000", KAART_SYNTAX, "not asked for");
    options.head_size_max = 50;
    expect_failure(&options, "/pattern?size=10", KAART_LIMIT, "head is too large");
    stop();
}

static void test_retry_after(void **state)
{
    struct http_call_options options = {.allow_plain_http = true};
    struct outcome outcome;
    char path[100], date[60];
    time_t soon = time(NULL) + 100;
    struct tm parts;

    (void)state;
    start(false);
    outcome = fetch(&options, "/later?after=7");
    assert_int_equal(outcome.result.status, 503);
    assert_int_equal(outcome.result.retry_after_ms, 7000);
    free(outcome.body);
    gmtime_r(&soon, &parts);
    strftime(date, sizeof(date), "%a,%%20%d%%20%b%%20%Y%%20%H:%M:%S%%20GMT", &parts);
    snprintf(path, sizeof(path), "/later?after=%s", date);
    outcome = fetch(&options, path);
    assert_in_range(outcome.result.retry_after_ms, 90000, 101000);
    free(outcome.body);
    outcome = fetch(&options, "/later?after=Sun,%2006%20Nov%201994%2008:49:37%20GMT");
    assert_int_equal(outcome.result.retry_after_ms, 0);
    free(outcome.body);
    outcome = fetch(&options, "/later?after=soon");
    assert_int_equal(outcome.result.retry_after_ms, -1);
    free(outcome.body);
    outcome = fetch(&options, "/later?after=999999999");
    assert_int_equal(outcome.result.retry_after_ms, 7LL * 24 * 3600 * 1000);
    free(outcome.body);
    stop();
}

static void test_pause(void **state)
{
    struct http_call_options options = {.allow_plain_http = true, .size_max = 3000000};
    struct outcome outcome = {.pause_every = 3};
    size_t i;

    (void)state;
    start(false);
    begin(&options, "/pattern?size=1000000", &outcome);
    run_until(&outcome.done);
    assert_int_equal(outcome.result.code, KAART_OK);
    assert_int_equal(outcome.size, 1000000);
    assert_true(outcome.pauses > 5);
    for (i = 0; i < outcome.size; i++)
        assert_true(outcome.body[i] == (char)('a' + i % 23));
    free(outcome.body);
    memset(&outcome, 0, sizeof(outcome));
    outcome.pause_every = 2;
    options.accept_gzip = true;
    begin(&options, "/zeros?coding=gzip&size=900000", &outcome);
    run_until(&outcome.done);
    assert_int_equal(outcome.result.code, KAART_OK);
    assert_int_equal(outcome.size, 900000);
    free(outcome.body);
    stop();
}

static void test_cancel(void **state)
{
    struct http_call_options options = {.allow_plain_http = true, .size_max = 9000000};
    struct outcome at_once = {0}, in_head = {.cancel_in_head = true}, in_data = {.cancel_in_data = true},
                   waiting = {0};

    (void)state;
    start(false);
    begin(&options, "/silence", &at_once);
    http_call_cancel(at_once.call);
    assert_false(at_once.done);
    begin(&options, "/pattern?size=8000000", &in_head);
    begin(&options, "/pattern?size=8000000", &in_data);
    begin(&options, "/silence", &waiting);
    run_until(&at_once.done);
    run_until(&in_head.done);
    run_until(&in_data.done);
    run_for(50);
    assert_false(waiting.done);
    assert_int_equal(at_once.result.code, KAART_IO);
    assert_non_null(strstr(at_once.result.fault.text, "cancelled"));
    assert_non_null(strstr(in_head.result.fault.text, "cancelled"));
    assert_non_null(strstr(in_data.result.fault.text, "cancelled"));
    assert_int_equal(in_head.size, 0);
    assert_true(in_data.size < 8000000);
    free(in_data.body);
    http_client_close(client); /* cancels what still waits */
    run_until(&waiting.done);
    assert_non_null(strstr(waiting.result.fault.text, "cancelled"));
    {
        struct http_call_events events = {&waiting, NULL, NULL, on_done};
        struct http_call_options late = {.url = "https://127.0.0.1/"};
        struct http_call *call;
        struct fault fault;

        assert_int_equal(http_client_new(&test_loop, &client), 0);
        http_client_close(client);
        assert_int_equal(http_client_start(client, &late, &events, &call, &fault), KAART_IO);
    }
    server_closed = false;
    http_server_stop(server, 0, on_closed, &server_closed);
    run_until(&server_closed);
    loop_close();
}

static void test_timeouts(void **state)
{
    struct http_call_options options = {.allow_plain_http = true, .total_timeout_ms = 150};
    uint64_t began = now_ms();

    (void)state;
    start(false);
    expect_failure(&options, "/silence", KAART_IO, "imed out");
    assert_in_range(now_ms() - began, 140, 3000);
    options.total_timeout_ms = 0;
    options.idle_timeout_ms = 1000;
    began = now_ms();
    expect_failure(&options, "/silence", KAART_IO, "");
    assert_in_range(now_ms() - began, 900, 5000);
    stop();
}

static void test_refused_urls(void **state)
{
    static const struct {
        const char *url;
        bool plain;
    } CASES[] = {
        {"http://127.0.0.1/", false},
        {"http://192.0.2.1/", true},
        {"http://127.0.0.1.example/", true},
        {"ftp://127.0.0.1/", true},
        {"file:///etc/passwd", true},
        {"https://user:password@127.0.0.1/", true},
        {"127.0.0.1/", true},
        {"", true},
        {"https://127.0.0.1/#x", true},
        {"https://", true},
        {"http://localhost.evil.example/", true},
    };
    struct outcome outcome = {0};
    struct http_call_events events = {&outcome, NULL, NULL, on_done};
    static const char *const BAD_PIN[] = {"sha256/short", NULL}, *const BAD_FIELD[] = {"X: a\r\nY: b", NULL};
    struct http_call_options options = {0};
    struct http_call *call = NULL;
    struct fault fault;
    size_t i;

    (void)state;
    start(false);
    for (i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        options.url = CASES[i].url;
        options.allow_plain_http = CASES[i].plain;
        if (http_client_start(client, &options, &events, &call, &fault) != KAART_INVALID)
            fail_msg("\"%s\" was taken", CASES[i].url);
        assert_null(strstr(fault.text, "password"));
    }
    options.url = "https://127.0.0.1/";
    options.tls_pins = BAD_PIN;
    assert_int_equal(http_client_start(client, &options, &events, &call, &fault), KAART_INVALID);
    options.tls_pins = NULL;
    options.headers = BAD_FIELD;
    assert_int_equal(http_client_start(client, &options, &events, &call, &fault), KAART_INVALID);
    stop();
}

/* ---- TLS ---- */

static void test_tls_trust(void **state)
{
    const char *right[] = {other_pin, server_pin, NULL}, *wrong[] = {other_pin, NULL};
    struct http_call_options options = {0};
    char ca[80], other_ca[80];

    (void)state;
    snprintf(ca, sizeof(ca), "%s.pem", server_path);
    snprintf(other_ca, sizeof(other_ca), "%s.pem", other_path);
    start(true);
    options.tls_pins = right;
    expect_text(&options, "/pattern?size=5", 200, "abcde");
    options.tls_pins = wrong;
    expect_failure(&options, "/pattern?size=5", KAART_KEY, "pinned");
    options.tls_pins = NULL;
    expect_failure(&options, "/pattern?size=5", KAART_KEY, "");
    options.tls_ca_file = ca;
    expect_text(&options, "/pattern?size=5", 200, "abcde");
    options.tls_ca_file = other_ca;
    expect_failure(&options, "/pattern?size=5", KAART_KEY, "");
    options.tls_pins = right; /* both must hold */
    expect_failure(&options, "/pattern?size=5", KAART_KEY, "");
    options.tls_ca_file = ca;
    expect_text(&options, "/pattern?size=5", 200, "abcde");
    options.tls_pins = wrong;
    expect_failure(&options, "/pattern?size=5", KAART_KEY, "pinned");
    stop();
}

static void test_tls_identity(void **state)
{
    const char *pins[] = {server_pin, NULL};
    struct http_call_options options = {.tls_pins = pins};
    char certificate[80], key[80];
    struct outcome outcome;

    (void)state;
    snprintf(certificate, sizeof(certificate), "%s.pem", other_path);
    snprintf(key, sizeof(key), "%s.key", other_path);
    start(true);
    options.client_certificate = certificate;
    options.client_key = key;
    expect_text(&options, "/who", 200, other_pin);
    options.client_certificate = options.client_key = NULL;
    outcome = fetch(&options, "/who"); /* not on the other's connection, either */
    assert_int_equal(outcome.result.status, 200);
    assert_int_equal(outcome.size, 0);
    free(outcome.body);
    stop();
}

static void test_tls_large(void **state)
{
    const char *pins[] = {server_pin, NULL};
    struct http_call_options options = {.tls_pins = pins, .size_max = 20000000, .method = "POST"};
    char *body = malloc(5000000);
    struct outcome outcome = {.pause_every = 7};

    (void)state;
    memset(body, 'q', 5000000);
    start(true);
    options.body = body;
    options.body_size = 5000000;
    begin(&options, "/echo", &outcome);
    run_until(&outcome.done);
    assert_int_equal(outcome.result.code, KAART_OK);
    assert_int_equal(outcome.size, 5000000);
    assert_memory_equal(outcome.body, body, 5000000);
    free(outcome.body);
    free(body);
    stop();
}

static void test_tls_reload(void **state)
{
    const char *first[] = {server_pin, NULL}, *second[] = {other_pin, NULL};
    struct http_call_options options = {.tls_pins = first};
    char command[1000];
    struct fault fault;

    (void)state;
    start(true);
    expect_text(&options, "/pattern?size=5", 200, "abcde");
    snprintf(command, sizeof(command),
             "cp %s.pem %s.keep; cp %s.key %s.keepkey; cp %s.pem %s.pem; cp %s.key %s.key", server_path,
             server_path, server_path, server_path, other_path, server_path, other_path, server_path);
    assert_int_equal(system(command), 0);
    assert_int_equal(http_server_reload_tls(server, &fault), 0);
    options.tls_pins = second;
    expect_text(&options, "/pattern?size=5", 200, "abcde");
    snprintf(command, sizeof(command), "cp %s.keepkey %s.key", server_path,
             server_path); /* no pair: the good one stays */
    assert_int_equal(system(command), 0);
    assert_int_equal(http_server_reload_tls(server, &fault), KAART_KEY);
    expect_text(&options, "/pattern?size=5", 200, "abcde");
    snprintf(command, sizeof(command), "mv %s.keep %s.pem; mv %s.keepkey %s.key", server_path, server_path,
             server_path, server_path);
    assert_int_equal(system(command), 0);
    stop();
}

/* Bytes that are no TLS, plain HTTP among them, and callers that say nothing. */
static void test_tls_nonsense(void **state)
{
    struct caller caller;
    size_t i;

    (void)state;
    start(true);
    caller = caller_open(http_server_port(server));
    caller_say(&caller, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    caller_wait_closed(&caller);
    assert_null(strstr(caller.got, "200"));
    caller_close(&caller);
    caller = caller_open(http_server_port(server));
    for (i = 0; i < 3000 && !caller.closed; i++) {
        caller_say(&caller, "\x16\x03\x01\xff\xff nonsense");
        caller_hear(&caller);
    }
    caller_wait_closed(&caller);
    caller_close(&caller);
    stop();
}

/* ---- servers that misbehave ---- */

static int listener;
static char listener_url[64];

static void listen_raw(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof(address);

    listener = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listener, 4), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    assert_int_equal(fcntl(listener, F_SETFL, O_NONBLOCK), 0);
    snprintf(listener_url, sizeof(listener_url), "http://127.0.0.1:%u/", ntohs(address.sin_port));
}

static struct outcome fetch_raw(const char *answer)
{
    struct http_call_options options = {.url = listener_url, .allow_plain_http = true, .accept_gzip = true};
    struct outcome *outcome = calloc(1, sizeof(*outcome)), copy;
    struct http_call_events events = {outcome, on_head, on_data, on_done};
    struct caller caller;
    struct fault fault;
    int fd = -1;

    assert_int_equal(http_client_start(client, &options, &events, &outcome->call, &fault), 0);
    while (fd < 0) {
        run_for(1);
        fd = accept(listener, NULL, NULL);
    }
    caller = caller_adopt(fd);
    caller_wait_for(&caller, "\r\n\r\n");
    caller_say(&caller, answer);
    caller_close(&caller);
    run_until(&outcome->done);
    copy = *outcome;
    free(outcome);
    free(copy.body);
    return copy;
}

static void test_bad_servers(void **state)
{
    struct outcome outcome;

    (void)state;
    start(false);
    listen_raw();
    outcome = fetch_raw("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc");
    assert_int_equal(outcome.result.code, KAART_OK);
    outcome = fetch_raw("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc");
    assert_int_equal(outcome.result.code, KAART_IO);
    assert_int_equal(outcome.result.status, 200);
    outcome = fetch_raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    assert_int_equal(outcome.result.code, KAART_IO);
    outcome = fetch_raw("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 8\r\n\r\nnot gzip");
    assert_int_not_equal(outcome.result.code, KAART_OK);
    outcome = fetch_raw("SMTP ready\r\n");
    assert_int_equal(outcome.result.code, KAART_IO);
    outcome = fetch_raw("");
    assert_int_equal(outcome.result.code, KAART_IO);
    assert_int_equal(outcome.result.status, 0);
    assert_non_null(strstr(outcome.result.fault.text, "http://127.0.0.1:"));
    outcome = fetch_raw(
        "HTTP/1.1 103 Early Hints\r\nRetry-After: 9\r\n\r\nHTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(outcome.result.status, 503);
    assert_int_equal(outcome.result.retry_after_ms, -1);
    close(listener);
    run_for(20);
    {
        struct http_call_options options = {.url = listener_url, .allow_plain_http = true};
        struct outcome refused = {0};
        struct http_call_events events = {&refused, on_head, on_data, on_done};
        struct fault fault;

        assert_int_equal(http_client_start(client, &options, &events, &refused.call, &fault), 0);
        run_until(&refused.done);
        assert_int_equal(refused.result.code, KAART_IO);
    }
    stop();
}

static int make_certificates(void **state)
{
    (void)state;
    if (!mkdtemp(directory))
        return -1;
    snprintf(server_path, sizeof(server_path), "%s/server", directory);
    snprintf(other_path, sizeof(other_path), "%s/other", directory);
    make_certificate(server_path, server_pin, NULL);
    make_certificate(other_path, other_pin, NULL);
    return 0;
}

static int remove_certificates(void **state)
{
    char command[100];

    (void)state;
    snprintf(command, sizeof(command), "rm -r %s", directory);
    return system(command);
}

int main(void)
{
    static const struct CMUnitTest TESTS[] = {
        cmocka_unit_test(test_get),          cmocka_unit_test(test_post),
        cmocka_unit_test(test_limits),       cmocka_unit_test(test_retry_after),
        cmocka_unit_test(test_pause),        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_timeouts),     cmocka_unit_test(test_refused_urls),
        cmocka_unit_test(test_tls_trust),    cmocka_unit_test(test_tls_identity),
        cmocka_unit_test(test_tls_large),    cmocka_unit_test(test_tls_reload),
        cmocka_unit_test(test_tls_nonsense), cmocka_unit_test(test_bad_servers),
    };

    log_init(LOG_LEVEL_ERROR, false);
    return cmocka_run_group_tests(TESTS, make_certificates, remove_certificates);
}
