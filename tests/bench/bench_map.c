/*
 * bench_map.c - what it costs to bring 100,000 records of 1.2 KB from feeds.db into the map, and then to change one of them:
 * in processor time, one figure a line, "name value". Usage: bench_map [RECORDS]
 */
#include "daemon/store/map.h"

#include "daemon/store/feeds.h"
#include "protocol/limits.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define FEED "nieuwegein.example/public"
#define NOW_MS 1795287600000LL
#define TODAY 20778
#define BATCH 2000

static struct fault fault;

static void must(int code, const char *what)
{
    if (code) {
        fprintf(stderr, "%s: %s\n", what, fault.text);
        exit(1);
    }
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static long peak_kib(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

/* Spread over the whole space of ids, as UUIDs are. */
static void id_of(unsigned number, char id[UUID_TEXT_SIZE + 1])
{
    uint64_t mixed = (number + 1) * 0x9e3779b97f4a7c15ULL;
    snprintf(id, UUID_TEXT_SIZE + 1, "%08x-%04x-5000-8000-%012x", (unsigned)(mixed >> 32),
             (unsigned)(mixed >> 16) & 0xffff, number);
}

static void body_of(unsigned number, unsigned version, char body[2048])
{
    static const char *const words[] = {"wonen", "zorg",    "welzijn",    "sport",  "cultuur",
                                        "jeugd", "vervoer", "maaltijden", "advies", "begeleiding"};
    char text[900] = "";
    uint64_t mixed = number * 0x9e3779b97f4a7c15ULL + 1;
    while (strlen(text) < 640) {
        mixed = mixed * 6364136223846793005ULL + 1442695040888963407ULL;
        strcat(text, words[(mixed >> 33) % 10]);
        strcat(text, " ");
    }
    snprintf(body, 2048,
             "{\"name\":\"Organisatie %u versie "
             "%u\",\"description\":\"%s\",\"status\":\"active\",\"email\":\"info@o%u.example\","
             "\"phones\":[{\"number\":\"030 %07u\",\"type\":\"voice\"}],\"website\":\"https://o%u.example/\","
             "\"themes\":[\"%s\",\"%s\"],\"addresses\":[{\"address_1\":\"Straat "
             "%u\",\"city\":\"Nieuwegein\",\"postal_code\":\"3433 AB\","
             "\"country\":\"NL\",\"address_type\":\"physical\",\"municipality\":\"GM0356\"}]}",
             number, version, text, number, number, number, words[number % 10], words[number / 10 % 10],
             number % 300);
}

static void append(struct feeds *feeds, const struct signing_key *key, unsigned first, unsigned count,
                   unsigned version)
{
    static char ids[BATCH][UUID_TEXT_SIZE + 1], bodies[BATCH][2048];
    static struct own_claim claims[BATCH];
    static struct own_result results[BATCH];
    for (unsigned i = 0; i < count; i++) {
        id_of(first + i, ids[i]);
        body_of(first + i, version, bodies[i]);
        claims[i] = (struct own_claim){.op = ENTRY_ASSERT,
                                       .kind = "organization",
                                       .id = ids[i],
                                       .source = "desk",
                                       .role = "editor",
                                       .areas = "[\"GM0356\"]",
                                       .body = bodies[i],
                                       .verified = TODAY,
                                       .missing_since = DAY_NONE};
    }
    must(feeds_append(feeds, FEED, key, 1, NOW_MS, claims, count, false, results, &fault), "append");
}

static unsigned follow(struct map *map, const struct policy *policy)
{
    bool more = true;
    unsigned passes = 0;
    for (; more; passes++)
        must(map_follow(map, policy, TODAY, BATCH, &more, &fault), "follow");
    return passes;
}

static void search(struct map *map, const char *query)
{
    cJSON *list;
    double start = now();
    must(map_search(map, query, NULL, 20, 0, &list, &fault), "search");
    printf("search_ms(%s:%d) %.2f\n", query, cJSON_GetArraySize(list), (now() - start) * 1000);
    cJSON_Delete(list);
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status;
    (void)type;
    (void)place;
    return remove(path);
}

/* All of these records share a postcode. */
static void duplicates(struct map *map)
{
    cJSON *out;
    double start = now();
    must(map_duplicates(map, NULL, 20, &out, &fault), "duplicates");
    printf("duplicates_s %.2f\n", now() - start);
    cJSON_Delete(out);
}

int main(int argc, char **argv)
{
    unsigned records = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 100000;
    char directory[] = "/tmp/kaartd-bench-XXXXXX", feeds_path[64], map_path[64], own_head[64];
    static const char *const areas[] = {"GM0356", NULL};
    uint8_t seed[ED25519_SIZE] = {1};
    struct signing_key key;
    struct feeds *feeds;
    struct map *map;
    struct policy *policy, *other;
    cJSON *status;
    if (!mkdtemp(directory))
        return 1;
    snprintf(feeds_path, sizeof feeds_path, "%s/feeds.db", directory);
    snprintf(map_path, sizeof map_path, "%s/map.db", directory);
    snprintf(own_head, sizeof own_head, "%s/own-head", directory);
    must(signing_key_from_seed(FEED, seed, &key, &fault), "key");
    must(feeds_open(feeds_path, true, own_head, &feeds, &fault), "feeds");
    feeds_allow_signing(feeds, FEED, true, NULL);
    struct policy_builder *builder = policy_builder_new();
    must(policy_builder_origin(builder, "nieuwegein.example", areas, NULL, NULL, true, false, &fault),
         "policy");
    must(policy_builder_finish(builder, &policy, &fault), "policy");
    policy_builder_free(builder);
    builder = policy_builder_new();
    must(policy_builder_group(builder, "contact", NULL, "1 year", &fault), "policy");
    must(policy_builder_origin(builder, "nieuwegein.example", areas, NULL, NULL, true, false, &fault),
         "policy");
    must(policy_builder_finish(builder, &other, &fault), "policy");
    policy_builder_free(builder);
    double start = now();
    for (unsigned i = 0; i < records; i += BATCH)
        append(feeds, &key, i, records - i < BATCH ? records - i : BATCH, 1);
    printf("append_s %.2f\npeak_before_kib %ld\n", now() - start, peak_kib());

    must(map_open(map_path, feeds_path, true, &map, &fault), "map");
    start = now();
    unsigned passes = follow(map, policy);
    double all = now() - start;
    printf("follow_s %.2f\nfollow_passes %u\npeak_kib %ld\n", all, passes, peak_kib());
    search(map, "organisatie 777");
    search(map, "welz");
    search(map, "nieuwegein");
    start = now();
    must(map_status(map, &status, &fault), "status");
    printf("status_s %.2f\n", now() - start);
    cJSON_Delete(status);
    duplicates(map);
    append(feeds, &key, records / 2, 1, 2);
    start = now();
    follow(map, policy);
    double one = now() - start;
    printf("one_change_ms %.2f\n", one * 1000);
    printf("all_per_one_change %.0f\n",
           all / one); /* how many changes cost what building the whole map did */
    start = now();
    follow(map, policy);
    printf("no_change_ms %.2f\n", (now() - start) * 1000);
    start = now();
    follow(map, other);
    printf("new_policy_s %.2f\n", now() - start);
    map_close(map);
    feeds_close(feeds);
    policy_release(policy);
    policy_release(other);
    nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    return 0;
}
