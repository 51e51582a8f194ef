#include "proxy/base/log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static _Atomic unsigned lost_lines; /* that could not be written */
static enum log_level level_limit = LOG_LEVEL_INFO;
static const char *const level_names[] = {"error", "warn", "info", "debug"};

void log_set_level(enum log_level level)
{
    level_limit = level;
}

int log_parse_level(const char *text, enum log_level *level)
{
    for (int i = 0; i <= LOG_LEVEL_DEBUG; i++) {
        if (strcmp(text, level_names[i]) == 0) {
            *level = (enum log_level)i;
            return 0;
        }
    }
    return -EINVAL;
}

static bool put(const char *line, size_t length)
{
    return write(STDERR_FILENO, line, length) == (ssize_t)length;
}

/* A pipe that nobody reads must not stop who writes to it: POLLOUT says that a whole line fits. */
static void write_line(const char *line, size_t length)
{
    char note[64];
    struct pollfd poll_fd = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&poll_fd, 1, 0) != 1 || !(poll_fd.revents & POLLOUT)) {
        atomic_fetch_add(&lost_lines, 1);
        return;
    }
    unsigned lost = atomic_exchange(&lost_lines, 0);
    if (lost > 0) {
        snprintf(note, sizeof(note), "(%u lines of the log were lost)\n", lost);
        if (!put(note, strlen(note)))
            atomic_fetch_add(&lost_lines, lost);
    }
    if (!put(line, length))
        atomic_fetch_add(&lost_lines, 1);
}

void log_write(enum log_level level, const char *format, ...)
{
    if (level > level_limit)
        return;
    int saved_errno = errno;
    char line[1024];
    struct timespec now;
    struct tm calendar;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &calendar);
    size_t used = strftime(line, sizeof(line), "%Y-%m-%dT%H:%M:%S", &calendar);
    used += (size_t)snprintf(line + used, sizeof(line) - used, ".%03ldZ %s ", now.tv_nsec / 1000000,
                             level_names[level]);
    va_list args;
    va_start(args, format);
    int wanted = vsnprintf(line + used, sizeof(line) - used - 1, format, args);
    va_end(args);
    used += wanted < 0 ? 0 : (size_t)wanted;
    if (used > sizeof(line) - 2)
        used = sizeof(line) - 2;
    line[used++] = '\n';
    write_line(line, used);
    errno = saved_errno;
}
