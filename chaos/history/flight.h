/* Which operation each process has in flight: a hash table from process to index. Shared by the
 * readers of histories. */
#ifndef SEVER_CHAOS_HISTORY_FLIGHT_H
#define SEVER_CHAOS_HISTORY_FLIGHT_H

#include <stddef.h>
#include <stdint.h>

#define FLIGHT_NONE SIZE_MAX          /* the process has nothing in flight */
#define FLIGHT_RETIRED (SIZE_MAX - 1) /* its last outcome is unknown: it may not go on */

struct flight_entry {
    uint32_t process;
    size_t operation;
};
struct flight {
    struct flight_entry *entries;
    uint8_t *used;
    size_t count, capacity; /* capacity: a power of two, or 0 */
};

/* The process's slot, FLIGHT_NONE in it at first. Valid until the next call. */
size_t *flight_find(struct flight *flight, uint32_t process);
void flight_free(struct flight *flight);

#endif
