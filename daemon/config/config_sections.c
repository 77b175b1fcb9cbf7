/*
 * config_sections.c - each section into its struct, with the checks that one section alone allows.
 */
#include "daemon/config/config_private.h"
#include "protocol/syntax.h"

#include <stdlib.h>
#include <string.h>

/* Room for one more element at the end of an array; NULL without memory. */
static void *grow(void *array_pointer, size_t *count, size_t size)
{
    void *array = *(void **)array_pointer;
    void *grown = realloc(array, (*count + 1) * size);
    if (!grown)
        return NULL;
    *(void **)array_pointer = grown;
    void *element = (char *)grown + *count * size;
    memset(element, 0, size);
    (*count)++;
    return element;
}

/* Title, file and line, which every struct keeps. */
static void take_place(struct config_reader *reader, const struct config_section *section, char **title,
                       char **file, int *line)
{
    *line = section->line;
    *file = strdup(reader->files[section->file]);
    if (title)
        *title = strdup(section->title);
    if (!*file || (title && !*title))
        reader->nomem = true;
}

static void say_duplicate(struct config_reader *reader, const struct config_section *section,
                          const char *file, int line)
{
    config_complain_section(reader, section, section->line, "stands twice (first at %s:%d)", file, line);
}

static void check_title(struct config_reader *reader, const struct config_section *section,
                        config_check *check)
{
    struct fault fault;
    if (check(section->title, &fault) < 0)
        config_complain_section(reader, section, section->line, "%s", fault.text);
}

/* ---- node ---- */

static char *below(const char *directory, const char *name)
{
    size_t size = strlen(directory) + strlen(name) + 2;
    char *path = malloc(size);
    if (path)
        snprintf(path, size, "%s/%s", directory, name);
    return path;
}

static void take_node(struct config_reader *reader, const struct config_section *section)
{
    struct config_node *node = &reader->config->node;
    if (node->file) {
        say_duplicate(reader, section, node->file, node->line);
        return;
    }
    take_place(reader, section, NULL, &node->file, &node->line);
    config_fill(reader, section, node);
    const struct config_item *wait = config_item(section, "guard-wait");
    struct fault fault;
    node->guard_wait_ms = 60 * 60 * 1000;
    if (wait && strcmp(wait->value, "never") == 0)
        node->guard_wait_ms = -1;
    else if (wait && config_parse_duration(wait->value, &node->guard_wait_ms, &fault) < 0)
        config_complain_section(reader, section, wait->line, "guard-wait: %s, or \"never\"", fault.text);
    if (!node->client_certificate != !node->client_key)
        config_complain_section(reader, section, section->line,
                                "client-certificate and client-key belong together; %s is missing",
                                node->client_key ? "client-certificate" : "client-key");
    if (node->state && !node->own_head && !(node->own_head = below(node->state, "own-head")))
        reader->nomem = true;
    if (node->state && !node->socket && !(node->socket = below(node->state, "kaartd.socket")))
        reader->nomem = true;
    /* sockaddr_un */
    if (node->socket && strlen(node->socket) > 107)
        config_complain_section(
            reader, section, section->line,
            "the socket's path is longer than the system allows (107 bytes): %s; set socket to a shorter one",
            node->socket);
}

/* ---- feed ---- */

static void read_feed_key(struct config_reader *reader, const struct config_section *section,
                          const struct config_feed *feed, const char *key_name, const char *path,
                          struct signing_key *key)
{
    struct fault fault;
    const struct config_item *item = config_item(section, key_name);
    if (!path || !item || reader->node_only || reader->policy_only)
        return;
    if (config_read_signing_key(path, key, &fault) < 0)
        config_complain_section(reader, section, item->line, "%s: %s", key_name, fault.text);
    else if (feed->name && strcmp(key->verifier.name, feed->name) != 0)
        config_complain_section(reader, section, item->line, "%s: %s is a key of %s, not of %s", key_name,
                                path, key->verifier.name, feed->name);
}

static void take_feed(struct config_reader *reader, const struct config_section *section)
{
    struct config *config = reader->config;
    const struct config_feed *earlier = config_feed(config, section->title);
    if (earlier)
        say_duplicate(reader, section, earlier->file, earlier->line);
    struct config_feed *feed = grow(&config->feeds, &config->feed_count, sizeof(*feed));
    if (!feed) {
        reader->nomem = true;
        return;
    }
    take_place(reader, section, &feed->audience, &feed->file, &feed->line);
    check_title(reader, section, config_check_name);
    config_fill(reader, section, feed);
    if (config->node.name && !(feed->name = below(config->node.name, section->title)))
        reader->nomem = true;
    read_feed_key(reader, section, feed, "key", feed->key_path, &feed->key);
    read_feed_key(reader, section, feed, "next-key", feed->next_key_path, &feed->next_key);
    if (feed->readers[0] && strcmp(section->title, "public") == 0)
        config_complain_section(reader, section, config_item(section, "readers")->line,
                                "readers: everybody may read the public feed");
}

/* ---- listen ---- */

static void take_listen(struct config_reader *reader, const struct config_section *section)
{
    struct config *config = reader->config;
    for (size_t i = 0; i < config->listen_count; i++)
        if (strcmp(config->listens[i].title, section->title) == 0)
            say_duplicate(reader, section, config->listens[i].file, config->listens[i].line);
    struct config_listen *listener = grow(&config->listens, &config->listen_count, sizeof(*listener));
    if (!listener) {
        reader->nomem = true;
        return;
    }
    take_place(reader, section, &listener->title, &listener->file, &listener->line);
    config_fill(reader, section, listener);
    const struct config_item *address = config_item(section, "address");
    struct fault fault;
    if (address && config_parse_address(address->value, &listener->host, &listener->port, &fault) < 0)
        config_complain_section(reader, section, address->line, "address: %s", fault.text);
    if (!listener->tls_certificate != !listener->tls_key)
        config_complain_section(reader, section, section->line,
                                "tls-certificate and tls-key belong together; %s is missing",
                                listener->tls_key ? "tls-certificate" : "tls-key");
    else if (!listener->tls_key && !listener->behind_proxy[0] && listener->host &&
             !config_is_loopback(listener->host))
        config_complain_section(reader, section, address->line,
                                "plain http is refused on %s: set tls-certificate and tls-key, or "
                                "behind-proxy to the addresses of the "
                                "proxy that ends TLS",
                                listener->host);
}

/* ---- peer ---- */

/* https, or http to a loopback address where the node allows it; without the trailing slash. */
static void check_url(struct config_reader *reader, const struct config_section *section, char *url)
{
    const struct config_item *item = config_item(section, "url");
    char host[128] = "";
    if (!url || !item)
        return;
    size_t size = strlen(url);
    while (size > 0 && url[size - 1] == '/' && strcmp(section->kind->name, "peer") == 0)
        url[--size] = '\0';
    if (strcmp(section->kind->name, "peer") == 0 && strpbrk(url, "?"))
        config_complain_section(reader, section, item->line,
                                "url: \"%s\" has a query; a peer's URL is where its /v1 begins", url);
    if (strncmp(url, "http://", 7) != 0)
        return;
    const char *start = url + 7;
    bool bracketed = start[0] == '[';
    snprintf(host, sizeof(host), "%.*s", (int)strcspn(start + bracketed, bracketed ? "]" : ":/?"),
             start + bracketed);
    if (!config_is_loopback(host))
        config_complain_section(reader, section, item->line, "url: plain http is refused: use https");
    else if (!reader->config->node.allow_plain_http)
        config_complain_section(reader, section, item->line,
                                "url: plain http is refused: use https, or, on one machine, allow-plain-http "
                                "= yes in the node section");
}

static bool same_key(const struct verifier_key *a, const struct verifier_key *b)
{
    return strcmp(a->name, b->name) == 0 && memcmp(a->public_key, b->public_key, sizeof(a->public_key)) == 0;
}

static void take_feed_key(struct config_reader *reader, const struct config_section *section,
                          struct config_peer *peer, const struct config_item *item)
{
    struct verifier_key key;
    struct fault fault;
    size_t same_feed = 0;
    if (verifier_key_parse(item->value, strlen(item->value), &key, &fault) < 0) {
        config_complain_section(reader, section, item->line, "feed-keys: %s", fault.text);
        return;
    }
    size_t origin_size = strcspn(key.name, "/");
    const char *own = reader->config->node.name;
    if (own && strlen(own) == origin_size && strncmp(key.name, own, origin_size) == 0)
        config_complain_section(reader, section, item->line, "feed-keys: %s is a feed of this node itself",
                                key.name);
    else if (!peer->relay &&
             (strlen(peer->name) != origin_size || strncmp(key.name, peer->name, origin_size) != 0))
        config_complain_section(reader, section, item->line,
                                "feed-keys: the key of %s is another origin's; only a peer with relay = yes "
                                "brings feeds of others",
                                key.name);
    for (size_t i = 0; i < peer->feed_key_count; i++) {
        same_feed += strcmp(peer->feed_keys[i].name, key.name) == 0;
        if (same_key(&peer->feed_keys[i], &key)) {
            config_complain_section(reader, section, item->line, "feed-keys: this key of %s is listed twice",
                                    key.name);
            return;
        }
    }
    if (same_feed == FEED_KEYS_MAX)
        config_complain_section(reader, section, item->line, "feed-keys: %s has more than %d keys", key.name,
                                FEED_KEYS_MAX);
    struct verifier_key *added = grow(&peer->feed_keys, &peer->feed_key_count, sizeof(key));
    if (!added)
        reader->nomem = true;
    else
        *added = key;
}

static void check_peer(struct config_reader *reader, const struct config_section *section,
                       struct config_peer *peer)
{
    if (reader->config->node.name && strcmp(peer->name, reader->config->node.name) == 0)
        config_complain_section(reader, section, section->line, "is this node itself");
    if (!peer->url && peer->push)
        config_complain_section(reader, section, config_item(section, "push")->line,
                                "push: needs the peer's url");
    if (!peer->url && !peer->client_pins[0] && !peer->tls_pins[0])
        config_complain_section(
            reader, section, section->line,
            "has neither url (to pull from it) nor client-pins (to know it when it pushes)");
    if (peer->url && peer->feed_key_count == 0 && !peer->relay && !config_item(section, "feed-keys"))
        config_complain_section(
            reader, section, section->line,
            "feed-keys is missing: ask its operator for what `kaartctl key` prints there");
}

static void take_peer(struct config_reader *reader, const struct config_section *section)
{
    struct config *config = reader->config;
    const struct config_peer *earlier = config_peer(config, section->title);
    if (earlier)
        say_duplicate(reader, section, earlier->file, earlier->line);
    struct config_peer *peer = grow(&config->peers, &config->peer_count, sizeof(*peer));
    if (!peer) {
        reader->nomem = true;
        return;
    }
    take_place(reader, section, &peer->name, &peer->file, &peer->line);
    if (!peer->name)
        return;
    check_title(reader, section, config_check_origin);
    config_fill(reader, section, peer);
    check_url(reader, section, peer->url);
    for (size_t i = 0; i < section->count; i++)
        if (strcmp(section->items[i].key->name, "feed-keys") == 0)
            take_feed_key(reader, section, peer, &section->items[i]);
    check_peer(reader, section, peer);
    for (size_t i = 0; !peer->client_pins[0] && peer->tls_pins[i]; i++)
        if (!config_list_add(&peer->client_pins, peer->tls_pins[i]))
            reader->nomem = true;
}

/* ---- source, writer, policy ---- */

static void take_source(struct config_reader *reader, const struct config_section *section)
{
    struct config *config = reader->config;
    const struct config_source *earlier = config_source(config, section->title);
    if (earlier)
        say_duplicate(reader, section, earlier->file, earlier->line);
    struct config_source *source = grow(&config->sources, &config->source_count, sizeof(*source));
    if (!source) {
        reader->nomem = true;
        return;
    }
    take_place(reader, section, &source->name, &source->file, &source->line);
    check_title(reader, section, config_check_name);
    config_fill(reader, section, source);
    check_url(reader, section, source->url);
    for (size_t i = 0; !source->areas[0] && config->node.areas && config->node.areas[i]; i++)
        if (!config_list_add(&source->areas, config->node.areas[i]))
            reader->nomem = true;
    if (source->token_file && config_item(section, "token-file")) {
        char *token = NULL;
        struct fault fault;
        struct fault permission;
        /* the table's check has spoken about files that cannot be read or that others can read */
        if (config_check_secret_file(source->token_file, &permission) == 0 &&
            config_read_secret(source->token_file, &token, &fault) < 0)
            config_complain_section(reader, section, config_item(section, "token-file")->line,
                                    "token-file: %s", fault.text);
        if (token)
            memset(token, 0, strlen(token));
        free(token);
    }
}

static void take_writer(struct config_reader *reader, const struct config_section *section)
{
    struct config *config = reader->config;
    for (size_t i = 0; i < config->writer_count; i++)
        if (strcmp(config->writers[i].name, section->title) == 0)
            say_duplicate(reader, section, config->writers[i].file, config->writers[i].line);
    struct config_writer *writer = grow(&config->writers, &config->writer_count, sizeof(*writer));
    if (!writer) {
        reader->nomem = true;
        return;
    }
    take_place(reader, section, &writer->name, &writer->file, &writer->line);
    check_title(reader, section, config_check_name);
    config_fill(reader, section, writer);
    bool provider = writer->role && strcmp(writer->role, "provider") == 0;
    if (provider && !writer->on_behalf_of)
        config_complain_section(
            reader, section, section->line,
            "on-behalf-of is missing: a provider's token is bound to the organisation it speaks for");
    if (!provider && writer->role && writer->on_behalf_of)
        config_complain_section(
            reader, section, config_item(section, "on-behalf-of")->line,
            "on-behalf-of: only a provider speaks for an organisation, not a writer in the role %s",
            writer->role);
}

static void take_group(struct config_reader *reader, const struct config_section *section)
{
    struct config *config = reader->config;
    for (size_t i = 0; i < config->group_count; i++)
        if (strcmp(config->groups[i].name, section->title) == 0)
            say_duplicate(reader, section, config->groups[i].file, config->groups[i].line);
    struct config_group *group = grow(&config->groups, &config->group_count, sizeof(*group));
    if (!group) {
        reader->nomem = true;
        return;
    }
    take_place(reader, section, &group->name, &group->file, &group->line);
    check_title(reader, section, config_check_group);
    config_fill(reader, section, group);
}

void config_take_sections(struct config_reader *reader)
{
    static const struct {
        const char *kind;
        void (*take)(struct config_reader *reader, const struct config_section *section);
        bool node_only, policy_only;
    } takers[] = {
        /* node first: others need its name and areas, wherever in the files it stands */
        {"node", take_node, true, true},       {"feed", take_feed, true, true},
        {"listen", take_listen, false, false}, {"peer", take_peer, false, true},
        {"source", take_source, false, false}, {"writer", take_writer, false, false},
        {"group", take_group, false, true},
    };
    for (size_t t = 0; t < sizeof(takers) / sizeof(takers[0]); t++)
        for (size_t i = 0; i < reader->section_count && !reader->nomem; i++)
            if (strcmp(reader->sections[i]->kind->name, takers[t].kind) == 0 &&
                (takers[t].node_only || !reader->node_only) &&
                (takers[t].policy_only || !reader->policy_only))
                takers[t].take(reader, reader->sections[i]);
    if (!reader->config->node.file && !reader->io && !reader->cut_short)
        config_complain(reader, 0, 0, "the node section is missing");
}
