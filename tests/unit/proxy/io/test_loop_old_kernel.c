/* The loop on a kernel without epoll_pwait2: a seccomp filter refuses the call with ENOSYS. */
#include "tests/lib/test.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/filter.h>
#include <linux/seccomp.h>

#include "proxy/base/monotonic.h"
#include "proxy/io/loop.h"

enum { SYSCALL_EPOLL_PWAIT2 = 441 }; /* the same on every architecture */

static int refuse_epoll_pwait2(void **state)
{
    (void)state;
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYSCALL_EPOLL_PWAIT2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
        return -1;
    struct epoll_event event;
    struct timespec none = {0};
    return epoll_pwait2(-1, &event, 1, &none, NULL) == -1 && errno == ENOSYS ? 0 : -1;
}

struct fixture {
    struct loop *loop;
    struct loop_timer first, second;
    struct loop_watch watch;
    uint64_t ran_ns[2];
    int order[3], count;
    char byte;
};

static void note(struct fixture *fixture, int which)
{
    fixture->ran_ns[which] = loop_now_ns(fixture->loop);
    fixture->order[fixture->count++] = which;
    loop_stop(fixture->loop);
}

static void on_first(struct loop_timer *timer)
{
    note(loop_container(timer, struct fixture, first), 0);
}

static void on_second(struct loop_timer *timer)
{
    note(loop_container(timer, struct fixture, second), 1);
}

static void timers_run_in_order_and_never_early(void **state)
{
    (void)state;
    struct fixture fixture = {.first = {.fn = on_first}, .second = {.fn = on_second}};
    assert_int_equal(loop_create(&fixture.loop, NULL), 0);
    uint64_t now_ns = monotonic_now_ns();
    loop_timer_set(fixture.loop, &fixture.second, now_ns + 3600 * NS_PER_S);
    loop_timer_set(fixture.loop, &fixture.first, now_ns + 5 * NS_PER_MS);
    assert_int_equal(loop_run(fixture.loop), 0); /* not until the second is due */
    assert_int_equal(fixture.count, 1);
    assert_int_equal(fixture.order[0], 0);
    assert_true(fixture.ran_ns[0] >= now_ns + 5 * NS_PER_MS);
    now_ns = monotonic_now_ns();
    loop_timer_set(fixture.loop, &fixture.second, now_ns + 20 * NS_PER_MS);
    loop_timer_set(fixture.loop, &fixture.first, now_ns + 5 * NS_PER_MS);
    while (fixture.count < 3)
        assert_int_equal(loop_run(fixture.loop), 0);
    assert_int_equal(fixture.order[1], 0);
    assert_int_equal(fixture.order[2], 1);
    assert_true(fixture.ran_ns[0] >= now_ns + 5 * NS_PER_MS);
    assert_true(fixture.ran_ns[1] >= now_ns + 20 * NS_PER_MS);
    loop_destroy(fixture.loop);
}

static void on_readable(struct loop_watch *watch, uint32_t events)
{
    struct fixture *fixture = loop_container(watch, struct fixture, watch);
    assert_true(events & EPOLLIN);
    assert_int_equal(read(watch->fd, &fixture->byte, 1), 1);
}

/* After a timer has expired, turns wait for events as before; a deadline of 0 does not wait. */
static void events_wakes_and_deadlines_work(void **state)
{
    (void)state;
    struct fixture fixture = {.first = {.fn = on_first}};
    int channel[2];
    assert_int_equal(pipe(channel), 0);
    assert_int_equal(loop_create(&fixture.loop, NULL), 0);
    loop_timer_set(fixture.loop, &fixture.first, monotonic_now_ns() + NS_PER_MS);
    while (fixture.count == 0)
        assert_int_equal(loop_turn(fixture.loop, UINT64_MAX), 0);
    assert_int_equal(loop_turn(fixture.loop, 0), 0);
    assert_int_equal(loop_watch_add(fixture.loop, &fixture.watch, channel[0], EPOLLIN, on_readable),
                     0);
    assert_int_equal(write(channel[1], "x", 1), 1);
    while (fixture.byte == 0)
        assert_int_equal(loop_turn(fixture.loop, UINT64_MAX), 0);
    uint64_t deadline_ns = monotonic_now_ns() + 3 * NS_PER_MS;
    while (monotonic_now_ns() < deadline_ns)
        assert_int_equal(loop_turn(fixture.loop, deadline_ns), 0);
    loop_wake(fixture.loop);
    assert_int_equal(loop_turn(fixture.loop, UINT64_MAX), 0);
    loop_watch_remove(&fixture.watch);
    loop_destroy(fixture.loop);
    close(channel[0]);
    close(channel[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_run_in_order_and_never_early),
        cmocka_unit_test(events_wakes_and_deadlines_work),
    };
    return cmocka_run_group_tests_name("proxy/io/loop on an old kernel", tests, refuse_epoll_pwait2,
                                       NULL);
}
