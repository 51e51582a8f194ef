/* Theory of operation
 *
 * The pair is made from outside, with the inner end put straight into the node's namespace; the
 * rest is done from inside, where this process goes for as long as it takes. It can't fail to come
 * back: if it did, it would not know where it is, and ends.
 *
 * A node has the route of its subnet, and routes for multicast and for the broadcast address of all
 * networks. It has no default route: what is for elsewhere fails at once (ENETUNREACH), name
 * lookups at a server outside included, instead of waiting for an answer that never comes.
 *
 * IPv6 addresses are there without duplicate address detection, for numbers are unique. The
 * link-local address is made here for the same reason: the kernel would try its own for a second.
 */
#include "proxy/lab/devices.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/link/inet6.h>
#include <netlink/route/link/veth.h>
#include <netlink/route/route.h>
#include <netlink/socket.h>

#include "proxy/base/monotonic.h"
#include "proxy/lab/offloads.h"

#define INNER_NAME "eth0"
#define CARRIER_NS (5 * NS_PER_S) /* a working kernel needs far less, however busy the machine */
enum { OUTER_INDEX = 1000 };      /* and the node's number */

/* libnl has error numbers of its own. */
static int fail(int code, const char *what, struct error *error)
{
    static const int codes[][2] = {
        {NLE_PERM, EPERM},      {NLE_NOACCESS, EACCES}, {NLE_NOMEM, ENOMEM},
        {NLE_EXIST, EEXIST},    {NLE_INVAL, EINVAL},    {NLE_OPNOTSUPP, EOPNOTSUPP},
        {NLE_NODEV, ENODEV},    {NLE_RANGE, ERANGE},    {NLE_AF_NOSUPPORT, EAFNOSUPPORT},
        {NLE_AGAIN, ETIMEDOUT},
    };
    int result = -EIO;
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        if (abs(code) == codes[i][0])
            result = -codes[i][1];
    return error_set(error, result, "%s: %s", what, nl_geterror(code));
}

/* In the namespace that the process is in now. NULL when there is none. */
static struct nl_sock *connect_socket(struct error *error)
{
    struct nl_sock *socket = nl_socket_alloc();
    int result = socket ? nl_connect(socket, NETLINK_ROUTE) : -NLE_NOMEM;
    if (result == 0)
        return socket;
    fail(result, "netlink socket", error);
    nl_socket_free(socket);
    return NULL;
}

/* "1" and the like into a file of /proc/sys/net, for the namespace that the process is in now.
 * Where that is not allowed (a container's /proc/sys is often read-only) the default stays: none of
 * the settings is needed, they keep noise off the links. */
static bool set_sysctl(const char *path, const char *value)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool done = write(fd, value, strlen(value)) == (ssize_t)strlen(value);
    close(fd);
    return done;
}

/* Whether the kernel has IPv6, and new namespaces have it. Where they have it switched off it is
 * switched on for the lab, if that is allowed. */
static bool find_ipv6(void)
{
    char value = '1';
    int fd = open("/proc/sys/net/ipv6/conf/default/disable_ipv6", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool known = read(fd, &value, 1) == 1;
    close(fd);
    return known &&
           (value == '0' || set_sysctl("/proc/sys/net/ipv6/conf/default/disable_ipv6", "0"));
}

int devices_open(struct devices *devices, struct error *error)
{
    devices->namespace = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (devices->namespace < 0)
        return error_set(error, -errno, "/proc/self/ns/net: %s", strerror(errno));
    devices->socket = connect_socket(error);
    if (!devices->socket)
        return error->code;
    devices->ipv6 = find_ipv6();
    set_sysctl("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1"); /* of outer ends */
    return 0;
}

static void set_mac(struct rtnl_link *link, const unsigned char mac[6], unsigned char third)
{
    unsigned char bytes[6];
    memcpy(bytes, mac, sizeof(bytes));
    bytes[2] = third;
    struct nl_addr *address = nl_addr_build(AF_LLC, bytes, sizeof(bytes));
    rtnl_link_set_addr(link, address);
    nl_addr_put(address);
}

/* Not that of the inner end: the kernel tells of the carrier of a device at once when the other end
 * has another index, else up to a second later, and so long it reads as down. */
static int outer_index(const struct device_spec *spec)
{
    return OUTER_INDEX + (int)spec->number;
}

static struct rtnl_link *describe_pair(const struct device_spec *spec, pid_t pid)
{
    char name[IFNAMSIZ];
    struct rtnl_link *link = rtnl_link_veth_alloc();
    if (!link)
        return NULL;
    struct rtnl_link *peer = rtnl_link_veth_get_peer(link);
    snprintf(name, sizeof(name), "node%u", spec->number);
    rtnl_link_set_ifindex(link, outer_index(spec));
    rtnl_link_set_name(link, name);
    rtnl_link_set_mtu(link, spec->mtu);
    set_mac(link, spec->mac, 1);
    rtnl_link_set_name(peer, INNER_NAME);
    rtnl_link_set_mtu(peer, spec->mtu);
    set_mac(peer, spec->mac, spec->mac[2]);
    rtnl_link_set_ns_pid(peer, pid);
    rtnl_link_put(peer); /* the pair keeps it */
    return link;
}

/* The kernel makes no IPv6 address of its own; no effect where it knows no IPv6. Apart from
 * set_up, which must not fail with it. */
static void keep_bare(struct nl_sock *socket, int index)
{
    struct rtnl_link *link = rtnl_link_alloc(), *change = rtnl_link_alloc();
    if (link && change) {
        rtnl_link_set_ifindex(link, index);
        rtnl_link_inet6_set_addr_gen_mode(change, IN6_ADDR_GEN_MODE_NONE);
        rtnl_link_change(socket, link, change, 0);
    }
    rtnl_link_put(link);
    rtnl_link_put(change);
}

static int set_up(struct nl_sock *socket, int index)
{
    struct rtnl_link *link = rtnl_link_alloc(), *change = rtnl_link_alloc();
    int result = -NLE_NOMEM;
    if (link && change) {
        rtnl_link_set_ifindex(link, index);
        rtnl_link_set_flags(change, IFF_UP);
        result = rtnl_link_change(socket, link, change, 0);
    }
    rtnl_link_put(link);
    rtnl_link_put(change);
    return result;
}

/* The kernel tells of a carrier by a thread of its own; till then a device that is up drops what it
 * is to send. Newer kernels let nobody ask sooner, so there this doesn't wait. */
static int await_carrier(struct nl_sock *socket, int index)
{
    uint64_t end_ns = monotonic_now_ns() + CARRIER_NS;
    while (monotonic_now_ns() < end_ns) {
        struct rtnl_link *link;
        int result = rtnl_link_get_kernel(socket, index, NULL, &link);
        if (result)
            return result;
        bool running = rtnl_link_get_flags(link) & IFF_RUNNING;
        rtnl_link_put(link);
        if (running)
            return 0;
        poll(NULL, 0, 1);
    }
    return -NLE_AGAIN;
}

int devices_create(struct devices *devices, const struct device_spec *spec, pid_t pid, int *index,
                   struct error *error)
{
    struct rtnl_link *link = describe_pair(spec, pid);
    int result =
        link ? rtnl_link_add(devices->socket, link, NLM_F_CREATE | NLM_F_EXCL) : -NLE_NOMEM;
    rtnl_link_put(link);
    if (result)
        return fail(result, "a pair of veth devices", error);
    *index = outer_index(spec);
    keep_bare(devices->socket, *index);
    result = set_up(devices->socket, *index);
    if (result == 0)
        return 0;
    devices_delete(devices, *index);
    return fail(result, "the outer device, up", error);
}

void devices_delete(struct devices *devices, int index)
{
    struct rtnl_link *link = rtnl_link_alloc();
    if (!link)
        return;
    rtnl_link_set_ifindex(link, index);
    rtnl_link_delete(devices->socket, link);
    rtnl_link_put(link);
}

static int add_address(struct nl_sock *socket, int index, int family, const void *host, size_t size,
                       unsigned prefix)
{
    struct rtnl_addr *address = rtnl_addr_alloc();
    struct nl_addr *local = nl_addr_build(family, host, size), *broadcast = NULL;
    int result = -NLE_NOMEM;
    if (address && local) {
        nl_addr_set_prefixlen(local, (int)prefix);
        rtnl_addr_set_ifindex(address, index);
        rtnl_addr_set_local(address, local);
        if (family == AF_INET6) {
            rtnl_addr_set_flags(address, IFA_F_NODAD);
        } else {
            in_addr_t last;
            memcpy(&last, host, sizeof(last));
            last |= htonl((uint32_t)(UINT64_C(0xffffffff) >> prefix));
            broadcast = nl_addr_build(AF_INET, &last, sizeof(last));
            rtnl_addr_set_broadcast(address, broadcast);
        }
        result = rtnl_addr_add(socket, address, 0);
    }
    nl_addr_put(broadcast);
    nl_addr_put(local);
    rtnl_addr_put(address);
    return result;
}

static int add_addresses(struct nl_sock *socket, int index, const struct device_spec *spec)
{
    for (size_t i = 0; i < spec->address_count; i++) {
        uint8_t host[16];
        int result = address_get_ipv4(&spec->addresses[i], host)
                         ? add_address(socket, index, AF_INET, host, 4, spec->prefixes[i])
                     : address_get_ipv6(&spec->addresses[i], host)
                         ? add_address(socket, index, AF_INET6, host, 16, spec->prefixes[i])
                         : -NLE_INVAL;
        if (result)
            return result;
    }
    return 0;
}

/* RFC 4291, appendix A: from the MAC. */
static int add_link_local(struct nl_sock *socket, int index, const unsigned char mac[6])
{
    const uint8_t host[16] = {0xfe,       0x80,   0,      0,    0,    0,      0,      0,
                              mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]};
    return add_address(socket, index, AF_INET6, host, sizeof(host), 64);
}

/* Straight out of the device, whatever the destination's network. */
static int add_route(struct nl_sock *socket, int index, const char *destination)
{
    struct rtnl_route *route = rtnl_route_alloc();
    struct rtnl_nexthop *hop = rtnl_route_nh_alloc();
    struct nl_addr *network = NULL;
    int result = route && hop ? nl_addr_parse(destination, AF_INET, &network) : -NLE_NOMEM;
    if (result == 0) {
        rtnl_route_nh_set_ifindex(hop, index);
        rtnl_route_add_nexthop(route, hop);
        hop = NULL; /* the route's */
        rtnl_route_set_dst(route, network);
        rtnl_route_set_scope(route, RT_SCOPE_LINK);
        result = rtnl_route_add(socket, route, NLM_F_CREATE);
    }
    nl_addr_put(network);
    if (hop)
        rtnl_route_nh_free(hop);
    rtnl_route_put(route);
    return result;
}

static int configure_here(struct nl_sock *socket, const struct device_spec *spec,
                          struct error *error)
{
    int index = (int)if_nametoindex(INNER_NAME), result;
    bool ipv6 = spec->address_count > 1;
    if (index == 0)
        return error_set(error, -errno, "device " INNER_NAME ": %s", strerror(errno));
    if ((result = set_up(socket, (int)if_nametoindex("lo"))))
        return fail(result, "device lo, up", error);
    keep_bare(socket, index);
    offloads_limit(INNER_NAME); /* where that fails such packets are lost, and counted */
    if ((result = set_up(socket, index)) || (result = await_carrier(socket, index)))
        return fail(result, "device " INNER_NAME ", up", error);
    if (ipv6 && (result = add_link_local(socket, index, spec->mac)))
        return fail(result, "link-local address", error);
    if ((result = add_addresses(socket, index, spec)))
        return fail(result, "addresses", error);
    if ((result = add_route(socket, index, "224.0.0.0/4")) ||
        (result = add_route(socket, index, "255.255.255.255/32")))
        return fail(result, "routes", error);
    return 0;
}

/* ping(1) without privilege: for all groups, or for the one that there is in this user namespace.
 */
static void allow_ping(void)
{
    char range[32];
    if (set_sysctl("/proc/sys/net/ipv4/ping_group_range", "0 2147483647"))
        return;
    snprintf(range, sizeof(range), "%u %u", (unsigned)getegid(), (unsigned)getegid());
    set_sysctl("/proc/sys/net/ipv4/ping_group_range", range);
}

static int configure_inside(const struct device_spec *spec, int *diagnosis, struct error *error)
{
    struct nl_sock *socket_route = connect_socket(error);
    if (!socket_route)
        return error->code;
    *diagnosis = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    int result =
        *diagnosis < 0 ? error_set(error, -errno, "socket for diagnosis: %s", strerror(errno)) : 0;
    if (result == 0) {
        set_sysctl("/proc/sys/net/ipv6/conf/" INNER_NAME "/accept_ra", "0");
        set_sysctl("/proc/sys/net/ipv6/conf/" INNER_NAME "/disable_ipv6",
                   spec->address_count < 2 ? "1" : "0");
        allow_ping();
        result = configure_here(socket_route, spec, error);
    }
    if (result && *diagnosis >= 0) {
        close(*diagnosis);
        *diagnosis = -1;
    }
    nl_socket_free(socket_route);
    return result;
}

int devices_configure(struct devices *devices, const struct device_spec *spec, int pidfd,
                      int *diagnosis, struct error *error)
{
    if (setns(pidfd, CLONE_NEWNET))
        return error_set(error, -errno, "the node's network namespace: %s", strerror(errno));
    int result = configure_inside(spec, diagnosis, error);
    if (setns(devices->namespace, CLONE_NEWNET))
        abort();
    if (result || (result = await_carrier(devices->socket, outer_index(spec))) == 0)
        return result;
    close(*diagnosis);
    *diagnosis = -1;
    return fail(result, "the outer device, running", error);
}
