/* What was in force when, as the checks want it: pure. */
#ifndef SEVER_CHAOS_NEMESIS_PERIODS_H
#define SEVER_CHAOS_NEMESIS_PERIODS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chaos/check/check.h"

struct periods_state {
    size_t count;                                          /* of nodes */
    bool cut[EXPERIMENT_NODES_MAX * EXPERIMENT_NODES_MAX]; /* [from * count + to] */
    bool alive[EXPERIMENT_NODES_MAX];                      /* running, answering, not paused */
    bool restarting[EXPERIMENT_NODES_MAX];                 /* started again, does not answer yet */
    bool shifted[EXPERIMENT_NODES_MAX];                    /* its clock is off */
    bool quit[EXPERIMENT_NODES_MAX];                       /* see periods_state_sides */
    unsigned faults;                                       /* delays, losses, rates in force */
};

/* The sides of this state, per node. A node that ended by itself on a side without majority
 * (`quit`) has left its service the hard way, which is one of the right things to do there: it
 * stays on that side until the cuts end, and what clients ask it counts as asked of the minority.
 * Other nodes that are not alive are on no side. All zero when no link is cut. */
void periods_state_sides(const struct periods_state *state, uint8_t *side);

struct periods {
    struct check_period *items;
    size_t count;
};

/* Ends the current period at at_ns and begins one with this state. A state that looks the same to
 * the checks goes on with the current period; a period of no length is replaced. Times must not
 * run backwards: an earlier one is taken as the current period's beginning. */
void periods_change(struct periods *periods, uint64_t at_ns, const struct periods_state *state);
/* Ends the last period. */
void periods_end(struct periods *periods, uint64_t at_ns);
void periods_free(struct periods *periods);

#endif
