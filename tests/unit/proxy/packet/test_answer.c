/* Who is told what. That the answers are those of a kernel, and reach programs, is in
 * test_kernel.c. */
#include "tests/unit/proxy/packet/packets.h"

#include <stdlib.h>

#include "proxy/packet/answer.h"

static struct packet packet;
static unsigned char answer[ANSWER_BYTES_MAX];

/* From and into memory of exactly this size. */
static uint32_t reject(void)
{
    struct frame frame;
    unsigned char *copy = malloc(packet.length), *room = malloc(ANSWER_BYTES_MAX);
    assert_true(copy && room);
    memcpy(copy, packet.bytes, packet.length);
    frame_parse(copy, packet.length, &frame);
    uint32_t size = answer_reject(copy, &frame, room);
    memcpy(answer, room, size);
    free(room);
    free(copy);
    return size;
}

static void start(int version, int protocol)
{
    packet_start(&packet);
    if (version == 4)
        packet_ipv4(&packet, protocol, 0);
    else
        packet_ipv6(&packet, protocol);
}

static uint32_t reject_tcp(int version, unsigned flags, uint32_t payload)
{
    start(version, IPPROTO_TCP);
    packet_tcp(&packet, flags, 8);
    packet_payload(&packet, payload, 1);
    packet_lengths(&packet);
    return reject();
}

static void assert_reset(int version, const char *sequence, const char *acknowledged,
                         unsigned flags)
{
    uint32_t tcp = version == 4 ? 34 : 54;
    assert_memory_equal(answer, "\x02\0\0\0\0\x01\x02\0\0\0\0\x02", 12);
    assert_memory_equal(answer + tcp, "\x09\x4b\x9c\x40", 4); /* 2379, 40000 */
    assert_memory_equal(answer + tcp + 4, sequence, 4);
    assert_memory_equal(answer + tcp + 8, acknowledged, 4);
    assert_int_equal(answer[tcp + 12], 0x50);
    assert_int_equal(answer[tcp + 13], flags);
    assert_true(packet_transport_is_right(answer, 14, tcp, tcp + 20, IPPROTO_TCP));
    if (version == 4)
        assert_true(packet_ipv4_header_is_right(answer + 14));
}

/* The packets have sequence number 0xfffffff0 and acknowledge 77777. */
static void tcp_is_reset(void **state)
{
    (void)state;
    static const int versions[] = {4, 6};
    for (size_t i = 0; i < 2; i++) {
        int version = versions[i];
        uint32_t length = version == 4 ? 54 : 74;
        assert_int_equal(reject_tcp(version, TH_SYN, 0), length);
        assert_reset(version, "\0\0\0\0", "\xff\xff\xff\xf1", TH_RST | TH_ACK);
        assert_int_equal(reject_tcp(version, TH_SYN | TH_FIN, 20), length);
        assert_reset(version, "\0\0\0\0", "\0\0\0\x06", TH_RST | TH_ACK);
        assert_int_equal(reject_tcp(version, TH_ACK | TH_PUSH, 20), length);
        assert_reset(version, "\0\x01\x2f\xd1", "\0\0\0\0", TH_RST);
        assert_int_equal(reject_tcp(version, TH_SYN | TH_ACK, 0), length);
        assert_reset(version, "\0\x01\x2f\xd1", "\0\0\0\0", TH_RST);
        assert_int_equal(reject_tcp(version, TH_RST, 0), 0);
        assert_int_equal(reject_tcp(version, TH_RST | TH_ACK, 0), 0);
    }
    start(4, IPPROTO_TCP);
    packet_tcp(&packet, TH_ACK, 0)->th_off = 4; /* a header that can't be */
    packet_lengths(&packet);
    assert_int_equal(reject(), 0);
}

static void others_get_port_unreachable(void **state)
{
    (void)state;
    static const int protocols[] = {IPPROTO_UDP, 132, 47};
    for (size_t i = 0; i < 3; i++)
        for (uint32_t payload = 0; payload < 1450; payload += 29) {
            start(4, protocols[i]);
            packet_udp(&packet);
            packet_payload(&packet, payload, 1);
            packet_lengths(&packet);
            uint32_t quoted = 28 + payload < 548 ? 28 + payload : 548;
            assert_int_equal(reject(), 14 + 28 + quoted);
            assert_memory_equal(answer + 34, "\x03\x03", 2);
            assert_memory_equal(answer + 42, packet.bytes + 14, quoted);
            assert_true(packet_transport_is_right(answer, 14, 34, 14 + 28 + quoted, IPPROTO_ICMP));
            assert_true(packet_ipv4_header_is_right(answer + 14));

            start(6, protocols[i]);
            packet_udp(&packet);
            packet_payload(&packet, payload, 1);
            packet_lengths(&packet);
            quoted = 48 + payload < 1232 ? 48 + payload : 1232;
            assert_int_equal(reject(), 14 + 48 + quoted);
            assert_memory_equal(answer + 54, "\x01\x04", 2);
            assert_memory_equal(answer + 62, packet.bytes + 14, quoted);
            assert_true(
                packet_transport_is_right(answer, 14, 54, 14 + 48 + quoted, IPPROTO_ICMPV6));
        }
}

static void tags_stay(void **state)
{
    (void)state;
    packet_start(&packet);
    packet_tag(&packet, ETH_P_8021AD, 5);
    packet_tag(&packet, ETH_P_8021Q, 6);
    packet_ipv6(&packet, IPPROTO_UDP);
    packet_udp(&packet);
    packet_payload(&packet, 2000, 1);
    packet_lengths(&packet);
    assert_int_equal(reject(), ANSWER_BYTES_MAX);
    assert_memory_equal(answer + 12, packet.bytes + 12, 10);
}

static void nobody_is_told_of_errors(void **state)
{
    (void)state;
    for (unsigned type = 0; type < 256; type++) {
        bool is_error = type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
        unsigned char icmp[8] = {(unsigned char)type};
        start(4, IPPROTO_ICMP);
        packet_append(&packet, icmp, sizeof(icmp));
        packet_lengths(&packet);
        assert_int_equal(reject() > 0, !is_error);
        start(6, IPPROTO_ICMPV6);
        packet_append(&packet, icmp, sizeof(icmp));
        packet_lengths(&packet);
        /* Errors; listeners; routers, neighbours, redirects; listener reports. */
        is_error = type < 128 || (type >= 130 && type <= 137) || type == 143;
        assert_int_equal(reject() > 0, !is_error);
    }
}

static void fragments(void **state)
{
    (void)state;
    start(4, IPPROTO_UDP);
    packet_udp(&packet);
    packet_payload(&packet, 100, 1);
    packet_lengths(&packet);
    struct ip *ip = (struct ip *)(void *)(packet.bytes + 14);
    ip->ip_off = htons(IP_MF);
    assert_int_not_equal(reject(), 0);
    ip->ip_off = htons(IP_MF | 13);
    assert_int_equal(reject(), 0);
    ip->ip_off = htons(13);
    assert_int_equal(reject(), 0);
    packet_start(&packet);
    packet_ipv6(&packet, IPPROTO_FRAGMENT);
    unsigned char *fragment = packet_extension(&packet, IPPROTO_UDP, 8);
    fragment[3] = 1;
    packet_udp(&packet);
    packet_lengths(&packet);
    assert_int_not_equal(reject(), 0);
    fragment[2] = 1;
    assert_int_equal(reject(), 0);
}

static uint32_t reject_between(const char *source, const char *destination)
{
    int family = strchr(source, ':') ? AF_INET6 : AF_INET;
    start(family == AF_INET ? 4 : 6, IPPROTO_UDP);
    unsigned char *addresses = packet.bytes + 14 + (family == AF_INET ? 12 : 8);
    assert_int_equal(inet_pton(family, source, addresses), 1);
    assert_int_equal(inet_pton(family, destination, addresses + (family == AF_INET ? 4 : 16)), 1);
    packet_udp(&packet);
    packet_lengths(&packet);
    return reject();
}

static void only_single_hosts_are_told(void **state)
{
    (void)state;
    static const char *const ipv4[] = {"0.0.0.0",        "0.1.2.3",         "127.0.0.1",
                                       "224.0.0.1",      "239.255.255.255", "240.0.0.1",
                                       "255.255.255.255"};
    static const char *const ipv6[] = {"::", "::1", "ff02::1", "ff15::7"};
    assert_int_not_equal(reject_between("10.77.0.1", "10.77.0.2"), 0);
    assert_int_not_equal(reject_between("fe80::1", "fd77::2"), 0);
    for (size_t i = 0; i < sizeof(ipv4) / sizeof(ipv4[0]); i++) {
        assert_int_equal(reject_between(ipv4[i], "10.77.0.2"), 0);
        assert_int_equal(reject_between("10.77.0.1", ipv4[i]), 0);
    }
    for (size_t i = 0; i < sizeof(ipv6) / sizeof(ipv6[0]); i++) {
        assert_int_equal(reject_between(ipv6[i], "fd77::2"), 0);
        assert_int_equal(reject_between("fd77::1", ipv6[i]), 0);
    }
    for (unsigned place = 0; place <= 6; place += 6) { /* Ethernet: a group, or from one */
        reject_between("10.77.0.1", "10.77.0.255");
        packet.bytes[place] |= 1;
        assert_int_equal(reject(), 0);
    }
    packet_start(&packet);
    packet_type(&packet, ETH_P_ARP);
    packet_payload(&packet, 28, 1);
    assert_int_equal(reject(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tcp_is_reset), cmocka_unit_test(others_get_port_unreachable),
        cmocka_unit_test(tags_stay),    cmocka_unit_test(nobody_is_told_of_errors),
        cmocka_unit_test(fragments),    cmocka_unit_test(only_single_hosts_are_told),
    };
    return cmocka_run_group_tests_name("proxy/packet/answer", tests, NULL, NULL);
}
