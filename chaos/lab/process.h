/* Processes that can't outlive the run: each in its own group, killed with everything it started.
 *
 * All of it is for one thread: a child's parent-death signal is bound to the thread that started
 * it. */
#ifndef SEVER_CHAOS_LAB_PROCESS_H
#define SEVER_CHAOS_LAB_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "proxy/base/error.h"

/* The guard: a small process that waits for this one to end, however it ends, and then kills every
 * group that is still registered. Makes this process a subreaper. keep_fd (or -1): a descriptor
 * that it holds as long as it lives. Call before threads start. One guard a process. */
int process_guard_start(int keep_fd, struct error *error);
/* Ends the guard and waits for it. Groups still registered are killed. */
void process_guard_stop(void);

struct process {
    pid_t pid; /* 0: never started. Also the group's id */
    bool running;
    int status; /* wait status once it has ended */
};

struct process_setup {
    char *const *arguments; /* NULL-terminated; [0] is the file, absolute */
    char *const *environment;
    const char *directory; /* to run in */
    const char *log_path;  /* standard output and error, appended; absolute */
};

/* Starts it; a failed exec is reported here, not found out later. Needs a guard. */
int process_start(const struct process_setup *setup, struct process *process, struct error *error);
/* Reaps it when it has ended. True while it runs. */
bool process_poll(struct process *process);
/* Kills the group and waits until it is gone. */
void process_kill(struct process *process);
/* SIGTERM to the process, then process_kill when it has not ended by then. */
void process_end(struct process *process, uint64_t patience_ns);
/* Stops or continues the group and waits until the kernel says so. -ETIMEDOUT. */
int process_pause(struct process *process, uint64_t patience_ns, struct error *error);
int process_resume(struct process *process, uint64_t patience_ns, struct error *error);
/* "exit status 3", "killed by signal 9 (Killed)". Returns buffer. */
const char *process_describe_status(int status, char *buffer, size_t size);

/* Absolute path of a program: as it is when it has a slash, else beside this executable, else in
 * PATH. The caller frees it. NULL with -ENOENT in *error. */
char *process_find_program(const char *name, struct error *error);

#endif
