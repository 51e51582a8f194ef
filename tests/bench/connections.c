/* Connections per second, from connect to the other side's FIN, `count` at a time: connect, one
 * byte there and back, FIN there and back. One thread is the client, one the server. */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/base/monotonic.h"
#include "tests/bench/lib/load.h"
#include "tests/bench/lib/process.h"

enum {
    EVENTS_MAX = 64,
    SOURCES = 16, /* client addresses, so that ports in TIME_WAIT don't run out */
};

struct client {
    int epoll;
    uint16_t port;
    uint64_t opened, done, failed;
};

static void watch(int epoll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data = {.fd = fd}};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
        load_fail("epoll_ctl");
}

static int new_epoll(void)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0)
        load_fail("epoll");
    return epoll;
}

/* Events that are there within timeout_ms (-1: wait). */
static int wait_for(int epoll, struct epoll_event *events, int timeout_ms)
{
    int count = epoll_wait(epoll, events, EVENTS_MAX, timeout_ms);
    if (count < 0 && errno != EINTR)
        load_fail("epoll_wait");
    return count > 0 ? count : 0;
}

static void *serve(void *context)
{
    const int *listener = context;
    struct epoll_event events[EVENTS_MAX];
    int epoll = new_epoll();
    watch(epoll, *listener);
    for (;;) {
        int count = wait_for(epoll, events, -1);
        for (int i = 0; i < count; i++) {
            char byte;
            int fd = events[i].data.fd;
            if (fd == *listener)
                watch(epoll, load_accept(fd));
            else if (recv(fd, &byte, 1, 0) != 1 || send(fd, &byte, 1, MSG_NOSIGNAL) != 1)
                close(fd);
        }
    }
    return NULL;
}

static void open_next(struct client *client)
{
    int fd = load_connect(client->port, 2 + (unsigned)(client->opened++ % SOURCES));
    watch(client->epoll, fd);
    if (send(fd, "x", 1, MSG_NOSIGNAL) != 1)
        load_fail("send");
}

static void run_until(struct client *client, uint64_t deadline_ns)
{
    struct epoll_event events[EVENTS_MAX];
    while (monotonic_now_ns() < deadline_ns) {
        int count = wait_for(client->epoll, events, 10);
        for (int i = 0; i < count; i++) {
            char byte;
            ssize_t got = recv(events[i].data.fd, &byte, 1, 0);
            if (got == 1) {
                shutdown(events[i].data.fd, SHUT_WR);
                continue;
            }
            client->done += got == 0;
            client->failed += got < 0;
            close(events[i].data.fd);
            open_next(client);
        }
    }
}

int main(int argc, char **argv)
{
    struct load_options options = {
        .count = 32, .seconds_ns = 2 * NS_PER_S, .warmup_ns = 200 * NS_PER_MS};
    load_options_parse(argc, argv, &options);
    int listener = load_listen(options.listen_port);
    struct client client = {.epoll = new_epoll(), .port = options.connect_port};
    load_thread(serve, &listener);
    for (unsigned i = 0; i < options.count; i++)
        open_next(&client);
    run_until(&client, monotonic_now_ns() + options.warmup_ns);
    uint64_t begin_ns = monotonic_now_ns(), done = client.done;
    double cpu = process_cpu_seconds(options.pid);
    run_until(&client, begin_ns + options.seconds_ns);
    double elapsed_s = (double)(monotonic_now_ns() - begin_ns) / (double)NS_PER_S;
    cpu = process_cpu_seconds(options.pid) - cpu;
    done = client.done - done;
    printf("connections_per_s %.0f\n", (double)done / elapsed_s);
    if (options.pid && done)
        printf("cpu_us_per_connection %.1f\n", cpu * 1e6 / (double)done);
    if (client.failed)
        printf("failed_connections %llu\n", (unsigned long long)client.failed);
    return 0;
}
