/*
 * note.c - signed notes and their keys. Ed25519 is OpenSSL's; the grammar is spec/feed.md, section 5.
 */
#include "protocol/note.h"
#include "protocol/hash.h"
#include "protocol/syntax.h"
#include "protocol/utf8.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ED25519_ALGORITHM 0x01
#define ED25519_SIGNATURE_SIZE 64
#define KEY_DATA_SIZE (1 + ED25519_SIZE)
#define KEY_DATA_BASE64_SIZE 44

/* A signature line is "— NAME BASE64"; the dash is U+2014. */
static const char signature_mark[] = "\xe2\x80\x94 ";
#define SIGNATURE_MARK_SIZE (sizeof signature_mark - 1)

/* Of an unknown key's signature no more is wanted than that it is base64 of at least 5 bytes. */
#define SIGNATURE_BYTES_MIN 5

/* Signature of a known key: key hash and 64 bytes. */
#define SIGNATURE_BYTES (4 + ED25519_SIGNATURE_SIZE)
#define SIGNATURE_BASE64_SIZE 92

static const char private_mark[] = "PRIVATE+KEY+";
#define PRIVATE_MARK_SIZE (sizeof private_mark - 1)

/* ---- keys ---- */

/* [NOTE-8]: first 4 bytes of SHA-256(name LF 0x01 key). */
static int compute_key_hash(const char *name, const uint8_t key_data[KEY_DATA_SIZE], uint32_t *key_hash)
{
    uint8_t text[FEED_NAME_MAX_SIZE + 1 + KEY_DATA_SIZE];
    size_t name_size = strlen(name);
    struct hasher *hasher = hasher_new();
    struct hash hash;
    int code = KAART_NOMEM;

    if (hasher) {
        memcpy(text, name, name_size);
        text[name_size] = '\n';
        memcpy(text + name_size + 1, key_data, KEY_DATA_SIZE);
        code = hasher_digest(hasher, text, name_size + 1 + KEY_DATA_SIZE, &hash);
    }
    hasher_free(hasher);
    if (code == KAART_OK)
        *key_hash = (uint32_t)hash.bytes[0] << 24 | (uint32_t)hash.bytes[1] << 16 |
                    (uint32_t)hash.bytes[2] << 8 | hash.bytes[3];
    return code;
}

/* NAME+HHHHHHHH+BASE64 into its three parts. */
static int parse_key_text(const char *text, size_t size, char name[FEED_NAME_MAX_SIZE + 1],
                          uint32_t *key_hash, uint8_t key_data[KEY_DATA_SIZE], struct fault *fault)
{
    const char *plus = size ? memchr(text, '+', size) : NULL;
    size_t name_size = plus ? (size_t)(plus - text) : 0, key_size = KEY_DATA_SIZE;
    uint8_t hash[4];

    if (!plus || !syntax_is_feed(text, name_size))
        return fault_set(fault, KAART_KEY, "key: does not begin with a feed's name and + [NOTE-9]");
    if (size != name_size + 1 + 8 + 1 + KEY_DATA_BASE64_SIZE || plus[9] != '+' ||
        hex_decode(plus + 1, 8, hash, sizeof hash) != KAART_OK ||
        base64_decode(plus + 10, KEY_DATA_BASE64_SIZE, key_data, &key_size) != KAART_OK ||
        key_size != KEY_DATA_SIZE)
        return fault_set(fault, KAART_KEY, "key of %.*s: not NAME+HASH+BASE64 [NOTE-9]", (int)name_size,
                         text);
    if (key_data[0] != ED25519_ALGORITHM)
        return fault_set(fault, KAART_KEY, "key of %.*s: algorithm %d is not Ed25519 [NOTE-9]",
                         (int)name_size, text, key_data[0]);
    memcpy(name, text, name_size);
    name[name_size] = '\0';
    *key_hash = (uint32_t)hash[0] << 24 | (uint32_t)hash[1] << 16 | (uint32_t)hash[2] << 8 | hash[3];
    return KAART_OK;
}

static size_t without_newline(const char *text, size_t size)
{
    return size > 0 && text[size - 1] == '\n' ? size - 1 : size;
}

/* Completes a key whose public bytes are known. */
static int set_key_hash(struct verifier_key *key, struct fault *fault)
{
    uint8_t key_data[KEY_DATA_SIZE] = {ED25519_ALGORITHM};

    memcpy(key_data + 1, key->public_key, ED25519_SIZE);
    if (compute_key_hash(key->name, key_data, &key->key_hash) != KAART_OK)
        return fault_set(fault, KAART_NOMEM, "key of %s: out of memory", key->name);
    return KAART_OK;
}

int verifier_key_parse(const char *text, size_t size, struct verifier_key *out, struct fault *fault)
{
    uint8_t key_data[KEY_DATA_SIZE];
    uint32_t said;
    int code;

    memset(out, 0, sizeof *out);
    code = parse_key_text(text, without_newline(text, size), out->name, &said, key_data, fault);
    if (code != KAART_OK)
        return code;
    memcpy(out->public_key, key_data + 1, ED25519_SIZE);
    code = set_key_hash(out, fault);
    if (code == KAART_OK && out->key_hash != said)
        code = fault_set(fault, KAART_KEY, "key of %s: the hash is %08x, not %08x: a typing error? [NOTE-9]",
                         out->name, out->key_hash, said);
    return code;
}

/* NAME+HHHHHHHH+BASE64 of an algorithm byte and 32 bytes. */
static void format_key_text(const char *name, uint32_t key_hash, const uint8_t bytes[ED25519_SIZE],
                            char *text)
{
    uint8_t key_data[KEY_DATA_SIZE] = {ED25519_ALGORITHM};
    size_t used = strlen(name);

    memcpy(key_data + 1, bytes, ED25519_SIZE);
    memcpy(text, name, used);
    used += (size_t)snprintf(text + used, 11, "+%08x+", key_hash);
    base64_encode(key_data, sizeof key_data, text + used);
    OPENSSL_cleanse(key_data, sizeof key_data);
}

void verifier_key_format(const struct verifier_key *key, char text[VERIFIER_KEY_TEXT_SIZE])
{
    format_key_text(key->name, key->key_hash, key->public_key, text);
}

int signing_key_from_seed(const char *name, const uint8_t seed[ED25519_SIZE], struct signing_key *out,
                          struct fault *fault)
{
    EVP_PKEY *key;
    size_t size = ED25519_SIZE;
    bool derived;

    if (!syntax_is_feed(name, strlen(name)))
        return fault_set(fault, KAART_KEY, "key: \"%s\" is no feed name [NOTE-9]", name);
    memset(out, 0, sizeof *out);
    ERR_set_mark();
    key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, ED25519_SIZE);
    derived =
        key && EVP_PKEY_get_raw_public_key(key, out->verifier.public_key, &size) == 1 && size == ED25519_SIZE;
    EVP_PKEY_free(key);
    ERR_pop_to_mark();
    if (!derived)
        return fault_set(fault, KAART_NOMEM, "key of %s: out of memory", name);
    memcpy(out->verifier.name, name, strlen(name) + 1);
    memcpy(out->seed, seed, ED25519_SIZE);
    return set_key_hash(&out->verifier, fault);
}

int signing_key_parse(const char *text, size_t size, struct signing_key *out, struct fault *fault)
{
    uint8_t key_data[KEY_DATA_SIZE];
    char name[FEED_NAME_MAX_SIZE + 1];
    uint32_t said;
    int code;

    size = without_newline(text, size);
    if (size < PRIVATE_MARK_SIZE || memcmp(text, private_mark, PRIVATE_MARK_SIZE) != 0)
        return fault_set(fault, KAART_KEY, "key: does not begin with %s [NOTE-10]", private_mark);
    code = parse_key_text(text + PRIVATE_MARK_SIZE, size - PRIVATE_MARK_SIZE, name, &said, key_data, fault);
    if (code == KAART_OK)
        code = signing_key_from_seed(name, key_data + 1, out, fault);
    OPENSSL_cleanse(key_data, sizeof key_data);
    if (code == KAART_OK && out->verifier.key_hash != said) {
        signing_key_wipe(out);
        code = fault_set(fault, KAART_KEY,
                         "key of %s: the hash does not fit the key: a damaged key file? [NOTE-10]", name);
    }
    return code;
}

void signing_key_format(const struct signing_key *key, char text[SIGNING_KEY_TEXT_SIZE])
{
    memcpy(text, private_mark, PRIVATE_MARK_SIZE);
    format_key_text(key->verifier.name, key->verifier.key_hash, key->seed, text + PRIVATE_MARK_SIZE);
}

void signing_key_wipe(struct signing_key *key)
{
    OPENSSL_cleanse(key->seed, sizeof key->seed);
}

/* ---- signing ---- */

static int sign(const struct signing_key *key, const char *text, size_t size,
                uint8_t out[ED25519_SIGNATURE_SIZE])
{
    EVP_PKEY *private_key;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    size_t signature_size = ED25519_SIGNATURE_SIZE;
    bool done;

    ERR_set_mark();
    private_key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, key->seed, ED25519_SIZE);
    done = private_key && context && EVP_DigestSignInit(context, NULL, NULL, NULL, private_key) == 1 &&
           EVP_DigestSign(context, out, &signature_size, (const uint8_t *)text, size) == 1 &&
           signature_size == ED25519_SIGNATURE_SIZE;
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(private_key);
    ERR_pop_to_mark();
    return done ? KAART_OK : KAART_NOMEM;
}

/* 0, KAART_SIGNATURE or KAART_NOMEM. */
static int verify(const struct verifier_key *key, const char *text, size_t size,
                  const uint8_t signature[ED25519_SIGNATURE_SIZE])
{
    EVP_PKEY *public_key;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    int code = KAART_NOMEM;

    ERR_set_mark();
    public_key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key->public_key, ED25519_SIZE);
    if (public_key && context && EVP_DigestVerifyInit(context, NULL, NULL, NULL, public_key) == 1) {
        int verified =
            EVP_DigestVerify(context, signature, ED25519_SIGNATURE_SIZE, (const uint8_t *)text, size);

        code = verified == 1 ? KAART_OK : KAART_SIGNATURE;
    }
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(public_key);
    ERR_pop_to_mark();
    return code;
}

/* [NOTE-1]: UTF-8 without control characters but LF. */
static bool is_note_text(const char *text, size_t size)
{
    for (size_t i = 0; i < size;) {
        uint32_t code_point = 0;
        size_t step = utf8_step(text + i, size - i, &code_point);

        if (step == 0 || (code_point < 0x20 && code_point != '\n') || code_point == 0x7f)
            return false;
        i += step;
    }
    return size > 0 && text[size - 1] == '\n';
}

/* Appends "— NAME BASE64 LF"; the caller has made room for it. */
static int append_signature(const struct signing_key *key, const char *text, size_t text_size, char *note,
                            size_t *used)
{
    uint8_t bytes[SIGNATURE_BYTES];
    uint32_t key_hash = key->verifier.key_hash;
    int code = sign(key, text, text_size, bytes + 4);

    if (code != KAART_OK)
        return code;
    for (int i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(key_hash >> (24 - 8 * i));
    memcpy(note + *used, signature_mark, SIGNATURE_MARK_SIZE);
    *used += SIGNATURE_MARK_SIZE;
    memcpy(note + *used, key->verifier.name, strlen(key->verifier.name));
    *used += strlen(key->verifier.name);
    note[(*used)++] = ' ';
    *used += base64_encode(bytes, sizeof bytes, note + *used);
    note[(*used)++] = '\n';
    return KAART_OK;
}

int note_sign(const char *text, size_t text_size, const struct signing_key *keys, size_t key_count,
              char **note, size_t *note_size, struct fault *fault)
{
    struct verifier_key verifiers[FEED_KEYS_MAX];
    size_t used = text_size + 1, capacity = used + 1, signed_size;
    char *made;
    int code = KAART_OK;

    if (key_count == 0 || key_count > FEED_KEYS_MAX)
        return fault_set(fault, KAART_KEY, "note: %zu keys to sign with, not 1 to %d", key_count,
                         FEED_KEYS_MAX);
    if (!is_note_text(text, text_size))
        return fault_set(fault, KAART_SYNTAX, "note: the text is not lines of UTF-8 [NOTE-1]");
    for (size_t i = 0; i < key_count; i++) {
        verifiers[i] = keys[i].verifier;
        capacity += SIGNATURE_MARK_SIZE + strlen(verifiers[i].name) + 1 + SIGNATURE_BASE64_SIZE + 1;
    }
    if (capacity - 1 > NOTE_SIZE_MAX)
        return fault_set(fault, KAART_LIMIT, "note: more than %d bytes [NOTE-1]", NOTE_SIZE_MAX);
    made = malloc(capacity);
    if (!made)
        return fault_set(fault, KAART_NOMEM, "note: out of memory");
    memcpy(made, text, text_size);
    made[text_size] = '\n';
    for (size_t i = 0; i < key_count && code == KAART_OK; i++)
        code = append_signature(&keys[i], text, text_size, made, &used);
    made[used] = '\0';
    if (code != KAART_OK)
        fault_set(fault, code, "note: signing failed");
    else /* a flipped bit must not leave the house */
        code = note_open(made, used, verifiers, key_count, &signed_size, fault);
    if (code != KAART_OK) {
        free(made);
        return code;
    }
    *note = made;
    *note_size = used;
    return KAART_OK;
}

/* ---- opening ---- */

/* Space in the sense of Unicode's White_Space, which no key name may hold (C2SP signed-note). */
static bool is_space(uint32_t c)
{
    return c == ' ' || (c >= 0x09 && c <= 0x0d) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
           c == 0x3000;
}

static bool is_key_name(const char *name, size_t size)
{
    for (size_t i = 0; i < size;) {
        uint32_t code_point = 0;
        size_t step = utf8_step(name + i, size - i, &code_point);

        if (step == 0 || is_space(code_point) || code_point == '+')
            return false;
        i += step;
    }
    return size > 0;
}

/* One signature line, taken apart. */
struct signature {
    const char *name;
    size_t name_size;
    uint8_t bytes[NOTE_SIZE_MAX];
    size_t size;
    uint32_t key_hash;
};

/* [NOTE-3] */
static int parse_signature(const char *line, size_t size, struct signature *out, struct fault *fault)
{
    const char *name = line + SIGNATURE_MARK_SIZE, *space;

    if (size <= SIGNATURE_MARK_SIZE || memcmp(line, signature_mark, SIGNATURE_MARK_SIZE) != 0)
        goto malformed;
    space = memchr(name, ' ', size - SIGNATURE_MARK_SIZE);
    if (!space || !is_key_name(name, (size_t)(space - name)))
        goto malformed;
    out->name = name;
    out->name_size = (size_t)(space - name);
    out->size = sizeof out->bytes;
    if (base64_decode(space + 1, (size_t)(line + size - space - 1), out->bytes, &out->size) != KAART_OK ||
        out->size < SIGNATURE_BYTES_MIN)
        goto malformed;
    out->key_hash = (uint32_t)out->bytes[0] << 24 | (uint32_t)out->bytes[1] << 16 |
                    (uint32_t)out->bytes[2] << 8 | out->bytes[3];
    return KAART_OK;
malformed:
    return fault_set(fault, KAART_SYNTAX, "note: malformed signature line [NOTE-3]");
}

/* [NOTE-4]. The key's place, or `key_count` for an unknown one. */
static size_t find_key(const struct signature *signature, const struct verifier_key *keys, size_t key_count)
{
    size_t i;

    for (i = 0; i < key_count; i++)
        if (keys[i].key_hash == signature->key_hash && strlen(keys[i].name) == signature->name_size &&
            memcmp(keys[i].name, signature->name, signature->name_size) == 0)
            break;
    return i;
}

/* One signature against the known keys; marks the key in `signed_by`. */
static int check_signature(const struct signature *signature, const char *text, size_t text_size,
                           const struct verifier_key *keys, size_t key_count, unsigned *signed_by,
                           struct fault *fault)
{
    size_t i = find_key(signature, keys, key_count);
    int code;

    if (i == key_count)
        return KAART_OK;
    if (*signed_by & 1u << i)
        return fault_set(fault, KAART_SIGNATURE, "note: signed twice by key %s+%08x [NOTE-6]", keys[i].name,
                         keys[i].key_hash);
    if (signature->size != SIGNATURE_BYTES)
        return fault_set(fault, KAART_SIGNATURE,
                         "note: signature by key %s+%08x is not 64 bytes long [NOTE-5]", keys[i].name,
                         keys[i].key_hash);
    code = verify(&keys[i], text, text_size, signature->bytes + 4);
    if (code == KAART_NOMEM)
        return fault_set(fault, code, "note: out of memory");
    if (code != KAART_OK)
        return fault_set(fault, code, "note: signature by key %s+%08x does not verify [NOTE-5]", keys[i].name,
                         keys[i].key_hash);
    *signed_by |= 1u << i;
    return KAART_OK;
}

/* The last empty line: the offset of its LF, 0 if there is none [NOTE-2]. */
static size_t find_separator(const char *note, size_t size)
{
    for (size_t i = size - 1; i > 0; i--)
        if (note[i] == '\n' && note[i - 1] == '\n')
            return i;
    return 0;
}

int note_open(const char *note, size_t size, const struct verifier_key *keys, size_t key_count,
              size_t *text_size, struct fault *fault)
{
    struct signature signature;
    size_t separator, lines = 0;
    unsigned signed_by = 0;

    if (size > NOTE_SIZE_MAX)
        return fault_set(fault, KAART_LIMIT, "note: more than %d bytes [NOTE-1]", NOTE_SIZE_MAX);
    if (key_count > FEED_KEYS_MAX)
        return fault_set(fault, KAART_KEY, "note: more than %d keys configured", FEED_KEYS_MAX);
    if (!is_note_text(note, size))
        return fault_set(fault, KAART_SYNTAX, "note: not lines of UTF-8 [NOTE-1]");
    separator = find_separator(note, size);
    if (separator == 0)
        return fault_set(fault, KAART_SYNTAX, "note: no empty line before the signatures [NOTE-2]");
    if (separator + 1 == size)
        return fault_set(fault, KAART_SYNTAX, "note: no signatures [NOTE-3]");
    for (size_t at = separator + 1; at < size;) {
        size_t line_size = (size_t)((const char *)memchr(note + at, '\n', size - at) - (note + at));
        int code;

        if (++lines > NOTE_SIGNATURES_MAX)
            return fault_set(fault, KAART_LIMIT, "note: more than %d signatures [NOTE-3]",
                             NOTE_SIGNATURES_MAX);
        code = parse_signature(note + at, line_size, &signature, fault);
        if (code == KAART_OK)
            code = check_signature(&signature, note, separator, keys, key_count, &signed_by, fault);
        if (code != KAART_OK)
            return code;
        at += line_size + 1;
    }
    if (signed_by == 0)
        return fault_set(fault, KAART_SIGNATURE, "note: no configured key has signed it [NOTE-7]");
    *text_size = separator;
    return KAART_OK;
}
