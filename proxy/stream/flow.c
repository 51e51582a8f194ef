/* Theory of operation
 *
 * A flow carries one direction of a connection: source socket -> [pipeline] -> ready queue -> sink.
 *
 * Without faults (not piped) a read goes into the plane's scratch buffer and is written at once;
 * only what the sink did not take becomes chunks on the ready queue, and reading stops until they
 * are written. With faults bytes are read into chunks that go through the pipeline, which hands
 * them to the ready queue when they are due; reading goes on while memory allows (read.c). A chain
 * in which every fault spares this flow is passed by.
 *
 * A fault that drops data ends the connection sooner or later, and until then no data goes on that
 * was behind what it has dropped: chunks are numbered. (When several faults go at once, a later
 * stage may be gone before an earlier one lets go what it held.)
 *
 * Ends: FIN and RST are chunks too, so that they keep their place behind the bytes in the pipeline.
 * A reset that is due comes behind the bytes that the sink takes at once, and does not wait for one
 * that takes none; but like all else it waits
 * while the link is cut.
 *
 * A pipeline may say, from any call into it, that the connection is to end. That is only noted
 * (connection->ending); each such call is followed by stream_flow_pump, which does it. In
 * stream_flow_apply it is the timer's. */
#include <assert.h>

#include "proxy/io/socket.h"
#include "proxy/stream/internal.h"

/* The fault that dropped what was in front, and with it the reason to hold this one, is gone. */
static bool is_behind_gap(const struct stream_flow *flow, const struct stream_chunk *chunk)
{
    return chunk->kind == STREAM_DATA && flow->gap > 0 && chunk->number > flow->gap;
}

static void sink_deliver(void *context, struct fault_unit *unit)
{
    struct stream_flow *flow = context;
    struct stream_chunk *chunk = stream_chunk_of(unit);
    if (chunk->kind == STREAM_RESET) {
        flow->reset_due = true;
        return;
    }
    if (flow->stopped || is_behind_gap(flow, chunk)) {
        stream_chunk_drop(flow, chunk, FAULT_CAUSE_DISCARD);
        return;
    }
    if (chunk->kind == STREAM_FIN)
        flow->fin_due = true;
    else if (unit->bytes < chunk->length)
        stream_chunk_truncate(flow, chunk, unit->bytes);
    if (unit->last)
        flow->stopped = true;
    stream_ready_append(flow, chunk);
}

static void sink_drop(void *context, struct fault_unit *unit, enum fault_cause cause,
                      uint16_t fault_slot)
{
    struct stream_flow *flow = context;
    struct stream_chunk *chunk = stream_chunk_of(unit);
    (void)fault_slot;
    if (chunk->kind == STREAM_DATA && (flow->gap == 0 || chunk->number < flow->gap))
        flow->gap = chunk->number;
    stream_chunk_drop(flow, chunk, cause);
}

static void sink_touched(void *context, uint16_t fault_slot)
{
    struct stream_flow *flow = context;
    if (fault_slot < RULESET_FAULTS_MAX)
        fault_counter_add(&flow->connection->plane->counters->touched[fault_slot], 1);
}

static bool sink_flip(void *context, struct fault_unit *unit, uint64_t bit)
{
    (void)context;
    struct stream_chunk *chunk = stream_chunk_of(unit);
    assert(bit / 8 < chunk->length);
    if (chunk->kind != STREAM_DATA || chunk->conduit)
        return false; /* an end; or it came when nothing was to be flipped yet */
    stream_chunk_data(chunk)[bit / 8] ^= (unsigned char)(1u << bit % 8);
    return true;
}

/* A reset wins over a close. */
static void sink_end(void *context, enum fault_end how, uint16_t fault_slot)
{
    struct stream_connection *connection = ((struct stream_flow *)context)->connection;
    (void)fault_slot;
    if (how == FAULT_END_RESET)
        connection->ending = STREAM_TO_RESET;
    else if (connection->ending == STREAM_GOES_ON)
        connection->ending = STREAM_TO_CLOSE;
}

/* Of both directions: each pipeline is told of the other one. */
static void flow_init_pipelines(struct stream_connection *connection)
{
    for (int i = 0; i < STREAM_FLOWS; i++) {
        struct stream_flow *flow = &connection->flows[i];
        struct fault_sink sink = {.deliver = sink_deliver,
                                  .drop = sink_drop,
                                  .touched = sink_touched,
                                  .flip = sink_flip,
                                  .end = sink_end,
                                  .context = flow};
        struct fault_flow told = stream_connection_told(connection);
        told.opposite = connection->flows[!i].pipeline;
        fault_pipeline_init(flow->pipeline, &told, &sink);
    }
    connection->pipelines_ready = true;
}

static void flow_set_loss(struct stream_flow *flow)
{
    flow->loss_ppb = 0;
    flow->loss_change_ns = FAULT_NEVER;
    if (flow->chained)
        flow->loss_ppb =
            fault_pipeline_loss_ppb(flow->pipeline, loop_now_ns(flow->connection->plane->loop),
                                    &flow->loss_slot, &flow->loss_change_ns);
}

/* Due units, more to write, an end, a loss that begins, or a plan that has changed something for
 * this flow. */
static void flow_on_timer(struct loop_timer *timer)
{
    struct stream_flow *flow = loop_container(timer, struct stream_flow, timer);
    struct stream_connection *connection = flow->connection;
    stream_flow_count_held(flow);
    if (flow->loss_change_ns <= loop_now_ns(connection->plane->loop)) {
        flow_set_loss(flow);
        stream_end_filter(flow->source);
    }
    if (flow->piped)
        fault_pipeline_run(flow->pipeline, loop_now_ns(connection->plane->loop));
    if (!stream_flow_pump(flow))
        return;
    if (connection->state == STREAM_HELD) {
        stream_connection_dial(connection);
        if (connection->state != STREAM_HELD)
            return;
    }
    stream_connection_update(connection);
}

void stream_flow_init(struct stream_flow *flow, struct stream_connection *connection, uint8_t way,
                      struct stream_end *source, struct stream_end *sink)
{
    struct stream_plane *plane = connection->plane;
    size_t index = (size_t)(connection - plane->connections);
    size_t slot = (size_t)(connection->listener - plane->listeners);
    *flow = (struct stream_flow){
        .connection = connection,
        .source = source,
        .sink = sink,
        .route = &plane->counters->routes[slot],
        .way = way,
        .pipeline = &plane->pipelines[2 * index + way],
        .timer = {.fn = flow_on_timer, .precise = true},
        .from = ROUTE_NO_NODE,
        .to = ROUTE_NO_NODE,
        .loss_slot = FAULT_NO_ROUTE,
        .loss_change_ns = FAULT_NEVER,
        .opaque = true,
        .fin = {.kind = STREAM_FIN, .unit = {.bytes = 1, .segments = 1, .end = true}},
        .reset = {.kind = STREAM_RESET, .unit = {.bytes = 1, .segments = 1, .end = true}},
    };
    source->in = sink->out = flow;
}

static void flow_set_cut(struct stream_flow *flow, bool cut)
{
    struct stream_plane *plane = flow->connection->plane;
    if (cut && !flow->cut) {
        fault_counter_add(&flow->counters->held_connections, 1);
        fault_counter_add(&flow->counters->held_bytes, flow->queued_bytes);
        flow->pending_seen = 0; /* what waits in the socket is counted by the timer */
    }
    if (cut != flow->cut)
        loop_timer_set(plane->loop, &flow->timer, loop_now_ns(plane->loop));
    flow->cut = cut;
}

void stream_flow_count_held(struct stream_flow *flow)
{
    if (!flow->cut || flow->source->fd < 0)
        return;
    unsigned pending = socket_pending_bytes(flow->source->fd);
    if (pending > flow->pending_seen)
        fault_counter_add(&flow->counters->held_bytes, pending - flow->pending_seen);
    flow->pending_seen = pending;
}

static void flow_set_chain(struct stream_flow *flow, const struct fault_entry *entries,
                           size_t count)
{
    struct loop *loop = flow->connection->plane->loop;
    if (count == 0 && !flow->chained)
        return;
    if (!flow->connection->pipelines_ready)
        flow_init_pipelines(flow->connection);
    fault_pipeline_apply(flow->pipeline, entries, count, loop_now_ns(loop));
    flow->chained = count > 0;
    flow->opaque = !fault_pipeline_changes_bytes(flow->pipeline);
    flow->piped =
        fault_pipeline_is_needed(flow->pipeline) || fault_pipeline_held_bytes(flow->pipeline) > 0;
    loop_timer_set(loop, &flow->timer, loop_now_ns(loop));
}

void stream_flow_apply(struct stream_flow *flow, uint16_t from, uint16_t to)
{
    struct stream_connection *connection = flow->connection;
    const struct stream_plane *plane = connection->plane;
    struct fault_entry entries[FAULT_CHAIN_MAX];
    bool up = flow->way == STREAM_UP;
    flow->from = from;
    flow->to = to;
    flow->counters = fault_counters_link(plane->counters, from, to);
    flow_set_cut(flow, fault_plan_is_cut(plane->plan, from, to));
    if (connection->state == STREAM_CLOSING)
        return; /* its pipelines are empty already */
    size_t count = fault_plan_chain(plane->plan, from, to, connection->listener->spec->slot,
                                    up ? RULESET_UPSTREAM : RULESET_DOWNSTREAM, entries);
    if (up)
        stream_connection_review(connection, entries, count);
    flow_set_chain(flow, entries, count);
    flow_set_loss(flow);
}

/* Whether it takes bytes. */
static bool sink_is_open(const struct stream_flow *flow)
{
    enum stream_state state = flow->connection->state;
    return (state == STREAM_OPEN || state == STREAM_CLOSING) && flow->sink->fd >= 0;
}

bool stream_flow_wants_read(const struct stream_flow *flow)
{
    const struct stream_connection *connection = flow->connection;
    if (flow->cut || flow->ended || flow->source->fd < 0)
        return false;
    if (connection->state == STREAM_CLOSING)
        return true;
    if (flow->starved || flow->stopped || flow->sink->broken || connection->ending ||
        !sink_is_open(flow))
        return false;
    if (flow->piped)
        return flow->charge < connection->plane->flow_bytes_max &&
               !fault_pipeline_is_full(flow->pipeline);
    return !flow->blocked && !flow->ready_head;
}

bool stream_flow_wants_write(const struct stream_flow *flow)
{
    return flow->blocked && !flow->cut && sink_is_open(flow);
}

void stream_flow_push_end(struct stream_flow *flow, enum stream_chunk_kind kind)
{
    struct stream_chunk *chunk = kind == STREAM_FIN ? &flow->fin : &flow->reset;
    flow->ended = true;
    if (flow->piped)
        fault_pipeline_push(flow->pipeline, &chunk->unit,
                            loop_arrival_ns(flow->connection->plane->loop));
    else
        sink_deliver(flow, &chunk->unit);
}

void stream_flow_discard(struct stream_flow *flow, enum fault_cause cause)
{
    stream_plane_leave_starved(flow->connection->plane, flow);
    if (flow->connection->pipelines_ready)
        fault_pipeline_clear(flow->pipeline, cause);
    while (flow->ready_head) {
        struct stream_chunk *chunk = flow->ready_head;
        stream_ready_pop(flow);
        stream_chunk_drop(flow, chunk, cause);
    }
    loop_timer_cancel(&flow->timer);
    assert(flow->charge == 0 && flow->queued_bytes == 0);
}

/* When there is something to do for the flow, without any event. */
static uint64_t flow_next_due(const struct stream_flow *flow, bool more)
{
    uint64_t now_ns = loop_now_ns(flow->connection->plane->loop);
    uint64_t due_ns = flow->piped ? fault_pipeline_next_due(flow->pipeline) : FAULT_NEVER;
    due_ns = flow->loss_change_ns < due_ns ? flow->loss_change_ns : due_ns;
    return more && now_ns < due_ns ? now_ns : due_ns;
}

bool stream_flow_pump(struct stream_flow *flow)
{
    struct stream_connection *connection = flow->connection;
    bool more = false;
    if (connection->ending == STREAM_TO_RESET && connection->state != STREAM_CLOSING) {
        stream_connection_close(connection); /* no FIN goes before the reset */
        return true;
    }
    if (!flow->cut && sink_is_open(flow)) {
        if ((!flow->blocked || flow->reset_due) && !stream_flow_write(flow, &more))
            return false;
        if (flow->reset_due && !more) {
            stream_end_close(flow->sink, true);
            return stream_connection_settle(connection);
        }
    }
    if (connection->ending && connection->state != STREAM_CLOSING) {
        stream_connection_close(connection);
        return true;
    }
    uint64_t due_ns = flow_next_due(flow, more);
    if (due_ns == FAULT_NEVER)
        loop_timer_cancel(&flow->timer);
    else if (!flow->timer.loop || flow->timer.due_ns != due_ns)
        loop_timer_set(connection->plane->loop, &flow->timer, due_ns);
    return true;
}
