/* Slicer: the sizes of the pieces, and the pauses between them. */
#include "tests/unit/proxy/fault/harness.h"

#include <math.h>

static struct ruleset_fault slicer(uint64_t average, uint64_t variation, uint64_t delay_ns)
{
    struct ruleset_fault fault = fault_of("s", RULESET_SLICER);
    fault.slicer.average_bytes = average;
    fault.slicer.variation_bytes = variation;
    fault.slicer.delay_ns = delay_ns;
    return fault;
}

/* As a plane does: asks for each piece, and pushes it. */
static void slice(struct harness *harness, uint64_t bytes, uint64_t now_ns)
{
    while (bytes > 0) {
        uint32_t step = fault_pipeline_next_chunk(&harness->pipeline, 65536);
        step = step < bytes ? step : (uint32_t)bytes;
        harness_push(harness, step, now_ns);
        bytes -= step;
    }
}

static void pieces_are_of_the_size_that_was_asked(void **state)
{
    (void)state;
    static const struct {
        uint64_t average, variation, least, most;
    } cases[] = {
        {100, 0, 100, 100}, {100, 30, 70, 130}, {10, 40, 1, 50}, {1, 0, 1, 1}, {1, 1, 1, 2}};
    enum { PIECES = 4000 };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct harness *harness = harness_create(FAULT_STREAM, i, PIECES);
        struct ruleset_fault fault = slicer(cases[i].average, cases[i].variation, 0);
        bool least = false, most = false;
        uint64_t sum = 0;
        harness_apply(harness, &fault, 1, 0);
        for (int k = 0; k < PIECES; k++) {
            uint32_t size = fault_pipeline_next_chunk(&harness->pipeline, 65536);
            assert_int_equal(fault_pipeline_next_chunk(&harness->pipeline, 65536), size);
            assert_true(size >= cases[i].least && size <= cases[i].most);
            least |= size == cases[i].least;
            most |= size == cases[i].most;
            sum += size;
            harness_push(harness, size, 0);
            assert_true(harness->records[k].alone);
        }
        double mean = (double)(cases[i].least + cases[i].most) / 2;
        double sigma = (double)(cases[i].most - cases[i].least) / sqrt(12.0);
        assert_true(fabs((double)sum / PIECES - mean) <= 4 * (sigma + 0.3) / sqrt(PIECES));
        assert_true(least && most);
        assert_int_equal(harness->touched[0], PIECES);
        harness_free(harness);
    }
}

/* Pieces that wait in front of the slicer are of as many sizes. */
static void sizes_differ_behind_a_latency(void **state)
{
    (void)state;
    struct ruleset_fault alone = slicer(1000, 900, 0);
    struct ruleset_fault faults[] = {latency("l", "n1->n2", MS), alone};
    struct harness *direct = harness_create(FAULT_STREAM, 0, 64);
    struct harness *delayed = harness_create(FAULT_STREAM, 0, 64);
    struct fault_entry entries[] = {
        {.spec = &faults[0], .key = 1, .slot = 1, .generation = 1},
        {.spec = &faults[1], .key = 77, .slot = 0, .generation = 1},
    };
    harness_apply(direct, &alone, 1, 0);
    fault_pipeline_apply(&delayed->pipeline, entries, 2, 0);
    slice(direct, 20000, 0);
    slice(delayed, 20000, 0);
    harness_run(delayed, SECOND);
    assert_int_equal(direct->record_count, delayed->record_count);
    size_t changes = 0;
    for (size_t i = 0; i < direct->record_count; i++) {
        assert_int_equal(direct->records[i].bytes, delayed->records[i].bytes);
        changes += i > 0 && direct->records[i].bytes != direct->records[i - 1].bytes;
    }
    assert_true(changes > 10);
    harness_free(direct);
    harness_free(delayed);
}

static void pieces_are_spaced(void **state)
{
    (void)state;
    struct harness *harness = harness_create(FAULT_STREAM, 0, 16);
    struct ruleset_fault fault = slicer(10, 0, 5 * MS);
    harness_apply(harness, &fault, 1, 0);
    slice(harness, 30, MS);
    harness_push_end(harness, MS);
    harness_run(harness, 11 * MS);
    expect_delivered(harness, 0, 0, MS);
    expect_delivered(harness, 1, 1, 6 * MS);
    expect_delivered(harness, 2, 2, 11 * MS);
    expect_delivered(harness, 3, 3, 11 * MS); /* the end needs no pause */
    assert_false(harness->records[3].alone);
    slice(harness, 10, 12 * MS); /* a pause is from piece to piece, not from the arrival */
    slice(harness, 10, 100 * MS);
    harness_run(harness, SECOND);
    expect_delivered(harness, 4, 4, 16 * MS);
    expect_delivered(harness, 5, 5, 100 * MS);
    harness_free(harness);
}

static void an_average_of_zero_slices_nothing(void **state)
{
    (void)state;
    struct harness *harness = harness_create(FAULT_STREAM, 0, 8);
    struct ruleset_fault sliced = slicer(10, 0, 5 * MS), whole = slicer(0, 0, 5 * MS);
    harness_apply(harness, &whole, 1, 0);
    assert_int_equal(fault_pipeline_next_chunk(&harness->pipeline, 65536), 65536);
    harness_push(harness, 5000, 0);
    expect_delivered(harness, 0, 0, 0);
    assert_false(harness->records[0].alone);
    assert_int_equal(harness->touched[0], 0);
    /* switched off while pieces wait: they go, and nothing overtakes them */
    harness_apply(harness, &sliced, 1, 0);
    slice(harness, 20, 0);
    harness_apply(harness, &whole, 1, MS);
    harness_push(harness, 5000, MS);
    harness_run(harness, SECOND);
    for (uint32_t i = 1; i < 4; i++)
        expect_delivered(harness, i, i, i == 1 ? 0 : MS);
    harness_free(harness);
}

/* Ten pieces and the end; the pause is another one while they wait, and then for those that come.
 */
static void what_waits_is_spaced_anew(void **state)
{
    (void)state;
    static const uint64_t pauses_ns[] = {MS, 4 * MS, 5 * MS, 30 * MS};
    for (size_t i = 0; i < COUNT_OF(pauses_ns); i++) {
        struct harness *harness = harness_create(FAULT_STREAM, 0, 16);
        struct ruleset_fault before = slicer(10, 0, 5 * MS), after = slicer(10, 0, pauses_ns[i]);
        harness_apply(harness, &before, 1, 0);
        slice(harness, 100, 0);
        harness_push_end(harness, 0);
        harness_apply(harness, &after, 1, 7 * MS); /* two are through, the last one at 5 ms */
        harness_run(harness, SECOND);
        expect_delivered(harness, 1, 1, 5 * MS);
        uint64_t due_ns = 5 * MS;
        for (uint32_t k = 2; k < 10; k++) {
            due_ns += pauses_ns[i];
            due_ns = due_ns > 7 * MS ? due_ns : 7 * MS;
            expect_delivered(harness, k, k, due_ns);
        }
        expect_delivered(harness, 10, 10, due_ns);
        harness_free(harness);
    }
}

/* A pause that nobody waits for is another one, too. */
static void the_next_piece_has_the_new_pause(void **state)
{
    (void)state;
    struct harness *harness = harness_create(FAULT_STREAM, 0, 4);
    struct ruleset_fault before = slicer(10, 0, 50 * MS), after = slicer(10, 0, 5 * MS);
    harness_apply(harness, &before, 1, 0);
    slice(harness, 10, 0);
    harness_apply(harness, &after, 1, MS);
    slice(harness, 10, 2 * MS);
    harness_run(harness, SECOND);
    expect_delivered(harness, 0, 0, 0);
    expect_delivered(harness, 1, 1, 5 * MS);
    harness_free(harness);
}

static void the_smallest_wish_wins(void **state)
{
    (void)state;
    struct harness *harness = harness_create(FAULT_STREAM, 0, 1);
    struct ruleset_fault faults[] = {slicer(300, 0, 0), rate("r", 100000, 0, 0), slicer(700, 0, 0)};
    harness_apply(harness, faults, 3, 0);
    assert_int_equal(fault_pipeline_next_chunk(&harness->pipeline, 65536), 300);
    assert_int_equal(fault_pipeline_next_chunk(&harness->pipeline, 7), 7);
    harness_apply(harness, &faults[1], 2, 0);
    assert_int_equal(fault_pipeline_next_chunk(&harness->pipeline, 65536), 700);
    faults[2].spared_ppb = RULESET_PROBABILITY_MAX;
    harness_apply(harness, &faults[1], 2, 0);
    assert_int_equal(fault_pipeline_next_chunk(&harness->pipeline, 65536), 1000);
    harness_free(harness);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_of_the_size_that_was_asked),
        cmocka_unit_test(sizes_differ_behind_a_latency),
        cmocka_unit_test(pieces_are_spaced),
        cmocka_unit_test(an_average_of_zero_slices_nothing),
        cmocka_unit_test(what_waits_is_spaced_anew),
        cmocka_unit_test(the_next_piece_has_the_new_pause),
        cmocka_unit_test(the_smallest_wish_wins),
    };
    return cmocka_run_group_tests_name("proxy/fault/stage_slicer", tests, NULL, NULL);
}
