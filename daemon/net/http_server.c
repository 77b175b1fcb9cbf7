/*
 * http_server.c - listens, accepts, counts connections, stops. See http_server.h; one caller's life is in
 * http_connection.c.
 *
 *   LISTENING --http_server_stop--> STOPPING (no new callers; running answers end) --all gone or grace
 * over--> freed
 */
#include "daemon/log.h"
#include "daemon/net/http_internal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Connections at one time: each costs some 40 kB, and twice that under TLS, so that a flood ends near 50 MB.
 * A province's peers are below 100. */
#define CONNECTIONS_MAX 512
/* From one address: an office behind one router, but no flood. Proxies and the Unix socket are exempt. */
#define CONNECTIONS_PER_ADDRESS_MAX 64
/* Handshake, and a head from its first byte to its last: an honest caller sends each in one go; 10 s is a bad
 * mobile line. */
#define HEAD_TIMEOUT_MS 10000
/* Between two requests: peers ask several things in a row, then not for minutes. */
#define IDLE_TIMEOUT_MS 30000
/* For one piece of 64 KiB to leave: slower than 1 KiB a second is not a reader. */
#define WRITE_TIMEOUT_MS 60000
/* For the next 1 KiB of a body. */
#define BODY_TIMEOUT_MS 30000
/* Callers that the kernel keeps until they are accepted. */
#define BACKLOG 128

static void fill_limits(struct http_server_limits *limits, const struct http_server_limits *given)
{
    if (given)
        *limits = *given;
    if (!limits->connections_max)
        limits->connections_max = CONNECTIONS_MAX;
    if (!limits->connections_per_address_max)
        limits->connections_per_address_max = CONNECTIONS_PER_ADDRESS_MAX;
    if (!limits->head_timeout_ms)
        limits->head_timeout_ms = HEAD_TIMEOUT_MS;
    if (!limits->idle_timeout_ms)
        limits->idle_timeout_ms = IDLE_TIMEOUT_MS;
    if (!limits->write_timeout_ms)
        limits->write_timeout_ms = WRITE_TIMEOUT_MS;
    if (!limits->body_timeout_ms)
        limits->body_timeout_ms = BODY_TIMEOUT_MS;
}

static void server_free(struct http_server *server)
{
    size_t i;

    for (i = 0; server->proxies && server->proxies[i]; i++)
        free(server->proxies[i]);
    free(server->proxies);
    tls_server_free(server->tls);
    free(server->read_buffer);
    free(server);
}

static void free_when_all_closed(struct http_server *server)
{
    void (*closed)(void *context) = server->closed;
    void *context = server->closed_context;

    if (server->open_handles || server->connections)
        return;
    server_free(server);
    if (closed)
        closed(context);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct http_server *server = handle->data;

    server->open_handles--;
    free_when_all_closed(server);
}

static void on_connection(uv_stream_t *stream, int status)
{
    struct http_server *server = stream->data;

    if (status == 0 && !server->stopping)
        connection_accept(server);
}

bool server_is_proxy(const struct http_server *server, const char *address)
{
    size_t i;

    for (i = 0; server->proxies && server->proxies[i]; i++)
        if (strcmp(server->proxies[i], address) == 0)
            return true;
    return false;
}

/* ---- opening ---- */

/* A numeric address in the one form that exchange_address has. */
static char *normal_address(const char *text, struct fault *fault)
{
    unsigned char bytes[16];
    char normal[INET6_ADDRSTRLEN];
    int family = strchr(text, ':') ? AF_INET6 : AF_INET;
    char *copy;

    if (uv_inet_pton(family, text, bytes) || uv_inet_ntop(family, bytes, normal, sizeof(normal))) {
        fault_set(fault, KAART_INVALID, "behind-proxy: \"%s\" is no numeric address", text);
        return NULL;
    }
    copy = strdup(normal);
    if (!copy)
        fault_set(fault, KAART_NOMEM, "no memory for a listener");
    return copy;
}

static int copy_proxies(struct http_server *server, const char *const *proxies, struct fault *fault)
{
    size_t i, count = 0;

    while (proxies && proxies[count])
        count++;
    if (!count)
        return KAART_OK;
    server->proxies = calloc(count + 1, sizeof(char *));
    if (!server->proxies)
        return fault_set(fault, KAART_NOMEM, "no memory for a listener");
    for (i = 0; i < count; i++) {
        server->proxies[i] = normal_address(proxies[i], fault);
        if (!server->proxies[i])
            return KAART_INVALID;
    }
    return KAART_OK;
}

static int bind_tcp(struct http_server *server, const struct http_listen_options *options,
                    struct fault *fault)
{
    struct sockaddr_storage address;
    int size = (int)sizeof(address), code;

    memset(&address, 0, sizeof(address));
    code = strchr(options->host, ':')
               ? uv_ip6_addr(options->host, options->port, (struct sockaddr_in6 *)&address)
               : uv_ip4_addr(options->host, options->port, (struct sockaddr_in *)&address);
    if (code)
        return fault_set(fault, KAART_INVALID, "cannot listen on \"%s\": no numeric address", options->host);
    code = uv_tcp_bind(&server->listener.tcp, (struct sockaddr *)&address, 0);
    if (!code)
        code = uv_listen(&server->listener.stream, BACKLOG, on_connection);
    if (!code)
        code = uv_tcp_getsockname(&server->listener.tcp, (struct sockaddr *)&address, &size);
    if (code)
        return fault_set(fault, KAART_IO, "cannot listen on %s port %u: %s", options->host, options->port,
                         uv_strerror(code));
    server->port = ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                                       : ((struct sockaddr_in *)&address)->sin_port);
    return KAART_OK;
}

/* Removes the socket of a process that is no more; refuses to take over a live one, or to remove anything
 * that is no socket. */
static int clear_path(const char *path, struct fault *fault)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat status;
    int probe, alive;

    if (strlen(path) >= sizeof(address.sun_path))
        return fault_set(fault, KAART_INVALID, "%s: too long for a Unix socket (at most %zu bytes)", path,
                         sizeof(address.sun_path) - 1);
    if (lstat(path, &status))
        return errno == ENOENT ? KAART_OK : fault_set(fault, KAART_IO, "%s: %s", path, strerror(errno));
    if (!S_ISSOCK(status.st_mode))
        return fault_set(fault, KAART_IO, "%s: exists and is no socket", path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0)
        return fault_set(fault, KAART_IO, "%s: %s", path, strerror(errno));
    alive = connect(probe, (struct sockaddr *)&address, sizeof(address)) == 0 || errno == EAGAIN;
    close(probe);
    if (alive)
        return fault_set(fault, KAART_IO, "%s: another process listens there", path);
    if (unlink(path) && errno != ENOENT)
        return fault_set(fault, KAART_IO, "%s: %s", path, strerror(errno));
    return KAART_OK;
}

static int bind_unix(struct http_server *server, const struct http_listen_options *options,
                     struct fault *fault)
{
    int code = clear_path(options->unix_path, fault);

    if (code)
        return code;
    code = uv_pipe_bind(&server->listener.pipe, options->unix_path);
    if (code)
        return fault_set(fault, KAART_IO, "%s: %s", options->unix_path, uv_strerror(code));
    /* Before listen: until then nobody can connect, whatever the umask made of the mode. */
    if (chmod(options->unix_path, 0660))
        return fault_set(fault, KAART_IO, "%s: %s", options->unix_path, strerror(errno));
    code = uv_listen(&server->listener.stream, BACKLOG, on_connection);
    return code ? fault_set(fault, KAART_IO, "%s: %s", options->unix_path, uv_strerror(code)) : KAART_OK;
}

static int init_handles(struct http_server *server, struct fault *fault)
{
    int code = server->is_unix ? uv_pipe_init(server->loop, &server->listener.pipe, 0)
                               : uv_tcp_init(server->loop, &server->listener.tcp);

    if (code)
        return fault_set(fault, KAART_IO, "cannot listen: %s", uv_strerror(code));
    uv_timer_init(server->loop, &server->grace);
    server->listener.handle.data = server->grace.data = server;
    server->open_handles = 2;
    return KAART_OK;
}

int http_server_start(uv_loop_t *loop, const struct http_listen_options *options,
                      const struct http_server_limits *limits, http_handler *handler, void *context,
                      struct http_server **out, struct fault *fault)
{
    struct http_server *server = calloc(1, sizeof(*server));
    int code;

    if (!server)
        return fault_set(fault, KAART_NOMEM, "no memory for a listener");
    signal(SIGPIPE, SIG_IGN); /* a caller that leaves is an error of one write, not the end of the process */
    server->loop = loop;
    server->is_unix = options->unix_path != NULL;
    server->local = options->local;
    server->handler = handler;
    server->context = context;
    fill_limits(&server->limits, limits);
    server->read_buffer = malloc(READ_SIZE);
    code = server->read_buffer ? copy_proxies(server, options->behind_proxy, fault)
                               : fault_set(fault, KAART_NOMEM, "no memory for a listener");
    if (!code && options->tls_certificate)
        code = tls_server_new(options->tls_certificate, options->tls_key, &server->tls, fault);
    if (!code)
        code = init_handles(server, fault);
    if (code) {
        server_free(server);
        return code;
    }
    code = server->is_unix ? bind_unix(server, options, fault) : bind_tcp(server, options, fault);
    if (code) {
        http_server_stop(server, 0, NULL, NULL);
        return code;
    }
    *out = server;
    return KAART_OK;
}

uint16_t http_server_port(const struct http_server *server)
{
    return server->port;
}

unsigned http_server_connections(const struct http_server *server)
{
    return server->connection_count;
}

int http_server_reload_tls(struct http_server *server, struct fault *fault)
{
    return server->tls ? tls_server_reload(server->tls, fault) : KAART_OK;
}

/* ---- stopping ---- */

void server_forget(struct http_server *server, struct connection *connection)
{
    if (connection->previous)
        connection->previous->next = connection->next;
    else
        server->connections = connection->next;
    if (connection->next)
        connection->next->previous = connection->previous;
    server->connection_count--;
    if (server->stopping && !server->connections && !uv_is_closing((uv_handle_t *)&server->grace))
        uv_close((uv_handle_t *)&server->grace, on_handle_closed);
}

static void on_grace_over(uv_timer_t *timer)
{
    struct http_server *server = timer->data;
    struct connection *connection, *next;

    for (connection = server->connections; connection; connection = next) {
        next = connection->next;
        connection_close(connection);
    }
}

void http_server_stop(struct http_server *server, uint64_t grace_ms, void (*closed)(void *context),
                      void *context)
{
    struct connection *connection, *next;

    if (server->stopping)
        return;
    server->stopping = true;
    server->closed = closed;
    server->closed_context = context;
    uv_close(&server->listener.handle, on_handle_closed);
    if (!server->connections) {
        uv_close((uv_handle_t *)&server->grace, on_handle_closed);
        return;
    }
    uv_timer_start(&server->grace, on_grace_over, grace_ms, 0);
    for (connection = server->connections; connection; connection = next) {
        next = connection->next;
        connection_wind_down(connection);
    }
}
