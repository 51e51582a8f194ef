/* The one place that reads the clock outside the event loop (which has loop_now_ns). `make lint`
 * refuses clock_gettime elsewhere, the clock library apart. */
#ifndef SEVER_BASE_MONOTONIC_H
#define SEVER_BASE_MONOTONIC_H

#include <stdint.h>

#define NS_PER_US UINT64_C(1000)
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S UINT64_C(1000000000)

uint64_t monotonic_now_ns(void); /* CLOCK_MONOTONIC: intervals and deadlines */
/* CLOCK_REALTIME since 1970: to show people, and to compare with times that the kernel tells. */
int64_t wall_now_ns(void);
/* Sleeps until the monotonic deadline or a signal; returns 0 or -EINTR. */
int monotonic_sleep_until(uint64_t deadline_ns);

#endif
