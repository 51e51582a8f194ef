/* Theory of operation
 *
 * Nothing may be left behind, whatever happens to this process, and whatever a node started belongs
 * to it, even when it left its group, its session and its parent. So above each process is a guard:
 *
 *     sever -> guard -> process -> whatever that starts
 *
 * The guard is a fork of this process that never execs. It is a subreaper: what loses its parent
 * becomes its child, so everything that the process ever started stays below it in the tree of
 * parents. It only waits for signals:
 *
 *   SIGTERM  to pass on to the process
 *   SIGUSR1  to kill all that is below: from process_kill, or from the kernel when this process
 *            dies, kill -9 included
 *   SIGCHLD  to reap; once the process has ended, what is left below is killed too
 *
 * and ends when nothing is below it any more. To wait for the guard is to wait for all of it. There
 * is one thing that SIGKILL does not end: the first process of a pid namespace, while somebody
 * outside who started a process in there does not take note of its end, because he is stopped (a
 * severctl lab exec, with Ctrl-Z). After half a minute the guard leaves that to the kernel: it dies
 * when he goes on.
 *
 * In a node of a lab the guard stays outside, where it sees all processes, and the way in is
 *
 *     guard -> entrant, which goes into the node's namespaces -> process, in its pid namespace
 *
 * The entrant makes the process a child of the guard (CLONE_PARENT) and ends: there is no parent
 * between the two whose death would mean anything. What loses its parent in there becomes a child
 * of the node's first process, its *home*, which runs nothing else: so home's descendants are ours
 * as the guard's are. When home ends, the kernel ends all of it.
 *
 * Should somebody kill a guard, the parent-death signal ends its process, and the rest becomes a
 * child of this process, also a subreaper, for proc_kill_children to find. */
#include "chaos/lab/process.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "chaos/lab/proc.h"
#include "proxy/base/monotonic.h"
#include "proxy/base/text.h"
#include "proxy/wire/lab_entry.h"

#define GIVE_UP_NS (PROCESS_GIVE_UP_S * NS_PER_S)
enum { POLL_PAUSE_MS = 2, KILL_PAUSE_NS = 20 * 1000 * 1000 };

struct process_shared {
    pid_t pid;
    int status;
};

static int kept_fd = -1;

int process_init(int keep_fd, struct error *error)
{
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
        return error_set(error, -errno, "can't become a subreaper: %s", strerror(errno));
    kept_fd = keep_fd;
    return 0;
}

/* ---- the guard ------------------------------------------------------------------------------- */

static void guard_close_files(void)
{
    int null = open("/dev/null", O_RDWR);
    for (int fd = 0; fd <= 2; fd++)
        dup2(null, fd);
    unsigned first = 3;
    if (kept_fd >= 0 && dup2(kept_fd, 3) == 3)
        first = 4;
    close_range(first, ~0u, 0);
}

/* The descendants of the roots, home only while home_fd tells that it lives: nobody else's number.
 */
static void read_tree(pid_t guard, pid_t home, int home_fd, struct proc_tree *tree)
{
    struct pollfd ended = {.fd = home_fd, .events = POLLIN};
    bool lives = home_fd >= 0 && poll(&ended, 1, 0) == 0;
    const pid_t roots[] = {guard, home};
    proc_read_tree(roots, lives ? 2 : 1, tree);
}

/* How many live below home. */
static size_t guard_signal_home(pid_t home, int home_fd, bool killing)
{
    struct proc_tree tree;
    if (home_fd < 0)
        return 0;
    read_tree(0, home, home_fd, &tree);
    for (size_t i = 0; killing && i < tree.count; i++)
        kill(tree.items[i].stat.pid, SIGKILL);
    size_t count = tree.count;
    proc_tree_free(&tree);
    return count;
}

/* Until nothing is below it. */
static void guard_watch(struct process_shared *shared, pid_t home, const sigset_t *signals)
{
    uint64_t killed_ns = 0; /* when that was begun */
    int home_fd = home > 0 ? pidfd_open(home, 0) : -1;
    static const struct timespec pause = {.tv_nsec = KILL_PAUSE_NS};
    bool ended = false, killing = false;
    for (;;) {
        int status;
        pid_t pid;
        while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
            if (pid != shared->pid)
                continue;
            shared->status = status;
            ended = killing = true;
        }
        if (pid < 0 && errno == ECHILD && guard_signal_home(home, home_fd, killing) == 0)
            return;
        /* A killed child may leave children of its own, which are then ours: until none is left. */
        if (killing)
            proc_signal_children(SIGKILL);
        if (killing && killed_ns == 0)
            killed_ns = monotonic_now_ns();
        if (killing && monotonic_now_ns() - killed_ns >= GIVE_UP_NS)
            return;
        int number = sigtimedwait(signals, NULL, killing ? &pause : NULL);
        if (number == SIGTERM && !ended)
            kill(shared->pid, SIGTERM);
        killing |= number == SIGUSR1;
    }
}

/* ---- starting -------------------------------------------------------------------------------- */

static void report_failure(int report_fd)
{
    int code = errno;
    ssize_t n = write(report_fd, &code, sizeof(code)); /* below PIPE_BUF: whole or not */
    (void)n;
}

/* Another user's process forgets whose death is its own, so that is said again. */
static int become(const struct process_setup *setup)
{
    if (setup->user == 0)
        return 0;
    return setgroups(0, NULL) == 0 && setgid(setup->group) == 0 && setuid(setup->user) == 0
               ? prctl(PR_SET_PDEATHSIG, SIGKILL)
               : -1;
}

/* In the child of the guard, up to the exec. parent: the guard, 0 when it is out of sight. */
static void child_main(const struct process_setup *setup, pid_t parent, int log_fd, int report_fd)
{
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127); /* it died before the line above; in a lab, home's death will do for that */
    struct sigaction normal = {.sa_handler = SIG_DFL};
    sigaction(SIGPIPE, &normal, NULL);
    sigaction(SIGINT, &normal, NULL);
    sigaction(SIGTERM, &normal, NULL);
    sigaction(SIGHUP, &normal, NULL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    int null = open("/dev/null", O_RDONLY);
    if (null >= 0 && dup2(null, 0) == 0 && dup2(log_fd, 1) == 1 && dup2(log_fd, 2) == 2 &&
        chdir(setup->directory) == 0 && become(setup) == 0)
        execve(setup->arguments[0], setup->arguments, setup->environment);
    report_failure(report_fd);
    _exit(127);
}

/* fork(), but as a child of our parent. */
static pid_t fork_for_parent(void)
{
    return (pid_t)syscall(SYS_clone, CLONE_PARENT | SIGCHLD, NULL, NULL, NULL, NULL);
}

/* The whole life of the entrant. */
static void __attribute__((noreturn)) entrant_main(const struct process_setup *setup, int log_fd,
                                                   int report_fd, struct process_shared *shared)
{
    int code = lab_entry_join(setup->home, NULL);
    if (code == 0)
        code = lab_entry_enter(setup->home, NULL);
    pid_t pid = code < 0 ? -1 : fork_for_parent();
    errno = code < 0 ? -code : errno;
    if (pid == 0) {
        code = lab_entry_limit();
        errno = -code;
        if (code == 0)
            child_main(setup, 0, log_fd, report_fd);
    }
    if (pid <= 0)
        report_failure(report_fd);
    if (pid > 0)
        shared->pid = pid;
    _exit(0);
}

/* Starts the process; shared->pid is 0 when that failed, and then it is reported. */
static void guard_start(const struct process_setup *setup, int log_fd, int report_fd,
                        struct process_shared *shared)
{
    pid_t self = getpid();
    pid_t pid = fork();
    if (pid == 0 && setup->home > 0)
        entrant_main(setup, log_fd, report_fd, shared);
    if (pid == 0)
        child_main(setup, self, log_fd, report_fd);
    if (pid < 0)
        report_failure(report_fd);
    else if (setup->home > 0)
        waitpid(pid, NULL, 0);
    else
        shared->pid = pid;
}

static void guard_main(const struct process_setup *setup, pid_t parent, int log_fd, int report_fd,
                       struct process_shared *shared)
{
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    setpgid(0, 0); /* a Ctrl-C at the terminal is not for us */
    prctl(PR_SET_NAME, "sever-guard");
    prctl(PR_SET_PDEATHSIG, SIGUSR1);
    if (getppid() != parent || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
        _exit(127);
    guard_start(setup, log_fd, report_fd, shared);
    guard_close_files(); /* our end of the report: from here on the exec alone holds it open */
    guard_watch(shared, setup->home, &all);
    _exit(0);
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
    struct process_shared *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED || pipe2(report, O_CLOEXEC) < 0) {
        int code = -errno;
        close(log_fd);
        if (shared != MAP_FAILED)
            munmap(shared, sizeof(*shared));
        return error_set(error, code, "can't make a pipe: %s", strerror(-code));
    }
    pid_t parent = getpid();
    pid_t guard = fork();
    if (guard == 0)
        guard_main(setup, parent, log_fd, report[1], shared);
    int code = guard < 0 ? -errno : 0;
    close(log_fd);
    close(report[1]);
    if (guard > 0) {
        code = -await_exec(report[0]);
        *process = (struct process){
            .pid = shared->pid,
            .guard = guard,
            .home = setup->home,
            .home_fd = setup->home > 0 ? pidfd_open(setup->home, 0) : -1,
            .running = true,
            .shared = shared,
        };
    } else {
        munmap(shared, sizeof(*shared));
    }
    close(report[0]);
    if (code < 0 && guard > 0)
        process_kill(process);
    if (code < 0)
        return error_set(error, code, "can't start %s: %s", setup->arguments[0], strerror(-code));
    return 0;
}

/* ---- ending ---------------------------------------------------------------------------------- */

static void take_status(struct process *process, int guard_status)
{
    process->running = false;
    process->status = WIFSIGNALED(guard_status) ? guard_status : process->shared->status;
    munmap(process->shared, sizeof(*process->shared));
    process->shared = NULL;
    if (process->home_fd >= 0)
        close(process->home_fd);
    process->home_fd = -1;
}

bool process_poll(struct process *process)
{
    int status;
    if (process->running && waitpid(process->guard, &status, WNOHANG) == process->guard)
        take_status(process, status);
    return process->running;
}

static void pause_briefly(void)
{
    poll(NULL, 0, POLL_PAUSE_MS);
}

void process_read_tree(const struct process *process, struct proc_tree *tree)
{
    read_tree(process->guard, process->home, process->running ? process->home_fd : -1, tree);
}

void process_ask_to_end(struct process *process)
{
    if (process->running)
        kill(process->guard, SIGTERM);
}

void process_kill(struct process *process)
{
    if (process->running)
        kill(process->guard, SIGUSR1);
    while (process->running) {
        int status;
        if (waitpid(process->guard, &status, 0) == process->guard)
            take_status(process, status);
        else if (errno != EINTR)
            take_status(process, 0); /* reaped elsewhere */
    }
    process->pid = process->guard = 0;
}

void process_end(struct process *process, uint64_t patience_ns)
{
    uint64_t deadline_ns = monotonic_now_ns() + patience_ns;
    process_ask_to_end(process);
    while (process_poll(process) && monotonic_now_ns() < deadline_ns)
        pause_briefly();
    process_kill(process);
}

/* Signals what is not yet as wanted: parents before their children to stop them, so that a shell
 * does not see its job stop, and the other way round to continue. How many there were, of all. */
static size_t push_towards(const struct proc_tree *tree, bool stopped)
{
    size_t wrong = 0;
    for (size_t i = 0; i < tree->count; i++) {
        size_t k = stopped ? i : tree->count - 1 - i;
        if (proc_tree_is_stopped(tree, k) == stopped)
            continue;
        kill(tree->items[k].stat.pid, stopped ? SIGSTOP : SIGCONT);
        wrong++;
    }
    return wrong;
}

/* A look at /proc is not one instant: what was forked meanwhile may be missed by one look, not by
 * the next, as what is stopped forks nothing. */
static int push_all(const struct process *process, bool stopped, uint64_t patience_ns,
                    size_t *count, struct error *error)
{
    uint64_t deadline_ns = monotonic_now_ns() + patience_ns;
    if (!process->running)
        return error_set(error, -ESRCH, "it does not run");
    for (unsigned agreeing = 0; agreeing < 2;) {
        struct proc_tree tree;
        process_read_tree(process, &tree);
        *count = tree.count;
        size_t wrong = push_towards(&tree, stopped);
        proc_tree_free(&tree);
        if (*count == 0)
            return error_set(error, -ESRCH, "nothing of it runs");
        agreeing = wrong ? 0 : agreeing + 1;
        if (wrong && monotonic_now_ns() >= deadline_ns)
            return error_set(error, -ETIMEDOUT, "%zu of its %zu processes %s in state T (stopped)",
                             wrong, *count, stopped ? "are not" : "are still");
        if (wrong)
            pause_briefly();
    }
    return 0;
}

int process_pause(struct process *process, uint64_t patience_ns, size_t *count, struct error *error)
{
    return push_all(process, true, patience_ns, count, error);
}

int process_resume(struct process *process, uint64_t patience_ns, struct error *error)
{
    size_t count;
    return push_all(process, false, patience_ns, &count, error);
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
