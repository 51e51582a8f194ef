/* Files of regions: the faults that they become, and for each way to write a bad one its line. */
#include "tests/lib/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/regions_text.h"
#include "proxy/base/text.h"
#include "proxy/wire/codec.h"

static struct regions regions;
static struct error error;

static int parse(const char *text)
{
    error = (struct error){0};
    memset(&regions, 0xee, sizeof(regions));
    return regions_parse(text, strlen(text), &regions, &error);
}

static void expect(const char *text, const char *wanted)
{
    if (parse(text) < 0)
        fail_msg("%s: %s", error.place, error.message);
    json_t *faults = regions_make_faults(&regions), *fault;
    struct text shown = {0};
    size_t index;
    json_array_foreach(faults, index, fault)
    {
        struct ruleset_fault decoded;
        assert_int_equal(wire_decode_fault(fault, NULL, &decoded, &error), 0);
        assert_int_equal(decoded.type, RULESET_LATENCY);
        text_append(&shown, "%s %s %d+%d\n", decoded.name,
                    json_string_value(json_object_get(fault, "link")),
                    (int)(decoded.latency.delay_ns / 1000),
                    (int)(decoded.latency.jitter_ns / 1000));
    }
    assert_string_equal(text_get(&shown), wanted);
    text_free(&shown);
    json_decref(faults);
}

static void expect_refused(const char *text, const char *place, const char *message)
{
    assert_true(parse(text) < 0);
    if (strcmp(error.place, place) != 0 || !strstr(error.message, message))
        fail_msg("'%s' %s", error.place, error.message);
}

#define REGIONS "region eu: n1 n2\nregion us: n3\n"

static void each_pair_of_nodes_has_a_delay(void **state)
{
    (void)state;
    expect(REGIONS "one-way: eu us\neu 1ms 40ms±2ms\nus 40ms±2ms 1ms\n",
           "region/n1<->n2 n1<->n2 1000+0\n"
           "region/n1<->n3 n1<->n3 40000+2000\n"
           "region/n2<->n3 n2<->n3 40000+2000\n");
}

static void a_way_may_be_slower_than_the_other(void **state)
{
    (void)state;
    expect(REGIONS "one-way: us eu\nus: - 50ms\neu: 40ms -", /* no newline */
           "region/n1->n3 n1->n3 40000+0\n"
           "region/n3->n1 n3->n1 50000+0\n"
           "region/n2->n3 n2->n3 40000+0\n"
           "region/n3->n2 n3->n2 50000+0\n");
    expect(REGIONS "one-way: us eu\nus - -\neu 40ms -", "region/n1->n3 n1->n3 40000+0\n"
                                                        "region/n2->n3 n2->n3 40000+0\n");
}

static void half_of_a_round_trip_is_one_way(void **state)
{
    (void)state;
    expect("# far apart\r\nregion a: n1 # one\r\nregion b:\tn2,\r\n\r\nround-trip: a b\r\n"
           "a 0 85ms±4ms\r\nb 85ms±4ms 0\r\n",
           "region/n1<->n2 n1<->n2 42500+2000\n");
}

static void a_region_may_be_empty(void **state)
{
    (void)state;
    expect("region a:\none-way: a\na 1ms\n", "");
}

static void what_is_wrong_has_its_line(void **state)
{
    (void)state;
    static const char matrix[] = "one-way: eu us\n";
    char text[512];
    expect_refused("", "", "no delays");
    expect_refused(REGIONS, "", "no delays");
    expect_refused("eu 1ms\n", "line 1", "'eu' is no region");
    expect_refused("region eu n1\n", "line 1", "region NAME: n1 n2");
    expect_refused("region\n", "line 1", "region NAME: n1 n2");
    expect_refused("region region: n1\n", "line 1", "is taken");
    expect_refused(REGIONS "region eu: n4\n", "line 3", "'eu' is taken");
    expect_refused(REGIONS "\nregion ap: n4 n2\n", "line 4",
                   "'n2' is in a region already, on line 1");
    expect_refused("region eu: n/1\n", "line 1", "'n/1' is no name of a node");
    expect_refused("one-way: eu\n", "line 1", "no region 'eu'");
    expect_refused("one-way:\n", "line 1", "regions come before");
    expect_refused(REGIONS "one-way: eu\n", "line 3", "'us' has no column");
    expect_refused(REGIONS "one-way: eu us eu\n", "line 3", "'eu' has a column already");
    expect_refused(REGIONS "one-way: eu us\nround-trip: eu us\n", "line 4", "one matrix");
    expect_refused(REGIONS "one-way: eu us\nregion ap: n4\n", "line 4", "come before the delays");
    static const struct {
        const char *rows, *place, *message;
    } cases[] = {
        {"eu 1ms 1ms\n", "", "'us' has no row"},
        {"eu 1ms 1ms\neu 1ms 1ms\n", "line 5", "'eu' has a row already"},
        {"eu 1ms\n", "line 4", "from eu to us is missing"},
        {"eu 1ms 1ms 1ms\n", "line 4", "'1ms' is one delay too many"},
        {"eu 1ms 1\n", "line 4", "'1'"},
        {"eu 1ms 61m\n", "line 4", "one hour"},
        {"eu 1ms 1ms±61m\n", "line 4", "one hour"},
        {"ap 1ms 1ms\n", "line 4", "'ap' is no region"},
        {"eu 1ms 1ms1ms1ms1ms1ms1ms1ms1ms1ms1ms1ms1ms1ms1ms1ms1ms\n", "line 4", "is no delay"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(text, sizeof(text), REGIONS "%s%s", matrix, cases[i].rows);
        expect_refused(text, cases[i].place, cases[i].message);
    }
    static const char zero[] = "region a: n1\none-way: a\na 1m\0s\n";
    assert_true(regions_parse(zero, sizeof(zero) - 1, &regions, &error) < 0);
    assert_string_equal(error.place, "line 3");
}

static void there_are_limits(void **state)
{
    (void)state;
    struct text text = {0};
    for (int i = 0; i <= REGIONS_MAX; i++)
        text_append(&text, "region r%d:\n", i);
    expect_refused(text_get(&text), "line 65", "more than 64 regions");
    text_clear(&text);
    text_append(&text, "region r:\nregion s:");
    for (int i = 0; i < RULESET_NODES_MAX; i++)
        text_append(&text, " n%d", i);
    size_t length = text.length;
    text_append(&text, " n");
    expect_refused(text_get(&text), "line 2", "more than 128 nodes");
    text.length = length;
    text.data[length] = '\0';
    text_append(&text, "\none-way: r s\nr - -\ns - 1ms±1us\n");
    assert_int_equal(parse(text_get(&text)), 0);
    json_t *faults = regions_make_faults(&regions);
    assert_int_equal(json_array_size(faults), 128 * 127 / 2);
    json_decref(faults);
    text_free(&text);
    char *huge = calloc(1, REGIONS_TEXT_BYTES_MAX + 1);
    assert_non_null(huge);
    assert_true(regions_parse(huge, REGIONS_TEXT_BYTES_MAX + 1, &regions, &error) < 0);
    free(huge);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_pair_of_nodes_has_a_delay),
        cmocka_unit_test(a_way_may_be_slower_than_the_other),
        cmocka_unit_test(half_of_a_round_trip_is_one_way),
        cmocka_unit_test(a_region_may_be_empty),
        cmocka_unit_test(what_is_wrong_has_its_line),
        cmocka_unit_test(there_are_limits),
    };
    return cmocka_run_group_tests_name("ctl/regions_text", tests, NULL, NULL);
}
