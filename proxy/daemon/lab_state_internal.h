/* What the files of the lab's state share: lab_state.c has its nodes, and is the only one that
 * changes them; lab_state_ports.c has the host ports, lab_state_view.c tells of both. */
#ifndef SEVER_DAEMON_LAB_STATE_INTERNAL_H
#define SEVER_DAEMON_LAB_STATE_INTERNAL_H

#include "proxy/daemon/lab_state.h"
#include "proxy/lab/lab.h"

struct lab_entry {
    struct lab_node node;
    enum ruleset_node_kind kind;
    struct packet_port *port; /* NULL when it has ended */
    uint64_t serial;
    uint64_t lost; /* of a port that is gone */
    bool joining, leaving, running;
    bool in_lab; /* the lab has it */
    bool found;  /* the ruleset had it before */
};

struct lab_state {
    /* The lab's thread's. */
    struct lab *lab; /* NULL: none */
    struct wire_lab_wanted options;
    struct lab_entry *made[LAB_NODES_MAX]; /* not in force yet */
    size_t made_count;
    struct lab_entry *gone[LAB_NODES_MAX]; /* not any more: to be let go */
    size_t gone_count;
    /* The control thread's; the other reads `up` and `lost`, which change only while it waits. */
    bool up, user_namespace;
    pid_t keeper;
    struct lab_entry *entries[LAB_NODES_MAX];
    size_t count;
    struct wire_lab_port ports[LAB_PORTS_MAX];
    size_t port_count;
    uint64_t serials;
    bool ending; /* all leave */
    bool lost;   /* the keeper has ended */
};

/* lab_state.c */
/* The node by that name; NULL. */
struct lab_entry *lab_state_find(const struct lab_state *state, const char *name);
/* -ENOENT, and how to have one. */
int lab_state_no_lab(struct error *error);
/* -EINVAL, when it is lost. */
int lab_state_has_ended(struct error *error);

/* lab_state_ports.c */
/* Host ports to this node, or by it (the gateway), lead nowhere any more. */
void lab_state_forget_ports(struct lab_state *state, const char *node);

#endif
