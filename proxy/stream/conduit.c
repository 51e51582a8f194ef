/* Theory of operation
 *
 * A conduit is a kernel pipe that holds bytes of one flow on their way: splice moves them from the
 * source into it and from it to the sink, by reference, so that a busy stream costs a third of what
 * two copies cost. It is first in, first out like the flow itself, and the flow's chunks say how
 * many of its bytes are whose.
 *
 * A flow fills one conduit after the other, and the plane has a fixed number of them; a conduit is
 * given back when it is empty, so one that is idle has none. Who finds none copies instead, as does
 * everybody where the kernel refuses large pipes (they are the point: with 64 KiB at a time the
 * system calls cost what the copies did).
 *
 * To open a large pipe and to close it costs as much as to relay some 300 KiB, and a latency keeps
 * dozens of them full, which come back, and are taken again, in bursts. So one that comes back
 * stays open for whoever needs one next, unless there may be a byte in it: that would come into
 * another connection. The newest is taken first, so that those at the other end of the list are
 * needed only in the largest bursts. One that has not been for KEPT_NS is closed, by a timer that
 * is armed only while there are any, and one in a turn, for that is no quick work. Before a
 * connection of this worker has to do without a descriptor, they go at once; others find theirs
 * within KEPT_NS.
 *
 * A pipe has slots, one for each run of bytes in a page, and may be full with few bytes in it. The
 * kernel then says EAGAIN, as it does when the source has nothing; either way the flow goes on with
 * another conduit, and an empty one can only mean the source. There splice stops for ever at the
 * mark of urgent data, which recv passes; so then recv is to say what there is. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "proxy/stream/internal.h"

enum {
    PIPE_BYTES = 1024 * 1024,
    FILLED_BYTES = PIPE_BYTES / 4 * 3, /* not filled any further */
    FILES_SHARE = 32,                  /* one conduit, two files, for so many that may be open */
    PIPE_FILES = 2,
};

#define RETRY_NS (NS_PER_S / 10)
#define KEPT_NS NS_PER_S

static void conduit_close(struct stream_plane *plane, struct stream_conduit *conduit)
{
    if (conduit->fds[0] < 0)
        return;
    for (int i = 0; i < PIPE_FILES; i++) {
        close(conduit->fds[i]);
        conduit->fds[i] = -1;
    }
    descriptors_give(plane->descriptors, PIPE_FILES);
}

static bool conduit_open(struct stream_plane *plane, struct stream_conduit *conduit)
{
    if (!descriptors_take(plane->descriptors, PIPE_FILES))
        return false;
    if (pipe2(conduit->fds, O_NONBLOCK | O_CLOEXEC)) {
        conduit->fds[0] = conduit->fds[1] = -1;
        descriptors_give(plane->descriptors, PIPE_FILES);
        return false;
    }
    if (fcntl(conduit->fds[1], F_SETPIPE_SZ, PIPE_BYTES) >= PIPE_BYTES)
        return true;
    conduit_close(plane, conduit);
    return false;
}

static void put_closed(struct stream_plane *plane, struct stream_conduit *conduit)
{
    conduit_close(plane, conduit);
    conduit->stale = false;
    conduit->next = plane->closed_conduits;
    plane->closed_conduits = conduit;
}

/* --- those that are open, and free --- */

static void put_open(struct stream_plane *plane, struct stream_conduit *conduit)
{
    conduit->freed_ns = loop_now_ns(plane->loop);
    conduit->next = plane->newest_conduit;
    conduit->newer = NULL;
    if (conduit->next)
        conduit->next->newer = conduit;
    else
        plane->oldest_conduit = conduit;
    plane->newest_conduit = conduit;
    if (!plane->conduits_timer.loop)
        loop_timer_set(plane->loop, &plane->conduits_timer, conduit->freed_ns + KEPT_NS);
}

static void take_open(struct stream_plane *plane, struct stream_conduit *conduit)
{
    *(conduit->newer ? &conduit->newer->next : &plane->newest_conduit) = conduit->next;
    *(conduit->next ? &conduit->next->newer : &plane->oldest_conduit) = conduit->newer;
}

bool stream_conduits_give_back(struct stream_plane *plane)
{
    struct stream_conduit *oldest = plane->oldest_conduit;
    if (!oldest)
        return false;
    take_open(plane, oldest);
    put_closed(plane, oldest);
    return true;
}

static void conduits_on_timer(struct loop_timer *timer)
{
    struct stream_plane *plane = loop_container(timer, struct stream_plane, conduits_timer);
    const struct stream_conduit *oldest = plane->oldest_conduit;
    if (oldest && oldest->freed_ns + KEPT_NS <= loop_now_ns(plane->loop))
        stream_conduits_give_back(plane);
    oldest = plane->oldest_conduit;
    if (oldest)
        loop_timer_set(plane->loop, timer, oldest->freed_ns + KEPT_NS);
}

/* --- all of them --- */

static size_t count_affordable(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit))
        return 0;
    return limit.rlim_cur / FILES_SHARE < STREAM_CONDUITS_MAX ? limit.rlim_cur / FILES_SHARE
                                                              : STREAM_CONDUITS_MAX;
}

void stream_conduits_create(struct stream_plane *plane, bool none)
{
    plane->conduits_timer.fn = conduits_on_timer;
    plane->conduit_count = none ? 0 : count_affordable();
    for (size_t i = 0; i < plane->conduit_count; i++) {
        plane->conduits[i] = (struct stream_conduit){.fds = {-1, -1}};
        put_closed(plane, &plane->conduits[i]);
    }
}

void stream_conduits_destroy(struct stream_plane *plane)
{
    assert(plane->conduit_bytes == 0);
    loop_timer_cancel(&plane->conduits_timer);
    for (size_t i = 0; i < plane->conduit_count; i++)
        conduit_close(plane, &plane->conduits[i]);
}

/* NULL: there is none. When one can't be opened, that is tried again after a while. */
static struct stream_conduit *conduit_take(struct stream_plane *plane)
{
    struct stream_conduit *conduit = plane->newest_conduit;
    if (conduit) {
        take_open(plane, conduit);
        return conduit;
    }
    conduit = plane->closed_conduits;
    if (!conduit || loop_now_ns(plane->loop) < plane->conduits_refused_ns + RETRY_NS)
        return NULL;
    if (!conduit_open(plane, conduit)) {
        plane->conduits_refused_ns = loop_now_ns(plane->loop);
        return NULL;
    }
    plane->closed_conduits = conduit->next;
    return conduit;
}

/* By the kernel's count, too. */
static bool is_empty(const struct stream_conduit *conduit)
{
    int left = 0;
    return !conduit->stale && ioctl(conduit->fds[0], FIONREAD, &left) == 0 && left == 0;
}

static void conduit_give(struct stream_plane *plane, struct stream_conduit *conduit)
{
    assert(conduit->bytes == 0);
    if (is_empty(conduit))
        put_open(plane, conduit);
    else
        put_closed(plane, conduit);
}

ssize_t stream_conduit_fill(struct stream_flow *flow, size_t room)
{
    struct stream_plane *plane = flow->connection->plane;
    struct stream_conduit *conduit = flow->conduit;
    if (!conduit || conduit->stale || conduit->bytes >= FILLED_BYTES)
        conduit = conduit_take(plane);
    if (!conduit) {
        errno = EOPNOTSUPP;
        return -1;
    }
    if (room > PIPE_BYTES - conduit->bytes)
        room = PIPE_BYTES - conduit->bytes;
    flow->conduit = conduit;
    ssize_t got = splice(flow->source->fd, NULL, conduit->fds[1], NULL, room, SPLICE_F_NONBLOCK);
    if (got > 0) {
        conduit->bytes += (uint32_t)got;
        plane->conduit_bytes += (uint64_t)got;
        return got;
    }
    int code = errno;
    bool was_empty = conduit->bytes == 0;
    flow->conduit = NULL;
    if (was_empty)
        conduit_give(plane, conduit);
    errno = code == EINVAL || (code == EAGAIN && was_empty) ? EOPNOTSUPP : code;
    return got;
}

ssize_t stream_conduit_send(struct stream_conduit *conduit, int fd, size_t length)
{
    ssize_t sent = splice(conduit->fds[0], NULL, fd, NULL, length, SPLICE_F_NONBLOCK);
    return sent < 0 ? -errno : sent;
}

void stream_conduit_consume(struct stream_flow *flow, struct stream_conduit *conduit,
                            uint32_t length, bool sent)
{
    assert(length <= conduit->bytes);
    conduit->bytes -= length;
    flow->connection->plane->conduit_bytes -= length;
    conduit->stale = conduit->stale || !sent;
    if (conduit->bytes > 0)
        return;
    if (flow->conduit == conduit)
        flow->conduit = NULL;
    conduit_give(flow->connection->plane, conduit);
}
