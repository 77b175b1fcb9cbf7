/*
 * convert.c - dates, times, numbers, yes and no, links, postal codes and RD coordinates as Dutch registers
 * write them. HTML has a file of its own.
 */
#include "daemon/source/convert.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const char *convert_quote(const cJSON *value, char quoted[CONVERT_QUOTE_MAX + 8])
{
    if (cJSON_IsString(value)) {
        size_t size = strlen(value->valuestring), cut = size;
        if (cut > CONVERT_QUOTE_MAX) {
            cut = CONVERT_QUOTE_MAX;
            while (cut > 0 && ((unsigned char)value->valuestring[cut] & 0xC0) == 0x80)
                cut--;
        }
        snprintf(quoted, CONVERT_QUOTE_MAX + 8, "\"%.*s%s\"", (int)cut, value->valuestring,
                 cut < size ? "..." : "");
    } else if (cJSON_IsNumber(value)) {
        snprintf(quoted, CONVERT_QUOTE_MAX + 8, "%.15g", value->valuedouble);
    } else {
        snprintf(quoted, CONVERT_QUOTE_MAX + 8, "%s",
                 cJSON_IsTrue(value)     ? "true"
                 : cJSON_IsFalse(value)  ? "false"
                 : cJSON_IsObject(value) ? "an object"
                 : cJSON_IsArray(value)  ? "a list"
                                         : "null");
    }
    return quoted;
}

static const char *quote_text(const char *text, char quoted[CONVERT_QUOTE_MAX + 8])
{
    cJSON value = {.type = cJSON_String, .valuestring = (char *)(uintptr_t)text};
    return convert_quote(&value, quoted);
}

/* ---- dates and times ---- */

static const char *const months[] = {"januari", "februari", "maart",     "april",   "mei",      "juni",
                                     "juli",    "augustus", "september", "oktober", "november", "december"};

/* How many equal letters a pattern has here. */
static size_t run_length(const char *pattern)
{
    return strspn(pattern, (char[2]){pattern[0], '\0'});
}

bool convert_date_pattern_is_valid(const char *pattern)
{
    unsigned years = 0, month_parts = 0, days = 0;
    while (*pattern != '\0') {
        size_t run = run_length(pattern);
        if (*pattern == 'y' && run == 4)
            years++;
        else if (*pattern == 'm' && (run == 1 || run == 2 || run == 4))
            month_parts++;
        else if (*pattern == 'd' && run <= 2)
            days++;
        else if (isalpha((unsigned char)*pattern) && *pattern != 'T')
            return false;
        else if (*pattern == '*' && pattern[1] != '\0')
            return false;
        pattern += run;
    }
    return years == 1 && month_parts == 1 && days == 1;
}

/* Takes `least` to `most` digits; false if there are fewer. */
static bool take_digits(const char **text, size_t least, size_t most, int *value)
{
    size_t count = 0;
    *value = 0;
    while (count < most && isdigit((unsigned char)**text)) {
        *value = *value * 10 + (**text - '0');
        (*text)++;
        count++;
    }
    return count >= least;
}

static bool take_month(const char **text, int *month)
{
    for (size_t i = 0; i < 12; i++) {
        size_t size = strlen(months[i]);
        if (strncasecmp(*text, months[i], size) == 0) {
            *text += size;
            *month = (int)i + 1;
            return true;
        }
    }
    return false;
}

static bool match_date(const char *text, const char *pattern, char day[DAY_TEXT_SIZE + 1])
{
    int year = 0, month = 0, date = 0;
    while (*pattern != '\0') {
        size_t run = run_length(pattern);
        bool taken = true;
        if (*pattern == '*') {
            text += strlen(text);
        } else if (*pattern == 'y') {
            taken = take_digits(&text, 4, 4, &year);
        } else if (*pattern == 'm') {
            taken = run == 4 ? take_month(&text, &month) : take_digits(&text, run, 2, &month);
        } else if (*pattern == 'd') {
            taken = take_digits(&text, run, 2, &date);
        } else {
            run = 1;
            taken = *text++ == *pattern;
        }
        if (!taken)
            return false;
        pattern += run;
    }
    int32_t checked = 0;
    if (*text != '\0' || year < 1 || month < 1 || month > 12 || date < 1 || date > 31)
        return false;
    snprintf(day, DAY_TEXT_SIZE + 1, "%04u-%02u-%02u", (unsigned)year % 10000, (unsigned)month % 100,
             (unsigned)date % 100);
    return syntax_day_parse(day, DAY_TEXT_SIZE, &checked) == 0;
}

int convert_date(const char *text, const char *const *patterns, char day[DAY_TEXT_SIZE + 1],
                 struct fault *fault)
{
    char quoted[CONVERT_QUOTE_MAX + 8];
    for (size_t i = 0; patterns[i] != NULL; i++) {
        if (match_date(text, patterns[i], day))
            return KAART_OK;
    }
    return fault_set(fault, KAART_INVALID, "%s is no date in the form %s%s", quote_text(text, quoted),
                     patterns[0], patterns[1] != NULL ? " (or the others given)" : "");
}

int convert_time(const char *text, char time[6], struct fault *fault)
{
    char quoted[CONVERT_QUOTE_MAX + 8];
    const char *p = text;
    int hour = 0, minute = 0, second = 0;
    bool good = take_digits(&p, 1, 2, &hour);
    if (good && (*p == ':' || *p == '.'))
        p++;
    good = good && take_digits(&p, 2, 2, &minute);
    if (good && *p == ':') {
        p++;
        good = take_digits(&p, 2, 2, &second);
    }
    while (good && *p == ' ')
        p++;
    if (!good || (*p != '\0' && strcasecmp(p, "uur") != 0 && strcasecmp(p, "u") != 0) || minute > 59 ||
        second > 59 || hour > 24 || (hour == 24 && minute > 0))
        return fault_set(fault, KAART_INVALID, "%s is no time of day such as 09:00",
                         quote_text(text, quoted));
    snprintf(time, 6, "%02u:%02u", (unsigned)hour % 100, (unsigned)minute % 100);
    return KAART_OK;
}

/* ---- numbers, yes and no ---- */

int convert_number(const char *text, bool dutch, double *number, struct fault *fault)
{
    char quoted[CONVERT_QUOTE_MAX + 8];
    char plain[64];
    size_t size = 0;
    const char *p = text;
    if (dutch && strncmp(p, "\xE2\x82\xAC", 3) == 0)
        p += 3;
    while (*p == ' ')
        p++;
    for (; *p != '\0' && size + 1 < sizeof(plain); p++) {
        if (dutch && *p == '.') { /* only between groups of three digits */
            if (size == 0 || strspn(p + 1, "0123456789") < 3 || isdigit((unsigned char)p[4]))
                break;
            continue;
        }
        if (dutch && strcmp(p, ",-") == 0)
            p = "";
        if (*p == '\0')
            break;
        plain[size++] = dutch && *p == ',' ? '.' : *p;
    }
    plain[size] = '\0';
    char *end = plain;
    errno = 0;
    *number = strtod(plain, &end);
    bool digits_only = strspn(plain, "+-.0123456789eE") == size; /* no "inf", "nan" or hexadecimal */
    if (size == 0 || *p != '\0' || *end != '\0' || !digits_only || errno == ERANGE || !isfinite(*number))
        return fault_set(fault, KAART_INVALID, "%s is no number such as %s", quote_text(text, quoted),
                         dutch ? "1.234,56" : "1234.56");
    return KAART_OK;
}

static bool among(const char *text, const cJSON *words, const char *const *defaults)
{
    const cJSON *word = NULL;
    if (words == NULL) {
        for (; *defaults != NULL; defaults++) {
            if (strcasecmp(text, *defaults) == 0)
                return true;
        }
        return false;
    }
    cJSON_ArrayForEach(word, words)
    {
        if (cJSON_IsString(word) && strcasecmp(text, word->valuestring) == 0)
            return true;
    }
    return false;
}

int convert_boolean(const char *text, const cJSON *yes, const cJSON *no, bool *value, struct fault *fault)
{
    static const char *const yes_words[] = {"true", "ja", "j", "yes", "y", "1", "waar", NULL};
    static const char *const no_words[] = {"false", "nee", "n", "no", "0", "onwaar", NULL};
    char quoted[CONVERT_QUOTE_MAX + 8];
    *value = among(text, yes, yes_words);
    if (*value || among(text, no, no_words))
        return KAART_OK;
    return fault_set(fault, KAART_INVALID, "%s is neither yes nor no (%s)", quote_text(text, quoted),
                     yes != NULL || no != NULL ? "the words are given in the mapping"
                                               : "ja, nee, true, false, ...");
}

/* ---- links and postal codes ---- */

int convert_url(const char *text, char **url, struct fault *fault)
{
    char quoted[CONVERT_QUOTE_MAX + 8];
    const char *scheme = "";
    size_t host = strcspn(text, ":/?#");
    if (strncasecmp(text, "https://", 8) == 0)
        host = 8 + strcspn(text + 8, "/?#");
    else if (strncasecmp(text, "http://", 7) == 0)
        host = 7 + strcspn(text + 7, "/?#");
    else
        scheme = "https://";
    bool bad = strstr(text, "://") != NULL && scheme[0] != '\0';
    if (bad || memchr(text, '.', host) == NULL || strpbrk(text, " \t\r\n\"<>@") != NULL)
        return fault_set(fault, KAART_INVALID, "%s is no web address such as https://www.example.nl",
                         quote_text(text, quoted));
    size_t size = strlen(scheme) + strlen(text) + 1;
    *url = malloc(size);
    if (*url == NULL)
        return fault_set(fault, KAART_NOMEM, "out of memory");
    snprintf(*url, size, "%s%s", scheme, text);
    return KAART_OK;
}

int convert_postcode(const char *text, char postcode[8], struct fault *fault)
{
    char quoted[CONVERT_QUOTE_MAX + 8];
    size_t size = 0;
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == ' ')
            continue;
        if (size == 6)
            return fault_set(fault, KAART_INVALID, "%s is no postal code such as 3431 AB",
                             quote_text(text, quoted));
        bool good =
            size < 4 ? isdigit((unsigned char)*p) : isascii((unsigned char)*p) && isalpha((unsigned char)*p);
        if (!good || (size == 0 && *p == '0'))
            return fault_set(fault, KAART_INVALID, "%s is no postal code such as 3431 AB",
                             quote_text(text, quoted));
        postcode[size < 4 ? size : size + 1] = (char)toupper((unsigned char)*p);
        size++;
    }
    if (size != 6)
        return fault_set(fault, KAART_INVALID, "%s is no postal code such as 3431 AB",
                         quote_text(text, quoted));
    postcode[4] = ' ';
    postcode[7] = '\0';
    return KAART_OK;
}

/* ---- coordinates ---- */

struct term {
    unsigned p, q;
    double factor;
};

static const struct term latitude_terms[] = {
    {0, 1, 3235.65389}, {2, 0, -32.58297}, {0, 2, -0.24750}, {2, 1, -0.84978},
    {0, 3, -0.06550},   {2, 2, -0.01709},  {1, 0, -0.00738}, {4, 0, 0.00530},
    {2, 3, -0.00039},   {4, 1, 0.00033},   {1, 1, -0.00012},
};

static const struct term longitude_terms[] = {
    {1, 0, 5260.52916}, {1, 1, 105.94684}, {1, 2, 2.45656},  {3, 0, -0.81885},
    {1, 3, 0.05594},    {3, 1, -0.05607},  {0, 1, 0.01199},  {3, 2, -0.00256},
    {1, 4, 0.00128},    {0, 2, 0.00022},   {2, 0, -0.00022}, {5, 0, 0.00026},
};

static double power(double base, unsigned exponent)
{
    double result = 1;
    while (exponent-- > 0)
        result *= base;
    return result;
}

static double polynomial(const struct term *terms, size_t count, double x, double y)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += terms[i].factor * power(x, terms[i].p) * power(y, terms[i].q);
    return sum;
}

static double rounded(double degrees)
{
    return round(degrees * 1e6) / 1e6;
}

int convert_rd(double x, double y, double *latitude, double *longitude, struct fault *fault)
{
    if (!(x >= -7000 && x <= 300000 && y >= 289000 && y <= 629000))
        return fault_set(fault, KAART_INVALID,
                         "x %.10g, y %.10g lies outside RD (SRID 28992: x -7000..300000, y 289000..629000)",
                         x, y);
    double dx = (x - 155000) * 1e-5, dy = (y - 463000) * 1e-5;
    *latitude = rounded(
        52.15517440 +
        polynomial(latitude_terms, sizeof(latitude_terms) / sizeof(latitude_terms[0]), dx, dy) / 3600);
    *longitude = rounded(
        5.38720621 +
        polynomial(longitude_terms, sizeof(longitude_terms) / sizeof(longitude_terms[0]), dx, dy) / 3600);
    return KAART_OK;
}

/* Two numbers out of "POINT (1 2)", "1 2", "1,2". */
static bool two_numbers(const char *text, double *x, double *y)
{
    const char *digits = "+-.0123456789";
    const char *start = strpbrk(text, digits);
    char *end = NULL;
    if (start == NULL)
        return false;
    *x = strtod(start, &end);
    size_t between = strspn(end, " ,;");
    if (between == 0 || end[between] == '\0' || strchr(digits, end[between]) == NULL)
        return false;
    start = end + between;
    *y = strtod(start, &end);
    return end != start && end[strspn(end, " )")] == '\0' && isfinite(*x) && isfinite(*y);
}

static bool read_point(const cJSON *value, double *x, double *y, long *srid)
{
    const cJSON *list =
        cJSON_IsObject(value) ? cJSON_GetObjectItemCaseSensitive(value, "coordinates") : value;
    *srid = 28992;
    if (cJSON_IsArray(list) && cJSON_GetArraySize(list) >= 2) {
        const cJSON *first = list->child, *second = list->child->next;
        if (!cJSON_IsNumber(first) || !cJSON_IsNumber(second))
            return false;
        *x = first->valuedouble;
        *y = second->valuedouble;
        return true;
    }
    if (!cJSON_IsString(value))
        return false;
    const char *text = value->valuestring;
    if (strncasecmp(text, "SRID=", 5) == 0) {
        char *end = NULL;
        *srid = strtol(text + 5, &end, 10);
        text = *end == ';' ? end + 1 : end;
    }
    return two_numbers(text, x, y);
}

int convert_point(const cJSON *value, double *latitude, double *longitude, struct fault *fault)
{
    char quoted[CONVERT_QUOTE_MAX + 8];
    double x = 0, y = 0;
    long srid = 0;
    if (!read_point(value, &x, &y, &srid))
        return fault_set(fault, KAART_INVALID,
                         "%s is no point such as \"SRID=28992;POINT (155000 463000)\" or [155000,463000]",
                         convert_quote(value, quoted));
    if (srid == 28992)
        return convert_rd(x, y, latitude, longitude, fault);
    if (srid != 4326 || fabs(x) > 180 || fabs(y) > 90)
        return fault_set(fault, KAART_INVALID,
                         "%s: only SRID 28992 (RD) and 4326 (longitude, latitude) are known",
                         convert_quote(value, quoted));
    *latitude = rounded(y);
    *longitude = rounded(x);
    return KAART_OK;
}
