/* Slow_close: the end of a stream is late, its bytes are not. */
#include "tests/unit/proxy/fault/harness.h"

static struct ruleset_fault slow_close(uint64_t delay_ns)
{
    struct ruleset_fault fault = fault_of("c", RULESET_SLOW_CLOSE);
    fault.slow_close.delay_ns = delay_ns;
    return fault;
}

static void only_the_end_is_delayed(void **state)
{
    (void)state;
    struct harness *harness = harness_create(FAULT_STREAM, 0, 8);
    struct ruleset_fault fault = slow_close(30 * MS);
    harness_apply(harness, &fault, 1, 0);
    for (uint64_t i = 0; i < 3; i++)
        harness_push(harness, 10, i);
    harness_push_end(harness, 5);
    for (uint32_t i = 0; i < 3; i++)
        expect_delivered(harness, i, i, i);
    assert_int_equal(fault_pipeline_next_due(&harness->pipeline), 5 + 30 * MS);
    harness_run(harness, SECOND);
    expect_delivered(harness, 3, 3, 5 + 30 * MS);
    assert_int_equal(harness->touched[0], 1);
    harness_free(harness);
}

static void without_a_delay_nothing_is(void **state)
{
    (void)state;
    struct harness *harness = harness_create(FAULT_STREAM, 0, 2);
    struct ruleset_fault fault = slow_close(0);
    harness_apply(harness, &fault, 1, 0);
    harness_push_end(harness, 5);
    expect_delivered(harness, 0, 0, 5);
    assert_int_equal(harness->touched[0], 0);
    harness_free(harness);
}

/* The new delay counts from when the end came; one that is over by then lets it go at once. A reset
 * stays behind the FIN. */
static void what_waits_has_the_new_delay(void **state)
{
    (void)state;
    static const struct {
        uint64_t delay_ns, fin_ns, reset_ns;
    } cases[] = {{MS, 5 * MS, 5 * MS},        {4 * MS, 5 * MS, 6 * MS},
                 {20 * MS, 20 * MS, 22 * MS}, {30 * MS, 30 * MS, 32 * MS},
                 {90 * MS, 90 * MS, 92 * MS}, {0, 5 * MS, 5 * MS}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct harness *harness = harness_create(FAULT_STREAM, 0, 2);
        struct ruleset_fault before = slow_close(30 * MS), after = slow_close(cases[i].delay_ns);
        harness_apply(harness, &before, 1, 0);
        harness_push_end(harness, 0);
        harness_push_end(harness, 2 * MS);
        harness_apply(harness, &after, 1, 5 * MS);
        assert_int_equal(harness->record_count,
                         (cases[i].fin_ns == 5 * MS) + (cases[i].reset_ns == 5 * MS));
        harness_run(harness, SECOND);
        expect_delivered(harness, 0, 0, cases[i].fin_ns);
        expect_delivered(harness, 1, 1, cases[i].reset_ns);
        harness_free(harness);
    }
}

/* Delays add up along the chain, and the end keeps its place behind the bytes. */
static void the_end_follows_delayed_bytes(void **state)
{
    (void)state;
    struct harness *harness = harness_create(FAULT_STREAM, 0, 4);
    struct ruleset_fault faults[] = {slow_close(10 * MS), latency("l", "n1->n2", 20 * MS),
                                     rate("r", 1000, 0, 0)};
    harness_apply(harness, faults, 3, 0);
    harness_push(harness, 100, 0);
    harness_push_end(harness, 0);
    harness_run(harness, SECOND);
    expect_delivered(harness, 0, 0, 120 * MS);
    expect_delivered(harness, 1, 1, 120 * MS); /* an end is no byte to a rate */
    harness_free(harness);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_end_is_delayed),
        cmocka_unit_test(without_a_delay_nothing_is),
        cmocka_unit_test(what_waits_has_the_new_delay),
        cmocka_unit_test(the_end_follows_delayed_bytes),
    };
    return cmocka_run_group_tests_name("proxy/fault/stage_slow_close", tests, NULL, NULL);
}
