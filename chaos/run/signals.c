#include "chaos/run/signals.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static int abort_fd = -1;
static volatile sig_atomic_t caught; /* the signal; 0: none */
static volatile sig_atomic_t count;

static void on_signal(int number)
{
    int saved = errno;
    caught = number;
    count++;
    eventfd_write(abort_fd, 1);
    errno = saved;
}

int signals_open(struct error *error)
{
    abort_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return abort_fd < 0 ? error_set(error, -errno, "can't make an eventfd: %s", strerror(errno))
                        : abort_fd;
}

void signals_close(void)
{
    if (abort_fd >= 0)
        close(abort_fd);
    abort_fd = -1;
}

void signals_catch(bool catch)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = catch ? on_signal : SIG_DFL};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        struct sigaction present;
        if (sigaction(numbers[i], NULL, &present) == 0 && present.sa_handler != SIG_IGN)
            sigaction(numbers[i], &action, NULL);
    }
    sigaction(SIGPIPE, &ignore, NULL);
}

unsigned signals_count(void)
{
    return (unsigned)count;
}

void signals_die(void)
{
    if (!caught)
        return;
    fflush(NULL);
    raise(caught); /* its action is the default again */
}
