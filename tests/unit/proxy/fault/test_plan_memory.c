/* fault_plan_create and ruleset_check with each allocation failing in turn: -ENOMEM, nothing leaks,
 * the previous plan is as it was. The linker sends this program's own calls of the allocator here
 * (--wrap in proxy/fault/module.mk), whatever allocator a sanitizer or valgrind puts behind it. */
#include "tests/unit/proxy/fault/harness.h"

#include <errno.h>

static long fail_after = -1; /* allocations that still succeed; -1: all do */
static long live_blocks;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void __real_free(void *block);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void __wrap_free(void *block);

static bool fails(void)
{
    return fail_after >= 0 && fail_after-- == 0;
}

void *__wrap_malloc(size_t size)
{
    void *block = fails() ? NULL : __real_malloc(size);
    live_blocks += block != NULL;
    return block;
}

void *__wrap_calloc(size_t count, size_t size)
{
    void *block = fails() ? NULL : __real_calloc(count, size);
    live_blocks += block != NULL;
    return block;
}

void __wrap_free(void *block)
{
    live_blocks -= block != NULL;
    __real_free(block);
}

static struct ruleset example(void)
{
    struct ruleset ruleset = {0};
    add_node(&ruleset, "n1");
    add_node(&ruleset, "n2");
    add_route(&ruleset, "r", "n1", "n2");
    struct ruleset_fault faults[] = {latency("a", "n1<->n2", MS), latency("b", "r", MS)};
    ruleset_add_fault(&ruleset, &faults[0]);
    ruleset_add_fault(&ruleset, &faults[1]);
    int32_t values[] = {1, 2, 3};
    struct ruleset_table table = {.name = "t", .values = values, .count = COUNT_OF(values)};
    ruleset_set_table(&ruleset, &table);
    return ruleset;
}

static void a_plan_survives_any_failed_allocation(void **state)
{
    (void)state;
    struct ruleset ruleset = example();
    struct fault_plan *previous = NULL, *plan = NULL;
    struct error error = {0};
    assert_int_equal(fault_plan_create(&ruleset, NULL, &previous, &error), 0);
    long failures = 0;
    for (;; failures++) {
        long before = live_blocks;
        fail_after = failures;
        int code = fault_plan_create(&ruleset, previous, &plan, &error);
        bool all_succeeded = fail_after >= 0;
        fail_after = -1;
        if (all_succeeded) {
            assert_int_equal(code, 0);
            break;
        }
        assert_int_equal(code, -ENOMEM);
        assert_null(plan);
        assert_int_equal(live_blocks, before);
    }
    assert_true(failures > 10);
    assert_int_equal(fault_plan_fault_slot(plan, "b", NULL),
                     fault_plan_fault_slot(previous, "b", NULL));
    fault_plan_destroy(plan);
    fault_plan_destroy(previous);
    ruleset_free(&ruleset);
}

static void a_check_survives_any_failed_allocation(void **state)
{
    (void)state;
    struct ruleset ruleset = example();
    struct error error = {0};
    long failures = 0;
    for (;; failures++) {
        long before = live_blocks;
        fail_after = failures;
        int code = ruleset_check(&ruleset, &error);
        bool all_succeeded = fail_after >= 0;
        fail_after = -1;
        assert_int_equal(live_blocks, before);
        assert_int_equal(code, all_succeeded ? 0 : -ENOMEM);
        if (all_succeeded)
            break;
    }
    assert_int_equal(failures, 7);
    ruleset_free(&ruleset);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plan_survives_any_failed_allocation),
        cmocka_unit_test(a_check_survives_any_failed_allocation),
    };
    return cmocka_run_group_tests_name("proxy/fault/plan_memory", tests, NULL, NULL);
}
