/*
 * http_connection.c - one caller: socket, TLS, deadlines, reading and writing.
 *
 *   HANDSHAKE --done--> IDLE --first byte--> HEAD --empty line--> EXCHANGE --answer sent--> IDLE
 *       |                |                     |                     |
 *       |                |                     | fault: answered     | last answer, or body unread
 *       |                |                     +------> LINGER <-----+
 *       +--- fault, deadline, caller gone ---> CLOSING <---+   (what still comes is thrown away, so that the
 * kernel does not reset the connection before the answer was read)
 *
 * One timer serves all deadlines: handshake and head as a whole, idle, the next 1 KiB of a body, one piece
 * written, lingering. While a handler works and nothing is being read or written, none runs.
 *
 * What was read and not used waits in `input` (and under TLS, in OpenSSL's buffer); when that is full,
 * reading stops.
 */
#include "daemon/log.h"
#include "daemon/net/http_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* After the last answer: time and bytes for a caller to stop sending and close. */
#define LINGER_MS 2000
#define LINGER_BYTES (1024 * 1024)
/* A body must come on by this much within the body deadline: one byte at a time holds a slot for ever. */
#define BODY_PROGRESS 1024

struct outgoing {
    uv_write_t request;
    struct connection *connection;
    char bytes[];
};

static void arm(struct connection *connection);

/* ---- closing ---- */

static void on_handle_closed(uv_handle_t *handle)
{
    struct connection *connection = handle->data;
    struct http_server *server = connection->server;

    if (--connection->open_handles)
        return;
    server_forget(server, connection);
    tls_free(connection->tls);
    free(connection->input);
    free(connection);
}

void connection_close(struct connection *connection)
{
    if (connection->state == CONNECTION_CLOSING)
        return;
    connection->state = CONNECTION_CLOSING;
    connection->reading = false;
    uv_close(&connection->socket.handle, on_handle_closed);
    uv_close((uv_handle_t *)&connection->timer, on_handle_closed);
    if (connection->exchange)
        exchange_detach(connection->exchange, true);
}

void connection_wind_down(struct connection *connection)
{
    if (connection->state == CONNECTION_EXCHANGE)
        connection->close_after = true;
    else if (connection->state != CONNECTION_LINGER)
        connection_close(connection);
}

/* ---- writing ---- */

static void on_written(uv_write_t *request, int status)
{
    struct outgoing *outgoing = (struct outgoing *)request;
    struct connection *connection = outgoing->connection;

    free(outgoing);
    connection->writes--;
    if (connection->state == CONNECTION_CLOSING)
        return;
    if (status < 0) {
        connection_close(connection);
        return;
    }
    connection->deadline = DEADLINE_NONE; /* a piece went out: the clock starts anew */
    if (connection->exchange)
        response_continue(connection->exchange);
    connection_process(connection);
}

static struct outgoing *outgoing_new(struct connection *connection, size_t size)
{
    struct outgoing *outgoing = malloc(sizeof(*outgoing) + size);

    if (outgoing)
        outgoing->connection = connection;
    return outgoing;
}

static bool outgoing_send(struct outgoing *outgoing, size_t size)
{
    struct connection *connection = outgoing->connection;
    uv_buf_t buffer = uv_buf_init(outgoing->bytes, (unsigned)size);

    if (uv_write(&outgoing->request, &connection->socket.stream, &buffer, 1, on_written)) {
        free(outgoing);
        return false;
    }
    connection->writes++;
    return true;
}

/* Sends what OpenSSL has ready. */
static bool flush_tls(struct connection *connection)
{
    size_t size = connection->tls ? tls_pending(connection->tls) : 0;
    struct outgoing *outgoing;

    if (!size)
        return true;
    outgoing = outgoing_new(connection, size);
    if (!outgoing)
        return false;
    return outgoing_send(outgoing, tls_take(connection->tls, outgoing->bytes, size));
}

static bool send_plain(struct connection *connection, const char *bytes, size_t size)
{
    struct outgoing *outgoing = outgoing_new(connection, size);

    if (!outgoing)
        return false;
    memcpy(outgoing->bytes, bytes, size);
    return outgoing_send(outgoing, size);
}

bool connection_send(struct connection *connection, const char *bytes, size_t size)
{
    bool sent;

    if (connection->state == CONNECTION_CLOSING)
        return false;
    if (size == 0)
        return true;
    if (connection->tls)
        sent = tls_write(connection->tls, bytes, size) == TLS_DONE && flush_tls(connection);
    else
        sent = send_plain(connection, bytes, size);
    if (!sent) {
        connection_close(connection);
        return false;
    }
    if (!connection->processing)
        arm(connection);
    return true;
}

void connection_nudge(struct connection *connection)
{
    if (connection->state != CONNECTION_CLOSING && !send_plain(connection, "", 0))
        connection_close(connection);
}

size_t connection_queued(const struct connection *connection)
{
    return uv_stream_get_write_queue_size(&connection->socket.stream);
}

/* ---- the end of a conversation ---- */

static void on_shutdown(uv_shutdown_t *request, int status)
{
    (void)request; /* the caller's end of file or the deadline closes */
    (void)status;
}

static void linger(struct connection *connection)
{
    connection->state = CONNECTION_LINGER;
    connection->input_size = 0;
    if (connection->tls) {
        tls_shutdown(connection->tls);
        if (!flush_tls(connection)) {
            connection_close(connection);
            return;
        }
    }
    if (uv_shutdown(&connection->shutdown, &connection->socket.stream, on_shutdown))
        connection_close(connection);
}

/* Answers a request that never became an exchange. `why` is one of our own texts. */
static void refuse(struct connection *connection, int status, const char *why)
{
    char body[256], response[640];
    int body_size, size;

    body_size = snprintf(body, sizeof(body), "{\"status\":%d,\"title\":\"%s\",\"detail\":\"%s\"}", status,
                         http_reason(status), why);
    size = snprintf(response, sizeof(response),
                    "HTTP/1.1 %d %s\r\nContent-Type: application/problem+json\r\nContent-Length: %d\r\n"
                    "Connection: close\r\n\r\n%s",
                    status, http_reason(status), body_size, body);
    log_debug("net", "request refused address=%s status=%d: %s", connection->address, status, why);
    if (connection_send(connection, response, (size_t)size))
        linger(connection);
}

/* The answer is out, the request is read: on to the next one, or to the end. */
static void exchange_complete(struct connection *connection)
{
    bool last = connection->close_after || !connection->grammar.complete || connection->server->stopping;

    exchange_detach(connection->exchange, false);
    if (connection->state == CONNECTION_CLOSING)
        return;
    if (last) {
        linger(connection);
        return;
    }
    connection->state = CONNECTION_IDLE;
    connection->head_scanned = 0;
}

/* ---- reading ---- */

static void consume(struct connection *connection, size_t size)
{
    connection->input_size -= size;
    memmove(connection->input, connection->input + size, connection->input_size);
}

/* Moves plain text from OpenSSL to the input as far as it has room. False: the connection failed and closes.
 */
static bool fill_from_tls(struct connection *connection)
{
    while (connection->input_size < INPUT_SIZE) {
        size_t got;

        switch (tls_read(connection->tls, connection->input + connection->input_size,
                         INPUT_SIZE - connection->input_size, &got)) {
        case TLS_DONE:
            connection->input_size += got;
            continue;
        case TLS_WANTS:
            break;
        case TLS_CLOSED:
            connection->eof = true;
            break;
        case TLS_FAILED:
            log_debug("net", "TLS failed address=%s: %s", connection->address, tls_error(connection->tls));
            flush_tls(connection); /* the alert */
            connection_close(connection);
            return false;
        }
        break;
    }
    if (flush_tls(connection))
        return true;
    connection_close(connection);
    return false;
}

static bool step_handshake(struct connection *connection)
{
    enum tls_result result = tls_handshake(connection->tls);
    bool flushed = flush_tls(connection);

    if (result == TLS_DONE && flushed) {
        connection->state = CONNECTION_IDLE;
        return true;
    }
    if (result == TLS_WANTS && flushed)
        return false;
    log_debug("net", "TLS handshake failed address=%s: %s", connection->address, tls_error(connection->tls));
    connection_close(connection);
    return false;
}

static bool step_head(struct connection *connection)
{
    struct http_exchange *exchange;
    const char *why = "";
    size_t size;
    int status;

    while (connection->head_scanned == 0 && connection->input_size >= 2 &&
           memcmp(connection->input, "\r\n", 2) == 0)
        consume(connection,
                2); /* some clients end a body with an empty line of their own (RFC 9112 section 2.2) */
    if (connection->input_size == 0)
        return false;
    connection->state = CONNECTION_HEAD;
    size = http_grammar_find_head(connection->input, connection->input_size, &connection->head_scanned,
                                  &status, &why);
    if (status)
        refuse(connection, status, why);
    if (status || !size)
        return false;
    exchange = exchange_new(connection, connection->input, size, &status, &why);
    if (!exchange) {
        refuse(connection, status, why);
        return false;
    }
    consume(connection, size);
    connection->state = CONNECTION_EXCHANGE;
    connection->exchange = exchange;
    connection->body_progress = 0;
    connection->close_after = !exchange->head.keep_alive || connection->server->stopping;
    exchange_call_handler(exchange);
    return true;
}

static void count_progress(struct connection *connection, size_t size)
{
    connection->body_progress += size;
    if (connection->body_progress < BODY_PROGRESS)
        return;
    connection->body_progress = 0;
    if (connection->deadline == DEADLINE_BODY)
        connection->deadline = DEADLINE_NONE;
}

/* Reads on in the body. True: something happened, look again. */
static bool step_body(struct connection *connection, struct http_exchange *exchange)
{
    const char *why = "";
    size_t consumed;
    int status;

    if (!exchange_take_held(exchange) || !exchange_wants_body(exchange))
        return false;
    if (connection->grammar.complete) {
        exchange_body_ended(exchange);
        return true;
    }
    if (connection->input_size == 0)
        return false;
    status = http_grammar_body(&connection->grammar, connection->input, connection->input_size, &consumed,
                               exchange_take_body, exchange, &why);
    if (connection->state != CONNECTION_EXCHANGE)
        return false;
    consume(connection, consumed);
    count_progress(connection, consumed);
    if (status)
        exchange_body_failed(exchange, status, why);
    return consumed > 0 || status;
}

static bool step_exchange(struct connection *connection)
{
    struct http_exchange *exchange = connection->exchange;
    bool again;

    if (exchange->ended && !exchange->out && connection->writes == 0) {
        exchange_complete(connection);
        return true;
    }
    exchange_keep(exchange);
    again = step_body(connection, exchange);
    exchange_let_go(exchange);
    return again;
}

static bool step_linger(struct connection *connection)
{
    size_t discarded = connection->input_size;

    connection->linger_discarded += discarded;
    connection->input_size = 0;
    if (connection->linger_discarded > LINGER_BYTES || connection->eof)
        connection_close(connection);
    return discarded > 0;
}

static bool step(struct connection *connection)
{
    if (connection->state == CONNECTION_CLOSING)
        return false;
    if (connection->state == CONNECTION_HANDSHAKE)
        return step_handshake(connection);
    if (connection->tls && !connection->eof && !fill_from_tls(connection))
        return false;
    switch (connection->state) {
    case CONNECTION_IDLE:
    case CONNECTION_HEAD:
        return step_head(connection);
    case CONNECTION_EXCHANGE:
        return step_exchange(connection);
    case CONNECTION_LINGER:
        return step_linger(connection);
    default:
        return false;
    }
}

static void on_allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    struct connection *connection = handle->data;

    (void)suggested;
    if (connection->tls)
        *buffer = uv_buf_init(connection->server->read_buffer, READ_SIZE);
    else
        *buffer = uv_buf_init(connection->input + connection->input_size,
                              (unsigned)(INPUT_SIZE - connection->input_size));
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buffer)
{
    struct connection *connection = stream->data;

    if (got == 0 || connection->state == CONNECTION_CLOSING)
        return;
    if (got < 0) {
        connection->eof = true;
    } else if (!connection->tls) {
        connection->input_size += (size_t)got;
    } else if (tls_feed(connection->tls, buffer->base, (size_t)got)) {
        connection_close(connection);
        return;
    }
    connection_process(connection);
}

/* Reads while there is room: also while a handler works, so as to notice that the caller has gone. */
static void update_reading(struct connection *connection)
{
    bool wanted = !connection->eof && connection->input_size < INPUT_SIZE;

    if (wanted == connection->reading)
        return;
    connection->reading = wanted;
    if (!wanted)
        uv_read_stop(&connection->socket.stream);
    else if (uv_read_start(&connection->socket.stream, on_allocate, on_read))
        connection_close(connection);
}

void connection_process(struct connection *connection)
{
    if (connection->processing) {
        connection->process_again = true;
        return;
    }
    connection->processing = true;
    do {
        connection->process_again = false;
        while (step(connection))
            ;
    } while (connection->process_again);
    connection->processing = false;
    if (connection->state == CONNECTION_CLOSING)
        return;
    /* Everything before the end of file has been used, and nobody waits for an answer, unless it is complete
     * and on its way. */
    if (connection->eof && !(connection->state == CONNECTION_EXCHANGE && connection->exchange->ended)) {
        connection_close(connection);
        return;
    }
    update_reading(connection);
    if (connection->state != CONNECTION_CLOSING)
        arm(connection);
}

/* ---- deadlines ---- */

static void on_deadline(uv_timer_t *timer)
{
    struct connection *connection = timer->data;
    struct http_exchange *exchange = connection->exchange;
    enum deadline deadline = connection->deadline;

    connection->deadline = DEADLINE_NONE;
    if (deadline == DEADLINE_HEAD) {
        refuse(connection, 408, "the head took too long");
    } else if (deadline == DEADLINE_BODY) {
        exchange_keep(exchange);
        exchange_body_failed(exchange, 408, "the body took too long");
        exchange_let_go(exchange);
    } else {
        connection_close(connection);
    }
    if (connection->state != CONNECTION_CLOSING)
        arm(connection);
}

static enum deadline wanted_deadline(const struct connection *connection)
{
    switch (connection->state) {
    case CONNECTION_HANDSHAKE:
        return DEADLINE_HANDSHAKE;
    case CONNECTION_HEAD:
        return DEADLINE_HEAD;
    case CONNECTION_LINGER:
        return DEADLINE_LINGER;
    case CONNECTION_IDLE:
        return connection->writes ? DEADLINE_WRITE : DEADLINE_IDLE;
    case CONNECTION_EXCHANGE:
        if (connection->writes)
            return DEADLINE_WRITE;
        return exchange_wants_body(connection->exchange) && !connection->grammar.complete ? DEADLINE_BODY
                                                                                          : DEADLINE_NONE;
    default:
        return DEADLINE_NONE;
    }
}

static uint64_t deadline_ms(const struct http_server_limits *limits, enum deadline deadline)
{
    switch (deadline) {
    case DEADLINE_HANDSHAKE:
    case DEADLINE_HEAD:
        return limits->head_timeout_ms;
    case DEADLINE_IDLE:
        return limits->idle_timeout_ms;
    case DEADLINE_BODY:
        return limits->body_timeout_ms;
    case DEADLINE_WRITE:
        return limits->write_timeout_ms;
    default:
        return LINGER_MS;
    }
}

/* Starts the timer when what it waits for has changed; whoever makes progress sets DEADLINE_NONE first. */
static void arm(struct connection *connection)
{
    enum deadline wanted;

    if (connection->state == CONNECTION_CLOSING)
        return;
    wanted = wanted_deadline(connection);
    if (wanted == connection->deadline)
        return;
    connection->deadline = wanted;
    if (wanted == DEADLINE_NONE)
        uv_timer_stop(&connection->timer);
    else
        uv_timer_start(&connection->timer, on_deadline, deadline_ms(&connection->server->limits, wanted), 0);
}

/* ---- accepting ---- */

static void take_address(struct connection *connection)
{
    static const unsigned char MAPPED[12] = {[10] = 0xff, [11] = 0xff};
    struct sockaddr_storage address;
    int size = (int)sizeof(address);

    memset(&address, 0, sizeof(address));
    snprintf(connection->address, sizeof(connection->address),
             connection->server->is_unix ? "unix" : "unknown");
    if (connection->server->is_unix ||
        uv_tcp_getpeername(&connection->socket.tcp, (struct sockaddr *)&address, &size))
        return;
    if (address.ss_family == AF_INET6) {
        const unsigned char *bytes = ((struct sockaddr_in6 *)&address)->sin6_addr.s6_addr;

        if (memcmp(bytes, MAPPED, sizeof(MAPPED)) == 0)
            uv_inet_ntop(AF_INET, bytes + sizeof(MAPPED), connection->address, sizeof(connection->address));
        else
            uv_inet_ntop(AF_INET6, bytes, connection->address, sizeof(connection->address));
    } else {
        uv_inet_ntop(AF_INET, &((struct sockaddr_in *)&address)->sin_addr, connection->address,
                     sizeof(connection->address));
    }
}

static bool is_loopback(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0;
}

static unsigned count_address(const struct http_server *server, const char *address)
{
    const struct connection *connection;
    unsigned count = 0;

    for (connection = server->connections; connection; connection = connection->next)
        count += connection->state != CONNECTION_CLOSING && strcmp(connection->address, address) == 0;
    return count;
}

/* Why a caller is turned away at the door; NULL: welcome. */
static const char *turn_away(const struct http_server *server, const struct connection *connection)
{
    if (server->connection_count > server->limits.connections_max)
        return "too many connections";
    if (server->is_unix || connection->from_proxy)
        return NULL;
    if (!server->tls && !is_loopback(connection->address))
        return "plain HTTP is for loopback and configured proxies";
    if (count_address(server, connection->address) > server->limits.connections_per_address_max)
        return "too many connections from this address";
    return NULL;
}

static bool init_handles(struct connection *connection, struct http_server *server)
{
    int code = server->is_unix ? uv_pipe_init(server->loop, &connection->socket.pipe, 0)
                               : uv_tcp_init(server->loop, &connection->socket.tcp);

    if (code)
        return false;
    uv_timer_init(server->loop, &connection->timer);
    connection->socket.handle.data = connection->timer.data = connection;
    connection->open_handles = 2;
    connection->server = server;
    connection->next = server->connections;
    if (server->connections)
        server->connections->previous = connection;
    server->connections = connection;
    server->connection_count++;
    return true;
}

void connection_accept(struct http_server *server)
{
    struct connection *connection = calloc(1, sizeof(*connection));
    const char *why;

    if (!connection || !init_handles(connection, server)) {
        log_error("net", "no memory for a connection");
        free(connection);
        return;
    }
    connection->state = server->tls ? CONNECTION_HANDSHAKE : CONNECTION_IDLE;
    if (uv_accept(&server->listener.stream, &connection->socket.stream)) {
        connection_close(connection);
        return;
    }
    take_address(connection);
    connection->from_proxy = server_is_proxy(server, connection->address);
    why = turn_away(server, connection);
    if (why) {
        log_debug("net", "turned away address=%s: %s", connection->address, why);
        connection_close(connection);
        return;
    }
    connection->input = malloc(INPUT_SIZE);
    connection->tls = server->tls ? tls_accept(server->tls) : NULL;
    if (!connection->input || (server->tls && !connection->tls)) {
        log_error("net", "no memory for a connection");
        connection_close(connection);
        return;
    }
    if (!server->is_unix)
        uv_tcp_nodelay(&connection->socket.tcp, 1);
    update_reading(connection);
    arm(connection);
}
