/* What the stages draw, as statistics, with fixed seeds: a test here either always passes or always
 * fails. Levels are such that a right generator fails one in about 10^4 of the seeds. */
#include "tests/unit/proxy/fault/harness.h"

#include <math.h>

#include "proxy/base/random.h"
#include "proxy/fault/stage.h"

enum { SAMPLES = 200000 };

/* Kolmogorov-Smirnov: P(sqrt(n) D > 2.23) is about 10^-4. */
static const double ks_bound = 2.23;
/* A standard normal deviate beyond 4 has probability 6 * 10^-5. */
static const double deviate_bound = 4.0;

/* One plan with a fault on n1->n2 and one flow's pipeline over it. */
struct bed {
    struct ruleset ruleset;
    struct fault_plan *plan;
    struct harness *harness;
};

static void bed_create(struct bed *bed, uint64_t seed, const struct ruleset_fault *faults,
                       size_t count, enum fault_medium medium, uint64_t flow, size_t units)
{
    *bed = (struct bed){.ruleset.seed = seed};
    add_node(&bed->ruleset, "n1");
    add_node(&bed->ruleset, "n2");
    for (size_t i = 0; i < count; i++)
        ruleset_add_fault(&bed->ruleset, &faults[i]);
    assert_int_equal(fault_plan_create(&bed->ruleset, NULL, &bed->plan, NULL), 0);
    bed->harness = harness_create(medium, flow, units);
}

static void bed_apply(struct bed *bed, const char *from, const char *to)
{
    struct fault_entry entries[FAULT_CHAIN_MAX];
    size_t count = fault_plan_chain(bed->plan, fault_plan_node_slot(bed->plan, from),
                                    fault_plan_node_slot(bed->plan, to), FAULT_NO_ROUTE,
                                    RULESET_BOTH, entries);
    fault_pipeline_apply(&bed->harness->pipeline, entries, count, 0);
}

static void bed_free(struct bed *bed)
{
    harness_free(bed->harness);
    fault_plan_destroy(bed->plan);
    ruleset_free(&bed->ruleset);
}

/* The delays of `count` units that are so far apart that none waits for another. */
static uint64_t *delays_of(const struct ruleset_fault *fault, uint64_t seed, uint64_t flow,
                           size_t count)
{
    const uint64_t gap = 10 * SECOND;
    struct bed bed;
    bed_create(&bed, seed, fault, 1, FAULT_STREAM, flow, count);
    bed_apply(&bed, "n1", "n2");
    uint64_t *delays = calloc(count, sizeof(*delays));
    assert_non_null(delays);
    for (uint64_t i = 0; i < count; i++) {
        harness_push(bed.harness, 1, i * gap);
        harness_run(bed.harness, i * gap + gap - 1);
        assert_int_equal(bed.harness->record_count, i + 1);
        delays[i] = bed.harness->records[i].at_ns - i * gap;
    }
    bed_free(&bed);
    return delays;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static double uniform_cdf(double x)
{
    return fmin(1, fmax(0, (x + 1) / 2));
}

static double normal_cdf(double x)
{
    return x >= 4 ? 1 : 0.5 * erfc(-x / sqrt(2.0));
}

/* Inverse of P in pipeline.h; the mass above 4 is at 4. */
static double pareto_cdf(double x)
{
    return x >= 4 ? 1 : x < -2.0 / 3 ? 0 : 1 - pow(1.5 + 0.75 * x, -3);
}

static double normal_quantile(double p)
{
    double low = -4, high = 4;
    for (int i = 0; i < 50; i++) {
        double middle = (low + high) / 2;
        *(normal_cdf(middle) < p ? &low : &high) = middle;
    }
    return low;
}

/* Of (N(U) + 3 P(U)) / 4, a growing function of U: looked up in a grid of its values, which is
 * made once. The grid's step is far below what the samples can tell. */
static double paretonormal_cdf(double x)
{
    enum { STEPS = 20000 };
    static double values[STEPS + 1];
    for (int i = 0; values[STEPS] == 0 && i <= STEPS; i++) {
        double p = (double)i / STEPS;
        double pareto = i == STEPS ? 4 : fmin(4, (4.0 / 3) * (pow(1 - p, -1.0 / 3) - 1.5));
        values[i] = (normal_quantile(p) + 3 * pareto) / 4;
    }
    if (x >= 4)
        return 1;
    int low = 0, high = STEPS;
    while (low < high) {
        int middle = (low + high) / 2;
        *(values[middle] < x ? &low : &high) = values[middle] < x ? middle + 1 : middle;
    }
    return (double)low / STEPS;
}

typedef double (*cdf_function)(double x);

/* sqrt(n) times the largest distance between the empirical and the wanted CDF. Steps in the wanted
 * one (the ends where tails are cut) are compared from below and from above. */
static double ks_statistic(uint64_t *delays, size_t count, double delay_ns, double jitter_ns,
                           cdf_function cdf)
{
    double largest = 0;
    qsort(delays, count, sizeof(*delays), compare);
    for (size_t i = 0; i < count;) {
        size_t next = i;
        while (next < count && delays[next] == delays[i])
            next++;
        double below = cdf(((double)delays[i] - 1 - delay_ns) / jitter_ns);
        double at = cdf(((double)delays[i] + 1 - delay_ns) / jitter_ns);
        largest = fmax(largest, below - (double)i / (double)count);
        largest = fmax(largest, (double)next / (double)count - at);
        i = next;
    }
    return largest * sqrt((double)count);
}

static void delays_follow_their_distribution(void **state)
{
    (void)state;
    static const struct {
        enum ruleset_distribution distribution;
        cdf_function cdf;
    } cases[] = {{RULESET_UNIFORM, uniform_cdf},
                 {RULESET_NORMAL, normal_cdf},
                 {RULESET_PARETO, pareto_cdf},
                 {RULESET_PARETONORMAL, paretonormal_cdf}};
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        for (uint64_t seed = 1; seed <= 3; seed++) {
            struct ruleset_fault fault = jitter("f", 100 * MS, 20 * MS, cases[i].distribution);
            uint64_t *delays = delays_of(&fault, seed, seed, SAMPLES);
            double statistic = ks_statistic(delays, SAMPLES, 100e6, 20e6, cases[i].cdf);
            print_message("%s, seed %lu: sqrt(n) D = %.2f\n",
                          ruleset_distribution_name(cases[i].distribution), seed, statistic);
            assert_true(statistic < ks_bound);
            /* and no other distribution's CDF would do */
            for (size_t k = 0; seed == 1 && k < COUNT_OF(cases); k++)
                if (k != i)
                    assert_true(ks_statistic(delays, SAMPLES, 100e6, 20e6, cases[k].cdf) >
                                3 * ks_bound);
            free(delays);
        }
}

static void mean_and_spread_are_netems(void **state)
{
    (void)state;
    static const struct {
        enum ruleset_distribution distribution;
        double mean, sigma; /* of X */
    } cases[] = {
        {RULESET_UNIFORM, 0, 0.57735},
        {RULESET_NORMAL, 0, 1.0},
        /* of the 4096 values of each table as iproute2 makes them */
        {RULESET_PARETO, -0.0335, 0.8197},
        {RULESET_PARETONORMAL, -0.0254, 0.8339},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct ruleset_fault fault = jitter("f", 100 * MS, 20 * MS, cases[i].distribution);
        uint64_t *delays = delays_of(&fault, 7, 0, SAMPLES);
        double sum = 0, squares = 0;
        for (size_t k = 0; k < SAMPLES; k++) {
            double x = ((double)delays[k] - 100e6) / 20e6;
            sum += x;
            squares += x * x;
        }
        double mean = sum / SAMPLES, sigma = sqrt(squares / SAMPLES - mean * mean);
        print_message("%s: mean %.4f sigma %.4f\n",
                      ruleset_distribution_name(cases[i].distribution), mean, sigma);
        assert_true(fabs(mean - cases[i].mean) < 0.01);
        assert_true(fabs(sigma - cases[i].sigma) < 0.01);
        free(delays);
    }
}

static void delays_are_never_negative(void **state)
{
    (void)state;
    for (unsigned d = 0; d < RULESET_DISTRIBUTIONS; d++) {
        struct ruleset_fault fault = jitter("f", MS, 500 * MS, (enum ruleset_distribution)d);
        uint64_t *delays = delays_of(&fault, 3, 0, 2000);
        size_t zero = 0;
        for (size_t i = 0; i < 2000; i++) {
            assert_true(delays[i] <= MS + 4 * 500 * MS);
            zero += delays[i] == 0;
        }
        assert_true(zero > 500 && zero < 1500);
        free(delays);
    }
}

/* Lost or not of `count` units of `segments` each, one byte per unit. */
static uint8_t *losses_of(struct bed *bed, const char *from, const char *to, uint32_t segments,
                          size_t count)
{
    uint8_t *lost = calloc(count, 1);
    assert_non_null(lost);
    bed_apply(bed, from, to);
    for (size_t i = 0; i < count; i++) {
        harness_push_segments(bed->harness, 100, segments, i);
        assert_int_equal(bed->harness->record_count, i + 1);
        lost[i] = bed->harness->records[i].cause == FAULT_CAUSE_LOSS;
    }
    return lost;
}

static size_t count_ones(const uint8_t *values, size_t count)
{
    size_t ones = 0;
    for (size_t i = 0; i < count; i++)
        ones += values[i];
    return ones;
}

/* Of a binomial count, as a standard normal deviate. */
static double deviate(size_t hits, size_t count, double probability)
{
    double expected = (double)count * probability;
    return ((double)hits - expected) / sqrt(expected * (1 - probability));
}

static void losses_are_binomial(void **state)
{
    (void)state;
    static const uint32_t probabilities[] = {1000000, 50000000, 500000000, 990000000};
    static const uint32_t segments[] = {1, 2, 3, 17, 45};
    for (size_t i = 0; i < COUNT_OF(probabilities); i++)
        for (size_t k = 0; k < COUNT_OF(segments); k++) {
            struct ruleset_fault fault = loss("f", probabilities[i]);
            struct bed bed;
            bed_create(&bed, 5 + k, &fault, 1, FAULT_DATAGRAM, 0, SAMPLES);
            uint8_t *lost = losses_of(&bed, "n1", "n2", segments[k], SAMPLES);
            double p = 1 - pow(1 - probabilities[i] / 1e9, segments[k]);
            size_t hits = count_ones(lost, SAMPLES);
            if (p < 1 - 1e-5)
                assert_true(fabs(deviate(hits, SAMPLES, p)) < deviate_bound);
            else
                assert_true(hits >= SAMPLES - 8);
            assert_int_equal(bed.harness->touched[0], hits);
            free(lost);
            bed_free(&bed);
        }
}

/* Gaps between losses are geometric: chi-square over gap lengths 0..18 and longer ones. */
static void losses_do_not_cluster(void **state)
{
    (void)state;
    enum { CELLS = 20 };
    const double p = 0.1;
    struct ruleset_fault fault = loss("f", 100000000);
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct bed bed;
        bed_create(&bed, seed, &fault, 1, FAULT_DATAGRAM, 0, SAMPLES);
        uint8_t *lost = losses_of(&bed, "n1", "n2", 1, SAMPLES);
        size_t cells[CELLS] = {0}, gap = 0, gaps = 0;
        for (size_t i = 0; i < SAMPLES; i++) {
            if (!lost[i]) {
                gap++;
                continue;
            }
            cells[gap < CELLS - 1 ? gap : CELLS - 1]++;
            gaps++;
            gap = 0;
        }
        double chi = 0;
        for (size_t i = 0; i < CELLS; i++) {
            double cell = i < CELLS - 1 ? p * pow(1 - p, (double)i) : pow(1 - p, (double)i);
            double expected = cell * (double)gaps;
            chi += ((double)cells[i] - expected) * ((double)cells[i] - expected) / expected;
        }
        print_message("seed %lu: chi-square %.1f of 19 degrees\n", seed, chi);
        assert_true(chi < 50.8 && chi > 3.5); /* 10^-4 either way */
        free(lost);
        bed_free(&bed);
    }
}

/* Two 0/1 sequences with mean p agree as often as independent ones would. */
static void assert_independent(const uint8_t *a, const uint8_t *b, size_t count, double p)
{
    size_t agree = 0;
    for (size_t i = 0; i < count; i++)
        agree += a[i] == b[i];
    assert_true(fabs(deviate(agree, count, p * p + (1 - p) * (1 - p))) < deviate_bound);
}

static void flows_directions_faults_and_seeds_are_independent(void **state)
{
    (void)state;
    enum { SERIES = 6, COUNT = 50000 };
    struct ruleset_fault faults[] = {loss("f", 300000000), loss("g", 300000000)};
    faults[0].both_ways = faults[1].both_ways = true;
    static const struct {
        uint64_t seed, flow;
        const char *from, *to;
        size_t fault;
    } cases[SERIES] = {{1, 0, "n1", "n2", 0}, {1, 1, "n1", "n2", 0}, {1, 2, "n1", "n2", 0},
                       {1, 0, "n2", "n1", 0}, {1, 0, "n1", "n2", 1}, {2, 0, "n1", "n2", 0}};
    uint8_t *lost[SERIES];
    for (size_t i = 0; i < SERIES; i++) {
        struct bed bed;
        bed_create(&bed, cases[i].seed, &faults[cases[i].fault], 1, FAULT_DATAGRAM, cases[i].flow,
                   COUNT);
        lost[i] = losses_of(&bed, cases[i].from, cases[i].to, 1, COUNT);
        assert_true(fabs(deviate(count_ones(lost[i], COUNT), COUNT, 0.3)) < deviate_bound);
        bed_free(&bed);
        for (size_t k = 0; k < i; k++)
            assert_independent(lost[i], lost[k], COUNT, 0.3);
        for (size_t lag = 1; lag < 20; lag++) /* nor does a unit depend on those before it */
            assert_independent(lost[i], lost[i] + lag, COUNT - lag, 0.3);
    }
    for (size_t i = 0; i < SERIES; i++)
        free(lost[i]);
}

/* What one link draws is the same whatever else is in the ruleset and whatever its slots are. */
static void unrelated_things_change_no_decision(void **state)
{
    (void)state;
    enum { COUNT = 5000 };
    struct ruleset_fault fault = loss("f", 300000000);
    struct ruleset_fault more[] = {latency("other", "*->n1", MS), latency("before", "n1->n2", MS),
                                   fault, latency("after", "n1->n2", MS)};
    struct bed alone, again, crowded;
    bed_create(&alone, 9, &fault, 1, FAULT_DATAGRAM, 4, COUNT);
    bed_create(&again, 9, &fault, 1, FAULT_DATAGRAM, 4, COUNT);
    bed_create(&crowded, 9, more, COUNT_OF(more), FAULT_DATAGRAM, 4, COUNT);
    uint8_t *one = losses_of(&alone, "n1", "n2", 1, COUNT);
    uint8_t *two = losses_of(&again, "n1", "n2", 1, COUNT);
    assert_memory_equal(one, two, COUNT);
    bed_apply(&crowded, "n1", "n2");
    for (uint64_t i = 0; i < COUNT; i++)
        harness_push(crowded.harness, 100, i * US);
    harness_run(crowded.harness, SECOND);
    assert_int_equal(crowded.harness->record_count, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        const struct record *record = &crowded.harness->records[i];
        assert_int_equal(record->cause == FAULT_CAUSE_LOSS, one[record->id]);
    }
    free(one);
    free(two);
    bed_free(&alone);
    bed_free(&again);
    bed_free(&crowded);
}

/* A change of parameters keeps the place in the sequence: where the rates overlap, so do the
 * decisions (a unit that 10 % lose, 30 % lose as well). */
static void a_change_goes_on_in_the_sequence(void **state)
{
    (void)state;
    enum { COUNT = 4000 };
    struct ruleset_fault fault = loss("f", 300000000);
    struct bed steady, changed;
    bed_create(&steady, 11, &fault, 1, FAULT_DATAGRAM, 0, COUNT);
    bed_create(&changed, 11, &fault, 1, FAULT_DATAGRAM, 0, COUNT);
    uint8_t *wanted = losses_of(&steady, "n1", "n2", 1, COUNT);
    size_t hits = 0;
    for (uint64_t i = 0; i < COUNT; i++) {
        if (i % 1000 == 0) {
            struct fault_plan *next = NULL;
            changed.ruleset.faults[0].loss.probability_ppb = i / 1000 % 2 ? 100000000 : 300000000;
            assert_int_equal(fault_plan_create(&changed.ruleset, changed.plan, &next, NULL), 0);
            struct fault_plan *old = changed.plan;
            changed.plan = next;
            bed_apply(&changed, "n1", "n2");
            fault_plan_destroy(old);
        }
        harness_push(changed.harness, 1, i);
        bool lost = changed.harness->records[i].cause == FAULT_CAUSE_LOSS;
        if (i / 1000 % 2 == 0)
            assert_int_equal(lost, wanted[i]);
        else
            assert_true(!lost || wanted[i]);
        hits += i / 1000 % 2 && lost;
    }
    assert_true(fabs(deviate(hits, COUNT / 2, 0.1)) < deviate_bound);
    free(wanted);
    bed_free(&steady);
    bed_free(&changed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(delays_follow_their_distribution),
        cmocka_unit_test(mean_and_spread_are_netems),
        cmocka_unit_test(delays_are_never_negative),
        cmocka_unit_test(losses_are_binomial),
        cmocka_unit_test(losses_do_not_cluster),
        cmocka_unit_test(flows_directions_faults_and_seeds_are_independent),
        cmocka_unit_test(unrelated_things_change_no_decision),
        cmocka_unit_test(a_change_goes_on_in_the_sequence),
    };
    return cmocka_run_group_tests_name("proxy/fault/statistics", tests, NULL, NULL);
}
