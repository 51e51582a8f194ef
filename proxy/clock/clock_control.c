/* Theory of operation: the page is a file, because the processes of a node are not children of
 * severd and find it by name. It is never truncated and never shrunk: a process that has it mapped
 * would die of SIGBUS at its next clock read. So a page found at the path is taken over in place,
 * through the same lock as any other change. */
#include "proxy/clock/clock_control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static void store_copy(struct clock_page_copy *copy, const struct clock_shift *shift)
{
    atomic_store_explicit(&copy->offset_ns, shift->offset_ns, memory_order_release);
    atomic_store_explicit(&copy->drift_ppb, shift->drift_ppb, memory_order_release);
    atomic_store_explicit(&copy->base_mono_ns, shift->base_mono_ns, memory_order_release);
}

static void copy_over(struct clock_page_copy *to, const struct clock_page_copy *from)
{
    const struct clock_shift shift = {
        .offset_ns = atomic_load_explicit(&from->offset_ns, memory_order_relaxed),
        .drift_ppb = atomic_load_explicit(&from->drift_ppb, memory_order_relaxed),
        .base_mono_ns = atomic_load_explicit(&from->base_mono_ns, memory_order_relaxed),
    };
    store_copy(to, &shift);
}

/* A writer may have died anywhere in here. An odd sequence says that copy 0 may be half stored and
 * copy 1 is whole; an even one, the other way round: then copy 1 is made whole before anyone is
 * sent to it. */
static void write_shift(struct clock_page *page, const struct clock_shift *shift)
{
    uint32_t sequence = atomic_load_explicit(&page->sequence, memory_order_relaxed);
    if ((sequence & 1) == 0) {
        copy_over(&page->copies[1], &page->copies[0]);
        sequence++;
    }
    atomic_store_explicit(&page->sequence, sequence, memory_order_release);
    store_copy(&page->copies[0], shift);
    atomic_store_explicit(&page->sequence, sequence + 1, memory_order_release);
    store_copy(&page->copies[1], shift);
}

static int64_t add_saturated(int64_t a, int64_t b)
{
    int64_t sum;
    if (__builtin_add_overflow(a, b, &sum))
        return a < 0 ? INT64_MIN : INT64_MAX;
    return sum;
}

static int64_t subtract_saturated(int64_t a, int64_t b)
{
    int64_t difference;
    if (__builtin_sub_overflow(a, b, &difference))
        return a < 0 ? INT64_MIN : INT64_MAX;
    return difference;
}

void clock_page_set(struct clock_page *page, int64_t offset_ns, int64_t drift_ppb,
                    uint64_t now_mono_ns)
{
    if (drift_ppb > CLOCK_NS_PER_S)
        drift_ppb = CLOCK_NS_PER_S;
    if (drift_ppb < -CLOCK_NS_PER_S)
        drift_ppb = -CLOCK_NS_PER_S;
    int64_t asked_ns = atomic_load_explicit(&page->asked_offset_ns, memory_order_relaxed);
    struct clock_shift before = clock_page_read(page);
    bool true_time = offset_ns == 0 && drift_ppb == 0;
    if (asked_ns == offset_ns && before.drift_ppb == drift_ppb && !true_time)
        return;
    struct clock_shift next = {.drift_ppb = drift_ppb, .base_mono_ns = (int64_t)now_mono_ns};
    if (!true_time) {
        int64_t gained_ns =
            subtract_saturated(clock_shift_at(&before, next.base_mono_ns), asked_ns);
        next.offset_ns = add_saturated(offset_ns, gained_ns);
    }
    write_shift(page, &next);
    atomic_store_explicit(&page->asked_offset_ns, offset_ns, memory_order_relaxed);
}

/* New file, or a page of ours that is there already. *taken_over tells which. */
static int open_page(const char *path, bool *taken_over, struct error *error)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    *taken_over = fd < 0 && errno == EEXIST;
    if (*taken_over)
        fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return error_set_at(error, -errno, path, "can't make the clock page: %s", strerror(errno));
    struct stat status;
    if (fstat(fd, &status) == 0 && *taken_over &&
        (!S_ISREG(status.st_mode) || status.st_size != CLOCK_PAGE_SIZE)) {
        close(fd);
        return error_set_at(error, -EEXIST, path,
                            "something that is no clock page is there: remove it, or give severd "
                            "another --run-dir");
    }
    /* The umask must not keep the node's processes out. A page without its place on the disk would
     * be a SIGBUS at the first write, when the disk is full. */
    int code = fchmod(fd, 0644) ? -errno : -posix_fallocate(fd, 0, CLOCK_PAGE_SIZE);
    if (code) {
        close(fd);
        if (!*taken_over)
            unlink(path);
        return error_set_at(error, code, path, "can't make the clock page: %s", strerror(-code));
    }
    return fd;
}

int clock_page_create(const char *path, struct clock_page **page, struct error *error)
{
    bool taken_over;
    int fd = open_page(path, &taken_over, error);
    if (fd < 0)
        return fd;
    struct clock_page *mapped =
        mmap(NULL, CLOCK_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    int code = mapped == MAP_FAILED ? -errno : 0;
    close(fd);
    if (code) {
        if (!taken_over)
            unlink(path);
        return error_set_at(error, code, path, "can't map the clock page: %s", strerror(-code));
    }
    uint64_t magic = atomic_load_explicit(&mapped->magic, memory_order_acquire);
    if (taken_over && magic != 0 && magic != CLOCK_PAGE_MAGIC) {
        munmap(mapped, CLOCK_PAGE_SIZE);
        return error_set_at(error, -EEXIST, path,
                            "a clock page of another version is there: remove it");
    }
    clock_page_set(mapped, 0, 0, 0);
    atomic_store_explicit(&mapped->magic, CLOCK_PAGE_MAGIC, memory_order_release);
    *page = mapped;
    return 0;
}

void clock_page_destroy(struct clock_page *page, const char *path)
{
    if (!page)
        return;
    clock_page_set(page, 0, 0, 0);
    munmap(page, CLOCK_PAGE_SIZE);
    if (path)
        unlink(path);
}
