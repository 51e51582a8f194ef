/* Entering a node of a lab, as severctl and sever do it. pid: the node's, as the API tells it.
 *
 * An ordinary user's lab is in a user namespace that he owns; a process of his may go there (while
 * it has one thread) and has every capability inside, and none outside. As root there is none. */
#ifndef SEVER_WIRE_LAB_ENTRY_H
#define SEVER_WIRE_LAB_ENTRY_H

#include <sys/types.h>

#include "proxy/base/error.h"

/* The calling process, which must have one thread, goes into the node's user namespace; no effect
 * when it is there. Files, ids, and all other namespaces stay. 0, -ESRCH, -EPERM with the reason.
 */
int lab_entry_join(pid_t pid, struct error *error);
/* The calling thread's sockets are the node's from now on, as are those of threads that it starts;
 * sockets that are open stay where they were. Once per thread is not the limit: it may go on to
 * another node. After lab_entry_join. */
int lab_entry_use_network(pid_t pid, struct error *error);
/* The calling process goes into all of the node's namespaces; what it forks is then in the node,
 * the first process apart (pid namespaces are for children). After lab_entry_join. */
int lab_entry_enter(pid_t pid, struct error *error);
/* In a child of that one, before exec: an ordinary user keeps CAP_NET_ADMIN, CAP_NET_RAW and
 * CAP_NET_BIND_SERVICE for the node across exec, all others are dropped; root loses CAP_SYS_TIME.
 * Makes system calls only (fork in a process with threads). 0 or -errno. */
int lab_entry_limit(void);

#endif
