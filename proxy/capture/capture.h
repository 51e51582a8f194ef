/* Captures: what crossed a lab, each packet with what became of it.
 *
 * Theory of operation. A capture means a node, a link or the whole lab, with a filter in libpcap's
 * language. The packet plane notes each packet when its fate is known; for each capture that means
 * it, its first bytes are copied into a bounded ring of that worker, without a lock and without
 * waiting: what finds no room is counted and told in the file. The control thread reads the rings
 * and writes pcapng, one interface for each node, with the packet's fate as its comment
 * ("n1->n2 delivered after 80.012 ms", "n1->n2 dropped: loss, by fault wan-loss"). */
#ifndef SEVER_CAPTURE_CAPTURE_H
#define SEVER_CAPTURE_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/base/error.h"
#include "proxy/fault/counters.h"
#include "proxy/fault/plan.h"
#include "proxy/match/match.h"

enum { CAPTURE_MAX = 8, CAPTURE_SNAPLEN_DEFAULT = 65549 };

/* A packet whose fate is known. */
struct capture_packet {
    uint16_t from, to;          /* plan slots; FAULT_NO_NODE: to no node */
    const unsigned char *bytes; /* from the Ethernet header on */
    uint32_t length;
    bool checksum_missing; /* the transport checksum is left to the device (offload) */
    uint16_t checksum_start, checksum_offset; /* then: where it goes, as in virtio_net_hdr */
    uint64_t arrived_ns, left_ns;             /* monotonic; left_ns also of a drop */
    bool delivered;
    enum fault_cause cause; /* of a drop */
    uint16_t fault_slot;    /* that dropped it, or UINT16_MAX */
};

/* Those in force, published to the workers like a plan. NULL is an empty set. */
struct capture_set;

/* Any worker, of its own number; only while it is on a publication that has the set. */
void capture_note(struct capture_set *set, unsigned worker, const struct capture_packet *packet);

#endif
