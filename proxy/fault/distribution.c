/* Inverse transform sampling: the top ten bits of the draw pick an interval of the quantile table,
 * the next 32 a place in it. No floating point, so that every machine draws the same. */
#include "proxy/fault/distribution.h"

#include <assert.h>

#include "proxy/base/random.h"

enum { INDEX_SHIFT = 54, FRACTION_SHIFT = 22, FRACTION_BITS = 32 };

/* The quantile, in 1 / (DISTRIBUTION_ONE * 2^FRACTION_BITS). */
static int64_t quantile(const int32_t *table, uint64_t bits)
{
    uint64_t index = bits >> INDEX_SHIFT;
    int64_t fraction = (int64_t)((bits >> FRACTION_SHIFT) & UINT32_MAX);
    int64_t low = table[index], high = table[index + 1];
    return low * (INT64_C(1) << FRACTION_BITS) + (high - low) * fraction;
}

int64_t distribution_draw(enum ruleset_distribution distribution, uint64_t bits, uint64_t jitter_ns)
{
    const __int128 one = (__int128)DISTRIBUTION_ONE << FRACTION_BITS;
    assert(jitter_ns <= RULESET_DELAY_NS_MAX);
    __int128 x = 0;
    switch (distribution) {
    case RULESET_NORMAL:
        x = quantile(distribution_normal, bits);
        break;
    case RULESET_PARETO:
        x = quantile(distribution_pareto, bits);
        break;
    case RULESET_PARETONORMAL:
        x = quantile(distribution_normal, bits);
        x = (x + 3 * (__int128)quantile(distribution_pareto, bits)) / 4;
        break;
    case RULESET_UNIFORM:
    case RULESET_TABLE:
    case RULESET_DISTRIBUTIONS:
        return (int64_t)random_below(bits, 2 * jitter_ns + 1) - (int64_t)jitter_ns;
    }
    return (int64_t)(x * (__int128)jitter_ns / one);
}

int64_t distribution_draw_table(const struct ruleset_table *table, uint64_t bits,
                                uint64_t jitter_ns)
{
    assert(table->count > 0 && jitter_ns <= RULESET_DELAY_NS_MAX);
    int64_t value = table->values[random_below(bits, table->count)];
    return (int64_t)((__int128)value * (__int128)jitter_ns / DISTRIBUTION_TABLE_ONE);
}
