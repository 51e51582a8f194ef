/* What the fuzzers share: a condition that must hold, and an input that is taken bit by bit. */
#ifndef SEVER_TESTS_FUZZ_FUZZ_H
#define SEVER_TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static inline void require(int condition)
{
    if (!condition)
        abort();
}

/* Nothing was written, not even padding. */
static inline int same_bytes(const void *a, const void *b, size_t size)
{
    return memcmp(a, b, size) == 0;
}

/* Whoever is refused is told why. */
static inline void require_reason(int code, const struct error *error)
{
    require(code < 0 && error->code == code && error->message[0] != '\0');
    require(memchr(error->message, '\0', sizeof(error->message)) != NULL);
}

/* Where a reader that fuzz_is_read looks at writes its reason. */
static struct error fuzz_error;

/* Whether it was read; when it was not, there is a reason. fuzz_error is empty afterwards. */
static inline bool fuzz_is_read(int code)
{
    if (code < 0)
        require_reason(code, &fuzz_error);
    fuzz_error = (struct error){0};
    return code == 0;
}

/* A copy of exactly this size with a NUL behind it, so that a step too far is seen. The caller
 * frees it. */
static inline char *fuzz_copy_text(const uint8_t *bytes, size_t size)
{
    char *text = malloc(size + 1);
    require(text != NULL);
    if (size)
        memcpy(text, bytes, size);
    text[size] = '\0';
    return text;
}

/* Cuts off the first line, without its newline. The caller frees it. */
static inline char *fuzz_take_line(const uint8_t **bytes, size_t *size)
{
    const uint8_t *newline = *size ? memchr(*bytes, '\n', *size) : NULL;
    size_t length = newline ? (size_t)(newline - *bytes) : *size;
    char *line = fuzz_copy_text(*bytes, length);
    size_t used = newline ? length + 1 : length;
    *bytes += used;
    *size -= used;
    return line;
}

#endif
