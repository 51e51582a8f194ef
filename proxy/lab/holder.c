#include "proxy/lab/holder.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proxy/base/monotonic.h"
#include "proxy/lab/message.h"

#define READY_NS (10 * NS_PER_S)
#define END_NS (2 * NS_PER_S)

/* Nothing is left of what the keeper has open but `socket`, which becomes descriptor 3. */
static int leave_descriptors(int socket)
{
    int null = open("/dev/null", O_RDWR);
    if (null < 0 || dup2(socket, STDERR_FILENO + 1) < 0)
        return -errno;
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        dup2(null, fd);
    return close_range(STDERR_FILENO + 2, ~0U, 0) ? -errno : 0;
}

static int settle(const char *name, struct error *error)
{
    if (sethostname(name, strlen(name)))
        return error_set(error, -errno, "the host name: %s", strerror(errno));
    if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) && errno != EPERM)
        return error_set(error, -errno, "mount of /proc: %s", strerror(errno));
    return 0;
}

static _Noreturn void hold(const char *name, int socket)
{
    struct sigaction automatic = {.sa_handler = SIG_IGN};
    struct error error = {0};
    char title[16], byte;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    snprintf(title, sizeof(title), "lab-%s", name);
    prctl(PR_SET_NAME, title);
    sigaction(SIGCHLD, &automatic, NULL); /* the kernel reaps what ends, orphans included */
    if (leave_descriptors(socket))
        _exit(EXIT_FAILURE);
    socket = STDERR_FILENO + 1;
    int result = settle(name, &error);
    if (message_send(socket, &error, sizeof(error), NULL, 0) || result)
        _exit(EXIT_FAILURE);
    while (read(socket, &byte, 1) < 0 && errno == EINTR)
        ;
    _exit(EXIT_SUCCESS);
}

static int await_ready(const struct holder *holder, struct error *error)
{
    struct error told = {0};
    int result = message_receive(holder->socket, &told, sizeof(told), NULL, 0,
                                 monotonic_now_ns() + READY_NS);
    if (result)
        return error_set(error, result, "the node's first process ended, or hangs: %s",
                         strerror(-result));
    if (told.code)
        *error = told;
    return told.code;
}

int holder_start(const char *name, struct holder *holder, struct error *error)
{
    int pair[2], pidfd = -1;
    int result = message_pair(pair);
    if (result)
        return error_set(error, result, "socket: %s", strerror(-result));
    unsigned long flags = CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC |
                          CLONE_PIDFD | SIGCHLD;
    pid_t pid = (pid_t)syscall(SYS_clone, flags, NULL, &pidfd, NULL, NULL);
    int code = -errno;
    if (pid == 0)
        hold(name, pair[1]);
    close(pair[1]);
    if (pid < 0) {
        close(pair[0]);
        return error_set(error, code, "the node's namespaces: %s%s", strerror(-code),
                         code == -ENOSPC ? " (a limit among sysctl user.max_*_namespaces)" : "");
    }
    *holder = (struct holder){.pid = pid, .pidfd = pidfd, .socket = pair[0]};
    result = await_ready(holder, error);
    if (result) {
        holder_kill(holder);
        holder_reap(holder, monotonic_now_ns() + END_NS);
    }
    return result;
}

void holder_kill(const struct holder *holder)
{
    syscall(SYS_pidfd_send_signal, holder->pidfd, SIGKILL, NULL, 0);
}

void holder_reap(struct holder *holder, uint64_t deadline_ns)
{
    struct pollfd poll_fd = {.fd = holder->pidfd, .events = POLLIN};
    int count = -1;
    close(holder->socket);
    for (uint64_t now_ns = monotonic_now_ns(); count < 0; now_ns = monotonic_now_ns()) {
        uint64_t left_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
        count = poll(&poll_fd, 1, (int)((left_ns + NS_PER_MS - 1) / NS_PER_MS));
    }
    close(holder->pidfd);
    *holder = (struct holder){.pidfd = -1, .socket = -1};
}
