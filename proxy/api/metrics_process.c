/* process_* of GET /metrics, read from /proc/self. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "proxy/api/metrics.h"

enum { STAT_UTIME = 11, STAT_STIME = 12, STAT_START = 19, STAT_VSIZE = 20, STAT_RSS = 21 };

static void tell(struct text *page, const char *name, const char *type, const char *help,
                 double value)
{
    text_append(page, "# HELP process_%s %s\n# TYPE process_%s %s\nprocess_%s %.*f\n", name, help,
                name, type, name, value == (double)(uint64_t)value ? 0 : 2, value);
}

/* Up to size - 1 bytes of a small file; "" when it can't be read. */
static void read_file(const char *path, char *buffer, size_t size)
{
    FILE *file = fopen(path, "re");
    size_t got = file ? fread(buffer, 1, size - 1, file) : 0;
    buffer[got] = '\0';
    if (file)
        fclose(file);
}

/* Field `index` of /proc/self/stat, counted from the one after the program's name, which may have
 * anything in it. */
static uint64_t stat_field(const char *stat, unsigned index)
{
    const char *at = strrchr(stat, ')');
    for (unsigned i = 0; at && i <= index; i++)
        at = strchr(at + 1, ' ');
    return at ? strtoull(at + 1, NULL, 10) : 0;
}

/* When the machine started, seconds since 1970; 0 when unknown. */
static double boot_time(void)
{
    char line[256];
    unsigned long long seconds = 0;
    FILE *file = fopen("/proc/stat", "re");
    while (file && fgets(line, sizeof(line), file))
        if (sscanf(line, "btime %llu", &seconds) == 1)
            break;
    if (file)
        fclose(file);
    return (double)seconds;
}

static unsigned count_descriptors(void)
{
    unsigned count = 0;
    DIR *directory = opendir("/proc/self/fd");
    while (directory && readdir(directory))
        count++;
    if (directory)
        closedir(directory);
    return count > 3 ? count - 3 : 0; /* ".", "..", and the directory's own */
}

static void tell_descriptors(struct text *page)
{
    struct rlimit limit;
    tell(page, "open_fds", "gauge", "Number of open file descriptors.", count_descriptors());
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        tell(page, "max_fds", "gauge", "Maximum number of open file descriptors.",
             (double)limit.rlim_cur);
}

void metrics_tell_process(struct text *page)
{
    char stat[1024];
    double ticks = (double)sysconf(_SC_CLK_TCK), boot = boot_time();
    read_file("/proc/self/stat", stat, sizeof(stat));
    if (stat[0] && ticks > 0) {
        uint64_t cpu = stat_field(stat, STAT_UTIME) + stat_field(stat, STAT_STIME);
        tell(page, "cpu_seconds_total", "counter",
             "Total user and system CPU time spent in seconds.", (double)cpu / ticks);
        tell(page, "virtual_memory_bytes", "gauge", "Virtual memory size in bytes.",
             (double)stat_field(stat, STAT_VSIZE));
        tell(page, "resident_memory_bytes", "gauge", "Resident memory size in bytes.",
             (double)stat_field(stat, STAT_RSS) * (double)sysconf(_SC_PAGESIZE));
        if (boot > 0)
            tell(page, "start_time_seconds", "gauge",
                 "Start time of the process since unix epoch in seconds.",
                 boot + (double)stat_field(stat, STAT_START) / ticks);
    }
    tell_descriptors(page);
}
