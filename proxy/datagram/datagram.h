/* The datagram plane: UDP routes of one worker.
 *
 * Threading as in the stream plane. Each client address that sends to a route has a session: a
 * connected upstream socket and a pipeline in each direction. A session ends when nothing has
 * arrived or left in it for idle_ns. A cut drops what arrives and what is still on its way (counted
 * as cut). With the session table, the buffers or a socket's send buffer full, datagrams are
 * dropped and counted (as queue). An upstream that refuses (ICMP) is counted and changes nothing
 * else.
 *
 * A route whose upstream has no address yet (route_spec.upstream.length 0: a host name that is
 * being resolved) has sessions that wait: the first few datagrams of each are kept until an apply
 * brings the address, the others dropped and counted (as queue). */
#ifndef SEVER_DATAGRAM_DATAGRAM_H
#define SEVER_DATAGRAM_DATAGRAM_H

#include <stdbool.h>
#include <stdint.h>

#include "proxy/base/error.h"
#include "proxy/fault/counters.h"
#include "proxy/fault/plan.h"
#include "proxy/fault/states.h"
#include "proxy/io/loop.h"
#include "proxy/io/pool.h"
#include "proxy/io/route.h"
#include "proxy/match/match.h"

struct datagram_plane;

struct datagram_options {            /* 0 in a field: its default */
    uint32_t sessions_max;           /* 4096; each is a descriptor */
    uint64_t idle_ns;                /* 60 s */
    uint64_t flow_bytes_max;         /* held in one direction of one session; 16 MiB */
    struct loop *loop;               /* borrowed */
    struct pool *pool;               /* borrowed; may be shared with other planes of the thread */
    struct fault_counters *counters; /* borrowed; this worker's */
    struct fault_states *states;     /* borrowed; NULL: no fault counts sessions or shares a rate */
};

int datagram_plane_create(const struct datagram_options *options, struct datagram_plane **plane,
                          struct error *error);
void datagram_plane_destroy(struct datagram_plane *plane); /* NULL is fine */

/* Takes over a plan, its match programs (NULL: none) and the routes that this plane serves; all
 * borrowed until the next apply, as in stream_plane_apply. When it returns, no datagram crosses a
 * link that the plan cuts. */
void datagram_plane_apply(struct datagram_plane *plane, const struct fault_plan *plan,
                          const struct match_set *matches, const struct route_table *table);

/* Whether a reject fault tells the sender (ICMP port unreachable, which needs CAP_NET_RAW when the
 * plane is created); else it drops without a word. Any thread. */
bool datagram_plane_can_refuse(const struct datagram_plane *plane);

/* Sessions in the table now, and ever. Any thread. */
uint64_t datagram_plane_open(const struct datagram_plane *plane);
uint64_t datagram_plane_total(const struct datagram_plane *plane);

#endif
