/* The checksums in a packet: those that the sender left to the device, and those that a change of
 * the packet made wrong.
 *
 * In a lab no device ever adds a checksum that was left to it: a packet that goes to its receiver
 * with its virtio-net header is believed. Who changes a payload must therefore decide first:
 *
 *   corrupt, not repaired: checksum_complete, then change the bytes
 *   corrupt, repaired:     change the bytes, then checksum_repair, and the header says none is left
 *
 * otherwise the receiver would never notice. */
#ifndef SEVER_PACKET_CHECKSUM_H
#define SEVER_PACKET_CHECKSUM_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/virtio_net.h>

#include "proxy/packet/frame.h"

/* Computes the checksum that is left to the device (VIRTIO_NET_HDR_F_NEEDS_CSUM: over everything
 * from csum_start to the frame's end, written at csum_start + csum_offset, where the sum of the
 * pseudo-header is). The header says then that none is left. True when none was left, too; false
 * when the place is not in the frame: the bytes are as they were. Not for super-packets, which have
 * no checksum of their own: cut them first (segment.h). */
bool checksum_complete(struct virtio_net_hdr *header, unsigned char *bytes, uint32_t length);

/* Makes the checksums of the whole packet right: IPv4's header; TCP, UDP, ICMP, ICMPv6 and IGMP,
 * unless it is a fragment or has a routing header. A UDP datagram over IPv4 that has none keeps
 * having none. frame: as frame_parse sees the bytes as they are now. False when nothing could be
 * done, as for what is not IP; what has no checksum that we know is left alone. */
bool checksum_repair(unsigned char *bytes, const struct frame *frame);

/* The sum of the pseudo-header of what is at frame->transport with `length` bytes (RFC 9293 3.1,
 * RFC 8200 8.1), for internet_checksum_add. The frame is IP, with a transport. */
uint64_t checksum_pseudo_header(const unsigned char *bytes, const struct frame *frame,
                                uint32_t length);

#endif
