/* Putting another chain in force under the units that are on their way.
 *
 * Theory of operation. The entries of the new chain claim the stages of the old one from left to
 * right. A stage that was claimed takes the new parameters and keeps what it holds. One that nobody
 * claims, that was passed over before it was claimed, or that does not act here any more, lets its
 * units go, from the last stage to the first, so that the units in front leave first; those that
 * stay no longer are taken out once they are empty, so that the units behind pass them by. At the
 * end the claimed stages, those passed over (which come back empty) and new ones are put in the
 * order of the new chain.
 *
 * A fault that has dropped bytes of a stream leaves a gap in it when it goes: it ends the
 * connection, since nothing else could be true to what was sent. */
#include "proxy/fault/pipeline.h"

#include <assert.h>
#include <string.h>

#include "proxy/base/random.h"
#include "proxy/fault/pipeline_internal.h"
#include "proxy/fault/reach.h"
#include "proxy/fault/stage.h"

/* What becomes of the stages that a chain had. */
struct leavers {
    struct fault_stage stages[FAULT_CHAIN_MAX]; /* taken out, empty; from the last to the first */
    bool acted[FAULT_CHAIN_MAX];
    bool acts_on[FAULT_CHAIN_MAX]; /* at another place of the new chain */
    size_t count;
};

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

/* Whether a unit that comes now would be judged. */
static bool is_acting(const struct fault_stage *stage, uint64_t now_ns)
{
    return stage->acts && !stage->idle && stage->from_ns <= now_ns;
}

/* What a fault does before the first byte is admission's to decide, and to count. */
static struct fault_reach meet(const struct fault_pipeline *pipeline,
                               const struct fault_stage *stage, const struct fault_entry *entry)
{
    const struct fault_flow *flow = &pipeline->flow;
    bool before = stage->type == RULESET_ACCEPT_DELAY ||
                  (stage->type == RULESET_REJECT && flow->medium == FAULT_STREAM);
    return before ? (struct fault_reach){.number = FAULT_REACH_UNCOUNTED}
                  : fault_reach_meet(entry, flow, stage->key);
}

/* Takes a stage in with the parameters of its entry: one that was there before, or a zeroed one. */
static void adopt(const struct fault_pipeline *pipeline, struct fault_stage *stage,
                  const struct fault_entry *entry, uint64_t now_ns)
{
    const struct stage_operations *type = stage_operations_of(entry->spec->type);
    const struct fault_flow *flow = &pipeline->flow;
    bool is_new = !stage->spec, was_idle = is_new || stage->idle;
    if (!is_new && type->change)
        type->change(stage, pipeline, entry, now_ns);
    stage->type = entry->spec->type;
    stage->fault_slot = entry->slot;
    stage->generation = entry->generation;
    stage->downstream = entry->direction == RULESET_DOWNSTREAM;
    stage->spec = entry->spec;
    stage->table = entry->table;
    stage->table_edition = entry->table_edition;
    stage->key = random_key_fold(entry->key, flow->ordinal);
    stage->fault_key = entry->fault_key;
    if (is_new)
        stage->reach = meet(pipeline, stage, entry);
    stage->acts = stage_acts(stage, pipeline);
    stage->idle = fault_reach_spares(&stage->reach, entry->spec);
    stage->met_ns = was_idle ? now_ns : stage->met_ns;
    stage->from_ns =
        entry->spec->after_ns ? stage_time_add(flow->begun_ns, entry->spec->after_ns) : 0;
    if (is_new && type->begin)
        type->begin(stage, pipeline);
    bool has_alarm = type->alarm && stage->acts && !stage->idle && !pipeline->ended;
    stage->alarm_ns = has_alarm ? type->alarm(stage) : FAULT_NEVER;
}

/* The fault acted here and does not any more. */
static void leave(struct fault_pipeline *pipeline, const struct fault_stage *stage)
{
    const struct stage_operations *type = stage_operations_of(stage->type);
    if (type->leaves_gap && type->leaves_gap(stage))
        pipeline_end(pipeline, stage);
}

/* Entries claim stages. stays[i]: stage i was claimed; off[i]: and no longer acts. */
static void claim(struct fault_pipeline *pipeline, const struct fault_entry *entries, size_t count,
                  bool *stays, bool *off, uint64_t now_ns)
{
    for (size_t e = 0, next = 0; e < count; e++) {
        size_t i = find_stage(pipeline, &entries[e], next);
        if (i == pipeline->stage_count)
            continue;
        struct fault_stage *stage = &pipeline->stages[i];
        bool acted = is_acting(stage, now_ns);
        adopt(pipeline, stage, &entries[e], now_ns);
        stays[i] = true;
        off[i] = acted && !is_acting(stage, now_ns);
        next = i + 1;
    }
}

static void let_go(struct fault_pipeline *pipeline, const bool *stays, const bool *off,
                   struct leavers *leavers, uint64_t now_ns)
{
    for (size_t i = pipeline->stage_count; i-- > 0;) {
        struct fault_stage *stage = &pipeline->stages[i];
        if (stays[i] && !off[i])
            continue;
        pipeline_flush(pipeline, i, now_ns);
        stage->last_due_ns = 0;
        if (stays[i]) {
            leave(pipeline, stage);
            continue;
        }
        leavers->acted[leavers->count] = is_acting(stage, now_ns);
        leavers->stages[leavers->count++] = *stage;
        pipeline->stage_count--;
        memmove(stage, stage + 1, (pipeline->stage_count - i) * sizeof(*stage));
    }
}

/* The stages are those that were claimed, in order: puts the others between them. */
static void complete(struct fault_pipeline *pipeline, const struct fault_entry *entries,
                     size_t count, struct leavers *leavers, uint64_t now_ns)
{
    struct fault_stage old[FAULT_CHAIN_MAX];
    size_t old_count = pipeline->stage_count, taken = 0;
    memcpy(old, pipeline->stages, old_count * sizeof(old[0]));
    for (size_t e = 0; e < count; e++) {
        struct fault_stage *stage = &pipeline->stages[e];
        if (taken < old_count && is_stage_of(&old[taken], &entries[e])) {
            *stage = old[taken++];
            continue;
        }
        size_t i = 0;
        while (i < leavers->count && !is_stage_of(&leavers->stages[i], &entries[e]))
            i++;
        *stage = i < leavers->count ? leavers->stages[i] : (struct fault_stage){0};
        adopt(pipeline, stage, &entries[e], now_ns);
        if (i < leavers->count)
            leavers->acts_on[i] = is_acting(stage, now_ns);
    }
    assert(taken == old_count);
    pipeline->stage_count = count;
}

void fault_pipeline_apply(struct fault_pipeline *pipeline, const struct fault_entry *entries,
                          size_t count, uint64_t now_ns)
{
    assert(count <= FAULT_CHAIN_MAX);
    bool stays[FAULT_CHAIN_MAX] = {false}, off[FAULT_CHAIN_MAX] = {false};
    struct leavers leavers;
    leavers.count = 0;
    memset(leavers.acts_on, 0, sizeof(leavers.acts_on));
    now_ns = pipeline_advance(pipeline, now_ns);
    fault_pipeline_run(pipeline, now_ns);
    claim(pipeline, entries, count, stays, off, now_ns);
    let_go(pipeline, stays, off, &leavers, now_ns);
    complete(pipeline, entries, count, &leavers, now_ns);
    for (size_t i = 0; i < leavers.count; i++)
        if (leavers.acted[i] && !leavers.acts_on[i])
            leave(pipeline, &leavers.stages[i]);
    fault_pipeline_run(pipeline, now_ns);
}
