/* The codec of faults, by the table of parameters: a new row is tested without a line here. */
#include "tests/lib/test.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/wire/codec.h"
#include "tests/unit/proxy/fault/random_fault.h"

static struct random_stream dice = {.key = 4711};

static struct ruleset_fault on_link(struct ruleset_fault fault)
{
    snprintf(fault.name, sizeof(fault.name), "f");
    snprintf(fault.link.from, sizeof(fault.link.from), "n1");
    snprintf(fault.link.to, sizeof(fault.link.to), "n2");
    return fault;
}

/* Calls check for each row of each type, with a fault that has it. */
static void for_each_row(void (*check)(const struct ruleset_parameter *row,
                                       const struct ruleset_fault *fault))
{
    for (int t = 0; t < RULESET_FAULT_TYPES; t++) {
        enum ruleset_fault_type type = (enum ruleset_fault_type)t;
        size_t count;
        const struct ruleset_parameter *rows = ruleset_parameters(type, &count);
        for (size_t i = 0; i < count; i++) {
            struct ruleset_fault fault = random_fault_of(&dice, type, true);
            while (!ruleset_parameter_is_there(&rows[i], &fault))
                fault = random_fault_of(&dice, type, true);
            fault = on_link(fault);
            check(&rows[i], &fault);
        }
    }
}

/* As it goes over the wire. base as in wire_decode_fault. */
static int through_text(json_t *json, const struct ruleset_fault *base, struct ruleset_fault *out,
                        struct error *error)
{
    char *text = json_dumps(json, WIRE_DUMP_FLAGS);
    json_t *parsed = wire_parse_object(text, strlen(text), error);
    assert_non_null(parsed);
    int code = wire_decode_fault(parsed, base, out, error);
    json_decref(parsed);
    free(text);
    return code;
}

/* The document of `fault` with `value` (stolen; NULL: without it) at the row's key. */
static int decode_with(const struct ruleset_fault *fault, const char *key, json_t *value,
                       struct ruleset_fault *out, struct error *error)
{
    json_t *json = wire_encode_fault(fault);
    *error = (struct error){0};
    if (value)
        json_object_set_new(json, key, value);
    else
        json_object_del(json, key);
    int code = through_text(json, NULL, out, error);
    json_decref(json);
    return code;
}

static void each_type_survives_the_round_trip(void **state)
{
    (void)state;
    for (int t = 0; t < RULESET_FAULT_TYPES; t++)
        for (int i = 0; i < 200; i++) {
            struct ruleset_fault fault =
                on_link(random_fault_of(&dice, (enum ruleset_fault_type)t, true));
            struct ruleset_fault decoded = {0};
            struct error error = {0};
            random_reach(&dice, &fault);
            json_t *json = wire_encode_fault(&fault);
            if (through_text(json, NULL, &decoded, &error) < 0)
                fail_msg("%s: %s %s", ruleset_fault_type_name(fault.type), error.place,
                         error.message);
            assert_true(ruleset_same_fault(&fault, &decoded));
            json_decref(json);
        }
}

/* What the documents have for a number. */
static json_t *as_json(const struct ruleset_parameter *row, uint64_t value)
{
    return row->kind == RULESET_PARAMETER_PROBABILITY
               ? json_real((double)value / RULESET_PROBABILITY_MAX)
               : json_integer((json_int_t)value);
}

static void expect_refusal(const struct ruleset_parameter *row, const struct ruleset_fault *fault,
                           json_t *value, const char *message)
{
    struct ruleset_fault out;
    struct error error;
    char *shown = json_dumps(value, JSON_ENCODE_ANY);
    int code = decode_with(fault, row->key, value, &out, &error);
    if (code != -EINVAL || strcmp(error.place, row->key) != 0 || !strstr(error.message, message))
        fail_msg("%s %s = %s: %d '%s' %s", ruleset_fault_type_name(fault->type), row->key, shown,
                 code, error.place, error.message);
    free(shown);
}

static bool is_number(const struct ruleset_parameter *row)
{
    return row->kind <= RULESET_PARAMETER_COUNT;
}

static void expect_range(const struct ruleset_parameter *row, const struct ruleset_fault *fault)
{
    struct ruleset_fault out;
    struct error error;
    const char *message = row->kind == RULESET_PARAMETER_PROBABILITY ? "from 0 to 1" : row->range;
    if (!is_number(row))
        return;
    assert_int_equal(decode_with(fault, row->key, as_json(row, row->minimum), &out, &error), 0);
    assert_true(ruleset_parameter_get(row, &out) == row->minimum);
    assert_int_equal(decode_with(fault, row->key, as_json(row, row->maximum), &out, &error), 0);
    assert_true(ruleset_parameter_get(row, &out) == row->maximum);
    bool ratio = row->kind == RULESET_PARAMETER_PROBABILITY;
    expect_refusal(row, fault, ratio ? json_real(1.01) : as_json(row, row->maximum + 1), message);
    expect_refusal(row, fault, json_integer((json_int_t)row->minimum - 1),
                   row->minimum > 0 ? message : "0");
}

static void each_number_has_its_range(void **state)
{
    (void)state;
    for_each_row(expect_range);
}

static void expect_types_refused(const struct ruleset_parameter *row,
                                 const struct ruleset_fault *fault)
{
    expect_refusal(row, fault, json_array(), "wanted here");
    if (row->kind != RULESET_PARAMETER_FLAG)
        expect_refusal(row, fault, json_true(), "wanted here");
    if (is_number(row) || row->kind == RULESET_PARAMETER_FLAG)
        expect_refusal(row, fault, json_string("1"), "wanted here");
    else
        expect_refusal(row, fault, json_integer(1), "a text is wanted here");
    if (row->kind == RULESET_PARAMETER_DISTRIBUTION || row->kind == RULESET_PARAMETER_LOSS_MODEL)
        expect_refusal(row, fault, json_string("odd"), "must be one of");
    if (is_number(row) && row->kind != RULESET_PARAMETER_PROBABILITY)
        expect_refusal(row, fault, json_real(1.5), "whole number");
}

static void another_type_of_json_is_refused(void **state)
{
    (void)state;
    for_each_row(expect_types_refused);
}

static void expect_required(const struct ruleset_parameter *row, const struct ruleset_fault *fault)
{
    struct ruleset_fault out;
    struct error error;
    int code = decode_with(fault, row->key, NULL, &out, &error);
    if (row->required) {
        assert_int_equal(code, -EINVAL);
        assert_string_equal(error.place, row->key);
        assert_non_null(strstr(error.message, "missing"));
    } else if (row->kind != RULESET_PARAMETER_LOSS_MODEL) {
        assert_int_equal(code, 0);
    }
}

static void what_is_required_has_to_be_there(void **state)
{
    (void)state;
    for_each_row(expect_required);
}

static void expect_unknown_elsewhere(const struct ruleset_parameter *row,
                                     const struct ruleset_fault *fault)
{
    struct ruleset_fault other = on_link((struct ruleset_fault){.type = RULESET_NOOP}), out;
    struct error error;
    (void)fault;
    assert_int_equal(decode_with(&other, row->key, json_integer(1), &out, &error), -EINVAL);
    assert_string_equal(error.place, row->key);
    assert_non_null(strstr(error.message, "is not known here"));
}

/* A row of one loss model is no row of another. */
static void expect_other_model_refuses(const struct ruleset_parameter *row,
                                       const struct ruleset_fault *fault)
{
    for (int model = 0; row->models && model < RULESET_LOSS_MODELS; model++) {
        struct ruleset_fault other = *fault;
        while ((int)other.loss.model != model)
            other = on_link(random_fault_of(&dice, RULESET_LOSS, true));
        if (!ruleset_parameter_is_there(row, &other))
            expect_refusal(row, &other, json_integer(1), "does not belong to the model");
    }
}

static void what_is_not_of_the_type_or_model_is_refused(void **state)
{
    (void)state;
    for_each_row(expect_unknown_elsewhere);
    for_each_row(expect_other_model_refuses);
}

/* Each row can be changed alone, and nothing else then is another. */
static void expect_patch(const struct ruleset_parameter *row, const struct ruleset_fault *fault)
{
    struct ruleset_fault out, wanted = *fault;
    struct error error = {0};
    if (!is_number(row) && row->kind != RULESET_PARAMETER_FLAG)
        return;
    uint64_t value =
        ruleset_parameter_get(row, fault) == row->minimum ? row->maximum : row->minimum;
    json_t *json = json_object();
    json_object_set_new(json, row->key,
                        row->kind == RULESET_PARAMETER_FLAG ? json_boolean(value)
                                                            : as_json(row, value));
    assert_int_equal(through_text(json, fault, &out, &error), 0);
    ruleset_parameter_set(row, &wanted, value);
    assert_true(ruleset_same_fault(&wanted, &out));
    assert_false(ruleset_same_fault(fault, &out));
    json_decref(json);
}

static void each_parameter_is_patched_alone(void **state)
{
    (void)state;
    for_each_row(expect_patch);
}

static void the_reach_is_told_when_there_is_one(void **state)
{
    (void)state;
    struct ruleset_fault fault = on_link((struct ruleset_fault){.type = RULESET_NOOP}), out;
    struct error error;
    json_t *json = wire_encode_fault(&fault);
    assert_null(json_object_get(json, "toxicity"));
    assert_null(json_object_get(json, "match"));
    json_decref(json);
    assert_int_equal(decode_with(&fault, "toxicity", json_real(0.25), &out, &error), 0);
    assert_int_equal(out.spared_ppb, 750000000);
    static const struct {
        const char *key, *value, *message;
    } cases[] = {
        {"toxicity", "1.01", "0 to 1"},
        {"toxicity", "\"1\"", "0 to 1"},
        {"first_connections", "-1", "at least 0"},
        {"first_connections", "1000000001", "10^9"},
        {"after_ns", "true", "whole number"},
        {"match", "5", "a text is wanted"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        json_t *value = json_loads(cases[i].value, JSON_DECODE_ANY, NULL);
        assert_int_equal(decode_with(&fault, cases[i].key, value, &out, &error), -EINVAL);
        assert_string_equal(error.place, cases[i].key);
        assert_non_null(strstr(error.message, cases[i].message));
    }
}

static void every_probability_is_exact(void **state)
{
    (void)state;
    for (int i = 0; i < 20000; i++) {
        struct ruleset_fault fault = {.type = RULESET_LOSS}, decoded;
        fault = on_link(fault);
        fault.loss.probability_ppb =
            i < 1000 ? (uint32_t)i : (uint32_t)random_within(&dice, 0, RULESET_PROBABILITY_MAX);
        json_t *json = wire_encode_fault(&fault);
        char *text = json_dumps(json, WIRE_DUMP_FLAGS);
        json_decref(json);
        json = json_loads(text, 0, NULL);
        assert_int_equal(wire_decode_fault(json, NULL, &decoded, NULL), 0);
        assert_int_equal(decoded.loss.probability_ppb, fault.loss.probability_ppb);
        json_decref(json);
        free(text);
    }
    struct ruleset_fault five_percent = {.type = RULESET_LOSS,
                                         .loss = {.probability_ppb = 50000000}};
    json_t *json = wire_encode_fault(&five_percent);
    char *text = json_dumps(json, WIRE_DUMP_FLAGS);
    assert_non_null(strstr(text, "\"probability\":0.05,"));
    json_decref(json);
    free(text);
}

static int patch(const char *text, struct ruleset_fault *fault, struct error *error)
{
    json_t *json = wire_parse_object(text, strlen(text), error);
    struct ruleset_fault base = *fault;
    int code = wire_decode_fault(json, &base, fault, error);
    json_decref(json);
    return code;
}

static void faults_are_patched(void **state)
{
    (void)state;
    struct error error = {0};
    struct ruleset_fault fault = {
        .name = "f",
        .type = RULESET_LATENCY,
        .link = {"n1", "n2"},
        .latency = {.delay_ns = 5, .jitter_ns = 6, .distribution = RULESET_PARETO}};
    assert_int_equal(patch("{\"jitter_ns\":8e0}", &fault, &error), 0);
    assert_int_equal(fault.latency.delay_ns, 5);
    assert_int_equal(fault.latency.jitter_ns, 8);
    assert_int_equal(fault.latency.distribution, RULESET_PARETO);
    assert_int_equal(
        patch("{\"name\":\"f\",\"type\":\"latency\",\"link\":\"n1->n2\"}", &fault, NULL), 0);
    static const struct {
        const char *json, *place;
    } cases[] = {
        {"{\"name\":\"g\"}", "name"},           {"{\"type\":\"loss\"}", "type"},
        {"{\"link\":\"n1->n3\"}", "link"},      {"{\"link\":\"n1<->n2\"}", "link"},
        {"{\"route\":\"r\"}", "link"},          {"{\"direction\":\"both\"}", "direction"},
        {"{\"probability\":0}", "probability"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(patch(cases[i].json, &fault, &error), -EINVAL);
        assert_string_equal(error.place, cases[i].place);
        assert_int_equal(fault.latency.jitter_ns, 8);
    }
}

/* What the old model had is gone, and what the new one wants has to be there. */
static void a_loss_of_another_model_begins_anew(void **state)
{
    (void)state;
    struct error error = {0};
    struct ruleset_fault fault = on_link((struct ruleset_fault){
        .type = RULESET_LOSS, .loss = {.probability_ppb = 5, .correlation_ppb = 6}});
    assert_int_equal(patch("{\"model\":\"every\"}", &fault, &error), -EINVAL);
    assert_string_equal(error.place, "every");
    assert_int_equal(patch("{\"model\":\"every\",\"every\":10}", &fault, &error), 0);
    assert_int_equal(fault.loss.every, 10);
    assert_int_equal(fault.loss.probability_ppb, 0);
    assert_int_equal(fault.loss.correlation_ppb, 0);
    assert_int_equal(patch("{\"model\":\"every\"}", &fault, &error), 0);
    assert_int_equal(fault.loss.every, 10);
}

static void another_distribution_drops_the_table(void **state)
{
    (void)state;
    struct error error = {0};
    struct ruleset_fault fault = on_link((struct ruleset_fault){
        .type = RULESET_LATENCY, .latency = {.distribution = RULESET_TABLE, .table = "t"}});
    assert_int_equal(patch("{\"delay_ns\":7}", &fault, &error), 0);
    assert_string_equal(fault.latency.table, "t");
    assert_int_equal(patch("{\"distribution\":\"normal\"}", &fault, &error), 0);
    assert_string_equal(fault.latency.table, "");
    assert_int_equal(patch("{\"distribution\":\"table\",\"table\":\"u\"}", &fault, &error), 0);
    assert_string_equal(fault.latency.table, "u");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_type_survives_the_round_trip),
        cmocka_unit_test(each_number_has_its_range),
        cmocka_unit_test(another_type_of_json_is_refused),
        cmocka_unit_test(what_is_required_has_to_be_there),
        cmocka_unit_test(what_is_not_of_the_type_or_model_is_refused),
        cmocka_unit_test(each_parameter_is_patched_alone),
        cmocka_unit_test(the_reach_is_told_when_there_is_one),
        cmocka_unit_test(every_probability_is_exact),
        cmocka_unit_test(faults_are_patched),
        cmocka_unit_test(a_loss_of_another_model_begins_anew),
        cmocka_unit_test(another_distribution_drops_the_table),
    };
    return cmocka_run_group_tests_name("proxy/wire/codec_fault", tests, NULL, NULL);
}
