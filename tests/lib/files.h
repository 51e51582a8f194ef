/* The files of the build that a test belongs to, and the folder that it works in. */
#ifndef SEVER_TESTS_LIB_FILES_H
#define SEVER_TESTS_LIB_FILES_H

#include <stddef.h>

/* The path of a file of this build, such as "bin/severd": from SEVER_BIN_DIR when that is set, else
 * from where the test is, which is two folders below the build's. Fails the running test when it
 * can't be told. */
void files_find_built(const char *name, char *path, size_t size);

/* Removes the folder and all that is in it. 0, or not 0 when something is left. */
int files_remove_folder(const char *folder);

#endif
