/* The loss models that remember, as statistics with fixed seeds: a test here either always passes
 * or always fails. Bounds are four standard deviations, those of correlated samples widened by what
 * the correlation takes from them. */
#include "tests/unit/proxy/fault/harness.h"

#include <math.h>

enum { SAMPLES = 200000, PPB = 1000000000 };

static struct ruleset_fault gilbert_elliott(double to_bad, double to_good, double in_bad,
                                            double in_good)
{
    struct ruleset_fault fault = fault_of("x", RULESET_LOSS);
    fault.loss.model = RULESET_LOSS_GILBERT_ELLIOTT;
    fault.loss.to_bad_ppb = (uint32_t)(to_bad * PPB);
    fault.loss.to_good_ppb = (uint32_t)(to_good * PPB);
    fault.loss.lost_in_bad_ppb = (uint32_t)(in_bad * PPB);
    fault.loss.lost_in_good_ppb = (uint32_t)(in_good * PPB);
    return fault;
}

static struct ruleset_fault markov(double p13, double p31, double p32, double p23, double p14)
{
    struct ruleset_fault fault = fault_of("x", RULESET_LOSS);
    fault.loss.model = RULESET_LOSS_MARKOV;
    fault.loss.p13_ppb = (uint32_t)(p13 * PPB);
    fault.loss.p31_ppb = (uint32_t)(p31 * PPB);
    fault.loss.p32_ppb = (uint32_t)(p32 * PPB);
    fault.loss.p23_ppb = (uint32_t)(p23 * PPB);
    fault.loss.p14_ppb = (uint32_t)(p14 * PPB);
    return fault;
}

static struct ruleset_fault every(uint32_t n)
{
    struct ruleset_fault fault = fault_of("x", RULESET_LOSS);
    fault.loss.model = RULESET_LOSS_EVERY;
    fault.loss.every = n;
    return fault;
}

static struct ruleset_fault correlated(double probability, double correlation)
{
    struct ruleset_fault fault = fault_of("x", RULESET_LOSS);
    fault.loss.probability_ppb = (uint32_t)(probability * PPB);
    fault.loss.correlation_ppb = (uint32_t)(correlation * PPB);
    return fault;
}

/* Lost or not, one byte a unit. */
static uint8_t *losses_of(const struct ruleset_fault *fault, uint64_t flow, uint32_t segments,
                          size_t count)
{
    struct harness *harness = harness_create(FAULT_DATAGRAM, flow, count);
    uint8_t *lost = calloc(count, 1);
    assert_non_null(lost);
    harness_apply(harness, fault, 1, 0);
    for (size_t i = 0; i < count; i++) {
        harness_push_segments(harness, 100, segments, i);
        assert_int_equal(harness->record_count, i + 1);
        lost[i] = harness->records[i].cause == FAULT_CAUSE_LOSS;
    }
    harness_free(harness);
    return lost;
}

struct burstiness {
    double mean, burst; /* part that is lost, mean length of a burst of losses */
    size_t bursts;
};

static struct burstiness measure(const uint8_t *lost, size_t count)
{
    struct burstiness seen = {0};
    size_t losses = 0;
    for (size_t i = 0; i < count; i++) {
        losses += lost[i];
        seen.bursts += lost[i] && (i == 0 || !lost[i - 1]);
    }
    seen.mean = (double)losses / (double)count;
    seen.burst = seen.bursts ? (double)losses / (double)seen.bursts : 0;
    return seen;
}

/* Of 0/1 samples at this lag. */
static double autocorrelation(const uint8_t *values, size_t count, size_t lag)
{
    double mean = measure(values, count).mean, sum = 0;
    for (size_t i = lag; i < count; i++)
        sum += (values[i] - mean) * (values[i - lag] - mean);
    return sum / (double)(count - lag) / (mean * (1 - mean));
}

static void gilbert_elliott_has_its_mean_and_bursts(void **state)
{
    (void)state;
    static const struct {
        double to_bad, to_good, in_bad, in_good;
    } cases[] = {
        {0.01, 0.1, 1, 0}, {0.05, 0.3, 1, 0}, {0.02, 0.2, 0.5, 0.01}, {0.3, 0.7, 0.9, 0.1}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        double r = cases[i].to_bad, s = cases[i].to_good, h = cases[i].in_bad, k = cases[i].in_good;
        struct ruleset_fault fault = gilbert_elliott(r, s, h, k);
        uint8_t *lost = losses_of(&fault, i, 1, SAMPLES);
        struct burstiness seen = measure(lost, SAMPLES);
        double bad = r / (r + s), mean = bad * h + (1 - bad) * k;
        double memory = 1 - r - s, spread = sqrt((1 + memory) / (1 - memory));
        print_message("gilbert-elliott %zu: mean %.5f of %.5f, bursts of %.3f\n", i, seen.mean,
                      mean, seen.burst);
        assert_true(fabs(seen.mean - mean) < 4 * spread * sqrt(mean * (1 - mean) / SAMPLES));
        /* the lost units' covariance at lag k falls with the memory of the state */
        for (size_t lag = 1; lag <= 3; lag++) {
            double wanted = bad * (1 - bad) * (h - k) * (h - k) * pow(memory, (double)lag) /
                            (mean * (1 - mean));
            assert_true(fabs(autocorrelation(lost, SAMPLES, lag) - wanted) <
                        4 * spread * spread / sqrt(SAMPLES));
        }
        if (h == 1 && k == 0) /* geometric */
            assert_true(fabs(seen.burst - 1 / s) < 4 * sqrt(1 - s) / s / sqrt((double)seen.bursts));
        free(lost);
    }
}

static void markov_has_its_mean_and_bursts(void **state)
{
    (void)state;
    static const struct {
        double p13, p31, p32, p23, p14;
    } cases[] = {{0.01, 0.2, 0.1, 0.4, 0.005},
                 {0.05, 0.5, 0, 0.9, 0.02},
                 {0.1, 0.3, 0.3, 0.2, 0},
                 {0, 1, 0, 1, 0.1}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct ruleset_fault fault =
            markov(cases[i].p13, cases[i].p31, cases[i].p32, cases[i].p23, cases[i].p14);
        uint8_t *lost = losses_of(&fault, i, 1, SAMPLES);
        struct burstiness seen = measure(lost, SAMPLES);
        /* the balance of each state, in parts of the good one */
        double in3 = cases[i].p13 / cases[i].p31, in2 = in3 * cases[i].p32 / cases[i].p23;
        double in4 = cases[i].p14, all = 1 + in2 + in3 + in4;
        double mean = (in3 + in4) / all;
        double starts = (cases[i].p13 + cases[i].p14 + in2 * cases[i].p23) / all;
        double burst = mean / starts;
        print_message("markov %zu: mean %.5f of %.5f, bursts of %.3f of %.3f\n", i, seen.mean, mean,
                      seen.burst, burst);
        assert_true(fabs(seen.mean - mean) < 4 * 3 * sqrt(mean * (1 - mean) / SAMPLES));
        assert_true(fabs(seen.burst - burst) <= 4 * burst / sqrt((double)seen.bursts));
        free(lost);
    }
}

/* One lost alone is never followed by another. */
static void what_is_lost_alone_is_alone(void **state)
{
    (void)state;
    struct ruleset_fault fault = markov(0, 0.5, 0, 0, 0.4);
    uint8_t *lost = losses_of(&fault, 0, 1, SAMPLES);
    assert_true(measure(lost, SAMPLES).bursts > SAMPLES / 5);
    for (size_t i = 1; i < SAMPLES; i++)
        assert_false(lost[i] && lost[i - 1]);
    free(lost);
}

static void correlated_loss_keeps_its_mean(void **state)
{
    (void)state;
    static const double probabilities[] = {0.001, 0.05, 0.5}, correlations[] = {0.25, 0.5, 0.9};
    for (size_t i = 0; i < COUNT_OF(probabilities); i++)
        for (size_t k = 0; k < COUNT_OF(correlations); k++) {
            double p = probabilities[i], c = correlations[k];
            struct ruleset_fault fault = correlated(p, c);
            uint8_t *lost = losses_of(&fault, 10 * i + k, 1, SAMPLES);
            struct burstiness seen = measure(lost, SAMPLES);
            double spread = sqrt((1 + c) / (1 - c));
            print_message("p %.3f, correlation %.2f: mean %.5f, bursts of %.3f, lag 1 %.3f\n", p, c,
                          seen.mean, seen.burst, autocorrelation(lost, SAMPLES, 1));
            assert_true(fabs(seen.mean - p) < 4 * spread * sqrt(p * (1 - p) / SAMPLES));
            double burst = 1 / ((1 - c) * (1 - p)); /* a loss ends with (1 - c) (1 - p) */
            assert_true(fabs(seen.burst - burst) < 4 * burst / sqrt((double)seen.bursts));
            for (size_t lag = 1; lag <= 3 && p >= 0.05; lag++)
                assert_true(fabs(autocorrelation(lost, SAMPLES, lag) - pow(c, (double)lag)) < 0.05);
            free(lost);
        }
}

static void a_full_correlation_repeats_the_first_draw(void **state)
{
    (void)state;
    size_t all = 0;
    for (uint64_t flow = 0; flow < 100; flow++) {
        struct ruleset_fault fault = correlated(0.5, 1);
        uint8_t *lost = losses_of(&fault, flow, 1, 50);
        double mean = measure(lost, 50).mean;
        assert_true(mean == 0 || mean == 1);
        all += mean == 1;
        free(lost);
    }
    assert_true(all > 30 && all < 70);
}

static void every_nth_is_lost(void **state)
{
    (void)state;
    static const uint32_t ns[] = {1, 2, 3, 100, UINT32_MAX};
    for (size_t i = 0; i < COUNT_OF(ns); i++) {
        struct ruleset_fault fault = every(ns[i]);
        uint8_t *lost = losses_of(&fault, 0, 1, 1000);
        for (size_t k = 0; k < 1000; k++)
            assert_int_equal(lost[k], (k + 1) % ns[i] == 0);
        free(lost);
    }
}

/* A unit of k segments moves a model as far as k units of one, and is lost when one of them is. */
static void a_unit_is_as_many_steps_as_it_has_segments(void **state)
{
    (void)state;
    enum { COUNT = 4000, SEGMENTS = 7 };
    struct ruleset_fault faults[] = {gilbert_elliott(0.02, 0.2, 0.5, 0.01),
                                     markov(0.01, 0.2, 0.1, 0.4, 0.005), every(23),
                                     correlated(0.02, 0.5)};
    for (size_t i = 0; i < COUNT_OF(faults); i++) {
        uint8_t *single = losses_of(&faults[i], 3, 1, COUNT * SEGMENTS);
        uint8_t *super = losses_of(&faults[i], 3, SEGMENTS, COUNT);
        size_t losses = 0;
        for (size_t k = 0; k < COUNT; k++) {
            bool any = false;
            for (size_t s = 0; s < SEGMENTS; s++)
                any |= single[k * SEGMENTS + s];
            assert_int_equal(super[k], any);
            losses += any;
        }
        assert_true(losses > COUNT / 50 && losses < COUNT);
        free(single);
        free(super);
    }
}

/* New numbers go on where the old ones were; another model begins in its good state. */
static void a_change_keeps_the_state_of_a_model(void **state)
{
    (void)state;
    struct ruleset_fault to_bad = gilbert_elliott(1, 0, 1, 0), stays = gilbert_elliott(0, 0, 1, 0),
                         other = markov(0, 0, 0, 0, 0), third = every(5);
    struct harness *harness = harness_create(FAULT_DATAGRAM, 0, 16);
    harness_apply(harness, &to_bad, 1, 0);
    harness_push(harness, 1, 0);
    harness_apply(harness, &stays, 1, 0);
    harness_push(harness, 1, 0);
    harness_push(harness, 1, 0);
    harness_apply(harness, &other, 1, 0);
    harness_push(harness, 1, 0);
    harness_apply(harness, &stays, 1, 0);
    harness_push(harness, 1, 0);
    harness_apply(harness, &third, 1, 0); /* counts all that there have been */
    for (int i = 0; i < 5; i++)
        harness_push(harness, 1, 0);
    static const bool lost[] = {false, true, true, false, false, false, false, false, false, true};
    for (size_t i = 0; i < COUNT_OF(lost); i++)
        assert_int_equal(harness->records[i].cause == FAULT_CAUSE_LOSS, lost[i]);
    harness_free(harness);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gilbert_elliott_has_its_mean_and_bursts),
        cmocka_unit_test(markov_has_its_mean_and_bursts),
        cmocka_unit_test(what_is_lost_alone_is_alone),
        cmocka_unit_test(correlated_loss_keeps_its_mean),
        cmocka_unit_test(a_full_correlation_repeats_the_first_draw),
        cmocka_unit_test(every_nth_is_lost),
        cmocka_unit_test(a_unit_is_as_many_steps_as_it_has_segments),
        cmocka_unit_test(a_change_keeps_the_state_of_a_model),
    };
    return cmocka_run_group_tests_name("proxy/fault/stage_loss", tests, NULL, NULL);
}
