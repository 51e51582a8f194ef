/* From the ready queue to the sink.
 *
 * Chunks are gathered into one system call, up to a number of vectors. A chunk that the slicer has
 * marked is written by a call of its own, with MSG_EOR: TCP then neither joins it to what is still
 * unsent in front of it nor appends to it, so it travels as a segment of its own. Bytes that wait
 * in a conduit are spliced out of it, those of all chunks in a row that are in the same one.
 *
 * One go is bounded in bytes and in calls; what is left is written in the next turn. What the sink
 * does not take waits until epoll says that it takes more (stream_flow_pump): while a pipeline goes
 * on reading and delivering, to try at each of these would fail as often as it succeeds, and what
 * it wrote would be small. */
#include <assert.h>
#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "proxy/stream/internal.h"

bool stream_would_block(ssize_t result)
{
    return result == -EAGAIN || result == -EINTR || result == -ENOBUFS;
}

static void ready_done(struct stream_flow *flow, struct stream_chunk *chunk)
{
    if (chunk->length > 0) /* a limit may have left nothing of it */
        fault_counter_add(&flow->counters->units, 1);
    if (chunk->unit.last && flow->connection->ending == STREAM_GOES_ON)
        flow->connection->ending = STREAM_TO_CLOSE;
    stream_ready_pop(flow);
    stream_chunk_release(flow, chunk);
}

/* Takes the sent bytes, and chunks that have none, off the ready queue. */
static void ready_consume(struct stream_flow *flow, size_t sent)
{
    fault_counter_add(&flow->counters->bytes, sent);
    fault_counter_add(&flow->route->sent[flow->way], sent);
    while (flow->ready_head && flow->ready_head->kind == STREAM_DATA) {
        struct stream_chunk *chunk = flow->ready_head;
        size_t step = chunk->length - chunk->offset;
        if (step > sent)
            step = sent;
        chunk->offset += (uint32_t)step;
        flow->queued_bytes -= step;
        sent -= step;
        if (chunk->conduit && step > 0)
            stream_conduit_consume(flow, chunk->conduit, (uint32_t)step, true);
        if (chunk->offset < chunk->length)
            break;
        ready_done(flow, chunk);
    }
    assert(sent == 0);
}

/* From the conduit of the queue's head. */
static ssize_t ready_send_conduit(struct stream_flow *flow, size_t *offered)
{
    struct stream_chunk *chunk = flow->ready_head;
    struct stream_conduit *conduit = chunk->conduit;
    do {
        *offered += chunk->length - chunk->offset;
        if (chunk->unit.alone)
            break;
        chunk = stream_ready_next(chunk);
    } while (chunk && chunk->kind == STREAM_DATA && chunk->conduit == conduit &&
             !chunk->unit.alone);
    return *offered > 0 ? stream_conduit_send(conduit, flow->sink->fd, *offered) : 0;
}

/* One write from the ready queue, whose head is data. Bytes sent, or -errno. */
static ssize_t ready_send(struct stream_flow *flow, size_t *offered)
{
    struct iovec vectors[STREAM_WRITE_VECTORS];
    struct msghdr message = {.msg_iov = vectors};
    struct stream_chunk *chunk = flow->ready_head;
    int flags = MSG_NOSIGNAL | MSG_DONTWAIT | (chunk->unit.alone ? MSG_EOR : 0);
    *offered = 0;
    if (chunk->conduit)
        return ready_send_conduit(flow, offered);
    do {
        vectors[message.msg_iovlen].iov_base = stream_chunk_data(chunk) + chunk->offset;
        vectors[message.msg_iovlen++].iov_len = chunk->length - chunk->offset;
        *offered += chunk->length - chunk->offset;
        if (chunk->unit.alone)
            break;
        chunk = stream_ready_next(chunk);
    } while (chunk && chunk->kind == STREAM_DATA && !chunk->conduit && !chunk->unit.alone &&
             message.msg_iovlen < STREAM_WRITE_VECTORS);
    ssize_t sent = sendmsg(flow->sink->fd, &message, flags);
    return sent < 0 ? -errno : sent;
}

/* The FIN is at the head of the ready queue: the sink gets it. */
static bool flow_finish(struct stream_flow *flow)
{
    stream_ready_pop(flow);
    flow->fin_sent = true;
    shutdown(flow->sink->fd, SHUT_WR);
    return stream_connection_settle(flow->connection);
}

bool stream_flow_write(struct stream_flow *flow, bool *more)
{
    size_t written = 0;
    flow->blocked = false;
    for (int calls = 0; flow->ready_head; calls++) {
        size_t offered;
        if (flow->ready_head->kind == STREAM_FIN)
            return flow_finish(flow);
        if (written >= STREAM_WRITE_BUDGET || calls == STREAM_WRITE_CALLS) {
            *more = true;
            break;
        }
        ssize_t sent = ready_send(flow, &offered);
        if (sent < 0 && !stream_would_block(sent))
            return stream_end_broken(flow->sink);
        if (sent >= 0)
            ready_consume(flow, (size_t)sent);
        if (sent < 0 || (size_t)sent < offered) {
            flow->blocked = true;
            break;
        }
        written += (size_t)sent;
    }
    return true;
}
