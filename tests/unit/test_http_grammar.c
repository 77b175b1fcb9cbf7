/*
 * test_http_grammar.c - heads and bodies in pieces of every size, and many slightly broken ones: what comes out must not depend on how
 * the bytes arrived, and nothing may be read beyond them (this runs under ASan, too).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/net/http_grammar.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MUTATIONS 20000

static const char *const REQUESTS[] = {
    "GET /v1/feeds?epoch=1&since=2 HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n",
    "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 26\r\n\r\nabcdefghijklmnopqrstuvwxyz",
    "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n "
    "\r\nA\r\n0123456789\r\n0\r\n\r\n",
    "PUT /a%20b/c?x=%C3%A9 HTTP/1.0\r\nContent-Length: 3\r\nX: \r\nY:z\r\n\r\nxyz",
    "POST /a HTTP/1.1\r\nhost: x:80\r\nExpect: 100-continue\r\nContent-Encoding: gzip\r\nContent-Length: "
    "2\r\n\r\n\x1f\x8b",
};

/* What was made of the bytes. */
struct reading {
    int status; /* 0: accepted */
    bool complete;
    size_t consumed; /* of head and body together */
    char text[600];  /* method, path, fields, body */
};

struct body {
    char *text;
    size_t size, stop_every, pieces;
    struct http_grammar *grammar;
};

static void add(char *text, const char *format, ...)
{
    size_t used = strlen(text);
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text + used, 600 - used, format, arguments);
    va_end(arguments);
}

static void on_body(void *context, const char *bytes, size_t size)
{
    struct body *body = context;

    for (size_t i = 0; i < size; i++)
        add(body->text, "%02x", (unsigned char)bytes[i]);
    body->pieces++;
    if (body->stop_every && body->pieces % body->stop_every == 0)
        http_grammar_stop(body->grammar);
}

/* Exactly `size` bytes on the heap, so that ASan sees every step beyond. */
static char *exact(const char *bytes, size_t size)
{
    char *copy = malloc(size ? size : 1);

    assert_non_null(copy);
    if (size)
        memcpy(copy, bytes, size);
    return copy;
}

static int read_head(const char *bytes, size_t size, size_t piece, size_t *head_size)
{
    size_t scanned = 0, seen = 0;
    const char *why = NULL;
    int status = 0;

    *head_size = 0;
    while (seen < size && !*head_size && !status) {
        char *copy;

        seen = seen + piece > size ? size : seen + piece;
        copy = exact(bytes, seen);
        *head_size = http_grammar_find_head(copy, seen, &scanned, &status, &why);
        free(copy);
    }
    if (status)
        assert_non_null(why);
    return status;
}

static void read_body(struct http_grammar *grammar, const char *bytes, size_t size, size_t piece,
                      size_t stop_every, struct reading *out)
{
    struct body body = {.text = out->text, .stop_every = stop_every, .grammar = grammar};
    size_t used = 0, end = 0, consumed;
    const char *why = NULL;

    while (!grammar->complete && !out->status) {
        char *copy;

        if (end == used && end == size)
            return;
        end = end + piece > size ? size : end + piece;
        copy = exact(bytes + used, end - used);
        out->status = http_grammar_body(grammar, copy, end - used, &consumed, on_body, &body, &why);
        free(copy);
        assert_true(consumed <= end - used);
        used += consumed;
        out->consumed += consumed;
        if (out->status)
            assert_non_null(why);
        if (consumed == 0 && end == size && !grammar->complete && !stop_every)
            return;
    }
}

static struct reading read_request(const char *bytes, size_t size, size_t piece, size_t stop_every)
{
    struct reading out = {0};
    struct http_grammar grammar;
    struct http_pair query[HTTP_QUERY_MAX];
    struct http_head head;
    const char *path, *why = NULL;
    size_t head_size, count, i;
    char *copy;

    out.status = read_head(bytes, size, piece, &head_size);
    if (out.status || !head_size)
        return out;
    copy = exact(bytes, head_size);
    out.status = http_grammar_head(&grammar, copy, head_size, &head, &why);
    if (!out.status) {
        for (i = 0; i < head.field_count; i++)
            add(out.text, "%s=%s;", head.fields[i].name, head.fields[i].value);
        out.status = http_target_parse(copy + (head.target - copy), &path, query, &count, &why);
    }
    if (out.status) {
        assert_non_null(why);
    } else {
        add(out.text, "%s %s ", head.method, path);
        for (i = 0; i < count; i++)
            add(out.text, "%s=%s&", query[i].name, query[i].value);
        out.consumed = head_size;
        read_body(&grammar, bytes + head_size, size - head_size, piece, stop_every, &out);
        out.complete = grammar.complete;
    }
    free(copy);
    return out;
}

static void test_pieces(void **state)
{
    size_t i, piece;

    (void)state;
    for (i = 0; i < sizeof(REQUESTS) / sizeof(REQUESTS[0]); i++) {
        size_t size = strlen(REQUESTS[i]);
        struct reading whole = read_request(REQUESTS[i], size, size, 0);

        if (whole.status || !whole.complete || whole.consumed != size)
            fail_msg("\"%s\": status %d, %zu of %zu", REQUESTS[i], whole.status, whole.consumed, size);
        for (piece = 1; piece < size; piece++) {
            struct reading pieces = read_request(REQUESTS[i], size, piece, piece % 3);

            assert_int_equal(pieces.status, 0);
            assert_true(pieces.complete);
            assert_int_equal(pieces.consumed, size);
            assert_string_equal(pieces.text, whole.text);
        }
    }
}

static void test_leaves_the_next_request(void **state)
{
    char two[600];
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(REQUESTS) / sizeof(REQUESTS[0]); i++) {
        struct reading reading;

        snprintf(two, sizeof(two), "%s%s", REQUESTS[i], "GET /next HTTP/1.1\r\nHost: x\r\n\r\n");
        reading = read_request(two, strlen(two), strlen(two), 0);
        assert_int_equal(reading.status, 0);
        assert_true(reading.complete);
        assert_int_equal(reading.consumed, strlen(REQUESTS[i]));
    }
}

static uint32_t next_random(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

/* Accepted or refused, whole or in pieces: the same. */
static void test_mutations(void **state)
{
    static const char SPICE[] = "\r\n\t :;,=&%+/.?#\x00\x7f\x80\xff"
                                "0aZ";
    uint32_t seed = 20261121;
    unsigned i, accepted = 0;

    (void)state;
    for (i = 0; i < MUTATIONS; i++) {
        const char *request = REQUESTS[next_random(&seed) % (sizeof(REQUESTS) / sizeof(REQUESTS[0]))];
        size_t size = strlen(request), changes = 1 + next_random(&seed) % 3;
        struct reading whole, pieces;
        char bytes[600];

        memcpy(bytes, request, size);
        while (changes--) {
            size_t at = next_random(&seed) % size;

            switch (next_random(&seed) % 3) {
            case 0:
                bytes[at] = SPICE[next_random(&seed) % (sizeof(SPICE) - 1)];
                break;
            case 1:
                memmove(bytes + at, bytes + at + 1, size - at - 1);
                size--;
                break;
            default:
                memmove(bytes + at + 1, bytes + at, size - at);
                bytes[at] = SPICE[next_random(&seed) % (sizeof(SPICE) - 1)];
                size++;
                break;
            }
        }
        whole = read_request(bytes, size, size, 0);
        pieces = read_request(bytes, size, 1 + next_random(&seed) % 9, 0);
        accepted += whole.status == 0 && whole.complete;
        if (whole.status != pieces.status || (!whole.status && whole.complete != pieces.complete))
            fail_msg("%.*s: %d %d", (int)size, bytes, whole.status, pieces.status);
        if (!whole.status && whole.complete)
            assert_string_equal(whole.text, pieces.text);
    }
    assert_in_range(accepted, MUTATIONS / 20, MUTATIONS);
}

int main(void)
{
    static const struct CMUnitTest TESTS[] = {
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_leaves_the_next_request),
        cmocka_unit_test(test_mutations),
    };

    return cmocka_run_group_tests(TESTS, NULL, NULL);
}
