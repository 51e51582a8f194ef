/* The parameters of each fault type, as one table: what a document calls them, their unit, their
 * range, and where they are in struct ruleset_fault. Check, codec, comparison and command line all
 * read it, so that a parameter is written down once. What every type has (target, toxicity, window,
 * match) is not in it. */
#ifndef SEVER_FAULT_RULESET_PARAMETERS_H
#define SEVER_FAULT_RULESET_PARAMETERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/fault/ruleset.h"

enum ruleset_parameter_kind {
    RULESET_PARAMETER_NS,           /* uint64_t, duration */
    RULESET_PARAMETER_BYTES,        /* uint64_t */
    RULESET_PARAMETER_RATE,         /* uint64_t, bytes per second */
    RULESET_PARAMETER_PROBABILITY,  /* uint32_t, parts per billion; a document has 0 to 1 */
    RULESET_PARAMETER_COUNT,        /* uint32_t */
    RULESET_PARAMETER_FLAG,         /* bool */
    RULESET_PARAMETER_DISTRIBUTION, /* enum ruleset_distribution, by name */
    RULESET_PARAMETER_LOSS_MODEL,   /* enum ruleset_loss_model, by name */
    RULESET_PARAMETER_TABLE,        /* char[RULESET_NAME_MAX], the name of a table */
};

struct ruleset_parameter {
    const char *key; /* with its unit: "delay_ns" */
    enum ruleset_parameter_kind kind;
    size_t offset; /* in struct ruleset_fault */
    uint64_t minimum, maximum;
    bool required;     /* in a new fault */
    unsigned models;   /* of loss: bits of the models that have it; 0: always there */
    const char *range; /* what is allowed, as a sentence for people */
};

/* The parameters of a type, in the order in which documents have them. */
const struct ruleset_parameter *ruleset_parameters(enum ruleset_fault_type type, size_t *count);
/* Whether this fault has it (some belong to one loss model only). */
bool ruleset_parameter_is_there(const struct ruleset_parameter *parameter,
                                const struct ruleset_fault *fault);

/* Numbers, flags (0, 1) and enumerations as a number; not for tables. set: the caller has checked
 * the range. */
uint64_t ruleset_parameter_get(const struct ruleset_parameter *parameter,
                               const struct ruleset_fault *fault);
void ruleset_parameter_set(const struct ruleset_parameter *parameter, struct ruleset_fault *fault,
                           uint64_t value);
/* The field of a table's name. */
const char *ruleset_parameter_text(const struct ruleset_parameter *parameter,
                                   const struct ruleset_fault *fault);
char *ruleset_parameter_text_field(const struct ruleset_parameter *parameter,
                                   struct ruleset_fault *fault);

/* True when all parameters of the two, which are of one type, are the same. */
bool ruleset_same_parameters(const struct ruleset_fault *a, const struct ruleset_fault *b);

#endif
