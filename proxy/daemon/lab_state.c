/* Theory of operation: lab_state.h. */
#include "proxy/daemon/lab_state.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy/base/address.h"
#include "proxy/base/log.h"
#include "proxy/base/text.h"
#include "proxy/daemon/lab_connections.h"
#include "proxy/lab/lab.h"

_Static_assert((int)LAB_NODES_MAX <= (int)WIRE_LAB_NODES_MAX, "all nodes can be told");
_Static_assert((int)LAB_PORTS_MAX <= (int)WIRE_LAB_PORTS_MAX, "all ports can be told");
_Static_assert((int)LAB_NODE_ADDRESSES <= (int)WIRE_LAB_ADDRESSES_MAX, "all addresses too");
_Static_assert((int)LAB_NAME_MAX == (int)RULESET_NAME_MAX, "one name");

struct entry {
    struct lab_node node;
    enum ruleset_node_kind kind;
    struct packet_port *port; /* NULL when it has ended */
    uint64_t serial;
    uint64_t lost; /* of a port that is gone */
    bool joining, leaving, running;
    bool in_lab; /* the lab has it */
    bool found;  /* the ruleset had it before */
};

struct lab_state {
    /* The lab's thread's. */
    struct lab *lab; /* NULL: none */
    struct wire_lab_wanted options;
    struct entry *made[LAB_NODES_MAX]; /* not in force yet */
    size_t made_count;
    struct entry *gone[LAB_NODES_MAX]; /* not any more: to be let go */
    size_t gone_count;
    /* The control thread's; the other reads `up` and `lost`, which change only while it waits. */
    bool up, user_namespace;
    pid_t keeper;
    struct entry *entries[LAB_NODES_MAX];
    size_t count;
    struct wire_lab_port ports[LAB_PORTS_MAX];
    size_t port_count;
    uint64_t serials;
    bool ending; /* all leave */
    bool lost;   /* the keeper has ended */
};

struct lab_state *lab_state_create(void)
{
    return memory_allocate_zeroed(1, sizeof(struct lab_state));
}

/* --- what the lab's thread makes, and lets go --- */

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void free_entry(struct entry *entry)
{
    packet_port_destroy(entry->port);
    close_fd(&entry->node.diagnosis);
    free(entry);
}

/* Takes the node out of the lab, if it is there. */
static void let_go(struct lab_state *state, struct entry *entry)
{
    struct error error = {0};
    bool stays = state->up && !state->lost; /* else all goes at once */
    packet_port_destroy(entry->port);
    entry->port = NULL;
    if (stays && entry->in_lab && lab_remove_node(state->lab, entry->node.name, &error) &&
        error.code != -ENOENT)
        log_warn("node %s of the lab: %s", entry->node.name, error.message);
    free_entry(entry);
}

void lab_state_release(struct lab_state *state)
{
    while (state->made_count > 0)
        let_go(state, state->made[--state->made_count]);
    while (state->gone_count > 0)
        let_go(state, state->gone[--state->gone_count]);
    if (state->up)
        return;
    lab_destroy(state->lab);
    state->lab = NULL;
}

void lab_state_destroy(struct lab_state *state)
{
    for (size_t i = 0; i < state->count; i++)
        state->gone[state->gone_count++] = state->entries[i];
    state->count = 0;
    state->up = false;
    lab_state_release(state);
    free(state);
}

int lab_state_make(struct lab_state *state, const struct wire_lab_member *member,
                   struct error *error)
{
    struct entry *entry = memory_allocate_zeroed(1, sizeof(*entry));
    int result = lab_add_node(state->lab, member->name, &entry->node, error);
    if (result) {
        free(entry);
        return result;
    }
    result =
        packet_port_create(entry->node.sockets, state->options.ring_bytes, &entry->port, error);
    if (result)
        for (int i = 0; i < PACKET_RINGS; i++)
            close_fd(&entry->node.sockets[i]);
    entry->kind = member->kind;
    entry->running = entry->joining = entry->in_lab = true;
    state->made[state->made_count++] = entry;
    return result;
}

int lab_state_start(struct lab_state *state, const struct wire_lab_wanted *wanted,
                    bool (*go_on)(void *context), void *context, struct error *error)
{
    const struct lab_options options = {.subnet = wanted->subnet,
                                        .subnet6 = wanted->subnet6,
                                        .subnet6_optional = wanted->subnet6_optional,
                                        .mtu = wanted->mtu,
                                        .ring_bytes = wanted->ring_bytes};
    int result = lab_create(&options, &state->lab, error);
    if (result) {
        state->lab = NULL;
        return result;
    }
    state->options = *wanted;
    if (wanted->subnet6[0] && !lab_has_ipv6(state->lab)) {
        log_warn("the lab has IPv4 only: this machine has no IPv6, or it is switched off");
        state->options.subnet6[0] = '\0';
    }
    for (size_t i = 0; i < wanted->node_count && result == 0; i++) {
        if (!go_on(context))
            return error_set(error, -ECANCELED, "severd ends");
        result = lab_state_make(state, &wanted->nodes[i], error);
        if (result && error)
            snprintf(error->place, sizeof(error->place), "nodes[%zu]", i);
    }
    return result == -EEXIST ? -EINVAL : result; /* twice in one list is no conflict */
}

const char *lab_state_check_nodes(struct lab_state *state)
{
    return state->lab && !state->lost ? lab_check(state->lab) : NULL;
}

int lab_state_poll_fd(const struct lab_state *state)
{
    return state->lab && !state->lost ? lab_poll_fd(state->lab) : -1;
}

/* --- nodes --- */

static struct entry *find(const struct lab_state *state, const char *name)
{
    for (size_t i = 0; i < state->count; i++)
        if (strcmp(state->entries[i]->node.name, name) == 0)
            return state->entries[i];
    return NULL;
}

bool lab_state_is_up(const struct lab_state *state)
{
    return state->up;
}

size_t lab_state_node_count(const struct lab_state *state)
{
    return state->count;
}

bool lab_state_has(const struct lab_state *state, const char *name)
{
    const struct entry *entry = find(state, name);
    return entry && !entry->leaving;
}

static int no_lab(struct error *error)
{
    return error_set(error, -ENOENT, "there is no lab: severctl lab up 3 starts one");
}

static int no_node(const char *name, struct error *error)
{
    return error_set(error, -ENOENT, "there is no node '%s' in the lab", name);
}

int lab_state_may_start(const struct lab_state *state, struct error *error)
{
    if (!state->up)
        return 0;
    return error_set(error, -EEXIST,
                     state->lost ? "the lab that was up has ended by itself: severctl lab down, "
                                   "and up again"
                                 : "a lab is up already: severctl lab down ends it, severctl "
                                   "lab add NODE adds to it");
}

int lab_state_may_join(const struct lab_state *state, const char *name, struct error *error)
{
    if (!state->up)
        return no_lab(error);
    if (state->lost)
        return error_set(error, -EINVAL, "the lab has ended by itself: severctl lab down, and up");
    if (state->count == LAB_NODES_MAX)
        return error_set(error, -EINVAL, "a lab has at most %d nodes", LAB_NODES_MAX);
    const struct entry *old = find(state, name);
    if (!old)
        return 0;
    return error_set(error, -EEXIST,
                     old->running ? "node '%s' is in the lab already"
                                  : "node '%s' has ended: severctl lab remove it first",
                     name);
}

int lab_state_leave(struct lab_state *state, const char *name, struct error *error)
{
    if (!state->up)
        return no_lab(error);
    struct entry *entry = name ? find(state, name) : NULL;
    if (name && !entry)
        return no_node(name, error);
    state->ending = !name;
    for (size_t i = 0; i < state->count; i++)
        state->entries[i]->leaving = !name || state->entries[i] == entry;
    return 0;
}

/* --- the ruleset that this means --- */

/* "10.77.0.1", without the port. buffer: WIRE_LAB_ADDRESS_MAX. */
static const char *format_host(const struct address *address, char *buffer)
{
    const struct sockaddr_in *ipv4 = (const struct sockaddr_in *)&address->storage;
    const struct sockaddr_in6 *ipv6 = (const struct sockaddr_in6 *)&address->storage;
    bool is_ipv4 = address->storage.ss_family == AF_INET;
    const void *host = is_ipv4 ? (const void *)&ipv4->sin_addr : (const void *)&ipv6->sin6_addr;
    if (!inet_ntop(address->storage.ss_family, host, buffer, WIRE_LAB_ADDRESS_MAX))
        buffer[0] = '\0';
    return buffer;
}

/* Which of the ruleset node's addresses this one is; its count when none. */
static size_t find_address(const struct ruleset_node *node, const struct address *wanted)
{
    struct address address;
    for (size_t i = 0; i < node->address_count; i++)
        if (address_parse_host(node->addresses[i], &address, NULL) == 0 &&
            address_same_host(&address, wanted))
            return i;
    return node->address_count;
}

static int edit_joining(struct entry *entry, struct ruleset *next, struct error *error)
{
    struct ruleset_node *node = ruleset_find_node(next, entry->node.name);
    entry->found = node != NULL;
    if (!node) {
        struct ruleset_node made = {0};
        snprintf(made.name, sizeof(made.name), "%s", entry->node.name);
        node = ruleset_add_node(next, &made);
    }
    node->kind = entry->kind;
    for (size_t i = 0; i < entry->node.address_count; i++) {
        const struct address *address = &entry->node.addresses[i];
        if (find_address(node, address) < node->address_count)
            continue;
        if (node->address_count == RULESET_NODE_ADDRESSES_MAX)
            return error_set(error, -EINVAL,
                             "node '%s' is there already and has %d addresses: no room for the "
                             "lab's",
                             node->name, RULESET_NODE_ADDRESSES_MAX);
        format_host(address, node->addresses[node->address_count++]);
    }
    return 0;
}

static bool names_node(const struct ruleset_link *link, const char *node)
{
    return strcmp(link->from, node) == 0 || strcmp(link->to, node) == 0;
}

static bool route_names(const struct ruleset *ruleset, const char *node)
{
    for (size_t i = 0; i < ruleset->route_count; i++)
        if (strcmp(ruleset->routes[i].from, node) == 0 || strcmp(ruleset->routes[i].to, node) == 0)
            return true;
    return false;
}

/* What is on its links, and its clock. */
static void drop_dependents(struct ruleset *next, const char *node)
{
    struct ruleset_clock true_time = {0};
    snprintf(true_time.node, sizeof(true_time.node), "%s", node);
    ruleset_set_clock(next, &true_time);
    for (size_t i = next->fault_count; i-- > 0;)
        if (!next->faults[i].route[0] && names_node(&next->faults[i].link, node))
            ruleset_remove_fault(next, next->faults[i].name);
    for (size_t i = next->partition_count; i-- > 0;) {
        struct ruleset_partition *partition = &next->partitions[i];
        ruleset_partition_remove_node(partition, node);
        if (partition->link_count == 0)
            ruleset_remove_partition(next, partition->name);
    }
}

static void edit_leaving(const struct entry *entry, struct ruleset *next)
{
    const char *name = entry->node.name;
    struct ruleset_node *node = ruleset_find_node(next, name);
    if (!node)
        return;
    if (!entry->found && !route_names(next, name)) {
        drop_dependents(next, name);
        ruleset_remove_node(next, name);
        return;
    }
    for (size_t i = 0; i < entry->node.address_count; i++) {
        size_t found = find_address(node, &entry->node.addresses[i]);
        if (found == node->address_count)
            continue;
        node->address_count--;
        memmove(node->addresses[found], node->addresses[found + 1],
                (node->address_count - found) * sizeof(node->addresses[0]));
    }
}

/* The lab gives the number of a node that has ended to another one only when no other is left, and
 * then its address is that node's in the ruleset until it is removed. */
static int check_number(const struct lab_state *state, const struct entry *made,
                        struct error *error)
{
    for (size_t i = 0; i < state->count; i++) {
        const struct entry *entry = state->entries[i];
        if (entry != made && entry->node.number == made->node.number)
            return error_set(error, -EINVAL,
                             "node '%s' has ended and still has the next address: severctl lab "
                             "remove %s first",
                             entry->node.name, entry->node.name);
    }
    return 0;
}

/* What was made joins, in the order in which it was. */
static void admit(struct lab_state *state)
{
    for (size_t i = 0; i < state->made_count; i++) {
        state->made[i]->serial = ++state->serials;
        state->entries[state->count++] = state->made[i];
    }
    state->made_count = 0;
}

int lab_state_edit(struct lab_state *state, const struct ruleset *current, struct ruleset *next,
                   struct error *error)
{
    int result = 0;
    admit(state);
    ruleset_copy(next, current);
    for (size_t i = 0; i < state->count && result == 0; i++) {
        struct entry *entry = state->entries[i];
        if (entry->joining && (result = check_number(state, entry, error)) == 0)
            result = edit_joining(entry, next, error);
        if (entry->leaving)
            edit_leaving(entry, next);
    }
    if (result)
        ruleset_free(next);
    return result;
}

int lab_state_check(const struct lab_state *state, const struct ruleset *ruleset,
                    struct error *error)
{
    char host[WIRE_LAB_ADDRESS_MAX];
    for (size_t i = 0; i < state->count; i++) {
        const struct entry *entry = state->entries[i];
        const struct ruleset_node *node = ruleset_find_node(ruleset, entry->node.name);
        if (entry->leaving)
            continue;
        if (!node)
            return error_set_at(error, -EINVAL, "nodes",
                                "node '%s' is in the lab, and can't be left out: severctl lab "
                                "remove %s takes it out",
                                entry->node.name, entry->node.name);
        for (size_t j = 0; j < entry->node.address_count; j++)
            if (find_address(node, &entry->node.addresses[j]) == node->address_count)
                return error_set_at(error, -EINVAL, "nodes",
                                    "node '%s' is in the lab, and can't lose its address %s there",
                                    node->name, format_host(&entry->node.addresses[j], host));
    }
    return 0;
}

/* --- publication --- */

static struct packet_port_spec spec_of(const struct entry *entry, const struct fault_plan *plan)
{
    struct packet_port_spec spec = {.node = fault_plan_node_slot(plan, entry->node.name),
                                    .serial = entry->serial,
                                    .port = entry->port,
                                    .address_count = entry->node.address_count};
    memcpy(spec.mac, entry->node.mac, sizeof(spec.mac));
    memcpy(spec.addresses, entry->node.addresses,
           entry->node.address_count * sizeof(spec.addresses[0]));
    return spec;
}

struct packet_port_spec *lab_state_fill(const struct lab_state *state,
                                        const struct fault_plan *plan, unsigned workers,
                                        struct publication *publication)
{
    size_t count = 0;
    for (unsigned w = 0; w < workers; w++)
        publication->shares[w].packet = (struct packet_table){0};
    if (state->count == 0)
        return NULL;
    struct packet_port_spec *specs = memory_allocate_zeroed(workers * state->count, sizeof(*specs));
    for (size_t i = 0; i < state->count; i++) {
        const struct entry *entry = state->entries[i];
        if (entry->port && entry->running && !entry->leaving)
            specs[count++] = spec_of(entry, plan);
    }
    for (unsigned w = workers; w-- > 0;) {
        struct packet_port_spec *own = specs + w * count;
        memmove(own, specs, count * sizeof(*specs));
        for (size_t i = 0; i < count; i++)
            own[i].mine = own[i].node % workers == w;
        publication->shares[w].packet = (struct packet_table){.ports = own, .port_count = count};
    }
    return specs;
}

/* Host ports to this node, or by it (the gateway), lead nowhere any more. */
static void forget_ports(struct lab_state *state, const char *node)
{
    bool all = strcmp(node, LAB_GATEWAY) == 0;
    size_t kept = 0;
    for (size_t i = 0; i < state->port_count; i++) {
        if (all || strcmp(state->ports[i].node, node) == 0)
            continue;
        state->ports[kept++] = state->ports[i];
    }
    state->port_count = kept;
}

/* Takes the entry out of the list. */
static void dismiss(struct lab_state *state, size_t index)
{
    struct entry *entry = state->entries[index];
    forget_ports(state, entry->node.name);
    state->gone[state->gone_count++] = entry;
    state->count--;
    memmove(&state->entries[index], &state->entries[index + 1],
            (state->count - index) * sizeof(state->entries[0]));
}

void lab_state_commit(struct lab_state *state)
{
    for (size_t i = state->count; i-- > 0;) {
        state->entries[i]->joining = false;
        if (state->entries[i]->leaving)
            dismiss(state, i);
    }
    if (!state->up) {
        state->user_namespace = lab_in_user_namespace(state->lab);
        state->keeper = lab_keeper(state->lab);
    }
    state->up = !state->ending;
    if (state->ending)
        state->port_count = 0;
    state->lost = state->lost && state->up;
    state->ending = false;
}

void lab_state_abandon(struct lab_state *state)
{
    state->ending = false;
    for (size_t i = state->count; i-- > 0;) {
        state->entries[i]->leaving = false;
        if (state->entries[i]->joining)
            dismiss(state, i);
    }
}

/* --- host ports --- */

int lab_state_may_lead(const struct lab_state *state, const char *name, struct error *error)
{
    if (!state->up)
        return no_lab(error);
    const struct entry *entry = find(state, name);
    if (!entry)
        return error_set_at(error, -EINVAL, "node", "there is no node '%s' in the lab", name);
    if (!entry->running)
        return error_set_at(error, -EINVAL, "node",
                            "node '%s' has ended: severctl lab remove it, and add it again", name);
    if (state->port_count == LAB_PORTS_MAX)
        return error_set(error, -E2BIG, "a lab has at most %d ports", LAB_PORTS_MAX);
    return 0;
}

bool lab_state_is_running(const struct lab_state *state, const char *name)
{
    const struct entry *entry = find(state, name);
    return entry && entry->running;
}

int lab_state_open_port(struct lab_state *state, struct wire_lab_port *port, struct error *error)
{
    struct address listen, bound;
    int result = address_parse(port->listen, &listen, error);
    if (result) {
        error_prefix_place(error, "listen");
        return result;
    }
    if (listen.storage.ss_family == AF_UNIX)
        return error_set_at(error, -EINVAL, "listen", "a port is host:port, no unix socket");
    result = lab_add_port(state->lab, &listen, port->node, port->port, &bound, error);
    if (result == 0)
        address_format(&bound, port->listen);
    return result;
}

int lab_state_close_port(struct lab_state *state, const char *listen, struct error *error)
{
    struct address bound;
    int result = address_parse(listen, &bound, error);
    return result ? result : lab_remove_port(state->lab, &bound, error);
}

static size_t find_port(const struct lab_state *state, const char *listen)
{
    size_t i = 0;
    while (i < state->port_count && strcmp(state->ports[i].listen, listen) != 0)
        i++;
    return i;
}

int lab_state_may_close(const struct lab_state *state, const char *listen, struct error *error)
{
    if (!state->up)
        return no_lab(error);
    if (find_port(state, listen) == state->port_count)
        return error_set(error, -ENOENT, "nothing of the lab listens on '%.128s'", listen);
    return 0;
}

void lab_state_note_port(struct lab_state *state, const struct wire_lab_port *port)
{
    state->ports[state->port_count++] = *port;
}

void lab_state_forget_port(struct lab_state *state, const char *listen)
{
    size_t i = find_port(state, listen);
    if (i == state->port_count)
        return;
    state->port_count--;
    memmove(&state->ports[i], &state->ports[i + 1],
            (state->port_count - i) * sizeof(state->ports[0]));
}

/* --- looking --- */

static void describe_entry(const struct entry *entry, struct wire_lab_node *out)
{
    const unsigned char *mac = entry->node.mac;
    *out = (struct wire_lab_node){
        .kind = entry->kind,
        .number = entry->node.number,
        .pid = entry->node.pid,
        .address_count = entry->node.address_count,
        .running = entry->running,
        .lost = entry->port ? packet_port_lost(entry->port) : entry->lost,
    };
    snprintf(out->name, sizeof(out->name), "%s", entry->node.name);
    snprintf(out->mac, sizeof(out->mac), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
             mac[3], mac[4], mac[5]);
    for (size_t i = 0; i < entry->node.address_count; i++)
        format_host(&entry->node.addresses[i], out->addresses[i]);
}

void lab_state_describe(const struct lab_state *state, struct wire_lab *lab)
{
    *lab = (struct wire_lab){.up = state->up};
    if (!state->up)
        return;
    lab->user_namespace = state->user_namespace;
    lab->keeper = state->keeper;
    lab->mtu = state->options.mtu;
    memcpy(lab->subnet, state->options.subnet, sizeof(lab->subnet));
    memcpy(lab->subnet6, state->options.subnet6, sizeof(lab->subnet6));
    for (size_t i = 0; i < state->count; i++)
        describe_entry(state->entries[i], &lab->nodes[lab->node_count++]);
    memcpy(lab->ports, state->ports, state->port_count * sizeof(state->ports[0]));
    lab->port_count = state->port_count;
}

int lab_state_describe_node(const struct lab_state *state, const char *name,
                            struct wire_lab_node *node)
{
    const struct entry *entry = find(state, name);
    if (!entry)
        return -ENOENT;
    describe_entry(entry, node);
    return 0;
}

/* --- what happens unasked --- */

void lab_state_end_node(struct lab_state *state, const char *name, char *text, size_t size)
{
    bool all = !name[0];
    for (size_t i = 0; i < state->count; i++)
        if (all || strcmp(state->entries[i]->node.name, name) == 0)
            state->entries[i]->running = state->entries[i]->in_lab = false;
    if (!all) {
        forget_ports(state, name);
        snprintf(text, size, "node %s of the lab has ended, and %s%s", name,
                 strcmp(name, LAB_GATEWAY) == 0
                     ? "with it all host ports: severctl lab port makes it anew"
                     : "all that ran in it: severctl lab remove ",
                 strcmp(name, LAB_GATEWAY) == 0 ? "" : name);
        return;
    }
    state->lost = true;
    state->port_count = 0;
    snprintf(text, size,
             "the lab's keeper has ended, and with it every node: severctl lab down, and up again");
}

/* What is left of a node; its entry stays. */
static void bury(struct lab_state *state, struct entry *entry)
{
    struct entry *remains = memory_allocate_zeroed(1, sizeof(*remains));
    remains->port = entry->port;
    remains->node.diagnosis = entry->node.diagnosis;
    state->gone[state->gone_count++] = remains;
    entry->lost = packet_port_lost(entry->port);
    entry->port = NULL;
    entry->node.diagnosis = -1;
}

void lab_state_bury(struct lab_state *state)
{
    for (size_t i = 0; i < state->count; i++)
        if (!state->entries[i]->running && state->entries[i]->port)
            bury(state, state->entries[i]);
}

/* --- connections --- */

struct dump {
    const struct lab_state *state;
    const struct fault_plan *plan;
    const struct entry *entry;
    struct wire_lab_connection *list;
    size_t *count, *more;
};

static const struct entry *find_by_address(const struct lab_state *state,
                                           const struct address *address)
{
    for (size_t i = 0; i < state->count; i++)
        for (size_t j = 0; j < state->entries[i]->node.address_count; j++)
            if (address_same_host(&state->entries[i]->node.addresses[j], address))
                return state->entries[i];
    return NULL;
}

static void note_connection(void *context, const struct lab_connection *connection)
{
    struct dump *dump = context;
    if (*dump->count == WIRE_LAB_CONNECTIONS_MAX) {
        ++*dump->more;
        return;
    }
    struct wire_lab_connection *out = &dump->list[(*dump->count)++];
    const struct entry *to = find_by_address(dump->state, &connection->remote);
    *out = (struct wire_lab_connection){.state = connection->state,
                                        .retransmits = connection->retransmits};
    snprintf(out->node, sizeof(out->node), "%s", dump->entry->node.name);
    address_format(&connection->local, out->local);
    address_format(&connection->remote, out->remote);
    if (!to)
        return;
    snprintf(out->to, sizeof(out->to), "%s", to->node.name);
    uint16_t near = fault_plan_node_slot(dump->plan, dump->entry->node.name);
    uint16_t far = fault_plan_node_slot(dump->plan, to->node.name);
    unsigned cut = (fault_plan_is_cut(dump->plan, near, far) ? WIRE_LAB_CUT_OUT : 0) |
                   (fault_plan_is_cut(dump->plan, far, near) ? WIRE_LAB_CUT_IN : 0);
    out->cut = (enum wire_lab_cut)cut;
}

int lab_state_connections(const struct lab_state *state, const struct fault_plan *plan,
                          struct wire_lab_connection *list, size_t *count, size_t *more,
                          struct error *error)
{
    struct dump dump = {.state = state, .plan = plan, .list = list, .count = count, .more = more};
    int result = 0;
    if (!state->up)
        return no_lab(error);
    for (size_t i = 0; i < state->count && result == 0; i++) {
        dump.entry = state->entries[i];
        if (dump.entry->running && dump.entry->node.diagnosis >= 0)
            result =
                lab_connections_list(dump.entry->node.diagnosis, note_connection, &dump, error);
    }
    return result;
}
