#include "tests/lib/test.h"

#include <string.h>

#include "proxy/api/url.h"

static void segments_are_decoded(void **state)
{
    (void)state;
    static const struct {
        const char *text, *decoded; /* NULL: refused */
    } cases[] = {
        {"", ""},
        {"n1", "n1"},
        {"a%2Fb", "a/b"},
        {"a%2fb", "a/b"},
        {"%25", "%"},
        {"%E2%86%92", "\xe2\x86\x92"},
        {"%", NULL},
        {"%2", NULL},
        {"a%", NULL},
        {"%zz", NULL},
        {"%2z", NULL},
        {"%00", NULL},
        {"a%00b", NULL},
        {"+", "+"},
        {"1234567", "1234567"},
        {"12345678", NULL},
        {"%31%32%33%34%35%36%37", "1234567"},
        {"%31%32%33%34%35%36%37%38", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char buffer[8] = "x";
        bool fine = api_decode_segment(cases[i].text, strlen(cases[i].text), buffer, 8);
        if (fine != (cases[i].decoded != NULL))
            fail_msg("%s", cases[i].text);
        if (fine && cases[i].decoded)
            assert_string_equal(buffer, cases[i].decoded);
    }
    /* An escape that goes on behind the length. */
    char buffer[8];
    assert_false(api_decode_segment("a%41", 3, buffer, sizeof(buffer)));
    assert_false(api_decode_segment("a%41", 2, buffer, sizeof(buffer)));
    assert_false(api_decode_segment("", 0, buffer, 0));
}

static void loopback_hosts(void **state)
{
    (void)state;
    static const char *const good[] = {
        "localhost", "LocalHost", "localhost:1", "127.0.0.1", "127.255.255.254:65535",
        "[::1]",     "[::1]:80",  "localhost:"};
    static const char *const bad[] = {
        "",
        "localhostx",
        "localhost.",
        "127.0.0.1.nip.io",
        "128.0.0.1",
        "127.1",
        "0.0.0.0",
        "[::]",
        "[::1",
        "[::1]80",
        "::1",
        "localhost:1a",
        "localhost:80:80",
        "evil:127.0.0.1",
        "[::ffff:127.0.0.1]",
        "a-host-name-that-is-much-longer-than-any-loopback-address-could-ever-be.example"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        if (!api_host_is_loopback(good[i]))
            fail_msg("%s", good[i]);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (api_host_is_loopback(bad[i]))
            fail_msg("%s", bad[i]);
}

static void hosts_that_are_addresses(void **state)
{
    (void)state;
    static const char *const good[] = {"10.0.0.1",  "10.0.0.1:8474", "127.0.0.1",   "localhost:1",
                                       "LOCALHOST", "[::1]",         "[fe80::1]:80"};
    static const char *const bad[] = {"",          "toxiproxy",   "toxiproxy:8474", "10.0.0.1.evil",
                                      "10.0.0.1x", "10.0.0.1:1x", "[10.0.0.1]",     "::1",
                                      "[::1",      "[::1]x",      "[localhost]",    "127.1"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        if (!api_host_is_address(good[i]))
            fail_msg("%s", good[i]);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (api_host_is_address(bad[i]))
            fail_msg("%s", bad[i]);
}

static unsigned distance(const char *a, const char *b)
{
    unsigned one = api_text_distance(a, strlen(a), b, strlen(b));
    assert_int_equal(one, api_text_distance(b, strlen(b), a, strlen(a)));
    return one;
}

static void distances(void **state)
{
    (void)state;
    assert_int_equal(distance("", ""), 0);
    assert_int_equal(distance("nodes", "nodes"), 0);
    assert_int_equal(distance("", "abc"), 3);
    assert_int_equal(distance("node", "nodes"), 1);
    assert_int_equal(distance("falts", "faults"), 1);
    assert_int_equal(distance("kitten", "sitting"), 3);
    assert_int_equal(distance("abc", "xyz"), 3);
    assert_int_equal(distance("12345678901234567890123456789012", ""), 32);
    assert_int_equal(distance("123456789012345678901234567890123", ""), 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(segments_are_decoded),
        cmocka_unit_test(loopback_hosts),
        cmocka_unit_test(hosts_that_are_addresses),
        cmocka_unit_test(distances),
    };
    return cmocka_run_group_tests_name("proxy/api/url", tests, NULL, NULL);
}
