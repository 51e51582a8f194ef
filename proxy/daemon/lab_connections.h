/* The TCP connections of a network namespace, as the kernel tells them by sock_diag(7). */
#ifndef SEVER_DAEMON_LAB_CONNECTIONS_H
#define SEVER_DAEMON_LAB_CONNECTIONS_H

#include <stdint.h>

#include "proxy/base/address.h"
#include "proxy/base/error.h"

struct lab_connection {
    struct address local, remote;
    const char *state;    /* "established", "syn-sent", ...; static */
    uint64_t retransmits; /* of segments, ever */
};

typedef void (*lab_connection_fn)(void *context, const struct lab_connection *connection);

/* Calls fn for each connection, listeners and what is closed apart, of the namespace that the
 * NETLINK_SOCK_DIAG socket `fd` was made in. The kernel answers at once. 0 or -errno. */
int lab_connections_list(int fd, lab_connection_fn fn, void *context, struct error *error);

#endif
