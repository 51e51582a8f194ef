/* Theory of operation
 *
 * A file can only be mounted somewhere when it is on a file system that is mounted somewhere. So a
 * tmpfs is mounted over /proc, which is there on every system, for as long as it takes to mount one
 * of its files over /etc/hosts; that mount keeps the tmpfs alive afterwards. */
#include "proxy/lab/hosts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define STAGE "/proc"
#define STAGED STAGE "/hosts"
#define TARGET "/etc/hosts"

static int mount_staged(int *fd, struct error *error)
{
    *fd = open(STAGED, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (*fd < 0 || fchmod(*fd, 0644)) /* whatever the umask */
        return error_set(error, -errno, "a hosts file in memory: %s", strerror(errno));
    if (mount(STAGED, TARGET, NULL, MS_BIND, NULL) == 0)
        return 0;
    if (errno == ENOENT)
        return error_set(error, -ENOENT,
                         "there is no " TARGET " for the lab's to be mounted over: make an empty "
                         "one");
    return error_set(error, -errno, "mount over " TARGET ": %s", strerror(errno));
}

int hosts_mount(int *fd, struct error *error)
{
    *fd = -1;
    if (mount("tmpfs", STAGE, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=1m,mode=755"))
        return error_set(error, -errno, "mount of a tmpfs: %s", strerror(errno));
    int result = mount_staged(fd, error);
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
