#include "tests/unit/proxy/stream/rig.h"

/* Fails when nothing comes any more. */
static void pump_both(struct rig *rig, struct rig_stream *up, struct rig_stream *down,
                      uint64_t seed)
{
    uint64_t deadline_ns = 0, before = 0;
    while (!up->finished || !down->finished) {
        rig_stream_step(up, &seed, true);
        rig_stream_step(down, &seed, true);
        assert_int_equal(loop_turn(rig->loop, monotonic_now_ns() + NS_PER_MS / 5), 0);
        if (up->received + down->received > before || deadline_ns == 0)
            deadline_ns = monotonic_now_ns() + RIG_PATIENCE_NS;
        before = up->received + down->received;
        if (monotonic_now_ns() > deadline_ns)
            fail_msg("stuck at %llu of %llu up, %llu of %llu down",
                     (unsigned long long)up->received, (unsigned long long)up->total,
                     (unsigned long long)down->received, (unsigned long long)down->total);
    }
}

static void bytes_cross_exactly_both_ways(void **state)
{
    (void)state;
    struct rig rig;
    int client, server;
    rig_open(&rig, 8, 64 << 20);
    rig_pair(&rig, &client, &server);
    struct rig_stream up = {.id = 1, .total = 24 << 20, .from = client, .to = server};
    struct rig_stream down = {.id = 2, .total = 9 << 20, .from = server, .to = client};
    up.write_max = down.read_max = 200000;
    up.read_max = down.write_max = 50000; /* the reader is slower: the queue is used */
    pump_both(&rig, &up, &down, 1);
    rig_await(&rig, stream_plane_open(rig.plane) == 0);
    struct fault_link_counters *link = rig_link(&rig, "a", "b");
    assert_int_equal(fault_counter_get(&link->bytes), 24 << 20);
    assert_int_equal(fault_counter_get(&link->connections), 1);
    assert_true(fault_counter_get(&link->units) > 0);
    assert_int_equal(fault_counter_get(&rig_link(&rig, "b", "a")->bytes), 9 << 20);
    rig_close_ends(&rig, client, server);
}

static void bytes_cross_exactly_through_faults(void **state)
{
    (void)state;
    struct rig rig;
    int client, server;
    rig_open(&rig, 8, 64 << 20);
    rig_latency(&rig, "slow", 3 * NS_PER_MS);
    rig_rate(&rig, "narrow", 60000000);
    rig_pair(&rig, &client, &server);
    struct rig_stream up = {.id = 3, .total = 4 << 20, .from = client, .to = server};
    struct rig_stream down = {.id = 4, .total = 4 << 20, .from = server, .to = client};
    up.write_max = up.read_max = down.read_max = down.write_max = 200000;
    pump_both(&rig, &up, &down, 2);
    rig_await(&rig, stream_plane_open(rig.plane) == 0);
    rig_close_ends(&rig, client, server);
}

/* Whatever is put in force while bytes cross, they arrive whole and in order. */
static void bytes_cross_exactly_whatever_changes(void **state)
{
    (void)state;
    for (uint64_t round = 1; round <= 3; round++) {
        struct rig rig;
        int client, server;
        uint64_t seed = round * 1000;
        bool cut = false, latency = false, rate = false;
        rig_open(&rig, 8, 8 << 20);
        rig_pair(&rig, &client, &server);
        struct rig_stream up = {.id = 5, .total = 6 << 20, .from = client, .to = server};
        struct rig_stream down = {.id = 6, .total = 3 << 20, .from = server, .to = client};
        up.write_max = up.read_max = down.write_max = down.read_max = 60000;
        uint64_t deadline_ns = monotonic_now_ns() + 3 * RIG_PATIENCE_NS;
        while (!up.finished || !down.finished) {
            rig_stream_step(&up, &seed, true);
            rig_stream_step(&down, &seed, true);
            rig_turn(&rig);
            assert_true(monotonic_now_ns() < deadline_ns);
            switch (random_below(random_mix(++seed), 40)) {
            case 0:
            case 1:
                cut ? rig_heal(&rig, "p") : rig_cut(&rig, "p", seed % 3 > 0, seed % 3 < 2);
                cut = !cut;
                break;
            case 2:
                latency ? rig_remove_fault(&rig, "l") : rig_latency(&rig, "l", 2 * NS_PER_MS);
                latency = !latency;
                break;
            case 3:
                rate ? rig_remove_fault(&rig, "n") : rig_rate(&rig, "n", 30000000);
                rate = !rate;
                break;
            default:
                break;
            }
        }
        if (cut)
            rig_heal(&rig, "p");
        rig_await(&rig, stream_plane_open(rig.plane) == 0);
        rig_close_ends(&rig, client, server);
    }
}

static void a_half_closed_connection_goes_on(void **state)
{
    (void)state;
    struct rig rig;
    int client, server;
    char byte;
    rig_open(&rig, 8, 8 << 20);
    rig_pair(&rig, &client, &server);
    assert_int_equal(send(client, "x", 1, 0), 1);
    shutdown(client, SHUT_WR);
    rig_await(&rig, recv(server, &byte, 1, MSG_DONTWAIT) == 1);
    rig_await(&rig, recv(server, &byte, 1, MSG_DONTWAIT) == 0);
    rig_turn_for(&rig, 5 * NS_PER_MS);
    assert_int_equal(send(server, "y", 1, 0), 1);
    rig_await(&rig, recv(client, &byte, 1, MSG_DONTWAIT) == 1);
    assert_int_equal(byte, 'y');
    assert_true(rig_is_silent(client));
    close(server);
    rig_await(&rig, recv(client, &byte, 1, MSG_DONTWAIT) == 0);
    rig_await(&rig, stream_plane_open(rig.plane) == 0);
    close(client);
    rig_close(&rig);
}

static void a_reset_crosses_as_a_reset(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        bool from_client = i & 1, faults = i & 2;
        struct rig rig;
        int client, server;
        rig_open(&rig, 8, 8 << 20);
        if (faults)
            rig_latency(&rig, "slow", 20 * NS_PER_MS);
        rig_pair(&rig, &client, &server);
        rig_turn_for(&rig, 2 * NS_PER_MS);
        uint64_t begin_ns = monotonic_now_ns();
        socket_close_reset(from_client ? client : server);
        rig_await(&rig, rig_has_reset(from_client ? server : client));
        assert_true(!faults || monotonic_now_ns() - begin_ns >= 20 * NS_PER_MS);
        rig_await(&rig, stream_plane_open(rig.plane) == 0);
        close(from_client ? server : client);
        rig_close(&rig);
    }
}

static void bytes_before_a_reset_arrive(void **state)
{
    (void)state;
    struct rig rig;
    int client, server;
    char buffer[8];
    rig_open(&rig, 8, 8 << 20);
    rig_pair(&rig, &client, &server);
    rig_turn_for(&rig, 2 * NS_PER_MS);
    /* an answer, then a close with the request unread: the kernel sends a reset */
    assert_int_equal(send(client, "request", 7, 0), 7);
    rig_await(&rig, rig_has_bytes(server, 7));
    assert_int_equal(send(server, "answer", 6, 0), 6);
    close(server);
    rig_await(&rig, rig_has_bytes(client, 6));
    assert_int_equal(recv(client, buffer, sizeof(buffer), 0), 6);
    rig_await(&rig, rig_has_reset(client));
    close(client);
    rig_close(&rig);
}

/* The request makes the relay write before it reads: whether the upstream is seen to have reset by
 * the one or the other, its answer arrives. */
static void an_answer_survives_a_write_to_who_reset(void **state)
{
    (void)state;
    for (int latency = 0; latency < 2; latency++) {
        struct rig rig;
        int client, server;
        char text[1000] = "";
        rig_open(&rig, 8, 8 << 20);
        if (latency)
            rig_latency(&rig, "latency", NS_PER_MS);
        rig_pair(&rig, &client, &server);
        rig_turn_for(&rig, 2 * NS_PER_MS);
        assert_int_equal(send(client, "request", 7, 0), 7);
        assert_int_equal(send(server, text, sizeof(text), 0), sizeof(text));
        socket_close_reset(server);
        rig_await(&rig, rig_has_bytes(client, sizeof(text)));
        assert_int_equal(recv(client, text, sizeof(text), 0), sizeof(text));
        rig_await(&rig, rig_has_reset(client));
        close(client);
        rig_close(&rig);
    }
}

static void a_refused_upstream_resets_the_client(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, 8, 8 << 20);
    rig_refuse(&rig);
    int client = rig_connect(&rig);
    rig_await(&rig, rig_has_reset(client));
    assert_int_equal(fault_counter_get(&rig_link(&rig, "a", "b")->refused), 1);
    assert_int_equal(stream_plane_open(rig.plane), 0);
    assert_int_equal(stream_plane_total(rig.plane), 1);
    close(client);
    rig_close(&rig);
}

static void latency_holds_bytes_and_fin_that_long(void **state)
{
    (void)state;
    struct rig rig;
    int client, server;
    char byte;
    rig_open(&rig, 8, 8 << 20);
    rig_latency(&rig, "slow", 50 * NS_PER_MS);
    rig_pair(&rig, &client, &server);
    uint64_t begin_ns = monotonic_now_ns();
    assert_int_equal(send(client, "x", 1, 0), 1);
    rig_await(&rig, recv(server, &byte, 1, MSG_DONTWAIT) == 1);
    assert_true(monotonic_now_ns() - begin_ns >= 50 * NS_PER_MS);
    begin_ns = monotonic_now_ns();
    shutdown(client, SHUT_WR);
    rig_await(&rig, recv(server, &byte, 1, MSG_DONTWAIT) == 0);
    assert_true(monotonic_now_ns() - begin_ns >= 50 * NS_PER_MS);
    uint16_t slot = fault_plan_fault_slot(rig.plan, "slow", NULL);
    assert_true(fault_counter_get(&rig.counters->touched[slot]) >= 1);
    rig_close_ends(&rig, client, server);
}

static void a_rate_is_kept(void **state)
{
    (void)state;
    struct rig rig;
    int client, server;
    uint64_t seed = 9;
    rig_open(&rig, 8, 8 << 20);
    rig_rate(&rig, "narrow", 1000000);
    rig_pair(&rig, &client, &server);
    struct rig_stream up = {.id = 7, .total = 200000, .from = client, .to = server};
    up.write_max = up.read_max = 100000;
    uint64_t begin_ns = monotonic_now_ns();
    unsigned begin = rig.turns;
    while (!up.finished) {
        rig_stream_step(&up, &seed, true);
        rig_turn(&rig);
    }
    assert_true(monotonic_now_ns() - begin_ns >= 195 * NS_PER_MS);
    assert_true(rig.turns - begin < 2000);
    rig_close_ends(&rig, client, server);
}

static void removing_latency_releases_in_order(void **state)
{
    (void)state;
    struct rig rig;
    int client, server;
    char buffer[16];
    rig_open(&rig, 8, 8 << 20);
    rig_latency(&rig, "slow", 3600 * NS_PER_S);
    rig_pair(&rig, &client, &server);
    assert_int_equal(send(client, "one", 3, 0), 3);
    rig_turn_for(&rig, 5 * NS_PER_MS);
    assert_int_equal(send(client, "two", 3, 0), 3);
    rig_turn_for(&rig, 5 * NS_PER_MS);
    assert_true(rig_is_silent(server));
    rig_remove_fault(&rig, "slow");
    assert_int_equal(send(client, "six", 3, 0), 3);
    rig_await(&rig, rig_has_bytes(server, 9));
    assert_int_equal(recv(server, buffer, sizeof(buffer), 0), 9);
    assert_memory_equal(buffer, "onetwosix", 9);
    rig_close_ends(&rig, client, server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        rig_test_both(bytes_cross_exactly_both_ways),
        rig_test_both(bytes_cross_exactly_through_faults),
        rig_test_both(bytes_cross_exactly_whatever_changes),
        rig_test_both(a_half_closed_connection_goes_on),
        rig_test_both(a_reset_crosses_as_a_reset),
        rig_test_both(bytes_before_a_reset_arrive),
        rig_test_both(an_answer_survives_a_write_to_who_reset),
        rig_test_both(a_refused_upstream_resets_the_client),
        rig_test_both(latency_holds_bytes_and_fin_that_long),
        rig_test_both(a_rate_is_kept),
        rig_test_both(removing_latency_releases_in_order),
    };
    return cmocka_run_group_tests_name("proxy/stream relay", tests, NULL, NULL);
}
