#include "proxy/io/socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/sockios.h>

enum { LISTEN_BACKLOG = 4096 };

static int fail(int fd, const char *what, const struct address *address, struct error *error)
{
    int code = -errno;
    char text[ADDRESS_TEXT_MAX];
    if (fd >= 0)
        close(fd);
    return error_set(error, code, "%s %s: %s", what, address_format(address, text),
                     strerror(-code));
}

static int open_bound(const struct address *address, int type, bool share_port,
                      struct address *bound, struct error *error)
{
    int on = 1;
    int family = address->storage.ss_family;
    int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fail(fd, "socket for", address, error);
    if (family != AF_UNIX && type == SOCK_STREAM)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (share_port && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)))
        return fail(fd, "SO_REUSEPORT on", address, error);
    if (bind(fd, (const struct sockaddr *)&address->storage, address->length))
        return fail(fd, "listen on", address, error);
    if (bound) {
        bound->length = sizeof(bound->storage);
        if (getsockname(fd, (struct sockaddr *)&bound->storage, &bound->length))
            return fail(fd, "getsockname of", address, error);
    }
    return fd;
}

/* A port that the kernel chose belongs to the socket only while it listens, and socket_refuse would
 * lose it; one that was asked for by number stays. So the port is chosen by a socket that holds it
 * until the real one has asked for it. */
static int open_listener(const struct address *address, bool share_port, struct address *bound,
                         struct error *error)
{
    struct address chosen = {0};
    if (address->storage.ss_family == AF_UNIX || address_port(address) != 0)
        return open_bound(address, SOCK_STREAM, share_port, bound, error);
    int holder = open_bound(address, SOCK_STREAM, share_port, &chosen, error);
    if (holder < 0)
        return holder;
    int fd = open_bound(&chosen, SOCK_STREAM, share_port, bound, error);
    close(holder);
    return fd;
}

int socket_listen(const struct address *address, bool share_port, struct address *bound,
                  struct error *error)
{
    int fd = open_listener(address, share_port, bound, error);
    if (fd >= 0 && listen(fd, LISTEN_BACKLOG))
        return fail(fd, "listen on", address, error);
    return fd;
}

/* While it does not listen, a socket that may be reused leaves its port to anybody who asks. */
static void set_reuse(int fd, int on)
{
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
}

int socket_refuse(int listener)
{
    int domain = AF_UNIX;
    socklen_t length = sizeof(domain);
    if (getsockopt(listener, SOL_SOCKET, SO_DOMAIN, &domain, &length))
        return -errno;
    if (domain == AF_UNIX)
        return -EOPNOTSUPP;
    if (shutdown(listener, SHUT_RD))
        return -errno;
    set_reuse(listener, 0);
    return 0;
}

int socket_listen_again(int listener)
{
    set_reuse(listener, 1);
    return listen(listener, LISTEN_BACKLOG) ? -errno : 0;
}

/* False when there is no file. */
static bool find_file(const struct address *address, struct socket_file *file, const char **path)
{
    struct stat status;
    *file = (struct socket_file){0};
    *path = ((const struct sockaddr_un *)(const void *)&address->storage)->sun_path;
    if (address->storage.ss_family != AF_UNIX || lstat(*path, &status))
        return false;
    *file = (struct socket_file){.device = status.st_dev, .inode = status.st_ino};
    return true;
}

void socket_remember_file(const struct address *bound, struct socket_file *file)
{
    const char *path;
    find_file(bound, file, &path);
}

void socket_remove_file(const struct address *bound, const struct socket_file *file)
{
    struct socket_file there;
    const char *path;
    if (find_file(bound, &there, &path) && there.device == file->device &&
        there.inode == file->inode)
        unlink(path);
}

void socket_remove_stale(const struct address *address)
{
    if (address->storage.ss_family != AF_UNIX)
        return;
    const char *path = ((const struct sockaddr_un *)(const void *)&address->storage)->sun_path;
    struct stat status;
    if (lstat(path, &status) || !S_ISSOCK(status.st_mode))
        return; /* connect would be refused by any other file, too */
    int fd = socket_connect(address, NULL, NULL);
    if (fd >= 0)
        close(fd);
    else if (fd == -ECONNREFUSED)
        unlink(path);
}

int socket_bind_datagram(const struct address *address, bool share_port, struct address *bound,
                         struct error *error)
{
    return open_bound(address, SOCK_DGRAM, share_port, bound, error);
}

int socket_open_stream(int family, struct error *error)
{
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_set(error, -errno, "socket: %s", strerror(errno));
    return fd;
}

int socket_start_connect(int fd, const struct address *address)
{
    if (connect(fd, (const struct sockaddr *)&address->storage, address->length) &&
        errno != EINPROGRESS)
        return -errno;
    return 0;
}

void socket_set_segment_bytes(int fd, int bytes)
{
    setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &bytes, sizeof(bytes));
}

int socket_segment_bytes(int fd)
{
    int bytes = 0;
    socklen_t length = sizeof(bytes);
    return getsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &bytes, &length) ? -errno : bytes;
}

int socket_connect(const struct address *address, const struct address *source, struct error *error)
{
    int on = 1;
    int fd = socket_open_stream(address->storage.ss_family, error);
    if (fd < 0)
        return fd;
    if (source && source->storage.ss_family == address->storage.ss_family) {
        /* the port is chosen at connect, by the whole 4-tuple */
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
        if (bind(fd, (const struct sockaddr *)&source->storage, source->length))
            return fail(fd, "bind to", source, error);
    }
    int result = socket_start_connect(fd, address);
    if (result) {
        errno = -result;
        return fail(fd, "connect to", address, error);
    }
    return fd;
}

int socket_connect_datagram(const struct address *address, struct error *error)
{
    int fd = socket(address->storage.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fail(fd, "socket for", address, error);
    if (connect(fd, (const struct sockaddr *)&address->storage, address->length))
        return fail(fd, "connect to", address, error);
    return fd;
}

int socket_accept(int listener, struct address *peer)
{
    struct address ignored = {0};
    struct address *to = peer ? peer : &ignored;
    to->length = sizeof(to->storage);
    int fd = accept4(listener, (struct sockaddr *)&to->storage, &to->length,
                     SOCK_NONBLOCK | SOCK_CLOEXEC);
    return fd >= 0 ? fd : errno == EWOULDBLOCK ? -EAGAIN : -errno;
}

int socket_take_error(int fd)
{
    int value = 0;
    socklen_t length = sizeof(value);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &length))
        return -errno;
    return -value;
}

bool socket_is_connected(int fd)
{
    struct address peer = {.length = sizeof(peer.storage)};
    return getpeername(fd, (struct sockaddr *)&peer.storage, &peer.length) == 0;
}

bool socket_is_tcp(int fd)
{
    int protocol = 0;
    socklen_t length = sizeof(protocol);
    return getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &length) == 0 &&
           protocol == IPPROTO_TCP;
}

void socket_set_nodelay(int fd)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

void socket_set_receive_bytes(int fd, int bytes)
{
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)))
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
}

int socket_receive_bytes(int fd)
{
    int bytes = 0;
    socklen_t size = sizeof(bytes);
    getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, &size);
    return bytes;
}

void socket_prepare_probing(int fd)
{
    int first_s = 5, next_s = 10, count = 90;
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &first_s, sizeof(first_s));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &next_s, sizeof(next_s));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
}

void socket_set_probing(int fd, bool on)
{
    int value = on;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &value, sizeof(value));
}

void socket_close_reset(int fd)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    close(fd);
}

unsigned socket_pending_bytes(int fd)
{
    int bytes = 0;
    if (ioctl(fd, SIOCINQ, &bytes) || bytes < 0)
        return 0;
    return (unsigned)bytes;
}
