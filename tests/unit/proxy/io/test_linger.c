#include "tests/lib/test.h"

#include "proxy/io/linger.h"

enum { TIMES = 100 * LINGER_PAUSE_MAX };

/* How many of so many times it is tried; it pays so many times of three. */
static unsigned count_tries(struct linger_state *linger, unsigned times, unsigned paid_of_three)
{
    unsigned tries = 0;
    for (unsigned i = 0; i < times; i++)
        if (linger_is_due(linger))
            linger_note(linger, tries++ % 3 < paid_of_three, 0);
    return tries;
}

static void what_pays_is_always_tried(void **state)
{
    (void)state;
    struct linger_state linger = {0};
    assert_int_equal(count_tries(&linger, TIMES, 3), TIMES);
}

static void what_seldom_pays_is_seldom_tried(void **state)
{
    (void)state;
    for (unsigned paid = 0; paid < 2; paid++) {
        struct linger_state linger = {0};
        unsigned tries = count_tries(&linger, TIMES, paid);
        assert_in_range(tries, TIMES / 256, TIMES / 200);
    }
}

static void pauses_get_longer(void **state)
{
    (void)state;
    static const unsigned pauses[] = {3, 15, 63, 255, 255};
    struct linger_state linger = {0};
    for (size_t i = 0; i < sizeof(pauses) / sizeof(pauses[0]); i++) {
        assert_int_equal(count_tries(&linger, LINGER_ROUND, 0), LINGER_ROUND);
        assert_int_equal(count_tries(&linger, pauses[i] * LINGER_ROUND, 0), 0);
    }
}

static void one_good_round_ends_them(void **state)
{
    (void)state;
    struct linger_state linger = {0};
    count_tries(&linger, TIMES, 0);
    while (linger.tries || linger.left_out < linger.pause)
        count_tries(&linger, 1, 0);
    assert_int_equal(count_tries(&linger, TIMES, 3), TIMES);
}

static void what_came_while_another_had_the_core_does_not_pay(void **state)
{
    (void)state;
    struct linger_state linger = {0};
    for (int i = 0; i < LINGER_ROUND; i++) {
        assert_true(linger_is_due(&linger));
        linger_note(&linger, true, LINGER_OTHER_NS);
    }
    assert_false(linger_is_due(&linger));
}

static void a_busy_core_ends_the_round(void **state)
{
    (void)state;
    static const unsigned pauses[] = {3, 15, 63, 255, 255};
    struct linger_state linger = {0};
    for (size_t i = 0; i < sizeof(pauses) / sizeof(pauses[0]); i++) {
        assert_int_equal(count_tries(&linger, LINGER_ROUND - 1, 3), LINGER_ROUND - 1);
        assert_true(linger_is_due(&linger));
        linger_note(&linger, true, LINGER_BUSY_NS);
        assert_int_equal(count_tries(&linger, pauses[i] * LINGER_ROUND, 0), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_pays_is_always_tried),
        cmocka_unit_test(what_seldom_pays_is_seldom_tried),
        cmocka_unit_test(pauses_get_longer),
        cmocka_unit_test(one_good_round_ends_them),
        cmocka_unit_test(what_came_while_another_had_the_core_does_not_pay),
        cmocka_unit_test(a_busy_core_ends_the_round),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
