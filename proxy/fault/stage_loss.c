/* Loss: each datagram is drawn on its own; a super-packet is lost when any of its segments is. */
#include "proxy/base/random.h"
#include "proxy/fault/stage.h"

static enum stage_verdict push(struct fault_stage *stage, enum fault_medium medium,
                               struct fault_unit *unit, enum fault_cause *cause)
{
    if (medium == FAULT_STREAM)
        return STAGE_PASS;
    uint32_t ppb = random_any_ppb(stage->spec->loss.probability_ppb, unit->segments);
    if (!random_hits(random_draw(stage->key, stage->sequence, 0), ppb))
        return STAGE_PASS;
    *cause = FAULT_CAUSE_LOSS;
    return STAGE_DROP;
}

const struct stage_operations stage_loss = {.push = push};
