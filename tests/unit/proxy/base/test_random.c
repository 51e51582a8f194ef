#include "tests/lib/test.h"

#include <math.h>
#include <stdbool.h>

#include "proxy/base/random.h"

static void draws_depend_on_key_and_sequence_alone(void **state)
{
    (void)state;
    uint64_t key = random_key_fold_text(random_key_fold(7, 1), "n1->n2");
    uint64_t again = random_key_fold_text(random_key_fold(7, 1), "n1->n2");
    for (uint64_t i = 0; i < 1000; i++)
        assert_int_equal(random_draw(key, i, 0), random_draw(again, i, 0));
    assert_true(random_key_fold_text(1, "ab") != random_key_fold_text(1, "ba"));
    assert_true(random_key_fold_text(1, "") != 1);
    assert_true(random_key_fold_text(1, "a") != random_key_fold_text(1, "aa"));
    assert_true(random_key_fold(random_key_fold(0, 1), 2) !=
                random_key_fold(random_key_fold(0, 2), 1));
}

/* Chi-square of 256 buckets over the high and the low byte, for consecutive sequences, consecutive
 * keys and consecutive draws: 255 degrees of freedom, 99.9 % below 330.5. */
static double chi_square(const unsigned *counts, unsigned total)
{
    double expected = total / 256.0, sum = 0;
    for (int i = 0; i < 256; i++)
        sum += (counts[i] - expected) * (counts[i] - expected) / expected;
    return sum;
}

static void draws_are_uniform_along_each_axis(void **state)
{
    (void)state;
    enum { TOTAL = 1 << 18 };
    for (int axis = 0; axis < 3; axis++) {
        static unsigned high[256], low[256];
        for (int i = 0; i < 256; i++)
            high[i] = low[i] = 0;
        for (uint32_t i = 0; i < TOTAL; i++) {
            uint64_t bits = random_draw(axis == 1 ? random_key_fold(3, i) : 3, axis == 0 ? i : 5,
                                        axis == 2 ? i : 0);
            high[bits >> 56]++;
            low[bits & 255]++;
        }
        assert_true(chi_square(high, TOTAL) < 330.5);
        assert_true(chi_square(low, TOTAL) < 330.5);
    }
}

static void neighbours_are_independent(void **state)
{
    (void)state;
    enum { TOTAL = 1 << 18 };
    unsigned counts[256] = {0};
    for (uint64_t i = 0; i < TOTAL; i++) { /* four bits of each of two neighbours */
        uint64_t pair = (random_draw(9, i, 0) >> 60) << 4 | random_draw(9, i + 1, 0) >> 60;
        counts[pair]++;
    }
    assert_true(chi_square(counts, TOTAL) < 330.5);
}

static void below_stays_in_bounds(void **state)
{
    (void)state;
    assert_int_equal(random_below(0, 10), 0);
    assert_int_equal(random_below(UINT64_MAX, 10), 9);
    assert_int_equal(random_below(UINT64_MAX, 1), 0);
    unsigned counts[10] = {0};
    for (uint64_t i = 0; i < 100000; i++)
        counts[random_below(random_draw(4, i, 0), 10)]++;
    for (int i = 0; i < 10; i++) /* 10000 expected, sigma 95 */
        assert_in_range(counts[i], 9500, 10500);
}

static void probabilities_at_the_ends_and_between(void **state)
{
    (void)state;
    assert_false(random_hits(0, 0));
    assert_true(random_hits(UINT64_MAX, RANDOM_PPB_ONE));
    unsigned hits = 0;
    for (uint64_t i = 0; i < 1000000; i++)
        hits += random_hits(random_draw(11, i, 0), RANDOM_PPB_ONE / 20);
    assert_in_range(hits, 49100, 50900); /* 50000, sigma 218 */
}

static void streams_repeat(void **state)
{
    (void)state;
    struct random_stream a = {.key = 5}, b = {.key = 5}, c = {.key = 6};
    bool differs = false;
    for (int i = 0; i < 100; i++) {
        uint64_t value = random_next(&a);
        assert_int_equal(value, random_next(&b));
        differs |= value != random_next(&c);
    }
    assert_true(differs);
}

static void any_of_many_draws_is_exact(void **state)
{
    (void)state;
    static const uint32_t probabilities[] = {0,         1,         2,         999,
                                             123456789, 500000000, 999999999, 1000000000};
    static const uint32_t draws[] = {0, 1, 2, 3, 44, 45, 64, 1000, 65535, UINT32_MAX};
    for (size_t i = 0; i < sizeof(probabilities) / sizeof(probabilities[0]); i++)
        for (size_t k = 0; k < sizeof(draws) / sizeof(draws[0]); k++) {
            long double p = probabilities[i] / 1e9L, count = draws[k] ? draws[k] : 1;
            long double exact = p < 1 ? -expm1l(count * log1pl(-p)) * 1e9L : 1e9L;
            uint32_t any = random_any_ppb(probabilities[i], draws[k]);
            assert_true(fabsl(any - exact) <= 0.51L);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_depend_on_key_and_sequence_alone),
        cmocka_unit_test(draws_are_uniform_along_each_axis),
        cmocka_unit_test(neighbours_are_independent),
        cmocka_unit_test(below_stays_in_bounds),
        cmocka_unit_test(probabilities_at_the_ends_and_between),
        cmocka_unit_test(streams_repeat),
        cmocka_unit_test(any_of_many_draws_is_exact),
    };
    return cmocka_run_group_tests_name("proxy/base/random", tests, NULL, NULL);
}
