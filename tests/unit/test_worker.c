/* The worker: order, bound, results on the loop, and an end that loses nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/store/worker.h"
#include "protocol/error.h"

#include <stdbool.h>
#include <string.h>

struct job {
    struct log *log;
    int number;
    uv_thread_t ran_on, done_on;
    struct worker *post_again;
};

struct log {
    int ran[64], done[64];
    size_t ran_count, done_count;
    uv_sem_t gate;
};

static void run(void *state, void *argument)
{
    struct job *job = argument;
    struct log *log = state;
    job->ran_on = uv_thread_self();
    log->ran[log->ran_count++] = job->number;
}

static void run_gated(void *state, void *argument)
{
    struct log *log = state;
    uv_sem_wait(&log->gate);
    run(state, argument);
}

static void done(void *argument)
{
    struct job *job = argument;
    job->done_on = uv_thread_self();
    job->log->done[job->log->done_count++] = job->number;
    if (job->post_again != NULL) {
        struct worker *worker = job->post_again;
        job->post_again = NULL;
        job->number += 100;
        assert_int_equal(worker_post(worker, run, done, job), KAART_OK);
    }
}

static void jobs_run_in_order_and_come_back(void **state)
{
    (void)state;
    uv_loop_t loop;
    struct log log = {0};
    struct worker *worker;
    struct job jobs[10];
    uv_loop_init(&loop);
    assert_int_equal(worker_start(&loop, "test", 10, &log, &worker), KAART_OK);
    for (int i = 0; i < 10; i++) {
        jobs[i] = (struct job){.log = &log, .number = i};
        assert_int_equal(worker_post(worker, run, done, &jobs[i]), KAART_OK);
    }
    assert_int_equal(worker_load(worker), 10);
    uv_run(&loop, UV_RUN_DEFAULT); /* ends although the worker lives: it is idle */
    assert_int_equal(worker_load(worker), 0);
    assert_int_equal(log.done_count, 10);
    uv_thread_t self = uv_thread_self();
    for (int i = 0; i < 10; i++) {
        assert_int_equal(log.ran[i], i);
        assert_int_equal(log.done[i], i);
        assert_false(uv_thread_equal(&jobs[i].ran_on, &self));
        assert_true(uv_thread_equal(&jobs[i].done_on, &self));
    }
    worker_stop(worker);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void a_full_queue_takes_nothing(void **state)
{
    (void)state;
    uv_loop_t loop;
    struct log log = {0};
    struct worker *worker;
    struct job jobs[3];
    uv_loop_init(&loop);
    uv_sem_init(&log.gate, 0);
    assert_int_equal(worker_start(&loop, "test", 2, &log, &worker), KAART_OK);
    for (int i = 0; i < 3; i++) {
        jobs[i] = (struct job){.log = &log, .number = i};
        assert_int_equal(worker_post(worker, run_gated, done, &jobs[i]), i < 2 ? KAART_OK : KAART_BUSY);
    }
    uv_sem_post(&log.gate);
    uv_sem_post(&log.gate);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(log.done_count, 2);
    worker_stop(worker);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    uv_sem_destroy(&log.gate);
}

static void done_may_post_again(void **state)
{
    (void)state;
    uv_loop_t loop;
    struct log log = {0};
    struct worker *worker;
    uv_loop_init(&loop);
    assert_int_equal(worker_start(&loop, "test", 1, &log, &worker), KAART_OK);
    struct job job = {.log = &log, .number = 1, .post_again = worker};
    assert_int_equal(worker_post(worker, run, done, &job), KAART_OK);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(log.done_count, 2);
    assert_int_equal(log.done[1], 101);
    worker_stop(worker);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void stop_finishes_what_waits(void **state)
{
    (void)state;
    uv_loop_t loop;
    struct log log = {0};
    struct worker *worker;
    struct job jobs[20];
    uv_loop_init(&loop);
    assert_int_equal(worker_start(&loop, "test", 20, &log, &worker), KAART_OK);
    for (int i = 0; i < 20; i++) {
        jobs[i] = (struct job){.log = &log, .number = i};
        assert_int_equal(worker_post(worker, run, done, &jobs[i]), KAART_OK);
    }
    worker_stop(worker);
    assert_int_equal(log.done_count, 20);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

struct last {
    struct worker *worker;
    bool stopped;
};

static void run_nothing(void *state, void *argument)
{
    (void)state;
    (void)argument;
}

static void stop_from_done(void *argument)
{
    struct last *last = argument;
    worker_stop(last->worker);
    last->stopped = true;
}

static void a_done_callback_may_stop_its_worker(void **state)
{
    (void)state;
    uv_loop_t loop;
    struct last last = {0};
    uv_loop_init(&loop);
    assert_int_equal(worker_start(&loop, "test", 4, NULL, &last.worker), KAART_OK);
    assert_int_equal(worker_post(last.worker, run_nothing, stop_from_done, &last), KAART_OK);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_true(last.stopped);
    assert_int_equal(uv_loop_close(&loop), 0);
    worker_stop(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_run_in_order_and_come_back),
        cmocka_unit_test(a_full_queue_takes_nothing),
        cmocka_unit_test(done_may_post_again),
        cmocka_unit_test(stop_finishes_what_waits),
        cmocka_unit_test(a_done_callback_may_stop_its_worker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
