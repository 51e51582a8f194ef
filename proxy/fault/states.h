/* What faults remember across connections: one table by fault slot, shared by all workers.
 *
 * The control thread starts a slot anew when the plan gives it to another fault (fault_states_take,
 * before the plan is published); workers count connections in it (atomically: a spread route is on
 * several), and keep the clock of a shared rate there, which belongs to the one worker that has the
 * route. */
#ifndef SEVER_FAULT_STATES_H
#define SEVER_FAULT_STATES_H

#include <stdatomic.h>
#include <stdint.h>

#include "proxy/fault/plan.h"
#include "proxy/fault/ruleset.h"

/* The virtual clock of a rate (stage_rate.c). */
struct fault_rate_clock {
    uint64_t filled_ns;                /* when the bucket will be full again */
    uint64_t remainder;                /* a fraction of a nanosecond beyond it, in 1/bytes_per_s */
    uint64_t bytes_per_s, burst_bytes; /* that the rest is counted in */
    uint64_t stopped_ns;               /* rate 0: when the clock was stopped */
};

/* A rate that several flows share; one worker's alone. */
struct fault_shared_rate {
    uint32_t generation; /* of the fault's slot that the clock belongs to */
    struct fault_rate_clock clock;
};

struct fault_state {
    _Atomic uint64_t since_ns;         /* monotonic: when the fault was set */
    _Atomic uint64_t since_version;    /* of the plan that set it */
    _Atomic uint32_t connections;      /* that have met it and began since */
    struct fault_shared_rate rates[2]; /* upstream, downstream */
};

struct fault_states {
    uint32_t generation[RULESET_FAULTS_MAX]; /* control thread only */
    struct fault_state by_slot[RULESET_FAULTS_MAX];
};

/* Starts the slots that `plan` gives to faults which `states` does not know yet. now_ns: monotonic.
 * Control thread, when nothing can keep the plan from being published any more, and before it is.
 * A fault that changes in its parameters alone goes on. */
void fault_states_take(struct fault_states *states, const struct fault_plan *plan, uint64_t now_ns);

#endif
