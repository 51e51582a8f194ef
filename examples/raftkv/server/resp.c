#include "examples/raftkv/server/resp.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Length of the line at bytes without its "\r\n" (or "\n"), *used with it; -1: not there yet. */
static long find_line(const uint8_t *bytes, size_t length, size_t *used)
{
    const uint8_t *end = length ? memchr(bytes, '\n', length) : NULL;
    if (!end)
        return -1;
    size_t line = (size_t)(end - bytes);
    *used = line + 1;
    if (line > 0 && bytes[line - 1] == '\r')
        line--;
    return (long)line;
}

static int fail(const char **problem, const char *text)
{
    *problem = text;
    return -EINVAL;
}

/* "<prefix><number>\r\n": 1 with the value, 0: more bytes needed, -EINVAL. */
static int parse_number(const uint8_t *bytes, size_t length, int64_t maximum, int64_t *value,
                        size_t *used)
{
    long line = find_line(bytes, length, used);
    if (line < 0)
        return length > 32 ? -EINVAL : 0;
    bool negative = line > 1 && bytes[1] == '-';
    long at = negative ? 2 : 1;
    if (at >= line || line > 20)
        return -EINVAL;
    int64_t number = 0;
    for (; at < line; at++) {
        if (bytes[at] < '0' || bytes[at] > '9' || number > maximum)
            return -EINVAL;
        number = number * 10 + (bytes[at] - '0');
    }
    if (number > maximum)
        return -EINVAL;
    *value = negative ? -number : number;
    return 1;
}

static int parse_inline(const uint8_t *bytes, size_t length, struct resp_command *command,
                        size_t *used, const char **problem)
{
    long line = find_line(bytes, length, used);
    if (line < 0)
        return length > RESP_INLINE_MAX ? fail(problem, "too big inline request") : 0;
    if (line > RESP_INLINE_MAX)
        return fail(problem, "too big inline request");
    command->count = 0;
    for (long at = 0; at < line;) {
        while (at < line && (bytes[at] == ' ' || bytes[at] == '\t'))
            at++;
        long start = at;
        while (at < line && bytes[at] != ' ' && bytes[at] != '\t')
            at++;
        if (at == start)
            break;
        if (command->count == RESP_ARGUMENTS_MAX)
            return fail(problem, "too many arguments");
        command->arguments[command->count++] =
            (struct resp_argument){.bytes = bytes + start, .length = (size_t)(at - start)};
    }
    return 1;
}

/* One "$<length>\r\n<bytes>\r\n". */
static int parse_bulk(const uint8_t *bytes, size_t length, struct resp_argument *argument,
                      size_t *used, const char **problem)
{
    int64_t size;
    size_t head;
    if (length > 0 && bytes[0] != '$')
        return fail(problem, "expected '$' before an argument");
    int got = parse_number(bytes, length, RESP_BULK_MAX, &size, &head);
    if (got < 0 || (got > 0 && size < 0))
        return fail(problem, "invalid bulk length (an argument may have 1048576 bytes)");
    if (got == 0)
        return 0;
    size_t whole = head + (size_t)size + 2;
    if (length < whole)
        return 0;
    if (bytes[whole - 2] != '\r' || bytes[whole - 1] != '\n')
        return fail(problem, "expected CRLF after an argument");
    *argument = (struct resp_argument){.bytes = bytes + head, .length = (size_t)size};
    *used = whole;
    return 1;
}

int resp_parse(const uint8_t *bytes, size_t length, struct resp_command *command, size_t *used,
               const char **problem)
{
    if (length == 0)
        return 0;
    if (bytes[0] != '*')
        return parse_inline(bytes, length, command, used, problem);
    int64_t count;
    size_t at;
    int got = parse_number(bytes, length, RESP_ARGUMENTS_MAX, &count, &at);
    if (got < 0)
        return fail(problem, "invalid multibulk length (a command may have 1024 arguments)");
    if (got == 0)
        return 0;
    command->count = 0;
    while ((int64_t)command->count < count) {
        size_t part = 0;
        got = parse_bulk(bytes + at, length - at, &command->arguments[command->count], &part,
                         problem);
        if (got < 0)
            return got;
        if (got == 0 || at + part > RESP_COMMAND_MAX)
            return length > RESP_COMMAND_MAX ? fail(problem, "too big command") : 0;
        at += part;
        command->count++;
    }
    *used = at;
    return 1;
}

void resp_write_simple(struct bytes *out, const char *text)
{
    bytes_append_format(out, "+%s\r\n", text);
}

void resp_write_integer(struct bytes *out, int64_t value)
{
    bytes_append_format(out, ":%" PRId64 "\r\n", value);
}

void resp_write_bulk(struct bytes *out, const void *bytes, size_t length)
{
    bytes_append_format(out, "$%zu\r\n", length);
    bytes_append(out, bytes, length);
    bytes_append(out, "\r\n", 2);
}

void resp_write_null(struct bytes *out)
{
    bytes_append(out, "$-1\r\n", 5);
}

void resp_write_array(struct bytes *out, size_t count)
{
    bytes_append_format(out, "*%zu\r\n", count);
}

void resp_write_error(struct bytes *out, const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    for (char *at = line; *at; at++)
        if (*at == '\r' || *at == '\n')
            *at = ' ';
    bytes_append_format(out, "-%s\r\n", line);
}
