/* The control thread's outside: listening sockets of the API, the run directory, signals. */
#ifndef SEVER_DAEMON_CONTROL_H
#define SEVER_DAEMON_CONTROL_H

#include <stdbool.h>
#include <stddef.h>

#include "proxy/base/address.h"
#include "proxy/base/error.h"
#include "proxy/daemon/backend.h"
#include "proxy/io/socket.h"

/* Opens the control API's listeners; a host that is no address is looked up. count descriptors and
 * the addresses they are really bound to, with the files; on failure none is left open. */
int control_listen(const char *const *texts, size_t count, int *fds, struct address *bound,
                   struct socket_file *files, struct error *error);
/* Whether only this machine reaches them. */
bool control_is_private(const struct address *bound, size_t count);
/* Removes the files of unix sockets that are still these listeners'. */
void control_unlink(const struct address *bound, const struct socket_file *files, size_t count);

/* Reads a ruleset file. *ruleset is the caller's to free. *has_seed: does it say the seed? Errors
 * have the file as place. */
int control_read_ruleset(const char *path, struct ruleset *ruleset, bool *has_seed,
                         struct error *error);
/* Appends the proxies and toxics of a toxiproxy-server configuration file. */
int control_read_config(const char *path, struct ruleset *ruleset, struct error *error);
/* Puts the file before the place of an error about what is in it. error: not NULL. */
void control_blame_file(const char *path, struct error *error);

struct control;

/* Opens the API on the listeners, which it takes over, on failure too; all that can fail at the
 * start is behind it. SIGINT, SIGTERM and SIGHUP are blocked by the caller (SIGHUP
 * only where it was not ignored). 0 or -errno. */
int control_create(const struct api_backend *backend, const struct api_options *options,
                   const int *fds, size_t count, struct control **control, struct error *error);
/* Serves until one of these signals. 0 or -errno. */
int control_serve(struct control *control, struct error *error);
void control_destroy(struct control *control); /* NULL is fine */

#endif
