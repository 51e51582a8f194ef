/* Theory of operation
 *
 * Words of any size add up to the same sum once it is folded, in either byte order (RFC 1071, 2).
 * So each 64-bit word adds its two halves to a 64-bit sum, which leaves the carries in place; four
 * at a time have a sum each, so that none waits for the other. */
#include "proxy/base/internet_checksum.h"

#include <string.h>

static uint64_t halves(const unsigned char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof(word));
    return (word & 0xffffffff) + (word >> 32);
}

uint64_t internet_checksum_add(uint64_t sum, const void *bytes, size_t length)
{
    const unsigned char *at = bytes;
    uint64_t more[3] = {0};
    unsigned char rest[8] = {0};
    for (; length >= 32; length -= 32, at += 32) {
        sum += halves(at);
        more[0] += halves(at + 8);
        more[1] += halves(at + 16);
        more[2] += halves(at + 24);
    }
    sum += more[0] + more[1] + more[2];
    for (; length >= 8; length -= 8, at += 8)
        sum += halves(at);
    if (length)
        memcpy(rest, at, length);
    return sum + halves(rest);
}
