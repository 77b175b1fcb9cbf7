/*
 * retry.h - when to try again: intervals with jitter, exponential backoff with a cap. Pure: randomness is
 * handed in.
 *
 * A fleet that polls, retries or falls back to full syncs at one moment is a stampede, so nothing here is
 * exact. All durations are milliseconds.
 */
#ifndef KAARTD_PROTOCOL_RETRY_H
#define KAARTD_PROTOCOL_RETRY_H

#include <stdint.h>

#define RETRY_WORDS_SIZE 32

/* A peer that asks for more patience than a day is asked again after a day. */
#define RETRY_AFTER_MAX_MS (24LL * 60 * 60 * 1000)

/* `every_ms`, 10 % less up to 10 % more; at least 1. */
int64_t retry_interval(int64_t every_ms, uint32_t random);

/* Between 0 and `most_ms`, both included; 0 for a negative `most_ms`. */
int64_t retry_spread(int64_t most_ms, uint32_t random);

/* After the `failures`th failure in a row (1: the first): `base_ms` doubled for each further one, at most
 * `cap_ms`, of that the upper half at random; at least 1. */
int64_t retry_backoff(unsigned failures, int64_t base_ms, int64_t cap_ms, uint32_t random);

/* A duration as an operator reads it, rounded up: "now", "850 ms", "42 s", "42 min", "5 h", "3 days". */
void retry_words(int64_t duration_ms, char text[RETRY_WORDS_SIZE]);

#endif
