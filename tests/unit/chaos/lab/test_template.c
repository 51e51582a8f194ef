#include "tests/lib/test.h"

#include <errno.h>
#include <string.h>

#include "chaos/lab/template.h"

static char names[3][RULESET_NAME_MAX] = {"n1", "n2", "n3"};

static struct experiment_cluster cluster_of(char **command, size_t count, char *peers)
{
    struct experiment_cluster cluster = {
        .nodes = names,
        .node_count = 3,
        .command = command,
        .command_count = count,
        .ports = {{.name = "client", .port = 6379}, {.name = "peer", .port = 16379}},
        .port_count = 2,
        .peer_template = peers,
    };
    return cluster;
}

static const struct template_place places[3] = {{.own = "127.20.7.1", .seen = "127.20.7.101"},
                                                {.own = "127.20.7.2", .seen = "127.20.7.102"},
                                                {.own = "127.20.7.3", .seen = "127.20.7.103"}};

static void each_node_gets_its_own_command(void **state)
{
    (void)state;
    char *command[] = {(char[]){"kv"},
                       (char[]){"--id={id}:{name}"},
                       (char[]){"{address}:{port.client}"},
                       (char[]){"{peers}"},
                       (char[]){"{dir}"},
                       (char[]){"{address.n1} {address.n2}"}};
    struct experiment_cluster cluster =
        cluster_of(command, 6, (char[]){"{name}={address}:{port.peer}"});
    char **words;
    assert_int_equal(lab_expand_command(&cluster, places, 1, "/d/n2", &words, NULL), 0);
    assert_string_equal(words[0], "kv");
    assert_string_equal(words[1], "--id=2:n2");
    assert_string_equal(words[2], "127.20.7.2:6379");
    /* Others where severd listens for them, itself where it binds. */
    assert_string_equal(words[3],
                        "n1=127.20.7.101:16379,n2=127.20.7.2:16379,n3=127.20.7.103:16379");
    assert_string_equal(words[4], "/d/n2");
    assert_string_equal(words[5], "127.20.7.101 127.20.7.2");
    assert_null(words[6]);
    lab_free_words(words);
}

static void environment_values_are_templates(void **state)
{
    (void)state;
    char *command[] = {(char[]){"kv"}};
    struct experiment_cluster cluster = cluster_of(command, 1, NULL);
    struct experiment_pair pairs[] = {{(char[]){"NODE"}, (char[]){"{name}"}},
                                      {(char[]){"EMPTY"}, (char[]){""}}};
    char **words;
    assert_int_equal(lab_expand_environment(&cluster, places, 0, "/d", &words, NULL), 0);
    assert_null(words);
    cluster.environment = pairs;
    cluster.environment_count = 2;
    assert_int_equal(lab_expand_environment(&cluster, places, 2, "/d", &words, NULL), 0);
    assert_string_equal(words[0], "NODE=n3");
    assert_string_equal(words[1], "EMPTY=");
    assert_null(words[2]);
    lab_free_words(words);
}

static void unknown_names_are_refused_with_their_place(void **state)
{
    (void)state;
    char *command[] = {(char[]){"kv"}, (char[]){"{port.nothing}"}};
    char *plain[] = {(char[]){"kv"}, (char[]){"{peers}"}};
    struct experiment_cluster cluster = cluster_of(command, 2, NULL);
    struct error error = {0};
    char **words = NULL;
    assert_int_equal(lab_expand_command(&cluster, places, 0, "/d", &words, &error), -EINVAL);
    assert_non_null(strstr(error.place, "cluster.command"));
    assert_null(words);
    cluster = cluster_of(plain, 2, (char[]){"{dir}"}); /* others' folders are not told */
    assert_int_equal(lab_expand_command(&cluster, places, 0, "/d", &words, &error), -EINVAL);
    assert_non_null(strstr(error.place, "cluster.peers"));
    cluster = cluster_of(plain, 2, NULL);
    assert_int_equal(lab_expand_command(&cluster, places, 0, "/d", &words, &error), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_node_gets_its_own_command),
        cmocka_unit_test(environment_values_are_templates),
        cmocka_unit_test(unknown_names_are_refused_with_their_place),
    };
    return cmocka_run_group_tests_name("template", tests, NULL, NULL);
}
