/* Datagrams per second, one way, with at most `count` messages on their way: one thread receives
 * what there is and sends as many again, so that nobody is flooded. What has not come within 20 ms
 * of silence is lost, and replaced. A message is one datagram of `bytes`, or with -g so many as one
 * super-packet (UDP_SEGMENT, and UDP_GRO at the receiver). */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "proxy/base/monotonic.h"
#include "tests/bench/lib/load.h"
#include "tests/bench/lib/process.h"

enum { BATCH = 64, MESSAGE_BYTES = 65536, SILENCE_US = 20000, BUFFER_BYTES = 4 << 20 };

struct flow {
    int near, far;
    unsigned window, bytes, segments;
    uint64_t sent, received, lost; /* datagrams */
    struct mmsghdr outgoing[BATCH], incoming[BATCH];
    struct iovec out, in[BATCH];
};

/* Fills the window up. */
static void send_some(struct flow *flow)
{
    for (;;) {
        uint64_t under_way = flow->sent - flow->received - flow->lost;
        uint64_t room = under_way < flow->window ? (flow->window - under_way) / flow->segments : 0;
        if (room == 0)
            return;
        int sent = sendmmsg(flow->near, flow->outgoing, room < BATCH ? (unsigned)room : BATCH, 0);
        if (sent < 0 && errno == ECONNREFUSED)
            continue; /* an old datagram's, from before the far end was there */
        if (sent < 0)
            load_fail("sendmmsg");
        flow->sent += (unsigned)sent * flow->segments;
    }
}

static void run_until(struct flow *flow, uint64_t deadline_ns)
{
    while (monotonic_now_ns() < deadline_ns) {
        int got = recvmmsg(flow->far, flow->incoming, BATCH, MSG_WAITFORONE, NULL);
        if (got < 0 && errno == EAGAIN)
            flow->lost = flow->sent - flow->received;
        else if (got < 0 && errno != EINTR)
            load_fail("recvmmsg");
        for (int i = 0; i < got; i++)
            flow->received += flow->incoming[i].msg_len / flow->bytes;
        send_some(flow);
    }
}

static void open_flow(struct flow *flow, const struct load_options *options)
{
    struct timeval silence = {.tv_usec = SILENCE_US};
    int buffer = BUFFER_BYTES, on = 1, bytes = (int)options->bytes;
    flow->bytes = options->bytes;
    flow->segments = options->segments;
    flow->window = options->count * options->segments;
    flow->far = load_datagram(options->listen_port, 0);
    flow->near = load_datagram(0, options->connect_port);
    if (setsockopt(flow->far, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof(silence)) ||
        setsockopt(flow->far, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer)))
        load_fail("the receiver's socket");
    if (flow->segments > 1 && (setsockopt(flow->far, SOL_UDP, UDP_GRO, &on, sizeof(on)) ||
                               setsockopt(flow->near, SOL_UDP, UDP_SEGMENT, &bytes, sizeof(bytes))))
        load_fail("super-packets");
}

static void prepare_messages(struct flow *flow)
{
    static char out[MESSAGE_BYTES], in[BATCH][MESSAGE_BYTES];
    flow->out = (struct iovec){.iov_base = out, .iov_len = (size_t)flow->bytes * flow->segments};
    for (int i = 0; i < BATCH; i++) {
        flow->in[i] = (struct iovec){.iov_base = in[i], .iov_len = MESSAGE_BYTES};
        flow->incoming[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &flow->in[i], .msg_iovlen = 1}};
        flow->outgoing[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &flow->out, .msg_iovlen = 1}};
    }
}

int main(int argc, char **argv)
{
    struct load_options options = {.count = 128,
                                   .bytes = 64,
                                   .segments = 1,
                                   .seconds_ns = 2 * NS_PER_S,
                                   .warmup_ns = 200 * NS_PER_MS};
    static struct flow flow;
    load_options_parse(argc, argv, &options);
    errno = 0;
    if (!options.bytes || !options.segments || options.bytes * options.segments > 65000)
        load_fail("-b and -g: above 0, and no more than fits into one super-packet");
    open_flow(&flow, &options);
    prepare_messages(&flow);
    send_some(&flow);
    run_until(&flow, monotonic_now_ns() + options.warmup_ns);
    uint64_t begin_ns = monotonic_now_ns(), received = flow.received, lost = flow.lost;
    double cpu = process_cpu_seconds(options.pid);
    run_until(&flow, begin_ns + options.seconds_ns);
    double elapsed_s = (double)(monotonic_now_ns() - begin_ns) / (double)NS_PER_S;
    cpu = process_cpu_seconds(options.pid) - cpu;
    received = flow.received - received;
    printf("datagrams_per_s %.0f\n", (double)received / elapsed_s);
    printf("datagrams_lost %llu\n", (unsigned long long)(flow.lost - lost));
    if (options.pid && received)
        printf("cpu_us_per_datagram %.2f\n", cpu * 1e6 / (double)received);
    return 0;
}
