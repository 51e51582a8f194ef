/* Theory of operation: a wait until an absolute time of the wall clock is done by the kernel, which
 * knows nothing of the shift: with a clock 2 s ahead, a wait of 0.3 s took 2.3 s. So each function
 * that takes such a deadline gets it converted: what is left of it on the shifted clock, at the
 * clock's drift, from now on the real clock. With true time in the page the deadline goes through
 * as it is, and so do deadlines of monotonic clocks.
 *
 * A wait that is under way keeps the real deadline it was given when the clock is changed.
 * Left to the kernel's clock: timer_settime and timerfd_settime with an absolute time, and what
 * calls the kernel by itself.
 *
 * The real functions are looked up with dlsym at the first wait, not at a clock read: should dlsym
 * allocate, the allocator may read the clock. */
#include "proxy/clock/preload/preload.h"

#include <dlfcn.h>
#include <mqueue.h>
#include <pthread.h>
#include <semaphore.h>
#include <stddef.h>
#include <threads.h>

/* The address of the next definition of `name` after this library's, kept in *slot. */
static uintptr_t find_next(_Atomic uintptr_t *slot, const char *name)
{
    uintptr_t address = atomic_load_explicit(slot, memory_order_acquire);
    if (!address) {
        address = (uintptr_t)dlsym(RTLD_NEXT, name);
        atomic_store_explicit(slot, address, memory_order_release);
    }
    return address;
}

static int64_t saturated_ns(const struct timespec *time)
{
    int64_t ns;
    if (__builtin_mul_overflow((int64_t)time->tv_sec, CLOCK_NS_PER_S, &ns) ||
        __builtin_add_overflow(ns, (int64_t)time->tv_nsec, &ns))
        return time->tv_sec < 0 ? INT64_MIN : INT64_MAX;
    return ns;
}

/* The moment of the real clock at which the shifted one reads *deadline: in *converted, or deadline
 * itself when there is nothing to convert. Malformed times go through for libc to refuse. */
static const struct timespec *convert(clockid_t clock, const struct timespec *deadline,
                                      struct timespec *converted)
{
    if (!preload_is_wall_clock(clock) || deadline->tv_nsec < 0 ||
        deadline->tv_nsec >= CLOCK_NS_PER_S || deadline->tv_sec < 0)
        return deadline;
    struct clock_shift shift = clock_page_read(preload_page());
    struct timespec now, mono;
    if ((shift.offset_ns == 0 && shift.drift_ppb == 0) || preload_real_time(clock, &now) ||
        preload_real_time(CLOCK_MONOTONIC, &mono))
        return deadline;
    int64_t remaining_ns;
    int64_t ahead_ns = clock_shift_at(&shift, saturated_ns(&mono));
    if (__builtin_sub_overflow(saturated_ns(deadline), saturated_ns(&now), &remaining_ns) ||
        __builtin_sub_overflow(remaining_ns, ahead_ns, &remaining_ns))
        return deadline;
    if (remaining_ns > 0)
        remaining_ns = clock_shift_real_interval(&shift, remaining_ns);
    *converted = now;
    preload_add_ns(converted, remaining_ns);
    if (converted->tv_sec < 0)
        *converted = (struct timespec){0};
    return converted;
}

/* Defines FUNCTION, whose deadline is measured on CLOCK: the same call with the deadline converted.
 * libc's symbol is looked up once for each function, and lives in a slot of its own. */
#define PRELOAD_WAIT(type, function, clock, parameters, arguments)                                 \
    PRELOAD_EXPORTED type function parameters                                                      \
    {                                                                                              \
        static _Atomic uintptr_t slot;                                                             \
        struct timespec converted;                                                                 \
        const struct timespec *until = convert(clock, deadline, &converted);                       \
        __typeof__(&(function)) next = (__typeof__(&(function)))find_next(&slot, #function);       \
        return next arguments;                                                                     \
    }

/* The clock that a condition variable was made for: glibc keeps it in this bit of its (public,
 * frozen) layout, set for CLOCK_MONOTONIC. */
static clockid_t condition_clock(const pthread_cond_t *condition)
{
    return __atomic_load_n(&condition->__data.__wrefs, __ATOMIC_RELAXED) & 2 ? CLOCK_MONOTONIC
                                                                             : CLOCK_REALTIME;
}

PRELOAD_WAIT(int, clock_nanosleep, flags &TIMER_ABSTIME ? clock : CLOCK_MONOTONIC,
             (clockid_t clock, int flags, const struct timespec *deadline,
              struct timespec *remaining),
             (clock, flags, until, remaining))

PRELOAD_WAIT(int, pthread_cond_timedwait, condition_clock(condition),
             (pthread_cond_t * condition, pthread_mutex_t *mutex, const struct timespec *deadline),
             (condition, mutex, until))
PRELOAD_WAIT(int, pthread_cond_clockwait, clock,
             (pthread_cond_t * condition, pthread_mutex_t *mutex, clockid_t clock,
              const struct timespec *deadline),
             (condition, mutex, clock, until))
PRELOAD_WAIT(int, cnd_timedwait, CLOCK_REALTIME,
             (cnd_t * condition, mtx_t *mutex, const struct timespec *deadline),
             (condition, mutex, until))

PRELOAD_WAIT(int, pthread_mutex_timedlock, CLOCK_REALTIME,
             (pthread_mutex_t * mutex, const struct timespec *deadline), (mutex, until))
PRELOAD_WAIT(int, pthread_mutex_clocklock, clock,
             (pthread_mutex_t * mutex, clockid_t clock, const struct timespec *deadline),
             (mutex, clock, until))
PRELOAD_WAIT(int, mtx_timedlock, CLOCK_REALTIME, (mtx_t * mutex, const struct timespec *deadline),
             (mutex, until))

PRELOAD_WAIT(int, pthread_rwlock_timedrdlock, CLOCK_REALTIME,
             (pthread_rwlock_t * lock, const struct timespec *deadline), (lock, until))
PRELOAD_WAIT(int, pthread_rwlock_timedwrlock, CLOCK_REALTIME,
             (pthread_rwlock_t * lock, const struct timespec *deadline), (lock, until))
PRELOAD_WAIT(int, pthread_rwlock_clockrdlock, clock,
             (pthread_rwlock_t * lock, clockid_t clock, const struct timespec *deadline),
             (lock, clock, until))
PRELOAD_WAIT(int, pthread_rwlock_clockwrlock, clock,
             (pthread_rwlock_t * lock, clockid_t clock, const struct timespec *deadline),
             (lock, clock, until))

PRELOAD_WAIT(int, sem_timedwait, CLOCK_REALTIME,
             (sem_t * semaphore, const struct timespec *deadline), (semaphore, until))
PRELOAD_WAIT(int, sem_clockwait, clock,
             (sem_t * semaphore, clockid_t clock, const struct timespec *deadline),
             (semaphore, clock, until))

PRELOAD_WAIT(int, mq_timedsend, CLOCK_REALTIME,
             (mqd_t queue, const char *message, size_t size, unsigned priority,
              const struct timespec *deadline),
             (queue, message, size, priority, until))
PRELOAD_WAIT(ssize_t, mq_timedreceive, CLOCK_REALTIME,
             (mqd_t queue, char *message, size_t size, unsigned *priority,
              const struct timespec *deadline),
             (queue, message, size, priority, until))
