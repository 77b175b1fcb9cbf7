/*
 * test_http_server.c - the server against raw sockets: good requests, every malformed one, slow callers and
 * those that leave.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/log.h"
#include "daemon/net/http_grammar.h"
#include "daemon/net/http_server.h"
#include "protocol/hash.h"
#include "tests/unit/loopback.h"

#include <ifaddrs.h>
#include <sys/stat.h>
#include <zlib.h>

#define BIG_SIZE (6u * 1024 * 1024)
#define CHUNK_COUNT 40
#define CHUNK_SIZE 30000

static struct http_server *server;
static bool server_closed;

/* What handlers saw. */
static struct {
    struct http_exchange *held;
    unsigned gone, requests, ends, pieces_written, most_queued;
    uint64_t streamed;
    bool last_complete, pausing;
    uv_timer_t resume;
    struct http_exchange *paused;
} seen;

static void on_server_closed(void *context)
{
    *(bool *)context = true;
}

static void respond_text(struct http_exchange *exchange, int status, const char *text)
{
    char *copy = strdup(text);

    exchange_respond(exchange, status, "text/plain", copy, strlen(copy));
}

static void on_collected(void *context, struct http_exchange *exchange, const char *bytes, size_t size)
{
    char *copy = malloc(size + 1);

    (void)context;
    memcpy(copy, bytes, size + 1);
    exchange_respond(exchange, 200, "application/octet-stream", copy, size);
}

static void on_resume(uv_timer_t *timer)
{
    struct http_exchange *exchange = seen.paused;

    (void)timer;
    seen.paused = NULL;
    if (exchange)
        exchange_resume(exchange);
}

static void on_piece(void *context, struct http_exchange *exchange, const char *bytes, size_t size)
{
    (void)context;
    (void)bytes;
    assert_null(seen.paused); /* nothing comes while paused */
    seen.streamed += size;
    if (seen.pausing) {
        seen.paused = exchange;
        exchange_pause(exchange);
        uv_timer_start(&seen.resume, on_resume, 1, 0);
    }
}

static void on_end(void *context, struct http_exchange *exchange, bool complete)
{
    char text[64];

    (void)context;
    seen.ends++;
    seen.last_complete = complete;
    if (!complete)
        return;
    snprintf(text, sizeof(text), "%llu bytes", (unsigned long long)seen.streamed);
    respond_text(exchange, 200, text);
}

static void on_drained(void *context, struct http_exchange *exchange)
{
    static char piece[CHUNK_SIZE];

    (void)context;
    memset(piece, 'c', sizeof(piece));
    if (seen.pieces_written == CHUNK_COUNT) {
        exchange_respond_end(exchange);
        exchange_release(exchange);
        return;
    }
    seen.pieces_written++;
    exchange_respond_write(exchange, piece, sizeof(piece));
}

static void on_gone(void *context, struct http_exchange *exchange)
{
    (void)context;
    (void)exchange;
    seen.gone++;
}

static void on_gone_release(void *context, struct http_exchange *exchange)
{
    (void)context;
    seen.gone++;
    exchange_release(exchange);
}

static void respond_big(struct http_exchange *exchange)
{
    char *big = malloc(BIG_SIZE);
    size_t i;

    for (i = 0; i < BIG_SIZE; i++)
        big[i] = (char)('a' + i % 23);
    exchange_respond(exchange, 200, "text/plain", big, BIG_SIZE);
}

static void handle(void *context, struct http_exchange *exchange)
{
    const char *path = exchange_path(exchange);
    char text[600];

    (void)context;
    seen.requests++;
    if (strcmp(path, "/echo") == 0) {
        exchange_collect(exchange, 1000, on_collected, NULL);
    } else if (strcmp(path, "/stream") == 0) {
        seen.streamed = 0;
        exchange_stream(exchange, 4 * 1024 * 1024, on_piece, on_end, NULL);
    } else if (strcmp(path, "/big") == 0) {
        respond_big(exchange);
    } else if (strcmp(path, "/chunks") == 0) {
        seen.pieces_written = 0;
        exchange_hold(exchange);
        exchange_on_gone(exchange, on_gone_release, NULL);
        exchange_respond_begin(exchange, 200, "text/plain", on_drained, NULL);
    } else if (strcmp(path, "/hold") == 0) {
        exchange_hold(exchange);
        exchange_on_gone(exchange, on_gone, NULL);
        seen.held = exchange;
    } else if (strcmp(path, "/nothing") == 0) {
        return;
    } else if (strcmp(path, "/refuse") == 0) {
        exchange_problem(exchange, 403, "Forbidden", "not for \"you\"\n%s", "\xc3\xa9");
    } else if (strcmp(path, "/unchanged") == 0) {
        exchange_set_header(exchange, "ETag", "W/\"x\"");
        exchange_respond(exchange, 304, NULL, NULL, 0);
    } else if (strcmp(path, "/fields") == 0) {
        exchange_set_header(exchange, "X-Good", "yes");
        exchange_set_header(exchange, "X-Bad", "a\r\nSet-Cookie: b");
        respond_text(exchange, 200, exchange_accepts_gzip(exchange) ? "gzip" : "plain");
    } else if (strcmp(path, "/who") == 0) {
        snprintf(text, sizeof(text), "address=%s local=%d pin=%s", exchange_address(exchange),
                 exchange_local(exchange), exchange_peer_pin(exchange));
        respond_text(exchange, 200, text);
    } else if (exchange_query(exchange, "a")) {
        snprintf(text, sizeof(text), "path=%s a=%s b=%s", path, exchange_query(exchange, "a"),
                 exchange_query(exchange, "b") ? exchange_query(exchange, "b") : "(none)");
        respond_text(exchange, 200, text);
    } else {
        snprintf(text, sizeof(text), "path=%s", path);
        respond_text(exchange, 200, text);
    }
}

static void start(const struct http_listen_options *options, const struct http_server_limits *limits)
{
    struct fault fault;

    memset(&seen, 0, sizeof(seen));
    loop_open();
    uv_timer_init(&test_loop, &seen.resume);
    assert_int_equal(http_server_start(&test_loop, options, limits, handle, NULL, &server, &fault), 0);
}

static void start_plain(const struct http_server_limits *limits)
{
    struct http_listen_options options = {.host = "127.0.0.1"};

    start(&options, limits);
}

static void stop(void)
{
    server_closed = false;
    uv_close((uv_handle_t *)&seen.resume, NULL);
    http_server_stop(server, 50, on_server_closed, &server_closed);
    run_until(&server_closed);
    loop_close();
}

/* One request, its whole answer up to the close. Free the caller. */
static struct caller ask(const char *request)
{
    struct caller caller = caller_open(http_server_port(server));

    caller_say(&caller, request);
    caller_wait_closed(&caller);
    return caller;
}

static void expect(const char *request, const char *wanted)
{
    struct caller caller = ask(request);

    if (!strstr(caller.got, wanted))
        fail_msg("for \"%s\": wanted \"%s\", got \"%.600s\"", request, wanted, caller.got);
    caller_close(&caller);
}

/* ---- good requests ---- */

static void test_simple(void **state)
{
    (void)state;
    start_plain(NULL);
    expect("GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "\r\n\r\npath=/hello");
    expect("GET /hello HTTP/1.0\r\n\r\n", "Connection: close");
    expect("\r\nGET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "path=/hello");
    expect("GET http://x.example/abs?a=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "path=/abs a=1");
    expect("GET /refuse HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
           "{\"status\":403,\"title\":\"Forbidden\",\"detail\":\"not for \\\"you\\\"\\n\xc3\xa9\"}");
    expect("GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "HTTP/1.1 500 ");
    expect("GET /who HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "address=127.0.0.1 local=0 pin=");
    stop();
}

static void test_keep_alive_and_pipelining(void **state)
{
    struct caller caller;
    char many[4096] = "";
    int i;

    (void)state;
    start_plain(NULL);
    caller = caller_open(http_server_port(server));
    caller_say(&caller, "GET /one HTTP/1.1\r\nHost: x\r\n\r\n");
    caller_wait_for(&caller, "path=/one");
    for (i = 0; i < 20; i++)
        snprintf(many + strlen(many), sizeof(many) - strlen(many),
                 "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n<%03d>", i);
    strcat(many, "GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    caller_say(&caller, many);
    caller_wait_closed(&caller);
    assert_int_equal(caller_count(&caller, "HTTP/1.1 200 OK"), 22);
    assert_true(strstr(caller.got, "<000>") < strstr(caller.got, "<019>"));
    assert_non_null(strstr(caller.got, "path=/last"));
    assert_int_equal(caller_count(&caller, "Connection: close"), 1);
    caller_close(&caller);
    stop();
}

static void test_bytewise(void **state)
{
    static const char REQUEST[] =
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        "5\r\nhello\r\n6;\r\n";
    static const char GOOD[] =
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        "5\r\nhello\r\n00a\r\n, there...\r\n0\r\n\r\n";
    struct caller caller;
    size_t i;

    (void)state;
    start_plain(NULL);
    caller = caller_open(http_server_port(server));
    for (i = 0; i < sizeof(GOOD) - 1; i++) {
        caller_send(&caller, GOOD + i, 1);
        uv_run(&test_loop, UV_RUN_NOWAIT);
    }
    caller_wait_closed(&caller);
    assert_non_null(strstr(caller.got, "\r\n\r\nhello, there..."));
    caller_close(&caller);
    caller = caller_open(http_server_port(server));
    for (i = 0; i < sizeof(REQUEST) - 1; i++) {
        caller_send(&caller, REQUEST + i, 1);
        uv_run(&test_loop, UV_RUN_NOWAIT);
    }
    caller_wait_closed(&caller);
    assert_non_null(strstr(caller.got, "HTTP/1.1 400 "));
    caller_close(&caller);
    stop();
}

static void test_head_and_304(void **state)
{
    struct caller caller;

    (void)state;
    start_plain(NULL);
    caller = caller_open(http_server_port(server));
    caller_say(
        &caller,
        "HEAD /big HTTP/1.1\r\nHost: x\r\n\r\nGET /unchanged HTTP/1.1\r\nHost: x\r\n\r\n"
        "HEAD /chunks HTTP/1.1\r\nHost: x\r\n\r\nGET /end HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    caller_wait_closed(&caller);
    assert_non_null(strstr(caller.got, "Content-Length: 6291456"));
    assert_non_null(strstr(caller.got, "HTTP/1.1 304 Not Modified"));
    assert_non_null(strstr(caller.got, "ETag: W/\"x\""));
    assert_non_null(strstr(caller.got, "Transfer-Encoding: chunked"));
    assert_non_null(strstr(caller.got, "path=/end"));
    assert_true(caller.size < 1500);
    assert_null(strstr(strstr(caller.got, "304"), "Content-Length: 0"));
    caller_close(&caller);
    stop();
}

static void test_fields(void **state)
{
    struct caller caller;

    (void)state;
    start_plain(NULL);
    caller = ask("GET /fields HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_non_null(strstr(caller.got, "X-Good: yes\r\n"));
    assert_null(strstr(caller.got, "Set-Cookie"));
    caller_close(&caller);
    expect("GET /fields HTTP/1.1\r\nHost: x\r\nAccept-Encoding: br, gzip;q=0.5\r\nConnection: close\r\n\r\n",
           "\r\n\r\ngzip");
    expect("GET /fields HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip;q=0\r\nConnection: close\r\n\r\n",
           "\r\n\r\nplain");
    stop();
    assert_true(http_accepts_gzip("*"));
    assert_true(http_accepts_gzip("deflate,GZIP"));
    assert_false(http_accepts_gzip("gzip;q=0.000, *;q=0"));
    assert_false(http_accepts_gzip("x-gzip-not, br"));
    assert_false(http_accepts_gzip(NULL));
}

/* ---- bodies ---- */

static size_t gzip(const void *bytes, size_t size, char *out, size_t capacity)
{
    z_stream stream = {0};

    assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    stream.next_in = (Bytef *)(uintptr_t)bytes;
    stream.avail_in = (uInt)size;
    stream.next_out = (Bytef *)out;
    stream.avail_out = (uInt)capacity;
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    deflateEnd(&stream);
    return stream.total_out;
}

static struct caller post(const char *path, const char *fields, const void *body, size_t size)
{
    struct caller caller = caller_open(http_server_port(server));
    char head[300];

    snprintf(head, sizeof(head),
             "POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %zu\r\n%s\r\n", path, size,
             fields);
    caller_say(&caller, head);
    caller_send(&caller, body, size);
    caller_wait_closed(&caller);
    return caller;
}

static void expect_post(const char *path, const char *fields, const void *body, size_t size,
                        const char *wanted)
{
    struct caller caller = post(path, fields, body, size);

    if (!strstr(caller.got, wanted))
        fail_msg("POST %s of %zu bytes: wanted \"%s\", got \"%.300s\"", path, size, wanted, caller.got);
    caller_close(&caller);
}

static void test_bodies(void **state)
{
    char *large = calloc(1, 5 * 1024 * 1024), *packed = malloc(1024 * 1024);
    size_t i, size;

    (void)state;
    start_plain(NULL);
    expect_post("/echo", "", "", 0, "HTTP/1.1 200 OK");
    expect_post("/echo", "", "0123456789", 10, "\r\n\r\n0123456789");
    expect_post("/echo", "", large, 1000, "HTTP/1.1 200 OK");
    expect_post("/echo", "", large, 1001, "HTTP/1.1 413 ");
    expect_post("/echo", "", large, 3 * 1024 * 1024, "HTTP/1.1 413 ");
    for (i = 0; i < 5 * 1024 * 1024; i++)
        large[i] = (char)((i * 2654435761u) >> 13);
    expect_post("/stream", "", large, 4 * 1024 * 1024, "4194304 bytes");
    seen.pausing = true;
    expect_post("/stream", "", large, 300000, "300000 bytes");
    size = gzip(large, 300000, packed, 1024 * 1024);
    expect_post("/stream", "Content-Encoding: gzip\r\n", packed, size, "300000 bytes");
    seen.pausing = false;
    expect_post("/stream", "Content-Encoding: gzip\r\n", packed, size, "300000 bytes");
    expect_post("/stream", "Content-Encoding: gzip\r\n", packed, size - 1, "cut off");
    packed[size] = 'x';
    expect_post("/stream", "Content-Encoding: gzip\r\n", packed, size + 1, "HTTP/1.1 400 ");
    packed[size / 2] ^= 0x55;
    expect_post("/stream", "Content-Encoding: gzip\r\n", packed, size, "corrupt");
    assert_false(seen.last_complete);
    size = gzip("small", 5, packed, 1024);
    expect_post("/echo", "Content-Encoding: gzip\r\n", packed, size, "\r\n\r\nsmall");
    expect_post("/echo", "Content-Encoding: br\r\n", packed, size, "HTTP/1.1 415 ");
    free(large);
    free(packed);
    stop();
}

static void test_gzip_bomb(void **state)
{
    size_t zeros_size = 64 * 1024 * 1024, size;
    char *zeros = calloc(1, zeros_size), *packed = malloc(1024 * 1024);

    (void)state;
    start_plain(NULL);
    size = gzip(zeros, zeros_size, packed, 1024 * 1024);
    free(zeros);
    assert_true(size < 100000);
    expect_post("/echo", "Content-Encoding: gzip\r\n", packed, size, "HTTP/1.1 413 ");
    expect_post("/stream", "Content-Encoding: gzip\r\n", packed, size, "grows beyond measure");
    assert_true(seen.streamed < 2 * 1024 * 1024);
    assert_int_equal(seen.ends, 1);
    free(packed);
    stop();
}

static void test_expect_continue(void **state)
{
    struct caller caller;

    (void)state;
    start_plain(NULL);
    caller = caller_open(http_server_port(server));
    caller_say(&caller, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: "
                        "100-continue\r\nConnection: close\r\n\r\n");
    caller_wait_for(&caller, "HTTP/1.1 100 Continue\r\n\r\n");
    caller_say(&caller, "abc");
    caller_wait_closed(&caller);
    assert_non_null(strstr(caller.got, "\r\n\r\nabc"));
    caller_close(&caller);
    expect("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\nExpect: 100-continue\r\n\r\n",
           "HTTP/1.1 413 ");
    stop();
}

/* ---- malformed requests ---- */

static void test_malformed(void **state)
{
    static const struct {
        const char *bytes;
        const char *wanted;
    } CASES[] = {
        {"GET / HTTP/1.1\nHost: x\n\n", "bare line feed"},
        {"GET / HTTP/1.1\r\nHost: x\nX: y\r\n\r\n", "bare line feed"},
        {"GET / HTTP/1.1\r\nHost: x\r\n\n", "bare line feed"},
        {"GET / HTTP/1.1\r\nHost: x\rX: y\r\n\r\n", "bare carriage return"},
        {"GET / HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n", "folded line"},
        {"GET / HTTP/1.1\r\n Host: x\r\n\r\n", "folded line"},
        {"GET / HTTP/1.1\r\nHost: x\r\nX: \x01\r\n\r\n", "control character"},
        {"GET / HTTP/1.1\r\nHost: x\r\nX : y\r\n\r\n", "HTTP/1.1 400 "},
        {"GET / HTTP/1.1\r\nHost: x\r\nX\r\n\r\n", "HTTP/1.1 400 "},
        {"GET / HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n", "HTTP/1.1 400 "},
        {"GET / HTTP/1.1\r\n\r\n", "no Host"},
        {"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", "more than one Host"},
        {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "no host"},
        {"GET / HTTP/1.1\r\nHost: a/b@c\r\n\r\n", "no host"},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na", "HTTP/1.1 400 "},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 1\r\n\r\na", "HTTP/1.1 400 "},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\na", "HTTP/1.1 400 "},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\na", "HTTP/1.1 400 "},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0x1\r\n\r\na", "HTTP/1.1 400 "},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 01\r\n\r\na", "HTTP/1.1 400 "},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\na", "HTTP/1.1 400 "},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\n", "HTTP/1.1 400 "},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         "HTTP/1.1 400 "},
        {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n",
         "HTTP/1.1 400 "},
        {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
         "chunked\r\n\r\n0\r\n\r\n",
         "HTTP/1.1 400 "},
        {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 501 "},
        {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\n\r\n", "HTTP/1.1 501 "},
        {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n", "HTTP/1.1 501 "},
        {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 400 "},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZ\r\n", "HTTP/1.1 400 "},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n",
         "HTTP/1.1 400 "},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
         "HTTP/1.1 400 "},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na5\n\n0\r\n\r\n",
         "HTTP/1.1 400 "},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;x=y\r\na\r\n0\r\n\r\n",
         "chunk extensions"},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: y\r\n\r\n",
         "HTTP/1.1 400 "},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
         "HTTP/1.1 400 "},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
         "chunked\r\n\r\n00000000000000000000001\r\na\r\n",
         "HTTP/1.1 400 "},
        {"GET / HTTP/2.0\r\nHost: x\r\n\r\n", "HTTP/1.1 505 "},
        {"GET / HTTP/1.2\r\nHost: x\r\n\r\n", "HTTP/1.1 505 "},
        {"GET /\r\n\r\n", "HTTP/1.1 "},
        {"GARBAGE / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 400 "},
        {"TRACE / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 501 "},
        {"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 501 "},
        {"GET / HTTP/1.1\r\nHost: x\r\nExpect: wonders\r\n\r\n", "HTTP/1.1 417 "},
        {"GET /a/../b HTTP/1.1\r\nHost: x\r\n\r\n", "dotted segment"},
        {"GET /a/%2e%2E/b HTTP/1.1\r\nHost: x\r\n\r\n", "dotted segment"},
        {"GET /./b HTTP/1.1\r\nHost: x\r\n\r\n", "dotted segment"},
        {"GET //b HTTP/1.1\r\nHost: x\r\n\r\n", "empty or dotted segment"},
        {"GET /a%2fb HTTP/1.1\r\nHost: x\r\n\r\n", "encoded slash"},
        {"GET /a%5Cb HTTP/1.1\r\nHost: x\r\n\r\n", "backslash"},
        {"GET /a%00b HTTP/1.1\r\nHost: x\r\n\r\n", "control character"},
        {"GET /a%0d%0ab HTTP/1.1\r\nHost: x\r\n\r\n", "control character"},
        {"GET /a%zz HTTP/1.1\r\nHost: x\r\n\r\n", "percent escape"},
        {"GET /a%4 HTTP/1.1\r\nHost: x\r\n\r\n", "percent escape"},
        {"GET /a%ff HTTP/1.1\r\nHost: x\r\n\r\n", "UTF-8"},
        {"GET /a%c0%af HTTP/1.1\r\nHost: x\r\n\r\n", "UTF-8"},
        {"GET /a?x=%ff HTTP/1.1\r\nHost: x\r\n\r\n", "UTF-8"},
        {"GET /a?x=1&y=2&x=3 HTTP/1.1\r\nHost: x\r\n\r\n", "comes twice"},
        {"GET /a?x=1&%78=3 HTTP/1.1\r\nHost: x\r\n\r\n", "comes twice"},
        {"GET a HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 400 "},
        {"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 400 "},
    };
    size_t i;

    (void)state;
    start_plain(NULL);
    for (i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct caller caller = ask(CASES[i].bytes);

        if (!strstr(caller.got, CASES[i].wanted) || strstr(caller.got, " 200 OK"))
            fail_msg("for \"%s\": wanted \"%s\", got \"%.300s\"", CASES[i].bytes, CASES[i].wanted,
                     caller.got);
        if (strstr(caller.got, "HTTP/1.1 ") != caller.got || !strstr(caller.got, "Connection: close"))
            fail_msg("for \"%s\": got \"%.300s\"", CASES[i].bytes, caller.got);
        caller_close(&caller);
    }
    stop();
}

static void test_sizes(void **state)
{
    char request[20000];
    size_t used, i;

    (void)state;
    start_plain(NULL);
    used =
        (size_t)snprintf(request, sizeof(request), "GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX: ");
    memset(request + used, 'a', HTTP_HEAD_MAX - used - 4);
    strcpy(request + HTTP_HEAD_MAX - 4, "\r\n\r\n");
    expect(request, "HTTP/1.1 200 OK");
    memset(request + used, 'a', HTTP_HEAD_MAX - used - 3);
    strcpy(request + HTTP_HEAD_MAX - 3, "\r\n\r\n");
    expect(request, "HTTP/1.1 431 ");
    memset(request, 'a', sizeof(request) - 1);
    request[sizeof(request) - 1] = '\0';
    expect(request, "HTTP/1.1 431 ");
    used = (size_t)snprintf(request, sizeof(request), "GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
    for (i = 2; i < HTTP_FIELDS_MAX; i++)
        used += (size_t)snprintf(request + used, sizeof(request) - used, "X%zu: y\r\n", i);
    strcpy(request + used, "\r\n");
    expect(request, "HTTP/1.1 200 OK");
    strcpy(request + used, "Y: z\r\n\r\n");
    expect(request, "HTTP/1.1 431 ");
    used = (size_t)snprintf(request, sizeof(request), "GET /x?a");
    for (i = 1; i <= HTTP_QUERY_MAX; i++)
        used += (size_t)snprintf(request + used, sizeof(request) - used, "&b%zu=1", i);
    strcpy(request + used, " HTTP/1.1\r\nHost: x\r\n\r\n");
    expect(request, "too many query members");
    stop();
}

static void test_targets(void **state)
{
    (void)state;
    start_plain(NULL);
    expect("GET /caf%C3%A9/%41?a=1%2B1+2&b=%26 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
           "path=/caf\xc3\xa9/A a=1+1 2 b=&");
    expect("GET /x?a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "path=/x a= b=(none)");
    expect("GET /x?&&a=b=c& HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "path=/x a=b=c b=(none)");
    expect("GET /x+y/..z HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "path=/x+y/..z");
    stop();
}

/* ---- slow callers and those that leave ---- */

static void test_deadlines(void **state)
{
    struct http_server_limits limits = {
        .head_timeout_ms = 100, .idle_timeout_ms = 150, .body_timeout_ms = 120};
    struct caller caller;
    uint64_t began;
    int i;

    (void)state;
    start_plain(&limits);
    caller = caller_open(http_server_port(server)); /* says nothing */
    began = now_ms();
    caller_wait_closed(&caller);
    assert_in_range(now_ms() - began, 100, 2000);
    assert_int_equal(caller.size, 0);
    caller_close(&caller);
    caller =
        caller_open(http_server_port(server)); /* one byte every 30 ms: the head as a whole has its time */
    began = now_ms();
    for (i = 0; i < 100 && !caller.closed; i++) {
        caller_say(&caller, i == 0 ? "GET / HTTP/1.1\r\nX: " : "a");
        run_for(30);
        caller_hear(&caller);
        if (caller.size)
            break;
    }
    assert_in_range(now_ms() - began, 60, 1500);
    caller_wait_for(&caller, "HTTP/1.1 408 ");
    caller_close(&caller);
    caller = caller_open(http_server_port(server)); /* a body that trickles */
    caller_say(&caller, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n");
    for (i = 0; i < 100 && !caller.size; i++) {
        caller_say(&caller, "a");
        run_for(30);
        caller_hear(&caller);
    }
    caller_wait_for(&caller, "HTTP/1.1 408 ");
    assert_true(i < 30);
    caller_close(&caller);
    stop();
}

static void test_unread_answer(void **state)
{
    struct http_server_limits limits = {.write_timeout_ms = 200};
    struct caller caller;
    int small = 4096;

    (void)state;
    start_plain(&limits);
    caller = caller_open(http_server_port(server));
    setsockopt(caller.socket, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    caller_say(&caller, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
    run_for(800);
    assert_int_equal(http_server_connections(server), 0);
    caller_close(&caller);
    stop();
}

static void test_big_answer(void **state)
{
    struct caller caller;
    const char *body;
    size_t i;

    (void)state;
    start_plain(NULL);
    caller = ask("GET /big HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    body = strstr(caller.got, "\r\n\r\n") + 4;
    assert_int_equal(caller.size - (size_t)(body - caller.got), BIG_SIZE);
    for (i = 0; i < BIG_SIZE; i++)
        assert_true(body[i] == (char)('a' + i % 23));
    caller_close(&caller);
    stop();
}

static void test_chunked_answer(void **state)
{
    struct caller caller;
    int small = 32768;

    (void)state;
    start_plain(NULL);
    caller = caller_open(http_server_port(server));
    setsockopt(caller.socket, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    caller_say(&caller, "GET /chunks HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    run_for(100);
    assert_true(seen.pieces_written > 0);
    caller_wait_closed(&caller);
    assert_int_equal(seen.pieces_written, CHUNK_COUNT);
    assert_int_equal(caller_count(&caller, "\r\n7530\r\n"), CHUNK_COUNT);
    assert_string_equal(caller.got + caller.size - 7, "\r\n0\r\n\r\n");
    caller_close(&caller);
    expect("GET /chunks HTTP/1.0\r\n\r\n", "\r\n\r\ncccc");
    caller =
        caller_open(http_server_port(server)); /* leaves in the middle: the handler is told, and lets go */
    setsockopt(caller.socket, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    caller_say(&caller, "GET /chunks HTTP/1.1\r\nHost: x\r\n\r\n");
    run_for(50);
    caller_close(&caller);
    run_for(100);
    stop();
}

static void test_held(void **state)
{
    struct caller caller;

    (void)state;
    start_plain(NULL);
    caller = caller_open(http_server_port(server));
    caller_say(&caller, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    run_for(30);
    assert_non_null(seen.held);
    assert_false(exchange_gone(seen.held));
    respond_text(seen.held, 200, "at last");
    exchange_release(seen.held);
    caller_wait_for(&caller, "at last");
    caller_say(&caller, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    run_for(30);
    caller_close(&caller); /* leaves while it waits */
    run_for(50);
    assert_true(exchange_gone(seen.held));
    assert_int_equal(seen.gone, 1);
    assert_int_equal(http_server_connections(server), 0);
    exchange_set_header(seen.held, "X", "y");
    respond_text(seen.held, 200, "too late");
    exchange_release(seen.held);
    caller = caller_open(http_server_port(server)); /* held and released without an answer */
    caller_say(&caller, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    run_for(30);
    exchange_release(seen.held);
    caller_wait_for(&caller, "HTTP/1.1 500 ");
    caller_close(&caller);
    stop();
}

static void test_gone_in_body(void **state)
{
    struct caller caller;

    (void)state;
    start_plain(NULL);
    caller = caller_open(http_server_port(server));
    caller_say(&caller, "POST /stream HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc");
    run_for(30);
    assert_int_equal(seen.streamed, 3);
    caller_close(&caller);
    run_for(50);
    assert_int_equal(seen.ends, 1);
    assert_false(seen.last_complete);
    caller = caller_open(http_server_port(server));
    caller_say(&caller, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc");
    run_for(30);
    caller_close(&caller);
    run_for(30);
    assert_int_equal(http_server_connections(server), 0);
    stop();
}

static void test_half_closed(void **state)
{
    struct caller caller;

    (void)state;
    start_plain(NULL);
    caller = caller_open(http_server_port(server));
    caller_say(&caller, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
    shutdown(caller.socket, SHUT_WR);
    caller_wait_closed(&caller);
    assert_true(caller.size > BIG_SIZE);
    caller_close(&caller);
    stop();
}

/* ---- the door ---- */

static void test_connection_limits(void **state)
{
    struct http_server_limits limits = {.connections_max = 5, .connections_per_address_max = 3};
    struct caller callers[6];
    unsigned i, closed = 0;

    (void)state;
    start_plain(&limits);
    for (i = 0; i < 6; i++) {
        callers[i] = caller_open(http_server_port(server));
        run_for(10);
    }
    for (i = 0; i < 6; i++) {
        caller_hear(&callers[i]);
        closed += callers[i].closed;
    }
    assert_int_equal(closed, 3);
    caller_say(&callers[0], "GET /x HTTP/1.1\r\nHost: x\r\n\r\n");
    caller_wait_for(&callers[0], "path=/x");
    for (i = 0; i < 6; i++)
        caller_close(&callers[i]);
    run_for(30);
    assert_int_equal(http_server_connections(server), 0);
    stop();
}

/* An address of this machine that is not loopback; false: there is none. */
static bool outer_address(struct sockaddr_in *out)
{
    struct ifaddrs *all = NULL, *one;
    bool found = false;

    if (getifaddrs(&all))
        return false;
    for (one = all; one && !found; one = one->ifa_next) {
        if (!one->ifa_addr || one->ifa_addr->sa_family != AF_INET)
            continue;
        memcpy(out, one->ifa_addr, sizeof(*out));
        found = ntohl(out->sin_addr.s_addr) >> 24 != 127;
    }
    freeifaddrs(all);
    return found;
}

static void expect_from_outside(const char *const *proxies, const char *wanted)
{
    struct http_listen_options options = {.host = "0.0.0.0", .behind_proxy = proxies};
    struct sockaddr_in address;
    struct caller caller;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    start(&options, NULL);
    assert_true(outer_address(&address));
    address.sin_port = htons(http_server_port(server));
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    caller = caller_adopt(fd);
    caller_say(&caller, "GET /who HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    caller_wait_closed(&caller);
    if (wanted)
        assert_non_null(strstr(caller.got, wanted));
    else
        assert_int_equal(caller.size, 0);
    caller_close(&caller);
    stop();
}

/* Plain HTTP is for loopback and for configured proxies, whatever address it listens on. */
static void test_plain_from_outside(void **state)
{
    struct sockaddr_in address;
    char text[INET_ADDRSTRLEN];
    const char *proxies[] = {"203.0.113.77", text, NULL}, *others[] = {"203.0.113.77", NULL};

    (void)state;
    if (!outer_address(&address))
        skip();
    inet_ntop(AF_INET, &address.sin_addr, text, sizeof(text));
    expect_from_outside(NULL, NULL);
    expect_from_outside(others, NULL);
    expect_from_outside(proxies, text);
}

static void test_ipv6(void **state)
{
    struct http_listen_options options = {.host = "::1"};
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct caller caller;
    struct fault fault;
    int fd = socket(AF_INET6, SOCK_STREAM, 0);

    (void)state;
    loop_open();
    if (fd < 0 || http_server_start(&test_loop, &options, NULL, handle, NULL, &server, &fault)) {
        close(fd);
        loop_close();
        skip(); /* no IPv6 on this machine */
    }
    uv_timer_init(&test_loop, &seen.resume);
    address.sin6_port = htons(http_server_port(server));
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    caller = caller_adopt(fd);
    caller_say(&caller, "GET /who HTTP/1.1\r\nHost: [::1]\r\nConnection: close\r\n\r\n");
    caller_wait_closed(&caller);
    assert_non_null(strstr(caller.got, "address=::1"));
    caller_close(&caller);
    stop();
}

static void test_unix_socket(void **state)
{
    char directory[] = "/tmp/kaartd-test-XXXXXX", path[64];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct http_listen_options options = {.unix_path = path, .local = true};
    struct http_server *second = NULL;
    struct caller caller;
    struct fault fault;
    struct stat status;
    int fd;

    (void)state;
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/socket", directory);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    fd = socket(AF_UNIX, SOCK_STREAM, 0); /* left by a process that is no more */
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    close(fd);
    start(&options, NULL);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0660);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    caller = caller_adopt(fd);
    caller_say(&caller, "GET /who HTTP/1.1\r\nHost: kaartd\r\n\r\n");
    caller_wait_for(&caller, "address=unix local=1 pin=");
    assert_int_equal(http_server_start(&test_loop, &options, NULL, handle, NULL, &second, &fault), KAART_IO);
    assert_non_null(strstr(fault.text, "another process"));
    assert_int_equal(stat(path, &status), 0); /* the live one's socket is still there */
    caller_close(&caller);
    stop();
    assert_int_not_equal(stat(path, &status), 0);
    rmdir(directory);
}

static void test_bad_listeners(void **state)
{
    struct http_listen_options no_address = {.host = "localhost"}, taken = {.host = "127.0.0.1"};
    struct http_listen_options no_certificate = {
        .host = "127.0.0.1", .tls_certificate = "/nonexistent", .tls_key = "/x"};
    static const char *const NOT_NUMERIC[] = {"proxy.example", NULL};
    struct http_listen_options proxy = {.host = "127.0.0.1", .behind_proxy = NOT_NUMERIC};
    struct http_server *second = NULL;
    struct fault fault;

    (void)state;
    start_plain(NULL);
    taken.port = http_server_port(server);
    assert_int_equal(http_server_start(&test_loop, &taken, NULL, handle, NULL, &second, &fault), KAART_IO);
    assert_int_equal(http_server_start(&test_loop, &no_address, NULL, handle, NULL, &second, &fault),
                     KAART_INVALID);
    assert_int_equal(http_server_start(&test_loop, &no_certificate, NULL, handle, NULL, &second, &fault),
                     KAART_KEY);
    assert_non_null(strstr(fault.text, "/nonexistent"));
    assert_int_equal(http_server_start(&test_loop, &proxy, NULL, handle, NULL, &second, &fault),
                     KAART_INVALID);
    stop();
}

/* RFC 9440: believed from configured proxies only. */
static void test_client_cert_field(void **state)
{
    static const char *const PROXIES[] = {"127.0.0.1", NULL};
    struct http_listen_options options = {.host = "127.0.0.1", .behind_proxy = PROXIES};
    char directory[] = "/tmp/kaartd-test-XXXXXX", path[64], pin[TLS_PIN_SIZE], request[6000], text[4000],
         wanted[100];
    unsigned char *der = NULL;
    X509 *certificate = NULL;
    int size;

    (void)state;
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/a", directory);
    make_certificate(path, pin, &certificate);
    size = i2d_X509(certificate, &der);
    assert_true(size > 0);
    base64_encode(der, (size_t)size, text);
    snprintf(request, sizeof(request),
             "GET /who HTTP/1.1\r\nHost: x\r\nConnection: close\r\nClient-Cert: :%s:\r\n\r\n", text);
    snprintf(wanted, sizeof(wanted), "pin=%s", pin);
    start(&options, NULL);
    expect(request, wanted);
    expect("GET /who HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "pin=");
    expect("GET /who HTTP/1.1\r\nHost: x\r\nClient-Cert: :AAAA:\r\n\r\n", "HTTP/1.1 400 ");
    expect("GET /who HTTP/1.1\r\nHost: x\r\nClient-Cert: nonsense\r\n\r\n", "HTTP/1.1 400 ");
    expect("GET /who HTTP/1.1\r\nHost: x\r\nClient-Cert: ::\r\n\r\n", "HTTP/1.1 400 ");
    stop();
    start_plain(NULL); /* the same field from anybody else says nothing */
    {
        struct caller caller = ask(request);

        assert_null(strstr(caller.got, pin));
        assert_non_null(strstr(caller.got, "pin="));
        caller_close(&caller);
    }
    stop();
    OPENSSL_free(der);
    X509_free(certificate);
    snprintf(text, sizeof(text), "rm -r %s", directory);
    assert_int_equal(system(text), 0);
}

static void test_stop_lets_answers_end(void **state)
{
    struct caller busy, idle;

    (void)state;
    start_plain(NULL);
    busy = caller_open(http_server_port(server));
    idle = caller_open(http_server_port(server));
    caller_say(&busy, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    run_for(30);
    server_closed = false;
    uv_close((uv_handle_t *)&seen.resume, NULL);
    http_server_stop(server, 5000, on_server_closed, &server_closed);
    caller_wait_closed(&idle);
    run_for(30);
    assert_false(server_closed);
    respond_text(seen.held, 200, "finished");
    exchange_release(seen.held);
    caller_wait_closed(&busy);
    assert_non_null(strstr(busy.got, "finished"));
    assert_non_null(strstr(busy.got, "Connection: close"));
    caller_close(&busy);
    caller_close(&idle);
    run_until(&server_closed);
    loop_close();
}

int main(void)
{
    static const struct CMUnitTest TESTS[] = {
        cmocka_unit_test(test_simple),
        cmocka_unit_test(test_keep_alive_and_pipelining),
        cmocka_unit_test(test_bytewise),
        cmocka_unit_test(test_head_and_304),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_gzip_bomb),
        cmocka_unit_test(test_expect_continue),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_targets),
        cmocka_unit_test(test_deadlines),
        cmocka_unit_test(test_unread_answer),
        cmocka_unit_test(test_big_answer),
        cmocka_unit_test(test_chunked_answer),
        cmocka_unit_test(test_held),
        cmocka_unit_test(test_gone_in_body),
        cmocka_unit_test(test_half_closed),
        cmocka_unit_test(test_connection_limits),
        cmocka_unit_test(test_plain_from_outside),
        cmocka_unit_test(test_ipv6),
        cmocka_unit_test(test_unix_socket),
        cmocka_unit_test(test_bad_listeners),
        cmocka_unit_test(test_client_cert_field),
        cmocka_unit_test(test_stop_lets_answers_end),
    };

    log_init(LOG_LEVEL_ERROR, false);
    return cmocka_run_group_tests(TESTS, NULL, NULL);
}
