/* Theory of operation. A pid namespace is for children, so a helper of this process goes into the
 * node's namespaces, makes the program a child of this process (CLONE_PARENT), tells its pid, and
 * ends; the program drops what a node must not have before it is executed. This process stays where
 * it is, and hands on what it is told: signals that somebody sent to it, and at the end the exit
 * code. Both are in one process group, so what a terminal sends reaches the program without help,
 * and stopping and continuing work as with any command. A shell in the node makes a group of its
 * own and takes the terminal; it is taken back at the end. If this process is killed the program
 * gets SIGTERM. It has standard input, output and error, and no other descriptor: one that whoever
 * started severctl has left open may lead to where the node can't go. */
#include "ctl/lab_exec.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/close_range.h>

#include "ctl/clock_environment.h"
#include "proxy/base/text.h"
#include "proxy/wire/lab.h"
#include "proxy/wire/lab_entry.h"

enum { EXEC_NOT_EXECUTABLE = 126, EXEC_NOT_FOUND = 127, EXIT_BY_SIGNAL = 128 };

static const int forwarded[] = {SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGWINCH};
enum { FORWARDED = sizeof(forwarded) / sizeof(forwarded[0]) };

static volatile pid_t program_pid;

/* What a terminal sends the program has had by itself. */
static void forward_signal(int number, siginfo_t *info, void *context)
{
    int saved = errno;
    (void)context;
    if (info->si_code <= 0 && program_pid > 0)
        kill(program_pid, number);
    errno = saved;
}

/* Why not: it alone has ended, or the lab. */
static int refuse_ended(struct session *session, const struct wire_lab *lab, const char *name)
{
    for (size_t i = 0; i < lab->node_count; i++)
        if (lab->nodes[i].running)
            return session_refuse(
                session, "node %s has ended: severctl lab remove %s, and add it again", name, name);
    return session_refuse(session, "no node of the lab runs any more: severctl lab down, and up");
}

static int find_node(struct session *session, const char *name, pid_t *pid)
{
    json_t *answer = NULL;
    int code = session_request(session, "GET", "/v1/lab", NULL, &answer);
    if (code)
        return code;
    struct wire_lab *lab = memory_allocate_zeroed(1, sizeof(*lab));
    const struct wire_lab_node *node = NULL;
    if (wire_decode_lab(answer, lab, &session->error))
        code = SESSION_UNREACHABLE;
    else if (!lab->up)
        code = session_refuse(session, "there is no lab: severctl lab up 3 starts one");
    else if (!(node = wire_lab_find_node(lab, name)))
        code =
            session_refuse(session, "there is no node '%s' in the lab (severctl lab status)", name);
    else if (!node->running)
        code = refuse_ended(session, lab, name);
    if (node)
        *pid = node->pid;
    json_decref(answer);
    free(lab);
    return code;
}

/* Into the node, where the current directory is, if it is there. */
static int enter(pid_t node, struct error *error)
{
    char *directory = getcwd(NULL, 0);
    int result = lab_entry_join(node, error);
    if (!result)
        result = lab_entry_enter(node, error);
    if (!result && (!directory || chdir(directory)) && chdir("/"))
        result = error_set(error, -errno, "there is no / in the node: %s", strerror(errno));
    free(directory);
    return result;
}

static _Noreturn void become(char **argv, const sigset_t *mask)
{
    struct sigaction plain = {.sa_handler = SIG_DFL};
    for (int i = 0; i < FORWARDED; i++)
        sigaction(forwarded[i], &plain, NULL);
    int result = lab_entry_limit();
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    sigprocmask(SIG_SETMASK, mask, NULL);
    if (result == 0 && close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC))
        result = -errno;
    if (result == 0)
        execvp(argv[0], argv);
    int code = result ? -result : errno;
    fprintf(stderr, "severctl: can't run %s%s: %s\n", argv[0],
            result ? " without what a node must not have" : "", strerror(code));
    _exit(code == ENOENT ? EXEC_NOT_FOUND : EXEC_NOT_EXECUTABLE);
}

/* A shell in the node had it. */
static void take_terminal_back(void)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGTTOU, &ignore, NULL);
    if (isatty(STDIN_FILENO))
        tcsetpgrp(STDIN_FILENO, getpgrp());
}

static int wait_for_program(void)
{
    int status = 0;
    while (waitpid(program_pid, &status, 0) < 0)
        if (errno != EINTR)
            return SESSION_REFUSED;
    take_terminal_back();
    return WIFSIGNALED(status) ? EXIT_BY_SIGNAL + WTERMSIG(status) : WEXITSTATUS(status);
}

/* The helper: starts the program in the node and writes its pid. */
static _Noreturn void help(pid_t node, char **argv, const sigset_t *mask, int report)
{
    struct error error = {0};
    if (enter(node, &error)) {
        fprintf(stderr, "severctl: %s\n", error.message);
        _exit(SESSION_REFUSED);
    }
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_PARENT | SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid == 0)
        become(argv, mask);
    if (pid < 0)
        fprintf(stderr, "severctl: can't start a process in the node: %s\n", strerror(errno));
    _exit(pid > 0 && write(report, &pid, sizeof(pid)) == sizeof(pid) ? SESSION_DONE
                                                                     : SESSION_REFUSED);
}

/* The program's pid; 0 when it was not started, the reason being on standard error. */
static pid_t start_program(pid_t node, char **argv, const sigset_t *mask)
{
    int report[2], status;
    pid_t pid = 0;
    if (pipe2(report, O_CLOEXEC))
        return 0;
    fflush(NULL);
    pid_t helper = fork();
    if (helper == 0)
        help(node, argv, mask, report[1]);
    close(report[1]);
    if (read(report[0], &pid, sizeof(pid)) != sizeof(pid))
        pid = 0;
    close(report[0]);
    while (helper > 0 && waitpid(helper, &status, 0) < 0 && errno == EINTR)
        ;
    return pid;
}

/* Signals that come before the program is there wait for it. */
static int run_program(pid_t node, char **argv)
{
    struct sigaction forward = {.sa_sigaction = forward_signal, .sa_flags = SA_SIGINFO};
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    program_pid = start_program(node, argv, &before);
    for (int i = 0; program_pid > 0 && i < FORWARDED; i++)
        sigaction(forwarded[i], &forward, NULL);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return program_pid > 0 ? wait_for_program() : SESSION_REFUSED;
}

int lab_exec(struct session *session, const struct arguments *arguments)
{
    pid_t pid = 0;
    if (arguments->word_count != 3 || !arguments->rest || !arguments->rest[0])
        return session_usage(session, "write: severctl lab exec NODE -- COMMAND...");
    const char *node = arguments->words[2];
    int code = find_node(session, node, &pid);
    if (!code)
        code = clock_environment_offer(session, node, arguments->rest[0],
                                       arguments->given & OPTION_ANYWAY);
    return code ? code : run_program(pid, arguments->rest);
}
