/* Round trips of one byte on one connection: the client sends it, the other end sends it back. And
 * the proxy's CPU time for one, which says more than the time where cores are few and busy. */
#include <stdio.h>

#include "proxy/base/monotonic.h"
#include "tests/bench/lib/load.h"
#include "tests/bench/lib/process.h"
#include "tests/bench/lib/samples.h"

enum { SAMPLES_MAX = 2000000 };

static int far;

static void *echo(void *context)
{
    char byte;
    (void)context;
    while (load_receive(far, &byte, 1))
        load_send(far, &byte, 1);
    return NULL;
}

static int64_t measure(int near)
{
    char byte = 'x';
    uint64_t begin_ns = monotonic_now_ns();
    load_send(near, &byte, 1);
    if (!load_receive(near, &byte, 1))
        load_fail("the stream ended");
    return (int64_t)(monotonic_now_ns() - begin_ns);
}

int main(int argc, char **argv)
{
    struct load_options options = {.seconds_ns = 2 * NS_PER_S, .warmup_ns = 100 * NS_PER_MS};
    struct samples samples;
    int near;
    load_options_parse(argc, argv, &options);
    samples_create(&samples, SAMPLES_MAX);
    load_pair(load_listen(options.listen_port), options.connect_port, 0, &near, &far);
    load_thread(echo, NULL);
    uint64_t begin_ns = monotonic_now_ns() + options.warmup_ns;
    while (monotonic_now_ns() < begin_ns)
        measure(near);
    double cpu = process_cpu_seconds(options.pid);
    while (monotonic_now_ns() < begin_ns + options.seconds_ns)
        samples_add(&samples, measure(near));
    cpu = process_cpu_seconds(options.pid) - cpu;
    if (options.pid)
        printf("cpu_us_per_rtt %.2f\n", cpu * 1e6 / (double)samples.count);
    samples_print(&samples, "rtt_");
    return 0;
}
