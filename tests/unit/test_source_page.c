/*
 * test_source_page.c - pages of foreign listings: what is one and what is not, where its rows are, how the next one is found. [SRC-1] [SRC-2]
 */
#include "daemon/source/pointer.h"
#include "daemon/source/source_page.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char URL[] = "https://api.example/v1/list?x=1";

static int open_page(const struct mapping_listing *listing, const char *text, const char *type,
                     struct span *rows, struct fault *fault)
{
    return page_open(text, strlen(text), type, listing, rows, fault);
}

static void expect_no_listing(const char *text, const char *type, const char *part)
{
    struct mapping_listing listing = {.rows = "/items"};
    struct span rows;
    struct fault fault = {""};
    assert_int_equal(open_page(&listing, text, type, &rows, &fault), KAART_INVALID);
    if (strstr(fault.text, part) == NULL)
        fail_msg("\"%s\" lacks \"%s\"", fault.text, part);
}

static void test_no_listing(void **state)
{
    (void)state;
    expect_no_listing("", "application/json", "empty");
    expect_no_listing(" \n<!DOCTYPE html><html>", "application/json", "web page");
    expect_no_listing("<html>", "text/html", "web page");
    expect_no_listing("{\"items\":[]}", "text/csv", "text/csv, not application/json");
    expect_no_listing("{\"items\":[1,2", "application/json", "no JSON");
    expect_no_listing("{\"items\":[]} x", NULL, "no JSON");
    expect_no_listing("{\"items\":[],\"items\":[1]}", NULL, "no JSON");
    expect_no_listing("{\"items\":[1,2}", NULL, "no JSON");
    expect_no_listing("{\"items\":[1,,2]}", NULL, "no JSON");
    expect_no_listing("{\"items\":[1,2,]}", NULL, "no JSON");
    expect_no_listing("{\"items\":[1 2]}", NULL, "no JSON");
    expect_no_listing("{\"items\":[\"a]}", NULL, "no JSON");
    expect_no_listing("{\"items\":[],\"a\":tru}", NULL, "no JSON");
    expect_no_listing("{\"items\":[],\"a\":\"\xff\"}", NULL, "no JSON");
    expect_no_listing("12", NULL, "no JSON");
    expect_no_listing("{\"error\":\"x\"}", NULL, "nothing at \"/items\"");
    expect_no_listing("{\"items\":null}", NULL, "null at \"/items\" where a list");
    expect_no_listing("{\"items\":{}}", NULL, "an object at \"/items\" where a list");
}

static void test_rows(void **state)
{
    (void)state;
    struct mapping_listing listing = {.rows = "/a~1b/1/items"};
    struct span rows, row;
    struct fault fault = {""};
    size_t offset = 0;
    const char *text = " { \"x\" : \"]}\\\"\" , \"a\\/b\" : [ {} , { \"items\" : [ {\"n\":[1,{\"m\":2}]} , "
                       "\"a,b\" ,\n-1.5e3, true,[ ] ] } ] } ";
    const char *expected[] = {"{\"n\":[1,{\"m\":2}]}", "\"a,b\"", "-1.5e3", "true", "[ ]"};
    assert_int_equal(open_page(&listing, text, "application/hal+json; charset=utf-8", &rows, &fault),
                     KAART_OK);
    for (size_t i = 0; i < 5; i++) {
        assert_true(page_row(&listing, rows, &offset, &row));
        assert_int_equal(row.size, strlen(expected[i]));
        assert_memory_equal(row.data, expected[i], row.size);
    }
    assert_false(page_row(&listing, rows, &offset, &row));
    assert_false(page_row(&listing, rows, &offset, &row));

    listing = (struct mapping_listing){.rows = "", .form = MAPPING_ROWS_MEMBERS};
    offset = 0;
    assert_int_equal(open_page(&listing, "{\"k1\":{\"v\":1},\"k2\":2}", NULL, &rows, &fault), KAART_OK);
    assert_true(page_row(&listing, rows, &offset, &row));
    assert_memory_equal(row.data, "{\"v\":1}", row.size);
    assert_true(page_row(&listing, rows, &offset, &row));
    assert_false(page_row(&listing, rows, &offset, &row));

    listing.form = MAPPING_ROWS_ONE;
    offset = 0;
    assert_true(page_row(&listing, rows, &offset, &row));
    assert_int_equal(row.size, rows.size);
    assert_false(page_row(&listing, rows, &offset, &row));

    listing = (struct mapping_listing){.rows = ""};
    offset = 0;
    assert_int_equal(open_page(&listing, "[]", NULL, &rows, &fault), KAART_OK);
    assert_false(page_row(&listing, rows, &offset, &row));
}

static int next(const struct mapping_listing *listing, const char *text, const char *link, size_t pages,
                size_t rows, size_t page_rows, char out[SOURCE_URL_MAX], struct fault *fault)
{
    struct page_walk walk = {pages, rows, page_rows};
    return page_next_url(URL, text, strlen(text), link, listing, &walk, out, fault);
}

static void expect_next(const struct mapping_listing *listing, const char *text, const char *link,
                        size_t pages, size_t rows, size_t page_rows, const char *expected)
{
    char out[SOURCE_URL_MAX];
    struct fault fault = {""};
    if (next(listing, text, link, pages, rows, page_rows, out, &fault) != KAART_OK)
        fail_msg("%s", fault.text);
    assert_string_equal(out, expected);
}

static void expect_no_next(const struct mapping_listing *listing, const char *text, const char *part)
{
    char out[SOURCE_URL_MAX];
    struct fault fault = {""};
    assert_int_equal(next(listing, text, NULL, 1, 2, 2, out, &fault), KAART_INVALID);
    if (strstr(fault.text, part) == NULL)
        fail_msg("\"%s\" lacks \"%s\"", fault.text, part);
    assert_string_equal(out, "");
}

static void test_next_links(void **state)
{
    (void)state;
    struct mapping_listing listing = {.rows = "", .paging = MAPPING_PAGING_NEXT, .next = "/next"};
    expect_next(&listing, "{\"next\":\"?page=2\"}", NULL, 1, 2, 2, "https://api.example/v1/list?page=2");
    expect_next(&listing, "{\"next\":\"/v1/list?c=a%20b\"}", NULL, 1, 2, 2,
                "https://api.example/v1/list?c=a%20b");
    expect_next(&listing, "{\"next\":\"https://API.example:443/z\"}", NULL, 1, 2, 2,
                "https://API.example:443/z");
    expect_next(&listing, "{\"next\":null}", NULL, 1, 2, 2, "");
    expect_next(&listing, "{\"next\":\"\"}", NULL, 1, 2, 2, "");
    expect_next(&listing, "{}", NULL, 1, 2, 2, "");
    expect_no_next(&listing, "{\"next\":\"https://evil.example/v1/list\"}", "another origin");
    expect_no_next(&listing, "{\"next\":\"http://api.example/v1/list\"}", "another origin");
    expect_no_next(&listing, "{\"next\":\"https://api.example:8443/v1/list\"}", "another origin");
    expect_no_next(&listing, "{\"next\":\"https://api.example@evil.example/\"}", "another origin");
    expect_no_next(&listing, "{\"next\":\"?x=1\"}", "same page");
    struct mapping_listing link = {.rows = "", .paging = MAPPING_PAGING_LINK};
    expect_next(&link, "[]", "</a?p=1>; rel=\"prev\", </a?p=3>; title=\"x\"; rel=\"next\"", 2, 4, 2,
                "https://api.example/a?p=3");
    expect_next(&link, "[]", "</a?p=1>; rel=first", 2, 4, 2, "");
    expect_next(&link, "[]", NULL, 2, 4, 2, "");
}

static void test_counted_pages(void **state)
{
    (void)state;
    struct mapping_listing page = {.rows = "",
                                   .paging = MAPPING_PAGING_PAGE,
                                   .parameter = "page",
                                   .size_parameter = "n",
                                   .size = 2,
                                   .first = 1};
    char out[SOURCE_URL_MAX];
    struct fault fault = {""};
    assert_int_equal(page_first_url(URL, &page, out, &fault), KAART_OK);
    assert_string_equal(out, "https://api.example/v1/list?x=1&n=2&page=1");
    expect_next(&page, "[]", NULL, 1, 2, 2, "https://api.example/v1/list?x=1&page=2");
    expect_next(&page, "[]", NULL, 2, 3, 1, "");
    page.pages = "/pages";
    expect_next(&page, "{\"pages\":3}", NULL, 2, 3, 1, "https://api.example/v1/list?x=1&page=3");
    expect_next(&page, "{\"pages\":3}", NULL, 3, 5, 2, "");
    page.pages = NULL;
    page.more = "/more";
    expect_next(&page, "{\"more\":true}", NULL, 1, 1, 1, "https://api.example/v1/list?x=1&page=2");
    expect_next(&page, "{\"more\":false}", NULL, 1, 2, 2, "");
    struct mapping_listing offset = {
        .rows = "", .paging = MAPPING_PAGING_OFFSET, .parameter = "x", .first = 0};
    expect_next(&offset, "[]", NULL, 3, 250, 50, "https://api.example/v1/list?x=250");
    expect_next(&offset, "[]", NULL, 3, 250, 0, "");
}

static void test_cursors(void **state)
{
    (void)state;
    struct mapping_listing cursor = {
        .rows = "", .paging = MAPPING_PAGING_CURSOR, .parameter = "after", .next = "/meta/cursor"};
    expect_next(&cursor, "{\"meta\":{\"cursor\":\"a/b=&c\"}}", NULL, 1, 2, 2,
                "https://api.example/v1/list?x=1&after=a%2fb%3d%26c");
    expect_next(&cursor, "{\"meta\":{\"cursor\":42}}", NULL, 1, 2, 2,
                "https://api.example/v1/list?x=1&after=42");
    expect_next(&cursor, "{\"meta\":{\"cursor\":null}}", NULL, 1, 2, 2, "");
    cursor.parameter = "x";
    expect_no_next(&cursor, "{\"meta\":{\"cursor\":1}}", "same cursor");
}

/* Half a list is no list. [SRC-5] */
static void test_total(void **state)
{
    (void)state;
    struct mapping_listing listing = {
        .rows = "", .paging = MAPPING_PAGING_NEXT, .next = "/next", .total = "/total"};
    expect_next(&listing, "{\"total\":2}", NULL, 1, 2, 2, "");
    expect_next(&listing, "{\"total\":5,\"next\":\"?p=2\"}", NULL, 1, 2, 2,
                "https://api.example/v1/list?p=2");
    expect_no_next(&listing, "{\"total\":5}", "says it has 5 rows, but 2 came");
    expect_no_next(&listing, "{}", "no number at \"/total\"");
}

static void test_pointers(void **state)
{
    (void)state;
    assert_true(pointer_is_valid(""));
    assert_true(pointer_is_valid("/"));
    assert_true(pointer_is_valid("/a~0b/~1"));
    assert_false(pointer_is_valid("a"));
    assert_false(pointer_is_valid("/~2"));
    assert_false(pointer_is_valid("/~"));
    cJSON *json = cJSON_Parse("{\"\":0,\"a\":[10,11],\"m~n\":{\"/\":1}}");
    assert_int_equal(pointer_get(json, "/")->valueint, 0);
    assert_int_equal(pointer_get(json, "/a/1")->valueint, 11);
    assert_null(pointer_get(json, "/a/01"));
    assert_null(pointer_get(json, "/a/-"));
    assert_null(pointer_get(json, "/a/2"));
    assert_null(pointer_get(json, "/A"));
    assert_int_equal(pointer_get(json, "/m~0n/~1")->valueint, 1);
    assert_ptr_equal(pointer_get(json, ""), json);
    cJSON_Delete(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_listing), cmocka_unit_test(test_rows),
        cmocka_unit_test(test_next_links), cmocka_unit_test(test_counted_pages),
        cmocka_unit_test(test_cursors),    cmocka_unit_test(test_total),
        cmocka_unit_test(test_pointers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
