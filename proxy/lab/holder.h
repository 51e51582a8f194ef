/* A holder: pid 1 of a node's namespaces. It waits, and what ends in the node is reaped. */
#ifndef SEVER_LAB_HOLDER_H
#define SEVER_LAB_HOLDER_H

#include <stdint.h>
#include <sys/types.h>

#include "proxy/base/error.h"

struct holder {
    pid_t pid;
    int pidfd;
    int socket; /* that it holds the other end of: it dies when this closes */
};

/* A child of the calling process, which has one thread and ignores SIGCHLD, in pid, network, mount,
 * uts and ipc namespaces of its own, with host name `name` and a /proc that shows the node's
 * processes; where the kernel refuses a new /proc (a container that hides parts of its own) the old
 * one stays. It dies with the calling process. */
int holder_start(const char *name, struct holder *holder, struct error *error);
/* SIGKILL: every process of the node dies with it. */
void holder_kill(const struct holder *holder);
/* Waits until it and all of its node's processes are gone, but not longer than until the monotonic
 * deadline: a process that was started from outside stays, dead, until its parent has waited for
 * it, and that parent may be waiting for this. Then it is only forgotten. */
void holder_reap(struct holder *holder, uint64_t deadline_ns);

#endif
