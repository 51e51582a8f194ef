/* Who has this address? ARP requests (RFC 826) and neighbour solicitations (RFC 4861) are answered
 * in the node's place, so that a cut link is silence, as of a cable that was cut further on, and
 * not "no route to host".
 *
 * Left alone, as any other frame to a group: what announces an address (gratuitous ARP, unsolicited
 * advertisements), what asks whether an address is free (ARP probes, solicitations from ::), what a
 * node asks about itself, and addresses that nobody knows. */
#ifndef SEVER_PACKET_NEIGHBOUR_H
#define SEVER_PACKET_NEIGHBOUR_H

#include <stdint.h>

#include "proxy/packet/frame.h"

enum { NEIGHBOUR_ANSWER_MAX = FRAME_HEADER + 40 + 32 };

/* The Ethernet address (FRAME_MAC bytes) of the node that has this IPv4 (size 4) or IPv6 (size 16)
 * address; NULL when no node has it. */
typedef const unsigned char *neighbour_lookup(const void *context, const unsigned char *address,
                                              uint32_t size);

/* Writes the answer for the sender of the frame, complete with its checksum. Returns its length; 0:
 * the frame is not such a question, and goes its way. */
uint32_t neighbour_answer(const unsigned char *bytes, uint32_t length, neighbour_lookup *lookup,
                          const void *context, unsigned char answer[NEIGHBOUR_ANSWER_MAX]);

/* The link-local IPv6 address that Linux makes of an Ethernet address when it isn't told otherwise
 * (RFC 4291, appendix A), for a lookup that knows those too. */
void neighbour_link_local(const unsigned char mac[FRAME_MAC], unsigned char address[16]);

#endif
