/* Limit_data: so many bytes pass, then the connection is closed behind the last of them. What the
 * source sends until that is done is dropped. When not one byte may pass there is none to close
 * behind, so the first one that comes ends the connection at once. */
#include "proxy/fault/stage.h"

static enum stage_verdict push(struct fault_stage *stage, const struct fault_pipeline *pipeline,
                               struct fault_unit *unit, struct stage_outcome *outcome)
{
    (void)pipeline;
    uint64_t limit = stage->spec->limit_data.bytes;
    if (unit->end)
        return STAGE_PASS;
    if (stage->limit.reached) {
        outcome->cause = FAULT_CAUSE_DISCARD;
        return STAGE_DROP;
    }
    if (stage->limit.passed_bytes >= limit) {
        stage->limit.reached = true;
        return STAGE_END;
    }
    stage->limit.reached = unit->bytes >= limit - stage->limit.passed_bytes;
    if (stage->limit.reached) {
        unit->bytes = (uint32_t)(limit - stage->limit.passed_bytes);
        unit->last = true;
    }
    stage->limit.passed_bytes += unit->bytes;
    return stage->limit.reached ? STAGE_TOUCH : STAGE_PASS;
}

const struct stage_operations stage_limit_data = {
    .on_streams = true, .push = push, .end = FAULT_END_CLOSE};
