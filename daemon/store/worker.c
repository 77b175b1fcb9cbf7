/*
 * worker.c - a thread with a bounded queue in front and finished jobs back on the loop.
 *
 *     loop                        worker's thread
 *     worker_post --> [waiting] --> run() --> [finished] --uv_async_send--> loop: done()
 *
 * The handle keeps the loop alive only while jobs are on their way, so that a loop with an idle worker can
 * end.
 */
#include "daemon/store/worker.h"

#include "protocol/error.h"

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

/* What a thread's name may hold (pthread_setname_np(3)). */
#define THREAD_NAME_SIZE 16

struct item {
    struct item *next;
    worker_run *run;
    worker_done *done;
    void *job;
};

struct list {
    struct item *first, **end;
};

struct worker {
    uv_thread_t thread;
    uv_async_t wake;   /* tells the loop that `finished` has something */
    uv_mutex_t lock;   /* guards what stands below, up to the empty line */
    uv_cond_t arrived; /* `waiting` or `stopping` changed */
    struct list waiting, finished;
    bool stopping;

    void *state;
    size_t load, queue_max; /* loop thread only */
    char name[THREAD_NAME_SIZE];
};

static void list_init(struct list *list)
{
    list->first = NULL;
    list->end = &list->first;
}

static void list_push(struct list *list, struct item *item)
{
    item->next = NULL;
    *list->end = item;
    list->end = &item->next;
}

static struct item *list_pop(struct list *list)
{
    struct item *item = list->first;
    if (item != NULL) {
        list->first = item->next;
        if (list->first == NULL)
            list->end = &list->first;
    }
    return item;
}

static void work(void *argument)
{
    struct worker *worker = argument;
    pthread_setname_np(pthread_self(), worker->name);
    uv_mutex_lock(&worker->lock);
    for (;;) {
        struct item *item = list_pop(&worker->waiting);
        if (item == NULL) {
            if (worker->stopping)
                break;
            uv_cond_wait(&worker->arrived, &worker->lock);
            continue;
        }
        uv_mutex_unlock(&worker->lock);
        item->run(worker->state, item->job);
        uv_mutex_lock(&worker->lock);
        list_push(&worker->finished, item);
        uv_async_send(&worker->wake);
    }
    uv_mutex_unlock(&worker->lock);
}

/* Calls back for all that is finished; `done` may post again. */
static void drain(struct worker *worker)
{
    for (;;) {
        uv_mutex_lock(&worker->lock);
        struct item *item = list_pop(&worker->finished);
        uv_mutex_unlock(&worker->lock);
        if (item == NULL)
            return;
        if (--worker->load == 0)
            uv_unref((uv_handle_t *)&worker->wake);
        if (item->done != NULL)
            item->done(item->job);
        free(item);
    }
}

static void on_wake(uv_async_t *wake)
{
    drain(wake->data);
}

/* Only here, since worker_stop may be called from a `done`, inside drain. */
static void on_closed(uv_handle_t *handle)
{
    struct worker *worker = handle->data;
    uv_cond_destroy(&worker->arrived);
    uv_mutex_destroy(&worker->lock);
    free(worker);
}

int worker_start(uv_loop_t *loop, const char *name, size_t queue_max, void *state, struct worker **out)
{
    struct worker *worker = calloc(1, sizeof(*worker));
    if (worker == NULL)
        return KAART_NOMEM;
    worker->state = state;
    worker->queue_max = queue_max;
    snprintf(worker->name, sizeof(worker->name), "%s", name);
    list_init(&worker->waiting);
    list_init(&worker->finished);
    if (uv_mutex_init(&worker->lock) != 0)
        goto no_mutex;
    if (uv_cond_init(&worker->arrived) != 0)
        goto no_condition;
    if (uv_async_init(loop, &worker->wake, on_wake) != 0)
        goto no_handle;
    worker->wake.data = worker;
    uv_unref((uv_handle_t *)&worker->wake);
    if (uv_thread_create(&worker->thread, work, worker) != 0) {
        uv_close((uv_handle_t *)&worker->wake, on_closed);
        return KAART_IO;
    }
    *out = worker;
    return KAART_OK;

no_handle:
    uv_cond_destroy(&worker->arrived);
no_condition:
    uv_mutex_destroy(&worker->lock);
no_mutex:
    free(worker);
    return KAART_IO;
}

int worker_post(struct worker *worker, worker_run *run, worker_done *done, void *job)
{
    if (worker->stopping || worker->load >= worker->queue_max)
        return KAART_BUSY;
    struct item *item = malloc(sizeof(*item));
    if (item == NULL)
        return KAART_BUSY;
    *item = (struct item){.run = run, .done = done, .job = job};
    if (worker->load++ == 0)
        uv_ref((uv_handle_t *)&worker->wake);
    uv_mutex_lock(&worker->lock);
    list_push(&worker->waiting, item);
    uv_cond_signal(&worker->arrived);
    uv_mutex_unlock(&worker->lock);
    return KAART_OK;
}

size_t worker_load(const struct worker *worker)
{
    return worker->load;
}

void worker_stop(struct worker *worker)
{
    if (worker == NULL)
        return;
    assert(!worker->stopping);
    uv_mutex_lock(&worker->lock);
    worker->stopping = true;
    uv_cond_signal(&worker->arrived);
    uv_mutex_unlock(&worker->lock);
    uv_thread_join(&worker->thread);
    drain(worker);
    uv_close((uv_handle_t *)&worker->wake, on_closed);
}
