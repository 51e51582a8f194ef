/* Fails one call of one function of a program that runs under it (failing.h).
 *
 * epoll_ctl fails for EPOLL_CTL_ADD alone, setsockopt not when it takes a filter off, and write not
 * on an eventfd: those can't fail. The calls that do an allocation's work inside glibc are not
 * seen, but its calls of malloc are. */
#include "tests/integration/preload/failing.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct failing_page *page;
static _Atomic bool is_eventfd[1024];

static void __attribute__((constructor)) begin(void)
{
    const char *path = getenv(FAILING_PAGE);
    if (!path)
        return;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        _exit(125);
    long mapped =
        syscall(SYS_mmap, NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, (long)fd, 0L);
    if (mapped < 0 && mapped > -4096)
        _exit(125);
    page = (struct failing_page *)(uintptr_t)mapped;
    syscall(SYS_close, fd);
}

static void note_caller(const void *caller)
{
    Dl_info info = {0};
    if (dladdr(caller, &info) && info.dli_fname)
        snprintf(page->where, sizeof(page->where), "%.96s+0x%lx", info.dli_fname,
                 (unsigned long)((uintptr_t)caller - (uintptr_t)info.dli_fbase));
}

/* Whether this call of the function is the one. */
static bool fails(enum failing_call call, int code, const void *caller)
{
    if (!page || !atomic_load(&page->armed))
        return false;
    uint64_t number = atomic_fetch_add(&page->seen[call], 1) + 1;
    if (atomic_load(&page->call) != (uint32_t)call || atomic_load(&page->at) != number)
        return false;
    atomic_store(&page->armed, 0); /* what note_caller calls does not count */
    note_caller(caller);
    atomic_fetch_add(&page->failed, 1);
    errno = code;
    return true;
}

static int code_of(enum failing_call call)
{
    static const int codes[] = {
#define FAILING_CODE(name, code) code,
        FAILING_CALLS(FAILING_CODE)
#undef FAILING_CODE
    };
    return codes[call];
}

#define FAILS(name) fails(FAILING_##name, code_of(FAILING_##name), __builtin_return_address(0))

#ifdef FAILING_ALLOCATIONS
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);

void *malloc(size_t size)
{
    return FAILS(malloc) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return FAILS(calloc) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *block, size_t size)
{
    return FAILS(realloc) ? NULL : __libc_realloc(block, size);
}
#endif

/* The next definition behind this one, looked up once. */
#define REAL(name)                                                                                 \
    ({                                                                                             \
        static __typeof__(name) *_Atomic real_;                                                    \
        if (!atomic_load(&real_))                                                                  \
            atomic_store(&real_, (__typeof__(name) *)(uintptr_t)dlsym(RTLD_NEXT, #name));          \
        atomic_load(&real_);                                                                       \
    })

#define FUNCTION(type, failure, name, parameters, arguments)                                       \
    type name parameters                                                                           \
    {                                                                                              \
        return FAILS(name) ? failure : REAL(name) arguments;                                       \
    }

FUNCTION(void *, MAP_FAILED, mmap,
         (void *address, size_t length, int protection, int flags, int fd, off_t offset),
         (address, length, protection, flags, fd, offset))
FUNCTION(int, -1, socket, (int domain, int type, int protocol), (domain, type, protocol))
FUNCTION(int, -1, accept4, (int fd, struct sockaddr *address, socklen_t *length, int flags),
         (fd, address, length, flags))
FUNCTION(int, -1, connect, (int fd, const struct sockaddr *address, socklen_t length),
         (fd, address, length))
FUNCTION(int, -1, bind, (int fd, const struct sockaddr *address, socklen_t length),
         (fd, address, length))
FUNCTION(int, -1, listen, (int fd, int backlog), (fd, backlog))
FUNCTION(int, -1, epoll_create1, (int flags), (flags))
FUNCTION(int, -1, signalfd, (int fd, const sigset_t *mask, int flags), (fd, mask, flags))
FUNCTION(int, -1, getsockopt, (int fd, int level, int name, void *value, socklen_t *length),
         (fd, level, name, value, length))
FUNCTION(int, -1, getsockname, (int fd, struct sockaddr *address, socklen_t *length),
         (fd, address, length))
FUNCTION(ssize_t, -1, recv, (int fd, void *buffer, size_t size, int flags),
         (fd, buffer, size, flags))
FUNCTION(ssize_t, -1, send, (int fd, const void *buffer, size_t size, int flags),
         (fd, buffer, size, flags))
FUNCTION(int, -1, recvmmsg,
         (int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout),
         (fd, messages, count, flags, timeout))
FUNCTION(int, -1, sendmmsg, (int fd, struct mmsghdr *messages, unsigned count, int flags),
         (fd, messages, count, flags))
FUNCTION(ssize_t, -1, sendmsg, (int fd, const struct msghdr *message, int flags),
         (fd, message, flags))
FUNCTION(int, -1, pipe2, (int fds[2], int flags), (fds, flags))
FUNCTION(ssize_t, -1, splice,
         (int from, off_t *from_offset, int to, off_t *to_offset, size_t length, unsigned flags),
         (from, from_offset, to, to_offset, length, flags))
FUNCTION(int, -1, mkdir, (const char *path, mode_t mode), (path, mode))
FUNCTION(int, ENOSPC, posix_fallocate, (int fd, off_t offset, off_t length), (fd, offset, length))
FUNCTION(int, EAGAIN, pthread_create,
         (pthread_t * thread, const pthread_attr_t *attributes, void *(*start)(void *),
          void *context),
         (thread, attributes, start, context))

int epoll_ctl(int epoll_fd, int operation, int fd, struct epoll_event *event)
{
    if (operation == EPOLL_CTL_ADD && FAILS(epoll_ctl))
        return -1;
    return REAL(epoll_ctl)(epoll_fd, operation, fd, event);
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t length)
{
    if (name != SO_DETACH_FILTER && FAILS(setsockopt))
        return -1;
    return REAL(setsockopt)(fd, level, name, value, length);
}

int eventfd(unsigned initial, int flags)
{
    if (FAILS(eventfd))
        return -1;
    int fd = REAL(eventfd)(initial, flags);
    if (fd >= 0 && (size_t)fd < sizeof(is_eventfd))
        atomic_store(&is_eventfd[fd], true);
    return fd;
}

ssize_t write(int fd, const void *bytes, size_t length)
{
    bool known = fd >= 0 && (size_t)fd < sizeof(is_eventfd) && atomic_load(&is_eventfd[fd]);
    if (!known && FAILS(write))
        return -1;
    return REAL(write)(fd, bytes, length);
}

int fcntl(int fd, int command, ...)
{
    va_list arguments;
    va_start(arguments, command);
    long argument = va_arg(arguments, long);
    va_end(arguments);
    if (FAILS(fcntl))
        return -1;
    return REAL(fcntl)(fd, command, argument);
}

int open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    if (FAILS(open))
        return -1;
    return REAL(open)(path, flags, mode);
}
