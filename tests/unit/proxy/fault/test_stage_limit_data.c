/* Limit_data: exactly so many bytes pass, the last of them are marked, the rest is dropped. */
#include "tests/unit/proxy/fault/world.h"

static struct ruleset_fault limit_data(const char *name, uint64_t bytes)
{
    struct ruleset_fault fault = fault_of(name, RULESET_LIMIT_DATA);
    fault.limit_data.bytes = bytes;
    return fault;
}

static void exactly_so_many_bytes_pass(void **state)
{
    (void)state;
    static const struct {
        uint64_t limit;
        uint32_t chunk;
        size_t whole; /* chunks that pass uncut */
        uint32_t last;
    } cases[] = {
        {1, 10, 0, 1},  {10, 10, 0, 10}, {11, 10, 1, 1},
        {25, 10, 2, 5}, {30, 10, 2, 10}, {7, 1, 6, 1},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct harness *harness = harness_create(FAULT_STREAM, 0, 32);
        struct ruleset_fault fault = limit_data("d", cases[i].limit);
        harness_apply(harness, &fault, 1, 0);
        size_t passing = cases[i].whole + 1;
        for (size_t k = 0; k < passing + 2; k++)
            harness_push(harness, cases[i].chunk, k);
        harness_push_end(harness, 100);
        uint64_t sum = 0;
        for (size_t k = 0; k < passing; k++) {
            expect_delivered(harness, k, k, k);
            assert_int_equal(harness->records[k].last, k + 1 == passing);
            sum += harness->records[k].bytes;
        }
        assert_int_equal(sum, cases[i].limit);
        assert_int_equal(harness->records[passing - 1].bytes, cases[i].last);
        for (size_t k = passing; k < passing + 2; k++)
            assert_int_equal(harness->records[k].cause, FAULT_CAUSE_DISCARD);
        assert_true(harness->records[passing + 2].end); /* it passes: the plane is closing */
        assert_int_equal(harness->touched[0], 3);
        assert_int_equal(harness->end_count, 0);
        harness_free(harness);
    }
}

static void an_end_before_the_limit_passes(void **state)
{
    (void)state;
    struct harness *harness = harness_create(FAULT_STREAM, 0, 4);
    struct ruleset_fault fault = limit_data("d", 100);
    harness_apply(harness, &fault, 1, 0);
    harness_push(harness, 99, 0);
    harness_push_end(harness, 1);
    expect_delivered(harness, 0, 0, 0);
    expect_delivered(harness, 1, 1, 1);
    assert_false(harness->records[0].last);
    assert_int_equal(harness->touched[0], 0);
    harness_free(harness);
}

static void with_no_bytes_the_first_unit_ends_it(void **state)
{
    (void)state;
    struct harness *harness = harness_create(FAULT_STREAM, 0, 4);
    struct ruleset_fault fault = limit_data("d", 0);
    harness_apply(harness, &fault, 1, 0);
    assert_int_equal(harness->end_count, 0);
    harness_push(harness, 10, 0);
    harness_push(harness, 10, 1);
    assert_int_equal(harness->end_count, 1);
    assert_int_equal(harness->end, FAULT_END_CLOSE);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(harness->records[i].cause, FAULT_CAUSE_DISCARD);
    assert_int_equal(harness->touched[0], 2);
    harness_free(harness);
}

static void the_count_survives_a_change(void **state)
{
    (void)state;
    struct harness *harness = harness_create(FAULT_STREAM, 0, 8);
    struct ruleset_fault faults[] = {limit_data("d", 100), limit_data("d", 25),
                                     limit_data("d", 40)};
    harness_apply(harness, &faults[0], 1, 0);
    harness_push(harness, 20, 0);
    harness_apply(harness, &faults[1], 1, 1);
    harness_push(harness, 20, 2);
    assert_int_equal(harness->records[1].bytes, 5);
    assert_true(harness->records[1].last);
    harness_apply(harness, &faults[2], 1, 3); /* too late: the last byte has been named */
    harness_push(harness, 20, 4);
    assert_int_equal(harness->records[2].cause, FAULT_CAUSE_DISCARD);
    harness_free(harness);
}

static void a_limit_below_what_has_passed_ends_it(void **state)
{
    (void)state;
    struct harness *harness = harness_create(FAULT_STREAM, 0, 8);
    struct ruleset_fault before = limit_data("d", 100), after = limit_data("d", 10);
    harness_apply(harness, &before, 1, 0);
    harness_push(harness, 20, 0);
    harness_apply(harness, &after, 1, 1);
    assert_int_equal(harness->end_count, 0);
    harness_push(harness, 20, 2);
    assert_int_equal(harness->end_count, 1);
    harness_push(harness, 20, 3);
    assert_int_equal(harness->end_count, 1);
    assert_int_equal(harness->records[2].cause, FAULT_CAUSE_DISCARD);
    harness_free(harness);
}

static void each_direction_has_its_own_count(void **state)
{
    (void)state;
    struct world *world = world_create(1);
    struct ruleset_fault fault = limit_data("d", 15);
    fault.both_ways = true;
    world_add(world, fault);
    world_publish(world);
    const struct world_flow *flows = world_connect(world, "n1", "r", 0);
    for (size_t way = 0; way < 2; way++) {
        harness_push(flows[way].harness, 10, world->now_ns);
        harness_push(flows[way].harness, 10, world->now_ns);
        assert_int_equal(flows[way].harness->records[0].bytes, 10);
        assert_int_equal(flows[way].harness->records[1].bytes, 5);
        assert_true(flows[way].harness->records[1].last);
    }
    world_free(world);
}

/* The mark stays on its unit through the stages behind. */
static void the_last_unit_may_be_delayed(void **state)
{
    (void)state;
    struct harness *harness = harness_create(FAULT_STREAM, 0, 8);
    struct ruleset_fault faults[] = {limit_data("d", 10), latency("l", "n1->n2", MS)};
    harness_apply(harness, faults, 2, 0);
    harness_push(harness, 6, 0);
    harness_push(harness, 6, 1);
    harness_push(harness, 6, 2);
    assert_int_equal(fault_pipeline_held_bytes(&harness->pipeline), 10);
    harness_run(harness, SECOND);
    expect_delivered(harness, 1, 0, MS);
    expect_delivered(harness, 2, 1, MS + 1);
    assert_int_equal(harness->records[2].bytes, 4);
    assert_true(harness->records[2].last);
    harness_free(harness);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exactly_so_many_bytes_pass),
        cmocka_unit_test(an_end_before_the_limit_passes),
        cmocka_unit_test(with_no_bytes_the_first_unit_ends_it),
        cmocka_unit_test(the_count_survives_a_change),
        cmocka_unit_test(a_limit_below_what_has_passed_ends_it),
        cmocka_unit_test(each_direction_has_its_own_count),
        cmocka_unit_test(the_last_unit_may_be_delayed),
    };
    return cmocka_run_group_tests_name("proxy/fault/stage_limit_data", tests, NULL, NULL);
}
