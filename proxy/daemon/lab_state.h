/* The lab beside the ruleset: which nodes it has, with their ports, and which host ports lead
 * there.
 *
 * Theory of operation. A node of the lab is a node of the ruleset with the lab's addresses. So
 * every change of its nodes has four steps, and only the first two can fail: the lab makes what is
 * new (nodes are *joining*) or notes what will go (*leaving*); lab_state_edit makes the ruleset
 * that this means; the backend puts it in force, with the ports as lab_state_fill has them; and
 * lab_state_commit lets go of what left, or lab_state_abandon, when any step has failed, of what
 * was joining. A node that a change of the ruleset by others would take away or rob of its
 * addresses is defended by lab_state_check.
 *
 * A node that was in the ruleset before the lab came stays when it leaves, without the lab's
 * addresses. One that the lab brought goes, and with it what is on its links and its clock, unless
 * a route names it.
 *
 * A node whose holder has died is a node that does not *run*: it stays, without a port, until it is
 * removed or the lab ends.
 *
 * Control thread only. */
#ifndef SEVER_DAEMON_LAB_STATE_H
#define SEVER_DAEMON_LAB_STATE_H

#include <stdbool.h>
#include <stddef.h>

#include "proxy/base/error.h"
#include "proxy/daemon/worker.h"
#include "proxy/fault/plan.h"
#include "proxy/fault/ruleset.h"
#include "proxy/wire/lab.h"

struct lab_state;

/* Without a lab. -errno when a descriptor can't be had. */
int lab_state_create(struct lab_state **state, struct error *error);
/* Ends the lab. No worker may be on a publication with its ports. NULL is fine. */
void lab_state_destroy(struct lab_state *state);

bool lab_state_is_up(const struct lab_state *state);
size_t lab_state_node_count(const struct lab_state *state);
/* One that is leaving is not. */
bool lab_state_has(const struct lab_state *state, const char *name);

/* First step. Starts the lab with its nodes, which are joining. -EEXIST when there is one. On
 * failure there is none. */
int lab_state_start(struct lab_state *state, const struct wire_lab_wanted *wanted,
                    struct error *error);
/* Makes one more node. -ENOENT without a lab; -EEXIST. */
int lab_state_join(struct lab_state *state, const struct wire_lab_member *member,
                   struct error *error);
/* That node leaves; NULL: all do, and the lab ends. -ENOENT. */
int lab_state_leave(struct lab_state *state, const char *name, struct error *error);

/* Second step: *next is a copy of current with what joins and without what leaves. On failure there
 * is nothing to free. */
int lab_state_edit(struct lab_state *state, const struct ruleset *current, struct ruleset *next,
                   struct error *error);

/* Third step, and part of any change: has `ruleset` the lab's nodes, with their addresses? -EINVAL.
 */
int lab_state_check(const struct lab_state *state, const struct ruleset *ruleset,
                    struct error *error);
/* Sets each worker's table of ports in a publication of `plan`. Returns what the tables point into:
 * to be freed when no worker is on it; NULL without a lab. */
struct packet_port_spec *lab_state_fill(const struct lab_state *state,
                                        const struct fault_plan *plan, unsigned workers,
                                        struct publication *publication);

/* Last step. */
void lab_state_commit(struct lab_state *state);
void lab_state_abandon(struct lab_state *state);

/* port->listen becomes the address really bound. The gateway must be there (LAB_GATEWAY). -ENOENT
 * without a lab or such a node, -EINVAL, -E2BIG, -EADDRINUSE, ... */
int lab_state_add_port(struct lab_state *state, struct wire_lab_port *port, struct error *error);
int lab_state_remove_port(struct lab_state *state, const char *listen, struct error *error);

void lab_state_describe(const struct lab_state *state, struct wire_lab *lab);
int lab_state_describe_node(const struct lab_state *state, const char *name,
                            struct wire_lab_node *node);

/* Readable when something has happened unasked; valid as long as the state. */
int lab_state_poll_fd(const struct lab_state *state);
/* One thing that has happened, as text; false when there is none (any more). Ports of nodes that
 * have ended are left out by the next lab_state_fill; lab_state_bury frees them once the workers
 * are on that. */
bool lab_state_next_news(struct lab_state *state, char *text, size_t size);
void lab_state_bury(struct lab_state *state);

/* The TCP connections of all nodes, as the kernel has them now; see struct api_lab. */
int lab_state_connections(const struct lab_state *state, const struct fault_plan *plan,
                          struct wire_lab_connection *list, size_t *count, size_t *more,
                          struct error *error);

#endif
