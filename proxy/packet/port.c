/* Theory of operation
 *
 * When a port has frames, a batch of them is taken, each goes to the links that it is for, and when
 * all that leaves has been sent they are given back to the kernel. One callback takes so many
 * frames and bytes and no more, for nobody else runs meanwhile. Behind a frame another one or its
 * answer is likely to come at once, so the loop lingers.
 *
 * What a port had no room for was on no link yet: it is counted on the node's link to no node. The
 * kernel is asked a moment after frames have come, so not while nothing goes on. */
#include <string.h>

#include "proxy/base/log.h"
#include "proxy/base/monotonic.h"
#include "proxy/io/socket.h"
#include "proxy/packet/internal.h"
#include "proxy/packet/neighbour.h"

enum {
    IPV6_NEXT_HEADER = FRAME_HEADER + 6,
    ICMPV6 = 58,
    ICMPV6_TYPE = FRAME_HEADER + 40,
    SOLICITATION = 135,
    ETHERTYPE = 12,
};
#define WATCH_RETRY_NS (100 * NS_PER_MS)
#define LOST_AFTER_NS (100 * NS_PER_MS)
#define AGE_MAX_NS NS_PER_S

void packet_node_count_lost(struct packet_node *node)
{
    uint64_t lost = packet_port_lost(node->spec->port);
    struct fault_counters *counters = node->plane->counters;
    fault_counter_add(
        &fault_counters_link(counters, node->slot, FAULT_NO_NODE)->dropped[FAULT_CAUSE_QUEUE],
        lost - node->lost);
    node->lost = lost;
}

void packet_lost_on_timer(struct loop_timer *timer)
{
    struct packet_plane *plane = loop_container(timer, struct packet_plane, lost_timer);
    for (unsigned i = 0; i < plane->present_count; i++)
        if (plane->nodes[plane->present[i]].spec->mine)
            packet_node_count_lost(&plane->nodes[plane->present[i]]);
}

static bool has_ethertype(const unsigned char *bytes, unsigned char high, unsigned char low)
{
    return bytes[ETHERTYPE] == high && bytes[ETHERTYPE + 1] == low;
}

/* Whether it may be a question that neighbour_answer answers; fast for what is not. */
static bool may_be_question(const struct packet_frame *frame)
{
    const unsigned char *bytes = frame->bytes;
    if (has_ethertype(bytes, 0x08, 0x06))
        return true;
    return has_ethertype(bytes, 0x86, 0xdd) && frame->length > ICMPV6_TYPE &&
           bytes[IPV6_NEXT_HEADER] == ICMPV6 && bytes[ICMPV6_TYPE] == SOLICITATION;
}

static bool has_address(const struct packet_port_spec *spec, const unsigned char *address,
                        uint32_t size)
{
    unsigned char own[16];
    for (size_t i = 0; i < spec->address_count; i++) {
        const struct address *its = &spec->addresses[i];
        bool known = size == 4 ? address_get_ipv4(its, own) : address_get_ipv6(its, own);
        if (known && memcmp(own, address, size) == 0)
            return true;
    }
    neighbour_link_local(spec->mac, own);
    return size == sizeof(own) && memcmp(own, address, size) == 0;
}

static const unsigned char *look_up(const void *context, const unsigned char *address,
                                    uint32_t size)
{
    const struct packet_plane *plane = context;
    for (unsigned i = 0; i < plane->present_count; i++) {
        const struct packet_port_spec *spec = plane->nodes[plane->present[i]].spec;
        if (has_address(spec, address, size))
            return spec->mac;
    }
    return NULL;
}

/* Answers in the place of the node that it asks for. False: it is no such question. */
static bool answer_question(struct packet_node *node, const struct packet_frame *frame)
{
    struct {
        struct virtio_net_hdr header;
        unsigned char bytes[NEIGHBOUR_ANSWER_MAX];
    } answer = {.header = {0}};
    struct packet_plane *plane = node->plane;
    uint32_t length = neighbour_answer(frame->bytes, frame->length, look_up, plane, answer.bytes);
    if (!length)
        return false;
    const struct packet_node *other = packet_node_find(plane, frame_source(answer.bytes));
    struct packet_fate fate = {.from = node->slot,
                               .to = other ? other->slot : FAULT_NO_NODE,
                               .arrived_ns = plane->arrived_ns,
                               .what = CAPTURE_ANSWERED,
                               .fault_slot = UINT16_MAX};
    struct packet_view view = {.header = frame->header,
                               .bytes = frame->bytes,
                               .length = frame->length,
                               .network = FRAME_HEADER};
    packet_note(plane, &view, &fate);
    view.header = &answer.header;
    view.bytes = answer.bytes;
    view.length = length;
    packet_say(plane, fate.to, node->slot, &view, UINT16_MAX);
    return true;
}

/* What it stands for on the wire. */
static struct packet_view view_of(const struct packet_frame *frame)
{
    struct packet_view view = {.header = frame->header,
                               .bytes = frame->bytes,
                               .length = frame->length,
                               .network = FRAME_HEADER,
                               .segments = 1};
    struct segmenter segmenter;
    uint32_t count = segment_begin(&segmenter, frame->header, frame->bytes, frame->length);
    struct frame parsed = segmenter.frame;
    if (count < 2 &&
        (has_ethertype(frame->bytes, 0x81, 0x00) || has_ethertype(frame->bytes, 0x88, 0xa8)))
        frame_parse(frame->bytes, frame->length, &parsed);
    if (parsed.network)
        view.network = parsed.network;
    view.wire_bytes = frame->length - view.network;
    if (count > 1) {
        view.segments = count;
        view.can_be_cut = parsed.payload <= PACKET_HEADERS_MAX;
        view.wire_bytes += (count - 1) * (parsed.payload - parsed.network);
    }
    return view;
}

/* What is on no link: for an address that no node has (discard), or lost at its port (queue). */
static void drop_stray(struct packet_node *node, const struct packet_view *view,
                       enum fault_cause cause)
{
    struct packet_plane *plane = node->plane;
    struct packet_fate fate = {.from = node->slot,
                               .to = FAULT_NO_NODE,
                               .arrived_ns = plane->arrived_ns,
                               .cause = cause,
                               .fault_slot = UINT16_MAX};
    fault_counter_add(
        &fault_counters_link(plane->counters, node->slot, FAULT_NO_NODE)->dropped[cause],
        view->segments);
    packet_note(plane, view, &fate);
}

/* Without its end, or without even an Ethernet header: nobody looks into it. */
static void drop_unreadable(struct packet_node *node, const struct packet_frame *frame)
{
    bool has_header = frame->length >= FRAME_HEADER;
    struct packet_view view = {.header = frame->header,
                               .bytes = frame->bytes,
                               .length = frame->length,
                               .network = has_header ? FRAME_HEADER : frame->length,
                               .segments = 1};
    drop_stray(node, &view, frame->is_partial ? FAULT_CAUSE_QUEUE : FAULT_CAUSE_DISCARD);
}

static void flood(struct packet_node *node, const struct packet_view *view)
{
    struct packet_plane *plane = node->plane;
    for (unsigned i = 0; i < plane->present_count; i++)
        if (plane->present[i] != node->slot)
            packet_link_take(packet_link_at(plane, node->slot, plane->present[i]), view);
}

static void node_take(struct packet_node *node, const struct packet_frame *frame)
{
    struct packet_plane *plane = node->plane;
    if (frame->is_partial || frame->length < FRAME_HEADER) {
        drop_unreadable(node, frame);
        return;
    }
    if (may_be_question(frame) && answer_question(node, frame))
        return;
    struct packet_view view = view_of(frame);
    if (frame_is_group(frame->bytes)) {
        flood(node, &view);
        return;
    }
    const struct packet_node *to = packet_node_find(plane, frame->bytes);
    if (to && to != node)
        packet_link_take(packet_link_at(plane, node->slot, to->slot), &view);
    else
        drop_stray(node, &view, FAULT_CAUSE_DISCARD);
}

/* When the frame came, by the loop's clock: what it has waited at the port since is part of its
 * delay. Not when the wall clock was set meanwhile, as far as one can see. */
static uint64_t arrival_of(const struct packet_frame *frame, int64_t wall_ns, uint64_t now_ns)
{
    uint64_t age_ns = (uint64_t)wall_ns - frame->arrived_ns;
    return age_ns < AGE_MAX_NS && age_ns < now_ns ? now_ns - age_ns : now_ns;
}

static void node_on_event(struct loop_watch *watch, uint32_t events)
{
    struct packet_node *node = loop_container(watch, struct packet_watch, watch)->node;
    struct packet_plane *plane = node->plane;
    struct packet_port *port = node->spec->port;
    unsigned count = packet_port_take(port, plane->frames, PACKET_BATCH);
    if (count == 0 && (events & EPOLLERR))
        socket_take_error(watch->fd); /* its device is gone, or down: not to spin on it */
    if (count == 0)
        return;
    int64_t wall_ns = wall_now_ns(); /* before the other: later is no harm, earlier would be */
    uint64_t now_ns = loop_arrival_ns(plane->loop);
    for (unsigned i = 0; i < count; i++) {
        plane->arrived_ns = arrival_of(&plane->frames[i], wall_ns, now_ns);
        node_take(node, &plane->frames[i]);
    }
    packet_plane_settle(plane);
    packet_port_release(port);
    loop_linger(plane->loop);
    if (!plane->lost_timer.loop)
        loop_timer_set(plane->loop, &plane->lost_timer, loop_now_ns(plane->loop) + LOST_AFTER_NS);
}

static void node_watch(struct packet_node *node, enum packet_ring_kind kind)
{
    struct packet_plane *plane = node->plane;
    struct packet_watch *watch = &node->watches[kind];
    watch->node = node;
    int result = loop_watch_add(plane->loop, &watch->watch, packet_port_fd(node->spec->port, kind),
                                EPOLLIN, node_on_event);
    if (result == 0)
        return;
    log_warn("cannot watch the port of node slot %u: %s; trying again", node->slot,
             strerror(-result));
    loop_timer_set(plane->loop, &plane->watch_timer, loop_now_ns(plane->loop) + WATCH_RETRY_NS);
}

void packet_watch_on_timer(struct loop_timer *timer)
{
    struct packet_plane *plane = loop_container(timer, struct packet_plane, watch_timer);
    for (unsigned i = 0; i < plane->present_count; i++) {
        struct packet_node *node = &plane->nodes[plane->present[i]];
        for (int kind = 0; kind < PACKET_RINGS && node->spec->mine; kind++)
            if (!node->watches[kind].watch.loop)
                node_watch(node, (enum packet_ring_kind)kind);
    }
}

void packet_node_open(struct packet_node *node)
{
    for (int kind = 0; kind < PACKET_RINGS && node->spec->mine; kind++)
        node_watch(node, (enum packet_ring_kind)kind);
}

static void drop_unread(struct packet_node *node, const struct packet_frame *frame)
{
    if (frame->is_partial || frame->length < FRAME_HEADER) {
        drop_unreadable(node, frame);
    } else {
        struct packet_view view = view_of(frame);
        drop_stray(node, &view, FAULT_CAUSE_QUEUE);
    }
}

/* What came until now, and some more: who goes on sending does not keep us here. */
void packet_node_drop_unread(struct packet_node *node)
{
    struct packet_plane *plane = node->plane;
    uint64_t now_ns = (uint64_t)wall_now_ns(), last_ns = 0;
    plane->arrived_ns = loop_now_ns(plane->loop);
    while (last_ns <= now_ns) {
        unsigned count = packet_port_take(node->spec->port, plane->frames, PACKET_BATCH);
        for (unsigned i = 0; i < count; i++)
            drop_unread(node, &plane->frames[i]);
        packet_port_release(node->spec->port);
        if (count == 0)
            break;
        last_ns = plane->frames[count - 1].arrived_ns;
    }
}

void packet_node_close(struct packet_node *node)
{
    for (int kind = 0; kind < PACKET_RINGS; kind++)
        loop_watch_remove(&node->watches[kind].watch);
}
