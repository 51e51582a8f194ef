#include "tests/lib/test.h"

#include <errno.h>
#include <string.h>

#include "examples/raftkv/server/options.h"

static struct options options;
static enum options_action action;
static struct error error;

/* words: space-separated arguments. */
static int parse(const char *words)
{
    static char copy[512];
    char *argv[32];
    static char name[] = "raftkv";
    int argc = 0;
    argv[argc++] = name;
    assert_true(strlen(words) < sizeof(copy));
    memcpy(copy, words, strlen(words) + 1);
    for (char *at = copy; *at;) {
        argv[argc++] = at;
        at += strcspn(at, " ");
        if (*at)
            *at++ = '\0';
    }
    argv[argc] = NULL;
    error = (struct error){0};
    return options_parse(argc, argv, &options, &action, &error);
}

static void a_whole_line_is_understood(void **state)
{
    (void)state;
    char text[ADDRESS_TEXT_MAX], cluster[CLUSTER_TEXT_MAX];
    assert_int_equal(parse("--id n2 --data /d --bind 127.0.0.2 -p 7000 --peers "
                           "n3=127.0.0.3:17000,n1=127.0.0.1:17000,n2=127.0.0.2:17000 "
                           "--election-timeout 1s --heartbeat 100ms --on-minority exit "
                           "--bug half-quorum --bug local-reads --log-level debug"),
                     0);
    assert_int_equal(action, OPTIONS_RUN);
    assert_string_equal(options.id, "n2");
    assert_string_equal(options.data_directory, "/d");
    assert_string_equal(address_format(&options.client_address, text), "127.0.0.2:7000");
    assert_string_equal(address_format(&options.peer_address, text), "127.0.0.2:17000");
    assert_int_equal(options.node_count, 3);
    assert_int_equal(options.self, 1); /* sorted by name */
    assert_string_equal(options_cluster_text(&options, cluster), "n1,n2,n3");
    assert_string_equal(address_format(&options.nodes[2].address, text), "127.0.0.3:17000");
    assert_int_equal(options.election_timeout_ns, 1000000000);
    assert_int_equal(options.heartbeat_ns, 100000000);
    assert_true(options.exit_on_minority);
    assert_int_equal(options.bugs,
                     raft_bug_by_name("half-quorum") | raft_bug_by_name("local-reads"));
    assert_int_equal(options.log_level, LOG_LEVEL_DEBUG);
}

static void defaults_are_those_of_the_manual(void **state)
{
    (void)state;
    char text[ADDRESS_TEXT_MAX];
    assert_int_equal(parse("--id n1 --data d"), 0);
    assert_string_equal(address_format(&options.client_address, text), "127.0.0.1:6379");
    assert_string_equal(address_format(&options.peer_address, text), "127.0.0.1:16379");
    assert_int_equal(options.node_count, 1);
    assert_int_equal(options.election_timeout_ns, 300000000);
    assert_int_equal(options.heartbeat_ns, 50000000);
    assert_false(options.exit_on_minority);
    assert_int_equal(options.bugs, 0);
}

static void a_node_may_leave_itself_out_of_its_peers(void **state)
{
    (void)state;
    char cluster[CLUSTER_TEXT_MAX];
    assert_int_equal(parse("--id n2 --data d --peers n1=127.0.0.1:1,n3=127.0.0.1:2"), 0);
    assert_int_equal(options.node_count, 3);
    assert_int_equal(options.self, 1);
    assert_string_equal(options_cluster_text(&options, cluster), "n1,n2,n3");
}

static void mistakes_say_where_and_what(void **state)
{
    (void)state;
    static const struct {
        const char *words, *place, *hint;
    } cases[] = {
        {"--data d", "--id", "needed"},
        {"--id n1", "--data", "needed"},
        {"--id n1 --data d --peers n2", "--peers", "NAME=HOST:PORT"},
        {"--id n1 --data d --peers n2=", "--peers", ""},
        {"--id n1 --data d --peers n2=127.0.0.1:1,", "--peers", "comma"},
        {"--id n1 --data d --peers n2=127.0.0.1:1,n2=127.0.0.1:2", "--peers", "twice"},
        {"--id n1 --data d --peers =127.0.0.1:1", "--peers", "node name"},
        {"--id n1 --data d --peers n/2=127.0.0.1:1", "--peers", "node name"},
        {"--id n1 --data d --peers a=127.0.0.1:1,b=127.0.0.1:1,c=127.0.0.1:1,d=127.0.0.1:1,"
         "e=127.0.0.1:1,f=127.0.0.1:1,g=127.0.0.1:1,h=127.0.0.1:1,i=127.0.0.1:1",
         "--peers", "9 nodes"},
        {"--id n1 --data d --bug nothing", "--bug", "half-quorum"},
        {"--id n1 --data d --on-minority wait", "--on-minority", "refuse or exit"},
        {"--id n1 --data d --log-level loud", "--log-level", "debug"},
        {"--id n1 --data d --heartbeat 151ms", "--heartbeat", "half"},
        {"--id n1 --data d --election-timeout 1ms", "--election-timeout", "10ms"},
        {"--id n1 --data d -p 60000", "--peer-port", "65535"},
        {"--id n1 --data d -p 70000", "", "--port"},
        {"--id n1 --data d --nonsense", "--nonsense", "--help"},
        {"--id n1 --data d more", "more", "--help"},
        {"--id n1 --data", "--data", "value"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(parse(cases[i].words), -EINVAL);
        if (*cases[i].place)
            assert_string_equal(error.place, cases[i].place);
        assert_non_null(strstr(error.message, cases[i].hint));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_line_is_understood),
        cmocka_unit_test(defaults_are_those_of_the_manual),
        cmocka_unit_test(a_node_may_leave_itself_out_of_its_peers),
        cmocka_unit_test(mistakes_say_where_and_what),
    };
    return cmocka_run_group_tests_name("examples/raftkv/server/options", tests, NULL, NULL);
}
