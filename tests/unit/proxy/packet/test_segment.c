/* Super-packets made by hand. How the kernel cuts the same ones is in test_kernel.c. */
#include "tests/unit/proxy/packet/packets.h"

#include <stdlib.h>

#include "proxy/base/random.h"
#include "proxy/packet/checksum.h"
#include "proxy/packet/segment.h"

static struct packet packet;

/* A super-packet of random shape; returns its header. */
static struct virtio_net_hdr make_random(struct random_stream *random, uint32_t payload,
                                         uint16_t size, unsigned flags)
{
    struct virtio_net_hdr header = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .gso_size = size};
    bool udp = random_next(random) % 3 == 0, ipv4 = random_next(random) % 2;
    int protocol = udp ? IPPROTO_UDP : IPPROTO_TCP;
    packet_start(&packet);
    if (random_next(random) % 4 == 0)
        packet_tag(&packet, ETH_P_8021Q, 7);
    if (ipv4) {
        packet_ipv4(&packet, protocol, (unsigned)(random_next(random) % 3) * 4);
    } else if (random_next(random) % 4 == 0) {
        packet_ipv6(&packet, IPPROTO_DSTOPTS);
        packet_extension(&packet, protocol, 16);
    } else {
        packet_ipv6(&packet, protocol);
    }
    if (udp)
        packet_udp(&packet);
    else
        packet_tcp(&packet, flags, (unsigned)(random_next(random) % 11) * 4);
    packet_payload(&packet, payload, (unsigned)random->sequence);
    packet_lengths(&packet);
    header.gso_type = udp    ? VIRTIO_NET_HDR_GSO_UDP_L4
                      : ipv4 ? VIRTIO_NET_HDR_GSO_TCPV4
                             : VIRTIO_NET_HDR_GSO_TCPV6;
    header.csum_start = (uint16_t)packet.transport;
    header.csum_offset = udp ? 6 : 16;
    return header;
}

static uint32_t get32(const unsigned char *at)
{
    uint32_t value;
    memcpy(&value, at, 4);
    return ntohl(value);
}

static uint16_t get16(const unsigned char *at)
{
    uint16_t value;
    memcpy(&value, at, 2);
    return ntohs(value);
}

/* The fields of segment `index` of `count` against the super-packet's. */
static void check_segment(const unsigned char *bytes, uint32_t length, uint32_t index,
                          uint32_t count, uint32_t offset)
{
    const unsigned char *ip = bytes + packet.network, *transport = bytes + packet.transport;
    const unsigned char *old = packet.bytes + packet.transport;
    if (packet.version == 4) {
        assert_true(packet_ipv4_header_is_right(ip));
        assert_int_equal(get16(ip + 2), length - packet.network);
        assert_int_equal(get16(ip + 4), (0xfffe + index) & 0xffff);
    } else {
        assert_int_equal(get16(ip + 4), length - packet.network - 40);
    }
    assert_true(packet_transport_is_right(bytes, packet.network, packet.transport, length,
                                          packet.protocol));
    if (packet.protocol == IPPROTO_UDP) {
        assert_int_equal(get16(transport + 4), length - packet.transport);
        return;
    }
    unsigned flags = old[13];
    if (index > 0)
        flags &= ~0x80u;
    if (index + 1 < count)
        flags &= ~(unsigned)(TH_FIN | TH_PUSH);
    assert_int_equal(transport[13], flags);
    assert_int_equal(get32(transport + 4), (uint32_t)(get32(old + 4) + offset));
    assert_memory_equal(transport + 8, old + 8, 5);
    assert_memory_equal(transport + 14, old + 14, 2);
    assert_memory_equal(transport + 18, old + 18, (size_t)(old[12] >> 4) * 4 - 18);
}

static void cut_and_check(const struct virtio_net_hdr *super, uint32_t payload)
{
    struct segmenter segmenter;
    struct virtio_net_hdr header;
    uint32_t size = super->gso_size, headers = packet.length - payload, offset = 0, index = 0;
    uint32_t count = segment_begin(&segmenter, super, packet.bytes, packet.length), length;
    assert_int_equal(count, payload <= size ? 1 : (payload + size - 1) / size);
    for (; (length = segment_length(&segmenter)) > 0; index++) {
        unsigned char *bytes = malloc(length);
        assert_non_null(bytes);
        assert_int_equal(segment_next(&segmenter, &header, bytes), length);
        uint32_t part = index + 1 < count ? size : payload - offset;
        assert_int_equal(length, headers + part);
        assert_memory_equal(bytes + headers, packet.bytes + headers + offset, part);
        assert_int_equal(header.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
        assert_int_equal(header.gso_type, VIRTIO_NET_HDR_GSO_NONE);
        assert_true(checksum_complete(&header, bytes, length));
        check_segment(bytes, length, index, count, offset);
        offset += part;
        free(bytes);
    }
    assert_int_equal(index, count > 1 ? count : 0);
    assert_int_equal(offset, count > 1 ? payload : 0);
    assert_int_equal(segment_next(&segmenter, &header, NULL), 0);
}

static void segments_together_are_the_super_packet(void **state)
{
    (void)state;
    struct random_stream random = {.key = 6};
    for (int round = 0; round < 2000; round++) {
        uint32_t payload = (uint32_t)(random_next(&random) % (round % 10 ? 9000 : 65000));
        uint16_t size = (uint16_t)(1 + random_next(&random) % 3000);
        unsigned flags = (unsigned)random_next(&random) & 0xff;
        struct virtio_net_hdr header = make_random(&random, payload, size, flags);
        if (header.gso_type != VIRTIO_NET_HDR_GSO_UDP_L4 && (flags & 0x80))
            header.gso_type |= VIRTIO_NET_HDR_GSO_ECN;
        cut_and_check(&header, payload);
    }
}

/* Segments first to first + count - 1, put together and, when they are several, cut again. */
static void check_run(const struct segmenter *whole, uint32_t first, uint32_t count)
{
    static unsigned char run[70000], once[70000], twice[70000];
    struct segmenter segmenter = *whole, again;
    struct virtio_net_hdr header, left, expected;
    uint32_t payload, headers = whole->frame.payload, length;
    segment_headers(whole, first, count, &header, run);
    const unsigned char *from = segment_payload(whole, first, count, &payload);
    memcpy(run + headers, from, payload);
    assert_int_equal(segment_begin(&again, &header, run, headers + payload), count);
    segmenter.index = first;
    for (uint32_t i = 0; count > 1 && i < count; i++) {
        length = segment_next(&segmenter, &expected, once);
        assert_int_equal(segment_next(&again, &left, twice), length);
        assert_memory_equal(twice, once, length);
        assert_memory_equal(&left, &expected, sizeof(left));
    }
    header.gso_type = VIRTIO_NET_HDR_GSO_NONE; /* the sum of all of it */
    assert_true(checksum_complete(&header, run, headers + payload));
    assert_true(packet_transport_is_right(run, packet.network, packet.transport, headers + payload,
                                          packet.protocol));
}

static void segments_can_be_put_together_again(void **state)
{
    (void)state;
    struct random_stream random = {.key = 9};
    for (int round = 0; round < 2000; round++) {
        uint32_t payload = 2 + (uint32_t)(random_next(&random) % 9000);
        uint16_t size = (uint16_t)(1 + random_next(&random) % payload);
        unsigned flags = (unsigned)random_next(&random) & 0xff;
        struct virtio_net_hdr header = make_random(&random, payload, size, flags);
        struct segmenter segmenter;
        if (header.gso_type != VIRTIO_NET_HDR_GSO_UDP_L4 && (flags & 0x80))
            header.gso_type |= VIRTIO_NET_HDR_GSO_ECN;
        uint32_t all = segment_begin(&segmenter, &header, packet.bytes, packet.length);
        uint32_t first = (uint32_t)(random_next(&random) % all);
        check_run(&segmenter, first, 1 + (uint32_t)(random_next(&random) % (all - first)));
    }
}

static void the_last_one_may_be_full(void **state)
{
    (void)state;
    struct random_stream random = {.key = 7};
    for (uint32_t payload = 0; payload < 40; payload++) {
        struct virtio_net_hdr header = make_random(&random, payload, 10, TH_ACK | TH_PUSH);
        cut_and_check(&header, payload);
    }
}

static void padding_is_not_payload(void **state)
{
    (void)state;
    struct random_stream random = {.key = 8};
    struct segmenter segmenter;
    struct virtio_net_hdr header = make_random(&random, 20, 10, TH_ACK);
    assert_int_equal(segment_begin(&segmenter, &header, packet.bytes, packet.length + 15), 2);
}

static void what_is_one_packet_is_not_cut(void **state)
{
    (void)state;
    struct segmenter segmenter;
    struct virtio_net_hdr header = {0}, none;
    unsigned char byte = 0;
    assert_int_equal(segment_begin(&segmenter, &header, &byte, 0), 1);
    assert_int_equal(segment_length(&segmenter), 0);
    assert_int_equal(segment_next(&segmenter, &none, NULL), 0);
}

static void what_is_not_as_it_says_cannot_be_cut(void **state)
{
    (void)state;
    struct segmenter segmenter;
    packet_start(&packet);
    struct ip *ip = packet_ipv4(&packet, IPPROTO_TCP, 0);
    struct tcphdr *tcp = packet_tcp(&packet, TH_ACK, 0);
    packet_payload(&packet, 5000, 1);
    packet_lengths(&packet);
    struct virtio_net_hdr header = {.gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 1448};
    assert_int_equal(segment_begin(&segmenter, &header, packet.bytes, packet.length), 4);
    static const uint8_t others[] = {VIRTIO_NET_HDR_GSO_TCPV6, VIRTIO_NET_HDR_GSO_UDP_L4,
                                     VIRTIO_NET_HDR_GSO_UDP, 0x7f, VIRTIO_NET_HDR_GSO_ECN};
    for (size_t i = 0; i < sizeof(others); i++) {
        header.gso_type = others[i];
        assert_int_equal(segment_begin(&segmenter, &header, packet.bytes, packet.length), 0);
        assert_int_equal(segment_length(&segmenter), 0);
    }
    header.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
    assert_int_equal(segment_begin(&segmenter, &header, packet.bytes, packet.length - 1), 0);
    header.gso_size = 0;
    assert_int_equal(segment_begin(&segmenter, &header, packet.bytes, packet.length), 0);
    header.gso_size = 1448;
    tcp->th_off = 4;
    assert_int_equal(segment_begin(&segmenter, &header, packet.bytes, packet.length), 0);
    tcp->th_off = 5;
    ip->ip_off = htons(0x2000);
    assert_int_equal(segment_begin(&segmenter, &header, packet.bytes, packet.length), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(segments_together_are_the_super_packet),
        cmocka_unit_test(segments_can_be_put_together_again),
        cmocka_unit_test(the_last_one_may_be_full),
        cmocka_unit_test(padding_is_not_payload),
        cmocka_unit_test(what_is_one_packet_is_not_cut),
        cmocka_unit_test(what_is_not_as_it_says_cannot_be_cut),
    };
    return cmocka_run_group_tests_name("proxy/packet/segment", tests, NULL, NULL);
}
