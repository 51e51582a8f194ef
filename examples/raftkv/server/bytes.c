#include "examples/raftkv/server/bytes.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/text.h"

enum { BYTES_KEEP = 64 * 1024 }; /* an empty queue larger than this gives its memory back */

uint8_t *bytes_reserve(struct bytes *bytes, size_t room)
{
    if (bytes->capacity - bytes->end >= room)
        return bytes->data + bytes->end;
    size_t length = bytes_length(bytes);
    if (bytes->start > 0 && length)
        memmove(bytes->data, bytes->data + bytes->start, length);
    bytes->start = 0;
    bytes->end = length;
    if (bytes->capacity - length < room) {
        size_t wanted = bytes->capacity ? bytes->capacity * 2 : 256;
        bytes->capacity = wanted > length + room ? wanted : length + room;
        bytes->data = memory_resize(bytes->data, bytes->capacity, 1);
    }
    return bytes->data + bytes->end;
}

void bytes_commit(struct bytes *bytes, size_t length)
{
    assert(length <= bytes->capacity - bytes->end);
    bytes->end += length;
}

void bytes_append(struct bytes *bytes, const void *data, size_t length)
{
    if (length == 0)
        return;
    memcpy(bytes_reserve(bytes, length), data, length);
    bytes_commit(bytes, length);
}

void bytes_append_format(struct bytes *bytes, const char *format, ...)
{
    char line[1024];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    if (length > 0)
        bytes_append(bytes, line,
                     (size_t)length < sizeof(line) ? (size_t)length : sizeof(line) - 1);
}

void bytes_append_number(struct bytes *bytes, uint64_t value, unsigned count)
{
    uint8_t encoded[8];
    assert(count <= sizeof(encoded));
    for (unsigned i = 0; i < count; i++)
        encoded[i] = (uint8_t)(value >> (8 * i));
    bytes_append(bytes, encoded, count);
}

uint64_t bytes_read_number(const uint8_t *at, unsigned count)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < count; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

void bytes_consume(struct bytes *bytes, size_t length)
{
    assert(length <= bytes_length(bytes));
    bytes->start += length;
    if (bytes->start < bytes->end)
        return;
    bytes->start = bytes->end = 0;
    if (bytes->capacity > BYTES_KEEP)
        bytes_free(bytes);
}

void bytes_free(struct bytes *bytes)
{
    free(bytes->data);
    memset(bytes, 0, sizeof(*bytes));
}
