#include "proxy/io/descriptors.h"

#include <stdatomic.h>
#include <sys/resource.h>

enum { KEPT_MAX = 1024, LIMIT_UNKNOWN = 1024, LIMIT_MAX = 1 << 30 };

void descriptors_open(struct descriptors *descriptors)
{
    struct rlimit limit;
    int64_t all = LIMIT_UNKNOWN;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        all = limit.rlim_cur < LIMIT_MAX ? (int64_t)limit.rlim_cur : LIMIT_MAX;
    int64_t kept = all / 2 < KEPT_MAX ? all / 2 : KEPT_MAX;
    atomic_store(&descriptors->left, all - kept);
}

bool descriptors_take(struct descriptors *descriptors, unsigned count)
{
    if (!descriptors)
        return true;
    if (atomic_fetch_sub(&descriptors->left, (int64_t)count) >= (int64_t)count)
        return true;
    descriptors_give(descriptors, count);
    return false;
}

void descriptors_give(struct descriptors *descriptors, unsigned count)
{
    if (descriptors)
        atomic_fetch_add(&descriptors->left, (int64_t)count);
}
