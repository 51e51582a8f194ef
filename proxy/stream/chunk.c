/* Chunks, what they count for, and the queue of those that are ready to be written.
 *
 * A chunk is charged to its flow by the size of its pool block from take to release, and by its
 * bytes in a conduit. Its bytes
 * count as queued from fill until they are sent or dropped, so that for each flow
 *
 *     received = sent + dropped + queued
 *
 * holds between any two callbacks. */
#include <assert.h>
#include <string.h>

#include "proxy/stream/internal.h"

unsigned char *stream_chunk_data(struct stream_chunk *chunk)
{
    return (unsigned char *)(chunk + 1);
}

struct stream_chunk *stream_chunk_of(struct fault_unit *unit)
{
    return loop_container(unit, struct stream_chunk, unit);
}

struct stream_chunk *stream_chunk_take(struct stream_flow *flow, uint32_t room)
{
    struct pool *pool = flow->connection->plane->pool;
    struct stream_chunk *chunk = pool_take(pool, sizeof(*chunk) + room);
    if (!chunk)
        return NULL;
    *chunk = (struct stream_chunk){.kind = STREAM_DATA};
    flow->charge += pool_bytes_of(pool, chunk);
    return chunk;
}

static void chunk_give(struct stream_flow *flow, struct stream_chunk *chunk)
{
    struct pool *pool = flow->connection->plane->pool;
    flow->charge -= pool_bytes_of(pool, chunk) + (chunk->conduit ? chunk->length : 0);
    pool_give(pool, chunk);
}

/* In a block of the right size, if that is a smaller one and there is one. */
static struct stream_chunk *chunk_shrink(struct stream_flow *flow, struct stream_chunk *chunk,
                                         uint32_t length)
{
    size_t block = pool_block_bytes(sizeof(*chunk) + length);
    if (block >= pool_bytes_of(flow->connection->plane->pool, chunk))
        return chunk;
    struct stream_chunk *smaller = stream_chunk_take(flow, length);
    if (!smaller)
        return chunk;
    memcpy(stream_chunk_data(smaller), stream_chunk_data(chunk), length);
    chunk_give(flow, chunk);
    return smaller;
}

struct stream_chunk *stream_chunk_fill(struct stream_flow *flow, struct stream_chunk *chunk,
                                       uint32_t length)
{
    chunk = chunk_shrink(flow, chunk, length);
    chunk->unit.bytes = chunk->length = length;
    chunk->unit.segments = 1;
    chunk->number = ++flow->filled;
    flow->queued_bytes += length;
    return chunk;
}

struct stream_chunk *stream_chunk_copy(struct stream_flow *flow, const unsigned char *bytes,
                                       uint32_t length, uint32_t room)
{
    struct stream_chunk *chunk = stream_chunk_take(flow, length);
    if (!chunk)
        chunk = stream_chunk_take(flow, room);
    assert(chunk != NULL);
    memcpy(stream_chunk_data(chunk), bytes, length);
    return stream_chunk_fill(flow, chunk, length);
}

struct stream_chunk *stream_chunk_of_conduit(struct stream_flow *flow, uint32_t length,
                                             uint32_t room)
{
    struct stream_chunk *chunk = stream_chunk_take(flow, 0);
    if (!chunk)
        chunk = stream_chunk_take(flow, room);
    assert(chunk != NULL && flow->conduit != NULL);
    chunk->conduit = flow->conduit;
    chunk->unit.bytes = chunk->length = length;
    chunk->unit.segments = 1;
    chunk->number = ++flow->filled;
    flow->charge += length;
    flow->queued_bytes += length;
    return chunk;
}

void stream_chunk_release(struct stream_flow *flow, struct stream_chunk *chunk)
{
    struct stream_plane *plane = flow->connection->plane;
    if (chunk->kind != STREAM_DATA)
        return;
    assert(chunk->offset == chunk->length);
    chunk_give(flow, chunk);
    if (plane->starved)
        stream_plane_feed_starved(plane);
}

void stream_flow_count_dropped(struct stream_flow *flow, uint64_t bytes, enum fault_cause cause)
{
    fault_counter_add(&flow->route->dropped[flow->way], bytes);
    if (cause < FAULT_CAUSES)
        fault_counter_add(&flow->counters->dropped[cause], 1);
}

void stream_chunk_truncate(struct stream_flow *flow, struct stream_chunk *chunk, uint32_t length)
{
    assert(chunk->offset <= length && length < chunk->length);
    uint32_t cut = chunk->length - length;
    stream_flow_count_dropped(flow, cut, FAULT_CAUSE_DISCARD);
    flow->queued_bytes -= cut;
    if (chunk->conduit) {
        flow->charge -= cut;
        stream_conduit_consume(flow, chunk->conduit, cut, false);
    }
    chunk->length = length;
}

void stream_chunk_drop(struct stream_flow *flow, struct stream_chunk *chunk, enum fault_cause cause)
{
    if (chunk->kind != STREAM_DATA)
        return;
    uint32_t unsent = chunk->length - chunk->offset;
    stream_flow_count_dropped(flow, unsent, cause);
    flow->queued_bytes -= unsent;
    if (chunk->conduit && unsent > 0)
        stream_conduit_consume(flow, chunk->conduit, unsent, false);
    chunk->offset = chunk->length;
    stream_chunk_release(flow, chunk);
}

void stream_ready_append(struct stream_flow *flow, struct stream_chunk *chunk)
{
    chunk->unit.next = NULL;
    if (flow->ready_tail)
        flow->ready_tail->unit.next = &chunk->unit;
    else
        flow->ready_head = chunk;
    flow->ready_tail = chunk;
}

struct stream_chunk *stream_ready_next(const struct stream_chunk *chunk)
{
    return chunk->unit.next ? stream_chunk_of(chunk->unit.next) : NULL;
}

void stream_ready_pop(struct stream_flow *flow)
{
    flow->ready_head = stream_ready_next(flow->ready_head);
    if (!flow->ready_head)
        flow->ready_tail = NULL;
}
