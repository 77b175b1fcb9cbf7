/*
 * own_head.c - the own-head copy: a small file, best on another disk, that remembers the newest note of each
 * own feed, so that a node restored from an old backup notices before it signs a second history. spec/feed.md
 * [GUARD-1].
 *
 * NDJSON: one line {"checkpoint":"<note>"} for each feed. Replaced as a whole: PATH.new is written and
 * synced, renamed, and the directory synced.
 */
#include "daemon/store/feeds_internal.h"
#include "protocol/json.h"
#include "protocol/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A node has one feed for each audience: a handful of notes of some 400 bytes. */
#define OWN_HEADS_MAX 256
#define OWN_HEADS_SIZE_MAX (OWN_HEADS_MAX * 2 * NOTE_SIZE_MAX)

struct own_heads {
    struct {
        char *note;
        size_t size;
        struct checkpoint checkpoint;
    } items[OWN_HEADS_MAX];
    size_t count;
};

void own_heads_free(struct own_heads *heads)
{
    if (heads == NULL)
        return;
    for (size_t i = 0; i < heads->count; i++)
        free(heads->items[i].note);
    free(heads);
}

bool own_heads_get(const struct own_heads *heads, const char *name, const char **note, size_t *size,
                   struct checkpoint *checkpoint)
{
    for (size_t i = 0; i < heads->count; i++) {
        if (strcmp(heads->items[i].checkpoint.feed, name) != 0)
            continue;
        *note = heads->items[i].note;
        *size = heads->items[i].size;
        *checkpoint = heads->items[i].checkpoint;
        return true;
    }
    return false;
}

int own_heads_set(struct own_heads *heads, const char *name, const char *note, size_t size,
                  struct fault *fault)
{
    struct checkpoint checkpoint;
    size_t i = 0;
    int code = note_checkpoint(note, size, &checkpoint, fault);
    if (code != KAART_OK)
        return code;
    if (strcmp(checkpoint.feed, name) != 0)
        return fault_set(fault, KAART_INVALID, "a note of %s is no head of %s", checkpoint.feed, name);
    while (i < heads->count && strcmp(heads->items[i].checkpoint.feed, name) != 0)
        i++;
    if (i == OWN_HEADS_MAX)
        return fault_set(fault, KAART_LIMIT, "more than %d own feeds", OWN_HEADS_MAX);
    char *copy = malloc(size + 1);
    if (copy == NULL)
        return fault_set(fault, KAART_NOMEM, "no memory");
    memcpy(copy, note, size);
    copy[size] = '\0';
    if (i == heads->count)
        heads->count++;
    free(heads->items[i].note);
    heads->items[i].note = copy;
    heads->items[i].size = size;
    heads->items[i].checkpoint = checkpoint;
    return KAART_OK;
}

static int read_line(struct own_heads *heads, const char *line, size_t size, struct fault *fault)
{
    struct checkpoint checkpoint;
    cJSON *object = json_parse(line, size, fault);
    const char *note = json_get_string(object, "checkpoint");
    int code = KAART_OK;
    if (note == NULL || strlen(note) > NOTE_SIZE_MAX ||
        note_checkpoint(note, strlen(note), &checkpoint, fault) != KAART_OK)
        code = fault_set(fault, KAART_CORRUPT, "a line is no checkpoint");
    if (code == KAART_OK)
        code = own_heads_set(heads, checkpoint.feed, note, strlen(note), fault);
    cJSON_Delete(object);
    return code;
}

/* The whole file, malloc'ed; *bytes NULL if there is none. */
static int read_file(const char *path, char **bytes, size_t *size, struct fault *fault)
{
    struct stat status;
    int code = KAART_OK;
    *bytes = NULL;
    *size = 0;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return errno == ENOENT ? KAART_OK
                               : fault_set(fault, KAART_IO, "own-head copy %s: %s", path, strerror(errno));
    if (fstat(file, &status) != 0 || !S_ISREG(status.st_mode) || status.st_size > OWN_HEADS_SIZE_MAX) {
        code = fault_set(fault, KAART_IO, "own-head copy %s: is no small file", path);
        goto done;
    }
    size_t wanted = (size_t)status.st_size;
    *bytes = malloc(wanted + 1);
    if (*bytes == NULL) {
        code = fault_set(fault, KAART_NOMEM, "no memory");
        goto done;
    }
    while (*size < wanted) {
        ssize_t got = read(file, *bytes + *size, wanted - *size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            code = fault_set(fault, KAART_IO, "own-head copy %s: %s", path,
                             got < 0 ? strerror(errno) : "is shortened");
            goto done;
        }
        *size += (size_t)got;
    }
done:
    close(file);
    if (code != KAART_OK) {
        free(*bytes);
        *bytes = NULL;
    }
    return code;
}

int own_heads_read(const char *path, struct own_heads **out, struct fault *fault)
{
    char *bytes;
    size_t size;
    int code = read_file(path, &bytes, &size, fault);
    if (code != KAART_OK)
        return code;
    struct own_heads *heads = calloc(1, sizeof(*heads));
    if (heads == NULL)
        code = fault_set(fault, KAART_NOMEM, "no memory");
    for (size_t at = 0; code == KAART_OK && at < size;) {
        char *end = memchr(bytes + at, '\n', size - at);
        if (end == NULL) {
            code = fault_set(fault, KAART_CORRUPT, "its last line is not whole");
            break;
        }
        code = read_line(heads, bytes + at, (size_t)(end - bytes) - at, fault);
        at = (size_t)(end - bytes) + 1;
    }
    free(bytes);
    if (code != KAART_OK) {
        fault_prefix(fault, "own-head copy %s", path);
        own_heads_free(heads);
        return code;
    }
    *out = heads;
    return KAART_OK;
}

static int temporary_path(const char *path, char out[PATH_MAX], struct fault *fault)
{
    if (snprintf(out, PATH_MAX, "%s.new", path) >= PATH_MAX)
        return fault_set(fault, KAART_IO, "own-head copy: path too long");
    return KAART_OK;
}

int own_heads_prepare(const struct own_heads *heads, const char *path, struct fault *fault)
{
    char temporary[PATH_MAX];
    int code = temporary_path(path, temporary, fault);
    if (code != KAART_OK)
        return code;
    int file = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (file < 0)
        return fault_set(fault, KAART_IO, "own-head copy %s: %s", temporary, strerror(errno));
    for (size_t i = 0; code == KAART_OK && i < heads->count; i++) {
        char *line = NULL;
        size_t size = 0;
        code = stream_format_checkpoint(heads->items[i].note, heads->items[i].size, &line, &size);
        if (code != KAART_OK)
            fault_set(fault, code, "no memory");
        for (size_t at = 0; code == KAART_OK && at < size;) {
            ssize_t wrote = write(file, line + at, size - at);
            if (wrote > 0)
                at += (size_t)wrote;
            else if (errno != EINTR)
                code = fault_set(fault, KAART_IO, "own-head copy %s: %s", temporary, strerror(errno));
        }
        free(line);
    }
    if (code == KAART_OK && fsync(file) != 0)
        code = fault_set(fault, KAART_IO, "own-head copy %s: %s", temporary, strerror(errno));
    if (close(file) != 0 && code == KAART_OK)
        code = fault_set(fault, KAART_IO, "own-head copy %s: %s", temporary, strerror(errno));
    return code;
}

int own_heads_install(const char *path, struct fault *fault)
{
    char temporary[PATH_MAX], directory[PATH_MAX];
    int code = temporary_path(path, temporary, fault);
    if (code != KAART_OK)
        return code;
    if (rename(temporary, path) != 0)
        return fault_set(fault, KAART_IO, "own-head copy %s: %s", path, strerror(errno));
    snprintf(directory, sizeof(directory), "%s", path);
    int file = open(dirname(directory), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (file < 0 || fsync(file) != 0)
        code = fault_set(fault, KAART_IO, "own-head copy %s: its directory: %s", path, strerror(errno));
    if (file >= 0)
        close(file);
    return code;
}

int feeds_own_head_copy(struct feeds *feeds, const char *name, char **note, size_t *size, struct fault *fault)
{
    struct own_heads *heads;
    struct checkpoint checkpoint;
    const char *found;
    if (feeds->own_head == NULL)
        return fault_set(fault, KAART_UNKNOWN, "this store has no own-head copy");
    int code = own_heads_read(feeds->own_head, &heads, fault);
    if (code != KAART_OK)
        return KAART_IO;
    if (!own_heads_get(heads, name, &found, size, &checkpoint))
        code = fault_set(fault, KAART_UNKNOWN, "the own-head copy has no head of %s", name);
    else if ((*note = malloc(*size + 1)) == NULL)
        code = fault_set(fault, KAART_NOMEM, "no memory");
    else
        memcpy(*note, found, *size + 1);
    own_heads_free(heads);
    return code;
}
