#include "proxy/daemon/provenance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/text.h"

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
        bool kept = old && ruleset_same_partition(old, partition);
        stamp(partition->set_by, &partition->set_at_ns, kept ? old->set_by : by,
              kept ? old->set_at_ns : now_ns);
    }
    const struct ruleset_fault **sorted = sort_faults(current);
    for (size_t i = 0; i < next->fault_count; i++) {
        struct ruleset_fault *fault = &next->faults[i], *key = fault;
        const struct ruleset_fault **found =
            bsearch(&key, sorted, current->fault_count, sizeof(*sorted), compare_faults);
        bool kept = found && ruleset_same_fault(*found, fault);
        stamp(fault->set_by, &fault->set_at_ns, kept ? (*found)->set_by : by,
              kept ? (*found)->set_at_ns : now_ns);
    }
    free(sorted);
}
