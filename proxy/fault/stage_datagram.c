/* What only datagrams meet, one draw each: duplicate, reorder, truncate, reject. */
#include "proxy/base/random.h"
#include "proxy/fault/stage.h"

static bool is_chosen(struct fault_stage *stage, uint32_t probability_ppb, uint32_t correlation_ppb)
{
    return random_hits(stage_draw_choice(stage, stage->sequence, correlation_ppb), probability_ppb);
}

static enum stage_verdict push_duplicate(struct fault_stage *stage,
                                         const struct fault_pipeline *pipeline,
                                         struct fault_unit *unit, struct stage_outcome *outcome)
{
    const struct ruleset_fault *spec = stage->spec;
    const struct fault_sink *sink = &pipeline->sink;
    if (!is_chosen(stage, spec->duplicate.probability_ppb, spec->duplicate.correlation_ppb) ||
        !sink->copy)
        return STAGE_PASS;
    outcome->copy = sink->copy(sink->context, unit);
    if (!outcome->copy)
        return STAGE_PASS;
    outcome->copy->bytes = unit->bytes;
    outcome->copy->segments = unit->segments;
    outcome->copy->repair = unit->repair;
    return STAGE_COPY;
}

static enum stage_verdict push_reorder(struct fault_stage *stage,
                                       const struct fault_pipeline *pipeline,
                                       struct fault_unit *unit, struct stage_outcome *outcome)
{
    const struct ruleset_fault *spec = stage->spec;
    (void)pipeline;
    (void)outcome;
    if (!is_chosen(stage, spec->reorder.probability_ppb, spec->reorder.correlation_ppb))
        return STAGE_PASS;
    unit->due_ns = stage_time_add(unit->at_ns, spec->reorder.delay_ns);
    return unit->due_ns > unit->at_ns ? STAGE_HOLD_LOOSE : STAGE_PASS;
}

static enum stage_verdict push_truncate(struct fault_stage *stage,
                                        const struct fault_pipeline *pipeline,
                                        struct fault_unit *unit, struct stage_outcome *outcome)
{
    const struct ruleset_fault *spec = stage->spec;
    (void)pipeline;
    (void)outcome;
    if (!is_chosen(stage, spec->truncate.probability_ppb, 0) || unit->bytes <= spec->truncate.bytes)
        return STAGE_PASS;
    unit->bytes = (uint32_t)spec->truncate.bytes;
    unit->repair |= spec->truncate.repair;
    return STAGE_TOUCH;
}

static enum stage_verdict push_reject(struct fault_stage *stage,
                                      const struct fault_pipeline *pipeline,
                                      struct fault_unit *unit, struct stage_outcome *outcome)
{
    (void)pipeline;
    (void)unit;
    if (!is_chosen(stage, stage->spec->reject.probability_ppb, 0))
        return STAGE_PASS;
    outcome->cause = FAULT_CAUSE_REJECT;
    return STAGE_DROP;
}

const struct stage_operations stage_duplicate = {.on_datagrams = true, .push = push_duplicate};
const struct stage_operations stage_reorder = {.on_datagrams = true, .push = push_reorder};
const struct stage_operations stage_truncate = {.on_datagrams = true, .push = push_truncate};
const struct stage_operations stage_reject = {.on_datagrams = true, .push = push_reject};
