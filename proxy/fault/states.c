#include "proxy/fault/states.h"

void fault_states_take(struct fault_states *states, const struct fault_plan *plan, uint64_t now_ns)
{
    uint16_t count = (uint16_t)fault_plan_fault_slots(plan);
    for (uint16_t slot = 0; slot < count; slot++) {
        uint32_t generation = fault_plan_fault_generation(plan, slot);
        if (fault_plan_fault_of_slot(plan, slot) == UINT16_MAX ||
            states->generation[slot] == generation)
            continue;
        struct fault_state *state = &states->by_slot[slot];
        states->generation[slot] = generation;
        atomic_store_explicit(&state->since_ns, now_ns, memory_order_relaxed);
        atomic_store_explicit(&state->since_version, fault_plan_version(plan),
                              memory_order_relaxed);
        atomic_store_explicit(&state->connections, 0, memory_order_relaxed);
    }
}
