/* Quantiles of netem's delay distributions in integers. Internal to proxy/fault. */
#ifndef SEVER_FAULT_DISTRIBUTION_H
#define SEVER_FAULT_DISTRIBUTION_H

#include <stdint.h>

#include "proxy/fault/ruleset.h"

enum {
    DISTRIBUTION_INTERVALS = 1024,
    DISTRIBUTION_ONE = 65536,      /* 1.0 in the tables */
    DISTRIBUTION_TABLE_ONE = 8192, /* 1.0 in a ruleset's table (netem's NETEM_DIST_SCALE) */
};

/* Quantiles at i / DISTRIBUTION_INTERVALS, linear in between (distribution_table.c). */
extern const int32_t distribution_normal[DISTRIBUTION_INTERVALS + 1];
extern const int32_t distribution_pareto[DISTRIBUTION_INTERVALS + 1];

/* jitter_ns times the draw X of pipeline.h, in nanoseconds, rounded towards zero.
 * bits: 64 random bits. jitter_ns: at most RULESET_DELAY_NS_MAX. */
int64_t distribution_draw(enum ruleset_distribution distribution, uint64_t bits,
                          uint64_t jitter_ns);

/* The same with one of the table's values, each as likely; DISTRIBUTION_TABLE_ONE in it is one
 * jitter. The table has values. */
int64_t distribution_draw_table(const struct ruleset_table *table, uint64_t bits,
                                uint64_t jitter_ns);

#endif
