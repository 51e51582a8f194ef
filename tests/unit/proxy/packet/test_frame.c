#include "tests/unit/proxy/packet/packets.h"

#include <stdlib.h>

#include "proxy/base/random.h"
#include "proxy/packet/frame.h"

/* In memory of exactly this size, so that a sanitizer sees a byte too far. */
static struct frame parse(const unsigned char *bytes, uint32_t length)
{
    struct frame frame;
    unsigned char *copy = malloc(length ? length : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, length);
    frame_parse(copy, length, &frame);
    free(copy);
    return frame;
}

static struct frame parse_packet(const struct packet *packet)
{
    return parse(packet->bytes, packet->length);
}

static struct packet packet;

static void ipv4_and_its_transports(void **state)
{
    (void)state;
    packet_start(&packet);
    packet_ipv4(&packet, IPPROTO_TCP, 0);
    packet_tcp(&packet, TH_ACK, 12);
    packet_payload(&packet, 10, 0);
    packet_lengths(&packet);
    packet_payload(&packet, 6, 0); /* padding of a short frame */
    struct frame frame = parse_packet(&packet);
    assert_int_equal(frame.kind, FRAME_IPV4);
    assert_int_equal(frame.ethertype, ETH_P_IP);
    assert_int_equal(frame.network, 14);
    assert_int_equal(frame.network_end, 14 + 20 + 32 + 10);
    assert_int_equal(frame.protocol, IPPROTO_TCP);
    assert_int_equal(frame.transport, 34);
    assert_int_equal(frame.transport_end, frame.network_end);
    assert_int_equal(frame.payload, 66);
    assert_false(frame.fragment || frame.later_fragment || frame.routed);

    packet_start(&packet);
    packet_ipv4(&packet, IPPROTO_UDP, 8);
    struct udphdr *udp = packet_udp(&packet);
    packet_payload(&packet, 20, 0);
    packet_lengths(&packet);
    frame = parse_packet(&packet);
    assert_int_equal(frame.transport, 42);
    assert_int_equal(frame.payload, 50);
    assert_int_equal(frame.transport_end, 70);
    udp->uh_ulen = htons(12); /* what is behind is not the datagram's */
    frame = parse_packet(&packet);
    assert_int_equal(frame.transport_end, 54);
    assert_int_equal(frame.network_end, 70);
    static const uint16_t wrong[] = {0, 7, 29, 65535};
    for (size_t i = 0; i < 4; i++) {
        udp->uh_ulen = htons(wrong[i]);
        frame = parse_packet(&packet);
        assert_int_equal(frame.kind, FRAME_IPV4);
        assert_int_equal(frame.transport, 42);
        assert_int_equal(frame.payload, 0);
    }
}

static void tags_are_behind_the_addresses(void **state)
{
    (void)state;
    for (unsigned tags = 0; tags <= 3; tags++) {
        packet_start(&packet);
        for (unsigned i = tags; i > 0; i--)
            packet_tag(&packet, i > 1 ? ETH_P_8021AD : ETH_P_8021Q, 5);
        packet_ipv6(&packet, IPPROTO_UDP);
        packet_udp(&packet);
        packet_lengths(&packet);
        struct frame frame = parse_packet(&packet);
        assert_int_equal(frame.kind, tags <= FRAME_TAGS_MAX ? FRAME_IPV6 : FRAME_NOT_IP);
        assert_int_equal(frame.network, 14 + 4 * (tags < 3 ? tags : 2));
        if (tags < 3)
            assert_int_equal(frame.payload, frame.network + 48);
    }
}

static void extension_headers_are_passed(void **state)
{
    (void)state;
    packet_start(&packet);
    packet_ipv6(&packet, IPPROTO_HOPOPTS);
    packet_extension(&packet, IPPROTO_DSTOPTS, 16);
    packet_extension(&packet, IPPROTO_ROUTING, 8);
    unsigned char *routing = packet_extension(&packet, IPPROTO_AH, 24);
    packet_extension(&packet, IPPROTO_FRAGMENT, 24)[1] = 4; /* AH counts in words, less 2 */
    packet_extension(&packet, IPPROTO_ICMPV6, 8);           /* an atomic fragment (RFC 6946) */
    packet_payload(&packet, 9, 0);
    packet_lengths(&packet);
    struct frame frame = parse_packet(&packet);
    assert_int_equal(frame.kind, FRAME_IPV6);
    assert_int_equal(frame.protocol, IPPROTO_ICMPV6);
    assert_int_equal(frame.transport, packet.transport);
    assert_int_equal(frame.payload, packet.transport + 8);
    assert_int_equal(frame.network_end, packet.length);
    assert_false(frame.fragment || frame.routed);
    routing[3] = 1;
    assert_true(parse_packet(&packet).routed);
    routing[1] = 200; /* ends behind the packet */
    assert_int_equal(parse_packet(&packet).kind, FRAME_BROKEN);

    packet_start(&packet);
    packet_ipv6(&packet, IPPROTO_DSTOPTS);
    for (int i = 0; i < FRAME_EXTENSIONS_MAX; i++)
        packet_extension(&packet, IPPROTO_DSTOPTS, 8);
    packet_extension(&packet, IPPROTO_UDP, 8);
    packet_udp(&packet);
    packet_lengths(&packet);
    frame = parse_packet(&packet);
    assert_int_equal(frame.kind, FRAME_IPV6);
    assert_int_equal(frame.transport, 0); /* one too many to look behind */
}

static void fragments_are_told(void **state)
{
    (void)state;
    static const struct {
        uint16_t ipv4, ipv6;
        bool fragment, later;
    } cases[] = {{0, 0, false, false},
                 {0x4000, 0x0006, false, false}, /* don't fragment; reserved bits */
                 {0x2000, 0x0001, true, false},
                 {0x2001, 0x0009, true, true},
                 {0x1fff, 0xfff8, true, true}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        packet_start(&packet);
        packet_ipv4(&packet, IPPROTO_UDP, 0)->ip_off = htons(cases[i].ipv4);
        packet_udp(&packet)->uh_ulen = htons(1000);
        packet_payload(&packet, 16, 0);
        uint16_t total = htons((uint16_t)(packet.length - packet.network));
        memcpy(packet.bytes + packet.network + 2, &total, 2);
        struct frame frame = parse_packet(&packet);
        assert_int_equal(frame.fragment, cases[i].fragment);
        assert_int_equal(frame.later_fragment, cases[i].later);
        assert_int_equal(frame.transport, cases[i].later ? 0 : 34);
        assert_int_equal(frame.payload, cases[i].fragment && !cases[i].later ? 42 : 0);

        packet_start(&packet);
        packet_ipv6(&packet, IPPROTO_FRAGMENT);
        uint16_t word = htons(cases[i].ipv6);
        memcpy(packet_extension(&packet, IPPROTO_TCP, 8) + 2, &word, 2);
        packet_tcp(&packet, TH_ACK, 0);
        packet_lengths(&packet);
        frame = parse_packet(&packet);
        assert_int_equal(frame.kind, FRAME_IPV6);
        assert_int_equal(frame.protocol, IPPROTO_TCP);
        assert_int_equal(frame.fragment, cases[i].fragment);
        assert_int_equal(frame.later_fragment, cases[i].later);
        assert_int_equal(frame.transport, cases[i].later ? 0 : 62);
    }
}

static void what_is_not_ip_or_broken(void **state)
{
    (void)state;
    packet_start(&packet);
    packet_type(&packet, ETH_P_ARP);
    struct frame frame = parse_packet(&packet);
    assert_int_equal(frame.kind, FRAME_NOT_IP);
    assert_int_equal(frame.ethertype, ETH_P_ARP);
    for (uint32_t length = 0; length < 14; length++)
        assert_int_equal(parse(packet.bytes, length).kind, FRAME_BROKEN);

    packet_start(&packet);
    struct ip *ip = packet_ipv4(&packet, IPPROTO_TCP, 0);
    packet_tcp(&packet, TH_ACK, 0)->th_off = 4;
    packet_lengths(&packet);
    frame = parse_packet(&packet);
    assert_int_equal(frame.transport, 34);
    assert_int_equal(frame.payload, 0); /* the header is shorter than it can be */
    for (uint32_t length = 14; length < packet.length; length++)
        assert_int_equal(parse(packet.bytes, length).kind, FRAME_BROKEN);
    ip->ip_len = htons(39); /* not even the smallest header of TCP */
    frame = parse_packet(&packet);
    assert_int_equal(frame.kind, FRAME_IPV4);
    assert_int_equal(frame.transport, 0);
    ip->ip_len = htons(19);
    assert_int_equal(parse_packet(&packet).kind, FRAME_BROKEN);
    ip->ip_len = htons(0);
    assert_int_equal(parse_packet(&packet).kind, FRAME_BROKEN);
    ip->ip_len = htons(40);
    ip->ip_hl = 4;
    assert_int_equal(parse_packet(&packet).kind, FRAME_BROKEN);
    ip->ip_hl = 11;
    assert_int_equal(parse_packet(&packet).kind, FRAME_BROKEN);
    ip->ip_hl = 5;
    ip->ip_v = 6;
    assert_int_equal(parse_packet(&packet).kind, FRAME_BROKEN);

    packet_start(&packet);
    packet_ipv6(&packet, IPPROTO_NONE);
    frame = parse_packet(&packet);
    assert_int_equal(frame.kind, FRAME_IPV6);
    assert_int_equal(frame.transport, 0);
    for (uint32_t length = 14; length < packet.length; length++)
        assert_int_equal(parse(packet.bytes, length).kind, FRAME_BROKEN);
}

/* Bytes that nobody made sensible, and sensible ones with some bits turned: what is said lies
 * within the frame, in order. The sanitizers watch. */
static void whatever_comes_is_within_the_frame(void **state)
{
    (void)state;
    struct random_stream random = {.key = 3};
    for (int round = 0; round < 200000; round++) {
        packet_start(&packet);
        if (round % 2)
            packet_ipv4(&packet, IPPROTO_TCP, (unsigned)(random_next(&random) % 11) * 4);
        else
            packet_ipv6(&packet, IPPROTO_HOPOPTS);
        for (int i = 0; i < 4; i++)
            packet_extension(&packet, "\x00\x2b\x2c\x33\x3c\x06\x11\x3a"[random_next(&random) % 8],
                             8 + (unsigned)(random_next(&random) % 3) * 8);
        packet_lengths(&packet);
        for (uint64_t i = random_next(&random) % 4; i > 0; i--)
            packet.bytes[random_next(&random) % packet.length] ^= (unsigned char)(1u << (i % 8));
        uint32_t length = packet.length - (random_next(&random) % 4 ? 0 : 5);
        struct frame frame = parse(packet.bytes, length);
        assert_true(frame.network <= length);
        if (frame_is_ip(&frame))
            assert_in_range(frame.network_end, frame.network + 20, length);
        if (frame.transport)
            assert_in_range(frame.transport, frame.network + 20, frame.network_end);
        if (frame.payload)
            assert_in_range(frame.payload, frame.transport + 8, frame.transport_end);
        assert_true(frame.transport_end <= frame.network_end);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ipv4_and_its_transports),
        cmocka_unit_test(tags_are_behind_the_addresses),
        cmocka_unit_test(extension_headers_are_passed),
        cmocka_unit_test(fragments_are_told),
        cmocka_unit_test(what_is_not_ip_or_broken),
        cmocka_unit_test(whatever_comes_is_within_the_frame),
    };
    return cmocka_run_group_tests_name("proxy/packet/frame", tests, NULL, NULL);
}
