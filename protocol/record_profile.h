/*
 * record_profile.h - the tables of the Dutch HSDS profile, inside record*.c only: which member of which
 * object is what.
 */
#ifndef KAARTD_PROTOCOL_RECORD_PROFILE_H
#define KAARTD_PROTOCOL_RECORD_PROFILE_H

#include "protocol/record.h"

/* What a member's value must be. Every one also takes null: "has none" [REC-4]. */
enum value_type {
    VALUE_TEXT,
    VALUE_TEXTS, /* list of strings */
    VALUE_TEXT_OR_LIST,
    VALUE_NUMBER,
    VALUE_INTEGER,
    VALUE_BOOL,
    VALUE_UUID,
    VALUE_DAY,    /* 2026-11-21 */
    VALUE_MOMENT, /* a day, or an RFC 3339 date and time */
    VALUE_TIME,   /* 10:00, 10:00:00, 10:00:00+01:00 */
    VALUE_URI,
    VALUE_URIS,
    VALUE_EMAIL,
    VALUE_PHONE,
    VALUE_EXTENSION, /* a telephone extension: HSDS has a number */
    VALUE_LATITUDE,
    VALUE_LONGITUDE,
    VALUE_ZONE,         /* IANA time zone */
    VALUE_MUNICIPALITY, /* GM0356 */
    VALUE_AREA,
    VALUE_AREAS,
    VALUE_BUYER,    /* GM code or OIN */
    VALUE_BAG,      /* 16 digits */
    VALUE_ENUM,     /* one of `extra`: const char *const *, NULL-terminated */
    VALUE_ENUMS,    /* list of those */
    VALUE_PRODUCTS, /* list of iStandaarden product categories or codes */
    VALUE_WEEKDAYS, /* RFC 5545 byday */
    VALUE_OBJECT,   /* `extra`: const struct shape * */
    VALUE_OBJECTS,  /* list of those */
};

struct member {
    const char *name;
    enum value_type type;
    bool required;
    const void *extra;
};

/* What is checked of an object beyond its members, one by one. */
enum shape_rule {
    SHAPE_PLAIN,
    SHAPE_AGES,       /* minimum_age <= maximum_age */
    SHAPE_SPAN,       /* valid_from <= valid_to, begin <= end */
    SHAPE_ADDRESS,    /* a Dutch postcode, in the Netherlands */
    SHAPE_CONTACT,    /* a named contact needs `basis` */
    SHAPE_IDENTIFIER, /* {scheme, value} */
    SHAPE_HSDS_IDENTIFIER,
    SHAPE_LOCATION,
    SHAPE_RELATION,
    SHAPE_REQUEST,
    SHAPE_ACTIVITY,
    SHAPE_CONTRACT,
};

struct shape {
    const char *name;             /* for messages: "phone" */
    const struct member *members; /* ends with a NULL name */
    enum shape_rule rule;
    bool record; /* a kind: also has the members that all records have */
};

/* The shape of a kind; NULL for an unknown one. */
const struct shape *record_shape(const char *kind);
/* The members that every kind has beside its own. */
extern const struct member record_common_members[];

/* ---- formats (record_format.c): whether the text is one ---- */
bool format_moment(const char *text);
bool format_time(const char *text);
bool format_uri(const char *text);
bool format_email(const char *text);
bool format_phone(const char *text);
bool format_zone(const char *text);
bool format_digits(const char *text, size_t count);
bool format_rsin(const char *text);
bool format_postcode(const char *text);
bool format_product(const char *text);
bool format_weekdays(const char *text);
/* Equal but for the case of ASCII letters, whatever the locale. */
bool format_same_word(const char *a, const char *b);

/* The profile's scheme that a foreign name of it means ("NL-KVK", "KvK", "KvK-nummer"); NULL for others. */
const char *identifier_scheme(const char *name);

#endif
