/* Theory of operation. A block is its type, its length, a body, options, and its length again; all
 * parts begin at multiples of four bytes. A block is written in place, each part only if it still
 * fits, and its lengths at the end; when a part did not fit the buffer is as it was. */
#include "proxy/capture/pcapng.h"

#include <string.h>

enum {
    SECTION_HEADER = 0x0a0d0d0a,
    INTERFACE_DESCRIPTION = 1,
    INTERFACE_STATISTICS = 5,
    ENHANCED_PACKET = 6,
    LINKTYPE_ETHERNET = 1,
    OPTION_END = 0,
    OPTION_COMMENT = 1,
    SHB_USERAPPL = 4,
    IF_NAME = 2,
    IF_DESCRIPTION = 3,
    IF_TSRESOL = 9,
    IF_FILTER = 11,
    EPB_FLAGS = 2,
    ISB_STARTTIME = 2,
    ISB_ENDTIME = 3,
    ISB_IFRECV = 4,
    ISB_IFDROP = 5,
    NANOSECONDS = 9,
    /* How it was addressed, bits 2 to 4 of the flags. */
    UNICAST = 1 << 2,
    MULTICAST = 2 << 2,
    BROADCAST = 3 << 2,
};

static const uint32_t byte_order_magic = 0x1a2b3c4d;

/* A block being written. */
struct block {
    struct pcapng_buffer *buffer;
    size_t begin;
    bool full;
};

static void put(struct block *block, const void *bytes, size_t length)
{
    static const unsigned char zeros[4];
    struct pcapng_buffer *buffer = block->buffer;
    size_t padding = (4 - length % 4) % 4;
    if (block->full || length > buffer->size - buffer->used ||
        padding > buffer->size - buffer->used - length) {
        block->full = true;
        return;
    }
    if (length)
        memcpy(buffer->bytes + buffer->used, bytes, length);
    memcpy(buffer->bytes + buffer->used + length, zeros, padding);
    buffer->used += length + padding;
}

static void put_u16(struct block *block, uint16_t first, uint16_t second)
{
    const uint16_t both[2] = {first, second};
    put(block, both, sizeof(both));
}

static void put_u32(struct block *block, uint32_t value)
{
    put(block, &value, sizeof(value));
}

static struct block begin_block(struct pcapng_buffer *buffer, uint32_t type)
{
    struct block block = {.buffer = buffer, .begin = buffer->used};
    put_u32(&block, type);
    put_u32(&block, 0); /* the length, as soon as it is known */
    return block;
}

static bool end_block(struct block *block)
{
    struct pcapng_buffer *buffer = block->buffer;
    uint32_t length = (uint32_t)(buffer->used - block->begin) + 4;
    put_u32(block, length);
    if (block->full)
        buffer->used = block->begin;
    else
        memcpy(buffer->bytes + block->begin + 4, &length, sizeof(length));
    return !block->full;
}

static void put_option(struct block *block, uint16_t code, const void *bytes, size_t length)
{
    put_u16(block, code, (uint16_t)length);
    put(block, bytes, length);
}

static void put_text(struct block *block, uint16_t code, const char *text)
{
    size_t length = text ? strnlen(text, PCAPNG_TEXT_MAX) : 0;
    if (length)
        put_option(block, code, text, length);
}

static void end_options(struct block *block)
{
    put_u16(block, OPTION_END, 0);
}

/* The format has the upper half first, whatever the byte order. */
static void put_time(struct block *block, uint64_t time_ns)
{
    put_u32(block, (uint32_t)(time_ns >> 32));
    put_u32(block, (uint32_t)time_ns);
}

static void put_time_option(struct block *block, uint16_t code, uint64_t time_ns)
{
    put_u16(block, code, sizeof(time_ns));
    put_time(block, time_ns);
}

bool pcapng_section(struct pcapng_buffer *buffer, const char *application, const char *comment)
{
    const uint64_t unknown_length = UINT64_MAX;
    struct block block = begin_block(buffer, SECTION_HEADER);
    put_u32(&block, byte_order_magic);
    put_u16(&block, 1, 0); /* version 1.0 */
    put(&block, &unknown_length, sizeof(unknown_length));
    put_text(&block, OPTION_COMMENT, comment);
    put_text(&block, SHB_USERAPPL, application);
    end_options(&block);
    return end_block(&block);
}

/* The filter's option begins with a byte that says "text". */
static void put_filter(struct block *block, const char *filter)
{
    char option[1 + PCAPNG_TEXT_MAX] = {0};
    size_t length = filter ? strnlen(filter, PCAPNG_TEXT_MAX) : 0;
    if (!length)
        return;
    memcpy(option + 1, filter, length);
    put_option(block, IF_FILTER, option, 1 + length);
}

bool pcapng_interface(struct pcapng_buffer *buffer, const struct pcapng_interface *interface)
{
    const unsigned char resolution = NANOSECONDS;
    struct block block = begin_block(buffer, INTERFACE_DESCRIPTION);
    put_u16(&block, LINKTYPE_ETHERNET, 0);
    put_u32(&block, interface->snaplen);
    put_text(&block, IF_NAME, interface->name);
    put_text(&block, IF_DESCRIPTION, interface->description);
    put_option(&block, IF_TSRESOL, &resolution, sizeof(resolution));
    put_filter(&block, interface->filter);
    end_options(&block);
    return end_block(&block);
}

static uint32_t flags_of(const struct pcapng_packet *packet)
{
    static const unsigned char all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    uint32_t to = UNICAST;
    if (packet->captured < sizeof(all))
        to = 0; /* not known */
    else if (memcmp(packet->bytes, all, sizeof(all)) == 0)
        to = BROADCAST;
    else if (packet->bytes[0] & 1)
        to = MULTICAST;
    return to | (uint32_t)packet->direction;
}

bool pcapng_packet(struct pcapng_buffer *buffer, const struct pcapng_packet *packet)
{
    const uint32_t flags = flags_of(packet);
    struct block block = begin_block(buffer, ENHANCED_PACKET);
    put_u32(&block, packet->interface);
    put_time(&block, packet->time_ns);
    put_u32(&block, packet->captured);
    put_u32(&block, packet->length);
    put(&block, packet->bytes, packet->captured);
    put_option(&block, EPB_FLAGS, &flags, sizeof(flags));
    put_text(&block, OPTION_COMMENT, packet->comment);
    end_options(&block);
    return end_block(&block);
}

bool pcapng_statistics(struct pcapng_buffer *buffer, const struct pcapng_statistics *statistics)
{
    struct block block = begin_block(buffer, INTERFACE_STATISTICS);
    put_u32(&block, statistics->interface);
    put_time(&block, statistics->time_ns);
    put_text(&block, OPTION_COMMENT, statistics->comment);
    put_time_option(&block, ISB_STARTTIME, statistics->begun_ns);
    put_time_option(&block, ISB_ENDTIME, statistics->time_ns);
    put_option(&block, ISB_IFRECV, &statistics->received, sizeof(statistics->received));
    put_option(&block, ISB_IFDROP, &statistics->dropped, sizeof(statistics->dropped));
    end_options(&block);
    return end_block(&block);
}
