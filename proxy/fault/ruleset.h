/* The ruleset: everything that is in force, as one plain value with a version number.
 *
 * This is the vocabulary that every program shares (DESIGN: node, link, route, fault, partition,
 * clock, ruleset). It has no behaviour of its own: it is copied, changed, checked as a whole and
 * handed over; fault_plan (plan.h) is what workers read. Names are 1..63 bytes of printable UTF-8
 * text that does not begin with '-'; node names are further limited to [A-Za-z0-9_.-] and are not
 * dots only.
 *
 * Ownership: a ruleset owns its arrays. Zero-initialised is a valid, empty ruleset. */
#ifndef SEVER_FAULT_RULESET_H
#define SEVER_FAULT_RULESET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/base/error.h"

enum {
    RULESET_NAME_MAX = 64,     /* bytes with the NUL */
    RULESET_ADDRESS_MAX = 128, /* "host:port", "[v6]:port", "unix:/path" */
    RULESET_NODES_MAX = 128,
    RULESET_NODE_ADDRESSES_MAX = 4,
    RULESET_ROUTES_MAX = 4096,
    RULESET_FAULTS_MAX = 16384,
    RULESET_PARTITIONS_MAX = 1024,
    RULESET_LINKS_MAX = 1 << 18, /* over all partitions: bounds memory */
};

/* The ranges of parameters (ruleset_check). */
#define RULESET_DELAY_NS_MAX UINT64_C(3600000000000)            /* delay and jitter: one hour */
#define RULESET_PROBABILITY_MAX UINT32_C(1000000000)            /* parts per billion: always */
#define RULESET_RATE_MAX UINT64_C(1000000000000)                /* bytes per second */
#define RULESET_BURST_MAX (UINT64_C(1) << 30)                   /* bytes */
#define RULESET_QUEUE_MAX (UINT64_C(1) << 30)                   /* bytes */
#define RULESET_OFFSET_NS_MAX (INT64_C(36525) * 86400000000000) /* 100 years, either way */
#define RULESET_DRIFT_PPB_MAX INT64_C(1000000000)               /* either way */

enum ruleset_node_kind { RULESET_NODE_MEMBER, RULESET_NODE_CLIENT };

struct ruleset_node {
    char name[RULESET_NAME_MAX];
    enum ruleset_node_kind kind;
    /* Source addresses (no port) by which routes know that this node is dialling. */
    char addresses[RULESET_NODE_ADDRESSES_MAX][RULESET_ADDRESS_MAX];
    size_t address_count;
};

/* A directed link between two different nodes, written "n1->n2". In a fault's target either end may
 * be "*": any node (so "*->n1" is every link to n1). What a node sends to itself is on no link. */
struct ruleset_link {
    char from[RULESET_NAME_MAX];
    char to[RULESET_NAME_MAX];
};

enum ruleset_protocol { RULESET_TCP, RULESET_UDP };

struct ruleset_route {
    char name[RULESET_NAME_MAX];
    enum ruleset_protocol protocol;
    char listen[RULESET_ADDRESS_MAX];
    char upstream[RULESET_ADDRESS_MAX];
    /* The dialling node: "" means it is found by the peer's source address among all nodes'
     * addresses; a peer found nowhere is on no link, and only the route's own faults touch it. */
    char from[RULESET_NAME_MAX];
    char to[RULESET_NAME_MAX]; /* the node behind the upstream address; "" when it is no node */
    bool enabled;
};

/* A partition: a named set of cut links. A link is open only while no partition holds it. */
struct ruleset_partition {
    char name[RULESET_NAME_MAX];
    struct ruleset_link *links; /* concrete node names only, no "*" */
    size_t link_count;
    char set_by[RULESET_NAME_MAX]; /* who asked: "severctl", "sever", "api"; filled by severd */
    int64_t set_at_ns;             /* wall clock, filled by severd */
};

enum ruleset_fault_type { RULESET_LATENCY, RULESET_LOSS, RULESET_RATE, RULESET_FAULT_TYPES };
enum ruleset_distribution {
    RULESET_UNIFORM,
    RULESET_NORMAL,
    RULESET_PARETO,
    RULESET_PARETONORMAL,
    RULESET_DISTRIBUTIONS
};
/* On a route: upstream is client->server, downstream server->client. */
enum ruleset_direction { RULESET_BOTH, RULESET_UPSTREAM, RULESET_DOWNSTREAM };

struct ruleset_fault {
    char name[RULESET_NAME_MAX]; /* unique in the ruleset */
    enum ruleset_fault_type type;
    /* Where: on a link when route is "", else on that route in that direction. */
    struct ruleset_link link;
    bool both_ways; /* link written "n1<->n2": each direction has the fault, drawn independently */
    char route[RULESET_NAME_MAX];
    enum ruleset_direction direction;
    union {
        struct {
            uint64_t delay_ns;
            uint64_t jitter_ns; /* uniform: half-width; normal: sigma; the others: netem's scale */
            enum ruleset_distribution distribution;
        } latency;
        struct {
            uint32_t probability_ppb;
        } loss;
        struct {
            uint64_t bytes_per_s; /* > 0 */
            uint64_t burst_bytes; /* 0: none, units leave exactly at the rate */
            uint64_t queue_bytes; /* datagrams and packets: tail drop above this; 0: default */
        } rate;
    };
    char set_by[RULESET_NAME_MAX];
    int64_t set_at_ns;
};

struct ruleset_clock {
    char node[RULESET_NAME_MAX];
    int64_t offset_ns;
    int64_t drift_ppb;
};

struct ruleset {
    uint64_t version; /* of the ruleset; severd sets it, each change adds one */
    uint64_t seed;    /* of every random decision */
    struct ruleset_node *nodes;
    size_t node_count;
    struct ruleset_route *routes;
    size_t route_count;
    struct ruleset_partition *partitions;
    size_t partition_count;
    struct ruleset_fault *faults; /* in this order they are chained */
    size_t fault_count;
    struct ruleset_clock *clocks; /* at most one a node */
    size_t clock_count;
};

void ruleset_free(struct ruleset *ruleset);                        /* leaves it empty */
void ruleset_copy(struct ruleset *to, const struct ruleset *from); /* deep; to is overwritten */

/* Append a copy; return the element inside the ruleset (partition links are copied too), valid
 * until the next append or removal. They do not check anything: ruleset_check does, for the whole.
 */
struct ruleset_node *ruleset_add_node(struct ruleset *ruleset, const struct ruleset_node *node);
struct ruleset_route *ruleset_add_route(struct ruleset *ruleset, const struct ruleset_route *route);
struct ruleset_fault *ruleset_add_fault(struct ruleset *ruleset, const struct ruleset_fault *fault);
struct ruleset_partition *ruleset_add_partition(struct ruleset *ruleset,
                                                const struct ruleset_partition *partition);
/* Replaces the node's clock, or adds it. A clock of zero offset and drift is removed. */
void ruleset_set_clock(struct ruleset *ruleset, const struct ruleset_clock *clock);
void ruleset_partition_add_link(struct ruleset_partition *partition, const char *from,
                                const char *to); /* once: a link already there is not repeated */

/* NULL when there is none. */
struct ruleset_node *ruleset_find_node(const struct ruleset *ruleset, const char *name);
struct ruleset_route *ruleset_find_route(const struct ruleset *ruleset, const char *name);
struct ruleset_fault *ruleset_find_fault(const struct ruleset *ruleset, const char *name);
struct ruleset_partition *ruleset_find_partition(const struct ruleset *ruleset, const char *name);
const struct ruleset_clock *ruleset_find_clock(const struct ruleset *ruleset, const char *node);

/* The same but for who set it and when (and, of partitions, in the same order of links). The name
 * does not count. */
bool ruleset_same_fault(const struct ruleset_fault *a, const struct ruleset_fault *b);
bool ruleset_same_partition(const struct ruleset_partition *a, const struct ruleset_partition *b);

/* Fills *error with "there is no node 'n9' (nodes: n1, n2)", naming at most some of the nodes, and
 * returns code. */
int ruleset_no_such_node(const struct ruleset *ruleset, const char *name, int code,
                         const char *place, struct error *error);

/* True when removed. Removing a node fails a later ruleset_check while something names it. */
bool ruleset_remove_node(struct ruleset *ruleset, const char *name);
bool ruleset_remove_route(struct ruleset *ruleset, const char *name);
bool ruleset_remove_fault(struct ruleset *ruleset, const char *name);
bool ruleset_remove_partition(struct ruleset *ruleset, const char *name);

/* Fills *partition (zeroed by the caller but for its name) with the links that separate the groups
 * from each other, both ways; nodes that are in no group are untouched.
 * groups: group_count arrays of node names. -EINVAL: fewer than two groups, an empty group, an
 * unknown node, or a node in two groups; *partition is then unchanged. */
struct ruleset_group {
    const char *const *names;
    size_t count;
};
int ruleset_partition_split(const struct ruleset *ruleset, const struct ruleset_group *groups,
                            size_t group_count, struct ruleset_partition *partition,
                            struct error *error);
/* The links between `name` and every other member, both ways. -EINVAL: unknown node, or no other
 * member. */
int ruleset_partition_isolate(const struct ruleset *ruleset, const char *name,
                              struct ruleset_partition *partition, struct error *error);

/* Checks the whole value: names, limits, references, duplicates, parameter ranges.
 * 0, or -EINVAL / -EEXIST (a name, address, link or clock that is there already) / -E2BIG with
 * place as a JSON path such as "faults[2].link" or "partitions[0].links[3]"; -ENOMEM. Refused
 * besides the obvious: a link from a node to itself, a partition without links, a fault on a link
 * that has a direction (a direction belongs to a route), a fault on a link and a route. */
int ruleset_check(const struct ruleset *ruleset, struct error *error);

/* "n1->n2" (both_ways false) or "n1<->n2" (true). "*" is accepted as an end. -EINVAL otherwise. */
int ruleset_parse_link(const char *text, struct ruleset_link *link, bool *both_ways,
                       struct error *error);
/* Writes it back. buffer: RULESET_LINK_TEXT_MAX bytes. Returns buffer. */
enum { RULESET_LINK_TEXT_MAX = 2 * RULESET_NAME_MAX + 4 };
const char *ruleset_format_link(const struct ruleset_link *link, bool both_ways, char *buffer);

/* Names of the enumerations ("latency", "loss", "rate"; "uniform", ...; "tcp", ...), and back:
 * -EINVAL with the list of what is allowed. */
const char *ruleset_fault_type_name(enum ruleset_fault_type type);
const char *ruleset_distribution_name(enum ruleset_distribution distribution);
const char *ruleset_direction_name(enum ruleset_direction direction);
const char *ruleset_protocol_name(enum ruleset_protocol protocol);
const char *ruleset_node_kind_name(enum ruleset_node_kind kind);
int ruleset_parse_fault_type(const char *text, enum ruleset_fault_type *type, struct error *error);
int ruleset_parse_distribution(const char *text, enum ruleset_distribution *distribution,
                               struct error *error);
int ruleset_parse_direction(const char *text, enum ruleset_direction *direction,
                            struct error *error);
int ruleset_parse_protocol(const char *text, enum ruleset_protocol *protocol, struct error *error);
int ruleset_parse_node_kind(const char *text, enum ruleset_node_kind *kind, struct error *error);

#endif
