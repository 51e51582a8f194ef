/* JSON to a fault.
 *
 * Theory of operation. Which keys are fine follows from the type, so the type is read first; the
 * keys, their units and their ranges are the rows of ruleset_parameters. A loss has a model, which
 * is its first row, and each model its own rows. */
#include <string.h>

#include "proxy/base/random.h"
#include "proxy/fault/ruleset_parameters.h"
#include "proxy/wire/codec.h"
#include "proxy/wire/reader.h"

enum { KEYS_MAX = 32 };

static int parse_fault_type(const char *text, int *value, struct error *error)
{
    enum ruleset_fault_type type;
    int code = ruleset_parse_fault_type(text, &type, error);
    if (code == 0)
        *value = (int)type;
    return code;
}

static int parse_direction(const char *text, int *value, struct error *error)
{
    enum ruleset_direction direction;
    int code = ruleset_parse_direction(text, &direction, error);
    if (code == 0)
        *value = (int)direction;
    return code;
}

static int parse_distribution(const char *text, int *value, struct error *error)
{
    enum ruleset_distribution distribution;
    int code = ruleset_parse_distribution(text, &distribution, error);
    if (code == 0)
        *value = (int)distribution;
    return code;
}

static int parse_loss_model(const char *text, int *value, struct error *error)
{
    enum ruleset_loss_model model;
    int code = ruleset_parse_loss_model(text, &model, error);
    if (code == 0)
        *value = (int)model;
    return code;
}

static void read_link(struct reader *reader, struct ruleset_fault *fault)
{
    char text[RULESET_LINK_TEXT_MAX] = "";
    struct error why;
    reader_text(reader, "link", false, text, sizeof(text));
    if (reader->code == 0 && ruleset_parse_link(text, &fault->link, &fault->both_ways, &why) < 0)
        reader_fail(reader, "link", "%s", why.message);
}

static void read_target(struct reader *reader, struct ruleset_fault *fault)
{
    int direction = (int)fault->direction;
    bool link = reader_has(reader, "link"), route = reader_has(reader, "route");
    if (link && route)
        reader_fail(reader, "link", "a fault is on a link or on a route, not on both");
    if (link) {
        read_link(reader, fault);
        fault->route[0] = '\0';
    }
    if (route) {
        reader_text(reader, "route", false, fault->route, sizeof(fault->route));
        fault->link = (struct ruleset_link){0};
        fault->both_ways = false;
    }
    bool on_route = fault->route[0] != '\0';
    if (!on_route && !fault->link.from[0])
        reader_fail(reader, "link",
                    "a fault needs a link such as \"n1->n2\", or a route with a direction");
    if (!on_route && reader_has(reader, "direction"))
        reader_fail(reader, "direction",
                    "a direction belongs to a route; on a link write n1->n2, n2->n1 or n1<->n2");
    reader_enum(reader, "direction", false, parse_direction, &direction);
    fault->direction = (enum ruleset_direction)direction;
}

/* What may be there: what every fault has, and the rows of its type. */
static void list_keys(enum ruleset_fault_type type, const char *keys[KEYS_MAX])
{
    static const char *const common[] = {"name",      "type",      "link",
                                         "route",     "direction", "set_by",
                                         "set_at_ns", "toxicity",  "first_connections",
                                         "after_ns",  "match"};
    size_t rows, count = sizeof(common) / sizeof(common[0]);
    const struct ruleset_parameter *parameters = ruleset_parameters(type, &rows);
    memcpy(keys, common, sizeof(common));
    for (size_t i = 0; i < rows && count < KEYS_MAX - 1; i++)
        keys[count++] = parameters[i].key;
    keys[count] = NULL;
}

static void read_number(struct reader *reader, const struct ruleset_parameter *parameter,
                        bool required, struct ruleset_fault *fault)
{
    uint64_t value = ruleset_parameter_get(parameter, fault);
    uint32_t ppb = (uint32_t)value;
    int name = (int)value;
    bool flag = value != 0;
    switch (parameter->kind) {
    case RULESET_PARAMETER_NS:
    case RULESET_PARAMETER_BYTES:
    case RULESET_PARAMETER_RATE:
    case RULESET_PARAMETER_COUNT:
        reader_unsigned(reader, parameter->key, required, &value);
        break;
    case RULESET_PARAMETER_PROBABILITY:
        reader_probability(reader, parameter->key, required, &ppb);
        value = ppb;
        break;
    case RULESET_PARAMETER_FLAG:
        reader_bool(reader, parameter->key, &flag);
        value = flag;
        break;
    case RULESET_PARAMETER_DISTRIBUTION:
        reader_enum(reader, parameter->key, required, parse_distribution, &name);
        value = (uint64_t)name;
        break;
    case RULESET_PARAMETER_LOSS_MODEL:
        reader_enum(reader, parameter->key, required, parse_loss_model, &name);
        value = (uint64_t)name;
        break;
    case RULESET_PARAMETER_TABLE:
        return;
    }
    if (!reader_has(reader, parameter->key))
        return;
    if (value < parameter->minimum || value > parameter->maximum)
        reader_fail(reader, parameter->key, "%s", parameter->range);
    else if (reader->code == 0)
        ruleset_parameter_set(parameter, fault, value);
}

/* A loss of another model begins anew. True when it is one. */
static bool read_model(struct reader *reader, const struct ruleset_parameter *parameter,
                       struct ruleset_fault *fault)
{
    enum ruleset_loss_model old = fault->loss.model;
    read_number(reader, parameter, false, fault);
    enum ruleset_loss_model model = fault->loss.model;
    if (model == old)
        return false;
    memset(&fault->loss, 0, sizeof(fault->loss));
    fault->loss.model = model;
    return true;
}

static void read_parameters(struct reader *reader, bool is_new, struct ruleset_fault *fault)
{
    size_t count;
    const struct ruleset_parameter *parameters = ruleset_parameters(fault->type, &count);
    for (size_t i = 0; i < count; i++) {
        const struct ruleset_parameter *parameter = &parameters[i];
        if (!ruleset_parameter_is_there(parameter, fault)) {
            if (reader_has(reader, parameter->key))
                reader_fail(reader, parameter->key, "'%s' does not belong to the model %s",
                            parameter->key, ruleset_loss_model_name(fault->loss.model));
        } else if (parameter->kind == RULESET_PARAMETER_LOSS_MODEL) {
            is_new |= read_model(reader, parameter, fault);
        } else if (parameter->kind == RULESET_PARAMETER_TABLE) {
            reader_text(reader, parameter->key, is_new && parameter->required,
                        ruleset_parameter_text_field(parameter, fault), RULESET_NAME_MAX);
        } else {
            read_number(reader, parameter, is_new && parameter->required, fault);
        }
    }
    /* A table that nobody would draw from is not kept by a change of the distribution. */
    if (fault->type == RULESET_LATENCY && fault->latency.distribution != RULESET_TABLE &&
        !reader_has(reader, "table"))
        fault->latency.table[0] = '\0';
}

/* For which connections, from when, for which units. */
static void read_reach(struct reader *reader, struct ruleset_fault *fault)
{
    uint32_t toxicity_ppb = RANDOM_PPB_ONE - fault->spared_ppb;
    uint64_t first = fault->first_connections;
    reader_probability(reader, "toxicity", false, &toxicity_ppb);
    reader_unsigned(reader, "first_connections", false, &first);
    if (first > RULESET_CONNECTIONS_MAX)
        reader_fail(reader, "first_connections", "first_connections is at most 10^9");
    reader_unsigned(reader, "after_ns", false, &fault->after_ns);
    reader_text(reader, "match", false, fault->match, sizeof(fault->match));
    fault->spared_ppb = RANDOM_PPB_ONE - toxicity_ppb;
    fault->first_connections = (uint32_t)first;
}

/* What a fault is can't change, only how strong it is. */
static void refuse_other_identity(struct reader *reader, const struct ruleset_fault *base,
                                  const struct ruleset_fault *fault)
{
    if (strcmp(base->name, fault->name) != 0)
        reader_fail(reader, "name", "a fault's name can't change: remove it and add another");
    if (strcmp(base->link.from, fault->link.from) != 0 ||
        strcmp(base->link.to, fault->link.to) != 0 || base->both_ways != fault->both_ways)
        reader_fail(reader, "link", "a fault's link can't change: remove it and add another");
    if (strcmp(base->route, fault->route) != 0)
        reader_fail(reader, "route", "a fault's route can't change: remove it and add another");
    if (base->direction != fault->direction)
        reader_fail(reader, "direction",
                    "a fault's direction can't change: remove it and add another");
}

int wire_decode_fault(json_t *json, const struct ruleset_fault *base, struct ruleset_fault *out,
                      struct error *error)
{
    static const char *const reported[] = {"touched", "applied", NULL};
    struct ruleset_fault fault = base ? *base : (struct ruleset_fault){0};
    struct error ignored = {0};
    const char *keys[KEYS_MAX];
    int type = (int)fault.type;
    /* Only the type: which keys are fine follows from it. */
    struct reader reader = {.object = json, .error = error ? error : &ignored};
    if (json_is_object(json))
        reader_enum(&reader, "type", base == NULL, parse_fault_type, &type);
    if (base && type != (int)base->type)
        reader_fail(&reader, "type", "a fault's type can't change: remove it and add another");
    if (reader.code < 0)
        return reader.code;
    fault.type = (enum ruleset_fault_type)type;
    list_keys(fault.type, keys);
    reader_open(&reader, json, keys, reported, reader.error);
    reader_text(&reader, "name", false, fault.name, sizeof(fault.name));
    if (reader.code == 0)
        read_target(&reader, &fault);
    read_parameters(&reader, base == NULL, &fault);
    read_reach(&reader, &fault);
    reader_text(&reader, "set_by", false, fault.set_by, sizeof(fault.set_by));
    reader_signed(&reader, "set_at_ns", &fault.set_at_ns);
    if (base)
        refuse_other_identity(&reader, base, &fault);
    if (reader.code == 0)
        *out = fault;
    return reader.code;
}
