/* test_retry.c - intervals, backoff and durations in words. */
#include "protocol/retry.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void intervals_stay_within_a_tenth(void **state)
{
    (void)state;
    const uint32_t randoms[] = {0, 1, 0x7fffffff, 0x80000000, UINT32_MAX};
    for (size_t i = 0; i < sizeof(randoms) / sizeof(randoms[0]); i++) {
        int64_t wait = retry_interval(900000, randoms[i]);
        assert_in_range(wait, 810000, 990000);
        assert_in_range(retry_interval(1, randoms[i]), 1, 1);
        assert_in_range(retry_interval(0, randoms[i]), 1, 1);
        assert_true(retry_interval(INT64_MAX, randoms[i]) > 0);
    }
    assert_int_equal(retry_interval(1000, 0), 900);
    assert_in_range(retry_interval(1000, UINT32_MAX), 1095, 1100);
}

static void spread_covers_its_range(void **state)
{
    (void)state;
    assert_int_equal(retry_spread(0, UINT32_MAX), 0);
    assert_int_equal(retry_spread(-5, UINT32_MAX), 0);
    assert_int_equal(retry_spread(10, 0), 0);
    assert_int_equal(retry_spread(10, UINT32_MAX), 10);
}

static void backoff_doubles_to_its_cap(void **state)
{
    (void)state;
    assert_int_equal(retry_backoff(1, 1000, 60000, 0), 1000);
    assert_int_equal(retry_backoff(2, 1000, 60000, 0), 2000);
    assert_int_equal(retry_backoff(5, 1000, 60000, 0), 16000);
    assert_int_equal(retry_backoff(7, 1000, 60000, 0), 60000);
    assert_int_equal(retry_backoff(UINT_MAX, 1000, 60000, 0), 60000);
    assert_in_range(retry_backoff(5, 1000, 60000, UINT32_MAX), 8000, 8001);
    assert_int_equal(retry_backoff(3, 0, 0, 7), 1);
}

static void words(void **state)
{
    (void)state;
    const struct {
        int64_t ms;
        const char *text;
    } cases[] = {{-1, "now"},        {0, "now"},
                 {850, "850 ms"},    {1000, "1 s"},
                 {1001, "2 s"},      {119999, "120 s"},
                 {120000, "2 min"},  {42 * 60000, "42 min"},
                 {7200000, "2 h"},   {2 * 86400000LL, "2 days"},
                 {86400001, "25 h"}, {INT64_MAX, "106751991168 days"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[RETRY_WORDS_SIZE];
        retry_words(cases[i].ms, text);
        assert_string_equal(text, cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(intervals_stay_within_a_tenth),
        cmocka_unit_test(spread_covers_its_range),
        cmocka_unit_test(backoff_doubles_to_its_cap),
        cmocka_unit_test(words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
