/*
 * control_export.c - GET /control/v1/export?kind=&audience=: every resolved record as NDJSON, {"kind","id","record"} a line.
 *
 *     [reader: writes it all to an unlinked file] --> loop: sends the file piece by piece, as fast as the caller reads
 *
 * The detour keeps a slow caller from holding a read transaction (and with it the write-ahead log) open.
 */
#include "daemon/api/control_api_internal.h"
#include "daemon/store/maps.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PIECE_SIZE 65536

struct export_job {
    struct http_exchange *exchange;
    char *kind; /* NULL: all */
    char audience[NAME_MAX_SIZE + 1];
    char *directory; /* where the file is made */
    FILE *file;
    size_t records;
    int code;
    struct fault fault;
};

static void export_free(struct export_job *export)
{
    if (export->file)
        fclose(export->file);
    free(export->kind);
    free(export->directory);
    exchange_release(export->exchange);
    free(export);
}

static int write_record(void *context, const char *kind, const char *id, const char *record_json)
{
    struct export_job *export = context;
    export->records++;
    if (fprintf(export->file, "{\"kind\":\"%s\",\"id\":\"%s\",\"record\":%s}\n", kind, id, record_json) < 0)
        return fault_set(&export->fault, KAART_IO, "the export's temporary file cannot be written: %s",
                         strerror(errno));
    return 0;
}

/* In the state directory: it has room for the map, which /tmp need not. */
static FILE *open_unlinked(const char *directory)
{
    char path[512];
    if (snprintf(path, sizeof(path), "%s/export.XXXXXX", directory) >= (int)sizeof(path)) {
        errno = ENAMETOOLONG;
        return NULL;
    }
    int descriptor = mkstemp(path);
    if (descriptor < 0)
        return NULL;
    unlink(path);
    FILE *file = fdopen(descriptor, "w+");
    if (!file)
        close(descriptor);
    return file;
}

static void run_export(void *state, void *job)
{
    struct node_readers *readers = state;
    struct export_job *export = job;
    if (!(export->file = open_unlinked(export->directory))) {
        export->code = fault_set(&export->fault, KAART_IO, "no temporary file in %s: %s", export->directory,
                                 strerror(errno));
        return;
    }
    struct map *map;
    export->code = maps_get(readers->maps, export->audience, &map, &export->fault);
    if (export->code == 0)
        export->code = map_export(map, export->kind, write_record, export, &export->fault);
    if (export->code == 0 && (fflush(export->file) != 0 || fseek(export->file, 0, SEEK_SET) != 0))
        export->code = fault_set(&export->fault, KAART_IO,
                                 "the export's temporary file cannot be read back: %s", strerror(errno));
}

static void send_piece(void *context, struct http_exchange *exchange)
{
    struct export_job *export = context;
    char piece[PIECE_SIZE];
    size_t size = fread(piece, 1, sizeof(piece), export->file);
    if (size > 0) {
        exchange_respond_write(exchange, piece, size);
        return;
    }
    exchange_respond_end(exchange);
    export_free(export);
}

static void caller_gone(void *context, struct http_exchange *exchange)
{
    (void)exchange;
    export_free(context);
}

static void export_done(void *job)
{
    struct export_job *export = job;
    char count[32];
    if (export->code < 0) {
        control_problem(export->exchange, export->code, export->fault.text);
        export_free(export);
        return;
    }
    if (exchange_gone(export->exchange)) {
        export_free(export);
        return;
    }
    exchange_on_gone(export->exchange, caller_gone, export);
    snprintf(count, sizeof(count), "%zu", export->records);
    exchange_set_header(export->exchange, "Total-Count", count);
    exchange_respond_begin(export->exchange, 200, "application/x-ndjson", send_piece, export);
}

void control_export(struct node *node, struct http_exchange *exchange)
{
    char audience[NAME_MAX_SIZE + 1];
    const char *kind = exchange_query(exchange, "kind");
    if (!control_take_audience(node, exchange, audience))
        return;
    struct export_job *export = calloc(1, sizeof(*export));
    if (!export) {
        control_problem(exchange, KAART_NOMEM, NULL);
        return;
    }
    export->exchange = exchange;
    exchange_hold(exchange);
    memcpy(export->audience, audience, sizeof(audience));
    export->directory = strdup(node->config->node.state);
    export->kind = kind ? strdup(kind) : NULL;
    int code = !export->directory || (kind && !export->kind)
                   ? KAART_NOMEM
                   : worker_post(node->reader, run_export, export_done, export);
    if (code == 0)
        return;
    control_problem(exchange, code, code == KAART_BUSY ? "The store is busy; try again in a moment." : NULL);
    export_free(export);
}
