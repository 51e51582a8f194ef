/* Theory of operation. In front of each record stands its size with this word; a record that does
 * not fit before the end of the memory begins at its start instead, and the rest is a word that
 * says so, over which the reader steps. Both ends only grow; their difference is what is in use.
 *
 * head is stored and loaded with sequential consistency because the writer looks, after it, whether
 * the reader wants to be woken, while the reader says so and then looks at head again
 * (capture.c). */
#include "proxy/capture/ring.h"

#include <errno.h>
#include <stdlib.h>

#define SKIP (UINT64_C(1) << 63)

enum { WORD = sizeof(uint64_t) };

int capture_ring_create(struct capture_ring *ring, uint64_t bytes)
{
    uint64_t size = CAPTURE_RING_MIN;
    while (size < bytes)
        size *= 2;
    *ring = (struct capture_ring){.bytes = calloc(1, size), .size = size};
    return ring->bytes ? 0 : -ENOMEM;
}

void capture_ring_destroy(struct capture_ring *ring)
{
    free(ring->bytes);
    ring->bytes = NULL;
}

static uint64_t *word_at(const struct capture_ring *ring, uint64_t position)
{
    return (uint64_t *)(void *)(ring->bytes + (position & (ring->size - 1)));
}

void *capture_ring_reserve(struct capture_ring *ring, size_t size)
{
    uint64_t head = atomic_load_explicit(&ring->writer.head, memory_order_relaxed);
    uint64_t need = (WORD + (uint64_t)size + WORD - 1) & ~(uint64_t)(WORD - 1);
    uint64_t rest = ring->size - (head & (ring->size - 1));
    uint64_t skipped = need > rest ? rest : 0;
    if (need > ring->size || head + skipped + need - ring->writer.tail_seen > ring->size) {
        ring->writer.tail_seen = atomic_load_explicit(&ring->reader.tail, memory_order_acquire);
        if (need > ring->size || head + skipped + need - ring->writer.tail_seen > ring->size)
            return NULL;
    }
    if (skipped)
        *word_at(ring, head) = skipped | SKIP;
    uint64_t *word = word_at(ring, head + skipped);
    *word = need;
    ring->writer.reserved = head + skipped + need;
    return word + 1;
}

void capture_ring_commit(struct capture_ring *ring)
{
    atomic_store(&ring->writer.head, ring->writer.reserved);
}

void *capture_ring_peek(struct capture_ring *ring)
{
    uint64_t tail = atomic_load_explicit(&ring->reader.tail, memory_order_relaxed);
    if (atomic_load(&ring->writer.head) == tail)
        return NULL;
    uint64_t *word = word_at(ring, tail);
    if (*word & SKIP) { /* a record always follows */
        tail += *word & ~SKIP;
        word = word_at(ring, tail);
    }
    ring->reader.next = tail + *word;
    return word + 1;
}

void capture_ring_release(struct capture_ring *ring)
{
    atomic_store_explicit(&ring->reader.tail, ring->reader.next, memory_order_release);
}

bool capture_ring_is_filling(const struct capture_ring *ring)
{
    uint64_t head = atomic_load_explicit(&ring->writer.head, memory_order_relaxed);
    uint64_t tail = atomic_load_explicit(&ring->reader.tail, memory_order_relaxed);
    return head - tail > ring->size / 2;
}
