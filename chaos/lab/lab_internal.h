/* What the files of this folder share. */
#ifndef SEVER_CHAOS_LAB_INTERNAL_H
#define SEVER_CHAOS_LAB_INTERNAL_H

#include <stdatomic.h>

#include "chaos/lab/lab.h"
#include "chaos/lab/process.h"
#include "chaos/lab/subnet.h"
#include "chaos/lab/template.h"
#include "proxy/base/monotonic.h"
#include "proxy/wire/lab.h"

#define CONTROL_TIMEOUT_NS (5 * NS_PER_S)

struct lab_node {
    struct process process;
    char **arguments; /* expanded, [0] absolute */
    char **environment;
    char *directory;
    char *log_path;
    _Atomic int state; /* enum lab_node_state; observers read it */
    struct address private_address;
    pid_t home; /* in a lab: its first process; else 0 */
};

struct lab {
    const struct experiment *experiment;
    char *directory;
    uint64_t seed;
    char *const *extra_arguments;
    size_t extra_count;
    int abort_fd;
    const struct network *network;
    struct subnet subnet;      /* of routes; the lock is -1 without */
    const char *wanted_subnet; /* of a lab; NULL: the default */
    char lab_subnet[WIRE_LAB_ADDRESS_MAX];
    pid_t *client_homes; /* of a lab's client nodes */
    size_t client_node_count;
    struct process severd;
    char *severd_log;
    struct wire_client *client;
    json_t *status;
    struct lab_node *nodes;
    size_t node_count;
    struct template_place *places;    /* per node */
    struct address *public_addresses; /* per node */
    struct address *client_addresses; /* per client; NULL: they are where lab_go_to_client goes */
};

/* Works out commands and environments of all nodes; starts nothing. */
int lab_prepare_nodes(struct lab *lab, struct error *error);
void lab_free_nodes(struct lab *lab);
/* Appends the last line of a log that is not empty, if there is one, to a message. */
void lab_append_log_tail(const char *path, struct text *message);
/* The port number that the workload uses. */
uint16_t lab_workload_port(const struct experiment *experiment);

#endif
