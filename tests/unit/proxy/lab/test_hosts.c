/* What is in a lab's hosts file, and where host names are looked up. (That nodes see it:
 * test_nodes.)
 */
#include "tests/lib/test.h"

#include "proxy/lab/hosts.h"

static void each_address_has_its_line(void **state)
{
    (void)state;
    struct text text = {0};
    struct address address;
    hosts_append_local(&text);
    assert_int_equal(address_parse_host("10.77.0.1", &address, NULL), 0);
    hosts_append(&text, &address, "n1");
    assert_int_equal(address_parse_host("fd77::1", &address, NULL), 0);
    hosts_append(&text, &address, "n1");
    assert_string_equal(text_get(&text), "127.0.0.1 localhost\n"
                                         "::1 localhost ip6-localhost ip6-loopback\n"
                                         "10.77.0.1 n1\n"
                                         "fd77::1 n1\n");
    text_free(&text);
}

static void files_come_first(void **state)
{
    (void)state;
    static const struct {
        const char *given, *fixed; /* NULL: as it is */
    } cases[] = {
        {"passwd: files\nhosts: files dns\n", NULL},
        {"hosts:files", NULL},
        {"hosts:\t files\tdns\n", NULL},
        {"", NULL},
        {"passwd: sss\n#hosts: dns\n", NULL},
        {"passwd: files\nhosts: mymachines resolve [!UNAVAIL=return] files dns\nrpc: db\n",
         "passwd: files\nhosts: files dns\nrpc: db\n"},
        {"hosts: filesystem", "hosts: files dns"},
        {"hosts:\n", "hosts: files dns\n"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct text fixed = {0};
        assert_int_equal(hosts_fix_switch(cases[i].given, &fixed), cases[i].fixed != NULL);
        assert_string_equal(text_get(&fixed), cases[i].fixed ? cases[i].fixed : "");
        text_free(&fixed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_address_has_its_line),
        cmocka_unit_test(files_come_first),
    };
    return cmocka_run_group_tests_name("hosts", tests, NULL, NULL);
}
