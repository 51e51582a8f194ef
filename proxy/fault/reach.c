#include "proxy/fault/reach.h"

#include <assert.h>

#include "proxy/base/random.h"
#include "proxy/fault/stage.h"

/* The number that the opposite direction of the connection got; FAULT_REACH_UNCOUNTED when it has
 * not met the fault. */
static uint32_t number_of_opposite(const struct fault_entry *entry, const struct fault_flow *flow)
{
    const struct fault_pipeline *opposite = flow->opposite;
    for (size_t i = 0; opposite && i < opposite->stage_count; i++) {
        const struct fault_stage *stage = &opposite->stages[i];
        if (stage->fault_slot == entry->slot && stage->generation == entry->generation)
            return stage->reach.number;
    }
    return FAULT_REACH_UNCOUNTED;
}

/* Versions, not times: a turn of the loop has one timestamp, but may see two plans. */
static bool began_since(const struct fault_state *state, const struct fault_flow *flow)
{
    return flow->begun_version >= atomic_load_explicit(&state->since_version, memory_order_relaxed);
}

/* The counter stops far above every first_connections, so that it never wraps. */
static uint32_t take_number(struct fault_state *state)
{
    static_assert(RULESET_CONNECTIONS_MAX < FAULT_REACH_UNCOUNTED / 2, "a number is never above");
    if (atomic_load_explicit(&state->connections, memory_order_relaxed) > FAULT_REACH_UNCOUNTED / 2)
        return FAULT_REACH_UNCOUNTED;
    return atomic_fetch_add_explicit(&state->connections, 1, memory_order_relaxed);
}

struct fault_reach fault_reach_meet(const struct fault_entry *entry, const struct fault_flow *flow,
                                    uint64_t key)
{
    struct fault_reach reach = {.number = FAULT_REACH_UNCOUNTED};
    reach.toxicity_draw =
        (uint32_t)random_below(random_draw(key, 0, STAGE_DRAW_TOXICITY), RANDOM_PPB_ONE);
    if (!flow->states || !began_since(&flow->states->by_slot[entry->slot], flow))
        return reach;
    reach.number = number_of_opposite(entry, flow);
    if (reach.number == FAULT_REACH_UNCOUNTED)
        reach.number = take_number(&flow->states->by_slot[entry->slot]);
    return reach;
}

bool fault_reach_spares(const struct fault_reach *reach, const struct ruleset_fault *spec)
{
    return reach->toxicity_draw >= RANDOM_PPB_ONE - spec->spared_ppb ||
           (spec->first_connections > 0 && reach->number >= spec->first_connections);
}
