#include "chaos/check/check.h"

#include <assert.h>

const char *check_verdict_name(enum check_verdict verdict)
{
    static const char *const names[] = {"pass", "fail", "unknown"};
    return names[verdict];
}

enum check_verdict check_worse(enum check_verdict a, enum check_verdict b)
{
    if (a == CHECK_FAIL || b == CHECK_FAIL)
        return CHECK_FAIL;
    return a == CHECK_UNKNOWN || b == CHECK_UNKNOWN ? CHECK_UNKNOWN : CHECK_PASS;
}

/* Nodes on one side are joined by a chain of links that are open both ways. */
void check_sides(const bool *cut, const bool *alive, size_t count, uint8_t *side)
{
    size_t component[EXPERIMENT_NODES_MAX], size[EXPERIMENT_NODES_MAX] = {0};
    size_t queue[EXPERIMENT_NODES_MAX];
    assert(count <= EXPERIMENT_NODES_MAX);
    for (size_t i = 0; i < count; i++)
        component[i] = SIZE_MAX;
    for (size_t first = 0; first < count; first++) {
        size_t waiting = 0;
        if (!alive[first] || component[first] != SIZE_MAX)
            continue;
        component[first] = first;
        queue[waiting++] = first;
        while (waiting > 0) {
            size_t here = queue[--waiting];
            size[first]++;
            for (size_t other = 0; other < count; other++) {
                if (!alive[other] || component[other] != SIZE_MAX || cut[here * count + other] ||
                    cut[other * count + here])
                    continue;
                component[other] = first;
                queue[waiting++] = other;
            }
        }
    }
    for (size_t i = 0; i < count; i++)
        side[i] = !alive[i]                        ? CHECK_SIDE_NONE
                  : 2 * size[component[i]] > count ? CHECK_SIDE_MAJORITY
                                                   : CHECK_SIDE_MINORITY;
}
