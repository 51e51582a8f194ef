/* How many descriptors the data planes of a process have between them, for connections, sessions
 * and pipes. What they don't get is left for the control API and listeners, so that a crowd of
 * clients can't lock out those who would change something about it. Any thread; nobody waits. */
#ifndef SEVER_IO_DESCRIPTORS_H
#define SEVER_IO_DESCRIPTORS_H

#include <stdbool.h>
#include <stdint.h>

struct descriptors {
    _Atomic int64_t left;
};

/* Of the limit of open files (RLIMIT_NOFILE) all but a part that is kept: half of it, at most
 * 1024. */
void descriptors_open(struct descriptors *descriptors);
/* False when there are not so many left. descriptors: NULL means as many as one likes. */
bool descriptors_take(struct descriptors *descriptors, unsigned count);
void descriptors_give(struct descriptors *descriptors, unsigned count);

#endif
