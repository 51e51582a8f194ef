#include "proxy/base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *memory_must(void *block)
{
    if (!block) {
        fputs("out of memory\n", stderr);
        abort();
    }
    return block;
}

void *memory_allocate(size_t size)
{
    return memory_must(malloc(size ? size : 1));
}

void *memory_allocate_zeroed(size_t count, size_t size)
{
    return memory_must(calloc(count ? count : 1, size ? size : 1));
}

void *memory_resize(void *block, size_t count, size_t size)
{
    return memory_must(reallocarray(block, count ? count : 1, size ? size : 1));
}

void *memory_copy(const void *array, size_t count, size_t size)
{
    if (count == 0)
        return NULL;
    void *copy = memory_allocate(count * size);
    memcpy(copy, array, count * size);
    return copy;
}

char *memory_copy_text(const char *text)
{
    return memory_must(strdup(text));
}

static void reserve(struct text *text, size_t more)
{
    size_t wanted = text->length + more + 1;
    if (wanted <= text->capacity)
        return;
    size_t capacity = text->capacity ? text->capacity : 128;
    while (capacity < wanted)
        capacity *= 2;
    text->data = memory_resize(text->data, capacity, 1);
    text->capacity = capacity;
}

const char *text_get(const struct text *text)
{
    return text->data ? text->data : "";
}

void text_append_bytes(struct text *text, const void *bytes, size_t length)
{
    reserve(text, length);
    if (length)
        memcpy(text->data + text->length, bytes, length);
    text->length += length;
    text->data[text->length] = '\0';
}

void text_append_va(struct text *text, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    if (length > 0) {
        reserve(text, (size_t)length);
        vsnprintf(text->data + text->length, (size_t)length + 1, format, again);
        text->length += (size_t)length;
    }
    va_end(again);
}

void text_append(struct text *text, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    text_append_va(text, format, args);
    va_end(args);
}

void text_clear(struct text *text)
{
    text->length = 0;
    if (text->data)
        text->data[0] = '\0';
}

void text_free(struct text *text)
{
    free(text->data);
    *text = (struct text){0};
}
