#include "ctl/table.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>

static void add_cell(struct table *table, enum table_colour colour, char *content)
{
    table->cells = memory_resize(table->cells, table->cell_count + 1, sizeof(*table->cells));
    table->cells[table->cell_count++] = (struct table_cell){.content = content, .colour = colour};
}

void table_begin(struct table *table, const char *const headings[])
{
    *table = (struct table){0};
    for (size_t i = 0; headings[i]; i++) {
        assert(i < TABLE_COLUMNS_MAX);
        table->right[i] = headings[i][0] == '>';
        add_cell(table, TABLE_PLAIN, memory_copy_text(headings[i] + table->right[i]));
        table->column_count++;
    }
}

void table_add(struct table *table, enum table_colour colour, const char *format, ...)
{
    struct text content = {0};
    va_list args;
    va_start(args, format);
    text_append_va(&content, format, args);
    va_end(args);
    add_cell(table, colour, memory_copy_text(text_get(&content)));
    text_free(&content);
}

/* Characters of UTF-8 text: every byte but the continuations. */
static size_t width_of(const char *content)
{
    size_t width = 0;
    for (; *content; content++)
        width += ((unsigned char)*content & 0xc0) != 0x80;
    return width;
}

static void append_cell(const struct table_cell *cell, size_t width, bool right, bool last,
                        bool colour, struct text *text)
{
    static const char *const codes[] = {"", "\033[32m", "\033[31m", "\033[33m"};
    size_t own = width_of(cell->content);
    int padding = (int)(width - own);
    bool coloured = colour && cell->colour != TABLE_PLAIN && cell->content[0];
    if (right)
        text_append(text, "%*s", padding, "");
    text_append(text, "%s%s%s", coloured ? codes[cell->colour] : "", cell->content,
                coloured ? "\033[0m" : "");
    if (!right && !last)
        text_append(text, "%*s", padding, "");
    text_append(text, last ? "\n" : "  ");
}

/* An empty last cell must not leave the spaces before it. */
static void trim_line(struct text *text)
{
    size_t end = text->length - 1;
    while (end > 0 && text->data[end - 1] == ' ')
        end--;
    if (end == text->length - 1)
        return;
    text->data[end] = '\n';
    text->data[end + 1] = '\0';
    text->length = end + 1;
}

void table_end(struct table *table, bool colour, struct text *text)
{
    assert(table->cell_count % table->column_count == 0);
    size_t widths[TABLE_COLUMNS_MAX] = {0};
    for (size_t i = 0; i < table->cell_count; i++) {
        size_t width = width_of(table->cells[i].content);
        if (width > widths[i % table->column_count])
            widths[i % table->column_count] = width;
    }
    for (size_t i = 0; i < table->cell_count; i++) {
        size_t column = i % table->column_count;
        bool last = column + 1 == table->column_count;
        append_cell(&table->cells[i], widths[column], table->right[column], last, colour, text);
        if (last)
            trim_line(text);
        free(table->cells[i].content);
    }
    free(table->cells);
    *table = (struct table){0};
}
