/* The control thread's side of routes: which sockets listen, and the tables that workers read.
 *
 * A change is prepared (sockets are bound: all that can fail) and published; then the routes before
 * it are destroyed, or, when it is abandoned, the prepared ones, with nothing changed. Sockets that
 * both have stay open. A route lives on one worker, chosen by its slot, or on all when it is
 * spread.
 */
#ifndef SEVER_DAEMON_ROUTES_H
#define SEVER_DAEMON_ROUTES_H

#include "proxy/base/address.h"
#include "proxy/base/error.h"
#include "proxy/daemon/worker.h"
#include "proxy/fault/plan.h"
#include "proxy/fault/ruleset.h"

struct routes; /* everything that listens under one ruleset, with its publication */

/* Routes of `ruleset`, whose plan is `plan`; sockets that `current` (NULL: none) has and that stay
 * are shared with it. The plan and its matches are borrowed. *current is not changed. Errors have
 * the place "routes[i].listen" or such; -EADDRINUSE, -EADDRNOTAVAIL, -EACCES, -EINVAL, -ENOENT. */
int routes_prepare(const struct ruleset *ruleset, const struct fault_plan *plan,
                   const struct match_set *matches, unsigned workers, const struct routes *current,
                   struct routes **routes, struct error *error);
/* Without ports of a lab, and captures. */
const struct publication *routes_publication(const struct routes *routes);
/* Closes what no other `struct routes` has. NULL is fine. */
void routes_destroy(struct routes *routes);

/* The address that the route in this slot of the plan listens on, NULL when there is none. */
const struct address *routes_listening(const struct routes *routes, uint16_t slot);

#endif
