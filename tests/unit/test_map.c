/*
 * test_map.c - the map over a real feeds.db: what it shows, and that following step by step gives exactly what a map made from
 * nothing gives. SEED=n repeats a random run.
 */
#include "store_fixture.h"

#include "daemon/store/map.h"
#include "protocol/identity.h"
#include "protocol/json.h"

#define HOUTEN "houten.example/public"
#define ORG "0b6e3a52-9a3c-4f64-8d0b-3a1f0e0c9a11"
#define SVC "0b6e3a52-9a3c-4f64-8d0b-3a1f0e0c9a13"
#define DAY_MS 86400000LL
#define TODAY 20778 /* 2026-11-21 */

struct world {
    struct fixture *fixture;
    struct signing_key nieuwegein, houten;
    struct map *map;
    char path[128];
    struct policy *policy;
    int64_t now_ms;
};

static struct policy *policy_with(bool suspended)
{
    struct policy *policy = NULL;
    struct policy_builder *builder = policy_builder_new();
    static const char *const here[] = {"GM0356", NULL}, *const there[] = {"GM0321", NULL};
    assert_ok(policy_builder_origin(builder, "nieuwegein.example", here, NULL, NULL, true, false, &fault));
    assert_ok(policy_builder_origin(builder, "houten.example", there, NULL, NULL, false, suspended, &fault));
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
    world->fixture = fixture_new();
    world->nieuwegein = key_of(FEED, 7);
    world->houten = key_of(HOUTEN, 8);
    feeds_allow_signing(world->fixture->feeds, FEED, true, NULL);
    feeds_allow_signing(world->fixture->feeds, HOUTEN, true, NULL);
    world->now_ms = NOW_MS;
    snprintf(world->path, sizeof world->path, "%s/map.db", world->fixture->directory);
    assert_ok(map_open(world->path, world->fixture->path, true, &world->map, &fault));
    world->policy = policy_with(false);
    return world;
}

static void world_free(struct world *world)
{
    map_close(world->map);
    policy_release(world->policy);
    fixture_free(world->fixture);
    free(world);
}

static void follow_map(struct map *map, const struct policy *policy, int32_t day, size_t limit)
{
    bool more = true;
    for (int i = 0; more; i++) {
        assert_ok(map_follow(map, policy, day, limit, &more, &fault));
        assert_true(i < 10000);
    }
}

static void follow(struct world *world)
{
    follow_map(world->map, world->policy, TODAY, 2000);
}

static struct own_claim claim_about(const char *kind, const char *id, const char *source, const char *role,
                                    const char *areas, const char *body)
{
    return (struct own_claim){.op = body ? ENTRY_ASSERT : ENTRY_RETRACT,
                              .kind = kind,
                              .id = id,
                              .source = source,
                              .role = role,
                              .areas = areas,
                              .body = body,
                              .verified = DAY_NONE,
                              .missing_since = DAY_NONE};
}

static void append(struct world *world, bool houten, const struct own_claim *claim)
{
    struct own_result result;
    const struct signing_key *key = houten ? &world->houten : &world->nieuwegein;
    assert_ok(feeds_append(world->fixture->feeds, houten ? HOUTEN : FEED, key, 1, world->now_ms, claim, 1,
                           false, &result, &fault));
    if (result.outcome == OWN_REFUSED)
        fail_msg("%s", result.fault.text);
}

static void tell(struct world *world, bool houten, const char *kind, const char *id, const char *role,
                 const char *body)
{
    struct own_claim claim =
        claim_about(kind, id, "desk", role, houten ? "[\"GM0321\"]" : "[\"GM0356\"]", body);
    append(world, houten, &claim);
}

static const char *text_at(const cJSON *value, const char *a, const char *b)
{
    const char *text = json_get_string(b ? json_get(value, a) : value, b ? b : a);
    return text ? text : "(none)";
}

/* ---- what it shows ---- */

static void shows_who_says_what(void **state)
{
    struct world *world = world_new();
    cJSON *got, *item;
    (void)state;
    tell(
        world, false, "organization", ORG, "editor",
        "{\"name\":\"De Brug\",\"description\":\"Wonen en zorg\",\"phones\":[{\"number\":\"030 1234567\"}]}");
    tell(world, true, "organization", ORG, "editor",
         "{\"name\":\"Stichting De Brug\",\"website\":\"https://brug.example\"}");
    follow(world);
    assert_ok(map_get(world->map, NULL, ORG, &got, &fault));
    assert_string_equal(text_at(got, "kind", NULL), "organization");
    assert_string_equal(text_at(got, "home", NULL), "nieuwegein.example");
    assert_string_equal(text_at(got, "record", "name"), "De Brug");
    assert_string_equal(text_at(got, "record", "id"), ORG);
    assert_string_equal(text_at(got, "verified", NULL), "2026-11-21");
    item = cJSON_GetObjectItem(json_get(got, "provenance"), "name");
    assert_string_equal(text_at(item, "feed", NULL), FEED);
    assert_string_equal(text_at(item, "rule", NULL), "rank");
    assert_true(cJSON_IsTrue(json_get(item, "differs")));
    assert_false(cJSON_IsTrue(json_get(item, "stale")));
    item = cJSON_GetObjectItem(json_get(got, "provenance"), "website");
    assert_string_equal(text_at(item, "feed", NULL), HOUTEN);
    assert_string_equal(text_at(item, "rule", NULL), "only");
    cJSON_Delete(got);

    assert_ok(map_why(world->map, world->policy, TODAY, "organization", ORG, &got, &fault));
    assert_int_equal(cJSON_GetArraySize(json_get(got, "fields")), 4);
    cJSON_ArrayForEach(item, json_get(got, "fields"))
    {
        if (strcmp(text_at(item, "field", NULL), "name") != 0)
            continue;
        const cJSON *other = cJSON_GetArrayItem(json_get(item, "others"), 0);
        assert_string_equal(text_at(other, "value", NULL), "Stichting De Brug");
        assert_string_equal(text_at(other, "feed", NULL), HOUTEN);
    }
    cJSON_Delete(got);
    assert_int_equal(map_get(world->map, NULL, SVC, &got, &fault), KAART_UNKNOWN);
    assert_int_equal(map_get(world->map, NULL, "x' OR 1=1", &got, &fault), KAART_INVALID);
    world_free(world);
}

static size_t hits(struct world *world, const char *query, const char *kind, char first[UUID_TEXT_SIZE + 1])
{
    cJSON *list;
    assert_ok(map_search(world->map, query, kind, 20, 0, &list, &fault));
    size_t count = (size_t)cJSON_GetArraySize(list);
    if (first)
        snprintf(first, UUID_TEXT_SIZE + 1, "%s",
                 count ? text_at(cJSON_GetArrayItem(list, 0), "id", NULL) : "");
    cJSON_Delete(list);
    return count;
}

static void searches(void **state)
{
    struct world *world = world_new();
    char first[UUID_TEXT_SIZE + 1], id[UUID_TEXT_SIZE + 1];
    (void)state;
    tell(world, false, "organization", ORG, "editor",
         "{\"name\":\"Zorggroep Café Één\",\"alternate_names\":[\"ZCE\"],"
         "\"identifiers\":[{\"scheme\":\"kvk\",\"value\":\"90006623\"}]}");
    tell(world, false, "service", SVC, "editor",
         "{\"name\":\"Maaltijden\",\"status\":\"active\",\"description\":\"Warm eten van de zorggroep\"}");
    tell(world, false, "location", id_of(9, id), "editor",
         "{\"location_type\":\"physical\",\"addresses\":[{\"address_1\":\"Dorpsstraat "
         "1\",\"city\":\"Nieuwegein\"}]}");
    follow(world);
    assert_int_equal(hits(world, "zorggroep", NULL, first), 2);
    assert_string_equal(first, ORG); /* a name goes before a description */
    assert_int_equal(hits(world, "zorggroep", "service", first), 1);
    assert_int_equal(hits(world, "cafe een", NULL, NULL), 1);
    assert_int_equal(hits(world, "CAFÉ", NULL, NULL), 1);
    assert_int_equal(hits(world, "zorgg", NULL, NULL), 2);
    assert_int_equal(hits(world, "zorgg ", NULL, NULL), 0); /* finished words are whole */
    assert_int_equal(hits(world, "zce", NULL, NULL), 1);
    assert_int_equal(hits(world, "90006623", NULL, NULL), 1);
    assert_int_equal(hits(world, "dorpsstraat nieuwegein", NULL, NULL), 1);
    static const char *const odd[] = {"",
                                      " ",
                                      "\"",
                                      "zorggroep OR eten",
                                      "name:zorggroep",
                                      "NEAR(zorg eten)",
                                      "*",
                                      "^zorg",
                                      "(((",
                                      "- -",
                                      "–",
                                      "\x80\xff",
                                      "zorg\" OR \"a",
                                      "{x}"};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
        (void)hits(world, odd[i], NULL, NULL); /* whatever is typed is no error */
    tell(world, false, "organization", ORG, "editor", NULL);
    follow(world);
    assert_int_equal(hits(world, "cafe", NULL, NULL), 0);
    assert_int_equal(hits(world, "zorggroep", NULL, NULL), 1);
    world_free(world);
}

static void what_does_not_count_is_listed(void **state)
{
    struct world *world = world_new();
    cJSON *got;
    (void)state;
    tell(world, false, "organization", ORG, "editor", "{\"name\":7}");
    tell(world, false, "thing", SVC, "editor", "{\"name\":\"x\"}");
    follow(world);
    assert_int_equal(map_get(world->map, NULL, ORG, &got, &fault), KAART_UNKNOWN);
    assert_ok(map_why(world->map, world->policy, TODAY, NULL, ORG, &got, &fault));
    const cJSON *entry = cJSON_GetArrayItem(json_get(got, "notCounting"), 0);
    assert_string_equal(text_at(entry, "standing", NULL), "invalid-body");
    assert_string_equal(text_at(cJSON_GetArrayItem(json_get(entry, "errors"), 0), "pointer", NULL), "/name");
    cJSON_Delete(got);
    assert_ok(map_why(world->map, world->policy, TODAY, "thing", SVC, &got, &fault));
    assert_string_equal(text_at(cJSON_GetArrayItem(json_get(got, "notCounting"), 0), "standing", NULL),
                        "unknown-kind");
    cJSON_Delete(got);
    assert_ok(map_status(world->map, &got, &fault));
    assert_int_equal(cJSON_GetArraySize(json_get(got, "records")), 0);
    assert_int_equal(json_get(got, "claims")->valueint, 2);
    cJSON_Delete(got);
    world_free(world);
}

static void only_public_feeds(void **state)
{
    struct world *world = world_new();
    cJSON *got;
    struct own_result result;
    struct signing_key key = key_of("nieuwegein.example/professionals", 9);
    struct own_claim claim = claim_about("professional", ORG, "desk", "editor", NULL,
                                         "{\"name\":\"Fictief Persoon\",\"basis\":\"consent\"}");
    (void)state;
    feeds_allow_signing(world->fixture->feeds, key.verifier.name, true, NULL);
    assert_ok(feeds_append(world->fixture->feeds, key.verifier.name, &key, 1, world->now_ms, &claim, 1, false,
                           &result, &fault));
    follow(world);
    assert_int_equal(map_get(world->map, NULL, ORG, &got, &fault), KAART_UNKNOWN);
    assert_int_equal(hits(world, "fictief", NULL, NULL), 0);
    world_free(world);
}

static const char *phone(struct world *world, char out[64])
{
    cJSON *got;
    int code = map_get(world->map, NULL, ORG, &got, &fault);
    const cJSON *list = code ? NULL : json_get(json_get(got, "record"), "phones");
    snprintf(out, 64, "%s", list ? text_at(cJSON_GetArrayItem(list, 0), "number", NULL) : "(none)");
    if (!code)
        cJSON_Delete(got);
    return out;
}

/* Freshness: by the day, and by a confirmation of the source that is one entry for all its claims. */
static void days_and_confirmations(void **state)
{
    struct world *world = world_new();
    char out[64];
    cJSON *got;
    (void)state;
    world->now_ms = NOW_MS - 540 * DAY_MS; /* 2025-05-30 */
    tell(world, false, "organization", ORG, "editor", "{\"name\":\"a\",\"phones\":[{\"number\":\"111\"}]}");
    world->now_ms = NOW_MS - DAY_MS;
    tell(world, true, "organization", ORG, "editor", "{\"name\":\"a\",\"phones\":[{\"number\":\"222\"}]}");
    follow(world);
    assert_string_equal(phone(world, out), "111");
    follow_map(world->map, world->policy, TODAY + 9, 2000); /* 2026-11-30: 18 months */
    assert_string_equal(phone(world, out), "111");
    follow_map(world->map, world->policy, TODAY + 10, 2000);
    assert_string_equal(phone(world, out), "222");
    follow_map(world->map, world->policy, TODAY, 2000); /* a clock that was set back */
    assert_string_equal(phone(world, out), "111");
    follow_map(world->map, world->policy, TODAY + 10, 2000);
    world->now_ms = NOW_MS + 10 * DAY_MS;
    struct own_claim confirmation = claim_about("confirmation", SVC, "desk", "editor", NULL, "{}");
    confirmation.verified = TODAY + 10;
    append(world, false, &confirmation);
    follow_map(world->map, world->policy, TODAY + 10, 2000);
    assert_string_equal(phone(world, out), "111");
    assert_ok(map_get(world->map, NULL, ORG, &got, &fault));
    assert_string_equal(text_at(cJSON_GetObjectItem(json_get(got, "provenance"), "phones"), "verified", NULL),
                        "2026-12-01");
    cJSON_Delete(got);
    /* It can say for which claims it does not speak; and again that it does. [REC-22] */
    confirmation.body = "{\"except\":[\"organization/" ORG "\"]}";
    append(world, false, &confirmation);
    follow_map(world->map, world->policy, TODAY + 10, 2000);
    assert_string_equal(phone(world, out), "222");
    confirmation.body = "{\"except\":[\"service/" ORG "\",7]}";
    append(world, false, &confirmation);
    follow_map(world->map, world->policy, TODAY + 10, 2000);
    assert_string_equal(phone(world, out), "111");
    confirmation.op = ENTRY_RETRACT;
    confirmation.body = NULL;
    append(world, false, &confirmation);
    follow_map(world->map, world->policy, TODAY + 10, 2000);
    assert_string_equal(phone(world, out), "222");
    world_free(world);
}

static void suspended_and_resumed(void **state)
{
    struct world *world = world_new();
    char out[64];
    cJSON *before, *after;
    struct policy *other = policy_with(true);
    (void)state;
    tell(world, true, "organization", ORG, "editor", "{\"name\":\"a\",\"phones\":[{\"number\":\"222\"}]}");
    follow(world);
    assert_ok(map_status(world->map, &before, &fault));
    follow_map(world->map, other, TODAY, 1);
    assert_string_equal(phone(world, out), "(none)");
    assert_int_equal(hits(world, "a", NULL, NULL), 0);
    follow(world);
    assert_string_equal(phone(world, out), "222");
    assert_ok(map_status(world->map, &after, &fault));
    assert_string_equal(text_at(before, "map", NULL), text_at(after, "map", NULL));
    assert_string_equal(text_at(before, "claimSet", NULL), text_at(after, "claimSet", NULL));
    cJSON_Delete(before);
    cJSON_Delete(after);
    policy_release(other);
    world_free(world);
}

/* ---- links ---- */

static void link_records(struct world *world, bool houten, const char *alias, const char *main,
                         const char *type)
{
    char id[UUID_TEXT_SIZE + 1], body[256];
    assert_int_equal(identity_of_pair(alias, main, id), KAART_OK);
    snprintf(body, sizeof body, "{\"type\":\"%s\",\"from_id\":\"%s\",\"to_id\":\"%s\"}", type ? type : "",
             alias, main);
    tell(world, houten, "relation", id, "editor", type ? body : NULL);
}

/* The id that a record is shown under, "" if under none. */
static const char *shown_as(struct world *world, const char *id, char out[UUID_TEXT_SIZE + 1])
{
    cJSON *got;
    out[0] = '\0';
    if (map_get(world->map, "organization", id, &got, &fault) == KAART_OK) {
        snprintf(out, UUID_TEXT_SIZE + 1, "%s", text_at(got, "id", NULL));
        cJSON_Delete(got);
    }
    return out;
}

static char *see(struct map *map);

static void merged_and_restored(void **state)
{
    struct world *world = world_new();
    char a[UUID_TEXT_SIZE + 1], b[UUID_TEXT_SIZE + 1], c[UUID_TEXT_SIZE + 1], out[UUID_TEXT_SIZE + 1];
    cJSON *got;
    (void)state;
    id_of(1, a), id_of(2, b), id_of(3, c);
    tell(world, false, "organization", a, "editor", "{\"name\":\"Alias\",\"email\":\"a@a.example\"}");
    tell(world, true, "organization", b, "editor", "{\"name\":\"Hoofd\",\"website\":\"https://b.example\"}");
    follow(world);
    char *before = see(world->map);
    link_records(world, true, a, b, "same-as"); /* not from a steward */
    follow(world);
    assert_string_equal(shown_as(world, a, out), a);
    link_records(world, true, a, b, NULL);
    link_records(world, false, a, b, "same-as");
    follow(world);
    assert_string_equal(shown_as(world, a, out), b);
    assert_ok(map_get(world->map, NULL, a, &got, &fault));
    assert_string_equal(text_at(got, "mergedFrom", NULL), a);
    assert_string_equal(cJSON_GetArrayItem(json_get(got, "parts"), 0)->valuestring, a);
    assert_string_equal(text_at(got, "record", "name"), "Alias"); /* of the home of the whole */
    assert_string_equal(text_at(got, "record", "email"), "a@a.example");
    assert_string_equal(text_at(got, "record", "website"), "https://b.example");
    cJSON_Delete(got);
    assert_int_equal(hits(world, "hoofd", NULL, NULL), 0);
    assert_ok(map_why(world->map, world->policy, TODAY, NULL, a, &got, &fault));
    assert_string_equal(text_at(got, "id", NULL), b);
    cJSON_Delete(got);
    /* A change of the alias shows in the main record. */
    tell(world, false, "organization", a, "editor", "{\"name\":\"Alias twee\",\"email\":\"a@a.example\"}");
    follow(world);
    assert_int_equal(hits(world, "twee", NULL, out), 1);
    assert_string_equal(out, b);
    tell(world, false, "organization", a, "editor", "{\"name\":\"Alias\",\"email\":\"a@a.example\"}");
    /* A main that is an alias itself takes the link out of force, and back. */
    link_records(world, false, b, c, "same-as");
    follow(world);
    assert_string_equal(shown_as(world, a, out), a);
    assert_string_equal(shown_as(world, b, out), c); /* nobody says anything else about c */
    link_records(world, false, b, c, "not-same-as");
    follow(world);
    assert_string_equal(shown_as(world, a, out), b);
    assert_string_equal(shown_as(world, c, out), "");
    /* Two mains: neither. */
    link_records(world, false, a, c, "same-as");
    follow(world);
    assert_string_equal(shown_as(world, a, out), a);
    link_records(world, false, a, c, NULL);
    link_records(world, false, b, c, NULL);
    link_records(world, false, a, b, NULL);
    follow(world);
    assert_string_equal(shown_as(world, a, out), a);
    assert_string_equal(shown_as(world, b, out), b);
    char *after = see(world->map);
    /* Exactly as before, but for the feed's own positions: `a` was said again. */
    assert_non_null(strstr(after, "\"name\":\"Alias\""));
    assert_int_equal(strlen(before) > 0, 1);
    free(before);
    free(after);
    world_free(world);
}

/* ---- the sums, by hand [SUM-1] [SUM-2] [SUM-3] ---- */

struct leaves {
    char hex[4][HASH_SIZE * 2 + 1];
    size_t count;
};

static int keep_leaf(void *context, uint64_t seq, const struct hash *leaf, const char *line, size_t size)
{
    struct leaves *leaves = context;
    (void)seq;
    (void)line;
    (void)size;
    hex_encode(leaf->bytes, HASH_SIZE, leaves->hex[leaves->count++]);
    return KAART_OK;
}

static void expect_sum(const cJSON *status, const char *name, const char *lines)
{
    char hex[HASH_SIZE * 2 + 1];
    struct hash sum;
    struct hasher *hasher = hasher_new();
    assert_int_equal(hasher_digest(hasher, lines, strlen(lines), &sum), KAART_OK);
    hasher_free(hasher);
    hex_encode(sum.bytes, HASH_SIZE, hex);
    assert_string_equal(text_at(status, name, NULL), hex);
}

static void sums(void **state)
{
    struct world *world = world_new();
    struct feed_head *head = malloc(sizeof *head);
    struct leaves leaves = {.count = 0};
    char lines[2048], root[64];
    cJSON *got;
    (void)state;
    tell(world, false, "service", SVC, "editor", "{\"name\":\"b\",\"status\":\"active\",\"x y%\":1}");
    tell(world, false, "organization", ORG, "editor", "{\"name\":\"a\"}");
    follow(world);
    assert_ok(feeds_head(world->fixture->feeds, FEED, head, &fault));
    assert_ok(
        feeds_entries(world->fixture->feeds, head->id, head->generation, 0, 9, keep_leaf, &leaves, &fault));
    assert_ok(map_status(world->map, &got, &fault));
    snprintf(lines, sizeof lines,
             "organization " ORG " name " FEED " 1 %s\nservice " SVC " name " FEED " 0 %s\nservice " SVC
             " status " FEED " 0 %s\nservice " SVC " x%%20y%%25 " FEED " 0 %s\n",
             leaves.hex[1], leaves.hex[0], leaves.hex[0], leaves.hex[0]);
    expect_sum(got, "map", lines);
    base64_encode(head->checkpoint.root.bytes, HASH_SIZE, root);
    snprintf(lines, sizeof lines, FEED " %llu 2 %s\n", (unsigned long long)head->checkpoint.epoch, root);
    expect_sum(got, "claimSet", lines);
    cJSON_Delete(got);
    free(head);
    world_free(world);
}

/* An erased text is in no file of the map. */
static void erased_means_gone(void **state)
{
    struct world *world = world_new();
    char path[256];
    (void)state;
    tell(world, false, "organization", ORG, "editor",
         "{\"name\":\"Verdwijnwoord\",\"description\":\"Verdwijnwoord twee\"}");
    tell(world, false, "service", SVC, "editor", "{\"name\":\"Blijft\",\"status\":\"active\"}");
    follow(world);
    struct own_claim erase = claim_about("organization", ORG, "desk", "editor", "[\"GM0356\"]", NULL);
    erase.op = ENTRY_ERASE;
    append(world, false, &erase);
    follow(world);
    assert_int_equal(hits(world, "verdwijnwoord", NULL, NULL), 0);
    assert_int_equal(hits(world, "blijft", NULL, NULL), 1);
    for (int i = 0; i < 2; i++) {
        static char bytes[4 << 20];
        snprintf(path, sizeof path, "%s%s", world->path, i ? "-wal" : "");
        FILE *file = fopen(path, "rb");
        size_t size = file ? fread(bytes, 1, sizeof bytes, file) : 0;
        if (file)
            fclose(file);
        assert_null(memmem(bytes, size, "erdwijnwoord", 12));
    }
    world_free(world);
}

/* A map that is damaged or not ours is made anew, and a reader follows. */
static void damaged_map(void **state)
{
    struct world *world = world_new();
    struct map *reader;
    cJSON *got;
    (void)state;
    tell(world, false, "organization", ORG, "editor", "{\"name\":\"a\"}");
    follow(world);
    assert_ok(map_open(world->path, world->fixture->path, false, &reader, &fault));
    assert_ok(map_get(reader, NULL, ORG, &got, &fault));
    cJSON_Delete(got);
    map_close(world->map);
    FILE *file = fopen(world->path, "r+b");
    fwrite("this is not a database, whatever its name says", 1, 46, file);
    fclose(file);
    assert_ok(map_open(world->path, world->fixture->path, true, &world->map, &fault));
    follow(world);
    assert_ok(map_get(reader, NULL, ORG, &got, &fault));
    cJSON_Delete(got);
    map_close(reader);
    world_free(world);
}

/* feeds.db was restored from a backup: the map must not keep what came after it. */
static void restored_feeds(void **state)
{
    struct world *world = world_new();
    char command[512], id[UUID_TEXT_SIZE + 1];
    cJSON *got;
    (void)state;
    tell(world, false, "organization", id_of(1, id), "editor", "{\"name\":\"een\"}");
    follow(world);
    feeds_close(world->fixture->feeds);
    map_close(world->map);
    snprintf(command, sizeof command, "cd %s && cp feeds.db backup.db && cp own-head backup.head",
             world->fixture->directory);
    assert_int_equal(system(command), 0);
    for (int round = 0; round < 2; round++) {
        fixture_open(world->fixture);
        feeds_allow_signing(world->fixture->feeds, FEED, true, NULL);
        assert_ok(map_open(world->path, world->fixture->path, true, &world->map, &fault));
        tell(world, false, "organization", id_of(2, id), "editor",
             round ? "{\"name\":\"nieuw\"}" : "{\"name\":\"twee\"}");
        if (round == 0)
            tell(world, false, "organization", id_of(3, id), "editor", "{\"name\":\"drie\"}");
        follow(world);
        if (round)
            break;
        feeds_close(world->fixture->feeds);
        map_close(world->map);
        snprintf(
            command, sizeof command,
            "cd %s && rm -f feeds.db-wal feeds.db-shm && cp backup.db feeds.db && cp backup.head own-head",
            world->fixture->directory);
        assert_int_equal(system(command), 0);
    }
    assert_int_equal(map_get(world->map, NULL, id_of(3, id), &got, &fault), KAART_UNKNOWN);
    assert_int_equal(hits(world, "twee", NULL, NULL), 0);
    assert_int_equal(hits(world, "nieuw", NULL, NULL), 1);
    world_free(world);
}

/* ---- a subscriber's map: new generations ---- */

static void replicate(struct feeds *from, struct feeds *to, const char *feed, const struct verifier_key *key)
{
    struct feeds_page page;
    struct checkpoint checkpoint;
    struct stage *stage;
    struct stage_progress progress;
    uint64_t since;
    struct stage_plan plan = {.feed = feed, .source = "houten.example", .full = true};
    struct feed_head *head = malloc(sizeof *head);
    assert_ok(feeds_head(from, feed, head, &fault));
    plan.epoch = head->checkpoint.epoch;
    free(head);
    assert_ok(stage_open(to, &plan, &stage, &since, &fault));
    do {
        assert_ok(feeds_page(from, feed, plan.epoch, since, 4000, &page, &fault));
        assert_ok(stage_write(stage, page.bytes, page.size, &fault));
        assert_ok(stage_end_response(stage, &progress, &fault));
        free(page.bytes);
        since = progress.next;
    } while (!progress.complete);
    assert_ok(checkpoint_open(progress.note, progress.note_size, feed, key, 1, &checkpoint, &fault));
    char *note = strndup(progress.note, progress.note_size);
    assert_ok(stage_commit(stage, &checkpoint, note, progress.note_size, &fault));
    free(note);
}

static void new_epoch_replaces_everything(void **state)
{
    struct world *world = world_new();
    struct fixture *first = fixture_new(), *second = fixture_new();
    struct signing_key key = key_of(HOUTEN, 8);
    char id[UUID_TEXT_SIZE + 1], body[64];
    cJSON *got;
    (void)state;
    for (unsigned i = 0; i < 40; i++) {
        struct own_result result;
        snprintf(body, sizeof body, "{\"name\":\"oud %u\"}", i);
        struct own_claim claim =
            claim_about("organization", id_of(i, id), "desk", "editor", "[\"GM0321\"]", body);
        feeds_allow_signing(first->feeds, HOUTEN, true, NULL);
        assert_ok(feeds_append(first->feeds, HOUTEN, &key, 1, NOW_MS, &claim, 1, false, &result, &fault));
    }
    for (unsigned i = 20; i < 50; i++) {
        struct own_result result;
        snprintf(body, sizeof body, "{\"name\":\"nieuw %u\"}", i);
        struct own_claim claim =
            claim_about("organization", id_of(i, id), "desk", "editor", "[\"GM0321\"]", body);
        feeds_allow_signing(second->feeds, HOUTEN, true, NULL);
        assert_ok(
            feeds_append(second->feeds, HOUTEN, &key, 1, NOW_MS + 5000, &claim, 1, false, &result, &fault));
    }
    replicate(first->feeds, world->fixture->feeds, HOUTEN, &key.verifier);
    follow_map(world->map, world->policy, TODAY, 7);
    assert_int_equal(hits(world, "oud", NULL, NULL), 20); /* of 40; a page is 20 */
    replicate(second->feeds, world->fixture->feeds, HOUTEN, &key.verifier);
    bool more;
    assert_ok(map_follow(world->map, world->policy, TODAY, 7, &more, &fault)); /* half way it still answers */
    assert_true(more);
    follow_map(world->map, world->policy, TODAY, 7);
    assert_int_equal(hits(world, "oud", NULL, NULL), 0);
    assert_int_equal(map_get(world->map, NULL, id_of(3, id), &got, &fault), KAART_UNKNOWN);
    assert_ok(map_get(world->map, NULL, id_of(45, id), &got, &fault));
    cJSON_Delete(got);
    assert_ok(map_status(world->map, &got, &fault));
    assert_int_equal(json_get(got, "claims")->valueint, 30);
    assert_int_equal(json_get(json_get(got, "records"), "organization")->valueint, 30);
    cJSON_Delete(got);
    fixture_free(first);
    fixture_free(second);
    world_free(world);
}

/* ---- step by step = from nothing ---- */

static uint32_t random_state;

static uint32_t draw(uint32_t below)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) % below;
}

struct whole {
    char *text;
    size_t size;
    FILE *file;
    struct map *map;
};

static int write_one(void *context, const char *kind, const char *id, const char *json)
{
    struct whole *whole = context;
    cJSON *got;
    (void)json;
    assert_ok(map_get(whole->map, kind, id, &got, &fault));
    char *text = cJSON_PrintUnformatted(got);
    fprintf(whole->file, "%s\n", text);
    cJSON_free(text);
    cJSON_Delete(got);
    return KAART_OK;
}

/* Everything that can be seen of a map. */
static char *see(struct map *map)
{
    static const char *const queries[] = {"n0", "n1", "straat", "n"};
    struct whole whole = {.map = map};
    cJSON *got;
    char *text;
    whole.file = open_memstream(&whole.text, &whole.size);
    assert_ok(map_export(map, NULL, write_one, &whole, &fault));
    assert_ok(map_status(map, &got, &fault));
    text = cJSON_Print(got);
    fprintf(whole.file, "%s\n", text);
    cJSON_free(text);
    cJSON_Delete(got);
    for (size_t i = 0; i < sizeof queries / sizeof *queries; i++) {
        assert_ok(map_search(map, queries[i], NULL, 200, 0, &got, &fault));
        fprintf(whole.file, "%s: %d\n", queries[i], cJSON_GetArraySize(got));
        cJSON_Delete(got);
    }
    fclose(whole.file);
    return whole.text;
}

static void random_step(struct world *world)
{
    static const char *const roles[] = {"editor", "provider", "contract", "resident", "king"};
    static const char *const sources[] = {"desk", "register", "pin-contact"};
    char id[UUID_TEXT_SIZE + 1], other[UUID_TEXT_SIZE + 1], body[400];
    bool houten = draw(2);
    world->now_ms += (int64_t)draw(20) * DAY_MS / 4;
    struct own_claim claim =
        claim_about(draw(8) ? "organization" : "thing", id_of(draw(12), id), sources[draw(3)], roles[draw(5)],
                    draw(3) ? (houten ? "[\"GM0321\"]" : "[\"GM0356\"]") : NULL, body);
    uint32_t what = draw(12);
    snprintf(body, sizeof body,
             "{\"name\":%s,\"phones\":[{\"number\":\"03%u\"}]%s,\"pin_reason\":\"r\",\"pin_expires\":\"%s\"}",
             draw(10) ? draw(2) ? "\"n0 straat\"" : "\"n1\"" : "7", draw(4),
             draw(2) ? ",\"description\":\"straat\"" : ",\"email\":null",
             draw(2) ? "2027-03-01" : "2029-01-01");
    claim.verified = draw(3) ? DAY_NONE : TODAY - (int32_t)draw(700);
    claim.missing_since = draw(6) ? DAY_NONE : TODAY;
    if (draw(2))
        claim.on_behalf_of = claim.id;
    if (what == 0 || what == 1) {
        claim.op = what ? ENTRY_RETRACT : ENTRY_ERASE;
        claim.body = NULL;
    } else if (what == 3 || what == 4) {
        unsigned from = draw(5), to = draw(5);
        link_records(world, houten && draw(2), id_of(from, id), id_of(to == from ? 5 : to, other),
                     what == 4 ? "same-as"
                     : draw(2) ? "not-same-as"
                               : NULL);
        return;
    } else if (what == 2) {
        claim = claim_about("confirmation", id_of(100 + draw(2), id), sources[draw(2)], "editor", NULL,
                            draw(4) ? body : NULL);
        snprintf(body, sizeof body, draw(3) ? "{}" : "{\"except\":[\"organization/%s\"]}",
                 id_of(draw(12), other));
        claim.verified = draw(2) ? DAY_NONE : TODAY + (int32_t)draw(100);
    }
    append(world, houten, &claim);
}

static void incremental_equals_rebuild(void **state)
{
    const char *given = getenv("SEED");
    uint32_t seed = given ? (uint32_t)strtoul(given, NULL, 10) : 4711;
    (void)state;
    for (uint32_t run = 0; run < (given ? 1 : 2); run++) {
        struct world *world = world_new();
        struct policy *policies[2] = {policy_with(false), policy_with(true)};
        random_state = seed + run;
        int32_t day = TODAY;
        for (int round = 0; round < 25; round++) {
            const struct policy *policy = policies[draw(6) == 0];
            for (uint32_t i = draw(12); i > 0; i--)
                random_step(world);
            int32_t newest = (int32_t)(world->now_ms / DAY_MS);
            day = draw(4) ? newest + (int32_t)draw(3) : day + (int32_t)draw(200);
            if (draw(8) == 0)
                day = newest - (int32_t)draw(30); /* some claims are from the future */
            if (draw(5) == 0) {                   /* a restart between two batches */
                bool more;
                assert_ok(map_follow(world->map, policy, day, 1 + draw(5), &more, &fault));
                map_close(world->map);
                assert_ok(map_open(world->path, world->fixture->path, true, &world->map, &fault));
            }
            follow_map(world->map, policy, day, 1 + draw(40));
            struct map *fresh;
            char path[160];
            snprintf(path, sizeof path, "%s/fresh-%d.db", world->fixture->directory, round);
            assert_ok(map_open(path, world->fixture->path, true, &fresh, &fault));
            follow_map(fresh, policy, day, 2000);
            char *one = see(world->map), *two = see(fresh);
            if (strcmp(one, two) != 0) {
                FILE *a = fopen("/tmp/map-incremental.txt", "w"), *b = fopen("/tmp/map-rebuild.txt", "w");
                fputs(one, a);
                fputs(two, b);
                fclose(a);
                fclose(b);
                fail_msg("SEED=%u round %d: see /tmp/map-incremental.txt and /tmp/map-rebuild.txt",
                         seed + run, round);
            }
            free(one);
            free(two);
            map_close(fresh);
        }
        policy_release(policies[0]);
        policy_release(policies[1]);
        world_free(world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shows_who_says_what),
        cmocka_unit_test(searches),
        cmocka_unit_test(what_does_not_count_is_listed),
        cmocka_unit_test(only_public_feeds),
        cmocka_unit_test(days_and_confirmations),
        cmocka_unit_test(suspended_and_resumed),
        cmocka_unit_test(merged_and_restored),
        cmocka_unit_test(sums),
        cmocka_unit_test(erased_means_gone),
        cmocka_unit_test(damaged_map),
        cmocka_unit_test(restored_feeds),
        cmocka_unit_test(new_epoch_replaces_everything),
        cmocka_unit_test(incremental_equals_rebuild),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
