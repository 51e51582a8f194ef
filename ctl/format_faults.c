/* The parameters of a fault as text: what the verb's words would be, then what else it has. */
#include <string.h>

#include "ctl/fault_words.h"
#include "ctl/format.h"
#include "ctl/parameters.h"

/* Not 0, false, "" or absent. A toxicity is told when it limits something, and then 0 is one. */
static bool is_something(json_t *value)
{
    return json_is_true(value) || json_string_length(value) > 0 || json_number_value(value) > 0;
}

struct formatting {
    struct text *text;
    json_t *fault;
    enum ruleset_fault_type type;
    size_t begin; /* of the text */
};

static void separate(struct formatting *formatting)
{
    if (formatting->text->length > formatting->begin)
        text_append(formatting->text, " ");
}

static void append_key(struct formatting *formatting, const char *key)
{
    parameter_format(ruleset_parameter_find(formatting->type, key, strlen(key)),
                     json_object_get(formatting->fault, key), formatting->text);
}

static void append_value(struct formatting *formatting, const struct fault_value *value,
                         bool required)
{
    json_t *json = json_object_get(formatting->fault, value->key);
    if (!json || (!required && !is_something(json)))
        return;
    separate(formatting);
    append_key(formatting, value->key);
    if (value->spread && is_something(json_object_get(formatting->fault, value->spread))) {
        text_append(formatting->text, "±");
        append_key(formatting, value->spread);
    }
}

static bool is_value_of(const struct fault_verb *verb, const char *key)
{
    for (size_t i = 0; i < FAULT_VALUES_MAX && verb->values[i].key; i++)
        if (strcmp(verb->values[i].key, key) == 0 ||
            (verb->values[i].spread && strcmp(verb->values[i].spread, key) == 0))
            return true;
    return false;
}

/* "burst 64KiB", "normal", "shared"; nothing for what has no effect. */
static void append_other(struct formatting *formatting, const struct ruleset_parameter *parameter)
{
    json_t *value = json_object_get(formatting->fault, parameter->key);
    bool names_itself = parameter->kind == RULESET_PARAMETER_DISTRIBUTION ||
                        parameter->kind == RULESET_PARAMETER_LOSS_MODEL;
    const char *name;
    size_t length = ruleset_parameter_name(parameter, &name);
    if (!is_something(value) && !(value && strcmp(parameter->key, "toxicity") == 0))
        return;
    if (parameter->kind == RULESET_PARAMETER_DISTRIBUTION &&
        (!is_something(json_object_get(formatting->fault, "jitter_ns")) ||
         is_something(json_object_get(formatting->fault, "table"))))
        return;
    if (parameter->kind == RULESET_PARAMETER_LOSS_MODEL &&
        (strcmp(json_string_value(value), "random") == 0 ||
         is_something(json_object_get(formatting->fault, "every"))))
        return; /* "every 10" says it */
    separate(formatting);
    if (strcmp(parameter->key, "queue_packets") == 0) { /* beside a queue in bytes */
        text_append(formatting->text, "queue ");
        parameter_format(parameter, value, formatting->text);
        text_append(formatting->text, "packets");
        return;
    }
    if (!names_itself)
        text_append(formatting->text, "%.*s", (int)length, name);
    if (!names_itself && parameter->kind != RULESET_PARAMETER_FLAG)
        text_append(formatting->text, " ");
    if (parameter->kind != RULESET_PARAMETER_FLAG)
        parameter_format(parameter, value, formatting->text);
}

void format_fault_parameters(struct text *text, json_t *fault)
{
    struct formatting formatting = {.text = text, .fault = fault, .begin = text->length};
    struct error ignored;
    size_t count;
    if (ruleset_parse_fault_type(format_string(fault, "type"), &formatting.type, &ignored))
        return; /* a newer severd's */
    const struct fault_verb *verb = fault_verb_of(formatting.type);
    const struct ruleset_parameter *parameters = ruleset_parameters(formatting.type, &count);
    for (size_t i = 0; i < FAULT_VALUES_MAX && verb->values[i].key; i++)
        append_value(&formatting, &verb->values[i], i < verb->required);
    for (size_t i = 0; i < count; i++)
        if (!is_value_of(verb, parameters[i].key))
            append_other(&formatting, &parameters[i]);
    for (size_t i = 0; i < ruleset_reach_count; i++)
        append_other(&formatting, &ruleset_reach[i]);
}
