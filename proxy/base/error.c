#include "proxy/base/error.h"

#include <stdarg.h>
#include <stdio.h>

void error_fill(struct error *error, int code, const char *place, const char *format, ...)
{
    if (!error)
        return;
    va_list args;
    va_start(args, format);
    error->code = code;
    snprintf(error->place, sizeof(error->place), "%s", place);
    vsnprintf(error->message, sizeof(error->message), format, args);
    va_end(args);
}

void error_prefix_place(struct error *error, const char *outer)
{
    char inner[ERROR_PLACE_MAX];
    snprintf(inner, sizeof(inner), "%s", error->place);
    const char *separator = inner[0] == '\0' || inner[0] == '[' ? "" : ".";
    snprintf(error->place, sizeof(error->place), "%s%s%s", outer, separator, inner);
}

const char *error_text(const struct error *error, char *buffer, size_t size)
{
    if (error->place[0])
        snprintf(buffer, size, "%s: %s", error->place, error->message);
    else
        snprintf(buffer, size, "%s", error->message);
    return buffer;
}
