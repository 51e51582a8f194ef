#include "chaos/lab/proc.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

bool proc_parse_stat(const char *text, struct proc_stat *stat)
{
    struct proc_stat found = {0};
    const char *name_end = strrchr(text, ')');
    if (!name_end)
        return false;
    if (sscanf(text, "%d (", &found.pid) != 1)
        return false;
    if (sscanf(name_end, ") %c %d %d", &found.state, &found.parent, &found.group) != 3)
        return false;
    *stat = found;
    return true;
}

bool proc_parse_tcp_line(const char *line, struct proc_connection *connection)
{
    unsigned local, remote, local_port, remote_port, state;
    if (sscanf(line, " %*u: %8x:%4x %8x:%4x %2x", &local, &local_port, &remote, &remote_port,
               &state) != 5)
        return false;
    /* The kernel prints the address as it lies in memory, as one number of this machine. */
    *connection = (struct proc_connection){
        .local = ntohl(local),
        .remote = ntohl(remote),
        .local_port = (uint16_t)local_port,
        .remote_port = (uint16_t)remote_port,
        .state = state,
    };
    return true;
}

static bool read_stat(const char *pid, struct proc_stat *stat)
{
    char path[64], text[512];
    snprintf(path, sizeof(path), "/proc/%.20s/stat", pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    size_t n = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[n] = '\0';
    return proc_parse_stat(text, stat);
}

void proc_each(proc_fn fn, void *context)
{
    DIR *directory = opendir("/proc");
    if (!directory)
        return;
    for (struct dirent *entry; (entry = readdir(directory));) {
        struct proc_stat stat;
        if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
            continue;
        if (read_stat(entry->d_name, &stat) && !fn(context, &stat))
            break;
    }
    closedir(directory);
}

struct group_look {
    pid_t group;
    bool alive, running;
    const char *path;
    pid_t mapper;
};

static bool look_at_state(void *context, const struct proc_stat *stat)
{
    struct group_look *look = context;
    if (stat->group == look->group && stat->state != 'Z' && stat->state != 'X') {
        look->alive = true;
        look->running |= stat->state != 'T';
    }
    return true;
}

bool proc_group_is_stopped(pid_t group)
{
    struct group_look look = {.group = group};
    proc_each(look_at_state, &look);
    return look.alive && !look.running;
}

bool proc_group_is_alive(pid_t group)
{
    struct group_look look = {.group = group};
    proc_each(look_at_state, &look);
    return look.alive;
}

static bool look_at_maps(void *context, const struct proc_stat *stat)
{
    struct group_look *look = context;
    if (stat->group != look->group)
        return true;
    char name[64], *line = NULL;
    size_t size = 0;
    snprintf(name, sizeof(name), "/proc/%d/maps", stat->pid);
    FILE *file = fopen(name, "re");
    if (!file)
        return true;
    while (look->mapper == 0 && getline(&line, &size, file) > 0) {
        line[strcspn(line, "\n")] = '\0';
        const char *path = strchr(line, '/');
        if (path && strcmp(path, look->path) == 0)
            look->mapper = stat->pid;
    }
    free(line);
    fclose(file);
    return look->mapper == 0;
}

bool proc_group_maps(pid_t group, const char *path, pid_t *pid)
{
    char *real = realpath(path, NULL);
    struct group_look look = {.group = group, .path = real ? real : path};
    proc_each(look_at_maps, &look);
    free(real);
    *pid = look.mapper;
    return look.mapper != 0;
}

static bool kill_child(void *context, const struct proc_stat *stat)
{
    (void)context;
    if (stat->parent == getpid() && stat->state != 'Z')
        kill(stat->pid, SIGKILL);
    return true;
}

void proc_kill_children(void)
{
    /* A killed child may leave children of its own, which are then ours: until there are none. */
    for (;;) {
        proc_each(kill_child, NULL);
        pid_t pid = waitpid(-1, NULL, 0);
        if (pid < 0 && errno == ECHILD)
            return;
    }
}

void proc_each_connection(proc_connection_fn fn, void *context)
{
    char *line = NULL;
    size_t size = 0;
    FILE *file = fopen("/proc/net/tcp", "re");
    if (!file)
        return;
    while (getline(&line, &size, file) > 0) {
        struct proc_connection connection;
        if (proc_parse_tcp_line(line, &connection) && connection.state == 1 &&
            !fn(context, &connection))
            break;
    }
    free(line);
    fclose(file);
}
