/* What the captures mean under one plan. */
#include <stdlib.h>
#include <string.h>

#include "proxy/base/text.h"
#include "proxy/capture/internal.h"

static void take_names(struct capture_set *set, const struct ruleset *ruleset)
{
    for (size_t i = 0; i < ruleset->node_count; i++) {
        uint16_t slot = fault_plan_node_slot(set->plan, ruleset->nodes[i].name);
        if (slot < RULESET_NODES_MAX)
            set->name_of[slot] = captures_name(set->captures, ruleset->nodes[i].name);
    }
}

static void take_cuts(struct capture_set *set, const struct ruleset *ruleset)
{
    for (size_t i = 0; i < ruleset->partition_count; i++) {
        const struct ruleset_partition *partition = &ruleset->partitions[i];
        for (size_t j = 0; j < partition->link_count; j++) {
            uint16_t from =
                fault_plan_node_slot(set->plan, partition->ends[partition->links[j].from]);
            uint16_t to = fault_plan_node_slot(set->plan, partition->ends[partition->links[j].to]);
            if (from >= RULESET_NODES_MAX || to >= RULESET_NODES_MAX)
                continue;
            struct capture_cut *cut = &set->cuts[from][to];
            if (cut->partition)
                cut->more++;
            else
                cut->partition = (uint16_t)(i + 1);
        }
    }
}

struct capture_set *capture_set_create(struct captures *captures, const struct ruleset *ruleset,
                                       const struct fault_plan *plan)
{
    if (captures->count == 0)
        return NULL;
    struct capture_set *set = memory_allocate_zeroed(1, sizeof(*set));
    set->captures = captures;
    set->plan = plan;
    set->faults = ruleset->faults;
    set->partitions = ruleset->partitions;
    take_names(set, ruleset);
    take_cuts(set, ruleset);
    for (size_t i = 0; i < captures->count; i++) {
        struct capture *capture = captures->list[i];
        set->meanings[set->count++] = (struct capture_meaning){
            capture, capture->kind == CAPTURE_LAB ? 0 : fault_plan_node_slot(plan, capture->from),
            capture->kind == CAPTURE_LINK ? fault_plan_node_slot(plan, capture->to) : 0};
    }
    return set;
}

void capture_set_destroy(struct capture_set *set)
{
    free(set);
}
