/* Theory of operation
 *
 * What the kernel says about the nodes' sockets, which wrappers and odd addresses can't hide. An
 * inode ties a socket of the dump to the processes that have it open, and the tree of parents ties
 * these to a node (chaos/lab/process.c).
 *
 * Bypass. A connection to a node's private address is fine from severd, which dials from 127.0.0.1,
 * and from ourselves; the addresses alone don't tell these from a node that dials unbound. So what
 * the addresses leave open is held against the sockets of the nodes' processes. Only what a node
 * has for sure counts: a connection that ends between the two looks accuses nobody.
 *
 * Clock. The server is whoever listens on the workload's port. A shell around it that maps the page
 * proves nothing. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chaos/lab/lab_internal.h"
#include "chaos/lab/proc.h"

/* ---- bypass ---------------------------------------------------------------------------------- */

struct suspect {
    uint32_t inode;
    size_t to;
};

struct bypass {
    const struct lab *lab;
    struct error *error;
    int code;
    struct suspect *suspects;
    size_t suspect_count;
    size_t node; /* whose processes are looked at */
};

static int accuse_direct(struct bypass *bypass, size_t from, size_t to)
{
    return error_set(bypass->error, -EREMOTE,
                     "%s and %s talk directly, around severd: a cut between them would not hold; "
                     "give nodes each other's {peers} addresses only",
                     lab_node_name(bypass->lab, from), lab_node_name(bypass->lab, to));
}

static bool look_at_connection(void *context, const struct proc_connection *connection)
{
    struct bypass *bypass = context;
    const struct lab *lab = bypass->lab;
    size_t from, to;
    switch (subnet_judge(&lab->subnet, lab->node_count, connection->local, connection->remote,
                         &from, &to)) {
    case SUBNET_NO_BYPASS:
        break;
    case SUBNET_DIRECT:
        bypass->code = accuse_direct(bypass, from, to);
        break;
    case SUBNET_UNKNOWN_SOURCE:
        bypass->code = error_set(bypass->error, -EREMOTE,
                                 "somebody reaches %s from 127.0.0.1: a node must dial from its "
                                 "own {address}, or a cut would not hold",
                                 lab_node_name(lab, to));
        break;
    case SUBNET_ASK_OWNER:
        bypass->suspects =
            memory_resize(bypass->suspects, bypass->suspect_count + 1, sizeof(*bypass->suspects));
        bypass->suspects[bypass->suspect_count++] =
            (struct suspect){.inode = connection->inode, .to = to};
        break;
    }
    return bypass->code == 0;
}

static bool look_at_socket(void *context, uint32_t inode)
{
    struct bypass *bypass = context;
    for (size_t i = 0; bypass->code == 0 && i < bypass->suspect_count; i++) {
        if (bypass->suspects[i].inode == inode && bypass->suspects[i].to != bypass->node)
            bypass->code = accuse_direct(bypass, bypass->node, bypass->suspects[i].to);
    }
    return bypass->code == 0;
}

static void ask_owners(struct bypass *bypass)
{
    const struct lab *lab = bypass->lab;
    struct proc_tree tree;
    proc_read_tree(getpid(), &tree);
    for (size_t i = 0; bypass->code == 0 && i < tree.count; i++) {
        for (size_t node = 0; node < lab->node_count; node++) {
            bypass->node = node;
            if (tree.items[i].top == lab->nodes[node].process.guard)
                proc_each_socket(tree.items[i].stat.pid, look_at_socket, bypass);
        }
    }
    proc_tree_free(&tree);
}

int lab_check_bypass(struct lab *lab, struct error *error)
{
    struct bypass bypass = {.lab = lab, .error = error};
    int code = proc_each_connection(look_at_connection, &bypass);
    if (code < 0)
        bypass.code = error_set(error, code, "can't list the connections of this machine: %s",
                                strerror(-code));
    if (bypass.code == 0 && bypass.suspect_count > 0)
        ask_owners(&bypass);
    free(bypass.suspects);
    return bypass.code;
}

/* ---- clock ----------------------------------------------------------------------------------- */

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
    struct listeners listeners = find_listeners(lab, node);
    struct proc_tree tree;
    size_t servers = 0;
    bool mapped = true;
    proc_read_tree(lab->nodes[node].process.guard, &tree);
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
