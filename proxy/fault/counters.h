/* Counters of one worker, written by it alone and read by anyone: relaxed atomics, no lock.
 *
 * The reader adds up over workers. A slot's history before it changed hands is the reader's to
 * subtract (plan.h: generation). Nothing here is ever reset by a writer. */
#ifndef SEVER_FAULT_COUNTERS_H
#define SEVER_FAULT_COUNTERS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/fault/pipeline.h"

typedef _Atomic uint64_t fault_counter;

/* What a reject answers to a packet of a lab, in the receiver's place. */
enum fault_answer { FAULT_ANSWER_RESET, FAULT_ANSWER_UNREACHABLE, FAULT_ANSWERS };

struct fault_link_counters {
    fault_counter units;                 /* delivered */
    fault_counter bytes;                 /* delivered */
    fault_counter dropped[FAULT_CAUSES]; /* datagrams, chunks, connections (reject), and segments
                                            that the kernel has dropped for a cut or a loss */
    fault_counter held_bytes; /* that arrived while the link was cut, or were held when it was */
    fault_counter held_connections;      /* connections that were begun or open while it was cut */
    fault_counter connections;           /* opened from->to */
    fault_counter refused;               /* upstream dials that failed */
    fault_counter untold[FAULT_ANSWERS]; /* rejected packets of a lab whose senders were not told,
                                            for there were too many */
};

/* By direction: 0 upstream (client->server), 1 downstream. Received counts when bytes are read from
 * the peer, sent when they are written to the other one. Of a stream, what was received and not
 * sent is held, or was dropped: by a fault, or because a peer went away. */
struct fault_route_counters {
    fault_counter received[2]; /* bytes */
    fault_counter sent[2];     /* bytes */
    fault_counter dropped[2];  /* bytes; streams only */
    fault_counter connections; /* or sessions, ever */
    fault_counter ended;       /* of these */
    fault_counter untold;      /* senders of rejected datagrams that were not told, for there were
                                  too many */
    fault_counter refusing;    /* now: 1 while the kernel refuses all connections to its listener,
                                  because of a reject fault that nobody else can count */
};

struct fault_counters {
    /* [from][to]; the last row and column (index RULESET_NODES_MAX) are for FAULT_NO_NODE */
    struct fault_link_counters links[RULESET_NODES_MAX + 1][RULESET_NODES_MAX + 1];
    fault_counter touched[RULESET_FAULTS_MAX];              /* by fault slot */
    struct fault_route_counters routes[RULESET_ROUTES_MAX]; /* by route slot */
};

/* Single writer: a plain load, add and store. */
static inline void fault_counter_add(fault_counter *counter, uint64_t amount)
{
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, value + amount, memory_order_relaxed);
}

static inline uint64_t fault_counter_get(const fault_counter *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static inline struct fault_link_counters *fault_counters_link(struct fault_counters *counters,
                                                              uint16_t from, uint16_t to)
{
    return &counters->links[from < RULESET_NODES_MAX ? from : RULESET_NODES_MAX]
                           [to < RULESET_NODES_MAX ? to : RULESET_NODES_MAX];
}

#endif
