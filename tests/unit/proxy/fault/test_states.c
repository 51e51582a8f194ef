/* What faults remember across connections starts when a slot is given to another fault. */
#include "tests/unit/proxy/fault/world.h"

static void a_slot_starts_when_its_fault_is_set(void **state)
{
    (void)state;
    struct world *world = world_create(1);
    world_add(world, latency("a", "r", MS));
    world_publish(world);
    uint16_t a = fault_plan_fault_slot(world->plan, "a", NULL);
    struct fault_state *of_a = &world->states->by_slot[a];
    assert_int_equal(of_a->since_ns, SECOND);
    assert_int_equal(of_a->since_version, 2);
    world_begin(world, FAULT_STREAM, 0, 1);
    world_begin(world, FAULT_STREAM, 1, 1);
    assert_int_equal(of_a->connections, 2);

    world->now_ns = 2 * SECOND; /* parameters, toxicity and another fault are nothing new */
    world_fault(world, "a")->latency.delay_ns = 5 * MS;
    world_fault(world, "a")->spared_ppb = 1;
    world_add(world, latency("b", "r", MS));
    world_publish(world);
    uint16_t b = fault_plan_fault_slot(world->plan, "b", NULL);
    assert_true(a != b);
    assert_int_equal(of_a->since_ns, SECOND);
    assert_int_equal(of_a->connections, 2);
    assert_int_equal(world->states->by_slot[b].since_ns, 2 * SECOND);
    assert_int_equal(world->states->by_slot[b].since_version, 3);
    assert_int_equal(world->states->by_slot[b].connections, 0); /* they were there before */

    ruleset_remove_fault(&world->ruleset, "a");
    world_publish(world);
    assert_int_equal(of_a->connections, 2);
    world->now_ns = 3 * SECOND;
    world_add(world, latency("c", "r", MS));
    world_publish(world);
    assert_int_equal(fault_plan_fault_slot(world->plan, "c", NULL), a);
    assert_int_equal(of_a->since_ns, 3 * SECOND);
    assert_int_equal(of_a->since_version, 5);
    assert_int_equal(of_a->connections, 0);
    world_free(world);
}

static void slots_tell_their_fault(void **state)
{
    (void)state;
    struct world *world = world_create(1);
    assert_int_equal(fault_plan_fault_slots(world->plan), 0);
    assert_int_equal(fault_plan_fault_of_slot(world->plan, 0), UINT16_MAX);
    assert_int_equal(fault_plan_fault_generation(world->plan, 0), 0);
    world_add(world, latency("a", "r", MS));
    world_add(world, latency("b", "r", MS));
    world_publish(world);
    ruleset_remove_fault(&world->ruleset, "a");
    uint16_t a = fault_plan_fault_slot(world->plan, "a", NULL);
    uint32_t generation = 0;
    uint16_t b = fault_plan_fault_slot(world->plan, "b", &generation);
    assert_int_equal(fault_plan_fault_of_slot(world->plan, a), 0);
    assert_int_equal(fault_plan_fault_of_slot(world->plan, b), 1);
    world_publish(world);
    assert_int_equal(fault_plan_fault_slots(world->plan), 2);
    assert_int_equal(fault_plan_fault_of_slot(world->plan, a), UINT16_MAX);
    assert_int_equal(fault_plan_fault_of_slot(world->plan, b), 0);
    assert_int_equal(fault_plan_fault_generation(world->plan, b), generation);
    assert_int_equal(fault_plan_fault_of_slot(world->plan, UINT16_MAX), UINT16_MAX);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slot_starts_when_its_fault_is_set),
        cmocka_unit_test(slots_tell_their_fault),
    };
    return cmocka_run_group_tests_name("proxy/fault/states", tests, NULL, NULL);
}
