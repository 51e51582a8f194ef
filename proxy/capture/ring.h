/* A bounded ring of records of any size, from one thread to one other. No lock, no wait: the writer
 * is told when there is no room.
 *
 * A record lies in one piece and begins at a multiple of 8 bytes. */
#ifndef SEVER_CAPTURE_RING_H
#define SEVER_CAPTURE_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CAPTURE_RING_MIN = 1 << 18 };

struct capture_ring {
    unsigned char *bytes;
    uint64_t size; /* a power of two */
    struct {
        _Atomic uint64_t head; /* bytes ever written */
        uint64_t tail_seen;
        uint64_t reserved; /* where the record in hand ends */
    } writer;
    unsigned char apart[128]; /* the two threads write to other cache lines */
    struct {
        _Atomic uint64_t tail; /* bytes ever read */
        uint64_t next;         /* where the record in hand ends */
    } reader;
};

/* bytes: rounded up to a power of two, at least CAPTURE_RING_MIN. -ENOMEM. Memory is used as it is
 * written. */
int capture_ring_create(struct capture_ring *ring, uint64_t bytes);
void capture_ring_destroy(struct capture_ring *ring); /* zeroed is fine */

/* The writer: room for a record, or NULL. It can be read once it is committed. */
void *capture_ring_reserve(struct capture_ring *ring, size_t size);
void capture_ring_commit(struct capture_ring *ring);

/* The reader: the oldest record, the reader's until it is released; NULL: there is none. */
void *capture_ring_peek(struct capture_ring *ring);
void capture_ring_release(struct capture_ring *ring);
/* Whether more than half is in use. Reader. */
bool capture_ring_is_filling(const struct capture_ring *ring);

#endif
