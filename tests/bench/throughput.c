/* Bytes per second through `count` streams, and the proxy's CPU time for them, and that of the
 * ends. One thread for each stream writes 256 KiB at a time; one has the kernel throw the bytes
 * away (MSG_TRUNC), so that on few cores the reader is not what limits the proxies, or, with -r,
 * really reads them. */
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/base/monotonic.h"
#include "proxy/base/text.h"
#include "tests/bench/lib/load.h"
#include "tests/bench/lib/process.h"

enum { WRITE_BYTES = 256 * 1024 };

static _Atomic uint64_t received;

struct stream {
    int near, far;
    int receive_flags;
};

static void *send_all(void *context)
{
    const struct stream *stream = context;
    char *bytes = memory_allocate_zeroed(1, WRITE_BYTES);
    for (;;)
        load_send(stream->near, bytes, WRITE_BYTES);
    return NULL;
}

static void *receive_all(void *context)
{
    const struct stream *stream = context;
    char *bytes = memory_allocate_zeroed(1, WRITE_BYTES);
    for (;;) {
        ssize_t got = recv(stream->far, bytes, WRITE_BYTES, stream->receive_flags);
        if (got <= 0)
            load_fail("the stream ended");
        atomic_fetch_add_explicit(&received, (uint64_t)got, memory_order_relaxed);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    struct load_options options = {
        .count = 1, .seconds_ns = 2 * NS_PER_S, .warmup_ns = 200 * NS_PER_MS};
    load_options_parse(argc, argv, &options);
    struct stream *streams = memory_allocate_zeroed(options.count, sizeof(*streams));
    int listener = load_listen(options.listen_port);
    for (unsigned i = 0; i < options.count; i++)
        load_pair(listener, options.connect_port, 0, &streams[i].near, &streams[i].far);
    for (unsigned i = 0; i < options.count; i++) {
        streams[i].receive_flags = options.read ? 0 : MSG_TRUNC;
        load_thread(receive_all, &streams[i]);
        load_thread(send_all, &streams[i]);
    }
    load_wait_until(monotonic_now_ns() + options.warmup_ns);
    double cpu = process_cpu_seconds(options.pid), own = process_cpu_seconds(getpid());
    uint64_t begin_ns = monotonic_now_ns(), bytes = atomic_load(&received);
    load_wait_until(begin_ns + options.seconds_ns);
    uint64_t elapsed_ns = monotonic_now_ns() - begin_ns;
    bytes = atomic_load(&received) - bytes;
    cpu = process_cpu_seconds(options.pid) - cpu;
    own = process_cpu_seconds(getpid()) - own;
    printf("gbit_per_s %.6f\n", (double)bytes * 8.0 / (double)elapsed_ns);
    if (options.pid && bytes)
        printf("cpu_s_per_gib %.4f\n", cpu * (double)(UINT64_C(1) << 30) / (double)bytes);
    if (bytes)
        printf("ends_cpu_s_per_gib %.4f\n", own * (double)(UINT64_C(1) << 30) / (double)bytes);
    return 0;
}
