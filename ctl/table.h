/* Aligned columns. A cell's width is its characters, not its bytes; colour takes none. */
#ifndef SEVER_CTL_TABLE_H
#define SEVER_CTL_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "proxy/base/text.h"

enum { TABLE_COLUMNS_MAX = 12 };

enum table_colour { TABLE_PLAIN, TABLE_GREEN, TABLE_RED, TABLE_YELLOW };

struct table_cell {
    char *content;
    enum table_colour colour;
};

struct table {
    size_t column_count;
    bool right[TABLE_COLUMNS_MAX]; /* numbers: flush right */
    struct table_cell *cells;      /* row by row; row 0 is the heading */
    size_t cell_count;
};

/* headings: NULL-terminated; one that starts with '>' makes its column flush right. */
void table_begin(struct table *table, const char *const headings[]);
/* Cells are added in order, row after row. */
void table_add(struct table *table, enum table_colour colour, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Appends the table to text, without trailing spaces, and frees it. */
void table_end(struct table *table, bool colour, struct text *text);

#endif
