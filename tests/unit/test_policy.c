/* test_policy.c - one policy, one text. spec/resolution.md, "Policy". */
#include "protocol/policy.h"
#include "protocol/syntax.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static struct policy *make(void)
{
    struct fault fault = {""};
    struct policy *policy = NULL;
    struct policy_builder *builder = policy_builder_new();
    assert_int_equal(
        policy_builder_group(builder, "contact", LIST("editor", "provider@home"), "2 years", &fault),
        KAART_OK);
    assert_int_equal(policy_builder_group(builder, "hours", NULL, "30 days", &fault), KAART_OK);
    assert_int_equal(
        policy_builder_origin(builder, "nieuwegein.example", LIST("GM0356"), NULL, NULL, true, false, &fault),
        KAART_OK);
    assert_int_equal(policy_builder_origin(builder, "houten.example", LIST("WK032103", "GM0321", "GM0321"),
                                           LIST("provider", "editor"), LIST("service"), false, true, &fault),
                     KAART_OK);
    assert_int_equal(policy_builder_finish(builder, &policy, &fault), KAART_OK);
    policy_builder_free(builder);
    return policy;
}

static void canonical_text(void **state)
{
    size_t size;
    struct policy *policy = make(), *again = NULL;
    const char *text = policy_text(policy, &size);
    struct fault fault = {""};
    (void)state;
    assert_int_equal(strlen(text), size);
    assert_non_null(
        strstr(text, "kaartd-policy/v1\ngroup identity stale-after=36m order=editor@home,contract@home,"));
    assert_non_null(strstr(text, "\ngroup contact stale-after=24m order=editor,provider@home\n"));
    assert_non_null(strstr(text, "\ngroup hours stale-after=30d order=provider@home,"));
    assert_non_null(strstr(
        text, "\norigin nieuwegein.example areas=GM0356 roles=* kinds=* steward=yes suspended=no\n"
              "origin houten.example areas=GM0321,WK032103 roles=editor,provider kinds=service steward=no "
              "suspended=yes\n"));
    assert_int_equal(policy_parse(text, size, &again, &fault), KAART_OK);
    assert_string_equal(policy_text(again, NULL), text);
    assert_true(hash_equal(policy_hash(policy), policy_hash(again)));
    policy_release(again);
    policy_release(policy);
}

static void look_ups(void **state)
{
    struct policy *policy = make();
    int32_t day, stale;
    (void)state;
    assert_int_equal(policy_rank(policy, GROUP_CONTACT, "editor", false), 0);
    assert_int_equal(policy_rank(policy, GROUP_CONTACT, "provider", true), 1);
    assert_int_equal(policy_rank(policy, GROUP_CONTACT, "provider", false),
                     2); /* unlisted: last, together [POL-3] */
    assert_int_equal(policy_rank(policy, GROUP_CONTACT, "editor", true), 2);
    const struct policy_origin *origin = policy_origin(policy, "houten.example/public", 14);
    assert_non_null(origin);
    assert_int_equal(origin->place, 1);
    assert_null(policy_origin(policy, "houten.exampl", 13));
    assert_null(policy_origin(policy, "houten.example.nl", 17));
    assert_true(policy_origin_role(origin, "editor"));
    assert_false(policy_origin_role(origin, "contract"));
    assert_true(policy_origin_kind(origin, "service"));
    assert_false(policy_origin_kind(origin, "organization"));
    assert_int_equal(policy_origin_covers(origin, "GM0321"), 2);
    assert_int_equal(policy_origin_covers(origin, "BU03210301"), 3);
    assert_int_equal(policy_origin_covers(origin, "WK032101"), 2);
    assert_int_equal(policy_origin_covers(origin, "GM0356"), 0);
    /* Stale from the day after the same day 24 months later [RES-9]. */
    assert_int_equal(syntax_day_parse("2024-02-29", 10, &day), KAART_OK);
    assert_int_equal(syntax_day_parse("2026-03-01", 10, &stale), KAART_OK);
    assert_int_equal(policy_stale_from(policy, GROUP_CONTACT, day), stale);
    assert_int_equal(policy_stale_from(policy, GROUP_HOURS, day), day + 31);
    policy_release(policy);
}

static void a_ward_does_not_speak_for_its_town(void **state)
{
    struct fault fault;
    struct policy *policy;
    struct policy_builder *builder = policy_builder_new();
    (void)state;
    policy_builder_origin(builder, "wijk.example", LIST("WK035601"), NULL, NULL, false, false, &fault);
    policy_builder_origin(builder, "land.example", LIST("NL"), NULL, NULL, false, false, &fault);
    assert_int_equal(policy_builder_finish(builder, &policy, &fault), KAART_OK);
    assert_int_equal(policy_origin_covers(policy_origin(policy, "wijk.example", 12), "GM0356"), 0);
    assert_int_equal(policy_origin_covers(policy_origin(policy, "wijk.example", 12), "BU03560102"), 3);
    assert_int_equal(policy_origin_covers(policy_origin(policy, "wijk.example", 12), "BU03560202"), 0);
    assert_int_equal(policy_origin_covers(policy_origin(policy, "land.example", 12), "GM0356"), 1);
    policy_release(policy);
    policy_builder_free(builder);
}

static void refused(void **state)
{
    struct fault fault = {""};
    struct policy_builder *builder = policy_builder_new();
    (void)state;
    assert_int_equal(policy_builder_group(builder, "contacts", NULL, NULL, &fault), KAART_INVALID);
    assert_non_null(strstr(fault.text, "[POL-2]"));
    assert_int_equal(policy_builder_group(builder, "contact", LIST("editor", "editor"), NULL, &fault),
                     KAART_INVALID);
    assert_int_equal(policy_builder_group(builder, "contact", LIST("editor@away"), NULL, &fault),
                     KAART_INVALID);
    assert_int_equal(policy_builder_group(builder, "contact", LIST("redacteur"), NULL, &fault),
                     KAART_INVALID);
    assert_int_equal(policy_builder_group(builder, "contact", NULL, "soon", &fault), KAART_INVALID);
    assert_int_equal(policy_builder_group(builder, "contact", NULL, "0 days", &fault), KAART_INVALID);
    assert_int_equal(policy_builder_group(builder, "contact", NULL, "9999 years", &fault), KAART_INVALID);
    assert_int_equal(policy_builder_group(builder, "contact", NULL, "never", &fault), KAART_OK);
    assert_int_equal(policy_builder_group(builder, "contact", NULL, "never", &fault), KAART_INVALID);
    assert_int_equal(policy_builder_origin(builder, "Houten", NULL, NULL, NULL, false, false, &fault),
                     KAART_INVALID);
    assert_int_equal(
        policy_builder_origin(builder, "h.example", LIST("GM32"), NULL, NULL, false, false, &fault),
        KAART_INVALID);
    assert_int_equal(
        policy_builder_origin(builder, "h.example", NULL, LIST("king"), NULL, false, false, &fault),
        KAART_INVALID);
    assert_int_equal(
        policy_builder_origin(builder, "h.example", NULL, NULL, LIST("thing"), false, false, &fault),
        KAART_INVALID);
    assert_int_equal(policy_builder_origin(builder, "h.example", NULL, NULL, NULL, false, false, &fault),
                     KAART_OK);
    assert_int_equal(policy_builder_origin(builder, "h.example", NULL, NULL, NULL, false, false, &fault),
                     KAART_INVALID);
    policy_builder_free(builder);
}

/* Whatever byte is changed, dropped or doubled: another canonical text, or refused with its line. */
static void altered_texts(void **state)
{
    size_t size;
    struct policy *policy = make();
    const char *text = policy_text(policy, &size);
    char *copy = malloc(size + 2);
    (void)state;
    for (size_t i = 0; i < size; i++) {
        for (int what = 0; what < 3; what++) {
            struct policy *parsed = NULL;
            struct fault fault = {""};
            size_t altered = what == 0 ? size : what == 1 ? size - 1 : size + 1;
            memcpy(copy, text, size);
            if (what == 0)
                copy[i] = (char)(copy[i] ^ 1);
            else if (what == 1)
                memmove(copy + i, text + i + 1, size - i - 1);
            else
                memmove(copy + i + 1, text + i, size - i);
            if (policy_parse(copy, altered, &parsed, &fault) == KAART_OK) {
                assert_memory_equal(policy_text(parsed, NULL), copy, altered);
                policy_release(parsed);
            } else
                assert_true(fault.text[0] != '\0');
        }
    }
    free(copy);
    policy_release(policy);
}

static void groups_of_fields(void **state)
{
    (void)state;
    static const char *const fields[] = {"name",   "phones", "schedules", "addresses",
                                         "status", "themes", "fees",      "no-such"};
    static const enum field_group groups[] = {GROUP_IDENTITY, GROUP_CONTACT,    GROUP_HOURS,
                                              GROUP_PLACE,    GROUP_STATUS,     GROUP_CLASSIFICATION,
                                              GROUP_ACCESS,   GROUP_DESCRIPTION};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        assert_int_equal(field_group_of("service", fields[i]), groups[i]);
    assert_int_equal(field_group_of("contract", "end"), GROUP_IDENTITY);
    for (unsigned i = 0; i < GROUP_COUNT; i++) {
        enum field_group group;
        const char *name = field_group_name((enum field_group)i);
        assert_int_equal(field_group_parse(name, strlen(name), &group), KAART_OK);
        assert_int_equal(group, i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(canonical_text),
        cmocka_unit_test(look_ups),
        cmocka_unit_test(a_ward_does_not_speak_for_its_town),
        cmocka_unit_test(refused),
        cmocka_unit_test(altered_texts),
        cmocka_unit_test(groups_of_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
