/* Theory of operation
 *
 * Nothing may be left behind, whatever happens to this process. Three nets, one below the other:
 *
 *  1. An orderly end kills each group and waits for it. As a subreaper this process also inherits
 *     what daemonised itself out of its group, and kills that too (proc_kill_children).
 *  2. A parent-death signal kills each direct child when this process dies, kill -9 included.
 *  3. The guard, forked first, waits on a pipe whose only other end is here. End of file means
 *     that this process is gone: it kills every registered group, hence the grandchildren that the
 *     parent-death signal does not reach. A child registers itself before its exec, so there is no
 *     moment at which it runs and the guard does not know of it. */
#include "chaos/lab/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "chaos/lab/proc.h"
#include "proxy/base/monotonic.h"
#include "proxy/base/text.h"

enum { GUARD_GROUPS_MAX = 256, POLL_PAUSE_MS = 2 };

struct guard_message {
    pid_t group;
    int add;
};

static struct {
    pid_t pid;
    int fd; /* our end of the pipe */
} guard = {.fd = -1};

/* ---- the guard ------------------------------------------------------------------------------- */

static void guard_remember(pid_t *groups, size_t *count, struct guard_message message)
{
    for (size_t i = 0; i < *count; i++) {
        if (groups[i] == message.group)
            groups[i--] = groups[--*count];
    }
    if (message.add && *count < GUARD_GROUPS_MAX)
        groups[(*count)++] = message.group;
}

static void guard_close_others(int pipe_fd, int keep_fd)
{
    int null = open("/dev/null", O_RDWR);
    for (int fd = 0; fd <= 2; fd++)
        dup2(null, fd);
    int low = pipe_fd < keep_fd || keep_fd < 0 ? pipe_fd : keep_fd;
    int high = pipe_fd > keep_fd ? pipe_fd : keep_fd;
    if (low > 3)
        close_range(3, (unsigned)low - 1, 0);
    if (high > low + 1)
        close_range((unsigned)low + 1, (unsigned)high - 1, 0);
    close_range((unsigned)high + 1, ~0u, 0);
}

static void guard_main(int fd, int keep_fd)
{
    pid_t groups[GUARD_GROUPS_MAX];
    size_t count = 0;
    setpgid(0, 0); /* a Ctrl-C at the terminal is not for us */
    prctl(PR_SET_NAME, "sever-guard");
    guard_close_others(fd, keep_fd);
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    for (;;) {
        struct guard_message message;
        ssize_t n = read(fd, &message, sizeof(message));
        if (n == (ssize_t)sizeof(message))
            guard_remember(groups, &count, message);
        else if (n >= 0 || errno != EINTR)
            break;
    }
    for (size_t i = 0; i < count; i++)
        kill(-groups[i], SIGKILL);
    _exit(0);
}

int process_guard_start(int keep_fd, struct error *error)
{
    int ends[2];
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
        return error_set(error, -errno, "can't become a subreaper: %s", strerror(errno));
    if (pipe2(ends, O_CLOEXEC) < 0)
        return error_set(error, -errno, "can't make a pipe: %s", strerror(errno));
    pid_t pid = fork();
    if (pid < 0) {
        int code = error_set(error, -errno, "can't start the guard: %s", strerror(errno));
        close(ends[0]);
        close(ends[1]);
        return code;
    }
    if (pid == 0) {
        close(ends[1]);
        guard_main(ends[0], keep_fd);
    }
    close(ends[0]);
    guard.pid = pid;
    guard.fd = ends[1];
    return 0;
}

void process_guard_stop(void)
{
    if (guard.pid == 0)
        return;
    close(guard.fd);
    guard.fd = -1;
    while (waitpid(guard.pid, NULL, 0) < 0 && errno == EINTR)
        ;
    guard.pid = 0;
}

static void guard_tell(pid_t group, bool add)
{
    struct guard_message message = {.group = group, .add = add};
    ssize_t n = write(guard.fd, &message, sizeof(message)); /* below PIPE_BUF: whole or not */
    (void)n; /* a guard that died leaves the other two nets */
}

/* ---- starting -------------------------------------------------------------------------------- */

/* In the child, between fork and exec: async-signal-safe calls only. */
static void child_main(const struct process_setup *setup, pid_t parent, int log_fd, int report_fd)
{
    setpgid(0, 0);
    guard_tell(getpid(), true);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127); /* it died before the line above */
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    struct sigaction normal = {.sa_handler = SIG_DFL};
    sigaction(SIGPIPE, &normal, NULL);
    sigaction(SIGINT, &normal, NULL);
    sigaction(SIGTERM, &normal, NULL);
    int null = open("/dev/null", O_RDONLY);
    if (null >= 0 && dup2(null, 0) == 0 && dup2(log_fd, 1) == 1 && dup2(log_fd, 2) == 2 &&
        chdir(setup->directory) == 0)
        execve(setup->arguments[0], setup->arguments, setup->environment);
    int code = errno;
    ssize_t n = write(report_fd, &code, sizeof(code));
    (void)n;
    _exit(127);
}

/* What the child reports when it can't exec; 0 when the pipe closes, which is what exec does. */
static int await_exec(int fd)
{
    int code = 0;
    ssize_t n;
    do
        n = read(fd, &code, sizeof(code));
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof(code) ? code : 0;
}

int process_start(const struct process_setup *setup, struct process *process, struct error *error)
{
    int report[2];
    int log_fd = open(setup->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (log_fd < 0)
        return error_set_at(error, -errno, setup->log_path, "can't be written: %s",
                            strerror(errno));
    if (pipe2(report, O_CLOEXEC) < 0) {
        close(log_fd);
        return error_set(error, -errno, "can't make a pipe: %s", strerror(errno));
    }
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0)
        child_main(setup, parent, log_fd, report[1]);
    int code = pid < 0 ? -errno : 0;
    close(log_fd);
    close(report[1]);
    if (pid > 0) {
        setpgid(pid, pid); /* whoever comes first */
        code = -await_exec(report[0]);
        *process = (struct process){.pid = pid, .running = true};
    }
    close(report[0]);
    if (code < 0 && pid > 0)
        process_kill(process);
    if (code < 0)
        return error_set(error, code, "can't start %s: %s", setup->arguments[0], strerror(-code));
    return 0;
}

/* ---- ending ---------------------------------------------------------------------------------- */

bool process_poll(struct process *process)
{
    int status;
    if (process->running && waitpid(process->pid, &status, WNOHANG) == process->pid) {
        process->running = false;
        process->status = status;
    }
    return process->running;
}

static void pause_briefly(void)
{
    poll(NULL, 0, POLL_PAUSE_MS);
}

void process_kill(struct process *process)
{
    if (process->pid == 0)
        return;
    kill(-process->pid, SIGKILL);
    while (process->running) {
        int status;
        if (waitpid(process->pid, &status, 0) == process->pid) {
            process->running = false;
            process->status = status;
        } else if (errno != EINTR) {
            process->running = false; /* reaped elsewhere */
        }
    }
    while (proc_group_is_alive(process->pid)) { /* grandchildren: SIGKILL is on its way to them */
        kill(-process->pid, SIGKILL);
        pause_briefly();
    }
    guard_tell(process->pid, false);
    process->pid = 0;
}

/* Waits until done(process) or the time is over. */
static bool wait_while_false(bool (*done)(struct process *process), struct process *process,
                             uint64_t patience_ns)
{
    uint64_t deadline_ns = monotonic_now_ns() + patience_ns;
    while (!done(process)) {
        if (monotonic_now_ns() >= deadline_ns)
            return false;
        pause_briefly();
    }
    return true;
}

static bool has_ended(struct process *process)
{
    return !process_poll(process);
}

static bool is_stopped(struct process *process)
{
    return proc_group_is_stopped(process->pid);
}

static bool is_not_stopped(struct process *process)
{
    return !proc_group_is_stopped(process->pid);
}

void process_end(struct process *process, uint64_t patience_ns)
{
    if (process->running) {
        kill(process->pid, SIGTERM);
        wait_while_false(has_ended, process, patience_ns);
    }
    process_kill(process);
}

int process_pause(struct process *process, uint64_t patience_ns, struct error *error)
{
    if (kill(-process->pid, SIGSTOP) < 0)
        return error_set(error, -errno, "can't stop it: %s", strerror(errno));
    if (!wait_while_false(is_stopped, process, patience_ns))
        return error_set(error, -ETIMEDOUT, "it is not in state T (stopped)");
    return 0;
}

int process_resume(struct process *process, uint64_t patience_ns, struct error *error)
{
    if (kill(-process->pid, SIGCONT) < 0)
        return error_set(error, -errno, "can't continue it: %s", strerror(errno));
    if (!wait_while_false(is_not_stopped, process, patience_ns))
        return error_set(error, -ETIMEDOUT, "it is still in state T (stopped)");
    return 0;
}

const char *process_describe_status(int status, char *buffer, size_t size)
{
    if (WIFSIGNALED(status))
        snprintf(buffer, size, "killed by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else
        snprintf(buffer, size, "exit status %d", WEXITSTATUS(status));
    return buffer;
}

/* ---- finding --------------------------------------------------------------------------------- */

/* Only the folder is resolved: a program may act on the name it is called by. */
static char *executable_in(const char *directory, size_t length, const char *name)
{
    char *folder = strndup(directory, length);
    char *absolute = folder ? realpath(folder, NULL) : NULL;
    struct text path = {0};
    text_append(&path, "%s/%s", absolute ? absolute : "", name);
    char *found =
        absolute && access(text_get(&path), X_OK) == 0 ? memory_copy_text(text_get(&path)) : NULL;
    text_free(&path);
    free(absolute);
    free(folder);
    return found;
}

char *process_find_program(const char *name, struct error *error)
{
    char self[4096];
    char *found = NULL;
    if (strchr(name, '/')) {
        const char *slash = strrchr(name, '/');
        found = executable_in(name, slash == name ? 1 : (size_t)(slash - name), slash + 1);
        if (!found)
            error_set(error, -ENOENT, "%s: %s", name, strerror(errno));
        return found;
    }
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n > 0) {
        self[n] = '\0';
        found = executable_in(self, (size_t)(strrchr(self, '/') - self), name);
    }
    const char *path = getenv("PATH");
    for (const char *at = path ? path : "/usr/bin:/bin"; !found && *at;) {
        size_t length = strcspn(at, ":");
        if (length)
            found = executable_in(at, length, name);
        at += length + (at[length] == ':');
    }
    if (!found)
        error_set(error, -ENOENT, "no program %s beside this one or in PATH", name);
    return found;
}
