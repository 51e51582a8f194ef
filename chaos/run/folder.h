/* The folder that a command's results go to. */
#ifndef SEVER_CHAOS_RUN_FOLDER_H
#define SEVER_CHAOS_RUN_FOLDER_H

#include <stdbool.h>

#include "proxy/base/error.h"

/* wanted: a new or empty folder; NULL: a fresh one, ./sever-results/NAME, or NAME.2, NAME.3, ...
 * *told: its path for people, *absolute: the same, absolute; the caller frees both, also after a
 * failure. */
int folder_make(const char *wanted, const char *name, char **told, char **absolute,
                struct error *error);
/* Removes all that has come into a folder that folder_make gave, because it tells nobody anything,
 * and the folder too unless it is to be kept, as one is that was there before. What can't be
 * removed stays. */
void folder_discard(const char *absolute, bool keep);
/* The absolute path of the folder that a file is in; the caller frees it. */
int folder_of_file(const char *file, char **folder, struct error *error);

#endif
