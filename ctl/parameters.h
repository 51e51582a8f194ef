/* The parameters of faults between text and JSON. Pure. */
#ifndef SEVER_CTL_PARAMETERS_H
#define SEVER_CTL_PARAMETERS_H

#include <jansson.h>

#include "proxy/base/error.h"
#include "proxy/base/text.h"
#include "proxy/fault/ruleset_parameter_text.h"

/* What the API has for the text: a new reference. NULL with *error, -EINVAL, for what is no value
 * of its kind, or out of its range. */
json_t *parameter_parse(const struct ruleset_parameter *parameter, const char *text,
                        struct error *error);

/* Back to text, exactly. value: NULL appends nothing. */
void parameter_format(const struct ruleset_parameter *parameter, json_t *value, struct text *text);

#endif
