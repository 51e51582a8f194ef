/* Entering a node, of which there is only the first process here: one in namespaces of its own. As
 * whoever runs the test, and when that is root as an ordinary user, too. What is entered is entered
 * in children, which tell by their exit what failed. */
#include "tests/lib/test.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/capability.h>

#include "proxy/wire/lab_entry.h"

enum { USER = 65534 };

static inline int become_user(void **state)
{
    (void)state;
    if (geteuid() == 0 && (setresgid(USER, USER, 0) || setresuid(USER, USER, 0)))
        return -1;
    return prctl(PR_SET_DUMPABLE, 1UL);
}

static inline int become_root(void **state)
{
    (void)state;
    uid_t real, effective, saved;
    if (getresuid(&real, &effective, &saved) || saved != 0)
        return 0;
    return setresuid(0, 0, 0) || setresgid(0, 0, 0) ? -1 : 0;
}

/* The thread sanitizer gives each child a thread of its own, and a process with two can't go into a
 * user namespace. */
#ifdef __SANITIZE_THREAD__
#define test_both(test) cmocka_unit_test(test)
#else
#define test_both(test)                                                                            \
    cmocka_unit_test(test),                                                                        \
    {                                                                                              \
#test "_as_user", test, become_user, become_root, NULL                                     \
    }
#endif

/* Children that are executed later, as it were: no way back to root. */
static void give_up_root(void)
{
    if (geteuid() != 0 &&
        (setresgid(getegid(), getegid(), getegid()) || setresuid(geteuid(), geteuid(), geteuid())))
        _exit(99);
    prctl(PR_SET_DUMPABLE, 1UL);
}

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        _exit(98);
    close(fd);
}

static void make_user_namespace(void)
{
    char uids[32], gids[32];
    snprintf(uids, sizeof(uids), "%u %u 1", geteuid(), geteuid());
    snprintf(gids, sizeof(gids), "%u %u 1", getegid(), getegid());
    if (unshare(CLONE_NEWUSER))
        _exit(97);
    write_file("/proc/self/uid_map", uids);
    write_file("/proc/self/setgroups", "deny");
    write_file("/proc/self/gid_map", gids);
}

struct node {
    pid_t keeper; /* 0: none; the parent of pid */
    pid_t pid;
};

static void be_holder(int ready)
{
    pid_t self = getpid();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (sethostname("node", 4) || write(ready, &self, 1) != 1)
        _exit(96);
    for (;;)
        pause();
}

/* A keeper and a holder, as in a lab. */
static struct node start_node(void)
{
    struct node node = {0};
    int ready[2], told[2];
    char byte;
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    assert_int_equal(pipe2(told, O_CLOEXEC), 0);
    node.keeper = fork();
    if (node.keeper == 0) {
        give_up_root();
        if (geteuid() != 0)
            make_user_namespace();
        if (unshare(CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC))
            _exit(95);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        pid_t pid = fork();
        if (pid == 0)
            be_holder(ready[1]);
        if (write(told[1], &pid, sizeof(pid)) == sizeof(pid))
            waitpid(pid, NULL, 0);
        _exit(0);
    }
    close(ready[1]);
    close(told[1]);
    assert_int_equal(read(told[0], &node.pid, sizeof(node.pid)), sizeof(node.pid));
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(told[0]);
    return node;
}

static void end_node(const struct node *node)
{
    kill(node->keeper, SIGKILL);
    assert_int_equal(waitpid(node->keeper, NULL, 0), node->keeper);
}

typedef int (*child_code)(pid_t node);

/* The code's result, in a child that gives up root for good. */
static int run(child_code code, pid_t node)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        give_up_root();
        _exit(code(node));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static bool is_in(pid_t node, const char *kind)
{
    char path[64];
    struct stat own, other;
    snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)node, kind);
    if (stat(path, &other))
        _exit(94);
    snprintf(path, sizeof(path), "/proc/thread-self/ns/%s", kind);
    if (stat(path, &own))
        _exit(93);
    return own.st_ino == other.st_ino;
}

static int join_twice(pid_t node)
{
    struct error error = {0};
    if (lab_entry_join(node, &error) || !is_in(node, "user"))
        return 1;
    if (lab_entry_join(node, &error))
        return 2;
    return is_in(node, "net") || is_in(node, "mnt") ? 3 : 0;
}

static void joining_is_the_user_namespace_alone(void **state)
{
    (void)state;
    struct node node = start_node();
    assert_int_equal(run(join_twice, node.pid), 0);
    end_node(&node);
}

static int use_network(pid_t node)
{
    struct error error = {0};
    if (lab_entry_join(node, &error) || lab_entry_use_network(node, &error))
        return 1;
    return is_in(node, "net") && !is_in(node, "mnt") ? 0 : 2;
}

static void a_thread_uses_the_nodes_network(void **state)
{
    (void)state;
    struct node node = start_node();
    assert_int_equal(run(use_network, node.pid), 0);
    end_node(&node);
}

static void *use_network_in_thread(void *context)
{
    static int failed = 1, fine = 0;
    return use_network(*(pid_t *)context) ? &failed : &fine;
}

/* One thread went; the process stays. */
static int thread_alone(pid_t node)
{
    struct error error = {0};
    pthread_t thread;
    void *result;
    if (lab_entry_join(node, &error) ||
        pthread_create(&thread, NULL, use_network_in_thread, &node) ||
        pthread_join(thread, &result) || *(int *)result)
        return 1;
    return is_in(node, "net") ? 2 : 0;
}

static void other_threads_stay_where_they_are(void **state)
{
    (void)state;
    struct node node = start_node();
    assert_int_equal(run(thread_alone, node.pid), 0);
    end_node(&node);
}

/* Result of the code in a child of this process. */
static int run_inside(int (*code)(void))
{
    int status;
    pid_t child = fork();
    if (child == 0)
        _exit(code());
    return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : 92;
}

static int look_around(void)
{
    char name[65], directory[PATH_MAX];
    if (gethostname(name, sizeof(name)) || strcmp(name, "node") != 0)
        return 10;
    if (!getcwd(directory, sizeof(directory)) || strcmp(directory, "/usr") != 0)
        return 11;
    return getpid() < 10 ? 0 : 12; /* one of the node's few (a sanitizer may have a thread) */
}

static int enter_whole(pid_t node)
{
    struct error error = {0};
    if (chdir("/usr") || lab_entry_join(node, &error) || lab_entry_enter(node, &error))
        return 1;
    return run_inside(look_around);
}

static void what_enters_forks_into_the_node(void **state)
{
    (void)state;
    struct node node = start_node();
    assert_int_equal(run(enter_whole, node.pid), 0);
    end_node(&node);
}

/* Of this process: bit n is capability n. */
static unsigned long long read_set(const char *name)
{
    char line[256];
    unsigned long long set = ~0ULL;
    FILE *file = fopen("/proc/self/status", "re");
    while (file && fgets(line, sizeof(line), file))
        if (strncmp(line, name, strlen(name)) == 0)
            set = strtoull(line + strlen(name) + 1, NULL, 16);
    if (file)
        fclose(file);
    return set;
}

#define BIT(capability) (1ULL << (capability))

static int limited(void)
{
    unsigned long long user = BIT(CAP_NET_ADMIN) | BIT(CAP_NET_RAW) | BIT(CAP_NET_BIND_SERVICE);
    bool root = geteuid() == 0;
    if (lab_entry_limit())
        return 20;
    if (read_set("CapEff") & BIT(CAP_SYS_TIME) || read_set("CapBnd") & BIT(CAP_SYS_TIME))
        return 21;
    if (root)
        return read_set("CapEff") & BIT(CAP_SYS_ADMIN) ? 0 : 22;
    if (read_set("CapEff") != user || read_set("CapBnd") != user || read_set("CapAmb") != user)
        return 23;
    return lab_entry_limit() ? 24 : 0; /* again: nothing changes */
}

static int enter_limited(pid_t node)
{
    struct error error = {0};
    if (lab_entry_join(node, &error) || lab_entry_enter(node, &error))
        return 1;
    return run_inside(limited);
}

static void few_capabilities_are_left(void **state)
{
    (void)state;
    struct node node = start_node();
    assert_int_equal(run(enter_limited, node.pid), 0);
    end_node(&node);
}

/* Of a node that is gone. */
static int enter_gone(pid_t node)
{
    struct error error = {0};
    if (lab_entry_join(node, &error) != -ESRCH || !error.message[0])
        return 1;
    if (lab_entry_use_network(node, &error) != -ESRCH)
        return 2;
    return lab_entry_enter(node, &error) == -ESRCH ? 0 : 3;
}

static void a_node_that_is_gone_is_told(void **state)
{
    (void)state;
    struct node node = start_node();
    end_node(&node);
    while (kill(node.pid, 0) == 0 || errno != ESRCH) /* PR_SET_PDEATHSIG, and someone reaps it */
        waitpid(node.pid, NULL, 0);
    assert_int_equal(run(enter_gone, node.pid), 0);
}

static int enter_foreign(pid_t node)
{
    struct error error = {0};
    if (setresgid(USER, USER, USER) || setresuid(USER, USER, USER))
        return 1;
    int join = lab_entry_join(node, &error), enter = lab_entry_enter(node, &error);
    return (join == -EACCES || join == -EPERM) && enter == -EPERM && error.message[0] ? 0 : 2;
}

static void another_users_node_is_closed(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    struct node node = start_node();
    assert_int_equal(run(enter_foreign, node.pid), 0);
    end_node(&node);
}

static void *pause_thread(void *context)
{
    for (;;)
        pause();
    return context;
}

static int join_with_threads(pid_t node)
{
    struct error error = {0};
    pthread_t thread;
    if (pthread_create(&thread, NULL, pause_thread, NULL))
        return 1;
    int result = lab_entry_join(node, &error);
    if (geteuid() == 0)
        return result; /* nothing to join */
    return result == -EINVAL && strstr(error.message, "threads") ? 0 : 2;
}

static void a_process_with_threads_cannot_join(void **state)
{
    (void)state;
    struct node node = start_node();
    assert_int_equal(run(join_with_threads, node.pid), 0);
    end_node(&node);
}

int main(void)
{
    prctl(PR_SET_CHILD_SUBREAPER, 1UL);
    const struct CMUnitTest tests[] = {
        test_both(joining_is_the_user_namespace_alone),
        test_both(a_thread_uses_the_nodes_network),
        test_both(other_threads_stay_where_they_are),
        test_both(what_enters_forks_into_the_node),
        test_both(few_capabilities_are_left),
        test_both(a_node_that_is_gone_is_told),
        cmocka_unit_test(another_users_node_is_closed),
        test_both(a_process_with_threads_cannot_join),
    };
    return cmocka_run_group_tests_name("lab_entry", tests, NULL, NULL);
}
