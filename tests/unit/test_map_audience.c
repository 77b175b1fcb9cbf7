/*
 * test_map_audience.c - a map for each audience over one feeds.db: nothing of one enters another [RES-2], bodies are checked by the rules of
 * their audience [REC-16], files come and go with the audiences, and a restricted feed takes random ids only [ENTRY-15].
 */
#include "store_fixture.h"

#include "daemon/config/audience_config.h"
#include "protocol/identity.h"
#include "protocol/json.h"

#define PROFESSIONALS "professionals"
#define RESTRICTED "nieuwegein.example/professionals"
#define ORG "0b6e3a52-9a3c-4f64-8d0b-3a1f0e0c9a11"
#define PERSON "0b6e3a52-9a3c-4f64-8d0b-3a1f0e0c9a12"
#define TODAY 20778 /* 2026-11-21 */
#define UNNAMED_GROUND "{\"name\":\"De Brug\",\"contacts\":[{\"name\":\"P. Verzonnen\"}]}"

struct world {
    struct fixture *fixture;
    struct signing_key restricted;
    struct maps *maps;
    struct policy *policy;
};

static struct world *world_new(void)
{
    struct world *world = calloc(1, sizeof *world);
    uint8_t seed[ED25519_SIZE];
    static const char *const areas[] = {"GM0356", NULL};
    struct policy_builder *builder = policy_builder_new();
    world->fixture = fixture_new();
    memset(seed, 9, sizeof seed);
    assert_ok(signing_key_from_seed(RESTRICTED, seed, &world->restricted, &fault));
    feeds_allow_signing(world->fixture->feeds, FEED, true, NULL);
    feeds_allow_signing(world->fixture->feeds, RESTRICTED, true, NULL);
    assert_ok(maps_new(world->fixture->directory, true, &world->maps, &fault));
    assert_ok(policy_builder_origin(builder, "nieuwegein.example", areas, NULL, NULL, true, false, &fault));
    assert_ok(policy_builder_finish(builder, &world->policy, &fault));
    policy_builder_free(builder);
    return world;
}

static void world_free(struct world *world)
{
    maps_free(world->maps);
    policy_release(world->policy);
    fixture_free(world->fixture);
    free(world);
}

static struct own_result say_to(struct world *world, bool restricted, const char *kind, const char *id,
                                const char *body)
{
    struct own_result result;
    struct own_claim claim = claim_of(id, body);
    claim.kind = kind;
    claim.salted = restricted;
    assert_ok(feeds_append(world->fixture->feeds, restricted ? RESTRICTED : FEED,
                           restricted ? &world->restricted : &world->fixture->key, 1, NOW_MS, &claim, 1,
                           false, &result, &fault));
    return result;
}

static struct map *map_of(struct world *world, const char *audience)
{
    struct map *map = NULL;
    assert_ok(maps_get(world->maps, audience, &map, &fault));
    return map;
}

static struct map *follow(struct world *world, const char *audience)
{
    bool more = true;
    struct map *map = map_of(world, audience);
    for (int i = 0; more && i < 100; i++)
        assert_ok(map_follow(map, world->policy, TODAY, 2000, &more, &fault));
    assert_false(more);
    return map;
}

/* A member of the map's status, as JSON. */
static void status_of(struct map *map, const char *name, char text[200])
{
    cJSON *status;
    assert_ok(map_status(map, &status, &fault));
    char *member = cJSON_PrintUnformatted(json_get(status, name));
    snprintf(text, 200, "%s", member ? member : "");
    free(member);
    cJSON_Delete(status);
}

static int known(struct map *map, const char *id)
{
    cJSON *got = NULL;
    int code = map_get(map, NULL, id, &got, &fault);
    cJSON_Delete(got);
    return code;
}

static int hits(struct map *map, const char *words)
{
    cJSON *list;
    assert_ok(map_search(map, words, NULL, 20, 0, &list, &fault));
    int count = cJSON_GetArraySize(list);
    cJSON_Delete(list);
    return count;
}

static void a_file_in(const struct world *world, const char *name, char path[128])
{
    snprintf(path, 128, "%s/%s", world->fixture->directory, name);
}

/* ---- tests ---- */

static void nothing_of_another_audience_enters(void **state)
{
    (void)state;
    struct world *world = world_new();
    char before[2][200], after[200];
    static const char *const sums[2] = {"claimSet", "map"};
    say_to(world, false, "organization", ORG, "{\"name\":\"De Brug\"}");
    struct map *public = follow(world, "public");
    for (int i = 0; i < 2; i++)
        status_of(public, sums[i], before[i]);
    say_to(world, true, "professional", PERSON, "{\"name\":\"P. Verzonnen\",\"basis\":\"consent\"}");
    /* the same record, said to another audience, is no claim about the public one */
    say_to(world, true, "organization", ORG,
           "{\"name\":\"De Brug, achterdeur\",\"email\":\"achter@brug.example\"}");
    follow(world, "public");
    for (int i = 0; i < 2; i++) {
        status_of(public, sums[i], after);
        assert_string_equal(before[i], after);
    }
    assert_int_equal(known(public, PERSON), KAART_UNKNOWN);
    assert_int_equal(hits(public, "verzonnen"), 0);
    assert_int_equal(hits(public, "achterdeur"), 0);

    struct map *restricted = follow(world, PROFESSIONALS);
    assert_int_equal(known(restricted, PERSON), KAART_OK);
    assert_int_equal(hits(restricted, "verzonnen"), 1);
    assert_int_equal(hits(restricted, "brug"), 1);
    status_of(restricted, "claims", after);
    assert_string_equal(after, "2");
    status_of(restricted, "records", after);
    assert_string_equal(after, "{\"organization\":1,\"professional\":1}");
    cJSON *got;
    assert_ok(map_why(restricted, world->policy, TODAY, NULL, ORG, &got, &fault));
    const cJSON *field;
    cJSON_ArrayForEach(field, json_get(got, "fields"))
    {
        assert_string_equal(json_get_string(field, "feed"), RESTRICTED);
        assert_int_equal(cJSON_GetArraySize(json_get(field, "others")), 0);
    }
    cJSON_Delete(got);
    say_to(world, true, "professional", PERSON, NULL);
    follow(world, PROFESSIONALS);
    assert_int_equal(known(restricted, PERSON), KAART_UNKNOWN);
    world_free(world);
}

/* [REC-16] A contact's name without a ground is an error in a public feed, a warning elsewhere. */
static void bodies_are_checked_for_their_audience(void **state)
{
    (void)state;
    struct world *world = world_new();
    cJSON *got;
    say_to(world, false, "organization", ORG, UNNAMED_GROUND);
    say_to(world, true, "organization", ORG, UNNAMED_GROUND);
    struct map *public = follow(world, "public"), *restricted = follow(world, PROFESSIONALS);
    assert_int_equal(known(public, ORG), KAART_UNKNOWN);
    assert_int_equal(known(restricted, ORG), KAART_OK);
    assert_ok(map_why(public, world->policy, TODAY, NULL, ORG, &got, &fault));
    const cJSON *entry = cJSON_GetArrayItem(json_get(got, "notCounting"), 0);
    assert_string_equal(json_get_string(entry, "standing"), "invalid-body");
    assert_true(cJSON_GetArraySize(json_get(entry, "errors")) > 0);
    cJSON_Delete(got);
    world_free(world);
}

static void files_come_and_go(void **state)
{
    (void)state;
    struct world *world = world_new();
    struct maps *reader;
    struct map *map;
    char path[128], stray[128], other[128];
    struct audiences both = {0}, one = {0};
    assert_ok(audiences_add(&both, "public"));
    assert_ok(audiences_add(&both, PROFESSIONALS));
    assert_ok(audiences_add(&both, PROFESSIONALS));
    assert_int_equal(both.count, 2);
    assert_ok(audiences_add(&one, "public"));
    a_file_in(world, "map-professionals.db", path);
    a_file_in(world, "map-volunteers.db-wal", stray);
    a_file_in(world, "map-no.txt", other);
    fclose(fopen(stray, "w"));
    fclose(fopen(other, "w"));

    say_to(world, false, "organization", ORG, "{\"name\":\"De Brug\"}");
    assert_ok(maps_new(world->fixture->directory, false, &reader, &fault));
    assert_int_equal(maps_get(reader, PROFESSIONALS, &map, &fault), KAART_BUSY); /* not made yet */
    follow(world, PROFESSIONALS);
    follow(world, "public");
    assert_ok(maps_get(reader, PROFESSIONALS, &map, &fault));
    assert_int_equal(known(map, ORG), KAART_UNKNOWN);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(maps_get(reader, "../public", &map, &fault), KAART_INVALID);

    assert_ok(maps_keep(world->maps, &both, &fault));
    assert_int_equal(access(path, F_OK), 0);
    assert_int_not_equal(access(stray, F_OK), 0);
    assert_ok(maps_keep(world->maps, &one, &fault));
    assert_ok(maps_keep(reader, &one, &fault));
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_equal(access(other, F_OK), 0); /* no map: not ours */
    assert_int_equal(known(map_of(world, "public"), ORG), KAART_OK);
    assert_int_equal(maps_get(reader, PROFESSIONALS, &map, &fault), KAART_BUSY);
    assert_ok(maps_get(reader, "public", &map, &fault));
    assert_int_equal(known(map, ORG), KAART_OK);
    maps_free(reader);
    world_free(world);
}

/* A file that somebody put in the place of the public map keeps nothing of where it came from. */
static void a_moved_file_is_emptied(void **state)
{
    (void)state;
    struct world *world = world_new();
    char from[128], to[128];
    say_to(world, false, "organization", ORG, "{\"name\":\"De Brug\"}");
    say_to(world, true, "professional", PERSON, "{\"name\":\"P. Verzonnen\",\"basis\":\"consent\"}");
    follow(world, PROFESSIONALS);
    maps_free(world->maps);
    a_file_in(world, "map-professionals.db", from);
    a_file_in(world, "map.db", to);
    assert_int_equal(rename(from, to), 0);
    assert_ok(maps_new(world->fixture->directory, true, &world->maps, &fault));
    struct map *public = follow(world, "public");
    assert_int_equal(known(public, PERSON), KAART_UNKNOWN);
    assert_int_equal(hits(public, "verzonnen"), 0);
    assert_int_equal(known(public, ORG), KAART_OK);
    world_free(world);
}

static void a_restricted_feed_takes_random_ids(void **state)
{
    (void)state;
    struct world *world = world_new();
    char named[UUID_TEXT_SIZE + 1], body[256];
    assert_ok(identity_of_identifier("kvk", "90006623", named));
    assert_false(uuid_is_random(named));
    assert_true(uuid_is_random(PERSON));
    struct own_result result = say_to(world, true, "organization", named, "{\"name\":\"De Brug\"}");
    assert_int_equal(result.outcome, OWN_REFUSED);
    assert_non_null(strstr(result.fault.text, "[ENTRY-15]"));
    assert_int_equal(say_to(world, false, "organization", named, "{\"name\":\"De Brug\"}").outcome,
                     OWN_ADDED);
    assert_int_equal(say_to(world, true, "organization", named, NULL).outcome, OWN_ABSENT);
    assert_ok(identity_of_confirmation("nieuwegein.example", "desk", named));
    assert_int_equal(say_to(world, true, "confirmation", named, "{\"listed\":1}").outcome, OWN_ADDED);
    assert_ok(identity_of_pair(ORG, PERSON, named));
    snprintf(body, sizeof body, "{\"type\":\"same-as\",\"from_id\":\"%s\",\"to_id\":\"%s\"}", ORG, PERSON);
    assert_int_equal(say_to(world, true, "relation", named, body).outcome, OWN_ADDED);
    assert_ok(identity_of_confirmation("nieuwegein.example", "other", named));
    assert_int_equal(say_to(world, true, "relation", named, body).outcome, OWN_REFUSED);
    world_free(world);
}

static void the_configuration_names_them(void **state)
{
    (void)state;
    struct audiences audiences;
    struct config_feed feeds[1] = {{.audience = (char *)"professionals"}};
    struct verifier_key keys[AUDIENCES_MAX + 1];
    memset(keys, 0, sizeof keys);
    snprintf(keys[0].name, sizeof keys[0].name, "houten.example/public");
    for (int i = 1; i <= AUDIENCES_MAX; i++)
        snprintf(keys[i].name, sizeof keys[i].name, "houten.example/circle-%d", i);
    struct config_peer peers[1] = {{.feed_keys = keys, .feed_key_count = 2}};
    struct config config = {.feeds = feeds, .feed_count = 0, .peers = peers, .peer_count = 0};
    assert_ok(audiences_from_config(&config, &audiences));
    assert_int_equal(audiences.count, 1);
    config.feed_count = config.peer_count = 1;
    assert_ok(audiences_from_config(&config, &audiences));
    assert_int_equal(audiences.count, 3);
    assert_string_equal(audiences.names[0], "public");
    assert_true(audiences_have(&audiences, "professionals"));
    assert_true(audiences_have(&audiences, "circle-1"));
    assert_false(audiences_have(&audiences, "circle"));
    peers[0].feed_key_count = AUDIENCES_MAX + 1;
    assert_int_equal(audiences_from_config(&config, &audiences), KAART_LIMIT);
    assert_int_equal(audiences.count, AUDIENCES_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_of_another_audience_enters),
        cmocka_unit_test(bodies_are_checked_for_their_audience),
        cmocka_unit_test(files_come_and_go),
        cmocka_unit_test(a_moved_file_is_emptied),
        cmocka_unit_test(a_restricted_feed_takes_random_ids),
        cmocka_unit_test(the_configuration_names_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
