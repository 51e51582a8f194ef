#include "proxy/fault/ruleset_parameter_text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proxy/base/units.h"

#define AT(field) offsetof(struct ruleset_fault, field)

const struct ruleset_parameter ruleset_reach[] = {
    {"toxicity", RULESET_PARAMETER_PROBABILITY, AT(spared_ppb), 0, RULESET_PROBABILITY_MAX, false,
     0, "a toxicity is 0 to 1"},
    {"first_connections", RULESET_PARAMETER_COUNT, AT(first_connections), 0,
     RULESET_CONNECTIONS_MAX, false, 0, "first is at most 10^9 connections"},
    {"after_ns", RULESET_PARAMETER_NS, AT(after_ns), 0, RULESET_DELAY_NS_MAX, false, 0,
     "after is at most one hour"},
    {"match", RULESET_PARAMETER_TABLE, AT(match), 0, 0, false, 0, "a match is a filter of libpcap"},
};
const size_t ruleset_reach_count = sizeof(ruleset_reach) / sizeof(ruleset_reach[0]);

size_t ruleset_parameter_name(const struct ruleset_parameter *parameter, const char **name)
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

static const struct ruleset_parameter *find_in(const struct ruleset_parameter *rows, size_t count,
                                               const char *name, size_t length)
{
    for (size_t i = 0; i < count; i++) {
        const char *short_name;
        size_t short_length = ruleset_parameter_name(&rows[i], &short_name);
        if ((short_length == length && memcmp(short_name, name, length) == 0) ||
            (strlen(rows[i].key) == length && memcmp(rows[i].key, name, length) == 0))
            return &rows[i];
    }
    return NULL;
}

const struct ruleset_parameter *ruleset_parameter_find(enum ruleset_fault_type type,
                                                       const char *name, size_t length)
{
    size_t count;
    const struct ruleset_parameter *rows = ruleset_parameters(type, &count);
    const struct ruleset_parameter *found = find_in(rows, count, name, length);
    return found ? found : find_in(ruleset_reach, ruleset_reach_count, name, length);
}

static void append_names(const struct ruleset_parameter *rows, size_t count, bool first,
                         struct text *text)
{
    for (size_t i = 0; i < count; i++) {
        const char *name;
        size_t length = ruleset_parameter_name(&rows[i], &name);
        text_append(text, "%s%.*s", first && i == 0 ? "" : ", ", (int)length, name);
    }
}

void ruleset_parameter_list(enum ruleset_fault_type type, struct text *text)
{
    size_t count;
    const struct ruleset_parameter *rows = ruleset_parameters(type, &count);
    append_names(rows, count, true, text);
    append_names(ruleset_reach, ruleset_reach_count, count == 0, text);
}

static int parse_flag(const char *text, uint64_t *value, struct error *error)
{
    if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
        return error_set(error, -EINVAL, "write true or false, not '%.64s'", text);
    *value = text[0] == 't';
    return 0;
}

static int parse_probability(const char *text, uint64_t *value, struct error *error)
{
    uint32_t ppb = 0;
    int code = units_parse_probability(text, &ppb, error);
    *value = ppb;
    return code;
}

static int parse_count(const struct ruleset_parameter *parameter, const char *text, uint64_t *value,
                       struct error *error)
{
    char what[32];
    const char *name;
    size_t length = ruleset_parameter_name(parameter, &name);
    snprintf(what, sizeof(what), "%.*s", (int)length, name);
    return units_parse_unsigned(text, what, value, error);
}

static int parse_name(const struct ruleset_parameter *parameter, const char *text, uint64_t *value,
                      struct error *error)
{
    enum ruleset_distribution distribution = RULESET_UNIFORM;
    enum ruleset_loss_model model = RULESET_LOSS_RANDOM;
    bool is_model = parameter->kind == RULESET_PARAMETER_LOSS_MODEL;
    int code = is_model ? ruleset_parse_loss_model(text, &model, error)
                        : ruleset_parse_distribution(text, &distribution, error);
    *value = is_model ? (uint64_t)model : (uint64_t)distribution;
    return code;
}

static int parse_any(const struct ruleset_parameter *parameter, const char *text, uint64_t *value,
                     struct error *error)
{
    switch (parameter->kind) {
    case RULESET_PARAMETER_NS:
        return units_parse_duration(text, value, error);
    case RULESET_PARAMETER_BYTES:
        return units_parse_size(text, value, error);
    case RULESET_PARAMETER_RATE: /* "0" is a rate too */
        if (strcmp(text, "0") == 0 || units_parse_rate(text, value, NULL) == 0)
            return 0;
        return error_set(error, -EINVAL,
                         "'%.64s' is not a rate: write one such as 10mbit, 64kbit or 1MB/s, or 0: "
                         "nothing passes",
                         text);
    case RULESET_PARAMETER_PROBABILITY:
        return parse_probability(text, value, error);
    case RULESET_PARAMETER_COUNT:
        return parse_count(parameter, text, value, error);
    case RULESET_PARAMETER_FLAG:
        return parse_flag(text, value, error);
    case RULESET_PARAMETER_DISTRIBUTION:
    case RULESET_PARAMETER_LOSS_MODEL:
        return parse_name(parameter, text, value, error);
    case RULESET_PARAMETER_TABLE:
        break;
    }
    return error_set(error, -EINVAL, "'%.64s' is no number", text);
}

int ruleset_parameter_parse(const struct ruleset_parameter *parameter, const char *text,
                            uint64_t *value, struct error *error)
{
    uint64_t parsed = 0;
    int code = parse_any(parameter, text, &parsed, error);
    if (code)
        return code;
    if (parsed < parameter->minimum || parsed > parameter->maximum)
        return error_set(error, -EINVAL, "'%.64s' is out of range: %s", text, parameter->range);
    *value = parsed;
    return 0;
}

int ruleset_parameter_write(const struct ruleset_parameter *parameter, struct ruleset_fault *fault,
                            const char *text, struct error *error)
{
    uint64_t value = 0;
    if (parameter->kind == RULESET_PARAMETER_TABLE) {
        bool match = parameter->offset == AT(match);
        char *field = match ? fault->match : ruleset_parameter_text_field(parameter, fault);
        size_t size = match ? sizeof(fault->match) : RULESET_NAME_MAX;
        if (strlen(text) >= size)
            return error_set(error, -EINVAL, "a text of at most %zu bytes is wanted", size - 1);
        snprintf(field, size, "%s", text);
        return 0;
    }
    int code = ruleset_parameter_parse(parameter, text, &value, error);
    if (code)
        return code;
    if (parameter->offset == AT(spared_ppb))
        value = RULESET_PROBABILITY_MAX - value; /* a toxicity is what isn't spared */
    ruleset_parameter_set(parameter, fault, value);
    return 0;
}
