/* alarm.c - many timers on one uv_timer. Some hundreds of alarms at most, so a sorted list does. */
#include "daemon/sync/alarm.h"

#include <stdlib.h>

/* One turn of the loop rings at most so many, so that sockets get their turn in between. */
#define RINGS_A_TURN 64

struct alarms {
    uv_timer_t timer;
    int64_t wall_ms;     /* at the start */
    uint64_t started_ns; /* likewise */
    struct alarm *first; /* in order of at_ms */
    bool closing;
};

static void arm(struct alarms *alarms);

struct alarms *alarms_new(uv_loop_t *loop, int64_t wall_ms)
{
    struct alarms *alarms = calloc(1, sizeof(*alarms));

    if (!alarms)
        return NULL;
    alarms->wall_ms = wall_ms;
    alarms->started_ns = uv_hrtime();
    uv_timer_init(loop, &alarms->timer);
    alarms->timer.data = alarms;
    return alarms;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void alarms_close(struct alarms *alarms)
{
    if (!alarms || alarms->closing)
        return;
    alarms->closing = true;
    uv_close((uv_handle_t *)&alarms->timer, on_closed);
}

int64_t alarms_now(const struct alarms *alarms)
{
    return alarms->wall_ms + (int64_t)((uv_hrtime() - alarms->started_ns) / 1000000);
}

int64_t alarms_wall(const struct alarms *alarms, int64_t at_ms, int64_t wall_now_ms)
{
    return at_ms + (wall_now_ms - alarms_now(alarms));
}

static void take_out(struct alarms *alarms, struct alarm *alarm)
{
    if (!alarm->set)
        return;
    if (alarm->before)
        alarm->before->after = alarm->after;
    else
        alarms->first = alarm->after;
    if (alarm->after)
        alarm->after->before = alarm->before;
    alarm->before = alarm->after = NULL;
    alarm->set = false;
}

static void on_timer(uv_timer_t *timer)
{
    struct alarms *alarms = timer->data;
    int64_t now = alarms_now(alarms);

    for (int i = 0; i < RINGS_A_TURN && alarms->first && alarms->first->at_ms <= now; i++) {
        struct alarm *alarm = alarms->first;
        take_out(alarms, alarm);
        alarm->ring(alarm->context);
    }
    arm(alarms);
}

static void arm(struct alarms *alarms)
{
    int64_t wait;

    if (alarms->closing)
        return;
    if (!alarms->first) {
        uv_timer_stop(&alarms->timer);
        return;
    }
    wait = alarms->first->at_ms - alarms_now(alarms);
    uv_update_time(alarms->timer.loop); /* the loop's own notion of now can be behind after long callbacks */
    uv_timer_start(&alarms->timer, on_timer, wait > 0 ? (uint64_t)wait : 0, 0);
}

void alarm_set(struct alarms *alarms, struct alarm *alarm, int64_t at_ms)
{
    struct alarm *before = NULL, *after;

    if (alarms->closing)
        return;
    take_out(alarms, alarm);
    alarm->at_ms = at_ms;
    for (after = alarms->first; after && after->at_ms <= at_ms; after = after->after)
        before = after;
    alarm->before = before;
    alarm->after = after;
    if (before)
        before->after = alarm;
    else
        alarms->first = alarm;
    if (after)
        after->before = alarm;
    alarm->set = true;
    if (alarms->first == alarm)
        arm(alarms);
}

void alarm_clear(struct alarms *alarms, struct alarm *alarm)
{
    bool was_first = alarms->first == alarm;

    take_out(alarms, alarm);
    if (was_first)
        arm(alarms);
}
