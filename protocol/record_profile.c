/*
 * record_profile.c - the Dutch HSDS profile as tables. spec/records.md tells the same for people, kind by
 * kind.
 *
 * Names are HSDS 3.0's where it has one. A member marked required is one without which a record of that kind
 * means nothing to anybody; what HSDS requires beyond that is filled in at the HSDS edge.
 */
#include "protocol/record_profile.h"

#include <string.h>

#define END                                                                                                  \
    {                                                                                                        \
        NULL, VALUE_TEXT, false, NULL                                                                        \
    }

/* ---- lists of words ---- */

static const char *const statuses[] = {"active", "inactive", "defunct", "temporarily closed", NULL};
static const char *const contract_statuses[] = {"active",  "inactive", "defunct", "temporarily closed",
                                                "planned", "ended",    NULL};
static const char *const request_statuses[] = {"active",    "inactive", "defunct", "temporarily closed",
                                               "fulfilled", NULL};
static const char *const activity_statuses[] = {"active",  "inactive",  "defunct", "temporarily closed",
                                                "planned", "cancelled", "full",    NULL};
static const char *const location_types[] = {"physical", "postal", "virtual", NULL};
static const char *const frequencies[] = {"WEEKLY", "MONTHLY", NULL};
static const char *const weekdays[] = {"MO", "TU", "WE", "TH", "FR", "SA", "SU", NULL};
static const char *const laws[] = {"wmo", "jeugdwet",    "participatiewet", "wlz", "zvw",
                                   "wgs", "gemeentewet", "other",           NULL};
static const char *const bases[] = {"law", "consent", "own-publication", NULL};
static const char *const relation_types[] = {"part-of",   "member-of",   "cooperates-with",
                                             "refers-to", "offers-at",   "should-link",
                                             "same-as",   "not-same-as", NULL};
static const char *const request_types[] = {"question", "offer", NULL};
/* The six dimensions of positive health (Institute for Positive Health). */
static const char *const positive_health[] = {"bodily-functions",
                                              "mental-well-being",
                                              "meaningfulness",
                                              "quality-of-life",
                                              "participation",
                                              "daily-functioning",
                                              NULL};
static const char *const kind_names[] = {"organization",
                                         "service",
                                         "location",
                                         "service_at_location",
                                         "program",
                                         "taxonomy_term",
                                         "contract",
                                         "activity",
                                         "relation",
                                         "request",
                                         "professional",
                                         "confirmation",
                                         NULL};

/* ---- parts of records ---- */

static const struct shape phone_shape, contact_shape, schedule_shape, address_shape, language_shape,
    accessibility_shape, funding_shape, cost_option_shape, service_area_shape, required_document_shape,
    identifier_shape, hsds_identifier_shape, attribute_shape, metadata_shape, taxonomy_shape, derived_shape;
static const struct shape organization_shape, service_shape, location_shape, service_at_location_shape,
    program_shape, taxonomy_term_shape;

#define PART_MEMBERS                                                                                         \
    {"id", VALUE_UUID, false, NULL}, {"attributes", VALUE_OBJECTS, false, &attribute_shape},                 \
    {                                                                                                        \
        "metadata", VALUE_OBJECTS, false, &metadata_shape                                                    \
    }

static const struct member attribute_members[] = {
    {"id", VALUE_UUID, false, NULL},
    {"link_id", VALUE_UUID, false, NULL},
    {"taxonomy_term_id", VALUE_UUID, false, NULL},
    {"link_type", VALUE_TEXT, false, NULL},
    {"link_entity", VALUE_TEXT, false, NULL},
    {"value", VALUE_TEXT, false, NULL},
    {"taxonomy_term", VALUE_OBJECT, false, &taxonomy_term_shape},
    {"metadata", VALUE_OBJECTS, false, &metadata_shape},
    END};
static const struct shape attribute_shape = {"attribute", attribute_members, SHAPE_PLAIN, false};

static const struct member metadata_members[] = {{"id", VALUE_UUID, false, NULL},
                                                 {"resource_id", VALUE_UUID, false, NULL},
                                                 {"resource_type", VALUE_TEXT, false, NULL},
                                                 {"last_action_date", VALUE_MOMENT, false, NULL},
                                                 {"last_action_type", VALUE_TEXT, false, NULL},
                                                 {"field_name", VALUE_TEXT, false, NULL},
                                                 {"previous_value", VALUE_TEXT, false, NULL},
                                                 {"replacement_value", VALUE_TEXT, false, NULL},
                                                 {"updated_by", VALUE_TEXT, false, NULL},
                                                 END};
static const struct shape metadata_shape = {"metadata", metadata_members, SHAPE_PLAIN, false};

static const struct member language_members[] = {PART_MEMBERS,
                                                 {"service_id", VALUE_UUID, false, NULL},
                                                 {"location_id", VALUE_UUID, false, NULL},
                                                 {"phone_id", VALUE_UUID, false, NULL},
                                                 {"name", VALUE_TEXT, false, NULL},
                                                 {"code", VALUE_TEXT, false, NULL},
                                                 {"note", VALUE_TEXT, false, NULL},
                                                 END};
static const struct shape language_shape = {"language", language_members, SHAPE_PLAIN, false};

static const struct member phone_members[] = {PART_MEMBERS,
                                              {"location_id", VALUE_UUID, false, NULL},
                                              {"service_id", VALUE_UUID, false, NULL},
                                              {"organization_id", VALUE_UUID, false, NULL},
                                              {"contact_id", VALUE_UUID, false, NULL},
                                              {"service_at_location_id", VALUE_UUID, false, NULL},
                                              {"number", VALUE_PHONE, true, NULL},
                                              {"extension", VALUE_EXTENSION, false, NULL},
                                              {"type", VALUE_TEXT, false, NULL},
                                              {"description", VALUE_TEXT, false, NULL},
                                              {"languages", VALUE_OBJECTS, false, &language_shape},
                                              END};
static const struct shape phone_shape = {"phone", phone_members, SHAPE_PLAIN, false};

static const struct member contact_members[] = {PART_MEMBERS,
                                                {"organization_id", VALUE_UUID, false, NULL},
                                                {"service_id", VALUE_UUID, false, NULL},
                                                {"service_at_location_id", VALUE_UUID, false, NULL},
                                                {"location_id", VALUE_UUID, false, NULL},
                                                {"name", VALUE_TEXT, false, NULL},
                                                {"title", VALUE_TEXT, false, NULL},
                                                {"department", VALUE_TEXT, false, NULL},
                                                {"email", VALUE_EMAIL, false, NULL},
                                                {"phones", VALUE_OBJECTS, false, &phone_shape},
                                                {"basis", VALUE_ENUM, false, bases},
                                                END};
static const struct shape contact_shape = {"contact", contact_members, SHAPE_CONTACT, false};

static const struct member schedule_members[] = {PART_MEMBERS,
                                                 {"service_id", VALUE_UUID, false, NULL},
                                                 {"location_id", VALUE_UUID, false, NULL},
                                                 {"service_at_location_id", VALUE_UUID, false, NULL},
                                                 {"valid_from", VALUE_MOMENT, false, NULL},
                                                 {"valid_to", VALUE_MOMENT, false, NULL},
                                                 {"dtstart", VALUE_MOMENT, false, NULL},
                                                 {"timezone", VALUE_ZONE, false, NULL},
                                                 {"until", VALUE_MOMENT, false, NULL},
                                                 {"count", VALUE_INTEGER, false, NULL},
                                                 {"wkst", VALUE_ENUM, false, weekdays},
                                                 {"freq", VALUE_ENUM, false, frequencies},
                                                 {"interval", VALUE_INTEGER, false, NULL},
                                                 {"byday", VALUE_WEEKDAYS, false, NULL},
                                                 {"byweekno", VALUE_TEXT, false, NULL},
                                                 {"bymonthday", VALUE_TEXT, false, NULL},
                                                 {"byyearday", VALUE_TEXT, false, NULL},
                                                 {"description", VALUE_TEXT, false, NULL},
                                                 {"opens_at", VALUE_TIME, false, NULL},
                                                 {"closes_at", VALUE_TIME, false, NULL},
                                                 {"schedule_link", VALUE_URI, false, NULL},
                                                 {"attending_type", VALUE_TEXT, false, NULL},
                                                 {"notes", VALUE_TEXT, false, NULL},
                                                 END};
static const struct shape schedule_shape = {"schedule", schedule_members, SHAPE_SPAN, false};

static const struct member address_members[] = {PART_MEMBERS,
                                                {"location_id", VALUE_UUID, false, NULL},
                                                {"attention", VALUE_TEXT, false, NULL},
                                                {"address_1", VALUE_TEXT, false, NULL},
                                                {"address_2", VALUE_TEXT, false, NULL},
                                                {"city", VALUE_TEXT, false, NULL},
                                                {"region", VALUE_TEXT, false, NULL},
                                                {"state_province", VALUE_TEXT, false, NULL},
                                                {"postal_code", VALUE_TEXT, false, NULL},
                                                {"country", VALUE_TEXT, false, NULL},
                                                {"address_type", VALUE_ENUM, false, location_types},
                                                {"street", VALUE_TEXT, false, NULL},
                                                {"house_number", VALUE_INTEGER, false, NULL},
                                                {"house_letter", VALUE_TEXT, false, NULL},
                                                {"house_number_addition", VALUE_TEXT, false, NULL},
                                                {"municipality", VALUE_MUNICIPALITY, false, NULL},
                                                {"area", VALUE_AREA, false, NULL},
                                                {"bag_nummeraanduiding", VALUE_BAG, false, NULL},
                                                {"bag_adresseerbaar_object", VALUE_BAG, false, NULL},
                                                END};
static const struct shape address_shape = {"address", address_members, SHAPE_ADDRESS, false};

static const struct member accessibility_members[] = {PART_MEMBERS,
                                                      {"location_id", VALUE_UUID, false, NULL},
                                                      {"description", VALUE_TEXT, false, NULL},
                                                      {"details", VALUE_TEXT, false, NULL},
                                                      {"url", VALUE_URI, false, NULL},
                                                      END};
static const struct shape accessibility_shape = {"accessibility", accessibility_members, SHAPE_PLAIN, false};

static const struct member funding_members[] = {PART_MEMBERS,
                                                {"organization_id", VALUE_UUID, false, NULL},
                                                {"service_id", VALUE_UUID, false, NULL},
                                                {"source", VALUE_TEXT, false, NULL},
                                                END};
static const struct shape funding_shape = {"funding", funding_members, SHAPE_PLAIN, false};

static const struct member cost_option_members[] = {PART_MEMBERS,
                                                    {"service_id", VALUE_UUID, false, NULL},
                                                    {"valid_from", VALUE_MOMENT, false, NULL},
                                                    {"valid_to", VALUE_MOMENT, false, NULL},
                                                    {"option", VALUE_TEXT, false, NULL},
                                                    {"currency", VALUE_TEXT, false, NULL},
                                                    {"amount", VALUE_NUMBER, false, NULL},
                                                    {"amount_description", VALUE_TEXT, false, NULL},
                                                    END};
static const struct shape cost_option_shape = {"cost_option", cost_option_members, SHAPE_SPAN, false};

static const struct member service_area_members[] = {PART_MEMBERS,
                                                     {"service_id", VALUE_UUID, false, NULL},
                                                     {"name", VALUE_TEXT, false, NULL},
                                                     {"description", VALUE_TEXT, false, NULL},
                                                     {"extent", VALUE_TEXT, false, NULL},
                                                     {"extent_type", VALUE_TEXT, false, NULL},
                                                     {"uri", VALUE_TEXT, false, NULL},
                                                     {"area", VALUE_AREA, false, NULL},
                                                     END};
static const struct shape service_area_shape = {"service_area", service_area_members, SHAPE_PLAIN, false};

static const struct member required_document_members[] = {PART_MEMBERS,
                                                          {"service_id", VALUE_UUID, false, NULL},
                                                          {"document", VALUE_TEXT, false, NULL},
                                                          {"uri", VALUE_URI, false, NULL},
                                                          END};
static const struct shape required_document_shape = {"required_document", required_document_members,
                                                     SHAPE_PLAIN, false};

static const struct member identifier_members[] = {
    {"scheme", VALUE_TEXT, true, NULL}, {"value", VALUE_TEXT, true, NULL}, END};
static const struct shape identifier_shape = {"identifier", identifier_members, SHAPE_IDENTIFIER, false};

static const struct member hsds_identifier_members[] = {PART_MEMBERS,
                                                        {"organization_id", VALUE_UUID, false, NULL},
                                                        {"identifier_scheme", VALUE_TEXT, false, NULL},
                                                        {"identifier_type", VALUE_TEXT, false, NULL},
                                                        {"identifier", VALUE_TEXT, true, NULL},
                                                        END};
static const struct shape hsds_identifier_shape = {"organization_identifier", hsds_identifier_members,
                                                   SHAPE_HSDS_IDENTIFIER, false};

static const struct member taxonomy_members[] = {{"id", VALUE_UUID, false, NULL},
                                                 {"name", VALUE_TEXT, false, NULL},
                                                 {"description", VALUE_TEXT, false, NULL},
                                                 {"uri", VALUE_URI, false, NULL},
                                                 {"version", VALUE_TEXT, false, NULL},
                                                 {"metadata", VALUE_OBJECTS, false, &metadata_shape},
                                                 END};
static const struct shape taxonomy_shape = {"taxonomy", taxonomy_members, SHAPE_PLAIN, false};

static const struct member derived_members[] = {{"feed", VALUE_TEXT, true, NULL},
                                                {"kind", VALUE_TEXT, true, NULL},
                                                {"id", VALUE_UUID, true, NULL},
                                                {"source", VALUE_TEXT, true, NULL},
                                                END};
static const struct shape derived_shape = {"derived_from", derived_members, SHAPE_PLAIN, false};

/* ---- what every record can have ---- */

const struct member record_common_members[] = {{"id", VALUE_UUID, false, NULL},
                                               {"verified", VALUE_DAY, false, NULL},
                                               {"partial", VALUE_BOOL, false, NULL},
                                               {"derived_from", VALUE_OBJECT, false, &derived_shape},
                                               {"pin_reason", VALUE_TEXT, false, NULL},
                                               {"pin_expires", VALUE_DAY, false, NULL},
                                               {"description", VALUE_TEXT, false, NULL},
                                               {"summary", VALUE_TEXT, false, NULL},
                                               {"alternate_name", VALUE_TEXT, false, NULL},
                                               {"alternate_names", VALUE_TEXTS, false, NULL},
                                               {"websites", VALUE_URIS, false, NULL},
                                               {"identifiers", VALUE_OBJECTS, false, &identifier_shape},
                                               {"attributes", VALUE_OBJECTS, false, &attribute_shape},
                                               {"metadata", VALUE_OBJECTS, false, &metadata_shape},
                                               {"themes", VALUE_TEXTS, false, NULL},
                                               {"specialism", VALUE_TEXT_OR_LIST, false, NULL},
                                               {"positive_health", VALUE_ENUMS, false, positive_health},
                                               {"wmo_products", VALUE_PRODUCTS, false, NULL},
                                               {"jeugdwet_products", VALUE_PRODUCTS, false, NULL},
                                               {"target_groups", VALUE_TEXTS, false, NULL},
                                               {"costs", VALUE_TEXT, false, NULL},
                                               {"access", VALUE_TEXT, false, NULL},
                                               {"areas", VALUE_AREAS, false, NULL},
                                               {"timezone", VALUE_ZONE, false, NULL},
                                               {"status", VALUE_ENUM, false, statuses},
                                               END};

/* ---- kinds ---- */

static const struct member organization_members[] = {
    {"name", VALUE_TEXT, true, NULL},
    {"legal_name", VALUE_TEXT, false, NULL},
    {"email", VALUE_EMAIL, false, NULL},
    {"website", VALUE_URI, false, NULL},
    {"tax_status", VALUE_TEXT, false, NULL},
    {"tax_id", VALUE_TEXT, false, NULL},
    {"year_incorporated", VALUE_NUMBER, false, NULL},
    {"legal_status", VALUE_TEXT, false, NULL},
    {"logo", VALUE_TEXT, false, NULL},
    {"uri", VALUE_URI, false, NULL},
    {"parent_organization_id", VALUE_UUID, false, NULL},
    {"funding", VALUE_OBJECTS, false, &funding_shape},
    {"contacts", VALUE_OBJECTS, false, &contact_shape},
    {"phones", VALUE_OBJECTS, false, &phone_shape},
    {"addresses", VALUE_OBJECTS, false, &address_shape},
    {"locations", VALUE_OBJECTS, false, &location_shape},
    {"programs", VALUE_OBJECTS, false, &program_shape},
    {"services", VALUE_OBJECTS, false, &service_shape},
    {"organization_identifiers", VALUE_OBJECTS, false, &hsds_identifier_shape},
    END};
static const struct shape organization_shape = {"organization", organization_members, SHAPE_PLAIN, true};

static const struct member service_members[] = {
    {"name", VALUE_TEXT, true, NULL},
    {"status", VALUE_ENUM, true, statuses},
    {"organization_id", VALUE_UUID, false, NULL},
    {"program_id", VALUE_UUID, false, NULL},
    {"url", VALUE_URI, false, NULL},
    {"email", VALUE_EMAIL, false, NULL},
    {"interpretation_services", VALUE_TEXT, false, NULL},
    {"application_process", VALUE_TEXT, false, NULL},
    {"fees_description", VALUE_TEXT, false, NULL},
    {"wait_time", VALUE_TEXT, false, NULL},
    {"fees", VALUE_TEXT, false, NULL},
    {"accreditations", VALUE_TEXT, false, NULL},
    {"eligibility_description", VALUE_TEXT, false, NULL},
    {"minimum_age", VALUE_NUMBER, false, NULL},
    {"maximum_age", VALUE_NUMBER, false, NULL},
    {"assured_date", VALUE_MOMENT, false, NULL},
    {"assurer_email", VALUE_EMAIL, false, NULL},
    {"licenses", VALUE_TEXT, false, NULL},
    {"alert", VALUE_TEXT, false, NULL},
    {"last_modified", VALUE_MOMENT, false, NULL},
    {"phones", VALUE_OBJECTS, false, &phone_shape},
    {"schedules", VALUE_OBJECTS, false, &schedule_shape},
    {"service_areas", VALUE_OBJECTS, false, &service_area_shape},
    {"service_at_locations", VALUE_OBJECTS, false, &service_at_location_shape},
    {"languages", VALUE_OBJECTS, false, &language_shape},
    {"organization", VALUE_OBJECT, false, &organization_shape},
    {"funding", VALUE_OBJECTS, false, &funding_shape},
    {"cost_options", VALUE_OBJECTS, false, &cost_option_shape},
    {"program", VALUE_OBJECT, false, &program_shape},
    {"required_documents", VALUE_OBJECTS, false, &required_document_shape},
    {"contacts", VALUE_OBJECTS, false, &contact_shape},
    END};
static const struct shape service_shape = {"service", service_members, SHAPE_AGES, true};

static const struct member location_members[] = {
    {"location_type", VALUE_ENUM, true, location_types},
    {"name", VALUE_TEXT, false, NULL},
    {"url", VALUE_URI, false, NULL},
    {"organization_id", VALUE_UUID, false, NULL},
    {"transportation", VALUE_TEXT, false, NULL},
    {"latitude", VALUE_LATITUDE, false, NULL},
    {"longitude", VALUE_LONGITUDE, false, NULL},
    {"external_identifier", VALUE_TEXT, false, NULL},
    {"external_identifier_type", VALUE_TEXT, false, NULL},
    {"languages", VALUE_OBJECTS, false, &language_shape},
    {"addresses", VALUE_OBJECTS, false, &address_shape},
    {"contacts", VALUE_OBJECTS, false, &contact_shape},
    {"accessibility", VALUE_OBJECTS, false, &accessibility_shape},
    {"phones", VALUE_OBJECTS, false, &phone_shape},
    {"schedules", VALUE_OBJECTS, false, &schedule_shape},
    END};
static const struct shape location_shape = {"location", location_members, SHAPE_LOCATION, true};

static const struct member service_at_location_members[] = {
    {"service_id", VALUE_UUID, false, NULL},
    {"location_id", VALUE_UUID, false, NULL},
    {"organization_id", VALUE_UUID, false, NULL},
    {"contacts", VALUE_OBJECTS, false, &contact_shape},
    {"phones", VALUE_OBJECTS, false, &phone_shape},
    {"schedules", VALUE_OBJECTS, false, &schedule_shape},
    {"location", VALUE_OBJECT, false, &location_shape},
    {"service", VALUE_OBJECT, false, &service_shape},
    END};
static const struct shape service_at_location_shape = {"service_at_location", service_at_location_members,
                                                       SHAPE_PLAIN, true};

static const struct member program_members[] = {
    {"name", VALUE_TEXT, true, NULL}, {"organization_id", VALUE_UUID, false, NULL}, END};
static const struct shape program_shape = {"program", program_members, SHAPE_PLAIN, true};

static const struct member taxonomy_term_members[] = {
    {"name", VALUE_TEXT, true, NULL},
    {"code", VALUE_TEXT, false, NULL},
    {"parent_id", VALUE_UUID, false, NULL},
    {"taxonomy", VALUE_TEXT, false, NULL},
    {"taxonomy_detail", VALUE_OBJECT, false, &taxonomy_shape},
    {"language", VALUE_TEXT, false, NULL},
    {"taxonomy_id", VALUE_UUID, false, NULL},
    {"term_uri", VALUE_URI, false, NULL},
    END};
static const struct shape taxonomy_term_shape = {"taxonomy_term", taxonomy_term_members, SHAPE_PLAIN, true};

static const struct member contract_members[] = {{"organization_id", VALUE_UUID, true, NULL},
                                                 {"buyer", VALUE_BUYER, true, NULL},
                                                 {"law", VALUE_ENUM, false, laws},
                                                 {"name", VALUE_TEXT, false, NULL},
                                                 {"product_codes", VALUE_PRODUCTS, false, NULL},
                                                 {"begin", VALUE_DAY, false, NULL},
                                                 {"end", VALUE_DAY, false, NULL},
                                                 {"status", VALUE_ENUM, false, contract_statuses},
                                                 {"url", VALUE_URI, false, NULL},
                                                 END};
static const struct shape contract_shape = {"contract", contract_members, SHAPE_CONTRACT, true};

static const struct member activity_members[] = {{"name", VALUE_TEXT, true, NULL},
                                                 {"organization_id", VALUE_UUID, false, NULL},
                                                 {"service_id", VALUE_UUID, false, NULL},
                                                 {"location_id", VALUE_UUID, false, NULL},
                                                 {"program_id", VALUE_UUID, false, NULL},
                                                 {"status", VALUE_ENUM, false, activity_statuses},
                                                 {"schedules", VALUE_OBJECTS, false, &schedule_shape},
                                                 {"starts_at", VALUE_MOMENT, false, NULL},
                                                 {"ends_at", VALUE_MOMENT, false, NULL},
                                                 {"url", VALUE_URI, false, NULL},
                                                 {"email", VALUE_EMAIL, false, NULL},
                                                 {"minimum_age", VALUE_NUMBER, false, NULL},
                                                 {"maximum_age", VALUE_NUMBER, false, NULL},
                                                 {"languages", VALUE_OBJECTS, false, &language_shape},
                                                 {"cost_options", VALUE_OBJECTS, false, &cost_option_shape},
                                                 {"contacts", VALUE_OBJECTS, false, &contact_shape},
                                                 {"phones", VALUE_OBJECTS, false, &phone_shape},
                                                 {"addresses", VALUE_OBJECTS, false, &address_shape},
                                                 END};
static const struct shape activity_shape = {"activity", activity_members, SHAPE_ACTIVITY, true};

static const struct member relation_members[] = {
    {"type", VALUE_ENUM, true, relation_types}, {"from_id", VALUE_UUID, true, NULL},
    {"to_id", VALUE_UUID, true, NULL},          {"from_kind", VALUE_ENUM, false, kind_names},
    {"to_kind", VALUE_ENUM, false, kind_names}, {"valid_from", VALUE_DAY, false, NULL},
    {"valid_to", VALUE_DAY, false, NULL},       END};
static const struct shape relation_shape = {"relation", relation_members, SHAPE_RELATION, true};

static const struct member request_members[] = {{"name", VALUE_TEXT, true, NULL},
                                                {"type", VALUE_ENUM, true, request_types},
                                                {"valid_to", VALUE_DAY, true, NULL},
                                                {"valid_from", VALUE_DAY, false, NULL},
                                                {"organization_id", VALUE_UUID, false, NULL},
                                                {"location_id", VALUE_UUID, false, NULL},
                                                {"url", VALUE_URI, false, NULL},
                                                {"status", VALUE_ENUM, false, request_statuses},
                                                END};
static const struct shape request_shape = {"request", request_members, SHAPE_REQUEST, true};

static const struct member professional_members[] = {{"name", VALUE_TEXT, true, NULL},
                                                     {"basis", VALUE_ENUM, true, bases},
                                                     {"title", VALUE_TEXT, false, NULL},
                                                     {"organization_id", VALUE_UUID, false, NULL},
                                                     {"location_id", VALUE_UUID, false, NULL},
                                                     {"email", VALUE_EMAIL, false, NULL},
                                                     {"phones", VALUE_OBJECTS, false, &phone_shape},
                                                     {"contacts", VALUE_OBJECTS, false, &contact_shape},
                                                     {"languages", VALUE_OBJECTS, false, &language_shape},
                                                     {"schedules", VALUE_OBJECTS, false, &schedule_shape},
                                                     {"url", VALUE_URI, false, NULL},
                                                     END};
static const struct shape professional_shape = {"professional", professional_members, SHAPE_PLAIN, true};

static const struct member confirmation_members[] = {
    {"run", VALUE_TEXT, false, NULL}, {"listed", VALUE_INTEGER, false, NULL}, END};
static const struct shape confirmation_shape = {"confirmation", confirmation_members, SHAPE_PLAIN, true};

static const struct shape *const shapes[] = {
    &organization_shape, &service_shape,       &location_shape,     &service_at_location_shape,
    &program_shape,      &taxonomy_term_shape, &contract_shape,     &activity_shape,
    &relation_shape,     &request_shape,       &professional_shape, &confirmation_shape};

const struct shape *record_shape(const char *kind)
{
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (strcmp(shapes[i]->name, kind) == 0)
            return shapes[i];
    return NULL;
}

const char *const *record_kinds(void)
{
    return kind_names;
}

bool record_kind_known(const char *kind)
{
    return record_shape(kind) != NULL;
}
