/*
 * push_transfer.c - see push_transfer.h.
 *
 *   loop:    OPENING --stage open--> RECEIVING --body ended--> COMMITTING --> done(TAKEN | PAGE | REFUSED
 * ...)
 *               |                        |  \
 *               |                        |   +-- caller gone: KEEPING --> done(BROKEN)
 *               +--> done(POSITION ...)  +-- bytes refused: DROPPING --> done(REFUSED)
 *   writer:  one job at a time, embedded here; the loop gathers the next bytes meanwhile, and pauses the
 * caller when they are a chunk
 *
 * `stage` belongs to the writer's thread. The members under "the job" belong to whoever has it.
 */
#include "daemon/api/push_transfer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Bytes handed to the writer at once; as much again gathers meanwhile, plus one piece from the server. */
#define CHUNK_SIZE (128u * 1024)
/* One request, after decompression: a page is some 4 MiB [HTTP-12]; other implementations may send more. */
#define BODY_MAX (64ull * 1024 * 1024)
/* After the writer's queue was full. */
#define RETRY_MS 20

enum step { STEP_OPEN, STEP_WRITE, STEP_FINISH, STEP_KEEP, STEP_DROP };
enum body { BODY_RUNNING, BODY_WHOLE, BODY_BROKEN };

struct push_transfer {
    struct node *node;
    struct http_exchange *exchange;
    struct push_transfer_plan plan;
    void (*done)(void *context, struct http_exchange *exchange, const struct push_result *result);
    void *context;
    uv_timer_t retry;

    struct stage *stage; /* the writer's */

    /* the job */
    enum step step;
    char *chunk;
    size_t chunk_size;
    struct push_result result;
    struct feed_head head;

    /* the loop's */
    bool running; /* the job is with the writer, or waits for its queue */
    char *gathered;
    size_t gathered_size;
    enum body body;
    bool paused, streaming;
};

/* ---- on the writer's thread ---- */

static bool is_local(int code)
{
    return code == KAART_IO || code == KAART_NOMEM || code == KAART_CORRUPT || code == KAART_BUSY;
}

static void set_failed(struct push_transfer *transfer, int code)
{
    transfer->result.code = code;
    transfer->result.outcome = code == KAART_OVERTAKEN ? PUSH_OUTCOME_STALE
                               : is_local(code)        ? PUSH_OUTCOME_LOCAL
                                                       : PUSH_OUTCOME_REFUSED;
}

static void run_open(struct push_transfer *transfer, struct feeds *feeds)
{
    const struct push_transfer_plan *plan = &transfer->plan;
    struct stage_plan stage_plan = {.feed = plan->feed,
                                    .source = plan->source,
                                    .full = plan->full,
                                    .epoch = plan->epoch,
                                    .since = plan->base,
                                    .entries_max = plan->entries_max};
    struct push_result *result = &transfer->result;

    result->code = stage_open(feeds, &stage_plan, &transfer->stage, &result->position, &result->fault);
    if (result->code) {
        set_failed(transfer, result->code);
        if (result->code == KAART_BUSY)
            result->outcome = PUSH_OUTCOME_BUSY;
    } else if (result->position != plan->since) {
        stage_keep(transfer->stage);
        transfer->stage = NULL;
        result->outcome = PUSH_OUTCOME_POSITION;
    }
}

/* The stream's own checkpoint decides, not the one that was offered before; but an older one would be a step
 * back. */
static int check_note(const struct push_transfer *transfer, const struct stage_progress *progress,
                      struct checkpoint *checkpoint, struct fault *fault)
{
    const struct checkpoint *offered = &transfer->plan.offered;
    int code = checkpoint_open(progress->note, progress->note_size, transfer->plan.feed, transfer->plan.keys,
                               transfer->plan.key_count, checkpoint, fault);

    if (code)
        return code;
    if (checkpoint->epoch != offered->epoch || checkpoint->size < offered->size ||
        checkpoint->time_s < offered->time_s)
        return fault_set(fault, KAART_INVALID,
                         "the stream ends in an older checkpoint than was offered [SYNC-4]");
    return KAART_OK;
}

static int commit(struct push_transfer *transfer, struct feeds *feeds, const struct stage_progress *progress)
{
    struct fault *fault = &transfer->result.fault;
    struct checkpoint checkpoint;
    char note[NOTE_SIZE_MAX];
    bool was_frozen;
    int code;

    if (progress->note_size > sizeof(note))
        return fault_set(fault, KAART_LIMIT, "a note of more than %d bytes [NOTE-1]", NOTE_SIZE_MAX);
    code = check_note(transfer, progress, &checkpoint, fault);
    if (code)
        return code;
    memcpy(note, progress->note, progress->note_size); /* the stage's own goes with it */
    was_frozen =
        feeds_head(feeds, transfer->plan.feed, &transfer->head, NULL) == KAART_OK && transfer->head.frozen[0];
    code = stage_commit(transfer->stage, &checkpoint, note, progress->note_size, fault);
    transfer->stage = NULL;
    if (!code &&
        was_frozen) /* only a higher epoch leads on from a frozen state, and it ends the freeze [DEATH-6] */
        code = feeds_freeze(feeds, transfer->plan.feed, "", NULL, fault);
    return code ? code : feeds_head(feeds, transfer->plan.feed, &transfer->head, fault);
}

static void run_finish(struct push_transfer *transfer, struct feeds *feeds)
{
    struct push_result *result = &transfer->result;
    struct stage_progress progress;
    int code = stage_end_response(transfer->stage, &progress, &result->fault);

    if (!code) {
        result->entries = progress.entries;
        if (!progress.complete) {
            stage_keep(transfer->stage);
            transfer->stage = NULL;
            result->outcome = PUSH_OUTCOME_PAGE;
            result->position = progress.next;
            return;
        }
        code = commit(transfer, feeds, &progress);
    }
    if (code) {
        stage_drop(transfer->stage);
        transfer->stage = NULL;
        set_failed(transfer, code);
        return;
    }
    result->outcome = PUSH_OUTCOME_TAKEN;
    result->head = &transfer->head.checkpoint;
    result->position = transfer->head.checkpoint.size;
}

static void run_step(void *state, void *context)
{
    struct push_transfer *transfer = context;
    struct push_result *result = &transfer->result;

    switch (transfer->step) {
    case STEP_OPEN:
        run_open(transfer, state);
        return;
    case STEP_WRITE:
        result->code = stage_write(transfer->stage, transfer->chunk, transfer->chunk_size, &result->fault);
        if (result->code)
            set_failed(transfer, result->code);
        return;
    case STEP_FINISH:
        run_finish(transfer, state);
        return;
    case STEP_KEEP:
        stage_keep(transfer->stage);
        transfer->stage = NULL;
        return;
    case STEP_DROP:
        stage_drop(transfer->stage);
        transfer->stage = NULL;
        return;
    }
}

/* ---- on the loop ---- */

static void on_closed(uv_handle_t *handle)
{
    struct push_transfer *transfer = handle->data;

    free(transfer->chunk);
    free(transfer->gathered);
    free(transfer);
}

static void finish(struct push_transfer *transfer)
{
    struct http_exchange *exchange = transfer->exchange;

    transfer->done(transfer->context, exchange, &transfer->result);
    exchange_release(exchange);
    uv_close((uv_handle_t *)&transfer->retry, on_closed);
}

static void done_step(void *context);
static void pump(struct push_transfer *transfer);

static void on_retry(uv_timer_t *timer)
{
    struct push_transfer *transfer = timer->data;

    if (worker_post(transfer->node->writer, run_step, done_step, transfer) != KAART_OK)
        uv_timer_start(&transfer->retry, on_retry, RETRY_MS, 0);
}

static void post(struct push_transfer *transfer, enum step step)
{
    transfer->step = step;
    transfer->running = true;
    if (worker_post(transfer->node->writer, run_step, done_step, transfer) != KAART_OK)
        uv_timer_start(&transfer->retry, on_retry, RETRY_MS, 0);
}

static void on_data(void *context, struct http_exchange *exchange, const char *bytes, size_t size)
{
    struct push_transfer *transfer = context;

    if (!transfer->streaming) /* refused already; the answer is on its way */
        return;
    /* Below CHUNK_SIZE before, and a piece is at most 64 KiB, which the buffer has room for. */
    assert(transfer->gathered_size + size <= 2 * CHUNK_SIZE);
    memcpy(transfer->gathered + transfer->gathered_size, bytes, size);
    transfer->gathered_size += size;
    pump(transfer);
    if (transfer->gathered_size >= CHUNK_SIZE) {
        transfer->paused = true;
        exchange_pause(exchange);
    }
}

static void on_end(void *context, struct http_exchange *exchange, bool complete)
{
    struct push_transfer *transfer = context;

    (void)exchange;
    transfer->body = complete ? BODY_WHOLE : BODY_BROKEN;
    pump(transfer);
}

/* Gives the writer the next thing there is to do. */
static void pump(struct push_transfer *transfer)
{
    if (transfer->running || !transfer->streaming)
        return;
    if (transfer->body == BODY_BROKEN) {
        transfer->result.outcome = PUSH_OUTCOME_BROKEN;
        post(transfer, STEP_KEEP);
    } else if (transfer->gathered_size >= CHUNK_SIZE ||
               (transfer->gathered_size && transfer->body == BODY_WHOLE)) {
        char *empty = transfer->chunk;

        transfer->chunk = transfer->gathered;
        transfer->chunk_size = transfer->gathered_size;
        transfer->gathered = empty;
        transfer->gathered_size = 0;
        post(transfer, STEP_WRITE);
    } else if (transfer->body == BODY_WHOLE) {
        post(transfer, STEP_FINISH);
    }
}

static void begin_body(struct push_transfer *transfer)
{
    transfer->streaming = true;
    exchange_stream(transfer->exchange, BODY_MAX, on_data, on_end, transfer);
}

static void done_step(void *context)
{
    struct push_transfer *transfer = context;

    transfer->running = false;
    if (transfer->step == STEP_OPEN && !transfer->result.code &&
        transfer->result.outcome != PUSH_OUTCOME_POSITION) {
        begin_body(transfer);
        return;
    }
    if (transfer->step != STEP_WRITE) {
        finish(transfer);
        return;
    }
    if (transfer->result.code) {
        transfer->streaming = false; /* what still comes is of no interest: done() answers */
        post(transfer, STEP_DROP);
        return;
    }
    pump(transfer);
    if (transfer->paused && transfer->gathered_size < CHUNK_SIZE) {
        transfer->paused = false;
        exchange_resume(transfer->exchange); /* may bring more at once */
    }
}

int push_transfer_start(struct node *node, struct http_exchange *exchange,
                        const struct push_transfer_plan *plan,
                        void (*done)(void *context, struct http_exchange *exchange,
                                     const struct push_result *result),
                        void *context, struct push_transfer **out)
{
    struct push_transfer *transfer = calloc(1, sizeof(*transfer));

    if (!transfer)
        return KAART_NOMEM;
    transfer->chunk = malloc(2 * CHUNK_SIZE);
    transfer->gathered = malloc(2 * CHUNK_SIZE);
    transfer->node = node;
    transfer->exchange = exchange;
    transfer->plan = *plan;
    transfer->done = done;
    transfer->context = context;
    transfer->step = STEP_OPEN;
    transfer->running = true;
    if (!transfer->chunk || !transfer->gathered ||
        worker_post(node->writer, run_step, done_step, transfer) != KAART_OK) {
        int code = transfer->chunk && transfer->gathered ? KAART_BUSY : KAART_NOMEM;

        free(transfer->chunk);
        free(transfer->gathered);
        free(transfer);
        return code;
    }
    uv_timer_init(node->loop, &transfer->retry);
    transfer->retry.data = transfer;
    exchange_hold(exchange);
    *out = transfer;
    return KAART_OK;
}
