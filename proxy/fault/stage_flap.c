/* Flap: the link is up and down in turns. Datagrams that come while it is down are dropped, streams
 * are held until it is up.
 *
 * Theory of operation. Edges are numbered from when the fault was set: 0, 2, 4, ... are those at
 * which the link goes up, and an odd one follows `up` after the one before it. With jitter each but
 * the first is earlier or later by a draw of its own, keyed by the seed, the fault's name and the
 * edge's number: no flow, direction or link is in the key. So the state is a function of the time
 * alone, everything that the fault is on goes up and down together, whichever worker has it and
 * whenever it looks, and the draws never add up. A jitter is at most half of the shorter of up and
 * down (ruleset_check), so edges keep their order. */
#include "proxy/base/random.h"
#include "proxy/fault/stage.h"

static uint64_t turn_ns(const struct ruleset_fault *spec)
{
    return spec->flap.up_ns + spec->flap.down_ns;
}

/* When the edge is, after the fault was set. */
static unsigned __int128 edge_ns(const struct ruleset_fault *spec, uint64_t key, uint64_t edge)
{
    uint64_t jitter_ns = spec->flap.jitter_ns;
    unsigned __int128 at_ns = (unsigned __int128)(edge / 2) * turn_ns(spec);
    at_ns += edge % 2 ? spec->flap.up_ns : 0;
    if (edge == 0 || jitter_ns == 0)
        return at_ns;
    uint64_t draw = random_draw(key, edge, STAGE_DRAW_CHOICE);
    return at_ns - jitter_ns + random_below(draw, 2 * jitter_ns + 1);
}

/* Until when the link is down at now_ns; 0: it is up. The last edge that is over is looked for from
 * the one before the turn of now_ns, which is over whatever was drawn for it. */
static uint64_t down_until(const struct fault_stage *stage, const struct ruleset_fault *spec,
                           uint64_t key, uint64_t now_ns)
{
    uint64_t since_ns = stage->flap_since_ns;
    uint64_t gone_ns = now_ns > since_ns ? now_ns - since_ns : 0;
    uint64_t turn = gone_ns / turn_ns(spec), last = turn ? 2 * turn - 1 : 0;
    while (edge_ns(spec, key, last + 1) <= gone_ns)
        last++;
    if (last % 2 == 0)
        return 0;
    unsigned __int128 until_ns = since_ns + edge_ns(spec, key, last + 1);
    return until_ns < FAULT_NEVER ? (uint64_t)until_ns : FAULT_NEVER - 1;
}

static void begin(struct fault_stage *stage, const struct fault_pipeline *pipeline)
{
    const struct fault_states *states = pipeline->flow.states;
    stage->flap_since_ns = states
                               ? atomic_load_explicit(&states->by_slot[stage->fault_slot].since_ns,
                                                      memory_order_relaxed)
                               : stage->met_ns;
}

static enum stage_verdict push(struct fault_stage *stage, const struct fault_pipeline *pipeline,
                               struct fault_unit *unit, struct stage_outcome *outcome)
{
    const struct fault_unit *tail = stage->queue.tail;
    uint64_t until_ns = down_until(stage, stage->spec, stage->fault_key, unit->at_ns);
    if (pipeline->flow.medium == FAULT_DATAGRAM) {
        outcome->cause = FAULT_CAUSE_CUT;
        return until_ns ? STAGE_DROP : STAGE_PASS;
    }
    unit->due_ns = tail && tail->due_ns > until_ns ? tail->due_ns : until_ns;
    return unit->due_ns > unit->at_ns ? STAGE_HOLD : STAGE_PASS;
}

/* What is held waits for the next edge of the new turns. */
static void change(struct fault_stage *stage, const struct fault_pipeline *pipeline,
                   const struct fault_entry *after, uint64_t now_ns)
{
    uint64_t until_ns = down_until(stage, after->spec, after->fault_key, now_ns);
    (void)pipeline;
    for (struct fault_unit *unit = stage->queue.head; unit; unit = unit->next)
        unit->due_ns = until_ns > now_ns ? until_ns : now_ns;
}

/* A cable that is down takes nothing: one chunk, and its sender is pushed back. */
static uint64_t queue_limit(const struct fault_stage *stage)
{
    (void)stage;
    return 1;
}

const struct stage_operations stage_flap = {.on_streams = true,
                                            .on_datagrams = true,
                                            .push = push,
                                            .begin = begin,
                                            .change = change,
                                            .queue_limit = queue_limit};
