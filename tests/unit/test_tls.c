/*
 * test_tls.c - the server's half of TLS against OpenSSL as a client, both in memory: versions, ciphers, protocols, client certificates, pins.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/net/tls.h"
#include "tests/unit/loopback.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

static char directory[] = "/tmp/kaartd-test-XXXXXX";
static char server_path[64], other_path[64], server_pin[TLS_PIN_SIZE], other_pin[TLS_PIN_SIZE];
static struct tls_server *server;

struct client {
    SSL_CTX *context;
    SSL *ssl;
    BIO *in, *out;
};

static struct client client_new(void)
{
    struct client client = {.context = SSL_CTX_new(TLS_client_method())};

    assert_non_null(client.context);
    return client;
}

static void client_begin(struct client *client)
{
    client->ssl = SSL_new(client->context);
    client->in = BIO_new(BIO_s_mem());
    client->out = BIO_new(BIO_s_mem());
    SSL_set_bio(client->ssl, client->in, client->out);
    SSL_set_connect_state(client->ssl);
}

static void client_free(struct client *client)
{
    SSL_free(client->ssl);
    SSL_CTX_free(client->context);
    ERR_clear_error();
}

/* Carries what lies ready to the other side, in pieces of `step` bytes. */
static void carry(struct client *client, struct tls *tls, size_t step)
{
    char bytes[20000];
    size_t size;
    int got;

    while ((got = BIO_read(client->out, bytes, (int)step)) > 0)
        assert_int_equal(tls_feed(tls, bytes, (size_t)got), 0);
    while ((size = tls_take(tls, bytes, step)) > 0)
        assert_int_equal(BIO_write(client->in, bytes, (int)size), (int)size);
    assert_int_equal(tls_pending(tls), 0);
}

/* Both sides' handshake; the server's last word. */
static enum tls_result handshake(struct client *client, struct tls *tls, size_t step)
{
    enum tls_result result = TLS_WANTS;
    int i;

    for (i = 0; i < 20 && result == TLS_WANTS; i++) {
        SSL_do_handshake(client->ssl);
        carry(client, tls, step);
        result = tls_handshake(tls);
    }
    carry(client, tls, step);
    SSL_do_handshake(client->ssl);
    return result;
}

static void expect(struct client *client, enum tls_result wanted)
{
    struct tls *tls = tls_accept(server);

    client_begin(client);
    assert_int_equal(handshake(client, tls, sizeof(char) * 16384), wanted);
    if (wanted == TLS_FAILED)
        assert_true(tls_error(tls)[0] != '\0');
    tls_free(tls);
    client_free(client);
}

static void test_versions(void **state)
{
    struct client client;

    (void)state;
    client = client_new();
    SSL_CTX_set_max_proto_version(client.context, TLS1_2_VERSION);
    expect(&client, TLS_DONE);
    client = client_new();
    SSL_CTX_set_min_proto_version(client.context, TLS1_3_VERSION);
    expect(&client, TLS_DONE);
    client = client_new();
    SSL_CTX_set_security_level(client.context, 0);
    SSL_CTX_set_min_proto_version(client.context, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(client.context, TLS1_1_VERSION);
    expect(&client, TLS_FAILED);
}

static void test_ciphers(void **state)
{
    static const char *const REFUSED[] = {"ECDHE-ECDSA-AES256-SHA384", "ECDHE-ECDSA-AES128-SHA",
                                          "AES256-GCM-SHA384", "DHE-RSA-AES256-GCM-SHA384"};
    struct client client;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(REFUSED) / sizeof(REFUSED[0]); i++) {
        client = client_new();
        SSL_CTX_set_max_proto_version(client.context, TLS1_2_VERSION);
        assert_int_equal(SSL_CTX_set_cipher_list(client.context, REFUSED[i]), 1);
        expect(&client, TLS_FAILED);
    }
    client = client_new();
    SSL_CTX_set_max_proto_version(client.context, TLS1_2_VERSION);
    SSL_CTX_set_cipher_list(client.context, "ECDHE-ECDSA-CHACHA20-POLY1305");
    expect(&client, TLS_DONE);
    client = client_new();
    SSL_CTX_set1_groups_list(client.context, "P-384");
    expect(&client, TLS_DONE);
    client = client_new();
    SSL_CTX_set1_groups_list(client.context, "P-521");
    expect(&client, TLS_FAILED);
}

static void test_protocols(void **state)
{
    struct client client;

    (void)state;
    client = client_new();
    SSL_CTX_set_alpn_protos(client.context, (const unsigned char *)"\x02h2\x08http/1.1", 12);
    expect(&client, TLS_DONE);
    client = client_new();
    SSL_CTX_set_alpn_protos(client.context, (const unsigned char *)"\x02h2", 3);
    expect(&client, TLS_FAILED);
}

static void test_data(void **state)
{
    struct tls *tls = tls_accept(server);
    struct client client = client_new();
    char sent[50000], got[60000];
    size_t size, total = 0, written;

    (void)state;
    client_begin(&client);
    assert_int_equal(handshake(&client, tls, 7), TLS_DONE); /* byte by byte, nearly */
    assert_string_equal(tls_peer_pin(tls), "");
    assert_int_equal(SSL_session_reused(client.ssl), 0);
    memset(sent, 'x', sizeof(sent));
    assert_int_equal(tls_write(tls, sent, sizeof(sent)), TLS_DONE);
    carry(&client, tls, 1000);
    while (SSL_read_ex(client.ssl, got + total, sizeof(got) - total, &size) == 1)
        total += size;
    assert_int_equal(total, sizeof(sent));
    assert_memory_equal(sent, got, total);
    assert_int_equal(tls_read(tls, got, sizeof(got), &size), TLS_WANTS);
    assert_int_equal(SSL_write_ex(client.ssl, "hello", 5, &written), 1);
    carry(&client, tls, 3);
    assert_int_equal(tls_read(tls, got, sizeof(got), &size), TLS_DONE);
    assert_int_equal(size, 5);
    SSL_shutdown(client.ssl);
    carry(&client, tls, 1000);
    assert_int_equal(tls_read(tls, got, sizeof(got), &size), TLS_CLOSED);
    tls_shutdown(tls);
    assert_true(tls_pending(tls) > 0);
    carry(&client, tls, 1000);
    assert_int_equal(SSL_shutdown(client.ssl), 1);
    tls_free(tls);
    client_free(&client);
}

static void test_altered_record(void **state)
{
    struct tls *tls = tls_accept(server);
    struct client client = client_new();
    char bytes[1000];
    size_t size;
    int got;

    (void)state;
    client_begin(&client);
    assert_int_equal(handshake(&client, tls, 16384), TLS_DONE);
    SSL_write(client.ssl, "hello", 5);
    got = BIO_read(client.out, bytes, sizeof(bytes));
    bytes[got - 1] ^= 1;
    tls_feed(tls, bytes, (size_t)got);
    assert_int_equal(tls_read(tls, bytes, sizeof(bytes), &size), TLS_FAILED);
    assert_int_equal(tls_read(tls, bytes, sizeof(bytes), &size), TLS_FAILED);
    assert_int_equal(tls_write(tls, "x", 1), TLS_FAILED);
    tls_shutdown(tls);
    tls_free(tls);
    client_free(&client);
}

/* A client certificate is known by its key's pin; no authority has to have signed it. */
static void test_client_certificate(void **state)
{
    char certificate[80], key[80];
    struct tls *tls = tls_accept(server);
    struct client client = client_new();

    (void)state;
    snprintf(certificate, sizeof(certificate), "%s.pem", other_path);
    snprintf(key, sizeof(key), "%s.key", other_path);
    assert_int_equal(SSL_CTX_use_certificate_file(client.context, certificate, SSL_FILETYPE_PEM), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(client.context, key, SSL_FILETYPE_PEM), 1);
    client_begin(&client);
    assert_int_equal(handshake(&client, tls, 16384), TLS_DONE);
    assert_string_equal(tls_peer_pin(tls), other_pin);
    tls_free(tls);
    client_free(&client);
}

/* Our pin is what `openssl pkey -pubin -outform DER | sha256` says. */
static void test_pin(void **state)
{
    char command[400], line[100] = "";
    FILE *pipe;

    (void)state;
    snprintf(command, sizeof(command),
             "openssl x509 -in %s.pem -noout -pubkey | openssl pkey -pubin -outform DER | openssl dgst "
             "-sha256 -binary | base64",
             server_path);
    pipe = popen(command, "r");
    assert_non_null(pipe);
    assert_non_null(fgets(line, sizeof(line), pipe));
    pclose(pipe);
    line[strcspn(line, "\n")] = '\0';
    assert_string_equal(server_pin + 7, line);
}

static void test_bad_files(void **state)
{
    char certificate[80], key[80], other_key[80], encrypted[80], command[400];
    struct tls_server *made = NULL;
    struct fault fault;

    (void)state;
    snprintf(certificate, sizeof(certificate), "%s.pem", server_path);
    snprintf(key, sizeof(key), "%s.key", server_path);
    snprintf(other_key, sizeof(other_key), "%s.key", other_path);
    snprintf(encrypted, sizeof(encrypted), "%s.encrypted", server_path);
    assert_int_equal(tls_server_new("/nonexistent", key, &made, &fault), KAART_KEY);
    assert_non_null(strstr(fault.text, "/nonexistent"));
    assert_int_equal(tls_server_new(certificate, "/nonexistent", &made, &fault), KAART_KEY);
    assert_int_equal(tls_server_new(certificate, other_key, &made, &fault), KAART_KEY);
    assert_int_equal(tls_server_new(key, key, &made, &fault), KAART_KEY);
    snprintf(command, sizeof(command), "openssl pkey -in %s -aes256 -passout pass:x -out %s", key, encrypted);
    assert_int_equal(system(command), 0);
    assert_int_equal(tls_server_new(certificate, encrypted, &made, &fault),
                     KAART_KEY); /* and nobody is asked */
    assert_null(made);
}

static int set_up(void **state)
{
    char certificate[80], key[80];
    struct fault fault;

    (void)state;
    if (!mkdtemp(directory))
        return -1;
    snprintf(server_path, sizeof(server_path), "%s/server", directory);
    snprintf(other_path, sizeof(other_path), "%s/other", directory);
    make_certificate(server_path, server_pin, NULL);
    make_certificate(other_path, other_pin, NULL);
    snprintf(certificate, sizeof(certificate), "%s.pem", server_path);
    snprintf(key, sizeof(key), "%s.key", server_path);
    return tls_server_new(certificate, key, &server, &fault);
}

static int tear_down(void **state)
{
    char command[100];

    (void)state;
    tls_server_free(server);
    snprintf(command, sizeof(command), "rm -r %s", directory);
    return system(command);
}

int main(void)
{
    static const struct CMUnitTest TESTS[] = {
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_ciphers),
        cmocka_unit_test(test_protocols),
        cmocka_unit_test(test_data),
        cmocka_unit_test(test_altered_record),
        cmocka_unit_test(test_client_certificate),
        cmocka_unit_test(test_pin),
        cmocka_unit_test(test_bad_files),
    };

    return cmocka_run_group_tests(TESTS, set_up, tear_down);
}
