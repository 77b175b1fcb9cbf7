/*
 * store_fixture.h - for the tests of the store: a directory of its own, keys from a fixed seed, claims, and
 * streams.
 */
#ifndef KAARTD_TESTS_STORE_FIXTURE_H
#define KAARTD_TESTS_STORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/store/feeds.h"
#include "protocol/stream.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FEED "nieuwegein.example/public"
#define NOW_MS 1795287600000LL /* 2026-11-21T19:00:00Z */

struct fixture {
    char directory[64];
    char path[96], own_head[96];
    struct feeds *feeds;
    struct signing_key key;
    struct verifier_key verifier;
};

#define assert_ok(expression)                                                                                \
    do {                                                                                                     \
        fault.text[0] = '\0';                                                                                \
        int code_ = (expression);                                                                            \
        if (code_ != KAART_OK)                                                                               \
            print_error("%s: %s: %s\n", #expression, kaart_strerror(code_), fault.text);                     \
        assert_int_equal(code_, KAART_OK);                                                                   \
    } while (0)

static struct fault fault;

static inline int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status;
    (void)type;
    (void)place;
    return remove(path);
}

static inline void fixture_open(struct fixture *fixture)
{
    assert_ok(feeds_open(fixture->path, true, fixture->own_head, &fixture->feeds, &fault));
}

static inline void fixture_key(struct fixture *fixture, const char *feed, uint8_t seed_byte)
{
    uint8_t seed[ED25519_SIZE];
    memset(seed, seed_byte, sizeof(seed));
    assert_ok(signing_key_from_seed(feed, seed, &fixture->key, &fault));
    fixture->verifier = fixture->key.verifier;
}

static inline struct fixture *fixture_new(void)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    snprintf(fixture->directory, sizeof(fixture->directory), "/tmp/kaartd-test-XXXXXX");
    assert_non_null(mkdtemp(fixture->directory));
    snprintf(fixture->path, sizeof(fixture->path), "%s/feeds.db", fixture->directory);
    snprintf(fixture->own_head, sizeof(fixture->own_head), "%s/own-head", fixture->directory);
    fixture_key(fixture, FEED, 7);
    fixture_open(fixture);
    return fixture;
}

static inline void fixture_free(struct fixture *fixture)
{
    feeds_close(fixture->feeds);
    nftw(fixture->directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(fixture);
}

static inline void fixture_reopen(struct fixture *fixture)
{
    feeds_close(fixture->feeds);
    fixture->feeds = NULL;
    fixture_open(fixture);
}

/* An id that depends on a number only. */
static inline const char *id_of(unsigned number, char id[UUID_TEXT_SIZE + 1])
{
    snprintf(id, UUID_TEXT_SIZE + 1, "%08x-0000-4000-8000-%012x", number, number);
    return id;
}

static inline struct own_claim claim_of(const char *id, const char *body)
{
    return (struct own_claim){.op = body != NULL ? ENTRY_ASSERT : ENTRY_RETRACT,
                              .kind = "service",
                              .id = id,
                              .source = "desk",
                              .role = "editor",
                              .areas = "[\"GM0356\"]",
                              .body = body,
                              .verified = DAY_NONE,
                              .missing_since = DAY_NONE};
}

/* One claim, one append; the outcome. */
static inline enum own_outcome say(struct fixture *fixture, unsigned number, const char *body, int64_t now_ms)
{
    char id[UUID_TEXT_SIZE + 1];
    struct own_claim claim = claim_of(id_of(number, id), body);
    struct own_result result;
    assert_ok(feeds_append(fixture->feeds, fixture->key.verifier.name, &fixture->key, 1, now_ms, &claim, 1,
                           false, &result, &fault));
    return result.outcome;
}

/* Whether any file of the store holds these bytes. */
static inline bool on_disk(const struct fixture *fixture, const char *text)
{
    static const char *const names[] = {"feeds.db", "feeds.db-wal"};
    bool found = false;
    for (size_t i = 0; i < 2; i++) {
        char path[128];
        snprintf(path, sizeof(path), "%s/%s", fixture->directory, names[i]);
        FILE *file = fopen(path, "rb");
        if (file == NULL)
            continue;
        fseek(file, 0, SEEK_END);
        size_t size = (size_t)ftell(file);
        rewind(file);
        char *bytes = malloc(size + 1);
        assert_non_null(bytes);
        assert_int_equal(fread(bytes, 1, size, file), size);
        found = found || (size > 0 && memmem(bytes, size, text, strlen(text)) != NULL);
        free(bytes);
        fclose(file);
    }
    return found;
}

#endif
