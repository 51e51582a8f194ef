/* Slots: small numbers that stay with a name from one plan to the next. Internal to proxy/fault. */
#ifndef SEVER_FAULT_SLOTS_H
#define SEVER_FAULT_SLOTS_H

#include <stddef.h>
#include <stdint.h>

#define SLOTS_NONE UINT16_MAX

struct slots {
    uint16_t *slot_of;    /* element of the ruleset's array -> slot */
    uint16_t *element_of; /* slot -> element, SLOTS_NONE when the slot is free */
    uint32_t *generation; /* by slot; counts the names that it has been given to */
    size_t count;         /* elements */
    size_t size;          /* slots in use or used before */
};

/* Gives each of `count` elements a slot below `limit` (>= count). kept[i]: the slot that element i
 * had in `previous`, SLOTS_NONE when it is new; previous may be NULL. A new element gets a slot
 * that was free in previous as well if there is one, so that counters that are still being written
 * for the old name are left alone; its generation goes up. 0 or -ENOMEM. */
int slots_assign(struct slots *slots, const struct slots *previous, const uint16_t *kept,
                 size_t count, size_t limit);
void slots_free(struct slots *slots); /* zero-initialised is fine */

#endif
