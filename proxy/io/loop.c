/* Theory of operation
 *
 * A turn: wait in epoll_pwait2 until an event, the earliest timer or a wake; take the timestamp;
 * call the turn-start hook; dispatch events; run the timers that are due. Timers run after events,
 * with the same timestamp, so that a byte that arrived is seen before a timeout that it would
 * cancel.
 *
 * Removal inside a turn: the batch of events that epoll gave is kept in the loop; removing a watch
 * clears its pointer in the rest of the batch, so that it cannot be called any more. The batch is
 * short (EVENTS_MAX) and removal is rare next to events, so a scan is cheaper than generations.
 *
 * Before it sleeps the loop may linger: it asks epoll again and again without a wait, where a
 * callback expects another event at once. To be woken costs more than what a packet takes, most of
 * all on an idle core. Now and then it yields: who is to answer may be waiting for this core.
 *
 * Before a precise timer it sleeps only until shortly before the timer is due, and asks epoll
 * without a wait from then on: a sleep ends late, however exact its timeout is. How much sooner,
 * and whether at all, is for early.h to say. Events and wakes end that as they end a sleep.
 *
 * Kernels before 5.11 and valgrind have no epoll_pwait2: a timerfd that epoll watches stands in for
 * its timeout, from the first ENOSYS on.
 *
 * Timers are a binary heap of pointers; each timer knows its index, so cancel and re-arm cost
 * O(log n). While timers run, one that is armed for now or earlier is moved to a nanosecond from
 * now: it belongs to the next turn, and a timer that always re-arms itself cannot keep events
 * waiting. The thread's timer slack is set to 1 ns by the thread that runs the loop: with the
 * default of 50 us every deadline would be late by as much. */
#include "proxy/io/loop.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "proxy/base/monotonic.h"
#include "proxy/base/text.h"
#include "proxy/io/early.h"
#include "proxy/io/linger.h"

enum {
    EVENTS_MAX = 128,
    LATENESS_BUCKETS = sizeof(((struct loop_lateness *)NULL)->buckets) / sizeof(uint64_t),
};

/* The kernel allows itself to be late by 0.1 % of epoll's timeout, by 0.5 % for a process that is
 * nice: from here on that is more than what is exact. */
#define LONG_SLEEP_NS (20 * NS_PER_MS)
/* A yield may take some time slices of others. Before a precise timer is due there is none. */
#define YIELD_LOST_NS (10 * NS_PER_MS)

struct loop {
    int epoll_fd;
    int wake_fd;
    int timer_fd; /* -1 unless epoll_pwait2 is missing */
    atomic_bool wake_pending;
    bool stopping;
    bool slack_set;
    bool running_timers;
    bool is_event_expected; /* by a callback of the turn before */
    struct linger_state linger;
    struct early early;
    uint64_t now_ns;
    loop_turn_fn turn_start;
    void *turn_context;
    struct epoll_event batch[EVENTS_MAX];
    int batch_next, batch_count;
    struct loop_timer **heap;
    size_t heap_count, heap_capacity;
    _Atomic uint64_t lateness[LATENESS_BUCKETS]; /* written by the loop's thread alone */
    _Atomic uint64_t lateness_sum_ns;            /* the same */
};

int loop_create(struct loop **out, struct error *error)
{
    struct loop *loop = memory_allocate_zeroed(1, sizeof(*loop));
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    loop->timer_fd = -1;
    loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = NULL}};
    if (loop->epoll_fd < 0 || loop->wake_fd < 0 ||
        epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->wake_fd, &event)) {
        int result = error_set(error, -errno, "event loop: %s", strerror(errno));
        loop_destroy(loop);
        return result;
    }
    loop->now_ns = monotonic_now_ns();
    *out = loop;
    return 0;
}

void loop_destroy(struct loop *loop)
{
    if (!loop)
        return;
    if (loop->epoll_fd >= 0)
        close(loop->epoll_fd);
    if (loop->wake_fd >= 0)
        close(loop->wake_fd);
    if (loop->timer_fd >= 0)
        close(loop->timer_fd);
    free(loop->heap);
    free(loop);
}

uint64_t loop_arrival_ns(const struct loop *loop)
{
    uint64_t now_ns = monotonic_now_ns();
    return now_ns > loop->now_ns ? now_ns : loop->now_ns;
}

uint64_t loop_now_ns(const struct loop *loop)
{
    return loop->now_ns;
}

void loop_set_turn_start(struct loop *loop, loop_turn_fn fn, void *context)
{
    loop->turn_start = fn;
    loop->turn_context = context;
}

void loop_linger(struct loop *loop)
{
    loop->is_event_expected = true;
}

void loop_stop(struct loop *loop)
{
    loop->stopping = true;
}

void loop_wake(struct loop *loop)
{
    if (atomic_exchange(&loop->wake_pending, true))
        return;
    uint64_t one = 1;
    ssize_t written = write(loop->wake_fd, &one, sizeof(one));
    (void)written; /* cannot fail: the counter is never near its limit */
}

int loop_watch_add(struct loop *loop, struct loop_watch *watch, int fd, uint32_t events,
                   loop_watch_fn fn)
{
    assert(watch->loop == NULL);
    struct epoll_event event = {.events = events, .data = {.ptr = watch}};
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event))
        return -errno;
    *watch = (struct loop_watch){.loop = loop, .fd = fd, .events = events, .fn = fn};
    return 0;
}

void loop_watch_modify(struct loop_watch *watch, uint32_t events)
{
    assert(watch->loop != NULL);
    if (watch->events == events)
        return;
    struct epoll_event event = {.events = events, .data = {.ptr = watch}};
    int result = epoll_ctl(watch->loop->epoll_fd, EPOLL_CTL_MOD, watch->fd, &event);
    assert(result == 0);
    (void)result;
    watch->events = events;
}

void loop_watch_remove(struct loop_watch *watch)
{
    struct loop *loop = watch->loop;
    if (!loop)
        return;
    epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
    for (int i = loop->batch_next; i < loop->batch_count; i++)
        if (loop->batch[i].data.ptr == watch)
            loop->batch[i] = (struct epoll_event){0};
    watch->loop = NULL;
}

static void heap_place(struct loop *loop, size_t index, struct loop_timer *timer)
{
    loop->heap[index] = timer;
    timer->heap_index = index;
}

static void heap_up(struct loop *loop, size_t index)
{
    struct loop_timer *timer = loop->heap[index];
    while (index > 0 && loop->heap[(index - 1) / 2]->due_ns > timer->due_ns) {
        heap_place(loop, index, loop->heap[(index - 1) / 2]);
        index = (index - 1) / 2;
    }
    heap_place(loop, index, timer);
}

static void heap_down(struct loop *loop, size_t index)
{
    struct loop_timer *timer = loop->heap[index];
    for (;;) {
        size_t child = 2 * index + 1;
        if (child >= loop->heap_count)
            break;
        if (child + 1 < loop->heap_count &&
            loop->heap[child + 1]->due_ns < loop->heap[child]->due_ns)
            child++;
        if (loop->heap[child]->due_ns >= timer->due_ns)
            break;
        heap_place(loop, index, loop->heap[child]);
        index = child;
    }
    heap_place(loop, index, timer);
}

void loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t due_ns)
{
    assert(timer->fn != NULL);
    timer->put_off = due_ns <= loop->now_ns;
    if (loop->running_timers && due_ns <= loop->now_ns)
        due_ns = loop->now_ns + 1;
    if (!timer->loop) {
        if (loop->heap_count == loop->heap_capacity) {
            loop->heap_capacity = loop->heap_capacity ? 2 * loop->heap_capacity : 64;
            loop->heap = memory_resize(loop->heap, loop->heap_capacity, sizeof(*loop->heap));
        }
        timer->loop = loop;
        timer->due_ns = due_ns;
        heap_place(loop, loop->heap_count++, timer);
        heap_up(loop, timer->heap_index);
        return;
    }
    bool earlier = due_ns < timer->due_ns;
    timer->due_ns = due_ns;
    if (earlier)
        heap_up(loop, timer->heap_index);
    else
        heap_down(loop, timer->heap_index);
}

void loop_timer_cancel(struct loop_timer *timer)
{
    struct loop *loop = timer->loop;
    if (!loop)
        return;
    size_t index = timer->heap_index;
    struct loop_timer *last = loop->heap[--loop->heap_count];
    timer->loop = NULL;
    if (last == timer)
        return;
    heap_place(loop, index, last);
    heap_up(loop, index);
    heap_down(loop, last->heap_index);
}

/* The loop's thread is the only writer. */
static void add_relaxed(_Atomic uint64_t *counter, uint64_t amount)
{
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, value + amount, memory_order_relaxed);
}

static void note_lateness(struct loop *loop, uint64_t late_ns)
{
    int index = late_ns ? 63 - __builtin_clzll(late_ns) : 0;
    add_relaxed(&loop->lateness[index < LATENESS_BUCKETS ? index : LATENESS_BUCKETS - 1], 1);
    add_relaxed(&loop->lateness_sum_ns, late_ns);
}

void loop_get_lateness(const struct loop *loop, struct loop_lateness *lateness)
{
    *lateness = (struct loop_lateness){
        .sum_ns = atomic_load_explicit(&loop->lateness_sum_ns, memory_order_relaxed)};
    for (int i = 0; i < LATENESS_BUCKETS; i++) {
        lateness->buckets[i] = atomic_load_explicit(&loop->lateness[i], memory_order_relaxed);
        lateness->count += lateness->buckets[i];
    }
}

/* In this order: a wake after the exchange writes again; one before it is answered by the hook,
 * which the caller calls next and which sees what the waking thread did. */
static void drain_wake(struct loop *loop)
{
    uint64_t count;
    ssize_t got = read(loop->wake_fd, &count, sizeof(count));
    (void)got; /* nonblocking: nothing there is fine */
    atomic_exchange(&loop->wake_pending, false);
}

/* Between two callbacks: a wake need not wait for the rest of the turn. */
static void answer_wake(struct loop *loop)
{
    if (!atomic_load_explicit(&loop->wake_pending, memory_order_acquire))
        return;
    drain_wake(loop);
    if (loop->turn_start)
        loop->turn_start(loop->turn_context);
}

static void run_timers(struct loop *loop)
{
    loop->running_timers = true;
    while (loop->heap_count && loop->heap[0]->due_ns <= loop->now_ns) {
        struct loop_timer *timer = loop->heap[0];
        if (!timer->put_off)
            note_lateness(loop, loop->now_ns - timer->due_ns);
        loop_timer_cancel(timer);
        timer->fn(timer);
        answer_wake(loop);
    }
    loop->running_timers = false;
}

/* The wake descriptor's watch has no object, the timer's is the loop: an expired one is no event.
 */
static int take_events(struct loop *loop, int timeout_ms)
{
    int count = epoll_wait(loop->epoll_fd, loop->batch, EVENTS_MAX, timeout_ms);
    for (int i = 0; loop->timer_fd >= 0 && i < count; i++) {
        uint64_t expirations;
        if (loop->batch[i].data.ptr != loop)
            continue;
        ssize_t got = read(loop->timer_fd, &expirations, sizeof(expirations));
        (void)got; /* nonblocking: it may have been set anew */
        loop->batch[i--] = loop->batch[--count];
    }
    return count;
}

static int wait_by_timerfd(struct loop *loop, uint64_t deadline_ns)
{
    if (loop->timer_fd < 0) {
        struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = loop}};
        loop->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
        if (loop->timer_fd < 0 || epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->timer_fd, &event))
            return -1;
    }
    struct itimerspec timer = {0};
    if (deadline_ns != UINT64_MAX) {
        timer.it_value.tv_sec = (time_t)(deadline_ns / NS_PER_S);
        timer.it_value.tv_nsec = (long)(deadline_ns % NS_PER_S);
    }
    if (timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &timer, NULL))
        return -1;
    return take_events(loop, deadline_ns == 0 ? 0 : -1);
}

/* Without a sleep. Who was just sent something, and is to answer it, may be waiting for this core.
 */
static int look_for_events(struct loop *loop)
{
    uint64_t begin_ns = monotonic_now_ns(), now_ns = begin_ns, yield_ns = begin_ns, gap_ns;
    int count;
    do {
        uint64_t before_ns = now_ns;
        count = take_events(loop, 0);
        if (count == 0 && before_ns >= yield_ns) {
            sched_yield();
            yield_ns = before_ns + LINGER_YIELD_NS;
        }
        now_ns = monotonic_now_ns();
        gap_ns = now_ns - before_ns;
    } while (count == 0 && gap_ns < LINGER_OTHER_NS && now_ns - begin_ns < LINGER_NS);
    linger_note(&loop->linger, count > 0, gap_ns);
    return count;
}

static int sleep_until(struct loop *loop, uint64_t deadline_ns)
{
    struct timespec timeout = {0};
    uint64_t wait_ns = 0;
    if (deadline_ns != UINT64_MAX && deadline_ns != 0) {
        uint64_t now_ns = monotonic_now_ns();
        wait_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
        timeout.tv_sec = (time_t)(wait_ns / NS_PER_S);
        timeout.tv_nsec = (long)(wait_ns % NS_PER_S);
    }
    int count = -1;
    if (loop->timer_fd < 0)
        count = epoll_pwait2(loop->epoll_fd, loop->batch, EVENTS_MAX,
                             deadline_ns == UINT64_MAX ? NULL : &timeout, NULL);
    if (loop->timer_fd >= 0 || (count < 0 && errno == ENOSYS))
        count = wait_by_timerfd(loop, deadline_ns);
    if (count == 0 && wait_ns > 0 && wait_ns < LONG_SLEEP_NS)
        early_note_sleep(&loop->early, deadline_ns, monotonic_now_ns());
    return count;
}

/* Asks at least once, so that events come before a timer that is due already. */
static int spin_until(struct loop *loop, uint64_t due_ns)
{
    uint64_t begin_ns = monotonic_now_ns(), now_ns = begin_ns, gap_ns = 0;
    int count;
    do {
        count = take_events(loop, 0);
        uint64_t before_ns = now_ns;
        now_ns = monotonic_now_ns();
        if (now_ns - before_ns > gap_ns)
            gap_ns = now_ns - before_ns;
    } while (count == 0 && now_ns < due_ns);
    if (begin_ns < due_ns)
        early_note_spin(&loop->early, begin_ns, now_ns, gap_ns);
    return count;
}

/* A long one in several, the last of which is short. */
static int sleep_precisely(struct loop *loop, uint64_t now_ns, uint64_t deadline_ns)
{
    while (now_ns < deadline_ns && deadline_ns - now_ns >= LONG_SLEEP_NS) {
        int count = sleep_until(loop, deadline_ns - (deadline_ns - now_ns) / 128);
        if (count != 0)
            return count;
        now_ns = monotonic_now_ns();
    }
    return now_ns < deadline_ns ? sleep_until(loop, deadline_ns) : 0;
}

static int wait_precisely(struct loop *loop, uint64_t due_ns)
{
    uint64_t now_ns = monotonic_now_ns(), early_ns = early_ask(&loop->early, now_ns);
    if (now_ns + early_ns < due_ns) {
        int count = sleep_precisely(loop, now_ns, due_ns - early_ns);
        if (count != 0 || early_ns == 0)
            return count;
    }
    return spin_until(loop, due_ns);
}

/* Nothing bounds for how long another keeps the core that it is given. */
static bool may_linger(uint64_t deadline_ns, bool precise)
{
    return deadline_ns > monotonic_now_ns() + (precise ? YIELD_LOST_NS : LINGER_NS);
}

static int wait_for_events(struct loop *loop, uint64_t deadline_ns)
{
    bool is_event_expected = loop->is_event_expected, precise = false;
    loop->is_event_expected = false;
    if (loop->heap_count && loop->heap[0]->due_ns < deadline_ns) {
        deadline_ns = loop->heap[0]->due_ns;
        precise = loop->heap[0]->precise;
    }
    if (is_event_expected && may_linger(deadline_ns, precise) && linger_is_due(&loop->linger)) {
        int found = look_for_events(loop);
        if (found > 0)
            return found;
    }
    int count = precise ? wait_precisely(loop, deadline_ns) : sleep_until(loop, deadline_ns);
    if (count < 0)
        return errno == EINTR ? 0 : -errno;
    return count;
}

int loop_turn(struct loop *loop, uint64_t deadline_ns)
{
    if (!loop->slack_set) {
        prctl(PR_SET_TIMERSLACK, 1UL);
        loop->slack_set = true;
    }
    int count = wait_for_events(loop, deadline_ns);
    if (count < 0)
        return count;
    loop->now_ns = monotonic_now_ns();
    loop->batch_count = count;
    loop->batch_next = 0;
    for (int i = 0; i < count; i++)
        if (!loop->batch[i].data.ptr)
            drain_wake(loop);
    if (loop->turn_start)
        loop->turn_start(loop->turn_context);
    while (loop->batch_next < loop->batch_count) {
        struct epoll_event *event = &loop->batch[loop->batch_next++];
        struct loop_watch *watch = event->data.ptr;
        if (watch && event->events)
            watch->fn(watch, event->events);
        answer_wake(loop);
    }
    loop->batch_count = 0;
    loop->batch_next = 0;
    run_timers(loop);
    return 0;
}

int loop_run(struct loop *loop)
{
    int result = 0;
    loop->stopping = false;
    while (!loop->stopping && !result)
        result = loop_turn(loop, UINT64_MAX);
    return result;
}
