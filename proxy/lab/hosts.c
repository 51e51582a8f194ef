/* Theory of operation
 *
 * A file can only be mounted somewhere when it is on a file system that is mounted somewhere. So a
 * tmpfs is mounted over /proc, which is there on every system, for as long as it takes to mount one
 * of its files over /etc/hosts; that mount keeps the tmpfs alive afterwards. All nodes have the
 * same file: it is read-only for them, and written through the descriptor from before.
 *
 * Where names are looked up elsewhere first (systemd's resolver runs on the host, and answers that
 * there is no such name) nobody would read the file: there a copy of /etc/nsswitch.conf that says
 * "files" first is mounted in the same way. */
#include "proxy/lab/hosts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define STAGE "/proc"
enum { SWITCH_BYTES_MAX = 65536 };

/* The line that says where host names are looked up. NULL when there is none. */
static const char *find_hosts_line(const char *text)
{
    while (text && strncmp(text, "hosts:", 6) != 0) {
        text = strchr(text, '\n');
        text = text ? text + 1 : NULL;
    }
    return text;
}

bool hosts_fix_switch(const char *text, struct text *fixed)
{
    const char *line = find_hosts_line(text);
    if (!line)
        return false;
    const char *first = line + 6 + strspn(line + 6, " \t");
    size_t length = strcspn(first, " \t\n");
    if (length == 5 && memcmp(first, "files", length) == 0)
        return false;
    text_append_bytes(fixed, text, (size_t)(line - text));
    text_append(fixed, "hosts: files dns");
    text_append(fixed, "%s", line + strcspn(line, "\n"));
    return true;
}

/* A file of the tmpfs over one of the host's. Returns it, open. */
static int mount_file(const char *staged, const char *target, struct error *error)
{
    int fd = open(staged, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        return error_set(error, -errno, "a file in memory: %s", strerror(errno));
    const unsigned long read_only =
        MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;
    int result = fchmod(fd, 0644) /* whatever the umask */ ||
                         mount(staged, target, NULL, MS_BIND, NULL) ||
                         mount(NULL, target, NULL, read_only, NULL)
                     ? -errno
                     : 0;
    if (result == 0)
        return fd;
    close(fd);
    if (result == -ENOENT)
        return error_set(error, result,
                         "there is no %s for the lab's to be mounted over: make an empty one",
                         target);
    return error_set(error, result, "mount over %s: %s", target, strerror(-result));
}

static int mount_switch(struct error *error)
{
    static char text[SWITCH_BYTES_MAX];
    struct text fixed = {0};
    int result = 0, fd = open(HOSTS_SWITCH, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0; /* the default of the C library is fine */
    ssize_t length = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[length > 0 ? length : 0] = '\0';
    if (hosts_fix_switch(text, &fixed)) {
        fd = mount_file(STAGE "/nsswitch.conf", HOSTS_SWITCH, error);
        result = fd < 0 ? fd : hosts_write(fd, &fixed, error);
        if (fd >= 0)
            close(fd);
    }
    text_free(&fixed);
    return result;
}

int hosts_mount(int *fd, struct error *error)
{
    *fd = -1;
    if (mount("tmpfs", STAGE, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=1m,mode=755"))
        return error_set(error, -errno, "mount of a tmpfs: %s", strerror(errno));
    *fd = mount_file(STAGE "/hosts", "/etc/hosts", error);
    int result = *fd < 0 ? *fd : mount_switch(error);
    if (umount2(STAGE, MNT_DETACH) && result == 0)
        result = error_set(error, -errno, "unmount of " STAGE ": %s", strerror(errno));
    if (result && *fd >= 0) {
        close(*fd);
        *fd = -1;
    }
    return result;
}

void hosts_append_local(struct text *text)
{
    text_append(text, "127.0.0.1 localhost\n"
                      "::1 localhost ip6-localhost ip6-loopback\n");
}

void hosts_append(struct text *text, const struct address *address, const char *name)
{
    char host[INET6_ADDRSTRLEN] = "";
    uint8_t bytes[16];
    if (address_get_ipv4(address, bytes))
        inet_ntop(AF_INET, bytes, host, sizeof(host));
    else if (address_get_ipv6(address, bytes))
        inet_ntop(AF_INET6, bytes, host, sizeof(host));
    text_append(text, "%s %s\n", host, name);
}

int hosts_write(int fd, const struct text *text, struct error *error)
{
    if (pwrite(fd, text_get(text), text->length, 0) != (ssize_t)text->length)
        return error_set(error, -ENOSPC, "the lab's hosts file takes no more");
    if (ftruncate(fd, (off_t)text->length))
        return error_set(error, -errno, "the lab's hosts file: %s", strerror(errno));
    return 0;
}
