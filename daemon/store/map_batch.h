/*
 * map_batch.h - one pass of the map over the feeds, inside map_batch.c, map_feed.c and map_follow.c only.
 */
#ifndef KAARTD_STORE_MAP_BATCH_H
#define KAARTD_STORE_MAP_BATCH_H

#include "daemon/store/map_internal.h"

/* Of a head, what is needed here: a note is 8 KiB. */
struct noted_head {
    int64_t id;
    char name[FEED_NAME_MAX_SIZE + 1];
    uint32_t generation;
    uint64_t epoch, size, floor;
    struct hash root;
};

struct feed_row;

struct touched {
    int64_t record;
    struct loaded *parsed;
};

struct batch {
    struct map *map;
    const struct policy *policy;
    int32_t day;
    size_t limit, used; /* entries and records */
    bool more;
    struct noted_head *heads;
    size_t head_count;
    struct touched *touched;
    size_t touched_count, touched_room;
    size_t *slots; /* hash table of places in `touched`, plus one */
    size_t slot_count;
    /* While a feed is read. */
    struct feed_row *feed;
    size_t bytes;
    uint64_t last_seq;
    size_t taken;
    bool stopped;
    bool erased;
};

/* ---- map_batch.c ---- */

/* The record is resolved at the end of the batch. Takes `parsed` (may be NULL) on success. */
int batch_touch(struct batch *batch, int64_t record, struct loaded *parsed, struct fault *fault);
void batch_forget_touched(struct batch *batch);
int batch_resolve_touched(struct batch *batch, struct fault *fault);

/* ---- map_feed.c ---- */

/* All feeds of the map's audience, one after the other, as far as the batch's limit allows; what they touched is resolved. */
int batch_follow_feeds(struct batch *batch, struct fault *fault);

#endif
