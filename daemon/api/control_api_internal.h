/*
 * control_api_internal.h - what the files of the control API share.
 *
 * A question that needs the store becomes a job: run on a worker's thread, answered on the loop. The job holds the exchange.
 */
#ifndef KAARTD_API_CONTROL_API_INTERNAL_H
#define KAARTD_API_CONTROL_API_INTERNAL_H

#include "daemon/api/api.h"
#include "protocol/policy.h"

#include <cjson/cJSON.h>

/* Records a search answers at most in one page. */
#define CONTROL_SEARCH_MAX 200
/* A batch of BATCH_ENTRIES_MAX lines; kaartctl cuts batches at 4 MiB, so that this also bounds a longest line after such a batch. */
#define CONTROL_IMPORT_SIZE_MAX (16u * 1024 * 1024)

struct control_job {
    struct node *node;
    struct http_exchange *exchange;
    void (*run)(struct node_readers *readers, struct control_job *job); /* on the reader's thread */
    char *kind, *id, *source, *feed, *query;                            /* copies; NULL where not given */
    char audience[NAME_MAX_SIZE + 1]; /* whose map readers->map is, in `run`; of the query's `audience` */
    size_t limit, offset;
    uint64_t seq;
    struct policy *policy; /* own reference, or NULL */
    int32_t day;
    cJSON *result; /* what is answered with 200 */
    int code;
    struct fault fault;
};

/* The query's `audience`, `public` where there is none; false (and answered) where the configuration names no feed of it. */
bool control_take_audience(struct node *node, struct http_exchange *exchange,
                           char audience[NAME_MAX_SIZE + 1]);
/* A new job that holds the exchange; answers by itself and returns NULL without memory, or for an audience that is none here. */
struct control_job *control_job_new(struct node *node, struct http_exchange *exchange);
/* Copies a query member into *to; false (and answered) without memory. */
bool control_job_take(struct control_job *job, char **to, const char *value);
void control_job_free(struct control_job *job);
/* Posts it to the reader and answers when it is done; consumes the job in every case. */
void control_job_post(struct control_job *job);

/* 200 with JSON; consumes `result` (NULL: 500). */
void control_respond(struct http_exchange *exchange, cJSON *result);
/* The error as problem+json: which status, and what the operator can do. */
void control_problem(struct http_exchange *exchange, int code, const char *detail);

/* Each answers its route. */
void control_import(struct node *node, struct http_exchange *exchange);
void control_export(struct node *node, struct http_exchange *exchange);
void control_proof(struct node *node, struct http_exchange *exchange);
void control_rebuild(struct node *node, struct http_exchange *exchange);
void control_review_list(struct node *node, struct http_exchange *exchange);
void control_review_show(struct node *node, struct http_exchange *exchange, const char *number);
void control_review_decide(struct node *node, struct http_exchange *exchange, bool approving);
void control_erase(struct node *node, struct http_exchange *exchange);
void control_conflicts(struct node *node, struct http_exchange *exchange);
void control_stale(struct node *node, struct http_exchange *exchange);
void control_policy(struct node *node, struct http_exchange *exchange);
void control_policy_sums(struct node *node, struct http_exchange *exchange);
void control_policy_diff(struct node *node, struct http_exchange *exchange);
void control_link(struct node *node, struct http_exchange *exchange);
void control_unlink(struct node *node, struct http_exchange *exchange);
void control_duplicates(struct node *node, struct http_exchange *exchange);

#endif
