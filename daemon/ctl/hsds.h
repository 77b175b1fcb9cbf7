/*
 * hsds.h - an HSDS document with all that is embedded in it becomes records of their own, with references between them.
 *
 * HSDS "full" documents carry their services, locations, programs and organisation inside. Here each is a record with its own
 * claim, so that sources can agree or differ about each. What is embedded and is no record (phones, schedules, ...) stays inside.
 */
#ifndef KAARTD_CTL_HSDS_H
#define KAARTD_CTL_HSDS_H

#include "protocol/limits.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

/* How deep records may stand in records (service -> service_at_location -> location -> organization). */
#define HSDS_DEPTH_MAX 8
#define HSDS_POINTER_SIZE 160

/* One record, ready to be sent. `body` is the splitter's, and may be changed. */
struct hsds_record {
    const char *kind;
    char id[UUID_TEXT_SIZE + 1];
    cJSON *body;         /* without `id` and `verified` */
    char verified[11];   /* day, or "" */
    const cJSON *areas;  /* array, as the line around the record said; NULL */
    const char *pointer; /* in the document */
    bool embedded;
};

struct hsds_events {
    void *context;
    /* Non-zero ends the split with that code. */
    int (*record)(void *context, const struct hsds_record *record);
    void (*problem)(void *context, const char *pointer, const char *message);
};

struct hsds;

/* `kind`: of the outermost records, NULL: told by what is in them. Strings are borrowed. NULL without memory. */
struct hsds *hsds_new(const char *origin, const char *source, const char *kind);
void hsds_free(struct hsds *hsds);

/*
 * First all documents are learned, then all are split: an id of the file's own (no UUID) may stand for an organisation whose UUID comes from
 * its Chamber of Commerce number, wherever in the file that stands.
 */
int hsds_learn(struct hsds *hsds, const cJSON *document);
/* Takes the document apart (it is changed); 0, or what `record` returned. Faults go to `problem`, the rest is still given. */
int hsds_split(struct hsds *hsds, cJSON *document, const char *pointer, const struct hsds_events *events);

/* The kind of a record by what is in it; NULL if that is not clear. */
const char *hsds_guess_kind(const cJSON *body);

#endif
