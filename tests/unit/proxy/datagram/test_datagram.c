#include "tests/unit/proxy/datagram/rig.h"

static void datagrams_cross_and_answers_find_back(void **state)
{
    (void)state;
    struct rig rig;
    struct address first, second;
    char buffer[64];
    rig_open(&rig, (struct rig_options){.sessions_max = 8});
    int other = rig_connect(&rig.route_address);
    send_text(rig.client, "one");
    await(&rig, take(rig.server, buffer, sizeof(buffer), &first));
    assert_string_equal(buffer, "one");
    send_text(other, "two");
    await(&rig, take(rig.server, buffer, sizeof(buffer), &second));
    assert_string_equal(buffer, "two");
    assert_int_not_equal(address_port(&first), address_port(&second));
    assert_int_equal(
        sendto(rig.server, "to two", 6, 0, (struct sockaddr *)&second.storage, second.length), 6);
    assert_int_equal(
        sendto(rig.server, "to one", 6, 0, (struct sockaddr *)&first.storage, first.length), 6);
    await(&rig, take(rig.client, buffer, sizeof(buffer), NULL));
    assert_string_equal(buffer, "to one");
    await(&rig, take(other, buffer, sizeof(buffer), NULL));
    assert_string_equal(buffer, "to two");
    assert_int_equal(datagram_plane_open(rig.plane), 2);
    assert_int_equal(fault_counter_get(&rig_link(&rig, "a", "b")->units), 2);
    assert_int_equal(fault_counter_get(&rig_link(&rig, "a", "b")->bytes), 6);
    assert_int_equal(fault_counter_get(&rig_link(&rig, "b", "a")->units), 2);
    assert_int_equal(fault_counter_get(&rig_link(&rig, "a", "b")->connections), 2);
    close(other);
    rig_close(&rig);
}

static void sizes_cross_unchanged(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 1472, 9000, 65000};
    static char out[65536], in[65536];
    for (int delayed = 0; delayed < 2; delayed++) {
        struct rig rig;
        rig_open(&rig, (struct rig_options){.sessions_max = 8});
        if (delayed)
            rig_add_fault(&rig, (struct ruleset_fault){.name = "slow",
                                                       .type = RULESET_LATENCY,
                                                       .latency = {.delay_ns = NS_PER_MS}});
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            memset(out, (int)i + 1, sizes[i]);
            assert_int_equal(send(rig.client, out, sizes[i], 0), sizes[i]);
            ssize_t got = -1;
            await(&rig, (got = recv(rig.server, in, sizeof(in), MSG_DONTWAIT)) >= 0);
            assert_int_equal(got, sizes[i]);
            assert_memory_equal(in, out, sizes[i]);
        }
        rig_close(&rig);
    }
}

static void a_cut_drops_and_counts(void **state)
{
    (void)state;
    struct rig rig;
    struct address peer;
    char buffer[64];
    rig_open(&rig, (struct rig_options){.sessions_max = 8});
    send_text(rig.client, "before");
    await(&rig, take(rig.server, buffer, sizeof(buffer), &peer));
    rig_cut(&rig, true, true);
    for (int i = 0; i < 10; i++)
        send_text(rig.client, "lost");
    for (int i = 0; i < 4; i++)
        assert_int_equal(
            sendto(rig.server, "lost", 4, 0, (struct sockaddr *)&peer.storage, peer.length), 4);
    struct fault_link_counters *up = rig_link(&rig, "a", "b"), *down = rig_link(&rig, "b", "a");
    await(&rig, fault_counter_get(&up->dropped[FAULT_CAUSE_CUT]) == 10);
    await(&rig, fault_counter_get(&down->dropped[FAULT_CAUSE_CUT]) == 4);
    rig_heal(&rig);
    rig_turn_for(&rig, 5 * NS_PER_MS);
    assert_false(take(rig.server, buffer, sizeof(buffer), NULL));
    send_text(rig.client, "after");
    await(&rig, take(rig.server, buffer, sizeof(buffer), NULL));
    assert_string_equal(buffer, "after");
    assert_int_equal(fault_counter_get(&up->units), 2);
    rig_close(&rig);
}

static void a_cut_link_opens_no_session(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, (struct rig_options){.sessions_max = 8});
    rig_cut(&rig, true, false);
    send_text(rig.client, "lost");
    await(&rig, fault_counter_get(&rig_link(&rig, "a", "b")->dropped[FAULT_CAUSE_CUT]) == 1);
    assert_int_equal(datagram_plane_open(rig.plane), 0);
    rig_close(&rig);
}

static void what_is_on_its_way_is_cut_too(void **state)
{
    (void)state;
    struct rig rig;
    char buffer[64];
    rig_open(&rig, (struct rig_options){.sessions_max = 8});
    rig_add_fault(&rig, (struct ruleset_fault){.name = "slow",
                                               .type = RULESET_LATENCY,
                                               .latency = {.delay_ns = 3600 * NS_PER_S}});
    send_text(rig.client, "on its way");
    await(&rig, fault_counter_get(&rig.counters->routes[rig.spec.slot].received[0]) > 0);
    rig_cut(&rig, true, false);
    assert_true(ruleset_remove_fault(&rig.ruleset, "slow")); /* lets it go */
    rig_apply(&rig);
    await(&rig, fault_counter_get(&rig_link(&rig, "a", "b")->dropped[FAULT_CAUSE_CUT]) == 1);
    rig_heal(&rig);
    rig_turn_for(&rig, 30 * NS_PER_MS);
    assert_false(take(rig.server, buffer, sizeof(buffer), NULL));
    rig_close(&rig);
}

/* Sends one each way and from a client that is new, all of them numbered. */
static void send_round(struct rig *rig, const struct address *session, int stranger, int round)
{
    char text[16];
    snprintf(text, sizeof(text), "%d", round);
    send_text(rig->client, text);
    send_text_to(rig->server, text, session);
    send_text(stranger, text);
}

/* The next to arrive is of this round. */
static void await_round(struct rig *rig, int fd, int round)
{
    char buffer[64], text[16];
    snprintf(text, sizeof(text), "%d", round);
    await(rig, take(fd, buffer, sizeof(buffer), NULL));
    assert_string_equal(buffer, text);
}

/* Cuts that are over before the loop has taken a turn: what was sent during one is gone, what was
 * sent after it arrives. */
static void a_cut_is_never_too_short(void **state)
{
    (void)state;
    enum { ROUNDS = 300 };
    struct rig rig;
    struct address session;
    rig_open(&rig, (struct rig_options){0});
    rig_greet(&rig, &session);
    for (int round = 1; round <= ROUNDS; round++) {
        int strangers[2] = {rig_connect(&rig.route_address), rig_connect(&rig.route_address)};
        rig_cut(&rig, true, true);
        send_round(&rig, &session, strangers[0], -round);
        rig_heal(&rig);
        send_round(&rig, &session, strangers[1], round);
        await_round(&rig, rig.server, round);
        await_round(&rig, rig.server, round);
        await_round(&rig, rig.client, round);
        close(strangers[0]);
        close(strangers[1]);
    }
    assert_int_equal(rig_dropped(&rig, "a", "b", FAULT_CAUSE_CUT), 2 * ROUNDS);
    assert_int_equal(rig_dropped(&rig, "b", "a", FAULT_CAUSE_CUT), ROUNDS);
    rig_close(&rig);
}

/* More than one batch waits; a link that stays cut stays so; the one that is open is not touched.
 */
static void only_what_is_healed_is_read_before(void **state)
{
    (void)state;
    enum { MANY = 100 };
    struct rig rig;
    struct address session;
    rig_open(&rig, (struct rig_options){0});
    rig_greet(&rig, &session);
    rig_cut(&rig, true, false);
    for (int i = 0; i < MANY; i++) {
        send_text(rig.client, "lost");
        send_text_to(rig.server, "kept", &session);
    }
    rig_apply(&rig); /* something else changes */
    assert_int_equal(rig_dropped(&rig, "a", "b", FAULT_CAUSE_CUT), 0);
    rig_heal(&rig);
    assert_int_equal(rig_dropped(&rig, "a", "b", FAULT_CAUSE_CUT), MANY);
    assert_int_equal(fault_counter_get(&rig_link(&rig, "b", "a")->units), 0);
    await(&rig, fault_counter_get(&rig_link(&rig, "b", "a")->units) == MANY);
    assert_int_equal(fault_counter_get(&rig_link(&rig, "a", "b")->units), 1);
    rig_close(&rig);
}

static void latency_delays(void **state)
{
    (void)state;
    struct rig rig;
    char buffer[64];
    rig_open(&rig, (struct rig_options){.sessions_max = 8});
    rig_add_fault(&rig, (struct ruleset_fault){.name = "slow",
                                               .type = RULESET_LATENCY,
                                               .latency = {.delay_ns = 40 * NS_PER_MS}});
    uint64_t begin_ns = monotonic_now_ns();
    send_text(rig.client, "x");
    await(&rig, take(rig.server, buffer, sizeof(buffer), NULL));
    assert_true(monotonic_now_ns() - begin_ns >= 40 * NS_PER_MS);
    rig_close(&rig);
}

/* Every datagram is delivered or counted as lost, and about the asked share is lost. */
static void loss_is_counted(void **state)
{
    (void)state;
    enum { COUNT = 4000 };
    struct rig rig;
    char buffer[64];
    uint64_t received = 0;
    rig_open(&rig, (struct rig_options){.sessions_max = 8});
    rig_add_fault(&rig, (struct ruleset_fault){.name = "lossy",
                                               .type = RULESET_LOSS,
                                               .loss = {.probability_ppb = 200000000}});
    for (int i = 0; i < COUNT; i++) {
        send_text(rig.client, "x");
        if (i % 20 == 0)
            rig_turn(&rig);
        while (take(rig.server, buffer, sizeof(buffer), NULL))
            received++;
    }
    struct fault_link_counters *link = rig_link(&rig, "a", "b");
    await(&rig,
          fault_counter_get(&link->units) + fault_counter_get(&link->dropped[FAULT_CAUSE_LOSS]) ==
              COUNT);
    while (take(rig.server, buffer, sizeof(buffer), NULL))
        received++;
    uint64_t lost = fault_counter_get(&link->dropped[FAULT_CAUSE_LOSS]);
    assert_int_equal(received, COUNT - lost);
    assert_in_range(lost, COUNT / 5 - 150, COUNT / 5 + 150); /* 6 sigma */
    uint16_t slot = fault_plan_fault_slot(rig.plan, "lossy", NULL);
    assert_int_equal(fault_counter_get(&rig.counters->touched[slot]), lost);
    rig_close(&rig);
}

static void a_rate_queue_drops_its_tail(void **state)
{
    (void)state;
    struct rig rig;
    static char bytes[1000];
    rig_open(&rig, (struct rig_options){.sessions_max = 8});
    rig_add_fault(&rig,
                  (struct ruleset_fault){.name = "narrow",
                                         .type = RULESET_RATE,
                                         .rate = {.bytes_per_s = 100000, .queue_bytes = 5000}});
    for (int i = 0; i < 20; i++)
        assert_int_equal(send(rig.client, bytes, sizeof(bytes), 0), sizeof(bytes));
    struct fault_link_counters *link = rig_link(&rig, "a", "b");
    await(&rig,
          fault_counter_get(&link->units) + fault_counter_get(&link->dropped[FAULT_CAUSE_QUEUE]) ==
              20);
    assert_in_range(fault_counter_get(&link->units), 4, 8);
    rig_close(&rig);
}

static void a_dead_upstream_kills_nothing(void **state)
{
    (void)state;
    struct rig rig;
    char buffer[64];
    rig_open(&rig, (struct rig_options){.sessions_max = 8});
    close(rig.server);
    for (int i = 0; i < 10; i++) {
        send_text(rig.client, "x");
        rig_turn_for(&rig, 2 * NS_PER_MS);
    }
    assert_true(fault_counter_get(&rig_link(&rig, "a", "b")->refused) > 0);
    assert_int_equal(datagram_plane_open(rig.plane), 1);
    rig.server = socket_bind_datagram(&rig.server_address, false, NULL, NULL);
    assert_true(rig.server >= 0);
    send_text(rig.client, "hello");
    await(&rig, take(rig.server, buffer, sizeof(buffer), NULL));
    assert_string_equal(buffer, "hello");
    rig_close(&rig);
}

static void a_client_that_left_kills_nothing(void **state)
{
    (void)state;
    struct rig rig;
    struct address peer;
    char buffer[64];
    rig_open(&rig, (struct rig_options){.sessions_max = 8});
    int gone = rig_connect(&rig.route_address);
    send_text(gone, "x");
    await(&rig, take(rig.server, buffer, sizeof(buffer), &peer));
    close(gone);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(
            sendto(rig.server, "y", 1, 0, (struct sockaddr *)&peer.storage, peer.length), 1);
        rig_turn_for(&rig, 2 * NS_PER_MS);
    }
    send_text(rig.client, "hello");
    await(&rig, take(rig.server, buffer, sizeof(buffer), NULL));
    assert_string_equal(buffer, "hello");
    rig_close(&rig);
}

static void sessions_are_bounded_and_expire(void **state)
{
    (void)state;
    struct rig rig;
    char buffer[64];
    int clients[3];
    rig_open(&rig, (struct rig_options){.sessions_max = 2, .idle_ns = NS_PER_S / 2});
    for (int i = 0; i < 3; i++) {
        clients[i] = rig_connect(&rig.route_address);
        send_text(clients[i], "x"); /* and no turn: none has expired when the last is dropped */
    }
    struct fault_link_counters *link = rig_link(&rig, "a", "b");
    await(&rig, fault_counter_get(&link->dropped[FAULT_CAUSE_QUEUE]) == 1);
    assert_int_equal(datagram_plane_open(rig.plane), 2);
    await(&rig, datagram_plane_open(rig.plane) == 0);
    while (take(rig.server, buffer, sizeof(buffer), NULL)) {
    }
    send_text(clients[2], "z");
    await(&rig, take(rig.server, buffer, sizeof(buffer), NULL));
    assert_string_equal(buffer, "z");
    assert_int_equal(datagram_plane_total(rig.plane), 3);
    for (int i = 0; i < 3; i++)
        close(clients[i]);
    rig_close(&rig);
}

static void a_session_that_holds_does_not_expire(void **state)
{
    (void)state;
    struct rig rig;
    char buffer[64];
    rig_open(&rig, (struct rig_options){.sessions_max = 8, .idle_ns = 10 * NS_PER_MS});
    rig_add_fault(&rig, (struct ruleset_fault){.name = "slow",
                                               .type = RULESET_LATENCY,
                                               .latency = {.delay_ns = 60 * NS_PER_MS}});
    send_text(rig.client, "late");
    await(&rig, take(rig.server, buffer, sizeof(buffer), NULL));
    assert_string_equal(buffer, "late");
    rig_close(&rig);
}

static void full_buffers_drop_and_count(void **state)
{
    (void)state;
    enum { COUNT = 400 };
    struct rig rig;
    static char bytes[60000];
    rig_open(&rig, (struct rig_options){.sessions_max = 8});
    rig_add_fault(&rig, (struct ruleset_fault){.name = "slow",
                                               .type = RULESET_LATENCY,
                                               .latency = {.delay_ns = 3600 * NS_PER_S}});
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(send(rig.client, bytes, sizeof(bytes), 0), sizeof(bytes));
        rig_turn(&rig);
    }
    struct fault_link_counters *link = rig_link(&rig, "a", "b");
    uint64_t dropped = fault_counter_get(&link->dropped[FAULT_CAUSE_QUEUE]);
    uint64_t held = pool_used_bytes(rig.pool) / POOL_BLOCK_MAX;
    assert_true(dropped > 0 && held > 0);
    assert_int_equal(dropped + held, COUNT);
    rig.table.route_count = 0; /* the route goes: what was held is counted as well */
    rig_apply(&rig);
    assert_int_equal(fault_counter_get(&link->dropped[FAULT_CAUSE_QUEUE]), COUNT);
    assert_int_equal(datagram_plane_open(rig.plane), 0);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(datagrams_cross_and_answers_find_back),
        cmocka_unit_test(sizes_cross_unchanged),
        cmocka_unit_test(a_cut_drops_and_counts),
        cmocka_unit_test(a_cut_link_opens_no_session),
        cmocka_unit_test(what_is_on_its_way_is_cut_too),
        cmocka_unit_test(a_cut_is_never_too_short),
        cmocka_unit_test(only_what_is_healed_is_read_before),
        cmocka_unit_test(latency_delays),
        cmocka_unit_test(loss_is_counted),
        cmocka_unit_test(a_rate_queue_drops_its_tail),
        cmocka_unit_test(a_dead_upstream_kills_nothing),
        cmocka_unit_test(a_client_that_left_kills_nothing),
        cmocka_unit_test(sessions_are_bounded_and_expire),
        cmocka_unit_test(a_session_that_holds_does_not_expire),
        cmocka_unit_test(full_buffers_drop_and_count),
    };
    return cmocka_run_group_tests_name("proxy/datagram", tests, NULL, NULL);
}
