/* Captures: what crossed a lab, each packet with what became of it.
 *
 * Theory of operation. A capture means a node, a link or the whole lab, with a filter in libpcap's
 * language. The packet plane notes each packet when its fate is known; for each capture that means
 * it, its first bytes are copied into a bounded ring of that worker, without a lock and without
 * waiting: what finds no room is counted and told in the file. The control thread reads the rings
 * and writes pcapng, with the packet's fate as its comment:
 *
 *   n1->n2 delivered after 80.012 ms
 *   n1->n2 dropped: loss, by fault wan-loss
 *   n1->n2 dropped after 12.300 ms: cut by partition brain
 *   n1->n2 answered by severd
 *   n2->n1 severd's answer, by fault no-service
 *
 * Which names belong to the slots of a packet is decided when it is noted, by the set that its
 * worker is on; so a record means the same however late it is read.
 *
 * What the file says. Each packet is there once, in the order in which fates became known, and its
 * time is that of its fate: when it was given to the receiver, or dropped. The time before, which
 * it spent in severd, is in the comment. In a capture of one node all packets are on one interface
 * with the node's name, outbound what the node sent and inbound what was for it (also when it never
 * got there). In a capture of a link or of the whole lab there is an interface for each sender, and
 * packets are outbound on it. What severd itself says in a node's place (answers to ARP and
 * neighbour solicitations, the refusals of a reject) crosses no link and is counted on none; it is
 * in the captures of the link from that node, behind what it answers, and marked as severd's.
 *
 * A filter sees IP packets. ARP and whatever else is not IP is in captures without a filter only.
 * A checksum that the sender left to its device is completed when all of the packet is there. */
#ifndef SEVER_CAPTURE_CAPTURE_H
#define SEVER_CAPTURE_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/base/error.h"
#include "proxy/fault/counters.h"
#include "proxy/fault/plan.h"
#include "proxy/match/match.h"

enum {
    CAPTURE_MAX = 8,                 /* at once */
    CAPTURE_SNAPLEN_MIN = 14,        /* an Ethernet header */
    CAPTURE_SNAPLEN_DEFAULT = 65549, /* and the most: any packet whole */
    CAPTURE_READ_MIN = 1 << 17,      /* bytes: room for any packet */
};

/* --- workers --- */

enum capture_fate {
    CAPTURE_DROPPED,
    CAPTURE_DELIVERED,
    CAPTURE_ANSWERED, /* a question about a node's address, which severd answers */
    CAPTURE_ANSWER,   /* what severd says to node `to` in the place of node `from` */
};

/* A packet whose fate is known. */
struct capture_packet {
    uint16_t from, to;          /* plan slots; FAULT_NO_NODE: to no node */
    const unsigned char *bytes; /* from the Ethernet header on */
    uint32_t length;
    uint32_t network;      /* where the packet begins, behind the Ethernet header and its tags */
    bool checksum_missing; /* the transport checksum is left to the device (offload) */
    uint16_t checksum_start, checksum_offset; /* then: where it goes, as in virtio_net_hdr */
    uint64_t arrived_ns, left_ns;             /* monotonic; left_ns also of a drop */
    enum capture_fate fate;
    enum fault_cause cause; /* of a drop */
    uint16_t fault_slot;    /* that dropped it, or answers; or UINT16_MAX */
};

/* Those in force, published to the workers like a plan. NULL is an empty set. */
struct capture_set;

/* Any worker, of its own number; only while it is on a publication that has the set. */
void capture_note(struct capture_set *set, unsigned worker, const struct capture_packet *packet);

/* --- control thread --- */

enum capture_kind { CAPTURE_LAB, CAPTURE_NODE, CAPTURE_LINK };

struct capture_spec {
    enum capture_kind kind;
    const char *from, *to; /* node: from; link: both */
    bool both_ways;        /* of a link */
    const char *filter;    /* "": none; shorter than RULESET_MATCH_MAX */
    uint32_t snaplen;      /* CAPTURE_SNAPLEN_MIN to _DEFAULT */
};

struct captures; /* all of one severd */
struct capture;

/* ring_bytes: of each worker and capture, rounded up to a power of two; 0: 4 MiB. */
int captures_create(unsigned workers, uint64_t ring_bytes, struct captures **captures,
                    struct error *error);
void captures_destroy(struct captures *captures); /* NULL is fine */
/* Readable when a capture may have something to read that has had nothing, until captures_wake_take
 * is called. */
int captures_wake_fd(const struct captures *captures);
void captures_wake_take(struct captures *captures);
size_t captures_count(const struct captures *captures);
/* No more will come: what is in the rings can still be read, then each is over. */
void captures_end(struct captures *captures);

/* Everything is copied. The next capture_set_create has it. -EINVAL for the filter, place "filter";
 * -EBUSY for one too many; -ENOMEM. */
int capture_open(struct captures *captures, const struct capture_spec *spec,
                 struct capture **capture, struct error *error);
/* The next capture_set_create does not have it any more. */
void capture_leave(struct capture *capture);
/* No worker may be on a set that has it. */
void capture_close(struct capture *capture);

/* The set of all captures under this plan; NULL when there is none. The ruleset's arrays and the
 * plan are borrowed as long as the set. */
struct capture_set *capture_set_create(struct captures *captures, const struct ruleset *ruleset,
                                       const struct fault_plan *plan);
void capture_set_destroy(struct capture_set *set); /* NULL is fine */

/* Writes the next whole blocks of the pcapng file. size: at least CAPTURE_READ_MIN. Returns the
 * bytes written: 0 when nothing is there now. */
size_t capture_read(struct capture *capture, uint64_t now_ns, void *buffer, size_t size);
/* When capture_read will have something, on the monotonic clock; UINT64_MAX: when the wake
 * descriptor has been readable. */
uint64_t capture_due_ns(struct capture *capture);
/* It has ended, and all of it was read. */
bool capture_is_over(const struct capture *capture);

#endif
