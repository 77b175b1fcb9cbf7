/*
 * test_source_diff.c - what a listing means beside what was said before: new, changed, missing, returned, due, and the fuse. spec/sources.md
 * [SRC-4] [SRC-5].
 */
#include "daemon/source/source_diff.h"
#include "protocol/entry.h"
#include "protocol/syntax.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DAY_MS MS_PER_DAY
#define T0 1764000000000LL /* some instant */
#define AREAS "[\"GM0356\"]"

/* The n-th record's id. */
static const char *id_of(unsigned n)
{
    static char ids[8][UUID_TEXT_SIZE + 1];
    static unsigned next;
    char *id = ids[next++ % 8];
    snprintf(id, UUID_TEXT_SIZE + 1, "%08x-0000-5000-8000-%012x", n * 2654435761u, n);
    return id;
}

static void add_former(struct source_diff *diff, uint64_t seq, const char *kind, unsigned n, const char *body,
                       int64_t at_ms, int32_t missing)
{
    struct entry entry = {
        .seq = seq, .op = ENTRY_ASSERT, .at_ms = at_ms, .verified = DAY_NONE, .missing_since = missing};
    struct fault fault = {""};
    char *line = NULL;
    size_t size = 0;
    snprintf(entry.kind, sizeof(entry.kind), "%s", kind);
    snprintf(entry.id, sizeof(entry.id), "%s", id_of(n));
    snprintf(entry.source, sizeof(entry.source), "care");
    snprintf(entry.role, sizeof(entry.role), "contract");
    entry.areas = (struct span){AREAS, strlen(AREAS)};
    entry.body = (struct span){body, strlen(body)};
    if (entry_format(&entry, &line, &size, &fault) != KAART_OK ||
        source_diff_former(diff, line, size, &fault) != KAART_OK)
        fail_msg("%s", fault.text);
    free(line);
}

/* `count` organizations that were listed before; seq = number. */
static struct source_diff *formers(unsigned count)
{
    struct source_diff *diff = source_diff_new("care", "contract");
    for (unsigned n = 0; n < count; n++)
        add_former(diff, n, "organization", n, "{\"name\":\"x\"}", T0, DAY_NONE);
    return diff;
}

static enum diff_outcome list(struct source_diff *diff, const char *kind, unsigned n, const char *body)
{
    enum diff_outcome outcome = DIFF_NEW;
    size_t first = 0;
    assert_int_equal(source_diff_listed(diff, kind, id_of(n), body, AREAS, n + 1, &outcome, &first),
                     KAART_OK);
    return outcome;
}

static void list_range(struct source_diff *diff, unsigned from, unsigned to)
{
    for (unsigned n = from; n < to; n++)
        assert_int_equal(list(diff, "organization", n, "{\"name\":\"x\"}"), DIFF_UNCHANGED);
}

static struct diff_rules rules_at(int64_t now_ms, size_t rows)
{
    return (struct diff_rules){.fuse_percent = 20,
                               .fuse_rows = 3,
                               .missing_runs = 2,
                               .missing_for_ms = 3 * DAY_MS,
                               .now_ms = now_ms,
                               .rows = rows};
}

static struct diff_verdict settle(struct source_diff *diff, const struct diff_rules *rules)
{
    struct diff_verdict verdict;
    struct fault fault = {""};
    assert_int_equal(source_diff_settle(diff, rules, &verdict, &fault), KAART_OK);
    return verdict;
}

static size_t count_step(const struct diff_verdict *verdict, enum gone_step step)
{
    size_t count = 0;
    for (size_t i = 0; i < verdict->gone_count; i++)
        count += verdict->gone[i].step == step;
    return count;
}

static void test_listed(void **state)
{
    (void)state;
    struct source_diff *diff = formers(3);
    add_former(diff, 9, "organization", 9, "{\"name\":\"y\"}", T0, 20000);
    assert_true(source_diff_known(diff, "organization", id_of(2)));
    assert_false(source_diff_known(diff, "service", id_of(2)));
    assert_int_equal(source_diff_live(diff), 4);
    assert_int_equal(list(diff, "organization", 0, "{\"name\":\"x\"}"), DIFF_UNCHANGED);
    assert_int_equal(list(diff, "organization", 1, "{\"name\":\"z\"}"), DIFF_CHANGED);
    assert_int_equal(list(diff, "organization", 5, "{\"name\":\"z\"}"), DIFF_NEW);
    assert_int_equal(list(diff, "organization", 9, "{\"name\":\"y\"}"), DIFF_RETURNED);
    assert_int_equal(list(diff, "organization", 5, "{\"name\":\"z\"}"), DIFF_REPEATED);
    assert_int_equal(list(diff, "organization", 5, "{\"name\":\"q\"}"), DIFF_CONTRADICTS);
    assert_int_equal(list(diff, "service", 0, "{\"name\":\"x\"}"),
                     DIFF_NEW); /* another kind under the same id */
    assert_false(source_diff_known(diff, "organization", id_of(5)));
    assert_true(source_diff_was_listed(diff, "organization", id_of(5)));
    source_diff_free(diff);
}

/* Other sources' claims and tombstones are not ours; a changed area or role is a change. */
static void test_former(void **state)
{
    (void)state;
    struct source_diff *diff = source_diff_new("other", "contract");
    add_former(diff, 1, "organization", 1, "{\"name\":\"x\"}", T0, DAY_NONE);
    assert_int_equal(source_diff_live(diff), 0);
    source_diff_free(diff);
    diff = source_diff_new("care", "editor"); /* the source got another role */
    add_former(diff, 1, "organization", 1, "{\"name\":\"x\"}", T0, DAY_NONE);
    assert_int_equal(list(diff, "organization", 1, "{\"name\":\"x\"}"), DIFF_CHANGED);
    source_diff_free(diff);
    diff = formers(1);
    enum diff_outcome outcome = DIFF_NEW;
    size_t first = 0;
    assert_int_equal(source_diff_listed(diff, "organization", id_of(0), "{\"name\":\"x\"}", "[\"GM0321\"]", 1,
                                        &outcome, &first),
                     KAART_OK);
    assert_int_equal(outcome, DIFF_CHANGED);
    source_diff_free(diff);
    diff = formers(0);
    const char *confirmation = "{\"seq\":3,\"op\":\"assert\",\"kind\":\"confirmation\",\"id\":\"00000000-"
                               "0000-5000-8000-000000000000\","
                               "\"source\":\"care\",\"role\":\"contract\",\"at\":\"2026-11-21T19:04:05."
                               "123Z\",\"verified\":\"2026-11-21\",\"body\":{}}";
    struct fault fault = {""};
    assert_int_equal(source_diff_former(diff, confirmation, strlen(confirmation), &fault), KAART_OK);
    int32_t day = 0;
    syntax_day_parse("2026-11-21", 10, &day);
    assert_int_equal(source_diff_confirmed(diff), day);
    assert_int_equal(source_diff_live(diff), 0);
    source_diff_free(diff);
}

/* The life of one claim over runs, each with a diff of its own, as after restarts: nothing but the entry and the runs' moments is known. */
static void test_missing_until_retracted(void **state)
{
    (void)state;
    int64_t runs[3] = {T0 - DAY_MS};
    struct source_diff *diff = formers(10);
    struct diff_rules rules = rules_at(T0, 9);
    list_range(diff, 1, 10);
    struct diff_verdict verdict = settle(diff, &rules);
    assert_false(verdict.tripped);
    assert_int_equal(verdict.gone_count, 1);
    assert_int_equal(verdict.gone[0].step, GONE_MARK);
    assert_string_equal(verdict.gone[0].id, id_of(0));
    assert_string_equal(verdict.gone[0].kind, "organization");
    assert_int_equal(verdict.gone[0].seq, 0);
    assert_int_equal(verdict.missing, 1);
    diff_verdict_clear(&verdict);
    source_diff_free(diff);

    /* after `days` and with `later` complete runs in between */
    struct {
        int64_t days;
        size_t later;
        enum gone_step step;
    } cases[] = {{1, 0, GONE_KEEP}, {2, 1, GONE_KEEP}, {3, 0, GONE_RETRACT}, {4, 2, GONE_RETRACT}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        diff = formers(0);
        for (unsigned n = 1; n < 10; n++)
            add_former(diff, n, "organization", n, "{\"name\":\"x\"}", T0, DAY_NONE);
        add_former(diff, 20, "organization", 0, "{\"name\":\"x\"}", T0,
                   syntax_day_of(T0)); /* marked by the run at T0 */
        list_range(diff, 1, 10);
        runs[1] = T0 + DAY_MS;
        runs[2] = T0 + 2 * DAY_MS;
        rules = rules_at(T0 + cases[i].days * DAY_MS, 9);
        rules.complete_runs = runs;
        rules.complete_run_count = 1 + cases[i].later;
        verdict = settle(diff, &rules);
        assert_int_equal(verdict.gone_count, 1);
        assert_int_equal(verdict.gone[0].step, cases[i].step);
        assert_int_equal(verdict.gone[0].seq, 20);
        assert_int_equal(verdict.missing, cases[i].step == GONE_KEEP);
        diff_verdict_clear(&verdict);
        source_diff_free(diff);
    }
}

/* Time alone is not enough, and runs alone are not. */
static void test_runs_and_time(void **state)
{
    (void)state;
    int64_t runs[1] = {T0 + 1000};
    struct source_diff *diff = formers(0);
    add_former(diff, 1, "organization", 1, "{\"name\":\"x\"}", T0, syntax_day_of(T0));
    list(diff, "organization", 2, "{\"name\":\"x\"}");
    struct diff_rules rules = rules_at(T0 + 30 * DAY_MS, 1);
    rules.missing_runs = 4;
    rules.complete_runs = runs;
    rules.complete_run_count = 1; /* the marking run, one since, and this one: three */
    struct diff_verdict verdict = settle(diff, &rules);
    assert_int_equal(count_step(&verdict, GONE_KEEP), 1);
    diff_verdict_clear(&verdict);
    rules.missing_runs = 3;
    verdict = settle(diff, &rules);
    assert_int_equal(count_step(&verdict, GONE_RETRACT), 1);
    diff_verdict_clear(&verdict);
    source_diff_free(diff);
}

static void expect_fuse(unsigned before, unsigned listed, bool tripped)
{
    struct source_diff *diff = formers(before);
    list_range(diff, before - listed, before);
    struct diff_rules rules = rules_at(T0, listed);
    struct diff_verdict verdict = settle(diff, &rules);
    if (verdict.tripped != tripped)
        fail_msg("%u of %u listed: %s", listed, before, verdict.tripped ? verdict.reason : "not tripped");
    assert_int_equal(count_step(&verdict, GONE_MARK), before - listed);
    diff_verdict_clear(&verdict);
    source_diff_free(diff);
}

static void test_fuse(void **state)
{
    (void)state;
    expect_fuse(10, 8, false); /* 2 where there are few */
    expect_fuse(10, 7, true);
    expect_fuse(49, 47, false);
    expect_fuse(49, 46, true);
    expect_fuse(50, 40, false); /* exactly 20 % */
    expect_fuse(50, 39, true);
    expect_fuse(1000, 800, false);
    expect_fuse(1000, 799, true);
    expect_fuse(2, 0, true); /* an empty list, however few there were */
    expect_fuse(100, 100, false);
}

/* Claims that are missing already do not count again. */
static void test_fuse_counts_new_ones(void **state)
{
    (void)state;
    struct source_diff *diff = formers(8);
    for (unsigned n = 100; n < 106; n++)
        add_former(diff, n, "organization", n, "{\"name\":\"x\"}", T0, syntax_day_of(T0));
    list_range(diff, 1, 8);
    struct diff_rules rules = rules_at(T0 + DAY_MS, 7);
    struct diff_verdict verdict = settle(diff, &rules);
    assert_false(verdict.tripped);
    assert_int_equal(count_step(&verdict, GONE_MARK), 1);
    assert_int_equal(count_step(&verdict, GONE_KEEP), 6);
    diff_verdict_clear(&verdict);
    source_diff_free(diff);
}

static int parent_of(void *context, const char *kind, uint64_t seq, char parent[UUID_TEXT_SIZE + 1],
                     struct fault *fault)
{
    (void)context;
    (void)fault;
    if (strcmp(kind, "service") == 0)
        memcpy(parent, id_of((unsigned)(seq / 10)), UUID_TEXT_SIZE + 1);
    return KAART_OK;
}

/* A provider that vanishes with its five products is one row; five products that vanish from a provider that stays are five. */
static void test_fuse_counts_rows(void **state)
{
    (void)state;
    for (unsigned provider_stays = 0; provider_stays < 2; provider_stays++) {
        struct source_diff *diff = formers(10);
        for (unsigned n = 0; n < 20; n++)
            add_former(diff, 10 + n, "service", 1000 + n, "{\"name\":\"x\"}", T0, DAY_NONE);
        list_range(diff, 0, 1);
        list_range(diff, 1 + !provider_stays, 10);
        for (unsigned n = 0; n < 20; n++) {
            if (n >= 5)
                list(diff, "service", 1000 + n, "{\"name\":\"x\"}");
        }
        struct diff_rules rules = rules_at(T0, 9);
        rules.parent = parent_of;
        struct diff_verdict verdict = settle(diff, &rules);
        assert_int_equal(verdict.tripped, provider_stays);
        assert_int_equal(count_step(&verdict, GONE_MARK), provider_stays ? 5 : 6);
        diff_verdict_clear(&verdict);
        source_diff_free(diff);
    }
}

/* A row that is there but broken is not gone; one that cannot be told apart may be any of those that seem gone. */
static void test_broken_rows(void **state)
{
    (void)state;
    struct source_diff *diff = formers(10);
    list_range(diff, 1, 10);
    assert_int_equal(source_diff_present(diff, "organization", id_of(0), 1), KAART_OK);
    struct diff_rules rules = rules_at(T0, 10);
    struct diff_verdict verdict = settle(diff, &rules);
    assert_int_equal(verdict.gone_count, 0);
    diff_verdict_clear(&verdict);
    source_diff_free(diff);

    diff = formers(10);
    list_range(diff, 1, 10);
    source_diff_unidentified(diff, "organization", 4);
    verdict = settle(diff, &rules);
    assert_true(verdict.tripped);
    assert_non_null(strstr(verdict.reason, "row 4"));
    diff_verdict_clear(&verdict);
    source_diff_free(diff);

    diff = formers(10);
    list_range(diff, 0, 10);
    source_diff_unidentified(diff, "organization", 11); /* nothing seems gone: a new row, broken */
    verdict = settle(diff, &rules);
    assert_false(verdict.tripped);
    diff_verdict_clear(&verdict);
    source_diff_free(diff);

    diff = formers(1); /* first broken, then a readable row for the same record */
    source_diff_present(diff, "organization", id_of(0), 1);
    assert_int_equal(list(diff, "organization", 0, "{\"name\":\"z\"}"), DIFF_CHANGED);
    source_diff_free(diff);
}

/* A 304 says that what is missing is missing still, and nothing about the rest. */
static void test_unchanged_listing(void **state)
{
    (void)state;
    struct source_diff *diff = formers(10);
    add_former(diff, 20, "organization", 20, "{\"name\":\"x\"}", T0, syntax_day_of(T0));
    struct diff_rules rules = rules_at(T0 + 4 * DAY_MS, 0);
    rules.unchanged_listing = true;
    struct diff_verdict verdict = settle(diff, &rules);
    assert_false(verdict.tripped);
    assert_int_equal(verdict.gone_count, 1);
    assert_int_equal(verdict.gone[0].step, GONE_RETRACT);
    diff_verdict_clear(&verdict);
    source_diff_free(diff);
}

static void test_many(void **state)
{
    (void)state;
    struct source_diff *diff = formers(20000);
    list_range(diff, 0, 20000);
    for (unsigned n = 20000; n < 30000; n++)
        assert_int_equal(list(diff, "organization", n, "{}"), DIFF_NEW);
    struct diff_rules rules = rules_at(T0, 30000);
    struct diff_verdict verdict = settle(diff, &rules);
    assert_int_equal(verdict.gone_count, 0);
    diff_verdict_clear(&verdict);
    source_diff_free(diff);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_listed),
        cmocka_unit_test(test_former),
        cmocka_unit_test(test_missing_until_retracted),
        cmocka_unit_test(test_runs_and_time),
        cmocka_unit_test(test_fuse),
        cmocka_unit_test(test_fuse_counts_new_ones),
        cmocka_unit_test(test_fuse_counts_rows),
        cmocka_unit_test(test_broken_rows),
        cmocka_unit_test(test_unchanged_listing),
        cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
