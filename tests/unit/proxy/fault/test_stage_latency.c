/* Latency under load, with correlation, from a table, and without order (test_pipeline and
 * test_statistics have the rest). */
#include "tests/unit/proxy/fault/harness.h"

#include <math.h>

#include "proxy/base/random.h"
#include "proxy/fault/distribution.h"

static struct ruleset_fault correlated(uint64_t jitter_ns, enum ruleset_distribution distribution,
                                       uint32_t correlation_ppb)
{
    struct ruleset_fault fault = jitter("l", 100 * MS, jitter_ns, distribution);
    fault.latency.correlation_ppb = correlation_ppb;
    return fault;
}

/* The delays of units that come every gap_ns, by id. */
static double *delays_of(const struct ruleset_fault *fault, enum fault_medium medium, uint64_t flow,
                         uint64_t gap_ns, size_t count)
{
    struct harness *harness = harness_create(medium, flow, count);
    double *delays = calloc(count, sizeof(*delays));
    assert_non_null(delays);
    harness_apply(harness, fault, 1, 0);
    for (uint64_t i = 0; i < count; i++)
        harness_push(harness, 1, i * gap_ns);
    harness_run(harness, FAULT_NEVER - 1);
    assert_int_equal(harness->record_count, count);
    for (size_t i = 0; i < count; i++) {
        const struct record *record = &harness->records[i];
        delays[record->id] = (double)(record->at_ns - record->id * gap_ns);
    }
    harness_free(harness);
    return delays;
}

static double mean_of(const double *values, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += values[i];
    return sum / (double)count;
}

/* Covariance at a lag; at 0 the variance. */
static double covariance_of(const double *values, size_t count, size_t lag)
{
    double mean = mean_of(values, count), sum = 0;
    for (size_t i = lag; i < count; i++)
        sum += (values[i] - mean) * (values[i - lag] - mean);
    return sum / (double)(count - lag);
}

static void one_second_at_20000_units_a_second_is_one_second(void **state)
{
    (void)state;
    enum { COUNT = 60000 };
    struct harness *harness = harness_create(FAULT_STREAM, 0, COUNT);
    struct ruleset_fault fault = latency("l", "n1->n2", SECOND);
    harness_apply(harness, &fault, 1, 0);
    for (uint64_t i = 0; i < COUNT; i++)
        harness_push(harness, 100, i * 50 * US);
    harness_run(harness, 10 * SECOND);
    for (size_t i = 0; i < COUNT; i++)
        expect_delivered(harness, i, i, i * 50 * US + SECOND);
    harness_free(harness);
}

/* The distribution stays what it was; units that are k apart have correlation^k. */
static void correlated_jitter_keeps_its_distribution(void **state)
{
    (void)state;
    enum { COUNT = 100000 };
    static const double correlations[] = {0, 0.25, 0.5, 0.9};
    for (unsigned d = 0; d < RULESET_TABLE; d++) {
        double plain[2] = {0};
        for (size_t c = 0; c < COUNT_OF(correlations); c++) {
            double rho = correlations[c], spread = sqrt((1 + rho) / (1 - rho));
            struct ruleset_fault fault =
                correlated(10 * MS, (enum ruleset_distribution)d, (uint32_t)(rho * 1e9));
            double *delays = delays_of(&fault, FAULT_STREAM, c, SECOND, COUNT);
            double mean = mean_of(delays, COUNT), variance = covariance_of(delays, COUNT, 0);
            if (c == 0) {
                plain[0] = mean;
                plain[1] = variance;
            }
            double sigma = sqrt(plain[1]);
            assert_true(fabs(mean - plain[0]) < 6 * spread * sigma / sqrt(COUNT));
            assert_true(fabs(sqrt(variance) - sigma) < 10 * spread * sigma / sqrt(COUNT));
            for (size_t lag = 1; lag <= 4; lag++) {
                double seen = covariance_of(delays, COUNT, lag) / variance;
                assert_true(fabs(seen - pow(rho, (double)lag)) < 10 * spread / sqrt(COUNT));
            }
            print_message("%s, correlation %.2f: mean %.3f ms, sigma %.3f ms, lag 1 %.3f\n",
                          ruleset_distribution_name((enum ruleset_distribution)d), rho, mean / 1e6,
                          sqrt(variance) / 1e6, covariance_of(delays, COUNT, 1) / variance);
            free(delays);
        }
    }
}

static void a_table_is_drawn_evenly(void **state)
{
    (void)state;
    enum { COUNT = 50000 };
    int32_t values[] = {-8192, 0, 4096, 32767, 0, 1};
    struct ruleset_table table = {.name = "t", .values = values, .count = COUNT_OF(values)};
    struct ruleset_fault fault = jitter("l", 100 * MS, 8192, RULESET_TABLE);
    struct fault_entry entry = {.spec = &fault, .table = &table, .key = 5, .generation = 1};
    struct harness *harness = harness_create(FAULT_STREAM, 0, COUNT);
    fault_pipeline_apply(&harness->pipeline, &entry, 1, 0);
    for (uint64_t i = 0; i < COUNT; i++)
        harness_push(harness, 1, i * SECOND);
    harness_run(harness, FAULT_NEVER - 1);
    size_t seen[COUNT_OF(values)] = {0}, total = 0;
    for (uint64_t i = 0; i < COUNT; i++) {
        int64_t drawn = (int64_t)(harness->records[i].at_ns - i * SECOND) - (int64_t)(100 * MS);
        for (size_t v = 0; v < COUNT_OF(values); v++)
            if (v != 4 && drawn == values[v]) {
                seen[v]++;
                total++;
            }
    }
    assert_int_equal(total, COUNT);
    for (size_t v = 0; v < COUNT_OF(values); v++) {
        double p = v == 4 ? 0 : v == 1 ? 2 / 6.0 : 1 / 6.0;
        assert_true(fabs((double)seen[v] - p * COUNT) <= 4 * sqrt(COUNT * p * (1 - p)));
    }
    /* rounded towards zero, and no overflow at the ends */
    assert_int_equal(distribution_draw_table(&table, 0, 8191), -8191);
    assert_int_equal(distribution_draw_table(&table, UINT64_MAX, 8191), 0);
    values[0] = INT32_MIN;
    assert_int_equal(distribution_draw_table(&table, 0, RULESET_DELAY_NS_MAX),
                     -(INT64_C(1) << 18) * (int64_t)RULESET_DELAY_NS_MAX);
    harness_free(harness);
}

/* Told to reorder, each datagram has just the delay that it drew, under any load. */
static void without_order_no_draw_is_deformed(void **state)
{
    (void)state;
    enum { COUNT = 20000 };
    struct ruleset_fault fault = jitter("l", 50 * MS, 10 * MS, RULESET_NORMAL);
    double *apart = delays_of(&fault, FAULT_DATAGRAM, 7, SECOND, COUNT);
    fault.latency.reorder = true;
    double *dense = delays_of(&fault, FAULT_DATAGRAM, 7, 50 * US, COUNT);
    assert_memory_equal(apart, dense, COUNT * sizeof(*apart));
    free(apart);
    free(dense);
}

/* Those that are due at once leave in the order in which they came; a stream never reorders. */
static void ties_and_streams_keep_their_order(void **state)
{
    (void)state;
    struct ruleset_fault fault = latency("l", "n1->n2", MS);
    fault.latency.reorder = true;
    struct harness *harness = harness_create(FAULT_DATAGRAM, 0, 64);
    harness_apply(harness, &fault, 1, 0);
    for (int i = 0; i < 64; i++)
        harness_push(harness, 10, 5);
    harness_run(harness, SECOND);
    for (uint32_t i = 0; i < 64; i++)
        expect_delivered(harness, i, i, 5 + MS);
    harness_free(harness);

    harness = harness_create(FAULT_STREAM, 0, 64);
    fault.latency.jitter_ns = MS;
    harness_apply(harness, &fault, 1, 0);
    for (int i = 0; i < 64; i++)
        harness_push(harness, 10, 5);
    harness_run(harness, SECOND);
    for (size_t i = 0; i < 64; i++)
        assert_int_equal(harness->records[i].id, i);
    harness_free(harness);
}

/* Told and told no more while units are held: each leaves when it is due. */
static void reordering_can_begin_and_end(void **state)
{
    (void)state;
    struct ruleset_fault orders[4];
    static const uint64_t delays[] = {10, 2, 9, 1};
    for (size_t i = 0; i < 4; i++) {
        orders[i] = latency("l", "n1->n2", delays[i] * MS);
        orders[i].latency.reorder = i % 2;
    }
    struct harness *harness = harness_create(FAULT_DATAGRAM, 0, 8);
    for (size_t i = 0; i < 4; i++) {
        harness_apply(harness, &orders[i], 1, i * 100 * US);
        harness_push(harness, 10, i * 100 * US);
    }
    harness_run(harness, SECOND);
    expect_delivered(harness, 0, 3, 300 * US + MS);
    expect_delivered(harness, 1, 1, 100 * US + 2 * MS);
    expect_delivered(harness, 2, 0, 10 * MS);
    expect_delivered(harness, 3, 2, 10 * MS); /* in order with the one before it */
    harness_free(harness);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* How far order deforms a jitter (FAULT-MODEL.md has these numbers): an early large draw holds
 * those behind it. */
static void order_under_load_leans_to_the_larger_draws(void **state)
{
    (void)state;
    enum { COUNT = 100000 };
    static const struct {
        uint64_t per_s;
        double mean, sigma, p50, p99; /* ms, within 0.15, p99 0.4 */
    } cases[] = {
        {10, 20.0, 5.0, 20.0, 31.6},
        {100, 20.25, 4.73, 20.15, 31.6},
        {1000, 24.5, 3.2, 24.25, 33.1},
        {10000, 29.4, 2.45, 29.1, 37.0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct ruleset_fault fault = jitter("l", 20 * MS, 5 * MS, RULESET_NORMAL);
        double *delays = delays_of(&fault, FAULT_STREAM, 3, SECOND / cases[i].per_s, COUNT);
        double mean = mean_of(delays, COUNT) / 1e6;
        double sigma = sqrt(covariance_of(delays, COUNT, 0)) / 1e6;
        qsort(delays, COUNT, sizeof(*delays), compare);
        double p50 = delays[COUNT / 2] / 1e6, p99 = delays[COUNT / 100 * 99] / 1e6;
        print_message("%lu a second: mean %.2f ms, sigma %.2f, p50 %.2f, p99 %.2f\n",
                      cases[i].per_s, mean, sigma, p50, p99);
        free(delays);
        assert_true(fabs(mean - cases[i].mean) < 0.15 && fabs(sigma - cases[i].sigma) < 0.15);
        assert_true(fabs(p50 - cases[i].p50) < 0.15 && fabs(p99 - cases[i].p99) < 0.4);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_second_at_20000_units_a_second_is_one_second),
        cmocka_unit_test(correlated_jitter_keeps_its_distribution),
        cmocka_unit_test(a_table_is_drawn_evenly),
        cmocka_unit_test(without_order_no_draw_is_deformed),
        cmocka_unit_test(ties_and_streams_keep_their_order),
        cmocka_unit_test(reordering_can_begin_and_end),
        cmocka_unit_test(order_under_load_leans_to_the_larger_draws),
    };
    return cmocka_run_group_tests_name("proxy/fault/stage_latency", tests, NULL, NULL);
}
