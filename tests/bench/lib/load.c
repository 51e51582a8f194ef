#include "tests/bench/lib/load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/base/monotonic.h"
#include "proxy/base/units.h"
#include "proxy/wire/lab_entry.h"

enum { LISTEN_BACKLOG = 4096, COUNT_MAX = 10000000, BYTES_MAX = 65507, SEGMENTS_MAX = 64 };

static pid_t near_node, far_node;
static const char *near_address, *congestion;

void load_fail(const char *what)
{
    fflush(stdout);
    if (errno)
        fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(errno));
    else
        fprintf(stderr, "%s: %s\n", program_invocation_short_name, what);
    exit(1);
}

static void fail_option(int option, const struct error *error)
{
    fprintf(stderr, "%s: -%c: %s\n", program_invocation_short_name, option, error->message);
    exit(2);
}

static int64_t take_number(int option, int64_t maximum)
{
    struct error error = {0};
    int64_t value = 0;
    if (units_parse_integer(optarg, 0, maximum, "a number", &value, &error))
        fail_option(option, &error);
    return value;
}

static uint64_t take_duration(int option)
{
    struct error error = {0};
    uint64_t value = 0;
    if (units_parse_duration(optarg, &value, &error))
        fail_option(option, &error);
    return value;
}

static void take_place(int option, struct load_options *options)
{
    switch (option) {
    case 'N':
        options->near_node = (pid_t)take_number(option, INT32_MAX);
        break;
    case 'F':
        options->far_node = (pid_t)take_number(option, INT32_MAX);
        break;
    case 'a':
        options->address = optarg;
        break;
    case 'k':
        options->congestion = optarg;
        break;
    default:
        exit(2);
    }
}

static void take_option(int option, struct load_options *options)
{
    switch (option) {
    case 'l':
        options->listen_port = (uint16_t)take_number(option, UINT16_MAX);
        break;
    case 'c':
        options->connect_port = (uint16_t)take_number(option, UINT16_MAX);
        break;
    case 's':
        options->seconds_ns = take_duration(option);
        break;
    case 'w':
        options->warmup_ns = take_duration(option);
        break;
    case 'd':
        options->delay_ns = take_duration(option);
        break;
    case 'n':
        options->count = (unsigned)take_number(option, COUNT_MAX);
        break;
    case 'r':
        options->read = true;
        break;
    case 'u':
        options->datagrams = true;
        break;
    case 'b':
        options->bytes = (unsigned)take_number(option, BYTES_MAX);
        break;
    case 'g':
        options->segments = (unsigned)take_number(option, SEGMENTS_MAX);
        break;
    case 'p':
        options->pid = (pid_t)take_number(option, INT32_MAX);
        break;
    default:
        take_place(option, options);
    }
}

/* Both are in one user namespace, or in none of their own. */
static void join_ends(const struct load_options *options)
{
    struct error error = {0};
    pid_t pid = options->near_node ? options->near_node : options->far_node;
    near_node = options->near_node;
    far_node = options->far_node;
    near_address = options->address ? options->address : "127.0.0.1";
    congestion = options->congestion;
    errno = 0;
    if (pid && lab_entry_join(pid, &error))
        load_fail(error.message);
}

static void go_to(pid_t node)
{
    struct error error = {0};
    errno = 0;
    if (node && lab_entry_use_network(node, &error))
        load_fail(error.message);
}

void load_options_parse(int argc, char **argv, struct load_options *options)
{
    struct rlimit limit;
    int option;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    while ((option = getopt(argc, argv, "l:c:s:w:d:n:p:b:g:N:F:a:k:ru")) != -1)
        take_option(option, options);
    if (options->connect_port == 0)
        options->connect_port = options->listen_port;
    join_ends(options);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* forgotten with another user namespace */
}

void load_thread(void *(*run)(void *), void *context)
{
    pthread_t thread;
    errno = pthread_create(&thread, NULL, run, context);
    if (errno)
        load_fail("thread");
    pthread_detach(thread);
}

static struct sockaddr_in loopback(uint16_t port, unsigned host)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons(port),
                                .sin_addr.s_addr = htonl(0x7f000000u | host)};
}

static void set_option(int fd, int level, int name)
{
    int on = 1;
    if (setsockopt(fd, level, name, &on, sizeof(on)))
        load_fail("setsockopt");
}

static int new_socket(int type)
{
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    if (fd < 0)
        load_fail("socket");
    return fd;
}

static void bind_to(int fd, uint16_t port, unsigned host)
{
    struct sockaddr_in address = loopback(port, host);
    if (far_node && host == 1)
        address.sin_addr.s_addr = htonl(INADDR_ANY);
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)))
        load_fail("bind");
}

static void connect_to(int fd, uint16_t port)
{
    struct sockaddr_in address = loopback(port, 1);
    if (inet_pton(AF_INET, near_address, &address.sin_addr) != 1)
        load_fail("-a is no IPv4 address");
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)))
        load_fail("connect");
}

int load_listen(uint16_t port)
{
    go_to(far_node);
    int fd = new_socket(SOCK_STREAM);
    set_option(fd, SOL_SOCKET, SO_REUSEADDR);
    bind_to(fd, port, 1);
    if (listen(fd, LISTEN_BACKLOG))
        load_fail("listen");
    return fd;
}

int load_accept(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        load_fail("accept");
    set_option(fd, IPPROTO_TCP, TCP_NODELAY);
    return fd;
}

int load_connect(uint16_t port, unsigned source)
{
    go_to(near_node);
    int fd = new_socket(SOCK_STREAM);
    if (congestion &&
        setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, congestion, (socklen_t)strlen(congestion)))
        load_fail(congestion);
    if (source) {
        set_option(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT);
        bind_to(fd, 0, source);
    }
    connect_to(fd, port);
    set_option(fd, IPPROTO_TCP, TCP_NODELAY);
    return fd;
}

int load_datagram(uint16_t bind_port, uint16_t connect_port)
{
    go_to(bind_port ? far_node : near_node);
    int fd = new_socket(SOCK_DGRAM);
    if (bind_port)
        bind_to(fd, bind_port, 1);
    if (connect_port)
        connect_to(fd, connect_port);
    return fd;
}

bool load_receive(int fd, void *bytes, size_t length)
{
    size_t done = 0;
    while (done < length) {
        ssize_t got = recv(fd, (char *)bytes + done, length - done, MSG_WAITALL);
        if (got == 0)
            return false;
        if (got < 0 && errno != EINTR)
            load_fail("receive");
        done += got > 0 ? (size_t)got : 0;
    }
    return true;
}

void load_send(int fd, const void *bytes, size_t length)
{
    size_t done = 0;
    while (done < length) {
        ssize_t sent = send(fd, (const char *)bytes + done, length - done, MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR)
            load_fail("send");
        done += sent > 0 ? (size_t)sent : 0;
    }
}

void load_pair(int listener, uint16_t connect_port, unsigned source, int *near, int *far)
{
    char byte = 'x';
    *near = load_connect(connect_port, source);
    load_send(*near, &byte, 1);
    *far = load_accept(listener);
    if (!load_receive(*far, &byte, 1))
        load_fail("the proxy closed a new connection");
}

void load_wait_until(uint64_t deadline_ns)
{
    while (monotonic_sleep_until(deadline_ns) == -EINTR)
        ;
}
