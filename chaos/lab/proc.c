#include "chaos/lab/proc.h"

#include <dirent.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proxy/base/monotonic.h"
#include "proxy/base/text.h"

enum { REAP_PAUSE_MS = 1 };

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

/* Calls fn for every process until it returns false. */
static void each_process(bool (*fn)(void *context, const struct proc_stat *stat), void *context)
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

/* ---- the tree -------------------------------------------------------------------------------- */

struct all {
    struct proc_stat *stats;
    size_t count;
};

static bool remember(void *context, const struct proc_stat *stat)
{
    struct all *all = context;
    if (stat->state == 'Z' || stat->state == 'X')
        return true;
    all->stats = memory_resize(all->stats, all->count + 1, sizeof(*all->stats));
    all->stats[all->count++] = *stat;
    return true;
}

/* Adds the children of `parent`, which is in the tree unless it is a root (top 0). */
static void add_children(const struct all *all, pid_t parent, pid_t top, struct proc_tree *tree)
{
    for (size_t i = 0; i < all->count; i++) {
        if (all->stats[i].parent != parent || tree->count == all->count)
            continue;
        tree->items[tree->count].stat = all->stats[i];
        tree->items[tree->count++].top = top ? top : all->stats[i].pid;
    }
}

void proc_read_tree(const pid_t *roots, size_t root_count, struct proc_tree *tree)
{
    struct all all = {0};
    *tree = (struct proc_tree){0};
    each_process(remember, &all);
    tree->items = memory_allocate_zeroed(all.count + 1, sizeof(*tree->items));
    for (size_t i = 0; i < root_count; i++) {
        if (roots[i] > 0) /* below 0 is the whole machine, which is nobody's to signal */
            add_children(&all, roots[i], 0, tree);
    }
    /* Breadth first: the children of each that was found, as the list grows. */
    for (size_t done = 0; done < tree->count; done++)
        add_children(&all, tree->items[done].stat.pid, tree->items[done].top, tree);
    free(all.stats);
}

void proc_tree_free(struct proc_tree *tree)
{
    free(tree->items);
    *tree = (struct proc_tree){0};
}

/* A parent in vfork sleeps uninterruptibly until its child execs; when the child is stopped before
 * that, the parent can't run either, and never shows T. */
bool proc_tree_is_stopped(const struct proc_tree *tree, size_t index)
{
    const struct proc_stat *stat = &tree->items[index].stat;
    bool stopped = stat->state == 'T';
    for (size_t i = index + 1; stat->state == 'D' && i < tree->count; i++)
        stopped |= tree->items[i].stat.parent == stat->pid && tree->items[i].stat.state == 'T';
    return stopped;
}

static bool signal_child(void *context, const struct proc_stat *stat)
{
    if (stat->parent == getpid() && stat->state != 'Z')
        kill(stat->pid, *(int *)context);
    return true;
}

void proc_signal_children(int number)
{
    each_process(signal_child, &number);
}

void proc_kill_children(uint64_t patience_ns)
{
    uint64_t deadline_ns = monotonic_now_ns() + patience_ns;
    /* A killed child may leave children of its own, which are then ours: until there are none. */
    for (;;) {
        proc_signal_children(SIGKILL);
        pid_t pid = waitpid(-1, NULL, WNOHANG);
        if ((pid < 0 && errno == ECHILD) || monotonic_now_ns() >= deadline_ns)
            return;
        if (pid == 0)
            poll(NULL, 0, REAP_PAUSE_MS);
    }
}

/* ---- one process ----------------------------------------------------------------------------- */

bool proc_maps(pid_t pid, const char *path)
{
    char name[64], *line = NULL, *real = realpath(path, NULL);
    size_t size = 0;
    bool found = false;
    snprintf(name, sizeof(name), "/proc/%d/maps", pid);
    FILE *file = fopen(name, "re");
    while (file && !found && getline(&line, &size, file) > 0) {
        line[strcspn(line, "\n")] = '\0';
        const char *mapped = strchr(line, '/');
        found = mapped && strcmp(mapped, real ? real : path) == 0;
    }
    if (file)
        fclose(file);
    free(line);
    free(real);
    return found;
}

void proc_each_socket(pid_t pid, proc_socket_fn fn, void *context)
{
    char path[64], target[64];
    unsigned inode;
    snprintf(path, sizeof(path), "/proc/%d/fd", pid);
    DIR *directory = opendir(path);
    if (!directory)
        return;
    for (struct dirent *entry; (entry = readdir(directory));) {
        ssize_t n = readlinkat(dirfd(directory), entry->d_name, target, sizeof(target) - 1);
        if (n < 0)
            continue;
        target[n] = '\0';
        if (sscanf(target, "socket:[%u]", &inode) == 1 && !fn(context, inode))
            break;
    }
    closedir(directory);
}

/* ---- connections ----------------------------------------------------------------------------- */

/* False for an IPv6 address that is neither v4-mapped nor ::. */
static bool take_address(uint8_t family, const uint32_t *words, uint32_t *address)
{
    bool six = family == AF_INET6;
    *address = ntohl(words[six ? 3 : 0]);
    return !six ||
           (!words[0] && !words[1] && (words[2] == htonl(0xffff) || (!words[2] && !words[3])));
}

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
        .local_port = ntohs(found->id.idiag_sport),
        .remote_port = ntohs(found->id.idiag_dport),
        .inode = found->idiag_inode,
    };
    if (!take_address(found->idiag_family, found->id.idiag_src, &connection.local) ||
        !take_address(found->idiag_family, found->id.idiag_dst, &connection.remote))
        return 1;
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

static int dump(uint8_t family, uint32_t states, proc_connection_fn fn, void *context)
{
    struct {
        struct nlmsghdr header;
        struct inet_diag_req_v2 request;
    } ask = {
        .header = {.nlmsg_len = sizeof(ask),
                   .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
        .request = {.sdiag_family = family, .sdiag_protocol = IPPROTO_TCP, .idiag_states = states},
    };
    _Alignas(struct nlmsghdr) char buffer[32 * 1024];
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (fd < 0)
        return -errno;
    int code = send(fd, &ask, sizeof(ask), 0) == (ssize_t)sizeof(ask) ? 1 : -errno;
    while (code == 1) {
        ssize_t n = recv(fd, buffer, sizeof(buffer), 0);
        code = n > 0 ? proc_parse_diag(buffer, (size_t)n, fn, context) : n == 0 ? 0 : -errno;
    }
    close(fd);
    return code;
}

struct both {
    proc_connection_fn fn;
    void *context;
    bool enough;
};

static bool pass_on(void *context, const struct proc_connection *connection)
{
    struct both *both = context;
    both->enough = !both->fn(both->context, connection);
    return !both->enough;
}

/* A kernel without IPv6 has nothing of it to say. */
static int dump_both(uint32_t states, proc_connection_fn fn, void *context)
{
    struct both both = {.fn = fn, .context = context};
    int code = dump(AF_INET, states, pass_on, &both);
    if (code < 0 || both.enough)
        return code;
    code = dump(AF_INET6, states, pass_on, &both);
    return code == -ENOENT || code == -EAFNOSUPPORT ? 0 : code;
}

int proc_each_connection(proc_connection_fn fn, void *context)
{
    return dump_both(1u << TCP_ESTABLISHED, fn, context);
}

int proc_each_listener(proc_connection_fn fn, void *context)
{
    return dump_both(1u << TCP_LISTEN, fn, context);
}
