/*
 * map_published.c - the sums that a node publishes beside its feeds. spec/resolution.md [SUM-4] [SUM-5].
 *
 * The sum of the map reads every record. What it costs is measured: the next one is not computed before SHARE times as long went by, so that
 * whoever asks without end, while the map changes without end, costs the reader 1/SHARE of its time.
 */
#include "daemon/store/map_internal.h"

#include "protocol/syntax.h"

#include <time.h>

#define SHARE 20
/* A clock that cannot be read, or a machine that slept: never wait longer. */
#define WAIT_MS_MAX (10 * 60 * 1000)

static int64_t monotonic_ms(void)
{
    struct timespec now = {0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int no_memory(struct fault *fault)
{
    return fault_set(fault, KAART_NOMEM, "out of memory");
}

static bool add_hash(cJSON *object, const char *name, const struct hash *hash)
{
    char hex[HASH_SIZE * 2 + 1];
    hex_encode(hash->bytes, HASH_SIZE, hex);
    return cJSON_AddStringToObject(object, name, hex) != NULL;
}

static bool add_day(cJSON *object, int64_t day)
{
    char text[DAY_TEXT_SIZE + 1];
    if (day == DAY_NONE)
        return cJSON_AddNullToObject(object, "day") != NULL;
    syntax_day_format((int32_t)day, text);
    return cJSON_AddStringToObject(object, "day", text) != NULL;
}

static int tell(const struct published *published, cJSON *out, struct fault *fault)
{
    char time[SECONDS_TEXT_SIZE + 1];
    syntax_seconds_format(published->at_ms / 1000, time);
    return cJSON_AddTrueToObject(out, "caughtUp") && add_day(out, published->day) &&
                   cJSON_AddStringToObject(out, "time", time) &&
                   add_hash(out, "claimSet", &published->claims) &&
                   add_hash(out, "policy", &published->policy) && add_hash(out, "map", &published->winners)
               ? KAART_OK
               : no_memory(fault);
}

/* Brings map->published up to this state of the map, unless it is too early for that. */
static int refresh(struct map *map, const struct policy *policy, int64_t day, int64_t now_ms,
                   struct fault *fault)
{
    struct published *held = &map->published, new = {.known = true, .day = day, .at_ms = now_ms};
    int64_t begun_ms = monotonic_ms();
    int code = map_state_number(map, "changes", &new.changes, fault);
    if (code)
        return code;
    bool same = held->known && held->changes == new.changes;
    if (same) {
        held->at_ms = now_ms;
        return KAART_OK;
    }
    if (held->known && begun_ms < held->not_before_ms && held->not_before_ms - begun_ms <= WAIT_MS_MAX)
        return KAART_OK;
    new.policy = *policy_hash(policy);
    code = map_sum_claims(map, &new.claims, fault);
    if (!code)
        code = map_sum_winners_kept(map, &new.winners, fault);
    if (code)
        return code;
    new.not_before_ms = begun_ms + (monotonic_ms() - begun_ms) * SHARE;
    *held = new;
    return KAART_OK;
}

static int sums(struct map *map, int64_t now_ms, cJSON *out, struct fault *fault)
{
    const struct policy *policy = NULL;
    int64_t caught_up = 0, day = DAY_NONE;
    int code = map_state_number(map, "caught-up", &caught_up, fault);
    if (!code)
        code = map_state_number(map, "day", &day, fault);
    if (!code)
        code = map_stored_policy(map, &policy, fault);
    if (code)
        return code;
    if (!caught_up || !policy)
        return cJSON_AddFalseToObject(out, "caughtUp") && add_day(out, day) &&
                       (policy ? add_hash(out, "policy", policy_hash(policy))
                               : cJSON_AddNullToObject(out, "policy") != NULL)
                   ? KAART_OK
                   : no_memory(fault);
    code = refresh(map, policy, day, now_ms, fault);
    return code ? code : tell(&map->published, out, fault);
}

int map_sums(struct map *map, int64_t now_ms, cJSON **out, struct fault *fault)
{
    cJSON *object = cJSON_CreateObject();
    int code = object ? map_read_begin(map, fault) : no_memory(fault);
    if (!code) {
        code = sums(map, now_ms, object, fault);
        map_read_end(map);
    }
    if (code)
        cJSON_Delete(object);
    else
        *out = object;
    return code;
}
