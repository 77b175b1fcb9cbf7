/*
 * syntax.c - the small grammars that every part shares. The calendar is arithmetic of its own: the C
 * library's reads the time zone and knows no days before its epoch.
 */
#include "protocol/syntax.h"
#include "protocol/error.h"
#include "protocol/limits.h"
#include "protocol/utf8.h"

#include <string.h>

/* RFC 1035 section 2.3.4 */
#define LABEL_MAX_SIZE 63

#define YEAR_MIN 1
#define YEAR_MAX 9999

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool all_digits(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (!is_digit(text[i]))
            return false;
    return true;
}

bool syntax_is_name(const char *text, size_t size)
{
    if (size == 0 || size > NAME_MAX_SIZE || !is_lower(text[0]))
        return false;
    for (size_t i = 1; i < size; i++)
        if (!is_lower(text[i]) && !is_digit(text[i]) && text[i] != '_' && text[i] != '-')
            return false;
    return true;
}

static bool is_label(const char *text, size_t size)
{
    if (size == 0 || size > LABEL_MAX_SIZE || text[0] == '-' || text[size - 1] == '-')
        return false;
    for (size_t i = 0; i < size; i++)
        if (!is_lower(text[i]) && !is_digit(text[i]) && text[i] != '-')
            return false;
    return true;
}

bool syntax_is_origin(const char *text, size_t size)
{
    size_t start = 0;

    if (size == 0 || size > ORIGIN_MAX_SIZE)
        return false;
    for (size_t i = 0; i <= size; i++)
        if (i == size || text[i] == '.') {
            if (!is_label(text + start, i - start))
                return false;
            start = i + 1;
        }
    return true;
}

bool syntax_is_feed(const char *text, size_t size)
{
    const char *slash = size ? memchr(text, '/', size) : NULL;

    if (!slash)
        return false;
    return syntax_is_origin(text, (size_t)(slash - text)) &&
           syntax_is_name(slash + 1, size - (size_t)(slash + 1 - text));
}

bool syntax_is_uuid(const char *text, size_t size)
{
    if (size != UUID_TEXT_SIZE)
        return false;
    for (size_t i = 0; i < size; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;

        if (dash ? text[i] != '-' : !is_digit(text[i]) && !(text[i] >= 'a' && text[i] <= 'f'))
            return false;
    }
    return true;
}

bool syntax_is_area(const char *text, size_t size)
{
    size_t digits;

    if (size < 2)
        return false;
    if (memcmp(text, "GM", 2) == 0)
        digits = 4;
    else if (memcmp(text, "WK", 2) == 0)
        digits = 6;
    else if (memcmp(text, "BU", 2) == 0)
        digits = 8;
    else
        return false;
    return size == 2 + digits && all_digits(text + 2, digits);
}

bool syntax_is_utf8(const char *text, size_t size)
{
    while (size > 0) {
        size_t step = utf8_step(text, size, NULL);

        if (step == 0)
            return false;
        text += step;
        size -= step;
    }
    return true;
}

/* ---- calendar ---- */

struct date {
    int year, month, day;
};

static bool is_leap(int year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int days_in_month(int year, int month)
{
    static const int days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    return month == 2 && is_leap(year) ? 29 : days[month - 1];
}

/* Days since 1970-01-01. Years are counted from 1 March, so that the leap day is the last of its year; 719468
 * is the number of days from 0000-03-01 to 1970-01-01. */
static int32_t day_of_date(struct date date)
{
    int year = date.month <= 2 ? date.year - 1 : date.year;
    int era = (year >= 0 ? year : year - 399) / 400;
    int year_of_era = year - era * 400;
    int month = date.month > 2 ? date.month - 3 : date.month + 9;
    int day_of_year = (153 * month + 2) / 5 + date.day - 1;
    int day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

    return era * 146097 + day_of_era - 719468;
}

static struct date date_of_day(int32_t day)
{
    struct date date;
    int64_t shifted = (int64_t)day + 719468;
    int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
    int day_of_era = (int)(shifted - era * 146097);
    int year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int month = (5 * day_of_year + 2) / 153;

    date.day = day_of_year - (153 * month + 2) / 5 + 1;
    date.month = month < 10 ? month + 3 : month - 9;
    date.year = (int)(era * 400) + year_of_era + (date.month <= 2 ? 1 : 0);
    return date;
}

/* `count` digits as a number; the caller has checked that they are digits. */
static int number(const char *text, int count)
{
    int value = 0;

    for (int i = 0; i < count; i++)
        value = value * 10 + (text[i] - '0');
    return value;
}

/* Right-aligned digits with leading zeros. */
static void put_number(char *text, int count, int64_t value)
{
    for (int i = count - 1; i >= 0; i--) {
        text[i] = (char)('0' + value % 10);
        value /= 10;
    }
}

int syntax_day_parse(const char *text, size_t size, int32_t *day)
{
    struct date date;

    if (size != DAY_TEXT_SIZE || text[4] != '-' || text[7] != '-' || !all_digits(text, 4) ||
        !all_digits(text + 5, 2) || !all_digits(text + 8, 2))
        return KAART_SYNTAX;
    date.year = number(text, 4);
    date.month = number(text + 5, 2);
    date.day = number(text + 8, 2);
    if (date.year < YEAR_MIN || date.month < 1 || date.month > 12 || date.day < 1 ||
        date.day > days_in_month(date.year, date.month))
        return KAART_SYNTAX;
    *day = day_of_date(date);
    return KAART_OK;
}

/* The day, or the nearest one that has a text. */
static int32_t bounded_day(int64_t day)
{
    const int32_t first = day_of_date((struct date){YEAR_MIN, 1, 1});
    const int32_t last = day_of_date((struct date){YEAR_MAX, 12, 31});

    return day < first ? first : day > last ? last : (int32_t)day;
}

void syntax_day_format(int32_t day, char text[DAY_TEXT_SIZE + 1])
{
    struct date date = date_of_day(bounded_day(day));

    put_number(text, 4, date.year);
    text[4] = '-';
    put_number(text + 5, 2, date.month);
    text[7] = '-';
    put_number(text + 8, 2, date.day);
    text[DAY_TEXT_SIZE] = '\0';
}

/* Division that rounds down, also below zero. */
static int64_t floor_div(int64_t value, int64_t by)
{
    return value / by - (value % by < 0);
}

int32_t syntax_day_of(int64_t instant_ms)
{
    return bounded_day(floor_div(instant_ms, MS_PER_DAY));
}

int32_t syntax_day_add_months(int32_t day, int months)
{
    struct date date = date_of_day(day);
    int64_t month = (int64_t)date.year * 12 + (date.month - 1) + months;
    int64_t year = floor_div(month, 12);

    if (year < YEAR_MIN)
        return bounded_day(INT32_MIN);
    if (year > YEAR_MAX)
        return bounded_day(INT32_MAX);
    date.year = (int)year;
    date.month = (int)(month - year * 12) + 1;
    if (date.day > days_in_month(date.year, date.month))
        date.day = days_in_month(date.year, date.month);
    return day_of_date(date);
}

/* The 19 bytes 2026-11-21T19:04:06 as seconds. */
static int parse_to_second(const char *text, int64_t *unix_s)
{
    int32_t day;
    int hour, minute, second;

    if (syntax_day_parse(text, DAY_TEXT_SIZE, &day) != KAART_OK || text[10] != 'T' || text[13] != ':' ||
        text[16] != ':' || !all_digits(text + 11, 2) || !all_digits(text + 14, 2) ||
        !all_digits(text + 17, 2))
        return KAART_SYNTAX;
    hour = number(text + 11, 2);
    minute = number(text + 14, 2);
    second = number(text + 17, 2);
    if (hour > 23 || minute > 59 || second > 59)
        return KAART_SYNTAX;
    *unix_s = (int64_t)day * 86400 + hour * 3600 + minute * 60 + second;
    return KAART_OK;
}

static void format_to_second(int64_t unix_s, char *text)
{
    int64_t day = floor_div(unix_s, 86400);
    int64_t second = unix_s - day * 86400;

    syntax_day_format(bounded_day(day), text);
    text[10] = 'T';
    put_number(text + 11, 2, second / 3600);
    text[13] = ':';
    put_number(text + 14, 2, second / 60 % 60);
    text[16] = ':';
    put_number(text + 17, 2, second % 60);
}

int syntax_instant_parse(const char *text, size_t size, int64_t *instant_ms)
{
    int64_t unix_s;

    if (size != INSTANT_TEXT_SIZE || text[19] != '.' || text[23] != 'Z' || !all_digits(text + 20, 3) ||
        parse_to_second(text, &unix_s) != KAART_OK)
        return KAART_SYNTAX;
    *instant_ms = unix_s * 1000 + number(text + 20, 3);
    return KAART_OK;
}

void syntax_instant_format(int64_t instant_ms, char text[INSTANT_TEXT_SIZE + 1])
{
    int64_t unix_s = floor_div(instant_ms, 1000);

    format_to_second(unix_s, text);
    text[19] = '.';
    put_number(text + 20, 3, instant_ms - unix_s * 1000);
    text[23] = 'Z';
    text[INSTANT_TEXT_SIZE] = '\0';
}

int syntax_seconds_parse(const char *text, size_t size, int64_t *unix_s)
{
    if (size != SECONDS_TEXT_SIZE || text[19] != 'Z')
        return KAART_SYNTAX;
    return parse_to_second(text, unix_s);
}

void syntax_seconds_format(int64_t unix_s, char text[SECONDS_TEXT_SIZE + 1])
{
    format_to_second(unix_s, text);
    text[19] = 'Z';
    text[SECONDS_TEXT_SIZE] = '\0';
}

int syntax_decimal_parse(const char *text, size_t size, uint64_t max, uint64_t *value)
{
    uint64_t result = 0;

    if (size == 0 || (size > 1 && text[0] == '0'))
        return KAART_SYNTAX;
    for (size_t i = 0; i < size; i++) {
        uint64_t digit = (uint64_t)(text[i] - '0');

        if (!is_digit(text[i]) || result > (UINT64_MAX - digit) / 10)
            return KAART_SYNTAX;
        result = result * 10 + digit;
        if (result > max)
            return KAART_SYNTAX;
    }
    *value = result;
    return KAART_OK;
}
