/*
 * follower.c - the maps follow the feeds, each those of its audience.
 *
 *            kick                 job done, more
 *   IDLE ------------> RUNNING <------------------+
 *    ^                   |  |---------------------+
 *    |  done, not kicked |  | failed
 *    +-------------------+  +--------> WAITING --(RETRY_MS)--> RUNNING
 *
 * A kick while RUNNING is remembered, so that no change is missed and no two passes run at once. A map that failed is left out until
 * the retry, so that it does not hold up the others.
 */
#include "daemon/follower.h"

#include "daemon/config/audience_config.h"
#include "daemon/log.h"
#include "protocol/syntax.h"

#include <stdlib.h>

/* Entries or records in one job: some 50 ms, so that a reader of the map never waits long for fresh rows. */
#define FOLLOW_BATCH 2000
/* After a failure (disk full, say): soon enough to recover by itself, rare enough not to fill a log. */
#define RETRY_MS 10000
/* How often the day is looked at. */
#define DAY_CHECK_MS 30000

struct follower {
    struct node *node;
    uv_timer_t retry;
    uv_timer_t day_timer;
    int32_t day;             /* of the last pass */
    struct audiences failed; /* since the last retry */
    bool running;
    bool kicked;
    bool stopped;
    unsigned handles_open;
};

struct follow_job {
    struct follower *follower;
    struct policy *policy;
    int32_t day;
    struct audiences audiences; /* all that the configuration names */
    struct audiences failed;    /* before this pass, and in it */
    bool more;
    int code; /* the last failure of this pass */
    struct fault fault;
};

static int follow_one(struct maps *maps, const char *audience, struct follow_job *job, struct fault *fault)
{
    struct map *map;
    bool more = false;
    int code = maps_get(maps, audience, &map, fault);
    if (code == KAART_OK)
        code = map_follow(map, job->policy, job->day, FOLLOW_BATCH, &more, fault);
    job->more = job->more || more;
    return code;
}

static void follow_run(void *state, void *data)
{
    struct follow_job *job = data;
    struct fault fault = {""};
    job->code = maps_keep(state, &job->audiences, &job->fault);
    for (size_t i = 0; i < job->audiences.count; i++) {
        const char *audience = job->audiences.names[i];
        if (audiences_have(&job->failed, audience))
            continue;
        int code = follow_one(state, audience, job, &fault);
        if (code == KAART_OK)
            continue;
        job->code = fault_set(&job->fault, code, "%s: %s", audience, fault.text);
        audiences_add(&job->failed, audience);
    }
}

static void start_pass(struct follower *follower);

static void retry_fired(uv_timer_t *timer)
{
    struct follower *follower = timer->data;
    follower->failed.count = 0;
    follower_kick(follower);
}

static void follow_done(void *data)
{
    struct follow_job *job = data;
    struct follower *follower = job->follower;
    follower->running = false;
    follower->failed = job->failed;
    if (job->code != KAART_OK) {
        log_error("map", "a map could not follow the feeds, next try in %d s: %s", RETRY_MS / 1000,
                  job->fault.text);
        if (!follower->stopped)
            uv_timer_start(&follower->retry, retry_fired, RETRY_MS, 0);
    }
    bool again = follower->kicked || job->more;
    policy_release(job->policy);
    free(job);
    if (again)
        start_pass(follower);
}

static void start_pass(struct follower *follower)
{
    if (follower->running || follower->stopped)
        return;
    struct follow_job *job = calloc(1, sizeof(*job));
    if (job == NULL)
        goto later;
    job->follower = follower;
    job->policy = policy_hold(follower->node->policy);
    job->day = syntax_day_of(node_now_ms());
    audiences_from_config(follower->node->config, &job->audiences);
    job->failed = follower->failed;
    if (worker_post(follower->node->mapper, follow_run, follow_done, job) != KAART_OK) {
        policy_release(job->policy);
        free(job);
        goto later;
    }
    follower->running = true;
    follower->kicked = false;
    follower->day = job->day;
    return;
later:
    uv_timer_start(&follower->retry, retry_fired, RETRY_MS, 0);
}

static void day_fired(uv_timer_t *timer)
{
    struct follower *follower = timer->data;
    if (syntax_day_of(node_now_ms()) != follower->day)
        follower_kick(follower);
}

int follower_start(struct node *node, struct follower **out)
{
    struct follower *follower = calloc(1, sizeof(*follower));
    if (follower == NULL)
        return KAART_NOMEM;
    follower->node = node;
    uv_timer_init(node->loop, &follower->retry);
    uv_timer_init(node->loop, &follower->day_timer);
    follower->handles_open = 2;
    follower->retry.data = follower;
    follower->day_timer.data = follower;
    uv_timer_start(&follower->day_timer, day_fired, DAY_CHECK_MS, DAY_CHECK_MS);
    *out = follower;
    follower_kick(follower);
    return KAART_OK;
}

void follower_kick(struct follower *follower)
{
    follower->kicked = true;
    start_pass(follower);
}

void follower_stop(struct follower *follower)
{
    follower->stopped = true;
    uv_timer_stop(&follower->retry);
    uv_timer_stop(&follower->day_timer);
}

static void handle_closed(uv_handle_t *handle)
{
    struct follower *follower = handle->data;
    if (--follower->handles_open == 0)
        free(follower);
}

void follower_free(struct follower *follower)
{
    if (follower == NULL)
        return;
    uv_close((uv_handle_t *)&follower->retry, handle_closed);
    uv_close((uv_handle_t *)&follower->day_timer, handle_closed);
}
