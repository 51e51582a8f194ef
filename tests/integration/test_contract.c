/* The contract of severd (proxy/doc/ARCHITECTURE.md), against the real process. */
#include "tests/integration/net.h"
#include "tests/integration/severd.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "proxy/io/filter.h"

/* A small send buffer, so that stamps stay fresh. The receive buffer is left alone: one that is
 * small next to loopback's 64 KiB segments makes the kernel drop them, and then back off for
 * seconds. */
static int open_socket(int type)
{
    int small = 16384, on = 1;
    struct timeval timeout = {.tv_usec = 50000};
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    if (type == SOCK_STREAM)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return fd;
}

/* Bound to a free port; stream sockets listen. */
static int open_server(int type, int *port)
{
    struct sockaddr_in address = net_address(0);
    socklen_t length = sizeof(address);
    int fd = open_socket(type);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    if (type == SOCK_STREAM)
        assert_int_equal(listen(fd, 64), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

static int connect_to(int port)
{
    struct sockaddr_in address = net_address(port);
    int fd = open_socket(SOCK_STREAM);
    net_await(connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0); /* it waits 50 ms */
    return fd;
}

static int accept_from(int listener)
{
    struct timeval timeout = {.tv_usec = 50000};
    uint64_t deadline_ns = monotonic_now_ns() + NET_PATIENCE_NS;
    int on = 1, fd;
    while ((fd = accept(listener, NULL, NULL)) < 0)
        assert_true(monotonic_now_ns() < deadline_ns);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return fd;
}

/* Contract line 1. The epoch is odd while a cut is known to be in force: it becomes odd after the
 * cut's answer, and even before the heal is asked for. Each record carries the epoch at which it
 * was sent. A record of an odd epoch that is received while that epoch lasts has crossed a cut
 * link. */
enum { ROUTES = 4, FLOWS = 2 * ROUTES, RECORDS = 16 };

struct record {
    uint64_t sequence, epoch;
};

static atomic_ulong epoch;
static atomic_bool hammering;

struct hammer {
    int from, to;
    pthread_t sender, receiver;
    atomic_ulong sent, received;
    atomic_ulong sent_while_cut;
    atomic_ulong crossed;    /* violations of line 1 */
    atomic_ulong misordered; /* violations of line 2 */
};

static void *hammer_send(void *context)
{
    struct hammer *hammer = context;
    struct record records[RECORDS];
    size_t pending = 0;
    uint64_t sequence = 0;
    while (atomic_load(&hammering)) {
        if (pending == 0) {
            uint64_t now = atomic_load(&epoch);
            for (int i = 0; i < RECORDS; i++)
                records[i] = (struct record){.sequence = sequence++, .epoch = now};
            pending = sizeof(records);
        }
        /* the rest of a block that was begun before the cut has its old epoch: never a false alarm
         */
        ssize_t done =
            send(hammer->from, (char *)records + sizeof(records) - pending, pending, MSG_NOSIGNAL);
        if (done <= 0)
            continue;
        pending -= (size_t)done;
        atomic_store(&hammer->sent, sequence);
        if (records[0].epoch & 1)
            atomic_fetch_add(&hammer->sent_while_cut, 1);
    }
    return NULL;
}

static void *hammer_receive(void *context)
{
    struct hammer *hammer = context;
    struct record record;
    size_t have = 0;
    uint64_t expected = 0;
    while (atomic_load(&hammering)) {
        ssize_t got = recv(hammer->to, (char *)&record + have, sizeof(record) - have, 0);
        if (got <= 0)
            continue;
        uint64_t now = atomic_load(&epoch);
        have += (size_t)got;
        if (have < sizeof(record))
            continue;
        have = 0;
        if (record.sequence != expected++)
            atomic_fetch_add(&hammer->misordered, 1);
        if ((record.epoch & 1) && record.epoch == now)
            atomic_fetch_add(&hammer->crossed, 1);
        atomic_store(&hammer->received, expected);
    }
    return NULL;
}

static void start_hammers(struct hammer *hammers)
{
    atomic_store(&hammering, true);
    for (int i = 0; i < FLOWS; i++) {
        assert_int_equal(pthread_create(&hammers[i].sender, NULL, hammer_send, &hammers[i]), 0);
        assert_int_equal(pthread_create(&hammers[i].receiver, NULL, hammer_receive, &hammers[i]),
                         0);
    }
}

static void stop_hammers(struct hammer *hammers)
{
    atomic_store(&hammering, false);
    for (int i = 0; i < FLOWS; i++) {
        pthread_join(hammers[i].sender, NULL);
        pthread_join(hammers[i].receiver, NULL);
    }
}

/* Both directions of one connection through each route, n1 to the others. */
static void open_hammers(struct severd *severd, struct hammer *hammers, int *listeners)
{
    severd_add_node(severd, "n1");
    for (int i = 0; i < ROUTES; i++) {
        char name[8];
        int upstream_port;
        snprintf(name, sizeof(name), "n%d", i + 2);
        severd_add_node(severd, name);
        listeners[i] = open_server(SOCK_STREAM, &upstream_port);
        int client = connect_to(severd_add_route(severd, name, "tcp", upstream_port, "n1", name));
        int server = accept_from(listeners[i]);
        hammers[2 * i] = (struct hammer){.from = client, .to = server};
        hammers[2 * i + 1] = (struct hammer){.from = server, .to = client};
    }
}

static const char *const stall_only[] = {"--stall-only", NULL};

/* extra: NULL for cuts by socket filters, where the kernel allows them. */
static void check_that_nothing_crosses_a_cut(const char *const *extra)
{
    static struct hammer hammers[FLOWS];
    struct severd severd;
    int listeners[ROUTES];
    unsigned long sent_while_cut = 0;
    atomic_store(&epoch, 0);
    severd_start(&severd, "2", extra);
    open_hammers(&severd, hammers, listeners);
    start_hammers(hammers);
    for (int round = 0; round < 40; round++) {
        unsigned long before[FLOWS];
        severd_tell(&severd, "POST", "/v1/partitions",
                    json_pack("{s:s, s:s}", "name", "p", "isolate", "n1"));
        atomic_fetch_add(&epoch, 1);
        monotonic_sleep_until(monotonic_now_ns() + (uint64_t)(round % 5) * 2 * NS_PER_MS);
        for (int i = 0; i < FLOWS; i++)
            before[i] = atomic_load(&hammers[i].received);
        atomic_fetch_add(&epoch, 1);
        severd_tell(&severd, "DELETE", "/v1/partitions/p", NULL);
        for (int i = 0; i < FLOWS; i++)
            net_await(atomic_load(&hammers[i].received) > before[i]);
    }
    stop_hammers(hammers);
    for (int i = 0; i < FLOWS; i++) {
        assert_int_equal(atomic_load(&hammers[i].crossed), 0);
        assert_int_equal(atomic_load(&hammers[i].misordered), 0);
        sent_while_cut += atomic_load(&hammers[i].sent_while_cut);
    }
    assert_true(sent_while_cut > 0); /* senders did try while it was cut */
    json_t *link = severd_ask(&severd, "GET", "/v1/links?node=n1", NULL);
    assert_non_null(json_object_get(link, "links"));
    json_decref(link);
    for (int i = 0; i < ROUTES; i++) {
        close(hammers[2 * i].from);
        close(hammers[2 * i].to);
        close(listeners[i]);
    }
    severd_stop(&severd);
}

static void nothing_crosses_a_cut_that_was_answered(void **state)
{
    (void)state;
    check_that_nothing_crosses_a_cut(NULL);
}

static void nothing_crosses_a_stall_that_was_answered(void **state)
{
    (void)state;
    check_that_nothing_crosses_a_cut(stall_only);
}

/* With a stall a token hops when its link opens; with filters, when TCP sends it again: that both
 * hold the bytes of a whole change at one moment is the same code, and quicker to see here.
 *
 * Two links on different workers, of which exactly one is cut at any time; each change swaps them.
 * A token runs in a ring over both, so each change lets it make exactly one hop: were both links
 * open for a moment, it would make two. */
struct ring {
    int receive, send;
    atomic_ulong *hops;
    atomic_bool *running;
    pthread_t thread;
};

static void *ring_run(void *context)
{
    struct ring *ring = context;
    char token;
    while (atomic_load(ring->running)) {
        if (recv(ring->receive, &token, 1, 0) != 1)
            continue;
        atomic_fetch_add(ring->hops, 1);
        if (send(ring->send, &token, 1, MSG_NOSIGNAL) != 1)
            break;
    }
    return NULL;
}

static void put_cut(struct severd *severd, const char *link)
{
    json_t *ruleset = severd_ask(severd, "GET", "/v1/ruleset", NULL);
    assert_int_equal(json_object_set_new(ruleset, "partitions",
                                         json_pack("[{s:s, s:[s]}]", "name", "p", "links", link)),
                     0);
    severd_tell(severd, "PUT", "/v1/ruleset", ruleset);
}

static void a_change_to_many_links_is_one_step(void **state)
{
    (void)state;
    struct severd severd;
    atomic_ulong hops = 0;
    atomic_bool running = true;
    int first_port, second_port;
    severd_start(&severd, "2", stall_only);
    severd_add_node(&severd, "n1");
    severd_add_node(&severd, "n2");
    int first_listener = open_server(SOCK_STREAM, &first_port);
    int second_listener = open_server(SOCK_STREAM, &second_port);
    int first = connect_to(severd_add_route(&severd, "r1", "tcp", first_port, "n1", "n2"));
    int first_far = accept_from(first_listener);
    int second = connect_to(severd_add_route(&severd, "r2", "tcp", second_port, "n2", "n1"));
    int second_far = accept_from(second_listener);
    struct ring rings[2] = {
        {.receive = first_far, .send = second, .hops = &hops, .running = &running},
        {.receive = second_far, .send = first, .hops = &hops, .running = &running}};
    put_cut(&severd, "n1->n2");
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&rings[i].thread, NULL, ring_run, &rings[i]), 0);
    assert_int_equal(send(first, "t", 1, 0), 1);
    for (unsigned long swap = 1; swap <= 300; swap++) {
        put_cut(&severd, swap % 2 ? "n2->n1" : "n1->n2");
        net_await(atomic_load(&hops) >= swap);
        assert_int_equal(atomic_load(&hops), swap);
    }
    atomic_store(&running, false);
    for (int i = 0; i < 2; i++)
        pthread_join(rings[i].thread, NULL);
    assert_int_equal(atomic_load(&hops), 300);
    close(first);
    close(first_far);
    close(second);
    close(second_far);
    close(first_listener);
    close(second_listener);
    severd_stop(&severd);
}

static int compare_times(const void *a, const void *b)
{
    const uint64_t *time_a = a, *time_b = b;
    return (*time_a > *time_b) - (*time_a < *time_b);
}

static void a_split_of_a_hundred_nodes_is_quick(void **state)
{
    (void)state;
    enum { NODES = 100, LINKS = NODES * NODES / 2, SPLITS = 31, MEDIAN = SPLITS / 2 };
    struct severd severd;
    uint64_t times[SPLITS];
    severd_start(&severd, "2", NULL);
    json_t *nodes = json_array(), *left = json_array(), *right = json_array();
    for (int i = 0; i < NODES; i++) {
        char name[8];
        snprintf(name, sizeof(name), "n%d", i);
        json_array_append_new(nodes, json_pack("{s:s}", "name", name));
        json_array_append_new(i < NODES / 2 ? left : right, json_string(name));
    }
    severd_tell(&severd, "PUT", "/v1/ruleset", json_pack("{s:i, s:o}", "seed", 1, "nodes", nodes));
    json_t *split = json_pack("{s:s, s:[o, o]}", "name", "split", "groups", left, right);
    for (int i = 0; i < SPLITS; i++) {
        uint64_t begin_ns = monotonic_now_ns();
        json_t *answer = severd_ask(&severd, "POST", "/v1/partitions", json_incref(split));
        times[i] = monotonic_now_ns() - begin_ns;
        assert_int_equal(json_array_size(json_object_get(answer, "links")), LINKS);
        json_decref(answer);
        severd_tell(&severd, "DELETE", "/v1/partitions/split", NULL);
    }
    json_decref(split);
    qsort(times, SPLITS, sizeof(times[0]), compare_times);
    print_message("split of %d nodes by the API, answer of %d links included: "
                  "median %.2f ms, worst %.2f ms\n",
                  NODES, LINKS, (double)times[MEDIAN] / 1e6, (double)times[SPLITS - 1] / 1e6);
    assert_true(times[MEDIAN] < NS_PER_S);
    severd_stop(&severd);
}

static json_int_t count_of(struct severd *severd, const char *link, const char *group,
                           const char *counter)
{
    json_t *answer = severd_ask(severd, "GET", "/v1/links", NULL), *entry;
    size_t index;
    json_int_t value = -1;
    json_array_foreach(json_object_get(answer, "links"), index, entry)
    {
        if (strcmp(json_string_value(json_object_get(entry, "link")), link) != 0)
            continue;
        json_t *holder = group ? json_object_get(entry, group) : entry;
        value = json_integer_value(json_object_get(holder, counter));
    }
    json_decref(answer);
    return value;
}

static void what_a_cut_drops_or_holds_is_counted(void **state)
{
    (void)state;
    struct severd severd;
    int udp_port, tcp_port;
    char buffer[16];
    severd_start(&severd, "1", stall_only);
    severd_add_node(&severd, "n1");
    severd_add_node(&severd, "n2");
    int udp_server = open_server(SOCK_DGRAM, &udp_port);
    int listener = open_server(SOCK_STREAM, &tcp_port);
    int route_port = severd_add_route(&severd, "u", "udp", udp_port, "n1", "n2");
    int tcp = connect_to(severd_add_route(&severd, "t", "tcp", tcp_port, "n1", "n2"));
    int far = accept_from(listener);
    struct sockaddr_in route = net_address(route_port);
    int udp = open_socket(SOCK_DGRAM);
    assert_int_equal(connect(udp, (struct sockaddr *)&route, sizeof(route)), 0);
    assert_int_equal(send(udp, "one", 3, 0), 3);
    net_await(recv(udp_server, buffer, sizeof(buffer), 0) == 3);
    severd_tell(&severd, "POST", "/v1/partitions", json_pack("{s:[s]}", "links", "n1->n2"));
    for (int i = 0; i < 5; i++)
        assert_int_equal(send(udp, "lost", 4, 0), 4);
    assert_int_equal(send(tcp, "held", 4, 0), 4);
    net_await(count_of(&severd, "n1->n2", "dropped", "cut") == 5);
    net_await(count_of(&severd, "n1->n2", NULL, "held_bytes") == 4);
    assert_int_equal(count_of(&severd, "n1->n2", NULL, "held_connections"), 1);
    assert_int_equal(recv(udp_server, buffer, sizeof(buffer), MSG_DONTWAIT), -1);
    severd_tell(&severd, "DELETE", "/v1/partitions", NULL);
    net_await(recv(far, buffer, sizeof(buffer), 0) == 4);
    assert_memory_equal(buffer, "held", 4);
    assert_int_equal(recv(udp_server, buffer, sizeof(buffer), MSG_DONTWAIT), -1);
    close(tcp);
    close(far);
    close(udp);
    close(udp_server);
    close(listener);
    severd_stop(&severd);
}

/* The kernel drops the segment, and each time that TCP sends it again. */
static void segments_that_a_cut_drops_are_counted(void **state)
{
    (void)state;
    struct severd severd;
    int port;
    char buffer[16];
    if (filter_allowed() < 0) {
        print_message("socket filters are refused here: skipped\n");
        skip();
    }
    severd_start(&severd, "1", NULL);
    severd_add_node(&severd, "n1");
    severd_add_node(&severd, "n2");
    int listener = open_server(SOCK_STREAM, &port);
    int client = connect_to(severd_add_route(&severd, "t", "tcp", port, "n1", "n2"));
    int far = accept_from(listener);
    severd_tell(&severd, "POST", "/v1/partitions", json_pack("{s:[s]}", "links", "n1->n2"));
    assert_int_equal(send(client, "lost", 4, 0), 4);
    net_await(count_of(&severd, "n1->n2", "dropped", "cut") >= 2);
    assert_int_equal(count_of(&severd, "n1->n2", NULL, "held_connections"), 1);
    assert_int_equal(count_of(&severd, "n1->n2", NULL, "held_bytes"), 0);
    severd_tell(&severd, "DELETE", "/v1/partitions", NULL);
    net_await(recv(far, buffer, sizeof(buffer), 0) == 4);
    assert_memory_equal(buffer, "lost", 4);
    close(client);
    close(far);
    close(listener);
    severd_stop(&severd);
}

static void a_refused_change_changes_nothing(void **state)
{
    (void)state;
    struct severd severd;
    struct error error = {0};
    int port;
    char listen[64];
    severd_start(&severd, "2", NULL);
    int taken = open_server(SOCK_STREAM, &port);
    snprintf(listen, sizeof(listen), "127.0.0.1:%d", port);
    json_t *before = severd_ask(&severd, "GET", "/v1/ruleset", NULL);
    json_t *route = json_pack("{s:s, s:s, s:s, s:s, s:b}", "name", "r", "protocol", "tcp", "listen",
                              listen, "upstream", "127.0.0.1:1", "enabled", 1);
    assert_true(wire_client_request(severd.client, "POST", "/v1/routes", route, NULL, &error) < 0);
    assert_non_null(strstr(error.place, "listen"));
    json_t *after = severd_ask(&severd, "GET", "/v1/ruleset", NULL);
    assert_true(json_equal(before, after));
    /* the same name goes once the address is free */
    close(taken);
    severd_tell(&severd, "POST", "/v1/routes", route);
    json_decref(before);
    json_decref(after);
    severd_stop(&severd);
}

/* Contract line 6: peers that never read, an upstream that is dead: the others and the API go on.
 */
static void a_stuck_peer_delays_nobody(void **state)
{
    (void)state;
    enum { STUCK = 8, ROUNDS = 100 };
    uint64_t times[ROUNDS];
    struct severd severd;
    int port, clients[STUCK], servers[STUCK];
    static char bytes[65536];
    char byte;
    severd_start(&severd, "1", NULL);
    severd_add_node(&severd, "n1");
    severd_add_node(&severd, "n2");
    int listener = open_server(SOCK_STREAM, &port);
    int route = severd_add_route(&severd, "r", "tcp", port, "n1", "n2");
    int dead = severd_add_route(&severd, "dead", "tcp", 1, "n1", "n2");
    for (int i = 0; i < STUCK; i++) {
        clients[i] = connect_to(route);
        servers[i] = accept_from(listener);
        int full = 0;
        while (full < 2) /* two timeouts: nothing goes any more */
            full += send(clients[i], bytes, sizeof(bytes), MSG_NOSIGNAL) <= 0;
    }
    int refused = connect_to(dead);
    int client = connect_to(route), server = accept_from(listener);
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t begin_ns = monotonic_now_ns();
        assert_int_equal(send(client, "x", 1, MSG_NOSIGNAL), 1);
        net_await(recv(server, &byte, 1, 0) == 1);
        severd_tell(&severd, "GET", "/v1/status", NULL);
        times[i] = monotonic_now_ns() - begin_ns;
    }
    qsort(times, ROUNDS, sizeof(times[0]), compare_times);
    assert_true(times[ROUNDS / 2] < 100 * NS_PER_MS); /* a busy machine delays some */
    net_await(recv(refused, &byte, 1, 0) < 0 && errno == ECONNRESET);
    for (int i = 0; i < STUCK; i++) {
        close(clients[i]);
        close(servers[i]);
    }
    close(refused);
    close(client);
    close(server);
    close(listener);
    severd_stop(&severd);
}

/* A terminal that closes must not leave clocks shifted, nor end what was started under nohup. */
static void a_hangup_ends_it_unless_that_is_ignored(void **state)
{
    (void)state;
    struct severd severd;
    struct sigaction ignore = {.sa_handler = SIG_IGN}, before;
    severd_start(&severd, "1", NULL);
    severd_stop_with(&severd, SIGHUP);
    sigaction(SIGHUP, &ignore, &before);
    severd_start(&severd, "1", NULL);
    sigaction(SIGHUP, &before, NULL);
    assert_int_equal(kill(severd.pid, SIGHUP), 0);
    for (int i = 0; i < 2; i++) /* a signal is seen at the latest with the first */
        json_decref(severd_ask(&severd, "GET", "/v1/status", NULL));
    severd_stop(&severd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_crosses_a_cut_that_was_answered),
        cmocka_unit_test(nothing_crosses_a_stall_that_was_answered),
        cmocka_unit_test(a_change_to_many_links_is_one_step),
        cmocka_unit_test(a_split_of_a_hundred_nodes_is_quick),
        cmocka_unit_test(what_a_cut_drops_or_holds_is_counted),
        cmocka_unit_test(segments_that_a_cut_drops_are_counted),
        cmocka_unit_test(a_refused_change_changes_nothing),
        cmocka_unit_test(a_stuck_peer_delays_nobody),
        cmocka_unit_test(a_hangup_ends_it_unless_that_is_ignored),
    };
    return cmocka_run_group_tests_name("contract", tests, NULL, NULL);
}
