/* A byte queue: appended at the end, consumed at the front. Zero-initialise; bytes_free. */
#ifndef RAFTKV_SERVER_BYTES_H
#define RAFTKV_SERVER_BYTES_H

#include <stddef.h>
#include <stdint.h>

struct bytes {
    uint8_t *data;
    size_t start, end, capacity; /* content: data[start] to data[end - 1] */
};

static inline size_t bytes_length(const struct bytes *bytes)
{
    return bytes->end - bytes->start;
}

/* The content; NULL is possible while empty. Valid until the next append or reserve. */
static inline const uint8_t *bytes_get(const struct bytes *bytes)
{
    return bytes->data ? bytes->data + bytes->start : NULL;
}

/* Room for at least `room` bytes at the returned place; then bytes_commit what was filled. */
uint8_t *bytes_reserve(struct bytes *bytes, size_t room);
void bytes_commit(struct bytes *bytes, size_t length);
void bytes_append(struct bytes *bytes, const void *data, size_t length);
void bytes_append_format(struct bytes *bytes, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Little endian, `count` bytes of value. */
void bytes_append_number(struct bytes *bytes, uint64_t value, unsigned count);
uint64_t bytes_read_number(const uint8_t *at, unsigned count);
void bytes_consume(struct bytes *bytes, size_t length);
void bytes_free(struct bytes *bytes);

#endif
