/*
 * http_internal.h - what the files of the HTTP server share; nobody else includes it. Loop thread only.
 *
 *   http_server.c      listens, accepts, counts, stops
 *   http_connection.c  one caller: socket, TLS, deadlines, reading and writing
 *   http_exchange.c    one request: what handlers may ask about it, and its body
 *   http_response.c    its answer
 */
#ifndef KAARTD_NET_HTTP_INTERNAL_H
#define KAARTD_NET_HTTP_INTERNAL_H

#include "daemon/net/http_grammar.h"
#include "daemon/net/http_server.h"
#include "daemon/net/tls.h"

#include <netinet/in.h>
#include <zlib.h>

/* Plain text read and not yet used. Holds a whole head (8 KiB) and some body; bounds what a caller can make
 * us keep. */
#define INPUT_SIZE 32768
/* Ciphertext read at once. */
#define READ_SIZE 65536
/* One piece of a response on its way: large enough that system calls do not dominate, small enough for slow
 * readers. */
#define OUTPUT_PIECE 65536
/* Below this in the socket's queue, the next piece is produced. */
#define OUTPUT_LOW 65536

struct http_server {
    uv_loop_t *loop;
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } listener;
    uv_timer_t grace;
    unsigned open_handles;
    bool is_unix, local, stopping;
    struct tls_server *tls;
    char **proxies;
    uint16_t port;
    struct http_server_limits limits;
    http_handler *handler;
    void *context;
    struct connection *connections;
    unsigned connection_count;
    char *read_buffer; /* ciphertext passes through here; one for all, since it is used up at once */
    void (*closed)(void *context);
    void *closed_context;
};

enum connection_state {
    CONNECTION_HANDSHAKE,
    CONNECTION_IDLE,     /* no byte of a request yet */
    CONNECTION_HEAD,     /* some of one */
    CONNECTION_EXCHANGE, /* from the head to the last byte of the answer */
    CONNECTION_LINGER,   /* everything is said; what still comes is thrown away until the caller closes */
    CONNECTION_CLOSING,
};

/* What the connection's one timer waits for. */
enum deadline {
    DEADLINE_NONE,
    DEADLINE_HANDSHAKE,
    DEADLINE_IDLE,
    DEADLINE_HEAD,
    DEADLINE_BODY,
    DEADLINE_WRITE,
    DEADLINE_LINGER
};

struct connection {
    struct http_server *server;
    struct connection *next, *previous;
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } socket;
    uv_timer_t timer;
    enum deadline deadline;
    uv_shutdown_t shutdown;
    unsigned open_handles;
    enum connection_state state;
    struct tls *tls; /* NULL: plain */
    char address[INET6_ADDRSTRLEN];
    bool from_proxy;

    char *input;
    size_t input_size, head_scanned;
    bool reading, processing, process_again, eof;
    bool close_after; /* the present answer is the last */
    struct http_grammar grammar;
    struct http_exchange *exchange;

    unsigned writes;      /* uv_writes under way */
    size_t body_progress; /* body bytes since the body deadline was last set */
    uint64_t linger_discarded;
};

enum body_mode {
    BODY_UNWANTED, /* nobody asked for it (yet) */
    BODY_COLLECT,
    BODY_STREAM,
    BODY_FINISHED, /* handed out, refused, or of no interest any more */
};

struct http_exchange {
    struct connection *connection; /* NULL: the caller has gone, or the answer has been handed over whole */
    unsigned references;           /* the connection's, the handler's, and those of calls under way */
    unsigned holds;                /* the handler's alone */
    unsigned callbacks;            /* calls into the handler under way: it is judged after them */

    char *head_bytes;
    struct http_head head;
    const char *path;
    struct http_pair query[HTTP_QUERY_MAX];
    size_t query_count;
    char pin[TLS_PIN_SIZE];
    char address[INET6_ADDRSTRLEN];
    bool local;

    enum body_mode body_mode;
    bool paused, body_delivered;
    uint64_t body_max, body_total;
    char *body;
    size_t body_size, body_capacity;
    exchange_body *complete;
    exchange_data *data;
    exchange_end *end;
    void *body_context;
    z_stream inflate;
    bool inflating, inflate_ended, inflate_full; /* set up; saw the end; has more output than it gave */
    uint64_t compressed;
    char *held; /* compressed bytes that a pause left over */
    size_t held_size;

    char *fields;
    size_t fields_size;
    bool responded; /* the status line is out */
    bool ended;     /* nothing more will be written */
    bool chunked, no_body;
    char *out; /* whole body, being written piece by piece */
    size_t out_size, out_sent;
    void (*drained)(void *context, struct http_exchange *exchange);
    void *drained_context;
    bool drain_due;
    void (*gone)(void *context, struct http_exchange *exchange);
    void *gone_context;
};

/* ---- http_server.c ---- */
bool server_is_proxy(const struct http_server *server, const char *address);
/* The connection is closed and about to be freed. */
void server_forget(struct http_server *server, struct connection *connection);

/* ---- http_connection.c ---- */
/* Takes a caller from the listener, or refuses it there and then. */
void connection_accept(struct http_server *server);
void connection_close(struct connection *connection);
/* Server stop: ends it if nothing is under way, else after the answer. */
void connection_wind_down(struct connection *connection);
/* Sends plain text (copied). False: the connection has failed and is closing. */
bool connection_send(struct connection *connection, const char *bytes, size_t size);
/* Writes nothing, so that what follows a write happens, from the loop. */
void connection_nudge(struct connection *connection);
size_t connection_queued(const struct connection *connection);
/* Goes on with what lies in the input. May call handlers. */
void connection_process(struct connection *connection);

/* ---- http_exchange.c ---- */
/* Makes an exchange from a head. NULL: *status and *why say what to answer. */
struct http_exchange *exchange_new(struct connection *connection, const char *head, size_t size, int *status,
                                   const char **why);
void exchange_call_handler(struct http_exchange *exchange);
/* Body bytes without framing, perhaps compressed. */
void exchange_take_body(void *exchange, const char *bytes, size_t size);
/* Goes on with compressed bytes that a pause left over. True: there is nothing (more) in the way of reading
 * on. */
bool exchange_take_held(struct http_exchange *exchange);
/* The request's last byte is read: delivers what waits for that. */
void exchange_body_ended(struct http_exchange *exchange);
bool exchange_wants_body(const struct http_exchange *exchange);
/* The connection lets go: `caller_gone`, or the answer is complete. */
void exchange_detach(struct http_exchange *exchange, bool caller_gone);
/* The body broke a rule: answers, if nothing was answered yet, and ends the connection after that. */
void exchange_body_failed(struct http_exchange *exchange, int status, const char *why);
/* References for the time of a call. */
void exchange_keep(struct http_exchange *exchange);
void exchange_let_go(struct http_exchange *exchange);

/* ---- http_response.c ---- */
/* A piece has left the socket: writes the next one, or asks the handler for more. */
void response_continue(struct http_exchange *exchange);

#endif
