/* Theory of operation: the directory itself is locked (flock), so that no lock file is left and a
 * lock never outlives its process. A severd that is killed leaves its temporary one behind; the
 * next one of the same user removes what has the name, the mode and nobody's lock (a directory that
 * was given has another mode; its pages are to stay). What is younger than ORPHAN_AGE_S stays, for
 * another severd may be between making and locking it. */
#include "proxy/daemon/directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proxy/base/monotonic.h"

#define TEMPORARY_PARENT "/tmp"
#define TEMPORARY_PREFIX "severd-"
#define TEMPORARY_NAME TEMPORARY_PREFIX "XXXXXX"
#define PAGE_SUFFIX ".clock"
enum { ORPHAN_AGE_S = 60, TEMPORARY_MODE = 0711 };

static int fail(const char *path, struct error *error)
{
    return error_set_at(error, -errno, "--run-dir", "%s: %s", path, strerror(errno));
}

/* ---- what killed ones left ------------------------------------------------------------------- */

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), end_length = strlen(end);
    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

static bool is_orphan(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 && status.st_uid == geteuid() &&
           (status.st_mode & 07777) == TEMPORARY_MODE &&
           status.st_mtime + ORPHAN_AGE_S < wall_now_ns() / (int64_t)NS_PER_S &&
           flock(fd, LOCK_EX | LOCK_NB) == 0;
}

/* Takes fd over. */
static void remove_pages(int fd)
{
    DIR *pages = fdopendir(fd);
    if (!pages) {
        close(fd);
        return;
    }
    for (struct dirent *page; (page = readdir(pages));) {
        if (ends_with(page->d_name, PAGE_SUFFIX))
            unlinkat(dirfd(pages), page->d_name, 0);
    }
    closedir(pages);
}

static void remove_orphan(int parent, const char *name)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return;
    if (!is_orphan(fd)) {
        close(fd);
        return;
    }
    remove_pages(fd);
    unlinkat(parent, name, AT_REMOVEDIR); /* what holds anything else stays */
}

static void remove_orphans(void)
{
    DIR *parent = opendir(TEMPORARY_PARENT);
    if (!parent)
        return;
    for (struct dirent *entry; (entry = readdir(parent));) {
        if (strncmp(entry->d_name, TEMPORARY_PREFIX, strlen(TEMPORARY_PREFIX)) == 0 &&
            strlen(entry->d_name) == strlen(TEMPORARY_NAME))
            remove_orphan(dirfd(parent), entry->d_name);
    }
    closedir(parent);
}

/* ---- its own --------------------------------------------------------------------------------- */

static int make_temporary(struct directory *directory, struct error *error)
{
    remove_orphans();
    snprintf(directory->path, sizeof(directory->path), TEMPORARY_PARENT "/" TEMPORARY_NAME);
    if (!mkdtemp(directory->path))
        return fail(directory->path, error);
    directory->made = true;
    return chmod(directory->path, TEMPORARY_MODE) ? fail(directory->path, error) : 0;
}

static int make_given(struct directory *directory, const char *given, struct error *error)
{
    directory->made = mkdir(given, 0755) == 0;
    if ((!directory->made && errno != EEXIST) || !realpath(given, directory->path) ||
        access(directory->path, W_OK | X_OK))
        return fail(given, error);
    return 0;
}

static int lock(struct directory *directory, struct error *error)
{
    directory->lock_fd = open(directory->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory->lock_fd < 0)
        return fail(directory->path, error);
    if (flock(directory->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    if (errno != EWOULDBLOCK)
        return fail(directory->path, error);
    directory->made = false; /* it is theirs now */
    return error_set_at(error, -EBUSY, "--run-dir", "another severd uses %s", directory->path);
}

int directory_open(struct directory *directory, const char *given, struct error *error)
{
    *directory = (struct directory){.lock_fd = -1};
    int result = given ? make_given(directory, given, error) : make_temporary(directory, error);
    if (!result)
        result = lock(directory, error);
    if (result)
        directory_close(directory);
    return result;
}

void directory_close(struct directory *directory)
{
    if (directory->made)
        rmdir(directory->path);
    if (directory->lock_fd >= 0)
        close(directory->lock_fd);
    directory->made = false;
    directory->lock_fd = -1;
}
