/* User memory of the proxy for one idle connection: `count` connections, each proven by a byte. And
 * what it has before the first: a table of fixed size is there, not in what is added. */
#include <stdio.h>

#include "proxy/base/monotonic.h"
#include "tests/bench/lib/load.h"
#include "tests/bench/lib/process.h"

int main(int argc, char **argv)
{
    struct load_options options = {.count = 4000};
    int near, far;
    load_options_parse(argc, argv, &options);
    int listener = load_listen(options.listen_port);
    uint64_t before = process_private_bytes(options.pid);
    for (unsigned i = 0; i < options.count; i++)
        load_pair(listener, options.connect_port, 0, &near, &far);
    uint64_t after = process_private_bytes(options.pid);
    printf("start_mib %.2f\n", (double)before / 1024.0 / 1024.0);
    printf("idle_kib %.2f\n", ((double)after - (double)before) / 1024.0 / (double)options.count);
    return 0;
}
