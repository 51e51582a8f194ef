/* Corrupt: one bit of a chosen datagram is flipped, or one of a chosen block of a stream.
 *
 * The blocks of a stream are cut by position in it, and so are choice and bit drawn: how the bytes
 * are chunked on their way, which is a matter of timing, changes nothing. A last block that ends
 * before its bit stays as it is. */
#include "proxy/base/random.h"
#include "proxy/fault/stage.h"

enum { BLOCK_BYTES = 1460, BLOCK_BITS = 8 * BLOCK_BYTES }; /* a segment's payload on Ethernet */

static enum stage_verdict push_datagram(struct fault_stage *stage, const struct fault_sink *sink,
                                        struct fault_unit *unit)
{
    const struct ruleset_fault *spec = stage->spec;
    uint64_t draw = stage_draw_choice(stage, stage->sequence, spec->corrupt.correlation_ppb);
    if (!random_hits(draw, spec->corrupt.probability_ppb) || unit->bytes == 0)
        return STAGE_PASS;
    uint64_t bits = random_draw(stage->key, stage->sequence, STAGE_DRAW_DETAIL);
    bool flipped = sink->flip(sink->context, unit, random_below(bits, UINT64_C(8) * unit->bytes));
    unit->repair |= flipped && spec->corrupt.repair;
    return flipped ? STAGE_TOUCH : STAGE_PASS;
}

/* The draw of a block is made where it begins, and is the last one until it ends. */
static enum stage_verdict push_stream(struct fault_stage *stage, const struct fault_sink *sink,
                                      struct fault_unit *unit)
{
    const struct ruleset_fault *spec = stage->spec;
    uint64_t begin = stage->position, end = begin + unit->bytes;
    enum stage_verdict verdict = STAGE_PASS;
    for (uint64_t block = begin / BLOCK_BYTES; block * BLOCK_BYTES < end; block++) {
        if (block * BLOCK_BYTES >= begin)
            stage_draw_choice(stage, block, spec->corrupt.correlation_ppb);
        if (!random_hits(stage->last_draw, spec->corrupt.probability_ppb))
            continue;
        uint64_t bits = random_draw(stage->key, block, STAGE_DRAW_DETAIL);
        uint64_t bit = 8 * BLOCK_BYTES * block + random_below(bits, BLOCK_BITS);
        if (bit < 8 * begin || bit >= 8 * end)
            continue;
        if (sink->flip(sink->context, unit, bit - 8 * begin))
            verdict = STAGE_TOUCH;
    }
    stage->position = end;
    return verdict;
}

static enum stage_verdict push(struct fault_stage *stage, const struct fault_pipeline *pipeline,
                               struct fault_unit *unit, struct stage_outcome *outcome)
{
    const struct fault_sink *sink = &pipeline->sink;
    (void)outcome;
    if (!sink->flip || unit->end)
        return STAGE_PASS;
    return pipeline->flow.medium == FAULT_STREAM ? push_stream(stage, sink, unit)
                                                 : push_datagram(stage, sink, unit);
}

const struct stage_operations stage_corrupt = {
    .on_streams = true, .on_datagrams = true, .push = push};
