/* Theory of operation. Every field goes through one function of this file, which knows the key and
 * so the place; a decoder adds where its object stands ("faults[2]") afterwards, with
 * error_prefix_place. JSON has one kind of number: a whole one may be written 8e7, which jansson
 * reads as a double, and is taken while a double holds it exactly. */
#include "proxy/wire/reader.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proxy/base/random.h"

#define EXACT_MAX 9007199254740992.0 /* 2^53 */

const char *reader_type_name(const json_t *json)
{
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a text";
    case JSON_INTEGER:
    case JSON_REAL:
        return "a number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "true or false";
    case JSON_NULL:
        break;
    }
    return "null";
}

void reader_fail(struct reader *reader, const char *place, const char *format, ...)
{
    char message[ERROR_MESSAGE_MAX];
    if (reader->code < 0)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    reader->code = error_set_at(reader->error, -EINVAL, place, "%s", message);
}

static bool listed(const char *const *keys, const char *key)
{
    for (; *keys; keys++)
        if (strcmp(*keys, key) == 0)
            return true;
    return false;
}

static void refuse_key(struct reader *reader, const char *key, const char *const *keys)
{
    char allowed[ERROR_MESSAGE_MAX / 2] = "";
    size_t length = 0;
    for (size_t i = 0; keys[i] && length < sizeof(allowed); i++)
        length += (size_t)snprintf(allowed + length, sizeof(allowed) - length, "%s%s",
                                   i > 0 ? ", " : "", keys[i]);
    reader_fail(reader, key, "'%.64s' is not known here; allowed are %s", key, allowed);
}

void reader_open(struct reader *reader, json_t *json, const char *const *keys,
                 const char *const *ignored, struct error *error)
{
    *reader = (struct reader){.object = json, .error = error};
    if (!json_is_object(json)) {
        reader_fail(reader, "", "an object is wanted here, not %s", reader_type_name(json));
        return;
    }
    const char *key;
    json_t *value;
    json_object_foreach(json, key, value) if (!listed(keys, key) && !listed(ignored, key))
    {
        refuse_key(reader, key, keys);
        return;
    }
}

bool reader_has(const struct reader *reader, const char *key)
{
    const json_t *value = json_object_get(reader->object, key);
    return value && !json_is_null(value);
}

/* The value of key; NULL, with a failure when it is required, if there is none. */
static json_t *get(struct reader *reader, const char *key, bool required)
{
    if (reader->code < 0)
        return NULL;
    if (reader_has(reader, key))
        return json_object_get(reader->object, key);
    if (required)
        reader_fail(reader, key, "'%s' is missing", key);
    return NULL;
}

json_t *reader_array(struct reader *reader, const char *key)
{
    json_t *value = get(reader, key, false);
    if (value && !json_is_array(value)) {
        reader_fail(reader, key, "an array is wanted here, not %s", reader_type_name(value));
        return NULL;
    }
    return value;
}

int reader_copy_text(json_t *json, const char *place, char *buffer, size_t size,
                     struct error *error)
{
    if (!json_is_string(json))
        return error_set_at(error, -EINVAL, place, "a text is wanted here, not %s",
                            reader_type_name(json));
    size_t length = json_string_length(json);
    if (length >= size)
        return error_set_at(error, -EINVAL, place, "a text of at most %zu bytes is wanted here",
                            size - 1);
    if (memchr(json_string_value(json), '\0', length))
        return error_set_at(error, -EINVAL, place, "a text can't have a NUL in it");
    memset(buffer, 0, size);
    memcpy(buffer, json_string_value(json), length);
    return 0;
}

void reader_text(struct reader *reader, const char *key, bool required, char *buffer, size_t size)
{
    json_t *value = get(reader, key, required);
    if (value)
        reader->code = reader_copy_text(value, key, buffer, size, reader->error);
}

/* A whole number that fits 64 bits with sign. */
static bool read_integer(struct reader *reader, const char *key, json_t *json, int64_t *value)
{
    if (json_is_integer(json)) {
        *value = json_integer_value(json);
        return true;
    }
    if (!json_is_real(json)) {
        reader_fail(reader, key, "a whole number is wanted here, not %s", reader_type_name(json));
        return false;
    }
    double real = json_real_value(json);
    if (!(real >= -EXACT_MAX && real <= EXACT_MAX) || real != (double)(int64_t)real) {
        reader_fail(reader, key, "a whole number is wanted here, not %g", real);
        return false;
    }
    *value = (int64_t)real;
    return true;
}

void reader_unsigned(struct reader *reader, const char *key, bool required, uint64_t *value)
{
    json_t *json = get(reader, key, required);
    int64_t number = 0;
    if (!json || !read_integer(reader, key, json, &number))
        return;
    if (number < 0)
        reader_fail(reader, key, "a number of at least 0 is wanted here, not %lld",
                    (long long)number);
    else
        *value = (uint64_t)number;
}

void reader_signed(struct reader *reader, const char *key, int64_t *value)
{
    json_t *json = get(reader, key, false);
    int64_t number = 0;
    if (json && read_integer(reader, key, json, &number))
        *value = number;
}

void reader_bool(struct reader *reader, const char *key, bool *value)
{
    json_t *json = get(reader, key, false);
    if (!json)
        return;
    if (!json_is_boolean(json))
        reader_fail(reader, key, "true or false is wanted here, not %s", reader_type_name(json));
    else
        *value = json_is_true(json);
}

void reader_probability(struct reader *reader, const char *key, bool required, uint32_t *ppb)
{
    json_t *json = get(reader, key, required);
    if (!json)
        return;
    double value = json_number_value(json);
    if (!json_is_number(json) || !(value >= 0 && value <= 1))
        reader_fail(reader, key, "a number from 0 to 1 is wanted here, such as 0.05 for 5%%");
    else
        *ppb = (uint32_t)(value * RANDOM_PPB_ONE + 0.5);
}

void reader_enum(struct reader *reader, const char *key, bool required, reader_parse_fn parse,
                 int *value)
{
    json_t *json = get(reader, key, required);
    if (!json)
        return;
    struct error why = {0};
    if (!json_is_string(json))
        reader_fail(reader, key, "a text is wanted here, not %s", reader_type_name(json));
    else if (parse(json_string_value(json), value, &why) < 0)
        reader_fail(reader, key, "%s", why.message);
}
