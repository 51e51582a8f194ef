/* Sides of a link matrix, and the expectations about them. */
#include "tests/lib/test.h"

#include <string.h>

#include "chaos/check/check.h"
#include "proxy/base/monotonic.h"
#include "tests/unit/chaos/check/lib_history.h"

enum { NODES = 3 };
static const char names[NODES][RULESET_NAME_MAX] = {"n1", "n2", "n3"};

static void sides(const char *cuts, const char *live, const char *expected)
{
    bool cut[25] = {0}, alive[5] = {0};
    uint8_t side[5];
    size_t count = strlen(live);
    for (const char *p = cuts; *p; p += 2) /* "12": cut from 1 to 2 */
        cut[(size_t)(p[0] - '1') * count + (size_t)(p[1] - '1')] = true;
    for (size_t i = 0; i < count; i++)
        alive[i] = live[i] == '+';
    check_sides(cut, alive, count, side);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(side[i], expected[i] == 'M'   ? CHECK_SIDE_MAJORITY
                                  : expected[i] == 'm' ? CHECK_SIDE_MINORITY
                                                       : CHECK_SIDE_NONE);
}

static void sides_of_a_matrix(void **state)
{
    (void)state;
    sides("", "+++", "MMM");
    sides("12211331", "+++", "mMM");
    sides("1213", "+++", "mMM");         /* one way is enough to be apart */
    sides("1221", "+++", "MMM");         /* by way of 3 */
    sides("", "++-", "MM ");             /* 2 of 3 */
    sides("", "+--", "m  ");             /* 1 of 3: of all, not of the living */
    sides("122113312332", "+++", "mmm"); /* all apart */
    sides("1331143115512332244225524334355345541221", "+++++", "mmmmm");
    sides("13311441155123322442255235533553", "+++++", "mmMMM");
    sides("13312332", "++++", "MMMM");         /* 3 hangs on 4 */
    sides("1331144123322442", "++++", "mmmm"); /* half is no majority */
    sides("", "+", "M");
}

/* 0..5 s whole, 5..12 s n1 against n2 and n3, 12..18 s whole. */
static void split_timeline(struct check_period *periods, struct check_timeline *timeline)
{
    memset(periods, 0, 3 * sizeof(*periods));
    const uint64_t times[] = {0, 5, 12, 18};
    for (size_t i = 0; i < 3; i++) {
        periods[i].begin_ns = times[i] * NS_PER_S;
        periods[i].end_ns = times[i + 1] * NS_PER_S;
        for (size_t n = 0; n < NODES; n++)
            periods[i].alive[n] = true;
    }
    periods[1].faulty = periods[1].partitioned = true;
    periods[1].side[0] = CHECK_SIDE_MINORITY;
    periods[1].side[1] = periods[1].side[2] = CHECK_SIDE_MAJORITY;
    *timeline = (struct check_timeline){
        .periods = periods, .count = 3, .nodes = names, .node_count = NODES};
}

/* One operation at node n (from 1), times in ms. */
static void at(struct history *history, uint32_t node, enum history_outcome outcome,
               uint64_t invoke_ms, uint64_t return_ms)
{
    add(history, node, outcome == HISTORY_MISMATCH ? HISTORY_CAS : HISTORY_READ, outcome, 0, 1,
        invoke_ms * NS_PER_MS, return_ms * NS_PER_MS);
}

static void expect(const struct experiment_expectation *expectation, const struct history *history,
                   const struct check_timeline *timeline, enum check_verdict verdict,
                   const char *summary)
{
    struct check_result result;
    check_expectation(expectation, history, timeline, &result);
    assert_string_equal(result.summary, summary);
    assert_int_equal(result.verdict, verdict);
    assert_true(verdict == CHECK_FAIL || result.evidence_count == 0);
    for (size_t i = 0; i < result.evidence_count; i++)
        assert_true(result.evidence[i] < history->count);
}

static void minority_stops(void **state)
{
    (void)state;
    struct check_period periods[3];
    struct check_timeline timeline;
    struct history history = {0};
    struct experiment_expectation stops = {.kind = EXPECT_MINORITY_STOPS,
                                           .within_ns = 2 * NS_PER_S};
    split_timeline(periods, &timeline);
    expect(&stops, &history, &timeline, CHECK_UNKNOWN,
           "not tested: no operation was begun on a side without majority later than 2 s after the "
           "split");
    at(&history, 1, HISTORY_OK, 4000, 4010);
    at(&history, 2, HISTORY_OK, 9000, 9010); /* the majority may */
    at(&history, 1, HISTORY_FAIL, 8000, 8010);
    expect(&stops, &history, &timeline, CHECK_PASS,
           "minority stopped at once (2 s allowed; 1 operations tried later)");
    at(&history, 1, HISTORY_OK, 5610, 5620);
    expect(&stops, &history, &timeline, CHECK_PASS,
           "minority stopped 0.61 s after the split (2 s allowed; 1 operations tried later)");
    at(&history, 1, HISTORY_OK, 11900, 12010); /* answered by the heal */
    at(&history, 1, HISTORY_OK, 7000, 7010);   /* begun at the last allowed moment */
    at(&history, 1, HISTORY_OK, 12000, 12010); /* begun after the heal */
    expect(&stops, &history, &timeline, CHECK_PASS,
           "minority stopped 2.00 s after the split (2 s allowed; 2 operations tried later)");
    at(&history, 1, HISTORY_MISMATCH, 8500, 8510);
    struct check_result result;
    check_expectation(&stops, &history, &timeline, &result);
    assert_int_equal(result.verdict, CHECK_FAIL);
    assert_int_equal(result.evidence_count, 1);
    assert_int_equal(result.evidence[0], history.count - 1);
    assert_string_equal(result.summary,
                        "1 operation begun later than 2 s after the split succeeded without a "
                        "majority; the last at n1, 3.50 s after it");
    periods[1].side[0] = CHECK_SIDE_NONE;
    expect(&stops, &history, &timeline, CHECK_UNKNOWN,
           "not tested: no node was ever on a side without majority");
    history_free(&history);
}

/* A second change while the node is without majority doesn't start its time anew. */
static void minority_time_runs_on(void **state)
{
    (void)state;
    struct check_period periods[3];
    struct check_timeline timeline;
    struct history history = {0};
    struct experiment_expectation stops = {.kind = EXPECT_MINORITY_STOPS,
                                           .within_ns = 2 * NS_PER_S};
    split_timeline(periods, &timeline);
    periods[2].side[0] = CHECK_SIDE_MINORITY;
    at(&history, 1, HISTORY_OK, 12100, 12200);
    expect(
        &stops, &history, &timeline, CHECK_FAIL,
        "1 operation begun later than 2 s after the split succeeded without a majority; the last "
        "at n1, 7.10 s after it");
    history_free(&history);
}

/* A pause on that side doesn't either, nor does one with a heal in it count as more of the same. */
static void minority_time_runs_on_while_away(void **state)
{
    (void)state;
    struct check_period periods[3];
    struct check_timeline timeline;
    struct history history = {0};
    struct experiment_expectation stops = {.kind = EXPECT_MINORITY_STOPS,
                                           .within_ns = 10 * NS_PER_S};
    split_timeline(periods, &timeline);
    periods[0].partitioned = periods[2].partitioned = true;
    periods[0].side[0] = periods[2].side[0] = CHECK_SIDE_MINORITY;
    periods[1].side[0] = CHECK_SIDE_NONE; /* paused from 5 s to 12 s */
    periods[1].alive[0] = false;
    at(&history, 1, HISTORY_OK, 12100, 12200);
    expect(&stops, &history, &timeline, CHECK_FAIL,
           "1 operation begun later than 10 s after the split succeeded without a majority; the "
           "last at n1, 12.10 s after it");
    periods[1].partitioned = false; /* it healed, and was split anew */
    expect(&stops, &history, &timeline, CHECK_UNKNOWN,
           "not tested: no operation was begun on a side without majority later than 10 s after "
           "the split");
    history_free(&history);
}

/* From the request, not from when the node answered again. */
static void recovery_counts_the_restart(void **state)
{
    (void)state;
    struct check_period periods[3];
    struct check_timeline timeline;
    struct history history = {0};
    struct experiment_expectation heals = {.kind = EXPECT_RECOVERS, .within_ns = NS_PER_S};
    split_timeline(periods, &timeline);
    periods[1].only_restarting = periods[1].restarting[0] = true; /* from 5 s to 12 s */
    periods[0].faulty = true;
    periods[1].alive[0] = periods[1].partitioned = false;
    for (uint32_t node = 1; node <= 3; node++)
        at(&history, node, HISTORY_OK, node == 1 ? 12100 : 5100, node == 1 ? 12200 : 5200);
    struct check_result result;
    check_expectation(&heals, &history, &timeline, &result);
    assert_int_equal(result.verdict, CHECK_FAIL);
    assert_non_null(strstr(result.summary, "7.20 s after the last heal"));
    timeline.count = 2; /* it never came up: that counts, too */
    history.operations[0].outcome = HISTORY_UNKNOWN;
    check_expectation(&heals, &history, &timeline, &result);
    assert_int_equal(result.verdict, CHECK_FAIL);
    assert_non_null(strstr(result.summary, "n1 served nothing"));
    history_free(&history);
}

static void recovers(void **state)
{
    (void)state;
    struct check_period periods[3];
    struct check_timeline timeline;
    struct history history = {0};
    struct experiment_expectation heals = {.kind = EXPECT_RECOVERS, .within_ns = 5 * NS_PER_S};
    split_timeline(periods, &timeline);
    at(&history, 1, HISTORY_OK, 11000, 12100); /* begun before the heal: doesn't count */
    at(&history, 2, HISTORY_OK, 12000, 12010);
    at(&history, 3, HISTORY_MISMATCH, 12200, 12300);
    expect(&heals, &history, &timeline, CHECK_UNKNOWN,
           "not tested: no operation was begun at n1 after the heal");
    at(&history, 1, HISTORY_FAIL, 12500, 12600);
    expect(&heals, &history, &timeline, CHECK_FAIL,
           "n1 served nothing in the 6.00 s after the last heal");
    periods[2].end_ns = 16 * NS_PER_S;
    expect(&heals, &history, &timeline, CHECK_UNKNOWN,
           "not tested: n1 served nothing, but the run ended 4.00 s after the last heal");
    periods[2].end_ns = 18 * NS_PER_S;
    at(&history, 1, HISTORY_OK, 13000, 13500);
    expect(&heals, &history, &timeline, CHECK_PASS,
           "all 3 live nodes served again within 1.50 s, n1 last (5 s allowed)");
    heals.within_ns = NS_PER_S;
    expect(&heals, &history, &timeline, CHECK_FAIL,
           "n1 served again 1.50 s after the last heal (1 s allowed)");
    periods[2].alive[0] = false;
    expect(&heals, &history, &timeline, CHECK_PASS,
           "all 2 live nodes served again within 0.30 s, n3 last (1 s allowed)");
    periods[2].faulty = true;
    expect(&heals, &history, &timeline, CHECK_UNKNOWN,
           "not tested: faults were in force to the end of the run");
    periods[1].faulty = periods[2].faulty = false;
    expect(&heals, &history, &timeline, CHECK_UNKNOWN, "not tested: no fault was ever in force");
    history_free(&history);
}

static void availability(void **state)
{
    (void)state;
    struct check_period periods[3];
    struct check_timeline timeline;
    struct history history = {0};
    struct experiment_expectation share = {.kind = EXPECT_AVAILABILITY, .share_ppb = 800000000};
    split_timeline(periods, &timeline);
    expect(&share, &history, &timeline, CHECK_UNKNOWN,
           "not tested: no operation was begun on that side and phase");
    at(&history, 1, HISTORY_OK, 1000, 1010);
    at(&history, 1, HISTORY_FAIL, 6000, 6010);
    at(&history, 2, HISTORY_MISMATCH, 6000, 6010);
    at(&history, 3, HISTORY_OK, 11999, 12500); /* belongs to when it was begun */
    at(&history, 3, HISTORY_UNKNOWN, 12000, 13000);
    expect(&share, &history, &timeline, CHECK_FAIL,
           "3 of 5 operations were answered: 60.00 % (at least 80 % expected)");
    share.share_ppb = 600000000;
    expect(&share, &history, &timeline, CHECK_PASS,
           "3 of 5 operations were answered: 60.00 % (at least 60 % expected)");
    share.phase = EXPERIMENT_PHASE_DURING;
    expect(&share, &history, &timeline, CHECK_PASS,
           "2 of 3 operations were answered: 66.67 % (at least 60 % expected)");
    share.side = EXPERIMENT_SIDE_MAJORITY;
    expect(&share, &history, &timeline, CHECK_PASS,
           "2 of 2 operations were answered: 100.00 % (at least 60 % expected)");
    share.side = EXPERIMENT_SIDE_MINORITY;
    expect(&share, &history, &timeline, CHECK_FAIL,
           "0 of 1 operations were answered: 0.00 % (at least 60 % expected)");
    share.at_most = true;
    share.share_ppb = 0;
    expect(&share, &history, &timeline, CHECK_PASS,
           "0 of 1 operations were answered: 0.00 % (at most 0 % expected)");
    at(&history, 1, HISTORY_OK, 11000, 12500); /* answered when the minority is none any more */
    expect(&share, &history, &timeline, CHECK_PASS,
           "0 of 2 operations were answered: 0.00 % (at most 0 % expected)");
    at(&history, 1, HISTORY_OK, 11000, 11900);
    expect(&share, &history, &timeline, CHECK_FAIL,
           "1 of 3 operations were answered: 33.33 % (at most 0 % expected)");
    share.at_most = false;
    expect(&share, &history, &timeline, CHECK_PASS,
           "2 of 3 operations were answered: 66.67 % (at least 0 % expected)");
    share.at_most = true;
    share.side = EXPERIMENT_SIDE_NODE;
    snprintf(share.node, sizeof(share.node), "n1");
    share.phase = EXPERIMENT_PHASE_BEFORE;
    expect(&share, &history, &timeline, CHECK_FAIL,
           "1 of 1 operations were answered: 100.00 % (at most 0 % expected)");
    share.phase = EXPERIMENT_PHASE_AFTER;
    expect(&share, &history, &timeline, CHECK_UNKNOWN,
           "not tested: no operation was begun on that side and phase");
    snprintf(share.node, sizeof(share.node), "n3");
    expect(&share, &history, &timeline, CHECK_PASS,
           "0 of 1 operations were answered: 0.00 % (at most 0 % expected)");
    periods[1].faulty = false;
    expect(&share, &history, &timeline, CHECK_UNKNOWN,
           "not tested: no operation was begun on that side and phase");
    history_free(&history);
}

static void availability_of_a_part(void **state)
{
    (void)state;
    struct check_period periods[3];
    struct check_timeline timeline;
    struct history history = {0};
    struct experiment_expectation share = {
        .kind = EXPECT_AVAILABILITY, .at_most = true, .part = EXPERIMENT_PART_READS};
    split_timeline(periods, &timeline);
    at(&history, 1, HISTORY_OK, 6000, 6010);
    history.operations[0].function = HISTORY_CAS;
    expect(&share, &history, &timeline, CHECK_UNKNOWN,
           "not tested: no operation was begun on that side and phase");
    at(&history, 1, HISTORY_FAIL, 6100, 6110);
    history.operations[1].function = HISTORY_READ;
    expect(&share, &history, &timeline, CHECK_PASS,
           "0 of 1 reads were answered: 0.00 % (at most 0 % expected)");
    share.part = EXPERIMENT_PART_WRITES;
    expect(&share, &history, &timeline, CHECK_FAIL,
           "1 of 1 writes were answered: 100.00 % (at most 0 % expected)");
    history_free(&history);
}

/* A client that hangs begins few operations; those it could not begin were not served either. */
static void what_was_never_begun_was_not_available(void **state)
{
    (void)state;
    struct check_period periods[3];
    struct check_timeline timeline;
    struct history history = {0};
    struct experiment_expectation share = {.kind = EXPECT_AVAILABILITY, .share_ppb = 800000000};
    split_timeline(periods, &timeline);
    for (uint64_t i = 0; i < 4; i++)
        at(&history, 2, HISTORY_OK, 6000 + 100 * i, 6010 + 100 * i);
    at(&history, 1, HISTORY_FAIL, 6000, 11000);
    expect(&share, &history, &timeline, CHECK_PASS,
           "4 of 5 operations were answered: 80.00 % (at least 80 % expected)");
    for (uint64_t i = 0; i < 3; i++) {
        struct history_missed missed = {.due_ns = (7000 + 1000 * i) * NS_PER_MS, .node = "n1"};
        history_add_missed(&history, &missed);
    }
    expect(&share, &history, &timeline, CHECK_FAIL,
           "4 of 8 operations (3 of them never begun: their client was still waiting) were "
           "answered: 50.00 % (at least 80 % expected)");
    share.side = EXPERIMENT_SIDE_MAJORITY; /* they were the minority's */
    expect(&share, &history, &timeline, CHECK_PASS,
           "4 of 4 operations were answered: 100.00 % (at least 80 % expected)");
    share.side = EXPERIMENT_SIDE_ALL;
    share.phase = EXPERIMENT_PHASE_AFTER; /* and of the time of the split */
    expect(&share, &history, &timeline, CHECK_UNKNOWN,
           "not tested: no operation was begun on that side and phase");
    history.missed[0].due_ns = 12000 * NS_PER_MS;
    history.missed[1].due_ns = 18001 * NS_PER_MS; /* when all was over */
    expect(&share, &history, &timeline, CHECK_FAIL,
           "0 of 1 operations (1 of them never begun: their client was still waiting) were "
           "answered: 0.00 % (at least 80 % expected)");
    history_free(&history);
}

static void linearizable_is_judged_elsewhere(void **state)
{
    (void)state;
    struct history history = {0};
    struct check_timeline timeline = {0};
    struct experiment_expectation expectation = {.kind = EXPECT_LINEARIZABLE};
    expect(&expectation, &history, &timeline, CHECK_UNKNOWN,
           "not judged here: check_linearizable does it");
    expectation.kind = EXPECT_RECOVERS;
    expect(&expectation, &history, &timeline, CHECK_UNKNOWN,
           "not tested: no fault was ever in force");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sides_of_a_matrix),
        cmocka_unit_test(minority_stops),
        cmocka_unit_test(minority_time_runs_on),
        cmocka_unit_test(minority_time_runs_on_while_away),
        cmocka_unit_test(recovery_counts_the_restart),
        cmocka_unit_test(recovers),
        cmocka_unit_test(what_was_never_begun_was_not_available),
        cmocka_unit_test(availability),
        cmocka_unit_test(availability_of_a_part),
        cmocka_unit_test(linearizable_is_judged_elsewhere),
    };
    return cmocka_run_group_tests_name("expectation", tests, NULL, NULL);
}
