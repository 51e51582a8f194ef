/* A packet that a fault with `repair` has changed or cut short, made one that its receiver takes.
 */
#ifndef SEVER_PACKET_REPAIR_H
#define SEVER_PACKET_REPAIR_H

#include <stdbool.h>
#include <stdint.h>

/* bytes: a frame of `length` bytes, of which those up to `end` are left. Says in the length fields
 * of IP and UDP what is left, and makes the checksums right (checksum_repair). False when it is not
 * IP, is cut within IP's header, or was changed beyond recognition: then checksums stay wrong. No
 * checksum is left to the device (checksum_complete). */
bool repair_packet(unsigned char *bytes, uint32_t length, uint32_t end);

#endif
