/* What a data plane must know of the routes that it serves: plain values, made by the control
 * thread, read by one worker. Slots and serials are the plan's and the daemon's. */
#ifndef SEVER_IO_ROUTE_H
#define SEVER_IO_ROUTE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/base/address.h"

enum { ROUTE_SLOTS_MAX = 4096, ROUTE_NODE_SLOTS = 129 };

/* A slot that means "no node of the ruleset" (the same as the plan's FAULT_NO_NODE). */
#define ROUTE_NO_NODE UINT16_MAX

struct route_spec {
    uint16_t slot;   /* below ROUTE_SLOTS_MAX */
    uint64_t serial; /* another value: it is another route, connections of the old one end */
    int fd;          /* bound and listening; the control thread's to close, after the plane left */
    struct address upstream;
    /* Instead of an upstream address: a name to look up for each dial, "" for none, and the port.
     * The text lives as long as the table. */
    const char *upstream_name;
    uint16_t upstream_port;
    /* Of a route that is spread over the workers: how many connections it has had, by source node
     * slot (ROUTE_NODE_SLOTS), counted by all. NULL: the worker counts for itself. */
    _Atomic uint32_t *ordinals;
    bool close_unreached; /* a failed dial ends the peer's connection with FIN, not RST */
    bool from_peer;       /* the dialling node is found by the peer's address */
    uint16_t from;        /* else this one */
    uint16_t to;
};

/* One address of one node. */
struct route_source {
    struct address host; /* port 0 */
    uint16_t node;
};

struct route_table {
    const struct route_spec *routes;
    size_t route_count;
    const struct route_source *sources;
    size_t source_count;
    uint64_t sources_serial; /* another value: the sources have changed */
};

/* The node that has this peer address; ROUTE_NO_NODE when none has. */
static inline uint16_t route_find_source(const struct route_table *table,
                                         const struct address *peer)
{
    for (size_t i = 0; i < table->source_count; i++)
        if (address_same_host(&table->sources[i].host, peer))
            return table->sources[i].node;
    return ROUTE_NO_NODE;
}

#endif
