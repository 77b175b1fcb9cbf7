/*
 * http_response.c - the answer of an exchange: whole, in pieces, or a problem.
 *
 *   (nothing) --respond-------------> head and body on their way, piece by piece ----> ended
 *             --begin--> chunks: write* <--drained-- (less than OUTPUT_LOW waits) --end--> ended
 *
 * The exchange is complete when it has ended and the last byte has left the process (http_connection.c looks
 * for that).
 */
#include "daemon/log.h"
#include "daemon/net/http_internal.h"
#include "protocol/syntax.h"

#include <cjson/cJSON.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* All fields that a handler sets; a note's worth and more. */
#define FIELDS_MAX 8192
/* Status line and the fields that every answer has. */
#define HEAD_ROOM 512
/* A body up to here travels with its head. */
#define SMALL_BODY 8192

static bool is_plain(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return false;
    return true;
}

static bool add_field(struct http_exchange *exchange, const char *name, const char *value)
{
    size_t size = strlen(name) + strlen(value) + 4;
    char *grown;

    if (!is_plain(name) || !is_plain(value) || exchange->fields_size + size > FIELDS_MAX)
        return false;
    grown = realloc(exchange->fields, exchange->fields_size + size + 1);
    if (!grown)
        return false;
    exchange->fields = grown;
    exchange->fields_size +=
        (size_t)snprintf(grown + exchange->fields_size, size + 1, "%s: %s\r\n", name, value);
    return true;
}

void exchange_set_header(struct http_exchange *exchange, const char *name, const char *value)
{
    if (exchange->responded || !exchange->connection)
        return;
    if (!add_field(exchange, name, value))
        log_warning("net", "response field %s left out: not printable or too large", name);
}

static void format_date(char text[40])
{
    time_t now = time(NULL);
    struct tm parts;

    gmtime_r(&now, &parts);
    strftime(text, 40, "%a, %d %b %Y %H:%M:%S GMT", &parts);
}

/* Head, with a small body behind it; `framing` is the field that says where the body ends, with CR LF, or "".
 */
static bool send_head(struct http_exchange *exchange, int status, const char *content_type,
                      const char *framing, const char *body, size_t body_size)
{
    struct connection *connection = exchange->connection;
    size_t capacity = HEAD_ROOM + exchange->fields_size + body_size, size;
    char date[40], *bytes;
    bool sent;

    if (content_type && !add_field(exchange, "Content-Type", content_type))
        content_type = NULL;
    capacity += content_type ? strlen(content_type) + 32 : 0;
    bytes = malloc(capacity);
    if (!bytes) {
        connection_close(connection);
        return false;
    }
    format_date(date);
    size = (size_t)snprintf(bytes, capacity, "HTTP/1.1 %d %s\r\nDate: %s\r\n%.*s%s%s\r\n", status,
                            http_reason(status), date, (int)exchange->fields_size,
                            exchange->fields ? exchange->fields : "", framing,
                            connection->close_after ? "Connection: close\r\n" : "");
    if (body_size)
        memcpy(bytes + size, body, body_size);
    sent = connection_send(connection, bytes, size + body_size);
    free(bytes);
    return sent;
}

/* What both kinds of answer have in common. False: nobody is there to hear it, or it was given already. */
static bool begin(struct http_exchange *exchange, int status)
{
    struct connection *connection = exchange->connection;

    if (!connection || exchange->responded)
        return false;
    exchange->responded = true;
    exchange->body_mode = BODY_FINISHED;
    if (!connection->grammar.complete || exchange->head.minor == 0)
        connection->close_after = true;
    exchange->no_body = status == 204 || status == 304 || strcmp(exchange->head.method, "HEAD") == 0;
    return true;
}

static void send_pieces(struct http_exchange *exchange)
{
    while (exchange->out && connection_queued(exchange->connection) < OUTPUT_LOW) {
        size_t rest = exchange->out_size - exchange->out_sent;
        size_t piece = rest < OUTPUT_PIECE ? rest : OUTPUT_PIECE;

        if (!connection_send(exchange->connection, exchange->out + exchange->out_sent, piece))
            return;
        exchange->out_sent += piece;
        if (exchange->out_sent == exchange->out_size) {
            free(exchange->out);
            exchange->out = NULL;
        }
    }
}

void exchange_respond(struct http_exchange *exchange, int status, const char *content_type, char *body,
                      size_t size)
{
    char framing[64] = "";
    bool behind_head;

    if (!begin(exchange, status)) {
        free(body);
        return;
    }
    if (!body) /* also a handler that had no memory for one */
        size = 0;
    exchange_keep(exchange);
    exchange->ended = true;
    if (status != 204 && status != 304)
        snprintf(framing, sizeof(framing), "Content-Length: %zu\r\n", size);
    behind_head = !exchange->no_body && size <= SMALL_BODY;
    if (!exchange->no_body && !behind_head) {
        exchange->out = body;
        exchange->out_size = size;
        body = NULL;
    }
    if (send_head(exchange, status, content_type, framing, body, behind_head ? size : 0))
        send_pieces(exchange);
    free(body);
    exchange_let_go(exchange);
}

/* Cuts a text that truncation may have left with half a character; what is no UTF-8 at all becomes ASCII. */
static void make_utf8(char *text)
{
    size_t size = strlen(text), cut;

    for (cut = 0; cut < 4 && cut <= size; cut++) {
        if (syntax_is_utf8(text, size - cut)) {
            text[size - cut] = '\0';
            return;
        }
    }
    for (; *text; text++)
        if ((unsigned char)*text >= 0x80)
            *text = '?';
}

void exchange_problem(struct http_exchange *exchange, int status, const char *title,
                      const char *detail_format, ...)
{
    char detail[1024], *text = NULL;
    cJSON *problem = cJSON_CreateObject();
    va_list arguments;

    va_start(arguments, detail_format);
    vsnprintf(detail, sizeof(detail), detail_format, arguments);
    va_end(arguments);
    make_utf8(detail);
    if (cJSON_AddNumberToObject(problem, "status", status) &&
        cJSON_AddStringToObject(problem, "title", title) &&
        cJSON_AddStringToObject(problem, "detail", detail))
        text = cJSON_PrintUnformatted(problem);
    cJSON_Delete(problem);
    exchange_respond(exchange, status, "application/problem+json", text, text ? strlen(text) : 0);
}

/* ---- in pieces ---- */

void exchange_respond_begin(struct http_exchange *exchange, int status, const char *content_type,
                            void (*drained)(void *context, struct http_exchange *exchange), void *context)
{
    if (!begin(exchange, status))
        return;
    exchange->drained = drained;
    exchange->drained_context = context;
    exchange->drain_due = true;
    exchange->chunked = exchange->head.minor == 1 && status != 204 && status != 304;
    exchange_keep(exchange);
    send_head(exchange, status, content_type, exchange->chunked ? "Transfer-Encoding: chunked\r\n" : "", NULL,
              0);
    exchange_let_go(exchange);
}

static bool send_chunk(struct http_exchange *exchange, const char *bytes, size_t size)
{
    char chunk[OUTPUT_PIECE + 32];
    size_t head = 0, tail = 0;

    if (exchange->chunked)
        head = (size_t)snprintf(chunk, 20, "%zx\r\n", size);
    memcpy(chunk + head, bytes, size);
    if (exchange->chunked) {
        memcpy(chunk + head + size, "\r\n", 2);
        tail = 2;
    }
    return connection_send(exchange->connection, chunk, head + size + tail);
}

void exchange_respond_write(struct http_exchange *exchange, const char *bytes, size_t size)
{
    if (!exchange->connection || !exchange->responded || exchange->ended)
        return;
    exchange->drain_due = true;
    if (exchange->no_body) { /* HEAD: as if it were sent */
        connection_nudge(exchange->connection);
        return;
    }
    exchange_keep(exchange);
    while (size) {
        size_t piece = size < OUTPUT_PIECE ? size : OUTPUT_PIECE;

        if (!send_chunk(exchange, bytes, piece))
            break;
        bytes += piece;
        size -= piece;
    }
    exchange_let_go(exchange);
}

void exchange_respond_end(struct http_exchange *exchange)
{
    if (!exchange->connection || !exchange->responded || exchange->ended)
        return;
    exchange_keep(exchange);
    exchange->ended = true;
    if (!exchange->chunked || exchange->no_body || connection_send(exchange->connection, "0\r\n\r\n", 5)) {
        if (exchange->connection)
            connection_process(
                exchange->connection); /* nothing may be under way that would come back to it */
    }
    exchange_let_go(exchange);
}

void response_continue(struct http_exchange *exchange)
{
    if (!exchange->responded)
        return;
    exchange_keep(exchange);
    send_pieces(exchange);
    if (exchange->connection && !exchange->ended && exchange->drained && exchange->drain_due &&
        connection_queued(exchange->connection) < OUTPUT_LOW) {
        exchange->drain_due = false;
        exchange->drained(exchange->drained_context, exchange);
    }
    exchange_let_go(exchange);
}
