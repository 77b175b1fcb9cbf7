/*
 * unit.h - what the unit tests of protocol/ share: cmocka with what it needs, and random numbers with a
 * printed seed.
 */
#ifndef KAARTD_TESTS_UNIT_H
#define KAARTD_TESTS_UNIT_H

#include "protocol/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

/* A call that must succeed, or must fail with a code and a text that holds some words; `fault` in scope. */
#define assert_ok(call)                                                                                      \
    do {                                                                                                     \
        int code_ = (call);                                                                                  \
        if (code_ != KAART_OK)                                                                               \
            fail_msg("%s: %s: %s", #call, kaart_strerror(code_), fault.text);                                \
    } while (0)
#define assert_fault(call, wanted, words)                                                                    \
    do {                                                                                                     \
        int code_;                                                                                           \
        fault.text[0] = '\0';                                                                                \
        code_ = (call);                                                                                      \
        if (code_ != (wanted) || !strstr(fault.text, words))                                                 \
            fail_msg("%s: %s (%s), not %s with \"%s\"", #call, kaart_strerror(code_), fault.text,            \
                     kaart_strerror(wanted), words);                                                         \
    } while (0)

struct random {
    uint64_t state;
};

/* splitmix64 */
static inline uint64_t random_next(struct random *random)
{
    uint64_t z = random->state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static inline uint64_t random_below(struct random *random, uint64_t limit)
{
    return random_next(random) % limit;
}

/* A new seed each run, printed, or the one in KAARTD_SEED. */
static inline struct random random_start(const char *test)
{
    const char *given = getenv("KAARTD_SEED");
    struct timespec now;
    struct random random;

    clock_gettime(CLOCK_REALTIME, &now);
    random.state =
        given ? strtoull(given, NULL, 10) : (uint64_t)now.tv_sec * 1000000007u ^ (uint64_t)now.tv_nsec;
    printf("# %s: KAARTD_SEED=%llu\n", test, (unsigned long long)random.state);
    return random;
}

#endif
