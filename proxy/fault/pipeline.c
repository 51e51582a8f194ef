/* The pipeline runs the stages' queues; what becomes of a unit is each stage's own file (stage.h).
 *
 * Theory of operation. A unit goes forward from stage to stage at its logical time `at_ns`. Before
 * a stage judges it, that stage releases what was due by then, so that every stage sees arrivals
 * and departures in the order of logical time, whatever the real time is: a queue limit means the
 * same on a late timer as on a punctual one. Release and forward call each other, but only ever
 * towards the end of the chain, which bounds the depth by FAULT_CHAIN_MAX.
 *
 * push first runs what is due, so a new unit never overtakes one that the loop was late for. Due
 * times in a queue never go down: the head is the next one due, and order is kept. */
#include "proxy/fault/pipeline.h"

#include <assert.h>
#include <string.h>

#include "proxy/base/random.h"
#include "proxy/fault/stage.h"

enum { CHUNKS_PER_S = 100 }; /* at the lowest rate in the chain */

static const struct stage_operations *const operations[RULESET_FAULT_TYPES] = {
    [RULESET_LATENCY] = &stage_latency, [RULESET_LOSS] = &stage_loss,
    [RULESET_RATE] = &stage_rate,       [RULESET_TRACE] = &stage_noop,
    [RULESET_CORRUPT] = &stage_noop,    [RULESET_DUPLICATE] = &stage_noop,
    [RULESET_REORDER] = &stage_noop,    [RULESET_TRUNCATE] = &stage_noop,
    [RULESET_SLICER] = &stage_noop,     [RULESET_SLOW_CLOSE] = &stage_noop,
    [RULESET_TIMEOUT] = &stage_noop,    [RULESET_RESET_PEER] = &stage_noop,
    [RULESET_LIMIT_DATA] = &stage_noop, [RULESET_ACCEPT_DELAY] = &stage_noop,
    [RULESET_REJECT] = &stage_noop,     [RULESET_NOOP] = &stage_noop,
};

const char *fault_cause_name(enum fault_cause cause)
{
    static const char *const names[FAULT_CAUSES] = {[FAULT_CAUSE_CUT] = "cut",
                                                    [FAULT_CAUSE_LOSS] = "loss",
                                                    [FAULT_CAUSE_QUEUE] = "queue",
                                                    [FAULT_CAUSE_REJECT] = "reject",
                                                    [FAULT_CAUSE_DISCARD] = "discard"};
    return (unsigned)cause < FAULT_CAUSES ? names[cause] : "unknown";
}

static void queue_append(struct fault_queue *queue, struct fault_unit *unit)
{
    assert(!queue->tail || queue->tail->due_ns <= unit->due_ns);
    unit->next = NULL;
    if (queue->tail)
        queue->tail->next = unit;
    else
        queue->head = unit;
    queue->tail = unit;
    queue->bytes += unit->bytes;
    queue->units++;
}

static struct fault_unit *queue_pop(struct fault_queue *queue)
{
    struct fault_unit *unit = queue->head;
    assert(queue->bytes >= unit->bytes && queue->units > 0);
    queue->head = unit->next;
    if (!queue->head)
        queue->tail = NULL;
    queue->bytes -= unit->bytes;
    queue->units--;
    unit->next = NULL;
    return unit;
}

static void touch(struct fault_pipeline *pipeline, const struct fault_stage *stage)
{
    if (pipeline->sink.touched)
        pipeline->sink.touched(pipeline->sink.context, stage->fault_slot);
}

static void release(struct fault_pipeline *pipeline, size_t index, uint64_t until_ns);

/* Takes the unit through the stages from `index` on, at its at_ns, as far as it gets. */
static void forward(struct fault_pipeline *pipeline, size_t index, struct fault_unit *unit)
{
    for (size_t i = index; i < pipeline->stage_count; i++) {
        struct fault_stage *stage = &pipeline->stages[i];
        enum fault_cause cause = FAULT_CAUSES;
        release(pipeline, i, unit->at_ns);
        enum stage_verdict verdict =
            operations[stage->type]->push(stage, pipeline->flow.medium, unit, &cause);
        stage->sequence++;
        if (verdict == STAGE_PASS) {
            assert(!stage->queue.head);
            continue;
        }
        touch(pipeline, stage);
        if (verdict == STAGE_HOLD) {
            assert(unit->due_ns > unit->at_ns);
            queue_append(&stage->queue, unit);
        } else {
            assert(pipeline->flow.medium == FAULT_DATAGRAM && cause < FAULT_CAUSES);
            pipeline->sink.drop(pipeline->sink.context, unit, cause, stage->fault_slot);
        }
        return;
    }
    pipeline->sink.deliver(pipeline->sink.context, unit);
}

/* Sends on what stage `index` holds and is due by until_ns. */
static void release(struct fault_pipeline *pipeline, size_t index, uint64_t until_ns)
{
    struct fault_queue *queue = &pipeline->stages[index].queue;
    while (queue->head && queue->head->due_ns <= until_ns) {
        struct fault_unit *unit = queue_pop(queue);
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
    return pipeline->stage_count > 0;
}

void fault_pipeline_push(struct fault_pipeline *pipeline, struct fault_unit *unit, uint64_t now_ns)
{
    assert(unit->bytes > 0);
    unit->at_ns = now_ns;
    unit->next = NULL;
    if (pipeline->stage_count > 0)
        fault_pipeline_run(pipeline, now_ns);
    forward(pipeline, 0, unit);
}

uint64_t fault_pipeline_next_due(const struct fault_pipeline *pipeline)
{
    uint64_t next_ns = FAULT_NEVER;
    for (size_t i = 0; i < pipeline->stage_count; i++) {
        const struct fault_unit *head = pipeline->stages[i].queue.head;
        if (head && head->due_ns < next_ns)
            next_ns = head->due_ns;
    }
    return next_ns;
}

void fault_pipeline_run(struct fault_pipeline *pipeline, uint64_t now_ns)
{
    for (size_t i = 0; i < pipeline->stage_count; i++)
        release(pipeline, i, now_ns);
}

/* Sends what stage `index` holds on from it, at now_ns, and the stage is empty. */
static void flush(struct fault_pipeline *pipeline, size_t index, uint64_t now_ns)
{
    struct fault_queue *queue = &pipeline->stages[index].queue;
    while (queue->head) {
        struct fault_unit *unit = queue_pop(queue);
        unit->at_ns = now_ns;
        forward(pipeline, index + 1, unit);
    }
}

static bool is_stage_of(const struct fault_stage *stage, const struct fault_entry *entry)
{
    return stage->fault_slot == entry->slot && stage->generation == entry->generation &&
           stage->type == entry->spec->type;
}

/* Index of the stage of this entry from `from` on; stage_count when there is none. */
static size_t find_stage(const struct fault_pipeline *pipeline, const struct fault_entry *entry,
                         size_t from)
{
    size_t i = from;
    while (i < pipeline->stage_count && !is_stage_of(&pipeline->stages[i], entry))
        i++;
    return i;
}

/* Takes a stage in with the parameters of its entry. */
static void adopt(const struct fault_pipeline *pipeline, struct fault_stage *stage,
                  const struct fault_entry *entry, uint64_t now_ns)
{
    const struct stage_operations *type = operations[entry->spec->type];
    if (stage->spec && type->change)
        type->change(stage, entry->spec, now_ns);
    stage->type = entry->spec->type;
    stage->fault_slot = entry->slot;
    stage->generation = entry->generation;
    stage->spec = entry->spec;
    stage->key = random_key_fold(entry->key, pipeline->flow.ordinal);
}

void fault_pipeline_apply(struct fault_pipeline *pipeline, const struct fault_entry *entries,
                          size_t count, uint64_t now_ns)
{
    assert(count <= FAULT_CHAIN_MAX);
    fault_pipeline_run(pipeline, now_ns);

    /* Entries claim stages from left to right; a stage that nobody claims, or that was passed over
     * before it was claimed, lets its units go. */
    bool stays[FAULT_CHAIN_MAX] = {false};
    for (size_t e = 0, next = 0; e < count; e++) {
        size_t i = find_stage(pipeline, &entries[e], next);
        if (i == pipeline->stage_count)
            continue;
        stays[i] = true;
        next = i + 1;
        adopt(pipeline, &pipeline->stages[i], &entries[e], now_ns);
    }

    /* From the last to the first, so that the units in front leave first; and each stage goes once
     * it is empty, so that those behind pass it by. */
    struct fault_stage moved[FAULT_CHAIN_MAX];
    size_t moved_count = 0;
    for (size_t i = pipeline->stage_count; i-- > 0;) {
        if (stays[i])
            continue;
        flush(pipeline, i, now_ns);
        moved[moved_count++] = pipeline->stages[i];
        pipeline->stage_count--;
        memmove(&pipeline->stages[i], &pipeline->stages[i + 1],
                (pipeline->stage_count - i) * sizeof(moved[0]));
    }

    struct fault_stage old[FAULT_CHAIN_MAX];
    size_t old_count = pipeline->stage_count, taken = 0;
    memcpy(old, pipeline->stages, old_count * sizeof(old[0]));
    for (size_t e = 0; e < count; e++) {
        struct fault_stage *stage = &pipeline->stages[e];
        if (taken < old_count && is_stage_of(&old[taken], &entries[e])) {
            *stage = old[taken++];
            continue;
        }
        *stage = (struct fault_stage){0};
        for (size_t m = 0; m < moved_count; m++)
            if (is_stage_of(&moved[m], &entries[e]))
                *stage = moved[m];
        stage->last_due_ns = 0;
        adopt(pipeline, stage, &entries[e], now_ns);
    }
    assert(taken == old_count);
    pipeline->stage_count = count;
}

void fault_pipeline_clear(struct fault_pipeline *pipeline, enum fault_cause cause)
{
    for (size_t i = pipeline->stage_count; i-- > 0;) {
        struct fault_stage *stage = &pipeline->stages[i];
        while (stage->queue.head)
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
        if (stage->type != RULESET_RATE)
            continue;
        uint64_t share = stage->spec->rate.bytes_per_s / CHUNKS_PER_S;
        chunk = share < chunk ? share : chunk;
    }
    return chunk > 0 ? (uint32_t)chunk : 1;
}
