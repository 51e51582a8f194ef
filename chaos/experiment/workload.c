/* The workload section. */
#include <stdio.h>
#include <string.h>

#include "chaos/experiment/reader.h"
#include "proxy/base/monotonic.h"
#include "proxy/base/text.h"

/* The name of a port of the cluster. name: what stands when nothing is written. */
static int read_port(const struct reader *reader, const struct document_node *workload,
                     const char *key, const char *name, char *port)
{
    const struct experiment_cluster *cluster = &reader->experiment->cluster;
    const struct document_node *node = document_get(workload, key);
    int result = node ? reader_line(reader, node, key, RULESET_NAME_MAX - 1, &name) : 0;
    if (result || !name)
        return result;
    const char *names[EXPERIMENT_PORTS_MAX];
    struct text list = {0};
    for (size_t i = 0; i < cluster->port_count; i++) {
        names[i] = cluster->ports[i].name;
        text_append(&list, "%s%s", i ? ", " : "", names[i]);
        if (strcmp(names[i], name) == 0)
            snprintf(port, RULESET_NAME_MAX, "%s", name);
    }
    if (port[0] == '\0')
        result = reader_refuse(reader, node ? node : workload,
                               "the cluster has no port '%s': write %s: with one of %s", name, key,
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

static int read_final(const struct reader *reader, const struct document_node *node)
{
    const char *name;
    char list[READER_LIST_MAX];
    int result = reader_line(reader, node, "final", RULESET_NAME_MAX - 1, &name);
    if (!result && !reader_is_node(reader, name))
        return reader_refuse(reader, node, "unknown node '%s': write one of %s", name,
                             reader_node_list(reader, list));
    if (!result)
        snprintf(reader->experiment->workload.final, RULESET_NAME_MAX, "%s", name);
    return result;
}

static int read_kind(const struct reader *reader, const struct document_node *node)
{
    struct experiment_workload *workload = &reader->experiment->workload;
    enum experiment_system system = reader->experiment->cluster.system;
    const char *kind;
    int result = reader_line(reader, node, "kind", 60, &kind);
    if (result)
        return result;
    if (strcmp(kind, "set") == 0)
        workload->kind = EXPERIMENT_SET;
    else if (strcmp(kind, "register") != 0)
        return reader_refuse(reader, node, "unknown workload '%s': write register or set", kind);
    bool set_only = system == EXPERIMENT_REDIS || system == EXPERIMENT_POSTGRES;
    if (set_only != (workload->kind == EXPERIMENT_SET))
        return reader_refuse(reader, node, "there are no clients for a %s on %s: write %s", kind,
                             experiment_system_name(system), set_only ? "set" : "register");
    return 0;
}

/* Keys that are for one kind, or one system, only. */
static int check_use(const struct reader *reader, const struct document_node *workload)
{
    bool set = reader->experiment->workload.kind == EXPERIMENT_SET;
    static const char *const others[2][2] = {{"final", "sentinel"}, {"mix", "keys"}};
    for (size_t i = 0; i < 2; i++) {
        const struct document_node *node = document_get(workload, others[set][i]);
        if (node)
            return reader_refuse(reader, node, "'%s' is not for a %s: remove it", others[set][i],
                                 set ? "set" : "register");
    }
    const struct document_node *sentinel = document_get(workload, "sentinel");
    if (sentinel && reader->experiment->cluster.system != EXPERIMENT_REDIS)
        return reader_refuse(reader, sentinel, "'sentinel' is for redis only: remove it");
    return 0;
}

int reader_read_workload(const struct reader *reader, const struct document_node *node)
{
    static const char *const keys[] = {"kind",    "clients", "port",  "keys",    "rate",
                                       "timeout", "mix",     "final", "sentinel"};
    enum { KEYS = sizeof(keys) / sizeof(keys[0]), REQUIRED = 2 };
    struct experiment_workload *workload = &reader->experiment->workload;
    *workload = (struct experiment_workload){.keys = 1,
                                             .rate_per_s = 100,
                                             .timeout_ns = NS_PER_S,
                                             .weight_read = 50,
                                             .weight_write = 30,
                                             .weight_cas = 20};
    int result = reader_check_map(reader, node, "the workload", keys, KEYS, REQUIRED);
    if (!result)
        result = read_kind(reader, document_get(node, "kind"));
    if (!result)
        result = check_use(reader, node);
    if (!result)
        result = read_port(reader, node, "port", "client", workload->port);
    if (!result)
        result = read_port(reader, node, "sentinel", NULL, workload->sentinel);
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
    part = result ? NULL : document_get(node, "final");
    if (part)
        result = read_final(reader, part);
    part = result ? NULL : document_get(node, "mix");
    return part ? read_mix(reader, part) : result;
}
