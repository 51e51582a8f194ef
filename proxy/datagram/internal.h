/* What the files of the datagram plane share. Nobody else includes this. */
#ifndef SEVER_DATAGRAM_INTERNAL_H
#define SEVER_DATAGRAM_INTERNAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "proxy/datagram/datagram.h"
#include "proxy/fault/pipeline.h"

enum { DATAGRAM_BATCH = 32, DATAGRAM_BYTES_MAX = 65536 };

/* A held datagram: a pool block, its bytes behind the struct. */
struct datagram_unit {
    struct fault_unit unit; /* first */
    uint32_t length;        /* may be 0; unit.bytes then says 1 */
};

enum { DATAGRAM_UP, DATAGRAM_DOWN, DATAGRAM_FLOWS };

struct datagram_flow {
    struct datagram_session *session;
    struct fault_link_counters *counters;
    struct fault_pipeline *pipeline; /* storage; in use while `piped` */
    struct loop_timer timer;
    uint64_t charge; /* pool bytes in the pipeline */
    bool upstream;   /* direction */
    bool pipeline_ready, piped, cut;
};

struct datagram_session {
    struct datagram_plane *plane;
    struct datagram_listener *listener;     /* NULL: on the free list */
    struct datagram_session *newer, *older; /* by last use */
    struct datagram_session *next;          /* hash chain, or the free list */
    struct address peer;
    uint64_t serial; /* of the route, when the session began */
    uint64_t hash;
    uint64_t sources_serial;
    uint64_t flow_key;
    uint64_t used_ns;
    uint16_t node;
    struct loop_watch watch; /* the upstream socket */
    struct datagram_flow flows[DATAGRAM_FLOWS];
};

struct datagram_listener {
    struct datagram_plane *plane;
    struct loop_watch watch;
    const struct route_spec *spec; /* NULL: slot not in use */
    uint64_t serial;
    bool seen;
    uint32_t ordinals[ROUTE_NODE_SLOTS];
};

struct datagram_plane {
    struct loop *loop;
    struct pool *pool;
    struct fault_counters *counters;
    uint64_t idle_ns, flow_bytes_max;
    const struct fault_plan *plan;
    const struct route_table *table;
    struct datagram_session *sessions, *free, *newest, *oldest;
    struct datagram_session **buckets;
    uint32_t bucket_mask;
    struct fault_pipeline *pipelines;    /* two per session, untouched until a fault is met */
    struct datagram_listener *listeners; /* by route slot */
    uint32_t listeners_end;
    struct loop_timer idle_timer;
    _Atomic uint64_t open_count, total_count;
    struct mmsghdr messages[DATAGRAM_BATCH]; /* of the batch in hand */
    struct iovec vectors[DATAGRAM_BATCH];
    struct address peers[DATAGRAM_BATCH];
    unsigned char (*buffers)[DATAGRAM_BYTES_MAX];
};

/* session.c */

/* The session of this peer on this listener, or NULL. */
struct datagram_session *datagram_session_find(struct datagram_listener *listener,
                                               const struct address *peer);
/* A new one; NULL when the table is full or the upstream socket is refused. */
struct datagram_session *datagram_session_begin(struct datagram_listener *listener,
                                                const struct address *peer);
void datagram_session_end(struct datagram_session *session);
void datagram_session_apply(struct datagram_session *session);
void datagram_session_touch(struct datagram_session *session); /* it is in use now */

/* flow.c */

void datagram_flow_init(struct datagram_flow *flow, struct datagram_session *session, bool upstream,
                        struct fault_pipeline *pipeline);
void datagram_flow_apply(struct datagram_flow *flow, uint16_t from, uint16_t to);
/* Sends, holds or drops messages (msg_len and one vector each), which are of this flow's side. */
void datagram_flow_take(struct datagram_flow *flow, struct mmsghdr *messages, unsigned count);
void datagram_flow_discard(struct datagram_flow *flow);

/* plane.c */

/* Reads a batch into the plane's messages; how many. peers: whether the senders are wanted. */
unsigned datagram_plane_receive(struct datagram_plane *plane, int fd, bool peers);

#endif
