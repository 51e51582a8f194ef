/* How a fault ends a connection.
 *
 * Theory of operation. What is in the pipelines is dropped (and counted as discarded); then each
 * direction finishes by itself, so that one whose link is cut waits for its heal.
 *
 * RESET: what is ready is dropped too, each socket is closed with RST.
 *
 * CLOSE: what is ready is written, FIN follows it. A socket that is closed while bytes wait in it
 * sends RST, and so does one that bytes reach after its close; a peer that has sent more than was
 * wanted would see ECONNRESET instead of the end of the stream. So each socket is read, and what
 * comes is thrown away, until its peer's FIN is there. Peers that keep theirs, or never read, are
 * left after STREAM_LINGER_NS. */
#include <assert.h>
#include <errno.h>
#include <sys/socket.h>

#include "proxy/stream/internal.h"

static void flow_close(struct stream_flow *flow, bool reset)
{
    struct stream_plane *plane = flow->connection->plane;
    flow->piped = false;
    stream_plane_leave_starved(plane, flow);
    if (reset) {
        stream_flow_discard(flow, FAULT_CAUSE_DISCARD);
        flow->reset_due = true;
    } else {
        if (flow->connection->pipelines_ready)
            fault_pipeline_clear(flow->pipeline, FAULT_CAUSE_DISCARD);
        if (!flow->fin_due)
            stream_ready_append(flow, &flow->fin);
        flow->fin_due = true;
    }
    loop_timer_set(plane->loop, &flow->timer, loop_now_ns(plane->loop));
}

static void set_linger(struct stream_connection *connection)
{
    struct loop *loop = connection->plane->loop;
    loop_timer_set(loop, &connection->timer, loop_now_ns(loop) + STREAM_LINGER_NS);
}

void stream_connection_close(struct stream_connection *connection)
{
    struct stream_flow *flows = connection->flows;
    assert(connection->ending && connection->state != STREAM_CLOSING);
    if (flows[STREAM_UP].reset_due || flows[STREAM_DOWN].reset_due)
        connection->ending = STREAM_TO_RESET; /* a peer's own, held back by a cut */
    if (connection->state != STREAM_OPEN) {
        resolver_cancel(&connection->waiter);
        stream_end_close(&connection->ends[STREAM_SERVER], true);
        flows[STREAM_DOWN].ended = true;
    }
    connection->state = STREAM_CLOSING;
    for (int i = 0; i < STREAM_FLOWS; i++)
        flow_close(&flows[i], connection->ending == STREAM_TO_RESET);
    set_linger(connection);
}

bool stream_connection_settle(struct stream_connection *connection)
{
    const struct stream_flow *flows = connection->flows;
    struct stream_end *ends = connection->ends;
    bool finished = flows[STREAM_UP].fin_sent && flows[STREAM_DOWN].fin_sent;
    for (int i = 0; connection->state == STREAM_CLOSING && i < STREAM_ENDS; i++)
        if (ends[i].in->ended && ends[i].out->fin_sent)
            stream_end_close(&ends[i], false);
    if (connection->state == STREAM_CLOSING)
        finished = false; /* what the peers still send is waited for */
    if (!finished && (ends[STREAM_CLIENT].fd >= 0 || ends[STREAM_SERVER].fd >= 0))
        return true;
    stream_connection_end(connection, false);
    return false;
}

bool stream_flow_drain(struct stream_flow *flow)
{
    struct stream_plane *plane = flow->connection->plane;
    ssize_t received = recv(flow->source->fd, plane->scratch, sizeof(plane->scratch), MSG_DONTWAIT);
    if (received > 0) {
        fault_counter_add(&flow->route->received[flow->way], (uint64_t)received);
        stream_flow_count_dropped(flow, (uint64_t)received, FAULT_CAUSE_DISCARD);
    } else if (received == 0) {
        flow->ended = true;
    } else if (!stream_would_block(-errno)) {
        return stream_end_reset(flow->source);
    }
    return stream_connection_settle(flow->connection);
}

void stream_connection_stop_lingering(struct stream_connection *connection)
{
    for (int i = 0; i < STREAM_FLOWS; i++)
        if (connection->flows[i].cut && connection->flows[i].sink->fd >= 0) {
            set_linger(connection); /* its end has not come through yet */
            return;
        }
    stream_connection_end(connection, false);
}
