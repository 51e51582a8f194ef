/* What a fault really does where it is placed, in words for people. Pure. */
#ifndef SEVER_DAEMON_APPLIED_H
#define SEVER_DAEMON_APPLIED_H

#include <stdbool.h>
#include <stddef.h>

#include "proxy/fault/ruleset.h"

/* What this machine lets severd do. Zero: nothing that needs a privilege. */
struct applied_mechanisms {
    bool segment_filters;  /* the kernel drops segments of its TCP sockets for it */
    bool icmp_unreachable; /* it can answer a datagram with ICMP port unreachable */
};

/* Which nodes are in the lab; NULL: there is no lab. */
struct applied_lab {
    bool (*has)(const void *context, const char *node);
    const void *context;
};

enum { APPLIED_TEXT_MAX = 256 };

/* "all routes", "the lab", "all routes and the lab", "the route", "udp routes only: ...", "nothing:
 * ...", each perhaps with a note behind a semicolon. A fault on a link is judged by the routes that
 * carry that link, and by whether both ends are in the lab; while there is neither a route nor a
 * lab, by its type. buffer: APPLIED_TEXT_MAX bytes. Returns buffer. */
const char *applied_describe(const struct ruleset *ruleset, const struct ruleset_fault *fault,
                             const struct applied_mechanisms *mechanisms,
                             const struct applied_lab *lab, char *buffer);

#endif
