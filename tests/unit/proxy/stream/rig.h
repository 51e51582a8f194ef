/* A stream plane in this process with one route in front of one upstream listener:
 *
 *   client (node a) -> route "r" -> upstream (node b)
 *
 * One thread: the test's sockets are non-blocking, and every wait turns the plane's loop. */
#ifndef SEVER_TESTS_STREAM_RIG_H
#define SEVER_TESTS_STREAM_RIG_H

#include "tests/lib/test.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/base/monotonic.h"
#include "proxy/base/random.h"
#include "proxy/io/socket.h"
#include "proxy/stream/stream.h"

#define RIG_PATIENCE_NS (20 * NS_PER_S)

/* Whether planes only copy; set by a test's setup function. */
static bool rig_copy_only;

static inline int rig_copies(void **state)
{
    (void)state;
    rig_copy_only = true;
    return 0;
}

static inline int rig_splices(void **state)
{
    (void)state;
    rig_copy_only = false;
    return 0;
}

/* The test in both modes of the relay. */
#define rig_test_both(test)                                                                        \
    cmocka_unit_test_setup(test, rig_splices), cmocka_unit_test_setup(test, rig_copies)

struct rig {
    struct loop *loop;
    struct pool *pool;
    struct fault_counters *counters;
    struct fault_states *states;
    struct stream_plane *plane;
    struct resolver *resolver;
    struct ruleset ruleset;
    struct fault_plan *plan;
    int listener; /* the route's */
    int upstream; /* the listener behind it */
    struct address route_address, upstream_address;
    struct route_spec spec;
    struct route_table table;
    unsigned turns; /* so far */
};

struct rig_options {
    const char *listen, *upstream; /* NULL: free ports of 127.0.0.1 */
    uint32_t connections_max;
    uint64_t pool_bytes;
    uint64_t flow_bytes_max; /* 0: default */
    bool filters;            /* real cuts and losses; only where filter_allowed() */
    bool names;              /* the upstream may be a name */
};

/* A turn waits for a millisecond at most: that something comes without waiting for long is told by
 * the number of turns, which is none the greater on a busy machine. */
static inline void rig_turn(struct rig *rig)
{
    rig->turns++;
    assert_int_equal(loop_turn(rig->loop, monotonic_now_ns() + NS_PER_MS), 0);
}

#define rig_await(rig, condition)                                                                  \
    do {                                                                                           \
        uint64_t rig_deadline = monotonic_now_ns() + RIG_PATIENCE_NS;                              \
        while (!(condition)) {                                                                     \
            if (monotonic_now_ns() > rig_deadline)                                                 \
                fail_msg("waited in vain for: %s", #condition);                                    \
            rig_turn(rig);                                                                         \
        }                                                                                          \
    } while (0)

static inline void rig_turn_for(struct rig *rig, uint64_t duration_ns)
{
    uint64_t end_ns = monotonic_now_ns() + duration_ns;
    for (int i = 0; i < 4 || monotonic_now_ns() < end_ns; i++) /* on a busy machine, too */
        rig_turn(rig);
}

/* Puts rig->ruleset in force. */
static inline void rig_apply(struct rig *rig)
{
    struct fault_plan *plan = NULL;
    struct error error = {0};
    rig->ruleset.version++;
    if (ruleset_check(&rig->ruleset, &error) ||
        fault_plan_create(&rig->ruleset, rig->plan, &plan, &error))
        fail_msg("%s %s", error.place, error.message);
    rig->spec.slot = fault_plan_route_slot(plan, "r");
    if (!rig->spec.from_peer)
        rig->spec.from = fault_plan_node_slot(plan, "a");
    rig->spec.to = fault_plan_node_slot(plan, "b");
    fault_states_take(rig->states, plan, monotonic_now_ns());
    stream_plane_apply(rig->plane, plan, &rig->table);
    stream_plane_settle(rig->plane);
    fault_plan_destroy(rig->plan);
    rig->plan = plan;
}

static inline void rig_add_node(struct rig *rig, const char *name, const char *address)
{
    struct ruleset_node node = {0};
    snprintf(node.name, sizeof(node.name), "%s", name);
    if (address) {
        snprintf(node.addresses[0], sizeof(node.addresses[0]), "%s", address);
        node.address_count = 1;
    }
    ruleset_add_node(&rig->ruleset, &node);
}

static inline int rig_listen(const char *where, struct address *bound)
{
    struct address address;
    assert_int_equal(address_parse(where ? where : "127.0.0.1:0", &address, NULL), 0);
    int fd = socket_listen(&address, false, bound, NULL);
    assert_true(fd >= 0);
    return fd;
}

static inline void rig_open_with(struct rig *rig, const struct rig_options *given)
{
    char text[ADDRESS_TEXT_MAX];
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, NULL); /* as severd does: splice raises it */
    *rig = (struct rig){0};
    rig->listener = rig_listen(given->listen, &rig->route_address);
    rig->upstream = rig_listen(given->upstream, &rig->upstream_address);
    assert_int_equal(loop_create(&rig->loop, NULL), 0);
    assert_int_equal(pool_create(given->pool_bytes, &rig->pool, NULL), 0);
    rig->counters = calloc(1, sizeof(*rig->counters));
    rig->states = calloc(1, sizeof(*rig->states));
    struct stream_options options = {.connections_max = given->connections_max,
                                     .flow_bytes_max = given->flow_bytes_max,
                                     .loop = rig->loop,
                                     .pool = rig->pool,
                                     .counters = rig->counters,
                                     .states = rig->states,
                                     .filters = given->filters,
                                     .copy_only = rig_copy_only};
    if (given->names) {
        assert_int_equal(resolver_create(rig->loop, &rig->resolver, NULL), 0);
        options.resolver = rig->resolver;
    }
    assert_int_equal(stream_plane_create(&options, &rig->plane, NULL), 0);
    rig_add_node(rig, "a", NULL);
    rig_add_node(rig, "b", NULL);
    struct ruleset_route route = {.name = "r", .from = "a", .to = "b", .enabled = true};
    snprintf(route.listen, sizeof(route.listen), "%s", address_format(&rig->route_address, text));
    snprintf(route.upstream, sizeof(route.upstream), "%s",
             address_format(&rig->upstream_address, text));
    ruleset_add_route(&rig->ruleset, &route);
    rig->spec =
        (struct route_spec){.serial = 1, .fd = rig->listener, .upstream = rig->upstream_address};
    rig->table = (struct route_table){.routes = &rig->spec, .route_count = 1, .sources_serial = 1};
    rig_apply(rig);
}

static inline void rig_open(struct rig *rig, uint32_t connections_max, uint64_t pool_bytes)
{
    struct rig_options options = {.connections_max = connections_max, .pool_bytes = pool_bytes};
    rig_open_with(rig, &options);
}

static inline const struct fault_route_counters *rig_route(const struct rig *rig)
{
    return &rig->counters->routes[rig->spec.slot];
}

/* Bytes that the route has received and neither sent nor dropped. */
static inline uint64_t rig_held(const struct rig *rig, int way)
{
    const struct fault_route_counters *route = rig_route(rig);
    uint64_t gone = fault_counter_get(&route->sent[way]) + fault_counter_get(&route->dropped[way]);
    assert_true(gone <= fault_counter_get(&route->received[way]));
    return fault_counter_get(&route->received[way]) - gone;
}

/* The upstream refuses from now on, and keeps its port: it is bound, and no listener. */
static inline void rig_refuse(struct rig *rig)
{
    struct sockaddr *address = (struct sockaddr *)&rig->upstream_address.storage;
    int on = 1;
    close(rig->upstream);
    rig->upstream = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(rig->upstream, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    assert_int_equal(bind(rig->upstream, address, rig->upstream_address.length), 0);
}

/* In each test: every byte and every connection is accounted for. */
static inline void rig_close(struct rig *rig)
{
    stream_plane_destroy(rig->plane);
    assert_int_equal(pool_used_bytes(rig->pool), 0); /* every block came back */
    assert_int_equal(rig_held(rig, 0), 0);
    assert_int_equal(rig_held(rig, 1), 0);
    assert_int_equal(fault_counter_get(&rig_route(rig)->connections),
                     fault_counter_get(&rig_route(rig)->ended));
    pool_destroy(rig->pool);
    resolver_destroy(rig->resolver);
    loop_destroy(rig->loop);
    fault_plan_destroy(rig->plan);
    ruleset_free(&rig->ruleset);
    free(rig->counters);
    free(rig->states);
    close(rig->listener);
    if (rig->upstream >= 0)
        close(rig->upstream);
}

/* With the ends of a connection that are left. */
static inline void rig_close_ends(struct rig *rig, int client, int server)
{
    close(client);
    close(server);
    rig_close(rig);
}

static inline int rig_connect(struct rig *rig)
{
    int fd = socket_connect(&rig->route_address, NULL, NULL);
    assert_true(fd >= 0);
    return fd;
}

static inline bool rig_try_accept(struct rig *rig, int *fd)
{
    *fd = socket_accept(rig->upstream, NULL);
    return *fd >= 0;
}

/* A connection through the route: both its far ends. */
static inline void rig_pair(struct rig *rig, int *client, int *server)
{
    *client = rig_connect(rig);
    rig_await(rig, rig_try_accept(rig, server));
}

static inline void rig_cut(struct rig *rig, const char *name, bool up, bool down)
{
    struct ruleset_partition partition = {0};
    snprintf(partition.name, sizeof(partition.name), "%s", name);
    if (up)
        ruleset_partition_add_link(&partition, "a", "b");
    if (down)
        ruleset_partition_add_link(&partition, "b", "a");
    ruleset_add_partition(&rig->ruleset, &partition);
    ruleset_partition_free(&partition);
    rig_apply(rig);
}

static inline void rig_heal(struct rig *rig, const char *name)
{
    assert_true(ruleset_remove_partition(&rig->ruleset, name));
    rig_apply(rig);
}

static inline void rig_latency(struct rig *rig, const char *name, uint64_t delay_ns)
{
    struct ruleset_fault fault = {.type = RULESET_LATENCY, .latency = {.delay_ns = delay_ns}};
    snprintf(fault.name, sizeof(fault.name), "%s", name);
    snprintf(fault.link.from, sizeof(fault.link.from), "a");
    snprintf(fault.link.to, sizeof(fault.link.to), "b");
    fault.both_ways = true;
    ruleset_add_fault(&rig->ruleset, &fault);
    rig_apply(rig);
}

static inline void rig_rate(struct rig *rig, const char *name, uint64_t bytes_per_s)
{
    struct ruleset_fault fault = {.type = RULESET_RATE, .rate = {.bytes_per_s = bytes_per_s}};
    snprintf(fault.name, sizeof(fault.name), "%s", name);
    snprintf(fault.link.from, sizeof(fault.link.from), "*");
    snprintf(fault.link.to, sizeof(fault.link.to), "*");
    ruleset_add_fault(&rig->ruleset, &fault);
    rig_apply(rig);
}

static inline void rig_remove_fault(struct rig *rig, const char *name)
{
    assert_true(ruleset_remove_fault(&rig->ruleset, name));
    rig_apply(rig);
}

/* A fault on the route, both directions; change what is to be another way, and set it. */
static inline struct ruleset_fault rig_fault(const char *name, enum ruleset_fault_type type)
{
    struct ruleset_fault fault = {.type = type, .route = "r"};
    snprintf(fault.name, sizeof(fault.name), "%s", name);
    return fault;
}

/* Puts the fault in force, in the place of the one of this name if there is one. */
static inline void rig_set_fault(struct rig *rig, const struct ruleset_fault *fault)
{
    struct ruleset_fault *there = ruleset_find_fault(&rig->ruleset, fault->name);
    if (there)
        *there = *fault;
    else
        ruleset_add_fault(&rig->ruleset, fault);
    rig_apply(rig);
}

static inline uint64_t rig_touched(const struct rig *rig, const char *fault)
{
    uint16_t slot = fault_plan_fault_slot(rig->plan, fault, NULL);
    assert_true(slot < RULESET_FAULTS_MAX);
    return fault_counter_get(&rig->counters->touched[slot]);
}

static inline struct fault_link_counters *rig_link(struct rig *rig, const char *from,
                                                   const char *to)
{
    return fault_counters_link(rig->counters, fault_plan_node_slot(rig->plan, from),
                               fault_plan_node_slot(rig->plan, to));
}

/* Byte k of the test pattern of a stream. */
static inline unsigned char rig_byte(uint64_t stream, uint64_t k)
{
    return (unsigned char)((k * UINT64_C(2654435761) + stream * 40503) >> 13);
}

/* One direction of a test stream. */
struct rig_stream {
    uint64_t id, total; /* bytes to send */
    int from, to;
    uint64_t sent, received;
    bool shut;     /* FIN sent */
    bool finished; /* FIN received, after exactly `total` good bytes */
    size_t write_max, read_max;
};

/* Writes and reads what goes, in random pieces; shuts down when all is written. */
static inline void rig_stream_step(struct rig_stream *stream, uint64_t *seed, bool reading)
{
    static unsigned char buffer[256 * 1024];
    size_t size = 1 + (size_t)random_below(random_mix(++*seed), stream->write_max);
    if (size > stream->total - stream->sent)
        size = stream->total - stream->sent;
    for (size_t i = 0; i < size; i++)
        buffer[i] = rig_byte(stream->id, stream->sent + i);
    ssize_t done = size ? send(stream->from, buffer, size, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;
    if (done < 0 && errno != EAGAIN)
        fail_msg("send of stream %llu: %s", (unsigned long long)stream->id, strerror(errno));
    stream->sent += done > 0 ? (uint64_t)done : 0;
    if (stream->sent == stream->total && !stream->shut) {
        shutdown(stream->from, SHUT_WR);
        stream->shut = true;
    }
    if (!reading || stream->finished)
        return;
    size = 1 + (size_t)random_below(random_mix(++*seed), stream->read_max);
    done = recv(stream->to, buffer, size, MSG_DONTWAIT);
    if (done < 0 && errno != EAGAIN)
        fail_msg("recv of stream %llu: %s", (unsigned long long)stream->id, strerror(errno));
    for (ssize_t i = 0; i < done; i++)
        if (buffer[i] != rig_byte(stream->id, stream->received + (uint64_t)i))
            fail_msg("stream %llu differs at byte %llu", (unsigned long long)stream->id,
                     (unsigned long long)(stream->received + (uint64_t)i));
    stream->received += done > 0 ? (uint64_t)done : 0;
    if (done == 0) {
        assert_int_equal(stream->received, stream->total);
        stream->finished = true;
    }
}

/* Whether nothing can be read now; a byte or an end fails the test. */
static inline bool rig_is_silent(int fd)
{
    char byte;
    return recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0 && errno == EAGAIN;
}

static inline bool rig_has_reset(int fd)
{
    char byte;
    return recv(fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == ECONNRESET;
}

/* The stream has ended, with FIN, and nothing is left to read. */
static inline bool rig_has_end(int fd)
{
    char byte;
    return recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 0;
}

static inline bool rig_has_bytes(int fd, size_t count)
{
    return socket_pending_bytes(fd) >= count;
}

#endif
