/*
 * tls.h - TLS 1.2+ as a server speaks it, between two memory buffers: no sockets, no event loop.
 *
 *     socket -> tls_feed -> [ OpenSSL ] -> tls_read  -> HTTP
 *     socket <- tls_take <- [ OpenSSL ] <- tls_write <- HTTP
 *
 * A client certificate is asked for, not demanded, and no authority is asked about it: its holder proved to
 * have the key, and the caller is known by the pin of that key ("sha256/BASE64" of the SPKI, as curl and RFC
 * 7469 write it). Loop thread only.
 */
#ifndef KAARTD_NET_TLS_H
#define KAARTD_NET_TLS_H

#include "protocol/error.h"

#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>

/* TLS 1.2 and key exchange as the NCSC's guidelines call "good", for both directions. */
#define TLS12_CIPHERS                                                                                        \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256:"             \
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-CHACHA20-POLY1305:ECDHE-RSA-AES128-GCM-SHA256"
#define TLS_GROUPS "X25519:P-256:X448:P-384"

/* "sha256/" and 44 characters of base64, and NUL */
#define TLS_PIN_SIZE 52

/* A certificate, its key and the rules: what all connections of a listener share. */
struct tls_server;
/* PEM files: the chain, leaf first, and its key. KAART_KEY (unreadable, encrypted, or not a pair),
 * KAART_NOMEM. */
int tls_server_new(const char *certificate, const char *key, struct tls_server **out, struct fault *fault);
/* Reads the files anew; connections that exist keep what they have. On error the old certificate stays. */
int tls_server_reload(struct tls_server *server, struct fault *fault);
void tls_server_free(struct tls_server *server); /* accepts NULL */

/* One connection. */
struct tls;
/* NULL when there is no memory. */
struct tls *tls_accept(struct tls_server *server);
void tls_free(struct tls *tls); /* accepts NULL */

enum tls_result {
    TLS_DONE,   /* the handshake is complete; or bytes were read or written */
    TLS_WANTS,  /* needs more bytes from the caller */
    TLS_CLOSED, /* the caller ended it in order (close_notify) */
    TLS_FAILED, /* and the connection is of no more use; tls_error says why */
};

/* Gives bytes from the socket. 0 or KAART_NOMEM. */
int tls_feed(struct tls *tls, const char *bytes, size_t size);
/* Goes on with the handshake. After every call of this, tls_read, tls_write or tls_shutdown: take and send
 * what lies ready. */
enum tls_result tls_handshake(struct tls *tls);
/* Up to `size` bytes of plain text; *got > 0 with TLS_DONE. */
enum tls_result tls_read(struct tls *tls, char *bytes, size_t size, size_t *got);
/* Encrypts all of it. TLS_DONE or TLS_FAILED. */
enum tls_result tls_write(struct tls *tls, const char *bytes, size_t size);
/* Puts a close_notify in the queue. */
void tls_shutdown(struct tls *tls);
/* What lies ready for the socket: the number of bytes, and taking them. */
size_t tls_pending(const struct tls *tls);
size_t tls_take(struct tls *tls, char *bytes, size_t size);

const char *tls_peer_pin(const struct tls *tls); /* after the handshake; "" if none was shown */
const char *tls_error(const struct tls *tls);    /* in words; "" if nothing failed */

/* The pin of a certificate's key. KAART_NOMEM, KAART_KEY. */
int tls_pin_of_certificate(X509 *certificate, char pin[TLS_PIN_SIZE]);
/* The pin of what a TLS-ending proxy reports in the field Client-Cert (RFC 9440: ":" base64 of DER ":").
 * KAART_SYNTAX, KAART_KEY. */
int tls_pin_of_client_cert(const char *value, char pin[TLS_PIN_SIZE]);

#endif
