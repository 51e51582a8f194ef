/* Loss: each datagram is drawn on its own; a super-packet is lost when any of its segments is. */
#include "proxy/base/random.h"
#include "proxy/fault/stage.h"

/* 2^63 is one. */
#define ONE (UINT64_C(1) << 63)

/* a * b where a is a fraction of ONE, rounded to the nearest. */
static uint64_t multiply(uint64_t a, uint64_t b)
{
    return (uint64_t)(((unsigned __int128)a * b + ONE / 2) >> 63);
}

/* Square and multiply. */
uint32_t stage_loss_probability(uint32_t ppb, uint32_t segments)
{
    if (segments <= 1 || ppb == 0)
        return ppb;
    uint64_t power = (uint64_t)(((unsigned __int128)(RANDOM_PPB_ONE - ppb) << 63) / RANDOM_PPB_ONE);
    uint64_t survives = ONE;
    for (; segments; segments >>= 1) {
        if (segments & 1)
            survives = multiply(survives, power);
        power = multiply(power, power);
    }
    return RANDOM_PPB_ONE - (uint32_t)multiply(survives, RANDOM_PPB_ONE);
}

static enum stage_verdict push(struct fault_stage *stage, const struct fault_pipeline *pipeline,
                               struct fault_unit *unit, struct stage_outcome *outcome)
{
    (void)pipeline;
    uint32_t ppb = stage_loss_probability(stage->spec->loss.probability_ppb, unit->segments);
    if (!random_hits(random_draw(stage->key, stage->sequence, STAGE_DRAW_CHOICE), ppb))
        return STAGE_PASS;
    outcome->cause = FAULT_CAUSE_LOSS;
    return STAGE_DROP;
}

const struct stage_operations stage_loss = {.on_datagrams = true, .push = push};
