/* Numbers in network byte order, at any address. */
#ifndef SEVER_PACKET_BYTES_H
#define SEVER_PACKET_BYTES_H

#include <stdint.h>

static inline uint16_t bytes_get16(const unsigned char *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static inline uint32_t bytes_get32(const unsigned char *at)
{
    return (uint32_t)bytes_get16(at) << 16 | bytes_get16(at + 2);
}

static inline void bytes_put16(unsigned char *at, uint32_t value)
{
    at[0] = (unsigned char)(value >> 8);
    at[1] = (unsigned char)value;
}

static inline void bytes_put32(unsigned char *at, uint32_t value)
{
    bytes_put16(at, value >> 16);
    bytes_put16(at + 2, value);
}

#endif
