/*
 * tls.c - see tls.h. OpenSSL over two memory BIOs, as BIND 9 does it.
 *
 * The rules are those that the NCSC's guidelines for TLS call "good": TLS 1.2 and 1.3, ephemeral ECDH, AEAD
 * ciphers, no compression, no renegotiation, no early data. Sessions are not resumed at all: a resumed one
 * would carry an identity from before a reload, and a peer that calls a few times an hour gains nothing by
 * it.
 */
#include "daemon/net/tls.h"

#include "protocol/hash.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TLS13_CIPHERS "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256"
/* A chain of client certificates: one self-signed certificate is about 1 kB, a government chain of four some
 * 8 kB. */
#define CLIENT_CHAIN_MAX 16384

/* The DER of one certificate in a Client-Cert field; must fit a head of 8 KiB as base64. */
#define CLIENT_CERT_MAX 6144

static const unsigned char ALPN_HTTP11[] = "\x08http/1.1";

struct tls_server {
    SSL_CTX *context;
    char *certificate, *key;
};

struct tls {
    SSL *ssl;
    BIO *in, *out; /* owned by ssl */
    char pin[TLS_PIN_SIZE];
    char error[192];
};

static const char *openssl_reason(void)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());

    return reason ? reason : "no reason given";
}

/* Whoever completes the handshake holds the certificate's key; who that is, is the caller's business. */
static int accept_any_certificate(X509_STORE_CTX *store, void *context)
{
    (void)context;
    X509_STORE_CTX_set_error(store, X509_V_OK);
    return 1;
}

/* A key file with a passphrase must not make a daemon ask for it on a terminal. */
static int no_passphrase(char *buffer, int size, int writing, void *context)
{
    (void)buffer;
    (void)size;
    (void)writing;
    (void)context;
    return -1;
}

static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_size,
                           const unsigned char *offered, unsigned offered_size, void *context)
{
    unsigned char *chosen = NULL;

    (void)ssl;
    (void)context;
    if (SSL_select_next_proto(&chosen, out_size, ALPN_HTTP11, sizeof(ALPN_HTTP11) - 1, offered,
                              offered_size) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static int set_rules(SSL_CTX *context)
{
    SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET |
                                     SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_max_cert_list(context, CLIENT_CHAIN_MAX);
    SSL_CTX_set_default_passwd_cb(context, no_passphrase);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_cert_verify_callback(context, accept_any_certificate, NULL);
    SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
    SSL_CTX_set_security_level(context, 2);
    return SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1 &&
                   SSL_CTX_set_num_tickets(context, 0) == 1 &&
                   SSL_CTX_set_cipher_list(context, TLS12_CIPHERS) == 1 &&
                   SSL_CTX_set_ciphersuites(context, TLS13_CIPHERS) == 1 &&
                   SSL_CTX_set1_groups_list(context, TLS_GROUPS) == 1
               ? KAART_OK
               : KAART_NOMEM;
}

static int make_context(const char *certificate, const char *key, SSL_CTX **out, struct fault *fault)
{
    SSL_CTX *context;
    int code;

    ERR_clear_error();
    context = SSL_CTX_new(TLS_server_method());
    if (!context)
        return fault_set(fault, KAART_NOMEM, "no memory for TLS: %s", openssl_reason());
    code = set_rules(context);
    if (code) {
        fault_set(fault, code, "cannot set up TLS: %s", openssl_reason());
        goto fail;
    }
    if (SSL_CTX_use_certificate_chain_file(context, certificate) != 1) {
        code = fault_set(fault, KAART_KEY, "%s: not a usable certificate: %s", certificate, openssl_reason());
        goto fail;
    }
    if (SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1) {
        code = fault_set(fault, KAART_KEY, "%s: not a usable key for %s: %s", key, certificate,
                         openssl_reason());
        goto fail;
    }
    if (SSL_CTX_check_private_key(context) != 1) {
        code = fault_set(fault, KAART_KEY, "%s: not the key of %s: %s", key, certificate, openssl_reason());
        goto fail;
    }
    *out = context;
    return KAART_OK;
fail:
    ERR_clear_error();
    SSL_CTX_free(context);
    return code;
}

int tls_server_new(const char *certificate, const char *key, struct tls_server **out, struct fault *fault)
{
    struct tls_server *server = calloc(1, sizeof(*server));
    int code;

    if (!server)
        return fault_set(fault, KAART_NOMEM, "no memory for TLS");
    server->certificate = strdup(certificate);
    server->key = strdup(key);
    code = server->certificate && server->key ? make_context(certificate, key, &server->context, fault)
                                              : fault_set(fault, KAART_NOMEM, "no memory for TLS");
    if (code) {
        tls_server_free(server);
        return code;
    }
    *out = server;
    return KAART_OK;
}

int tls_server_reload(struct tls_server *server, struct fault *fault)
{
    SSL_CTX *context = NULL;
    int code = make_context(server->certificate, server->key, &context, fault);

    if (code)
        return code;
    SSL_CTX_free(server->context); /* connections hold their own reference */
    server->context = context;
    return KAART_OK;
}

void tls_server_free(struct tls_server *server)
{
    if (!server)
        return;
    SSL_CTX_free(server->context);
    free(server->certificate);
    free(server->key);
    free(server);
}

struct tls *tls_accept(struct tls_server *server)
{
    struct tls *tls = calloc(1, sizeof(*tls));

    ERR_clear_error();
    if (!tls)
        return NULL;
    tls->ssl = SSL_new(server->context);
    tls->in = BIO_new(BIO_s_mem());
    tls->out = BIO_new(BIO_s_mem());
    if (!tls->ssl || !tls->in || !tls->out) {
        BIO_free(tls->in);
        BIO_free(tls->out);
        SSL_free(tls->ssl);
        free(tls);
        ERR_clear_error();
        return NULL;
    }
    SSL_set_bio(tls->ssl, tls->in, tls->out);
    SSL_set_accept_state(tls->ssl);
    return tls;
}

void tls_free(struct tls *tls)
{
    if (!tls)
        return;
    SSL_free(tls->ssl);
    free(tls);
}

int tls_feed(struct tls *tls, const char *bytes, size_t size)
{
    size_t written = 0;

    ERR_clear_error();
    if (size == 0)
        return KAART_OK;
    return BIO_write_ex(tls->in, bytes, size, &written) == 1 && written == size ? KAART_OK : KAART_NOMEM;
}

/* What a failed operation means; `result` is its return value. */
static enum tls_result result_of(struct tls *tls, int result)
{
    switch (SSL_get_error(tls->ssl, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE: /* a memory BIO takes everything; cannot happen */
        return TLS_WANTS;
    case SSL_ERROR_ZERO_RETURN:
        return TLS_CLOSED;
    default:
        snprintf(tls->error, sizeof(tls->error), "%s", openssl_reason());
        ERR_clear_error();
        return TLS_FAILED;
    }
}

static enum tls_result take_identity(struct tls *tls)
{
    X509 *certificate = SSL_get0_peer_certificate(tls->ssl);

    if (!certificate)
        return TLS_DONE;
    if (tls_pin_of_certificate(certificate, tls->pin) != KAART_OK) {
        snprintf(tls->error, sizeof(tls->error), "the client certificate's key cannot be read");
        return TLS_FAILED;
    }
    return TLS_DONE;
}

enum tls_result tls_handshake(struct tls *tls)
{
    int result;

    ERR_clear_error();
    result = SSL_do_handshake(tls->ssl);
    return result == 1 ? take_identity(tls) : result_of(tls, result);
}

enum tls_result tls_read(struct tls *tls, char *bytes, size_t size, size_t *got)
{
    int result;

    *got = 0;
    ERR_clear_error();
    result = SSL_read_ex(tls->ssl, bytes, size, got);
    return result == 1 ? TLS_DONE : result_of(tls, result);
}

enum tls_result tls_write(struct tls *tls, const char *bytes, size_t size)
{
    size_t written = 0;
    int result;

    ERR_clear_error();
    if (size == 0)
        return TLS_DONE;
    result = SSL_write_ex(tls->ssl, bytes, size, &written);
    if (result == 1 && written == size)
        return TLS_DONE;
    return result_of(tls, result) == TLS_DONE ? TLS_DONE : TLS_FAILED;
}

void tls_shutdown(struct tls *tls)
{
    ERR_clear_error();
    if (SSL_is_init_finished(tls->ssl))
        SSL_shutdown(tls->ssl);
    ERR_clear_error();
}

size_t tls_pending(const struct tls *tls)
{
    return BIO_ctrl_pending(tls->out);
}

size_t tls_take(struct tls *tls, char *bytes, size_t size)
{
    size_t got = 0;

    return BIO_read_ex(tls->out, bytes, size, &got) == 1 ? got : 0;
}

const char *tls_peer_pin(const struct tls *tls)
{
    return tls->pin;
}

const char *tls_error(const struct tls *tls)
{
    return tls->error;
}

int tls_pin_of_certificate(X509 *certificate, char pin[TLS_PIN_SIZE])
{
    unsigned char digest[HASH_SIZE];
    unsigned char *der = NULL;
    unsigned digest_size = 0;
    int size, ok;

    pin[0] = '\0';
    ERR_clear_error();
    size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
    if (size <= 0)
        return KAART_KEY;
    ok = EVP_Digest(der, (size_t)size, digest, &digest_size, EVP_sha256(), NULL);
    OPENSSL_free(der);
    if (ok != 1)
        return KAART_NOMEM;
    memcpy(pin, "sha256/", 7);
    base64_encode(digest, sizeof(digest), pin + 7);
    return KAART_OK;
}

int tls_pin_of_client_cert(const char *value, char pin[TLS_PIN_SIZE])
{
    unsigned char der[CLIENT_CERT_MAX];
    const unsigned char *cursor = der;
    size_t length = strlen(value), size = sizeof(der);
    X509 *certificate;
    int code;

    pin[0] = '\0';
    if (length < 2 || value[0] != ':' || value[length - 1] != ':')
        return KAART_SYNTAX;
    if (base64_size(1) > length - 2 || base64_decode(value + 1, length - 2, der, &size) != KAART_OK)
        return KAART_SYNTAX;
    ERR_clear_error();
    certificate = d2i_X509(NULL, &cursor, (long)size);
    if (!certificate || cursor != der + size) {
        X509_free(certificate);
        ERR_clear_error();
        return KAART_KEY;
    }
    code = tls_pin_of_certificate(certificate, pin);
    X509_free(certificate);
    return code;
}
