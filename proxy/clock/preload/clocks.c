/* The functions that tell the time. Declared here as libc declares them; gettimeofday without its
 * "not NULL", which glibc's own code allows, and ftime, whose header is gone. */
#include "proxy/clock/preload/preload.h"

#include <errno.h>
#include <string.h>

struct timezone;
struct timeb {
    time_t time;
    unsigned short millitm;
    short timezone;
    short dstflag;
};

PRELOAD_EXPORTED int clock_gettime(clockid_t clock, struct timespec *time);
PRELOAD_EXPORTED int gettimeofday(struct timeval *time, struct timezone *zone);
PRELOAD_EXPORTED time_t time(time_t *time);
PRELOAD_EXPORTED int timespec_get(struct timespec *time, int base);
PRELOAD_EXPORTED int ftime(struct timeb *time);

static inline int read_clock(clockid_t clock, struct timespec *time)
{
    int code = preload_real_time(clock, time);
    if (code || !preload_is_wall_clock(clock))
        return code;
    struct clock_shift shift = clock_page_read(preload_page());
    int64_t mono_ns = 0;
    if (shift.drift_ppb) {
        struct timespec mono;
        preload_real_time(clock == CLOCK_REALTIME_COARSE ? CLOCK_MONOTONIC_COARSE : CLOCK_MONOTONIC,
                          &mono);
        mono_ns = mono.tv_sec * CLOCK_NS_PER_S + mono.tv_nsec;
    }
    preload_add_ns(time, clock_shift_at(&shift, mono_ns));
    return 0;
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    int code = read_clock(clock, time);
    if (!code)
        return 0;
    errno = -code;
    return -1;
}

int gettimeofday(struct timeval *time, struct timezone *zone)
{
    if (zone)
        memset(zone, 0, 2 * sizeof(int)); /* as glibc: the kernel's time zone is obsolete */
    if (!time)
        return 0;
    struct timespec now;
    int code = read_clock(CLOCK_REALTIME, &now);
    if (code) {
        errno = -code;
        return -1;
    }
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return 0;
}

/* libc's time() is of the coarse clock too: both turn the second at the kernel's tick. */
time_t time(time_t *result)
{
    struct timespec now;
    if (read_clock(CLOCK_REALTIME_COARSE, &now))
        return (time_t)-1;
    if (result)
        *result = now.tv_sec;
    return now.tv_sec;
}

int timespec_get(struct timespec *time, int base)
{
    return base == TIME_UTC && read_clock(CLOCK_REALTIME, time) == 0 ? base : 0;
}

int ftime(struct timeb *result)
{
    struct timespec now;
    if (read_clock(CLOCK_REALTIME, &now))
        return -1;
    *result =
        (struct timeb){.time = now.tv_sec, .millitm = (unsigned short)(now.tv_nsec / 1000000)};
    return 0;
}
