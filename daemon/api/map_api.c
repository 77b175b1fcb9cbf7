/*
 * map_api.c - GET /v1/map/sums: the hashes by which two operators see whether they hold the same claims and see the same map.
 * spec/resolution.md [SUM-4] [SUM-5]. Public: they say nothing about any record.
 */
#include "daemon/api/access.h"
#include "daemon/api/api.h"
#include "daemon/log.h"
#include "daemon/store/map.h"
#include "protocol/json.h"

#include <stdlib.h>
#include <string.h>

/* Seconds after which a caller may come again that met a full queue. */
#define BUSY_RETRY "2"
/* Of each sum, what goes into the entity tag. */
#define TAG_DIGITS 16

struct sums_job {
    struct http_exchange *exchange;
    char *if_none_match;
    char *node;
    int64_t now_ms;
    /* out */
    int code;
    struct fault fault;
    cJSON *sums;
};

static void job_free(struct sums_job *job)
{
    free(job->if_none_match);
    free(job->node);
    cJSON_Delete(job->sums);
    free(job);
}

static void run_sums(void *state, void *context)
{
    struct node_readers *readers = state;
    struct sums_job *job = context;
    job->code = map_sums(readers->map, job->now_ms, &job->sums, &job->fault);
    if (!job->code && !cJSON_AddStringToObject(job->sums, "node", job->node))
        job->code = KAART_NOMEM;
}

/* Of what is compared, not of the time at which it was computed. Empty while there are no sums. */
static void tag_of(const cJSON *sums, char *tag, size_t size)
{
    const char *day = json_get_string(sums, "day"), *claims = json_get_string(sums, "claimSet"),
               *policy = json_get_string(sums, "policy"), *map = json_get_string(sums, "map");
    tag[0] = '\0';
    if (day && claims && policy && map)
        snprintf(tag, size, "W/\"%s-%.*s-%.*s-%.*s\"", day, TAG_DIGITS, claims, TAG_DIGITS, policy,
                 TAG_DIGITS, map);
}

static void done_sums(void *context)
{
    struct sums_job *job = context;
    struct http_exchange *exchange = job->exchange;
    char tag[128], *text = job->code ? NULL : cJSON_PrintUnformatted(job->sums);
    if (!text) {
        log_error("net", "cannot serve the map's sums: %s",
                  job->fault.text[0] ? job->fault.text : kaart_strerror(job->code));
        exchange_set_header(exchange, "Retry-After", BUSY_RETRY);
        exchange_problem(exchange, 503, "Service Unavailable", "the map cannot be read at the moment");
        goto out;
    }
    tag_of(job->sums, tag, sizeof(tag));
    exchange_set_header(exchange, "Cache-Control", "no-cache");
    if (tag[0])
        exchange_set_header(exchange, "ETag", tag);
    if (tag[0] && access_etag_matches(job->if_none_match, tag)) {
        free(text);
        exchange_respond(exchange, 304, NULL, NULL, 0);
    } else {
        exchange_respond(exchange, 200, "application/json", text, strlen(text));
    }
out:
    exchange_release(exchange);
    job_free(job);
}

static struct sums_job *job_new(const struct node *node, struct http_exchange *exchange)
{
    const char *if_none_match = exchange_header(exchange, "If-None-Match");
    struct sums_job *job = calloc(1, sizeof(*job));
    if (!job)
        return NULL;
    job->exchange = exchange;
    job->now_ms = node_now_ms();
    job->node = strdup(node->config->node.name);
    job->if_none_match = if_none_match ? strdup(if_none_match) : NULL;
    if (job->node)
        return job;
    job_free(job);
    return NULL;
}

bool map_api_handle(struct node *node, struct http_exchange *exchange)
{
    const char *method = exchange_method(exchange);
    if (strcmp(exchange_path(exchange), "/v1/map/sums") != 0)
        return false;
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
        exchange_set_header(exchange, "Allow", "GET, HEAD");
        exchange_problem(exchange, 405, "Method Not Allowed", "this path answers GET, HEAD");
        return true;
    }
    struct sums_job *job = job_new(node, exchange);
    exchange_hold(exchange);
    if (job && worker_post(node->reader, run_sums, done_sums, job) == KAART_OK)
        return true;
    exchange_set_header(exchange, "Retry-After", BUSY_RETRY);
    exchange_problem(exchange, 503, "Service Unavailable", "too many requests wait for the store");
    exchange_release(exchange);
    if (job)
        job_free(job);
    return true;
}
