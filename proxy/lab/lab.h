/* A lab: each node in namespaces of its own, with one device whose other end severd holds.
 *
 * Theory of operation. severd starts a *keeper*, a process of its own program, which goes into a
 * user namespace when severd is an ordinary user (as root it does not), and into a network
 * namespace for the devices' outer ends. For each node it starts a *holder*, the first process
 * (pid 1) of the node's own pid, network, mount, uts and ipc namespaces, which waits, reaps, and
 * does nothing else. A veth pair joins the two network namespaces; the sockets on its outer end
 * (packet/ring.h) are made by the keeper and handed over.
 *
 * So everything hangs on processes, and nothing has a name outside: when severd ends, however it
 * does, the keeper sees the end of its socket (and gets a signal), its holders die with it, every
 * process in a node dies with its holder, and the kernel takes namespaces and devices back. There
 * is nothing to clean up, and nothing that a second lab could be in the way of.
 *
 * Inside, a node has lo, eth0 with its addresses, and a host name; /etc/hosts names all nodes, and
 * is asked first. There is no default route: what is for elsewhere fails at once (ENETUNREACH), a
 * lookup at a name server included; broadcast and multicast have their routes. By itself a node
 * sends some reports of IPv6 multicast membership in its first second, and nothing else. Files are
 * the host's; /sys is, too, and shows the host's devices. Processes enter by the holder's pid
 * (wire/lab_entry.h, or nsenter(1)). An ordinary user keeps his own user id inside, with
 * CAP_NET_ADMIN, CAP_NET_RAW and CAP_NET_BIND_SERVICE.
 *
 * One thread only: the lab dies with the thread that has made it. Calls wait for the keeper, some
 * 30 ms for each node. (Most of it are the packet sockets, and closing them takes as long: the
 * kernel waits until no processor can be using them.) A keeper that does not answer for 20 s, or 5
 * s when it is stopped, is killed, and with it the lab: -ETIMEDOUT. */
#ifndef SEVER_LAB_LAB_H
#define SEVER_LAB_LAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "proxy/base/address.h"
#include "proxy/base/error.h"
#include "proxy/packet/ring.h"

enum { LAB_NAME_MAX = 64, LAB_NODES_MAX = 128, LAB_PORTS_MAX = 64, LAB_NODE_ADDRESSES = 2 };
enum { LAB_MTU_MIN = 576, LAB_MTU_MIN_IPV6 = 1280, LAB_MTU_MAX = 65535 };

struct lab_options {
    const char *subnet;  /* IPv4 network "10.77.0.0/24", the k-th node has its k-th host address */
    const char *subnet6; /* IPv6 network "fd77::/64"; "": none */
    bool subnet6_optional; /* none where the machine has no IPv6, or it is switched off */
    uint32_t mtu;          /* LAB_MTU_MIN (with IPv6 LAB_MTU_MIN_IPV6) .. LAB_MTU_MAX */
    uint64_t ring_bytes;   /* of each node's port; 0: the default */
};

/* What the node is, once it is there. */
struct lab_node {
    char name[LAB_NAME_MAX];
    unsigned number; /* 1, 2, ...: of its addresses; kept when others go */
    pid_t pid;       /* its holder, as this process sees it */
    unsigned char mac[6];
    struct address addresses[LAB_NODE_ADDRESSES]; /* port 0 */
    size_t address_count;
    int sockets[PACKET_RINGS]; /* of packet_sockets_open; the caller's from now on */
    int diagnosis;             /* a NETLINK_SOCK_DIAG socket of its namespace; the caller's */
};

struct lab;

/* Starts the keeper, some milliseconds. -EPERM, with what to do about it, where the kernel allows
 * no namespaces; -EINVAL for options, place "subnet" and so on. */
int lab_create(const struct lab_options *options, struct lab **lab, struct error *error);
/* Ends all that runs in it; returns when it is gone. A process that was started from outside stays
 * a zombie until its parent has waited for it; that is not waited for longer than 5 s. NULL is
 * fine. */
void lab_destroy(struct lab *lab);
/* The keeper's pid, and whether its namespaces are a user namespace's. */
pid_t lab_keeper(const struct lab *lab);
bool lab_in_user_namespace(const struct lab *lab);
/* Whether its nodes have IPv6 addresses, too. */
bool lab_has_ipv6(const struct lab *lab);

/* -EEXIST, -ENOSPC (no address left), -EINVAL for a name that is no host name, or means loopback.
 * The number is the one that a node of that name had before, if it is free, else the smallest that
 * no node has had, and when there is no such one the smallest that is free. */
int lab_add_node(struct lab *lab, const char *name, struct lab_node *node, struct error *error);
/* Kills what runs in it; its device is gone, and so are its name, its number, and ports that lead
 * to it (all ports, when it is the gateway). Zombies: as in lab_destroy, 2 s. -ENOENT. */
int lab_remove_node(struct lab *lab, const char *name, struct error *error);

/* A host port that leads to a node's: what connects to `listen` on the host reaches port `port` of
 * the node as a connection from the gateway, a node of the lab by the name of LAB_GATEWAY, which is
 * there from the first such port on; lab_add_node must have made it. bound: where it listens. TCP.
 * -EADDRINUSE, ... with place "listen". */
#define LAB_GATEWAY "gateway"
int lab_add_port(struct lab *lab, const struct address *listen, const char *node, uint16_t port,
                 struct address *bound, struct error *error);
int lab_remove_port(struct lab *lab, const struct address *bound, struct error *error);

/* Readable when a node, or the keeper, has ended unasked: then lab_check says which, once, "" for
 * the keeper (the whole lab is gone: destroy it; the descriptor stays readable), NULL when there is
 * none (any more). The node is gone as if it had been removed. The text is valid until the next
 * call. The gateway ends with its process, and when that does not answer for 10 s. */
int lab_poll_fd(const struct lab *lab);
const char *lab_check(struct lab *lab);

/* What severd's main does, first of all: when this process was started as a keeper it does not
 * return. */
void lab_keeper_main(int argc, char **argv);

#endif
