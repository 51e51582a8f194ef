/* Workers: threads that own a loop and the data planes, and how a new plan reaches all of them.
 *
 * Theory of operation. A publication is everything that a worker reads: the plan, its match
 * programs and its routes, the ports of the lab and the captures. It is immutable. workers_publish
 * offers it to every worker, wakes each, and waits. A worker takes it over between two callbacks of
 * its loop, and then waits until all others have done the same: while one is still on the old plan,
 * those on the new one stand still. So there is one moment before which everything that crossed did
 * so under the old plan and after which under the new: nobody can see half of a change, across
 * workers either. What takes system calls and may follow a moment later (socket filters) each
 * worker does after that, before it goes on: it settles.
 *
 * Taking over is a visit of each listener and flow. Nothing is read in it but the datagrams that
 * wait in sockets of links which it heals, and what streams may write now is left to the loop; but
 * datagrams that a fault lets go with this change are sent at
 * once, and so is the kernel told who refuses, though other workers may still be on the old plan.
 * Before it, when the old plan has a timeout fault, clients that wait to be accepted are, with
 * all that a new connection takes: the fault has met them, too.
 *
 * So a worker is away from its loop for the longest callback and visit of all workers, and for its
 * own settling. Visits are memory only, but for what is said above. Settling is some system calls
 * for each socket whose cut or loss has changed, of which putting a filter on takes longest: about
 * 1 us where filters can be loaded, 12 to 40 us elsewhere (io/filter.h). With a few connections
 * that is well below a millisecond; a cut of thousands takes as long as so many calls do. */
#ifndef SEVER_DAEMON_WORKER_H
#define SEVER_DAEMON_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/base/error.h"
#include "proxy/capture/capture.h"
#include "proxy/fault/counters.h"
#include "proxy/fault/plan.h"
#include "proxy/fault/states.h"
#include "proxy/io/loop.h"
#include "proxy/io/route.h"
#include "proxy/match/match.h"
#include "proxy/packet/packet.h"

enum { WORKERS_MAX = 64 };
#define WORKERS_POOL_BYTES (UINT64_C(1) << 30) /* the default of each worker */

/* What one worker serves. */
struct publication_share {
    struct route_table stream, datagram;
    struct packet_table packet; /* all ports of the lab, those that it reads marked */
};

struct publication {
    const struct fault_plan *plan;
    const struct match_set *matches;              /* of the plan's faults; NULL: none has one */
    struct capture_set *captures;                 /* NULL: none */
    struct publication_share shares[WORKERS_MAX]; /* as many as there are workers */
};

struct workers;

struct workers_options {
    unsigned count;              /* 1..WORKERS_MAX */
    uint64_t pool_bytes;         /* for bytes in flight, each; address space until it is used. 0:
                                    WORKERS_POOL_BYTES */
    bool filters;                /* as in stream_options */
    struct fault_states *states; /* borrowed, shared by all */
};

/* Starts the threads. -ENOMEM, -EAGAIN. */
int workers_create(const struct workers_options *options, const struct publication *first,
                   struct workers **workers, struct error *error);
/* Ends the threads, with RST on every connection. NULL is fine. */
void workers_destroy(struct workers *workers);

/* Returns when every worker is on it, and has settled (stream_plane_settle). The control thread's
 * alone. The publication before it may be freed afterwards; this one must stay until the next call
 * has returned, or workers_destroy. */
void workers_publish(struct workers *workers, const struct publication *publication);

unsigned workers_count(const struct workers *workers);
const struct fault_counters *workers_counters(const struct workers *workers, unsigned index);

struct workers_totals {
    uint64_t connections_open, connections_total, sessions_open, sessions_total;
    uint64_t buffer_bytes; /* taken from the pools */
    struct loop_lateness lateness;
};
void workers_get_totals(const struct workers *workers, struct workers_totals *totals);

#endif
