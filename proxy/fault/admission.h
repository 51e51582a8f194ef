/* What faults do to a connection before it carries a byte: refuse it, or make it wait.
 *
 * Pure, like the pipeline. Asked once, when a connection begins. For one that is there, the stream
 * plane asks again at each new plan, of the rejects alone that refuse everybody. */
#ifndef SEVER_FAULT_ADMISSION_H
#define SEVER_FAULT_ADMISSION_H

#include "proxy/fault/pipeline.h"

struct fault_admission {
    bool refused;                      /* by a reject fault */
    uint64_t delay_ns;                 /* sum of the accept delays */
    uint16_t touched[FAULT_CHAIN_MAX]; /* slots of the faults that did one of the two */
    size_t touched_count;
};

/* entries: the chain of the connection's upstream direction (client->server), as fault_plan_chain
 * gave it. Toxicity, first_connections and after_ns (here: since the fault was set) are heeded;
 * the draw of a reject is keyed by the flow's ordinal. A connection that one fault has refused does
 * not meet those behind it in the chain. Datagrams: nothing is done to the session, since a reject
 * draws for each of them in the pipeline. With flow->states not twice for one connection: it is
 * counted there. */
void fault_admit(const struct fault_entry *entries, size_t count, const struct fault_flow *flow,
                 uint64_t now_ns, struct fault_admission *admission);

#endif
