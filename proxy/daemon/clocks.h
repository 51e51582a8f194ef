/* One clock page for each node, in the run directory: DIR/NODE.clock. Control thread only. */
#ifndef SEVER_DAEMON_CLOCKS_H
#define SEVER_DAEMON_CLOCKS_H

#include <stdbool.h>

#include "proxy/base/error.h"
#include "proxy/fault/ruleset.h"

struct clocks;

/* directory: is there; borrowed. */
struct clocks *clocks_create(const char *directory, bool keep);
/* Removes the pages; with keep they stay, with true time, and are taken over by the next one,
 * together with the processes that read them. NULL is fine. */
void clocks_destroy(struct clocks *clocks);

/* Makes the pages that the ruleset's nodes need and that are not there yet. On failure those that
 * this call made are gone again. */
int clocks_prepare(struct clocks *clocks, const struct ruleset *ruleset, struct error *error);
/* Puts the ruleset's clocks in force, and removes pages of nodes that it does not have. Also undoes
 * clocks_prepare when given the ruleset before. */
void clocks_commit(struct clocks *clocks, const struct ruleset *ruleset);

/* The path of a node's page, "" when there is none. Valid until the page goes. */
const char *clocks_path(const struct clocks *clocks, const char *node);

#endif
