/* Theory of operation
 *
 * Of two threads the scheduler (EEVDF) runs the one whose slice would end first, so a short slice
 * means little delay and no more time in all. The kernel tells the slice of a thread and takes
 * another one as the attribute sched_runtime; kernels that don't have it tell 0. */
#include "proxy/io/slice.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/sched.h>

/* The kernel's first struct sched_attr. Its header (linux/sched/types.h) and the C library's
 * sched.h define the same names, which ones depends on the version of both. */
struct attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime_ns, deadline_ns, period_ns;
};

int slice_shorten(void)
{
    struct attributes now;
    if (syscall(SYS_sched_getattr, 0, &now, sizeof(now), 0))
        return -errno;
    if (now.runtime_ns == 0 || (now.policy != SCHED_NORMAL && now.policy != SCHED_BATCH))
        return -EOPNOTSUPP;
    if (now.runtime_ns <= SLICE_NS)
        return 0;
    now.size = sizeof(now);
    now.runtime_ns = SLICE_NS;
    return syscall(SYS_sched_setattr, 0, &now, 0) ? -errno : 0;
}
