/* What a lossy link really loses: `count` numbered datagrams one way, and which of them have come.
 * At most WINDOW are under way, so that no queue is ever full: what does not come the link has
 * lost. The first go alone until one has come: what a kernel held while it was looking for the
 * receiver's Ethernet address may come behind others. Prints how many were sent and lost, and in
 * how many bursts. */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "proxy/base/monotonic.h"
#include "tests/bench/lib/load.h"

enum { WINDOW = 128, BATCH = 64, SILENCE_US = 200000, BUFFER_BYTES = 4 << 20 };

struct flow {
    int near, far;
    uint64_t count, sent,
        expected; /* expected: the lowest number that has not been seen or missed */
    uint64_t lost, bursts;
    uint64_t window;
    uint64_t numbers[BATCH];
    struct mmsghdr messages[BATCH];
    struct iovec vectors[BATCH];
};

/* Fills the window up. */
static void send_some(struct flow *flow)
{
    while (flow->sent < flow->count && flow->sent < flow->expected + flow->window) {
        uint64_t room = flow->expected + flow->window - flow->sent, left = flow->count - flow->sent;
        uint64_t most = room < left ? room : left;
        unsigned batch = most < BATCH ? (unsigned)most : BATCH;
        for (unsigned i = 0; i < batch; i++)
            flow->numbers[i] = flow->sent + i;
        int sent = sendmmsg(flow->near, flow->messages, batch, 0);
        if (sent < 0 && errno != EINTR)
            load_fail("sendmmsg");
        flow->sent += sent > 0 ? (uint64_t)sent : 0;
    }
}

/* All below `number` that have not come are lost: the link keeps order. */
static void miss_until(struct flow *flow, uint64_t number)
{
    flow->bursts += number > flow->expected;
    flow->lost += number - flow->expected;
    flow->expected = number;
}

static void receive_some(struct flow *flow)
{
    int got = recvmmsg(flow->far, flow->messages, BATCH, MSG_WAITFORONE, NULL);
    if (got < 0 && errno == EAGAIN)
        miss_until(flow, flow->sent); /* silence: all that is under way is lost */
    else if (got < 0 && errno != EINTR)
        load_fail("recvmmsg");
    for (int i = 0; i < got; i++) {
        flow->window = WINDOW;
        errno = 0;
        if (flow->numbers[i] < flow->expected)
            load_fail("a datagram came twice, or late");
        miss_until(flow, flow->numbers[i]);
        flow->expected++;
    }
}

int main(int argc, char **argv)
{
    struct load_options options = {.count = 100000};
    static struct flow flow = {.window = 1};
    struct timeval silence = {.tv_usec = SILENCE_US};
    int buffer = BUFFER_BYTES;
    load_options_parse(argc, argv, &options);
    flow.count = options.count;
    flow.far = load_datagram(options.listen_port, 0);
    flow.near = load_datagram(0, options.connect_port);
    if (setsockopt(flow.far, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof(silence)) ||
        setsockopt(flow.far, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer)))
        load_fail("the receiver's socket");
    for (int i = 0; i < BATCH; i++) {
        flow.vectors[i] =
            (struct iovec){.iov_base = &flow.numbers[i], .iov_len = sizeof(flow.numbers[i])};
        flow.messages[i].msg_hdr = (struct msghdr){.msg_iov = &flow.vectors[i], .msg_iovlen = 1};
    }
    while (flow.expected < flow.count) {
        send_some(&flow);
        receive_some(&flow);
    }
    printf("sent %llu\n", (unsigned long long)flow.count);
    printf("lost %llu\n", (unsigned long long)flow.lost);
    printf("bursts %llu\n", (unsigned long long)flow.bursts);
    return 0;
}
