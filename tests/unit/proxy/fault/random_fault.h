/* A random fault of a type, each parameter drawn within its range by the table of parameters, so
 * that a new row is tested without being written down again. */
#ifndef SEVER_TESTS_FAULT_RANDOM_FAULT_H
#define SEVER_TESTS_FAULT_RANDOM_FAULT_H

#include <stdio.h>

#include "proxy/base/random.h"
#include "proxy/fault/ruleset_parameters.h"

static const char random_distribution_table[] = "table of jitter", random_trace_table[] = "trace";

/* The two tables that random faults name. */
static inline void random_add_tables(struct ruleset *ruleset)
{
    int32_t jitter[] = {-32768, 0, 7, 32767}, trace[] = {0, 5, 5, 100000};
    struct ruleset_table tables[] = {{.values = jitter, .count = 4}, {.values = trace, .count = 4}};
    snprintf(tables[0].name, RULESET_NAME_MAX, "%s", random_distribution_table);
    snprintf(tables[1].name, RULESET_NAME_MAX, "%s", random_trace_table);
    ruleset_set_table(ruleset, &tables[0]);
    ruleset_set_table(ruleset, &tables[1]);
}

static inline uint64_t random_within(struct random_stream *dice, uint64_t low, uint64_t high)
{
    return low + random_below(random_next(dice), high - low + 1);
}

/* What one parameter may be depends on another one in these. */
static inline void random_make_consistent(struct ruleset_fault *fault)
{
    if (fault->type == RULESET_TRACE)
        snprintf(fault->trace.table, RULESET_NAME_MAX, "%s", random_trace_table);
    if (fault->type == RULESET_LATENCY && fault->latency.distribution == RULESET_TABLE)
        snprintf(fault->latency.table, RULESET_NAME_MAX, "%s", random_distribution_table);
    if (fault->type == RULESET_LOSS && fault->loss.model == RULESET_LOSS_MARKOV) {
        fault->loss.p14_ppb %= RULESET_PROBABILITY_MAX - fault->loss.p13_ppb + 1;
        fault->loss.p32_ppb %= RULESET_PROBABILITY_MAX - fault->loss.p31_ppb + 1;
    }
    if (fault->type == RULESET_FLAP) {
        uint64_t up_ns = fault->flap.up_ns, down_ns = fault->flap.down_ns;
        fault->flap.jitter_ns %= (up_ns < down_ns ? up_ns : down_ns) / 2 + 1;
    }
    if (fault->type == RULESET_RATE && fault->rate.shared)
        fault->rate.queue_packets = 0;
}

/* Everything that the type decides; a rate is shared only when that is allowed. */
static inline struct ruleset_fault random_fault_of(struct random_stream *dice,
                                                   enum ruleset_fault_type type, bool may_share)
{
    struct ruleset_fault fault = {.type = type};
    size_t count;
    const struct ruleset_parameter *parameters = ruleset_parameters(type, &count);
    for (size_t i = 0; i < count; i++)
        if (parameters[i].kind != RULESET_PARAMETER_TABLE &&
            ruleset_parameter_is_there(&parameters[i], &fault))
            ruleset_parameter_set(
                &parameters[i], &fault,
                random_within(dice, parameters[i].minimum, parameters[i].maximum));
    if (type == RULESET_RATE && !may_share)
        fault.rate.shared = false;
    random_make_consistent(&fault);
    return fault;
}

/* For whom and when, each as often absent as not. */
static inline void random_reach(struct random_stream *dice, struct ruleset_fault *fault)
{
    if (random_below(random_next(dice), 2))
        fault->spared_ppb = (uint32_t)random_within(dice, 0, RULESET_PROBABILITY_MAX);
    if (random_below(random_next(dice), 2))
        fault->first_connections = (uint32_t)random_within(dice, 1, RULESET_CONNECTIONS_MAX);
    if (random_below(random_next(dice), 2))
        fault->after_ns = random_within(dice, 1, RULESET_DELAY_NS_MAX);
}

#endif
