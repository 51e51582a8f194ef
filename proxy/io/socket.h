/* Non-blocking, close-on-exec sockets. Functions return a descriptor or -errno (with *error). */
#ifndef SEVER_IO_SOCKET_H
#define SEVER_IO_SOCKET_H

#include <stdbool.h>
#include <sys/types.h>

#include "proxy/base/address.h"
#include "proxy/base/error.h"

/* Listening stream socket (TCP with SO_REUSEADDR, or unix). share_port: SO_REUSEPORT too.
 * On success *bound (may be NULL) has the address with the port really taken. */
int socket_listen(const struct address *address, bool share_port, struct address *bound,
                  struct error *error);
/* A listening TCP socket refuses connections from now on: peers get RST (ECONNREFUSED), those that
 * were not accepted yet included. It keeps its port, and epoll must not watch it meanwhile.
 * -EOPNOTSUPP for a unix socket: it could not listen again. */
int socket_refuse(int listener);
/* Listens again. -EADDRINUSE when another socket listens on the port meanwhile. */
int socket_listen_again(int listener);
/* Removes the file of a unix socket on which nobody listens any more (left by a process that was
 * killed), so that it can be bound. No effect on other addresses, or on a socket that is in use. */
void socket_remove_stale(const struct address *address);
/* The file of a unix socket that this process has bound, so that it removes no other's. */
struct socket_file {
    dev_t device;
    ino_t inode; /* 0: there is none */
};
/* After a successful bind; none for other addresses. */
void socket_remember_file(const struct address *bound, struct socket_file *file);
/* Removes what is at the address's path if it still is that file. */
void socket_remove_file(const struct address *bound, const struct socket_file *file);
/* Datagram socket bound to address. */
int socket_bind_datagram(const struct address *address, bool share_port, struct address *bound,
                         struct error *error);
/* Starts a stream connect from source (NULL: any; its port is ignored when 0). Returns the
 * descriptor; the connection is there or in progress (wait for EPOLLOUT, then socket_take_error).
 * An immediate refusal is returned as -errno. */
int socket_connect(const struct address *address, const struct address *source,
                   struct error *error);
/* The two halves of it: a socket that can be prepared before its SYN is sent, and the connect
 * (0 or -errno; the socket stays the caller's). */
int socket_open_stream(int family, struct error *error);
int socket_start_connect(int fd, const struct address *address);
/* What TCP announces as the most that a segment may carry, options included, for both ways: before
 * connect, or on a listener for the connections that begin from now on. 0: what the path allows,
 * and what socket_refuse leaves. No effect on others. */
void socket_set_segment_bytes(int fd, int bytes);
/* Data in one segment of a TCP connection; -errno. */
int socket_segment_bytes(int fd);
/* Connected datagram socket. */
int socket_connect_datagram(const struct address *address, struct error *error);
/* Accepts one connection: descriptor, -EAGAIN when there is none, other -errno. peer may be NULL.
 */
int socket_accept(int listener, struct address *peer);
/* SO_ERROR: 0 or -errno. */
int socket_take_error(int fd);
bool socket_is_connected(int fd); /* the peer has answered, and has not gone since */
bool socket_is_tcp(int fd);
void socket_set_nodelay(int fd); /* TCP_NODELAY; no effect on others */
/* Asks for room of `bytes` for what waits to be received: above net.core.rmem_max where that is
 * allowed. The kernel makes it twice as much, and counts more than a packet's bytes. */
void socket_set_receive_bytes(int fd, int bytes);
int socket_receive_bytes(int fd); /* as the kernel counts; 0 when it doesn't tell */
/* While on, TCP asks a silent peer every few seconds whether it is still there: one that has gone
 * answers with RST. One that does not answer at all counts as gone after a quarter of an hour, when
 * it was prepared once. */
void socket_prepare_probing(int fd);
void socket_set_probing(int fd, bool on);
void socket_close_reset(int fd); /* SO_LINGER 0, then close: the peer sees RST */
/* Bytes that wait in the receive buffer (SIOCINQ); 0 when unknown. */
unsigned socket_pending_bytes(int fd);

#endif
