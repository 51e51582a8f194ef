/* Super-packets: one frame, with a virtio-net header that says how to cut it, which stands for many
 * packets of wire size.
 *
 *     struct segmenter segmenter;
 *     if (segment_begin(&segmenter, header, bytes, length) > 1)
 *         while (segment_length(&segmenter)) {
 *             make room for segment_length(&segmenter) bytes
 *             segment_next(&segmenter, &its_header, room);
 *         }
 *
 * A segment is what the sender's kernel would have made without offloads: lengths, IPv4's
 * identification (counted on) and header checksum, TCP's sequence number; FIN and PSH are on the
 * last one only, CWR on the first only. The checksum of the transport is left to the device again,
 * with the sum of the pseudo-header of this segment, so no payload is summed here (checksum.h has
 * checksum_complete for who needs it). */
#ifndef SEVER_PACKET_SEGMENT_H
#define SEVER_PACKET_SEGMENT_H

#include <stdint.h>

#include <linux/virtio_net.h>

#include "proxy/packet/frame.h"

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4 /* since Linux 6.2 */
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

enum { SEGMENTS_MAX = 2048 }; /* more than 64 KiB in TCP's smallest segments */

struct segmenter {
    const unsigned char *bytes; /* the super-packet; borrowed, never written to */
    struct frame frame;
    uint32_t size;  /* of the payload of each but the last */
    uint32_t index; /* of the next one */
    uint32_t count;
    uint16_t checksum_offset;
    uint8_t type; /* as the virtio-net header says it */
};

/* How many wire packets a frame stands for: 1 when it is none of several, and then there is nothing
 * to cut. 0: its header says that it is a super-packet, but no segments can be made of it: its
 * headers are broken or not of the kind that gso_type says, or it is a kind that no kernel of ours
 * makes (UFO; more than SEGMENTS_MAX segments, with which one frame would keep everybody waiting).
 * Cheap for what is not a super-packet. */
uint32_t segment_begin(struct segmenter *segmenter, const struct virtio_net_hdr *header,
                       const unsigned char *bytes, uint32_t length);

/* The length of the next segment's frame; 0 when there are no more (or segment_begin was not
 * above 1). */
uint32_t segment_length(const struct segmenter *segmenter);

/* Writes the next segment, segment_length bytes, and its header. The same length is returned. */
uint32_t segment_next(struct segmenter *segmenter, struct virtio_net_hdr *header,
                      unsigned char *bytes);

/* Any `count` segments, from `first` on, as one super-packet again (of one: as a packet): its
 * headers, frame.payload bytes, and its payload, which is a part of the whole one's. */
void segment_headers(const struct segmenter *segmenter, uint32_t first, uint32_t count,
                     struct virtio_net_hdr *header, unsigned char *bytes);
const unsigned char *segment_payload(const struct segmenter *segmenter, uint32_t first,
                                     uint32_t count, uint32_t *length);

#endif
