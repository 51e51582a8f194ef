#include "chaos/history/flight.h"

#include <stdlib.h>

#include "proxy/base/random.h"
#include "proxy/base/text.h"

static size_t slot_of(const struct flight *flight, uint32_t process)
{
    size_t mask = flight->capacity - 1, slot = (size_t)random_mix(process) & mask;
    while (flight->used[slot] && flight->entries[slot].process != process)
        slot = (slot + 1) & mask;
    return slot;
}

static void grow(struct flight *flight)
{
    struct flight old = *flight;
    flight->capacity = old.capacity ? old.capacity * 2 : 64;
    flight->entries = memory_allocate_zeroed(flight->capacity, sizeof(flight->entries[0]));
    flight->used = memory_allocate_zeroed(flight->capacity, 1);
    for (size_t i = 0; i < old.capacity; i++) {
        if (!old.used[i])
            continue;
        size_t slot = slot_of(flight, old.entries[i].process);
        flight->entries[slot] = old.entries[i];
        flight->used[slot] = 1;
    }
    free(old.entries);
    free(old.used);
}

size_t *flight_find(struct flight *flight, uint32_t process)
{
    if (flight->count * 2 >= flight->capacity)
        grow(flight);
    size_t slot = slot_of(flight, process);
    if (!flight->used[slot]) {
        flight->used[slot] = 1;
        flight->entries[slot] = (struct flight_entry){process, FLIGHT_NONE};
        flight->count++;
    }
    return &flight->entries[slot].operation;
}

void flight_free(struct flight *flight)
{
    free(flight->entries);
    free(flight->used);
    *flight = (struct flight){0};
}
