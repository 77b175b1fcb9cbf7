/*
 * control_edit.c - the editors' work lists.
 *
 *   GET conflicts?group=&about=&limit=   {"conflicts":[...],"more"}   where claims differ, as map_conflicts gives it
 *   GET stale?before=DAY&origin=&limit=  {"stale":[...],"total"}      what was last confirmed before that day; default: this node's own
 */
#include "daemon/api/control_api_internal.h"
#include "daemon/store/map.h"
#include "protocol/syntax.h"

#include <stdlib.h>
#include <string.h>

#define LIMIT_MAX 10000
#define LIMIT_USUAL 100

static bool take_limit(struct http_exchange *exchange, size_t *limit)
{
    uint64_t value = LIMIT_USUAL;
    const char *text = exchange_query(exchange, "limit");
    if (text && (syntax_decimal_parse(text, strlen(text), LIMIT_MAX, &value) < 0 || value == 0)) {
        control_problem(exchange, KAART_INVALID, "limit is not a number from 1 to 10000.");
        return false;
    }
    *limit = (size_t)value;
    return true;
}

static bool take_origin(struct http_exchange *exchange, const char *name)
{
    const char *origin = exchange_query(exchange, name);
    if (!origin || syntax_is_origin(origin, strlen(origin)))
        return true;
    control_problem(exchange, KAART_INVALID, "The origin is not a node's name, as in houten.example.");
    return false;
}

static void run_conflicts(struct node_readers *readers, struct control_job *job)
{
    bool more = false;
    cJSON *list = NULL;
    const struct map_conflict_options options = {
        .group = job->kind, .about = job->source, .limit = job->limit};
    job->code = map_conflicts(readers->map, job->policy, job->day, &options, &list, &more, &job->fault);
    if (job->code == 0 && (job->result = cJSON_CreateObject())) {
        cJSON_AddItemToObject(job->result, "conflicts", list);
        cJSON_AddBoolToObject(job->result, "more", more);
    } else {
        cJSON_Delete(list);
    }
}

void control_conflicts(struct node *node, struct http_exchange *exchange)
{
    size_t limit;
    if (!take_limit(exchange, &limit) || !take_origin(exchange, "about"))
        return;
    struct control_job *job = control_job_new(node, exchange);
    if (!job || !control_job_take(job, &job->kind, exchange_query(exchange, "group")) ||
        !control_job_take(job, &job->source, exchange_query(exchange, "about")))
        return;
    job->limit = limit;
    job->policy = policy_hold(node->policy);
    job->run = run_conflicts;
    control_job_post(job);
}

static void run_stale(struct node_readers *readers, struct control_job *job)
{
    size_t total = 0;
    cJSON *list = NULL;
    job->code = map_stale(readers->map, job->source, job->day, (int32_t)job->offset, job->limit, &list,
                          &total, &job->fault);
    if (job->code == 0 && (job->result = cJSON_CreateObject())) {
        cJSON_AddItemToObject(job->result, "stale", list);
        cJSON_AddNumberToObject(job->result, "total", (double)total);
    } else {
        cJSON_Delete(list);
    }
}

void control_stale(struct node *node, struct http_exchange *exchange)
{
    size_t limit;
    int32_t before;
    const char *day = exchange_query(exchange, "before"), *origin = exchange_query(exchange, "origin");
    if (!take_limit(exchange, &limit) || !take_origin(exchange, "origin"))
        return;
    if (!day || syntax_day_parse(day, strlen(day), &before) < 0 || before < 0) {
        control_problem(exchange, KAART_INVALID, "before is missing or not a day, as in 2026-11-21.");
        return;
    }
    struct control_job *job = control_job_new(node, exchange);
    if (!job || !control_job_take(job, &job->source, origin ? origin : node->config->node.name))
        return;
    job->limit = limit;
    job->offset = (size_t)before;
    job->run = run_stale;
    control_job_post(job);
}
