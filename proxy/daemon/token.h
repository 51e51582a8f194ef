/* The token of the control API: who does not have it is not served over TCP. */
#ifndef SEVER_DAEMON_TOKEN_H
#define SEVER_DAEMON_TOKEN_H

#include <stdbool.h>

#include "proxy/base/error.h"

enum { TOKEN_MAX = 256 }; /* with the NUL */

/* The token in the file (its first line), else `environment` (SEVER_TOKEN; NULL or "": not set),
 * else, when one is needed, a random one, and *made is true; else "". A token is 1 to 255 visible
 * ASCII characters. -EINVAL, or -errno for the file; the place is the file, or SEVER_TOKEN. */
int token_choose(const char *file, const char *environment, bool needed, char token[TOKEN_MAX],
                 bool *made, struct error *error);

#endif
