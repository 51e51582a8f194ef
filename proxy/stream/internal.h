/* What the files of the stream plane share. Nobody else includes this. */
#ifndef SEVER_STREAM_INTERNAL_H
#define SEVER_STREAM_INTERNAL_H

#include <stdbool.h>
#include <sys/types.h>

#include "proxy/base/monotonic.h"
#include "proxy/base/random.h"
#include "proxy/fault/pipeline.h"
#include "proxy/stream/stream.h"

enum {
    STREAM_SCRATCH_BYTES = 256 * 1024, /* one read, or all reads of one event */
    STREAM_BULK_BYTES = 512 * 1024,    /* one read without copying */
    STREAM_BULK_MIN = 16 * 1024,       /* a read that got that much: the next ones are such */
    STREAM_BULK_READS = 2,             /* as many, unless one of them got so much again */
    STREAM_CONDUITS_MAX = 1024,
    STREAM_CHUNK_BYTES = 64 * 1024, /* data in one chunk */
    STREAM_CHUNKS_PER_READ = 64,    /* pieces read at one event */
    STREAM_WRITE_VECTORS = 32,
    STREAM_WRITE_BUDGET = 512 * 1024, /* bytes of queue written in one go */
    STREAM_WRITE_CALLS = 64,          /* and system calls, when pieces are small */
    STREAM_ACCEPTS = 64,              /* per listener and event */
    STREAM_BROKEN_READS = 64,         /* of an end that has been reset */
};
#define STREAM_LINGER_NS (2 * NS_PER_S) /* from a close to the end of reading */

/* A pipe that bytes of one flow wait in (conduit.c). */
struct stream_conduit {
    struct stream_conduit *next;  /* free: on one of two lists; the open ones from new to old */
    struct stream_conduit *newer; /* the other way */
    uint64_t freed_ns;            /* when it came onto that list */
    int fds[2];                   /* read end, write end; -1: opened when it is taken */
    uint32_t bytes;               /* that somebody still wants */
    bool stale; /* has bytes at its end that nobody wants: nothing more goes in, and it is closed
                   when it is given back */
};

/* Data, or the end of a stream. Data chunks are pool blocks with their bytes behind the struct, or
 * in a conduit; ends are embedded in the flow. An end counts as one byte in a pipeline and carries
 * none. */
enum stream_chunk_kind { STREAM_DATA, STREAM_FIN, STREAM_RESET };

struct stream_chunk {
    struct fault_unit unit; /* first; outside a pipeline unit.next links the ready queue */
    enum stream_chunk_kind kind;
    uint64_t number;                /* in its flow, from 1 on */
    uint32_t offset, length;        /* unsent bytes: [offset, length) of the data */
    struct stream_conduit *conduit; /* that has the bytes; NULL: behind the struct */
};

/* One socket of a connection. */
struct stream_end {
    struct loop_watch watch;
    int fd;                       /* -1: gone */
    struct stream_flow *in, *out; /* the flow read from it, the flow written to it */
    struct stream_connection *connection;
    /* filters.c: what the kernel drops of what comes in. */
    uint32_t filtered_ppb; /* 0: nothing */
    bool filtered_cut;
    bool probing, probing_prepared; /* after a cut; the latter once */
    bool inherited; /* from the listener, as it was at the handshake: not known what, if anything */
    bool tcp;
    bool small_segments;  /* were announced when it was dialled (segments.c) */
    bool broken;          /* a write has failed */
    int64_t dropped_seen; /* by the kernel's count, and counted here */
};

/* One direction. */
struct stream_flow {
    struct stream_connection *connection;
    struct stream_end *source, *sink;
    struct fault_link_counters *counters;
    struct fault_route_counters *route; /* with `way`, its direction there */
    struct fault_pipeline *pipeline;    /* storage; units cross it while `piped` */
    struct loop_timer timer;            /* the pipeline's next due time, or more to write */
    struct stream_chunk *ready_head, *ready_tail;
    struct stream_chunk fin, reset;
    struct stream_flow *starved_next;
    struct stream_conduit *conduit; /* being filled, or NULL */
    uint64_t charge;       /* pool and conduit bytes held, in the pipeline and in the ready queue */
    uint64_t queued_bytes; /* data bytes of the same */
    uint64_t filled;       /* chunks so far */
    uint64_t gap;          /* number of the first chunk that a fault has dropped; 0: none */
    unsigned pending_seen; /* while cut: bytes known to wait in the source's receive buffer */
    uint16_t from, to;     /* link */
    uint64_t loss_change_ns; /* when loss_ppb will be another one */
    uint32_t loss_ppb;       /* of what comes in from the source, by its socket's filter */
    uint16_t loss_slot;      /* of the fault that this counts for */
    uint8_t way;             /* STREAM_UP or STREAM_DOWN */
    uint8_t bulk_reads;      /* so many are without copying, if that is possible */
    bool chained;            /* the pipeline has stages */
    bool piped;              /* and units must cross them */
    bool opaque;             /* no stage looks into the bytes: it is possible */
    bool cut;
    bool blocked; /* the sink takes no more until epoll says so */
    bool starved; /* wants to read, has no memory to; on the plane's list */
    bool ended;   /* FIN or RST has come: nothing more to read */
    bool stopped; /* the last chunk that a fault lets pass has been delivered */
    bool reset_due;
    bool fin_due; /* FIN is in the ready queue, or sent */
    bool fin_sent;
};

enum stream_state {
    STREAM_FREE, /* on the free list */
    STREAM_HELD, /* accepted on a cut link or with an accept delay, not dialled */
    STREAM_DIALLING,
    STREAM_OPEN,
    STREAM_CLOSING, /* a fault ends it */
};
enum { STREAM_UP, STREAM_DOWN, STREAM_FLOWS }; /* client->server, server->client */
enum { STREAM_CLIENT, STREAM_SERVER, STREAM_ENDS };

/* What a fault wants done with a connection. */
enum stream_ending { STREAM_GOES_ON, STREAM_TO_CLOSE, STREAM_TO_RESET };

struct stream_connection {
    struct stream_plane *plane;
    struct stream_connection *next, *previous; /* live list; next also links the free list */
    enum stream_state state;
    enum stream_ending ending; /* done by the next stream_flow_pump of either flow */
    bool admitted;             /* no reject fault has refused it when it began */
    bool pipelines_ready;      /* they were initialised for this connection */
    struct stream_listener *listener;
    uint64_t serial; /* of the route, when the connection began */
    struct address peer;
    uint64_t sources_serial;          /* of the table in which the peer was looked up */
    uint64_t flow_key;                /* ordinal among the connections of its source and route */
    uint64_t begun_ns, begun_version; /* when, and under which plan */
    uint64_t dial_ns;                 /* not dialled before */
    uint16_t node;                    /* the client */
    struct resolver_waiter waiter;    /* DIALLING by name */
    uint8_t addresses_failed;         /* of the name's */
    bool addresses_left;              /* behind the one that is dialled */
    /* HELD: dial_ns. CLOSING: when to stop waiting for the peers. */
    struct loop_timer timer;
    struct stream_end ends[STREAM_ENDS];
    struct stream_flow flows[STREAM_FLOWS];
};

struct stream_listener {
    struct stream_plane *plane;
    struct loop_watch watch;
    const struct route_spec *spec; /* NULL: slot not in use */
    uint64_t serial;
    bool seen;     /* scratch of apply */
    bool refusing; /* the kernel refuses all connections */
    bool tcp;
    bool filtered, filtered_cut; /* SYNs: some are lost; some by a cut */
    bool small_segments;         /* are announced, for a loss may come */
    uint16_t loss_slot;          /* of the fault that loses SYNs */
    uint64_t filter_key[2];      /* identifies the program */
    int64_t dropped_seen;
    uint32_t ordinals[ROUTE_NODE_SLOTS]; /* connections so far, by source node */
};

struct stream_plane {
    struct loop *loop;
    struct pool *pool;
    struct fault_counters *counters;
    struct descriptors *descriptors;
    struct fault_states *states;
    struct resolver *resolver;
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
    uint64_t accept_said_ns;        /* when that was last in the log */
    struct stream_flow *starved;
    struct loop_timer starved_timer;
    struct stream_filters *filters; /* NULL: cuts are stalls only */
    struct stream_conduit conduits[STREAM_CONDUITS_MAX];
    struct stream_conduit *newest_conduit, *oldest_conduit; /* free ones with a pipe, empty */
    struct stream_conduit *closed_conduits;                 /* free ones without */
    struct loop_timer conduits_timer; /* closes the oldest; armed while there is one */
    size_t conduit_count;             /* in all */
    uint64_t conduits_refused_ns;     /* when one could not be opened */
    uint64_t conduit_bytes;           /* in all of them; they count against the pool's bound */
    _Atomic uint64_t open_count, total_count;
    unsigned char scratch[STREAM_SCRATCH_BYTES];
};

/* Functions that return bool return false when the connection is gone, unless they say something
 * else. */

/* connection.c */

/* Takes an accepted socket. The table must have room (plane->free). */
void stream_connection_begin(struct stream_listener *listener, int fd, const struct address *peer);
/* Links, cuts and faults from the plane's plan and table. */
void stream_connection_apply(struct stream_connection *connection);
/* Both sockets closed (reset: with RST), everything held is dropped, the slot is free. */
void stream_connection_end(struct stream_connection *connection, bool reset);
/* What each socket is watched for, from the state; after every change of state. */
void stream_connection_update(struct stream_connection *connection);
/* The socket is closed; the flows stay. Fine when it is gone already. */
void stream_end_close(struct stream_end *end, bool reset);
/* Watches its socket. 0 or -errno. */
int stream_end_watch(struct stream_end *end, uint32_t events);
/* The peer of `end` has reset it, or it failed. */
bool stream_end_reset(struct stream_end *end);
/* The same, found out by a write: what the peer had sent before is read first, as it would have
 * been had the event come first. */
bool stream_end_broken(struct stream_end *end);

/* dial.c */

/* Dials the upstream of a held connection unless the link is cut, the accept delay is not over, or
 * a reject fault refuses it. The connection may be gone after. */
void stream_connection_dial(struct stream_connection *connection);
/* The plan has cut the link of a connection that is DIALLING: HELD again, unless the upstream has
 * answered already. True: it is HELD. */
bool stream_connection_put_off(struct stream_connection *connection);
/* The upstream's socket has an answer. The connection may be gone after. */
void stream_connection_dialled(struct stream_connection *connection);

/* admission.c */

/* What a pipeline and the admission are told of the flow. */
struct fault_flow stream_connection_told(const struct stream_connection *connection);
/* Once, before dialling: false when it is refused, which is counted. Sets dial_ns. */
bool stream_connection_admit(struct stream_connection *connection);
/* A new plan's chain of the upstream direction: what does it do to a connection that is there? */
void stream_connection_review(struct stream_connection *connection,
                              const struct fault_entry *entries, size_t count);
/* Whether the fault refuses each and every connection that meets it. */
bool stream_fault_refuses_all(const struct ruleset_fault *fault);

/* close.c */

/* Begins what connection->ending says. The connection is CLOSING afterwards, its flows' timers are
 * armed for the rest. */
void stream_connection_close(struct stream_connection *connection);
/* Closes what has nothing more to do; ends the connection when that is both sockets. */
bool stream_connection_settle(struct stream_connection *connection);
/* Reads and throws away what the source still sends. */
bool stream_flow_drain(struct stream_flow *flow);
/* The peers have had their time. */
void stream_connection_stop_lingering(struct stream_connection *connection);

/* flow.c */

void stream_flow_init(struct stream_flow *flow, struct stream_connection *connection, uint8_t way,
                      struct stream_end *source, struct stream_end *sink);
/* Takes the link's counters, cut and faults. Makes no system call: what follows from a change (to
 * write, to watch for something else, to count) is left to the flow's timer in this turn. */
void stream_flow_apply(struct stream_flow *flow, uint16_t from, uint16_t to);
bool stream_flow_wants_read(const struct stream_flow *flow);  /* true: it does */
bool stream_flow_wants_write(const struct stream_flow *flow); /* the same */
/* Runs the flow's end if it has come, writes what is ready unless it is blocked, arms the timer. */
bool stream_flow_pump(struct stream_flow *flow);
/* Queues the end of the stream behind what is in flight. */
void stream_flow_push_end(struct stream_flow *flow, enum stream_chunk_kind kind);
/* Gives back all it holds. cause: of the drop; FAULT_CAUSES when no fault did it. */
void stream_flow_discard(struct stream_flow *flow, enum fault_cause cause);
/* Counts bytes that have come in while cut. */
void stream_flow_count_held(struct stream_flow *flow);

/* read.c */

bool stream_flow_read(struct stream_flow *flow);

/* write.c */

/* Writes from the ready queue; *more: there is more to write at once. */
bool stream_flow_write(struct stream_flow *flow, bool *more);
/* Whether a result of send or recv (-errno) means: later. */
bool stream_would_block(ssize_t result);

/* conduit.c */

/* As many as go with the limit of open files. none: there never are any. */
void stream_conduits_create(struct stream_plane *plane, bool none);
void stream_conduits_destroy(struct stream_plane *plane);
/* Closes a pipe that nobody needs: a connection needs its two descriptors. False: there is none. */
bool stream_conduits_give_back(struct stream_plane *plane);
/* Moves at most `room` bytes from the source into the flow's conduit, a new one when that is full.
 * What splice says; EOPNOTSUPP: there is no conduit, or recv is to say what there is. */
ssize_t stream_conduit_fill(struct stream_flow *flow, size_t room);
/* Moves `length` of its bytes to a socket. Bytes sent, or -errno. */
ssize_t stream_conduit_send(struct stream_conduit *conduit, int fd, size_t length);
/* So many of its bytes were sent, or else are not wanted any more, like all behind them. */
void stream_conduit_consume(struct stream_flow *flow, struct stream_conduit *conduit,
                            uint32_t length, bool sent);

/* chunk.c */

unsigned char *stream_chunk_data(struct stream_chunk *chunk);
struct stream_chunk *stream_chunk_of(struct fault_unit *unit);
/* An empty chunk with room for so many bytes, charged to the flow. NULL: no memory. */
struct stream_chunk *stream_chunk_take(struct stream_flow *flow, uint32_t room);
/* The chunk holds `length` bytes now. It may move to a smaller block. Returns it. */
struct stream_chunk *stream_chunk_fill(struct stream_flow *flow, struct stream_chunk *chunk,
                                       uint32_t length);
/* A filled chunk with a copy of the bytes. The caller has made sure that there is a block for
 * `room` (>= length) bytes, if not one of just the right size. */
struct stream_chunk *stream_chunk_copy(struct stream_flow *flow, const unsigned char *bytes,
                                       uint32_t length, uint32_t room);
/* A filled chunk of `length` bytes that the flow's conduit just got. The caller has made sure that
 * there is a block for `room` bytes, if not a small one. */
struct stream_chunk *stream_chunk_of_conduit(struct stream_flow *flow, uint32_t length,
                                             uint32_t room);
/* What is left of its bytes was not sent and never will be. Ends are left alone. */
void stream_chunk_drop(struct stream_flow *flow, struct stream_chunk *chunk,
                       enum fault_cause cause);
/* The same of the bytes from `length` on; the chunk lives. */
void stream_chunk_truncate(struct stream_flow *flow, struct stream_chunk *chunk, uint32_t length);
/* Gives the block back. */
void stream_chunk_release(struct stream_flow *flow, struct stream_chunk *chunk);
/* Bytes that were received and are not sent; cause FAULT_CAUSES: no fault's doing. */
void stream_flow_count_dropped(struct stream_flow *flow, uint64_t bytes, enum fault_cause cause);

void stream_ready_append(struct stream_flow *flow, struct stream_chunk *chunk);
struct stream_chunk *stream_ready_next(const struct stream_chunk *chunk);
void stream_ready_pop(struct stream_flow *flow);

/* listener.c */

/* Before another plan is taken: what has to happen under the one in force. */
void stream_listeners_leave_plan(struct stream_plane *plane);
/* Listeners of the table's routes, and whether they refuse. */
void stream_listeners_apply(struct stream_plane *plane);
void stream_plane_resume_accept(struct stream_plane *plane);
void stream_plane_on_accept_timer(struct loop_timer *timer);

/* filters.c */

struct stream_filters *stream_filters_create(struct stream_plane *plane); /* NULL: no memory */
void stream_filters_destroy(struct stream_filters *filters);              /* NULL is fine */
/* Sets the filter that the cut and the loss of end->in ask for. */
void stream_end_filter(struct stream_end *end);
/* Before it is closed. */
void stream_end_unfilter(struct stream_end *end);
/* Counts what the kernel has dropped; before the socket is closed. */
void stream_end_count_dropped(struct stream_end *end);
/* Leaves the socket as it was found. */
void stream_listener_unfilter(struct stream_listener *listener);

/* segments.c; for TCP */
/* Has new connections of the listener use segments of Ethernet when a loss may meet one of them, or
 * (losses: whether the plan has any) not any more; and leaves the socket as it was found. */
void stream_listener_announce(struct stream_listener *listener, bool losses);
void stream_listener_unannounce(struct stream_listener *listener);
/* The same for an end that is about to be connected. */
void stream_end_announce(struct stream_end *end);
/* The segments that losses of the end are drawn for, in bytes. */
uint32_t stream_end_segment_bytes(const struct stream_end *end);

/* plane.c */

/* The flow wants to read and finds no memory: it is tried again when there may be some. */
void stream_plane_starve(struct stream_plane *plane, struct stream_flow *flow);
void stream_plane_leave_starved(struct stream_plane *plane, struct stream_flow *flow);
/* Memory was given back: flows that wait for it are tried again in this turn. */
void stream_plane_feed_starved(struct stream_plane *plane);

#endif
