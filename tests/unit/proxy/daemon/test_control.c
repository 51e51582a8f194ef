#include "tests/lib/test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proxy/daemon/control.h"

static char directory[64];

static int make_directory(void **state)
{
    (void)state;
    snprintf(directory, sizeof(directory), "/tmp/sever-test-XXXXXX");
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
    (void)state;
    return rmdir(directory);
}

static void listeners_are_all_or_none(void **state)
{
    (void)state;
    char unix_text[128], path[100];
    int fds[3];
    struct address bound[3];
    struct socket_file files[3];
    struct error error = {0};
    snprintf(path, sizeof(path), "%s/control", directory);
    snprintf(unix_text, sizeof(unix_text), "unix:%s", path);
    const char *const good[] = {"127.0.0.1:0", unix_text, "[::1]:0"};
    const char *const bad[] = {"127.0.0.1:0", unix_text, "192.0.2.1:80"};
    if (control_listen(good, 2, fds, bound, files, &error))
        fail_msg("%s", error.message);
    assert_true(address_port(&bound[0]) > 0);
    assert_int_equal(access(path, F_OK), 0);
    close(fds[0]);
    close(fds[1]); /* as if it had been killed: the file stays, and is no obstacle */
    assert_int_equal(control_listen(good, 2, fds, bound, files, &error), 0);
    /* one that is in use is not taken away */
    int more[3];
    struct address more_bound[3];
    assert_int_equal(control_listen(good + 1, 1, more, more_bound, files + 2, &error), -EADDRINUSE);
    assert_int_equal(access(path, F_OK), 0);
    /* nor is another's, that is where this one's was */
    assert_int_equal(unlink(path), 0);
    assert_int_equal(control_listen(good + 1, 1, more, more_bound, files + 2, &error), 0);
    control_unlink(bound, files, 2);
    assert_int_equal(access(path, F_OK), 0);
    control_unlink(more_bound, files + 2, 1);
    assert_int_equal(access(path, F_OK), -1);
    close(more[0]);
    close(fds[0]);
    close(fds[1]);
    assert_int_equal(control_listen(bad, 3, fds, bound, files, &error), -EADDRNOTAVAIL);
    assert_string_equal(error.place, "--listen");
    assert_int_equal(access(path, F_OK), -1);
}

static void who_reaches_the_listeners(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool private;
    } cases[] = {{"127.0.0.1:0", true},
                 {"[::1]:0", true},
                 {"localhost:0", true},
                 {"0.0.0.0:0", false},
                 {"[::]:0", false}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int fd;
        struct address bound;
        struct socket_file file;
        struct error error = {0};
        if (control_listen(&cases[i].text, 1, &fd, &bound, &file, &error))
            fail_msg("%s: %s", cases[i].text, error.message);
        assert_int_equal(control_is_private(&bound, 1), cases[i].private);
        close(fd);
    }
    /* a label has at most 63 bytes, so that no name server is asked */
    const char *const unknown =
        "a123456789012345678901234567890123456789012345678901234567890123456789.invalid:0";
    struct error error = {0};
    int fd;
    struct address bound;
    struct socket_file file;
    assert_int_equal(control_listen(&unknown, 1, &fd, &bound, &file, &error), -EINVAL);
    assert_non_null(strstr(error.message, ".invalid"));
}

static bool has_seed;

static int read_ruleset(const char *content, struct ruleset *ruleset, struct error *error)
{
    char path[100];
    snprintf(path, sizeof(path), "%s/ruleset.json", directory);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(content, file);
    fclose(file);
    *error = (struct error){0};
    int result = control_read_ruleset(path, ruleset, &has_seed, error);
    assert_int_equal(unlink(path), 0);
    return result;
}

static void a_ruleset_file_is_read(void **state)
{
    (void)state;
    struct ruleset ruleset = {0};
    struct error error;
    assert_int_equal(
        read_ruleset("{\"seed\": 5, \"nodes\": [{\"name\": \"n1\"}]}", &ruleset, &error), 0);
    assert_int_equal(ruleset.seed, 5);
    assert_true(has_seed);
    assert_int_equal(ruleset.node_count, 1);
    ruleset_free(&ruleset);
    assert_int_equal(read_ruleset("{\"seed\": 0}", &ruleset, &error), 0);
    assert_true(has_seed); /* zero is a seed */
    assert_int_equal(read_ruleset("{}", &ruleset, &error), 0);
    assert_false(has_seed);
    assert_int_equal(control_read_ruleset("", &ruleset, &has_seed, &error), -ENOENT);
    assert_string_equal(error.place, "--ruleset");
}

static void a_bad_ruleset_file_names_file_and_place(void **state)
{
    (void)state;
    struct ruleset ruleset = {0};
    struct error error;
    assert_true(read_ruleset("{\"seed\": \n 5,,}", &ruleset, &error) < 0);
    assert_non_null(strstr(error.place, "ruleset.json"));
    assert_non_null(strstr(error.place, "line 2"));
    assert_true(read_ruleset("{\"nodes\": [{\"nam\": \"n1\"}]}", &ruleset, &error) < 0);
    assert_non_null(strstr(error.place, "ruleset.json: nodes[0]"));
    assert_int_equal(control_read_ruleset("/nonexistent/x", &ruleset, &has_seed, &error), -ENOENT);
    assert_string_equal(error.place, "/nonexistent/x");
    assert_true(control_read_ruleset(directory, &ruleset, &has_seed, &error) < 0);
    assert_int_equal(ruleset.node_count, 0);
}

static int read_config(const char *content, struct ruleset *ruleset, struct error *error)
{
    char path[100];
    snprintf(path, sizeof(path), "%s/proxies.json", directory);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(content, file);
    fclose(file);
    *error = (struct error){0};
    int result = control_read_config(path, ruleset, error);
    assert_int_equal(unlink(path), 0);
    return result;
}

static void a_configuration_is_read(void **state)
{
    (void)state;
    struct ruleset ruleset = {0};
    struct error error;
    assert_int_equal(read_config("[{\"name\": \"db\", \"listen\": \":3310\", \"upstream\": \"x:1\","
                                 "\"toxics\": [{\"type\": \"latency\", \"attributes\": "
                                 "{\"latency\": 5}}]}, {\"name\": \"b\", \"upstream\": \"x:1\", "
                                 "\"enabled\": false}]",
                                 &ruleset, &error),
                     0);
    assert_int_equal(ruleset.route_count, 2);
    assert_string_equal(ruleset.routes[0].listen, "[::]:3310");
    assert_true(ruleset.routes[0].enabled && !ruleset.routes[1].enabled);
    assert_int_equal(ruleset.fault_count, 1);
    assert_string_equal(ruleset.faults[0].name, "db/latency_downstream");
    assert_int_equal(ruleset_check(&ruleset, &error), 0);
    ruleset_free(&ruleset);
}

static void a_bad_configuration_names_file_and_place(void **state)
{
    (void)state;
    static const struct {
        const char *content, *place, *message;
    } cases[] = {
        {"[{\"name\": \"db\"}]", "proxies.json", "missing required field: upstream at proxy 1"},
        {"[{\"name\": \"db\", \"upstream\": \"x:1\", \"toxics\": [{}]}]",
         "proxies.json: proxy 1, toxic 1", "invalid toxic type"},
        {"[{\"name\": \"db\", \"upstream\": \"x:1\", \"listen\": \"y\"}]", "proxies.json: proxy 1",
         "missing port in address"},
        {"[{\"name\": \"a\", \"upstream\": \"x:1\"}, {\"name\": \"a\", \"upstream\": \"x:1\"}]",
         "proxies.json: proxy 2", "proxy already exists"},
        {"[{\"name\": ", "proxies.json", "unexpected EOF"},
        {"", "proxies.json", "EOF"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ruleset ruleset = {0};
        struct error error;
        assert_true(read_config(cases[i].content, &ruleset, &error) < 0);
        if (!strstr(error.place, cases[i].place) || !strstr(error.message, cases[i].message))
            fail_msg("%s: %s: %s", cases[i].content, error.place, error.message);
        ruleset_free(&ruleset);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_directory, remove_directory)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(listeners_are_all_or_none), TEST(who_reaches_the_listeners),
        TEST(a_ruleset_file_is_read),    TEST(a_bad_ruleset_file_names_file_and_place),
        TEST(a_configuration_is_read),   TEST(a_bad_configuration_names_file_and_place),
    };
    return cmocka_run_group_tests_name("proxy/daemon control", tests, NULL, NULL);
}
