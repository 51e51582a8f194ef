/* Parameters as people write them. That each one is read back as it is shown is a test of ctl,
 * which shows them. */
#include "tests/unit/proxy/fault/harness.h"

#include <errno.h>

#include "proxy/fault/ruleset_parameter_text.h"

static struct error error;

static int write_text(struct ruleset_fault *fault, const char *name, const char *text)
{
    const struct ruleset_parameter *row = ruleset_parameter_find(fault->type, name, strlen(name));
    assert_non_null(row);
    error = (struct error){0};
    return ruleset_parameter_write(row, fault, text, &error);
}

static void names_are_keys_without_their_unit(void **state)
{
    (void)state;
    static const struct {
        enum ruleset_fault_type type;
        const char *name, *key; /* key NULL: there is none such */
    } cases[] = {
        {RULESET_LATENCY, "delay", "delay_ns"},
        {RULESET_LATENCY, "delay_ns", "delay_ns"},
        {RULESET_RATE, "rate", "bytes_per_s"},
        {RULESET_RATE, "bytes_per_s", "bytes_per_s"},
        {RULESET_RATE, "queue", "queue_bytes"},
        {RULESET_LIMIT_DATA, "bytes", "bytes"},
        {RULESET_NOOP, "first", "first_connections"},
        {RULESET_NOOP, "after", "after_ns"},
        {RULESET_NOOP, "match", "match"},
        {RULESET_NOOP, "delay", NULL},
        {RULESET_LATENCY, "delay_", NULL},
        {RULESET_LATENCY, "", NULL},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct ruleset_parameter *row =
            ruleset_parameter_find(cases[i].type, cases[i].name, strlen(cases[i].name));
        if (cases[i].key)
            assert_string_equal(row->key, cases[i].key);
        else
            assert_null(row);
    }
}

static void lists_begin_with_the_types_own(void **state)
{
    (void)state;
    struct text text = {0};
    ruleset_parameter_list(RULESET_CORRUPT, &text);
    assert_string_equal(text_get(&text),
                        "probability, correlation, repair, toxicity, first, after, match");
    text_clear(&text);
    ruleset_parameter_list(RULESET_NOOP, &text);
    assert_string_equal(text_get(&text), "toxicity, first, after, match");
    text_free(&text);
}

static void what_is_written_is_set(void **state)
{
    (void)state;
    struct ruleset_fault fault = {.type = RULESET_LATENCY};
    assert_int_equal(write_text(&fault, "delay", "80ms"), 0);
    assert_int_equal(write_text(&fault, "distribution", "table"), 0);
    assert_int_equal(write_text(&fault, "table", "lte"), 0);
    assert_int_equal(write_text(&fault, "reorder", "true"), 0);
    assert_int_equal(write_text(&fault, "toxicity", "25%"), 0);
    assert_int_equal(write_text(&fault, "first", "7"), 0);
    assert_int_equal(write_text(&fault, "match", "udp port 53"), 0);
    assert_int_equal(fault.latency.delay_ns, 80 * MS);
    assert_int_equal(fault.latency.distribution, RULESET_TABLE);
    assert_string_equal(fault.latency.table, "lte");
    assert_true(fault.latency.reorder);
    assert_int_equal(fault.spared_ppb, 750000000);
    assert_int_equal(fault.first_connections, 7);
    assert_string_equal(fault.match, "udp port 53");
    fault = (struct ruleset_fault){.type = RULESET_RATE, .rate.bytes_per_s = 5};
    assert_int_equal(write_text(&fault, "rate", "0"), 0);
    assert_int_equal(fault.rate.bytes_per_s, 0);
}

static void what_is_refused_sets_nothing(void **state)
{
    (void)state;
    char longest[RULESET_MATCH_MAX + 1];
    static const struct {
        enum ruleset_fault_type type;
        const char *name, *text, *message;
    } cases[] = {
        {RULESET_LATENCY, "delay", "80", "not a duration"},
        {RULESET_LATENCY, "delay", "2h", "out of range: a delay is at most one hour"},
        {RULESET_LATENCY, "reorder", "1", "true or false"},
        {RULESET_LATENCY, "distribution", "flat", "must be one of"},
        {RULESET_LOSS, "model", "odd", "must be one of"},
        {RULESET_LOSS, "probability", "101%", "not a probability"},
        {RULESET_LOSS, "every", "0", "out of range"},
        {RULESET_LOSS, "every", "x", "every"},
        {RULESET_REORDER, "delay", "0", "above 0"},
        {RULESET_SLICER, "average", "2GiB", "at most 1 GiB"},
        {RULESET_NOOP, "first", "1000000001", "10^9"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct ruleset_fault fault = {.type = cases[i].type}, before = fault;
        assert_int_equal(write_text(&fault, cases[i].name, cases[i].text), -EINVAL);
        if (!strstr(error.message, cases[i].message))
            fail_msg("%s %s: %s", cases[i].name, cases[i].text, error.message);
        assert_true(ruleset_same_fault(&fault, &before));
    }
    struct ruleset_fault fault = {.type = RULESET_TRACE};
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    assert_int_equal(write_text(&fault, "match", longest), -EINVAL);
    longest[RULESET_MATCH_MAX - 1] = '\0';
    assert_int_equal(write_text(&fault, "match", longest), 0);
    longest[RULESET_NAME_MAX] = '\0';
    assert_int_equal(write_text(&fault, "table", longest), -EINVAL);
    assert_string_equal(fault.trace.table, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_keys_without_their_unit),
        cmocka_unit_test(lists_begin_with_the_types_own),
        cmocka_unit_test(what_is_written_is_set),
        cmocka_unit_test(what_is_refused_sets_nothing),
    };
    return cmocka_run_group_tests_name("proxy/fault/ruleset_parameter_text", tests, NULL, NULL);
}
