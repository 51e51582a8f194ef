/* Theory of operation
 *
 * Whose clock a node's server reads, by what the kernel says: the server is whoever has a socket
 * that listens on the workload's port, in the network of the node. A shell around it that maps the
 * page proves nothing. */
#include <stdio.h>
#include <stdlib.h>

#include "chaos/lab/lab_internal.h"
#include "chaos/lab/proc.h"

struct listeners {
    uint32_t address;
    uint16_t port;
    uint32_t *inodes;
    size_t count;
    bool held; /* by the process that is looked at */
};

static bool look_at_listener(void *context, const struct proc_connection *listener)
{
    struct listeners *listeners = context;
    if (listener->local_port != listeners->port ||
        (listener->local != listeners->address && listener->local != 0))
        return true;
    listeners->inodes =
        memory_resize(listeners->inodes, listeners->count + 1, sizeof(*listeners->inodes));
    listeners->inodes[listeners->count++] = listener->inode;
    return true;
}

static bool look_for_listener(void *context, uint32_t inode)
{
    struct listeners *listeners = context;
    for (size_t i = 0; i < listeners->count; i++)
        listeners->held |= listeners->inodes[i] == inode;
    return !listeners->held;
}

/* The address of the node, and any. */
static struct listeners find_listeners(const struct lab *lab, size_t node)
{
    const struct sockaddr_in *address =
        (const struct sockaddr_in *)(const void *)&lab->nodes[node].private_address.storage;
    struct listeners listeners = {.address = ntohl(address->sin_addr.s_addr),
                                  .port = lab_workload_port(lab->experiment)};
    proc_each_listener(look_at_listener, &listeners);
    return listeners;
}

bool lab_maps_clock_page(struct lab *lab, size_t node, const char *page, char *evidence,
                         size_t evidence_size)
{
    lab_go_to_node(lab, node, NULL);
    struct listeners listeners = find_listeners(lab, node);
    struct proc_tree tree;
    size_t servers = 0;
    bool mapped = true;
    process_read_tree(&lab->nodes[node].process, &tree);
    for (size_t i = 0; mapped && i < tree.count; i++) {
        pid_t pid = tree.items[i].stat.pid;
        listeners.held = false;
        proc_each_socket(pid, look_for_listener, &listeners);
        if (!listeners.held)
            continue;
        servers++;
        mapped = proc_maps(pid, page);
        if (mapped)
            snprintf(evidence, evidence_size, "pid %d maps %s", (int)pid, page);
        else
            snprintf(evidence, evidence_size,
                     "pid %d listens on port %u and does not map the clock page: it reads true "
                     "time (a static program, one started without LD_PRELOAD, or "
                     "libsever-clock.so was not found)",
                     (int)pid, listeners.port);
    }
    if (servers == 0)
        snprintf(evidence, evidence_size, "no process of the node listens on port %u",
                 listeners.port);
    proc_tree_free(&tree);
    free(listeners.inodes);
    return servers > 0 && mapped;
}
