/*
 * source_diff.h - compares what a source lists now with what it said before, and decides what is missing, due
 * to be retracted, or held back by the fuse. spec/sources.md, sections "Missing" and "The fuse".
 *
 * Works on hashes, so that 100,000 records cost some 8 MB whatever their size. No clock, files or database:
 * all is handed in. One thread at a time.
 */
#ifndef KAARTD_SOURCE_SOURCE_DIFF_H
#define KAARTD_SOURCE_SOURCE_DIFF_H

#include "protocol/error.h"
#include "protocol/hash.h"
#include "protocol/json.h"
#include "protocol/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct source_diff;

/* `source`, `role`: as they stand in the entries. NULL when memory is short. */
struct source_diff *source_diff_new(const char *source, const char *role);
void source_diff_free(struct source_diff *diff); /* accepts NULL */

/* ---- what was said before ---- */

/* A live entry of the feed; those of other sources are passed over. 0, KAART_NOMEM, or an error of
 * entry_parse. */
int source_diff_former(struct source_diff *diff, const char *line, size_t size, struct fault *fault);
/* Whether there is a live claim about the record; for mapping_context.known. */
bool source_diff_known(void *diff, const char *kind, const char *id);
/* Day of the source's last confirmation, DAY_NONE if none; how many claims are live, and how many of these
 * are missing. */
int32_t source_diff_confirmed(const struct source_diff *diff);
size_t source_diff_live(const struct source_diff *diff);

/* ---- what is listed now ---- */

enum diff_outcome {
    DIFF_NEW,
    DIFF_CHANGED,
    DIFF_RETURNED, /* it was missing */
    DIFF_UNCHANGED,
    DIFF_REPEATED,    /* an earlier row of this run says the same */
    DIFF_CONTRADICTS, /* an earlier row of this run says otherwise; the earlier one counts */
};
/* `body`, `areas` (NULL: none): as they would be appended. *first_row: of the earlier row. 0 or KAART_NOMEM.
 */
int source_diff_listed(struct source_diff *diff, const char *kind, const char *id, const char *body,
                       const char *areas, size_t row, enum diff_outcome *outcome, size_t *first_row);
/* It is listed, but could not be read: its former claim stays. */
int source_diff_present(struct source_diff *diff, const char *kind, const char *id, size_t row);
/* A record of this kind is listed that could be any of the former ones. */
void source_diff_unidentified(struct source_diff *diff, const char *kind, size_t row);
/* Whether a record was listed (readable or not) in this run. */
bool source_diff_was_listed(const struct source_diff *diff, const char *kind, const char *id);

/* ---- what is gone ---- */

enum gone_step {
    GONE_MARK,    /* it is not listed any more: say since when */
    GONE_KEEP,    /* missing already, not yet long enough */
    GONE_RETRACT, /* missing for long enough */
};
struct diff_gone {
    char kind[NAME_MAX_SIZE + 1];
    char id[UUID_TEXT_SIZE + 1];
    uint64_t seq;
    int32_t missing_since; /* DAY_NONE with GONE_MARK */
    enum gone_step step;
};

/* The id of the record that a former claim hangs on (a service on its organization); "" if none. For vanished
 * records only, so that a provider that vanishes with its ten products counts as one row. 0 or a negative
 * code, which ends the settling. */
typedef int diff_parent(void *context, const char *kind, uint64_t seq, char parent[UUID_TEXT_SIZE + 1],
                        struct fault *fault);

struct diff_rules {
    unsigned fuse_percent;  /* trips above this share of the rows ... */
    unsigned fuse_rows;     /* ... or, where there are fewer than DIFF_FEW_ROWS, at this number */
    unsigned missing_runs;  /* retracted after so many complete runs, the one that marked it included, ... */
    int64_t missing_for_ms; /* ... and this time */
    int64_t now_ms;
    const int64_t *complete_runs; /* when the last complete runs began, any order */
    size_t complete_run_count;
    size_t rows;            /* in this listing */
    bool unchanged_listing; /* the register said that nothing changed (304): what was missing is missing
                               still, nothing else is gone */
    diff_parent *parent;
    void *parent_context;
};

#define DIFF_FEW_ROWS 50

struct diff_verdict {
    bool tripped; /* the fuse: nothing of `gone` may be done; GONE_MARK and GONE_RETRACT are what waits for
                     the operator */
    char reason[240];       /* in words, when tripped */
    struct diff_gone *gone; /* malloc'ed */
    size_t gone_count;
    size_t missing; /* how many are missing when all of this is done */
};
/* Call once, after everything that is listed was said. 0, KAART_NOMEM, or a code of `parent`. */
int source_diff_settle(struct source_diff *diff, const struct diff_rules *rules, struct diff_verdict *verdict,
                       struct fault *fault);
void diff_verdict_clear(struct diff_verdict *verdict);

#endif
