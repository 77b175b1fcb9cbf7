/*
 * follower.c - the map follows the feeds.
 *
 *            kick                 job done, more
 *   IDLE ------------> RUNNING <------------------+
 *    ^                   |  |---------------------+
 *    |  done, not kicked |  | failed
 *    +-------------------+  +--------> WAITING --(RETRY_MS)--> RUNNING
 *
 * A kick while RUNNING is remembered, so that no change is missed and no two passes run at once.
 */
#include "daemon/follower.h"

#include "daemon/log.h"
#include "daemon/store/map.h"
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
    int32_t day; /* of the last pass */
    bool running;
    bool kicked;
    bool stopped;
    unsigned handles_open;
};

struct follow_job {
    struct follower *follower;
    struct policy *policy;
    int32_t day;
    bool more;
    int code;
    struct fault fault;
};

static void follow_run(void *state, void *data)
{
    struct follow_job *job = data;
    job->code = map_follow(state, job->policy, job->day, FOLLOW_BATCH, &job->more, &job->fault);
}

static void start_pass(struct follower *follower);

static void retry_fired(uv_timer_t *timer)
{
    follower_kick(timer->data);
}

static void follow_done(void *data)
{
    struct follow_job *job = data;
    struct follower *follower = job->follower;
    follower->running = false;
    if (job->code != KAART_OK) {
        log_error("map", "the map could not follow the feeds, next try in %d s: %s", RETRY_MS / 1000,
                  job->fault.text);
        if (!follower->stopped)
            uv_timer_start(&follower->retry, retry_fired, RETRY_MS, 0);
    } else if (job->more) {
        follower->kicked = true;
    }
    bool again = job->code == KAART_OK && follower->kicked;
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
