/*
 * http_exchange.c - one request: what handlers may ask about it, and its body.
 *
 *   body:  UNWANTED --collect--> COLLECT --end of request: complete()--> FINISHED
 *                   --stream---> STREAM  --data()*, end()------------->  FINISHED
 *          any of them --answered, caller gone, rule broken--> FINISHED
 *
 * References: the connection has one until the answer is out or the caller has gone, the handler as many as
 * it holds, and every call into the handler one for its time. The last one frees.
 */
#include "daemon/net/http_internal.h"

#include <stdlib.h>
#include <string.h>

/* What a gzip body may grow by. Change streams, full of hashes and UUIDs, reach 1:10; deflate itself ends at
 * 1:1032. */
#define INFLATE_RATIO_MAX 200
/* Below this size no ratio is looked at: small repetitive texts are honest. */
#define INFLATE_RATIO_FROM (1024 * 1024)
/* Output of one step of inflation. */
#define INFLATE_PIECE 16384

/* ---- references ---- */

static void exchange_free(struct http_exchange *exchange)
{
    if (exchange->inflating)
        inflateEnd(&exchange->inflate);
    free(exchange->held);
    free(exchange->body);
    free(exchange->out);
    free(exchange->fields);
    free(exchange->head_bytes);
    free(exchange);
}

void exchange_keep(struct http_exchange *exchange)
{
    exchange->references++;
}

void exchange_let_go(struct http_exchange *exchange)
{
    if (--exchange->references == 0)
        exchange_free(exchange);
}

/* A handler that neither answered, nor holds, nor waits for the body, has forgotten its caller. */
static void judge(struct http_exchange *exchange)
{
    bool waits = exchange->body_mode == BODY_COLLECT || exchange->body_mode == BODY_STREAM;

    if (exchange->connection && !exchange->responded && !exchange->holds && !exchange->callbacks && !waits)
        exchange_problem(exchange, 500, "Internal Server Error", "no answer was given");
}

static void begin_callback(struct http_exchange *exchange)
{
    exchange_keep(exchange);
    exchange->callbacks++;
}

static void end_callback(struct http_exchange *exchange)
{
    exchange->callbacks--;
    judge(exchange);
    exchange_let_go(exchange);
}

void exchange_hold(struct http_exchange *exchange)
{
    exchange->holds++;
    exchange_keep(exchange);
}

void exchange_release(struct http_exchange *exchange)
{
    exchange->holds--;
    judge(exchange);
    exchange_let_go(exchange);
}

/* ---- beginning and end ---- */

static int take_pin(struct http_exchange *exchange, const struct connection *connection, const char **why)
{
    const char *reported = http_field(exchange->head.fields, exchange->head.field_count, "Client-Cert");
    size_t i, count = 0;

    if (!connection->from_proxy) {
        if (connection->tls)
            memcpy(exchange->pin, tls_peer_pin(connection->tls), strlen(tls_peer_pin(connection->tls)) + 1);
        return 0;
    }
    /* Behind a proxy the connection's own certificate is the proxy's, never the caller's. */
    for (i = 0; i < exchange->head.field_count; i++)
        count += strcasecmp(exchange->head.fields[i].name, "Client-Cert") == 0;
    if (count > 1 || (reported && tls_pin_of_client_cert(reported, exchange->pin) != KAART_OK)) {
        *why = "a Client-Cert field that is no certificate";
        return 400;
    }
    return 0;
}

struct http_exchange *exchange_new(struct connection *connection, const char *head, size_t size, int *status,
                                   const char **why)
{
    struct http_exchange *exchange = calloc(1, sizeof(*exchange));

    *status = 503;
    *why = "no memory";
    if (!exchange)
        return NULL;
    exchange->head_bytes = malloc(size);
    if (!exchange->head_bytes)
        goto fail;
    memcpy(exchange->head_bytes, head, size);
    *status = http_grammar_head(&connection->grammar, exchange->head_bytes, size, &exchange->head, why);
    if (*status)
        goto fail;
    *status = http_target_parse(exchange->head_bytes + (exchange->head.target - exchange->head_bytes),
                                &exchange->path, exchange->query, &exchange->query_count, why);
    if (*status)
        goto fail;
    *status = take_pin(exchange, connection, why);
    if (*status)
        goto fail;
    memcpy(exchange->address, connection->address, sizeof(exchange->address));
    exchange->local = connection->server->local;
    exchange->connection = connection;
    exchange->references = 1;
    return exchange;
fail:
    exchange_free(exchange);
    return NULL;
}

void exchange_call_handler(struct http_exchange *exchange)
{
    struct http_server *server = exchange->connection->server;

    begin_callback(exchange);
    server->handler(server->context, exchange);
    end_callback(exchange);
}

void exchange_detach(struct http_exchange *exchange, bool caller_gone)
{
    bool streaming = exchange->body_mode == BODY_STREAM && !exchange->responded;

    exchange->connection->exchange = NULL;
    exchange->connection = NULL;
    exchange->body_mode = BODY_FINISHED;
    begin_callback(exchange);
    if (caller_gone && streaming)
        exchange->end(exchange->body_context, exchange, false);
    if (caller_gone && !exchange->ended && exchange->gone)
        exchange->gone(exchange->gone_context, exchange);
    end_callback(exchange);
    exchange_let_go(exchange);
}

bool exchange_gone(const struct http_exchange *exchange)
{
    return exchange->connection == NULL;
}

void exchange_on_gone(struct http_exchange *exchange,
                      void (*gone)(void *context, struct http_exchange *exchange), void *context)
{
    exchange->gone = gone;
    exchange->gone_context = context;
}

/* ---- the request ---- */

const char *exchange_method(const struct http_exchange *exchange)
{
    return exchange->head.method;
}

const char *exchange_path(const struct http_exchange *exchange)
{
    return exchange->path;
}

const char *exchange_query(struct http_exchange *exchange, const char *name)
{
    size_t i;

    for (i = 0; i < exchange->query_count; i++)
        if (strcmp(exchange->query[i].name, name) == 0)
            return exchange->query[i].value;
    return NULL;
}

const char *exchange_header(const struct http_exchange *exchange, const char *name)
{
    return http_field(exchange->head.fields, exchange->head.field_count, name);
}

const char *exchange_peer_pin(const struct http_exchange *exchange)
{
    return exchange->pin;
}

const char *exchange_address(const struct http_exchange *exchange)
{
    return exchange->address;
}

bool exchange_local(const struct http_exchange *exchange)
{
    return exchange->local;
}

bool exchange_accepts_gzip(const struct http_exchange *exchange)
{
    return http_accepts_gzip(exchange_header(exchange, "Accept-Encoding"));
}

/* ---- the body ---- */

bool exchange_wants_body(const struct http_exchange *exchange)
{
    return exchange->connection && !exchange->paused && !exchange->responded &&
           (exchange->body_mode == BODY_COLLECT || exchange->body_mode == BODY_STREAM);
}

void exchange_body_failed(struct http_exchange *exchange, int status, const char *why)
{
    bool streaming = exchange->body_mode == BODY_STREAM && !exchange->responded;

    if (!exchange->connection)
        return;
    exchange->body_mode = BODY_FINISHED;
    exchange->connection->close_after = true;
    if (!exchange->responded)
        exchange_problem(exchange, status, http_reason(status), "%s", why);
    if (streaming) {
        begin_callback(exchange);
        exchange->end(exchange->body_context, exchange, false);
        end_callback(exchange);
    }
}

static void too_large(struct http_exchange *exchange)
{
    exchange_body_failed(exchange, 413, "the body is larger than this resource takes");
}

static bool append(struct http_exchange *exchange, const char *bytes, size_t size)
{
    if (exchange->body_size + size + 1 > exchange->body_capacity) {
        size_t capacity = exchange->body_capacity ? exchange->body_capacity * 2 : 4096;
        char *grown;

        while (capacity < exchange->body_size + size + 1)
            capacity *= 2;
        grown = realloc(exchange->body, capacity);
        if (!grown)
            return false;
        exchange->body = grown;
        exchange->body_capacity = capacity;
    }
    memcpy(exchange->body + exchange->body_size, bytes, size);
    exchange->body_size += size;
    exchange->body[exchange->body_size] = '\0';
    return true;
}

/* Plain bytes, in order. */
static void deliver(struct http_exchange *exchange, const char *bytes, size_t size)
{
    exchange->body_total += size;
    if (exchange->body_total > exchange->body_max) {
        too_large(exchange);
        return;
    }
    if (exchange->body_mode == BODY_COLLECT) {
        if (!append(exchange, bytes, size))
            exchange_body_failed(exchange, 503, "no memory");
        return;
    }
    begin_callback(exchange);
    exchange->data(exchange->body_context, exchange, bytes, size);
    end_callback(exchange);
}

static bool keep_rest(struct http_exchange *exchange)
{
    size_t size = exchange->inflate.avail_in;
    char *rest = NULL;

    if (size) {
        rest = malloc(size);
        if (!rest)
            return false;
        memcpy(rest, exchange->inflate.next_in, size);
    }
    free(exchange->held);
    exchange->held = rest;
    exchange->held_size = size;
    return true;
}

/* One step; NULL, or what is wrong with the bytes. */
static const char *inflate_step(struct http_exchange *exchange)
{
    char piece[INFLATE_PIECE];
    size_t size;
    int result;

    if (exchange->inflate_ended)
        return "bytes after the end of the gzip body";
    exchange->inflate.next_out = (Bytef *)piece;
    exchange->inflate.avail_out = sizeof(piece);
    result = inflate(&exchange->inflate, Z_NO_FLUSH);
    if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
        return "the gzip body is corrupt";
    exchange->inflate_ended = result == Z_STREAM_END;
    size = sizeof(piece) - exchange->inflate.avail_out;
    exchange->inflate_full = exchange->inflate.avail_out == 0 && !exchange->inflate_ended;
    if (exchange->body_total + size > INFLATE_RATIO_FROM &&
        (exchange->body_total + size) / INFLATE_RATIO_MAX > exchange->inflate.total_in)
        return "the gzip body grows beyond measure";
    if (size)
        deliver(exchange, piece, size);
    return NULL;
}

static void inflate_bytes(struct http_exchange *exchange, const char *bytes, size_t size)
{
    exchange->inflate.next_in = (Bytef *)(uintptr_t)bytes;
    exchange->inflate.avail_in = (uInt)size;
    while ((exchange->inflate.avail_in || exchange->inflate_full) && exchange_wants_body(exchange)) {
        const char *why = inflate_step(exchange);

        if (why) {
            exchange_body_failed(exchange, 400, why);
            return;
        }
    }
    if (exchange->connection && !exchange->responded && !keep_rest(exchange))
        exchange_body_failed(exchange, 503, "no memory");
}

void exchange_take_body(void *context, const char *bytes, size_t size)
{
    struct http_exchange *exchange = context;

    if (!exchange->connection || exchange->body_mode == BODY_FINISHED)
        return;
    if (exchange->inflating) {
        exchange->compressed += size;
        inflate_bytes(exchange, bytes, size);
    } else {
        deliver(exchange, bytes, size);
    }
    if (exchange->connection && !exchange_wants_body(exchange))
        http_grammar_stop(&exchange->connection->grammar);
}

bool exchange_take_held(struct http_exchange *exchange)
{
    char *held = exchange->held;
    size_t size = exchange->held_size;

    if (!exchange_wants_body(exchange))
        return false;
    if (!held && !exchange->inflate_full)
        return true;
    exchange->held = NULL;
    exchange->held_size = 0;
    inflate_bytes(exchange, held ? held : "", size);
    free(held);
    return !exchange->held && !exchange->inflate_full;
}

void exchange_body_ended(struct http_exchange *exchange)
{
    enum body_mode mode = exchange->body_mode;

    if (exchange->inflating && !exchange->inflate_ended && exchange->compressed) {
        exchange_body_failed(exchange, 400, "the gzip body is cut off");
        return;
    }
    exchange->body_mode = BODY_FINISHED;
    begin_callback(exchange);
    if (mode == BODY_COLLECT)
        exchange->complete(exchange->body_context, exchange, exchange->body ? exchange->body : "",
                           exchange->body_size);
    else
        exchange->end(exchange->body_context, exchange, true);
    end_callback(exchange);
}

static void want_body(struct http_exchange *exchange, enum body_mode mode, uint64_t size_max)
{
    static const char CONTINUE[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct connection *connection = exchange->connection;

    exchange->body_mode = mode;
    exchange->body_max = size_max;
    if (!connection)
        return;
    if (exchange->head.content_length > size_max) {
        too_large(exchange);
        return;
    }
    if (exchange->head.gzip_body) {
        if (inflateInit2(&exchange->inflate, 15 + 16) != Z_OK) { /* gzip only */
            exchange_body_failed(exchange, 503, "no memory");
            return;
        }
        exchange->inflating = true;
    }
    if (exchange->head.expects_continue && !connection->grammar.complete && connection->input_size == 0 &&
        !connection_send(connection, CONTINUE, sizeof(CONTINUE) - 1))
        return;
    connection_process(connection);
}

void exchange_collect(struct http_exchange *exchange, size_t size_max, exchange_body *complete, void *context)
{
    if (!exchange->connection || exchange->responded || exchange->body_mode != BODY_UNWANTED)
        return;
    exchange->complete = complete;
    exchange->body_context = context;
    want_body(exchange, BODY_COLLECT, size_max);
}

void exchange_stream(struct http_exchange *exchange, uint64_t size_max, exchange_data *data,
                     exchange_end *end, void *context)
{
    if (exchange->responded || exchange->body_mode != BODY_UNWANTED)
        return;
    if (!exchange->connection) { /* went away before it was asked for: whoever waits for the end gets it */
        exchange->body_mode = BODY_FINISHED;
        end(context, exchange, false);
        return;
    }
    exchange->data = data;
    exchange->end = end;
    exchange->body_context = context;
    want_body(exchange, BODY_STREAM, size_max);
}

void exchange_pause(struct http_exchange *exchange)
{
    exchange->paused = true;
}

void exchange_resume(struct http_exchange *exchange)
{
    if (!exchange->paused)
        return;
    exchange->paused = false;
    if (exchange->connection)
        connection_process(exchange->connection);
}
