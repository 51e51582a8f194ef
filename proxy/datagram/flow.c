/* Theory of operation
 *
 * A flow carries one direction of a session. Without faults a batch that was received is sent
 * straight from the buffers that it was received into. With faults each datagram is copied into a
 * pool block and pushed into the pipeline, which delivers or drops it; what the kernel has put
 * together is taken apart first, so that loss and order are those of real datagrams. What the
 * pipeline delivers during one callback is collected and sent as a batch before the callback ends.
 *
 * Each datagram that has arrived, and each copy that a fault asked for, is counted once: as
 * delivered, or as dropped by cause. */
#include <string.h>

#include "proxy/datagram/internal.h"

/* What is left of it: stages cut it short by lowering unit.bytes. */
static uint32_t unit_length(const struct datagram_unit *unit)
{
    return unit->unit.bytes < unit->length ? unit->unit.bytes : unit->length;
}

static struct datagram_unit *unit_of(struct fault_unit *unit)
{
    return loop_container(unit, struct datagram_unit, unit);
}

static void count_drop(struct datagram_flow *flow, enum fault_cause cause, uint64_t datagrams)
{
    fault_counter_add(&flow->counters->dropped[cause], datagrams);
}

static struct fault_route_counters *route_counters(struct datagram_flow *flow)
{
    return &flow->session->plane->counters->routes[flow->session->route_slot];
}

/* Through the connected upstream socket, or the listener's with the peer's name. */
static void flow_send(struct datagram_flow *flow, const struct datagram_view *views, unsigned count)
{
    struct datagram_session *session = flow->session;
    struct datagram_sent sent;
    struct datagram_target target = {.fd = session->watch.fd, .single = &flow->single};
    if (!flow->upstream) {
        target.fd = session->listener->spec->fd;
        target.to = &session->peer;
        target.from = &session->local;
    }
    datagram_send(session->plane, &target, views, count, &sent);
    fault_counter_add(&flow->counters->units, sent.units);
    fault_counter_add(&flow->counters->bytes, sent.bytes);
    fault_counter_add(&flow->counters->refused, sent.refused);
    fault_counter_add(&route_counters(flow)->sent[!flow->upstream], sent.bytes);
    count_drop(flow, FAULT_CAUSE_QUEUE, sent.dropped);
    datagram_session_touch(session);
}

/* A unit of so many bytes, charged to the flow; NULL when it has its share, or the pool is empty.
 */
static struct datagram_unit *unit_take(struct datagram_flow *flow, uint32_t length)
{
    struct datagram_plane *plane = flow->session->plane;
    uint64_t share = (pool_limit_bytes(plane->pool) - pool_used_bytes(plane->pool)) / 8;
    if (flow->charge >= share || flow->charge >= plane->flow_bytes_max)
        return NULL;
    struct datagram_unit *unit = pool_take(plane->pool, sizeof(*unit) + IP_HEADER_ROOM + length);
    if (!unit)
        return NULL;
    flow->charge += pool_bytes_of(plane->pool, unit);
    *unit = (struct datagram_unit){.unit = {.bytes = length ? length : 1, .segments = 1},
                                   .bytes = (unsigned char *)(unit + 1) + IP_HEADER_ROOM,
                                   .length = length};
    return unit;
}

static void unit_release(struct datagram_flow *flow, struct datagram_unit *unit)
{
    struct pool *pool = flow->session->plane->pool;
    flow->charge -= pool_bytes_of(pool, unit);
    pool_give(pool, unit);
}

/* Sends what has been delivered. */
static void flow_flush(struct datagram_flow *flow)
{
    struct datagram_plane *plane = flow->session->plane;
    struct datagram_view views[DATAGRAM_BATCH];
    unsigned count = plane->leaving_count;
    if (count == 0)
        return;
    for (unsigned i = 0; i < count; i++) {
        uint32_t length = unit_length(plane->leaving[i]);
        views[i] = (struct datagram_view){plane->leaving[i]->bytes, length, length ? length : 1};
    }
    plane->leaving_count = 0;
    flow_send(flow, views, count);
    for (unsigned i = 0; i < count; i++)
        unit_release(flow, plane->leaving[i]);
}

/* The end that the datagram came from, and the one that it was sent to. False when not known. */
static bool sender_of(struct datagram_flow *flow, struct address *source,
                      struct address *destination)
{
    const struct datagram_session *session = flow->session;
    if (flow->upstream) {
        *source = session->peer;
        *destination = session->local.length ? session->local : session->listener->bound;
        address_set_port(destination, address_port(&session->listener->bound));
        return true;
    }
    *source = session->upstream;
    destination->length = sizeof(destination->storage);
    return getsockname(session->watch.fd, (struct sockaddr *)&destination->storage,
                       &destination->length) == 0;
}

/* That nobody takes its datagram. */
static void tell_sender(struct datagram_flow *flow, const struct datagram_unit *unit)
{
    struct datagram_session *session = flow->session;
    struct datagram_plane *plane = session->plane;
    struct address source, destination;
    if (!unreachable_works(&plane->unreachable) || !sender_of(flow, &source, &destination))
        return;
    if (answer_limit_allow(&session->listener->limit, ANSWER_LIMIT_BURST, loop_now_ns(plane->loop)))
        unreachable_send(&plane->unreachable, &source, &destination, unit->length);
    else
        fault_counter_add(&route_counters(flow)->untold, 1);
}

/* The sink of the pipeline. */

static void sink_deliver(void *context, struct fault_unit *fault_unit)
{
    struct datagram_flow *flow = context;
    struct datagram_plane *plane = flow->session->plane;
    struct datagram_unit *unit = unit_of(fault_unit);
    if (flow->cut) {
        count_drop(flow, FAULT_CAUSE_CUT, 1);
        unit_release(flow, unit);
        return;
    }
    plane->leaving[plane->leaving_count++] = unit;
    if (plane->leaving_count == DATAGRAM_BATCH)
        flow_flush(flow);
}

static void sink_drop(void *context, struct fault_unit *fault_unit, enum fault_cause cause,
                      uint16_t fault_slot)
{
    struct datagram_flow *flow = context;
    struct datagram_unit *unit = unit_of(fault_unit);
    (void)fault_slot;
    count_drop(flow, cause, 1);
    if (cause == FAULT_CAUSE_REJECT)
        tell_sender(flow, unit);
    unit_release(flow, unit);
}

static void sink_touched(void *context, uint16_t fault_slot)
{
    struct datagram_flow *flow = context;
    if (fault_slot < RULESET_FAULTS_MAX)
        fault_counter_add(&flow->session->plane->counters->touched[fault_slot], 1);
}

static bool sink_flip(void *context, struct fault_unit *fault_unit, uint64_t bit)
{
    struct datagram_unit *unit = unit_of(fault_unit);
    (void)context;
    if (bit / 8 < unit->length)
        unit->bytes[bit / 8] ^= (unsigned char)(1u << (bit % 8));
    return true;
}

static struct fault_unit *sink_copy(void *context, const struct fault_unit *fault_unit)
{
    struct datagram_flow *flow = context;
    const struct datagram_unit *unit =
        (const struct datagram_unit *)(const void *)fault_unit; /* its first member */
    uint32_t length = unit_length(unit);
    struct datagram_unit *copy = unit_take(flow, length);
    if (!copy) {
        count_drop(flow, FAULT_CAUSE_QUEUE, 1);
        return NULL;
    }
    copy->unit = unit->unit;
    copy->unit.next = NULL;
    memcpy(copy->bytes, unit->bytes, length);
    return &copy->unit;
}

static bool sink_matches(void *context, const struct fault_unit *fault_unit,
                         const struct ruleset_fault *spec, uint16_t fault_slot)
{
    struct datagram_flow *flow = context;
    struct datagram_session *session = flow->session;
    const struct match_program *program = match_set_find(session->plane->matches, fault_slot);
    const struct address *upstream = &session->upstream;
    const struct datagram_unit *unit = (const struct datagram_unit *)(const void *)fault_unit;
    (void)spec;
    return program && match_datagram(program, flow->upstream ? &session->peer : upstream,
                                     flow->upstream ? upstream : &session->peer, unit->bytes,
                                     unit_length(unit));
}

static void flow_arm(struct datagram_flow *flow)
{
    uint64_t due_ns = flow->piped ? fault_pipeline_next_due(flow->pipeline) : FAULT_NEVER;
    if (due_ns == FAULT_NEVER)
        loop_timer_cancel(&flow->timer);
    else if (!flow->timer.loop || flow->timer.due_ns != due_ns)
        loop_timer_set(flow->session->plane->loop, &flow->timer, due_ns);
}

/* What every callback ends with: all that was delivered is sent, the timer stands right, and a
 * pipeline that does nothing any more is passed by. */
static void flow_settle(struct datagram_flow *flow)
{
    flow_flush(flow);
    if (flow->pipeline_ready)
        flow->piped = fault_pipeline_is_needed(flow->pipeline) ||
                      fault_pipeline_held_bytes(flow->pipeline) > 0;
    flow_arm(flow);
}

static void flow_on_timer(struct loop_timer *timer)
{
    struct datagram_flow *flow = loop_container(timer, struct datagram_flow, timer);
    fault_pipeline_run(flow->pipeline, loop_now_ns(flow->session->plane->loop));
    flow_settle(flow);
}

void datagram_flow_init(struct datagram_flow *flow, struct datagram_session *session, bool upstream,
                        struct fault_pipeline *pipeline)
{
    *flow = (struct datagram_flow){.session = session,
                                   .upstream = upstream,
                                   .pipeline = pipeline,
                                   .timer = {.fn = flow_on_timer, .precise = true}};
}

void datagram_flow_start(struct datagram_flow *flow)
{
    const struct datagram_session *session = flow->session;
    const struct datagram_flow *other =
        &session->flows[flow->upstream ? DATAGRAM_DOWN : DATAGRAM_UP];
    struct fault_sink sink = {.deliver = sink_deliver,
                              .drop = sink_drop,
                              .touched = sink_touched,
                              .flip = sink_flip,
                              .copy = sink_copy,
                              .matches = sink_matches,
                              .context = flow};
    struct fault_flow told = {.medium = FAULT_DATAGRAM,
                              .ordinal = session->ordinal,
                              .begun_ns = session->begun_ns,
                              .begun_version = session->begun_version,
                              .states = session->plane->states,
                              .opposite = other->pipeline};
    fault_pipeline_init(flow->pipeline, &told, &sink);
    flow->pipeline_ready = true;
}

/* Takes the first out of those that wait. */
static struct datagram_unit *waiting_pop(struct datagram_session *session)
{
    struct fault_unit *unit = session->waiting;
    if (!unit)
        return NULL;
    session->waiting = unit->next;
    session->waiting_count--;
    if (!session->waiting)
        session->waiting_end = &session->waiting;
    return unit_of(unit);
}

void datagram_flow_give_up(struct datagram_flow *flow, enum fault_cause cause)
{
    struct datagram_unit *unit;
    while ((unit = waiting_pop(flow->session))) {
        count_drop(flow, cause, 1);
        unit_release(flow, unit);
    }
}

void datagram_flow_apply(struct datagram_flow *flow, uint16_t from, uint16_t to,
                         const struct fault_entry *entries, size_t count)
{
    struct datagram_plane *plane = flow->session->plane;
    flow->counters = fault_counters_link(plane->counters, from, to);
    flow->cut = fault_plan_is_cut(plane->plan, from, to);
    if (flow->cut && flow->upstream)
        datagram_flow_give_up(flow, FAULT_CAUSE_CUT);
    if (!flow->pipeline_ready)
        return;
    fault_pipeline_apply(flow->pipeline, entries, count, loop_now_ns(plane->loop));
    flow_settle(flow);
}

/* A unit with these bytes; NULL, and counted, when there is no memory for it. */
static struct datagram_unit *unit_make(struct datagram_flow *flow, const unsigned char *bytes,
                                       uint32_t length)
{
    struct datagram_unit *unit = unit_take(flow, length);
    if (unit)
        memcpy(unit->bytes, bytes, length);
    else
        count_drop(flow, FAULT_CAUSE_QUEUE, 1);
    return unit;
}

static void unit_push(struct datagram_flow *flow, struct datagram_unit *unit)
{
    fault_pipeline_push(flow->pipeline, &unit->unit, loop_arrival_ns(flow->session->plane->loop));
}

static void unit_wait(struct datagram_flow *flow, struct datagram_unit *unit)
{
    struct datagram_session *session = flow->session;
    unit->unit.next = NULL;
    *session->waiting_end = &unit->unit;
    session->waiting_end = &unit->unit.next;
    session->waiting_count++;
}

/* Each datagram of the view, by itself, into the pipeline or among those that wait. */
static void flow_hold(struct datagram_flow *flow, const struct datagram_view *view, bool waits)
{
    uint32_t offset = 0;
    do {
        uint32_t length = view->length - offset;
        length = length < view->segment ? length : view->segment;
        bool full = waits && flow->session->waiting_count == DATAGRAM_WAITING_MAX;
        struct datagram_unit *unit = NULL;
        if (full)
            count_drop(flow, FAULT_CAUSE_QUEUE, 1);
        else
            unit = unit_make(flow, view->bytes + offset, length);
        if (unit && waits)
            unit_wait(flow, unit);
        else if (unit)
            unit_push(flow, unit);
        offset += length;
    } while (offset < view->length);
}

void datagram_flow_take(struct datagram_flow *flow, const struct datagram_view *views,
                        unsigned count)
{
    bool waits = !flow->session->watch.loop;
    datagram_session_touch(flow->session);
    if (!flow->cut && !flow->piped && !waits) {
        flow_send(flow, views, count);
        return;
    }
    for (unsigned i = 0; i < count; i++) {
        if (flow->cut)
            count_drop(flow, FAULT_CAUSE_CUT, datagram_view_count(&views[i]));
        else
            flow_hold(flow, &views[i], waits);
    }
    if (flow->session->waiting)
        datagram_session_resolve(flow->session);
    flow_settle(flow);
}

void datagram_flow_resume(struct datagram_flow *flow)
{
    struct datagram_unit *unit;
    while ((unit = waiting_pop(flow->session))) {
        if (flow->piped)
            unit_push(flow, unit);
        else
            sink_deliver(flow, &unit->unit);
    }
    flow_settle(flow);
}

bool datagram_flow_is_busy(const struct datagram_flow *flow)
{
    return flow->piped && fault_pipeline_next_due(flow->pipeline) != FAULT_NEVER;
}

void datagram_flow_discard(struct datagram_flow *flow)
{
    if (flow->upstream)
        datagram_flow_give_up(flow, FAULT_CAUSE_QUEUE);
    if (flow->pipeline_ready)
        fault_pipeline_clear(flow->pipeline, FAULT_CAUSE_QUEUE);
    loop_timer_cancel(&flow->timer);
}
