#include "tests/unit/proxy/stream/rig.h"

static void a_cut_stalls_and_a_heal_goes_on(void **state)
{
    (void)state;
    struct rig rig;
    int client, server;
    uint64_t seed = 3;
    rig_open(&rig, 8, 64 << 20);
    rig_pair(&rig, &client, &server);
    struct rig_stream up = {.id = 1, .total = 8 << 20, .from = client, .to = server};
    up.write_max = up.read_max = 100000;
    while (up.received < 1 << 20) {
        rig_stream_step(&up, &seed, true);
        rig_turn(&rig);
    }
    rig_cut(&rig, "p", true, true);
    /* what severd had written before the cut may still arrive; then it is quiet */
    uint64_t at_cut = up.sent, before;
    do {
        before = up.received;
        rig_stream_step(&up, &seed, true);
        rig_turn(&rig);
    } while (up.received != before);
    assert_true(up.received <= at_cut);
    uint64_t frozen = up.received;
    for (int i = 0; i < 50; i++) {
        rig_stream_step(&up, &seed, true);
        rig_turn(&rig);
        assert_int_equal(up.received, frozen);
    }
    struct fault_link_counters *link = rig_link(&rig, "a", "b");
    rig_turn(&rig);
    /* all that was sent and not delivered waits in severd, in its receive buffer, or at the sender
     */
    assert_true(fault_counter_get(&link->held_bytes) > 0);
    assert_true(fault_counter_get(&link->held_bytes) <= up.sent - frozen);
    assert_int_equal(fault_counter_get(&link->held_connections), 1);
    assert_int_equal(fault_counter_get(&link->bytes), frozen);
    rig_heal(&rig, "p");
    while (!up.finished) {
        rig_stream_step(&up, &seed, true);
        rig_turn(&rig);
    }
    assert_int_equal(fault_counter_get(&link->bytes), up.total);
    rig_close_ends(&rig, client, server);
}

static void held_bytes_are_counted_exactly(void **state)
{
    (void)state;
    struct rig rig;
    int client, server;
    char buffer[64];
    rig_open(&rig, 8, 8 << 20);
    rig_pair(&rig, &client, &server);
    rig_turn_for(&rig, 2 * NS_PER_MS);
    rig_cut(&rig, "p", true, false);
    struct fault_link_counters *link = rig_link(&rig, "a", "b");
    assert_int_equal(fault_counter_get(&link->held_bytes), 0);
    assert_int_equal(send(client, "hello", 5, 0), 5);
    rig_await(&rig, fault_counter_get(&link->held_bytes) == 5);
    assert_int_equal(send(client, "world!", 6, 0), 6);
    rig_await(&rig, fault_counter_get(&link->held_bytes) == 11);
    /* the other direction is open */
    assert_int_equal(send(server, "back", 4, 0), 4);
    rig_await(&rig, rig_has_bytes(client, 4));
    assert_true(rig_is_silent(server));
    assert_int_equal(fault_counter_get(&rig_link(&rig, "b", "a")->held_bytes), 0);
    rig_heal(&rig, "p");
    rig_await(&rig, rig_has_bytes(server, 11));
    assert_int_equal(recv(server, buffer, sizeof(buffer), 0), 11);
    assert_memory_equal(buffer, "helloworld!", 11);
    assert_int_equal(fault_counter_get(&link->held_bytes), 11);
    rig_close_ends(&rig, client, server);
}

static void partitions_overlap(void **state)
{
    (void)state;
    struct rig rig;
    int client, server;
    rig_open(&rig, 8, 8 << 20);
    rig_pair(&rig, &client, &server);
    rig_turn_for(&rig, 2 * NS_PER_MS);
    rig_cut(&rig, "p", true, false);
    rig_cut(&rig, "q", true, true);
    assert_int_equal(send(client, "x", 1, 0), 1);
    rig_heal(&rig, "p");
    rig_turn_for(&rig, 10 * NS_PER_MS);
    assert_true(rig_is_silent(server));
    assert_int_equal(fault_counter_get(&rig_link(&rig, "a", "b")->held_connections), 1);
    rig_heal(&rig, "q");
    rig_await(&rig, rig_has_bytes(server, 1));
    rig_close_ends(&rig, client, server);
}

static void a_new_connection_waits_for_the_heal(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct rig rig;
        int server;
        char buffer[8];
        rig_open(&rig, 8, 8 << 20);
        rig_cut(&rig, "p", i == 0, i == 1);
        int client = rig_connect(&rig);
        assert_int_equal(send(client, "hi", 2, 0), 2);
        shutdown(client, SHUT_WR);
        rig_await(&rig, stream_plane_open(rig.plane) == 1);
        rig_turn_for(&rig, 20 * NS_PER_MS);
        assert_false(rig_try_accept(&rig, &server));
        struct fault_link_counters *link =
            i == 0 ? rig_link(&rig, "a", "b") : rig_link(&rig, "b", "a");
        assert_int_equal(fault_counter_get(&link->held_connections), 1);
        assert_int_equal(fault_counter_get(&link->held_bytes), i == 0 ? 2 : 0);
        rig_heal(&rig, "p");
        rig_await(&rig, rig_try_accept(&rig, &server));
        rig_await(&rig, rig_has_bytes(server, 2));
        assert_int_equal(recv(server, buffer, 2, 0), 2);
        rig_await(&rig, recv(server, buffer, 1, MSG_DONTWAIT) == 0);
        rig_close_ends(&rig, client, server);
    }
}

static void a_held_client_that_gives_up_is_forgotten(void **state)
{
    (void)state;
    struct rig rig;
    int server;
    rig_open(&rig, 8, 8 << 20);
    rig_cut(&rig, "p", true, true);
    int client = rig_connect(&rig);
    rig_await(&rig, stream_plane_open(rig.plane) == 1);
    socket_close_reset(client);
    rig_await(&rig, stream_plane_open(rig.plane) == 0);
    rig_heal(&rig, "p");
    rig_turn_for(&rig, 10 * NS_PER_MS);
    assert_false(rig_try_accept(&rig, &server));
    rig_close(&rig);
}

static void ends_are_held_back_by_a_cut(void **state)
{
    (void)state;
    for (int reset = 0; reset < 2; reset++) {
        struct rig rig;
        int client, server;
        char byte;
        rig_open(&rig, 8, 8 << 20);
        rig_pair(&rig, &client, &server);
        rig_turn_for(&rig, 2 * NS_PER_MS);
        rig_cut(&rig, "p", true, true);
        if (reset)
            socket_close_reset(client);
        else
            shutdown(client, SHUT_WR);
        rig_turn_for(&rig, 20 * NS_PER_MS);
        assert_true(rig_is_silent(server));
        rig_heal(&rig, "p");
        if (reset)
            rig_await(&rig, rig_has_reset(server));
        else
            rig_await(&rig, recv(server, &byte, 1, MSG_DONTWAIT) == 0);
        close(server);
        if (!reset)
            close(client);
        rig_await(&rig, stream_plane_open(rig.plane) == 0);
        rig_close(&rig);
    }
}

static void held_chunks_in_the_pipeline_wait_too(void **state)
{
    (void)state;
    struct rig rig;
    int client, server;
    char buffer[8];
    rig_open(&rig, 8, 8 << 20);
    rig_latency(&rig, "slow", 300 * NS_PER_MS);
    rig_pair(&rig, &client, &server);
    rig_turn_for(&rig, 2 * NS_PER_MS);
    assert_int_equal(send(client, "abc", 3, 0), 3);
    /* in the turn that it has come in: however long ago that was, the chunk is not due there */
    rig_await(&rig, fault_counter_get(&rig_route(&rig)->received[0]) == 3);
    rig_cut(&rig, "p", true, false);
    assert_int_equal(fault_counter_get(&rig_link(&rig, "a", "b")->held_bytes), 3);
    shutdown(client, SHUT_WR);
    rig_turn_for(&rig, 330 * NS_PER_MS);
    assert_true(rig_is_silent(server));
    rig_heal(&rig, "p");
    rig_await(&rig, rig_has_bytes(server, 3));
    assert_int_equal(recv(server, buffer, sizeof(buffer), 0), 3);
    assert_memory_equal(buffer, "abc", 3);
    rig_await(&rig, recv(server, buffer, 1, MSG_DONTWAIT) == 0);
    rig_close_ends(&rig, client, server);
}

/* A stalled loop must sleep: an end or a backlog on a cut link does not keep it awake. */
static void a_cut_does_not_spin(void **state)
{
    (void)state;
    struct rig rig;
    int clients[3], servers[3];
    rig_open(&rig, 8, 8 << 20);
    for (int i = 0; i < 3; i++)
        rig_pair(&rig, &clients[i], &servers[i]);
    rig_turn_for(&rig, 2 * NS_PER_MS);
    rig_cut(&rig, "p", true, true);
    assert_int_equal(send(clients[0], "x", 1, 0), 1);
    shutdown(clients[1], SHUT_WR);
    shutdown(servers[1], SHUT_WR);
    socket_close_reset(clients[2]);
    rig_turn_for(&rig, 10 * NS_PER_MS);
    unsigned turns = 0;
    uint64_t end_ns = monotonic_now_ns() + 50 * NS_PER_MS;
    for (; monotonic_now_ns() < end_ns; turns++)
        assert_int_equal(loop_turn(rig.loop, end_ns), 0);
    assert_true(turns < 5);
    for (int i = 0; i < 3; i++) {
        if (i != 2)
            close(clients[i]);
        close(servers[i]);
    }
    rig_close(&rig);
}

static void the_source_is_known_by_its_address(void **state)
{
    (void)state;
    struct rig rig;
    struct address c_address;
    rig_open(&rig, 8, 8 << 20);
    struct route_source sources[1] = {0};
    assert_int_equal(address_parse_host("127.77.0.3", &sources[0].host, NULL), 0);
    c_address = sources[0].host;
    rig_add_node(&rig, "c", "127.77.0.3");
    rig.ruleset.routes[0].from[0] = '\0';
    rig.spec.from_peer = true;
    rig.spec.serial = 2;
    rig_apply(&rig);
    sources[0].node = fault_plan_node_slot(rig.plan, "c");
    rig.table.sources = sources;
    rig.table.source_count = 1;
    rig.table.sources_serial = 2;
    rig_apply(&rig);
    int server, client = socket_connect(&rig.route_address, &c_address, NULL);
    assert_true(client >= 0);
    rig_await(&rig, rig_try_accept(&rig, &server));
    rig_await(&rig, fault_counter_get(&rig_link(&rig, "c", "b")->connections) == 1);
    struct ruleset_partition partition = {.name = "p"};
    ruleset_partition_add_link(&partition, "c", "b");
    ruleset_add_partition(&rig.ruleset, &partition);
    ruleset_partition_free(&partition);
    rig_apply(&rig);
    assert_int_equal(send(client, "x", 1, 0), 1);
    /* a peer that is no node is on no link */
    int other_server, other = rig_connect(&rig);
    rig_await(&rig, rig_try_accept(&rig, &other_server));
    assert_int_equal(send(other, "x", 1, 0), 1);
    rig_await(&rig, rig_has_bytes(other_server, 1));
    assert_true(rig_is_silent(server));
    rig_heal(&rig, "p");
    rig_await(&rig, rig_has_bytes(server, 1));
    close(client);
    close(server);
    rig_close_ends(&rig, other, other_server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        rig_test_both(a_cut_stalls_and_a_heal_goes_on),
        rig_test_both(held_bytes_are_counted_exactly),
        rig_test_both(partitions_overlap),
        rig_test_both(a_new_connection_waits_for_the_heal),
        rig_test_both(a_held_client_that_gives_up_is_forgotten),
        rig_test_both(ends_are_held_back_by_a_cut),
        rig_test_both(held_chunks_in_the_pipeline_wait_too),
        rig_test_both(a_cut_does_not_spin),
        rig_test_both(the_source_is_known_by_its_address),
    };
    return cmocka_run_group_tests_name("proxy/stream cut", tests, NULL, NULL);
}
