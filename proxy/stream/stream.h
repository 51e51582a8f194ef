/* The stream plane: TCP (and Unix stream) routes of one worker.
 *
 * A plane belongs to one thread and its loop; every function is for that thread, except where it
 * says any thread. It accepts on the listeners that it is given, dials each connection's upstream
 * without blocking, and relays both directions through the fault pipelines of the plan in force.
 *
 * A cut is a *stall*: while link from->to is cut, the plane neither reads nor writes client->server
 * bytes (to->from: server->client); what it holds it keeps, FIN and RST included, and goes on at
 * heal. A new connection whose link is cut either way is not dialled before heal. Where the kernel
 * allows it, socket filters make it a cut cable besides: no segment is answered, nor a SYN; and
 * loss faults lose real segments.
 *
 * Faults end connections: *reset* (both peers get RST, at once) and *close* (both peers get what
 * had come through to them, then FIN; what they still send is read and thrown away for up to two
 * seconds, so that no RST overtakes the FIN). Neither crosses a cut link before its heal.
 *
 * A reject fault makes RST of new connections. Where it is sure to meet all connections of a TCP
 * route, the kernel refuses them (ECONNREFUSED) and nobody counts them; a unix socket's are
 * accepted and closed. One that is sure also resets the connections that are open when it comes
 * into force.
 *
 * At its bounds the plane pushes back: with the connection table full, or no descriptors left, it
 * stops accepting, with the buffers used up it stops reading. It never drops a byte of a stream
 * that is alive, unless a fault says so. Every byte is accounted for: what a route has received it
 * has sent, dropped or still holds (struct fault_route_counters). */
#ifndef SEVER_STREAM_STREAM_H
#define SEVER_STREAM_STREAM_H

#include <stdatomic.h>
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

/* The process must ignore SIGPIPE: splice raises it. */
struct stream_plane;

struct stream_options {              /* 0 in a field: its default */
    uint32_t connections_max;        /* 8192 */
    uint64_t flow_bytes_max;         /* in flight in one direction of one connection; half of the
                                        pool. Many flows get less each (read.c) */
    struct loop *loop;               /* borrowed */
    struct pool *pool;               /* borrowed; may be shared with other planes of the thread */
    struct fault_counters *counters; /* borrowed; this worker's */
    struct descriptors *descriptors; /* borrowed, all workers'; two a connection; NULL: no bound */
    struct fault_states *states;     /* borrowed, all workers'; NULL: no fault counts connections or
                                        shares a rate */
    struct resolver *resolver;       /* borrowed; NULL: no host name has an address */
    bool copy_only;                  /* never splice */
    bool filters;                    /* the kernel lets this process filter TCP sockets: cuts and
                                        losses are real */
};

/* A plane without routes. -ENOMEM. */
int stream_plane_create(const struct stream_options *options, struct stream_plane **plane,
                        struct error *error);
/* Ends every connection with RST. NULL is fine. */
void stream_plane_destroy(struct stream_plane *plane);

/* Takes over a plan and the routes that this plane serves. Both are borrowed until the next call
 * returns (a plane must be given others, or destroyed, before they are freed). When it returns, no
 * byte that arrives later crosses a link that the plan cuts; what was written before is the
 * kernel's, and still on its way. Connections of a route that is gone, or has another serial, end
 * with RST; routes that stay keep theirs. When the plan before has a timeout fault, clients that
 * wait are accepted first: it has met them. */
void stream_plane_apply(struct stream_plane *plane, const struct fault_plan *plan,
                        const struct route_table *table);

/* The rest of taking over a plan, once every plane of the process has: socket filters. When it
 * returns, no segment of a cut link is answered, and no SYN, where options.filters is set. (A
 * client that has connected, but waits to be accepted, has no filter of its own until then.) At
 * most some system calls for each socket whose cut or loss has changed. */
void stream_plane_settle(struct stream_plane *plane);

/* Connections in the table now, and ever. Any thread. */
uint64_t stream_plane_open(const struct stream_plane *plane);
uint64_t stream_plane_total(const struct stream_plane *plane);

#endif
