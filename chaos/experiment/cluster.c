/* The cluster section, but for what runs on its nodes (launch.c). */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "chaos/experiment/reader.h"
#include "proxy/base/monotonic.h"
#include "proxy/base/text.h"

enum { ENVIRONMENT_MAX = 128, LEADER_LINE_MAX = 256 };

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
        if (value->kind != DOCUMENT_SCALAR || strlen(value->text) > READER_ARGUMENT_MAX)
            return reader_refuse(reader, value, "%.60s is one text of at most %d bytes", key->text,
                                 READER_ARGUMENT_MAX);
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

const char *experiment_system_name(enum experiment_system system)
{
    static const char *const names[] = {"raftkv", "etcd", "redis", "postgres"};
    return names[system];
}

static int read_system(const struct reader *reader, const struct document_node *node)
{
    const char *text;
    int result = reader_line(reader, node, "system", 60, &text);
    for (unsigned i = 0; !result && i <= EXPERIMENT_POSTGRES; i++) {
        if (strcmp(text, experiment_system_name((enum experiment_system)i)) == 0) {
            reader->experiment->cluster.system = (enum experiment_system)i;
            return 0;
        }
    }
    return result
               ? result
               : reader_refuse(reader, node,
                               "unknown system '%s': write raftkv, etcd, redis or postgres", text);
}

static int read_first(const struct reader *reader, const struct document_node *node)
{
    const char *name;
    char list[READER_LIST_MAX];
    int result = reader_line(reader, node, "first", RULESET_NAME_MAX - 1, &name);
    if (!result && !reader_is_node(reader, name))
        return reader_refuse(reader, node, "unknown node '%s': write one of %s", name,
                             reader_node_list(reader, list));
    if (!result)
        snprintf(reader->experiment->cluster.first, RULESET_NAME_MAX, "%s", name);
    return result;
}

static int read_user(const struct reader *reader, const struct document_node *node)
{
    const char *name;
    int result = reader_line(reader, node, "user", RULESET_NAME_MAX - 1, &name);
    if (!result)
        snprintf(reader->experiment->cluster.user, RULESET_NAME_MAX, "%s", name);
    return result;
}

/* What may be left out and has a reader of its own. */
static int read_optional(const struct reader *reader, const struct document_node *cluster)
{
    static const struct {
        const char *key;
        int (*read)(const struct reader *reader, const struct document_node *node);
    } parts[] = {{"environment", read_environment},
                 {"ready", read_ready},
                 {"system", read_system},
                 {"first", read_first},
                 {"user", read_user}};
    int result = 0;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]) && !result; i++) {
        const struct document_node *part = document_get(cluster, parts[i].key);
        result = part ? parts[i].read(reader, part) : 0;
    }
    return result;
}

int reader_read_cluster(const struct reader *reader, const struct document_node *node)
{
    static const char *const keys[] = {"nodes",  "command",   "ports",  "peers", "environment",
                                       "leader", "ready",     "system", "files", "init",
                                       "also",   "overrides", "first",  "user",  "network"};
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
        result = reader_line(reader, part, "peers", READER_ARGUMENT_MAX, &text);
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
        result = reader_read_launches(reader, node);
    return result ? result : read_optional(reader, node);
}
