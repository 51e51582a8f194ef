/* ruleset_check: judges a whole ruleset before anybody acts on it.
 *
 * Theory of operation. Limits come first, so that everything after them is bounded. Then nodes and
 * routes are checked and hashed by name, and faults, partitions and clocks are checked against
 * them; a bit per link finds links that repeat in a partition. The first thing that is wrong is
 * reported, with the JSON path that the API's document has for it. Linear in the size of the
 * ruleset. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "proxy/fault/name_table.h"
#include "proxy/fault/ruleset.h"
#include "proxy/fault/ruleset_text.h"

enum { WORD_BITS = 64, LINK_WORDS = RULESET_NODES_MAX * RULESET_NODES_MAX / WORD_BITS };

struct checker {
    const struct ruleset *ruleset;
    struct error *error;
    struct name_table nodes, routes, faults, partitions, clocks, addresses;
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
    name_table_destroy(&checker->addresses);
}

/* Text in a field of `size` bytes: ends there, printable, and not empty unless `empty_allowed`. */
static bool text_is_fine(const char *text, size_t size, bool empty_allowed)
{
    size_t length = strnlen(text, size);
    return length < size && (length > 0 || empty_allowed) &&
           ruleset_text_is_printable(text, length);
}

/* A name that is printable and new in `names`. array: "faults" for the place. */
static int check_name(struct checker *checker, struct name_table *names, const char *name,
                      const char *array, size_t index)
{
    if (!text_is_fine(name, RULESET_NAME_MAX, false) || name[0] == '-')
        return refuse(checker, -EINVAL,
                      "a name is 1 to 63 bytes of printable UTF-8 text and does not begin with -",
                      "%s[%zu].name", array, index);
    if (name_table_add(names, name, (uint32_t)index) != NAME_TABLE_NONE) {
        char message[2 * RULESET_NAME_MAX];
        snprintf(message, sizeof(message), "the name '%s' is taken", name);
        return refuse(checker, -EEXIST, message, "%s[%zu].name", array, index);
    }
    return 0;
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
    int code = check_name(checker, &checker->nodes, node->name, "nodes", index);
    if (code < 0)
        return code;
    if (node->kind != RULESET_NODE_MEMBER && node->kind != RULESET_NODE_CLIENT)
        return refuse(checker, -EINVAL, "a node is a member or a client", "nodes[%zu].kind", index);
    if (node->address_count > RULESET_NODE_ADDRESSES_MAX)
        return refuse(checker, -E2BIG, "a node has at most 4 addresses", "nodes[%zu].addresses",
                      index);
    for (size_t i = 0; i < node->address_count; i++) {
        if (!text_is_fine(node->addresses[i], RULESET_ADDRESS_MAX, false))
            return refuse(checker, -EINVAL, "an address is 1 to 127 bytes of printable text",
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
    int code = check_name(checker, &checker->routes, route->name, "routes", index);
    if (code < 0)
        return code;
    if (route->protocol != RULESET_TCP && route->protocol != RULESET_UDP)
        return refuse(checker, -EINVAL, "a route's protocol is tcp or udp", "routes[%zu].protocol",
                      index);
    if (!text_is_fine(route->listen, sizeof(route->listen), false))
        return refuse(checker, -EINVAL, "write where to listen, as host:port or unix:/path",
                      "routes[%zu].listen", index);
    if (!text_is_fine(route->upstream, sizeof(route->upstream), false))
        return refuse(checker, -EINVAL, "write where to connect to, as host:port or unix:/path",
                      "routes[%zu].upstream", index);
    if (route->from[0] && (code = find_node(checker, route->from)) < 0)
        return locate(checker, code, "routes[%zu].from", index);
    if (route->to[0] && (code = find_node(checker, route->to)) < 0)
        return locate(checker, code, "routes[%zu].to", index);
    return 0;
}

/* A link has two different ends that are known; wildcards: either may also be "*". ends: their
 * indexes, -1 for "*". */
static int check_link(struct checker *checker, const struct ruleset_link *link, bool wildcards,
                      int ends[2])
{
    const char *names[] = {link->from, link->to};
    for (size_t i = 0; i < 2; i++) {
        bool any = names[i][0] == '*' && names[i][1] == '\0';
        if (any && !wildcards)
            return error_set(checker->error, -EINVAL,
                             "a partition names its nodes, '*' is for faults only");
        ends[i] = any ? -1 : find_node(checker, names[i]);
        if (!any && ends[i] < 0)
            return ends[i];
    }
    if (ends[0] >= 0 && ends[0] == ends[1])
        return error_set(checker->error, -EINVAL, "a link joins two nodes, not '%s' with itself",
                         link->from);
    return 0;
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
        int ends[2];
        return locate(checker, check_link(checker, &fault->link, true, ends), "faults[%zu].link",
                      index);
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

static int check_latency(struct checker *checker, const struct ruleset_fault *fault, size_t index)
{
    if (fault->latency.delay_ns > RULESET_DELAY_NS_MAX)
        return refuse(checker, -EINVAL, "a delay is at most one hour", "faults[%zu].delay_ns",
                      index);
    if (fault->latency.jitter_ns > RULESET_DELAY_NS_MAX)
        return refuse(checker, -EINVAL, "a jitter is at most one hour", "faults[%zu].jitter_ns",
                      index);
    if ((unsigned)fault->latency.distribution >= RULESET_DISTRIBUTIONS)
        return refuse(checker, -EINVAL, "a distribution is uniform, normal, pareto or paretonormal",
                      "faults[%zu].distribution", index);
    return 0;
}

static int check_rate(struct checker *checker, const struct ruleset_fault *fault, size_t index)
{
    if (fault->rate.bytes_per_s == 0 || fault->rate.bytes_per_s > RULESET_RATE_MAX)
        return refuse(checker, -EINVAL, "a rate is 1 to 10^12 bytes per second",
                      "faults[%zu].bytes_per_s", index);
    if (fault->rate.burst_bytes > RULESET_BURST_MAX)
        return refuse(checker, -EINVAL, "a burst is at most 1 GiB", "faults[%zu].burst_bytes",
                      index);
    if (fault->rate.queue_bytes > RULESET_QUEUE_MAX)
        return refuse(checker, -EINVAL, "a queue is at most 1 GiB", "faults[%zu].queue_bytes",
                      index);
    return 0;
}

static int check_fault(struct checker *checker, const struct ruleset_fault *fault, size_t index)
{
    int code = check_name(checker, &checker->faults, fault->name, "faults", index);
    if (code < 0)
        return code;
    code = check_fault_target(checker, fault, index);
    if (code < 0)
        return code;
    if (!text_is_fine(fault->set_by, sizeof(fault->set_by), true))
        return refuse(checker, -EINVAL, "who set it is at most 63 bytes of printable text",
                      "faults[%zu].set_by", index);
    switch (fault->type) {
    case RULESET_LATENCY:
        return check_latency(checker, fault, index);
    case RULESET_LOSS:
        if (fault->loss.probability_ppb > RULESET_PROBABILITY_MAX)
            return refuse(checker, -EINVAL, "a probability is 0 to 1", "faults[%zu].probability",
                          index);
        return 0;
    case RULESET_RATE:
        return check_rate(checker, fault, index);
    case RULESET_FAULT_TYPES:
        break;
    }
    return refuse(checker, -EINVAL, "a fault's type is latency, loss or rate", "faults[%zu].type",
                  index);
}

static int check_partition(struct checker *checker, const struct ruleset_partition *partition,
                           size_t index)
{
    uint64_t seen[LINK_WORDS] = {0};
    int code = check_name(checker, &checker->partitions, partition->name, "partitions", index);
    if (code < 0)
        return code;
    if (!text_is_fine(partition->set_by, sizeof(partition->set_by), true))
        return refuse(checker, -EINVAL, "who set it is at most 63 bytes of printable text",
                      "partitions[%zu].set_by", index);
    if (partition->link_count == 0)
        return refuse(checker, -EINVAL, "a partition cuts at least one link",
                      "partitions[%zu].links", index);
    for (size_t i = 0; i < partition->link_count; i++) {
        const struct ruleset_link *link = &partition->links[i];
        int ends[2];
        code = check_link(checker, link, false, ends);
        if (code < 0)
            return locate(checker, code, "partitions[%zu].links[%zu]", index, i);
        size_t bit = (size_t)ends[0] * RULESET_NODES_MAX + (size_t)ends[1];
        uint64_t mask = UINT64_C(1) << (bit % WORD_BITS);
        if (seen[bit / WORD_BITS] & mask) {
            code = error_set(checker->error, -EEXIST, "the link %s->%s is in this partition twice",
                             link->from, link->to);
            return locate(checker, code, "partitions[%zu].links[%zu]", index, i);
        }
        seen[bit / WORD_BITS] |= mask;
    }
    return 0;
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
