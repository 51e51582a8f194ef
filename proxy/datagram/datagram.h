/* The datagram plane: UDP routes of one worker.
 *
 * Threading as in the stream plane. Each client address that sends to a route has a session: a
 * connected upstream socket and a pipeline in each direction. A session ends when nothing has
 * arrived or left in it for idle_ns. A cut drops what arrives, and what a fault lets go, while it
 * is in force (counted as cut), however short it is. With the session table, the buffers or a
 * socket's send buffer full, or no descriptors left, datagrams are dropped and counted (as queue).
 * An upstream that refuses (ICMP) is counted and changes nothing else.
 *
 * A route whose upstream is a host name looks it up for each session that begins: the first few
 * datagrams wait for the answer, the others are dropped and counted (as queue); so are all when
 * there is no address, and the next datagram asks again. A session keeps the address that it got.
 */
#ifndef SEVER_DATAGRAM_DATAGRAM_H
#define SEVER_DATAGRAM_DATAGRAM_H

#include <stdbool.h>
#include <stdint.h>

#include "proxy/base/error.h"
#include "proxy/fault/counters.h"
#include "proxy/fault/plan.h"
#include "proxy/fault/states.h"
#include "proxy/io/descriptors.h"
#include "proxy/io/loop.h"
#include "proxy/io/pool.h"
#include "proxy/io/resolver.h"
#include "proxy/io/route.h"
#include "proxy/match/match.h"

struct datagram_plane;

struct datagram_options {            /* 0 in a field: its default */
    uint32_t sessions_max;           /* 8192; one route has at most half of them, and one */
    uint64_t idle_ns;                /* 60 s */
    uint64_t flow_bytes_max;         /* held in one direction of one session; 16 MiB. No more
                                        than an eighth of what is free in the pool */
    struct loop *loop;               /* borrowed */
    struct pool *pool;               /* borrowed; may be shared with other planes of the thread */
    struct fault_counters *counters; /* borrowed; this worker's */
    struct descriptors *descriptors; /* borrowed, all workers'; one a session; NULL: no bound */
    struct resolver *resolver;       /* borrowed; NULL: no host name has an address */
    struct fault_states *states;     /* borrowed; NULL: no fault counts sessions or shares a rate */
};

int datagram_plane_create(const struct datagram_options *options, struct datagram_plane **plane,
                          struct error *error);
void datagram_plane_destroy(struct datagram_plane *plane); /* NULL is fine */

/* Takes over a plan, its match programs (NULL: none) and the routes that this plane serves; all
 * borrowed until the next apply has returned: what waits in the sockets of links that it heals is
 * read first, and judged by the plan before. When it returns, no datagram crosses a
 * link that the plan cuts, and those that a fault has let go by this have been sent. */
void datagram_plane_apply(struct datagram_plane *plane, const struct fault_plan *plan,
                          const struct match_set *matches, const struct route_table *table);

/* Whether a reject fault tells the sender (ICMP port unreachable), in planes that are created with
 * the privileges that the process has now (CAP_NET_RAW); else it drops without a word. */
bool datagram_can_refuse(void);

/* Sessions in the table now, and ever. Any thread. */
uint64_t datagram_plane_open(const struct datagram_plane *plane);
uint64_t datagram_plane_total(const struct datagram_plane *plane);

#endif
