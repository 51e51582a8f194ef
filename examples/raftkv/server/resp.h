/* The Redis serialization protocol, version 2
 * (redis.io/docs/latest/develop/reference/protocol-spec): commands in, replies out. Inline commands
 * (words on a line) are understood too, without quotes. */
#ifndef RAFTKV_SERVER_RESP_H
#define RAFTKV_SERVER_RESP_H

#include "examples/raftkv/server/bytes.h"

enum {
    RESP_ARGUMENTS_MAX = 1024,
    RESP_BULK_MAX = 1 << 20,              /* bytes of one argument */
    RESP_COMMAND_MAX = (4 << 20) - 65536, /* bytes of a whole command, framing included */
    RESP_INLINE_MAX = 64 << 10            /* bytes of an inline command or of a length line */
};

struct resp_argument {
    const uint8_t *bytes; /* into the parsed buffer */
    size_t length;
};

struct resp_command {
    size_t count; /* 0: an empty line, to be skipped */
    struct resp_argument arguments[RESP_ARGUMENTS_MAX];
};

/* Takes one command off the front of length bytes. Returns 1 with *used bytes consumed, 0 when more
 * bytes are needed, -EINVAL with *problem (static text) when no command can begin like this: answer
 * and close, the stream can't be followed any more. */
int resp_parse(const uint8_t *bytes, size_t length, struct resp_command *command, size_t *used,
               const char **problem);

void resp_write_simple(struct bytes *out, const char *text); /* +OK */
void resp_write_integer(struct bytes *out, int64_t value);
void resp_write_bulk(struct bytes *out, const void *bytes, size_t length);
void resp_write_null(struct bytes *out);
void resp_write_array(struct bytes *out, size_t count); /* its items follow */
/* "-" and the text, line breaks replaced by spaces. */
void resp_write_error(struct bytes *out, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
