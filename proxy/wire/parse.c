/* wire_parse_object: bytes to a JSON object, bounded before anything is allocated.
 *
 * Theory of operation. jansson recurses once per level, and makes some 800 bytes of the two that an
 * empty object has. So depth and brackets are counted first, by a scan that knows only these and
 * strings; whatever else is wrong, jansson says where. */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "proxy/wire/codec.h"
#include "proxy/wire/parse.h"

/* Offset of the bracket that opens one level, or one object or array, too many; else length. */
static size_t find_bracket(const char *body, size_t length, size_t depth_max, size_t count_max)
{
    bool in_string = false;
    size_t depth = 0, count = 0;
    for (size_t i = 0; i < length; i++) {
        char c = body[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > depth_max || ++count > count_max)
                return i;
        } else if (c == '}' || c == ']') {
            depth -= depth > 0;
        }
    }
    return length;
}

bool wire_has_too_many(const char *json, size_t length)
{
    return find_bracket(json, length, SIZE_MAX, WIRE_CONTAINERS_MAX) < length;
}

static void format_place(const char *body, size_t offset, char *place, size_t size)
{
    int line = 1, column = 1;
    for (size_t i = 0; i < offset; i++) {
        column = body[i] == '\n' ? 1 : column + 1;
        line += body[i] == '\n';
    }
    snprintf(place, size, "line %d, column %d", line, column);
}

json_t *wire_parse_bounded(const char *body, size_t length, size_t limit, struct error *error)
{
    char place[ERROR_PLACE_MAX];
    if (length > limit) {
        error_set(error, -E2BIG, "a body is at most %zu bytes, not %zu", limit, length);
        return NULL;
    }
    if (length == 0) {
        error_set(error, -EINVAL, "the body is empty: a JSON object is wanted");
        return NULL;
    }
    if (wire_has_too_many(body, length)) {
        error_set(error, -E2BIG, "more than %d objects and arrays", WIRE_CONTAINERS_MAX);
        return NULL;
    }
    size_t deep = find_bracket(body, length, WIRE_DEPTH_MAX, SIZE_MAX);
    if (deep < length) {
        format_place(body, deep, place, sizeof(place));
        error_set_at(error, -EINVAL, place, "nested deeper than %d levels", WIRE_DEPTH_MAX);
        return NULL;
    }
    json_error_t why;
    json_t *json = json_loadb(body, length, JSON_REJECT_DUPLICATES, &why);
    if (!json) {
        snprintf(place, sizeof(place), "line %d, column %d", why.line, why.column);
        error_set_at(error, -EINVAL, place, "%s", why.text);
        return NULL;
    }
    if (!json_is_object(json)) {
        json_decref(json);
        error_set_at(error, -EINVAL, "line 1, column 1", "an object is wanted here, not an array");
        return NULL;
    }
    return json;
}

json_t *wire_parse_object(const char *body, size_t length, struct error *error)
{
    return wire_parse_bounded(body, length, WIRE_BODY_MAX, error);
}
