/*
 * control_policy.c - the policy in force, and what another one would change.
 *
 *   GET  policy               its text and hash, and which section each line is from
 *   GET  policy/sums          claim set, policy and map, as /v1/map/sums tells them
 *   POST policy/diff?limit=   the body is a canonical text: which records and fields would have another winner
 *
 *   POST --body--> parsed --post--> PAGE (reader thread) --more--> PAGE ... --> answered
 *
 * A dry run reads every record; between two pages the reader answers whoever else asks, and a caller who goes away ends it.
 */
#include "daemon/api/control_api_internal.h"
#include "daemon/store/map.h"
#include "protocol/syntax.h"

#include <stdlib.h>
#include <string.h>

/* Some 10 ms of the reader's time. */
#define PAGE_RECORDS 200
/* 10,000 peers with their areas. */
#define POLICY_SIZE_MAX (4u * 1024 * 1024)
#define SHOWN_DEFAULT 200
#define SHOWN_MAX 100000

/* ---- the policy in force ---- */

static bool add_place(cJSON *list, const char *what, const char *name, const char *file, int line)
{
    cJSON *item = cJSON_CreateObject();
    if (!item || !cJSON_AddItemToArray(list, item)) {
        cJSON_Delete(item);
        return false;
    }
    if (!cJSON_AddStringToObject(item, "line", what) || !cJSON_AddStringToObject(item, "name", name))
        return false;
    return file ? cJSON_AddStringToObject(item, "file", file) && cJSON_AddNumberToObject(item, "at", line)
                : cJSON_AddNullToObject(item, "file") != NULL;
}

static const struct config_group *group_section(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->group_count; i++)
        if (strcmp(config->groups[i].name, name) == 0)
            return &config->groups[i];
    return NULL;
}

/* In the order of the text's lines; without a file: the default. */
static bool add_places(cJSON *list, const struct config *config)
{
    for (int group = 0; group < GROUP_COUNT; group++) {
        const char *name = field_group_name((enum field_group)group);
        const struct config_group *section = group_section(config, name);
        if (!add_place(list, "group", name, section ? section->file : NULL, section ? section->line : 0))
            return false;
    }
    if (!add_place(list, "origin", config->node.name, config->node.file, config->node.line))
        return false;
    for (size_t i = 0; i < config->peer_count; i++)
        if (!add_place(list, "origin", config->peers[i].name, config->peers[i].file, config->peers[i].line))
            return false;
    return true;
}

void control_policy(struct node *node, struct http_exchange *exchange)
{
    char hex[HASH_SIZE * 2 + 1];
    cJSON *result = cJSON_CreateObject(), *places;
    hex_encode(policy_hash(node->policy)->bytes, HASH_SIZE, hex);
    if (!result || !cJSON_AddStringToObject(result, "node", node->config->node.name) ||
        !cJSON_AddStringToObject(result, "hash", hex) ||
        !cJSON_AddStringToObject(result, "text", policy_text(node->policy, NULL)) ||
        !(places = cJSON_AddArrayToObject(result, "from")) || !add_places(places, node->config)) {
        cJSON_Delete(result);
        result = NULL;
    }
    control_respond(exchange, result);
}

/* ---- the sums ---- */

static void run_sums(struct node_readers *readers, struct control_job *job)
{
    job->code = map_sums(readers->map, node_now_ms(), &job->result, &job->fault);
}

void control_policy_sums(struct node *node, struct http_exchange *exchange)
{
    struct control_job *job = control_job_new(node, exchange);
    if (!job)
        return;
    job->run = run_sums;
    control_job_post(job);
}

/* ---- a dry run ---- */

struct dry_run {
    struct node *node;
    struct http_exchange *exchange;
    struct map_diff *diff;
    bool more;
    int code;
    struct fault fault;
    cJSON *result;
};

static void dry_run_free(struct dry_run *run)
{
    exchange_release(run->exchange);
    map_diff_free(run->diff);
    cJSON_Delete(run->result);
    free(run);
}

static void run_page(void *state, void *context)
{
    struct node_readers *readers = state;
    struct dry_run *run = context;
    run->code = map_diff_step(readers->map, run->diff, PAGE_RECORDS, &run->more, &run->fault);
    if (!run->code && !run->more)
        run->code = map_diff_result(readers->map, run->diff, &run->result, &run->fault);
}

static void post_page(struct dry_run *run);

static void page_done(void *context)
{
    struct dry_run *run = context;
    if (exchange_gone(run->exchange)) {
        dry_run_free(run);
    } else if (run->code) {
        control_problem(run->exchange, run->code, run->fault.text);
        dry_run_free(run);
    } else if (run->more) {
        post_page(run);
    } else {
        control_respond(run->exchange, run->result);
        run->result = NULL;
        dry_run_free(run);
    }
}

static void post_page(struct dry_run *run)
{
    if (worker_post(run->node->reader, run_page, page_done, run) == 0)
        return;
    control_problem(run->exchange, KAART_BUSY, "The store is busy; try again in a moment.");
    dry_run_free(run);
}

static bool shown_max(struct http_exchange *exchange, size_t *number)
{
    const char *limit = exchange_query(exchange, "limit");
    uint64_t shown = SHOWN_DEFAULT;
    if (limit && syntax_decimal_parse(limit, strlen(limit), SHOWN_MAX, &shown) < 0)
        return false;
    *number = (size_t)shown;
    return true;
}

static void begin_dry_run(void *context, struct http_exchange *exchange, const char *bytes, size_t size)
{
    struct node *node = context;
    struct policy *wanted = NULL;
    struct fault fault = {""};
    struct dry_run *run = calloc(1, sizeof(*run));
    size_t shown = SHOWN_DEFAULT;
    (void)shown_max(exchange, &shown); /* was read before */
    int code = run ? policy_parse(bytes, size, &wanted, &fault) : KAART_NOMEM;
    if (!code)
        code = map_diff_new(node->policy, wanted, syntax_day_of(node_now_ms()), shown, &run->diff, &fault);
    policy_release(wanted);
    if (code) {
        control_problem(exchange, code, fault.text);
        free(run);
        return;
    }
    run->node = node;
    run->exchange = exchange;
    exchange_hold(exchange);
    post_page(run);
}

void control_policy_diff(struct node *node, struct http_exchange *exchange)
{
    size_t shown;
    if (!shown_max(exchange, &shown))
        control_problem(exchange, KAART_INVALID, "limit is not a number from 0 to 100000.");
    else
        exchange_collect(exchange, POLICY_SIZE_MAX, begin_dry_run, node);
}
