/* test_record.c - what the Dutch HSDS profile accepts, warns about and refuses. spec/records.md [REC-n]. */
#include "protocol/identity.h"
#include "protocol/json.h"
#include "protocol/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ID "0b6e3a52-9a3c-4f64-8d0b-3a1f0e0c9a11"
#define OTHER "0b6e3a52-9a3c-4f64-8d0b-3a1f0e0c9a12"
#define HSDS "../shared/data/hsds-3.0/examples/"

/* Findings as text: "E /pointer message\n" or "W ...". */
struct findings {
    char text[16384];
    size_t used;
    int errors, warnings;
};

static void collect(void *context, enum record_severity severity, const char *pointer, const char *message)
{
    struct findings *findings = context;
    if (severity == RECORD_ERROR)
        findings->errors++;
    else
        findings->warnings++;
    assert_non_null(strstr(message, " [REC-"));
    int size = snprintf(findings->text + findings->used, sizeof findings->text - findings->used, "%s %s %s\n",
                        severity == RECORD_ERROR ? "E" : "W", pointer, message);
    if (findings->used + (size_t)size < sizeof findings->text)
        findings->used += (size_t)size;
}

static struct findings found;

static int check_in(const char *audience, const char *kind, const char *id, const char *text)
{
    struct fault fault;
    cJSON *body = json_parse(text, strlen(text), &fault);
    assert_non_null(body);
    memset(&found, 0, sizeof found);
    int code = record_check(kind, id, body, audience, collect, &found);
    assert_int_equal(code == KAART_OK, found.errors == 0);
    cJSON_Delete(body);
    return code;
}

static int check(const char *kind, const char *text)
{
    return check_in("public", kind, ID, text);
}

static void expect(const char *piece)
{
    if (!strstr(found.text, piece))
        fail_msg("no \"%s\" in:\n%s", piece, found.text);
}

static void kinds(void **state)
{
    size_t count = 0;
    (void)state;
    for (const char *const *kind = record_kinds(); *kind; kind++, count++)
        assert_true(record_kind_known(*kind));
    assert_int_equal(count, 12);
    assert_false(record_kind_known("thing"));
    cJSON *body = cJSON_CreateObject();
    assert_int_equal(record_check("thing", ID, body, "public", NULL, NULL), KAART_UNKNOWN);
    cJSON_Delete(body);
}

static void good_bodies(void **state)
{
    (void)state;
    static const char *const good[][2] = {
        {"organization",
         "{\"name\":\"Stichting De Brug\",\"identifiers\":[{\"scheme\":\"kvk\",\"value\":\"90006623\"},"
         "{\"scheme\":\"rsin\",\"value\":\"990983419\"}],\"websites\":[\"https://debrug.example/"
         "\"],\"phones\":[{\"number\":\"030 123 45 67\"}],"
         "\"alternate_names\":[\"Brug\"],\"themes\":[\"Wonen\"],\"x-eigen\":{\"wat\":[1,null]}}"},
        {"service",
         "{\"name\":\"Maaltijden\",\"status\":\"active\",\"organization_id\":\"" OTHER "\",\"email\":null,"
         "\"minimum_age\":18,\"wmo_products\":[\"02\",\"02A03\"],\"positive_health\":[\"participation\"]}"},
        {"location", "{\"location_type\":\"physical\",\"addresses\":[{\"address_1\":\"Dorpsstraat "
                     "1\",\"postal_code\":\"3433 AB\","
                     "\"city\":\"Nieuwegein\",\"country\":\"NL\",\"municipality\":\"GM0356\",\"bag_"
                     "nummeraanduiding\":\"0356200000000001\"}],"
                     "\"latitude\":52.03,\"longitude\":5.08,\"timezone\":\"Europe/Amsterdam\"}"},
        {"service_at_location",
         "{\"service_id\":\"" OTHER "\",\"schedules\":[{\"freq\":\"WEEKLY\",\"byday\":\"MO,TH\","
         "\"opens_at\":\"10:00\",\"closes_at\":\"17:30:00\",\"valid_from\":\"2026-01-01\",\"valid_to\":"
         "\"2026-12-31\"}]}"},
        {"program", "{\"name\":\"Samen sterk\"}"},
        {"taxonomy_term", "{\"name\":\"Wonen\",\"code\":\"wonen\"}"},
        {"contract",
         "{\"organization_id\":\"" OTHER "\",\"buyer\":\"GM0356\",\"law\":\"wmo\",\"product_codes\":[\"02\"],"
         "\"areas\":[\"GM0356\"],\"begin\":\"2026-01-01\",\"end\":\"2027-12-31\",\"status\":\"active\"}"},
        {"activity", "{\"name\":\"Koffie-inloop\",\"starts_at\":\"2026-12-01T10:00:00+01:00\",\"ends_at\":"
                     "\"2026-12-01T12:00:00+01:00\"}"},
        {"relation", "{\"type\":\"member-of\",\"from_id\":\"" ID "\",\"to_id\":\"" OTHER "\"}"},
        {"request", "{\"name\":\"Wie helpt in de "
                    "tuin?\",\"type\":\"question\",\"valid_to\":\"2026-12-31\",\"url\":\"https://"
                    "nlvoorelkaar.example/1\"}"},
        {"professional",
         "{\"name\":\"Fictief Persoon\",\"basis\":\"consent\",\"specialism\":[\"fysiotherapie\"]}"},
        {"confirmation", "{}"},
        {"organization", "{\"partial\":true,\"phones\":[{\"number\":\"14030\"}]}"},
        {"organization",
         "{\"phones\":[{\"number\":\"14030\"}],\"pin_reason\":\"nagebeld\",\"pin_expires\":\"2027-01-01\"}"},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        if (check(good[i][0], good[i][1]) || found.warnings)
            fail_msg("%s %s:\n%s", good[i][0], good[i][1], found.text);
    }
}

static void errors(void **state)
{
    (void)state;
    static const char *const bad[][3] = {
        {"organization", "{}", "E /name is missing: every organization needs it"},
        {"organization", "{\"name\":\"\"}", "E /name is empty [REC-5]"},
        {"organization", "{\"name\":null}", "E /name is missing"},
        {"organization", "{\"name\":7}", "E /name is not a string [REC-3]"},
        {"organization", "{\"name\":\"a\",\"phones\":{}}", "E /phones is not a list [REC-3]"},
        {"organization", "{\"name\":\"a\",\"phones\":[7]}", "E /phones/0 is not an object [REC-3]"},
        {"organization", "{\"name\":\"a\",\"phones\":[{\"number\":\"14030\"},{}]}",
         "E /phones/1/number is missing"},
        {"organization", "{\"name\":\"a\",\"id\":\"" OTHER "\"}", "E /id is another record's [REC-7]"},
        {"organization", "{\"name\":\"a\",\"parent_organization_id\":\"17\"}",
         "E /parent_organization_id is not a UUID in lower case [REC-8]"},
        {"organization", "{\"name\":\"a\",\"verified\":\"2026-02-29\"}", "E /verified is not a real day"},
        {"organization", "{\"name\":\"a\",\"identifiers\":[{\"scheme\":\"kvk\",\"value\":\"123\"}]}",
         "E /identifiers/0/value is not a kvk number"},
        {"organization", "{\"name\":\"a\",\"identifiers\":[{\"scheme\":\"rsin\",\"value\":\"990983418\"}]}",
         "is not a rsin number"},
        {"organization",
         "{\"name\":\"a\",\"organization_identifiers\":[{\"identifier_scheme\":\"NL-KVK\",\"identifier\":"
         "\"9000662x\"}]}",
         "E /organization_identifiers/0/identifier is not a kvk number"},
        {"organization", "{\"name\":\"a\",\"contacts\":[{\"name\":\"Fictief Persoon\"}]}",
         "E /contacts/0/basis is missing: a contact that names a person"},
        {"organization", "{\"name\":\"a\",\"pin_expires\":\"2027-01-01\"}", "E /pin_reason is missing"},
        {"organization", "{\"name\":\"a\",\"pin_reason\":\"x\"}", "E /pin_expires is missing"},
        {"organization", "{\"name\":\"a\",\"derived_from\":{\"feed\":\"x\"}}",
         "E /derived_from/id is missing"},
        {"service", "{\"name\":\"a\"}", "E /status is missing"},
        {"service", "{\"name\":\"a\",\"status\":\"open\"}",
         "E /status is not one of: active, inactive, defunct, temporarily closed [REC-10]"},
        {"service", "{\"name\":\"a\",\"status\":\"active\",\"schedules\":[{\"freq\":\"DAILY\"}]}",
         "E /schedules/0/freq is not one of: WEEKLY, MONTHLY"},
        {"service", "{\"name\":\"a\",\"status\":\"active\",\"schedules\":[{\"opens_at\":\"25:00\"}]}",
         "E /schedules/0/opens_at is not a time"},
        {"service", "{\"name\":\"a\",\"status\":\"active\",\"schedules\":[{\"valid_from\":\"1 mei\"}]}",
         "E /schedules/0/valid_from is neither"},
        {"service", "{\"name\":\"a\",\"status\":\"active\",\"schedules\":[{\"timezone\":\"Europe/\"}]}",
         "E /schedules/0/timezone is not the name"},
        {"location", "{\"name\":\"a\"}", "E /location_type is missing"},
        {"location", "{\"location_type\":\"house\"}",
         "E /location_type is not one of: physical, postal, virtual"},
        {"location",
         "{\"location_type\":\"physical\",\"external_identifier_type\":\"vestigingsnummer\",\"external_"
         "identifier\":\"12\"}",
         "E /external_identifier is not a vestigingsnummer number"},
        {"location", "{\"location_type\":\"physical\",\"addresses\":[{\"municipality\":\"0356\"}]}",
         "E /addresses/0/municipality is not a CBS"},
        {"location", "{\"location_type\":\"physical\",\"addresses\":[{\"bag_nummeraanduiding\":\"1\"}]}",
         "is not a BAG id of 16 digits"},
        {"service_at_location", "{\"location_id\":\"" OTHER "\"}", "E /service_id is missing"},
        {"contract", "{\"organization_id\":\"" OTHER "\"}", "E /buyer is missing"},
        {"contract", "{\"organization_id\":\"" OTHER "\",\"buyer\":\"Nieuwegein\"}",
         "E /buyer is neither a CBS municipality code nor an OIN"},
        {"contract", "{\"organization_id\":\"" OTHER "\",\"buyer\":\"GM0356\",\"areas\":[\"Utrecht\"]}",
         "E /areas/0 is not a CBS code"},
        {"contract", "{\"organization_id\":\"" OTHER "\",\"buyer\":\"GM0356\",\"end\":\"2026-13-01\"}",
         "E /end is not a real day"},
        {"relation", "{\"type\":\"likes\",\"from_id\":\"" ID "\",\"to_id\":\"" OTHER "\"}",
         "E /type is not one of: part-of, member-of"},
        {"relation", "{\"partial\":true,\"type\":\"part-of\",\"from_id\":\"" ID "\"}", "E /to_id is missing"},
        {"relation", "{\"type\":\"part-of\",\"from_id\":\"" ID "\",\"to_id\":\"" ID "\"}",
         "E /to_id is the same record as from_id"},
        {"relation", "{\"type\":\"same-as\",\"from_id\":\"" ID "\",\"to_id\":\"" OTHER "\"}",
         "E /id a same-as has the UUIDv5 of its sorted pair"},
        {"request", "{\"name\":\"a\",\"type\":\"offer\"}", "E /valid_to is missing"},
        {"request", "{\"name\":\"a\",\"type\":\"offer\",\"valid_to\":\"2026-12-31\",\"phones\":[]}",
         "E /phones a request holds no personal data"},
        {"professional", "{\"name\":\"a\"}", "E /basis is missing"},
        {"professional", "{\"partial\":true,\"phones\":[]}", "E /basis is missing"},
        {"professional", "{\"name\":\"a\",\"basis\":\"curiosity\"}",
         "E /basis is not one of: law, consent, own-publication"},
        {"service",
         "{\"name\":\"a\",\"status\":\"active\",\"organization\":{\"name\":\"b\",\"locations\":[{\"location_"
         "type\":\"physical\",\"latitude\":\"52\"}]}}",
         "E /organization/locations/0/latitude is not a number"},
        {"organization", "{\"name\":\"a\",\"alternate_names\":[\"b\",3]}",
         "E /alternate_names/1 is not a string"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (check(bad[i][0], bad[i][1]) != KAART_INVALID)
            fail_msg("accepted: %s %s", bad[i][0], bad[i][1]);
        expect(bad[i][2]);
    }
}

static void warnings_only(void **state)
{
    (void)state;
    static const char *const odd[][3] = {
        {"location", "{\"location_type\":\"physical\",\"latitude\":100,\"longitude\":101}",
         "W /latitude lies outside -90 to 90"},
        {"organization", "{\"name\":\"a\",\"phones\":[{\"number\":\"\\\"+44 1234 234567\\\"\"}]}",
         "W /phones/0/number is not a telephone number"},
        {"organization", "{\"name\":\"a\",\"website\":\"www.domeinnaam1.nl\"}", "W /website is not a URL"},
        {"organization", "{\"name\":\"a\",\"email\":\"info\"}", "W /email is not an e-mail"},
        {"organization", "{\"name\":\"a\",\"phones\":[{\"number\":\"14030\",\"extension\":\"12\"}]}",
         "W /phones/0/extension is a string"},
        {"service", "{\"name\":\"a\",\"status\":\"active\",\"schedules\":[{\"timezone\":3}]}",
         "W /schedules/0/timezone is a number"},
        {"service", "{\"name\":\"a\",\"status\":\"active\",\"minimum_age\":70,\"maximum_age\":7}",
         "W /maximum_age is less"},
        {"service", "{\"name\":\"a\",\"status\":\"active\",\"wmo_products\":[\"hulp\"]}",
         "W /wmo_products/0 is not a product"},
        {"location",
         "{\"location_type\":\"postal\",\"addresses\":[{\"country\":\"NL\",\"postal_code\":\"0433AB\"}]}",
         "W /addresses/0/postal_code"},
        {"contract",
         "{\"organization_id\":\"" OTHER
         "\",\"buyer\":\"00000001002306608000\",\"begin\":\"2027-01-01\",\"end\":\"2026-01-01\"}",
         "W /end lies before begin"},
        {"activity", "{\"name\":\"a\"}", "W /schedules is missing"},
        {"service", "{\"name\":\"a\",\"status\":\"active\",\"schedules\":[{\"byday\":\"maandag\"}]}",
         "W /schedules/0/byday"},
    };
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        if (check(odd[i][0], odd[i][1]))
            fail_msg("refused: %s\n%s", odd[i][1], found.text);
        expect(odd[i][2]);
    }
}

/* [REC-16]: the same contact may stand in a restricted feed. */
static void named_contacts_by_audience(void **state)
{
    const char *named =
        "{\"name\":\"a\",\"contacts\":[{\"name\":\"Fictief Persoon\",\"email\":\"f@p.example\"}]}";
    (void)state;
    assert_int_equal(check_in("public", "organization", ID, named), KAART_INVALID);
    assert_int_equal(check_in("professionals", "organization", ID, named), KAART_OK);
    assert_int_equal(found.warnings, 1);
    assert_null(strstr(found.text, "Fictief"));
    assert_int_equal(check("organization",
                           "{\"name\":\"a\",\"contacts\":[{\"name\":\"F\",\"basis\":\"own-publication\"},"
                           "{\"department\":\"Balie\"}]}"),
                     KAART_OK);
    assert_int_equal(found.warnings, 0);
}

static void links_have_the_id_of_their_pair(void **state)
{
    char id[UUID_TEXT_SIZE + 1];
    (void)state;
    identity_of_pair(ID, OTHER, id);
    assert_int_equal(check_in("public", "relation", id,
                              "{\"type\":\"same-as\",\"from_id\":\"" ID "\",\"to_id\":\"" OTHER "\"}"),
                     KAART_OK);
    assert_int_equal(check_in("public", "relation", id,
                              "{\"type\":\"not-same-as\",\"from_id\":\"" OTHER "\",\"to_id\":\"" ID "\"}"),
                     KAART_OK);
}

static void findings_are_bounded_and_pointers_escaped(void **state)
{
    char text[8192] = "{\"name\":\"a\",\"alternate_names\":[";
    (void)state;
    for (int i = 0; i < 500; i++)
        strcat(text, i ? ",1" : "1");
    strcat(text, "]}");
    assert_int_equal(check_in("professionals", "organization", ID, text), KAART_INVALID);
    assert_int_equal(found.errors, RECORD_FINDINGS_MAX);
    /* A hostile member name cannot leave its place in the pointer. */
    assert_int_equal(check("organization", "{\"name\":\"a\",\"a/b~c\":1,\"parent_organization_id\":1}"),
                     KAART_INVALID);
    expect("E /parent_organization_id");
}

static void names_and_numbers(void **state)
{
    struct fault fault;
    (void)state;
    static const char text[] =
        "{\"location_type\":\"physical\",\"addresses\":[{\"address_1\":\"Dorpsstraat 1\"}],"
        "\"external_identifier_type\":\"Vestigingsnummer\",\"external_identifier\":\"990064773193\"}";
    cJSON *body = json_parse(text, strlen(text), &fault);
    assert_string_equal(record_name("location", body), "Dorpsstraat 1");
    assert_string_equal(record_identifier(body, "vestigingsnummer"), "990064773193");
    assert_null(record_identifier(body, "kvk"));
    cJSON_Delete(body);
    body = cJSON_CreateObject();
    assert_null(record_name("organization", body));
    cJSON_Delete(body);
}

/* Documents that nobody here wrote, where they are at hand: errors only for named contacts without a basis.
 */
static void hsds_examples(void **state)
{
    static const struct {
        const char *file, *kind;
    } examples[] = {{HSDS "organization_full.json", "organization"},
                    {HSDS "service_full.json", "service"},
                    {HSDS "location.json", "location"},
                    {HSDS "service_at_location_full.json", "service_at_location"},
                    {HSDS "taxonomy_term.json", "taxonomy_term"}};
    size_t seen = 0;
    (void)state;
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        static char text[1 << 20];
        struct fault fault = {""};
        FILE *file = fopen(examples[i].file, "r");
        if (!file)
            continue;
        size_t size = fread(text, 1, sizeof text - 1, file);
        fclose(file);
        cJSON *body = json_parse(text, size, &fault);
        if (!body)
            fail_msg("%s: %s", examples[i].file, fault.text);
        memset(&found, 0, sizeof found);
        int code = record_check(examples[i].kind, NULL, body, "professionals", collect, &found);
        if (code && strcmp(examples[i].kind, "service_at_location") != 0)
            fail_msg("%s:\n%s", examples[i].file, found.text);
        if (strcmp(examples[i].kind, "location") == 0)
            expect("W /latitude lies outside");
        cJSON_Delete(body);
        seen++;
    }
    if (!seen)
        skip();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds),
        cmocka_unit_test(good_bodies),
        cmocka_unit_test(errors),
        cmocka_unit_test(warnings_only),
        cmocka_unit_test(named_contacts_by_audience),
        cmocka_unit_test(links_have_the_id_of_their_pair),
        cmocka_unit_test(findings_are_bounded_and_pointers_escaped),
        cmocka_unit_test(names_and_numbers),
        cmocka_unit_test(hsds_examples),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
