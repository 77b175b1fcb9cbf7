/*
 * config_private.h - what the files of the configuration share. Nobody else includes it.
 *
 *     files --config_parse.c--> sections (key, value, line) --config_sections.c--> struct config
 * --config_cross.c--> checked libconfuse               the table of keys: config_table.c
 *
 * Every stage goes on after an error: errors are collected, sorted by file and line, and printed once.
 */
#ifndef KAARTD_DAEMON_CONFIG_PRIVATE_H
#define KAARTD_DAEMON_CONFIG_PRIVATE_H

#include "daemon/config/config.h"

#include <stdarg.h>

/* A configuration file is written by hand; this is some 10,000 peers. */
#define CONFIG_FILE_SIZE_MAX (4u * 1024 * 1024)
/* Files of an include-dir. */
#define CONFIG_FILES_MAX 10000
/* Unknown options are cut out and the file is parsed again; beyond this it is another program's file. */
#define CONFIG_UNKNOWN_MAX 50
#define CONFIG_ERRORS_MAX 1000
/* Secrets are one line: a key is some 350 bytes, a JSON web token a few kilobytes. */
#define CONFIG_SECRET_SIZE_MAX 16384

enum config_key_type {
    CONFIG_TEXT,     /* char * */
    CONFIG_LIST,     /* char **, NULL-terminated */
    CONFIG_PATH,     /* char *; relative to the directory of the file it stands in */
    CONFIG_YES_NO,   /* bool */
    CONFIG_NUMBER,   /* unsigned */
    CONFIG_DURATION, /* int64_t, milliseconds */
    CONFIG_SIZE,     /* uint64_t, bytes */
    CONFIG_OTHER,    /* no field: the section's own function reads it */
    CONFIG_OTHER_LIST,
};

/* Says in `fault` what is wrong with one value, or returns 0. Paths come resolved. */
typedef int config_check(const char *value, struct fault *fault);

struct config_key {
    const char *name;
    enum config_key_type type;
    size_t offset;        /* of the field in the section's struct */
    const char *fallback; /* as one would write it; NULL: none (lists: elements parted by blanks) */
    int64_t min, max;     /* of numbers, durations (ms) and sizes; 0, 0: any */
    config_check *check;  /* of a text, a path, or each member of a list; NULL: none */
    bool required;
};

struct config_kind {
    const char *name;
    bool titled;
    const struct config_key *keys;
    size_t key_count;
    const char *parent; /* the section it stands in; NULL: outermost */
};

/* The sections that exist, and the outermost level itself (kind 0, named ""). config_table.c */
extern const struct config_kind config_kinds[];
extern const size_t config_kind_count;

struct config_item {
    const struct config_key *key;
    char *value;
    int line;
};

/* A section as it was written. */
struct config_section {
    const struct config_kind *kind;
    char *title; /* NULL where the kind has none */
    size_t file; /* index in the reader's files */
    int line;
    struct config_item *items;
    size_t count;
};

struct config_complaint {
    size_t file;
    int line;
    size_t order;
    char *text;
};

struct config_reader {
    struct config *config;
    char **files;
    size_t file_count;
    struct config_section **sections;
    size_t section_count;
    struct config_complaint *complaints;
    size_t complaint_count;
    bool node_only;   /* config_load_node */
    bool policy_only; /* config_load_policy */
    bool nomem;
    bool io;        /* a configuration file itself could not be read */
    bool cut_short; /* a file was not read to its end: what seems missing may stand there */
};

/* Collects "file:line: message". Line 0: the file as a whole. */
void config_complain(struct config_reader *reader, size_t file, int line, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* The same for a section: "peer houten.example: message". */
void config_complain_section(struct config_reader *reader, const struct config_section *section, int line,
                             const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Reads one file into sections. config_parse.c */
void config_parse_file(struct config_reader *reader, const char *path);
void config_section_free(struct config_section *section);

/* Fills the fields that the kind's table names. config_table.c */
void config_fill(struct config_reader *reader, const struct config_section *section, void *target);
void config_release(const char *kind, void *target);
/* The first item of that key, or NULL. */
const struct config_item *config_item(const struct config_section *section, const char *key);
/* `value` against the directory of the file that names it; malloc'ed, NULL without memory. */
char *config_resolve_path(const struct config_reader *reader, size_t file, const char *value);

/* Sections into the struct, then what only the whole shows. config_sections.c, config_cross.c */
void config_take_sections(struct config_reader *reader);
void config_cross_check(struct config_reader *reader);

/* Single values. config_value.c. 0 or KAART_INVALID with the complaint. */
int config_parse_duration(const char *text, int64_t *ms, struct fault *fault);
int config_parse_size(const char *text, uint64_t *bytes, struct fault *fault);
int config_parse_number(const char *text, int64_t *number, struct fault *fault);
int config_parse_yes_no(const char *text, bool *value, struct fault *fault);
int config_parse_address(const char *text, char **host, uint16_t *port, struct fault *fault);
bool config_is_loopback(const char *host);
config_check config_check_origin, config_check_name, config_check_area, config_check_role, config_check_kind,
    config_check_group, config_check_order, config_check_stale_after, config_check_url, config_check_pin,
    config_check_address, config_check_uuid, config_check_file, config_check_secret_file,
    config_check_licence, config_check_source_type;

/* Appends a copy to a NULL-terminated list. false without memory. */
bool config_list_add(char ***list, const char *value);
size_t config_list_size(char *const *list);
bool config_list_has(char *const *list, const char *value);
void config_list_free(char **list);

#endif
