/* Loss: each datagram is drawn on its own; a super-packet is lost when any of its segments is. */
#include "proxy/base/random.h"
#include "proxy/fault/stage.h"

static enum stage_verdict push(struct fault_stage *stage, const struct fault_pipeline *pipeline,
                               struct fault_unit *unit, struct stage_outcome *outcome)
{
    (void)pipeline;
    uint32_t ppb = random_any_ppb(stage->spec->loss.probability_ppb, unit->segments);
    if (!random_hits(random_draw(stage->key, stage->sequence, STAGE_DRAW_CHOICE), ppb))
        return STAGE_PASS;
    outcome->cause = FAULT_CAUSE_LOSS;
    return STAGE_DROP;
}

const struct stage_operations stage_loss = {.on_datagrams = true, .push = push};
