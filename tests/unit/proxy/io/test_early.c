#include "tests/lib/test.h"

#include "proxy/base/monotonic.h"
#include "proxy/base/random.h"
#include "proxy/io/early.h"

/* A sleep at the end of which the thread is so late. */
static void sleep_late(struct early *early, uint64_t late_ns)
{
    early_note_sleep(early, NS_PER_S, NS_PER_S + late_ns);
}

static void spin(struct early *early, uint64_t *now_ns, uint64_t spin_ns, uint64_t gap_ns)
{
    early_note_spin(early, *now_ns, *now_ns + spin_ns, gap_ns);
    *now_ns += spin_ns;
}

/* One that has learned to be EARLY_MAX_NS early, undisturbed. */
static struct early learned(void)
{
    struct early early = {0};
    while (early.late_ns < EARLY_MAX_NS || early.calm < EARLY_CHANCE)
        sleep_late(&early, EARLY_MAX_NS);
    return early;
}

static void it_learns_what_one_in_a_hundred_exceeds(void **state)
{
    (void)state;
    for (uint64_t most_ns = 20 * NS_PER_US; most_ns <= 240 * NS_PER_US; most_ns += 44 * NS_PER_US) {
        struct early early = {0};
        struct random_stream random = {.key = most_ns};
        unsigned later = 0;
        for (unsigned i = 0; i < 200000; i++) {
            uint64_t late_ns = random_below(random_next(&random), most_ns);
            later += i >= 100000 && late_ns > early.late_ns;
            sleep_late(&early, late_ns);
        }
        assert_in_range(later, 800, 1200);
        assert_in_range(early.late_ns, most_ns / 2, most_ns + EARLY_TIMES * EARLY_STEP_NS);
    }
}

static void it_learns_fast_and_forgets_slowly(void **state)
{
    (void)state;
    struct early early = {0};
    assert_int_equal(early_ask(&early, NS_PER_S), 0);
    unsigned up = 0, down = 0;
    for (; early_ask(&early, NS_PER_S) < EARLY_MAX_NS; up++)
        sleep_late(&early, EARLY_MAX_NS);
    assert_in_range(up, 10, 15);
    for (; early_ask(&early, NS_PER_S) > 0; down++)
        sleep_late(&early, 0);
    assert_in_range(down, 1000, 1500);
}

static void it_stays_within_its_bounds(void **state)
{
    (void)state;
    struct early early = learned();
    assert_int_equal(early_ask(&early, NS_PER_S), EARLY_MAX_NS);
    for (unsigned i = 0; i < 10000; i++)
        early_note_sleep(&early, NS_PER_S, NS_PER_S - (i & 1)); /* woken in time, or before */
    assert_int_equal(early_ask(&early, NS_PER_S), 0);
}

static void little_credit_is_little_early(void **state)
{
    (void)state;
    struct early early = learned();
    uint64_t now_ns = NS_PER_S;
    assert_int_equal(early_ask(&early, now_ns), EARLY_MAX_NS);
    early_note_spin(&early, now_ns, now_ns + EARLY_CREDIT_MAX_NS, 0);
    assert_int_equal(early_ask(&early, now_ns), 0);
    now_ns += 400 * NS_PER_US;
    assert_int_equal(early_ask(&early, now_ns), 400 * NS_PER_US / EARLY_SHARE);
}

/* Whoever spins as long as it may, whenever it may, stays within the budget in every window. */
static void the_budget_holds_over_any_window(void **state)
{
    (void)state;
    enum { SPINS = 3000 };
    static uint64_t begin_ns[SPINS], spun_ns[SPINS + 1]; /* spun before the i-th began */
    struct early early = learned();
    struct random_stream random = {.key = 1};
    uint64_t now_ns = 0;
    for (int i = 0; i < SPINS; i++) {
        uint64_t idle_ns = random_below(random_next(&random), i % 500 < 400 ? 50000 : 2000000);
        now_ns += idle_ns;
        uint64_t early_ns = early_ask(&early, now_ns);
        begin_ns[i] = now_ns;
        spun_ns[i + 1] = spun_ns[i] + early_ns;
        spin(&early, &now_ns, early_ns, 0);
        for (int k = 0; k <= i; k++) {
            uint64_t in_window_ns = spun_ns[i + 1] - spun_ns[k];
            uint64_t window_ns = now_ns - begin_ns[k];
            assert_true(in_window_ns <= window_ns / EARLY_SHARE + EARLY_CREDIT_MAX_NS);
        }
    }
    assert_true(spun_ns[SPINS] > now_ns / EARLY_SHARE / 4); /* and it is used */
}

/* How long it pauses after a spin with such a gap, to the microsecond. */
static uint64_t pause_after(struct early *early, uint64_t *now_ns, uint64_t gap_ns)
{
    uint64_t begin_ns;
    spin(early, now_ns, 100 * NS_PER_US, gap_ns);
    begin_ns = *now_ns;
    *now_ns += NS_PER_US; /* there is credit */
    while (early_ask(early, *now_ns) == 0)
        *now_ns += NS_PER_US;
    return *now_ns - begin_ns;
}

static void pauses_get_longer_on_a_busy_core(void **state)
{
    (void)state;
    struct early early = learned();
    uint64_t now_ns = NS_PER_S, expected_ns = EARLY_PAUSE_MIN_NS;
    early_ask(&early, now_ns);
    assert_int_equal(pause_after(&early, &now_ns, NS_PER_MS), NS_PER_US); /* by chance */
    for (int i = 0; i < 8; i++) {
        assert_int_equal(pause_after(&early, &now_ns, EARLY_GAP_NS), NS_PER_US);
        assert_int_equal(pause_after(&early, &now_ns, EARLY_GAP_NS + 1), expected_ns);
        expected_ns = 2 * expected_ns < EARLY_PAUSE_MAX_NS ? 2 * expected_ns : EARLY_PAUSE_MAX_NS;
    }
    assert_int_equal(expected_ns, EARLY_PAUSE_MAX_NS);
}

static void calm_ends_them(void **state)
{
    (void)state;
    struct early early = learned();
    uint64_t now_ns = NS_PER_S;
    for (int i = 0; i < 9; i++)
        pause_after(&early, &now_ns, NS_PER_MS);
    for (unsigned i = 0; i < EARLY_CHANCE - 1; i++)
        sleep_late(&early, EARLY_MAX_NS);
    assert_int_equal(pause_after(&early, &now_ns, NS_PER_MS), EARLY_PAUSE_MAX_NS);
    for (unsigned i = 0; i < EARLY_CHANCE; i++)
        sleep_late(&early, EARLY_MAX_NS);
    assert_int_equal(pause_after(&early, &now_ns, NS_PER_MS), NS_PER_US);
    assert_int_equal(pause_after(&early, &now_ns, NS_PER_MS), EARLY_PAUSE_MAX_NS);
    now_ns += EARLY_PAUSE_MAX_NS;
    assert_int_equal(pause_after(&early, &now_ns, NS_PER_MS), EARLY_PAUSE_MIN_NS);
}

static void sleeps_that_others_made_late_are_followed_by_a_pause(void **state)
{
    (void)state;
    struct early early = learned();
    assert_int_equal(early_ask(&early, NS_PER_S), EARLY_MAX_NS);
    sleep_late(&early, EARLY_MAX_NS + 1);
    assert_int_equal(early_ask(&early, NS_PER_S), EARLY_MAX_NS);
    sleep_late(&early, EARLY_MAX_NS + 1);
    uint64_t end_ns = NS_PER_S + EARLY_MAX_NS + 1 + EARLY_PAUSE_MIN_NS;
    assert_int_equal(early_ask(&early, end_ns - 1), 0);
    assert_int_equal(early_ask(&early, end_ns), EARLY_MAX_NS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_learns_what_one_in_a_hundred_exceeds),
        cmocka_unit_test(it_learns_fast_and_forgets_slowly),
        cmocka_unit_test(it_stays_within_its_bounds),
        cmocka_unit_test(little_credit_is_little_early),
        cmocka_unit_test(the_budget_holds_over_any_window),
        cmocka_unit_test(pauses_get_longer_on_a_busy_core),
        cmocka_unit_test(calm_ends_them),
        cmocka_unit_test(sleeps_that_others_made_late_are_followed_by_a_pause),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
