/* Latency: each unit is due a delay after it arrived, never before the unit in front of it. */
#include "proxy/base/random.h"
#include "proxy/fault/distribution.h"
#include "proxy/fault/stage.h"

static uint64_t draw_delay_ns(const struct fault_stage *stage)
{
    uint64_t delay_ns = stage->spec->latency.delay_ns;
    uint64_t jitter_ns = stage->spec->latency.jitter_ns;
    if (jitter_ns == 0)
        return delay_ns;
    uint64_t bits = random_draw(stage->key, stage->sequence, 0);
    int64_t drawn_ns =
        (int64_t)delay_ns + distribution_draw(stage->spec->latency.distribution, bits, jitter_ns);
    return drawn_ns > 0 ? (uint64_t)drawn_ns : 0;
}

static enum stage_verdict push(struct fault_stage *stage, enum fault_medium medium,
                               struct fault_unit *unit, enum fault_cause *cause)
{
    (void)medium;
    (void)cause;
    uint64_t due_ns = stage_time_add(unit->at_ns, draw_delay_ns(stage));
    if (due_ns < stage->last_due_ns)
        due_ns = stage->last_due_ns;
    stage->last_due_ns = due_ns;
    unit->due_ns = due_ns;
    return due_ns > unit->at_ns ? STAGE_HOLD : STAGE_PASS;
}

const struct stage_operations stage_latency = {.push = push};
