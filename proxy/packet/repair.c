#include "proxy/packet/repair.h"

#include <netinet/in.h>

#include "proxy/packet/bytes.h"
#include "proxy/packet/checksum.h"
#include "proxy/packet/frame.h"

enum {
    IPV4_LENGTH = 2,
    IPV6_LENGTH = 4,
    IPV6_HEADER = 40,
    UDP_LENGTH = 4,
    UDP_HEADER = 8,
};

/* The packet ends at `end`. A fragment's UDP header speaks of more than the fragment. */
static void shorten(unsigned char *bytes, const struct frame *frame, uint32_t end)
{
    unsigned char *ip = bytes + frame->network, *udp = bytes + frame->transport;
    if (frame->kind == FRAME_IPV4)
        bytes_put16(ip + IPV4_LENGTH, end - frame->network);
    else
        bytes_put16(ip + IPV6_LENGTH, end - frame->network - IPV6_HEADER);
    bool is_datagram = frame->protocol == IPPROTO_UDP && frame->payload && !frame->fragment;
    if (is_datagram && end >= frame->transport + UDP_HEADER && end < frame->transport_end)
        bytes_put16(udp + UDP_LENGTH, end - frame->transport);
}

bool repair_packet(unsigned char *bytes, uint32_t length, uint32_t end)
{
    struct frame frame;
    frame_parse(bytes, length, &frame);
    if (!frame_is_ip(&frame))
        return false;
    if (end < frame.network_end) {
        uint32_t header = frame.kind == FRAME_IPV4 ? (bytes[frame.network] & 15u) * 4 : IPV6_HEADER;
        if (end < frame.network + header)
            return false;
        shorten(bytes, &frame, end);
        frame_parse(bytes, end, &frame);
    }
    return checksum_repair(bytes, &frame);
}
