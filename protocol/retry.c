/* retry.c - intervals with jitter and exponential backoff; see retry.h. */
#include "protocol/retry.h"

#include <stddef.h>
#include <stdio.h>

/* Durations are bounded here, so that the products below cannot overflow. */
#define DURATION_MAX_MS (400LL * 24 * 60 * 60 * 1000)

static int64_t bounded(int64_t duration_ms)
{
    if (duration_ms < 0)
        return 0;
    return duration_ms > DURATION_MAX_MS ? DURATION_MAX_MS : duration_ms;
}

static int64_t at_least_one(int64_t duration_ms)
{
    return duration_ms < 1 ? 1 : duration_ms;
}

/* most * random / 2^32 in two steps: the product of both would need more than 63 bits. */
static int64_t share(int64_t most_ms, uint32_t random)
{
    int64_t high = most_ms >> 16;
    int64_t low = most_ms & 0xffff;
    int64_t part = (int64_t)(random >> 16);

    return high * part + ((low * part) >> 16);
}

int64_t retry_spread(int64_t most_ms, uint32_t random)
{
    int64_t most = bounded(most_ms);

    return share(most + 1, random);
}

int64_t retry_interval(int64_t every_ms, uint32_t random)
{
    int64_t every = bounded(every_ms);
    int64_t tenth = every / 10;

    return at_least_one(every - tenth + retry_spread(2 * tenth, random));
}

int64_t retry_backoff(unsigned failures, int64_t base_ms, int64_t cap_ms, uint32_t random)
{
    int64_t cap = at_least_one(bounded(cap_ms));
    int64_t wait = at_least_one(bounded(base_ms));

    for (unsigned i = 1; i < failures && wait < cap; i++)
        wait *= 2;
    if (wait > cap)
        wait = cap;
    return at_least_one(wait - retry_spread(wait / 2, random));
}

void retry_words(int64_t duration_ms, char text[RETRY_WORDS_SIZE])
{
    static const struct {
        int64_t unit_ms;
        int64_t until_ms; /* larger durations are told in a larger unit */
        const char *name;
    } units[] = {
        {1, 1000, "ms"},
        {1000, 120LL * 1000, "s"},
        {60LL * 1000, 120LL * 60 * 1000, "min"},
        {60LL * 60 * 1000, 48LL * 60 * 60 * 1000, "h"},
        {24LL * 60 * 60 * 1000, INT64_MAX, "days"},
    };
    size_t i = 0;

    if (duration_ms <= 0) {
        snprintf(text, RETRY_WORDS_SIZE, "now");
        return;
    }
    while (i + 1 < sizeof(units) / sizeof(units[0]) && duration_ms >= units[i].until_ms)
        i++;
    /* written so that the largest duration does not overflow */
    int64_t count = duration_ms / units[i].unit_ms + (duration_ms % units[i].unit_ms != 0);
    snprintf(text, RETRY_WORDS_SIZE, "%lld %s", (long long)count, units[i].name);
}
