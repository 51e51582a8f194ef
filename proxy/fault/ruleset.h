/* The ruleset: everything that is in force, as one plain value with a version number.
 *
 * This is the vocabulary that every program shares (DESIGN: node, link, route, fault, partition,
 * clock, ruleset). It has no behaviour of its own: it is copied, changed, checked as a whole and
 * handed over; fault_plan (plan.h) is what workers read. Names are 1..63 bytes (a fault's 1..127)
 * of printable UTF-8 text that does not begin with '-'; node names are further limited to
 * [A-Za-z0-9_.-] and are not dots only.
 *
 * Ownership: a ruleset owns its arrays. Zero-initialised is a valid, empty ruleset. */
#ifndef SEVER_FAULT_RULESET_H
#define SEVER_FAULT_RULESET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/base/error.h"

enum {
    RULESET_NAME_MAX = 64,        /* bytes with the NUL */
    RULESET_FAULT_NAME_MAX = 128, /* the same; "ROUTE/TOXIC" for what the Toxiproxy API sets */
    RULESET_ADDRESS_MAX = 272,    /* "host:port", "[v6]:port", "unix:/path" */
    RULESET_MATCH_MAX = 256,      /* a libpcap expression with the NUL */
    RULESET_NODES_MAX = 128,
    RULESET_NODE_ADDRESSES_MAX = 4,
    RULESET_ROUTES_MAX = 4096,
    RULESET_FAULTS_MAX = 16384,
    RULESET_PARTITIONS_MAX = 1024,
    RULESET_LINKS_MAX = 1 << 18, /* over all partitions: bounds memory */
    RULESET_TABLES_MAX = 64,
    RULESET_TABLE_VALUES_MAX = 1 << 16, /* in one table */
};

/* The ranges of parameters (ruleset_check). */
#define RULESET_DELAY_NS_MAX UINT64_C(3600000000000)            /* delay and jitter: one hour */
#define RULESET_PROBABILITY_MAX UINT32_C(1000000000)            /* parts per billion: always */
#define RULESET_RATE_MAX UINT64_C(1000000000000)                /* bytes per second */
#define RULESET_BURST_MAX (UINT64_C(1) << 30)                   /* bytes */
#define RULESET_QUEUE_MAX (UINT64_C(1) << 30)                   /* bytes */
#define RULESET_PACKETS_MAX UINT32_C(1000000)                   /* in a queue */
#define RULESET_PIECE_MAX (UINT64_C(1) << 30)                   /* bytes of a slicer's piece */
#define RULESET_LIMIT_MAX (UINT64_C(1) << 62)                   /* bytes of limit_data */
#define RULESET_CONNECTIONS_MAX UINT32_C(1000000000)            /* of first_connections */
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
    /* Every worker listens (SO_REUSEPORT) and has a share of the connections, by the kernel's hash
     * of their addresses. Without it the route lives on one worker, which accepts in order, so that
     * the k-th connection is the same in each run. Not for unix sockets. */
    bool spread;
    /* A connection whose upstream can't be reached ends with FIN, so that the peer's connect always
     * succeeds. Without it, with RST, which connect may fail with already. Not for UDP. */
    bool close_unreached;
};

/* A partition: a named set of cut links. A link is open only while no partition holds it. A split
 * of many nodes has thousands, so each is a pair of indexes into the nodes that they name: concrete
 * ones only, no "*"; each once, and none that no link names. */
struct ruleset_partition {
    char name[RULESET_NAME_MAX];
    char (*ends)[RULESET_NAME_MAX];
    size_t end_count;
    struct ruleset_pair {
        uint32_t from, to;
    } * links;
    size_t link_count;
    char set_by[RULESET_NAME_MAX]; /* who asked: "severctl", "sever", "api"; filled by severd */
    int64_t set_at_ns;             /* wall clock, filled by severd */
};

enum ruleset_fault_type {
    RULESET_LATENCY,
    RULESET_LOSS,
    RULESET_RATE,
    RULESET_TRACE,     /* rate by delivery opportunities */
    RULESET_FLAP,      /* up and down in turns */
    RULESET_CORRUPT,   /* flips bits */
    RULESET_DUPLICATE, /* datagrams and packets only, and so are the next two */
    RULESET_REORDER,
    RULESET_TRUNCATE,
    RULESET_SLICER, /* streams only, and so are all that follow, but for reject */
    RULESET_SLOW_CLOSE,
    RULESET_TIMEOUT,
    RULESET_RESET_PEER,
    RULESET_LIMIT_DATA,
    RULESET_ACCEPT_DELAY,
    RULESET_REJECT, /* refuses: connections, with TCP RST; datagrams, with ICMP port unreachable */
    RULESET_NOOP,
    RULESET_FAULT_TYPES
};
enum ruleset_distribution {
    RULESET_UNIFORM,
    RULESET_NORMAL,
    RULESET_PARETO,
    RULESET_PARETONORMAL,
    RULESET_TABLE, /* of the ruleset's tables: netem's format, 8192 is one jitter */
    RULESET_DISTRIBUTIONS
};
enum ruleset_loss_model {
    RULESET_LOSS_RANDOM,
    RULESET_LOSS_GILBERT_ELLIOTT,
    RULESET_LOSS_MARKOV, /* 4 states, netem's `loss state` */
    RULESET_LOSS_EVERY,  /* the n-th, 2n-th, ... unit */
    RULESET_LOSS_MODELS
};
/* On a route: upstream is client->server, downstream server->client. */
enum ruleset_direction { RULESET_BOTH, RULESET_UPSTREAM, RULESET_DOWNSTREAM };

/* Probabilities are parts per billion (_ppb), at most RULESET_PROBABILITY_MAX. A correlation is how
 * likely the previous draw is to be repeated (pipeline.h). */
struct ruleset_fault {
    char name[RULESET_FAULT_NAME_MAX]; /* unique in the ruleset */
    enum ruleset_fault_type type;
    /* Where: on a link when route is "", else on that route in that direction. */
    struct ruleset_link link;
    bool both_ways; /* link written "n1<->n2": each direction has the fault, drawn independently */
    char route[RULESET_NAME_MAX];
    enum ruleset_direction direction;

    /* For which connections (UDP: sessions), from when, for which units. */
    uint32_t spared_ppb; /* 1 - toxicity: it leaves this part of the connections alone, decided once
                            per connection and direction, from the seed */
    uint32_t first_connections;    /* only so many that begin after it was set; 0: all */
    uint64_t after_ns;             /* for each connection: only from this long after it began */
    char match[RULESET_MATCH_MAX]; /* libpcap filter expression; "": every unit; not for streams */

    union {
        struct {
            uint64_t delay_ns;
            uint64_t jitter_ns; /* uniform: half-width; normal: sigma; the others: netem's scale */
            enum ruleset_distribution distribution;
            char table[RULESET_NAME_MAX]; /* with RULESET_TABLE */
            uint32_t correlation_ppb;     /* of the jitter */
            bool reorder; /* datagrams leave when they are due, even before those in front */
        } latency;
        struct {
            enum ruleset_loss_model model;
            uint32_t probability_ppb; /* random */
            uint32_t correlation_ppb; /* random */
            /* Gilbert-Elliott: chance to go from good to bad and back, and of a loss in each. */
            uint32_t to_bad_ppb, to_good_ppb, lost_in_bad_ppb, lost_in_good_ppb;
            /* Markov: transitions between 1 good, 2 good in a burst, 3 lost in a burst, 4 lost
             * alone (Salsano, Ludovici, Ordine 2009). */
            uint32_t p13_ppb, p31_ppb, p32_ppb, p23_ppb, p14_ppb;
            uint32_t every; /* n >= 1 */
        } loss;
        struct {
            uint64_t bytes_per_s;   /* 0: nothing passes */
            uint64_t burst_bytes;   /* 0: none, units leave exactly at the rate */
            uint64_t queue_bytes;   /* datagrams: tail drop above this; streams: no more is
                                       read ahead; 0: default */
            uint32_t queue_packets; /* datagrams: so many wait at most, in place of the default in
                                       bytes or beside queue_bytes; 0: any number. Not shared. */
            bool shared; /* all connections of the route share it; else each has it for itself */
        } rate;
        struct {
            char table[RULESET_NAME_MAX]; /* milliseconds of delivery opportunities, mahimahi's */
            uint64_t queue_bytes;         /* as rate's; 0: 64 KiB */
            uint32_t queue_packets;       /* as rate's */
        } trace;
        struct {
            uint64_t up_ns,
                down_ns;        /* > 0: for so long it is up, then down, from when it was set */
            uint64_t jitter_ns; /* each change is up to this earlier or later; at most half of
                                   the shorter of the two */
        } flap;
        struct {
            uint32_t probability_ppb; /* datagrams: of each; streams: of each block of 1460 bytes */
            uint32_t correlation_ppb;
            bool repair; /* packets: checksums are made right afterwards; on routes always */
        } corrupt;
        struct {
            uint32_t probability_ppb;
            uint32_t correlation_ppb;
        } duplicate;
        struct {
            uint32_t probability_ppb;
            uint32_t correlation_ppb;
            uint64_t delay_ns; /* > 0: how long a chosen one is held while others pass */
        } reorder;
        struct {
            uint32_t probability_ppb;
            uint64_t bytes; /* what is left of a chosen one, at most */
            bool repair;    /* as corrupt's; and length fields */
        } truncate;
        struct {
            uint64_t average_bytes;   /* 0: not sliced */
            uint64_t variation_bytes; /* pieces are average +- variation, at least 1 */
            uint64_t delay_ns;        /* between two pieces */
        } slicer;
        struct {
            uint64_t delay_ns; /* how long the end of the stream is held */
        } slow_close;
        struct {
            uint64_t timeout_ns; /* all data is dropped; the connection is closed this long after
                                    the fault met it; 0: never. Removing it closes it too. */
        } timeout;
        struct {
            uint64_t timeout_ns; /* the connection is reset this long after the fault met it */
        } reset_peer;
        struct {
            uint64_t bytes; /* pass, in one direction of a connection, then it is closed */
        } limit_data;
        struct {
            uint64_t delay_ns; /* between accepting a connection and dialling for it */
        } accept_delay;
        struct {
            uint32_t probability_ppb; /* of each new connection, or datagram */
        } reject;
    };
    char set_by[RULESET_NAME_MAX];
    int64_t set_at_ns;
};

/* A named list of numbers: a delay distribution (netem's .dist: at least two values, each within
 * -32768..32767, sorted or not), or a link trace (mahimahi's: milliseconds, not falling, the last
 * above 0; it begins anew when it ends; each opportunity carries 1500 bytes). */
struct ruleset_table {
    char name[RULESET_NAME_MAX];
    int32_t *values;
    size_t count;
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
    struct ruleset_table *tables;
    size_t table_count;
};

void ruleset_free(struct ruleset *ruleset);                        /* leaves it empty */
void ruleset_copy(struct ruleset *to, const struct ruleset *from); /* deep; to is overwritten */

/* Append a copy; return the element inside the ruleset (links and values are copied too), valid
 * until the next append or removal. They do not check anything: ruleset_check does, for the whole.
 */
struct ruleset_node *ruleset_add_node(struct ruleset *ruleset, const struct ruleset_node *node);
struct ruleset_route *ruleset_add_route(struct ruleset *ruleset, const struct ruleset_route *route);
struct ruleset_fault *ruleset_add_fault(struct ruleset *ruleset, const struct ruleset_fault *fault);
struct ruleset_partition *ruleset_add_partition(struct ruleset *ruleset,
                                                const struct ruleset_partition *partition);
/* Replaces the table of that name, or adds it. */
struct ruleset_table *ruleset_set_table(struct ruleset *ruleset, const struct ruleset_table *table);
/* Replaces the node's clock, or adds it. A clock of zero offset and drift is removed. */
void ruleset_set_clock(struct ruleset *ruleset, const struct ruleset_clock *clock);

/* NULL when there is none. */
struct ruleset_node *ruleset_find_node(const struct ruleset *ruleset, const char *name);
struct ruleset_route *ruleset_find_route(const struct ruleset *ruleset, const char *name);
struct ruleset_fault *ruleset_find_fault(const struct ruleset *ruleset, const char *name);
struct ruleset_partition *ruleset_find_partition(const struct ruleset *ruleset, const char *name);
const struct ruleset_clock *ruleset_find_clock(const struct ruleset *ruleset, const char *node);
struct ruleset_table *ruleset_find_table(const struct ruleset *ruleset, const char *name);

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
bool ruleset_remove_table(struct ruleset *ruleset, const char *name);

/* A partition by itself, zeroed but for its name to begin with. A link that is there already is not
 * added by _add_link; _add_links looks at none. A removed node takes its links along. _copy: *to
 * may be a plain copy of *from, and gets its own links. */
void ruleset_partition_add_link(struct ruleset_partition *partition, const char *from,
                                const char *to);
void ruleset_partition_add_links(struct ruleset_partition *partition,
                                 const struct ruleset_link *links, size_t count);
void ruleset_partition_remove_node(struct ruleset_partition *partition, const char *node);
void ruleset_partition_copy(struct ruleset_partition *to, const struct ruleset_partition *from);
void ruleset_partition_free(struct ruleset_partition *partition); /* its links: it has none then */
struct ruleset_link ruleset_partition_link(const struct ruleset_partition *partition, size_t index);

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

/* Whether the fault can act on routes of this protocol (streams: tcp and unix). Loss acts on tcp
 * only where the kernel lets severd drop segments. */
bool ruleset_fault_acts_on(enum ruleset_fault_type type, enum ruleset_protocol protocol);

/* Names of the enumerations ("latency", "loss", ...; "uniform", ...; "tcp", ...), and back:
 * -EINVAL with the list of what is allowed. */
const char *ruleset_fault_type_name(enum ruleset_fault_type type);
const char *ruleset_distribution_name(enum ruleset_distribution distribution);
const char *ruleset_loss_model_name(enum ruleset_loss_model model);
const char *ruleset_direction_name(enum ruleset_direction direction);
const char *ruleset_protocol_name(enum ruleset_protocol protocol);
const char *ruleset_node_kind_name(enum ruleset_node_kind kind);
int ruleset_parse_fault_type(const char *text, enum ruleset_fault_type *type, struct error *error);
int ruleset_parse_distribution(const char *text, enum ruleset_distribution *distribution,
                               struct error *error);
int ruleset_parse_loss_model(const char *text, enum ruleset_loss_model *model, struct error *error);
int ruleset_parse_direction(const char *text, enum ruleset_direction *direction,
                            struct error *error);
int ruleset_parse_protocol(const char *text, enum ruleset_protocol *protocol, struct error *error);
int ruleset_parse_node_kind(const char *text, enum ruleset_node_kind *kind, struct error *error);

#endif
