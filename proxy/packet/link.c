/* Theory of operation
 *
 * A link carries what one node sends to another. Without faults a frame is sent straight from the
 * ring. With faults it is copied into a pool block and pushed into the pipeline, which delivers or
 * drops it. A super-packet is held whole while no fault on the link means single packets, and cut
 * into packets of wire size otherwise, so that loss, order and size are those of real packets.
 *
 * What faults see as a packet's bytes begins behind the Ethernet header: rates count those, and
 * corrupt flips and truncate cuts among them. A checksum that is left to the device is completed
 * before either, for otherwise the receiver would never notice; with `repair` checksums and lengths
 * are made right when the packet leaves.
 *
 * A cut may be over before anybody has looked at what arrived during it, or was held: so a link
 * remembers when it was healed, and what had arrived by then is dropped as it would have been.
 *
 * Each packet that has arrived, and each copy that a fault asked for, is counted once: as
 * delivered, or as dropped by cause. A super-packet counts as the packets that it stands for. */
#include <netinet/in.h>

#include "proxy/packet/answer.h"
#include "proxy/packet/checksum.h"
#include "proxy/packet/internal.h"
#include "proxy/packet/repair.h"

static void drop_view(struct packet_link *link, const struct packet_view *view,
                      enum fault_cause cause)
{
    struct packet_fate fate = {.from = link->from,
                               .to = link->to,
                               .arrived_ns = link->plane->arrived_ns,
                               .cause = cause,
                               .fault_slot = UINT16_MAX};
    packet_count_drop(link, cause, view->segments);
    packet_note(link->plane, view, &fate);
}

/* The sink of the pipeline. */

static void drop_unit(struct packet_link *link, struct packet_unit *unit, enum fault_cause cause,
                      uint16_t fault_slot)
{
    packet_count_drop(link, cause, unit->unit.segments);
    if (link->plane->captures) {
        struct packet_view view = packet_unit_view(link->plane, unit);
        struct packet_fate fate = {.from = link->from,
                                   .to = link->to,
                                   .arrived_ns = unit->arrived_ns,
                                   .cause = cause,
                                   .fault_slot = fault_slot};
        packet_note(link->plane, &view, &fate);
    }
    packet_unit_release(link, unit);
}

/* Bytes that may be changed, with their checksum. False: no memory, or it is a super-packet that
 * can't be cut. */
static bool unit_complete(struct packet_link *link, struct packet_unit *unit)
{
    return packet_unit_own(link, unit) && unit->own->header.gso_type == VIRTIO_NET_HDR_GSO_NONE &&
           checksum_complete(&unit->own->header, unit->own->frame, unit->length);
}

static void sink_deliver(void *context, struct fault_unit *fault_unit)
{
    struct packet_link *link = context;
    struct packet_unit *unit = packet_unit_of(fault_unit);
    bool is_short = packet_unit_bytes(unit) < unit->length - unit->network;
    if (link->cut || unit->arrived_ns < link->healed_ns) {
        drop_unit(link, unit, FAULT_CAUSE_CUT, UINT16_MAX);
        return;
    }
    if (is_short && !unit_complete(link, unit)) {
        drop_unit(link, unit, FAULT_CAUSE_QUEUE, UINT16_MAX);
        return;
    }
    if (fault_unit->repair && unit->own) /* what was changed has bytes of its own */
        repair_packet(unit->own->frame, unit->length, unit->network + packet_unit_bytes(unit));
    packet_leave_unit(link, unit);
}

/* Says it in the receiver's place, unless the way back is cut, or there are too many. */
static void tell_sender(struct packet_link *link, enum fault_answer kind,
                        const struct packet_view *answer, uint16_t fault_slot)
{
    struct packet_plane *plane = link->plane;
    if (fault_plan_is_cut(plane->plan, link->to, link->from))
        return;
    unsigned burst = kind == FAULT_ANSWER_RESET ? ANSWER_LIMIT_RESETS : ANSWER_LIMIT_BURST;
    if (answer_limit_allow(&link->limits[kind], burst, loop_now_ns(plane->loop)))
        packet_say(plane, link->to, link->from, answer, fault_slot);
    else
        fault_counter_add(&link->counters->untold[kind], 1);
}

/* Drops it, and tells the sender. */
static void reject_unit(struct packet_link *link, struct packet_unit *unit, uint16_t fault_slot)
{
    struct {
        struct virtio_net_hdr header;
        unsigned char frame[ANSWER_BYTES_MAX];
    } answer = {.header = {0}};
    struct packet_view view = packet_unit_view(link->plane, unit);
    struct frame frame;
    frame_parse(view.bytes, view.length, &frame);
    view = (struct packet_view){.header = &answer.header,
                                .bytes = answer.frame,
                                .length = answer_reject(view.bytes, &frame, answer.frame),
                                .network = frame.network};
    drop_unit(link, unit, FAULT_CAUSE_REJECT, fault_slot);
    if (view.length)
        tell_sender(link,
                    frame.protocol == IPPROTO_TCP ? FAULT_ANSWER_RESET : FAULT_ANSWER_UNREACHABLE,
                    &view, fault_slot);
}

static void sink_drop(void *context, struct fault_unit *fault_unit, enum fault_cause cause,
                      uint16_t fault_slot)
{
    struct packet_link *link = context;
    if (cause == FAULT_CAUSE_REJECT)
        reject_unit(link, packet_unit_of(fault_unit), fault_slot);
    else
        drop_unit(link, packet_unit_of(fault_unit), cause, fault_slot);
}

static void sink_touched(void *context, uint16_t fault_slot)
{
    struct packet_link *link = context;
    if (fault_slot < RULESET_FAULTS_MAX)
        fault_counter_add(&link->plane->counters->touched[fault_slot], 1);
}

static bool sink_flip(void *context, struct fault_unit *fault_unit, uint64_t bit)
{
    struct packet_unit *unit = packet_unit_of(fault_unit);
    uint64_t at = unit->network + bit / 8;
    if (at >= unit->length)
        return true; /* it has no bytes */
    if (!unit_complete(context, unit))
        return false;
    unit->own->frame[at] ^= (unsigned char)(1u << (bit % 8));
    return true;
}

static struct fault_unit *sink_copy(void *context, const struct fault_unit *fault_unit)
{
    struct packet_link *link = context;
    struct packet_unit *copy = packet_unit_copy(link, packet_unit_of(fault_unit));
    if (copy)
        return &copy->unit;
    packet_count_drop(link, FAULT_CAUSE_QUEUE, fault_unit->segments);
    return NULL;
}

static bool sink_matches(void *context, const struct fault_unit *fault_unit,
                         const struct ruleset_fault *spec, uint16_t fault_slot)
{
    struct packet_link *link = context;
    const struct match_program *program = match_set_find(link->plane->matches, fault_slot);
    struct packet_view view = packet_unit_view(link->plane, packet_unit_of(fault_unit));
    uint32_t bytes = view.length - view.network;
    struct frame frame;
    (void)spec;
    frame_parse(view.bytes, view.length, &frame);
    return program && frame_is_ip(&frame) &&
           match_packet(program, view.bytes + view.network, bytes, bytes);
}

static void link_arm(struct packet_link *link)
{
    uint64_t due_ns = link->piped ? fault_pipeline_next_due(link->pipeline) : FAULT_NEVER;
    if (due_ns == FAULT_NEVER)
        loop_timer_cancel(&link->timer);
    else if (!link->timer.loop || link->timer.due_ns != due_ns)
        loop_timer_set(link->plane->loop, &link->timer, due_ns);
}

void packet_plane_settle(struct packet_plane *plane)
{
    packet_leave_flush(plane);
    for (unsigned i = 0; i < plane->unsettled_count; i++) {
        struct packet_link *link = plane->unsettled[i];
        link->unsettled = false;
        link->piped = fault_pipeline_is_needed(link->pipeline) ||
                      fault_pipeline_held_bytes(link->pipeline) > 0;
        link_arm(link);
    }
    plane->unsettled_count = 0;
}

/* Its pipeline is about to be called. */
static void link_unsettle(struct packet_link *link)
{
    struct packet_plane *plane = link->plane;
    if (link->unsettled)
        return;
    link->unsettled = true;
    plane->unsettled[plane->unsettled_count++] = link;
}

static void link_on_timer(struct loop_timer *timer)
{
    struct packet_link *link = loop_container(timer, struct packet_link, timer);
    link_unsettle(link);
    fault_pipeline_run(link->pipeline, loop_now_ns(link->plane->loop));
    packet_plane_settle(link->plane);
}

struct packet_link *packet_link_at(struct packet_plane *plane, uint16_t from, uint16_t to)
{
    return &plane->links[from * RULESET_NODES_MAX + to];
}

void packet_link_begin(struct packet_plane *plane, uint16_t from, uint16_t to)
{
    struct packet_link *link = packet_link_at(plane, from, to);
    *link = (struct packet_link){.plane = plane,
                                 .counters = fault_counters_link(plane->counters, from, to),
                                 .pipeline = &plane->pipelines[link - plane->links],
                                 .timer = {.fn = link_on_timer, .precise = true},
                                 .begun_ns = loop_now_ns(plane->loop),
                                 .begun_version = fault_plan_version(plane->plan),
                                 .from = from,
                                 .to = to};
}

static void link_start_pipeline(struct packet_link *link)
{
    struct fault_sink sink = {.deliver = sink_deliver,
                              .drop = sink_drop,
                              .touched = sink_touched,
                              .flip = sink_flip,
                              .copy = sink_copy,
                              .matches = sink_matches,
                              .context = link};
    struct fault_flow told = {.medium = FAULT_DATAGRAM,
                              .begun_ns = link->begun_ns,
                              .begun_version = link->begun_version,
                              .states = link->plane->states};
    fault_pipeline_init(link->pipeline, &told, &sink);
    link->pipeline_ready = true;
}

/* Whether a super-packet may pass this fault as one. */
static bool keeps_whole(const struct ruleset_fault *spec)
{
    switch (spec->type) {
    case RULESET_LOSS:
    case RULESET_RATE:
    case RULESET_TRACE:
    case RULESET_CORRUPT:
    case RULESET_DUPLICATE:
    case RULESET_REORDER:
    case RULESET_TRUNCATE:
    case RULESET_REJECT:
        return false;
    case RULESET_LATENCY:
        return !spec->latency.reorder && !spec->match[0];
    case RULESET_FLAP: /* up or down for all of it */
    case RULESET_NOOP:
        return !spec->match[0];
    default:
        return true; /* for streams only */
    }
}

void packet_link_apply(struct packet_link *link)
{
    struct packet_plane *plane = link->plane;
    struct fault_entry entries[FAULT_CHAIN_MAX];
    size_t count =
        fault_plan_chain(plane->plan, link->from, link->to, FAULT_NO_ROUTE, RULESET_BOTH, entries);
    bool cut = fault_plan_is_cut(plane->plan, link->from, link->to);
    if (link->cut && !cut)
        link->healed_ns = loop_arrival_ns(plane->loop);
    link->cut = cut;
    if (count > 0 && !link->pipeline_ready)
        link_start_pipeline(link);
    if (!link->pipeline_ready)
        return;
    link_unsettle(link);
    fault_pipeline_apply(link->pipeline, entries, count, loop_now_ns(plane->loop));
    link->whole = true;
    for (size_t i = 0; i < count; i++)
        if (!link->pipeline->stages[i].idle && !keeps_whole(entries[i].spec))
            link->whole = false;
    packet_plane_settle(plane);
}

void packet_link_end(struct packet_link *link)
{
    if (link->pipeline_ready)
        fault_pipeline_clear(link->pipeline, FAULT_CAUSE_QUEUE);
    loop_timer_cancel(&link->timer);
    link->plane = NULL;
}

static void unit_push(struct packet_link *link, struct packet_unit *unit)
{
    fault_pipeline_push(link->pipeline, &unit->unit, unit->arrived_ns);
}

static void hold_whole(struct packet_link *link, const struct packet_view *view)
{
    struct packet_unit *unit = packet_unit_hold(link, view);
    if (unit)
        unit_push(link, unit);
    else
        drop_view(link, view, FAULT_CAUSE_QUEUE);
}

/* Those segments of a super-packet, from `first` on, that found no room. Captures see them as the
 * packets that they are on the wire, for so they see the others; when none found room it is one. */
static void drop_segments(struct packet_link *link, const struct packet_view *view, uint32_t first)
{
    struct packet_plane *plane = link->plane;
    struct segmenter segmenter;
    struct packet_view rest = *view;
    rest.segments -= first;
    if (first == 0 || !plane->captures) {
        drop_view(link, &rest, FAULT_CAUSE_QUEUE);
        return;
    }
    segment_begin(&segmenter, view->header, view->bytes, view->length);
    segmenter.index = first;
    rest = (struct packet_view){.header = &plane->scratch.header,
                                .bytes = plane->scratch.frame,
                                .network = view->network,
                                .segments = 1};
    while ((rest.length = segment_next(&segmenter, &plane->scratch.header, plane->scratch.frame)) >
           0)
        drop_view(link, &rest, FAULT_CAUSE_QUEUE);
}

/* Each packet that the super-packet stands for, by itself. All of them are held before the first is
 * pushed: what that makes of it must not take the bytes from under the others. */
static void hold_segments(struct packet_link *link, const struct packet_view *view)
{
    struct fault_unit *first = NULL, **end = &first;
    struct packet_super *super = packet_super_hold(link, view);
    uint32_t held = 0;
    for (; super && held < view->segments; held++) {
        struct packet_unit *unit = packet_unit_hold_segment(link, super, held);
        if (!unit)
            break;
        *end = &unit->unit;
        end = &unit->unit.next;
    }
    *end = NULL;
    if (super && !first)
        packet_super_release(link, super);
    while (first) {
        struct fault_unit *next = first->next;
        unit_push(link, packet_unit_of(first));
        first = next;
    }
    if (held < view->segments)
        drop_segments(link, view, held);
}

void packet_link_take(struct packet_link *link, const struct packet_view *view)
{
    if (link->cut || link->plane->arrived_ns < link->healed_ns) {
        drop_view(link, view, FAULT_CAUSE_CUT);
    } else if (!link->piped) {
        packet_leave(link, view);
    } else {
        link_unsettle(link);
        if (link->whole || !view->can_be_cut)
            hold_whole(link, view);
        else
            hold_segments(link, view);
    }
}
