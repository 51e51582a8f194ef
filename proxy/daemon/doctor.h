/* What this machine allows severd, tried and not guessed: severctl doctor. It is severd that tries,
 * because it is severd's privileges, limits and network namespace that count. */
#ifndef SEVER_DAEMON_DOCTOR_H
#define SEVER_DAEMON_DOCTOR_H

#include <stddef.h>
#include <stdint.h>

#include "proxy/api/api.h"

struct doctor_options {
    unsigned workers;
    uint64_t pool_bytes;       /* of each worker */
    const char *directory;     /* of the clock pages */
    const char *clock_library; /* "" when not known */
};

/* Tries everything, which takes some tenths of a second: 50 timers of a millisecond, and some
 * namespaces made and dropped. Writes at most API_CHECKS_MAX checks and returns how many. Nothing
 * stays behind; a kernel with modules may have loaded that for veth. Any one thread at a
 * time; it must not be one that serves traffic or the API. */
size_t doctor_examine(const struct doctor_options *options, struct api_check checks[]);

#endif
