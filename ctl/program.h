/* Into which programs the clock library can be loaded. What can't be shifted is refused, with the
 * reason: it would run with true time and nobody would notice. */
#ifndef SEVER_CTL_PROGRAM_H
#define SEVER_CTL_PROGRAM_H

#include "proxy/base/error.h"

/* Looks at what execvp would run for `command`, through the interpreters of scripts: is it
 * dynamically linked for the machine of `library` (a path), does it look at LD_PRELOAD, and does it
 * ask libc for the time? 0 when it does, and when there is no such program: running it says that
 * better. -ENOEXEC with the reason when it doesn't. What the program starts in turn is not looked
 * at. */
int program_check_clock(const char *command, const char *library, struct error *error);

#endif
