/* Precise timers in virtual time: the clock, and what the loop waits by, are the test's. A sleep
 * takes until its timeout and as long again as the machine is late; to ask without a wait takes a
 * microsecond. Descriptors are real, and are asked without a wait. */
#include "tests/lib/test.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "proxy/base/monotonic.h"
#include "proxy/io/early.h"
#include "proxy/io/loop.h"

#define LATE_NS (40 * NS_PER_US) /* of each sleep */
#define NEVER UINT64_MAX

enum { TRAINING = 50 }; /* timers after which the loop knows how late sleeps end */

uint64_t __wrap_monotonic_now_ns(void);
int __real_epoll_wait(int epoll_fd, struct epoll_event *events, int most, int timeout_ms);
int __wrap_epoll_wait(int epoll_fd, struct epoll_event *events, int most, int timeout_ms);
int __wrap_epoll_pwait2(int epoll_fd, struct epoll_event *events, int most,
                        const struct timespec *timeout, const sigset_t *mask);
int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *timer,
                           struct itimerspec *old);

static struct {
    struct loop *loop;
    struct loop_timer timer;
    struct loop_watch watch;
    int near, far;
    bool old_kernel; /* without epoll_pwait2 */
    bool has_slack;  /* 0.1 % of a sleep */
    uint64_t now_ns;
    uint64_t event_ns, wake_ns;   /* when they come */
    uint64_t handled_ns, hook_ns; /* when they were handled: the callback, the turn-start hook */
    uint64_t ran_ns;              /* when the timer ran */
    uint64_t due_ns, timerfd_ns;  /* of the timer, of the timerfd */
    uint64_t sleep_end_ns;        /* of the last sleep, as it was asked for */
    unsigned sleeps, polls;       /* since it was armed */
    uint64_t stolen_ns;           /* what each poll takes longer */
} world;

uint64_t __wrap_monotonic_now_ns(void)
{
    return world.now_ns;
}

/* What happens until then does, and ends the sleep. */
static bool comes(uint64_t *when_ns, uint64_t until_ns)
{
    if (*when_ns > until_ns)
        return false;
    world.now_ns = *when_ns > world.now_ns ? *when_ns : world.now_ns;
    *when_ns = NEVER;
    return true;
}

static bool advance(uint64_t until_ns)
{
    if (comes(&world.event_ns, until_ns)) {
        assert_int_equal(send(world.far, "x", 1, 0), 1);
        return true;
    }
    if (comes(&world.wake_ns, until_ns)) {
        loop_wake(world.loop);
        return true;
    }
    world.now_ns = until_ns;
    return false;
}

static int sleep_until(int epoll_fd, struct epoll_event *events, int most, uint64_t end_ns)
{
    world.sleeps++;
    world.sleep_end_ns = end_ns;
    assert_true(end_ns != NEVER); /* it would never end */
    uint64_t slack_ns = world.has_slack ? (end_ns - world.now_ns) / 1000 : 0;
    if (!advance(end_ns))
        world.now_ns += LATE_NS + slack_ns;
    return __real_epoll_wait(epoll_fd, events, most, 0);
}

int __wrap_epoll_pwait2(int epoll_fd, struct epoll_event *events, int most,
                        const struct timespec *timeout, const sigset_t *mask)
{
    (void)mask;
    if (world.old_kernel) {
        errno = ENOSYS;
        return -1;
    }
    uint64_t wait_ns =
        timeout ? (uint64_t)timeout->tv_sec * NS_PER_S + (uint64_t)timeout->tv_nsec : NEVER;
    if (wait_ns == 0)
        return __real_epoll_wait(epoll_fd, events, most, 0);
    return sleep_until(epoll_fd, events, most, world.now_ns + wait_ns);
}

int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *timer,
                           struct itimerspec *old)
{
    (void)fd, (void)old;
    assert_int_equal(flags, TFD_TIMER_ABSTIME);
    world.timerfd_ns =
        (uint64_t)timer->it_value.tv_sec * NS_PER_S + (uint64_t)timer->it_value.tv_nsec;
    return 0;
}

int __wrap_epoll_wait(int epoll_fd, struct epoll_event *events, int most, int timeout_ms)
{
    if (timeout_ms != 0)
        return sleep_until(epoll_fd, events, most, world.timerfd_ns);
    world.polls++;
    advance(world.now_ns + NS_PER_US);
    world.now_ns += world.stolen_ns;
    return __real_epoll_wait(epoll_fd, events, most, 0);
}

static void on_event(struct loop_watch *watch, uint32_t events)
{
    char byte;
    assert_true(events & EPOLLIN);
    assert_int_equal(recv(watch->fd, &byte, 1, MSG_DONTWAIT), 1);
    world.handled_ns = loop_now_ns(world.loop);
}

static void on_timer(struct loop_timer *timer)
{
    (void)timer;
    world.ran_ns = loop_now_ns(world.loop);
    assert_true(world.ran_ns >= world.due_ns);
}

static void on_turn_start(void *context)
{
    (void)context;
    world.hook_ns = loop_now_ns(world.loop);
}

/* Arms the timer, and runs the loop until it has run; returns how late that was. */
static uint64_t run_timer(uint64_t in_ns)
{
    world.due_ns = world.now_ns + in_ns;
    world.sleeps = world.polls = 0;
    loop_timer_set(world.loop, &world.timer, world.due_ns);
    while (world.timer.loop)
        assert_int_equal(loop_turn(world.loop, NEVER), 0);
    return world.ran_ns - world.due_ns;
}

static void train(void)
{
    world.timer.precise = true;
    for (int i = 0; i < TRAINING; i++)
        run_timer(10 * NS_PER_MS);
}

static int open_world(bool old_kernel)
{
    int pair[2];
    memset(&world, 0, sizeof(world));
    world.old_kernel = old_kernel;
    world.now_ns = NS_PER_S;
    world.event_ns = world.wake_ns = NEVER;
    world.timer.fn = on_timer;
    assert_int_equal(loop_create(&world.loop, NULL), 0);
    loop_set_turn_start(world.loop, on_turn_start, NULL);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    world.near = pair[0];
    world.far = pair[1];
    assert_int_equal(loop_watch_add(world.loop, &world.watch, world.near, EPOLLIN, on_event), 0);
    return 0;
}

static int open_new(void **state)
{
    (void)state;
    return open_world(false);
}

static int open_old(void **state)
{
    (void)state;
    return open_world(true);
}

static int close_world(void **state)
{
    (void)state;
    loop_destroy(world.loop);
    close(world.near);
    close(world.far);
    return 0;
}

static void it_is_in_time_once_it_has_learned(void **state)
{
    (void)state;
    world.timer.precise = true;
    assert_int_equal(run_timer(10 * NS_PER_MS), LATE_NS);
    train();
    for (int i = 0; i < 1000; i++) {
        assert_in_range(run_timer(NS_PER_MS + (uint64_t)i), 0, NS_PER_US + EARLY_STEP_NS);
        assert_int_equal(world.sleeps, 1);
        assert_in_range(world.due_ns - world.sleep_end_ns, LATE_NS - EARLY_STEP_NS, EARLY_MAX_NS);
        assert_true(world.polls > 0);
    }
}

static void it_is_in_time_after_long_sleeps(void **state)
{
    (void)state;
    static const uint64_t waits_ms[] = {25, 100, 500, 2000, 10000, 100000};
    train();
    world.has_slack = true;
    for (int i = 0; i < 600; i++) {
        assert_in_range(run_timer(waits_ms[i % 6] * NS_PER_MS), 0, 20 * NS_PER_US);
        assert_true(world.sleeps <= 4);
    }
    for (int i = 0; i < 100; i++) { /* nor are others' sleeps taken for its own */
        world.timer.precise = false;
        assert_in_range(run_timer(NS_PER_S), NS_PER_MS, 2 * NS_PER_MS);
        world.timer.precise = true;
        assert_in_range(run_timer(5 * NS_PER_MS), 0, 5 * NS_PER_US);
    }
}

static void others_never_make_it_spin(void **state)
{
    (void)state;
    train();
    world.timer.precise = false;
    for (int i = 0; i < 100; i++) {
        assert_int_equal(run_timer(NS_PER_MS), LATE_NS);
        assert_int_equal(world.sleeps, 1);
        assert_int_equal(world.polls, 0);
    }
    world.timer.precise = true; /* nor a deadline before it */
    world.polls = 0;
    loop_timer_set(world.loop, &world.timer, world.now_ns + NS_PER_S);
    assert_int_equal(loop_turn(world.loop, world.now_ns + NS_PER_MS), 0);
    assert_int_equal(world.polls, 0);
}

/* They come in the middle of the spin, and are handled then, long before the timer. */
static void events_and_wakes_are_answered_while_it_spins(void **state)
{
    (void)state;
    train();
    world.timer.precise = true;
    uint64_t due_ns = world.now_ns + 10 * NS_PER_MS, middle_ns = due_ns - 10 * NS_PER_US;
    world.event_ns = middle_ns;
    assert_in_range(run_timer(10 * NS_PER_MS), 0, NS_PER_US);
    assert_true(world.sleep_end_ns + LATE_NS < middle_ns);
    assert_int_equal(world.handled_ns, middle_ns);
    middle_ns = world.now_ns + 10 * NS_PER_MS - 10 * NS_PER_US;
    world.wake_ns = middle_ns;
    loop_timer_set(world.loop, &world.timer, world.now_ns + 10 * NS_PER_MS);
    assert_int_equal(loop_turn(world.loop, NEVER), 0);
    assert_int_equal(world.hook_ns, middle_ns);
    assert_non_null(world.timer.loop);
}

static void events_come_before_a_timer_that_is_due(void **state)
{
    (void)state;
    world.timer.precise = true;
    loop_timer_set(world.loop, &world.timer, world.now_ns + NS_PER_MS);
    world.due_ns = world.now_ns += 2 * NS_PER_MS;
    world.event_ns = world.now_ns;
    assert_int_equal(loop_turn(world.loop, NEVER), 0);
    assert_true(world.handled_ns > 0);
    assert_int_equal(world.handled_ns, world.ran_ns);
    assert_int_equal(world.sleeps, 0);
}

/* As many timers as there can be. Besides it asks once for each that was due when it woke. */
static void it_spins_for_a_share_of_the_time(void **state)
{
    (void)state;
    train();
    uint64_t begin_ns = world.now_ns, polls = 0, timers = 0;
    for (; world.now_ns < begin_ns + NS_PER_S; timers++) {
        run_timer(20 * NS_PER_US);
        polls += world.polls;
    }
    uint64_t share_ns = (world.now_ns - begin_ns) / EARLY_SHARE;
    assert_in_range(polls, share_ns / 2 / NS_PER_US,
                    (share_ns + EARLY_CREDIT_MAX_NS) / NS_PER_US + timers);
}

static void where_others_want_the_core_it_sleeps(void **state)
{
    (void)state;
    train();
    world.stolen_ns = 2 * EARLY_GAP_NS;
    unsigned spins = 0;
    for (int i = 0; i < 10000; i++) {
        run_timer(NS_PER_MS);
        spins += world.polls > 0;
    }
    assert_in_range(spins, 20, 150);
    world.stolen_ns = 0; /* they have ended */
    uint64_t begin_ns = world.now_ns;
    do
        run_timer(NS_PER_MS);
    while (world.polls == 0);
    assert_true(world.now_ns - begin_ns <= EARLY_PAUSE_MAX_NS + 2 * NS_PER_MS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_new, close_world)
#define TEST_OLD(name)                                                                             \
    {                                                                                              \
#name " on an old kernel", name, open_old, close_world, NULL                               \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_is_in_time_once_it_has_learned),
        TEST(it_is_in_time_after_long_sleeps),
        TEST(others_never_make_it_spin),
        TEST(events_and_wakes_are_answered_while_it_spins),
        TEST(events_come_before_a_timer_that_is_due),
        TEST(it_spins_for_a_share_of_the_time),
        TEST(where_others_want_the_core_it_sleeps),
        TEST_OLD(it_is_in_time_once_it_has_learned),
        TEST_OLD(others_never_make_it_spin),
        TEST_OLD(events_and_wakes_are_answered_while_it_spins),
        TEST_OLD(events_come_before_a_timer_that_is_due),
    };
    return cmocka_run_group_tests_name("proxy/io precise timers", tests, NULL, NULL);
}
