/* What nodes say to each other over IP: pings, datagrams, streams. */
#ifndef SEVER_TESTS_PACKET_TRAFFIC_H
#define SEVER_TESTS_PACKET_TRAFFIC_H

#include "tests/unit/proxy/packet/rig.h"

static const int families[] = {AF_INET, AF_INET6};

static inline void bind_to(int fd, unsigned node, int family, uint16_t port)
{
    struct sockaddr_storage address;
    socklen_t length = network_address(node, family, port, &address);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, length), 0);
}

static inline int udp_of(struct rig *rig, unsigned node, int family, uint16_t port)
{
    int fd = network_socket(&rig->network, node, family, SOCK_DGRAM);
    bind_to(fd, node, family, port);
    return fd;
}

static inline void udp_send(int fd, unsigned to, int family, uint16_t port, const void *bytes,
                            size_t size)
{
    struct sockaddr_storage address;
    socklen_t length = network_address(to, family, port, &address);
    assert_int_equal(sendto(fd, bytes, size, 0, (const struct sockaddr *)&address, length), size);
}

static inline void ping(struct rig *rig, unsigned from, unsigned to, int family)
{
    struct sockaddr_storage address;
    socklen_t length = network_address(to, family, 0, &address);
    bool is_ipv4 = family == AF_INET;
    unsigned char request[64] = {is_ipv4 ? 8 : 128, 0, 0, 0, 1, 2, 3, 4}, reply[256];
    ssize_t got = -1;
    network_enter(&rig->network, from);
    int fd = socket(family, SOCK_RAW | SOCK_NONBLOCK, is_ipv4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
    network_leave(&rig->network);
    if (is_ipv4) { /* the kernel computes that of ICMPv6 */
        uint32_t sum = 0x0800 + 0x0102 + 0x0304;
        request[2] = (unsigned char)(~sum >> 8);
        request[3] = (unsigned char)~sum;
    }
    assert_int_equal(
        sendto(fd, request, sizeof(request), 0, (const struct sockaddr *)&address, length),
        sizeof(request));
    do { /* among what else a raw socket hears */
        await(rig, (got = recv(fd, reply, sizeof(reply), 0)) > 0);
    } while (reply[is_ipv4 ? 20 : 0] != (is_ipv4 ? 0 : 129));
    assert_int_equal(got, sizeof(request) + (is_ipv4 ? 20u : 0));
    close(fd);
}

struct connection {
    int client, server;
};

static inline struct connection connect_nodes(struct rig *rig, unsigned from, unsigned to,
                                              int family)
{
    struct sockaddr_storage address;
    struct connection made = {.server = -1};
    int listener = network_socket(&rig->network, to, family, SOCK_STREAM), on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    bind_to(listener, to, family, 7000);
    assert_int_equal(listen(listener, 1), 0);
    made.client = network_socket(&rig->network, from, family, SOCK_STREAM);
    socklen_t length = network_address(to, family, 7000, &address);
    assert_int_equal(connect(made.client, (const struct sockaddr *)&address, length), -1);
    await(rig, (made.server = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0);
    close(listener);
    return made;
}

static inline void disconnect(struct connection *connection)
{
    close(connection->client);
    close(connection->server);
}

static inline unsigned char stream_byte(uint64_t position)
{
    return (unsigned char)(position * 131 + (position >> 9));
}

/* Moves so many bytes, and looks at each of them. on_step is called now and then. Fails when none
 * comes any more. */
static inline void pump(struct rig *rig, const struct connection *connection, uint64_t bytes,
                        void (*on_step)(struct rig *rig, unsigned step))
{
    enum { CHUNK = 256 * 1024, STEPS = 8 };
    static unsigned char out[CHUNK], in[CHUNK];
    uint64_t sent = 0, received = 0, before = 0, deadline_ns = 0;
    for (unsigned step = 0; received < bytes;) {
        if (received > before || deadline_ns == 0)
            deadline_ns = monotonic_now_ns() + 60 * NS_PER_S;
        before = received;
        uint64_t size = bytes - sent < CHUNK ? bytes - sent : CHUNK;
        for (uint64_t i = 0; i < size; i++)
            out[i] = stream_byte(sent + i);
        ssize_t taken = size ? send(connection->client, out, size, 0) : 0;
        sent += taken > 0 ? (uint64_t)taken : 0;
        rig_turn(rig);
        for (ssize_t got; (got = recv(connection->server, in, CHUNK, 0)) > 0;)
            for (ssize_t i = 0; i < got; i++, received++)
                if (in[i] != stream_byte(received))
                    fail_msg("byte %llu is another", (unsigned long long)received);
        if (on_step && received * STEPS >= step * bytes)
            on_step(rig, step++);
        if (monotonic_now_ns() > deadline_ns)
            fail_msg("%llu of %llu bytes", (unsigned long long)received, (unsigned long long)bytes);
    }
}

#endif
