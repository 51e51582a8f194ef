/* Two threads that never use the same data at once. */
#include "tests/lib/test.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "proxy/daemon/lab_thread.h"

enum { PATIENCE_MS = 20000 };

static struct {
    struct lab_thread *thread;
    pthread_t control;
    int steps;   /* whoever's turn it is */
    int refused; /* calls that were not run */
    int watched; /* an eventfd */
    _Atomic bool running, ended;
} rig;

static int open_rig(void **state)
{
    struct error error = {0};
    (void)state;
    memset(&rig, 0, sizeof(rig));
    rig.control = pthread_self();
    rig.watched = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return lab_thread_create(&rig.thread, &error);
}

static void work_last(void *context)
{
    (void)context;
    rig.ended = true;
}

static int close_rig(void **state)
{
    (void)state;
    lab_thread_destroy(rig.thread, work_last, NULL);
    assert_true(rig.ended);
    close(rig.watched);
    return 0;
}

static void step(void *context)
{
    (void)context;
    assert_true(pthread_equal(pthread_self(), rig.control));
    rig.steps++;
}

static void work_of_three_steps(void *context)
{
    (void)context;
    rig.running = true;
    for (int i = 0; i < 3; i++) {
        rig.steps *= 10;
        if (!lab_thread_ask(rig.thread, step, NULL))
            rig.refused++;
    }
}

static void serve(int count)
{
    struct pollfd polled = {.fd = lab_thread_fd(rig.thread), .events = POLLIN};
    while (count > 0) {
        assert_int_equal(poll(&polled, 1, PATIENCE_MS), 1);
        count -= lab_thread_serve(rig.thread);
    }
}

static void the_control_thread_does_the_steps(void **state)
{
    (void)state;
    assert_false(lab_thread_waits(rig.thread));
    assert_false(lab_thread_serve(rig.thread));
    for (int i = 1; i <= 100; i++) {
        rig.steps = 0;
        lab_thread_begin(rig.thread, work_of_three_steps, NULL);
        serve(3);
        assert_int_equal(rig.steps, 111);
        assert_int_equal(rig.refused, 0);
    }
}

static void nothing_is_asked_for_after_the_end(void **state)
{
    (void)state;
    lab_thread_begin(rig.thread, work_of_three_steps, NULL);
    serve(1);
    lab_thread_settle(rig.thread);
    assert_true(rig.running);
    assert_int_equal(rig.refused, 2);
    assert_int_equal(rig.steps, 100);
    assert_false(lab_thread_serve(rig.thread));
    assert_false(lab_thread_goes_on(rig.thread));
}

static void work_that_was_watched_for(void *context)
{
    eventfd_t count;
    (void)context;
    eventfd_read(rig.watched, &count);
    lab_thread_ask(rig.thread, step, NULL);
}

static void work_that_watches(void *context)
{
    (void)context;
    lab_thread_watch(rig.thread, rig.watched, work_that_was_watched_for, NULL);
    lab_thread_ask(rig.thread, step, NULL);
}

static void what_is_watched_makes_work(void **state)
{
    (void)state;
    lab_thread_begin(rig.thread, work_that_watches, NULL);
    serve(1);
    for (int i = 2; i < 5; i++) {
        assert_int_equal(eventfd_write(rig.watched, 1), 0);
        serve(1);
        assert_int_equal(rig.steps, i);
    }
    assert_int_equal(eventfd_write(rig.watched, 1), 0); /* unheard, or refused: it ends */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_rig, close_rig)
    const struct CMUnitTest tests[] = {
        TEST(the_control_thread_does_the_steps),
        TEST(nothing_is_asked_for_after_the_end),
        TEST(what_is_watched_makes_work),
    };
    return cmocka_run_group_tests_name("proxy/daemon/lab_thread", tests, NULL, NULL);
}
