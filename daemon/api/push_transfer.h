/*
 * push_transfer.h - one request whose body is a change stream, on its way into a stage on the writer's
 * thread. Loop thread only.
 */
#ifndef KAARTD_API_PUSH_TRANSFER_H
#define KAARTD_API_PUSH_TRANSFER_H

#include "daemon/net/http_server.h"
#include "daemon/node.h"
#include "daemon/store/feeds.h"

/* What a transfer is to become; copied. */
struct push_transfer_plan {
    char feed[FEED_NAME_MAX_SIZE + 1];
    char source[ORIGIN_MAX_SIZE + 1]; /* the peer */
    bool full;
    uint64_t epoch, base; /* the plan of the stage: since 0 for full, the held size for a delta */
    uint64_t since;       /* what the request says */
    uint64_t entries_max;
    struct checkpoint offered; /* the stream's checkpoint must not be older */
    struct verifier_key keys[FEED_KEYS_MAX];
    size_t key_count;
};

enum push_outcome {
    PUSH_OUTCOME_PAGE,     /* taken so far; `position` is where to go on */
    PUSH_OUTCOME_TAKEN,    /* verified and visible: `head` */
    PUSH_OUTCOME_POSITION, /* the stage wants another `position` than the request begins at */
    PUSH_OUTCOME_STALE,    /* the held state has moved: offer again */
    PUSH_OUTCOME_BUSY,     /* another transfer of this peer has the stage */
    PUSH_OUTCOME_REFUSED,  /* what came was wrong: `code`, `fault`; the stage is gone */
    PUSH_OUTCOME_LOCAL,    /* this node's own trouble: `code`, `fault` */
    PUSH_OUTCOME_BROKEN, /* the caller went away, or broke a bound of HTTP (and has its answer); what came is
                            kept */
};

struct push_result {
    enum push_outcome outcome;
    uint64_t position;
    uint64_t entries; /* staged in all */
    const struct checkpoint *head;
    int code;
    struct fault fault;
};

struct push_transfer;

/* Opens the stage, reads the body and commits. done() is called exactly once, from the loop; the exchange is
 * still held then and, but for BROKEN, unanswered. The transfer is freed after it. 0, KAART_NOMEM, KAART_BUSY
 * (the writer's queue is full): done() is not called then. */
int push_transfer_start(struct node *node, struct http_exchange *exchange,
                        const struct push_transfer_plan *plan,
                        void (*done)(void *context, struct http_exchange *exchange,
                                     const struct push_result *result),
                        void *context, struct push_transfer **out);

#endif
