/*
 * test_policy_diff.c - a dry run of another policy tells exactly what happens when that policy takes effect, links included; and the published sums.
 * SEED=n repeats a random run.
 */
#include "store_fixture.h"

#include "daemon/store/map.h"
#include "protocol/identity.h"
#include "protocol/json.h"

#define HOUTEN "houten.example/public"
#define ORG "0b6e3a52-9a3c-4f64-8d0b-3a1f0e0c9a11"
#define ALIAS "0b6e3a52-9a3c-4f64-8d0b-3a1f0e0c9a12"
#define TODAY 20778 /* 2026-11-21 */

struct world {
    struct fixture *fixture;
    struct signing_key nieuwegein, houten;
    struct map *map;
    int64_t now_ms;
};

struct policy_options {
    bool suspended, steward, absent, editors_first, country;
};

static struct policy *policy_with(struct policy_options options)
{
    static const char *const here[] = {"GM0356", NULL}, *const there[] = {"GM0321", NULL},
                             *const country[] = {"NL", NULL},
                             *const order[] = {"editor", "editor@home", NULL};
    struct policy *policy = NULL;
    struct policy_builder *builder = policy_builder_new();
    if (options.editors_first)
        assert_ok(policy_builder_group(builder, "contact", order, "2 months", &fault));
    assert_ok(policy_builder_origin(builder, "nieuwegein.example", here, NULL, NULL, true, false, &fault));
    if (!options.absent)
        assert_ok(policy_builder_origin(builder, "houten.example", options.country ? country : there, NULL,
                                        NULL, options.steward, options.suspended, &fault));
    assert_ok(policy_builder_finish(builder, &policy, &fault));
    policy_builder_free(builder);
    return policy;
}

static struct signing_key key_of(const char *feed, uint8_t byte)
{
    struct signing_key key;
    uint8_t seed[ED25519_SIZE];
    memset(seed, byte, sizeof seed);
    assert_ok(signing_key_from_seed(feed, seed, &key, &fault));
    return key;
}

static struct world *world_new(void)
{
    struct world *world = calloc(1, sizeof *world);
    char path[128];
    world->fixture = fixture_new();
    world->nieuwegein = key_of(FEED, 7);
    world->houten = key_of(HOUTEN, 8);
    feeds_allow_signing(world->fixture->feeds, FEED, true, NULL);
    feeds_allow_signing(world->fixture->feeds, HOUTEN, true, NULL);
    world->now_ms = NOW_MS - 400 * 86400000LL;
    snprintf(path, sizeof path, "%s/map.db", world->fixture->directory);
    assert_ok(map_open(path, world->fixture->path, true, &world->map, &fault));
    return world;
}

static void world_free(struct world *world)
{
    map_close(world->map);
    fixture_free(world->fixture);
    free(world);
}

static void follow(struct world *world, const struct policy *policy)
{
    bool more = true;
    for (int i = 0; more; i++) {
        assert_ok(map_follow(world->map, policy, TODAY, 100, &more, &fault));
        assert_true(i < 10000);
    }
}

static void say_as(struct world *world, bool houten, const char *kind, const char *id, const char *source,
                   const char *role, const char *body)
{
    struct own_result result;
    struct own_claim claim = {.op = body ? ENTRY_ASSERT : ENTRY_RETRACT,
                              .kind = kind,
                              .id = id,
                              .source = source,
                              .role = role,
                              .areas = houten ? "[\"GM0321\"]" : "[\"GM0356\"]",
                              .body = body,
                              .verified = DAY_NONE,
                              .missing_since = DAY_NONE};
    assert_ok(feeds_append(world->fixture->feeds, houten ? HOUTEN : FEED,
                           houten ? &world->houten : &world->nieuwegein, 1, world->now_ms, &claim, 1, false,
                           &result, &fault));
    if (result.outcome == OWN_REFUSED)
        fail_msg("%s", result.fault.text);
}

static void link_records(struct world *world, bool houten, const char *alias, const char *main)
{
    char id[UUID_TEXT_SIZE + 1], body[400];
    assert_int_equal(identity_of_pair(alias, main, id), KAART_OK);
    snprintf(body, sizeof body,
             "{\"type\":\"same-as\",\"from_kind\":\"organization\",\"from_id\":\"%s\",\"to_kind\":"
             "\"organization\","
             "\"to_id\":\"%s\"}",
             alias, main);
    say_as(world, houten, "relation", id, "desk", "editor", body);
}

static cJSON *try_out(struct world *world, const struct policy *from, const struct policy *to, size_t shown,
                      size_t page)
{
    struct map_diff *diff;
    cJSON *result;
    bool more = true;
    assert_ok(map_diff_new(from, to, TODAY, shown, &diff, &fault));
    for (int i = 0; more; i++) {
        assert_ok(map_diff_step(world->map, diff, page, &more, &fault));
        assert_true(i < 10000);
    }
    assert_ok(map_diff_result(world->map, diff, &result, &fault));
    map_diff_free(diff);
    return result;
}

static int changed(const cJSON *result, const char *what)
{
    return json_get(json_get(result, "changed"), what)->valueint;
}

/* ---- what it says ---- */

static void suspending_a_peer(void **state)
{
    struct world *world = world_new();
    struct policy *all = policy_with((struct policy_options){0}),
                  *less = policy_with((struct policy_options){.suspended = true}),
                  *alone = policy_with((struct policy_options){.absent = true});
    (void)state;
    say_as(world, true, "organization", ORG, "desk", "editor",
           "{\"name\":\"De Brug\",\"website\":\"https://brug.example\"}");
    say_as(world, false, "organization", ORG, "list", "resident",
           "{\"name\":\"Brug, de\",\"email\":\"a@brug.example\"}");
    say_as(world, true, "organization", ALIAS, "desk", "editor", "{\"name\":\"Alleen Houten\"}");
    follow(world, all);
    for (int round = 0; round < 2; round++) { /* suspended, or not there at all: the same map */
        cJSON *result = try_out(world, all, round ? alone : less, 100, 1), *change;
        assert_int_equal(changed(result, "records"), 2);
        assert_int_equal(changed(result, "fields"), 3);
        assert_int_equal(changed(result, "values"), 3);
        assert_int_equal(changed(result, "disappear"), 1);
        assert_int_equal(changed(result, "appear"), 0);
        assert_int_equal(cJSON_GetArraySize(json_get(result, "changes")), 3);
        change = cJSON_GetArrayItem(json_get(result, "changes"), 0);
        assert_string_equal(json_get_string(change, "field"), "name");
        assert_string_equal(json_get_string(change, "name"), "De Brug");
        assert_string_equal(json_get_string(json_get(change, "from"), "feed"), HOUTEN);
        assert_string_equal(json_get_string(json_get(change, "to"), "role"), "resident");
        assert_string_equal(json_get_string(json_get(change, "to"), "value"), "Brug, de");
        change = cJSON_GetArrayItem(json_get(result, "changes"), 1);
        assert_string_equal(json_get_string(change, "field"), "website");
        assert_true(cJSON_IsNull(json_get(change, "to")));
        assert_int_equal(json_get(json_get(json_get(result, "feeds"), HOUTEN), "loses")->valueint, 3);
        assert_int_equal(json_get(json_get(json_get(result, "feeds"), FEED), "gains")->valueint, 1);
        cJSON_Delete(result);
    }
    cJSON *result = try_out(world, all, less, 1, 50);
    assert_int_equal(cJSON_GetArraySize(json_get(result, "changes")), 1);
    assert_int_equal(json_get(result, "more")->valueint, 2);
    assert_int_equal(changed(result, "fields"), 3);
    assert_int_equal(cJSON_GetArraySize(json_get(result, "notHeld")), 0);
    cJSON_Delete(result);
    result = try_out(world, all, all, 100, 50);
    assert_int_equal(changed(result, "fields"), 0);
    cJSON_Delete(result);
    policy_release(all);
    policy_release(less);
    policy_release(alone);
    world_free(world);
}

static void names_what_is_not_held(void **state)
{
    struct world *world = world_new();
    struct policy *alone = policy_with((struct policy_options){.absent = true}),
                  *both = policy_with((struct policy_options){0});
    (void)state;
    say_as(world, false, "organization", ORG, "desk", "editor", "{\"name\":\"De Brug\"}");
    follow(world, alone);
    cJSON *result = try_out(world, alone, both, 100, 50);
    assert_int_equal(cJSON_GetArraySize(json_get(result, "notHeld")), 1);
    assert_string_equal(cJSON_GetArrayItem(json_get(result, "notHeld"), 0)->valuestring, "houten.example");
    assert_true(cJSON_IsTrue(json_get(result, "caughtUp")));
    cJSON_Delete(result);
    say_as(world, true, "organization", ORG, "desk", "editor",
           "{\"name\":\"Brug\",\"website\":\"https://brug.example\"}");
    follow(world, alone); /* held, though nobody of it counts yet */
    result = try_out(world, alone, both, 100, 50);
    assert_int_equal(cJSON_GetArraySize(json_get(result, "notHeld")), 0);
    assert_int_equal(changed(result, "fields"), 1);
    cJSON_Delete(result);
    policy_release(alone);
    policy_release(both);
    world_free(world);
}

/* A steward's link: the main record has no row of its own before it is in force. */
static void links_of_a_new_steward(void **state)
{
    struct world *world = world_new();
    struct policy *before = policy_with((struct policy_options){0}),
                  *after = policy_with((struct policy_options){.steward = true});
    (void)state;
    say_as(world, false, "organization", ALIAS, "desk", "editor", "{\"name\":\"De Brug\"}");
    link_records(world, true, ALIAS, ORG);
    follow(world, before);
    cJSON *result = try_out(world, before, after, 100, 1);
    assert_int_equal(changed(result, "disappear"), 1); /* the alias */
    assert_int_equal(changed(result, "appear"), 2);    /* the main record, and the link */
    cJSON_Delete(result);
    follow(world, after);
    result = try_out(world, after, before, 100, 1);
    assert_int_equal(changed(result, "disappear"), 2);
    assert_int_equal(changed(result, "appear"), 1);
    cJSON_Delete(result);
    policy_release(before);
    policy_release(after);
    world_free(world);
}

/* ---- it comes true ---- */

static uint32_t random_state;

static uint32_t draw(uint32_t below)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) % below;
}

static void random_step(struct world *world)
{
    static const char *const roles[] = {"editor", "provider", "contract", "resident"};
    static const char *const sources[] = {"desk", "register", "pin-contact"};
    char id[UUID_TEXT_SIZE + 1], other[UUID_TEXT_SIZE + 1], body[300];
    bool houten = draw(2);
    world->now_ms += (int64_t)draw(86400000 * 8LL);
    if (draw(4) == 0) {
        unsigned from = draw(5), to = draw(5);
        link_records(world, houten, id_of(from, id), id_of(to == from ? 9 : to, other));
        return;
    }
    snprintf(body, sizeof body,
             "{\"name\":\"n%u\",\"phones\":[{\"number\":\"03%u\"}]%s,\"pin_reason\":\"r\",\"pin_expires\":"
             "\"2027-03-01\"}",
             draw(3), draw(3), draw(2) ? ",\"description\":\"straat\"" : ",\"email\":null");
    say_as(world, houten, "organization", id_of(draw(9), id), sources[draw(3)], roles[draw(4)],
           draw(8) ? body : NULL);
}

/* One line for each field of the map: who supplies it, and the value. */
struct seen {
    char *lines[4000];
    size_t count;
    struct map *map;
};

static int see_record(void *context, const char *kind, const char *id, const char *json)
{
    struct seen *seen = context;
    cJSON *got, *field;
    (void)json;
    assert_ok(map_get(seen->map, kind, id, &got, &fault));
    cJSON_ArrayForEach(field, json_get(got, "provenance"))
    {
        char *value = cJSON_PrintUnformatted(json_get(json_get(got, "record"), field->string));
        assert_true(seen->count < sizeof seen->lines / sizeof *seen->lines);
        assert_true(asprintf(&seen->lines[seen->count++], "%s %s %s %s %s %s", kind, id, field->string,
                             json_get_string(field, "feed"), json_get_string(field, "source"), value) > 0);
        cJSON_free(value);
    }
    cJSON_Delete(got);
    return KAART_OK;
}

static struct seen *see(struct world *world)
{
    struct seen *seen = calloc(1, sizeof *seen);
    seen->map = world->map;
    assert_ok(map_export(world->map, NULL, see_record, seen, &fault));
    return seen;
}

static void seen_free(struct seen *seen)
{
    for (size_t i = 0; i < seen->count; i++)
        free(seen->lines[i]);
    free(seen);
}

/* Takes a line away, or puts it in: what a change says, done by hand. */
static void apply_side(struct seen *seen, const cJSON *change, const char *side_name, bool add, uint32_t seed)
{
    const cJSON *side = json_get(change, side_name);
    char *line, *value;
    if (!side || cJSON_IsNull(side))
        return;
    value = cJSON_PrintUnformatted(json_get(side, "value"));
    assert_true(asprintf(&line, "%s %s %s %s %s %s", json_get_string(change, "kind"),
                         json_get_string(change, "id"), json_get_string(change, "field"),
                         json_get_string(side, "feed"), json_get_string(side, "source"), value) > 0);
    cJSON_free(value);
    if (add) {
        seen->lines[seen->count++] = line;
        return;
    }
    for (size_t i = 0; i < seen->count; i++)
        if (strcmp(seen->lines[i], line) == 0) {
            free(seen->lines[i]);
            seen->lines[i] = seen->lines[--seen->count];
            free(line);
            return;
        }
    fail_msg("SEED=%u: \"%s\" is not in the map before", seed, line);
}

static int compare_lines(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void assert_same(struct seen *a, struct seen *b, uint32_t seed)
{
    qsort(a->lines, a->count, sizeof *a->lines, compare_lines);
    qsort(b->lines, b->count, sizeof *b->lines, compare_lines);
    for (size_t i = 0; i < a->count && i < b->count; i++)
        if (strcmp(a->lines[i], b->lines[i]) != 0)
            fail_msg("SEED=%u: predicted \"%s\", came \"%s\"", seed, a->lines[i], b->lines[i]);
    if (a->count != b->count)
        fail_msg("SEED=%u: %zu fields predicted, %zu came", seed, a->count, b->count);
}

static struct policy *random_policy(void)
{
    return policy_with((struct policy_options){.suspended = draw(5) == 0,
                                               .steward = draw(2),
                                               .absent = draw(5) == 0,
                                               .editors_first = draw(2),
                                               .country = draw(3) == 0});
}

static void what_it_says_comes_true(void **state)
{
    const char *given = getenv("SEED");
    uint32_t seed = given ? (uint32_t)strtoul(given, NULL, 10) : 2026;
    size_t all = 0;
    (void)state;
    for (uint32_t run = 0; run < (given ? 1 : 6); run++) {
        struct world *world = world_new();
        random_state = seed + run;
        struct policy *now = random_policy();
        for (int round = 0; round < 8; round++) {
            for (uint32_t i = draw(14); i > 0; i--)
                random_step(world);
            follow(world, now);
            struct policy *next = random_policy();
            cJSON *result = try_out(world, now, next, 100000, 1 + draw(20)), *change;
            struct seen *predicted = see(world), *came;
            cJSON_ArrayForEach(change, json_get(result, "changes"))
                apply_side(predicted, change, "from", false, seed + run);
            cJSON_ArrayForEach(change, json_get(result, "changes"))
                apply_side(predicted, change, "to", true, seed + run);
            all += (size_t)changed(result, "fields");
            follow(world, next);
            came = see(world);
            assert_same(predicted, came, seed + run);
            seen_free(predicted);
            seen_free(came);
            cJSON_Delete(result);
            policy_release(now);
            now = next;
        }
        policy_release(now);
        world_free(world);
    }
    assert_true(given || all > 100);
}

/* ---- the sums ---- */

static void sums_are_those_of_the_status(void **state)
{
    struct world *world = world_new();
    struct policy *one = policy_with((struct policy_options){0}),
                  *two = policy_with((struct policy_options){.suspended = true});
    cJSON *sums, *status, *later;
    bool more;
    (void)state;
    assert_ok(map_sums(world->map, NOW_MS, &sums, &fault));
    assert_true(cJSON_IsFalse(json_get(sums, "caughtUp")));
    assert_null(json_get(sums, "map"));
    cJSON_Delete(sums);
    say_as(world, true, "organization", ORG, "desk", "editor", "{\"name\":\"De Brug\"}");
    say_as(world, false, "organization", ALIAS, "desk", "editor", "{\"name\":\"De Weg\"}");
    assert_ok(map_follow(world->map, one, TODAY, 1, &more, &fault));
    assert_ok(map_sums(world->map, NOW_MS, &sums, &fault));
    assert_true(more && cJSON_IsFalse(json_get(sums, "caughtUp")));
    assert_non_null(json_get_string(sums, "policy"));
    cJSON_Delete(sums);
    follow(world, one);
    assert_ok(map_sums(world->map, NOW_MS, &sums, &fault));
    assert_ok(map_status(world->map, &status, &fault));
    assert_string_equal(json_get_string(sums, "day"), "2026-11-21");
    assert_string_equal(json_get_string(sums, "time"), "2026-11-21T19:00:00Z");
    for (size_t i = 0; i < 3; i++) {
        static const char *const members[] = {"claimSet", "policy", "map"};
        assert_string_equal(json_get_string(sums, members[i]), json_get_string(status, members[i]));
    }
    cJSON_Delete(status);
    follow(world, two);
    for (int tries = 0;; tries++) { /* soon, if not at once: computing took next to no time */
        assert_ok(map_sums(world->map, NOW_MS + 5000, &later, &fault));
        if (strcmp(json_get_string(later, "policy"), json_get_string(sums, "policy")) != 0)
            break;
        assert_string_equal(json_get_string(later, "map"), json_get_string(sums, "map")); /* of one state */
        assert_true(tries < 500);
        cJSON_Delete(later);
        usleep(10000);
    }
    assert_string_equal(json_get_string(later, "claimSet"), json_get_string(sums, "claimSet"));
    assert_string_not_equal(json_get_string(later, "map"), json_get_string(sums, "map"));
    assert_string_equal(json_get_string(later, "time"), "2026-11-21T19:00:05Z");
    cJSON_Delete(sums);
    cJSON_Delete(later);
    policy_release(one);
    policy_release(two);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(suspending_a_peer),
        cmocka_unit_test(names_what_is_not_held),
        cmocka_unit_test(links_of_a_new_steward),
        cmocka_unit_test(what_it_says_comes_true),
        cmocka_unit_test(sums_are_those_of_the_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
