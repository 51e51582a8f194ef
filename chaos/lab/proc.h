/* What the kernel says about processes and connections: parsers of /proc text, and readers. */
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
    unsigned state; /* 1: established */
};
/* One line of /proc/net/tcp; false for the heading or a malformed line. */
bool proc_parse_tcp_line(const char *line, struct proc_connection *connection);

/* Calls fn for every process until it returns false. */
typedef bool (*proc_fn)(void *context, const struct proc_stat *stat);
void proc_each(proc_fn fn, void *context);

/* True when the group has a process that is alive and each such process is stopped (state T). */
bool proc_group_is_stopped(pid_t group);
/* True when the group has a process that is alive (not a zombie). */
bool proc_group_is_alive(pid_t group);
/* True when some process of the group maps the file at this path; *pid is that process. */
bool proc_group_maps(pid_t group, const char *path, pid_t *pid);
/* Kills and reaps every child of this process, those adopted as a subreaper included. */
void proc_kill_children(void);

/* Looks through the IPv4 TCP connections of this network namespace. Calls fn for each established
 * one until it returns false. */
typedef bool (*proc_connection_fn)(void *context, const struct proc_connection *connection);
void proc_each_connection(proc_connection_fn fn, void *context);

#endif
