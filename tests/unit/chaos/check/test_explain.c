/* What people are told about a failure: golden, to the letter. */
#include "tests/lib/test.h"

#include "chaos/check/check.h"
#include "tests/unit/chaos/check/lib_history.h"

#define MS UINT64_C(1000000)

static void expect_story(struct history *history, const char *expected)
{
    struct check_linearizable result;
    struct text text = {0};
    history_sort(history);
    check_linearizable(history, NULL, &result);
    check_linearizable_explain(history, &result, 0, 64, &text);
    assert_string_equal(text_get(&text), expected);
    text_free(&text);
    check_linearizable_free(&result);
    history_free(history);
}

/* Only the last line, the reason. */
static void expect_why(struct history *history, const char *expected)
{
    struct check_linearizable result;
    struct text text = {0};
    history_sort(history);
    check_linearizable(history, NULL, &result);
    assert_int_equal(result.verdict, CHECK_FAIL);
    check_linearizable_explain(history, &result, 0, 64, &text);
    const char *why = strstr(text_get(&text), "  why: ");
    assert_non_null(why);
    assert_string_equal(why + strlen("  why: "), expected);
    text_free(&text);
    check_linearizable_free(&result);
    history_free(history);
}

static void a_stale_read(void **state)
{
    (void)state;
    struct history history = {0};
    add(&history, 1, HISTORY_WRITE, HISTORY_OK, 0, 12, 0, 10 * MS);
    add(&history, 2, HISTORY_WRITE, HISTORY_OK, 0, 17, 20 * MS, 30 * MS);
    add(&history, 4, HISTORY_READ, HISTORY_OK, 0, 12, 40 * MS, 50 * MS);
    add(&history, 3, HISTORY_READ, HISTORY_OK, 0, 17, 60 * MS, 70 * MS);
    expect_story(&history, "  c1 n1 write k1=12 ok |========                               |\n"
                           "  c2 n2 write k1=17 ok |               ========                |\n"
                           "  c4 n4 read k1=12 ok  |                              =========|\n"
                           "                       0s                                  +50ms\n"
                           "  why: n4 read 12 after n2's write of 17 had returned, and no write "
                           "of 12 lies between.\n");
}

static void an_unknown_outcome_is_open(void **state)
{
    (void)state;
    struct history history = {0};
    add(&history, 1, HISTORY_WRITE, HISTORY_UNKNOWN, 0, 5, 10 * MS, 20 * MS);
    add(&history, 2, HISTORY_READ, HISTORY_OK, 0, 5, 15 * MS, 30 * MS);
    add(&history, 3, HISTORY_READ, HISTORY_OK, 0, HISTORY_NIL, 35 * MS, 40 * MS);
    expect_story(&history, "  c1 n1 write k1=5 unknown |==================================>|\n"
                           "  c2 n2 read k1=5 ok       |     ==================            |\n"
                           "  c3 n3 read k1=nil ok     |                            =======|\n"
                           "                           +10ms                           +40ms\n"
                           "  why: n3 read nil after n2 read 5, as if nothing had been "
                           "written.\n");
}

static void a_lost_write(void **state)
{
    (void)state;
    struct history history = {0};
    add(&history, 1, HISTORY_WRITE, HISTORY_OK, 0, 12, 0, 10);
    add(&history, 2, HISTORY_WRITE, HISTORY_OK, 0, 17, 20, 30);
    add(&history, 4, HISTORY_READ, HISTORY_OK, 0, 12, 40, 50);
    add(&history, 3, HISTORY_READ, HISTORY_OK, 0, 12, 60, 70);
    expect_why(&history, "n4 read 12 after n2's write of 17 had returned, and no write of 12 lies "
                         "between; nobody ever saw 17: the write is lost.\n");
}

static void a_value_from_nowhere(void **state)
{
    (void)state;
    struct history history = {0};
    add(&history, 1, HISTORY_WRITE, HISTORY_OK, 0, 12, 0, 10);
    add(&history, 4, HISTORY_READ, HISTORY_OK, 0, 13, 40, 50);
    expect_why(&history, "n4 read 13, and nobody ever wrote 13.\n");
    add(&history, 1, HISTORY_WRITE, HISTORY_OK, 0, 13, 60, 70);
    add(&history, 4, HISTORY_READ, HISTORY_OK, 0, 13, 40, 50);
    expect_why(&history, "n4 read 13 before anybody had begun to write 13.\n");
    add(&history, 4, HISTORY_CAS, HISTORY_OK, 3, 4, 40, 50);
    expect_why(&history, "n4's cas found 3, and nobody ever wrote 3.\n");
    add(&history, 4, HISTORY_READ, HISTORY_OK, 0, -1, 40, 50);
    snprintf(history.operations[0].reason, sizeof(history.operations[0].reason),
             "unexpected reply '4x'");
    expect_why(&history, "n4 read -1 (unexpected reply '4x'), and nobody ever wrote -1.\n");
}

static void two_cas_from_one_value(void **state)
{
    (void)state;
    struct history history = {0};
    add(&history, 1, HISTORY_WRITE, HISTORY_OK, 0, 5, 0, 10);
    add(&history, 2, HISTORY_CAS, HISTORY_OK, 5, 7, 15, 30);
    add(&history, 4, HISTORY_CAS, HISTORY_OK, 5, 8, 20, 50);
    expect_why(&history, "n2 and n4 both swapped from 5, but 5 was there only once: the second of "
                         "them must have found another value.\n");
}

static void a_mismatch_that_was_none(void **state)
{
    (void)state;
    struct history history = {0};
    add(&history, 1, HISTORY_WRITE, HISTORY_OK, 0, 5, 0, 10);
    add(&history, 2, HISTORY_CAS, HISTORY_MISMATCH, 5, 7, 15, 30);
    expect_why(&history, "n2's cas found another value than 5, but n1's write of 5 had returned, "
                         "and no other write lies between.\n");
    add(&history, 2, HISTORY_CAS, HISTORY_MISMATCH, HISTORY_NIL, 7, 15, 30);
    expect_why(&history, "n2's cas found another value than nil, but nothing had been written.\n");
}

static void no_common_pattern(void **state)
{
    (void)state;
    struct history history = {0};
    add(&history, 1, HISTORY_WRITE, HISTORY_OK, 0, 1, 0, 100);
    add(&history, 2, HISTORY_WRITE, HISTORY_OK, 0, 2, 0, 100);
    add(&history, 3, HISTORY_READ, HISTORY_OK, 0, 1, 10, 20);
    add(&history, 3, HISTORY_READ, HISTORY_OK, 0, 2, 30, 40);
    add(&history, 3, HISTORY_READ, HISTORY_OK, 0, 1, 50, 60);
    expect_why(&history,
               "whatever the order of these 5 operations, one of them saw a value that was not "
               "there; without any one of them an order exists.\n");
}

static void what_passes_is_told_in_a_line(void **state)
{
    (void)state;
    struct history history = {0};
    struct check_linearizable result;
    struct text text = {0};
    add(&history, 1, HISTORY_WRITE, HISTORY_OK, 0, 1, 0, 10);
    add(&history, 1, HISTORY_READ, HISTORY_OK, 0, 1, 20, 30);
    check_linearizable(&history, NULL, &result);
    check_linearizable_explain(&history, &result, 0, 80, &text);
    assert_string_equal(text_get(&text), "pass\n");
    result.verdict = CHECK_UNKNOWN;
    snprintf(result.reason, sizeof(result.reason), "ran out");
    text_clear(&text);
    check_linearizable_explain(&history, &result, 0, 80, &text);
    assert_string_equal(text_get(&text), "unknown: ran out\n");
    text_free(&text);
    check_linearizable_free(&result);
    history_free(&history);
}

/* A narrow terminal, a single moment: nothing is written outside its columns. */
static void narrow_and_instantaneous(void **state)
{
    (void)state;
    struct history history = {0};
    struct check_linearizable result;
    struct text text = {0};
    add(&history, 1, HISTORY_READ, HISTORY_OK, 0, 1, 5, 5);
    check_linearizable(&history, NULL, &result);
    check_linearizable_explain(&history, &result, 5, 0, &text);
    assert_string_equal(text_get(&text), "  c1 n1 read k1=1 ok |=               |\n"
                                         "                     0s              0s\n"
                                         "  why: n1 read 1, and nobody ever wrote 1.\n");
    text_free(&text);
    check_linearizable_free(&result);
    history_free(&history);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stale_read),
        cmocka_unit_test(an_unknown_outcome_is_open),
        cmocka_unit_test(a_lost_write),
        cmocka_unit_test(a_value_from_nowhere),
        cmocka_unit_test(two_cas_from_one_value),
        cmocka_unit_test(a_mismatch_that_was_none),
        cmocka_unit_test(no_common_pattern),
        cmocka_unit_test(what_passes_is_told_in_a_line),
        cmocka_unit_test(narrow_and_instantaneous),
    };
    return cmocka_run_group_tests_name("explain", tests, NULL, NULL);
}
