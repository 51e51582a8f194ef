/* The parameters of faults as people write them, on a command line or in an experiment: named
 * without their unit, with values such as "5%", "80ms" and "64KiB". Pure. */
#ifndef SEVER_FAULT_RULESET_PARAMETER_TEXT_H
#define SEVER_FAULT_RULESET_PARAMETER_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "proxy/base/error.h"
#include "proxy/base/text.h"
#include "proxy/fault/ruleset_parameters.h"

/* What every fault has, as rows of the same table: "toxicity", "first_connections", "after_ns" and
 * "match", a text whose field is longer than a table's name. */
extern const struct ruleset_parameter ruleset_reach[];
extern const size_t ruleset_reach_count;

/* The key without its unit: "delay" of delay_ns, "burst" of burst_bytes; "rate" of bytes_per_s.
 * Returns its length; the characters are at *name. */
size_t ruleset_parameter_name(const struct ruleset_parameter *parameter, const char **name);

/* By its key or by its name, length bytes, among the type's and those of every fault. NULL when
 * there is none such. */
const struct ruleset_parameter *ruleset_parameter_find(enum ruleset_fault_type type,
                                                       const char *name, size_t length);
/* Appends "delay, jitter, ..." of the type, and what every fault has. */
void ruleset_parameter_list(enum ruleset_fault_type type, struct text *text);

/* The number, flag (0, 1) or enumeration that the text is, in its range; not for tables and
 * matches. -EINVAL otherwise. */
int ruleset_parameter_parse(const struct ruleset_parameter *parameter, const char *text,
                            uint64_t *value, struct error *error);

/* Sets what the text is, whatever row of the two tables it is of. -EINVAL, then nothing is set. */
int ruleset_parameter_write(const struct ruleset_parameter *parameter, struct ruleset_fault *fault,
                            const char *text, struct error *error);

#endif
