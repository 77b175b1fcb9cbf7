/*
 * config_table.c - every section and key of the configuration: its type, range, default and check, and how a
 * section is filled from them. What an operator may write stands in peers.example.conf; this table is what is
 * true.
 */
#include "daemon/config/config_private.h"
#include "protocol/limits.h"

#include <stdlib.h>
#include <string.h>

#define SECOND_MS 1000LL
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS (60 * MINUTE_MS)
#define DAY_MS (24 * HOUR_MS)
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct config_key top_keys[] = {
    {.name = "include-dir", .type = CONFIG_OTHER},
};

#define AT(field) offsetof(struct config_node, field)
static const struct config_key node_keys[] = {
    {.name = "name", .type = CONFIG_TEXT, .offset = AT(name), .check = config_check_origin, .required = true},
    {.name = "state", .type = CONFIG_PATH, .offset = AT(state), .fallback = "/var/lib/kaartd"},
    {.name = "own-head", .type = CONFIG_PATH, .offset = AT(own_head)},
    {.name = "areas", .type = CONFIG_LIST, .offset = AT(areas), .check = config_check_area},
    {.name = "proxy", .type = CONFIG_TEXT, .offset = AT(proxy), .check = config_check_url},
    {.name = "client-certificate",
     .type = CONFIG_PATH,
     .offset = AT(client_certificate),
     .check = config_check_file},
    {.name = "client-key", .type = CONFIG_PATH, .offset = AT(client_key), .check = config_check_secret_file},
    {.name = "socket", .type = CONFIG_PATH, .offset = AT(socket)},
    {.name = "guard-ask", .type = CONFIG_LIST, .offset = AT(guard_peers), .check = config_check_origin},
    {.name = "guard-peers",
     .type = CONFIG_NUMBER,
     .offset = AT(guard_quorum),
     .fallback = "2",
     .min = 0,
     .max = 100},
    {.name = "guard-wait", .type = CONFIG_OTHER},
    {.name = "allow-plain-http", .type = CONFIG_YES_NO, .offset = AT(allow_plain_http), .fallback = "no"},
};
#undef AT

#define AT(field) offsetof(struct config_feed, field)
static const struct config_key feed_keys[] = {
    {.name = "key", .type = CONFIG_PATH, .offset = AT(key_path), .required = true},
    {.name = "next-key", .type = CONFIG_PATH, .offset = AT(next_key_path)},
    {.name = "licence", .type = CONFIG_TEXT, .offset = AT(licence), .check = config_check_licence},
    {.name = "readers", .type = CONFIG_LIST, .offset = AT(readers), .check = config_check_origin},
};
#undef AT

#define AT(field) offsetof(struct config_listen, field)
static const struct config_key listen_keys[] = {
    {.name = "address", .type = CONFIG_OTHER, .required = true},
    {.name = "tls-certificate",
     .type = CONFIG_PATH,
     .offset = AT(tls_certificate),
     .check = config_check_file},
    {.name = "tls-key", .type = CONFIG_PATH, .offset = AT(tls_key), .check = config_check_secret_file},
    {.name = "behind-proxy", .type = CONFIG_LIST, .offset = AT(behind_proxy), .check = config_check_address},
};
#undef AT

#define AT(field) offsetof(struct config_peer, field)
static const struct config_key peer_keys[] = {
    {.name = "url", .type = CONFIG_TEXT, .offset = AT(url), .check = config_check_url},
    {.name = "feed-keys", .type = CONFIG_OTHER_LIST},
    {.name = "tls-pins", .type = CONFIG_LIST, .offset = AT(tls_pins), .check = config_check_pin},
    {.name = "tls-ca-file", .type = CONFIG_PATH, .offset = AT(tls_ca_file), .check = config_check_file},
    {.name = "client-pins", .type = CONFIG_LIST, .offset = AT(client_pins), .check = config_check_pin},
    {.name = "areas", .type = CONFIG_LIST, .offset = AT(areas), .check = config_check_area},
    {.name = "roles",
     .type = CONFIG_LIST,
     .offset = AT(roles),
     .fallback = "editor provider contract coordinator resident import",
     .check = config_check_role},
    {.name = "kinds", .type = CONFIG_LIST, .offset = AT(kinds), .check = config_check_kind},
    {.name = "steward", .type = CONFIG_YES_NO, .offset = AT(steward), .fallback = "no"},
    {.name = "suspended", .type = CONFIG_YES_NO, .offset = AT(suspended), .fallback = "no"},
    /* a second is for tests; a month without a look at a peer is a peer one does not have */
    {.name = "pull-every",
     .type = CONFIG_DURATION,
     .offset = AT(pull_every_ms),
     .fallback = "15m",
     .max = 31 * DAY_MS},
    {.name = "push", .type = CONFIG_YES_NO, .offset = AT(push), .fallback = "no"},
    {.name = "relay", .type = CONFIG_YES_NO, .offset = AT(relay), .fallback = "no"},
    {.name = "show-areas", .type = CONFIG_LIST, .offset = AT(show_areas), .check = config_check_area},
    {.name = "show-themes", .type = CONFIG_LIST, .offset = AT(show_themes)},
    {.name = "full-sync-every",
     .type = CONFIG_DURATION,
     .offset = AT(full_sync_every_ms),
     .fallback = "1h",
     .min = SECOND_MS,
     .max = 31 * DAY_MS},
};
#undef AT

#define AT(field) offsetof(struct config_source, field)
static const struct config_key source_keys[] = {
    {.name = "type",
     .type = CONFIG_TEXT,
     .offset = AT(type),
     .check = config_check_source_type,
     .required = true},
    {.name = "url", .type = CONFIG_TEXT, .offset = AT(url), .check = config_check_url, .required = true},
    {.name = "mapping",
     .type = CONFIG_PATH,
     .offset = AT(mapping),
     .check = config_check_file,
     .required = true},
    {.name = "role", .type = CONFIG_TEXT, .offset = AT(role), .check = config_check_role, .required = true},
    {.name = "feed",
     .type = CONFIG_TEXT,
     .offset = AT(feed),
     .fallback = "public",
     .check = config_check_name},
    {.name = "token-file", .type = CONFIG_PATH, .offset = AT(token_file), .check = config_check_secret_file},
    {.name = "tls-pins", .type = CONFIG_LIST, .offset = AT(tls_pins), .check = config_check_pin},
    {.name = "tls-ca-file", .type = CONFIG_PATH, .offset = AT(tls_ca_file), .check = config_check_file},
    {.name = "areas", .type = CONFIG_LIST, .offset = AT(areas), .check = config_check_area},
    {.name = "every",
     .type = CONFIG_DURATION,
     .offset = AT(every_ms),
     .fallback = "6h",
     .min = SECOND_MS,
     .max = 31 * DAY_MS},
    {.name = "missing-runs",
     .type = CONFIG_NUMBER,
     .offset = AT(missing_runs),
     .fallback = "2",
     .min = 1,
     .max = 1000},
    {.name = "missing-for",
     .type = CONFIG_DURATION,
     .offset = AT(missing_for_ms),
     .fallback = "3 days",
     .max = 3650 * DAY_MS},
    {.name = "fuse-percent",
     .type = CONFIG_NUMBER,
     .offset = AT(fuse_percent),
     .fallback = "20",
     .min = 1,
     .max = 100},
    {.name = "fuse-rows",
     .type = CONFIG_NUMBER,
     .offset = AT(fuse_rows),
     .fallback = "3",
     .min = 1,
     .max = 50},
    /* a register of 100,000 contracts is some 100 MB */
    {.name = "max-size",
     .type = CONFIG_SIZE,
     .offset = AT(max_size_bytes),
     .fallback = "256 MiB",
     .min = 1024,
     .max = 16LL * 1024 * 1024 * 1024},
};
#undef AT

#define AT(field) offsetof(struct config_writer, field)
static const struct config_key writer_keys[] = {
    {.name = "token-file",
     .type = CONFIG_PATH,
     .offset = AT(token_file),
     .check = config_check_secret_file,
     .required = true},
    {.name = "role", .type = CONFIG_TEXT, .offset = AT(role), .check = config_check_role, .required = true},
    {.name = "kinds", .type = CONFIG_LIST, .offset = AT(kinds), .check = config_check_kind},
    {.name = "feeds",
     .type = CONFIG_LIST,
     .offset = AT(feeds),
     .fallback = "public",
     .check = config_check_name},
    {.name = "on-behalf-of", .type = CONFIG_TEXT, .offset = AT(on_behalf_of), .check = config_check_uuid},
};
#undef AT

#define AT(field) offsetof(struct config_group, field)
static const struct config_key group_keys[] = {
    {.name = "order", .type = CONFIG_LIST, .offset = AT(order), .check = config_check_order},
    {.name = "stale-after",
     .type = CONFIG_TEXT,
     .offset = AT(stale_after),
     .check = config_check_stale_after},
};
#undef AT

const struct config_kind config_kinds[] = {
    {"", false, top_keys, COUNT(top_keys), "-"},
    {"node", false, node_keys, COUNT(node_keys), NULL},
    {"feed", true, feed_keys, COUNT(feed_keys), NULL},
    {"listen", true, listen_keys, COUNT(listen_keys), NULL},
    {"peer", true, peer_keys, COUNT(peer_keys), NULL},
    {"source", true, source_keys, COUNT(source_keys), NULL},
    {"writer", true, writer_keys, COUNT(writer_keys), NULL},
    {"policy", false, NULL, 0, NULL},
    {"group", true, group_keys, COUNT(group_keys), "policy"},
};
const size_t config_kind_count = COUNT(config_kinds);

/* ---- filling a section's struct ---- */

const struct config_item *config_item(const struct config_section *section, const char *key)
{
    for (size_t i = 0; i < section->count; i++)
        if (strcmp(section->items[i].key->name, key) == 0)
            return &section->items[i];
    return NULL;
}

static int out_of_range(const struct config_key *key, int64_t value)
{
    if (key->min == 0 && key->max == 0)
        return 0;
    return value < key->min ? -1 : value > key->max ? 1 : 0;
}

/* How a bound is written by people: in the unit of the key's type. */
static void format_bound(const struct config_key *key, int64_t value, char *text, size_t size)
{
    if (key->type == CONFIG_DURATION && value % DAY_MS == 0 && value > 0)
        snprintf(text, size, "%lld days", (long long)(value / DAY_MS));
    else if (key->type == CONFIG_DURATION)
        snprintf(text, size, "%llds", (long long)(value / SECOND_MS));
    else
        snprintf(text, size, "%lld", (long long)value);
}

static int parse_ranged(const struct config_key *key, const char *text, int64_t *value, struct fault *fault)
{
    uint64_t size = 0;
    int rc = key->type == CONFIG_DURATION ? config_parse_duration(text, value, fault)
             : key->type == CONFIG_SIZE   ? config_parse_size(text, &size, fault)
                                          : config_parse_number(text, value, fault);
    if (rc < 0)
        return rc;
    if (key->type == CONFIG_SIZE)
        *value = (int64_t)size;
    int side = out_of_range(key, *value);
    if (side == 0)
        return 0;
    char bound[32];
    format_bound(key, side < 0 ? key->min : key->max, bound, sizeof(bound));
    return fault_set(fault, KAART_INVALID, "\"%s\" is %s %s", text, side < 0 ? "less than" : "more than",
                     bound);
}

/* One value (or one member of a list) into its field. `resolved`: of a path. */
static int put_value(const struct config_key *key, const char *text, void *field, struct fault *fault)
{
    int64_t number = 0;
    int rc = 0;
    switch (key->type) {
    case CONFIG_TEXT:
    case CONFIG_PATH: {
        char *copy = strdup(text);
        if (!copy)
            return KAART_NOMEM;
        free(*(char **)field);
        *(char **)field = copy;
        return 0;
    }
    case CONFIG_LIST:
        if (config_list_has(*(char ***)field, text))
            return fault_set(fault, KAART_INVALID, "\"%s\" is listed twice", text);
        return config_list_add(field, text) ? 0 : KAART_NOMEM;
    case CONFIG_YES_NO:
        return config_parse_yes_no(text, field, fault);
    case CONFIG_NUMBER:
    case CONFIG_DURATION:
    case CONFIG_SIZE:
        rc = parse_ranged(key, text, &number, fault);
        if (rc < 0)
            return rc;
        if (key->type == CONFIG_NUMBER)
            *(unsigned *)field = (unsigned)number;
        else if (key->type == CONFIG_DURATION)
            *(int64_t *)field = number;
        else
            *(uint64_t *)field = (uint64_t)number;
        return 0;
    case CONFIG_OTHER:
    case CONFIG_OTHER_LIST:
        break;
    }
    return 0;
}

static int put_fallback(const struct config_key *key, void *field)
{
    if (!key->fallback)
        return 0;
    if (key->type != CONFIG_LIST)
        return put_value(key, key->fallback, field, NULL);
    char *copy = strdup(key->fallback), *rest = copy;
    int rc = copy ? 0 : KAART_NOMEM;
    for (char *word; rc == 0 && (word = strsep(&rest, " "));)
        rc = put_value(key, word, field, NULL);
    free(copy);
    return rc;
}

static int put_item(struct config_reader *reader, const struct config_section *section,
                    const struct config_item *item, void *field, struct fault *fault)
{
    const struct config_key *key = item->key;
    char *path = key->type == CONFIG_PATH ? config_resolve_path(reader, section->file, item->value) : NULL;
    const char *value = path ? path : item->value;
    int rc = key->type == CONFIG_PATH && !path ? KAART_NOMEM : 0;
    if (rc == 0)
        rc = put_value(key, value, field, fault);
    if (rc == 0 && key->check && !reader->node_only && !(reader->policy_only && key->type == CONFIG_PATH))
        rc = key->check(value, fault);
    free(path);
    return rc;
}

void config_fill(struct config_reader *reader, const struct config_section *section, void *target)
{
    const struct config_kind *kind = section->kind;
    for (size_t k = 0; k < kind->key_count; k++) {
        const struct config_key *key = &kind->keys[k];
        void *field = (char *)target + key->offset;
        bool present = false;
        if (key->type == CONFIG_LIST && !(*(char ***)field = calloc(1, sizeof(char *))))
            reader->nomem = true;
        for (size_t i = 0; i < section->count; i++) {
            const struct config_item *item = &section->items[i];
            struct fault fault = {""};
            if (item->key != key || item->value[0] == '\0') /* empty: as if it were not there */
                continue;
            present = true;
            int rc = put_item(reader, section, item, field, &fault);
            if (rc == KAART_NOMEM)
                reader->nomem = true;
            else if (rc < 0)
                config_complain_section(reader, section, item->line, "%s: %s", key->name, fault.text);
        }
        if (present)
            continue;
        if (key->required)
            config_complain_section(reader, section, section->line, "%s is missing", key->name);
        else if (put_fallback(key, field) < 0)
            reader->nomem = true;
    }
}

void config_release(const char *kind_name, void *target)
{
    const struct config_kind *kind = config_kinds;
    while (strcmp(kind->name, kind_name) != 0)
        kind++;
    for (size_t k = 0; k < kind->key_count; k++) {
        void *field = (char *)target + kind->keys[k].offset;
        if (kind->keys[k].type == CONFIG_TEXT || kind->keys[k].type == CONFIG_PATH)
            free(*(char **)field);
        else if (kind->keys[k].type == CONFIG_LIST)
            config_list_free(*(char ***)field);
    }
}

/* ---- lists ---- */

size_t config_list_size(char *const *list)
{
    size_t size = 0;
    while (list && list[size])
        size++;
    return size;
}

bool config_list_add(char ***list, const char *value)
{
    size_t size = config_list_size(*list);
    char **grown = realloc(*list, (size + 2) * sizeof(char *));
    if (!grown)
        return false;
    *list = grown;
    grown[size] = strdup(value);
    grown[size + 1] = NULL;
    return grown[size] != NULL;
}

bool config_list_has(char *const *list, const char *value)
{
    for (size_t i = 0; list && list[i]; i++)
        if (strcmp(list[i], value) == 0)
            return true;
    return false;
}

void config_list_free(char **list)
{
    for (size_t i = 0; list && list[i]; i++)
        free(list[i]);
    free(list);
}
