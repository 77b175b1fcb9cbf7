/* test_syntax.c - the small grammars of spec/feed.md, section 1, and the calendar. */
#include "protocol/limits.h"
#include "protocol/syntax.h"
#include "tests/unit/unit.h"

#define check(function, text) function(text, strlen(text))
#define check2(function, text, out) function(text, strlen(text), out)
#define check3(function, text, max, out) function(text, strlen(text), max, out)

/* A text of `size` times one letter. */
static const char *many(char letter, size_t size)
{
    static char text[512];

    assert_in_range(size, 0, sizeof text - 1);
    memset(text, letter, size);
    text[size] = '\0';
    return text;
}

static void test_names(void **state)
{
    (void)state;
    assert_true(check(syntax_is_name, "a"));
    assert_true(check(syntax_is_name, "service_at-location9"));
    assert_true(check(syntax_is_name, many('z', NAME_MAX_SIZE)));
    assert_false(check(syntax_is_name, many('z', NAME_MAX_SIZE + 1)));
    assert_false(check(syntax_is_name, ""));
    assert_false(check(syntax_is_name, "Service"));
    assert_false(check(syntax_is_name, "9a"));
    assert_false(check(syntax_is_name, "_a"));
    assert_false(check(syntax_is_name, "a b"));
    assert_false(check(syntax_is_name, "a\xc3\xa9"));
    assert_false(syntax_is_name("a\0b", 3));
}

static void test_origins(void **state)
{
    char text[ORIGIN_MAX_SIZE + 2];

    (void)state;
    assert_true(check(syntax_is_origin, "nieuwegein.example"));
    assert_true(check(syntax_is_origin, "localhost"));
    assert_true(check(syntax_is_origin, "a-b.1c.xn--p1ai"));
    assert_true(check(syntax_is_origin, many('a', 63)));
    assert_false(check(syntax_is_origin, many('a', 64)));
    assert_false(check(syntax_is_origin, ""));
    assert_false(check(syntax_is_origin, "."));
    assert_false(check(syntax_is_origin, "a."));
    assert_false(check(syntax_is_origin, ".a"));
    assert_false(check(syntax_is_origin, "a..b"));
    assert_false(check(syntax_is_origin, "-a.b"));
    assert_false(check(syntax_is_origin, "a-.b"));
    assert_false(check(syntax_is_origin, "A.b"));
    assert_false(check(syntax_is_origin, "a_b.c"));
    assert_false(check(syntax_is_origin, "a.b/c"));
    for (size_t i = 0; i < sizeof text - 1; i++)
        text[i] = i % 2 ? '.' : 'a'; /* 253 is odd: it ends in a label */
    assert_true(syntax_is_origin(text, ORIGIN_MAX_SIZE));
    memcpy(text + ORIGIN_MAX_SIZE - 1, "aa", 2);
    assert_false(syntax_is_origin(text, ORIGIN_MAX_SIZE + 1));
}

static void test_feeds(void **state)
{
    (void)state;
    assert_true(check(syntax_is_feed, "nieuwegein.example/public"));
    assert_false(check(syntax_is_feed, "nieuwegein.example"));
    assert_false(check(syntax_is_feed, "nieuwegein.example/"));
    assert_false(check(syntax_is_feed, "/public"));
    assert_false(check(syntax_is_feed, "a/b/c"));
    assert_false(check(syntax_is_feed, ""));
}

static void test_uuids(void **state)
{
    (void)state;
    assert_true(check(syntax_is_uuid, "0b6e7a52-6d8a-5c3e-9f55-1f0a2b3c4d5e"));
    assert_true(check(syntax_is_uuid, "00000000-0000-0000-0000-000000000000"));
    assert_false(check(syntax_is_uuid, "0B6e7a52-6d8a-5c3e-9f55-1f0a2b3c4d5e"));
    assert_false(check(syntax_is_uuid, "0b6e7a52-6d8a-5c3e-9f55-1f0a2b3c4d5"));
    assert_false(check(syntax_is_uuid, "0b6e7a52-6d8a-5c3e-9f55-1f0a2b3c4d5ee"));
    assert_false(check(syntax_is_uuid, "0b6e7a52a6d8a-5c3e-9f55-1f0a2b3c4d5e"));
    assert_false(check(syntax_is_uuid, "0b6e7a5-26d8a-5c3e-9f55-1f0a2b3c4d5e"));
    assert_false(check(syntax_is_uuid, "0b6e7a52-6d8a-5c3e-9f55-1f0a2b3c4d5g"));
}

static void test_areas(void **state)
{
    (void)state;
    assert_true(check(syntax_is_area, "GM0356"));
    assert_true(check(syntax_is_area, "WK035601"));
    assert_true(check(syntax_is_area, "BU03560102"));
    assert_false(check(syntax_is_area, "GM356"));
    assert_false(check(syntax_is_area, "GM03566"));
    assert_false(check(syntax_is_area, "gm0356"));
    assert_false(check(syntax_is_area, "PV0026"));
    assert_false(check(syntax_is_area, "G"));
    assert_false(check(syntax_is_area, "WK03560"));
    assert_false(check(syntax_is_area, "GM03a6"));
}

static void test_utf8(void **state)
{
    static const char *const bad[] = {"\x80",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xc3",
                                      "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",
                                      "\xed\xbf\xbf",
                                      "\xe2\x82",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xff",
                                      "a\xc3z"};

    (void)state;
    assert_true(check(syntax_is_utf8, ""));
    assert_true(check(syntax_is_utf8, "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x8c\xb7"));
    assert_true(check(
        syntax_is_utf8,
        "\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (check(syntax_is_utf8, bad[i]))
            fail_msg("accepted number %zu", i);
}

static int32_t day_of(const char *text)
{
    int32_t day = DAY_NONE;

    if (syntax_day_parse(text, strlen(text), &day) != KAART_OK)
        fail_msg("refused %s", text);
    return day;
}

/* Every day that has a text, one after the other, against counting by hand. */
static void test_every_day(void **state)
{
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int32_t next = day_of("0001-01-01");

    (void)state;
    assert_int_equal(day_of("1970-01-01"), 0);
    assert_int_equal(day_of("2026-11-21"), 20778);
    for (int year = 1; year <= 9999; year++)
        for (int month = 1; month <= 12; month++) {
            bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
            int length = lengths[month - 1] + (month == 2 && leap ? 1 : 0);
            int32_t ignored;
            char text[40], back[DAY_TEXT_SIZE + 1];

            for (int day = 1; day <= length; day++, next++) {
                snprintf(text, sizeof text, "%04d-%02d-%02d", year, month, day);
                if (day_of(text) != next)
                    fail_msg("%s is %d, not %d", text, day_of(text), next);
                syntax_day_format(next, back);
                assert_string_equal(back, text);
            }
            snprintf(text, sizeof text, "%04d-%02d-%02d", year, month, length + 1);
            assert_int_equal(check2(syntax_day_parse, text, &ignored), KAART_SYNTAX);
        }
    assert_int_equal(next, day_of("9999-12-31") + 1);
}

static void test_bad_days(void **state)
{
    static const char *const bad[] = {"",           "0000-01-01", "2026-00-01",  "2026-13-01", "2026-01-00",
                                      "2026-1-01",  "2026-01-1",  "2026-01-011", "2026/01/01", "+026-01-01",
                                      "2026-01-0a", " 2026-01-1", "2025-02-29",  "1900-02-29", "2026-04-31"};
    int32_t day;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (check2(syntax_day_parse, bad[i], &day) != KAART_SYNTAX)
            fail_msg("accepted %s", bad[i]);
    assert_int_equal(day_of("2000-02-29") - day_of("2000-02-28"), 1);
}

static void test_months(void **state)
{
    (void)state;
    assert_int_equal(syntax_day_add_months(day_of("2026-01-31"), 1), day_of("2026-02-28"));
    assert_int_equal(syntax_day_add_months(day_of("2024-01-31"), 1), day_of("2024-02-29"));
    assert_int_equal(syntax_day_add_months(day_of("2024-02-29"), 12), day_of("2025-02-28"));
    assert_int_equal(syntax_day_add_months(day_of("2026-11-21"), 18), day_of("2028-05-21"));
    assert_int_equal(syntax_day_add_months(day_of("2026-01-15"), -1), day_of("2025-12-15"));
    assert_int_equal(syntax_day_add_months(day_of("2026-03-31"), -13), day_of("2025-02-28"));
    assert_int_equal(syntax_day_add_months(day_of("2026-03-31"), 0), day_of("2026-03-31"));
    assert_int_equal(syntax_day_add_months(day_of("9999-12-01"), 1), day_of("9999-12-31"));
    assert_int_equal(syntax_day_add_months(day_of("0001-01-15"), -1), day_of("0001-01-01"));
    assert_int_equal(syntax_day_add_months(day_of("2026-01-15"), INT32_MAX), day_of("9999-12-31"));
    assert_int_equal(syntax_day_add_months(day_of("2026-01-15"), INT32_MIN), day_of("0001-01-01"));
}

static void test_instants(void **state)
{
    static const char *const bad[] = {
        "2026-11-21T19:04:05Z",     "2026-11-21T19:04:05.12Z",  "2026-11-21T19:04:05.1234Z",
        "2026-11-21 19:04:05.123Z", "2026-11-21t19:04:05.123Z", "2026-11-21T19:04:05.123z",
        "2026-11-21T24:00:00.000Z", "2026-11-21T19:60:05.123Z", "2026-11-21T19:04:60.123Z",
        "2026-11-31T19:04:05.123Z", "2026-11-21T19:04:05,123Z", "2026-11-21T19-04:05.123Z",
        "2026-11-21T19:04:05.12aZ", "2026-11-21T1a:04:05.123Z", "2026-11-21T19:04:05.123+"};
    char text[INSTANT_TEXT_SIZE + 1];
    int64_t ms;

    (void)state;
    assert_int_equal(check2(syntax_instant_parse, "1970-01-01T00:00:00.001Z", &ms), KAART_OK);
    assert_int_equal(ms, 1);
    assert_int_equal(check2(syntax_instant_parse, "2026-11-21T19:04:05.123Z", &ms), KAART_OK);
    assert_int_equal(ms, 1795287845123);
    assert_int_equal(syntax_day_of(ms), day_of("2026-11-21"));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (check2(syntax_instant_parse, bad[i], &ms) != KAART_SYNTAX)
            fail_msg("accepted %s", bad[i]);
    syntax_instant_format(-1, text);
    assert_string_equal(text, "1969-12-31T23:59:59.999Z");
    assert_int_equal(syntax_day_of(-1), -1);
    assert_int_equal(syntax_day_of(0), 0);
    assert_int_equal(syntax_day_of(MS_PER_DAY - 1), 0);
    assert_int_equal(syntax_day_of(-MS_PER_DAY), -1);
}

static void test_instants_round_trip(void **state)
{
    struct random random = random_start("instants");
    int64_t first, last;

    (void)state;
    assert_int_equal(check2(syntax_instant_parse, "0001-01-01T00:00:00.000Z", &first), KAART_OK);
    assert_int_equal(check2(syntax_instant_parse, "9999-12-31T23:59:59.999Z", &last), KAART_OK);
    for (int i = 0; i < 20000; i++) {
        int64_t ms = first + (int64_t)random_below(&random, (uint64_t)(last - first) + 1), back;
        char text[INSTANT_TEXT_SIZE + 1], seconds[SECONDS_TEXT_SIZE + 1];

        syntax_instant_format(ms, text);
        assert_int_equal(check2(syntax_instant_parse, text, &back), KAART_OK);
        assert_int_equal(back, ms);
        memcpy(seconds, text, 19);
        memcpy(seconds + 19, "Z", 2);
        assert_int_equal(check2(syntax_seconds_parse, seconds, &back), KAART_OK);
        assert_true(back * 1000 <= ms && ms < back * 1000 + 1000);
        syntax_seconds_format(back, seconds);
        assert_memory_equal(seconds, text, 19);
    }
}

static void test_decimals(void **state)
{
    uint64_t value;

    (void)state;
    assert_int_equal(check3(syntax_decimal_parse, "0", UINT64_MAX, &value), KAART_OK);
    assert_int_equal(value, 0);
    assert_int_equal(check3(syntax_decimal_parse, "18446744073709551615", UINT64_MAX, &value), KAART_OK);
    assert_true(value == UINT64_MAX);
    assert_int_equal(check3(syntax_decimal_parse, "18446744073709551616", UINT64_MAX, &value), KAART_SYNTAX);
    assert_int_equal(check3(syntax_decimal_parse, "99999999999999999999999", UINT64_MAX, &value),
                     KAART_SYNTAX);
    assert_int_equal(check3(syntax_decimal_parse, "1099511627775", SEQ_MAX, &value), KAART_OK);
    assert_int_equal(check3(syntax_decimal_parse, "1099511627776", SEQ_MAX, &value), KAART_SYNTAX);
    for (size_t i = 0; i < 7; i++) {
        static const char *const bad[] = {"", "00", "01", "-1", "+1", "1a", " 1"};

        assert_int_equal(check3(syntax_decimal_parse, bad[i], UINT64_MAX, &value), KAART_SYNTAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_origins),
        cmocka_unit_test(test_feeds),
        cmocka_unit_test(test_uuids),
        cmocka_unit_test(test_areas),
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_every_day),
        cmocka_unit_test(test_bad_days),
        cmocka_unit_test(test_months),
        cmocka_unit_test(test_instants),
        cmocka_unit_test(test_instants_round_trip),
        cmocka_unit_test(test_decimals),
    };

    return cmocka_run_group_tests_name("syntax", tests, NULL, NULL);
}
