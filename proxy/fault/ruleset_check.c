/* ruleset_check: judges a whole ruleset before anybody acts on it.
 *
 * Theory of operation. Limits come first, so that everything after them is bounded. Then nodes and
 * routes are checked and hashed by name, and faults, partitions and clocks are checked against
 * them; a bit per link finds links that repeat in a partition, whose nodes are each looked up once.
 * The first thing that is wrong is reported, with the JSON path that the API's document has for it.
 * Linear in the size of the ruleset. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/fault/name_table.h"
#include "proxy/fault/ruleset.h"
#include "proxy/fault/ruleset_parameters.h"
#include "proxy/fault/ruleset_text.h"

enum { WORD_BITS = 64, LINK_WORDS = RULESET_NODES_MAX * RULESET_NODES_MAX / WORD_BITS };

struct checker {
    const struct ruleset *ruleset;
    struct error *error;
    struct name_table nodes, routes, faults, partitions, clocks, tables, addresses;
};

/* error_set_at with a fixed message and a printf place. */
static int __attribute__((format(printf, 4, 5)))
refuse(struct checker *checker, int code, const char *message, const char *place_format, ...)
{
    char place[ERROR_PLACE_MAX];
    va_list args;
    va_start(args, place_format);
    vsnprintf(place, sizeof(place), place_format, args);
    va_end(args);
    return error_set_at(checker->error, code, place, "%s", message);
}

static int out_of_memory(struct checker *checker)
{
    return error_set(checker->error, -ENOMEM, "out of memory");
}

static int check_limits(struct checker *checker)
{
    const struct ruleset *ruleset = checker->ruleset;
    size_t links = 0;
    for (size_t i = 0; i < ruleset->partition_count; i++)
        links += ruleset->partitions[i].link_count;
    const struct {
        const char *place, *what;
        size_t count, limit;
    } limits[] = {
        {"nodes", "nodes", ruleset->node_count, RULESET_NODES_MAX},
        {"routes", "routes", ruleset->route_count, RULESET_ROUTES_MAX},
        {"faults", "faults", ruleset->fault_count, RULESET_FAULTS_MAX},
        {"partitions", "partitions", ruleset->partition_count, RULESET_PARTITIONS_MAX},
        {"partitions", "links in all partitions together", links, RULESET_LINKS_MAX},
        {"clocks", "clocks", ruleset->clock_count, RULESET_NODES_MAX},
        {"tables", "tables", ruleset->table_count, RULESET_TABLES_MAX},
    };
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
        if (limits[i].count > limits[i].limit)
            return error_set_at(checker->error, -E2BIG, limits[i].place,
                                "%zu %s are more than the limit of %zu", limits[i].count,
                                limits[i].what, limits[i].limit);
    return 0;
}

static int create_tables(struct checker *checker)
{
    const struct ruleset *ruleset = checker->ruleset;
    if (name_table_create(&checker->nodes, ruleset->node_count) < 0 ||
        name_table_create(&checker->routes, ruleset->route_count) < 0 ||
        name_table_create(&checker->faults, ruleset->fault_count) < 0 ||
        name_table_create(&checker->partitions, ruleset->partition_count) < 0 ||
        name_table_create(&checker->clocks, ruleset->clock_count) < 0 ||
        name_table_create(&checker->tables, ruleset->table_count) < 0 ||
        name_table_create(&checker->addresses, ruleset->node_count * RULESET_NODE_ADDRESSES_MAX) <
            0)
        return out_of_memory(checker);
    return 0;
}

static void destroy_tables(struct checker *checker)
{
    name_table_destroy(&checker->nodes);
    name_table_destroy(&checker->routes);
    name_table_destroy(&checker->faults);
    name_table_destroy(&checker->partitions);
    name_table_destroy(&checker->clocks);
    name_table_destroy(&checker->tables);
    name_table_destroy(&checker->addresses);
}

/* Text in a field of `size` bytes: ends there, printable, and not empty unless `empty_allowed`. */
static bool text_is_fine(const char *text, size_t size, bool empty_allowed)
{
    size_t length = strnlen(text, size);
    return length < size && (length > 0 || empty_allowed) &&
           ruleset_text_is_printable(text, length);
}

/* Says where the error is that a check below reported without a place; returns code. Places are
 * written only when they are needed: a split has thousands of links. */
static int __attribute__((format(printf, 3, 4)))
locate(struct checker *checker, int code, const char *place_format, ...)
{
    if (code == 0 || !checker->error)
        return code;
    va_list args;
    va_start(args, place_format);
    vsnprintf(checker->error->place, sizeof(checker->error->place), place_format, args);
    va_end(args);
    return code;
}

/* A name that is printable and new in `names`. size: of its field; array: "faults", for the place.
 */
static int check_name(struct checker *checker, struct name_table *names, const char *name,
                      size_t size, const char *array, size_t index)
{
    if (!text_is_fine(name, size, false) || name[0] == '-')
        return locate(checker,
                      error_set(checker->error, -EINVAL,
                                "a name is 1 to %zu bytes of printable UTF-8 text and does not "
                                "begin with -",
                                size - 1),
                      "%s[%zu].name", array, index);
    if (name_table_add(names, name, (uint32_t)index) != NAME_TABLE_NONE) {
        char message[2 * RULESET_FAULT_NAME_MAX];
        snprintf(message, sizeof(message), "the name '%s' is taken", name);
        return refuse(checker, -EEXIST, message, "%s[%zu].name", array, index);
    }
    return 0;
}

/* The index of the node of this name, or -EINVAL. */
static int find_node(struct checker *checker, const char *name)
{
    if (strnlen(name, RULESET_NAME_MAX) < RULESET_NAME_MAX) {
        uint32_t index = name_table_find(&checker->nodes, name);
        if (index != NAME_TABLE_NONE)
            return (int)index;
    }
    return ruleset_no_such_node(checker->ruleset, name, -EINVAL, "", checker->error);
}

static int check_node(struct checker *checker, const struct ruleset_node *node, size_t index)
{
    if (!ruleset_text_is_node_name(node->name, strnlen(node->name, sizeof(node->name))))
        return refuse(checker, -EINVAL,
                      "a node name is 1 to 63 of A-Z a-z 0-9 _ . -, does not begin with - and is "
                      "not dots only",
                      "nodes[%zu].name", index);
    int code = check_name(checker, &checker->nodes, node->name, RULESET_NAME_MAX, "nodes", index);
    if (code < 0)
        return code;
    if (node->kind != RULESET_NODE_MEMBER && node->kind != RULESET_NODE_CLIENT)
        return refuse(checker, -EINVAL, "a node is a member or a client", "nodes[%zu].kind", index);
    if (node->address_count > RULESET_NODE_ADDRESSES_MAX)
        return refuse(checker, -E2BIG, "a node has at most 4 addresses", "nodes[%zu].addresses",
                      index);
    for (size_t i = 0; i < node->address_count; i++) {
        if (!text_is_fine(node->addresses[i], RULESET_ADDRESS_MAX, false))
            return refuse(checker, -EINVAL, "an address is printable text",
                          "nodes[%zu].addresses[%zu]", index, i);
        if (name_table_add(&checker->addresses, node->addresses[i], (uint32_t)index) !=
            NAME_TABLE_NONE)
            return refuse(checker, -EEXIST, "a node has this address already",
                          "nodes[%zu].addresses[%zu]", index, i);
    }
    return 0;
}

static int check_route(struct checker *checker, const struct ruleset_route *route, size_t index)
{
    int code =
        check_name(checker, &checker->routes, route->name, RULESET_NAME_MAX, "routes", index);
    if (code < 0)
        return code;
    if (route->protocol != RULESET_TCP && route->protocol != RULESET_UDP)
        return refuse(checker, -EINVAL, "a route's protocol is tcp or udp", "routes[%zu].protocol",
                      index);
    if (!text_is_fine(route->listen, sizeof(route->listen), false))
        return refuse(checker, -EINVAL, "write where to listen, as host:port or unix:/path",
                      "routes[%zu].listen", index);
    if (route->spread && strncmp(route->listen, "unix:", 5) == 0)
        return refuse(checker, -EINVAL, "a unix socket is listened to by one worker",
                      "routes[%zu].spread", index);
    if (route->close_unreached && route->protocol == RULESET_UDP)
        return refuse(checker, -EINVAL, "a udp route has no connections to close",
                      "routes[%zu].close_unreached", index);
    if (!text_is_fine(route->upstream, sizeof(route->upstream), false))
        return refuse(checker, -EINVAL, "write where to connect to, as host:port or unix:/path",
                      "routes[%zu].upstream", index);
    if (route->from[0] && (code = find_node(checker, route->from)) < 0)
        return locate(checker, code, "routes[%zu].from", index);
    if (route->to[0] && (code = find_node(checker, route->to)) < 0)
        return locate(checker, code, "routes[%zu].to", index);
    return 0;
}

static bool is_any(const char *end)
{
    return end[0] == '*' && end[1] == '\0';
}

static int refuse_loop(struct checker *checker, const char *node)
{
    return error_set(checker->error, -EINVAL, "a link joins two nodes, not '%s' with itself", node);
}

/* A fault's link has two different ends that are known; either may also be "*". */
static int check_link(struct checker *checker, const struct ruleset_link *link)
{
    int from = is_any(link->from) ? -1 : find_node(checker, link->from);
    if (from < 0 && !is_any(link->from))
        return from;
    int to = is_any(link->to) ? -1 : find_node(checker, link->to);
    if (to < 0 && !is_any(link->to))
        return to;
    return from >= 0 && from == to ? refuse_loop(checker, link->from) : 0;
}

static int check_fault_target(struct checker *checker, const struct ruleset_fault *fault,
                              size_t index)
{
    if (fault->direction != RULESET_BOTH && fault->direction != RULESET_UPSTREAM &&
        fault->direction != RULESET_DOWNSTREAM)
        return refuse(checker, -EINVAL, "a direction is both, upstream or downstream",
                      "faults[%zu].direction", index);
    if (fault->route[0] == '\0') {
        if (fault->direction != RULESET_BOTH)
            return refuse(checker, -EINVAL,
                          "a direction belongs to a route; on a link write n1->n2, n2->n1 or "
                          "n1<->n2",
                          "faults[%zu].direction", index);
        if (fault->link.from[0] == '\0' && fault->link.to[0] == '\0')
            return refuse(checker, -EINVAL, "a fault needs a link or a route", "faults[%zu].link",
                          index);
        return locate(checker, check_link(checker, &fault->link), "faults[%zu].link", index);
    }
    if (fault->link.from[0] || fault->link.to[0] || fault->both_ways)
        return refuse(checker, -EINVAL, "a fault is on a link or on a route, not on both",
                      "faults[%zu].link", index);
    if (strnlen(fault->route, sizeof(fault->route)) == sizeof(fault->route) ||
        name_table_find(&checker->routes, fault->route) == NAME_TABLE_NONE) {
        char message[2 * RULESET_NAME_MAX];
        snprintf(message, sizeof(message), "there is no route '%.*s'", RULESET_NAME_MAX - 1,
                 fault->route);
        return refuse(checker, -EINVAL, message, "faults[%zu].route", index);
    }
    return 0;
}

/* The table that a parameter names: there, and with values that its use can take. */
static int check_named_table(struct checker *checker, const struct ruleset_fault *fault,
                             const char *name, size_t index)
{
    const struct ruleset_table *table = NULL;
    if (strnlen(name, RULESET_NAME_MAX) < RULESET_NAME_MAX)
        table = ruleset_find_table(checker->ruleset, name);
    if (!table)
        return locate(checker,
                      error_set(checker->error, -EINVAL, "there is no table '%.*s'",
                                RULESET_NAME_MAX - 1, name),
                      "faults[%zu].table", index);
    for (size_t i = 0; i < table->count; i++) {
        int32_t value = table->values[i];
        bool fine = fault->type == RULESET_TRACE
                        ? value >= 0 && (i == 0 || value >= table->values[i - 1])
                        : value >= INT16_MIN && value <= INT16_MAX;
        if (!fine)
            return locate(
                checker,
                error_set(checker->error, -EINVAL, "table '%s' is no %s: value %zu is %ld", name,
                          fault->type == RULESET_TRACE ? "trace (milliseconds that don't fall)"
                                                       : "distribution (-32768 to 32767)",
                          i, (long)value),
                "faults[%zu].table", index);
    }
    if (fault->type == RULESET_LATENCY && table->count < 2)
        return refuse(checker, -EINVAL, "a distribution has at least two values",
                      "faults[%zu].table", index);
    if (fault->type == RULESET_TRACE && table->values[table->count - 1] == 0)
        return refuse(checker, -EINVAL, "a trace lasts at least a millisecond", "faults[%zu].table",
                      index);
    return 0;
}

static int check_tables_of(struct checker *checker, const struct ruleset_fault *fault, size_t index)
{
    if (fault->type == RULESET_TRACE)
        return check_named_table(checker, fault, fault->trace.table, index);
    if (fault->type != RULESET_LATENCY)
        return 0;
    bool wanted = fault->latency.distribution == RULESET_TABLE;
    if (wanted != (fault->latency.table[0] != '\0'))
        return refuse(checker, -EINVAL, "a table is named with distribution table, and only then",
                      "faults[%zu].table", index);
    return wanted ? check_named_table(checker, fault, fault->latency.table, index) : 0;
}

static int check_parameters(struct checker *checker, const struct ruleset_fault *fault,
                            size_t index)
{
    size_t count;
    const struct ruleset_parameter *parameters = ruleset_parameters(fault->type, &count);
    for (size_t i = 0; i < count; i++) {
        const struct ruleset_parameter *parameter = &parameters[i];
        if (parameter->kind == RULESET_PARAMETER_TABLE ||
            !ruleset_parameter_is_there(parameter, fault))
            continue;
        uint64_t value = ruleset_parameter_get(parameter, fault);
        if (value < parameter->minimum || value > parameter->maximum)
            return refuse(checker, -EINVAL, parameter->range, "faults[%zu].%s", index,
                          parameter->key);
    }
    return check_tables_of(checker, fault, index);
}

/* The four chances of the Markov model that leave a state together. */
static int check_markov(struct checker *checker, const struct ruleset_fault *fault, size_t index)
{
    if (fault->type != RULESET_LOSS || fault->loss.model != RULESET_LOSS_MARKOV)
        return 0;
    if ((uint64_t)fault->loss.p13_ppb + fault->loss.p14_ppb > RULESET_PROBABILITY_MAX)
        return refuse(checker, -EINVAL, "p13 and p14 together are at most 1", "faults[%zu].p14",
                      index);
    if ((uint64_t)fault->loss.p31_ppb + fault->loss.p32_ppb > RULESET_PROBABILITY_MAX)
        return refuse(checker, -EINVAL, "p31 and p32 together are at most 1", "faults[%zu].p32",
                      index);
    return 0;
}

static int check_flap(struct checker *checker, const struct ruleset_fault *fault, size_t index)
{
    if (fault->type != RULESET_FLAP || (fault->flap.jitter_ns <= fault->flap.up_ns / 2 &&
                                        fault->flap.jitter_ns <= fault->flap.down_ns / 2))
        return 0;
    return refuse(checker, -EINVAL, "a flap's jitter is at most half of the shorter of up and down",
                  "faults[%zu].jitter_ns", index);
}

/* A queue in packets is one flow's, and has packets. */
static int check_queue(struct checker *checker, const struct ruleset_fault *fault,
                       const struct ruleset_route *route, size_t index)
{
    uint32_t packets = fault->type == RULESET_RATE    ? fault->rate.queue_packets
                       : fault->type == RULESET_TRACE ? fault->trace.queue_packets
                                                      : 0;
    if (packets > 0 && route && route->protocol == RULESET_TCP)
        return refuse(checker, -EINVAL,
                      "a stream has no packets: the queue of a TCP route is in bytes",
                      "faults[%zu].queue_packets", index);
    if (packets > 0 && fault->type == RULESET_RATE && fault->rate.shared)
        return refuse(checker, -EINVAL, "the queue of a shared rate is in bytes",
                      "faults[%zu].queue_packets", index);
    return 0;
}

/* What some faults ask of where they are. route: NULL on a link. */
static int check_place(struct checker *checker, const struct ruleset_fault *fault,
                       const struct ruleset_route *route, size_t index)
{
    bool of_connections = fault->type == RULESET_ACCEPT_DELAY || fault->type == RULESET_REJECT;
    if (of_connections && route && route->protocol == RULESET_TCP &&
        fault->direction == RULESET_DOWNSTREAM)
        return refuse(checker, -EINVAL,
                      "a connection is accepted or refused upstream, from who dials",
                      "faults[%zu].direction", index);
    if (fault->type == RULESET_RATE && fault->rate.shared && (!route || route->spread))
        return refuse(checker, -EINVAL,
                      "a shared rate is on a route, and on one that is not spread over the workers",
                      "faults[%zu].shared", index);
    return check_queue(checker, fault, route, index);
}

/* For which connections and units. */
static int check_reach(struct checker *checker, const struct ruleset_fault *fault, size_t index)
{
    const struct ruleset_route *route =
        fault->route[0] ? &checker->ruleset->routes[name_table_find(&checker->routes, fault->route)]
                        : NULL;
    if (fault->spared_ppb > RULESET_PROBABILITY_MAX)
        return refuse(checker, -EINVAL, "a toxicity is 0 to 1", "faults[%zu].toxicity", index);
    if (fault->first_connections > RULESET_CONNECTIONS_MAX)
        return refuse(checker, -EINVAL, "first_connections is at most 10^9",
                      "faults[%zu].first_connections", index);
    if (fault->after_ns > RULESET_DELAY_NS_MAX)
        return refuse(checker, -EINVAL, "after_ns is at most one hour", "faults[%zu].after_ns",
                      index);
    if (!text_is_fine(fault->match, sizeof(fault->match), true))
        return refuse(checker, -EINVAL, "a match is at most 255 bytes of printable text",
                      "faults[%zu].match", index);
    if (route && !ruleset_fault_acts_on(fault->type, route->protocol))
        return refuse(checker, -EINVAL,
                      route->protocol == RULESET_UDP
                          ? "this fault is for streams, and the route carries datagrams"
                          : "this fault is for datagrams, and the route carries a stream",
                      "faults[%zu].type", index);
    if (fault->match[0] && route && route->protocol == RULESET_TCP)
        return refuse(checker, -EINVAL,
                      "a match is for datagrams and packets; a stream is matched by route and "
                      "direction",
                      "faults[%zu].match", index);
    return check_place(checker, fault, route, index);
}

static int check_fault(struct checker *checker, const struct ruleset_fault *fault, size_t index)
{
    int code =
        check_name(checker, &checker->faults, fault->name, RULESET_FAULT_NAME_MAX, "faults", index);
    if (code < 0)
        return code;
    if ((unsigned)fault->type >= RULESET_FAULT_TYPES)
        return refuse(checker, -EINVAL, "there is no such type of fault", "faults[%zu].type",
                      index);
    code = check_fault_target(checker, fault, index);
    if (code < 0)
        return code;
    if (!text_is_fine(fault->set_by, sizeof(fault->set_by), true))
        return refuse(checker, -EINVAL, "who set it is at most 63 bytes of printable text",
                      "faults[%zu].set_by", index);
    code = check_parameters(checker, fault, index);
    if (code == 0)
        code = check_markov(checker, fault, index);
    if (code == 0)
        code = check_flap(checker, fault, index);
    return code < 0 ? code : check_reach(checker, fault, index);
}

static int check_table(struct checker *checker, const struct ruleset_table *table, size_t index)
{
    int code =
        check_name(checker, &checker->tables, table->name, RULESET_NAME_MAX, "tables", index);
    if (code < 0)
        return code;
    if (table->count == 0 || table->count > RULESET_TABLE_VALUES_MAX)
        return refuse(checker, -EINVAL, "a table has 1 to 65536 values", "tables[%zu].values",
                      index);
    return 0;
}

/* The ends of a partition by index of the node, UNKNOWN until one is looked up. */
enum { UNKNOWN = -1 };

static int find_end(struct checker *checker, const struct ruleset_partition *partition, int *nodes,
                    uint32_t end)
{
    if (nodes[end] != UNKNOWN)
        return nodes[end];
    if (is_any(partition->ends[end]))
        return error_set(checker->error, -EINVAL,
                         "a partition names its nodes, '*' is for faults only");
    int node = find_node(checker, partition->ends[end]);
    if (node >= 0)
        nodes[end] = node;
    return node;
}

/* seen: a bit for each link; nodes: of find_end. */
static int check_cut(struct checker *checker, const struct ruleset_partition *partition,
                     size_t index, int *nodes, uint64_t *seen)
{
    const struct ruleset_pair *pair = &partition->links[index];
    int from = find_end(checker, partition, nodes, pair->from);
    int to = from < 0 ? from : find_end(checker, partition, nodes, pair->to);
    if (to < 0)
        return to;
    if (from == to)
        return refuse_loop(checker, partition->ends[pair->from]);
    size_t bit = (size_t)from * RULESET_NODES_MAX + (size_t)to;
    uint64_t mask = UINT64_C(1) << (bit % WORD_BITS);
    if (seen[bit / WORD_BITS] & mask)
        return error_set(checker->error, -EEXIST, "the link %s->%s is in this partition twice",
                         partition->ends[pair->from], partition->ends[pair->to]);
    seen[bit / WORD_BITS] |= mask;
    return 0;
}

static int check_cuts(struct checker *checker, const struct ruleset_partition *partition,
                      size_t index)
{
    uint64_t seen[LINK_WORDS] = {0};
    int *nodes = malloc((partition->end_count + 1) * sizeof(*nodes));
    if (!nodes)
        return out_of_memory(checker);
    memset(nodes, 0xff, partition->end_count * sizeof(*nodes)); /* UNKNOWN */
    int code = 0;
    size_t i = 0;
    while (i < partition->link_count && code == 0)
        code = check_cut(checker, partition, i++, nodes, seen);
    free(nodes);
    return locate(checker, code, "partitions[%zu].links[%zu]", index, i - 1);
}

static int check_partition(struct checker *checker, const struct ruleset_partition *partition,
                           size_t index)
{
    int code = check_name(checker, &checker->partitions, partition->name, RULESET_NAME_MAX,
                          "partitions", index);
    if (code < 0)
        return code;
    if (!text_is_fine(partition->set_by, sizeof(partition->set_by), true))
        return refuse(checker, -EINVAL, "who set it is at most 63 bytes of printable text",
                      "partitions[%zu].set_by", index);
    if (partition->link_count == 0)
        return refuse(checker, -EINVAL, "a partition cuts at least one link",
                      "partitions[%zu].links", index);
    return check_cuts(checker, partition, index);
}

static int check_clock(struct checker *checker, const struct ruleset_clock *clock, size_t index)
{
    int code = find_node(checker, clock->node);
    if (code < 0)
        return locate(checker, code, "clocks[%zu].node", index);
    if (name_table_add(&checker->clocks, clock->node, (uint32_t)index) != NAME_TABLE_NONE) {
        code = error_set(checker->error, -EEXIST, "node '%s' has a clock already", clock->node);
        return locate(checker, code, "clocks[%zu].node", index);
    }
    if (clock->offset_ns > RULESET_OFFSET_NS_MAX || clock->offset_ns < -RULESET_OFFSET_NS_MAX)
        return refuse(checker, -EINVAL, "a clock's offset is at most 100 years either way",
                      "clocks[%zu].offset_ns", index);
    if (clock->drift_ppb > RULESET_DRIFT_PPB_MAX || clock->drift_ppb < -RULESET_DRIFT_PPB_MAX)
        return refuse(checker, -EINVAL, "a clock's drift is within -10^9 to 10^9 ppb",
                      "clocks[%zu].drift_ppb", index);
    return 0;
}

static int check_all(struct checker *checker)
{
    const struct ruleset *ruleset = checker->ruleset;
    int code = check_limits(checker);
    if (code == 0)
        code = create_tables(checker);
    for (size_t i = 0; code == 0 && i < ruleset->node_count; i++)
        code = check_node(checker, &ruleset->nodes[i], i);
    for (size_t i = 0; code == 0 && i < ruleset->route_count; i++)
        code = check_route(checker, &ruleset->routes[i], i);
    for (size_t i = 0; code == 0 && i < ruleset->partition_count; i++)
        code = check_partition(checker, &ruleset->partitions[i], i);
    for (size_t i = 0; code == 0 && i < ruleset->table_count; i++)
        code = check_table(checker, &ruleset->tables[i], i);
    for (size_t i = 0; code == 0 && i < ruleset->fault_count; i++)
        code = check_fault(checker, &ruleset->faults[i], i);
    for (size_t i = 0; code == 0 && i < ruleset->clock_count; i++)
        code = check_clock(checker, &ruleset->clocks[i], i);
    return code;
}

int ruleset_check(const struct ruleset *ruleset, struct error *error)
{
    struct checker checker = {.ruleset = ruleset, .error = error};
    int code = check_all(&checker);
    destroy_tables(&checker);
    return code;
}
