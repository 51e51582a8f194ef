#include "tests/lib/test.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proxy/base/monotonic.h"
#include "proxy/match/match.h"

static void parse(const char *text, struct address *address)
{
    struct error error = {0};
    if (address_parse(text, address, &error))
        fail_msg("%s", error.message);
}

/* A datagram of `length` bytes 0, 1, 2, ... */
static bool matches(const char *expression, const char *source, const char *destination,
                    uint32_t length)
{
    static unsigned char buffer[IP_HEADER_ROOM + 65536];
    struct match_program *program = NULL;
    struct address from, to;
    struct error error = {0};
    parse(source, &from);
    parse(destination, &to);
    for (uint32_t i = 0; i < length; i++)
        buffer[IP_HEADER_ROOM + i] = (unsigned char)i;
    if (match_compile(expression, &program, &error))
        fail_msg("'%s': %s", expression, error.message);
    bool result = match_datagram(program, &from, &to, buffer + IP_HEADER_ROOM, length);
    match_destroy(program);
    return result;
}

static void expressions_see_addresses_and_bytes(void **state)
{
    (void)state;
    static const struct {
        const char *expression;
        bool ipv4, ipv6;
    } cases[] = {
        {"udp", true, true},
        {"tcp", false, false},
        {"ip", true, false},
        {"ip6", false, true},
        {"dst port 53", true, true},
        {"src port 53", false, false},
        {"portrange 50-60", true, true},
        {"src host 10.0.0.1", true, false},
        {"src host 2001:db8::1", false, true},
        {"dst net 10.0.0.0/8 and not port 54", true, false},
        {"ip6 net 2001:db8::/32", false, true},
        {"less 50", true, false}, /* 10 bytes, and 28 or 48 of headers: 38 and 58 */
        {"greater 50", false, true},
        {"len = 38", true, false},
        {"udp[4:2] = 18", true, false}, /* libpcap: udp[] is IPv4 only */
        {"udp[8] = 0 and udp[11] = 3", true, false},
        {"ip[8] = 64 && ip[9] = 0x11", true, false},
        {"ip6[6] = 17 and ip6[48:2] = 1", false, true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bool ipv4 = matches(cases[i].expression, "10.0.0.1:1000", "10.0.0.2:53", 10);
        bool ipv6 = matches(cases[i].expression, "[2001:db8::1]:1000", "[2001:db8::2]:53", 10);
        if (ipv4 != cases[i].ipv4 || ipv6 != cases[i].ipv6)
            fail_msg("'%s': %d %d", cases[i].expression, ipv4, ipv6);
    }
}

static void families_that_differ_meet_in_ipv6(void **state)
{
    (void)state;
    assert_true(matches("ip6 dst host 2001:db8::2", "10.0.0.1:1", "[2001:db8::2]:2", 1));
    assert_true(matches("src host ::ffff:a00:1", "10.0.0.1:1", "[2001:db8::2]:2", 1));
    assert_true(matches("ip src host 10.0.0.1", "[::ffff:10.0.0.1]:1", "10.0.0.2:2", 1));
    assert_false(matches("udp", "unix:/x", "10.0.0.2:2", 1));
}

static void the_largest_and_the_empty_match(void **state)
{
    (void)state;
    assert_true(matches("udp[4:2] = 8", "10.0.0.1:1", "10.0.0.2:2", 0));
    assert_true(matches("len = 65535", "10.0.0.1:1", "10.0.0.2:2", 65507));
    assert_true(matches("udp[65514] = 0xe2", "10.0.0.1:1", "10.0.0.2:2", 65507));
    assert_false(matches("udp[8] = 0", "10.0.0.1:1", "10.0.0.2:2", 0));
    assert_true(matches("ip6", "[::1]:1", "[::1]:2", 65527));
}

static void packets_match_as_they_are(void **state)
{
    (void)state;
    static const unsigned char syn[40] = {
        0x45, 0,    0,    40, 0, 0, 0x40, 0, 64, 6, 0, 0, 10,   0,    0, 1, 10, 0, 0, 2,
        0x03, 0xe8, 0x00, 80, 0, 0, 0,    0, 0,  0, 0, 0, 0x50, 0x02, 0, 0, 0,  0, 0, 0};
    struct match_program *program;
    assert_int_equal(match_compile("tcp[tcpflags] & tcp-syn != 0", &program, NULL), 0);
    assert_true(match_packet(program, syn, sizeof(syn), sizeof(syn)));
    assert_false(match_packet(program, syn, 30, sizeof(syn))); /* the flags are not there */
    assert_false(match_packet(program, syn, 0, 0));
    match_destroy(program);
}

/* Whatever would make libpcap ask DNS, or a file. */
static void names_are_refused_at_once(void **state)
{
    (void)state;
    static const char *const names[] = {
        "host example.org",
        "host n1",
        "host 1.2.3.4.5",
        "host 1.2.3.",
        "host 3com.com",
        "net loopback",
        "port domain",
        "host a:2",
        "host dead::1.2.3.4",
        "ip proto \\ospf",
        "host \\tcp",
        "gateway 10.0.0.1",
        "host \xc3\xa9",
        "port 0x35.de",
        "$7",
        "host 10.0.0.1-x",
        "ether proto \\ip",
        "protochain 17",
        "portrange a-b",
        "icmp-nothing",
        "host fe80::1%eth0:x",
        "port 80 or http2",
        "_",
        "0x",
    };
    uint64_t begin_ns = monotonic_now_ns();
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct match_program *program = NULL;
        struct error error = {0};
        assert_int_equal(match_compile(names[i], &program, &error), -EINVAL);
        assert_null(program);
        assert_string_not_equal(error.message, "");
    }
    assert_true(monotonic_now_ns() - begin_ns < 5 * NS_PER_S); /* a server is given that long */
    char longest[RULESET_MATCH_MAX];
    memset(longest, 'a', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    assert_int_equal(match_compile(longest, &(struct match_program *){NULL}, NULL), -EINVAL);
}

static void errors_are_libpcaps(void **state)
{
    (void)state;
    static const char *const wrong[] = {"udp port",        "port 99999", "(udp",
                                        "host 10.0.0.0/8", "udp and",    "ip[0:3] = 1"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct match_program *program = NULL;
        struct error error = {0};
        assert_int_equal(match_compile(wrong[i], &program, &error), -EINVAL);
        assert_null(strstr(error.message, "no name is looked up"));
        assert_string_not_equal(error.message, "");
    }
}

static void what_is_of_frames_is_said_to_be(void **state)
{
    (void)state;
    static const char *const wrong[] = {"not arp", "ether host 02:00:00:00:00:01", "vlan 3 and tcp",
                                        "inbound"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct error error = {0};
        assert_int_equal(match_compile(wrong[i], &(struct match_program *){NULL}, &error), -EINVAL);
        assert_non_null(strstr(error.message, "a filter sees IP packets only"));
    }
}

struct set_rig {
    struct ruleset ruleset;
    struct fault_plan *plan;
    struct match_set *set;
};

static int update(struct set_rig *rig, struct error *error)
{
    struct fault_plan *plan;
    struct match_set *set;
    assert_int_equal(fault_plan_create(&rig->ruleset, rig->plan, &plan, NULL), 0);
    int result = match_set_create(&rig->ruleset, plan, rig->set, &set, error);
    if (result) {
        fault_plan_destroy(plan);
        return result;
    }
    match_set_destroy(rig->set);
    fault_plan_destroy(rig->plan);
    rig->set = set;
    rig->plan = plan;
    return 0;
}

static void add(struct set_rig *rig, const char *name, const char *match)
{
    struct ruleset_fault fault = {.type = RULESET_LOSS, .route = "r", .loss = {.every = 1}};
    snprintf(fault.name, sizeof(fault.name), "%s", name);
    snprintf(fault.match, sizeof(fault.match), "%s", match);
    ruleset_add_fault(&rig->ruleset, &fault);
}

static const struct match_program *program_of(const struct set_rig *rig, const char *name)
{
    return match_set_find(rig->set, fault_plan_fault_slot(rig->plan, name, NULL));
}

static void a_set_keeps_what_is_the_same(void **state)
{
    (void)state;
    struct set_rig rig = {0};
    struct error error = {0};
    struct ruleset_route route = {.name = "r", .protocol = RULESET_UDP, .enabled = true};
    ruleset_add_route(&rig.ruleset, &route);
    add(&rig, "plain", "");
    assert_int_equal(update(&rig, NULL), 0);
    assert_null(rig.set);
    assert_null(program_of(&rig, "plain"));
    add(&rig, "dns", "dst port 53");
    add(&rig, "ntp", "dst port 123");
    assert_int_equal(update(&rig, NULL), 0);
    const struct match_program *dns = program_of(&rig, "dns"), *ntp = program_of(&rig, "ntp");
    assert_non_null(dns);
    assert_non_null(ntp);
    assert_null(program_of(&rig, "plain"));

    add(&rig, "wrong", "port http");
    assert_int_equal(update(&rig, &error), -EINVAL);
    assert_string_equal(error.place, "faults[3].match");
    assert_true(ruleset_remove_fault(&rig.ruleset, "wrong"));

    snprintf(ruleset_find_fault(&rig.ruleset, "ntp")->match, RULESET_MATCH_MAX, "dst port 124");
    assert_true(ruleset_remove_fault(&rig.ruleset, "plain"));
    assert_int_equal(update(&rig, NULL), 0);
    assert_ptr_equal(program_of(&rig, "dns"), dns);
    assert_ptr_not_equal(program_of(&rig, "ntp"), ntp);
    assert_null(match_set_find(rig.set, UINT16_MAX));
    match_set_destroy(rig.set);
    fault_plan_destroy(rig.plan);
    ruleset_free(&rig.ruleset);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(expressions_see_addresses_and_bytes),
        cmocka_unit_test(families_that_differ_meet_in_ipv6),
        cmocka_unit_test(the_largest_and_the_empty_match),
        cmocka_unit_test(packets_match_as_they_are),
        cmocka_unit_test(names_are_refused_at_once),
        cmocka_unit_test(errors_are_libpcaps),
        cmocka_unit_test(what_is_of_frames_is_said_to_be),
        cmocka_unit_test(a_set_keeps_what_is_the_same),
    };
    return cmocka_run_group_tests_name("proxy/match", tests, NULL, NULL);
}
