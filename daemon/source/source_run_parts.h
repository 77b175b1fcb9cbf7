/*
 * source_run_parts.h - the state of one run, shared by source_run.c (the steps, on the loop), source_think.c
 * (what costs time, on the source thread) and source_report.c (what is told and kept). While a job is out,
 * only its thread touches the run.
 */
#ifndef KAARTD_SOURCE_SOURCE_RUN_PARTS_H
#define KAARTD_SOURCE_SOURCE_RUN_PARTS_H

#include "daemon/source/mapping.h"
#include "daemon/source/source_diff.h"
#include "daemon/source/source_json.h"
#include "daemon/source/source_page.h"
#include "daemon/source/source_run.h"
#include "daemon/store/feeds.h"

/* Problems that a report shows; all are counted. */
#define REPORT_PROBLEMS_MAX 50
/* Records that a dry run shows; all are counted. */
#define REPORT_RECORDS_MAX 1000
/* Records that are missing which the status shows; all are counted. */
#define STATE_MISSING_MAX 100
/* Past runs that are kept, each with up to HISTORY_PROBLEMS_MAX problems. */
#define HISTORY_MAX 20
#define HISTORY_PROBLEMS_MAX 10
/* Moments of complete runs that are kept: missing_runs may ask for so many. */
#define COMPLETE_RUNS_MAX 64
/* Records that the confirmation excepts by name. */
#define EXCEPTED_MAX 200
/* Claims after which a slice of work goes to the writer. */
#define SLICE_CLAIMS 500
/* Rows after which it does even if nothing changed, so that a run can be ended. */
#define SLICE_ROWS 5000

enum claim_purpose { CLAIM_ADD, CLAIM_CHANGE, CLAIM_RETURN, CLAIM_MISSING, CLAIM_RETRACT, CLAIM_CONFIRM };

struct run_claim {
    struct own_claim claim; /* its strings are owned here */
    enum claim_purpose purpose;
    size_t row;
    enum own_outcome outcome;
};

enum run_end {
    END_OPEN,
    END_OK,           /* everything listed was compared */
    END_NOT_MODIFIED, /* the register said that nothing changed */
    END_BROKEN,  /* an answer that is no listing, or half of one: nothing is concluded from what is not in it
                  */
    END_TRIPPED, /* the fuse */
    END_FAILED,  /* no answer, or nothing could be written */
    END_CANCELLED,
    END_ACCEPTED,
};

struct run_counts {
    size_t pages, rows, records;
    size_t added, changed, returned, unchanged, repeated, newly_missing, missing, retracted, refused, broken;
    size_t errors, warnings;
};

struct source_run {
    struct node *node;
    struct worker *thinker;
    struct source_settings *settings;
    enum run_mode mode;
    source_run_ended *ended;
    void *context;
    cJSON *state; /* as of before; becomes the new one */
    int64_t number;
    int64_t started_ms, finished_ms;
    bool cancelled;

    /* jobs and requests */
    uv_timer_t timer;
    void (*posted_run)(void *state, void *job);
    void (*posted_done)(void *job);
    struct worker *posted_to;
    struct page_fetch *fetch;
    bool conditional; /* the request asked whether anything changed */

    /* what it works with */
    struct mapping *mapping;
    char *token;
    unsigned char secret[32];
    bool secret_is_new;
    char fingerprint[65]; /* of everything besides the register that decides what a listing becomes */
    struct source_diff *diff;
    struct mapping_output output;

    /* the page at hand */
    char url[SOURCE_URL_MAX], next_url[SOURCE_URL_MAX];
    char *text;
    size_t size;
    char *content_type, *link;
    char *etag, *last_modified; /* of the first page */
    struct hash text_hash;      /* of the page before */
    struct span rows;
    size_t row_offset;
    size_t page_rows;
    bool page_done;
    uint64_t received_bytes;

    /* what is gone */
    struct diff_verdict verdict;
    size_t gone_next;
    bool settled;
    char *held; /* what waits for the operator, one a line: seq kind id */
    size_t held_count;
    char held_hash[65]; /* of what is to be held from now on; empty: as before */
    bool held_changed;

    /* the claims on their way to the writer */
    struct run_claim *claims;
    size_t claim_count, claim_room;
    bool wrote;

    /* the end */
    enum run_end end;
    struct fault fault;
    int64_t retry_after_ms;
    int code;       /* of the last job */
    int slice_code; /* of the last slice of rows: looked at when its claims are written */
    cJSON *report;
    struct run_counts counts;
    cJSON *problems, *records, *excepted, *missing;
};

/* ---- source_think.c: jobs of the source thread; the result is in run->code and run->fault ---- */
void think_prepare(void *thinker, void *run); /* mapping, token, secret, what waits */
void think_open(void *thinker, void *run);    /* page into rows; before the first: what was said before */
void think_map(void *thinker,
               void *run); /* a slice of rows into claims; run->page_done at the end, with run->next_url */
void think_settle(void *thinker, void *run); /* what is gone, and the fuse */
void think_gone(void *thinker, void *run); /* a slice of what is gone into claims; run->settled at the end */

/* ---- source_report.c ---- */
void run_problem(struct source_run *run, bool warning, size_t row, const char *field, const char *message);
void run_count_claims(struct source_run *run); /* after they were written, or would have been */
void run_clear_claims(struct source_run *run);
cJSON *run_report(const struct source_run *run);
/* Brings run->state up to what this run found; then the report can tell what waits, and goes into the
 * history. */
void run_update_state(struct source_run *run);
void run_keep_report(struct source_run *run, const cJSON *report);
/* An instant as text. */
cJSON *run_instant(int64_t instant_ms);

/* Keys of the store's values. */
void source_state_key(const char *name, char key[64]);
void source_held_key(const char *name, char key[64]);
#define SOURCE_SECRET_KEY "source-secret"

#endif
