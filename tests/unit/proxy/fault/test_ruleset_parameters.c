/* The table of parameters, row by row: what is written is read, each range is held at both ends,
 * and a difference in any one of them is seen. A new row needs no line here. */
#include "tests/unit/proxy/fault/harness.h"
#include "tests/unit/proxy/fault/random_fault.h"

#include <errno.h>
#include <inttypes.h>

static struct random_stream dice = {.key = 717};

/* Calls check for each row of each type, with a fault of that type that has it. */
static void for_each_row(void (*check)(const struct ruleset_parameter *row,
                                       struct ruleset_fault *fault))
{
    for (int type = 0; type < RULESET_FAULT_TYPES; type++) {
        size_t count;
        const struct ruleset_parameter *rows =
            ruleset_parameters((enum ruleset_fault_type)type, &count);
        for (size_t i = 0; i < count; i++) {
            struct ruleset_fault fault =
                random_fault_of(&dice, (enum ruleset_fault_type)type, false);
            while (!ruleset_parameter_is_there(&rows[i], &fault))
                fault = random_fault_of(&dice, (enum ruleset_fault_type)type, false);
            check(&rows[i], &fault);
        }
    }
}

/* The ruleset with this one fault on n1->n2. */
static int judge(const struct ruleset_fault *fault, struct error *error)
{
    struct ruleset ruleset = {0};
    struct ruleset_fault placed = *fault;
    add_node(&ruleset, "n1");
    add_node(&ruleset, "n2");
    random_add_tables(&ruleset);
    put(placed.name, "f");
    put(placed.link.from, "n1");
    put(placed.link.to, "n2");
    ruleset_add_fault(&ruleset, &placed);
    int code = ruleset_check(&ruleset, error);
    ruleset_free(&ruleset);
    return code;
}

static void expect_set_is_got(const struct ruleset_parameter *row, struct ruleset_fault *fault)
{
    if (row->kind == RULESET_PARAMETER_TABLE) {
        snprintf(ruleset_parameter_text_field(row, fault), RULESET_NAME_MAX, "a name");
        assert_string_equal(ruleset_parameter_text(row, fault), "a name");
        return;
    }
    const uint64_t values[] = {row->minimum, row->maximum, (row->minimum + row->maximum) / 2};
    for (size_t i = 0; i < COUNT_OF(values); i++) {
        ruleset_parameter_set(row, fault, values[i]);
        assert_true(ruleset_parameter_get(row, fault) == values[i]);
    }
}

static void what_is_set_is_got(void **state)
{
    (void)state;
    for_each_row(expect_set_is_got);
}

/* Writes a value that the setter, which asserts the range, would not take. */
static void force(const struct ruleset_parameter *row, struct ruleset_fault *fault, uint64_t value)
{
    struct ruleset_parameter wide = *row;
    wide.minimum = 0;
    wide.maximum = UINT64_MAX;
    ruleset_parameter_set(&wide, fault, value);
}

static void expect_refused(const struct ruleset_parameter *row, const struct ruleset_fault *fault,
                           uint64_t value)
{
    struct ruleset_fault spoiled = *fault;
    struct error error = {0};
    char place[ERROR_PLACE_MAX];
    force(row, &spoiled, value);
    if (ruleset_parameter_get(row, &spoiled) != value)
        return; /* the field itself can't hold it */
    snprintf(place, sizeof(place), "faults[0].%s", row->key);
    if (judge(&spoiled, &error) != -EINVAL || strcmp(error.place, place) != 0 ||
        strcmp(error.message, row->range) != 0)
        fail_msg("%s %s = %" PRIu64 ": '%s' %s", ruleset_fault_type_name(fault->type), row->key,
                 value, error.place, error.message);
}

static void expect_range_is_held(const struct ruleset_parameter *row, struct ruleset_fault *fault)
{
    struct error error = {0};
    if (row->kind == RULESET_PARAMETER_TABLE)
        return;
    if (judge(fault, &error) < 0)
        fail_msg("%s: '%s' %s", ruleset_fault_type_name(fault->type), error.place, error.message);
    if (row->maximum < UINT64_MAX)
        expect_refused(row, fault, row->maximum + 1);
    if (row->minimum > 0)
        expect_refused(row, fault, row->minimum - 1);
}

static void each_range_is_held_at_both_ends(void **state)
{
    (void)state;
    for_each_row(expect_range_is_held);
}

static void expect_difference_is_seen(const struct ruleset_parameter *row,
                                      struct ruleset_fault *fault)
{
    struct ruleset_fault other = *fault;
    assert_true(ruleset_same_fault(fault, &other));
    if (row->kind == RULESET_PARAMETER_TABLE)
        snprintf(ruleset_parameter_text_field(row, &other), RULESET_NAME_MAX, "another");
    else
        ruleset_parameter_set(row, &other,
                              ruleset_parameter_get(row, fault) == row->minimum ? row->maximum
                                                                                : row->minimum);
    assert_false(ruleset_same_fault(fault, &other));
}

static void each_difference_is_seen(void **state)
{
    (void)state;
    for_each_row(expect_difference_is_seen);
}

static void expect_row_is_whole(const struct ruleset_parameter *row, struct ruleset_fault *fault)
{
    (void)fault;
    assert_true(row->key[0] && row->range[0]);
    assert_true(row->offset < sizeof(struct ruleset_fault));
    assert_true(row->kind == RULESET_PARAMETER_TABLE || row->minimum < row->maximum);
    /* A unit is in the name, where there is one. */
    if (row->kind == RULESET_PARAMETER_NS)
        assert_non_null(strstr(row->key, "_ns"));
    if (row->kind == RULESET_PARAMETER_BYTES)
        assert_non_null(strstr(row->key, "bytes"));
}

static void each_row_is_whole_and_no_key_repeats(void **state)
{
    (void)state;
    for_each_row(expect_row_is_whole);
    for (int type = 0; type < RULESET_FAULT_TYPES; type++) {
        size_t count;
        const struct ruleset_parameter *rows =
            ruleset_parameters((enum ruleset_fault_type)type, &count);
        for (size_t i = 0; i < count; i++)
            for (size_t j = 0; j < i; j++)
                assert_string_not_equal(rows[i].key, rows[j].key);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_row_is_whole_and_no_key_repeats),
        cmocka_unit_test(what_is_set_is_got),
        cmocka_unit_test(each_range_is_held_at_both_ends),
        cmocka_unit_test(each_difference_is_seen),
    };
    return cmocka_run_group_tests_name("proxy/fault/ruleset_parameters", tests, NULL, NULL);
}
