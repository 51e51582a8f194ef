/* What is described in lab_ruleset.h. */
#include "proxy/daemon/lab_ruleset.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

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

int lab_ruleset_join(struct ruleset *next, const struct lab_node *made, enum ruleset_node_kind kind,
                     bool *found, struct error *error)
{
    struct ruleset_node *node = ruleset_find_node(next, made->name);
    *found = node != NULL;
    if (!node) {
        struct ruleset_node added = {0};
        snprintf(added.name, sizeof(added.name), "%s", made->name);
        node = ruleset_add_node(next, &added);
    }
    node->kind = kind;
    for (size_t i = 0; i < made->address_count; i++) {
        const struct address *address = &made->addresses[i];
        if (find_address(node, address) < node->address_count)
            continue;
        if (node->address_count == RULESET_NODE_ADDRESSES_MAX)
            return error_set(error, -EINVAL,
                             "node '%s' is there already and has %d addresses: no room for the "
                             "lab's",
                             node->name, RULESET_NODE_ADDRESSES_MAX);
        address_format_host(address, node->addresses[node->address_count++]);
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

void lab_ruleset_leave(struct ruleset *next, const struct lab_node *gone, bool found)
{
    const char *name = gone->name;
    struct ruleset_node *node = ruleset_find_node(next, name);
    if (!node)
        return;
    if (!found && !route_names(next, name)) {
        drop_dependents(next, name);
        ruleset_remove_node(next, name);
        return;
    }
    for (size_t i = 0; i < gone->address_count; i++) {
        size_t at = find_address(node, &gone->addresses[i]);
        if (at == node->address_count)
            continue;
        node->address_count--;
        memmove(node->addresses[at], node->addresses[at + 1],
                (node->address_count - at) * sizeof(node->addresses[0]));
    }
}

int lab_ruleset_check(const struct ruleset *ruleset, const struct lab_node *wanted,
                      struct error *error)
{
    char host[ADDRESS_HOST_MAX];
    const struct ruleset_node *node = ruleset_find_node(ruleset, wanted->name);
    if (!node)
        return error_set_at(error, -EINVAL, "nodes",
                            "node '%s' is in the lab, and can't be left out: severctl lab "
                            "remove %s takes it out",
                            wanted->name, wanted->name);
    for (size_t i = 0; i < wanted->address_count; i++)
        if (find_address(node, &wanted->addresses[i]) == node->address_count)
            return error_set_at(error, -EINVAL, "nodes",
                                "node '%s' is in the lab, and can't lose its address %s there",
                                node->name, address_format_host(&wanted->addresses[i], host));
    return 0;
}
