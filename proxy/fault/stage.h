/* What a fault stage is made of. Internal to proxy/fault.
 *
 * A new fault type is one file with its stage_operations, a row in stage_table.c, and its fields in
 * struct fault_stage. The pipeline runs the queue and asks whether the fault means this flow and
 * this unit at all: a stage only says what becomes of each unit that it does mean. */
#ifndef SEVER_FAULT_STAGE_H
#define SEVER_FAULT_STAGE_H

#include "proxy/fault/pipeline.h"

enum stage_verdict {
    STAGE_PASS,       /* leaves at once, untouched */
    STAGE_TOUCH,      /* leaves at once, changed */
    STAGE_HOLD,       /* leaves at unit->due_ns (> at_ns), behind those that came before;
                         FAULT_NEVER: when that is changed, or the fault removed */
    STAGE_HOLD_LOOSE, /* leaves at unit->due_ns, wherever those before it are; datagrams only */
    STAGE_COPY,       /* leaves at once, *copy right behind it */
    STAGE_DROP,       /* *cause says why */
    STAGE_END,        /* is dropped as FAULT_CAUSE_DISCARD, and the connection ends */
};

/* What goes with a verdict. */
struct stage_outcome {
    enum fault_cause cause;
    struct fault_unit *copy;
};

/* What a stage takes no part in is NULL. */
struct stage_operations {
    bool on_streams, on_datagrams; /* otherwise all units pass, and push is never called */
    /* Judges the unit that arrives at unit->at_ns; everything due by then has left the queue.
     * Called in order of arrival. The sequence number is stage->sequence. */
    enum stage_verdict (*push)(struct fault_stage *stage, const struct fault_pipeline *pipeline,
                               struct fault_unit *unit, struct stage_outcome *outcome);
    /* The stage is new, with spec, table, key and met_ns. */
    void (*begin)(struct fault_stage *stage, const struct fault_pipeline *pipeline);
    /* The parameters change from those of stage->spec to those of `after` at now_ns. May move the
     * due times of the queue's list, keeping their order. */
    void (*change)(struct fault_stage *stage, const struct fault_pipeline *pipeline,
                   const struct fault_entry *after, uint64_t now_ns);
    /* When the connection is to end by this fault: from met_ns, from_ns and spec. */
    uint64_t (*alarm)(const struct fault_stage *stage);
    /* The fault no longer acts here, removed or spared from now on: whether the connection must not
     * go on without it, because the stream has a gap. */
    bool (*leaves_gap)(const struct fault_stage *stage);
    enum fault_end end; /* how a connection ends by this fault */
    /* At most how many bytes the next unit of a stream should have, 0 as good as 1. */
    uint64_t (*chunk)(const struct fault_stage *stage, const struct fault_pipeline *pipeline);
    /* How many bytes of a stream it wants to hold: above that nobody should push. */
    uint64_t (*queue_limit)(const struct fault_stage *stage);
};

extern const struct stage_operations stage_latency, stage_loss, stage_rate, stage_trace, stage_flap,
    stage_corrupt, stage_duplicate, stage_reorder, stage_truncate, stage_slicer, stage_slow_close,
    stage_timeout, stage_reset_peer, stage_limit_data, stage_reject, stage_noop;

/* By type; never NULL. */
const struct stage_operations *stage_operations_of(enum ruleset_fault_type type);
/* Whether faults of this kind act on units of this flow, idle or not. */
bool stage_acts(const struct fault_stage *stage, const struct fault_pipeline *pipeline);

/* Several draws of one unit, and what else a key is used for: random_draw's `draw`. */
enum stage_draw {
    STAGE_DRAW_CHOICE,
    STAGE_DRAW_REPEAT,
    STAGE_DRAW_DETAIL,
    STAGE_DRAW_TOXICITY,
};

/* The choice of `sequence`, 64 bits: with probability correlation_ppb that of the one before again.
 * This is the DAR(1) process of Jacobs and Lewis (1978): each draw is distributed as without
 * correlation, and two that are k apart have correlation^k. */
uint64_t stage_draw_choice(struct fault_stage *stage, uint64_t sequence, uint32_t correlation_ppb);

/* a + b, or just below FAULT_NEVER. */
static inline uint64_t stage_time_add(uint64_t a, uint64_t b)
{
    return a < FAULT_NEVER - 1 - b && b < FAULT_NEVER - 1 ? a + b : FAULT_NEVER - 1;
}

/* When the fault began to act on this flow. */
static inline uint64_t stage_acts_since(const struct fault_stage *stage)
{
    return stage->met_ns > stage->from_ns ? stage->met_ns : stage->from_ns;
}

#endif
