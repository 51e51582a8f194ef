/* What the lab's state tells (lab_state.h). Nothing here changes it. */
#include "proxy/daemon/lab_state_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proxy/base/address.h"
#include "proxy/daemon/lab_connections.h"

static void describe_entry(const struct lab_entry *entry, struct wire_lab_node *out)
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
        address_format_host(&entry->node.addresses[i], out->addresses[i]);
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
    const struct lab_entry *entry = lab_state_find(state, name);
    if (!entry)
        return -ENOENT;
    describe_entry(entry, node);
    return 0;
}

/* --- connections --- */

struct dump {
    const struct lab_state *state;
    const struct fault_plan *plan;
    const struct lab_entry *entry;
    struct wire_lab_connection *list;
    size_t *count, *more;
};

static const struct lab_entry *find_by_address(const struct lab_state *state,
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
    const struct lab_entry *to = find_by_address(dump->state, &connection->remote);
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
        return lab_state_no_lab(error);
    for (size_t i = 0; i < state->count && result == 0; i++) {
        dump.entry = state->entries[i];
        if (dump.entry->running && dump.entry->node.diagnosis >= 0)
            result =
                lab_connections_list(dump.entry->node.diagnosis, note_connection, &dump, error);
    }
    return result;
}
