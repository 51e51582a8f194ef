/* Who led when, and in which term. */
#include "tests/lib/test.h"

#include <string.h>

#include "chaos/check/check.h"
#include "proxy/base/monotonic.h"

enum { NODES = 3 };
static const char names[NODES][RULESET_NAME_MAX] = {"n1", "n2", "n3"};
static const struct history nothing;

/* 0..5 s whole, 5..12 s n1 against n2 and n3, 12..18 s whole. */
static struct check_timeline split(struct check_period periods[3])
{
    const uint64_t times[] = {0, 5, 12, 18};
    memset(periods, 0, 3 * sizeof(periods[0]));
    for (size_t i = 0; i < 3; i++) {
        periods[i].begin_ns = times[i] * NS_PER_S;
        periods[i].end_ns = times[i + 1] * NS_PER_S;
        for (size_t n = 0; n < NODES; n++)
            periods[i].alive[n] = true;
    }
    periods[1].faulty = periods[1].partitioned = true;
    periods[1].side[0] = CHECK_SIDE_MINORITY;
    periods[1].side[1] = periods[1].side[2] = CHECK_SIDE_MAJORITY;
    return (struct check_timeline){
        .periods = periods, .count = 3, .nodes = names, .node_count = NODES};
}

static void expect(struct experiment_expectation expectation, struct check_timeline *timeline,
                   const struct check_role *roles, size_t count, enum check_verdict verdict,
                   const char *summary)
{
    struct check_result result;
    timeline->roles = roles;
    timeline->role_count = count;
    check_expectation(&expectation, &nothing, timeline, &result);
    assert_string_equal(result.summary, summary);
    assert_int_equal(result.verdict, verdict);
}

static struct check_role tells(size_t node, uint64_t at_ms, bool leads, uint64_t term)
{
    return (struct check_role){
        .at_ns = at_ms * NS_PER_MS, .node = node - 1, .leads = leads, .term = term};
}

static void a_leader_without_majority_steps_down(void **state)
{
    (void)state;
    struct check_period periods[3];
    struct check_timeline timeline = split(periods);
    struct experiment_expectation down = {.kind = EXPECT_STEPS_DOWN, .within_ns = 3 * NS_PER_S};
    struct check_role roles[3] = {tells(2, 1000, true, 2)};
    expect(down, &timeline, roles, 1, CHECK_UNKNOWN,
           "not tested: no leader was ever on a side without majority");
    roles[0] = tells(1, 1000, true, 2);
    expect(down, &timeline, roles, 1, CHECK_FAIL,
           "not within 3 s: n1 went on leading without a majority (7.00 s)");
    roles[1] = tells(1, 6500, false, 2);
    expect(down, &timeline, roles, 2, CHECK_PASS, "it stepped down after 1.50 s: n1 (3 s allowed)");
    roles[1] = tells(1, 8001, false, 2);
    expect(down, &timeline, roles, 2, CHECK_FAIL,
           "not within 3 s: n1 went on leading without a majority (3.00 s)");
    roles[1] = tells(1, 12001, false, 2); /* the heal made it */
    expect(down, &timeline, roles, 2, CHECK_FAIL,
           "not within 3 s: n1 went on leading without a majority (7.00 s)");
    down.within_ns = 9 * NS_PER_S;
    expect(down, &timeline, roles, 2, CHECK_UNKNOWN,
           "not tested: it was over 7.00 s after n1 was lost, before the 9 s");
}

static void the_majority_gets_a_new_one(void **state)
{
    (void)state;
    struct check_period periods[3];
    struct check_timeline timeline = split(periods);
    struct experiment_expectation next = {.kind = EXPECT_NEW_LEADER, .within_ns = 3 * NS_PER_S};
    struct check_role roles[3] = {tells(1, 1000, true, 2), tells(2, 2000, false, 2),
                                  tells(3, 6250, true, 3)};
    expect(next, &timeline, roles, 3, CHECK_PASS,
           "another node led 1.25 s after n1 was lost (3 s allowed)");
    expect(next, &timeline, roles, 2, CHECK_FAIL,
           "no other node led within 3 s after n1 was lost (7.00 s)");
    periods[1].side[2] = CHECK_SIDE_MINORITY; /* it leads where there is no majority either */
    expect(next, &timeline, roles, 3, CHECK_FAIL,
           "no other node led within 3 s after n1 was lost (7.00 s)");
}

static void a_killed_leader_is_lost_too(void **state)
{
    (void)state;
    struct check_period periods[3];
    struct check_timeline timeline = split(periods);
    struct experiment_expectation next = {.kind = EXPECT_NEW_LEADER, .within_ns = 3 * NS_PER_S};
    struct experiment_expectation down = {.kind = EXPECT_STEPS_DOWN, .within_ns = 3 * NS_PER_S};
    struct check_role roles[2] = {tells(1, 1000, true, 2), tells(2, 7000, true, 3)};
    memset(periods[1].side, CHECK_SIDE_NONE, sizeof(periods[1].side));
    periods[1].partitioned = false;
    periods[1].alive[0] = false;
    expect(next, &timeline, roles, 2, CHECK_PASS,
           "another node led 2.00 s after n1 was lost (3 s allowed)");
    expect(down, &timeline, roles, 2, CHECK_UNKNOWN,
           "not tested: no leader was ever on a side without majority");
}

static void terms_rise(void **state)
{
    (void)state;
    struct check_period periods[3];
    struct check_timeline timeline = split(periods);
    struct experiment_expectation after = {
        .kind = EXPECT_TERMS, .at_most = true, .count = 1, .phase = EXPERIMENT_PHASE_AFTER};
    struct experiment_expectation during = after;
    during.phase = EXPERIMENT_PHASE_DURING;
    /* n1 is alone from 5 s on and asks for votes; n3 leads the others; the heal ends n3's term. */
    const struct check_role storm[] = {
        tells(1, 0, true, 2),     tells(2, 1000, false, 2),  tells(3, 1000, false, 2),
        tells(3, 6500, true, 3),  tells(2, 6500, false, 3),  tells(1, 7000, false, 5),
        tells(1, 9000, false, 8), tells(3, 12100, false, 8), tells(2, 13000, true, 9)};
    expect(during, &timeline, storm, 9, CHECK_FAIL, "from 2 to 8, by 6 (1 allowed)");
    expect(after, &timeline, storm, 9, CHECK_FAIL, "from 3 to 9, by 6 (1 allowed)");
    expect(during, &timeline, storm, 5, CHECK_PASS, "from 2 to 3, by 1 (1 allowed)");
    expect(after, &timeline, storm, 5, CHECK_PASS, "from 3 to 3, by 0 (1 allowed)");
    expect(after, &timeline, storm, 0, CHECK_UNKNOWN, "not tested: no node told its term");
    during.phase = EXPERIMENT_PHASE_ALL;
    expect(during, &timeline, storm, 9, CHECK_FAIL, "from 2 to 9, by 7 (1 allowed)");
}

static void without_faults_nothing_is_tested(void **state)
{
    (void)state;
    struct check_period periods[3];
    struct check_timeline timeline = split(periods);
    struct check_role roles[] = {tells(1, 0, true, 2)};
    memset(periods[1].side, CHECK_SIDE_NONE, sizeof(periods[1].side));
    periods[1].faulty = periods[1].partitioned = false;
    struct experiment_expectation after = {
        .kind = EXPECT_TERMS, .at_most = true, .phase = EXPERIMENT_PHASE_AFTER};
    struct experiment_expectation next = {.kind = EXPECT_NEW_LEADER, .within_ns = NS_PER_S};
    expect(after, &timeline, roles, 1, CHECK_UNKNOWN, "not tested: no fault was ever in force");
    expect(next, &timeline, roles, 1, CHECK_UNKNOWN,
           "not tested: no leader was ever cut off, stopped or killed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_leader_without_majority_steps_down),
        cmocka_unit_test(the_majority_gets_a_new_one),
        cmocka_unit_test(a_killed_leader_is_lost_too),
        cmocka_unit_test(terms_rise),
        cmocka_unit_test(without_faults_nothing_is_tested),
    };
    return cmocka_run_group_tests_name("leadership", tests, NULL, NULL);
}
