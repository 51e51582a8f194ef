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
    char joined[] = "-w2 -lunix:/y -l127.0.0.1:0 -d./x -rx.json";
    assert_int_equal(parse(joined, &options, NULL), 0);
    assert_int_equal(options.workers, 2);
    assert_string_equal(options.listens[0], "unix:/y");
    assert_string_equal(options.run_directory, "./x");
    assert_string_equal(options.ruleset, "x.json");
    char brief[] = "-r g -w 1 -s 0 -d y";
    assert_int_equal(parse(brief, &options, NULL), 0);
    assert_string_equal(options.ruleset, "g");
    assert_int_equal(options.workers, 1);
    assert_true(options.seed_given);
    assert_string_equal(options.run_directory, "y");
}

/* Those of toxiproxy-server, in each way that it takes them. */
static void toxiproxy_options(void **state)
{
    (void)state;
    static const struct {
        const char *line, *listen;
    } cases[] = {
        {"-host=0.0.0.0", "0.0.0.0:8474"},  {"-host 0.0.0.0 -port 99", "0.0.0.0:99"},
        {"--port=0", "localhost:0"},        {"-host=::1", "[::1]:8474"},
        {"-host=[::1] -port=1", "[::1]:1"}, {"-host=", "[::]:8474"},
    };
    struct options options;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char line[64];
        memcpy(line, cases[i].line, strlen(cases[i].line) + 1);
        assert_int_equal(parse(line, &options, NULL), 0);
        assert_int_equal(options.listen_count, 1);
        assert_string_equal(options.listens[0], cases[i].listen);
    }
    char all[] = "-config /etc/p.json -seed 7 -proxy-metrics -runtime-metrics=true -l unix:/x "
                 "-port 5 --token-file t";
    assert_int_equal(parse(all, &options, NULL), 0);
    assert_string_equal(options.config, "/etc/p.json");
    assert_int_equal(options.seed, 7);
    assert_true(options.proxy_metrics && options.runtime_metrics && !options.no_token);
    assert_int_equal(options.listen_count, 2);
    assert_string_equal(options.token_file, "t");
    char no[] = "-proxy-metrics=false --no-token";
    assert_int_equal(parse(no, &options, NULL), 0);
    assert_true(!options.proxy_metrics && options.no_token && !options.is_toxiproxy);
}

static void log_levels_of_the_environment(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool known;
        enum log_level level;
    } cases[] = {
        {NULL, true, LOG_LEVEL_INFO},     {"", true, LOG_LEVEL_INFO},
        {"panic", true, LOG_LEVEL_ERROR}, {"fatal", true, LOG_LEVEL_ERROR},
        {"error", true, LOG_LEVEL_ERROR}, {"warn", true, LOG_LEVEL_WARN},
        {"info", true, LOG_LEVEL_INFO},   {"debug", true, LOG_LEVEL_DEBUG},
        {"trace", true, LOG_LEVEL_DEBUG}, {"disabled", true, LOG_LEVEL_ERROR},
        {"INFO", true, LOG_LEVEL_INFO},   {"loud", false, LOG_LEVEL_INFO},
    };
    struct options options;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char none[] = "", given[] = "--log-level warn";
        assert_int_equal(parse(none, &options, NULL), 0);
        assert_int_equal(options_take_log_level(&options, cases[i].text), cases[i].known);
        assert_int_equal(options.log_level, cases[i].level);
        assert_int_equal(parse(given, &options, NULL), 0);
        options_take_log_level(&options, cases[i].text);
        assert_int_equal(options.log_level, LOG_LEVEL_WARN);
    }
}

static void the_name_of_the_other_server(void **state)
{
    (void)state;
    char path[] = "/go/bin/toxiproxy-server", plain[] = "toxiproxy-server", version[] = "-version";
    char *names[] = {path, plain};
    for (size_t i = 0; i < 2; i++) {
        char *arguments[] = {names[i], version, NULL};
        struct options options;
        assert_int_equal(options_parse(2, arguments, 1, &options, NULL), 0);
        assert_true(options.is_toxiproxy);
        assert_int_equal(options.action, OPTIONS_VERSION);
    }
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
    } cases[] = {{"-h", OPTIONS_HELP},    {"--help", OPTIONS_HELP},
                 {"-V", OPTIONS_VERSION}, {"-version", OPTIONS_VERSION},
                 {"-help", OPTIONS_HELP}, {"--version", OPTIONS_VERSION}};
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
        {"-debug", "-debug"},
        {"-w 1 -run_dir /run/x", "-run_dir"},
        {"-workerz=3", "-workerz=3"},
        {"-w 1 --nope=3", "--nope=3"},
        {"--workers", "--workers"},
        {"--workers 0", "--workers"},
        {"--workers 65", "--workers"},
        {"--workers two", "--workers"},
        {"--seed -1", "--seed"},
        {"--seed 99999999999999999999", "--seed"},
        {"--log-level loud", "--log-level"},
        {"-port 65536", "--port"},
        {"-port http", "--port"},
        {"-proxy-metrics=perhaps", "--proxy-metrics"},
        {"--no-token --token-file f", "--no-token"},
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
        cmocka_unit_test(toxiproxy_options),
        cmocka_unit_test(log_levels_of_the_environment),
        cmocka_unit_test(the_name_of_the_other_server),
        cmocka_unit_test(every_seed),
        cmocka_unit_test(help_and_version),
        cmocka_unit_test(bad_usage_names_its_place),
    };
    return cmocka_run_group_tests_name("proxy/daemon options", tests, NULL, NULL);
}
