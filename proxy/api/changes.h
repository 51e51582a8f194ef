/* What is different between two rulesets, for people. Pure. */
#ifndef SEVER_API_CHANGES_H
#define SEVER_API_CHANGES_H

#include <jansson.h>

#include "proxy/fault/ruleset.h"

enum { API_CHANGES_MAX = 64 }; /* texts in one description; more are only counted */

/* An array of texts such as "partition split set", "fault latency-1 removed", "clock n1 +2ms". */
json_t *api_describe_changes(const struct ruleset *before, const struct ruleset *after);

#endif
