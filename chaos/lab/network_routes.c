/* Theory of operation
 *
 * The run's subnet is locked by this process and by the guards, so it stays taken until the last
 * process of the run is dead. The routes are in force before the first node starts, so that no
 * connection of the cluster ever exists that does not cross severd. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "chaos/lab/bypass.h"
#include "chaos/lab/lab_internal.h"
#include "chaos/lab/network.h"
#include "proxy/wire/codec.h"

static int take(struct lab *lab, struct error *error)
{
    return subnet_take((uint64_t)getpid(), &lab->subnet, error);
}

static void give_back(struct lab *lab)
{
    subnet_release(&lab->subnet);
}

static void describe(const struct lab *lab, struct text *out)
{
    text_append(out, "127.%u.%u.0/24", lab->subnet.a, lab->subnet.b);
}

/* ---- building -------------------------------------------------------------------------------- */

static void set_places(struct lab *lab)
{
    char text[SUBNET_ADDRESS_MAX];
    unsigned clients = lab->experiment->workload.clients;
    for (size_t i = 0; i < lab->node_count; i++) {
        subnet_private(&lab->subnet, i, lab->places[i].own);
        subnet_public(&lab->subnet, i, lab->places[i].seen);
    }
    lab->client_addresses = memory_allocate_zeroed(clients, sizeof(struct address));
    for (unsigned i = 0; i < clients; i++)
        address_parse_host(subnet_client(&lab->subnet, i, text), &lab->client_addresses[i], NULL);
}

static int add_routes(const struct lab *lab, size_t node, struct ruleset *ruleset,
                      struct error *error)
{
    const struct experiment_cluster *cluster = &lab->experiment->cluster;
    for (size_t i = 0; i < cluster->port_count; i++) {
        struct ruleset_route route = {.protocol = RULESET_TCP, .enabled = true};
        const struct experiment_port *port = &cluster->ports[i];
        int length =
            snprintf(route.name, sizeof(route.name), "%s.%s", cluster->nodes[node], port->name);
        if (length >= (int)sizeof(route.name))
            return error_set(error, -EINVAL,
                             "node and port names %s and %s are too long together: write at most "
                             "%d bytes",
                             cluster->nodes[node], port->name, RULESET_NAME_MAX - 2);
        snprintf(route.listen, sizeof(route.listen), "%s:%u", lab->places[node].seen, port->port);
        snprintf(route.upstream, sizeof(route.upstream), "%s:%u", lab->places[node].own,
                 port->port);
        snprintf(route.to, sizeof(route.to), "%s", cluster->nodes[node]);
        ruleset_add_route(ruleset, &route);
    }
    return 0;
}

static int fill_ruleset(const struct lab *lab, struct ruleset *ruleset, struct error *error)
{
    const struct experiment *experiment = lab->experiment;
    char host[SUBNET_ADDRESS_MAX];
    int code = 0;
    ruleset->seed = lab->seed;
    for (size_t i = 0; i < lab->node_count; i++) {
        struct ruleset_node node = {.kind = RULESET_NODE_MEMBER, .address_count = 1};
        snprintf(node.name, sizeof(node.name), "%s", experiment->cluster.nodes[i]);
        snprintf(node.addresses[0], sizeof(node.addresses[0]), "%s", lab->places[i].own);
        ruleset_add_node(ruleset, &node);
    }
    for (size_t i = 0; i < experiment->workload.clients && i < SUBNET_CLIENT_ADDRESSES; i++) {
        struct ruleset_node node = {.kind = RULESET_NODE_CLIENT, .address_count = 1};
        snprintf(node.name, sizeof(node.name), "client-%zu", i + 1);
        snprintf(node.addresses[0], sizeof(node.addresses[0]), "%s",
                 subnet_client(&lab->subnet, i, host));
        ruleset_add_node(ruleset, &node);
    }
    for (size_t i = 0; code == 0 && i < lab->node_count; i++)
        code = add_routes(lab, i, ruleset, error);
    if (code == 0)
        code = ruleset_check(ruleset, error);
    return code;
}

static int build(struct lab *lab, struct error *error)
{
    struct ruleset ruleset = {0};
    set_places(lab);
    int code = fill_ruleset(lab, &ruleset, error);
    if (code == 0) {
        json_t *body = wire_encode_ruleset(&ruleset);
        json_object_del(body, "version");
        code = wire_client_request(lab->client, "PUT", "/v1/ruleset", body, NULL, error);
        json_decref(body);
    }
    ruleset_free(&ruleset);
    return code;
}

/* ---- running --------------------------------------------------------------------------------- */

static int stay_with_node(const struct lab *lab, size_t node, struct error *error)
{
    (void)lab, (void)node, (void)error;
    return 0;
}

static int stay_with_client(const struct lab *lab, unsigned client, struct error *error)
{
    (void)lab, (void)client, (void)error;
    return 0;
}

static void append_no_clients(const struct lab *lab, size_t node, json_t *group)
{
    (void)lab, (void)node, (void)group;
}

static const char *useless(const struct ruleset_fault *fault)
{
    if (!ruleset_fault_acts_on(fault->type, RULESET_TCP))
        return "nodes are connected by TCP, and it is for datagrams (or network: lab)";
    return fault->match[0] ? "nodes are connected by TCP, and a match is for datagrams (or "
                             "network: lab)"
                           : NULL;
}

static const char *unavailable(const struct lab *lab, const struct ruleset_fault *fault)
{
    json_t *loss = json_object_get(json_object_get(lab->status, "mechanisms"), "loss");
    if (fault->type != RULESET_LOSS || json_is_true(json_object_get(loss, "tcp")))
        return NULL;
    return "nodes are connected by TCP, and severd may not filter its sockets (severctl doctor); "
           "use delay, rate or cut, or network: lab";
}

const struct network network_routes = {
    .take = take,
    .build = build,
    .give_back = give_back,
    .describe = describe,
    .go_to_node = stay_with_node,
    .go_to_client = stay_with_client,
    .append_clients = append_no_clients,
    .check_bypass = bypass_check,
    .useless = useless,
    .unavailable = unavailable,
};
