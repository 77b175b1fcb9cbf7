/*
 * feeds_api.c - feeds for peers: which there are, their heads, and their changes. spec/feed.md [HTTP-3] to
 * [HTTP-12].
 *
 *   request --checks, loop--> READ (reader thread: one read of the store, gzip) --loop--> answer
 *
 * A feed that is unknown and one that this caller may not see go the same way through the reader and get the
 * same answer [HTTP-8].
 */
#include "daemon/api/access.h"
#include "daemon/api/api.h"
#include "daemon/log.h"
#include "daemon/store/feeds.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* Below this, gzip's own bytes and time are not worth it. */
#define GZIP_FROM 1024
/* Fastest: a page of 4 MiB costs the reader some 40 ms instead of 150, for 30 % more bytes. */
#define GZIP_LEVEL 1
/* Seconds after which a caller may come again that met a full queue. */
#define BUSY_RETRY "2"

enum wanted { WANTED_LIST, WANTED_CHECKPOINT, WANTED_CHANGES };

/* An own feed as the configuration has it, copied for the reader thread. */
struct own {
    char *feed, *licence;
    bool shown; /* to this caller */
};

struct read_job {
    struct http_exchange *exchange;
    enum wanted wanted;
    char feed[FEED_NAME_MAX_SIZE + 1];
    bool allowed, gzip;
    uint64_t epoch, since;
    char *if_none_match;
    struct own *own;
    size_t own_count;
    /* out */
    int code;
    struct fault fault;
    bool unchanged, compressed;
    char *body;
    size_t size;
    char etag[HASH_SIZE * 2 + 5];
    cJSON *list;
};

static void job_free(struct read_job *job)
{
    for (size_t i = 0; i < job->own_count; i++) {
        free(job->own[i].feed);
        free(job->own[i].licence);
    }
    free(job->own);
    free(job->if_none_match);
    free(job->body);
    cJSON_Delete(job->list);
    free(job);
}

/* ---- on the reader thread ---- */

static void compress_body(struct read_job *job)
{
    z_stream stream = {0};
    size_t capacity;
    char *packed;

    if (!job->gzip || job->size < GZIP_FROM || job->size > UINT32_MAX ||
        deflateInit2(&stream, GZIP_LEVEL, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return;
    capacity = deflateBound(&stream, (uLong)job->size);
    packed = malloc(capacity);
    if (packed) {
        stream.next_in = (Bytef *)job->body;
        stream.avail_in = (uInt)job->size;
        stream.next_out = (Bytef *)packed;
        stream.avail_out = (uInt)capacity;
        if (deflate(&stream, Z_FINISH) == Z_STREAM_END && stream.total_out < job->size) {
            free(job->body);
            job->body = packed;
            job->size = stream.total_out;
            job->compressed = true;
            packed = NULL;
        }
    }
    free(packed);
    deflateEnd(&stream);
}

static const struct own *find_own(const struct read_job *job, const char *feed)
{
    for (size_t i = 0; i < job->own_count; i++)
        if (strcmp(job->own[i].feed, feed) == 0)
            return &job->own[i];
    return NULL;
}

static int list_one(void *context, const struct feed_head *head)
{
    struct read_job *job = context;
    const struct own *own = find_own(job, head->checkpoint.feed);
    cJSON *item;

    if (!head->held || !(access_is_public(head->checkpoint.feed) || (own && own->shown)))
        return KAART_OK;
    item = cJSON_CreateObject();
    if (!cJSON_AddItemToArray(job->list, item)) {
        cJSON_Delete(item);
        return KAART_NOMEM;
    }
    if (!cJSON_AddStringToObject(item, "feed", head->checkpoint.feed) ||
        !cJSON_AddStringToObject(item, "checkpoint", head->note))
        return KAART_NOMEM;
    if (own && own->licence && !cJSON_AddStringToObject(item, "licence", own->licence))
        return KAART_NOMEM;
    return KAART_OK;
}

static void read_list(struct read_job *job, struct feeds *feeds)
{
    cJSON *document = cJSON_CreateObject();

    job->list = cJSON_AddArrayToObject(document, "feeds");
    job->code = job->list ? feeds_list(feeds, list_one, job, &job->fault) : KAART_NOMEM;
    if (!job->code) {
        job->body = cJSON_PrintUnformatted(document);
        job->size = job->body ? strlen(job->body) : 0;
        job->code = job->body ? KAART_OK : KAART_NOMEM;
    }
    cJSON_Delete(document);
    job->list = NULL;
}

static int tag_of(const struct feed_head *head, char etag[HASH_SIZE * 2 + 5])
{
    struct hasher *hasher = hasher_new();
    struct hash digest;
    char hex[HASH_SIZE * 2 + 1];
    int code = hasher ? hasher_digest(hasher, head->note, head->note_size, &digest) : KAART_NOMEM;

    hasher_free(hasher);
    if (code)
        return code;
    hex_encode(digest.bytes, HASH_SIZE, hex);
    snprintf(etag, HASH_SIZE * 2 + 5, "W/\"%s\"", hex); /* [HTTP-5] */
    return KAART_OK;
}

static void read_checkpoint(struct read_job *job, struct feeds *feeds)
{
    struct feed_head *head = calloc(1, sizeof(*head));

    job->code = head ? feeds_head(feeds, job->feed, head, &job->fault) : KAART_NOMEM;
    if (!job->code && (!head->held || !job->allowed))
        job->code = KAART_UNKNOWN;
    if (!job->code)
        job->code = tag_of(head, job->etag);
    if (!job->code) {
        job->unchanged = access_etag_matches(job->if_none_match, job->etag);
        job->body = strdup(head->note);
        job->size = head->note_size;
        job->code = job->body ? KAART_OK : KAART_NOMEM;
    }
    free(head);
}

static void read_changes(struct read_job *job, struct feeds *feeds)
{
    struct feeds_page page;

    if (!job->allowed) { /* as much work as for a feed that is not there */
        read_checkpoint(job, feeds);
        return;
    }
    job->code = feeds_page(feeds, job->feed, job->epoch, job->since, PAGE_SIZE_MAX, &page, &job->fault);
    if (job->code)
        return;
    job->body = page.bytes;
    job->size = page.size;
    memcpy(job->etag, page.etag, sizeof(job->etag));
    /* [HTTP-6]: whoever asks from elsewhere still lacks entries, though the head be the same */
    job->unchanged = job->epoch == page.checkpoint.epoch && job->since == page.checkpoint.size &&
                     access_etag_matches(job->if_none_match, job->etag);
}

static void run_read(void *state, void *context)
{
    struct node_readers *readers = state;
    struct read_job *job = context;

    if (job->wanted == WANTED_LIST)
        read_list(job, readers->feeds);
    else if (job->wanted == WANTED_CHECKPOINT)
        read_checkpoint(job, readers->feeds);
    else
        read_changes(job, readers->feeds);
    if (!job->code && !job->unchanged)
        compress_body(job);
}

/* ---- on the loop ---- */

static void answer_failure(struct read_job *job)
{
    struct http_exchange *exchange = job->exchange;

    if (job->code == KAART_UNKNOWN) {
        access_not_found(exchange);
        return;
    }
    log_error("net", "cannot serve feed=%s: %s", job->feed[0] ? job->feed : "(list)",
              job->fault.text[0] ? job->fault.text : kaart_strerror(job->code));
    exchange_set_header(exchange, "Retry-After", BUSY_RETRY);
    exchange_problem(exchange, 503, "Service Unavailable", "the store cannot be read at the moment");
}

static void done_read(void *context)
{
    static const char *const TYPES[] = {"application/json", "text/plain; charset=utf-8",
                                        "application/x-ndjson"};
    struct read_job *job = context;
    struct http_exchange *exchange = job->exchange;

    if (job->code) {
        answer_failure(job);
        goto done;
    }
    if (job->wanted != WANTED_LIST)
        exchange_set_header(exchange, "ETag", job->etag);
    /* A cache must ask each time; what only some may read it must not keep at all. */
    exchange_set_header(exchange, "Cache-Control",
                        job->wanted != WANTED_LIST && access_is_public(job->feed) ? "no-cache" : "no-store");
    exchange_set_header(exchange, "Vary", "Accept-Encoding");
    if (job->unchanged) {
        exchange_respond(exchange, 304, NULL, NULL, 0);
        goto done;
    }
    if (job->compressed)
        exchange_set_header(exchange, "Content-Encoding", "gzip");
    exchange_respond(exchange, 200, TYPES[job->wanted], job->body, job->size);
    job->body = NULL;
done:
    exchange_release(exchange);
    job_free(job);
}

static bool copy_own(struct read_job *job, const struct node *node)
{
    const struct config *config = node->config;

    job->own = calloc(config->feed_count + 1, sizeof(*job->own));
    if (!job->own)
        return false;
    for (size_t i = 0; i < config->feed_count; i++) {
        struct own *own = &job->own[job->own_count++];

        own->feed = strdup(config->feeds[i].name);
        own->licence = config->feeds[i].licence ? strdup(config->feeds[i].licence) : NULL;
        own->shown = access_may_read(node, job->exchange, config->feeds[i].name);
        if (!own->feed)
            return false;
    }
    return true;
}

static struct read_job *job_new(const struct node *node, struct http_exchange *exchange, enum wanted wanted,
                                const char *feed)
{
    struct read_job *job = calloc(1, sizeof(*job));
    const char *if_none_match = exchange_header(exchange, "If-None-Match");

    if (!job)
        return NULL;
    job->exchange = exchange;
    job->wanted = wanted;
    job->gzip = exchange_accepts_gzip(exchange);
    snprintf(job->feed, sizeof(job->feed), "%s", feed);
    job->allowed = wanted == WANTED_LIST || access_may_read(node, exchange, feed);
    job->if_none_match = if_none_match ? strdup(if_none_match) : NULL;
    if (wanted == WANTED_LIST && !copy_own(job, node)) {
        job_free(job);
        return NULL;
    }
    return job;
}

static void post(struct node *node, struct read_job *job)
{
    exchange_hold(job->exchange);
    if (worker_post(node->reader, run_read, done_read, job) == KAART_OK)
        return;
    exchange_set_header(job->exchange, "Retry-After", BUSY_RETRY);
    exchange_problem(job->exchange, 503, "Service Unavailable", "too many requests wait for the store");
    exchange_release(job->exchange);
    job_free(job);
}

static bool is_get(struct http_exchange *exchange, const char *allowed)
{
    const char *method = exchange_method(exchange);

    if (strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0)
        return true;
    exchange_set_header(exchange, "Allow", allowed);
    exchange_problem(exchange, 405, "Method Not Allowed", "this path answers %s", allowed);
    return false;
}

bool feeds_api_handle(struct node *node, struct http_exchange *exchange)
{
    const char *path = exchange_path(exchange), *what = "";
    char feed[FEED_NAME_MAX_SIZE + 1] = "";
    enum wanted wanted = WANTED_LIST;
    uint64_t epoch = 0, since = 0;
    struct read_job *job;

    if (strcmp(path, "/v1/feeds") != 0) {
        if (!access_feed_path(path, feed, &what))
            return false;
        if (strcmp(what, "checkpoint") == 0)
            wanted = WANTED_CHECKPOINT;
        else if (strcmp(what, "changes") == 0)
            wanted = WANTED_CHANGES;
        else
            return false;
    }
    if (!is_get(exchange, wanted == WANTED_LIST ? "GET, HEAD" : "GET, HEAD, POST"))
        return true;
    if (wanted == WANTED_CHANGES && !access_range(exchange, &epoch, &since))
        return true;
    job = job_new(node, exchange, wanted, feed);
    if (!job) {
        exchange_problem(exchange, 503, "Service Unavailable", "no memory");
        return true;
    }
    job->epoch = epoch;
    job->since = since;
    post(node, job);
    return true;
}
