/* Faults that meet a connection as a whole: reject and accept_delay. */
#include "tests/unit/proxy/stream/rig.h"

#include <poll.h>

/* What became of a connect that has been answered. */
static bool is_answered(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};
    return poll(&poll_fd, 1, 0) == 1;
}

static bool is_refused(struct rig *rig)
{
    int fd = rig_connect(rig);
    rig_await(rig, is_answered(fd));
    int result = socket_take_error(fd);
    close(fd);
    assert_true(result == 0 || result == -ECONNREFUSED);
    return result == -ECONNREFUSED;
}

static struct ruleset_fault reject_with(uint32_t probability_ppb)
{
    struct ruleset_fault fault = rig_fault("no", RULESET_REJECT);
    fault.reject.probability_ppb = probability_ppb;
    return fault;
}

static void a_sure_reject_is_the_kernels(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) { /* on the route; on its only link */
        struct rig rig;
        int client, server;
        struct ruleset_fault fault = reject_with(RULESET_PROBABILITY_MAX);
        if (i == 1) {
            fault.route[0] = '\0';
            snprintf(fault.link.from, sizeof(fault.link.from), "a");
            snprintf(fault.link.to, sizeof(fault.link.to), "b");
        }
        rig_open(&rig, 8, 8 << 20);
        assert_false(is_refused(&rig));
        for (int again = 0; again < 3; again++) {
            rig_set_fault(&rig, &fault);
            assert_int_equal(fault_counter_get(&rig_route(&rig)->refusing), 1);
            assert_true(is_refused(&rig));
            assert_true(is_refused(&rig));
            /* the loop sleeps */
            unsigned turns = 0;
            uint64_t end_ns = monotonic_now_ns() + 20 * NS_PER_MS;
            for (; monotonic_now_ns() < end_ns; turns++)
                assert_int_equal(loop_turn(rig.loop, end_ns), 0);
            assert_true(turns < 5);
            rig_remove_fault(&rig, "no"); /* the same port listens again */
            assert_int_equal(fault_counter_get(&rig_route(&rig)->refusing), 0);
            rig_pair(&rig, &client, &server);
            close(client);
            close(server);
        }
        rig_close(&rig);
    }
}

/* Also when the route in the slot, and on the socket, becomes another one meanwhile. */
static void a_refusing_listener_is_handed_on_as_it_was(void **state)
{
    (void)state;
    struct rig rig;
    int client, server;
    struct ruleset_fault fault = reject_with(RULESET_PROBABILITY_MAX);
    rig_open(&rig, 8, 8 << 20);
    rig_set_fault(&rig, &fault);
    rig.spec.serial = 2; /* another route on the same socket, still refused */
    rig_apply(&rig);
    assert_true(is_refused(&rig));
    rig.table.route_count = 0;
    rig_apply(&rig);
    ruleset_remove_fault(&rig.ruleset, "no");
    rig.table.route_count = 1;
    rig_apply(&rig);
    rig_pair(&rig, &client, &server);
    rig_close_ends(&rig, client, server);
}

static void a_sure_reject_resets_what_is_open(void **state)
{
    (void)state;
    struct rig rig;
    int clients[3], servers[3];
    char bytes[5];
    struct ruleset_fault fault = reject_with(RULESET_PROBABILITY_MAX);
    rig_open(&rig, 8, 8 << 20);
    for (int i = 0; i < 2; i++)
        rig_pair(&rig, &clients[i], &servers[i]);
    assert_int_equal(send(clients[1], "hello", 5, 0), 5);
    rig_await(&rig, rig_has_bytes(servers[1], 5));
    clients[2] = rig_connect(&rig); /* not accepted yet */
    rig_set_fault(&rig, &fault);
    rig_await(&rig, rig_has_reset(clients[0]));
    rig_await(&rig, rig_has_reset(servers[0]));
    rig_await(&rig, rig_has_reset(clients[1]));
    assert_int_equal(recv(servers[1], bytes, 5, 0), 5);
    rig_await(&rig, rig_has_reset(servers[1]));
    rig_await(&rig, rig_has_reset(clients[2]));
    assert_int_equal(stream_plane_open(rig.plane), 0);
    assert_int_equal(fault_counter_get(&rig_link(&rig, "a", "b")->dropped[FAULT_CAUSE_REJECT]), 2);
    assert_int_equal(rig_touched(&rig, "no"), 2);
    for (int i = 0; i < 3; i++)
        close(clients[i]);
    close(servers[0]);
    close(servers[1]);
    rig_close(&rig);
}

/* One bit for each connection that was refused. */
static uint64_t refusals(struct rig *rig, int count)
{
    uint64_t refused = 0;
    for (int i = 0; i < count; i++) {
        int server = -1, client = rig_connect(rig);
        rig_await(rig, rig_has_reset(client) || rig_try_accept(rig, &server));
        refused |= (uint64_t)(server < 0) << i;
        if (server >= 0)
            close(server);
        close(client);
    }
    return refused;
}

static void a_probable_reject_judges_new_connections_alone(void **state)
{
    (void)state;
    uint64_t seen[3];
    for (int i = 0; i < 3; i++) {
        struct rig rig;
        int client, server;
        struct ruleset_fault fault = reject_with(RULESET_PROBABILITY_MAX / 2);
        rig_open(&rig, 8, 8 << 20);
        rig.ruleset.seed = i < 2 ? 7 : 8;
        rig_pair(&rig, &client, &server);
        rig_set_fault(&rig, &fault);
        assert_int_equal(fault_counter_get(&rig_route(&rig)->refusing), 0);
        seen[i] = refusals(&rig, 60);
        int count = __builtin_popcountll(seen[i]);
        assert_in_range(count, 15, 45);
        assert_int_equal(fault_counter_get(&rig_link(&rig, "a", "b")->dropped[FAULT_CAUSE_REJECT]),
                         count);
        assert_int_equal(rig_touched(&rig, "no"), count);
        assert_true(rig_is_silent(client));
        assert_true(rig_is_silent(server));
        rig_close_ends(&rig, client, server);
    }
    assert_int_equal(seen[0], seen[1]); /* the seed decides */
    assert_int_not_equal(seen[0], seen[2]);
}

/* With a toxicity the listener stays, and of the open connections it resets those that it meets. */
static void a_reject_spares_who_is_spared(void **state)
{
    (void)state;
    enum { PAIRS = 40 };
    struct rig rig;
    int clients[PAIRS], servers[PAIRS], left = 0;
    struct ruleset_fault fault = reject_with(RULESET_PROBABILITY_MAX);
    fault.spared_ppb = RULESET_PROBABILITY_MAX / 2;
    rig_open(&rig, PAIRS, 8 << 20);
    for (int i = 0; i < PAIRS; i++)
        rig_pair(&rig, &clients[i], &servers[i]);
    rig_set_fault(&rig, &fault);
    rig_turn_for(&rig, 5 * NS_PER_MS);
    uint64_t open = stream_plane_open(rig.plane);
    assert_in_range(open, 8, 32);
    for (int i = 0; i < 5; i++) { /* nobody is judged anew */
        rig_latency(&rig, "slow", NS_PER_MS);
        rig_remove_fault(&rig, "slow");
        rig_turn_for(&rig, 2 * NS_PER_MS);
    }
    assert_int_equal(stream_plane_open(rig.plane), open);
    assert_int_equal(rig_touched(&rig, "no"), PAIRS - open);
    for (int i = 0; i < PAIRS; i++) {
        bool spared = rig_is_silent(clients[i]);
        assert_int_equal(spared, rig_is_silent(servers[i]));
        left += spared;
        close(clients[i]);
        close(servers[i]);
    }
    assert_int_equal(left, open);
    rig_close(&rig);
}

/* A cut cable refuses nothing. */
static void a_cut_hides_a_reject(void **state)
{
    (void)state;
    struct rig rig;
    int client, server;
    struct ruleset_fault fault = reject_with(RULESET_PROBABILITY_MAX);
    rig_open(&rig, 8, 8 << 20);
    rig_pair(&rig, &client, &server);
    rig_cut(&rig, "p", true, true);
    rig_set_fault(&rig, &fault);
    int held = rig_connect(&rig);
    rig_await(&rig, stream_plane_open(rig.plane) == 2);
    rig_turn_for(&rig, 10 * NS_PER_MS);
    assert_true(rig_is_silent(client));
    assert_true(rig_is_silent(server));
    assert_true(rig_is_silent(held));
    rig_heal(&rig, "p");
    rig_await(&rig, rig_has_reset(client));
    rig_await(&rig, rig_has_reset(server));
    rig_await(&rig, rig_has_reset(held));
    assert_true(is_refused(&rig));
    close(client);
    rig_close_ends(&rig, server, held);
}

static struct ruleset_fault delay_of(uint64_t delay_ns)
{
    struct ruleset_fault fault = rig_fault("late", RULESET_ACCEPT_DELAY);
    fault.accept_delay.delay_ns = delay_ns;
    return fault;
}

static void an_accept_delay_holds_the_dial(void **state)
{
    (void)state;
    struct rig rig;
    int before, before_server, server;
    struct ruleset_fault fault = delay_of(400 * NS_PER_MS);
    rig_open(&rig, 8, 8 << 20);
    rig_pair(&rig, &before, &before_server);
    rig_set_fault(&rig, &fault);
    uint64_t begin_ns = monotonic_now_ns();
    unsigned begin = rig.turns;
    int client = rig_connect(&rig);
    assert_int_equal(send(client, "early", 5, 0), 5);
    shutdown(client, SHUT_WR);
    assert_int_equal(send(before, "x", 1, 0), 1); /* older ones go on */
    rig_await(&rig, rig_has_bytes(before_server, 1));
    assert_true(rig.turns - begin < 200);
    rig_await(&rig, rig_try_accept(&rig, &server));
    assert_true(monotonic_now_ns() - begin_ns >= 400 * NS_PER_MS);
    rig_await(&rig, rig_has_bytes(server, 5));
    assert_int_equal(rig_touched(&rig, "late"), 1);
    assert_int_equal(send(server, "y", 1, 0), 1); /* half-closed, as ever */
    rig_await(&rig, rig_has_bytes(client, 1));
    close(before);
    close(before_server);
    rig_close_ends(&rig, client, server);
}

static void a_removed_accept_delay_holds_nobody(void **state)
{
    (void)state;
    struct rig rig;
    int server;
    struct ruleset_fault fault = delay_of(3600 * NS_PER_S);
    rig_open(&rig, 8, 8 << 20);
    rig_set_fault(&rig, &fault);
    int client = rig_connect(&rig), gone = rig_connect(&rig);
    rig_await(&rig, stream_plane_open(rig.plane) == 2);
    rig_turn_for(&rig, 10 * NS_PER_MS);
    assert_false(rig_try_accept(&rig, &server));
    socket_close_reset(gone); /* who gives up is forgotten */
    rig_await(&rig, stream_plane_open(rig.plane) == 1);
    rig_latency(&rig, "slow", NS_PER_MS); /* another change releases nobody */
    rig_turn_for(&rig, 10 * NS_PER_MS);
    assert_false(rig_try_accept(&rig, &server));
    rig_remove_fault(&rig, "late");
    rig_await(&rig, rig_try_accept(&rig, &server));
    rig_close_ends(&rig, client, server);
}

/* Counted from its accept, whatever a cut adds. */
static void an_accept_delay_and_a_cut_run_together(void **state)
{
    (void)state;
    struct rig rig;
    int server;
    struct ruleset_fault fault = delay_of(300 * NS_PER_MS);
    rig_open(&rig, 8, 8 << 20);
    rig_set_fault(&rig, &fault);
    int client = rig_connect(&rig);
    rig_await(&rig, stream_plane_open(rig.plane) == 1);
    rig_cut(&rig, "p", false, true);
    rig_turn_for(&rig, 350 * NS_PER_MS);
    assert_false(rig_try_accept(&rig, &server));
    rig_heal(&rig, "p");
    unsigned begin = rig.turns;
    rig_await(&rig, rig_try_accept(&rig, &server));
    assert_true(rig.turns - begin < 150);
    rig_close_ends(&rig, client, server);
}

/* A unix socket cannot be shut down and revived: each connection is accepted and closed. */
static void a_unix_route_rejects_too(void **state)
{
    (void)state;
    struct rig rig;
    char listen[64];
    int server;
    struct ruleset_fault fault = reject_with(RULESET_PROBABILITY_MAX);
    snprintf(listen, sizeof(listen), "unix:/tmp/sever-admission-%d", getpid());
    struct rig_options options = {.listen = listen, .connections_max = 8, .pool_bytes = 8 << 20};
    rig_open_with(&rig, &options);
    rig_set_fault(&rig, &fault);
    int client = rig_connect(&rig);
    rig_await(&rig, rig_has_end(client));
    assert_int_equal(fault_counter_get(&rig_route(&rig)->refusing), 0);
    assert_int_equal(rig_touched(&rig, "no"), 1);
    rig_remove_fault(&rig, "no");
    int again = rig_connect(&rig);
    rig_await(&rig, rig_try_accept(&rig, &server));
    close(client);
    rig_close_ends(&rig, again, server);
    unlink(listen + strlen("unix:"));
}

/* A dial that nobody answers keeps nobody waiting. */
static void a_hanging_dial_delays_nobody(void **state)
{
    (void)state;
    struct rig rig;
    int fillers[8], answered = 0, client, server, far;
    rig_open(&rig, 16, 8 << 20);
    assert_int_equal(listen(rig.upstream, 0), 0); /* room for one; further SYNs go unanswered */
    for (int i = 0; i < 8; i++)
        fillers[i] = rig_connect(&rig);
    rig_await(&rig, stream_plane_open(rig.plane) == 8);
    rig_turn_for(&rig, 20 * NS_PER_MS);
    struct address other_address, kept = rig.spec.upstream;
    int other = rig_listen(NULL, &other_address);
    rig.spec.upstream = other_address;
    rig_apply(&rig);
    client = rig_connect(&rig);
    rig_await(&rig, (server = socket_accept(other, NULL)) >= 0);
    assert_int_equal(send(client, "x", 1, 0), 1);
    rig_await(&rig, rig_has_bytes(server, 1));
    for (; rig_try_accept(&rig, &far); answered++)
        close(far);
    assert_true(answered < 8); /* some really hung */
    for (int i = 0; i < 8; i++)
        close(fillers[i]);
    rig.spec.upstream = kept;
    close(client);
    rig_close_ends(&rig, server, other);
}

/* A connection waits no longer than the delays that are left. */
static void one_of_two_accept_delays_goes(void **state)
{
    (void)state;
    struct rig rig;
    int server;
    rig_open(&rig, 8, 8 << 20);
    struct ruleset_fault hour = rig_fault("hour", RULESET_ACCEPT_DELAY);
    struct ruleset_fault moment = rig_fault("moment", RULESET_ACCEPT_DELAY);
    hour.accept_delay.delay_ns = 3600 * NS_PER_S;
    moment.accept_delay.delay_ns = NS_PER_MS;
    rig_set_fault(&rig, &hour);
    rig_set_fault(&rig, &moment);
    int client = rig_connect(&rig);
    rig_await(&rig, stream_plane_total(rig.plane) == 1);
    rig_remove_fault(&rig, "hour");
    rig_await(&rig, rig_try_accept(&rig, &server));
    rig_close_ends(&rig, client, server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        rig_test_both(one_of_two_accept_delays_goes),
        cmocka_unit_test(a_sure_reject_is_the_kernels),
        cmocka_unit_test(a_refusing_listener_is_handed_on_as_it_was),
        cmocka_unit_test(a_sure_reject_resets_what_is_open),
        cmocka_unit_test(a_probable_reject_judges_new_connections_alone),
        cmocka_unit_test(a_reject_spares_who_is_spared),
        cmocka_unit_test(a_cut_hides_a_reject),
        cmocka_unit_test(an_accept_delay_holds_the_dial),
        cmocka_unit_test(a_removed_accept_delay_holds_nobody),
        cmocka_unit_test(an_accept_delay_and_a_cut_run_together),
        cmocka_unit_test(a_unix_route_rejects_too),
        cmocka_unit_test(a_hanging_dial_delays_nobody),
    };
    return cmocka_run_group_tests_name("proxy/stream admission", tests, NULL, NULL);
}
