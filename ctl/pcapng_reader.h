/* Reads a pcapng file as it comes, block by block, as much of it as severd writes: Ethernet,
 * nanoseconds, this machine's byte order. Pure. */
#ifndef SEVER_CTL_PCAPNG_READER_H
#define SEVER_CTL_PCAPNG_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/base/error.h"
#include "proxy/base/text.h"

struct pcapng_seen {
    uint64_t time_ns;
    const unsigned char *bytes;
    uint32_t captured, length;
    char comment[512]; /* cut to this; "" when there is none */
};

struct pcapng_reader {
    struct text pending; /* the beginning of a block */
    /* A whole block. packet: NULL for other blocks. False ends the reading. */
    bool (*block)(void *context, const void *block, size_t length,
                  const struct pcapng_seen *packet);
    void *context;
    uint64_t packets;
    uint64_t lost_by[1024]; /* by interface, as the file has told last */
};

/* Takes more bytes. 0; 1 when the callback has ended it; -EPROTO for what is no pcapng. */
int pcapng_reader_take(struct pcapng_reader *reader, const char *bytes, size_t length,
                       struct error *error);
uint64_t pcapng_reader_lost(const struct pcapng_reader *reader);
void pcapng_reader_free(struct pcapng_reader *reader);

#endif
