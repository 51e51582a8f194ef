/* Network namespaces for tests, in this process and with nothing that has a name outside:
 *
 *     node 1 [eth0 10.77.0.1 fd77::1] ---- v1 |
 *     node 2 [eth0 10.77.0.2 fd77::2] ---- v2 | the test's own namespace, where the ports are
 *
 * As an ordinary user the namespaces are a user namespace's. The calling thread is in the test's
 * own namespace but for the time of network_enter to network_leave; a socket stays where it was
 * made. */
#ifndef SEVER_TESTS_PACKET_NETWORK_H
#define SEVER_TESTS_PACKET_NETWORK_H

#include "tests/lib/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/link/veth.h>

enum { NETWORK_NODES_MAX = 8 };

struct network {
    int own; /* the test's namespace */
    int nodes[NETWORK_NODES_MAX];
    int devices[NETWORK_NODES_MAX]; /* index of the outer end */
    unsigned char macs[NETWORK_NODES_MAX][6];
    unsigned count;
};

static inline void network_write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static inline int network_namespace(void)
{
    int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static inline void network_use(int namespace_fd)
{
    assert_int_equal(setns(namespace_fd, CLONE_NEWNET), 0);
}

static inline void network_enter(const struct network *network, unsigned node)
{
    network_use(network->nodes[node]);
}

static inline void network_leave(const struct network *network)
{
    network_use(network->own);
}

static inline struct nl_sock *network_netlink(void)
{
    struct nl_sock *netlink = nl_socket_alloc();
    assert_non_null(netlink);
    assert_int_equal(nl_connect(netlink, NETLINK_ROUTE), 0);
    return netlink;
}

static inline void network_set_up(struct nl_sock *netlink, const char *name, uint32_t mtu)
{
    struct rtnl_link *found, *change = rtnl_link_alloc();
    assert_int_equal(rtnl_link_get_kernel(netlink, 0, name, &found), 0);
    rtnl_link_set_flags(change, IFF_UP);
    if (mtu)
        rtnl_link_set_mtu(change, mtu);
    assert_int_equal(rtnl_link_change(netlink, found, change, 0), 0);
    rtnl_link_put(found);
    rtnl_link_put(change);
}

static inline void network_add_address(struct nl_sock *netlink, const char *text)
{
    struct nl_addr *local;
    struct rtnl_addr *address = rtnl_addr_alloc();
    assert_int_equal(nl_addr_parse(text, AF_UNSPEC, &local), 0);
    rtnl_addr_set_ifindex(address, (int)if_nametoindex("eth0"));
    assert_int_equal(rtnl_addr_set_local(address, local), 0);
    rtnl_addr_set_flags(address, IFA_F_NODAD); /* it can be used at once */
    assert_int_equal(rtnl_addr_add(netlink, address, 0), 0);
    nl_addr_put(local);
    rtnl_addr_put(address);
}

/* The veth pair, made in the test's own namespace with the other end in the node's. */
static inline void network_add_pair(struct network *network, unsigned node, uint32_t mtu)
{
    char name[16];
    struct nl_sock *netlink = network_netlink();
    struct rtnl_link *outer = rtnl_link_veth_alloc();
    struct rtnl_link *inner = rtnl_link_veth_get_peer(outer);
    struct nl_addr *mac = nl_addr_build(AF_LLC, network->macs[node], 6);
    snprintf(name, sizeof(name), "v%u", node + 1);
    rtnl_link_set_name(outer, name);
    rtnl_link_set_name(inner, "eth0");
    rtnl_link_set_addr(inner, mac);
    rtnl_link_set_ns_fd(inner, network->nodes[node]);
    assert_int_equal(rtnl_link_add(netlink, outer, NLM_F_CREATE | NLM_F_EXCL), 0);
    network_write_file("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
    network_set_up(netlink, name, mtu);
    network->devices[node] = (int)if_nametoindex(name);
    rtnl_link_put(inner);
    rtnl_link_put(outer);
    nl_addr_put(mac);
    nl_socket_free(netlink);
}

/* Until the device has its carrier: the kernel tells of it by a thread of its own, and till then
 * whatever the device is to send is dropped. */
static inline void network_await_carrier(const char *name)
{
    struct nl_sock *netlink = network_netlink();
    bool running = false;
    for (int tries = 0; tries < 20000 && !running; tries++) {
        struct rtnl_link *link;
        assert_int_equal(rtnl_link_get_kernel(netlink, 0, name, &link), 0);
        running = rtnl_link_get_flags(link) & IFF_RUNNING;
        rtnl_link_put(link);
        if (!running)
            poll(NULL, 0, 1);
    }
    nl_socket_free(netlink);
    if (!running)
        fail_msg("device %s gets no carrier", name);
}

static inline void network_add_node(struct network *network, uint32_t mtu)
{
    unsigned node = network->count++;
    char text[64];
    assert_true(node < NETWORK_NODES_MAX);
    memcpy(network->macs[node], (unsigned char[]){2, 0x77, 0, 0, 0, (unsigned char)(node + 1)}, 6);
    assert_int_equal(unshare(CLONE_NEWNET), 0);
    network->nodes[node] = network_namespace();
    network_leave(network);
    network_add_pair(network, node, mtu);
    network_enter(network, node);
    network_write_file("/proc/sys/net/ipv6/conf/eth0/router_solicitations", "0");
    struct nl_sock *netlink = network_netlink();
    network_set_up(netlink, "lo", 0);
    network_set_up(netlink, "eth0", mtu);
    snprintf(text, sizeof(text), "10.77.0.%u/24", node + 1);
    network_add_address(netlink, text);
    snprintf(text, sizeof(text), "fd77::%u/64", node + 1);
    network_add_address(netlink, text);
    nl_socket_free(netlink);
    network_await_carrier("eth0");
    network_leave(network);
    snprintf(text, sizeof(text), "v%u", node + 1);
    network_await_carrier(text);
}

/* mtu: 0 is 1500. Once in a process the namespace is its own for good; each network has one. */
static inline void network_open(struct network *network, unsigned nodes, uint32_t mtu)
{
    char map[64];
    uid_t user = getuid();
    *network = (struct network){0};
    if (user != 0) {
        assert_int_equal(unshare(CLONE_NEWUSER), 0);
        network_write_file("/proc/self/setgroups", "deny");
        snprintf(map, sizeof(map), "0 %u 1", user);
        network_write_file("/proc/self/uid_map", map);
    }
    assert_int_equal(unshare(CLONE_NEWNET), 0);
    network->own = network_namespace();
    for (unsigned i = 0; i < nodes; i++)
        network_add_node(network, mtu);
}

/* No IPv6 there from now on: then it sends nothing unless it is told to. */
static inline void network_silence(const struct network *network, unsigned node)
{
    network_enter(network, node);
    network_write_file("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
    network_leave(network);
}

static inline void network_close(struct network *network)
{
    for (unsigned i = 0; i < network->count; i++)
        close(network->nodes[i]);
    close(network->own);
}

/* A socket of the node. */
static inline int network_socket(const struct network *network, unsigned node, int family, int type)
{
    network_enter(network, node);
    int fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    network_leave(network);
    assert_true(fd >= 0);
    return fd;
}

/* The node's address, as a socket address. */
static inline socklen_t network_address(unsigned node, int family, uint16_t port,
                                        struct sockaddr_storage *storage)
{
    char text[64];
    memset(storage, 0, sizeof(*storage));
    if (family == AF_INET) {
        struct sockaddr_in *in = (struct sockaddr_in *)storage;
        snprintf(text, sizeof(text), "10.77.0.%u", node + 1);
        in->sin_family = AF_INET;
        in->sin_port = htons(port);
        assert_int_equal(inet_pton(AF_INET, text, &in->sin_addr), 1);
        return sizeof(*in);
    }
    struct sockaddr_in6 *in = (struct sockaddr_in6 *)storage;
    snprintf(text, sizeof(text), "fd77::%u", node + 1);
    in->sin6_family = AF_INET6;
    in->sin6_port = htons(port);
    assert_int_equal(inet_pton(AF_INET6, text, &in->sin6_addr), 1);
    return sizeof(*in);
}

#endif
