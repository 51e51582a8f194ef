#include "proxy/lab/namespaces.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

/* Whether a setting is there and has this value. */
static bool setting_is(const char *path, char value)
{
    char first = '\0';
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool is = read(fd, &first, 1) == 1 && first == value;
    close(fd);
    return is;
}

/* Settings by which systems keep ordinary users from namespaces. */
static const char *find_advice(int code)
{
    if (code == -ENOSPC)
        return "the limits user.max_user_namespaces, max_net_namespaces and max_mnt_namespaces "
               "(sysctl) are reached or 0: raise them, or run severd as root";
    if (setting_is("/proc/sys/kernel/unprivileged_userns_clone", '0'))
        return "ordinary users have none here: sysctl kernel.unprivileged_userns_clone=1, or run "
               "severd as root";
    if (setting_is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", '1'))
        return "AppArmor keeps ordinary users from using them: sysctl "
               "kernel.apparmor_restrict_unprivileged_userns=0, or run severd as root";
    return "run severd as root; in a container, with the capability SYS_ADMIN and a seccomp "
           "profile that allows unshare and mount";
}

static int refuse(int code, const char *what, struct error *error)
{
    return error_set(error, code, "the kernel refuses %s (%s): %s", what, strerror(-code),
                     find_advice(code));
}

static int write_file(const char *path, const char *value)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int result = write(fd, value, strlen(value)) < 0 ? -errno : 0;
    close(fd);
    return result;
}

/* An id map may be written without privilege when it is one's own id alone, and nobody can leave a
 * group by it. */
static int map_ids(unsigned uid, unsigned gid)
{
    char map[64];
    snprintf(map, sizeof(map), "%u %u 1", uid, uid);
    int result = write_file("/proc/self/uid_map", map);
    if (result == 0)
        result = write_file("/proc/self/setgroups", "deny");
    snprintf(map, sizeof(map), "%u %u 1", gid, gid);
    return result ? result : write_file("/proc/self/gid_map", map);
}

static int enter_user_namespace(struct error *error)
{
    unsigned uid = geteuid(), gid = getegid();
    if (unshare(CLONE_NEWUSER))
        return refuse(-errno, "a user namespace", error);
    int result = map_ids(uid, gid);
    if (result)
        return refuse(result, "an id map of a user namespace", error);
    if (unshare(CLONE_NEWNET | CLONE_NEWNS))
        return refuse(-errno, "network and mount namespaces in a user namespace", error);
    return 0;
}

int namespaces_enter(bool *user_namespace, struct error *error)
{
    *user_namespace = false;
    if (unshare(CLONE_NEWNET | CLONE_NEWNS)) {
        if (errno != EPERM)
            return refuse(-errno, "network and mount namespaces", error);
        *user_namespace = true;
        int result = enter_user_namespace(error);
        if (result)
            return result;
    }
    /* What is unmounted outside later goes here, too: a lab holds no disk. */
    if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL))
        return refuse(-errno, "mounts of its own", error);
    return 0;
}
