#include "proxy/io/ip_header.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/udp.h>
#include <string.h>

#include "proxy/base/internet_checksum.h"

enum { TIME_TO_LIVE = 64, LENGTH_MAX = 65535 };

static uint16_t length_field(uint32_t length)
{
    return htons((uint16_t)(length < LENGTH_MAX ? length : LENGTH_MAX));
}

static void write_ipv4(unsigned char *header, uint32_t udp_length, const uint8_t source[4],
                       const uint8_t destination[4])
{
    struct ip ip = {.ip_v = 4,
                    .ip_hl = sizeof(ip) / 4,
                    .ip_len = length_field((uint32_t)sizeof(ip) + udp_length),
                    .ip_off = htons(IP_DF),
                    .ip_ttl = TIME_TO_LIVE,
                    .ip_p = IPPROTO_UDP};
    memcpy(&ip.ip_src, source, 4);
    memcpy(&ip.ip_dst, destination, 4);
    ip.ip_sum = internet_checksum(&ip, sizeof(ip));
    memcpy(header, &ip, sizeof(ip));
}

static void write_ipv6(unsigned char *header, uint32_t udp_length, const uint8_t source[16],
                       const uint8_t destination[16])
{
    struct ip6_hdr ip = {.ip6_flow = htonl(UINT32_C(6) << 28),
                         .ip6_plen = length_field(udp_length),
                         .ip6_nxt = IPPROTO_UDP,
                         .ip6_hlim = TIME_TO_LIVE};
    memcpy(&ip.ip6_src, source, 16);
    memcpy(&ip.ip6_dst, destination, 16);
    memcpy(header, &ip, sizeof(ip));
}

uint32_t ip_header_write(unsigned char *payload, uint32_t length, const struct address *source,
                         const struct address *destination)
{
    uint8_t from[16], to[16];
    uint32_t udp_length = (uint32_t)sizeof(struct udphdr) + length, bytes;
    struct udphdr udp = {.uh_sport = htons(address_port(source)),
                         .uh_dport = htons(address_port(destination)),
                         .uh_ulen = length_field(udp_length)};
    unsigned char *udp_header = payload - sizeof(udp);
    if (address_get_ipv4(source, from) && address_get_ipv4(destination, to)) {
        bytes = sizeof(struct ip);
        write_ipv4(udp_header - bytes, udp_length, from, to);
    } else if (address_get_ipv6(source, from) && address_get_ipv6(destination, to)) {
        bytes = sizeof(struct ip6_hdr);
        write_ipv6(udp_header - bytes, udp_length, from, to);
    } else {
        return 0;
    }
    memcpy(udp_header, &udp, sizeof(udp));
    return bytes + (uint32_t)sizeof(udp);
}
