/*
 * record.c - checks a body against the tables of record_profile.c. spec/records.md.
 *
 * Walks the members that are there, not the tables, so that the cost follows the record. The way to a member
 * is a chain of stack frames and becomes a JSON Pointer only when there is something to report.
 */
#include "protocol/record.h"

#include "protocol/identity.h"
#include "protocol/json.h"
#include "protocol/limits.h"
#include "protocol/record_profile.h"
#include "protocol/syntax.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define POINTER_MAX 512

/* One step on the way to a value; name NULL: an index. */
struct step {
    const struct step *up;
    const char *name;
    int index;
};

struct check {
    record_report *report;
    void *context;
    const char *kind, *id;
    bool public_feed;
    bool partial;
    unsigned errors, findings;
    int code; /* KAART_NOMEM ends it */
};

/* ---- reporting ---- */

/* Writes the steps from the top down; what does not fit is cut off. */
static size_t pointer_write(const struct step *step, char *out, size_t used)
{
    if (!step)
        return used;
    used = pointer_write(step->up, out, used);
    if (!step->name) {
        int size = snprintf(out + used, POINTER_MAX - used, "/%d", step->index);
        return used + (size_t)size < POINTER_MAX ? used + (size_t)size : used;
    }
    if (used + 1 < POINTER_MAX)
        out[used++] = '/';
    for (const char *p = step->name; *p && used + 3 < POINTER_MAX; p++) {
        if (*p == '~' || *p == '/') {
            out[used++] = '~';
            out[used++] = *p == '~' ? '0' : '1';
        } else
            out[used++] = *p;
    }
    out[used] = '\0';
    return used;
}

static void report(struct check *check, enum record_severity severity, const struct step *at,
                   const char *format, ...) __attribute__((format(printf, 4, 5)));

static void report(struct check *check, enum record_severity severity, const struct step *at,
                   const char *format, ...)
{
    char pointer[POINTER_MAX] = "", message[256];
    if (severity == RECORD_ERROR)
        check->errors++;
    if (!check->report || check->findings >= RECORD_FINDINGS_MAX)
        return;
    check->findings++;
    pointer_write(at, pointer, 0);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    check->report(check->context, severity, pointer, message);
}

#define ERROR(at, ...) report(check, RECORD_ERROR, at, __VA_ARGS__)
#define WARNING(at, ...) report(check, RECORD_WARNING, at, __VA_ARGS__)

/* ---- values ---- */

static void check_object(struct check *check, const struct shape *shape, const cJSON *object,
                         const struct step *at, bool top);

static bool one_of(const char *const *words, const char *text)
{
    for (; *words; words++)
        if (strcmp(*words, text) == 0)
            return true;
    return false;
}

static void check_enum(struct check *check, const char *const *words, const char *text, const struct step *at)
{
    char list[160] = "";
    size_t used = 0;
    if (one_of(words, text))
        return;
    for (size_t i = 0; words[i]; i++) {
        int size = snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", words[i]);
        if (size < 0 || used + (size_t)size >= sizeof list)
            break;
        used += (size_t)size;
    }
    ERROR(at, "is not one of: %s [REC-10]", list);
}

/* What is checked of a string, by type: the test, whether failing it is an error, and what to say. */
static bool text_good(enum value_type type, const char *text)
{
    int32_t day;
    size_t size = strlen(text);
    switch (type) {
    case VALUE_UUID:
        return syntax_is_uuid(text, size);
    case VALUE_DAY:
        return syntax_day_parse(text, size, &day) == KAART_OK;
    case VALUE_MOMENT:
        return format_moment(text);
    case VALUE_TIME:
        return format_time(text);
    case VALUE_URI:
        return format_uri(text);
    case VALUE_EMAIL:
        return format_email(text);
    case VALUE_PHONE:
        return format_phone(text);
    case VALUE_ZONE:
        return format_zone(text);
    case VALUE_MUNICIPALITY:
        return size == 6 && syntax_is_area(text, size);
    case VALUE_AREA:
        return syntax_is_area(text, size);
    case VALUE_BUYER:
        return (size == 6 && syntax_is_area(text, size)) || format_digits(text, 20);
    case VALUE_BAG:
        return format_digits(text, 16);
    case VALUE_PRODUCTS:
        return format_product(text);
    case VALUE_WEEKDAYS:
        return format_weekdays(text);
    default:
        return true;
    }
}

static void check_text(struct check *check, enum value_type type, const char *text, const struct step *at)
{
    if (text_good(type, text))
        return;
    switch (type) {
    case VALUE_UUID:
        ERROR(at, "is not a UUID in lower case [REC-8]");
        break;
    case VALUE_DAY:
        ERROR(at, "is not a real day (YYYY-MM-DD) [REC-9]");
        break;
    case VALUE_MOMENT:
        ERROR(at, "is neither a real day (YYYY-MM-DD) nor a date and time of RFC 3339 [REC-9]");
        break;
    case VALUE_TIME:
        ERROR(at, "is not a time of day (HH:MM or HH:MM:SS) [REC-9]");
        break;
    case VALUE_ZONE:
        ERROR(at, "is not the name of an IANA time zone, as Europe/Amsterdam [REC-13]");
        break;
    case VALUE_MUNICIPALITY:
        ERROR(at, "is not a CBS municipality code (GM and 4 digits) [REC-12]");
        break;
    case VALUE_AREA:
        ERROR(at, "is not a CBS code (GM, WK or BU with 4, 6 or 8 digits) [REC-12]");
        break;
    case VALUE_BUYER:
        ERROR(at, "is neither a CBS municipality code nor an OIN of 20 digits [REC-19]");
        break;
    case VALUE_BAG:
        ERROR(at, "is not a BAG id of 16 digits [REC-11]");
        break;
    case VALUE_URI:
        WARNING(at, "is not a URL with its scheme (https://...) [REC-15]");
        break;
    case VALUE_EMAIL:
        WARNING(at, "is not an e-mail address [REC-15]");
        break;
    case VALUE_PHONE:
        WARNING(at, "is not a telephone number: digits, spaces, + - ( ) . / [REC-15]");
        break;
    case VALUE_PRODUCTS:
        WARNING(at, "is not a product category or code of iStandaarden (02 or 02A03) [REC-19]");
        break;
    case VALUE_WEEKDAYS:
        WARNING(at, "is not a list of weekdays of RFC 5545 (MO,TH) [REC-20]");
        break;
    default:
        break;
    }
}

static void check_number(struct check *check, enum value_type type, const cJSON *value, const struct step *at)
{
    double limit = type == VALUE_LATITUDE ? 90 : 180;
    if (!cJSON_IsNumber(value)) {
        ERROR(at, "is not a number [REC-3]");
        return;
    }
    if (type == VALUE_INTEGER &&
        (value->valuedouble < 0 || value->valuedouble != (double)(int64_t)value->valuedouble))
        ERROR(at, "is not a whole number [REC-3]");
    if ((type == VALUE_LATITUDE || type == VALUE_LONGITUDE) &&
        (value->valuedouble < -limit || value->valuedouble > limit))
        WARNING(at, "lies outside -%d to %d degrees (WGS 84) and is not shown on a map [REC-14]", (int)limit,
                (int)limit);
}

/* Lists of strings, of any type of text. */
static void check_texts(struct check *check, const struct member *member, const cJSON *value,
                        const struct step *at)
{
    enum value_type type = member->type == VALUE_URIS    ? VALUE_URI
                           : member->type == VALUE_AREAS ? VALUE_AREA
                                                         : member->type;
    int index = 0;
    if (!cJSON_IsArray(value)) {
        ERROR(at, "is not a list [REC-3]");
        return;
    }
    for (const cJSON *item = value->child; item; item = item->next) {
        struct step step = {at, NULL, index++};
        if (!cJSON_IsString(item))
            ERROR(&step, "is not a string [REC-3]");
        else if (member->type == VALUE_ENUMS)
            check_enum(check, member->extra, item->valuestring, &step);
        else
            check_text(check, type, item->valuestring, &step);
    }
}

static void check_objects(struct check *check, const struct shape *shape, const cJSON *value,
                          const struct step *at)
{
    int index = 0;
    if (!cJSON_IsArray(value)) {
        ERROR(at, "is not a list [REC-3]");
        return;
    }
    for (const cJSON *item = value->child; item; item = item->next) {
        struct step step = {at, NULL, index++};
        check_object(check, shape, item, &step, false);
    }
}

/* HSDS 3.0 has the number of hours from UTC here; it is kept, but says nothing about summer time. */
static void check_zone(struct check *check, const cJSON *value, const struct step *at)
{
    if (cJSON_IsNumber(value))
        WARNING(at,
                "is a number; the profile wants the name of an IANA time zone, as Europe/Amsterdam [REC-13]");
    else if (cJSON_IsString(value))
        check_text(check, VALUE_ZONE, value->valuestring, at);
    else
        ERROR(at, "is not a string [REC-3]");
}

/* Dutch postcodes only: the address's `country` decides, and that is checked with the address. */
static void check_postcode(struct check *check, const cJSON *object, const struct step *at)
{
    const char *country = json_get_string(object, "country"), *code = json_get_string(object, "postal_code");
    struct step step = {at, "postal_code", 0};
    if (code && country && strcmp(country, "NL") == 0 && !format_postcode(code))
        WARNING(&step, "is not a Dutch postcode (3433 AB) [REC-24]");
}

static void check_value(struct check *check, const struct member *member, const cJSON *value,
                        const struct step *at)
{
    switch (member->type) {
    case VALUE_NUMBER:
    case VALUE_INTEGER:
    case VALUE_LATITUDE:
    case VALUE_LONGITUDE:
        check_number(check, member->type, value, at);
        break;
    case VALUE_BOOL:
        if (!cJSON_IsBool(value))
            ERROR(at, "is neither true nor false [REC-3]");
        break;
    case VALUE_TEXTS:
    case VALUE_URIS:
    case VALUE_AREAS:
    case VALUE_ENUMS:
    case VALUE_PRODUCTS:
        check_texts(check, member, value, at);
        break;
    case VALUE_TEXT_OR_LIST:
        if (!cJSON_IsString(value))
            check_texts(check, member, value, at);
        break;
    case VALUE_EXTENSION:
        if (cJSON_IsString(value))
            WARNING(at, "is a string; HSDS has a number here [REC-15]");
        else if (!cJSON_IsNumber(value))
            ERROR(at, "is not a number [REC-3]");
        break;
    case VALUE_ZONE:
        check_zone(check, value, at);
        break;
    case VALUE_OBJECT:
        check_object(check, member->extra, value, at, false);
        break;
    case VALUE_OBJECTS:
        check_objects(check, member->extra, value, at);
        break;
    case VALUE_ENUM:
        if (!cJSON_IsString(value))
            ERROR(at, "is not a string [REC-3]");
        else
            check_enum(check, member->extra, value->valuestring, at);
        break;
    default:
        if (!cJSON_IsString(value))
            ERROR(at, "is not a string [REC-3]");
        else
            check_text(check, member->type, value->valuestring, at);
    }
}

/* ---- rules over more than one member ---- */

/* A day or date-time begins with ten bytes that compare as text. */
static void check_order(struct check *check, const cJSON *object, const char *from, const char *to,
                        const struct step *at)
{
    const char *first = json_get_string(object, from), *last = json_get_string(object, to);
    struct step step = {at, to, 0};
    if (first && last && format_moment(first) && format_moment(last) &&
        strncmp(first, last, DAY_TEXT_SIZE) > 0)
        WARNING(&step, "lies before %s [REC-9]", from);
}

static void check_ages(struct check *check, const cJSON *object, const struct step *at)
{
    const cJSON *least = json_get(object, "minimum_age"), *most = json_get(object, "maximum_age");
    struct step step = {at, "maximum_age", 0};
    if (cJSON_IsNumber(least) && cJSON_IsNumber(most) && least->valuedouble > most->valuedouble)
        WARNING(&step, "is less than minimum_age [REC-14]");
}

/* [REC-16]: whoever names a person says on which ground. In a public feed it is refused without. */
static void check_contact(struct check *check, const cJSON *object, const struct step *at)
{
    const char *name = json_get_string(object, "name");
    struct step step = {at, "basis", 0};
    if (!name || !*name || json_get_string(object, "basis"))
        return;
    report(check, check->public_feed ? RECORD_ERROR : RECORD_WARNING, &step,
           "is missing: a contact that names a person needs a basis (law, consent or own-publication); a "
           "desk or team goes "
           "in department [REC-16]");
}

static void check_identifier(struct check *check, const char *scheme, const char *value, const char *member,
                             const struct step *at)
{
    const char *ours = scheme ? identifier_scheme(scheme) : NULL;
    struct step step = {at, member, 0};
    if (ours && value && !record_identifier_valid(ours, value))
        ERROR(&step,
              "is not a %s number (KVK 8 digits, RSIN 9 with its check digit, OIN 20, AGB 8, URA 8, "
              "vestigingsnummer 12, BAG 16) [REC-11]",
              ours);
}

static void check_hsds_identifier(struct check *check, const cJSON *object, const struct step *at)
{
    const char *scheme = json_get_string(object, "identifier_scheme");
    if (!scheme || !identifier_scheme(scheme))
        scheme = json_get_string(object, "identifier_type");
    check_identifier(check, scheme, json_get_string(object, "identifier"), "identifier", at);
}

/* [REC-18] */
static void check_relation(struct check *check, const cJSON *object, const struct step *at, bool top)
{
    const char *type = json_get_string(object, "type"), *from = json_get_string(object, "from_id"),
               *to = json_get_string(object, "to_id");
    struct step to_step = {at, "to_id", 0}, id_step = {at, "id", 0};
    char id[UUID_TEXT_SIZE + 1];
    if (!type || !from || !to)
        return;
    if (strcmp(from, to) == 0)
        ERROR(&to_step, "is the same record as from_id [REC-18]");
    if (!top || !check->id || (strcmp(type, "same-as") != 0 && strcmp(type, "not-same-as") != 0))
        return;
    if (identity_of_pair(from, to, id))
        check->code = KAART_NOMEM;
    else if (strcmp(id, check->id) != 0)
        ERROR(&id_step, "a %s has the UUIDv5 of its sorted pair as id: %s [REC-18]", type, id);
}

/* [REC-17]: contact goes through the platform that placed the request. */
static void check_request(struct check *check, const cJSON *object, const struct step *at)
{
    static const char *const personal[] = {"contacts",  "contact", "phones",          "phone",  "email",
                                           "addresses", "address", "professional_id", "person", "telephone"};
    for (size_t i = 0; i < sizeof personal / sizeof *personal; i++) {
        const cJSON *value = json_get(object, personal[i]);
        struct step step = {at, personal[i], 0};
        if (value && !cJSON_IsNull(value))
            ERROR(&step, "a request holds no personal data; contact goes through the platform that placed it "
                         "(url) [REC-17]");
    }
}

static void check_activity(struct check *check, const cJSON *object, const struct step *at)
{
    struct step step = {at, "schedules", 0};
    if (!check->partial && !json_get(object, "schedules") && !json_get(object, "starts_at"))
        WARNING(&step, "is missing, and so is starts_at: nobody can tell when it happens [REC-20]");
    check_order(check, object, "starts_at", "ends_at", at);
    check_ages(check, object, at);
}

static void check_location(struct check *check, const cJSON *object, const struct step *at)
{
    check_identifier(check, json_get_string(object, "external_identifier_type"),
                     json_get_string(object, "external_identifier"), "external_identifier", at);
}

static void check_contract(struct check *check, const cJSON *object, const struct step *at)
{
    struct step step = {at, "law", 0};
    if (!check->partial && !json_get(object, "law"))
        WARNING(&step, "is missing: under which law is this bought? [REC-19]");
    check_order(check, object, "begin", "end", at);
}

static void check_rule(struct check *check, const struct shape *shape, const cJSON *object,
                       const struct step *at, bool top)
{
    switch (shape->rule) {
    case SHAPE_PLAIN:
        break;
    case SHAPE_AGES:
        check_ages(check, object, at);
        break;
    case SHAPE_SPAN:
        check_order(check, object, "valid_from", "valid_to", at);
        break;
    case SHAPE_ADDRESS:
        check_postcode(check, object, at);
        break;
    case SHAPE_CONTACT:
        check_contact(check, object, at);
        break;
    case SHAPE_IDENTIFIER:
        check_identifier(check, json_get_string(object, "scheme"), json_get_string(object, "value"), "value",
                         at);
        break;
    case SHAPE_HSDS_IDENTIFIER:
        check_hsds_identifier(check, object, at);
        break;
    case SHAPE_LOCATION:
        check_location(check, object, at);
        break;
    case SHAPE_RELATION:
        check_relation(check, object, at, top);
        break;
    case SHAPE_REQUEST:
        check_request(check, object, at);
        check_order(check, object, "valid_from", "valid_to", at);
        break;
    case SHAPE_ACTIVITY:
        check_activity(check, object, at);
        break;
    case SHAPE_CONTRACT:
        check_contract(check, object, at);
        break;
    }
}

/* ---- objects ---- */

static const struct member *find_member(const struct member *members, const char *name)
{
    for (; members->name; members++)
        if (members->name[0] == name[0] && strcmp(members->name, name) == 0)
            return members;
    return NULL;
}

/* [REC-5]. A claim that only adds to a record says so with `partial`; its absent members say nothing. What a
 * claim cannot be understood without (a link's ends, a basis) is needed all the same. */
static void check_required(struct check *check, const struct shape *shape, const cJSON *object,
                           const struct step *at, bool top)
{
    bool partial =
        top && check->partial && shape->rule != SHAPE_RELATION && strcmp(shape->name, "professional") != 0;
    for (const struct member *member = shape->members; member->name && !partial; member++) {
        const cJSON *value = member->required ? json_get(object, member->name) : NULL;
        struct step step = {at, member->name, 0};
        if (!member->required)
            continue;
        if (!value || cJSON_IsNull(value))
            ERROR(&step, "is missing: every %s needs it%s [REC-5]", shape->name,
                  top ? ", unless the claim says \"partial\": true" : "");
        else if (cJSON_IsString(value) && !value->valuestring[0])
            ERROR(&step, "is empty [REC-5]");
    }
    struct step service = {at, "service_id", 0};
    if (top && !partial && strcmp(shape->name, "service_at_location") == 0 && !json_get(object, "service_id"))
        ERROR(&service, "is missing: a service_at_location needs it [REC-5]");
}

static void check_object(struct check *check, const struct shape *shape, const cJSON *object,
                         const struct step *at, bool top)
{
    if (!cJSON_IsObject(object)) {
        ERROR(at, "is not an object [REC-3]");
        return;
    }
    for (const cJSON *value = object->child; value; value = value->next) {
        const struct member *member = find_member(shape->members, value->string);
        struct step step = {at, value->string, 0};
        if (!member && shape->record)
            member = find_member(record_common_members, value->string);
        if (member && !cJSON_IsNull(value))
            check_value(check, member, value, &step);
    }
    check_required(check, shape, object, at, top);
    check_rule(check, shape, object, at, top);
}

/* [REC-7], [REC-23] */
static void check_claim_members(struct check *check, const cJSON *body)
{
    const char *id = json_get_string(body, "id");
    struct step id_step = {NULL, "id", 0}, reason = {NULL, "pin_reason", 0},
                expires = {NULL, "pin_expires", 0};
    if (id && check->id && strcmp(id, check->id) != 0)
        ERROR(&id_step, "is another record's [REC-7]");
    const char *why = json_get_string(body, "pin_reason");
    if (json_get(body, "pin_expires") && (!why || !*why))
        ERROR(&reason, "is missing: a pin says why it is there [REC-23]");
    if (why && !json_get_string(body, "pin_expires"))
        ERROR(&expires, "is missing: a pin has a last day [REC-23]");
}

int record_check(const char *kind, const char *id, const cJSON *body, const char *audience,
                 record_report *report_to, void *context)
{
    const struct shape *shape = record_shape(kind);
    if (!shape)
        return KAART_UNKNOWN;
    struct check check = {.report = report_to,
                          .context = context,
                          .kind = kind,
                          .id = id,
                          .public_feed = strcmp(audience, AUDIENCE_PUBLIC) == 0};
    check.partial = cJSON_IsTrue(json_get(body, "partial")) || json_get(body, "pin_expires") != NULL;
    check_object(&check, shape, body, NULL, true);
    if (cJSON_IsObject(body))
        check_claim_members(&check, body);
    if (check.code)
        return check.code;
    return check.errors ? KAART_INVALID : KAART_OK;
}

/* ---- what to call it, and its numbers ---- */

const char *record_name(const char *kind, const cJSON *body)
{
    static const char *const members[] = {"name", "alternate_name", "legal_name", "title",
                                          "code", "type",           "law"};
    const cJSON *addresses = json_get(body, "addresses");
    for (size_t i = 0; i < 3; i++) {
        const char *name = json_get_string(body, members[i]);
        if (name && *name)
            return name;
    }
    if (strcmp(kind, "location") == 0 && cJSON_IsArray(addresses) && addresses->child) {
        const char *street = json_get_string(addresses->child, "address_1");
        if (street && *street)
            return street;
    }
    for (size_t i = 3; i < sizeof members / sizeof *members; i++) {
        const char *name = json_get_string(body, members[i]);
        if (name && *name)
            return name;
    }
    return NULL;
}

static const char *in_list(const cJSON *list, const char *scheme, const char *const names[2],
                           const char *value_name)
{
    const cJSON *item;
    if (!cJSON_IsArray(list))
        return NULL;
    cJSON_ArrayForEach(item, list)
    {
        const char *value = json_get_string(item, value_name);
        for (int i = 0; value && i < 2 && names[i]; i++) {
            const char *name = json_get_string(item, names[i]);
            const char *ours = name ? identifier_scheme(name) : NULL;
            if (ours && strcmp(ours, scheme) == 0)
                return value;
        }
    }
    return NULL;
}

const char *record_identifier(const cJSON *body, const char *scheme)
{
    static const char *const ours[2] = {"scheme", NULL}, *const hsds[2] = {"identifier_scheme",
                                                                           "identifier_type"};
    const char *value = in_list(json_get(body, "identifiers"), scheme, ours, "value");
    if (!value)
        value = in_list(json_get(body, "organization_identifiers"), scheme, hsds, "identifier");
    if (!value) {
        const char *type = json_get_string(body, "external_identifier_type");
        const char *name = type ? identifier_scheme(type) : NULL;
        if (name && strcmp(name, scheme) == 0)
            value = json_get_string(body, "external_identifier");
    }
    return value;
}

bool record_member_reserved(const char *name)
{
    static const char *const reserved[] = {"id",           "verified",   "partial",
                                           "derived_from", "pin_reason", "pin_expires"};
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
        if (strcmp(reserved[i], name) == 0)
            return true;
    return false;
}
