/*
 * field_group.c - which field group a member belongs to. spec/resolution.md, section "Field groups" [POL-2].
 *
 * One table for all kinds, since a member means the same everywhere, but for contracts and relations. What is
 * unlisted is description.
 */
#include "protocol/policy.h"

#include <stdlib.h>
#include <string.h>

struct entry_of_table {
    const char *field;
    enum field_group group;
};

/* Sorted by name, byte order: looked up by bsearch (a test checks the order). */
static const struct entry_of_table table[] = {
    {"access", GROUP_ACCESS},
    {"accessibility", GROUP_ACCESS},
    {"addresses", GROUP_PLACE},
    {"alert", GROUP_STATUS},
    {"alternate_name", GROUP_IDENTITY},
    {"alternate_names", GROUP_IDENTITY},
    {"application_process", GROUP_ACCESS},
    {"areas", GROUP_PLACE},
    {"assured_date", GROUP_STATUS},
    {"assurer_email", GROUP_STATUS},
    {"attributes", GROUP_CLASSIFICATION},
    {"code", GROUP_IDENTITY},
    {"contacts", GROUP_CONTACT},
    {"cost_options", GROUP_ACCESS},
    {"costs", GROUP_ACCESS},
    {"eligibility_description", GROUP_ACCESS},
    {"email", GROUP_CONTACT},
    {"ends_at", GROUP_HOURS},
    {"external_identifier", GROUP_IDENTITY},
    {"external_identifier_type", GROUP_IDENTITY},
    {"fees", GROUP_ACCESS},
    {"fees_description", GROUP_ACCESS},
    {"from_id", GROUP_IDENTITY},
    {"from_kind", GROUP_IDENTITY},
    {"identifiers", GROUP_IDENTITY},
    {"interpretation_services", GROUP_ACCESS},
    {"jeugdwet_products", GROUP_CLASSIFICATION},
    {"languages", GROUP_ACCESS},
    {"last_modified", GROUP_STATUS},
    {"latitude", GROUP_PLACE},
    {"legal_name", GROUP_IDENTITY},
    {"legal_status", GROUP_IDENTITY},
    {"location", GROUP_PLACE},
    {"location_id", GROUP_PLACE},
    {"location_type", GROUP_PLACE},
    {"locations", GROUP_PLACE},
    {"longitude", GROUP_PLACE},
    {"maximum_age", GROUP_ACCESS},
    {"minimum_age", GROUP_ACCESS},
    {"name", GROUP_IDENTITY},
    {"organization", GROUP_IDENTITY},
    {"organization_id", GROUP_IDENTITY},
    {"organization_identifiers", GROUP_IDENTITY},
    {"parent_id", GROUP_IDENTITY},
    {"parent_organization_id", GROUP_IDENTITY},
    {"phones", GROUP_CONTACT},
    {"positive_health", GROUP_CLASSIFICATION},
    {"program", GROUP_IDENTITY},
    {"program_id", GROUP_IDENTITY},
    {"required_documents", GROUP_ACCESS},
    {"schedules", GROUP_HOURS},
    {"service", GROUP_IDENTITY},
    {"service_areas", GROUP_PLACE},
    {"service_at_locations", GROUP_PLACE},
    {"service_id", GROUP_IDENTITY},
    {"specialism", GROUP_CLASSIFICATION},
    {"starts_at", GROUP_HOURS},
    {"status", GROUP_STATUS},
    {"target_groups", GROUP_CLASSIFICATION},
    {"tax_id", GROUP_IDENTITY},
    {"tax_status", GROUP_IDENTITY},
    {"taxonomy", GROUP_IDENTITY},
    {"taxonomy_detail", GROUP_IDENTITY},
    {"taxonomy_id", GROUP_IDENTITY},
    {"term_uri", GROUP_IDENTITY},
    {"themes", GROUP_CLASSIFICATION},
    {"timezone", GROUP_HOURS},
    {"title", GROUP_IDENTITY},
    {"to_id", GROUP_IDENTITY},
    {"to_kind", GROUP_IDENTITY},
    {"transportation", GROUP_PLACE},
    {"type", GROUP_IDENTITY},
    {"uri", GROUP_IDENTITY},
    {"url", GROUP_CONTACT},
    {"valid_from", GROUP_STATUS},
    {"valid_to", GROUP_STATUS},
    {"wait_time", GROUP_ACCESS},
    {"website", GROUP_CONTACT},
    {"websites", GROUP_CONTACT},
    {"wmo_products", GROUP_CLASSIFICATION},
    {"year_incorporated", GROUP_IDENTITY},
};

static int compare(const void *name, const void *element)
{
    return strcmp(name, ((const struct entry_of_table *)element)->field);
}

enum field_group field_group_of(const char *kind, const char *field)
{
    /* A contract or link is one statement: whoever is believed about it is believed about all of it, and the
     * group where buyers and editors stand before providers is identity. Nobody prolongs a contract of his
     * own. */
    if (strcmp(kind, "contract") == 0 || strcmp(kind, "relation") == 0)
        return GROUP_IDENTITY;
    const struct entry_of_table *found =
        bsearch(field, table, sizeof table / sizeof *table, sizeof *table, compare);
    return found ? found->group : GROUP_DESCRIPTION;
}
