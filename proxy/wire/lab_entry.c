/* Theory of operation
 *
 * Namespaces are entered through a descriptor of the node's first process (pidfd), so that a pid
 * that was given to another process meanwhile is only a matter of the moment at which it is opened.
 * Whether this process is in the user namespace already is seen by the namespace's file: entering
 * one's own is refused by the kernel. */
#include "proxy/wire/lab_entry.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/capability.h>

static int open_node(pid_t pid, struct error *error)
{
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd >= 0)
        return pidfd;
    return error_set(error, -errno, "the node's first process (pid %d): %s", (int)pid,
                     strerror(errno));
}

/* 1 when this process is in the user namespace of pid, 0 when not. */
static int shares_user_namespace(pid_t pid, struct error *error)
{
    char path[64];
    struct stat own, node;
    snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
    if (stat("/proc/self/ns/user", &own))
        return error_set(error, -errno, "/proc/self/ns/user: %s", strerror(errno));
    if (stat(path, &node)) {
        int code = errno == ENOENT ? ESRCH : errno;
        return error_set(error, -code, "the node's namespaces (pid %d): %s%s", (int)pid,
                         strerror(code),
                         code == EACCES || code == EPERM ? " (the lab is another user's)" : "");
    }
    return own.st_dev == node.st_dev && own.st_ino == node.st_ino;
}

static int enter(pid_t pid, int namespaces, const char *what, struct error *error)
{
    int pidfd = open_node(pid, error);
    if (pidfd < 0)
        return pidfd;
    int result = setns(pidfd, namespaces) ? -errno : 0;
    close(pidfd);
    if (result == 0)
        return 0;
    const char *why = "";
    if (result == -EPERM)
        why = " (it is another user's lab, or needs root)";
    else if (result == -EINVAL)
        why = " (this process has several threads)";
    return error_set(error, result, "can't enter the node's %s: %s%s", what, strerror(-result),
                     why);
}

int lab_entry_join(pid_t pid, struct error *error)
{
    int shared = shares_user_namespace(pid, error);
    if (shared)
        return shared < 0 ? shared : 0;
    return enter(pid, CLONE_NEWUSER, "user namespace", error);
}

int lab_entry_use_network(pid_t pid, struct error *error)
{
    return enter(pid, CLONE_NEWNET, "network namespace", error);
}

int lab_entry_enter(pid_t pid, struct error *error)
{
    char directory[PATH_MAX];
    bool known = getcwd(directory, sizeof(directory)) != NULL;
    int result = enter(pid, CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC,
                       "namespaces", error);
    if (result || !known || chdir(directory) == 0)
        return result;
    return error_set(error, -errno, "the working directory %.300s, as the node sees it: %s",
                     directory, strerror(errno));
}

#define BIT(capability) (UINT64_C(1) << (capability))

static const uint64_t kept_of_user =
    BIT(CAP_NET_ADMIN) | BIT(CAP_NET_RAW) | BIT(CAP_NET_BIND_SERVICE);

struct sets {
    uint64_t effective, permitted, inheritable;
};

/* Version 3: two words for each set. */
static int get_sets(struct sets *sets)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct words[2];
    if (syscall(SYS_capget, &header, words))
        return -errno;
    sets->effective = words[0].effective | (uint64_t)words[1].effective << 32;
    sets->permitted = words[0].permitted | (uint64_t)words[1].permitted << 32;
    sets->inheritable = words[0].inheritable | (uint64_t)words[1].inheritable << 32;
    return 0;
}

static int put_sets(const struct sets *sets)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct words[2];
    for (int i = 0; i < 2; i++)
        words[i] = (struct __user_cap_data_struct){
            .effective = (uint32_t)(sets->effective >> (32 * i)),
            .permitted = (uint32_t)(sets->permitted >> (32 * i)),
            .inheritable = (uint32_t)(sets->inheritable >> (32 * i))};
    return syscall(SYS_capset, &header, words) ? -errno : 0;
}

/* What is not in `kept` no program gets back by exec, not even a set-uid one. */
static int bound(uint64_t kept)
{
    for (int capability = 0; capability < 64; capability++) {
        int there = prctl(PR_CAPBSET_READ, capability, 0, 0, 0);
        if (there < 0)
            return 0; /* the kernel knows no more */
        if (there && !(kept & BIT(capability)) && prctl(PR_CAPBSET_DROP, capability, 0, 0, 0))
            return -errno;
    }
    return 0;
}

/* Across exec an id other than 0 keeps what is ambient. */
static int make_ambient(uint64_t capabilities)
{
    for (int capability = 0; capability < 64; capability++)
        if (capabilities & BIT(capability) &&
            prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0))
            return -errno;
    return 0;
}

int lab_entry_limit(void)
{
    struct sets sets = {0};
    bool root = geteuid() == 0;
    uint64_t kept = root ? ~BIT(CAP_SYS_TIME) : kept_of_user;
    int result = get_sets(&sets);
    if (result || (result = bound(kept)))
        return result;
    sets.permitted &= kept;
    sets.effective = sets.permitted;
    sets.inheritable = root ? sets.inheritable & kept : sets.permitted;
    result = put_sets(&sets);
    return result || root ? result : make_ambient(sets.permitted);
}
