#include "proxy/fault/slots.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static int allocate(struct slots *slots, size_t count, size_t size)
{
    slots->slot_of = malloc((count ? count : 1) * sizeof(*slots->slot_of));
    slots->element_of = malloc((size ? size : 1) * sizeof(*slots->element_of));
    slots->generation = calloc(size ? size : 1, sizeof(*slots->generation));
    if (!slots->slot_of || !slots->element_of || !slots->generation) {
        slots_free(slots);
        return -ENOMEM;
    }
    for (size_t i = 0; i < size; i++)
        slots->element_of[i] = SLOTS_NONE;
    return 0;
}

void slots_free(struct slots *slots)
{
    free(slots->slot_of);
    free(slots->element_of);
    free(slots->generation);
    *slots = (struct slots){0};
}

static void give(struct slots *slots, size_t element, size_t slot)
{
    assert(slots->element_of[slot] == SLOTS_NONE);
    slots->slot_of[element] = (uint16_t)slot;
    slots->element_of[slot] = (uint16_t)element;
}

/* Gives free slots from *from on to the elements that have none yet, from *element on. resting:
 * slots that are in use in this plan of the previous one (NULL: take any). */
static void give_free(struct slots *slots, const uint16_t *kept, size_t *element, size_t limit,
                      const struct slots *resting)
{
    for (size_t slot = 0; slot < limit; slot++) {
        while (*element < slots->count && kept[*element] != SLOTS_NONE)
            ++*element;
        if (*element == slots->count)
            return;
        bool rests = resting && slot < resting->size && resting->element_of[slot] != SLOTS_NONE;
        if (slots->element_of[slot] != SLOTS_NONE || rests)
            continue;
        give(slots, *element, slot);
        slots->generation[slot]++;
        if (slot >= slots->size)
            slots->size = slot + 1;
        ++*element;
    }
}

int slots_assign(struct slots *slots, const struct slots *previous, const uint16_t *kept,
                 size_t count, size_t limit)
{
    assert(count <= limit && limit < SLOTS_NONE);
    size_t used = previous ? previous->size : 0;
    size_t room = used + count < limit ? used + count : limit;
    *slots = (struct slots){0};
    if (allocate(slots, count, room) < 0)
        return -ENOMEM;
    slots->count = count;
    slots->size = used;
    if (previous)
        memcpy(slots->generation, previous->generation, used * sizeof(*slots->generation));
    for (size_t i = 0; i < count; i++)
        if (kept[i] != SLOTS_NONE)
            give(slots, i, kept[i]);
    size_t element = 0;
    if (previous)
        give_free(slots, kept, &element, room, previous);
    give_free(slots, kept, &element, room, NULL);
    while (element < count && kept[element] != SLOTS_NONE)
        element++;
    assert(element == count);
    return 0;
}
