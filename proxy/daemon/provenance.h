/* Who set what, and when. */
#ifndef SEVER_DAEMON_PROVENANCE_H
#define SEVER_DAEMON_PROVENANCE_H

#include "proxy/fault/ruleset.h"

/* Partitions and faults of `next` that are in `current` unchanged keep its set_by and set_at_ns;
 * the others get `by` (cut to the field) and now_ns, whatever they had. */
void provenance_fill(struct ruleset *next, const struct ruleset *current, const char *by,
                     int64_t now_ns);

#endif
