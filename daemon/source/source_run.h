/*
 * source_run.h - one run of one source, from the first request to the report. Loop thread only.
 */
#ifndef KAARTD_SOURCE_SOURCE_RUN_H
#define KAARTD_SOURCE_SOURCE_RUN_H

#include "daemon/config/config.h"
#include "daemon/node.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

/* What a run needs of the configuration, copied, since a reload replaces that. */
struct source_settings {
    char *name, *type, *url, *mapping, *role, *token_file, *tls_ca_file;
    char *feed, *audience, *origin; /* feed: "origin/audience" */
    char *areas;                    /* JSON array */
    char *proxy, *client_certificate, *client_key;
    char *feeds_path; /* feeds.db */
    char **tls_pins;
    bool allow_plain_http;
    int64_t every_ms, missing_for_ms;
    unsigned missing_runs, fuse_percent, fuse_rows;
    uint64_t max_size_bytes;
    struct signing_key keys[2];
    size_t key_count;
};

/* KAART_NOMEM, or KAART_UNKNOWN where the source names no feed of this node. */
int source_settings_copy(const struct config *config, const struct config_source *source,
                         struct source_settings **out);
void source_settings_free(struct source_settings *settings); /* accepts NULL; wipes the keys */

enum run_mode {
    RUN_WRITE,  /* the usual */
    RUN_DRY,    /* shows what it would do, writes nothing */
    RUN_ACCEPT, /* no fetch: carries out what the fuse held back in the run that waits */
};

struct run_outcome {
    cJSON *report; /* see sources.h; borrowed */
    cJSON *state;  /* the source's new state, to be kept; the callback takes it. NULL: nothing changed */
    bool failed;   /* try again sooner than usual */
    int64_t retry_after_ms; /* but not before this; -1 */
};
/* Once, last; never from inside source_run_start. */
typedef void source_run_ended(void *context, struct run_outcome *outcome);

struct source_run;

/* `thinker`: the worker whose state is a struct source_thinker. `settings` are taken over, also on error.
 * `state` is copied (NULL: there is none). */
int source_run_start(struct node *node, struct worker *thinker, struct source_settings *settings,
                     const cJSON *state, enum run_mode mode, source_run_ended *ended, void *context,
                     struct source_run **out);
/* Ends it at the next opportunity; `ended` still comes. What was written stays, and the next run goes on from
 * there. */
void source_run_cancel(struct source_run *run);

/* What belongs to the thread that thinks: its reading connection, opened with the first run. */
struct source_thinker {
    struct feeds *feeds;
    struct hasher *hasher;
};
void source_thinker_close(struct source_thinker *thinker);

#endif
