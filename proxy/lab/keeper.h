/* The keeper, and what severd says to it.
 *
 * severd's side (lab.c) decides: names, numbers, addresses. The keeper does what it is told, one
 * request at a time, and answers each. Of a node that ends by itself it tells on the second socket,
 * so that an answer is always that of the last request. */
#ifndef SEVER_LAB_KEEPER_H
#define SEVER_LAB_KEEPER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "proxy/base/error.h"
#include "proxy/lab/devices.h"
#include "proxy/lab/lab.h"

/* How the keeper's process knows itself (argv[0]), and where its sockets are. */
#define KEEPER_PROGRAM "severd-lab-keeper"
enum { KEEPER_CONTROL_FD = 3, KEEPER_NOTES_FD = 4 };

enum keeper_verb {
    KEEPER_START,   /* goes into its namespaces; the first request */
    KEEPER_ADD,     /* a node: name, serial, device, ring_bytes */
    KEEPER_REMOVE,  /* a node: name; no effect when it is gone */
    KEEPER_GATEWAY, /* starts the gateway's process in the node of that name */
};

struct keeper_request {
    enum keeper_verb verb;
    char name[LAB_NAME_MAX];
    uint64_t serial;
    struct device_spec device;
    uint64_t ring_bytes;
};

/* Descriptors with the answer to KEEPER_ADD: the port's sockets, then the diagnosis socket; to
 * KEEPER_GATEWAY: the socket to the gateway (gateway.h). */
enum { KEEPER_NODE_FDS = PACKET_RINGS + 1, KEEPER_GATEWAY_FDS = 1 };

struct keeper_reply {
    int result; /* 0 or -errno, with error */
    struct error error;
    pid_t pid;           /* ADD: the holder */
    bool user_namespace; /* START, and whether nodes can have IPv6 addresses */
    bool ipv6;
};

struct keeper_note { /* a node has ended unasked */
    char name[LAB_NAME_MAX];
    uint64_t serial;
};

#endif
