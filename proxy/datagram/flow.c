/* Theory of operation
 *
 * A flow carries one direction of a session. Without faults a batch that was received is sent with
 * one sendmmsg, straight from the buffers that it was received into. With faults each datagram is
 * copied into a pool block and pushed into the pipeline, which delivers or drops it.
 *
 * A datagram socket never makes its sender wait: what the kernel does not take is dropped and
 * counted. A pending ICMP error is reported by the next send, which has then sent nothing, so that
 * one is tried once more. */
#include <errno.h>
#include <string.h>

#include "proxy/datagram/internal.h"

static unsigned char *unit_data(struct datagram_unit *unit)
{
    return (unsigned char *)(unit + 1);
}

static void count_drop(struct datagram_flow *flow, enum fault_cause cause)
{
    fault_counter_add(&flow->counters->dropped[cause], 1);
}

static void count_sent(struct datagram_flow *flow, size_t bytes)
{
    fault_counter_add(&flow->counters->units, 1);
    fault_counter_add(&flow->counters->bytes, bytes);
    datagram_session_touch(flow->session);
}

/* Where the flow sends: the connected upstream socket, or the listener's with the peer's name. */
static int address_messages(struct datagram_flow *flow, struct mmsghdr *messages, unsigned count)
{
    struct datagram_session *session = flow->session;
    for (unsigned i = 0; i < count; i++) {
        messages[i].msg_hdr.msg_name = flow->upstream ? NULL : &session->peer.storage;
        messages[i].msg_hdr.msg_namelen = flow->upstream ? 0 : session->peer.length;
    }
    return flow->upstream ? session->watch.fd : session->listener->spec->fd;
}

static void flow_send(struct datagram_flow *flow, struct mmsghdr *messages, unsigned count)
{
    int fd = address_messages(flow, messages, count);
    bool retried = false;
    for (unsigned done = 0; done < count;) {
        int sent = sendmmsg(fd, messages + done, count - done, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent > 0) {
            for (int i = 0; i < sent; i++)
                count_sent(flow, messages[done + (unsigned)i].msg_len);
            done += (unsigned)sent;
            retried = false;
        } else if (errno == ECONNREFUSED && !retried) {
            fault_counter_add(&flow->counters->refused, 1);
            retried = true;
        } else {
            count_drop(flow, FAULT_CAUSE_QUEUE);
            done++;
            retried = false;
        }
    }
}

static void unit_release(struct datagram_flow *flow, struct datagram_unit *unit)
{
    struct pool *pool = flow->session->plane->pool;
    flow->charge -= pool_bytes_of(pool, unit);
    pool_give(pool, unit);
}

static void sink_deliver(void *context, struct fault_unit *fault_unit)
{
    struct datagram_flow *flow = context;
    struct datagram_unit *unit = loop_container(fault_unit, struct datagram_unit, unit);
    if (flow->cut) {
        count_drop(flow, FAULT_CAUSE_CUT);
    } else {
        struct iovec vector = {.iov_base = unit_data(unit), .iov_len = unit->length};
        struct mmsghdr message = {.msg_hdr = {.msg_iov = &vector, .msg_iovlen = 1}};
        flow_send(flow, &message, 1);
    }
    unit_release(flow, unit);
}

static void sink_drop(void *context, struct fault_unit *unit, enum fault_cause cause,
                      uint16_t fault_slot)
{
    struct datagram_flow *flow = context;
    (void)fault_slot;
    count_drop(flow, cause);
    unit_release(flow, loop_container(unit, struct datagram_unit, unit));
}

static void sink_touched(void *context, uint16_t fault_slot)
{
    struct datagram_flow *flow = context;
    if (fault_slot < RULESET_FAULTS_MAX)
        fault_counter_add(&flow->session->plane->counters->touched[fault_slot], 1);
}

static void flow_arm(struct datagram_flow *flow)
{
    uint64_t due_ns = flow->piped ? fault_pipeline_next_due(flow->pipeline) : FAULT_NEVER;
    if (due_ns == FAULT_NEVER)
        loop_timer_cancel(&flow->timer);
    else if (!flow->timer.loop || flow->timer.due_ns != due_ns)
        loop_timer_set(flow->session->plane->loop, &flow->timer, due_ns);
}

static void flow_on_timer(struct loop_timer *timer)
{
    struct datagram_flow *flow = loop_container(timer, struct datagram_flow, timer);
    fault_pipeline_run(flow->pipeline, loop_now_ns(flow->session->plane->loop));
    flow_arm(flow);
}

void datagram_flow_init(struct datagram_flow *flow, struct datagram_session *session, bool upstream,
                        struct fault_pipeline *pipeline)
{
    *flow = (struct datagram_flow){.session = session,
                                   .upstream = upstream,
                                   .pipeline = pipeline,
                                   .timer = {.fn = flow_on_timer}};
}

void datagram_flow_apply(struct datagram_flow *flow, uint16_t from, uint16_t to)
{
    struct datagram_session *session = flow->session;
    struct datagram_plane *plane = session->plane;
    struct fault_entry entries[FAULT_CHAIN_MAX];
    flow->counters = fault_counters_link(plane->counters, from, to);
    flow->cut = fault_plan_is_cut(plane->plan, from, to);
    size_t count =
        fault_plan_chain(plane->plan, from, to, session->listener->spec->slot,
                         flow->upstream ? RULESET_UPSTREAM : RULESET_DOWNSTREAM, entries);
    if (count == 0 && !flow->piped)
        return;
    if (!flow->pipeline_ready) {
        struct fault_sink sink = {
            .deliver = sink_deliver, .drop = sink_drop, .touched = sink_touched, .context = flow};
        struct fault_flow told = {.medium = FAULT_DATAGRAM, .ordinal = session->flow_key};
        fault_pipeline_init(flow->pipeline, &told, &sink);
        flow->pipeline_ready = true;
    }
    fault_pipeline_apply(flow->pipeline, entries, count, loop_now_ns(plane->loop));
    flow->piped = count > 0;
    flow_arm(flow);
}

static void flow_push(struct datagram_flow *flow, const unsigned char *bytes, uint32_t length)
{
    struct datagram_plane *plane = flow->session->plane;
    struct datagram_unit *unit = NULL;
    uint64_t share = (pool_limit_bytes(plane->pool) - pool_used_bytes(plane->pool)) / 8;
    if (flow->charge < share && flow->charge < plane->flow_bytes_max)
        unit = pool_take(plane->pool, sizeof(*unit) + length);
    if (!unit) {
        count_drop(flow, FAULT_CAUSE_QUEUE);
        return;
    }
    *unit = (struct datagram_unit){.unit = {.bytes = length ? length : 1, .segments = 1},
                                   .length = length};
    memcpy(unit_data(unit), bytes, length);
    flow->charge += pool_bytes_of(plane->pool, unit);
    fault_pipeline_push(flow->pipeline, &unit->unit, loop_now_ns(plane->loop));
}

void datagram_flow_take(struct datagram_flow *flow, struct mmsghdr *messages, unsigned count)
{
    if (!flow->cut && !flow->piped) {
        flow_send(flow, messages, count);
        return;
    }
    for (unsigned i = 0; i < count; i++) {
        const struct iovec *vector = messages[i].msg_hdr.msg_iov;
        if (flow->cut)
            count_drop(flow, FAULT_CAUSE_CUT);
        else
            flow_push(flow, vector->iov_base, (uint32_t)vector->iov_len);
    }
    flow_arm(flow);
}

void datagram_flow_discard(struct datagram_flow *flow)
{
    if (flow->pipeline_ready)
        fault_pipeline_clear(flow->pipeline, FAULT_CAUSE_QUEUE);
    loop_timer_cancel(&flow->timer);
}
