/*
 * test_duplicates.c - records that could be one: traits in one form, pairs with their evidence, what is left out; and what to say
 * so that they are one or two [LINK-5] [LINK-6] [DUP-1] to [DUP-4]. SEED=n repeats the random run.
 */
#include "store_fixture.h"

#include "daemon/store/map.h"
#include "daemon/store/map_duplicates.h"
#include "protocol/identity.h"
#include "protocol/json.h"

#include <time.h>

#define HOUTEN "houten.example/public"
#define TODAY 20778 /* 2026-11-21 */

struct world {
    struct fixture *fixture;
    struct signing_key houten;
    struct map *map;
    struct policy *policy;
};

/* Both stewards; `there_first`: Houten stands before this node, so that between equals its word holds. */
static struct policy *policy_with(bool steward, bool there_first)
{
    struct policy *policy = NULL;
    struct policy_builder *builder = policy_builder_new();
    static const char *const here[] = {"GM0356", NULL}, *const there[] = {"GM0356", "GM0321", NULL};
    for (int i = 0; i < 2; i++)
        if ((i == 0) == there_first)
            assert_ok(
                policy_builder_origin(builder, "houten.example", there, NULL, NULL, true, false, &fault));
        else
            assert_ok(policy_builder_origin(builder, "nieuwegein.example", here, NULL, NULL, steward, false,
                                            &fault));
    assert_ok(policy_builder_finish(builder, &policy, &fault));
    policy_builder_free(builder);
    return policy;
}

static struct world *world_new(void)
{
    char path[128];
    uint8_t seed[ED25519_SIZE];
    struct world *world = calloc(1, sizeof *world);
    world->fixture = fixture_new();
    memset(seed, 8, sizeof seed);
    assert_ok(signing_key_from_seed(HOUTEN, seed, &world->houten, &fault));
    feeds_allow_signing(world->fixture->feeds, FEED, true, NULL);
    feeds_allow_signing(world->fixture->feeds, HOUTEN, true, NULL);
    snprintf(path, sizeof path, "%s/map.db", world->fixture->directory);
    assert_ok(map_open(path, world->fixture->path, true, &world->map, &fault));
    world->policy = policy_with(true, false);
    return world;
}

static void world_free(struct world *world)
{
    map_close(world->map);
    policy_release(world->policy);
    fixture_free(world->fixture);
    free(world);
}

static void append(struct world *world, bool houten, const char *kind, const char *id, const char *source,
                   const char *body)
{
    static int64_t now_ms = NOW_MS;
    struct own_result result;
    const struct own_claim claim = {.op = body ? ENTRY_ASSERT : ENTRY_RETRACT,
                                    .kind = kind,
                                    .id = id,
                                    .source = source,
                                    .role = "editor",
                                    .areas = "[\"GM0356\"]",
                                    .body = body,
                                    .verified = DAY_NONE,
                                    .missing_since = DAY_NONE};
    now_ms++;
    assert_ok(feeds_append(world->fixture->feeds, houten ? HOUTEN : FEED,
                           houten ? &world->houten : &world->fixture->key, 1, now_ms, &claim, 1, false,
                           &result, &fault));
    if (result.outcome == OWN_REFUSED)
        fail_msg("%s", result.fault.text);
}

static const char *org(struct world *world, unsigned number, const char *body)
{
    static char ids[8][UUID_TEXT_SIZE + 1];
    const char *id = id_of(number, ids[number % 8]);
    append(world, false, "organization", id, "desk", body);
    return id;
}

static void follow(struct world *world)
{
    bool more = true;
    for (int i = 0; more && i < 10000; i++)
        assert_ok(map_follow(world->map, world->policy, TODAY, 2000, &more, &fault));
    assert_false(more);
}

static cJSON *find(struct world *world, const char *kind, size_t limit)
{
    cJSON *out;
    follow(world);
    assert_ok(map_duplicates(world->map, kind, limit, &out, &fault));
    return out;
}

static int count_of(const cJSON *out, const char *name)
{
    return cJSON_GetArraySize(json_get(out, name));
}

/* "ALIAS MAIN: type value; ..." of a pair, ids as their numbers. */
static const char *pair_text(const cJSON *out, int place, char text[512])
{
    const cJSON *pair = cJSON_GetArrayItem(json_get(out, "duplicates"), place), *item,
                *evidence = json_get(pair, "evidence");
    if (!pair)
        return "";
    int used =
        snprintf(text, 512, "%lu %lu:", strtoul(json_get_string(json_get(pair, "alias"), "id"), NULL, 16),
                 strtoul(json_get_string(json_get(pair, "main"), "id"), NULL, 16));
    cJSON_ArrayForEach(item, evidence)
    {
        const cJSON *similarity = json_get(item, "nameSimilarity");
        used += snprintf(text + used, 512 - (size_t)used, " %s %s", json_get_string(item, "type"),
                         json_get_string(item, "value"));
        if (similarity)
            used += snprintf(text + used, 512 - (size_t)used, " %d", similarity->valueint);
        used += snprintf(text + used, 512 - (size_t)used, ";");
    }
    return text;
}

/* ---- one form [DUP-2] ---- */

static void normalises(void **state)
{
    static const char *const names[][2] = {{"Stichting De Brüg", "brug"},
                                           {"Vereniging  \"Zorg & Zó\" B.V.", "zorg zo"},
                                           {"De Vereniging", "de vereniging"},
                                           {"'s-Heeren Loo", "s heeren loo"},
                                           {"Łódź – Œuvre", "lodz ouvre"},
                                           {"Привет", "Привет"},
                                           {"...", ""}};
    static const char *const phones[][2] = {{"+31 (0)30 123 45 67", "0301234567"},
                                            {"0031-30-1234567", "0301234567"},
                                            {"030 1234567 tst 12", "0301234567"},
                                            {"+310301234567", "0301234567"},
                                            {"+32 2 123 45 67", "+3221234567"},
                                            {"14 030", ""},
                                            {"112", ""},
                                            {"bel ons", ""}};
    static const char *const sites[][2] = {{"https://WWW.Brug.example/", "brug.example"},
                                           {"http://brug.example/Zorg/?a=b#c", "brug.example/Zorg"},
                                           {"brug.example", "brug.example"},
                                           {"http://www.brug.example/nl/", "brug.example/nl"},
                                           {"geen", ""},
                                           {"", ""}};
    char out[TRAIT_SIZE_MAX];
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        name_normalise(names[i][0], out), assert_string_equal(out, names[i][1]);
    for (size_t i = 0; i < sizeof phones / sizeof *phones; i++)
        phone_normalise(phones[i][0], out), assert_string_equal(out, phones[i][1]);
    for (size_t i = 0; i < sizeof sites / sizeof *sites; i++)
        website_normalise(sites[i][0], out), assert_string_equal(out, sites[i][1]);
}

static void compares_names(void **state)
{
    (void)state;
    assert_int_equal(name_similarity("brug", "brug"), 100);
    assert_int_equal(name_similarity("brug", ""), 0);
    assert_true(name_similarity("huisartsenpraktijk jansen", "huisartsenpraktijk janssen") >= 80);
    assert_true(name_similarity("brug", "brug nieuwegein") >= 80);
    assert_true(name_similarity("brug", "zwembad") < 80);
    assert_true(name_similarity("bibliotheek", "apotheek") < 80);
    assert_int_equal(name_similarity("a", "b"), 0);
    assert_int_equal(name_similarity("abc def", "def abc"), name_similarity("def abc", "abc def"));
}

/* ---- pairs ---- */

static void finds_pairs(void **state)
{
    struct world *world = world_new();
    char text[512];
    (void)state;
    org(world, 1,
        "{\"name\":\"Stichting De Brug\",\"identifiers\":[{\"scheme\":\"kvk\",\"value\":\"12345678\"}],"
        "\"addresses\":[{\"address_1\":\"A 1\",\"city\":\"N\",\"postal_code\":\"3433 AB\",\"country\":\"NL\","
        "\"address_type\":\"physical\"}]}");
    org(world, 2, "{\"name\":\"Anders\",\"identifiers\":[{\"scheme\":\"KvK\",\"value\":\"12345678\"}]}");
    org(world, 3,
        "{\"name\":\"Brug Nieuwegein\",\"addresses\":[{\"address_1\":\"A "
        "2\",\"city\":\"N\",\"postal_code\":\"3433AB\",\"country\":\"NL\",\"address_type\":\"postal\"}]}");
    org(world, 4, "{\"name\":\"Vier\",\"phones\":[{\"number\":\"030-1112223\"}]}");
    org(world, 5,
        "{\"name\":\"Vijf\",\"phones\":[{\"number\":\"+31 30 111 22 "
        "23\"}],\"website\":\"https://www.v.example/\"}");
    org(world, 6, "{\"name\":\"Zes\",\"websites\":[\"http://v.example\"]}");
    /* Services share their organisation's number; only alike names make two of them suspect. */
    append(world, false, "service", id_of(7, text), "desk",
           "{\"name\":\"Dagbesteding\",\"status\":\"active\",\"phones\":[{\"number\":\"030-1112223\"}]}");
    append(world, false, "service", id_of(8, text), "desk",
           "{\"name\":\"Vervoer\",\"status\":\"active\",\"phones\":[{\"number\":\"030-1112223\"}]}");
    append(world, false, "service", id_of(9, text), "desk",
           "{\"name\":\"De dagbesteding\",\"status\":\"active\",\"phones\":[{\"number\":\"030-1112223\"}]}");
    cJSON *out = find(world, NULL, 20);
    assert_int_equal(count_of(out, "duplicates"), 5);
    assert_string_equal(pair_text(out, 0, text), "2 1: identifier kvk 12345678;");
    assert_string_equal(pair_text(out, 1, text), "9 7: phone 0301112223 100;");
    assert_string_equal(pair_text(out, 2, text), "3 1: name-postcode 3433AB 80;");
    assert_string_equal(pair_text(out, 3, text), "4 5: phone 0301112223;");
    assert_string_equal(pair_text(out, 4, text), "6 5: website v.example;");
    assert_false(cJSON_IsTrue(json_get(out, "more")));
    assert_int_equal(count_of(out, "tooCommon"), 0);
    cJSON_Delete(out);
    out = find(world, "service", 20);
    assert_int_equal(count_of(out, "duplicates"), 1);
    cJSON_Delete(out);
    out = find(world, NULL, 2);
    assert_int_equal(count_of(out, "duplicates"), 2);
    assert_true(cJSON_IsTrue(json_get(out, "more")));
    cJSON_Delete(out);
    assert_int_equal(map_duplicates(world->map, "contract", 5, &out, &fault), KAART_INVALID);
    world_free(world);
}

static void leaves_the_common_out(void **state)
{
    struct world *world = world_new();
    char body[256], text[512];
    (void)state;
    for (unsigned i = 0; i < 40; i++) {
        snprintf(body, sizeof body, "{\"name\":\"Org%u%u\",\"phones\":[{\"number\":\"088 0000000\"}]}",
                 i % 39, i % 39);
        org(world, 100 + i, body);
    }
    cJSON *out = find(world, NULL, 100);
    assert_int_equal(count_of(out, "tooCommon"), 1);
    const cJSON *common = cJSON_GetArrayItem(json_get(out, "tooCommon"), 0);
    assert_string_equal(json_get_string(common, "value"), "0880000000");
    assert_int_equal(json_get(common, "records")->valueint, 40);
    /* Only the two with the same name. */
    assert_int_equal(count_of(out, "duplicates"), 1);
    pair_text(out, 0, text);
    assert_non_null(strstr(text, "139 100: phone 0880000000;"));
    cJSON_Delete(out);
    world_free(world);
}

/* ---- what to say ---- */

static int plan(struct world *world, bool link, const char *a, const char *b, cJSON **out)
{
    const struct map_link_question question = {.link = link,
                                               .alias = a,
                                               .main = b,
                                               .feed = FEED,
                                               .policy = world->policy,
                                               .day = TODAY,
                                               .now_ms = NOW_MS + 3600000};
    follow(world);
    return map_link_plan(world->map, &question, out, &fault);
}

/* Asks, does, and gives "action type source". */
static const char *settle(struct world *world, bool link, const char *a, const char *b)
{
    static char text[128];
    cJSON *out;
    assert_ok(plan(world, link, a, b, &out));
    const char *source = json_get_string(out, "source"), *action = json_get_string(out, "action");
    snprintf(text, sizeof text, "%s %s %s", action, json_get_string(out, "type"), source ? source : "-");
    if (strcmp(action, "none") != 0) {
        char *body = json_get(out, "body") ? cJSON_PrintUnformatted(json_get(out, "body")) : NULL;
        append(world, false, "relation", json_get_string(out, "relation"), source, body);
        free(body);
        follow(world);
    }
    cJSON_Delete(out);
    return text;
}

static void refused(struct world *world, bool link, const char *a, const char *b, int code, const char *words)
{
    cJSON *out;
    assert_int_equal(plan(world, link, a, b, &out), code);
    assert_null(out);
    if (!strstr(fault.text, words))
        fail_msg("\"%s\" does not say \"%s\"", fault.text, words);
}

static int each_row(void *context, const char *kind, const char *id, const char *json)
{
    FILE *file = context;
    return fprintf(file, "%s %s %s\n", kind, id, json) < 0;
}

/* Everything that is shown, and the sum of the map. */
static char *see(struct world *world)
{
    char *text = NULL;
    size_t size;
    cJSON *status;
    FILE *file = open_memstream(&text, &size);
    follow(world);
    assert_ok(map_export(world->map, NULL, each_row, file, &fault));
    assert_ok(map_status(world->map, &status, &fault));
    fprintf(file, "%s", json_get_string(status, "map"));
    cJSON_Delete(status);
    fclose(file);
    return text;
}

static void link_there(struct world *world, const char *a, const char *b, const char *type)
{
    char id[UUID_TEXT_SIZE + 1], body[256];
    assert_int_equal(identity_of_pair(a, b, id), KAART_OK);
    snprintf(body, sizeof body, "{\"type\":\"%s\",\"from_id\":\"%s\",\"to_id\":\"%s\"}", type ? type : "", a,
             b);
    append(world, true, "relation", id, "desk", type ? body : NULL);
}

static void same_as(char *before, char *after)
{
    assert_string_equal(before, after);
    free(before);
    free(after);
}

static void each_undoes_the_other(void **state)
{
    struct world *world = world_new();
    (void)state;
    const char *a = org(world, 1, "{\"name\":\"Brug\",\"phones\":[{\"number\":\"030-1112223\"}]}"),
               *b = org(world, 2, "{\"name\":\"Brug\",\"phones\":[{\"number\":\"030 1112223\"}]}");
    char *alone = see(world);
    cJSON *out = find(world, NULL, 5);
    assert_int_equal(count_of(out, "duplicates"), 1);
    cJSON_Delete(out);
    assert_string_equal(settle(world, true, a, b), "assert same-as link");
    assert_string_equal(settle(world, true, a, b), "none same-as -");
    out = find(world, NULL, 5);
    assert_int_equal(count_of(out, "duplicates"), 0);
    cJSON_Delete(out);
    assert_string_equal(settle(world, false, b, a), "retract same-as link"); /* either way round */
    same_as(strdup(alone), see(world));
    assert_string_equal(settle(world, false, a, b), "assert not-same-as unlink");
    assert_string_equal(settle(world, false, a, b), "none not-same-as -");
    out = find(world, NULL, 5); /* [DUP-4] */
    assert_int_equal(count_of(out, "duplicates"), 0);
    cJSON_Delete(out);
    char *parted = see(world);
    assert_string_equal(settle(world, true, a, b), "assert same-as link");
    assert_string_equal(settle(world, false, a, b), "retract same-as link");
    same_as(parted, see(world));
    free(alone);
    world_free(world);
}

static void others_links(void **state)
{
    struct world *world = world_new();
    (void)state;
    const char *a = org(world, 1, "{\"name\":\"Een\"}"), *b = org(world, 2, "{\"name\":\"Twee\"}");
    link_there(world, a, b, "same-as");
    char *linked = see(world);
    assert_string_equal(settle(world, false, a, b), "assert not-same-as unlink");
    assert_string_equal(settle(world, true, a, b), "retract not-same-as unlink");
    same_as(linked, see(world));
    /* Where their word goes before ours, it is said that it does. */
    policy_release(world->policy);
    world->policy = policy_with(true, true);
    refused(world, false, a, b, KAART_INVALID, "houten.example/public");
    policy_release(world->policy);
    world->policy = policy_with(false, false);
    refused(world, false, a, b, KAART_INVALID, "not a steward");
    world_free(world);
}

static void refuses_with_words(void **state)
{
    struct world *world = world_new();
    char service[UUID_TEXT_SIZE + 1], nobody[UUID_TEXT_SIZE + 1];
    (void)state;
    const char *a = org(world, 1, "{\"name\":\"Een\"}"), *b = org(world, 2, "{\"name\":\"Twee\"}"),
               *c = org(world, 3, "{\"name\":\"Drie\"}");
    append(world, false, "service", id_of(9, service), "desk", "{\"name\":\"S\",\"status\":\"active\"}");
    id_of(99, nobody);
    refused(world, true, a, a, KAART_INVALID, "a link needs two");
    refused(world, true, nobody, a, KAART_UNKNOWN, "There is no record");
    refused(world, true, a, nobody, KAART_UNKNOWN, "There is no record");
    refused(world, false, a, nobody, KAART_UNKNOWN, "There is no record");
    refused(world, true, a, service, KAART_INVALID, "only records of one kind");
    settle(world, true, a, b);
    refused(world, true, a, c, KAART_INVALID, "is an alias of 00000002-");
    refused(world, true, c, a, KAART_INVALID, "kaartctl link 00000003-");
    refused(world, true, b, c, KAART_INVALID, "is the main record of 00000001-");
    refused(world, true, b, a, KAART_INVALID, "the other way round");
    assert_string_equal(settle(world, true, c, b), "assert same-as link"); /* a second part */
    /* What was said about a record that is gone can be taken back. */
    append(world, false, "organization", a, "desk", NULL);
    assert_string_equal(settle(world, false, a, b), "retract same-as link");
    world_free(world);
}

static unsigned draw_state;
static unsigned draw(unsigned below)
{
    draw_state = draw_state * 1664525u + 1013904223u;
    return (draw_state >> 8) % below;
}

static const char *text_of(const cJSON *got, const char *name)
{
    const char *text = json_get_string(json_get(got, "record"), name);
    return text ? text : "";
}

static unsigned own_words(const cJSON *said)
{
    unsigned count = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, said) count += strcmp(json_get_string(item, "feed"), FEED) == 0;
    return count;
}

static void drop_relation(char *text, const char *id)
{
    char *row = strstr(text, id), *end = row ? strchr(row, '\n') : NULL;
    if (!row)
        return;
    while (row > text && row[-1] != '\n')
        row--;
    memmove(row, end ? end + 1 : "", end ? strlen(end + 1) + 1 : 1);
}

/* Whatever stands, what is done is undone by its opposite, and gives the map that it was. */
static void exact_inverses(void **state)
{
    const char *seed = getenv("SEED");
    (void)state;
    draw_state = seed ? (unsigned)strtoul(seed, NULL, 10) : (unsigned)time(NULL);
    print_message("SEED=%u\n", draw_state);
    struct world *world = world_new();
    const char *ids[5];
    unsigned done = 0;
    for (unsigned i = 0; i < 5; i++) {
        char body[64];
        snprintf(body, sizeof body, "{\"name\":\"Org %u\",\"email\":\"o%u@x.example\"}", i, i);
        ids[i] = org(world, i, body);
    }
    for (int step = 0; step < 120; step++) {
        unsigned a = draw(5), b = draw(5);
        bool link = draw(2);
        char relation[UUID_TEXT_SIZE + 1];
        cJSON *out;
        if (a == b)
            continue;
        if (draw(4) == 0)
            link_there(world, ids[a], ids[b], draw(3) ? draw(2) ? "same-as" : "not-same-as" : NULL);
        char *before = see(world);
        int code = plan(world, link, ids[a], ids[b], &out);
        if (code) {
            assert_int_equal(code, KAART_INVALID);
            free(before);
            continue;
        }
        bool changes = strcmp(json_get_string(out, "action"), "none") != 0,
             parts = !link && strcmp(json_get_string(out, "now"), "same-as") != 0,
             both = own_words(json_get(out, "said")) > 1,
             taken_back = strcmp(json_get_string(out, "action"), "retract") == 0;
        snprintf(relation, sizeof relation, "%s", json_get_string(out, "relation"));
        cJSON_Delete(out);
        if (!link && changes) { /* a link is restored the way it was */
            cJSON *got = NULL;
            bool said = map_get(world->map, "relation", relation, &got, &fault) == KAART_OK,
                 turned = said && strcmp(text_of(got, "from_id"), ids[b]) == 0;
            cJSON_Delete(got);
            if (turned) {
                unsigned c = a;
                a = b;
                b = c;
            }
        }
        settle(world, link, ids[a], ids[b]);
        if (changes && !parts &&
            draw(2)) { /* "not the same" of two that nobody linked is undone by retract alone */
            cJSON *undo;
            if (plan(world, !link, ids[a], ids[b], &undo) == KAART_OK) {
                cJSON_Delete(undo);
                settle(world, !link, ids[a], ids[b]);
                char *after = see(world);
                if (taken_back || both) /* said again it is another claim: the same records, another sum */
                    *strrchr(before, '\n') = *strrchr(after, '\n') = '\0';
                if (both) /* of two own words one is gone */
                    drop_relation(before, relation), drop_relation(after, relation);
                if (strcmp(before, after) != 0)
                    fail_msg("step %d: %s %u %u is not undone\n%s\n---\n%s", step, link ? "link" : "unlink",
                             a, b, before, after);
                free(after);
                done++;
            }
        }
        free(before);
    }
    assert_true(done > 0);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(normalises),
        cmocka_unit_test(compares_names),
        cmocka_unit_test(finds_pairs),
        cmocka_unit_test(leaves_the_common_out),
        cmocka_unit_test(each_undoes_the_other),
        cmocka_unit_test(others_links),
        cmocka_unit_test(refuses_with_words),
        cmocka_unit_test(exact_inverses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
