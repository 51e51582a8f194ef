#include "tests/lib/test.h"

#include <errno.h>
#include <string.h>

#include "proxy/base/units.h"

static void durations_are_exact(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t ns;
        const char *formatted;
    } cases[] = {
        {"80ms", 80000000, "80ms"},
        {"1.5s", 1500000000, "1.5s"},
        {"250us", 250000, "250us"},
        {"0.1s", 100000000, "100ms"},
        {"0", 0, "0s"},
        {"2m", UINT64_C(120000000000), "120s"},
        {"1h", UINT64_C(3600000000000), "3600s"},
        {"1.000000001s", 1000000001, "1.000000001s"},
        {"7ns", 7, "7ns"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t ns = 1;
        struct error error = {0};
        char buffer[UNITS_TEXT_MAX];
        assert_int_equal(units_parse_duration(cases[i].text, &ns, &error), 0);
        assert_int_equal(ns, cases[i].ns);
        assert_string_equal(units_format_duration(ns, buffer), cases[i].formatted);
    }
}

static void bad_durations_say_what_to_write(void **state)
{
    (void)state;
    static const char *const cases[] = {"",
                                        "80",
                                        "ms",
                                        "-1s",
                                        "1.2.3s",
                                        "80 ms",
                                        "1e3s",
                                        "80msx",
                                        "999999999999999999999s",
                                        "0.0000000001s",
                                        "300000000000s"};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t ns = 42;
        struct error error = {0};
        assert_int_equal(units_parse_duration(cases[i], &ns, &error), -EINVAL);
        assert_int_equal(ns, 42);
        assert_true(strlen(error.message) > 10);
    }
}

static void spreads(void **state)
{
    (void)state;
    uint64_t ns, spread;
    assert_int_equal(units_parse_duration_spread("80ms±20ms", &ns, &spread, NULL), 0);
    assert_int_equal(ns, 80000000);
    assert_int_equal(spread, 20000000);
    assert_int_equal(units_parse_duration_spread("1s+-5us", &ns, &spread, NULL), 0);
    assert_int_equal(spread, 5000);
    assert_int_equal(units_parse_duration_spread("1s", &ns, &spread, NULL), 0);
    assert_int_equal(spread, 0);
    assert_true(units_parse_duration_spread("1s±", &ns, &spread, NULL) < 0);
    assert_true(units_parse_duration_spread("±1s", &ns, &spread, NULL) < 0);
}

static void offsets_have_signs(void **state)
{
    (void)state;
    int64_t ns;
    char buffer[UNITS_TEXT_MAX];
    assert_int_equal(units_parse_offset("+2ms", &ns, NULL), 0);
    assert_int_equal(ns, 2000000);
    assert_string_equal(units_format_offset(ns, buffer), "+2ms");
    assert_int_equal(units_parse_offset("-1.5s", &ns, NULL), 0);
    assert_int_equal(ns, -1500000000);
    assert_string_equal(units_format_offset(ns, buffer), "-1.5s");
    assert_true(units_parse_offset("--1s", &ns, NULL) < 0);
}

static void probabilities(void **state)
{
    (void)state;
    uint32_t ppb;
    char buffer[UNITS_TEXT_MAX];
    assert_int_equal(units_parse_probability("5%", &ppb, NULL), 0);
    assert_int_equal(ppb, 50000000);
    assert_string_equal(units_format_probability(ppb, buffer), "5%");
    assert_int_equal(units_parse_probability("0.1%", &ppb, NULL), 0);
    assert_int_equal(ppb, 1000000);
    assert_string_equal(units_format_probability(ppb, buffer), "0.1%");
    assert_int_equal(units_parse_probability("1", &ppb, NULL), 0);
    assert_int_equal(ppb, 1000000000);
    assert_int_equal(units_parse_probability("0.25", &ppb, NULL), 0);
    assert_int_equal(ppb, 250000000);
    assert_true(units_parse_probability("101%", &ppb, NULL) < 0);
    assert_true(units_parse_probability("-5%", &ppb, NULL) < 0);
    assert_true(units_parse_probability("five", &ppb, NULL) < 0);
}

static void rates_and_sizes(void **state)
{
    (void)state;
    uint64_t value;
    char buffer[UNITS_TEXT_MAX];
    static const struct {
        const char *text;
        uint64_t bytes_per_s;
        const char *formatted;
    } cases[] = {
        {"10mbit", 1250000, "10mbit"},     {"10Mbit/s", 1250000, "10mbit"},
        {"1.5gbit", 187500000, "1.5gbit"}, {"64kbit", 8000, "64kbit"},
        {"125kB/s", 125000, "1mbit"},      {"1MiB/s", 1048576, "8.388608mbit"},
        {"800bit", 100, "800bit"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(units_parse_rate(cases[i].text, &value, NULL), 0);
        assert_int_equal(value, cases[i].bytes_per_s);
        assert_string_equal(units_format_rate(value, buffer), cases[i].formatted);
    }
    assert_true(units_parse_rate("0mbit", &value, NULL) < 0);
    assert_true(units_parse_rate("10", &value, NULL) < 0);
    assert_true(units_parse_rate("10mb", &value, NULL) < 0);
    assert_int_equal(units_parse_size("64KiB", &value, NULL), 0);
    assert_int_equal(value, 65536);
    assert_int_equal(units_parse_size("1500", &value, NULL), 0);
    assert_int_equal(value, 1500);
    assert_true(units_parse_size("1500b", &value, NULL) < 0);
}

static void drifts_and_integers(void **state)
{
    (void)state;
    int64_t value;
    char buffer[UNITS_TEXT_MAX];
    assert_int_equal(units_parse_drift("50ppm", &value, NULL), 0);
    assert_int_equal(value, 50000);
    assert_string_equal(units_format_drift(value, buffer), "50ppm");
    assert_int_equal(units_parse_drift("-100ppb", &value, NULL), 0);
    assert_int_equal(value, -100);
    assert_string_equal(units_format_drift(value, buffer), "-0.1ppm");
    assert_true(units_parse_drift("50", &value, NULL) < 0);
    assert_int_equal(units_parse_integer("-7", -10, 10, "number", &value, NULL), 0);
    assert_int_equal(value, -7);
    struct error error;
    assert_true(units_parse_integer("11", -10, 10, "port", &value, &error) < 0);
    assert_non_null(strstr(error.message, "port"));
    assert_true(units_parse_integer("", 0, 10, "n", &value, NULL) < 0);
    assert_true(units_parse_integer("1x", 0, 10, "n", &value, NULL) < 0);
    assert_true(units_parse_integer("99999999999999999999999999", 0, INT64_MAX, "n", &value, NULL) <
                0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_are_exact),
        cmocka_unit_test(bad_durations_say_what_to_write),
        cmocka_unit_test(spreads),
        cmocka_unit_test(offsets_have_signs),
        cmocka_unit_test(probabilities),
        cmocka_unit_test(rates_and_sizes),
        cmocka_unit_test(drifts_and_integers),
    };
    return cmocka_run_group_tests_name("proxy/base/units", tests, NULL, NULL);
}
