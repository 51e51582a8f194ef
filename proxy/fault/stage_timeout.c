/* Timeout and reset_peer: data is dropped from when the fault met the connection, and some time
 * later, whether any came or not, the connection is closed or reset. The end of the stream is held
 * until then: it would tell the peer that the data before it was all there was. */
#include "proxy/fault/stage.h"

static enum stage_verdict push(struct fault_stage *stage, const struct fault_pipeline *pipeline,
                               struct fault_unit *unit, struct stage_outcome *outcome)
{
    (void)stage;
    (void)pipeline;
    if (unit->end) {
        unit->due_ns = FAULT_NEVER;
        return STAGE_HOLD;
    }
    outcome->cause = FAULT_CAUSE_DISCARD;
    return STAGE_DROP;
}

static uint64_t timeout_alarm(const struct fault_stage *stage)
{
    uint64_t timeout_ns = stage->spec->timeout.timeout_ns;
    return timeout_ns ? stage_time_add(stage_acts_since(stage), timeout_ns) : FAULT_NEVER;
}

/* Removing a timeout closes what it was on, as Toxiproxy's users know it. */
static bool always(const struct fault_stage *stage)
{
    (void)stage;
    return true;
}

static uint64_t reset_alarm(const struct fault_stage *stage)
{
    return stage_time_add(stage_acts_since(stage), stage->spec->reset_peer.timeout_ns);
}

static bool has_dropped(const struct fault_stage *stage)
{
    return stage->sequence > 0;
}

const struct stage_operations stage_timeout = {.on_streams = true,
                                               .push = push,
                                               .alarm = timeout_alarm,
                                               .leaves_gap = always,
                                               .end = FAULT_END_CLOSE};
const struct stage_operations stage_reset_peer = {.on_streams = true,
                                                  .push = push,
                                                  .alarm = reset_alarm,
                                                  .leaves_gap = has_dropped,
                                                  .end = FAULT_END_RESET};
