/* Host names to addresses without making a loop wait: getaddrinfo on threads of its own.
 *
 * A resolver belongs to one loop; waiters are embedded in the caller's objects and answered on the
 * loop's thread. The same name is looked up once at a time, whoever waits for it. Of the look-ups
 * that have taken less than RESOLVER_PATIENCE_NS there are RESOLVER_THREADS at a time, so names
 * that nobody answers for keep the others waiting no longer than that; unless there are as many as
 * RESOLVER_THREADS_MAX, which others then wait for to be given up, and nothing else does. */
#ifndef SEVER_IO_RESOLVER_H
#define SEVER_IO_RESOLVER_H

#include <stddef.h>

#include "proxy/base/address.h"
#include "proxy/base/error.h"
#include "proxy/io/loop.h"

enum {
    RESOLVER_THREADS = 4,
    RESOLVER_THREADS_MAX = 32,
    RESOLVER_ADDRESSES_MAX = 4,
    RESOLVER_NAME_MAX = 256
};
#define RESOLVER_PATIENCE_NS                                                                       \
    UINT64_C(5000000000) /* as long as the C library waits for a server                            \
                          */

struct resolver;
struct resolver_waiter;

/* count addresses (port 0) in the order in which they are to be tried, valid during the call; 0:
 * there is none, and code says why: -ENOENT no such name, -EAGAIN the name server does not answer,
 * other -errno. The waiter is no longer waiting and may wait anew. */
typedef void (*resolver_fn)(struct resolver_waiter *waiter, const struct address *addresses,
                            size_t count, int code);

struct resolver_waiter {       /* zero-initialise */
    struct resolver *resolver; /* NULL while not waiting */
    struct resolver_waiter *next, *previous;
    const char *name; /* borrowed while waiting */
    resolver_fn fn;
};

/* -errno. Threads start at the first lookup. */
int resolver_create(struct loop *loop, struct resolver **resolver, struct error *error);
/* No waiter is answered any more. Lookups that hang are left to end by themselves. NULL is fine. */
void resolver_destroy(struct resolver *resolver);

/* Looks name up, for fn. name: below RESOLVER_NAME_MAX bytes. The answer comes in a later turn. */
void resolver_wait(struct resolver *resolver, struct resolver_waiter *waiter, const char *name,
                   resolver_fn fn);
void resolver_cancel(struct resolver_waiter *waiter); /* fine when not waiting */

#endif
