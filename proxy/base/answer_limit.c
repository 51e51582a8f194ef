#include "proxy/base/answer_limit.h"

#include "proxy/base/monotonic.h"

bool answer_limit_allow(struct answer_limit *limit, unsigned burst, uint64_t now_ns)
{
    const uint64_t each_ns = NS_PER_S / ANSWER_LIMIT_PER_S, saved_ns = burst * each_ns;
    if (limit->used_ns + saved_ns < now_ns)
        limit->used_ns = now_ns - saved_ns;
    if (limit->used_ns + each_ns > now_ns)
        return false;
    limit->used_ns += each_ns;
    return true;
}
