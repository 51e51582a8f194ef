/* Real cuts and real losses: what the peers' own TCP sees. Skipped where the kernel refuses socket
 * filters. */
#include "tests/unit/proxy/stream/rig.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>

#include "proxy/io/filter.h"

static void open_filtered(struct rig *rig)
{
    struct rig_options options = {.connections_max = 16, .pool_bytes = 64 << 20, .filters = true};
    if (filter_allowed() < 0) {
        print_message("socket filters are refused here: skipped\n");
        skip();
    }
    rig_open_with(rig, &options);
}

static struct tcp_info info_of(int fd)
{
    struct tcp_info info = {0};
    socklen_t length = sizeof(info);
    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length), 0);
    return info;
}

static bool is_connected(int fd)
{
    struct pollfd polled = {.fd = fd, .events = POLLOUT};
    return poll(&polled, 1, 0) == 1 && socket_take_error(fd) == 0;
}

static uint64_t dropped(struct rig *rig, const char *from, const char *to, enum fault_cause cause)
{
    return fault_counter_get(&rig_link(rig, from, to)->dropped[cause]);
}

/* The peer gets no ACK and sends again; the byte comes after the heal, and only then. */
static void a_cut_connection_is_silent_both_ways(void **state)
{
    (void)state;
    struct rig rig;
    int client, server;
    open_filtered(&rig);
    rig_pair(&rig, &client, &server);
    rig_cut(&rig, "cut", true, true);
    assert_int_equal(send(client, "c", 1, 0), 1);
    assert_int_equal(send(server, "s", 1, 0), 1);
    rig_await(&rig, info_of(client).tcpi_backoff >= 1 && info_of(server).tcpi_backoff >= 1);
    assert_int_equal(info_of(client).tcpi_unacked, 1);
    assert_int_equal(info_of(server).tcpi_unacked, 1);
    assert_true(rig_is_silent(client) && rig_is_silent(server));
    rig_await(&rig, dropped(&rig, "a", "b", FAULT_CAUSE_CUT) >= 2);
    rig_await(&rig, dropped(&rig, "b", "a", FAULT_CAUSE_CUT) >= 2);
    rig_heal(&rig, "cut");
    rig_await(&rig, rig_has_bytes(server, 1) && rig_has_bytes(client, 1));
    rig_close_ends(&rig, client, server);
}

static void one_way_cuts_one_way(void **state)
{
    (void)state;
    struct rig rig;
    int client, server;
    open_filtered(&rig);
    rig_pair(&rig, &client, &server);
    rig_cut(&rig, "cut", false, true); /* b->a */
    assert_int_equal(send(client, "c", 1, 0), 1);
    rig_await(&rig, rig_has_bytes(server, 1));
    assert_int_equal(send(server, "s", 1, 0), 1);
    rig_await(&rig, info_of(server).tcpi_backoff >= 1);
    assert_int_equal(info_of(client).tcpi_unacked, 0);
    assert_true(rig_is_silent(client));
    rig_heal(&rig, "cut");
    rig_await(&rig, rig_has_bytes(client, 1));
    rig_close_ends(&rig, client, server);
}

/* The server of a pair whose way back is cut: takes what has come. How much that was. */
static uint64_t take_pattern(int server, uint64_t from)
{
    unsigned char bytes[65536];
    uint64_t taken = 0;
    for (ssize_t got; (got = recv(server, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0;)
        for (ssize_t i = 0; i < got; i++)
            assert_int_equal(bytes[i], rig_byte(11, from + taken++));
    return taken;
}

static uint64_t give_pattern(int client, uint64_t from)
{
    unsigned char bytes[65536];
    for (uint64_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = rig_byte(11, from + i);
    ssize_t sent = send(client, bytes, sizeof(bytes), MSG_DONTWAIT);
    return sent > 0 ? (uint64_t)sent : 0;
}

/* A filter drops whole segments, and the other way's ACKs are in them: what is open stalls when the
 * first window is full (the client is told to wait, and probes), and goes on after the heal. */
static void the_open_way_stalls_without_acks(void **state)
{
    (void)state;
    struct rig rig;
    int client, server;
    uint64_t sent = 0, taken = 0;
    open_filtered(&rig);
    rig_pair(&rig, &client, &server);
    rig_cut(&rig, "cut", false, true); /* b->a */
    rig_await(&rig, (sent += give_pattern(client, sent), taken += take_pattern(server, taken),
                     info_of(client).tcpi_backoff >= 2));
    assert_true(taken > 0 && taken < sent);
    rig_heal(&rig, "cut");
    rig_await(&rig, (taken += take_pattern(server, taken)) == sent);
    close(client);
    close(server);
    rig_close(&rig);
}

/* Whichever way is cut, the handshake needs both. */
static void a_cut_listener_answers_no_syn(void **state)
{
    (void)state;
    for (int way = 0; way < 2; way++) {
        struct rig rig;
        int server = -1;
        open_filtered(&rig);
        rig_cut(&rig, "cut", way == 0, way == 1);
        int client = rig_connect(&rig);
        rig_await(&rig, info_of(client).tcpi_retransmits >= 1);
        assert_false(is_connected(client));
        assert_int_equal(stream_plane_total(rig.plane), 0);
        rig_await(&rig, dropped(&rig, "a", "b", FAULT_CAUSE_CUT) >= 2);
        rig_heal(&rig, "cut");
        rig_await(&rig, rig_try_accept(&rig, &server));
        assert_true(is_connected(client));
        assert_int_equal(send(client, "c", 1, 0), 1);
        rig_await(&rig, rig_has_bytes(server, 1));
        rig_close_ends(&rig, client, server);
    }
}

static int connect_from(struct rig *rig, const char *host)
{
    struct address source;
    assert_int_equal(address_parse_host(host, &source, NULL), 0);
    int fd = socket_connect(&rig->route_address, &source, NULL);
    assert_true(fd >= 0);
    return fd;
}

/* Clients are told apart by address: 127.0.0.6 is node a, 127.0.0.7 is c, others are none.
 * sources: room for two, for as long as the rig is there. */
static void tell_sources_apart(struct rig *rig, struct route_source *sources)
{
    rig_add_node(rig, "c", "127.0.0.7");
    ruleset_find_node(&rig->ruleset, "a")->address_count = 1;
    snprintf(ruleset_find_node(&rig->ruleset, "a")->addresses[0], 16, "127.0.0.6");
    ruleset_find_route(&rig->ruleset, "r")->from[0] = '\0';
    rig->spec.from_peer = true;
    rig->spec.serial++;
    rig_apply(rig);
    assert_int_equal(address_parse_host("127.0.0.6", &sources[0].host, NULL), 0);
    assert_int_equal(address_parse_host("127.0.0.7", &sources[1].host, NULL), 0);
    sources[0].node = fault_plan_node_slot(rig->plan, "a");
    sources[1].node = fault_plan_node_slot(rig->plan, "c");
    rig->table.sources = sources;
    rig->table.source_count = 2;
    rig->table.sources_serial++;
}

/* Where clients are told apart by address, only the cut one's SYN is lost. */
static void a_listener_of_many_cuts_one_source(void **state)
{
    (void)state;
    struct rig rig;
    int fine_server = -1, server = -1;
    struct route_source sources[2] = {0};
    open_filtered(&rig);
    tell_sources_apart(&rig, sources);
    rig_cut(&rig, "cut", true, true);
    int cut = connect_from(&rig, "127.0.0.6"), fine = connect_from(&rig, "127.0.0.7");
    rig_await(&rig, rig_try_accept(&rig, &fine_server));
    assert_int_equal(send(fine, "f", 1, 0), 1); /* the listener's filter is not its own */
    rig_await(&rig, rig_has_bytes(fine_server, 1));
    rig_await(&rig, info_of(cut).tcpi_retransmits >= 1);
    assert_false(is_connected(cut));
    rig_heal(&rig, "cut");
    rig_await(&rig, rig_try_accept(&rig, &server));
    rig_await(&rig, is_connected(cut));
    close(cut);
    close(fine);
    rig_close_ends(&rig, fine_server, server);
}

/* A loss on the route meets the SYNs of a client that is no node, also where nodes lose more. */
static void a_route_loses_the_syns_of_strangers(void **state)
{
    (void)state;
    struct rig rig;
    struct route_source sources[2] = {0};
    int server = -1;
    struct ruleset_fault fault = {.name = "loss", .type = RULESET_LOSS, .route = "r"};
    fault.loss.probability_ppb = RULESET_PROBABILITY_MAX - 1;
    open_filtered(&rig);
    tell_sources_apart(&rig, sources);
    ruleset_add_fault(&rig.ruleset, &fault);
    rig_cut(&rig, "cut", true, true);
    int stranger = connect_from(&rig, "127.0.0.9");
    rig_await(&rig, info_of(stranger).tcpi_retransmits >= 1);
    assert_false(is_connected(stranger));
    rig_remove_fault(&rig, "loss");
    rig_await(&rig, rig_try_accept(&rig, &server));
    close(stranger);
    close(server);
    rig_close(&rig);
}

static void set_loss(struct rig *rig, uint32_t ppb, bool up)
{
    struct ruleset_fault fault = {.name = "loss", .type = RULESET_LOSS};
    fault.loss.probability_ppb = ppb;
    snprintf(fault.link.from, sizeof(fault.link.from), "%s", up ? "a" : "b");
    snprintf(fault.link.to, sizeof(fault.link.to), "%s", up ? "b" : "a");
    ruleset_add_fault(&rig->ruleset, &fault);
    rig_apply(rig);
}

/* Sends the pattern in small pieces, so that there are many segments, and checks what comes. */
static void send_through(struct rig *rig, int from, int to, uint64_t total)
{
    uint64_t seed = 7;
    struct rig_stream stream = {
        .id = 3, .total = total, .from = from, .to = to, .write_max = 2000, .read_max = 65536};
    while (!stream.finished) {
        rig_stream_step(&stream, &seed, true);
        rig_turn(rig);
    }
}

static void losses_are_retransmitted_and_nothing_is_lost(void **state)
{
    (void)state;
    for (int way = 0; way < 2; way++) {
        struct rig rig;
        int client, server, on = 1;
        open_filtered(&rig);
        rig_pair(&rig, &client, &server);
        int from = way == 0 ? client : server, to = way == 0 ? server : client;
        setsockopt(from, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        set_loss(&rig, 200000000, way == 0);
        assert_int_equal(info_of(from).tcpi_total_retrans, 0);
        uint64_t sent = 0;
        while (info_of(from).tcpi_total_retrans < 3) { /* one lost segment at a time */
            unsigned char byte = rig_byte(9, sent++);
            assert_int_equal(send(from, &byte, 1, 0), 1);
            rig_await(&rig, rig_has_bytes(to, sent));
        }
        const char *link[2] = {way == 0 ? "a" : "b", way == 0 ? "b" : "a"};
        rig_await(&rig, dropped(&rig, link[0], link[1], FAULT_CAUSE_LOSS) >= 3);
        uint16_t slot = fault_plan_fault_slot(rig.plan, "loss", NULL);
        assert_true(fault_counter_get(&rig.counters->touched[slot]) >= 3);
        assert_int_equal(dropped(&rig, link[1], link[0], FAULT_CAUSE_LOSS), 0);
        for (uint64_t i = 0; i < sent; i++) {
            unsigned char byte;
            assert_int_equal(recv(to, &byte, 1, 0), 1);
            assert_int_equal(byte, rig_byte(9, i));
        }
        rig_remove_fault(&rig, "loss");
        /* not by retransmissions: on a busy machine TCP probes for a late acknowledgment, too */
        uint64_t before = dropped(&rig, link[0], link[1], FAULT_CAUSE_LOSS);
        send_through(&rig, from, to, 200000);
        assert_int_equal(dropped(&rig, link[0], link[1], FAULT_CAUSE_LOSS), before);
        rig_close_ends(&rig, client, server);
    }
}

/* Half of all SYNs: of 12 clients that none sends twice is as likely as 1 in 4096. */
static void syns_are_lost_too(void **state)
{
    (void)state;
    enum { CLIENTS = 12 };
    struct rig rig;
    int clients[CLIENTS], servers[CLIENTS];
    open_filtered(&rig);
    set_loss(&rig, 500000000, true);
    uint64_t again = 0;
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = rig_connect(&rig);
        rig_turn(&rig);
        again += !is_connected(clients[i]);
    }
    assert_true(again > 0);
    rig_remove_fault(&rig, "loss");
    for (int i = 0; i < CLIENTS; i++) {
        rig_await(&rig, rig_try_accept(&rig, &servers[i]));
        close(servers[i]);
    }
    for (int i = 0; i < CLIENTS; i++)
        close(clients[i]);
    rig_close(&rig);
}

/* A socket has the filter of its listener from the handshake on, and is accepted later. */
static void a_loss_that_went_before_the_accept_is_gone(void **state)
{
    enum { SEGMENTS = 500 };
    (void)state;
    struct rig rig;
    int server;
    open_filtered(&rig);
    set_loss(&rig, 50000000, true);
    int client = rig_connect(&rig);
    rig_remove_fault(&rig, "loss");
    rig_await(&rig, rig_try_accept(&rig, &server));
    socket_set_nodelay(client);
    uint32_t again = info_of(client).tcpi_total_retrans;
    for (int i = 0; i < SEGMENTS; i++) {
        assert_int_equal(send(client, "x", 1, 0), 1);
        rig_turn(&rig);
    }
    rig_await(&rig, rig_has_bytes(server, SEGMENTS));
    /* not 25: on a busy machine TCP probes for a late acknowledgment, too */
    assert_in_range(info_of(client).tcpi_total_retrans - again, 0, 9);
    rig_close_ends(&rig, client, server);
}

static void a_loss_begins_after_its_time(void **state)
{
    enum { SEGMENTS = 50 };
    (void)state;
    struct rig rig;
    int client, server;
    open_filtered(&rig);
    struct ruleset_fault loss = rig_fault("loss", RULESET_LOSS);
    loss.loss.probability_ppb = 500000000;
    loss.after_ns = 3600 * NS_PER_S;
    rig_set_fault(&rig, &loss);
    rig_pair(&rig, &client, &server);
    socket_set_nodelay(client);
    for (int i = 0; i < SEGMENTS; i++) {
        assert_int_equal(send(client, "x", 1, 0), 1);
        rig_turn(&rig);
    }
    rig_await(&rig, rig_has_bytes(server, SEGMENTS));
    assert_in_range(info_of(client).tcpi_total_retrans, 0, 9); /* not 25, see above */
    loss.after_ns = 200 * NS_PER_MS;
    rig_set_fault(&rig, &loss);
    rig_turn_for(&rig, loss.after_ns);
    for (int i = 0; i < SEGMENTS && info_of(client).tcpi_total_retrans == 0; i++) {
        assert_int_equal(send(client, "x", 1, 0), 1);
        rig_turn(&rig);
    }
    rig_await(&rig, info_of(client).tcpi_total_retrans > 0);
    rig_close_ends(&rig, client, server);
}

/* A FIN and a reset are segments like others. */
static void ends_wait_for_the_heal(void **state)
{
    (void)state;
    struct rig rig;
    int client, server, other, other_server;
    open_filtered(&rig);
    rig_pair(&rig, &client, &server);
    rig_pair(&rig, &other, &other_server);
    rig_cut(&rig, "cut", true, true);
    assert_int_equal(shutdown(client, SHUT_WR), 0);
    socket_close_reset(other_server);
    rig_await(&rig, info_of(client).tcpi_backoff >= 1);
    assert_true(rig_is_silent(server) && rig_is_silent(other));
    rig_heal(&rig, "cut");
    char byte;
    rig_await(&rig, recv(server, &byte, 1, MSG_DONTWAIT) == 0);
    assert_true(rig_is_silent(other)); /* its RST was lost: nobody sends it again */
    assert_int_equal(send(other, "x", 1, 0), 1);
    rig_await(&rig, rig_has_reset(other)); /* the answer to what reaches the dead socket */
    close(client);
    rig_close_ends(&rig, server, other);
}

/* Both streams have ended, and severd has closed its sockets, while one way is cut; the ACKs that
 * come in on the closed one are still needed. */
static void a_socket_that_is_closed_has_no_filter(void **state)
{
    (void)state;
    enum { BYTES = 1000000 };
    static char bytes[BYTES];
    struct rig rig;
    int client, server;
    size_t sent = 0, got = 0;
    open_filtered(&rig);
    rig_pair(&rig, &client, &server);
    shutdown(server, SHUT_WR);
    rig_await(&rig, recv(client, bytes, 1, MSG_DONTWAIT) == 0);
    rig_cut(&rig, "cut", false, true); /* b->a: what comes in from the server */
    while (sent < BYTES) {
        ssize_t done = send(client, bytes + sent, BYTES - sent, MSG_DONTWAIT);
        sent += done > 0 ? (size_t)done : 0;
        rig_turn(&rig);
    }
    shutdown(client, SHUT_WR);
    rig_await(&rig, stream_plane_open(rig.plane) == 0);
    for (ssize_t done = 1; done != 0;) {
        rig_await(&rig, (done = recv(server, bytes, BYTES, MSG_DONTWAIT)) >= 0);
        got += (size_t)done;
    }
    assert_int_equal(got, BYTES);
    rig_close_ends(&rig, client, server);
}

/* Nobody writes: TCP asks whether the peer is still there. */
static void a_peer_that_went_during_the_cut_is_found_after_the_heal(void **state)
{
    (void)state;
    struct rig rig;
    int client, server;
    open_filtered(&rig);
    rig_pair(&rig, &client, &server);
    rig_cut(&rig, "cut", true, true);
    socket_close_reset(server);
    rig_heal(&rig, "cut");
    rig_await(&rig, rig_has_reset(client));
    rig_await(&rig, stream_plane_open(rig.plane) == 0);
    close(client);
    rig_close(&rig);
}

/* severd's end of the connection whose far end this is: all are sockets of this process. */
static int near_end(int far)
{
    struct address far_address, address;
    enum { DESCRIPTORS = 1024 };
    far_address.length = sizeof(far_address.storage);
    assert_int_equal(getsockname(far, (struct sockaddr *)&far_address.storage, &far_address.length),
                     0);
    for (int fd = 0; fd < DESCRIPTORS; fd++) {
        address.length = sizeof(address.storage);
        if (getpeername(fd, (struct sockaddr *)&address.storage, &address.length) == 0 &&
            address_same_host(&address, &far_address) &&
            address_port(&address) == address_port(&far_address))
            return fd;
    }
    fail_msg("severd has no socket for descriptor %d", far);
    return -1;
}

static bool is_probed(int fd)
{
    int on = -1;
    socklen_t length = sizeof(on);
    assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, &length), 0);
    return on;
}

/* Both of severd's ends ask their peers after a heal, and not while a cut keeps the answers away:
 * one that is long would end the connection. */
static void nobody_is_asked_during_a_cut(void **state)
{
    (void)state;
    struct rig rig;
    int client, server;
    open_filtered(&rig);
    rig_pair(&rig, &client, &server);
    int down = near_end(client), up = near_end(server);
    assert_true(!is_probed(down) && !is_probed(up));
    for (int i = 0; i < 2; i++) {
        rig_cut(&rig, "cut", true, true);
        rig_await(&rig, !is_probed(down) && !is_probed(up));
        rig_heal(&rig, "cut");
        rig_await(&rig, is_probed(down) && is_probed(up));
    }
    rig_cut(&rig, "cut", true, false); /* a->b: what comes in from the client */
    rig_await(&rig, !is_probed(down));
    assert_true(is_probed(up));
    rig_heal(&rig, "cut");
    rig_await(&rig, is_probed(down));
    rig_close_ends(&rig, client, server);
}

/* "localhost" may be ::1 first: the next address is tried. */
static void an_upstream_may_be_a_name(void **state)
{
    (void)state;
    struct rig rig;
    int client, server;
    struct rig_options options = {.connections_max = 4, .pool_bytes = 8 << 20, .names = true};
    rig_open_with(&rig, &options);
    rig.spec.upstream = (struct address){0};
    rig.spec.upstream_name = "localhost";
    rig.spec.upstream_port = address_port(&rig.upstream_address);
    rig.spec.serial++;
    rig_apply(&rig);
    rig_pair(&rig, &client, &server);
    assert_int_equal(send(client, "c", 1, 0), 1);
    rig_await(&rig, rig_has_bytes(server, 1));
    close(client);
    close(server);

    rig.spec.upstream_port = 1; /* nobody listens there, by any address */
    rig.spec.serial++;
    rig_apply(&rig);
    client = rig_connect(&rig);
    rig_await(&rig, rig_has_reset(client));
    rig_await(&rig, fault_counter_get(&rig_link(&rig, "a", "b")->refused) == 1);
    close(client);

    rig.spec.upstream_name = "no-such-host.invalid";
    rig.spec.serial++;
    rig_apply(&rig);
    client = rig_connect(&rig);
    rig_await(&rig, stream_plane_total(rig.plane) == 3); /* the look-up may take its time */
    close(client);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        rig_test_both(a_cut_connection_is_silent_both_ways),
        rig_test_both(one_way_cuts_one_way),
        rig_test_both(the_open_way_stalls_without_acks),
        rig_test_both(a_cut_listener_answers_no_syn),
        rig_test_both(a_listener_of_many_cuts_one_source),
        rig_test_both(losses_are_retransmitted_and_nothing_is_lost),
        rig_test_both(a_route_loses_the_syns_of_strangers),
        rig_test_both(syns_are_lost_too),
        rig_test_both(a_loss_that_went_before_the_accept_is_gone),
        rig_test_both(a_loss_begins_after_its_time),
        rig_test_both(ends_wait_for_the_heal),
        cmocka_unit_test(nobody_is_asked_during_a_cut),
        cmocka_unit_test(a_socket_that_is_closed_has_no_filter),
        cmocka_unit_test(a_peer_that_went_during_the_cut_is_found_after_the_heal),
        rig_test_both(an_upstream_may_be_a_name),
    };
    return cmocka_run_group_tests_name("proxy/stream filters", tests, NULL, NULL);
}
