/* What the files of the stream plane share. Nobody else includes this. */
#ifndef SEVER_STREAM_INTERNAL_H
#define SEVER_STREAM_INTERNAL_H

#include <stdbool.h>

#include "proxy/base/random.h"
#include "proxy/fault/pipeline.h"
#include "proxy/stream/stream.h"

enum {
    STREAM_SCRATCH_BYTES = 256 * 1024, /* one read */
    STREAM_BULK_BYTES = 512 * 1024,    /* one read without copying */
    STREAM_BULK_MIN = 16 * 1024,       /* the next read is without copying when this one got that */
    STREAM_CONDUITS = 24,
    STREAM_CHUNK_BYTES = 64 * 1024, /* data in one chunk */
    STREAM_CHUNKS_PER_READ = 64,
    STREAM_WRITE_VECTORS = 32,
    STREAM_WRITE_BUDGET = 512 * 1024, /* bytes of queue written in one go */
    STREAM_ACCEPTS = 64,              /* per listener and event */
};

/* A pipe that bytes of one flow wait in. */
struct stream_conduit {
    struct stream_conduit *next; /* free list */
    int fds[2];                  /* read end, write end; -1: opened when it is taken first */
    uint32_t bytes;
    bool stale; /* has bytes that nobody wants any more: replaced when it is given back */
};

/* Data, or the end of a stream. Data chunks are pool blocks with their bytes behind the struct, or
 * in a conduit; ends are embedded in the flow. An end counts as one byte in a pipeline and carries
 * none. */
enum stream_chunk_kind { STREAM_DATA, STREAM_FIN, STREAM_RESET };

struct stream_chunk {
    struct fault_unit unit; /* first; outside a pipeline unit.next links the ready queue */
    enum stream_chunk_kind kind;
    uint32_t offset, length;        /* unsent bytes: [offset, length) of the data */
    struct stream_conduit *conduit; /* that has the bytes; NULL: behind the struct */
};

/* One socket of a connection. */
struct stream_end {
    struct loop_watch watch;
    int fd;                       /* -1: gone */
    struct stream_flow *in, *out; /* the flow read from it, the flow written to it */
    struct stream_connection *connection;
};

/* One direction. */
struct stream_flow {
    struct stream_connection *connection;
    struct stream_end *source, *sink;
    struct fault_link_counters *counters;
    struct fault_pipeline *pipeline; /* storage; in use while `piped` */
    struct loop_timer timer;         /* the pipeline's next due time, or more to write */
    struct stream_chunk *ready_head, *ready_tail;
    struct stream_chunk fin, reset;
    struct stream_flow *starved_next;
    struct stream_conduit *conduit; /* being filled, or NULL */
    uint64_t charge;       /* pool and conduit bytes held, in the pipeline and in the ready queue */
    uint64_t queued_bytes; /* data bytes of the same */
    unsigned pending_seen; /* while cut: bytes known to wait in the source's receive buffer */
    uint16_t from, to;     /* link */
    bool pipeline_ready;   /* pipeline was initialised for this connection */
    bool piped;
    bool bulk; /* reads are large: without copying */
    bool cut;
    bool blocked; /* the sink takes no more for now */
    bool starved; /* wants to read, has no memory to; on the plane's list */
    bool ended;   /* FIN or RST has come: nothing more to read */
    bool reset_due;
    bool fin_sent;
};

enum stream_state {
    STREAM_FREE, /* on the free list */
    STREAM_HELD, /* accepted on a cut link, not dialled */
    STREAM_DIALLING,
    STREAM_OPEN,
};
enum { STREAM_UP, STREAM_DOWN, STREAM_FLOWS }; /* client->server, server->client */
enum { STREAM_CLIENT, STREAM_SERVER, STREAM_ENDS };

struct stream_connection {
    struct stream_plane *plane;
    struct stream_connection *next, *previous; /* live list; next also links the free list */
    enum stream_state state;
    struct stream_listener *listener;
    uint64_t serial; /* of the route, when the connection began */
    struct address peer;
    uint64_t sources_serial; /* of the table in which the peer was looked up */
    uint64_t flow_key;
    uint16_t node; /* the client */
    struct stream_end ends[STREAM_ENDS];
    struct stream_flow flows[STREAM_FLOWS];
};

struct stream_listener {
    struct stream_plane *plane;
    struct loop_watch watch;
    const struct route_spec *spec; /* NULL: slot not in use */
    uint64_t serial;
    bool seen;                           /* scratch of apply */
    uint32_t ordinals[ROUTE_NODE_SLOTS]; /* connections so far, by source node */
};

struct stream_plane {
    struct loop *loop;
    struct pool *pool;
    struct fault_counters *counters;
    uint64_t flow_bytes_max;
    const struct fault_plan *plan;
    const struct route_table *table;
    struct stream_connection *connections, *free, *live;
    struct fault_pipeline *pipelines; /* two per connection, untouched until a fault is met */
    uint32_t connections_max;
    struct stream_listener *listeners; /* by route slot */
    uint32_t listeners_end;            /* above the highest slot ever in use */
    bool accept_paused;
    struct loop_timer accept_timer; /* tries again when descriptors had run out */
    struct stream_flow *starved;
    struct loop_timer starved_timer;
    struct stream_conduit conduits[STREAM_CONDUITS], *free_conduits;
    _Atomic uint64_t open_count, total_count;
    unsigned char scratch[STREAM_SCRATCH_BYTES];
};

/* connection.c */

/* Takes an accepted socket. The table must have room (plane->free). */
void stream_connection_begin(struct stream_listener *listener, int fd, const struct address *peer);
/* Dials the upstream unless that was done or the link is cut. The connection may be gone after. */
void stream_connection_dial(struct stream_connection *connection);
/* Links, cuts and faults from the plane's plan and table. */
void stream_connection_apply(struct stream_connection *connection);
/* Both sockets closed (reset: with RST), everything held is dropped, the slot is free. */
void stream_connection_end(struct stream_connection *connection, bool reset);
/* What each socket is watched for, from the state; after every change of state. */
void stream_connection_update(struct stream_connection *connection);
/* The peer of `end` has reset it, or it failed. False: the connection is gone. */
bool stream_end_reset(struct stream_end *end);

/* flow.c: functions that return bool return false when the connection is gone. */

void stream_flow_init(struct stream_flow *flow, struct stream_connection *connection,
                      struct stream_end *source, struct stream_end *sink,
                      struct fault_pipeline *pipeline);
/* Takes the link's counters, cut and faults. Makes no system call: what follows from a change (to
 * write, to watch for something else, to count) is left to the flow's timer in this turn. */
void stream_flow_apply(struct stream_flow *flow, uint16_t from, uint16_t to, uint16_t route,
                       enum ruleset_direction direction);
bool stream_flow_wants_read(const struct stream_flow *flow);
bool stream_flow_wants_write(const struct stream_flow *flow);
bool stream_flow_read(struct stream_flow *flow);
bool stream_flow_pump(struct stream_flow *flow); /* writes what is ready */
/* Queues the end of the stream behind what is in flight. */
void stream_flow_push_end(struct stream_flow *flow, enum stream_chunk_kind kind);
void stream_flow_discard(struct stream_flow *flow); /* gives back all it holds */
/* Counts bytes that have come in while cut. */
void stream_flow_count_held(struct stream_flow *flow);

/* conduit.c */

void stream_conduits_create(struct stream_plane *plane, bool none);
void stream_conduits_destroy(struct stream_plane *plane);
/* Moves at most room bytes from the flow's source into flow->conduit, without copying. As recv: 0
 * at the end of the stream, -1 with errno; EOPNOTSUPP: no conduit, they must be copied. */
ssize_t stream_conduit_fill(struct stream_flow *flow, size_t room);
/* Sends from the front. Bytes sent, or -errno. */
ssize_t stream_conduit_send(struct stream_conduit *conduit, int fd, size_t length);
/* The first `length` bytes were sent, or (sent false) are not wanted, nor are those behind them:
 * all will be consumed. An empty conduit is given back. */
void stream_conduit_consume(struct stream_flow *flow, struct stream_conduit *conduit,
                            uint32_t length, bool sent);

/* plane.c */

void stream_plane_resume_accept(struct stream_plane *plane);
/* The flow wants to read and finds no memory: it is tried again when there may be some. */
void stream_plane_starve(struct stream_plane *plane, struct stream_flow *flow);
/* Memory was given back: flows that wait for it are tried again in this turn. */
void stream_plane_feed_starved(struct stream_plane *plane);

#endif
