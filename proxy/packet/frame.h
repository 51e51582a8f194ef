/* What is in an Ethernet frame, and where.
 *
 * All positions are offsets from the frame's first byte, and what they say was held against the
 * frame's length: [network, network_end) and [transport, transport_end) lie within the frame, the
 * smallest header of TCP, UDP, ICMP and ICMPv6 within the packet. Whether lengths are right is
 * checked, checksums are not. Nothing behind `length` is read; the time is bounded. */
#ifndef SEVER_PACKET_FRAME_H
#define SEVER_PACKET_FRAME_H

#include <stdbool.h>
#include <stdint.h>

enum {
    FRAME_MAC = 6,
    FRAME_HEADER = 14,        /* Ethernet's, without VLAN tags */
    FRAME_TAG = 4,            /* one VLAN tag */
    FRAME_TAGS_MAX = 2,       /* 802.1Q, 802.1ad; a frame with more is not IP to us */
    FRAME_EXTENSIONS_MAX = 8, /* of IPv6; behind more nobody looks for a transport */
};

enum frame_kind {
    FRAME_BROKEN, /* too short for its headers or its length fields; IP of another version */
    FRAME_NOT_IP, /* ARP and all others: ethertype is set */
    FRAME_IPV4,
    FRAME_IPV6,
};

struct frame {
    enum frame_kind kind;
    uint16_t ethertype;   /* behind the tags; below 1536 it is a length (802.3) */
    uint32_t network;     /* the first byte behind Ethernet header and tags */
    uint32_t network_end; /* of the IP packet, by its own length; padding may follow */
    uint8_t protocol;     /* IPPROTO_: behind IPv6's extension headers */
    /* Where the header of `protocol` is. 0: not in this packet (a later fragment, no next header,
     * more extension headers than we follow), or TCP, UDP, ICMP, ICMPv6 with a header cut off. */
    uint32_t transport;
    /* The end of what its checksum covers: network_end, or less as UDP's length field says. */
    uint32_t transport_end;
    /* Behind the header of TCP (with options), UDP, ICMP, ICMPv6 (8 bytes). 0: another protocol, or
     * a length field of the transport that is wrong. */
    uint32_t payload;
    bool fragment;       /* one of several: the transport's checksum can't be seen from it */
    bool later_fragment; /* and not the first one */
    bool routed;         /* by a routing header to go on: its destination is not yet the last one */
};

/* Never fails: a frame that makes no sense is FRAME_BROKEN, and then only `network` (0: not even an
 * Ethernet header) and `ethertype` mean anything. */
void frame_parse(const unsigned char *bytes, uint32_t length, struct frame *frame);

/* To a group of stations, or all of them; length is FRAME_MAC at least. */
static inline bool frame_is_group(const unsigned char *bytes)
{
    return bytes[0] & 1;
}

static inline const unsigned char *frame_source(const unsigned char *bytes)
{
    return bytes + FRAME_MAC;
}

static inline bool frame_is_ip(const struct frame *frame)
{
    return frame->kind == FRAME_IPV4 || frame->kind == FRAME_IPV6;
}

#endif
