/* The parameters of faults as people write them: "5%", "80ms", "64KiB". Which there are is the
 * table of ruleset_parameters.h, and what every fault has beside them: toxicity, first, after,
 * match. Pure.
 */
#ifndef SEVER_CTL_PARAMETERS_H
#define SEVER_CTL_PARAMETERS_H

#include <stddef.h>

#include <jansson.h>

#include "proxy/base/error.h"
#include "proxy/base/text.h"
#include "proxy/fault/ruleset_parameters.h"

/* The key without its unit: "delay" of delay_ns, "burst" of burst_bytes; "rate" of bytes_per_s.
 * Returns its length; the characters are at *name. */
size_t parameter_name(const struct ruleset_parameter *parameter, const char **name);

/* By its key or by its name, length bytes. NULL when the type has none such. */
const struct ruleset_parameter *parameter_find(enum ruleset_fault_type type, const char *name,
                                               size_t length);
/* Appends "delay, jitter, ..." of the type, and what every fault has. */
void parameter_list(enum ruleset_fault_type type, struct text *text);

/* What the API has for the text: a new reference. NULL with *error, -EINVAL, for what is no value
 * of its kind, or out of its range. */
json_t *parameter_parse(const struct ruleset_parameter *parameter, const char *text,
                        struct error *error);

/* Back to text, exactly. value: NULL appends nothing. */
void parameter_format(const struct ruleset_parameter *parameter, json_t *value, struct text *text);

/* What every fault has, as rows of the same table; their fields are not to be read. */
extern const struct ruleset_parameter parameter_reach[];
extern const size_t parameter_reach_count;

#endif
