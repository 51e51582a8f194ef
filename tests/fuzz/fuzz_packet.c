/* A virtio-net header and any bytes as an Ethernet frame, through all that reads or changes
 * packets: what is said of a frame lies within it, checksums that were made right are right,
 * segments put together are the super-packet, and an answer is a packet that makes sense. */
#include "tests/fuzz/fuzz.h"

#include <netinet/in.h>
#include <stdbool.h>

#include "proxy/base/internet_checksum.h"
#include "proxy/packet/answer.h"
#include "proxy/packet/bytes.h"
#include "proxy/packet/checksum.h"
#include "proxy/packet/neighbour.h"
#include "proxy/packet/segment.h"

/* Exactly as long, so that a byte too far is seen. */
static unsigned char *copy_bytes(const void *bytes, size_t size)
{
    unsigned char *copy = malloc(size ? size : 1);
    require(copy != NULL);
    if (size)
        memcpy(copy, bytes, size);
    return copy;
}

static void require_frame(const struct frame *frame, uint32_t length)
{
    require(frame->network <= length);
    if (!frame_is_ip(frame)) {
        require(!frame->transport && !frame->payload);
        return;
    }
    require(frame->network >= FRAME_HEADER && frame->network_end <= length);
    require(frame->network_end >= frame->network + 20);
    require(!frame->later_fragment || (frame->fragment && !frame->transport));
    if (!frame->transport) {
        require(!frame->payload && !frame->transport_end);
        return;
    }
    require(frame->transport >= frame->network + 20 && frame->transport <= frame->transport_end);
    require(frame->transport_end <= frame->network_end);
    require(!frame->payload ||
            (frame->payload > frame->transport && frame->payload <= frame->transport_end));
}

static bool sums_up(const unsigned char *bytes, const struct frame *frame)
{
    uint32_t length = frame->transport_end - frame->transport;
    uint64_t sum = frame->protocol == IPPROTO_ICMP || frame->protocol == IPPROTO_IGMP
                       ? 0
                       : checksum_pseudo_header(bytes, frame, length);
    sum = internet_checksum_add(sum, bytes + frame->transport, length);
    return internet_checksum_fold(sum) == 0xffff;
}

/* An answer or a segment: a packet as long as it says, with right checksums. */
static void require_packet(const unsigned char *bytes, uint32_t length)
{
    struct frame frame;
    frame_parse(bytes, length, &frame);
    require_frame(&frame, length);
    require(frame_is_ip(&frame) && frame.network_end == length && frame.payload);
    require(sums_up(bytes, &frame));
    if (frame.kind == FRAME_IPV4)
        require(internet_checksum(bytes + frame.network, (size_t)(bytes[frame.network] & 15) * 4) ==
                0);
}

static void check_repair(const unsigned char *input, uint32_t length)
{
    unsigned char *bytes = copy_bytes(input, length), *again;
    struct frame frame, after;
    frame_parse(bytes, length, &frame);
    bool repaired = checksum_repair(bytes, &frame);
    require(repaired == frame_is_ip(&frame));
    require(repaired || same_bytes(bytes, input, length));
    frame_parse(bytes, length, &after);
    require(same_bytes(&frame, &after, sizeof(frame)));
    again = copy_bytes(bytes, length);
    checksum_repair(again, &after);
    require(same_bytes(bytes, again, length));
    if (frame.transport && !frame.fragment && !frame.routed && frame.protocol == IPPROTO_TCP)
        require(sums_up(bytes, &frame));
    free(again);
    free(bytes);
}

static void check_complete(struct virtio_net_hdr header, const unsigned char *input,
                           uint32_t length)
{
    unsigned char *bytes = copy_bytes(input, length);
    if (!checksum_complete(&header, bytes, length))
        require(same_bytes(bytes, input, length));
    require(!(header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM));
    free(bytes);
}

static void check_segments(const struct virtio_net_hdr *super, const unsigned char *input,
                           uint32_t length)
{
    struct segmenter segmenter;
    struct virtio_net_hdr header;
    uint32_t count = segment_begin(&segmenter, super, input, length), made = 0, payload = 0, part;
    require(count <= 65536);
    for (; (part = segment_length(&segmenter)) > 0; made++) {
        unsigned char *bytes = copy_bytes(input, part);
        require(segment_next(&segmenter, &header, bytes) == part);
        uint32_t size = part - segmenter.frame.payload;
        require(size > 0 && size <= super->gso_size);
        require(same_bytes(bytes + segmenter.frame.payload,
                           input + segmenter.frame.payload + payload, size));
        payload += size;
        require(checksum_complete(&header, bytes, part));
        require_packet(bytes, part);
        free(bytes);
    }
    require(made == (count > 1 ? count : 0));
    if (made)
        require(segmenter.frame.payload + payload == segmenter.frame.transport_end);
}

static const unsigned char *know_all(const void *context, const unsigned char *address,
                                     uint32_t size)
{
    static const unsigned char mac[FRAME_MAC] = {2, 1, 2, 3, 4, 5};
    require(context == NULL && (size == 4 || size == 16));
    return address[size - 1] & 1 ? mac : NULL;
}

static void check_answers(const unsigned char *input, uint32_t length)
{
    unsigned char answer[ANSWER_BYTES_MAX], second[ANSWER_BYTES_MAX];
    struct frame frame;
    uint32_t size = neighbour_answer(input, length, know_all, NULL, answer);
    require(size <= NEIGHBOUR_ANSWER_MAX);
    if (size && bytes_get16(answer + 12) == 0x86dd)
        require_packet(answer, size);
    require(size == 0 || neighbour_answer(answer, size, know_all, NULL, second) == 0);
    frame_parse(input, length, &frame);
    require_frame(&frame, length);
    size = answer_reject(input, &frame, answer);
    if (!size)
        return;
    require(size - frame.network <= (frame.kind == FRAME_IPV4 ? 576 : 1280));
    require_packet(answer, size);
    frame_parse(answer, size, &frame);
    require(answer_reject(answer, &frame, second) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct virtio_net_hdr header;
    if (size < sizeof(header) || size > sizeof(header) + 70000)
        return 0;
    memcpy(&header, bytes, sizeof(header));
    uint32_t length = (uint32_t)(size - sizeof(header));
    unsigned char *frame = copy_bytes(bytes + sizeof(header), length);
    check_repair(frame, length);
    check_complete(header, frame, length);
    check_segments(&header, frame, length);
    check_answers(frame, length);
    free(frame);
    return 0;
}
