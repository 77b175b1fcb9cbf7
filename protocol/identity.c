/*
 * identity.c - UUIDv5 of identifiers, external ids and pairs. spec/records.md, section "Identity".
 *
 * Every name begins with its own word and a colon, so that no external id can be made to look like a Chamber
 * of Commerce number: "kvk:90006623", "external:ORIGIN/SOURCE:KIND:PARENT:ID". Only the last part may hold
 * colons.
 */
#include "protocol/identity.h"

#include "protocol/hash.h"
#include "protocol/json.h"
#include "protocol/record_profile.h"
#include "protocol/syntax.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* 46e503b1-24fa-4a6e-9595-ba5f2850e917: drawn once, for ever. [ID-1] */
static const uint8_t namespace_bytes[16] = {0x46, 0xe5, 0x03, 0xb1, 0x24, 0xfa, 0x4a, 0x6e,
                                            0x95, 0x95, 0xba, 0x5f, 0x28, 0x50, 0xe9, 0x17};

static void uuid_format(uint8_t bytes[16], unsigned version, char out[UUID_TEXT_SIZE + 1])
{
    char hex[33];
    bytes[6] = (uint8_t)((bytes[6] & 0x0f) | version << 4);
    bytes[8] = (uint8_t)((bytes[8] & 0x3f) | 0x80);
    hex_encode(bytes, 16, hex);
    snprintf(out, UUID_TEXT_SIZE + 1, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16,
             hex + 20);
}

int identity_named(const char *name, size_t size, char out[UUID_TEXT_SIZE + 1])
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    int code = KAART_NOMEM;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (context && EVP_DigestInit_ex(context, EVP_sha1(), NULL) == 1 &&
        EVP_DigestUpdate(context, namespace_bytes, sizeof namespace_bytes) == 1 &&
        EVP_DigestUpdate(context, name, size) == 1 && EVP_DigestFinal_ex(context, digest, NULL) == 1) {
        uuid_format(digest, 5, out);
        code = KAART_OK;
    }
    EVP_MD_CTX_free(context);
    return code;
}

bool uuid_is_random(const char *id)
{
    return strlen(id) == UUID_TEXT_SIZE && id[14] == '4';
}

void uuid_v4_from(const uint8_t random[16], char out[UUID_TEXT_SIZE + 1])
{
    uint8_t bytes[16];
    memcpy(bytes, random, sizeof bytes);
    uuid_format(bytes, 4, out);
}

int identity_of_identifier(const char *scheme, const char *value, char out[UUID_TEXT_SIZE + 1])
{
    static const char *const identifying[] = {"kvk", "oin", "agb", "vestigingsnummer"};
    for (size_t i = 0; i < sizeof identifying / sizeof *identifying; i++) {
        if (strcmp(scheme, identifying[i]) == 0 && record_identifier_valid(scheme, value)) {
            char name[64];
            int size = snprintf(name, sizeof name, "%s:%s", scheme, value);
            return identity_named(name, (size_t)size, out);
        }
    }
    return KAART_INVALID;
}

int identity_of_external(const char *origin, const char *source, const char *kind, const char *parent,
                         const char *external_id, char out[UUID_TEXT_SIZE + 1])
{
    if (!*external_id)
        return KAART_INVALID;
    size_t room = strlen(origin) + strlen(source) + strlen(kind) + UUID_TEXT_SIZE + strlen(external_id) + 16;
    char *name = malloc(room);
    if (!name)
        return KAART_NOMEM;
    int size = snprintf(name, room, "external:%s/%s:%s:%.36s:%s", origin, source, kind, parent ? parent : "",
                        external_id);
    int code = identity_named(name, (size_t)size, out);
    free(name);
    return code;
}

bool identity_is_person(const char *kind, const cJSON *body)
{
    if (strcmp(kind, "professional") == 0)
        return true;
    const char *form = json_get_string(body, "legal_status");
    return strcmp(kind, "organization") == 0 && form && format_same_word(form, "eenmanszaak");
}

int identity_of_record(const char *kind, const cJSON *body, const char *origin, const char *source,
                       const char *parent, const char *external_id, char out[UUID_TEXT_SIZE + 1])
{
    static const char *const organization[] = {"kvk", "oin", "agb", NULL};
    static const char *const location[] = {"vestigingsnummer", NULL};
    static const char *const none[] = {NULL};
    if (identity_is_person(kind, body))
        return KAART_UNKNOWN;
    const char *const *schemes = strcmp(kind, "organization") == 0 ? organization
                                 : strcmp(kind, "location") == 0   ? location
                                                                   : none;
    for (; *schemes; schemes++) {
        const char *value = record_identifier(body, *schemes);
        if (value && record_identifier_valid(*schemes, value))
            return identity_of_identifier(*schemes, value, out);
    }
    if (!external_id || !*external_id)
        return KAART_UNKNOWN;
    return identity_of_external(origin, source, kind, parent, external_id, out);
}

int identity_of_pair(const char *a, const char *b, char out[UUID_TEXT_SIZE + 1])
{
    char name[128];
    bool ordered = strcmp(a, b) <= 0;
    int size = snprintf(name, sizeof name, "same-as:%.36s:%.36s", ordered ? a : b, ordered ? b : a);
    return identity_named(name, (size_t)size, out);
}

int identity_of_confirmation(const char *origin, const char *source, char out[UUID_TEXT_SIZE + 1])
{
    char name[ORIGIN_MAX_SIZE + NAME_MAX_SIZE + 32];
    int size = snprintf(name, sizeof name, "confirmation:%.253s/%.32s", origin, source);
    return identity_named(name, (size_t)size, out);
}
