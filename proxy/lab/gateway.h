/* The gateway: a process in a node of the lab, which relays what comes to listening sockets of the
 * host to other nodes. */
#ifndef SEVER_LAB_GATEWAY_H
#define SEVER_LAB_GATEWAY_H

#include <stdbool.h>
#include <stdint.h>

#include "proxy/base/address.h"
#include "proxy/base/error.h"
#include "proxy/lab/holder.h"

struct gateway_request {
    bool add;                /* else: remove */
    uint16_t slot;           /* below LAB_PORTS_MAX, the caller's choice */
    struct address upstream; /* add; with it comes the listening socket */
};

struct gateway_reply {
    int result;
    struct error error;
};

/* Starts it in the namespaces of a holder, from a process with one thread that ignores SIGCHLD.
 * *socket: where it says first whether it is ready (gateway_reply), then takes requests, one at a
 * time, and answers; it ends when all other ends of that are closed. */
int gateway_start(const struct holder *holder, int *socket, struct error *error);

#endif
