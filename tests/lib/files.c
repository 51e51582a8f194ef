#include "tests/lib/test.h"

#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/files.h"

enum { OPEN_FOLDERS = 16 }; /* at a time */

void files_find_built(const char *name, char *path, size_t size)
{
    const char *programs = getenv("SEVER_BIN_DIR");
    char self[PATH_MAX] = "";
    if (programs) {
        snprintf(path, size, "%s/../%s", programs, name);
        return;
    }
    assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
    *strrchr(self, '/') = '\0';
    snprintf(path, size, "%s/../../%s", self, name);
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

int files_remove_folder(const char *folder)
{
    return nftw(folder, remove_entry, OPEN_FOLDERS, FTW_DEPTH | FTW_PHYS);
}
