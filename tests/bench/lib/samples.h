/* Measured times, and their percentiles. */
#ifndef SEVER_TESTS_BENCH_SAMPLES_H
#define SEVER_TESTS_BENCH_SAMPLES_H

#include <stddef.h>
#include <stdint.h>

struct samples {
    int64_t *values; /* ns; may be negative (early) */
    size_t count, capacity;
};

void samples_create(struct samples *samples, size_t capacity); /* for the rest of the program */
void samples_add(struct samples *samples, int64_t value_ns);   /* above capacity: not kept */
/* Prints "PREFIXp50_us 12.3" and so on, for p50, p99 and p99.9, the smallest and the largest. Sorts
 * the values; without any it ends the program. */
void samples_print(struct samples *samples, const char *prefix);

#endif
