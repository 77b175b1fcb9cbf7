/*
 * mapping_parts.h - what a mapping file is made of once it is read: shared by mapping.c and mapping_loader.c (read it),
 * mapping_value.c (works out values) and mapping_row.c (makes records). All strings are borrowed from
 * `document`.
 */
#ifndef KAARTD_SOURCE_MAPPING_PARTS_H
#define KAARTD_SOURCE_MAPPING_PARTS_H

#include "daemon/source/mapping.h"

/* "each" levels of a record: provider / product / location is two. */
#define EACH_DEPTH_MAX 4
/* Forms of a date that one field may have. */
#define DATE_PATTERNS_MAX 8
/* Values within values (objects, lists, each). */
#define VALUE_DEPTH_MAX 12

/* "/naam": from the item at hand; each "^" before it goes one "each" outwards. */
struct reach {
    unsigned outwards;
    const char *pointer;
};

enum value_form {
    VALUE_POINTER,
    VALUE_CONSTANT,
    VALUE_TEMPLATE,
    VALUE_OBJECT,
    VALUE_LIST,
    VALUE_EACH,
    VALUE_REFERENCE,
    VALUE_REFERENCES,
    VALUE_RD,
    VALUE_FIRST,
};

enum value_as {
    AS_IT_IS,
    AS_TEXT,
    AS_HTML,
    AS_DATE,
    AS_TIME,
    AS_NUMBER,
    AS_INTEGER,
    AS_BOOLEAN,
    AS_URL,
    AS_POSTCODE,
    AS_LATITUDE,
    AS_LONGITUDE,
};

/* What happens when a value cannot be converted. */
enum value_broken {
    BROKEN_RECORD, /* the record is skipped: its former claim stays */
    BROKEN_DROP,   /* the member is left out, with a warning */
    BROKEN_KEEP,   /* the value stays as it came, with a warning */
};

struct piece {  /* of a template */
    char *text; /* literal; NULL: a pointer */
    struct reach reach;
    char *owned; /* holds the reach's pointer */
};

struct value;
struct condition;
struct value_member {
    const char *name; /* NULL in a list */
    struct value *value;
};

struct value {
    enum value_form form;
    struct reach *reaches; /* VALUE_POINTER: the first that is present; VALUE_RD: one point, or x and y */
    size_t reach_count;
    const cJSON *constant;
    struct piece *pieces;
    size_t piece_count;
    bool needs_all;
    struct condition *when;       /* NULL: always */
    struct value_member *members; /* VALUE_OBJECT, VALUE_LIST, VALUE_FIRST; VALUE_EACH: its one item */
    size_t member_count;
    size_t record; /* VALUE_REFERENCE, VALUE_REFERENCES */

    const char *split;
    enum value_as as;
    const char *patterns[DATE_PATTERNS_MAX + 1];
    bool dutch;
    const cJSON *yes, *no;
    const cJSON *table;
    const cJSON *substitute; /* "default" */
    unsigned pad;
    bool required;
    bool keep_null;
    bool upper, lower;
    enum value_broken broken;
};

enum condition_form { CONDITION_ALL, CONDITION_ANY, CONDITION_NOT, CONDITION_TEST };
struct condition {
    enum condition_form form;
    struct condition *parts; /* ALL, ANY, NOT (one) */
    size_t part_count;
    struct reach reach;  /* TEST */
    const cJSON *equals; /* a value or a list of them; NULL: only presence is asked */
    bool present;
};

struct identifier {
    const char *scheme;
    struct value *value;
};

struct record {
    const char *name;
    const char *kind;
    const char *each[EACH_DEPTH_MAX];
    size_t each_count;
    struct condition *when; /* NULL: always */
    struct identifier *identifiers;
    size_t identifier_count;
    struct value *external;
    long parent;                /* index of a record above, or -1 */
    struct condition *personal; /* NULL: never */
    struct value *areas;        /* NULL: the source's */
    struct value fields;        /* VALUE_OBJECT */
    const char *main_member;    /* its member that refers to the first record */
};

struct mapping {
    cJSON *document;
    struct mapping_listing listing;
    struct record *records;
    size_t record_count;
};

/* These free what the thing holds, not the thing; both accept NULL. */
void value_free(struct value *value);
void condition_free(struct condition *condition);

/* ---- working out values (mapping_value.c) ---- */

struct scope { /* an item of the row, and what encloses it */
    const cJSON *item;
    const struct scope *outer;
};

/* The state of one record under construction. */
struct making {
    const struct mapping *mapping;
    const struct mapping_context *context;
    struct mapping_output *output;
    const struct record *record;
    const struct scope *levels[EACH_DEPTH_MAX + 1]; /* the record's own scopes, from the row inwards */
    size_t level_count;
    size_t row;
    size_t first_problem; /* of this row, for its bound */
    char field[160];      /* where in the record the work is */
    struct fault fault;   /* why a value is broken */
    bool substituted;     /* the value made last came from no row: a constant or a default */
    bool missing;         /* the value made last is broken because a required one is absent */
};

/* *out: a new value, NULL where it is absent. 0; KAART_INVALID: broken, with making->fault and ->field;
 * KAART_NOMEM. */
int value_make(struct making *making, const struct value *value, const struct scope *scope, cJSON **out);
/* As text (numbers and words too); NULL in *out where it is absent. *out is malloc'ed. */
int value_make_text(struct making *making, const struct value *value, const struct scope *scope, char **out);
const cJSON *reach_get(const struct reach *reach, const struct scope *scope);
bool condition_holds(const struct condition *condition, const struct scope *scope);
/* Notes a problem of this row; beyond the bound it is dropped. 0 or KAART_NOMEM. */
int making_problem(struct making *making, bool warning, const char *field, const char *message);

/* ---- identities (mapping_row.c), for references ---- */

/* The id that record `index` has for the scopes that it shares with the record being made; empty where the
 * record's condition does not hold. */
int record_identify(struct making *making, size_t index, const struct scope *const *levels,
                    size_t level_count, char id[UUID_TEXT_SIZE + 1]);
/* Adds to the list `ids` those of all instances of a record within the scopes that are shared. */
int record_identify_all(struct making *making, size_t index, cJSON *ids);

#endif
