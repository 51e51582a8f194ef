/* Who a step of the timeline means: pure. */
#ifndef SEVER_CHAOS_NEMESIS_SELECT_H
#define SEVER_CHAOS_NEMESIS_SELECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chaos/experiment/experiment.h"
#include "proxy/base/error.h"
#include "proxy/base/random.h"
#include "proxy/base/text.h"

enum { SELECT_NO_GROUP = -1, SELECT_NO_LEADER = -1 };

struct select_view { /* the cluster at the moment of the step */
    const char (*nodes)[RULESET_NAME_MAX];
    size_t count;
    const bool *usable; /* neither down nor paused */
    int leader;         /* index, or SELECT_NO_LEADER */
};

/* Whether some selector of the step is of this kind. */
bool select_uses(const struct experiment_step *step, enum experiment_selector_kind kind);
/* Whether the step can't be resolved without knowing who leads. Not so for resume and restart: they
 * mean whom an earlier step hit. */
bool select_needs_leader(const struct experiment_step *step);

/* The randomness of step number `index` of an experiment run with this seed. */
struct random_stream select_stream(uint64_t seed, size_t index);

/* A named node, the leader, or by seed one usable node that does not lead. taken (may be NULL):
 * nodes that can't be chosen as follower any more. -ENOENT when there is none. */
int select_node(const struct experiment_selector *selector, const struct select_view *view,
                const bool *taken, struct random_stream *stream, size_t *node, struct error *error);

/* The groups of a split: group_of[i] is node i's group or SELECT_NO_GROUP. Named nodes and leaders
 * are placed first, then followers, then each +K in order, then the rest. -EINVAL when a node is
 * in two groups, when +K asks for more than there are, or when a group stays empty. */
int select_groups(const struct experiment_group *groups, size_t group_count,
                  const struct select_view *view, struct random_stream *stream, int *group_of,
                  struct error *error);

/* "n1,n4 / n2,n3,n5" */
void select_format_groups(const struct select_view *view, const int *group_of, size_t group_count,
                          struct text *out);

#endif
