/* Reading one JSON object field by field. Internal to proxy/wire.
 *
 * The first failure stays: later calls do nothing, so that a decoder reads all its fields in a row
 * and looks at the code once. A key that is absent or null leaves the value untouched. */
#ifndef SEVER_WIRE_READER_H
#define SEVER_WIRE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "proxy/base/error.h"

struct reader {
    json_t *object;      /* borrowed */
    struct error *error; /* never NULL */
    int code;            /* 0 or the first failure */
};

/* keys: what may be there, in the order of the message; ignored: what may be there without effect.
 * Both end with NULL. error: never NULL. */
void reader_open(struct reader *reader, json_t *json, const char *const *keys,
                 const char *const *ignored, struct error *error);

bool reader_has(const struct reader *reader, const char *key); /* there, and not null */

/* The value of a required or optional key, NULL when absent or of another type. */
json_t *reader_array(struct reader *reader, const char *key);

void reader_text(struct reader *reader, const char *key, bool required, char *buffer, size_t size);
void reader_unsigned(struct reader *reader, const char *key, bool required, uint64_t *value);
void reader_signed(struct reader *reader, const char *key, int64_t *value);
void reader_bool(struct reader *reader, const char *key, bool *value);
/* A number from 0 to 1, rounded to parts per billion. */
void reader_probability(struct reader *reader, const char *key, bool required, uint32_t *ppb);
/* parse: one of ruleset_parse_*, as an int index. */
typedef int (*reader_parse_fn)(const char *text, int *value, struct error *error);
void reader_enum(struct reader *reader, const char *key, bool required, reader_parse_fn parse,
                 int *value);

/* Sets the failure if there is none yet. */
void reader_fail(struct reader *reader, const char *place, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A text outside an object (an array's element): 0 or -EINVAL at place. */
int reader_copy_text(json_t *json, const char *place, char *buffer, size_t size,
                     struct error *error);
/* "text", "a number", ... for messages. */
const char *reader_type_name(const json_t *json);

#endif
