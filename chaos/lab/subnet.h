/* The loopback addresses of a run: one 127.A.B.0/24 that no other run on this machine has.
 *
 *   .1   ... .63    private: where node i binds, and what it dials from
 *   .101 ... .163   public: where severd listens for node i
 *   .200 ... .254   clients; when there are more, several share one */
#ifndef SEVER_CHAOS_LAB_SUBNET_H
#define SEVER_CHAOS_LAB_SUBNET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/base/error.h"

enum { SUBNET_CLIENT_ADDRESSES = 55, SUBNET_ADDRESS_MAX = 16 };

struct subnet {
    uint8_t a, b;
    int lock; /* an abstract unix socket bound to the subnet's name; -1: not taken */
};

enum subnet_role { SUBNET_OTHER, SUBNET_PRIVATE, SUBNET_PUBLIC, SUBNET_CLIENT };

/* Takes the first free subnet, beginning at a place that `hint` chooses. The lock goes with the
 * last process that holds the descriptor. -EADDRINUSE when all are taken. */
int subnet_take(uint64_t hint, struct subnet *subnet, struct error *error);
/* The hint's candidate number `attempt`: pure. A is 16..239, so that hand-made 127.0.x setups are
 * left alone. */
void subnet_candidate(uint64_t hint, unsigned attempt, uint8_t *a, uint8_t *b);
void subnet_release(struct subnet *subnet);

/* Texts; buffer: SUBNET_ADDRESS_MAX bytes. node, client: from 0. Return buffer. */
const char *subnet_private(const struct subnet *subnet, size_t node, char *buffer);
const char *subnet_public(const struct subnet *subnet, size_t node, char *buffer);
const char *subnet_client(const struct subnet *subnet, size_t client, char *buffer);

/* Whose is this address (host order)? *index: the node or client address, from 0. */
enum subnet_role subnet_role_of(const struct subnet *subnet, uint32_t address, size_t *index);

/* Whether a connection goes around severd (addresses in host order, local: the dialling end). */
enum subnet_bypass {
    SUBNET_NO_BYPASS,
    SUBNET_DIRECT,         /* from one node's private address to another's */
    SUBNET_UNKNOWN_SOURCE, /* to a route, from an address that tells nobody */
    /* To a node or its route, from an address that is no node's. That is right for severd, clients
     * and our own questions, and a bypass when another node's process has the socket. */
    SUBNET_ASK_OWNER,
};
/* *from, *to: the nodes, as far as they are known. */
enum subnet_bypass subnet_judge(const struct subnet *subnet, size_t node_count, uint32_t local,
                                uint32_t remote, size_t *from, size_t *to);

#endif
