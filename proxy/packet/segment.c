/* Theory of operation
 *
 * The headers of a segment are those of the super-packet, with what differs written over. The
 * virtio-net header gives the size of a segment's payload (gso_size); how long the headers are is
 * taken from the packet, for hdr_len is a mere hint. */
#include "proxy/packet/segment.h"

#include <netinet/in.h>
#include <string.h>

#include "proxy/base/internet_checksum.h"
#include "proxy/packet/bytes.h"
#include "proxy/packet/checksum.h"

enum {
    IPV4_LENGTH = 2,
    IPV4_IDENTIFICATION = 4,
    IPV4_CHECKSUM = 10,
    IPV6_LENGTH = 4,
    IPV6_HEADER = 40,
    TCP_SEQUENCE = 4,
    TCP_FLAGS = 13,
    TCP_CHECKSUM = 16,
    TCP_FIN = 0x01,
    TCP_PSH = 0x08,
    TCP_CWR = 0x80,
    UDP_LENGTH = 4,
    UDP_CHECKSUM = 6,
};

/* Whether the packet is what the header says. */
static bool is_of_type(const struct frame *frame, uint8_t type)
{
    if (frame->fragment || !frame->payload || frame->routed)
        return false;
    switch (type) {
    case VIRTIO_NET_HDR_GSO_TCPV4:
        return frame->kind == FRAME_IPV4 && frame->protocol == IPPROTO_TCP;
    case VIRTIO_NET_HDR_GSO_TCPV6:
        return frame->kind == FRAME_IPV6 && frame->protocol == IPPROTO_TCP;
    case VIRTIO_NET_HDR_GSO_UDP_L4:
        return frame_is_ip(frame) && frame->protocol == IPPROTO_UDP;
    default:
        return false;
    }
}

uint32_t segment_begin(struct segmenter *segmenter, const struct virtio_net_hdr *header,
                       const unsigned char *bytes, uint32_t length)
{
    uint8_t type = header->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
    *segmenter = (struct segmenter){.count = 1};
    if (header->gso_type == VIRTIO_NET_HDR_GSO_NONE)
        return 1;
    struct frame *frame = &segmenter->frame;
    frame_parse(bytes, length, frame);
    segmenter->count = 0;
    if (!is_of_type(frame, type) || !header->gso_size)
        return 0;
    uint32_t payload = frame->transport_end - frame->payload;
    if (payload > SEGMENTS_MAX * (uint32_t)header->gso_size)
        return 0;
    segmenter->bytes = bytes;
    segmenter->size = header->gso_size;
    segmenter->type = header->gso_type;
    segmenter->count = payload ? (payload + segmenter->size - 1) / segmenter->size : 1;
    segmenter->checksum_offset = frame->protocol == IPPROTO_TCP ? TCP_CHECKSUM : UDP_CHECKSUM;
    return segmenter->count;
}

uint32_t segment_length(const struct segmenter *segmenter)
{
    if (segmenter->count < 2 || segmenter->index == segmenter->count)
        return 0;
    uint32_t payload;
    segment_payload(segmenter, segmenter->index, 1, &payload);
    return segmenter->frame.payload + payload;
}

static void write_network(const struct segmenter *segmenter, uint32_t first, unsigned char *bytes,
                          uint32_t length)
{
    unsigned char *ip = bytes + segmenter->frame.network;
    uint32_t packet = length - segmenter->frame.network;
    if (segmenter->frame.kind == FRAME_IPV6) {
        bytes_put16(ip + IPV6_LENGTH, packet - IPV6_HEADER);
        return;
    }
    bytes_put16(ip + IPV4_LENGTH, packet);
    bytes_put16(ip + IPV4_IDENTIFICATION, bytes_get16(ip + IPV4_IDENTIFICATION) + first);
    memset(ip + IPV4_CHECKSUM, 0, 2);
    uint16_t checksum = internet_checksum(ip, (size_t)(ip[0] & 15) * 4);
    memcpy(ip + IPV4_CHECKSUM, &checksum, sizeof(checksum));
}

static void write_tcp(const struct segmenter *segmenter, uint32_t first, uint32_t count,
                      unsigned char *tcp)
{
    unsigned leave_out = 0;
    if (first > 0)
        leave_out |= TCP_CWR;
    if (first + count < segmenter->count)
        leave_out |= TCP_FIN | TCP_PSH;
    tcp[TCP_FLAGS] &= (unsigned char)~leave_out;
    bytes_put32(tcp + TCP_SEQUENCE, bytes_get32(tcp + TCP_SEQUENCE) + first * segmenter->size);
}

/* The checksum is left to the device: the pseudo-header's sum stands in its place. */
static void leave_checksum(const struct segmenter *segmenter, struct virtio_net_hdr *header,
                           unsigned char *bytes, uint32_t length)
{
    const struct frame *frame = &segmenter->frame;
    uint16_t sum =
        internet_checksum_fold(checksum_pseudo_header(bytes, frame, length - frame->transport));
    memcpy(bytes + frame->transport + segmenter->checksum_offset, &sum, sizeof(sum));
    *header = (struct virtio_net_hdr){.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                                      .gso_type = VIRTIO_NET_HDR_GSO_NONE,
                                      .csum_start = (uint16_t)frame->transport,
                                      .csum_offset = segmenter->checksum_offset};
}

const unsigned char *segment_payload(const struct segmenter *segmenter, uint32_t first,
                                     uint32_t count, uint32_t *length)
{
    const struct frame *frame = &segmenter->frame;
    uint32_t begin = first * segmenter->size, end = (first + count) * segmenter->size;
    uint32_t payload = frame->transport_end - frame->payload;
    *length = (end < payload ? end : payload) - begin;
    return segmenter->bytes + frame->payload + begin;
}

void segment_headers(const struct segmenter *segmenter, uint32_t first, uint32_t count,
                     struct virtio_net_hdr *header, unsigned char *bytes)
{
    const struct frame *frame = &segmenter->frame;
    uint32_t payload;
    memcpy(bytes, segmenter->bytes, frame->payload);
    segment_payload(segmenter, first, count, &payload);
    uint32_t length = frame->payload + payload;
    write_network(segmenter, first, bytes, length);
    if (frame->protocol == IPPROTO_TCP)
        write_tcp(segmenter, first, count, bytes + frame->transport);
    else
        bytes_put16(bytes + frame->transport + UDP_LENGTH, length - frame->transport);
    leave_checksum(segmenter, header, bytes, length);
    if (count == 1)
        return;
    header->gso_type = segmenter->type;
    if (first > 0) /* CWR is on the first segment only */
        header->gso_type &= (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
    header->gso_size = (uint16_t)segmenter->size;
    header->hdr_len = (uint16_t)frame->payload;
}

uint32_t segment_next(struct segmenter *segmenter, struct virtio_net_hdr *header,
                      unsigned char *bytes)
{
    uint32_t length = segment_length(segmenter), payload;
    if (!length)
        return 0;
    const unsigned char *from = segment_payload(segmenter, segmenter->index, 1, &payload);
    segment_headers(segmenter, segmenter->index, 1, header, bytes);
    memcpy(bytes + segmenter->frame.payload, from, payload);
    segmenter->index++;
    return length;
}
