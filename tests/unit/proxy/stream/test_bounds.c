#include "tests/unit/proxy/stream/rig.h"

static void a_full_table_pushes_back(void **state)
{
    (void)state;
    struct rig rig;
    int clients[3], servers[3];
    rig_open(&rig, 2, 8 << 20);
    rig_pair(&rig, &clients[0], &servers[0]);
    rig_pair(&rig, &clients[1], &servers[1]);
    clients[2] = rig_connect(&rig);
    assert_int_equal(send(clients[2], "x", 1, 0), 1); /* the kernel's backlog has it */
    rig_turn_for(&rig, 20 * NS_PER_MS);
    assert_false(rig_try_accept(&rig, &servers[2]));
    assert_int_equal(stream_plane_open(rig.plane), 2);
    /* the others go on, and the loop sleeps */
    assert_int_equal(send(clients[0], "y", 1, 0), 1);
    rig_await(&rig, rig_has_bytes(servers[0], 1));
    unsigned turns = 0;
    uint64_t end_ns = monotonic_now_ns() + 30 * NS_PER_MS;
    for (; monotonic_now_ns() < end_ns; turns++)
        assert_int_equal(loop_turn(rig.loop, end_ns), 0);
    assert_true(turns < 5);
    socket_close_reset(clients[1]);
    rig_await(&rig, rig_try_accept(&rig, &servers[2]));
    rig_await(&rig, rig_has_bytes(servers[2], 1));
    assert_int_equal(stream_plane_total(rig.plane), 3);
    close(clients[0]);
    close(clients[2]);
    for (int i = 0; i < 3; i++)
        close(servers[i]);
    rig_close(&rig);
}

static bool step_all(struct rig *rig, struct rig_stream *streams, int count, uint64_t *seed)
{
    uint64_t before = 0, after = 0;
    for (int i = 0; i < count; i++) {
        before += streams[i].sent + streams[i].received + streams[i].finished;
        rig_stream_step(&streams[i], seed, true);
        after += streams[i].sent + streams[i].received + streams[i].finished;
    }
    assert_int_equal(loop_turn(rig->loop, monotonic_now_ns() + NS_PER_MS / 5), 0);
    return before != after;
}

/* Far more is sent into a long delay than the pool can hold: senders wait, nothing is lost. */
static void an_exhausted_pool_pushes_back(void **state)
{
    (void)state;
    enum { PAIRS = 12, POOL = 6 << 20 };
    struct rig rig;
    int clients[PAIRS], servers[PAIRS];
    struct rig_stream up[PAIRS];
    uint64_t seed = 5, used_max = 0;
    rig_open(&rig, PAIRS, POOL);
    rig_latency(&rig, "slow", 3600 * NS_PER_S);
    for (int i = 0; i < PAIRS; i++) {
        rig_pair(&rig, &clients[i], &servers[i]);
        up[i] = (struct rig_stream){.id = (uint64_t)i,
                                    .total = 2 << 20,
                                    .from = clients[i],
                                    .to = servers[i],
                                    .write_max = 200000,
                                    .read_max = 200000};
    }
    uint64_t deadline_ns = monotonic_now_ns() + 3 * RIG_PATIENCE_NS;
    for (int quiet = 0; quiet < 30;) {
        quiet = step_all(&rig, up, PAIRS, &seed) ? 0 : quiet + 1;
        assert_true(pool_used_bytes(rig.pool) <= POOL);
        assert_true(monotonic_now_ns() < deadline_ns);
    }
    assert_true(pool_used_bytes(rig.pool) > POOL / 3); /* the bound was really met */
    rig_remove_fault(&rig, "slow");
    rig_latency(&rig, "short", NS_PER_MS);
    for (int finished = 0; finished < PAIRS;) {
        step_all(&rig, up, PAIRS, &seed);
        finished = 0;
        for (int i = 0; i < PAIRS; i++)
            finished += up[i].finished;
        if (pool_used_bytes(rig.pool) > used_max)
            used_max = pool_used_bytes(rig.pool);
        assert_true(monotonic_now_ns() < deadline_ns);
    }
    assert_true(used_max <= POOL);
    for (int i = 0; i < PAIRS; i++) {
        close(clients[i]);
        close(servers[i]);
    }
    rig_close(&rig);
}

/* Peers that read nothing: their flows fill up and stop; one that reads is served as ever. */
static void stuck_peers_delay_nobody(void **state)
{
    (void)state;
    enum { STUCK = 60 };
    struct rig rig;
    int clients[STUCK], servers[STUCK], client, server;
    static char bytes[1 << 20];
    rig_open(&rig, STUCK + 1, 5 << 20);
    for (int i = 0; i < STUCK; i++)
        rig_pair(&rig, &clients[i], &servers[i]);
    uint64_t sent = 1, quiet = 0;
    while (quiet < 20) { /* until nobody can send any more */
        uint64_t before = sent;
        for (int i = 0; i < STUCK; i++) {
            ssize_t done = send(clients[i], bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL);
            sent += done > 0 ? (uint64_t)done : 0;
        }
        quiet = sent == before ? quiet + 1 : 0;
        rig_turn(&rig);
    }
    rig_pair(&rig, &client, &server);
    struct rig_stream up = {.id = 77, .total = 8 << 20, .from = client, .to = server};
    up.write_max = up.read_max = 250000;
    uint64_t seed = 6, begin_ns = monotonic_now_ns();
    while (!up.finished) {
        rig_stream_step(&up, &seed, true);
        assert_int_equal(loop_turn(rig.loop, monotonic_now_ns() + NS_PER_MS / 5), 0);
        assert_true(monotonic_now_ns() - begin_ns < RIG_PATIENCE_NS);
    }
    for (int i = 0; i < STUCK; i++) {
        close(clients[i]);
        close(servers[i]);
    }
    rig_close_ends(&rig, client, server);
}

/* With no memory at all, flows without faults still relay, and lose nothing; and so do those that a
 * fault spares. */
static void bytes_cross_without_memory(bool spared)
{
    struct rig rig;
    int client, server;
    void *blocks[1024];
    size_t count = 0;
    uint64_t seed = 7;
    rig_open(&rig, 2, 5 << 20);
    struct ruleset_fault fault = rig_fault("spares", RULESET_LATENCY);
    fault.latency.delay_ns = 3600 * NS_PER_S;
    fault.spared_ppb = RULESET_PROBABILITY_MAX;
    if (spared)
        rig_set_fault(&rig, &fault);
    rig_pair(&rig, &client, &server);
    while (count < 1024 && (blocks[count] = pool_take(rig.pool, POOL_BLOCK_MAX)))
        count++;
    struct rig_stream up = {.id = 8, .total = 6 << 20, .from = client, .to = server};
    up.write_max = 250000;
    up.read_max = 40000;
    uint64_t begin_ns = monotonic_now_ns();
    while (!up.finished) {
        rig_stream_step(&up, &seed, true);
        assert_int_equal(loop_turn(rig.loop, monotonic_now_ns() + NS_PER_MS / 5), 0);
        assert_true(monotonic_now_ns() - begin_ns < RIG_PATIENCE_NS);
    }
    while (count > 0)
        pool_give(rig.pool, blocks[--count]);
    rig_close_ends(&rig, client, server);
}

static void without_memory_bytes_still_cross(void **state)
{
    (void)state;
    bytes_cross_without_memory(false);
    bytes_cross_without_memory(true);
}

static void a_slow_rate_does_not_eat_the_pool(void **state)
{
    (void)state;
    struct rig rig;
    int client, server;
    static char bytes[1 << 20];
    rig_open(&rig, 2, 64 << 20);
    rig_rate(&rig, "narrow", 100); /* chunks of one byte */
    rig_pair(&rig, &client, &server);
    for (int i = 0; i < 300; i++) {
        ssize_t done = send(client, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL);
        (void)done; /* as much as goes */
        rig_turn(&rig);
    }
    assert_true(pool_used_bytes(rig.pool) <= 8 << 20);
    rig_close_ends(&rig, client, server);
}

/* Sends into an endless delay until nobody can any more. */
static void fill_all(struct rig *rig, const int *clients, int count)
{
    static char bytes[1 << 20];
    for (int quiet = 0; quiet < 20;) {
        ssize_t most = 0;
        for (int i = 0; i < count; i++) {
            ssize_t done = send(clients[i], bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL);
            most = done > most ? done : most;
        }
        quiet = most > 0 ? 0 : quiet + 1;
        rig_turn(rig);
    }
}

/* One flow has half of the pool; many share it, and leave as much as each of them has. */
static void the_pool_is_shared_by_who_needs_it(void **state)
{
    (void)state;
    enum { POOL = 64 << 20, PAIRS = 7, SLACK = 2 << 20 };
    struct rig rig;
    int clients[PAIRS], servers[PAIRS];
    rig_open(&rig, PAIRS, POOL);
    rig_latency(&rig, "slow", 3600 * NS_PER_S);
    for (int i = 0; i < PAIRS; i++)
        rig_pair(&rig, &clients[i], &servers[i]);
    fill_all(&rig, clients, 1);
    assert_in_range(pool_used_bytes(rig.pool), POOL / 2 - SLACK, POOL / 2);
    fill_all(&rig, clients, PAIRS);
    uint64_t left = POOL / 2 / PAIRS; /* as much as each of the others has */
    assert_in_range(pool_used_bytes(rig.pool), POOL - left - SLACK, POOL - left + SLACK);
    for (int i = 0; i < PAIRS; i++) {
        close(clients[i]);
        close(servers[i]);
    }
    rig_close(&rig);
}

/* The sender feels the rate, however large the pool is; a change of the bound is felt, too. */
static void a_rate_holds_its_queue_and_no_more(void **state)
{
    (void)state;
    enum { CHUNK = 65536 };
    struct rig rig;
    int client, server;
    rig_open(&rig, 2, 64 << 20);
    struct ruleset_fault fault = rig_fault("narrow", RULESET_RATE);
    rig_set_fault(&rig, &fault); /* nothing passes: 64 KiB by default */
    rig_pair(&rig, &client, &server);
    fill_all(&rig, &client, 1);
    assert_in_range(rig_held(&rig, 0), 65536, 65536 + CHUNK);
    fault.rate.queue_bytes = 1000000;
    rig_set_fault(&rig, &fault);
    fill_all(&rig, &client, 1);
    assert_in_range(rig_held(&rig, 0), 1000000, 1000000 + CHUNK);
    /* a link trace has a queue, too: here one opportunity in an hour */
    int32_t hour_ms = 3600000;
    struct ruleset_table table = {.name = "hourly", .values = &hour_ms, .count = 1};
    ruleset_set_table(&rig.ruleset, &table);
    fault.type = RULESET_TRACE;
    fault.trace = (__typeof__(fault.trace)){.table = "hourly", .queue_bytes = 200000};
    rig_set_fault(&rig, &fault);
    fill_all(&rig, &client, 1);
    assert_in_range(rig_held(&rig, 0), 200000, 1000000 + 2 * CHUNK);
    int other, other_server;
    rig_pair(&rig, &other, &other_server);
    uint64_t before = rig_held(&rig, 0);
    fill_all(&rig, &other, 1);
    assert_in_range(rig_held(&rig, 0) - before, 200000, 200000 + CHUNK);
    close(other);
    close(other_server);
    rig_close_ends(&rig, client, server);
}

static void a_removed_route_resets_its_connections(void **state)
{
    (void)state;
    struct rig rig;
    int client, server, again, server_again;
    rig_open(&rig, 8, 8 << 20);
    rig_pair(&rig, &client, &server);
    rig_turn_for(&rig, 2 * NS_PER_MS);
    rig.table.route_count = 0;
    rig_apply(&rig);
    rig_await(&rig, rig_has_reset(client));
    rig_await(&rig, rig_has_reset(server));
    assert_int_equal(stream_plane_open(rig.plane), 0);
    /* the same slot with another serial serves again, on the same socket */
    rig.table.route_count = 1;
    rig.spec.serial = 9;
    rig_apply(&rig);
    rig_pair(&rig, &again, &server_again);
    rig.spec.serial = 10;
    rig_apply(&rig);
    rig_await(&rig, rig_has_reset(again));
    close(client);
    close(server);
    rig_close_ends(&rig, again, server_again);
}

static void many_short_connections_leave_nothing(void **state)
{
    (void)state;
    struct rig rig;
    int client, server;
    char byte;
    rig_open(&rig, 4, 8 << 20);
    for (int i = 0; i < 500; i++) {
        rig_pair(&rig, &client, &server);
        assert_int_equal(send(client, "x", 1, 0), 1);
        rig_await(&rig, recv(server, &byte, 1, MSG_DONTWAIT) == 1);
        if (i % 3 == 0)
            socket_close_reset(client);
        else
            close(client);
        close(server);
    }
    rig_await(&rig, stream_plane_open(rig.plane) == 0);
    assert_int_equal(stream_plane_total(rig.plane), 500);
    rig_close(&rig);
}

/* On a cut link nobody reads what a client sends, its end included: those that have left are found
 * when there is no place for another. */
static void held_clients_that_left_make_room(void **state)
{
    (void)state;
    struct rig rig;
    int server = -1;
    rig_open(&rig, 2, 8 << 20);
    rig_cut(&rig, "cut", true, true);
    int first = rig_connect(&rig), second = rig_connect(&rig);
    rig_await(&rig, stream_plane_open(rig.plane) == 2);
    close(first);
    int third = rig_connect(&rig);
    rig_await(&rig, stream_plane_total(rig.plane) == 3);
    assert_int_equal(stream_plane_open(rig.plane), 2); /* the second is still there */
    rig_heal(&rig, "cut");
    rig_await(&rig, rig_try_accept(&rig, &server));
    close(server);
    rig_await(&rig, rig_try_accept(&rig, &server));
    close(server);
    rig_close_ends(&rig, second, third);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        rig_test_both(a_full_table_pushes_back),
        rig_test_both(held_clients_that_left_make_room),
        cmocka_unit_test_setup(an_exhausted_pool_pushes_back, rig_copies),
        rig_test_both(stuck_peers_delay_nobody),
        rig_test_both(without_memory_bytes_still_cross),
        rig_test_both(a_slow_rate_does_not_eat_the_pool),
        cmocka_unit_test_setup(the_pool_is_shared_by_who_needs_it, rig_copies),
        rig_test_both(a_rate_holds_its_queue_and_no_more),
        rig_test_both(a_removed_route_resets_its_connections),
        rig_test_both(many_short_connections_leave_nothing),
    };
    return cmocka_run_group_tests_name("proxy/stream bounds", tests, NULL, NULL);
}
