/*
 * hash.h - SHA-256 as the feed protocol uses it, and the two text forms of bytes.
 *
 * A `struct hasher` holds OpenSSL's fetched algorithm and context, so that hashing a leaf costs no look-up.
 * One hasher per thread; it has no other state.
 */
#ifndef KAARTD_PROTOCOL_HASH_H
#define KAARTD_PROTOCOL_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HASH_SIZE 32

struct hash {
    uint8_t bytes[HASH_SIZE];
};

struct hasher;

/* NULL when memory or the algorithm cannot be had. Free with hasher_free (accepts NULL). */
struct hasher *hasher_new(void);
void hasher_free(struct hasher *hasher);

/* SHA-256 of `size` bytes. 0 or KAART_NOMEM. */
int hasher_digest(struct hasher *hasher, const void *data, size_t size, struct hash *out);

/* Leaf of a live entry: SHA-256(0x00 || line), `line` without its LF. spec/feed.md [TREE-1]. 0 or
 * KAART_NOMEM. */
int hasher_leaf(struct hasher *hasher, const void *line, size_t size, struct hash *out);

/* Inner node: SHA-256(0x01 || left || right); all zero over two all-zero children. spec/feed.md [TREE-2].
 * `out` may be one of the inputs. 0 or KAART_NOMEM. */
int hasher_node(struct hasher *hasher, const struct hash *left, const struct hash *right, struct hash *out);

bool hash_is_zero(const struct hash *hash);
bool hash_equal(const struct hash *a, const struct hash *b);

/* Standard base64 with padding (RFC 4648 section 4). `text` must hold base64_size(size) + 1 bytes. Returns
 * the length. */
size_t base64_size(size_t size);
size_t base64_encode(const void *data, size_t size, char *text);
/* Strict: no white space, right padding, zero spare bits. *size: in capacity, out length. 0 or
 * KAART_SYNTAX. */
int base64_decode(const char *text, size_t text_size, void *data, size_t *size);

/* Lower-case hexadecimal; `text` must hold 2 * size + 1 bytes. */
void hex_encode(const void *data, size_t size, char *text);
/* Lower-case only, exactly 2 * size digits. 0 or KAART_SYNTAX. */
int hex_decode(const char *text, size_t text_size, void *data, size_t size);

#endif
