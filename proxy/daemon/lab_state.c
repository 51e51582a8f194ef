/* Theory of operation: lab_state.h. */
#include "proxy/daemon/lab_state.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
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
    bool found; /* the ruleset had it before */
};

struct lab_state {
    struct lab *lab; /* NULL: none */
    struct wire_lab_wanted options;
    struct entry *entries[LAB_NODES_MAX];
    size_t count;
    struct wire_lab_port ports[LAB_PORTS_MAX];
    struct address bound[LAB_PORTS_MAX]; /* of the same */
    size_t port_count;
    uint64_t serials;
    int epoll_fd; /* watches the lab that there is */
    bool watched;
    bool ending; /* all leave */
    bool lost;   /* the keeper has ended */
};

int lab_state_create(struct lab_state **out, struct error *error)
{
    int fd = epoll_create1(EPOLL_CLOEXEC);
    if (fd < 0)
        return error_set(error, -errno, "watching a lab: %s", strerror(errno));
    struct lab_state *state = memory_allocate_zeroed(1, sizeof(*state));
    state->epoll_fd = fd;
    *out = state;
    return 0;
}

/* --- the lab and its nodes --- */

static void watch(struct lab_state *state)
{
    int fd = lab_poll_fd(state->lab);
    struct epoll_event event = {.events = EPOLLIN, .data = {.fd = fd}};
    state->watched = epoll_ctl(state->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
    if (!state->watched)
        log_warn("the end of a node will not be noticed: %s", strerror(errno));
}

static void unwatch(struct lab_state *state)
{
    if (state->watched)
        epoll_ctl(state->epoll_fd, EPOLL_CTL_DEL, lab_poll_fd(state->lab), NULL);
    state->watched = false;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void free_port(struct entry *entry)
{
    if (!entry->port)
        return;
    entry->lost = packet_port_lost(entry->port);
    packet_port_destroy(entry->port);
    entry->port = NULL;
    close_fd(&entry->node.diagnosis);
}

static void free_entry(struct entry *entry)
{
    free_port(entry);
    close_fd(&entry->node.diagnosis);
    free(entry);
}

/* Ends the whole lab. */
static void end_lab(struct lab_state *state)
{
    for (size_t i = 0; i < state->count; i++)
        free_entry(state->entries[i]);
    if (state->lab)
        unwatch(state);
    lab_destroy(state->lab);
    state->lab = NULL;
    state->count = state->port_count = 0;
    state->ending = state->lost = false;
}

void lab_state_destroy(struct lab_state *state)
{
    if (!state)
        return;
    end_lab(state);
    close(state->epoll_fd);
    free(state);
}

static struct entry *find(const struct lab_state *state, const char *name)
{
    for (size_t i = 0; i < state->count; i++)
        if (strcmp(state->entries[i]->node.name, name) == 0)
            return state->entries[i];
    return NULL;
}

bool lab_state_is_up(const struct lab_state *state)
{
    return state->lab != NULL;
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

/* The lab has given the number of a node that has ended to the next one, but its address is that
 * node's in the ruleset until it is removed. */
static int check_number(const struct lab_state *state, const struct lab_node *made,
                        struct error *error)
{
    for (size_t i = 0; i < state->count; i++) {
        const struct entry *entry = state->entries[i];
        if (entry->node.number == made->number)
            return error_set(error, -EINVAL,
                             "node '%s' has ended and still has the next address: severctl lab "
                             "remove %s first",
                             entry->node.name, entry->node.name);
    }
    return 0;
}

/* Makes the node and its port; an entry that is joining. */
static int make_node(struct lab_state *state, const struct wire_lab_member *member,
                     struct error *error)
{
    if (state->count == LAB_NODES_MAX)
        return error_set(error, -EINVAL, "a lab has at most %d nodes", LAB_NODES_MAX);
    struct entry *entry = memory_allocate_zeroed(1, sizeof(*entry));
    int result = lab_add_node(state->lab, member->name, &entry->node, error);
    if (result) {
        free(entry);
        return result;
    }
    result =
        packet_port_create(entry->node.sockets, state->options.ring_bytes, &entry->port, error);
    if (result) {
        for (int i = 0; i < PACKET_RINGS; i++)
            close_fd(&entry->node.sockets[i]);
        close_fd(&entry->node.diagnosis);
        lab_remove_node(state->lab, member->name, NULL);
        free(entry);
        return result;
    }
    if ((result = check_number(state, &entry->node, error))) {
        lab_remove_node(state->lab, member->name, NULL);
        free_entry(entry);
        return result;
    }
    entry->kind = member->kind;
    entry->serial = ++state->serials;
    entry->running = entry->joining = true;
    state->entries[state->count++] = entry;
    return 0;
}

int lab_state_start(struct lab_state *state, const struct wire_lab_wanted *wanted,
                    struct error *error)
{
    const struct lab_options options = {.subnet = wanted->subnet,
                                        .subnet6 = wanted->subnet6,
                                        .mtu = wanted->mtu,
                                        .ring_bytes = wanted->ring_bytes};
    if (state->lab)
        return error_set(error, -EEXIST,
                         state->lost
                             ? "the lab that was up has ended by itself: severctl lab down, "
                               "and up again"
                             : "a lab is up already: severctl lab down ends it, severctl "
                               "lab add NODE adds to it");
    int result = lab_create(&options, &state->lab, error);
    if (result) {
        state->lab = NULL;
        return result;
    }
    state->options = *wanted;
    watch(state);
    for (size_t i = 0; i < wanted->node_count && result == 0; i++) {
        char place[ERROR_PLACE_MAX];
        snprintf(place, sizeof(place), "nodes[%zu]", i);
        result = make_node(state, &wanted->nodes[i], error);
        if (result && error)
            snprintf(error->place, sizeof(error->place), "%s", place);
    }
    if (result)
        end_lab(state);
    return result == -EEXIST ? -EINVAL : result; /* twice in one list is no conflict */
}

int lab_state_join(struct lab_state *state, const struct wire_lab_member *member,
                   struct error *error)
{
    if (!state->lab)
        return no_lab(error);
    if (state->lost)
        return error_set(error, -EINVAL, "the lab has ended by itself: severctl lab down, and up");
    const struct entry *old = find(state, member->name);
    if (old)
        return error_set(error, -EEXIST,
                         old->running ? "node '%s' is in the lab already"
                                      : "node '%s' has ended: severctl lab remove it first",
                         member->name);
    return make_node(state, member, error);
}

int lab_state_leave(struct lab_state *state, const char *name, struct error *error)
{
    if (!state->lab)
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

int lab_state_edit(struct lab_state *state, const struct ruleset *current, struct ruleset *next,
                   struct error *error)
{
    int result = 0;
    ruleset_copy(next, current);
    for (size_t i = 0; i < state->count && result == 0; i++) {
        struct entry *entry = state->entries[i];
        if (entry->joining)
            result = edit_joining(entry, next, error);
        else if (entry->leaving)
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

/* Host ports to this node, or by it (the gateway), or to any (NULL), lead nowhere. */
static void forget_ports(struct lab_state *state, const char *node)
{
    bool all = strcmp(node, LAB_GATEWAY) == 0;
    size_t kept = 0;
    for (size_t i = 0; i < state->port_count; i++) {
        if (all || strcmp(state->ports[i].node, node) == 0) {
            lab_remove_port(state->lab, &state->bound[i], NULL);
            continue;
        }
        state->ports[kept] = state->ports[i];
        state->bound[kept++] = state->bound[i];
    }
    state->port_count = kept;
}

/* Takes the node out of the lab, and the entry out of the list. */
static void remove_entry(struct lab_state *state, size_t index)
{
    struct entry *entry = state->entries[index];
    struct error error = {0};
    forget_ports(state, entry->node.name);
    free_port(entry);
    if (!state->lost && lab_remove_node(state->lab, entry->node.name, &error) && entry->running)
        log_warn("node %s of the lab: %s", entry->node.name, error.message);
    free_entry(entry);
    state->count--;
    memmove(&state->entries[index], &state->entries[index + 1],
            (state->count - index) * sizeof(state->entries[0]));
}

void lab_state_commit(struct lab_state *state)
{
    if (state->ending) {
        end_lab(state);
        return;
    }
    for (size_t i = state->count; i-- > 0;) {
        state->entries[i]->joining = false;
        if (state->entries[i]->leaving)
            remove_entry(state, i);
    }
}

void lab_state_abandon(struct lab_state *state)
{
    bool any = false;
    state->ending = false;
    for (size_t i = state->count; i-- > 0;) {
        state->entries[i]->leaving = false;
        if (state->entries[i]->joining)
            remove_entry(state, i);
        else
            any = true;
    }
    if (!any)
        end_lab(state);
}

/* --- host ports --- */

int lab_state_add_port(struct lab_state *state, struct wire_lab_port *port, struct error *error)
{
    struct address listen, bound;
    if (!state->lab)
        return no_lab(error);
    if (!lab_state_has(state, port->node))
        return error_set_at(error, -EINVAL, "node", "there is no node '%s' in the lab", port->node);
    if (state->port_count == LAB_PORTS_MAX)
        return error_set(error, -E2BIG, "a lab has at most %d ports", LAB_PORTS_MAX);
    int result = address_parse(port->listen, &listen, error);
    if (result) {
        error_prefix_place(error, "listen");
        return result;
    }
    if (listen.storage.ss_family == AF_UNIX)
        return error_set_at(error, -EINVAL, "listen", "a port is host:port, no unix socket");
    result = lab_add_port(state->lab, &listen, port->node, port->port, &bound, error);
    if (result)
        return result;
    address_format(&bound, port->listen);
    state->ports[state->port_count] = *port;
    state->bound[state->port_count++] = bound;
    return 0;
}

int lab_state_remove_port(struct lab_state *state, const char *listen, struct error *error)
{
    size_t i = 0;
    if (!state->lab)
        return no_lab(error);
    while (i < state->port_count && strcmp(state->ports[i].listen, listen) != 0)
        i++;
    if (i == state->port_count)
        return error_set(error, -ENOENT, "nothing of the lab listens on '%.128s'", listen);
    int result = lab_remove_port(state->lab, &state->bound[i], error);
    if (result)
        return result;
    state->port_count--;
    memmove(&state->ports[i], &state->ports[i + 1],
            (state->port_count - i) * sizeof(state->ports[0]));
    memmove(&state->bound[i], &state->bound[i + 1],
            (state->port_count - i) * sizeof(state->bound[0]));
    return 0;
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
    *lab = (struct wire_lab){.up = state->lab != NULL};
    if (!state->lab)
        return;
    lab->user_namespace = lab_in_user_namespace(state->lab);
    lab->keeper = lab_keeper(state->lab);
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

int lab_state_poll_fd(const struct lab_state *state)
{
    return state->epoll_fd;
}

bool lab_state_next_news(struct lab_state *state, char *text, size_t size)
{
    const char *name = state->lab && !state->lost ? lab_check(state->lab) : NULL;
    if (!name)
        return false;
    if (!name[0]) {
        state->lost = true;
        unwatch(state); /* it stays readable */
        for (size_t i = 0; i < state->count; i++)
            state->entries[i]->running = false;
        snprintf(text, size,
                 "the lab's keeper has ended, and with it every node: severctl lab "
                 "down, and up again");
        return true;
    }
    struct entry *entry = find(state, name);
    if (entry)
        entry->running = false;
    snprintf(text, size,
             "node %s of the lab has ended, and all that ran in it: severctl lab "
             "remove %s",
             name, name);
    return true;
}

void lab_state_bury(struct lab_state *state)
{
    for (size_t i = 0; i < state->count; i++)
        if (!state->entries[i]->running)
            free_port(state->entries[i]);
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
    if (!state->lab)
        return no_lab(error);
    for (size_t i = 0; i < state->count && result == 0; i++) {
        dump.entry = state->entries[i];
        if (dump.entry->running && dump.entry->node.diagnosis >= 0)
            result =
                lab_connections_list(dump.entry->node.diagnosis, note_connection, &dump, error);
    }
    return result;
}
