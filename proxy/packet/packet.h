/* The packet plane: the switch between the nodes of a lab, as one worker sees it.
 *
 * Threading as in the other planes. Each node has a port (ring.h), which one worker reads; a packet
 * from node n1 to node n2 is on the link n1->n2 of the plan, and the worker that reads n1's port
 * has all links from n1: their order, queues, random sequences and counters are its alone. Any
 * worker sends through any port.
 *
 * The destination is known by the Ethernet address; broadcast and multicast go to all other nodes,
 * each copy on its own link. ARP and neighbour solicitations for a node's address are answered
 * here, whatever the state of the link, so that a cut is silence and not "no route to host". On the
 * node's link to no node is counted what is for an Ethernet address that no node has (discard),
 * the frames that its port had no room for, or not for all of it (queue; a super-packet is one of
 * them), and what was at its port when the node went (queue).
 *
 * A cut drops what arrives and what is still on its way, however short it is. Packets that cross
 * links without faults that mean single packets go as they came, super-packets too; on a link with
 * one they are cut into packets of wire size first, and faults and counters see those. What is left
 * of one super-packet and leaves side by side at one moment the receiver gets as one again, as from
 * a device that puts together what it receives (GRO). Which faults these are, and what it means for
 * their statistics, is in FAULT-MODEL.md. A packet's delay is counted from when the kernel had it
 * from the sender. */
#ifndef SEVER_PACKET_PACKET_H
#define SEVER_PACKET_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/base/address.h"
#include "proxy/base/error.h"
#include "proxy/capture/capture.h"
#include "proxy/fault/counters.h"
#include "proxy/fault/plan.h"
#include "proxy/fault/states.h"
#include "proxy/io/loop.h"
#include "proxy/io/pool.h"
#include "proxy/match/match.h"
#include "proxy/packet/ring.h"

enum { PACKET_ADDRESSES_MAX = 4 };

/* One node's port. */
struct packet_port_spec {
    uint16_t node;   /* the plan's slot */
    uint64_t serial; /* another value: another device, though the node's slot is the same */
    struct packet_port *port;
    unsigned char mac[6];
    struct address addresses[PACKET_ADDRESSES_MAX]; /* hosts, port 0: ARP and NDP */
    size_t address_count;
    bool mine; /* this worker reads it; in the table of exactly one worker */
};

/* All ports of the lab; the same for every worker but for `mine`. Zero: no lab. */
struct packet_table {
    const struct packet_port_spec *ports;
    size_t port_count;
};

struct packet_options {
    struct loop *loop;               /* borrowed, like all that follows */
    struct pool *pool;               /* for packets on their way; may be shared with other planes */
    struct fault_counters *counters; /* this worker's */
    struct fault_states *states;     /* NULL: no fault shares a rate */
    uint64_t link_bytes_max;         /* held on one link; 0: 16 MiB */
    unsigned worker;                 /* its number, for captures */
};

struct packet_plane;

int packet_plane_create(const struct packet_options *options, struct packet_plane **plane,
                        struct error *error);
void packet_plane_destroy(struct packet_plane *plane); /* NULL is fine */

/* Takes over a plan, its match programs, the ports and the captures (NULL: none); all borrowed
 * until the next apply. When it returns, no packet crosses a link that the plan cuts. */
void packet_plane_apply(struct packet_plane *plane, const struct fault_plan *plan,
                        const struct match_set *matches, const struct packet_table *table,
                        struct capture_set *captures);

#endif
