/* What the files of the preload library share. libc and clock_page.h only: no malloc, no lock, no
 * project code; everything here may run in a signal handler and before any constructor. */
#ifndef SEVER_CLOCK_PRELOAD_H
#define SEVER_CLOCK_PRELOAD_H

#include <stdbool.h>
#include <time.h>

#include "proxy/clock/clock_page.h"

/* The library is compiled with -fvisibility=hidden: only what stands in for libc is seen. */
#define PRELOAD_EXPORTED __attribute__((visibility("default")))

typedef int (*preload_clock_fn)(clockid_t clock, struct timespec *time);

/* The vDSO's clock_gettime (0 or negative errno), NULL when there is none. Parses the image that
 * the kernel mapped; dlsym would do it too, but may allocate, and allocators read the clock. */
preload_clock_fn preload_find_vdso_clock(void);

/* The real clock, from the vDSO or the system call: 0 or negative errno. */
int preload_real_time(clockid_t clock, struct timespec *time);

/* The page of this process; one of true time when it has none. Never NULL. */
const struct clock_page *preload_page(void);

/* CLOCK_REALTIME, its variants and CLOCK_TAI. */
bool preload_is_wall_clock(clockid_t clock);

/* time + shift_ns, with tv_nsec in range. */
void preload_add_ns(struct timespec *time, int64_t shift_ns);

#endif
