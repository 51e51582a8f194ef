/* Distributions and traces as text. */
#include "tests/unit/proxy/fault/harness.h"

#include <errno.h>

#include "proxy/fault/table_text.h"

static void good_texts_are_read(void **state)
{
    (void)state;
    static const struct {
        enum table_text_kind kind;
        const char *text;
        size_t count;
        int32_t values[8];
    } cases[] = {
        {TABLE_TEXT_DISTRIBUTION, "1 2", 2, {1, 2}},
        {TABLE_TEXT_DISTRIBUTION,
         "# netem\n-32768 -1\t0\n\n 5\r\n+32767#end",
         5,
         {-32768, -1, 0, 5, 32767}},
        {TABLE_TEXT_DISTRIBUTION, "3\n2\n2\n1\n", 4, {3, 2, 2, 1}},
        {TABLE_TEXT_DISTRIBUTION, "00012 -0", 2, {12, 0}},
        {TABLE_TEXT_TRACE, "1", 1, {1}},
        {TABLE_TEXT_TRACE, "0\n0\n7\n7\n", 4, {0, 0, 7, 7}},
        {TABLE_TEXT_TRACE, "# up\n\n  5  # five\r\n#6\n2147483647", 2, {5, INT32_MAX}},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct ruleset_table table = {.name = "kept"};
        struct error error = {0};
        int code =
            table_text_parse(cases[i].kind, cases[i].text, strlen(cases[i].text), &table, &error);
        assert_string_equal(error.message, "");
        assert_int_equal(code, 0);
        assert_string_equal(table.name, "kept");
        assert_int_equal(table.count, cases[i].count);
        assert_memory_equal(table.values, cases[i].values, table.count * sizeof(table.values[0]));
        free(table.values);
    }
}

static void bad_texts_are_refused_with_their_line(void **state)
{
    (void)state;
    static const struct {
        enum table_text_kind kind;
        const char *text;
        const char *place, *says;
    } cases[] = {
        {TABLE_TEXT_DISTRIBUTION, "", "", "two numbers"},
        {TABLE_TEXT_DISTRIBUTION, "# 1 2 3", "", "two numbers"},
        {TABLE_TEXT_DISTRIBUTION, "1", "", "two numbers"},
        {TABLE_TEXT_DISTRIBUTION, "1 2\n3 4\n5 6x\n", "line 3", "'6x'"},
        {TABLE_TEXT_DISTRIBUTION, "1 2\n32768", "line 2", "not 32768"},
        {TABLE_TEXT_DISTRIBUTION, "-32769 2", "line 1", "not -32769"},
        {TABLE_TEXT_DISTRIBUTION, "1 - 2", "line 1", "'-'"},
        {TABLE_TEXT_DISTRIBUTION, "1 2.5", "line 1", "'2.5'"},
        {TABLE_TEXT_DISTRIBUTION, "1 --2", "line 1", "'--2'"},
        {TABLE_TEXT_DISTRIBUTION, "\n\n12345678901234567890123", "line 3",
         "'12345678901234567890...'"},
        {TABLE_TEXT_DISTRIBUTION, "1 \x1b[2J", "line 1", "as text"},
        {TABLE_TEXT_DISTRIBUTION, "1 2 \xff\xfe", "line 1", "as text"},
        {TABLE_TEXT_TRACE, "", "", "one number"},
        {TABLE_TEXT_TRACE, "0\n0\n", "", "a millisecond"},
        {TABLE_TEXT_TRACE, "1\n2 3\n", "line 2", "one number a line"},
        {TABLE_TEXT_TRACE, "1\n-1\n", "line 2", "not negative"},
        {TABLE_TEXT_TRACE, "1\n#\n5\n4\n", "line 4", "4 after 5"},
        {TABLE_TEXT_TRACE, "1\n2147483648\n", "line 2", "too large"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct ruleset_table table = {.count = 77};
        struct error error = {0};
        assert_int_equal(
            table_text_parse(cases[i].kind, cases[i].text, strlen(cases[i].text), &table, &error),
            -EINVAL);
        assert_string_equal(error.place, cases[i].place);
        assert_non_null(strstr(error.message, cases[i].says));
        assert_null(table.values);
        assert_int_equal(table.count, 77);
    }
}

static void a_nul_is_no_number(void **state)
{
    (void)state;
    struct ruleset_table table = {0};
    struct error error = {0};
    assert_int_equal(table_text_parse(TABLE_TEXT_TRACE,
                                      "1\n2\0"
                                      "3",
                                      5, &table, &error),
                     -EINVAL);
    assert_string_equal(error.place, "line 2");
    assert_int_equal(table_text_parse(TABLE_TEXT_TRACE, "1\n2\0", 3, &table, NULL), 0);
    free(table.values);
}

static void limits_hold(void **state)
{
    (void)state;
    static char text[TABLE_TEXT_BYTES_MAX + 1];
    struct ruleset_table table = {0};
    struct error error = {0};
    for (size_t i = 0; i <= RULESET_TABLE_VALUES_MAX; i++)
        text[2 * i] = '1', text[2 * i + 1] = '\n';
    size_t full = 2 * RULESET_TABLE_VALUES_MAX;
    for (enum table_text_kind kind = 0; kind <= TABLE_TEXT_TRACE; kind++) {
        assert_int_equal(table_text_parse(kind, text, full, &table, &error), 0);
        assert_int_equal(table.count, RULESET_TABLE_VALUES_MAX);
        free(table.values);
        assert_int_equal(table_text_parse(kind, text, full + 2, &table, &error), -E2BIG);
        assert_string_equal(error.place, "line 65537");
    }
    memset(text, '#', sizeof(text));
    text[0] = text[2] = '1';
    text[1] = text[3] = '\n';
    assert_int_equal(table_text_parse(TABLE_TEXT_TRACE, text, TABLE_TEXT_BYTES_MAX, &table, &error),
                     0);
    free(table.values);
    assert_int_equal(
        table_text_parse(TABLE_TEXT_TRACE, text, TABLE_TEXT_BYTES_MAX + 1, &table, &error), -E2BIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_texts_are_read),
        cmocka_unit_test(bad_texts_are_refused_with_their_line),
        cmocka_unit_test(a_nul_is_no_number),
        cmocka_unit_test(limits_hold),
    };
    return cmocka_run_group_tests_name("proxy/fault/table_text", tests, NULL, NULL);
}
