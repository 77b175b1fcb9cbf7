/*
 * config_value.c - the checks of single values. Each complaint says what was written and what may be.
 */
#include "daemon/config/config_private.h"
#include "protocol/hash.h"
#include "protocol/policy.h"
#include "protocol/record.h"
#include "protocol/syntax.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- numbers with units ---- */

struct unit {
    const char *name;
    int64_t factor;
};

/* "15 min" is 15 times the unit's factor. The first unit is what a bare number means; where that is not 1
 * (durations), only a bare 0 is allowed, since nobody can tell what a bare 15 was to be. */
static int parse_quantity(const char *text, const struct unit *units, size_t count, int64_t *value)
{
    char *end = NULL;
    errno = 0;
    long long number = isdigit((unsigned char)text[0]) ? strtoll(text, &end, 10) : -1;
    if (number < 0 || errno == ERANGE || !end)
        return KAART_INVALID;
    while (*end == ' ')
        end++;
    for (size_t i = 0; i < count; i++)
        if (strcmp(end, units[i].name) == 0 && number <= INT64_MAX / units[i].factor) {
            *value = number * units[i].factor;
            return i == 0 && number != 0 && units[0].factor != 1 ? KAART_INVALID : 0;
        }
    return KAART_INVALID;
}

int config_parse_duration(const char *text, int64_t *ms, struct fault *fault)
{
    /* no months or years: they have no fixed length, and nothing measured in milliseconds needs them */
    static const struct unit units[] = {
        {"", 1000},        {"ms", 1},           {"s", 1000},         {"second", 1000},   {"seconds", 1000},
        {"m", 60000},      {"min", 60000},      {"minute", 60000},   {"minutes", 60000}, {"h", 3600000},
        {"hour", 3600000}, {"hours", 3600000},  {"d", 86400000},     {"day", 86400000},  {"days", 86400000},
        {"w", 604800000},  {"week", 604800000}, {"weeks", 604800000}};
    if (parse_quantity(text, units, sizeof(units) / sizeof(units[0]), ms) < 0)
        return fault_set(fault, KAART_INVALID,
                         "\"%s\" is not a duration: write a number and s, m, h, days or weeks, as in \"15m\"",
                         text);
    return 0;
}

int config_parse_size(const char *text, uint64_t *bytes, struct fault *fault)
{
    static const struct unit units[] = {{"", 1},
                                        {"B", 1},
                                        {"kB", 1000},
                                        {"MB", 1000000},
                                        {"GB", 1000000000},
                                        {"KiB", 1024},
                                        {"MiB", 1024 * 1024},
                                        {"GiB", 1024 * 1024 * 1024}};
    int64_t value;
    if (parse_quantity(text, units, sizeof(units) / sizeof(units[0]), &value) < 0)
        return fault_set(fault, KAART_INVALID,
                         "\"%s\" is not a size: write a number and kB, MB, GB, KiB, MiB or GiB", text);
    *bytes = (uint64_t)value;
    return 0;
}

int config_parse_number(const char *text, int64_t *number, struct fault *fault)
{
    uint64_t value;
    if (syntax_decimal_parse(text, strlen(text), INT32_MAX, &value) < 0)
        return fault_set(fault, KAART_INVALID, "\"%s\" is not a whole number", text);
    *number = (int64_t)value;
    return 0;
}

int config_parse_yes_no(const char *text, bool *value, struct fault *fault)
{
    bool yes = strcmp(text, "yes") == 0 || strcmp(text, "true") == 0 || strcmp(text, "on") == 0;
    bool no = strcmp(text, "no") == 0 || strcmp(text, "false") == 0 || strcmp(text, "off") == 0;
    if (!yes && !no)
        return fault_set(fault, KAART_INVALID, "\"%s\" is neither yes nor no", text);
    *value = yes;
    return 0;
}

/* ---- addresses ---- */

bool config_is_loopback(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return (ntohl(v4.s_addr) >> 24) == 127;
    if (inet_pton(AF_INET6, host, &v6) == 1)
        return IN6_IS_ADDR_LOOPBACK(&v6);
    return strcmp(host, "localhost") == 0;
}

static bool is_numeric(const char *host)
{
    unsigned char bytes[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

int config_check_address(const char *value, struct fault *fault)
{
    return is_numeric(value) ? 0
                             : fault_set(fault, KAART_INVALID,
                                         "\"%s\" is not a numeric address, as in \"127.0.0.1\"", value);
}

int config_parse_address(const char *text, char **host, uint16_t *port, struct fault *fault)
{
    char name[64];
    uint64_t number = 0;
    const char *colon = strrchr(text, ':');
    size_t size = colon ? (size_t)(colon - text) : 0;
    bool bracketed = size > 2 && text[0] == '[' && text[size - 1] == ']';
    if (bracketed)
        snprintf(name, sizeof(name), "%.*s", (int)size - 2, text + 1);
    else
        snprintf(name, sizeof(name), "%.*s", (int)size, text);
    if (!colon || size >= sizeof(name) || !is_numeric(name) || (strchr(name, ':') != NULL) != bracketed ||
        syntax_decimal_parse(colon + 1, strlen(colon + 1), 65535, &number) < 0)
        return fault_set(fault, KAART_INVALID,
                         "\"%s\" is not a numeric address and port, as in \"0.0.0.0:8443\" or \"[::]:8443\"",
                         text);
    if (!(*host = strdup(name)))
        return KAART_NOMEM;
    *port = (uint16_t)number;
    return 0;
}

int config_check_url(const char *value, struct fault *fault)
{
    int rc = KAART_NOMEM;
    char *scheme = NULL, *host = NULL, *user = NULL, *password = NULL, *fragment = NULL;
    CURLU *url = curl_url();
    if (!url)
        return rc;
    if (curl_url_set(url, CURLUPART_URL, value, 0) != CURLUE_OK ||
        curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
        curl_url_get(url, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
        (strcmp(scheme, "https") != 0 && strcmp(scheme, "http") != 0) || strpbrk(value, " \t\r\n\"<>\\")) {
        rc = fault_set(fault, KAART_INVALID,
                       "\"%s\" is not a URL, as in \"https://kaart.houten.example:8443\"", value);
        goto out;
    }
    if (curl_url_get(url, CURLUPART_USER, &user, 0) == CURLUE_OK ||
        curl_url_get(url, CURLUPART_PASSWORD, &password, 0) == CURLUE_OK) {
        rc = fault_set(fault, KAART_INVALID,
                       "holds a user name or password; secrets stand in files of their own");
        goto out;
    }
    if (curl_url_get(url, CURLUPART_FRAGMENT, &fragment, 0) == CURLUE_OK)
        rc = fault_set(fault, KAART_INVALID, "\"%s\" has a fragment (#), which is never sent", value);
    else
        rc = 0;
out:
    curl_free(scheme);
    curl_free(host);
    curl_free(user);
    curl_free(password);
    curl_free(fragment);
    curl_url_cleanup(url);
    return rc;
}

/* ---- words ---- */

static int one_of(const char *value, const char *const *words, const char *what, struct fault *fault)
{
    char list[256] = "";
    for (size_t i = 0; words[i]; i++) {
        if (strcmp(words[i], value) == 0)
            return 0;
        size_t used = strlen(list);
        snprintf(list + used, sizeof(list) - used, "%s%s", i ? ", " : "", words[i]);
    }
    return fault_set(fault, KAART_INVALID, "\"%s\" is no %s: %s", value, what, list);
}

static const char *const roles[] = {"contract", "provider", "editor", "coordinator",
                                    "resident", "import",   NULL};
int config_check_role(const char *value, struct fault *fault)
{
    return one_of(value, roles, "role", fault);
}

int config_check_kind(const char *value, struct fault *fault)
{
    return one_of(value, record_kinds(), "kind of record", fault);
}

int config_check_group(const char *value, struct fault *fault)
{
    const char *names[GROUP_COUNT + 1] = {NULL};
    for (int group = 0; group < GROUP_COUNT; group++)
        names[group] = field_group_name((enum field_group)group);
    return one_of(value, names, "field group", fault);
}

int config_check_order(const char *value, struct fault *fault)
{
    char role[NAME_MAX_SIZE + 1];
    const char *at = strchr(value, '@');
    size_t size = at ? (size_t)(at - value) : strlen(value);
    if (size >= sizeof(role) || (at && strcmp(at, "@home") != 0))
        return fault_set(fault, KAART_INVALID, "\"%s\" is neither a role nor role@home", value);
    memcpy(role, value, size);
    role[size] = '\0';
    return config_check_role(role, fault);
}

int config_check_source_type(const char *value, struct fault *fault)
{
    static const char *const types[] = {"json", NULL};
    return one_of(value, types, "type of source", fault);
}

int config_check_stale_after(const char *value, struct fault *fault)
{
    static const struct unit units[] = {{"day", 1},    {"days", 1}, {"month", 1},
                                        {"months", 1}, {"year", 1}, {"years", 1}};
    char *end = NULL;
    long number = isdigit((unsigned char)value[0]) && value[0] != '0' ? strtol(value, &end, 10) : 0;
    bool ok = strcmp(value, "never") == 0;
    for (size_t i = 0; !ok && number > 0 && number <= 36500 && i < sizeof(units) / sizeof(units[0]); i++)
        ok = end[0] == ' ' && strcmp(end + 1, units[i].name) == 0;
    return ok ? 0
              : fault_set(fault, KAART_INVALID,
                          "\"%s\" is not a time of days, months or years, as in \"18 months\", or \"never\"",
                          value);
}

int config_check_origin(const char *value, struct fault *fault)
{
    return syntax_is_origin(value, strlen(value))
               ? 0
               : fault_set(fault, KAART_INVALID,
                           "\"%s\" is not a lower-case DNS name, as in \"houten.example\"", value);
}

int config_check_name(const char *value, struct fault *fault)
{
    return syntax_is_name(value, strlen(value))
               ? 0
               : fault_set(fault, KAART_INVALID,
                           "\"%s\" is not a name: a-z, then a-z, 0-9, _ and -, at most 32", value);
}

int config_check_area(const char *value, struct fault *fault)
{
    return syntax_is_area(value, strlen(value))
               ? 0
               : fault_set(fault, KAART_INVALID,
                           "\"%s\" is not a CBS code: GM and 4, WK and 6, or BU and 8 digits", value);
}

int config_check_uuid(const char *value, struct fault *fault)
{
    return syntax_is_uuid(value, strlen(value))
               ? 0
               : fault_set(fault, KAART_INVALID, "\"%s\" is not a UUID in lower case", value);
}

int config_check_licence(const char *value, struct fault *fault)
{
    return strlen(value) <= 64
               ? 0
               : fault_set(fault, KAART_INVALID, "is longer than an SPDX identifier, as in \"CC0-1.0\"");
}

int config_check_pin(const char *value, struct fault *fault)
{
    uint8_t digest[HASH_SIZE + 1];
    size_t size = sizeof(digest);
    if (strncmp(value, "sha256/", 7) == 0 &&
        base64_decode(value + 7, strlen(value + 7), digest, &size) == 0 && size == HASH_SIZE)
        return 0;
    return fault_set(fault, KAART_INVALID, "\"%s\" is not a pin: \"sha256/\" and the base64 of 32 bytes",
                     value);
}

/* ---- files ---- */

int config_check_file(const char *value, struct fault *fault)
{
    struct stat status;
    if (stat(value, &status) < 0 || access(value, R_OK) < 0)
        return fault_set(fault, KAART_INVALID, "%s cannot be read: %s", value, strerror(errno));
    if (!S_ISREG(status.st_mode))
        return fault_set(fault, KAART_INVALID, "%s is not a file", value);
    return 0;
}

int config_check_secret_file(const char *value, struct fault *fault)
{
    struct stat status;
    int rc = config_check_file(value, fault);
    if (rc < 0)
        return rc;
    if (stat(value, &status) == 0 && (status.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        return fault_set(fault, KAART_INVALID, "%s can be read by others than its owner; type: chmod 600 %s",
                         value, value);
    return 0;
}
