/* The run directory, where the clock pages are. */
#ifndef SEVER_DAEMON_DIRECTORY_H
#define SEVER_DAEMON_DIRECTORY_H

#include <limits.h>
#include <stdbool.h>

#include "proxy/base/error.h"

struct directory {
    char path[PATH_MAX]; /* absolute: processes with another working directory open what is in it */
    bool made;           /* by this severd, so that directory_close removes it */
    int lock_fd;
};

/* given: NULL for a new one in /tmp, which every user can reach into but not list (those that
 * killed severds of this user left there are removed); else its path, made when it is not there
 * (its parent must be). Held for this process alone until directory_close: -EBUSY when another one
 * has it. Other -errno. Place: "--run-dir". */
int directory_open(struct directory *directory, const char *given, struct error *error);
/* Removes it if severd made it and it is empty, and lets it go. No effect when that was done
 * already, or directory_open failed. */
void directory_close(struct directory *directory);

#endif
