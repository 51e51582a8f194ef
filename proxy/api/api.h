/* The HTTP control API (proxy/doc/API.md) on the control thread.
 *
 * The api knows no worker and no socket of the data plane: it reads and changes rulesets through
 * struct api_backend, which the daemon provides. All calls happen on the control thread, inside
 * api_run. */
#ifndef SEVER_API_API_H
#define SEVER_API_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/base/address.h"
#include "proxy/base/error.h"
#include "proxy/fault/ruleset.h"
#include "proxy/wire/lab.h"

enum { API_CHECKS_MAX = 32, API_CHECK_FOUND_MAX = 192, API_NEWS_MAX = 256 };

/* Sums over all workers since the thing was set. */
struct api_link_state {
    uint64_t units, bytes;
    uint64_t dropped_cut, dropped_loss, dropped_queue, dropped_reject, dropped_discard;
    uint64_t held_bytes, held_connections, connections, refused;
    /* Rejected packets of a lab whose senders were not told, for there were too many: by TCP RST,
     * by ICMP. */
    uint64_t untold_reset, untold_unreachable;
};

/* By direction: 0 upstream (client to server), 1 downstream. Sums since the route was set; received
 * is what peers sent, sent what the other side was given, dropped what it never will be given (of
 * streams). What is left is on its way. */
struct api_route_state {
    uint64_t received_bytes[2], sent_bytes[2], dropped_bytes[2];
    uint64_t connections, ended; /* or sessions; ended: of these */
    uint64_t untold;             /* rejected datagrams whose senders were not told: too many */
    bool refusing;               /* the kernel refuses all its connections: nobody counts them */
};

enum { API_LATENESS_BUCKETS = 32 }; /* bucket i: below 2^(i+1) ns, and not in one before */

struct api_status {
    uint64_t uptime_ns;
    unsigned workers;
    uint64_t connections_open, connections_total;
    uint64_t sessions_open, sessions_total;
    uint64_t buffer_bytes;         /* in use for what is on its way */
    const char *cut_tcp, *cut_udp; /* what a cut does on such routes */
    const char *cut_lab;           /* and in the lab; NULL: there is none */
    size_t lab_nodes;
    bool loss_tcp; /* whether loss does anything on TCP routes */
    const char *clock_library, *clock_directory;
    uint64_t lateness_count, lateness_p50_ns, lateness_p99_ns, lateness_p999_ns;
    uint64_t lateness_sum_ns, lateness_buckets[API_LATENESS_BUCKETS];
};

/* One thing that this machine allows or not. Texts are static but for `found`. */
struct api_check {
    const char *name;
    bool ok;
    bool needed; /* severd's own work needs it; without the others some feature is missing */
    char found[API_CHECK_FOUND_MAX];
    const char *means;  /* what follows from it, for what severd can do */
    const char *advice; /* what to do when it isn't ok; "" when nothing can or need be done */
};

enum api_lab_verb {
    API_LAB_UP,
    API_LAB_DOWN,
    API_LAB_ADD_NODE,
    API_LAB_REMOVE_NODE,
    API_LAB_ADD_PORT,
    API_LAB_REMOVE_PORT,
};

/* A change of the lab: what is asked for, and what has come of it. */
struct api_lab_change {
    enum api_lab_verb verb;
    struct wire_lab_wanted wanted; /* up */
    struct wire_lab_member member; /* add_node */
    char name[RULESET_NAME_MAX];   /* remove_node */
    struct wire_lab_port port;     /* add_port, and then its `listen` is the address really bound;
                                      remove_port: `listen` */
    char by[RULESET_NAME_MAX];
    struct wire_lab_node node; /* add_node: what it has become */
    int result;                /* 0, or -errno with error */
    struct error error;
};

enum api_lab_event { API_LAB_NOTHING, API_LAB_STEP, API_LAB_NEWS, API_LAB_ENDED };

/* The lab. Each change of its nodes is one change of the ruleset, all or nothing. It takes some
 * milliseconds a node, and seconds when the machine is slow, so it is begun, and ends some time
 * later; the lab does what concerns the control thread in steps. */
struct api_lab {
    void (*get)(void *context, struct wire_lab *lab);
    bool (*has_node)(void *context, const char *name);
    /* One change at a time: the one begun before has ended. Copied. 0, or what it would end with at
     * once: -EEXIST: it is up, or the node is there. -EINVAL, place "subnet", "nodes[2]", ...;
     * -EPERM: not on this machine, with what to do about it. -ENOENT: no lab, or no such node or
     * port. The first port adds the gateway, a node. */
    int (*begin)(void *context, const struct api_lab_change *change, struct error *error);
    /* Readable when there is a step to do, the same as long as the context; whether there is one;
     * and doing it. A step may change the ruleset, once. API_LAB_NEWS: something has happened
     * unasked, written to text. API_LAB_ENDED: the change begun has. */
    int (*poll_fd)(void *context);
    bool (*waits)(void *context);
    enum api_lab_event (*step)(void *context, char text[API_NEWS_MAX]);
    /* The change that has ended, until the next is begun. */
    const struct api_lab_change *(*ended)(void *context);
    /* Writes the TCP connections that the nodes have, WIRE_LAB_CONNECTIONS_MAX at most; *more: how
     * many it left out. */
    int (*connections)(void *context, struct wire_lab_connection *list, size_t *count, size_t *more,
                       struct error *error);
};

struct capture; /* one capture, the backend's */

/* What is captured: the whole lab when node and link are not asked for. */
struct api_capture_spec {
    const char *node;                /* NULL: not one node */
    const struct ruleset_link *link; /* NULL: not one link */
    bool both_ways;                  /* of the link */
    const char *filter;              /* "": none */
    uint32_t snaplen;                /* 0: the default */
};

enum {
    API_CAPTURE_BYTES = 1 << 17, /* to read at once: room for any packet */
};

/* Captures of the lab's packets, as pcapng. */
struct api_captures {
    /* -ENOENT: no lab, no such node (place "node" or "link"); -EINVAL: place "filter", "snaplen";
     * -EBUSY: too many. */
    int (*open)(void *context, const struct api_capture_spec *spec, struct capture **capture,
                struct error *error);
    void (*close)(void *context, struct capture *capture);
    /* Whole blocks of the file, in a buffer of API_CAPTURE_BYTES; 0: nothing now. */
    size_t (*read)(void *context, struct capture *capture, uint64_t now_ns, void *buffer);
    /* When there is something to read; UINT64_MAX: when wake_fd has been readable. */
    uint64_t (*due_ns)(void *context, struct capture *capture);
    bool (*is_over)(void *context, const struct capture *capture);
    /* No more will come: all are over as soon as they were read. */
    void (*end_all)(void *context);
    int (*wake_fd)(void *context);
    void (*take_wake)(void *context);
};

struct api_backend {
    void *context;
    /* The ruleset in force; valid until the next change. */
    const struct ruleset *(*current)(void *context);
    /* Checks `next` (version as copied from current), puts it in force on every worker, and returns
     * 0 only then, with its version raised by one. Faults and partitions that are in force already
     * and the same keep their set_at_ns and set_by; those of all others are filled in, set_by from
     * `by`, whatever `next` has there. On failure nothing has changed: -EINVAL, -EEXIST,
     * -EADDRINUSE, ... `next` is copied. */
    int (*change)(void *context, const struct ruleset *next, const char *by, struct error *error);
    void (*link_state)(void *context, const char *from, const char *to, struct api_link_state *out);
    uint64_t (*fault_touched)(void *context, const char *fault);
    /* What the fault does where it is placed, for people ("all routes", "udp routes only: ...");
     * valid until the next call. */
    const char *(*fault_applied)(void *context, const struct ruleset_fault *fault);
    /* The address a route listens on ("" when it does not), buffer ADDRESS_TEXT_MAX. */
    const char *(*route_listening)(void *context, const char *route, char *buffer);
    /* Path of the node's clock page; "" when there is none. */
    const char *(*clock_page)(void *context, const char *node);
    void (*status)(void *context, struct api_status *out);
    void (*route_state)(void *context, const char *route, struct api_route_state *out);
    /* Tries what this machine allows; writes at most API_CHECKS_MAX checks and returns how many.
     * Takes some tenths of a second, leaves nothing behind. On a thread of its own, one at a time:
     * it reads nothing that a change changes. */
    size_t (*doctor)(void *context, struct api_check checks[]);
    struct api_lab lab; /* with the same context, as the next */
    struct api_captures captures;
};

enum {
    API_SERVERS_MAX = 8,           /* listening sockets */
    API_CONNECTIONS_MAX = 256,     /* a listening socket; one more ends the one idle for longest */
    API_BODIES_MAX = 64 << 20,     /* bytes of all bodies that are being handed in */
    API_LISTENERS_MAX = 64,        /* of GET /v1/events */
    API_LISTENER_EVENTS_MAX = 256, /* unsent; one more and the listener is dropped */
};

struct api;

/* Starts serving on the listening sockets (made by the caller with socket_listen; ownership passes
 * on success). backend: copied, its context stays the caller's. -EINVAL for no
 * socket or more than API_SERVERS_MAX, other -errno when libmicrohttpd refuses. */
int api_create(const struct api_backend *backend, const int *listeners, size_t listener_count,
               struct api **api, struct error *error);

struct api_options {
    /* What every request to a TCP socket has to carry, as a bearer token or as the password of
     * basic authentication; "": none. 401 otherwise. A unix socket has its file's permissions
     * instead. */
    const char *token;
    bool any_host;        /* Host need not be a loopback name: a token protects, or nothing shall */
    bool proxy_metrics;   /* GET /metrics has toxiproxy_proxy_* */
    bool runtime_metrics; /* ... and process_* */
};
/* Before the first api_run; copied. Without it there is no token, and Host must be loopback. */
void api_configure(struct api *api, const struct api_options *options);
void api_destroy(struct api *api); /* closes the listening sockets too; NULL is fine */

/* Nesting in the caller's loop: when any of these descriptors is readable, or the deadline has
 * passed, call api_run. The deadline changes with every api_run and api_note_change: ask again.
 * Returns how many were written (at most size). */
size_t api_poll_fds(const struct api *api, int *fds, size_t size);
uint64_t api_deadline_ns(const struct api *api, uint64_t now_ns); /* UINT64_MAX: none */
void api_run(struct api *api, uint64_t now_ns);

/* A change came into force by another way than the API (for example SIGHUP): tells listeners. */
void api_note_change(struct api *api, const struct ruleset *before, const struct ruleset *after,
                     const char *by);

#endif
