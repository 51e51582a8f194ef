#include "tests/lib/test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <unistd.h>

#include "examples/raftkv/server/listener.h"
#include "proxy/base/monotonic.h"
#include "proxy/io/socket.h"

static unsigned ready_count;
static int accepted;

static void ready(struct loop_watch *watch, uint32_t events)
{
    (void)events;
    ready_count++;
    accepted = listener_accept(loop_container(watch, struct listener, watch));
}

static void turn_until_ready(struct loop *loop, unsigned count)
{
    uint64_t end = monotonic_now_ns() + 10 * NS_PER_S;
    while (ready_count < count) {
        assert_true(monotonic_now_ns() < end);
        loop_turn(loop, end);
    }
}

/* Out of descriptors, a connection that waits must not make the loop spin; later it is accepted. */
static void running_out_of_descriptors_pauses(void **state)
{
    (void)state;
    struct error error = {0};
    struct address local, bound;
    struct listener listener = {0};
    struct loop *loop;
    struct rlimit before, full;
    assert_int_equal(address_parse("127.0.0.1:0", &local, &error), 0);
    assert_int_equal(loop_create(&loop, &error), 0);
    assert_int_equal(listener_open(&listener, loop, &local, ready, &error), 0);
    bound.length = sizeof(bound.storage);
    assert_int_equal(
        getsockname(listener.watch.fd, (struct sockaddr *)&bound.storage, &bound.length), 0);
    int client = socket_connect(&bound, NULL, &error);
    assert_true(client >= 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    full = before;
    int lowest = dup(client); /* the lowest free one: nothing may be opened from there on */
    close(lowest);
    full.rlim_cur = (rlim_t)lowest;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &full), 0);
    turn_until_ready(loop, 1);
    assert_int_equal(accepted, -EMFILE);
    uint64_t paused = loop_now_ns(loop);
    turn_until_ready(loop, 2);
    assert_int_equal(accepted, -EMFILE);
    assert_true(loop_now_ns(loop) - paused >= LISTENER_PAUSE_MS * NS_PER_MS);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    turn_until_ready(loop, 3);
    assert_true(accepted >= 0);
    close(accepted);
    close(client);
    listener_close(&listener);
    listener_close(&listener); /* fine when it is closed */
    loop_destroy(loop);
}

static void the_soft_limit_goes_up_to_the_hard_one(void **state)
{
    (void)state;
    struct rlimit before, low, after;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    low = before;
    low.rlim_cur = 20;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    long raised = listener_raise_limit();
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &after), 0);
    assert_int_equal(after.rlim_cur, before.rlim_max);
    assert_true(raised > 20);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(running_out_of_descriptors_pauses),
        cmocka_unit_test(the_soft_limit_goes_up_to_the_hard_one),
    };
    return cmocka_run_group_tests_name("examples/raftkv/listener", tests, NULL, NULL);
}
