#include "proxy/base/random.h"
#include "proxy/fault/stage.h"

static const struct stage_operations *const table[RULESET_FAULT_TYPES] = {
    [RULESET_LATENCY] = &stage_latency,
    [RULESET_LOSS] = &stage_loss,
    [RULESET_RATE] = &stage_rate,
    [RULESET_TRACE] = &stage_trace,
    [RULESET_FLAP] = &stage_flap,
    [RULESET_CORRUPT] = &stage_corrupt,
    [RULESET_DUPLICATE] = &stage_duplicate,
    [RULESET_REORDER] = &stage_reorder,
    [RULESET_TRUNCATE] = &stage_truncate,
    [RULESET_SLICER] = &stage_slicer,
    [RULESET_SLOW_CLOSE] = &stage_slow_close,
    [RULESET_TIMEOUT] = &stage_timeout,
    [RULESET_RESET_PEER] = &stage_reset_peer,
    [RULESET_LIMIT_DATA] = &stage_limit_data,
    [RULESET_ACCEPT_DELAY] = &stage_noop,
    [RULESET_REJECT] = &stage_reject,
    [RULESET_NOOP] = &stage_noop,
};

/* Nothing: for what does nothing, and for what is done before a connection carries a byte. */
const struct stage_operations stage_noop = {0};

const struct stage_operations *stage_operations_of(enum ruleset_fault_type type)
{
    return table[type];
}

/* A match is an expression over packets: nothing of a stream matches. */
bool stage_acts(const struct fault_stage *stage, const struct fault_pipeline *pipeline)
{
    const struct stage_operations *operations = table[stage->type];
    return pipeline->flow.medium == FAULT_STREAM ? operations->on_streams && !stage->spec->match[0]
                                                 : operations->on_datagrams;
}

uint64_t stage_draw_choice(struct fault_stage *stage, uint64_t sequence, uint32_t correlation_ppb)
{
    bool repeats =
        stage->drawn && correlation_ppb > 0 &&
        random_hits(random_draw(stage->key, sequence, STAGE_DRAW_REPEAT), correlation_ppb);
    if (!repeats)
        stage->last_draw = random_draw(stage->key, sequence, STAGE_DRAW_CHOICE);
    stage->drawn = true;
    return stage->last_draw;
}
