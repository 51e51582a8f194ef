#include "ctl/parameters.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "proxy/base/random.h"
#include "proxy/base/units.h"

const struct ruleset_parameter parameter_reach[] = {
    {"toxicity", RULESET_PARAMETER_PROBABILITY, 0, 0, RULESET_PROBABILITY_MAX, false, 0,
     "a toxicity is 0 to 1"},
    {"first_connections", RULESET_PARAMETER_COUNT, 0, 0, RULESET_CONNECTIONS_MAX, false, 0,
     "first is at most 10^9 connections"},
    {"after_ns", RULESET_PARAMETER_NS, 0, 0, RULESET_DELAY_NS_MAX, false, 0,
     "after is at most one hour"},
    {"match", RULESET_PARAMETER_TABLE, 0, 0, 0, false, 0, "a match is a filter of libpcap"},
};
const size_t parameter_reach_count = sizeof(parameter_reach) / sizeof(parameter_reach[0]);

size_t parameter_name(const struct ruleset_parameter *parameter, const char **name)
{
    static const char *const units[] = {"_ns", "_bytes", "_connections"};
    size_t length = strlen(parameter->key);
    *name = parameter->key;
    if (parameter->kind == RULESET_PARAMETER_RATE) {
        *name = "rate";
        return strlen(*name);
    }
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        size_t unit = strlen(units[i]);
        if (length > unit && strcmp(parameter->key + length - unit, units[i]) == 0)
            return length - unit;
    }
    return length;
}

static bool is_called(const struct ruleset_parameter *parameter, const char *name, size_t length)
{
    const char *short_name;
    size_t short_length = parameter_name(parameter, &short_name);
    return (short_length == length && memcmp(short_name, name, length) == 0) ||
           (strlen(parameter->key) == length && memcmp(parameter->key, name, length) == 0);
}

const struct ruleset_parameter *parameter_find(enum ruleset_fault_type type, const char *name,
                                               size_t length)
{
    size_t count;
    const struct ruleset_parameter *parameters = ruleset_parameters(type, &count);
    for (size_t i = 0; i < count; i++)
        if (is_called(&parameters[i], name, length))
            return &parameters[i];
    for (size_t i = 0; i < parameter_reach_count; i++)
        if (is_called(&parameter_reach[i], name, length))
            return &parameter_reach[i];
    return NULL;
}

static void append_names(const struct ruleset_parameter *parameters, size_t count,
                         struct text *text)
{
    for (size_t i = 0; i < count; i++) {
        const char *name;
        size_t length = parameter_name(&parameters[i], &name);
        text_append(text, "%s%.*s", text->length ? ", " : "", (int)length, name);
    }
}

void parameter_list(enum ruleset_fault_type type, struct text *text)
{
    size_t count;
    struct text names = {0};
    const struct ruleset_parameter *parameters = ruleset_parameters(type, &count);
    append_names(parameters, count, &names);
    append_names(parameter_reach, parameter_reach_count, &names);
    text_append(text, "%s", text_get(&names));
    text_free(&names);
}

/* "0" is a rate too: nothing passes. */
static int parse_rate(const char *text, uint64_t *value, struct error *error)
{
    *value = 0;
    return strcmp(text, "0") == 0 ? 0 : units_parse_rate(text, value, error);
}

static int parse_probability(const char *text, uint64_t *value, struct error *error)
{
    uint32_t ppb = 0;
    int code = units_parse_probability(text, &ppb, error);
    *value = ppb;
    return code;
}

static int parse_number(const struct ruleset_parameter *parameter, const char *text,
                        uint64_t *value, struct error *error)
{
    const char *name;
    int length;
    char what[32];
    switch (parameter->kind) {
    case RULESET_PARAMETER_NS:
        return units_parse_duration(text, value, error);
    case RULESET_PARAMETER_BYTES:
        return units_parse_size(text, value, error);
    case RULESET_PARAMETER_RATE:
        return parse_rate(text, value, error);
    case RULESET_PARAMETER_PROBABILITY:
        return parse_probability(text, value, error);
    default:
        length = (int)parameter_name(parameter, &name);
        snprintf(what, sizeof(what), "%.*s", length, name);
        return units_parse_unsigned(text, what, value, error);
    }
}

static json_t *parse_quantity(const struct ruleset_parameter *parameter, const char *text,
                              struct error *error)
{
    uint64_t value = 0;
    if (parse_number(parameter, text, &value, error))
        return NULL;
    if (value < parameter->minimum || value > parameter->maximum) {
        error_set(error, -EINVAL, "'%.64s' is out of range: %s", text, parameter->range);
        return NULL;
    }
    if (parameter->kind == RULESET_PARAMETER_PROBABILITY)
        return json_real((double)value / RANDOM_PPB_ONE);
    return json_integer((json_int_t)value);
}

static json_t *parse_flag(const char *text, struct error *error)
{
    if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)
        return json_boolean(text[0] == 't');
    error_set(error, -EINVAL, "write true or false, not '%.64s'", text);
    return NULL;
}

json_t *parameter_parse(const struct ruleset_parameter *parameter, const char *text,
                        struct error *error)
{
    enum ruleset_distribution distribution;
    enum ruleset_loss_model model;
    switch (parameter->kind) {
    case RULESET_PARAMETER_FLAG:
        return parse_flag(text, error);
    case RULESET_PARAMETER_DISTRIBUTION:
        return ruleset_parse_distribution(text, &distribution, error) ? NULL : json_string(text);
    case RULESET_PARAMETER_LOSS_MODEL:
        return ruleset_parse_loss_model(text, &model, error) ? NULL : json_string(text);
    case RULESET_PARAMETER_TABLE:
        return json_string(text);
    default:
        return parse_quantity(parameter, text, error);
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
