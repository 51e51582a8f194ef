/* A growing, NUL-terminated text buffer for reports, JSON-free output and messages.
 *
 * Ownership: zero-initialise, append, then text_free. Allocation failure aborts the process with
 * a message: callers are control-plane code that cannot go on without memory. */
#ifndef SEVER_BASE_TEXT_H
#define SEVER_BASE_TEXT_H

#include <stdarg.h>
#include <stddef.h>

struct text {
    char *data;    /* NULL while empty; read it with text_get */
    size_t length; /* bytes, without the NUL */
    size_t capacity;
};

/* The content, "" when empty. Valid until the next append. */
const char *text_get(const struct text *text);
void text_append(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_append_va(struct text *text, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));
void text_append_bytes(struct text *text, const void *bytes, size_t length);
void text_clear(struct text *text); /* keeps the memory */
void text_free(struct text *text);

/* malloc/calloc/realloc/strdup that abort with a message when memory is out. Control plane only. */
void *
memory_must(void *block); /* the same for what another library has allocated: block, not NULL */
void *memory_allocate(size_t size);
void *memory_allocate_zeroed(size_t count, size_t size);
void *memory_resize(void *block, size_t count, size_t size);
void *memory_copy(const void *array, size_t count, size_t size); /* NULL when count is 0 */
char *memory_copy_text(const char *text);

#endif
