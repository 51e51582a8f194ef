#include "proxy/packet/frame.h"

#include <netinet/in.h>
#include <string.h>

#include <linux/if_ether.h>

#include "proxy/packet/bytes.h"

enum {
    IPV4_HEADER = 20,
    IPV6_HEADER = 40,
    TCP_HEADER = 20,
    UDP_HEADER = 8,
    ICMP_HEADER = 8,
    IPV4_MORE_FRAGMENTS = 0x2000,
    IPV4_OFFSET = 0x1fff,
    IPV6_MORE_FRAGMENTS = 0x0001,
    IPV6_OFFSET = 0xfff8,
    ROUTING_SEGMENTS_LEFT = 3,
};

static bool is_tag(uint16_t ethertype)
{
    return ethertype == ETH_P_8021Q || ethertype == ETH_P_8021AD;
}

/* False when the frame ends before the ethertype. */
static bool parse_ethernet(const unsigned char *bytes, uint32_t length, struct frame *frame)
{
    uint32_t at = FRAME_HEADER;
    if (length < at)
        return false;
    frame->ethertype = bytes_get16(bytes + 12);
    for (int tags = 0; is_tag(frame->ethertype) && tags < FRAME_TAGS_MAX; tags++) {
        if (length - at < FRAME_TAG)
            return false;
        frame->ethertype = bytes_get16(bytes + at + 2);
        at += FRAME_TAG;
    }
    frame->network = at;
    return true;
}

/* What can be said of the header at `transport`, of which `room` bytes are in the packet. */
static void parse_tcp(const unsigned char *tcp, uint32_t room, struct frame *frame)
{
    uint32_t header = (uint32_t)(tcp[12] >> 4) * 4;
    if (header >= TCP_HEADER && header <= room)
        frame->payload = frame->transport + header;
}

static void parse_udp(const unsigned char *udp, uint32_t room, struct frame *frame)
{
    uint32_t length = bytes_get16(udp + 4);
    /* The first of several fragments has the length of them all. */
    if (length < UDP_HEADER || (length > room && !frame->fragment))
        return;
    frame->payload = frame->transport + UDP_HEADER;
    if (length < room)
        frame->transport_end = frame->transport + length;
}

static uint32_t smallest_header(uint8_t protocol)
{
    switch (protocol) {
    case IPPROTO_TCP:
        return TCP_HEADER;
    case IPPROTO_UDP:
        return UDP_HEADER;
    case IPPROTO_ICMP:
    case IPPROTO_ICMPV6:
        return ICMP_HEADER;
    default:
        return 0;
    }
}

static void parse_transport(const unsigned char *bytes, uint32_t at, struct frame *frame)
{
    uint32_t room = frame->network_end - at, smallest = smallest_header(frame->protocol);
    if (frame->later_fragment || frame->protocol == IPPROTO_NONE || room < smallest)
        return;
    frame->transport = at;
    frame->transport_end = frame->network_end;
    if (frame->protocol == IPPROTO_TCP)
        parse_tcp(bytes + at, room, frame);
    else if (frame->protocol == IPPROTO_UDP)
        parse_udp(bytes + at, room, frame);
    else if (smallest)
        frame->payload = at + ICMP_HEADER;
}

static enum frame_kind parse_ipv4(const unsigned char *bytes, uint32_t length, struct frame *frame)
{
    const unsigned char *ip = bytes + frame->network;
    uint32_t room = length - frame->network;
    if (room < IPV4_HEADER || ip[0] >> 4 != 4)
        return FRAME_BROKEN;
    uint32_t header = (uint32_t)(ip[0] & 15) * 4, total = bytes_get16(ip + 2);
    if (header < IPV4_HEADER || total < header || total > room)
        return FRAME_BROKEN;
    uint16_t fragment = bytes_get16(ip + 6);
    frame->network_end = frame->network + total;
    frame->fragment = fragment & (IPV4_MORE_FRAGMENTS | IPV4_OFFSET);
    frame->later_fragment = fragment & IPV4_OFFSET;
    frame->protocol = ip[9];
    parse_transport(bytes, frame->network + header, frame);
    return FRAME_IPV4;
}

static bool is_extension(uint8_t header)
{
    return header == IPPROTO_HOPOPTS || header == IPPROTO_ROUTING || header == IPPROTO_FRAGMENT ||
           header == IPPROTO_DSTOPTS || header == IPPROTO_AH;
}

/* Takes the extension header at *at, of the kind that frame->protocol says, and goes behind it.
 * False when it does not end within the packet. */
static bool take_extension(const unsigned char *bytes, uint32_t *at, struct frame *frame)
{
    const unsigned char *header = bytes + *at;
    uint32_t room = frame->network_end - *at, length;
    if (room < 8)
        return false;
    if (frame->protocol == IPPROTO_FRAGMENT) {
        uint16_t fragment = bytes_get16(header + 2);
        frame->fragment = fragment & (IPV6_OFFSET | IPV6_MORE_FRAGMENTS);
        frame->later_fragment = fragment & IPV6_OFFSET;
        length = 8;
    } else if (frame->protocol == IPPROTO_AH) {
        length = ((uint32_t)header[1] + 2) * 4;
    } else {
        length = ((uint32_t)header[1] + 1) * 8;
    }
    if (frame->protocol == IPPROTO_ROUTING && header[ROUTING_SEGMENTS_LEFT])
        frame->routed = true;
    if (length > room)
        return false;
    frame->protocol = header[0];
    *at += length;
    return true;
}

static enum frame_kind parse_ipv6(const unsigned char *bytes, uint32_t length, struct frame *frame)
{
    const unsigned char *ip = bytes + frame->network;
    uint32_t room = length - frame->network, at = frame->network + IPV6_HEADER;
    if (room < IPV6_HEADER || ip[0] >> 4 != 6 || bytes_get16(ip + 4) > room - IPV6_HEADER)
        return FRAME_BROKEN;
    frame->network_end = at + bytes_get16(ip + 4);
    frame->protocol = ip[6];
    for (int i = 0; i < FRAME_EXTENSIONS_MAX; i++) {
        if (frame->later_fragment || !is_extension(frame->protocol))
            break;
        if (!take_extension(bytes, &at, frame))
            return FRAME_BROKEN;
    }
    if (!is_extension(frame->protocol))
        parse_transport(bytes, at, frame);
    return FRAME_IPV6;
}

void frame_parse(const unsigned char *bytes, uint32_t length, struct frame *frame)
{
    *frame = (struct frame){.kind = FRAME_BROKEN};
    if (!parse_ethernet(bytes, length, frame))
        return;
    if (frame->ethertype == ETH_P_IP)
        frame->kind = parse_ipv4(bytes, length, frame);
    else if (frame->ethertype == ETH_P_IPV6)
        frame->kind = parse_ipv6(bytes, length, frame);
    else
        frame->kind = FRAME_NOT_IP;
}
