#include "tests/lib/test.h"

#include "chaos/lab/subnet.h"

static void candidates_are_all_subnets_once(void **state)
{
    (void)state;
    static bool seen[256][256];
    for (unsigned i = 0; i < 224 * 256; i++) {
        uint8_t a, b;
        subnet_candidate(99, i, &a, &b);
        assert_in_range(a, 16, 239);
        assert_false(seen[a][b]);
        seen[a][b] = true;
    }
}

static void two_runs_never_share(void **state)
{
    (void)state;
    struct subnet one, two, three;
    assert_int_equal(subnet_take(5, &one, NULL), 0);
    assert_int_equal(subnet_take(5, &two, NULL), 0);
    assert_false(one.a == two.a && one.b == two.b);
    uint8_t a = one.a, b = one.b;
    subnet_release(&one);
    subnet_release(&one); /* twice is fine */
    assert_int_equal(subnet_take(5, &three, NULL), 0);
    assert_int_equal(three.a, a);
    assert_int_equal(three.b, b);
    subnet_release(&two);
    subnet_release(&three);
}

static void addresses_and_their_owners(void **state)
{
    (void)state;
    struct subnet subnet = {.a = 20, .b = 7, .lock = -1};
    char text[SUBNET_ADDRESS_MAX];
    size_t index;
    uint32_t base = UINT32_C(127) << 24 | 20u << 16 | 7u << 8;
    assert_string_equal(subnet_private(&subnet, 0, text), "127.20.7.1");
    assert_string_equal(subnet_public(&subnet, 62, text), "127.20.7.163");
    assert_string_equal(subnet_client(&subnet, 0, text), "127.20.7.200");
    assert_string_equal(subnet_client(&subnet, 54, text), "127.20.7.254");
    assert_string_equal(subnet_client(&subnet, 55, text), "127.20.7.200"); /* shared */
    assert_int_equal(subnet_role_of(&subnet, base | 1, &index), SUBNET_PRIVATE);
    assert_int_equal(index, 0);
    assert_int_equal(subnet_role_of(&subnet, base | 63, &index), SUBNET_PRIVATE);
    assert_int_equal(subnet_role_of(&subnet, base | 64, &index), SUBNET_OTHER);
    assert_int_equal(subnet_role_of(&subnet, base | 163, &index), SUBNET_PUBLIC);
    assert_int_equal(index, 62);
    assert_int_equal(subnet_role_of(&subnet, base | 254, &index), SUBNET_CLIENT);
    assert_int_equal(subnet_role_of(&subnet, base | 255, &index), SUBNET_OTHER);
    assert_int_equal(subnet_role_of(&subnet, base, &index), SUBNET_OTHER);
    assert_int_equal(subnet_role_of(&subnet, base + 256 + 1, &index), SUBNET_OTHER);
}

static void traffic_around_severd_is_known(void **state)
{
    (void)state;
    const struct subnet subnet = {.a = 20, .b = 7, .lock = -1};
    const uint32_t base = UINT32_C(127) << 24 | 20u << 16 | 7u << 8, me = 0x7f000001;
    static const struct {
        unsigned local, remote; /* last byte; 0: 127.0.0.1 */
        enum subnet_bypass expected;
    } cases[] = {
        {1, 102, SUBNET_NO_BYPASS},      /* n1 to n2's route */
        {1, 101, SUBNET_NO_BYPASS},      /* and to its own */
        {2, 0, SUBNET_NO_BYPASS},        /* n2, asked from 127.0.0.1: the end that was dialled */
        {101, 200, SUBNET_NO_BYPASS},    /* a client: the end that was dialled */
        {1, 1, SUBNET_NO_BYPASS},        /* n1 to itself */
        {0, 104, SUBNET_NO_BYPASS},      /* there are three nodes */
        {1, 4, SUBNET_NO_BYPASS},        /* so nobody is there either */
        {1, 2, SUBNET_DIRECT},           /* n1 to n2 */
        {3, 1, SUBNET_DIRECT},           /* n3 to n1 */
        {0, 103, SUBNET_UNKNOWN_SOURCE}, /* who is that? */
        {0, 2, SUBNET_ASK_OWNER},        /* severd or the observer to n2, or n1 unbound */
        {102, 1, SUBNET_ASK_OWNER},      /* severd to a node that dialled, or a node */
        {200, 101, SUBNET_ASK_OWNER},    /* a client, or a node */
        {60, 2, SUBNET_ASK_OWNER},       /* a private address, of nobody */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t from, to;
        uint32_t local = cases[i].local ? base | cases[i].local : me;
        uint32_t remote = cases[i].remote ? base | cases[i].remote : me;
        assert_int_equal(subnet_judge(&subnet, 3, local, remote, &from, &to), cases[i].expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(candidates_are_all_subnets_once),
        cmocka_unit_test(two_runs_never_share),
        cmocka_unit_test(addresses_and_their_owners),
        cmocka_unit_test(traffic_around_severd_is_known),
    };
    return cmocka_run_group_tests_name("subnet", tests, NULL, NULL);
}
