/*
 * loopback.h - for tests of the network: a loop that is turned by hand, raw sockets as callers, and
 * certificates made on the spot. Include in one test file each; everything is static.
 */
#ifndef KAARTD_TESTS_LOOPBACK_H
#define KAARTD_TESTS_LOOPBACK_H

#include "daemon/net/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#define UNUSED __attribute__((unused))

/* A test that waits longer than this has failed. */
#define PATIENCE_MS 10000

static uv_loop_t test_loop;

static UNUSED void loop_open(void)
{
    assert_int_equal(uv_loop_init(&test_loop), 0);
}

/* All handles must be closed or closing. */
static UNUSED void loop_close(void)
{
    int i;

    for (i = 0; i < 1000 && uv_run(&test_loop, UV_RUN_NOWAIT); i++)
        usleep(1000);
    assert_int_equal(uv_loop_close(&test_loop), 0);
}

static UNUSED uint64_t now_ms(void)
{
    return uv_hrtime() / 1000000;
}

/* Turns the loop until *flag, or fails. */
static UNUSED void run_until(const bool *flag)
{
    uint64_t end = now_ms() + PATIENCE_MS;

    while (!*flag) {
        assert_true(now_ms() < end);
        if (!uv_run(&test_loop, UV_RUN_NOWAIT))
            usleep(200);
        else
            usleep(200);
    }
}

static UNUSED void run_for(uint64_t ms)
{
    uint64_t end = now_ms() + ms;

    while (now_ms() < end) {
        uv_run(&test_loop, UV_RUN_NOWAIT);
        usleep(500);
    }
}

/* ---- raw callers ---- */

struct caller {
    int socket;
    char *got; /* everything received, NUL added */
    size_t size, capacity;
    bool closed;
};

static UNUSED struct caller caller_adopt(int fd)
{
    struct caller caller = {.socket = fd};

    assert_true(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
    caller.capacity = 65536;
    caller.got = calloc(1, caller.capacity);
    assert_non_null(caller.got);
    return caller;
}

static UNUSED struct caller caller_open(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return caller_adopt(fd);
}

static UNUSED void caller_close(struct caller *caller)
{
    if (caller->socket >= 0)
        close(caller->socket);
    caller->socket = -1;
    free(caller->got);
    caller->got = NULL;
}

static UNUSED void caller_send(struct caller *caller, const void *bytes, size_t size)
{
    uint64_t end = now_ms() + PATIENCE_MS;
    const char *from = bytes;

    while (size) {
        ssize_t sent = send(caller->socket, from, size, MSG_NOSIGNAL);

        if (sent > 0) {
            from += sent;
            size -= (size_t)sent;
        } else if (errno != EAGAIN) {
            return; /* the server has closed: the test looks at what it said */
        }
        assert_true(now_ms() < end);
        uv_run(&test_loop, UV_RUN_NOWAIT);
    }
}

static UNUSED void caller_say(struct caller *caller, const char *text)
{
    caller_send(caller, text, strlen(text));
}

/* Takes what is there. */
static UNUSED void caller_hear(struct caller *caller)
{
    for (;;) {
        ssize_t got;

        if (caller->capacity - caller->size < 65536) {
            caller->capacity *= 2;
            caller->got = realloc(caller->got, caller->capacity);
            assert_non_null(caller->got);
        }
        got = recv(caller->socket, caller->got + caller->size, 65535, 0);
        if (got > 0) {
            caller->size += (size_t)got;
            caller->got[caller->size] = '\0';
            continue;
        }
        if (got == 0 || errno != EAGAIN)
            caller->closed = true;
        return;
    }
}

static UNUSED void caller_wait_closed(struct caller *caller)
{
    uint64_t end = now_ms() + PATIENCE_MS;

    while (!caller->closed) {
        assert_true(now_ms() < end);
        uv_run(&test_loop, UV_RUN_NOWAIT);
        caller_hear(caller);
        usleep(200);
    }
}

static UNUSED void caller_wait_for(struct caller *caller, const char *text)
{
    uint64_t end = now_ms() + PATIENCE_MS;

    while (!memmem(caller->got, caller->size, text, strlen(text))) {
        if (now_ms() >= end || caller->closed)
            fail_msg("waited for \"%s\", got \"%.400s\"%s", text, caller->got,
                     caller->closed ? " (closed)" : "");
        uv_run(&test_loop, UV_RUN_NOWAIT);
        caller_hear(caller);
        usleep(200);
    }
}

static UNUSED unsigned caller_count(const struct caller *caller, const char *text)
{
    const char *at = caller->got;
    unsigned count = 0;

    while ((at = memmem(at, caller->size - (size_t)(at - caller->got), text, strlen(text))) != NULL) {
        count++;
        at += strlen(text);
    }
    return count;
}

/* ---- certificates ---- */

/* Writes a new P-256 key and a self-signed certificate for 127.0.0.1, localhost to PATH.pem and PATH.key; its
 * pin to `pin`. `certificate` (may be NULL) is the caller's to free. */
static UNUSED void make_certificate(const char *path, char pin[TLS_PIN_SIZE], X509 **certificate)
{
    char name[600];
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *made = X509_new();
    X509_EXTENSION *extension;
    FILE *file;

    assert_non_null(key);
    assert_non_null(made);
    X509_set_version(made, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(made), 1);
    X509_gmtime_adj(X509_getm_notBefore(made), -3600);
    X509_gmtime_adj(X509_getm_notAfter(made), 86400);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(made), "CN", MBSTRING_ASC, (const unsigned char *)"test",
                               -1, -1, 0);
    X509_set_issuer_name(made, X509_get_subject_name(made));
    X509_set_pubkey(made, key);
    extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "IP:127.0.0.1,DNS:localhost");
    X509_add_ext(made, extension, -1);
    X509_EXTENSION_free(extension);
    assert_true(X509_sign(made, key, EVP_sha256()) > 0);
    snprintf(name, sizeof(name), "%s.pem", path);
    file = fopen(name, "w");
    assert_non_null(file);
    PEM_write_X509(file, made);
    fclose(file);
    snprintf(name, sizeof(name), "%s.key", path);
    file = fopen(name, "w");
    assert_non_null(file);
    PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
    fclose(file);
    assert_int_equal(tls_pin_of_certificate(made, pin), 0);
    EVP_PKEY_free(key);
    if (certificate)
        *certificate = made;
    else
        X509_free(made);
}

#endif
