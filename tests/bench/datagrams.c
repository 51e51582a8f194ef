/* Datagrams of 64 bytes per second, one way, with at most `count` on their way: one thread receives
 * what there is and sends as many again, so that nobody is flooded. What has not come within 20 ms
 * of silence is lost, and replaced. */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "proxy/base/monotonic.h"
#include "tests/bench/lib/load.h"
#include "tests/bench/lib/process.h"

enum { BATCH = 64, BYTES = 64, SILENCE_US = 20000 };

struct flow {
    int near, far;
    unsigned window;
    uint64_t sent, received, lost;
    struct mmsghdr messages[BATCH];
    struct iovec vectors[BATCH];
    char bytes[BATCH][BYTES];
};

static void send_batch(struct flow *flow, unsigned count)
{
    while (count > 0) {
        int sent = sendmmsg(flow->near, flow->messages, count < BATCH ? count : BATCH, 0);
        if (sent < 0 && errno == ECONNREFUSED)
            continue; /* an old datagram's, from before the far end was there */
        if (sent < 0)
            load_fail("sendmmsg");
        flow->sent += (unsigned)sent;
        count -= (unsigned)sent;
    }
}

static void run_until(struct flow *flow, uint64_t deadline_ns)
{
    while (monotonic_now_ns() < deadline_ns) {
        int got = recvmmsg(flow->far, flow->messages, BATCH, MSG_WAITFORONE, NULL);
        if (got > 0) {
            flow->received += (unsigned)got;
            send_batch(flow, (unsigned)got);
        } else if (errno == EAGAIN) {
            flow->lost += flow->sent - flow->received - flow->lost;
            send_batch(flow, flow->window);
        } else if (errno != EINTR) {
            load_fail("recvmmsg");
        }
    }
}

int main(int argc, char **argv)
{
    struct load_options options = {
        .count = 128, .seconds_ns = 2 * NS_PER_S, .warmup_ns = 200 * NS_PER_MS};
    static struct flow flow;
    struct timeval silence = {.tv_usec = SILENCE_US};
    load_options_parse(argc, argv, &options);
    flow.window = options.count;
    flow.far = load_datagram(options.listen_port, 0);
    flow.near = load_datagram(0, options.connect_port);
    if (setsockopt(flow.far, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof(silence)))
        load_fail("SO_RCVTIMEO");
    for (int i = 0; i < BATCH; i++) {
        flow.vectors[i] = (struct iovec){.iov_base = flow.bytes[i], .iov_len = BYTES};
        flow.messages[i].msg_hdr = (struct msghdr){.msg_iov = &flow.vectors[i], .msg_iovlen = 1};
    }
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
