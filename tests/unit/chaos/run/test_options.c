#include "tests/lib/test.h"

#include <errno.h>
#include <string.h>

#include "chaos/run/options.h"

static int parse(struct run_options *options, struct error *error, const char *const *words)
{
    static char storage[16][64];
    char *argv[17];
    int argc = 0;
    static char run[] = "run";
    argv[argc++] = run;
    for (; words[argc - 1]; argc++) {
        strncpy(storage[argc], words[argc - 1], sizeof(storage[0]) - 1);
        argv[argc] = storage[argc];
    }
    argv[argc] = NULL;
    static char *kept[17];
    memcpy(kept, argv, sizeof(char *) * (size_t)(argc + 1));
    return run_parse_options(argc, kept, options, error);
}

#define PARSE(...) parse(&options, &error, (const char *const[]){__VA_ARGS__, NULL})

static void options_stand_anywhere(void **state)
{
    (void)state;
    struct run_options options;
    struct error error = {0};
    assert_int_equal(PARSE("--seed", "7", "a.yaml", "--out=dir", "--json", "--quiet"), 0);
    assert_string_equal(options.file, "a.yaml");
    assert_string_equal(options.out, "dir");
    assert_true(options.has_seed && options.seed == 7 && options.json && options.quiet);
    assert_int_equal(options.extra_count, 0);
    assert_int_equal(PARSE("a.yaml"), 0);
    assert_false(options.has_seed || options.json || options.quiet || options.help);
    assert_null(options.out);
}

static void the_network_of_the_file_is_replaced(void **state)
{
    (void)state;
    struct run_options options;
    struct error error = {0};
    assert_int_equal(PARSE("a.yaml", "--network", "lab"), 0);
    assert_true(options.has_network && options.network == EXPERIMENT_LAB);
    assert_int_equal(PARSE("--network=routes", "a.yaml"), 0);
    assert_true(options.has_network && options.network == EXPERIMENT_ROUTES);
    assert_int_equal(PARSE("a.yaml"), 0);
    assert_false(options.has_network);
}

static void the_rest_goes_to_the_nodes(void **state)
{
    (void)state;
    struct run_options options;
    struct error error = {0};
    assert_int_equal(PARSE("a.yaml", "--", "--bug", "half-quorum", "--seed"), 0);
    assert_int_equal(options.extra_count, 3);
    assert_string_equal(options.extra[0], "--bug");
    assert_string_equal(options.extra[2], "--seed");
    assert_int_equal(PARSE("a.yaml", "--"), 0);
    assert_int_equal(options.extra_count, 0);
}

static void mistakes_are_named(void **state)
{
    (void)state;
    struct run_options options;
    static const char *const cases[][4] = {
        {"a.yaml", "--out", ""},   {"a.yaml", "--out="},
        {"--seed", NULL},          {"a.yaml", "--seed", "-1"},
        {"a.yaml", "--seed", "x"}, {"a.yaml", "--seed="},
        {"a.yaml", "b.yaml"},      {"--sed", "1", "a.yaml"},
        {"a.yaml", "--out", "--"}, {"--json", NULL},
        {"--", "a.yaml"},          {"a.yaml", "--seed=9223372036854775808"},
        {"a.yaml", "--network"},   {"a.yaml", "--network=labs"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct error error = {0};
        assert_int_equal(parse(&options, &error, cases[i]), -EINVAL);
        assert_true(strlen(error.message) > 10);
    }
    struct error error = {0};
    assert_int_equal(PARSE("--help"), 0);
    assert_true(options.help);
}

static void slugs(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"split brain with three", "split-brain-with-three"},
        {"a/b: c!", "a-b-c"},
        {"../..", "experiment"},
        {"", "experiment"},
        {"v1.2_x", "v1.2_x"},
        {"\xc3\xa9t\xc3\xa9", "t"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct text out = {0};
        run_append_slug(cases[i][0], &out);
        assert_string_equal(text_get(&out), cases[i][1]);
        text_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_stand_anywhere),
        cmocka_unit_test(the_network_of_the_file_is_replaced),
        cmocka_unit_test(the_rest_goes_to_the_nodes),
        cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(slugs),
    };
    return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
