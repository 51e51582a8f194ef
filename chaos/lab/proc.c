#include "chaos/lab/proc.h"

#include <dirent.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
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

struct child_look {
    pid_t parent;
    bool stopped;
};

static bool look_for_stopped_child(void *context, const struct proc_stat *stat)
{
    struct child_look *look = context;
    look->stopped |= stat->parent == look->parent && stat->state == 'T';
    return !look->stopped;
}

/* A parent in vfork sleeps uninterruptibly until its child execs; when the child is stopped before
 * that, the parent can't run either, and never shows T. */
static bool is_stopped(const struct proc_stat *stat)
{
    struct child_look look = {.parent = stat->pid};
    if (stat->state == 'D')
        proc_each(look_for_stopped_child, &look);
    return stat->state == 'T' || look.stopped;
}

static bool look_at_state(void *context, const struct proc_stat *stat)
{
    struct group_look *look = context;
    if (stat->group == look->group && stat->state != 'Z' && stat->state != 'X') {
        look->alive = true;
        look->running |= !is_stopped(stat);
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

/* ---- connections ----------------------------------------------------------------------------- */

/* One message: 1 go on, 0 over, negative errno. */
static int take_message(const struct nlmsghdr *message, proc_connection_fn fn, void *context)
{
    const void *payload = (const char *)message + NLMSG_HDRLEN;
    const struct inet_diag_msg *found = payload;
    const struct nlmsgerr *refusal = payload;
    if (message->nlmsg_type == NLMSG_DONE)
        return 0;
    if (message->nlmsg_type == NLMSG_ERROR)
        return message->nlmsg_len >= NLMSG_LENGTH(sizeof(*refusal)) && refusal->error < 0
                   ? refusal->error
                   : -EBADMSG;
    if (message->nlmsg_type != SOCK_DIAG_BY_FAMILY ||
        message->nlmsg_len < NLMSG_LENGTH(sizeof(*found)))
        return -EBADMSG;
    struct proc_connection connection = {
        .local = ntohl(found->id.idiag_src[0]),
        .remote = ntohl(found->id.idiag_dst[0]),
        .local_port = ntohs(found->id.idiag_sport),
        .remote_port = ntohs(found->id.idiag_dport),
    };
    return fn(context, &connection);
}

int proc_parse_diag(const void *datagram, size_t length, proc_connection_fn fn, void *context)
{
    const char *at = datagram;
    int code = 1;
    while (code == 1 && length > 0) {
        const struct nlmsghdr *message = (const void *)at;
        if (length < sizeof(*message) || message->nlmsg_len < sizeof(*message) ||
            message->nlmsg_len > length)
            return -EBADMSG;
        code = take_message(message, fn, context);
        size_t step = NLMSG_ALIGN(message->nlmsg_len);
        step = step < length ? step : length;
        at += step;
        length -= step;
    }
    return code;
}

int proc_each_connection(proc_connection_fn fn, void *context)
{
    struct {
        struct nlmsghdr header;
        struct inet_diag_req_v2 request;
    } dump = {
        .header = {.nlmsg_len = sizeof(dump),
                   .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
        .request = {.sdiag_family = AF_INET,
                    .sdiag_protocol = IPPROTO_TCP,
                    .idiag_states = 1u << TCP_ESTABLISHED},
    };
    _Alignas(struct nlmsghdr) char buffer[32 * 1024];
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (fd < 0)
        return -errno;
    int code = send(fd, &dump, sizeof(dump), 0) == (ssize_t)sizeof(dump) ? 1 : -errno;
    while (code == 1) {
        ssize_t n = recv(fd, buffer, sizeof(buffer), 0);
        code = n > 0 ? proc_parse_diag(buffer, (size_t)n, fn, context) : n == 0 ? 0 : -errno;
    }
    close(fd);
    return code;
}
