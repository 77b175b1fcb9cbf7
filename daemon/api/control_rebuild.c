/*
 * control_rebuild.c - POST /control/v1/rebuild: the maps are thrown away and made again from feeds.db.
 *
 * On the mapper's thread; the answer comes when the maps are empty and the follower has begun to fill them. What can
 * be read meanwhile is a map on its way (`caughtUp` false), for some seconds at 100,000 records.
 */
#include "daemon/api/control_api_internal.h"
#include "daemon/config/audience_config.h"
#include "daemon/log.h"

#include <stdlib.h>

struct rebuild_job {
    struct node *node;
    struct http_exchange *exchange;
    struct audiences audiences;
    int code;
    struct fault fault;
};

static void rebuild_run(void *state, void *data)
{
    struct rebuild_job *job = data;
    struct map *map;
    for (size_t i = 0; job->code == KAART_OK && i < job->audiences.count; i++) {
        job->code = maps_get(state, job->audiences.names[i], &map, &job->fault);
        if (job->code == KAART_OK)
            job->code = map_rebuild(map, &job->fault);
    }
}

static void rebuild_done(void *data)
{
    struct rebuild_job *job = data;
    if (job->code == KAART_OK) {
        cJSON *result = cJSON_CreateObject();
        log_info("map", "the operator had the maps thrown away; they are made again from the feeds");
        cJSON_AddBoolToObject(result, "begun", true);
        control_respond(job->exchange, result);
    } else {
        control_problem(job->exchange, job->code, job->fault.text);
    }
    node_maps_due(job->node);
    exchange_release(job->exchange);
    free(job);
}

void control_rebuild(struct node *node, struct http_exchange *exchange)
{
    struct rebuild_job *job = calloc(1, sizeof(*job));
    if (job == NULL) {
        control_problem(exchange, KAART_NOMEM, NULL);
        return;
    }
    job->node = node;
    job->exchange = exchange;
    audiences_from_config(node->config, &job->audiences);
    exchange_hold(exchange);
    if (worker_post(node->mapper, rebuild_run, rebuild_done, job) == KAART_OK)
        return;
    control_problem(exchange, KAART_BUSY, "The map's thread is busy; try again in a moment.");
    exchange_release(exchange);
    free(job);
}
