#include "ctl/pcapng_reader.h"

#include <errno.h>
#include <string.h>

enum {
    SECTION_HEADER = 0x0a0d0d0a,
    INTERFACE_STATISTICS = 5,
    ENHANCED_PACKET = 6,
    BYTE_ORDER_MAGIC = 0x1a2b3c4d,
    OPTION_END = 0,
    OPTION_COMMENT = 1,
    ISB_IFDROP = 5,
    BLOCK_MIN = 12,
    BLOCK_MAX = 1 << 20,
    PACKET_HEADER = 28,     /* up to the packet's bytes */
    STATISTICS_HEADER = 20, /* up to the options */
    INTERFACES = sizeof(((struct pcapng_reader *)NULL)->lost_by) / sizeof(uint64_t),
};

static uint32_t get_u32(const unsigned char *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof(value));
    return value;
}

static uint16_t get_u16(const unsigned char *at)
{
    uint16_t value;
    memcpy(&value, at, sizeof(value));
    return value;
}

static size_t padded(size_t length)
{
    return (length + 3) & ~(size_t)3;
}

/* The value of an option, NULL when it is not there. at, end: where the block's options are. */
static const unsigned char *find_option(const unsigned char *block, size_t at, size_t end,
                                        uint16_t wanted, size_t *length)
{
    while (at + 4 <= end) {
        uint16_t code = get_u16(block + at), size = get_u16(block + at + 2);
        if (code == OPTION_END || size > end - at - 4)
            return NULL;
        *length = size;
        if (code == wanted)
            return block + at + 4;
        at += 4 + padded(size);
    }
    return NULL;
}

static bool read_packet(const unsigned char *block, size_t length, struct pcapng_seen *packet)
{
    size_t size = 0;
    if (length < PACKET_HEADER + 4)
        return false;
    packet->time_ns = (uint64_t)get_u32(block + 12) << 32 | get_u32(block + 16);
    packet->captured = get_u32(block + 20);
    packet->length = get_u32(block + 24);
    packet->bytes = block + PACKET_HEADER;
    if (packet->captured > length - PACKET_HEADER - 4)
        return false;
    const unsigned char *comment = find_option(block, PACKET_HEADER + padded(packet->captured),
                                               length - 4, OPTION_COMMENT, &size);
    if (size >= sizeof(packet->comment))
        size = sizeof(packet->comment) - 1;
    if (comment)
        memcpy(packet->comment, comment, size);
    packet->comment[comment ? size : 0] = '\0';
    return true;
}

static void read_statistics(struct pcapng_reader *reader, const unsigned char *block, size_t length)
{
    size_t size = 0;
    if (length < STATISTICS_HEADER + 4)
        return;
    uint32_t interface = get_u32(block + 8);
    const unsigned char *dropped =
        find_option(block, STATISTICS_HEADER, length - 4, ISB_IFDROP, &size);
    if (dropped && size == sizeof(uint64_t) && interface < INTERFACES)
        memcpy(&reader->lost_by[interface], dropped, size);
}

/* 0, or 1 when the callback has ended it. */
static int take_block(struct pcapng_reader *reader, const unsigned char *block, size_t length,
                      struct error *error)
{
    struct pcapng_seen packet;
    uint32_t type = get_u32(block);
    bool is_packet = type == ENHANCED_PACKET;
    if (type == SECTION_HEADER &&
        (length < BLOCK_MIN + 4 || get_u32(block + 8) != BYTE_ORDER_MAGIC))
        return error_set(error, -EPROTO, "severd's capture is of a machine of other byte order");
    if (type == INTERFACE_STATISTICS)
        read_statistics(reader, block, length);
    if (is_packet && !read_packet(block, length, &packet))
        return error_set(error, -EPROTO, "severd's capture has a broken packet");
    reader->packets += is_packet;
    return reader->block(reader->context, block, length, is_packet ? &packet : NULL) ? 0 : 1;
}

int pcapng_reader_take(struct pcapng_reader *reader, const char *bytes, size_t length,
                       struct error *error)
{
    size_t at = 0;
    int result = 0;
    text_append_bytes(&reader->pending, bytes, length);
    const unsigned char *all = (const unsigned char *)text_get(&reader->pending);
    while (!result && reader->pending.length - at >= BLOCK_MIN) {
        uint32_t size = get_u32(all + at + 4);
        if (size < BLOCK_MIN || size > BLOCK_MAX || size % 4)
            return error_set(error, -EPROTO, "what severd sends is no capture");
        if (size > reader->pending.length - at)
            break;
        result = take_block(reader, all + at, size, error);
        at += size;
    }
    if (result < 0)
        return result;
    struct text rest = {0};
    text_append_bytes(&rest, all + at, reader->pending.length - at);
    text_free(&reader->pending);
    reader->pending = rest;
    return result;
}

uint64_t pcapng_reader_lost(const struct pcapng_reader *reader)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < INTERFACES; i++)
        sum += reader->lost_by[i];
    return sum;
}

void pcapng_reader_free(struct pcapng_reader *reader)
{
    text_free(&reader->pending);
}
