/* IP and UDP headers for a datagram that was received by a socket, so that what reads packets (a
 * filter expression, an ICMP error) can read it too. */
#ifndef SEVER_IO_IP_HEADER_H
#define SEVER_IO_IP_HEADER_H

#include <stdint.h>

#include "proxy/base/address.h"

enum { IP_HEADER_ROOM = 48 }; /* IPv6 and UDP; IPv4 and UDP take 28 */

/* Writes the headers right in front of `payload`, of which `length` bytes follow; IP_HEADER_ROOM
 * bytes before it are the caller's. IPv4 when both addresses are (::ffff:a.b.c.d counts as
 * a.b.c.d), else IPv6, where IPv4 becomes ::ffff:a.b.c.d. Time to live 64, not fragmented; the IPv4
 * checksum is right, the UDP checksum is 0. A length field that overflows (no IP packet holds the
 * datagram) says 65535. Returns the bytes of the headers; 0 when an address has no host. */
uint32_t ip_header_write(unsigned char *payload, uint32_t length, const struct address *source,
                         const struct address *destination);

#endif
