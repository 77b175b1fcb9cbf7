/*
 * maps.c - which maps are open, and which files are maps; see maps.h.
 */
#include "daemon/store/maps.h"

#include "protocol/record.h"
#include "protocol/syntax.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_PREFIX "map-"
#define FILE_SUFFIX ".db"

struct open_map {
    char audience[NAME_MAX_SIZE + 1];
    struct map *map;
};

struct maps {
    char *state;
    bool write;
    struct open_map open[AUDIENCES_MAX];
    size_t count;
    struct audiences kept; /* by the last maps_keep that did all it should */
};

bool audiences_have(const struct audiences *audiences, const char *name)
{
    for (size_t i = 0; i < audiences->count; i++)
        if (strcmp(audiences->names[i], name) == 0)
            return true;
    return false;
}

int audiences_add(struct audiences *audiences, const char *name)
{
    if (audiences_have(audiences, name))
        return KAART_OK;
    if (audiences->count == AUDIENCES_MAX)
        return KAART_LIMIT;
    snprintf(audiences->names[audiences->count++], NAME_MAX_SIZE + 1, "%s", name);
    return KAART_OK;
}

int maps_new(const char *state, bool write, struct maps **out, struct fault *fault)
{
    struct maps *maps = calloc(1, sizeof *maps);
    if (!maps || !(maps->state = strdup(state))) {
        free(maps);
        return fault_set(fault, KAART_NOMEM, "out of memory");
    }
    maps->write = write;
    *out = maps;
    return KAART_OK;
}

void maps_free(struct maps *maps)
{
    if (!maps)
        return;
    for (size_t i = 0; i < maps->count; i++)
        map_close(maps->open[i].map);
    free(maps->state);
    free(maps);
}

static bool is_public(const char *audience)
{
    return strcmp(audience, AUDIENCE_PUBLIC) == 0;
}

/* An audience is a name [a-z][a-z0-9_-]*, so that no path can be made of it that leads elsewhere. */
static int path_of(const struct maps *maps, const char *audience, char path[PATH_MAX], struct fault *fault)
{
    bool named = !is_public(audience);
    if (!syntax_is_name(audience, strlen(audience)))
        return fault_set(fault, KAART_INVALID, "\"%.32s\" is not an audience", audience);
    int size = snprintf(path, PATH_MAX, "%s/map%s%s" FILE_SUFFIX, maps->state, named ? "-" : "",
                        named ? audience : "");
    return size < PATH_MAX ? KAART_OK
                           : fault_set(fault, KAART_INVALID, "the path of the state directory is too long");
}

int maps_get(struct maps *maps, const char *audience, struct map **out, struct fault *fault)
{
    char path[PATH_MAX], feeds_path[PATH_MAX];
    for (size_t i = 0; i < maps->count; i++)
        if (strcmp(maps->open[i].audience, audience) == 0) {
            *out = maps->open[i].map;
            return KAART_OK;
        }
    if (maps->count == AUDIENCES_MAX)
        return fault_set(fault, KAART_LIMIT, "more than %d maps", AUDIENCES_MAX);
    int code = path_of(maps, audience, path, fault);
    if (code)
        return code;
    if (!maps->write && access(path, F_OK) && errno == ENOENT)
        return fault_set(fault, KAART_BUSY,
                         "The map of the audience %s is being made; try again in a moment.", audience);
    snprintf(feeds_path, sizeof feeds_path, "%s/feeds.db", maps->state);
    struct open_map *opened = &maps->open[maps->count];
    code = map_open_audience(path, feeds_path, audience, maps->write, &opened->map, fault);
    if (code)
        return code;
    snprintf(opened->audience, sizeof opened->audience, "%s", audience);
    maps->count++;
    *out = opened->map;
    return KAART_OK;
}

/* ---- those that nobody asks for any more ---- */

static void close_others(struct maps *maps, const struct audiences *audiences)
{
    size_t kept = 0;
    for (size_t i = 0; i < maps->count; i++) {
        if (audiences_have(audiences, maps->open[i].audience))
            maps->open[kept++] = maps->open[i];
        else
            map_close(maps->open[i].map);
    }
    maps->count = kept;
}

/* The audience whose map a file of the state directory is (with its log and index); false for any other file. */
static bool audience_of_file(const char *name, char audience[NAME_MAX_SIZE + 1])
{
    static const char *const ends[] = {FILE_SUFFIX, FILE_SUFFIX "-wal", FILE_SUFFIX "-shm"};
    size_t prefix = strlen(FILE_PREFIX), size = strlen(name);
    if (strncmp(name, FILE_PREFIX, prefix) != 0)
        return false;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        size_t end = strlen(ends[i]);
        if (size <= prefix + end || size - prefix - end > NAME_MAX_SIZE ||
            strcmp(name + size - end, ends[i]) != 0)
            continue;
        snprintf(audience, NAME_MAX_SIZE + 1, "%.*s", (int)(size - prefix - end), name + prefix);
        return syntax_is_name(audience, strlen(audience)) && !is_public(audience);
    }
    return false;
}

static int delete_others(const struct maps *maps, const struct audiences *audiences, struct fault *fault)
{
    int code = KAART_OK;
    DIR *directory = opendir(maps->state);
    if (!directory)
        return fault_set(fault, KAART_IO, "%s cannot be read: %s", maps->state, strerror(errno));
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        char audience[NAME_MAX_SIZE + 1], path[PATH_MAX];
        if (!audience_of_file(entry->d_name, audience) || audiences_have(audiences, audience))
            continue;
        snprintf(path, sizeof path, "%s/%s", maps->state, entry->d_name);
        if (unlink(path) && errno != ENOENT)
            code = fault_set(fault, KAART_IO, "%s cannot be deleted: %s", path, strerror(errno));
    }
    closedir(directory);
    return code;
}

static bool same_audiences(const struct audiences *a, const struct audiences *b)
{
    for (size_t i = 0; i < a->count; i++)
        if (!audiences_have(b, a->names[i]))
            return false;
    return a->count == b->count;
}

int maps_keep(struct maps *maps, const struct audiences *audiences, struct fault *fault)
{
    if (same_audiences(&maps->kept, audiences))
        return KAART_OK;
    close_others(maps, audiences);
    int code = maps->write ? delete_others(maps, audiences, fault) : KAART_OK;
    if (!code)
        maps->kept = *audiences;
    return code;
}
