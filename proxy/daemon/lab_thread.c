/* Theory of operation: lab_thread.h. One lock for all; `call` is the mailbox, with room for one. */
#include "proxy/daemon/lab_thread.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "proxy/base/text.h"

struct task {
    lab_thread_function function; /* NULL: none */
    void *context;
};

struct lab_thread {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int wake_fd; /* to this thread */
    int call_fd; /* to the control thread */
    struct task work, call;
    _Atomic bool waits; /* there is a call */
    bool running;       /* some work */
    bool settling, ending;
    struct task watched; /* the thread's own, as the next */
    int watched_fd;
};

static void wake(int fd)
{
    while (eventfd_write(fd, 1) && errno == EINTR)
        ;
}

static void drain(int fd)
{
    eventfd_t count;
    eventfd_read(fd, &count);
}

/* The next work; false when the thread ends. ready: the watched descriptor is readable. */
static bool take(struct lab_thread *thread, bool ready, struct task *work)
{
    pthread_mutex_lock(&thread->lock);
    *work = thread->work;
    thread->work.function = NULL;
    if (thread->settling)
        thread->watched_fd = -1;
    else if (!work->function && ready)
        *work = thread->watched;
    thread->running = work->function != NULL;
    bool over = !work->function && thread->ending;
    pthread_mutex_unlock(&thread->lock);
    return !over;
}

static void finish(struct lab_thread *thread)
{
    pthread_mutex_lock(&thread->lock);
    thread->running = false;
    pthread_cond_broadcast(&thread->changed);
    pthread_mutex_unlock(&thread->lock);
}

static void *thread_main(void *context)
{
    struct lab_thread *thread = context;
    struct task work = {0};
    for (;;) {
        struct pollfd polled[] = {{.fd = thread->wake_fd, .events = POLLIN},
                                  {.fd = thread->watched_fd, .events = POLLIN}};
        poll(polled, 2, -1);
        drain(thread->wake_fd);
        if (!take(thread, polled[1].revents != 0, &work))
            return NULL;
        if (work.function) {
            work.function(work.context);
            finish(thread);
        }
    }
}

static void free_thread(struct lab_thread *thread)
{
    if (thread->wake_fd >= 0)
        close(thread->wake_fd);
    if (thread->call_fd >= 0)
        close(thread->call_fd);
    pthread_cond_destroy(&thread->changed);
    pthread_mutex_destroy(&thread->lock);
    free(thread);
}

int lab_thread_create(struct lab_thread **out, struct error *error)
{
    struct lab_thread *thread = memory_allocate_zeroed(1, sizeof(*thread));
    pthread_mutex_init(&thread->lock, NULL);
    pthread_cond_init(&thread->changed, NULL);
    thread->watched_fd = -1;
    thread->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    thread->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int code = thread->wake_fd < 0 || thread->call_fd < 0 ? errno : 0;
    if (!code)
        code = pthread_create(&thread->thread, NULL, thread_main, thread);
    if (code) {
        free_thread(thread);
        return error_set(error, -code, "the lab's thread: %s", strerror(code));
    }
    pthread_setname_np(thread->thread, "lab");
    *out = thread;
    return 0;
}

void lab_thread_begin(struct lab_thread *thread, lab_thread_function work, void *context)
{
    pthread_mutex_lock(&thread->lock);
    assert(!thread->work.function);
    thread->work = (struct task){work, context};
    pthread_mutex_unlock(&thread->lock);
    wake(thread->wake_fd);
}

int lab_thread_fd(const struct lab_thread *thread)
{
    return thread->call_fd;
}

bool lab_thread_waits(const struct lab_thread *thread)
{
    return atomic_load(&thread->waits);
}

bool lab_thread_serve(struct lab_thread *thread)
{
    drain(thread->call_fd);
    if (!lab_thread_waits(thread))
        return false;
    pthread_mutex_lock(&thread->lock);
    struct task call = thread->call;
    pthread_mutex_unlock(&thread->lock);
    call.function(call.context);
    pthread_mutex_lock(&thread->lock);
    thread->call.function = NULL;
    atomic_store(&thread->waits, false);
    pthread_cond_broadcast(&thread->changed);
    pthread_mutex_unlock(&thread->lock);
    return true;
}

void lab_thread_settle(struct lab_thread *thread)
{
    pthread_mutex_lock(&thread->lock);
    thread->settling = true;
    thread->work.function = NULL;
    pthread_cond_broadcast(&thread->changed);
    while (thread->running)
        pthread_cond_wait(&thread->changed, &thread->lock);
    pthread_mutex_unlock(&thread->lock);
}

void lab_thread_destroy(struct lab_thread *thread, lab_thread_function last, void *context)
{
    if (!thread)
        return;
    lab_thread_settle(thread);
    pthread_mutex_lock(&thread->lock);
    thread->work = (struct task){last, context};
    thread->ending = true;
    pthread_mutex_unlock(&thread->lock);
    wake(thread->wake_fd);
    pthread_mutex_lock(&thread->lock);
    while (thread->work.function || thread->running)
        pthread_cond_wait(&thread->changed, &thread->lock);
    pthread_mutex_unlock(&thread->lock);
    wake(thread->wake_fd); /* it may wait again */
    pthread_join(thread->thread, NULL);
    free_thread(thread);
}

bool lab_thread_ask(struct lab_thread *thread, lab_thread_function call, void *context)
{
    pthread_mutex_lock(&thread->lock);
    bool wanted = !thread->settling;
    if (wanted) {
        thread->call = (struct task){call, context};
        atomic_store(&thread->waits, true);
        wake(thread->call_fd);
    }
    while (thread->call.function && !thread->settling)
        pthread_cond_wait(&thread->changed, &thread->lock);
    bool taken = wanted && !thread->call.function;
    thread->call.function = NULL;
    atomic_store(&thread->waits, false);
    pthread_mutex_unlock(&thread->lock);
    return taken;
}

bool lab_thread_goes_on(struct lab_thread *thread)
{
    pthread_mutex_lock(&thread->lock);
    bool goes_on = !thread->settling;
    pthread_mutex_unlock(&thread->lock);
    return goes_on;
}

void lab_thread_watch(struct lab_thread *thread, int fd, lab_thread_function work, void *context)
{
    thread->watched = (struct task){work, context};
    thread->watched_fd = fd;
}
