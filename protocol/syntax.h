/*
 * syntax.h - the small grammars that every part shares: names, origins, feeds, UUIDs, area codes, days,
 * instants.
 *
 * A day is an int32_t: days since 1970-01-01 in UTC, proleptic Gregorian; DAY_NONE where there is none.
 * An instant is an int64_t: milliseconds since 1970-01-01T00:00:00Z, without leap seconds.
 * Valid days are 0001-01-01 to 9999-12-31. All functions are pure; `size` never counts a NUL.
 */
#ifndef KAARTD_PROTOCOL_SYNTAX_H
#define KAARTD_PROTOCOL_SYNTAX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DAY_NONE INT32_MIN
#define DAY_TEXT_SIZE 10     /* 2026-11-21 */
#define INSTANT_TEXT_SIZE 24 /* 2026-11-21T19:04:05.123Z */
#define SECONDS_TEXT_SIZE 20 /* 2026-11-21T19:04:06Z */
#define MS_PER_DAY 86400000LL

bool syntax_is_name(const char *text, size_t size);   /* [a-z][a-z0-9_-]{0,31} */
bool syntax_is_origin(const char *text, size_t size); /* lower-case DNS name, no dot at the end */
bool syntax_is_feed(const char *text, size_t size);   /* origin "/" name */
bool syntax_is_uuid(const char *text, size_t size);   /* 8-4-4-4-12 lower-case hex; no version is asked for */
bool syntax_is_area(const char *text, size_t size);   /* CBS: GM + 4, WK + 6, BU + 8 digits */
bool syntax_is_utf8(const char *text, size_t size);   /* valid, no surrogates, no overlong forms */

/* 0 or KAART_SYNTAX; the whole text must be the day, and the day a real one. */
int syntax_day_parse(const char *text, size_t size, int32_t *day);
void syntax_day_format(int32_t day, char text[DAY_TEXT_SIZE + 1]);
/* The day of an instant (floor, also before 1970). */
int32_t syntax_day_of(int64_t instant_ms);
/* `months` calendar months after (or before) a day; the day of the month is lowered where the month is
 * shorter. */
int32_t syntax_day_add_months(int32_t day, int months);

/* Exactly 24 bytes with milliseconds and Z, a real date, hour <= 23, second <= 59. 0 or KAART_SYNTAX. */
int syntax_instant_parse(const char *text, size_t size, int64_t *instant_ms);
void syntax_instant_format(int64_t instant_ms, char text[INSTANT_TEXT_SIZE + 1]);

/* Exactly 20 bytes (checkpoint `time`), as Unix seconds. 0 or KAART_SYNTAX. */
int syntax_seconds_parse(const char *text, size_t size, int64_t *unix_s);
void syntax_seconds_format(int64_t unix_s, char text[SECONDS_TEXT_SIZE + 1]);

/* Plain decimal: no sign, no leading zero, at most `max`. 0 or KAART_SYNTAX. */
int syntax_decimal_parse(const char *text, size_t size, uint64_t max, uint64_t *value);

#endif
