/* What is between the nodes: the one place where routes and labs differ for a run.
 *
 * routes: each node has a loopback address of its own and severd listens in front of it; a client
 * is known by its address. lab: each node and each client is in network namespaces of severd's lab.
 *
 * Clients are nodes too, and stand on the side of the one node that they talk to: routes give them
 * no way to another, in a lab a partition names them beside their node. */
#ifndef SEVER_CHAOS_LAB_NETWORK_H
#define SEVER_CHAOS_LAB_NETWORK_H

#include <jansson.h>

#include "chaos/lab/lab.h"
#include "proxy/base/error.h"
#include "proxy/base/text.h"

struct network {
    /* Before severd is started. */
    int (*take)(struct lab *lab, struct error *error);
    /* severd is there, nodes are not: puts nodes, clients and what connects them in force. Fills
     * the places, homes and addresses of all. */
    int (*build)(struct lab *lab, struct error *error);
    /* After everything has ended, or after take or build failed. */
    void (*give_back)(struct lab *lab);
    /* "127.20.7.0/24" */
    void (*describe)(const struct lab *lab, struct text *out);
    /* As lab_go_to_node and lab_go_to_client. */
    int (*go_to_node)(const struct lab *lab, size_t node, struct error *error);
    int (*go_to_client)(const struct lab *lab, unsigned client, struct error *error);
    /* Adds the names of the clients of this node to a group of a partition. */
    void (*append_clients)(const struct lab *lab, size_t node, json_t *group);
    /* As lab_check_bypass. */
    int (*check_bypass)(struct lab *lab, struct error *error);
    /* As lab_fault_useless and lab_fault_unavailable. */
    const char *(*useless)(const struct ruleset_fault *fault);
    const char *(*unavailable)(const struct lab *lab, const struct ruleset_fault *fault);
};

extern const struct network network_routes, network_lab;

const struct network *network_of(enum experiment_network kind);

#endif
