/* Theory of operation: lab_state.h. */
#include "proxy/daemon/lab_state_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy/base/address.h"
#include "proxy/base/log.h"
#include "proxy/base/text.h"
#include "proxy/daemon/lab_ruleset.h"
#include "proxy/lab/lab.h"

_Static_assert((int)LAB_NODES_MAX <= (int)WIRE_LAB_NODES_MAX, "all nodes can be told");
_Static_assert((int)LAB_PORTS_MAX <= (int)WIRE_LAB_PORTS_MAX, "all ports can be told");
_Static_assert((int)LAB_NODE_ADDRESSES <= (int)WIRE_LAB_ADDRESSES_MAX, "all addresses too");
_Static_assert((int)LAB_MTU_MIN == (int)WIRE_LAB_MTU_MIN &&
                   (int)LAB_MTU_MIN_IPV6 == (int)WIRE_LAB_MTU_MIN_IPV6 &&
                   (int)LAB_MTU_MAX == (int)WIRE_LAB_MTU_MAX,
               "what is asked for can be had");
_Static_assert((int)LAB_NAME_MAX == (int)RULESET_NAME_MAX, "one name");

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

static void free_entry(struct lab_entry *entry)
{
    packet_port_destroy(entry->port);
    close_fd(&entry->node.diagnosis);
    free(entry);
}

/* Takes the node out of the lab, if it is there. */
static void let_go(struct lab_state *state, struct lab_entry *entry)
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
    struct lab_entry *entry = memory_allocate_zeroed(1, sizeof(*entry));
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

struct lab_entry *lab_state_find(const struct lab_state *state, const char *name)
{
    for (size_t i = 0; i < state->count; i++)
        if (strcmp(state->entries[i]->node.name, name) == 0)
            return state->entries[i];
    return NULL;
}

int lab_state_no_lab(struct error *error)
{
    return error_set(error, -ENOENT, "there is no lab: severctl lab up 3 starts one");
}

int lab_state_has_ended(struct error *error)
{
    return error_set(error, -EINVAL, "the lab has ended by itself: severctl lab down, and up");
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
    const struct lab_entry *entry = lab_state_find(state, name);
    return entry && !entry->leaving;
}

static int no_node(const char *name, struct error *error)
{
    return error_set(error, -ENOENT, "there is no node '%s' in the lab", name);
}

bool lab_state_is_running(const struct lab_state *state, const char *name)
{
    const struct lab_entry *entry = lab_state_find(state, name);
    return entry && entry->running;
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
        return lab_state_no_lab(error);
    if (state->lost)
        return lab_state_has_ended(error);
    if (state->count == LAB_NODES_MAX)
        return error_set(error, -EINVAL, "a lab has at most %d nodes", LAB_NODES_MAX);
    const struct lab_entry *old = lab_state_find(state, name);
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
        return lab_state_no_lab(error);
    struct lab_entry *entry = name ? lab_state_find(state, name) : NULL;
    if (name && !entry)
        return no_node(name, error);
    state->ending = !name;
    for (size_t i = 0; i < state->count; i++)
        state->entries[i]->leaving = !name || state->entries[i] == entry;
    return 0;
}

/* --- the ruleset that this means --- */

/* The lab gives the number of a node that has ended to another one only when no other is left, and
 * then its address is that node's in the ruleset until it is removed. */
static int check_number(const struct lab_state *state, const struct lab_entry *made,
                        struct error *error)
{
    for (size_t i = 0; i < state->count; i++) {
        const struct lab_entry *entry = state->entries[i];
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
        struct lab_entry *entry = state->entries[i];
        if (entry->joining && (result = check_number(state, entry, error)) == 0)
            result = lab_ruleset_join(next, &entry->node, entry->kind, &entry->found, error);
        if (entry->leaving)
            lab_ruleset_leave(next, &entry->node, entry->found);
    }
    if (result)
        ruleset_free(next);
    return result;
}

int lab_state_check(const struct lab_state *state, const struct ruleset *ruleset,
                    struct error *error)
{
    int result = 0;
    for (size_t i = 0; i < state->count && result == 0; i++)
        if (!state->entries[i]->leaving)
            result = lab_ruleset_check(ruleset, &state->entries[i]->node, error);
    return result;
}

/* --- publication --- */

static struct packet_port_spec spec_of(const struct lab_entry *entry, const struct fault_plan *plan)
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
        const struct lab_entry *entry = state->entries[i];
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

/* Takes the entry out of the list. */
static void dismiss(struct lab_state *state, size_t index)
{
    struct lab_entry *entry = state->entries[index];
    lab_state_forget_ports(state, entry->node.name);
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

/* --- what happens unasked --- */

void lab_state_end_node(struct lab_state *state, const char *name, char *text, size_t size)
{
    bool all = !name[0];
    for (size_t i = 0; i < state->count; i++)
        if (all || strcmp(state->entries[i]->node.name, name) == 0)
            state->entries[i]->running = state->entries[i]->in_lab = false;
    if (!all) {
        lab_state_forget_ports(state, name);
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
static void bury(struct lab_state *state, struct lab_entry *entry)
{
    struct lab_entry *remains = memory_allocate_zeroed(1, sizeof(*remains));
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
