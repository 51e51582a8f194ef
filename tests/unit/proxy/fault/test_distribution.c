/* The quantile tables against their formulas, and draws from them against pipeline.h's words. */
#include "tests/unit/proxy/fault/harness.h"

#include <math.h>

#include "proxy/fault/distribution.h"

static double normal_cdf(double x)
{
    return 0.5 * erfc(-x / sqrt(2.0));
}

static double pareto_quantile(double p)
{
    return fmin(4.0, (4.0 / 3.0) * (pow(1.0 - p, -1.0 / 3.0) - 1.5));
}

static void tables_are_the_formulas(void **state)
{
    (void)state;
    const double half_step = 0.5 / DISTRIBUTION_ONE;
    for (int i = 1; i < DISTRIBUTION_INTERVALS; i++) {
        double p = (double)i / DISTRIBUTION_INTERVALS;
        double low = (distribution_normal[i] - 0.51) / DISTRIBUTION_ONE;
        double high = (distribution_normal[i] + 0.51) / DISTRIBUTION_ONE;
        assert_true(normal_cdf(low) < p && p < normal_cdf(high)); /* rounded to the nearest */
        assert_true(fabs((double)distribution_pareto[i] / DISTRIBUTION_ONE - pareto_quantile(p)) <=
                    half_step * 1.01);
    }
    assert_int_equal(distribution_normal[0], -4 * DISTRIBUTION_ONE);
    assert_int_equal(distribution_normal[DISTRIBUTION_INTERVALS], 4 * DISTRIBUTION_ONE);
    assert_int_equal(distribution_pareto[0], -43691); /* -2/3 */
    assert_int_equal(distribution_pareto[DISTRIBUTION_INTERVALS], 4 * DISTRIBUTION_ONE);
}

static void tables_are_monotone_and_the_normal_one_symmetric(void **state)
{
    (void)state;
    for (int i = 0; i < DISTRIBUTION_INTERVALS; i++) {
        assert_true(distribution_normal[i] < distribution_normal[i + 1]);
        assert_true(distribution_pareto[i] <= distribution_pareto[i + 1]);
        assert_int_equal(distribution_normal[i], -distribution_normal[DISTRIBUTION_INTERVALS - i]);
    }
    assert_int_equal(distribution_normal[DISTRIBUTION_INTERVALS / 2], 0);
}

static void draws_at_the_ends(void **state)
{
    (void)state;
    static const struct {
        enum ruleset_distribution distribution;
        uint64_t bits;
        int64_t drawn_ms; /* of a jitter of 300 ms */
    } cases[] = {
        {RULESET_UNIFORM, 0, -300},
        {RULESET_UNIFORM, UINT64_C(1) << 63, 0},
        {RULESET_UNIFORM, UINT64_MAX, 300},
        {RULESET_NORMAL, 0, -1200},
        {RULESET_NORMAL, UINT64_C(1) << 63, 0},
        {RULESET_NORMAL, UINT64_MAX, 1200},
        {RULESET_PARETO, 0, -200},
        {RULESET_PARETO, UINT64_MAX, 1200},
        {RULESET_PARETONORMAL, 0, -450},
        {RULESET_PARETONORMAL, UINT64_MAX, 1200},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int64_t drawn = distribution_draw(cases[i].distribution, cases[i].bits, 300 * MS);
        int64_t distance = drawn - cases[i].drawn_ms * (int64_t)MS;
        assert_true(distance > -10000 && distance < 10000); /* the table's last bit: 4.6 us */
        assert_int_equal(distribution_draw(cases[i].distribution, cases[i].bits, 0), 0);
        int64_t largest =
            distribution_draw(cases[i].distribution, cases[i].bits, RULESET_DELAY_NS_MAX);
        assert_true(largest >= -4 * (int64_t)RULESET_DELAY_NS_MAX &&
                    largest <= 4 * (int64_t)RULESET_DELAY_NS_MAX);
    }
    assert_int_equal(distribution_draw(RULESET_UNIFORM, 0, 7), -7);
    assert_int_equal(distribution_draw(RULESET_UNIFORM, UINT64_MAX, 7), 7);
}

/* More bits never draw less, also across the table's intervals. */
static void draws_grow_with_the_bits(void **state)
{
    (void)state;
    for (unsigned d = 0; d < RULESET_DISTRIBUTIONS; d++) {
        int64_t last = INT64_MIN;
        for (uint64_t i = 0; i < 100000; i++) {
            int64_t drawn =
                distribution_draw((enum ruleset_distribution)d, i * (UINT64_MAX / 100000), 20 * MS);
            assert_true(drawn >= last);
            last = drawn;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_are_the_formulas),
        cmocka_unit_test(tables_are_monotone_and_the_normal_one_symmetric),
        cmocka_unit_test(draws_at_the_ends),
        cmocka_unit_test(draws_grow_with_the_bits),
    };
    return cmocka_run_group_tests_name("proxy/fault/distribution", tests, NULL, NULL);
}
