/* What ruleset_check says of faults beyond the ranges of their parameters: tables, reach, and which
 * types go where. */
#include "tests/unit/proxy/fault/harness.h"
#include "tests/unit/proxy/fault/random_fault.h"

#include <errno.h>

static struct random_stream dice = {.key = 99};

/* n1, n2; route tcp, spread (tcp, spread) and udp; the two tables. */
static struct ruleset base(void)
{
    struct ruleset ruleset = {0};
    add_node(&ruleset, "n1");
    add_node(&ruleset, "n2");
    add_route(&ruleset, "tcp", "", "n2");
    add_route(&ruleset, "spread", "", "n2");
    add_route(&ruleset, "udp", "", "n2");
    ruleset.routes[1].spread = true;
    ruleset.routes[2].protocol = RULESET_UDP;
    random_add_tables(&ruleset);
    return ruleset;
}

static void place_on(struct ruleset_fault *fault, const char *target)
{
    put(fault->name, "f");
    if (strchr(target, '>'))
        assert_int_equal(ruleset_parse_link(target, &fault->link, &fault->both_ways, NULL), 0);
    else
        put(fault->route, target);
}

/* place: "" when all is fine; else the error's place and a part of its message. */
static void expect(const struct ruleset *ruleset, const char *place, const char *message)
{
    struct error error = {0};
    int code = ruleset_check(ruleset, &error);
    if (code != (place[0] ? -EINVAL : 0) || strcmp(error.place, place) != 0 ||
        !strstr(error.message, message))
        fail_msg("%d '%s': %s, not '%s': %s", code, error.place, error.message, place, message);
}

static void expect_fault(struct ruleset_fault fault, const char *target, const char *place,
                         const char *message)
{
    struct ruleset ruleset = base();
    place_on(&fault, target);
    ruleset_add_fault(&ruleset, &fault);
    expect(&ruleset, place, message);
    ruleset_free(&ruleset);
}

static void a_type_goes_where_it_can_act(void **state)
{
    (void)state;
    for (int t = 0; t < RULESET_FAULT_TYPES; t++) {
        enum ruleset_fault_type type = (enum ruleset_fault_type)t;
        struct ruleset_fault fault = random_fault_of(&dice, type, false);
        if (type == RULESET_RATE)
            fault.rate.queue_packets = 0; /* not on tcp */
        if (type == RULESET_TRACE)
            fault.trace.queue_packets = 0;
        bool tcp = ruleset_fault_acts_on(type, RULESET_TCP);
        bool udp = ruleset_fault_acts_on(type, RULESET_UDP);
        assert_true(tcp || udp);
        expect_fault(fault, "n1->n2", "", "");
        expect_fault(fault, "tcp", tcp ? "" : "faults[0].type", tcp ? "" : "for datagrams");
        expect_fault(fault, "udp", udp ? "" : "faults[0].type", udp ? "" : "for streams");
    }
    assert_false(ruleset_fault_acts_on(RULESET_DUPLICATE, RULESET_TCP));
    assert_false(ruleset_fault_acts_on(RULESET_SLICER, RULESET_UDP));
    assert_true(ruleset_fault_acts_on(RULESET_REJECT, RULESET_UDP));
}

static void a_rate_is_shared_on_a_route_of_one_worker(void **state)
{
    (void)state;
    struct ruleset_fault fault = {.type = RULESET_RATE, .rate = {.shared = true}};
    expect_fault(fault, "tcp", "", "");
    expect_fault(fault, "udp", "", "");
    expect_fault(fault, "spread", "faults[0].shared", "spread");
    expect_fault(fault, "n1->n2", "faults[0].shared", "on a route");
}

static void a_queue_in_packets_is_one_flows_and_has_packets(void **state)
{
    (void)state;
    static const char place[] = "faults[0].queue_packets";
    struct ruleset_fault fault = {.type = RULESET_RATE, .rate = {.queue_packets = 1000000}};
    expect_fault(fault, "n1->n2", "", "");
    expect_fault(fault, "udp", "", "");
    expect_fault(fault, "tcp", place, "a stream has no packets");
    fault.rate.shared = true;
    expect_fault(fault, "udp", place, "a shared rate is in bytes");
    fault = (struct ruleset_fault){.type = RULESET_RATE, .rate = {.queue_packets = 1000001}};
    expect_fault(fault, "udp", place, "10^6");
}

/* Who dials is accepted or refused; nobody is on the way back. */
static void a_connection_is_met_upstream(void **state)
{
    (void)state;
    static const enum ruleset_fault_type types[] = {RULESET_REJECT, RULESET_ACCEPT_DELAY};
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        struct ruleset_fault fault = {.type = types[i], .direction = RULESET_UPSTREAM};
        expect_fault(fault, "tcp", "", "");
        fault.direction = RULESET_DOWNSTREAM;
        expect_fault(fault, "tcp", "faults[0].direction", "upstream");
        if (types[i] == RULESET_REJECT) /* of each datagram */
            expect_fault(fault, "udp", "", "");
    }
}

static void a_match_is_for_datagrams(void **state)
{
    (void)state;
    struct ruleset_fault fault = {.type = RULESET_NOOP, .match = "udp port 53"};
    expect_fault(fault, "udp", "", "");
    expect_fault(fault, "n1<->n2", "", "");
    expect_fault(fault, "tcp", "faults[0].match", "route and direction");
    memset(fault.match, 'x', sizeof(fault.match));
    expect_fault(fault, "udp", "faults[0].match", "255 bytes");
    memcpy(fault.match, "udp\n", 5);
    expect_fault(fault, "udp", "faults[0].match", "printable");
}

static void the_reach_has_ranges(void **state)
{
    (void)state;
    struct ruleset_fault fault = {.type = RULESET_NOOP,
                                  .spared_ppb = RULESET_PROBABILITY_MAX,
                                  .first_connections = RULESET_CONNECTIONS_MAX,
                                  .after_ns = RULESET_DELAY_NS_MAX};
    expect_fault(fault, "tcp", "", "");
    struct ruleset_fault spoiled = fault;
    spoiled.spared_ppb++;
    expect_fault(spoiled, "tcp", "faults[0].toxicity", "0 to 1");
    spoiled = fault;
    spoiled.first_connections++;
    expect_fault(spoiled, "tcp", "faults[0].first_connections", "10^9");
    spoiled = fault;
    spoiled.after_ns++;
    expect_fault(spoiled, "tcp", "faults[0].after_ns", "one hour");
}

static void what_leaves_a_markov_state_is_at_most_certain(void **state)
{
    (void)state;
    struct ruleset_fault fault = {
        .type = RULESET_LOSS,
        .loss = {.model = RULESET_LOSS_MARKOV, .p13_ppb = 600000000, .p31_ppb = 300000000}};
    fault.loss.p14_ppb = 400000000;
    fault.loss.p32_ppb = 700000000;
    expect_fault(fault, "n1->n2", "", "");
    fault.loss.p14_ppb++;
    expect_fault(fault, "n1->n2", "faults[0].p14", "p13 and p14");
    fault.loss.p14_ppb--;
    fault.loss.p32_ppb++;
    expect_fault(fault, "n1->n2", "faults[0].p32", "p31 and p32");
    fault.loss.model = RULESET_LOSS_RANDOM; /* it isn't looked at in another model */
    expect_fault(fault, "n1->n2", "", "");
}

static void a_latency_names_a_table_with_that_distribution_only(void **state)
{
    (void)state;
    struct ruleset_fault fault = {.type = RULESET_LATENCY,
                                  .latency = {.jitter_ns = 1, .distribution = RULESET_TABLE}};
    expect_fault(fault, "tcp", "faults[0].table", "only then");
    put(fault.latency.table, "nothing");
    expect_fault(fault, "tcp", "faults[0].table", "there is no table 'nothing'");
    memset(fault.latency.table, 'x', RULESET_NAME_MAX);
    expect_fault(fault, "tcp", "faults[0].table", "there is no table");
    put(fault.latency.table, random_distribution_table);
    expect_fault(fault, "tcp", "", "");
    fault.latency.distribution = RULESET_NORMAL;
    expect_fault(fault, "tcp", "faults[0].table", "only then");
}

/* A table of these values, named by a latency or by a trace. */
static void expect_values(enum ruleset_fault_type type, int32_t *values, size_t count,
                          const char *place, const char *message)
{
    struct ruleset ruleset = base();
    struct ruleset_table table = {.name = "t", .values = values, .count = count};
    struct ruleset_fault fault = {.type = type};
    ruleset_set_table(&ruleset, &table);
    place_on(&fault, "n1->n2");
    if (type == RULESET_LATENCY)
        fault.latency.distribution = RULESET_TABLE;
    put(type == RULESET_TRACE ? fault.trace.table : fault.latency.table, "t");
    ruleset_add_fault(&ruleset, &fault);
    expect(&ruleset, place, message);
    ruleset_free(&ruleset);
}

static void values_are_what_their_use_can_take(void **state)
{
    (void)state;
    int32_t falls[] = {0, 5, 4}, past[] = {-1, 5}, nothing[] = {0, 0}, trace[] = {0, 0, 1};
    int32_t low[] = {0, -32769}, high[] = {32768, 0}, jitter[] = {32767, -32768};
    static const char use[] = "faults[0].table";
    expect_values(RULESET_TRACE, trace, 3, "", "");
    expect_values(RULESET_TRACE, falls, 3, use, "value 2 is 4");
    expect_values(RULESET_TRACE, past, 2, use, "value 0 is -1");
    expect_values(RULESET_TRACE, nothing, 2, use, "at least a millisecond");
    expect_values(RULESET_LATENCY, jitter, 2, "", "");
    expect_values(RULESET_LATENCY, jitter, 1, use, "at least two values");
    expect_values(RULESET_LATENCY, low, 2, use, "value 1 is -32769");
    expect_values(RULESET_LATENCY, high, 2, use, "value 0 is 32768");
}

static void tables_are_bounded_and_named(void **state)
{
    (void)state;
    struct ruleset ruleset = base();
    struct error error = {0};
    ruleset.tables[1].count = 0;
    expect(&ruleset, "tables[1].values", "1 to 65536");
    ruleset.tables[1].count = RULESET_TABLE_VALUES_MAX + 1;
    expect(&ruleset, "tables[1].values", "1 to 65536");
    ruleset.tables[1].count = 4;
    put(ruleset.tables[1].name, "-t");
    expect(&ruleset, "tables[1].name", "does not begin with -");
    put(ruleset.tables[1].name, random_distribution_table);
    assert_int_equal(ruleset_check(&ruleset, &error), -EEXIST);
    assert_string_equal(error.place, "tables[1].name");
    put(ruleset.tables[1].name, random_trace_table);
    int32_t value = 1;
    struct ruleset_table table = {.values = &value, .count = 1};
    while (ruleset.table_count < RULESET_TABLES_MAX) {
        snprintf(table.name, sizeof(table.name), "t%zu", ruleset.table_count);
        ruleset_set_table(&ruleset, &table);
    }
    expect(&ruleset, "", "");
    put(table.name, "one more");
    ruleset_set_table(&ruleset, &table);
    assert_int_equal(ruleset_check(&ruleset, &error), -E2BIG);
    assert_string_equal(error.place, "tables");
    ruleset_free(&ruleset);
}

static void a_unix_socket_is_not_spread(void **state)
{
    (void)state;
    struct ruleset ruleset = base();
    snprintf(ruleset.routes[1].listen, RULESET_ADDRESS_MAX, "unix:/run/x.sock");
    expect(&ruleset, "routes[1].spread", "one worker");
    ruleset.routes[1].spread = false;
    expect(&ruleset, "", "");
    ruleset_free(&ruleset);
}

static void a_udp_route_closes_no_connections(void **state)
{
    (void)state;
    struct ruleset ruleset = base();
    ruleset.routes[0].close_unreached = true;
    expect(&ruleset, "", "");
    ruleset.routes[2].close_unreached = true;
    expect(&ruleset, "routes[2].close_unreached", "no connections");
    ruleset_free(&ruleset);
}

/* A name of a route and a toxic, as the Toxiproxy API makes them, is longer than others. */
static void a_fault_has_room_for_a_route_and_a_toxic(void **state)
{
    (void)state;
    struct ruleset ruleset = base();
    struct ruleset_fault fault = {.type = RULESET_NOOP};
    place_on(&fault, "tcp");
    memset(fault.name, 'x', RULESET_FAULT_NAME_MAX - 1);
    ruleset_add_fault(&ruleset, &fault);
    expect(&ruleset, "", "");
    memset(ruleset.faults[0].name, 'x', RULESET_FAULT_NAME_MAX);
    expect(&ruleset, "faults[0].name", "1 to 127 bytes");
    ruleset_free(&ruleset);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_type_goes_where_it_can_act),
        cmocka_unit_test(a_rate_is_shared_on_a_route_of_one_worker),
        cmocka_unit_test(a_queue_in_packets_is_one_flows_and_has_packets),
        cmocka_unit_test(a_connection_is_met_upstream),
        cmocka_unit_test(a_match_is_for_datagrams),
        cmocka_unit_test(the_reach_has_ranges),
        cmocka_unit_test(what_leaves_a_markov_state_is_at_most_certain),
        cmocka_unit_test(a_latency_names_a_table_with_that_distribution_only),
        cmocka_unit_test(values_are_what_their_use_can_take),
        cmocka_unit_test(tables_are_bounded_and_named),
        cmocka_unit_test(a_unix_socket_is_not_spread),
        cmocka_unit_test(a_udp_route_closes_no_connections),
        cmocka_unit_test(a_fault_has_room_for_a_route_and_a_toxic),
    };
    return cmocka_run_group_tests_name("proxy/fault/ruleset_faults", tests, NULL, NULL);
}
