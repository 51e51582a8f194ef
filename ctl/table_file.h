/* Tables of numbers from files: netem's distributions and mahimahi's link traces. */
#ifndef SEVER_CTL_TABLE_FILE_H
#define SEVER_CTL_TABLE_FILE_H

#include <jansson.h>

#include "proxy/base/error.h"
#include "proxy/fault/table_text.h"

/* Reads a file into the body of POST /v1/tables, {"name", "values"}: a new reference. name: what to
 * call the table; NULL: the file's name without folder and ending. NULL with *error, whose place is
 * the file: as table_text_parse, or -errno when it can't be read. */
json_t *table_file_read(enum table_text_kind kind, const char *path, const char *name,
                        struct error *error);

/* The same of the file's content. path: for the name and the error. Pure. */
json_t *table_file_parse(enum table_text_kind kind, const char *text, size_t length,
                         const char *path, const char *name, struct error *error);

#endif
