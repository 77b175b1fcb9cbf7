/*
 * record.h - the Dutch profile of HSDS 3: which kinds of record there are and what a body may say.
 * spec/records.md.
 *
 * Two severities. An *error* makes a body invalid: its entry is stored, hashed, relayed and listed, but does
 * not count in resolution, and import refuses it. A *warning* is kept as the source said it. Members that the
 * profile does not know are neither: they survive untouched.
 */
#ifndef KAARTD_PROTOCOL_RECORD_H
#define KAARTD_PROTOCOL_RECORD_H

#include "protocol/error.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

/* The audience whose feeds anybody may read and relay. */
#define AUDIENCE_PUBLIC "public"

/* A `source` that begins so holds pins: an operator's override of one group. spec/resolution.md [RES-8]. */
#define PIN_SOURCE_PREFIX "pin-"

/* At most this many findings about one body are reported: more help nobody, and a hostile body would have
 * thousands. */
#define RECORD_FINDINGS_MAX 100

enum record_severity { RECORD_ERROR, RECORD_WARNING };

/* One finding. `pointer` is the JSON Pointer (RFC 6901) to the member, "" for the body itself; `message` says
 * what is wrong and ends with the clause, "[REC-n]". Both are valid during the call only. They name no values
 * of members that can hold persons. */
typedef void record_report(void *context, enum record_severity severity, const char *pointer,
                           const char *message);

/* Kinds of the profile, NULL-terminated, in the order of spec/records.md. */
const char *const *record_kinds(void);
bool record_kind_known(const char *kind);

/*
 * Checks a body. `id` is the record's (NULL: not known yet); `audience` that of the feed it is in or meant
 * for. `report` may be NULL. 0: no errors (warnings perhaps); KAART_INVALID: at least one error;
 * KAART_UNKNOWN: no such kind; KAART_NOMEM.
 */
int record_check(const char *kind, const char *id, const cJSON *body, const char *audience,
                 record_report *report, void *context);

/* What to call a record: its name, or what comes nearest (address, title, type of relation). Borrowed from
 * `body`; NULL where there is nothing. */
const char *record_name(const char *kind, const cJSON *body);

/*
 * The value of an identifier, in whichever of the profile's forms it stands: `identifiers` [{scheme, value}]
 * or HSDS's organization_identifiers / external_identifier. `scheme`: "kvk", "rsin", "oin", "agb", "ura",
 * "vestigingsnummer", "bag". Borrowed from `body`; NULL where absent. Its syntax is not checked here.
 */
const char *record_identifier(const cJSON *body, const char *scheme);

/* Whether a value is well-formed for its scheme (RSIN with its check digit). True for schemes the profile
 * does not know. */
bool record_identifier_valid(const char *scheme, const char *value);

/* A member that belongs to the claim and not to the record: `id`, `verified`, `partial`, `derived_from`,
 * `pin_reason`, `pin_expires`. Resolution passes over them. [REC-6] */
bool record_member_reserved(const char *name);

#endif
