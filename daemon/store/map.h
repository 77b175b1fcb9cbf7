/*
 * map.h - map.db: the resolved map, its search index and provenance. Derived: may be deleted at any time and made again from feeds.db.
 *
 * A `struct map` belongs to one thread and holds its own reading connection to feeds.db. It follows each feed with a marker of its own, in bounded
 * batches: new entries replace claims by key, a new generation replaces all of the feed's claims, and every touched record is resolved again.
 * A map is made of the feeds of one audience and knows of no other [RES-2]; maps.h holds those of a node.
 */
#ifndef KAARTD_STORE_MAP_H
#define KAARTD_STORE_MAP_H

#include "protocol/policy.h"
#include "protocol/resolve.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

struct map;

/* The public map. `path`: STATE/map.db, `feeds_path`: STATE/feeds.db (must exist). A map.db of another schema or that is corrupt is deleted and begun anew (write). */
int map_open(const char *path, const char *feeds_path, bool write, struct map **out, struct fault *fault);
/* The same for another audience than `public`. */
int map_open_audience(const char *path, const char *feeds_path, const char *audience, bool write,
                      struct map **out, struct fault *fault);
void map_close(struct map *map);

/*
 * Brings the map nearer to (claims, policy, day): takes at most `limit` entries or records, *more says whether to call again. A policy with another hash, or a day
 * on which records can change, makes the touched records due. Idempotent; what it did is committed on return.
 */
int map_follow(struct map *map, const struct policy *policy, int32_t day, size_t limit, bool *more,
               struct fault *fault);

/* Throws the map away (writing connection): map_follow then makes it again from the feeds, exactly as it was. */
int map_rebuild(struct map *map, struct fault *fault);

/* ---- reading; all results are new cJSON the caller deletes; KAART_UNKNOWN where there is no such record ---- */

/* {"kind","id","record":{resolved members},"provenance":{field:{"feed","source","role","at","verified","stale","rule"}},"missingSince",...}; kind NULL: whatever has the id. */
int map_get(struct map *map, const char *kind, const char *id, cJSON **out, struct fault *fault);
/* For each field: winner, rule in words, who, role, asserted when, last confirmed when, the others with values; and claims that do not count, with the reason. */
int map_why(struct map *map, const struct policy *policy, int32_t day, const char *kind, const char *id,
            cJSON **out, struct fault *fault);
/*
 * What one more claim would change: {"now":{fields}|null,"main" (if its record is an alias),"standing","fields":[{"field","group","effect","rule",
 * "said","now","then"}]}; a field that it speaks about or moves; effect: adds, changes, same, or stays (another claim goes before it).
 * map_preview.c
 */
int map_preview(struct map *map, const struct policy *policy, int32_t day, const struct claim *claim,
                cJSON **out, struct fault *fault);
/* [{"kind","id","name","snippet",...}] ranked; query is what a person typed: words, prefixes; diacritics are ignored. `kind` NULL: all. */
int map_search(struct map *map, const char *query, const char *kind, size_t limit, size_t offset, cJSON **out,
               struct fault *fault);
/* Every record in order of (kind, id), streamed: for export. */
typedef int map_each(void *context, const char *kind, const char *id, const char *record_json);
int map_export(struct map *map, const char *kind, map_each *each, void *context, struct fault *fault);
/* Where claims that count differ: [{"kind","id","name","sameRank", and the field as map_why shows it, "others" only those that say something else}], fields that nobody's rank
 * decided first. `group` NULL: contact, place, hours and status; `about` NULL or an origin that must be one of those who differ. At most `limit`; *more: there are others. */
struct map_conflict_options {
    const char *group, *about;
    size_t limit;
};
int map_conflicts(struct map *map, const struct policy *policy, int32_t day,
                  const struct map_conflict_options *options, cJSON **out, bool *more, struct fault *fault);
/* Records of which `origin` supplies a field and has confirmed none of it since before the day `before`: [{"kind","id","name","feed","source","role","verified","missingSince"}],
 * longest ago first, at most `limit`. *total: all of them. */
int map_stale(struct map *map, const char *origin, int32_t day, int32_t before, size_t limit, cJSON **out,
              size_t *total, struct fault *fault);
/*
 * The sums that two operators compare [SUM-4]: {"caughtUp":true,"day","time","claimSet","policy","map"}, all of one state of the map. Where computing them takes long, those of an
 * earlier state (`time` says of when) are given for a while, so that strangers who ask cannot keep the reader busy. While the map is not caught up: {"caughtUp":false,"day","policy"}
 * ("policy" null in a map that followed nothing yet).
 */
int map_sums(struct map *map, int64_t now_ms, cJSON **out, struct fault *fault);

/* ---- what another policy would change: map_diff.c ---- */

struct map_diff;
/* Of the policy in force and another one, on `day`; at most `shown_max` changes are listed, all are counted. Holds both policies. 0 or KAART_NOMEM. */
int map_diff_new(const struct policy *from, const struct policy *to, int32_t day, size_t shown_max,
                 struct map_diff **out, struct fault *fault);
/* Looks at the next `limit` records at most, in a read of its own, so that neither the log nor other questions wait; *more says whether to call again. A record that
 * changes between two calls is seen before or after its change. */
int map_diff_step(struct map *map, struct map_diff *diff, size_t limit, bool *more, struct fault *fault);
/*
 * Once *more was false: {"day","caughtUp","records":looked at,"incomplete":n,"changed":{"records","fields","values","appear","disappear"},"feeds":{feed:{"gains","loses"}},
 * "notHeld":[origins of the other policy whose public feed the map does not hold],"changes":[{"kind","id","name","field","group","sameValue","from":{...}|null,"to":{...}|null}],
 * "more":changes not listed}. A side: {"feed","seq","source","role","countsAs","rule","value"}; NULL: nobody supplies the field. The caller deletes *out.
 */
int map_diff_result(struct map *map, struct map_diff *diff, cJSON **out, struct fault *fault);
void map_diff_free(struct map_diff *diff); /* accepts NULL */

/* The sources in whose name a node's own "these are the same" and "these are not" are said: two, so that either is taken back without touching the other [LINK-6]. */
#define LINK_SOURCE "link"
#define UNLINK_SOURCE "unlink"
struct map_link_question {
    bool link;                       /* else: that they are two records */
    const char *alias, *main, *kind; /* kind NULL: whatever has the id */
    const char *feed;                /* the own feed in which it would be said, "origin/audience" */
    const struct policy *policy;
    int32_t day;
    int64_t now_ms;
};
/*
 * What to say so that two records are one (or are two): {"alias","main" (of an unlink: "one","other"): {"kind","id","name"},"relation":id,"now":type,
 * "action":"assert"|"retract"|"none","type","source","role","body","said":[{"type","feed","source","role","at"}]}. It was tried: it takes effect.
 * KAART_UNKNOWN (no such record), KAART_INVALID (refused, with what to do instead), KAART_BUSY (the map is behind the own feed: ask again).
 */
int map_link_plan(struct map *map, const struct map_link_question *question, cJSON **out,
                  struct fault *fault);
/*
 * Records of one kind that could be the same, with the evidence; nothing is merged. `kind` NULL: all that can have duplicates [DUP-1]. {"duplicates":[{"kind","alias","main":
 * {"id","name"},"score","evidence":[{"type","value",...}]}],"tooCommon":[{"kind","type","value","records"}],"more","compared"}; likeliest first, at most `limit`.
 * KAART_LIMIT: more records than are compared at once.
 */
int map_duplicates(struct map *map, const char *kind, size_t limit, cJSON **out, struct fault *fault);
/* {"records":{kind:n},"claims":n,"day","policy":hash,"caughtUp":bool} */
int map_status(struct map *map, cJSON **out, struct fault *fault);

#endif
