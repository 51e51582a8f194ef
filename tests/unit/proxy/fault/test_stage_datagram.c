/* Duplicate, reorder, truncate, reject. */
#include "tests/unit/proxy/fault/harness.h"

#include <math.h>

enum { PPB = 1000000000 };

static struct ruleset_fault duplicate(uint32_t probability_ppb)
{
    struct ruleset_fault fault = fault_of("d", RULESET_DUPLICATE);
    fault.duplicate.probability_ppb = probability_ppb;
    return fault;
}

static struct ruleset_fault reorder(uint32_t probability_ppb, uint64_t delay_ns)
{
    struct ruleset_fault fault = fault_of("o", RULESET_REORDER);
    fault.reorder.probability_ppb = probability_ppb;
    fault.reorder.delay_ns = delay_ns;
    return fault;
}

static struct ruleset_fault truncate(uint32_t probability_ppb, uint64_t bytes)
{
    struct ruleset_fault fault = fault_of("t", RULESET_TRUNCATE);
    fault.truncate.probability_ppb = probability_ppb;
    fault.truncate.bytes = bytes;
    return fault;
}

static struct ruleset_fault reject(uint32_t probability_ppb)
{
    struct ruleset_fault fault = fault_of("r", RULESET_REJECT);
    fault.reject.probability_ppb = probability_ppb;
    return fault;
}

static void assert_binomial(size_t hits, size_t count, double p, double spread)
{
    double expected = (double)count * p;
    assert_true(fabs((double)hits - expected) < 4 * spread * sqrt(expected * (1 - p)));
}

static void a_copy_follows_at_once(void **state)
{
    (void)state;
    struct harness *harness = harness_create(FAULT_DATAGRAM, 0, 8);
    struct ruleset_fault fault = duplicate(PPB);
    harness_apply(harness, &fault, 1, 0);
    harness_push(harness, 10, 0);
    harness_push(harness, 20, 5);
    for (uint32_t i = 0; i < 4; i++) {
        expect_delivered(harness, i, i / 2, i / 2 * 5);
        assert_int_equal(harness->records[i].copy, i % 2);
        assert_int_equal(harness->records[i].bytes, 10 + i / 2 * 10);
    }
    assert_int_equal(harness->touched[0], 2);
    harness_free(harness);
}

/* Both go through the rest of the chain, each on its own; two duplicates make four. */
static void copies_meet_what_is_behind(void **state)
{
    (void)state;
    struct ruleset_fault faults[] = {truncate(PPB, 7), duplicate(PPB), duplicate(PPB),
                                     rate("r", 1000, 0, 21)};
    struct harness *harness = harness_create(FAULT_DATAGRAM, 0, 8);
    harness_apply(harness, faults, 4, 0);
    harness_push(harness, 50, 0);
    assert_int_equal(harness->copy_count, 3);
    assert_int_equal(harness->record_count, 1); /* the queue takes three */
    assert_int_equal(harness->records[0].cause, FAULT_CAUSE_QUEUE);
    harness_run(harness, SECOND);
    for (uint32_t i = 1; i < 4; i++) {
        expect_delivered(harness, i, 0, i * 7 * MS);
        assert_int_equal(harness->records[i].bytes, 7);
    }
    assert_int_equal(harness->touched[1], 1);
    assert_int_equal(harness->touched[2], 2);
    harness_free(harness);
}

static void without_memory_there_is_no_copy(void **state)
{
    (void)state;
    struct harness *harness = harness_create(FAULT_DATAGRAM, 0, 8);
    struct ruleset_fault fault = duplicate(PPB);
    harness_apply(harness, &fault, 1, 0);
    harness->copies_left = 1;
    harness_push(harness, 10, 0);
    harness_push(harness, 10, 0);
    assert_int_equal(harness->record_count, 3);
    assert_int_equal(harness->touched[0], 1);
    harness->pipeline.sink.copy = NULL;
    harness_push(harness, 10, 0);
    assert_int_equal(harness->record_count, 4);
    assert_int_equal(harness->touched[0], 1);
    harness_free(harness);
}

static void copies_are_as_many_as_asked(void **state)
{
    (void)state;
    enum { COUNT = 50000 };
    static const uint32_t correlations[] = {0, 500000000};
    for (size_t i = 0; i < COUNT_OF(correlations); i++) {
        struct harness *harness = harness_create(FAULT_DATAGRAM, 0, 2 * COUNT);
        struct ruleset_fault fault = duplicate(100000000);
        fault.duplicate.correlation_ppb = correlations[i];
        harness_apply(harness, &fault, 1, 0);
        for (size_t k = 0; k < COUNT; k++)
            harness_push(harness, 10, k);
        assert_binomial(harness->copy_count, COUNT, 0.1, i ? sqrt(3.0) : 1);
        assert_int_equal(harness->record_count, COUNT + harness->copy_count);
        assert_int_equal(harness->touched[0], harness->copy_count);
        harness_free(harness);
    }
}

static void chosen_ones_are_overtaken(void **state)
{
    (void)state;
    enum { COUNT = 50000 };
    struct harness *harness = harness_create(FAULT_DATAGRAM, 0, COUNT);
    struct ruleset_fault fault = reorder(50000000, 5 * MS);
    harness_apply(harness, &fault, 1, 0);
    for (uint64_t i = 0; i < COUNT; i++)
        harness_push(harness, 10, i * MS);
    harness_run(harness, (COUNT + 10) * MS);
    size_t held = 0;
    uint64_t last_ns = 0;
    assert_int_equal(harness->record_count, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        const struct record *record = &harness->records[i];
        uint64_t sent_ns = record->id * MS;
        bool late = record->at_ns != sent_ns;
        assert_true(!late || record->at_ns == sent_ns + 5 * MS);
        assert_true(record->at_ns >= last_ns);
        last_ns = record->at_ns;
        held += late;
    }
    assert_binomial(held, COUNT, 0.05, 1);
    assert_int_equal(harness->touched[0], held);
    harness_free(harness);
}

/* A shorter delay from now on lets later ones leave first, too. */
static void a_shorter_delay_overtakes_a_longer_one(void **state)
{
    (void)state;
    struct harness *harness = harness_create(FAULT_DATAGRAM, 0, 4);
    struct ruleset_fault slow = reorder(PPB, 10 * MS), fast = reorder(PPB, MS);
    harness_apply(harness, &slow, 1, 0);
    harness_push(harness, 10, 0);
    harness_push(harness, 10, 0);
    harness_apply(harness, &fast, 1, MS);
    harness_push(harness, 10, MS);
    assert_int_equal(fault_pipeline_held_bytes(&harness->pipeline), 30);
    assert_int_equal(fault_pipeline_next_due(&harness->pipeline), 2 * MS);
    harness_run(harness, SECOND);
    expect_delivered(harness, 0, 2, 2 * MS);
    expect_delivered(harness, 1, 0, 10 * MS);
    expect_delivered(harness, 2, 1, 10 * MS);
    harness_free(harness);
}

static void what_is_held_to_be_overtaken_leaves_with_the_fault(void **state)
{
    (void)state;
    struct harness *harness = harness_create(FAULT_DATAGRAM, 0, 8);
    struct ruleset_fault fault = reorder(PPB, SECOND);
    harness_apply(harness, &fault, 1, 0);
    for (uint64_t i = 0; i < 5; i++)
        harness_push(harness, 10, i);
    harness_apply(harness, NULL, 0, 10);
    for (uint32_t i = 0; i < 5; i++)
        expect_delivered(harness, i, i, 10);
    harness_apply(harness, &fault, 1, 11);
    for (uint64_t i = 0; i < 3; i++)
        harness_push(harness, 10, 12);
    fault_pipeline_clear(&harness->pipeline, FAULT_CAUSE_QUEUE);
    assert_int_equal(harness->record_count, 8);
    assert_int_equal(harness->records[7].cause, FAULT_CAUSE_QUEUE);
    harness_free(harness);
}

static void only_what_is_longer_is_cut(void **state)
{
    (void)state;
    struct harness *harness = harness_create(FAULT_DATAGRAM, 0, 8);
    struct ruleset_fault fault = truncate(PPB, 100), none = truncate(PPB, 0);
    static const uint32_t sizes[] = {99, 100, 101, 1400};
    harness_apply(harness, &fault, 1, 0);
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        harness_push(harness, sizes[i], i);
        expect_delivered(harness, i, i, i);
        assert_int_equal(harness->records[i].bytes, sizes[i] < 100 ? sizes[i] : 100);
    }
    assert_int_equal(harness->touched[0], 2);
    harness_apply(harness, &none, 1, 10);
    harness_push(harness, 10, 10);
    expect_delivered(harness, 4, 4, 10);
    assert_int_equal(harness->records[4].bytes, 0);
    harness_free(harness);
}

static void cuts_and_rejections_are_as_many_as_asked(void **state)
{
    (void)state;
    enum { COUNT = 50000 };
    struct ruleset_fault faults[] = {truncate(200000000, 5), reject(200000000)};
    for (size_t i = 0; i < COUNT_OF(faults); i++) {
        struct harness *harness = harness_create(FAULT_DATAGRAM, 0, COUNT);
        size_t hits = 0;
        harness_apply(harness, &faults[i], 1, 0);
        for (size_t k = 0; k < COUNT; k++) {
            harness_push(harness, 10, k);
            const struct record *record = &harness->records[k];
            hits += i == 0 ? record->bytes == 5 : record->cause == FAULT_CAUSE_REJECT;
        }
        assert_int_equal(harness->record_count, COUNT);
        assert_binomial(hits, COUNT, 0.2, 1);
        assert_int_equal(harness->touched[0], hits);
        harness_free(harness);
    }
}

static void streams_meet_none_of_them(void **state)
{
    (void)state;
    struct ruleset_fault faults[] = {duplicate(PPB), reorder(PPB, MS), truncate(PPB, 1),
                                     reject(PPB)};
    struct harness *harness = harness_create(FAULT_STREAM, 0, 4);
    harness_apply(harness, faults, COUNT_OF(faults), 0);
    assert_false(fault_pipeline_is_needed(&harness->pipeline));
    harness_push(harness, 10, 0);
    expect_delivered(harness, 0, 0, 0);
    assert_int_equal(harness->records[0].bytes, 10);
    harness_free(harness);
}

/* Only what was changed is marked, and a copy of it as well. */
static void what_is_to_be_repaired_is_marked(void **state)
{
    (void)state;
    struct ruleset_fault faults[] = {truncate(PPB, 20), duplicate(PPB),
                                     fault_of("c", RULESET_CORRUPT)};
    struct harness *harness = harness_create(FAULT_DATAGRAM, 0, 8);
    faults[0].truncate.repair = true;
    faults[2].corrupt.probability_ppb = PPB;
    harness_apply(harness, faults, 3, 0);
    harness_push(harness, 20, 0);
    harness_push(harness, 21, 0);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(harness->records[i].repair, i >= 2);
    faults[2].corrupt.repair = true;
    harness_apply(harness, faults, 3, 0);
    harness_push(harness, 20, 0);
    assert_true(harness->records[4].repair && harness->records[5].repair);
    harness_free(harness);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_follows_at_once),
        cmocka_unit_test(copies_meet_what_is_behind),
        cmocka_unit_test(without_memory_there_is_no_copy),
        cmocka_unit_test(copies_are_as_many_as_asked),
        cmocka_unit_test(chosen_ones_are_overtaken),
        cmocka_unit_test(a_shorter_delay_overtakes_a_longer_one),
        cmocka_unit_test(what_is_held_to_be_overtaken_leaves_with_the_fault),
        cmocka_unit_test(only_what_is_longer_is_cut),
        cmocka_unit_test(cuts_and_rejections_are_as_many_as_asked),
        cmocka_unit_test(streams_meet_none_of_them),
        cmocka_unit_test(what_is_to_be_repaired_is_marked),
    };
    return cmocka_run_group_tests_name("proxy/fault/stage_datagram", tests, NULL, NULL);
}
