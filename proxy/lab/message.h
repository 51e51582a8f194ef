/* Messages between the processes of a lab: of fixed size, with descriptors, over a pair of
 * SOCK_SEQPACKET sockets. Both ends are the same program, so structs go as they are. */
#ifndef SEVER_LAB_MESSAGE_H
#define SEVER_LAB_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

enum { MESSAGE_FDS_MAX = 4 };

/* Both close on exec. 0 or -errno. */
int message_pair(int fds[2]);
/* Never waits: -EAGAIN when the other end has not read for long. -EPIPE when it is gone. */
int message_send(int fd, const void *bytes, size_t size, const int *fds, size_t fd_count);
/* Waits for one message of exactly `size` bytes, until the monotonic deadline (0: does not wait).
 * fds: room for fd_count descriptors, -1 where none came; the caller's to close, and close on exec.
 * 0, -EPIPE at the other end's end, -ETIMEDOUT, -EPROTO for another size, -EMFILE when the message
 * came and this process has no descriptors left for what was with it. */
int message_receive(int fd, void *bytes, size_t size, int *fds, size_t fd_count,
                    uint64_t deadline_ns);

/* Closes all that are not -1, and makes them -1. */
void message_close_fds(int *fds, size_t fd_count);

#endif
