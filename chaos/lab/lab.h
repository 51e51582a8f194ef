/* The cluster of a run: severd, its ruleset, and one process per node, on loopback addresses of
 * its own (chaos/lab/subnet.h) or in a lab of severd's (chaos/lab/network.h). All functions but
 * lab_node_state, lab_query_info and lab_go_to_... are for the thread that made the lab. */
#ifndef SEVER_CHAOS_LAB_H
#define SEVER_CHAOS_LAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <jansson.h>

#include "chaos/experiment/experiment.h"
#include "proxy/base/address.h"
#include "proxy/base/error.h"
#include "proxy/base/text.h"
#include "proxy/fault/ruleset.h"
#include "proxy/wire/client.h"

/* Every two seconds of something that takes long: for how long it has by now. */
typedef void (*lab_progress_fn)(void *context, double seconds);

struct lab_setup {
    const struct experiment *experiment; /* must outlive the lab */
    const char *directory;               /* absolute; exists; everything goes below it */
    const char *file_folder;             /* the experiment's: `files` are found from there */
    uint64_t seed;
    char *const *extra_arguments; /* appended to every node's command */
    size_t extra_count;
    int abort_fd; /* readable: waits end with -ECANCELED */
    const char
        *subnet; /* of network: lab, "10.77.0.0/24" or "10.77.0.0/24,fd77::/64"; NULL: these */
    lab_progress_fn progress; /* of the making of a lab; NULL: nobody wants to know */
    void *context;            /* of progress */
};

enum lab_node_state { LAB_DOWN, LAB_RUNNING, LAB_PAUSED };

struct lab;

/* Starts severd and puts nodes, clients and what connects them in force. Call before threads start:
 * in a lab this process may change its user namespace. On failure nothing is left. */
int lab_create(const struct lab_setup *setup, struct lab **lab, struct error *error);
/* Ends everything that was started, and waits until it is gone. */
void lab_destroy(struct lab *lab);

/* Starts every node: its files are written, init runs to its end, and then the processes. `first`
 * answers before the others are begun. -ETIMEDOUT, -ECANCELED, -ECHILD. */
int lab_start_nodes(struct lab *lab, uint64_t deadline_ns, struct error *error);
/* SIGTERM to every node's processes; lab_poll_exit tells when they end. */
void lab_ask_to_end(struct lab *lab);
/* Until each node answers directly, is ready (experiment.h) and, when the experiment names a leader
 * line, one shows it. -ETIMEDOUT, -ECANCELED, or -ECHILD when a node or severd ended, with the end
 * of its log. */
int lab_wait_ready(struct lab *lab, uint64_t deadline_ns, struct error *error);
/* Asked now, directly. */
bool lab_node_answers(struct lab *lab, size_t node, uint64_t timeout_ns);
/* What a node says of itself (driver.h), asked directly. 0 or negative errno. */
int lab_query_info(const struct lab *lab, size_t node, uint64_t timeout_ns, struct text *info);

struct wire_client *lab_client(struct lab *lab);
/* "127.20.7.0/24", "10.77.0.0/24, each in a network of its own" */
void lab_describe_network(const struct lab *lab, struct text *out);
size_t lab_node_count(const struct lab *lab);
const char *lab_node_name(const struct lab *lab, size_t node);
/* Any thread. */
enum lab_node_state lab_node_state(const struct lab *lab, size_t node);
/* The workload's port of a node: as clients reach it, and the process itself. */
const struct address *lab_public_addresses(const struct lab *lab);
uint16_t lab_sentinel_port(const struct lab *lab); /* 0: none */
const struct address *lab_private_address(const struct lab *lab, size_t node);
/* Per client of the workload: where it dials from; NULL: any address, from where it is. */
const struct address *lab_client_addresses(const struct lab *lab);
/* What the calling thread, and threads that it starts later, open from now on are sockets of this
 * node, which then reaches itself directly, and of this client of the workload. Any thread; a
 * lab's only, elsewhere the addresses alone tell. -ESRCH when severd is gone. */
int lab_go_to_node(const struct lab *lab, size_t node, struct error *error);
int lab_go_to_client(const struct lab *lab, unsigned client, struct error *error);
/* Adds the node, and the clients that are cut with it, to a group of a partition. */
void lab_append_side(const struct lab *lab, size_t node, json_t *group);
/* Where processes of the node bind and are reached; borrowed. */
const char *lab_node_address(const struct lab *lab, size_t node);
const char *lab_node_log(const struct lab *lab, size_t node);
pid_t lab_node_pid(const struct lab *lab, size_t node); /* of its command */
/* Wait status of its command, once it is LAB_DOWN. */
int lab_node_status(const struct lab *lab, size_t node);
/* Why a fault can do nothing on this kind of network; NULL when it can. */
const char *lab_fault_useless(enum experiment_network network, const struct ruleset_fault *fault);
/* Why severd can't do it on this machine; NULL when it can. */
const char *lab_fault_unavailable(const struct lab *lab, const struct ruleset_fault *fault);
/* What severd said about itself at start (GET /v1/status); borrowed. */
json_t *lab_severd_status(const struct lab *lab);

/* Faults on processes; each returns with the proof in evidence ("killed by signal 9 (Killed)",
 * "state T"), which is of evidence_size bytes. -EINVAL when the node is not in the state for it;
 * kill and pause: -EBUSY when it still answers PING afterwards. They reach all that the node's
 * command started, also what left its group or its parent. */
int lab_kill(struct lab *lab, size_t node, char *evidence, size_t evidence_size,
             struct error *error);
int lab_pause(struct lab *lab, size_t node, char *evidence, size_t evidence_size,
              struct error *error);
int lab_resume(struct lab *lab, size_t node, char *evidence, size_t evidence_size,
               struct error *error);
/* Starts it again (killing it first when it runs). It is ready when lab_node_answers says so. */
int lab_restart(struct lab *lab, size_t node, struct error *error);
/* Whether the node reads this clock page: whether each process that has its socket that listens on
 * the workload's port maps it. evidence: which does, or which does not. */
bool lab_maps_clock_page(struct lab *lab, size_t node, const char *page, char *evidence,
                         size_t evidence_size);

/* Finds a node that ended by itself since the last call, -1 when none did. what: how it ended. */
int lab_poll_exit(struct lab *lab, char *what, size_t size);
/* -ECHILD when severd has ended. */
int lab_check_severd(struct lab *lab, struct error *error);
/* Looks for traffic that goes around severd: a node's process that reaches another node's private
 * address, from whatever address, or that dials a route from an address that is not its own.
 * -EREMOTE with who, to whom. It sees what is established now, over TCP. Nothing can in a lab. */
int lab_check_bypass(struct lab *lab, struct error *error);

#endif
