/*
 * ctl.h - kaartctl: what its commands share. One thread, one command a process; memory lives until the process ends where that is simplest,
 * but nothing grows with the size of the input beyond what is said.
 */
#ifndef KAARTD_CTL_CTL_H
#define KAARTD_CTL_CTL_H

#include "daemon/config/config.h"
#include "protocol/error.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define CTL_DEFAULT_CONFIG "/etc/kaartd/kaartd.conf"

/* Exit codes; `kaartctl --help` lists them. */
enum ctl_exit {
    CTL_DONE = 0,
    CTL_FAILED = 1,      /* it could not be done; the message says why */
    CTL_USAGE = 2,       /* the command line is wrong */
    CTL_UNREACHABLE = 3, /* kaartd (or, for fetch, the node) does not answer */
    CTL_PARTLY = 4,      /* done, but some records were refused */
    CTL_UNPROVEN = 5,    /* what was received is not what was signed */
};

struct ctl {
    const char *config_path;
    bool json;
    struct config *config; /* loaded by ctl_config */
};

struct ctl_command {
    const char *name;
    const char *arguments; /* as in the usage line */
    const char *summary;   /* one line */
    const char *help;      /* options and what to know, lines ending in LF */
    int (*run)(struct ctl *ctl, const struct ctl_command *command, int argc, char **argv);
};

/* Every command; ends with a NULL name. main.c */
extern const struct ctl_command ctl_commands[];

#define CTL_RUN(name) int name(struct ctl *ctl, const struct ctl_command *command, int argc, char **argv)
CTL_RUN(ctl_keygen);
CTL_RUN(ctl_key);
CTL_RUN(ctl_import);
CTL_RUN(ctl_put);
CTL_RUN(ctl_review);
CTL_RUN(ctl_retract);
CTL_RUN(ctl_erase);
CTL_RUN(ctl_subject);
CTL_RUN(ctl_get);
CTL_RUN(ctl_why);
CTL_RUN(ctl_search);
CTL_RUN(ctl_export);
CTL_RUN(ctl_feeds);
CTL_RUN(ctl_peers);
CTL_RUN(ctl_sync);
CTL_RUN(ctl_rebuild);
CTL_RUN(ctl_sources);
CTL_RUN(ctl_source);
CTL_RUN(ctl_sign);
CTL_RUN(ctl_status);
CTL_RUN(ctl_conflicts);
CTL_RUN(ctl_pin);
CTL_RUN(ctl_unpin);
CTL_RUN(ctl_stale);
CTL_RUN(ctl_confirm);
CTL_RUN(ctl_policy);
CTL_RUN(ctl_link);
CTL_RUN(ctl_unlink);
CTL_RUN(ctl_duplicates);
CTL_RUN(ctl_fetch);
CTL_RUN(ctl_prove);
CTL_RUN(ctl_verify);

/* ---- cmd_import.c: a file's records as submissions in role resident (review submit) ---- */

struct ctl_submission {
    const char *file, *feed, *kind, *areas, *submitter; /* all but `file` NULL where not given */
    bool dry_run;
};
int ctl_submit(struct ctl *ctl, const struct ctl_submission *submission);

/* ---- options.c ---- */

enum ctl_option_type {
    CTL_FLAG,  /* bool * */
    CTL_VALUE, /* const char ** */
    CTL_LIST,  /* const char *[CTL_LIST_MAX + 1], zeroed: one for each time the option is given */
};
#define CTL_LIST_MAX 4
struct ctl_option {
    const char *name; /* without the dashes */
    enum ctl_option_type type;
    void *target;
};
/*
 * Reads a command's options (any order), beside -c FILE, --json and --help, which every command knows. The rest is left in *rest, *rest_count
 * (between min and max of them). CTL_DONE; otherwise a message was printed and the code is what to exit with (-1: help was printed, exit 0).
 */
int ctl_read_options(struct ctl *ctl, const struct ctl_command *command, int argc, char **argv,
                     const struct ctl_option *options, size_t option_count, size_t min, size_t max,
                     char ***rest, size_t *rest_count);
#define CTL_HELP_SHOWN (-1)
void ctl_print_help(const struct ctl_command *command, FILE *out);
/* "kaartctl: message" on standard error; returns `code`. */
int ctl_say(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The node section of the configuration; NULL after a message. */
const struct config *ctl_config(struct ctl *ctl);

/* ---- client.c: the daemon over its Unix socket ---- */

/* A path below /control/v1/ with its query; free it. `pairs`: name, value, ..., NULL; a pair whose value is NULL is left out. NULL without memory. */
char *ctl_path(const char *path, const char *const *pairs);
/* Asks and gives the answer's JSON (the caller deletes it). A refusal is told on standard error. */
int ctl_ask(struct ctl *ctl, const char *method, const char *path, const char *body, size_t size,
            cJSON **answer);
/* GET of a path with its query (as for ctl_path). */
int ctl_ask_for(struct ctl *ctl, const char *path, const char *const *pairs, cJSON **answer);
/* As ctl_ask, but a 404 is CTL_DONE with *answer NULL and nothing said. */
int ctl_ask_quietly(struct ctl *ctl, const char *method, const char *path, cJSON **answer);
/* Copies the answer to `out` as it comes. */
int ctl_ask_stream(struct ctl *ctl, const char *path, FILE *out);
/* Prints JSON for programs. Consumes `json`. */
int ctl_print_json(cJSON *json);

/* ---- cmd_records.c: what other commands that say something need ---- */

struct ctl_claim {
    const char *source, *role, *feed, *verified, *on_behalf_of; /* the last two may be NULL */
    const cJSON *areas;                                         /* NULL: the node's */
};
/* Says it (body NULL: withdraws it) and tells the outcome. Consumes `body`. */
int ctl_send_claim(struct ctl *ctl, const struct ctl_claim *claim, const char *kind, const char *id,
                   cJSON *body);
/* CTL_DONE, or CTL_USAGE after a message. */
int ctl_need_id(const char *id);
int ctl_need_kind(const char *kind);
/* "name=value" into a body: value is JSON if it reads as such, else a text; an empty value takes the member away. */
int ctl_set_field(cJSON *body, const char *text);
/* "houten.example (home), editor desk, confirmed 2026-11-01" */
void ctl_describe_origin(const cJSON *claim, char *text, size_t size);

/* ---- table.c: aligned columns for people ---- */

struct ctl_table;
/* `headings`: NULL-terminated. Aborts without memory, as everything of table.c. */
struct ctl_table *ctl_table_new(const char *const *headings);
/* One cell each, as many as headings; NULL is an empty cell. Copied. */
void ctl_table_add(struct ctl_table *table, const char *const *cells);
/* Columns wide enough for what is in them, two blanks between, no blanks at the end of a line. Nothing without rows. */
void ctl_table_print(const struct ctl_table *table, FILE *out);
void ctl_table_free(struct ctl_table *table);
/* Columns that a text takes on a terminal: combining marks none, wide characters two. */
size_t ctl_text_width(const char *text);
/* Control characters become '?', line ends blanks: much of what is shown comes from strangers. In place; returns `text`. */
char *ctl_text_clean(char *text);

/* ---- words.c ---- */

/* "just now", "5 min ago", "3 h ago", "in 5 min", "2026-11-21"; of an instant or second in text; the text itself if it is none, "-" if NULL. */
const char *ctl_ago(const char *instant, char text[40]);
/* "1,234" */
const char *ctl_count(double number, char text[32]);
/* A member as text: strings as they are, numbers, yes and no; NULL where absent or null. */
const char *ctl_member(const cJSON *object, const char *name, char text[64]);
/* Any value on one line for people: "number 030-1234567, type voice; number ...". malloc'ed. */
char *ctl_value_text(const cJSON *value);
/* Prints numbers so that they read back as the same: cJSON rounds integers beyond 15 digits. malloc'ed, without white space. */
char *ctl_print_exact(cJSON *value);

#endif
