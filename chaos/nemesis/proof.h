/* Whether a fault had an effect: what severd's counters say before and after. Pure. */
#ifndef SEVER_CHAOS_NEMESIS_PROOF_H
#define SEVER_CHAOS_NEMESIS_PROOF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "proxy/base/text.h"
#include "proxy/fault/ruleset.h"

/* What a cut does to traffic that tries to cross it. */
struct proof_counters {
    uint64_t held_bytes, held_connections, dropped;
};

struct proof_link {
    char link[RULESET_LINK_TEXT_MAX]; /* "n1->n2" */
    struct proof_counters before, now;
};

/* Fills `now` (and, when baseline, `before`) of each link from the answer of GET /v1/links. Links
 * that the answer does not have keep what they had. */
void proof_read_links(json_t *answer, struct proof_link *links, size_t count, bool baseline);

/* How many links have stopped something since the baseline. A cut with 0 proves nothing. */
size_t proof_count_effective(const struct proof_link *links, size_t count);
/* "held 120 bytes and 2 new connections on 4 of 12 links", or that nothing tried to cross. */
void proof_describe_links(const struct proof_link *links, size_t count, struct text *out);

#endif
