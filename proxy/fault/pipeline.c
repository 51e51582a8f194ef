/* The pipeline runs the stages' queues; what becomes of a unit is each stage's own file (stage.h).
 *
 * Theory of operation. A unit goes forward from stage to stage at its logical time `at_ns`. Before
 * a stage judges it, that stage releases what was due by then, so that every stage sees arrivals
 * and departures in the order of logical time, whatever the real time is: a queue limit means the
 * same on a late timer as on a punctual one. Release and forward call each other, but only ever
 * towards the end of the chain, which bounds the depth by FAULT_CHAIN_MAX.
 *
 * push first runs what is due, so a new unit never overtakes one that the loop was late for. Due
 * times in a queue's list never go down: its head is the next one due, and order is kept. Only what
 * is told to reorder is in the queue's heap (queue.h).
 *
 * A stage may also have an alarm: a time at which it ends the connection, which comes whether there
 * are units or not. */
#include "proxy/fault/pipeline.h"

#include <assert.h>

#include "proxy/fault/pipeline_internal.h"
#include "proxy/fault/queue.h"
#include "proxy/fault/stage.h"

const char *fault_cause_name(enum fault_cause cause)
{
    static const char *const names[FAULT_CAUSES] = {[FAULT_CAUSE_CUT] = "cut",
                                                    [FAULT_CAUSE_LOSS] = "loss",
                                                    [FAULT_CAUSE_QUEUE] = "queue",
                                                    [FAULT_CAUSE_REJECT] = "reject",
                                                    [FAULT_CAUSE_DISCARD] = "discard"};
    return (unsigned)cause < FAULT_CAUSES ? names[cause] : "unknown";
}

static void touch(struct fault_pipeline *pipeline, const struct fault_stage *stage)
{
    if (pipeline->sink.touched)
        pipeline->sink.touched(pipeline->sink.context, stage->fault_slot);
}

void pipeline_end(struct fault_pipeline *pipeline, const struct fault_stage *stage)
{
    if (pipeline->ended)
        return;
    pipeline->ended = true;
    if (pipeline->sink.end)
        pipeline->sink.end(pipeline->sink.context, stage_operations_of(stage->type)->end,
                           stage->fault_slot);
}

static void release(struct fault_pipeline *pipeline, size_t index, uint64_t until_ns);
static void forward(struct fault_pipeline *pipeline, size_t index, struct fault_unit *unit);

/* Whether the fault of this stage is for this unit. */
static bool is_meant(const struct fault_pipeline *pipeline, const struct fault_stage *stage,
                     const struct fault_unit *unit)
{
    const struct fault_sink *sink = &pipeline->sink;
    if (!stage->acts || stage->idle || unit->at_ns < stage->from_ns)
        return false;
    if (!stage->spec->match[0])
        return true;
    return sink->matches && sink->matches(sink->context, unit, stage->spec, stage->fault_slot);
}

static void drop(struct fault_pipeline *pipeline, const struct fault_stage *stage,
                 struct fault_unit *unit, enum fault_cause cause)
{
    assert(cause < FAULT_CAUSES && !unit->end);
    assert(pipeline->flow.medium == FAULT_DATAGRAM || cause == FAULT_CAUSE_DISCARD);
    pipeline->sink.drop(pipeline->sink.context, unit, cause, stage->fault_slot);
}

/* The unit leaves stage `index` with a copy of it behind, which has its place in the queue until
 * then. */
static void forward_both(struct fault_pipeline *pipeline, size_t index, struct fault_unit *unit,
                         struct fault_unit *copy)
{
    uint64_t at_ns = unit->at_ns;
    copy->due_ns = at_ns;
    queue_append(&pipeline->stages[index].queue, copy);
    forward(pipeline, index + 1, unit);
    release(pipeline, index, at_ns);
}

/* Does as the stage has judged. True: the unit goes on to the next stage. */
static bool obey(struct fault_pipeline *pipeline, size_t index, struct fault_unit *unit,
                 enum stage_verdict verdict, const struct stage_outcome *outcome)
{
    struct fault_stage *stage = &pipeline->stages[index];
    if (verdict == STAGE_PASS || verdict == STAGE_TOUCH) {
        assert(pipeline->flow.medium == FAULT_DATAGRAM || !stage->queue.units);
        return true;
    }
    switch (verdict) {
    case STAGE_HOLD:
        assert(unit->due_ns > unit->at_ns);
        queue_append(&stage->queue, unit);
        break;
    case STAGE_HOLD_LOOSE:
        assert(unit->due_ns > unit->at_ns && pipeline->flow.medium == FAULT_DATAGRAM);
        queue_insert(&stage->queue, unit);
        break;
    case STAGE_COPY:
        forward_both(pipeline, index, unit, outcome->copy);
        break;
    case STAGE_END:
        drop(pipeline, stage, unit, FAULT_CAUSE_DISCARD);
        pipeline_end(pipeline, stage);
        break;
    default:
        drop(pipeline, stage, unit, outcome->cause);
    }
    return false;
}

/* Takes the unit through the stages from `index` on, at its at_ns, as far as it gets. */
static void forward(struct fault_pipeline *pipeline, size_t index, struct fault_unit *unit)
{
    for (size_t i = index; i < pipeline->stage_count; i++) {
        struct fault_stage *stage = &pipeline->stages[i];
        struct stage_outcome outcome = {.cause = FAULT_CAUSES};
        release(pipeline, i, unit->at_ns);
        if (!is_meant(pipeline, stage, unit))
            continue;
        enum stage_verdict verdict =
            stage_operations_of(stage->type)->push(stage, pipeline, unit, &outcome);
        stage->sequence++;
        if (verdict != STAGE_PASS)
            touch(pipeline, stage);
        if (!obey(pipeline, i, unit, verdict, &outcome))
            return;
    }
    pipeline->sink.deliver(pipeline->sink.context, unit);
}

/* Rings the alarm of stage `index` when it is time (such a stage holds nothing that is ever due),
 * and sends on what it holds and is due by until_ns. */
static void release(struct fault_pipeline *pipeline, size_t index, uint64_t until_ns)
{
    struct fault_stage *stage = &pipeline->stages[index];
    const struct fault_unit *next;
    assert(until_ns < FAULT_NEVER);
    if (stage->alarm_ns <= until_ns) {
        stage->alarm_ns = FAULT_NEVER;
        touch(pipeline, stage);
        pipeline_end(pipeline, stage);
    }
    while ((next = queue_peek(&stage->queue)) && next->due_ns <= until_ns) {
        struct fault_unit *unit = queue_pop(&stage->queue);
        unit->at_ns = unit->due_ns;
        forward(pipeline, index + 1, unit);
    }
}

void fault_pipeline_init(struct fault_pipeline *pipeline, const struct fault_flow *flow,
                         const struct fault_sink *sink)
{
    *pipeline = (struct fault_pipeline){.flow = *flow, .sink = *sink};
}

bool fault_pipeline_is_needed(const struct fault_pipeline *pipeline)
{
    for (size_t i = 0; i < pipeline->stage_count; i++)
        if (pipeline->stages[i].acts && !pipeline->stages[i].idle)
            return true;
    return false;
}

bool fault_pipeline_changes_bytes(const struct fault_pipeline *pipeline)
{
    for (size_t i = 0; i < pipeline->stage_count; i++)
        if (pipeline->stages[i].type == RULESET_CORRUPT && !pipeline->stages[i].idle)
            return true;
    return false;
}

uint64_t pipeline_advance(struct fault_pipeline *pipeline, uint64_t now_ns)
{
    if (now_ns > pipeline->latest_ns)
        pipeline->latest_ns = now_ns;
    return pipeline->latest_ns;
}

void fault_pipeline_push(struct fault_pipeline *pipeline, struct fault_unit *unit, uint64_t now_ns)
{
    assert(unit->bytes > 0);
    now_ns = pipeline_advance(pipeline, now_ns);
    unit->at_ns = now_ns;
    unit->next = NULL;
    if (pipeline->stage_count > 0)
        fault_pipeline_run(pipeline, now_ns);
    pipeline->pushed++;
    forward(pipeline, 0, unit);
}

uint64_t fault_pipeline_next_due(const struct fault_pipeline *pipeline)
{
    uint64_t next_ns = FAULT_NEVER;
    for (size_t i = 0; i < pipeline->stage_count; i++) {
        const struct fault_stage *stage = &pipeline->stages[i];
        const struct fault_unit *next = queue_peek(&stage->queue);
        if (next && next->due_ns < next_ns)
            next_ns = next->due_ns;
        if (stage->alarm_ns < next_ns)
            next_ns = stage->alarm_ns;
    }
    return next_ns;
}

void fault_pipeline_run(struct fault_pipeline *pipeline, uint64_t now_ns)
{
    now_ns = pipeline_advance(pipeline, now_ns);
    for (size_t i = 0; i < pipeline->stage_count; i++)
        release(pipeline, i, now_ns);
}

void pipeline_flush(struct fault_pipeline *pipeline, size_t index, uint64_t now_ns)
{
    struct fault_queue *queue = &pipeline->stages[index].queue;
    while (queue->units) {
        struct fault_unit *unit = queue_pop(queue);
        unit->at_ns = now_ns;
        forward(pipeline, index + 1, unit);
    }
}

void fault_pipeline_clear(struct fault_pipeline *pipeline, enum fault_cause cause)
{
    for (size_t i = pipeline->stage_count; i-- > 0;) {
        struct fault_stage *stage = &pipeline->stages[i];
        while (stage->queue.units)
            pipeline->sink.drop(pipeline->sink.context, queue_pop(&stage->queue), cause,
                                stage->fault_slot);
    }
}

uint64_t fault_pipeline_held_bytes(const struct fault_pipeline *pipeline)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < pipeline->stage_count; i++)
        bytes += pipeline->stages[i].queue.bytes;
    return bytes;
}

uint32_t fault_pipeline_next_chunk(const struct fault_pipeline *pipeline, uint32_t limit)
{
    uint64_t chunk = limit;
    for (size_t i = 0; i < pipeline->stage_count; i++) {
        const struct fault_stage *stage = &pipeline->stages[i];
        const struct stage_operations *type = stage_operations_of(stage->type);
        if (!type->chunk || !stage->acts || stage->idle)
            continue;
        uint64_t wanted = type->chunk(stage, pipeline);
        chunk = wanted < chunk ? wanted : chunk;
    }
    return chunk > 0 ? (uint32_t)chunk : 1;
}

bool fault_pipeline_is_full(const struct fault_pipeline *pipeline)
{
    for (size_t i = 0; i < pipeline->stage_count; i++) {
        const struct fault_stage *stage = &pipeline->stages[i];
        const struct stage_operations *type = stage_operations_of(stage->type);
        if (type->queue_limit && stage->queue.bytes >= type->queue_limit(stage))
            return true;
    }
    return false;
}
