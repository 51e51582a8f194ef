/* Slicer: the stream in small pieces, each written by itself, with a pause between two.
 *
 * Nothing is cut here: the plane asks for the size of the next piece before it reads
 * (fault_pipeline_next_chunk). Sizes are drawn by how many units have gone into the pipeline since
 * the slicer is there, not by how many have come to it, so that they differ although pieces may
 * wait in stages before it. */
#include "proxy/base/random.h"
#include "proxy/fault/stage.h"

static void begin(struct fault_stage *stage, const struct fault_pipeline *pipeline)
{
    stage->pushed_before = pipeline->pushed;
}

static uint64_t chunk(const struct fault_stage *stage, const struct fault_pipeline *pipeline)
{
    uint64_t average = stage->spec->slicer.average_bytes;
    uint64_t variation = stage->spec->slicer.variation_bytes;
    if (average == 0)
        return UINT64_MAX;
    uint64_t least = average > variation ? average - variation : 1;
    uint64_t bits =
        random_draw(stage->key, pipeline->pushed - stage->pushed_before, STAGE_DRAW_DETAIL);
    return least + random_below(bits, average + variation - least + 1);
}

static enum stage_verdict push(struct fault_stage *stage, const struct fault_pipeline *pipeline,
                               struct fault_unit *unit, struct stage_outcome *outcome)
{
    (void)pipeline;
    (void)outcome;
    if (unit->end || stage->spec->slicer.average_bytes == 0) {
        const struct fault_unit *tail = stage->queue.tail;
        unit->due_ns = tail ? tail->due_ns : unit->at_ns;
        return unit->due_ns > unit->at_ns ? STAGE_HOLD : STAGE_PASS;
    }
    unit->alone = true;
    unit->due_ns = unit->at_ns > stage->last_due_ns ? unit->at_ns : stage->last_due_ns;
    stage->last_due_ns = stage_time_add(unit->due_ns, stage->spec->slicer.delay_ns);
    return unit->due_ns > unit->at_ns ? STAGE_HOLD : STAGE_TOUCH;
}

static uint64_t pause_of(const struct ruleset_fault *spec)
{
    return spec->slicer.average_bytes ? spec->slicer.delay_ns : 0;
}

/* What waits is spaced anew, from the piece that left last. */
static void change(struct fault_stage *stage, const struct fault_pipeline *pipeline,
                   const struct fault_entry *after, uint64_t now_ns)
{
    uint64_t before = pause_of(stage->spec), pause = pause_of(after->spec), due_ns = now_ns;
    struct fault_unit *unit = stage->queue.head;
    uint64_t next_ns = unit ? unit->due_ns : stage->last_due_ns;
    (void)pipeline;
    if (before == pause)
        return;
    next_ns = next_ns > 0 && next_ns >= before ? stage_time_add(next_ns - before, pause) : 0;
    for (; unit; unit = unit->next) {
        if (unit->at_ns > due_ns)
            due_ns = unit->at_ns;
        if (!unit->end && next_ns > due_ns)
            due_ns = next_ns;
        if (!unit->end)
            next_ns = stage_time_add(due_ns, pause);
        unit->due_ns = due_ns;
    }
    stage->last_due_ns = next_ns;
}

const struct stage_operations stage_slicer = {
    .on_streams = true, .push = push, .begin = begin, .change = change, .chunk = chunk};
