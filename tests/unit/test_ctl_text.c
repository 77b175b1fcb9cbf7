/*
 * test_ctl_text.c - what kaartctl shows to people, and that numbers survive it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/ctl/ctl.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static void expect_table(const char *const *rows, size_t columns, const char *expected)
{
    char *got = NULL;
    size_t size = 0;
    const char *heading[9] = {NULL};
    FILE *out = open_memstream(&got, &size);
    memcpy(heading, rows, columns * sizeof(*rows));
    struct ctl_table *table = ctl_table_new(heading);
    for (rows += columns; *rows; rows += columns)
        ctl_table_add(table, rows);
    ctl_table_print(table, out);
    ctl_table_free(table);
    fclose(out);
    assert_string_equal(got, expected);
    free(got);
}

static void test_columns(void **state)
{
    (void)state;
    expect_table((const char *const[]){"FEED", "N", "a/public", "12", "bb/public", "1", NULL}, 2,
                 "FEED       N\na/public   12\nbb/public  1\n");
    /* no blanks at the end of a line */
    expect_table((const char *const[]){"A", "B", "C", "x", "", "", "yy", "", "z", NULL}, 3,
                 "A   B  C\nx\nyy     z\n");
}

static void test_utf8_columns(void **state)
{
    (void)state;
    expect_table((const char *const[]){"NAME", "X", "caf\xc3\xa9", "1", "cafe\xcc\x81", "2", "\xe6\xbc\xa2",
                                       "3", NULL},
                 2, "NAME  X\ncaf\xc3\xa9  1\ncafe\xcc\x81  2\n\xe6\xbc\xa2    3\n");
    assert_int_equal(ctl_text_width("\xe2\x82\xac 5"), 3);
    assert_int_equal(ctl_text_width("\xff\xfe"), 2); /* stray bytes */
    assert_int_equal(ctl_text_width("\xe2\x82"), 2); /* cut off */
}

static void test_clean(void **state)
{
    (void)state;
    char text[] = "a\nb\x1b[31m\tc\x7f\xc2\x9b\xff\xef\xbf\xbd";
    assert_string_equal(ctl_text_clean(text), "a b?[31m c????\xef\xbf\xbd");
}

static void test_counts(void **state)
{
    (void)state;
    char text[32];
    assert_string_equal(ctl_count(0, text), "0");
    assert_string_equal(ctl_count(999, text), "999");
    assert_string_equal(ctl_count(1000, text), "1,000");
    assert_string_equal(ctl_count(1234567, text), "1,234,567");
    assert_string_equal(ctl_count(-1234, text), "-1,234");
}

static void test_ago(void **state)
{
    (void)state;
    char text[40], instant[40];
    const struct {
        time_t age;
        const char *expected;
    } cases[] = {{2, "just now"},
                 {60, "60 s ago"},
                 {600, "10 min ago"},
                 {3 * 3600, "3 h ago"},
                 {5 * 86400, "5 days ago"}};
    assert_string_equal(ctl_ago(NULL, text), "-");
    assert_string_equal(ctl_ago("whenever", text), "whenever");
    assert_string_equal(ctl_ago("2020-01-02T03:04:05Z", text), "2020-01-02");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        time_t then = time(NULL) - cases[i].age;
        strftime(instant, sizeof(instant), "%Y-%m-%dT%H:%M:%SZ", gmtime(&then));
        assert_string_equal(ctl_ago(instant, text), cases[i].expected);
    }
}

static void expect_exact(const char *json)
{
    cJSON *value = cJSON_Parse(json);
    char *text = ctl_print_exact(value);
    assert_string_equal(text, json);
    free(text);
    cJSON_Delete(value);
}

static void test_exact_numbers(void **state)
{
    (void)state;
    expect_exact("{\"a\":[1,0.1,-5,9007199254740991,-9007199254740992,1234567890123456]}");
    expect_exact("[52.028889,5.0805559,3.141592653589793]");
    expect_exact("{\"a\":{\"b\":9007199254740991},\"c\":true,\"d\":null}");
}

static void test_values(void **state)
{
    (void)state;
    const char *const cases[][2] = {{"\"text\"", "text"},
                                    {"[\"a\",\"b\",1]", "a, b, 1"},
                                    {"null", "(has none)"},
                                    {"true", "yes"},
                                    {"5.25", "5.25"},
                                    {"[]", ""},
                                    {"{\"a\":1,\"b\":[\"x\",\"y\"],\"c\":null}", "a 1, b (x, y), c null"},
                                    {"[{\"number\":\"030\",\"type\":\"voice\"},{\"number\":\"06\"}]",
                                     "number 030, type voice; number 06"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cJSON *value = cJSON_Parse(cases[i][0]);
        char *text = ctl_value_text(value);
        assert_string_equal(text, cases[i][1]);
        free(text);
        cJSON_Delete(value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_columns), cmocka_unit_test(test_utf8_columns),
        cmocka_unit_test(test_clean),   cmocka_unit_test(test_counts),
        cmocka_unit_test(test_ago),     cmocka_unit_test(test_exact_numbers),
        cmocka_unit_test(test_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
