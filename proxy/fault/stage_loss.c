/* Loss: a super-packet is lost when any of its segments is.
 *
 * Without correlation the segments of a unit are weighed together and drawn once. The models that
 * remember are stepped once for each segment, so that a unit of k segments moves them as far as k
 * units of one. */
#include "proxy/base/random.h"
#include "proxy/fault/stage.h"

/* Of both models with states; a flow begins in the good one. */
enum { GOOD, BAD, GOOD_IN_BURST, LOST_IN_BURST, LOST_ALONE };

/* Lost by the state it meets, then the state changes. */
static bool step_gilbert_elliott(struct fault_stage *stage, uint64_t segment)
{
    const struct ruleset_fault *spec = stage->spec;
    bool bad = stage->loss.state == BAD;
    uint32_t lost_ppb = bad ? spec->loss.lost_in_bad_ppb : spec->loss.lost_in_good_ppb;
    uint32_t change_ppb = bad ? spec->loss.to_good_ppb : spec->loss.to_bad_ppb;
    if (random_hits(random_draw(stage->key, segment, STAGE_DRAW_DETAIL), change_ppb))
        stage->loss.state = bad ? GOOD : BAD;
    return random_hits(random_draw(stage->key, segment, STAGE_DRAW_CHOICE), lost_ppb);
}

/* The state changes, and the new one is a loss or not. */
static bool step_markov(struct fault_stage *stage, uint64_t segment)
{
    const struct ruleset_fault *spec = stage->spec;
    uint64_t draw =
        random_below(random_draw(stage->key, segment, STAGE_DRAW_CHOICE), RANDOM_PPB_ONE);
    switch (stage->loss.state) {
    case GOOD_IN_BURST:
        if (draw < spec->loss.p23_ppb)
            stage->loss.state = LOST_IN_BURST;
        break;
    case LOST_IN_BURST:
        if (draw < spec->loss.p31_ppb)
            stage->loss.state = GOOD;
        else if (draw < (uint64_t)spec->loss.p31_ppb + spec->loss.p32_ppb)
            stage->loss.state = GOOD_IN_BURST;
        break;
    case LOST_ALONE:
        stage->loss.state = GOOD;
        break;
    default:
        if (draw < spec->loss.p13_ppb)
            stage->loss.state = LOST_IN_BURST;
        else if (draw < (uint64_t)spec->loss.p13_ppb + spec->loss.p14_ppb)
            stage->loss.state = LOST_ALONE;
    }
    return stage->loss.state == LOST_IN_BURST || stage->loss.state == LOST_ALONE;
}

static bool step_correlated(struct fault_stage *stage, uint64_t segment)
{
    return random_hits(stage_draw_choice(stage, segment, stage->spec->loss.correlation_ppb),
                       stage->spec->loss.probability_ppb);
}

/* Whether one of `count` segments from `first` on is lost. All of them are stepped through. */
static bool step_all(struct fault_stage *stage, uint64_t first, uint64_t count,
                     bool (*step)(struct fault_stage *stage, uint64_t segment))
{
    bool lost = false;
    for (uint64_t i = 0; i < count; i++)
        lost |= step(stage, first + i);
    return lost;
}

static bool is_lost(struct fault_stage *stage, const struct fault_unit *unit)
{
    const struct ruleset_fault *spec = stage->spec;
    uint64_t count = unit->segments ? unit->segments : 1, first = stage->loss.segments;
    stage->loss.segments += count;
    switch (spec->loss.model) {
    case RULESET_LOSS_GILBERT_ELLIOTT:
        return step_all(stage, first, count, step_gilbert_elliott);
    case RULESET_LOSS_MARKOV:
        return step_all(stage, first, count, step_markov);
    case RULESET_LOSS_EVERY:
        return (first + count) / spec->loss.every > first / spec->loss.every;
    case RULESET_LOSS_RANDOM:
    case RULESET_LOSS_MODELS:
        break;
    }
    if (spec->loss.correlation_ppb)
        return step_all(stage, first, count, step_correlated);
    return random_hits(random_draw(stage->key, stage->sequence, STAGE_DRAW_CHOICE),
                       random_any_ppb(spec->loss.probability_ppb, unit->segments));
}

static enum stage_verdict push(struct fault_stage *stage, const struct fault_pipeline *pipeline,
                               struct fault_unit *unit, struct stage_outcome *outcome)
{
    (void)pipeline;
    if (!is_lost(stage, unit))
        return STAGE_PASS;
    outcome->cause = FAULT_CAUSE_LOSS;
    return STAGE_DROP;
}

/* Another model has other states. */
static void change(struct fault_stage *stage, const struct fault_pipeline *pipeline,
                   const struct fault_entry *after, uint64_t now_ns)
{
    (void)pipeline;
    (void)now_ns;
    if (after->spec->loss.model != stage->spec->loss.model)
        stage->loss.state = GOOD;
}

const struct stage_operations stage_loss = {.on_datagrams = true, .push = push, .change = change};
