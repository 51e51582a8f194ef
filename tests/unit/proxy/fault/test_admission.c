/* What a connection meets before it carries a byte. */
#include "tests/unit/proxy/fault/world.h"

#include <math.h>

#include "proxy/fault/admission.h"

static struct ruleset_fault reject(const char *name, uint32_t probability_ppb)
{
    struct ruleset_fault fault = latency(name, "r", 0);
    fault.type = RULESET_REJECT;
    fault.reject.probability_ppb = probability_ppb;
    return fault;
}

static struct ruleset_fault accept_delay(const char *name, uint64_t delay_ns)
{
    struct ruleset_fault fault = latency(name, "r", 0);
    fault.type = RULESET_ACCEPT_DELAY;
    fault.accept_delay.delay_ns = delay_ns;
    return fault;
}

static struct fault_admission admit(struct world *world, enum fault_medium medium, uint64_t ordinal)
{
    struct fault_entry entries[FAULT_CHAIN_MAX];
    struct fault_admission admission;
    struct fault_flow told = world_tell(world, medium, ordinal);
    const struct fault_plan *plan = world->plan;
    size_t count =
        fault_plan_chain(plan, fault_plan_node_slot(plan, "n1"), fault_plan_node_slot(plan, "n2"),
                         fault_plan_route_slot(plan, "r"), RULESET_UPSTREAM, entries);
    fault_admit(entries, count, &told, world->now_ns, &admission);
    return admission;
}

static void other_faults_refuse_nobody(void **state)
{
    (void)state;
    struct world *world = world_create(1);
    world_add(world, latency("l", "r", MS));
    world_add(world, fault_of("n", RULESET_NOOP));
    world_publish(world);
    struct fault_admission admission = admit(world, FAULT_STREAM, 0);
    assert_false(admission.refused);
    assert_int_equal(admission.delay_ns, 0);
    assert_int_equal(admission.touched_count, 0);
    world_free(world);
}

static void delays_add_up_until_one_refuses(void **state)
{
    (void)state;
    struct world *world = world_create(1);
    world_add(world, accept_delay("a", 3 * MS));
    world_add(world, reject("never", 0));
    world_add(world, accept_delay("none", 0));
    world_add(world, accept_delay("b", 4 * MS));
    world_publish(world);
    struct fault_admission admission = admit(world, FAULT_STREAM, 0);
    assert_false(admission.refused);
    assert_int_equal(admission.delay_ns, 7 * MS);
    assert_int_equal(admission.touched_count, 2);
    assert_int_equal(admission.touched[0], fault_plan_fault_slot(world->plan, "a", NULL));
    assert_int_equal(admission.touched[1], fault_plan_fault_slot(world->plan, "b", NULL));
    world_fault(world, "never")->reject.probability_ppb = RULESET_PROBABILITY_MAX;
    world_publish(world);
    admission = admit(world, FAULT_STREAM, 0);
    assert_true(admission.refused);
    assert_int_equal(admission.delay_ns, 3 * MS);
    assert_int_equal(admission.touched_count, 2);
    assert_int_equal(admission.touched[1], fault_plan_fault_slot(world->plan, "never", NULL));
    world_free(world);
}

static void refusals_are_drawn_by_ordinal(void **state)
{
    (void)state;
    enum { CONNECTIONS = 20000 };
    struct world *world = world_create(1);
    world_add(world, reject("x", 300000000));
    world_publish(world);
    static bool refused[CONNECTIONS];
    size_t hits = 0, close = 0;
    for (uint64_t k = 0; k < CONNECTIONS; k++) {
        refused[k] = admit(world, FAULT_STREAM, k).refused;
        hits += refused[k];
        close += k > 0 && refused[k] && refused[k - 1];
    }
    assert_true(fabs((double)hits - 0.3 * CONNECTIONS) < 4 * sqrt(0.21 * CONNECTIONS));
    assert_true(fabs((double)close - 0.09 * CONNECTIONS) < 4 * sqrt(0.09 * CONNECTIONS));
    world_add(world, latency("other", "r", MS));
    world_publish(world);
    for (uint64_t k = 0; k < CONNECTIONS; k++)
        assert_int_equal(admit(world, FAULT_STREAM, k).refused, refused[k]);
    world_free(world);
}

static void the_first_connections_are_refused(void **state)
{
    (void)state;
    struct world *world = world_create(1);
    struct ruleset_fault fault = reject("x", RULESET_PROBABILITY_MAX);
    fault.first_connections = 2;
    world_add(world, fault);
    world_publish(world);
    for (uint64_t k = 0; k < 5; k++) {
        assert_int_equal(admit(world, FAULT_STREAM, k).refused, k < 2);
        if (k >= 2)
            world_connect(world, "n1", "r", k); /* its pipelines don't count it again */
    }
    world_fault(world, "x")->first_connections = 7;
    world_publish(world);
    for (uint64_t k = 5; k < 10; k++)
        assert_int_equal(admit(world, FAULT_STREAM, k).refused, k < 7);
    world_free(world);
}

static void toxicity_and_window_are_heeded(void **state)
{
    (void)state;
    enum { CONNECTIONS = 400 };
    struct world *world = world_create(1);
    struct ruleset_fault fault = reject("x", RULESET_PROBABILITY_MAX);
    fault.spared_ppb = 500000000;
    world_add(world, fault);
    world_publish(world);
    size_t hits = 0;
    for (uint64_t k = 0; k < CONNECTIONS; k++)
        hits += admit(world, FAULT_STREAM, k).refused;
    assert_true(hits > 160 && hits < 240);
    world_fault(world, "x")->spared_ppb = 0;
    world_fault(world, "x")->after_ns = 5 * MS; /* since it was set */
    world_publish(world);
    assert_false(admit(world, FAULT_STREAM, 0).refused);
    world->now_ns += 5 * MS - 1;
    assert_false(admit(world, FAULT_STREAM, 1).refused);
    world->now_ns += 1;
    assert_true(admit(world, FAULT_STREAM, 2).refused);
    world->now_ns = 0; /* a turn that began before the fault was set, under the plan that has it */
    world_fault(world, "x")->after_ns = 0;
    world_publish(world);
    assert_true(admit(world, FAULT_STREAM, 3).refused);
    world_free(world);
}

static void a_session_is_admitted(void **state)
{
    (void)state;
    struct world *world = world_create(1);
    struct ruleset_fault fault = reject("x", RULESET_PROBABILITY_MAX);
    put(fault.route, "");
    put(fault.link.from, "n1");
    put(fault.link.to, "n2");
    fault.first_connections = 1;
    world_add(world, fault);
    world_publish(world);
    assert_false(admit(world, FAULT_DATAGRAM, 0).refused);
    assert_true(admit(world, FAULT_STREAM, 0).refused); /* it was not counted */
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(other_faults_refuse_nobody),
        cmocka_unit_test(delays_add_up_until_one_refuses),
        cmocka_unit_test(refusals_are_drawn_by_ordinal),
        cmocka_unit_test(the_first_connections_are_refused),
        cmocka_unit_test(toxicity_and_window_are_heeded),
        cmocka_unit_test(a_session_is_admitted),
    };
    return cmocka_run_group_tests_name("proxy/fault/admission", tests, NULL, NULL);
}
