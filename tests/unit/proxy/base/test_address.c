#include "tests/lib/test.h"

#include <errno.h>
#include <string.h>

#include "proxy/base/address.h"

static void round_trips(void **state)
{
    (void)state;
    static const char *const cases[] = {"127.0.0.1:80", "[::1]:8080", "0.0.0.0:0", "unix:/tmp/x",
                                        "127.1.2.3:65535"};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct address address;
        struct error error = {0};
        char text[ADDRESS_TEXT_MAX];
        assert_int_equal(address_parse(cases[i], &address, &error), 0);
        assert_string_equal(address_format(&address, text), cases[i]);
    }
    struct address local;
    assert_int_equal(address_parse("localhost:7", &local, NULL), 0);
    assert_true(address_is_loopback(&local));
    assert_int_equal(address_port(&local), 7);
}

static void bad_ones_are_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {"",
                                        "80",
                                        ":80",
                                        "127.0.0.1",
                                        "1.2.3.4:",
                                        "1.2.3.4:x",
                                        "1.2.3.4:65536",
                                        "::1:80",
                                        "[::1:80",
                                        "[::1]80",
                                        "unix:",
                                        "1.2.3.4:-1",
                                        "no.such.host.invalid:80",
                                        "localhost.localdomain:80",
                                        "127.1:80",
                                        "0x7f000001:80",
                                        "127.0.0.01:80",
                                        "[fe80::1%lo]:80"};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct address address;
        struct error error = {0};
        assert_true(address_parse(cases[i], &address, &error) < 0);
        assert_true(error.message[0] != '\0');
    }
    struct address address;
    char path[200] = "unix:/";
    memset(path + 6, 'p', sizeof(path) - 7);
    path[sizeof(path) - 1] = '\0';
    assert_int_equal(address_parse(path, &address, NULL), -EINVAL);
}

static void hosts_compare_without_port(void **state)
{
    (void)state;
    struct address a, b, mapped, other, un;
    assert_int_equal(address_parse("127.0.0.5:1", &a, NULL), 0);
    assert_int_equal(address_parse_host("127.0.0.5", &b, NULL), 0);
    assert_int_equal(address_parse_host("::ffff:127.0.0.5", &mapped, NULL), 0);
    assert_int_equal(address_parse_host("127.0.0.6", &other, NULL), 0);
    assert_int_equal(address_parse("unix:/x", &un, NULL), 0);
    assert_true(address_same_host(&a, &b));
    assert_true(address_same_host(&a, &mapped));
    assert_false(address_same_host(&a, &other));
    assert_false(address_same_host(&a, &un));
    static const char *const spellings[] = {"localhost",   "127.0.19717", "1.2.3", "0x7f000101",
                                            "127.0.0.005", "::1%lo",      "[::1]", ""};
    for (size_t i = 0; i < sizeof(spellings) / sizeof(spellings[0]); i++)
        assert_int_equal(address_parse_host(spellings[i], &b, NULL), -EINVAL);
    assert_true(address_parse_host("127.0.0.5:1", &b, NULL) < 0);
}

/* Names are never looked up: a lookup may take seconds, and the control thread waits for nobody. */
static void a_name_is_told_apart_at_once(void **state)
{
    (void)state;
    struct address address;
    struct error error = {0};
    assert_int_equal(address_parse("db.example:80", &address, &error), -EINVAL);
    assert_non_null(strstr(error.message, "'db.example'"));
    assert_non_null(strstr(error.message, "write the IP address"));
    char text[ADDRESS_TEXT_MAX];
    assert_int_equal(address_parse("LocalHost:7", &address, &error), 0);
    assert_string_equal(address_format(&address, text), "127.0.0.1:7");
}

static void loopback_is_known(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int loopback;
    } cases[] = {
        {"127.0.0.1:1", 1}, {"127.255.0.1:1", 1}, {"[::1]:1", 1}, {"[::ffff:127.0.0.1]:1", 1},
        {"unix:/x", 1},     {"0.0.0.0:1", 0},     {"[::]:1", 0},  {"10.0.0.1:1", 0},
        {"[fe80::1]:1", 0}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct address address;
        assert_int_equal(address_parse(cases[i].text, &address, NULL), 0);
        assert_int_equal(address_is_loopback(&address), cases[i].loopback);
    }
}

static void ports_are_set(void **state)
{
    (void)state;
    struct address address;
    char text[ADDRESS_TEXT_MAX];
    assert_int_equal(address_parse("[::1]:1", &address, NULL), 0);
    address_set_port(&address, 99);
    assert_string_equal(address_format(&address, text), "[::1]:99");
    assert_int_equal(address_parse("unix:/x", &address, NULL), 0);
    address_set_port(&address, 99);
    assert_int_equal(address_port(&address), 0);
    struct address none = {0};
    assert_string_equal(address_format(&none, text), "(none)");
    assert_false(address_is_loopback(&none));
}

static void hosts_are_told_without_port(void **state)
{
    (void)state;
    struct address address;
    char text[ADDRESS_HOST_MAX];
    assert_int_equal(address_parse("10.77.0.1:80", &address, NULL), 0);
    assert_string_equal(address_format_host(&address, text), "10.77.0.1");
    assert_int_equal(address_parse("[fd77:0:0::1]:80", &address, NULL), 0);
    assert_string_equal(address_format_host(&address, text), "fd77::1");
    assert_int_equal(address_parse("unix:/x", &address, NULL), 0);
    assert_string_equal(address_format_host(&address, text), "");
}

static void host_bytes_are_read(void **state)
{
    (void)state;
    struct address address, none = {0};
    uint8_t host[16];
    assert_int_equal(address_parse("[::ffff:1.2.3.4]:5", &address, NULL), 0);
    assert_true(address_get_ipv4(&address, host));
    assert_memory_equal(host, "\1\2\3\4", 4);
    assert_int_equal(address_parse("1.2.3.4:5", &address, NULL), 0);
    assert_true(address_get_ipv6(&address, host));
    assert_memory_equal(host, "\0\0\0\0\0\0\0\0\0\0\377\377\1\2\3\4", 16);
    assert_int_equal(address_parse("[::102:304]:5", &address, NULL), 0);
    assert_false(address_get_ipv4(&address, host));
    assert_false(address_get_ipv6(&none, host));
}

static void any_is_known(void **state)
{
    (void)state;
    static const char *const any[] = {"0.0.0.0:1", "[::]:0", "[::ffff:0.0.0.0]:9"};
    static const char *const some[] = {"0.0.0.1:0", "[::1]:0", "unix:/0"};
    struct address address;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(address_parse(any[i], &address, NULL), 0);
        assert_true(address_is_any(&address));
        assert_int_equal(address_parse(some[i], &address, NULL), 0);
        assert_false(address_is_any(&address));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trips),
        cmocka_unit_test(bad_ones_are_refused),
        cmocka_unit_test(hosts_compare_without_port),
        cmocka_unit_test(a_name_is_told_apart_at_once),
        cmocka_unit_test(loopback_is_known),
        cmocka_unit_test(ports_are_set),
        cmocka_unit_test(hosts_are_told_without_port),
        cmocka_unit_test(host_bytes_are_read),
        cmocka_unit_test(any_is_known),
    };
    return cmocka_run_group_tests_name("proxy/base/address", tests, NULL, NULL);
}
