/* A text as a duration, an offset, a probability, a rate, a size, a drift, a number, as every
 * parameter of every fault, and as a link. What is read is in its range, and its shortest text is
 * read as the same value again. */
#include "tests/fuzz/fuzz.h"

#include <inttypes.h>
#include <stdio.h>

#include "proxy/base/units.h"
#include "proxy/fault/ruleset_parameter_text.h"

static void try_times(const char *text)
{
    char buffer[UNITS_TEXT_MAX];
    uint64_t duration_ns = 7, spread_ns = 7, again_ns;
    int64_t offset_ns = 7, offset_again_ns;
    if (fuzz_is_read(units_parse_duration(text, &duration_ns, &fuzz_error))) {
        const char *shown = units_format_duration(duration_ns, buffer);
        require(fuzz_is_read(units_parse_duration(shown, &again_ns, &fuzz_error)));
        require(again_ns == duration_ns);
    } else {
        require(duration_ns == 7);
    }
    if (fuzz_is_read(units_parse_offset(text, &offset_ns, &fuzz_error))) {
        const char *shown = units_format_offset(offset_ns, buffer);
        require(fuzz_is_read(units_parse_offset(shown, &offset_again_ns, &fuzz_error)));
        require(offset_again_ns == offset_ns);
    } else {
        require(offset_ns == 7);
    }
    if (!fuzz_is_read(units_parse_duration_spread(text, &again_ns, &spread_ns, &fuzz_error)))
        require(spread_ns == 7);
}

static void try_shares(const char *text)
{
    char buffer[UNITS_TEXT_MAX];
    uint32_t ppb, ppb_again;
    int64_t drift_ppb, drift_again_ppb;
    if (fuzz_is_read(units_parse_probability(text, &ppb, &fuzz_error))) {
        const char *shown = units_format_probability(ppb, buffer);
        require(fuzz_is_read(units_parse_probability(shown, &ppb_again, &fuzz_error)));
        require(ppb_again == ppb && ppb <= RULESET_PROBABILITY_MAX);
    }
    if (fuzz_is_read(units_parse_drift(text, &drift_ppb, &fuzz_error))) {
        const char *shown = units_format_drift(drift_ppb, buffer);
        require(fuzz_is_read(units_parse_drift(shown, &drift_again_ppb, &fuzz_error)));
        require(drift_again_ppb == drift_ppb);
        require(drift_ppb >= -1000000000 && drift_ppb <= 1000000000);
    }
}

static void try_numbers(const char *text)
{
    char buffer[UNITS_TEXT_MAX];
    uint64_t rate, again, size;
    int64_t number;
    if (fuzz_is_read(units_parse_rate(text, &rate, &fuzz_error))) {
        require(rate > 0);
        require(
            fuzz_is_read(units_parse_rate(units_format_rate(rate, buffer), &again, &fuzz_error)));
        require(again == rate);
    }
    (void)fuzz_is_read(units_parse_size(text, &size, &fuzz_error));
    if (fuzz_is_read(units_parse_integer(text, -5, INT64_MAX, "number", &number, &fuzz_error))) {
        require(number >= -5);
        snprintf(buffer, sizeof(buffer), "%" PRId64, number);
        require(fuzz_is_read(
            units_parse_integer(buffer, -5, INT64_MAX, "number", &number, &fuzz_error)));
    }
    if (fuzz_is_read(units_parse_unsigned(text, "number", &size, &fuzz_error))) {
        snprintf(buffer, sizeof(buffer), "%" PRIu64, size);
        require(fuzz_is_read(units_parse_unsigned(buffer, "number", &again, &fuzz_error)) &&
                again == size);
    }
}

static void try_parameter(const struct ruleset_parameter *parameter, enum ruleset_fault_type type,
                          const char *text)
{
    struct ruleset_fault fault = {.type = type}, before = fault;
    uint64_t value = 7;
    const char *name;
    size_t length = ruleset_parameter_name(parameter, &name);
    require(ruleset_parameter_find(type, name, length) != NULL);
    if (!fuzz_is_read(ruleset_parameter_write(parameter, &fault, text, &fuzz_error)))
        require(same_bytes(&fault, &before, sizeof(fault)));
    if (parameter->kind == RULESET_PARAMETER_TABLE)
        return;
    if (fuzz_is_read(ruleset_parameter_parse(parameter, text, &value, &fuzz_error)))
        require(value >= parameter->minimum && value <= parameter->maximum);
    else
        require(value == 7);
}

static void try_parameters(const char *text)
{
    for (int i = 0; i < RULESET_FAULT_TYPES; i++) {
        enum ruleset_fault_type type = (enum ruleset_fault_type)i;
        size_t count;
        const struct ruleset_parameter *rows = ruleset_parameters(type, &count);
        for (size_t row = 0; row < count; row++)
            try_parameter(&rows[row], type, text);
        for (size_t row = 0; row < ruleset_reach_count; row++)
            try_parameter(&ruleset_reach[row], type, text);
        (void)ruleset_parameter_find(type, text, strlen(text));
    }
}

static void try_link(const char *text)
{
    struct ruleset_link link = {0}, again = {0};
    bool both_ways, both_again;
    char buffer[RULESET_LINK_TEXT_MAX];
    if (!fuzz_is_read(ruleset_parse_link(text, &link, &both_ways, &fuzz_error)))
        return;
    const char *shown = ruleset_format_link(&link, both_ways, buffer);
    require(fuzz_is_read(ruleset_parse_link(shown, &again, &both_again, &fuzz_error)));
    require(both_again == both_ways && strcmp(link.from, again.from) == 0);
    require(strcmp(link.to, again.to) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char *text = fuzz_copy_text(bytes, size);
    try_times(text);
    try_shares(text);
    try_numbers(text);
    try_parameters(text);
    try_link(text);
    free(text);
    return 0;
}
