/* Watches what each node says of itself, directly and not through severd: who is in which role and
 * term, even while the node is cut off from everybody. */
#ifndef SEVER_CHAOS_LAB_OBSERVER_H
#define SEVER_CHAOS_LAB_OBSERVER_H

#include "chaos/lab/lab.h"

struct observer_state {
    char role[24]; /* as the node says; "" before it has said anything */
    char term[24];
    char leader[RULESET_NAME_MAX];
    char quorum[24];
};

struct observer_change {
    uint64_t at_ns; /* monotonic */
    size_t node;
    struct observer_state before, now;
};

/* Called on a thread of the observer, one at a time and in time order, when a node's role or term
 * differs from what it said last. */
typedef void (*observer_fn)(void *context, const struct observer_change *change);

/* What an INFO answer says. Pure. */
void observer_parse(const char *info, size_t length, struct observer_state *state);

struct observer;
/* The lab must outlive it. */
int observer_start(const struct lab *lab, enum experiment_system system, observer_fn fn,
                   void *context, struct observer **observer, struct error *error);
void observer_stop(struct observer *observer);

#endif
