/*
 * mapping.h - the mapping file: how the rows of a foreign register become records. spec/sources.md,
 * spec/mapping.schema.json.
 *
 * Pure: no clock, files, sockets or globals. A mapping is immutable after mapping_load, so that any thread
 * may use it.
 */
#ifndef KAARTD_SOURCE_MAPPING_H
#define KAARTD_SOURCE_MAPPING_H

#include "protocol/error.h"
#include "protocol/hash.h"
#include "protocol/limits.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

struct mapping;

/* ---- the file ---- */

/* One fault of the file: where (JSON Pointer into it), what is wrong and what would be right. Valid during
 * the call. */
typedef void mapping_report(void *context, const char *pointer, const char *message);

/* Reads and checks a mapping file; `report` (may be NULL) hears every fault. KAART_OK with *out; KAART_SYNTAX
 * (no JSON), KAART_INVALID (`fault` has the first one), KAART_NOMEM. */
int mapping_load(const char *text, size_t size, mapping_report *report, void *context, struct mapping **out,
                 struct fault *fault);
void mapping_free(struct mapping *mapping); /* accepts NULL */

/* ---- where the rows are, and how pages follow ---- */

enum mapping_rows {
    MAPPING_ROWS_ARRAY,   /* the elements of an array */
    MAPPING_ROWS_MEMBERS, /* the values of an object's members */
    MAPPING_ROWS_ONE,     /* the value itself is the one row */
};

enum mapping_paging {
    MAPPING_PAGING_NONE,
    MAPPING_PAGING_NEXT,   /* `next`: pointer to the next page's URL in the document */
    MAPPING_PAGING_LINK,   /* Link header, rel="next" (RFC 8288) */
    MAPPING_PAGING_PAGE,   /* query parameter that counts pages */
    MAPPING_PAGING_OFFSET, /* query parameter that counts rows */
    MAPPING_PAGING_CURSOR, /* query parameter with what `next` points to */
};

struct mapping_listing { /* borrowed from the mapping; absent strings are NULL */
    const char *rows;    /* JSON Pointer */
    enum mapping_rows form;
    const char *total; /* JSON Pointer to how many rows there are in all pages; a listing with another number
                          is incomplete */
    bool etag_covers_listing; /* a 304 on the first page speaks for all pages */
    enum mapping_paging paging;
    const char *next;           /* pointer to the next URL or cursor */
    const char *more;           /* pointer to a boolean that says whether another page follows */
    const char *pages;          /* pointer to the number of pages */
    const char *parameter;      /* query parameter of page, offset or cursor */
    const char *size_parameter; /* query parameter of the page's size */
    long size;                  /* rows a page; 0: unknown */
    long first;                 /* number of the first page */
    const cJSON *headers;       /* object of strings to send */
    const char *token_header;   /* the header that carries the token; NULL: Authorization: Bearer */
};
const struct mapping_listing *mapping_listing(const struct mapping *mapping);

/* The kind of the first record: what a row is chiefly about. */
const char *mapping_main_kind(const struct mapping *mapping);
/* For the n-th (from 0) record: its kind, and the member of its body that refers to the main record; false
 * when there is no such record. *member is NULL where the record has no such member. */
bool mapping_parent_member(const struct mapping *mapping, size_t n, const char **kind, const char **member);

/* ---- rows ---- */

/* What rows are read with. Everything is borrowed. */
struct mapping_context {
    struct hasher *hasher;
    const char *origin; /* the node's name */
    const char *source;
    const unsigned char *secret; /* 32 bytes: ids about persons cannot be guessed without it [SRC-8] */
    bool
        restricted; /* for a feed of which nothing may be guessed: all ids are as those about persons [ENTRY-15] */
    /* Whether this source has a live claim about the record: an id never changes when a better identifier
     * appears [SRC-7]. May be NULL. */
    bool (*known)(void *context, const char *kind, const char *id);
    void *known_context;
};

/* What a row says about one record. */
struct mapping_record {
    const char *name;            /* of the record in the mapping; borrowed */
    const char *kind;            /* borrowed from the mapping */
    char id[UUID_TEXT_SIZE + 1]; /* empty: it could not be told which record this is */
    cJSON *body;                 /* NULL: broken; it is present, but what it says could not be read */
    cJSON *areas;                /* array of codes, or NULL: the source's */
    size_t row;
};

struct mapping_problem {
    size_t row;
    bool warning;    /* the record is taken all the same */
    char field[160]; /* record and member: "provider/phones/0/number" */
    char message[320];
};

struct mapping_output {
    struct mapping_record *records;
    size_t record_count, record_room;
    struct mapping_problem *problems;
    size_t problem_count, problem_room;
};

/* Adds what row number `number` (from 1) says. A record that fails is reported and has no body; the others of
 * the row are taken. KAART_OK or KAART_NOMEM. */
int mapping_row(const struct mapping *mapping, const struct mapping_context *context, const cJSON *row,
                size_t number, struct mapping_output *output);
/* Deletes what is in it; it can be used again. */
void mapping_output_clear(struct mapping_output *output);

/* At most this many problems of one row are kept: a row that lost its shape has one for each field. */
#define MAPPING_ROW_PROBLEMS_MAX 20
/* Records that one row may become: bounds what a hostile nested list can cost. */
#define MAPPING_ROW_RECORDS_MAX 2000
/* Size of a mapping file; the largest known are some 60 kB with tables. */
#define MAPPING_SIZE_MAX (1024 * 1024)

#endif
