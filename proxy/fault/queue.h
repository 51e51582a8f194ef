/* What a stage holds. Internal to proxy/fault.
 *
 * Two orders side by side: a list of units that leave in the order in which they came, and a heap
 * of those that leave when they are due, whoever came first. One pops whichever is due first; so a
 * fault that is told to reorder, or no more to, needs nothing done for what it holds already. */
#ifndef SEVER_FAULT_QUEUE_H
#define SEVER_FAULT_QUEUE_H

#include "proxy/fault/pipeline.h"

/* Behind all that were appended before; none of them is due later. O(1). */
void queue_append(struct fault_queue *queue, struct fault_unit *unit);
/* Leaves when it is due; of those that are due at once, the one that came first. O(1). */
void queue_insert(struct fault_queue *queue, struct fault_unit *unit);
/* The next one that leaves; NULL when nothing is held. */
struct fault_unit *queue_peek(const struct fault_queue *queue);
/* Takes it off; not for an empty queue. O(log n), amortized, for those inserted. */
struct fault_unit *queue_pop(struct fault_queue *queue);

#endif
