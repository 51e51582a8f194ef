/* Labs end, and nodes do, whoever ends first and however. Which processes must be gone afterwards
 * is seen by the namespaces that they are in, while they are there. (Other labs may be there.) */
#include "tests/unit/proxy/lab/rig.h"

#include <dirent.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "proxy/base/text.h"

static const char *const kinds[] = {"net", "pid", "mnt", "uts", "ipc", "user"};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]), SPACES_MAX = 64 };

/* Namespaces that are not this process's own. */
struct spaces {
    ino_t numbers[SPACES_MAX];
    size_t count;
};

static ino_t namespace_of(const char *pid, const char *kind)
{
    char path[64];
    struct stat status;
    snprintf(path, sizeof(path), "/proc/%s/ns/%s", pid, kind);
    return stat(path, &status) ? 0 : status.st_ino;
}

static void note_namespaces(struct spaces *spaces, pid_t pid)
{
    char text[16];
    snprintf(text, sizeof(text), "%d", (int)pid);
    for (size_t i = 0; i < KINDS; i++) {
        ino_t number = namespace_of(text, kinds[i]);
        assert_int_not_equal(number, 0);
        if (number != namespace_of("self", kinds[i])) {
            assert_true(spaces->count < SPACES_MAX);
            spaces->numbers[spaces->count++] = number;
        }
    }
}

static bool is_in(const struct spaces *spaces, const char *pid)
{
    for (size_t i = 0; i < KINDS; i++) {
        ino_t number = namespace_of(pid, kinds[i]);
        for (size_t s = 0; s < spaces->count; s++)
            if (number == spaces->numbers[s])
                return true;
    }
    return false;
}

/* Processes that are there at one time. Numbers of namespaces are given to others as soon as they
 * are free, pids later; so a process is known by its pid and when it began. */
struct crowd {
    struct {
        pid_t pid;
        unsigned long long began; /* ticks since the machine's start */
    } members[SPACES_MAX];
    size_t count;
};

/* 0 when there is none. */
static unsigned long long began(pid_t pid)
{
    char path[64], line[1024];
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    const char *at = fgets(line, sizeof(line), file) ? strrchr(line, ')') : NULL;
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    fclose(file);
    return at ? strtoull(at, NULL, 10) : 0;
}

/* All processes of the machine that are in one of these namespaces, and how many. A moment after
 * they were started there may be another one: who became a daemon, and has not quite ended. */
static size_t find_inside(const struct spaces *spaces, struct crowd *crowd)
{
    DIR *directory = opendir("/proc");
    const struct dirent *entry;
    assert_non_null(directory);
    crowd->count = 0;
    while ((entry = readdir(directory))) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        if (pid <= 0 || !is_in(spaces, entry->d_name))
            continue;
        assert_true(crowd->count < SPACES_MAX);
        crowd->members[crowd->count].began = began(pid);
        crowd->members[crowd->count++].pid = pid;
    }
    closedir(directory);
    return crowd->count;
}

/* How many of them there still are. What has ended and was left to this process is reaped before.
 */
static size_t count_left(const struct crowd *crowd)
{
    size_t count = 0;
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
    for (size_t i = 0; i < crowd->count; i++)
        count += began(crowd->members[i].pid) == crowd->members[i].began;
    return count;
}

/* What the host's network namespace and mount namespace show. */
static void read_host(struct text *text)
{
    static const char *const paths[] = {"/proc/self/mounts", "/etc/hosts"};
    char line[512], *colon;
    for (size_t i = 0; i < 2; i++) {
        FILE *file = fopen(paths[i], "re");
        while (file && fgets(line, sizeof(line), file))
            text_append(text, "%s", line);
        if (file)
            fclose(file);
    }
    FILE *file = fopen("/proc/net/dev", "re");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file))
        if ((colon = strchr(line, ':'))) {
            *colon = '\0';
            text_append(text, "device %s\n", line);
        }
    fclose(file);
}

/* A daemon: double fork, session of its own, no terminal. */
static void become_daemon(const void *argument)
{
    (void)argument;
    if (fork() > 0)
        return;
    setsid();
    if (fork() > 0)
        return;
    printf("%s", "up");
    fflush(stdout);
    close(STDOUT_FILENO);
    for (;;)
        pause();
}

/* Pids of a lab with two nodes and the gateway's, as another process's lab. */
struct cast {
    pid_t severd, keeper, holders[2];
    struct spaces spaces;
};

static void start_cast(struct lab *lab, struct cast *cast)
{
    struct address any, bound;
    struct lab_node nodes[2], gateway;
    struct error error = {0};
    char seen[16];
    rig_add(lab, "n1", &nodes[0]);
    rig_add(lab, "n2", &nodes[1]);
    rig_add(lab, LAB_GATEWAY, &gateway);
    assert_int_equal(address_parse("127.0.0.1:0", &any, NULL), 0);
    if (lab_add_port(lab, &any, "n1", 80, &bound, &error))
        fail_msg("%s", error.message);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(rig_run(&nodes[i], become_daemon, NULL, seen, sizeof(seen)), 0);
        assert_string_equal(seen, "up");
        cast->holders[i] = nodes[i].pid;
        note_namespaces(&cast->spaces, nodes[i].pid);
        rig_close(&nodes[i]);
    }
    note_namespaces(&cast->spaces, gateway.pid);
    rig_close(&gateway);
    cast->keeper = lab_keeper(lab);
    note_namespaces(&cast->spaces, cast->keeper);
}

/* The process that stands for severd goes on until it is killed. */
static void start_severd(struct cast *cast)
{
    struct cast *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int ready[2];
    char byte;
    assert_ptr_not_equal(shared, MAP_FAILED);
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    pid_t severd = fork();
    if (severd == 0) {
        start_cast(rig_lab(), shared);
        if (write(ready[1], "x", 1) == 1)
            for (;;)
                pause();
        _exit(EXIT_FAILURE);
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    *cast = *shared;
    cast->severd = severd;
    munmap(shared, sizeof(*shared));
}

enum { SEVERD, KEEPER, HOLDER };

/* Not who has ended already: its pid may be another's. */
static void kill_actor(const struct cast *cast, const struct crowd *crowd, int actor)
{
    const pid_t pids[] = {cast->severd, cast->keeper, cast->holders[0]};
    bool there = actor == SEVERD;
    for (size_t i = 0; i < crowd->count; i++)
        there = there || (crowd->members[i].pid == pids[actor] &&
                          began(pids[actor]) == crowd->members[i].began);
    if (there)
        kill(pids[actor], SIGKILL);
}

/* In each order; at once, or with time between for the others to see it. */
static void kill_in_order(const int order[3], bool at_once)
{
    static const size_t left[] = {[SEVERD] = 0,
                                  [KEEPER] = 1,  /* itself, for severd to reap */
                                  [HOLDER] = 5}; /* it and its daemon are gone */
    struct cast cast;
    struct crowd crowd;
    start_severd(&cast);
    /* severd is not inside; keeper, three holders, gateway, two daemons are */
    rig_await(find_inside(&cast.spaces, &crowd) == 7);
    for (int i = 0; i < 3; i++) {
        kill_actor(&cast, &crowd, order[i]);
        if (!at_once)
            rig_await(count_left(&crowd) <= left[order[i]]);
    }
    rig_await(count_left(&crowd) == 0);
}

static void nothing_is_left_whoever_is_killed(void **state)
{
    (void)state;
    static const int orders[][3] = {{SEVERD, KEEPER, HOLDER}, {SEVERD, HOLDER, KEEPER},
                                    {KEEPER, SEVERD, HOLDER}, {KEEPER, HOLDER, SEVERD},
                                    {HOLDER, SEVERD, KEEPER}, {HOLDER, KEEPER, SEVERD}};
    struct text before = {0}, after = {0};
    read_host(&before);
    for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
        kill_in_order(orders[i], true);
        kill_in_order(orders[i], false);
    }
    read_host(&after);
    assert_string_equal(text_get(&before), text_get(&after));
    text_free(&before);
    text_free(&after);
}

/* What severd does when it ends as it should; the host sees nothing of a lab meanwhile either. */
static void nothing_is_left_of_a_lab_that_ends(void **state)
{
    (void)state;
    struct text before = {0}, during = {0};
    struct cast cast = {0};
    struct crowd crowd;
    read_host(&before);
    struct lab *lab = rig_lab();
    start_cast(lab, &cast);
    read_host(&during);
    rig_await(find_inside(&cast.spaces, &crowd) == 7);
    uint64_t begin_ns = monotonic_now_ns();
    lab_destroy(lab);
    assert_true(monotonic_now_ns() - begin_ns < 4 * NS_PER_S); /* not because it gave up waiting */
    rig_await(count_left(&crowd) == 0); /* who has ended is in /proc a moment longer */
    assert_string_equal(text_get(&before), text_get(&during));
    text_free(&before);
    text_free(&during);
}

/* The terminal's keys are for severd. */
static void signals_of_the_terminal_end_no_lab(void **state)
{
    (void)state;
    struct lab *lab = rig_lab();
    struct lab_node node;
    rig_add(lab, "n1", &node);
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP};
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        kill(lab_keeper(lab), signals[i]);
        kill(node.pid, signals[i]);
    }
    assert_int_not_equal(getsid(lab_keeper(lab)), getsid(0));
    assert_string_equal(rig_shell(&node, "echo alive"), "alive\n");
    rig_close(&node);
    rig_add(lab, "n2", &node);
    assert_null(lab_check(lab));
    rig_close(&node);
    lab_destroy(lab);
}

static void await_readable(int fd)
{
    struct pollfd polled = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&polled, 1, 10000), 1);
}

static void a_node_that_is_removed_takes_its_processes_along(void **state)
{
    (void)state;
    struct lab *lab = rig_lab();
    struct lab_node n1, n2;
    struct spaces spaces = {0};
    struct crowd crowd;
    char seen[16];
    rig_add(lab, "n1", &n1);
    rig_add(lab, "n2", &n2);
    assert_int_equal(rig_run(&n1, become_daemon, NULL, seen, sizeof(seen)), 0);
    note_namespaces(&spaces, n1.pid);
    if (geteuid() != 0)
        spaces.count--; /* the user namespace, which the whole lab shares */
    rig_await(find_inside(&spaces, &crowd) == 2);
    assert_int_equal(lab_remove_node(lab, "n1", NULL), 0);
    rig_await(count_left(&crowd) == 0);
    assert_string_equal(rig_shell(&n2, "echo alive"), "alive\n");
    assert_null(lab_check(lab));
    rig_close(&n1);
    rig_close(&n2);
    lab_destroy(lab);
}

/* Told once; its name is free again. */
static void a_node_that_dies_is_told(void **state)
{
    (void)state;
    struct lab *lab = rig_lab();
    struct lab_node n1, n2;
    rig_add(lab, "n1", &n1);
    rig_add(lab, "n2", &n2);
    assert_null(lab_check(lab));
    kill(n1.pid, SIGKILL);
    await_readable(lab_poll_fd(lab));
    assert_string_equal(lab_check(lab), "n1");
    assert_null(lab_check(lab));
    rig_close(&n1);
    rig_add(lab, "n1", &n1);
    assert_int_equal(n1.number, 1);
    assert_null(lab_check(lab));
    rig_close(&n1);
    rig_close(&n2);
    lab_destroy(lab);
}

/* Removed before anybody looked: it is not told, and its successor is not taken for it. */
static void a_node_that_dies_can_be_removed(void **state)
{
    (void)state;
    struct lab *lab = rig_lab();
    struct lab_node n1, again;
    rig_add(lab, "n1", &n1);
    kill(n1.pid, SIGKILL);
    await_readable(lab_poll_fd(lab));
    assert_int_equal(lab_remove_node(lab, "n1", NULL), 0);
    rig_add(lab, "n1", &again);
    assert_null(lab_check(lab));
    assert_string_equal(rig_shell(&again, "echo alive"), "alive\n");
    rig_close(&n1);
    rig_close(&again);
    lab_destroy(lab);
}

static void a_keeper_that_dies_is_told(void **state)
{
    (void)state;
    struct lab *lab = rig_lab();
    struct lab_node n1, n2;
    struct error error = {0};
    rig_add(lab, "n1", &n1);
    kill(lab_keeper(lab), SIGKILL);
    await_readable(lab_poll_fd(lab));
    assert_string_equal(lab_check(lab), "");
    assert_null(lab_check(lab));
    assert_int_equal(lab_add_node(lab, "n2", &n2, &error), -EIO);
    assert_non_null(strstr(error.message, "the lab is gone"));
    rig_close(&n1);
    lab_destroy(lab);
}

/* Of the same addresses. */
static void labs_do_not_know_of_each_other(void **state)
{
    (void)state;
    struct lab *first = rig_lab(), *second = rig_lab();
    struct lab_node a, b;
    rig_add(first, "n1", &a);
    rig_add(second, "n1", &b);
    assert_memory_equal(a.addresses, b.addresses, sizeof(a.addresses));
    assert_memory_equal(a.mac, b.mac, 6);
    lab_destroy(first);
    assert_string_equal(rig_shell(&b, "echo alive"), "alive\n");
    rig_close(&a);
    rig_close(&b);
    lab_destroy(second);
}

static int write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    close(fd);
    return done ? 0 : -1;
}

/* In a user namespace that may have no network namespaces: as on systems that allow none. */
static void a_kernel_that_refuses_is_told_with_advice(void **state)
{
    (void)state;
#ifdef __SANITIZE_THREAD__
    skip(); /* see rig_test_both */
#endif
    if (rig_settings_are_read_only())
        skip();
    int pipe_fds[2];
    char seen[1024];
    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    pid_t child = fork();
    if (child == 0) {
        struct lab_options options = rig_options();
        struct error error = {0};
        struct lab *lab;
        char map[32];
        snprintf(map, sizeof(map), "%u %u 1", geteuid(), geteuid()); /* the group's number, too */
        prctl(PR_SET_DUMPABLE, 1UL);
        if (unshare(CLONE_NEWUSER) || write_file("/proc/self/uid_map", map) ||
            write_file("/proc/self/setgroups", "deny") || write_file("/proc/self/gid_map", map) ||
            write_file("/proc/sys/user/max_net_namespaces", "0"))
            _exit(EXIT_FAILURE);
        int result = lab_create(&options, &lab, &error);
        dprintf(pipe_fds[1], "%d %s", result, error.message);
        _exit(EXIT_SUCCESS);
    }
    close(pipe_fds[1]);
    ssize_t got = read(pipe_fds[0], seen, sizeof(seen) - 1);
    assert_true(got > 0);
    seen[got] = '\0';
    close(pipe_fds[0]);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(strtol(seen, NULL, 10), -ENOSPC);
    if (!strstr(seen, "max_net_namespaces"))
        fail_msg("no advice: %s", seen);
}

static void sixty_four_nodes(void **state)
{
    (void)state;
    enum { COUNT = 64 };
    static struct lab_node nodes[COUNT];
    char name[16];
    uint64_t begin_ns = monotonic_now_ns();
    struct lab *lab = rig_lab();
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof(name), "n%d", i + 1);
        rig_add(lab, name, &nodes[i]);
    }
    uint64_t there_ns = monotonic_now_ns();
    assert_string_equal(rig_shell(&nodes[0], "grep -c n /etc/hosts"), "128\n");
    assert_string_equal(rig_shell(&nodes[COUNT - 1], "hostname"), "n64\n");
    for (int i = 0; i < COUNT; i++)
        rig_close(&nodes[i]);
    uint64_t end_ns = monotonic_now_ns();
    lab_destroy(lab);
    print_message("64 nodes: up in %.0f ms, down in %.0f ms\n", (double)(there_ns - begin_ns) / 1e6,
                  (double)(monotonic_now_ns() - end_ns) / 1e6);
}

int main(int argc, char **argv)
{
    lab_keeper_main(argc, argv);
    prctl(PR_SET_CHILD_SUBREAPER, 1UL); /* or an init would have to reap, when it likes */
    const struct CMUnitTest tests[] = {
        rig_test_both(nothing_is_left_of_a_lab_that_ends),
        rig_test_both(nothing_is_left_whoever_is_killed),
        rig_test_both(signals_of_the_terminal_end_no_lab),
        rig_test_both(a_node_that_is_removed_takes_its_processes_along),
        rig_test_both(a_node_that_dies_is_told),
        rig_test_both(a_node_that_dies_can_be_removed),
        rig_test_both(a_keeper_that_dies_is_told),
        rig_test_both(labs_do_not_know_of_each_other),
        rig_test_both(a_kernel_that_refuses_is_told_with_advice),
        rig_test_both(sixty_four_nodes),
    };
    return cmocka_run_group_tests_name("ends", tests, NULL, NULL);
}
