#include "tests/lib/test.h"

#include <errno.h>
#include <string.h>

#include "proxy/daemon/options.h"
#include "proxy/daemon/worker.h"

enum { ARGUMENTS_MAX = 32 };

/* Splits at blanks; the options keep pointing into `line`. */
static int parse(char *line, struct options *options, struct error *error)
{
    static char program[] = "severd";
    char *arguments[ARGUMENTS_MAX + 1] = {program};
    int count = 1;
    while (*line) {
        size_t length = strcspn(line, " ");
        bool last = line[length] == '\0';
        line[length] = '\0';
        arguments[count++] = line;
        line += length + (last ? 0 : 1);
    }
    return options_parse(count, arguments, 3, options, error);
}

static void defaults(void **state)
{
    (void)state;
    struct options options;
    char line[] = "";
    assert_int_equal(parse(line, &options, NULL), 0);
    assert_int_equal(options.action, OPTIONS_RUN);
    assert_int_equal(options.listen_count, 1);
    assert_string_equal(options.listens[0], "127.0.0.1:8474");
    assert_int_equal(options.workers, 3);
    assert_false(options.seed_given || options.die_with_parent);
    assert_null(options.ruleset);
    assert_null(options.run_directory);
    assert_int_equal(options.log_level, LOG_LEVEL_INFO);
}

static void every_option(void **state)
{
    (void)state;
    struct options options;
    char line[] = "--listen 127.0.0.1:0 -l unix:/x --ruleset f.json --workers 2 --seed 9 "
                  "--run-dir /run/x --die-with-parent --log-level debug";
    assert_int_equal(parse(line, &options, NULL), 0);
    assert_int_equal(options.listen_count, 2);
    assert_string_equal(options.listens[0], "127.0.0.1:0");
    assert_string_equal(options.listens[1], "unix:/x");
    assert_string_equal(options.ruleset, "f.json");
    assert_int_equal(options.workers, 2);
    assert_true(options.seed_given && options.die_with_parent);
    assert_int_equal(options.seed, 9);
    assert_string_equal(options.run_directory, "/run/x");
    assert_int_equal(options.log_level, LOG_LEVEL_DEBUG);
    char brief[] = "-r g -w 1 -s 0 -d y";
    assert_int_equal(parse(brief, &options, NULL), 0);
    assert_string_equal(options.ruleset, "g");
    assert_int_equal(options.workers, 1);
    assert_true(options.seed_given);
    assert_string_equal(options.run_directory, "y");
}

static void every_seed(void **state)
{
    (void)state;
    struct options options;
    char most[] = "--seed 18446744073709551615", none[] = "--seed 0";
    char more[] = "--seed 18446744073709551616";
    assert_int_equal(parse(most, &options, NULL), 0);
    assert_true(options.seed_given && options.seed == UINT64_MAX);
    assert_int_equal(parse(none, &options, NULL), 0);
    assert_true(options.seed_given && options.seed == 0);
    assert_int_equal(parse(more, &options, NULL), -EINVAL);
}

static void help_and_version(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        enum options_action action;
    } cases[] = {{"-h", OPTIONS_HELP},
                 {"--help", OPTIONS_HELP},
                 {"-V", OPTIONS_VERSION},
                 {"--version", OPTIONS_VERSION}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct options options;
        char line[32];
        memcpy(line, cases[i].line, strlen(cases[i].line) + 1);
        assert_int_equal(parse(line, &options, NULL), 0);
        assert_int_equal(options.action, cases[i].action);
    }
}

static void bad_usage_names_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *line, *place;
    } cases[] = {
        {"--bogus", "--bogus"},
        {"-x", "-x"},
        {"-w 1 --nope=3", "--nope=3"},
        {"--workers", "--workers"},
        {"--workers 0", "--workers"},
        {"--workers 65", "--workers"},
        {"--workers two", "--workers"},
        {"--seed -1", "--seed"},
        {"--seed 99999999999999999999", "--seed"},
        {"--log-level loud", "--log-level"},
        {"extra", "extra"},
        {"-w 1 extra", "extra"},
        {"-l a -l a -l a -l a -l a -l a -l a -l a -l a", "--listen"},
    };
    assert_int_equal(WORKERS_MAX, 64);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct options options;
        struct error error = {0};
        char line[128];
        memcpy(line, cases[i].line, strlen(cases[i].line) + 1);
        assert_int_equal(parse(line, &options, &error), -EINVAL);
        assert_string_equal(error.place, cases[i].place);
        assert_true(strlen(error.message) > 5);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(every_option),
        cmocka_unit_test(every_seed),
        cmocka_unit_test(help_and_version),
        cmocka_unit_test(bad_usage_names_its_place),
    };
    return cmocka_run_group_tests_name("proxy/daemon options", tests, NULL, NULL);
}
