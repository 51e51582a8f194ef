/* What the files of the datagram plane share. Nobody else includes this. */
#ifndef SEVER_DATAGRAM_INTERNAL_H
#define SEVER_DATAGRAM_INTERNAL_H

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "proxy/base/answer_limit.h"
#include "proxy/datagram/datagram.h"
#include "proxy/fault/pipeline.h"
#include "proxy/io/unreachable.h"

enum {
    DATAGRAM_BATCH = 32,
    DATAGRAM_BYTES_MAX = 65536,
    DATAGRAM_WAITING_MAX = 8, /* kept by a session that has no upstream address yet */
};

/* What one receive gave: a datagram, or several of one sender that the kernel has put together
 * (UDP_GRO): each of `segment` bytes, the last of what is left. */
struct datagram_view {
    unsigned char *bytes;
    uint32_t length;
    uint32_t segment; /* > 0; `length` or more: it is one datagram */
};

static inline uint64_t datagram_view_count(const struct datagram_view *view)
{
    return view->length <= view->segment ? 1 : (view->length + view->segment - 1) / view->segment;
}

/* A held datagram: a pool block, with room for headers and its bytes behind the struct. */
struct datagram_unit {
    struct fault_unit unit; /* first */
    unsigned char *bytes;   /* IP_HEADER_ROOM are free in front of them */
    uint32_t length;        /* as received; may be 0, unit.bytes then says 1 */
};

enum { DATAGRAM_UP, DATAGRAM_DOWN, DATAGRAM_FLOWS };

struct datagram_flow {
    struct datagram_session *session;
    struct fault_link_counters *counters;
    struct fault_pipeline *pipeline; /* storage; in use while `piped` */
    struct loop_timer timer;
    uint64_t charge; /* pool bytes of its units */
    bool upstream;   /* direction */
    bool pipeline_ready, piped, cut;
    bool single; /* the kernel does not take several datagrams at once here (UDP_SEGMENT) */
};

struct datagram_session {
    struct datagram_plane *plane;
    struct datagram_listener *listener;     /* NULL: on the free list */
    struct datagram_session *newer, *older; /* by last use */
    struct datagram_session *next;          /* hash chain, or the free list */
    struct address peer;
    struct address local;    /* that the peer sends to; not set: the listener's */
    struct address upstream; /* not set while its name is being looked up */
    uint64_t serial;         /* of the route, when the session began */
    uint64_t hash;
    uint64_t sources_serial;
    uint64_t ordinal;
    uint64_t begun_ns, used_ns;
    uint64_t begun_version; /* of the plan */
    uint16_t route_slot;
    uint16_t node;
    struct loop_watch watch; /* the upstream socket; not added while there is no address */
    uint32_t overflowed;     /* as the listener's */
    struct resolver_waiter waiter;
    struct fault_unit *waiting, **waiting_end; /* datagrams for it, in order */
    uint32_t waiting_count;
    struct datagram_flow flows[DATAGRAM_FLOWS];
};

struct datagram_listener {
    struct datagram_plane *plane;
    struct loop_watch watch;
    const struct route_spec *spec; /* NULL: slot not in use */
    uint64_t serial;
    struct address bound; /* an "any" address: each datagram says what it was sent to */
    uint32_t overflowed;  /* datagrams that its socket had no room for */
    bool seen;
    uint32_t session_count; /* now */
    struct answer_limit limit;
    uint32_t ordinals[ROUTE_NODE_SLOTS];
};

/* The most that comes with a datagram: what it was sent to, the size of its segments, how many had
 * no room. */
#define DATAGRAM_CONTROL_BYTES                                                                     \
    (CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(int)) +                            \
     CMSG_SPACE(sizeof(uint32_t)))

struct datagram_control {
    _Alignas(struct cmsghdr) char bytes[DATAGRAM_CONTROL_BYTES];
};

/* Storage of one batch, for recvmmsg or sendmmsg. */
struct datagram_messages {
    struct mmsghdr headers[DATAGRAM_BATCH];
    struct iovec vectors[DATAGRAM_BATCH];
    struct datagram_control controls[DATAGRAM_BATCH];
};

struct datagram_plane {
    struct loop *loop;
    struct pool *pool;
    struct resolver *resolver;
    struct descriptors *descriptors;
    struct fault_counters *counters;
    struct fault_states *states;
    uint64_t idle_ns, flow_bytes_max;
    const struct fault_plan *plan;
    const struct match_set *matches;
    const struct route_table *table;
    struct datagram_session *sessions, *free, *newest, *oldest;
    struct datagram_session **buckets;
    uint32_t bucket_mask;
    uint32_t free_count;
    struct fault_pipeline *pipelines;    /* two per session, untouched until a fault is met */
    struct datagram_listener *listeners; /* by route slot */
    uint32_t listeners_end;
    struct loop_timer idle_timer;
    struct loop_timer watch_timer; /* tries again what could not be watched */
    struct unreachable unreachable;
    _Atomic uint64_t open_count, total_count;

    /* The batch in hand. */
    struct datagram_messages receiving, sending;
    struct datagram_view views[DATAGRAM_BATCH];
    struct address peers[DATAGRAM_BATCH], locals[DATAGRAM_BATCH];
    uint32_t overflowed; /* of the socket in hand */
    unsigned char (*buffers)[DATAGRAM_BYTES_MAX];

    /* Units that the pipeline of the flow in hand has delivered; sent before the callback ends. */
    struct datagram_unit *leaving[DATAGRAM_BATCH];
    unsigned leaving_count;
};

/* What is about to come in force. */
struct datagram_change {
    const struct fault_plan *plan;
    const struct route_table *table;
};

/* plane.c */

/* Counts the bytes that have arrived for a route. direction: DATAGRAM_UP or DATAGRAM_DOWN. */
void datagram_count_received(struct datagram_plane *plane, uint16_t route_slot, int direction,
                             const struct datagram_view *views, unsigned count);
/* Whether the plan and table that are about to come in force open a link that is cut now. */
bool datagram_plane_heals(const struct datagram_plane *plane, const struct datagram_change *change,
                          uint16_t from, uint16_t to);
/* Reads what had arrived in a socket by now, and no more, by calls of `read`, which reads a batch
 * and returns how many there were. */
void datagram_plane_drain(int fd, unsigned (*read)(void *context), void *context);

/* batch.c */

/* Asks the kernel for several datagrams at once (UDP_GRO), how many it had no room for, and, of a
 * listener, for a large buffer and, when it is bound to any address, for what each datagram was
 * sent to. bound: the listener's address; NULL for other sockets. */
void datagram_socket_prepare(int fd, const struct address *bound);
/* How many datagrams the kernel has had no room for, since the socket was made. */
uint32_t datagram_socket_overflowed(int fd);
/* How many messages may be waiting in it, at most; 0: none is. */
uint32_t datagram_socket_waiting(int fd);
/* Makes the plane's message headers ready; once, before the first receive. */
void datagram_receive_prepare(struct datagram_plane *plane);
/* Reads a batch into the plane's views, peers and locals (not set when not known); how many.
 * overflowed: the socket's own, 0 for a new one. *lost: datagrams that the kernel had no room for
 * since the last receive; it says so with the next one that it had room for. */
unsigned datagram_receive(struct datagram_plane *plane, int fd, uint32_t *overflowed,
                          uint32_t *lost);

struct datagram_target {
    int fd;
    struct address *to;         /* NULL: the socket is connected */
    const struct address *from; /* NULL, or not set: the kernel chooses */
    bool *single;               /* set when the kernel takes no several datagrams at once */
};
struct datagram_sent {
    uint64_t units, bytes; /* taken by the kernel */
    uint64_t dropped;      /* datagrams that it did not take */
    uint64_t refused;      /* ICMP errors of earlier ones that it reported */
};
/* Sends every datagram of the views, in order; never waits. */
void datagram_send(struct datagram_plane *plane, const struct datagram_target *target,
                   const struct datagram_view *views, unsigned count, struct datagram_sent *sent);

/* session.c */

/* The session of this peer on this listener, or NULL. */
struct datagram_session *datagram_session_find(struct datagram_listener *listener,
                                               const struct address *peer);
/* A new one; NULL when the table is full or the upstream socket is refused. */
struct datagram_session *datagram_session_begin(struct datagram_listener *listener,
                                                const struct address *peer,
                                                const struct address *local);
void datagram_session_end(struct datagram_session *session);
void datagram_session_apply(struct datagram_session *session);
/* Before an apply: what came from the upstream over a link that this heals is judged by the cut. */
void datagram_session_drain(struct datagram_session *session, const struct datagram_change *change);
void datagram_session_touch(struct datagram_session *session); /* it is in use now */
/* Looks the upstream's name up, unless that is going on. */
void datagram_session_resolve(struct datagram_session *session);

/* flow.c */

void datagram_flow_init(struct datagram_flow *flow, struct datagram_session *session, bool upstream,
                        struct fault_pipeline *pipeline);
/* Makes its pipeline ready: for both flows of a session, when either meets its first fault. */
void datagram_flow_start(struct datagram_flow *flow);
/* Faults on the link and the route, from now on. entries: the chain, borrowed for the call. */
void datagram_flow_apply(struct datagram_flow *flow, uint16_t from, uint16_t to,
                         const struct fault_entry *entries, size_t count);
/* Sends, holds or drops what has arrived on this flow's side. */
void datagram_flow_take(struct datagram_flow *flow, const struct datagram_view *views,
                        unsigned count);
/* The session has its upstream socket now: lets go what waited for it, as if it arrived now. */
void datagram_flow_resume(struct datagram_flow *flow);
/* It gets none: drops what waited for it. */
void datagram_flow_give_up(struct datagram_flow *flow, enum fault_cause cause);
/* Whether it holds something that will leave by itself. */
bool datagram_flow_is_busy(const struct datagram_flow *flow);
void datagram_flow_discard(struct datagram_flow *flow);

#endif
