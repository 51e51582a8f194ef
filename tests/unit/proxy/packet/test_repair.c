/* Packets that were changed or cut short are taken by their receiver. */
#include "tests/unit/proxy/packet/packets.h"

#include "proxy/base/random.h"
#include "proxy/packet/repair.h"

static struct packet packet;
static struct random_stream dice = {.key = 8};

static uint32_t below(uint32_t limit)
{
    return (uint32_t)random_below(random_next(&dice), limit);
}

static void make(int version, int protocol, uint32_t payload)
{
    packet_start(&packet);
    if (below(2))
        packet_tag(&packet, ETH_P_8021Q, 7);
    if (version == 4)
        packet_ipv4(&packet, protocol, below(11) * 4);
    else
        packet_ipv6(&packet, protocol);
    if (protocol == IPPROTO_TCP)
        packet_tcp(&packet, TH_ACK, 0);
    else if (protocol == IPPROTO_UDP)
        packet_udp(&packet)->uh_sum = 1;
    packet_payload(&packet, payload, 3);
    packet_lengths(&packet);
    assert_true(repair_packet(packet.bytes, packet.length, packet.length));
}

static uint32_t field(uint32_t at)
{
    return (uint32_t)packet.bytes[at] << 8 | packet.bytes[at + 1];
}

/* That what ends at `end` says so, and has right checksums as far as it has headers. */
static void expect_whole(uint32_t end)
{
    static const uint32_t headers[] = {[IPPROTO_TCP] = 20, [IPPROTO_UDP] = 8};
    uint32_t network = packet.network;
    if (packet.version == 4) {
        assert_int_equal(field(network + 2), end - network);
        assert_true(packet_ipv4_header_is_right(packet.bytes + network));
    } else {
        assert_int_equal(field(network + 4), end - network - 40);
    }
    if (end < packet.transport + headers[packet.protocol])
        return;
    if (packet.protocol == IPPROTO_UDP)
        assert_int_equal(field(packet.transport + 4), end - packet.transport);
    assert_true(
        packet_transport_is_right(packet.bytes, network, packet.transport, end, packet.protocol));
}

static void what_is_cut_short_says_so(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4000; i++) {
        make(i & 1 ? 4 : 6, i & 2 ? IPPROTO_TCP : IPPROTO_UDP, 30 + below(1400));
        uint32_t header = packet.transport - packet.network;
        uint32_t end = packet.network + below(packet.length - packet.network);
        struct packet before = packet;
        bool repaired = repair_packet(packet.bytes, packet.length, end);
        assert_int_equal(repaired, end >= packet.network + header);
        if (repaired)
            expect_whole(end);
        else
            assert_memory_equal(packet.bytes, before.bytes, packet.length);
        /* nothing behind the end was written to */
        assert_memory_equal(packet.bytes + end, before.bytes + end, packet.length - end);
    }
}

static void what_was_changed_is_right_again(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4000; i++) {
        make(i & 1 ? 4 : 6, i & 2 ? IPPROTO_TCP : IPPROTO_UDP, 30 + below(1400));
        uint32_t payload = packet.transport + (i & 2 ? 20 : 8);
        uint32_t at = payload + below(packet.length - payload);
        packet.bytes[at] ^= (unsigned char)(1u << below(8));
        unsigned char changed = packet.bytes[at];
        assert_true(repair_packet(packet.bytes, packet.length, packet.length));
        assert_int_equal(packet.bytes[at], changed);
        expect_whole(packet.length);
    }
}

/* An Ethernet frame has 60 bytes at least: what goes with the padding is nothing of the packet. */
static void padding_may_go(void **state)
{
    (void)state;
    make(4, IPPROTO_UDP, 3);
    uint32_t end = packet.length;
    packet_payload(&packet, 30, 9);
    assert_true(repair_packet(packet.bytes, packet.length, end + 5));
    expect_whole(end);
    assert_true(repair_packet(packet.bytes, packet.length, end - 1));
    expect_whole(end - 1);
}

static void what_cannot_be_read_is_left_alone(void **state)
{
    (void)state;
    make(4, IPPROTO_UDP, 100);
    packet.bytes[packet.network] ^= 0x10; /* version 5 */
    struct packet before = packet;
    assert_false(repair_packet(packet.bytes, packet.length, packet.length));
    assert_false(repair_packet(packet.bytes, packet.length, packet.length - 50));
    assert_memory_equal(packet.bytes, before.bytes, packet.length);

    make(4, IPPROTO_UDP, 100); /* the first of several: its UDP header speaks of them all */
    packet.bytes[packet.network + 6] |= 0x20;
    before = packet;
    assert_true(repair_packet(packet.bytes, packet.length, packet.length - 50));
    assert_int_equal(field(packet.network + 2), packet.length - 50 - packet.network);
    assert_memory_equal(packet.bytes + packet.transport, before.bytes + packet.transport, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_cut_short_says_so),
        cmocka_unit_test(what_was_changed_is_right_again),
        cmocka_unit_test(padding_may_go),
        cmocka_unit_test(what_cannot_be_read_is_left_alone),
    };
    return cmocka_run_group_tests_name("proxy/packet/repair", tests, NULL, NULL);
}
