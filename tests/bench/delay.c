/* How exactly a proxy delays: 1,000 messages a second one way, each with the time at which it was
 * sent; the error is the time until it is at the receiver's socket, by the kernel's stamp, less
 * what the proxy was asked to add. What loopback or the cable takes is in it: compare with the same
 * measurement without a proxy. How long the machine takes to run the reader comes on top: that is
 * told apart (read_), for no proxy can do anything about it. With -u the messages are datagrams:
 * TCP on a slow link has a window, and would wait for it. */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "proxy/base/monotonic.h"
#include "proxy/base/text.h"
#include "tests/bench/lib/load.h"
#include "tests/bench/lib/samples.h"

#define INTERVAL_NS NS_PER_MS
#define PATIENCE_NS (2 * NS_PER_S)
enum { IGNORED = 20 }; /* first messages */

struct receiver {
    int far;
    uint64_t delay_ns;
    struct samples errors, read_errors;
    atomic_size_t received;
};

/* One message, and when the kernel had it (0: it did not stamp it yet); false at the end of the
 * stream. */
static bool receive_one(int fd, int64_t *sent_ns, int64_t *arrived_ns)
{
    union {
        struct cmsghdr header; /* for its alignment */
        char bytes[CMSG_SPACE(sizeof(struct timespec))];
    } told;
    for (size_t length = 0; length < sizeof(*sent_ns);) {
        struct iovec vector = {(char *)sent_ns + length, sizeof(*sent_ns) - length};
        struct msghdr message = {.msg_iov = &vector,
                                 .msg_iovlen = 1,
                                 .msg_control = &told,
                                 .msg_controllen = sizeof(told)};
        ssize_t got = recvmsg(fd, &message, 0);
        if (got <= 0)
            return false;
        const struct cmsghdr *part = CMSG_FIRSTHDR(&message);
        *arrived_ns = 0;
        if (part && part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_TIMESTAMPNS) {
            struct timespec time;
            memcpy(&time, CMSG_DATA(part), sizeof(time));
            *arrived_ns = (int64_t)time.tv_sec * (int64_t)NS_PER_S + time.tv_nsec;
        }
        length += (size_t)got;
    }
    return true;
}

static void *receive_all(void *context)
{
    struct receiver *receiver = context;
    int64_t sent_ns, arrived_ns, delay_ns = (int64_t)receiver->delay_ns;
    while (receive_one(receiver->far, &sent_ns, &arrived_ns)) {
        int64_t read_ns = wall_now_ns();
        if (receiver->received >= IGNORED) {
            if (arrived_ns == 0)
                load_fail("no time of arrival");
            samples_add(&receiver->errors, arrived_ns - sent_ns - delay_ns);
            samples_add(&receiver->read_errors, read_ns - sent_ns - delay_ns);
        }
        receiver->received++;
    }
    return NULL;
}

int main(int argc, char **argv)
{
    struct load_options options = {.seconds_ns = 2 * NS_PER_S};
    static struct receiver receiver;
    int near;
    load_options_parse(argc, argv, &options);
    size_t count = (size_t)(options.seconds_ns / INTERVAL_NS) + IGNORED;
    receiver.delay_ns = options.delay_ns;
    samples_create(&receiver.errors, count);
    samples_create(&receiver.read_errors, count);
    if (options.datagrams) {
        receiver.far = load_datagram(options.listen_port, 0);
        near = load_datagram(0, options.connect_port);
    } else {
        load_pair(load_listen(options.listen_port), options.connect_port, 0, &near, &receiver.far);
    }
    int on = 1;
    if (setsockopt(receiver.far, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on)))
        load_fail("SO_TIMESTAMPNS");
    load_thread(receive_all, &receiver);
    uint64_t due_ns = monotonic_now_ns();
    for (size_t i = 0; i < count; i++) {
        load_wait_until(due_ns += INTERVAL_NS);
        int64_t now_ns = wall_now_ns();
        load_send(near, &now_ns, sizeof(now_ns));
    }
    uint64_t deadline_ns = monotonic_now_ns() + options.delay_ns + PATIENCE_NS;
    while (receiver.received < count && monotonic_now_ns() < deadline_ns)
        load_wait_until(due_ns += INTERVAL_NS);
    errno = 0;
    if (receiver.received < count)
        load_fail("messages are missing");
    samples_print(&receiver.errors, "error_");
    samples_print(&receiver.read_errors, "read_");
    return 0;
}
