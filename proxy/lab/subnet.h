/* Which addresses the nodes of a lab have: the k-th node the k-th host address of each network. */
#ifndef SEVER_LAB_SUBNET_H
#define SEVER_LAB_SUBNET_H

#include <stdint.h>

#include "proxy/base/address.h"
#include "proxy/base/error.h"

struct subnet {
    int family;          /* AF_INET or AF_INET6; 0: none */
    unsigned prefix;     /* length */
    uint8_t network[16]; /* in network order, from the first byte on */
};

/* "10.77.0.0/24": the network's first address and its length, 8 to 30; "fd77::/64": 16 to 126.
 * Networks that hosts can't have (loopback, multicast, link-local, ...) are refused. -EINVAL with
 * what to write instead. */
int subnet_parse(const char *text, int family, struct subnet *subnet, struct error *error);
/* The k-th host address (k from 1), port 0. -ENOSPC when the network ends before; the last address
 * of an IPv4 network is its broadcast address. */
int subnet_address(const struct subnet *subnet, unsigned k, struct address *address);

#endif
