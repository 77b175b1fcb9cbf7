/*
 * entry.c - the envelope of an entry, read in place, and the one place where an origin writes one.
 */
#include "protocol/entry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the members that must be there contribute to `seen`. */
enum {
    SEEN_SEQ = 1 << 0,
    SEEN_OP = 1 << 1,
    SEEN_KIND = 1 << 2,
    SEEN_ID = 1 << 3,
    SEEN_SOURCE = 1 << 4,
    SEEN_ROLE = 1 << 5,
    SEEN_AT = 1 << 6,
};

struct envelope {
    struct entry *entry;
    unsigned seen;
};

/* A member of the envelope. `read` checks the value's bytes and puts it away. */
struct member {
    const char *name;
    unsigned seen; /* 0: not required */
    int (*read)(struct entry *entry, struct span value);
    const char *wanted;
};

const char *entry_op_name(enum entry_op op)
{
    return op == ENTRY_ASSERT ? "assert" : op == ENTRY_RETRACT ? "retract" : "erase";
}

static bool span_is(struct span span, const char *text)
{
    return span.size == strlen(text) && memcmp(span.data, text, span.size) == 0;
}

/* A string value without its quotes. Escapes need no look: no grammar of the envelope has a backslash
 * [ENTRY-2]. */
static bool unquote(struct span value, struct span *out)
{
    if (value.size < 2 || value.data[0] != '"')
        return false;
    out->data = value.data + 1;
    out->size = value.size - 2;
    return true;
}

static int read_seq(struct entry *entry, struct span value)
{
    return syntax_decimal_parse(value.data, value.size, SEQ_MAX, &entry->seq); /* [ENTRY-3] */
}

static int read_op(struct entry *entry, struct span value)
{
    struct span text;

    if (!unquote(value, &text))
        return KAART_SYNTAX;
    for (int op = ENTRY_ASSERT; op <= ENTRY_ERASE; op++)
        if (span_is(text, entry_op_name((enum entry_op)op))) {
            entry->op = (enum entry_op)op;
            return KAART_OK;
        }
    return KAART_SYNTAX; /* [ENTRY-5] */
}

static int read_name(struct span value, char out[NAME_MAX_SIZE + 1])
{
    struct span text;

    if (!unquote(value, &text) || !syntax_is_name(text.data, text.size))
        return KAART_SYNTAX;
    memcpy(out, text.data, text.size);
    out[text.size] = '\0';
    return KAART_OK;
}

static int read_kind(struct entry *entry, struct span value)
{
    return read_name(value, entry->kind);
}

static int read_source(struct entry *entry, struct span value)
{
    return read_name(value, entry->source);
}

static int read_role(struct entry *entry, struct span value)
{
    return read_name(value, entry->role);
}

static int read_id(struct entry *entry, struct span value)
{
    struct span text;

    if (!unquote(value, &text) || !syntax_is_uuid(text.data, text.size))
        return KAART_SYNTAX;
    memcpy(entry->id, text.data, text.size);
    entry->id[text.size] = '\0';
    return KAART_OK;
}

static int read_at(struct entry *entry, struct span value)
{
    struct span text;

    return unquote(value, &text) ? syntax_instant_parse(text.data, text.size, &entry->at_ms) : KAART_SYNTAX;
}

static int read_verified(struct entry *entry, struct span value)
{
    struct span text;

    return unquote(value, &text) ? syntax_day_parse(text.data, text.size, &entry->verified) : KAART_SYNTAX;
}

static int read_missing_since(struct entry *entry, struct span value)
{
    struct span text;

    return unquote(value, &text) ? syntax_day_parse(text.data, text.size, &entry->missing_since)
                                 : KAART_SYNTAX;
}

static int read_on_behalf_of(struct entry *entry, struct span value)
{
    if (!unquote(value, &entry->on_behalf_of))
        return KAART_SYNTAX;
    return syntax_is_uuid(entry->on_behalf_of.data, entry->on_behalf_of.size) ? KAART_OK : KAART_SYNTAX;
}

static int read_salt(struct entry *entry, struct span value)
{
    uint8_t bits[16];

    if (!unquote(value, &entry->salt))
        return KAART_SYNTAX;
    return hex_decode(entry->salt.data, entry->salt.size, bits, sizeof bits);
}

/* An array of area codes. Its bytes are valid JSON already, so only its shape is looked at: each string must
 * be a code as it stands. */
static int read_areas(struct entry *entry, struct span value)
{
    const char *at = value.data + 1, *end = value.data + value.size - 1;

    if (value.data[0] != '[')
        return KAART_SYNTAX;
    for (; at < end; at++) {
        const char *start;

        if (*at == ' ' || *at == ',')
            continue;
        if (*at != '"')
            return KAART_SYNTAX;
        for (start = ++at; *at != '"'; at++)
            if (*at == '\\')
                return KAART_SYNTAX;
        if (!syntax_is_area(start, (size_t)(at - start)))
            return KAART_SYNTAX;
    }
    entry->areas = value;
    return KAART_OK;
}

static int read_body(struct entry *entry, struct span value)
{
    entry->body = value;
    return value.data[0] == '{' ? KAART_OK : KAART_SYNTAX;
}

static int read_control(struct entry *entry, struct span value)
{
    (void)entry;
    (void)value;
    return KAART_SYNTAX; /* [ENTRY-6] */
}

/* In the order in which an origin writes them, so that the search is short. */
static const struct member members[] = {
    {"seq", SEEN_SEQ, read_seq, "a plain decimal below 2^40 [ENTRY-3]"},
    {"op", SEEN_OP, read_op, "assert, retract or erase [ENTRY-5]"},
    {"kind", SEEN_KIND, read_kind, "a name [ENTRY-4]"},
    {"id", SEEN_ID, read_id, "a lower-case UUID [ENTRY-4]"},
    {"source", SEEN_SOURCE, read_source, "a name [ENTRY-4]"},
    {"role", SEEN_ROLE, read_role, "a name [ENTRY-4]"},
    {"at", SEEN_AT, read_at, "an instant of 24 bytes [ENTRY-4]"},
    {"verified", 0, read_verified, "a day [ENTRY-4]"},
    {"missing_since", 0, read_missing_since, "a day [ENTRY-4]"},
    {"on_behalf_of", 0, read_on_behalf_of, "a lower-case UUID [ENTRY-4]"},
    {"salt", 0, read_salt, "32 hexadecimal digits [ENTRY-4]"},
    {"areas", 0, read_areas, "an array of CBS area codes [ENTRY-4]"},
    {"body", 0, read_body, "an object [ENTRY-4]"},
    {"checkpoint", 0, read_control, "no member of an entry [ENTRY-6]"},
    {"next", 0, read_control, "no member of an entry [ENTRY-6]"},
};
#define MEMBER_COUNT (sizeof members / sizeof members[0])

static int read_member(void *context, struct span name, struct span value, struct fault *fault)
{
    struct envelope *envelope = context;

    for (size_t i = 0; i < MEMBER_COUNT; i++) {
        if (!span_is(name, members[i].name))
            continue;
        envelope->seen |= members[i].seen;
        if (members[i].read(envelope->entry, value) == KAART_OK)
            return KAART_OK;
        if (value.data[0] != '{' && memchr(value.data, '\\', value.size))
            return fault_set(fault, KAART_SYNTAX, "entry: an escape in the value of %s [ENTRY-2]",
                             members[i].name);
        return fault_set(fault, KAART_SYNTAX, "entry: %s must be %s", members[i].name, members[i].wanted);
    }
    if (memchr(name.data, '\\', name.size))
        return fault_set(fault, KAART_SYNTAX, "entry: an escape in the name of a member [ENTRY-2]");
    return KAART_OK; /* [ENTRY-7] */
}

/* What no single member shows. */
static int check_whole(const struct envelope *envelope, struct fault *fault)
{
    const struct entry *entry = envelope->entry;

    for (size_t i = 0; i < MEMBER_COUNT; i++)
        if (members[i].seen && !(envelope->seen & members[i].seen))
            return fault_set(fault, KAART_SYNTAX, "entry: %s is missing [ENTRY-4]", members[i].name);
    if (entry->op == ENTRY_ASSERT && !entry->body.data)
        return fault_set(fault, KAART_SYNTAX, "entry %llu: assert without a body [ENTRY-5]",
                         (unsigned long long)entry->seq);
    if (entry->op != ENTRY_ASSERT && entry->body.data)
        return fault_set(fault, KAART_SYNTAX, "entry %llu: %s with a body [ENTRY-5]",
                         (unsigned long long)entry->seq, entry_op_name(entry->op));
    return KAART_OK;
}

int entry_parse(const char *line, size_t size, struct entry *out, struct fault *fault)
{
    struct envelope envelope = {.entry = out};
    int code;

    if (size > ENTRY_SIZE_MAX)
        return fault_set(fault, KAART_LIMIT, "entry: a line of more than %d bytes [JSON-10]", ENTRY_SIZE_MAX);
    memset(out, 0, sizeof *out);
    out->verified = out->missing_since = DAY_NONE;
    code = json_check_object(line, size, read_member, &envelope, fault);
    return code == KAART_OK ? check_whole(&envelope, fault) : code;
}

int entry_key(struct hasher *hasher, const char *kind, const char *id, const char *source,
              struct entry_key *out)
{
    const char *parts[3] = {kind, id, source};
    char text[2 * (NAME_MAX_SIZE + 1) + UUID_TEXT_SIZE + 1];
    struct hash hash;
    size_t used = 0;
    int code;

    for (size_t i = 0; i < 3; i++) {
        size_t size = strlen(parts[i]) + (i < 2); /* with the NUL between them */

        if (size > sizeof text - used)
            return KAART_LIMIT;
        memcpy(text + used, parts[i], size);
        used += size;
    }
    code = hasher_digest(hasher, text, used, &hash);
    if (code == KAART_OK)
        memcpy(out->bytes, hash.bytes, sizeof out->bytes);
    return code;
}

/* ---- writing ---- */

/* Text that grows into a buffer of fixed size; what does not fit is remembered as a fault. */
struct text {
    char *data;
    size_t size, capacity;
    bool full;
};

static void put(struct text *text, const char *data, size_t size)
{
    if (text->full || size > text->capacity - text->size) {
        text->full = true;
        return;
    }
    memcpy(text->data + text->size, data, size);
    text->size += size;
}

static void put_text(struct text *text, const char *string)
{
    put(text, string, strlen(string));
}

/* ,"name":"value" */
static void put_string(struct text *text, const char *name, const char *value, size_t size)
{
    put_text(text, ",\"");
    put_text(text, name);
    put_text(text, "\":\"");
    put(text, value, size);
    put_text(text, "\"");
}

static void put_day(struct text *text, const char *name, int32_t day)
{
    char digits[DAY_TEXT_SIZE + 1];

    if (day == DAY_NONE)
        return;
    syntax_day_format(day, digits);
    put_string(text, name, digits, DAY_TEXT_SIZE);
}

static void put_entry(struct text *text, const struct entry *entry)
{
    char seq[32], at[INSTANT_TEXT_SIZE + 1];
    const char *op = entry_op_name(entry->op);

    snprintf(seq, sizeof seq, "{\"seq\":%llu", (unsigned long long)entry->seq);
    put_text(text, seq);
    put_string(text, "op", op, strlen(op));
    put_string(text, "kind", entry->kind, strlen(entry->kind));
    put_string(text, "id", entry->id, strlen(entry->id));
    put_string(text, "source", entry->source, strlen(entry->source));
    put_string(text, "role", entry->role, strlen(entry->role));
    syntax_instant_format(entry->at_ms, at);
    put_string(text, "at", at, INSTANT_TEXT_SIZE);
    put_day(text, "verified", entry->verified);
    put_day(text, "missing_since", entry->missing_since);
    if (entry->on_behalf_of.data)
        put_string(text, "on_behalf_of", entry->on_behalf_of.data, entry->on_behalf_of.size);
    if (entry->salt.data)
        put_string(text, "salt", entry->salt.data, entry->salt.size);
    if (entry->areas.data) {
        put_text(text, ",\"areas\":");
        put(text, entry->areas.data, entry->areas.size);
    }
    if (entry->body.data) {
        put_text(text, ",\"body\":");
        put(text, entry->body.data, entry->body.size);
    }
    put_text(text, "}");
}

/* Whether two spans hold the same, absent ones included. */
static bool same_span(struct span a, struct span b)
{
    if (!a.data || !b.data)
        return !a.data && !b.data;
    return a.size == b.size && memcmp(a.data, b.data, a.size) == 0;
}

/* A body or areas that close their own value early and go on with members of the envelope would pass
 * entry_parse: what was read back must be what was meant. */
static bool same_entry(const struct entry *a, const struct entry *b)
{
    return a->seq == b->seq && a->op == b->op && a->at_ms == b->at_ms && a->verified == b->verified &&
           a->missing_since == b->missing_since && strcmp(a->kind, b->kind) == 0 &&
           strcmp(a->id, b->id) == 0 && strcmp(a->source, b->source) == 0 && strcmp(a->role, b->role) == 0 &&
           same_span(a->on_behalf_of, b->on_behalf_of) && same_span(a->salt, b->salt) &&
           same_span(a->areas, b->areas) && same_span(a->body, b->body);
}

int entry_format(const struct entry *entry, char **line, size_t *size, struct fault *fault)
{
    struct text text = {.capacity = 1024 + entry->areas.size + entry->body.size};
    struct entry back;
    int code;

    text.data = malloc(text.capacity);
    if (!text.data)
        return fault_set(fault, KAART_NOMEM, "entry: out of memory");
    put_entry(&text, entry);
    if (text.full)
        code = fault_set(fault, KAART_SYNTAX, "entry: a member of the envelope is too long [ENTRY-4]");
    else
        code = entry_parse(text.data, text.size, &back, fault);
    if (code == KAART_OK && !same_entry(entry, &back))
        code = fault_set(fault, KAART_SYNTAX, "entry %llu: areas or body is not one JSON value [ENTRY-2]",
                         (unsigned long long)entry->seq);
    if (code != KAART_OK) {
        free(text.data);
        return code;
    }
    *line = text.data;
    *size = text.size;
    return KAART_OK;
}
