/* What proxy/io/filter takes for granted of the kernel, with real sockets on loopback, for programs
 * that are attached as they are (classic) and for those that were loaded once. Where the kernel
 * refuses filters, the tests that need them are skipped and say so. */
#include "tests/lib/test.h"

#include <errno.h>
#include <grp.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proxy/base/monotonic.h"
#include "proxy/base/random.h"
#include "proxy/io/filter.h"
#include "proxy/io/socket.h"

enum { NOBODY = 65534, WAIT_MS = 20000 };

static const char *const form_names[] = {"classic", "loaded"};

/* Skips the test where filters are refused. Returns how many forms there are: 1 or 2. */
static int forms_or_skip(void)
{
    int allowed = filter_allowed();
    if (allowed) {
        print_message("SKIPPED: socket filters are refused here: %s\n", strerror(-allowed));
        skip();
    }
    struct filter_program program;
    filter_compile(&(struct filter_spec){.cut = true}, &program);
    int loaded = filter_load(&program);
    filter_free(&program);
    if (loaded)
        print_message("NOT TRIED with loaded programs: bpf(2): %s\n", strerror(-loaded));
    return loaded ? 1 : 2;
}

static void finish_program(struct filter_program *program, int form)
{
    if (form)
        assert_int_equal(filter_load(program), 0);
}

static void make_program(struct filter_program *program, const struct filter_spec *spec, int form)
{
    filter_compile(spec, program);
    finish_program(program, form);
}

static void attach_and_free(int fd, struct filter_program *program)
{
    assert_int_equal(filter_attach(fd, program), 0);
    filter_free(program); /* what is attached stays */
}

static void attach(int fd, const struct filter_spec *spec, int form)
{
    struct filter_program program;
    make_program(&program, spec, form);
    attach_and_free(fd, &program);
}

static void parse(const char *text, struct address *address)
{
    struct error error = {0};
    if (address_parse(text, address, &error))
        fail_msg("%s", error.message);
}

/* Returns the listener, or -errno where the machine has no such address. */
static int listen_on(const char *text, struct address *bound)
{
    struct address any;
    parse(text, &any);
    return socket_listen(&any, false, bound, NULL);
}

static int connect_to(const struct address *bound, const char *source)
{
    struct address from;
    struct error error = {0};
    if (source)
        assert_int_equal(address_parse_host(source, &from, &error), 0);
    int fd = socket_connect(bound, source ? &from : NULL, &error);
    if (fd < 0)
        fail_msg("%s", error.message);
    return fd;
}

static void wait_for(int fd, short events)
{
    struct pollfd poll_fd = {.fd = fd, .events = events};
    assert_int_equal(poll(&poll_fd, 1, WAIT_MS), 1);
}

static void wait_connected(int fd)
{
    wait_for(fd, POLLOUT);
    assert_int_equal(socket_take_error(fd), 0);
}

static int accept_one(int listener)
{
    wait_for(listener, POLLIN);
    int fd = socket_accept(listener, NULL);
    assert_true(fd >= 0);
    return fd;
}

static struct tcp_info info(int fd)
{
    struct tcp_info value = {0};
    socklen_t length = sizeof(value);
    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &value, &length), 0);
    return value;
}

/* False when `until` has not come true within WAIT_MS. */
static bool await(bool (*until)(int fd, int64_t value), int fd, int64_t value)
{
    uint64_t deadline_ns = monotonic_now_ns() + WAIT_MS * NS_PER_MS;
    while (!until(fd, value)) {
        if (monotonic_now_ns() > deadline_ns)
            return false;
        monotonic_sleep_until(monotonic_now_ns() + NS_PER_MS);
    }
    return true;
}

static bool has_dropped(int fd, int64_t packets)
{
    return filter_dropped(fd) >= packets;
}

static bool has_backed_off(int fd, int64_t times)
{
    return info(fd).tcpi_backoff >= times;
}

static void connect_pair(int *client, int *server)
{
    struct address bound;
    int listener = listen_on("127.0.0.1:0", &bound);
    assert_true(listener >= 0);
    *client = connect_to(&bound, NULL);
    *server = accept_one(listener);
    wait_connected(*client);
    close(listener);
}

/* A listener with a filter does not answer a SYN, on IPv4, IPv6 and both; connect() hangs, and
 * goes through when the filter is gone. What was dropped is counted at the listener. */
static void a_cut_listener_answers_no_syn(void **state)
{
    (void)state;
    static const char *const addresses[] = {"127.0.0.1:0", "[::1]:0", "[::]:0"};
    int forms = forms_or_skip();
    for (int form = 0; form < forms; form++) {
        int listeners[3], clients[3];
        for (int i = 0; i < 3; i++) {
            struct address bound, target;
            listeners[i] = listen_on(addresses[i], &bound);
            if (listeners[i] < 0) {
                print_message("NOT TRIED: %s: %s\n", addresses[i], strerror(-listeners[i]));
                continue;
            }
            parse("127.0.0.1:0", &target);
            address_set_port(&target, address_port(&bound));
            attach(listeners[i], &(struct filter_spec){.cut = true}, form);
            clients[i] = connect_to(i == 2 ? &target : &bound, NULL);
        }
        for (int i = 0; i < 3; i++)
            if (listeners[i] >= 0) {
                assert_true(await(has_dropped, listeners[i], 1));
                assert_int_equal(info(clients[i]).tcpi_state, TCP_SYN_SENT);
                assert_int_equal(filter_detach(listeners[i]), 0);
            }
        for (int i = 0; i < 3; i++)
            if (listeners[i] >= 0) {
                wait_connected(clients[i]);
                close(accept_one(listeners[i]));
                close(clients[i]);
                close(listeners[i]);
            }
    }
}

/* The peer of a cut connection gets no ACK: it retransmits, each time after twice as long; nothing
 * comes in. After the heal the data is there. */
static void a_cut_connection_makes_the_peer_back_off(void **state)
{
    (void)state;
    int forms = forms_or_skip();
    for (int form = 0; form < forms; form++) {
        int client, server;
        char bytes[8];
        connect_pair(&client, &server);
        unsigned rto_us = info(client).tcpi_rto;
        attach(server, &(struct filter_spec){.cut = true}, form);
        assert_int_equal(filter_dropped(server), 0);
        assert_int_equal(write(client, "hello", 5), 5);
        assert_true(await(has_backed_off, client, 2));
        struct tcp_info cut = info(client);
        print_message("%s: %u retransmits, RTO %u -> %u us, %ld packets dropped\n",
                      form_names[form], cut.tcpi_total_retrans, rto_us, cut.tcpi_rto,
                      (long)filter_dropped(server));
        assert_true(cut.tcpi_retransmits >= 2 && cut.tcpi_total_retrans >= 2);
        assert_true(cut.tcpi_rto >= 3 * rto_us);
        assert_int_equal(cut.tcpi_unacked, 1);
        assert_true(filter_dropped(server) >= 3);
        assert_int_equal(read(server, bytes, sizeof(bytes)), -1);
        assert_int_equal(errno, EAGAIN);
        assert_int_equal(filter_detach(server), 0);
        wait_for(server, POLLIN);
        assert_int_equal(read(server, bytes, sizeof(bytes)), 5);
        close(client);
        close(server);
    }
}

/* FIN and RST don't cross a cut either. */
static void a_cut_hides_fin_and_reset(void **state)
{
    (void)state;
    int forms = forms_or_skip();
    for (int form = 0; form < forms; form++) {
        int client, server;
        char byte;
        connect_pair(&client, &server);
        attach(server, &(struct filter_spec){.cut = true}, form);
        assert_int_equal(shutdown(client, SHUT_WR), 0);
        assert_true(await(has_dropped, server, 1));
        int64_t dropped = filter_dropped(server);
        socket_close_reset(client);
        assert_true(await(has_dropped, server, dropped + 1));
        assert_int_equal(info(server).tcpi_state, TCP_ESTABLISHED);
        assert_int_equal(read(server, &byte, 1), -1);
        assert_int_equal(errno, EAGAIN);
        close(server);
    }
}

/* A filter on a socket that connects later drops the answer. */
static void a_cut_before_connect_hides_the_answer(void **state)
{
    (void)state;
    int forms = forms_or_skip();
    for (int form = 0; form < forms; form++) {
        struct address bound;
        int listener = listen_on("127.0.0.1:0", &bound);
        int client = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        attach(client, &(struct filter_spec){.cut = true}, form);
        assert_int_equal(connect(client, (struct sockaddr *)&bound.storage, bound.length), -1);
        assert_int_equal(errno, EINPROGRESS);
        assert_true(await(has_dropped, client, 1));
        assert_int_equal(info(client).tcpi_state, TCP_SYN_SENT);
        assert_int_equal(filter_detach(client), 0);
        wait_connected(client);
        close(accept_one(listener));
        close(client);
        close(listener);
    }
}

/* The number of instructions of the filter on the socket, 0 without one; -1: loaded, not shown. */
static int filter_length(int fd)
{
    socklen_t length = 0;
    if (getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, NULL, &length))
        return errno == EACCES ? -1 : -errno - 1000;
    return (int)length;
}

/* What a listener accepts has the filter that the listener had when the client came. */
static void accepted_sockets_inherit(void **state)
{
    (void)state;
    int forms = forms_or_skip();
    for (int form = 0; form < forms; form++) {
        struct address bound;
        int listener = listen_on("127.0.0.1:0", &bound);
        int before = connect_to(&bound, NULL);
        wait_for(listener, POLLIN);
        attach(listener, &(struct filter_spec){0}, form);
        int first = accept_one(listener);
        int after = connect_to(&bound, NULL);
        int second = accept_one(listener);
        assert_int_equal(filter_detach(listener), 0);
        assert_int_equal(filter_length(first), 0);
        assert_int_equal(filter_length(second), form ? -1 : 1);
        assert_int_equal(filter_detach(second), 0);
        assert_int_equal(filter_length(second), 0);
        close(before);
        close(after);
        close(first);
        close(second);
        close(listener);
    }
}

static void set_source(struct filter_source *source, const char *host, uint32_t loss_ppb)
{
    assert_int_equal(address_parse_host(host, &source->host, NULL), 0);
    source->loss_ppb = loss_ppb;
}

static void attach_sources(int fd, const char *first, const char *second, int form)
{
    struct filter_source sources[2];
    struct filter_program program;
    set_source(&sources[0], first, RANDOM_PPB_ONE);
    set_source(&sources[1], second, RANDOM_PPB_ONE);
    assert_int_equal(filter_compile_sources(sources, 2, 0, &program), 0);
    finish_program(&program, form);
    attach_and_free(fd, &program);
}

/* On a listener, hosts are told apart: one is cut, the other connects. */
static void a_listener_cuts_some_hosts(void **state)
{
    (void)state;
    int forms = forms_or_skip();
    for (int form = 0; form < forms; form++) {
        struct address bound;
        int listener = listen_on("127.0.0.1:0", &bound);
        attach_sources(listener, "127.0.0.2", "fd00::9", form);
        int cut = connect_to(&bound, "127.0.0.2");
        int open = connect_to(&bound, "127.0.0.3");
        int server = accept_one(listener);
        wait_connected(open);
        assert_true(await(has_dropped, listener, 1));
        assert_int_equal(info(cut).tcpi_state, TCP_SYN_SENT);
        close(cut);
        close(open);
        close(server);
        close(listener);
    }
}

/* The same on a listener for IPv4 and IPv6: IPv4 clients are IPv4 packets. */
static void a_dual_stack_listener_cuts_some_hosts(void **state)
{
    (void)state;
    int forms = forms_or_skip();
    for (int form = 0; form < forms; form++) {
        struct address bound, ip4, ip6;
        int listener = listen_on("[::]:0", &bound);
        if (listener < 0) {
            print_message("SKIPPED: no IPv6: %s\n", strerror(-listener));
            skip();
        }
        parse("127.0.0.1:0", &ip4);
        parse("[::1]:0", &ip6);
        address_set_port(&ip4, address_port(&bound));
        address_set_port(&ip6, address_port(&bound));
        attach_sources(listener, "::1", "::ffff:127.0.0.2", form);
        int cut[] = {connect_to(&ip6, NULL), connect_to(&ip4, "127.0.0.2")};
        int open = connect_to(&ip4, "127.0.0.3");
        close(accept_one(listener));
        assert_true(await(has_dropped, listener, 2));
        for (int i = 0; i < 2; i++)
            assert_int_equal(info(cut[i]).tcpi_state, TCP_SYN_SENT);
        attach_sources(listener, "fd00::9", "127.0.0.3", form); /* in place of the other */
        for (int i = 0; i < 2; i++) {
            wait_connected(cut[i]);
            close(accept_one(listener));
            close(cut[i]);
        }
        close(open);
        close(listener);
    }
}

/* Reads what has come and checks that the k-th byte is k's. */
static void read_and_check(int fd, uint64_t *received)
{
    static uint8_t bytes[65536];
    ssize_t count = read(fd, bytes, sizeof(bytes));
    assert_true(count > 0);
    for (ssize_t i = 0; i < count; i++, (*received)++)
        if (bytes[i] != (uint8_t)(*received * 131 >> 7))
            fail_msg("byte %lu is wrong", *received);
}

/* Sends `total` bytes and the end of the stream from client to server, within WAIT_MS. */
static void transfer(int client, int server, uint64_t total)
{
    uint64_t sent = 0, received = 0;
    while (received < total) {
        struct pollfd fds[] = {{.fd = server, .events = POLLIN},
                               {.fd = sent < total ? client : -1, .events = POLLOUT}};
        assert_true(poll(fds, 2, WAIT_MS) > 0);
        if (fds[0].revents)
            read_and_check(server, &received);
        if (fds[1].revents) {
            uint8_t bytes[16384];
            size_t count = total - sent < sizeof(bytes) ? (size_t)(total - sent) : sizeof(bytes);
            for (size_t i = 0; i < count; i++)
                bytes[i] = (uint8_t)((sent + i) * 131 >> 7);
            ssize_t written = write(client, bytes, count);
            assert_true(written > 0);
            sent += (uint64_t)written;
            if (sent == total)
                assert_int_equal(shutdown(client, SHUT_WR), 0);
        }
    }
    wait_for(server, POLLIN);
    uint8_t byte;
    assert_int_equal(read(server, &byte, 1), 0);
}

struct loss_case {
    uint32_t loss_ppb;
    int announced_bytes; /* TCP_MAXSEG of the listener; 0: loopback's 64 KiB */
    uint64_t total;
};

static void lose(const struct loss_case *loss, int form)
{
    struct address bound;
    int on = loss->announced_bytes, listener = listen_on("127.0.0.1:0", &bound);
    if (on)
        assert_int_equal(setsockopt(listener, IPPROTO_TCP, TCP_MAXSEG, &on, sizeof(on)), 0);
    int client = connect_to(&bound, NULL), server = accept_one(listener);
    wait_connected(client);
    setsockopt(client, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
    attach(server, &(struct filter_spec){.loss_ppb = loss->loss_ppb}, form);
    uint64_t begin_ns = monotonic_now_ns();
    transfer(client, server, loss->total);
    uint64_t taken_ns = monotonic_now_ns() - begin_ns;
    struct tcp_info after = info(client);
    print_message("%s: %g%% loss, segments of %u: %u retransmits, %ld packets dropped, %.2f MB/s\n",
                  form_names[form], loss->loss_ppb / 1e7, after.tcpi_snd_mss,
                  after.tcpi_total_retrans, (long)filter_dropped(server),
                  (double)loss->total * 1e3 / (double)taken_ns);
    if (on)
        assert_int_equal(after.tcpi_snd_mss, FILTER_SEGMENT_DEFAULT);
    assert_true(after.tcpi_total_retrans >= 1);
    close(client);
    close(server);
    close(listener);
}

/* Loss makes real retransmissions, and no byte of the stream is lost, repeated or moved, though
 * packets of many segments are shortened. With TCP_MAXSEG at the listener the client's segments are
 * those of Ethernet, on loopback too; those of 64 KiB get through, but after many timeouts. */
static void loss_makes_retransmits_and_keeps_the_stream(void **state)
{
    (void)state;
    static const struct loss_case cases[] = {
        {100000000, FILTER_SEGMENT_DEFAULT + 12, 256 << 10}, /* 12: timestamps */
        {10000000, FILTER_SEGMENT_DEFAULT + 12, 4 << 20},
        {10000000, 0, 3 << 20},
    };
    int forms = forms_or_skip();
    for (int i = 0; i < forms * 3; i++)
        lose(&cases[i % 3], i / 3);
}

/* Datagrams of unix sockets are filtered too, at once and one by one: what the kernel makes of the
 * program, counted. */
static void count_kept(int form, uint32_t loss_ppb, unsigned segments, unsigned rounds,
                       unsigned *counts)
{
    int pair[2];
    static uint8_t packet[20 + 45 * FILTER_SEGMENT_DEFAULT] = {[12] = 0x50, [13] = 0x10};
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    attach(pair[1], &(struct filter_spec){.loss_ppb = loss_ppb}, form);
    size_t length = 20 + segments * (size_t)FILTER_SEGMENT_DEFAULT;
    for (unsigned i = 0; i < rounds; i++) {
        assert_int_equal(send(pair[0], packet, length, 0), length);
        ssize_t kept = recv(pair[1], packet, sizeof(packet), 0);
        if (kept < 0)
            assert_int_equal(errno, EAGAIN);
        else
            assert_int_equal((kept - 20) % FILTER_SEGMENT_DEFAULT, 0);
        counts[kept < 0 ? 0 : (kept - 20) / FILTER_SEGMENT_DEFAULT]++;
    }
    close(pair[0]);
    close(pair[1]);
}

/* How many segments are kept has the distribution of the first lost one of n, each with p: k of n
 * with probability (1 - p)^k p, all with (1 - p)^n. Within six sigma. */
static void the_kernel_draws_as_it_should(void **state)
{
    (void)state;
    enum { ROUNDS = 20000, SEGMENTS_MAX = 45 };
    static const unsigned segments[] = {1, 2, 10, SEGMENTS_MAX};
    static const uint32_t losses[] = {10000000, 100000000, 600000000};
    int forms = forms_or_skip();
    for (int i = 0; i < forms * 4 * 3; i++) {
        unsigned counts[SEGMENTS_MAX + 1] = {0}, n = segments[i / 3 % 4];
        double p = losses[i % 3] / 1e9;
        count_kept(i / 12, losses[i % 3], n, ROUNDS, counts);
        for (unsigned k = 0; k <= n; k++) {
            double expected = pow(1 - p, k) * (k < n ? p : 1);
            double sigma = sqrt(ROUNDS * expected * (1 - expected));
            if (fabs(counts[k] - ROUNDS * expected) > 6 * sigma + 3)
                fail_msg("%s, p %g: %u of %u kept %u times, expected %.1f", form_names[i / 12], p,
                         k, n, counts[k], ROUNDS * expected);
        }
    }
}

static int bind_rival(const struct address *bound)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int result = bind(fd, (const struct sockaddr *)&bound->storage, bound->length) ? -errno : 0;
    close(fd);
    return result;
}

static void assert_refused(const struct address *bound)
{
    struct error error;
    int fd = socket_connect(bound, NULL, &error);
    if (fd >= 0) {
        wait_for(fd, POLLOUT);
        assert_int_equal(socket_take_error(fd), -ECONNREFUSED);
        close(fd);
    } else {
        assert_int_equal(fd, -ECONNREFUSED);
    }
}

/* shutdown(SHUT_RD) on a listener: clients that were not accepted yet are reset, new ones refused,
 * and epoll says EPOLLHUP without end; the port stays taken if it had been asked for, as
 * socket_listen always does. listen() brings all back, a filter included. */
static void a_shut_listener_refuses_until_it_listens_again(void **state)
{
    (void)state;
    struct address bound;
    char byte;
    int listener = listen_on("127.0.0.1:0", &bound), pending = connect_to(&bound, NULL);
    wait_connected(pending);
    wait_for(listener, POLLIN);
    int filtered = filter_allowed();
    if (filtered == 0)
        attach(listener, &(struct filter_spec){0}, 0);
    assert_int_equal(shutdown(listener, SHUT_RD), 0);

    wait_for(pending, POLLIN);
    assert_int_equal(read(pending, &byte, 1), -1);
    assert_int_equal(errno, ECONNRESET);
    assert_int_equal(socket_accept(listener, NULL), -EINVAL);
    assert_refused(&bound);
    assert_int_equal(bind_rival(&bound), -EADDRINUSE);
    struct pollfd hung_up = {.fd = listener, .events = POLLIN};
    assert_int_equal(poll(&hung_up, 1, 0), 1);
    assert_true(hung_up.revents & POLLHUP);

    assert_int_equal(listen(listener, 16), 0);
    hung_up.revents = 0;
    assert_int_equal(poll(&hung_up, 1, 0), 0);
    int again = connect_to(&bound, NULL), server = accept_one(listener);
    wait_connected(again);
    assert_int_equal(filter_length(server), filtered == 0 ? 1 : 0);
    close(pending);
    close(again);
    close(server);
    close(listener);
}

/* A port that the kernel chose (bind to port 0) is given up by shutdown(): another may take it, and
 * listen() takes any that is free. */
static void a_shut_listener_gives_up_a_port_it_did_not_choose(void **state)
{
    (void)state;
    struct address bound, moved = {.length = sizeof(moved.storage)};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    parse("127.0.0.1:0", &bound);
    assert_int_equal(bind(listener, (struct sockaddr *)&bound.storage, bound.length), 0);
    assert_int_equal(listen(listener, 16), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&bound.storage, &bound.length), 0);
    assert_int_equal(shutdown(listener, SHUT_RD), 0);
    int rival = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(rival, (struct sockaddr *)&bound.storage, bound.length), 0);
    if (listen(listener, 16)) {
        assert_int_equal(errno, EADDRINUSE); /* no other is free either */
    } else {
        struct sockaddr *name = (struct sockaddr *)&moved.storage;
        assert_int_equal(getsockname(listener, name, &moved.length), 0);
        assert_int_not_equal(address_port(&moved), address_port(&bound));
    }
    close(rival);
    close(listener);
}

/* Calls it in a child without this process's privileges; returns what it returns, or -ENOSYS where
 * such a child can't be had. */
static int in_child(int (*try)(void), bool in_namespace)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (geteuid() == 0 && (setgroups(0, NULL) || setresgid(NOBODY, NOBODY, NOBODY) ||
                               setresuid(NOBODY, NOBODY, NOBODY)))
            _exit(ENOSYS);
        if (in_namespace && unshare(CLONE_NEWUSER | CLONE_NEWNET))
            _exit(ENOSYS);
        _exit(-try());
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return -WEXITSTATUS(status);
}

static int try_load(void)
{
    struct filter_program program;
    filter_compile(&(struct filter_spec){.cut = true}, &program);
    int result = filter_load(&program);
    filter_free(&program);
    return result;
}

static const char *outcome(int result)
{
    return result ? strerror(-result) : "allowed";
}

/* Who may: this process, an ordinary user, an ordinary user in namespaces of its own. A refusal is
 * EPERM, never a success without effect. */
static void refusals_are_permission_errors(void **state)
{
    (void)state;
    int results[][2] = {
        {filter_allowed(), try_load()},
        {in_child(filter_allowed, false), in_child(try_load, false)},
        {in_child(filter_allowed, true), in_child(try_load, true)},
    };
    static const char *const who[] = {"this process", "ordinary user", "own user namespace"};
    for (int i = 0; i < 3; i++) {
        if (results[i][0] == -ENOSYS) {
            print_message("%-18s  NOT TRIED: can't become that here\n", who[i]);
            continue;
        }
        print_message("%-18s  filters %s; loading %s\n", who[i], outcome(results[i][0]),
                      outcome(results[i][1]));
        for (int k = 0; k < 2; k++)
            assert_true(results[i][k] == 0 || results[i][k] == -EPERM || results[i][k] == -EACCES);
    }
    /* whoever is refused at one socket is refused at the other */
    struct filter_program program;
    filter_compile(&(struct filter_spec){.cut = true}, &program);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(filter_attach(fd, &program), results[0][0]);
    filter_free(&program);
    close(fd);
}

enum { SOCKETS = 400 };

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Attaches (NULL: detaches) at all sockets; the total and the median in ns. */
static uint64_t measure(const char *what, const int *fds, const struct filter_program *program)
{
    uint64_t taken[SOCKETS], begin_ns = monotonic_now_ns(), last_ns = begin_ns;
    for (int i = 0; i < SOCKETS; i++) {
        assert_int_equal(program ? filter_attach(fds[i], program) : filter_detach(fds[i]), 0);
        uint64_t now_ns = monotonic_now_ns();
        taken[i] = now_ns - last_ns;
        last_ns = now_ns;
    }
    qsort(taken, SOCKETS, sizeof(taken[0]), compare_u64);
    uint64_t median_ns = taken[SOCKETS / 2];
    print_message("%-34s %8.0f us for %d sockets, p50 %6.2f us\n", what,
                  (double)(last_ns - begin_ns) / 1000, SOCKETS, (double)median_ns / 1000);
    return median_ns;
}

/* A loaded program is attached many times faster than one that the kernel compiles each time: what
 * makes a cut of hundreds of connections quick. */
static void loaded_programs_attach_faster(void **state)
{
    (void)state;
    int forms = forms_or_skip(), fds[SOCKETS];
    uint64_t medians[2][2];
    for (int i = 0; i < SOCKETS; i += 2)
        connect_pair(&fds[i], &fds[i + 1]);
    for (int form = 0; form < forms; form++) {
        struct filter_program cut, loss;
        char what[64];
        make_program(&cut, &(struct filter_spec){.cut = true}, form);
        make_program(&loss, &(struct filter_spec){.loss_ppb = 10000000}, form);
        snprintf(what, sizeof(what), "%s: cut", form_names[form]);
        medians[form][0] = measure(what, fds, &cut);
        snprintf(what, sizeof(what), "%s: loss in place of cut", form_names[form]);
        medians[form][1] = measure(what, fds, &loss);
        snprintf(what, sizeof(what), "%s: cut in place of loss", form_names[form]);
        measure(what, fds, &cut);
        measure("detach", fds, NULL);
        snprintf(what, sizeof(what), "%s: loss (%u instructions)", form_names[form], loss.length);
        measure(what, fds, &loss);
        measure("detach", fds, NULL);
        filter_free(&cut);
        filter_free(&loss);
    }
    for (int i = 0; i < SOCKETS; i++)
        close(fds[i]);
    for (int kind = 0; forms == 2 && kind < 2; kind++)
        assert_true(medians[1][kind] < medians[0][kind]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refusals_are_permission_errors),
        cmocka_unit_test(a_cut_listener_answers_no_syn),
        cmocka_unit_test(a_cut_connection_makes_the_peer_back_off),
        cmocka_unit_test(a_cut_hides_fin_and_reset),
        cmocka_unit_test(a_cut_before_connect_hides_the_answer),
        cmocka_unit_test(accepted_sockets_inherit),
        cmocka_unit_test(a_listener_cuts_some_hosts),
        cmocka_unit_test(a_dual_stack_listener_cuts_some_hosts),
        cmocka_unit_test(loss_makes_retransmits_and_keeps_the_stream),
        cmocka_unit_test(the_kernel_draws_as_it_should),
        cmocka_unit_test(a_shut_listener_refuses_until_it_listens_again),
        cmocka_unit_test(a_shut_listener_gives_up_a_port_it_did_not_choose),
        cmocka_unit_test(loaded_programs_attach_faster),
    };
    return cmocka_run_group_tests_name("platform/filter", tests, NULL, NULL);
}
