/* Limits, memory, time. */
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "proxy/base/monotonic.h"
#include "proxy/clock/clock_control.h"
#include "proxy/daemon/doctor_probes.h"
#include "proxy/io/descriptors.h"
#include "proxy/io/loop.h"

enum {
    CONNECTIONS_MAX = 8192, /* of a worker */
    CONNECTIONS_FEW = 260,  /* less, as of 1024 files, is a limit that people meet */
    TIMERS = 50,
    LATENESS_FINE_NS = 500000, /* half of all timers */
    READINGS = 1000,
    READING_FINE_NS = 250, /* a system call takes more */
    MEBIBYTE = 1 << 20,
    MEMORY_LEAST_MIB = 64, /* of a worker; its pool grows with what is on its way */
};

bool doctor_open_files(const struct doctor *doctor, char *found)
{
    struct rlimit limit = {0};
    struct descriptors descriptors; /* as the workers have them */
    getrlimit(RLIMIT_NOFILE, &limit);
    descriptors_open(&descriptors);
    uint64_t connections = (uint64_t)atomic_load(&descriptors.left) / 2;
    uint64_t most = (uint64_t)doctor->options->workers * CONNECTIONS_MAX;
    snprintf(found, API_CHECK_FOUND_MAX, "%" PRIu64 ": %" PRIu64 " connections of %" PRIu64,
             (uint64_t)limit.rlim_cur, connections < most ? connections : most, most);
    return connections >= CONNECTIONS_FEW;
}

/* The first number after `key` in a file, or of the file when key is "". False when there is none.
 */
static bool read_number(const char *path, const char *key, uint64_t *value)
{
    char content[4096], *end;
    FILE *file = fopen(path, "re");
    size_t length = file ? fread(content, 1, sizeof(content) - 1, file) : 0;
    if (file)
        fclose(file);
    content[length] = '\0';
    const char *place = strstr(content, key);
    if (!place)
        return false;
    place += strlen(key);
    *value = strtoull(place, &end, 10);
    return end != place;
}

/* What may still be taken: of the machine, and of the control group if that has a bound. */
bool doctor_memory(const struct doctor *doctor, char *found)
{
    uint64_t available_kib = 0, policy = 0, most, used;
    uint64_t pools = doctor->options->workers * doctor->options->pool_bytes;
    read_number("/proc/meminfo", "MemAvailable:", &available_kib);
    read_number("/proc/sys/vm/overcommit_memory", "", &policy);
    uint64_t available = available_kib * 1024;
    if (read_number("/sys/fs/cgroup/memory.max", "", &most) &&
        read_number("/sys/fs/cgroup/memory.current", "", &used)) {
        uint64_t left = most > used ? most - used : 0;
        available = left < available ? left : available;
    }
    snprintf(found, API_CHECK_FOUND_MAX, "%" PRIu64 " MiB available, pools up to %" PRIu64 " MiB%s",
             available / MEBIBYTE, pools / MEBIBYTE,
             policy == 2 ? ", and the kernel never overcommits" : "");
    uint64_t least = doctor->options->workers * (uint64_t)MEMORY_LEAST_MIB * MEBIBYTE;
    return available >= (pools < least ? pools : least);
}

bool doctor_cores(const struct doctor *doctor, char *found)
{
    cpu_set_t set;
    unsigned cores = sched_getaffinity(0, sizeof(set), &set) ? 1 : (unsigned)CPU_COUNT(&set);
    unsigned workers = doctor->options->workers;
    snprintf(found, API_CHECK_FOUND_MAX, "%u core%s, %u worker%s", cores, cores == 1 ? "" : "s",
             workers, workers == 1 ? "" : "s");
    return workers <= cores;
}

bool doctor_epoll(const struct doctor *doctor, char *found)
{
    struct epoll_event event;
    struct timespec none = {0};
    int fd = epoll_create1(EPOLL_CLOEXEC);
    int result = epoll_pwait2(fd, &event, 1, &none, NULL) < 0 ? -errno : 0;
    (void)doctor;
    if (fd >= 0)
        close(fd);
    return doctor_tell(found, result ? "refused" : "there", result);
}

/* As the loop sets it, on this thread, and back. */
bool doctor_timer_slack(const struct doctor *doctor, char *found)
{
    int before = prctl(PR_GET_TIMERSLACK);
    prctl(PR_SET_TIMERSLACK, 1UL);
    int slack_ns = prctl(PR_GET_TIMERSLACK);
    (void)doctor;
    if (before > 0)
        prctl(PR_SET_TIMERSLACK, (unsigned long)before);
    snprintf(found, API_CHECK_FOUND_MAX, "%d ns", slack_ns);
    return slack_ns <= 1; /* 0: a real-time thread */
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void ignore_timer(struct loop_timer *timer)
{
    (void)timer;
}

/* How late the timers of delays run, at 1 ms each; the first half shows the loop how early to wake.
 */
bool doctor_timer_lateness(const struct doctor *doctor, char *found)
{
    uint64_t late_ns[TIMERS];
    struct loop_timer timer = {.fn = ignore_timer, .precise = true};
    struct loop *loop;
    (void)doctor;
    int result = loop_create(&loop, NULL);
    if (result)
        return doctor_tell(found, "no loop", result);
    for (int i = 0; i < 2 * TIMERS; i++) {
        uint64_t due_ns = monotonic_now_ns() + NS_PER_MS;
        loop_timer_set(loop, &timer, due_ns);
        while (timer.loop && result == 0)
            result = loop_turn(loop, UINT64_MAX);
        late_ns[i % TIMERS] = loop_now_ns(loop) > due_ns ? loop_now_ns(loop) - due_ns : 0;
    }
    loop_destroy(loop);
    qsort(late_ns, TIMERS, sizeof(late_ns[0]), compare_u64);
    snprintf(found, API_CHECK_FOUND_MAX, "p50 %" PRIu64 " us, p99 %" PRIu64 " us of %d",
             late_ns[TIMERS / 2] / NS_PER_US, late_ns[TIMERS * 99 / 100] / NS_PER_US, TIMERS);
    return result == 0 && late_ns[TIMERS / 2] <= LATENESS_FINE_NS;
}

bool doctor_clock_library(const struct doctor *doctor, char *found)
{
    const char *library = doctor->options->clock_library;
    if (!library[0])
        return doctor_tell(found, "not found", 0) && false;
    return doctor_tell(found, library, access(library, R_OK) ? -errno : 0);
}

/* A page like any node's; no node has a blank in its name. */
bool doctor_clock_page(const struct doctor *doctor, char *found)
{
    char path[API_CHECK_FOUND_MAX * 8];
    struct clock_page *page;
    snprintf(path, sizeof(path), "%s/doctor %d.clock", doctor->options->directory, (int)getpid());
    int result = clock_page_create(path, &page, NULL);
    if (result == 0)
        clock_page_destroy(page, path);
    return doctor_tell(found, doctor->options->directory, result);
}

static void read_word(const char *path, char *word, size_t size)
{
    FILE *file = fopen(path, "re");
    if (!file || !fgets(word, (int)size, file))
        snprintf(word, size, "unknown");
    word[strcspn(word, "\n")] = '\0';
    if (file)
        fclose(file);
}

bool doctor_clock_reading(const struct doctor *doctor, char *found)
{
    char source[32];
    bool vdso = getauxval(AT_SYSINFO_EHDR) != 0;
    uint64_t begin_ns = monotonic_now_ns();
    (void)doctor;
    for (int i = 1; i < READINGS; i++)
        monotonic_now_ns();
    uint64_t each_ns = (monotonic_now_ns() - begin_ns) / READINGS;
    read_word("/sys/devices/system/clocksource/clocksource0/current_clocksource", source,
              sizeof(source));
    snprintf(found, API_CHECK_FOUND_MAX, "%" PRIu64 " ns, %s vDSO, clock source %s", each_ns,
             vdso ? "by" : "no", source);
    return vdso && each_ns <= READING_FINE_NS;
}
