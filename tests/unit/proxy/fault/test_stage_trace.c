/* Trace: beside a model that plays every opportunity, as mahimahi does. */
#include "tests/unit/proxy/fault/world.h"

#include "proxy/base/random.h"

enum { CARRIES = 1500 };

static struct ruleset_fault trace(const char *table, uint64_t queue_bytes)
{
    struct ruleset_fault fault = fault_of("t", RULESET_TRACE);
    put(fault.trace.table, table);
    fault.trace.queue_bytes = queue_bytes;
    return fault;
}

static void set_table(struct world *world, const char *name, const int32_t *values, size_t count)
{
    int32_t copy[64];
    struct ruleset_table table = {.values = copy, .count = count};
    assert_true(count <= COUNT_OF(copy));
    memcpy(copy, values, count * sizeof(copy[0]));
    put(table.name, name);
    ruleset_set_table(&world->ruleset, &table);
}

/* A world with a trace on n1->n2, in force at 1 s, when the flow begins. */
static struct world *world_with_trace(const int32_t *values, size_t count, uint64_t queue_bytes)
{
    struct world *world = world_create(1);
    set_table(world, "t", values, count);
    world_add(world, trace("t", queue_bytes));
    world_publish(world);
    return world;
}

static void each_opportunity_carries_1500_bytes(void **state)
{
    (void)state;
    static const int32_t values[] = {0, 10, 10, 30};
    struct world *world = world_with_trace(values, COUNT_OF(values), 0);
    struct harness *harness = world_begin(world, FAULT_STREAM, 0, 16);
    uint64_t begin_ns = world->now_ns;
    static const struct {
        uint32_t bytes;
        uint64_t ms;
    } cases[] = {
        {1500, 0},                       /* at once */
        {1500, 10},                      /* the two at 10 ms */
        {700, 10},  {800, 10},  {1, 30}, /* the last of the first round */
        {1499, 30}, {3000, 40},          /* 0 of the second round is at 30 as well, then 40 */
        {1501, 60},                      /* 40, 60 */
        {1499, 60},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        harness_push(harness, cases[i].bytes, begin_ns);
    harness_push_end(harness, begin_ns);
    harness_run(harness, begin_ns + SECOND);
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        expect_delivered(harness, i, i, begin_ns + cases[i].ms * MS);
    expect_delivered(harness, 9, 9, begin_ns + 60 * MS); /* the end needs no room */
    assert_int_equal(harness->touched[0], 9);
    assert_int_equal(fault_pipeline_next_chunk(&harness->pipeline, 65536), CARRIES);
    world_free(world);
}

static void unused_opportunities_are_lost(void **state)
{
    (void)state;
    static const int32_t values[] = {5, 10};
    struct world *world = world_with_trace(values, COUNT_OF(values), 0);
    struct harness *harness = world_begin(world, FAULT_STREAM, 0, 16);
    uint64_t begin_ns = world->now_ns;
    static const struct {
        uint64_t at_ns, due_ns;
    } cases[] = {
        {0, 5 * MS},
        {5 * MS, 5 * MS}, /* it has room for 500 more */
        {5 * MS + 1, 10 * MS},
        {20 * MS, 20 * MS}, /* the end of the second round */
        {20 * MS + 1, 25 * MS},
        {10 * SECOND + 1, 10 * SECOND + 5 * MS},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        harness_push(harness, 500, begin_ns + cases[i].at_ns);
        if (i == 0)
            harness_run(harness, begin_ns + 5 * MS - 1);
    }
    harness_run(harness, begin_ns + 100 * SECOND);
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        expect_delivered(harness, i, i, begin_ns + cases[i].due_ns);
    world_free(world);
}

/* The time of opportunity n of a table, by counting. */
static uint64_t played_ns(const int32_t *values, size_t count, size_t number)
{
    uint64_t round = number / count;
    return (round * (uint64_t)values[count - 1] + (uint64_t)values[number % count]) * MS;
}

/* Random tables, sizes and arrivals: the model goes through all opportunities one by one. */
static void the_model_agrees(void **state)
{
    (void)state;
    enum { UNITS = 200 };
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct random_stream dice = {.key = seed};
        int32_t values[24] = {0};
        size_t count = 1 + random_below(random_next(&dice), COUNT_OF(values));
        for (size_t i = 0; i < count; i++)
            values[i] = (i ? values[i - 1] : 0) + (int32_t)random_below(random_next(&dice), 6);
        values[count - 1] += values[count - 1] == 0;
        struct world *world = world_with_trace(values, count, 0);
        struct harness *harness = world_begin(world, FAULT_STREAM, 0, UNITS);
        uint64_t begin_ns = world->now_ns, at_ns = 0, due_ns[UNITS];
        size_t number = 0;
        uint32_t left = CARRIES;
        for (size_t i = 0; i < UNITS; i++) {
            uint32_t bytes = 1 + (uint32_t)random_below(random_next(&dice), 4000);
            at_ns += random_below(random_next(&dice), 3) * random_below(random_next(&dice), 5 * MS);
            harness_push(harness, bytes, begin_ns + at_ns);
            while (played_ns(values, count, number) < at_ns) {
                number++;
                left = CARRIES;
            }
            while (bytes > left) {
                bytes -= left;
                number++;
                left = CARRIES;
            }
            left -= bytes;
            due_ns[i] = begin_ns + played_ns(values, count, number);
        }
        harness_run(harness, begin_ns + 100 * SECOND);
        for (size_t i = 0; i < UNITS; i++)
            expect_delivered(harness, i, i, due_ns[i]);
        world_free(world);
    }
}

static void a_full_queue_drops_datagrams(void **state)
{
    (void)state;
    static const int32_t values[] = {1};
    for (int i = 0; i < 2; i++) {
        struct world *world = world_with_trace(values, 1, i ? 3000 : 0);
        struct harness *harness = world_begin(world, FAULT_DATAGRAM, 0, 100);
        size_t fit = i ? 2 : 43; /* 64 KiB */
        for (size_t k = 0; k < fit + 2; k++)
            harness_push(harness, 1500, world->now_ns);
        assert_int_equal(harness->record_count, 2);
        for (size_t k = 0; k < 2; k++)
            assert_int_equal(harness->records[k].cause, FAULT_CAUSE_QUEUE);
        harness_run(harness, world->now_ns + SECOND);
        assert_int_equal(harness->record_count, fit + 2);
        world_free(world);
    }
}

/* A stream is told instead not to push. */
static void a_full_queue_holds_a_stream_back(void **state)
{
    (void)state;
    static const int32_t values[] = {10};
    struct world *world = world_with_trace(values, 1, 3000);
    struct harness *harness = world_begin(world, FAULT_STREAM, 0, 8);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fault_pipeline_is_full(&harness->pipeline), i == 2);
        harness_push(harness, 1500, world->now_ns);
    }
    harness_run(harness, world->now_ns + 20 * MS);
    assert_false(fault_pipeline_is_full(&harness->pipeline));
    assert_int_equal(harness->record_count, 2);
    world_free(world);
}

static void a_queue_in_packets_has_no_default_in_bytes(void **state)
{
    (void)state;
    static const int32_t values[] = {1000};
    struct world *world = world_create(1);
    struct ruleset_fault fault = trace("t", 0);
    fault.trace.queue_packets = 60; /* of 1500 bytes: above 64 KiB */
    set_table(world, "t", values, 1);
    world_add(world, fault);
    world_publish(world);
    struct harness *harness = world_begin(world, FAULT_DATAGRAM, 0, 100);
    for (int i = 0; i < 62; i++)
        harness_push(harness, 1500, world->now_ns);
    assert_int_equal(harness->record_count, 2);
    assert_int_equal(harness->records[0].id, 60);
    assert_int_equal(harness->records[1].cause, FAULT_CAUSE_QUEUE);
    harness_run(harness, world->now_ns + SECOND); /* one has gone */
    harness_push(harness, 1, world->now_ns + SECOND);
    harness_push(harness, 1, world->now_ns + SECOND);
    assert_int_equal(harness->record_count, 4);
    assert_int_equal(harness->records[3].id, 63);
    assert_int_equal(harness->records[3].cause, FAULT_CAUSE_QUEUE);
    harness_run(harness, world->now_ns + 1000 * SECOND);
    world_free(world);
}

/* The same values in a new plan are no change; others begin anew, for what waits as well. */
static void another_table_begins_anew(void **state)
{
    (void)state;
    static const int32_t slow[] = {0, 1000}, fast[] = {2};
    struct world *world = world_with_trace(slow, COUNT_OF(slow), 0);
    struct harness *harness = world_begin(world, FAULT_STREAM, 0, 16);
    uint64_t begin_ns = world->now_ns;
    for (int i = 0; i < 5; i++)
        harness_push(harness, 1500, begin_ns);
    expect_delivered(harness, 0, 0, begin_ns);
    world->now_ns += 100 * MS;
    world_add(world, latency("other", "n2->n1", MS));
    set_table(world, "unused", fast, 1);
    set_table(world, "t", slow, COUNT_OF(slow));
    world_publish(world);
    assert_int_equal(fault_pipeline_next_due(&harness->pipeline), begin_ns + SECOND);
    set_table(world, "t", fast, 1);
    world_publish(world);
    harness_push(harness, 1500, world->now_ns);
    harness_run(harness, begin_ns + 50 * SECOND);
    for (uint32_t i = 1; i < 6; i++)
        expect_delivered(harness, i, i, begin_ns + 100 * MS + i * 2 * MS);
    world_free(world);
}

static void a_window_begins_the_trace(void **state)
{
    (void)state;
    static const int32_t values[] = {7};
    struct world *world = world_create(1);
    set_table(world, "t", values, 1);
    struct ruleset_fault fault = trace("t", 0);
    fault.after_ns = 10 * MS;
    world_add(world, fault);
    world_publish(world);
    struct harness *harness = world_begin(world, FAULT_STREAM, 0, 4);
    harness_push(harness, 1500, world->now_ns + 9 * MS);
    harness_push(harness, 1500, world->now_ns + 11 * MS);
    harness_run(harness, world->now_ns + SECOND);
    expect_delivered(harness, 0, 0, world->now_ns + 9 * MS);
    expect_delivered(harness, 1, 1, world->now_ns + 17 * MS);
    world_free(world);
}

static void a_plan_keeps_its_tables(void **state)
{
    (void)state;
    static const int32_t values[] = {3, 4};
    struct world *world = world_with_trace(values, COUNT_OF(values), 0);
    struct fault_entry entries[FAULT_CHAIN_MAX];
    uint16_t n1 = fault_plan_node_slot(world->plan, "n1");
    uint16_t n2 = fault_plan_node_slot(world->plan, "n2");
    memset(world->ruleset.tables[0].values, 0xee, sizeof(values));
    const struct ruleset_table *table = fault_plan_table(world->plan, "t");
    assert_non_null(table);
    assert_memory_equal(table->values, values, sizeof(values));
    assert_null(fault_plan_table(world->plan, "u"));
    assert_int_equal(fault_plan_chain(world->plan, n1, n2, FAULT_NO_ROUTE, RULESET_BOTH, entries),
                     1);
    assert_ptr_equal(entries[0].table, table);
    assert_int_equal(entries[0].table_edition, 1);
    set_table(world, "t", values, COUNT_OF(values));
    set_table(world, "before", values, 1);
    world_publish(world);
    fault_plan_chain(world->plan, n1, n2, FAULT_NO_ROUTE, RULESET_BOTH, entries);
    assert_int_equal(entries[0].table_edition, 1);
    set_table(world, "t", values, 1);
    world_publish(world);
    fault_plan_chain(world->plan, n1, n2, FAULT_NO_ROUTE, RULESET_BOTH, entries);
    assert_int_equal(entries[0].table_edition, 3);
    world_free(world);
}

/* As far away as it gets: nothing overflows. */
static void the_longest_trace_is_no_problem(void **state)
{
    (void)state;
    static const int32_t values[] = {INT32_MAX};
    struct world *world = world_with_trace(values, 1, 0);
    struct harness *harness = world_begin(world, FAULT_STREAM, 0, 8);
    for (int i = 0; i < 8; i++)
        harness_push(harness, UINT32_MAX, world->now_ns);
    harness_run(harness, FAULT_NEVER - 1);
    for (uint32_t i = 0; i < 8; i++)
        assert_int_equal(harness->records[i].id, i);
    expect_delivered(harness, 7, 7, FAULT_NEVER - 1);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_opportunity_carries_1500_bytes),
        cmocka_unit_test(unused_opportunities_are_lost),
        cmocka_unit_test(the_model_agrees),
        cmocka_unit_test(a_full_queue_drops_datagrams),
        cmocka_unit_test(a_full_queue_holds_a_stream_back),
        cmocka_unit_test(a_queue_in_packets_has_no_default_in_bytes),
        cmocka_unit_test(another_table_begins_anew),
        cmocka_unit_test(a_window_begins_the_trace),
        cmocka_unit_test(a_plan_keeps_its_tables),
        cmocka_unit_test(the_longest_trace_is_no_problem),
    };
    return cmocka_run_group_tests_name("proxy/fault/stage_trace", tests, NULL, NULL);
}
