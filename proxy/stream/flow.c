/* Theory of operation
 *
 * A flow carries one direction of a connection: source socket -> [pipeline] -> ready queue -> sink.
 *
 * Without faults (not piped) a read goes into the plane's scratch buffer and is written at once;
 * only what the sink did not take becomes chunks on the ready queue, and reading stops until they
 * are written. With faults each read is cut into chunks that go through the pipeline, which hands
 * them to the ready queue when they are due; reading goes on while the flow's charge allows.
 *
 * When a read was large, the next is spliced into a conduit (conduit.c): then a chunk is just a
 * count of the bytes there, and goes the same ways, piped or not.
 *
 * Memory: a read is never larger than the room that its bytes may need, so no byte that was read is
 * ever without a place. A flow may hold at most an eighth of what is left of the pool (the dynamic
 * threshold of Choudhury and Hahne, IEEE/ACM ToN 1998), and flow_bytes_max: the more flows are
 * stuck the less each may hold, and a healthy one always finds some. When even that is too little
 * for a chunk, an unpiped flow relays without holding: it peeks, writes, and then consumes only
 * what the sink took. A piped flow starves: it waits until memory is given back.
 *
 * Ends: FIN and RST are chunks too, so that they keep their place behind the bytes in the pipeline.
 * A reset that is due does not wait for a sink that takes no bytes; but like all else it waits
 * while the link is cut. */
#include <assert.h>
#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <string.h>

#include "proxy/io/socket.h"
#include "proxy/stream/internal.h"

static unsigned char *chunk_data(struct stream_chunk *chunk)
{
    return (unsigned char *)(chunk + 1);
}

static struct stream_chunk *chunk_of(struct fault_unit *unit)
{
    return loop_container(unit, struct stream_chunk, unit);
}

static void ready_append(struct stream_flow *flow, struct stream_chunk *chunk)
{
    chunk->unit.next = NULL;
    if (flow->ready_tail)
        flow->ready_tail->unit.next = &chunk->unit;
    else
        flow->ready_head = chunk;
    flow->ready_tail = chunk;
}

static struct stream_chunk *ready_next(const struct stream_chunk *chunk)
{
    return chunk->unit.next ? chunk_of(chunk->unit.next) : NULL;
}

static void ready_pop(struct stream_flow *flow)
{
    flow->ready_head = ready_next(flow->ready_head);
    if (!flow->ready_head)
        flow->ready_tail = NULL;
}

static uint64_t chunk_charge(const struct stream_flow *flow, const struct stream_chunk *chunk)
{
    return pool_bytes_of(flow->connection->plane->pool, chunk) +
           (chunk->conduit ? chunk->length : 0);
}

static void chunk_release(struct stream_flow *flow, struct stream_chunk *chunk)
{
    struct stream_plane *plane = flow->connection->plane;
    uint32_t unsent = chunk->length - chunk->offset;
    if (chunk->kind != STREAM_DATA)
        return;
    flow->charge -= chunk_charge(flow, chunk);
    flow->queued_bytes -= unsent;
    if (chunk->conduit && unsent > 0)
        stream_conduit_consume(flow, chunk->conduit, unsent, false);
    pool_give(plane->pool, chunk);
    if (plane->starved)
        stream_plane_feed_starved(plane);
}

/* A chunk of `length` bytes: a copy of `bytes`, or (NULL) those that the flow's conduit just got.
 * The caller has made sure that there is a block for `room` (>= length) bytes, if not one of just
 * the right size. */
static struct stream_chunk *chunk_make(struct stream_flow *flow, const unsigned char *bytes,
                                       uint32_t length, uint32_t room)
{
    struct stream_plane *plane = flow->connection->plane;
    struct stream_chunk *chunk = pool_take(plane->pool, sizeof(*chunk) + (bytes ? length : 0));
    if (!chunk)
        chunk = pool_take(plane->pool, sizeof(*chunk) + room);
    assert(chunk != NULL);
    *chunk = (struct stream_chunk){
        .unit = {.bytes = length, .segments = 1}, .kind = STREAM_DATA, .length = length};
    if (bytes)
        memcpy(chunk_data(chunk), bytes, length);
    else
        chunk->conduit = flow->conduit;
    flow->charge += chunk_charge(flow, chunk);
    flow->queued_bytes += length;
    return chunk;
}

static void sink_deliver(void *context, struct fault_unit *unit)
{
    struct stream_flow *flow = context;
    struct stream_chunk *chunk = chunk_of(unit);
    if (chunk->kind == STREAM_RESET)
        flow->reset_due = true;
    else
        ready_append(flow, chunk);
}

/* Only when the flow is discarded: a stage never drops from a stream. */
static void sink_drop(void *context, struct fault_unit *unit, enum fault_cause cause,
                      uint16_t fault_slot)
{
    (void)cause;
    (void)fault_slot;
    chunk_release(context, chunk_of(unit));
}

static void sink_touched(void *context, uint16_t fault_slot)
{
    struct stream_flow *flow = context;
    if (fault_slot < RULESET_FAULTS_MAX)
        fault_counter_add(&flow->connection->plane->counters->touched[fault_slot], 1);
}

/* Due units, more to write, or a plan that has changed something for this flow. */
static void flow_on_timer(struct loop_timer *timer)
{
    struct stream_flow *flow = loop_container(timer, struct stream_flow, timer);
    struct stream_connection *connection = flow->connection;
    stream_flow_count_held(flow);
    if (connection->state == STREAM_HELD) {
        stream_connection_dial(connection);
        if (connection->state == STREAM_HELD)
            stream_connection_update(connection);
        return;
    }
    if (flow->piped)
        fault_pipeline_run(flow->pipeline, loop_now_ns(connection->plane->loop));
    if (stream_flow_pump(flow))
        stream_connection_update(connection);
}

void stream_flow_init(struct stream_flow *flow, struct stream_connection *connection,
                      struct stream_end *source, struct stream_end *sink,
                      struct fault_pipeline *pipeline)
{
    *flow = (struct stream_flow){
        .connection = connection,
        .source = source,
        .sink = sink,
        .pipeline = pipeline,
        .timer = {.fn = flow_on_timer},
        .from = ROUTE_NO_NODE,
        .to = ROUTE_NO_NODE,
        .fin = {.kind = STREAM_FIN, .unit = {.bytes = 1, .segments = 1}},
        .reset = {.kind = STREAM_RESET, .unit = {.bytes = 1, .segments = 1}},
    };
}

static void flow_set_cut(struct stream_flow *flow, bool cut)
{
    if (cut && !flow->cut) {
        fault_counter_add(&flow->counters->held_connections, 1);
        fault_counter_add(&flow->counters->held_bytes, flow->queued_bytes);
        flow->pending_seen = 0; /* what waits in the socket is counted by the timer */
    }
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

void stream_flow_apply(struct stream_flow *flow, uint16_t from, uint16_t to, uint16_t route,
                       enum ruleset_direction direction)
{
    struct stream_plane *plane = flow->connection->plane;
    struct fault_entry entries[FAULT_CHAIN_MAX];
    flow->from = from;
    flow->to = to;
    bool was_cut = flow->cut;
    flow->counters = fault_counters_link(plane->counters, from, to);
    flow_set_cut(flow, fault_plan_is_cut(plane->plan, from, to));
    if (flow->cut != was_cut || flow->piped)
        loop_timer_set(plane->loop, &flow->timer, loop_now_ns(plane->loop));
    size_t count = fault_plan_chain(plane->plan, from, to, route, direction, entries);
    if (count == 0 && !flow->piped)
        return;
    if (!flow->pipeline_ready) {
        struct fault_sink sink = {
            .deliver = sink_deliver, .drop = sink_drop, .touched = sink_touched, .context = flow};
        fault_pipeline_init(flow->pipeline, FAULT_STREAM, flow->connection->flow_key, &sink);
        flow->pipeline_ready = true;
    }
    fault_pipeline_apply(flow->pipeline, entries, count, loop_now_ns(plane->loop));
    flow->piped = count > 0;
}

static bool sink_is_open(const struct stream_flow *flow)
{
    return flow->connection->state == STREAM_OPEN && flow->sink->fd >= 0;
}

bool stream_flow_wants_read(const struct stream_flow *flow)
{
    if (flow->cut || flow->ended || flow->starved || flow->source->fd < 0 || !sink_is_open(flow))
        return false;
    if (flow->piped)
        return flow->charge < flow->connection->plane->flow_bytes_max;
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
                            loop_now_ns(flow->connection->plane->loop));
    else
        sink_deliver(flow, &chunk->unit);
}

static void flow_leave_starved(struct stream_flow *flow)
{
    struct stream_flow **link = &flow->connection->plane->starved;
    if (!flow->starved)
        return;
    while (*link != flow)
        link = &(*link)->starved_next;
    *link = flow->starved_next;
    flow->starved = false;
}

void stream_flow_discard(struct stream_flow *flow)
{
    flow_leave_starved(flow);
    if (flow->pipeline_ready)
        fault_pipeline_clear(flow->pipeline, FAULT_CAUSE_CUT);
    while (flow->ready_head) {
        struct stream_chunk *chunk = flow->ready_head;
        ready_pop(flow);
        chunk_release(flow, chunk);
    }
    loop_timer_cancel(&flow->timer);
    assert(flow->charge == 0 && flow->queued_bytes == 0);
}

/* Takes the sent bytes off the ready queue. */
static void ready_consume(struct stream_flow *flow, size_t sent)
{
    fault_counter_add(&flow->counters->bytes, sent);
    while (sent > 0) {
        struct stream_chunk *chunk = flow->ready_head;
        size_t step = chunk->length - chunk->offset;
        if (step > sent)
            step = sent;
        chunk->offset += (uint32_t)step;
        flow->queued_bytes -= step;
        sent -= step;
        if (chunk->conduit)
            stream_conduit_consume(flow, chunk->conduit, (uint32_t)step, true);
        if (chunk->offset < chunk->length)
            return;
        fault_counter_add(&flow->counters->units, 1);
        ready_pop(flow);
        chunk_release(flow, chunk);
    }
}

/* Sends what is at the front of the ready queue in its head's conduit. */
static ssize_t ready_send_conduit(struct stream_flow *flow, size_t *offered)
{
    struct stream_conduit *conduit = flow->ready_head->conduit;
    for (struct stream_chunk *chunk = flow->ready_head;
         chunk && chunk->kind == STREAM_DATA && chunk->conduit == conduit;
         chunk = ready_next(chunk))
        *offered += chunk->length - chunk->offset;
    return stream_conduit_send(conduit, flow->sink->fd, *offered);
}

/* One gathering write from the ready queue, whose head is data. Bytes sent, or -errno. */
static ssize_t ready_send(struct stream_flow *flow, size_t *offered)
{
    struct iovec vectors[STREAM_WRITE_VECTORS];
    struct msghdr message = {.msg_iov = vectors};
    *offered = 0;
    if (flow->ready_head->conduit)
        return ready_send_conduit(flow, offered);
    for (struct stream_chunk *chunk = flow->ready_head;
         chunk && chunk->kind == STREAM_DATA && !chunk->conduit &&
         message.msg_iovlen < STREAM_WRITE_VECTORS;
         chunk = ready_next(chunk)) {
        vectors[message.msg_iovlen].iov_base = chunk_data(chunk) + chunk->offset;
        vectors[message.msg_iovlen++].iov_len = chunk->length - chunk->offset;
        *offered += chunk->length - chunk->offset;
    }
    ssize_t sent = sendmsg(flow->sink->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent < 0 ? -errno : sent;
}

static bool would_block(ssize_t result)
{
    return result == -EAGAIN || result == -EINTR || result == -ENOBUFS;
}

/* The FIN is at the head of the ready queue: the sink gets it. */
static bool flow_finish(struct stream_flow *flow)
{
    ready_pop(flow);
    flow->fin_sent = true;
    shutdown(flow->sink->fd, SHUT_WR);
    struct stream_connection *connection = flow->connection;
    if (!connection->flows[STREAM_UP].fin_sent || !connection->flows[STREAM_DOWN].fin_sent)
        return true;
    stream_connection_end(connection, false);
    return false;
}

static bool flow_write_ready(struct stream_flow *flow, bool *more)
{
    size_t written = 0;
    flow->blocked = false;
    while (flow->ready_head) {
        size_t offered;
        if (flow->ready_head->kind == STREAM_FIN)
            return flow_finish(flow);
        if (written >= STREAM_WRITE_BUDGET) {
            *more = true;
            break;
        }
        ssize_t sent = ready_send(flow, &offered);
        if (sent < 0 && !would_block(sent))
            return stream_end_reset(flow->sink);
        if (sent > 0)
            ready_consume(flow, (size_t)sent);
        if (sent < 0 || (size_t)sent < offered) {
            flow->blocked = true;
            break;
        }
        written += (size_t)sent;
    }
    return true;
}

bool stream_flow_pump(struct stream_flow *flow)
{
    struct stream_plane *plane = flow->connection->plane;
    bool more = false;
    if (!flow->cut && sink_is_open(flow)) {
        if (flow->reset_due) {
            stream_connection_end(flow->connection, true);
            return false;
        }
        if (!flow_write_ready(flow, &more))
            return false;
    }
    uint64_t due_ns = more ? loop_now_ns(plane->loop) : FAULT_NEVER;
    if (flow->piped) {
        uint64_t next_ns = fault_pipeline_next_due(flow->pipeline);
        due_ns = next_ns < due_ns ? next_ns : due_ns;
    }
    if (due_ns == FAULT_NEVER)
        loop_timer_cancel(&flow->timer);
    else if (!flow->timer.loop || flow->timer.due_ns != due_ns)
        loop_timer_set(plane->loop, &flow->timer, due_ns);
    return true;
}

/* How many pool bytes the flow may take now. */
static uint64_t flow_allowance(const struct stream_flow *flow)
{
    const struct stream_plane *plane = flow->connection->plane;
    uint64_t limit = plane->flow_bytes_max;
    uint64_t share = (pool_limit_bytes(plane->pool) - pool_used_bytes(plane->pool)) / 8;
    if (share < limit)
        limit = share;
    return limit > flow->charge ? limit - flow->charge : 0;
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
    } else if (!would_block(-errno)) {
        *alive = stream_end_reset(flow->source);
    }
    return 0;
}

/* Sends from the scratch buffer. *sent: what the sink took, or all when it was reset and nothing is
 * wanted any more. False: the connection is gone. */
static bool flow_send_scratch(struct stream_flow *flow, size_t length, size_t *sent)
{
    struct stream_plane *plane = flow->connection->plane;
    ssize_t result = send(flow->sink->fd, plane->scratch, length, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (result < 0 && !would_block(-errno)) {
        *sent = length;
        return stream_end_reset(flow->sink);
    }
    *sent = result > 0 ? (size_t)result : 0;
    flow->blocked = *sent < length;
    fault_counter_add(&flow->counters->bytes, *sent);
    if (*sent == length)
        fault_counter_add(&flow->counters->units, 1);
    return true;
}

/* Reads without copying. False: it can't, and nothing was done. */
static bool flow_read_bulk(struct stream_flow *flow, size_t room, bool *alive)
{
    if (!flow->bulk)
        return false;
    if (room > STREAM_BULK_BYTES)
        room = STREAM_BULK_BYTES;
    ssize_t received = stream_conduit_fill(flow, room);
    flow->bulk = received >= STREAM_BULK_MIN;
    if (received < 0 && errno == EOPNOTSUPP)
        return false;
    size_t length = flow_received(flow, received, alive);
    for (size_t done = 0; done < length;) {
        uint32_t step =
            length - done < STREAM_CHUNK_BYTES ? (uint32_t)(length - done) : STREAM_CHUNK_BYTES;
        struct stream_chunk *chunk = chunk_make(flow, NULL, step, STREAM_CHUNK_BYTES);
        if (flow->piped)
            fault_pipeline_push(flow->pipeline, &chunk->unit,
                                loop_now_ns(flow->connection->plane->loop));
        else
            ready_append(flow, chunk);
        done += step;
    }
    if (length > 0)
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
    flow->bulk = length >= STREAM_BULK_MIN;
    if (!flow_send_scratch(flow, length, &sent))
        return false;
    while (sent < length) {
        size_t step = length - sent < STREAM_CHUNK_BYTES ? length - sent : STREAM_CHUNK_BYTES;
        ready_append(flow,
                     chunk_make(flow, plane->scratch + sent, (uint32_t)step, STREAM_CHUNK_BYTES));
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
        return false;
    if (sent > 0) {
        ssize_t consumed = recv(flow->source->fd, plane->scratch, sent, MSG_DONTWAIT);
        assert(consumed == (ssize_t)sent);
        (void)consumed;
    }
    return true;
}

static bool flow_read_piped(struct stream_flow *flow)
{
    struct stream_plane *plane = flow->connection->plane;
    uint32_t step_max = fault_pipeline_chunk_max(flow->pipeline, STREAM_CHUNK_BYTES);
    size_t block = sizeof(struct stream_chunk) + step_max;
    uint64_t count = flow_allowance(flow) / pool_block_bytes(block);
    uint64_t available = pool_available(plane->pool, block);
    bool alive;
    if (count > available)
        count = available;
    if (count > STREAM_CHUNKS_PER_READ)
        count = STREAM_CHUNKS_PER_READ;
    if (count == 0) {
        stream_plane_starve(plane, flow);
        return true;
    }
    size_t room = count * step_max;
    if (step_max == STREAM_CHUNK_BYTES && flow_read_bulk(flow, room, &alive))
        return alive;
    if (room > STREAM_SCRATCH_BYTES)
        room = STREAM_SCRATCH_BYTES;
    size_t length =
        flow_received(flow, recv(flow->source->fd, plane->scratch, room, MSG_DONTWAIT), &alive);
    if (length == 0)
        return alive;
    flow->bulk = length >= STREAM_BULK_MIN;
    for (size_t done = 0; done < length;) {
        uint32_t step = length - done < step_max ? (uint32_t)(length - done) : step_max;
        struct stream_chunk *chunk = chunk_make(flow, plane->scratch + done, step, step_max);
        fault_pipeline_push(flow->pipeline, &chunk->unit, loop_now_ns(plane->loop));
        done += step;
    }
    return stream_flow_pump(flow);
}

bool stream_flow_read(struct stream_flow *flow)
{
    struct stream_plane *plane = flow->connection->plane;
    if (!stream_flow_wants_read(flow))
        return true;
    if (flow->piped)
        return flow_read_piped(flow);
    size_t block = sizeof(struct stream_chunk) + STREAM_CHUNK_BYTES;
    uint64_t count = flow_allowance(flow) / pool_block_bytes(block);
    uint64_t available = pool_available(plane->pool, block);
    if (count > available)
        count = available;
    if (count == 0)
        return flow_read_peek(flow);
    return flow_read_plain(flow, count * STREAM_CHUNK_BYTES);
}
