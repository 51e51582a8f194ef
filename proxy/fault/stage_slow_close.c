/* Slow_close: only the end of a stream is delayed. */
#include "proxy/fault/stage.h"

static enum stage_verdict push(struct fault_stage *stage, const struct fault_pipeline *pipeline,
                               struct fault_unit *unit, struct stage_outcome *outcome)
{
    (void)pipeline;
    (void)outcome;
    if (!unit->end)
        return STAGE_PASS;
    unit->due_ns = stage_time_add(unit->at_ns, stage->spec->slow_close.delay_ns);
    if (unit->due_ns < stage->last_due_ns) /* a reset behind a FIN */
        unit->due_ns = stage->last_due_ns;
    stage->last_due_ns = unit->due_ns;
    return unit->due_ns > unit->at_ns ? STAGE_HOLD : STAGE_PASS;
}

const struct stage_operations stage_slow_close = {.on_streams = true, .push = push};
