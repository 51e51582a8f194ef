/* What is answered and what is left alone. That the answers are those of a kernel is in
 * test_kernel.c. */
#include "tests/unit/proxy/packet/packets.h"

#include <net/if_arp.h>
#include <netinet/if_ether.h>
#include <stdlib.h>

#include "proxy/packet/checksum.h"
#include "proxy/packet/neighbour.h"

static const unsigned char mac_one[6] = {2, 0, 0, 0, 0, 1}, mac_two[6] = {2, 0, 0, 0, 0, 2};
static struct packet packet;
static unsigned char answer[NEIGHBOUR_ANSWER_MAX];

/* Knows node 1 and node 2. */
static const unsigned char *look_up(const void *context, const unsigned char *address,
                                    uint32_t size)
{
    static const unsigned char ipv4[] = {10, 77, 0}, ipv6[15] = {0xfd, 0x77};
    assert_ptr_equal(context, &packet);
    if (size == 4 ? memcmp(address, ipv4, 3) != 0 : memcmp(address, ipv6, 15) != 0)
        return NULL;
    unsigned last = address[size - 1];
    return last == 1 ? mac_one : last == 2 ? mac_two : NULL;
}

/* In memory of exactly this size. */
static uint32_t ask_length(uint32_t length)
{
    unsigned char *copy = malloc(length ? length : 1);
    assert_non_null(copy);
    memcpy(copy, packet.bytes, length);
    memset(answer, 0xee, sizeof(answer));
    uint32_t size = neighbour_answer(copy, length, look_up, &packet, answer);
    free(copy);
    return size;
}

static uint32_t ask(void)
{
    return ask_length(packet.length);
}

static struct ether_arp *make_arp(uint16_t operation, const char *sender, const char *target)
{
    struct ether_arp arp = {.ea_hdr = {.ar_hrd = htons(ARPHRD_ETHER),
                                       .ar_pro = htons(ETH_P_IP),
                                       .ar_hln = 6,
                                       .ar_pln = 4,
                                       .ar_op = htons(operation)}};
    packet_start(&packet);
    memset(packet.bytes, 0xff, 6);
    packet_type(&packet, ETH_P_ARP);
    memcpy(arp.arp_sha, mac_one, 6);
    inet_pton(AF_INET, sender, arp.arp_spa);
    inet_pton(AF_INET, target, arp.arp_tpa);
    return packet_append(&packet, &arp, sizeof(arp));
}

static void arp_requests_are_answered(void **state)
{
    (void)state;
    static const unsigned char expected[] = {2,  0,  0, 0, 0, 1, 2, 0, 0, 0, 0,  2,  8, 6,
                                             0,  1,  8, 0, 6, 4, 0, 2, 2, 0, 0,  0,  0, 2,
                                             10, 77, 0, 2, 2, 0, 0, 0, 0, 1, 10, 77, 0, 1};
    make_arp(ARPOP_REQUEST, "10.77.0.1", "10.77.0.2");
    assert_int_equal(ask(), sizeof(expected));
    assert_memory_equal(answer, expected, sizeof(expected));
    memcpy(packet.bytes, mac_two, 6); /* to one host, to see whether it is still there */
    packet_payload(&packet, 18, 0);   /* padding */
    assert_int_equal(ask(), sizeof(expected));
    assert_memory_equal(answer, expected, sizeof(expected));
    for (uint32_t length = 0; length < 42; length++)
        assert_int_equal(ask_length(length), 0);
}

static void other_arp_is_left_alone(void **state)
{
    (void)state;
    static const struct {
        uint16_t operation;
        const char *sender, *target;
    } cases[] = {
        {ARPOP_REPLY, "10.77.0.1", "10.77.0.2"},   /* an answer */
        {ARPOP_REPLY, "10.77.0.1", "10.77.0.1"},   /* gratuitous */
        {ARPOP_REQUEST, "10.77.0.1", "10.77.0.1"}, /* gratuitous, as an announcement */
        {ARPOP_REQUEST, "0.0.0.0", "10.77.0.1"},   /* a probe for the node's own */
        {ARPOP_REQUEST, "0.0.0.0", "10.77.0.2"},   /* a probe for another's: who has it says so */
        {ARPOP_REQUEST, "10.77.0.9", "10.77.0.1"}, /* about itself, from another address */
        {ARPOP_REQUEST, "10.77.0.1", "10.77.0.3"}, /* nobody has it */
        {ARPOP_REQUEST, "10.77.0.1", "10.78.0.2"}, {ARPOP_RREQUEST, "10.77.0.1", "10.77.0.2"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        make_arp(cases[i].operation, cases[i].sender, cases[i].target);
        if (ask())
            fail_msg("case %zu is answered", i);
    }
    for (uint32_t i = 0; i < 6; i++) { /* not of Ethernet, not of IPv4 */
        make_arp(ARPOP_REQUEST, "10.77.0.1", "10.77.0.2");
        packet.bytes[14 + i] ^= 1;
        assert_int_equal(ask(), 0);
    }
    make_arp(ARPOP_REQUEST, "10.77.0.1", "10.77.0.2");
    packet.bytes[6] |= 1; /* a group is no sender */
    assert_int_equal(ask(), 0);
}

static void finish_solicitation(void)
{
    struct frame frame;
    frame_parse(packet.bytes, packet.length, &frame);
    checksum_repair(packet.bytes, &frame);
}

static struct ip6_hdr *make_solicitation(const char *source, const char *target)
{
    struct nd_neighbor_solicit message = {.nd_ns_type = ND_NEIGHBOR_SOLICIT};
    unsigned char option[8] = {ND_OPT_SOURCE_LINKADDR, 1, 2, 0, 0, 0, 0, 1};
    packet_start(&packet);
    memcpy(packet.bytes, (unsigned char[]){0x33, 0x33, 0xff, 0, 0, 2}, 6);
    struct ip6_hdr *ip = packet_ipv6(&packet, IPPROTO_ICMPV6);
    ip->ip6_hlim = 255;
    inet_pton(AF_INET6, source, &ip->ip6_src);
    inet_pton(AF_INET6, "ff02::1:ff00:2", &ip->ip6_dst);
    inet_pton(AF_INET6, target, &message.nd_ns_target);
    packet_append(&packet, &message, sizeof(message));
    packet_append(&packet, option, sizeof(option));
    packet_lengths(&packet);
    finish_solicitation();
    return ip;
}

static void solicitations_are_answered(void **state)
{
    (void)state;
    make_solicitation("fd77::1", "fd77::2");
    assert_int_equal(ask(), 14 + 40 + 32);
    assert_memory_equal(answer, mac_one, 6);
    assert_memory_equal(answer + 6, mac_two, 6);
    assert_memory_equal(answer + 12, "\x86\xdd\x60\0\0\0\0\x20\x3a\xff", 10);
    assert_memory_equal(answer + 22, packet.bytes + 62, 16); /* from the target */
    assert_memory_equal(answer + 38, packet.bytes + 22, 16);
    assert_memory_equal(answer + 54, "\x88\0", 2);
    assert_memory_equal(answer + 58, "\x60\0\0\0", 4); /* solicited, override, no router */
    assert_memory_equal(answer + 62, packet.bytes + 62, 16);
    assert_memory_equal(answer + 78, "\x02\x01", 2);
    assert_memory_equal(answer + 80, mac_two, 6);
    assert_true(packet_transport_is_right(answer, 14, 54, sizeof(answer), IPPROTO_ICMPV6));
    for (uint32_t length = 0; length < packet.length; length++)
        assert_int_equal(ask_length(length), 0);
}

static void other_discovery_is_left_alone(void **state)
{
    (void)state;
    make_solicitation("::", "fd77::2"); /* is it free? */
    assert_int_equal(ask(), 0);
    make_solicitation("fd77::1", "fd77::1"); /* about itself */
    assert_int_equal(ask(), 0);
    make_solicitation("fd77::1", "fd77::3"); /* nobody has it */
    assert_int_equal(ask(), 0);
    make_solicitation("ff02::1", "fd77::2"); /* from a group */
    assert_int_equal(ask(), 0);
    make_solicitation("fd77::1", "ff77::2"); /* for a group */
    assert_int_equal(ask(), 0);
    make_solicitation("fd77::1", "fd77::2")->ip6_hlim = 254; /* from behind a router */
    assert_int_equal(ask(), 0);
    static const uint32_t places[] = {54, 55, 56, 70}; /* type, code, checksum, target */
    for (size_t i = 0; i < 4; i++) {
        make_solicitation("fd77::1", "fd77::2");
        packet.bytes[places[i]] ^= 1;
        if (i < 2)
            finish_solicitation();
        assert_int_equal(ask(), 0);
    }
}

/* A tag is part of the question; who hears it is none of our business. */
static void tagged_questions_are_left_alone(void **state)
{
    (void)state;
    make_arp(ARPOP_REQUEST, "10.77.0.1", "10.77.0.2");
    memmove(packet.bytes + 16, packet.bytes + 12, packet.length - 12);
    memcpy(packet.bytes + 12, "\x81\x00\x00\x05", 4);
    packet.length += 4;
    assert_int_equal(ask(), 0);
}

static void link_local_addresses(void **state)
{
    (void)state;
    unsigned char address[16], expected[16];
    neighbour_link_local((const unsigned char[]){0x02, 0x77, 0x01, 0x02, 0x03, 0x04}, address);
    inet_pton(AF_INET6, "fe80::77:1ff:fe02:304", expected);
    assert_memory_equal(address, expected, 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arp_requests_are_answered),
        cmocka_unit_test(other_arp_is_left_alone),
        cmocka_unit_test(solicitations_are_answered),
        cmocka_unit_test(other_discovery_is_left_alone),
        cmocka_unit_test(tagged_questions_are_left_alone),
        cmocka_unit_test(link_local_addresses),
    };
    return cmocka_run_group_tests_name("proxy/packet/neighbour", tests, NULL, NULL);
}
