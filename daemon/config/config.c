/*
 * config.c - the configuration as a whole: which files, in which order, and what is asked of it afterwards.
 */
#include "daemon/config/config_private.h"

#include <dirent.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

/* ---- complaints ---- */

static void complain(struct config_reader *reader, size_t file, int line, const char *text)
{
    if (reader->complaint_count >= CONFIG_ERRORS_MAX)
        return;
    for (size_t i = 0; i < reader->complaint_count; i++) /* a file that is parsed again says the same again */
        if (reader->complaints[i].file == file && reader->complaints[i].line == line &&
            strcmp(reader->complaints[i].text, text) == 0)
            return;
    struct config_complaint *grown =
        realloc(reader->complaints, (reader->complaint_count + 1) * sizeof(struct config_complaint));
    if (grown)
        reader->complaints = grown;
    char *copy = grown ? strdup(text) : NULL;
    if (!copy) {
        reader->nomem = true;
        return;
    }
    reader->complaints[reader->complaint_count] =
        (struct config_complaint){.file = file, .line = line, .order = reader->complaint_count, .text = copy};
    reader->complaint_count++;
}

void config_complain(struct config_reader *reader, size_t file, int line, const char *format, ...)
{
    struct fault text;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text.text, sizeof(text.text), format, arguments);
    va_end(arguments);
    complain(reader, file, line, text.text);
}

void config_complain_section(struct config_reader *reader, const struct config_section *section, int line,
                             const char *format, ...)
{
    char text[1024];
    int used = 0;
    if (section->kind->name[0] != '\0')
        used = snprintf(text, sizeof(text), "%s%s%.64s: ", section->kind->name, section->title ? " " : "",
                        section->title ? section->title : "");
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text + used, sizeof(text) - (size_t)used, format, arguments);
    va_end(arguments);
    complain(reader, section->file, line, text);
}

static int by_place(const void *a, const void *b)
{
    const struct config_complaint *x = a, *y = b;
    if (x->file != y->file)
        return x->file < y->file ? -1 : 1;
    if (x->line != y->line)
        return x->line < y->line ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

static void print_complaints(struct config_reader *reader, FILE *errors)
{
    if (reader->complaint_count > 1)
        qsort(reader->complaints, reader->complaint_count, sizeof(reader->complaints[0]), by_place);
    for (size_t i = 0; i < reader->complaint_count; i++) {
        struct config_complaint *complaint = &reader->complaints[i];
        for (char *c = complaint->text; *c; c++)
            if ((unsigned char)*c < ' ' || *c == 0x7f)
                *c = '?';
        if (complaint->line > 0)
            fprintf(errors, "%s:%d: %s\n", reader->files[complaint->file], complaint->line, complaint->text);
        else
            fprintf(errors, "%s: %s\n", reader->files[complaint->file], complaint->text);
    }
    if (reader->complaint_count >= CONFIG_ERRORS_MAX)
        fprintf(errors, "%s: more errors than are worth listing\n", reader->files[0]);
}

/* ---- files ---- */

char *config_resolve_path(const struct config_reader *reader, size_t file, const char *value)
{
    const char *slash = strrchr(reader->files[file], '/');
    if (value[0] == '/' || !slash)
        return strdup(value);
    size_t directory = (size_t)(slash - reader->files[file]) + 1, size = directory + strlen(value) + 1;
    char *path = malloc(size);
    if (path)
        snprintf(path, size, "%.*s%s", (int)directory, reader->files[file], value);
    return path;
}

static int is_configuration(const struct dirent *entry)
{
    size_t size = strlen(entry->d_name);
    return entry->d_name[0] != '.' && size > 5 && strcmp(entry->d_name + size - 5, ".conf") == 0;
}

static void parse_directory(struct config_reader *reader, size_t file, const struct config_item *item)
{
    struct dirent **entries = NULL;
    char *directory = config_resolve_path(reader, file, item->value);
    int count = directory ? scandir(directory, &entries, is_configuration, alphasort) : -1;
    if (!directory)
        reader->nomem = true;
    else if (count < 0)
        config_complain(reader, file, item->line, "include-dir: %s cannot be read: %s", directory,
                        strerror(errno));
    else if (count > CONFIG_FILES_MAX)
        config_complain(reader, file, item->line, "include-dir: %s holds more than %d files", directory,
                        CONFIG_FILES_MAX);
    for (int i = 0; i < count; i++) {
        size_t size = directory ? strlen(directory) + strlen(entries[i]->d_name) + 2 : 0;
        char *path = malloc(size);
        if (path && count <= CONFIG_FILES_MAX) {
            snprintf(path, size, "%s/%s", directory, entries[i]->d_name);
            config_parse_file(reader, path);
        } else if (!path) {
            reader->nomem = true;
        }
        free(path);
        free(entries[i]);
    }
    free(entries);
    free(directory);
}

/* The include-dir of the main file; an included file may not include. */
static void parse_included(struct config_reader *reader)
{
    for (size_t s = 0; s < reader->section_count; s++) {
        const struct config_section *section = reader->sections[s];
        const struct config_item *item =
            section->kind == &config_kinds[0] ? config_item(section, "include-dir") : NULL;
        if (!item || item->value[0] == '\0')
            continue;
        if (section->file == 0)
            parse_directory(reader, section->file, item);
        else
            config_complain(reader, section->file, item->line,
                            "include-dir: only the main file may include others");
    }
}

static void reader_clear(struct config_reader *reader)
{
    for (size_t i = 0; i < reader->section_count; i++)
        config_section_free(reader->sections[i]);
    for (size_t i = 0; i < reader->complaint_count; i++)
        free(reader->complaints[i].text);
    for (size_t i = 0; i < reader->file_count; i++)
        free(reader->files[i]);
    free(reader->sections);
    free(reader->complaints);
    free(reader->files);
}

static int load(const char *path, bool node_only, bool policy_only, FILE *errors, struct config **out)
{
    int rc = 0;
    struct config_reader reader = {.node_only = node_only, .policy_only = policy_only};
    reader.config = calloc(1, sizeof(*reader.config));
    if (!reader.config || !(reader.config->path = strdup(path))) {
        reader.nomem = true;
        goto out;
    }
    config_parse_file(&reader, path);
    if (!node_only)
        parse_included(&reader);
    if (!reader.nomem)
        config_take_sections(&reader);
    if (!reader.nomem && !node_only && !policy_only)
        config_cross_check(&reader);
    print_complaints(&reader, errors);
out:
    if (reader.nomem) {
        fprintf(errors, "%s: out of memory\n", path);
        rc = KAART_NOMEM;
    } else if (reader.complaint_count > 0) {
        rc = reader.io ? KAART_IO : KAART_INVALID;
    }
    bool usable = node_only && reader.config && reader.config->node.name && reader.config->node.socket;
    if (rc == 0 || usable) {
        *out = reader.config;
        reader.config = NULL;
    }
    config_free(reader.config);
    reader_clear(&reader);
    return rc;
}

int config_load(const char *path, FILE *errors, struct config **out)
{
    return load(path, false, false, errors, out);
}

int config_load_node(const char *path, FILE *errors, struct config **out)
{
    return load(path, true, false, errors, out);
}

int config_load_policy(const char *path, FILE *errors, struct config **out)
{
    return load(path, false, true, errors, out);
}

static void free_feed(struct config_feed *feed)
{
    OPENSSL_cleanse(&feed->key, sizeof(feed->key));
    OPENSSL_cleanse(&feed->next_key, sizeof(feed->next_key));
    config_release("feed", feed);
    free(feed->audience);
    free(feed->name);
    free(feed->file);
}

void config_free(struct config *config)
{
    if (!config)
        return;
    config_release("node", &config->node);
    free(config->node.file);
    for (size_t i = 0; i < config->feed_count; i++)
        free_feed(&config->feeds[i]);
    for (size_t i = 0; i < config->listen_count; i++) {
        config_release("listen", &config->listens[i]);
        free(config->listens[i].title);
        free(config->listens[i].host);
        free(config->listens[i].file);
    }
    for (size_t i = 0; i < config->peer_count; i++) {
        config_release("peer", &config->peers[i]);
        free(config->peers[i].name);
        free(config->peers[i].feed_keys);
        free(config->peers[i].file);
    }
    for (size_t i = 0; i < config->source_count; i++) {
        config_release("source", &config->sources[i]);
        free(config->sources[i].name);
        free(config->sources[i].file);
    }
    for (size_t i = 0; i < config->writer_count; i++) {
        config_release("writer", &config->writers[i]);
        free(config->writers[i].name);
        free(config->writers[i].file);
    }
    for (size_t i = 0; i < config->group_count; i++) {
        config_release("group", &config->groups[i]);
        free(config->groups[i].name);
        free(config->groups[i].file);
    }
    free(config->feeds);
    free(config->listens);
    free(config->peers);
    free(config->sources);
    free(config->writers);
    free(config->groups);
    free(config->path);
    free(config);
}

/* ---- look-ups ---- */

const struct config_peer *config_peer(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->peer_count; i++)
        if (strcmp(config->peers[i].name, name) == 0)
            return &config->peers[i];
    return NULL;
}

const struct config_source *config_source(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->source_count; i++)
        if (strcmp(config->sources[i].name, name) == 0)
            return &config->sources[i];
    return NULL;
}

const struct config_feed *config_feed(const struct config *config, const char *audience)
{
    for (size_t i = 0; i < config->feed_count; i++)
        if (strcmp(config->feeds[i].audience, audience) == 0)
            return &config->feeds[i];
    return NULL;
}

static size_t add_key(struct verifier_key keys[FEED_KEYS_MAX], size_t count, const struct verifier_key *key)
{
    for (size_t i = 0; i < count; i++)
        if (memcmp(keys[i].public_key, key->public_key, ED25519_SIZE) == 0)
            return count;
    if (count < FEED_KEYS_MAX)
        keys[count++] = *key;
    return count;
}

size_t config_feed_keys(const struct config *config, const char *feed,
                        struct verifier_key keys[FEED_KEYS_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < config->feed_count; i++) {
        const struct config_feed *own = &config->feeds[i];
        if (strcmp(own->name, feed) != 0)
            continue;
        count = add_key(keys, count, &own->key.verifier);
        if (own->next_key_path)
            count = add_key(keys, count, &own->next_key.verifier);
    }
    for (size_t i = 0; i < config->peer_count; i++)
        for (size_t k = 0; k < config->peers[i].feed_key_count; k++)
            if (strcmp(config->peers[i].feed_keys[k].name, feed) == 0)
                count = add_key(keys, count, &config->peers[i].feed_keys[k]);
    return count;
}
