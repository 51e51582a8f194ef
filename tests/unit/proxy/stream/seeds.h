/* A test that goes through its seeds, one after the other. Its teardown tells the seed that failed;
 * `test SEED [COUNT]` runs COUNT (1) seeds from that one. */
#ifndef SEVER_TESTS_STREAM_SEEDS_H
#define SEVER_TESTS_STREAM_SEEDS_H

#include "tests/lib/test.h"

#include <stdlib.h>

static struct {
    uint64_t first, count;
    uint64_t running; /* 0: none */
    const char *program;
} seeds;

/* count: of seeds, from 1, when the command line names none. */
static inline void seeds_read(int argc, char **argv, uint64_t count)
{
    seeds.program = argv[0];
    seeds.first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    if (argc > 1)
        count = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    seeds.count = count;
}

static inline void seeds_run(void (*run)(uint64_t seed))
{
    for (uint64_t seed = seeds.first; seed - seeds.first < seeds.count; seed++) {
        seeds.running = seed;
        run(seed);
        seeds.running = 0;
    }
}

/* A teardown. */
static inline int seeds_tell(void **state)
{
    (void)state;
    if (seeds.running)
        print_error("to repeat: %s %llu\n", seeds.program, (unsigned long long)seeds.running);
    return 0;
}

#endif
