/* The two orders of a queue, against a model that sorts. */
#include "tests/unit/proxy/fault/harness.h"

#include "proxy/base/random.h"
#include "proxy/fault/queue.h"

static void a_list_keeps_its_order(void **state)
{
    (void)state;
    struct fault_queue queue = {0};
    struct fault_unit units[3] = {
        {.due_ns = 5, .bytes = 1}, {.due_ns = 5, .bytes = 2}, {.due_ns = 9}};
    assert_null(queue_peek(&queue));
    for (size_t i = 0; i < COUNT_OF(units); i++)
        queue_append(&queue, &units[i]);
    assert_int_equal(queue.units, 3);
    assert_int_equal(queue.bytes, 3);
    for (size_t i = 0; i < COUNT_OF(units); i++) {
        assert_ptr_equal(queue_peek(&queue), &units[i]);
        assert_ptr_equal(queue_pop(&queue), &units[i]);
    }
    assert_null(queue_peek(&queue));
    assert_int_equal(queue.units, 0);
    assert_int_equal(queue.bytes, 0);
}

static void what_is_due_first_leaves_the_heap_first(void **state)
{
    (void)state;
    struct fault_queue queue = {0};
    struct fault_unit units[] = {
        {.due_ns = 7}, {.due_ns = 3}, {.due_ns = 7}, {.due_ns = 3}, {.due_ns = 1}};
    static const size_t order[] = {4, 1, 3, 0, 2};
    for (size_t i = 0; i < COUNT_OF(units); i++)
        queue_insert(&queue, &units[i]);
    for (size_t i = 0; i < COUNT_OF(units); i++)
        assert_ptr_equal(queue_pop(&queue), &units[order[i]]);
}

/* Random appends, inserts and pops; the model looks through all. */
static void both_orders_against_a_model(void **state)
{
    (void)state;
    enum { UNITS = 3000 };
    static struct fault_unit units[UNITS];
    static bool held[UNITS], loose[UNITS];
    struct random_stream dice = {.key = 8};
    struct fault_queue queue = {0};
    uint64_t last_ns = 0, bytes = 0, count = 0;
    for (size_t pushed = 0, popped = 0; popped < UNITS;) {
        if (pushed < UNITS && random_below(random_next(&dice), 100) < (pushed < 1500 ? 70u : 45u)) {
            struct fault_unit *unit = &units[pushed];
            loose[pushed] = random_below(random_next(&dice), 2);
            unit->bytes = (uint32_t)random_below(random_next(&dice), 100);
            unit->due_ns = loose[pushed] ? random_below(random_next(&dice), 500)
                                         : last_ns + random_below(random_next(&dice), 2);
            last_ns = loose[pushed] ? last_ns : unit->due_ns;
            (loose[pushed] ? queue_insert : queue_append)(&queue, unit);
            held[pushed++] = true;
            bytes += unit->bytes;
            count++;
        } else if (count > 0) {
            size_t best = UNITS; /* of the list before the heap, of both the first that came */
            for (size_t i = 0; i < pushed; i++)
                if (held[i] &&
                    (best == UNITS || units[i].due_ns < units[best].due_ns ||
                     (units[i].due_ns == units[best].due_ns && loose[best] && !loose[i])))
                    best = i;
            assert_ptr_equal(queue_peek(&queue), &units[best]);
            assert_ptr_equal(queue_pop(&queue), &units[best]);
            held[best] = false;
            bytes -= units[best].bytes;
            count--;
            popped++;
        }
        assert_int_equal(queue.units, count);
        assert_int_equal(queue.bytes, bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_keeps_its_order),
        cmocka_unit_test(what_is_due_first_leaves_the_heap_first),
        cmocka_unit_test(both_orders_against_a_model),
    };
    return cmocka_run_group_tests_name("proxy/fault/queue", tests, NULL, NULL);
}
