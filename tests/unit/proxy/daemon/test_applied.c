/* What a fault is said to do, for each way in which that is less than its name promises. */
#include "tests/lib/test.h"

#include <stdio.h>
#include <string.h>

#include "proxy/daemon/applied.h"

static struct ruleset ruleset;
static struct applied_mechanisms mechanisms;
static const struct applied_lab *lab;

static int set_up(void **state)
{
    (void)state;
    mechanisms = (struct applied_mechanisms){0};
    lab = NULL;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    ruleset_free(&ruleset);
    return 0;
}

static void add_route(const char *name, enum ruleset_protocol protocol, const char *from,
                      const char *to)
{
    struct ruleset_route route = {.protocol = protocol};
    snprintf(route.name, sizeof(route.name), "%s", name);
    snprintf(route.from, sizeof(route.from), "%s", from);
    snprintf(route.to, sizeof(route.to), "%s", to);
    ruleset_add_route(&ruleset, &route);
}

/* target: a link, or the name of a route. */
static void expect(struct ruleset_fault fault, const char *target, const char *wanted)
{
    char text[APPLIED_TEXT_MAX];
    if (strchr(target, '>'))
        assert_int_equal(ruleset_parse_link(target, &fault.link, &fault.both_ways, NULL), 0);
    else
        snprintf(fault.route, sizeof(fault.route), "%s", target);
    assert_string_equal(applied_describe(&ruleset, &fault, &mechanisms, lab, text), wanted);
}

#define A(fault_type)                                                                              \
    (struct ruleset_fault)                                                                         \
    {                                                                                              \
        .type = fault_type                                                                         \
    }

static void by_type_alone_while_there_is_no_route(void **state)
{
    (void)state;
    expect(A(RULESET_LATENCY), "n1->n2", "all routes");
    expect(A(RULESET_NOOP), "n1->n2", "all routes");
    expect(A(RULESET_SLICER), "n1->n2", "tcp routes only: it is for streams");
    expect(A(RULESET_DUPLICATE), "n1->n2", "udp routes only: a stream would be corrupted by it");
}

static void by_the_routes_that_carry_the_link(void **state)
{
    (void)state;
    add_route("t", RULESET_TCP, "", "n2");
    add_route("u", RULESET_UDP, "n1", "n3");
    expect(A(RULESET_SLICER), "n1->n2", "all routes");
    expect(A(RULESET_SLICER), "n2->n1", "all routes"); /* answers */
    expect(A(RULESET_SLICER), "n1->n3", "nothing: it is for streams");
    expect(A(RULESET_DUPLICATE), "n9->n2", "nothing: a stream would be corrupted by it");
    expect(A(RULESET_DUPLICATE), "n3->n1", "all routes");
    expect(A(RULESET_DUPLICATE), "n1->*", "udp routes only: a stream would be corrupted by it");
    expect(A(RULESET_SLICER), "*<->*", "tcp routes only: it is for streams");
    expect(A(RULESET_LATENCY), "n1->n4", "nothing: no route carries this link");
    expect(A(RULESET_LATENCY), "n4->n3", "nothing: no route carries this link"); /* n1 dials */
    expect(A(RULESET_LATENCY), "n4<->n2", "all routes");
}

static void on_a_route(void **state)
{
    (void)state;
    add_route("t", RULESET_TCP, "", "");
    add_route("u", RULESET_UDP, "", "");
    expect(A(RULESET_LATENCY), "t", "the route");
    expect(A(RULESET_LOSS), "u", "the route");
    expect(A(RULESET_SLICER), "t", "the route");
}

static void loss_on_tcp_needs_filters(void **state)
{
    (void)state;
    struct ruleset_fault fault = A(RULESET_LOSS);
    add_route("t", RULESET_TCP, "", "n2");
    add_route("u", RULESET_UDP, "", "n2");
    expect(fault, "n1->n2",
           "udp routes only: loss on tcp routes needs socket filters: see severctl doctor");
    expect(fault, "t", "nothing: loss on tcp routes needs socket filters: see severctl doctor");
    mechanisms.segment_filters = true;
    expect(fault, "n1->n2", "all routes; on tcp routes: segments, which TCP sends again");
    expect(fault, "u", "the route");
    fault.loss.correlation_ppb = 1;
    expect(fault, "t",
           "the route; on tcp routes: random loss of the same mean, kernel filters keep no state");
    expect(fault, "u", "the route");
    fault.loss.model = RULESET_LOSS_EVERY;
    fault.loss.correlation_ppb = 0;
    expect(fault, "n1->n2",
           "all routes; on tcp routes: random loss of the same mean, kernel filters keep no state");
}

static void unix_sockets_have_no_segments(void **state)
{
    (void)state;
    struct ruleset_fault fault = A(RULESET_LOSS);
    mechanisms.segment_filters = true;
    add_route("both", RULESET_TCP, "", "n2");
    snprintf(ruleset.routes[0].listen, RULESET_ADDRESS_MAX, "unix:/a");
    snprintf(ruleset.routes[0].upstream, RULESET_ADDRESS_MAX, "unix:/b");
    expect(fault, "both", "nothing: a unix socket has no segments to lose");
    expect(fault, "n1->n2", "nothing: a unix socket has no segments to lose");
    expect(A(RULESET_SLICER), "both", "the route");
    snprintf(ruleset.routes[0].listen, RULESET_ADDRESS_MAX, "127.0.0.1:1");
    expect(fault, "both", "the route; at a route's unix socket nothing is lost");
    snprintf(ruleset.routes[0].listen, RULESET_ADDRESS_MAX, "unix:/a");
    add_route("t", RULESET_TCP, "", "n2");
    add_route("u", RULESET_UDP, "", "n2");
    expect(fault, "n1->n2",
           "tcp and udp routes only: a unix socket has no segments to lose; on tcp routes: "
           "segments, which TCP sends again");
    expect(A(RULESET_SLICER), "n1->n2", "tcp routes only: it is for streams");
}

static void a_match_leaves_streams_alone(void **state)
{
    (void)state;
    struct ruleset_fault fault = {.type = RULESET_LATENCY, .match = "udp port 53"};
    add_route("t", RULESET_TCP, "", "n2");
    expect(fault, "n1->n2", "nothing: a match is for datagrams");
    add_route("u", RULESET_UDP, "", "n2");
    expect(fault, "n1->n2", "udp routes only: a match is for datagrams");
}

static void what_acts_otherwise_is_noted(void **state)
{
    (void)state;
    struct ruleset_fault latency = {.type = RULESET_LATENCY, .latency = {.reorder = true}};
    add_route("t", RULESET_TCP, "", "n2");
    expect(A(RULESET_REJECT), "n1->n2", "all routes");
    expect(latency, "t", "the route; on tcp routes order is kept");
    expect(A(RULESET_FLAP), "t",
           "the route; on tcp routes: held while it is down, as by a cut that stalls");
    add_route("u", RULESET_UDP, "", "n2");
    expect(latency, "u", "the route");
    expect(A(RULESET_FLAP), "u", "the route");
    expect(A(RULESET_REJECT), "u", "the route; on udp routes: dropped without an ICMP answer");
    mechanisms.icmp_unreachable = true;
    expect(A(RULESET_REJECT), "n1->n2",
           "all routes; on udp routes: dropped, and answered with ICMP port unreachable");
}

static bool is_in_lab(const void *context, const char *node)
{
    (void)context;
    return node[0] == 'L';
}

static void in_a_lab(void **state)
{
    (void)state;
    static const struct applied_lab some = {is_in_lab, NULL};
    static const char *const names[] = {"L1", "L2", "n1", "n2"};
    struct ruleset_fault limited = {.type = RULESET_LATENCY, .spared_ppb = 1};
    for (size_t i = 0; i < 4; i++) {
        struct ruleset_node node = {0};
        snprintf(node.name, sizeof(node.name), "%s", names[i]);
        ruleset_add_node(&ruleset, &node);
    }
    lab = &some;
    expect(A(RULESET_LATENCY), "L1->L2", "the lab");
    expect(A(RULESET_LOSS), "L1<->L2", "the lab");
    expect(A(RULESET_TRUNCATE), "*->L2", "the lab");
    expect(A(RULESET_SLICER), "L1->L2", "nothing: it is for streams");
    expect(A(RULESET_LATENCY), "L1->n1",
           "nothing: no route carries this link, and it is not in the lab");
    expect(limited, "L1->L2", "the lab; in the lab a link is one connection");
    snprintf(limited.match, sizeof(limited.match), "icmp");
    expect(limited, "L1->L2", "the lab; in the lab a link is one connection");
    add_route("t", RULESET_TCP, "n1", "n2");
    expect(A(RULESET_LATENCY), "n1->n2", "all routes");
    expect(A(RULESET_LATENCY), "*->*", "all routes and the lab");
    expect(A(RULESET_DUPLICATE), "*->*", "the lab only: a stream would be corrupted by it");
    expect(A(RULESET_SLICER), "*->*", "tcp routes only: it is for streams");
    expect(limited, "*->*",
           "the lab only: a match is for datagrams; in the lab a link is one connection");
    add_route("u", RULESET_UDP, "n1", "n2");
    expect(A(RULESET_TRUNCATE), "*->*",
           "udp routes and the lab only: a stream would be corrupted by it");
    expect(A(RULESET_LATENCY), "t", "the route");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(by_type_alone_while_there_is_no_route),
        TEST(by_the_routes_that_carry_the_link),
        TEST(on_a_route),
        TEST(loss_on_tcp_needs_filters),
        TEST(unix_sockets_have_no_segments),
        TEST(a_match_leaves_streams_alone),
        TEST(what_acts_otherwise_is_noted),
        TEST(in_a_lab),
    };
    return cmocka_run_group_tests_name("proxy/daemon/applied", tests, NULL, NULL);
}
