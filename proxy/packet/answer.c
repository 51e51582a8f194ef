/* Theory of operation
 *
 * An answer goes back the way that the packet came: Ethernet and IP addresses change places, VLAN
 * tags stay. It is written from the Ethernet header on, its transport last, and then all its
 * checksums are made right. */
#include "proxy/packet/answer.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

#include "proxy/packet/bytes.h"
#include "proxy/packet/checksum.h"

enum {
    IPV4_HEADER = 20,
    IPV4_BYTES_MAX = 576,
    IPV4_SOURCE = 12,
    IPV4_DESTINATION = 16,
    IPV4_DONT_FRAGMENT = 0x4000,
    IPV4_CONTROL = 0xc0, /* precedence 6 for errors: RFC 1812, 4.3.2.5 */
    IPV6_HEADER = 40,
    IPV6_BYTES_MAX = 1280,
    IPV6_SOURCE = 8,
    IPV6_DESTINATION = 24,
    TIME_TO_LIVE = 64,
    TCP_HEADER = 20,
    TCP_FIN = 0x01,
    TCP_SYN = 0x02,
    TCP_RST = 0x04,
    TCP_ACK = 0x10,
    ICMP_HEADER = 8,
};

/* RFC 1122, 3.2.1.3: no group, not everybody, nobody or this host itself. */
static bool is_host_ipv4(const unsigned char *address)
{
    return address[0] != 0 && address[0] != 127 && address[0] < 224;
}

static bool is_host_ipv6(const unsigned char *address)
{
    static const unsigned char none[16], loopback[16] = {[15] = 1};
    return address[0] != 0xff && memcmp(address, none, 16) != 0 &&
           memcmp(address, loopback, 16) != 0;
}

/* ICMP messages that nobody is told of. */
static bool is_quiet_icmp(const struct frame *frame, uint8_t type)
{
    enum { UNREACHABLE = 3, QUENCH = 4, REDIRECT = 5, TIME_EXCEEDED = 11, PARAMETER_PROBLEM = 12 };
    enum {
        INFORMATIONAL = 128,
        LISTENER_FIRST = 130,
        DISCOVERY_LAST = 137,
        LISTENER_REPORT2 = 143
    };
    if (frame->protocol == IPPROTO_ICMP)
        return type == UNREACHABLE || type == QUENCH || type == REDIRECT || type == TIME_EXCEEDED ||
               type == PARAMETER_PROBLEM;
    return type < INFORMATIONAL || (type >= LISTENER_FIRST && type <= DISCOVERY_LAST) ||
           type == LISTENER_REPORT2;
}

static bool may_be_answered(const unsigned char *bytes, const struct frame *frame)
{
    const unsigned char *ip = bytes + frame->network;
    if (!frame_is_ip(frame) || !frame->transport || frame_is_group(bytes) ||
        frame_is_group(frame_source(bytes)))
        return false;
    bool hosts = frame->kind == FRAME_IPV4
                     ? is_host_ipv4(ip + IPV4_SOURCE) && is_host_ipv4(ip + IPV4_DESTINATION)
                     : is_host_ipv6(ip + IPV6_SOURCE) && is_host_ipv6(ip + IPV6_DESTINATION);
    if (!hosts)
        return false;
    if (frame->protocol == IPPROTO_TCP)
        return frame->payload && !(bytes[frame->transport + 13] & TCP_RST);
    if (frame->protocol == IPPROTO_ICMP || frame->protocol == IPPROTO_ICMPV6)
        return !is_quiet_icmp(frame, bytes[frame->transport]);
    return true;
}

/* Everything in front of the transport, for `length` bytes of it. Returns where it is. */
static unsigned char *write_headers(const unsigned char *bytes, const struct frame *frame,
                                    uint8_t protocol, uint32_t length, unsigned char *answer)
{
    const unsigned char *from = bytes + frame->network;
    unsigned char *ip = answer + frame->network;
    memcpy(answer, bytes, frame->network);
    memcpy(answer, frame_source(bytes), FRAME_MAC);
    memcpy(answer + FRAME_MAC, bytes, FRAME_MAC);
    if (frame->kind == FRAME_IPV4) {
        memset(ip, 0, IPV4_HEADER);
        ip[0] = 0x45;
        ip[1] = protocol == IPPROTO_TCP ? 0 : IPV4_CONTROL;
        bytes_put16(ip + 2, IPV4_HEADER + length);
        bytes_put16(ip + 6, protocol == IPPROTO_TCP ? IPV4_DONT_FRAGMENT : 0);
        ip[8] = TIME_TO_LIVE;
        ip[9] = protocol;
        memcpy(ip + IPV4_SOURCE, from + IPV4_DESTINATION, 4);
        memcpy(ip + IPV4_DESTINATION, from + IPV4_SOURCE, 4);
        return ip + IPV4_HEADER;
    }
    memset(ip, 0, IPV6_HEADER);
    ip[0] = 0x60;
    bytes_put16(ip + 4, length);
    ip[6] = protocol;
    ip[7] = TIME_TO_LIVE;
    memcpy(ip + IPV6_SOURCE, from + IPV6_DESTINATION, 16);
    memcpy(ip + IPV6_DESTINATION, from + IPV6_SOURCE, 16);
    return ip + IPV6_HEADER;
}

static uint32_t finish(unsigned char *answer, uint32_t length)
{
    struct frame frame;
    frame_parse(answer, length, &frame);
    checksum_repair(answer, &frame);
    return length;
}

/* RFC 9293, 3.10.7.1. */
static uint32_t write_reset(const unsigned char *bytes, const struct frame *frame,
                            unsigned char *answer)
{
    const unsigned char *tcp = bytes + frame->transport;
    unsigned char *reset = write_headers(bytes, frame, IPPROTO_TCP, TCP_HEADER, answer);
    unsigned flags = tcp[13];
    memset(reset, 0, TCP_HEADER);
    memcpy(reset, tcp + 2, 2);
    memcpy(reset + 2, tcp, 2);
    reset[12] = TCP_HEADER / 4 << 4;
    reset[13] = TCP_RST;
    if (flags & TCP_ACK) {
        memcpy(reset + 4, tcp + 8, 4);
    } else {
        uint32_t used = frame->transport_end - frame->payload;
        used += (flags & TCP_SYN ? 1u : 0u) + (flags & TCP_FIN ? 1u : 0u);
        reset[13] |= TCP_ACK;
        bytes_put32(reset + 8, bytes_get32(tcp + 4) + used);
    }
    return finish(answer, (uint32_t)(reset - answer) + TCP_HEADER);
}

static uint32_t write_unreachable(const unsigned char *bytes, const struct frame *frame,
                                  unsigned char *answer)
{
    bool ipv4 = frame->kind == FRAME_IPV4;
    uint32_t quoted = frame->network_end - frame->network;
    uint32_t most = (ipv4 ? IPV4_BYTES_MAX - IPV4_HEADER : IPV6_BYTES_MAX - IPV6_HEADER);
    if (quoted > most - ICMP_HEADER)
        quoted = most - ICMP_HEADER;
    unsigned char *icmp = write_headers(bytes, frame, ipv4 ? IPPROTO_ICMP : IPPROTO_ICMPV6,
                                        ICMP_HEADER + quoted, answer);
    memset(icmp, 0, ICMP_HEADER);
    icmp[0] = ipv4 ? 3 : 1; /* destination unreachable, and port unreachable */
    icmp[1] = ipv4 ? 3 : 4;
    memcpy(icmp + ICMP_HEADER, bytes + frame->network, quoted);
    return finish(answer, (uint32_t)(icmp - answer) + ICMP_HEADER + quoted);
}

uint32_t answer_reject(const unsigned char *bytes, const struct frame *frame,
                       unsigned char answer[ANSWER_BYTES_MAX])
{
    if (!may_be_answered(bytes, frame))
        return 0;
    return frame->protocol == IPPROTO_TCP ? write_reset(bytes, frame, answer)
                                          : write_unreachable(bytes, frame, answer);
}
