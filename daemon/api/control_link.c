/*
 * control_link.c - records that are the same.
 *
 *   GET link?alias=&main=&kind=&audience=   what to say so that they are one record, as map_link_plan gives it
 *   GET unlink?one=&other=&kind=&audience=  what to say so that they are two
 *   GET duplicates?kind=&limit=&audience=   records that could be one, as map_duplicates gives it
 *
 * An audience has its own map, and what is said about it stands in the own feed of that audience (default: public).
 * Both plans change nothing: what they propose is said by POST import, like any other claim.
 */
#include "daemon/api/control_api_internal.h"
#include "daemon/store/map.h"
#include "protocol/record.h"
#include "protocol/syntax.h"

#include <string.h>

#define DUPLICATES_MAX 1000
#define DUPLICATES_USUAL 20

/* `id` and `query` are both ends; `limit` says whether they are to be one. */
static void run_plan(struct node_readers *readers, struct control_job *job)
{
    const struct map_link_question question = {.link = job->limit == 1,
                                               .alias = job->id,
                                               .main = job->query,
                                               .kind = job->kind,
                                               .feed = job->feed,
                                               .policy = job->policy,
                                               .day = job->day,
                                               .now_ms = node_now_ms()};
    job->code = map_link_plan(readers->map, &question, &job->result, &job->fault);
}

static bool take_id(struct http_exchange *exchange, const char *name, const char **id)
{
    *id = exchange_query(exchange, name);
    if (*id && syntax_is_uuid(*id, strlen(*id)))
        return true;
    struct fault fault;
    fault_set(&fault, KAART_INVALID, "%s is missing or not a record's id, a UUID in lower case.", name);
    control_problem(exchange, KAART_INVALID, fault.text);
    return false;
}

static void plan(struct node *node, struct http_exchange *exchange, bool link)
{
    const char *first, *second, *audience = exchange_query(exchange, "audience");
    const struct config_feed *feed = config_feed(node->config, audience ? audience : AUDIENCE_PUBLIC);
    if (!take_id(exchange, link ? "alias" : "one", &first) ||
        !take_id(exchange, link ? "main" : "other", &second))
        return;
    if (!feed) {
        control_problem(exchange, KAART_INVALID,
                        "This node has no feed of its own of that audience to say it in; add a feed section "
                        "to its configuration.");
        return;
    }
    struct control_job *job = control_job_new(node, exchange);
    if (!job || !control_job_take(job, &job->id, first) || !control_job_take(job, &job->query, second) ||
        !control_job_take(job, &job->feed, feed->name) ||
        !control_job_take(job, &job->kind, exchange_query(exchange, "kind")))
        return;
    job->limit = link;
    job->policy = policy_hold(node->policy);
    job->run = run_plan;
    control_job_post(job);
}

void control_link(struct node *node, struct http_exchange *exchange)
{
    plan(node, exchange, true);
}

void control_unlink(struct node *node, struct http_exchange *exchange)
{
    plan(node, exchange, false);
}

static void run_duplicates(struct node_readers *readers, struct control_job *job)
{
    job->code = map_duplicates(readers->map, job->kind, job->limit, &job->result, &job->fault);
}

void control_duplicates(struct node *node, struct http_exchange *exchange)
{
    uint64_t limit = DUPLICATES_USUAL;
    const char *text = exchange_query(exchange, "limit");
    if (text && (syntax_decimal_parse(text, strlen(text), DUPLICATES_MAX, &limit) < 0 || limit == 0)) {
        control_problem(exchange, KAART_INVALID, "limit is not a number from 1 to 1000.");
        return;
    }
    struct control_job *job = control_job_new(node, exchange);
    if (!job || !control_job_take(job, &job->kind, exchange_query(exchange, "kind")))
        return;
    job->limit = (size_t)limit;
    job->run = run_duplicates;
    control_job_post(job);
}
