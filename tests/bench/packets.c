/* Packets per second, one way: one thread sends UDP datagrams of `bytes` as fast as it can, one
 * counts what arrives. With -g the sender hands the kernel so many at once as one super-packet
 * (UDP_SEGMENT), and the receiver takes them so (UDP_GRO). What is sent and does not arrive found
 * no room somewhere: sent and received are two figures. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "proxy/base/monotonic.h"
#include "tests/bench/lib/load.h"
#include "tests/bench/lib/process.h"

enum { BATCH = 32, MESSAGE_BYTES = 65536, BUFFER_BYTES = 4 << 20 };

static struct {
    int near, far;
    unsigned bytes, segments;
    _Atomic uint64_t sent, received; /* packets */
} flow;

static void *send_all(void *context)
{
    static char bytes[MESSAGE_BYTES];
    struct iovec vector = {.iov_base = bytes, .iov_len = (size_t)flow.bytes * flow.segments};
    struct mmsghdr messages[BATCH];
    (void)context;
    for (int i = 0; i < BATCH; i++)
        messages[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &vector, .msg_iovlen = 1}};
    for (;;) {
        int sent = sendmmsg(flow.near, messages, BATCH, 0);
        if (sent > 0)
            atomic_fetch_add_explicit(&flow.sent, (uint64_t)sent * flow.segments,
                                      memory_order_relaxed);
        else if (errno != EINTR && errno != ENOBUFS && errno != ECONNREFUSED)
            load_fail("sendmmsg");
    }
    return NULL;
}

static void *receive_all(void *context)
{
    static char bytes[BATCH][MESSAGE_BYTES];
    struct iovec vectors[BATCH];
    struct mmsghdr messages[BATCH];
    (void)context;
    for (int i = 0; i < BATCH; i++) {
        vectors[i] = (struct iovec){.iov_base = bytes[i], .iov_len = MESSAGE_BYTES};
        messages[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &vectors[i], .msg_iovlen = 1}};
    }
    for (;;) {
        uint64_t packets = 0;
        int got = recvmmsg(flow.far, messages, BATCH, MSG_WAITFORONE, NULL);
        if (got < 0 && errno != EINTR)
            load_fail("recvmmsg");
        for (int i = 0; i < got; i++)
            packets += messages[i].msg_len / flow.bytes;
        atomic_fetch_add_explicit(&flow.received, packets, memory_order_relaxed);
    }
    return NULL;
}

static void open_flow(const struct load_options *options)
{
    int buffer = BUFFER_BYTES, on = 1, bytes = (int)options->bytes;
    flow.bytes = options->bytes;
    flow.segments = options->segments;
    flow.far = load_datagram(options->listen_port, 0);
    flow.near = load_datagram(0, options->connect_port);
    if (setsockopt(flow.far, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer)) ||
        setsockopt(flow.near, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer)))
        load_fail("buffers");
    if (flow.segments > 1 && (setsockopt(flow.far, SOL_UDP, UDP_GRO, &on, sizeof(on)) ||
                              setsockopt(flow.near, SOL_UDP, UDP_SEGMENT, &bytes, sizeof(bytes))))
        load_fail("super-packets");
}

int main(int argc, char **argv)
{
    struct load_options options = {
        .bytes = 64, .segments = 1, .seconds_ns = 2 * NS_PER_S, .warmup_ns = 200 * NS_PER_MS};
    load_options_parse(argc, argv, &options);
    errno = 0;
    if (!options.bytes || !options.segments || options.bytes * options.segments > 65000)
        load_fail("-b and -g: above 0, and no more than fits into one super-packet");
    open_flow(&options);
    load_thread(receive_all, NULL);
    load_thread(send_all, NULL);
    load_wait_until(monotonic_now_ns() + options.warmup_ns);
    double cpu = process_cpu_seconds(options.pid);
    uint64_t begin_ns = monotonic_now_ns(), sent = flow.sent, received = flow.received;
    load_wait_until(begin_ns + options.seconds_ns);
    double elapsed_s = (double)(monotonic_now_ns() - begin_ns) / (double)NS_PER_S;
    sent = flow.sent - sent;
    received = flow.received - received;
    cpu = process_cpu_seconds(options.pid) - cpu;
    printf("sent_per_s %.0f\n", (double)sent / elapsed_s);
    printf("received_per_s %.0f\n", (double)received / elapsed_s);
    if (options.pid && received)
        printf("cpu_us_per_packet %.3f\n", cpu * 1e6 / (double)received);
    return 0;
}
