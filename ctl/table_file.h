/* Tables of numbers from files: netem's distributions and mahimahi's link traces. */
#ifndef SEVER_CTL_TABLE_FILE_H
#define SEVER_CTL_TABLE_FILE_H

#include <jansson.h>

#include "proxy/base/error.h"

/* Reads a file into the body of POST /v1/tables, {"name", "values"}: a new reference. netem's
 * distributions and mahimahi's traces are both whole numbers apart by blanks or lines, with
 * comments from # on; which of the two a table is shows when a fault names it. name: what to call
 * the table; NULL: the file's name without folder and ending. NULL with *error: -EINVAL with the
 * line, -errno when it can't be read. */
json_t *table_file_read(const char *path, const char *name, struct error *error);

/* The same of the file's content, length bytes and a NUL behind them. path: for the name and the
 * error. Pure. */
json_t *table_file_parse(const char *text, size_t length, const char *path, const char *name,
                         struct error *error);

#endif
