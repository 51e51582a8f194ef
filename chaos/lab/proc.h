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

struct proc_connection { /* addresses and ports in host order */
    uint32_t local, remote;
    uint16_t local_port, remote_port;
};
/* Reads the messages of one datagram of a sock_diag dump (INET_DIAG_VERBOSE is not needed) and
 * calls fn for each connection until it returns false. 1: the dump goes on; 0: it is over or fn had
 * enough; negative errno: the kernel's refusal, or -EBADMSG. */
typedef bool (*proc_connection_fn)(void *context, const struct proc_connection *connection);
int proc_parse_diag(const void *datagram, size_t length, proc_connection_fn fn, void *context);

/* Calls fn for every process until it returns false. */
typedef bool (*proc_fn)(void *context, const struct proc_stat *stat);
void proc_each(proc_fn fn, void *context);

/* True when the group has a process that is alive and each such process is stopped: in state T, or
 * waiting in vfork for a child that is. */
bool proc_group_is_stopped(pid_t group);
/* True when the group has a process that is alive (not a zombie). */
bool proc_group_is_alive(pid_t group);
/* True when some process of the group maps the file at this path; *pid is that process. */
bool proc_group_maps(pid_t group, const char *path, pid_t *pid);
/* Kills and reaps every child of this process, those adopted as a subreaper included. */
void proc_kill_children(void);

/* Looks through the established IPv4 TCP connections of this network namespace. Calls fn for each
 * until it returns false. 0 or negative errno. */
int proc_each_connection(proc_connection_fn fn, void *context);

#endif
