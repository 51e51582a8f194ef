#include "tests/lib/test.h"

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

#include "proxy/base/monotonic.h"
#include "tests/lib/child.h"

enum { PATIENCE_S = 30, ENVIRONMENT_MAX = 16 };

static void __attribute__((noreturn))
become(const char *const argv[], const char *const environment[], int input, int output)
{
    static char settings[ENVIRONMENT_MAX][512];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (dup2(input, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0 ||
        dup2(output, STDERR_FILENO) < 0)
        _exit(126);
    for (size_t i = 0; environment && environment[i] && i < ENVIRONMENT_MAX; i++) {
        size_t length = strlen(environment[i]);
        if (length >= sizeof(settings[i]))
            _exit(126);
        memcpy(settings[i], environment[i], length + 1);
        if (strchr(settings[i], '=') ? putenv(settings[i]) : unsetenv(settings[i]))
            _exit(126);
    }
    char *arguments[64];
    size_t count = 0;
    for (; count < 63 && argv[count]; count++)
        arguments[count] = strdup(argv[count]);
    arguments[count] = NULL;
    if (arguments[0])
        execvp(arguments[0], arguments);
    _exit(CHILD_NOT_FOUND);
}

void child_start(struct child *child, const char *const argv[], const char *const environment[])
{
    int input[2], output[2];
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, NULL);
    assert_int_equal(pipe2(input, O_CLOEXEC), 0);
    assert_int_equal(pipe2(output, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct sigaction standard = {.sa_handler = SIG_DFL};
        sigaction(SIGPIPE, &standard, NULL);
        become(argv, environment, input[0], output[1]);
    }
    close(input[0]);
    close(output[1]);
    *child = (struct child){.pid = pid, .input = input[1], .output = output[0]};
}

void child_write(struct child *child, const char *text)
{
    size_t length = strlen(text);
    while (length) {
        ssize_t written = write(child->input, text, length);
        if (written < 0 && errno == EINTR)
            continue;
        assert_true(written > 0);
        text += written;
        length -= (size_t)written;
    }
}

/* At most size bytes; 0 at the end. Fails when the child is silent for so long: what says something
 * now and then may be slow. */
static size_t read_some(struct child *child, char *buffer, size_t size, const char *so_far)
{
    uint64_t deadline_ns = monotonic_now_ns() + PATIENCE_S * NS_PER_S;
    for (;;) {
        uint64_t now_ns = monotonic_now_ns();
        struct pollfd poll_fd = {.fd = child->output, .events = POLLIN};
        int wait_ms = now_ns < deadline_ns ? (int)((deadline_ns - now_ns) / NS_PER_MS) + 1 : 0;
        int ready = poll(&poll_fd, 1, wait_ms);
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready == 0) {
            fprintf(stderr, "%s\n", so_far); /* fail_msg would cut it */
            fail_msg("the child was silent for %d s; what it had said is above", PATIENCE_S);
        }
        ssize_t got = read(child->output, buffer, size);
        if (got < 0 && errno == EINTR)
            continue;
        assert_true(got >= 0);
        return (size_t)got;
    }
}

int child_read_line(struct child *child, char *line, size_t size)
{
    size_t length = 0;
    line[0] = '\0';
    for (char byte; read_some(child, &byte, 1, line) == 1;) {
        if (byte == '\n')
            return 1;
        assert_true(length + 1 < size);
        line[length++] = byte;
        line[length] = '\0';
    }
    return length > 0;
}

static int wait_for(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0)
        assert_int_equal(errno, EINTR);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void close_ends(struct child *child)
{
    if (child->input >= 0)
        close(child->input);
    if (child->output >= 0)
        close(child->output);
    child->input = child->output = -1;
}

int child_finish(struct child *child, struct text *output)
{
    close(child->input);
    child->input = -1;
    char buffer[4096];
    for (size_t got;
         (got = read_some(child, buffer, sizeof(buffer), output ? text_get(output) : "?")) > 0;)
        if (output)
            text_append_bytes(output, buffer, got);
    close_ends(child);
    int code = wait_for(child->pid);
    child->pid = 0;
    return code;
}

void child_kill(struct child *child)
{
    if (child->pid <= 0)
        return;
    kill(child->pid, SIGKILL);
    wait_for(child->pid);
    close_ends(child);
    child->pid = 0;
}

int child_run(const char *const argv[], const char *const environment[], const char *input,
              struct text *output)
{
    struct child child;
    child_start(&child, argv, environment);
    if (input)
        child_write(&child, input);
    return child_finish(&child, output);
}
