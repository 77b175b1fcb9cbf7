/*
 * record_format.c - the formats of values: moments, addresses of the internet, Dutch numbers. Each answers
 * yes or no.
 */
#include "protocol/record_profile.h"
#include "protocol/syntax.h"

#include <string.h>

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Two digits below `limit`; moves on. */
static bool two(const char **text, int limit)
{
    const char *p = *text;
    if (!digit(p[0]) || !digit(p[1]) || (p[0] - '0') * 10 + (p[1] - '0') >= limit)
        return false;
    *text += 2;
    return true;
}

/* HH:MM[:SS[.f]][Z|+HH:MM] */
bool format_time(const char *text)
{
    if (!two(&text, 24) || *text++ != ':' || !two(&text, 60))
        return false;
    if (*text == ':') {
        text++;
        if (!two(&text, 61))
            return false;
        if (*text == '.' && digit(text[1]))
            for (text++; digit(*text);)
                text++;
    }
    if (*text == 'Z')
        return text[1] == '\0';
    if (*text == '+' || *text == '-') {
        text++;
        if (!two(&text, 24) || *text++ != ':' || !two(&text, 60))
            return false;
    }
    return *text == '\0';
}

bool format_moment(const char *text)
{
    int32_t day;
    size_t size = strlen(text);
    if (size < DAY_TEXT_SIZE || syntax_day_parse(text, DAY_TEXT_SIZE, &day))
        return false;
    return size == DAY_TEXT_SIZE || (text[DAY_TEXT_SIZE] == 'T' && format_time(text + DAY_TEXT_SIZE + 1));
}

/* A scheme and something behind it, without white space. */
bool format_uri(const char *text)
{
    const char *p = text;
    if (!letter(*p))
        return false;
    while (letter(*p) || digit(*p) || *p == '+' || *p == '-' || *p == '.')
        p++;
    return *p == ':' && p[1] && !strpbrk(text, " \t\"<>");
}

bool format_email(const char *text)
{
    const char *at = strchr(text, '@');
    return at && at != text && !strchr(at + 1, '@') && strchr(at + 1, '.') && at[1] != '.' &&
           !strpbrk(text, " \t\"<>,;");
}

/* Digits with the usual marks between them: at least two (14-numbers, 112), at most 25 characters. */
bool format_phone(const char *text)
{
    size_t size = strlen(text), digits = 0;
    for (size_t i = 0; i < size; i++) {
        if (digit(text[i]))
            digits++;
        else if (!strchr(" +-()./", text[i]))
            return false;
    }
    return digits >= 2 && size <= 25;
}

/* [POSIX-like names of the IANA database: Europe/Amsterdam, UTC, America/Argentina/Salta] */
bool format_zone(const char *text)
{
    size_t size = strlen(text), parts = 1;
    if (size == 0 || size > 64 || !letter(text[0]))
        return false;
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '/') {
            if (++parts > 3 || text[i + 1] == '/' || text[i + 1] == '\0')
                return false;
        } else if (!letter(text[i]) && !digit(text[i]) && !strchr("_+-", text[i]))
            return false;
    }
    return true;
}

bool format_digits(const char *text, size_t count)
{
    return strlen(text) == count && strspn(text, "0123456789") == count;
}

/* Elfproef: 9 x d1 + 8 x d2 + ... + 2 x d8 - d9 is a multiple of 11, and not all zeroes. */
bool format_rsin(const char *text)
{
    int sum = 0;
    if (!format_digits(text, 9) || strcmp(text, "000000000") == 0)
        return false;
    for (int i = 0; i < 8; i++)
        sum += (9 - i) * (text[i] - '0');
    return (sum - (text[8] - '0')) % 11 == 0;
}

/* 3433 AB or 3433AB; the first digit is never 0. */
bool format_postcode(const char *text)
{
    if (text[0] < '1' || text[0] > '9' || !digit(text[1]) || !digit(text[2]) || !digit(text[3]))
        return false;
    text += text[4] == ' ' ? 5 : 4;
    return letter(text[0]) && letter(text[1]) && text[2] == '\0';
}

/* A category (02) or a product code (02A03) of iStandaarden. */
bool format_product(const char *text)
{
    size_t size = strlen(text);
    if ((size != 2 && size != 5) || !digit(text[0]) || !digit(text[1]))
        return false;
    return size == 2 || ((letter(text[2]) || digit(text[2])) && digit(text[3]) && digit(text[4]));
}

bool format_weekdays(const char *text)
{
    for (;;) {
        if (*text == '+' || *text == '-')
            text++;
        for (int i = 0; i < 2 && digit(*text); i++)
            text++;
        if (!*text || !text[1] || !strstr("MO TU WE TH FR SA SU", (char[]){text[0], text[1], '\0'}) ||
            !letter(text[0]) || !letter(text[1]))
            return false;
        text += 2;
        if (*text == '\0')
            return true;
        if (*text++ != ',')
            return false;
    }
}

bool format_same_word(const char *a, const char *b)
{
    for (;; a++, b++) {
        char x = *a >= 'A' && *a <= 'Z' ? (char)(*a + 32) : *a,
             y = *b >= 'A' && *b <= 'Z' ? (char)(*b + 32) : *b;
        if (x != y)
            return false;
        if (x == '\0')
            return true;
    }
}

const char *identifier_scheme(const char *name)
{
    static const struct {
        const char *foreign, *ours;
    } names[] = {{"kvk", "kvk"},
                 {"nl-kvk", "kvk"},
                 {"kvk-nummer", "kvk"},
                 {"kvknummer", "kvk"},
                 {"rsin", "rsin"},
                 {"nl-rsin", "rsin"},
                 {"oin", "oin"},
                 {"nl-oin", "oin"},
                 {"agb", "agb"},
                 {"nl-agb", "agb"},
                 {"agb-code", "agb"},
                 {"ura", "ura"},
                 {"nl-ura", "ura"},
                 {"vestigingsnummer", "vestigingsnummer"},
                 {"nl-vestigingsnummer", "vestigingsnummer"},
                 {"bag", "bag"},
                 {"nl-bag", "bag"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (format_same_word(names[i].foreign, name))
            return names[i].ours;
    return NULL;
}

bool record_identifier_valid(const char *scheme, const char *value)
{
    static const struct {
        const char *scheme;
        size_t digits;
    } lengths[] = {{"kvk", 8}, {"oin", 20}, {"agb", 8}, {"ura", 8}, {"vestigingsnummer", 12}, {"bag", 16}};
    if (strcmp(scheme, "rsin") == 0)
        return format_rsin(value);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        if (strcmp(lengths[i].scheme, scheme) == 0)
            return format_digits(value, lengths[i].digits);
    return true;
}
