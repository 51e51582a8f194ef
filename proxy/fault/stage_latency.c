/* Latency: each unit is due a delay after it arrived, and never before the unit in front of it,
 * unless the fault is told to reorder. */
#include "proxy/base/random.h"
#include "proxy/fault/distribution.h"
#include "proxy/fault/stage.h"

static uint64_t draw_delay_ns(struct fault_stage *stage)
{
    const struct ruleset_fault *spec = stage->spec;
    uint64_t delay_ns = spec->latency.delay_ns, jitter_ns = spec->latency.jitter_ns;
    if (jitter_ns == 0)
        return delay_ns;
    uint64_t bits = stage_draw_choice(stage, stage->sequence, spec->latency.correlation_ppb);
    int64_t drawn_ns =
        (int64_t)delay_ns + (stage->table
                                 ? distribution_draw_table(stage->table, bits, jitter_ns)
                                 : distribution_draw(spec->latency.distribution, bits, jitter_ns));
    return drawn_ns > 0 ? (uint64_t)drawn_ns : 0;
}

static enum stage_verdict push(struct fault_stage *stage, const struct fault_pipeline *pipeline,
                               struct fault_unit *unit, struct stage_outcome *outcome)
{
    (void)outcome;
    unit->due_ns = stage_time_add(unit->at_ns, draw_delay_ns(stage));
    if (stage->spec->latency.reorder && pipeline->flow.medium == FAULT_DATAGRAM)
        return unit->due_ns > unit->at_ns ? STAGE_HOLD_LOOSE : STAGE_PASS;
    if (unit->due_ns < stage->last_due_ns)
        unit->due_ns = stage->last_due_ns;
    stage->last_due_ns = unit->due_ns;
    return unit->due_ns > unit->at_ns ? STAGE_HOLD : STAGE_PASS;
}

const struct stage_operations stage_latency = {
    .on_streams = true, .on_datagrams = true, .push = push};
