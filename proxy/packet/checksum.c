#include "proxy/packet/checksum.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "proxy/base/internet_checksum.h"
#include "proxy/packet/bytes.h"

enum {
    IPV4_CHECKSUM = 10,
    IPV4_ADDRESSES = 12,
    IPV6_ADDRESSES = 8,
};

/* A checksum that comes out as 0 is sent as 0xffff, which means the same, because 0 in UDP means
 * that there is none (RFC 768). */
static uint16_t finish(uint64_t sum)
{
    uint16_t checksum = (uint16_t)~internet_checksum_fold(sum);
    return checksum ? checksum : 0xffff;
}

bool checksum_complete(struct virtio_net_hdr *header, unsigned char *bytes, uint32_t length)
{
    uint32_t start = header->csum_start, at = start + header->csum_offset;
    if (!(header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
        return true;
    header->flags &= (uint8_t)~VIRTIO_NET_HDR_F_NEEDS_CSUM;
    header->csum_start = header->csum_offset = 0;
    if (at + 2 > length)
        return false;
    uint16_t checksum = finish(internet_checksum_add(0, bytes + start, length - start));
    memcpy(bytes + at, &checksum, sizeof(checksum));
    return true;
}

uint64_t checksum_pseudo_header(const unsigned char *bytes, const struct frame *frame,
                                uint32_t length)
{
    const unsigned char *ip = bytes + frame->network;
    uint64_t sum = frame->kind == FRAME_IPV4 ? internet_checksum_add(0, ip + IPV4_ADDRESSES, 8)
                                             : internet_checksum_add(0, ip + IPV6_ADDRESSES, 32);
    return sum + htonl(length) + htonl(frame->protocol);
}

static void repair_ipv4(unsigned char *ip)
{
    memset(ip + IPV4_CHECKSUM, 0, 2);
    uint16_t checksum = internet_checksum(ip, (size_t)(ip[0] & 15) * 4);
    memcpy(ip + IPV4_CHECKSUM, &checksum, sizeof(checksum));
}

/* Where the checksum is in the header of this protocol; 0: it has none that we know. */
static uint32_t checksum_place(const struct frame *frame)
{
    switch (frame->protocol) {
    case IPPROTO_TCP:
        return 16;
    case IPPROTO_UDP:
        return 6;
    case IPPROTO_ICMP:
    case IPPROTO_IGMP:
        return frame->kind == FRAME_IPV4 ? 2 : 0;
    case IPPROTO_ICMPV6:
        return frame->kind == FRAME_IPV6 ? 2 : 0;
    default:
        return 0;
    }
}

static void repair_transport(unsigned char *bytes, const struct frame *frame)
{
    uint32_t length = frame->transport_end - frame->transport, place = checksum_place(frame);
    unsigned char *header = bytes + frame->transport;
    if (!place || place + 2 > length)
        return;
    if (frame->protocol == IPPROTO_UDP && frame->kind == FRAME_IPV4 && !bytes_get16(header + place))
        return;
    bool plain = frame->protocol == IPPROTO_ICMP || frame->protocol == IPPROTO_IGMP;
    uint64_t sum = plain ? 0 : checksum_pseudo_header(bytes, frame, length);
    memset(header + place, 0, 2);
    sum = internet_checksum_add(sum, header, length);
    uint16_t checksum = finish(sum);
    memcpy(header + place, &checksum, sizeof(checksum));
}

bool checksum_repair(unsigned char *bytes, const struct frame *frame)
{
    if (!frame_is_ip(frame))
        return false;
    if (frame->kind == FRAME_IPV4)
        repair_ipv4(bytes + frame->network);
    if (frame->transport && !frame->fragment && !frame->routed)
        repair_transport(bytes, frame);
    return true;
}
