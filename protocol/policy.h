/*
 * policy.h - who is believed for what, as one canonical text. spec/resolution.md, section "Policy".
 *
 * Immutable once built; may be shared by threads through policy_hold / policy_release (the count is atomic).
 */
#ifndef KAARTD_PROTOCOL_POLICY_H
#define KAARTD_PROTOCOL_POLICY_H

#include "protocol/error.h"
#include "protocol/hash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum field_group {
    GROUP_IDENTITY,
    GROUP_PLACE,
    GROUP_CONTACT,
    GROUP_HOURS,
    GROUP_ACCESS,
    GROUP_DESCRIPTION, /* also whatever is unlisted */
    GROUP_CLASSIFICATION,
    GROUP_STATUS,
    GROUP_COUNT
};
const char *field_group_name(enum field_group group);
/* The group that a member of a record of `kind` belongs to. */
enum field_group field_group_of(const char *kind, const char *field);

struct policy;
struct policy_builder;

/* A builder starts with the default order and stale-after of every group and without origins. */
struct policy_builder *policy_builder_new(void);
void policy_builder_free(struct policy_builder *builder);
/* `order`: "role" or "role@home", NULL-terminated; `stale_after`: "18 months", "30 days", "2 years", "never";
 * NULL keeps the default. KAART_INVALID. */
int policy_builder_group(struct policy_builder *builder, const char *group, const char *const *order,
                         const char *stale_after, struct fault *fault);
/* In the order of the policy's list of origins. Lists NULL-terminated; empty `kinds`: all, empty `roles`:
 * all, empty `areas`: none. An area is a CBS code, or "NL" for the whole country. KAART_INVALID: names,
 * areas, unknown roles or kinds, a second line for the same origin. */
int policy_builder_origin(struct policy_builder *builder, const char *origin, const char *const *areas,
                          const char *const *roles, const char *const *kinds, bool steward, bool suspended,
                          struct fault *fault);
/* Consumes the builder's content. 0 or KAART_NOMEM. */
int policy_builder_finish(struct policy_builder *builder, struct policy **out, struct fault *fault);

/* The canonical text and back; policy_text(policy_parse(t)) == t for a canonical t. KAART_SYNTAX names the
 * line. */
const char *policy_text(const struct policy *policy, size_t *size);
int policy_parse(const char *text, size_t size, struct policy **out, struct fault *fault);
const struct hash *policy_hash(const struct policy *policy); /* SHA-256 of the text */

/* ---- what the resolver asks ---- */

bool policy_role_known(const char *role);
/* Borrowed from the policy; NULL where it has no line for this origin. `place` is the position in the list.
 */
struct policy_origin {
    char *name;
    size_t place;
    char **areas, **roles, **kinds; /* sorted, NULL-terminated; roles and kinds: NULL means all */
    bool steward, suspended;
};
/* The origin's name ends at `size`, so that "origin/audience" can be handed in. */
const struct policy_origin *policy_origin(const struct policy *policy, const char *name, size_t size);
bool policy_origin_role(const struct policy_origin *origin, const char *role);
bool policy_origin_kind(const struct policy_origin *origin, const char *kind);
/* How specific the most specific granted area is that covers `area`: 4 BU, 3 WK, 2 GM, 1 NL, 0: none does. */
unsigned policy_origin_covers(const struct policy_origin *origin, const char *area);

/* Place of (role, home) in the group's order, from 0; what is unlisted shares the last place. */
unsigned policy_rank(const struct policy *policy, enum field_group group, const char *role, bool home);
/* The first day on which something last confirmed on `day` is stale; DAY_NONE: never. */
int32_t policy_stale_from(const struct policy *policy, enum field_group group, int32_t day);
/* 0 and *group, or KAART_UNKNOWN. */
int field_group_parse(const char *name, size_t size, enum field_group *group);

struct policy *policy_hold(const struct policy *policy);
void policy_release(struct policy *policy); /* accepts NULL */

#endif
