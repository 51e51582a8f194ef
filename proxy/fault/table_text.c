#include "proxy/fault/table_text.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "proxy/base/text.h"
#include "proxy/fault/ruleset_text.h"

enum { SHOWN_BYTES = 20 }; /* of what is no number, in a message */

struct reader {
    enum table_text_kind kind;
    const char *next, *end;
    size_t line;
    size_t on_line; /* numbers on this line so far */
    struct error *error;
    int32_t *values;
    size_t count;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

static int __attribute__((format(printf, 3, 4)))
refuse(struct reader *reader, int code, const char *format, ...)
{
    char place[32], message[ERROR_MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    snprintf(place, sizeof(place), "line %zu", reader->line);
    return error_set_at(reader->error, code, place, "%s", message);
}

/* To the next number; false: there is none. */
static bool find_number(struct reader *reader)
{
    for (bool comment = false; reader->next < reader->end; reader->next++) {
        char c = *reader->next;
        if (c == '\n') {
            reader->line++;
            reader->on_line = 0;
            comment = false;
        } else if (c == '#') {
            comment = true;
        } else if (!comment && !is_blank(c)) {
            return true;
        }
    }
    return false;
}

/* The text from reader->next to the next blank, line end or comment. */
static size_t token_length(const struct reader *reader)
{
    const char *c = reader->next;
    while (c < reader->end && !is_blank(*c) && *c != '\n' && *c != '#')
        c++;
    return (size_t)(c - reader->next);
}

/* A sign and digits, within 32 bits. False: it is none. */
static bool parse_number(const char *text, size_t length, int64_t *value)
{
    bool negative = text[0] == '-';
    size_t i = negative || text[0] == '+';
    if (i == length)
        return false;
    for (*value = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9' || *value > INT32_MAX)
            return false;
        *value = *value * 10 + (text[i] - '0');
    }
    *value = negative ? -*value : *value;
    return *value >= INT32_MIN && *value <= INT32_MAX;
}

static int check_value(struct reader *reader, int64_t value)
{
    if (reader->kind == TABLE_TEXT_DISTRIBUTION) {
        if (value < INT16_MIN || value > INT16_MAX)
            return refuse(reader, -EINVAL, "a distribution's numbers are -32768 to 32767, not %lld",
                          (long long)value);
        return 0;
    }
    if (reader->on_line > 0)
        return refuse(reader, -EINVAL, "a trace has one number a line");
    if (value < 0)
        return refuse(reader, -EINVAL, "a trace's milliseconds are not negative");
    if (reader->count > 0 && value < reader->values[reader->count - 1])
        return refuse(reader, -EINVAL, "a trace's milliseconds don't fall: %lld after %ld",
                      (long long)value, (long)reader->values[reader->count - 1]);
    return 0;
}

static int read_number(struct reader *reader)
{
    size_t length = token_length(reader);
    int64_t value;
    if (!parse_number(reader->next, length, &value)) {
        size_t shown = length < SHOWN_BYTES ? length : SHOWN_BYTES;
        if (!ruleset_text_is_printable(reader->next, shown))
            return refuse(reader, -EINVAL, "write whole numbers, as text");
        return refuse(reader, -EINVAL, "'%.*s%s' is no whole number, or too large", (int)shown,
                      reader->next, shown < length ? "..." : "");
    }
    int code = check_value(reader, value);
    if (code < 0)
        return code;
    if (reader->count == RULESET_TABLE_VALUES_MAX)
        return refuse(reader, -E2BIG, "a table has at most %d numbers", RULESET_TABLE_VALUES_MAX);
    reader->values[reader->count++] = (int32_t)value;
    reader->on_line++;
    reader->next += length;
    return 0;
}

/* What only the whole tells. */
static int check_whole(const struct reader *reader)
{
    if (reader->kind == TABLE_TEXT_DISTRIBUTION && reader->count < 2)
        return error_set(reader->error, -EINVAL, "a distribution has at least two numbers");
    if (reader->kind == TABLE_TEXT_TRACE && reader->count == 0)
        return error_set(reader->error, -EINVAL, "a trace has at least one number");
    if (reader->kind == TABLE_TEXT_TRACE && reader->values[reader->count - 1] == 0)
        return error_set(reader->error, -EINVAL, "a trace lasts at least a millisecond");
    return 0;
}

int table_text_parse(enum table_text_kind kind, const char *text, size_t length,
                     struct ruleset_table *table, struct error *error)
{
    if (length > TABLE_TEXT_BYTES_MAX)
        return error_set(error, -E2BIG, "a table's text is at most %d bytes", TABLE_TEXT_BYTES_MAX);
    struct reader reader = {
        .kind = kind, .next = text, .end = text + length, .line = 1, .error = error};
    reader.values = memory_allocate(RULESET_TABLE_VALUES_MAX * sizeof(*reader.values));
    int code = 0;
    while (code == 0 && find_number(&reader))
        code = read_number(&reader);
    if (code == 0)
        code = check_whole(&reader);
    if (code < 0) {
        free(reader.values);
        return code;
    }
    table->values = memory_resize(reader.values, reader.count, sizeof(*reader.values));
    table->count = reader.count;
    return 0;
}
