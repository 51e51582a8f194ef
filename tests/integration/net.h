/* Sockets on 127.0.0.1 for tests that use the real severd. Functions fail the test on any error. */
#ifndef SEVER_TESTS_INTEGRATION_NET_H
#define SEVER_TESTS_INTEGRATION_NET_H

#include "tests/lib/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "proxy/base/monotonic.h"

#define NET_PATIENCE_NS (30 * NS_PER_S)

#define net_await(condition)                                                                       \
    do {                                                                                           \
        uint64_t await_deadline_ns = monotonic_now_ns() + NET_PATIENCE_NS;                         \
        while (!(condition)) {                                                                     \
            if (monotonic_now_ns() > await_deadline_ns)                                            \
                fail_msg("waited in vain for: %s", #condition);                                    \
            monotonic_sleep_until(monotonic_now_ns() + NS_PER_MS);                                 \
        }                                                                                          \
    } while (0)

static inline struct sockaddr_in net_address(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

/* Listens on a free port; its accepting does not block. */
static inline int net_listen(int backlog, int *port)
{
    struct sockaddr_in address = net_address(0);
    socklen_t length = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, backlog), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

/* A connect that may still be under way; nothing blocks. */
static inline int net_start_connect(int port)
{
    struct sockaddr_in address = net_address(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)))
        assert_int_equal(errno, EINPROGRESS);
    return fd;
}

static inline bool net_is_ready(int fd, short events, int timeout_ms)
{
    struct pollfd poll_fd = {.fd = fd, .events = events};
    return poll(&poll_fd, 1, timeout_ms) == 1 && (poll_fd.revents & events);
}

static inline void net_wait(int fd, short events)
{
    if (!net_is_ready(fd, events, (int)(NET_PATIENCE_NS / NS_PER_MS)))
        fail_msg("nothing happens on a connection");
}

static inline int net_accept(int listener)
{
    net_wait(listener, POLLIN);
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static inline void net_close_reset(int fd)
{
    struct linger linger = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    close(fd);
}

/* A byte there and a byte back, over a connection that is open on both sides. */
static inline void net_round_trip(int near, int far)
{
    char byte = 'x';
    net_wait(near, POLLOUT);
    assert_int_equal(send(near, &byte, 1, MSG_NOSIGNAL), 1);
    net_wait(far, POLLIN);
    assert_int_equal(recv(far, &byte, 1, 0), 1);
    assert_int_equal(send(far, &byte, 1, MSG_NOSIGNAL), 1);
    net_wait(near, POLLIN);
    assert_int_equal(recv(near, &byte, 1, 0), 1);
}

#endif
