/* What a loss model comes to in the long run, for a plane that can only lose at random. */
#include "proxy/base/random.h"
#include "proxy/fault/pipeline.h"

/* part / whole in parts per billion; nothing of nothing is nothing. */
static uint32_t ratio_ppb(unsigned __int128 part, unsigned __int128 whole)
{
    return whole == 0 ? 0 : (uint32_t)(part * RANDOM_PPB_ONE / whole);
}

/* In the good state at first, and for good when no way leads out of it. */
static uint32_t gilbert_elliott_ppb(const struct ruleset_fault *spec)
{
    uint64_t to_bad = spec->loss.to_bad_ppb, to_good = spec->loss.to_good_ppb;
    if (to_bad == 0)
        return spec->loss.lost_in_good_ppb;
    return (
        uint32_t)((to_bad * spec->loss.lost_in_bad_ppb + to_good * spec->loss.lost_in_good_ppb) /
                  (to_bad + to_good));
}

/* The weights of the states of the chain 1 <-> 3 <-> 2, 1 <-> 4 in balance: w1 p13 = w3 p31, w3 p32
 * = w2 p23, w4 = w1 p14; units are lost in 3 and 4. */
static uint32_t markov_ppb(const struct ruleset_fault *spec)
{
    uint64_t p13 = spec->loss.p13_ppb, p31 = spec->loss.p31_ppb, p32 = spec->loss.p32_ppb;
    uint64_t p23 = p32 ? spec->loss.p23_ppb : RANDOM_PPB_ONE; /* 2 is never entered: any will do */
    if (p13 == 0)
        return ratio_ppb(spec->loss.p14_ppb, RANDOM_PPB_ONE + (uint64_t)spec->loss.p14_ppb);
    unsigned __int128 one = (unsigned __int128)p31 * p23, two = (unsigned __int128)p13 * p32;
    unsigned __int128 three = (unsigned __int128)p13 * p23;
    unsigned __int128 four = one * spec->loss.p14_ppb / RANDOM_PPB_ONE;
    return ratio_ppb(three + four, one + two + three + four);
}

uint32_t fault_loss_mean_ppb(const struct ruleset_fault *spec)
{
    switch (spec->loss.model) {
    case RULESET_LOSS_RANDOM:
        return spec->loss.probability_ppb;
    case RULESET_LOSS_GILBERT_ELLIOTT:
        return gilbert_elliott_ppb(spec);
    case RULESET_LOSS_MARKOV:
        return markov_ppb(spec);
    case RULESET_LOSS_EVERY:
        return spec->loss.every ? RANDOM_PPB_ONE / spec->loss.every : 0;
    case RULESET_LOSS_MODELS:
        break;
    }
    return 0;
}

uint32_t fault_loss_either_ppb(uint32_t a_ppb, uint32_t b_ppb)
{
    uint64_t both_pass = (uint64_t)(RANDOM_PPB_ONE - a_ppb) * (RANDOM_PPB_ONE - b_ppb);
    return RANDOM_PPB_ONE - (uint32_t)((both_pass + RANDOM_PPB_ONE / 2) / RANDOM_PPB_ONE);
}

uint32_t fault_pipeline_loss_ppb(const struct fault_pipeline *pipeline, uint64_t now_ns,
                                 uint16_t *slot, uint64_t *change_ns)
{
    uint32_t ppb = 0;
    *slot = FAULT_NO_ROUTE;
    *change_ns = FAULT_NEVER;
    for (size_t i = 0; i < pipeline->stage_count; i++) {
        const struct fault_stage *stage = &pipeline->stages[i];
        if (stage->type != RULESET_LOSS || stage->idle)
            continue;
        if (stage->from_ns > now_ns) {
            *change_ns = stage->from_ns < *change_ns ? stage->from_ns : *change_ns;
            continue;
        }
        uint32_t mean_ppb = fault_loss_mean_ppb(stage->spec);
        if (mean_ppb > 0 && ppb == 0)
            *slot = stage->fault_slot;
        ppb = fault_loss_either_ppb(ppb, mean_ppb);
    }
    return ppb;
}
