/* How exactly a proxy delays: 1,000 messages a second one way, each with the time at which it was
 * sent; the error is the time that it took less what the proxy was asked to add. What loopback and
 * the wake-up of the reader take is in it: compare with the same measurement without a proxy. With
 * -u the messages are datagrams: TCP on a slow link has a window, and would wait for it. */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>

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
    struct samples samples;
    atomic_size_t received;
};

static void *receive_all(void *context)
{
    struct receiver *receiver = context;
    uint64_t sent_ns;
    while (load_receive(receiver->far, &sent_ns, sizeof(sent_ns))) {
        int64_t error_ns = (int64_t)(monotonic_now_ns() - sent_ns - receiver->delay_ns);
        if (receiver->received >= IGNORED)
            samples_add(&receiver->samples, error_ns);
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
    samples_create(&receiver.samples, count);
    if (options.datagrams) {
        receiver.far = load_datagram(options.listen_port, 0);
        near = load_datagram(0, options.connect_port);
    } else {
        load_pair(load_listen(options.listen_port), options.connect_port, 0, &near, &receiver.far);
    }
    load_thread(receive_all, &receiver);
    uint64_t due_ns = monotonic_now_ns();
    for (size_t i = 0; i < count; i++) {
        load_wait_until(due_ns += INTERVAL_NS);
        uint64_t now_ns = monotonic_now_ns();
        load_send(near, &now_ns, sizeof(now_ns));
    }
    uint64_t deadline_ns = monotonic_now_ns() + options.delay_ns + PATIENCE_NS;
    while (receiver.received < count && monotonic_now_ns() < deadline_ns)
        load_wait_until(due_ns += INTERVAL_NS);
    errno = 0;
    if (receiver.received < count)
        load_fail("messages are missing");
    samples_print(&receiver.samples, "error_");
    return 0;
}
