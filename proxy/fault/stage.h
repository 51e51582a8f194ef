/* What a fault stage is made of. Internal to proxy/fault.
 *
 * A new fault type is one file with its stage_operations, a row in pipeline.c's table, and its
 * fields in struct fault_stage. The pipeline runs the queue: a stage only says what becomes of each
 * unit as it arrives. */
#ifndef SEVER_FAULT_STAGE_H
#define SEVER_FAULT_STAGE_H

#include "proxy/fault/pipeline.h"

enum stage_verdict {
    STAGE_PASS, /* leaves at once, untouched */
    STAGE_HOLD, /* unit->due_ns says when it leaves, > at_ns */
    STAGE_DROP, /* *cause says why */
};

struct stage_operations {
    /* Judges the unit that arrives at unit->at_ns; everything due by then has left the queue.
     * Called in order of arrival. The sequence number is stage->sequence. */
    enum stage_verdict (*push)(struct fault_stage *stage, enum fault_medium medium,
                               struct fault_unit *unit, enum fault_cause *cause);
    /* The parameters change from those of stage->spec to `after` at now_ns. May move the
     * due times of the queue, keeping their order. NULL: nothing to do. */
    void (*change)(struct fault_stage *stage, const struct ruleset_fault *after, uint64_t now_ns);
};

extern const struct stage_operations stage_latency, stage_loss, stage_rate, stage_noop;

/* a + b, or just below FAULT_NEVER. */
static inline uint64_t stage_time_add(uint64_t a, uint64_t b)
{
    return a < FAULT_NEVER - 1 - b && b < FAULT_NEVER - 1 ? a + b : FAULT_NEVER - 1;
}

#endif
