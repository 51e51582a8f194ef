/* A node's device, its other end, and what else the node's network namespace needs, by netlink. */
#ifndef SEVER_LAB_DEVICES_H
#define SEVER_LAB_DEVICES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "proxy/base/error.h"
#include "proxy/lab/lab.h"

struct device_spec {
    unsigned number; /* of the node; names the outer end */
    uint32_t mtu;
    unsigned char mac[6]; /* of the node's end; the outer end's differs in the third byte */
    struct address addresses[LAB_NODE_ADDRESSES];
    unsigned prefixes[LAB_NODE_ADDRESSES]; /* their networks' lengths */
    size_t address_count;
};

struct nl_sock;

/* The network namespace of the outer ends: the one that the process is in at devices_open. */
struct devices {
    struct nl_sock *socket;
    int namespace; /* -1: not open */
    bool ipv6;     /* what is made from there can have it */
};

int devices_open(struct devices *devices, struct error *error);

/* Makes the pair: eth0 in the network namespace of process `pid`, which is not up yet, and the
 * outer end here, which is. The outer end has no address and sends nothing of its own. *index: the
 * outer end's. */
int devices_create(struct devices *devices, const struct device_spec *spec, pid_t pid, int *index,
                   struct error *error);
/* The rest, in the node's namespace: lo, eth0 with its addresses (usable at once), the routes for
 * broadcast and multicast, settings. *diagnosis: a NETLINK_SOCK_DIAG socket of that namespace, the
 * caller's. pidfd: of a process there. The process must have one thread. */
int devices_configure(struct devices *devices, const struct device_spec *spec, int pidfd,
                      int *diagnosis, struct error *error);
/* Removes both ends, at once. Nothing when they are gone. */
void devices_delete(struct devices *devices, int index);

#endif
