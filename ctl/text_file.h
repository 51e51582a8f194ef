/* A text that a command reads whole. */
#ifndef SEVER_CTL_TEXT_FILE_H
#define SEVER_CTL_TEXT_FILE_H

#include <stddef.h>

#include "proxy/base/error.h"
#include "proxy/base/text.h"

/* Appends the file at path, "-" for standard input, to content. It stops somewhere above `limit`
 * bytes: the caller refuses what is longer. 0 or -errno, with the path as place. */
int text_file_read(const char *path, size_t limit, struct text *content, struct error *error);

/* Puts "PATH: " before the place of an error. */
void text_file_name(struct error *error, const char *path);

#endif
