/* From the source into the flow.
 *
 * Plain: a read goes into the plane's scratch buffer and is written at once; only what the sink did
 * not take becomes chunks. A read is never larger than the room that its bytes may need, so no byte
 * that was read is ever without a place. When there is no room at all, the flow relays without
 * holding: it peeks, writes, and then consumes only what the sink took.
 *
 * Piped: bytes are read straight into the chunks that go through the pipeline. The pipeline says
 * how large the next one is (64 KiB, or less for a low rate or a slicer), and each is pushed before
 * the next is asked for. Few bytes in a large block move to a smaller one.
 *
 * When a read was large, the next ones are spliced into a conduit (conduit.c), plain or piped: then
 * a chunk is just a count of the bytes there. A bulk stream has a short read now and then, when its
 * sender's window was full; only two in a row are the end of the bulk.
 *
 * Memory: stream.h says how much. A flow may hold flow_bytes_max, and no more than what is left of
 * the pool (the dynamic threshold of Choudhury and Hahne, IEEE/ACM ToN 1998, with alpha 1): one
 * stuck flow takes half of the pool, n flows 1/(n+1) of it each, and as much is left for the next
 * one. Small pieces cost far more than they carry, a block of 256 bytes for each byte at worst, and
 * nobody needs many of them: for these the bound is PIECES_CHARGE_MAX. */
#include <errno.h>
#include <sys/socket.h>

#include "proxy/stream/internal.h"

enum {
    PIECE_BYTES = 4096,                 /* below: a small one */
    PIECES_CHARGE_MAX = 8 * 1024 * 1024 /* pool bytes */
};

/* How many pool bytes the flow may take now. */
static uint64_t flow_allowance(const struct stream_flow *flow, uint32_t piece_bytes)
{
    const struct stream_plane *plane = flow->connection->plane;
    uint64_t limit = plane->flow_bytes_max;
    uint64_t used = pool_used_bytes(plane->pool) + plane->conduit_bytes;
    uint64_t left = pool_limit_bytes(plane->pool);
    left = left > used ? left - used : 0;
    if (piece_bytes < PIECE_BYTES && limit > PIECES_CHARGE_MAX)
        limit = PIECES_CHARGE_MAX;
    if (limit > left)
        limit = left;
    return limit > flow->charge ? limit - flow->charge : 0;
}

/* What a read has got says how the next are done. */
static void flow_judge_read(struct stream_flow *flow, size_t got)
{
    if (got >= STREAM_BULK_MIN)
        flow->bulk_reads = STREAM_BULK_READS;
    else if (flow->bulk_reads > 0)
        flow->bulk_reads--;
}

/* What recv said: bytes to go on with (> 0), or 0 with *alive. */
static size_t flow_received(struct stream_flow *flow, ssize_t received, bool *alive)
{
    *alive = true;
    if (received > 0)
        return (size_t)received;
    if (received == 0) {
        stream_flow_push_end(flow, STREAM_FIN);
        *alive = stream_flow_pump(flow);
    } else if (!stream_would_block(-errno)) {
        *alive = stream_end_reset(flow->source);
    }
    return 0;
}

/* Sends from the scratch buffer. *sent: what the sink took. False: the connection is gone, or at
 * least its sink. */
static bool flow_send_scratch(struct stream_flow *flow, size_t length, size_t *sent)
{
    struct stream_plane *plane = flow->connection->plane;
    ssize_t result = send(flow->sink->fd, plane->scratch, length, MSG_NOSIGNAL | MSG_DONTWAIT);
    *sent = result > 0 ? (size_t)result : 0;
    if (result < 0 && !stream_would_block(-errno))
        return false;
    flow->blocked = *sent < length;
    fault_counter_add(&flow->counters->bytes, *sent);
    fault_counter_add(&flow->route->sent[flow->way], *sent);
    if (*sent == length)
        fault_counter_add(&flow->counters->units, 1);
    return true;
}

/* Reads at most `room` bytes without copying. False: it can't, and nothing was done. */
static bool flow_read_bulk(struct stream_flow *flow, size_t room, bool *alive)
{
    struct loop *loop = flow->connection->plane->loop;
    if (flow->bulk_reads == 0 || !flow->opaque)
        return false;
    ssize_t received =
        stream_conduit_fill(flow, room < STREAM_BULK_BYTES ? room : STREAM_BULK_BYTES);
    if (received == 0 || (received < 0 && errno == EOPNOTSUPP)) { /* recv knows more */
        flow->bulk_reads = 0;
        return false;
    }
    size_t length = flow_received(flow, received, alive);
    if (length == 0)
        return true;
    flow_judge_read(flow, length);
    fault_counter_add(&flow->route->received[flow->way], length);
    uint64_t arrival_ns = flow->piped ? loop_arrival_ns(loop) : 0;
    for (size_t done = 0, step; done < length; done += step) {
        step = length - done < STREAM_CHUNK_BYTES ? length - done : STREAM_CHUNK_BYTES;
        struct stream_chunk *chunk =
            stream_chunk_of_conduit(flow, (uint32_t)step, STREAM_CHUNK_BYTES);
        if (flow->piped)
            fault_pipeline_push(flow->pipeline, &chunk->unit, arrival_ns);
        else
            stream_ready_append(flow, chunk);
    }
    *alive = stream_flow_pump(flow);
    return true;
}

static bool flow_read_plain(struct stream_flow *flow, size_t room)
{
    struct stream_plane *plane = flow->connection->plane;
    size_t sent;
    bool alive;
    if (flow_read_bulk(flow, room, &alive))
        return alive;
    if (room > STREAM_SCRATCH_BYTES)
        room = STREAM_SCRATCH_BYTES;
    size_t length =
        flow_received(flow, recv(flow->source->fd, plane->scratch, room, MSG_DONTWAIT), &alive);
    if (length == 0)
        return alive;
    flow_judge_read(flow, length);
    fault_counter_add(&flow->route->received[flow->way], length);
    if (!flow_send_scratch(flow, length, &sent)) {
        stream_flow_count_dropped(flow, length, FAULT_CAUSES);
        return stream_end_broken(flow->sink);
    }
    while (sent < length) {
        size_t step = length - sent < STREAM_CHUNK_BYTES ? length - sent : STREAM_CHUNK_BYTES;
        stream_ready_append(flow, stream_chunk_copy(flow, plane->scratch + sent, (uint32_t)step,
                                                    STREAM_CHUNK_BYTES));
        sent += step;
    }
    return true;
}

/* Without memory: the bytes stay in the source's socket until the sink has them. */
static bool flow_read_peek(struct stream_flow *flow)
{
    struct stream_plane *plane = flow->connection->plane;
    size_t sent;
    bool alive;
    size_t length = flow_received(
        flow, recv(flow->source->fd, plane->scratch, STREAM_SCRATCH_BYTES, MSG_DONTWAIT | MSG_PEEK),
        &alive);
    if (length == 0)
        return alive;
    if (!flow_send_scratch(flow, length, &sent))
        return stream_end_broken(flow->sink);
    if (sent > 0) {
        ssize_t consumed = recv(flow->source->fd, plane->scratch, sent, MSG_DONTWAIT);
        fault_counter_add(&flow->route->received[flow->way], sent);
        if (consumed != (ssize_t)sent) /* never seen; going on would repeat what was sent */
            return stream_end_reset(flow->source);
    }
    return true;
}

/* How many whole chunks the flow may take now. */
static uint64_t flow_room_chunks(const struct stream_flow *flow)
{
    const struct pool *pool = flow->connection->plane->pool;
    size_t block = sizeof(struct stream_chunk) + STREAM_CHUNK_BYTES;
    uint64_t count = flow_allowance(flow, STREAM_CHUNK_BYTES) / pool_block_bytes(block);
    uint64_t available = pool_available(pool, block);
    return count < available ? count : available;
}

/* A chunk with room for the next piece; NULL when the flow has to wait for memory. */
static struct stream_chunk *flow_take_piece(struct stream_flow *flow, uint32_t room)
{
    struct stream_chunk *chunk = NULL;
    if (flow_allowance(flow, room) >= pool_block_bytes(sizeof(*chunk) + room))
        chunk = stream_chunk_take(flow, room);
    if (!chunk)
        stream_plane_starve(flow->connection->plane, flow);
    return chunk;
}

static bool flow_read_piped(struct stream_flow *flow)
{
    struct stream_plane *plane = flow->connection->plane;
    size_t total = 0;
    bool alive;
    uint64_t chunks =
        flow->bulk_reads > 0 &&
                fault_pipeline_next_chunk(flow->pipeline, STREAM_CHUNK_BYTES) == STREAM_CHUNK_BYTES
            ? flow_room_chunks(flow)
            : 0;
    if (chunks > 0 && flow_read_bulk(flow, chunks * STREAM_CHUNK_BYTES, &alive))
        return alive;
    for (int i = 0; i < STREAM_CHUNKS_PER_READ && total < STREAM_SCRATCH_BYTES; i++) {
        uint32_t room = fault_pipeline_next_chunk(flow->pipeline, STREAM_CHUNK_BYTES);
        struct stream_chunk *chunk = flow_take_piece(flow, room);
        if (!chunk)
            break;
        ssize_t received = recv(flow->source->fd, stream_chunk_data(chunk), room, MSG_DONTWAIT);
        if (received <= 0) {
            int error = errno;
            stream_chunk_release(flow, chunk);
            errno = error;
            flow_received(flow, received, &alive);
            if (!alive)
                return false;
            break;
        }
        fault_counter_add(&flow->route->received[flow->way], (uint64_t)received);
        chunk = stream_chunk_fill(flow, chunk, (uint32_t)received);
        fault_pipeline_push(flow->pipeline, &chunk->unit, loop_arrival_ns(plane->loop));
        total += (size_t)received;
        if ((size_t)received < room || !stream_flow_wants_read(flow))
            break;
    }
    flow_judge_read(flow, total);
    return stream_flow_pump(flow);
}

bool stream_flow_read(struct stream_flow *flow)
{
    if (!stream_flow_wants_read(flow))
        return true;
    if (flow->connection->state == STREAM_CLOSING)
        return stream_flow_drain(flow);
    if (flow->piped)
        return flow_read_piped(flow);
    uint64_t chunks = flow_room_chunks(flow);
    if (chunks == 0)
        return flow_read_peek(flow);
    return flow_read_plain(flow, chunks * STREAM_CHUNK_BYTES);
}
