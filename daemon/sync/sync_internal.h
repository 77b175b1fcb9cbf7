/*
 * sync_internal.h - what the files of daemon/sync/ share. Loop thread only, unless said otherwise.
 *
 *      sync.c          life, reload, status: the way in
 *      heads.c         what is held, as last read from the store: told to everybody whom it concerns
 *      jobs.c          jobs for the store's threads, in order, also while their queue is full
 *      request.c       one HTTP request to a peer, by its configuration
 *      puller.c        one feed at one peer, pulled              (protocol/pull.h)
 *      staging.c       ... its bytes on their way to the writer
 *      pusher.c        one feed and one peer that is told        (protocol/push.h)
 *      guard_shell.c   one own feed                              (protocol/guard.h)
 *      listing.c       what a peer shows, compared with what is held
 *      shown.c         how far peers are known to hold own feeds
 *      heartbeat.c     hourly signatures, and tidying in idle time
 *
 * Every part can be let go of at any time: requests and stagings are abandoned and end by themselves, jobs find whom they concern by name.
 */
#ifndef KAARTD_SYNC_INTERNAL_H
#define KAARTD_SYNC_INTERNAL_H

#include "daemon/sync/alarm.h"
#include "daemon/sync/sync.h"

#include "daemon/store/feeds.h"
#include "protocol/guard.h"
#include "protocol/pull.h"
#include "protocol/push.h"

#include <cjson/cJSON.h>

/* Transfers that run at one peer at a time: enough that a large first sync does not hold up the small news of other feeds. */
#define PEER_SLOTS 2

/* Bytes of one transfer that wait for the writer; beyond this its connection is paused. */
#define STAGING_QUEUE_MAX (1024u * 1024)
/* Bytes handed over as one job: large enough that jobs cost nothing, small enough that the writer turns to others in between. */
#define STAGING_CHUNK (128u * 1024)

/* One response of a stream, after decompression: a page is some 4 MiB [HTTP-12]; other implementations may send more. */
#define RESPONSE_SIZE_MAX (64ull * 1024 * 1024)
/* An answer that is one note in a JSON line: every byte of it could be escaped as six. */
#define SMALL_ANSWER_MAX (6u * NOTE_SIZE_MAX + 256)

/* ---- heads.c ---- */

/* A feed as last read. */
struct head {
    struct head *next;
    char feed[FEED_NAME_MAX_SIZE + 1];
    bool own;
    struct pull_held held;
    char frozen[256];
    char *note; /* NUL-terminated; NULL if not held */
    size_t note_size;
    char etag[HASH_SIZE * 2 + 5];
    bool reading, again; /* a read is under way; another is needed after it */
};
const struct head *heads_find(const struct sync *sync, const char *feed);
/* Reads the head from the store and tells pullers, pushers and guards. */
void heads_refresh(struct sync *sync, const char *feed);
/* Reads all; then ready(sync). 0, KAART_NOMEM. */
int heads_load(struct sync *sync, void (*ready)(struct sync *sync));
/* Takes a head that was read elsewhere (on the writer, right after a commit), without telling anybody. */
void heads_take(struct sync *sync, const struct feed_head *head);
void heads_free(struct sync *sync);

/* ---- jobs.c ---- */

enum job_worker { JOB_WRITER, JOB_READER };

/* Embedded as the first member of every job; malloc'ed. `run` on the worker's thread, `done` on the loop's, where the job is freed. */
struct job {
    struct job *next;
    struct sync *sync;
    enum job_worker worker;
    void (*run)(struct feeds *feeds, struct job *job);
    void (*done)(struct job *job);
};
/* In the order of calls for each worker; never refuses. */
void job_post(struct sync *sync, enum job_worker worker, struct job *job);
/* Sets the value of a key, or deletes it (NULL); failures are logged. */
void job_set_value(struct sync *sync, const char *key, const char *value);

/* ---- request.c ---- */

struct request;

/* What came. Bytes are borrowed. */
struct request_result {
    int code; /* KAART_OK: a response came */
    int status;
    int64_t retry_after_ms;
    uint64_t received_bytes;
    const char *text; /* for people: why not, or status and problem detail */
    const char *body; /* up to `small_max` bytes, NUL-terminated, unless `data` took them */
    size_t size;
};
struct request_options {
    const char *peer; /* its section gives URL, pins, ... */
    const char *method;
    const char *feed; /* NULL: GET /v1/feeds */
    const char *what; /* "checkpoint", "changes" */
    bool ranged;      /* add ?epoch=&since= */
    uint64_t epoch, since;
    const char *if_none_match; /* NULL: none */
    const char *content_type;
    const char *body;
    size_t body_size;
    uint64_t size_max;
    size_t small_max; /* collected in memory */
    /* Body bytes of a 200 as they come; NULL: collect. False: pause; they come again after request_resume. */
    bool (*data)(void *context, const char *bytes, size_t size);
    void (*done)(
        void *context,
        const struct request_result *result); /* exactly once, unless abandoned; the request is freed then */
    void *context;
};
/* 0 with *out; KAART_UNKNOWN (no such peer, or one without URL), KAART_INVALID, KAART_NOMEM, KAART_IO. */
int request_start(struct sync *sync, const struct request_options *options, struct request **out,
                  struct fault *fault);
void request_resume(struct request *request);
/* Ends it; no callback comes any more. Accepts NULL. */
void request_abandon(struct request *request);

/* Opens a note under the keys configured for `feed`. Errors of checkpoint_open; KAART_KEY if there are none. */
int sync_open_note(const struct sync *sync, const char *feed, const char *note, size_t size,
                   struct checkpoint *out, struct fault *fault);
/* The note of a stream that is a checkpoint line alone; malloc'ed, NUL-terminated. */
int sync_parse_head_line(const char *line, size_t size, uint64_t since, char **note, size_t *note_size,
                         struct fault *fault);

/* ---- peers ---- */

struct puller;
struct pusher;
struct listing;
struct shown;

struct sync_peer {
    struct sync_peer *next;
    char name[ORIGIN_MAX_SIZE + 1];
    struct puller *pullers;
    struct pusher *pushers;
    struct listing *listing;
    struct shown *shown;                   /* of own feeds */
    struct puller *waiting, **waiting_end; /* for a slot */
    unsigned slots_used;
    uint64_t requests;
    uint64_t bytes_in;
    int64_t last_success_ms;
    int64_t last_error_ms;
    char last_error[512];
    uint32_t refusals[PULL_CODES]; /* of pullers that are gone */
};
void peer_note_error(struct sync *sync, struct sync_peer *peer, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- shown.c ---- */

/* A peer showed, or said, that it holds `feed` to this size now. Of feeds that are not own ones nothing is kept. */
void shown_take(struct sync *sync, struct sync_peer *peer, const char *feed, uint64_t epoch, uint64_t size);
void shown_free(struct sync_peer *peer);

struct guard_shell;

struct sync {
    struct node *node;
    struct alarms *alarms;
    struct head *heads;
    struct sync_peer *peers;
    struct guard_shell *guards;
    struct heartbeats *heartbeats;
    struct job *backlog[2], **backlog_end[2]; /* by worker */
    struct alarm backlog_alarm;
    unsigned jobs; /* posted or in the backlog */
    bool clean;    /* the last shutdown was clean */
    bool ready;    /* heads are read */
    bool stopping;
    void (*stopped)(void *context);
    void *stopped_context;
};
int64_t sync_clock(const struct sync *sync);
struct sync_peer *sync_peer_find(const struct sync *sync, const char *name);
/* Whether a configuration's peer takes part in exchanges at all. */
bool sync_peer_active(const struct config_peer *peer);
/* "origin/..." begins with `origin`. */
bool sync_feed_of(const char *feed, const char *origin);
const char *sync_audience(const char *feed);
/* An ISO instant of the steady clock as string member, or null for 0. */
void sync_add_time(const struct sync *sync, cJSON *object, const char *name, int64_t at_ms);

/* ---- puller.c ---- */

struct puller *puller_new(struct sync *sync, struct sync_peer *peer, const char *feed);
/* For taking an own feed back: pulls once, then finished(context, code, text) and is to be freed by the caller. */
struct puller *puller_new_once(struct sync *sync, struct sync_peer *peer, const char *feed,
                               void (*finished)(void *context, int code, const char *text), void *context);
void puller_free(struct puller *puller); /* what it staged is kept for later */
void puller_reload(struct puller *puller);
void puller_hint(struct puller *puller);
void puller_now(struct puller *puller);
void puller_head_moved(struct puller *puller, const struct head *head);
const char *puller_feed(const struct puller *puller);
struct puller **puller_link(struct puller *puller);       /* next in its peer's list */
struct puller **puller_queue_link(struct puller *puller); /* next in the queue for a slot */
void puller_slot_free(struct puller *puller);             /* its turn has come */
void puller_get_status(const struct puller *puller, struct pull_status *status);
cJSON *puller_status(const struct puller *puller);

/* ---- staging.c: one stage on the writer, fed from the loop ---- */

struct staging;

struct staging_events {
    void *context;
    void (*opened)(void *context, uint64_t since);
    /* Opening, writing, ending or committing failed. `local`: this node's own trouble. */
    void (*failed)(void *context, int code, bool local, const char *text);
    /* A response ended: with `next`, or with a note (borrowed). */
    void (*ended)(void *context, const struct stage_progress *progress);
    void (*committed)(void *context, const struct feed_head *head);
    void (*drained)(void *context); /* less than half of the queue's bound waits */
};
/* Opens a stage. NULL: no memory. */
struct staging *staging_open(struct sync *sync, const struct stage_plan *plan,
                             const struct staging_events *events);
/* False: too much waits; come again when drained. The bytes are copied. Memory trouble shows as failed. */
bool staging_write(struct staging *staging, const char *bytes, size_t size);
void staging_end_response(struct staging *staging);
void staging_commit(struct staging *staging, const struct checkpoint *checkpoint, const char *note,
                    size_t note_size);
/* Puts away or deletes; no callback comes any more, `staging` is gone. Accept NULL. */
void staging_keep(struct staging *staging);
void staging_drop(struct staging *staging);

/* ---- pusher.c ---- */

struct pusher *pusher_new(struct sync *sync, struct sync_peer *peer, const char *feed);
void pusher_free(struct pusher *pusher);
void pusher_head_moved(struct pusher *pusher, const struct head *head);
void pusher_now(struct pusher *pusher);
const char *pusher_feed(const struct pusher *pusher);
struct pusher **pusher_link(struct pusher *pusher);
cJSON *pusher_status(const struct pusher *pusher);

/* ---- guard_shell.c ---- */

/* Brings the guards in line with the configured own feeds. */
void guards_reload(struct sync *sync);
void guards_free(struct sync *sync);
/* An own-signed head was seen at `peer`. */
void guards_seen(struct sync *sync, const char *feed, const struct checkpoint *head);
/* A peer says that it holds more of an own feed than this node: look at its note. */
void guards_suspect(struct sync *sync, const char *feed, const char *peer);
bool guards_may_sign(const struct sync *sync, const char *feed, const char **reason);
int guards_decide(struct sync *sync, const char *feed);
cJSON *guards_status(const struct sync *sync);

/* ---- listing.c ---- */

struct listing *listing_new(struct sync *sync, struct sync_peer *peer);
void listing_free(struct listing *listing); /* accepts NULL */
void listing_now(struct listing *listing);
/* Freezes a feed on the proof of two notes. */
void sync_freeze(struct sync *sync, const char *feed, const char *reason, const char *note_a,
                 const char *note_b);

/* ---- heartbeat.c ---- */

int heartbeats_start(struct sync *sync);
void heartbeats_stop(struct sync *sync);
/* The guard or the head of an own feed changed: the next heartbeat may be due at another time. */
void heartbeats_look(struct sync *sync);
/* Something was written: old generations and the log are worth a look as soon as the writer has time. */
void heartbeats_tidy_soon(struct sync *sync);

#endif
