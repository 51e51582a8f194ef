/* Paths with names in them, percent-encoded (RFC 3986: all but the unreserved characters). */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "proxy/wire/client.h"

static bool is_unreserved(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

/* A segment "." or ".." is resolved away by clients unless its dots are encoded. */
static bool is_dots(const char *text)
{
    return strcmp(text, ".") == 0 || strcmp(text, "..") == 0;
}

/* Appends the text to the buffer, or makes the buffer "". */
static void append(char *buffer, size_t size, const char *text, bool encoded)
{
    size_t length = strlen(buffer);
    bool dots = encoded && is_dots(text);
    if (length == 0)
        return;
    for (; *text; text++) {
        bool plain = !encoded || (is_unreserved(*text) && !dots);
        size_t width = plain ? 1 : 3;
        if (length + width + 1 > size) {
            buffer[0] = '\0';
            return;
        }
        if (plain)
            buffer[length] = *text;
        else
            snprintf(buffer + length, size - length, "%%%02X", (unsigned)(unsigned char)*text);
        length += width;
        buffer[length] = '\0';
    }
}

void wire_path_append(char *buffer, size_t size, const char *segment)
{
    size_t length = strlen(buffer);
    if (length > 0 && buffer[length - 1] != '/')
        append(buffer, size, "/", false);
    append(buffer, size, segment, true);
}

void wire_path_append_query(char *buffer, size_t size, const char *key, const char *value)
{
    append(buffer, size, strchr(buffer, '?') ? "&" : "?", false);
    append(buffer, size, key, true);
    append(buffer, size, "=", false);
    append(buffer, size, value, true);
}
