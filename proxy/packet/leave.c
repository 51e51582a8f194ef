/* Theory of operation
 *
 * What leaves during one callback, be it from a ring or from a pipeline, is collected and sent
 * before the callback ends: one system call for all packets of a link, in their order. A frame of
 * the ring is sent from where the kernel has put it. */
#include "proxy/packet/internal.h"

void packet_count_drop(struct packet_link *link, enum fault_cause cause, uint64_t packets)
{
    fault_counter_add(&link->counters->dropped[cause], packets);
}

void packet_note(struct packet_plane *plane, const struct packet_view *view,
                 const struct packet_fate *fate)
{
    if (!plane->captures)
        return;
    uint64_t now_ns = loop_now_ns(plane->loop);
    struct capture_packet packet = {
        .from = fate->from,
        .to = fate->to,
        .bytes = view->bytes,
        .length = view->length,
        .network = view->network,
        .checksum_missing = view->header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM,
        .checksum_start = view->header->csum_start,
        .checksum_offset = view->header->csum_offset,
        .arrived_ns = fate->arrived_ns,
        .left_ns = now_ns > fate->arrived_ns ? now_ns : fate->arrived_ns,
        .delivered = fate->delivered,
        .cause = fate->cause,
        .fault_slot = fate->fault_slot};
    capture_note(plane->captures, plane->worker, &packet);
}

/* The kernel took it, or did not. */
static void count_fate(const struct packet_leaving *leaving, bool taken)
{
    struct packet_link *link = leaving->link;
    struct packet_fate fate = {.from = link->from,
                               .to = link->to,
                               .arrived_ns = leaving->arrived_ns,
                               .delivered = taken,
                               .cause = FAULT_CAUSE_QUEUE,
                               .fault_slot = UINT16_MAX};
    if (taken) {
        fault_counter_add(&link->counters->units, leaving->view.segments);
        fault_counter_add(&link->counters->bytes, leaving->view.wire_bytes);
    } else {
        packet_count_drop(link, FAULT_CAUSE_QUEUE, leaving->view.segments);
    }
    packet_note(link->plane, &leaving->view, &fate);
}

/* All of one link. */
static void send_group(struct packet_leaving *const *group, unsigned count)
{
    struct packet_link *link = group[0]->link;
    const struct packet_port *port = link->plane->nodes[link->to].spec->port;
    struct packet_parts parts[PACKET_BATCH];
    for (unsigned i = 0; i < count; i++)
        parts[i] = (struct packet_parts){group[i]->view.header, group[i]->view.length};
    for (unsigned begin = 0, end; begin < count; begin = end + 1) {
        end = begin + packet_port_send(port, parts + begin, count - begin);
        for (unsigned i = begin; i < end; i++)
            count_fate(group[i], true);
        if (end < count)
            count_fate(group[end], false);
    }
    for (unsigned i = 0; i < count; i++)
        if (group[i]->unit)
            packet_unit_release(link, group[i]->unit);
}

void packet_leave_flush(struct packet_plane *plane)
{
    struct packet_leaving *group[PACKET_BATCH];
    for (unsigned first = 0; first < plane->leaving_count; first++) {
        const struct packet_link *link = plane->leaving[first].link;
        unsigned count = 0;
        if (!link)
            continue; /* went with those of its link */
        for (unsigned i = first; i < plane->leaving_count; i++)
            if (plane->leaving[i].link == link)
                group[count++] = &plane->leaving[i];
        send_group(group, count);
        for (unsigned i = 0; i < count; i++)
            group[i]->link = NULL;
    }
    plane->leaving_count = 0;
}

void packet_leave(struct packet_link *link, const struct packet_view *view,
                  struct packet_unit *unit, uint64_t arrived_ns)
{
    struct packet_plane *plane = link->plane;
    if (plane->leaving_count == PACKET_BATCH)
        packet_leave_flush(plane);
    plane->leaving[plane->leaving_count++] = (struct packet_leaving){
        .link = link, .unit = unit, .view = *view, .arrived_ns = arrived_ns};
}
