/* The keeper's process, as its parent sees it. It is this program again, so that nothing else need
 * be installed, and executed, so that it has none of this process's memory or threads. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proxy/base/monotonic.h"
#include "proxy/lab/internal.h"
#include "proxy/lab/message.h"

enum { END_MS = 10000, DESCRIPTORS_ABOVE = 10 };

/* Descriptors that are above those that the keeper has them as. */
static int pair_above(int pair[2])
{
    int low[2];
    int result = message_pair(low);
    if (result)
        return result;
    for (int i = 0; i < 2; i++) {
        pair[i] = fcntl(low[i], F_DUPFD_CLOEXEC, DESCRIPTORS_ABOVE);
        if (pair[i] < 0)
            result = -errno;
    }
    message_close_fds(low, 2);
    if (result)
        message_close_fds(pair, 2);
    return result;
}

static int execute(int control, int notes, pid_t *pid)
{
    static char program[] = KEEPER_PROGRAM;
    char *arguments[] = {program, NULL};
    posix_spawn_file_actions_t actions;
    if (posix_spawn_file_actions_init(&actions))
        return -ENOMEM;
    int result = posix_spawn_file_actions_adddup2(&actions, control, KEEPER_CONTROL_FD);
    if (result == 0)
        result = posix_spawn_file_actions_adddup2(&actions, notes, KEEPER_NOTES_FD);
    if (result == 0)
        result = posix_spawn(pid, "/proc/self/exe", &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    return -result;
}

int lab_keeper_spawn(struct lab_keeper *keeper, struct error *error)
{
    int control[2] = {-1, -1}, notes[2] = {-1, -1};
    *keeper = (struct lab_keeper){.pidfd = -1, .control = -1, .notes = -1};
    int result = pair_above(control);
    if (result == 0)
        result = pair_above(notes);
    if (result == 0)
        result = execute(control[1], notes[1], &keeper->pid);
    if (result == 0) {
        keeper->pidfd = (int)syscall(SYS_pidfd_open, keeper->pid, 0);
        keeper->control = control[0];
        keeper->notes = notes[0];
        control[0] = notes[0] = -1;
        if (keeper->pidfd < 0) {
            result = -errno;
            lab_keeper_end(keeper);
        }
    }
    message_close_fds(control, 2);
    message_close_fds(notes, 2);
    if (result)
        return error_set(error, result, "the lab's keeper: %s", strerror(-result));
    return 0;
}

bool lab_keeper_is_stopped(const struct lab_keeper *keeper)
{
    char path[64], text[256];
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)keeper->pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    text[got > 0 ? got : 0] = '\0';
    const char *state = strrchr(text, ')'); /* behind the program's name */
    return state && (strncmp(state, ") T", 3) == 0 || strncmp(state, ") t", 3) == 0);
}

static void await_end(int pidfd)
{
    struct pollfd poll_fd = {.fd = pidfd, .events = POLLIN};
    uint64_t end_ns = monotonic_now_ns() + END_MS * NS_PER_MS, now_ns;
    while (pidfd >= 0 && (now_ns = monotonic_now_ns()) < end_ns)
        if (poll(&poll_fd, 1, (int)((end_ns - now_ns) / NS_PER_MS) + 1) >= 0 || errno != EINTR)
            return;
}

void lab_keeper_end(struct lab_keeper *keeper)
{
    if (keeper->control >= 0)
        shutdown(keeper->control, SHUT_RDWR); /* whoever else may hold it open */
    message_close_fds(&keeper->control, 1);
    message_close_fds(&keeper->notes, 1);
    if (keeper->pid <= 0)
        return;
    if (!lab_keeper_is_stopped(keeper))
        await_end(keeper->pidfd);
    kill(keeper->pid, SIGKILL); /* no effect on one that has ended: its pid is still its own */
    while (waitpid(keeper->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    message_close_fds(&keeper->pidfd, 1);
    keeper->pid = 0;
}
