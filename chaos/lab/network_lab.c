/* Theory of operation
 *
 * severd makes the lab when it is asked to (PUT /v1/lab): a node for each member, and one for each
 * client of the workload, up to a bound; then several share one, always clients of the same member.
 * A node's processes are started in its namespaces (process.c), by the pid of its first process.
 *
 * This process itself stays outside, but for two things. An ordinary user's lab is in a user
 * namespace, which the whole process joins, once, while it has one thread. And the network is one
 * of each thread: before a thread opens a socket it goes to the node, or the client, whose socket
 * it is to be. A question that is asked in the node's own namespace reaches the node whatever is
 * cut.
 *
 * Nothing goes around severd: the only device leads to it. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chaos/lab/lab_internal.h"
#include "chaos/lab/network.h"
#include "proxy/base/monotonic.h"
#include "proxy/wire/lab_entry.h"

#define MAKING_TIMEOUT_NS (120 * NS_PER_S)
#define PROGRESS_NS (2 * NS_PER_S)
enum { CLIENT_NODES_MAX = 64 }; /* not below EXPERIMENT_NODES_MAX */

static int take_nothing(struct lab *lab, struct error *error)
{
    (void)lab, (void)error;
    return 0;
}

static void give_back(struct lab *lab)
{
    free(lab->client_homes);
}

static void describe(const struct lab *lab, struct text *out)
{
    text_append(out, "%s, each in a network of its own", lab->lab_subnet);
}

/* ---- building -------------------------------------------------------------------------------- */

/* Client k is client node k modulo their number, and talks to member k modulo theirs. */
static size_t count_client_nodes(const struct lab *lab)
{
    size_t most = CLIENT_NODES_MAX - CLIENT_NODES_MAX % lab->node_count;
    return lab->experiment->workload.clients < most ? lab->experiment->workload.clients : most;
}

static void format_client(size_t client, char name[RULESET_NAME_MAX])
{
    snprintf(name, RULESET_NAME_MAX, "client-%zu", client + 1);
}

/* "10.77.0.0/24", or with the one of IPv6 behind a comma. */
static void set_subnets(const char *text, struct wire_lab_wanted *wanted)
{
    size_t length = strcspn(text, ",");
    snprintf(wanted->subnet, sizeof(wanted->subnet), "%.*s", (int)length, text);
    if (!text[length])
        return;
    wanted->subnet6_optional = false;
    snprintf(wanted->subnet6, sizeof(wanted->subnet6), "%s", text + length + 1);
}

static json_t *encode_wanted(const struct lab *lab)
{
    struct wire_lab_wanted *wanted = memory_allocate_zeroed(1, sizeof(*wanted));
    wire_lab_wanted_init(wanted);
    for (size_t i = 0; i < lab->node_count; i++)
        snprintf(wanted->nodes[wanted->node_count++].name, RULESET_NAME_MAX, "%s",
                 lab_node_name(lab, i));
    for (size_t i = 0; i < lab->client_node_count; i++) {
        struct wire_lab_member *member = &wanted->nodes[wanted->node_count++];
        member->kind = RULESET_NODE_CLIENT;
        format_client(i, member->name);
    }
    if (lab->wanted_subnet)
        set_subnets(lab->wanted_subnet, wanted);
    json_t *body = wire_encode_lab_wanted(wanted);
    free(wanted);
    return body;
}

static const struct wire_lab_node *find(const struct wire_lab *made, const char *name,
                                        struct error *error)
{
    const struct wire_lab_node *node = wire_lab_find_node(made, name);
    if (node && node->address_count > 0)
        return node;
    error_set(error, -EPROTO, "severd's lab has no node %s with an address", name);
    return NULL;
}

static int take_over(struct lab *lab, const struct wire_lab *made, struct error *error)
{
    snprintf(lab->lab_subnet, sizeof(lab->lab_subnet), "%s", made->subnet);
    for (size_t i = 0; i < lab->node_count; i++) {
        const struct wire_lab_node *node = find(made, lab_node_name(lab, i), error);
        if (!node)
            return -EPROTO;
        lab->nodes[i].home = node->pid;
        snprintf(lab->places[i].own, sizeof(lab->places[i].own), "%s", node->addresses[0]);
        snprintf(lab->places[i].seen, sizeof(lab->places[i].seen), "%s", node->addresses[0]);
    }
    for (size_t i = 0; i < lab->client_node_count; i++) {
        char name[RULESET_NAME_MAX];
        format_client(i, name);
        const struct wire_lab_node *node = find(made, name, error);
        if (!node)
            return -EPROTO;
        lab->client_homes[i] = node->pid;
    }
    return lab_entry_join(lab->nodes[0].home, error);
}

struct making {
    const struct lab *lab;
    uint64_t began_ns, told_ns;
};

static bool wait_on(void *context)
{
    struct making *making = context;
    const struct lab *lab = making->lab;
    uint64_t now_ns = monotonic_now_ns();
    struct pollfd abort = {.fd = lab->abort_fd, .events = POLLIN};
    if (lab->progress && now_ns - making->told_ns >= PROGRESS_NS) {
        making->told_ns = now_ns;
        lab->progress(lab->progress_context,
                      (double)(now_ns - making->began_ns) / (double)NS_PER_S);
    }
    return poll(&abort, 1, 0) != 1;
}

/* Some milliseconds for each node, on a machine that has time. */
static int ask_for_lab(struct lab *lab, json_t **answer, struct error *error)
{
    uint64_t now_ns = monotonic_now_ns();
    struct making making = {.lab = lab, .began_ns = now_ns, .told_ns = now_ns};
    json_t *body = encode_wanted(lab);
    wire_client_set_timeout(lab->client, MAKING_TIMEOUT_NS);
    wire_client_set_wait(lab->client, wait_on, &making);
    int code = wire_client_request(lab->client, "PUT", "/v1/lab", body, answer, error);
    wire_client_set_wait(lab->client, NULL, NULL);
    wire_client_set_timeout(lab->client, CONTROL_TIMEOUT_NS);
    json_decref(body);
    return code;
}

static int build(struct lab *lab, struct error *error)
{
    json_t *answer = NULL;
    lab->client_node_count = count_client_nodes(lab);
    lab->client_homes = memory_allocate_zeroed(lab->client_node_count + 1, sizeof(pid_t));
    int code = ask_for_lab(lab, &answer, error);
    struct wire_lab *made = memory_allocate_zeroed(1, sizeof(*made));
    if (code == 0)
        code = wire_decode_lab(answer, made, error);
    if (code == 0)
        code = take_over(lab, made, error);
    free(made);
    json_decref(answer);
    return code;
}

/* ---- running --------------------------------------------------------------------------------- */

static int go_to_node(const struct lab *lab, size_t node, struct error *error)
{
    return lab_entry_use_network(lab->nodes[node].home, error);
}

static int go_to_client(const struct lab *lab, unsigned client, struct error *error)
{
    return lab_entry_use_network(lab->client_homes[client % lab->client_node_count], error);
}

static void append_clients(const struct lab *lab, size_t node, json_t *group)
{
    for (size_t i = node; i < lab->client_node_count; i += lab->node_count) {
        char name[RULESET_NAME_MAX];
        format_client(i, name);
        json_array_append_new(group, json_string(name));
    }
}

static int check_no_bypass(struct lab *lab, struct error *error)
{
    (void)lab, (void)error;
    return 0;
}

static const char *useless(const struct ruleset_fault *fault)
{
    return ruleset_fault_acts_on(fault->type, RULESET_UDP)
               ? NULL
               : "a lab has packets, and it is for streams (network: routes)";
}

static const char *available(const struct lab *lab, const struct ruleset_fault *fault)
{
    (void)lab, (void)fault;
    return NULL;
}

const struct network network_lab = {
    .take = take_nothing,
    .build = build,
    .give_back = give_back,
    .describe = describe,
    .go_to_node = go_to_node,
    .go_to_client = go_to_client,
    .append_clients = append_clients,
    .check_bypass = check_no_bypass,
    .useless = useless,
    .unavailable = available,
};
