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

#define CONTROL_TIMEOUT_NS (15 * NS_PER_S) /* also on a busy machine */

struct lab_also { /* a further process of a node */
    struct process process;
    char **arguments;
    char *log_path;
};

struct lab_node {
    struct process process;
    struct lab_also *also;
    size_t also_count;
    char **init; /* NULL: none */
    char *init_log;
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
    char *file_folder;
    uid_t user; /* of the nodes' processes; 0: as we are */
    gid_t group;
    const struct network *network;
    struct subnet subnet;      /* of routes; the lock is -1 without */
    const char *wanted_subnet; /* of a lab; NULL: the default */
    char lab_subnet[WIRE_LAB_ADDRESS_MAX];
    lab_progress_fn progress; /* NULL: none */
    void *progress_context;
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

/* launch.c: what is written and run before a node's processes start, and what runs beside its
 * command. All of it is worked out by lab_launch_prepare, which starts nothing. */
int lab_launch_find_user(struct lab *lab, struct error *error);
int lab_launch_prepare(struct lab *lab, size_t node, struct error *error);
void lab_launch_free(struct lab_node *node);
/* Runs init to its end. -ECHILD when it fails, -ETIMEDOUT, -ECANCELED. */
int lab_launch_init(struct lab *lab, size_t node, uint64_t deadline_ns, struct error *error);
int lab_launch_also(struct lab *lab, size_t node, struct error *error);
void lab_launch_kill_also(struct lab_node *node);
/* The first of them that has ended; NULL when all run. */
struct lab_also *lab_launch_poll_also(struct lab_node *node);

#endif
