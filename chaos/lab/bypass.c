/* Theory of operation
 *
 * What the kernel says about the nodes' sockets, which wrappers and odd addresses can't hide. An
 * inode ties a socket of the dump to the processes that have it open, and the tree of parents ties
 * these to a node (chaos/lab/process.c).
 *
 * A connection to a node's private address is fine from severd, which dials from 127.0.0.1, and
 * from ourselves; the addresses alone don't tell these from a node that dials unbound. So what the
 * addresses leave open is held against the sockets of the nodes' processes. Only what a node has
 * for sure counts: a connection that ends between the two looks accuses nobody. */
#include "chaos/lab/bypass.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chaos/lab/lab_internal.h"
#include "chaos/lab/proc.h"

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

/* Whether this guard is one of the node's. */
static bool is_of_node(const struct lab_node *node, pid_t guard)
{
    bool is = guard == node->process.guard;
    for (size_t k = 0; k < node->also_count; k++)
        is |= guard == node->also[k].process.guard;
    return is;
}

static void ask_owners(struct bypass *bypass)
{
    const struct lab *lab = bypass->lab;
    const pid_t self = getpid();
    struct proc_tree tree;
    proc_read_tree(&self, 1, &tree);
    for (size_t i = 0; bypass->code == 0 && i < tree.count; i++) {
        for (size_t node = 0; node < lab->node_count; node++) {
            bypass->node = node;
            if (is_of_node(&lab->nodes[node], tree.items[i].top))
                proc_each_socket(tree.items[i].stat.pid, look_at_socket, bypass);
        }
    }
    proc_tree_free(&tree);
}

int bypass_check(struct lab *lab, struct error *error)
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
