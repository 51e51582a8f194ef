/* What the coming and going of the lab's nodes means for the ruleset, a node at a time.
 *
 * Theory of operation. A node of the lab is a node of the ruleset with the lab's addresses. One
 * that was in the ruleset before the lab came is taken over: its own addresses stay, and it stays
 * when the lab goes, without the lab's. One that the lab brought goes with it, and so does what
 * means nothing without it: faults on its links, its part of partitions, its clock. But not when a
 * route names it: then it is somebody else's, too.
 *
 * Pure: values in, values out. */
#ifndef SEVER_DAEMON_LAB_RULESET_H
#define SEVER_DAEMON_LAB_RULESET_H

#include <stdbool.h>

#include "proxy/base/error.h"
#include "proxy/fault/ruleset.h"
#include "proxy/lab/lab.h"

/* Has the node, of that kind, with its addresses. *found: it was there before. -EINVAL when it was,
 * and has no room for them; *next is to be thrown away then. */
int lab_ruleset_join(struct ruleset *next, const struct lab_node *made, enum ruleset_node_kind kind,
                     bool *found, struct error *error);
/* found: as lab_ruleset_join has told. Fine when the ruleset has no such node. */
void lab_ruleset_leave(struct ruleset *next, const struct lab_node *gone, bool found);
/* Has the ruleset this node, with its addresses? -EINVAL, place "nodes". */
int lab_ruleset_check(const struct ruleset *ruleset, const struct lab_node *wanted,
                      struct error *error);

#endif
