/* Packets made and checked by hand, with the C library's structures and the plainest arithmetic, so
 * that nothing of proxy/packet vouches for itself. */
#ifndef SEVER_TESTS_PACKET_PACKETS_H
#define SEVER_TESTS_PACKET_PACKETS_H

#include "tests/lib/test.h"

#include <arpa/inet.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <stdbool.h>
#include <string.h>

#include <linux/if_ether.h>

/* A frame that grows, from 02:..:01, 10.77.0.1 and fd77::1 to 02:..:02, 10.77.0.2 and fd77::2. */
struct packet {
    _Alignas(8) unsigned char before[2]; /* so that what is behind Ethernet is aligned */
    unsigned char bytes[65600];
    uint32_t length;
    uint32_t network, transport; /* where those headers begin */
    int version, protocol;
};

static inline void *packet_append(struct packet *packet, const void *bytes, size_t size)
{
    void *at = packet->bytes + packet->length;
    assert_true(packet->length + size <= sizeof(packet->bytes));
    memcpy(at, bytes, size);
    packet->length += (uint32_t)size;
    return at;
}

static inline void packet_start(struct packet *packet)
{
    static const unsigned char macs[] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1};
    memset(packet, 0, sizeof(*packet));
    packet_append(packet, macs, sizeof(macs));
}

static inline void packet_type(struct packet *packet, uint16_t ethertype)
{
    uint16_t type = htons(ethertype);
    packet_append(packet, &type, 2);
}

static inline void packet_tag(struct packet *packet, uint16_t ethertype, uint16_t tag)
{
    packet_type(packet, ethertype);
    packet_type(packet, tag);
}

/* options: bytes behind the fixed header, of type "no operation". */
static inline struct ip *packet_ipv4(struct packet *packet, int protocol, unsigned options)
{
    struct ip ip = {.ip_v = 4,
                    .ip_hl = (5 + options / 4) & 15,
                    .ip_id = htons(0xfffe),
                    .ip_ttl = 64,
                    .ip_p = (uint8_t)protocol};
    static const unsigned char padding[40] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    inet_pton(AF_INET, "10.77.0.1", &ip.ip_src);
    inet_pton(AF_INET, "10.77.0.2", &ip.ip_dst);
    packet_type(packet, ETH_P_IP);
    packet->network = packet->length;
    packet->version = 4;
    packet->protocol = protocol;
    packet_append(packet, &ip, sizeof(ip));
    packet_append(packet, padding, options);
    packet->transport = packet->length;
    return (struct ip *)(void *)(packet->bytes + packet->network);
}

static inline struct ip6_hdr *packet_ipv6(struct packet *packet, int next)
{
    struct ip6_hdr ip = {.ip6_flow = htonl(UINT32_C(6) << 28), .ip6_nxt = (uint8_t)next};
    ip.ip6_hlim = 64;
    inet_pton(AF_INET6, "fd77::1", &ip.ip6_src);
    inet_pton(AF_INET6, "fd77::2", &ip.ip6_dst);
    packet_type(packet, ETH_P_IPV6);
    packet->network = packet->length;
    packet->version = 6;
    packet->protocol = next;
    packet_append(packet, &ip, sizeof(ip));
    packet->transport = packet->length;
    return (struct ip6_hdr *)(void *)(packet->bytes + packet->network);
}

/* An extension header of `size` bytes (a multiple of 8), whose next is `next`. */
static inline unsigned char *packet_extension(struct packet *packet, int next, unsigned size)
{
    unsigned char header[264] = {(unsigned char)next, (unsigned char)(size / 8 - 1)};
    unsigned char *at = packet_append(packet, header, size);
    packet->protocol = next;
    packet->transport = packet->length;
    return at;
}

static inline struct tcphdr *packet_tcp(struct packet *packet, unsigned flags, unsigned options)
{
    struct tcphdr tcp = {.th_sport = htons(40000),
                         .th_dport = htons(2379),
                         .th_seq = htonl(0xfffffff0),
                         .th_ack = htonl(77777),
                         .th_off = (5 + options / 4) & 15,
                         .th_flags = (uint8_t)flags,
                         .th_win = htons(500)};
    static const unsigned char padding[40] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    struct tcphdr *at = packet_append(packet, &tcp, sizeof(tcp));
    packet_append(packet, padding, options);
    return at;
}

static inline struct udphdr *packet_udp(struct packet *packet)
{
    struct udphdr udp = {.uh_sport = htons(40000), .uh_dport = htons(53)};
    return packet_append(packet, &udp, sizeof(udp));
}

static inline void packet_payload(struct packet *packet, uint32_t size, unsigned seed)
{
    assert_true(packet->length + size <= sizeof(packet->bytes));
    for (uint32_t i = 0; i < size; i++)
        packet->bytes[packet->length + i] = (unsigned char)(seed + i * 7 + (i >> 8) * 3);
    packet->length += size;
}

/* Sets the length fields to what the packet now has. */
static inline void packet_lengths(struct packet *packet)
{
    uint16_t transport = htons((uint16_t)(packet->length - packet->transport));
    uint32_t network = packet->length - packet->network;
    uint16_t total = htons((uint16_t)(packet->version == 4 ? network : network - 40));
    memcpy(packet->bytes + packet->network + (packet->version == 4 ? 2 : 4), &total, 2);
    if (packet->protocol == IPPROTO_UDP)
        memcpy(packet->bytes + packet->transport + 4, &transport, 2);
}

static inline uint32_t packet_sum(uint32_t sum, const unsigned char *bytes, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++) {
        sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return sum;
}

static inline bool packet_ipv4_header_is_right(const unsigned char *ip)
{
    return packet_sum(0, ip, (uint32_t)(ip[0] & 15) * 4) == 0xffff;
}

/* Whether the transport from `transport` to `length` has a right checksum. */
static inline bool packet_transport_is_right(const unsigned char *bytes, uint32_t network,
                                             uint32_t transport, uint32_t length, int protocol)
{
    const unsigned char *ip = bytes + network;
    uint32_t size = length - transport, sum = 0;
    if (protocol != IPPROTO_ICMP && protocol != IPPROTO_IGMP) {
        sum = ip[0] >> 4 == 4 ? packet_sum(0, ip + 12, 8) : packet_sum(0, ip + 8, 32);
        unsigned char rest[8] = {0, 0, (unsigned char)(size >> 8), (unsigned char)size, 0, 0, 0};
        rest[7] = (unsigned char)protocol;
        sum = packet_sum(sum, rest, sizeof(rest));
    }
    return packet_sum(sum, bytes + transport, size) == 0xffff;
}

#endif
