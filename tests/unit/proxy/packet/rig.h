/* A lab of up to NETWORK_NODES_MAX nodes n1, n2, ... in namespaces (network.h), and the packet
 * planes of one or two workers between them, all in this thread.
 *
 * A test opens the rig, changes rig.ruleset and calls rig_apply, and turns the loops until what it
 * waits for is there (await). Nodes are counted from 0 here. */
#ifndef SEVER_TESTS_PACKET_RIG_H
#define SEVER_TESTS_PACKET_RIG_H

#include "tests/unit/proxy/packet/network.h"

#include <stdlib.h>

#include <linux/if_packet.h>

#include "proxy/base/monotonic.h"
#include "proxy/packet/packet.h"

enum { RIG_WORKERS_MAX = 2, RIG_ETHERTYPE = 0x88b5 /* for local experiments */, RIG_HEADER = 14 };

struct rig_worker {
    struct loop *loop;
    struct pool *pool;
    struct fault_counters *counters;
    struct packet_plane *plane;
};

struct rig {
    struct network network;
    struct rig_worker workers[RIG_WORKERS_MAX];
    unsigned worker_count;
    struct fault_states *states;
    struct ruleset ruleset;
    struct fault_plan *plan;
    struct match_set *matches;
    struct packet_port *ports[NETWORK_NODES_MAX]; /* NULL: the node has none now */
    uint64_t serials[NETWORK_NODES_MAX];
    uint64_t ring_bytes;
    struct rig_table {
        struct packet_port_spec specs[NETWORK_NODES_MAX];
        struct packet_table table;
    } tables[2][RIG_WORKERS_MAX]; /* in force, and before: planes borrow them */
    unsigned turn;                /* of tables */
    unsigned turns;               /* of the loops, so far */
    struct capture_set *captures;
    void (*publish)(struct rig *rig); /* to planes on threads of their own; NULL: rig_apply does */
};

struct rig_options {
    unsigned nodes;
    unsigned workers;    /* 0: 1 */
    uint32_t mtu;        /* 0: 1500 */
    uint64_t pool_bytes; /* 0: 64 MiB */
    uint64_t ring_bytes;
    bool quiet; /* IPv4 only, so that nodes send nothing of their own */
};

/* A turn of one worker waits for a millisecond at most: that something comes without waiting for
 * long is told by the number of turns, which is none the greater on a busy machine. */
static inline void rig_turn(struct rig *rig)
{
    rig->turns++;
    bool alone = rig->worker_count == 1;
    for (unsigned i = 0; i < rig->worker_count; i++)
        assert_int_equal(
            loop_turn(rig->workers[i].loop, alone ? monotonic_now_ns() + NS_PER_MS : 0), 0);
}

#define await(rig, condition)                                                                      \
    do {                                                                                           \
        uint64_t await_deadline = monotonic_now_ns() + 20 * NS_PER_S;                              \
        while (!(condition)) {                                                                     \
            if (monotonic_now_ns() > await_deadline)                                               \
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

static inline const char *rig_name(unsigned node)
{
    static const char *const names[NETWORK_NODES_MAX] = {"n1", "n2", "n3", "n4",
                                                         "n5", "n6", "n7", "n8"};
    return names[node];
}

static inline uint16_t rig_slot(const struct rig *rig, unsigned node)
{
    return fault_plan_node_slot(rig->plan, rig_name(node));
}

/* The ports as they are now, for one worker. */
static inline const struct packet_table *rig_make_table(struct rig *rig, unsigned worker)
{
    struct rig_table *made = &rig->tables[rig->turn][worker];
    made->table = (struct packet_table){.ports = made->specs};
    for (unsigned i = 0; i < rig->network.count; i++) {
        if (!rig->ports[i])
            continue;
        struct packet_port_spec *spec = &made->specs[made->table.port_count++];
        *spec = (struct packet_port_spec){.node = rig_slot(rig, i),
                                          .serial = rig->serials[i],
                                          .port = rig->ports[i],
                                          .address_count = 2,
                                          .mine = i % rig->worker_count == worker};
        memcpy(spec->mac, rig->network.macs[i], sizeof(spec->mac));
        spec->addresses[0].length = network_address(i, AF_INET, 0, &spec->addresses[0].storage);
        spec->addresses[1].length = network_address(i, AF_INET6, 0, &spec->addresses[1].storage);
    }
    return &made->table;
}

/* Planes in this thread take over what rig_apply has made. */
static inline void rig_publish_here(struct rig *rig)
{
    for (unsigned i = 0; i < rig->worker_count; i++)
        packet_plane_apply(rig->workers[i].plane, rig->plan, rig->matches, rig_make_table(rig, i),
                           rig->captures);
}

static inline void rig_apply(struct rig *rig)
{
    struct fault_plan *old_plan = rig->plan;
    struct match_set *old_matches = rig->matches, *matches = NULL;
    struct error error = {0};
    rig->ruleset.version++;
    rig->plan = NULL;
    if (ruleset_check(&rig->ruleset, &error) ||
        fault_plan_create(&rig->ruleset, old_plan, &rig->plan, &error) ||
        match_set_create(&rig->ruleset, rig->plan, old_matches, &matches, &error))
        fail_msg("%s %s", error.place, error.message);
    rig->matches = matches;
    fault_states_take(rig->states, rig->plan, monotonic_now_ns());
    rig->turn = !rig->turn;
    (rig->publish ? rig->publish : rig_publish_here)(rig);
    fault_plan_destroy(old_plan);
    match_set_destroy(old_matches);
}

/* The node's port, on its device: another one, if it had one before. */
static inline void rig_add_port(struct rig *rig, unsigned node)
{
    int fds[PACKET_RINGS];
    struct error error;
    if (packet_sockets_open(rig->network.devices[node], rig->ring_bytes, fds, &error) ||
        packet_port_create(fds, rig->ring_bytes, &rig->ports[node], &error))
        fail_msg("%s", error.message);
    rig->serials[node]++;
}

static inline void rig_remove_port(struct rig *rig, unsigned node)
{
    struct packet_port *port = rig->ports[node];
    rig->ports[node] = NULL;
    rig_apply(rig);
    packet_port_destroy(port);
}

static inline void rig_open_worker(struct rig *rig, unsigned index, uint64_t pool_bytes)
{
    struct rig_worker *worker = &rig->workers[index];
    assert_int_equal(loop_create(&worker->loop, NULL), 0);
    assert_int_equal(pool_create(pool_bytes ? pool_bytes : 64 << 20, &worker->pool, NULL), 0);
    worker->counters = calloc(1, sizeof(*worker->counters));
    assert_non_null(worker->counters);
    struct packet_options options = {.loop = worker->loop,
                                     .pool = worker->pool,
                                     .counters = worker->counters,
                                     .states = rig->states,
                                     .worker = index};
    assert_int_equal(packet_plane_create(&options, &worker->plane, NULL), 0);
}

static inline void rig_open(struct rig *rig, struct rig_options options)
{
    memset(rig, 0, sizeof(*rig));
    network_open(&rig->network, options.nodes, options.mtu);
    rig->worker_count = options.workers ? options.workers : 1;
    rig->ring_bytes = options.ring_bytes ? options.ring_bytes : 6 << 20;
    rig->states = calloc(1, sizeof(*rig->states));
    assert_non_null(rig->states);
    for (unsigned i = 0; i < rig->worker_count; i++)
        rig_open_worker(rig, i, options.pool_bytes);
    rig->ruleset.seed = 1;
    for (unsigned i = 0; i < options.nodes; i++) {
        struct ruleset_node node = {0};
        snprintf(node.name, sizeof(node.name), "%s", rig_name(i));
        ruleset_add_node(&rig->ruleset, &node);
        if (options.quiet)
            network_silence(&rig->network, i);
        rig_add_port(rig, i);
    }
    rig_apply(rig);
}

static inline void rig_close(struct rig *rig)
{
    for (unsigned i = 0; i < rig->worker_count; i++) {
        struct rig_worker *worker = &rig->workers[i];
        packet_plane_destroy(worker->plane);
        assert_int_equal(pool_used_bytes(worker->pool), 0);
        pool_destroy(worker->pool);
        loop_destroy(worker->loop);
        free(worker->counters);
    }
    for (unsigned i = 0; i < rig->network.count; i++)
        packet_port_destroy(rig->ports[i]);
    fault_plan_destroy(rig->plan);
    match_set_destroy(rig->matches);
    ruleset_free(&rig->ruleset);
    free(rig->states);
    network_close(&rig->network);
}

/* Of a link, over all workers. */

static inline uint64_t rig_units(struct rig *rig, unsigned from, unsigned to)
{
    uint64_t units = 0;
    for (unsigned i = 0; i < rig->worker_count; i++)
        units += fault_counter_get(
            &fault_counters_link(rig->workers[i].counters, rig_slot(rig, from), rig_slot(rig, to))
                 ->units);
    return units;
}

static inline uint64_t rig_bytes(struct rig *rig, unsigned from, unsigned to)
{
    uint64_t bytes = 0;
    for (unsigned i = 0; i < rig->worker_count; i++)
        bytes += fault_counter_get(
            &fault_counters_link(rig->workers[i].counters, rig_slot(rig, from), rig_slot(rig, to))
                 ->bytes);
    return bytes;
}

static inline uint64_t rig_dropped_at(struct rig *rig, uint16_t from, uint16_t to,
                                      enum fault_cause cause)
{
    uint64_t dropped = 0;
    for (unsigned i = 0; i < rig->worker_count; i++)
        dropped += fault_counter_get(
            &fault_counters_link(rig->workers[i].counters, from, to)->dropped[cause]);
    return dropped;
}

static inline uint64_t rig_dropped(struct rig *rig, unsigned from, unsigned to,
                                   enum fault_cause cause)
{
    return rig_dropped_at(rig, rig_slot(rig, from), rig_slot(rig, to), cause);
}

/* On the node's link to no node. */
static inline uint64_t rig_stray(struct rig *rig, unsigned from, enum fault_cause cause)
{
    return rig_dropped_at(rig, rig_slot(rig, from), FAULT_NO_NODE, cause);
}

static inline uint64_t rig_touched(struct rig *rig, const char *fault)
{
    uint64_t touched = 0;
    for (unsigned i = 0; i < rig->worker_count; i++)
        touched += fault_counter_get(
            &rig->workers[i].counters->touched[fault_plan_fault_slot(rig->plan, fault, NULL)]);
    return touched;
}

static inline void rig_cut(struct rig *rig, unsigned from, unsigned to)
{
    struct ruleset_partition partition = {.name = "p"};
    ruleset_partition_add_link(&partition, rig_name(from), rig_name(to));
    ruleset_add_partition(&rig->ruleset, &partition);
    ruleset_partition_free(&partition);
    rig_apply(rig);
}

static inline void rig_heal(struct rig *rig)
{
    assert_true(ruleset_remove_partition(&rig->ruleset, "p"));
    rig_apply(rig);
}

static inline void rig_add_fault(struct rig *rig, unsigned from, unsigned to,
                                 struct ruleset_fault fault)
{
    snprintf(fault.link.from, sizeof(fault.link.from), "%s", rig_name(from));
    snprintf(fault.link.to, sizeof(fault.link.to), "%s", rig_name(to));
    ruleset_add_fault(&rig->ruleset, &fault);
    rig_apply(rig);
}

static inline void rig_remove_fault(struct rig *rig, const char *name)
{
    assert_true(ruleset_remove_fault(&rig->ruleset, name));
    rig_apply(rig);
}

/* Frames of RIG_ETHERTYPE, by a packet socket of the node. */

static inline int rig_open_raw(struct rig *rig, unsigned node)
{
    network_enter(&rig->network, node);
    struct sockaddr_ll address = {.sll_family = AF_PACKET,
                                  .sll_protocol = htons(RIG_ETHERTYPE),
                                  .sll_ifindex = (int)if_nametoindex("eth0")};
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(RIG_ETHERTYPE));
    network_leave(&rig->network);
    int buffer = 8 << 20, on = 1;
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
    setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on));
    return fd;
}

/* The frame's packet is its number and then bytes that depend on that: bytes of it in all. */
static inline void rig_make_frame(unsigned char *frame, const unsigned char *to, uint32_t number,
                                  uint32_t bytes)
{
    memcpy(frame, to, 6);
    memset(frame + 6, 2, 6);
    frame[12] = RIG_ETHERTYPE >> 8;
    frame[13] = RIG_ETHERTYPE & 255;
    for (uint32_t i = 0; i < bytes; i++)
        frame[RIG_HEADER + i] = (unsigned char)(i < 4 ? number >> (8 * i) : number * 31 + i * 7);
}

static inline void rig_send_raw_to(int fd, const unsigned char *to, uint32_t number, uint32_t bytes)
{
    unsigned char frame[RIG_HEADER + 9000];
    rig_make_frame(frame, to, number, bytes);
    assert_int_equal(send(fd, frame, RIG_HEADER + bytes, 0), RIG_HEADER + bytes);
}

static inline void rig_send_raw(struct rig *rig, int fd, unsigned to, uint32_t number,
                                uint32_t bytes)
{
    rig_send_raw_to(fd, rig->network.macs[to], number, bytes);
}

/* One frame, if there is one: the bytes of its packet, or -1. */
static inline int rig_take_raw(int fd, unsigned char *packet, size_t size)
{
    unsigned char frame[RIG_HEADER + 9000];
    ssize_t length = recv(fd, frame, sizeof(frame), 0);
    if (length < RIG_HEADER)
        return -1;
    size_t bytes = (size_t)length - RIG_HEADER;
    memcpy(packet, frame + RIG_HEADER, bytes < size ? bytes : size);
    return (int)bytes;
}

static inline uint32_t rig_number(const unsigned char *packet)
{
    return packet[0] | (uint32_t)packet[1] << 8 | (uint32_t)packet[2] << 16 |
           (uint32_t)packet[3] << 24;
}

/* Takes one whole frame; false: there is none. */
static inline bool rig_take_number(int fd, uint32_t *number)
{
    unsigned char packet[9000], sent[RIG_HEADER + 9000];
    int bytes = rig_take_raw(fd, packet, sizeof(packet));
    if (bytes < 0)
        return false;
    *number = rig_number(packet);
    rig_make_frame(sent, packet, *number, (uint32_t)bytes);
    assert_memory_equal(packet, sent + RIG_HEADER, (size_t)bytes);
    return true;
}

/* How many there are now. */
static inline unsigned rig_drain(int fd)
{
    unsigned count = 0;
    for (uint32_t number; rig_take_number(fd, &number);)
        count++;
    return count;
}

#endif
