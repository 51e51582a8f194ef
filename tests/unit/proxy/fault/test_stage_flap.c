/* Flap: when it is up and down, for whom, and what waits. */
#include "tests/unit/proxy/fault/world.h"

#include <errno.h>

#include "proxy/base/random.h"

enum { DATAGRAMS = 20000 };

static struct ruleset_fault flap(const char *place, uint64_t up_ns, uint64_t down_ns,
                                 uint64_t jitter_ns)
{
    struct ruleset_fault fault = fault_of("f", RULESET_FLAP);
    struct error error;
    fault.flap = (__typeof__(fault.flap)){up_ns, down_ns, jitter_ns};
    assert_int_equal(ruleset_parse_link(place, &fault.link, &fault.both_ways, &error), 0);
    return fault;
}

static struct world *world_with(struct ruleset_fault fault, uint64_t seed)
{
    struct world *world = world_create(seed);
    world_add(world, fault);
    world_publish(world);
    return world;
}

/* Whether a datagram that comes now passes. */
static bool passes(struct harness *harness, uint64_t now_ns)
{
    harness_push(harness, 100, now_ns);
    const struct record *record = &harness->records[harness->record_count - 1];
    assert_int_equal(harness->record_count, harness->unit_count);
    assert_int_equal(record->at_ns, now_ns);
    assert_true(record->cause == FAULT_CAUSES || record->cause == FAULT_CAUSE_CUT);
    return record->cause == FAULT_CAUSES;
}

static void it_goes_up_and_down_to_the_nanosecond(void **state)
{
    (void)state;
    struct world *world = world_with(flap("n1->n2", 20 * MS, 5 * MS, 0), 1);
    uint64_t set_ns = world->now_ns;
    struct harness *harness = world_begin(world, FAULT_DATAGRAM, 0, DATAGRAMS);
    for (uint64_t turn = 0; turn < 1000; turn += 1 + turn / 7) {
        uint64_t up_ns = set_ns + turn * 25 * MS;
        assert_true(passes(harness, up_ns));
        assert_true(passes(harness, up_ns + 20 * MS - 1));
        assert_false(passes(harness, up_ns + 20 * MS));
        assert_false(passes(harness, up_ns + 25 * MS - 1));
    }
    assert_true(fault_pipeline_next_due(&harness->pipeline) == FAULT_NEVER);
    assert_int_equal(harness->touched[0], harness->unit_count / 2);
    passes(harness, FAULT_NEVER - 1); /* as far away as it gets: nothing overflows */
    world_free(world);
}

/* From when it was set, not from when a flow met it. */
static void everything_goes_up_and_down_together(void **state)
{
    (void)state;
    struct world *world = world_with(flap("n1<->n2", 20 * MS, 8 * MS, 4 * MS), 1);
    struct fault_flow told = world_tell(world, FAULT_DATAGRAM, 0);
    struct world_flow *flows[3];
    flows[0] = world_prepare(world, &told, "n1", "n2", "r", RULESET_UPSTREAM, DATAGRAMS);
    flows[1] = world_prepare(world, &told, "n2", "n1", "r", RULESET_DOWNSTREAM, DATAGRAMS);
    world_apply(world, flows[0]);
    world_apply(world, flows[1]);
    uint64_t now_ns = world->now_ns;
    world->now_ns += 13 * MS; /* a lab's link, later */
    told = world_tell(world, FAULT_DATAGRAM, 7);
    flows[2] = world_prepare(world, &told, "n2", "n1", "", RULESET_BOTH, DATAGRAMS);
    world_apply(world, flows[2]);
    size_t down = 0;
    for (now_ns = world->now_ns; now_ns < world->now_ns + SECOND; now_ns += 100 * US) {
        bool up = passes(flows[0]->harness, now_ns);
        assert_int_equal(passes(flows[1]->harness, now_ns), up);
        assert_int_equal(passes(flows[2]->harness, now_ns), up);
        down += !up;
    }
    assert_in_range(down, 10000 * 8 / 28 - 500, 10000 * 8 / 28 + 500);
    world_free(world);
}

/* Each edge within a jitter of its place, anywhere in it, and another one with another seed. */
static void edges_have_a_jitter_that_does_not_add_up(void **state)
{
    (void)state;
    enum { STEP = 100 * US };
    uint64_t edges[2][400] = {{0}};
    for (uint64_t seed = 0; seed < 2; seed++) {
        struct world *world = world_with(flap("n1->n2", 20 * MS, 8 * MS, 4 * MS), seed);
        struct harness *harness = world_begin(world, FAULT_DATAGRAM, 0, 60000);
        bool was_up = true;
        uint64_t count = 0, early = 0;
        for (uint64_t gone_ns = 0; gone_ns < 5 * SECOND; gone_ns += STEP) {
            bool up = passes(harness, world->now_ns + gone_ns);
            if (up == was_up)
                continue;
            uint64_t edge = count + 1, middle_ns = edge / 2 * 28 * MS + edge % 2 * 20 * MS;
            assert_in_range(gone_ns, middle_ns - 4 * MS, middle_ns + 4 * MS + STEP);
            early += gone_ns < middle_ns;
            edges[seed][count++] = gone_ns;
            was_up = up;
        }
        assert_in_range(count, 355, 358);
        assert_in_range(early, count / 2 - 40, count / 2 + 40);
        world_free(world);
    }
    assert_memory_not_equal(edges[0], edges[1], sizeof(edges[0]));
}

static void a_stream_waits_in_order(void **state)
{
    (void)state;
    struct world *world = world_with(flap("n1->n2", 20 * MS, 10 * MS, 0), 1);
    struct harness *harness = world_begin(world, FAULT_STREAM, 0, 16);
    uint64_t set_ns = world->now_ns;
    harness_push(harness, 10, set_ns + 19 * MS);
    expect_delivered(harness, 0, 0, set_ns + 19 * MS);
    assert_false(fault_pipeline_is_full(&harness->pipeline));
    harness_push(harness, 10, set_ns + 21 * MS);
    assert_true(fault_pipeline_is_full(&harness->pipeline));
    assert_true(fault_pipeline_next_due(&harness->pipeline) == set_ns + 30 * MS);
    harness_push(harness, 10, set_ns + 29 * MS);
    harness_push(harness, 10, set_ns + 31 * MS); /* late: those before it have gone */
    harness_push_end(harness, set_ns + 52 * MS);
    harness_run(harness, set_ns + SECOND);
    expect_delivered(harness, 1, 1, set_ns + 30 * MS);
    expect_delivered(harness, 2, 2, set_ns + 30 * MS);
    expect_delivered(harness, 3, 3, set_ns + 31 * MS);
    expect_delivered(harness, 4, 4, set_ns + 60 * MS);
    assert_int_equal(harness->touched[0], 3);
    world_free(world);
}

/* Random changes of its times and of the seed, and streams all the same whole and in order. */
static void a_change_counts_from_the_same_moment(void **state)
{
    (void)state;
    struct random_stream dice = {.key = 3};
    struct world *world = world_with(flap("n1->n2", 20 * MS, 10 * MS, 0), 1);
    struct harness *harness = world_begin(world, FAULT_STREAM, 0, 4000);
    uint64_t set_ns = world->now_ns;
    harness_push(harness, 10, set_ns + 21 * MS);
    world->now_ns = set_ns + 22 * MS;
    world_fault(world, "f")->flap.up_ns = 30 * MS;
    world_publish(world); /* up now: it goes */
    expect_delivered(harness, 0, 0, set_ns + 22 * MS);
    harness_push(harness, 10, set_ns + 35 * MS);
    world->now_ns = set_ns + 36 * MS;
    world_fault(world, "f")->flap.down_ns = 100 * MS;
    world_publish(world);
    assert_true(fault_pipeline_next_due(&harness->pipeline) == set_ns + 130 * MS);
    for (uint32_t i = 2; i < 4000; i++) {
        world->now_ns += random_below(random_next(&dice), 3 * MS);
        struct ruleset_fault *fault = world_fault(world, "f");
        if (i % 5 == 0) {
            fault->flap.up_ns = 1 + random_below(random_next(&dice), 20 * MS);
            fault->flap.down_ns = 1 + random_below(random_next(&dice), 20 * MS);
            uint64_t shorter =
                fault->flap.up_ns < fault->flap.down_ns ? fault->flap.up_ns : fault->flap.down_ns;
            fault->flap.jitter_ns = random_below(random_next(&dice), shorter / 2 + 1);
            world->ruleset.seed += i % 2;
            world_publish(world);
        }
        harness_push(harness, 10, world->now_ns);
    }
    ruleset_remove_fault(&world->ruleset, "f");
    world_publish(world);
    assert_int_equal(harness->record_count, 4000);
    for (uint32_t i = 0; i < 4000; i++) {
        assert_int_equal(harness->records[i].id, i);
        assert_true(i == 0 || harness->records[i].at_ns >= harness->records[i - 1].at_ns);
    }
    world_free(world);
}

static void a_jitter_is_at_most_half(void **state)
{
    (void)state;
    struct world *world = world_with(flap("n1->n2", 20 * MS, 8 * MS, 4 * MS), 1);
    struct error error = {0};
    world_fault(world, "f")->flap.jitter_ns++;
    assert_int_equal(ruleset_check(&world->ruleset, &error), -EINVAL);
    assert_string_equal(error.place, "faults[0].jitter_ns");
    world_fault(world, "f")->flap = (__typeof__(((struct ruleset_fault *)0)->flap)){8, 20, 5};
    assert_int_equal(ruleset_check(&world->ruleset, &error), -EINVAL);
    world_fault(world, "f")->flap.jitter_ns = 4;
    assert_int_equal(ruleset_check(&world->ruleset, &error), 0);
    world_fault(world, "f")->flap.up_ns = 0;
    assert_int_equal(ruleset_check(&world->ruleset, &error), -EINVAL);
    assert_string_equal(error.place, "faults[0].up_ns");
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_goes_up_and_down_to_the_nanosecond),
        cmocka_unit_test(everything_goes_up_and_down_together),
        cmocka_unit_test(edges_have_a_jitter_that_does_not_add_up),
        cmocka_unit_test(a_stream_waits_in_order),
        cmocka_unit_test(a_change_counts_from_the_same_moment),
        cmocka_unit_test(a_jitter_is_at_most_half),
    };
    return cmocka_run_group_tests_name("proxy/fault/stage_flap", tests, NULL, NULL);
}
