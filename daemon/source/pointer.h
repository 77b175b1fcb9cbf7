/*
 * pointer.h - JSON Pointer (RFC 6901), on parsed trees and on checked text.
 *
 * The distribution's libcjson comes without cJSON_Utils. The form on text exists because a listing of 100,000
 * rows as one tree costs six times its size: rows are cut out of the text one by one instead. Pure; borrowed
 * results.
 */
#ifndef KAARTD_SOURCE_POINTER_H
#define KAARTD_SOURCE_POINTER_H

#include "protocol/json.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

/* "" or "/"-separated tokens in which "~" is followed by 0 or 1. */
bool pointer_is_valid(const char *pointer);

/* Whether brackets and strings of a text close as they should, with one object or list from its first byte to its last but white space: enough for the
 * functions below to walk it. What stands between is for json_check_document to say, of the whole or of its parts. */
bool span_is_closed(struct span text);
/* Whether the elements of a closed list are separated by single commas. */
bool span_is_separated(struct span list);

/* What a valid pointer leads to; NULL where there is nothing. Respects case. */
const cJSON *pointer_get(const cJSON *from, const char *pointer);

/* The same on text that span_is_closed: the value's bytes, without white space around.
 * False where there is nothing. */
bool pointer_find(struct span document, const char *pointer, struct span *value);

/* Walks the elements of an array, or the values of an object's members, in closed text: start with *offset
 * 0; false at the end. */
bool span_next(struct span container, size_t *offset, struct span *element);

#endif
