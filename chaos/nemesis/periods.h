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
    bool shifted[EXPERIMENT_NODES_MAX];                    /* its clock is off */
    unsigned faults;                                       /* delays, losses, rates in force */
};

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
