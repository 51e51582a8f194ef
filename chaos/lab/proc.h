/* What the kernel says about processes (/proc) and connections (sock_diag). */
#ifndef SEVER_CHAOS_LAB_PROC_H
#define SEVER_CHAOS_LAB_PROC_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct proc_stat {
    pid_t pid, parent, group;
    char state; /* R, S, D, T (stopped), Z, ... */
};

/* /proc/PID/stat; the program's name may hold anything, parentheses too. False when malformed. */
bool proc_parse_stat(const char *text, struct proc_stat *stat);

struct proc_connection { /* addresses and ports in host order; of IPv4, v4-mapped IPv6, or :: as 0
                          */
    uint32_t local, remote;
    uint16_t local_port, remote_port;
    uint32_t inode; /* of the socket, see proc_each_socket; 0: no process has it */
};
/* Reads the messages of one datagram of a sock_diag dump (INET_DIAG_VERBOSE is not needed) and
 * calls fn for each connection until it returns false; other IPv6 addresses are left out. 1: the
 * dump goes on; 0: it is over or fn had enough; negative errno: the kernel's refusal, or -EBADMSG.
 */
typedef bool (*proc_connection_fn)(void *context, const struct proc_connection *connection);
int proc_parse_diag(const void *datagram, size_t length, proc_connection_fn fn, void *context);

/* All live descendants of the roots (no zombies), parents before their children. None of a root
 * that is not above 0. */
struct proc_tree {
    struct {
        struct proc_stat stat;
        pid_t top; /* the root's child that it is below, or is */
    } * items;
    size_t count;
};
void proc_read_tree(const pid_t *roots, size_t root_count, struct proc_tree *tree);
void proc_tree_free(struct proc_tree *tree);
/* True when it is in state T, or waits in vfork for a child that is. */
bool proc_tree_is_stopped(const struct proc_tree *tree, size_t index);

/* True when the process maps the file at this path. */
bool proc_maps(pid_t pid, const char *path);
/* Calls fn with the inode of every socket that the process has open, until it returns false. */
typedef bool (*proc_socket_fn)(void *context, uint32_t inode);
void proc_each_socket(pid_t pid, proc_socket_fn fn, void *context);

/* Signals every child of this process, those adopted as a subreaper included. */
void proc_signal_children(int number);
/* Kills and reaps every child of this process, those adopted as a subreaper included, until there
 * are none, or for so long. */
void proc_kill_children(uint64_t patience_ns);

/* Looks through the established (or the listening) TCP sockets of this network namespace. Calls fn
 * for each until it returns false. 0 or negative errno. */
int proc_each_connection(proc_connection_fn fn, void *context);
int proc_each_listener(proc_connection_fn fn, void *context);

#endif
