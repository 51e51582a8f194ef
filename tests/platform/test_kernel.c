/* What Sever takes for granted of the kernel, one test each. On a new kernel or container run this
 * first: a failure names the assumption that does not hold, before anything built on it fails in a
 * way that is harder to read. */
#include "tests/lib/test.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proxy/base/monotonic.h"
#include "proxy/io/socket.h"

static void parse(const char *text, struct address *address)
{
    struct error error = {0};
    if (address_parse(text, address, &error))
        fail_msg("%s", error.message);
}

static void wait_readable(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&poll_fd, 1, 5000), 1);
}

static void wait_writable(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};
    assert_int_equal(poll(&poll_fd, 1, 5000), 1);
    assert_int_equal(socket_take_error(fd), 0);
}

/* client -> listener -> server, from `source` when it is not NULL. */
static void connect_pair(const char *source, int *client, int *server, struct address *peer)
{
    struct address any, bound, from;
    struct error error = {0};
    parse("127.0.0.1:0", &any);
    int listener = socket_listen(&any, false, &bound, &error);
    assert_true(listener >= 0);
    if (source)
        assert_int_equal(address_parse_host(source, &from, &error), 0);
    *client = socket_connect(&bound, source ? &from : NULL, &error);
    assert_true(*client >= 0);
    wait_readable(listener);
    *server = socket_accept(listener, peer);
    assert_true(*server >= 0);
    wait_writable(*client);
    close(listener);
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Timeouts of epoll_pwait2 are nanoseconds: half of all 200 us waits end within 1.2 ms, which no
 * millisecond epoll_wait does reliably, and none ends early. */
static void epoll_waits_in_nanoseconds(void **state)
{
    (void)state;
    enum { ROUNDS = 101 };
    uint64_t taken[ROUNDS];
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    assert_int_equal(prctl(PR_SET_TIMERSLACK, 1UL), 0);
    for (int i = 0; i < ROUNDS; i++) {
        struct epoll_event event;
        struct timespec timeout = {.tv_nsec = 200000};
        uint64_t begin_ns = monotonic_now_ns();
        assert_int_equal(epoll_pwait2(epoll_fd, &event, 1, &timeout, NULL), 0);
        taken[i] = monotonic_now_ns() - begin_ns;
        assert_true(taken[i] >= 200000);
    }
    close(epoll_fd);
    qsort(taken, ROUNDS, sizeof(taken[0]), compare_u64);
    uint64_t median = taken[ROUNDS / 2];
    print_message("200 us wait: p50 %.0f us\n", (double)median / 1000);
    assert_true(median < 1200000);
}

/* Every address of 127.0.0.0/8 can be bound without any set-up, and the peer sees it: how a route
 * knows the node that dials. */
static void loopback_sources_are_seen(void **state)
{
    (void)state;
    int client, server;
    struct address peer, expected;
    connect_pair("127.77.3.9", &client, &server, &peer);
    assert_int_equal(address_parse_host("127.77.3.9", &expected, NULL), 0);
    assert_true(address_same_host(&peer, &expected));
    close(client);
    close(server);
}

/* connect() succeeds before anyone accepts: why a stalled cut looks connected to a client. */
static void connect_precedes_accept(void **state)
{
    (void)state;
    struct address any, bound;
    struct error error = {0};
    parse("127.0.0.1:0", &any);
    int listener = socket_listen(&any, false, &bound, &error);
    int client = socket_connect(&bound, NULL, &error);
    wait_writable(client);
    close(client);
    close(listener);
}

/* An edge-triggered watch tells of each arrival though nobody reads, and SIOCINQ of how much waits:
 * how bytes that a cut holds back are counted. */
static void arrivals_are_seen_without_reading(void **state)
{
    (void)state;
    int client, server;
    connect_pair(NULL, &client, &server, NULL);
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    assert_int_equal(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, server, &event), 0);
    for (unsigned total = 5; total <= 15; total += 5) {
        assert_int_equal(write(client, "12345", 5), 5);
        assert_int_equal(epoll_wait(epoll_fd, &event, 1, 5000), 1);
        assert_int_equal(socket_pending_bytes(server), total);
    }
    assert_int_equal(epoll_wait(epoll_fd, &event, 1, 0), 0);
    close(epoll_fd);
    close(client);
    close(server);
}

/* SO_LINGER 0 and close() send RST. */
static void linger_zero_resets(void **state)
{
    (void)state;
    int client, server;
    char byte;
    connect_pair(NULL, &client, &server, NULL);
    socket_close_reset(server);
    wait_readable(client);
    assert_int_equal(read(client, &byte, 1), -1);
    assert_int_equal(errno, ECONNRESET);
    close(client);
}

/* After shutdown(SHUT_WR) the other direction goes on. */
static void half_close_works(void **state)
{
    (void)state;
    int client, server;
    char byte = 0;
    connect_pair(NULL, &client, &server, NULL);
    assert_int_equal(shutdown(client, SHUT_WR), 0);
    wait_readable(server);
    assert_int_equal(read(server, &byte, 1), 0);
    assert_int_equal(write(server, "x", 1), 1);
    wait_readable(client);
    assert_int_equal(read(client, &byte, 1), 1);
    close(client);
    close(server);
}

/* An abstract Unix name is a lock that dies with its holder. */
static void abstract_names_lock(void **state)
{
    (void)state;
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 24);
    memcpy(name.sun_path, "\0sever-platform-test-lock", 24);
    int first = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int second = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(first, (struct sockaddr *)&name, length), 0);
    assert_int_equal(bind(second, (struct sockaddr *)&name, length), -1);
    assert_int_equal(errno, EADDRINUSE);
    close(first);
    assert_int_equal(bind(second, (struct sockaddr *)&name, length), 0);
    close(second);
}

/* PR_SET_PDEATHSIG reaches a grandchild whose parent is killed with SIGKILL. */
static void children_die_with_their_parent(void **state)
{
    (void)state;
    int channel[2];
    assert_int_equal(pipe(channel), 0);
    pid_t parent = fork();
    if (parent == 0) {
        pid_t expected = getpid();
        if (fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (getppid() == expected && write(channel[1], "r", 1) == 1)
                for (;;)
                    pause();
            _exit(1);
        }
        for (;;)
            pause();
    }
    close(channel[1]);
    char byte;
    assert_int_equal(read(channel[0], &byte, 1), 1);
    assert_int_equal(kill(parent, SIGKILL), 0);
    assert_int_equal(waitpid(parent, NULL, 0), parent);
    wait_readable(channel[0]); /* end of file: the grandchild, the last writer, is gone */
    assert_int_equal(read(channel[0], &byte, 1), 0);
    close(channel[0]);
}

/* A shared file mapping is seen by another process at once: the clock page. */
static void shared_pages_are_coherent(void **state)
{
    (void)state;
    _Atomic int *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(page != MAP_FAILED);
    pid_t child = fork();
    if (child == 0) {
        *page = 42;
        _exit(0);
    }
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(*page, 42);
    munmap((void *)(uintptr_t)page, 4096);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(epoll_waits_in_nanoseconds),
        cmocka_unit_test(loopback_sources_are_seen),
        cmocka_unit_test(connect_precedes_accept),
        cmocka_unit_test(arrivals_are_seen_without_reading),
        cmocka_unit_test(linger_zero_resets),
        cmocka_unit_test(half_close_works),
        cmocka_unit_test(abstract_names_lock),
        cmocka_unit_test(children_die_with_their_parent),
        cmocka_unit_test(shared_pages_are_coherent),
    };
    return cmocka_run_group_tests_name("platform/kernel", tests, NULL, NULL);
}
