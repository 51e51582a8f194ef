/* What labs take for granted of the kernel's namespaces, one test each, as whoever runs them: root,
 * or an ordinary user where the system lets him. A failure names the assumption that does not hold.
 */
#include "tests/lib/test.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static bool write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    close(fd);
    return done;
}

/* Into namespaces, by way of a user namespace when need be: with one's own ids, no privilege. */
static bool enter(int namespaces)
{
    char uids[32], gids[32];
    snprintf(uids, sizeof(uids), "%u %u 1", geteuid(), geteuid());
    snprintf(gids, sizeof(gids), "%u %u 1", getegid(), getegid());
    if (unshare(namespaces) == 0)
        return true;
    return unshare(CLONE_NEWUSER) == 0 && write_file("/proc/self/uid_map", uids) &&
           write_file("/proc/self/setgroups", "deny") && write_file("/proc/self/gid_map", gids) &&
           unshare(namespaces) == 0;
}

typedef int (*child_code)(void);

/* The code's result, in a child of its own. */
static int run(child_code code)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(code());
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static bool read_line(const char *path, char *line, size_t size)
{
    FILE *file = fopen(path, "re");
    bool done = file && fgets(line, (int)size, file);
    if (file)
        fclose(file);
    return done;
}

static int compare_congestion_control(void)
{
    static const char path[] = "/proc/sys/net/ipv4/tcp_congestion_control";
    char outside[64], inside[64];
    if (!read_line(path, outside, sizeof(outside)) || !enter(CLONE_NEWNET) ||
        !read_line(path, inside, sizeof(inside)))
        return 1;
    return strcmp(outside, inside) == 0 ? 0 : 2;
}

/* A node's TCP is that of the host: what is measured in a lab is what would be measured outside. */
static void congestion_control_is_the_hosts(void **state)
{
    (void)state;
    assert_int_equal(run(compare_congestion_control), 0);
}

static int mount_over_hosts(void)
{
    char line[64];
    if (!enter(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) ||
        mount("tmpfs", "/proc", "tmpfs", 0, NULL))
        return 1;
    int fd = open("/proc/hosts", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0 || mount("/proc/hosts", "/etc/hosts", NULL, MS_BIND, NULL) ||
        umount2("/proc", MNT_DETACH))
        return 2;
    if (pwrite(fd, "mine\n", 5, 0) != 5 || !read_line("/etc/hosts", line, sizeof(line)))
        return 3;
    return strcmp(line, "mine\n") == 0 && access("/proc/self", F_OK) == 0 ? 0 : 4;
}

/* A file stays mounted when the file system that it is on is no longer mounted anywhere; writes to
 * it are seen; and nobody outside sees any of it. */
static void a_file_in_memory_takes_the_place_of_another(void **state)
{
    (void)state;
    char before[512] = "", after[512] = "";
    read_line("/etc/hosts", before, sizeof(before));
    assert_int_equal(run(mount_over_hosts), 0);
    read_line("/etc/hosts", after, sizeof(after));
    assert_string_equal(before, after);
}

/* The first process of a pid namespace, which ignores SIGCHLD, and an orphan in it that has ended:
 * the parent, outside, sees both gone by reading the end of the pipe, and by the wait. */
static int be_first_process(void)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGCHLD, &ignore, NULL);
    for (int i = 0; i < 3; i++) {
        pid_t child = fork();
        if (child == 0) {
            if (fork() == 0)
                _exit(0); /* its parent does not wait: an orphan */
            _exit(0);
        }
    }
    while (waitpid(-1, NULL, 0) >= 0 || errno == EINTR)
        ; /* ECHILD only when all are gone */
    return errno == ECHILD && kill(-1, 0) < 0 && errno == ESRCH ? 0 : 1;
}

static int reap_without_waiting(void)
{
    int status;
    if (!enter(CLONE_NEWPID))
        return 2;
    pid_t first = fork();
    if (first == 0)
        _exit(be_first_process());
    return waitpid(first, &status, 0) == first && WIFEXITED(status) ? WEXITSTATUS(status) : 3;
}

static void who_ignores_sigchld_reaps_orphans(void **state)
{
    (void)state;
    assert_int_equal(run(reap_without_waiting), 0);
}

static pid_t clone_first_process(int pipe_end)
{
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (write(pipe_end, "x", 1) == 1)
            for (;;)
                pause();
        _exit(1);
    }
    return pid;
}

/* A first process is immune to all signals of its own namespace; not to this one. */
static void a_first_process_dies_with_its_parent_outside(void **state)
{
    (void)state;
    int ends[2];
    char byte;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t parent = fork();
    if (parent == 0) {
        if (enter(CLONE_NEWPID) && clone_first_process(ends[1]) > 0)
            for (;;)
                pause();
        _exit(1);
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    kill(parent, SIGKILL);
    assert_int_equal(waitpid(parent, NULL, 0), parent);
    assert_int_equal(read(ends[0], &byte, 1), 0); /* nobody has the other end */
    close(ends[0]);
}

/* By a descriptor of one of their processes, several at once (Linux 5.8). */
static int enter_by_pidfd(void)
{
    int ends[2], status;
    char byte;
    if (!enter(CLONE_NEWPID | CLONE_NEWNET) || pipe2(ends, O_CLOEXEC))
        return 1;
    pid_t first = clone_first_process(ends[1]);
    int pidfd = (int)syscall(SYS_pidfd_open, first, 0);
    if (read(ends[0], &byte, 1) != 1 || pidfd < 0 || setns(pidfd, CLONE_NEWPID | CLONE_NEWNET))
        return 2;
    pid_t second = fork();
    if (second == 0)
        _exit(getpid() == 2 ? 0 : 3);
    return waitpid(second, &status, 0) == second && WIFEXITED(status) ? WEXITSTATUS(status) : 4;
}

static void namespaces_are_entered_by_a_process(void **state)
{
    (void)state;
#ifdef __SANITIZE_THREAD__
    skip(); /* its children have two threads, and two can't go into a user namespace */
#endif
    assert_int_equal(run(enter_by_pidfd), 0);
}

/* A process in between that has entered a pid namespace gives its child to its own parent, though
 * that is outside: who is to reap it. */
static int give_child_to_parent(void)
{
    int status, failed = 0, children = 0;
    pid_t middle = fork();
    if (middle == 0) {
        if (!enter(CLONE_NEWPID))
            _exit(2);
        long inner = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, NULL, NULL, NULL, 0);
        if (inner == 0)
            _exit(getpid() == 1 ? 0 : 3);
        _exit(inner < 0 ? 4 : 0);
    }
    while (waitpid(-1, &status, 0) > 0) {
        failed = failed || !WIFEXITED(status) || WEXITSTATUS(status);
        children++;
    }
    return failed || children != 2;
}

static void a_child_in_another_pid_namespace_can_be_ones_own(void **state)
{
    (void)state;
    assert_int_equal(run(give_child_to_parent), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(congestion_control_is_the_hosts),
        cmocka_unit_test(a_file_in_memory_takes_the_place_of_another),
        cmocka_unit_test(who_ignores_sigchld_reaps_orphans),
        cmocka_unit_test(a_first_process_dies_with_its_parent_outside),
        cmocka_unit_test(namespaces_are_entered_by_a_process),
        cmocka_unit_test(a_child_in_another_pid_namespace_can_be_ones_own),
    };
    return cmocka_run_group_tests_name("namespaces", tests, NULL, NULL);
}
