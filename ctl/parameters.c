#include "ctl/parameters.h"

#include <inttypes.h>
#include <math.h>

#include "proxy/base/random.h"
#include "proxy/base/units.h"

json_t *parameter_parse(const struct ruleset_parameter *parameter, const char *text,
                        struct error *error)
{
    uint64_t value = 0;
    if (parameter->kind == RULESET_PARAMETER_TABLE)
        return json_string(text);
    if (ruleset_parameter_parse(parameter, text, &value, error))
        return NULL;
    switch (parameter->kind) {
    case RULESET_PARAMETER_FLAG:
        return json_boolean(value);
    case RULESET_PARAMETER_DISTRIBUTION:
    case RULESET_PARAMETER_LOSS_MODEL:
        return json_string(text);
    case RULESET_PARAMETER_PROBABILITY:
        return json_real((double)value / RANDOM_PPB_ONE);
    default:
        return json_integer((json_int_t)value);
    }
}

/* In the largest unit that has it whole. */
static void append_bytes(struct text *text, uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB"};
    size_t unit = 0;
    while (bytes > 0 && bytes % 1024 == 0 && unit < 3) {
        bytes /= 1024;
        unit++;
    }
    text_append(text, "%" PRIu64 "%s", bytes, units[unit]);
}

void parameter_format(const struct ruleset_parameter *parameter, json_t *value, struct text *text)
{
    char buffer[UNITS_TEXT_MAX];
    uint64_t number = (uint64_t)json_integer_value(value);
    double ratio = json_number_value(value);
    if (!value)
        return;
    switch (parameter->kind) {
    case RULESET_PARAMETER_NS:
        text_append(text, "%s", units_format_duration(number, buffer));
        break;
    case RULESET_PARAMETER_BYTES:
        append_bytes(text, number);
        break;
    case RULESET_PARAMETER_RATE:
        text_append(text, "%s", number ? units_format_rate(number, buffer) : "0");
        break;
    case RULESET_PARAMETER_PROBABILITY:
        text_append(text, "%s",
                    units_format_probability((uint32_t)llround(ratio * RANDOM_PPB_ONE), buffer));
        break;
    case RULESET_PARAMETER_COUNT:
        text_append(text, "%" PRIu64, number);
        break;
    case RULESET_PARAMETER_FLAG:
        text_append(text, "%s", json_is_true(value) ? "true" : "false");
        break;
    case RULESET_PARAMETER_DISTRIBUTION:
    case RULESET_PARAMETER_LOSS_MODEL:
    case RULESET_PARAMETER_TABLE:
        text_append(text, "%s", json_string_value(value) ? json_string_value(value) : "");
        break;
    }
}
