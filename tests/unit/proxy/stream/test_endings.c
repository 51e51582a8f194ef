/* Faults that end a stream or hold its end: limit_data, timeout, reset_peer, slow_close. */
#include "tests/unit/proxy/stream/rig.h"

enum { UP, DOWN };
static const enum ruleset_direction directions[2] = {RULESET_UPSTREAM, RULESET_DOWNSTREAM};

/* A fault in one direction, and the ends of a connection seen from it. */
static struct ruleset_fault one_way(const char *name, enum ruleset_fault_type type, int way)
{
    struct ruleset_fault fault = rig_fault(name, type);
    fault.direction = directions[way];
    return fault;
}

static void pair_way(struct rig *rig, int way, int *source, int *sink)
{
    if (way == UP)
        rig_pair(rig, source, sink);
    else
        rig_pair(rig, sink, source);
    rig_turn_for(rig, 2 * NS_PER_MS);
}

/* A plane and a connection. */
static void open_ends(struct rig *rig, int way, int *source, int *sink)
{
    rig_open(rig, 8, 8 << 20);
    pair_way(rig, way, source, sink);
}

static uint64_t discarded(struct rig *rig, int way)
{
    return fault_counter_get(&rig_route(rig)->dropped[way]);
}

static void send_pattern(struct rig *rig, int fd, uint64_t stream, uint64_t *at, uint64_t count)
{
    unsigned char bytes[5000];
    while (count > 0) {
        size_t size = count < sizeof(bytes) ? (size_t)count : sizeof(bytes);
        for (size_t i = 0; i < size; i++)
            bytes[i] = rig_byte(stream, *at + i);
        ssize_t sent = send(fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        assert_true(sent > 0 || errno == EAGAIN);
        *at += sent > 0 ? (uint64_t)sent : 0;
        count -= sent > 0 ? (uint64_t)sent : 0;
        rig_turn(rig);
    }
}

/* Reads up to the end of the stream, which is the pattern and a FIN. Returns how many bytes. */
static uint64_t read_to_end(struct rig *rig, int fd, uint64_t stream)
{
    unsigned char bytes[7000];
    uint64_t at = 0;
    ssize_t got = 1;
    uint64_t deadline_ns = monotonic_now_ns() + RIG_PATIENCE_NS;
    while (got != 0) {
        got = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
        if (got < 0 && errno != EAGAIN)
            fail_msg("after %llu bytes: %s", (unsigned long long)at, strerror(errno));
        for (ssize_t i = 0; i < got; i++)
            assert_int_equal(bytes[i], rig_byte(stream, at + (uint64_t)i));
        at += got > 0 ? (uint64_t)got : 0;
        rig_turn(rig);
        assert_true(monotonic_now_ns() < deadline_ns);
    }
    return at;
}

/* To the byte, whatever the chunks are, and the end is a FIN at both ends although the sender has
 * sent more than was wanted. */
static void limit_data_passes_so_many_bytes(void **state)
{
    (void)state;
    static const uint64_t limits[] = {0, 1, 999, 65536, 70001, 300000};
    for (size_t i = 0; i < 2 * sizeof(limits) / sizeof(limits[0]); i++) {
        int way = i % 2, source, sink;
        struct rig rig;
        uint64_t sent = 0, limit = limits[i / 2];
        rig_open(&rig, 8, 8 << 20);
        struct ruleset_fault fault = one_way("limit", RULESET_LIMIT_DATA, way);
        fault.limit_data.bytes = limit;
        rig_set_fault(&rig, &fault);
        pair_way(&rig, way, &source, &sink);
        /* the other direction has no limit */
        assert_int_equal(send(sink, "request", 7, 0), 7);
        rig_await(&rig, rig_has_bytes(source, 7));
        send_pattern(&rig, source, 1, &sent, limit + 50000);
        assert_int_equal(read_to_end(&rig, sink, 1), limit);
        char request[8];
        assert_int_equal(recv(source, request, sizeof(request), MSG_DONTWAIT), 7);
        rig_await(&rig, rig_has_end(source));
        close(source);
        close(sink);
        rig_await(&rig, stream_plane_open(rig.plane) == 0);
        assert_int_equal(fault_counter_get(&rig_route(&rig)->sent[way]), limit);
        assert_int_equal(discarded(&rig, way), 50000);
        assert_true(rig_touched(&rig, "limit") >= 1);
        rig_close(&rig);
    }
}

/* Counted over changes of the limit; what has passed has passed. */
static void a_limit_can_change_and_go(void **state)
{
    (void)state;
    struct rig rig;
    int client, server;
    uint64_t sent = 0;
    open_ends(&rig, UP, &client, &server);
    struct ruleset_fault fault = one_way("limit", RULESET_LIMIT_DATA, UP);
    fault.limit_data.bytes = 1000;
    rig_set_fault(&rig, &fault); /* on a live connection */
    send_pattern(&rig, client, 1, &sent, 600);
    fault.limit_data.bytes = 2000;
    rig_set_fault(&rig, &fault);
    send_pattern(&rig, client, 1, &sent, 600);
    rig_await(&rig, rig_has_bytes(server, 1200));
    rig_remove_fault(&rig, "limit");
    send_pattern(&rig, client, 1, &sent, 5000);
    rig_await(&rig, rig_has_bytes(server, 6200));
    rig_set_fault(&rig, &fault); /* a new fault counts anew */
    send_pattern(&rig, client, 1, &sent, 2001);
    assert_int_equal(read_to_end(&rig, server, 1), 8200);
    rig_close_ends(&rig, client, server);
}

/* What a limit has cut off leaves a gap, and nothing may come behind it, even when the last bytes
 * are still on their way when the limit is removed. */
static void nothing_passes_behind_a_removed_limit(void **state)
{
    (void)state;
    struct rig rig;
    int client, server;
    uint64_t sent = 0;
    open_ends(&rig, UP, &client, &server);
    struct ruleset_fault limit = one_way("limit", RULESET_LIMIT_DATA, UP);
    struct ruleset_fault slow = one_way("slow", RULESET_LATENCY, UP);
    limit.limit_data.bytes = 1000;
    slow.latency.delay_ns = 30 * NS_PER_MS;
    rig_set_fault(&rig, &limit);
    rig_set_fault(&rig, &slow); /* behind the limit */
    send_pattern(&rig, client, 1, &sent, 1500);
    rig_await(&rig, fault_counter_get(&rig_route(&rig)->received[UP]) == 1500);
    rig_remove_fault(&rig, "limit");
    send_pattern(&rig, client, 1, &sent, 700);
    rig_turn_for(&rig, 5 * NS_PER_MS);
    rig_remove_fault(&rig, "slow"); /* all that is held is ready at once */
    assert_int_equal(read_to_end(&rig, server, 1), 1000);
    rig_await(&rig, rig_has_end(client));
    rig_close_ends(&rig, client, server);
}

/* A FIN before the limit is an ordinary one: the answer still comes. */
static void half_close_survives_a_limit(void **state)
{
    (void)state;
    struct rig rig;
    int client, server;
    uint64_t sent = 0;
    rig_open(&rig, 8, 8 << 20);
    struct ruleset_fault fault = rig_fault("limit", RULESET_LIMIT_DATA);
    fault.limit_data.bytes = 1000;
    rig_set_fault(&rig, &fault);
    pair_way(&rig, UP, &client, &server);
    send_pattern(&rig, client, 1, &sent, 999);
    shutdown(client, SHUT_WR);
    assert_int_equal(read_to_end(&rig, server, 1), 999);
    sent = 0;
    send_pattern(&rig, server, 2, &sent, 999);
    shutdown(server, SHUT_WR);
    assert_int_equal(read_to_end(&rig, client, 2), 999);
    rig_await(&rig, stream_plane_open(rig.plane) == 0);
    rig_close_ends(&rig, client, server);
}

/* Peers that keep their sockets open do not keep the slot for ever, and one that never reads does
 * not either. */
static void lingering_ends(void **state)
{
    (void)state;
    struct rig rig;
    int client, server;
    static char bytes[1 << 20];
    rig_open(&rig, 8, 32 << 20);
    pair_way(&rig, UP, &client, &server);
    uint64_t quiet = 0;
    while (quiet < 20) { /* until the server's socket is full */
        ssize_t done = send(client, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL);
        quiet = done > 0 ? 0 : quiet + 1;
        rig_turn(&rig);
    }
    struct ruleset_fault fault = rig_fault("end", RULESET_TIMEOUT);
    fault.timeout.timeout_ns = NS_PER_MS;
    rig_set_fault(&rig, &fault);
    unsigned begin = rig.turns;
    rig_await(&rig, rig_has_end(client));
    assert_true(rig.turns - begin < 1000);
    rig_await(&rig, stream_plane_open(rig.plane) == 0);
    assert_true(rig.turns - begin < 5000);
    rig_close_ends(&rig, client, server);
}

static void a_timeout_discards_then_closes(void **state)
{
    (void)state;
    for (int way = 0; way < 2; way++) {
        struct rig rig;
        int source, sink;
        uint64_t sent = 0;
        open_ends(&rig, way, &source, &sink);
        struct ruleset_fault fault = one_way("stop", RULESET_TIMEOUT, way);
        fault.timeout.timeout_ns = 80 * NS_PER_MS;
        rig_set_fault(&rig, &fault);
        uint64_t begin_ns = loop_now_ns(rig.loop);
        send_pattern(&rig, source, 1, &sent, 12000);
        assert_int_equal(send(sink, "back", 4, 0), 4); /* the other direction has its bytes */
        rig_await(&rig, rig_has_bytes(source, 4));
        rig_await(&rig, discarded(&rig, way) == 12000);
        assert_true(rig_is_silent(sink));
        char back[4];
        assert_int_equal(recv(source, back, 4, 0), 4);
        rig_await(&rig, rig_has_end(sink));
        uint64_t took_ns = monotonic_now_ns() - begin_ns;
        assert_true(took_ns >= 80 * NS_PER_MS);
        rig_await(&rig, rig_has_end(source));
        struct fault_link_counters *link =
            way == UP ? rig_link(&rig, "a", "b") : rig_link(&rig, "b", "a");
        assert_true(fault_counter_get(&link->dropped[FAULT_CAUSE_DISCARD]) >= 1);
        close(source);
        close(sink);
        rig_await(&rig, stream_plane_open(rig.plane) == 0);
        rig_close(&rig);
    }
}

/* Without a time it discards until it is removed; its removal closes what it was on. */
static void removing_a_timeout_closes(void **state)
{
    (void)state;
    struct rig rig;
    int client, server, later, later_server;
    uint64_t sent = 0;
    open_ends(&rig, UP, &client, &server);
    struct ruleset_fault fault = one_way("stop", RULESET_TIMEOUT, DOWN);
    rig_set_fault(&rig, &fault);
    send_pattern(&rig, server, 1, &sent, 40000);
    rig_await(&rig, discarded(&rig, DOWN) == 40000);
    rig_turn_for(&rig, 50 * NS_PER_MS);
    assert_true(rig_is_silent(client));
    assert_int_equal(discarded(&rig, DOWN), 40000);
    rig_remove_fault(&rig, "stop");
    rig_await(&rig, rig_has_end(client));
    rig_await(&rig, rig_has_end(server));
    pair_way(&rig, UP, &later, &later_server); /* new ones are untouched */
    assert_int_equal(send(later_server, "x", 1, 0), 1);
    rig_await(&rig, rig_has_bytes(later, 1));
    close(client);
    close(server);
    rig_close_ends(&rig, later, later_server);
}

/* Who has connected before the removal is on the timeout, accepted or not, however many wait. */
static void removing_a_timeout_closes_what_waits_to_be_accepted(void **state)
{
    (void)state;
    enum { WAITING = 100 };
    struct rig rig;
    int clients[WAITING];
    rig_open(&rig, WAITING, 8 << 20);
    struct ruleset_fault fault = one_way("stop", RULESET_TIMEOUT, UP);
    rig_set_fault(&rig, &fault);
    for (int i = 0; i < WAITING; i++)
        clients[i] = rig_connect(&rig); /* and no turn of the loop */
    assert_int_equal(stream_plane_open(rig.plane), 0);
    rig_remove_fault(&rig, "stop");
    for (int i = 0; i < WAITING; i++) {
        rig_await(&rig, rig_has_end(clients[i]));
        close(clients[i]);
    }
    rig_close(&rig);
}

/* At both ends, whether bytes flow or not, before and after it was dialled. */
static void reset_peer_resets_idle_busy_and_new_ones(void **state)
{
    (void)state;
    for (int way = 0; way < 2; way++)
        for (uint64_t timeout_ns = 0; timeout_ns <= 40 * NS_PER_MS; timeout_ns += 40 * NS_PER_MS) {
            struct rig rig;
            int idle, idle_server, busy, busy_server, fresh_server = -1;
            static char bytes[200000];
            open_ends(&rig, UP, &idle, &idle_server);
            pair_way(&rig, UP, &busy, &busy_server);
            assert_true(send(busy, bytes, sizeof(bytes), MSG_DONTWAIT) > 0);
            assert_true(send(busy_server, bytes, sizeof(bytes), MSG_DONTWAIT) > 0);
            rig_turn(&rig);
            struct ruleset_fault fault = one_way("rst", RULESET_RESET_PEER, way);
            fault.reset_peer.timeout_ns = timeout_ns;
            rig_set_fault(&rig, &fault);
            uint64_t begin_ns = loop_now_ns(rig.loop); /* the fault met them then */
            rig_await(&rig, rig_has_reset(idle));
            assert_true(monotonic_now_ns() - begin_ns >= timeout_ns);
            rig_await(&rig, rig_has_reset(idle_server));
            rig_await(&rig,
                      recv(busy, bytes, sizeof(bytes), MSG_DONTWAIT) < 0 && errno == ECONNRESET);
            rig_await(&rig, recv(busy_server, bytes, sizeof(bytes), MSG_DONTWAIT) < 0 &&
                                errno == ECONNRESET);
            begin_ns = monotonic_now_ns();
            int fresh = rig_connect(&rig);
            rig_await(&rig, rig_has_reset(fresh));
            assert_true(monotonic_now_ns() - begin_ns >= timeout_ns);
            if (rig_try_accept(&rig, &fresh_server))
                rig_await(&rig, rig_has_reset(fresh_server));
            assert_int_equal(stream_plane_open(rig.plane), 0);
            assert_true(rig_touched(&rig, "rst") >= 3);
            int fds[] = {idle, idle_server, busy, busy_server, fresh, fresh_server};
            for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
                if (fds[i] >= 0)
                    close(fds[i]);
            rig_close(&rig);
        }
}

/* A removed one resets nobody. */
static void a_removed_reset_peer_is_harmless(void **state)
{
    (void)state;
    struct rig rig;
    int client, server;
    open_ends(&rig, UP, &client, &server);
    struct ruleset_fault fault = rig_fault("rst", RULESET_RESET_PEER);
    fault.reset_peer.timeout_ns = 60 * NS_PER_MS;
    rig_set_fault(&rig, &fault);
    rig_remove_fault(&rig, "rst"); /* before any turn, so it is not due on a busy machine either */
    rig_turn_for(&rig, 80 * NS_PER_MS);
    assert_int_equal(send(client, "x", 1, 0), 1);
    rig_await(&rig, rig_has_bytes(server, 1));
    rig_close_ends(&rig, client, server);
}

/* Neither a close nor a reset crosses a cut link: each end learns of it when its link heals. */
static void endings_wait_for_the_heal(void **state)
{
    (void)state;
    for (int reset = 0; reset < 2; reset++) {
        struct rig rig;
        int client, server;
        open_ends(&rig, UP, &client, &server);
        rig_cut(&rig, "p", true, false);
        struct ruleset_fault fault = rig_fault("end", reset ? RULESET_RESET_PEER : RULESET_TIMEOUT);
        if (reset)
            fault.reset_peer.timeout_ns = NS_PER_MS;
        else
            fault.timeout.timeout_ns = NS_PER_MS;
        rig_set_fault(&rig, &fault);
        rig_await(&rig, reset ? rig_has_reset(client) : rig_has_end(client));
        /* longer than a close waits for peers that could answer */
        rig_turn_for(&rig, reset ? 20 * NS_PER_MS : 2200 * NS_PER_MS);
        assert_true(rig_is_silent(server));
        rig_heal(&rig, "p");
        rig_await(&rig, reset ? rig_has_reset(server) : rig_has_end(server));
        close(client);
        close(server);
        rig_await(&rig, stream_plane_open(rig.plane) == 0);
        rig_close(&rig);
    }
}

static void slow_close_holds_the_end_alone(void **state)
{
    (void)state;
    for (int reset = 0; reset < 2; reset++) {
        struct rig rig;
        int client, server;
        char bytes[4];
        open_ends(&rig, UP, &client, &server);
        struct ruleset_fault fault = one_way("slow", RULESET_SLOW_CLOSE, UP);
        fault.slow_close.delay_ns = 300 * NS_PER_MS;
        rig_set_fault(&rig, &fault);
        unsigned begin = rig.turns;
        assert_int_equal(send(client, "fast", 4, 0), 4);
        rig_await(&rig, rig_has_bytes(server, 4));
        assert_true(rig.turns - begin < 150);
        assert_int_equal(recv(server, bytes, 4, 0), 4);
        uint64_t begin_ns = monotonic_now_ns();
        if (reset)
            socket_close_reset(client);
        else
            shutdown(client, SHUT_WR);
        if (!reset) { /* the other direction goes on meanwhile */
            assert_int_equal(send(server, "y", 1, 0), 1);
            rig_await(&rig, rig_has_bytes(client, 1));
        }
        rig_await(&rig, reset ? rig_has_reset(server) : rig_has_end(server));
        assert_true(monotonic_now_ns() - begin_ns >= 300 * NS_PER_MS);
        close(server);
        if (!reset)
            close(client);
        rig_await(&rig, stream_plane_open(rig.plane) == 0);
        rig_close(&rig);
    }
}

static void a_removed_slow_close_lets_the_end_go(void **state)
{
    (void)state;
    struct rig rig;
    int client, server;
    open_ends(&rig, UP, &client, &server);
    struct ruleset_fault fault = rig_fault("slow", RULESET_SLOW_CLOSE);
    fault.slow_close.delay_ns = 3600 * NS_PER_S;
    rig_set_fault(&rig, &fault);
    shutdown(client, SHUT_WR);
    rig_turn_for(&rig, 20 * NS_PER_MS);
    assert_true(rig_is_silent(server));
    rig_remove_fault(&rig, "slow");
    rig_await(&rig, rig_has_end(server));
    rig_close_ends(&rig, client, server);
}

/* What a latency holds behind what a timeout has dropped goes nowhere when both are removed at
 * once. */
static void no_stream_goes_on_with_a_gap(void **state)
{
    (void)state;
    enum { HALF = 200000 };
    struct rig rig;
    int client, server;
    uint64_t sent = 0;
    rig_open(&rig, 8, 64 << 20);
    pair_way(&rig, UP, &client, &server);
    struct ruleset_fault latency = one_way("latency", RULESET_LATENCY, UP);
    struct ruleset_fault timeout = rig_fault("timeout", RULESET_TIMEOUT);
    latency.latency.delay_ns = 50 * NS_PER_MS;
    rig_set_fault(&rig, &latency);
    rig_set_fault(&rig, &timeout);
    send_pattern(&rig, client, 1, &sent, HALF);
    rig_await(&rig, discarded(&rig, UP) == HALF);
    latency.latency.delay_ns = 3600 * NS_PER_S;
    rig_set_fault(&rig, &latency);
    send_pattern(&rig, client, 1, &sent, HALF);
    rig_await(&rig, rig_held(&rig, UP) == HALF);
    assert_true(ruleset_remove_fault(&rig.ruleset, "latency"));
    assert_true(ruleset_remove_fault(&rig.ruleset, "timeout"));
    rig_apply(&rig);
    assert_int_equal(read_to_end(&rig, server, 1), 0);
    rig_close_ends(&rig, client, server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        rig_test_both(no_stream_goes_on_with_a_gap),
        rig_test_both(limit_data_passes_so_many_bytes),
        rig_test_both(a_limit_can_change_and_go),
        rig_test_both(nothing_passes_behind_a_removed_limit),
        rig_test_both(half_close_survives_a_limit),
        rig_test_both(lingering_ends),
        rig_test_both(a_timeout_discards_then_closes),
        rig_test_both(removing_a_timeout_closes),
        cmocka_unit_test(removing_a_timeout_closes_what_waits_to_be_accepted),
        rig_test_both(reset_peer_resets_idle_busy_and_new_ones),
        rig_test_both(a_removed_reset_peer_is_harmless),
        rig_test_both(endings_wait_for_the_heal),
        rig_test_both(slow_close_holds_the_end_alone),
        rig_test_both(a_removed_slow_close_lets_the_end_go),
    };
    return cmocka_run_group_tests_name("proxy/stream endings", tests, NULL, NULL);
}
