/*
 * config_cross.c - what only the whole configuration shows: names that must exist elsewhere, keys that must
 * differ, addresses used twice.
 */
#include "daemon/config/audience_config.h"
#include "daemon/config/config_private.h"

#include <string.h>

/* Every member of a list `key` in sections of `kind` must be accepted by `known`. */
static void check_names(struct config_reader *reader, const char *kind, const char *key,
                        const char *(*known)(const struct config *config, const char *value))
{
    for (size_t s = 0; s < reader->section_count; s++) {
        const struct config_section *section = reader->sections[s];
        if (strcmp(section->kind->name, kind) != 0)
            continue;
        for (size_t i = 0; i < section->count; i++) {
            const struct config_item *item = &section->items[i];
            if (strcmp(item->key->name, key) != 0 || item->value[0] == '\0')
                continue;
            const char *complaint = known(reader->config, item->value);
            if (complaint)
                config_complain_section(reader, section, item->line, "%s: \"%s\" %s", key, item->value,
                                        complaint);
        }
    }
}

static const char *known_reader(const struct config *config, const char *name)
{
    const struct config_peer *peer = config_peer(config, name);
    if (!peer)
        return "is no peer in this configuration";
    if (!peer->client_pins[0])
        return "has no client-pins, by which it would be known; a restricted feed needs mutual TLS";
    return NULL;
}

static const char *known_guard(const struct config *config, const char *name)
{
    const struct config_peer *peer = config_peer(config, name);
    if (!peer)
        return "is no peer in this configuration";
    return peer->url ? NULL : "has no url, so it cannot be asked";
}

static const char *known_feed(const struct config *config, const char *name)
{
    return config_feed(config, name) ? NULL : "is no feed of this node (there is no such feed section)";
}

/* Nobody reads what a source brings before it shows; what residents say waits for an editor. [REV-1] */
static const char *source_role(const struct config *config, const char *role)
{
    (void)config;
    return strcmp(role, "resident") == 0
               ? "is for what an editor approves one by one (kaartctl review); a source takes another role"
               : NULL;
}

static const struct config_section *section_at(const struct config_reader *reader, const char *kind,
                                               const char *file, int line)
{
    for (size_t s = 0; s < reader->section_count; s++) {
        const struct config_section *section = reader->sections[s];
        if (strcmp(section->kind->name, kind) == 0 && section->line == line &&
            strcmp(reader->files[section->file], file) == 0)
            return section;
    }
    return NULL;
}

/* A restricted feed has its own key; a key used twice would let one feed's head be shown as the other's. */
static void check_own_keys(struct config_reader *reader)
{
    static const uint8_t unread[ED25519_SIZE];
    const struct config *config = reader->config;
    for (size_t i = 0; i < config->feed_count; i++)
        for (size_t j = 0; j < i; j++) {
            const struct config_feed *a = &config->feeds[i], *b = &config->feeds[j];
            const struct config_section *section = section_at(reader, "feed", a->file, a->line);
            if (section && memcmp(a->key.verifier.public_key, unread, ED25519_SIZE) != 0 &&
                memcmp(a->key.verifier.public_key, b->key.verifier.public_key, ED25519_SIZE) == 0)
                config_complain_section(reader, section, a->line,
                                        "key: is also the key of feed %s; make one with kaartctl keygen",
                                        b->audience);
        }
}

static void check_listens(struct config_reader *reader)
{
    const struct config *config = reader->config;
    for (size_t i = 0; i < config->listen_count; i++)
        for (size_t j = 0; j < i; j++) {
            const struct config_listen *a = &config->listens[i], *b = &config->listens[j];
            const struct config_section *section = section_at(reader, "listen", a->file, a->line);
            if (section && a->host && b->host && a->port != 0 && a->port == b->port &&
                strcmp(a->host, b->host) == 0)
                config_complain_section(reader, section, a->line, "address: listen %s has the same (%s:%d)",
                                        b->title, b->file, b->line);
        }
}

/* Each gets a map of its own. */
static void check_audiences(struct config_reader *reader)
{
    const struct config *config = reader->config;
    struct audiences audiences;
    const struct config_section *section = section_at(reader, "node", config->node.file, config->node.line);
    if (section && audiences_from_config(config, &audiences) == KAART_LIMIT)
        config_complain_section(reader, section, config->node.line,
                                "the feeds and the peers' feed-keys are of more than %d audiences",
                                AUDIENCES_MAX);
}

void config_cross_check(struct config_reader *reader)
{
    check_names(reader, "feed", "readers", known_reader);
    check_names(reader, "node", "guard-ask", known_guard);
    check_names(reader, "source", "feed", known_feed);
    check_names(reader, "source", "role", source_role);
    check_names(reader, "writer", "feeds", known_feed);
    check_own_keys(reader);
    check_listens(reader);
    check_audiences(reader);
}
