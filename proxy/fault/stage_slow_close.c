/* Slow_close: only the end of a stream is delayed. A reset stays behind a FIN, for both have the
 * same delay, also when that is changed while they wait. */
#include "proxy/fault/stage.h"

static enum stage_verdict push(struct fault_stage *stage, const struct fault_pipeline *pipeline,
                               struct fault_unit *unit, struct stage_outcome *outcome)
{
    (void)pipeline;
    (void)outcome;
    if (!unit->end)
        return STAGE_PASS;
    unit->due_ns = stage_time_add(unit->at_ns, stage->spec->slow_close.delay_ns);
    return unit->due_ns > unit->at_ns ? STAGE_HOLD : STAGE_PASS;
}

static void change(struct fault_stage *stage, const struct fault_pipeline *pipeline,
                   const struct fault_entry *after, uint64_t now_ns)
{
    uint64_t delay_ns = after->spec->slow_close.delay_ns;
    (void)pipeline;
    if (delay_ns == stage->spec->slow_close.delay_ns)
        return;
    for (struct fault_unit *unit = stage->queue.head; unit; unit = unit->next) {
        uint64_t due_ns = stage_time_add(unit->at_ns, delay_ns);
        unit->due_ns = due_ns > now_ns ? due_ns : now_ns;
    }
}

const struct stage_operations stage_slow_close = {
    .on_streams = true, .push = push, .change = change};
