/*
 * fetch.h - the parts of kaartctl fetch: the transfer of a feed into a store, and what of it was told before.
 */
#ifndef KAARTD_CTL_FETCH_H
#define KAARTD_CTL_FETCH_H

#include "daemon/store/feeds.h"

#include <stdio.h>

struct fetch_options {
    const char *url; /* where /v1 begins */
    const char *pin; /* "sha256/BASE64", or NULL */
    const char *ca_file;
    bool allow_plain_http; /* to loopback */
    struct verifier_key keys[FEED_KEYS_MAX];
    size_t key_count; /* at least one; all of one feed */
};

/*
 * Brings the feed in `feeds` to the head that the node at `url` shows: a delta where one does, else a full copy. Nothing becomes visible that was not verified.
 * 0 (also if nothing was new, or the node lags behind), KAART_IO: the node cannot be reached, or refuses; KAART_UNKNOWN: it does not show this feed;
 * KAART_SIGNATURE, KAART_ROOT, KAART_FORK, KAART_SYNTAX, ...: what it sent is not what was signed. *behind: it shows an older state than is held.
 */
int fetch_feed(struct feeds *feeds, const struct fetch_options *options, bool *behind, struct fault *fault);

/* What was told before, in DIR/told.db: one leaf for each key. */
struct told;
int told_open(const char *path, struct told **out, struct fault *fault);
void told_close(struct told *told);

/*
 * Writes the records of `feed` to `out`, one JSON object a line; with `told` (else NULL) only what changed since, deletions included. What was written counts as told
 * only when `out` has taken all of it. 0, KAART_IO (the output, or a database) or an error of the store. *count: lines.
 */
int fetch_tell(struct feeds *feeds, const char *feed, struct told *told, FILE *out, size_t *count,
               struct fault *fault);

#endif
