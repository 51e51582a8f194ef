/* The command line of raftkv. */
#ifndef RAFTKV_SERVER_OPTIONS_H
#define RAFTKV_SERVER_OPTIONS_H

#include <stdbool.h>

#include "examples/raftkv/core/raft.h"
#include "proxy/base/address.h"
#include "proxy/base/error.h"
#include "proxy/base/log.h"

enum { NODE_NAME_MAX = 32, CLUSTER_TEXT_MAX = 512 };

struct node_option {
    char name[NODE_NAME_MAX + 1];
    struct address address; /* where it listens for its peers; of this node: not used */
};

struct options {
    char id[NODE_NAME_MAX + 1];
    const char *data_directory;
    struct address client_address; /* --bind and --port */
    struct address peer_address;   /* --bind and --peer-port */
    /* Every node of the cluster, this one included, sorted by name: a node's place is its number in
     * the Raft core, the same on every node. */
    struct node_option nodes[RAFT_NODES_MAX];
    uint8_t node_count;
    uint8_t self;
    uint64_t election_timeout_ns;
    uint64_t heartbeat_ns;
    bool exit_on_minority;
    uint32_t bugs;
    enum log_level log_level;
};

enum options_action { OPTIONS_RUN, OPTIONS_SHOWED }; /* SHOWED: --help or --version was printed */

/* Parses argv (which must outlive *options). 0, or -EINVAL with what to write instead. */
int options_parse(int argc, char **argv, struct options *options, enum options_action *action,
                  struct error *error);
/* "n1,n2,n3"; buffer: CLUSTER_TEXT_MAX bytes. Returns buffer. */
const char *options_cluster_text(const struct options *options, char *buffer);

#endif
