/* ICMP "port unreachable" (RFC 792, RFC 4443): what a host answers to a datagram that nobody
 * listens for, so that a connected socket of the sender gets ECONNREFUSED.
 *
 * Raw sockets, which need CAP_NET_RAW; without it nothing is sent, and unreachable_works says so.
 * Nothing here ever blocks. The kernel bounds how many it tells, but not what goes through a raw
 * socket: whoever sends asks answer_limit_allow (answer_limit.h) first. */
#ifndef SEVER_IO_UNREACHABLE_H
#define SEVER_IO_UNREACHABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "proxy/base/address.h"

struct unreachable {
    int ipv4, ipv6; /* raw sockets; -1: refused */
};

void unreachable_open(struct unreachable *unreachable);
void unreachable_close(struct unreachable *unreachable);
/* Whether senders can be told. */
bool unreachable_works(const struct unreachable *unreachable);

/* Tells `source` that its datagram of `length` bytes to `destination`, an address of this host,
 * found nobody. False when it could not be sent, and for a source that is not one host (multicast,
 * broadcast, none), which must not be told (RFC 1122 3.2.2). */
bool unreachable_send(const struct unreachable *unreachable, const struct address *source,
                      const struct address *destination, uint32_t length);

#endif
