/* An experiment: cluster, workload, timeline and what must hold, read from a YAML file.
 *
 * The reader (experiment_parse) works on a text in memory and does no I/O; every refusal names
 * file:line:column and what to write instead. The format, by example (defaults in brackets):
 *
 *   name: split brain with three          # required
 *   seed: 1                               # [1] of every choice; --seed replaces it
 *   duration: 20s                         # required; of the workload, from ready to the last call
 *   cluster:
 *     network: routes                     # [routes] or lab: each node in namespaces of its own
 *     system: raftkv                      # [raftkv] etcd, redis, postgres: how nodes are asked
 *     nodes: 3                            # names n1..n3; or a list of names
 *     command: [raftkv, --id, "{name}", --bind, "{address}", -p, "{port.client}",
 *               --peer-port, "{port.peer}", --peers, "{peers}", --data, "{dir}"]
 *                                         # {address.n1}: where this node reaches n1
 *     ports: {client: 6379, peer: 16379}  # each gets a route on each node; a lab needs none
 *     peers: "{name}={address}:{port.peer}"   # one entry of {peers}, joined by commas
 *     environment: {KEY: value}           # [none]
 *     leader: "role:leader"               # [none] line of what a node says of itself, see below
 *     ready: {within: 10s}                # [10s] each node answers and is at work, and one leads
 *     files: [redis.conf]                 # [none] templates beside this file, written to {dir}
 *     init: [initdb, -D, "{dir}/data"]    # [none] runs to its end before the first start
 *     also: {sentinel: [redis-server, "{dir}/sentinel.conf", --sentinel]}
 *                                         # [none] further processes of each node, by name
 *     overrides: {n1: {init: [...]}}      # [none] command, init, files, also of one node instead
 *     first: n1                           # [none] it answers before the others are started
 *     user: nobody                        # [none] whose processes they are when root runs sever
 *   workload:
 *     kind: register                      # required; register (raftkv, etcd): read, write, cas;
 *                                         # set (redis, postgres): unique elements are added
 *     port: client                        # [client]
 *     clients: 6                          # required; c0, c1, ...; each talks to one node only
 *     keys: 3                             # [1]
 *     rate: 200                           # [100] operations per second, all clients together
 *     timeout: 1s                         # [1s] then the outcome is unknown
 *     mix: {read: 50, write: 30, cas: 20} # [these] weights; what is left out has none; register
 *     final: n2                           # [who leads] whose elements are read at the end; set
 *     sentinel: sentinel                  # [none] redis: the sentinels' port; they say who leads
 *   timeline:                             # [none] in time order; equal times in file order
 *     - {at: 5s, split: "leader,+1 / rest", name: brain}
 *     - {at: 12s, heal: all}
 *   expect:                               # at least one, see below
 *     - linearizable
 *     - minority stops within 2s
 *     - recovers within 5s
 *     - availability of majority during faults at least 80%
 *
 * What a node says of itself ("name:value" lines; `leader` is one of them): raftkv, its INFO; etcd,
 * "role:leader" or "role:follower" and "term:N" from its status; redis, INFO replication
 * ("role:master"); postgres, "role:primary" or "role:standby". All but raftkv are ready when they
 * also replicate: an etcd member knows a leader; a redis or postgres node that leads has all the
 * others as replicas, the others are in step; every sentinel knows all.
 *
 * Steps (each has `at`, one action, and for a partition or fault an optional `name`; what has none
 * is called "ACTION-N", N being the step's number from 1):
 *   split: "GROUP / GROUP [/ ...]"   isolate: NODE      cut: LINK
 *   heal: all | NAME                 (partitions)       clear: all | NAME   (faults)
 *   delay: {link: LINK, by: "80ms±20ms", distribution: normal}
 *   loss: {link: LINK, by: 5%}       rate: {link: LINK, to: 10mbit}
 *   fault: {type: corrupt, link: LINK, probability: 1%, toxicity: 50%}      any type
 * (FAULT-MODEL.md) but those of a table, its parameters by severctl's names, without the unit
 *   clock: {node: NODE, offset: +2ms, drift: 50ppm}
 *   kill: NODE   pause: NODE   resume: NODE   restart: NODE
 * NODE is a node's name, `leader` (who leads when the step runs), or `follower` (one that does not,
 * by seed). GROUP is a comma list of NODEs, `+K` (K further members by seed) or `rest` (all that
 * are in no group; at most once). LINK is "NODE->NODE" or "NODE<->NODE".
 *
 * Expectations are sentences:
 *   linearizable
 *   minority stops within DURATION     after a partition, no operation begun later than this on a
 *                                      side without majority succeeds until the partition heals
 *   recovers within DURATION           after the last heal, each live node serves an operation
 *   availability [of reads|writes] [of majority|minority|NODENAME] [before|during|after faults]
 *                at least|at most PERCENT         share of operations that were due and answered
 *   leader steps down within DURATION  after a partition, a leader on a side without majority
 *   new leader within DURATION         ... and a majority without one has one
 *   terms rise by at most N [before|during|after faults]      the highest term that a node told
 *   no acknowledged write lost         of a set: each is among the elements read at the end
 *   acknowledged writes lost at least|at most N
 *   writes wait within DURATION        later than this after a cut no write is acknowledged until
 * all cuts are healed; and some that were begun before are, then */
#ifndef SEVER_CHAOS_EXPERIMENT_H
#define SEVER_CHAOS_EXPERIMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/base/error.h"
#include "proxy/fault/ruleset.h"

enum {
    EXPERIMENT_TEXT_MAX = 1024 * 1024, /* bytes of a file */
    EXPERIMENT_NODES_MAX = 63,
    EXPERIMENT_PORTS_MAX = 8,
    EXPERIMENT_CLIENTS_MAX = 512,
    EXPERIMENT_STEPS_MAX = 1024,
    EXPERIMENT_EXPECTATIONS_MAX = 64,
    EXPERIMENT_FILES_MAX = 16, /* of a node; also of its further processes */
};

enum experiment_system {
    EXPERIMENT_RAFTKV,
    EXPERIMENT_ETCD,
    EXPERIMENT_REDIS,
    EXPERIMENT_POSTGRES
};
const char *experiment_system_name(enum experiment_system system);

struct experiment_pair { /* owned strings */
    char *key;
    char *value;
};

struct experiment_port {
    char name[RULESET_NAME_MAX];
    uint16_t port;
};

struct experiment_words { /* owned templates */
    char **items;
    size_t count;
};

struct experiment_process {
    char name[RULESET_NAME_MAX];
    struct experiment_words command;
};

/* What runs on a node. */
struct experiment_launch {
    struct experiment_words command, init; /* init: count 0 when there is none */
    struct experiment_words files;         /* paths from the experiment's folder, no templates */
    struct experiment_process *also;
    size_t also_count;
};

/* What is between the nodes: routes of severd on loopback addresses, or its lab. */
enum experiment_network { EXPERIMENT_ROUTES, EXPERIMENT_LAB };

struct experiment_cluster {
    enum experiment_system system;
    enum experiment_network network;
    char (*nodes)[RULESET_NAME_MAX];
    size_t node_count;
    struct experiment_launch *launches; /* per node */
    char first[RULESET_NAME_MAX];       /* "": all are started at once */
    char user[RULESET_NAME_MAX];        /* "": as sever itself */
    struct experiment_port ports[EXPERIMENT_PORTS_MAX];
    size_t port_count;
    char *peer_template;                 /* NULL: {peers} is refused in the command */
    struct experiment_pair *environment; /* values are templates */
    size_t environment_count;
    char *leader_line; /* NULL: `leader` is refused in the timeline */
    uint64_t ready_within_ns;
};

enum experiment_workload_kind { EXPERIMENT_REGISTER, EXPERIMENT_SET };

struct experiment_workload {
    enum experiment_workload_kind kind;
    char port[RULESET_NAME_MAX];
    char sentinel[RULESET_NAME_MAX]; /* name of a port, "": none */
    char final[RULESET_NAME_MAX];    /* name of a node, "": who leads */
    unsigned clients;
    unsigned keys;
    unsigned rate_per_s;
    uint64_t timeout_ns;
    unsigned weight_read, weight_write, weight_cas;
};

enum experiment_selector_kind {
    EXPERIMENT_NODE_NAMED,
    EXPERIMENT_NODE_LEADER,
    EXPERIMENT_NODE_FOLLOWER,
    EXPERIMENT_NODE_MORE, /* +count, in groups only */
    EXPERIMENT_NODE_REST, /* in groups only */
};

struct experiment_selector {
    enum experiment_selector_kind kind;
    char name[RULESET_NAME_MAX];
    unsigned count;
};

struct experiment_group {
    struct experiment_selector *members;
    size_t count;
};

enum experiment_action {
    EXPERIMENT_SPLIT,
    EXPERIMENT_ISOLATE,
    EXPERIMENT_CUT,
    EXPERIMENT_HEAL,
    EXPERIMENT_CLEAR,
    EXPERIMENT_FAULT, /* delay, loss, rate, fault: parameters in `fault` */
    EXPERIMENT_CLOCK,
    EXPERIMENT_KILL,
    EXPERIMENT_PAUSE,
    EXPERIMENT_RESUME,
    EXPERIMENT_RESTART,
};

struct experiment_step {
    uint64_t at_ns; /* from the start of the workload */
    enum experiment_action action;
    /* of the partition or fault (never ""); for heal and clear: which, "" = all */
    char name[RULESET_NAME_MAX];
    char *text; /* the step as written, for reports: "split: leader,+1 / rest" */
    struct experiment_group *groups; /* split */
    size_t group_count;
    struct experiment_selector node;     /* isolate, clock, kill, pause, resume, restart */
    struct experiment_selector from, to; /* cut and faults */
    bool both_ways;
    struct ruleset_fault fault;   /* type and parameters */
    int64_t offset_ns, drift_ppb; /* clock */
    unsigned line;                /* in the file */
};

enum experiment_expectation_kind {
    EXPECT_LINEARIZABLE,
    EXPECT_MINORITY_STOPS,
    EXPECT_RECOVERS,
    EXPECT_AVAILABILITY,
    EXPECT_STEPS_DOWN,
    EXPECT_NEW_LEADER,
    EXPECT_TERMS,
    EXPECT_LOST,
    EXPECT_WRITES_WAIT,
};
enum experiment_side {
    EXPERIMENT_SIDE_ALL,
    EXPERIMENT_SIDE_MAJORITY,
    EXPERIMENT_SIDE_MINORITY,
    EXPERIMENT_SIDE_NODE
};
enum experiment_part {
    EXPERIMENT_PART_ALL,
    EXPERIMENT_PART_READS,
    EXPERIMENT_PART_WRITES, /* all that change something: cas and additions, too */
};
enum experiment_phase {
    EXPERIMENT_PHASE_ALL,
    EXPERIMENT_PHASE_BEFORE,
    EXPERIMENT_PHASE_DURING,
    EXPERIMENT_PHASE_AFTER
};

struct experiment_expectation {
    enum experiment_expectation_kind kind;
    char *text; /* as written */
    uint64_t within_ns;
    enum experiment_part part; /* availability */
    enum experiment_side side;
    char node[RULESET_NAME_MAX];
    enum experiment_phase phase;
    bool at_most; /* else at least */
    uint32_t share_ppb;
    uint64_t count; /* terms, writes lost */
    unsigned line;
};

struct experiment {
    char *name;
    uint64_t seed;
    uint64_t duration_ns;
    struct experiment_cluster cluster;
    struct experiment_workload workload;
    struct experiment_step *steps;
    size_t step_count;
    struct experiment_expectation *expectations;
    size_t expectation_count;
};

/* text: length bytes, need not be NUL-terminated. file: the name to show in places.
 * -EINVAL with *error; *experiment is then empty. */
int experiment_parse(const char *text, size_t length, const char *file,
                     struct experiment *experiment, struct error *error);
/* The `cluster` section alone, and the name ("cluster" when there is none); what else is in the
 * file is not looked at. */
int experiment_parse_cluster(const char *text, size_t length, const char *file,
                             struct experiment *experiment, struct error *error);
void experiment_free(struct experiment *experiment);

/* "routes" or "lab". -EINVAL. */
int experiment_parse_network(const char *text, enum experiment_network *network,
                             struct error *error);
const char *experiment_network_name(enum experiment_network network);

/* Expands {name} and the like in `template`. variables: count pairs. Unknown names and unbalanced
 * braces are refused; "{{" and "}}" stand for braces. Returns a new string in *out. */
int experiment_expand(const char *template, const struct experiment_pair *variables, size_t count,
                      char **out, struct error *error);

#endif
