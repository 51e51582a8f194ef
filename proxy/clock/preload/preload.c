/* Theory of operation: preloaded into the processes of a node, this library stands in for the libc
 * functions that tell the time. A call reads the real clock through the vDSO and adds what the
 * node's clock page says (clock_page.h): some 3 ns above the bare vDSO call, no system call; twice
 * that call and a little when the clock drifts, for it then wants the monotonic clock too.
 *
 * Start. The first call, or the constructor when nothing came before it, finds the vDSO and maps
 * the page. Two pointers are the only state, each set once by an atomic store: threads that come
 * at the same time each do the work and one result stays. A process without a usable page gets one
 * of true time, so that the fast path has no special case. Only raw system calls are made here:
 * libc's open is a cancellation point, which reading the clock must not be.
 *
 * Everything survives fork (the mapping is shared, the page is looked up in no table) and exec
 * (the environment names library and page). A page that appears after the start is not seen. */
#include "proxy/clock/preload/preload.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct clock_page true_time;
static _Atomic(const struct clock_page *) current_page;
static _Atomic(preload_clock_fn) real_clock;

static int call_kernel(clockid_t clock, struct timespec *time)
{
    int saved = errno;
    int code = syscall(SYS_clock_gettime, clock, time) ? -errno : 0;
    errno = saved;
    return code;
}

int preload_real_time(clockid_t clock, struct timespec *time)
{
    preload_clock_fn read = atomic_load_explicit(&real_clock, memory_order_acquire);
    if (__builtin_expect(!read, 0)) {
        read = preload_find_vdso_clock();
        if (!read)
            read = call_kernel;
        atomic_store_explicit(&real_clock, read, memory_order_release);
    }
    return read(clock, time);
}

/* Maps the page named by the environment. NULL with *reason when that can't be. */
static struct clock_page *map_page(const char *path, const char **reason)
{
    long fd = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
    if (fd < 0) {
        *reason = "can't open the page";
        return NULL;
    }
    struct stat status;
    void *mapped = MAP_FAILED;
    bool sized = fstat((int)fd, &status) == 0 && S_ISREG(status.st_mode) &&
                 status.st_size == CLOCK_PAGE_SIZE;
    if (sized)
        mapped = mmap(NULL, CLOCK_PAGE_SIZE, PROT_READ, MAP_SHARED, (int)fd, 0);
    syscall(SYS_close, fd);
    if (mapped == MAP_FAILED) {
        *reason = sized ? "can't map the page" : "the file is no clock page (size)";
        return NULL;
    }
    struct clock_page *page = mapped;
    if (atomic_load_explicit(&page->magic, memory_order_acquire) != CLOCK_PAGE_MAGIC) {
        munmap(page, CLOCK_PAGE_SIZE);
        *reason = "the file is no clock page (magic)";
        return NULL;
    }
    return page;
}

static void explain(const char *path, const char *reason)
{
    if (!getenv(CLOCK_DEBUG_ENVIRONMENT))
        return;
    char line[512] = "libsever-clock: true time: ";
    const char *parts[] = {reason, path ? ": " : "", path ? path : "", "\n"};
    size_t used = strlen(line);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        for (const char *p = parts[i]; *p && used < sizeof(line); p++)
            line[used++] = *p;
    line[used - 1] = '\n';
    (void)!syscall(SYS_write, STDERR_FILENO, line, used);
}

static const struct clock_page *start(void)
{
    if (!environ)
        return &true_time; /* before libc itself has started: ask again at the next call */
    int saved = errno;
    const char *reason = "SEVER_CLOCK_PAGE is not set";
    const char *path = getenv(CLOCK_PAGE_ENVIRONMENT);
    struct clock_page *mapped = path ? map_page(path, &reason) : NULL;
    const struct clock_page *expected = NULL;
    const struct clock_page *found = mapped ? mapped : &true_time;
    if (atomic_compare_exchange_strong(&current_page, &expected, found)) {
        if (!mapped)
            explain(path, reason);
    } else {
        if (mapped)
            munmap(mapped, CLOCK_PAGE_SIZE);
        found = expected;
    }
    errno = saved;
    return found;
}

const struct clock_page *preload_page(void)
{
    const struct clock_page *page = atomic_load_explicit(&current_page, memory_order_acquire);
    return __builtin_expect(page != NULL, 1) ? page : start();
}

static void __attribute__((constructor)) start_early(void)
{
    struct timespec ignored;
    preload_real_time(CLOCK_MONOTONIC, &ignored);
    preload_page();
}

bool preload_is_wall_clock(clockid_t clock)
{
    return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_TAI ||
           clock == CLOCK_REALTIME_ALARM;
}

void preload_add_ns(struct timespec *time, int64_t shift_ns)
{
    time->tv_sec += shift_ns / CLOCK_NS_PER_S;
    time->tv_nsec += shift_ns % CLOCK_NS_PER_S;
    if (time->tv_nsec >= CLOCK_NS_PER_S) {
        time->tv_nsec -= CLOCK_NS_PER_S;
        time->tv_sec++;
    } else if (time->tv_nsec < 0) {
        time->tv_nsec += CLOCK_NS_PER_S;
        time->tv_sec--;
    }
}
