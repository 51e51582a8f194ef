/* Corrupt: how many bits are flipped, and which. */
#include "tests/unit/proxy/fault/harness.h"

#include <math.h>

#include "proxy/base/random.h"

enum { BLOCK = 1460, PPB = 1000000000 };

static struct ruleset_fault corrupt(uint32_t probability_ppb, uint32_t correlation_ppb)
{
    struct ruleset_fault fault = fault_of("c", RULESET_CORRUPT);
    fault.corrupt.probability_ppb = probability_ppb;
    fault.corrupt.correlation_ppb = correlation_ppb;
    return fault;
}

static void chosen_datagrams_lose_one_bit(void **state)
{
    (void)state;
    enum { COUNT = 100000, BYTES = 4 };
    struct harness *harness = harness_create(FAULT_DATAGRAM, 0, COUNT);
    struct ruleset_fault fault = corrupt(200000000, 0);
    harness_apply(harness, &fault, 1, 0);
    for (size_t i = 0; i < COUNT; i++)
        harness_push(harness, BYTES, i);
    assert_int_equal(harness->record_count, COUNT);
    double sigma = sqrt(COUNT * 0.2 * 0.8);
    assert_true(fabs((double)harness->flip_count - 0.2 * COUNT) < 4 * sigma);
    assert_int_equal(harness->touched[0], harness->flip_count);
    size_t bits[8 * BYTES] = {0};
    for (size_t i = 0; i < harness->flip_count; i++) {
        assert_true(i == 0 || harness->flips[i].id > harness->flips[i - 1].id);
        bits[harness->flips[i].bit]++;
    }
    double expected = (double)harness->flip_count / (8 * BYTES), chi = 0;
    for (size_t i = 0; i < 8 * BYTES; i++)
        chi += ((double)bits[i] - expected) * ((double)bits[i] - expected) / expected;
    print_message("chi-square %.1f of 31 degrees\n", chi);
    assert_true(chi < 69 && chi > 9); /* 10^-4 either way */
    harness_free(harness);
}

static void correlation_makes_bursts(void **state)
{
    (void)state;
    enum { COUNT = 100000 };
    struct harness *harness = harness_create(FAULT_DATAGRAM, 0, COUNT);
    struct ruleset_fault fault = corrupt(100000000, 800000000);
    harness_apply(harness, &fault, 1, 0);
    for (size_t i = 0; i < COUNT; i++)
        harness_push(harness, 100, i);
    size_t bursts = 0;
    for (size_t i = 0; i < harness->flip_count; i++)
        bursts += i == 0 || harness->flips[i].id != harness->flips[i - 1].id + 1;
    double mean = (double)harness->flip_count / COUNT;
    double burst = (double)harness->flip_count / (double)bursts;
    assert_true(fabs(mean - 0.1) < 4 * 3 * sqrt(0.09 / COUNT));
    assert_true(fabs(burst - 1 / (0.2 * 0.9)) < 4 * burst / sqrt((double)bursts));
    harness_free(harness);
}

/* The bits of a stream of `bytes` that are flipped, in order; chunks are drawn from the dice. */
static size_t flips_of(const struct ruleset_fault *fault, uint64_t bytes, uint64_t dice_key,
                       uint64_t largest, uint64_t *flips, size_t room)
{
    struct random_stream dice = {.key = dice_key};
    static uint64_t starts[40000]; /* of each unit */
    struct harness *harness = harness_create(FAULT_STREAM, 5, COUNT_OF(starts));
    uint64_t position = 0;
    harness_apply(harness, fault, 1, 0);
    while (position < bytes) {
        uint64_t step = 1 + random_below(random_next(&dice), largest);
        step = step < bytes - position ? step : bytes - position;
        starts[harness->unit_count] = position;
        harness_push(harness, (uint32_t)step, 0);
        position += step;
    }
    harness_push_end(harness, 0);
    assert_true(harness->flip_count <= room);
    for (size_t i = 0; i < harness->flip_count; i++)
        flips[i] = 8 * starts[harness->flips[i].id] + harness->flips[i].bit;
    size_t count = harness->flip_count;
    for (size_t i = 0; i < harness->record_count; i++)
        expect_delivered(harness, i, i, 0);
    harness_free(harness);
    return count;
}

static void a_stream_is_corrupted_by_position_whatever_the_chunks(void **state)
{
    (void)state;
    enum { BLOCKS = 2000, ROOM = BLOCKS + 1 };
    static uint64_t whole[ROOM], other[ROOM];
    static const uint32_t correlations[] = {0, 500000000};
    for (size_t c = 0; c < COUNT_OF(correlations); c++) {
        struct ruleset_fault fault = corrupt(300000000, correlations[c]);
        uint64_t bytes = (uint64_t)BLOCKS * BLOCK;
        size_t count = flips_of(&fault, bytes, 1, 65536, whole, ROOM);
        double spread = correlations[c] ? sqrt(3.0) : 1;
        assert_true(fabs((double)count - 0.3 * BLOCKS) < 4 * spread * sqrt(0.21 * BLOCKS));
        for (size_t i = 0; i < count; i++) /* at most one a block, in order */
            assert_true(i == 0 || whole[i] / (8 * BLOCK) > whole[i - 1] / (8 * BLOCK));
        static const uint64_t largest[] = {200, 1460, 5000, 300000};
        for (size_t i = 0; i < COUNT_OF(largest); i++) {
            assert_int_equal(flips_of(&fault, bytes, 2 + i, largest[i], other, ROOM), count);
            assert_memory_equal(whole, other, count * sizeof(whole[0]));
        }
    }
}

static void every_block_of_a_stream_at_probability_one(void **state)
{
    (void)state;
    enum { BLOCKS = 500 };
    static uint64_t flips[BLOCKS + 1];
    struct ruleset_fault fault = corrupt(PPB, 0);
    assert_int_equal(flips_of(&fault, BLOCKS * BLOCK, 3, 3000, flips, BLOCKS + 1), BLOCKS);
    for (uint64_t i = 0; i < BLOCKS; i++)
        assert_int_equal(flips[i] / (8 * BLOCK), i);
    /* of a short stream only what its bit is in: a hundredth of it, a hundredth of the time */
    size_t hits = 0;
    for (uint64_t flow = 0; flow < 1000; flow++) {
        struct harness *harness = harness_create(FAULT_STREAM, flow, 2);
        harness_apply(harness, &fault, 1, 0);
        harness_push(harness, 146, 0);
        hits += harness->flip_count;
        assert_int_equal(harness->touched[0], harness->flip_count);
        harness_free(harness);
    }
    assert_true(hits > 60 && hits < 140); /* 100 +- 4 sigma */
}

static void an_empty_datagram_has_nothing_to_flip(void **state)
{
    (void)state;
    struct ruleset_fault faults[] = {fault_of("t", RULESET_TRUNCATE), corrupt(PPB, 0)};
    faults[0].truncate.probability_ppb = PPB;
    struct harness *harness = harness_create(FAULT_DATAGRAM, 0, 2);
    harness_apply(harness, faults, 2, 0);
    harness_push(harness, 10, 0);
    expect_delivered(harness, 0, 0, 0);
    assert_int_equal(harness->records[0].bytes, 0);
    assert_int_equal(harness->flip_count, 0);
    harness->pipeline.sink.flip = NULL; /* a plane that can't */
    harness_apply(harness, &faults[1], 1, 0);
    harness_push(harness, 10, 0);
    expect_delivered(harness, 1, 1, 0);
    harness_free(harness);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chosen_datagrams_lose_one_bit),
        cmocka_unit_test(correlation_makes_bursts),
        cmocka_unit_test(a_stream_is_corrupted_by_position_whatever_the_chunks),
        cmocka_unit_test(every_block_of_a_stream_at_probability_one),
        cmocka_unit_test(an_empty_datagram_has_nothing_to_flip),
    };
    return cmocka_run_group_tests_name("proxy/fault/stage_corrupt", tests, NULL, NULL);
}
