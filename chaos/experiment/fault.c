/* The steps that set a fault: delay, loss and rate in a form of their own, and every type by the
 * names of its parameters. Tables are severd's, and an experiment starts its own: what draws from
 * one is refused. */
#include <stdio.h>

#include "chaos/experiment/reader.h"
#include "proxy/base/text.h"
#include "proxy/base/units.h"
#include "proxy/fault/ruleset_parameter_text.h"

enum { KEYS_MAX = 32, KEY_MAX = 32 };

/* The parameter of a fault as text, for the parser of its unit. */
static int read_parameter(const struct reader *reader, const struct document_node *map,
                          const char *key, const struct document_node **node, const char **text)
{
    *node = document_get(map, key);
    return reader_line(reader, *node, key, UNITS_TEXT_MAX, text);
}

static int refuse_table(const struct reader *reader, const struct document_node *node,
                        const struct ruleset_fault *fault)
{
    bool draws = fault->type == RULESET_TRACE ||
                 (fault->type == RULESET_LATENCY && fault->latency.distribution == RULESET_TABLE);
    return draws ? reader_refuse(reader, node, "an experiment has no tables to draw from") : 0;
}

int reader_read_delay(const struct reader *reader, const struct document_node *value,
                      struct experiment_step *step)
{
    static const char *const keys[] = {"link", "by", "distribution"};
    const struct document_node *node;
    const char *text;
    struct error cause = {0};
    step->fault.type = RULESET_LATENCY;
    int result = reader_check_map(reader, value, "delay", keys, 3, 2);
    if (!result)
        result = reader_read_link(reader, document_get(value, "link"), step);
    if (!result)
        result = read_parameter(reader, value, "by", &node, &text);
    if (result)
        return result;
    uint64_t delay_ns, jitter_ns;
    if (units_parse_duration_spread(text, &delay_ns, &jitter_ns, &cause))
        return reader_refuse_as(reader, node, &cause);
    if (delay_ns + jitter_ns == 0)
        return reader_refuse(reader, node, "a delay by nothing: write 80ms or 80ms±20ms");
    step->fault.latency.delay_ns = delay_ns;
    step->fault.latency.jitter_ns = jitter_ns;
    node = document_get(value, "distribution");
    if (!node)
        return 0;
    result = reader_line(reader, node, "distribution", UNITS_TEXT_MAX, &text);
    if (!result && ruleset_parse_distribution(text, &step->fault.latency.distribution, &cause))
        return reader_refuse_as(reader, node, &cause);
    return result ? result : refuse_table(reader, node, &step->fault);
}

int reader_read_loss(const struct reader *reader, const struct document_node *value,
                     struct experiment_step *step)
{
    static const char *const keys[] = {"link", "by"};
    const struct document_node *node;
    const char *text;
    struct error cause = {0};
    step->fault.type = RULESET_LOSS;
    int result = reader_check_map(reader, value, "loss", keys, 2, 2);
    if (!result)
        result = reader_read_link(reader, document_get(value, "link"), step);
    if (!result)
        result = read_parameter(reader, value, "by", &node, &text);
    if (!result && units_parse_probability(text, &step->fault.loss.probability_ppb, &cause))
        return reader_refuse_as(reader, node, &cause);
    if (!result && step->fault.loss.probability_ppb == 0)
        return reader_refuse(reader, node, "a loss of nothing: write 5%% or the like");
    return result;
}

int reader_read_rate(const struct reader *reader, const struct document_node *value,
                     struct experiment_step *step)
{
    static const char *const keys[] = {"link", "to"};
    const struct document_node *node;
    const char *text;
    struct error cause = {0};
    step->fault.type = RULESET_RATE;
    int result = reader_check_map(reader, value, "rate", keys, 2, 2);
    if (!result)
        result = reader_read_link(reader, document_get(value, "link"), step);
    if (!result)
        result = read_parameter(reader, value, "to", &node, &text);
    if (!result && units_parse_rate(text, &step->fault.rate.bytes_per_s, &cause))
        return reader_refuse_as(reader, node, &cause);
    return result;
}

/* "type", "link" and the names of what the type has; keys: room for KEYS_MAX, names: their text. */
static size_t list_keys(enum ruleset_fault_type type, char names[KEYS_MAX][KEY_MAX],
                        const char *keys[KEYS_MAX])
{
    size_t rows, count = 2;
    const struct ruleset_parameter *parameters = ruleset_parameters(type, &rows);
    keys[0] = "type";
    keys[1] = "link";
    for (size_t i = 0; i < rows + ruleset_reach_count && count < KEYS_MAX; i++) {
        const char *name;
        const struct ruleset_parameter *row = i < rows ? &parameters[i] : &ruleset_reach[i - rows];
        size_t length = ruleset_parameter_name(row, &name);
        snprintf(names[count], KEY_MAX, "%.*s", (int)length, name);
        keys[count] = names[count];
        count++;
    }
    return count;
}

static int read_type(const struct reader *reader, const struct document_node *value,
                     struct ruleset_fault *fault)
{
    const struct document_node *node = document_get(value, "type");
    const char *text;
    struct error cause = {0};
    if (value->kind != DOCUMENT_MAP || !node)
        return reader_refuse(reader, value,
                             "a fault names its type: write {type: corrupt, link: n1->n2, "
                             "probability: 1%%} or the like");
    int result = reader_line(reader, node, "the type", UNITS_TEXT_MAX, &text);
    if (!result && ruleset_parse_fault_type(text, &fault->type, &cause))
        return reader_refuse_as(reader, node, &cause);
    return result;
}

/* One parameter, if it is there. A row of another loss model isn't the fault's. */
static int read_row(const struct reader *reader, const struct document_node *value,
                    const struct ruleset_parameter *row, struct ruleset_fault *fault)
{
    char key[KEY_MAX];
    const char *name, *text;
    struct error cause = {0};
    size_t length = ruleset_parameter_name(row, &name);
    snprintf(key, sizeof(key), "%.*s", (int)length, name);
    const struct document_node *node = document_get(value, key);
    bool there = ruleset_parameter_is_there(row, fault);
    if (node && !there)
        return reader_refuse(reader, node, "'%s' does not belong to the model %s", key,
                             ruleset_loss_model_name(fault->loss.model));
    if (!node)
        return there && row->required
                   ? reader_refuse(reader, value, "a %s has no '%s': add the key",
                                   ruleset_fault_type_name(fault->type), key)
                   : 0;
    int result = reader_line(reader, node, key, RULESET_MATCH_MAX - 1, &text);
    if (!result && ruleset_parameter_write(row, fault, text, &cause))
        return reader_refuse_as(reader, node, &cause);
    return result;
}

int reader_read_fault(const struct reader *reader, const struct document_node *value,
                      struct experiment_step *step)
{
    char names[KEYS_MAX][KEY_MAX];
    const char *keys[KEYS_MAX];
    size_t rows;
    int result = read_type(reader, value, &step->fault);
    if (result)
        return result;
    const struct ruleset_parameter *parameters = ruleset_parameters(step->fault.type, &rows);
    size_t count = list_keys(step->fault.type, names, keys);
    result = reader_check_map(reader, value, "the fault", keys, count, 2);
    if (!result)
        result = reader_read_link(reader, document_get(value, "link"), step);
    if (!result)
        result = refuse_table(reader, value, &step->fault);
    for (size_t i = 0; !result && i < rows; i++)
        result = read_row(reader, value, &parameters[i], &step->fault);
    for (size_t i = 0; !result && i < ruleset_reach_count; i++)
        result = read_row(reader, value, &ruleset_reach[i], &step->fault);
    if (!result)
        result = refuse_table(reader, value, &step->fault);
    if (!result && step->fault.type == RULESET_RATE && step->fault.rate.shared)
        result = reader_refuse(reader, value, "a rate is shared on a route, and this is a link");
    return result;
}
