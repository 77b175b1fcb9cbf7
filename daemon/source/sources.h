/*
 * sources.h - the life that all sources share: timer, run, difference with what the source said before,
 * missing rows, fuse, history. Loop thread only.
 */
#ifndef KAARTD_SOURCE_SOURCES_H
#define KAARTD_SOURCE_SOURCES_H

#include "daemon/node.h"

#include <cjson/cJSON.h>
#include <stdbool.h>

int sources_start(struct node *node, struct sources **out);
void sources_reload(struct sources *sources);
void sources_stop(struct sources *sources, void (*stopped)(void *context), void *context);

/* Starts a run now; when it ended, done(context, report): the report is borrowed JSON as spec/sources.md tells under "The report":
 * {"source","run","state","reason","added","changed","unchanged","missing","retracted","errors":[{"row","field","message"}], ...}; with dry_run also
 * "records". KAART_UNKNOWN, KAART_BUSY (it is running), KAART_NOMEM; then `done` is not called. */
typedef void sources_done(void *context, const cJSON *report);
int sources_run(struct sources *sources, const char *name, bool dry_run, sources_done *done, void *context);

/* The operator accepts what the fuse held back in run `run`: exactly that is retracted at once, as far as it still stands as it stood then. KAART_UNKNOWN:
 * no such run waits; KAART_BUSY: the source is running. */
int sources_accept(struct sources *sources, const char *name, int64_t run, sources_done *done, void *context,
                   struct fault *fault);

/* For kaartctl sources: [{"source","type","url","feed","role","state","lastRun":report|null,"lastSuccess","nextRun","failures","missing":[{"kind","id",
 * "since"}],"missingCount","waiting":run|null,"waitingReason","held","fuse":{"run","reason","held"}|null,"runs":[report]}]. New object. */
cJSON *sources_status(const struct sources *sources);

#endif
