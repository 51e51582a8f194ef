/* Which connections and units a fault is for: toxicity, first_connections, after_ns, match. */
#include "tests/unit/proxy/fault/world.h"

#include <math.h>

#include "proxy/base/random.h"

enum { HALF = 500000000 };

static struct ruleset_fault spared(struct ruleset_fault fault, uint32_t spared_ppb)
{
    fault.spared_ppb = spared_ppb;
    return fault;
}

static struct ruleset_fault first(struct ruleset_fault fault, uint32_t connections)
{
    fault.first_connections = connections;
    return fault;
}

static void a_toxicity_hits_its_part_of_the_connections(void **state)
{
    (void)state;
    static const uint32_t parts[] = {0, 10000000, 300000000, HALF, 999000000, 1000000000};
    enum { FLOWS = 20000 };
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        struct world *world = world_create(5);
        world_add(world, spared(latency("f", "r", MS), parts[i]));
        world_publish(world);
        size_t hits = 0;
        for (uint64_t k = 0; k < FLOWS; k++) {
            hits += world_is_hit(world_begin(world, FAULT_STREAM, k, 1), "f");
            if (world->flow_count == WORLD_FLOWS)
                world_end_flows(world);
        }
        double p = 1 - parts[i] / 1e9, sigma = sqrt(FLOWS * p * (1 - p));
        assert_true(fabs((double)hits - FLOWS * p) <= 4 * sigma);
        world_free(world);
    }
}

static void a_spared_connection_is_left_alone(void **state)
{
    (void)state;
    struct world *world = world_create(5);
    world_add(world, spared(latency("f", "r", MS), HALF));
    world_publish(world);
    size_t hits = 0;
    for (uint64_t k = 0; k < 40; k++) {
        struct harness *harness = world_begin(world, FAULT_STREAM, k, 2);
        bool hit = world_is_hit(harness, "f");
        assert_int_equal(fault_pipeline_is_needed(&harness->pipeline), hit);
        harness_push(harness, 10, world->now_ns);
        harness_run(harness, world->now_ns + MS);
        expect_delivered(harness, 0, 0, world->now_ns + (hit ? MS : 0));
        assert_int_equal(harness->touched[harness->pipeline.stages[0].fault_slot], hit);
        assert_int_equal(harness->pipeline.stages[0].sequence, hit);
        hits += hit;
    }
    assert_true(hits > 8 && hits < 32);
    world_free(world);
}

/* Forty connections at toxicity 0.5, and everything else in the ruleset changes: none of them
 * changes state, and none that begins later is decided otherwise than in a world without changes.
 */
static void nothing_unrelated_rolls_the_dice_again(void **state)
{
    (void)state;
    enum { FLOWS = 40, STEPS = 60 };
    struct world *world = world_create(11), *still = world_create(11);
    struct random_stream dice = {.key = 3};
    bool hit[FLOWS], later[FLOWS];
    world_add(world, spared(latency("f", "r", MS), HALF));
    world_add(still, spared(latency("f", "r", MS), HALF));
    world_publish(world);
    world_publish(still);
    size_t hits = 0;
    for (uint64_t k = 0; k < FLOWS; k++) {
        hit[k] = world_is_hit(world_begin(world, FAULT_STREAM, k, 1), "f");
        later[k] = world_is_hit(world_begin(still, FAULT_STREAM, FLOWS + k, 1), "f");
        hits += hit[k];
    }
    assert_true(hits > 10 && hits < 30);
    for (int step = 0; step < STEPS; step++) {
        char name[RULESET_NAME_MAX];
        snprintf(name, sizeof(name), "other%u", (unsigned)random_below(random_next(&dice), 5));
        struct ruleset_fault *other = ruleset_find_fault(&world->ruleset, name);
        if (!other)
            world_add(world, spared(latency(name, step % 2 ? "r" : "n1<->n2", MS), HALF));
        else if (step % 3)
            other->spared_ppb = (uint32_t)random_below(random_next(&dice), RANDOM_PPB_ONE);
        else
            ruleset_remove_fault(&world->ruleset, name);
        if (step % 7 == 0) { /* its place in the chain, its own parameters */
            struct ruleset_fault swapped = world->ruleset.faults[0];
            size_t last = world->ruleset.fault_count - 1;
            world->ruleset.faults[0] = world->ruleset.faults[last];
            world->ruleset.faults[last] = swapped;
            world_fault(world, "f")->latency.delay_ns = (uint64_t)step * MS;
        }
        world->now_ns += MS;
        world_publish(world);
        for (size_t k = 0; k < FLOWS; k++)
            assert_int_equal(world_is_hit(world->flows[k].harness, "f"), hit[k]);
    }
    for (uint64_t k = 0; k < FLOWS; k++)
        assert_int_equal(world_is_hit(world_begin(world, FAULT_STREAM, FLOWS + k, 1), "f"),
                         later[k]);
    world_free(world);
    world_free(still);
}

/* The same draw is compared with the new toxicity: who had the fault keeps it when it is raised,
 * and after going up and down again everyone is where he was. */
static void a_new_toxicity_moves_the_threshold_only(void **state)
{
    (void)state;
    enum { FLOWS = 200 };
    static const uint32_t parts[] = {900000000, 700000000, HALF, 200000000, 0};
    struct world *world = world_create(2);
    bool hit[COUNT_OF(parts)][FLOWS];
    world_add(world, spared(latency("f", "r", MS), parts[0]));
    world_publish(world);
    for (uint64_t k = 0; k < FLOWS; k++)
        world_begin(world, FAULT_STREAM, k, 1);
    for (size_t i = 0; i < 2 * COUNT_OF(parts); i++) {
        size_t p = i < COUNT_OF(parts) ? i : 2 * COUNT_OF(parts) - 1 - i;
        world_fault(world, "f")->spared_ppb = parts[p];
        world_publish(world);
        size_t more = 0;
        for (size_t k = 0; k < FLOWS; k++) {
            bool now = world_is_hit(world->flows[k].harness, "f");
            if (i < COUNT_OF(parts))
                hit[p][k] = now;
            assert_int_equal(now, hit[p][k]);
            assert_true(p == 0 || hit[p][k] || !hit[p - 1][k]);
            more += p > 0 && hit[p][k] && !hit[p - 1][k];
        }
        assert_true(p == 0 || more > 10);
    }
    world_free(world);
}

/* Seeds, faults, routes and directions are drawn apart. */
static void toxicities_are_independent(void **state)
{
    (void)state;
    enum { FLOWS = 120, SERIES = 5 };
    bool hit[SERIES][FLOWS];
    for (uint64_t seed = 1; seed <= 2; seed++) {
        struct world *world = world_create(seed);
        for (size_t i = 0; i < 2; i++) {
            struct ruleset_fault fault = latency(i ? "g" : "f", "n1<->n2", MS);
            world_add(world, spared(fault, HALF));
        }
        world_publish(world);
        for (uint64_t k = 0; k < FLOWS; k++) {
            const struct world_flow *flows = world_connect(world, "n1", "r", k);
            if (seed == 2) {
                hit[4][k] = world_is_hit(flows[0].harness, "f");
            } else {
                hit[0][k] = world_is_hit(flows[0].harness, "f");
                hit[1][k] = world_is_hit(flows[0].harness, "g");
                hit[2][k] = world_is_hit(flows[1].harness, "f");
            }
        }
        world_end_flows(world);
        for (uint64_t k = 0; seed == 1 && k < FLOWS; k++) {
            const struct world_flow *flows = world_connect(world, "n1", "s", k);
            hit[3][k] = world_is_hit(flows[0].harness, "f");
        }
        world_free(world);
    }
    for (size_t a = 0; a < SERIES; a++)
        for (size_t b = 0; b < a; b++) {
            size_t same = 0;
            for (size_t k = 0; k < FLOWS; k++)
                same += hit[a][k] == hit[b][k];
            assert_true(same > 40 && same < 80); /* 60 +- 4 sigma of 5.5 */
        }
}

/* What is held when a connection is spared from now on leaves in order. */
static void a_connection_that_is_spared_gets_its_units(void **state)
{
    (void)state;
    struct world *world = world_create(1);
    world_add(world, latency("f", "r", SECOND));
    world_publish(world);
    struct harness *harness = world_begin(world, FAULT_STREAM, 0, 8);
    uint64_t begun_ns = world->now_ns;
    for (uint64_t i = 0; i < 4; i++)
        harness_push(harness, 10, begun_ns + i);
    world_fault(world, "f")->spared_ppb = RANDOM_PPB_ONE;
    world->now_ns += MS;
    world_publish(world);
    assert_false(fault_pipeline_is_needed(&harness->pipeline));
    assert_int_equal(harness->record_count, 4);
    for (uint32_t i = 0; i < 4; i++)
        expect_delivered(harness, i, i, begun_ns + MS);
    world_fault(world, "f")->spared_ppb = 0;
    world_publish(world);
    harness_push(harness, 10, world->now_ns);
    harness_run(harness, world->now_ns + SECOND);
    expect_delivered(harness, 4, 4, world->now_ns + SECOND);
    world_free(world);
}

/* "First 3 connections" are 3, whatever directions the fault is on. */
static void the_first_connections_are_counted_once_each(void **state)
{
    (void)state;
    struct ruleset_fault faults[] = {latency("f", "r", MS), latency("f", "n1<->n2", MS),
                                     latency("f", "*<->*", MS), latency("f", "n2->n1", MS),
                                     latency("f", "r", MS)};
    faults[4].direction = RULESET_DOWNSTREAM;
    for (size_t i = 0; i < COUNT_OF(faults); i++) {
        struct world *world = world_create(1);
        world_add(world, first(faults[i], 3));
        world_publish(world);
        bool upstream = i < 3; /* the others are downstream only */
        for (uint64_t k = 0; k < 6; k++) {
            const struct world_flow *flows = world_connect(world, "n1", "r", k);
            assert_int_equal(world_is_hit(flows[0].harness, "f"), upstream && k < 3);
            assert_int_equal(world_is_hit(flows[1].harness, "f"), k < 3);
        }
        world_free(world);
    }
}

/* Both ends dial: n1's connections meet n1->n2 upstream, n2's meet it downstream. */
static void connections_of_either_side_count(void **state)
{
    (void)state;
    struct world *world = world_create(1);
    add_route(&world->ruleset, "back", "n2", "n1");
    world_add(world, first(latency("f", "n1->n2", MS), 2));
    world_publish(world);
    bool hit[4];
    for (uint64_t k = 0; k < 4; k++) {
        struct fault_flow told = world_tell(world, FAULT_STREAM, k / 2);
        struct world_flow *flow =
            k % 2 ? world_prepare(world, &told, "n1", "n2", "back", RULESET_DOWNSTREAM, 1)
                  : world_prepare(world, &told, "n1", "n2", "r", RULESET_UPSTREAM, 1);
        world_apply(world, flow);
        hit[k] = world_is_hit(flow->harness, "f");
    }
    assert_true(hit[0] && hit[1] && !hit[2] && !hit[3]);
    world_free(world);
}

static void older_connections_are_not_among_the_first(void **state)
{
    (void)state;
    struct world *world = world_create(1);
    const struct world_flow *old = world_connect(world, "n1", "r", 0);
    world_add(world, first(latency("f", "r", MS), 2));
    world_publish(world); /* at the same time: the plan tells */
    for (uint64_t k = 1; k < 5; k++) {
        const struct world_flow *flows = world_connect(world, "n1", "r", k);
        assert_int_equal(world_is_hit(flows[0].harness, "f"), k < 3);
    }
    assert_false(world_is_hit(old->harness, "f"));
    world_add(world, latency("other", "r", MS)); /* nor does a change let anyone in */
    world_publish(world);
    assert_false(world_is_hit(old->harness, "f"));
    assert_true(world_is_hit(world->flows[2].harness, "f"));
    assert_false(world_is_hit(world->flows[8].harness, "f"));
    /* a higher number takes in those that had come too late, a fault without one all */
    world_fault(world, "f")->first_connections = 3;
    world_publish(world);
    assert_true(world_is_hit(world->flows[6].harness, "f"));
    assert_false(world_is_hit(world->flows[8].harness, "f"));
    assert_false(world_is_hit(old->harness, "f"));
    world_fault(world, "f")->first_connections = 0;
    world_publish(world);
    assert_true(world_is_hit(old->harness, "f"));
    assert_true(world_is_hit(world->flows[8].harness, "f"));
    world_free(world);
}

/* Removed and set again it is another fault: it counts anew, and those that are there are old. */
static void a_fault_that_is_set_again_counts_anew(void **state)
{
    (void)state;
    struct world *world = world_create(1);
    struct ruleset_fault fault = first(latency("f", "r", MS), 1);
    world_add(world, fault);
    world_publish(world);
    assert_true(world_is_hit(world_begin(world, FAULT_STREAM, 0, 1), "f"));
    assert_false(world_is_hit(world_begin(world, FAULT_STREAM, 1, 1), "f"));
    ruleset_remove_fault(&world->ruleset, "f");
    world_publish(world);
    world_add(world, fault);
    world_publish(world);
    assert_false(world_is_hit(world->flows[0].harness, "f"));
    assert_true(world_is_hit(world_begin(world, FAULT_STREAM, 2, 1), "f"));
    assert_false(world_is_hit(world_begin(world, FAULT_STREAM, 3, 1), "f"));
    world_free(world);
}

static void without_states_nobody_is_first(void **state)
{
    (void)state;
    struct harness *harness = harness_create(FAULT_STREAM, 0, 1);
    struct ruleset_fault fault = first(latency("f", "n1->n2", MS), 1);
    harness_apply(harness, &fault, 1, 0);
    assert_false(fault_pipeline_is_needed(&harness->pipeline));
    harness_free(harness);
}

static void a_window_opens_for_each_connection_in_its_time(void **state)
{
    (void)state;
    struct world *world = world_create(1);
    struct ruleset_fault fault = latency("f", "r", 2 * MS);
    fault.after_ns = 10 * MS;
    world_add(world, fault);
    world_publish(world);
    uint64_t begun_ns = world->now_ns;
    struct harness *early = world_begin(world, FAULT_STREAM, 0, 8);
    world->now_ns += 5 * MS;
    struct harness *late = world_begin(world, FAULT_STREAM, 1, 8);
    assert_true(fault_pipeline_is_needed(&early->pipeline));
    for (uint64_t t = 9; t < 16; t += 3) {
        harness_push(early, 1, begun_ns + t * MS);
        harness_push(late, 1, begun_ns + t * MS);
    }
    harness_run(early, begun_ns + SECOND);
    harness_run(late, begun_ns + SECOND);
    expect_delivered(early, 0, 0, begun_ns + 9 * MS);
    expect_delivered(early, 1, 1, begun_ns + 14 * MS);
    expect_delivered(early, 2, 2, begun_ns + 17 * MS);
    expect_delivered(late, 0, 0, begun_ns + 9 * MS);
    expect_delivered(late, 1, 1, begun_ns + 12 * MS);
    expect_delivered(late, 2, 2, begun_ns + 17 * MS);
    /* a window that is moved to later lets go what is held */
    harness_push(early, 1, begun_ns + SECOND);
    world->now_ns = begun_ns + SECOND + MS;
    world_fault(world, "f")->after_ns = 2 * SECOND;
    world_publish(world);
    expect_delivered(early, 3, 3, begun_ns + SECOND + MS);
    harness_push(early, 1, begun_ns + SECOND + MS);
    expect_delivered(early, 4, 4, begun_ns + SECOND + MS);
    world_free(world);
}

static void what_does_not_match_passes(void **state)
{
    (void)state;
    struct harness *harness = harness_create(FAULT_DATAGRAM, 0, 16);
    struct ruleset_fault faults[] = {latency("l", "n1->n2", MS), loss("x", 1000000000)};
    put(faults[0].match, "large");
    put(faults[1].match, "large");
    harness_apply(harness, faults, 1, 0);
    harness_push(harness, 1000, 0);
    harness_push(harness, 999, 0);
    expect_delivered(harness, 0, 1, 0);
    harness_run(harness, MS);
    expect_delivered(harness, 1, 0, MS);
    assert_int_equal(harness->touched[0], 1);
    assert_int_equal(harness->pipeline.stages[0].sequence, 1);
    harness_apply(harness, &faults[1], 1, 2 * MS);
    harness_push(harness, 1, 2 * MS);
    harness_push(harness, 1001, 2 * MS);
    expect_delivered(harness, 2, 2, 2 * MS);
    assert_int_equal(harness->records[3].cause, FAULT_CAUSE_LOSS);
    harness->pipeline.sink.matches = NULL; /* a plane that has no filters */
    harness_push(harness, 1001, 2 * MS);
    expect_delivered(harness, 4, 4, 2 * MS);
    harness_free(harness);
}

/* On a link that streams cross as well. */
static void a_match_means_no_stream(void **state)
{
    (void)state;
    struct harness *harness = harness_create(FAULT_STREAM, 0, 4);
    struct ruleset_fault fault = latency("l", "n1->n2", MS);
    put(fault.match, "large");
    harness_apply(harness, &fault, 1, 0);
    assert_false(fault_pipeline_is_needed(&harness->pipeline));
    harness_push(harness, 5000, 0);
    expect_delivered(harness, 0, 0, 0);
    harness_free(harness);
}

static void faults_of_the_other_medium_need_no_pipeline(void **state)
{
    (void)state;
    static const struct {
        enum ruleset_fault_type type;
        bool stream, datagram;
    } cases[] = {
        {RULESET_LATENCY, true, true},        {RULESET_LOSS, false, true},
        {RULESET_RATE, true, true},           {RULESET_TRACE, true, true},
        {RULESET_FLAP, true, true},           {RULESET_CORRUPT, true, true},
        {RULESET_DUPLICATE, false, true},     {RULESET_REORDER, false, true},
        {RULESET_TRUNCATE, false, true},      {RULESET_SLICER, true, false},
        {RULESET_SLOW_CLOSE, true, false},    {RULESET_TIMEOUT, true, false},
        {RULESET_RESET_PEER, true, false},    {RULESET_LIMIT_DATA, true, false},
        {RULESET_ACCEPT_DELAY, false, false}, {RULESET_REJECT, false, true},
        {RULESET_NOOP, false, false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct ruleset_fault fault = fault_of("f", cases[i].type);
        if (fault.type == RULESET_FLAP)
            fault.flap.up_ns = fault.flap.down_ns = MS;
        struct harness *stream = harness_create(FAULT_STREAM, 0, 4);
        struct harness *datagram = harness_create(FAULT_DATAGRAM, 0, 4);
        harness_apply(stream, &fault, 1, 0);
        harness_apply(datagram, &fault, 1, 0);
        assert_int_equal(fault_pipeline_is_needed(&stream->pipeline), cases[i].stream);
        assert_int_equal(fault_pipeline_is_needed(&datagram->pipeline), cases[i].datagram);
        harness_free(stream);
        harness_free(datagram);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_toxicity_hits_its_part_of_the_connections),
        cmocka_unit_test(a_spared_connection_is_left_alone),
        cmocka_unit_test(nothing_unrelated_rolls_the_dice_again),
        cmocka_unit_test(a_new_toxicity_moves_the_threshold_only),
        cmocka_unit_test(toxicities_are_independent),
        cmocka_unit_test(a_connection_that_is_spared_gets_its_units),
        cmocka_unit_test(the_first_connections_are_counted_once_each),
        cmocka_unit_test(connections_of_either_side_count),
        cmocka_unit_test(older_connections_are_not_among_the_first),
        cmocka_unit_test(a_fault_that_is_set_again_counts_anew),
        cmocka_unit_test(without_states_nobody_is_first),
        cmocka_unit_test(a_window_opens_for_each_connection_in_its_time),
        cmocka_unit_test(what_does_not_match_passes),
        cmocka_unit_test(a_match_means_no_stream),
        cmocka_unit_test(faults_of_the_other_medium_need_no_pipeline),
    };
    return cmocka_run_group_tests_name("proxy/fault/reach", tests, NULL, NULL);
}
