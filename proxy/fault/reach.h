/* Which connections a fault acts on: its toxicity and its first_connections. Internal to
 * proxy/fault: pipelines ask for what a stage does, admission for what comes before.
 *
 * Both are decided once, when connection and fault meet, and what was drawn and counted then is
 * compared with the parameters of the day. So no change elsewhere rolls anything again, and when a
 * toxicity is raised, the connections that had the fault keep it and some more get it. */
#ifndef SEVER_FAULT_REACH_H
#define SEVER_FAULT_REACH_H

#include "proxy/fault/pipeline.h"

/* A connection that began before the fault was set: no number. */
#define FAULT_REACH_UNCOUNTED UINT32_MAX

/* The flow and the fault of this entry meet. key: the entry's, with the flow's ordinal folded in.
 * Every connection that began since the fault was set counts, spared by its toxicity or not; one
 * that meets it in both directions counts once (flow->opposite). */
struct fault_reach fault_reach_meet(const struct fault_entry *entry, const struct fault_flow *flow,
                                    uint64_t key);
/* Whether the fault leaves the connection alone. */
bool fault_reach_spares(const struct fault_reach *reach, const struct ruleset_fault *spec);

#endif
