/*
 * worker.h - a thread that owns a database connection, with a bounded queue in front and results back on the loop.
 *
 * Three of them make the store: the writer (feeds.db), the mapper (map.db, reads feeds.db), the reader (both, read
 * only). The event loop never touches SQLite. Jobs run in the order in which they were posted.
 */
#ifndef KAARTD_STORE_WORKER_H
#define KAARTD_STORE_WORKER_H

#include <stddef.h>
#include <uv.h>

struct worker;

/* Runs on the worker's thread. `state` is what was handed to worker_start. */
typedef void worker_run(void *state, void *job);
/* Runs on the loop's thread after worker_run. */
typedef void worker_done(void *job);

/* Starts the thread. `queue_max` bounds the jobs that wait. 0, KAART_NOMEM or KAART_IO. */
int worker_start(uv_loop_t *loop, const char *name, size_t queue_max, void *state, struct worker **out);

/* Loop thread only. The job stays the caller's; `done` (may be NULL) is where it is freed. 0, or KAART_BUSY when the queue is full: nothing was taken. */
int worker_post(struct worker *worker, worker_run *run, worker_done *done, void *job);

/* Jobs waiting or running, for backpressure and metrics. Loop thread only. */
size_t worker_load(const struct worker *worker);

/* Lets the queue run empty, joins the thread, runs the remaining `done` callbacks, closes its handle (the loop must run once more), frees the worker (accepts NULL). Loop thread only. */
void worker_stop(struct worker *worker);

#endif
