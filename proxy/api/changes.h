/* What is different between two rulesets, for people and for bookkeeping. Pure. */
#ifndef SEVER_API_CHANGES_H
#define SEVER_API_CHANGES_H

#include <jansson.h>

#include "proxy/fault/ruleset.h"

enum { API_CHANGES_MAX = 64 }; /* texts in one description; more are only counted */

/* An array of texts such as "partition split set", "fault latency-1 removed", "clock n1 +2ms". */
json_t *api_describe_changes(const struct ruleset *before, const struct ruleset *after);

/* Faults and partitions of next that are in current, the same, keep set_by and set_at_ns from
 * there; those of all others are cleared. */
void api_keep_origins(const struct ruleset *current, struct ruleset *next);

#endif
