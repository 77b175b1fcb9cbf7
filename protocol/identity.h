/*
 * identity.h - which UUID a record gets. spec/records.md, section "Identity".
 *
 * UUIDv5 (RFC 9562) in one fixed namespace, so that two nodes that know the same Chamber of Commerce number
 * mean the same record without having asked each other. Persons and one-person businesses get random ids: a
 * hash of a number or name would confirm a guess.
 */
#ifndef KAARTD_PROTOCOL_IDENTITY_H
#define KAARTD_PROTOCOL_IDENTITY_H

#include "protocol/error.h"
#include "protocol/limits.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* UUIDv5 of `name` in kaartd's namespace [ID-1]. 0 or KAART_NOMEM. */
int identity_named(const char *name, size_t size, char out[UUID_TEXT_SIZE + 1]);

/* Whether a UUID is one of the random kind (version 4). */
bool uuid_is_random(const char *id);

/* UUIDv4 from 16 bytes of the caller's random source [ID-5]. */
void uuid_v4_from(const uint8_t random[16], char out[UUID_TEXT_SIZE + 1]);

/* Of an identifier: "kvk", "oin", "agb", "vestigingsnummer" [ID-2] [ID-3]. KAART_INVALID for another scheme
 * or a value that breaks its syntax. */
int identity_of_identifier(const char *scheme, const char *value, char out[UUID_TEXT_SIZE + 1]);

/* Of (origin/source, kind, parent, external id) [ID-4]. `parent` is the parent record's UUID or NULL.
 * KAART_INVALID for an empty external id. */
int identity_of_external(const char *origin, const char *source, const char *kind, const char *parent,
                         const char *external_id, char out[UUID_TEXT_SIZE + 1]);

/*
 * The id that a source's record gets: by its identifiers where the kind has such, else by its external id.
 * `parent` and `external_id` may be NULL. KAART_UNKNOWN: it must be random (a person, a one-person business
 * [ID-5], or nothing to go by): use uuid_v4_from and remember it, an id never changes afterwards [ID-6].
 */
int identity_of_record(const char *kind, const cJSON *body, const char *origin, const char *source,
                       const char *parent, const char *external_id, char out[UUID_TEXT_SIZE + 1]);

/* Of a same-as or not-same-as relation: of the sorted pair, so that both compete under one id [ID-7]. */
int identity_of_pair(const char *a, const char *b, char out[UUID_TEXT_SIZE + 1]);

/* Of a source's confirmation entry: one per (origin, source), so that a newer one replaces it [ID-8]. */
int identity_of_confirmation(const char *origin, const char *source, char out[UUID_TEXT_SIZE + 1]);

/* Whether the body is about one person: kind professional, or a legal form that is one person (eenmanszaak).
 * [ID-5] */
bool identity_is_person(const char *kind, const cJSON *body);

#endif
