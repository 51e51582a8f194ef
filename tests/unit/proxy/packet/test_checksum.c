#include "tests/unit/proxy/packet/packets.h"

#include "proxy/base/internet_checksum.h"
#include "proxy/base/random.h"
#include "proxy/packet/checksum.h"

static struct packet packet;

static bool is_right(void)
{
    if (packet.version == 4 && !packet_ipv4_header_is_right(packet.bytes + packet.network))
        return false;
    return packet_transport_is_right(packet.bytes, packet.network, packet.transport, packet.length,
                                     packet.protocol);
}

static bool repair(void)
{
    struct frame frame;
    frame_parse(packet.bytes, packet.length, &frame);
    return checksum_repair(packet.bytes, &frame);
}

/* Ethernet, with a tag for each odd round, and IPv4 or IPv6 up to the transport. */
static void start(struct random_stream *random, int version, int protocol)
{
    packet_start(&packet);
    if (random_next(random) % 2)
        packet_tag(&packet, ETH_P_8021Q, 7);
    if (version == 4) {
        packet_ipv4(&packet, protocol, (unsigned)(random_next(random) % 11) * 4);
    } else if (random_next(random) % 2) {
        packet_ipv6(&packet, IPPROTO_DSTOPTS);
        packet_extension(&packet, protocol, 16);
    } else {
        packet_ipv6(&packet, protocol);
    }
}

static void make_random(struct random_stream *random)
{
    static const int protocols[2][4] = {{IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_IGMP},
                                        {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMPV6, IPPROTO_UDP}};
    int version = random_next(random) % 2 ? 4 : 6;
    int protocol = protocols[version == 6][random_next(random) % 4];
    start(random, version, protocol);
    if (protocol == IPPROTO_TCP)
        packet_tcp(&packet, TH_ACK, (unsigned)(random_next(random) % 11) * 4);
    else if (protocol == IPPROTO_UDP)
        packet_udp(&packet)->uh_sum = 1;
    else
        packet_payload(&packet, 8, 9);
    packet_payload(&packet, (uint32_t)(random_next(random) % 2000), (unsigned)random->sequence);
    packet_lengths(&packet);
}

static void whole_packets_are_repaired(void **state)
{
    (void)state;
    struct random_stream random = {.key = 4};
    for (int round = 0; round < 3000; round++) {
        make_random(&random);
        assert_true(repair());
        assert_true(is_right());
        packet.bytes[packet.length - 1] ^= 0x10;
        assert_false(is_right());
        assert_true(repair());
        assert_true(is_right());
    }
}

static void what_is_left_to_the_device_is_completed(void **state)
{
    (void)state;
    struct random_stream random = {.key = 5};
    for (int round = 0; round < 3000; round++) {
        bool udp = round % 2;
        start(&random, round & 2 ? 4 : 6, udp ? IPPROTO_UDP : IPPROTO_TCP);
        if (udp)
            packet_udp(&packet);
        else
            packet_tcp(&packet, TH_ACK, 0);
        packet_payload(&packet, (uint32_t)(random_next(&random) % 1400), (unsigned)round);
        packet_lengths(&packet);
        uint32_t place = packet.transport + (udp ? 6 : 16);
        struct frame frame;
        frame_parse(packet.bytes, packet.length, &frame);
        checksum_repair(packet.bytes, &frame); /* for the header of IPv4 */
        uint32_t sum = packet.version == 4 ? packet_sum(0, packet.bytes + packet.network + 12, 8)
                                           : packet_sum(0, packet.bytes + packet.network + 8, 32);
        sum += (uint32_t)packet.protocol + packet.length - packet.transport;
        sum = (sum & 0xffff) + (sum >> 16);
        uint16_t partial = htons((uint16_t)((sum & 0xffff) + (sum >> 16)));
        memcpy(packet.bytes + place, &partial, 2);
        assert_int_equal(internet_checksum_fold(checksum_pseudo_header(
                             packet.bytes, &frame, packet.length - packet.transport)),
                         partial);
        struct virtio_net_hdr header = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                                        .csum_start = (uint16_t)packet.transport,
                                        .csum_offset = udp ? 6 : 16};
        assert_true(checksum_complete(&header, packet.bytes, packet.length));
        assert_int_equal(header.flags, 0);
        assert_true(is_right());
        struct packet before = packet;
        assert_true(checksum_complete(&header, packet.bytes, packet.length)); /* not twice */
        assert_memory_equal(packet.bytes, before.bytes, packet.length);
    }
}

static void a_place_outside_of_the_frame_is_not_touched(void **state)
{
    (void)state;
    unsigned char bytes[40] = {0}, before[40] = {0};
    static const uint16_t places[][2] = {{39, 0}, {38, 1}, {0, 39}, {65535, 65535}, {40, 0}};
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        struct virtio_net_hdr header = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                                        .csum_start = places[i][0],
                                        .csum_offset = places[i][1]};
        assert_false(checksum_complete(&header, bytes, sizeof(bytes)));
        assert_int_equal(header.flags, 0);
        assert_memory_equal(bytes, before, sizeof(bytes));
    }
    struct virtio_net_hdr header = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 38};
    assert_true(checksum_complete(&header, bytes, sizeof(bytes)));
}

/* 0 would mean that there is none. */
static void a_sum_of_zero_is_sent_as_ones(void **state)
{
    (void)state;
    packet_start(&packet);
    packet_ipv4(&packet, IPPROTO_UDP, 0);
    struct udphdr *udp = packet_udp(&packet);
    packet_payload(&packet, 2, 0);
    packet_lengths(&packet);
    udp->uh_sum = 1;
    memset(packet.bytes + packet.length - 2, 0, 2);
    repair();
    uint16_t sum = udp->uh_sum;
    memcpy(packet.bytes + packet.length - 2, &sum, 2); /* now the sum is all ones */
    repair();
    assert_int_equal(udp->uh_sum, 0xffff);
    assert_true(is_right());
}

static void what_cannot_be_known_is_left_alone(void **state)
{
    (void)state;
    struct packet before;
    packet_start(&packet); /* a datagram without a checksum stays one */
    packet_ipv4(&packet, IPPROTO_UDP, 0);
    struct udphdr *udp = packet_udp(&packet);
    packet_lengths(&packet);
    assert_true(repair());
    assert_int_equal(udp->uh_sum, 0);
    assert_true(packet_ipv4_header_is_right(packet.bytes + packet.network));

    packet_start(&packet); /* a fragment's transport */
    packet_ipv4(&packet, IPPROTO_UDP, 0)->ip_off = htons(0x2000);
    packet_udp(&packet)->uh_sum = 0x1234;
    packet_lengths(&packet);
    before = packet;
    assert_true(repair());
    assert_true(packet_ipv4_header_is_right(packet.bytes + packet.network));
    assert_memory_equal(packet.bytes + packet.transport, before.bytes + packet.transport, 8);

    packet_start(&packet); /* what a routing header sends on to where we don't look */
    packet_ipv6(&packet, IPPROTO_ROUTING);
    packet_extension(&packet, IPPROTO_TCP, 24)[3] = 1;
    packet_tcp(&packet, TH_ACK, 0)->th_sum = 0x1234;
    packet_lengths(&packet);
    before = packet;
    assert_true(repair());
    assert_memory_equal(packet.bytes, before.bytes, packet.length);

    packet_start(&packet); /* no protocol whose checksum we know: SCTP */
    packet_ipv6(&packet, 132);
    packet_payload(&packet, 40, 1);
    packet_lengths(&packet);
    before = packet;
    assert_true(repair());
    assert_memory_equal(packet.bytes, before.bytes, packet.length);

    packet_start(&packet);
    packet_type(&packet, ETH_P_ARP);
    packet_payload(&packet, 28, 1);
    before = packet;
    assert_false(repair());
    assert_memory_equal(packet.bytes, before.bytes, packet.length);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_packets_are_repaired),
        cmocka_unit_test(what_is_left_to_the_device_is_completed),
        cmocka_unit_test(a_place_outside_of_the_frame_is_not_touched),
        cmocka_unit_test(a_sum_of_zero_is_sent_as_ones),
        cmocka_unit_test(what_cannot_be_known_is_left_alone),
    };
    return cmocka_run_group_tests_name("proxy/packet/checksum", tests, NULL, NULL);
}
