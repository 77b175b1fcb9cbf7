/*
 * mapping_loader.h - reading a mapping file and saying what is wrong in it: shared by mapping.c (the file, its records) and mapping_loader.c
 * (small readers, conditions, values).
 */
#ifndef KAARTD_SOURCE_MAPPING_LOADER_H
#define KAARTD_SOURCE_MAPPING_LOADER_H

#include "daemon/source/mapping_parts.h"

struct loader {
    mapping_report *report;
    void *context;
    struct fault *fault;
    size_t faults;
    bool out_of_memory;
    char path[400]; /* of the object at hand */
    size_t path_size;
    struct mapping *mapping;
    const cJSON *tables;
    size_t record;    /* index of the record at hand */
    unsigned depth;   /* of values */
    unsigned in_each; /* scopes around the value at hand, without the row's own */
};

/* A fault at the member `name` of the object at hand, or at that itself (NULL). */
void loader_bad(struct loader *l, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Go into a member, and back: leave with what enter returned. */
size_t loader_enter(struct loader *l, const char *name);
size_t loader_enter_index(struct loader *l, size_t index);
void loader_leave(struct loader *l, size_t before);
/* Zeroed memory for at least one; NULL is noted. */
void *loader_reserve(struct loader *l, size_t count, size_t size);

/* `$schema`, `comment` and the like. */
bool loader_is_remark(const char *name);
bool loader_is_object(struct loader *l, const cJSON *json, const char *what);
/* Every member must be one of `allowed` (separated by blanks) or a remark. */
void loader_only(struct loader *l, const cJSON *object, const char *allowed);
/* Members by type; NULL, false or `otherwise` where absent. */
const char *loader_text(struct loader *l, const cJSON *object, const char *name, bool required);
const char *loader_pointer(struct loader *l, const cJSON *object, const char *name, bool required);
bool loader_flag(struct loader *l, const cJSON *object, const char *name);
long loader_count(struct loader *l, const cJSON *object, const char *name, long least, long most,
                  long otherwise);
/* One of a list of words; its place in `words`. */
int loader_word(struct loader *l, const cJSON *object, const char *name, const char *const *words,
                int otherwise);

/* New, or NULL where absent. */
struct condition *loader_condition(struct loader *l, const cJSON *object, const char *name);
struct value *loader_value(struct loader *l, const cJSON *object, const char *name);
/* The members of an object, or the elements of a list. */
void loader_members(struct loader *l, const cJSON *json, struct value *value);

bool loader_find_record(const struct mapping *mapping, const char *name, size_t *index);
/* Whether `other` is one record wherever `own` is: it may only stand in lists that `own` stands in as well. */
bool loader_encloses(const struct record *other, const struct record *own);

#endif
