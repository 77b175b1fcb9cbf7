/*
 * map_internal.h - inside map*.c only: the connection, its statements, and a claim as read from its line.
 *
 *     map.c          open, schema, statements, state
 *     map_follow.c   a pass: feeds, policy, day; which records are due
 *     map_feed.c     a feed's entries -> claims
 *     map_batch.c    the records that a pass touched
 *     map_claims.c   the claims about a record, out of their lines
 *     map_record.c   claims of a record -> resolved row, its provenance and search text
 *     map_link.c     records that are the same
 *     map_link_plan.c  what to say so that they are, or are not
 *     map_duplicates.c  records that could be the same
 *     map_read.c     get, export, status
 *     map_why.c      the whole story of one record
 *     map_conflicts.c  where live claims differ
 *     map_stale.c    what was confirmed too long ago
 *     map_preview.c  what one more claim would change
 *     map_search.c   what a person typed -> FTS5
 *     map_sums.c     the hashes that two operators compare
 *     map_published.c the same, for everybody
 *     map_diff.c     what another policy would change; map_diff_links.c: which links it would have
 */
#ifndef KAARTD_STORE_MAP_INTERNAL_H
#define KAARTD_STORE_MAP_INTERNAL_H

#include "daemon/store/feeds.h"
#include "daemon/store/map.h"
#include "protocol/record.h"

#include <sqlite3.h>
#include <sys/types.h>

/* A record that nobody can read just now (its feed changed generation under us) is due at once: any day is later. */
#define DUE_NOW 0

enum map_query {
    Q_BEGIN,
    Q_BEGIN_READ,
    Q_COMMIT,
    Q_ROLLBACK,
    Q_STATE_GET,
    Q_STATE_PUT,
    Q_FEED_GET,
    Q_FEED_PUT,
    Q_FEED_LIST,
    Q_FEED_BY_NAME,
    Q_FEED_DELETE,
    Q_CLAIM_GET,
    Q_CLAIM_PUT,
    Q_CLAIM_SWEEP,
    Q_CLAIM_DELETE,
    Q_CLAIM_OLD,
    Q_CLAIM_OF_RECORD,
    Q_CLAIM_OF_SOURCE,
    Q_CLAIM_COUNT,
    Q_CONFIRMATION_GET,
    Q_CONFIRMATION_PUT,
    Q_CONFIRMATION_DELETE,
    Q_CONFIRMATION_OLD,
    Q_CONFIRMATION_OF_SOURCE,
    Q_CONFIRMATION_ANY,
    Q_RECORD_FIND,
    Q_RECORD_NAME,
    Q_RECORD_TEXT,
    Q_RECORD_INSERT,
    Q_RECORD_UPDATE,
    Q_RECORD_DELETE,
    Q_RECORD_MARK,
    Q_RECORD_MARK_ID,
    Q_RECORD_MARK_MAINS,
    Q_RECORD_MARK_ALIASES,
    Q_LINK_GET,
    Q_LINK_PUT,
    Q_LINK_DELETE,
    Q_LINK_MAIN,
    Q_LINK_PARTS,
    Q_LINK_FROM,
    Q_LINK_TO,
    Q_RECORD_ANY,
    Q_RECORD_DUE,
    Q_RECORD_AFTER,
    Q_RECORD_ROWS,
    Q_RECORD_GET,
    Q_RECORD_EACH,
    Q_RECORD_EACH_KIND,
    Q_RECORD_COUNTS,
    Q_RECORD_DIFFERS,
    Q_RECORD_ALL,
    Q_SEARCH_INSERT,
    Q_SEARCH_DELETE,
    Q_SEARCH_OPTIMIZE,
    Q_SEARCH,
    Q_SEARCH_KIND,
    Q_SEARCH_ONE,
    QUERY_COUNT
};

/* The sums that everybody may ask for, as they were told last. map_published.c */
struct published {
    bool known;
    struct hash claims, policy, winners;
    int64_t day, changes, at_ms;
    int64_t not_before_ms; /* monotonic: they are computed again then at the earliest */
};

struct map {
    sqlite3 *db;
    sqlite3_stmt *statements[QUERY_COUNT];
    struct feeds *feeds;
    struct hasher *hasher;
    char *path, *feeds_path;
    char audience[NAME_MAX_SIZE + 1]; /* of its feeds: no other's claims enter it [RES-2] */
    bool write;
    bool damaged; /* map.db, not feeds.db, contradicted itself */
    dev_t device; /* of the file that is open; a rebuilt map is another one */
    ino_t inode;
    bool links_changed;    /* records were marked as due by a link */
    struct policy *policy; /* what the map was resolved with; read from the state, kept by hash */
    /* The map's sum, kept until something changes. */
    int64_t sum_changes;
    struct hash sum;
    bool sum_known;
    struct published published;
};

/* A claim out of its line. `claim` points into it. */
struct loaded {
    struct entry entry;
    struct claim claim;
    char feed[FEED_NAME_MAX_SIZE + 1];
    char on_behalf_of[UUID_TEXT_SIZE + 1];
    cJSON *areas, *body;
    int64_t feed_id;
    struct loaded *next; /* about the same record, in a batch */
};

/* ---- map.c ---- */

/* An SQLite result as a kaart_error, with its text. */
int map_fault(struct map *map, int code, struct fault *fault);
/* Prepared once, reset, without bindings. */
int map_statement(struct map *map, enum map_query query, sqlite3_stmt **out, struct fault *fault);
/* 1: a row, 0: done (and reset), negative: failed (and reset). */
int map_step(struct map *map, sqlite3_stmt *statement, struct fault *fault);
/* For statements without rows: step and reset. */
int map_run(struct map *map, sqlite3_stmt *statement, struct fault *fault);
int map_simple(struct map *map, enum map_query query, struct fault *fault);
/* State: *value malloc'ed, NULL where there is none. */
int map_state_get(struct map *map, const char *key, char **value, struct fault *fault);
int map_state_put(struct map *map, const char *key, const char *value, struct fault *fault);
int map_state_number(struct map *map, const char *key, int64_t *value, struct fault *fault);
int map_state_put_number(struct map *map, const char *key, int64_t value, struct fault *fault);
/* Closes, deletes the file, opens an empty one (writing connection). */
int map_begin_anew(struct map *map, struct fault *fault);
/* A reader opens the file again where it was made anew; KAART_IO where there is none. */
int map_refresh(struct map *map, struct fault *fault);
/* One read of one state of the map (a writing connection may be in its own transaction already). */
int map_read_begin(struct map *map, struct fault *fault);
void map_read_end(struct map *map);
/* The policy with which the map was made; borrowed. NULL in a map that followed nothing yet. */
int map_stored_policy(struct map *map, const struct policy **out, struct fault *fault);

void map_uuid_bytes(const char *text, uint8_t bytes[16]);
void map_uuid_text(const uint8_t bytes[16], char text[UUID_TEXT_SIZE + 1]);
void map_bind_uuid(sqlite3_stmt *statement, int place, const char *text);
void map_bind_text(sqlite3_stmt *statement, int place, const char *text);

/* ---- map_claims.c ---- */

/* Reads a line; the caller frees with loaded_clear. Sets everything of `claim` but confirmation and `invalid`. */
int loaded_read(struct loaded *loaded, const char *feed, int64_t feed_id, const struct hash *leaf,
                const char *line, size_t size, struct fault *fault);
void loaded_clear(struct loaded *loaded);

/* All claims about some records, in order of (feed, seq). Those whose line is gone are left out and *incomplete is set. */
struct record_claims {
    struct loaded **items;
    bool *owned; /* else the batch's */
    struct claim *claims;
    size_t count;
    bool incomplete;
};
/* `parsed`: claims about them that a batch has in memory, a chain by `next`; may be NULL. */
int record_claims_load(struct map *map, const int64_t *records, size_t record_count, struct loaded *parsed,
                       struct record_claims *out, struct fault *fault);
void record_claims_clear(struct record_claims *claims);
/* The newest live confirmation of the claim's source in its feed. */
int map_add_confirmation(struct map *map, struct claim *claim, int64_t feed_id, struct fault *fault);

/* ---- map_link.c ---- */

struct record_place {
    int64_t record;
    char kind[NAME_MAX_SIZE + 1], id[UUID_TEXT_SIZE + 1];
};
/* KAART_UNKNOWN (without a text): there is no such row. */
int map_record_place(struct map *map, int64_t record, struct record_place *out, struct fault *fault);
/* The row of (kind, id), made if there is none. */
int map_record_of(struct map *map, const char *kind, const char *id, int64_t *record, struct fault *fault);
/* The main record of an alias whose link is in force; empty where there is none. */
int map_link_main(struct map *map, const struct record_place *place, char main[UUID_TEXT_SIZE + 1],
                  struct fault *fault);
/* The aliases of a main record whose links are in force, sorted; *out malloc'ed (NULL: none). */
int map_link_parts(struct map *map, const char *id, char (**out)[UUID_TEXT_SIZE + 1], size_t *count,
                   struct fault *fault);
/* The rows whose claims are claims about the record: its own first, then its aliases' of the same kind. `records` malloc'ed. */
struct record_members {
    int64_t *records;
    size_t count;
};
int map_record_members(struct map *map, const struct record_place *place, struct record_members *out,
                       struct fault *fault);
/* Parts of one record; a national organisation that every municipality entered on its own stays below. */
#define LINK_PARTS_MAX 512
struct link {
    char alias[UUID_TEXT_SIZE + 1], main[UUID_TEXT_SIZE + 1]; /* empty: none */
};
/* The link that a relation's resolution (NULL: none) is [LINK-1]. */
void map_link_of(const struct resolution *resolution, struct link *out);
/* After a relation was resolved (NULL: it is gone): notes its link and marks as due what that changes. */
int map_link_update(struct map *map, const struct record_place *place, const struct resolution *resolution,
                    struct fault *fault);

/* ---- map_record.c ---- */

/* Resolves a record (of an alias: its main record) and writes its row and search text; deletes the row when no claim is left. */
int map_resolve_record(struct map *map, int64_t record, const struct policy *policy, int32_t day,
                       struct loaded *parsed, bool *incomplete, struct fault *fault);

/* ---- map_read.c ---- */

/* A record's row. */
struct found_record {
    struct record_place place;
    bool shown;
    char *json, *provenance;
};
/* By id, kind NULL: whatever has it. KAART_INVALID (no UUID), KAART_UNKNOWN. */
int map_find(struct map *map, const char *kind, const char *id, struct found_record *out,
             struct fault *fault);
void found_record_clear(struct found_record *found);
/* As map_find, but of an alias its main record. */
int map_find_main(struct map *map, const char *kind, const char *id, struct found_record *out,
                  struct fault *fault);
/* Adds "parts" of a merged record, and "mergedFrom" where `asked` is one of them. */
int map_add_parts(struct map *map, cJSON *result, const struct record_place *place, const char *asked,
                  struct fault *fault);

/* The day that freshness is counted from [RES-9], of a claim as it stands in a row's provenance. */
int map_winner_day(struct map *map, const cJSON *item, int32_t day, int32_t *verified, struct fault *fault);

/* ---- map_why.c ---- */

/* One field as `why` shows it, appended to `list`: winner, rule, others with values. NULL without memory, else borrowed from the list. */
cJSON *map_add_field(cJSON *list, const struct resolution *resolution, const struct resolved_field *field,
                     const struct claim *claims);
/* ---- map_diff_links.c ---- */

/* The links that there would be, kept in memory. */
struct link_set;
struct link_set *link_set_new(void); /* NULL: no memory */
void link_set_free(struct link_set *set);
int link_set_add(struct link_set *set, const struct link *link, struct fault *fault);
/* After the last one was added, before the first question. */
int link_set_close(struct link_set *set, struct fault *fault);
/* As map_link_main; NULL where no link is in force. Borrowed. */
const char *link_set_main(const struct link_set *set, const struct record_place *place);
/* As map_link_parts: calls part(context, alias) for each; what it returns but 0 ends that. */
int link_set_parts(const struct link_set *set, const struct record_place *place,
                   int (*part)(void *context, const char *alias), void *context);

/* ---- map_sums.c ---- */
int map_sum_claims(struct map *map, struct hash *out, struct fault *fault);
int map_sum_winners(struct map *map, struct hash *out, struct fault *fault);
/* The same, computed again only if the map changed since. */
int map_sum_winners_kept(struct map *map, struct hash *out, struct fault *fault);

#endif
