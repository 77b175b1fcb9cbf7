/* test_resolve.c - each rule decided once, and what no claim can bring about. spec/resolution.md [RES-n]. */
#include "protocol/json.h"
#include "protocol/resolve.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N "nieuwegein.example/public"
#define H "houten.example/public"
#define U "utrecht.example/public"
#define ORG "0b6e3a52-9a3c-4f64-8d0b-3a1f0e0c9a11"
#define ORG2 "0b6e3a52-9a3c-4f64-8d0b-3a1f0e0c9a12"
#define SVC "0b6e3a52-9a3c-4f64-8d0b-3a1f0e0c9a13"
#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static struct policy *policy;
static struct claim claims[64];
static size_t count;
static struct resolution *result;
static int32_t today;

static int32_t day(const char *text)
{
    int32_t value = DAY_NONE;
    assert_int_equal(syntax_day_parse(text, strlen(text), &value), KAART_OK);
    return value;
}

static cJSON *json(const char *text)
{
    struct fault fault = {""};
    cJSON *value = text ? cJSON_Parse(text) : NULL;
    if (text && !value)
        fail_msg("%s", fault.text);
    return value;
}

static void forget(void)
{
    for (size_t i = 0; i < count; i++) {
        cJSON_Delete((cJSON *)(uintptr_t)claims[i].body);
        cJSON_Delete((cJSON *)(uintptr_t)claims[i].areas);
    }
    count = 0;
    resolution_free(result);
    result = NULL;
}

/* Adds a claim; the leaf follows from feed and source. */
static struct claim *say(const char *feed, const char *kind, const char *id, const char *source,
                         const char *role, const char *at_day, const char *areas, const char *body)
{
    struct claim *claim = &claims[count++];
    memset(claim, 0, sizeof *claim);
    *claim =
        (struct claim){.feed = feed, .kind = kind, .id = id, .source = source, .role = role, .seq = count};
    claim->at_ms = day(at_day) * MS_PER_DAY;
    claim->verified = claim->missing_since = claim->confirmed = DAY_NONE;
    claim->areas = json(areas);
    claim->body = json(body);
    claim->leaf.bytes[0] = (uint8_t)(feed[0] + source[0]);
    claim->leaf.bytes[1] = (uint8_t)count;
    return claim;
}

#define SAY(feed, role, at, areas, body) say(feed, "organization", ORG, role, role, at, areas, body)

static const struct resolved_field *field(const char *name)
{
    for (size_t i = 0; i < result->field_count; i++)
        if (strcmp(result->fields[i].name, name) == 0)
            return &result->fields[i];
    return NULL;
}

static void resolve_on(const char *on)
{
    resolution_free(result);
    result = NULL;
    today = day(on);
    assert_int_equal(resolve_record(policy, claims, count, today, &result), KAART_OK);
}

static void resolve(void)
{
    resolve_on("2026-11-21");
}

static void expect(const char *name, size_t winner, enum resolve_rule rule)
{
    const struct resolved_field *found = field(name);
    assert_non_null(found);
    assert_int_equal(found->winner, winner);
    assert_string_equal(resolve_rule_name(found->rule), resolve_rule_name(rule));
}

static int setup(void **state)
{
    struct fault fault = {""};
    struct policy_builder *builder = policy_builder_new();
    (void)state;
    assert_int_equal(
        policy_builder_origin(builder, "nieuwegein.example", LIST("GM0356"), NULL, NULL, true, false, &fault),
        0);
    assert_int_equal(policy_builder_origin(builder, "houten.example", LIST("GM0321"),
                                           LIST("contract", "provider", "editor", "resident"), NULL, false,
                                           false, &fault),
                     0);
    assert_int_equal(policy_builder_origin(builder, "utrecht.example", LIST("GM0344", "BU03560101"), NULL,
                                           LIST("organization", "service"), false, false, &fault),
                     0);
    assert_int_equal(
        policy_builder_origin(builder, "gone.example", LIST("GM0310"), NULL, NULL, true, true, &fault), 0);
    assert_int_equal(policy_builder_finish(builder, &policy, &fault), 0);
    policy_builder_free(builder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    policy_release(policy);
    return 0;
}

static int after(void **state)
{
    (void)state;
    forget();
    return 0;
}

/* ---- one test a rule ---- */

static void one_claim(void **state)
{
    (void)state;
    SAY(N, "editor", "2026-11-01", "[\"GM0356\"]",
        "{\"id\":\"x\",\"name\":\"A\",\"email\":null,\"x-own\":1,\"partial\":true}");
    resolve();
    assert_int_equal(result->field_count, 3); /* reserved members are none [REC-6] */
    expect("name", 0, RULE_ONLY);
    expect("x-own", 0, RULE_ONLY);
    assert_true(cJSON_IsNull(field("email")->value));
    assert_string_equal(result->home, "nieuwegein.example");
    assert_int_equal(result->next_day, DAY_NONE);
    assert_int_equal(result->judgements[0].verified, day("2026-11-01"));
}

static void rank_and_home(void **state)
{
    (void)state;
    SAY(H, "editor", "2026-11-02", "[\"GM0321\"]", "{\"name\":\"Houten\",\"description\":\"H\"}");
    SAY(N, "editor", "2026-11-01", "[\"GM0356\"]", "{\"name\":\"Nieuwegein\"}");
    resolve();
    /* Both hold a municipality that they name: the first of the policy is home [RES-7]. */
    assert_string_equal(result->home, "nieuwegein.example");
    expect("name", 1, RULE_RANK);
    expect("description", 0, RULE_ONLY); /* a missing member says nothing */
    assert_true(field("name")->differs);
    assert_int_equal(field("name")->other_count, 1);
}

static void most_specific_grant_is_home(void **state)
{
    (void)state;
    SAY(N, "editor", "2026-11-01", "[\"BU03560101\",\"WK035601\"]", "{\"name\":\"N\"}");
    SAY(U, "editor", "2026-11-01", "[\"BU03560101\"]", "{\"name\":\"U\"}");
    resolve();
    /* Nieuwegein names a neighbourhood too, but what it was granted is the municipality. */
    assert_string_equal(result->home, "utrecht.example");
    expect("name", 1, RULE_RANK);
}

static void null_has_none(void **state)
{
    (void)state;
    SAY(N, "editor", "2026-11-01", "[\"GM0356\"]", "{\"phones\":null}");
    SAY(H, "editor", "2026-11-01", "[\"GM0321\"]", "{\"phones\":[{\"number\":\"1\"}]}");
    resolve();
    expect("phones", 0, RULE_RANK);
    assert_true(cJSON_IsNull(field("phones")->value));
}

static void groups_choose_differently(void **state)
{
    (void)state;
    SAY(N, "contract", "2026-11-01", "[\"GM0356\"]", "{\"name\":\"C\",\"phones\":[],\"fees\":\"c\"}");
    SAY(N, "editor", "2026-11-01", "[\"GM0356\"]", "{\"name\":\"E\",\"phones\":[],\"fees\":\"e\"}");
    SAY(N, "provider", "2026-11-01", "[\"GM0356\"]", "{\"name\":\"P\",\"phones\":[],\"fees\":\"p\"}")
        ->on_behalf_of = ORG;
    resolve();
    expect("name", 1, RULE_RANK);
    expect("phones", 2, RULE_RANK);
    expect("fees", 0, RULE_RANK);
    assert_false(field("phones")->differs);
}

static void fresh_before_stale(void **state)
{
    (void)state;
    SAY(N, "editor", "2025-05-20", "[\"GM0356\"]", "{\"phones\":[1]}");
    SAY(H, "editor", "2026-11-01", "[\"GM0321\"]", "{\"phones\":[2]}");
    resolve_on("2026-11-20"); /* exactly 18 months: still fresh */
    expect("phones", 0, RULE_RANK);
    assert_int_equal(result->next_day, day("2026-11-21"));
    resolve_on("2026-11-21");
    expect("phones", 1, RULE_FRESH);
    /* A day of confirmation in the entry cannot lie after the day on which it says so [RES-9]. */
    claims[0].verified = day("2030-01-01");
    resolve_on("2026-11-21");
    expect("phones", 1, RULE_FRESH);
    /* A run of the same source that found it unchanged renews it ... */
    claims[0].confirmed = day("2026-10-01");
    claims[0].confirmed_at_ms = day("2026-10-02") * MS_PER_DAY;
    resolve_on("2026-11-21");
    expect("phones", 0, RULE_RANK);
    assert_int_equal(result->judgements[0].verified, day("2026-10-01"));
    /* ... but not what the register no longer lists, */
    claims[0].missing_since = day("2026-09-01");
    resolve_on("2026-11-21");
    expect("phones", 1, RULE_FRESH);
    claims[0].missing_since = DAY_NONE;
    /* not before it was said, */
    resolve_on("2026-10-01");
    assert_int_equal(result->judgements[0].verified, day("2025-05-20"));
    assert_int_equal(result->next_day, day("2026-10-02"));
    /* and not what was said after it. */
    claims[0].confirmed_at_ms = day("2025-05-19") * MS_PER_DAY;
    resolve_on("2026-11-21");
    assert_int_equal(result->judgements[0].verified, day("2025-05-20"));
}

static void later_leaf_feed(void **state)
{
    (void)state;
    SAY(H, "editor", "2026-11-01", NULL, "{\"name\":\"a\"}");
    SAY(U, "editor", "2026-11-02", NULL, "{\"name\":\"b\"}");
    resolve();
    assert_null(result->home);
    expect("name", 1, RULE_LATER);
    claims[0].at_ms = claims[1].at_ms;
    memset(claims[0].leaf.bytes, 9, HASH_SIZE);
    memset(claims[1].leaf.bytes, 8, HASH_SIZE);
    resolve();
    expect("name", 0, RULE_LEAF);
    claims[0].leaf = claims[1].leaf;
    resolve();
    expect("name", 0, RULE_FEED); /* houten before utrecht */
}

static void pins(void **state)
{
    const char *pin = "{\"phones\":[3],\"name\":\"not this "
                      "group\",\"pin_reason\":\"nagebeld\",\"pin_expires\":\"2026-11-30\"}";
    (void)state;
    SAY(N, "provider", "2026-11-01", "[\"GM0356\"]", "{\"phones\":[1],\"name\":\"P\"}")->on_behalf_of = ORG;
    say(N, "organization", ORG, "pin-contact", "editor", "2026-10-01", "[\"GM0356\"]", pin);
    resolve();
    expect("phones", 1, RULE_PIN);
    expect("name", 0, RULE_ONLY);
    assert_int_equal(result->next_day, day("2026-12-01"));
    resolve_on("2026-11-30");
    expect("phones", 1, RULE_PIN);
    resolve_on("2026-12-01");
    expect("phones", 0, RULE_ONLY);
    assert_int_equal(result->standings[1], CLAIM_PIN_EXPIRED);
    /* Only stewards pin, only known groups, only with reason and expiry [RES-8]. */
    claims[1].feed = H;
    cJSON_Delete((cJSON *)(uintptr_t)claims[1].areas);
    claims[1].areas = NULL;
    resolve();
    assert_int_equal(result->standings[1], CLAIM_NO_STEWARD);
    claims[1].feed = N;
    claims[1].source = "pin-colour";
    resolve();
    assert_int_equal(result->standings[1], CLAIM_INVALID_BODY);
    claims[1].source = "pin-contact";
    cJSON_DeleteItemFromObject((cJSON *)(uintptr_t)claims[1].body, "pin_reason");
    resolve();
    assert_int_equal(result->standings[1], CLAIM_INVALID_BODY);
}

static void standings(void **state)
{
    static const struct {
        const char *feed, *kind, *role, *at, *areas;
        enum claim_standing standing;
    } cases[] = {
        {N, "organization", "editor", "2026-11-21", "[\"GM0356\"]", CLAIM_COUNTS},
        {N, "organization", "editor", "2026-11-22", "[\"GM0356\"]", CLAIM_FROM_THE_FUTURE},
        {N, "thing", "editor", "2026-11-01", NULL, CLAIM_UNKNOWN_KIND},
        {N, "organization", "king", "2026-11-01", NULL, CLAIM_UNKNOWN_ROLE},
        {"other.example/public", "organization", "editor", "2026-11-01", NULL, CLAIM_UNKNOWN_ORIGIN},
        {"gone.example/public", "organization", "editor", "2026-11-01", NULL, CLAIM_SUSPENDED},
        {H, "organization", "coordinator", "2026-11-01", NULL, CLAIM_ROLE_NOT_GRANTED},
        {U, "contract", "contract", "2026-11-01", NULL, CLAIM_KIND_NOT_GRANTED},
        {H, "organization", "editor", "2026-11-01", "[\"GM0356\"]", CLAIM_AREA_NOT_GRANTED},
        {H, "organization", "editor", "2026-11-01", "[\"GM0356\",\"GM0321\"]", CLAIM_COUNTS},
        {U, "organization", "editor", "2026-11-01", "[\"GM0356\"]", CLAIM_AREA_NOT_GRANTED},
        {U, "organization", "editor", "2026-11-01", "[\"BU03560101\"]", CLAIM_COUNTS},
        {H, "organization", "editor", "2026-11-01", "[]", CLAIM_COUNTS},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        say(cases[i].feed, cases[i].kind, ORG, "desk", cases[i].role, cases[i].at, cases[i].areas,
            "{\"name\":\"a\"}");
        resolve();
        assert_string_equal(claim_standing_name(result->standings[0]),
                            claim_standing_name(cases[i].standing));
        assert_int_equal(result->field_count, cases[i].standing == CLAIM_COUNTS ? 1 : 0);
        if (cases[i].standing == CLAIM_FROM_THE_FUTURE)
            assert_int_equal(result->next_day, day("2026-11-22"));
        forget();
    }
    say(N, "organization", ORG, "desk", "editor", "2026-11-01", NULL, "{\"name\":7}")->invalid = true;
    resolve();
    assert_int_equal(result->standings[0], CLAIM_INVALID_BODY);
}

/* A claim that does not count makes nobody home. */
static void home_by_counting_claims_only(void **state)
{
    (void)state;
    SAY(N, "editor", "2026-11-30", "[\"GM0356\"]", "{\"name\":\"future\"}");
    SAY(H, "editor", "2026-11-01", "[\"GM0321\"]", "{\"name\":\"H\"}");
    resolve();
    assert_string_equal(result->home, "houten.example");
    resolve_on("2026-11-30");
    assert_string_equal(result->home, "nieuwegein.example");
}

static void providers_speak_for_their_own(void **state)
{
    (void)state;
    /* An organisation: itself only. */
    SAY(N, "provider", "2026-11-02", "[\"GM0356\"]", "{\"phones\":[1]}")->on_behalf_of = ORG2;
    SAY(N, "editor", "2026-11-01", "[\"GM0356\"]", "{\"phones\":[2]}");
    resolve();
    expect("phones", 1, RULE_RANK);
    assert_string_equal(result->judgements[0].role, "resident");
    claims[0].on_behalf_of = NULL;
    resolve();
    expect("phones", 1, RULE_RANK);
    claims[0].on_behalf_of = ORG;
    resolve();
    expect("phones", 0, RULE_RANK);
    forget();
    /* Its service: by what editors and registers say, not by what the provider says of it. */
    say(N, "service", SVC, "desk", "editor", "2026-11-01", "[\"GM0356\"]",
        "{\"organization_id\":\"" ORG "\",\"phones\":[2]}");
    say(N, "service", SVC, "prov", "provider", "2026-11-02", "[\"GM0356\"]",
        "{\"organization_id\":\"" ORG2 "\",\"phones\":[1]}")
        ->on_behalf_of = ORG2;
    resolve();
    expect("phones", 0, RULE_RANK);
    claims[1].on_behalf_of = ORG;
    resolve();
    expect("phones", 1, RULE_RANK);
    forget();
    /* Nobody else says it: the provider's own word, */
    say(N, "service", SVC, "prov", "provider", "2026-11-02", "[\"GM0356\"]",
        "{\"organization_id\":\"" ORG2 "\"}")
        ->on_behalf_of = ORG2;
    resolve();
    assert_string_equal(result->judgements[0].role, "provider");
    /* at home before elsewhere, */
    say(H, "service", SVC, "prov", "provider", "2026-11-03", "[\"GM0321\"]",
        "{\"organization_id\":\"" ORG "\"}")
        ->on_behalf_of = ORG;
    resolve();
    assert_string_equal(result->judgements[0].role, "provider");
    assert_string_equal(result->judgements[1].role, "resident");
    /* and if two at home disagree, neither. */
    say(N, "service", SVC, "prov2", "provider", "2026-11-03", "[\"GM0356\"]",
        "{\"organization_id\":\"" ORG "\"}")
        ->on_behalf_of = ORG;
    resolve();
    assert_string_equal(result->judgements[0].role, "resident");
    assert_string_equal(result->judgements[2].role, "resident");
}

static void links_are_for_stewards(void **state)
{
    const char *same = "{\"type\":\"same-as\",\"from_id\":\"" ORG "\",\"to_id\":\"" ORG2 "\"}";
    const char *not_same = "{\"type\":\"not-same-as\",\"from_id\":\"" ORG "\",\"to_id\":\"" ORG2 "\"}";
    const char *part = "{\"type\":\"part-of\",\"from_id\":\"" ORG "\",\"to_id\":\"" ORG2 "\"}";
    (void)state;
    say(N, "relation", SVC, "desk", "editor", "2026-11-01", NULL, same);
    say(H, "relation", SVC, "desk", "editor", "2026-11-02", NULL, not_same);
    say(H, "relation", SVC, "desk2", "editor", "2026-11-03", NULL, part);
    resolve();
    assert_int_equal(result->standings[0], CLAIM_COUNTS);
    assert_int_equal(result->standings[1], CLAIM_NO_STEWARD);
    assert_int_equal(result->standings[2], CLAIM_NO_STEWARD);
    expect("type", 0, RULE_ONLY);
    claims[1].feed = N;
    claims[1].source = "desk3";
    resolve();
    expect("type", 1, RULE_LATER);
}

/* [RES-5] */
static void too_many_claims_of_one_feed(void **state)
{
    struct claim *many = calloc(CLAIMS_PER_FEED_MAX + 2, sizeof *many);
    struct resolution *out = NULL;
    cJSON *body = json("{\"name\":\"a\"}");
    char source[CLAIMS_PER_FEED_MAX + 2][16];
    (void)state;
    for (size_t i = 0; i < CLAIMS_PER_FEED_MAX + 2; i++) {
        snprintf(source[i], sizeof source[i], "s%zu", i);
        many[i] = (struct claim){.feed = i ? H : N,
                                 .seq = 1000 - i,
                                 .kind = "organization",
                                 .id = ORG,
                                 .source = source[i],
                                 .role = "editor",
                                 .at_ms = 0,
                                 .verified = DAY_NONE,
                                 .missing_since = DAY_NONE,
                                 .confirmed = DAY_NONE,
                                 .body = body};
    }
    assert_int_equal(resolve_record(policy, many, CLAIMS_PER_FEED_MAX + 2, day("2026-11-21"), &out),
                     KAART_OK);
    assert_int_equal(out->standings[0], CLAIM_COUNTS);
    assert_int_equal(out->standings[1], CLAIM_TOO_MANY); /* the highest seq of its feed */
    assert_int_equal(out->standings[2], CLAIM_COUNTS);
    resolution_free(out);
    cJSON_Delete(body);
    free(many);
}

/* ---- properties ---- */

static uint32_t seed_state;

static uint32_t draw(uint32_t below)
{
    seed_state = seed_state * 1664525u + 1013904223u;
    return (seed_state >> 8) % below;
}

/* A text of what was decided, by claims' seq instead of their place. */
static void describe(const struct resolution *resolution, const struct claim *of, char *out, size_t size)
{
    size_t used = (size_t)snprintf(out, size, "home %s next %d\n", resolution->home ? resolution->home : "-",
                                   resolution->next_day);
    for (size_t i = 0; i < resolution->field_count && used < size; i++) {
        const struct resolved_field *f = &resolution->fields[i];
        used += (size_t)snprintf(out + used, size - used, "%s %s seq %d %d others", f->name,
                                 resolve_rule_name(f->rule), (int)of[f->winner].seq, f->differs);
        for (size_t j = 0; j < f->other_count && used < size; j++)
            used += (size_t)snprintf(out + used, size - used, " %d", (int)of[f->others[j]].seq);
        used += (size_t)snprintf(out + used, size - used, "\n");
    }
}

static void random_claim(void)
{
    static const char *const feeds[] = {N, H, U, "gone.example/public", "none.example/public"};
    static const char *const roles[] = {"contract", "provider", "editor", "coordinator",
                                        "resident", "import",   "king"};
    static const char *const areas[] = {"[\"GM0356\"]", "[\"GM0321\"]", "[\"BU03560101\"]", NULL,
                                        "[\"GM0344\",\"GM0321\"]"};
    static const char *const sources[] = {"a", "b", "pin-contact", "pin-identity", "c"};
    static const char *const orgs[] = {ORG, ORG2, NULL};
    char body[512], at[16];
    snprintf(at, sizeof at, "20%02u-%02u-%02u", 23 + draw(4), 1 + draw(12), 1 + draw(28));
    snprintf(body, sizeof body,
             "{\"name\":\"n%u\",\"phones\":[%u]%s,\"organization_id\":\"%s\",\"pin_reason\":\"r\",\"pin_"
             "expires\":\"20%02u-01-01\"}",
             draw(3), draw(3), draw(2) ? ",\"status\":\"active\"" : ",\"x\":null", draw(2) ? ORG : ORG2,
             24 + draw(6));
    struct claim *claim =
        say(feeds[draw(5)], "service", SVC, sources[draw(5)], roles[draw(7)], at, areas[draw(5)], body);
    claim->on_behalf_of = orgs[draw(3)];
    claim->leaf.bytes[0] = (uint8_t)draw(3);
    claim->leaf.bytes[1] = 0;
    if (draw(3) == 0)
        claim->verified = day("2026-01-01") + (int32_t)draw(900);
    if (draw(3) == 0) {
        claim->confirmed = day("2026-01-01") + (int32_t)draw(500);
        claim->confirmed_at_ms = (day("2026-01-01") + (int32_t)draw(500)) * MS_PER_DAY;
    }
}

/* Nothing depends on the order of claims; and between two of its next days a result stays the same. */
static void independence_and_next_day(void **state)
{
    static char first[8192], second[8192], third[8192];
    const char *given = getenv("SEED");
    uint32_t seed = given ? (uint32_t)strtoul(given, NULL, 10) : 20261121;
    (void)state;
    for (int round = 0; round < 400; round++) {
        seed_state = seed + (uint32_t)round;
        size_t n = 1 + draw(8);
        for (size_t i = 0; i < n; i++)
            random_claim();
        resolve();
        describe(result, claims, first, sizeof first);
        int32_t next = result->next_day;
        for (size_t i = n; i > 1; i--) {
            size_t j = draw((uint32_t)i);
            struct claim swap = claims[i - 1];
            claims[i - 1] = claims[j];
            claims[j] = swap;
        }
        resolve();
        describe(result, claims, second, sizeof second);
        if (strcmp(first, second) != 0)
            fail_msg("SEED=%u round %d:\n%s---\n%s", seed, round, first, second);
        if (next != DAY_NONE) {
            struct resolution *late = NULL;
            int32_t at[2] = {today + 1, next - 1};
            for (int i = 0; i < 2 && at[i] < next; i++) {
                assert_int_equal(resolve_record(policy, claims, n, at[i], &late), KAART_OK);
                describe(late, claims, third, sizeof third);
                resolution_free(late);
                if (strcmp(second, third) != 0)
                    fail_msg("SEED=%u round %d changed before its next day:\n%s---\n%s", seed, round, second,
                             third);
            }
        }
        forget();
    }
}

/* A foreign origin's claim never beats a fresh one of the home in the same role, whatever it says of itself.
 */
static void nobody_gains_rank(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < 200; round++) {
        seed_state = 77 + round;
        say(N, "organization", ORG, "desk", "editor", "2026-11-01", "[\"GM0356\"]", "{\"name\":\"N\"}");
        struct claim *claim =
            say(H, "organization", ORG, draw(2) ? "desk" : "zzz", "editor", "2026-11-20",
                draw(2) ? "[\"GM0321\",\"GM0356\",\"BU03560101\"]" : NULL, "{\"name\":\"H\"}");
        memset(claim->leaf.bytes, 0xff, HASH_SIZE);
        claim->verified = day("9999-12-31");
        resolve();
        expect("name", 0, RULE_RANK);
        forget();
    }
}

/* [RES-10]: where a policy trusts residents more than providers, a provider gains nothing by speaking for nobody. */
static void a_demoted_provider_is_no_better_off(void **state)
{
    struct policy_builder *builder = policy_builder_new();
    struct policy *given = policy, *odd = NULL;
    struct fault fault = {""};
    (void)state;
    assert_int_equal(policy_builder_group(builder, "identity", LIST("resident", "editor"), NULL, &fault), 0);
    assert_int_equal(
        policy_builder_origin(builder, "houten.example", NULL, LIST("provider"), NULL, false, false, &fault),
        0);
    assert_int_equal(
        policy_builder_origin(builder, "utrecht.example", NULL, NULL, NULL, false, false, &fault), 0);
    assert_int_equal(policy_builder_finish(builder, &odd, &fault), 0);
    policy_builder_free(builder);
    SAY(U, "editor", "2026-11-01", NULL, "{\"name\":\"U\"}");
    SAY(H, "provider", "2026-11-02", NULL, "{\"name\":\"H\"}");
    policy = odd;
    resolve();
    policy = given;
    assert_string_equal(result->judgements[1].role, "resident");
    expect("name", 0, RULE_RANK);
    policy_release(odd);
}

/* [RES-1] [RES-3]: what is handed in twice counts once; and a claim keeps the first reason why it does not. */
static void a_claim_handed_in_twice(void **state)
{
    (void)state;
    SAY(N, "editor", "2026-11-01", "[\"GM0356\"]", "{\"name\":\"N\"}");
    SAY(N, "editor", "2026-11-01", "[\"GM0356\"]", "{\"name\":\"N\"}")->seq = claims[0].seq;
    SAY("none.example/public", "editor", "2026-11-01", NULL, "{}");
    SAY("none.example/public", "editor", "2026-11-01", NULL, "{}")->seq = claims[2].seq;
    resolve();
    expect("name", 0, RULE_ONLY);
    assert_int_equal(result->standings[1], CLAIM_REPEATED);
    assert_int_equal(result->standings[2], CLAIM_UNKNOWN_ORIGIN);
    assert_int_equal(result->standings[3], CLAIM_UNKNOWN_ORIGIN);
}

#define TEST(name) cmocka_unit_test_teardown(name, after)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_claim),
        TEST(rank_and_home),
        TEST(most_specific_grant_is_home),
        TEST(null_has_none),
        TEST(groups_choose_differently),
        TEST(fresh_before_stale),
        TEST(later_leaf_feed),
        TEST(pins),
        TEST(standings),
        TEST(home_by_counting_claims_only),
        TEST(providers_speak_for_their_own),
        TEST(links_are_for_stewards),
        TEST(too_many_claims_of_one_feed),
        TEST(independence_and_next_day),
        TEST(nobody_gains_rank),
        TEST(a_demoted_provider_is_no_better_off),
        TEST(a_claim_handed_in_twice),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
