/* The Internet checksum: the one's complement of the one's complement sum of 16-bit words (RFC
 * 1071, RFC 1624). Sums and checksums are in the byte order of the packet, for memcpy from and into
 * it.
 *
 * A sum is kept in 64 bits and folded at the end. Pieces may be added one after the other as long
 * as each but the last has an even number of bytes. */
#ifndef SEVER_BASE_INTERNET_CHECKSUM_H
#define SEVER_BASE_INTERNET_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* Adds bytes to a sum. It does not overflow before 16 GiB were added. */
uint64_t internet_checksum_add(uint64_t sum, const void *bytes, size_t length);

/* The sum itself, in 16 bits. */
static inline uint16_t internet_checksum_fold(uint64_t sum)
{
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

static inline uint16_t internet_checksum(const void *bytes, size_t length)
{
    return (uint16_t)~internet_checksum_fold(internet_checksum_add(0, bytes, length));
}

/* The checksum of a packet after one of its words was changed (RFC 1624, equation 3). */
static inline uint16_t internet_checksum_update(uint16_t checksum, uint16_t before, uint16_t after)
{
    return (uint16_t)~internet_checksum_fold((uint64_t)(uint16_t)~checksum + (uint16_t)~before +
                                             after);
}

#endif
