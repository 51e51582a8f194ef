#include "tests/lib/test.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "chaos/lab/proc.h"
#include "chaos/lab/process.h"
#include "proxy/base/monotonic.h"

extern char **environ;

static char directory[] = "/tmp/sever-process-XXXXXX";
static char log_path[64];

static void stat_lines(void **state)
{
    (void)state;
    struct proc_stat stat;
    assert_true(proc_parse_stat("12 (sh) S 3 12 9 0", &stat));
    assert_int_equal(stat.pid, 12);
    assert_int_equal(stat.state, 'S');
    assert_int_equal(stat.parent, 3);
    assert_int_equal(stat.group, 12);
    assert_true(proc_parse_stat("7 (a) b) (c) T 1 5 5", &stat));
    assert_int_equal(stat.state, 'T');
    assert_int_equal(stat.group, 5);
    assert_false(proc_parse_stat("", &stat));
    assert_false(proc_parse_stat("12 sh S 3 12", &stat));
    assert_false(proc_parse_stat("12 (sh) S 3", &stat));
}

/* ---- connections ----------------------------------------------------------------------------- */

struct diag {
    struct nlmsghdr header;
    struct inet_diag_msg message;
};

static struct diag diag_of(uint32_t local, uint16_t local_port, uint32_t remote,
                           uint16_t remote_port)
{
    struct diag diag = {.header = {.nlmsg_len = sizeof(diag), .nlmsg_type = SOCK_DIAG_BY_FAMILY}};
    diag.message.id.idiag_src[0] = htonl(local);
    diag.message.id.idiag_dst[0] = htonl(remote);
    diag.message.id.idiag_sport = htons(local_port);
    diag.message.id.idiag_dport = htons(remote_port);
    return diag;
}

struct seen {
    size_t count, enough;
    struct proc_connection last;
};

static bool see(void *context, const struct proc_connection *connection)
{
    struct seen *seen = context;
    seen->last = *connection;
    return ++seen->count < seen->enough;
}

static void diag_messages(void **state)
{
    (void)state;
    struct diag two[2] = {diag_of(1, 2, 3, 4), diag_of(0x7f010203, 80, 0x7f000001, 8080)};
    struct seen seen = {.enough = 9};
    assert_int_equal(proc_parse_diag(two, sizeof(two), see, &seen), 1);
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.last.local, 0x7f010203);
    assert_int_equal(seen.last.local_port, 80);
    assert_int_equal(seen.last.remote, 0x7f000001);
    assert_int_equal(seen.last.remote_port, 8080);
    seen = (struct seen){.enough = 1};
    assert_int_equal(proc_parse_diag(two, sizeof(two), see, &seen), 0);
    assert_int_equal(seen.count, 1);
    two[1].header.nlmsg_type = NLMSG_DONE;
    assert_int_equal(proc_parse_diag(two, sizeof(two), see, &seen), 0);
    two[0].header.nlmsg_len = sizeof(struct nlmsghdr) + 4; /* too short for what it says it is */
    assert_int_equal(proc_parse_diag(two, sizeof(two), see, &seen), -EBADMSG);
    two[0].header.nlmsg_len = sizeof(two) + 100; /* longer than the datagram */
    assert_int_equal(proc_parse_diag(two, sizeof(two), see, &seen), -EBADMSG);
    two[0] = diag_of(1, 2, 3, 4);
    two[0].header.nlmsg_type = NLMSG_ERROR;
    struct nlmsgerr refusal = {.error = -EPERM};
    memcpy(&two[0].message, &refusal, sizeof(refusal));
    assert_int_equal(proc_parse_diag(two, sizeof(two), see, &seen), -EPERM);
}

static bool is_ours(void *context, const struct proc_connection *connection)
{
    struct seen *seen = context;
    if (connection->local == seen->last.local && connection->remote == seen->last.remote &&
        connection->remote_port == seen->last.remote_port)
        seen->count++;
    return true;
}

static void a_real_connection_is_listed_while_it_lasts(void **state)
{
    (void)state;
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
    socklen_t size = sizeof(name);
    int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&name, sizeof(name)), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&name, &size), 0);
    struct seen seen = {
        .last = {.local = 0x7f000001, .remote = 0x7f000001, .remote_port = ntohs(name.sin_port)}};
    assert_int_equal(proc_each_connection(is_ours, &seen), 0);
    assert_int_equal(seen.count, 0);
    assert_int_equal(connect(client, (struct sockaddr *)&name, sizeof(name)), 0);
    assert_int_equal(proc_each_connection(is_ours, &seen), 0);
    assert_int_equal(seen.count, 1);
    close(client);
    close(listener);
}

static void mapped_addresses_are_seen_as_what_they_mean(void **state)
{
    (void)state;
    struct diag diag = diag_of(0, 2, 0, 4);
    struct seen seen = {.enough = 9};
    diag.message.idiag_family = AF_INET6;
    diag.message.idiag_inode = 77;
    for (size_t end = 0; end < 2; end++) {
        uint32_t *words = end ? diag.message.id.idiag_dst : diag.message.id.idiag_src;
        words[2] = htonl(0xffff);
        words[3] = htonl(0x7f000001 + (uint32_t)end);
    }
    assert_int_equal(proc_parse_diag(&diag, sizeof(diag), see, &seen), 1);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.last.local, 0x7f000001);
    assert_int_equal(seen.last.remote, 0x7f000002);
    assert_int_equal(seen.last.inode, 77);
    memset(diag.message.id.idiag_dst, 0, 16); /* :: */
    assert_int_equal(proc_parse_diag(&diag, sizeof(diag), see, &seen), 1);
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.last.remote, 0);
    diag.message.id.idiag_dst[3] = htonl(1); /* ::1 */
    assert_int_equal(proc_parse_diag(&diag, sizeof(diag), see, &seen), 1);
    assert_int_equal(seen.count, 2);
}

static bool is_inode(void *context, uint32_t inode)
{
    struct seen *seen = context;
    seen->count += inode == seen->last.inode;
    return true;
}

static bool is_listener(void *context, const struct proc_connection *listener)
{
    struct seen *seen = context;
    if (listener->local_port == seen->last.local_port)
        seen->last = *listener;
    return true;
}

static void a_listener_is_found_and_so_is_who_has_it(void **state)
{
    (void)state;
    struct sockaddr_in6 name = {.sin6_family = AF_INET6}; /* ::, which takes IPv4 too */
    socklen_t size = sizeof(name);
    int listener = socket(AF_INET6, SOCK_STREAM, 0);
    if (listener < 0)
        skip(); /* no IPv6 here */
    assert_int_equal(bind(listener, (struct sockaddr *)&name, sizeof(name)), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&name, &size), 0);
    struct seen seen = {.last = {.local = 1, .local_port = ntohs(name.sin6_port)}};
    assert_int_equal(proc_each_listener(is_listener, &seen), 0);
    assert_int_equal(seen.last.local, 0);
    assert_true(seen.last.inode > 0);
    proc_each_socket(getpid(), is_inode, &seen);
    assert_int_equal(seen.count, 1);
    close(listener);
    proc_each_socket(getpid(), is_inode, &seen);
    assert_int_equal(seen.count, 1);
}

static void a_map_is_seen(void **state)
{
    (void)state;
    char path[64];
    snprintf(path, sizeof(path), "%s/page", directory);
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    assert_int_equal(ftruncate(fd, 4096), 0);
    assert_false(proc_maps(getpid(), path));
    void *page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    assert_true(proc_maps(getpid(), path));
    munmap(page, 4096);
    assert_false(proc_maps(getpid(), path));
    assert_false(proc_maps(getpid(), ""));
    close(fd);
    unlink(path);
}

static int start(const char *script, struct process *process, struct error *error)
{
    char *arguments[] = {(char[]){"/bin/sh"}, (char[]){"-c"}, (char *)(uintptr_t)script, NULL};
    struct process_setup setup = {.arguments = arguments,
                                  .environment = environ,
                                  .directory = directory,
                                  .log_path = log_path};
    return process_start(&setup, process, error);
}

static void await_exit(struct process *process)
{
    uint64_t deadline_ns = monotonic_now_ns() + 20 * NS_PER_S;
    while (process_poll(process) && monotonic_now_ns() < deadline_ns)
        monotonic_sleep_until(monotonic_now_ns() + NS_PER_MS);
    assert_false(process->running);
}

static void read_log(char *content, size_t size)
{
    FILE *file = fopen(log_path, "r");
    if (!file)
        fail_msg("%s is missing", log_path);
    size_t n = fread(content, 1, size - 1, file);
    content[n] = '\0';
    fclose(file);
}

static void output_goes_to_the_log(void **state)
{
    (void)state;
    struct process process;
    char content[256], what[64];
    assert_int_equal(start("pwd; echo oops >&2; exit 3", &process, NULL), 0);
    await_exit(&process);
    assert_int_equal(WEXITSTATUS(process.status), 3);
    assert_string_equal(process_describe_status(process.status, what, sizeof(what)),
                        "exit status 3");
    read_log(content, sizeof(content));
    assert_non_null(strstr(content, directory));
    assert_non_null(strstr(content, "oops"));
    process_kill(&process);
}

static void a_failed_exec_is_reported(void **state)
{
    (void)state;
    struct process process = {0};
    struct error error = {0};
    char *arguments[] = {(char[]){"/no/such/program"}, NULL};
    struct process_setup setup = {.arguments = arguments,
                                  .environment = environ,
                                  .directory = directory,
                                  .log_path = log_path};
    assert_int_equal(process_start(&setup, &process, &error), -ENOENT);
    assert_non_null(strstr(error.message, "/no/such/program"));
    setup.log_path = "/no/such/folder/log";
    assert_int_equal(process_start(&setup, &process, &error), -ENOENT);
}

/* Waits until the log has a whole line that begins with `head`; returns the number after it. */
static long await_line(const char *head)
{
    char content[256] = "";
    uint64_t deadline_ns = monotonic_now_ns() + 20 * NS_PER_S;
    const char *line = NULL;
    while (!(line && strchr(line, '\n')) && monotonic_now_ns() < deadline_ns) {
        read_log(content, sizeof(content));
        line = strstr(content, head);
    }
    if (!line)
        fail_msg("the log never said: %s", head);
    return strtol(line + strlen(head), NULL, 10);
}

static pid_t grandchild(void)
{
    return (pid_t)await_line("grandchild ");
}

static bool is_alive(pid_t pid)
{
    return kill(pid, 0) == 0;
}

/* In /proc; it may be anybody's child. */
static char state_of(pid_t pid)
{
    char path[64], text[512];
    struct proc_stat stat;
    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    fclose(file);
    assert_true(proc_parse_stat(text, &stat));
    return stat.state;
}

/* Where a server may go: below its shell, out of its group and session, away from its parent, and
 * all at once. */
static const char *const escapes[] = {
    "sleep 1000 & echo grandchild $!; wait",
    "setsid sleep 1000 & echo grandchild $!; wait",
    "(sleep 1000 & echo grandchild $!); sleep 1000",
    "(setsid sleep 1000 & echo grandchild $!); sleep 1000",
};
enum { ESCAPES = sizeof(escapes) / sizeof(escapes[0]) };

static void a_kill_takes_all_that_was_started(void **state)
{
    (void)state;
    char what[64];
    for (size_t i = 0; i < ESCAPES; i++) {
        struct process process;
        unlink(log_path);
        assert_int_equal(start(escapes[i], &process, NULL), 0);
        pid_t pid = grandchild();
        assert_true(is_alive(pid));
        process_kill(&process);
        assert_false(is_alive(pid));
        assert_string_equal(process_describe_status(process.status, what, sizeof(what)),
                            "killed by signal 9 (Killed)");
    }
}

/* The end of the process is the end of what it left. */
static void an_exit_takes_the_rest_along(void **state)
{
    (void)state;
    struct process process;
    unlink(log_path);
    assert_int_equal(start("setsid sleep 1000 & echo grandchild $!; exit 5", &process, NULL), 0);
    pid_t pid = grandchild();
    await_exit(&process);
    assert_false(is_alive(pid));
    assert_true(WIFEXITED(process.status));
    assert_int_equal(WEXITSTATUS(process.status), 5);
    process_kill(&process);
}

static void pause_and_resume_reach_all_that_was_started(void **state)
{
    (void)state;
    for (size_t i = 0; i < ESCAPES; i++) {
        struct process process;
        size_t count = 0;
        unlink(log_path);
        assert_int_equal(start(escapes[i], &process, NULL), 0);
        pid_t pid = grandchild();
        assert_int_equal(process_pause(&process, 5 * NS_PER_S, &count, NULL), 0);
        assert_int_equal(state_of(pid), 'T');
        assert_non_null(strchr("TD", state_of(process.pid))); /* D: vfork, of a child in T */
        assert_true(count >= 2);
        assert_int_equal(process_resume(&process, 5 * NS_PER_S, NULL), 0);
        assert_int_not_equal(state_of(pid), 'T');
        assert_int_not_equal(state_of(process.pid), 'T');
        assert_int_equal(process_pause(&process, 5 * NS_PER_S, &count, NULL), 0);
        process_kill(&process); /* what is stopped, too */
        assert_false(is_alive(pid));
    }
}

static void what_forks_all_the_time_is_stopped_too(void **state)
{
    (void)state;
    struct process process;
    size_t count = 0;
    assert_int_equal(start("while :; do sleep 0.001; done", &process, NULL), 0);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(process_pause(&process, 5 * NS_PER_S, &count, NULL), 0);
        struct proc_tree tree;
        process_read_tree(&process, &tree);
        assert_true(tree.count > 0);
        for (size_t k = 0; k < tree.count; k++) {
            assert_true(proc_tree_is_stopped(&tree, k));
            assert_int_equal(tree.items[k].top, process.pid);
        }
        proc_tree_free(&tree);
        assert_int_equal(process_resume(&process, 5 * NS_PER_S, NULL), 0);
    }
    process_kill(&process);
    struct proc_tree none;
    process_read_tree(&process, &none); /* 0: nobody, rather than everybody */
    assert_int_equal(none.count, 0);
    proc_tree_free(&none);
    assert_int_equal(process_pause(&process, NS_PER_S, &count, NULL), -ESRCH);
}

static void end_asks_first_and_then_insists(void **state)
{
    (void)state;
    struct process process;
    unlink(log_path);
    assert_int_equal(
        start("trap 'exit 7' TERM; echo set; while :; do sleep 0.01; done", &process, NULL), 0);
    await_line("set");
    process_end(&process, 30 * NS_PER_S);
    assert_true(WIFEXITED(process.status));
    assert_int_equal(WEXITSTATUS(process.status), 7);
    unlink(log_path);
    assert_int_equal(start("trap '' TERM; echo set; while :; do sleep 0.01; done", &process, NULL),
                     0);
    await_line("set");
    process_end(&process, 50 * NS_PER_MS);
    assert_true(WIFSIGNALED(process.status));
}

/* A stand-in for sever that is killed the hard way: the guards must end what it started. */
static void nothing_outlives_a_killed_parent(void **state)
{
    (void)state;
    for (size_t i = 0; i < ESCAPES; i++) {
        unlink(log_path);
        pid_t parent = fork();
        if (parent == 0) {
            struct process process;
            if (process_init(-1, NULL) < 0 || start(escapes[i], &process, NULL) < 0)
                _exit(1);
            for (;;)
                pause();
        }
        int fd;
        while ((fd = open(log_path, O_RDONLY)) < 0 && errno == ENOENT)
            ;
        close(fd);
        pid_t pid = grandchild();
        assert_true(getpgid(pid) != getpgrp());
        kill(parent, SIGKILL);
        waitpid(parent, NULL, 0);
        uint64_t deadline_ns = monotonic_now_ns() + 20 * NS_PER_S;
        while (is_alive(pid) && monotonic_now_ns() < deadline_ns)
            monotonic_sleep_until(monotonic_now_ns() + NS_PER_MS);
        assert_false(is_alive(pid));
        proc_kill_children(30 * NS_PER_S); /* its guard, which is our child now */
    }
}

static void programs_are_found(void **state)
{
    (void)state;
    struct error error = {0};
    char *path = process_find_program("sh", &error);
    assert_non_null(path);
    assert_true(path[0] == '/');
    free(path);
    path = process_find_program("/bin/sh", &error);
    assert_string_equal(path + strlen(path) - 3, "/sh");
    free(path);
    assert_null(process_find_program("no-such-program-here", &error));
    assert_non_null(strstr(error.message, "no-such-program-here"));
    assert_null(process_find_program("./no-such-program-here", &error));
}

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(directory))
        return -1;
    snprintf(log_path, sizeof(log_path), "%s/log", directory);
    return process_init(-1, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    unlink(log_path);
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stat_lines),
        cmocka_unit_test(diag_messages),
        cmocka_unit_test(a_real_connection_is_listed_while_it_lasts),
        cmocka_unit_test(mapped_addresses_are_seen_as_what_they_mean),
        cmocka_unit_test(a_listener_is_found_and_so_is_who_has_it),
        cmocka_unit_test(a_map_is_seen),
        cmocka_unit_test(output_goes_to_the_log),
        cmocka_unit_test(a_failed_exec_is_reported),
        cmocka_unit_test(a_kill_takes_all_that_was_started),
        cmocka_unit_test(an_exit_takes_the_rest_along),
        cmocka_unit_test(pause_and_resume_reach_all_that_was_started),
        cmocka_unit_test(what_forks_all_the_time_is_stopped_too),
        cmocka_unit_test(end_asks_first_and_then_insists),
        cmocka_unit_test(nothing_outlives_a_killed_parent),
        cmocka_unit_test(programs_are_found),
    };
    return cmocka_run_group_tests_name("process", tests, set_up, tear_down);
}
