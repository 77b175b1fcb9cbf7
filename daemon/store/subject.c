/*
 * subject.c - values in which somebody occurs: found by text, or known again by a keyed hash.
 *
 * A value within an element of a list (a contact, a telephone) takes that element with it; any other takes the whole claim.
 */
#include "daemon/store/subject_internal.h"

#include "protocol/json.h"

#include <ctype.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_NAME "subject-key"
#define KEY_BYTES 32

/* ---- canonical forms ---- */

/* Digits with + - ( ) / . and blanks, at least six digits: a telephone number. */
static bool is_telephone(const char *text)
{
    size_t digits = strspn(text, "+-()/. 0123456789") == strlen(text) ? 0 : SIZE_MAX;
    for (; digits != SIZE_MAX && *text; text++)
        digits += isdigit((unsigned char)*text) != 0;
    return digits != SIZE_MAX && digits >= 6;
}

/* The digits of a text; +31 and 0031 are 0. */
static char *digits_of(const char *text)
{
    char *out = malloc(strlen(text) + 2), *to = out;
    bool plus = strchr(text, '+') != NULL;
    for (; out && *text; text++)
        if (isdigit((unsigned char)*text))
            *to++ = *text;
    if (!out)
        return NULL;
    *to = '\0';
    size_t prefix = plus && strncmp(out, "31", 2) == 0 ? 2 : strncmp(out, "0031", 4) == 0 ? 4 : 0;
    if (prefix && out[prefix] == '0') /* +31 (0)30 */
        prefix++;
    if (prefix) {
        memmove(out + 1, out + prefix, strlen(out + prefix) + 1);
        out[0] = '0';
    }
    return out;
}

/* Letters a to z in lower case, white space as one blank, none around. */
static char *folded(const char *text)
{
    char *out = malloc(strlen(text) + 1), *to = out;
    for (; out && *text; text++) {
        unsigned char byte = (unsigned char)*text;
        if (!isspace(byte))
            *to++ = (char)(byte < 0x80 ? tolower(byte) : byte);
        else if (to > out && to[-1] != ' ')
            *to++ = ' ';
    }
    if (out) {
        if (to > out && to[-1] == ' ')
            to--;
        *to = '\0';
    }
    return out;
}

char *subject_canonical(const char *text)
{
    return is_telephone(text) ? digits_of(text) : folded(text);
}

/* ---- what a value is held against ---- */

/* Contains the text that somebody asked for. */
static bool contains(struct subject_test *test, const char *value)
{
    char *form = test->telephone ? digits_of(value) : folded(value);
    bool found = form && strstr(form, test->canonical) != NULL;
    test->failed = test->failed || !form;
    free(form);
    return found;
}

static int hash_of(struct subject_test *test, const char *value, uint8_t out[HASH_SIZE])
{
    unsigned size = HASH_SIZE;
    char *form = subject_canonical(value);
    int code = form && HMAC(EVP_sha256(), test->key, KEY_BYTES, (const unsigned char *)form, strlen(form),
                            out, &size)
                   ? KAART_OK
                   : KAART_NOMEM;
    free(form);
    return code;
}

/* Has a hash that was kept. */
static bool is_kept(struct subject_test *test, const char *value)
{
    uint8_t hash[HASH_SIZE];
    sqlite3_stmt *statement;
    if (hash_of(test, value, hash) || statement_get(test->feeds, QUERY_BLOCKED_GET, &statement, NULL)) {
        test->failed = true;
        return false;
    }
    bind_bytes(statement, 1, hash, sizeof(hash));
    int code = statement_step(test->feeds, statement, NULL);
    if (code > 0)
        sqlite3_reset(statement);
    test->failed = test->failed || code < 0;
    return code > 0;
}

static void keep_hash(struct subject_test *test, const char *value)
{
    uint8_t hash[HASH_SIZE];
    sqlite3_stmt *statement;
    if (hash_of(test, value, hash) || statement_get(test->feeds, QUERY_BLOCKED_PUT, &statement, NULL)) {
        test->failed = true;
        return;
    }
    bind_bytes(statement, 1, hash, sizeof(hash));
    test->failed = test->failed || statement_run(test->feeds, statement, NULL) != KAART_OK;
}

/* ---- the walk ---- */

static void note_pointer(struct subject_test *test, const char *pointer)
{
    if (test->fields)
        cJSON_AddItemToArray(test->fields, cJSON_CreateString(pointer));
}

static bool value_hits(struct subject_test *test, const char *value)
{
    bool hit = test->canonical ? contains(test, value) : is_kept(test, value);
    if (hit && test->keep)
        keep_hash(test, value);
    return hit;
}

/* Takes list elements with a hit out of `node`, and lists that were emptied so: who named one contact never said that there are none, which is what
 * an empty list says, and it would hide what others say. True: there is a hit that no list element within `node` holds. Depth is bounded by
 * JSON_DEPTH_MAX. */
static bool walk(struct subject_test *test, cJSON *node, const char *pointer)
{
    char below[512];
    bool hit = false;
    size_t index = 0;
    if (cJSON_IsString(node)) {
        hit = value_hits(test, node->valuestring);
        if (hit)
            note_pointer(test, pointer);
        return hit;
    }
    for (cJSON *child = node->child, *next; child; child = next, index++) {
        next = child->next;
        if (cJSON_IsArray(node))
            snprintf(below, sizeof(below), "%s/%zu", pointer, index);
        else
            snprintf(below, sizeof(below), "%s/%s", pointer, child->string ? child->string : "");
        bool filled = cJSON_IsArray(child) && child->child;
        if (!walk(test, child, below)) {
            if (filled && !child->child && cJSON_IsObject(node))
                cJSON_Delete(cJSON_DetachItemViaPointer(node, child));
            continue;
        }
        if (cJSON_IsArray(node)) {
            cJSON_Delete(cJSON_DetachItemViaPointer(node, child));
            test->removed = true;
        } else {
            hit = true;
        }
    }
    return hit;
}

enum subject_action subject_redact(struct subject_test *test, cJSON *body)
{
    test->removed = false;
    bool whole = walk(test, body, "");
    return whole ? SUBJECT_ALL : test->removed ? SUBJECT_PART : SUBJECT_NONE;
}

/* ---- tests ---- */

int subject_test_text(struct feeds *feeds, const char *text, struct subject_test *test, struct fault *fault)
{
    memset(test, 0, sizeof(*test));
    test->feeds = feeds;
    test->telephone = is_telephone(text);
    test->canonical = subject_canonical(text);
    size_t size = test->canonical ? strlen(test->canonical) : 0;
    if (!test->canonical)
        return fault_set(fault, KAART_NOMEM, "no memory");
    if (size >= SUBJECT_TEXT_MIN && size <= SUBJECT_TEXT_MAX)
        return KAART_OK;
    subject_test_clear(test);
    return fault_set(fault, KAART_INVALID, "a text to look for has %d to %d letters", SUBJECT_TEXT_MIN,
                     SUBJECT_TEXT_MAX);
}

void subject_test_clear(struct subject_test *test)
{
    free(test->canonical);
    OPENSSL_cleanse(test->key, sizeof(test->key));
    test->canonical = NULL;
}

static int load_key(struct subject_test *test, struct fault *fault)
{
    char *text = NULL;
    int code = feeds_get_value(test->feeds, KEY_NAME, &text, fault);
    if (code == KAART_OK && hex_decode(text, strlen(text), test->key, KEY_BYTES) != KAART_OK)
        code = fault_set(fault, KAART_CORRUPT, "feeds.db: the key of blocked values is damaged");
    if (text)
        OPENSSL_cleanse(text, strlen(text));
    free(text);
    return code;
}

int subject_key_ensure(struct feeds *feeds, struct fault *fault)
{
    struct subject_test test = {.feeds = feeds};
    char text[KEY_BYTES * 2 + 1];
    int code = load_key(&test, fault);
    if (code == KAART_UNKNOWN) {
        if (RAND_bytes(test.key, KEY_BYTES) != 1)
            return fault_set(fault, KAART_IO, "no random numbers could be had");
        hex_encode(test.key, KEY_BYTES, text);
        code = feeds_set_value(feeds, KEY_NAME, text, fault);
        OPENSSL_cleanse(text, sizeof(text));
    }
    subject_test_clear(&test);
    return code;
}

int subject_test_keep(struct subject_test *test, const char *text, struct fault *fault)
{
    int code = load_key(test, fault);
    if (code != KAART_OK)
        return code;
    test->keep = true;
    keep_hash(test, text);
    return test->failed ? fault_set(fault, KAART_IO, "the hash of a blocked value could not be kept")
                        : KAART_OK;
}

int subject_test_blocked(struct feeds *feeds, struct subject_test *test, bool *any, struct fault *fault)
{
    sqlite3_stmt *statement;
    memset(test, 0, sizeof(*test));
    test->feeds = feeds;
    *any = false;
    int code = statement_get(feeds, QUERY_BLOCKED_ANY, &statement, fault);
    if (code == KAART_OK)
        code = statement_step(feeds, statement, fault);
    if (code <= 0)
        return code;
    sqlite3_reset(statement);
    *any = true;
    return load_key(test, fault);
}

int subject_test_forget(struct subject_test *test, const char *value, bool *was, struct fault *fault)
{
    uint8_t hash[HASH_SIZE];
    sqlite3_stmt *statement;
    *was = is_kept(test, value);
    if (test->failed || hash_of(test, value, hash))
        return fault_set(fault, KAART_NOMEM, "no memory to look for blocked values");
    int code = statement_get(test->feeds, QUERY_BLOCKED_DELETE, &statement, fault);
    if (code != KAART_OK)
        return code;
    bind_bytes(statement, 1, hash, sizeof(hash));
    return statement_run(test->feeds, statement, fault);
}

/* ---- lines and claims with blocked values ---- */

/* The line without what is blocked; where that is all, a retraction in its place, so that a follower forgets the claim. */
static int rewrite(cJSON *line, enum subject_action action, char **out)
{
    if (action == SUBJECT_ALL) {
        cJSON_ReplaceItemInObjectCaseSensitive(line, "op", cJSON_CreateString(entry_op_name(ENTRY_RETRACT)));
        cJSON_DeleteItemFromObjectCaseSensitive(line, "body");
    }
    *out = cJSON_PrintUnformatted(line);
    return *out ? KAART_OK : KAART_NOMEM;
}

int subject_show(struct feeds *feeds, const char *line, size_t size, char **shown, struct fault *fault)
{
    struct subject_test test;
    struct entry entry;
    bool any;
    *shown = NULL;
    int code = subject_test_blocked(feeds, &test, &any, fault);
    if (code != KAART_OK || !any)
        return code;
    cJSON *object = NULL;
    code = entry_parse(line, size, &entry, fault);
    if (code == KAART_OK && entry.op == ENTRY_ASSERT) {
        object = json_parse(line, size, fault);
        cJSON *body = cJSON_GetObjectItemCaseSensitive(object, "body");
        enum subject_action action = body ? subject_redact(&test, body) : SUBJECT_NONE;
        if (!object || test.failed)
            code = fault_set(fault, KAART_NOMEM, "no memory to look for blocked values");
        else if (action != SUBJECT_NONE && rewrite(object, action, shown) != KAART_OK)
            code = fault_set(fault, KAART_NOMEM, "no memory");
    }
    cJSON_Delete(object);
    subject_test_clear(&test);
    return code;
}

int subject_filter(struct feeds *feeds, const char *body, char **kept, enum subject_action *action,
                   struct fault *fault)
{
    struct subject_test test;
    bool any;
    *kept = NULL;
    *action = SUBJECT_NONE;
    int code = subject_test_blocked(feeds, &test, &any, fault);
    if (code != KAART_OK || !any)
        return code;
    cJSON *object = json_parse(body, strlen(body), NULL);
    if (object) /* what is no JSON is refused elsewhere */
        *action = subject_redact(&test, object);
    if (*action == SUBJECT_PART && !(*kept = cJSON_PrintUnformatted(object)))
        test.failed = true;
    if (test.failed)
        code = fault_set(fault, KAART_NOMEM, "no memory to look for blocked values");
    cJSON_Delete(object);
    subject_test_clear(&test);
    return code;
}
