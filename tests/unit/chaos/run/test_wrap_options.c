#include "tests/lib/test.h"

#include <errno.h>
#include <string.h>

#include "chaos/run/wrap_options.h"

static struct wrap_options options;
static struct error error;

/* Words are kept until the next call. */
static int parse(const char *const *words)
{
    static char storage[24][128];
    static char *argv[25];
    int argc = 1;
    argv[0] = storage[0];
    for (; words[argc - 1]; argc++) {
        strncpy(storage[argc], words[argc - 1], sizeof(storage[0]) - 1);
        argv[argc] = storage[argc];
    }
    argv[argc] = NULL;
    error = (struct error){0};
    return wrap_parse_options(argc, argv, &options, &error);
}

#define PARSE(...) parse((const char *const[]){__VA_ARGS__, NULL})

static void options_and_command(void **state)
{
    (void)state;
    assert_int_equal(PARSE("--nodes=a,b", "--port", "client=2379", "--port=2380", "--clients", "4",
                           "--peers", "{name}", "--subnet", "10.1.0.0/24", "--out", "d", "--",
                           "etcd", "--nodes"),
                     0);
    assert_string_equal(options.nodes, "a,b");
    assert_int_equal(options.port_count, 2);
    assert_string_equal(options.ports[1], "2380");
    assert_int_equal(options.clients, 4);
    assert_string_equal(options.peers, "{name}");
    assert_string_equal(options.subnet, "10.1.0.0/24");
    assert_string_equal(options.out, "d");
    assert_int_equal(options.command_count, 2);
    assert_null(options.file);
    assert_int_equal(PARSE("--", "true"), 0);
    assert_int_equal(options.clients, 1);
    assert_int_equal(PARSE("a.yaml", "--", "--verbose"), 0);
    assert_string_equal(options.file, "a.yaml");
    assert_int_equal(options.command_count, 1);
    assert_int_equal(PARSE("--help"), 0);
    assert_true(options.help);
}

static void mistakes_are_named(void **state)
{
    (void)state;
    static const char *const cases[][5] = {
        {"--nodes", "3"},
        {"--"},
        {NULL},
        {"--nodes"},
        {"--nodes", "--", "true"},
        {"--nodes=", "--", "true"},
        {"--node", "3", "--", "true"},
        {"--clients", "65", "--", "true"},
        {"--clients=-1", "--", "true"},
        {"--clients", "--", "true"},
        {"true", "false", "--"},
        {"a.yaml", "--nodes", "3"},
        {"a.yaml", "--peers", "x"},
        {"a.yaml", "--port", "1"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(parse(cases[i]), -EINVAL);
        assert_true(strlen(error.message) > 10);
    }
}

static void the_cluster_of_a_command_line(void **state)
{
    (void)state;
    struct experiment experiment;
    assert_int_equal(PARSE("--nodes", "left,right", "--port", "client=2379", "--port", "2380",
                           "--peers", "{name}=http://{address}:{port.2380}", "--", "etcd",
                           "{peers}", "a \"quoted\": {{word}}"),
                     0);
    assert_int_equal(wrap_make_cluster(&options, &experiment, &error), 0);
    const struct experiment_cluster *cluster = &experiment.cluster;
    assert_int_equal(cluster->network, EXPERIMENT_LAB);
    assert_int_equal(cluster->node_count, 2);
    assert_string_equal(cluster->nodes[1], "right");
    assert_int_equal(cluster->port_count, 2);
    assert_string_equal(cluster->ports[0].name, "client");
    assert_string_equal(cluster->ports[1].name, "2380");
    assert_int_equal(cluster->ports[1].port, 2380);
    assert_int_equal(cluster->launches[1].command.count, 3);
    assert_string_equal(cluster->launches[1].command.items[2], "a \"quoted\": {{word}}");
    experiment_free(&experiment);

    assert_int_equal(PARSE("--", "true"), 0);
    assert_int_equal(wrap_make_cluster(&options, &experiment, &error), 0);
    assert_int_equal(experiment.cluster.node_count, 3);
    assert_int_equal(experiment.cluster.port_count, 0);
    experiment_free(&experiment);
}

static void what_no_cluster_can_be_is_refused(void **state)
{
    (void)state;
    static const char *const cases[][5] = {
        {"--nodes", "0", "--", "true"},
        {"--nodes", "a,,b", "--", "true"},
        {"--nodes", "a,a", "--", "true"},
        {"--port", "http", "--", "true"},
        {"--port", "client=0", "--", "true"},
        {"--port", "=80", "--", "true"},
        {"--", "true", "{adress}"},
        {"--", "true", "{peers}"},
        {"--", ""},
        {"--", "true", "\xff"},
        {"--nodes", "64", "--", "true"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct experiment experiment;
        assert_int_equal(parse(cases[i]), 0);
        assert_int_equal(wrap_make_cluster(&options, &experiment, &error), -EINVAL);
        assert_true(strlen(error.message) > 10);
        assert_string_equal(error.place, "");
    }
}

static void each_node_is_published_under_its_own_address(void **state)
{
    (void)state;
    char listen[64];
    assert_true(wrap_listen_address("10.77.0.3", 2379, listen, sizeof(listen)));
    assert_string_equal(listen, "127.77.0.3:2379");
    assert_false(wrap_listen_address("fd77::3", 2379, listen, sizeof(listen)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_and_command),
        cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(the_cluster_of_a_command_line),
        cmocka_unit_test(what_no_cluster_can_be_is_refused),
        cmocka_unit_test(each_node_is_published_under_its_own_address),
    };
    return cmocka_run_group_tests_name("wrap_options", tests, NULL, NULL);
}
