/*
 * convert.h - the conversions that a mapping can ask for: dates, times, numbers, words for yes and no, HTML,
 * RD coordinates. Pure.
 *
 * Each returns 0, or KAART_INVALID with a text that quotes what came (shortened) and says what would be
 * right, or KAART_NOMEM.
 */
#ifndef KAARTD_SOURCE_CONVERT_H
#define KAARTD_SOURCE_CONVERT_H

#include "protocol/error.h"
#include "protocol/syntax.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

/* How much of a foreign value a message quotes. */
#define CONVERT_QUOTE_MAX 60

/* Formats the value (text, number, true, false) for a message: quoted and shortened at a character's border.
 * Returns `quoted`. */
const char *convert_quote(const cJSON *value, char quoted[CONVERT_QUOTE_MAX + 8]);

/* A date pattern: yyyy, mm or m, dd or d, mmmm (Dutch month), other characters as they stand; a last "*"
 * ignores the rest. */
bool convert_date_pattern_is_valid(const char *pattern);
/* The first of the NULL-terminated patterns that fits gives the day. */
int convert_date(const char *text, const char *const *patterns, char day[DAY_TEXT_SIZE + 1],
                 struct fault *fault);

/* "9:00", "09.00", "0900", "9:00 uur", "09:00:00" to "09:00"; 24:00 stays. */
int convert_time(const char *text, char time[6], struct fault *fault);

/* "1234.5"; with `dutch` "1.234,50" and a leading euro sign. */
int convert_number(const char *text, bool dutch, double *number, struct fault *fault);

/* Words are compared without ASCII case; NULL lists: true ja j yes y 1 waar / false nee n no 0 onwaar. */
int convert_boolean(const char *text, const cJSON *yes, const cJSON *no, bool *value, struct fault *fault);

/* "www.example.nl" to "https://www.example.nl"; http and https only. *url is malloc'ed. */
int convert_url(const char *text, char **url, struct fault *fault);

/* "3511bt" to "3511 BT". */
int convert_postcode(const char *text, char postcode[8], struct fault *fault);

/* Readable text: paragraphs and list items on lines of their own, entities resolved, scripts and styles gone.
 * *text is malloc'ed. */
int convert_html(const char *html, char **text, struct fault *fault);

/* A point: "SRID=28992;POINT (x y)", "x y", "x,y", [x,y], {"coordinates":[x,y]}: RD unless an SRID of 4326
 * says longitude and latitude. */
int convert_point(const cJSON *value, double *latitude, double *longitude, struct fault *fault);

/* RD New (SRID 28992, metres) to WGS84 degrees by the polynomials of Schreutelkamp and Strang van Hees
 * (2001), which are within a metre of RDNAPTRANS in the Netherlands; rounded to 6 decimals. KAART_INVALID
 * outside x -7000..300000, y 289000..629000. */
int convert_rd(double x, double y, double *latitude, double *longitude, struct fault *fault);

#endif
