#include "proxy/daemon/provenance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/text.h"

static bool same_link(const struct ruleset_link *a, const struct ruleset_link *b)
{
    return strcmp(a->from, b->from) == 0 && strcmp(a->to, b->to) == 0;
}

static bool same_partition(const struct ruleset_partition *a, const struct ruleset_partition *b)
{
    if (a->link_count != b->link_count)
        return false;
    for (size_t i = 0; i < a->link_count; i++)
        if (!same_link(&a->links[i], &b->links[i]))
            return false;
    return true;
}

static bool same_fault(const struct ruleset_fault *a, const struct ruleset_fault *b)
{
    if (a->type != b->type || strcmp(a->route, b->route) != 0)
        return false;
    if (a->route[0] ? a->direction != b->direction
                    : !same_link(&a->link, &b->link) || a->both_ways != b->both_ways)
        return false;
    switch (a->type) {
    case RULESET_LATENCY:
        return a->latency.delay_ns == b->latency.delay_ns &&
               a->latency.jitter_ns == b->latency.jitter_ns &&
               a->latency.distribution == b->latency.distribution;
    case RULESET_LOSS:
        return a->loss.probability_ppb == b->loss.probability_ppb;
    case RULESET_RATE:
        return a->rate.bytes_per_s == b->rate.bytes_per_s &&
               a->rate.burst_bytes == b->rate.burst_bytes &&
               a->rate.queue_bytes == b->rate.queue_bytes;
    case RULESET_FAULT_TYPES:
        break;
    }
    return false;
}

static int compare_faults(const void *a, const void *b)
{
    const struct ruleset_fault *const *fault_a = a, *const *fault_b = b;
    return strcmp((*fault_a)->name, (*fault_b)->name);
}

/* The current faults by name: a ruleset may have thousands. Caller frees. */
static const struct ruleset_fault **sort_faults(const struct ruleset *ruleset)
{
    const struct ruleset_fault **sorted =
        memory_allocate_zeroed(ruleset->fault_count + 1, sizeof(const struct ruleset_fault *));
    for (size_t i = 0; i < ruleset->fault_count; i++)
        sorted[i] = &ruleset->faults[i];
    qsort(sorted, ruleset->fault_count, sizeof(const struct ruleset_fault *), compare_faults);
    return sorted;
}

static void stamp(char *set_by, int64_t *set_at_ns, const char *by, int64_t at_ns)
{
    snprintf(set_by, RULESET_NAME_MAX, "%s", by);
    *set_at_ns = at_ns;
}

void provenance_fill(struct ruleset *next, const struct ruleset *current, const char *by,
                     int64_t now_ns)
{
    for (size_t i = 0; i < next->partition_count; i++) {
        struct ruleset_partition *partition = &next->partitions[i];
        const struct ruleset_partition *old = ruleset_find_partition(current, partition->name);
        bool kept = old && same_partition(old, partition);
        stamp(partition->set_by, &partition->set_at_ns, kept ? old->set_by : by,
              kept ? old->set_at_ns : now_ns);
    }
    const struct ruleset_fault **sorted = sort_faults(current);
    for (size_t i = 0; i < next->fault_count; i++) {
        struct ruleset_fault *fault = &next->faults[i], *key = fault;
        const struct ruleset_fault **found =
            bsearch(&key, sorted, current->fault_count, sizeof(*sorted), compare_faults);
        bool kept = found && same_fault(*found, fault);
        stamp(fault->set_by, &fault->set_at_ns, kept ? (*found)->set_by : by,
              kept ? (*found)->set_at_ns : now_ns);
    }
    free(sorted);
}
