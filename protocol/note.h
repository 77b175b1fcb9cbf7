/*
 * note.h - C2SP signed notes with Ed25519, and the text forms of the keys. https://c2sp.org/signed-note
 *
 * Public key, as it stands in a configuration (one line):  NAME+HHHHHHHH+BASE64(0x01 || 32 bytes)
 * Private key, as it stands in a key file (one line):      PRIVATE+KEY+NAME+HHHHHHHH+BASE64(0x01 || 32 byte
 * seed) HHHHHHHH = first 4 bytes of SHA-256(NAME || 0x0A || 0x01 || public key), in hex. NAME is the feed
 * ("origin/audience").
 */
#ifndef KAARTD_PROTOCOL_NOTE_H
#define KAARTD_PROTOCOL_NOTE_H

#include "protocol/error.h"
#include "protocol/limits.h"

#include <stddef.h>
#include <stdint.h>

#define ED25519_SIZE 32
/* NAME + '+' + 8 + '+' + base64 of 33 bytes, and NUL */
#define VERIFIER_KEY_TEXT_SIZE (FEED_NAME_MAX_SIZE + 1 + 8 + 1 + 44 + 1)
#define SIGNING_KEY_TEXT_SIZE (12 + VERIFIER_KEY_TEXT_SIZE)

struct verifier_key {
    char name[FEED_NAME_MAX_SIZE + 1];
    uint32_t key_hash;
    uint8_t public_key[ED25519_SIZE];
};

struct signing_key {
    struct verifier_key verifier;
    uint8_t seed[ED25519_SIZE];
};

/* 0, KAART_KEY (malformed, hash wrong, not Ed25519, name no feed). One trailing LF is allowed in key files.
 */
int verifier_key_parse(const char *text, size_t size, struct verifier_key *out, struct fault *fault);
void verifier_key_format(const struct verifier_key *key, char text[VERIFIER_KEY_TEXT_SIZE]);

/* Derives the public half. The seed comes from the caller's random source. 0, KAART_KEY or KAART_NOMEM. */
int signing_key_from_seed(const char *name, const uint8_t seed[ED25519_SIZE], struct signing_key *out,
                          struct fault *fault);
int signing_key_parse(const char *text, size_t size, struct signing_key *out, struct fault *fault);
void signing_key_format(const struct signing_key *key, char text[SIGNING_KEY_TEXT_SIZE]);
/* Overwrites the seed in a way the compiler keeps. */
void signing_key_wipe(struct signing_key *key);

/* Signs `text` (which ends in LF and has no control characters but LF) with 1 to FEED_KEYS_MAX keys. *note is
 * allocated with malloc. */
int note_sign(const char *text, size_t text_size, const struct signing_key *keys, size_t key_count,
              char **note, size_t *note_size, struct fault *fault);

/*
 * Opens a note: the separator is the last empty line; valid UTF-8, no control characters but LF; unknown keys
 * are ignored, but a failing *known* key rejects the note; a known key twice is rejected; at least one known
 * key must have signed. On success *text_size is the length of the signed text at the start of `note` (its
 * last LF included). 0, KAART_SYNTAX, KAART_LIMIT, KAART_SIGNATURE or KAART_NOMEM. spec/feed.md [NOTE-n].
 */
int note_open(const char *note, size_t size, const struct verifier_key *keys, size_t key_count,
              size_t *text_size, struct fault *fault);

#endif
