/* The lab beside the ruleset: which nodes it has, with their ports, and which host ports lead
 * there.
 *
 * Theory of operation. A node of the lab is a node of the ruleset with the lab's addresses. So
 * every change of its nodes has four steps, and only the first two can fail: the lab makes what is
 * new (nodes are *joining*) or notes what will go (*leaving*); lab_state_edit makes the ruleset
 * that this means; the backend puts it in force, with the ports as lab_state_fill has them; and
 * lab_state_commit takes what left out of the list, or lab_state_abandon, when any step has failed,
 * what was joining. What is out of the list is let go by lab_state_release. A node that a change of
 * the ruleset by others would take away or rob of its addresses is defended by lab_state_check.
 *
 * The lab itself is the lab's thread's (lab_thread.h): its keeper may be slow. What that thread has
 * made, and what it has to let go, is where nobody else looks; all other functions are the control
 * thread's, called while the lab's thread waits when they touch either.
 *
 * What a node's coming and going means for the ruleset is lab_ruleset.h's.
 *
 * A node whose holder has died is a node that does not *run*: it stays, without a port, until it is
 * removed or the lab ends. */
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

/* Without a lab. */
struct lab_state *lab_state_create(void);

/* --- for the lab's thread --- */

/* Ends the lab. No worker may be on a publication with its ports. */
void lab_state_destroy(struct lab_state *state);
/* Makes the lab with its nodes; go_on: asked before each. After a failure: lab_state_release. */
int lab_state_start(struct lab_state *state, const struct wire_lab_wanted *wanted,
                    bool (*go_on)(void *context), void *context, struct error *error);
/* Makes one more node; as lab_state_start. */
int lab_state_make(struct lab_state *state, const struct wire_lab_member *member,
                   struct error *error);
/* Lets go of what was made and is not in force, and of what is not any more; of the lab when it is
 * not up. */
void lab_state_release(struct lab_state *state);
/* port->listen becomes the address really bound. The gateway must be there (LAB_GATEWAY). -EINVAL,
 * -EADDRINUSE, ... */
int lab_state_open_port(struct lab_state *state, struct wire_lab_port *port, struct error *error);
int lab_state_close_port(struct lab_state *state, const char *listen, struct error *error);
/* lab_check and lab_poll_fd; NULL and -1 without a lab. */
const char *lab_state_check_nodes(struct lab_state *state);
int lab_state_poll_fd(const struct lab_state *state);

/* --- for the control thread --- */

bool lab_state_is_up(const struct lab_state *state);
size_t lab_state_node_count(const struct lab_state *state);
/* One that is leaving is not. */
bool lab_state_has(const struct lab_state *state, const char *name);
bool lab_state_is_running(const struct lab_state *state, const char *name);

/* Whether a lab, such a node, such a port can be made, and one be closed: -EEXIST, -ENOENT without
 * a lab, -EINVAL, -E2BIG. */
int lab_state_may_start(const struct lab_state *state, struct error *error);
int lab_state_may_join(const struct lab_state *state, const char *name, struct error *error);
int lab_state_may_lead(const struct lab_state *state, const char *name, struct error *error);
int lab_state_may_close(const struct lab_state *state, const char *listen, struct error *error);

/* First step. That node leaves; NULL: all do, and the lab ends. -ENOENT. */
int lab_state_leave(struct lab_state *state, const char *name, struct error *error);

/* Second step: *next is a copy of current with what was made and without what leaves. On failure
 * there is nothing to free. */
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

void lab_state_note_port(struct lab_state *state, const struct wire_lab_port *port);
void lab_state_forget_port(struct lab_state *state, const char *listen);

void lab_state_describe(const struct lab_state *state, struct wire_lab *lab);
int lab_state_describe_node(const struct lab_state *state, const char *name,
                            struct wire_lab_node *node);

/* The node that lab_state_check_nodes has told does not run, and ports that lead to it lead
 * nowhere; "" for all. text: what has happened. The next lab_state_fill leaves its port out;
 * lab_state_bury has it let go once the workers are on that. */
void lab_state_end_node(struct lab_state *state, const char *name, char *text, size_t size);
void lab_state_bury(struct lab_state *state);

/* The TCP connections of all nodes, as the kernel has them now; see struct api_lab. */
int lab_state_connections(const struct lab_state *state, const struct fault_plan *plan,
                          struct wire_lab_connection *list, size_t *count, size_t *more,
                          struct error *error);

#endif
