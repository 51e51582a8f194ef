/* Networks as text, and the k-th address of one. */
#include "tests/lib/test.h"

#include <errno.h>
#include <string.h>

#include "proxy/lab/subnet.h"

static const char *address_of(const char *network, int family, unsigned k)
{
    static char text[ADDRESS_TEXT_MAX];
    struct subnet subnet;
    struct address address;
    struct error error = {0};
    if (subnet_parse(network, family, &subnet, &error))
        fail_msg("%s: %s", network, error.message);
    if (subnet_address(&subnet, k, &address))
        return "none";
    return address_format(&address, text);
}

static void nodes_have_their_addresses(void **state)
{
    (void)state;
    assert_string_equal(address_of("10.77.0.0/24", AF_INET, 1), "10.77.0.1:0");
    assert_string_equal(address_of("10.77.0.0/24", AF_INET, 254), "10.77.0.254:0");
    assert_string_equal(address_of("10.77.0.0/24", AF_INET, 255), "none");
    assert_string_equal(address_of("10.77.0.0/24", AF_INET, 0), "none");
    assert_string_equal(address_of("192.168.4.0/22", AF_INET, 300), "192.168.5.44:0");
    assert_string_equal(address_of("192.168.4.64/30", AF_INET, 2), "192.168.4.66:0");
    assert_string_equal(address_of("192.168.4.64/30", AF_INET, 3), "none");
    assert_string_equal(address_of("fd77::/64", AF_INET6, 1), "[fd77::1]:0");
    assert_string_equal(address_of("fd77::/64", AF_INET6, 300), "[fd77::12c]:0");
    assert_string_equal(address_of("fd77:1:2:3::40/126", AF_INET6, 3), "[fd77:1:2:3::43]:0");
    assert_string_equal(address_of("fd77:1:2:3::40/126", AF_INET6, 4), "none");
}

static void refuses(const char *network, int family, const char *because)
{
    struct subnet subnet;
    struct error error = {0};
    assert_int_equal(subnet_parse(network, family, &subnet, &error), -EINVAL);
    if (!strstr(error.message, because))
        fail_msg("%s: '%s' does not say '%s'", network, error.message, because);
}

static void others_are_refused_with_the_reason(void **state)
{
    (void)state;
    refuses("", AF_INET, "write one such as 10.77.0.0/24");
    refuses("10.77.0.0", AF_INET, "is no network");
    refuses("10.77.0.0/", AF_INET, "prefix length");
    refuses("10.77.0.0/31", AF_INET, "not a valid prefix length");
    refuses("10.0.0.0/7", AF_INET, "prefix length");
    refuses("10.77.0.0/24x", AF_INET, "prefix length");
    refuses("10.77.0/24", AF_INET, "is no IPv4 network");
    refuses("fd77::/64", AF_INET, "is no IPv4 network");
    refuses("10.77.0.1/24", AF_INET, "first address");
    refuses("127.0.0.0/24", AF_INET, "loopback");
    refuses("0.0.0.0/8", AF_INET, "this network");
    refuses("169.254.7.0/24", AF_INET, "link-local");
    refuses("224.0.0.0/8", AF_INET, "multicast");
    refuses("255.255.255.0/24", AF_INET, "multicast or reserved");
    refuses("10.77.0.0/24", AF_INET6, "write one such as fd77::/64");
    refuses("fd77::1/64", AF_INET6, "first address");
    refuses("fd77::/127", AF_INET6, "prefix length");
    refuses("fe80::/64", AF_INET6, "link-local");
    refuses("ff02::/64", AF_INET6, "multicast");
    refuses("::/96", AF_INET6, "unspecified");
    refuses("ffffffffffffffffffffffffffffffffffffffffffffffffffffff/64", AF_INET6, "is no network");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_have_their_addresses),
        cmocka_unit_test(others_are_refused_with_the_reason),
    };
    return cmocka_run_group_tests_name("subnet", tests, NULL, NULL);
}
