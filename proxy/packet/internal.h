/* What the files of the packet plane share. Nobody else includes this. */
#ifndef SEVER_PACKET_INTERNAL_H
#define SEVER_PACKET_INTERNAL_H

#include "proxy/base/answer_limit.h"
#include "proxy/fault/pipeline.h"
#include "proxy/packet/frame.h"
#include "proxy/packet/packet.h"
#include "proxy/packet/segment.h"

enum {
    PACKET_BATCH = 64,
    PACKET_HEADERS_MAX = 256, /* of a super-packet that is cut: Ethernet to transport */
    PACKET_MAC_BUCKETS = 4 * RULESET_NODES_MAX, /* a power of two */
};

/* A frame as it has arrived. */
struct packet_view {
    const struct virtio_net_hdr *header; /* right in front of the frame's bytes */
    const unsigned char *bytes;
    uint32_t length;
    uint32_t network;    /* where the packet begins, behind the Ethernet header */
    uint32_t segments;   /* packets of wire size that it stands for, at least 1 */
    uint32_t wire_bytes; /* of these, without their Ethernet headers */
    bool can_be_cut;     /* into these, which are several */
};

struct packet_bytes {
    struct virtio_net_hdr header;
    unsigned char frame[];
};

/* The bytes of a super-packet whose segments are held one by one: a pool block. */
struct packet_super {
    struct segmenter segmenter; /* of these bytes */
    uint32_t references;        /* units */
    struct packet_bytes bytes;
};

/* A held packet: a pool block. Its bytes are its own (behind it, or in another block), or a segment
 * of a super-packet's. */
struct packet_unit {
    struct fault_unit
        unit; /* first; its bytes are those from `network` on, 1 when there are none */
    uint64_t arrived_ns;
    uint32_t length; /* of the frame, as it arrived */
    uint32_t wire_bytes;
    uint32_t network;
    uint32_t index;             /* of the segment */
    struct packet_super *super; /* NULL: the bytes are its own */
    struct packet_bytes *own;   /* NULL: it is a segment */
};

/* From one node to another; open while both have a port and this worker reads the first one's. */
struct packet_link {
    struct packet_plane *plane; /* NULL: not open */
    struct fault_link_counters *counters;
    struct fault_pipeline *pipeline; /* storage; in use while `piped` */
    struct loop_timer timer;
    struct answer_limit limits[FAULT_ANSWERS]; /* of those that it tells of a reject */
    uint64_t charge;                           /* pool bytes of its units */
    uint64_t begun_ns, begun_version;
    uint64_t healed_ns; /* what had arrived by then has met a cut; 0: there was none */
    uint16_t from, to;
    bool pipeline_ready, piped, cut;
    bool whole;     /* no fault on it means single packets */
    bool unsettled; /* in the plane's list */
};

struct packet_watch {
    struct loop_watch watch;
    struct packet_node *node;
};

struct packet_node {
    struct packet_plane *plane;
    const struct packet_port_spec *spec; /* NULL: there is none in this slot */
    uint64_t serial;
    uint64_t lost; /* as counted */
    uint16_t slot;
    bool seen;
    struct packet_watch watches[PACKET_RINGS]; /* of a port that this worker reads */
};

/* On its way to its receiver: a frame of the port, a unit, or several units that are segments side
 * by side of one super-packet. */
struct packet_leaving {
    struct packet_link *link;
    struct packet_unit *first; /* NULL: it is a frame until the callback ends */
    struct fault_unit **end;   /* of the chain of units, by unit.next */
    uint32_t count;            /* units */
    struct packet_view view;   /* of what is not segments */
    uint64_t arrived_ns;
    struct {
        struct virtio_net_hdr header;
        unsigned char frame[PACKET_HEADERS_MAX];
    } headers; /* of segments */
};

struct packet_mac {
    uint64_t address; /* 0: not in use */
    struct packet_node *node;
};

struct packet_plane {
    struct loop *loop;
    struct pool *pool;
    struct fault_counters *counters;
    struct fault_states *states;
    struct capture_set *captures;
    uint64_t link_bytes_max;
    unsigned worker;
    const struct fault_plan *plan;
    const struct match_set *matches;
    struct packet_node nodes[RULESET_NODES_MAX]; /* by slot */
    uint16_t present[RULESET_NODES_MAX];         /* the slots in use */
    unsigned present_count;
    struct packet_mac macs[PACKET_MAC_BUCKETS];
    struct packet_link *links;        /* [from][to] */
    struct fault_pipeline *pipelines; /* the same, untouched until a fault is met */
    struct loop_timer lost_timer;     /* asks the ports what they lost */
    struct loop_timer watch_timer;    /* tries again what could not be watched */

    /* The callback in hand. */
    struct packet_frame frames[PACKET_BATCH];
    uint64_t arrived_ns; /* of the frame in hand */
    struct packet_leaving leaving[PACKET_BATCH];
    unsigned leaving_count;
    struct packet_link *unsettled[RULESET_NODES_MAX];
    unsigned unsettled_count;
    struct {
        struct virtio_net_hdr header;
        unsigned char frame[PACKET_BYTES_MAX];
    } scratch; /* where a segment is written for who must see it whole */
};

/* A packet's fate, for the captures. */
struct packet_fate {
    uint16_t from, to;
    uint64_t arrived_ns;
    enum capture_fate what;
    enum fault_cause cause;
    uint16_t fault_slot;
};

/* plane.c */

/* NULL when no node has it. mac: FRAME_MAC bytes. */
struct packet_node *packet_node_find(struct packet_plane *plane, const unsigned char *mac);

/* port.c */

void packet_node_open(struct packet_node *node);
void packet_node_close(struct packet_node *node);
/* Counts what its port had no room for. */
void packet_node_count_lost(struct packet_node *node);
/* Counts what its port still has. */
void packet_node_drop_unread(struct packet_node *node);
/* Tries again what could not be watched. */
void packet_watch_on_timer(struct loop_timer *timer);
void packet_lost_on_timer(struct loop_timer *timer);

/* link.c */

struct packet_link *packet_link_at(struct packet_plane *plane, uint16_t from, uint16_t to);
void packet_link_begin(struct packet_plane *plane, uint16_t from, uint16_t to);
void packet_link_apply(struct packet_link *link);
/* Drops what it holds. */
void packet_link_end(struct packet_link *link);
/* Sends, holds or drops a frame that has arrived. Its bytes stay until packet_plane_settle. */
void packet_link_take(struct packet_link *link, const struct packet_view *view);
/* What every callback ends with: all that was delivered is sent, timers stand right, and pipelines
 * that do nothing any more are passed by. */
void packet_plane_settle(struct packet_plane *plane);

/* unit.c */

static inline struct packet_unit *packet_unit_of(const struct fault_unit *unit)
{
    return (struct packet_unit *)(uintptr_t)unit; /* its first member */
}
/* With a copy of the frame. NULL: the link has its share of the memory, or there is none. */
struct packet_unit *packet_unit_hold(struct packet_link *link, const struct packet_view *view);
/* A copy of a super-packet, and units for its segments; a super without units is to be released. */
struct packet_super *packet_super_hold(struct packet_link *link, const struct packet_view *view);
struct packet_unit *packet_unit_hold_segment(struct packet_link *link, struct packet_super *super,
                                             uint32_t index);
struct packet_unit *packet_unit_copy(struct packet_link *link, const struct packet_unit *unit);
/* What is left of the packet: stages cut it short by lowering unit.bytes. */
uint32_t packet_unit_bytes(const struct packet_unit *unit);
/* The frame as it is now. A segment's is in the plane's scratch: until the next call. */
struct packet_view packet_unit_view(struct packet_plane *plane, const struct packet_unit *unit);
/* The unit has bytes of its own from now on, which may be changed. False: no memory. */
bool packet_unit_own(struct packet_link *link, struct packet_unit *unit);
void packet_unit_release(struct packet_link *link, struct packet_unit *unit);
void packet_super_release(struct packet_link *link, struct packet_super *super);

/* leave.c */

/* What has arrived is sent before the callback ends, from where it is. */
void packet_leave(struct packet_link *link, const struct packet_view *view);
/* The unit is sent before the callback ends, and released. */
void packet_leave_unit(struct packet_link *link, struct packet_unit *unit);
/* Sends all that leaves. */
void packet_leave_flush(struct packet_plane *plane);
/* Sends what severd says itself, in the place of the node in slot `from`, to the one in slot `to`.
 * fault_slot: whose answer it is, or UINT16_MAX. */
void packet_say(struct packet_plane *plane, uint16_t from, uint16_t to,
                const struct packet_view *view, uint16_t fault_slot);
void packet_count_drop(struct packet_link *link, enum fault_cause cause, uint64_t packets);
/* Tells the captures, if there are any. */
void packet_note(struct packet_plane *plane, const struct packet_view *view,
                 const struct packet_fate *fate);

#endif
