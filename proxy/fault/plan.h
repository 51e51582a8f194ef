/* A plan: one ruleset compiled for the data path. Immutable after fault_plan_create, so any number
 * of workers read it without a lock; the daemon frees it once every worker is on a newer one.
 *
 * Nodes, routes and faults get slots: small stable numbers that index counters. A name that was in
 * the previous plan keeps its slot (a fault keeps it while type and target are the same), so
 * counters go on across changes; a new name gets a slot that no live name has, and `generation`
 * tells the reader of counters that the slot changed hands. */
#ifndef SEVER_FAULT_PLAN_H
#define SEVER_FAULT_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/base/error.h"
#include "proxy/fault/ruleset.h"

#define FAULT_NO_NODE UINT16_MAX  /* peer or upstream that is no node of the ruleset */
#define FAULT_NO_ROUTE UINT16_MAX /* unit that crosses no route */

enum { FAULT_CHAIN_MAX = 16 }; /* stages on one flow direction; more is refused at create */

struct fault_plan; /* opaque */

/* Compiles a checked ruleset. previous: the plan whose slots to keep, or NULL.
 * -E2BIG when more than FAULT_CHAIN_MAX faults meet on one link and route direction; -ENOMEM. */
int fault_plan_create(const struct ruleset *ruleset, const struct fault_plan *previous,
                      struct fault_plan **plan, struct error *error);
void fault_plan_destroy(struct fault_plan *plan); /* NULL is fine */

uint64_t fault_plan_version(const struct fault_plan *plan);
uint64_t fault_plan_seed(const struct fault_plan *plan);

/* Slots by name; FAULT_NO_NODE / FAULT_NO_ROUTE when unknown. Not for the data path. */
uint16_t fault_plan_node_slot(const struct fault_plan *plan, const char *name);
uint16_t fault_plan_route_slot(const struct fault_plan *plan, const char *name);
/* Slot of a fault, UINT16_MAX when unknown. generation may be NULL. */
uint16_t fault_plan_fault_slot(const struct fault_plan *plan, const char *name,
                               uint32_t *generation);
/* Generation of a node, route or fault slot (changes when the slot is given to another name). */
uint32_t fault_plan_node_generation(const struct fault_plan *plan, uint16_t slot);
uint32_t fault_plan_route_generation(const struct fault_plan *plan, uint16_t slot);
uint32_t fault_plan_fault_generation(const struct fault_plan *plan, uint16_t slot);

/* The link matrix: true when some partition holds from->to. One load and one shift. False for
 * FAULT_NO_NODE. */
bool fault_plan_is_cut(const struct fault_plan *plan, uint16_t from, uint16_t to);
/* The nodes that this one's links are cut with, either way: bit n % 64 of word n / 64 for slot n.
 */
enum { FAULT_NODE_WORDS = RULESET_NODES_MAX / 64 };
void fault_plan_cut_with(const struct fault_plan *plan, uint16_t node,
                         uint64_t nodes[FAULT_NODE_WORDS]);
bool fault_plan_has_cuts(const struct fault_plan *plan); /* whether any link is */

/* One compiled fault on a flow direction. */
struct fault_entry {
    const struct ruleset_fault *spec;  /* lives as long as the plan */
    const struct ruleset_table *table; /* that the spec names; NULL: none */
    uint64_t table_edition;            /* another number when its values are others; 0: none */
    uint64_t key;       /* seed, ends, route, direction and fault name folded in; no slot is */
    uint64_t fault_key; /* seed and fault name alone: the same wherever the fault is */
    uint16_t slot;      /* counters */
    uint32_t generation;
    enum ruleset_direction direction; /* as asked for */
};

/* Whether there is a fault of this type anywhere. */
bool fault_plan_has_type(const struct fault_plan *plan, enum ruleset_fault_type type);
/* Index in the ruleset of the fault in this slot, UINT16_MAX for a slot that no fault has; and how
 * many slots there are. */
uint16_t fault_plan_fault_of_slot(const struct fault_plan *plan, uint16_t slot);
size_t fault_plan_fault_slots(const struct fault_plan *plan);
/* The values of a table of the ruleset, which live as long as the plan. NULL when there is none. */
const struct ruleset_table *fault_plan_table(const struct fault_plan *plan, const char *name);

/* The faults that a unit meets on link from->to and on route (FAULT_NO_ROUTE for none) in direction
 * (RULESET_UPSTREAM or RULESET_DOWNSTREAM; a lab says RULESET_BOTH), in ruleset order. from and to
 * are where the unit goes: for the downstream half of a connection that n1 opened to n2 they are n2
 * and n1. A link is between two different nodes: when either is FAULT_NO_NODE, or they are the
 * same, the unit meets only the route's faults. entries: room for FAULT_CHAIN_MAX. Returns how
 * many. No allocation; not per unit: a flow asks once per plan. Keys tell (from, to, route,
 * direction) apart, so a flow's ordinal need only be unique among flows that have all four in
 * common (pipeline.h). */
size_t fault_plan_chain(const struct fault_plan *plan, uint16_t from, uint16_t to, uint16_t route,
                        enum ruleset_direction direction, struct fault_entry *entries);

#endif
