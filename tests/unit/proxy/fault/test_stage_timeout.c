/* Timeout and reset_peer: what they drop and hold, and when they end the connection. */
#include "tests/unit/proxy/fault/world.h"

static struct ruleset_fault timeout(const char *name, uint64_t timeout_ns)
{
    struct ruleset_fault fault = fault_of(name, RULESET_TIMEOUT);
    fault.timeout.timeout_ns = timeout_ns;
    return fault;
}

static struct ruleset_fault reset_peer(const char *name, uint64_t timeout_ns)
{
    struct ruleset_fault fault = fault_of(name, RULESET_RESET_PEER);
    fault.reset_peer.timeout_ns = timeout_ns;
    return fault;
}

static void expect_ended(const struct harness *harness, enum fault_end how, uint16_t slot)
{
    assert_int_equal(harness->end_count, 1);
    assert_int_equal(harness->end, how);
    assert_int_equal(harness->end_slot, slot);
}

static void data_is_dropped_until_the_end(void **state)
{
    (void)state;
    struct ruleset_fault faults[] = {timeout("t", 50 * MS), reset_peer("r", 50 * MS)};
    for (size_t i = 0; i < COUNT_OF(faults); i++) {
        struct harness *harness = harness_create(FAULT_STREAM, 0, 16);
        harness_apply(harness, &faults[i], 1, 7);
        assert_true(fault_pipeline_is_needed(&harness->pipeline));
        assert_int_equal(fault_pipeline_next_due(&harness->pipeline), 7 + 50 * MS);
        for (uint64_t k = 0; k < 5; k++)
            harness_push(harness, 10, k * 10 * MS);
        assert_int_equal(harness->record_count, 5);
        for (size_t k = 0; k < 5; k++)
            assert_int_equal(harness->records[k].cause, FAULT_CAUSE_DISCARD);
        assert_int_equal(harness->end_count, 0); /* chunks don't put it off, either */
        harness_run(harness, 7 + 50 * MS - 1);
        assert_int_equal(harness->end_count, 0);
        harness_run(harness, 7 + 50 * MS);
        expect_ended(harness, i ? FAULT_END_RESET : FAULT_END_CLOSE, 0);
        assert_int_equal(harness->touched[0], 6);
        assert_true(fault_pipeline_next_due(&harness->pipeline) == FAULT_NEVER);
        harness_push(harness, 10, SECOND); /* until the plane has closed it */
        assert_int_equal(harness->records[5].cause, FAULT_CAUSE_DISCARD);
        harness_run(harness, 2 * SECOND);
        harness_apply(harness, NULL, 0, 3 * SECOND);
        expect_ended(harness, i ? FAULT_END_RESET : FAULT_END_CLOSE, 0);
        harness_free(harness);
    }
}

static void an_idle_connection_ends_too(void **state)
{
    (void)state;
    struct ruleset_fault fault = reset_peer("r", MS);
    struct harness *harness = harness_create(FAULT_STREAM, 0, 1);
    harness_apply(harness, &fault, 1, 0);
    harness_run(harness, fault_pipeline_next_due(&harness->pipeline));
    expect_ended(harness, FAULT_END_RESET, 0);
    assert_int_equal(harness->touched[0], 1);
    harness_free(harness);
}

static void a_reset_without_delay_is_at_once(void **state)
{
    (void)state;
    struct ruleset_fault fault = reset_peer("r", 0);
    struct harness *harness = harness_create(FAULT_STREAM, 0, 1);
    harness_apply(harness, &fault, 1, 5);
    expect_ended(harness, FAULT_END_RESET, 0);
    harness_free(harness);
}

static void a_timeout_of_zero_never_ends_it(void **state)
{
    (void)state;
    struct ruleset_fault fault = timeout("t", 0);
    struct harness *harness = harness_create(FAULT_STREAM, 0, 4);
    harness_apply(harness, &fault, 1, 0);
    harness_push(harness, 10, 0);
    harness_push_end(harness, MS);
    assert_true(fault_pipeline_next_due(&harness->pipeline) == FAULT_NEVER);
    harness_run(harness, FAULT_NEVER - 1);
    assert_int_equal(harness->end_count, 0);
    assert_int_equal(harness->record_count, 1);
    fault_pipeline_clear(&harness->pipeline, FAULT_CAUSE_CUT);
    assert_true(harness->records[1].end);
    harness_free(harness);
}

static void the_end_of_the_stream_is_held(void **state)
{
    (void)state;
    struct ruleset_fault faults[] = {timeout("t", 50 * MS), reset_peer("r", 50 * MS)};
    for (size_t i = 0; i < COUNT_OF(faults); i++) {
        struct harness *harness = harness_create(FAULT_STREAM, 0, 4);
        harness_apply(harness, &faults[i], 1, 0);
        harness_push_end(harness, MS); /* a FIN, and a reset after it */
        harness_push_end(harness, 2 * MS);
        harness_run(harness, SECOND);
        assert_int_equal(harness->end_count, 1);
        assert_int_equal(harness->record_count, 0);
        fault_pipeline_clear(&harness->pipeline, FAULT_CAUSE_DISCARD);
        assert_int_equal(harness->record_count, 2);
        harness_free(harness);
    }
}

static void a_change_counts_from_when_they_met(void **state)
{
    (void)state;
    struct ruleset_fault before = timeout("t", SECOND), after = timeout("t", 30 * MS),
                         shorter = timeout("t", 5 * MS), never = timeout("t", 0);
    struct harness *harness = harness_create(FAULT_STREAM, 0, 4);
    harness_apply(harness, &before, 1, 10 * MS);
    harness_apply(harness, &after, 1, 20 * MS);
    assert_int_equal(fault_pipeline_next_due(&harness->pipeline), 40 * MS);
    harness_apply(harness, &never, 1, 25 * MS);
    assert_true(fault_pipeline_next_due(&harness->pipeline) == FAULT_NEVER);
    harness_apply(harness, &after, 1, 30 * MS);
    harness_run(harness, 39 * MS);
    assert_int_equal(harness->end_count, 0);
    harness_apply(harness, &shorter, 1, 39 * MS); /* over already */
    expect_ended(harness, FAULT_END_CLOSE, 0);
    harness_free(harness);
}

static void removing_a_timeout_ends_what_it_was_on(void **state)
{
    (void)state;
    struct world *world = world_create(1);
    world_add(world, latency("l", "r", MS));
    struct ruleset_fault fault = timeout("t", 0);
    fault.spared_ppb = 500000000;
    world_add(world, fault);
    world_publish(world);
    bool hit[40];
    size_t hits = 0;
    for (uint64_t k = 0; k < COUNT_OF(hit); k++) {
        hit[k] = world_is_hit(world_begin(world, FAULT_STREAM, k, 4), "t");
        hits += hit[k];
    }
    assert_true(hits > 10 && hits < 30);
    ruleset_remove_fault(&world->ruleset, "l"); /* something else */
    world_publish(world);
    uint16_t slot = fault_plan_fault_slot(world->plan, "t", NULL);
    for (size_t k = 0; k < COUNT_OF(hit); k++)
        assert_int_equal(world->flows[k].harness->end_count, 0);
    ruleset_remove_fault(&world->ruleset, "t");
    world_publish(world);
    for (size_t k = 0; k < COUNT_OF(hit); k++) {
        assert_int_equal(world->flows[k].harness->end_count, hit[k]);
        if (hit[k])
            expect_ended(world->flows[k].harness, FAULT_END_CLOSE, slot);
    }
    world_free(world);
}

/* A stream with a gap doesn't go on: to be spared, or out of the window, is as good as removed. */
static void no_stream_goes_on_with_a_gap(void **state)
{
    (void)state;
    for (int way = 0; way < 3; way++)
        for (size_t drops = 0; drops < 2; drops++) {
            struct world *world = world_create(1);
            world_add(world, reset_peer("r", SECOND));
            world_publish(world);
            struct harness *harness = world_begin(world, FAULT_STREAM, 0, 4);
            if (drops)
                harness_push(harness, 10, world->now_ns);
            world->now_ns += MS;
            if (way == 0)
                ruleset_remove_fault(&world->ruleset, "r");
            else if (way == 1)
                world_fault(world, "r")->spared_ppb = RULESET_PROBABILITY_MAX;
            else
                world_fault(world, "r")->after_ns = SECOND;
            world_publish(world);
            assert_int_equal(harness->end_count, drops);
            if (drops)
                expect_ended(harness, FAULT_END_RESET, 0);
            world_free(world);
        }
}

static void it_begins_with_its_window(void **state)
{
    (void)state;
    struct world *world = world_create(1);
    uint64_t begun_ns = world->now_ns;
    struct ruleset_fault fault = timeout("t", 20 * MS);
    fault.after_ns = 10 * MS;
    world_add(world, fault);
    world_publish(world);
    struct harness *harness = world_begin(world, FAULT_STREAM, 0, 8);
    assert_int_equal(fault_pipeline_next_due(&harness->pipeline), begun_ns + 30 * MS);
    harness_push(harness, 10, begun_ns + 9 * MS);
    harness_push(harness, 10, begun_ns + 10 * MS);
    expect_delivered(harness, 0, 0, begun_ns + 9 * MS);
    assert_int_equal(harness->records[1].cause, FAULT_CAUSE_DISCARD);
    harness_run(harness, begun_ns + 30 * MS);
    expect_ended(harness, FAULT_END_CLOSE, 0);
    /* before the window there is nothing to end */
    struct harness *other = world_begin(world, FAULT_STREAM, 1, 8);
    ruleset_remove_fault(&world->ruleset, "t");
    world_publish(world);
    assert_int_equal(other->end_count, 0);
    world_free(world);
}

/* What has gone by the fault before goes on; what is behind it in the chain sees nothing more. */
static void the_rest_of_the_chain_goes_on(void **state)
{
    (void)state;
    struct ruleset_fault faults[] = {latency("a", "n1->n2", 10 * MS),
                                     latency("b", "n1->n2", 10 * MS)};
    struct ruleset_fault with[] = {faults[0], timeout("t", 0), faults[1]};
    struct harness *harness = harness_create(FAULT_STREAM, 0, 8);
    struct fault_entry entries[] = {{.spec = &faults[0], .slot = 0, .generation = 1},
                                    {.spec = &with[1], .slot = 1, .generation = 1},
                                    {.spec = &faults[1], .slot = 2, .generation = 1}};
    struct fault_entry before[] = {entries[0], entries[2]};
    fault_pipeline_apply(&harness->pipeline, before, 2, 0);
    harness_push(harness, 10, 0);
    harness_push(harness, 10, 8 * MS);
    harness_run(harness, 12 * MS); /* one in each */
    fault_pipeline_apply(&harness->pipeline, entries, 3, 12 * MS);
    harness_run(harness, SECOND);
    assert_int_equal(harness->record_count, 2);
    assert_int_equal(harness->records[0].id, 1); /* dropped at 18 ms, as the later one of the run */
    assert_int_equal(harness->records[0].cause, FAULT_CAUSE_DISCARD);
    assert_int_equal(harness->records[0].at_ns, 18 * MS);
    expect_delivered(harness, 1, 0, 20 * MS);
    harness_free(harness);
}

static void a_sink_need_not_hear_of_ends(void **state)
{
    (void)state;
    struct ruleset_fault fault = reset_peer("r", 0);
    struct harness *harness = harness_create(FAULT_STREAM, 0, 1);
    harness->pipeline.sink.end = NULL;
    harness_apply(harness, &fault, 1, 0);
    harness_run(harness, SECOND);
    assert_int_equal(harness->end_count, 0);
    harness_free(harness);
}

static void two_of_them_end_it_once(void **state)
{
    (void)state;
    struct ruleset_fault faults[] = {reset_peer("r", 2 * MS), timeout("t", MS)};
    struct harness *harness = harness_create(FAULT_STREAM, 0, 1);
    harness_apply(harness, faults, 2, 0);
    assert_int_equal(fault_pipeline_next_due(&harness->pipeline), MS);
    harness_run(harness, SECOND); /* late: the reset comes first in the chain */
    assert_int_equal(harness->end_count, 1);
    harness_free(harness);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(data_is_dropped_until_the_end),
        cmocka_unit_test(an_idle_connection_ends_too),
        cmocka_unit_test(a_reset_without_delay_is_at_once),
        cmocka_unit_test(a_timeout_of_zero_never_ends_it),
        cmocka_unit_test(the_end_of_the_stream_is_held),
        cmocka_unit_test(a_change_counts_from_when_they_met),
        cmocka_unit_test(removing_a_timeout_ends_what_it_was_on),
        cmocka_unit_test(no_stream_goes_on_with_a_gap),
        cmocka_unit_test(it_begins_with_its_window),
        cmocka_unit_test(the_rest_of_the_chain_goes_on),
        cmocka_unit_test(a_sink_need_not_hear_of_ends),
        cmocka_unit_test(two_of_them_end_it_once),
    };
    return cmocka_run_group_tests_name("proxy/fault/stage_timeout", tests, NULL, NULL);
}
