/* test_identity.c - ids that two implementations must agree on. spec/records.md, "Identity". */
#include "protocol/identity.h"
#include "protocol/json.h"
#include "protocol/syntax.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static cJSON *body(const char *text)
{
    struct fault fault;
    cJSON *value = json_parse(text, strlen(text), &fault);
    assert_non_null(value);
    return value;
}

/* The expected values come from Python's uuid.uuid5. */
static void named(void **state)
{
    char id[UUID_TEXT_SIZE + 1];
    (void)state;
    assert_int_equal(identity_of_identifier("kvk", "90006623", id), KAART_OK);
    assert_string_equal(id, "a424e4a5-ab36-5115-8520-4271b5e989c2");
    assert_int_equal(identity_of_identifier("vestigingsnummer", "990064773193", id), KAART_OK);
    assert_string_equal(id, "52881915-dca6-5aa1-be00-c9348bc76f83");
    assert_int_equal(
        identity_of_external("nieuwegein.example", "contracted-care", "service", NULL, "A:17", id), KAART_OK);
    assert_string_equal(id, "4e3070da-7fdc-5b99-a8d1-43d6b461191d");
    assert_int_equal(identity_of_confirmation("nieuwegein.example", "contracted-care", id), KAART_OK);
    assert_string_equal(id, "17ed6b83-b119-58e3-b83c-7a40c5457ba1");
}

static void refused(void **state)
{
    char id[UUID_TEXT_SIZE + 1];
    (void)state;
    assert_int_equal(identity_of_identifier("kvk", "9000662", id), KAART_INVALID);
    assert_int_equal(identity_of_identifier("bag", "0344010000041835", id),
                     KAART_INVALID); /* tenants share it [ID-3] */
    assert_int_equal(identity_of_external("a.example", "s", "service", NULL, "", id), KAART_INVALID);
}

static void of_record(void **state)
{
    char id[UUID_TEXT_SIZE + 1], expected[UUID_TEXT_SIZE + 1];
    (void)state;
    cJSON *organization = body("{\"identifiers\":[{\"scheme\":\"agb\",\"value\":\"12345678\"},"
                               "{\"scheme\":\"kvk\",\"value\":\"90006623\"}]}");
    assert_int_equal(identity_of_record("organization", organization, "a.example", "s", NULL, "17", id),
                     KAART_OK);
    identity_of_identifier("kvk", "90006623", expected);
    assert_string_equal(id, expected);
    /* The same numbers say nothing about a service. */
    assert_int_equal(identity_of_record("service", organization, "a.example", "s", NULL, "17", id), KAART_OK);
    identity_of_external("a.example", "s", "service", NULL, "17", expected);
    assert_string_equal(id, expected);
    assert_int_equal(identity_of_record("service", organization, "a.example", "s", NULL, NULL, id),
                     KAART_UNKNOWN);
    cJSON_Delete(organization);

    cJSON *hsds =
        body("{\"organization_identifiers\":[{\"identifier_scheme\":\"NL-KVK\",\"identifier_type\":\"x\","
             "\"identifier\":\"90006623\"}]}");
    assert_int_equal(identity_of_record("organization", hsds, "b.example", "t", NULL, NULL, id), KAART_OK);
    identity_of_identifier("kvk", "90006623", expected);
    assert_string_equal(id, expected);
    cJSON_Delete(hsds);

    cJSON *one_person = body(
        "{\"legal_status\":\"Eenmanszaak\",\"identifiers\":[{\"scheme\":\"kvk\",\"value\":\"90006623\"}]}");
    assert_int_equal(identity_of_record("organization", one_person, "a.example", "s", NULL, "17", id),
                     KAART_UNKNOWN);
    assert_true(identity_is_person("organization", one_person));
    assert_int_equal(identity_of_record("professional", one_person, "a.example", "s", NULL, "17", id),
                     KAART_UNKNOWN);
    cJSON_Delete(one_person);
}

static void other_source_other_id(void **state)
{
    char a[UUID_TEXT_SIZE + 1], b[UUID_TEXT_SIZE + 1];
    (void)state;
    identity_of_external("a.example", "s", "service", NULL, "17", a);
    identity_of_external("b.example", "s", "service", NULL, "17", b);
    assert_string_not_equal(a, b);
    identity_of_external("a.example", "s", "service", "00000000-0000-0000-0000-000000000001", "17", b);
    assert_string_not_equal(a, b);
}

static void pair(void **state)
{
    char a[UUID_TEXT_SIZE + 1], b[UUID_TEXT_SIZE + 1];
    (void)state;
    identity_of_pair("00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002", a);
    identity_of_pair("00000000-0000-0000-0000-000000000002", "00000000-0000-0000-0000-000000000001", b);
    assert_string_equal(a, b);
    assert_string_equal(a, "e0d871d0-9dea-5677-b789-48fc5b76fd2d");
}

static void random_id(void **state)
{
    uint8_t bytes[16];
    char id[UUID_TEXT_SIZE + 1];
    (void)state;
    memset(bytes, 0xff, sizeof bytes);
    uuid_v4_from(bytes, id);
    assert_string_equal(id, "ffffffff-ffff-4fff-bfff-ffffffffffff");
    assert_true(syntax_is_uuid(id, strlen(id)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(named),     cmocka_unit_test(refused),
        cmocka_unit_test(of_record), cmocka_unit_test(other_source_other_id),
        cmocka_unit_test(pair),      cmocka_unit_test(random_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
