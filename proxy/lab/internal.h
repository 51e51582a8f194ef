/* severd's side of a lab: what lab.c, ports.c and spawn.c share. */
#ifndef SEVER_LAB_INTERNAL_H
#define SEVER_LAB_INTERNAL_H

#include "proxy/lab/keeper.h"
#include "proxy/lab/lab.h"
#include "proxy/lab/subnet.h"

struct lab_member {
    bool used; /* else: name is who had the number before, "" for nobody */
    char name[LAB_NAME_MAX];
    uint64_t serial;
    struct address addresses[LAB_NODE_ADDRESSES];
};

struct lab_port {
    bool used;
    char node[LAB_NAME_MAX];
    struct address bound;
};

struct lab_keeper {
    pid_t pid;
    int pidfd, control, notes; /* -1: not there */
};

struct lab {
    struct lab_keeper keeper;
    bool user_namespace;
    bool lost; /* the keeper has ended, or does not answer; said by lab_check */
    bool said;
    int poll;    /* epoll of keeper.notes and gateway */
    int gateway; /* socket to its process; -1: there is none */
    struct subnet subnets[LAB_NODE_ADDRESSES];
    size_t subnet_count;
    uint32_t mtu;
    uint64_t ring_bytes;
    uint64_t serials;
    unsigned numbers;                         /* 1 to this */
    struct lab_member members[LAB_NODES_MAX]; /* the node of number k is at k - 1 */
    struct lab_port ports[LAB_PORTS_MAX];     /* by slot */
    char ended[LAB_NAME_MAX];                 /* what lab_check said last */
};

/* Starts the keeper's process; it waits for its first request. */
int lab_keeper_spawn(struct lab_keeper *keeper, struct error *error);
/* Whether somebody has stopped it: it does not even run. */
bool lab_keeper_is_stopped(const struct lab_keeper *keeper);
/* Closes its sockets, and waits until it is gone, with all that it has started. */
void lab_keeper_end(struct lab_keeper *keeper);

/* NULL when there is none. */
struct lab_member *lab_find_member(struct lab *lab, const char *name);
/* A request to the keeper and its answer. fds: room for fd_count. A keeper that does not answer is
 * killed: the lab is lost. */
int lab_ask(struct lab *lab, const struct keeper_request *request, struct keeper_reply *reply,
            int *fds, size_t fd_count, struct error *error);
/* The node has gone: so have the ports that lead to it, or all when it was the gateway. */
void lab_ports_forget_node(struct lab *lab, const char *name);
/* Waits on more, or on less. */
int lab_watch(struct lab *lab, int fd, struct error *error);

#endif
