/*
 * test_ctl_input.c - how kaartctl reads files of records: where they begin and end, and what is embedded in them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/ctl/documents.h"
#include "daemon/ctl/hsds.h"
#include "protocol/identity.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- documents ---- */

/* "number:line:pointer:text" or "number:line:pointer!problem", one a line. */
static int write_document(void *context, const struct document *document)
{
    FILE *out = context;
    fprintf(out, "%zu:%zu:%s", document->number, document->line, document->pointer);
    if (document->problem)
        fprintf(out, "!%s\n", document->problem);
    else
        fprintf(out, ":%.*s\n", (int)document->text.size, document->text.data);
    return 0;
}

static void expect_documents(const char *text, const char *expected)
{
    char *got = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&got, &size);
    assert_int_equal(documents_each(text, strlen(text), write_document, out), 0);
    fclose(out);
    assert_string_equal(got, expected);
    free(got);
}

static void test_one_object(void **state)
{
    (void)state;
    expect_documents("{\"a\":1}", "1:1::{\"a\":1}\n");
    expect_documents("\xef\xbb\xbf\n {\"a\":\"}\\\"{\"}\n\n", "1:2::{\"a\":\"}\\\"{\"}\n");
}

static void test_array(void **state)
{
    (void)state;
    expect_documents("[]", "");
    expect_documents("[{}\n", "1:1:/0:{}\n2:2:!the file ends before the list does\n");
    expect_documents("[\n{\"a\":[1,2]},\n {}\n,3, ]", "1:2:/0:{\"a\":[1,2]}\n2:3:/1:{}\n3:4:/2:3\n");
    expect_documents("[{},{\"a\":", "1:1:/0:{}\n2:1:/1!the file ends in the middle of a record\n");
    expect_documents("[{}}]", "1:1:/0:{}\n2:1:/1!a record or the end of the list was expected here\n");
}

static void test_page(void **state)
{
    (void)state;
    expect_documents(
        "{\"total\":2,\"x\":{\"contents\":[9]},\"contents\":[{\"a\":1},\n{\"b\":2}],\"empty\":false}",
        "1:1:/contents/0:{\"a\":1}\n2:2:/contents/1:{\"b\":2}\n");
    expect_documents("{\"contents\":[{}]}\n{\"contents\":[{}]}\n",
                     "1:1:/contents/0:{}\n2:2:/contents/0:{}\n");
    expect_documents("{\"contents\":\"no list\"}", "1:1::{\"contents\":\"no list\"}\n");
}

static void test_ndjson(void **state)
{
    (void)state;
    expect_documents("{\"a\":1}\n{\"b\":2}\r\n\n {\"c\":3}",
                     "1:1::{\"a\":1}\n2:2::{\"b\":2}\n3:4::{\"c\":3}\n");
    /* a broken line spoils only itself */
    expect_documents("{\"a\":1}\n{\"b\":\n{\"c\":3}\n", "1:1::{\"a\":1}\n2:2::{\"b\":\n3:3::{\"c\":3}\n");
    /* several lines an object */
    expect_documents("{\n\"a\":1}\n{\"b\":2}", "1:1::{\n\"a\":1}\n2:3::{\"b\":2}\n");
}

static void test_no_records(void **state)
{
    (void)state;
    expect_documents("", "1:1:!there is no record in it\n");
    expect_documents(" \n", "1:1:!there is no record in it\n");
    expect_documents("<html>", "1:1:!a record was expected here: { or [\n");
    expect_documents("{\"a\":1} nonsense", "1:1::{\"a\":1}\n2:1:!a record was expected here: { or [\n");
    expect_documents("{\"a\":\"", "1:1:!the file ends in the middle of a record\n");
}

/* Every prefix of a file ends the walk and reads nothing beyond (the sanitizer watches). */
static void test_prefixes(void **state)
{
    (void)state;
    const char text[] = "\xef\xbb\xbf{\"n\":\"\\u00e9\\\\\",\"contents\":[{\"a\":[{}]},{\"b\":\"]\"}]}";
    for (size_t size = 0; size <= sizeof(text) - 1; size++) {
        char *copy = malloc(size + 1), *got = NULL;
        size_t written;
        FILE *out = open_memstream(&got, &written);
        assert_non_null(copy);
        memcpy(copy, text, size);
        assert_int_equal(documents_each(copy, size, write_document, out), 0);
        fclose(out);
        free(got);
        free(copy);
    }
}

/* ---- records in records ---- */

static int write_record(void *context, const struct hsds_record *record)
{
    char *body = cJSON_PrintUnformatted(record->body);
    fprintf(context, "%s %.8s %s %s%s%s\n", record->kind, record->id,
            *record->pointer ? record->pointer : "-", body, *record->verified ? " verified " : "",
            record->verified);
    free(body);
    return 0;
}

static void write_problem(void *context, const char *pointer, const char *message)
{
    fprintf(context, "! %s %s\n", *pointer ? pointer : "-", message);
}

static char *split(const char *kind, const char *text)
{
    char *got = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&got, &size);
    struct hsds_events events = {out, write_record, write_problem};
    struct hsds *hsds = hsds_new("nieuwegein.example", "editor", kind);
    cJSON *documents = cJSON_Parse(text), *document;
    assert_non_null(documents);
    cJSON_ArrayForEach(document, documents) assert_int_equal(hsds_learn(hsds, document), 0);
    cJSON_ArrayForEach(document, documents) assert_int_equal(hsds_split(hsds, document, "", &events), 0);
    cJSON_Delete(documents);
    hsds_free(hsds);
    fclose(out);
    return got;
}

static void expect_split(const char *kind, const char *text, const char *expected)
{
    char *got = split(kind, text);
    assert_string_equal(got, expected);
    free(got);
}

#define A "aaaaaaaa-0000-4000-8000-000000000001"
#define B "bbbbbbbb-0000-4000-8000-000000000002"
#define C "cccccccc-0000-4000-8000-000000000003"
#define D "dddddddd-0000-4000-8000-000000000004"

static void test_plain_record(void **state)
{
    (void)state;
    expect_split("service", "[{\"id\":\"" A "\",\"name\":\"x\",\"verified\":\"2026-11-01\"}]",
                 "service aaaaaaaa - {\"name\":\"x\"} verified 2026-11-01\n");
    /* what is no day stays, so that the check of records speaks about it */
    expect_split("service", "[{\"id\":\"" A "\",\"verified\":\"soon\"}]",
                 "service aaaaaaaa - {\"verified\":\"soon\"}\n");
}

static void test_embedded(void **state)
{
    (void)state;
    expect_split(NULL,
                 "[{\"id\":\"" A "\",\"name\":\"O\",\"services\":[{\"id\":\"" B
                 "\",\"name\":\"S\",\"service_at_locations\":[{\"id\":\"" C "\",\"location\":{\"id\":\"" D
                 "\",\"name\":\"L\"}}]}],\"phones\":[{\"number\":\"030\"}]}]",
                 "location dddddddd /services/0/service_at_locations/0/location {\"name\":\"L\"}\n"
                 "service_at_location cccccccc /services/0/service_at_locations/0 {\"service_id\":\"" B
                 "\",\"location_id\":\"" D "\"}\n"
                 "service bbbbbbbb /services/0 {\"name\":\"S\",\"organization_id\":\"" A "\"}\n"
                 "organization aaaaaaaa - {\"name\":\"O\",\"phones\":[{\"number\":\"030\"}]}\n");
    expect_split(
        "service",
        "[{\"id\":\"" B "\",\"organization\":{\"id\":\"" A "\",\"name\":\"O\"},\"organization_id\":\"" C
        "\"}]",
        "organization aaaaaaaa /organization {\"name\":\"O\"}\nservice bbbbbbbb - {\"organization_id\":\"" A
        "\"}\n");
}

static void test_linked_locations(void **state)
{
    (void)state;
    char id[UUID_TEXT_SIZE + 1], expected[512];
    assert_int_equal(identity_of_external("nieuwegein.example", "editor", "service_at_location", B, D, id),
                     0);
    snprintf(expected, sizeof(expected),
             "location dddddddd /locations/0 {\"name\":\"L\"}\nservice_at_location %.8s /locations/0 "
             "{\"service_id\":\"" B "\",\"location_id\":\"" D "\"}\nservice bbbbbbbb - {\"name\":\"S\"}\n",
             id);
    expect_split("service",
                 "[{\"id\":\"" B "\",\"name\":\"S\",\"locations\":[{\"id\":\"" D "\",\"name\":\"L\"}]}]",
                 expected);
}

/* An organisation that the file calls org-1 and that has a KVK number: references follow, also backwards and from other documents. */
static void test_own_ids(void **state)
{
    (void)state;
    char kvk[UUID_TEXT_SIZE + 1], service[UUID_TEXT_SIZE + 1], phone[UUID_TEXT_SIZE + 1], expected[1024];
    assert_int_equal(identity_of_identifier("kvk", "90006623", kvk), 0);
    assert_int_equal(identity_of_external("nieuwegein.example", "editor", "service", NULL, "7", service), 0);
    assert_int_equal(identity_of_external("nieuwegein.example", "editor", "part", service, "p1", phone), 0);
    snprintf(expected, sizeof(expected),
             "service %.8s - "
             "{\"name\":\"S\",\"organization_id\":\"%s\",\"phones\":[{\"id\":\"%s\",\"service_id\":\"%s\"}],"
             "\"status\":\"active\"}\n"
             "organization %.8s - "
             "{\"name\":\"O\",\"identifiers\":[{\"scheme\":\"kvk\",\"value\":\"90006623\"}]}\n",
             service, kvk, phone, service, kvk);
    expect_split(
        NULL,
        "[{\"id\":7,\"name\":\"S\",\"organization_id\":\"org-1\",\"phones\":[{\"id\":\"p1\",\"service_id\":"
        "\"7\"}],\"status\":\"active\"},"
        "{\"id\":\"org-1\",\"name\":\"O\",\"identifiers\":[{\"scheme\":\"kvk\",\"value\":\"90006623\"}]}]",
        expected);
}

static void test_without_id(void **state)
{
    (void)state;
    char *first = split("organization", "[{\"name\":\"Stichting X\"}]"),
         *again = split("organization", "[{\"name\":\"Stichting X\"}]");
    assert_string_equal(first, again);
    assert_memory_equal(first, "organization ", 13);
    free(first);
    free(again);
    expect_split("organization", "[{\"description\":\"?\"}]",
                 "! - has no id, no identifier and no name by which it could get one [ID-4]\n");
    expect_split("professional", "[{\"name\":\"A. Persoon\"}]",
                 "! - a record about one person needs a random UUID as id, since a number or name can be "
                 "guessed back: give it one (uuidgen) "
                 "and keep it [ID-5]\n");
}

static void test_unclear(void **state)
{
    (void)state;
    expect_split(NULL, "[{\"name\":\"x\"}, 5]",
                 "! - which kind of record this is cannot be told from its members; say so with --kind\n! - "
                 "is no object\n");
    expect_split("organization", "[{\"id\":\"" A "\",\"services\":[1,null]}]",
                 "! /services/0 is no object\n! /services/1 is no object\norganization aaaaaaaa - {}\n");
}

/* What export and fetch print can be imported. */
static void test_wrapped(void **state)
{
    (void)state;
    expect_split(NULL, "[{\"kind\":\"location\",\"id\":\"" D "\",\"record\":{\"name\":\"L\"}}]",
                 "location dddddddd /record {\"name\":\"L\"}\n");
    expect_split("service",
                 "[{\"kind\":\"location\",\"id\":\"" D "\",\"source\":\"x\",\"body\":{\"name\":\"L\"}}]",
                 "location dddddddd /body {\"name\":\"L\"}\n");
}

static void test_depth(void **state)
{
    (void)state;
    char text[8192] = "[", *got;
    for (int i = 0; i < 12; i++) /* an organisation in a service in an organisation ... */
        strcat(text, i % 2 ? "{\"name\":\"s\",\"organization\":" : "{\"name\":\"o\",\"services\":[");
    strcat(text, "{\"name\":\"end\"}");
    for (int i = 11; i >= 0; i--)
        strcat(text, i % 2 ? "}" : "]}");
    strcat(text, "]");
    got = split("organization", text);
    assert_non_null(strstr(got, "records stand too deep in each other"));
    free(got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_object),
        cmocka_unit_test(test_array),
        cmocka_unit_test(test_page),
        cmocka_unit_test(test_ndjson),
        cmocka_unit_test(test_no_records),
        cmocka_unit_test(test_prefixes),
        cmocka_unit_test(test_plain_record),
        cmocka_unit_test(test_embedded),
        cmocka_unit_test(test_linked_locations),
        cmocka_unit_test(test_own_ids),
        cmocka_unit_test(test_without_id),
        cmocka_unit_test(test_unclear),
        cmocka_unit_test(test_wrapped),
        cmocka_unit_test(test_depth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
