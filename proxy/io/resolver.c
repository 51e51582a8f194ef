/* Theory of operation
 *
 * The loop's thread keeps the list of waiters and a fixed set of lookups, each with a thread that
 * is started when it is first needed. A lookup that is free takes the name of the longest waiter
 * whose name nobody is looking up; when it is done, every waiter for that name is answered. So all
 * that is shared between the threads is one lookup's fields, handed back and forth under its lock.
 *
 * Lookups that hang are made up for: one that has taken too long does not count any more, and
 * another may be started in its place, up to a bound. Threads beyond the usual number end when they
 * have answered.
 *
 * getaddrinfo can't be interrupted. At destroy a thread that is in the middle of it is left behind:
 * it finds its lookup abandoned, and frees it. */
#include "proxy/io/resolver.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum lookup_state { LOOKUP_FREE, LOOKUP_ASKED, LOOKUP_DONE, LOOKUP_ABANDONED };

struct lookup {
    pthread_mutex_t lock;
    pthread_cond_t asked;
    enum lookup_state state; /* under lock, as is all that follows */
    int done_fd;             /* the resolver's eventfd */
    char name[RESOLVER_NAME_MAX];
    struct address addresses[RESOLVER_ADDRESSES_MAX];
    size_t count;
    int code;
};

struct resolver {
    struct loop *loop;
    struct loop_watch watch;
    struct resolver_waiter *first, *last;
    struct loop_timer timer; /* a name waits, and a lookup will have taken too long */
    struct lookup *lookups[RESOLVER_THREADS_MAX];
    bool busy[RESOLVER_THREADS_MAX];
    uint64_t asked_ns[RESOLVER_THREADS_MAX];
};

static int code_of(int failure)
{
    switch (failure) {
    case EAI_NONAME:
    case EAI_NODATA:
    case EAI_ADDRFAMILY:
        return -ENOENT;
    case EAI_AGAIN:
    case EAI_FAIL:
        return -EAGAIN;
    case EAI_SYSTEM:
        return errno ? -errno : -EIO;
    default:
        return -EIO;
    }
}

static size_t take_addresses(const struct addrinfo *list, struct address *addresses)
{
    size_t count = 0;
    for (; list && count < RESOLVER_ADDRESSES_MAX; list = list->ai_next) {
        if (list->ai_family != AF_INET && list->ai_family != AF_INET6)
            continue;
        addresses[count] = (struct address){.length = list->ai_addrlen};
        memcpy(&addresses[count++].storage, list->ai_addr, list->ai_addrlen);
    }
    return count;
}

/* Called without the lock: the name is not written while the lookup is asked. */
static void look_up(const char *name, struct address *addresses, size_t *count, int *code)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    errno = 0;
    int failure = getaddrinfo(name, NULL, &hints, &list);
    *count = failure ? 0 : take_addresses(list, addresses);
    *code = failure ? code_of(failure) : *count ? 0 : -ENOENT;
    if (!failure)
        freeaddrinfo(list);
}

static void lookup_free(struct lookup *lookup)
{
    pthread_cond_destroy(&lookup->asked);
    pthread_mutex_destroy(&lookup->lock);
    free(lookup);
}

static void *lookup_main(void *context)
{
    struct lookup *lookup = context;
    struct address addresses[RESOLVER_ADDRESSES_MAX];
    pthread_mutex_lock(&lookup->lock);
    for (;;) {
        while (lookup->state != LOOKUP_ASKED && lookup->state != LOOKUP_ABANDONED)
            pthread_cond_wait(&lookup->asked, &lookup->lock);
        if (lookup->state == LOOKUP_ABANDONED)
            break;
        size_t count;
        int code;
        pthread_mutex_unlock(&lookup->lock);
        look_up(lookup->name, addresses, &count, &code);
        pthread_mutex_lock(&lookup->lock);
        if (lookup->state == LOOKUP_ABANDONED)
            break;
        memcpy(lookup->addresses, addresses, sizeof(addresses));
        lookup->count = count;
        lookup->code = code;
        lookup->state = LOOKUP_DONE;
        eventfd_write(lookup->done_fd, 1);
    }
    pthread_mutex_unlock(&lookup->lock);
    lookup_free(lookup);
    return NULL;
}

/* A lookup with its thread, which blocks all signals: they are others' business. NULL when the
 * system has no room. */
static struct lookup *lookup_start(int done_fd)
{
    sigset_t all, before;
    pthread_t thread;
    pthread_attr_t attributes;
    struct lookup *lookup = calloc(1, sizeof(*lookup));
    if (!lookup)
        return NULL;
    lookup->done_fd = done_fd;
    pthread_mutex_init(&lookup->lock, NULL);
    pthread_cond_init(&lookup->asked, NULL);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int result = pthread_create(&thread, &attributes, lookup_main, lookup);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (result == 0)
        return lookup;
    lookup_free(lookup);
    return NULL;
}

static void waiter_remove(struct resolver_waiter *waiter)
{
    struct resolver *resolver = waiter->resolver;
    assert(resolver != NULL);
    *(waiter->previous ? &waiter->previous->next : &resolver->first) = waiter->next;
    *(waiter->next ? &waiter->next->previous : &resolver->last) = waiter->previous;
    waiter->resolver = NULL;
    waiter->next = waiter->previous = NULL;
}

/* Answers all that wait for `name`. A waiter that waits anew in its callback goes to the end, with
 * those who came later, and is not answered from what is in hand: *last ends the round. */
static void answer(struct resolver *resolver, const char *name, const struct address *addresses,
                   size_t count, int code)
{
    struct resolver_waiter due = {0}; /* marks the end of this round */
    due.resolver = resolver;
    due.name = "";
    due.previous = resolver->last;
    *(resolver->last ? &resolver->last->next : &resolver->first) = &due;
    resolver->last = &due;
    for (struct resolver_waiter *waiter = resolver->first; waiter != &due;) {
        if (strcmp(waiter->name, name) != 0) {
            waiter = waiter->next;
            continue;
        }
        waiter_remove(waiter);
        waiter->fn(waiter, addresses, count, code);
        waiter = resolver->first; /* the callback may have cancelled any other */
    }
    waiter_remove(&due);
}

static bool is_being_looked_up(const struct resolver *resolver, const char *name)
{
    for (size_t i = 0; i < RESOLVER_THREADS_MAX; i++)
        if (resolver->busy[i] && strcmp(resolver->lookups[i]->name, name) == 0)
            return true;
    return false;
}

static void ask(struct lookup *lookup, const char *name)
{
    pthread_mutex_lock(&lookup->lock);
    assert(lookup->state == LOOKUP_FREE);
    memcpy(lookup->name, name, strlen(name) + 1);
    lookup->state = LOOKUP_ASKED;
    pthread_cond_signal(&lookup->asked);
    pthread_mutex_unlock(&lookup->lock);
}

/* A lookup that may be asked now, as there are fewer than RESOLVER_THREADS that it would be too
 * early to give up on; RESOLVER_THREADS_MAX when there is none. *change_ns: when there may be. */
static size_t find_free(const struct resolver *resolver, uint64_t now_ns, uint64_t *change_ns)
{
    size_t found = RESOLVER_THREADS_MAX, fresh = 0;
    *change_ns = UINT64_MAX;
    for (size_t i = RESOLVER_THREADS_MAX; i-- > 0;) {
        uint64_t until_ns = resolver->asked_ns[i] + RESOLVER_PATIENCE_NS;
        if (!resolver->busy[i]) {
            found = i;
        } else if (until_ns > now_ns) {
            fresh++;
            *change_ns = until_ns < *change_ns ? until_ns : *change_ns;
        }
    }
    return fresh < RESOLVER_THREADS ? found : RESOLVER_THREADS_MAX;
}

/* Gives names that wait to lookups that are free. */
static void dispatch(struct resolver *resolver)
{
    uint64_t now_ns = loop_now_ns(resolver->loop), change_ns;
    for (struct resolver_waiter *waiter = resolver->first; waiter; waiter = waiter->next) {
        if (waiter->name[0] == '\0' || is_being_looked_up(resolver, waiter->name))
            continue;
        size_t i = find_free(resolver, now_ns, &change_ns);
        if (i == RESOLVER_THREADS_MAX) {
            if (change_ns != UINT64_MAX)
                loop_timer_set(resolver->loop, &resolver->timer, change_ns);
            return;
        }
        if (!resolver->lookups[i])
            resolver->lookups[i] = lookup_start(resolver->watch.fd);
        if (!resolver->lookups[i])
            return; /* when another lookup is done, it is tried again */
        resolver->busy[i] = true;
        resolver->asked_ns[i] = now_ns;
        ask(resolver->lookups[i], waiter->name);
    }
}

static void on_timer(struct loop_timer *timer)
{
    dispatch(loop_container(timer, struct resolver, timer));
}

/* Its thread ends by itself. */
static void lookup_leave(struct lookup *lookup)
{
    pthread_mutex_lock(&lookup->lock);
    lookup->state = LOOKUP_ABANDONED;
    pthread_cond_signal(&lookup->asked);
    pthread_mutex_unlock(&lookup->lock);
}

static void on_done(struct loop_watch *watch, uint32_t events)
{
    struct resolver *resolver = loop_container(watch, struct resolver, watch);
    struct address addresses[RESOLVER_ADDRESSES_MAX];
    eventfd_t ignored;
    (void)events;
    eventfd_read(watch->fd, &ignored);
    for (size_t i = 0; i < RESOLVER_THREADS_MAX; i++) {
        struct lookup *lookup = resolver->lookups[i];
        if (!resolver->busy[i])
            continue;
        pthread_mutex_lock(&lookup->lock);
        bool done = lookup->state == LOOKUP_DONE;
        size_t count = lookup->count;
        int code = lookup->code;
        memcpy(addresses, lookup->addresses, sizeof(addresses));
        if (done)
            lookup->state = LOOKUP_FREE;
        pthread_mutex_unlock(&lookup->lock);
        if (!done)
            continue;
        answer(resolver, lookup->name, addresses, count, code);
        resolver->busy[i] =
            false; /* not before: a callback that waits anew must not change the name */
        if (i >= RESOLVER_THREADS) {
            lookup_leave(lookup);
            resolver->lookups[i] = NULL;
        }
    }
    dispatch(resolver);
}

int resolver_create(struct loop *loop, struct resolver **out, struct error *error)
{
    struct resolver *resolver = calloc(1, sizeof(*resolver));
    if (!resolver)
        return error_set(error, -ENOMEM, "no memory for a resolver");
    resolver->loop = loop;
    resolver->timer.fn = on_timer;
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    int result = fd < 0 ? -errno : loop_watch_add(loop, &resolver->watch, fd, EPOLLIN, on_done);
    if (result) {
        if (fd >= 0)
            close(fd);
        free(resolver);
        return error_set(error, result, "resolver: %s", strerror(-result));
    }
    *out = resolver;
    return 0;
}

void resolver_destroy(struct resolver *resolver)
{
    if (!resolver)
        return;
    while (resolver->first)
        waiter_remove(resolver->first);
    for (size_t i = 0; i < RESOLVER_THREADS_MAX; i++)
        if (resolver->lookups[i])
            lookup_leave(resolver->lookups[i]);
    loop_timer_cancel(&resolver->timer);
    int fd = resolver->watch.fd;
    loop_watch_remove(&resolver->watch);
    close(fd);
    free(resolver);
}

void resolver_wait(struct resolver *resolver, struct resolver_waiter *waiter, const char *name,
                   resolver_fn fn)
{
    assert(!waiter->resolver && strlen(name) < RESOLVER_NAME_MAX && name[0]);
    waiter->resolver = resolver;
    waiter->name = name;
    waiter->fn = fn;
    waiter->next = NULL;
    waiter->previous = resolver->last;
    *(resolver->last ? &resolver->last->next : &resolver->first) = waiter;
    resolver->last = waiter;
    dispatch(resolver);
}

void resolver_cancel(struct resolver_waiter *waiter)
{
    if (waiter->resolver)
        waiter_remove(waiter);
}
