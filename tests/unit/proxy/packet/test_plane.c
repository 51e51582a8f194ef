/* The switch without faults, cuts, and what is counted. */
#include "tests/unit/proxy/packet/traffic.h"

static void datagrams_cross(struct rig *rig, unsigned from, unsigned to, int family)
{
    char buffer[3000], sent[3000] = "two fragments";
    int client = udp_of(rig, from, family, 5000), server = udp_of(rig, to, family, 6000);
    udp_send(client, to, family, 6000, "hello", 5);
    await(rig, recv(server, buffer, sizeof(buffer), 0) == 5);
    udp_send(server, from, family, 5000, sent, sizeof(sent));
    await(rig, recv(client, buffer, sizeof(buffer), 0) == sizeof(sent));
    assert_memory_equal(buffer, sent, sizeof(sent));
    close(client);
    close(server);
}

static void everything_crosses(void **state)
{
    (void)state;
    for (unsigned workers = 1; workers <= 2; workers++) {
        struct rig rig;
        rig_open(&rig, (struct rig_options){.nodes = 3, .workers = workers});
        for (size_t i = 0; i < 2; i++) {
            ping(&rig, 0, 1, families[i]);
            ping(&rig, 2, 0, families[i]);
            datagrams_cross(&rig, 0, 2, families[i]);
            struct connection connection = connect_nodes(&rig, 1, 2, families[i]);
            pump(&rig, &connection, 100000, NULL);
            disconnect(&connection);
        }
        for (unsigned from = 0; from < 3; from++)
            for (unsigned to = 0; to < 3; to++)
                assert_int_equal(rig_dropped(&rig, from, to, FAULT_CAUSE_QUEUE), 0);
        rig_close(&rig);
    }
}

/* Super-packets: the packets that they stand for are counted. */
static void a_stream_is_intact(void **state)
{
    (void)state;
    enum { BYTES = 32 << 20, PAYLOAD_MAX = 1460 };
    for (size_t i = 0; i < 2; i++) {
        struct rig rig;
        rig_open(&rig, (struct rig_options){.nodes = 2});
        struct connection connection = connect_nodes(&rig, 0, 1, families[i]);
        pump(&rig, &connection, BYTES, NULL);
        assert_true(rig_units(&rig, 0, 1) >= BYTES / PAYLOAD_MAX);
        assert_true(rig_bytes(&rig, 0, 1) > BYTES + rig_units(&rig, 0, 1) * 40);
        assert_int_equal(rig_dropped(&rig, 0, 1, FAULT_CAUSE_QUEUE), 0);
        assert_int_equal(rig_stray(&rig, 0, FAULT_CAUSE_QUEUE), 0);
        disconnect(&connection);
        rig_close(&rig);
    }
}

static void frames_are_counted_exactly(void **state)
{
    (void)state;
    enum { FRAMES = 3000, ROUND = 100, PERIOD = 997 };
    struct rig rig;
    uint64_t bytes = 0;
    uint32_t number;
    rig_open(&rig, (struct rig_options){.nodes = 3, .quiet = true});
    int from = rig_open_raw(&rig, 0), to[2] = {rig_open_raw(&rig, 1), rig_open_raw(&rig, 2)};
    for (uint32_t i = 0; i < FRAMES; i += ROUND) { /* no more than a socket's buffer holds */
        for (uint32_t k = i; k < i + ROUND; k++) {
            rig_send_raw(&rig, from, 1 + k % 2, k, 46 + k % PERIOD);
            bytes += k % 2 ? 0 : 46 + k % PERIOD;
        }
        for (uint32_t k = i; k < i + ROUND; k++) {
            await(&rig, rig_take_number(to[k % 2], &number));
            assert_int_equal(number, k); /* in order */
        }
    }
    assert_int_equal(rig_units(&rig, 0, 1), FRAMES / 2);
    assert_int_equal(rig_units(&rig, 0, 2), FRAMES / 2);
    assert_int_equal(rig_bytes(&rig, 0, 1), bytes);
    assert_int_equal(rig_units(&rig, 1, 0) + rig_units(&rig, 2, 0), 0);
    for (int i = 0; i < 2; i++)
        close(to[i]);
    close(from);
    rig_close(&rig);
}

static void broadcast_goes_to_all_others(void **state)
{
    (void)state;
    static const unsigned char groups[][6] = {{255, 255, 255, 255, 255, 255}, {3, 0, 0, 0, 0, 9}};
    struct rig rig;
    int nodes[4];
    uint32_t number;
    rig_open(&rig, (struct rig_options){.nodes = 4, .workers = 2, .quiet = true});
    for (unsigned i = 0; i < 4; i++)
        nodes[i] = rig_open_raw(&rig, i);
    rig_cut(&rig, 1, 3);
    for (uint32_t round = 0; round < 2; round++) {
        rig_send_raw_to(nodes[1], groups[round], round, 100);
        await(&rig, rig_take_number(nodes[0], &number));
        assert_int_equal(number, round);
        await(&rig, rig_take_number(nodes[2], &number));
        await(&rig, rig_dropped(&rig, 1, 3, FAULT_CAUSE_CUT) == round + 1);
        assert_false(rig_take_number(nodes[1], &number) || rig_take_number(nodes[3], &number));
    }
    assert_int_equal(rig_units(&rig, 1, 0), 2);
    assert_int_equal(rig_units(&rig, 1, 2), 2);
    assert_int_equal(rig_units(&rig, 1, 3), 0);
    for (unsigned i = 0; i < 4; i++)
        close(nodes[i]);
    rig_close(&rig);
}

static void a_cut_takes_what_arrives_after_it(void **state)
{
    (void)state;
    enum { ROUNDS = 20, FRAMES = 100 };
    struct rig rig;
    rig_open(&rig, (struct rig_options){.nodes = 3, .quiet = true});
    int from = rig_open_raw(&rig, 0), to = rig_open_raw(&rig, 1), other = rig_open_raw(&rig, 2);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        for (uint32_t i = 0; i < FRAMES; i++) {
            rig_send_raw(&rig, from, 1, i, 100);
            rig_send_raw(&rig, from, 2, i, 100);
        }
        rig_cut(&rig, 0, 1); /* no loop has turned since: all of it arrives after */
        await(&rig, rig_dropped(&rig, 0, 1, FAULT_CAUSE_CUT) == (round + 1) * FRAMES);
        assert_int_equal(rig_drain(to), 0);
        rig_heal(&rig);
        for (uint32_t i = 0; i < FRAMES; i++)
            rig_send_raw(&rig, from, 1, i, 100);
        await(&rig, rig_units(&rig, 0, 1) == (round + 1) * FRAMES);
        assert_int_equal(rig_drain(to), FRAMES);
        assert_int_equal(rig_drain(other), FRAMES);
    }
    assert_int_equal(rig_dropped(&rig, 0, 2, FAULT_CAUSE_CUT), 0);
    close(from);
    close(to);
    close(other);
    rig_close(&rig);
}

/* One way: the SYN crosses, its answer does not. The addresses of nodes are known all the same. */
static void a_cut_is_silence(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct rig rig;
        struct sockaddr_storage address;
        socklen_t length;
        rig_open(&rig, (struct rig_options){.nodes = 2});
        rig_cut(&rig, 1, 0);
        int listener = network_socket(&rig.network, 1, families[i], SOCK_STREAM);
        bind_to(listener, 1, families[i], 7000);
        assert_int_equal(listen(listener, 1), 0);
        int client = network_socket(&rig.network, 0, families[i], SOCK_STREAM);
        length = network_address(1, families[i], 7000, &address);
        assert_int_equal(connect(client, (const struct sockaddr *)&address, length), -1);
        assert_int_equal(errno, EINPROGRESS);
        await(&rig, rig_dropped(&rig, 1, 0, FAULT_CAUSE_CUT) >= 2);
        assert_true(rig_units(&rig, 0, 1) >= 1);
        int code;
        socklen_t size = sizeof(code);
        assert_int_equal(getsockopt(client, SOL_SOCKET, SO_ERROR, &code, &size), 0);
        assert_int_equal(code, 0);
        rig_heal(&rig);
        await(&rig, accept(listener, NULL, NULL) >= 0);
        close(client);
        close(listener);
        rig_close(&rig);
    }
}

static void frames_for_nobody_are_counted(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, (struct rig_options){.nodes = 2, .quiet = true});
    int from = rig_open_raw(&rig, 0);
    rig_send_raw_to(from, (unsigned char[]){2, 9, 9, 9, 9, 9}, 1, 100);
    rig_send_raw_to(from, rig.network.macs[0], 2, 100);
    await(&rig, rig_stray(&rig, 0, FAULT_CAUSE_DISCARD) == 2);
    assert_int_equal(rig_units(&rig, 0, 1), 0);
    close(from);
    rig_close(&rig);
}

static void what_the_ring_has_no_room_for_is_counted(void **state)
{
    (void)state;
    enum { FRAMES = 700 };
    struct rig rig;
    rig_open(&rig, (struct rig_options){.nodes = 2, .quiet = true, .ring_bytes = 1});
    int from = rig_open_raw(&rig, 0), to = rig_open_raw(&rig, 1);
    for (uint32_t i = 0; i < FRAMES; i++)
        rig_send_raw(&rig, from, 1, i, 100);
    await(&rig, rig_stray(&rig, 0, FAULT_CAUSE_QUEUE) > 0);
    await(&rig, rig_stray(&rig, 0, FAULT_CAUSE_QUEUE) + rig_units(&rig, 0, 1) == FRAMES);
    assert_int_equal(rig_drain(to), rig_units(&rig, 0, 1));
    close(from);
    close(to);
    rig_close(&rig);
}

static void what_the_device_refuses_is_counted(void **state)
{
    (void)state;
    struct rig rig;
    uint32_t number = 0;
    rig_open(&rig, (struct rig_options){.nodes = 2, .quiet = true, .mtu = 9000});
    int from = rig_open_raw(&rig, 0), to = rig_open_raw(&rig, 1);
    struct nl_sock *netlink = network_netlink();
    network_set_up(netlink, "v2", 1500);
    nl_socket_free(netlink);
    rig_send_raw(&rig, from, 1, 1, 1000);
    rig_send_raw(&rig, from, 1, 2, 5000); /* too long for the outer end of node 2 */
    rig_send_raw(&rig, from, 1, 3, 1000);
    await(&rig, rig_units(&rig, 0, 1) == 2);
    assert_int_equal(rig_dropped(&rig, 0, 1, FAULT_CAUSE_QUEUE), 1);
    assert_true(rig_take_number(to, &number) && number == 1);
    assert_true(rig_take_number(to, &number) && number == 3);
    close(from);
    close(to);
    rig_close(&rig);
}

/* Captures. */

static struct {
    unsigned delivered, dropped, answered, answers, refusals;
    struct capture_packet last, answer;
} noted;

/* In place of proxy/capture's. */
void capture_note(struct capture_set *set, unsigned worker, const struct capture_packet *packet)
{
    assert_non_null(set);
    assert_int_equal(worker, 0);
    assert_true(packet->left_ns >= packet->arrived_ns);
    noted.delivered += packet->fate == CAPTURE_DELIVERED;
    noted.dropped += packet->fate == CAPTURE_DROPPED;
    noted.answered += packet->fate == CAPTURE_ANSWERED;
    noted.answers += packet->fate == CAPTURE_ANSWER;
    noted.refusals += packet->fate == CAPTURE_ANSWER && packet->fault_slot != UINT16_MAX;
    noted.last = *packet;
    noted.last.bytes = NULL;
    if (packet->fate == CAPTURE_ANSWER)
        noted.answer = *packet;
    noted.answer.bytes = NULL;
}

static void captures_are_told_of_each_fate(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, (struct rig_options){.nodes = 2, .quiet = true});
    int from = rig_open_raw(&rig, 0), to = rig_open_raw(&rig, 1);
    memset(&noted, 0, sizeof(noted));
    rig_send_raw(&rig, from, 1, 1, 200);
    await(&rig, rig_units(&rig, 0, 1) == 1);
    assert_int_equal(noted.delivered, 0); /* nobody listens */
    rig.captures = (struct capture_set *)&noted;
    rig_add_fault(&rig, 0, 1,
                  (struct ruleset_fault){.name = "late", .latency = {.delay_ns = NS_PER_MS}});
    rig_send_raw(&rig, from, 1, 1, 200);
    await(&rig, noted.delivered == 1);
    assert_int_equal(noted.last.length, 214);
    assert_int_equal(noted.last.to, rig_slot(&rig, 1));
    assert_in_range(noted.last.left_ns - noted.last.arrived_ns, NS_PER_MS, 10 * NS_PER_S);
    rig_add_fault(&rig, 0, 1,
                  (struct ruleset_fault){.name = "lost",
                                         .type = RULESET_LOSS,
                                         .loss = {.probability_ppb = RULESET_PROBABILITY_MAX}});
    rig_send_raw(&rig, from, 1, 1, 200);
    await(&rig, noted.dropped == 1);
    assert_int_equal(noted.last.cause, FAULT_CAUSE_LOSS);
    assert_int_equal(noted.last.fault_slot, fault_plan_fault_slot(rig.plan, "lost", NULL));
    rig_cut(&rig, 0, 1);
    rig_send_raw(&rig, from, 1, 1, 200);
    await(&rig, noted.dropped == 2);
    assert_int_equal(noted.last.cause, FAULT_CAUSE_CUT);
    rig_send_raw_to(from, (unsigned char[]){2, 9, 9, 9, 9, 9}, 1, 100);
    await(&rig, noted.dropped == 3);
    assert_int_equal(noted.last.to, FAULT_NO_NODE);
    close(from);
    close(to);
    rig_close(&rig);
}

/* In the place of node 1, to node 0: who has its address, and a refusal. */
static void captures_are_told_what_severd_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct rig rig;
        rig_open(&rig, (struct rig_options){.nodes = 2});
        memset(&noted, 0, sizeof(noted));
        rig.captures = (struct capture_set *)&noted;
        rig_apply(&rig);
        ping(&rig, 0, 1, families[i]);
        assert_true(noted.answered >= 1);
        assert_int_equal(noted.answers, noted.answered);
        assert_int_equal(noted.refusals, 0);
        uint64_t dropped = rig_dropped(&rig, 0, 1, FAULT_CAUSE_REJECT);
        rig_add_fault(&rig, 0, 1,
                      (struct ruleset_fault){.name = "no",
                                             .type = RULESET_REJECT,
                                             .reject = {RULESET_PROBABILITY_MAX}});
        int udp = udp_of(&rig, 0, families[i], 7000);
        udp_send(udp, 1, families[i], 7000, "x", 1);
        await(&rig, noted.refusals > 0);
        assert_true(rig_dropped(&rig, 0, 1, FAULT_CAUSE_REJECT) > dropped);
        assert_int_equal(noted.answer.fault_slot, fault_plan_fault_slot(rig.plan, "no", NULL));
        assert_int_equal(noted.answer.from, rig_slot(&rig, 1));
        assert_int_equal(noted.answer.to, rig_slot(&rig, 0));
        assert_int_equal(noted.answer.network, 14);
        close(udp);
        rig_close(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_crosses),
        cmocka_unit_test(a_stream_is_intact),
        cmocka_unit_test(frames_are_counted_exactly),
        cmocka_unit_test(broadcast_goes_to_all_others),
        cmocka_unit_test(a_cut_takes_what_arrives_after_it),
        cmocka_unit_test(a_cut_is_silence),
        cmocka_unit_test(frames_for_nobody_are_counted),
        cmocka_unit_test(what_the_ring_has_no_room_for_is_counted),
        cmocka_unit_test(what_the_device_refuses_is_counted),
        cmocka_unit_test(captures_are_told_of_each_fate),
        cmocka_unit_test(captures_are_told_what_severd_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
