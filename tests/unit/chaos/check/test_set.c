/* Elements that were acknowledged and are gone, and writes that wait for a heal. */
#include "tests/lib/test.h"

#include <string.h>

#include "chaos/check/check.h"
#include "proxy/base/monotonic.h"
#include "tests/unit/chaos/check/lib_history.h"

enum { NODES = 3 };
static const char names[NODES][RULESET_NAME_MAX] = {"n1", "n2", "n3"};

static void put(struct history *history, enum history_outcome outcome, int64_t element,
                uint64_t invoke_ms, uint64_t return_ms)
{
    add(history, 1, HISTORY_ADD, outcome, HISTORY_NIL, element, invoke_ms * NS_PER_MS,
        return_ms * NS_PER_MS);
}

static void read_back(struct history *history, int64_t *values, size_t count)
{
    history->final = (struct history_final){.read = true, .values = values, .count = count};
    snprintf(history->final.node, sizeof(history->final.node), "n2");
}

/* The values of the final are not the history's here. */
static void release(struct history *history)
{
    history->final.values = NULL;
    history_free(history);
}

static void each_outcome_has_its_right(void **state)
{
    (void)state;
    int64_t there[] = {9, 1, 4, 3, 77};
    struct history history = {0};
    struct check_set set;
    put(&history, HISTORY_OK, 1, 0, 1);
    put(&history, HISTORY_OK, 2, 2, 3);   /* lost */
    put(&history, HISTORY_FAIL, 3, 4, 5); /* refused, and there */
    put(&history, HISTORY_UNKNOWN, 4, 6, 7);
    put(&history, HISTORY_UNKNOWN, 5, 8, 9);
    put(&history, HISTORY_OK, 9, 10, 11);
    check_set(&history, &set);
    assert_false(set.read);
    assert_int_equal(set.acknowledged, 0);
    read_back(&history, there, 5);
    check_set(&history, &set);
    assert_true(set.read);
    assert_int_equal(set.acknowledged, 3);
    assert_int_equal(set.lost, 1);
    assert_int_equal(set.refused, 1);
    assert_int_equal(set.unknown, 2);
    assert_int_equal(set.recovered, 1);
    assert_int_equal(set.unexpected, 2); /* 3 and 77 */
    assert_int_equal(set.evidence_count, 2);
    assert_int_equal(set.evidence[0], 1);
    assert_int_equal(set.evidence[1], 2);
    release(&history);
}

static void an_element_that_is_there_twice_is_unexpected(void **state)
{
    (void)state;
    int64_t twice[] = {1, 1};
    struct history history = {0};
    struct check_set set;
    put(&history, HISTORY_OK, 1, 0, 1);
    read_back(&history, twice, 2);
    check_set(&history, &set);
    assert_int_equal(set.lost, 0);
    assert_int_equal(set.unexpected, 1);
    release(&history);
}

/* Whole to 5 s, n1 and the others cut to 12 s, whole to 18 s. */
static struct check_timeline timeline_of(struct check_period periods[3], bool cut)
{
    const uint64_t times[] = {0, 5, 12, 18};
    memset(periods, 0, 3 * sizeof(periods[0]));
    for (size_t i = 0; i < 3; i++) {
        periods[i].begin_ns = times[i] * NS_PER_S;
        periods[i].end_ns = times[i + 1] * NS_PER_S;
        periods[i].faulty = periods[i].partitioned = i == 1 && cut;
    }
    return (struct check_timeline){
        .periods = periods, .count = 3, .nodes = names, .node_count = NODES};
}

static void expect(const struct experiment_expectation *expectation, const struct history *history,
                   bool cut, enum check_verdict verdict, const char *summary)
{
    struct check_period periods[3];
    struct check_timeline timeline = timeline_of(periods, cut);
    struct check_result result;
    check_expectation(expectation, history, &timeline, &result);
    assert_string_equal(result.summary, summary);
    assert_int_equal(result.verdict, verdict);
    assert_int_equal(result.evidence_count > 0, verdict == CHECK_FAIL);
}

static void losses_are_counted(void **state)
{
    (void)state;
    int64_t there[] = {1, 3};
    struct history history = {0};
    struct experiment_expectation none = {.kind = EXPECT_LOST, .at_most = true};
    struct experiment_expectation two = {.kind = EXPECT_LOST, .count = 2};
    put(&history, HISTORY_UNKNOWN, 3, 4000, 5000);
    expect(&none, &history, true, CHECK_UNKNOWN,
           "not tested: the elements were not read at the end");
    read_back(&history, there + 1, 1);
    expect(&none, &history, true, CHECK_UNKNOWN, "not tested: nothing was acknowledged");
    put(&history, HISTORY_OK, 1, 6000, 6001);
    read_back(&history, there, 2);
    expect(&none, &history, true, CHECK_PASS,
           "0 of 1 acknowledged were lost (0 %), read on n2; 1 unknown, 1 of them there");
    expect(&none, &history, false, CHECK_UNKNOWN, "not tested: no fault was ever in force");
    put(&history, HISTORY_OK, 2, 6002, 6003);
    expect(&none, &history, true, CHECK_FAIL,
           "1 of 2 acknowledged were lost (50 %), read on n2; 1 unknown, 1 of them there");
    expect(&two, &history, true, CHECK_FAIL,
           "1 of 2 acknowledged were lost (50 %), read on n2; 1 unknown, 1 of them there");
    two.at_most = true;
    expect(&two, &history, true, CHECK_PASS,
           "1 of 2 acknowledged were lost (50 %), read on n2; 1 unknown, 1 of them there");
    read_back(&history, there, 1);
    there[0] = 5; /* nobody added it */
    expect(&two, &history, true, CHECK_FAIL,
           "1 elements on n2 were refused, or never added; 2 of 2 acknowledged were lost");
    release(&history);
}

static void writes_wait(void **state)
{
    (void)state;
    struct history history = {0};
    struct experiment_expectation wait = {.kind = EXPECT_WRITES_WAIT, .within_ns = NS_PER_S};
    put(&history, HISTORY_OK, 1, 1000, 1010);
    expect(&wait, &history, false, CHECK_UNKNOWN, "not tested: no link was ever cut");
    put(&history, HISTORY_FAIL, 2, 7000, 7010);
    put(&history, HISTORY_UNKNOWN, 3, 8000, 9000);
    expect(&wait, &history, true, CHECK_UNKNOWN,
           "not tested: of 2 writes begun during the cut none was acknowledged after the heal");
    put(&history, HISTORY_OK, 5, 5100, 6000); /* at the last allowed moment */
    put(&history, HISTORY_OK, 6, 5100, 12000);
    expect(&wait, &history, true, CHECK_PASS,
           "none was acknowledged from 1 s after the cut to the heal; 1 waited for that");
    put(&history, HISTORY_OK, 4, 4900, 12010); /* begun before the cut, it waited all the same */
    add(&history, 1, HISTORY_READ, HISTORY_OK, 0, 1, 7000 * NS_PER_MS, 7001 * NS_PER_MS);
    expect(&wait, &history, true, CHECK_PASS,
           "none was acknowledged from 1 s after the cut to the heal; 2 waited for that");
    put(&history, HISTORY_OK, 7, 5500, 6001);
    expect(&wait, &history, true, CHECK_FAIL,
           "1 writes were acknowledged later than 1 s after the cut, before the heal");
    release(&history);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_outcome_has_its_right),
        cmocka_unit_test(an_element_that_is_there_twice_is_unexpected),
        cmocka_unit_test(losses_are_counted),
        cmocka_unit_test(writes_wait),
    };
    return cmocka_run_group_tests_name("set", tests, NULL, NULL);
}
