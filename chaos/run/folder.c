#include "chaos/run/folder.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proxy/base/text.h"

#define FRESH_FOLDER "sever-results"
#define ELSEWHERE "; --out DIR writes elsewhere"

enum { FRESH_ATTEMPTS = 10000, DISCARD_FILES = 16 };

static bool is_empty(const char *path)
{
    DIR *directory = opendir(path);
    bool empty = directory != NULL;
    for (struct dirent *entry; directory && (entry = readdir(directory));)
        empty &= strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    if (directory)
        closedir(directory);
    return empty;
}

static int make_given(const char *wanted, char **told, struct error *error)
{
    *told = memory_copy_text(wanted);
    int code = mkdir(wanted, 0755) < 0 ? -errno : 0;
    if (code == 0 || (code == -EEXIST && is_empty(wanted)))
        return 0;
    return error_set_at(error, code, wanted, "%s",
                        code == -EEXIST ? "is there already: write a new or empty folder"
                                        : strerror(-code));
}

static int make_fresh(const char *name, char **told, struct error *error)
{
    if (mkdir(FRESH_FOLDER, 0755) < 0 && errno != EEXIST)
        return error_set_at(error, -errno, "./" FRESH_FOLDER, "%s" ELSEWHERE, strerror(errno));
    for (int attempt = 1; attempt < FRESH_ATTEMPTS; attempt++) {
        struct text path = {0};
        text_append(&path, "./" FRESH_FOLDER "/%s", name);
        if (attempt > 1)
            text_append(&path, ".%d", attempt);
        int code = mkdir(text_get(&path), 0755) < 0 ? -errno : 0;
        if (code == 0)
            *told = memory_copy_text(text_get(&path));
        else if (code != -EEXIST)
            error_set_at(error, code, text_get(&path), "%s" ELSEWHERE, strerror(-code));
        text_free(&path);
        if (code != -EEXIST)
            return code;
    }
    return error_set_at(error, -EEXIST, "./" FRESH_FOLDER, "has no free name left");
}

int folder_make(const char *wanted, const char *name, char **told, char **absolute,
                struct error *error)
{
    int code = wanted ? make_given(wanted, told, error) : make_fresh(name, told, error);
    if (code < 0)
        return code;
    *absolute = realpath(*told, NULL);
    return *absolute ? 0 : error_set_at(error, -errno, *told, "%s", strerror(errno));
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status, (void)kind;
    if (place->level > 0)
        remove(path);
    return 0;
}

/* Above a fresh folder is ./sever-results, which goes with the last one in it. */
void folder_discard(const char *absolute, bool keep)
{
    const char *slash = strrchr(absolute, '/');
    struct text above = {0};
    nftw(absolute, remove_entry, DISCARD_FILES, FTW_DEPTH | FTW_PHYS);
    if (keep || rmdir(absolute) < 0)
        return;
    text_append(&above, "%.*s", (int)(slash - absolute), absolute);
    slash = strrchr(text_get(&above), '/');
    if (slash && strcmp(slash + 1, FRESH_FOLDER) == 0)
        rmdir(text_get(&above));
    text_free(&above);
}

int folder_of_file(const char *file, char **folder, struct error *error)
{
    char *path = realpath(file, NULL);
    if (!path)
        return error_set_at(error, -errno, file, "%s", strerror(errno));
    char *slash = strrchr(path, '/');
    slash[slash == path] = '\0';
    *folder = path;
    return 0;
}
