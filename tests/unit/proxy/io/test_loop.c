#include "tests/lib/test.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/base/monotonic.h"
#include "proxy/base/random.h"
#include "proxy/io/linger.h"
#include "proxy/io/loop.h"

enum { WATCHES = 8, ATTEMPTS = 1000 };

/* Socket pairs whose first ends are watched. */
struct fixture {
    struct loop *loop;
    int near[WATCHES], far[WATCHES];
    struct loop_watch watches[WATCHES];
    int calls[WATCHES];
    int order[64];
    size_t order_count;
    void (*on_call)(struct fixture *fixture, int index);
};

static struct fixture fixture;

static void on_event(struct loop_watch *watch, uint32_t events)
{
    int index = (int)(watch - fixture.watches);
    char byte;
    if (events & EPOLLIN)
        assert_int_equal(recv(watch->fd, &byte, 1, MSG_DONTWAIT), 1);
    fixture.calls[index]++;
    if (fixture.order_count < 64)
        fixture.order[fixture.order_count++] = index;
    if (fixture.on_call)
        fixture.on_call(&fixture, index);
}

static int open_fixture(void **state)
{
    (void)state;
    memset(&fixture, 0, sizeof(fixture));
    assert_int_equal(loop_create(&fixture.loop, NULL), 0);
    for (int i = 0; i < WATCHES; i++) {
        int pair[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
        fixture.near[i] = pair[0];
        fixture.far[i] = pair[1];
        assert_int_equal(
            loop_watch_add(fixture.loop, &fixture.watches[i], pair[0], EPOLLIN, on_event), 0);
    }
    return 0;
}

static int close_fixture(void **state)
{
    (void)state;
    for (int i = 0; i < WATCHES; i++) {
        close(fixture.near[i]);
        close(fixture.far[i]);
    }
    loop_destroy(fixture.loop);
    return 0;
}

static void open_again(void)
{
    close_fixture(NULL);
    open_fixture(NULL);
}

static void poke_all(void)
{
    for (int i = 0; i < WATCHES; i++)
        assert_int_equal(send(fixture.far[i], "x", 1, 0), 1);
}

static int total_calls(void)
{
    int sum = 0;
    for (int i = 0; i < WATCHES; i++)
        sum += fixture.calls[i];
    return sum;
}

static void every_event_is_delivered_once(void **state)
{
    (void)state;
    poke_all();
    assert_int_equal(loop_turn(fixture.loop, 0), 0);
    for (int i = 0; i < WATCHES; i++)
        assert_int_equal(fixture.calls[i], 1);
    assert_int_equal(loop_turn(fixture.loop, 0), 0);
    assert_int_equal(total_calls(), WATCHES);
}

static void remove_all_others(struct fixture *f, int index)
{
    for (int i = 0; i < WATCHES; i++)
        if (i != index)
            loop_watch_remove(&f->watches[i]);
}

static void a_removed_watch_gets_no_event_of_this_turn(void **state)
{
    (void)state;
    fixture.on_call = remove_all_others;
    poke_all();
    assert_int_equal(loop_turn(fixture.loop, 0), 0);
    assert_int_equal(total_calls(), 1);
    assert_int_equal(loop_turn(fixture.loop, 0), 0);
    assert_int_equal(total_calls(), 1);
}

static void remove_and_add_again(struct fixture *f, int index)
{
    (void)index;
    f->on_call = NULL;
    for (int i = 0; i < WATCHES; i++) {
        loop_watch_remove(&f->watches[i]);
        assert_int_equal(loop_watch_add(f->loop, &f->watches[i], f->near[i], EPOLLIN, on_event), 0);
    }
}

static void the_same_memory_added_again_gets_it_next_turn(void **state)
{
    (void)state;
    fixture.on_call = remove_and_add_again;
    poke_all();
    assert_int_equal(loop_turn(fixture.loop, 0), 0);
    assert_int_equal(total_calls(), 1);
    assert_int_equal(loop_turn(fixture.loop, 0), 0);
    for (int i = 0; i < WATCHES; i++)
        assert_int_equal(fixture.calls[i], 1);
}

static void remove_itself_twice(struct fixture *f, int index)
{
    loop_watch_remove(&f->watches[index]);
    loop_watch_remove(&f->watches[index]);
    assert_null(f->watches[index].loop);
}

static void a_watch_may_remove_itself(void **state)
{
    (void)state;
    fixture.on_call = remove_itself_twice;
    poke_all();
    assert_int_equal(loop_turn(fixture.loop, 0), 0);
    assert_int_equal(total_calls(), WATCHES);
    poke_all();
    assert_int_equal(loop_turn(fixture.loop, 0), 0);
    assert_int_equal(total_calls(), WATCHES);
}

static void modify_changes_what_is_watched(void **state)
{
    (void)state;
    for (int i = 0; i < WATCHES; i++)
        loop_watch_modify(&fixture.watches[i], i == 3 ? EPOLLIN : 0);
    poke_all();
    assert_int_equal(loop_turn(fixture.loop, 0), 0);
    assert_int_equal(total_calls(), 1);
    assert_int_equal(fixture.calls[3], 1);
    loop_watch_modify(&fixture.watches[5], EPOLLOUT);
    assert_int_equal(loop_turn(fixture.loop, 0), 0);
    assert_int_equal(fixture.calls[5], 1);
}

/* Timers: a list that says the order in which they ran. */
enum { TIMERS = 200 };

struct test_timer {
    struct loop_timer timer;
    uint64_t wanted_ns;
    int runs;
};

static struct test_timer timers[TIMERS];
static uint64_t last_due_ns;
static int ran;

static void on_timer(struct loop_timer *timer)
{
    struct test_timer *self = loop_container(timer, struct test_timer, timer);
    assert_null(timer->loop);
    assert_true(loop_now_ns(fixture.loop) >= self->wanted_ns);
    assert_true(self->wanted_ns >= last_due_ns);
    last_due_ns = self->wanted_ns;
    self->runs++;
    ran++;
}

static void arm(int index, uint64_t due_ns)
{
    timers[index].timer.fn = on_timer;
    timers[index].wanted_ns = due_ns;
    loop_timer_set(fixture.loop, &timers[index].timer, due_ns);
}

static void clear_timers(void)
{
    memset(timers, 0, sizeof(timers));
    last_due_ns = 0;
    ran = 0;
}

/* Arms, re-arms and cancels at random; the model says which must run, the callback in what order.
 */
static void timers_run_in_order_of_due_time(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct random_stream random = {.key = seed};
        int expected = 0;
        clear_timers();
        assert_int_equal(loop_turn(fixture.loop, 0), 0);
        uint64_t base_ns = loop_now_ns(fixture.loop);
        for (int step = 0; step < 1000; step++) {
            int index = (int)random_below(random_next(&random), TIMERS);
            if (random_below(random_next(&random), 4) == 0)
                loop_timer_cancel(&timers[index].timer);
            else
                arm(index, base_ns + random_below(random_next(&random), 2 * NS_PER_MS));
        }
        for (int i = 0; i < TIMERS; i++)
            expected += timers[i].timer.loop != NULL;
        uint64_t deadline_ns = base_ns + 10 * NS_PER_S;
        while (ran < expected) {
            assert_int_equal(loop_turn(fixture.loop, deadline_ns), 0);
            assert_true(loop_now_ns(fixture.loop) < deadline_ns);
        }
        for (int i = 0; i < TIMERS; i++)
            assert_true(timers[i].runs <= 1 && timers[i].timer.loop == NULL);
        assert_int_equal(ran, expected);
    }
}

static void cancelling_is_final(void **state)
{
    (void)state;
    clear_timers();
    uint64_t now_ns = loop_now_ns(fixture.loop);
    arm(0, now_ns);
    arm(1, now_ns + 1);
    arm(2, now_ns + 2);
    loop_timer_cancel(&timers[0].timer);
    loop_timer_cancel(&timers[0].timer); /* fine */
    loop_timer_cancel(&timers[2].timer);
    assert_int_equal(loop_turn(fixture.loop, now_ns + NS_PER_S), 0);
    assert_int_equal(ran, 1);
    assert_int_equal(timers[1].runs, 1);
    struct loop_lateness lateness;
    loop_get_lateness(fixture.loop, &lateness);
    assert_int_equal(lateness.count, 1);
}

static void on_repeat(struct loop_timer *timer)
{
    ran++;
    loop_timer_set(fixture.loop, timer, loop_now_ns(fixture.loop));
}

static void a_timer_armed_for_now_by_a_timer_runs_next_turn(void **state)
{
    (void)state;
    clear_timers();
    struct loop_timer repeat = {.fn = on_repeat};
    arm(0, loop_now_ns(fixture.loop) + 1);
    arm(1, loop_now_ns(fixture.loop) + 2);
    loop_timer_set(fixture.loop, &repeat, loop_now_ns(fixture.loop));
    assert_int_equal(loop_turn(fixture.loop, loop_now_ns(fixture.loop) + NS_PER_S), 0);
    assert_int_equal(ran, 3);
    poke_all(); /* and events still get their turn */
    assert_int_equal(loop_turn(fixture.loop, UINT64_MAX), 0);
    assert_int_equal(total_calls(), WATCHES);
    assert_int_equal(ran, 4);
    loop_timer_cancel(&repeat);
}

static void the_deadline_ends_a_turn(void **state)
{
    (void)state;
    uint64_t begin_ns = monotonic_now_ns();
    assert_int_equal(loop_turn(fixture.loop, begin_ns + 3 * NS_PER_MS), 0);
    assert_true(loop_now_ns(fixture.loop) >= begin_ns + 3 * NS_PER_MS);
    begin_ns = monotonic_now_ns();
    assert_int_equal(loop_turn(fixture.loop, 0), 0);
    assert_true(monotonic_now_ns() - begin_ns < 20 * NS_PER_S);
}

static void count_run(struct loop_timer *timer)
{
    (void)timer;
    fixture.order_count++;
}

/* Stands in for the library's: what others do while the loop lets them have the core. */
static struct others {
    int calls;
    uint64_t keeps_ns; /* the core, each time */
    bool answers;      /* so that an event is there afterwards */
} others;

int sched_yield(void)
{
    uint64_t end_ns = monotonic_now_ns() + others.keeps_ns;
    while (monotonic_now_ns() < end_ns)
        ;
    others.calls++;
    if (others.answers)
        poke_all();
    return 0;
}

/* A turn that may linger; how often it yielded. */
static int linger(uint64_t wait_ns)
{
    others.calls = 0;
    loop_linger(fixture.loop);
    assert_int_equal(loop_turn(fixture.loop, monotonic_now_ns() + wait_ns), 0);
    return others.calls;
}

/* How often a turn yields that nothing ends but its time: the most of some, for whoever else has
 * the core in the middle of one ends it, too. */
static int linger_to_the_end(void)
{
    int most = 0;
    for (int i = 0; i < ATTEMPTS && (i < 50 || most < 2); i++, open_again()) {
        int calls = linger(2 * LINGER_NS);
        most = calls > most ? calls : most;
    }
    return most;
}

/* How many turns in a row linger, of so many. */
static int count_lingering(int turns)
{
    int count = 0;
    while (count < turns && linger(2 * LINGER_NS) > 0)
        count++;
    return count;
}

static void lingering_waits_for_an_answer(void **state)
{
    (void)state;
    enum { TURNS = 3 * LINGER_ROUND };
    int count = 0;
    others = (struct others){.keeps_ns = LINGER_OTHER_NS / 3};
    assert_in_range(linger_to_the_end(), 2, LINGER_NS / others.keeps_ns + 1);
    others = (struct others){.answers = true};
    for (int i = 0; i < ATTEMPTS && count < TURNS; i++) {
        open_again();
        count = count_lingering(TURNS);
        assert_in_range(total_calls(), count * WATCHES, (count + 1) * WATCHES);
    }
    assert_int_equal(count, TURNS); /* it paid */
}

static void lingering_yields_now_and_then(void **state)
{
    (void)state;
    others = (struct others){0};
    assert_in_range(linger_to_the_end(), 2, LINGER_NS / LINGER_YIELD_NS);
}

/* A turn that had no time left to linger counts as one that was left out, so there may be more. */
static void lingering_ends_where_another_keeps_the_core(void **state)
{
    (void)state;
    int left_out = 0;
    others = (struct others){.keeps_ns = LINGER_OTHER_NS};
    assert_int_equal(linger(NS_PER_S / 10), 1);
    open_again();
    others.keeps_ns = LINGER_BUSY_NS;
    assert_int_equal(linger(NS_PER_S / 10), 1);
    while (left_out < ATTEMPTS && linger(2 * LINGER_NS) == 0)
        left_out++;
    assert_in_range(left_out, 3 * LINGER_ROUND, ATTEMPTS - 1);
}

static void no_lingering_where_a_timer_might_be_late(void **state)
{
    (void)state;
    struct loop_timer timer = {.fn = count_run};
    others = (struct others){0};
    assert_int_equal(linger(LINGER_NS / 2), 0);
    loop_timer_set(fixture.loop, &timer, monotonic_now_ns() + LINGER_NS / 2);
    assert_int_equal(linger(NS_PER_S), 0);
    timer.precise = true; /* not even long before it is due */
    loop_timer_set(fixture.loop, &timer, monotonic_now_ns() + 50 * LINGER_NS);
    assert_int_equal(linger(NS_PER_S), 0);
    assert_int_equal(fixture.order_count, 2);
}

static void events_and_deadlines_end_lingering(void **state)
{
    (void)state;
    others = (struct others){0};
    poke_all();
    assert_int_equal(linger(NS_PER_S), 0);
    assert_int_equal(total_calls(), WATCHES);
    uint64_t deadline_ns = monotonic_now_ns() + 2 * NS_PER_MS;
    loop_linger(fixture.loop);
    assert_int_equal(loop_turn(fixture.loop, deadline_ns), 0);
    assert_true(loop_now_ns(fixture.loop) >= deadline_ns);
}

static int turn_starts;

static void on_turn_start(void *context)
{
    (void)context;
    turn_starts++;
}

static void *wake_later(void *context)
{
    monotonic_sleep_until(monotonic_now_ns() + 2 * NS_PER_MS);
    loop_wake(context);
    return NULL;
}

static void another_thread_can_wake_it(void **state)
{
    (void)state;
    pthread_t thread;
    turn_starts = 0;
    loop_set_turn_start(fixture.loop, on_turn_start, NULL);
    assert_int_equal(pthread_create(&thread, NULL, wake_later, fixture.loop), 0);
    assert_int_equal(loop_turn(fixture.loop, UINT64_MAX), 0); /* would hang otherwise */
    pthread_join(thread, NULL);
    assert_int_equal(turn_starts, 1);
    /* and again: the wake was taken in */
    loop_wake(fixture.loop);
    loop_wake(fixture.loop);
    assert_int_equal(loop_turn(fixture.loop, UINT64_MAX), 0);
    assert_int_equal(turn_starts, 2);
    assert_int_equal(loop_turn(fixture.loop, 0), 0);
    assert_int_equal(turn_starts, 3);
}

static void wake_in_the_middle(struct fixture *f, int index)
{
    (void)index;
    f->on_call = NULL;
    loop_wake(f->loop);
}

/* The hook of a wake runs before the next callback, not after the whole batch. */
static int calls_at_hook;

static void note_calls(void *context)
{
    (void)context;
    turn_starts++;
    calls_at_hook = total_calls();
}

static void a_wake_in_mid_turn_is_answered_between_callbacks(void **state)
{
    (void)state;
    turn_starts = 0;
    loop_set_turn_start(fixture.loop, note_calls, NULL);
    fixture.on_call = wake_in_the_middle;
    poke_all();
    assert_int_equal(loop_turn(fixture.loop, 0), 0);
    assert_int_equal(turn_starts, 2);
    assert_int_equal(calls_at_hook, 1);
    assert_int_equal(total_calls(), WATCHES);
}

static void stop_at_third(struct fixture *f, int index)
{
    (void)index;
    if (total_calls() == 3)
        loop_stop(f->loop);
}

static void run_goes_on_until_stop(void **state)
{
    (void)state;
    fixture.on_call = stop_at_third;
    assert_int_equal(send(fixture.far[0], "xxx", 3, 0), 3);
    assert_int_equal(loop_run(fixture.loop), 0);
    assert_int_equal(total_calls(), 3);
}

static void adding_a_bad_descriptor_says_so(void **state)
{
    (void)state;
    struct loop_watch watch = {0};
    assert_int_equal(loop_watch_add(fixture.loop, &watch, -1, EPOLLIN, on_event), -EBADF);
    assert_null(watch.loop);
    loop_watch_remove(&watch); /* fine when not added */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_event_is_delivered_once),
        TEST(a_removed_watch_gets_no_event_of_this_turn),
        TEST(the_same_memory_added_again_gets_it_next_turn),
        TEST(a_watch_may_remove_itself),
        TEST(modify_changes_what_is_watched),
        TEST(timers_run_in_order_of_due_time),
        TEST(cancelling_is_final),
        TEST(a_timer_armed_for_now_by_a_timer_runs_next_turn),
        TEST(the_deadline_ends_a_turn),
        TEST(lingering_waits_for_an_answer),
        TEST(lingering_yields_now_and_then),
        TEST(lingering_ends_where_another_keeps_the_core),
        TEST(no_lingering_where_a_timer_might_be_late),
        TEST(events_and_deadlines_end_lingering),
        TEST(another_thread_can_wake_it),
        TEST(a_wake_in_mid_turn_is_answered_between_callbacks),
        TEST(run_goes_on_until_stop),
        TEST(adding_a_bad_descriptor_says_so),
    };
    return cmocka_run_group_tests_name("proxy/io loop", tests, NULL, NULL);
}
