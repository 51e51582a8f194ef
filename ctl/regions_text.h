/* Regions and how far they are apart, as a text file (severctl regions). Pure.
 *
 *     region eu: n1 n2             a region and its nodes; a node is in one region at most
 *     region us: n3
 *
 *     round-trip: eu     us        or one-way: a row for each region, in any order, and in it a
 *     eu          1ms    85ms±4ms  column for each region of this line: the delay from the row's to
 *     us          85ms   1ms       the column's, also between nodes of one region
 *
 * A delay is DURATION or DURATION±JITTER; '-' is none. Of a round trip each way has half, of the
 * jitter too. '#' begins a comment. */
#ifndef SEVER_CTL_REGIONS_TEXT_H
#define SEVER_CTL_REGIONS_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "proxy/base/error.h"
#include "proxy/fault/ruleset.h"

enum { REGIONS_MAX = 64, REGIONS_TEXT_BYTES_MAX = 1 << 20 };

/* What the faults' names begin with: "region/n1<->n3". */
#define REGIONS_PREFIX "region/"

struct regions_delay { /* one way; both 0: none */
    uint64_t delay_ns, jitter_ns;
};

struct regions_node {
    char name[RULESET_NAME_MAX];
    size_t region;
    size_t line; /* where the file names it */
};

struct regions {
    char names[REGIONS_MAX][RULESET_NAME_MAX];
    size_t count;
    struct regions_node nodes[RULESET_NODES_MAX];
    size_t node_count;
    struct regions_delay delays[REGIONS_MAX][REGIONS_MAX]; /* [from][to] */
};

/* -EINVAL with place "line 3" (from 1), or "" for what is missing at the end; -E2BIG for too much
 * of something. *regions is then undefined. */
int regions_parse(const char *text, size_t length, struct regions *regions, struct error *error);

/* The faults, as the API has them: new reference, an array. One for each pair of nodes with a
 * delay, "n1<->n3" when both ways have the same, else one for each way. */
json_t *regions_make_faults(const struct regions *regions);

#endif
