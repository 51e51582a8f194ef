/* The cluster and workload sections. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "chaos/experiment/reader.h"
#include "proxy/base/monotonic.h"
#include "proxy/base/text.h"

enum { COMMAND_MAX = 256, ARGUMENT_MAX = 4096, ENVIRONMENT_MAX = 128, LEADER_LINE_MAX = 256 };

/* Words that mean something else where a node may stand. */
static const char *const reserved[] = {"leader",   "follower", "rest",   "all",   "majority",
                                       "minority", "before",   "during", "after", "at"};

static int check_node_name(const struct reader *reader, const struct document_node *node,
                           const char *name)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
    if (name[strspn(name, allowed)] != '\0' || !isalnum((unsigned char)name[0]))
        return reader_refuse(
            reader, node,
            "'%.60s' can't name a node: write letters, digits, '_', '.' and '-', a "
            "letter or digit first",
            name);
    for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++)
        if (strcmp(name, reserved[i]) == 0)
            return reader_refuse(reader, node,
                                 "'%s' means something else in the timeline: choose another name",
                                 name);
    if (reader_is_node(reader, name))
        return reader_refuse(reader, node, "node '%s' is there already: name each node once", name);
    return 0;
}

static int read_node_names(const struct reader *reader, const struct document_node *node)
{
    struct experiment_cluster *cluster = &reader->experiment->cluster;
    int result = reader_check_list(reader, node, "nodes", 1, EXPERIMENT_NODES_MAX);
    if (result)
        return result;
    cluster->nodes = memory_allocate_zeroed(node->count, sizeof(cluster->nodes[0]));
    for (size_t i = 0; i < node->count && !result; i++) {
        const char *name;
        result =
            reader_line(reader, node->items[i], "the node's name", RULESET_NAME_MAX - 1, &name);
        if (!result)
            result = check_node_name(reader, node->items[i], name);
        if (!result)
            snprintf(cluster->nodes[cluster->node_count++], RULESET_NAME_MAX, "%s", name);
    }
    return result;
}

static int read_nodes(const struct reader *reader, const struct document_node *node)
{
    struct experiment_cluster *cluster = &reader->experiment->cluster;
    if (node->kind == DOCUMENT_LIST)
        return read_node_names(reader, node);
    int64_t count;
    int result = reader_integer(reader, node, "number of nodes", 1, EXPERIMENT_NODES_MAX, &count);
    if (result)
        return result;
    cluster->nodes = memory_allocate_zeroed((size_t)count, sizeof(cluster->nodes[0]));
    for (; cluster->node_count < (size_t)count; cluster->node_count++)
        snprintf(cluster->nodes[cluster->node_count], RULESET_NAME_MAX, "n%zu",
                 cluster->node_count + 1);
    return 0;
}

/* Routes are made for ports; a lab needs none. */
static int read_ports(const struct reader *reader, const struct document_node *map)
{
    struct experiment_cluster *cluster = &reader->experiment->cluster;
    const struct document_node *node = document_get(map, "ports");
    if (!node && cluster->network == EXPERIMENT_LAB)
        return 0;
    if (!node)
        return reader_refuse(reader, map, "the cluster has no 'ports': add the key");
    if (node->kind != DOCUMENT_MAP || node->count == 0)
        return reader_refuse(
            reader, node, "ports names each port: write {client: 6379, peer: 16379} or the like");
    for (size_t i = 0; i < node->count; i += 2) {
        const struct document_node *key = node->items[i];
        if (cluster->port_count == EXPERIMENT_PORTS_MAX)
            return reader_refuse(reader, key, "more than %d ports a node", EXPERIMENT_PORTS_MAX);
        size_t plain = strspn(key->text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                         "0123456789_-");
        if (key->text[plain] || plain == 0 || plain >= RULESET_NAME_MAX)
            return reader_refuse(reader, key,
                                 "'%.60s' can't name a port: write letters, digits, '_' and '-'",
                                 key->text);
        int64_t number;
        int result = reader_integer(reader, node->items[i + 1], "port", 1, UINT16_MAX, &number);
        if (result)
            return result;
        for (size_t j = 0; j < cluster->port_count; j++)
            if (cluster->ports[j].port == number)
                return reader_refuse(reader, node->items[i + 1],
                                     "port %d is '%s' already: give each its own number",
                                     (int)number, cluster->ports[j].name);
        struct experiment_port *port = &cluster->ports[cluster->port_count++];
        snprintf(port->name, sizeof(port->name), "%s", key->text);
        port->port = (uint16_t)number;
    }
    return 0;
}

static int read_command(const struct reader *reader, const struct document_node *node)
{
    struct experiment_cluster *cluster = &reader->experiment->cluster;
    int result = reader_check_list(reader, node, "command", 1, COMMAND_MAX);
    if (result)
        return result;
    cluster->command = memory_allocate_zeroed(node->count, sizeof(cluster->command[0]));
    for (size_t i = 0; i < node->count && !result; i++) {
        const struct document_node *item = node->items[i];
        if (item->kind != DOCUMENT_SCALAR || strlen(item->text) > ARGUMENT_MAX)
            return reader_refuse(reader, item, "an argument is one text of at most %d bytes",
                                 ARGUMENT_MAX);
        if (i == 0 && item->text[0] == '\0')
            return reader_refuse(reader, item, "the program's name is empty");
        result = reader_check_template(reader, item, item->text, cluster->peer_template != NULL);
        cluster->command[cluster->command_count++] = memory_copy_text(item->text);
    }
    return result;
}

static int read_environment(const struct reader *reader, const struct document_node *node)
{
    struct experiment_cluster *cluster = &reader->experiment->cluster;
    if (node->kind != DOCUMENT_MAP || node->count > (size_t)2 * ENVIRONMENT_MAX)
        return reader_refuse(reader, node,
                             "environment is a map {KEY: value} of at most %d variables",
                             ENVIRONMENT_MAX);
    cluster->environment = memory_allocate_zeroed(node->count / 2, sizeof(cluster->environment[0]));
    int result = 0;
    for (size_t i = 0; i < node->count && !result; i += 2) {
        const struct document_node *key = node->items[i], *value = node->items[i + 1];
        if (key->text[0] == '\0' || strchr(key->text, '='))
            return reader_refuse(reader, key, "'%.60s' can't name an environment variable",
                                 key->text);
        if (value->kind != DOCUMENT_SCALAR || strlen(value->text) > ARGUMENT_MAX)
            return reader_refuse(reader, value, "%.60s is one text of at most %d bytes", key->text,
                                 ARGUMENT_MAX);
        result = reader_check_template(reader, value, value->text, cluster->peer_template != NULL);
        cluster->environment[cluster->environment_count++] =
            (struct experiment_pair){memory_copy_text(key->text), memory_copy_text(value->text)};
    }
    return result;
}

static int read_ready(const struct reader *reader, const struct document_node *node)
{
    static const char *const keys[] = {"within"};
    int result = reader_check_map(reader, node, "ready", keys, 1, 1);
    return result ? result
                  : reader_duration(reader, document_get(node, "within"), "within", NS_PER_MS,
                                    3600 * NS_PER_S, &reader->experiment->cluster.ready_within_ns);
}

static const char *const networks[] = {[EXPERIMENT_ROUTES] = "routes", [EXPERIMENT_LAB] = "lab"};

const char *experiment_network_name(enum experiment_network network)
{
    return networks[network];
}

int experiment_parse_network(const char *text, enum experiment_network *network,
                             struct error *error)
{
    for (size_t i = 0; i < sizeof(networks) / sizeof(networks[0]); i++) {
        if (strcmp(text, networks[i]) != 0)
            continue;
        *network = (enum experiment_network)i;
        return 0;
    }
    return error_set(error, -EINVAL, "unknown network '%.60s': write routes or lab", text);
}

static int read_network(const struct reader *reader, const struct document_node *node)
{
    const char *text;
    struct error cause = {0};
    if (!node)
        return 0;
    int result = reader_line(reader, node, "network", RULESET_NAME_MAX, &text);
    if (!result && experiment_parse_network(text, &reader->experiment->cluster.network, &cause) < 0)
        result = reader_refuse_as(reader, node, &cause);
    return result;
}

int reader_read_cluster(const struct reader *reader, const struct document_node *node)
{
    static const char *const keys[] = {"nodes",       "command", "ports", "peers",
                                       "environment", "leader",  "ready", "network"};
    enum { KEYS = sizeof(keys) / sizeof(keys[0]), REQUIRED = 2 };
    struct experiment_cluster *cluster = &reader->experiment->cluster;
    cluster->ready_within_ns = 10 * NS_PER_S;
    const char *text;
    int result = reader_check_map(reader, node, "the cluster", keys, KEYS, REQUIRED);
    if (!result)
        result = read_network(reader, document_get(node, "network"));
    if (!result)
        result = read_nodes(reader, document_get(node, "nodes"));
    if (!result)
        result = read_ports(reader, node);
    const struct document_node *part = result ? NULL : document_get(node, "peers");
    if (part) {
        result = reader_line(reader, part, "peers", ARGUMENT_MAX, &text);
        if (!result) {
            cluster->peer_template = memory_copy_text(text);
            result = reader_check_template(reader, part, text, false);
        }
    }
    part = result ? NULL : document_get(node, "leader");
    if (part) {
        result = reader_line(reader, part, "leader", LEADER_LINE_MAX, &text);
        if (!result)
            cluster->leader_line = memory_copy_text(text);
    }
    if (!result)
        result = read_command(reader, document_get(node, "command"));
    part = result ? NULL : document_get(node, "environment");
    if (part)
        result = read_environment(reader, part);
    part = result ? NULL : document_get(node, "ready");
    return part ? read_ready(reader, part) : result;
}

static int read_workload_port(const struct reader *reader, const struct document_node *workload)
{
    const struct experiment_cluster *cluster = &reader->experiment->cluster;
    const struct document_node *node = document_get(workload, "port");
    const char *name = "client";
    int result = node ? reader_line(reader, node, "port", RULESET_NAME_MAX - 1, &name) : 0;
    if (result)
        return result;
    const char *names[EXPERIMENT_PORTS_MAX];
    struct text list = {0};
    for (size_t i = 0; i < cluster->port_count; i++) {
        names[i] = cluster->ports[i].name;
        text_append(&list, "%s%s", i ? ", " : "", names[i]);
        if (strcmp(names[i], name) == 0)
            snprintf(reader->experiment->workload.port, RULESET_NAME_MAX, "%s", name);
    }
    if (reader->experiment->workload.port[0] == '\0')
        result = reader_refuse(reader, node ? node : workload,
                               "the cluster has no port '%s': write port: with one of %s", name,
                               text_get(&list));
    text_free(&list);
    return result;
}

static int read_mix(const struct reader *reader, const struct document_node *node)
{
    static const char *const keys[] = {"read", "write", "cas"};
    struct experiment_workload *workload = &reader->experiment->workload;
    unsigned *const weights[] = {&workload->weight_read, &workload->weight_write,
                                 &workload->weight_cas};
    int result = reader_check_map(reader, node, "mix", keys, 3, 0);
    unsigned sum = 0;
    for (size_t i = 0; i < 3 && !result; i++) {
        const struct document_node *part = document_get(node, keys[i]);
        int64_t weight = 0;
        if (part)
            result = reader_integer(reader, part, "weight", 0, 1000000, &weight);
        *weights[i] = (unsigned)weight;
        sum += *weights[i];
    }
    if (!result && sum == 0)
        return reader_refuse(reader, node, "the weights are all 0: give one of them some weight");
    return result;
}

/* An optional whole number: *value stays when the key isn't there. */
static int read_count(const struct reader *reader, const struct document_node *map, const char *key,
                      const char *what, int64_t maximum, unsigned *value)
{
    const struct document_node *node = document_get(map, key);
    int64_t number = *value;
    int result = node ? reader_integer(reader, node, what, 1, maximum, &number) : 0;
    *value = (unsigned)number;
    return result;
}

int reader_read_workload(const struct reader *reader, const struct document_node *node)
{
    static const char *const keys[] = {"kind", "clients", "port", "keys", "rate", "timeout", "mix"};
    enum { KEYS = sizeof(keys) / sizeof(keys[0]), REQUIRED = 2 };
    struct experiment_workload *workload = &reader->experiment->workload;
    *workload = (struct experiment_workload){.keys = 1,
                                             .rate_per_s = 100,
                                             .timeout_ns = NS_PER_S,
                                             .weight_read = 50,
                                             .weight_write = 30,
                                             .weight_cas = 20};
    const char *kind;
    int result = reader_check_map(reader, node, "the workload", keys, KEYS, REQUIRED);
    if (!result)
        result = reader_line(reader, document_get(node, "kind"), "kind", 60, &kind);
    if (!result && strcmp(kind, "register") != 0)
        return reader_refuse(reader, document_get(node, "kind"),
                             "unknown workload '%s': write register", kind);
    if (!result)
        result = read_workload_port(reader, node);
    if (!result)
        result = read_count(reader, node, "clients", "number of clients", EXPERIMENT_CLIENTS_MAX,
                            &workload->clients);
    if (!result)
        result = read_count(reader, node, "keys", "number of keys", 10000, &workload->keys);
    if (!result)
        result = read_count(reader, node, "rate", "rate", 1000000, &workload->rate_per_s);
    const struct document_node *part = result ? NULL : document_get(node, "timeout");
    if (part)
        result = reader_duration(reader, part, "timeout", NS_PER_MS, 3600 * NS_PER_S,
                                 &workload->timeout_ns);
    part = result ? NULL : document_get(node, "mix");
    return part ? read_mix(reader, part) : result;
}
