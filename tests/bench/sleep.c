/* How late this machine wakes a thread that sleeps for 1 ms at a time, with the least timer slack
 * and without a socket: what no proxy's delay on it can be better than. */
#include <sys/prctl.h>

#include "proxy/base/monotonic.h"
#include "tests/bench/lib/load.h"
#include "tests/bench/lib/samples.h"

#define INTERVAL_NS NS_PER_MS

int main(int argc, char **argv)
{
    struct load_options options = {.seconds_ns = 2 * NS_PER_S};
    struct samples samples;
    load_options_parse(argc, argv, &options);
    if (prctl(PR_SET_TIMERSLACK, 1))
        load_fail("timer slack");
    uint64_t count = options.seconds_ns / INTERVAL_NS;
    samples_create(&samples, count);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t due_ns = monotonic_now_ns() + INTERVAL_NS;
        load_wait_until(due_ns);
        samples_add(&samples, (int64_t)(monotonic_now_ns() - due_ns));
    }
    samples_print(&samples, "error_");
    return 0;
}
