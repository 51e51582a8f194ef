/* Writes pcapng (draft-ietf-opsawg-pcapng), the file format of Wireshark, block by block into the
 * caller's memory. Pure. In the byte order of this machine, which the format allows. */
#ifndef SEVER_CAPTURE_PCAPNG_H
#define SEVER_CAPTURE_PCAPNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Each function appends one whole block, or, when there is no room, nothing, and returns false.
 * Texts of options are cut at PCAPNG_TEXT_MAX bytes; NULL or "": not written. */
struct pcapng_buffer {
    unsigned char *bytes;
    size_t size, used;
};

enum {
    PCAPNG_TEXT_MAX = 1024,
    PCAPNG_PACKET_OVERHEAD = 32 + 3 + 4 + (4 + PCAPNG_TEXT_MAX) + 8, /* beside a packet's bytes */
};

/* The first block of a file. */
bool pcapng_section(struct pcapng_buffer *buffer, const char *application, const char *comment);

/* Interfaces are numbered from 0 in the order of these blocks. Ethernet, with times in nanoseconds.
 * filter: as the user wrote it. */
struct pcapng_interface {
    const char *name, *description, *filter;
    uint32_t snaplen; /* bytes that are kept of a packet */
};
bool pcapng_interface(struct pcapng_buffer *buffer, const struct pcapng_interface *interface);

enum pcapng_direction { PCAPNG_INBOUND = 1, PCAPNG_OUTBOUND = 2 };

struct pcapng_packet {
    uint32_t interface;
    uint64_t time_ns;           /* since 1970 */
    const unsigned char *bytes; /* the first `captured` of `length` */
    uint32_t captured, length;
    enum pcapng_direction direction;
    const char *comment;
};
bool pcapng_packet(struct pcapng_buffer *buffer, const struct pcapng_packet *packet);

/* May stand anywhere in a file; the last one of an interface counts. */
struct pcapng_statistics {
    uint32_t interface;
    uint64_t time_ns, begun_ns; /* since 1970 */
    uint64_t received, dropped; /* all packets so far; of them those that are not in the file */
    const char *comment;
};
bool pcapng_statistics(struct pcapng_buffer *buffer, const struct pcapng_statistics *statistics);

#endif
