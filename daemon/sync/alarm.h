/*
 * alarm.h - many timers on one uv_timer, on a clock that never jumps. Loop thread only.
 *
 * An alarm is part of whatever it wakes, so that nothing has to be closed and waited for when that goes away. The clock counts milliseconds as the wall
 * clock did at the start, and from then on steadily: a wall clock that is set back an hour must not hold up every poll for an hour.
 */
#ifndef KAARTD_SYNC_ALARM_H
#define KAARTD_SYNC_ALARM_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct alarms;

struct alarm {
    struct alarm *before, *after;
    bool set;
    int64_t at_ms;
    void (*ring)(void *context);
    void *context;
};

/* NULL: no memory. */
struct alarms *alarms_new(uv_loop_t *loop, int64_t wall_ms);
/* Freed once the loop has run. Alarms that are set never ring. Accepts NULL. */
void alarms_close(struct alarms *alarms);

int64_t alarms_now(const struct alarms *alarms);
/* The steady clock's `at_ms` as a wall clock reads it now, for display. */
int64_t alarms_wall(const struct alarms *alarms, int64_t at_ms, int64_t wall_now_ms);

/* Rings once, at `at_ms` or soon after; set again, it moves. `alarm` must stay where it is until it rang or was cleared. */
void alarm_set(struct alarms *alarms, struct alarm *alarm, int64_t at_ms);
void alarm_clear(struct alarms *alarms, struct alarm *alarm);

#endif
