/* A lab of this process's own, which is its severd, and ways to run code in a node. The test's
 * program is its keeper, too: main must begin with lab_keeper_main.
 *
 * Each test runs as whoever runs the program, and when that is root as an ordinary user, too. */
#ifndef SEVER_TESTS_LAB_RIG_H
#define SEVER_TESTS_LAB_RIG_H

#include "tests/lib/test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proxy/base/monotonic.h"
#include "proxy/lab/lab.h"
#include "proxy/wire/lab_entry.h"

#define RIG_PATIENCE_NS (20 * NS_PER_S)
enum { RIG_USER = 65534 };

#define rig_await(condition)                                                                       \
    do {                                                                                           \
        uint64_t rig_deadline = monotonic_now_ns() + RIG_PATIENCE_NS;                              \
        while (!(condition)) {                                                                     \
            if (monotonic_now_ns() > rig_deadline)                                                 \
                fail_msg("waited in vain for: %s", #condition);                                    \
            monotonic_sleep_until(monotonic_now_ns() + NS_PER_MS);                                 \
        }                                                                                          \
    } while (0)

/* Root becomes an ordinary user who can go back; the programs that it executes can't. */
static inline int rig_become_user(void **state)
{
    (void)state;
    if (geteuid() == 0) {
        assert_int_equal(setresgid(RIG_USER, RIG_USER, 0), 0);
        assert_int_equal(setresuid(RIG_USER, RIG_USER, 0), 0);
    }
    return 0;
}

static inline int rig_become_root(void **state)
{
    (void)state;
    uid_t real, effective, saved;
    assert_int_equal(getresuid(&real, &effective, &saved), 0);
    if (saved == 0) {
        assert_int_equal(setresuid(0, 0, 0), 0);
        assert_int_equal(setresgid(0, 0, 0), 0);
    }
    return 0;
}

/* The thread sanitizer gives each child a thread of its own, and a process with two can't go into a
 * user namespace. */
#ifdef __SANITIZE_THREAD__
#define rig_test_both(test) cmocka_unit_test(test)
#else
#define rig_test_both(test)                                                                        \
    cmocka_unit_test(test),                                                                        \
    {                                                                                              \
#test "_as_user", test, rig_become_user, rig_become_root, NULL                             \
    }
#endif

static inline struct lab_options rig_options(void)
{
    return (struct lab_options){
        .subnet = "10.77.0.0/24", .subnet6 = "fd77::/64", .mtu = 1500, .ring_bytes = 2 << 20};
}

static inline struct lab *rig_lab(void)
{
    struct lab_options options = rig_options();
    struct error error = {0};
    struct lab *lab = NULL;
    if (lab_create(&options, &lab, &error))
        fail_msg("%s: %s", error.place, error.message);
    return lab;
}

static inline void rig_add(struct lab *lab, const char *name, struct lab_node *node)
{
    struct error error = {0};
    if (lab_add_node(lab, name, node, &error))
        fail_msg("%s: %s: %s", name, error.place, error.message);
}

static inline void rig_close(struct lab_node *node)
{
    for (int i = 0; i < PACKET_RINGS; i++)
        close(node->sockets[i]);
    close(node->diagnosis);
}

/* In many containers it is, and what needs settings can't be shown. */
static inline bool rig_settings_are_read_only(void)
{
    struct statvfs status;
    return statvfs("/proc/sys", &status) == 0 && (status.f_flag & ST_RDONLY);
}

/* Code that runs in a node; what it prints is what it tells. */
typedef void (*rig_code)(const void *argument);

static inline void rig_fail_inside(const char *what, const struct error *error)
{
    printf("%s: %s\n", what, error->message);
    fflush(stdout);
    _exit(EXIT_FAILURE);
}

/* In a child: into the node, and there, in a child again, the code. */
static inline void rig_enter_and_run(pid_t pid, rig_code code, const void *argument)
{
    struct error error = {0};
    int status = 0;
    if (geteuid() != 0 &&
        (setresgid(getegid(), getegid(), getegid()) || setresuid(geteuid(), geteuid(), geteuid())))
        _exit(EXIT_FAILURE);
    prctl(PR_SET_DUMPABLE, 1UL); /* as a program of the user's is from the start */
    if (lab_entry_join(pid, &error) || lab_entry_enter(pid, &error))
        rig_fail_inside("enter", &error);
    pid_t child = fork();
    if (child == 0) {
        if (lab_entry_limit())
            rig_fail_inside("limit", &error);
        code(argument);
        fflush(stdout);
        _exit(EXIT_SUCCESS);
    }
    waitpid(child, &status, 0);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

/* The exit status of the code, and all that it has written until everybody has closed its output.
 * output: NUL-terminated. */
static inline int rig_run(const struct lab_node *node, rig_code code, const void *argument,
                          char *output, size_t size)
{
    int pipe_fds[2], status;
    size_t length = 0;
    ssize_t got;
    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(pipe_fds[1], STDOUT_FILENO);
        close(pipe_fds[1]);
        rig_enter_and_run(node->pid, code, argument);
    }
    close(pipe_fds[1]);
    while ((got = read(pipe_fds[0], output + length, size - 1 - length)) > 0)
        length += (size_t)got;
    output[length] = '\0';
    close(pipe_fds[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static inline void rig_code_shell(const void *argument)
{
    union { /* execl takes them as they are */
        const void *given;
        const char *text;
    } command = {argument};
    execl("/bin/sh", "sh", "-c", command.text, (char *)NULL);
}

/* A shell's command in the node must succeed; returns its output. */
static inline const char *rig_shell(const struct lab_node *node, const char *command)
{
    static char output[8192];
    int status = rig_run(node, rig_code_shell, command, output, sizeof(output));
    if (status)
        fail_msg("%s: status %d: %s", command, status, output);
    return output;
}

#endif
