/* test_alarm.c - many timers on one: order, moving, clearing, setting from within, and letting go of them all. */
#include "daemon/sync/alarm.h"
#include "tests/unit/unit.h"

#define ALARMS 200
#define WALL_MS 1795287846000LL

struct bell {
    struct alarm alarm;
    int number;
    bool rung;
};

static struct alarms *alarms;
static int last, rings;

static void ring(void *context)
{
    struct bell *bell = context;

    assert_false(bell->rung);
    assert_true(alarms_now(alarms) >= bell->alarm.at_ms);
    assert_true(bell->number >= last); /* in order of their times */
    last = bell->number;
    bell->rung = true;
    rings++;
}

static void begin(uv_loop_t *loop)
{
    assert_int_equal(uv_loop_init(loop), 0);
    alarms = alarms_new(loop, WALL_MS);
    assert_non_null(alarms);
    last = -1;
    rings = 0;
}

static void end(uv_loop_t *loop)
{
    alarms_close(alarms);
    uv_run(loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(loop), 0);
}

static void they_ring_in_order(void **state)
{
    struct random random = random_start("alarms");
    struct bell bells[ALARMS] = {0};
    uv_loop_t loop;

    (void)state;
    begin(&loop);
    int64_t now = alarms_now(alarms);
    assert_in_range(now, WALL_MS, WALL_MS + 1000);
    for (int i = 0; i < 3 * ALARMS; i++) { /* set, and most of them moved */
        struct bell *bell = &bells[random_below(&random, ALARMS)];
        bell->number = (int)random_below(&random, 60);
        bell->alarm.ring = ring;
        bell->alarm.context = bell;
        alarm_set(alarms, &bell->alarm, now + bell->number);
    }
    int wanted = 0;
    for (int i = 0; i < ALARMS; i++) {
        if (i % 7 == 0)
            alarm_clear(alarms, &bells[i].alarm);
        wanted += bells[i].alarm.set;
    }
    uv_run(&loop, UV_RUN_DEFAULT); /* ends when none is left */
    assert_int_equal(rings, wanted);
    for (int i = 0; i < ALARMS; i++)
        assert_false(bells[i].alarm.set);
    end(&loop);
}

struct again {
    struct alarm alarm;
    int times;
};

static void ring_again(void *context)
{
    struct again *again = context;

    if (++again->times < 5)
        alarm_set(alarms, &again->alarm, alarms_now(alarms));
}

static void one_may_set_itself(void **state)
{
    struct again again = {.times = 0};
    uv_loop_t loop;

    (void)state;
    begin(&loop);
    again.alarm.ring = ring_again;
    again.alarm.context = &again;
    alarm_set(alarms, &again.alarm, 0); /* long ago: at once */
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(again.times, 5);
    end(&loop);
}

static void after_closing_none_rings(void **state)
{
    struct bell bell = {.alarm = {.ring = ring}};
    uv_loop_t loop;

    (void)state;
    begin(&loop);
    bell.alarm.context = &bell;
    alarm_set(alarms, &bell.alarm, alarms_now(alarms) + 5);
    end(&loop);
    assert_int_equal(rings, 0);
    alarms_close(NULL);
}

static void shown_by_the_wall_clock_of_now(void **state)
{
    uv_loop_t loop;

    (void)state;
    begin(&loop);
    /* the wall clock was set an hour ahead meanwhile: what rings in a minute is shown an hour later */
    int64_t at = alarms_now(alarms) + 60000, wall = alarms_now(alarms) + 3600000;
    assert_in_range(alarms_wall(alarms, at, wall), wall + 60000 - 100, wall + 60000 + 100);
    end(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_ring_in_order),
        cmocka_unit_test(one_may_set_itself),
        cmocka_unit_test(after_closing_none_rings),
        cmocka_unit_test(shown_by_the_wall_clock_of_now),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
