/* A severd process of the build under test, on a unix socket in a directory of its own. */
#ifndef SEVER_TESTS_INTEGRATION_SEVERD_H
#define SEVER_TESTS_INTEGRATION_SEVERD_H

#include "tests/lib/test.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proxy/base/monotonic.h"
#include "proxy/wire/client.h"
#include "tests/lib/files.h"

struct severd {
    pid_t pid;
    int log_fd;     /* its standard error */
    char log[8192]; /* what severd_await_log has read last */
    char directory[64], url[96], run_directory[96];
    struct wire_client *client;
};

/* Reads its log until a line has `wanted`. */
static inline void severd_await_log(struct severd *severd, const char *wanted)
{
    char *log = severd->log;
    size_t used = 0;
    uint64_t deadline_ns = monotonic_now_ns() + 30 * NS_PER_S;
    log[0] = '\0';
    while (!strstr(log, wanted)) {
        struct pollfd wait = {.fd = severd->log_fd, .events = POLLIN};
        if (monotonic_now_ns() > deadline_ns || used + 1 >= sizeof(severd->log))
            fail_msg("severd did not say '%s' but: %s", wanted, log);
        if (poll(&wait, 1, 100) <= 0)
            continue;
        ssize_t got = read(severd->log_fd, log + used, sizeof(severd->log) - 1 - used);
        if (got <= 0)
            fail_msg("severd ended: %s", log);
        used += (size_t)got;
        log[used] = '\0';
    }
}

/* Starts it and does not wait. extra: further arguments, NULL-terminated, or NULL. prepare: what
 * the process does before it becomes severd; NULL: nothing. */
static inline void severd_launch(struct severd *severd, const char *workers,
                                 const char *const *extra, void (*prepare)(struct severd *severd))
{
    char program[PATH_MAX], listen[96];
    int log_pipe[2];
    const char *arguments[24] = {"severd", "--die-with-parent", "--workers", workers, "--seed",
                                 "42"};
    size_t count = 6;
    *severd = (struct severd){0};
    files_find_built("bin/severd", program, sizeof(program));
    snprintf(severd->directory, sizeof(severd->directory), "/tmp/sever-test-XXXXXX");
    assert_non_null(mkdtemp(severd->directory));
    snprintf(severd->run_directory, sizeof(severd->run_directory), "%s/run", severd->directory);
    snprintf(listen, sizeof(listen), "unix:%s/control", severd->directory);
    snprintf(severd->url, sizeof(severd->url), "%s", listen);
    arguments[count++] = "--listen";
    arguments[count++] = listen;
    arguments[count++] = "--run-dir";
    arguments[count++] = severd->run_directory;
    while (extra && *extra && count + 1 < sizeof(arguments) / sizeof(arguments[0]))
        arguments[count++] = *extra++;
    assert_int_equal(pipe(log_pipe), 0);
    pid_t parent = getpid();
    severd->pid = fork();
    assert_true(severd->pid >= 0);
    if (severd->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM); /* already here: the parent may end before main does it */
        if (getppid() != parent)
            _exit(127);
        dup2(log_pipe[1], STDERR_FILENO);
        close(log_pipe[0]);
        close(log_pipe[1]);
        if (prepare)
            prepare(severd);
        execv(program, (char *const *)(uintptr_t)arguments);
        fprintf(stderr, "%s: %s\n", program, strerror(errno));
        _exit(127);
    }
    close(log_pipe[1]);
    severd->log_fd = log_pipe[0];
    struct error error = {0};
    if (wire_client_create(severd->url, "test", &severd->client, &error))
        fail_msg("%s", error.message);
}

/* Starts it and waits until it is ready. */
static inline void severd_start(struct severd *severd, const char *workers,
                                const char *const *extra)
{
    severd_launch(severd, workers, extra, NULL);
    severd_await_log(severd, "ready: control");
}

/* Ends it with this signal; it must leave with 0 and leave nothing behind. */
static inline void severd_stop_with(struct severd *severd, int signal)
{
    int status = 0;
    char path[128];
    uint64_t deadline_ns = monotonic_now_ns() + 30 * NS_PER_S;
    wire_client_destroy(severd->client);
    assert_int_equal(kill(severd->pid, signal), 0);
    while (waitpid(severd->pid, &status, WNOHANG) == 0) {
        char dropped[4096];
        struct pollfd wait = {.fd = severd->log_fd, .events = POLLIN};
        if (poll(&wait, 1, 10) > 0 && read(severd->log_fd, dropped, sizeof(dropped)) < 0)
            fail_msg("log: %s", strerror(errno));
        if (monotonic_now_ns() > deadline_ns) {
            kill(severd->pid, SIGKILL);
            fail_msg("severd does not end");
        }
    }
    close(severd->log_fd);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    snprintf(path, sizeof(path), "%s/control", severd->directory);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(access(severd->run_directory, F_OK), -1); /* made and removed by severd */
    assert_int_equal(rmdir(severd->directory), 0);
}

static inline void severd_stop(struct severd *severd)
{
    severd_stop_with(severd, SIGTERM);
}

/* A request that must succeed; takes over body; the answer is the caller's, NULL for 204. */
static inline json_t *severd_ask(struct severd *severd, const char *method, const char *path,
                                 json_t *body)
{
    struct error error = {0};
    json_t *answer = NULL;
    if (wire_client_request(severd->client, method, path, body, &answer, &error))
        fail_msg("%s %s: %s: %s", method, path, error.place, error.message);
    json_decref(body);
    return answer;
}

static inline void severd_tell(struct severd *severd, const char *method, const char *path,
                               json_t *body)
{
    json_decref(severd_ask(severd, method, path, body));
}

static inline void severd_add_node(struct severd *severd, const char *name)
{
    severd_tell(severd, "POST", "/v1/nodes", json_pack("{s:s}", "name", name));
}

/* Adds a route on a free port; returns the port it listens on. */
static inline int severd_add_route(struct severd *severd, const char *name, const char *protocol,
                                   int upstream_port, const char *from, const char *to)
{
    char upstream[64];
    snprintf(upstream, sizeof(upstream), "127.0.0.1:%d", upstream_port);
    json_t *answer = severd_ask(severd, "POST", "/v1/routes",
                                json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:b}", "name", name,
                                          "protocol", protocol, "listen", "127.0.0.1:0", "upstream",
                                          upstream, "from", from, "to", to, "enabled", 1));
    const char *listening = json_string_value(json_object_get(answer, "listening"));
    assert_non_null(listening);
    int port = (int)strtol(strrchr(listening, ':') + 1, NULL, 10);
    assert_true(port > 0);
    json_decref(answer);
    return port;
}

#endif
