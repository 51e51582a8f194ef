/* The event loop: raw epoll with nanosecond timeouts (epoll_pwait2), timers in a heap, one loop per
 * thread. Watchers and timers are embedded in the caller's objects: nothing is allocated per event.
 *
 * One timestamp per turn: loop_now_ns is read once after the wait and stays for the whole turn.
 * Callbacks may add, change and remove any watcher or timer, their own and others' included: an
 * event of this turn for a watcher that was removed meanwhile is not delivered, even when the same
 * memory has been added again. Everything is for the loop's own thread, loop_wake apart. */
#ifndef SEVER_IO_LOOP_H
#define SEVER_IO_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "proxy/base/error.h"

struct loop;
struct loop_watch;
struct loop_timer;

/* events: EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP, EPOLLRDHUP as the kernel gave them. */
typedef void (*loop_watch_fn)(struct loop_watch *watch, uint32_t events);
typedef void (*loop_timer_fn)(struct loop_timer *timer);
typedef void (*loop_turn_fn)(void *context);

struct loop_watch {    /* zero-initialise; find your object with loop_container */
    struct loop *loop; /* NULL while not added */
    int fd;
    uint32_t events;
    loop_watch_fn fn;
};

struct loop_timer {    /* zero-initialise */
    struct loop *loop; /* NULL while not armed */
    uint64_t due_ns;
    size_t heap_index;
    bool put_off; /* armed for now: work for later in the turn, no deadline */
    /* Set by its owner before it is armed, like fn: being late by as much as a sleep ends late is
     * too much. The loop wakes early for it and spins until it is due, for a bounded share of the
     * thread's time, and not where other threads want the core (early.h). */
    bool precise;
    loop_timer_fn fn;
};

#define loop_container(pointer, type, member)                                                      \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/* -errno when the kernel refuses epoll or eventfd. */
int loop_create(struct loop **loop, struct error *error);
void loop_destroy(struct loop *loop); /* watchers and timers still in it are forgotten */

/* Runs turns until loop_stop. Returns 0, or -errno when epoll itself fails. */
int loop_run(struct loop *loop);
/* One turn: waits for events, a due timer, a wake, or deadline_ns (UINT64_MAX: none; 0: don't
 * wait). */
int loop_turn(struct loop *loop, uint64_t deadline_ns);
void loop_stop(struct loop *loop); /* loop_run returns after this turn */

/* Monotonic time of this turn, ns. */
uint64_t loop_now_ns(const struct loop *loop);
/* The time right now, not before that of the turn. For one thing only: when bytes came that were
 * read in this turn. Everything else goes by the turn's time. */
uint64_t loop_arrival_ns(const struct loop *loop);

/* Called at the start of every turn before any event is dispatched, and after the timestamp was
 * taken: where a worker takes over a newly published ruleset. A loop_wake that comes in the middle
 * of a turn calls it again between two callbacks, so that a wake is answered after one callback,
 * not after a whole batch of them. NULL for none. */
void loop_set_turn_start(struct loop *loop, loop_turn_fn fn, void *context);

/* For a callback that expects another event at once: the loop looks for it for some 100 us before
 * it sleeps again, as long as that pays (linger.h). */
void loop_linger(struct loop *loop);

/* Makes the loop take a turn soon. Any thread, and signal handlers. */
void loop_wake(struct loop *loop);

/* Watches fd (the caller's to close, after loop_watch_remove). events may be 0 and may include
 * EPOLLET. -errno. */
int loop_watch_add(struct loop *loop, struct loop_watch *watch, int fd, uint32_t events,
                   loop_watch_fn fn);
/* No system call when nothing changes. Only for an added watch. */
void loop_watch_modify(struct loop_watch *watch, uint32_t events);
void loop_watch_remove(struct loop_watch *watch); /* fine when not added */

/* Arms or re-arms: fn runs once, in the first turn at or after due_ns; armed by a timer's fn for
 * now or earlier, it runs in the next turn. timer->fn set by the caller. The heap grows by
 * allocation only when more timers are armed at once than ever before. */
void loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t due_ns);
void loop_timer_cancel(struct loop_timer *timer); /* fine when not armed */

/* Lateness of timers since creation: how long after due_ns each ran; one that was armed for now or
 * earlier has no deadline and does not count. For the status report, from any thread. */
struct loop_lateness {
    uint64_t count, sum_ns;
    uint64_t buckets[32]; /* bucket i: lateness in [2^i, 2^(i+1)) ns, bucket 0 also below 1 ns */
};
void loop_get_lateness(const struct loop *loop, struct loop_lateness *lateness);

#endif
