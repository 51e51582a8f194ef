#include "tests/bench/lib/process.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/lib/load.h"

/* Reads a file of /proc/PID. False when the process is gone. */
static bool read_file(const char *pid, const char *name, char *text, size_t size)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%.16s/%s", pid, name);
    FILE *file = fopen(path, "r");
    if (!file)
        return false;
    size_t length = fread(text, 1, size - 1, file);
    text[length] = '\0';
    fclose(file);
    return length > 0;
}

struct process_stat {
    pid_t pid, parent;
    uint64_t ticks;
};

static bool read_stat(const char *pid, struct process_stat *stat)
{
    char text[1024];
    if (!read_file(pid, "stat", text, sizeof(text)))
        return false;
    char *at = strrchr(text, ')'); /* the name before it may hold anything */
    if (!at || strlen(at) < 4)
        return false;
    at += 3; /* behind ") S": field 4 is the parent, 14 and 15 the times */
    stat->pid = (pid_t)strtol(pid, NULL, 10);
    stat->parent = (pid_t)strtol(at, &at, 10);
    for (int field = 5; field < 14; field++)
        strtol(at, &at, 10);
    stat->ticks = strtoull(at, &at, 10);
    stat->ticks += strtoull(at, &at, 10);
    return true;
}

typedef void (*visit_fn)(const char *name, const struct process_stat *stat, uint64_t *sum);

static uint64_t sum_family(pid_t pid, visit_fn visit)
{
    uint64_t sum = 0;
    bool found = false;
    DIR *directory = opendir("/proc");
    if (!directory)
        load_fail("/proc");
    for (struct dirent *entry; (entry = readdir(directory));) {
        struct process_stat stat;
        if (entry->d_name[0] < '0' || entry->d_name[0] > '9' || !read_stat(entry->d_name, &stat) ||
            (stat.pid != pid && stat.parent != pid))
            continue;
        found = found || stat.pid == pid;
        visit(entry->d_name, &stat, &sum);
    }
    closedir(directory);
    errno = 0;
    if (!found)
        load_fail("the proxy is gone");
    return sum;
}

static void add_ticks(const char *name, const struct process_stat *stat, uint64_t *sum)
{
    (void)name;
    *sum += stat->ticks;
}

static void add_memory(const char *name, const struct process_stat *stat, uint64_t *sum)
{
    char text[4096];
    (void)stat;
    if (!read_file(name, "smaps_rollup", text, sizeof(text)))
        return;
    const char *line = strstr(text, "\nPss:");
    if (line)
        *sum += strtoull(line + strlen("\nPss:"), NULL, 10) * 1024;
}

double process_cpu_seconds(pid_t pid)
{
    return pid ? (double)sum_family(pid, add_ticks) / (double)sysconf(_SC_CLK_TCK) : 0.0;
}

uint64_t process_private_bytes(pid_t pid)
{
    return pid ? sum_family(pid, add_memory) : 0;
}
