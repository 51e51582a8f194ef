/* Theory of operation: the directory itself is locked (flock), so that no lock file is left and a
 * lock never outlives its process. */
#include "proxy/daemon/directory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int fail(const char *path, struct error *error)
{
    return error_set_at(error, -errno, "--run-dir", "%s: %s", path, strerror(errno));
}

static int make_temporary(struct directory *directory, struct error *error)
{
    snprintf(directory->path, sizeof(directory->path), "/tmp/severd-XXXXXX");
    if (!mkdtemp(directory->path))
        return fail(directory->path, error);
    directory->made = true;
    return chmod(directory->path, 0711) ? fail(directory->path, error) : 0;
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
