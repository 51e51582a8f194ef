#include "examples/raftkv/server/listener.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "proxy/base/log.h"
#include "proxy/base/monotonic.h"
#include "proxy/io/socket.h"

static void end_pause(struct loop_timer *timer)
{
    struct listener *listener = loop_container(timer, struct listener, pause);
    loop_watch_modify(&listener->watch, EPOLLIN);
}

int listener_open(struct listener *listener, struct loop *loop, const struct address *address,
                  loop_watch_fn ready, struct error *error)
{
    int fd = socket_listen(address, false, NULL, error);
    if (fd < 0)
        return fd;
    int code = loop_watch_add(loop, &listener->watch, fd, EPOLLIN, ready);
    if (code) {
        close(fd);
        return error_set(error, code, "can't watch the listener: %s", strerror(-code));
    }
    listener->pause.fn = end_pause;
    return 0;
}

void listener_close(struct listener *listener)
{
    if (!listener->watch.loop)
        return;
    int fd = listener->watch.fd;
    loop_timer_cancel(&listener->pause);
    loop_watch_remove(&listener->watch);
    close(fd);
}

int listener_accept(struct listener *listener)
{
    int fd = socket_accept(listener->watch.fd, NULL);
    if (fd == -EMFILE || fd == -ENFILE || fd == -ENOBUFS || fd == -ENOMEM) {
        struct loop *loop = listener->watch.loop;
        log_warn("connections have to wait: %s", strerror(-fd));
        loop_watch_modify(&listener->watch, 0);
        loop_timer_set(loop, &listener->pause, loop_now_ns(loop) + LISTENER_PAUSE_MS * NS_PER_MS);
    }
    return fd;
}

long listener_raise_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit))
        return -errno;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit))
        return -errno;
    return limit.rlim_cur < INT_MAX ? (long)limit.rlim_cur : INT_MAX;
}
