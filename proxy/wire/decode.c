/* JSON to structs: nodes, routes, clocks, tables, and the whole ruleset.
 *
 * Theory of operation. Each decoder fills a local value, hands it out only when all went well, and
 * knows its own keys only; the place of its object in the document is put in front by the caller
 * that walks the array. Faults are in decode_fault.c, partitions in decode_partition.c. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/text.h"
#include "proxy/wire/codec.h"
#include "proxy/wire/reader.h"

static const char *const none[] = {NULL};

/* The enumerations' parsers with one signature. */
#define PARSER(name)                                                                               \
    static int parse_##name(const char *text, int *value, struct error *error)                     \
    {                                                                                              \
        enum ruleset_##name parsed;                                                                \
        int code = ruleset_parse_##name(text, &parsed, error);                                     \
        if (code == 0)                                                                             \
            *value = (int)parsed;                                                                  \
        return code;                                                                               \
    }
PARSER(protocol)
PARSER(node_kind)

int wire_decode_node(json_t *json, struct ruleset_node *out, struct error *error)
{
    static const char *const keys[] = {"name", "kind", "addresses", NULL};
    struct ruleset_node node = {0};
    struct reader reader;
    struct error ignored = {0};
    int kind = RULESET_NODE_MEMBER;
    reader_open(&reader, json, keys, none, error ? error : &ignored);
    reader_text(&reader, "name", true, node.name, sizeof(node.name));
    reader_enum(&reader, "kind", false, parse_node_kind, &kind);
    json_t *addresses = reader_array(&reader, "addresses");
    if (json_array_size(addresses) > RULESET_NODE_ADDRESSES_MAX)
        reader_fail(&reader, "addresses", "a node has at most %d addresses",
                    RULESET_NODE_ADDRESSES_MAX);
    for (size_t i = 0; reader.code == 0 && i < json_array_size(addresses); i++) {
        char place[ERROR_PLACE_MAX];
        snprintf(place, sizeof(place), "addresses[%zu]", i);
        reader.code = reader_copy_text(json_array_get(addresses, i), place, node.addresses[i],
                                       sizeof(node.addresses[i]), reader.error);
        node.address_count = i + 1;
    }
    if (reader.code < 0)
        return reader.code;
    node.kind = (enum ruleset_node_kind)kind;
    *out = node;
    return 0;
}

static const char *const route_keys[] = {"name", "protocol", "listen", "upstream",        "from",
                                         "to",   "enabled",  "spread", "close_unreached", NULL};
static const char *const route_reported[] = {"listening", "refusing", NULL};

int wire_decode_route(json_t *json, struct ruleset_route *out, struct error *error)
{
    struct ruleset_route route = {.enabled = true};
    struct reader reader;
    struct error ignored = {0};
    int protocol = RULESET_TCP;
    reader_open(&reader, json, route_keys, route_reported, error ? error : &ignored);
    reader_text(&reader, "name", true, route.name, sizeof(route.name));
    reader_enum(&reader, "protocol", false, parse_protocol, &protocol);
    reader_text(&reader, "listen", true, route.listen, sizeof(route.listen));
    reader_text(&reader, "upstream", true, route.upstream, sizeof(route.upstream));
    reader_text(&reader, "from", false, route.from, sizeof(route.from));
    reader_text(&reader, "to", false, route.to, sizeof(route.to));
    reader_bool(&reader, "enabled", &route.enabled);
    reader_bool(&reader, "spread", &route.spread);
    reader_bool(&reader, "close_unreached", &route.close_unreached);
    if (reader.code < 0)
        return reader.code;
    route.protocol = (enum ruleset_protocol)protocol;
    *out = route;
    return 0;
}

/* Which route it is and whose can't change. */
static void refuse_other_route(struct reader *reader, const struct ruleset_route *route,
                               const struct ruleset_route *patched)
{
    static const char message[] = "only upstream and enabled can change: remove the route and add "
                                  "another";
    if (strcmp(route->name, patched->name) != 0)
        reader_fail(reader, "name", message);
    if (route->protocol != patched->protocol)
        reader_fail(reader, "protocol", message);
    if (strcmp(route->listen, patched->listen) != 0)
        reader_fail(reader, "listen", message);
    if (strcmp(route->from, patched->from) != 0)
        reader_fail(reader, "from", message);
    if (strcmp(route->to, patched->to) != 0)
        reader_fail(reader, "to", message);
    if (route->spread != patched->spread)
        reader_fail(reader, "spread", message);
    if (route->close_unreached != patched->close_unreached)
        reader_fail(reader, "close_unreached", message);
}

int wire_decode_route_patch(json_t *json, struct ruleset_route *route, struct error *error)
{
    struct ruleset_route patched = *route;
    struct reader reader;
    struct error ignored = {0};
    int protocol = (int)route->protocol;
    reader_open(&reader, json, route_keys, route_reported, error ? error : &ignored);
    reader_text(&reader, "name", false, patched.name, sizeof(patched.name));
    reader_enum(&reader, "protocol", false, parse_protocol, &protocol);
    patched.protocol = (enum ruleset_protocol)protocol;
    reader_text(&reader, "listen", false, patched.listen, sizeof(patched.listen));
    reader_text(&reader, "upstream", false, patched.upstream, sizeof(patched.upstream));
    reader_text(&reader, "from", false, patched.from, sizeof(patched.from));
    reader_text(&reader, "to", false, patched.to, sizeof(patched.to));
    reader_bool(&reader, "enabled", &patched.enabled);
    reader_bool(&reader, "spread", &patched.spread);
    reader_bool(&reader, "close_unreached", &patched.close_unreached);
    refuse_other_route(&reader, route, &patched);
    if (reader.code == 0)
        *route = patched;
    return reader.code;
}

int wire_decode_clock(json_t *json, const char *node, struct ruleset_clock *out,
                      struct error *error)
{
    static const char *const keys[] = {"node", "offset_ns", "drift_ppb", NULL};
    static const char *const reported[] = {"page", NULL};
    struct ruleset_clock clock = {0};
    struct reader reader;
    struct error ignored = {0};
    reader_open(&reader, json, keys, reported, error ? error : &ignored);
    if (node)
        snprintf(clock.node, sizeof(clock.node), "%s", node);
    reader_text(&reader, "node", node == NULL, clock.node, sizeof(clock.node));
    if (node && strcmp(node, clock.node) != 0)
        reader_fail(&reader, "node", "this is the clock of '%s'", node);
    reader_signed(&reader, "offset_ns", &clock.offset_ns);
    reader_signed(&reader, "drift_ppb", &clock.drift_ppb);
    if (reader.code == 0)
        *out = clock;
    return reader.code;
}

/* A number, or for what is above 2^63 - 1 its digits as text. */
static void read_seed(struct reader *reader, uint64_t *seed)
{
    json_t *json = json_object_get(reader->object, "seed");
    if (reader->code < 0 || !json_is_string(json)) {
        reader_unsigned(reader, "seed", false, seed);
        return;
    }
    uint64_t value = 0;
    const char *text = json_string_value(json);
    bool fits = text[0] != '\0';
    for (; fits && *text; text++) {
        fits = *text >= '0' && *text <= '9' &&
               !__builtin_mul_overflow(value, UINT64_C(10), &value) &&
               !__builtin_add_overflow(value, (uint64_t)(*text - '0'), &value);
    }
    if (fits)
        *seed = value;
    else
        reader_fail(reader, "seed", "a seed is a whole number from 0 to 2^64 - 1");
}

/* Decodes one element of an array and appends it to the ruleset. */
typedef int (*element_fn)(json_t *json, struct ruleset *ruleset, struct error *error);

static int need_name(const char *name, struct error *error)
{
    return name[0] ? 0 : error_set_at(error, -EINVAL, "name", "'name' is missing");
}

static int append_node(json_t *json, struct ruleset *ruleset, struct error *error)
{
    struct ruleset_node node;
    int code = wire_decode_node(json, &node, error);
    if (code == 0)
        ruleset_add_node(ruleset, &node);
    return code;
}

static int append_route(json_t *json, struct ruleset *ruleset, struct error *error)
{
    struct ruleset_route route;
    int code = wire_decode_route(json, &route, error);
    if (code == 0)
        ruleset_add_route(ruleset, &route);
    return code;
}

static int append_partition(json_t *json, struct ruleset *ruleset, struct error *error)
{
    struct ruleset_partition partition;
    int code = wire_decode_partition(json, NULL, &partition, error);
    if (code < 0)
        return code;
    code = need_name(partition.name, error);
    if (code == 0)
        ruleset_add_partition(ruleset, &partition);
    ruleset_partition_free(&partition);
    return code;
}

static int append_fault(json_t *json, struct ruleset *ruleset, struct error *error)
{
    struct ruleset_fault fault;
    int code = wire_decode_fault(json, NULL, &fault, error);
    if (code == 0)
        code = need_name(fault.name, error);
    if (code == 0)
        ruleset_add_fault(ruleset, &fault);
    return code;
}

/* A clock of true time says nothing and is left out, as ruleset_set_clock does. */
static int append_clock(json_t *json, struct ruleset *ruleset, struct error *error)
{
    struct ruleset_clock clock;
    int code = wire_decode_clock(json, NULL, &clock, error);
    if (code < 0)
        return code;
    if (ruleset_find_clock(ruleset, clock.node))
        return error_set_at(error, -EINVAL, "node", "node '%s' has a clock already", clock.node);
    ruleset_set_clock(ruleset, &clock);
    return 0;
}

int wire_decode_table(json_t *json, struct ruleset_table *out, struct error *error)
{
    static const char *const keys[] = {"name", "values", NULL};
    static const char *const reported[] = {"used_by", NULL};
    struct ruleset_table table = {0};
    struct reader reader;
    struct error ignored = {0};
    reader_open(&reader, json, keys, reported, error ? error : &ignored);
    reader_text(&reader, "name", true, table.name, sizeof(table.name));
    json_t *values = reader_array(&reader, "values");
    table.count = json_array_size(values);
    if (table.count > RULESET_TABLE_VALUES_MAX)
        reader_fail(&reader, "values", "a table has at most %d values", RULESET_TABLE_VALUES_MAX);
    if (reader.code < 0)
        return reader.code;
    table.values = memory_allocate_zeroed(table.count + 1, sizeof(*table.values));
    for (size_t i = 0; reader.code == 0 && i < table.count; i++) {
        json_t *value = json_array_get(values, i);
        char place[ERROR_PLACE_MAX];
        snprintf(place, sizeof(place), "values[%zu]", i);
        if (!json_is_integer(value) || json_integer_value(value) < INT32_MIN ||
            json_integer_value(value) > INT32_MAX)
            reader_fail(&reader, place, "a whole number of 32 bits is wanted here");
        else
            table.values[i] = (int32_t)json_integer_value(value);
    }
    if (reader.code == 0)
        *out = table;
    else
        free(table.values);
    return reader.code;
}

static int append_table(json_t *json, struct ruleset *ruleset, struct error *error)
{
    struct ruleset_table table = {0};
    int code = wire_decode_table(json, &table, error);
    if (code < 0)
        return code;
    if (ruleset_find_table(ruleset, table.name))
        code = error_set_at(error, -EINVAL, "name", "the name '%s' is taken", table.name);
    else
        ruleset_set_table(ruleset, &table);
    free(table.values);
    return code;
}

static void read_elements(struct reader *reader, const char *key, size_t limit, element_fn append,
                          struct ruleset *ruleset)
{
    json_t *array = reader_array(reader, key);
    if (json_array_size(array) > limit)
        reader_fail(reader, key, "at most %zu are possible, not %zu", limit,
                    json_array_size(array));
    for (size_t i = 0; reader->code == 0 && i < json_array_size(array); i++) {
        reader->code = append(json_array_get(array, i), ruleset, reader->error);
        if (reader->code < 0) {
            char place[ERROR_PLACE_MAX];
            snprintf(place, sizeof(place), "%s[%zu]", key, i);
            error_prefix_place(reader->error, place);
        }
    }
}

int wire_decode_ruleset(json_t *json, struct ruleset *out, struct error *error)
{
    static const char *const keys[] = {"version", "seed",   "nodes",  "routes", "partitions",
                                       "faults",  "clocks", "tables", NULL};
    struct ruleset ruleset = {0};
    struct reader reader;
    struct error ignored = {0};
    reader_open(&reader, json, keys, none, error ? error : &ignored);
    reader_unsigned(&reader, "version", false, &ruleset.version);
    if (ruleset.version > WIRE_VERSION_MAX)
        reader_fail(&reader, "version", "a version is at most 2^62");
    read_seed(&reader, &ruleset.seed);
    read_elements(&reader, "nodes", RULESET_NODES_MAX, append_node, &ruleset);
    read_elements(&reader, "routes", RULESET_ROUTES_MAX, append_route, &ruleset);
    read_elements(&reader, "partitions", RULESET_PARTITIONS_MAX, append_partition, &ruleset);
    read_elements(&reader, "faults", RULESET_FAULTS_MAX, append_fault, &ruleset);
    read_elements(&reader, "clocks", RULESET_NODES_MAX, append_clock, &ruleset);
    read_elements(&reader, "tables", RULESET_TABLES_MAX, append_table, &ruleset);
    if (reader.code < 0) {
        ruleset_free(&ruleset);
        return reader.code;
    }
    *out = ruleset;
    return 0;
}
