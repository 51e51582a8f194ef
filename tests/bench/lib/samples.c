#include "tests/bench/lib/samples.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "proxy/base/text.h"
#include "tests/bench/lib/load.h"

void samples_create(struct samples *samples, size_t capacity)
{
    *samples = (struct samples){.capacity = capacity};
    samples->values = memory_allocate_zeroed(capacity, sizeof(*samples->values));
}

void samples_add(struct samples *samples, int64_t value_ns)
{
    if (samples->count < samples->capacity)
        samples->values[samples->count++] = value_ns;
}

static int compare(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return a < b ? -1 : a > b;
}

/* The smallest value that `permille` of all do not exceed, in us. */
static double percentile_us(const struct samples *samples, size_t permille)
{
    size_t rank = (samples->count * permille + 999) / 1000;
    return (double)samples->values[rank ? rank - 1 : 0] / 1000.0;
}

void samples_print(struct samples *samples, const char *prefix)
{
    if (samples->count == 0) {
        errno = 0;
        load_fail("nothing was measured");
    }
    qsort(samples->values, samples->count, sizeof(*samples->values), compare);
    printf("%sp50_us %.1f\n", prefix, percentile_us(samples, 500));
    printf("%sp99_us %.1f\n", prefix, percentile_us(samples, 990));
    printf("%sp999_us %.1f\n", prefix, percentile_us(samples, 999));
    printf("%smin_us %.1f\n", prefix, percentile_us(samples, 0));
    printf("%smax_us %.1f\n", prefix, percentile_us(samples, 1000));
}
