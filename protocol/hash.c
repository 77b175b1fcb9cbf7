/*
 * hash.c - SHA-256 through OpenSSL's EVP, with the algorithm fetched once; base64 and hexadecimal.
 */
#include "protocol/hash.h"
#include "protocol/error.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

struct hasher {
    EVP_MD *algorithm;
    EVP_MD_CTX *context;
};

struct hasher *hasher_new(void)
{
    struct hasher *hasher = calloc(1, sizeof *hasher);

    if (!hasher)
        return NULL;
    hasher->algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
    hasher->context = EVP_MD_CTX_new();
    if (!hasher->algorithm || !hasher->context) {
        hasher_free(hasher);
        return NULL;
    }
    return hasher;
}

void hasher_free(struct hasher *hasher)
{
    if (!hasher)
        return;
    EVP_MD_CTX_free(hasher->context);
    EVP_MD_free(hasher->algorithm);
    free(hasher);
}

/* SHA-256(prefix || a), prefix of 0 or 1 byte. */
static int digest(struct hasher *hasher, const void *prefix, size_t prefix_size, const void *data,
                  size_t size, struct hash *out)
{
    uint8_t bytes[HASH_SIZE];

    if (EVP_DigestInit_ex2(hasher->context, hasher->algorithm, NULL) != 1 ||
        (prefix_size && EVP_DigestUpdate(hasher->context, prefix, prefix_size) != 1) ||
        (size && EVP_DigestUpdate(hasher->context, data, size) != 1) ||
        EVP_DigestFinal_ex(hasher->context, bytes, NULL) != 1)
        return KAART_NOMEM;
    memcpy(out->bytes, bytes, sizeof bytes);
    return KAART_OK;
}

int hasher_digest(struct hasher *hasher, const void *data, size_t size, struct hash *out)
{
    return digest(hasher, NULL, 0, data, size, out);
}

int hasher_leaf(struct hasher *hasher, const void *line, size_t size, struct hash *out)
{
    static const uint8_t prefix = 0x00; /* [TREE-1] */

    return digest(hasher, &prefix, 1, line, size, out);
}

int hasher_node(struct hasher *hasher, const struct hash *left, const struct hash *right, struct hash *out)
{
    uint8_t block[1 + 2 * HASH_SIZE];

    if (hash_is_zero(left) && hash_is_zero(right)) { /* [TREE-2] */
        memset(out->bytes, 0, HASH_SIZE);
        return KAART_OK;
    }
    block[0] = 0x01;
    memcpy(block + 1, left->bytes, HASH_SIZE);
    memcpy(block + 1 + HASH_SIZE, right->bytes, HASH_SIZE);
    return digest(hasher, NULL, 0, block, sizeof block, out);
}

bool hash_is_zero(const struct hash *hash)
{
    uint64_t words[HASH_SIZE / 8];

    memcpy(words, hash->bytes, sizeof words);
    return (words[0] | words[1] | words[2] | words[3]) == 0;
}

bool hash_equal(const struct hash *a, const struct hash *b)
{
    return memcmp(a->bytes, b->bytes, HASH_SIZE) == 0;
}

size_t base64_size(size_t size)
{
    return (size + 2) / 3 * 4;
}

size_t base64_encode(const void *data, size_t size, char *text)
{
    return (size_t)EVP_EncodeBlock((unsigned char *)text, data, (int)size);
}

/* The value of a base64 digit, -1 for any other byte. */
static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* OpenSSL's decoder skips white space and keeps spare bits; signed bytes must have one spelling only. */
int base64_decode(const char *text, size_t text_size, void *data, size_t *size)
{
    uint8_t *out = data;
    size_t padding = 0, length;

    if (text_size % 4 != 0)
        return KAART_SYNTAX;
    if (text_size > 0 && text[text_size - 1] == '=')
        padding = text[text_size - 2] == '=' ? 2 : 1;
    length = text_size / 4 * 3 - padding;
    if (length > *size)
        return KAART_SYNTAX;
    for (size_t i = 0, o = 0; i < text_size; i += 4) {
        size_t digits = i + 4 == text_size ? 4 - padding : 4;
        uint32_t group = 0;

        for (size_t d = 0; d < 4; d++) {
            int value = d < digits ? base64_value(text[i + d]) : 0;

            if (value < 0)
                return KAART_SYNTAX;
            group = group << 6 | (uint32_t)value;
        }
        if ((digits == 2 && (group & 0xffff)) || (digits == 3 && (group & 0xff)))
            return KAART_SYNTAX;
        for (size_t b = 0; b < digits - 1; b++)
            out[o++] = (uint8_t)(group >> (16 - 8 * b));
    }
    *size = length;
    return KAART_OK;
}

void hex_encode(const void *data, size_t size, char *text)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *in = data;

    for (size_t i = 0; i < size; i++) {
        *text++ = digits[in[i] >> 4];
        *text++ = digits[in[i] & 15];
    }
    *text = '\0';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int hex_decode(const char *text, size_t text_size, void *data, size_t size)
{
    uint8_t *out = data;

    if (text_size % 2 != 0 || text_size / 2 != size)
        return KAART_SYNTAX;
    for (size_t i = 0; i < size; i++) {
        int high = hex_value(text[2 * i]), low = hex_value(text[2 * i + 1]);

        if (high < 0 || low < 0)
            return KAART_SYNTAX;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return KAART_OK;
}
