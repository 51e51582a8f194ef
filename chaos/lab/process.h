/* Processes that can't outlive the run, with everything they start, wherever that went: each below
 * a guard of its own, which ends when nothing is left below it. One that runs in a node of a lab
 * leaves what loses its parent to the node's first process, so that counts too; what others start
 * in the node (severctl lab exec) does not, as long as its parents live.
 *
 * All of it is for one thread: a guard's parent-death signal is bound to the thread that started
 * it. */
#ifndef SEVER_CHAOS_LAB_PROCESS_H
#define SEVER_CHAOS_LAB_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "chaos/lab/proc.h"
#include "proxy/base/error.h"

/* Makes this process a subreaper. keep_fd (or -1): a descriptor that guards hold as long as they
 * live. Call before anything is started. */
int process_init(int keep_fd, struct error *error);

struct process_shared;
struct process {
    pid_t pid;    /* 0: never started, or killed. Also its group's id */
    pid_t guard;  /* everything that it started is below this one, or below `home` */
    pid_t home;   /* of the setup */
    int home_fd;  /* pidfd of home, -1 without: tells that the number means home yet */
    bool running; /* it, or something that it started */
    int status;   /* wait status of pid, once it does not run */
    struct process_shared *shared; /* with the guard; private */
};

struct process_setup {
    char *const *arguments; /* NULL-terminated; [0] is the file, absolute */
    char *const *environment;
    const char *directory; /* to run in */
    const char *log_path;  /* standard output and error, appended; absolute */
    uid_t user;            /* whose process it is to be, when we are root; 0: ours */
    gid_t group;
    pid_t home; /* first process of the node of a lab to run in; 0: not in one */
};

/* Starts it; a failed exec is reported here, not found out later. */
int process_start(const struct process_setup *setup, struct process *process, struct error *error);
/* Reaps it when it has ended. True while it runs: when the process ends, what it left is killed. */
bool process_poll(struct process *process);
/* Everything of it that lives; the caller frees the tree. */
void process_read_tree(const struct process *process, struct proc_tree *tree);
/* SIGTERM to the process; nothing when it has ended. */
void process_ask_to_end(struct process *process);
/* Kills it and all that it started, and waits until they are gone; what dies only when somebody
 * else goes on is not waited for longer than PROCESS_GIVE_UP_S. */
enum { PROCESS_GIVE_UP_S = 30 };
void process_kill(struct process *process);
/* SIGTERM to the process, then process_kill when it has not ended by then. */
void process_end(struct process *process, uint64_t patience_ns);
/* Stops or continues it and all that it started, and waits until the kernel says so. *count: how
 * many that are. -ETIMEDOUT, or -ESRCH when nothing is left of it. */
int process_pause(struct process *process, uint64_t patience_ns, size_t *count,
                  struct error *error);
int process_resume(struct process *process, uint64_t patience_ns, struct error *error);
/* "exit status 3", "killed by signal 9 (Killed)". Returns buffer. */
const char *process_describe_status(int status, char *buffer, size_t size);

/* Absolute path of a program: as it is when it has a slash, else beside this executable, else in
 * PATH. The caller frees it. NULL with -ENOENT in *error. */
char *process_find_program(const char *name, struct error *error);

#endif
