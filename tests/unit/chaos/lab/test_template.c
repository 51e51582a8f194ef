#include "tests/lib/test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "chaos/lab/template.h"

static char names[3][RULESET_NAME_MAX] = {"n1", "n2", "n3"};

static struct experiment_words command_of(char **items, size_t count)
{
    return (struct experiment_words){.items = items, .count = count};
}

static struct experiment_cluster cluster_of(char *peers)
{
    struct experiment_cluster cluster = {
        .nodes = names,
        .node_count = 3,
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
    struct experiment_words words_of = command_of(command, 6);
    struct experiment_cluster cluster = cluster_of((char[]){"{name}={address}:{port.peer}"});
    char **words;
    assert_int_equal(lab_expand_words(&cluster, places, 1, "/d/n2", &words_of, "x", &words, NULL),
                     0);
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
    struct experiment_cluster cluster = cluster_of(NULL);
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
    struct experiment_words nothing = command_of(command, 2), peers = command_of(plain, 2);
    struct experiment_cluster cluster = cluster_of(NULL);
    struct error error = {0};
    char **words = NULL;
    assert_int_equal(
        lab_expand_words(&cluster, places, 0, "/d", &nothing, "cluster.init", &words, &error),
        -EINVAL);
    assert_non_null(strstr(error.place, "cluster.init"));
    assert_null(words);
    cluster = cluster_of((char[]){"{dir}"}); /* others' folders are not told */
    assert_int_equal(lab_expand_words(&cluster, places, 0, "/d", &peers, "x", &words, &error),
                     -EINVAL);
    assert_non_null(strstr(error.place, "cluster.peers"));
    cluster = cluster_of(NULL);
    assert_int_equal(lab_expand_words(&cluster, places, 0, "/d", &peers, "x", &words, &error),
                     -EINVAL);
}

static void texts_of_files_are_templates(void **state)
{
    (void)state;
    struct experiment_cluster cluster = cluster_of(NULL);
    struct error error = {0};
    char *text;
    assert_int_equal(lab_expand_text(&cluster, places, 0, "/d",
                                     "bind {address}\nport {port.client}\n{{ }}\n", &text, NULL),
                     0);
    assert_string_equal(text, "bind 127.20.7.1\nport 6379\n{ }\n");
    free(text);
    assert_int_equal(lab_expand_text(&cluster, places, 0, "/d", "{port}", &text, &error), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_node_gets_its_own_command),
        cmocka_unit_test(environment_values_are_templates),
        cmocka_unit_test(texts_of_files_are_templates),
        cmocka_unit_test(unknown_names_are_refused_with_their_place),
    };
    return cmocka_run_group_tests_name("template", tests, NULL, NULL);
}
