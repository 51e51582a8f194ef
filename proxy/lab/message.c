#include "proxy/lab/message.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/base/monotonic.h"

/* One control message, aligned. */
union control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(MESSAGE_FDS_MAX * sizeof(int))];
};

int message_pair(int fds[2])
{
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) ? -errno : 0;
}

int message_send(int fd, const void *bytes, size_t size, const int *fds, size_t fd_count)
{
    union control control = {0};
    union { /* iovec's pointer is not const */
        const void *given;
        void *taken;
    } base = {bytes};
    struct iovec vector = {.iov_base = base.taken, .iov_len = size};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    if (fd_count > 0) {
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        control.header = (struct cmsghdr){.cmsg_len = CMSG_LEN(fd_count * sizeof(int)),
                                          .cmsg_level = SOL_SOCKET,
                                          .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.header), fds, fd_count * sizeof(int));
    }
    ssize_t sent;
    do
        sent = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    if (sent < 0)
        return errno == ECONNRESET ? -EPIPE : -errno;
    return sent == (ssize_t)size ? 0 : -EPROTO;
}

static int wait_readable(int fd, uint64_t deadline_ns)
{
    for (;;) {
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        uint64_t now_ns = monotonic_now_ns();
        uint64_t left_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
        struct timespec timeout = {.tv_sec = (time_t)(left_ns / NS_PER_S),
                                   .tv_nsec = (long)(left_ns % NS_PER_S)};
        int count = ppoll(&poll_fd, 1, &timeout, NULL);
        if (count > 0)
            return 0;
        if (count < 0 && errno != EINTR)
            return -errno;
        if (count == 0)
            return -ETIMEDOUT;
    }
}

/* What came takes the place of fds; what there is no place for is closed. */
static void take_fds(struct msghdr *message, int *fds, size_t fd_count)
{
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header;
         header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
            continue;
        size_t came = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < came; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(fd));
            if (i < fd_count)
                fds[i] = fd;
            else
                close(fd);
        }
    }
}

int message_receive(int fd, void *bytes, size_t size, int *fds, size_t fd_count,
                    uint64_t deadline_ns)
{
    union control control = {0};
    struct iovec vector = {.iov_base = bytes, .iov_len = size};
    struct msghdr message = {.msg_iov = &vector,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    for (size_t i = 0; i < fd_count; i++)
        fds[i] = -1;
    int result = wait_readable(fd, deadline_ns);
    if (result)
        return result;
    ssize_t got = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0)
        return errno == ECONNRESET ? -EPIPE : -errno;
    take_fds(&message, fds, fd_count);
    if (message.msg_flags & MSG_CTRUNC)
        result = -EMFILE;
    else if ((size_t)got != size || message.msg_flags & MSG_TRUNC)
        result = got == 0 ? -EPIPE : -EPROTO;
    if (result)
        message_close_fds(fds, fd_count);
    return result;
}

void message_close_fds(int *fds, size_t fd_count)
{
    for (size_t i = 0; i < fd_count; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
        fds[i] = -1;
    }
}
