/*
 * resolve.h - map = f(claims, policy, day): for one record, which claim supplies each field, by which rule,
 * and what the others say. spec/resolution.md. Pure; no arrival order, clock, locale or floating point.
 */
#ifndef KAARTD_PROTOCOL_RESOLVE_H
#define KAARTD_PROTOCOL_RESOLVE_H

#include "protocol/entry.h"
#include "protocol/policy.h"

#include <cjson/cJSON.h>

/* A live assert about the record, as the caller parsed it. Everything is borrowed for as long as the
 * resolution lives. */
struct claim {
    const char *feed; /* "origin/audience" */
    uint64_t seq;
    struct hash leaf;
    const char *kind, *id, *source, *role;
    int64_t at_ms;
    int32_t verified;      /* as the entry says; DAY_NONE */
    int32_t missing_since; /* DAY_NONE */
    int32_t confirmed; /* `verified` of the newest live confirmation of this source in this feed (else the day
                          of its `at`); DAY_NONE: there is none */
    int64_t confirmed_at_ms;  /* `at` of that confirmation */
    bool excepted;            /* that confirmation says that it does not speak for this claim */
    const char *on_behalf_of; /* NULL */
    const cJSON *areas;       /* array or NULL */
    const cJSON *body;        /* object */
    bool invalid;             /* record_check found errors in the body */
};

/* The day from which a claim's freshness is counted on `day` [RES-9]: the entry's own `verified` or a confirmation of its source, none later than the day on
 * which it was said. *changes (may be NULL): the day on which a confirmation dated after `day` comes into force; DAY_NONE: none. */
int32_t claim_verified(const struct claim *claim, int32_t day, int32_t *changes);

/* Of one feed, only this many live claims about one record count, those with the lowest seq: a feed with a
 * thousand sources for one record must not make everybody's work quadratic. Five sources are many. [RES-5] */
#define CLAIMS_PER_FEED_MAX 64

enum resolve_rule {            /* what decided for the winner, against the best of the others */
                    RULE_ONLY, /* nobody else has the field */
                    RULE_PIN,
                    RULE_FRESH, /* the others are stale */
                    RULE_RANK,  /* place of (role, home) in the group's order */
                    RULE_LATER, /* later `at` */
                    RULE_LEAF,  /* greater leaf */
                    RULE_FEED,  /* lesser feed name */
};
const char *resolve_rule_name(enum resolve_rule rule);

/* Why a claim does not count; COUNTS if it does. */
enum claim_standing {
    CLAIM_COUNTS,
    CLAIM_UNKNOWN_ORIGIN,
    CLAIM_SUSPENDED,
    CLAIM_ROLE_NOT_GRANTED,
    CLAIM_KIND_NOT_GRANTED,
    CLAIM_AREA_NOT_GRANTED,
    CLAIM_INVALID_BODY,
    CLAIM_UNKNOWN_KIND,
    CLAIM_FROM_THE_FUTURE,
    CLAIM_PIN_EXPIRED,
    CLAIM_NO_STEWARD,
    CLAIM_UNKNOWN_ROLE,
    CLAIM_TOO_MANY,
    CLAIM_REPEATED /* handed in a second time: same feed, same seq */
};
const char *claim_standing_name(enum claim_standing standing);

/* How a claim that counts is weighed. */
struct claim_judgement {
    const char
        *role; /* the role in which it counts: its own, or "resident" for a provider elsewhere [RES-10] */
    bool home; /* its origin is home for the record */
    bool pin;  /* of `pin_group` */
    enum field_group pin_group;
    int32_t verified; /* the day that freshness is counted from [RES-9] */
    unsigned stale;   /* bit 1 << group: stale for that group on the day */
};

/* Place of a claim that counts in the group's order, from 0. A provider who is weighed as a resident stands at the later of both
 * places: nobody gains by speaking for somebody else. [RES-10] */
unsigned claim_place(const struct policy *policy, const struct claim *claim,
                     const struct claim_judgement *judgement, enum field_group group);

struct resolved_field {
    const char *name;   /* borrowed from the winner's body */
    const cJSON *value; /* borrowed; may be JSON null: "has none" */
    enum field_group group;
    enum resolve_rule rule;
    size_t winner;  /* index in the claims */
    size_t *others; /* claims that count and have the field, best first, without the winner */
    size_t other_count;
    bool differs; /* at least one of the others has another value */
};

struct resolution {
    struct resolved_field *fields; /* sorted by name, byte order */
    size_t field_count;
    enum claim_standing *standings;     /* one per claim */
    struct claim_judgement *judgements; /* one per claim; meaningful where the claim counts */
    char *home;                         /* origin, or NULL */
    int32_t next_day; /* the next day on which the result can change by itself; DAY_NONE: never */
    size_t *pool;     /* what the fields' `others` point into */
};

/* Resolves one record from all live claims about it (same kind and id). 0 or KAART_NOMEM. A record without a
 * counting claim has no fields. */
int resolve_record(const struct policy *policy, const struct claim *claims, size_t count, int32_t day,
                   struct resolution **out);
void resolution_free(struct resolution *resolution); /* accepts NULL */

#endif
