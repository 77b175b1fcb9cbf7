/*
 * words.c - values as people read them.
 */
#include "daemon/ctl/ctl.h"
#include "protocol/json.h"
#include "protocol/syntax.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

const char *ctl_ago(const char *instant, char text[40])
{
    int64_t then_s = 0, then_ms = 0;
    if (!instant)
        return "-";
    if (syntax_instant_parse(instant, strlen(instant), &then_ms) == 0)
        then_s = then_ms / 1000;
    else if (syntax_seconds_parse(instant, strlen(instant), &then_s) < 0)
        return instant;
    int64_t age = (int64_t)time(NULL) - then_s;
    if (age < -2 * 86400 || age >= 14LL * 86400)
        snprintf(text, 40, "%.10s", instant);
    else if (age < -7200)
        snprintf(text, 40, "in %lld h", (long long)-age / 3600);
    else if (age < -120)
        snprintf(text, 40, "in %lld min", (long long)-age / 60);
    else if (age < -2)
        snprintf(text, 40, "in %lld s", (long long)-age);
    else if (age < 10)
        return "just now";
    else if (age < 120)
        snprintf(text, 40, "%lld s ago", (long long)age);
    else if (age < 7200)
        snprintf(text, 40, "%lld min ago", (long long)age / 60);
    else if (age < 2 * 86400)
        snprintf(text, 40, "%lld h ago", (long long)age / 3600);
    else
        snprintf(text, 40, "%lld days ago", (long long)age / 86400);
    return text;
}

const char *ctl_count(double number, char text[32])
{
    char plain[24];
    size_t size = (size_t)snprintf(plain, sizeof(plain), "%.0f", number), used = 0;
    for (size_t i = 0; i < size && used < 30; i++) {
        text[used++] = plain[i];
        if ((size - i - 1) % 3 == 0 && i + 1 < size && plain[i] != '-')
            text[used++] = ',';
    }
    text[used] = '\0';
    return text;
}

const char *ctl_member(const cJSON *object, const char *name, char text[64])
{
    const cJSON *value = json_get(object, name);
    if (cJSON_IsString(value))
        return value->valuestring;
    if (cJSON_IsBool(value))
        return cJSON_IsTrue(value) ? "yes" : "no";
    if (!cJSON_IsNumber(value))
        return NULL;
    snprintf(text, 64, "%.15g", value->valuedouble);
    return text;
}

static void write_value(const cJSON *value, FILE *out);

static void write_members(const cJSON *object, FILE *out)
{
    for (const cJSON *member = object->child; member; member = member->next) {
        bool nested = cJSON_IsObject(member) || cJSON_IsArray(member);
        fprintf(out, nested ? "%s (" : "%s ", member->string);
        write_value(member, out);
        fputs(nested ? ")" : "", out);
        fputs(member->next ? ", " : "", out);
    }
}

/* Lists of texts with commas, lists of objects with semicolons, objects as "name value, name value". json_parse bounds the depth. */
static void write_value(const cJSON *value, FILE *out)
{
    if (cJSON_IsString(value)) {
        fputs(value->valuestring, out);
    } else if (cJSON_IsObject(value)) {
        write_members(value, out);
    } else if (cJSON_IsArray(value)) {
        for (const cJSON *item = value->child; item; item = item->next) {
            write_value(item, out);
            if (item->next)
                fputs(cJSON_IsObject(item) ? "; " : ", ", out);
        }
    } else if (cJSON_IsBool(value)) {
        fputs(cJSON_IsTrue(value) ? "yes" : "no", out);
    } else {
        char *json = cJSON_PrintUnformatted(value);
        fputs(json ? json : "", out);
        free(json);
    }
}

char *ctl_value_text(const cJSON *value)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    if (!stream)
        return NULL;
    if (cJSON_IsNull(value))
        fputs("(has none)", stream);
    else if (value)
        write_value(value, stream);
    return fclose(stream) == 0 ? text : NULL;
}

/* cJSON prints with 15 digits and takes a value one unit off for equal; a number that needs more is printed here and put in as it is. */
static void pin_numbers(cJSON *value)
{
    char text[40];
    for (; value; value = value->next) {
        if (cJSON_IsNumber(value)) {
            double number = value->valuedouble;
            snprintf(text, sizeof(text), "%1.15g", number);
            if (strtod(text, NULL) == number)
                continue;
            if (floor(number) == number && fabs(number) <= 9007199254740992.0)
                snprintf(text, sizeof(text), "%.0f", number);
            else
                snprintf(text, sizeof(text), "%1.16g", number);
            if (strtod(text, NULL) != number)
                snprintf(text, sizeof(text), "%1.17g", number);
            char *raw = strdup(text);
            if (raw) {
                value->type = cJSON_Raw;
                value->valuestring = raw;
            }
        }
        pin_numbers(value->child);
    }
}

char *ctl_print_exact(cJSON *value)
{
    pin_numbers(value);
    return cJSON_PrintUnformatted(value);
}
