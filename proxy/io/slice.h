/* The time slice of a thread that is woken often, does little and sleeps again. */
#ifndef SEVER_IO_SLICE_H
#define SEVER_IO_SLICE_H

#include <stdint.h>

#define SLICE_NS UINT64_C(300000)

/* Gives the calling thread, and what it starts later, a slice of SLICE_NS at most: where every core
 * is busy it then runs soon after it is woken, not when another's slice is over. Its share of the
 * processor, nice value and policy stay as they are. Needs no privilege. 0; or -errno, and all is
 * as before: -EOPNOTSUPP where the kernel (before 6.12) or the thread's policy has no such slices.
 */
int slice_shorten(void);

#endif
