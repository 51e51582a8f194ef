/* What a `reject` fault answers, in the place of the destination.
 *
 * TCP gets a reset as from a host without that connection (RFC 9293 3.5.2, 3.10.7.1), all others a
 * "port unreachable" with as much of the packet as the standards allow: 576 bytes in all (RFC 1812
 * 4.3.2.3), 1,280 over IPv6 (RFC 4443 2.4).
 *
 * Nobody is told of: resets; ICMP errors and redirects; neighbour discovery and multicast listener
 * reports; packets without a transport that frame_parse finds, as later fragments are; what was for
 * a group or everybody, by its Ethernet or its IP address; what came from no single host (RFC 1122
 * 3.2.2, RFC 4443 2.4 e). How many are told is bounded by who sends the answers. */
#ifndef SEVER_PACKET_ANSWER_H
#define SEVER_PACKET_ANSWER_H

#include <stdint.h>

#include "proxy/packet/frame.h"

enum { ANSWER_BYTES_MAX = FRAME_HEADER + FRAME_TAGS_MAX * FRAME_TAG + 1280 };

/* Writes the frame for the sender of this one, complete with its checksums. Returns its length; 0:
 * there is no answer. frame: what frame_parse says of the bytes. */
uint32_t answer_reject(const unsigned char *bytes, const struct frame *frame,
                       unsigned char answer[ANSWER_BYTES_MAX]);

#endif
