/* Theory of operation
 *
 * What leaves during one callback, be it from a port or from a pipeline, is collected and sent
 * before the callback ends: one system call for all packets of a link, in their order. A frame of
 * the port is sent from where the kernel has put it. Segments of one super-packet that leave side
 * by side are sent as one again, as a receiving device would put them together. */
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
        .fate = fate->what,
        .cause = fate->cause,
        .fault_slot = fate->fault_slot};
    capture_note(plane->captures, plane->worker, &packet);
}

void packet_say(struct packet_plane *plane, uint16_t from, uint16_t to,
                const struct packet_view *view, uint16_t fault_slot)
{
    const struct packet_parts parts = {.header = view->header, .length = view->length};
    bool taken = packet_port_send(plane->nodes[to].spec->port, &parts, 1) == 1;
    struct packet_fate fate = {.from = from,
                               .to = to,
                               .arrived_ns = loop_now_ns(plane->loop),
                               .what = taken ? CAPTURE_ANSWER : CAPTURE_DROPPED,
                               .cause = FAULT_CAUSE_QUEUE,
                               .fault_slot = taken ? fault_slot : UINT16_MAX};
    packet_note(plane, view, &fate);
}

static void note_fate(const struct packet_leaving *leaving, bool taken)
{
    struct packet_link *link = leaving->link;
    struct packet_fate fate = {.from = link->from,
                               .to = link->to,
                               .arrived_ns = leaving->arrived_ns,
                               .what = taken ? CAPTURE_DELIVERED : CAPTURE_DROPPED,
                               .cause = FAULT_CAUSE_QUEUE,
                               .fault_slot = UINT16_MAX};
    const struct fault_unit *unit = leaving->first ? &leaving->first->unit : NULL;
    if (!unit)
        packet_note(link->plane, &leaving->view, &fate);
    for (; unit; unit = unit->next) { /* each, as the packet that it is on the wire */
        struct packet_view view = packet_unit_view(link->plane, packet_unit_of(unit));
        packet_note(link->plane, &view, &fate);
    }
}

/* The kernel took it, or did not. */
static void count_fate(const struct packet_leaving *leaving, bool taken)
{
    struct packet_link *link = leaving->link;
    if (taken) {
        fault_counter_add(&link->counters->units, leaving->view.segments);
        fault_counter_add(&link->counters->bytes, leaving->view.wire_bytes);
    } else {
        packet_count_drop(link, FAULT_CAUSE_QUEUE, leaving->view.segments);
    }
    if (link->plane->captures)
        note_fate(leaving, taken);
}

static void release_units(const struct packet_leaving *leaving)
{
    struct fault_unit *unit = leaving->first ? &leaving->first->unit : NULL;
    while (unit) {
        struct fault_unit *next = unit->next;
        packet_unit_release(leaving->link, packet_unit_of(unit));
        unit = next;
    }
}

/* Segments side by side are a super-packet again: new headers, and a part of the old payload. */
static struct packet_parts parts_of(struct packet_leaving *leaving)
{
    const struct packet_super *super = leaving->first ? leaving->first->super : NULL;
    if (!super)
        return (struct packet_parts){.header = leaving->view.header,
                                     .length = leaving->view.length};
    struct packet_parts parts = {.header = &leaving->headers.header,
                                 .length = super->segmenter.frame.payload};
    uint32_t first = leaving->first->index;
    segment_headers(&super->segmenter, first, leaving->count, &leaving->headers.header,
                    leaving->headers.frame);
    parts.rest = segment_payload(&super->segmenter, first, leaving->count, &parts.rest_length);
    return parts;
}

/* All of one link. */
static void send_group(struct packet_leaving *const *group, unsigned count)
{
    const struct packet_link *link = group[0]->link;
    const struct packet_port *port = link->plane->nodes[link->to].spec->port;
    struct packet_parts parts[PACKET_BATCH];
    for (unsigned i = 0; i < count; i++)
        parts[i] = parts_of(group[i]);
    for (unsigned begin = 0, end; begin < count; begin = end + 1) {
        end = begin + packet_port_send(port, parts + begin, count - begin);
        for (unsigned i = begin; i < end; i++)
            count_fate(group[i], true);
        if (end < count)
            count_fate(group[end], false);
    }
    for (unsigned i = 0; i < count; i++)
        release_units(group[i]);
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

static struct packet_leaving *add(struct packet_link *link, const struct packet_view *view,
                                  uint64_t arrived_ns)
{
    struct packet_plane *plane = link->plane;
    if (plane->leaving_count == PACKET_BATCH)
        packet_leave_flush(plane);
    struct packet_leaving *leaving = &plane->leaving[plane->leaving_count++];
    leaving->link = link;
    leaving->first = NULL;
    leaving->count = 0;
    leaving->view = *view;
    leaving->arrived_ns = arrived_ns;
    return leaving;
}

void packet_leave(struct packet_link *link, const struct packet_view *view)
{
    add(link, view, link->plane->arrived_ns);
}

/* The last one that leaves, when the unit is the segment behind it. */
static struct packet_leaving *find_run(struct packet_link *link, const struct packet_unit *unit)
{
    struct packet_plane *plane = link->plane;
    if (plane->leaving_count == 0 || !unit->super)
        return NULL;
    struct packet_leaving *last = &plane->leaving[plane->leaving_count - 1];
    bool follows = last->link == link && last->first && last->first->super == unit->super &&
                   last->first->index + last->count == unit->index;
    return follows ? last : NULL;
}

void packet_leave_unit(struct packet_link *link, struct packet_unit *unit)
{
    struct packet_leaving *leaving = find_run(link, unit);
    unit->unit.next = NULL;
    if (leaving) {
        leaving->view.segments++;
        leaving->view.wire_bytes += unit->wire_bytes;
        *leaving->end = &unit->unit;
    } else {
        struct packet_view view = {.segments = 1, .wire_bytes = unit->wire_bytes};
        if (!unit->super)
            view = packet_unit_view(link->plane, unit);
        leaving = add(link, &view, unit->arrived_ns);
        leaving->first = unit;
    }
    leaving->count++;
    leaving->end = &unit->unit.next;
}
