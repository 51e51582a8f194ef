/* The command line of `sever wrap`, and the cluster that it asks for: pure. */
#ifndef SEVER_CHAOS_RUN_WRAP_OPTIONS_H
#define SEVER_CHAOS_RUN_WRAP_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "chaos/experiment/experiment.h"
#include "proxy/base/error.h"

enum { WRAP_CLIENTS_MAX = 64 };

struct wrap_options {                        /* points into argv */
    const char *file;                        /* NULL: the cluster is on the command line */
    const char *nodes;                       /* "3" or "a,b,c"; NULL: 3 */
    const char *ports[EXPERIMENT_PORTS_MAX]; /* "2379" or "client=2379" */
    size_t port_count;
    const char *peers, *subnet, *out; /* NULL: not given */
    unsigned clients;
    bool help;
    char **command; /* what follows "--": the command, or with a file what is appended to its */
    size_t command_count;
};

/* argv[0] is the subcommand. -EINVAL with what to write instead. */
int wrap_parse_options(int argc, char **argv, struct wrap_options *options, struct error *error);

/* The cluster of a command line without a file; experiment_free. A port without a name has its
 * number for one. -EINVAL. */
int wrap_make_cluster(const struct wrap_options *options, struct experiment *experiment,
                      struct error *error);

/* Where the host publishes a node's port: the node's address with 127 in front, so that each node
 * has the port's own number. address: of the node, in a lab. False when that isn't IPv4. */
bool wrap_listen_address(const char *address, unsigned port, char *buffer, size_t size);

#endif
