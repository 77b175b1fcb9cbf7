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
/* `order`: "role" or "role@home", NULL-terminated; `stale_after`: "18 months", "30 days", "2 years", "never"; NULL keeps the default. KAART_INVALID. */
int policy_builder_group(struct policy_builder *builder, const char *group, const char *const *order,
                         const char *stale_after, struct fault *fault);
/* In the order of the policy's list of origins. Lists NULL-terminated, empty `kinds`: all, empty `roles`: all. KAART_INVALID: names, areas, a second line for the same origin. */
int policy_builder_origin(struct policy_builder *builder, const char *origin, const char *const *areas,
                          const char *const *roles, const char *const *kinds, bool steward, bool suspended,
                          struct fault *fault);
/* Consumes the builder's content. 0 or KAART_NOMEM. */
int policy_builder_finish(struct policy_builder *builder, struct policy **out, struct fault *fault);

/* The canonical text and back; policy_text(policy_parse(t)) == t for a canonical t. KAART_SYNTAX names the line. */
const char *policy_text(const struct policy *policy, size_t *size);
int policy_parse(const char *text, size_t size, struct policy **out, struct fault *fault);
const struct hash *policy_hash(const struct policy *policy); /* SHA-256 of the text */

struct policy *policy_hold(const struct policy *policy);
void policy_release(struct policy *policy); /* accepts NULL */

#endif
