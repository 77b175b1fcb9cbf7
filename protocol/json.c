/*
 * json.c - the strict check of JSON, in one pass over the bytes, and a few look-ups on cJSON's trees.
 *
 * The check is a recursive descent (its depth is bounded by JSON_DEPTH_MAX) that builds nothing but the names
 * of the members of the objects that are still open:
 *
 *     {"a":1,"b":{"c":2,"d":{"e":      names:  a b | c d | e
 *                                              ^     ^     ^ each open object knows where its own begin
 *
 * A short object is searched for a name as it comes; a long one is sorted once at its end. The names of
 * ordinary entries fit an array on the stack, so that nothing is allocated.
 */
#include "protocol/json.h"
#include "protocol/limits.h"
#include "protocol/utf8.h"

#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Names that are kept without allocating: an HSDS service with its children open has some 60. */
#define NAMES_ON_STACK 128

/* Objects with more members than this are sorted, not searched: below it, searching is faster. */
#define SEARCH_MAX 24

/* A member's name as it stands between its quotes. */
struct name {
    const char *text;
    uint32_t size;
    uint32_t hash; /* of the bytes after resolving escapes */
    bool escaped;
};

struct check {
    const char *start, *at, *end;
    struct fault *fault;
    json_member_function *member; /* for the outermost object */
    void *context;
    size_t members_max;
    bool document; /* white space other than space is allowed between tokens */
    struct name *names;
    size_t name_count, name_capacity;
    struct name first_names[NAMES_ON_STACK];
};

static int check_value(struct check *c, unsigned depth);

static int refuse(struct check *c, const char *clause, const char *what)
{
    return fault_set(c->fault, KAART_SYNTAX, "JSON: %s at byte %zu [%s]", what, (size_t)(c->at - c->start),
                     clause);
}

static int exceed(struct check *c, const char *clause, const char *what, size_t max)
{
    return fault_set(c->fault, KAART_LIMIT, "JSON: more than %zu %s at byte %zu [%s]", max, what,
                     (size_t)(c->at - c->start), clause);
}

static void skip_space(struct check *c)
{
    while (c->at < c->end &&
           (*c->at == ' ' || (c->document && (*c->at == '\n' || *c->at == '\r' || *c->at == '\t'))))
        c->at++;
}

/* ---- strings ---- */

static uint32_t hash_byte(uint32_t hash, char byte)
{
    return (hash ^ (unsigned char)byte) * 16777619u; /* FNV-1a */
}
#define HASH_START 2166136261u

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The four digits of \uXXXX; -1 if they are not there. */
static int32_t hex_unit(const char *text, const char *end)
{
    int32_t unit = 0;

    if (end - text < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(text[i]);

        if (digit < 0)
            return -1;
        unit = unit << 4 | digit;
    }
    return unit;
}

static size_t utf8_put(uint32_t code, char out[4])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xc0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xe0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3f));
        out[2] = (char)(0x80 | (code & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3f));
    out[2] = (char)(0x80 | (code >> 6 & 0x3f));
    out[3] = (char)(0x80 | (code & 0x3f));
    return 4;
}

/* \uXXXX, with `text` behind the u: the code point, of a pair of surrogates where there is one. Returns the
 * bytes used (4 or 10), 0 if malformed or a lone surrogate. */
static size_t unicode_escape(const char *text, const char *end, uint32_t *code)
{
    int32_t unit = hex_unit(text, end), low;

    if (unit < 0 || (unit >= 0xdc00 && unit <= 0xdfff))
        return 0;
    *code = (uint32_t)unit;
    if (unit < 0xd800 || unit > 0xdbff)
        return 4;
    if (end - text < 6 || text[4] != '\\' || text[5] != 'u')
        return 0;
    low = hex_unit(text + 6, end);
    if (low < 0xdc00 || low > 0xdfff)
        return 0;
    *code = 0x10000 + (((uint32_t)unit - 0xd800) << 10) + ((uint32_t)low - 0xdc00);
    return 10;
}

/* The escape at `text` (a backslash): its bytes in UTF-8. Returns the bytes used, 0 if it is none. */
static size_t resolve_escape(const char *text, const char *end, char out[4], size_t *out_size)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    uint32_t code;
    const char *found;
    size_t used;

    if (end - text < 2)
        return 0;
    if (text[1] == 'u') {
        used = unicode_escape(text + 2, end, &code);
        *out_size = used ? utf8_put(code, out) : 0;
        return used ? 2 + used : 0;
    }
    found = text[1] ? strchr(from, text[1]) : NULL;
    if (!found)
        return 0;
    out[0] = to[found - from];
    *out_size = 1;
    return 2;
}

/* True if one of 8 bytes is not plain: a quote, a backslash, below 0x20 or above 0x7f. Bytes above a special
 * one may be reported as well, which is harmless: they are looked at one by one. */
static bool has_special(uint64_t word)
{
    const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
    uint64_t quote = word ^ ones * '"', backslash = word ^ ones * '\\';

    return ((word - ones * 0x20) | (quote - ones) | (backslash - ones) | word) & highs;
}

static int refuse_escape(struct check *c)
{
    if (c->end - c->at > 2 && c->at[1] == 'u' && hex_unit(c->at + 2, c->end) >= 0)
        return refuse(c, "JSON-2", "lone surrogate");
    return refuse(c, "RFC 8259", "invalid escape");
}

/* A byte inside a string that is neither plain nor the closing quote: an escape or a sequence of UTF-8. Adds
 * to *hash. */
static int check_special(struct check *c, uint32_t *hash, bool *escaped)
{
    char bytes[4];
    size_t used, size;

    if ((unsigned char)*c->at < 0x20)
        return refuse(c, "JSON-4", "control character in a string");
    if (*c->at != '\\') {
        used = size = utf8_step(c->at, (size_t)(c->end - c->at), NULL);
        if (used == 0)
            return refuse(c, "JSON-1", "invalid UTF-8");
        memcpy(bytes, c->at, size);
    } else {
        used = resolve_escape(c->at, c->end, bytes, &size);
        if (used == 0)
            return refuse_escape(c);
        if (bytes[0] == '\0')
            return refuse(c, "JSON-3", "NUL by escape");
        *escaped = true;
    }
    for (size_t i = 0; i < size; i++)
        *hash = hash_byte(*hash, bytes[i]);
    c->at += used;
    return KAART_OK;
}

/* A string value; its bytes are checked and forgotten. */
static int check_string(struct check *c)
{
    uint32_t hash = 0;
    bool escaped;

    for (c->at++;;) {
        uint64_t word;
        int code;

        while (c->end - c->at >= 8) {
            memcpy(&word, c->at, 8);
            if (has_special(word))
                break;
            c->at += 8;
        }
        while (c->at < c->end && (unsigned char)*c->at >= 0x20 && (unsigned char)*c->at < 0x80 &&
               *c->at != '"' && *c->at != '\\')
            c->at++;
        if (c->at == c->end)
            return refuse(c, "RFC 8259", "unfinished string");
        if (*c->at == '"') {
            c->at++;
            return KAART_OK;
        }
        code = check_special(c, &hash, &escaped);
        if (code != KAART_OK)
            return code;
    }
}

/* A member's name, with the hash of what it says. */
static int check_name(struct check *c, struct name *name)
{
    uint32_t hash = HASH_START;

    name->escaped = false;
    name->text = ++c->at;
    for (;;) {
        int code;

        while (c->at < c->end && (unsigned char)*c->at >= 0x20 && (unsigned char)*c->at < 0x80 &&
               *c->at != '"' && *c->at != '\\')
            hash = hash_byte(hash, *c->at++);
        if (c->at == c->end)
            return refuse(c, "RFC 8259", "unfinished name");
        if (*c->at == '"')
            break;
        code = check_special(c, &hash, &name->escaped);
        if (code != KAART_OK)
            return code;
    }
    if ((size_t)(c->at - name->text) > UINT32_MAX)
        return exceed(c, "JSON-10", "bytes in a name", UINT32_MAX);
    name->size = (uint32_t)(c->at - name->text);
    name->hash = hash;
    c->at++;
    return KAART_OK;
}

/* ---- duplicate names ---- */

/* Walks through a name's bytes with escapes resolved. */
struct name_cursor {
    const char *at, *end;
    char bytes[4];
    size_t size, used;
};

/* The next byte, -1 at the end. The name has been checked, so every escape resolves. */
static int name_next(struct name_cursor *cursor)
{
    if (cursor->used == cursor->size) {
        if (cursor->at == cursor->end)
            return -1;
        if (*cursor->at != '\\')
            return (unsigned char)*cursor->at++;
        cursor->at += resolve_escape(cursor->at, cursor->end, cursor->bytes, &cursor->size);
        cursor->used = 0;
    }
    return (unsigned char)cursor->bytes[cursor->used++];
}

/* A total order of names by what they say; the hash first, since it decides almost always. */
static int compare_names(const void *left, const void *right)
{
    const struct name *a = left, *b = right;

    if (a->hash != b->hash)
        return a->hash < b->hash ? -1 : 1;
    if (!a->escaped && !b->escaped) {
        int order = memcmp(a->text, b->text, a->size < b->size ? a->size : b->size);

        return order ? order : (a->size > b->size) - (a->size < b->size);
    }
    struct name_cursor x = {.at = a->text, .end = a->text + a->size};
    struct name_cursor y = {.at = b->text, .end = b->text + b->size};
    for (;;) {
        int p = name_next(&x), q = name_next(&y);

        if (p != q)
            return p < q ? -1 : 1;
        if (p < 0)
            return 0;
    }
}

static int keep_name(struct check *c, const struct name *name)
{
    if (c->name_count == c->name_capacity) {
        size_t capacity = c->name_capacity * 2;
        bool on_stack = c->names == c->first_names;
        struct name *names = realloc(on_stack ? NULL : c->names, capacity * sizeof *names);

        if (!names)
            return fault_set(c->fault, KAART_NOMEM, "JSON: out of memory");
        if (on_stack)
            memcpy(names, c->first_names, sizeof c->first_names);
        c->names = names;
        c->name_capacity = capacity;
    }
    c->names[c->name_count++] = *name;
    return KAART_OK;
}

static int refuse_duplicate(struct check *c, const struct name *name)
{
    return fault_set(c->fault, KAART_SYNTAX, "JSON: duplicate member \"%.*s\" at byte %zu [JSON-5]",
                     name->size < 64 ? (int)name->size : 64, name->text, (size_t)(name->text - c->start));
}

/* Compares a new name with those of its object so far, which begin at `first`, while they are few. */
static int search_name(struct check *c, size_t first, const struct name *name)
{
    if (c->name_count - first > SEARCH_MAX)
        return KAART_OK; /* sorted later */
    for (size_t i = first; i < c->name_count; i++)
        if (c->names[i].hash == name->hash && compare_names(&c->names[i], name) == 0)
            return refuse_duplicate(c, name);
    return KAART_OK;
}

/* The end of an object: looks for duplicates among many names, then forgets them. */
static int forget_names(struct check *c, size_t first)
{
    struct name *names = c->names + first;
    size_t count = c->name_count - first;

    if (count > SEARCH_MAX) {
        qsort(names, count, sizeof *names, compare_names);
        for (size_t i = 1; i < count; i++)
            if (compare_names(&names[i - 1], &names[i]) == 0)
                return refuse_duplicate(c, &names[i]);
    }
    c->name_count = first;
    return KAART_OK;
}

/* ---- numbers ---- */

/* 2^1024 - 2^970: the least number that rounds to infinity as a double. All 309 digits, since the answer must
 * not depend on who computes it. */
static const char least_infinite[] =
    "17976931348623158079372897140530341507993413271003782693617377898044496829276475094664901797758720709633"
    "028641"
    "66928879109465555478519404026306574886715058206819089020007083836762738548458177115317644757302700698555"
    "713669"
    "59622842914819860834936475292719074168444365510704342711559699508093042880177904174497792";
#define LEAST_INFINITE_DIGITS 309

/* A number's parts, as check_number found them. */
struct number {
    const char *digits, *digits_end;     /* before the point */
    const char *fraction, *fraction_end; /* behind it; equal if there is none */
    int64_t exponent;                    /* saturated */
};

/* Whether it is finite as a double, by comparing digits: strtod would depend on the locale. */
static bool is_finite(const struct number *n)
{
    const char *at = n->digits;
    int64_t before =
        n->digits_end - n->digits; /* digits before the point, after scaling to 0.ddd x 10^before */
    size_t i = 0;

    /* leading zeros carry nothing */
    while (at < n->digits_end && *at == '0') {
        at++;
        before--;
    }
    if (at == n->digits_end) {
        at = n->fraction;
        while (at < n->fraction_end && *at == '0') {
            at++;
            before--;
        }
        if (at == n->fraction_end)
            return true; /* zero */
    }
    before += n->exponent;
    if (before != LEAST_INFINITE_DIGITS)
        return before < LEAST_INFINITE_DIGITS;
    for (; i < LEAST_INFINITE_DIGITS; i++, at++) {
        if (at == n->digits_end)
            at = n->fraction;
        if (at == n->fraction_end)
            return true; /* the rest is zeros: least_infinite ends in another digit */
        if (*at != least_infinite[i])
            return *at < least_infinite[i];
    }
    return false;
}

static const char *skip_digits(const struct check *c, const char *at)
{
    while (at < c->end && *at >= '0' && *at <= '9')
        at++;
    return at;
}

/* -?digits without fraction and exponent: within +-2^53. */
static bool is_exact_integer(const struct number *n)
{
    uint64_t value = 0;

    if (n->digits_end - n->digits > 16)
        return false;
    for (const char *at = n->digits; at < n->digits_end; at++)
        value = value * 10 + (uint64_t)(*at - '0');
    return value <= JSON_INTEGER_MAX;
}

static int check_exponent(struct check *c, struct number *n)
{
    const char *digits;
    bool negative = false;

    c->at++;
    if (c->at < c->end && (*c->at == '+' || *c->at == '-'))
        negative = *c->at++ == '-';
    digits = c->at;
    c->at = skip_digits(c, c->at);
    if (c->at == digits)
        return refuse(c, "RFC 8259", "exponent without digits");
    for (const char *at = digits; at < c->at && n->exponent < INT32_MAX; at++)
        n->exponent = n->exponent * 10 + (*at - '0');
    if (negative)
        n->exponent = -n->exponent;
    return KAART_OK;
}

static int check_number(struct check *c)
{
    struct number n = {.exponent = 0};
    bool integer = true;

    if (*c->at == '-')
        c->at++;
    n.digits = c->at;
    n.digits_end = n.fraction = n.fraction_end = c->at = skip_digits(c, c->at);
    if (n.digits == n.digits_end)
        return refuse(c, "RFC 8259", "no value");
    if (*n.digits == '0' && n.digits_end - n.digits > 1)
        return refuse(c, "RFC 8259", "number with a leading zero");
    if (c->at < c->end && *c->at == '.') {
        n.fraction = ++c->at;
        n.fraction_end = c->at = skip_digits(c, c->at);
        if (n.fraction == n.fraction_end)
            return refuse(c, "RFC 8259", "fraction without digits");
        integer = false;
    }
    if (c->at < c->end && (*c->at == 'e' || *c->at == 'E')) {
        int code = check_exponent(c, &n);

        if (code != KAART_OK)
            return code;
        integer = false;
    }
    if (integer && !is_exact_integer(&n))
        return refuse(c, "JSON-8", "integer beyond 2^53");
    if (!integer && !is_finite(&n))
        return refuse(c, "JSON-8", "number too large");
    return KAART_OK;
}

/* ---- values ---- */

static int check_literal(struct check *c, const char *literal, size_t size)
{
    if ((size_t)(c->end - c->at) < size || memcmp(c->at, literal, size) != 0)
        return refuse(c, "RFC 8259", "no value");
    c->at += size;
    return KAART_OK;
}

/* A name, a colon and a value. `outer`: tell the caller. */
static int check_member(struct check *c, unsigned depth, size_t first, bool outer)
{
    struct name name;
    const char *value;
    int code;

    if (c->at == c->end || *c->at != '"')
        return refuse(c, "RFC 8259", "no member name");
    if (c->name_count - first == c->members_max)
        return exceed(c, "JSON-7", "members in an object", c->members_max);
    code = check_name(c, &name);
    if (code == KAART_OK)
        code = search_name(c, first, &name);
    if (code == KAART_OK)
        code = keep_name(c, &name);
    if (code != KAART_OK)
        return code;
    skip_space(c);
    if (c->at == c->end || *c->at != ':')
        return refuse(c, "RFC 8259", "no colon");
    c->at++;
    skip_space(c);
    value = c->at;
    code = check_value(c, depth);
    if (code == KAART_OK && outer && c->member)
        code = c->member(c->context, (struct span){name.text, name.size},
                         (struct span){value, (size_t)(c->at - value)}, c->fault);
    return code;
}

static int check_object(struct check *c, unsigned depth)
{
    size_t first = c->name_count;

    c->at++;
    skip_space(c);
    if (c->at < c->end && *c->at == '}') {
        c->at++;
        return KAART_OK;
    }
    for (;;) {
        int code = check_member(c, depth, first, depth == 1);

        if (code != KAART_OK)
            return code;
        skip_space(c);
        if (c->at == c->end || (*c->at != ',' && *c->at != '}'))
            return refuse(c, "RFC 8259", "no comma or brace");
        if (*c->at++ == '}')
            return forget_names(c, first);
        skip_space(c);
    }
}

static int check_array(struct check *c, unsigned depth)
{
    c->at++;
    skip_space(c);
    if (c->at < c->end && *c->at == ']') {
        c->at++;
        return KAART_OK;
    }
    for (;;) {
        int code = check_value(c, depth);

        if (code != KAART_OK)
            return code;
        skip_space(c);
        if (c->at == c->end || (*c->at != ',' && *c->at != ']'))
            return refuse(c, "RFC 8259", "no comma or bracket");
        if (*c->at++ == ']')
            return KAART_OK;
        skip_space(c);
    }
}

/* `depth`: the objects and arrays that are open already. */
static int check_value(struct check *c, unsigned depth)
{
    if (c->at == c->end)
        return refuse(c, "RFC 8259", "no value");
    switch (*c->at) {
    case '"':
        return check_string(c);
    case '{':
    case '[':
        if (depth == JSON_DEPTH_MAX)
            return exceed(c, "JSON-6", "levels", JSON_DEPTH_MAX);
        return *c->at == '{' ? check_object(c, depth + 1) : check_array(c, depth + 1);
    case 't':
        return check_literal(c, "true", 4);
    case 'f':
        return check_literal(c, "false", 5);
    case 'n':
        return check_literal(c, "null", 4);
    default:
        return check_number(c);
    }
}

static int run_check(struct check *c, const char *text, size_t size)
{
    int code;

    c->start = c->at = text;
    c->end = text + size;
    c->names = c->first_names;
    c->name_count = 0;
    c->name_capacity = NAMES_ON_STACK;
    skip_space(c);
    code = check_value(c, 0);
    skip_space(c);
    if (code == KAART_OK && c->at != c->end)
        code = refuse(c, c->document ? "RFC 8259" : "JSON-9", "more after the value");
    if (c->names != c->first_names)
        free(c->names);
    return code;
}

int json_check_object(const char *text, size_t size, json_member_function *member, void *context,
                      struct fault *fault)
{
    struct check c;

    c.fault = fault;
    c.member = member;
    c.context = context;
    c.members_max = JSON_MEMBERS_MAX;
    c.document = false;
    if (size < 2 || text[0] != '{' || text[size - 1] != '}')
        return fault_set(fault, KAART_SYNTAX,
                         "JSON: not one object from the first byte to the last [JSON-9]");
    return run_check(&c, text, size);
}

int json_check_document(const char *text, size_t size, size_t members_max, struct fault *fault)
{
    struct check c;

    c.fault = fault;
    c.member = NULL;
    c.context = NULL;
    c.members_max = members_max ? members_max : JSON_MEMBERS_MAX;
    c.document = true;
    return run_check(&c, text, size);
}

char *json_unescape(struct span value, size_t *size)
{
    const char *at = value.data + 1, *end = value.data + value.size - 1;
    char *text = malloc(value.size); /* escapes only ever shrink */
    size_t used = 0;

    if (!text)
        return NULL;
    while (at < end) {
        char bytes[4];
        size_t count = 1, step = 1;

        if (*at == '\\')
            step = resolve_escape(at, end, bytes, &count);
        else
            bytes[0] = *at;
        if (step == 0) /* the caller's mistake: it was not checked */
            break;
        memcpy(text + used, bytes, count);
        used += count;
        at += step;
    }
    text[used] = '\0';
    *size = used;
    return text;
}

/* ---- trees ---- */

cJSON *json_parse(const char *text, size_t size, struct fault *fault)
{
    cJSON *tree;

    if (json_check_document(text, size, 0, fault) != KAART_OK)
        return NULL;
    tree = cJSON_ParseWithLengthOpts(text, size, NULL, false);
    if (!tree)
        fault_set(fault, KAART_NOMEM, "JSON: out of memory");
    return tree;
}

const cJSON *json_get(const cJSON *object, const char *name)
{
    return cJSON_IsObject(object) ? cJSON_GetObjectItemCaseSensitive(object, name) : NULL;
}

const char *json_get_string(const cJSON *object, const char *name)
{
    const cJSON *value = json_get(object, name);

    return cJSON_IsString(value) ? value->valuestring : NULL;
}

static bool equal_objects(const cJSON *a, const cJSON *b)
{
    const cJSON *next = b->child; /* most objects have their members in the same order */

    if (cJSON_GetArraySize(a) != cJSON_GetArraySize(b))
        return false;
    for (const cJSON *member = a->child; member; member = member->next) {
        const cJSON *other = next;

        if (!other || strcmp(other->string, member->string) != 0)
            other = cJSON_GetObjectItemCaseSensitive(b, member->string);
        if (!other || !json_equal(member, other))
            return false;
        next = other->next;
    }
    return true;
}

static bool equal_arrays(const cJSON *a, const cJSON *b)
{
    const cJSON *x = a->child, *y = b->child;

    for (; x && y; x = x->next, y = y->next)
        if (!json_equal(x, y))
            return false;
    return !x && !y;
}

bool json_equal(const cJSON *a, const cJSON *b)
{
    if (!a || !b)
        return a == b;
    if ((a->type & 0xff) != (b->type & 0xff))
        return false;
    switch (a->type & 0xff) {
    case cJSON_Object:
        return equal_objects(a, b);
    case cJSON_Array:
        return equal_arrays(a, b);
    case cJSON_Number:
        return !(a->valuedouble < b->valuedouble) && !(a->valuedouble > b->valuedouble);
    case cJSON_String:
    case cJSON_Raw:
        return strcmp(a->valuestring, b->valuestring) == 0;
    default:
        return true;
    }
}
