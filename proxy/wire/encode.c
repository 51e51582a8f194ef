/* Structs to JSON. Keys come in the order of proxy/doc/API.md, and jansson keeps it. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/random.h"
#include "proxy/fault/ruleset_parameters.h"
#include "proxy/wire/codec.h"

/* NULL here means text that is not UTF-8, or no memory: the caller's ruleset was not checked, or
 * nothing can go on. */
static json_t *must(json_t *json)
{
    assert(json);
    return json;
}

static void set(json_t *object, const char *key, json_t *value)
{
    int code = json_object_set_new(object, key, must(value));
    assert(code == 0);
    (void)code;
}

static json_t *encode_count(uint64_t value)
{
    assert(value <= INT64_MAX);
    return json_integer((json_int_t)value);
}

static json_t *text_or_null(const char *text)
{
    return text[0] ? json_string(text) : json_null();
}

json_t *wire_encode_node(const struct ruleset_node *node)
{
    json_t *addresses = must(json_array());
    for (size_t i = 0; i < node->address_count; i++)
        json_array_append_new(addresses, must(json_string(node->addresses[i])));
    return must(json_pack("{s:s, s:s, s:o}", "name", node->name, "kind",
                          ruleset_node_kind_name(node->kind), "addresses", addresses));
}

json_t *wire_encode_route(const struct ruleset_route *route)
{
    return must(json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:b, s:b, s:b}", "name", route->name,
                          "protocol", ruleset_protocol_name(route->protocol), "listen",
                          route->listen, "upstream", route->upstream, "from",
                          text_or_null(route->from), "to", text_or_null(route->to), "enabled",
                          route->enabled, "spread", route->spread, "close_unreached",
                          route->close_unreached));
}

static void set_origin(json_t *object, const char *set_by, int64_t set_at_ns)
{
    set(object, "set_by", json_string(set_by));
    set(object, "set_at_ns", json_integer(set_at_ns));
}

json_t *wire_encode_partition(const struct ruleset_partition *partition)
{
    char text[RULESET_LINK_TEXT_MAX];
    json_t *links = must(json_array());
    for (size_t i = 0; i < partition->link_count; i++) {
        struct ruleset_link link = ruleset_partition_link(partition, i);
        json_array_append_new(links,
                              must(json_string_nocheck(ruleset_format_link(&link, false, text))));
    }
    json_t *json = must(json_pack("{s:s, s:o}", "name", partition->name, "links", links));
    set_origin(json, partition->set_by, partition->set_at_ns);
    return json;
}

static void print_json(json_t *json, struct text *out)
{
    char *printed = memory_must(json_dumps(json, WIRE_DUMP_FLAGS | JSON_ENCODE_ANY));
    text_append(out, "%s", printed);
    free(printed);
    json_decref(json);
}

/* Names of nodes have nothing that would be escaped. The links of a split come in runs from one
 * node. */
static void print_links(const struct ruleset_partition *partition, struct text *out)
{
    char piece[RULESET_LINK_TEXT_MAX + 8];
    size_t start = 0;
    for (size_t i = 0; i < partition->link_count; i++) {
        const struct ruleset_pair *link = &partition->links[i];
        if (i == 0 || link->from != partition->links[i - 1].from)
            start = (size_t)snprintf(piece, sizeof(piece), ",\"%s->", partition->ends[link->from]);
        size_t length = strlen(partition->ends[link->to]), skipped = i == 0; /* the comma */
        memcpy(piece + start, partition->ends[link->to], length);
        piece[start + length] = '"';
        text_append_bytes(out, piece + skipped, start + length + 1 - skipped);
    }
}

void wire_print_partition(const struct ruleset_partition *partition, json_t *mechanism,
                          struct text *out)
{
    text_append(out, "{\"name\":");
    print_json(must(json_string(partition->name)), out);
    text_append(out, ",\"links\":[");
    print_links(partition, out);
    text_append(out, "],\"set_by\":");
    print_json(must(json_string(partition->set_by)), out);
    text_append(out, ",\"set_at_ns\":%" PRId64 ",\"mechanism\":", partition->set_at_ns);
    print_json(mechanism, out);
    text_append(out, "}");
}

static double ratio_of(uint64_t ppb)
{
    return (double)ppb / (double)RANDOM_PPB_ONE;
}

static json_t *encode_parameter(const struct ruleset_parameter *parameter,
                                const struct ruleset_fault *fault)
{
    if (parameter->kind == RULESET_PARAMETER_TABLE)
        return json_string(ruleset_parameter_text(parameter, fault));
    uint64_t value = ruleset_parameter_get(parameter, fault);
    switch (parameter->kind) {
    case RULESET_PARAMETER_PROBABILITY:
        return json_real(ratio_of(value));
    case RULESET_PARAMETER_FLAG:
        return json_boolean(value);
    case RULESET_PARAMETER_DISTRIBUTION:
        return json_string(ruleset_distribution_name((enum ruleset_distribution)value));
    case RULESET_PARAMETER_LOSS_MODEL:
        return json_string(ruleset_loss_model_name((enum ruleset_loss_model)value));
    case RULESET_PARAMETER_NS:
    case RULESET_PARAMETER_BYTES:
    case RULESET_PARAMETER_RATE:
    case RULESET_PARAMETER_COUNT:
    case RULESET_PARAMETER_TABLE:
        break;
    }
    return encode_count(value);
}

static void set_parameters(json_t *json, const struct ruleset_fault *fault)
{
    size_t count;
    const struct ruleset_parameter *parameters = ruleset_parameters(fault->type, &count);
    for (size_t i = 0; i < count; i++) {
        const struct ruleset_parameter *parameter = &parameters[i];
        bool unnamed = parameter->kind == RULESET_PARAMETER_TABLE &&
                       ruleset_parameter_text(parameter, fault)[0] == '\0';
        if (!unnamed && ruleset_parameter_is_there(parameter, fault))
            set(json, parameter->key, encode_parameter(parameter, fault));
    }
}

/* What limits a fault's reach is told when something does. */
static void set_reach(json_t *json, const struct ruleset_fault *fault)
{
    if (fault->spared_ppb)
        set(json, "toxicity", json_real(ratio_of(RANDOM_PPB_ONE - fault->spared_ppb)));
    if (fault->first_connections)
        set(json, "first_connections", encode_count(fault->first_connections));
    if (fault->after_ns)
        set(json, "after_ns", encode_count(fault->after_ns));
    if (fault->match[0])
        set(json, "match", json_string(fault->match));
}

json_t *wire_encode_fault(const struct ruleset_fault *fault)
{
    char text[RULESET_LINK_TEXT_MAX];
    json_t *json = must(
        json_pack("{s:s, s:s}", "name", fault->name, "type", ruleset_fault_type_name(fault->type)));
    if (fault->route[0]) {
        set(json, "route", json_string(fault->route));
        set(json, "direction", json_string(ruleset_direction_name(fault->direction)));
    } else {
        set(json, "link", json_string(ruleset_format_link(&fault->link, fault->both_ways, text)));
    }
    set_parameters(json, fault);
    set_reach(json, fault);
    set_origin(json, fault->set_by, fault->set_at_ns);
    return json;
}

json_t *wire_encode_clock(const struct ruleset_clock *clock)
{
    return must(json_pack("{s:s, s:I, s:I}", "node", clock->node, "offset_ns",
                          (json_int_t)clock->offset_ns, "drift_ppb", (json_int_t)clock->drift_ppb));
}

json_t *wire_encode_table(const struct ruleset_table *table)
{
    json_t *values = must(json_array());
    for (size_t i = 0; i < table->count; i++)
        json_array_append_new(values, must(json_integer(table->values[i])));
    return must(json_pack("{s:s, s:o}", "name", table->name, "values", values));
}

/* JSON integers end at 2^63 - 1: a larger seed is written as text. */
static json_t *encode_seed(uint64_t seed)
{
    char text[24];
    if (seed <= INT64_MAX)
        return json_integer((json_int_t)seed);
    snprintf(text, sizeof(text), "%" PRIu64, seed);
    return json_string(text);
}

#define ENCODE_ARRAY(json, key, encode, elements, count)                                           \
    do {                                                                                           \
        json_t *array = must(json_array());                                                        \
        for (size_t i = 0; i < (count); i++)                                                       \
            json_array_append_new(array, encode(&(elements)[i]));                                  \
        set(json, key, array);                                                                     \
    } while (0)

json_t *wire_encode_ruleset(const struct ruleset *ruleset)
{
    json_t *json = must(json_object());
    set(json, "version", encode_count(ruleset->version));
    set(json, "seed", encode_seed(ruleset->seed));
    ENCODE_ARRAY(json, "nodes", wire_encode_node, ruleset->nodes, ruleset->node_count);
    ENCODE_ARRAY(json, "routes", wire_encode_route, ruleset->routes, ruleset->route_count);
    ENCODE_ARRAY(json, "partitions", wire_encode_partition, ruleset->partitions,
                 ruleset->partition_count);
    ENCODE_ARRAY(json, "faults", wire_encode_fault, ruleset->faults, ruleset->fault_count);
    ENCODE_ARRAY(json, "clocks", wire_encode_clock, ruleset->clocks, ruleset->clock_count);
    ENCODE_ARRAY(json, "tables", wire_encode_table, ruleset->tables, ruleset->table_count);
    return json;
}
