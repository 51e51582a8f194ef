/* A listening socket in a loop, that does not spin when descriptors run out. */
#ifndef RAFTKV_SERVER_LISTENER_H
#define RAFTKV_SERVER_LISTENER_H

#include "proxy/base/address.h"
#include "proxy/base/error.h"
#include "proxy/io/loop.h"

struct listener { /* zero-initialise */
    struct loop_watch watch;
    struct loop_timer pause; /* armed while the socket is not watched */
};

/* Listens on address; ready is called with &listener->watch when a connection waits. -errno. */
int listener_open(struct listener *listener, struct loop *loop, const struct address *address,
                  loop_watch_fn ready, struct error *error);
void listener_close(struct listener *listener); /* fine when it is not open */

/* Accepts one connection: its descriptor, or negative when there is none now: return to the loop.
 * When the process or the system is out of descriptors or memory, the connections wait in the
 * kernel and ready is not called for LISTENER_PAUSE_MS. */
int listener_accept(struct listener *listener);

enum { LISTENER_PAUSE_MS = 100 };

/* Raises the soft limit of descriptors to the hard one. Returns it, or -errno. */
long listener_raise_limit(void);

#endif
