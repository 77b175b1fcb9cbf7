/*
 * json.h - the strict check that stands before cJSON (which accepts duplicate members, invalid UTF-8, NUL,
 * trailing garbage and numbers it cannot hold). spec/feed.md [JSON-1] and following.
 *
 * One pass over the bytes; no tree is built and nothing is allocated that grows with the input beyond the
 * limits.
 */
#ifndef KAARTD_PROTOCOL_JSON_H
#define KAARTD_PROTOCOL_JSON_H

#include "protocol/error.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

/* A part of a text that somebody else owns. `data` is NULL where there is none. Not NUL-terminated. */
struct span {
    const char *data;
    size_t size;
};

/* Called for each member of the outermost object, in order: the name as it stands between its quotes (raw,
 * escapes not resolved) and the value's bytes (strings with their quotes). Non-zero ends the check with that
 * code. */
typedef int json_member_function(void *context, struct span name, struct span value, struct fault *fault);

/*
 * Checks that the text is exactly one JSON object, nothing around its braces: valid UTF-8 without lone
 * surrogates (raw or escaped), no \u0000, no byte below 0x20 anywhere, no duplicate members in any object
 * (compared after resolving escapes), depth <= JSON_DEPTH_MAX, members <= JSON_MEMBERS_MAX an object, numbers
 * in RFC 8259's grammar that are finite as a double, integers (no fraction, no exponent) within +-2^53.
 * `member` may be NULL. 0, KAART_SYNTAX (the text names the offset), KAART_LIMIT or KAART_NOMEM.
 */
int json_check_object(const char *text, size_t size, json_member_function *member, void *context,
                      struct fault *fault);

/* As json_check_object, but any JSON value may be outermost, and white space (space, tab, LF, CR) is allowed
 * between tokens and around: for files and foreign APIs. `depth_max`, `members_max` as given there (0: the
 * limits of entries). */
int json_check_document(const char *text, size_t size, size_t members_max, struct fault *fault);

/* What a string that passed a check says: its escapes resolved, a NUL added; allocated with malloc. `value`
 * has its quotes, as json_member_function gets it. NULL: no memory. */
char *json_unescape(struct span value, size_t *size);

/* json_check_document and then cJSON; NULL with `fault` set. The caller deletes the result. */
cJSON *json_parse(const char *text, size_t size, struct fault *fault);

/* Look-ups that respect case; NULL where absent or of another type. Borrowed from `object`. */
const cJSON *json_get(const cJSON *object, const char *name);
const char *json_get_string(const cJSON *object, const char *name);

/* Deep equality of two values, members of objects in any order, numbers by value. */
bool json_equal(const cJSON *a, const cJSON *b);

#endif
